/* SPDX-License-Identifier: Apache-2.0
 *
 * Nonsense stamps. Each record's stamps have an age against their own export, so neither boot times nor other clocks
 * enter. An age is nonsense where it is negative beyond what good records of this exporter show, or far greater than
 * theirs. "This exporter's" are ranks of the ages themselves, looked up anew while records come: up to a tenth of
 * nonsense moves them little, and an exporter with an hour of lag, or an epoch of its own, is no liar: what the first
 * records were taken for before that was known is forgotten.
 *
 * What cannot be seen from one exporter alone: a stamp that is off by seconds and still plausible.
 */
#include "internal.h"

#include <math.h>

#define OLD_LEAST_NS (3600 * OWD_NS_PER_S) /* nothing younger is called far past, */
#define OLD_TIMES 8                        /* nor what is less than this often the age of nine in ten */
#define AHEAD_LEAST_NS (2 * OWD_NS_PER_S)  /* header times are cut to the second */
#define LOOK_FIRST 64                      /* records before ranks count */
#define LOOK_EVERY 4096                    /* records between two looks at the ranks */
#define RANK_ALL 1024                      /* so many ages make the ranks, then */
#define RANK_ONE_IN 4
#define SLIP_TOLERANCE_NS (300 * OWD_NS_PER_S)

#define SLIP_US_NS ((G_GINT64_CONSTANT (1) << 32) * OWD_NS_PER_US)
#define SLIP_MS_NS ((G_GINT64_CONSTANT (1) << 32) * OWD_NS_PER_MS)

static void
look (Blunders *self)
{
  double old_ms = lag_quantile_ms (&self->start, 0.9), young_ms = lag_quantile_ms (&self->end, 0.1);

  self->old_ns = OLD_LEAST_NS;
  self->ahead_ns = AHEAD_LEAST_NS;
  if (self->start.n < LOOK_FIRST)
    return;

  self->old_ns = MAX (self->old_ns, (gint64) (old_ms * OLD_TIMES) * OWD_NS_PER_MS);
  self->ahead_ns = MAX (self->ahead_ns, (gint64) (-young_ms * 1.1) * OWD_NS_PER_MS + AHEAD_LEAST_NS);
}

/* Off by a wrap, and otherwise as old as records are? */
static gboolean
is_slip (const Blunders *self, gint64 age_ns)
{
  gint64 ns = ABS (age_ns), tolerance = MIN (self->old_ns, SLIP_TOLERANCE_NS);

  return ABS (ns - SLIP_US_NS) <= tolerance || ABS (ns - SLIP_MS_NS) <= tolerance;
}

static gboolean
is_far (const Blunders *self, gint64 age_ns, OwdBlunder *ret)
{
  if (age_ns >= -self->ahead_ns && age_ns <= self->old_ns)
    return FALSE;
  if (is_slip (self, age_ns))
    *ret = OWD_BLUNDER_SLIP;
  else
    *ret = age_ns < 0 ? OWD_BLUNDER_FUTURE : OWD_BLUNDER_PAST;
  return TRUE;
}

/* What is wrong with a record that is not plainly fine. FALSE: nothing. */
static gboolean
find_blunder (const Blunders *self, const Ages *ages, gint64 slack_ns, OwdBlunder *ret)
{
  if (ages->zero)
    *ret = OWD_BLUNDER_ZERO;
  else if (!is_far (self, ages->end_ns, ret) && !is_far (self, ages->start_ns, ret)) {
    *ret = OWD_BLUNDER_BEFORE;
    return ages->start_ns - ages->end_ns < -slack_ns;
  }
  return TRUE;
}

gboolean
blunder_add (Blunders *self, const Ages *ages, gint64 slack_ns)
{
  OwdBlunder what;

  self->n++;
  if (self->start.n == LOOK_FIRST && (self->old_ns > OLD_LEAST_NS || self->ahead_ns > AHEAD_LEAST_NS))
    self->count[OWD_BLUNDER_FUTURE] = self->count[OWD_BLUNDER_PAST] = self->count[OWD_BLUNDER_SLIP] = 0;
  if (!ages->zero && (self->n <= RANK_ALL || self->n % RANK_ONE_IN == 0)) {
    lag_add (&self->start, ages->start_ns);
    lag_add (&self->end, ages->end_ns);
  }
  if ((self->n & (self->n - 1)) == 0 || self->n % LOOK_EVERY == 0)
    look (self);
  /* nearly all are fine */
  if (G_LIKELY (!ages->zero && ages->end_ns >= -self->ahead_ns && ages->start_ns <= self->old_ns
                && ages->start_ns >= ages->end_ns))
    return FALSE;
  if (!find_blunder (self, ages, slack_ns, &what))
    return FALSE;
  self->count[what]++;
  return TRUE;
}

void
blunder_merge (Blunders *self, const Blunders *other)
{
  self->n += other->n;
  for (guint i = 0; i < OWD_BLUNDERS; i++)
    self->count[i] += other->count[i];
  lag_merge (&self->start, &other->start);
  lag_merge (&self->end, &other->end);
  look (self);
}

void
blunder_summary (const Blunders *self, OwdBlunderSummary *ret)
{
  guint64 sum = 0;

  for (guint i = 0; i < OWD_BLUNDERS; i++) {
    ret->count[i] = self->count[i];
    sum += self->count[i];
  }
  ret->rate = self->n >= 32 ? estimate_share (sum, self->n) : estimate_unknown ("too few records", self->n);
}
