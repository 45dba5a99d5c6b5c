/* SPDX-License-Identifier: Apache-2.0
 *
 * All parameters of one exporter state; what feeds what.
 *
 *   headers -> sequence (losses, duplicates) -> clock (boot, skew, reboots, steps) -> segments
 *   records -> ages (send time minus stamp) -> nonsense? -> clock (steps of stamps), lags, timeouts
 *
 * Send time. For uptime stamps it is the header's uptime, in the stamps' own milliseconds. Absolute stamps are held
 * against the exporter's wall clock, which headers show in whole seconds only: receive time less the least receive
 * time minus header time of the last minutes is as good as that clock itself.
 *
 * Cost: all records are counted; once there are many at last one in eight is measured (batch.c), which changes no
 * figure by more than its range.
 */
#include "internal.h"

#include <math.h>
#include <string.h>

#define LOOK_EVERY 512 /* records that silence ended, until the age at which they leave is known */
#define TRANSIT_WINDOW_NS (300 * OWD_NS_PER_S)
#define LOCKED_HEADERS 24    /* at least so many headers before "locked to the second" is said, */
#define LOCKED_SPAN_MS 20000 /* over so long, */
#define LOCKED_SHARE 0.5     /* with an interval wider than this part of the header's tick, */
#define LOCKED_DRIFT 0.0005  /* and than what phases that drift by this part of time would leave */
#define SURE_CHANGES 6       /* stamps that differ from the one before and agree on a step */
#define ALIKE 8              /* records of one conversation are alike: so many tell what one of chance does */
#define SHARE_SD 2.17        /* of a share's 95 % range: by chance alone it were 1.96 */
#define GROW_SYN 200         /* TCP flows before their SYNs say something */

#define SOFT_MOST_NS (10 * OWD_NS_PER_MS)

#define SLEW_MS 128      /* smaller steps are none; */
#define SLEW_MOST_MS 500 /* larger ones are; */
#define BENT_MS 5        /* between them this decides: a single gap may come from the step itself */

struct OwdProfile {
  OwdStateKey key;
  double skew_bound_ppm;
  OwdTime first_ns, last_ns;
  guint64 headers, records, disordered;

  OwdClock clock;
  Sequence sequence;
  OwdHeader header;           /* the current one */
  gboolean current, measured; /* its records belong to the newest datagram; and are looked at */
  gboolean doubled;           /* the datagram had come before: its records do not count */
  gint64 transit_ns;          /* receive time minus send time (exporter's clock) of the current datagram */
  gint64 transit_min_ns[2];   /* least of receive minus header time: in this window, and in the one before */
  OwdTime transit_from_ns;

  OwdFlow stamps;     /* of the current record: nothing else is set in it */
  guint8 kind[2];     /* of stamps, as seen last */
  guint64 raw[2];     /* likewise */
  guint32 changes[2]; /* stamps that differed from the one before */
  LagHist lag[2];
  Blunders blunders;
  Timeouts timeouts;
  Groups groups;
  guint32 sampling_lo, sampling_hi;
  guint64 sampling_said;
  guint64 tcp, syn;

  guint32 second; /* receive time the records below came in */
  guint64 in_second, peak;

  OwdProfileSegment segment[OWD_PROFILE_SEGMENTS]; /* closed ones */
  guint n_segments, segments_lost;
  guint32 segment_headers;
  OwdTime segment_from_ns, segment_to_ns;
  OwdTime alternative_ns, before_alternative_ns; /* the header that contradicts, and the one in front of it */
  OwdSegmentCause segment_cause;
  OwdTime segment_after_ns; /* receive time of the last header that was surely sent before it began */
  double step_ms, step_error_ms;
};

/* ---- estimates ------------------------------------------------------------------------------------- */

OwdEstimate
estimate (double value, double lo, double hi, guint64 n)
{
  return (OwdEstimate){ .value = value, .lo = lo, .hi = hi, .level = OWD_LEVEL_RANGE, .n = n, .known = TRUE };
}

OwdEstimate
estimate_bound (double value, double lo, double hi, guint64 n)
{
  return (OwdEstimate){ .value = value, .lo = lo, .hi = hi, .level = OWD_LEVEL_BOUND, .n = n, .known = TRUE };
}

OwdEstimate
estimate_exact (double value, guint64 n)
{
  return estimate_bound (value, value, value, n);
}

OwdEstimate
estimate_unknown (const char *why, guint64 n)
{
  return (OwdEstimate){ .value = NAN, .lo = NAN, .hi = NAN, .level = OWD_LEVEL_BOUND, .n = n, .why = why };
}

/* Wilson's range of a share p of n, z standard deviations to each side. */
static OwdEstimate
wilson (double p, double n, double z)
{
  double middle = (p + z * z / (2 * n)) / (1 + z * z / n);
  double half = z / (1 + z * z / n) * sqrt (p * (1 - p) / n + z * z / (4 * n * n));

  return estimate (p, MIN (MAX (middle - half, 0), p), MAX (MIN (middle + half, 1), p), 0);
}

OwdEstimate
estimate_share (guint64 k, guint64 n)
{
  OwdEstimate e = wilson ((double) k / (double) n, (double) n, SHARE_SD);

  e.n = n;
  return e;
}

OwdEstimate
estimate_share_bound (guint64 k, guint64 n)
{
  OwdEstimate e = wilson ((double) k / (double) n, (double) n / ALIKE, BOUND_SD);

  e.level = OWD_LEVEL_BOUND;
  e.n = n;
  return e;
}

/* ---- a life ---------------------------------------------------------------------------------------- */

OwdProfile *
owd_profile_new (const OwdStateKey *key, double skew_bound_ppm)
{
  OwdProfile *self = g_new0 (OwdProfile, 1);

  self->key = *key;
  self->skew_bound_ppm = skew_bound_ppm;
  self->first_ns = self->last_ns = OWD_TIME_NONE;
  return self;
}

void
owd_profile_free (OwdProfile *self)
{
  g_free (self);
}

/* ---- segments -------------------------------------------------------------------------------------- */

/* Why a kept segment lacks an estimate: these go into snapshots, by number from 1 on. */
enum { WHY_NO_STEP, WHY_NO_UPTIME, WHY_ANY_SKEW, WHY_DOUBT, WHYS };
static const char *const SEGMENT_WHY[WHYS] = {
  [WHY_NO_STEP] = "no step",
  [WHY_NO_UPTIME] = "no header with an uptime",
  [WHY_ANY_SKEW] = "headers leave nearly every skew possible: too few, too short, or locked to the second",
  [WHY_DOUBT] = "one header speaks for a clock step, and none after it for or against it",
};

static OwdEstimate
boot_estimate (const OwdBootFit *fit)
{
  double ms = (double) fit->boot_ns / (double) OWD_NS_PER_MS;

  return estimate_bound (ms, (double) fit->lo_ns / (double) OWD_NS_PER_MS, (double) fit->hi_ns / (double) OWD_NS_PER_MS,
                         fit->headers);
}

/* Boot moves on where the uptime is slow. */
static OwdEstimate
skew_estimate (const OwdProfile *self, const OwdBootFit *fit)
{
  OwdEstimate e = estimate (-fit->skew_ppm, -fit->skew_hi95_ppm, -fit->skew_lo95_ppm, fit->headers);

  if (fit->skew_hi_ppm - fit->skew_lo_ppm < self->skew_bound_ppm && !fit->doubtful)
    return e;
  e.value = NAN;
  e.known = FALSE;
  e.why = SEGMENT_WHY[fit->doubtful ? WHY_DOUBT : WHY_ANY_SKEW];
  return e;
}

/* The cut of the uptime, where it is too fine to go along with that of the header's time. */
static gint64
soft_ns (const OwdProfile *self)
{
  gint64 step_ns = owd_resolution_step_ns (&self->clock.uptime, OWD_NS_PER_MS);

  return step_ns <= SOFT_MOST_NS ? MIN (step_ns, self->clock.tick_ns) : 0;
}

static void
tell_fit (const OwdProfile *self, const OwdBootFit *fit, OwdProfileSegment *s)
{
  s->boot_ms = boot_estimate (fit);
  s->skew_ppm = skew_estimate (self, fit);
  s->boot_at_ns = fit->boot_ns + fit->uptime_ms * OWD_NS_PER_MS;
  s->over_s = (double) fit->span_ms / 1000;
  s->even_ms = fit->even_ns / (double) OWD_NS_PER_MS;
}

static OwdProfileSegment
describe_segment (const OwdProfile *self, guint32 number)
{
  OwdProfileSegment s = { .from_ns = self->segment_from_ns,
                          .to_ns = self->segment_to_ns,
                          .cause = self->segment_cause,
                          .after_ns = self->segment_after_ns,
                          .step_ms = estimate_unknown (SEGMENT_WHY[WHY_NO_STEP], 0),
                          .headers = self->segment_headers,
                          .even_ms = NAN,
                          .jitter_ms = (double) self->clock.boot.jitter_ns / (double) OWD_NS_PER_MS };
  OwdBootFit fit;

  if (s.cause == OWD_SEGMENT_STEP)
    s.step_ms = estimate_bound (self->step_ms, self->step_ms - self->step_error_ms, self->step_ms + self->step_error_ms,
                                self->segment_headers);
  if (owd_boot_fit (&self->clock.boot, number, soft_ns (self), &fit)) {
    tell_fit (self, &fit, &s);
  } else {
    s.boot_ms = s.skew_ppm = estimate_unknown (SEGMENT_WHY[WHY_NO_UPTIME], 0);
    s.boot_at_ns = s.to_ns;
  }
  return s;
}

static void
keep_segment (OwdProfile *self, const OwdProfileSegment *s)
{
  if (self->n_segments + 1 == OWD_PROFILE_SEGMENTS) {
    memmove (self->segment, self->segment + 1, (self->n_segments - 1) * sizeof *self->segment);
    self->n_segments--;
    self->segments_lost++;
  }
  self->segment[self->n_segments++] = *s;
}

/* The segment before the current one, with what headers behind the step have shown since. */
static void
retell_past (OwdProfile *self)
{
  OwdProfileSegment *past = &self->segment[self->n_segments - 1];
  OwdBootFit fit;

  if (self->n_segments > 0 && owd_boot_fit (&self->clock.boot, self->clock.boot.segment - 1, soft_ns (self), &fit))
    tell_fit (self, &fit, past);
}

/* Size and time of the step that began the current segment, where they are known better now than before. */
static void
measure_step (OwdProfile *self)
{
  const OwdBoot *boot = &self->clock.boot;
  gint64 lo, hi, past_lo, past_hi, bend_ns;
  double error_ms;

  if (self->segment_cause != OWD_SEGMENT_STEP || !owd_boot_at (boot, boot->segment, boot->segment_uptime_ms, &lo, &hi)
      || !owd_boot_at (boot, boot->segment - 1, boot->segment_uptime_ms, &past_lo, &past_hi))
    return;
  if (boot->before_step_recv_ns != OWD_TIME_NONE)
    self->segment_after_ns = MAX (self->segment_after_ns, boot->before_step_recv_ns);
  retell_past (self);
  bend_ns = owd_boot_bend_ns (boot->main.last_uptime_ms - boot->main.first_uptime_ms)
            + owd_boot_bend_ns (boot->segment_uptime_ms - boot->past.first_uptime_ms);
  error_ms = (double) ((hi - lo) + (past_hi - past_lo) + 2 * bend_ns) / 2 / (double) OWD_NS_PER_MS;
  if (error_ms >= self->step_error_ms)
    return;
  self->step_error_ms = error_ms;
  self->step_ms = ((double) (lo - past_lo) + (double) (hi - past_hi)) / 2 / (double) OWD_NS_PER_MS;
}

/* The clock has just confirmed a reboot or step, whose first witness came a header ago. */
static void
new_segment (OwdProfile *self, gboolean step)
{
  const OwdBoot *boot = &self->clock.boot;
  OwdProfileSegment s = describe_segment (self, boot->segment - 1);
  gint64 lo, hi;

  /* headers behind the first witness may have fitted both */
  s.to_ns = MAX (s.from_ns, MIN (s.to_ns, self->alternative_ns - OWD_NS_PER_US));
  keep_segment (self, &s);
  self->segment_cause = OWD_SEGMENT_REBOOT;
  self->segment_after_ns = MIN (s.to_ns, self->before_alternative_ns);
  self->step_error_ms = INFINITY;
  if (step && owd_boot_at (boot, boot->segment - 1, boot->segment_uptime_ms, &lo, &hi)) {
    self->segment_cause = OWD_SEGMENT_STEP;
    self->segment_after_ns = s.from_ns;
  }
  self->segment_from_ns = self->alternative_ns;
  self->segment_headers = 1;
}

static void
note_clock (OwdProfile *self, const OwdHeader *header, OwdBootEvent event)
{
  if (self->segment_headers == 0)
    self->segment_from_ns = header->recv_ns;
  if (event == OWD_BOOT_OUTLIER) {
    self->before_alternative_ns = self->segment_to_ns;
    self->alternative_ns = header->recv_ns;
    return;
  }
  if (event == OWD_BOOT_REBOOT || event == OWD_BOOT_STEP)
    new_segment (self, event == OWD_BOOT_STEP);
  self->segment_headers++;
  self->segment_to_ns = header->recv_ns;
  if ((self->segment_headers & (self->segment_headers - 1)) == 0)
    measure_step (self);
}

/* ---- headers --------------------------------------------------------------------------------------- */

static void
note_transit (OwdProfile *self, const OwdHeader *h)
{
  gint64 transit_ns = h->recv_ns - ((gint64) h->export_s * OWD_NS_PER_S + h->export_frac_ns);

  if (self->headers == 1 || h->recv_ns - self->transit_from_ns > 2 * TRANSIT_WINDOW_NS)
    self->transit_min_ns[0] = self->transit_min_ns[1] = transit_ns;
  if (self->headers == 1 || h->recv_ns - self->transit_from_ns > TRANSIT_WINDOW_NS) {
    self->transit_min_ns[1] = self->transit_min_ns[0];
    self->transit_min_ns[0] = transit_ns;
    self->transit_from_ns = h->recv_ns;
  }
  self->transit_min_ns[0] = MIN (self->transit_min_ns[0], transit_ns);
  self->transit_ns = MIN (self->transit_min_ns[0], self->transit_min_ns[1]);
  if (h->flags & OWD_HEADER_UPTIME) {
    const OwdBoot *b = &self->clock.boot;

    self->transit_ns
        = h->recv_ns - (b->use_lo_ns + (b->use_hi_ns - b->use_lo_ns) / 2) - b->use_uptime_ms * OWD_NS_PER_MS;
  }
}

/* Uptime went back: numbers begin anew. Not so where a datagram comes out of its order. */
static gboolean
restarted (const OwdProfile *self, const OwdHeader *h)
{
  return (h->flags & OWD_HEADER_UPTIME) && (self->header.flags & OWD_HEADER_UPTIME) && self->headers > 0
         && h->recv_ns >= self->last_ns && owd_uptime_diff_ms (h->uptime_ms, self->header.uptime_ms) < -10000;
}

void
owd_profile_add_header (OwdProfile *self, const OwdHeader *header)
{
  Seen seen;

  if (self->headers > 0 && owd_profile_same_header (header, &self->header)) {
    return;
  }
  seen = sequence_header (&self->sequence, header, restarted (self, header));
  self->current = self->measured = seen == SEEN_NEW;
  self->doubled = seen == SEEN_DUPLICATE;
  if (seen != SEEN_NEW)
    return;
  if (self->headers++ == 0)
    self->first_ns = header->recv_ns;
  if (header->recv_ns < self->last_ns)
    self->disordered++;
  self->last_ns = MAX (self->last_ns, header->recv_ns);
  self->header = *header;
  note_clock (self, header, owd_clock_header (&self->clock, header, self->skew_bound_ppm));
  note_transit (self, header);
  if (header->recv_ns / OWD_NS_PER_S != self->second) {
    self->second = (guint32) (header->recv_ns / OWD_NS_PER_S);
    self->in_second = 0;
  }
}

/* ---- records --------------------------------------------------------------------------------------- */

/* Age at export, and the stamp on its own scale. FALSE: no stamp, or none that has an age. */
static inline gboolean
age_of (const OwdProfile *self, OwdStampKind kind, guint64 raw, gint64 *ret_age_ns, gint64 *ret_own_ns)
{
  const OwdHeader *h = &self->header;
  OwdTime t;

  if (kind == OWD_STAMP_UPTIME_MS && h->flags & OWD_HEADER_UPTIME) {
    gint64 age_ms = owd_uptime_diff_ms (h->uptime_ms, (guint32) raw);

    *ret_age_ns = age_ms * OWD_NS_PER_MS;
    *ret_own_ns = (self->clock.boot.use_uptime_ms - age_ms) * OWD_NS_PER_MS;
    return TRUE;
  }
  if (kind == OWD_STAMP_UNIX_MS && raw < G_MAXINT64 / OWD_NS_PER_MS) /* most; these need no header */
    t = (gint64) raw * OWD_NS_PER_MS;
  else
    t = owd_flow_claim (h, &self->stamps, kind, raw);
  if (t == OWD_TIME_NONE)
    return FALSE;
  *ret_own_ns = t;
  if (kind == OWD_STAMP_DELTA_US)
    *ret_age_ns = (gint64) MIN (raw, G_MAXINT64 / 1000) * 1000;
  else
    *ret_age_ns = owd_time_add (h->recv_ns - self->transit_ns, t > G_MININT64 / 2 ? -t : G_MAXINT64);
  return TRUE;
}

/* Stamps count from their header. */
static gboolean
one_clock (const OwdProfile *self)
{
  return (self->kind[1] == OWD_STAMP_UPTIME_MS && self->header.flags & OWD_HEADER_UPTIME)
         || self->kind[1] == OWD_STAMP_DELTA_US;
}

/* By so much the ages of good stamps may seem off. */
static gint64
slack_of (const OwdProfile *self, const Record *record)
{
  gint64 slack_ns = owd_clock_step (&self->clock, record->start_kind, OWD_STAMP_START).bound_ns
                    + owd_clock_step (&self->clock, record->end_kind, OWD_STAMP_END).bound_ns;

  return slack_ns + 2 * OWD_NS_PER_MS;
}

static void
learn (OwdProfile *self, const Record *record)
{
  self->stamps.start_kind = record->start_kind;
  self->stamps.end_kind = record->end_kind;
  self->stamps.start_raw = record->start_raw;
  self->stamps.end_raw = record->end_raw;
  owd_clock_learn (&self->clock, &self->stamps);
  self->changes[0] += record->start_raw != self->raw[0];
  self->changes[1] += record->end_raw != self->raw[1];
  self->raw[0] = record->start_raw;
  self->raw[1] = record->end_raw;
}

static void
measure (OwdProfile *self, const Record *record)
{
  gint64 idle_edge_ns = 0, slack_ns;
  TimedFlow t;

  self->stamps.init_ms = record->init_ms;
  self->kind[0] = record->start_kind;
  self->kind[1] = record->end_kind;
  t.ages.zero = record->start_raw == 0 || record->end_raw == 0;
  if (!age_of (self, record->start_kind, record->start_raw, &t.ages.start_ns, &t.start_ns)
      || !age_of (self, record->end_kind, record->end_raw, &t.ages.end_ns, &t.end_ns)) {
    learn (self, record);
    return;
  }
  if (record->start_kind == OWD_STAMP_DELTA_US)
    t.ages.zero = FALSE;
  /* needed only where the end seems older than the start */
  slack_ns = t.ages.start_ns >= t.ages.end_ns ? 0 : slack_of (self, record);
  if (blunder_add (&self->blunders, &t.ages, slack_ns))
    return;
  learn (self, record);
  lag_add (&self->lag[0], owd_time_add (t.ages.start_ns, self->transit_ns));
  lag_add (&self->lag[1], owd_time_add (t.ages.end_ns, self->transit_ns));
  t.hash = record->hash;
  if (!timeout_add (&self->timeouts, record, &t))
    return;
  /* the send time that other stamps are held against is not known to the ms */
  if (record->end_kind != OWD_STAMP_UPTIME_MS || !one_clock (self))
    return;
  if (self->groups.base_ns == 0 && self->timeouts.idle.n % LOOK_EVERY == 0)
    idle_edge_ns = timeout_idle_edge_ns (&self->timeouts);
  if (self->groups.base_ns != 0 || idle_edge_ns != 0)
    group_add (&self->groups, idle_edge_ns, record->in_if, t.ages.end_ns);
}

void
owd_profile_add_counts (OwdProfile *self, const Counts *counts)
{
  if (self->doubled || self->headers == 0)
    return;
  sequence_records (&self->sequence, counts->sent, self->current);
  self->records += counts->seen;
  self->in_second += counts->seen;
  self->peak = MAX (self->peak, self->in_second);
  if (counts->sampled > 0) {
    self->sampling_lo = self->sampling_said == 0 ? counts->sampling_lo : MIN (self->sampling_lo, counts->sampling_lo);
    self->sampling_hi = MAX (self->sampling_hi, counts->sampling_hi);
    self->sampling_said += counts->sampled;
  }
  self->tcp += counts->tcp;
  self->syn += counts->syn;
}

void
owd_profile_add_records (OwdProfile *self, const Record *records, guint n)
{
  if (!self->measured || self->doubled)
    return;
  for (guint i = 0; i < n; i++)
    measure (self, &records[i]);
}

void
owd_profile_prefetch_records (const OwdProfile *self, const Record *records, guint n)
{
  for (guint i = 0; i < n; i++)
    timeout_prefetch (&self->timeouts, records[i].hash);
}

void
owd_profile_add_flow (OwdProfile *self, const OwdFlow *flow)
{
  Counts counts = { 0 };
  Record record;

  counts_add (&counts, flow);
  owd_profile_add_counts (self, &counts);
  if (!record_is_chosen (flow, self->records))
    return;
  record_from_flow (&record, flow);
  owd_profile_add_records (self, &record, 1);
}

/* ---- snapshots -------------------------------------------------------------------------------------- */

gsize
owd_profile_size (void)
{
  return sizeof (OwdProfile);
}

guint64
owd_profile_records (const OwdProfile *self)
{
  return self->records;
}

OwdTime
owd_profile_until (const OwdProfile *self)
{
  return self->last_ns;
}

/* The only pointers are those to the reasons in segments. */
static OwdEstimate *
segment_estimate (OwdProfile *self, guint i)
{
  OwdProfileSegment *s = &self->segment[i / 3];

  return i % 3 == 0 ? &s->step_ms : i % 3 == 1 ? &s->boot_ms : &s->skew_ppm;
}

void
owd_profile_freeze (const OwdProfile *self, void *ret_bytes)
{
  OwdProfile *copy = ret_bytes;

  *copy = *self;
  for (guint i = 0; i < 3 * copy->n_segments; i++) {
    const char *why = segment_estimate (copy, i)->why;
    guintptr number = 0;

    for (guint k = 0; k < WHYS && why != NULL; k++)
      if (why == SEGMENT_WHY[k])
        number = k + 1;
    segment_estimate (copy, i)->why = (const char *) number;
  }
}

OwdProfile *
owd_profile_thaw (const void *bytes)
{
  OwdProfile *self = g_memdup2 (bytes, sizeof *self);

  for (guint i = 0; i < 3 * MIN (self->n_segments, OWD_PROFILE_SEGMENTS); i++) {
    guintptr number = (guintptr) segment_estimate (self, i)->why;

    segment_estimate (self, i)->why = number >= 1 && number <= WHYS ? SEGMENT_WHY[number - 1] : NULL;
  }
  return self;
}

const OwdStateKey *
owd_profile_key (const OwdProfile *self)
{
  return &self->key;
}

/* ---- merge ----------------------------------------------------------------------------------------- */

static void
merge_clock (OwdClock *self, const OwdClock *later)
{
  OwdClock sum = *later;

  for (guint which = 0; which < 2; which++)
    for (guint grid = 0; grid < OWD_GRIDS; grid++)
      owd_resolution_merge (&sum.stamp[which][grid], &self->stamp[which][grid]);
  owd_resolution_merge (&sum.frac, &self->frac);
  owd_resolution_merge (&sum.uptime, &self->uptime);
  sum.boot.reboots += self->boot.reboots;
  sum.boot.steps += self->boot.steps;
  *self = sum;
}

void
owd_profile_merge (OwdProfile *self, const OwdProfile *later)
{
  OwdProfileSegment open = describe_segment (self, self->clock.boot.segment);

  if (later->headers == 0)
    return;
  if (self->headers == 0) {
    *self = *later;
    return;
  }
  keep_segment (self, &open);
  for (guint i = 0; i < later->n_segments; i++)
    keep_segment (self, &later->segment[i]);
  self->segments_lost += later->segments_lost;
  self->segment_headers = later->segment_headers;
  self->segment_from_ns = later->segment_from_ns;
  self->segment_to_ns = later->segment_to_ns;
  self->segment_cause = later->segment_cause;
  self->segment_after_ns = later->segment_after_ns;
  self->step_ms = later->step_ms;
  self->step_error_ms = later->step_error_ms;
  self->last_ns = MAX (self->last_ns, later->last_ns);
  self->headers += later->headers;
  self->records += later->records;
  self->disordered += later->disordered;
  merge_clock (&self->clock, &later->clock);
  sequence_merge (&self->sequence, &later->sequence);
  for (guint i = 0; i < 2; i++) {
    self->kind[i] = later->kind[i];
    self->raw[i] = later->raw[i];
    self->changes[i] += later->changes[i];
    lag_merge (&self->lag[i], &later->lag[i]);
  }
  blunder_merge (&self->blunders, &later->blunders);
  timeout_merge (&self->timeouts, &later->timeouts);
  group_merge (&self->groups, &later->groups);
  if (later->sampling_said > 0) {
    self->sampling_lo = self->sampling_said == 0 ? later->sampling_lo : MIN (self->sampling_lo, later->sampling_lo);
    self->sampling_hi = MAX (self->sampling_hi, later->sampling_hi);
    self->sampling_said += later->sampling_said;
  }
  self->tcp += later->tcp;
  self->syn += later->syn;
  self->peak = MAX (self->peak, later->peak);
  self->header = later->header;
  self->current = self->measured = FALSE;
}

/* ---- summary --------------------------------------------------------------------------------------- */

static double
ms_of (gint64 ns)
{
  return (double) ns / (double) OWD_NS_PER_MS;
}

/* Each stamp fits a step of half the size by a chance of one in two: so many that differ and all agree are a proof. */
static gboolean
is_sure (const OwdResolution *r, gint64 floor_ns, guint32 changes)
{
  gint64 phase_ns;
  double share;

  return owd_resolution_known (r)
         || (changes >= SURE_CHANGES && owd_resolution_phase_ns (r, floor_ns, &phase_ns, &share) && share >= 1);
}

/* The learnt step of a field whose finest possible one is floor_ns. changes: stamps that differ from the one before. */
static OwdEstimate
step_estimate (const OwdResolution *r, gint64 floor_ns, guint32 changes)
{
  double step_ms = ms_of (owd_resolution_step_ns (r, floor_ns));
  OwdEstimate e;

  if (r->n == 0)
    return estimate_unknown ("no stamp of a kind whose step can be learnt", 0);
  if (is_sure (r, floor_ns, changes))
    return estimate_exact (step_ms, r->n);
  e = estimate_unknown ("too few different stamps: only an upper bound", r->n);
  e.lo = ms_of (floor_ns);
  e.hi = step_ms;
  return e;
}

static OwdEstimate
phase_estimate (const OwdResolution *r, gint64 floor_ns, guint32 changes)
{
  gint64 phase_ns;
  double share;

  if (!is_sure (r, floor_ns, changes) || !owd_resolution_phase_ns (r, floor_ns, &phase_ns, &share))
    return estimate_unknown ("needs the step", r->n);
  return estimate_exact (ms_of (phase_ns), r->n);
}

/* Which of the clock's grids a kind of stamp uses, and its unit. NULL: its step is its unit by definition. */
static const OwdResolution *
resolution_of (const OwdClock *clock, OwdStampKind kind, guint which, gint64 *ret_floor_ns)
{
  OwdGrid grid;

  switch (kind) {
  case OWD_STAMP_UPTIME_MS:
    grid = OWD_GRID_UPTIME;
    break;
  case OWD_STAMP_UNIX_MS:
  case OWD_STAMP_EVENT_MS:
    grid = OWD_GRID_UNIX_MS;
    break;
  case OWD_STAMP_NTP_US:
  case OWD_STAMP_NTP_NS:
  case OWD_STAMP_EVENT_US:
  case OWD_STAMP_EVENT_NS:
    *ret_floor_ns = OWD_NS_PER_US;
    return &clock->stamp[which][OWD_GRID_FINE];
  default:
    return NULL;
  }
  *ret_floor_ns = OWD_NS_PER_MS;
  return &clock->stamp[which][grid];
}

static void
sum_stamps (const OwdProfile *self, OwdProfileSummary *s)
{
  for (guint which = 0; which < 2; which++) {
    OwdStampKind kind = self->kind[which];
    gint64 floor_ns;
    const OwdResolution *r = resolution_of (&self->clock, kind, which, &floor_ns);

    if (r != NULL) {
      s->step_ms[which] = step_estimate (r, floor_ns, self->changes[which]);
      s->phase_ms[which] = phase_estimate (r, floor_ns, self->changes[which]);
    } else if (kind == OWD_STAMP_NONE) {
      s->step_ms[which] = s->phase_ms[which] = estimate_unknown ("no stamp that has an absolute time", 0);
    } else {
      s->step_ms[which]
          = estimate_exact (ms_of (owd_clock_step (&self->clock, kind, which).bound_ns), self->blunders.n);
      s->phase_ms[which] = estimate_unknown ("the unit of the stamp is the step", self->blunders.n);
    }
  }
}

static void
sum_header (const OwdProfile *self, OwdProfileSummary *s)
{
  const OwdClock *c = &self->clock;
  double lag_ms = (double) c->lag.lag_ms;
  double uptime_step_ms = ms_of (owd_resolution_step_ns (&c->uptime, OWD_NS_PER_MS));
  double tick_ms = ms_of (c->tick_ns > 0 ? c->tick_ns : OWD_NS_PER_S);

  s->header_step_ms = self->header.flags & OWD_HEADER_FRAC && !owd_resolution_known (&c->frac)
                          ? estimate_unknown ("too few headers", self->headers)
                          : estimate_exact (tick_ms, self->headers);
  s->uptime_step_ms = self->header.flags & OWD_HEADER_UPTIME ? step_estimate (&c->uptime, OWD_NS_PER_MS, 0)
                                                             : estimate_unknown ("no uptime in headers", 0);
  if (self->kind[1] == OWD_STAMP_UPTIME_MS && self->headers >= LOCKED_HEADERS)
    s->uptime_lag_ms = estimate_exact (lag_ms > uptime_step_ms ? lag_ms : 0, self->blunders.n);
  else
    s->uptime_lag_ms = estimate_unknown ("needs uptime stamps", self->blunders.n);
}

static OwdUptimeUse
judge_uptime (const OwdProfile *self, const OwdProfileSegment *last)
{
  const OwdBoot *b = &self->clock.boot;
  double width_ms = last->boot_ms.hi - last->boot_ms.lo, tick_ms = ms_of (self->clock.tick_ns), least_ms;
  double extra_ms
      = MAX (ms_of (owd_resolution_step_ns (&self->clock.uptime, OWD_NS_PER_MS)), (double) self->clock.lag.lag_ms);
  OwdBootFit fit;

  if (!(self->header.flags & OWD_HEADER_UPTIME))
    return OWD_UPTIME_NONE;
  if (b->floating)
    return OWD_UPTIME_FLOATING;
  if (b->jitter_ns > 20 * OWD_NS_PER_MS)
    return OWD_UPTIME_UNSTABLE;
  if (!owd_boot_fit (b, b->segment, 0, &fit) || fit.headers < 3)
    return OWD_UPTIME_FEW;
  /* a free timer is off by 500 ppm at least: its phases drift, and the interval shrinks by as much */
  least_ms = MAX (LOCKED_SHARE * tick_ms, tick_ms - LOCKED_DRIFT * (double) fit.span_ms);
  if (fit.headers >= LOCKED_HEADERS && fit.span_ms >= LOCKED_SPAN_MS && width_ms - extra_ms > least_ms
      && extra_ms < LOCKED_SHARE * tick_ms)
    return OWD_UPTIME_LOCKED;
  return fit.headers >= LOCKED_HEADERS ? OWD_UPTIME_FINE : OWD_UPTIME_FEW;
}

/* NTP slews what is less than 128 ms. More than that, but less than the header's tick, may be a slew as well: what
 * comes before and behind a step follows straight lines, a clock that is being slewed does not. */
static gboolean
is_slew (const OwdProfileSummary *s, guint i)
{
  const OwdProfileSegment *before = &s->segment[i - 1], *g = &s->segment[i];
  double size_ms = fabs (g->step_ms.value);

  if (g->cause != OWD_SEGMENT_STEP || size_ms >= SLEW_MOST_MS)
    return FALSE;
  return size_ms < SLEW_MS || before->cause == OWD_SEGMENT_SLEW || before->jitter_ms > BENT_MS || g->jitter_ms > BENT_MS
         || (i + 1 < s->n_segments && g[1].cause == OWD_SEGMENT_STEP && fabs (g[1].step_ms.value) < SLEW_MS);
}

/* Neither of the segments beside a slew has a boot time or a skew that would hold. */
static void
tell_slews (OwdProfileSummary *s)
{
  static const char why[] = "the wall clock was being slewed";

  for (guint i = 1; i < s->n_segments; i++) {
    OwdProfileSegment *g = &s->segment[i];

    if (!is_slew (s, i))
      continue;
    g->cause = OWD_SEGMENT_SLEW;
    s->slews++;
    s->steps--;
    for (guint k = i - 1; k <= i; k++) {
      s->segment[k].boot_ms = s->segment[k].skew_ppm = estimate_unknown (why, s->segment[k].headers);
      s->segment[k].even_ms = NAN;
    }
  }
}

static void
sum_segments (const OwdProfile *self, OwdProfileSummary *s)
{
  const OwdBoot *b = &self->clock.boot;

  s->reboots = b->reboots;
  s->steps = b->steps;
  s->segments_lost = self->segments_lost;
  memcpy (s->segment, self->segment, self->n_segments * sizeof *self->segment);
  s->n_segments = self->n_segments;
  s->segment[s->n_segments++] = describe_segment (self, b->segment);
  s->uptime = judge_uptime (self, &s->segment[s->n_segments - 1]);
  s->moved_ns = s->n_segments > 1 ? self->segment_from_ns : OWD_TIME_NONE;
  if (owd_boot_doubtful (b))
    s->moved_ns = self->alternative_ns;
  tell_slews (s);
  if (s->uptime != OWD_UPTIME_FLOATING && s->uptime != OWD_UPTIME_NONE)
    return;
  for (guint i = 0; i < s->n_segments; i++)
    s->segment[i].boot_ms = s->segment[i].skew_ppm = estimate_unknown (
        s->uptime == OWD_UPTIME_NONE ? "no uptime in headers"
                                     : "uptime does not follow time: every datagram has its own epoch",
        self->headers);
}

/* Absolute stamps and headers should come from one clock. An offset beyond any lag shows at once; a smaller one where
 * flows were cut. */
static void
sum_epoch (const OwdProfile *self, const OwdEstimate *offset_s, OwdProfileSummary *s)
{
  double young_ms = lag_quantile_ms (&self->blunders.end, 0.1);

  if (!one_clock (self) && self->blunders.end.n >= 32 && (young_ms < -1000 || young_ms > 2 * 3600e3)) {
    s->epoch_ms = estimate_bound (young_ms, MIN (young_ms * 0.9, young_ms * 1.1) - 4000,
                                  MAX (young_ms * 0.9, young_ms * 1.1) + 1000, self->blunders.end.n);
    return;
  }
  s->epoch_ms = *offset_s;
  s->epoch_ms.value *= 1000;
  s->epoch_ms.lo *= 1000;
  s->epoch_ms.hi *= 1000;
}

/* Lags of uptime stamps are no better known than the boot time. */
static void
sum_lags (const OwdProfile *self, OwdProfileSummary *s)
{
  static const double ranks[] = { 0.5, 0.95, 0.99, 0.999 };
  double half_ms = 0;

  for (guint i = 0; i < s->n_segments && self->kind[1] == OWD_STAMP_UPTIME_MS; i++)
    if (s->segment[i].boot_ms.known)
      half_ms = MAX (half_ms, (s->segment[i].boot_ms.hi - s->segment[i].boot_ms.lo) / 2);
  for (guint i = 0; i < G_N_ELEMENTS (ranks); i++) {
    OwdEstimate *lag[2] = { &s->lag_start_ms[i], &s->lag_end_ms[i] };

    for (guint k = 0; k < 2; k++) {
      *lag[k] = lag_estimate (&self->lag[k], ranks[i]);
      lag[k]->lo -= half_ms;
      lag[k]->hi += half_ms;
    }
  }
}

static void
sum_traffic (const OwdProfile *self, OwdProfileSummary *s)
{
  double seconds = (double) (self->last_ns - self->first_ns) / (double) OWD_NS_PER_S;

  if (self->sampling_said == 0)
    s->sampling = estimate_unknown ("the exporter does not say", self->records);
  else
    s->sampling = estimate_bound (self->sampling_hi, self->sampling_lo, self->sampling_hi, self->sampling_said);
  s->syn = self->tcp >= GROW_SYN ? estimate_share_bound (self->syn, self->tcp)
                                 : estimate_unknown ("too few TCP records", self->tcp);
  s->records_per_s = seconds > 0 ? (double) self->records / seconds : 0;
  s->peak_records_per_s = (double) self->peak;
}

void
owd_profile_summary (const OwdProfile *self, OwdProfileSummary *s)
{
  gint64 slack_ns = 0;
  TimeoutSummary t;

  *s = (OwdProfileSummary){ .key = self->key,
                            .from_ns = self->first_ns,
                            .to_ns = self->last_ns,
                            .headers = self->headers,
                            .records = self->records,
                            .measured = self->blunders.n,
                            .duplicates = self->sequence.duplicates,
                            .disordered = self->disordered,
                            .start_kind = self->kind[0],
                            .end_kind = self->kind[1] };
  sum_stamps (self, s);
  sum_header (self, s);
  sum_segments (self, s);
  sum_lags (self, s);
  blunder_summary (&self->blunders, &s->blunders);
  for (guint i = 0; i < 2; i++)
    slack_ns = MAX (slack_ns, (gint64) (MAX (s->step_ms[i].known ? s->step_ms[i].hi : 1, 1) * 1e6));
  if (self->header.flags & OWD_HEADER_UPTIME)
    slack_ns = MAX (slack_ns, owd_resolution_step_ns (&self->clock.uptime, OWD_NS_PER_MS));
  else
    slack_ns = MAX (slack_ns, OWD_NS_PER_S / 2);
  timeout_summary (&self->timeouts, slack_ns, one_clock (self), &t);
  s->active_s = t.active_s;
  s->inactive_s = t.inactive_s;
  s->repeats = s->uptime == OWD_UPTIME_FLOATING
                   ? estimate_unknown ("every datagram has its own epoch", self->timeouts.repeats)
                   : t.repeats;
  sum_epoch (self, &t.offset_s, s);
  s->n_groups = group_summary (&self->groups, s->group);
  sequence_summary (&self->sequence, &s->lost, &s->loss);
  sum_traffic (self, s);
}
