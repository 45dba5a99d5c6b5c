/* SPDX-License-Identifier: Apache-2.0
 *
 * Path probes as bytes, traces over networks that are written down, and the life of routes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "owd-probe.h"

#define START (G_GINT64_CONSTANT (1795330014) * OWD_NS_PER_S)
#define MS OWD_NS_PER_MS

static OwdAddr
addr (const char *text)
{
  OwdAddr a;

  assert_true (owd_addr_parse (text, &a));
  return a;
}

static OwdProbePathFlow
flow (OwdProbePathKind kind, gboolean v6)
{
  return (OwdProbePathFlow){ .kind = kind,
                             .src = addr (v6 ? "2001:db8::1" : "192.0.2.1"),
                             .dst = addr (v6 ? "2001:db8:1::9" : "198.51.100.9"),
                             .sport = 20000,
                             .dport = 862,
                             .token = 0x8899aabb };
}

/* ---- bytes ------------------------------------------------------------------------------------- */

static guint16
sum_of (const OwdProbePathFlow *f, guint proto, const guint8 *p, gsize len)
{
  gsize skip = owd_addr_is_v4 (&f->dst) ? 12 : 0;
  guint32 sum = proto == 1 ? 0 : proto + (guint32) len;

  for (gsize i = skip; proto != 1 && i < 16; i += 2)
    sum += (guint32) (f->src.b[i] << 8 | f->src.b[i + 1]) + (guint32) (f->dst.b[i] << 8 | f->dst.b[i + 1]);
  for (gsize i = 0; i < len; i += 2)
    sum += (guint32) (p[i] << 8 | (i + 1 < len ? p[i + 1] : 0));
  while (sum >> 16 != 0)
    sum = (sum & 0xffff) + (sum >> 16);
  return (guint16) sum;
}

/* What load balancers hash stays the same for every number; the checksums are true. */
static void
probes_are_one_flow (void **state)
{
  static const guint8 protos[][2] = { { 17, 17 }, { 6, 6 }, { 1, 58 } };
  guint8 first[OWD_PROBE_PATH_BYTES], buf[OWD_PROBE_PATH_BYTES];

  (void) state;
  for (guint v6 = 0; v6 < 2; v6++)
    for (guint kind = OWD_PROBE_PATH_UDP; kind <= OWD_PROBE_PATH_ICMP; kind++) {
      OwdProbePathFlow f = flow ((OwdProbePathKind) kind, v6 != 0);

      owd_probe_path_build (&f, 1, first);
      for (guint number = 1; number < 65535; number += number < 300 ? 1 : 997) {
        gsize len = owd_probe_path_build (&f, (guint16) number, buf);

        assert_int_equal (sum_of (&f, protos[kind][v6], buf, len), 0xffff);
        if (kind == OWD_PROBE_PATH_UDP)
          assert_int_equal (buf[6] << 8 | buf[7], number);
        /* ports, or type, code and checksum */
        assert_memory_equal (buf, first, 4);
        if (kind == OWD_PROBE_PATH_ICMP)
          assert_memory_equal (buf, first, 6); /* and the identifier */
      }
    }
}

/* An ICMP message about a probe: with an outer IPv4 header for IPv4. Returns: its length. */
static gsize
icmp_about (const OwdProbePathFlow *f, guint8 type, guint8 code, guint8 quoted_ttl, guint16 number, guint8 *out)
{
  static const guint8 protos[][2] = { { 17, 17 }, { 6, 6 }, { 1, 58 } };
  gboolean v6 = !owd_addr_is_v4 (&f->dst);
  guint8 probe[OWD_PROBE_PATH_BYTES];
  gsize n = 0;

  owd_probe_path_build (f, number, probe);
  memset (out, 0, 128);
  if (!v6) {
    out[0] = 0x46; /* with options */
    n = 24;
  }
  out[n] = type;
  out[n + 1] = code;
  n += 8;
  if (v6) {
    out[n] = 0x60;
    out[n + 6] = protos[f->kind][1];
    out[n + 7] = quoted_ttl;
    memcpy (out + n + 24, f->dst.b, 16);
    n += 40;
  } else {
    out[n] = 0x45;
    out[n + 8] = quoted_ttl;
    out[n + 9] = protos[f->kind][0];
    memcpy (out + n + 16, f->dst.b + 12, 4);
    n += 20;
  }
  memcpy (out + n, probe, 8); /* no router quotes less */
  return n + 8;
}

static void
quotes_name_their_probe (void **state)
{
  guint8 buf[256];
  OwdProbePathAnswer a;

  (void) state;
  for (guint six = 0; six < 2; six++)
    for (guint kind = OWD_PROBE_PATH_UDP; kind <= OWD_PROBE_PATH_ICMP; kind++) {
      gboolean v6 = six != 0;
      OwdProbePathFlow f = flow ((OwdProbePathKind) kind, v6), other = f;
      gsize len = icmp_about (&f, v6 ? 3 : 11, 0, 1, 4711, buf);

      assert_int_equal (owd_probe_path_read_icmp (&f, buf, len, v6, !v6, &a), OWD_STATUS_OK);
      assert_int_equal (a.verdict, OWD_PROBE_PATH_PASSED);
      assert_int_equal (a.number, 4711);
      assert_int_equal (a.ttl_there, -1);
      for (gsize cut = 0; cut < len; cut++)
        assert_true (owd_probe_path_read_icmp (&f, buf, cut, v6, !v6, &a) < 0);
      other.sport++;
      assert_int_equal (owd_probe_path_read_icmp (&other, buf, len, v6, !v6, &a), OWD_STATUS_END);
      other = f;
      other.dst.b[15]++;
      assert_int_equal (owd_probe_path_read_icmp (&other, buf, len, v6, !v6, &a), OWD_STATUS_END);
      len = icmp_about (&f, v6 ? 1 : 3, v6 ? 4 : 3, 249, 7, buf); /* port unreachable: the destination itself */
      assert_int_equal (owd_probe_path_read_icmp (&f, buf, len, v6, !v6, &a), OWD_STATUS_OK);
      assert_int_equal (a.verdict, OWD_PROBE_PATH_REACHED);
      assert_int_equal (a.ttl_there, 249);
      len = icmp_about (&f, v6 ? 1 : 3, v6 ? 1 : 13, 249, 7, buf); /* prohibited */
      assert_int_equal (owd_probe_path_read_icmp (&f, buf, len, v6, !v6, &a), OWD_STATUS_OK);
      assert_int_equal (a.verdict, OWD_PROBE_PATH_REFUSED);
    }
}

static void
destinations_answer_in_their_own_way (void **state)
{
  OwdProbePathFlow f = flow (OWD_PROBE_PATH_ICMP, FALSE);
  OwdProbeReflectorConfig cfg = { .sessions = 4, .sources = 4 };
  g_autoptr (OwdProbeReflector) reflector = owd_probe_reflector_new (&cfg);
  guint8 buf[OWD_PROBE_PATH_BYTES], out[OWD_PROBE_PATH_BYTES] = { 0 };
  OwdProbePathAnswer a;
  OwdProbeAnswer answer;
  OwdProbeQuestion q = { .t2 = START, .t3 = START, .ttl = 250 };
  gsize len = owd_probe_path_build (&f, 99, buf);

  (void) state;
  buf[0] = 0; /* echo reply */
  assert_int_equal (owd_probe_path_read_icmp (&f, buf, len, FALSE, FALSE, &a), OWD_STATUS_OK);
  assert_int_equal (a.verdict, OWD_PROBE_PATH_REACHED);
  assert_int_equal (a.number, 99);
  buf[8] ^= 1; /* somebody else's payload */
  assert_int_equal (owd_probe_path_read_icmp (&f, buf, len, FALSE, FALSE, &a), OWD_STATUS_END);
  /* the UDP probe is a STAMP packet: a reflector's answer counts */
  f = flow (OWD_PROBE_PATH_UDP, FALSE);
  len = owd_probe_path_build (&f, 321, buf);
  q.data = buf + 8;
  q.len = len - 8;
  assert_int_equal (owd_probe_reflector_answer (reflector, &q, out + 8, sizeof out - 8, &answer), OWD_PROBE_ANSWERED);
  out[0] = 862 >> 8;
  out[1] = 862 & 0xff;
  out[2] = 20000 >> 8;
  out[3] = 20000 & 0xff;
  assert_int_equal (owd_probe_path_read_own (&f, out, len, FALSE, &a), OWD_STATUS_OK);
  assert_int_equal (a.number, 321);
  assert_int_equal (a.ttl_there, 250);
  f.token++;
  assert_int_equal (owd_probe_path_read_own (&f, out, len, FALSE, &a), OWD_STATUS_END);
  /* TCP: a SYN-ACK is to be taken back */
  f = flow (OWD_PROBE_PATH_TCP, FALSE);
  {
    OwdProbeSegment syn_ack = { .src = f.dst,
                                .dst = f.src,
                                .sport = f.dport,
                                .dport = f.sport,
                                .ack = (f.token & 0xffff0000) + 77 + 1,
                                .bits = OWD_PROBE_TCP_SYN_BIT | OWD_PROBE_TCP_ACK_BIT };

    len = owd_probe_segment_build (&syn_ack, buf, sizeof buf);
    assert_int_equal (owd_probe_path_read_own (&f, buf, len, FALSE, &a), OWD_STATUS_OK);
    assert_int_equal (a.number, 77);
    assert_int_equal (a.ack, syn_ack.ack);
  }
}

/* ---- traces ------------------------------------------------------------------------------------ */

/* hops: a letter per hop, '.' silent; the last one is the destination. lossy: the first try of each hop is lost. */
static OwdProbeRoute
trace (OwdProbeTrace *t, const char *hops, gboolean ends, gboolean lossy, OwdTime *now, guint *ret_sent)
{
  guint tried[64] = { 0 };

  *ret_sent = 0;
  owd_probe_trace_start (t, *now);
  while (owd_probe_trace_wake (t) != G_MAXINT64) {
    guint ttl, hop;
    guint16 number;

    *now = MAX (*now, owd_probe_trace_wake (t));
    if (!owd_probe_trace_next (t, *now, &ttl, &number))
      continue;
    ++*ret_sent;
    owd_probe_trace_left (t, number, *now);
    hop = MIN (ttl, (guint) strlen (hops)) - 1;
    if (hops[hop] != '.' && (!lossy || tried[ttl] > 0)) {
      OwdProbePathAnswer a
          = { .number = number,
              .verdict = ends && ttl >= strlen (hops) ? OWD_PROBE_PATH_REACHED : OWD_PROBE_PATH_PASSED };
      OwdAddr from = { .b = { [15] = (guint8) hops[hop] } };

      if (ends || ttl <= strlen (hops))
        owd_probe_trace_answer (t, &a, &from, *now + (gint64) (hop + 1) * MS);
    }
    tried[ttl]++;
  }
  return *owd_probe_trace_route (t);
}

static const OwdProbeTraceConfig usual
    = { .max_ttl = 30, .tries = 3, .silent = 5, .parallel = 4, .timeout_ns = OWD_NS_PER_S, .gap_ns = 10 * MS };

static void
traces_find_what_is_there (void **state)
{
  g_autoptr (OwdProbeTrace) t = owd_probe_trace_new (&usual);
  OwdTime now = 0, begin;
  OwdProbeRoute r;
  guint sent;

  (void) state;
  r = trace (t, "abc", TRUE, FALSE, &now, &sent);
  assert_true (r.reached);
  assert_int_equal (r.n, 3);
  for (guint i = 0; i < 3; i++) {
    assert_int_equal (r.hop[i].addr.b[15], "abc"[i]);
    assert_int_equal (r.hop[i].rtt_ns, (i + 1) * MS);
  }
  assert_true (sent <= 4); /* nobody is asked twice who has answered */
  assert_true (now < 50 * MS);
  begin = now;
  r = trace (t, "a.c.e", TRUE, FALSE, &now, &sent);
  assert_true (r.reached);
  assert_int_equal (r.n, 5);
  assert_int_equal (r.hop[1].rtt_ns, OWD_TIME_NONE);
  assert_int_equal (r.hop[3].rtt_ns, OWD_TIME_NONE);
  assert_int_equal (sent, 3 + 2 * 3);
  assert_true (now - begin < 7 * OWD_NS_PER_S);
  r = trace (t, "abcdefgh", TRUE, TRUE, &now, &sent); /* a lost probe is no silent hop */
  assert_int_equal (r.n, 8);
  for (guint i = 0; i < 8; i++)
    assert_int_equal (r.hop[i].addr.b[15], "abcdefgh"[i]);
  r = trace (t, "ab", FALSE, FALSE, &now, &sent); /* nothing beyond: not a hop too many, not for ever */
  assert_false (r.reached);
  assert_int_equal (r.n, 2);
  assert_int_equal (sent, 2 + 5 * 3);
  r = trace (t, ".....", FALSE, FALSE, &now, &sent);
  assert_int_equal (r.n, 0);
  for (guint i = 0; i < 600; i++) { /* numbers come again; answers still fit */
    r = trace (t, "ab", TRUE, FALSE, &now, &sent);
    assert_int_equal (r.n, 2);
  }
}

static void
late_answers_are_nobodys (void **state)
{
  g_autoptr (OwdProbeTrace) t = owd_probe_trace_new (&usual);
  OwdProbePathAnswer late = { .verdict = OWD_PROBE_PATH_REACHED };
  OwdAddr from = addr ("192.0.2.77");
  guint ttl;

  (void) state;
  owd_probe_trace_start (t, 0);
  assert_true (owd_probe_trace_next (t, 0, &ttl, &late.number));
  owd_probe_trace_left (t, late.number, 0);
  owd_probe_trace_start (t, OWD_NS_PER_S);
  owd_probe_trace_answer (t, &late, &from, OWD_NS_PER_S);
  assert_int_equal (owd_probe_trace_route (t)->n, 0);
  for (guint i = 0; i < 2000; i++) { /* nor are those of trips */
    late.number = owd_probe_trace_other_number (i);
    owd_probe_trace_answer (t, &late, &from, OWD_NS_PER_S);
    assert_int_not_equal (late.number, 0);
    assert_int_not_equal (late.number, 65535);
  }
  assert_int_equal (owd_probe_trace_route (t)->n, 0);
}

/* ---- routes ------------------------------------------------------------------------------------ */

typedef struct {
  guint spans, changes;
  OwdProbeRouteSpan span[8];
  OwdProbeRoute route[8];
  OwdProbeRouteChange change[8];
} Seen;

static void
keep_span (const OwdProbeRouteSpan *span, gpointer user)
{
  Seen *seen = user;

  seen->route[seen->spans] = *span->route;
  seen->span[seen->spans++] = *span;
}

static void
keep_change (const OwdProbeRouteChange *change, gpointer user)
{
  Seen *seen = user;

  seen->change[seen->changes++] = *change;
}

static OwdProbeRoute
route (const char *hops)
{
  OwdProbeRoute r = { .n = (guint) strlen (hops), .reached = TRUE };

  for (guint i = 0; i < r.n; i++) {
    r.hop[i].addr.b[15] = (guint8) hops[i];
    r.hop[i].rtt_ns = hops[i] == '.' ? OWD_TIME_NONE : (gint64) i * MS;
    if (hops[i] == '.')
      memset (&r.hop[i].addr, 0, sizeof r.hop[i].addr);
  }
  return r;
}

static gboolean
add (OwdProbeRoutes *routes, const char *hops, gint64 s)
{
  OwdProbeRoute r = route (hops);

  return owd_probe_routes_add (routes, &r, START + s * OWD_NS_PER_S, FALSE);
}

static void
silence_is_no_change (void **state)
{
  Seen seen = { 0 };
  OwdProbeRouteSink sink = { keep_span, keep_change, &seen };
  g_autoptr (OwdProbeRoutes) routes = owd_probe_routes_new (&sink);
  OwdProbeRoute cut = route ("ab");

  (void) state;
  assert_false (add (routes, "a.cd", 0));
  assert_false (add (routes, "ab.d", 10));
  cut.reached = FALSE; /* the rest was silent this time */
  assert_false (owd_probe_routes_add (routes, &cut, START + 20 * OWD_NS_PER_S, FALSE));
  assert_false (add (routes, "abcd", 30));
  owd_probe_routes_finish (routes);
  assert_int_equal (seen.changes, 0);
  assert_int_equal (seen.spans, 1);
  assert_int_equal (seen.span[0].from, START);
  assert_int_equal (seen.span[0].to, START + 30 * OWD_NS_PER_S);
  for (guint i = 0; i < 4; i++) /* what any trace knew */
    assert_int_equal (seen.route[0].hop[i].addr.b[15], "abcd"[i]);
}

static void
a_change_is_confirmed_and_has_its_step (void **state)
{
  Seen seen = { 0 };
  OwdProbeRouteSink sink = { keep_span, keep_change, &seen };
  g_autoptr (OwdProbeRoutes) routes = owd_probe_routes_new (&sink);

  (void) state;
  assert_false (owd_probe_routes_trip (routes, START, 900 * MS, 250, 250)); /* set-up: kept apart */
  assert_false (add (routes, "abd", 0));
  for (gint64 s = 1; s < 100; s++) /* the change comes at 70 s, between traces at 60 and 90 s */
    assert_false (owd_probe_routes_trip (routes, START + s * OWD_NS_PER_S, (s < 70 ? 10 : 14) * MS + s % 3, 250, 250));
  assert_false (add (routes, "abd", 60));
  assert_true (add (routes, "acd", 90));
  assert_false (add (routes, "acd", 91));
  for (gint64 s = 100; s < 120; s++)
    assert_false (owd_probe_routes_trip (routes, START + s * OWD_NS_PER_S, 14 * MS, 250, 250));
  assert_int_equal (owd_probe_routes_changes (routes), 1);
  assert_int_equal (owd_probe_routes_unsteady (routes), 0);
  assert_int_equal (seen.changes, 1);
  assert_int_equal (seen.change[0].lo, START + 60 * OWD_NS_PER_S);
  assert_int_equal (seen.change[0].hi, START + 90 * OWD_NS_PER_S);
  assert_false (seen.change[0].by_ttl);
  assert_int_equal (seen.change[0].n_before, 16);
  assert_int_equal (seen.change[0].n_after, 16);
  assert_int_equal ((seen.change[0].after_ns - seen.change[0].before_ns) / MS, 3); /* 4 ms less some ns */
  assert_int_equal (owd_probe_routes_first_rtt_ns (routes), 900 * MS);
  owd_probe_routes_finish (routes);
  assert_int_equal (seen.spans, 2);
  assert_int_equal (seen.span[0].to, START + 60 * OWD_NS_PER_S);
  assert_int_equal (seen.span[1].from, START + 90 * OWD_NS_PER_S);
  assert_int_equal (seen.changes, 1);
}

static void
a_ttl_tells_when (void **state)
{
  Seen seen = { 0 };
  OwdProbeRouteSink sink = { keep_span, keep_change, &seen };
  g_autoptr (OwdProbeRoutes) routes = owd_probe_routes_new (&sink);
  OwdProbeRoute changed = route ("abxd");

  (void) state;
  owd_probe_routes_trip (routes, START, MS, 250, 250);
  add (routes, "abd", 1);
  for (gint64 s = 2; s < 50; s++)
    assert_false (owd_probe_routes_trip (routes, START + s * OWD_NS_PER_S, MS, 250, -1));
  assert_true (owd_probe_routes_trip (routes, START + 50 * OWD_NS_PER_S, 2 * MS, 249, 250));
  assert_true (owd_probe_routes_add (routes, &changed, START + 51 * OWD_NS_PER_S, TRUE));
  assert_false (owd_probe_routes_add (routes, &changed, START + 52 * OWD_NS_PER_S, TRUE));
  owd_probe_routes_finish (routes); /* with what it has */
  assert_int_equal (seen.changes, 1);
  assert_true (seen.change[0].by_ttl);
  assert_int_equal (seen.change[0].lo, START + 49 * OWD_NS_PER_S);
  assert_int_equal (seen.change[0].hi, START + 50 * OWD_NS_PER_S);
  assert_int_equal (seen.change[0].before_ns, MS);
  assert_int_equal (seen.change[0].after_ns, 2 * MS);
  assert_int_equal (seen.change[0].n_after, 1);
  assert_int_equal (owd_probe_routes_ttl_changes (routes), 1);
}

static void
a_trace_between_two_routes_is_none (void **state)
{
  Seen seen = { 0 };
  OwdProbeRouteSink sink = { keep_span, keep_change, &seen };
  g_autoptr (OwdProbeRoutes) routes = owd_probe_routes_new (&sink);

  (void) state;
  add (routes, "abcd", 0);
  assert_true (add (routes, "abyd", 10));  /* half of each */
  assert_false (add (routes, "abcd", 11)); /* back again: it never was */
  assert_int_equal (owd_probe_routes_changes (routes), 0);
  assert_int_equal (owd_probe_routes_unsteady (routes), 1);
  assert_true (add (routes, "abyd", 20));
  assert_true (add (routes, "axyd", 21)); /* and then another */
  assert_false (add (routes, "axyd", 22));
  owd_probe_routes_finish (routes);
  assert_int_equal (owd_probe_routes_changes (routes), 1);
  assert_int_equal (seen.spans, 2);
  assert_int_equal (seen.route[1].hop[1].addr.b[15], 'x');
  assert_int_equal (seen.span[1].from, START + 21 * OWD_NS_PER_S);
  assert_int_equal (owd_probe_routes_unsteady (routes), 2);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (probes_are_one_flow),
    cmocka_unit_test (quotes_name_their_probe),
    cmocka_unit_test (destinations_answer_in_their_own_way),
    cmocka_unit_test (traces_find_what_is_there),
    cmocka_unit_test (late_answers_are_nobodys),
    cmocka_unit_test (silence_is_no_change),
    cmocka_unit_test (a_change_is_confirmed_and_has_its_step),
    cmocka_unit_test (a_ttl_tells_when),
    cmocka_unit_test (a_trace_between_two_routes_is_none),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
