/* SPDX-License-Identifier: Apache-2.0
 *
 * The profiler against exporters whose faults are known. What simulated networks add is judged in tests/sim.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "owd-profiler.h"

#include <math.h>
#include <string.h>

#define MS OWD_NS_PER_MS
#define S OWD_NS_PER_S
#define EPOCH (1700000000 * S)
#define SKEW_BOUND 100

/* An exporter: v9, uptime stamps, one datagram of `batch` records at each call of send(). */
typedef struct {
  OwdProfile *profile;
  GRand *rand;
  OwdTime boot;
  gint64 step_ms;
  gint64 inactive_ns;
  guint32 seq;
  guint16 port; /* of the next flow */
} Router;

static Router
router (guint32 seed)
{
  OwdStateKey key = { .domain = 7, .version = 9 };

  owd_addr_set_v4 (&key.addr, (const guint8[4]){ 192, 0, 2, 1 });
  return (Router){ .profile = owd_profile_new (&key, SKEW_BOUND),
                   .rand = g_rand_new_with_seed (seed),
                   .boot = EPOCH - 86400 * S,
                   .step_ms = 1,
                   .inactive_ns = 15 * S };
}

static void
router_clear (Router *r)
{
  owd_profile_free (r->profile);
  g_rand_free (r->rand);
}

static guint32
uptime (const Router *r, OwdTime t, gint64 step_ms)
{
  gint64 ms = (t - r->boot) / MS;

  return (guint32) (ms - ms % step_ms);
}

static OwdHeader
header (const Router *r, OwdTime t)
{
  OwdHeader h = { .recv_ns = t + 2 * MS,
                  .export_s = (guint32) (t / S),
                  .uptime_ms = uptime (r, t, 1),
                  .flags = OWD_HEADER_UPTIME,
                  .seq = r->seq };

  h.key.version = 9;
  return h;
}

/* A query of one packet, that silence ended. */
static OwdFlow
query (Router *r, OwdTime t)
{
  OwdTime packet = t - r->inactive_ns - g_rand_int_range (r->rand, 0, 900) * MS;
  guint32 stamp = uptime (r, packet, r->step_ms);

  return (OwdFlow){ .proto = 17,
                    .sport = r->port++,
                    .start_kind = OWD_STAMP_UPTIME_MS,
                    .end_kind = OWD_STAMP_UPTIME_MS,
                    .start_raw = stamp,
                    .end_raw = stamp,
                    .packets = 1 };
}

static void
send (Router *r, OwdTime t, guint records)
{
  OwdHeader h = header (r, t);

  owd_profile_add_header (r->profile, &h);
  for (guint i = 0; i < records; i++) {
    OwdFlow f = query (r, t);

    owd_profile_add_flow (r->profile, &f);
  }
  r->seq++;
}

/* Datagrams about each 0.7 s. Returns the time behind the last. */
static OwdTime
send_many (Router *r, OwdTime t, guint datagrams)
{
  for (guint i = 0; i < datagrams; i++) {
    send (r, t, 5);
    t += g_rand_int_range (r->rand, 200, 1200) * MS;
  }
  return t;
}

static OwdProfileSummary
summary (const Router *r)
{
  OwdProfileSummary s;

  owd_profile_summary (r->profile, &s);
  return s;
}

static gboolean
says (const OwdProfileSummary *s, const char *words)
{
  g_autoptr (GPtrArray) findings = owd_profile_findings (s);

  for (guint i = 0; i < findings->len; i++)
    if (strstr (g_ptr_array_index (findings, i), words) != NULL)
      return TRUE;
  return FALSE;
}

static void
a_good_router (void **state)
{
  Router r = router (1);
  OwdProfileSummary s;
  double boot_ms = (double) r.boot / MS;

  (void) state;
  r.step_ms = 64;
  send_many (&r, EPOCH, 1000);
  s = summary (&r);
  assert_int_equal (s.records, 5000);
  assert_int_equal (s.headers, 1000);
  for (guint i = 0; i < 2; i++) {
    assert_true (s.step_ms[i].known && s.step_ms[i].value == 64);
    assert_true (s.phase_ms[i].known && s.phase_ms[i].value == 0);
  }
  assert_int_equal (s.uptime, OWD_UPTIME_FINE);
  assert_int_equal (s.n_segments, 1);
  assert_true (s.segment[0].boot_ms.lo <= boot_ms && boot_ms <= s.segment[0].boot_ms.hi);
  assert_true (s.segment[0].boot_ms.hi - s.segment[0].boot_ms.lo < 20);
  assert_true (s.segment[0].skew_ppm.lo <= 0 && 0 <= s.segment[0].skew_ppm.hi);
  assert_true (s.inactive_s.known && fabs (s.inactive_s.value - 15) < 1);
  assert_false (s.active_s.known);
  assert_true (s.blunders.rate.known && s.blunders.rate.value == 0 && s.blunders.rate.hi > 0);
  assert_true (s.lost.known && s.lost.value == 0);
  assert_true (s.lag_end_ms[0].known && fabs (s.lag_end_ms[0].value - 15450) < 1000);
  router_clear (&r);
}

/* Two records: nothing is claimed but bounds. */
static void
too_little_is_said_so (void **state)
{
  Router r = router (2);
  g_autoptr (GString) out = g_string_new (NULL);
  OwdProfileSummary s;

  (void) state;
  send (&r, EPOCH, 2);
  s = summary (&r);
  for (guint i = 0; i < 2; i++)
    assert_true (!s.step_ms[i].known && isnan (s.step_ms[i].value) && s.step_ms[i].hi >= 1);
  assert_int_equal (s.uptime, OWD_UPTIME_FEW);
  assert_false (s.segment[0].skew_ppm.known);
  assert_false (s.inactive_s.known || s.active_s.known || s.repeats.known);
  assert_false (s.blunders.rate.known || s.lost.known || s.lag_end_ms[0].known);
  owd_profile_text (&s, "r", out);
  assert_non_null (strstr (out->str, "not identifiable"));
  assert_true (says (&s, "Only 2 records"));
  router_clear (&r);
}

static void
locked_exports_are_said_so (void **state)
{
  Router r = router (3);
  OwdProfileSummary s;

  (void) state;
  for (guint i = 0; i < 300; i++)
    send (&r, EPOCH + i * S + 400 * MS + g_rand_int_range (r.rand, 0, 11) * MS, 3);
  s = summary (&r);
  assert_int_equal (s.uptime, OWD_UPTIME_LOCKED);
  assert_true (s.segment[0].boot_ms.hi - s.segment[0].boot_ms.lo > 980);
  assert_false (s.segment[0].skew_ppm.known);
  assert_true (says (&s, "not identifiable better than"));
  router_clear (&r);
}

static void
steps_and_reboots_make_segments (void **state)
{
  Router r = router (4);
  OwdProfileSummary s;
  OwdTime t;

  (void) state;
  r.boot -= 29 * 86400 * S; /* nearer to a wrap than to now */
  t = send_many (&r, EPOCH, 300);
  r.boot += 1500 * MS; /* as headers show it: the wall clock went forward */
  t = send_many (&r, t + 1500 * MS, 300);
  r.boot = t + 30 * S;
  r.seq = 0;
  (void) send_many (&r, t + 60 * S, 300);
  s = summary (&r);
  assert_int_equal (s.n_segments, 3);
  assert_int_equal (s.segment[1].cause, OWD_SEGMENT_STEP);
  assert_true (s.segment[1].step_ms.lo <= 1500 && 1500 <= s.segment[1].step_ms.hi);
  assert_true (s.segment[1].step_ms.hi - s.segment[1].step_ms.lo < 200);
  assert_int_equal (s.segment[2].cause, OWD_SEGMENT_REBOOT);
  assert_true (s.segment[0].to_ns < s.segment[1].from_ns && s.segment[1].to_ns < s.segment[2].from_ns);
  assert_true (s.lost.known && s.lost.value == 0);
  assert_true (says (&s, "stepped 1 time"));
  router_clear (&r);
}

/* The log repeats a header in each partition; networks repeat datagrams; both lose none and count once. */
static void
copies_count_once (void **state)
{
  Router r = router (5);
  OwdHeader a, b;
  OwdProfileSummary s;
  OwdFlow f;

  (void) state;
  send_many (&r, EPOCH, 50);
  a = header (&r, EPOCH + 100 * S);
  r.seq++;
  b = header (&r, EPOCH + 101 * S);
  f = query (&r, EPOCH + 100 * S);
  owd_profile_add_header (r.profile, &a);
  owd_profile_add_flow (r.profile, &f);
  owd_profile_add_header (r.profile, &b);
  owd_profile_add_header (r.profile, &a);
  owd_profile_add_flow (r.profile, &f);
  b.recv_ns += MS;
  owd_profile_add_header (r.profile, &b);
  s = summary (&r);
  assert_int_equal (s.headers, 52);
  assert_int_equal (s.records, 252);
  assert_int_equal (s.duplicates, 1);
  assert_true (s.lost.known && s.lost.value == 0);
  router_clear (&r);
}

static void
losses_and_latecomers (void **state)
{
  Router r = router (6);
  OwdProfileSummary s;
  OwdTime t;

  (void) state;
  t = send_many (&r, EPOCH, 100);
  r.seq += 3;
  t = send_many (&r, t, 100);
  r.seq -= 101; /* the last of the three, late */
  send (&r, t, 5);
  r.seq += 100;
  t = send_many (&r, t + S, 10);
  s = summary (&r);
  assert_true (s.lost.known);
  assert_float_equal (s.lost.value, 2, 0);
  assert_float_equal (s.loss.value, 2.0 / 213, 1e-9);
  router_clear (&r);
}

/* One in ten stamps is nonsense: counted by shape, and nothing else suffers. */
static void
nonsense_takes_its_share_only (void **state)
{
  Router r = router (7);
  OwdProfileSummary s;
  guint64 other = 0;

  (void) state;
  for (guint i = 0; i < 800; i++) {
    OwdTime t = EPOCH + i * 777 * MS;
    OwdHeader h = header (&r, t);

    r.seq++;
    owd_profile_add_header (r.profile, &h);
    for (guint k = 0; k < 5; k++) {
      OwdFlow f = query (&r, t);

      if ((i + k) % 20 == 0)
        f.start_raw = f.end_raw = 0;
      else if ((i + k) % 20 == 1)
        f.end_raw = (guint32) (f.end_raw + 7 * 3600 * 1000);
      owd_profile_add_flow (r.profile, &f);
    }
  }
  s = summary (&r);
  assert_float_equal (s.blunders.rate.value, 0.1, 0.001);
  assert_true (s.blunders.rate.lo < 0.1 && 0.1 < s.blunders.rate.hi);
  assert_int_equal (s.blunders.count[OWD_BLUNDER_ZERO], 200);
  assert_int_equal (s.blunders.count[OWD_BLUNDER_FUTURE], 200);
  for (guint i = 0; i < OWD_BLUNDERS; i++)
    other += i != OWD_BLUNDER_ZERO && i != OWD_BLUNDER_FUTURE ? s.blunders.count[i] : 0;
  assert_int_equal (other, 0);
  assert_true (s.step_ms[0].known && s.step_ms[0].value == 1);
  assert_true (s.segment[0].boot_ms.hi - s.segment[0].boot_ms.lo < 20);
  assert_true (s.inactive_s.known && fabs (s.inactive_s.value - 15) < 1);
  router_clear (&r);
}

/* Interface 2 has a clock that is 30 ms ahead. */
static void
line_cards_are_compared (void **state)
{
  Router r = router (9);
  OwdProfileSummary s;

  (void) state;
  for (guint i = 0; i < 1500; i++) {
    OwdTime t = EPOCH + i * 777 * MS;
    OwdHeader h = header (&r, t);

    r.seq++;
    owd_profile_add_header (r.profile, &h);
    for (guint k = 0; k < 6; k++) {
      OwdFlow f = query (&r, t);

      f.in_if = 1 + k % 3;
      if (f.in_if == 2)
        f.start_raw = f.end_raw = f.end_raw + 30;
      owd_profile_add_flow (r.profile, &f);
    }
  }
  s = summary (&r);
  assert_int_equal (s.n_groups, 3);
  for (guint i = 0; i < 3; i++)
    assert_true (fabs (s.group[i].offset_ms.value - (s.group[i].in_if == 2 ? 30 : 0)) < 3);
  assert_true (says (&s, "interface 2 by +"));
  router_clear (&r);
}

static void
plans_follow_rates_and_lags (void **state)
{
  Router r = router (10);
  OwdProfileSummary s;
  const OwdProfileSummary *all[2] = { &s, &s };
  OwdProfilePlan plan;

  (void) state;
  send_many (&r, EPOCH, 2000);
  s = summary (&r);
  owd_profile_plan (all, 2, 60, &plan);
  assert_float_equal (plan.records_per_s, 2 * s.records_per_s, 1e-9);
  assert_true (plan.horizon_s > 15.5 && plan.horizon_s < 17.5);
  assert_float_equal (plan.samples_per_s, plan.records_per_s, 1e-9);
  /* a log of as many records takes as much: 57 bytes each, where 30 are in a datagram */
  s.headers = s.records / 30;
  owd_profile_plan (all, 2, 60, &plan);
  assert_float_equal (plan.log_gib_per_day * 1024 * 1024 * 1024 / 86400 / plan.records_per_s, 57, 8);
  owd_profile_plan (all, 2, 10, &plan);
  assert_float_equal (plan.horizon_s, 10, 1e-9);
  assert_true (plan.wished_horizon_s > 15.5);
  router_clear (&r);
}

/* Two halves merged count as the whole. */
static void
merged_is_whole (void **state)
{
  Router whole = router (8), first = router (8), second = router (8);
  OwdProfileSummary a, b;
  OwdTime t, u;

  (void) state;
  t = send_many (&whole, EPOCH, 200);
  t = send_many (&whole, t, 200);
  u = send_many (&first, EPOCH, 200);
  second.seq = first.seq;
  g_rand_free (second.rand);
  second.rand = g_rand_copy (first.rand);
  u = send_many (&second, u, 200);
  assert_true (t == u);
  owd_profile_merge (first.profile, second.profile);
  a = summary (&whole);
  b = summary (&first);
  assert_int_equal (a.headers, b.headers);
  assert_int_equal (a.records, b.records);
  assert_true (a.from_ns == b.from_ns && a.to_ns == b.to_ns);
  assert_true (a.step_ms[0].known && a.step_ms[0].value == b.step_ms[0].value);
  assert_true (fabs (a.lag_end_ms[0].value - b.lag_end_ms[0].value) < 20);
  assert_true (a.inactive_s.value == b.inactive_s.value);
  assert_true (b.lost.known && b.lost.value == 0);
  router_clear (&whole);
  router_clear (&first);
  router_clear (&second);
}

/* Two exporters whose datagrams come mixed, with headers repeated as a log does, through a batch: as if each had come
 * alone. */
static void
batched_is_the_same (void **state)
{
  Router one = router (41), two = router (42);
  g_autoptr (OwdProfile) a = owd_profile_new (&(OwdStateKey){ .domain = 1, .version = 9 }, SKEW_BOUND);
  g_autoptr (OwdProfile) b = owd_profile_new (&(OwdStateKey){ .domain = 2, .version = 9 }, SKEW_BOUND);
  g_autoptr (OwdProfileBatch) batch = owd_profile_batch_new ();
  g_autoptr (GString) alone = g_string_new (NULL), batched = g_string_new (NULL);
  guint number_a = owd_profile_batch_add (batch, a), number_b = owd_profile_batch_add (batch, b);
  OwdProfileSummary s;

  (void) state;
  two.boot += 12345 * MS;
  for (guint i = 0; i < 30000; i++) {
    Router *r = i % 3 == 0 ? &two : &one;
    OwdHeader h = header (r, EPOCH + i * (S / 4));

    owd_profile_add_header (r->profile, &h);
    owd_profile_batch_header (batch, r == &one ? number_a : number_b, &h);
    for (guint k = 0; k < 10; k++) {
      OwdFlow f = query (r, EPOCH + i * (S / 4));

      if (k == 5)
        owd_profile_batch_header (batch, r == &one ? number_a : number_b, &h);
      owd_profile_add_flow (r->profile, &f);
      owd_profile_batch_flow (batch, &f);
    }
    r->seq++;
  }
  owd_profile_batch_flush (batch);
  for (guint i = 0; i < 2; i++) {
    owd_profile_summary (i == 0 ? one.profile : two.profile, &s);
    s.key.domain = 0;
    owd_profile_json (&s, "x", OWD_PROFILE_ALL_SEGMENTS, alone);
    owd_profile_summary (i == 0 ? a : b, &s);
    s.key.domain = 0;
    owd_addr_set_v4 (&s.key.addr, (const guint8[4]){ 192, 0, 2, 1 });
    owd_profile_json (&s, "x", OWD_PROFILE_ALL_SEGMENTS, batched);
  }
  assert_string_equal (alone->str, batched->str);
  router_clear (&one);
  router_clear (&two);
}

static gboolean
is_told (const OwdProfileSummary *s, const char *text)
{
  g_autoptr (GPtrArray) findings = owd_profile_findings (s);

  for (guint i = 0; i < findings->len; i++)
    if (strstr (g_ptr_array_index (findings, i), text) != NULL)
      return TRUE;
  return FALSE;
}

/* A command of one vendor alone is named only where the exports show whose they are. */
static void
advice_fits_the_exporter (void **state)
{
  OwdEstimate known = { .known = TRUE, .value = 1800, .lo = 1799, .hi = 1801, .n = 100 };
  OwdProfileSummary s = { .key.version = 9,
                          .records = 1000,
                          .measured = 1000,
                          .start_kind = OWD_STAMP_UPTIME_MS,
                          .end_kind = OWD_STAMP_UPTIME_MS,
                          .n_segments = 1,
                          .active_s = known };

  (void) state;
  assert_true (is_told (&s, "cache timeout active 60; Junos: flow-active-timeout 60"));
  assert_false (is_told (&s, "it seems"));
  s.repeats = known;
  assert_true (is_told (&s, "(Junos, it seems: flow-active-timeout 60"));
  assert_false (is_told (&s, "Cisco"));
  s.repeats.known = FALSE;
  s.key.version = 10;
  s.measured = 0;
  s.step_ms[0] = s.step_ms[1] = known;
  s.step_ms[0].value = s.step_ms[1].value = 10;
  assert_true (is_told (&s, "IE 160) (RouterOS, it seems: /ip traffic-flow ipfix set sys-init-time=yes)"));
  s.step_ms[1].value = 4;
  assert_false (is_told (&s, "it seems"));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (a_good_router),
    cmocka_unit_test (too_little_is_said_so),
    cmocka_unit_test (locked_exports_are_said_so),
    cmocka_unit_test (steps_and_reboots_make_segments),
    cmocka_unit_test (copies_count_once),
    cmocka_unit_test (losses_and_latecomers),
    cmocka_unit_test (nonsense_takes_its_share_only),
    cmocka_unit_test (line_cards_are_compared),
    cmocka_unit_test (plans_follow_rates_and_lags),
    cmocka_unit_test (merged_is_whole),
    cmocka_unit_test (batched_is_the_same),
    cmocka_unit_test (advice_fits_the_exporter),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
