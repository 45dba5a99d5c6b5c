/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "owd-capture.h"

/* ---- building bytes ---------------------------------------------------------------------------- */

static void
put (GByteArray *a, const void *bytes, gsize n)
{
  g_byte_array_append (a, bytes, (guint) n);
}

static void
put_n (GByteArray *a, guint64 value, guint n, gboolean big_endian)
{
  guint8 b[8];

  for (guint i = 0; i < n; i++)
    b[big_endian ? n - 1 - i : i] = (guint8) (value >> (8 * i));
  put (a, b, n);
}

static void
be16 (GByteArray *a, guint value)
{
  put_n (a, value, 2, TRUE);
}

static void
put_padded (GByteArray *a, const GByteArray *bytes)
{
  put (a, bytes->data, bytes->len);
  put (a, "\0\0\0", (4 - bytes->len % 4) % 4);
}

/* UDP 1234 -> 2055 holding "text". */
static void
put_udp (GByteArray *a, const char *text)
{
  be16 (a, 1234);
  be16 (a, 2055);
  be16 (a, 8 + (guint) strlen (text));
  be16 (a, 0);
  put (a, text, strlen (text));
}

static void
put_ipv4 (GByteArray *a, guint fragment, guint proto, guint option_words, const GByteArray *payload)
{
  guint header = 20 + 4 * option_words;

  put_n (a, 0x40 | header / 4, 1, TRUE);
  put_n (a, 0, 1, TRUE);
  be16 (a, header + payload->len);
  be16 (a, 7);
  be16 (a, fragment);
  put_n (a, 64, 1, TRUE);
  put_n (a, proto, 1, TRUE);
  be16 (a, 0);
  put (a, "\xc0\x00\x02\x01\xc6\x33\x64\x07", 8);
  for (guint i = 0; i < option_words; i++)
    put (a, "\1\1\1\1", 4);
  put (a, payload->data, payload->len);
}

static void
put_ipv6 (GByteArray *a, guint next, const GByteArray *payload)
{
  put (a, "\x60\0\0\0", 4);
  be16 (a, payload->len);
  put_n (a, next, 1, TRUE);
  put_n (a, 64, 1, TRUE);
  put (a, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16);
  put (a, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2", 16);
  put (a, payload->data, payload->len);
}

static GByteArray *
udp (const char *text)
{
  GByteArray *a = g_byte_array_new ();

  put_udp (a, text);
  return a;
}

static GByteArray *
ipv4_udp (const char *text)
{
  g_autoptr (GByteArray) u = udp (text);
  GByteArray *a = g_byte_array_new ();

  put_ipv4 (a, 0, 17, 0, u);
  return a;
}

static GByteArray *
ipv6_udp (const char *text)
{
  g_autoptr (GByteArray) u = udp (text);
  GByteArray *a = g_byte_array_new ();

  put_ipv6 (a, 17, u);
  return a;
}

/* head in front of ip, some trailing bytes behind it as Ethernet pads. */
static GByteArray *
framed (const void *head, gsize n, const GByteArray *ip, guint trailer)
{
  GByteArray *a = g_byte_array_new ();

  put (a, head, n);
  put (a, ip->data, ip->len);
  for (guint i = 0; i < trailer; i++)
    put (a, "\xee", 1);
  return a;
}

static void
expect_udp (guint link_type, const GByteArray *packet, const char *text, const char *src)
{
  /* exactly as long as captured, so that ASan sees a step too far */
  g_autofree guint8 *exact = g_memdup2 (packet->data, packet->len);
  char buf[OWD_ADDR_TEXT];
  OwdUdp u = { 0 };

  assert_int_equal (owd_packet_udp (link_type, exact, packet->len, packet->len, &u), OWD_PACKET_UDP);
  assert_int_equal (u.sport, 1234);
  assert_int_equal (u.dport, 2055);
  assert_int_equal (u.len, strlen (text));
  assert_memory_equal (u.payload, text, u.len);
  assert_string_equal (owd_addr_text (&u.src, buf), src);
  /* whatever was cut away: never a datagram, never a byte too far */
  for (gsize cut = 0; cut < packet->len; cut++) {
    g_autofree guint8 *part = g_memdup2 (packet->data, cut);
    OwdPacketVerdict v = owd_packet_udp (link_type, part, cut, packet->len, &u);

    if (v == OWD_PACKET_UDP) /* only padding was cut */
      assert_memory_equal (u.payload, text, u.len);
    else
      assert_int_equal (v, OWD_PACKET_TRUNCATED);
    assert_int_not_equal (owd_packet_udp (link_type, part, cut, cut, &u), OWD_PACKET_TRUNCATED);
  }
}

/* ---- packets ----------------------------------------------------------------------------------- */

static void
every_link_type (void **state)
{
  g_autoptr (GByteArray) v4 = ipv4_udp ("hello"), v6 = ipv6_udp ("hello6");
  static const struct {
    guint link_type, head_len;
    const char *head4, *head6;
  } links[] = {
    { OWD_LINK_ETHERNET, 14, "ddddddssssss\x08\x00", "ddddddssssss\x86\xdd" },
    { OWD_LINK_ETHERNET, 18, "ddddddssssss\x81\x00\x00\x05\x08\x00", "ddddddssssss\x81\x00\x00\x05\x86\xdd" },
    { OWD_LINK_ETHERNET, 22, "ddddddssssss\x88\xa8\x00\x05\x81\x00\x00\x06\x08\x00",
      "ddddddssssss\x91\x00\x00\x05\x81\x00\x00\x06\x86\xdd" },
    { OWD_LINK_SLL, 16, "\0\0\0\1\0\6aaaaaaaa\x08\x00", "\0\0\0\1\0\6aaaaaaaa\x86\xdd" },
    { OWD_LINK_SLL2, 20, "\x08\x00\0\0\0\0\0\1\0\1\0\6aaaaaaaa", "\x86\xdd\0\0\0\0\0\1\0\1\0\6aaaaaaaa" },
    { OWD_LINK_NULL, 4, "\2\0\0\0", "\x1e\0\0\0" },
    { OWD_LINK_NULL, 4, "\0\0\0\2", "\0\0\0\x18" },
    { OWD_LINK_LOOP, 4, "\0\0\0\2", "\0\0\0\x0a" },
    { OWD_LINK_RAW, 0, "", "" },
    { OWD_LINK_RAW_BSD, 0, "", "" },
    { OWD_LINK_RAW_OPENBSD, 0, "", "" },
  };

  (void) state;
  for (gsize i = 0; i < G_N_ELEMENTS (links); i++) {
    g_autoptr (GByteArray) a4 = framed (links[i].head4, links[i].head_len, v4, 3);
    g_autoptr (GByteArray) a6 = framed (links[i].head6, links[i].head_len, v6, 0);

    expect_udp (links[i].link_type, a4, "hello", "192.0.2.1");
    expect_udp (links[i].link_type, a6, "hello6", "2001:db8::1");
  }
  expect_udp (OWD_LINK_IPV4, v4, "hello", "192.0.2.1");
  expect_udp (OWD_LINK_IPV6, v6, "hello6", "2001:db8::1");
}

static OwdPacketVerdict
verdict (guint link_type, const GByteArray *packet)
{
  OwdUdp u;

  return owd_packet_udp (link_type, packet->data, packet->len, packet->len, &u);
}

static void
other_packets (void **state)
{
  g_autoptr (GByteArray) u = udp ("x"), v4 = ipv4_udp ("x");
  g_autoptr (GByteArray) tcp = g_byte_array_new (), first = g_byte_array_new (), later = g_byte_array_new ();
  g_autoptr (GByteArray) arp = framed ("ddddddssssss\x08\x06", 14, v4, 0);

  (void) state;
  put_ipv4 (tcp, 0, 6, 0, u);
  put_ipv4 (first, 0x2000, 17, 0, u);
  put_ipv4 (later, 0x0001, 17, 0, u);
  assert_int_equal (verdict (OWD_LINK_RAW, tcp), OWD_PACKET_OTHER);
  assert_int_equal (verdict (OWD_LINK_RAW, first), OWD_PACKET_FRAGMENT);
  assert_int_equal (verdict (OWD_LINK_RAW, later), OWD_PACKET_FRAGMENT);
  assert_int_equal (verdict (OWD_LINK_ETHERNET, arp), OWD_PACKET_OTHER);
  assert_int_equal (verdict (147, v4), OWD_PACKET_LINK);
}

static void
headers_with_options (void **state)
{
  g_autoptr (GByteArray) u = udp ("options"), v4 = g_byte_array_new (), chain = g_byte_array_new ();
  g_autoptr (GByteArray) v6 = g_byte_array_new (), fragment = g_byte_array_new (), v6_fragment = g_byte_array_new ();
  g_autoptr (GByteArray) atomic = g_byte_array_new (), v6_atomic = g_byte_array_new ();

  (void) state;
  put_ipv4 (v4, 0x4000, 17, 3, u);
  expect_udp (OWD_LINK_RAW, v4, "options", "192.0.2.1");

  /* hop-by-hop of 16 bytes, AH of 12, destination options of 8, then UDP */
  put (chain, "\x33\1\1\4\0\0\0\0\1\4\0\0\0\0\0\0", 16);
  put (chain, "\x3c\1\0\0\0\0\0\1\0\0\0\1", 12);
  put (chain, "\x11\0\1\4\0\0\0\0", 8);
  put (chain, u->data, u->len);
  put_ipv6 (v6, 0, chain);
  expect_udp (OWD_LINK_IPV6, v6, "options", "2001:db8::1");

  put (fragment, "\x11\0\0\1\0\0\0\7", 8);
  put (fragment, u->data, u->len);
  put_ipv6 (v6_fragment, 44, fragment);
  assert_int_equal (verdict (OWD_LINK_IPV6, v6_fragment), OWD_PACKET_FRAGMENT);
  put (atomic, "\x11\0\0\0\0\0\0\7", 8);
  put (atomic, u->data, u->len);
  put_ipv6 (v6_atomic, 44, atomic);
  expect_udp (OWD_LINK_IPV6, v6_atomic, "options", "2001:db8::1");
}

static void
lying_lengths (void **state)
{
  g_autoptr (GByteArray) v4 = ipv4_udp ("hello");

  (void) state;
  v4->data[24] = 0xff; /* UDP length past the IP datagram */
  assert_int_equal (verdict (OWD_LINK_RAW, v4), OWD_PACKET_MALFORMED);
  v4->data[24] = 0;
  v4->data[25] = 7; /* shorter than its own header */
  assert_int_equal (verdict (OWD_LINK_RAW, v4), OWD_PACKET_MALFORMED);
  v4->data[25] = 13;
  assert_int_equal (verdict (OWD_LINK_RAW, v4), OWD_PACKET_UDP);
  v4->data[0] = 0x44; /* IP header of 16 bytes */
  assert_int_equal (verdict (OWD_LINK_RAW, v4), OWD_PACKET_MALFORMED);
  v4->data[0] = 0x45;
  v4->data[3] = 19; /* total length below the header */
  assert_int_equal (verdict (OWD_LINK_RAW, v4), OWD_PACKET_MALFORMED);
  v4->data[3] = 0; /* left to the card: the capture rules */
  assert_int_equal (verdict (OWD_LINK_RAW, v4), OWD_PACKET_UDP);
}

static void
export_versions (void **state)
{
  (void) state;
  assert_true (owd_packet_is_export ((const guint8 *) "\0\5", 2));
  assert_true (owd_packet_is_export ((const guint8 *) "\0\11", 2));
  assert_true (owd_packet_is_export ((const guint8 *) "\0\12", 2));
  assert_false (owd_packet_is_export ((const guint8 *) "\0\7", 2));
  assert_false (owd_packet_is_export ((const guint8 *) "\0\0\0\5", 4)); /* sFlow */
  assert_false (owd_packet_is_export ((const guint8 *) "\0", 1));
}

/* ---- captures ---------------------------------------------------------------------------------- */

static void
pcap_header (GByteArray *a, guint32 magic, gboolean big_endian, guint link_type)
{
  put_n (a, magic, 4, big_endian);
  put_n (a, 2, 2, big_endian);
  put_n (a, 4, 2, big_endian);
  put_n (a, 0, 8, big_endian);
  put_n (a, 65535, 4, big_endian);
  put_n (a, link_type, 4, big_endian);
}

static void
pcap_packet (GByteArray *a, gboolean big_endian, guint32 s, guint32 frac, const GByteArray *data)
{
  put_n (a, s, 4, big_endian);
  put_n (a, frac, 4, big_endian);
  put_n (a, data->len, 4, big_endian);
  put_n (a, data->len, 4, big_endian);
  put (a, data->data, data->len);
}

static void
expect_packet (OwdCapture *capture, OwdTime time_ns, guint link_type, const GByteArray *data)
{
  g_autoptr (GError) error = NULL;
  OwdCapturePacket p;

  assert_int_equal (owd_capture_next (capture, &p, &error), OWD_STATUS_OK);
  assert_null (error);
  assert_int_equal (p.time_ns, time_ns);
  assert_int_equal (p.link_type, link_type);
  assert_int_equal (p.caplen, data->len);
  assert_memory_equal (p.data, data->data, data->len);
}

static void
expect_end (OwdCapture *capture)
{
  g_autoptr (GError) error = NULL;
  OwdCapturePacket p;

  assert_int_equal (owd_capture_next (capture, &p, &error), OWD_STATUS_END);
  assert_null (error);
}

static OwdCapture *
open_bytes (const GByteArray *a)
{
  g_autoptr (GError) error = NULL;
  OwdCapture *capture = owd_capture_open_memory ("built", a->data, a->len, &error);

  assert_null (error);
  assert_non_null (capture);
  return capture;
}

static void
pcap_flavours (void **state)
{
  g_autoptr (GByteArray) one = ipv4_udp ("one"), two = ipv6_udp ("number two");

  (void) state;
  for (guint i = 0; i < 4; i++) {
    gboolean big_endian = i & 1, ns = i >> 1;
    g_autoptr (GByteArray) a = g_byte_array_new ();
    g_autoptr (OwdCapture) capture = NULL;

    /* upper bits of the link type: length of the frame check sequence */
    pcap_header (a, ns ? 0xa1b23c4d : 0xa1b2c3d4, big_endian, 0x24000000 | OWD_LINK_RAW);
    pcap_packet (a, big_endian, 0x80000001u, 7, one);
    pcap_packet (a, big_endian, 5, 999999, two);
    capture = open_bytes (a);
    expect_packet (capture, 0x80000001 * OWD_NS_PER_S + (ns ? 7 : 7000), OWD_LINK_RAW, one);
    expect_packet (capture, 5 * OWD_NS_PER_S + (ns ? 999999 : 999999000), OWD_LINK_RAW, two);
    expect_end (capture);
    expect_end (capture);
  }
}

static void
ng_block (GByteArray *a, gboolean big_endian, guint32 type, const GByteArray *body)
{
  guint32 total = 12 + (body->len + 3) / 4 * 4;

  put_n (a, type, 4, big_endian);
  put_n (a, total, 4, big_endian);
  put_padded (a, body);
  put_n (a, total, 4, big_endian);
}

static void
ng_section (GByteArray *a, gboolean big_endian)
{
  g_autoptr (GByteArray) body = g_byte_array_new ();

  put_n (body, 0x1a2b3c4d, 4, big_endian);
  put_n (body, 1, 2, big_endian);
  put_n (body, 0, 2, big_endian);
  put_n (body, G_MAXUINT64, 8, big_endian);
  put_n (body, 4, 2, big_endian); /* shb_userappl */
  put_n (body, 5, 2, big_endian);
  put (body, "tests\0\0\0", 8);
  put_n (body, 0, 4, big_endian);
  ng_block (a, big_endian, 0x0a0d0d0a, body);
}

/* resolution, offset_s: 0 leaves the option out */
static void
ng_interface (GByteArray *a, gboolean big_endian, guint link_type, guint32 snaplen, guint8 resolution, gint64 offset_s)
{
  g_autoptr (GByteArray) body = g_byte_array_new ();

  put_n (body, link_type, 2, big_endian);
  put_n (body, 0, 2, big_endian);
  put_n (body, snaplen, 4, big_endian);
  put_n (body, 2, 2, big_endian); /* if_name */
  put_n (body, 3, 2, big_endian);
  put (body, "eth\0", 4);
  if (resolution != 0) {
    put_n (body, 9, 2, big_endian);
    put_n (body, 1, 2, big_endian);
    put_n (body, resolution, 1, big_endian);
    put (body, "\0\0\0", 3);
  }
  if (offset_s != 0) {
    put_n (body, 14, 2, big_endian);
    put_n (body, 8, 2, big_endian);
    put_n (body, (guint64) offset_s, 8, big_endian);
  }
  put_n (body, 0, 4, big_endian);
  ng_block (a, big_endian, 1, body);
}

static void
ng_enhanced (GByteArray *a, gboolean big_endian, guint32 interface, guint64 ticks, const GByteArray *data)
{
  g_autoptr (GByteArray) body = g_byte_array_new ();

  put_n (body, interface, 4, big_endian);
  put_n (body, ticks >> 32, 4, big_endian);
  put_n (body, ticks & 0xffffffff, 4, big_endian);
  put_n (body, data->len, 4, big_endian);
  put_n (body, data->len, 4, big_endian);
  put_padded (body, data);
  put_n (body, 1, 2, big_endian); /* a comment behind the data */
  put_n (body, 2, 2, big_endian);
  put (body, "hi\0\0", 4);
  put_n (body, 0, 4, big_endian);
  ng_block (a, big_endian, 6, body);
}

static void
ng_obsolete (GByteArray *a, gboolean big_endian, guint interface, guint64 ticks, const GByteArray *data)
{
  g_autoptr (GByteArray) body = g_byte_array_new ();

  put_n (body, interface, 2, big_endian);
  put_n (body, 0, 2, big_endian);
  put_n (body, ticks >> 32, 4, big_endian);
  put_n (body, ticks & 0xffffffff, 4, big_endian);
  put_n (body, data->len, 4, big_endian);
  put_n (body, data->len, 4, big_endian);
  put_padded (body, data);
  ng_block (a, big_endian, 2, body);
}

static void
ng_simple (GByteArray *a, gboolean big_endian, guint32 wirelen, const GByteArray *data)
{
  g_autoptr (GByteArray) body = g_byte_array_new ();

  put_n (body, wirelen, 4, big_endian);
  put_padded (body, data);
  ng_block (a, big_endian, 3, body);
}

static void
pcapng_blocks (void **state)
{
  g_autoptr (GByteArray) one = ipv4_udp ("one"), two = ipv4_udp ("number two");
  g_autoptr (GByteArray) cut = g_byte_array_new (), statistics = g_byte_array_new ();

  (void) state;
  put (cut, one->data, 16);
  for (guint i = 0; i < 300000; i++) /* longer than a packet may be: passed over all the same */
    put (statistics, "ssss", 4);
  for (guint big_endian = 0; big_endian < 2; big_endian++) {
    g_autoptr (GByteArray) a = g_byte_array_new ();
    g_autoptr (OwdCapture) capture = NULL;

    ng_section (a, big_endian);
    ng_interface (a, big_endian, OWD_LINK_RAW, 16, 0, 0);
    ng_interface (a, big_endian, OWD_LINK_IPV4, 0, 9, 0);
    ng_enhanced (a, big_endian, 0, G_GUINT64_CONSTANT (0x5000000000001), one);
    ng_block (a, big_endian, 5, statistics);
    ng_enhanced (a, big_endian, 1, G_GUINT64_CONSTANT (1700000000123456789), two);
    ng_obsolete (a, big_endian, 1, 77, one);
    ng_simple (a, big_endian, one->len, cut);
    /* a new section may have the other byte order and begins without interfaces */
    ng_section (a, !big_endian);
    ng_interface (a, !big_endian, OWD_LINK_RAW, 0, 3, 0);
    ng_enhanced (a, !big_endian, 0, 12345, two);
    capture = open_bytes (a);
    expect_packet (capture, 0x5000000000001 * 1000, OWD_LINK_RAW, one);
    expect_packet (capture, 1700000000123456789, OWD_LINK_IPV4, two);
    expect_packet (capture, 77, OWD_LINK_IPV4, one);
    expect_packet (capture, OWD_TIME_NONE, OWD_LINK_RAW, cut);
    expect_packet (capture, 12345 * OWD_NS_PER_MS, OWD_LINK_RAW, two);
    expect_end (capture);
  }
}

static void
pcapng_time (void **state)
{
  static const struct {
    guint8 resolution;
    gint64 offset_s;
    guint64 ticks;
    OwdTime want;
  } cases[] = {
    { 0, 0, 1, 1000 },                /* default: us */
    { 9, 0, G_MAXINT64, G_MAXINT64 }, /* the last nanosecond there is */
    { 9, 0, G_MAXUINT64, OWD_TIME_NONE },
    { 12, 0, 1999, 1 }, /* ps: rounded down */
    { 0x80 | 10, 0, 1024 + 512, 1500000000 },
    { 0x80 | 32, 0, G_GUINT64_CONSTANT (0x180000000), 1500000000 },
    { 0x80 | 127, 0, G_MAXUINT64, 0 },
    { 127, 0, G_MAXUINT64, 0 },
    { 6, 3600, 5, 3600 * OWD_NS_PER_S + 5000 },
    { 6, -1, 5000000, 4 * OWD_NS_PER_S },
    { 6, G_MAXINT64, 5, OWD_TIME_NONE },
  };

  (void) state;
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GByteArray) a = g_byte_array_new (), data = ipv4_udp ("x");
    g_autoptr (OwdCapture) capture = NULL;

    ng_section (a, FALSE);
    ng_interface (a, FALSE, OWD_LINK_RAW, 0, cases[i].resolution, cases[i].offset_s);
    ng_enhanced (a, FALSE, 0, cases[i].ticks, data);
    capture = open_bytes (a);
    expect_packet (capture, cases[i].want, OWD_LINK_RAW, data);
  }
}

/* Every prefix of a capture ends cleanly between packets and with OWD_STATUS_SHORT inside one; what was whole before
 * has been given. */
static void
expect_prefixes (const GByteArray *a, gsize head, guint packets)
{
  guint clean = 0;

  for (gsize n = 0; n <= a->len; n++) {
    g_autofree guint8 *part = g_memdup2 (a->data, n);
    g_autoptr (GError) error = NULL;
    g_autoptr (OwdCapture) capture = owd_capture_open_memory ("part", part, n, &error);
    OwdCapturePacket p;
    OwdStatus status;
    guint seen = 0;

    if (capture == NULL) {
      assert_true (n < head);
      assert_true (g_error_matches (error, OWD_ERROR, OWD_ERROR_CORRUPT));
      continue;
    }
    while ((status = owd_capture_next (capture, &p, &error)) == OWD_STATUS_OK)
      seen++;
    if (status == OWD_STATUS_END) {
      clean++;
    } else {
      assert_int_equal (status, OWD_STATUS_SHORT);
      assert_non_null (strstr (error->message, "part: ends inside the record at offset "));
    }
    if (n == a->len)
      assert_int_equal (seen, packets);
  }
  assert_in_range (clean, packets + 1, packets + 3); /* pcapng: also between blocks that hold no packet */
}

static void
cut_captures (void **state)
{
  g_autoptr (GByteArray) one = ipv4_udp ("one"), two = ipv4_udp ("number two");
  g_autoptr (GByteArray) pcap = g_byte_array_new (), ng = g_byte_array_new ();

  (void) state;
  pcap_header (pcap, 0xa1b2c3d4, FALSE, OWD_LINK_RAW);
  pcap_packet (pcap, FALSE, 1, 0, one);
  pcap_packet (pcap, FALSE, 2, 0, two);
  expect_prefixes (pcap, 24, 2);
  ng_section (ng, TRUE);
  ng_interface (ng, TRUE, OWD_LINK_RAW, 0, 9, 0);
  ng_enhanced (ng, TRUE, 0, 1, one);
  ng_enhanced (ng, TRUE, 0, 2, two);
  expect_prefixes (ng, 24, 2);
}

static void
expect_damaged (const GByteArray *a, const char *what)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (OwdCapture) capture = open_bytes (a);
  OwdCapturePacket p;
  OwdStatus status;

  while ((status = owd_capture_next (capture, &p, &error)) == OWD_STATUS_OK)
    ;
  assert_int_equal (status, OWD_STATUS_MALFORMED);
  assert_true (g_error_matches (error, OWD_ERROR, OWD_ERROR_CORRUPT));
  assert_non_null (strstr (error->message, what));
}

static void
damaged_captures (void **state)
{
  g_autoptr (GByteArray) one = ipv4_udp ("one"), pcap = g_byte_array_new (), zero = g_byte_array_new ();
  g_autoptr (GByteArray) no_interface = g_byte_array_new (), too_long = g_byte_array_new ();
  g_autoptr (GError) error = NULL;
  guint start;

  (void) state;
  pcap_header (pcap, 0xa1b2c3d4, FALSE, OWD_LINK_RAW);
  put_n (pcap, 0, 8, FALSE);
  put_n (pcap, 262145, 4, FALSE);
  put_n (pcap, 262145, 4, FALSE);
  expect_damaged (pcap, "built: damaged at offset 24: a packet of impossible length 262145");

  ng_section (zero, FALSE);
  for (guint i = 0; i < 8; i++)
    put_n (zero, 0, 8, FALSE);
  expect_damaged (zero, "a block of length 0");

  ng_section (no_interface, FALSE);
  ng_enhanced (no_interface, FALSE, 3, 1, one);
  expect_damaged (no_interface, "undescribed interface 3");

  ng_section (too_long, FALSE);
  ng_interface (too_long, FALSE, OWD_LINK_RAW, 0, 0, 0);
  start = too_long->len;
  ng_enhanced (too_long, FALSE, 0, 1, one);
  too_long->data[start + 20] = 0xff; /* captured length */
  expect_damaged (too_long, "a packet of impossible length");

  assert_null (owd_capture_open_memory ("text", "GET / HTTP/1.1\r\nHost: example.net\r\n", 35, &error));
  assert_true (g_error_matches (error, OWD_ERROR, OWD_ERROR_CORRUPT));
  g_clear_error (&error);
  assert_null (owd_capture_open ("/nonexistent/capture", &error));
  assert_true (g_error_matches (error, OWD_ERROR, OWD_ERROR_IO));
}

/* More packets than the window holds, through a real file. */
static void
long_file (void **state)
{
  g_autoptr (GByteArray) a = g_byte_array_new (), data = g_byte_array_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (OwdCapture) capture = NULL;
  g_autofree char *name = NULL;
  int fd = g_file_open_tmp ("test_capture.XXXXXX", &name, &error);

  (void) state;
  assert_true (fd >= 0);
  pcap_header (a, 0xa1b23c4d, TRUE, OWD_LINK_RAW);
  g_byte_array_set_size (data, 60001);
  memset (data->data, 7, data->len);
  for (guint32 i = 0; i < 100; i++) {
    memcpy (data->data, &i, sizeof i);
    pcap_packet (a, TRUE, i, 0, data);
  }
  assert_int_equal (write (fd, a->data, a->len), a->len);
  close (fd);
  capture = owd_capture_open (name, &error);
  assert_null (error);
  for (guint32 i = 0; i < 100; i++) {
    memcpy (data->data, &i, sizeof i);
    expect_packet (capture, i * OWD_NS_PER_S, OWD_LINK_RAW, data);
  }
  expect_end (capture);
  g_remove (name);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (every_link_type),  cmocka_unit_test (other_packets),   cmocka_unit_test (headers_with_options),
    cmocka_unit_test (lying_lengths),    cmocka_unit_test (export_versions), cmocka_unit_test (pcap_flavours),
    cmocka_unit_test (pcapng_blocks),    cmocka_unit_test (pcapng_time),     cmocka_unit_test (cut_captures),
    cmocka_unit_test (damaged_captures), cmocka_unit_test (long_file),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
