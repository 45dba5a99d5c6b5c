/* SPDX-License-Identifier: Apache-2.0
 *
 * The clock model against clocks that are known.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "owd-fit.h"

#define MS OWD_NS_PER_MS
#define S OWD_NS_PER_S
#define EPOCH (1700000000 * S)

/* A header as an exporter with this boot time and skew would send it at true time t. */
static OwdHeader
header_at (OwdTime t, OwdTime boot, double skew_ppm)
{
  gint64 up_ns = (gint64) ((double) (t - boot) * (1 + skew_ppm * 1e-6));

  return (OwdHeader){ .export_s = (guint32) (t / S),
                      .uptime_ms = (guint32) (up_ns / MS),
                      .recv_ns = t + 2 * MS,
                      .flags = OWD_HEADER_UPTIME };
}

/* Is the true time t inside what the stamp says? */
static gboolean
holds (const OwdClock *c, OwdStampEnd which, const OwdInstant *at, OwdTime t)
{
  OwdStep step = owd_clock_step (c, OWD_STAMP_UPTIME_MS, which);

  return at->lo_ns <= t && t < at->lo_ns + at->clock_ns + step.bound_ns;
}

static OwdFlow
flow_at (guint64 uptime_ms)
{
  return (OwdFlow){
    .start_kind = OWD_STAMP_UPTIME_MS, .end_kind = OWD_STAMP_UPTIME_MS, .start_raw = uptime_ms, .end_raw = uptime_ms
  };
}

static void
steps_are_learnt (void **state)
{
  const gint64 steps_ms[] = { 1, 4, 10, 64, 256, 1000, 1024 };
  g_autoptr (GRand) rand = g_rand_new_with_seed (7);

  (void) state;
  for (guint k = 0; k < G_N_ELEMENTS (steps_ms); k++) {
    OwdResolution r = { 0 };
    guint phase = (guint) g_rand_int_range (rand, 0, (gint32) steps_ms[k]);

    for (guint i = 0; i < 3000; i++) {
      guint64 ms = 1700000000000 + (guint64) g_rand_int_range (rand, 0, 100000000);

      ms = ms / (guint64) steps_ms[k] * (guint64) steps_ms[k] + phase;
      if (g_rand_double (rand) < 0.1)
        ms = g_rand_int (rand); /* nonsense */
      owd_resolution_add (&r, ms * 1000);
      /* never finer than the truth, from the first stamp on */
      assert_true (owd_resolution_step_ns (&r, MS) >= steps_ms[k] * MS || i < 64);
      if (i == 0)
        assert_int_equal (owd_resolution_step_ns (&r, MS), 1024 * MS);
    }
    assert_int_equal (owd_resolution_step_ns (&r, MS), steps_ms[k] * MS);
  }
}

/* Swept phase: the interval holds the truth always and shrinks. */
static void
boot_shrinks_and_holds (void **state)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (11);
  guint held = 0, n = 0;
  gint64 width = 0;

  (void) state;
  for (guint round = 0; round < 20; round++) {
    OwdClock c = { 0 };
    OwdTime boot = EPOCH + g_rand_int_range (rand, 0, 1000000) * (gint64) 1000;
    double skew = g_rand_double_range (rand, -40, 40);
    OwdBootFit fit;
    OwdTime t = boot + 3600 * S;

    for (guint i = 0; i < 500; i++) {
      OwdHeader h;
      OwdFlow f;
      OwdInstant at;

      t += (gint64) (g_rand_double (rand) * 0.4 * (double) S);
      h = header_at (t, boot, skew);
      assert_true (owd_clock_header (&c, &h, 50) <= OWD_BOOT_FIRST);
      f = flow_at (h.uptime_ms);
      owd_clock_learn (&c, &f);
      assert_true (owd_clock_instant (&c, &f, OWD_STAMP_END, &at));
      n++;
      held += holds (&c, OWD_STAMP_END, &at, t);
    }
    assert_int_equal (c.boot.segments, 1);
    width += c.boot.use_hi_ns - c.boot.use_lo_ns;
    assert_true (owd_boot_fit (&c.boot, 1, 0, &fit));
    assert_true (fit.skew_lo_ppm <= -skew + 0.01 && -skew - 0.01 <= fit.skew_hi_ppm);
  }
  assert_int_equal (held, n);
  assert_in_range (width / 20, 1 * MS, 12 * MS);
}

/* Exports locked to the second: a second stays a second, whatever the number of headers. */
static void
locked_phase_stays_wide (void **state)
{
  OwdClock c = { 0 };
  OwdTime boot = EPOCH + 123 * MS;

  (void) state;
  for (guint i = 0; i < 1000; i++) {
    OwdHeader h = header_at (boot + 3600 * S + i * S + 500 * MS + (i % 11) * MS, boot, 0);

    (void) owd_clock_header (&c, &h, 0);
  }
  assert_in_range (c.boot.use_hi_ns - c.boot.use_lo_ns, 985 * MS, 995 * MS);
  assert_true (c.boot.use_lo_ns <= boot && boot < c.boot.use_hi_ns);
}

static void
reboot_and_step (void **state)
{
  OwdClock c = { 0 };
  OwdTime boot = EPOCH, t = boot + 1000 * S;
  OwdBootEvent e = OWD_BOOT_SAME;
  OwdHeader h;

  (void) state;
  for (guint i = 0; i < 100; i++, t += 777 * MS) {
    h = header_at (t, boot, 0);
    e = owd_clock_header (&c, &h, 50);
  }
  assert_int_equal (e, OWD_BOOT_SAME);
  boot = t;
  h = header_at (t += 777 * MS, boot, 0);
  assert_int_equal (owd_clock_header (&c, &h, 50), OWD_BOOT_OUTLIER);
  h = header_at (t += 777 * MS, boot, 0);
  assert_int_equal (owd_clock_header (&c, &h, 50), OWD_BOOT_REBOOT);
  for (guint i = 0; i < 100; i++, t += 777 * MS) {
    h = header_at (t, boot, 0);
    assert_int_equal (owd_clock_header (&c, &h, 50), OWD_BOOT_SAME);
  }
  /* the wall clock is set back by 7 s, uptime goes on */
  for (guint i = 0; i < 3; i++, t += 777 * MS) {
    h = header_at (t, boot, 0);
    h.export_s -= 7;
    e = owd_clock_header (&c, &h, 50);
    assert_int_equal (e, i == 0 ? OWD_BOOT_OUTLIER : i == 1 ? OWD_BOOT_STEP : OWD_BOOT_SAME);
  }
  assert_int_equal (c.boot.segments, 3);
  assert_int_equal (c.boot.reboots, 1);
  assert_int_equal (c.boot.steps, 1);
}

/* A step of a seventh of the header's tick contradicts one header in seven. Until the first of them, stamps are read by
 * the old clock; what is known later must put them right: each stamp's interval holds the clock of its own time. */
static void
a_small_step_is_located (void **state)
{
  enum { HEADERS = 400 };
  g_autoptr (GRand) rand = g_rand_new_with_seed (23);
  OwdClock c = { 0 };
  OwdInstant at[HEADERS];
  OwdTime truth[HEADERS];
  gint64 widest = 0;

  (void) state;
  for (guint i = 0; i < HEADERS; i++) {
    OwdTime t = EPOCH + i * 1537 * MS + g_rand_int_range (rand, 0, 900) * MS;
    OwdTime shift = i >= HEADERS / 2 ? 150 * MS : 0;
    OwdHeader h = header_at (t, EPOCH - 1000 * S, 0);
    OwdFlow f = flow_at ((guint64) h.uptime_ms - 100);

    h.export_s = (guint32) ((t + shift) / S);
    (void) owd_clock_header (&c, &h, 100);
    owd_clock_learn (&c, &f);
    assert_true (owd_clock_instant (&c, &f, OWD_STAMP_START, &at[i]));
    truth[i] = t - t % MS - 100 * MS + shift;
  }
  assert_int_equal (c.boot.steps, 1);
  for (guint i = 0; i < HEADERS; i++) {
    owd_clock_refine (&c, &at[i]);
    assert_true (holds (&c, OWD_STAMP_START, &at[i], truth[i]));
    if (i < HEADERS / 2 - 32 || i > HEADERS / 2 + 32)
      widest = MAX (widest, at[i].clock_ns);
  }
  assert_true (widest < 100 * MS); /* both clocks are claimed near the step only */
}

/* A small step while the skew is little known: lines that one header contradicts bend until they fit all others. From
 * that header on both clocks count, so boot times hold, and a skew that holds is said or none. */
static void
a_step_that_one_header_shows (void **state)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (41);
  guint outliers = 0, wrong = 0, doubts = 0;

  (void) state;
  for (guint run = 0; run < 1000; run++) {
    OwdClock c = { 0 };
    OwdTime boot = EPOCH + g_rand_int_range (rand, 0, 1000000) * (gint64) 1000, t = boot + 3600 * S;
    double skew = g_rand_double_range (rand, -40, 40);
    gint64 step = (g_rand_boolean (rand) ? 1 : -1) * g_rand_int_range (rand, 20, 100) * MS;
    gboolean contradicted = FALSE;
    OwdBootFit fit;

    for (guint i = 0; i < 300; i++) {
      gint64 by = i < 150 ? 0 : step;
      OwdHeader h;
      OwdFlow f;
      OwdInstant at;

      t += (gint64) ((0.5 + g_rand_double (rand)) * 1.3 * (double) S);
      h = header_at (t + by, boot + by, skew);
      if (owd_clock_header (&c, &h, 100) == OWD_BOOT_OUTLIER) {
        contradicted = TRUE;
        outliers++;
      }
      if (!contradicted || c.boot.use_segment == 0)
        continue;
      f = flow_at (h.uptime_ms);
      assert_true (owd_clock_instant (&c, &f, OWD_STAMP_END, &at));
      wrong += !holds (&c, OWD_STAMP_END, &at, t + by);
    }
    if (!owd_boot_doubtful (&c.boot))
      continue;
    doubts++;
    assert_true (owd_boot_fit (&c.boot, c.boot.segment, MS, &fit));
    assert_true (fit.doubtful && fit.skew_lo_ppm <= -skew && -skew <= fit.skew_hi_ppm);
  }
  assert_true (doubts > 0);
  assert_true (wrong <= outliers); /* the header that contradicts is itself read by the old clock */
}

/* A timer of 1.001 s beside a step: the first header that shows it may contradict by a millisecond or two, as jitter
 * would. Once the step is confirmed it explains that, and no jitter stays behind to widen what is said; boot times hold
 * on both sides of it. */
static void
a_step_leaves_no_jitter (void **state)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (29);
  guint taken_for_jitter = 0;

  (void) state;
  for (guint run = 0; run < 300; run++) {
    OwdClock c = { 0 };
    OwdTime boot = EPOCH + g_rand_int_range (rand, 0, 1000000) * (gint64) 1000, t = boot + 3600 * S;
    double skew = g_rand_double_range (rand, -40, 40);
    gboolean jitter = FALSE;
    gint64 lo_ns, hi_ns, truth_ns = 0, step = (g_rand_boolean (rand) ? 1 : -1) * 150 * MS;

    for (guint i = 0; i < 3000; i++) {
      gint64 late = i % 2 == 1 ? g_rand_int_range (rand, 0, 900) * MS : 0, by = i >= 1500 ? step : 0;
      OwdHeader h;

      t += i % 2 == 0 ? 1001 * MS : 0;
      h = header_at (t + late + by, boot + by, skew);
      truth_ns = t + late + by - (gint64) ((double) (t + late - boot) * (1 + skew * 1e-6));
      (void) owd_clock_header (&c, &h, 100);
      jitter = jitter || c.boot.jitter_ns > 0;
    }
    if (c.boot.steps != 1)
      continue;
    taken_for_jitter += jitter;
    assert_int_equal (c.boot.jitter_ns, 0);
    assert_true (owd_boot_at (&c.boot, c.boot.segment, c.boot.use_uptime_ms, &lo_ns, &hi_ns));
    assert_true (lo_ns <= truth_ns && truth_ns < hi_ns);
  }
  assert_true (taken_for_jitter > 0);
}

/* The boot time of a skewed exporter moves by 5 ms within a stamp's age, which is more than is unknown of it. */
static void
an_old_stamp_has_its_own_boot_time (void **state)
{
  const OwdTime boot = EPOCH - 1000 * S, age = 80 * S;
  g_autoptr (GRand) rand = g_rand_new_with_seed (24);
  OwdClock c = { 0 };

  (void) state;
  for (guint i = 0; i < 2000; i++) {
    OwdTime t = EPOCH + i * 1537 * MS + g_rand_int_range (rand, 0, 900) * MS;
    OwdHeader h = header_at (t, boot, 60);
    OwdFlow f = flow_at (header_at (t - age, boot, 60).uptime_ms);
    OwdInstant at;

    (void) owd_clock_header (&c, &h, 100);
    owd_clock_learn (&c, &f);
    assert_true (owd_clock_instant (&c, &f, OWD_STAMP_START, &at));
    owd_clock_refine (&c, &at);
    assert_true (holds (&c, OWD_STAMP_START, &at, t - age));
  }
}

/* What is kept of the clock for many stamps says the same as the clock itself, to the nanosecond but for a tie in the
 * rounding of a double: from the first header on, over skews, steps and reboots, with a profile and without. */
static void
a_span_says_what_the_clock_says (void **state)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (26);
  guint compared = 0, asked = 0, ties = 0;

  (void) state;
  for (guint round = 0; round < 40; round++) {
    OwdTime boot = EPOCH - g_rand_int_range (rand, 400, 100000) * S, shift = 0;
    double skew = g_rand_double_range (rand, -60, 60);
    OwdClock c = { 0 };

    for (guint i = 0; i < 600; i++) {
      OwdTime t = EPOCH + i * 537 * MS + g_rand_int_range (rand, 0, 500) * MS;
      OwdHeader h = header_at (t, boot, skew);
      OwdClockSpan span;

      if (i == 300 && round % 3 == 1)
        shift = g_rand_int_range (rand, -900, 900) * MS;
      if (i == 400 && round % 5 == 1)
        boot = t;
      h.export_s = (guint32) ((t + shift) / S);
      (void) owd_clock_header (&c, &h, 100);
      if (i == 5 && round % 2 == 1) {
        OwdPrior prior = { .id = 1,
                           .boot_lo_ns = c.boot.use_lo_ns + 100,
                           .boot_hi_ns = c.boot.use_hi_ns - 100,
                           .boot_ns = c.boot.use_lo_ns + 1000,
                           .boot_at_ns = t,
                           .over_ns = 3600 * S,
                           .skew_ppm = skew,
                           .skew_lo_ppm = skew - 1,
                           .skew_hi_ppm = skew + 1 };

        owd_clock_prior (&c, &prior);
      }
      owd_clock_span (&c, &span);
      for (guint k = 0; k < 8; k++) {
        gint64 uptime_ms = (gint64) h.uptime_ms - (gint64) g_rand_double_range (rand, -20000, 200000), lo, hi;
        OwdInstant at = { .lo_ns = uptime_ms * MS, .segment = c.boot.segment };

        asked++;
        if (span.segment == 0 || !owd_clock_span_at (&span, uptime_ms, &lo, &hi))
          continue;
        owd_clock_refine (&c, &at);
        assert_int_equal (span.segment, at.segment);
        assert_false (at.either);
        assert_in_range (lo - at.boot_ns + 1, 0, 2);
        assert_in_range (hi - at.boot_ns - at.clock_ns + 1, 0, 2);
        assert_int_equal (span.told, c.boot.likely[0].segment == at.segment);
        compared++;
        ties += lo != at.boot_ns || hi != at.boot_ns + at.clock_ns;
      }
    }
  }
  assert_true (compared > asked / 3);
  assert_true (ties * 1000 <= compared);
}

/* With a profile the first header's stamps are as narrow as it says, and lie where it says; one that the headers
 * contradict is left aside. */
static void
a_profile_is_there_from_the_start (void **state)
{
  const OwdTime boot = EPOCH - 5000 * S, from = EPOCH, at = EPOCH + 1800 * S;
  OwdPrior prior = { .id = 7,
                     .kind = { OWD_STAMP_UPTIME_MS, OWD_STAMP_UPTIME_MS },
                     .step_ns = { 4 * MS, 4 * MS },
                     .boot_at_ns = at,
                     .over_ns = 3600 * S,
                     .skew_ppm = -20,
                     .skew_lo_ppm = -20.2,
                     .skew_hi_ppm = -19.8 };
  OwdHeader h = header_at (from, boot, 20);
  gint64 truth = from + 100 * MS, right = at - (gint64) ((double) (at - boot) * (1 + 20e-6));

  (void) state;
  for (guint wrong = 0; wrong < 2; wrong++) {
    OwdFlow f = flow_at ((guint64) h.uptime_ms + 100);
    OwdClock c = { 0 };
    OwdInstant i;

    prior.boot_ns = right + (wrong ? 2 * S : 0);
    prior.boot_lo_ns = prior.boot_ns - MS / 2;
    prior.boot_hi_ns = prior.boot_ns + MS / 2;
    owd_clock_prior (&c, &prior);
    (void) owd_clock_header (&c, &h, 100);
    assert_true (owd_clock_instant (&c, &f, OWD_STAMP_START, &i));
    assert_true (holds (&c, OWD_STAMP_START, &i, truth));
    assert_int_equal (owd_clock_step (&c, OWD_STAMP_UPTIME_MS, OWD_STAMP_START).bound_ns, 4 * MS);
    if (wrong) {
      assert_true (i.clock_ns > S / 2);
      continue;
    }
    assert_true (i.clock_ns < 8 * MS);
    assert_true (ABS (i.lo_ns + i.likely_ns - truth) <= MS);
  }
}

static void
one_bad_header_does_no_harm (void **state)
{
  OwdClock c = { 0 };
  OwdTime boot = EPOCH, t = boot + 1000 * S;

  (void) state;
  for (guint i = 0; i < 200; i++, t += 777 * MS) {
    OwdHeader h = header_at (t, boot, 0);

    if (i % 20 == 7)
      h.export_s += 3600;
    assert_int_equal (owd_clock_header (&c, &h, 50), i == 0        ? OWD_BOOT_FIRST
                                                     : i % 20 == 7 ? OWD_BOOT_OUTLIER
                                                                   : OWD_BOOT_SAME);
  }
  assert_int_equal (c.boot.segments, 1);
}

static void
wrap_goes_unseen (void **state)
{
  OwdClock c = { 0 };
  OwdTime boot = EPOCH, t = boot + (G_GINT64_CONSTANT (4294967296) - 50000) * MS;

  (void) state;
  for (guint i = 0; i < 300; i++, t += 333 * MS) {
    OwdHeader h = header_at (t, boot, 0);
    OwdFlow f = flow_at ((guint32) (h.uptime_ms - 20000)); /* before the wrap while the header is behind it */
    OwdInstant at;

    assert_true (owd_clock_header (&c, &h, 50) <= OWD_BOOT_FIRST);
    owd_clock_learn (&c, &f);
    assert_true (owd_clock_instant (&c, &f, OWD_STAMP_START, &at));
    assert_true (holds (&c, OWD_STAMP_START, &at, t - 20 * S));
  }
  assert_int_equal (c.boot.segments, 1);
}

/* fprobe: whole seconds of an uptime that does not grow, header time with live nanoseconds. */
static void
floating_epoch (void **state)
{
  OwdClock c = { 0 };
  OwdTime t = EPOCH;
  g_autoptr (GRand) rand = g_rand_new_with_seed (3);
  guint floating = 0;

  (void) state;
  for (guint i = 0; i < 100; i++) {
    OwdHeader h = { .flags = OWD_HEADER_UPTIME | OWD_HEADER_FRAC };
    OwdTime boot;

    t += 3 * S;
    h.export_s = (guint32) (t / S);
    h.export_frac_ns = (guint32) g_rand_int_range (rand, 520, 900) * 1000;
    h.uptime_ms = 1048577000 + (guint32) g_rand_int_range (rand, 0, 2) * 1000;
    h.recv_ns = t + h.export_frac_ns + 20000;
    boot = t - (gint64) h.uptime_ms * MS;
    floating += owd_clock_header (&c, &h, 50) == OWD_BOOT_FLOATING;
    for (guint k = 0; k < 10; k++) {
      guint32 before = (guint32) g_rand_int_range (rand, 5, 2800);
      OwdFlow f = flow_at (h.uptime_ms - before);
      OwdInstant at;

      owd_clock_learn (&c, &f);
      assert_true (owd_clock_instant (&c, &f, OWD_STAMP_END, &at));
      /* the packet came within the ms that the stamp names */
      assert_true (holds (&c, OWD_STAMP_END, &at, boot + (gint64) (h.uptime_ms - before) * MS + MS / 2));
      if (i > 20)
        assert_true (at.clock_ns < 3 * MS);
    }
  }
  assert_true (floating > 60);
}

/* The same exporter under load: several datagrams in one burst, with uptimes a second apart. */
static void
floating_in_bursts (void **state)
{
  OwdClock c = { 0 };
  g_autoptr (GRand) rand = g_rand_new_with_seed (4);
  guint floating = 0, headers = 0;

  (void) state;
  for (guint i = 0; i < 60; i++)
    for (guint burst = g_rand_boolean (rand) ? 2 : 1; burst > 0; burst--) {
      OwdTime t = EPOCH + i * S + g_rand_int_range (rand, 500, 900) * 1000;
      OwdHeader h = { .flags = OWD_HEADER_UPTIME | OWD_HEADER_FRAC };
      OwdFlow f;
      OwdInstant at;
      guint32 before;

      h.export_s = (guint32) (t / S);
      h.export_frac_ns = (guint32) (t % S);
      h.uptime_ms = 1048576000 + (guint32) g_rand_int_range (rand, 0, 2) * 1000;
      h.recv_ns = t + 20000;
      before = (guint32) g_rand_int_range (rand, 5, 2800);
      f = flow_at (h.uptime_ms - before);
      floating += owd_clock_header (&c, &h, 50) == OWD_BOOT_FLOATING;
      headers++;
      owd_clock_learn (&c, &f);
      assert_true (owd_clock_instant (&c, &f, OWD_STAMP_END, &at));
      if (i < 7)
        continue; /* two headers may agree by chance until the first span is over */
      assert_true (holds (&c, OWD_STAMP_END, &at, t - before * MS + MS / 2));
      if (i > 30)
        assert_true (at.clock_ns < 3 * MS);
    }
  assert_true (floating > headers * 3 / 4);
}

/* Busier still, as recorded: three datagrams in each burst, of which the last two agree. */
static void
floating_in_threes (void **state)
{
  OwdClock c = { 0 };

  (void) state;
  for (guint i = 0; i < 60; i++)
    for (guint k = 0; k < 3; k++) {
      OwdTime t = EPOCH + i * S + (540 + 40 * k) * 1000;
      OwdHeader h = { .flags = OWD_HEADER_UPTIME | OWD_HEADER_FRAC,
                      .export_s = (guint32) (t / S),
                      .export_frac_ns = (guint32) (t % S),
                      .uptime_ms = k == 0 && i > 0 ? 1048577000 : 1048576000,
                      .recv_ns = t + 20000 };
      OwdFlow f = flow_at (h.uptime_ms - 1500);
      OwdInstant at;

      owd_clock_header (&c, &h, 50);
      owd_clock_learn (&c, &f);
      assert_true (owd_clock_instant (&c, &f, OWD_STAMP_END, &at));
      if (i >= 4)
        assert_true (holds (&c, OWD_STAMP_END, &at, t - 1500 * MS + MS / 2));
    }
}

/* A clock that is set, even twice in a row, is no floating epoch. */
static void
steps_do_not_float (void **state)
{
  OwdClock c = { 0 };
  OwdTime wall = EPOCH;

  (void) state;
  for (guint i = 0; i < 600; i++) {
    OwdHeader h = { .flags = OWD_HEADER_UPTIME, .uptime_ms = 5000 + i * 1000 };

    wall += i == 200 || i == 300 ? 100 * S : S;
    h.export_s = (guint32) (wall / S);
    h.recv_ns = EPOCH + i * S;
    assert_true (owd_clock_header (&c, &h, 50) != OWD_BOOT_FLOATING);
  }
  assert_int_equal (c.boot.steps, 2);
}

static void
absolute_stamps_need_no_boot (void **state)
{
  OwdClock c = { 0 };
  OwdHeader h = { .export_s = 1700000000 };
  OwdFlow f = { .start_kind = OWD_STAMP_UNIX_MS, .start_raw = 1700000000123, .end_kind = OWD_STAMP_NONE };
  OwdInstant at;

  (void) state;
  for (guint i = 0; i < 200; i++) {
    (void) owd_clock_header (&c, &h, 50);
    f.start_raw += 7;
    owd_clock_learn (&c, &f);
  }
  assert_true (owd_clock_instant (&c, &f, OWD_STAMP_START, &at));
  assert_int_equal (at.lo_ns, (gint64) f.start_raw * MS);
  assert_int_equal (at.clock_ns, 0);
  assert_int_equal (owd_clock_step (&c, OWD_STAMP_UNIX_MS, OWD_STAMP_START).bound_ns, MS);
  assert_int_equal (owd_clock_step (&c, OWD_STAMP_UNIX_S, OWD_STAMP_START).bound_ns, S);
  assert_false (owd_clock_instant (&c, &f, OWD_STAMP_END, &at));
  /* uptime without any base */
  f.start_kind = OWD_STAMP_UPTIME_MS;
  assert_false (owd_clock_instant (&c, &f, OWD_STAMP_START, &at));
}

/* A microsecond is cut once more where it becomes a binary fraction: by up to half of it in 21 bits (RFC 7011, 6.1.9). */
static void
a_binary_fraction_cuts_as_well (void **state)
{
  static const struct {
    OwdStampKind kind;
    guint64 mask; /* bits that are sent */
  } sent[] = { { OWD_STAMP_NTP_US, ~(guint64)0x7ff }, { OWD_STAMP_NTP_NS, ~(guint64)0 } };

  (void) state;
  for (guint k = 0; k < G_N_ELEMENTS (sent); k++) {
    OwdClock c = { 0 };
    OwdHeader h = { .export_s = 1700000000 };
    OwdFlow f = { .start_kind = sent[k].kind, .end_kind = OWD_STAMP_NONE };
    gint64 most_ns = 0;
    OwdInstant at;

    (void) owd_clock_header (&c, &h, 50);
    for (guint64 i = 0; i < 1000; i++) {
      guint64 us = i * 999 + 17; /* of a second, all residues */
      gint64 first_ns = 1700000000 * S + (gint64) us * 1000, last_ns = first_ns + 999;
      guint64 raw = (((guint64) 1700000000 + 2208988800u) << 32) + (us << 32) / 1000000;

      f.start_raw = raw & sent[k].mask;
      (void) owd_clock_learn (&c, &f);
      if (i < OWD_STEP_KNOWN)
        continue;
      assert_true (owd_clock_instant (&c, &f, OWD_STAMP_START, &at));
      assert_true (at.lo_ns <= first_ns);
      assert_true (last_ns < at.lo_ns + owd_clock_step (&c, sent[k].kind, OWD_STAMP_START).bound_ns);
      most_ns = MAX (most_ns, last_ns + 1 - at.lo_ns);
    }
    /* and no more than that is added */
    assert_true (owd_clock_step (&c, sent[k].kind, OWD_STAMP_START).bound_ns - most_ns < 8);
  }
}

/* IE 158 counts back from whole seconds: a packet that came after them, and before its export, is sent as 0. */
static void
a_difference_of_zero_is_later (void **state)
{
  OwdClock c = { 0 };
  OwdHeader h = { .export_s = 1700000000 };
  OwdFlow f = { .start_kind = OWD_STAMP_DELTA_US, .start_raw = 250000, .end_kind = OWD_STAMP_DELTA_US, .end_raw = 0 };
  OwdInstant at;

  (void) state;
  (void) owd_clock_header (&c, &h, 50);
  assert_true (owd_clock_instant (&c, &f, OWD_STAMP_START, &at));
  assert_int_equal (at.lo_ns, 1700000000 * S - 250 * MS);
  assert_int_equal (at.clock_ns, 0);
  assert_true (owd_clock_instant (&c, &f, OWD_STAMP_END, &at));
  assert_int_equal (at.lo_ns, 1700000000 * S);
  assert_int_equal (at.clock_ns, S);
  assert_int_equal (at.likely_ns, S / 2);
}

/* Ends of flows behind their header's uptime: of a lag they fill all up to it, a few nonsense stamps do not, though some
 * of them fall together. */
static void
a_few_stamps_are_no_lag (void **state)
{
  (void) state;
  for (guint lagging = 0; lagging < 2; lagging++) {
    OwdClock c = { 0 };

    for (guint i = 0; i < 400; i++) {
      guint32 uptime_ms = 1000000 + i * 1001;
      OwdHeader h = { .export_s = 1700000000 + i, .flags = OWD_HEADER_UPTIME, .uptime_ms = uptime_ms };
      OwdFlow f = { .end_kind = OWD_STAMP_UPTIME_MS, .start_kind = OWD_STAMP_NONE };

      (void) owd_clock_header (&c, &h, 50);
      f.end_raw = uptime_ms - i * 37 % 512; /* as they end, within half a second before the export */
      if (lagging != 0)
        f.end_raw += 336;
      else if (i % 100 == 99)
        f.end_raw = uptime_ms + 330 + i / 100; /* four of 400 */
      else if (i % 50 == 49)
        f.end_raw = uptime_ms + i; /* and some elsewhere */
      (void) owd_clock_learn (&c, &f);
    }
    if (lagging != 0)
      assert_in_range (c.lag.lag_ms, 336, 430);
    else
      assert_int_equal (c.lag.lag_ms, 0);
  }
}

/* IPFIX with uptime stamps and IE 160: noted at boot, the value says nothing of how uptime ran since; worked out anew
 * for each report (it moves by a ms), it is true now. */
static void
a_boot_time_noted_long_ago (void **state)
{
  const OwdTime boot = 1700000000 * S, now = boot + 20 * 86400 * S;
  const double skew_ppm = 30;
  const guint64 uptime_ms = (guint64) ((double) (now - boot) / MS * (1 + skew_ppm * 1e-6));
  OwdFlow flow = flow_at (uptime_ms);
  OwdInstant at;

  (void) state;
  for (guint moves = 0; moves < 2; moves++) {
    gint64 told_ms = moves ? now / MS - (gint64) uptime_ms : boot / MS;
    OwdClock c = { 0 };

    for (guint i = 0; i < 3; i++) {
      OwdHeader h
          = { .export_s = (guint32) (now / S), .recv_ns = now, .init_ms = told_ms - (gint64) (moves * (i % 2)) };

      (void) owd_clock_header (&c, &h, 100);
    }
    assert_true (owd_clock_instant (&c, &flow, OWD_STAMP_START, &at));
    assert_true (holds (&c, OWD_STAMP_START, &at, now));
    if (moves)
      assert_in_range (at.clock_ns, MS, 3 * MS);
    else
      assert_in_range (at.clock_ns, 2 * 30 * 20 * 86400 * (S / 1000000), 2 * 101 * 20 * 86400 * (S / 1000000));
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (steps_are_learnt),
    cmocka_unit_test (boot_shrinks_and_holds),
    cmocka_unit_test (locked_phase_stays_wide),
    cmocka_unit_test (reboot_and_step),
    cmocka_unit_test (a_small_step_is_located),
    cmocka_unit_test (a_step_that_one_header_shows),
    cmocka_unit_test (a_step_leaves_no_jitter),
    cmocka_unit_test (an_old_stamp_has_its_own_boot_time),
    cmocka_unit_test (a_span_says_what_the_clock_says),
    cmocka_unit_test (a_profile_is_there_from_the_start),
    cmocka_unit_test (one_bad_header_does_no_harm),
    cmocka_unit_test (wrap_goes_unseen),
    cmocka_unit_test (floating_epoch),
    cmocka_unit_test (floating_in_bursts),
    cmocka_unit_test (floating_in_threes),
    cmocka_unit_test (steps_do_not_float),
    cmocka_unit_test (absolute_stamps_need_no_boot),
    cmocka_unit_test (a_binary_fraction_cuts_as_well),
    cmocka_unit_test (a_difference_of_zero_is_later),
    cmocka_unit_test (a_few_stamps_are_no_lag),
    cmocka_unit_test (a_boot_time_noted_long_ago),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
