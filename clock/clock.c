/* SPDX-License-Identifier: Apache-2.0
 *
 * One exporter state: which header field and which stamp feeds which estimate, and from stamp to instant.
 */
#include "owd-clock.h"

#include <math.h>

/* IE 160 moves by a ms between reports on some devices; more is another boot. */
#define INIT_JITTER_MS 5

#define LAG_BIN_MS G_GINT64_CONSTANT (16)
#define LAG_SHARE 8 /* bins with less than this part of what they would hold before the header are nonsense */

/* Microseconds of a stamp on its own scale and the grid it belongs to. FALSE: nothing to learn from it. */
static gboolean
grid_of (OwdStampKind kind, guint64 raw, OwdGrid *ret_grid, guint64 *ret_us)
{
  switch (kind) {
  case OWD_STAMP_UPTIME_MS:
    *ret_grid = OWD_GRID_UPTIME;
    *ret_us = (raw & G_MAXUINT32) * 1000;
    return TRUE;
  case OWD_STAMP_UNIX_MS:
  case OWD_STAMP_EVENT_MS:
    *ret_grid = OWD_GRID_UNIX_MS;
    *ret_us = raw * 1000;
    return raw < G_MAXUINT64 / 1000;
  case OWD_STAMP_NTP_US:
  case OWD_STAMP_NTP_NS:
  case OWD_STAMP_EVENT_US:
  case OWD_STAMP_EVENT_NS:
    /* the binary fraction does not hit a microsecond exactly: round */
    *ret_grid = OWD_GRID_FINE;
    *ret_us = (raw >> 32) * 1000000 + (((raw & 0xffffffffu) * 1000000 + 0x80000000u) >> 32);
    return TRUE;
  default:
    return FALSE;
  }
}

/* The finest step that a kind of stamp can have, what its encoding cuts off beyond the step, and the grid that
 * grid_of() tells. Microseconds are sent as 21 bits of a second's binary fraction (RFC 7011, 6.1.9), nanoseconds as 32;
 * one ns is what reading them cuts off. */
static const struct {
  gint64 unit_ns, cut_ns;
  gint32 grid; /* -1: none */
} KIND[OWD_STAMP_KINDS] = {
  [OWD_STAMP_NONE] = { OWD_NS_PER_US, 0, -1 },
  [OWD_STAMP_UPTIME_MS] = { OWD_NS_PER_MS, 0, OWD_GRID_UPTIME },
  [OWD_STAMP_UNIX_S] = { OWD_NS_PER_S, 0, -1 },
  [OWD_STAMP_UNIX_MS] = { OWD_NS_PER_MS, 0, OWD_GRID_UNIX_MS },
  [OWD_STAMP_NTP_US] = { OWD_NS_PER_US, 478, OWD_GRID_FINE },
  [OWD_STAMP_NTP_NS] = { OWD_NS_PER_US, 2, OWD_GRID_FINE },
  [OWD_STAMP_DELTA_US] = { OWD_NS_PER_US, 0, -1 },
  [OWD_STAMP_EVENT_S] = { OWD_NS_PER_S, 0, -1 },
  [OWD_STAMP_EVENT_MS] = { OWD_NS_PER_MS, 0, OWD_GRID_UNIX_MS },
  [OWD_STAMP_EVENT_US] = { OWD_NS_PER_US, 478, OWD_GRID_FINE },
  [OWD_STAMP_EVENT_NS] = { OWD_NS_PER_US, 2, OWD_GRID_FINE },
};

static void
learn_init (OwdClock *self, gint64 init_ms)
{
  if (init_ms <= 0)
    return;
  if (self->init_lo_ms == 0 || init_ms < self->init_lo_ms - INIT_JITTER_MS
      || init_ms > self->init_hi_ms + INIT_JITTER_MS) {
    self->init_lo_ms = init_ms;
    self->init_hi_ms = init_ms + 1;
  }
  self->init_lo_ms = MIN (self->init_lo_ms, init_ms);
  self->init_hi_ms = MAX (self->init_hi_ms, init_ms + 1);
}

/* How far uptime may have run away from the wall clock since IE 160 was true. A device that works it out anew for each
 * report shows that by a value that moves: then it is true now. One that always says the same may have noted it at
 * boot, and no header of IPFIX has an uptime to compare with: the drift since then is as unknown as the skew. */
static gint64
init_drift_ns (const OwdClock *self, guint64 uptime_ms)
{
  if (self->init_hi_ms - self->init_lo_ms > 1)
    return 0;
  return (gint64) ((double) uptime_ms * self->skew_bound_ppm);
}

/* The header's uptime is so much older than its time at most: cut to its step, and read early. What flows end behind it
 * shows both at once. Stamps come from the same counter: where exports are sent on whole seconds the header alone
 * cannot show how fine that counter is, its stamps can. */
static gint64
uptime_cut_ns (const OwdClock *self, gint64 lag_ms)
{
  gint64 stamp_step_ns = owd_clock_step (self, OWD_STAMP_UPTIME_MS, OWD_STAMP_END).bound_ns;
  gint64 step_ns = MIN (owd_resolution_step_ns (&self->uptime, OWD_NS_PER_MS), stamp_step_ns);

  return MAX (step_ns, lag_ms * OWD_NS_PER_MS);
}

static void
grow_lag (OwdClock *self, gint64 lag_ms)
{
  gint64 by_ns = uptime_cut_ns (self, lag_ms) - uptime_cut_ns (self, self->lag.lag_ms);

  if (by_ns > 0)
    owd_boot_widen (&self->boot, by_ns, self->skew_bound_ppm);
  self->lag.lag_ms = lag_ms;
}

void
owd_clock_prior (OwdClock *self, const OwdPrior *prior)
{
  gint64 lag_ms = prior->uptime_lag_ns / OWD_NS_PER_MS;

  self->prior = *prior;
  if (lag_ms > self->lag.lag_ms)
    grow_lag (self, lag_ms);
  (void) owd_boot_prior (&self->boot, &self->prior);
}

OwdBootEvent
owd_clock_header (OwdClock *self, const OwdHeader *header, double skew_bound_ppm)
{
  OwdBootEvent event;

  self->export_ns = (gint64) header->export_s * OWD_NS_PER_S;
  self->tick_ns = OWD_NS_PER_S;
  self->skew_bound_ppm = skew_bound_ppm;
  learn_init (self, header->init_ms);
  if (header->flags & OWD_HEADER_FRAC && header->export_frac_ns < OWD_NS_PER_S) {
    self->export_ns += header->export_frac_ns;
    owd_resolution_add (&self->frac, header->export_frac_ns / 1000);
    /* fractions that never move off one residue of a second are dead */
    self->tick_ns = MIN (owd_resolution_step_ns (&self->frac, OWD_NS_PER_US), OWD_NS_PER_S);
  }
  self->uptime_known = (header->flags & OWD_HEADER_UPTIME) != 0;
  if (!self->uptime_known)
    return OWD_BOOT_SAME;
  owd_resolution_add (&self->uptime, (guint64) header->uptime_ms * 1000);
  self->uptime_ms = header->uptime_ms;
  event = owd_boot_header (&self->boot, self->export_ns, self->tick_ns, header->uptime_ms,
                           uptime_cut_ns (self, self->lag.lag_ms), header->recv_ns, skew_bound_ppm);
  if (self->prior.id != 0 && (event == OWD_BOOT_FIRST || event == OWD_BOOT_REBOOT || event == OWD_BOOT_STEP))
    (void) owd_boot_prior (&self->boot, &self->prior);
  return event;
}

/* TRUE: it was one of those that count. */
static gboolean
learn_stamp (OwdResolution *grids, OwdStampKind kind, guint64 raw)
{
  OwdGrid grid;
  guint64 us;

  if (raw == 0 || !grid_of (kind, raw, &grid, &us) || !owd_resolution_offer (&grids[grid]))
    return FALSE;
  owd_resolution_use (&grids[grid], us);
  return TRUE;
}

/* A packet cannot be seen after the export of its record. Where stamps lie behind the header's uptime, that uptime was
 * read some time before the header's wall clock; by 160 ms on real routers. Nonsense stamps lie there too, but are few
 * beside those of flows that ended just before the export, while a lag of L lets through what ended within L: it fills
 * all bins up to L, which a few that fall into one do not. */
static void
learn_lag (OwdClock *self, const OwdFlow *flow)
{
  OwdUptimeLag *lag = &self->lag;
  const guint64 part = LAG_SHARE * OWD_LAG_BINS;
  gint64 behind_ms, found_ms = 0;
  guint64 below = 0;

  if (!self->uptime_known || flow->end_kind != OWD_STAMP_UPTIME_MS)
    return;
  behind_ms = owd_uptime_diff_ms ((guint32) flow->end_raw, self->uptime_ms);
  if (behind_ms <= -LAG_BIN_MS * OWD_LAG_BINS || behind_ms > LAG_BIN_MS * OWD_LAG_BINS)
    return;
  if (behind_ms <= 0) {
    lag->recent++;
    return;
  }
  lag->behind[(behind_ms - 1) / LAG_BIN_MS]++;
  for (gint64 i = 0; i < OWD_LAG_BINS; i++) {
    below += lag->behind[i];
    if (lag->behind[i] >= 3 && lag->behind[i] * part >= lag->recent && below * part >= (guint64) (i + 1) * lag->recent)
      found_ms = (i + 1) * LAG_BIN_MS * 5 / 4; /* the tail of the lags is thin */
  }
  if (found_ms > lag->lag_ms)
    grow_lag (self, found_ms);
}

gboolean
owd_clock_learn (OwdClock *self, const OwdFlow *flow)
{
  gint64 lag_ms = self->lag.lag_ms;
  gboolean start, end;

  learn_lag (self, flow);
  start = learn_stamp (self->stamp[OWD_STAMP_START], flow->start_kind, flow->start_raw);
  end = learn_stamp (self->stamp[OWD_STAMP_END], flow->end_kind, flow->end_raw);
  learn_init (self, flow->init_ms);
  return start || end || lag_ms != self->lag.lag_ms;
}

OwdStep
owd_clock_step (const OwdClock *self, OwdStampKind kind, OwdStampEnd which)
{
  guint k = kind < OWD_STAMP_KINDS ? kind : OWD_STAMP_NONE;
  gint64 unit_ns = KIND[k].unit_ns;
  OwdStep step = { .bound_ns = unit_ns, .likely_ns = unit_ns, .known = TRUE };

  if (KIND[k].grid < 0)
    return step;
  step.known = owd_resolution_known (&self->stamp[which][KIND[k].grid]);
  step.bound_ns = owd_resolution_step_ns (&self->stamp[which][KIND[k].grid], unit_ns);
  if (!step.known && self->prior.kind[which] == kind && self->prior.step_ns[which] > 0) {
    step.known = TRUE;
    step.bound_ns = MAX (self->prior.step_ns[which], unit_ns);
  }
  if (step.known)
    step.likely_ns = step.bound_ns;
  step.bound_ns += KIND[k].cut_ns;
  step.likely_ns += KIND[k].cut_ns;
  return step;
}

/* Reads an uptime around a clock step by the clock of its own time, not by that of the datagram which brought it. */
static gboolean
read_around_step (const OwdBoot *boot, gint64 uptime_ms, OwdInstant *i)
{
  gboolean later = uptime_ms >= boot->segment_uptime_ms, either;
  gint64 lo_ns, hi_ns;

  if (!boot->stepped || (i->segment == boot->segment && later)
      || (i->segment + 1 == boot->segment && uptime_ms <= boot->before_step_ms)
      || !owd_boot_around_step (boot, i->segment, uptime_ms, &lo_ns, &hi_ns, &either))
    return FALSE;
  *i = (OwdInstant){ .lo_ns = lo_ns + uptime_ms * OWD_NS_PER_MS,
                     .clock_ns = hi_ns - lo_ns,
                     .boot_ns = lo_ns,
                     .segment = later ? boot->segment : boot->segment - 1,
                     .either = either };
  return TRUE;
}

/* The middle, unless more is known. */
static void
place_likely (const OwdClock *self, OwdInstant *i)
{
  i->likely_ns = i->clock_ns / 2;
  if (i->segment != 0 && !i->either)
    i->likely_ns = owd_boot_likely (&self->boot, i->segment, (i->lo_ns - i->boot_ns) / OWD_NS_PER_MS, i->boot_ns,
                                    i->boot_ns + i->clock_ns)
                   - i->boot_ns;
}

/* Absolute stamps, or relative to the export time alone. */
static OwdTime
claim (const OwdClock *self, const OwdFlow *flow, OwdStampKind kind, guint64 raw)
{
  OwdHeader h;

  if (kind == OWD_STAMP_UNIX_MS && raw < G_MAXINT64 / OWD_NS_PER_MS) /* most; these need no header */
    return (gint64) raw * OWD_NS_PER_MS;
  h = (OwdHeader){ .export_s = (guint32) (self->export_ns / OWD_NS_PER_S),
                   .export_frac_ns = (guint32) (self->export_ns % OWD_NS_PER_S) };
  return owd_flow_claim (&h, flow, kind, raw);
}

gboolean
owd_clock_instant (const OwdClock *self, const OwdFlow *flow, OwdStampEnd which, OwdInstant *ret_instant)
{
  OwdStampKind kind = which == OWD_STAMP_START ? flow->start_kind : flow->end_kind;
  guint64 raw = which == OWD_STAMP_START ? flow->start_raw : flow->end_raw;
  OwdTime t;

  if (kind == OWD_STAMP_NONE)
    return FALSE;
  if (kind == OWD_STAMP_UPTIME_MS && self->uptime_known) {
    gint64 ms = self->boot.use_uptime_ms - owd_uptime_diff_ms ((guint32) self->boot.use_uptime_ms, (guint32) raw);

    *ret_instant = (OwdInstant){ .lo_ns = self->boot.use_lo_ns + ms * OWD_NS_PER_MS,
                                 .clock_ns = self->boot.use_hi_ns - self->boot.use_lo_ns,
                                 .boot_ns = self->boot.use_lo_ns,
                                 .segment = self->boot.use_segment };
    (void) read_around_step (&self->boot, ms, ret_instant);
    place_likely (self, ret_instant);
    return TRUE;
  }
  if (kind == OWD_STAMP_UPTIME_MS) {
    if (self->init_lo_ms == 0 || raw > G_MAXINT64 / OWD_NS_PER_MS / 2)
      return FALSE;
    gint64 drift_ns = init_drift_ns (self, raw);

    *ret_instant = (OwdInstant){ .lo_ns = owd_time_add (self->init_lo_ms * OWD_NS_PER_MS - drift_ns,
                                                        (gint64) raw * OWD_NS_PER_MS),
                                 .clock_ns = (self->init_hi_ms - self->init_lo_ms) * OWD_NS_PER_MS + 2 * drift_ns };
    place_likely (self, ret_instant);
    return TRUE;
  }
  t = claim (self, flow, kind, raw);
  if (t == OWD_TIME_NONE)
    return FALSE;
  *ret_instant = (OwdInstant){ .lo_ns = t }; /* IE 158, 159 count from the header's seconds as they stand there, */
  if (kind == OWD_STAMP_DELTA_US && raw == 0) /* and backwards only: 0 stands for all that was later than these */
    ret_instant->clock_ns = self->tick_ns;
  place_likely (self, ret_instant);
  return TRUE;
}

void
owd_clock_refine (const OwdClock *self, OwdInstant *instant)
{
  gint64 up_ns = instant->lo_ns - instant->boot_ns, lo_ns, hi_ns;

  if (instant->segment != 0 && !read_around_step (&self->boot, up_ns / OWD_NS_PER_MS, instant)
      && owd_boot_at (&self->boot, instant->segment, up_ns / OWD_NS_PER_MS, &lo_ns, &hi_ns)) {
    instant->lo_ns = lo_ns + up_ns;
    instant->clock_ns = hi_ns - lo_ns;
    instant->boot_ns = lo_ns;
  }
  place_likely (self, instant);
}

#define SPAN_BACK_MS G_GINT64_CONSTANT (120000) /* longer than most records wait */
#define SPAN_AHEAD_MS G_GINT64_CONSTANT (10000)

/* The corner with the extreme value at an uptime; sign 1: the largest. */
static guint
extreme (const OwdBootLines *l, gint64 uptime_ms, double sign)
{
  guint found = 0;
  double most = -INFINITY;

  for (guint i = 0; i < l->n; i++) {
    double v = sign * (l->corner[i].offset_ns + l->corner[i].skew_ppm * (double) (uptime_ms - l->ref_uptime_ms));

    if (v > most) {
      most = v;
      found = i;
    }
  }
  return found;
}

/* Between two uptimes the extreme one moves from corner to corner, against the order in which the polygon has them:
 * from large skews to small ones for the least, from small ones to large ones for the largest. FALSE: over too many. */
static gboolean
extreme_corners (const OwdBootLines *l, gint64 from_ms, gint64 to_ms, double sign, OwdClockSpanLine ret[OWD_SPAN_LINES])
{
  guint corner = extreme (l, from_ms, sign), last = extreme (l, to_ms, sign);

  for (guint i = 0; i < OWD_SPAN_LINES; i++) {
    ret[i] = (OwdClockSpanLine){ l->corner[corner].skew_ppm, l->corner[corner].offset_ns };
    if (corner != last)
      corner = corner > 0 ? corner - 1 : l->n - 1;
    else if (i + 1 == OWD_SPAN_LINES)
      return TRUE;
  }
  return FALSE;
}

void
owd_clock_span (const OwdClock *self, OwdClockSpan *ret_span)
{
  const OwdBoot *boot = &self->boot;
  const OwdBootLines *l = &boot->main;
  gint64 from_ms = boot->use_uptime_ms - SPAN_BACK_MS, to_ms = boot->use_uptime_ms + SPAN_AHEAD_MS, lo_ns, hi_ns;

  ret_span->segment = 0;
  if (boot->stepped)
    from_ms = MAX (from_ms, boot->segment_uptime_ms);
  if (l->headers == 0 || owd_boot_doubtful (boot) || from_ms >= to_ms
      || !extreme_corners (l, from_ms, to_ms, -1, ret_span->lo)
      || !extreme_corners (l, from_ms, to_ms, 1, ret_span->hi))
    return;
  ret_span->from_ms = from_ms;
  ret_span->length_ms = to_ms - from_ms;
  ret_span->ref_uptime_ms = l->ref_uptime_ms;
  /* what owd_boot_at() adds on either side */
  ret_span->lo_ref_ns = ret_span->hi_ref_ns = 0;
  if (!owd_clock_span_at (ret_span, to_ms - 1, &lo_ns, &hi_ns)
      || !owd_boot_at (boot, boot->segment, to_ms - 1, &ret_span->lo_ref_ns, &ret_span->hi_ref_ns))
    return;
  ret_span->lo_ref_ns -= lo_ns;
  ret_span->hi_ref_ns -= hi_ns;
  ret_span->told = boot->likely[0].segment == boot->segment;
  ret_span->segment = boot->segment;
}
