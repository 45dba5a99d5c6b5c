/* SPDX-License-Identifier: Apache-2.0
 *
 * From a pair of stamps to a delay with its interval.
 *
 * A stamp with lower edge v, step q and a boot interval of width w says: the packet came in [v, v + w + q). Hence
 *     delay in (v_down - v_up - w_up - q_up,  v_down - v_up + w_down + q_down)
 *     best  =  v_down - v_up + (w_down - w_up) / 2 + (q_down - q_up) / 2     (where no profile knows the boot time
 * better) var   =  (q_up^2 + q_down^2 + w_up^2 + w_down^2) / 12 Where a line card of the exporter is known to be ahead
 * by [lo, hi), that has been taken off, and w is larger by hi - lo. Steps and boot intervals are those known when the
 * pair is decided, nearly a horizon after the packet: what later headers have shown counts. From then on a pair is its
 * delay, and its stamps are gone. As long as a step is only bounded from above, the interval uses the bound, the best
 * estimate the unit of the stamp. The two clocks are assumed to agree (NTP); nothing in two one-way stamps can show
 * otherwise.
 */
#include "internal.h"

#include <math.h>

#define WIDE_CLOCK_NS (20 * OWD_NS_PER_MS)

void
delay_renew (State *s)
{
  for (guint which = 0; which < 2; which++)
    for (guint kind = 0; kind < OWD_STAMP_KINDS; kind++)
      s->step[which][kind] = owd_clock_step (&s->clock, kind, which);
  owd_clock_span (&s->clock, &s->span);
}

/* A stamp that the state's span is not for. */
static gboolean
refine_far (const OwdClock *clock, Stamp *stamp)
{
  OwdInstant i = { .lo_ns = stamp->lo_ns,
                   .clock_ns = stamp->clock_us * OWD_NS_PER_US,
                   .boot_ns = stamp->boot_ns,
                   .segment = stamp->segment };

  owd_clock_refine (clock, &i);
  stamp->lo_ns = i.lo_ns;
  stamp->boot_ns = i.boot_ns;
  stamp->segment = i.segment <= G_MAXUINT16 ? (guint16) i.segment : 0;
  stamp->likely_us = (guint32) (i.likely_ns / OWD_NS_PER_US);
  stamp->clock_us = (guint32) ((i.clock_ns + OWD_NS_PER_US - 1) / OWD_NS_PER_US);
  return !i.either;
}

static inline gboolean
refine (const OwdCorrelator *self, Stamp *stamp)
{
  const State *s = &self->state[stamp->state];
  gint64 up_ns = stamp->lo_ns - stamp->boot_ns, up_ms = up_ns / OWD_NS_PER_MS, lo_ns, hi_ns, likely_ns;

  if (stamp->segment == 0) /* as it is */
    return TRUE;
  if (s->span.segment != stamp->segment || !owd_clock_span_at (&s->span, up_ms, &lo_ns, &hi_ns))
    return refine_far (&s->clock, stamp);
  likely_ns = (hi_ns - lo_ns) / 2;
  if (s->span.told)
    likely_ns = owd_boot_likely (&s->clock.boot, stamp->segment, up_ms, lo_ns, hi_ns) - lo_ns;
  stamp->lo_ns = lo_ns + up_ns;
  stamp->boot_ns = lo_ns;
  stamp->likely_us = (guint32) (likely_ns / OWD_NS_PER_US);
  stamp->clock_us = (guint32) ((hi_ns - lo_ns + OWD_NS_PER_US - 1) / OWD_NS_PER_US);
  return TRUE;
}

gboolean
stamp_refine (const OwdCorrelator *self, Stamp *stamp)
{
  return refine (self, stamp);
}

static inline const OwdStep *
step_of (const OwdCorrelator *self, const Stamp *s)
{
  return &self->state[s->state].step[s->which][s->kind];
}

static inline const Card *
card_of (const OwdCorrelator *self, const Stamp *s)
{
  static const Card NONE = { 0 };

  return s->card > 0 ? &self->state[s->state].card[s->card - 1] : &NONE;
}

static inline gint64
card_width (const OwdCorrelator *self, const Stamp *s)
{
  const Card *card = card_of (self, s);

  return card->hi_ns - card->lo_ns;
}

/* What is not known of the clock: boot time, and how far its line card is ahead. */
static gint64
clock_of (const OwdCorrelator *self, const Stamp *s)
{
  return s->clock_us * OWD_NS_PER_US + card_width (self, s);
}

static inline gint64
best (const OwdCorrelator *self, const Stamp *s, const OwdStep *step)
{
  return s->lo_ns + s->likely_us * OWD_NS_PER_US + card_width (self, s) / 2 + step->likely_ns / 2;
}

/* How far its line card is taken to be ahead. */
static gint64
ahead_of (const OwdCorrelator *self, const Stamp *s)
{
  const Card *card = card_of (self, s);

  return card->lo_ns + (card->hi_ns - card->lo_ns) / 2;
}

gint64
stamp_best_ns (const OwdCorrelator *self, const Stamp *stamp)
{
  return best (self, stamp, step_of (self, stamp));
}

static inline void
see (const OwdCorrelator *self, const Stamp *a, const Stamp *b, Seen *ret_seen)
{
  const OwdStep *sa = step_of (self, a), *sb = step_of (self, b);
  gint64 at_a_ns = best (self, a, sa), at_b_ns = best (self, b, sb);

  *ret_seen = (Seen){
    .at_a_ns = at_a_ns,
    .at_b_ns = at_b_ns,
    .delta_ns = at_b_ns - at_a_ns,
    .step_ns = sa->bound_ns + sb->bound_ns + card_width (self, a) + card_width (self, b),
    .clock_ns = (a->clock_us + b->clock_us) * OWD_NS_PER_US,
    .ttl_a = a->ttl,
    .ttl_b = b->ttl,
  };
}

void
delay_see (const OwdCorrelator *self, const Stamp *a, const Stamp *b, Seen *ret_seen)
{
  see (self, a, b, ret_seen);
}

void
delay_see_records (const OwdCorrelator *self, const Rec *a, const Rec *b, OwdStampEnd which, Seen *ret_seen)
{
  Stamp sa = stamp_of (a, which), sb = stamp_of (b, which);

  (void) refine (self, &sa);
  (void) refine (self, &sb);
  see (self, &sa, &sb, ret_seen);
}

static double
square (gint64 ns)
{
  return (double) ns * (double) ns;
}

guint16
delay_between (const OwdCorrelator *self, const Stamp *up, const Stamp *down, Delay *ret_delay)
{
  const OwdStep *su = step_of (self, up), *sd = step_of (self, down);
  gint64 wu = clock_of (self, up), wd = clock_of (self, down);
  gint64 cu = self->state[up->state].clock.prior.cards_ns, cd = self->state[down->state].clock.prior.cards_ns;
  gint64 apart = down->lo_ns - up->lo_ns;
  guint16 flags = 0;

  ret_delay->lo_ns = apart - wu - su->bound_ns - (cu + cd) / 2;
  ret_delay->hi_ns = apart + wd + sd->bound_ns + (cu + cd) / 2;
  ret_delay->sigma_ns = (gint64) (0.5
                                  + sqrt ((square (su->bound_ns) + square (sd->bound_ns) + square (wu) + square (wd)
                                           + square (cu) + square (cd))
                                          / 12));
  ret_delay->bias_ns = (su->likely_ns - sd->likely_ns) / 2 + ahead_of (self, down) - ahead_of (self, up);
  ret_delay->level_ns = 0;
  if (ret_delay->hi_ns <= 0)
    flags |= OWD_SAMPLE_NEGATIVE;
  if (MAX (wu, wd) > WIDE_CLOCK_NS)
    flags |= OWD_SAMPLE_WIDE_CLOCK;
  if (!su->known || !sd->known)
    flags |= OWD_SAMPLE_NO_RESOLUTION;
  return flags;
}

/* Neither the sample nor its path's level can be proven wrong. */
void
delay_widen (OwdSample *sample, gint64 level_ns)
{
  gint64 off_ns = ABS (sample->owd_ns - level_ns);

  sample->lo_ns = MIN (sample->lo_ns, level_ns);
  sample->hi_ns = MAX (sample->hi_ns, level_ns + 1);
  if (sample->hi_ns > 0)
    sample->flags &= (guint16) ~OWD_SAMPLE_NEGATIVE;
  sample->sigma_ns = MAX (sample->sigma_ns, off_ns / 2);
}
