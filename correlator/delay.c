/* SPDX-License-Identifier: Apache-2.0
 *
 * From a pair of stamps to a delay with its interval.
 *
 * A stamp with lower edge v, step q and a boot interval of width w says: the packet came in [v, v + w + q). Hence
 *     delay in (v_down - v_up - w_up - q_up,  v_down - v_up + w_down + q_down)
 *     best  =  v_down - v_up + (w_down - w_up) / 2 + (q_down - q_up) / 2
 *     var   =  (q_up^2 + q_down^2 + w_up^2 + w_down^2) / 12
 * Steps are those known at the moment of pairing. As long as a step is only bounded from above, the interval uses the
 * bound, the best estimate the unit of the stamp. The two clocks are assumed to agree (NTP); nothing in two one-way
 * stamps can show otherwise.
 */
#include "internal.h"

#include <math.h>

#define WIDE_CLOCK_NS (20 * OWD_NS_PER_MS)

static gint64
lower_edge (StampOf s)
{
  return s.which == OWD_STAMP_START ? s.rec->start_ns : s.rec->end_ns;
}

static OwdStep
step_of (const OwdCorrelator *self, StampOf s)
{
  OwdStampKind kind = s.which == OWD_STAMP_START ? s.rec->kinds & 15 : s.rec->kinds >> 4;

  return owd_clock_step (&self->state[s.rec->state].clock, kind, s.which);
}

static gint64
clock_of (StampOf s)
{
  return s.rec->clock_us * OWD_NS_PER_US;
}

static gint64
best (StampOf s, const OwdStep *step)
{
  return lower_edge (s) + clock_of (s) / 2 + step->likely_ns / 2;
}

void
delay_see (const OwdCorrelator *self, StampOf a, StampOf b, Seen *ret_seen)
{
  OwdStep sa = step_of (self, a), sb = step_of (self, b);

  *ret_seen = (Seen){
    .delta_ns = best (b, &sb) - best (a, &sa),
    .step_ns = sa.bound_ns + sb.bound_ns,
    .clock_ns = clock_of (a) + clock_of (b),
    .ttl_a = a.rec->ttl,
    .ttl_b = b.rec->ttl,
  };
}

static double
square (gint64 ns)
{
  return (double) ns * (double) ns;
}

void
delay_sample (const OwdCorrelator *self, StampOf up, StampOf down, OwdSample *ret_sample)
{
  OwdStep su = step_of (self, up), sd = step_of (self, down);
  gint64 wu = clock_of (up), wd = clock_of (down);
  gint64 apart = lower_edge (down) - lower_edge (up);
  guint16 flags = 0;

  *ret_sample = (OwdSample){
    .ts = best (up, &su),
    .owd_ns = best (down, &sd) - best (up, &su),
    .lo_ns = apart - wu - su.bound_ns,
    .hi_ns = apart + wd + sd.bound_ns,
    .sigma_ns = llround (sqrt ((square (su.bound_ns) + square (sd.bound_ns) + square (wu) + square (wd)) / 12)),
    .bias_ns = (su.likely_ns - sd.likely_ns) / 2,
    .flow = up.rec->key,
    .src = up.rec->state,
    .dst = down.rec->state,
    .proto = up.rec->proto,
  };
  if (ret_sample->hi_ns <= 0)
    flags |= OWD_SAMPLE_NEGATIVE;
  if (MAX (wu, wd) > WIDE_CLOCK_NS)
    flags |= OWD_SAMPLE_WIDE_CLOCK;
  if (!su.known || !sd.known)
    flags |= OWD_SAMPLE_NO_RESOLUTION;
  ret_sample->flags = flags;
}
