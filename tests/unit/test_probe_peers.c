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

static OwdProbeReflector *
a_reflector (OwdProbeKey **key, gboolean answer_short)
{
  static const OwdPrefix everybody = { .bits = 0 };
  OwdProbeReflectorConfig cfg = { .keys = key,
                                  .n_keys = *key != NULL,
                                  .allow = &everybody,
                                  .n_allow = 1,
                                  .answer_short = answer_short,
                                  .sessions = 64,
                                  .sources = 64 };

  return owd_probe_reflector_new (&cfg);
}

static OwdProbeVerdict
answered_by (OwdProbeReflector *reflector, const Datagram *request, guint8 *out, gsize cap, OwdProbeAnswer *ret)
{
  OwdProbeQuestion q = { .data = request->data,
                         .len = request->len,
                         .sport = 9100,
                         .dport = 862,
                         .t2 = NOW,
                         .t3 = NOW + 9000,
                         .ttl = 64,
                         .tos = 46 << 2,
                         .error = { .error_ns = 25000 } };

  assert_true (owd_addr_parse ("198.18.77.1", &q.src) && owd_addr_parse ("198.18.77.2", &q.dst));
  return owd_probe_reflector_answer (reflector, &q, out, cap, ret);
}

static OwdProbeVerdict
answer (const Datagram *request, OwdProbeKey *key, gboolean answer_short, guint8 *out, gsize cap, OwdProbeAnswer *ret)
{
  g_autoptr (OwdProbeReflector) reflector = a_reflector (&key, answer_short);

  return answered_by (reflector, request, out, cap, ret);
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

/* ---- RFC8762-CLI e8e4294 (C) ------------------------------------------------------------------- */

typedef struct {
  OwdTime t4; /* as captured */
  const char *reply;
} Recorded;

static void
keep (const OwdProbeSample *sample, gpointer user)
{
  *(OwdProbeSample *) user = *sample;
}

/* Plays replies to a session that had sent what they echo. Returns: the last sample. */
static OwdProbeSample
play (const Recorded *recorded, guint n, gboolean ptp, gsize echo)
{
  OwdProbeSessionConfig cfg = { .window = 64, .timeout_ns = OWD_NS_PER_S };
  OwdProbeSample last = { 0 };
  g_autoptr (OwdProbeSession) session = owd_probe_session_new (&cfg, keep, &last);
  guint done = 0;

  while (done < n) {
    Datagram d = from_hex (recorded[done].reply);
    guint64 wire = owd_be64 (d.data + echo);
    OwdTime t1 = owd_probe_stamp_decode (wire, ptp, recorded[done].t4);
    OwdProbeArrival a = { .t4 = recorded[done].t4, .ttl = 64, .own = { .error_ns = 1000 } };
    gboolean was_lost = owd_probe_session_next_seq (session) < owd_be32 (d.data + 24);
    OwdProbeReply r;

    owd_probe_session_sent (session, t1, wire, t1);
    if (was_lost)
      continue;
    assert_int_equal (owd_probe_reply_parse (d.data, d.len, NULL, &r), OWD_STATUS_OK);
    assert_int_equal (owd_probe_session_reply (session, &r, &a), OWD_STATUS_OK);
    done++;
  }
  return last;
}

/* It copies our numbers, drops the session identifier and sends TLVs back as they came. The line took 6 and 11 ms. */
static void
rfc8762_cli_answers (void **state)
{
  static const Recorded RECORDED[]
      = { { G_GINT64_CONSTANT (1795377254089478000),
            "00000000eeadc6e6140f404700010000eeadc6e6140a8b4500000000eeadc6e60e04b5281d810000ff000000" } };
  Datagram d = from_hex (RECORDED[0].reply);
  OwdProbeReply r;
  OwdProbeSample s = play (RECORDED, G_N_ELEMENTS (RECORDED), FALSE, 28);

  (void) state;
  assert_int_equal (owd_probe_reply_parse (d.data, d.len, NULL, &r), OWD_STATUS_OK);
  assert_int_equal (r.seq, r.sender_seq);
  assert_int_equal (r.ssid, 0);
  assert_int_equal (r.ttl, 255);
  assert_int_equal (r.error.error_ns, -1); /* 0001 */
  assert_in_range (s.down_ns, 11 * OWD_NS_PER_MS, 11200 * OWD_NS_PER_US);
  assert_true (s.up_ns > 6 * OWD_NS_PER_MS); /* and what the first packet waited for its neighbour */
}

/* Z = 1, the seconds of NTP, and nanoseconds behind them. */
static void
rfc8762_cli_counts_nanoseconds_since_1900 (void **state)
{
  static const Recorded RECORDED[]
      = { { G_GINT64_CONSTANT (1795377268104036000),
            "00000003eeadc6f4058a926d40010000eeadc6f405881507000000036b034874052b2a195d810000ff000000" },
          { G_GINT64_CONSTANT (1795377268113961000),
            "00000004eeadc6f4062203b040010000eeadc6f40620c37b000000046b03487405c3bcb15d810000ff000000" },
          { G_GINT64_CONSTANT (1795377268124242000),
            "00000005eeadc6f406bee77740010000eeadc6f406be59ae000000056b03487406618f145d810000ff000000" },
          { G_GINT64_CONSTANT (1795377268134105000),
            "00000006eeadc6f40754eaf840010000eeadc6f40751b30c000000066b03487406f4b36b5d810000ff000000" } };
  OwdProbeSample s = play (RECORDED, 1, TRUE, 28);

  (void) state;
  assert_true ((s.flags & OWD_PROBE_FORMAT) != 0);
  assert_true (s.up_ns == OWD_TIME_NONE && s.down_ns == OWD_TIME_NONE); /* they might be NTP's fractions as well */
  s = play (RECORDED, G_N_ELEMENTS (RECORDED), TRUE, 28);
  assert_true ((s.flags & OWD_PROBE_FORMAT) != 0);
  assert_in_range (s.up_ns, 6 * OWD_NS_PER_MS, 6200 * OWD_NS_PER_US);
  assert_in_range (s.down_ns, 11 * OWD_NS_PER_MS, 11200 * OWD_NS_PER_US);
}

static const char CLI_REQUEST[]
    = "00000000eeadc8f1092b71070001000000000000000000000000000000000000000000000000000000000000";
static const char CLI_PTP_REQUEST[]
    = "00000000eeadc90900e1269c4001000000000000000000000000000000000000000000000000000000000000";

/* Its PTP requests have the same stamps; they get an answer in PTP, as Z asks, which it cannot use. */
static void
rfc8762_cli_is_answered (void **state)
{
  Datagram d = from_hex (CLI_REQUEST);
  guint8 out[512];
  OwdProbeAnswer a;

  (void) state;
  assert_int_equal (answer (&d, NULL, FALSE, out, sizeof out, &a), OWD_PROBE_ANSWERED);
  assert_int_equal (a.len, 44);
  assert_int_equal (time_of (owd_be64 (out + 16)), NOW);
  assert_true (owd_be64 (out + 28) == owd_be64 (d.data + 4));
  d = from_hex (CLI_PTP_REQUEST);
  assert_int_equal (answer (&d, NULL, FALSE, out, sizeof out, &a), OWD_PROBE_ANSWERED);
  assert_int_equal (owd_probe_stamp_decode (owd_be64 (out + 16), TRUE, NOW), NOW);
  assert_true (owd_be64 (out + 28) == owd_be64 (d.data + 4));
}

/* ---- twamp-light 1.3.7 (Domos, C++) ------------------------------------------------------------ */

/* T1 where T3 belongs, and T3 where T1 does; 8001 for an error; whatever follows the base packet is zeroed. */
static void
twamp_light_swaps (void **state)
{
  static const Recorded RECORDED[]
      = { { G_GINT64_CONSTANT (1795377883120807000),
            "00000005eeadc95b1a7bfc3280010000eeadc95b1c0f440400000005eeadc95b1c133d451d810000ff000000" } };
  OwdProbeSample s = play (RECORDED, G_N_ELEMENTS (RECORDED), FALSE, 4);

  (void) state;
  assert_true ((s.flags & OWD_PROBE_SWAPPED) != 0);
  assert_true ((s.flags & OWD_PROBE_UNSTATED) != 0);
  assert_in_range (s.up_ns, 6 * OWD_NS_PER_MS, 6200 * OWD_NS_PER_US);
  assert_in_range (s.down_ns, 11 * OWD_NS_PER_MS, 11200 * OWD_NS_PER_US);
}

static const char LIGHT_REQUEST[]
    = "00000001eeadc99907da9a2e8001000000000000000000000000000000000000000000000000000000000000000000000000";

static void
twamp_light_is_answered (void **state)
{
  Datagram d = from_hex (LIGHT_REQUEST);
  guint8 out[512];
  OwdProbeAnswer a;

  (void) state;
  assert_int_equal (answer (&d, NULL, FALSE, out, sizeof out, &a), OWD_PROBE_ANSWERED);
  assert_int_equal (a.len, 50);
  assert_int_equal (time_of (owd_be64 (out + 4)), NOW + 9000); /* T3 is where RFC 5357 has it */
  assert_true (owd_be64 (out + 28) == owd_be64 (d.data + 4));
}

/* ---- perfSONAR's twping and twampd 5.2.3 (C), behind a TWAMP control connection ------------------ */

/* It pads with random bytes to what a TWAMP reply needs. */
static const char *const TWPING_REQUESTS[]
    = { "00000000eeadd178f6ed890400010d3209c3d558129a4e3eb106f367dc1ca7e6355e5fb8c82659f23c",
        "00000001eeadd178f7008a6900012e0d0c51ab98e07db4d6a41399654cbf4fc4fe590ad583a32b3084" };

static void
twping_is_answered (void **state)
{
  OwdProbeKey *none = NULL;
  g_autoptr (OwdProbeReflector) reflector = a_reflector (&none, FALSE);

  (void) state;
  for (guint i = 0; i < G_N_ELEMENTS (TWPING_REQUESTS); i++) {
    Datagram d = from_hex (TWPING_REQUESTS[i]);
    guint8 out[512];
    OwdProbeAnswer a;
    OwdProbeReply r;

    assert_int_equal (answered_by (reflector, &d, out, sizeof out, &a), OWD_PROBE_ANSWERED);
    assert_int_equal (a.len, 41);
    assert_int_equal (owd_probe_reply_parse (out, a.len, NULL, &r), OWD_STATUS_OK);
    assert_int_equal (r.seq, i); /* one session, whatever the padding is */
    assert_int_equal (r.sender_seq, i);
    assert_int_equal (r.ssid, 0);
    assert_int_equal (r.ttl, 64);
    assert_true (r.sender_stamp == owd_be64 (d.data + 4));
  }
}

/* 41 bytes, whatever was asked; an error of 0001. */
static void
twampd_answers (void **state)
{
  static const Recorded RECORDED[]
      = { { G_GINT64_CONSTANT (1795379676340495000),
            "00000000eeadd05c54535c9e00010000eeadd05c5452828300000000eeadd05c4f1958ed1d810000ff" },
          { G_GINT64_CONSTANT (1795379676348204000),
            "00000002eeadd05c564d6e4700010000eeadd05c564cc68200000002eeadd05c545c2c261d810000ff" } };
  OwdProbeSample s = play (RECORDED, G_N_ELEMENTS (RECORDED), FALSE, 28);

  (void) state;
  assert_true ((s.flags & (OWD_PROBE_UNSTATED | OWD_PROBE_LOST)) == OWD_PROBE_UNSTATED);
  assert_int_equal (s.hops_up, 0);
  assert_in_range (s.up_ns, 6 * OWD_NS_PER_MS, 9 * OWD_NS_PER_MS);
  assert_in_range (s.down_ns, 11 * OWD_NS_PER_MS, 12 * OWD_NS_PER_MS);
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
    cmocka_unit_test (rfc8762_cli_answers),
    cmocka_unit_test (rfc8762_cli_counts_nanoseconds_since_1900),
    cmocka_unit_test (rfc8762_cli_is_answered),
    cmocka_unit_test (twamp_light_swaps),
    cmocka_unit_test (twamp_light_is_answered),
    cmocka_unit_test (twping_is_answered),
    cmocka_unit_test (twampd_answers),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
