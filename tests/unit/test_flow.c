/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "owd-flow.h"

#include <string.h>
#include <xxhash.h>

static OwdFlow
a_flow (void)
{
  OwdFlow f = { 0 };

  assert_true (owd_addr_parse ("192.0.2.1", &f.src));
  assert_true (owd_addr_parse ("198.51.100.7", &f.dst));
  f.sport = 1234;
  f.dport = 80;
  f.proto = 6;
  return f;
}

static OwdFlow
turned (OwdFlow f)
{
  OwdFlow r = f;

  r.src = f.dst;
  r.dst = f.src;
  r.sport = f.dport;
  r.dport = f.sport;
  return r;
}

static void
hash_is_direction_less (void **state)
{
  OwdFlow f = a_flow (), r = turned (f), same = a_flow ();

  (void) state;
  assert_true (owd_flow_hash_undirected (&f) == owd_flow_hash_undirected (&r));
  assert_true (owd_flow_hash (&f) != owd_flow_hash (&r));
  /* one host talking to itself: the ports decide */
  same.dst = same.src;
  r = turned (same);
  assert_true (owd_flow_hash_undirected (&same) == owd_flow_hash_undirected (&r));
}

static void
hash_never_changes (void **state)
{
  OwdFlow f = a_flow ();

  (void) state;
  /* In logs out there: if this fails, the log format has been broken. */
  assert_int_equal (owd_flow_hash (&f), G_GUINT64_CONSTANT (0x96bd92cbf1f1fa02));
}

/* The hash by the book: key in memory, library function. */
static guint64
plain_hash (const OwdFlow *f)
{
  guint8 key[37];

  memcpy (key, f->src.b, 16);
  memcpy (key + 16, f->dst.b, 16);
  key[32] = (guint8) (f->sport >> 8);
  key[33] = (guint8) f->sport;
  key[34] = (guint8) (f->dport >> 8);
  key[35] = (guint8) f->dport;
  key[36] = f->proto;
  return XXH3_64bits (key, sizeof key);
}

static void
hash_is_xxh3 (void **state)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);
  OwdFlow f = { 0 };

  (void) state;
  for (guint i = 0; i < 10000; i++) {
    OwdFlowHashes all;
    OwdFlow low;
    int order;

    for (guint k = 0; k < 16; k++) {
      f.src.b[k] = (guint8) g_rand_int (rand);
      /* often equal up to some byte, so that each of them decides about the order now and then */
      f.dst.b[k] = i % 2 == 0 && k < i / 2 % 17 ? f.src.b[k] : (guint8) g_rand_int (rand);
    }
    if (i % 3 == 0) { /* IPv4, some of them close to each other */
      owd_addr_set_v4 (&f.src, f.src.b + 12);
      owd_addr_set_v4 (&f.dst, i % 5 == 0 ? f.src.b + 12 : f.dst.b + 12);
    } else if (i % 7 == 0) { /* nearly */
      owd_addr_set_v4 (i % 2 == 0 ? &f.src : &f.dst, f.src.b + 12);
    }
    f.sport = (guint16) g_rand_int (rand);
    f.dport = i % 11 == 0 ? f.sport : (guint16) g_rand_int (rand);
    f.proto = (guint8) g_rand_int (rand);
    order = memcmp (f.src.b, f.dst.b, 16);
    low = order < 0 || (order == 0 && f.sport <= f.dport) ? f : turned (f);
    assert_true (owd_flow_hash (&f) == plain_hash (&f));
    owd_flow_hash_all (&f, &all);
    assert_true (all.forward == plain_hash (&f) && all.undirected == plain_hash (&low));
    f = turned (f);
    assert_true (all.reverse == plain_hash (&f));
    assert_true (owd_flow_hash_undirected (&f) == plain_hash (&low));
  }
}

static void
partitions_are_even (void **state)
{
  guint count[8] = { 0 };
  OwdFlow f = a_flow ();

  (void) state;
  for (guint i = 0; i < 8000; i++) {
    f.sport = (guint16) i;
    count[owd_flow_partition (owd_flow_hash_undirected (&f), 8)]++;
  }
  for (guint i = 0; i < 8; i++)
    assert_in_range (count[i], 850, 1150);
  assert_int_equal (owd_flow_partition (G_MAXUINT64, 256), 255);
}

static void
claims (void **state)
{
  OwdHeader h = { .export_s = 1000, .export_frac_ns = 500, .uptime_ms = 5, .flags = OWD_HEADER_UPTIME };
  OwdFlow f = a_flow ();

  (void) state;
  /* across the wrap: 10 ms before an uptime of 5 ms */
  assert_int_equal (owd_flow_claim (&h, &f, OWD_STAMP_UPTIME_MS, 0xfffffffbu),
                    1000 * OWD_NS_PER_S + 500 - 10 * OWD_NS_PER_MS);
  /* last switched a little after the header's uptime is not a wrap */
  assert_int_equal (owd_flow_claim (&h, &f, OWD_STAMP_UPTIME_MS, 165), 1000 * OWD_NS_PER_S + 500 + 160 * OWD_NS_PER_MS);
  h.flags = 0;
  assert_int_equal (owd_flow_claim (&h, &f, OWD_STAMP_UPTIME_MS, 5), OWD_TIME_NONE);
  h.init_ms = 1000;
  assert_int_equal (owd_flow_claim (&h, &f, OWD_STAMP_UPTIME_MS, 5), 1005 * OWD_NS_PER_MS);
  f.init_ms = 2000;
  assert_int_equal (owd_flow_claim (&h, &f, OWD_STAMP_UPTIME_MS, 5), 2005 * OWD_NS_PER_MS);
  assert_int_equal (owd_flow_claim (&h, &f, OWD_STAMP_DELTA_US, 7), 1000 * OWD_NS_PER_S + 500 - 7000);
  assert_int_equal (owd_flow_claim (&h, &f, OWD_STAMP_UNIX_MS, 7), 7 * OWD_NS_PER_MS);
  assert_int_equal (owd_flow_claim (&h, &f, OWD_STAMP_UNIX_MS, G_MAXUINT64), OWD_TIME_NONE);
  /* NTP: 1970, half a second */
  assert_int_equal (owd_flow_claim (&h, &f, OWD_STAMP_NTP_NS, (G_GUINT64_CONSTANT (2208988800) << 32) | 0x80000000u),
                    OWD_NS_PER_S / 2);
  /* era 1 begins in February 2036 */
  assert_int_equal (owd_flow_claim (&h, &f, OWD_STAMP_NTP_US, 0), G_GINT64_CONSTANT (2085978496) * OWD_NS_PER_S);
}

static void
addresses (void **state)
{
  OwdAddr a;
  char buf[OWD_ADDR_TEXT];

  (void) state;
  assert_true (owd_addr_parse ("10.1.2.3", &a));
  assert_true (owd_addr_is_v4 (&a));
  assert_string_equal (owd_addr_text (&a, buf), "10.1.2.3");
  assert_true (owd_addr_parse ("2001:db8::1", &a));
  assert_false (owd_addr_is_v4 (&a));
  assert_string_equal (owd_addr_text (&a, buf), "2001:db8::1");
  assert_false (owd_addr_parse ("10.1.2.300", &a));
  assert_true (owd_addr_parse ("0.0.0.0", &a));
  assert_true (owd_addr_is_zero (&a));
  assert_true (owd_addr_parse ("::", &a));
  assert_true (owd_addr_is_zero (&a));
}

static gboolean
prefix_has (const char *prefix, const char *address)
{
  OwdPrefix p;
  OwdAddr a;

  assert_true (owd_prefix_parse (prefix, &p));
  assert_true (owd_addr_parse (address, &a));
  return owd_prefix_has (&p, &a);
}

static void
prefixes (void **state)
{
  (void) state;
  assert_true (prefix_has ("192.0.2.1", "192.0.2.1"));
  assert_false (prefix_has ("192.0.2.1", "192.0.2.0"));
  assert_true (prefix_has ("192.0.2.0/25", "192.0.2.127"));
  assert_false (prefix_has ("192.0.2.0/25", "192.0.2.128"));
  assert_true (prefix_has ("192.0.2.77/24", "192.0.2.1")); /* what is behind the prefix does not count */
  assert_false (prefix_has ("192.0.2.0/24", "192.0.3.0"));
  assert_true (prefix_has ("2001:db8::/33", "2001:db8:7fff::1"));
  assert_false (prefix_has ("2001:db8::/33", "2001:db8:8000::1"));
  assert_true (prefix_has ("2001:db8::1/128", "2001:db8::1"));
  assert_false (prefix_has ("2001:db8::1", "2001:db8::3"));
  /* all of IPv4 is no IPv6; all of IPv6 has IPv4, in its mapped form */
  assert_true (prefix_has ("0.0.0.0/0", "203.0.113.9"));
  assert_false (prefix_has ("0.0.0.0/0", "2001:db8::1"));
  assert_true (prefix_has ("::/0", "2001:db8::1"));
  assert_true (prefix_has ("::/0", "203.0.113.9"));
  assert_false (prefix_has ("2000::/3", "203.0.113.9"));
}

static void
no_prefixes (void **state)
{
  static const char *const texts[] = {
    "",
    "/",
    "/24",
    "host",
    "192.0.2.0/",
    "192.0.2.0/33",
    "192.0.2.0/-1",
    "192.0.2.0/24/8",
    "192.0.2/24",
    "192.0.2.0/8x",
    "192.0.2.0/ 8",
    "192.0.2.0/4294967304",
    "2001:db8::/129",
    "[2001:db8::]/32",
  };
  OwdPrefix p;

  (void) state;
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    assert_false (owd_prefix_parse (texts[i], &p));
}

static void
lists_of_prefixes (void **state)
{
  OwdPrefix list[2];
  OwdAddr a;

  (void) state;
  assert_true (owd_prefix_parse ("192.0.2.0/24", &list[0]));
  assert_true (owd_prefix_parse ("2001:db8::/32", &list[1]));
  assert_true (owd_addr_parse ("2001:db8::1", &a));
  assert_true (owd_prefix_list_allows (list, 2, &a));
  assert_false (owd_prefix_list_allows (list, 1, &a));
  assert_true (owd_prefix_list_allows (NULL, 0, &a));
}

static void
time_text (void **state)
{
  char buf[OWD_TIME_TEXT];

  (void) state;
  assert_string_equal (owd_time_text (1, buf), "1970-01-01T00:00:00.000000001Z");
  assert_string_equal (owd_time_text (-1, buf), "1969-12-31T23:59:59.999999999Z");
  assert_int_equal (owd_time_add (G_MAXINT64, 1), G_MAXINT64);
  assert_int_equal (owd_time_add (OWD_TIME_NONE, 1), OWD_TIME_NONE);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (hash_is_direction_less),
    cmocka_unit_test (hash_never_changes),
    cmocka_unit_test (hash_is_xxh3),
    cmocka_unit_test (partitions_are_even),
    cmocka_unit_test (claims),
    cmocka_unit_test (addresses),
    cmocka_unit_test (prefixes),
    cmocka_unit_test (no_prefixes),
    cmocka_unit_test (lists_of_prefixes),
    cmocka_unit_test (time_text),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
