/* SPDX-License-Identifier: Apache-2.0
 *
 * Export datagrams in, flow records out. A pure function of its input: no socket, no clock, no file; time is an
 * argument. Untrusted bytes are read through owd-wire.h only, or behind a template's checked compiled plan.
 *
 * One decoder per worker thread; exporters are hashed to workers, so a state lives in one decoder.
 */
#ifndef OWD_DECODER_H
#define OWD_DECODER_H

#include "owd-flow.h"

G_BEGIN_DECLS

typedef struct OwdDecoder OwdDecoder;

/* Called from inside owd_decoder_feed(); arguments are borrowed for the call. Any pointer may be NULL. */
typedef struct {
  /* Once per accepted message, before its flows; also for one that holds only templates or options. A replayed
   * header (OWD_HEADER_REPLAY) comes before data sets whose template arrived late. */
  void (*header) (void *user, const OwdHeader *header);
  void (*flow) (void *user, const OwdHeader *header, const OwdFlow *flow);
  void *user;
} OwdDecoderSink;

typedef struct {
  guint max_states;            /* exporter states; 0: 4096 */
  guint max_templates;         /* per state; 0: 1024 */
  gsize max_bytes;             /* of states, templates and kept data sets together; 0: 256 MiB */
  guint64 template_timeout_ns; /* a template not refreshed for this long is forgotten (UDP); 0: never */
  gsize late_bytes;            /* data sets kept per state until their template comes; 0: 64 KiB */
  guint64 late_timeout_ns;     /* and for how long; 0: 10 min */
} OwdDecoderLimits;

/* Why a datagram or a part of it was refused. Names for reports: owd_reason_text(). */
typedef enum {
  OWD_REASON_SHORT,         /* ends inside a header or field */
  OWD_REASON_VERSION,       /* first two bytes are not 5, 9 or 10 */
  OWD_REASON_LENGTH,        /* IPFIX length or v5 count contradict the datagram */
  OWD_REASON_SET_LENGTH,    /* set below 4 bytes or past the end */
  OWD_REASON_TEMPLATE,      /* a template that must not be used; neighbours live on */
  OWD_REASON_RECORD,        /* a data record that runs past its set */
  OWD_REASON_NO_TEMPLATE,   /* data set whose template is not known (also counted when kept for later) */
  OWD_REASON_LATE_DROPPED,  /* kept data set given up: time or memory */
  OWD_REASON_LIMIT,         /* a limit on states, templates or memory refused it */
  OWD_REASONS
} OwdReason;

const char *owd_reason_text (OwdReason reason);

/* What an exporter counts itself and tells in options records, since it began. */
typedef enum {
  OWD_REPORT_MESSAGES,        /* IE 41: exported */
  OWD_REPORT_RECORDS,         /* IE 42: exported */
  OWD_REPORT_IGNORED_PACKETS, /* IE 164: seen, and not counted for any flow */
  OWD_REPORT_UNSENT_RECORDS,  /* IE 166: made, and lost for want of something */
  OWD_REPORT_UNSENT_PACKETS,  /* IE 167: of such records */
  OWD_REPORTS
} OwdReport;

/* How packets are chosen, as IE 35, IE 49 and the two bits of a v5 header number it. */
typedef enum {
  OWD_SAMPLING_UNTOLD = 0,
  OWD_SAMPLING_DETERMINISTIC = 1, /* every Nth packet */
  OWD_SAMPLING_RANDOM = 2,        /* each with a chance of 1 in N */
} OwdSamplingAlgorithm;

/* Counters of one exporter state, since the decoder was made. */
typedef struct {
  OwdStateKey key;
  OwdTime first_ns, last_ns; /* receive times */
  guint64 datagrams, bytes;
  guint64 flows;             /* records given to the sink */
  guint64 skipped;           /* data records without an IP address pair: not flows for us */
  guint64 options;           /* options records */
  guint64 templates;         /* templates and options templates learnt or changed */
  guint64 late_flows;        /* records decoded after their template came; part of flows */
  guint64 lost;              /* by sequence gaps; unit: v5 and IPFIX records, v9 datagrams */
  guint64 reordered;         /* came after a higher sequence number, not a restart */
  guint64 restarts;          /* sequence began anew */
  guint64 refused[OWD_REASONS];
  guint32 sampling;          /* 1 in N as options or v5 header say; 0: nothing said */
  guint8 sampling_algorithm; /* OwdSamplingAlgorithm: what was said together with it */
  gint64 clock_lag_ns;       /* last datagram's receive time minus its export time, whole seconds but for v5 */
  guint16 port;              /* last source port */
  guint16 reported;          /* bits 1 << OwdReport: which of report[] have been told */
  guint64 report[OWD_REPORTS];
} OwdStateCounters;

/* sink and limits: copied; limits may be NULL. Returns: (transfer full) or NULL with error. */
OwdDecoder *owd_decoder_new (const OwdDecoderSink *sink, const OwdDecoderLimits *limits, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* For states and templates to come: what is there already stays, over a limit or not. */
void owd_decoder_set_limits (OwdDecoder *self, const OwdDecoderLimits *limits);
/* One datagram. data: borrowed, never written to. Returns OWD_STATUS_OK when everything in it was taken, else the
 * status of its first refusal: whatever was whole before and after has still been delivered. Malformed datagrams
 * that cannot be given to a state are counted with the address's first state or in owd_decoder_unattributed(). */
OwdStatus owd_decoder_feed (OwdDecoder *self, const OwdAddr *from, guint16 port, OwdTime recv_ns, const guint8 *data,
                            gsize len);
/* One IPFIX message that came over a stream (TCP). Templates live with (address, domain) as those of datagrams do, and
 * not with the connection; but an exporter sends them once per connection, so for these messages they do not expire. */
OwdStatus owd_decoder_feed_stream (OwdDecoder *self, const OwdAddr *from, guint16 port, OwdTime recv_ns,
                                   const guint8 *data, gsize len);
/* Why and where the last owd_decoder_feed() refused first. offset: byte in the datagram. */
void owd_decoder_last_refusal (const OwdDecoder *self, OwdReason *ret_reason, gsize *ret_offset);
/* States are numbered 0..n-1 in order of appearance, the same numbers as OwdHeader.state. */
guint owd_decoder_n_states (const OwdDecoder *self);
const OwdStateCounters *owd_decoder_state (const OwdDecoder *self, guint state);
/* The first state of this address, or NULL. */
const OwdStateCounters *owd_decoder_first_state (const OwdDecoder *self, const OwdAddr *addr);
/* Templates compiled, as they were new or had changed, of all states: work that a data record does not make. */
guint64 owd_decoder_n_templates (const OwdDecoder *self);
/* Of states, templates and kept data sets. */
typedef struct {
  gsize used, max; /* bytes charged, and their limit */
  guint64 evicted; /* templates that had to make room for others */
  guint64 refused; /* states and templates that there was no room for: in all, or for their address */
} OwdDecoderMemory;

void owd_decoder_memory (const OwdDecoder *self, OwdDecoderMemory *ret_memory);
/* Refusals that belong to no state. */
const guint64 *owd_decoder_unattributed (const OwdDecoder *self);
void owd_decoder_free (OwdDecoder *self); /* NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdDecoder, owd_decoder_free)

G_END_DECLS

#endif
