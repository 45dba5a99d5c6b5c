/* SPDX-License-Identifier: Apache-2.0
 *
 * The clock model of one exporter state: from a raw stamp to an interval of absolute time.
 *
 * Problem. A stamp is coarse (steps of 1 to 1024 ms are seen whatever its declared unit), and many stamps count from a
 * boot time that nobody exports: NetFlow v9 headers carry whole seconds, so one header locates the boot time only
 * within a second, and collectors that recompute it per datagram inherit that second as noise.
 *
 * Idea. Every header is a constraint, not a measurement: boot lies in [T - U, T - U + tick). Uptime and wall clock run
 * apart by a skew, so boot is a line over uptime; the lines that satisfy all headers form a small convex polygon of
 * (skew, boot), clipped by each new one. Its extent at any uptime is the interval that holds the boot time there, exact
 * for a constant skew. A constraint that contradicts the others opens an alternative: a second witness confirms a
 * reboot or a clock step, the datagram's own records meanwhile use their own header. Steps of stamps are learnt from
 * residues (resolution.c); as long as few stamps were seen, the interval takes the largest step that is not refuted
 * yet, the best estimate the likeliest one.
 *
 * Invariants. lo < hi always. Nothing here is ever more certain than its inputs allow: an exporter whose timer is
 * locked to the second keeps an interval of a second. All structures are plain memory without pointers: a copy is a
 * snapshot.
 *
 * Time scale. Intervals are in the exporter's own real-time clock. Whether that clock agrees with others (NTP) is an
 * assumption of whoever compares two exporters. Receive times can only show that an exporter's clock is ahead of the
 * collector's: then rtc_ahead_ns says by how much at least.
 */
#ifndef OWD_CLOCK_H
#define OWD_CLOCK_H

#include "owd-prior.h"

#include <math.h>

G_BEGIN_DECLS

/* ---- resolution: step of a stamp from its residues ------------------------------------------------ */

#define OWD_STEP_CANDIDATES 27
#define OWD_STEP_LARGEST_US G_GINT64_CONSTANT (1024000)
#define OWD_STEP_KNOWN 32    /* stamps */
#define OWD_STEP_USE_ALL 128 /* so many, then */
#define OWD_STEP_USE_ONE_IN 64

/* One candidate step: majority vote over residues. */
typedef struct {
  guint32 phase; /* us: residue that leads the vote */
  gint32 vote;   /* lead of that residue */
  guint32 agree; /* stamps with that residue since it leads */
  guint32 n;     /* stamps since it leads */
} OwdStepVote;

/* Learns the step of one stamp field. Zeroed memory is a fresh one. */
typedef struct {
  guint32 n;       /* stamps used */
  guint32 seen;    /* stamps offered: after the first 128 every 64th is used */
  guint32 step_us; /* the largest consistent candidate, as of the last stamp used */
  OwdStepVote vote[OWD_STEP_CANDIDATES];
} OwdResolution;

/* us: the stamp in microseconds of its own time scale (any origin that does not move). */
void owd_resolution_add (OwdResolution *self, guint64 us);
/* The same in two steps: a stamp is offered, and is only looked at where this is TRUE, by owd_resolution_use(). */
static inline gboolean
owd_resolution_offer (OwdResolution *self)
{
  if (self->seen < G_MAXUINT32)
    self->seen++;
  return self->seen <= OWD_STEP_USE_ALL || self->seen % OWD_STEP_USE_ONE_IN == 0;
}
void owd_resolution_use (OwdResolution *self, guint64 us);
/* Largest step in ns that is consistent with at least three of four stamps, at least floor_ns; with no stamps: the
 * largest candidate. Conservative: shrinks while evidence comes. */
static inline gint64
owd_resolution_step_ns (const OwdResolution *self, gint64 floor_ns)
{
  gint64 step_ns = (self->n == 0 ? OWD_STEP_LARGEST_US : self->step_us) * OWD_NS_PER_US;

  return MAX (step_ns, floor_ns);
}
/* TRUE once the step rests on enough stamps to be more than a bound. */
static inline gboolean
owd_resolution_known (const OwdResolution *self)
{
  return self->n >= OWD_STEP_KNOWN;
}

/* ---- boot time: interval intersection over headers ------------------------------------------------ */

typedef enum {
  OWD_BOOT_SAME,     /* consistent with what was known */
  OWD_BOOT_FIRST,    /* the first header */
  OWD_BOOT_OUTLIER,  /* contradicts; not confirmed yet: only this datagram is read by its own header */
  OWD_BOOT_REBOOT,   /* confirmed: uptime began anew */
  OWD_BOOT_STEP,     /* confirmed: uptime goes on, wall clock jumped */
  OWD_BOOT_FLOATING, /* sysUptime does not follow time: every datagram has an epoch of its own (fprobe) */
  OWD_BOOT_UNSTABLE, /* header times contradict each other again and again: from now on all count for less */
} OwdBootEvent;

#define OWD_BOOT_CORNERS 24

/* The lines boot (u) = ref_ns + offset + skew * (u - ref_uptime) that satisfy all headers taken: a convex polygon. */
typedef struct {
  gint64 ref_ns;        /* Unix ns */
  gint64 ref_uptime_ms; /* unwrapped */
  gint64 first_uptime_ms, last_uptime_ms;
  guint32 headers; /* taken; 0: nothing known */
  guint32 n;       /* corners, at least 3 */
  struct {
    double skew_ppm; /* wall clock against uptime; positive: boot moves on */
    double offset_ns;
  } corner[OWD_BOOT_CORNERS];
} OwdBootLines;

#define OWD_BOOT_RECENT 96
#define OWD_BOOT_DOUBTED 4

/* What one header says of the boot time: it lies in [lo, hi). */
typedef struct {
  gint64 lo_ns, hi_ns;
  gint64 uptime_ms; /* unwrapped */
  OwdTime recv_ns;
} OwdBootHeader;

/* The line that a profile takes for the likeliest: boot (u) = boot_ns + skew * (u - at). */
typedef struct {
  guint32 segment; /* 0: none */
  gint64 at_ms;    /* unwrapped uptime */
  gint64 boot_ns;
  double skew_ppm;
} OwdBootLikely;

/* Zeroed memory is a fresh one. */
typedef struct {
  OwdBootLines main;           /* the last one to two hours, or the whole segment if shorter */
  OwdBootLines young;          /* the part of it that will stay when the older part is forgotten */
  OwdBootLines alt;            /* the unconfirmed contradiction */
  OwdBootLines before;         /* the main lines without headers that may have come after it began */
  gint64 before_alt_ms;        /* if it is right: the last uptime that was surely before it */
  OwdBootLines past;           /* the segment before this one */
  OwdBootLikely likely[2];     /* of this segment, and of the one before */
  gint64 use_lo_ns, use_hi_ns; /* boot time for records of the current datagram, in [lo, hi) */
  gint64 use_uptime_ms;        /* unwrapped uptime of the current header */
  guint32 use_segment;         /* 0: this datagram is read by its own header alone */
  guint32 segment;             /* number of the current segment: grows with every reboot, step, and floating epoch */
  guint32 segments;            /* confirmed reboots and steps, plus 1 */
  gint64 segment_uptime_ms;    /* where the current one began; after a step: its first header that shows it */
  gint64 before_step_ms;       /* after a step: the last uptime that was surely before it */
  OwdTime
      before_step_recv_ns; /* of the last header that the lines behind it refute; OWD_TIME_NONE: of those kept none */
  OwdBootHeader recent[OWD_BOOT_RECENT]; /* ring of the main lines' headers; those before a step, until it is located */
  OwdBootLines older[3];                 /* the main lines as they were, each half a ring before the one in front */
  guint32 n_recent;                      /* ever put there; 0: none */
  guint32 recent_segment;                /* both are of this one */
  gboolean stepped;                      /* it began with a step: uptimes before that belong to the one before */
  guint32 reboots, steps, outliers;
  gboolean floating;       /* uptime is no clock: each datagram has an epoch of its own */
  guint32 strikes;         /* headers whose uptime did not follow receive time, less those that did */
  OwdTime watch_recv_ns;   /* of the last header */
  OwdTime watch_export_ns; /* likewise */
  guint32 watch_uptime_ms; /* likewise */
  gint64 jitter_ns;        /* header times and uptimes contradict each other by so much, again and again */
  gint64 settled_ns;       /* the jitter before the latest contradictions that may be no jitter but a step */
  OwdBootHeader doubted[OWD_BOOT_DOUBTED]; /* the headers that showed these, jitter left out */
  guint32 n_doubted;                       /* more than fit: it is jitter */
  guint32 window;                          /* headers in the current window, */
  guint32 small;                           /* contradictions in it that may be jitter, */
  gint64 largest_ns;                       /* and the largest of them */
  guint32 calm;                            /* headers since the last contradiction */
  gint64 rtc_ahead_ns; /* the exporter's clock is at least this far ahead of the collector's; 0: not proven */
} OwdBoot;

/* tick_ns: resolution of the header's time; uptime_step_ns: of its uptime; skew_bound_ppm: how fast uptime and wall
 * clock of this exporter may drift apart. Headers may come out of order by a few seconds. */
OwdBootEvent owd_boot_header (OwdBoot *self, OwdTime export_ns, gint64 tick_ns, guint32 uptime_ms,
                              gint64 uptime_step_ns, OwdTime recv_ns, double skew_bound_ppm);
/* One header contradicts the others, and those after it speak neither for it nor against it: the clock may have been
 * stepped, or that header is wrong. */
static inline gboolean
owd_boot_doubtful (const OwdBoot *self)
{
  return self->alt.headers > 1;
}
/* Header uptimes turned out to be older than their header by `by_ns` more than was known: all that was learnt may lie
 * so much too late. */
void owd_boot_widen (OwdBoot *self, gint64 by_ns, double skew_bound_ppm);
/* The interval [lo, hi) of the boot time as it was at an uptime of a segment, with all that is known now. FALSE where
 * the segment is too far back. Between the last header that was surely sent before a step and the first one that shows
 * it the clock may have been either; this knows nothing of that: see owd_boot_around_step(). */
gboolean owd_boot_at (const OwdBoot *self, guint32 segment, gint64 uptime_ms, gint64 *ret_lo_ns, gint64 *ret_hi_ns);
/* The same for an uptime around the step that began the current segment, whichever of both segments it was taken for:
 * where it may be either, the interval holds both, and *ret_either is set. FALSE: no step, or not in these segments. */
gboolean owd_boot_around_step (const OwdBoot *self, guint32 segment, gint64 uptime_ms, gint64 *ret_lo_ns,
                               gint64 *ret_hi_ns, gboolean *ret_either);
/* What a profile knows of the current segment's boot time: used from now on where it says more than the headers have,
 * and does not contradict them. TRUE: used. */
gboolean owd_boot_prior (OwdBoot *self, const OwdPrior *prior);
/* The best estimate of a boot time that lies in [lo, hi): what a profile says, else the middle. */
gint64 owd_boot_likely (const OwdBoot *self, guint32 segment, gint64 uptime_ms, gint64 lo_ns, gint64 hi_ns);

/* ---- header uptimes that are read before they are sent ------------------------------------------ */

#define OWD_LAG_BINS 32

/* Flow ends around their header's uptime. Zeroed memory is a fresh one. */
typedef struct {
  guint32 recent;               /* ended in the 512 ms before it */
  guint32 behind[OWD_LAG_BINS]; /* ended so much after it, 16 ms a bin */
  gint64 lag_ms;                /* the uptime may be so old */
} OwdUptimeLag;

/* ---- one exporter state ------------------------------------------------------------------------- */

/* Kinds of stamps that share a grid. */
typedef enum { OWD_GRID_UPTIME, OWD_GRID_UNIX_MS, OWD_GRID_FINE, OWD_GRIDS } OwdGrid;

typedef struct {
  OwdResolution stamp[2][OWD_GRIDS]; /* start, end */
  OwdResolution frac;                /* fraction of the header's time (v5) */
  OwdResolution uptime;              /* header uptime */
  OwdBoot boot;
  gint64 init_lo_ms, init_hi_ms; /* systemInitTime (IE 160) as last seen, with its jitter; 0: never */
  OwdTime export_ns;             /* header time of the current datagram */
  gint64 tick_ns;                /* and its resolution */
  gboolean uptime_known;         /* the current header has an uptime, */
  guint32 uptime_ms;             /* this one */
  OwdUptimeLag lag;
  double skew_bound_ppm;
  OwdPrior prior; /* as given last; id 0: none */
} OwdClock;

/* Absolute time of a stamp: the true instant lies in [lo_ns, lo_ns + clock_ns + step.bound_ns) of the exporter's own
 * clock; the best estimate is lo_ns + likely_ns + step.likely_ns / 2. */
typedef struct {
  OwdTime lo_ns;
  gint64 clock_ns;  /* width of the boot interval, common to all stamps of a segment at one time */
  gint64 likely_ns; /* where in it the boot time most likely is, 0 .. clock_ns */
  gint64 boot_ns;   /* what of lo_ns is boot time; 0 where the stamp needs none */
  guint32 segment;  /* of the boot time; 0: cannot be refined */
  gboolean either;  /* the wall clock was stepped around then: the interval holds both of its times */
} OwdInstant;

typedef enum { OWD_STAMP_START, OWD_STAMP_END } OwdStampEnd;

/* Step of one stamp field, as known now. */
typedef struct {
  gint64 bound_ns;  /* not refuted: what an interval must use */
  gint64 likely_ns; /* what a best estimate should use: the learnt step, before that the unit of the stamp */
  gboolean known;   /* both are the step as learnt here, or from a profile */
} OwdStep;
OwdStep owd_clock_step (const OwdClock *self, OwdStampKind kind, OwdStampEnd which);

/* The profile in force, before the first header that it is for. What the exports show themselves counts for more, once
 * they have shown it. Copied. */
void owd_clock_prior (OwdClock *self, const OwdPrior *prior);
/* The header of a datagram, before its records. */
OwdBootEvent owd_clock_header (OwdClock *self, const OwdHeader *header, double skew_bound_ppm);
/* A record of the current datagram: learns the steps of its stamps. */
/* TRUE: owd_clock_step() or owd_clock_span() may say something else now. */
gboolean owd_clock_learn (OwdClock *self, const OwdFlow *flow);
/* Absolute time of one stamp of a record of the current datagram. FALSE where none can be given: no stamp, or uptime
 * without any base. */
gboolean owd_clock_instant (const OwdClock *self, const OwdFlow *flow, OwdStampEnd which, OwdInstant *ret_instant);
/* The same instant with what later headers have shown, by the boot time as it was then: at first that of the datagram
 * is taken, which a skew of 60 ppm has moved by 4 ms within a minute. */
void owd_clock_refine (const OwdClock *self, OwdInstant *instant);

#define OWD_SPAN_LINES 5

typedef struct {
  double skew_ppm, offset_ns;
} OwdClockSpanLine;

/* owd_clock_refine() for whoever has many stamps of one time: on a stretch of uptime the edges of the boot interval lie
 * on the lines of few corners, and the others need not be looked at. The same to the nanosecond, but where two lines
 * are equal to within the rounding of a double. Holds until the clock gets its next header, record to learn from, or
 * profile. */
typedef struct {
  guint32 segment; /* of stamps that it is for; 0: none */
  gboolean told;   /* the boot time's likeliest place is a profile's: owd_boot_likely() knows it, not the middle */
  gint64 from_ms, length_ms;
  gint64 ref_uptime_ms, lo_ref_ns, hi_ref_ns;
  OwdClockSpanLine lo[OWD_SPAN_LINES], hi[OWD_SPAN_LINES]; /* the last one repeated */
} OwdClockSpan;

void owd_clock_span (const OwdClock *self, OwdClockSpan *ret_span);

/* [lo, hi) of the boot time at an uptime. FALSE: not in the span. */
static inline gboolean
owd_clock_span_at (const OwdClockSpan *self, gint64 uptime_ms, gint64 *ret_lo_ns, gint64 *ret_hi_ns)
{
  double u = (double) (uptime_ms - self->ref_uptime_ms), lo = INFINITY, hi = -INFINITY;
  gint64 floor_ns, ceil_ns;

  if ((guint64) (uptime_ms - self->from_ms) >= (guint64) self->length_ms)
    return FALSE;
  for (guint i = 0; i < OWD_SPAN_LINES; i++) {
    lo = MIN (lo, self->lo[i].offset_ns + self->lo[i].skew_ppm * u);
    hi = MAX (hi, self->hi[i].offset_ns + self->hi[i].skew_ppm * u);
  }
  floor_ns = (gint64) lo;
  ceil_ns = (gint64) hi;
  floor_ns -= (double) floor_ns > lo;
  ceil_ns += (double) ceil_ns < hi;
  *ret_lo_ns = self->lo_ref_ns + floor_ns;
  *ret_hi_ns = self->hi_ref_ns + MAX (ceil_ns, floor_ns + 1);
  return TRUE;
}

G_END_DECLS

#endif
