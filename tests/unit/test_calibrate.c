/* SPDX-License-Identifier: Apache-2.0
 *
 * Offsets of simulated exporters, whose truth is known, from probes whose phase sweeps the step.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "calibrate.h"

#define MS G_GINT64_CONSTANT (1000000)
#define SEED 20261122

typedef struct {
  gint64 step, offset;
  double drift_ppm;
  gint64 spacing;          /* between probes */
  gint64 near_lo, near_hi; /* way between probe and exporter */
  double blunders;         /* share */
} World;

/* The exporter's stamp of a packet that passes at t: its own clock, cut down to the step, taken as the middle. */
static gint64
stamp (const World *w, gint64 t)
{
  gint64 own = t + w->offset + (gint64) (w->drift_ppm * 1e-6 * (double) t);

  return own / w->step * w->step + w->step / 2;
}

static gint64
between (GRand *rand, gint64 lo, gint64 hi)
{
  return lo + (gint64) (g_rand_double (rand) * (double) (hi - lo));
}

/* n probe packets, and as many answers 32 ms later. */
static void
probe (const World *w, OwdCalibration *c, GRand *rand, guint n)
{
  gint64 t = G_GINT64_CONSTANT (1000000) * MS + between (rand, 0, 1000 * MS);

  for (guint i = 0; i < n; i++, t += w->spacing) {
    gint64 back = t + 32 * MS + between (rand, 0, w->step);
    gint64 wrong = g_rand_double (rand) < w->blunders ? between (rand, -5000 * MS, 5000 * MS) : 0;

    owd_calibration_add (c, stamp (w, t + between (rand, w->near_lo, w->near_hi)) - t + wrong, TRUE);
    owd_calibration_add (c, stamp (w, back - between (rand, w->near_lo, w->near_hi)) - back, FALSE);
  }
}

static OwdCalibrationResult
calibrate (const World *w, GRand *rand, guint n)
{
  g_autoptr (OwdCalibration) c = owd_calibration_new ();
  OwdCalibrationResult r;

  probe (w, c, rand, 2 * n); /* half of them check */
  owd_calibration_result (c, w->step, 0, &r);
  return r;
}

static void
nothing_without_both_kinds (void **state)
{
  g_autoptr (OwdCalibration) c = owd_calibration_new ();
  OwdCalibrationResult r;

  (void) state;
  owd_calibration_result (c, MS, 0, &r);
  assert_false (r.bounded);
  owd_calibration_add (c, 5 * MS, TRUE);
  owd_calibration_result (c, MS, 0, &r);
  assert_false (r.bounded);
  owd_calibration_add (c, 4 * MS, FALSE);
  owd_calibration_result (c, 2 * MS, 0, &r);
  assert_true (r.bounded);
  assert_int_equal (r.lo_ns, 3 * MS);
  assert_int_equal (r.hi_ns, 6 * MS);
  owd_calibration_clear (c);
  assert_int_equal (owd_calibration_count (c), 0);
}

/* The limit of one exact end, q / sqrt (2 (N + 1) (N + 2)): reached within 10 %, and the truth always held. */
static void
error_falls_with_1_over_n (void **state)
{
  const guint counts[] = { 100, 1000 };
  g_autoptr (GRand) rand = g_rand_new_with_seed (SEED);

  (void) state;
  for (guint k = 0; k < G_N_ELEMENTS (counts); k++) {
    double squares = 0, limit = 64.0 / sqrt (2.0 * (counts[k] + 1) * (counts[k] + 2));
    guint rounds = 2000;

    for (guint i = 0; i < rounds; i++) {
      World w = { .step = 64 * MS, .offset = between (rand, -500 * MS, 500 * MS), .spacing = 0 };
      OwdCalibrationResult r;
      double error;

      /* random phases: the limit is that of random ones */
      g_autoptr (OwdCalibration) c = owd_calibration_new ();
      for (guint p = 0; p < 2 * counts[k]; p++)
        probe (&w, c, rand, 1);
      owd_calibration_result (c, w.step, 0, &r);
      assert_true (r.bounded && !r.moved && r.rejected == 0);
      assert_true (r.lo_ns <= w.offset && w.offset <= r.hi_ns);
      assert_int_equal (r.held, r.checked);
      assert_int_equal (r.checked, 2 * counts[k]);
      error = (double) (r.offset_ns - w.offset) / 1e6;
      squares += error * error;
    }
    print_message ("seed %d, N %u: rms %.4f ms, limit %.4f\n", SEED, counts[k], sqrt (squares / rounds), limit);
    assert_true (sqrt (squares / rounds) < 1.1 * limit);
  }
}

/* A spacing of q + q / M visits M phases one after the other: as good as random ones, without their luck. */
static void
sweeping_is_as_good (void **state)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (SEED);

  (void) state;
  for (guint i = 0; i < 200; i++) {
    World w = { .step = 64 * MS, .offset = between (rand, -500 * MS, 500 * MS), .spacing = 64 * MS + 64 * MS / 200 };
    OwdCalibrationResult r = calibrate (&w, rand, 100);

    assert_true (r.lo_ns <= w.offset && w.offset <= r.hi_ns);
    assert_true (r.swept > 0.85);
    assert_true (ABS (r.offset_ns - w.offset) < 3 * MS);
  }
}

/* A spacing locked to the step tells nothing of the phase: the interval stays wide, and says so. */
static void
locked_phases_stay_honest (void **state)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (SEED);

  (void) state;
  for (guint i = 0; i < 200; i++) {
    World w = { .step = 64 * MS, .offset = between (rand, -500 * MS, 500 * MS) };
    g_autoptr (OwdCalibration) c = owd_calibration_new ();
    gint64 t = G_GINT64_CONSTANT (1000000) * MS + between (rand, 0, 64 * MS);
    OwdCalibrationResult r;

    for (guint p = 0; p < 200; p++, t += 640 * MS) {
      owd_calibration_add (c, stamp (&w, t) - t, TRUE);
      owd_calibration_add (c, stamp (&w, t + 32 * MS) - t - 32 * MS, FALSE);
    }
    owd_calibration_result (c, w.step, 0, &r);
    assert_true (r.lo_ns <= w.offset && w.offset <= r.hi_ns);
    assert_true (r.swept < 0.01);
    assert_true (r.hi_ns - r.lo_ns > 30 * MS);
  }
}

/* A way between probe and exporter, unequal there and back: held without knowing it, no narrower than it is. */
static void
the_way_between_is_no_assumption (void **state)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (SEED);

  (void) state;
  for (guint i = 0; i < 200; i++) {
    World w = { .step = 10 * MS,
                .offset = between (rand, -50 * MS, 50 * MS),
                .spacing = 10 * MS + 10 * MS / 997,
                .near_lo = 2 * MS,
                .near_hi = 30 * MS };
    OwdCalibrationResult r = calibrate (&w, rand, 500);

    assert_true (r.lo_ns <= w.offset && w.offset <= r.hi_ns);
    assert_true (r.hi_ns - r.lo_ns >= 4 * MS && r.hi_ns - r.lo_ns < 9 * MS);
    assert_int_equal (r.held, r.checked);
  }
}

static void
blunders_are_left_out (void **state)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (SEED);

  (void) state;
  for (guint i = 0; i < 200; i++) {
    World w = { .step = 4 * MS, .offset = 7 * MS + 123456, .spacing = 4 * MS + 4 * MS / 997, .blunders = 0.05 };
    OwdCalibrationResult r = calibrate (&w, rand, 500);

    assert_true (r.rejected > 5);
    assert_true (r.lo_ns <= w.offset && w.offset <= r.hi_ns);
  }
}

/* 20 ppm over 40 s are 0.8 ms: more than the bounds leave, so they cross, and the interval is the way of the offset. */
static void
drift_is_said (void **state)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (SEED);
  World w = { .step = MS, .spacing = 40 * MS + 40 * MS / 997, .drift_ppm = 20 };
  g_autoptr (OwdCalibration) c = owd_calibration_new ();
  OwdCalibrationResult r;
  gint64 begin = G_GINT64_CONSTANT (1000000) * MS;

  (void) state;
  probe (&w, c, rand, 1000);
  owd_calibration_result (c, w.step, 0, &r);
  assert_true (r.moved);
  assert_in_range (r.hi_ns - r.lo_ns, 750000, 850000);
  assert_true (r.lo_ns < (gint64) (20e-6 * (double) begin) + MS / 10);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (nothing_without_both_kinds),
    cmocka_unit_test (error_falls_with_1_over_n),
    cmocka_unit_test (sweeping_is_as_good),
    cmocka_unit_test (locked_phases_stay_honest),
    cmocka_unit_test (the_way_between_is_no_assumption),
    cmocka_unit_test (blunders_are_left_out),
    cmocka_unit_test (drift_is_said),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
