/* SPDX-License-Identifier: Apache-2.0
 *
 * Which samples are kept raw where a path has more of them than a minute may have (raw-samples-per-minute). All count
 * in the roll-ups; the others are marked OWD_SAMPLE_EXCESS.
 *
 * The choice is by a hash of the flow, so it knows nothing of the delay, and a flow is kept at all points or at none as
 * far as their paths are equally busy. The share that is kept follows from how many samples the minute will have: as
 * many as the last one, or as many as its beginning promises, whichever is more. It is never a sample more than the
 * limit, but for those far from their path's others: these are what somebody will want to look at, and are kept beyond.
 *
 * It is part of the correlator so that it is a function of the log alone: the same samples are kept whatever the size
 * of batches, and after any restart.
 */
#include "internal.h"

#include <math.h>

#define MINUTE_NS (60 * OWD_NS_PER_S)

static void
begin_minute (Thin *self, gint64 minute)
{
  self->before = minute == self->minute + 1 ? self->seen : 0;
  self->minute = minute;
  self->seen = self->kept = 0;
}

/* Samples that the minute will have had, as far as can be told when `into` ns of it are over. What a few more than in
 * the minute before promise may be chance: only that counts which is beyond two of its standard deviations. */
static guint64
expected (const Thin *self, gint64 into_ns)
{
  double seen = self->before > 0 ? self->seen - 2 * sqrt (self->seen) : self->seen;
  double promised = seen * (double) MINUTE_NS / (double) MAX (into_ns, OWD_NS_PER_S);

  return promised > self->before ? (guint64) promised : self->before;
}

gboolean
thin_keeps (const OwdCorrelator *self, Thin *thin, const OwdSample *sample)
{
  guint32 limit = self->config.raw_per_minute;
  gint64 minute = sample->ts / MINUTE_NS - (sample->ts % MINUTE_NS < 0);
  guint32 mixed = (guint32) ((sample->flow * G_GUINT64_CONSTANT (0xd6e8feb86659fd93)) >> 32);
  guint64 n;

  if (limit == 0)
    return TRUE;
  if (minute != thin->minute)
    begin_minute (thin, minute);
  if (thin->seen < G_MAXUINT32)
    thin->seen++;
  if ((sample->flags & OWD_SAMPLE_GATE) != 0)
    return TRUE;
  n = expected (thin, sample->ts - minute * MINUTE_NS);
  if (thin->kept >= limit || (n > limit && mixed >= ((guint64) limit << 32) / n))
    return FALSE;
  thin->kept++;
  return TRUE;
}
