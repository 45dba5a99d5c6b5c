/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this folder share. All structures are plain memory without pointers: zeroed is fresh, a copy is a
 * snapshot, and two of them merge by addition.
 */
#ifndef OWD_PROFILER_INTERNAL_H
#define OWD_PROFILER_INTERNAL_H

#include "owd-fit.h"
#include "owd-profiler.h"

/* ---- batch.c: what a profile takes of records ---------------------------------------------------- */

/* What is only counted. Zeroed is empty. */
typedef struct {
  guint32 sent; /* records by the exporter's own count: a biflow is one, and so is one that the log holds twice */
  guint32 seen; /* records, without second views behind a NAT */
  guint32 tcp, syn;
  guint32 sampled, sampling_lo, sampling_hi; /* records that tell a sampling, and which */
} Counts;
void counts_add (Counts *self, const OwdFlow *flow);

/* What is measured, in one cache line. */
typedef struct {
  guint64 hash; /* of the flow as this exporter sees it: direction, interface and side are part of it */
  guint64 start_raw, end_raw;
  gint64 init_ms;
  guint32 in_if;
  guint16 tcp_flags;
  guint8 proto, end_reason, start_kind, end_kind;
  guint8 single; /* one packet */
} Record;
void record_from_flow (Record *ret, const OwdFlow *flow);
/* Of many records of an exporter one in eight is measured, but always the same flows, so that continuations are
 * recognised. records: of this exporter so far. */
gboolean record_is_chosen (const OwdFlow *flow, guint64 records);

/* Both belong to the header given last. */
void owd_profile_add_counts (OwdProfile *self, const Counts *counts);
void owd_profile_add_records (OwdProfile *self, const Record *records, guint n);
/* They will be added soon: asks for the memory they need. */
void owd_profile_prefetch_records (const OwdProfile *self, const Record *records, guint n);
/* One datagram's header, from two partitions. */
static inline gboolean
owd_profile_same_header (const OwdHeader *a, const OwdHeader *b)
{
  return a->recv_ns == b->recv_ns && a->seq == b->seq && a->export_s == b->export_s && a->port == b->port;
}

/* ---- lag.c: quantiles of times from ms to years in bounded memory --------------------------------- */

/* Bins of 1 ms up to 16 ms, then 16 to each doubling: no quantile is off by more than 3 % of its value. */
#define LAG_OCTAVES 34
#define LAG_SIDE (16 + 16 * LAG_OCTAVES)

typedef struct {
  guint64 n;
  guint32 bin[2][LAG_SIDE]; /* below zero, from zero on */
} LagHist;

/* 0..15: ms; then 16 to each octave. */
static inline guint
lag_bin (guint64 ms)
{
  guint octave;

  if (ms < 16)
    return (guint) ms;
  octave = 63u - (guint) __builtin_clzll (ms) - 4; /* ms >> octave is in 16..31 */
  if (octave >= LAG_OCTAVES)
    return LAG_SIDE - 1;
  return 16 * octave + (guint) (ms >> octave);
}

/* In line: several to each record. */
static inline void
lag_add (LagHist *self, gint64 ns)
{
  gboolean positive = ns >= 0;
  guint64 ms = (positive ? (guint64) ns : -(guint64) ns) / (guint64) OWD_NS_PER_MS;

  self->n++;
  self->bin[positive][lag_bin (ms)]++;
}

void lag_merge (LagHist *self, const LagHist *other);
/* Value in ms at or below which a share q of all lies; 0 where there is nothing. */
double lag_quantile_ms (const LagHist *self, double q);
/* Number of values in bins that lie entirely at or above a value. */
guint64 lag_count_above (const LagHist *self, double ms);
OwdEstimate lag_estimate (const LagHist *self, double q);

/* ---- blunder.c: stamps that cannot be ------------------------------------------------------------- */

/* Ages of one record's stamps: its export minus the stamp. */
typedef struct {
  gint64 start_ns, end_ns;
  gboolean zero; /* a stamp is 0 */
} Ages;

typedef struct {
  guint64 n; /* records measured */
  guint64 count[OWD_BLUNDERS];
  gint64 old_ns;      /* older than this cannot be; follows from the ages seen */
  gint64 ahead_ns;    /* as far ahead of the export as good stamps come */
  LagHist start, end; /* ages, also of nonsense */
} Blunders;

/* slack_ns: steps of the stamps; by so much a good stamp may seem off. TRUE: nonsense. */
gboolean blunder_add (Blunders *self, const Ages *ages, gint64 slack_ns);
void blunder_merge (Blunders *self, const Blunders *other);
void blunder_summary (const Blunders *self, OwdBlunderSummary *ret);

/* ---- timeout.c: when the flow cache lets go ------------------------------------------------------- */

#define EDGE_BIN_NS (OWD_NS_PER_S / 4)
#define EDGE_BINS 8192 /* 2048 s */

typedef struct {
  guint64 n;
  guint32 top; /* no bin from here on has anything: most of them never become memory */
  guint32 bin[EDGE_BINS];
} EdgeHist;

#define RECENT_FLOWS 1024

typedef struct {
  guint64 hash;
  gint64 start_ns, end_ns; /* on the stamps' own scale */
} RecentFlow;

typedef struct {
  EdgeHist idle;         /* end ages of records that only silence can have ended */
  EdgeHist active;       /* start ages of all others */
  EdgeHist length;       /* end minus start of these */
  guint64 reasons;       /* records that tell why they ended (IE 136) */
  guint64 repeats, anew; /* continuations with the start of the flow; with one of their own */
  guint8
      tag[RECENT_FLOWS]; /* of the flow in that place, 0: none; so that most records need no look at the place itself */
  RecentFlow recent[RECENT_FLOWS];
} Timeouts;

typedef struct {
  guint64 hash;
  gint64 start_ns, end_ns; /* on the stamps' own scale */
  Ages ages;
} TimedFlow;

/* TRUE: only silence can have ended it. */
gboolean timeout_add (Timeouts *self, const Record *record, const TimedFlow *timed);
static inline guint8
timeout_tag (guint64 hash)
{
  return (guint8) (hash >> 56) | 1;
}
/* Asks for the memory that a record of this flow will need soon. */
static inline void
timeout_prefetch (const Timeouts *self, guint64 hash)
{
  guint i = hash % RECENT_FLOWS;

  if (self->tag[i] == timeout_tag (hash))
    __builtin_prefetch (&self->recent[i], 1);
}
void timeout_merge (Timeouts *self, const Timeouts *other);
typedef struct {
  OwdEstimate active_s, inactive_s, repeats;
  OwdEstimate offset_s; /* ages are too large by this: stamps and exports have different clocks */
} TimeoutSummary;

/* slack_ns: steps of stamps and headers. shared: stamps and exports have one clock for sure. */
void timeout_summary (const Timeouts *self, gint64 slack_ns, gboolean shared, TimeoutSummary *ret);

/* Age at which records that silence ended begin to leave, to EDGE_BIN_NS; 0: not known yet. A walk over all bins. */
gint64 timeout_idle_edge_ns (const Timeouts *self);

/* ---- group.c: interfaces whose stamps differ from the others' ------------------------------------- */

#define GROUP_BIN_NS (2 * OWD_NS_PER_MS)
#define GROUP_BINS 1024

typedef struct {
  guint32 in_if, n;
  guint16 bin[GROUP_BINS]; /* end ages from the base on */
} Group;

typedef struct {
  gint64 base_ns; /* 0: not set yet */
  guint n;
  Group group[OWD_PROFILE_GROUPS];
} Groups;

/* A record that silence ended. idle_edge_ns: counts for the first record only. */
void group_add (Groups *self, gint64 idle_edge_ns, guint32 in_if, gint64 age_ns);
void group_merge (Groups *self, const Groups *later);
/* Fills at most OWD_PROFILE_GROUPS, returns how many. */
guint group_summary (const Groups *self, OwdProfileGroup *ret);

/* ---- sequence.c: what never arrived --------------------------------------------------------------- */

#define SEQUENCE_RECENT 256

typedef struct {
  OwdTime recv_ns;
  guint32 seq;
  guint32 export_s;
  gboolean duplicate;
} SeenHeader;

typedef enum {
  SEEN_NEW,
  SEEN_AGAIN,     /* the same datagram, from another partition */
  SEEN_DUPLICATE, /* its sequence number has been there: it arrived twice */
} Seen;

typedef struct {
  SeenHeader recent[SEQUENCE_RECENT];
  OwdTime newest_ns; /* receive time */
  guint32 n;         /* headers taken; n % SEQUENCE_RECENT is the next place */
  guint32 next;      /* expected without the records of the current datagram */
  guint32 records;   /* of the current datagram, that its sequence counts */
  gboolean late;     /* the current datagram fills a gap */
  gboolean counts_datagrams;
  guint64 got, missing; /* units: datagrams or records */
  guint64 gaps, late_units, resets;
  guint64 duplicates;
} Sequence;

Seen sequence_header (Sequence *self, const OwdHeader *header, gboolean restarted);
/* current: of the datagram that came last, else of an earlier one. */
/* records: as the exporter counts them. */
void sequence_records (Sequence *self, guint32 records, gboolean current);
void sequence_merge (Sequence *self, const Sequence *later);
void sequence_summary (const Sequence *self, OwdEstimate *ret_lost, OwdEstimate *ret_loss);

/* ---- profile.c ------------------------------------------------------------------------------------ */

/* Not known, for this reason; lo and hi may be set by hand. */
OwdEstimate estimate_unknown (const char *why, guint64 n);
#define BOUND_SD 3.3 /* standard deviations of a bound, where chance makes it */
OwdEstimate estimate (double value, double lo, double hi, guint64 n);
OwdEstimate estimate_bound (double value, double lo, double hi, guint64 n);
/* What is read off: nothing else fits. */
OwdEstimate estimate_exact (double value, guint64 n);
/* Share k of n with its 95 % range (Wilson). */
OwdEstimate estimate_share (guint64 k, guint64 n);
/* The same, of records that are alike in groups of a few. */
OwdEstimate estimate_share_bound (guint64 k, guint64 n);

#endif
