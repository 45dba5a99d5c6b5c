/* SPDX-License-Identifier: Apache-2.0
 *
 * Pairs records of one flow seen at two observation points and delivers one-way-delay samples in time order.
 *
 * A pure function of its input: reads no clock, does no I/O. Feed the blocks of one log partition in order: each
 * header, its flows, then owd_correlator_advance() with the block's time. The same input gives the same samples, bit
 * for bit.
 *
 * Which stamps belong to the same packet (match.c) is proven, not hoped: two runs of records that begin at the same
 * packet (both after a SYN, or both after a pause) and have equal packet and octet totals bound the same packets.
 * An interval that holds the truth (delay.c), the direction of travel (pair.c), the word of those who passed at the
 * same time (gate.c), and the order (order.c) follow.
 */
#ifndef OWD_CORRELATOR_H
#define OWD_CORRELATOR_H

#include "owd-light.h"
#include "owd-prior.h"
#include "owd-sample.h"

G_BEGIN_DECLS

typedef struct OwdCorrelator OwdCorrelator;

typedef struct {
  gint64 max_latency_ns;   /* the horizon never exceeds this */
  gint64 first_horizon_ns; /* horizon of an exporter that has not shown its lag yet */
  double completeness;     /* share of stamps whose lag the horizon covers, 0..1 */
  gint64 silent_ns;        /* an exporter silent for this long holds nobody up */
  gint64 pair_window_ns;   /* two stamps further apart than this never belong to one packet */
  double skew_bound_ppm;   /* how fast an exporter's uptime and wall clock may drift apart */
  guint32 max_waiting;     /* waiting records; more are shed by flow */
  guint32 raw_per_minute;  /* samples of a path and minute that are not marked OWD_SAMPLE_EXCESS; 0: all */
  guint64 max_rate;        /* records per second of log time; more are shed by flow; 0: no limit */
  OwdFloorFunc floor;      /* least delay between two exporters; NULL: none is known. Called when both first meet */
  const void *floor_user;
} OwdCorrelatorConfig;

/* Working defaults. */
void owd_correlator_config_init (OwdCorrelatorConfig *config);

/* sample: borrowed for the call; src and dst index owd_correlator_state(). ts never decreases from call to call, seq
 * grows by one. */
typedef void (*OwdSampleSink) (void *user, const OwdSample *sample);

/* Loss evidence and late samples of a path; count: borrowed for the call, src and dst as above. ts never decreases from
 * call to call, and lies behind the watermark as it was before the call that delivers it. */
typedef void (*OwdCountSink) (void *user, const OwdCount *count);

typedef struct {
  guint64 records;      /* flows pushed */
  guint64 no_clock;     /* no absolute time can be given to their stamps */
  guint64 nonsense;     /* stamps that cannot be: in the future, end before start, days old */
  guint64 duplicates;   /* the same record again, or its other interface */
  guint64 overlaps;     /* records of one point that overlap with other counts: not used */
  guint64 sampled;      /* from a sampling exporter: equal counts would prove nothing */
  guint64 shed;         /* of flows that are not kept for lack of memory, above the rate or the limit */
  guint64 purged;       /* had come before it turned out that their flows are not kept */
  guint64 unpaired;     /* left the table without any partner */
  guint64 runs;         /* proven pairs of runs */
  guint64 ambiguous;    /* several partners equally plausible: none taken */
  guint64 undirected;   /* proven pairs whose direction of travel nothing shows: not delivered */
  guint64 samples;      /* delivered */
  guint64 late;         /* samples older than the watermark: counted, not delivered */
  guint64 unsettled;    /* a clock was stepped around their time: not delivered */
  guint64 contradicted; /* far from what others showed of their path at the time: not delivered */
  guint64 flagged;      /* delivered, but far from the recent samples of their path */
} OwdCorrelatorCounters;

/* What is known of an exporter state. */
typedef struct {
  OwdStateKey key;
  OwdTime first_ns, last_ns; /* receive times of headers */
  guint64 records;
  gint64 boot_lo_ns, boot_hi_ns;     /* OWD_TIME_NONE: no uptime stamps */
  gint64 start_step_ns, end_step_ns; /* 0: not known yet */
  guint32 segments;
  gint64 lag_p50_ns, lag_p99_ns; /* receive time minus stamp; OWD_TIME_NONE: none yet */
  guint32 sampling;
} OwdCorrelatorState;

/* config, sink: copied. Returns: (transfer full). */
OwdCorrelator *owd_correlator_new (const OwdCorrelatorConfig *config, OwdSampleSink sink, void *user);
/* Without a count sink nothing is counted. */
void owd_correlator_set_count_sink (OwdCorrelator *self, OwdCountSink sink);
/* Forgets everything: as new. */
void owd_correlator_reset (OwdCorrelator *self);
void owd_correlator_free (OwdCorrelator *self); /* NULL is fine */

/* Profiles that count from here on: each only once, ids grow from call to call. Copied. */
void owd_correlator_add_priors (OwdCorrelator *self, const OwdPrior *priors, guint n);
/* The newest of them; 0: none. */
guint32 owd_correlator_newest_prior (const OwdCorrelator *self);

/* At most this share of the flows, above 0 to 1, is kept from the next second of log time on. */
void owd_correlator_limit (OwdCorrelator *self, double share);

void owd_correlator_header (OwdCorrelator *self, const OwdHeader *header);
/* A hint, some flows ahead: this one will be given to owd_correlator_flow() after all those that were announced before,
 * and none that was not in between. Memory is asked for what it will need. Nothing depends on it but speed. */
void owd_correlator_expect (OwdCorrelator *self, const OwdFlow *flow);
/* A flow of the last header; copied. OWD_STATUS_OK: taken; OWD_STATUS_DUPLICATE, OWD_STATUS_FULL (shed),
 * OWD_STATUS_MALFORMED (no usable stamps): counted and left. */
OwdStatus owd_correlator_flow (OwdCorrelator *self, const OwdFlow *flow);
/* Log time has come to log_time (never moves back). Samples that can no longer change reach the sink in time order
 * before the call returns. */
void owd_correlator_advance (OwdCorrelator *self, OwdTime log_time);
/* End of the log: delivers everything that is ready, whatever the horizon. The watermark moves behind it. */
void owd_correlator_flush (OwdCorrelator *self);

/* No sample with ts at or before it will be delivered any more. OWD_TIME_NONE before the first advance. */
OwdTime owd_correlator_watermark (const OwdCorrelator *self);
guint64 owd_correlator_seq (const OwdCorrelator *self);
gint64 owd_correlator_horizon_ns (const OwdCorrelator *self);
/* Share of flows that are kept now, 0..1: below 1 while memory is short, the rate is exceeded, or a limit is set. */
double owd_correlator_kept (const OwdCorrelator *self);
guint32 owd_correlator_waiting (const OwdCorrelator *self);
const OwdCorrelatorCounters *owd_correlator_counters (const OwdCorrelator *self);
guint owd_correlator_n_states (const OwdCorrelator *self);
void owd_correlator_state (const OwdCorrelator *self, guint i, OwdCorrelatorState *ret_state);

/* Snapshot of the whole state, e.g. for a checkpoint: a correlator loaded from it goes on bit for bit. The format
 * belongs to this build's architecture and version; load refuses others with OWD_ERROR_CORRUPT and leaves self fresh.
 * write, read: return FALSE on failure, which ends the call with FALSE. */
typedef gboolean (*OwdSaveFunc) (void *user, const void *data, gsize len);
typedef gboolean (*OwdLoadFunc) (void *user, void *data, gsize len);
gboolean owd_correlator_save (const OwdCorrelator *self, OwdSaveFunc write, void *user);
gboolean owd_correlator_load (OwdCorrelator *self, OwdLoadFunc read, void *user,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdCorrelator, owd_correlator_free)

G_END_DECLS

#endif
