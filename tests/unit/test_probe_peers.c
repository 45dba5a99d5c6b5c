/* SPDX-License-Identifier: Apache-2.0
 *
 * Packets that other implementations sent to ours, or in answer to ours, recorded on a link between two network
 * namespaces (docs/probe-interop.md says which versions). What they do is read as they do it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "owd-probe.h"

#define NOW (G_GINT64_CONSTANT (1795343901) * OWD_NS_PER_S)
#define SECRET "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

typedef struct {
  guint8 data[512];
  gsize len;
} Datagram;

static Datagram
from_hex (const char *hex)
{
  Datagram d = { .len = strlen (hex) / 2 };

  assert_true (d.len <= sizeof d.data);
  for (gsize i = 0; i < d.len; i++)
    d.data[i] = (guint8) (g_ascii_xdigit_value (hex[2 * i]) << 4 | g_ascii_xdigit_value (hex[2 * i + 1]));
  return d;
}

static OwdProbeKey *
the_key (void)
{
  Datagram secret = from_hex (SECRET);
  OwdProbeKey *key = owd_probe_key_new ("lab", secret.data, secret.len, NULL);

  assert_non_null (key);
  return key;
}

static OwdTime
time_of (guint64 wire)
{
  return owd_probe_stamp_decode (wire, FALSE, NOW);
}

/* ---- stamp-suite 0.8.0 ------------------------------------------------------------------------- */

/* Location filled, class of service by bytes, direct measurement, follow-up, padding. */
static const char SUITE_OPEN_REPLY[]
    = "00000003eead449cb82a03f000017545eead449cb829eb3e00000004eead449cb81e422d1d817545ff0000000002001021cad5760104c612"
      "4d010204024d12c6000300040000010200040004b8b800000005000c0000000300000004000000030007001000000002eead449cb3d64c27"
      "020000000001005c000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
      "00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000";

static void
stamp_suite_answers_with_tlvs (void **state)
{
  Datagram d = from_hex (SUITE_OPEN_REPLY);
  OwdProbeReply r;

  (void) state;
  assert_int_equal (owd_probe_reply_parse (d.data, d.len, NULL, &r), OWD_STATUS_OK);
  assert_int_equal (r.seq, 3); /* it counts: our number 1 is never sent */
  assert_int_equal (r.sender_seq, 4);
  assert_int_equal (r.ssid, 0x7545);
  assert_int_equal (r.ttl, 255);
  assert_int_equal (r.error.error_ns, -1); /* 0001: states nothing */
  assert_true (time_of (r.t3) >= time_of (r.t2) && time_of (r.t3) - time_of (r.t2) < OWD_NS_PER_MS);
  assert_int_equal (r.got, OWD_PROBE_ASK_LOCATION | OWD_PROBE_ASK_STAMP_INFO | OWD_PROBE_ASK_COS | OWD_PROBE_ASK_DIRECT
                               | OWD_PROBE_ASK_FOLLOW_UP);
  assert_int_equal (r.peer_rx, 4);
  assert_int_equal (r.peer_tx, 3);
  assert_int_equal (r.follow_seq, 2);
  assert_true (r.follow_t3 != 0 && time_of (r.follow_t3) < time_of (r.t3));
  assert_int_equal (r.seen_port, 0xd576);
}

/* Asked for its class with DSCP 46 and ECN 2. */
static const char SUITE_CLASS_REPLY[]
    = "00000002eeadca0e1b188cba000126a8eeadca0e1b18883200000002eeadca0e181933a91d8126a8ff00000000040004b8ba0000";

/* b8ba: sent with DSCP 46 and ECN 2, the first byte as it was asked, the second as seen there. By RFC 8972 it would
 * read as DSCP 11: nothing may be said, least of all that the path remarks. */
static void
class_by_bytes_is_no_remarking (void **state)
{
  const guint8 wished[][2]
      = { { 46, 2 }, { 46, 0 }, { 46, 1 }, { 10, 0 }, { 10, 2 }, { 8, 0 }, { 34, 1 }, { 1, 0 }, { 0, 2 } };
  Datagram d = from_hex (SUITE_CLASS_REPLY);
  OwdProbeReply seen;

  (void) state;
  assert_int_equal (owd_probe_reply_parse (d.data, d.len, NULL, &seen), OWD_STATUS_OK);
  assert_int_equal (seen.got, OWD_PROBE_ASK_COS);
  for (guint i = 0; i < G_N_ELEMENTS (wished); i++) {
    guint8 dscp = wished[i][0], ecn = wished[i][1];
    OwdProbeSessionConfig cfg = { .window = 64, .timeout_ns = OWD_NS_PER_S, .dscp = dscp, .ecn = ecn };
    g_autoptr (OwdProbeSession) session = owd_probe_session_new (&cfg, NULL, NULL);
    OwdProbeArrival a = { .t4 = NOW + 1000, .ttl = 255, .tos = dscp << 2, .own = { .error_ns = 1000 } };
    OwdProbeReply r = { .sender_stamp = 7, .error = { .error_ns = -1 }, .got = OWD_PROBE_ASK_COS };
    OwdProbeSummary sum;
    guint16 by_bytes = (guint16) (dscp << 10 | dscp << 2 | ecn);

    r.dscp_seen = (by_bytes >> 4) & 63;
    r.ecn_seen = (by_bytes >> 2) & 3;
    if (i == 0) /* the formula is what the recorded packet has */
      assert_true (r.dscp_seen == seen.dscp_seen && r.ecn_seen == seen.ecn_seen);
    owd_probe_session_sent (session, NOW, 7, NOW);
    assert_int_equal (owd_probe_session_reply (session, &r, &a), OWD_STATUS_OK);
    owd_probe_session_finish (session);
    owd_probe_session_summary (session, &sum);
    assert_int_equal (sum.dscp_up, 0);
    assert_int_equal (sum.ce_up, 0);
  }
}

static const char SUITE_AUTH_REPLY[]
    = "00000002000000000000000000000000eead44d8812f92f30001e21f00000000eead44d8812f4c0c00000000000000000000000300000000"
      "0000000000000000eead44d87c0758c71d81e21f00000000ff0000000000000000000000000000004e717ee95d6d8ffdefd85ffa5b80b5e3"
      "0002001021cb87b50104c6124d010204024d12c600040004282800000005000c0000000200000003000000020007001000000001eead44d8"
      "7a7a3ca0020000000008001055b226b91733d3ed0bfacc7a3bb51a8f";

/* It wants the HMAC TLV last, RFC 8972, 4.8 wants it before the padding: it flags our TLVs (I), and none is used. */
static const char SUITE_AUTH_PADDED_REPLY[]
    = "00000002000000000000000000000000eead449d2fc1c5b60001eb3900000000eead449d2fc1bf2700000000000000000000000300000000"
      "0000000000000000eead449d2ddc563e1d81eb3900000000ff00000000000000000000000000000004463a6033d8bf7963f985fa1f408568"
      "20040004280000002005000c0000000200000000000000002007001000000000000000000000000000000000200800108d3cc43fbf018210"
      "651a5cdb4a9a67d2600100780000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
      "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
      "0000000000000000000000000000000000000000";

static void
stamp_suite_authenticates (void **state)
{
  g_autoptr (OwdProbeKey) key = the_key ();
  g_autoptr (OwdProbeKey) other = owd_probe_key_new ("other", (const guint8 *) "0123456789abcdef", 16, NULL);
  Datagram d = from_hex (SUITE_AUTH_REPLY);
  OwdProbeReply r;

  (void) state;
  assert_int_equal (owd_probe_reply_parse (d.data, d.len, key, &r), OWD_STATUS_OK);
  assert_int_equal (r.seq, 2);
  assert_int_equal (r.sender_seq, 3);
  assert_int_equal (r.ttl, 255);
  assert_int_equal (r.got, OWD_PROBE_ASK_LOCATION | OWD_PROBE_ASK_COS | OWD_PROBE_ASK_DIRECT | OWD_PROBE_ASK_FOLLOW_UP);
  assert_int_equal (r.follow_seq, 1);
  assert_int_equal (owd_probe_reply_parse (d.data, d.len, other, &r), OWD_STATUS_CHECKSUM);
  d.data[20] ^= 1;
  assert_int_equal (owd_probe_reply_parse (d.data, d.len, key, &r), OWD_STATUS_CHECKSUM);
}

static void
stamp_suite_wants_its_hmac_last (void **state)
{
  g_autoptr (OwdProbeKey) key = the_key ();
  Datagram d = from_hex (SUITE_AUTH_PADDED_REPLY);
  OwdProbeReply r;

  (void) state;
  d.len = 112; /* the base packet stands alone, whatever became of the TLVs */
  assert_int_equal (owd_probe_reply_parse (d.data, d.len, key, &r), OWD_STATUS_OK);
  d = from_hex (SUITE_AUTH_PADDED_REPLY);
  assert_int_equal (owd_probe_reply_parse (d.data, d.len, key, &r), OWD_STATUS_OK);
  assert_int_equal (r.got, 0);
  assert_int_equal (r.sender_seq, 3);
}

/* ---- their requests to our reflector ----------------------------------------------------------- */

static const char SUITE_OPEN_REQUEST[]
    = "00000002eead449e4781be050001004d0000000000000000000000000000000000000000000000000000000080040004b800000080030004"
      "01020000800200040000000080070010000000000000000000000000000000008005000c000000030000000000000000";
static const char SUITE_AUTH_REQUEST[]
    = "00000002000000000000000000000000eead449f557362f40001004e00000000000000000000000000000000000000000000000000000000"
      "000000000000000000000000000000000000000000000000000000000000000000000000000000007539aaa82af80355969c093379145619"
      "800400042800000080070010000000000000000000000000000000008005000c00000003000000000000000080080010e192ecec4246c1b8"
      "5205d274d6cb591b";
/* PTP stamps under an error estimate that says NTP. */
static const char SUITE_PTP_REQUEST[]
    = "000000016b02c52f26e55f234001000000000000000000000000000000000000000000000000000000000000";

static OwdProbeVerdict
answer (const Datagram *request, OwdProbeKey *key, gboolean answer_short, guint8 *out, gsize cap, OwdProbeAnswer *ret)
{
  OwdPrefix everybody = { .bits = 0 };
  OwdProbeReflectorConfig cfg = { .keys = &key,
                                  .n_keys = key != NULL,
                                  .allow = &everybody,
                                  .n_allow = 1,
                                  .answer_short = answer_short,
                                  .sessions = 64,
                                  .sources = 64 };
  OwdProbeQuestion q = { .data = request->data,
                         .len = request->len,
                         .sport = 9100,
                         .dport = 862,
                         .t2 = NOW,
                         .t3 = NOW + 9000,
                         .ttl = 64,
                         .tos = 46 << 2,
                         .error = { .error_ns = 25000 } };
  g_autoptr (OwdProbeReflector) reflector = owd_probe_reflector_new (&cfg);

  assert_true (owd_addr_parse ("198.18.77.1", &q.src) && owd_addr_parse ("198.18.77.2", &q.dst));
  return owd_probe_reflector_answer (reflector, &q, out, cap, ret);
}

static void
stamp_suite_is_answered (void **state)
{
  Datagram d = from_hex (SUITE_OPEN_REQUEST);
  guint8 out[512];
  OwdProbeAnswer a;
  OwdProbeReply r;

  (void) state;
  assert_int_equal (answer (&d, NULL, FALSE, out, sizeof out, &a), OWD_PROBE_ANSWERED);
  assert_int_equal (a.len, d.len);
  assert_int_equal (a.tos >> 2, 46); /* as its class-of-service TLV wishes */
  assert_int_equal (owd_probe_reply_parse (out, a.len, NULL, &r), OWD_STATUS_OK);
  assert_int_equal (r.ssid, 77);
  assert_true ((r.got & (OWD_PROBE_ASK_COS | OWD_PROBE_ASK_STAMP_INFO | OWD_PROBE_ASK_FOLLOW_UP | OWD_PROBE_ASK_DIRECT))
               == (OWD_PROBE_ASK_COS | OWD_PROBE_ASK_STAMP_INFO | OWD_PROBE_ASK_FOLLOW_UP | OWD_PROBE_ASK_DIRECT));
  assert_int_equal (r.dscp_seen, 46);
  assert_true (owd_be64 (out + 28) == owd_be64 (d.data + 4));
}

static void
stamp_suite_is_answered_with_a_key (void **state)
{
  g_autoptr (OwdProbeKey) key = the_key ();
  Datagram d = from_hex (SUITE_AUTH_REQUEST);
  guint8 out[512];
  OwdProbeAnswer a;
  OwdProbeReply r;

  (void) state;
  assert_int_equal (answer (&d, key, FALSE, out, sizeof out, &a), OWD_PROBE_ANSWERED);
  assert_int_equal (a.len, d.len);
  assert_int_equal (owd_probe_reply_parse (out, a.len, key, &r), OWD_STATUS_OK);
  assert_int_equal (r.ssid, 78);
  assert_true ((r.got & OWD_PROBE_ASK_COS) != 0); /* its HMAC TLV was found good */
  d.data[d.len - 1] ^= 1;
  assert_int_equal (answer (&d, key, FALSE, out, sizeof out, &a), OWD_PROBE_ANSWERED);
  assert_int_equal (owd_probe_reply_parse (out, a.len, key, &r), OWD_STATUS_OK);
  assert_int_equal (r.got, 0);
}

static void
stamp_suite_is_answered_in_ptp (void **state)
{
  Datagram d = from_hex (SUITE_PTP_REQUEST);
  guint8 out[512];
  OwdProbeAnswer a;

  (void) state;
  assert_int_equal (answer (&d, NULL, FALSE, out, sizeof out, &a), OWD_PROBE_ANSWERED);
  assert_int_equal (owd_probe_stamp_decode (owd_be64 (out + 16), TRUE, NOW), NOW);
}

/* ---- twampy 1.0 (Nokia) ------------------------------------------------------------------------ */

/* 38 bytes: no TTL; T2 = T3; a constant error estimate. */
static const char TWAMPY_REPLY[] = "00000002eead42917ac3afff00010000eead42917ac3afff00000003eead42917abc98511d81";
static const char TWAMPY_REQUEST[] = "00000000eead4294c52933ff3fff";

static void
twampy_answers (void **state)
{
  Datagram d = from_hex (TWAMPY_REPLY);
  OwdProbeReply r;

  (void) state;
  assert_int_equal (d.len, 38);
  assert_int_equal (owd_probe_reply_parse (d.data, d.len, NULL, &r), OWD_STATUS_OK);
  assert_int_equal (r.seq, 2);
  assert_int_equal (r.sender_seq, 3);
  assert_int_equal (r.ttl, -1);
  assert_int_equal (r.error.error_ns, -1);
  assert_true (r.t2 == r.t3);
}

static void
twampy_is_answered_where_that_is_allowed (void **state)
{
  Datagram d = from_hex (TWAMPY_REQUEST);
  guint8 out[512];
  OwdProbeAnswer a;

  (void) state;
  assert_int_equal (answer (&d, NULL, FALSE, out, sizeof out, &a), OWD_PROBE_DROP_SHORT);
  assert_int_equal (answer (&d, NULL, TRUE, out, sizeof out, &a), OWD_PROBE_ANSWERED);
  assert_int_equal (a.len, 44);
  assert_true (owd_be64 (out + 28) == owd_be64 (d.data + 4));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (stamp_suite_answers_with_tlvs),
    cmocka_unit_test (class_by_bytes_is_no_remarking),
    cmocka_unit_test (stamp_suite_authenticates),
    cmocka_unit_test (stamp_suite_wants_its_hmac_last),
    cmocka_unit_test (stamp_suite_is_answered),
    cmocka_unit_test (stamp_suite_is_answered_with_a_key),
    cmocka_unit_test (stamp_suite_is_answered_in_ptp),
    cmocka_unit_test (twampy_answers),
    cmocka_unit_test (twampy_is_answered_where_that_is_allowed),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
