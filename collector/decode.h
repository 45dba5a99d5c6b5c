/* SPDX-License-Identifier: Apache-2.0
 *
 * What the decoder's files share. decoder.c accepts datagrams and keeps the books; decode_*.c know the formats'
 * headers and template records; message.c does what v9 and IPFIX have in common: sets, templates, data, late sets.
 */
#ifndef OWD_DECODE_H
#define OWD_DECODE_H

#include "exporter.h"
#include "fixbuf.h"

G_BEGIN_DECLS

struct OwdDecoder {
  OwdDecoderSink sink; /* no NULL among its functions */
  OwdDecoderLimits limits;
  OwdStateTable *states;
  OwdFixbuf *fixbuf;
  guint64 unattributed[OWD_REASONS];
  guint64 n_messages;
  guint64 n_templates;         /* new or changed ones */
  OwdTemplateBudget strangers; /* of all states that never brought a flow */
  OwdReason refusal;           /* first of this datagram; OWD_REASONS: none */
  gsize refusal_offset;
  gboolean over_stream; /* how this message came */
  OwdRecord record;     /* work space */
  OwdTemplateDef def;   /* work space */
};

/* A datagram on its way in. */
typedef struct {
  const OwdAddr *from;
  guint16 port;
  OwdTime recv_ns;
  const guint8 *data;
  gsize len;
} OwdDatagram;

/* An accepted message of v9 or IPFIX while its sets are walked. */
typedef struct {
  OwdDecoder *decoder;
  OwdState *state;
  OwdHeader header;
  const guint8 *begin; /* of the datagram */
  guint32 n_records;   /* data records, */
  guint32 n_options;   /* of options among them */
  gboolean unsure;     /* some records could not be counted */
  gboolean maybe_late; /* a template came for which sets may be waiting */
  /* The format: reads the next template record of a set. */
  OwdTemplateRead (*read_template) (OwdWire *set, gboolean is_options, OwdTemplateDef *def);
} OwdMessage;

/* decoder.c. state: NULL where none is known, then the address's first state pays. */
void owd_decoder_refuse (OwdDecoder *self, OwdState *state, const OwdAddr *from, OwdReason reason, gsize offset);
/* The state of this key, made if need be; NULL (and refused) when a limit says no. */
OwdState *owd_decoder_get_state (OwdDecoder *self, const OwdStateKey *key, OwdTime now_ns);
/* Books the datagram and gives the header to the sink. header: state is filled in. */
void owd_decoder_accept (OwdDecoder *self, OwdState *state, const OwdDatagram *datagram, OwdHeader *header);

/* message.c. The state of a message; NULL (and refused) where there is none and none is made: see there. */
OwdState *owd_message_state (OwdDecoder *self, const OwdStateKey *key, const OwdDatagram *datagram, gsize header_len);
/* These two for an accepted message. */
void owd_message_walk (OwdMessage *self, OwdWire sets, guint template_set, guint options_set);
void owd_message_replay_late (OwdMessage *self);

/* One per format; the version has been looked at. */
void owd_decode_v5 (OwdDecoder *self, const OwdDatagram *datagram);
void owd_decode_v9 (OwdDecoder *self, const OwdDatagram *datagram);
void owd_decode_ipfix (OwdDecoder *self, const OwdDatagram *datagram);

G_END_DECLS

#endif
