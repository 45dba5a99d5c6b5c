/* SPDX-License-Identifier: Apache-2.0
 *
 * Histogram with bins that grow with the value. One increment per value, a walk over a thousand bins per quantile.
 */
#include "internal.h"

#include <math.h>
#include <string.h>

/* Lower edge of a bin, and its width, in ms. */
static double
bin_low (guint i, double *ret_width)
{
  guint octave;

  *ret_width = 1;
  if (i < 16)
    return i;
  octave = i / 16 - 1;
  *ret_width = ldexp (1, (int) octave);
  return ldexp ((double) (16 + i % 16), (int) octave);
}

void
lag_merge (LagHist *self, const LagHist *other)
{
  self->n += other->n;
  for (guint side = 0; side < 2; side++)
    for (guint i = 0; i < LAG_SIDE; i++)
      self->bin[side][i] += other->bin[side][i];
}

/* Values in 16 bins. */
static guint64
count_octave (const guint32 *bin)
{
  guint64 sum = 0;

  for (guint i = 0; i < 16; i++)
    sum += bin[i];
  return sum;
}

/* Nearly all octaves are empty, and only the one that the rank is in is looked at bin by bin. */
double
lag_quantile_ms (const LagHist *self, double q)
{
  double wanted = q * (double) self->n, before = 0, width, low;

  for (guint k = 0; k < 2 * LAG_SIDE / 16; k++) {
    gboolean positive = k >= LAG_SIDE / 16;
    guint octave = positive ? k - LAG_SIDE / 16 : LAG_SIDE / 16 - 1 - k;
    guint64 all = count_octave (&self->bin[positive][16 * octave]);

    if (all == 0 || before + (double) all < wanted) {
      before += (double) all;
      continue;
    }
    for (guint j = 0; j < 16; j++) {
      guint i = 16 * octave + (positive ? j : 15 - j);
      double here = self->bin[positive][i], inside;

      if (here == 0 || before + here < wanted) {
        before += here;
        continue;
      }
      inside = (wanted - before) / here;
      low = bin_low (i, &width);
      return positive ? low + inside * width : -(low + (1 - inside) * width);
    }
  }
  return 0;
}

guint64
lag_count_above (const LagHist *self, double ms)
{
  guint64 sum = 0;
  double width;

  for (guint i = LAG_SIDE; i-- > 0 && bin_low (i, &width) >= ms;)
    sum += self->bin[1][i];
  return sum;
}

/* The bounds follow from the ranks that the quantile may have had, and the width of the bins. Records are not alike by
 * chance alone: those of one datagram share their lag, so ranks are given five times the binomial's room. */
OwdEstimate
lag_estimate (const LagHist *self, double q)
{
  double n = (double) self->n, spread, value, lo, hi;

  if (n * MIN (q, 1 - q) < 4)
    return estimate_unknown ("too few records", self->n);
  spread = 5 * BOUND_SD * sqrt (q * (1 - q) / n);
  value = lag_quantile_ms (self, q);
  lo = lag_quantile_ms (self, MAX (q - spread, 0));
  hi = lag_quantile_ms (self, MIN (q + spread, 1));
  return estimate_bound (value, lo - MAX (1, fabs (lo) / 32), hi + MAX (1, fabs (hi) / 32), self->n);
}
