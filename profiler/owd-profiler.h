/* SPDX-License-Identifier: Apache-2.0
 *
 * The profile of one exporter state: every error that its stamps carry, from nothing but its exports.
 *
 * Problem. A delay is only as good as the stamps of two exporters, and nobody tells how good these are: steps, boot
 * times, clock steps, nonsense, timeouts and losses all have to be read from the exports themselves, in the presence of
 * all the other faults.
 *
 * Idea. One pass with bounded memory: the clock model (clock/) for steps and boot time, histograms of ages (send time
 * of a record minus its stamps) for timeouts, lags and nonsense, sequence numbers for losses. What decides is always a
 * rank or a majority, never a mean, so that nonsense stamps only take their share.
 *
 * Promise. Every estimate carries its range, the number of observations and, where it cannot be had, why not: an
 * estimate with known == FALSE has no value. Ranges are of two kinds, and say which: those of what chance blurs hold
 * the truth in 95 % of cases, those that follow from the exports by force in 99.9 %.
 *
 * Reads no clock, does no I/O. Signs as in owd-time.h. Memory: about 200 KiB per exporter state, whatever the length.
 */
#ifndef OWD_PROFILER_H
#define OWD_PROFILER_H

#include "owd-clock.h"

G_BEGIN_DECLS

typedef struct OwdProfile OwdProfile;

/* skew_bound_ppm: how fast uptime and wall clock of an exporter may drift apart. */
OwdProfile *owd_profile_new (const OwdStateKey *key, double skew_bound_ppm);
void owd_profile_free (OwdProfile *self); /* NULL is fine */

/* A datagram, before its records. The same header may come again (a log repeats it in each partition): it counts once,
 * and records that follow belong to it. Headers of one state come in order of receive time, give or take seconds. */
void owd_profile_add_header (OwdProfile *self, const OwdHeader *header);
/* A record of the header given last. */
void owd_profile_add_flow (OwdProfile *self, const OwdFlow *flow);

/* The same for many exporters at once, whose datagrams come mixed: kept for a while and given to one profile after the
 * other, which is several times as fast. Profiles must live until the flush, and take nothing else meanwhile. */
typedef struct OwdProfileBatch OwdProfileBatch;
OwdProfileBatch *owd_profile_batch_new (void);
void owd_profile_batch_free (OwdProfileBatch *self); /* NULL is fine; what was not flushed is lost */
/* Returns: the number by which the batch knows it. */
guint owd_profile_batch_add (OwdProfileBatch *self, OwdProfile *profile);
void owd_profile_batch_header (OwdProfileBatch *self, guint number, const OwdHeader *header);
/* A record of the header given last. */
void owd_profile_batch_flow (OwdProfileBatch *self, const OwdFlow *flow);
/* Gives what is there to the profiles. */
void owd_profile_batch_flush (OwdProfileBatch *self);

/* Adds what `later` has learnt of the same exporter state over a range of time behind that of self. What was learnt of
 * the clock is later's, older segments stay in the list. */
void owd_profile_merge (OwdProfile *self, const OwdProfile *later);

/* ---- snapshots: a profile that goes on another day ------------------------------------------------- */

/* A profile as owd_profile_size() bytes, for the same program on the same machine: what is fed to the thawed one counts
 * as if it had been fed to the first. bytes: aligned as malloc() does. */
gsize owd_profile_size (void);
void owd_profile_freeze (const OwdProfile *self, void *ret_bytes);
OwdProfile *owd_profile_thaw (const void *bytes) G_GNUC_WARN_UNUSED_RESULT;
const OwdStateKey *owd_profile_key (const OwdProfile *self);
guint64 owd_profile_records (const OwdProfile *self);
OwdTime owd_profile_until (const OwdProfile *self); /* receive time of its last header; OWD_TIME_NONE: none */

/* ---- what came out --------------------------------------------------------------------------------- */

#define OWD_LEVEL_RANGE 0.95
#define OWD_LEVEL_BOUND 0.999

/* The unit is said where the estimate stands. */
typedef struct {
  double value;    /* NAN unless known */
  double lo, hi;   /* the truth lies within; also given where only a bound is known, else NAN */
  double level;    /* in this share of cases: OWD_LEVEL_RANGE or OWD_LEVEL_BOUND */
  guint64 n;       /* observations it rests on */
  gboolean known;  /* FALSE: not identifiable, or too little data */
  const char *why; /* static text: why it is not known; NULL where it is */
} OwdEstimate;

/* How boot time and wall clock of a segment began. The names are part of the output. SLEW: the wall clock ran away from
 * the uptime by less than NTP steps by, faster than any skew. */
typedef enum { OWD_SEGMENT_FIRST, OWD_SEGMENT_REBOOT, OWD_SEGMENT_STEP, OWD_SEGMENT_SLEW } OwdSegmentCause;

/* From one reboot or clock step to the next. */
typedef struct {
  OwdTime from_ns, to_ns; /* receive times of its first and its last header */
  OwdSegmentCause cause;
  OwdTime after_ns; /* what began it happened between the sending of the header received then and of that at from_ns */
  OwdEstimate step_ms;  /* STEP, SLEW: wall clock behind the step minus before it */
  OwdTime boot_at_ns;   /* boot time holds for this instant (exporter's clock), */
  OwdEstimate boot_ms;  /* ms since 1970; lo, hi: hard bounds */
  OwdEstimate skew_ppm; /* uptime against the exporter's wall clock; positive: uptime is fast */
  double even_ms;       /* width of boot_ms if there is no skew at all; NAN: there is one */
  double over_s;        /* boot time and skew rest on so much uptime around boot_at_ns */
  double jitter_ms;     /* by so much header times and uptimes contradict a straight line */
  guint32 headers;
} OwdProfileSegment;

#define OWD_PROFILE_SEGMENTS 32 /* kept; more are only counted */

/* What the header's uptime is good for. */
typedef enum {
  OWD_UPTIME_NONE,     /* no uptime in headers */
  OWD_UPTIME_FINE,     /* boot time follows from it */
  OWD_UPTIME_LOCKED,   /* exports are locked to the second: boot time stays wide */
  OWD_UPTIME_FLOATING, /* every datagram has an epoch of its own */
  OWD_UPTIME_UNSTABLE, /* header times contradict each other again and again */
  OWD_UPTIME_FEW,      /* too few headers to tell */
} OwdUptimeUse;

typedef enum {
  OWD_BLUNDER_ZERO,   /* a stamp is 0 */
  OWD_BLUNDER_BEFORE, /* end before start */
  OWD_BLUNDER_FUTURE, /* later than its own export */
  OWD_BLUNDER_PAST,   /* far older than this exporter's records are */
  OWD_BLUNDER_SLIP,   /* a wrap slipped: 2^32 ms or 2^32 us off */
  OWD_BLUNDERS
} OwdBlunder;

/* Share of records; a range from nothing seen is still a range (rule of three). */
typedef struct {
  OwdEstimate rate; /* 0..1, of records measured */
  guint64 count[OWD_BLUNDERS];
} OwdBlunderSummary;

#define OWD_PROFILE_GROUPS 16 /* interfaces looked at */

/* Records that came in by one interface: its line card may have a clock of its own. */
typedef struct {
  guint32 in_if;
  OwdEstimate offset_ms; /* against the median of all interfaces; positive: its clock is ahead */
} OwdProfileGroup;

typedef struct {
  OwdStateKey key;
  OwdTime from_ns, to_ns; /* receive times */
  guint64 headers, records;
  guint64 measured;               /* records whose stamps have an age */
  guint64 duplicates, disordered; /* datagrams */

  /* stamps; ms */
  OwdStampKind start_kind, end_kind;
  OwdEstimate step_ms[2], phase_ms[2]; /* start, end */
  OwdEstimate header_step_ms;          /* resolution of the header's time */
  OwdEstimate uptime_step_ms;          /* of the header's uptime */
  OwdEstimate uptime_lag_ms;           /* header's uptime is up to this old: flows end behind it */
  OwdEstimate epoch_ms;                /* absolute stamps lie so far before the header's time beyond any lag seen */

  OwdUptimeUse uptime;
  guint32 reboots, steps, slews, segments_lost; /* lost: not kept below */
  OwdProfileSegment segment[OWD_PROFILE_SEGMENTS];
  guint n_segments;
  OwdTime moved_ns; /* the wall clock was moved, or may have been, at last before the sending of the header received
                     * then; OWD_TIME_NONE: no sign of it */

  OwdEstimate lag_start_ms[4], lag_end_ms[4]; /* receive time minus stamp: 50, 95, 99, 99.9 % */
  OwdBlunderSummary blunders;
  OwdEstimate active_s, inactive_s;
  OwdEstimate repeats;  /* share of continuations that repeat the start of the flow */
  OwdEstimate lost;     /* datagrams (v9) or records (v5, IPFIX) that sequence numbers miss */
  OwdEstimate loss;     /* share of these */
  OwdEstimate sampling; /* 1 in N as announced */
  OwdEstimate syn;      /* share of TCP flows whose first record has a SYN; little without sampling is odd */
  double records_per_s, peak_records_per_s;
  OwdProfileGroup group[OWD_PROFILE_GROUPS];
  guint n_groups; /* 0: fewer than two with enough records */
} OwdProfileSummary;

void owd_profile_summary (const OwdProfile *self, OwdProfileSummary *ret_summary);

/* ---- reports --------------------------------------------------------------------------------------- */

/* name: as people know the exporter. Appends to out. */
void owd_profile_text (const OwdProfileSummary *summary, const char *name, GString *out);
/* One JSON object without line break; of the segments all, or only the one with this index. */
#define OWD_PROFILE_ALL_SEGMENTS G_MAXUINT
void owd_profile_json (const OwdProfileSummary *summary, const char *name, guint segment, GString *out);
/* What is wrong and what to change, a sentence each; empty where nothing is. Returns: (transfer full) (element-type
 * utf8), free with g_ptr_array_unref(). */
GPtrArray *owd_profile_findings (const OwdProfileSummary *summary);

/* ---- capacity --------------------------------------------------------------------------------------- */

/* What exporters of such profiles need further on. */
typedef struct {
  guint exporters, unknown; /* states; those of them whose lag is not known */
  double records_per_s, peak_records_per_s;
  double wished_horizon_s; /* holds 99.9 % of all starts */
  double horizon_s;        /* the same, but at most max-latency */
  double memory_mib;       /* of the correlator, for records that wait */
  double log_gib_per_day;
  double samples_per_s, database_gib_per_day; /* where flows pass two points */
} OwdProfilePlan;

void owd_profile_plan (const OwdProfileSummary *const *all, guint n, double max_latency_s, OwdProfilePlan *ret_plan);
void owd_profile_plan_text (const OwdProfilePlan *plan, GString *out);
void owd_profile_plan_json (const OwdProfilePlan *plan, GString *out);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdProfile, owd_profile_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdProfileBatch, owd_profile_batch_free)

G_END_DECLS

#endif
