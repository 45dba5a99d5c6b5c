/* SPDX-License-Identifier: Apache-2.0
 *
 * When and whom.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "owd-probe.h"

#define S OWD_NS_PER_S

static void
offsets_are_spread_and_stay (void **state)
{
  const gint64 every = 1200 * S;
  guint tenth[10] = { 0 };

  (void) state;
  for (guint i = 0; i < 1000; i++) {
    g_autofree char *agent = g_strdup_printf ("agent%u", i);
    gint64 offset = owd_probe_policy_offset_ns (7, agent, "voice", every);

    assert_true (offset >= 0 && offset < every);
    assert_true (offset == owd_probe_policy_offset_ns (7, agent, "voice", every));
    assert_false (offset == owd_probe_policy_offset_ns (8, agent, "voice", every));
    assert_false (offset == owd_probe_policy_offset_ns (7, agent, "video", every));
    tenth[offset / (every / 10)]++;
  }
  for (guint i = 0; i < 10; i++)
    assert_in_range (tenth[i], 60, 140);
  assert_int_equal (owd_probe_policy_offset_ns (7, "a", "b", 0), 0);
}

static void
begins_are_a_grid (void **state)
{
  OwdTime now = G_GINT64_CONSTANT (1795330014) * S;

  (void) state;
  for (guint i = 0; i < 1000; i++) { /* whenever one asks */
    OwdTime next = owd_probe_policy_next (now, 60 * S, 17 * S);

    assert_int_equal (next % (60 * S), 17 * S);
    assert_true (next > now && next <= now + 60 * S);
    now += 777 * OWD_NS_PER_MS;
  }
  assert_int_equal (owd_probe_policy_next (77 * S, 60 * S, 17 * S), 137 * S); /* not the one that is now */
  assert_int_equal (owd_probe_policy_next (-1 * S, 60 * S, 17 * S), 17 * S);
}

static void
nearest_by_hops_then_time (void **state)
{
  const OwdProbeDistance all[] = { { 3, 10 }, { 0, 0 }, { 2, 90 }, { 3, 9 }, { 2, 90 }, { 5, 1 } };
  const guint wanted[] = { 2, 4, 3, 0, 5 };
  guint chosen[6];

  (void) state;
  assert_int_equal (owd_probe_policy_nearest (all, 6, 6, chosen), 5); /* what was not reached is not near */
  for (guint i = 0; i < 5; i++)
    assert_int_equal (chosen[i], wanted[i]);
  assert_int_equal (owd_probe_policy_nearest (all, 6, 1, chosen), 1);
  assert_int_equal (chosen[0], 2);
  assert_int_equal (owd_probe_policy_nearest (all + 1, 1, 3, chosen), 0);
}

static void
pauses_grow_and_end_growing (void **state)
{
  (void) state;
  for (guint i = 1; i < 100; i++) {
    assert_true (owd_probe_policy_pause_ns (i) >= owd_probe_policy_pause_ns (i - 1));
    assert_true (owd_probe_policy_pause_ns (i) <= 300 * S);
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (offsets_are_spread_and_stay),
    cmocka_unit_test (begins_are_a_grid),
    cmocka_unit_test (nearest_by_hops_then_time),
    cmocka_unit_test (pauses_grow_and_end_growing),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
