/* SPDX-License-Identifier: Apache-2.0
 *
 * Exporter states: what is kept per (address, version, domain), and the table of them.
 */
#ifndef OWD_EXPORTER_H
#define OWD_EXPORTER_H

#include "late.h"
#include "owd-decoder.h"
#include "template.h"

G_BEGIN_DECLS

#define OWD_STREAMS 4   /* source ports of a state whose sequences are followed at once */
#define OWD_SAMPLERS 64 /* samplers and sampled interfaces of a state that are remembered */

/* A sequence of datagrams: per source port, since RFC 7011 counts per transport session and several processes of a
 * router may share a domain. */
typedef struct {
  gboolean used;
  gboolean sure;      /* expected holds: all records of the last datagram could be counted */
  gboolean inclusive; /* numbers count the datagram's own records too (softflowd's IPFIX) */
  guint16 port;
  guint32 expected;             /* next sequence number; if inclusive, less the next datagram's own records */
  guint32 options;              /* of the last datagram: some exporters do not count options records */
  guint32 last_seq, last_units; /* of the last datagram, wherever it came from */
  guint32 uptime_ms;            /* of the last header in order, v5 and v9 */
  OwdTime last_ns;

  guint32 behind;       /* what comes next if the last datagram from behind was a restart */
  guint behind_run;     /* so many datagrams came in order from behind */
  guint64 behind_found; /* units taken off `lost` for them */

  guint votes; /* for inclusive; counted in the meantime: */
  gint64 vote_lost, vote_reordered, vote_restarts;
} OwdStream;

typedef struct {
  gboolean is_interface; /* else a sampler */
  guint64 id;
  guint32 interval; /* 1 in N */
} OwdSampler;

typedef struct OwdAddrStates OwdAddrStates; /* what states of one address have in common */

typedef struct {
  OwdStateCounters counters; /* key included */
  guint32 number;            /* dense index */
  OwdAddrStates *of_addr;
  gint64 init_ms;   /* IE 160 of options data; 0: never seen */
  guint32 sampling; /* of records that name no sampler; 0: nothing said */
  guint n_samplers, n_interfaces;
  OwdSampler samplers[OWD_SAMPLERS];
  OwdStream streams[OWD_STREAMS];
  OwdTemplateTable templates;
  OwdLate late;
} OwdState;

/* One datagram in the numbers of its sequence. */
typedef struct {
  guint16 port;
  guint32 seq;
  guint32 units;   /* by which the next datagram's number is higher */
  guint32 options; /* options records among units, IPFIX */
  gboolean unsure; /* units is not known: records of an unknown template */
  gboolean has_uptime;
  guint32 uptime_ms;
  OwdTime recv_ns;
} OwdSequence;

/* Counts lost, reordered and restarts. */
void owd_state_sequence (OwdState *self, const OwdSequence *seq);
/* Takes an options record: bits of set tell which values are there. */
void owd_state_options (OwdState *self, guint32 set, const guint64 value[OWD_OPTION_N]);
/* 1 in N for a record of that sampler or input interface; fallback: self->sampling. */
guint32 owd_state_sampling (const OwdState *self, gboolean is_interface, guint64 id);

typedef struct OwdStateTable OwdStateTable;

OwdStateTable *owd_state_table_new (const OwdDecoderLimits *limits);
void owd_state_table_free (OwdStateTable *self); /* NULL is fine */
/* For states and templates to come; late sets of a state that is there keep theirs. */
void owd_state_table_set_limits (OwdStateTable *self, const OwdDecoderLimits *limits);
/* (transfer none) or NULL where not known. */
OwdState *owd_state_table_find (OwdStateTable *self, const OwdStateKey *key);
/* (transfer none) A new one; NULL when the limit of states or memory is reached, of all or of that address. */
OwdState *owd_state_table_add (OwdStateTable *self, const OwdStateKey *key, OwdTime now_ns);
/* Whether the state may have that many bytes more; takes them from states that never brought a flow, if need be. */
gboolean owd_state_table_make_room (OwdStateTable *self, const OwdState *state, gsize bytes, OwdTime now_ns);
void owd_state_table_memory (const OwdStateTable *self, OwdDecoderMemory *ret_memory);
/* (transfer none) The first state of an address, or NULL. */
OwdState *owd_state_table_first (OwdStateTable *self, const OwdAddr *addr);
guint owd_state_table_size (const OwdStateTable *self);
OwdState *owd_state_table_nth (const OwdStateTable *self, guint n);

G_END_DECLS

#endif
