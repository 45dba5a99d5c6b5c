/* SPDX-License-Identifier: Apache-2.0
 *
 * When packets are due. Times are absolute: isochronous ones are start + n * interval, never "the last one plus", so
 * that neither lateness nor rounding adds up over days.
 */
#include "owd-probe.h"

#include <math.h>

/* SplitMix64: every seed is a good one. */
static guint64
next_random (guint64 *state)
{
  guint64 z = (*state += G_GUINT64_CONSTANT (0x9e3779b97f4a7c15));

  z = (z ^ z >> 30) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return z ^ z >> 31;
}

void
owd_probe_schedule_start (OwdProbeSchedule *self, OwdTime start)
{
  self->n = 0;
  self->start = self->last = start;
}

OwdTime
owd_probe_schedule_next (OwdProbeSchedule *self)
{
  guint64 n = self->n++;
  double u;

  switch (self->kind) {
  case OWD_PROBE_POISSON:
    if (n > 0) {
      u = ((double) (next_random (&self->seed) >> 11) + 1.0) * 0x1p-53; /* (0, 1] */
      self->last = owd_time_add (self->last, (gint64) (-log (u) * (double) self->interval_ns));
    }
    return self->last;
  case OWD_PROBE_BURST:
  case OWD_PROBE_TRAIN:
    return self->start + (gint64) (n / self->burst) * self->interval_ns
           + (self->kind == OWD_PROBE_BURST ? (gint64) (n % self->burst) * self->gap_ns : 0);
  case OWD_PROBE_ISOCHRONOUS:
    break;
  }
  return self->start + (gint64) n * self->interval_ns;
}

gint64
owd_probe_schedule_min_gap_ns (const OwdProbeSchedule *self)
{
  switch (self->kind) {
  case OWD_PROBE_POISSON:
    return self->interval_ns / 8; /* a window of n mean gaps holds 8 n packets with any probability that matters */
  case OWD_PROBE_BURST:
    return MIN (self->gap_ns, self->interval_ns);
  case OWD_PROBE_TRAIN:
    return 0;
  case OWD_PROBE_ISOCHRONOUS:
    break;
  }
  return self->interval_ns;
}
