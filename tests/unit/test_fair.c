/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fair.h"

/* Sources are 10.0.0.0/8; those from 10.128.0.0 on are not known. */
static OwdAddr
source (guint n)
{
  const guint8 v4[4] = { 10, (guint8) (n >> 16), (guint8) (n >> 8), (guint8) n };
  OwdAddr addr;

  owd_addr_set_v4 (&addr, v4);
  return addr;
}

#define STRANGER(n) (0x800000u + (n))

typedef struct {
  guint set_back, let_in;
  OwdFairSource last;
} Seen;

static gboolean
is_known (void *user, const OwdAddr *addr)
{
  (void) user;
  return addr->b[13] < 128;
}

static guint
list_known (void *user, guint32 *ret_hashes, guint n)
{
  (void) user;
  for (guint i = 0; i < MIN (n, 20); i++) {
    const OwdAddr addr = source (i);

    ret_hashes[i] = owd_steering_hash (&addr);
  }
  return MIN (n, 20);
}

static void
on_changed (void *user, const OwdFairSource *s)
{
  Seen *seen = user;

  seen->set_back += s->back;
  seen->let_in += !s->back;
  seen->last = *s;
}

static OwdFair *
make (Seen *seen)
{
  const OwdFairSink sink = { .is_known = is_known, .list_known = list_known, .changed = on_changed, .user = seen };

  return owd_fair_new (&sink, 1024);
}

static void
charge (OwdFair *fair, guint n, guint cost, gboolean back)
{
  const OwdAddr addr = source (n);

  owd_fair_charge (fair, &addr, cost, back);
}

static void
flood (OwdFair *fair, guint n, guint cost)
{
  for (guint i = 0; i < 10; i++)
    charge (fair, n, cost / 10, FALSE);
}

static gboolean
judge (OwdFair *fair, gint64 ms, gboolean pressed, guint64 back_dropped)
{
  const OwdFairLoad load = { .now_us = ms * 1000, .pressed = pressed, .back_dropped = back_dropped };

  return owd_fair_judge (fair, &load);
}

static gboolean
is_back (const OwdFair *fair, guint n)
{
  const OwdSteeringRule *rule = owd_fair_rule (fair);
  const OwdAddr addr = source (n);

  for (guint i = 0; i < rule->n_back; i++)
    if (rule->back[i] == owd_steering_hash (&addr))
      return TRUE;
  return FALSE;
}

static void
nobody_without_pressure (void **state)
{
  Seen seen = { 0 };
  g_autoptr (OwdFair) fair = make (&seen);

  (void) state;
  for (guint ms = 1; ms < 5000; ms += 10) {
    charge (fair, 1, 1000000, FALSE);
    charge (fair, 2, 1, FALSE);
    assert_false (judge (fair, ms, FALSE, 0));
  }
  assert_int_equal (seen.set_back, 0);
}

/* The flooder stands back, whoever he is; the others do not; when he calms down he comes back. */
static void
the_flooder_stands_back (void **state)
{
  const guint flooders[] = { 19, STRANGER (7) };

  (void) state;
  for (guint k = 0; k < G_N_ELEMENTS (flooders); k++) {
    guint flooder = flooders[k];
    Seen seen = { 0 };
    g_autoptr (OwdFair) fair = make (&seen);

    assert_false (judge (fair, 1, FALSE, 0));
    charge (fair, flooder, 1000, FALSE); /* before the pressure: does not count */
    assert_false (judge (fair, 10, TRUE, 0));
    for (guint i = 0; i < 19; i++)
      charge (fair, i, 30 + i, FALSE);
    charge (fair, STRANGER (3), 40, FALSE);
    flood (fair, flooder, 20000);
    assert_true (judge (fair, 20, TRUE, 0));
    assert_true (is_back (fair, flooder));
    assert_int_equal (owd_fair_rule (fair)->n_back, 1);
    assert_false (owd_fair_rule (fair)->only_known);
    assert_int_equal (seen.set_back, 1);
    assert_true (seen.last.back && seen.last.times == 1);
    /* he goes on: 100 of 400 datagrams a second are taken */
    for (guint64 s = 1; s <= 3; s++) {
      for (guint i = 0; i < 100; i++)
        charge (fair, flooder, 20000, TRUE);
      assert_true (judge (fair, 20 + (gint64) s * 1000, FALSE, s * 300));
      assert_true (is_back (fair, flooder));
    }
    /* he calms down */
    charge (fair, flooder, 20, TRUE);
    assert_true (judge (fair, 5000, FALSE, 900));
    assert_false (is_back (fair, flooder));
    assert_int_equal (seen.let_in, 1);
    assert_int_equal (seen.last.datagrams, 301);
    assert_int_equal (seen.last.dropped, 900);
  }
}

/* What was dropped counts as wanted, even if little of it is taken. */
static void
dropped_is_wanted (void **state)
{
  Seen seen = { 0 };
  g_autoptr (OwdFair) fair = make (&seen);

  (void) state;
  (void) judge (fair, 1, TRUE, 0);
  charge (fair, 1, 10, FALSE);
  flood (fair, 2, 10000);
  assert_true (judge (fair, 11, TRUE, 0));
  assert_true (is_back (fair, 2));
  (void) judge (fair, 1100, FALSE, 0); /* the window in which it was set back is not judged */
  charge (fair, 2, 1000, TRUE);
  assert_true (judge (fair, 2200, FALSE, 1000000));
  assert_true (is_back (fair, 2));
}

/* All want the same, and it is too much: setting somebody back would help nobody. */
static void
equals_stay (void **state)
{
  Seen seen = { 0 };
  g_autoptr (OwdFair) fair = make (&seen);

  (void) state;
  (void) judge (fair, 1, TRUE, 0);
  for (guint i = 0; i < 20; i++)
    charge (fair, i, 1000, FALSE);
  (void) judge (fair, 11, TRUE, 0);
  assert_int_equal (seen.set_back, 0);
}

/* The others send seldom: not in each of the short windows. */
static void
others_are_silent_meanwhile (void **state)
{
  Seen seen = { 0 };
  g_autoptr (OwdFair) fair = make (&seen);

  (void) state;
  (void) judge (fair, 1, FALSE, 0);
  charge (fair, 1, 30, FALSE);
  charge (fair, 2, 30, FALSE);
  (void) judge (fair, 1100, FALSE, 0);
  flood (fair, STRANGER (5), 100);
  (void) judge (fair, 1200, TRUE, 0);
  flood (fair, STRANGER (5), 100);
  assert_true (judge (fair, 1210, TRUE, 0));
  assert_true (is_back (fair, STRANGER (5)));
}

/* Exporters are known that send once in a minute. */
static void
others_are_silent_for_long (void **state)
{
  Seen seen = { 0 };
  g_autoptr (OwdFair) fair = make (&seen);

  (void) state;
  (void) judge (fair, 1, TRUE, 0);
  flood (fair, 3, 100);
  assert_true (judge (fair, 10, TRUE, 0));
  assert_true (is_back (fair, 3));
}

/* Invented addresses, each of them light: all but the known exporters stand back; more than there are slots for. */
static void
invented_sources (void **state)
{
  Seen seen = { 0 };
  g_autoptr (OwdFair) fair = make (&seen);

  (void) state;
  (void) judge (fair, 1, TRUE, 0);
  for (guint i = 0; i < 30000; i++) {
    charge (fair, STRANGER (i), 10, FALSE);
    if (i % 100 == 0)
      charge (fair, i % 20, 30, FALSE);
  }
  assert_true (judge (fair, 11, TRUE, 0));
  assert_true (owd_fair_rule (fair)->only_known);
  assert_int_equal (owd_fair_rule (fair)->n_back, 0);
  assert_int_equal (owd_fair_rule (fair)->n_known, 20);
  assert_int_equal (seen.last.hash, 0);
  for (guint i = 0; i < 30000; i++)
    charge (fair, STRANGER (40000 + i), 10, TRUE);
  (void) judge (fair, 1100, FALSE, 5000);
  assert_true (owd_fair_rule (fair)->only_known);
  (void) judge (fair, 2200, FALSE, 5000);
  assert_false (owd_fair_rule (fair)->only_known);
  assert_int_equal (seen.let_in, 1);
  assert_int_equal (seen.last.datagrams, 30000);
  assert_int_equal (seen.last.dropped, 5000);
}

/* More flooders than can be named, over and over: rows are found, and nothing runs over. */
static void
many_flooders (void **state)
{
  Seen seen = { 0 };
  g_autoptr (OwdFair) fair = make (&seen);
  gint64 ms = 1;
  guint n;

  (void) state;
  for (guint round = 0; round < 12; round++) {
    (void) judge (fair, ms += 10, TRUE, 0);
    charge (fair, 0, 10, FALSE);
    for (guint i = 0; i < 100; i++)
      flood (fair, 1 + round * 100 + i, 10000);
    assert_true (judge (fair, ms += 10, TRUE, 0));
    assert_int_equal (owd_fair_rule (fair)->n_back, OWD_STEERING_BACK_MAX);
    assert_false (is_back (fair, 0));
    (void) judge (fair, ms += 1000, FALSE, 0);
    (void) judge (fair, ms += 1000, FALSE, 0);
    assert_int_equal (owd_fair_rule (fair)->n_back, 0);
  }
  assert_int_equal (seen.set_back, 12 * OWD_STEERING_BACK_MAX);
  assert_int_equal (seen.let_in, seen.set_back);
  (void) owd_fair_sources (fair, &n);
  assert_true (n <= 256);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (nobody_without_pressure),
    cmocka_unit_test (the_flooder_stands_back),
    cmocka_unit_test (dropped_is_wanted),
    cmocka_unit_test (equals_stay),
    cmocka_unit_test (others_are_silent_meanwhile),
    cmocka_unit_test (others_are_silent_for_long),
    cmocka_unit_test (invented_sources),
    cmocka_unit_test (many_flooders),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
