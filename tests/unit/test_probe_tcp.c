/* SPDX-License-Identifier: Apache-2.0
 *
 * TCP segments that measure: their bytes, and which answers count.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "owd-probe.h"

static OwdProbeSegment
segment (const char *src, const char *dst)
{
  OwdProbeSegment s = { .sport = 20000, .dport = 80 };

  assert_true (owd_addr_parse (src, &s.src));
  assert_true (owd_addr_parse (dst, &s.dst));
  return s;
}

static void
header_has_the_layout_of_the_rfc (void **state)
{
  /* 192.0.2.1:20000 > 198.51.100.7:80, seq 1, ack 2, ACK, window 1024 */
  static const guint8 wanted[] = { 0x4e, 0x20, 0x00, 0x50, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 0x04, 0x00 };
  OwdProbeSegment s = segment ("192.0.2.1", "198.51.100.7");
  guint8 buf[64];
  guint32 sum = 0;

  (void) state;
  s.seq = 1;
  s.ack = 2;
  s.bits = OWD_PROBE_TCP_ACK_BIT;
  assert_int_equal (owd_probe_segment_build (&s, buf, 19), 0);
  assert_int_equal (owd_probe_segment_build (&s, buf, sizeof buf), 20);
  assert_memory_equal (buf, wanted, sizeof wanted);
  /* c000+0201 + c633+6407 + 6 + 20, then the segment: all ones with the checksum in place */
  sum = 0xc000 + 0x0201 + 0xc633 + 0x6407 + 6 + 20;
  for (guint i = 0; i < 20; i += 2)
    sum += (guint32) (buf[i] << 8 | buf[i + 1]);
  assert_int_equal ((sum & 0xffff) + (sum >> 16), 0xffff);
}

static void
checksum_holds_for_ipv6_and_odd_payloads (void **state)
{
  OwdProbeSegment s = segment ("2001:db8::1", "2001:db8::2");
  guint8 buf[64] = { 0 };
  guint32 sum = 0x2001 + 0xdb8 + 1 + 0x2001 + 0xdb8 + 2 + 6 + 27;

  (void) state;
  s.bits = OWD_PROBE_TCP_SYN_BIT;
  s.size = 7;
  assert_int_equal (owd_probe_segment_build (&s, buf, sizeof buf), 27);
  for (guint i = 0; i < 28; i += 2)
    sum += (guint32) (buf[i] << 8 | buf[i + 1]);
  assert_int_equal ((sum & 0xffff) + (sum >> 16), 0xffff);
}

static void
parses_what_it_builds (void **state)
{
  OwdProbeSegment s = segment ("192.0.2.1", "198.51.100.7"), read = { 0 };
  guint8 buf[20 + 20 + 5] = { 0x45 };

  (void) state;
  owd_probe_segment_number (&s, OWD_PROBE_TCP_SYN, 0xfffffff0, 32); /* numbers wrap */
  s.size = 5;
  assert_int_equal (owd_probe_segment_build (&s, buf + 20, sizeof buf - 20), 25);
  assert_int_equal (owd_probe_segment_parse (buf, sizeof buf, TRUE, &read), OWD_STATUS_OK);
  assert_int_equal (read.seq, 16);
  assert_int_equal (read.sport, 20000);
  assert_int_equal (read.dport, 80);
  assert_int_equal (read.bits, OWD_PROBE_TCP_SYN_BIT);
  assert_int_equal (owd_probe_segment_parse (buf + 20, 25, FALSE, &read), OWD_STATUS_OK);
  for (gsize len = 0; len < 40; len++)
    assert_int_equal (owd_probe_segment_parse (buf, len, TRUE, &read), OWD_STATUS_SHORT);
  buf[0] = 0x44; /* an IP header of 16 bytes */
  assert_int_equal (owd_probe_segment_parse (buf, sizeof buf, TRUE, &read), OWD_STATUS_MALFORMED);
  buf[0] = 0x65;
  assert_int_equal (owd_probe_segment_parse (buf, sizeof buf, TRUE, &read), OWD_STATUS_MALFORMED);
  buf[0] = 0x45;
  buf[32] = 0x40; /* a TCP header of 16 bytes */
  assert_int_equal (owd_probe_segment_parse (buf, sizeof buf, TRUE, &read), OWD_STATUS_MALFORMED);
}

static void
answers_name_their_probe (void **state)
{
  const guint32 token = 0xfffffffe;
  OwdProbeSegment probe = { 0 };
  guint32 number, flags;

  (void) state;
  owd_probe_segment_number (&probe, OWD_PROBE_TCP_ACK, token, 5);
  {
    OwdProbeSegment rst = { .seq = probe.ack, .bits = OWD_PROBE_TCP_RST_BIT };
    OwdProbeSegment challenge = { .seq = probe.ack, .bits = OWD_PROBE_TCP_ACK_BIT };

    assert_true (owd_probe_segment_answers (&rst, OWD_PROBE_TCP_ACK, token, 0, &number, &flags));
    assert_int_equal (number, 5);
    assert_int_equal (flags, OWD_PROBE_RESET);
    assert_false (owd_probe_segment_answers (&rst, OWD_PROBE_TCP_SYN, token, 0, &number, &flags));
    assert_false (owd_probe_segment_answers (&challenge, OWD_PROBE_TCP_ACK, token, 0, &number, &flags));
  }
  owd_probe_segment_number (&probe, OWD_PROBE_TCP_SYN, token, 7);
  {
    OwdProbeSegment closed = { .ack = probe.seq + 1, .bits = OWD_PROBE_TCP_RST_BIT | OWD_PROBE_TCP_ACK_BIT };
    OwdProbeSegment open = { .seq = 99, .ack = probe.seq + 1, .bits = OWD_PROBE_TCP_SYN_BIT | OWD_PROBE_TCP_ACK_BIT };
    OwdProbeSegment crossing = { .seq = 99, .bits = OWD_PROBE_TCP_SYN_BIT };

    assert_true (owd_probe_segment_answers (&closed, OWD_PROBE_TCP_SYN, token, 0, &number, &flags));
    assert_int_equal (number, 7);
    assert_int_equal (flags, OWD_PROBE_RESET);
    assert_true (owd_probe_segment_answers (&open, OWD_PROBE_TCP_SYN, token, 0, &number, &flags));
    assert_int_equal (number, 7);
    assert_int_equal (flags, OWD_PROBE_SYN_ACK);
    closed.ack += 100; /* a payload is acknowledged, too */
    assert_true (owd_probe_segment_answers (&closed, OWD_PROBE_TCP_SYN, token, 100, &number, &flags));
    assert_int_equal (number, 7);
    assert_true (owd_probe_segment_answers (&open, OWD_PROBE_TCP_SYN, token, 100, &number, &flags));
    assert_int_equal (number, 7);
    assert_false (owd_probe_segment_answers (&crossing, OWD_PROBE_TCP_SYN, token, 0, &number, &flags));
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (header_has_the_layout_of_the_rfc),
    cmocka_unit_test (checksum_holds_for_ipv6_and_odd_payloads),
    cmocka_unit_test (parses_what_it_builds),
    cmocka_unit_test (answers_name_their_probe),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
