/* SPDX-License-Identifier: Apache-2.0
 *
 * Statistics of paired delays, against values worked out by hand and against drawn ones.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "validate.h"

static OwdValidationPair
pair (double active, double passive, double half)
{
  return (OwdValidationPair){ .active = active,
                              .active_lo = NAN,
                              .active_hi = NAN,
                              .passive = passive,
                              .passive_lo = passive - half,
                              .passive_hi = passive + half,
                              .sigma = half / sqrt (3) };
}

static void
nothing_is_nan (void **state)
{
  g_autoptr (OwdValidation) v = owd_validation_new ();
  OwdValidationPair bad = pair (NAN, 1, 1);
  OwdValidationResult r;

  (void) state;
  owd_validation_add (v, &bad);
  bad = pair (1, 1, INFINITY);
  owd_validation_add (v, &bad);
  owd_validation_result (v, &r);
  assert_int_equal (r.n, 0);
  assert_true (isnan (r.bias) && isnan (r.inside) && isnan (r.ks) && isnan (r.correlation));
}

static void
one_pair (void **state)
{
  g_autoptr (OwdValidation) v = owd_validation_new ();
  const OwdValidationPair p = pair (3, 5, 1);
  OwdValidationResult r;

  (void) state;
  owd_validation_add (v, &p);
  owd_validation_result (v, &r);
  assert_int_equal (r.n, 1);
  assert_float_equal (r.bias, 2, 1e-12);
  assert_float_equal (r.spread, 0, 1e-12);
  assert_float_equal (r.inside, 0, 0);
  assert_float_equal (r.ks, 1, 0);
  assert_true (isnan (r.correlation) && isnan (r.stderr_));
}

/* Differences 1, 2, 3, 4, 100: one blunder moves the mean, not bias and spread; ranks see no blunder at all. */
static void
a_blunder_moves_the_mean_only (void **state)
{
  g_autoptr (OwdValidation) v = owd_validation_new ();
  const double passive[] = { 11, 22, 33, 44, 150 };
  OwdValidationResult r;

  (void) state;
  for (guint i = 0; i < 5; i++) {
    OwdValidationPair p = pair (10.0 * (i + 1), passive[i], 3.5);

    owd_validation_add (v, &p);
  }
  owd_validation_result (v, &r);
  assert_float_equal (r.active, 30, 1e-12);
  assert_float_equal (r.passive, 33, 1e-12);
  assert_float_equal (r.bias, 3, 1e-12);
  assert_float_equal (r.mean, 22, 1e-12);
  assert_float_equal (r.spread, 1.4826, 1e-9); /* deviations 2, 1, 0, 1, 97 */
  assert_float_equal (r.p975, 90.4, 1e-9);
  assert_float_equal (r.p025, 1.1, 1e-9);
  assert_float_equal (r.random, 87.4, 1e-9);
  assert_float_equal (r.rank_correlation, 1, 1e-12);
  assert_float_equal (r.correlation, 3000 / sqrt (1000 * 12610.0), 1e-9);
  assert_float_equal (r.inside, 0.6, 1e-12);
  assert_float_equal (r.width, 7, 1e-9);
  assert_float_equal (r.within_2sigma, 0.8, 1e-12); /* 4 <= 2 * 3.5 / sqrt 3 = 4.04 */
  owd_validation_clear (v);
  owd_validation_result (v, &r);
  assert_int_equal (r.n, 0);
}

/* Half open, as samples have it; noise and stated errors widen, each its own share. */
static void
intervals_meet (void **state)
{
  g_autoptr (OwdValidation) v = owd_validation_new ();
  const OwdValidationPair pairs[] = {
    { .active = 1, .active_lo = NAN, .active_hi = NAN, .passive_lo = 1, .passive_hi = 2 },
    { .active = 2, .active_lo = NAN, .active_hi = NAN, .passive_lo = 1, .passive_hi = 2 },
    { .active = 2.03, .active_lo = NAN, .active_hi = NAN, .noise = 0.04, .passive_lo = 1, .passive_hi = 2 },
    { .active = 3, .active_lo = 1.5, .active_hi = 4, .passive_lo = 1, .passive_hi = 2 },
    { .active = 3, .active_lo = 2.5, .active_hi = 4, .passive_lo = 1, .passive_hi = 2 },
  };
  OwdValidationResult r;

  (void) state;
  for (guint i = 0; i < G_N_ELEMENTS (pairs); i++)
    owd_validation_add (v, &pairs[i]);
  owd_validation_result (v, &r);
  assert_float_equal (r.inside, 0.4, 1e-12);
  assert_float_equal (r.consistent, 0.6, 1e-12);
}

/* Equal values share a rank: without that, rank correlation of quantised delays depends on the order of packets. */
static void
ties_share_ranks (void **state)
{
  g_autoptr (OwdValidation) v = owd_validation_new ();
  const double values[][2] = { { 1, 10 }, { 1, 10 }, { 2, 10 }, { 3, 20 } };
  OwdValidationResult r;

  (void) state;
  for (guint i = 0; i < 4; i++) {
    OwdValidationPair p = pair (values[i][0], values[i][1], 1);

    owd_validation_add (v, &p);
  }
  owd_validation_result (v, &r);
  /* ranks 0.5 0.5 2 3 and 1 1 1 3 */
  assert_float_equal (r.rank_correlation, 3.0 / sqrt (4.5 * 3), 1e-9);
  assert_float_equal (r.ks, 1, 1e-12);
}

/* Two samples of one distribution: p is uniform, so seldom small; two that differ by half a deviation are told apart.
 */
static void
ks_tells_distributions_apart (void **state)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (20261122);
  guint small = 0;

  (void) state;
  for (guint round = 0; round < 200; round++) {
    g_autoptr (OwdValidation) same = owd_validation_new (), apart = owd_validation_new ();
    OwdValidationResult r;

    for (guint i = 0; i < 400; i++) {
      double a = g_rand_double (rand), b = g_rand_double (rand);
      OwdValidationPair p = pair (a, b, 1), q = pair (a, b + 0.2, 1);

      owd_validation_add (same, &p);
      owd_validation_add (apart, &q);
    }
    owd_validation_result (same, &r);
    small += r.ks_p < 0.05;
    owd_validation_result (apart, &r);
    assert_true (r.ks_p < 1e-3);
  }
  print_message ("p below 0.05 in %u of 200 rounds\n", small);
  assert_in_range (small, 2, 20); /* 10 expected */
}

/* What the report is for: quantised stamps of a known step around a varying delay. */
static void
quantised_stamps_are_held (void **state)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (7);
  g_autoptr (OwdValidation) v = owd_validation_new ();
  OwdValidationResult r;

  (void) state;
  for (guint i = 0; i < 5000; i++) {
    double t = g_rand_double_range (rand, 0, 1e6), d = 20 + g_rand_double_range (rand, 0, 10);
    double apart = floor ((t + d) / 4) * 4 - floor (t / 4) * 4;
    OwdValidationPair p = { .active = d,
                            .active_lo = NAN,
                            .active_hi = NAN,
                            .passive = apart,
                            .passive_lo = apart - 4,
                            .passive_hi = apart + 4,
                            .sigma = sqrt (32.0 / 12) };

    owd_validation_add (v, &p);
  }
  owd_validation_result (v, &r);
  assert_float_equal (r.inside, 1, 0);
  assert_float_equal (r.mean, 0, 4 * r.stderr_);
  assert_float_equal (r.stderr_, sqrt (32.0 / 12 / 5000), 0.002);
  assert_in_range ((guint) (1000 * r.within_2sigma), 940, 1000);
  assert_in_range ((guint) (1000 * r.correlation), 800, 950); /* 2.89 / hypot (2.89, 1.63) = 0.87 */
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (nothing_is_nan),
    cmocka_unit_test (one_pair),
    cmocka_unit_test (a_blunder_moves_the_mean_only),
    cmocka_unit_test (intervals_meet),
    cmocka_unit_test (ties_share_ranks),
    cmocka_unit_test (ks_tells_distributions_apart),
    cmocka_unit_test (quantised_stamps_are_held),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
