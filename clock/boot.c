/* SPDX-License-Identifier: Apache-2.0
 *
 * Boot time of one exporter state by interval intersection; see owd-clock.h for the idea.
 *
 * A header read at true time T and true uptime U shows floor (T) and floor (U):
 *     boot = T - U  lies in  (export - uptime - uptime_step, export - uptime + tick).
 * Constraints of the past are still true later, only less sharp: uptime and wall clock drift apart by at most
 * skew_bound. So [lo, hi) is widened by skew_bound times the uptime that went by, then intersected with the new one.
 *
 * A contradiction is one of
 *   jitter     a gap of a few ms: the header's two fields were not read at one instant; the interval is moved to the
 * gap floating   boot moves as fast as time: sysUptime stands still; there is no boot time, each datagram has its own
 *   alternative everything else: kept beside the main interval; confirmed by the next header that fits it and not the
 *              main one. Uptime that began anew: a reboot. Uptime going on: somebody set the clock.
 *   unstable   steps again and again within few headers: not steps but bad header times; then only their hull is
 * honest.
 */
#include "owd-clock.h"

#include <math.h>

#define JITTER_NS (5 * OWD_NS_PER_MS)
#define WRAP_MS (G_GINT64_CONSTANT (1) << 32)
#define STEPS_APART 64     /* headers between two real steps, at least */
#define UNSTABLE_FOR 256   /* headers without contradiction until a bad clock is believed again */
#define FLOATING_SHARE 0.5 /* of the elapsed time, by which boot moved */

typedef struct {
  gint64 lo_ns, hi_ns;
  gint64 uptime_ms; /* unwrapped to fit */
} Constraint;

/* sysUptime wraps each 49.7 days: the multiple of the wrap that brings the boot time nearest to what is known. */
static Constraint
constraint_near (gint64 lo_ns, gint64 hi_ns, guint32 uptime_ms, gint64 near_ns)
{
  gint64 wrap_ns = WRAP_MS * OWD_NS_PER_MS;
  gint64 k = llround ((double) (lo_ns - near_ns) / (double) wrap_ns);

  if (k < 0)
    k = 0; /* a boot time later than known is a reboot, never a wrap */
  return (
      Constraint){ .lo_ns = lo_ns - k * wrap_ns, .hi_ns = hi_ns - k * wrap_ns, .uptime_ms = uptime_ms + k * WRAP_MS };
}

static OwdBootInterval
interval_from (const Constraint *c)
{
  return (OwdBootInterval){ .lo_ns = c->lo_ns, .hi_ns = c->hi_ns, .uptime_ms = c->uptime_ms, .headers = 1 };
}

/* The interval as it stands after drifting to the constraint's uptime. */
static OwdBootInterval
drifted (const OwdBootInterval *i, gint64 uptime_ms, double skew_bound_ppm)
{
  OwdBootInterval d = *i;
  double by_ns = fabs ((double) (uptime_ms - i->uptime_ms)) * skew_bound_ppm; /* ms * ppm = ns */

  d.lo_ns -= (gint64) by_ns;
  d.hi_ns += (gint64) by_ns;
  return d;
}

/* 0 if they intersect, else the gap between them. */
static gint64
gap (const OwdBootInterval *i, const Constraint *c)
{
  if (c->lo_ns >= i->hi_ns)
    return c->lo_ns - i->hi_ns + 1;
  if (c->hi_ns <= i->lo_ns)
    return i->lo_ns - c->hi_ns + 1;
  return 0;
}

/* i: already drifted. Intersects; over a gap of jitter the interval covers the gap and its own width on both sides. */
static void
tighten (OwdBootInterval *i, const Constraint *c)
{
  gint64 g = gap (i, c);

  if (g == 0) {
    i->lo_ns = MAX (i->lo_ns, c->lo_ns);
    i->hi_ns = MIN (i->hi_ns, c->hi_ns);
  } else {
    gint64 a = MIN (i->hi_ns, c->hi_ns), b = MAX (i->lo_ns, c->lo_ns);

    i->lo_ns = a - g;
    i->hi_ns = b + g;
  }
  i->uptime_ms = MAX (i->uptime_ms, c->uptime_ms);
  i->headers++;
}

static void
use (OwdBoot *self, const OwdBootInterval *i, gint64 uptime_ms)
{
  self->use_lo_ns = i->lo_ns;
  self->use_hi_ns = i->hi_ns;
  self->use_uptime_ms = uptime_ms;
}

/* An export cannot arrive before it was sent: boot <= recv - uptime in the collector's time. Where that contradicts the
 * header times, the exporter's clock is ahead. Where it does not, it may sharpen the upper end, if both clocks agree;
 * that is an assumption, so it is used only to prove the contradiction. */
static void
check_receive (OwdBoot *self, OwdTime recv_ns)
{
  gint64 latest_ns;

  if (recv_ns == OWD_TIME_NONE)
    return;
  latest_ns = recv_ns - self->use_uptime_ms * OWD_NS_PER_MS;
  if (latest_ns < self->use_lo_ns)
    self->rtc_ahead_ns = MAX (self->rtc_ahead_ns, self->use_lo_ns - latest_ns);
}

/* The alternative has its second witness. */
static OwdBootEvent
confirm (OwdBoot *self, const Constraint *c)
{
  gboolean reboot = c->uptime_ms < self->main.uptime_ms - 1000;
  gboolean again = !reboot && self->since_step < STEPS_APART && self->segments > 1;

  self->since_step = 0;
  self->segments++;
  if (again) {
    self->unstable = UNSTABLE_FOR;
    self->main.lo_ns = MIN (self->main.lo_ns, self->alt.lo_ns);
    self->main.hi_ns = MAX (self->main.hi_ns, self->alt.hi_ns);
    self->main.uptime_ms = c->uptime_ms;
    self->alt.headers = 0;
    use (self, &self->main, c->uptime_ms);
    return OWD_BOOT_UNSTABLE;
  }
  self->main = self->alt;
  self->alt.headers = 0;
  use (self, &self->main, c->uptime_ms);
  if (reboot)
    self->reboots++;
  else
    self->steps++;
  return reboot ? OWD_BOOT_REBOOT : OWD_BOOT_STEP;
}

/* Boot moved about as fast as time went by: the uptime is no clock. elapsed: between the two header times. */
static gboolean
is_floating (const OwdBootInterval *before, const Constraint *c)
{
  double moved = (double) (c->lo_ns - before->lo_ns);
  double elapsed = moved + (double) (c->uptime_ms - before->uptime_ms) * OWD_NS_PER_MS;

  return elapsed > 0.2 * OWD_NS_PER_S && moved > FLOATING_SHARE * elapsed && c->uptime_ms > before->uptime_ms - 2000
         && moved < 1.5 * elapsed;
}

static OwdBootEvent
contradicts (OwdBoot *self, const OwdBootInterval *now, const Constraint *c)
{
  const OwdBootInterval *last = self->alt.headers > 0 ? &self->alt : now;
  gboolean floating = is_floating (last, c);
  OwdBootInterval own = interval_from (c);

  if (self->unstable > 0) {
    self->unstable = UNSTABLE_FOR;
    self->main = *now;
    self->main.lo_ns = MIN (now->lo_ns, c->lo_ns);
    self->main.hi_ns = MAX (now->hi_ns, c->hi_ns);
    self->main.uptime_ms = MAX (now->uptime_ms, c->uptime_ms);
    use (self, &self->main, c->uptime_ms);
    return OWD_BOOT_UNSTABLE;
  }
  self->floating = floating ? self->floating + 1 : 0;
  self->alt = own;
  use (self, &own, c->uptime_ms);
  if (self->floating < 2) {
    self->outliers++;
    return OWD_BOOT_OUTLIER;
  }
  self->main = own; /* there is nothing to intersect with: the newest epoch is as good as any */
  self->alt.headers = 0;
  return OWD_BOOT_FLOATING;
}

static OwdBootEvent
fits (OwdBoot *self, const OwdBootInterval *now, const Constraint *c)
{
  if (self->unstable > 0) {
    if (--self->unstable == 0) {
      self->main = interval_from (c);
      use (self, &self->main, c->uptime_ms);
      return OWD_BOOT_SAME;
    }
    self->main = *now;
    self->main.uptime_ms = MAX (now->uptime_ms, c->uptime_ms);
    use (self, &self->main, c->uptime_ms);
    return OWD_BOOT_UNSTABLE;
  }
  self->main = *now;
  tighten (&self->main, c);
  self->alt.headers = 0;
  self->floating = 0;
  use (self, &self->main, c->uptime_ms);
  return OWD_BOOT_SAME;
}

OwdBootEvent
owd_boot_header (OwdBoot *self, OwdTime export_ns, gint64 tick_ns, guint32 uptime_ms, gint64 uptime_step_ns,
                 OwdTime recv_ns, double skew_bound_ppm)
{
  gint64 b_ns = export_ns - (gint64) uptime_ms * OWD_NS_PER_MS;
  gint64 lo_ns = b_ns - uptime_step_ns, hi_ns = b_ns + tick_ns;
  OwdBootEvent event;
  OwdBootInterval now;
  Constraint c;

  if (self->main.headers == 0) {
    c = (Constraint){ .lo_ns = lo_ns, .hi_ns = hi_ns, .uptime_ms = uptime_ms };
    self->main = interval_from (&c);
    self->segments = 1;
    use (self, &self->main, uptime_ms);
    check_receive (self, recv_ns);
    return OWD_BOOT_FIRST;
  }
  if (self->since_step < G_MAXUINT32)
    self->since_step++;
  c = constraint_near (lo_ns, hi_ns, uptime_ms, self->main.lo_ns);
  now = drifted (&self->main, c.uptime_ms, skew_bound_ppm);
  if (gap (&now, &c) <= JITTER_NS) {
    event = fits (self, &now, &c);
  } else {
    if (self->alt.headers > 0) {
      Constraint near_alt = constraint_near (lo_ns, hi_ns, uptime_ms, self->alt.lo_ns);
      OwdBootInterval alt = drifted (&self->alt, near_alt.uptime_ms, skew_bound_ppm);

      if (gap (&alt, &near_alt) <= JITTER_NS && self->unstable == 0) {
        self->alt = alt;
        tighten (&self->alt, &near_alt);
        event = confirm (self, &near_alt);
        check_receive (self, recv_ns);
        return event;
      }
    }
    event = contradicts (self, &now, &c);
  }
  check_receive (self, recv_ns);
  return event;
}
