/* SPDX-License-Identifier: Apache-2.0
 *
 * The pace of a reader that can work off so many seconds of log a second, at whatever share of the flows, and of one
 * that has to wait.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "owd-pace.h"

#define S OWD_NS_PER_S
#define EPOCH (1700000000 * S)
#define STEP_US 50000
#define FLOOR 0.15 /* what reading costs, beside correlating all */

typedef struct {
  OwdPace pace;
  gint64 us;        /* since the start */
  OwdTime log_time; /* the log's end is real time */
  double worst_s;   /* lag */
  double sum;       /* of the share over steps */
  guint steps;
} Reader;

static OwdTime
real_time (const Reader *r)
{
  return EPOCH + r->us * 1000;
}

static void
reader_init (Reader *r, gint64 max_lag_ns, gint64 lag_ns)
{
  *r = (Reader){ .log_time = EPOCH - lag_ns };
  owd_pace_init (&r->pace, max_lag_ns, 1);
}

/* Reads for so long; capacity: seconds of log in a second where all flows are kept. */
static void
reads (Reader *r, double seconds, double capacity)
{
  r->worst_s = r->sum = 0;
  r->steps = 0;
  for (gint64 until = r->us + (gint64) (seconds * 1e6); r->us < until; r->us += STEP_US) {
    double cost = FLOOR + (1 - FLOOR) * r->pace.share;

    r->log_time = MIN (r->log_time + (gint64) (STEP_US * 1000 * capacity / cost), real_time (r));
    (void) owd_pace_step (&r->pace, 1 + r->us, real_time (r), r->log_time, r->log_time == real_time (r));
    r->worst_s = MAX (r->worst_s, (double) (real_time (r) - r->log_time) / (double) S);
    r->sum += r->pace.share;
    r->steps++;
  }
}

static void
half_of_it_is_kept (void **state)
{
  const double best = (0.5 - FLOOR) / (1 - FLOOR); /* that costs as much as there is */
  Reader r;

  (void) state;
  reader_init (&r, 60 * S, 0);
  reads (&r, 100, 0.5);
  assert_true (r.pace.share == 1); /* not yet that far behind */
  reads (&r, 300, 0.5);
  reads (&r, 3600, 0.5);
  assert_true (r.worst_s < 70);
  assert_true (r.sum / r.steps > 0.9 * best && r.sum / r.steps < 1.1 * best);
  reads (&r, 180, 2);
  assert_true (r.pace.share == 1);
  reads (&r, 3600, 1.05);
  assert_true (r.sum == r.steps);
}

static void
who_catches_up_sheds_nothing (void **state)
{
  Reader r;

  (void) state;
  reader_init (&r, 60 * S, 3600 * S);
  reads (&r, 3 * 3600, 1.4);
  assert_true (r.sum == r.steps);
  /* slower than that, it would take too long */
  reader_init (&r, 60 * S, 3600 * S);
  reads (&r, 3600, 1.1);
  assert_true (r.sum < r.steps);
}

static void
who_waits_sheds_nothing (void **state)
{
  Reader r;

  (void) state;
  reader_init (&r, 60 * S, 0);
  reads (&r, 100, 2);
  r.us += 600 * G_USEC_PER_SEC; /* the database is away */
  owd_pace_rest (&r.pace);
  reads (&r, 900, 2);
  assert_true (r.sum == r.steps);
  reader_init (&r, 0, 0);
  reads (&r, 3600, 0.1);
  assert_true (r.sum == r.steps);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (half_of_it_is_kept),
    cmocka_unit_test (who_catches_up_sheds_nothing),
    cmocka_unit_test (who_waits_sheds_nothing),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
