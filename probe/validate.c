/* SPDX-License-Identifier: Apache-2.0
 *
 * Statistics of paired delays. All packets are kept (an hour of 10 per second are 36,000): medians, ranks and the
 * Kolmogorov-Smirnov distance need them, and a mean alone would let one blunder speak for all.
 *
 * Kolmogorov-Smirnov: the largest distance between the two empirical distribution functions, ties stepped over
 * together; p-value by the asymptotic series with Stephens' correction (Press et al., Numerical Recipes, 14.3.3).
 */
#include "validate.h"

#include <math.h>
#include <stdlib.h>

struct OwdValidation {
  GArray *pairs; /* OwdValidationPair */
};

OwdValidation *
owd_validation_new (void)
{
  OwdValidation *self = g_new0 (OwdValidation, 1);

  self->pairs = g_array_new (FALSE, FALSE, sizeof (OwdValidationPair));
  return self;
}

void
owd_validation_free (OwdValidation *self)
{
  if (self == NULL)
    return;
  g_array_unref (self->pairs);
  g_free (self);
}

void
owd_validation_clear (OwdValidation *self)
{
  g_array_set_size (self->pairs, 0);
}

void
owd_validation_add (OwdValidation *self, const OwdValidationPair *pair)
{
  if (isfinite (pair->active) && isfinite (pair->passive) && isfinite (pair->passive_lo) && isfinite (pair->passive_hi)
      && isfinite (pair->sigma) && isfinite (pair->noise))
    g_array_append_val (self->pairs, *pair);
}

/* ---- order statistics -------------------------------------------------------------------------- */

static int
ascending (const void *a, const void *b)
{
  const double *x = a, *y = b;

  return (*x > *y) - (*x < *y);
}

/* v: sorted, n at least 1. Between two values: by their distance. */
static double
quantile (const double *v, guint n, double q)
{
  double at = q * (n - 1);
  guint i = (guint) at;

  return i + 1 < n ? v[i] + (at - i) * (v[i + 1] - v[i]) : v[n - 1];
}

static double
spread_of (const double *differences, guint n, double median)
{
  g_autofree double *far = g_new (double, n);

  for (guint i = 0; i < n; i++)
    far[i] = fabs (differences[i] - median);
  qsort (far, n, sizeof *far, ascending);
  return 1.4826 * quantile (far, n, 0.5);
}

/* ---- correlation ------------------------------------------------------------------------------- */

/* Is a sum of squared deviations more than rounding leaves of a constant? */
static gboolean
varies (double squares, double mean, guint n)
{
  double least = 1e-12 * (1 + fabs (mean));

  return squares > n * least * least;
}

static double
correlation_of (const double *x, const double *y, guint n)
{
  double mx = 0, my = 0, sxx = 0, syy = 0, sxy = 0;

  for (guint i = 0; i < n; i++) {
    mx += x[i];
    my += y[i];
  }
  mx /= n;
  my /= n;
  for (guint i = 0; i < n; i++) {
    sxx += (x[i] - mx) * (x[i] - mx);
    syy += (y[i] - my) * (y[i] - my);
    sxy += (x[i] - mx) * (y[i] - my);
  }
  return varies (sxx, mx, n) && varies (syy, my, n) ? sxy / sqrt (sxx * syy) : NAN;
}

/* The rank of each value; sorted: the same values in order. Equal values share the mean of their ranks. */
static double *
ranks_of (const double *v, const double *sorted, guint n)
{
  double *ranks = g_new (double, n);

  for (guint i = 0; i < n; i++) {
    guint lo = 0, hi = n, end;

    while (lo < hi) { /* first place that is not below v[i] */
      guint mid = lo + (hi - lo) / 2;

      if (sorted[mid] < v[i])
        lo = mid + 1;
      else
        hi = mid;
    }
    for (end = lo, hi = n; end < hi;) { /* first place above it */
      guint mid = end + (hi - end) / 2;

      if (sorted[mid] <= v[i])
        end = mid + 1;
      else
        hi = mid;
    }
    ranks[i] = (lo + end - 1) / 2.0;
  }
  return ranks;
}

/* ---- Kolmogorov-Smirnov ------------------------------------------------------------------------ */

/* a, b: sorted, n each. */
static double
ks_distance (const double *a, const double *b, guint n)
{
  double far = 0;

  for (guint i = 0, k = 0; i < n && k < n;) {
    double at = MIN (a[i], b[k]);

    while (i < n && a[i] <= at)
      i++;
    while (k < n && b[k] <= at)
      k++;
    far = MAX (far, fabs ((double) i - k) / n);
  }
  return far;
}

static double
ks_probability (double distance, guint n)
{
  double root = sqrt (n / 2.0), lambda = (root + 0.12 + 0.11 / root) * distance, sum = 0, sign = 1;

  if (lambda < 0.2) /* the series does not converge there, and its limit is 1 to within 1e-12 */
    return 1;
  for (guint j = 1; j <= 100; j++, sign = -sign)
    sum += sign * exp (-2.0 * lambda * lambda * j * j);
  return CLAMP (2 * sum, 0, 1);
}

/* ---- the result -------------------------------------------------------------------------------- */

static gboolean
meets (double lo, double hi, const OwdValidationPair *p)
{
  return hi >= p->passive_lo && lo < p->passive_hi;
}

static void
count_shares (const OwdValidationPair *pairs, guint n, OwdValidationResult *r)
{
  guint inside = 0, consistent = 0, near = 0;

  for (guint i = 0; i < n; i++) {
    const OwdValidationPair *p = &pairs[i];
    double lo = p->active - p->noise, hi = p->active + p->noise;
    gboolean stated = isfinite (p->active_lo) && isfinite (p->active_hi);

    inside += meets (lo, hi, p);
    consistent += stated ? meets (MIN (lo, p->active_lo), MAX (hi, p->active_hi), p) : meets (lo, hi, p);
    near += fabs (p->passive - p->active) <= 2 * p->sigma + p->noise;
  }
  r->inside = (double) inside / n;
  r->consistent = (double) consistent / n;
  r->within_2sigma = (double) near / n;
}

static double
median_width (const OwdValidationPair *pairs, guint n)
{
  g_autofree double *widths = g_new (double, n);

  for (guint i = 0; i < n; i++)
    widths[i] = pairs[i].passive_hi - pairs[i].passive_lo;
  qsort (widths, n, sizeof *widths, ascending);
  return quantile (widths, n, 0.5);
}

static void
describe_differences (const OwdValidationPair *pairs, guint n, OwdValidationResult *r)
{
  g_autofree double *d = g_new (double, n);
  double square = 0;

  r->mean = 0;
  for (guint i = 0; i < n; i++) {
    d[i] = pairs[i].passive - pairs[i].active;
    r->mean += d[i] / n;
  }
  for (guint i = 0; i < n; i++)
    square += (d[i] - r->mean) * (d[i] - r->mean);
  r->stderr_ = n > 1 ? sqrt (square / (n - 1) / n) : NAN;
  qsort (d, n, sizeof *d, ascending);
  r->bias = quantile (d, n, 0.5);
  r->p025 = quantile (d, n, 0.025);
  r->p975 = quantile (d, n, 0.975);
  r->random = MAX (r->bias - r->p025, r->p975 - r->bias);
  r->spread = spread_of (d, n, r->bias);
}

static void
compare_distributions (const OwdValidationPair *pairs, guint n, OwdValidationResult *r)
{
  g_autofree double *a = g_new (double, n), *p = g_new (double, n), *a_sorted = NULL, *p_sorted = NULL;
  g_autofree double *a_ranks = NULL, *p_ranks = NULL;

  for (guint i = 0; i < n; i++) {
    a[i] = pairs[i].active;
    p[i] = pairs[i].passive;
  }
  a_sorted = g_memdup2 (a, n * sizeof *a);
  p_sorted = g_memdup2 (p, n * sizeof *p);
  qsort (a_sorted, n, sizeof *a, ascending);
  qsort (p_sorted, n, sizeof *p, ascending);
  r->active = quantile (a_sorted, n, 0.5);
  r->passive = quantile (p_sorted, n, 0.5);
  r->ks = ks_distance (a_sorted, p_sorted, n);
  r->ks_p = ks_probability (r->ks, n);
  a_ranks = ranks_of (a, a_sorted, n);
  p_ranks = ranks_of (p, p_sorted, n);
  r->correlation = n > 2 ? correlation_of (a, p, n) : NAN;
  r->rank_correlation = n > 2 ? correlation_of (a_ranks, p_ranks, n) : NAN;
}

void
owd_validation_result (const OwdValidation *self, OwdValidationResult *ret)
{
  const OwdValidationPair *pairs = (const OwdValidationPair *) (gpointer) self->pairs->data;
  guint n = self->pairs->len;

  *ret = (OwdValidationResult){ .n = n,
                                .active = NAN,
                                .passive = NAN,
                                .bias = NAN,
                                .mean = NAN,
                                .stderr_ = NAN,
                                .spread = NAN,
                                .p025 = NAN,
                                .p975 = NAN,
                                .random = NAN,
                                .correlation = NAN,
                                .rank_correlation = NAN,
                                .width = NAN,
                                .inside = NAN,
                                .consistent = NAN,
                                .within_2sigma = NAN,
                                .ks = NAN,
                                .ks_p = NAN };
  if (n == 0)
    return;
  describe_differences (pairs, n, ret);
  compare_distributions (pairs, n, ret);
  ret->width = median_width (pairs, n);
  count_shares (pairs, n, ret);
}
