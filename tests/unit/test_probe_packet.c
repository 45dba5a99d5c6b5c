/* SPDX-License-Identifier: Apache-2.0
 *
 * STAMP on the wire, and the reflector's answers. Each "seen" test is a behaviour of an implementation in the field.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "owd-probe.h"

#define NOW (G_GINT64_CONSTANT (1795330014) * OWD_NS_PER_S + 851021735)

static OwdProbeKey *
a_key (const char *secret)
{
  OwdProbeKey *key = owd_probe_key_new ("test", (const guint8 *) secret, strlen (secret), NULL);

  assert_non_null (key);
  return key;
}

static void
from_hex (const char *hex, guint8 *out)
{
  for (; *hex != '\0'; hex += 2)
    *out++ = (guint8) (g_ascii_xdigit_value (hex[0]) << 4 | g_ascii_xdigit_value (hex[1]));
}

static gboolean
all_zero (const guint8 *p, gsize n)
{
  for (gsize i = 0; i < n; i++)
    if (p[i] != 0)
      return FALSE;
  return TRUE;
}

/* ---- stamps, errors, keys ---------------------------------------------------------------------- */

static void
stamps_go_there_and_back (void **state)
{
  const OwdTime times[] = { NOW, 0, 1, OWD_NS_PER_S - 1, NOW / OWD_NS_PER_S * OWD_NS_PER_S + 999999999 };

  (void) state;
  for (guint i = 0; i < G_N_ELEMENTS (times); i++)
    for (gint ptp = 0; ptp < 2; ptp++)
      assert_int_equal (owd_probe_stamp_decode (owd_probe_stamp_encode (times[i], ptp), ptp, times[i] + 12345),
                        times[i]);
  /* RFC 5905: 1970 is 2208988800 in NTP; half a second is 2^31 */
  assert_true (owd_probe_stamp_encode (OWD_NS_PER_S / 2, FALSE) == (G_GUINT64_CONSTANT (2208988800) << 32 | 1u << 31));
  assert_true (owd_probe_stamp_encode (OWD_NS_PER_S + 7, TRUE) == (G_GUINT64_CONSTANT (1) << 32 | 7));
}

static void
stamps_cross_the_era_of_2036 (void **state)
{
  OwdTime after = G_GINT64_CONSTANT (2085978500) * OWD_NS_PER_S + 5; /* era 1 begins 2036-02-07T06:28:16 */

  (void) state;
  assert_true (owd_probe_stamp_encode (after, FALSE) >> 32 == 4);
  assert_int_equal (owd_probe_stamp_decode (owd_probe_stamp_encode (after, FALSE), FALSE, NOW), after);
  assert_int_equal (owd_probe_stamp_decode (owd_probe_stamp_encode (NOW, FALSE), FALSE, after), NOW);
}

static void
errors_are_rounded_up_and_never_zero (void **state)
{
  const gint64 ns[] = { 30, 1000, 15000, 999999, OWD_NS_PER_S, 16 * OWD_NS_PER_S, 60 * OWD_NS_PER_S };

  (void) state;
  for (guint i = 0; i < G_N_ELEMENTS (ns); i++) {
    OwdProbeError in = { .error_ns = ns[i], .synchronised = i & 1, .ptp = i & 2 };
    OwdProbeError out = owd_probe_error_decode (owd_probe_error_encode (&in));

    assert_true (out.error_ns >= ns[i]);
    assert_true ((double) out.error_ns <= (double) ns[i] * 1.01 + 1);
    assert_int_equal (out.synchronised, in.synchronised);
    assert_int_equal (!!out.ptp, !!in.ptp);
  }
  assert_int_not_equal (owd_probe_error_encode (&(OwdProbeError){ 0 }) & 0xff, 0);
  assert_true (owd_probe_error_decode (owd_probe_error_encode (&(OwdProbeError){ .error_ns = -1 })).error_ns
               >= 16 * OWD_NS_PER_S);
}

static void
seen_constant_error_estimates (void **state)
{
  const guint16 constants[] = { 0x0000, 0x8000, 0x4000, 0x0001, 0x8001 };

  (void) state;
  for (guint i = 0; i < G_N_ELEMENTS (constants); i++)
    assert_int_equal (owd_probe_error_decode (constants[i]).error_ns, -1);
  assert_true (owd_probe_error_decode (0x8001).synchronised);
  assert_int_equal (owd_probe_error_decode (0x3fff).error_ns, G_GINT64_CONSTANT (1000000000000000));
}

static void
error_estimate_follows_the_kernel (void **state)
{
  OwdProbeError e = owd_probe_error_from_kernel (0, 0x2001, 1500, 20000);

  (void) state;
  assert_true (e.synchronised);
  assert_int_equal (e.error_ns, 1520000);
  e = owd_probe_error_from_kernel (5, 0x0040, 16000000, 20000); /* TIME_ERROR, STA_UNSYNC */
  assert_false (e.synchronised);
  assert_true (e.error_ns >= 16 * OWD_NS_PER_S);
  assert_false (owd_probe_error_from_kernel (-1, 0, 0, 0).synchronised);
}

static void
mac_is_hmac_sha_256_truncated (void **state)
{
  guint8 secret[20], mac[OWD_PROBE_MAC], expected[OWD_PROBE_MAC];
  g_autoptr (OwdProbeKey) key = NULL;

  (void) state;
  memset (secret, 0x0b, sizeof secret); /* RFC 4231, case 1 */
  key = owd_probe_key_new ("rfc4231", secret, sizeof secret, NULL);
  from_hex ("b0344c61d8db38535ca8afceaf0bf12b", expected);
  for (gint again = 0; again < 2; again++) { /* the key is set up once */
    owd_probe_key_mac (key, (const guint8 *) "Hi There", 8, NULL, 0, mac);
    assert_memory_equal (mac, expected, sizeof mac);
    owd_probe_key_mac (key, (const guint8 *) "Hi ", 3, (const guint8 *) "There", 5, mac);
    assert_memory_equal (mac, expected, sizeof mac);
  }
}

/* ---- requests ---------------------------------------------------------------------------------- */

static void
open_request_has_the_layout_of_the_rfc (void **state)
{
  OwdProbeRequest r = { .seq = 7, .stamp = 0x0102030405060708, .error = 0x8055, .ssid = 0xabcd };
  guint8 buf[64], expected[44] = { 0 };

  (void) state;
  memset (buf, 0xff, sizeof buf);
  assert_int_equal (owd_probe_request_build (&r, buf, sizeof buf), 44);
  from_hex ("0000000701020304050607088055abcd", expected);
  assert_memory_equal (buf, expected, 44);
  assert_int_equal (owd_probe_request_build (&r, buf, 43), 0);
}

static void
authenticated_request_has_the_layout_of_the_rfc (void **state)
{
  g_autoptr (OwdProbeKey) key = a_key ("0123456789abcdef");
  OwdProbeRequest r = { .seq = 7, .stamp = 0x0102030405060708, .error = 0x8055, .ssid = 0xabcd, .key = key };
  guint8 buf[256], head[28] = { 0 }, mac[OWD_PROBE_MAC];

  (void) state;
  assert_int_equal (owd_probe_request_build (&r, buf, sizeof buf), 112);
  from_hex ("00000007000000000000000000000000", head);
  from_hex ("01020304050607088055abcd", head + 16);
  assert_memory_equal (buf, head, 28);
  assert_true (all_zero (buf + 28, 68));
  owd_probe_key_mac (key, buf, 96, NULL, 0, mac);
  assert_memory_equal (buf + 96, mac, sizeof mac);
}

static void
padding_makes_the_wished_size (void **state)
{
  OwdProbeRequest r = { .size = 576, .ask = OWD_PROBE_ASK_COS, .dscp = 46, .ecn = 1 };
  guint8 buf[600];
  OwdWire w;
  OwdProbeTlv tlv;

  (void) state;
  assert_int_equal (owd_probe_request_build (&r, buf, sizeof buf), 576);
  w = owd_wire (buf + 44, 576 - 44);
  assert_int_equal (owd_probe_tlv_next (&w, buf + 44, &tlv), OWD_STATUS_OK);
  assert_int_equal (tlv.type, OWD_PROBE_TLV_COS);
  assert_int_equal (tlv.flags, OWD_PROBE_TLV_U); /* a sender sets U */
  assert_int_equal (tlv.value[0], 46 << 2);
  assert_int_equal (tlv.value[2], 1 << 6);
  assert_int_equal (owd_probe_tlv_next (&w, buf + 44, &tlv), OWD_STATUS_OK);
  assert_int_equal (tlv.type, OWD_PROBE_TLV_PADDING);
  assert_int_equal (owd_probe_tlv_next (&w, buf + 44, &tlv), OWD_STATUS_END);
  /* two bytes are no TLV */
  r = (OwdProbeRequest){ .size = 46 };
  assert_int_equal (owd_probe_request_build (&r, buf, sizeof buf), 44);
  r.raw_padding = TRUE;
  assert_int_equal (owd_probe_request_build (&r, buf, sizeof buf), 46);
}

/* ---- the reflector ----------------------------------------------------------------------------- */

typedef struct {
  OwdProbeReflector *reflector;
  OwdProbeQuestion q;
  OwdProbeAnswer a;
  guint8 in[OWD_PROBE_MAX + 100], out[OWD_PROBE_MAX + 100];
} Bench;

static Bench *
a_bench (const OwdProbeReflectorConfig *cfg)
{
  Bench *b = g_new0 (Bench, 1);

  b->reflector = owd_probe_reflector_new (cfg);
  b->q = (OwdProbeQuestion){ .data = b->in,
                             .sport = 40000,
                             .dport = 862,
                             .t2 = NOW,
                             .t3 = NOW + 9000,
                             .ttl = 250,
                             .tos = 46 << 2 | 1,
                             .error = { .error_ns = 25000, .synchronised = TRUE } };
  assert_true (owd_addr_parse ("192.0.2.1", &b->q.src));
  assert_true (owd_addr_parse ("198.51.100.7", &b->q.dst));
  return b;
}

static void
free_bench (Bench *b)
{
  owd_probe_reflector_free (b->reflector);
  g_free (b);
}

static OwdProbeVerdict
ask (Bench *b)
{
  OwdProbeVerdict v;

  memset (b->out, 0xee, sizeof b->out);
  v = owd_probe_reflector_answer (b->reflector, &b->q, b->out, sizeof b->out, &b->a);
  if (v == OWD_PROBE_ANSWERED)
    assert_true (b->out[b->a.len] == 0xee); /* nothing behind the end */
  return v;
}

static OwdProbeVerdict
send_request (Bench *b, const OwdProbeRequest *r)
{
  b->q.len = owd_probe_request_build (r, b->in, sizeof b->in);
  return ask (b);
}

static const OwdProbeReflectorConfig plain = { .sessions = 64, .sources = 64 };

static void
open_reply_has_the_layout_of_the_rfc (void **state)
{
  OwdProbeRequest r
      = { .seq = 77, .stamp = owd_probe_stamp_encode (NOW - 5000, FALSE), .error = 0x0155, .ssid = 0xabcd };
  Bench *b = a_bench (&plain);
  OwdProbeReply reply;

  (void) state;
  assert_int_equal (send_request (b, &r), OWD_PROBE_ANSWERED);
  assert_int_equal (b->a.len, 44);
  assert_int_equal (owd_be32 (b->out), 0); /* its own count */
  assert_true (owd_be64 (b->out + 4) == owd_probe_stamp_encode (NOW + 9000, FALSE));
  assert_int_equal (owd_be16 (b->out + 14), 0xabcd);
  assert_true (owd_be64 (b->out + 16) == owd_probe_stamp_encode (NOW, FALSE));
  assert_int_equal (owd_be32 (b->out + 24), 77);
  assert_true (owd_be64 (b->out + 28) == r.stamp);
  assert_int_equal (owd_be16 (b->out + 36), 0x0155);
  assert_int_equal (b->out[40], 250);
  assert_true (all_zero (b->out + 41, 3));
  assert_int_equal (owd_probe_reply_parse (b->out, 44, NULL, &reply), OWD_STATUS_OK);
  assert_int_equal (reply.sender_seq, 77);
  assert_int_equal (reply.ttl, 250);
  assert_true (reply.error.synchronised && reply.error.error_ns >= 25000);
  send_request (b, &r);
  assert_int_equal (owd_be32 (b->out), 1);
  r.ssid++; /* another session */
  send_request (b, &r);
  assert_int_equal (owd_be32 (b->out), 0);
  free_bench (b);
}

static void
stateless_reply_copies_the_number (void **state)
{
  OwdProbeReflectorConfig cfg = plain;
  OwdProbeRequest r = { .seq = 77 };
  Bench *b;

  (void) state;
  cfg.stateless = TRUE;
  b = a_bench (&cfg);
  assert_int_equal (send_request (b, &r), OWD_PROBE_ANSWERED);
  assert_int_equal (owd_be32 (b->out), 77);
  free_bench (b);
}

static void
reply_comes_in_the_format_of_the_request (void **state)
{
  OwdProbeRequest r = { .stamp = owd_probe_stamp_encode (NOW, TRUE), .error = 0x4155 };
  Bench *b = a_bench (&plain);

  (void) state;
  assert_int_equal (send_request (b, &r), OWD_PROBE_ANSWERED);
  assert_true (owd_probe_error_decode (owd_be16 (b->out + 12)).ptp);
  assert_true (owd_be64 (b->out + 16) == owd_probe_stamp_encode (NOW, TRUE));
  free_bench (b);
}

static void
t3_never_lies_before_t2 (void **state)
{
  OwdProbeRequest r = { .seq = 1 };
  Bench *b = a_bench (&plain);

  (void) state;
  b->q.t3 = b->q.t2 - 1000;
  send_request (b, &r);
  assert_true (owd_be64 (b->out + 4) == owd_be64 (b->out + 16));
  free_bench (b);
}

static void
authenticated_both_ways (void **state)
{
  g_autoptr (OwdProbeKey) old = a_key ("an old key, 16 b");
  g_autoptr (OwdProbeKey) new = a_key ("a new key, 16 by");
  g_autoptr (OwdProbeKey) other = a_key ("somebody else's!");
  OwdProbeKey *keys[] = { new, old };
  OwdProbeReflectorConfig cfg = plain;
  OwdProbeRequest r = { .seq = 77,
                        .stamp = 99,
                        .error = 0x0155,
                        .key = old,
                        .size = 400,
                        .ask = OWD_PROBE_ASK_COS | OWD_PROBE_ASK_DIRECT,
                        .dscp = 46 };
  OwdProbeReply reply;
  Bench *b;

  (void) state;
  cfg.keys = keys;
  cfg.n_keys = 2;
  b = a_bench (&cfg);
  assert_int_equal (send_request (b, &r), OWD_PROBE_ANSWERED);
  assert_int_equal (b->a.len, b->q.len);
  assert_int_equal (owd_probe_reply_parse (b->out, b->a.len, old, &reply), OWD_STATUS_OK);
  assert_int_equal (reply.sender_seq, 77);
  assert_true (reply.sender_stamp == 99);
  assert_int_equal (reply.ttl, 250);
  assert_int_equal (reply.got, OWD_PROBE_ASK_COS | OWD_PROBE_ASK_DIRECT);
  assert_int_equal (reply.dscp_seen, 46);
  assert_int_equal (owd_probe_reply_parse (b->out, b->a.len, new, &reply), OWD_STATUS_CHECKSUM);
  /* a reply whose TLVs were touched keeps its stamps, and loses its TLVs */
  b->out[112 + 5] ^= 1;
  assert_int_equal (owd_probe_reply_parse (b->out, b->a.len, old, &reply), OWD_STATUS_OK);
  assert_int_equal (reply.got, 0);

  r.key = other;
  assert_int_equal (send_request (b, &r), OWD_PROBE_DROP_AUTH);
  r.key = NULL; /* unauthenticated, even if long enough */
  assert_int_equal (send_request (b, &r), OWD_PROBE_DROP_AUTH);
  r.size = 44;
  r.ask = 0;
  assert_int_equal (send_request (b, &r), OWD_PROBE_DROP_SHORT);
  /* each covered byte counts */
  r = (OwdProbeRequest){ .seq = 1, .key = new };
  for (guint i = 0; i < 112; i++) {
    b->q.len = owd_probe_request_build (&r, b->in, sizeof b->in);
    b->in[i] ^= 0x10;
    assert_int_equal (ask (b), OWD_PROBE_DROP_AUTH);
  }
  free_bench (b);
}

static void
tlvs_without_a_good_hmac_come_back_flagged (void **state)
{
  g_autoptr (OwdProbeKey) key = a_key ("0123456789abcdef");
  OwdProbeReflectorConfig cfg = plain;
  OwdProbeRequest r = { .key = key, .ask = OWD_PROBE_ASK_COS };
  Bench *b;

  (void) state;
  cfg.keys = &key;
  cfg.n_keys = 1;
  b = a_bench (&cfg);
  b->q.len = owd_probe_request_build (&r, b->in, sizeof b->in);
  b->in[112 + 4] ^= 0xfc; /* somebody changes the wished DSCP */
  assert_int_equal (ask (b), OWD_PROBE_ANSWERED);
  assert_true ((b->out[112] & OWD_PROBE_TLV_I) != 0);
  assert_int_equal (b->a.tos, 0); /* and the wish is not followed */
  free_bench (b);
}

static void
class_of_service_is_reported_and_followed (void **state)
{
  OwdProbeRequest r = { .ask = OWD_PROBE_ASK_COS, .dscp = 10, .ecn = 2 };
  OwdProbeReply reply;
  Bench *b = a_bench (&plain);

  (void) state;
  assert_int_equal (send_request (b, &r), OWD_PROBE_ANSWERED);
  assert_int_equal (b->a.tos, 10 << 2 | 2);
  /* DSCP1(6) DSCP2(6) EC2(2) RPD(2) EC1(2) RPE(2) reserved(12) */
  assert_int_equal (owd_be32 (b->out + 48), 10u << 26 | 46u << 20 | 1u << 18 | 0u << 16 | 2u << 14);
  assert_int_equal (owd_probe_reply_parse (b->out, b->a.len, NULL, &reply), OWD_STATUS_OK);
  assert_int_equal (reply.dscp_seen, 46);
  assert_int_equal (reply.ecn_seen, 1);
  free_bench (b);
}

static void
follow_up_brings_the_true_departure (void **state)
{
  OwdProbeRequest r = { .ask = OWD_PROBE_ASK_FOLLOW_UP | OWD_PROBE_ASK_DIRECT };
  OwdProbeReply reply;
  Bench *b = a_bench (&plain);

  (void) state;
  send_request (b, &r);
  assert_true (b->a.wants_stamp);
  assert_int_equal (owd_probe_reply_parse (b->out, b->a.len, NULL, &reply), OWD_STATUS_OK);
  assert_true (reply.follow_t3 == 0);
  assert_int_equal (reply.peer_rx, 1);
  assert_int_equal (reply.peer_tx, 0);
  owd_probe_reflector_departed (b->reflector, &b->a, NOW + 12345);
  b->a.generation++; /* a stamp for a session that gave way to another */
  owd_probe_reflector_departed (b->reflector, &b->a, NOW + 99999);
  send_request (b, &r);
  assert_int_equal (owd_probe_reply_parse (b->out, b->a.len, NULL, &reply), OWD_STATUS_OK);
  assert_int_equal (reply.follow_seq, 0);
  assert_int_equal (owd_probe_stamp_decode (reply.follow_t3, FALSE, NOW), NOW + 12345);
  assert_int_equal (reply.peer_rx, 2);
  assert_int_equal (reply.peer_tx, 1);
  free_bench (b);
}

/* Appends a TLV to the request in b. */
static void
add_tlv (Bench *b, guint8 flags, guint8 type, const char *hex)
{
  guint8 *p = b->in + b->q.len;

  p[0] = flags;
  p[1] = type;
  p[2] = 0;
  p[3] = (guint8) (strlen (hex) / 2);
  from_hex (hex, p + 4);
  b->q.len += 4 + strlen (hex) / 2;
}

static void
base_request (Bench *b)
{
  b->q.len = owd_probe_request_build (&(OwdProbeRequest){ .seq = 1, .stamp = 5 }, b->in, sizeof b->in);
}

/* Returns: the report that a query of this number brings. */
static OwdProbeArrivals
report (Bench *b, guint32 seq, guint32 run, guint32 first)
{
  OwdProbeReply reply;
  OwdProbeRequest r = { .seq = seq, .run = run, .first = first, .ask = OWD_PROBE_ASK_ARRIVALS };

  assert_int_equal (send_request (b, &r), OWD_PROBE_ANSWERED);
  assert_int_equal (b->a.len, 44 + 40);
  assert_int_equal (owd_probe_reply_parse (b->out, b->a.len, NULL, &reply), OWD_STATUS_OK);
  assert_true ((reply.got & OWD_PROBE_ASK_ARRIVALS) != 0);
  assert_int_equal (reply.arrivals.run, run);
  return reply.arrivals;
}

static void
arrivals_are_reported (void **state)
{
  const struct {
    guint32 seq, highest, arrived, copies, reordered, unsure;
  } steps[] = {
    { 5, 5, 1, 0, 0, 0 },           { 5, 5, 1, 1, 0, 0 },          { 7, 7, 2, 1, 0, 0 },
    { 6, 7, 3, 1, 1, 0 },           { 2, 7, 3, 1, 1, 0 }, /* below the first */
    { 3, 7, 4, 1, 2, 0 },           { 3, 7, 4, 2, 2, 0 },          { 1030, 1030, 5, 2, 2, 0 },
    { 7, 1030, 5, 3, 2, 0 }, /* just inside the window */
    { 6, 1030, 5, 3, 2, 1 }, /* just outside */
    { 100000, 100000, 6, 3, 2, 1 }, { 99999, 100000, 7, 3, 3, 1 },
  };
  Bench *b = a_bench (&plain);
  OwdProbeArrivals a;
  guint32 life;

  (void) state;
  send_request (b, &(OwdProbeRequest){ .seq = 4 }); /* before anybody asks */
  a = report (b, 1, 77, 3);
  life = a.life;
  assert_int_equal (a.arrived, 0);
  for (guint i = 0; i < G_N_ELEMENTS (steps); i++) {
    send_request (b, &(OwdProbeRequest){ .seq = steps[i].seq });
    a = report (b, 100001 + i, 77, 50); /* a query leaves no trace, and the first packet is what it was */
    assert_int_equal (a.life, life);
    assert_int_equal (a.first, 3);
    assert_int_equal (a.highest, steps[i].highest);
    assert_int_equal (a.arrived, steps[i].arrived);
    assert_int_equal (a.copies, steps[i].copies);
    assert_int_equal (a.reordered, steps[i].reordered);
    assert_int_equal (a.unsure, steps[i].unsure);
  }
  a = report (b, 0, 78, 0); /* another run of the sender */
  assert_true (a.life != life);
  assert_int_equal (a.arrived, 0);
  free_bench (b);
}

static void
somebody_elses_tlv_252_is_left_alone (void **state)
{
  Bench *b = a_bench (&plain);
  OwdProbeReply reply;

  (void) state;
  base_request (b);
  add_tlv (b, OWD_PROBE_TLV_U, OWD_PROBE_TLV_ARRIVALS,
           "4f574131"
           "0000000000000000000000000000000000000000000000000000000000000000");
  assert_int_equal (ask (b), OWD_PROBE_ANSWERED);
  assert_memory_equal (b->out + 44, b->in + 44, 40);
  assert_int_equal (owd_probe_reply_parse (b->out, b->a.len, NULL, &reply), OWD_STATUS_OK);
  assert_int_equal (reply.got & OWD_PROBE_ASK_ARRIVALS, 0);
  free_bench (b);
}

static void
unknown_tlvs_keep_their_flag (void **state)
{
  Bench *b = a_bench (&plain);

  (void) state;
  base_request (b);
  add_tlv (b, OWD_PROBE_TLV_U, 200, "0102030405");
  add_tlv (b, OWD_PROBE_TLV_U, OWD_PROBE_TLV_ACCESS, "50010000");
  assert_int_equal (ask (b), OWD_PROBE_ANSWERED);
  assert_int_equal (b->a.len, b->q.len);
  assert_memory_equal (b->out + 44, b->in + 44, 9);
  assert_int_equal (b->out[53], 0); /* the next one was understood */
  free_bench (b);
}

static void
seen_amplification_through_tlv_12 (void **state)
{
  Bench *b = a_bench (&plain);

  (void) state;
  base_request (b);
  add_tlv (b, OWD_PROBE_TLV_U, 12, "23280175000003e8"); /* 373 replies of 9000 bytes */
  assert_int_equal (ask (b), OWD_PROBE_ANSWERED);
  assert_int_equal (b->a.len, b->q.len);
  assert_memory_equal (b->out + 44, b->in + 44, 12);
  free_bench (b);
}

static void
seen_raw_padding_stays_raw (void **state)
{
  Bench *b = a_bench (&plain);
  OwdProbeReply reply;

  (void) state;
  base_request (b);
  b->q.len += 200; /* zeros, as TWAMP-Light pads */
  assert_int_equal (ask (b), OWD_PROBE_ANSWERED);
  assert_int_equal (b->a.len, 244);
  assert_true (all_zero (b->out + 44, 200));
  memset (b->in + 44, 'x', 200);
  assert_int_equal (ask (b), OWD_PROBE_ANSWERED);
  assert_memory_equal (b->out + 44, b->in + 44, 200);
  /* somebody else's reflector took our zeros for a malformed TLV */
  memset (b->out + 44, 0, 200);
  b->out[44] = OWD_PROBE_TLV_M;
  assert_int_equal (owd_probe_reply_parse (b->out, 244, NULL, &reply), OWD_STATUS_OK);
  assert_int_equal (reply.got, 0);
  free_bench (b);
}

static void
malformed_chain_is_flagged_where_it_breaks (void **state)
{
  Bench *b = a_bench (&plain);

  (void) state;
  base_request (b);
  add_tlv (b, OWD_PROBE_TLV_U, OWD_PROBE_TLV_PADDING, "0000");
  add_tlv (b, OWD_PROBE_TLV_U, OWD_PROBE_TLV_PADDING, "0000");
  b->in[44 + 6 + 3] = 3; /* one byte more than there is */
  assert_int_equal (ask (b), OWD_PROBE_ANSWERED);
  assert_int_equal (b->out[44], 0);
  assert_int_equal (b->out[50], OWD_PROBE_TLV_U | OWD_PROBE_TLV_M);
  free_bench (b);
}

static void
location_fills_ports_and_addresses (void **state)
{
  guint8 expected[4 + 4 + 4 + 16] = { 0 };
  Bench *b = a_bench (&plain);

  (void) state;
  base_request (b);
  add_tlv (b, OWD_PROBE_TLV_U, OWD_PROBE_TLV_LOCATION,
           "00000000"
           "80070010"
           "00000000000000000000000000000000");
  assert_int_equal (ask (b), OWD_PROBE_ANSWERED);
  from_hex ("00020018"
            "035e9c40"
            "00080010"
            "c0000201",
            expected);
  assert_memory_equal (b->out + 44, expected, sizeof expected);
  free_bench (b);
}

static void
seen_location_without_sub_headers (void **state)
{
  Bench *b = a_bench (&plain);

  (void) state;
  base_request (b);
  add_tlv (b, OWD_PROBE_TLV_U, OWD_PROBE_TLV_LOCATION,
           "00000000"
           "c0000201c6336407"); /* bare addresses */
  assert_int_equal (ask (b), OWD_PROBE_ANSWERED);
  assert_int_equal (b->out[44], OWD_PROBE_TLV_M);
  assert_int_equal (owd_be32 (b->out + 48), 862u << 16 | 40000);
  assert_memory_equal (b->out + 52, b->in + 52, 8);
  free_bench (b);
}

static void
destination_is_compared_and_return_path_refused (void **state)
{
  Bench *b = a_bench (&plain);

  (void) state;
  base_request (b);
  add_tlv (b, OWD_PROBE_TLV_U, OWD_PROBE_TLV_DESTINATION, "c6336407");
  add_tlv (b, OWD_PROBE_TLV_U, OWD_PROBE_TLV_DESTINATION, "c6336408");
  add_tlv (b, OWD_PROBE_TLV_U, OWD_PROBE_TLV_RETURN_PATH,
           "00020004"
           "cb007101"); /* reply to somebody else */
  assert_int_equal (ask (b), OWD_PROBE_ANSWERED);
  assert_int_equal (b->out[44], 0);
  assert_int_equal (b->out[52], OWD_PROBE_TLV_U);
  assert_int_equal (b->out[60], OWD_PROBE_TLV_U);
  base_request (b);
  add_tlv (b, OWD_PROBE_TLV_U, OWD_PROBE_TLV_RETURN_PATH,
           "00010004"
           "00000000");
  assert_int_equal (ask (b), OWD_PROBE_DROP_ASKED);
  free_bench (b);
}

static void
seen_short_requests (void **state)
{
  OwdProbeReflectorConfig cfg = plain;
  OwdPrefix allow;
  OwdProbeReply reply;
  Bench *b = a_bench (&plain);

  (void) state;
  base_request (b);
  b->in[12] = 0;
  for (b->q.len = 0; b->q.len < 41; b->q.len++)
    assert_int_equal (ask (b), OWD_PROBE_DROP_SHORT);
  for (; b->q.len <= 44; b->q.len++) { /* all that TWAMP says has its place in as many bytes */
    assert_int_equal (ask (b), OWD_PROBE_ANSWERED);
    assert_int_equal (b->a.len, b->q.len);
    assert_int_equal (owd_probe_reply_parse (b->out, b->a.len, NULL, &reply), OWD_STATUS_OK);
    assert_true (reply.sender_stamp == 5);
    assert_int_equal (reply.ttl, b->q.ttl);
  }
  free_bench (b);
  /* wished for, and only for those listed: zero-filled to the base packet */
  assert_true (owd_prefix_parse ("192.0.2.0/24", &allow));
  cfg.answer_short = TRUE;
  b = a_bench (&cfg);
  base_request (b);
  b->q.len = 14;
  assert_int_equal (ask (b), OWD_PROBE_DROP_SHORT);
  free_bench (b);
  cfg.allow = &allow;
  cfg.n_allow = 1;
  b = a_bench (&cfg);
  base_request (b);
  b->q.len = 14;
  memset (b->in + 14, 0xff, 100); /* not part of it */
  assert_int_equal (ask (b), OWD_PROBE_ANSWERED);
  assert_int_equal (b->a.len, 44);
  assert_int_equal (owd_be16 (b->out + 14), 0);
  assert_int_equal (owd_probe_reply_parse (b->out, b->a.len, NULL, &reply), OWD_STATUS_OK);
  assert_true (reply.sender_stamp == 5);
  free_bench (b);
}

/* TWAMP pads with random bytes from the 15th on: neither a session identifier, nor TLVs, however they look. */
static void
seen_random_padding (void **state)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (862);
  Bench *b = a_bench (&plain);

  (void) state;
  for (guint32 i = 0; i < 50; i++) {
    base_request (b);
    b->in[3] = (guint8) i;
    add_tlv (b, OWD_PROBE_TLV_U, OWD_PROBE_TLV_COS, "b8000000");
    add_tlv (b, OWD_PROBE_TLV_U, OWD_PROBE_TLV_RETURN_PATH,
             "00010004"
             "00000000");
    if (i % 3 == 0)
      b->q.len = 41 + i % 4;
    for (guint k = 14; k < 44; k++)
      b->in[k] = (guint8) g_rand_int (rand);
    assert_int_equal (ask (b), OWD_PROBE_ANSWERED);
    assert_int_equal (b->a.len, b->q.len);
    assert_int_equal (owd_be32 (b->out), i); /* one session */
    assert_int_equal (owd_be16 (b->out + 14), 0);
    assert_int_equal (b->a.tos, 0);
    if (b->q.len > 44)
      assert_memory_equal (b->out + 44, b->in + 44, b->q.len - 44);
  }
  free_bench (b);
}

static void
seen_replies_of_38_bytes (void **state)
{
  guint8 reply[38] = { 0 };
  OwdProbeReply r;

  (void) state;
  reply[27] = 9;
  assert_int_equal (owd_probe_reply_parse (reply, 38, NULL, &r), OWD_STATUS_OK);
  assert_int_equal (r.ttl, -1);
  assert_int_equal (r.sender_seq, 9);
  assert_int_equal (owd_probe_reply_parse (reply, 37, NULL, &r), OWD_STATUS_SHORT);
  assert_int_equal (owd_probe_reply_parse (reply, 14, NULL, &r), OWD_STATUS_SHORT); /* an echo of 14 bytes */
}

static void
answers_are_never_longer_than_questions (void **state)
{
  Bench *b = a_bench (&plain);
  guint32 x = 1;

  (void) state;
  for (guint i = 0; i < 20000; i++) {
    b->q.len = i % 300;
    for (guint k = 0; k < b->q.len; k++)
      b->in[k] = (guint8) ((x = x * 1664525 + 1013904223) >> 24);
    if (i % 3 == 0 && b->q.len > 48)
      memcpy (b->in + 44, "\x80\x02\x00", 3); /* often something like a TLV */
    if (ask (b) == OWD_PROBE_ANSWERED)
      assert_true (b->a.len <= b->q.len);
  }
  b->q.len = OWD_PROBE_MAX + 1;
  assert_int_equal (ask (b), OWD_PROBE_DROP_LONG);
  free_bench (b);
}

static void
only_listed_sources_are_answered (void **state)
{
  OwdPrefix allow[2];
  OwdProbeReflectorConfig cfg = plain;
  Bench *b;

  (void) state;
  assert_true (owd_prefix_parse ("192.0.2.0/25", &allow[0]));
  assert_true (owd_prefix_parse ("2001:db8::/33", &allow[1]));
  cfg.allow = allow;
  cfg.n_allow = 2;
  b = a_bench (&cfg);
  base_request (b);
  assert_int_equal (ask (b), OWD_PROBE_ANSWERED);
  assert_true (owd_addr_parse ("192.0.2.129", &b->q.src));
  assert_int_equal (ask (b), OWD_PROBE_DROP_SOURCE);
  assert_true (owd_addr_parse ("2001:db8:7fff::1", &b->q.src));
  assert_int_equal (ask (b), OWD_PROBE_ANSWERED);
  assert_true (owd_addr_parse ("2001:db8:8000::1", &b->q.src));
  assert_int_equal (ask (b), OWD_PROBE_DROP_SOURCE);
  free_bench (b);
}

static void
rate_is_limited_per_source (void **state)
{
  OwdProbeReflectorConfig cfg = plain;
  guint answered = 0;
  Bench *b;

  (void) state;
  cfg.rate = 100;
  b = a_bench (&cfg);
  base_request (b);
  for (guint i = 0; i < 10000; i++) { /* 1000 per second for 10 s */
    b->q.t2 += OWD_NS_PER_MS;
    answered += ask (b) == OWD_PROBE_ANSWERED;
  }
  assert_in_range (answered, 1090, 1110); /* 100 saved up, then 100 per second */
  assert_true (owd_addr_parse ("192.0.2.2", &b->q.src));
  assert_int_equal (ask (b), OWD_PROBE_ANSWERED);
  assert_true (owd_probe_reflector_count (b->reflector, OWD_PROBE_DROP_RATE) == 10000 - answered);
  free_bench (b);
}

static void
invented_sources_only_evict_the_idle (void **state)
{
  OwdProbeRequest r = { .seq = 0 };
  OwdAddr honest;
  Bench *b = a_bench (&plain);
  guint fresh = 0;

  (void) state;
  honest = b->q.src;
  for (guint i = 0; i < 2000; i++) {
    b->q.t2 += 1000;
    b->q.src = honest;
    send_request (b, &r);
    fresh += owd_be32 (b->out) == 0;
    b->q.src.b[14] = (guint8) (i >> 8);
    b->q.src.b[13] = (guint8) i;
    send_request (b, &r);
  }
  assert_int_equal (fresh, 1); /* a session in use keeps counting */
  free_bench (b);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (stamps_go_there_and_back),
    cmocka_unit_test (stamps_cross_the_era_of_2036),
    cmocka_unit_test (errors_are_rounded_up_and_never_zero),
    cmocka_unit_test (seen_constant_error_estimates),
    cmocka_unit_test (error_estimate_follows_the_kernel),
    cmocka_unit_test (mac_is_hmac_sha_256_truncated),
    cmocka_unit_test (open_request_has_the_layout_of_the_rfc),
    cmocka_unit_test (authenticated_request_has_the_layout_of_the_rfc),
    cmocka_unit_test (padding_makes_the_wished_size),
    cmocka_unit_test (open_reply_has_the_layout_of_the_rfc),
    cmocka_unit_test (stateless_reply_copies_the_number),
    cmocka_unit_test (reply_comes_in_the_format_of_the_request),
    cmocka_unit_test (t3_never_lies_before_t2),
    cmocka_unit_test (authenticated_both_ways),
    cmocka_unit_test (tlvs_without_a_good_hmac_come_back_flagged),
    cmocka_unit_test (class_of_service_is_reported_and_followed),
    cmocka_unit_test (follow_up_brings_the_true_departure),
    cmocka_unit_test (arrivals_are_reported),
    cmocka_unit_test (somebody_elses_tlv_252_is_left_alone),
    cmocka_unit_test (unknown_tlvs_keep_their_flag),
    cmocka_unit_test (seen_amplification_through_tlv_12),
    cmocka_unit_test (seen_raw_padding_stays_raw),
    cmocka_unit_test (malformed_chain_is_flagged_where_it_breaks),
    cmocka_unit_test (location_fills_ports_and_addresses),
    cmocka_unit_test (seen_location_without_sub_headers),
    cmocka_unit_test (destination_is_compared_and_return_path_refused),
    cmocka_unit_test (seen_short_requests),
    cmocka_unit_test (seen_random_padding),
    cmocka_unit_test (seen_replies_of_38_bytes),
    cmocka_unit_test (answers_are_never_longer_than_questions),
    cmocka_unit_test (only_listed_sources_are_answered),
    cmocka_unit_test (rate_is_limited_per_source),
    cmocka_unit_test (invented_sources_only_evict_the_idle),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
