/* SPDX-License-Identifier: Apache-2.0
 *
 * Best estimates out of feasible lines: as sharp as all headers together allow, and ranges that hold as often as they
 * say. What headers allow is computed anew here, from all of them, by search instead of by clipping.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "owd-fit.h"

#include <math.h>

#define MS OWD_NS_PER_MS
#define S OWD_NS_PER_S
#define EPOCH (1700000000 * S)
#define SKEW_BOUND 100
#define HEADERS 400

/* Headers of one exporter; times in ms around the middle of the run. */
typedef struct {
  double at_ms[HEADERS], lo_ms[HEADERS], hi_ms[HEADERS];
  guint n;
} Run;

/* Lower side of what a skew leaves for the boot time in the middle: the highest of all lower ends; sign -1: upper. */
static double
side (const Run *r, double skew_ppm, double sign)
{
  double worst = -INFINITY;

  for (guint i = 0; i < r->n; i++)
    worst = MAX (worst, sign * ((sign > 0 ? r->lo_ms[i] : r->hi_ms[i]) - skew_ppm * 1e-6 * r->at_ms[i]));
  return sign * worst;
}

static double
room (const Run *r, double skew_ppm)
{
  return side (r, skew_ppm, -1) - side (r, skew_ppm, 1);
}

/* The skew between a and b with the greatest f (concave). */
static double
best_skew (const Run *r, double a, double b, double (*f) (const Run *, double))
{
  for (guint i = 0; i < 80; i++) {
    double x = a + (b - a) / 3, y = b - (b - a) / 3;

    if (f (r, x) < f (r, y))
      a = x;
    else
      b = y;
  }
  return (a + b) / 2;
}

static double
upper (const Run *r, double skew_ppm)
{
  return side (r, skew_ppm, -1);
}

static double
lower_negative (const Run *r, double skew_ppm)
{
  return -side (r, skew_ppm, 1);
}

/* Where room ends between a feasible skew and one that may not be. */
static double
feasible_end (const Run *r, double inside, double outside)
{
  if (room (r, outside) >= 0)
    return outside;
  for (guint i = 0; i < 60; i++) {
    double middle = (inside + outside) / 2;

    if (room (r, middle) >= 0)
      inside = middle;
    else
      outside = middle;
  }
  return inside;
}

/* Width in ms of all that fits every header, in the middle of the run. */
static double
achievable_ms (const Run *r)
{
  double best = best_skew (r, -SKEW_BOUND, SKEW_BOUND, room);
  double a = feasible_end (r, best, -SKEW_BOUND), b = feasible_end (r, best, SKEW_BOUND);

  return upper (r, best_skew (r, a, b, upper)) + lower_negative (r, best_skew (r, a, b, lower_negative));
}

/* An exporter whose header seconds are swept, for 20 minutes. */
static void
run_exporter (GRand *rand, OwdBoot *boot, Run *ret, OwdTime *ret_boot, double *ret_skew_ppm)
{
  OwdTime at = EPOCH + g_rand_int_range (rand, 0, 1000000) * (gint64) 1000, start = at + 3600 * S, t = start;
  double skew_ppm = g_rand_double_range (rand, -60, 60);

  ret->n = 0;
  for (guint i = 0; i < HEADERS; i++) {
    gint64 up_ns, up_ms;

    t += (gint64) (g_rand_double (rand) * 6 * (double) S);
    up_ns = (t - at) + (gint64) ((double) (t - at) * skew_ppm * 1e-6);
    up_ms = up_ns / MS;
    (void) owd_boot_header (boot, t / S * S, S, (guint32) up_ms, MS, t, SKEW_BOUND);
    ret->at_ms[ret->n] = (double) up_ms;
    ret->lo_ms[ret->n] = (double) (t / S * S - at) / (double) MS - (double) up_ms - 1;
    ret->hi_ms[ret->n++] = (double) (t / S * S - at) / (double) MS - (double) up_ms + 1000;
  }
  for (guint i = 0; i < ret->n; i++)
    ret->at_ms[i] -= (double) ((boot->main.first_uptime_ms + boot->main.last_uptime_ms) / 2);
  *ret_boot = at;
  *ret_skew_ppm = skew_ppm;
}

static void
as_sharp_as_headers_allow (void **state)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (31);

  (void) state;
  for (guint i = 0; i < 20; i++) {
    OwdBoot boot = { 0 };
    OwdTime truth;
    double skew_ppm, width_ms;
    OwdBootFit fit;
    Run r;

    run_exporter (rand, &boot, &r, &truth, &skew_ppm);
    assert_true (owd_boot_fit (&boot, boot.segment, MS, &fit));
    width_ms = (double) (fit.hi_ns - fit.lo_ns) / (double) MS;
    if (width_ms > 1.3 * achievable_ms (&r))
      fail_msg ("run %u: %.3f ms wide, where %.3f ms can be had", i, width_ms, achievable_ms (&r));
  }
}

static void
ranges_hold_as_often_as_they_say (void **state)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (32);
  guint bounds = 0, ranges = 0, n = 400;

  (void) state;
  for (guint i = 0; i < n; i++) {
    OwdBoot boot = { 0 };
    OwdTime truth;
    double skew_ppm, here_ns;
    OwdBootFit fit;
    Run r;

    run_exporter (rand, &boot, &r, &truth, &skew_ppm);
    assert_true (owd_boot_fit (&boot, boot.segment, MS, &fit));
    here_ns = (double) truth - (double) fit.uptime_ms * skew_ppm;
    bounds += (double) fit.lo_ns <= here_ns && here_ns <= (double) fit.hi_ns;
    ranges += fit.skew_lo95_ppm <= -skew_ppm && -skew_ppm <= fit.skew_hi95_ppm;
    assert_true (fit.skew_lo_ppm <= fit.skew_lo95_ppm && fit.skew_lo95_ppm <= fit.skew_ppm);
    assert_true (fit.skew_ppm <= fit.skew_hi95_ppm && fit.skew_hi95_ppm <= fit.skew_hi_ppm);
  }
  assert_int_equal (bounds, n);
  if (ranges < n * 90 / 100 || ranges > n * 98 / 100)
    fail_msg ("95 %% ranges of the skew held the truth in %u of %u cases", ranges, n);
}

/* A step of a seventh of the tick contradicts one header in seven. Those that come until then fit the lines before it,
 * and must not bend them; and between which headers the step happened is told. */
static void
step_leaves_the_past_as_it_was (void **state)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (33);
  guint located = 0, n = 50;

  (void) state;
  for (guint i = 0; i < n; i++) {
    OwdTime at = EPOCH, t = at + 3600 * S, step_at = t + 1800 * S, first = OWD_TIME_NONE;
    double skew_ppm = g_rand_double_range (rand, -60, 60), here_ns;
    OwdBoot boot = { 0 };
    OwdBootFit fit;

    while (t < step_at + 1200 * S) {
      double up_ns;
      OwdTime wall;

      t += (gint64) (g_rand_double (rand) * 2 * (double) S);
      up_ns = (double) (t - at) * (1 + skew_ppm * 1e-6);
      wall = t + (t >= step_at ? 150 * MS : 0);
      if (owd_boot_header (&boot, wall / S * S, S, (guint32) (up_ns / (double) MS), MS, t, SKEW_BOUND)
              == OWD_BOOT_OUTLIER
          && t >= step_at)
        first = t;
    }
    assert_int_equal (boot.segment, 2);
    assert_true (first != OWD_TIME_NONE && first >= step_at);
    assert_true (owd_boot_fit (&boot, 1, MS, &fit));
    here_ns = (double) at - (double) fit.uptime_ms * skew_ppm;
    assert_true ((double) fit.lo_ns <= here_ns && here_ns <= (double) fit.hi_ns);
    assert_true (fit.skew_lo_ppm <= -skew_ppm && -skew_ppm <= fit.skew_hi_ppm);
    if (boot.before_step_recv_ns == OWD_TIME_NONE)
      continue;
    located++;
    assert_true (boot.before_step_recv_ns < step_at);
  }
  if (located < n * 9 / 10)
    fail_msg ("%u of %u steps were located", located, n);
}

/* Five minutes after a step the headers since then know the skew to some 25 ppm, those before it to 2. */
static void
skew_outlives_a_step (void **state)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (34);
  double squares = 0;
  guint ranges = 0, n = 100;

  (void) state;
  for (guint i = 0; i < n; i++) {
    OwdTime at = EPOCH, t = at + 3600 * S, step_at = t + 1800 * S;
    double skew_ppm = g_rand_double_range (rand, -60, 60);
    OwdBoot boot = { 0 };
    OwdBootFit fit;

    while (t < step_at + 300 * S) {
      OwdTime wall;

      t += (gint64) (g_rand_double (rand) * 2 * (double) S);
      wall = t + (t >= step_at ? 2 * S : 0);
      (void) owd_boot_header (&boot, wall / S * S, S,
                              (guint32) ((double) (t - at) * (1 + skew_ppm * 1e-6) / (double) MS), MS, t, SKEW_BOUND);
    }
    assert_int_equal (boot.segment, 2);
    assert_true (owd_boot_fit (&boot, 2, MS, &fit));
    squares += pow (fit.skew_ppm + skew_ppm, 2);
    ranges += fit.skew_lo95_ppm <= -skew_ppm && -skew_ppm <= fit.skew_hi95_ppm;
    assert_true (fit.skew_lo_ppm <= -skew_ppm && -skew_ppm <= fit.skew_hi_ppm);
  }
  if (sqrt (squares / n) > 3 || ranges < n * 90 / 100)
    fail_msg ("skews off by %.2f ppm, 95 %% ranges held the truth in %u of %u cases", sqrt (squares / n), ranges, n);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (as_sharp_as_headers_allow),
    cmocka_unit_test (ranges_hold_as_often_as_they_say),
    cmocka_unit_test (step_leaves_the_past_as_it_was),
    cmocka_unit_test (skew_outlives_a_step),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
