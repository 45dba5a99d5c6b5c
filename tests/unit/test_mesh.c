/* SPDX-License-Identifier: Apache-2.0
 *
 * Clock offsets over made-up networks whose clocks are known.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "owd-mesh.h"

#include <math.h>

#define NODES 12

typedef struct {
  double clock[NODES], trust[NODES];
  OwdMeshPair pairs[NODES * NODES];
  guint n;
  OwdMeshRelation relations[NODES * NODES];
  OwdMeshOffset offsets[NODES];
} Net;

/* True least delays of `there` and `back`. */
static void
add_pair (Net *net, guint a, guint b, double there, double back)
{
  double theta = net->clock[b] - net->clock[a];

  net->pairs[net->n++] = (OwdMeshPair){ .a = a, .b = b, .ab_ms = there + theta, .ba_ms = back - theta };
}

static Net
net_new (void)
{
  Net net = { .n = 0 };

  for (guint i = 0; i < NODES; i++)
    net.trust[i] = INFINITY;
  return net;
}

static gboolean
solve (Net *net)
{
  return owd_mesh_solve (net->pairs, net->n, net->trust, NODES, net->relations, net->offsets);
}

/* Symmetric ways: offsets are exact, residuals nothing. */
static void
symmetry_is_exact (void **state)
{
  Net net = net_new ();

  (void) state;
  for (guint i = 0; i < NODES; i++)
    net.clock[i] = i * 7.5 - 20;
  net.trust[0] = 30;
  for (guint i = 0; i < NODES; i++)
    add_pair (&net, i, (i + 1) % NODES, 10 + i, 10 + i);
  assert_true (solve (&net));
  for (guint i = 0; i < NODES; i++) {
    assert_int_equal (net.offsets[i].anchor, OWD_ANCHOR_TRUSTED);
    assert_float_equal (net.offsets[i].offset_ms - net.offsets[0].offset_ms, net.clock[i] - net.clock[0], 1e-4);
    assert_float_equal (net.relations[i].residual_ms, 0, 1e-4);
    assert_float_equal (net.relations[i].rtt_ms, 20 + 2 * i, 1e-9);
  }
}

/* Whatever the asymmetry, bounds hold. */
static void
bounds_always_hold (void **state)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (51);

  (void) state;
  for (guint round = 0; round < 300; round++) {
    Net net = net_new ();

    for (guint i = 0; i < NODES; i++) {
      net.clock[i] = g_rand_double_range (rand, -50, 50);
      if (g_rand_int_range (rand, 0, 4) == 0) {
        net.clock[i] = g_rand_double_range (rand, -5, 5);
        net.trust[i] = 5;
      }
    }
    for (guint i = 0; i < NODES; i++)
      for (guint k = i + 1; k < NODES; k++)
        if (g_rand_int_range (rand, 0, 4) == 0)
          add_pair (&net, i, k, g_rand_double_range (rand, 0, 30), g_rand_double_range (rand, 0, 30));
    assert_true (solve (&net));
    for (guint i = 0; i < net.n; i++) {
      double theta = net.clock[net.pairs[i].b] - net.clock[net.pairs[i].a];

      assert_true (net.relations[i].lo_ms <= theta && theta <= net.relations[i].hi_ms);
    }
    for (guint i = 0; i < NODES; i++) {
      const OwdMeshOffset *o = &net.offsets[i];
      double truth = net.clock[i] - (o->anchor == OWD_ANCHOR_REFERENCE ? net.clock[o->reference] : 0);

      if (o->anchor == OWD_ANCHOR_NONE)
        continue;
      assert_true (o->lo_ms - 1e-6 <= truth && truth <= o->hi_ms + 1e-6);
      assert_true (o->lo_ms <= o->offset_ms && o->offset_ms <= o->hi_ms);
      assert_false (o->trust_lost);
    }
  }
}

/* A clock that is said to be trusted and is 1.5 s behind is found out, by all of its neighbours. */
static void
wrong_trust_is_withdrawn (void **state)
{
  Net net = net_new ();

  (void) state;
  net.clock[2] = -1500;
  for (guint i = 0; i < 4; i++)
    net.trust[i] = 10;
  for (guint i = 0; i < 4; i++)
    for (guint k = i + 1; k < 4; k++)
      add_pair (&net, i, k, 10, 12);
  assert_true (solve (&net));
  for (guint i = 0; i < 4; i++)
    assert_int_equal (net.offsets[i].trust_lost, i == 2);
  assert_true (net.offsets[2].lo_ms <= -1500 && -1500 <= net.offsets[2].hi_ms);
  assert_float_equal (net.offsets[2].offset_ms, -1500, 3);
  assert_int_equal (net.offsets[5].anchor, OWD_ANCHOR_NONE);
  assert_true (isnan (net.offsets[5].offset_ms));
}

/* A clock that was moved meanwhile: least delays of both directions come from different times. */
static void
contradictions_are_told (void **state)
{
  Net net = net_new ();

  (void) state;
  net.pairs[net.n++] = (OwdMeshPair){ .a = 0, .b = 1, .ab_ms = -1490, .ba_ms = 10 };
  net.pairs[net.n++] = (OwdMeshPair){ .a = 1, .b = 2, .ab_ms = 10, .ba_ms = INFINITY };
  assert_true (solve (&net));
  assert_true (net.relations[0].contradicts);
  assert_int_equal (net.offsets[0].anchor, OWD_ANCHOR_NONE);
  assert_true (isnan (net.relations[1].theta_ms) && isinf (net.relations[1].lo_ms) && net.relations[1].hi_ms == 10);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (symmetry_is_exact),        cmocka_unit_test (bounds_always_hold),
    cmocka_unit_test (wrong_trust_is_withdrawn), cmocka_unit_test (contradictions_are_told),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
