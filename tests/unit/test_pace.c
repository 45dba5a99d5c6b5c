/* SPDX-License-Identifier: Apache-2.0
 *
 * The pace of a reader that can work off so many seconds of log a second, at whatever share of the flows, and of one
 * that has to wait. Part of the work is reading, whatever is kept; part comes with the records that are kept; and part
 * with their samples, a horizon of log time later.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "owd-pace.h"

#define S OWD_NS_PER_S
#define EPOCH (1700000000 * S)
#define STEP_US 100000
#define READING 0.15
#define RECORDS 0.25
#define SAMPLES (1 - READING - RECORDS)
#define SECONDS 1024 /* of log time whose share is remembered */

typedef struct {
  OwdPace pace;
  OwdPaceMark mark; /* the log's end is real time */
  gint64 horizon_ns;
  double capacity; /* seconds of log in a second where all flows are kept */
  double noise;    /* of that, for ten seconds each */
  guint32 random;
  double kept[SECONDS];                   /* share, by second of log time */
  double worst_s, least, most, sum, cost; /* since the last look: lag, shares; cost of a second of log */
  guint steps, changes;
} Reader;

static void
reader_init (Reader *r, gint64 max_lag_ns, gint64 lag_ns, gint64 horizon_ns)
{
  *r = (Reader){ .mark = { .now_us = 1, .now = EPOCH, .log_time = EPOCH - lag_ns, .delivered = OWD_TIME_NONE },
                 .horizon_ns = horizon_ns,
                 .random = 1 };
  owd_pace_init (&r->pace, max_lag_ns, 1);
  for (guint i = 0; i < SECONDS; i++)
    r->kept[i] = 1;
}

/* The largest share that can be worked off: of which a second's work takes a second. */
static double
best (double capacity)
{
  return CLAMP ((capacity - READING) / (1 - READING), 0, 1);
}

static double
lag_s (const Reader *r)
{
  return (double) (r->mark.now - r->mark.log_time) / (double) S;
}

static double
speed (Reader *r)
{
  gint64 second = r->mark.log_time / S;

  if (r->noise > 0 && r->mark.now_us % (10 * G_USEC_PER_SEC) < STEP_US)
    r->random = r->random * 1664525 + 1013904223;
  r->kept[second % SECONDS] = r->pace.share;
  r->cost = READING + RECORDS * r->pace.share + SAMPLES * r->kept[(second - r->horizon_ns / S) % SECONDS];
  return r->capacity / r->cost * (1 + r->noise * (2.0 * r->random / G_MAXUINT32 - 1));
}

/* Reads for so long; what it counts begins anew. */
static void
reads (Reader *r, double seconds, double capacity)
{
  r->capacity = capacity;
  r->worst_s = r->sum = r->most = 0;
  r->least = 1;
  r->steps = r->changes = 0;
  for (gint64 until = r->mark.now_us + (gint64) (seconds * 1e6); r->mark.now_us < until;) {
    double may_ns = STEP_US * 1000 * speed (r), there_ns, before = r->pace.share;

    r->mark.now_us += STEP_US;
    r->mark.now += STEP_US * 1000;
    there_ns = (double) (r->mark.now - r->mark.log_time);
    r->mark.at_end = may_ns >= there_ns;
    if (r->mark.at_end)
      r->mark.waited_us += (gint64) (STEP_US * (1 - there_ns / may_ns));
    r->mark.log_time += (gint64) MIN (may_ns, there_ns);
    r->mark.delivered = r->mark.log_time - r->horizon_ns;
    r->changes += owd_pace_step (&r->pace, &r->mark) != before;
    r->worst_s = MAX (r->worst_s, lag_s (r));
    r->least = MIN (r->least, r->pace.share);
    r->most = MAX (r->most, r->pace.share);
    r->sum += r->pace.share;
    r->steps++;
  }
}

static const double capacities[] = { 0.3, 0.5, 0.7, 0.9, 0.98 };
static const gint64 lags_s[] = { 60, 300 }, horizons_s[] = { 0, 4, 30, 100 };

/* In turn all of them. Returns: the capacity; or 0: that was all. */
static double
next_reader (Reader *r, guint i)
{
  guint n = G_N_ELEMENTS (capacities), lags = G_N_ELEMENTS (lags_s);

  if (i >= n * lags * G_N_ELEMENTS (horizons_s))
    return 0;
  reader_init (r, lags_s[i / n % lags] * S, 0, horizons_s[i / n / lags] * S);
  return capacities[i % n];
}

/* Whatever it can, however late the work comes: the share stands still, where less than a ninth of the time is left. */
static void
comes_to_rest (void **state)
{
  Reader r;
  double c;

  (void) state;
  for (guint i = 0; (c = next_reader (&r, i)) > 0; i++) {
    double max_lag_s = (double) (r.pace.max_lag_ns / S), horizon_s = (double) (r.horizon_ns / S);

    reads (&r, max_lag_s / (1 - c), c);
    assert_true (r.least == 1); /* not yet that far behind */
    reads (&r, 3600, c);
    assert_true (r.worst_s < max_lag_s + 60 + 1.5 * horizon_s * (1 / c - 1)); /* two cuts that have to tell */
    assert_true (r.changes <= 10);
    reads (&r, 3600, c);
    assert_int_equal (r.changes, 0);
    assert_true (r.worst_s < max_lag_s / 2);
    assert_true (r.pace.share <= best (c) && c / r.cost < 1.12);
  }
}

/* A machine that is faster and slower by chance, each ten seconds anew: what is kept is what can be, and few changes.
 */
static void
noise_is_borne (void **state)
{
  const double noise[] = { 0.1, 0.3 };
  const guint changes[] = { 2, 20 };
  const double least[] = { 0.85, 0.6 };
  Reader r;
  double c;

  (void) state;
  for (guint n = 0; n < G_N_ELEMENTS (noise); n++) {
    for (guint i = 0; (c = next_reader (&r, i)) > 0; i++) {
      r.noise = noise[n];
      reads (&r, 7200, c);
      reads (&r, 3600, c);
      assert_true (r.changes <= changes[n]);
      assert_true (r.least > least[n] * best (c));
      assert_true (r.sum / r.steps > 0.85 * best (c) && r.sum / r.steps < 1.1 * best (c));
      assert_true (r.worst_s < 1.1 * (double) (r.pace.max_lag_ns / S));
    }
  }
}

static guint
seconds_to_full (Reader *r, double capacity)
{
  guint seconds = 0;

  for (; r->pace.share < 1 && seconds < 3600; seconds++)
    reads (r, 1, capacity);
  return seconds;
}

static void
all_is_kept_when_load_falls (void **state)
{
  (void) state;
  for (guint i = 0; i < G_N_ELEMENTS (capacities); i++) {
    Reader r;

    reader_init (&r, 60 * S, 0, 30 * S);
    reads (&r, 3600, capacities[i]);
    assert_true (seconds_to_full (&r, 2) <= 120);
    reader_init (&r, 60 * S, 0, 30 * S);
    reads (&r, 3600, capacities[i]);
    assert_true (seconds_to_full (&r, 1.2) <= 180);
    /* and stays, with less to spare than it came back with */
    reads (&r, 3600, 1.05);
    assert_true (r.least == 1);
  }
}

/* However far behind: what has to be done for the share of before says nothing of that in force. */
static void
nothing_follows_until_all_is_delivered (void **state)
{
  Reader r;
  OwdTime delivered;

  (void) state;
  reader_init (&r, 60 * S, 0, 0);
  while (r.pace.share == 1)
    reads (&r, 1, 0.5);
  delivered = r.mark.log_time;
  r.horizon_ns = 1000 * S; /* it has grown since */
  reads (&r, 600, 0.1);
  assert_true (r.mark.delivered < delivered && r.worst_s > 300);
  assert_int_equal (r.changes, 0);
  r.horizon_ns = 0;
  reads (&r, 60, 0.1);
  assert_true (r.changes > 0);
}

static void
who_catches_up_sheds_nothing (void **state)
{
  Reader r;

  (void) state;
  reader_init (&r, 60 * S, 3600 * S, 30 * S);
  reads (&r, 3 * 3600, 1.4);
  assert_true (r.least == 1);
  /* slower than that, it would take too long */
  reader_init (&r, 60 * S, 3600 * S, 30 * S);
  reads (&r, 3600, 1.1);
  assert_true (r.least < 1);
}

static void
who_waits_sheds_nothing (void **state)
{
  Reader r;

  (void) state;
  reader_init (&r, 60 * S, 0, 30 * S);
  reads (&r, 100, 2);
  r.mark.now_us += 600 * G_USEC_PER_SEC; /* the database is away */
  r.mark.now += 600 * S;
  owd_pace_rest (&r.pace);
  reads (&r, 900, 2);
  assert_true (r.least == 1);
  reader_init (&r, 0, 0, 30 * S);
  reads (&r, 3600, 0.1);
  assert_true (r.least == 1);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (comes_to_rest),
    cmocka_unit_test (noise_is_borne),
    cmocka_unit_test (all_is_kept_when_load_falls),
    cmocka_unit_test (nothing_follows_until_all_is_delivered),
    cmocka_unit_test (who_catches_up_sheds_nothing),
    cmocka_unit_test (who_waits_sheds_nothing),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
