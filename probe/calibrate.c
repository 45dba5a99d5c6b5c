/* SPDX-License-Identifier: Apache-2.0
 *
 * Bounds from extremes, so a single wrong packet could move them. Two things stand against that. Residuals further from
 * their median than rounding and the jitter of the way explain are left out. And a packet that is wrong by less makes
 * the bounds cross, or comes out in the check of the other half: crossed bounds are reported as the interval between
 * them, which holds the offset all the same.
 *
 * A drift of the exporter's clock crosses the bounds likewise: from the packets alone it is a range that the offset
 * went through. Shorter windows are the remedy.
 */
#include "calibrate.h"

#include <stdlib.h>

#define LATER 0
#define EARLIER 1

struct OwdCalibration {
  GArray *residuals[2]; /* gint64, in the order in which they came */
};

OwdCalibration *
owd_calibration_new (void)
{
  OwdCalibration *self = g_new0 (OwdCalibration, 1);

  self->residuals[LATER] = g_array_new (FALSE, FALSE, sizeof (gint64));
  self->residuals[EARLIER] = g_array_new (FALSE, FALSE, sizeof (gint64));
  return self;
}

void
owd_calibration_free (OwdCalibration *self)
{
  if (self == NULL)
    return;
  g_array_unref (self->residuals[LATER]);
  g_array_unref (self->residuals[EARLIER]);
  g_free (self);
}

void
owd_calibration_clear (OwdCalibration *self)
{
  g_array_set_size (self->residuals[LATER], 0);
  g_array_set_size (self->residuals[EARLIER], 0);
}

void
owd_calibration_add (OwdCalibration *self, gint64 residual_ns, gboolean later)
{
  g_array_append_val (self->residuals[later ? LATER : EARLIER], residual_ns);
}

guint
owd_calibration_count (const OwdCalibration *self)
{
  return self->residuals[LATER]->len + self->residuals[EARLIER]->len;
}

static int
ascending (const void *a, const void *b)
{
  const gint64 *x = a, *y = b;

  return (*x > *y) - (*x < *y);
}

/* Sorted values of one half: which is 0 or 1. */
static gint64 *
half_of (const GArray *residuals, guint which, guint *ret_n)
{
  guint n = (residuals->len + 1 - which) / 2;
  gint64 *v = g_new (gint64, n + 1);

  for (guint i = 0; i < n; i++)
    v[i] = g_array_index (residuals, gint64, 2 * i + which);
  qsort (v, n, sizeof *v, ascending);
  *ret_n = n;
  return v;
}

/* The part of sorted v that rounding by the step and jitter explain: [*ret_first, *ret_end). Jitter by the quartiles,
 * which half the packets would have to be wrong to move. */
static void
plausible_of (const gint64 *v, guint n, gint64 step_ns, guint *ret_first, guint *ret_end)
{
  gint64 median = v[n / 2], reach = 2 * step_ns + 10 * (v[n - 1 - n / 4] - v[n / 4]);

  *ret_first = 0;
  *ret_end = n;
  while (v[*ret_first] < median - reach)
    ++*ret_first;
  while (v[*ret_end - 1] > median + reach)
    --*ret_end;
}

static double
swept_share (const gint64 *v, guint first, guint end, gint64 step_ns)
{
  return step_ns > 0 ? MIN (1.0, (double) (v[end - 1] - v[first]) / (double) step_ns) : 1.0;
}

/* How far an extreme may be from the edge that it stands for: what phases have left out, and e^-8 of chance. */
static gint64
short_of_edge (const OwdCalibrationResult *r, gint64 step_ns)
{
  double share = 1 - r->swept + 8.0 / MIN (r->n_later, r->n_earlier);

  return (gint64) (MIN (share, 1.0) * (double) step_ns);
}

static void
fit (const OwdCalibration *self, gint64 step_ns, gint64 noise_ns, OwdCalibrationResult *r)
{
  g_autofree gint64 *later = half_of (self->residuals[LATER], 0, &r->n_later);
  g_autofree gint64 *earlier = half_of (self->residuals[EARLIER], 0, &r->n_earlier);
  guint first, end, from, to;
  gint64 hi, lo, margin = noise_ns;

  r->bounded = r->n_later > 0 && r->n_earlier > 0;
  if (!r->bounded)
    return;
  plausible_of (later, r->n_later, step_ns, &first, &end);
  plausible_of (earlier, r->n_earlier, step_ns, &from, &to);
  r->rejected = r->n_later - (end - first) + r->n_earlier - (to - from);
  r->n_later = end - first;
  r->n_earlier = to - from;
  r->swept = MIN (swept_share (later, first, end, step_ns), swept_share (earlier, from, to, step_ns));
  hi = later[first] + step_ns / 2;
  lo = earlier[to - 1] - step_ns / 2;
  r->moved = lo > hi + 2 * noise_ns;
  r->offset_ns = lo + (hi - lo) / 2;
  if (r->moved)
    margin += short_of_edge (r, step_ns);
  r->lo_ns = MIN (lo, hi) - margin;
  r->hi_ns = MAX (lo, hi) + margin;
}

static void
check (const OwdCalibration *self, gint64 step_ns, gint64 noise_ns, OwdCalibrationResult *r)
{
  for (guint kind = LATER; kind <= EARLIER; kind++)
    for (guint i = 1; i < self->residuals[kind]->len; i += 2) {
      gint64 residual = g_array_index (self->residuals[kind], gint64, i), reach = step_ns / 2 + noise_ns;

      r->checked++;
      r->held += kind == LATER ? residual + reach >= r->lo_ns : residual - reach <= r->hi_ns;
    }
}

void
owd_calibration_result (const OwdCalibration *self, gint64 step_ns, gint64 noise_ns, OwdCalibrationResult *ret)
{
  *ret = (OwdCalibrationResult){ 0 };
  fit (self, step_ns, noise_ns, ret);
  if (ret->bounded)
    check (self, step_ns, noise_ns, ret);
}
