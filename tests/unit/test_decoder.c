/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "datagram.h"
#include "elements.h"
#include "owd-decoder.h"

#include <malloc.h>
#include <string.h>

#define EXPORT_S 1700000000u
#define UPTIME 5000000u

/* ---- a sink that remembers --------------------------------------------------------------------- */

#define KEEP 512

typedef struct {
  OwdDecoder *decoder;
  OwdTime now;
  OwdHeader headers[KEEP];
  OwdFlow flows[KEEP];
  OwdHeader of_flow[KEEP]; /* the header given with the flow */
  guint n_headers, n_flows;
  char order[2 * KEEP + 1]; /* h and f, as they came */
} Sink;

static void
take_header (void *user, const OwdHeader *header)
{
  Sink *s = user;

  assert_true (s->n_headers < KEEP);
  s->headers[s->n_headers++] = *header;
  strcat (s->order, header->flags & OWD_HEADER_REPLAY ? "H" : "h");
}

static void
take_flow (void *user, const OwdHeader *header, const OwdFlow *flow)
{
  Sink *s = user;

  assert_true (s->n_flows < KEEP);
  s->of_flow[s->n_flows] = *header;
  s->flows[s->n_flows++] = *flow;
  strcat (s->order, "f");
}

static Sink *
sink_new (const OwdDecoderLimits *limits)
{
  Sink *s = g_new0 (Sink, 1);
  OwdDecoderSink sink = { .header = take_header, .flow = take_flow, .user = s };
  GError *error = NULL;

  s->now = (OwdTime) EXPORT_S * OWD_NS_PER_S;
  s->decoder = owd_decoder_new (&sink, limits, &error);
  assert_non_null (s->decoder);
  return s;
}

static void
sink_free (Sink *s)
{
  owd_decoder_free (s->decoder);
  g_free (s);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Sink, sink_free)

/* From an exact copy on the heap, so that a sanitizer sees each byte read past the end. */
static OwdStatus
feed_from (Sink *s, const char *from, guint16 port, const void *data, gsize len)
{
  g_autofree guint8 *copy = g_memdup2 (data, len);
  OwdAddr addr;

  assert_true (owd_addr_parse (from, &addr));
  return owd_decoder_feed (s->decoder, &addr, port, s->now, copy, len);
}

static OwdStatus
feed (Sink *s, Dgram *d)
{
  dgram_finish (d);
  return feed_from (s, "10.0.0.1", 2055, d->b, d->len);
}

static const OwdStateCounters *
counters (Sink *s)
{
  assert_true (owd_decoder_n_states (s->decoder) > 0);
  return owd_decoder_state (s->decoder, 0);
}

static void
assert_addr (const OwdAddr *addr, const char *text)
{
  char buf[OWD_ADDR_TEXT];

  assert_string_equal (owd_addr_text (addr, buf), text);
}

/* ---- a usual template -------------------------------------------------------------------------- */

static const DgramField USUAL[] = { { 8, 4, 0 }, { 12, 4, 0 }, { 7, 2, 0 }, { 11, 2, 0 }, { 4, 1, 0 },
                                    { 6, 1, 0 }, { 2, 4, 0 },  { 1, 4, 0 }, { 22, 4, 0 }, { 21, 4, 0 } };
#define USUAL_N G_N_ELEMENTS (USUAL)

static void
usual_record (Dgram *d, guint32 packets)
{
  dgram_addr (d, "192.0.2.1");
  dgram_addr (d, "198.51.100.2");
  dgram_u16 (d, 40000);
  dgram_u16 (d, 443);
  dgram_u8 (d, 6);
  dgram_u8 (d, 0x12);
  dgram_u32 (d, packets);
  dgram_u32 (d, packets * 100);
  dgram_u32 (d, UPTIME - 3000);
  dgram_u32 (d, UPTIME - 1000);
}

static void
v9_usual (Dgram *d, guint32 seq, guint32 packets)
{
  dgram_v9 (d, UPTIME, EXPORT_S, seq, 7);
  dgram_template (d, 9, 256, USUAL_N, USUAL);
  dgram_set (d, 256);
  usual_record (d, packets);
}

/* ---- formats ----------------------------------------------------------------------------------- */

static void
v5_record (void **state)
{
  g_autoptr (Sink) s = sink_new (NULL);
  const OwdFlow *f = &s->flows[0];
  Dgram d;

  (void) state;
  dgram_v5 (&d, 1, UPTIME, EXPORT_S, 250000000, 77, 3 * 256 + 4);
  d.b[22] = 0x40; /* sampling: mode 1, 1 in 100 */
  d.b[23] = 100;
  dgram_v5_record (&d, "192.0.2.1", "198.51.100.2", UPTIME - 2000, UPTIME + 160);
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  assert_string_equal (s->order, "hf");
  assert_int_equal (s->headers[0].key.domain, 3 * 256 + 4);
  assert_int_equal (s->headers[0].key.version, 5);
  assert_int_equal (s->headers[0].seq, 77);
  assert_int_equal (s->headers[0].flags, OWD_HEADER_UPTIME | OWD_HEADER_FRAC);
  assert_addr (&f->src, "192.0.2.1");
  assert_addr (&f->dst, "198.51.100.2");
  assert_int_equal (f->sport, 1234);
  assert_int_equal (f->dport, 443);
  assert_int_equal (f->in_if, 1);
  assert_int_equal (f->out_if, 2);
  assert_int_equal (f->packets, 10);
  assert_int_equal (f->octets, 999);
  assert_int_equal (f->tcp_flags, 0x1b);
  assert_int_equal (f->sampling, 100);
  assert_int_equal (counters (s)->sampling_algorithm, OWD_SAMPLING_DETERMINISTIC);
  assert_int_equal (f->flags, OWD_FLOW_PACKETS | OWD_FLOW_OCTETS | OWD_FLOW_FLAGS);
  /* last > sysUptime by some ms is no wrap */
  assert_true (owd_flow_claim (&s->of_flow[0], f, f->end_kind, f->end_raw)
               == (OwdTime) EXPORT_S * OWD_NS_PER_S + 250000000 + 160 * OWD_NS_PER_MS);
}

static void
v5_count_lies (void **state)
{
  g_autoptr (Sink) s = sink_new (NULL);
  OwdReason reason;
  gsize offset;
  Dgram d;

  (void) state;
  dgram_v5 (&d, 5000, UPTIME, EXPORT_S, 0, 0, 0);
  dgram_v5_record (&d, "192.0.2.1", "198.51.100.2", 1, 2);
  assert_int_equal (feed (s, &d), OWD_STATUS_LENGTH);
  owd_decoder_last_refusal (s->decoder, &reason, &offset);
  assert_int_equal (reason, OWD_REASON_LENGTH);
  assert_int_equal (offset, 2);
  assert_int_equal (s->n_flows, 1); /* what is whole is delivered */
  assert_int_equal (counters (s)->refused[OWD_REASON_LENGTH], 1);
}

static void
v9_record (void **state)
{
  g_autoptr (Sink) s = sink_new (NULL);
  const OwdFlow *f = &s->flows[0];
  Dgram d;

  (void) state;
  v9_usual (&d, 1, 5);
  dgram_u16 (&d, 0); /* padding */
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  assert_string_equal (s->order, "hf");
  assert_int_equal (s->headers[0].key.domain, 7);
  assert_int_equal (s->headers[0].uptime_ms, UPTIME);
  assert_int_equal (f->template_id, 256);
  assert_addr (&f->src, "192.0.2.1");
  assert_addr (&f->dst, "198.51.100.2");
  assert_int_equal (f->sport, 40000);
  assert_int_equal (f->dport, 443);
  assert_int_equal (f->proto, 6);
  assert_int_equal (f->tcp_flags, 0x12);
  assert_int_equal (f->packets, 5);
  assert_int_equal (f->octets, 500);
  assert_int_equal (f->start_kind, OWD_STAMP_UPTIME_MS);
  assert_int_equal (f->start_raw, UPTIME - 3000);
  assert_int_equal (f->end_raw, UPTIME - 1000);
  assert_int_equal (f->flags, OWD_FLOW_PACKETS | OWD_FLOW_OCTETS | OWD_FLOW_FLAGS);
  assert_int_equal (counters (s)->flows, 1);
  assert_int_equal (counters (s)->templates, 1);
}

/* Fields of other sizes than their elements have: Cisco's 8-byte stamps, reduced and enlarged counters. */
static void
odd_sizes (void **state)
{
  static const DgramField fields[] = { { 27, 16, 0 }, { 28, 16, 0 }, { 22, 8, 0 }, { 21, 8, 0 }, { 2, 3, 0 },
                                       { 1, 8, 0 },   { 10, 2, 0 },  { 14, 1, 0 }, { 7, 4, 0 },  { 6, 2, 0 } };
  g_autoptr (Sink) s = sink_new (NULL);
  const OwdFlow *f = &s->flows[0];
  Dgram d;

  (void) state;
  dgram_v9 (&d, UPTIME, EXPORT_S, 1, 0);
  dgram_template (&d, 9, 300, G_N_ELEMENTS (fields), fields);
  dgram_set (&d, 300);
  dgram_addr (&d, "2001:db8::1");
  dgram_addr (&d, "2001:db8::2");
  dgram_u64 (&d, G_GUINT64_CONSTANT (0x1200000003));
  dgram_u64 (&d, 4);
  dgram_u8 (&d, 1);
  dgram_u16 (&d, 0);
  dgram_u64 (&d, G_GUINT64_CONSTANT (0x123456789a));
  dgram_u16 (&d, 300);
  dgram_u8 (&d, 9);
  dgram_u32 (&d, 53);
  dgram_u16 (&d, 0x1ff);
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  assert_addr (&f->src, "2001:db8::1");
  assert_addr (&f->dst, "2001:db8::2");
  assert_true (f->start_raw == G_GUINT64_CONSTANT (0x1200000003)); /* whole */
  assert_int_equal (f->packets, 65536);
  assert_true (f->octets == G_GUINT64_CONSTANT (0x123456789a));
  assert_int_equal (f->in_if, 300);
  assert_int_equal (f->out_if, 9);
  assert_int_equal (f->sport, 53);
  assert_int_equal (f->tcp_flags, 0x1ff);
}

static void
ipfix_variable_length (void **state)
{
  /* interface name, a list (RFC 6313), a stranger's element: all skipped, wherever they stand */
  static const DgramField fields[] = { { 82, DGRAM_VARLEN, 0 },
                                       { 8, 4, 0 },
                                       { 291, DGRAM_VARLEN, 0 },
                                       { 12, 4, 0 },
                                       { 2, 8, 0 },
                                       { 99, DGRAM_VARLEN, 32473 },
                                       { 152, 8, 0 },
                                       { 153, 8, 0 } };
  g_autoptr (Sink) s = sink_new (NULL);
  guint8 blob[300] = { 0 };
  Dgram d;

  (void) state;
  dgram_ipfix (&d, EXPORT_S, 0, 1);
  dgram_template (&d, 10, 256, G_N_ELEMENTS (fields), fields);
  dgram_set (&d, 256);
  for (guint i = 0; i < 2; i++) {
    dgram_u8 (&d, 4);
    dgram_bytes (&d, "eth0", 4);
    dgram_addr (&d, "192.0.2.1");
    dgram_u8 (&d, 255);
    dgram_u16 (&d, sizeof blob);
    dgram_bytes (&d, blob, sizeof blob);
    dgram_addr (&d, "192.0.2.2");
    dgram_u64 (&d, 7 + i);
    dgram_u8 (&d, 0);
    dgram_u64 (&d, G_GUINT64_CONSTANT (1700000000123));
    dgram_u64 (&d, G_GUINT64_CONSTANT (1700000000456));
  }
  dgram_u8 (&d, 200); /* a third one runs past the set */
  dgram_bytes (&d, blob, 60);
  assert_int_equal (feed (s, &d), OWD_STATUS_MALFORMED);
  assert_int_equal (s->n_flows, 2);
  assert_int_equal (s->flows[1].packets, 8);
  assert_int_equal (s->flows[1].start_kind, OWD_STAMP_UNIX_MS);
  assert_true (s->flows[1].end_raw == G_GUINT64_CONSTANT (1700000000456));
  assert_addr (&s->flows[1].dst, "192.0.2.2");
  assert_int_equal (counters (s)->refused[OWD_REASON_RECORD], 1);
}

/* A wrong length is counted; what is whole is taken. Noise behind a version gets no state. */
static void
ipfix_length_lies (void **state)
{
  g_autoptr (Sink) s = sink_new (NULL);
  guint8 noise[40] = { 0, 10, 1, 2, 3 };
  Dgram d;

  (void) state;
  assert_int_equal (feed_from (s, "10.0.0.1", 2055, noise, sizeof noise), OWD_STATUS_LENGTH);
  assert_int_equal (owd_decoder_n_states (s->decoder), 0);
  assert_int_equal (owd_decoder_unattributed (s->decoder)[OWD_REASON_SET_LENGTH], 1);
  dgram_ipfix (&d, EXPORT_S, 0, 1);
  dgram_template (&d, 10, 256, USUAL_N, USUAL);
  for (guint i = 0; i < 2; i++) {
    dgram_set (&d, 256);
    usual_record (&d, i);
  }
  dgram_finish (&d);
  /* too long, all there; the second data set outside; nothing inside */
  for (guint i = 0; i < 3; i++) {
    guint len = i == 0 ? (guint) d.len + 9 : i == 1 ? (guint) d.len - 1 : 3;

    d.b[2] = (guint8) (len >> 8);
    d.b[3] = (guint8) len;
    assert_int_equal (feed_from (s, "10.0.0.1", 2055, d.b, d.len), OWD_STATUS_LENGTH);
    assert_int_equal (counters (s)->refused[OWD_REASON_LENGTH], i + 1);
    assert_int_equal (s->n_flows, i == 0 ? 2 : 3);
  }
}

/* ---- malformed --------------------------------------------------------------------------------- */

static void
not_an_export (void **state)
{
  static const guint8 sflow[] = { 0, 0, 0, 5, 0, 0, 0, 1 };
  g_autoptr (Sink) s = sink_new (NULL);
  OwdReason reason;
  gsize offset;
  Dgram d;

  (void) state;
  assert_int_equal (feed_from (s, "10.0.0.1", 1, sflow, sizeof sflow), OWD_STATUS_VERSION);
  assert_int_equal (feed_from (s, "10.0.0.1", 1, sflow, 1), OWD_STATUS_SHORT);
  assert_int_equal (owd_decoder_unattributed (s->decoder)[OWD_REASON_VERSION], 1);
  assert_int_equal (owd_decoder_unattributed (s->decoder)[OWD_REASON_SHORT], 1);
  /* once the address is known, its first state pays */
  v9_usual (&d, 1, 1);
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  owd_decoder_last_refusal (s->decoder, &reason, &offset);
  assert_int_equal (reason, OWD_REASONS);
  assert_int_equal (feed_from (s, "10.0.0.1", 1, sflow, sizeof sflow), OWD_STATUS_VERSION);
  assert_int_equal (counters (s)->refused[OWD_REASON_VERSION], 1);
  assert_int_equal (owd_decoder_unattributed (s->decoder)[OWD_REASON_VERSION], 1);
}

/* Every prefix of good datagrams: whatever is short, nothing is read past the end (the sanitizer's business). */
static void
every_prefix (void **state)
{
  g_autoptr (Sink) s = sink_new (NULL);
  Dgram d;

  (void) state;
  v9_usual (&d, 1, 1);
  dgram_finish (&d);
  for (gsize len = 0; len < d.len; len++)
    (void) feed_from (s, "10.0.0.9", 1, d.b, len);
  dgram_v5 (&d, 1, UPTIME, EXPORT_S, 0, 0, 0);
  dgram_v5_record (&d, "192.0.2.1", "198.51.100.2", 1, 2);
  for (gsize len = 0; len < d.len; len++)
    assert_int_not_equal (feed_from (s, "10.0.0.9", 1, d.b, len), OWD_STATUS_OK);
  assert_int_equal (s->n_flows, 0);
}

static void
bad_template_leaves_neighbours (void **state)
{
  static const DgramField nothing[] = { { 8, 0, 0 }, { 12, 0, 0 } };
  static const DgramField huge[] = { { 8, 4, 0 }, { 12, 4, 0 }, { 94, 1400, 0 }, { 94, 1400, 0 } };
  g_autoptr (Sink) s = sink_new (NULL);
  Dgram d;

  (void) state;
  dgram_v9 (&d, UPTIME, EXPORT_S, 1, 7);
  dgram_set (&d, 0);
  dgram_template_record (&d, 12, USUAL_N, USUAL); /* an id for sets, not templates */
  dgram_template_record (&d, 257, 2, nothing);
  dgram_template_record (&d, 258, 0, NULL);
  dgram_template_record (&d, 259, G_N_ELEMENTS (huge), huge);
  dgram_template_record (&d, 256, USUAL_N, USUAL);
  dgram_set (&d, 256);
  usual_record (&d, 3);
  assert_int_equal (feed (s, &d), OWD_STATUS_MALFORMED);
  assert_int_equal (s->n_flows, 1);
  assert_int_equal (counters (s)->refused[OWD_REASON_TEMPLATE], 4);
  assert_int_equal (counters (s)->templates, 1);
}

static void
bad_set_ends_message (void **state)
{
  g_autoptr (Sink) s = sink_new (NULL);
  OwdReason reason;
  gsize offset, set;
  Dgram d;

  (void) state;
  v9_usual (&d, 1, 1);
  dgram_set (&d, 256);
  set = d.len - 4;
  usual_record (&d, 2);
  dgram_close (&d, 100); /* past the end */
  assert_int_equal (feed (s, &d), OWD_STATUS_LENGTH);
  owd_decoder_last_refusal (s->decoder, &reason, &offset);
  assert_int_equal (reason, OWD_REASON_SET_LENGTH);
  assert_int_equal (offset, set);
  assert_int_equal (s->n_flows, 1);

  v9_usual (&d, 2, 1);
  dgram_set (&d, 256);
  dgram_close (&d, -1); /* below 4 */
  assert_int_equal (feed (s, &d), OWD_STATUS_LENGTH);
  assert_int_equal (s->n_flows, 2);
}

static void
set_shorter_than_record (void **state)
{
  g_autoptr (Sink) s = sink_new (NULL);
  Dgram d;

  (void) state;
  dgram_v9 (&d, UPTIME, EXPORT_S, 1, 7);
  dgram_template (&d, 9, 256, USUAL_N, USUAL);
  dgram_set (&d, 256);
  dgram_u64 (&d, 1);
  assert_int_equal (feed (s, &d), OWD_STATUS_MALFORMED);
  assert_int_equal (counters (s)->refused[OWD_REASON_RECORD], 1);
  assert_int_equal (s->n_flows, 0);
}

/* v9 exporters do announce fields without length; and variable ones, though v9 has none. */
static void
v9_lengths_of_all_kinds (void **state)
{
  static const DgramField fields[] = { { 8, 4, 0 }, { 94, 0, 0 }, { 96, DGRAM_VARLEN, 0 }, { 12, 4, 0 }, { 2, 4, 0 } };
  g_autoptr (Sink) s = sink_new (NULL);
  Dgram d;

  (void) state;
  dgram_v9 (&d, UPTIME, EXPORT_S, 1, 7);
  dgram_template (&d, 9, 256, G_N_ELEMENTS (fields), fields);
  dgram_set (&d, 256);
  dgram_addr (&d, "192.0.2.1");
  dgram_u8 (&d, 3);
  dgram_bytes (&d, "dns", 3);
  dgram_addr (&d, "192.0.2.2");
  dgram_u32 (&d, 11);
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  assert_int_equal (s->n_flows, 1);
  assert_addr (&s->flows[0].dst, "192.0.2.2");
  assert_int_equal (s->flows[0].packets, 11);
}

/* One element 250 times: no more work than for 250 different ones, and the first counts. */
static void
many_duplicates (void **state)
{
  g_autoptr (Sink) s = sink_new (NULL);
  DgramField fields[252] = { { 8, 4, 0 }, { 12, 4, 0 } };
  Dgram d;

  (void) state;
  for (guint i = 2; i < 252; i++)
    fields[i] = (DgramField){ 2, 4, 0 };
  dgram_ipfix (&d, EXPORT_S, 0, 1);
  dgram_template (&d, 10, 256, 252, fields);
  dgram_set (&d, 256);
  dgram_addr (&d, "192.0.2.1");
  dgram_addr (&d, "192.0.2.2");
  for (guint i = 2; i < 252; i++)
    dgram_u32 (&d, i);
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  assert_int_equal (s->flows[0].packets, 2);
}

/* ---- templates --------------------------------------------------------------------------------- */

static void
redefinition (void **state)
{
  static const DgramField other[] = { { 12, 4, 0 }, { 8, 4, 0 }, { 2, 2, 0 } };
  g_autoptr (Sink) s = sink_new (NULL);
  Dgram d;

  (void) state;
  v9_usual (&d, 1, 1);
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  v9_usual (&d, 2, 1); /* the same again is no change */
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  assert_int_equal (counters (s)->templates, 1);
  dgram_v9 (&d, UPTIME, EXPORT_S, 3, 7);
  dgram_template (&d, 9, 256, G_N_ELEMENTS (other), other);
  dgram_set (&d, 256);
  dgram_addr (&d, "203.0.113.1");
  dgram_addr (&d, "203.0.113.2");
  dgram_u16 (&d, 9);
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  assert_int_equal (counters (s)->templates, 2);
  assert_int_equal (s->n_flows, 3);
  assert_addr (&s->flows[2].dst, "203.0.113.1");
  assert_addr (&s->flows[2].src, "203.0.113.2");
  assert_int_equal (s->flows[2].packets, 9);
  assert_int_equal (s->flows[2].dport, 0); /* nothing of the old layout shines through */
  assert_int_equal (s->flows[2].start_kind, OWD_STAMP_NONE);
  /* a definition that cannot be used ends the old one too */
  dgram_v9 (&d, UPTIME, EXPORT_S, 4, 7);
  dgram_template (&d, 9, 256, 0, NULL);
  assert_int_equal (feed (s, &d), OWD_STATUS_MALFORMED);
  dgram_v9 (&d, UPTIME, EXPORT_S, 5, 7);
  dgram_set (&d, 256);
  usual_record (&d, 1);
  (void) feed (s, &d);
  assert_int_equal (s->n_flows, 3);
}

static void
feed_ipfix_data (Sink *s, guint id)
{
  Dgram d;

  dgram_ipfix (&d, EXPORT_S, 0, 1);
  dgram_set (&d, id);
  usual_record (&d, 1);
  (void) feed (s, &d);
}

static void
withdrawal (void **state)
{
  g_autoptr (Sink) s = sink_new (NULL);
  Dgram d;

  (void) state;
  dgram_ipfix (&d, EXPORT_S, 0, 1);
  for (guint id = 256; id < 259; id++)
    dgram_template (&d, 10, id, USUAL_N, USUAL);
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  dgram_ipfix (&d, EXPORT_S, 0, 1);
  dgram_template (&d, 10, 257, 0, NULL);
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  for (guint id = 256; id < 259; id++)
    feed_ipfix_data (s, id);
  assert_int_equal (s->n_flows, 2);
  assert_int_equal (counters (s)->refused[OWD_REASON_NO_TEMPLATE], 1);
  dgram_ipfix (&d, EXPORT_S, 0, 1);
  dgram_template (&d, 10, 2, 0, NULL); /* all of them */
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  feed_ipfix_data (s, 256);
  assert_int_equal (s->n_flows, 2);
}

static void
expiry (void **state)
{
  OwdDecoderLimits limits = { .template_timeout_ns = 10 * OWD_NS_PER_S };
  g_autoptr (Sink) s = sink_new (&limits);
  Dgram d;

  (void) state;
  dgram_ipfix (&d, EXPORT_S, 0, 1);
  dgram_template (&d, 10, 256, USUAL_N, USUAL);
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  s->now += 9 * OWD_NS_PER_S;
  assert_int_equal (feed (s, &d), OWD_STATUS_OK); /* refreshed */
  s->now += 9 * OWD_NS_PER_S;
  feed_ipfix_data (s, 256);
  assert_int_equal (s->n_flows, 1);
  s->now += 2 * OWD_NS_PER_S;
  feed_ipfix_data (s, 256);
  assert_int_equal (s->n_flows, 1);
}

/* Over a stream an exporter does not repeat its templates: there they do not expire. */
static void
no_expiry_over_a_stream (void **state)
{
  OwdDecoderLimits limits = { .template_timeout_ns = 10 * OWD_NS_PER_S };
  g_autoptr (Sink) s = sink_new (&limits);
  OwdAddr from;
  Dgram d;

  (void) state;
  assert_true (owd_addr_parse ("192.0.2.200", &from));
  dgram_ipfix (&d, EXPORT_S, 0, 1);
  dgram_template (&d, 10, 256, USUAL_N, USUAL);
  dgram_finish (&d);
  assert_int_equal (owd_decoder_feed_stream (s->decoder, &from, 1, s->now, d.b, d.len), OWD_STATUS_OK);
  dgram_ipfix (&d, EXPORT_S, 0, 1);
  dgram_set (&d, 256);
  usual_record (&d, 5);
  dgram_finish (&d);
  for (guint i = 1; i <= 2; i++) {
    s->now += 3600 * OWD_NS_PER_S;
    assert_int_equal (owd_decoder_feed_stream (s->decoder, &from, 1, s->now, d.b, d.len), OWD_STATUS_OK);
    assert_int_equal (s->n_flows, i);
  }
  /* a datagram's template is as old as it is */
  s->now += 11 * OWD_NS_PER_S;
  assert_int_equal (owd_decoder_feed (s->decoder, &from, 1, s->now, d.b, d.len), OWD_STATUS_OK);
  assert_int_equal (s->n_flows, 2);
}

static void
late_template (void **state)
{
  g_autoptr (Sink) s = sink_new (NULL);
  OwdTime first = s->now;
  Dgram d;

  (void) state;
  for (guint i = 0; i < 2; i++) {
    dgram_v9 (&d, UPTIME + i, EXPORT_S + i, i, 7);
    dgram_set (&d, 256);
    usual_record (&d, 10 + i);
    dgram_set (&d, 256);
    usual_record (&d, 20 + i);
    assert_int_equal (feed (s, &d), OWD_STATUS_OK);
    s->now += OWD_NS_PER_S;
  }
  assert_int_equal (s->n_flows, 0);
  v9_usual (&d, 2, 30);
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  /* own flows first, then each old message under its own header */
  assert_string_equal (s->order, "hhhfHffHff");
  assert_int_equal (s->flows[0].packets, 30);
  assert_int_equal (s->flows[1].packets, 10);
  assert_int_equal (s->flows[4].packets, 21);
  assert_true (s->of_flow[1].recv_ns == first);
  assert_int_equal (s->of_flow[4].export_s, EXPORT_S + 1);
  assert_true (s->of_flow[4].flags & OWD_HEADER_REPLAY);
  assert_int_equal (counters (s)->late_flows, 4);
  assert_int_equal (counters (s)->flows, 5);
  assert_int_equal (counters (s)->datagrams, 3);
  assert_int_equal (counters (s)->refused[OWD_REASON_NO_TEMPLATE], 4);
  assert_int_equal (counters (s)->lost, 0);
}

static void
late_is_bounded (void **state)
{
  OwdDecoderLimits limits = { .late_bytes = 400, .late_timeout_ns = 5 * OWD_NS_PER_S };
  g_autoptr (Sink) s = sink_new (&limits);
  guint64 dropped;
  Dgram d;

  (void) state;
  for (guint i = 0; i < 10; i++) {
    dgram_v9 (&d, UPTIME, EXPORT_S, i, 7);
    dgram_set (&d, 256);
    usual_record (&d, 10 + i);
    s->n_headers = 0;
    s->order[0] = 0;
    (void) feed (s, &d);
  }
  dropped = counters (s)->refused[OWD_REASON_LATE_DROPPED];
  assert_in_range (dropped, 1, 9);
  v9_usual (&d, 10, 30);
  (void) feed (s, &d);
  assert_int_equal (counters (s)->late_flows, 10 - dropped);
  assert_int_equal (s->flows[s->n_flows - 1].packets, 19); /* the newest were kept */

  dgram_v9 (&d, UPTIME, EXPORT_S, 11, 7);
  dgram_set (&d, 300);
  usual_record (&d, 1);
  (void) feed (s, &d);
  s->now += 6 * OWD_NS_PER_S;
  dgram_v9 (&d, UPTIME, EXPORT_S, 12, 7);
  dgram_template (&d, 9, 300, USUAL_N, USUAL);
  assert_int_equal (feed (s, &d), OWD_STATUS_LIMIT);
  assert_int_equal (counters (s)->late_flows, 10 - dropped);
  assert_int_equal (counters (s)->refused[OWD_REASON_LATE_DROPPED], dropped + 1);
}

static void
limits_hold (void **state)
{
  OwdDecoderLimits limits = { .max_states = 2, .max_templates = 3 };
  g_autoptr (Sink) s = sink_new (&limits);
  Dgram d;

  (void) state;
  dgram_ipfix (&d, EXPORT_S, 0, 1);
  for (guint id = 256; id < 260; id++)
    dgram_template (&d, 10, id, USUAL_N, USUAL);
  assert_int_equal (feed (s, &d), OWD_STATUS_LIMIT);
  assert_int_equal (counters (s)->templates, 3);
  assert_int_equal (counters (s)->refused[OWD_REASON_LIMIT], 1);

  dgram_ipfix (&d, EXPORT_S, 0, 2);
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  dgram_ipfix (&d, EXPORT_S, 0, 3);
  assert_int_equal (feed (s, &d), OWD_STATUS_LIMIT);
  dgram_finish (&d);
  assert_int_equal (feed_from (s, "10.9.9.9", 1, d.b, d.len), OWD_STATUS_LIMIT);
  assert_int_equal (owd_decoder_n_states (s->decoder), 2);
  assert_int_equal (counters (s)->refused[OWD_REASON_LIMIT], 2);
  assert_int_equal (owd_decoder_unattributed (s->decoder)[OWD_REASON_LIMIT], 1);
}

/* The limit of templates is one of memory: big templates fill it sooner. */
static void
limit_of_fields (void **state)
{
  OwdDecoderLimits limits = { .max_templates = 10 };
  g_autoptr (Sink) s = sink_new (&limits);
  DgramField fields[200];
  Dgram d;

  (void) state;
  for (guint i = 0; i < G_N_ELEMENTS (fields); i++)
    fields[i] = (DgramField){ (guint16) (i + 1), 4, 0 };
  dgram_ipfix (&d, EXPORT_S, 0, 1);
  for (guint id = 256; id < 260; id++)
    dgram_template (&d, 10, id, G_N_ELEMENTS (fields), fields);
  assert_int_equal (feed (s, &d), OWD_STATUS_LIMIT);
  assert_int_equal (counters (s)->templates, 1);
  assert_int_equal (counters (s)->refused[OWD_REASON_LIMIT], 3);
  dgram_ipfix (&d, EXPORT_S, 0, 1);
  dgram_template (&d, 10, 256, 0, NULL); /* room again */
  dgram_template (&d, 10, 257, G_N_ELEMENTS (fields), fields);
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  assert_int_equal (counters (s)->templates, 2);
}

/* One address that makes up domains leaves room for others. */
static void
one_address_cannot_take_all (void **state)
{
  OwdDecoderLimits limits = { .max_states = 160 };
  g_autoptr (Sink) s = sink_new (&limits);
  Dgram d;

  (void) state;
  for (guint domain = 0; domain < 40; domain++) {
    dgram_ipfix (&d, EXPORT_S, 0, domain);
    s->n_headers = 0;
    s->order[0] = 0;
    (void) feed (s, &d);
  }
  assert_int_equal (owd_decoder_n_states (s->decoder), 20);
  assert_int_equal (feed_from (s, "2001:db8::9", 1, d.b, d.len), OWD_STATUS_OK);
}

/* Templates hold for all ports of an exporter, and for one domain, one version, one address only. */
static void
whose_template (void **state)
{
  g_autoptr (Sink) s = sink_new (NULL);
  Dgram t, d;

  (void) state;
  dgram_v9 (&t, UPTIME, EXPORT_S, 1, 7);
  dgram_template (&t, 9, 256, USUAL_N, USUAL);
  assert_int_equal (feed (s, &t), OWD_STATUS_OK);
  dgram_v9 (&d, UPTIME, EXPORT_S, 1, 7);
  dgram_set (&d, 256);
  usual_record (&d, 1);
  dgram_finish (&d);
  (void) feed_from (s, "10.0.0.1", 40000, d.b, d.len);
  assert_int_equal (s->n_flows, 1);
  (void) feed_from (s, "10.0.0.2", 2055, d.b, d.len);
  d.b[19] = 8;
  (void) feed_from (s, "10.0.0.1", 2055, d.b, d.len);
  feed_ipfix_data (s, 256);
  assert_int_equal (s->n_flows, 1);
  assert_int_equal (owd_decoder_n_states (s->decoder), 4);
}

/* ---- meaning ----------------------------------------------------------------------------------- */

static void
address_pairs (void **state)
{
  static const DgramField two[] = { { 8, 4, 0 }, { 12, 4, 0 }, { 27, 16, 0 }, { 28, 16, 0 }, { 2, 4, 0 } };
  static const DgramField half[] = { { 8, 4, 0 }, { 28, 16, 0 }, { 2, 4, 0 } };
  g_autoptr (Sink) s = sink_new (NULL);
  Dgram d;

  (void) state;
  dgram_ipfix (&d, EXPORT_S, 0, 1);
  dgram_template (&d, 10, 256, G_N_ELEMENTS (two), two);
  dgram_template (&d, 10, 257, G_N_ELEMENTS (half), half);
  dgram_set (&d, 256);
  for (guint i = 0; i < 2; i++) {
    dgram_addr (&d, i == 0 ? "0.0.0.0" : "192.0.2.1");
    dgram_addr (&d, i == 0 ? "0.0.0.0" : "192.0.2.2");
    dgram_addr (&d, "2001:db8::1");
    dgram_addr (&d, "2001:db8::2");
    dgram_u32 (&d, i);
  }
  dgram_set (&d, 257);
  dgram_addr (&d, "192.0.2.1");
  dgram_addr (&d, "2001:db8::2");
  dgram_u32 (&d, 1);
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  assert_int_equal (s->n_flows, 2);
  assert_addr (&s->flows[0].src, "2001:db8::1");
  assert_addr (&s->flows[0].dst, "2001:db8::2");
  assert_addr (&s->flows[1].src, "192.0.2.1");
  assert_addr (&s->flows[1].dst, "192.0.2.2");
  assert_int_equal (counters (s)->skipped, 1);
}

/* Counts: delta before total before post, whatever comes first. */
static void
preferred_counts (void **state)
{
  static const DgramField fields[]
      = { { 8, 4, 0 }, { 12, 4, 0 }, { 24, 4, 0 }, { 86, 4, 0 }, { 2, 4, 0 }, { 23, 4, 0 }, { 85, 4, 0 } };
  g_autoptr (Sink) s = sink_new (NULL);
  Dgram d;

  (void) state;
  dgram_ipfix (&d, EXPORT_S, 0, 1);
  dgram_template (&d, 10, 256, G_N_ELEMENTS (fields), fields);
  dgram_set (&d, 256);
  dgram_addr (&d, "192.0.2.1");
  dgram_addr (&d, "192.0.2.2");
  for (guint i = 2; i < G_N_ELEMENTS (fields); i++)
    dgram_u32 (&d, fields[i].id);
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  assert_int_equal (s->flows[0].packets, 2);
  assert_int_equal (s->flows[0].octets, 85);
  assert_int_equal (s->flows[0].flags, OWD_FLOW_PACKETS | OWD_FLOW_OCTETS | OWD_FLOW_TOTALS);
}

static guint64
ntp (guint32 unix_s, guint32 fraction)
{
  return (guint64) (unix_s + 2208988800u) << 32 | fraction;
}

static void
finest_sane_stamp (void **state)
{
  static const DgramField fields[] = { { 8, 4, 0 },   { 12, 4, 0 },  { 150, 4, 0 }, { 151, 4, 0 }, { 154, 8, 0 },
                                       { 155, 8, 0 }, { 152, 8, 0 }, { 153, 8, 0 }, { 323, 8, 0 } };
  const guint64 ms = (guint64) EXPORT_S * 1000;
  g_autoptr (Sink) s = sink_new (NULL);
  Dgram d;

  (void) state;
  dgram_ipfix (&d, EXPORT_S, 0, 1);
  dgram_template (&d, 10, 256, G_N_ELEMENTS (fields), fields);
  dgram_set (&d, 256);
  for (guint i = 0; i < 4; i++) {
    dgram_addr (&d, "192.0.2.1");
    dgram_addr (&d, "192.0.2.2");
    dgram_u32 (&d, EXPORT_S - 2);
    dgram_u32 (&d, EXPORT_S - 1);
    dgram_u64 (&d, i == 0 ? ntp (EXPORT_S - 2, 1u << 31) : i == 1 ? 0 : ntp (EXPORT_S - 2, 0));
    dgram_u64 (&d, i == 2 ? ntp (EXPORT_S - 9, 0) : i == 1 ? 0 : ntp (EXPORT_S - 1, 0)); /* 2: ends before it starts */
    dgram_u64 (&d, ms - 1500);
    dgram_u64 (&d, ms - 500);
    dgram_u64 (&d, ms);
  }
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  assert_int_equal (s->flows[0].start_kind, OWD_STAMP_NTP_US);
  assert_int_equal (s->flows[0].end_kind, OWD_STAMP_NTP_US);
  assert_true (owd_flow_claim (&s->of_flow[0], &s->flows[0], OWD_STAMP_NTP_US, s->flows[0].start_raw)
               == (OwdTime) (ms - 1500) * OWD_NS_PER_MS);
  for (guint i = 1; i < 3; i++) {
    assert_int_equal (s->flows[i].start_kind, OWD_STAMP_UNIX_MS);
    assert_true (s->flows[i].start_raw == ms - 1500);
    assert_true (s->flows[i].end_raw == ms - 500);
  }
  assert_int_equal (s->flows[3].start_kind, OWD_STAMP_NTP_US); /* what one record was does not stick */
}

static void
event_and_duration (void **state)
{
  static const DgramField event[] = { { 8, 4, 0 }, { 12, 4, 0 }, { 323, 8, 0 } };
  static const DgramField duration[] = { { 8, 4, 0 }, { 12, 4, 0 }, { 21, 4, 0 }, { 161, 4, 0 } };
  g_autoptr (Sink) s = sink_new (NULL);
  Dgram d;

  (void) state;
  dgram_v9 (&d, UPTIME, EXPORT_S, 0, 1);
  dgram_template (&d, 9, 256, G_N_ELEMENTS (event), event);
  dgram_template (&d, 9, 257, G_N_ELEMENTS (duration), duration);
  dgram_set (&d, 256);
  dgram_addr (&d, "192.0.2.1");
  dgram_addr (&d, "192.0.2.2");
  dgram_u64 (&d, 1234567);
  dgram_set (&d, 257);
  dgram_addr (&d, "192.0.2.1");
  dgram_addr (&d, "192.0.2.2");
  dgram_u32 (&d, 100);
  dgram_u32 (&d, 300);
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  assert_int_equal (s->flows[0].start_kind, OWD_STAMP_EVENT_MS);
  assert_int_equal (s->flows[0].start_raw, 1234567);
  assert_int_equal (s->flows[0].end_kind, OWD_STAMP_NONE);
  assert_int_equal (s->flows[1].start_kind, OWD_STAMP_UPTIME_MS);
  assert_true (s->flows[1].start_raw == G_MAXUINT32 - 199); /* across the wrap */
}

static void
rare_members (void **state)
{
  static const DgramField fields[]
      = { { 8, 4, 0 },   { 12, 4, 0 },  { 225, 4, 0 }, { 226, 4, 0 }, { 227, 2, 0 }, { 228, 2, 0 },
          { 243, 2, 0 }, { 58, 2, 0 },  { 234, 4, 0 }, { 70, 3, 0 },  { 141, 4, 0 }, { 138, 8, 0 },
          { 530, 4, 0 }, { 533, 8, 0 }, { 192, 1, 0 }, { 53, 1, 0 },  { 61, 1, 0 },  { 5, 1, 0 } };
  g_autoptr (Sink) s = sink_new (NULL);
  const OwdFlow *f = &s->flows[1];
  Dgram d;

  (void) state;
  dgram_ipfix (&d, EXPORT_S, 0, 1);
  dgram_template (&d, 10, 256, G_N_ELEMENTS (fields), fields);
  dgram_set (&d, 256);
  for (guint i = 0; i < 3; i++) {
    guint on = i == 1;

    dgram_addr (&d, "192.0.2.1");
    dgram_addr (&d, "192.0.2.2");
    dgram_addr (&d, on ? "203.0.113.1" : "0.0.0.0");
    dgram_addr (&d, on ? "203.0.113.2" : "0.0.0.0");
    dgram_u16 (&d, on * 1025);
    dgram_u16 (&d, on * 1026);
    dgram_u16 (&d, on * 999);
    dgram_u16 (&d, on * 100);
    dgram_u32 (&d, on * 5);
    dgram_u16 (&d, on * 0x0641); /* label 0x641f = 25631, class 0, bottom */
    dgram_u8 (&d, on * 0xf1);
    dgram_u32 (&d, on * 6);
    dgram_u64 (&d, on * 7);
    dgram_u32 (&d, on * 1500);
    dgram_u64 (&d, on * 3000);
    dgram_u8 (&d, 61);
    dgram_u8 (&d, 63);
    dgram_u8 (&d, i);
    dgram_u8 (&d, 0);
  }
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  assert_int_equal (s->n_flows, 3);
  assert_int_equal (s->flows[0].flags, OWD_FLOW_INGRESS);
  assert_int_equal (s->flows[2].flags, 0); /* direction 2 is none that we know */
  assert_int_equal (f->flags, OWD_FLOW_EGRESS | OWD_FLOW_EXT);
  assert_addr (&f->post_src, "203.0.113.1");
  assert_addr (&f->post_dst, "203.0.113.2");
  assert_true (owd_addr_is_zero (&s->flows[2].post_src));
  assert_int_equal (f->post_sport, 1025);
  assert_int_equal (f->post_dport, 1026);
  assert_int_equal (f->vlan, 100); /* 58 before 243 */
  assert_int_equal (f->vrf, 5);
  assert_int_equal (f->mpls, 25631);
  assert_int_equal (f->line_card, 6);
  assert_int_equal (f->obs_point, 7);
  assert_int_equal (f->delay_mean_us, 1500);
  assert_int_equal (f->delay_sum_us, 3000);
  assert_int_equal (f->ttl_min, 61); /* 192 sets both, 53 is the better maximum */
  assert_int_equal (f->ttl_max, 63);
}

static void
icmp_type_is_the_port (void **state)
{
  static const DgramField fields[] = { { 8, 4, 0 }, { 12, 4, 0 }, { 4, 1, 0 }, { 32, 2, 0 } };
  static const DgramField split[] = { { 27, 16, 0 }, { 28, 16, 0 }, { 4, 1, 0 }, { 178, 1, 0 }, { 179, 1, 0 } };
  /* a port of its own counts as it was exported, zero too */
  static const DgramField own[] = { { 8, 4, 0 }, { 12, 4, 0 }, { 4, 1, 0 }, { 11, 2, 0 }, { 32, 2, 0 } };
  g_autoptr (Sink) s = sink_new (NULL);
  Dgram d;

  (void) state;
  dgram_ipfix (&d, EXPORT_S, 0, 1);
  dgram_template (&d, 10, 256, G_N_ELEMENTS (fields), fields);
  dgram_template (&d, 10, 257, G_N_ELEMENTS (split), split);
  dgram_template (&d, 10, 258, G_N_ELEMENTS (own), own);
  dgram_set (&d, 256);
  for (guint i = 0; i < 2; i++) {
    dgram_addr (&d, "192.0.2.1");
    dgram_addr (&d, "192.0.2.2");
    dgram_u8 (&d, i == 0 ? 1 : 6);
    dgram_u16 (&d, 0x0801);
  }
  dgram_set (&d, 257);
  dgram_addr (&d, "2001:db8::1");
  dgram_addr (&d, "2001:db8::2");
  dgram_u8 (&d, 58);
  dgram_u8 (&d, 128);
  dgram_u8 (&d, 1);
  dgram_set (&d, 258);
  dgram_addr (&d, "192.0.2.1");
  dgram_addr (&d, "192.0.2.2");
  dgram_u8 (&d, 1);
  dgram_u16 (&d, 0);
  dgram_u16 (&d, 0x0801);
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  assert_int_equal (s->flows[3].dport, 0);
  assert_int_equal (s->flows[0].dport, 0x0801);
  assert_int_equal (s->flows[1].dport, 0); /* nor does it stick */
  assert_int_equal (s->flows[2].dport, 0x8001);
}

static void
biflow_is_two (void **state)
{
  static const DgramField fields[]
      = { { 8, 4, 0 },   { 12, 4, 0 },      { 7, 2, 0 },       { 11, 2, 0 },    { 4, 1, 0 },
          { 10, 4, 0 },  { 14, 4, 0 },      { 2, 8, 0 },       { 2, 8, 29305 }, { 152, 8, 0 },
          { 153, 8, 0 }, { 152, 8, 29305 }, { 153, 8, 29305 }, { 6, 1, 0 },     { 6, 1, 29305 } };
  g_autoptr (Sink) s = sink_new (NULL);
  const OwdFlow *r = &s->flows[1];
  Dgram d;

  (void) state;
  dgram_ipfix (&d, EXPORT_S, 0, 1);
  dgram_template (&d, 10, 256, G_N_ELEMENTS (fields), fields);
  dgram_set (&d, 256);
  for (guint i = 0; i < 2; i++) {
    dgram_addr (&d, "192.0.2.1");
    dgram_addr (&d, "192.0.2.2");
    dgram_u16 (&d, 40000);
    dgram_u16 (&d, 443);
    dgram_u8 (&d, 6);
    dgram_u32 (&d, 1);
    dgram_u32 (&d, 2);
    dgram_u64 (&d, 5);
    dgram_u64 (&d, i == 0 ? 4 : 0); /* the second had no answer */
    dgram_u64 (&d, 1000);
    dgram_u64 (&d, 2000);
    dgram_u64 (&d, 1010);
    dgram_u64 (&d, 2010);
    dgram_u8 (&d, 2);
    dgram_u8 (&d, 0x12);
  }
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  assert_int_equal (s->n_flows, 3);
  assert_true (s->flows[0].flags & OWD_FLOW_BIFLOW);
  assert_false (s->flows[0].flags & OWD_FLOW_REVERSE);
  assert_true ((r->flags & OWD_FLOW_BIFLOW) && (r->flags & OWD_FLOW_REVERSE) && (r->flags & OWD_FLOW_PACKETS));
  assert_addr (&r->src, "192.0.2.2");
  assert_addr (&r->dst, "192.0.2.1");
  assert_int_equal (r->sport, 443);
  assert_int_equal (r->dport, 40000);
  assert_int_equal (r->proto, 6);
  assert_int_equal (r->in_if, 2);
  assert_int_equal (r->packets, 4);
  assert_int_equal (r->tcp_flags, 0x12);
  assert_int_equal (r->start_kind, OWD_STAMP_UNIX_MS);
  assert_int_equal (r->start_raw, 1010);
  assert_int_equal (r->end_raw, 2010);
  assert_false (s->flows[2].flags & OWD_FLOW_BIFLOW);
  assert_int_equal (counters (s)->flows, 3);
}

/* YAF: the answer's start as a delay, flags as first and union. Stamps that the reverse half has not it gets not. */
static void
yaf_biflow (void **state)
{
  static const DgramField fields[]
      = { { 8, 4, 0 },   { 12, 4, 0 },    { 86, 8, 0 },    { 86, 8, 29305 }, { 152, 8, 0 },
          { 153, 8, 0 }, { 21, 4, 6871 }, { 14, 1, 6871 }, { 15, 1, 6871 },  { 14 | 0x4000, 1, 6871 } };
  g_autoptr (Sink) s = sink_new (NULL);
  Dgram d;

  (void) state;
  dgram_ipfix (&d, EXPORT_S, 0, 1);
  dgram_template (&d, 10, 256, G_N_ELEMENTS (fields), fields);
  dgram_set (&d, 256);
  dgram_addr (&d, "192.0.2.1");
  dgram_addr (&d, "192.0.2.2");
  dgram_u64 (&d, 5);
  dgram_u64 (&d, 4);
  dgram_u64 (&d, 1000);
  dgram_u64 (&d, 2000);
  dgram_u32 (&d, 30);
  dgram_u8 (&d, 0x02);
  dgram_u8 (&d, 0x19);
  dgram_u8 (&d, 0x12);
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  assert_int_equal (s->n_flows, 2);
  assert_int_equal (s->flows[0].tcp_flags, 0x1b);
  assert_true (s->flows[0].flags & OWD_FLOW_FLAGS);
  assert_int_equal (s->flows[1].tcp_flags, 0x12);
  assert_int_equal (s->flows[1].start_kind, OWD_STAMP_UNIX_MS);
  assert_int_equal (s->flows[1].start_raw, 1030);
  assert_int_equal (s->flows[1].end_kind, OWD_STAMP_NONE);
  assert_true (s->flows[1].flags & OWD_FLOW_TOTALS);
}

/* One record of that template, whose first two fields are an IPv4 pair, in a message of its own. values: of the others.
 * Returns: the flow that came of it. */
static const OwdFlow *
one_record (Sink *s, guint n, const DgramField *fields, const guint64 *values)
{
  Dgram d;

  dgram_ipfix (&d, EXPORT_S, 0, 1);
  dgram_template (&d, 10, 400, n, fields);
  dgram_set (&d, 400);
  dgram_addr (&d, "192.0.2.1");
  dgram_addr (&d, "192.0.2.2");
  for (guint i = 2; i < n; i++)
    for (guint k = fields[i].len; k-- > 0;)
      dgram_u8 (&d, (guint) (values[i - 2] >> 8 * k) & 0xff);
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  assert_true (s->n_flows > 0);
  return &s->flows[s->n_flows - 1];
}

/* Each pair of elements for the same two instants, one and a half and half a second before the export. */
static void
every_stamp (void **state)
{
  const OwdTime start = ((gint64) EXPORT_S * 1000 - 1500) * OWD_NS_PER_MS, end = start + OWD_NS_PER_S;
  const guint64 init_ms = (EXPORT_S - 100) * (guint64) 1000;
  const struct {
    guint16 start, end, len;
    guint64 values[2];
    OwdStampKind kind;
    gint64 step_ns;
  } cases[] = {
    { 22, 21, 4, { 98500, 99500 }, OWD_STAMP_UPTIME_MS, OWD_NS_PER_MS },
    { 22, 21, 8, { 98500, 99500 }, OWD_STAMP_UPTIME_MS, OWD_NS_PER_MS }, /* NX-OS */
    { 150, 151, 4, { EXPORT_S - 2, EXPORT_S - 1 }, OWD_STAMP_UNIX_S, OWD_NS_PER_S },
    { 152, 153, 8, { EXPORT_S * 1000ull - 1500, EXPORT_S * 1000ull - 500 }, OWD_STAMP_UNIX_MS, OWD_NS_PER_MS },
    { 154, 155, 8, { ntp (EXPORT_S - 2, 1u << 31), ntp (EXPORT_S - 1, 1u << 31) }, OWD_STAMP_NTP_US, 1 },
    { 156, 157, 8, { ntp (EXPORT_S - 2, 1u << 31), ntp (EXPORT_S - 1, 1u << 31) }, OWD_STAMP_NTP_NS, 1 },
    { 158, 159, 4, { 1500000, 500000 }, OWD_STAMP_DELTA_US, OWD_NS_PER_US },
    { 158, 159, 3, { 1500000, 500000 }, OWD_STAMP_DELTA_US, OWD_NS_PER_US },
    { 152, 161, 8, { EXPORT_S * 1000ull - 1500, 1000 }, OWD_STAMP_UNIX_MS, OWD_NS_PER_MS },
    { 152, 162, 8, { EXPORT_S * 1000ull - 1500, 1000000 }, OWD_STAMP_UNIX_MS, OWD_NS_PER_MS },
    { 161, 153, 8, { 1000, EXPORT_S * 1000ull - 500 }, OWD_STAMP_UNIX_MS, OWD_NS_PER_MS },
  };

  (void) state;
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    const DgramField fields[] = {
      { 8, 4, 0 }, { 12, 4, 0 }, { cases[i].start, cases[i].len, 0 }, { cases[i].end, cases[i].len, 0 }, { 160, 8, 0 }
    };
    g_autoptr (Sink) s = sink_new (NULL);
    const OwdFlow *f
        = one_record (s, G_N_ELEMENTS (fields), fields, (guint64[]){ cases[i].values[0], cases[i].values[1], init_ms });
    OwdTime from = owd_flow_claim (&s->of_flow[0], f, f->start_kind, f->start_raw);
    OwdTime to = owd_flow_claim (&s->of_flow[0], f, f->end_kind, f->end_raw);

    assert_int_equal (f->start_kind, cases[i].kind);
    assert_int_equal (f->end_kind, cases[i].kind);
    assert_true (from <= start && start - from < cases[i].step_ns);
    assert_true (to <= end && end - to < cases[i].step_ns);
  }
}

/* Observation times are events: a start and no end. When a collector on the way took the record is neither. */
static void
events_and_other_times (void **state)
{
  static const struct {
    guint16 id, len;
    OwdStampKind kind;
  } cases[] = {
    { 322, 4, OWD_STAMP_EVENT_S },  { 323, 8, OWD_STAMP_EVENT_MS }, { 324, 8, OWD_STAMP_EVENT_US },
    { 325, 8, OWD_STAMP_EVENT_NS }, { 258, 8, OWD_STAMP_NONE },
  };

  (void) state;
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    const DgramField fields[] = { { 8, 4, 0 }, { 12, 4, 0 }, { cases[i].id, cases[i].len, 0 } };
    const DgramField beside[] = { { 8, 4, 0 }, { 12, 4, 0 }, { 152, 8, 0 }, { cases[i].id, cases[i].len, 0 } };
    g_autoptr (Sink) s = sink_new (NULL);
    const OwdFlow *f = one_record (s, G_N_ELEMENTS (fields), fields, (guint64[]){ 12345 });

    assert_int_equal (f->start_kind, cases[i].kind);
    assert_int_equal (f->start_raw, cases[i].kind == OWD_STAMP_NONE ? 0 : 12345);
    assert_int_equal (f->end_kind, OWD_STAMP_NONE);
    f = one_record (s, G_N_ELEMENTS (beside), beside, (guint64[]){ 777, 12345 });
    assert_int_equal (f->start_kind, OWD_STAMP_UNIX_MS); /* a stamp of the flow goes before */
    assert_int_equal (f->start_raw, 777);
  }
}

/* The time at which an exporter started, in records: what cannot be true is not taken. */
static void
init_time_must_be_sane (void **state)
{
  static const DgramField fields[] = { { 8, 4, 0 }, { 12, 4, 0 }, { 22, 4, 0 }, { 160, 8, 0 } };
  const guint64 now_ms = EXPORT_S * 1000ull;
  const struct {
    guint64 init_ms;
    gboolean is_sane;
  } cases[] = {
    { now_ms - 1, TRUE },
    { now_ms + 86400000, TRUE }, /* the header's clock may be the wrong one */
    { 0, FALSE },
    { 86400000, FALSE },      /* an uptime, */
    { G_MAXUINT32, FALSE },   /* of which there are 50 days */
    { now_ms * 1000, FALSE }, /* in us */
    { G_MAXUINT64, FALSE },
  };
  g_autoptr (Sink) s = sink_new (NULL);

  (void) state;
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    const OwdFlow *f = one_record (s, G_N_ELEMENTS (fields), fields, (guint64[]){ 5, cases[i].init_ms });

    assert_true (f->init_ms == (gint64) (cases[i].is_sane ? cases[i].init_ms : 0));
    assert_int_equal (!!(f->flags & OWD_FLOW_EXT), cases[i].is_sane);
  }
}

/* What stands in for an element that is not there, or not alone. */
static void
stand_ins (void **state)
{
  static const DgramField physical[] = { { 8, 4, 0 }, { 12, 4, 0 }, { 252, 4, 0 }, { 253, 4, 0 } };
  static const DgramField both[]
      = { { 8, 4, 0 }, { 12, 4, 0 }, { 252, 4, 0 }, { 10, 4, 0 }, { 14, 2, 0 }, { 253, 4, 0 } };
  static const DgramField egress[] = { { 8, 4, 0 }, { 12, 4, 0 }, { 254, 2, 0 }, { 59, 2, 0 }, { 235, 4, 0 } };
  static const DgramField hybrid[]
      = { { 8, 4, 0 }, { 12, 4, 0 }, { 530, 4, 0 }, { 531, 4, 0 }, { 532, 4, 0 }, { 533, 8, 0 } };
  static const DgramField ttl[] = { { 8, 4, 0 }, { 12, 4, 0 }, { 52, 1, 0 } };
  g_autoptr (Sink) s = sink_new (NULL);
  const OwdFlow *f = one_record (s, G_N_ELEMENTS (physical), physical, (guint64[]){ 7, 8 });

  (void) state;
  assert_int_equal (f->in_if, 7);
  assert_int_equal (f->out_if, 8);
  f = one_record (s, G_N_ELEMENTS (both), both, (guint64[]){ 7, 1, 2, 8 });
  assert_int_equal (f->in_if, 1);
  assert_int_equal (f->out_if, 2);
  f = one_record (s, G_N_ELEMENTS (egress), egress, (guint64[]){ 4, 3, 9 });
  assert_int_equal (f->vlan, 3);
  assert_int_equal (f->vrf, 9);
  f = one_record (s, G_N_ELEMENTS (hybrid), hybrid, (guint64[]){ 20, 10, 40, 60 });
  assert_true (f->flags & OWD_FLOW_EXT);
  assert_int_equal (f->delay_mean_us, 20);
  assert_int_equal (f->delay_min_us, 10);
  assert_int_equal (f->delay_max_us, 40);
  assert_int_equal (f->delay_sum_us, 60);
  f = one_record (s, G_N_ELEMENTS (ttl), ttl, (guint64[]){ 61 });
  assert_int_equal (f->ttl_min, 61);
  assert_int_equal (f->ttl_max, 0);
}

/* Lists (RFC 6313) of every sort, in both encodings of a length and in a fixed one: what is behind them is right. */
static void
structured_data (void **state)
{
  static const DgramField fields[]
      = { { 8, 4, 0 }, { 291, DGRAM_VARLEN, 0 }, { 12, 4, 0 }, { 292, 6, 0 }, { 293, DGRAM_VARLEN, 0 }, { 2, 4, 0 } };
  static const guint8 list[] = { 3, 0, 8, 0, 4, 192, 0, 2, 99 }; /* of one sourceIPv4Address */
  g_autofree guint8 *long_list = g_malloc0 (700);
  g_autoptr (Sink) s = sink_new (NULL);
  Dgram d;

  (void) state;
  dgram_ipfix (&d, EXPORT_S, 0, 1);
  dgram_template (&d, 10, 400, G_N_ELEMENTS (fields), fields);
  dgram_set (&d, 400);
  for (guint i = 0; i < 3; i++) {
    dgram_addr (&d, "192.0.2.1");
    if (i == 1) {
      dgram_u8 (&d, 255);
      dgram_u16 (&d, 700);
      dgram_bytes (&d, long_list, 700);
    } else {
      dgram_u8 (&d, sizeof list);
      dgram_bytes (&d, list, sizeof list);
    }
    dgram_addr (&d, "192.0.2.2");
    dgram_bytes (&d, list, 6);
    dgram_u8 (&d, i == 2 ? 0 : 5); /* an empty one, too */
    dgram_bytes (&d, long_list, i == 2 ? 0 : 5);
    dgram_u32 (&d, 10 + i);
  }
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  assert_int_equal (s->n_flows, 3);
  for (guint i = 0; i < 3; i++) {
    assert_addr (&s->flows[i].src, "192.0.2.1");
    assert_addr (&s->flows[i].dst, "192.0.2.2");
    assert_int_equal (s->flows[i].packets, 10 + i);
  }
}

/* RFC 5610: an options record that tells the type of a vendor's element is no flow and changes nothing; the element
 * itself, of whatever length, is passed over. */
static void
types_of_vendors_elements (void **state)
{
  static const DgramField types[]
      = { { 346, 4, 0 }, { 303, 2, 0 }, { 339, 1, 0 }, { 344, 1, 0 }, { 345, 2, 0 }, { 341, DGRAM_VARLEN, 0 } };
  static const DgramField fields[] = { { 8, 4, 0 }, { 12, 4, 0 }, { 1234, 5, 35632 }, { 2, 4, 0 } };
  g_autoptr (Sink) s = sink_new (NULL);
  Dgram d;

  (void) state;
  dgram_ipfix (&d, EXPORT_S, 0, 1);
  dgram_options_template (&d, 10, 300, 2, G_N_ELEMENTS (types), types);
  dgram_set (&d, 300);
  dgram_u32 (&d, 35632);
  dgram_u16 (&d, 1234);
  dgram_u8 (&d, 0);
  dgram_u8 (&d, 0);
  dgram_u16 (&d, 0);
  dgram_u8 (&d, 7);
  dgram_bytes (&d, "secrets", 7);
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  assert_int_equal (counters (s)->options, 1);
  assert_int_equal (s->n_flows, 0);
  assert_int_equal (one_record (s, G_N_ELEMENTS (fields), fields, (guint64[]){ 0x1122334455, 42 })->packets, 42);
}

/* ---- options ----------------------------------------------------------------------------------- */

static void
sampling_of_the_state (void **state)
{
  static const DgramField options[] = { { 1, 4, 0 }, { 34, 4, 0 }, { 35, 1, 0 } }; /* scope: system */
  g_autoptr (Sink) s = sink_new (NULL);
  Dgram d;

  (void) state;
  v9_usual (&d, 1, 1);
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  dgram_v9 (&d, UPTIME, EXPORT_S, 2, 7);
  dgram_options_template (&d, 9, 257, 1, G_N_ELEMENTS (options), options);
  dgram_set (&d, 257);
  dgram_u32 (&d, 0);
  dgram_u32 (&d, 1000);
  dgram_u8 (&d, 2);
  dgram_set (&d, 256);
  usual_record (&d, 2);
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  assert_int_equal (s->flows[0].sampling, 0);
  assert_int_equal (s->flows[1].sampling, 1000);
  assert_int_equal (counters (s)->sampling, 1000);
  assert_int_equal (counters (s)->sampling_algorithm, OWD_SAMPLING_RANDOM);
  assert_int_equal (counters (s)->options, 1);
}

static void
sampling_by_sampler (void **state)
{
  /* samplerId in two bytes, as Cisco has it; and n out of N */
  static const DgramField options[] = { { 48, 2, 0 }, { 309, 4, 0 }, { 310, 4, 0 }, { 305, 4, 0 } };
  static const DgramField data[] = { { 8, 4, 0 }, { 12, 4, 0 }, { 48, 1, 0 } };
  g_autoptr (Sink) s = sink_new (NULL);
  Dgram d;

  (void) state;
  dgram_ipfix (&d, EXPORT_S, 0, 1);
  dgram_options_template (&d, 10, 300, 1, G_N_ELEMENTS (options), options);
  dgram_template (&d, 10, 301, G_N_ELEMENTS (data), data);
  dgram_set (&d, 300);
  for (guint id = 1; id <= 2; id++) {
    dgram_u16 (&d, id);
    dgram_u32 (&d, 1);
    dgram_u32 (&d, 100 * id);
    dgram_u32 (&d, 1);
  }
  dgram_set (&d, 301);
  for (guint id = 1; id <= 3; id++) {
    dgram_addr (&d, "192.0.2.1");
    dgram_addr (&d, "192.0.2.2");
    dgram_u8 (&d, id);
  }
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  assert_int_equal (s->flows[0].sampling, 100);
  assert_int_equal (s->flows[1].sampling, 200);
  assert_int_equal (s->flows[2].sampling, 200); /* unknown sampler: what was said last */
}

static void
sampling_by_interface (void **state)
{
  static const DgramField options[] = { { 2, 4, 0 }, { 34, 4, 0 } }; /* v9 scope 2: interface */
  static const DgramField data[] = { { 8, 4, 0 }, { 12, 4, 0 }, { 10, 4, 0 } };
  g_autoptr (Sink) s = sink_new (NULL);
  Dgram d;

  (void) state;
  dgram_v9 (&d, UPTIME, EXPORT_S, 1, 7);
  dgram_options_template (&d, 9, 300, 1, G_N_ELEMENTS (options), options);
  dgram_template (&d, 9, 301, G_N_ELEMENTS (data), data);
  dgram_set (&d, 300);
  dgram_u32 (&d, 5);
  dgram_u32 (&d, 64);
  dgram_set (&d, 301);
  for (guint in_if = 5; in_if <= 6; in_if++) {
    dgram_addr (&d, "192.0.2.1");
    dgram_addr (&d, "192.0.2.2");
    dgram_u32 (&d, in_if);
  }
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  assert_int_equal (s->flows[0].sampling, 64);
  assert_int_equal (s->flows[1].sampling, 0);
}

/* Options read the same whatever data set came before them: work space that flows leave behind is no part of them. */
static void
options_behind_flows (void **state)
{
  static const DgramField options[] = { { 143, 4, 0 }, { 160, 8, 0 }, { 305, 4, 0 }, { 306, 4, 0 }, { 304, 2, 0 } };
  static const DgramField v4[] = { { 8, 4, 0 }, { 12, 4, 0 }, { 2, 4, 0 }, { 22, 4, 0 }, { 21, 4, 0 }, { 7, 2, 0 } };
  static const DgramField both[] = { { 8, 4, 0 },   { 12, 4, 0 }, { 27, 16, 0 }, { 28, 16, 0 },
                                     { 225, 4, 0 }, { 10, 4, 0 }, { 14, 4, 0 },  { 152, 8, 0 } };
  static const struct {
    guint n, len;
    const DgramField *fields;
  } before[] = { { G_N_ELEMENTS (v4), 22, v4 }, { G_N_ELEMENTS (both), 60, both } };
  const guint64 init_ms = G_GUINT64_CONSTANT (1690000000000);

  (void) state;
  for (guint i = 0; i < G_N_ELEMENTS (before); i++) {
    g_autoptr (Sink) s = sink_new (NULL);
    Dgram d;

    dgram_ipfix (&d, EXPORT_S, 0, 1);
    dgram_template (&d, 10, 256, before[i].n, before[i].fields);
    dgram_options_template (&d, 10, 257, 1, G_N_ELEMENTS (options), options);
    dgram_set (&d, 256);
    for (guint k = 0; k < before[i].len; k++)
      dgram_u8 (&d, 0xff);
    dgram_set (&d, 257);
    dgram_u32 (&d, 1);
    dgram_u64 (&d, init_ms);
    dgram_u32 (&d, 1);
    dgram_u32 (&d, 99);
    dgram_u16 (&d, 1);
    assert_int_equal (feed (s, &d), OWD_STATUS_OK);
    feed_ipfix_data (s, 256);
    assert_true (s->headers[1].init_ms == (gint64) init_ms);
    assert_int_equal (counters (s)->sampling, 100);
  }
}

static void
init_time_in_options (void **state)
{
  static const DgramField options[] = { { 144, 4, 0 }, { 160, 8, 0 } };
  const guint64 init_ms = G_GUINT64_CONSTANT (1690000000000);
  g_autoptr (Sink) s = sink_new (NULL);
  Dgram d;

  (void) state;
  dgram_ipfix (&d, EXPORT_S, 0, 1);
  dgram_template (&d, 10, 256, USUAL_N, USUAL);
  dgram_options_template (&d, 10, 257, 1, G_N_ELEMENTS (options), options);
  dgram_set (&d, 256);
  usual_record (&d, 1); /* before: no base for its stamps */
  dgram_set (&d, 257);
  dgram_u32 (&d, 1);
  dgram_u64 (&d, init_ms);
  dgram_set (&d, 256);
  usual_record (&d, 2); /* the header is out already, so the record has it */
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  feed_ipfix_data (s, 256);
  assert_int_equal (s->headers[0].init_ms, 0);
  assert_true (owd_flow_claim (&s->of_flow[0], &s->flows[0], OWD_STAMP_UPTIME_MS, 5) == OWD_TIME_NONE);
  assert_true (s->flows[1].init_ms == (gint64) init_ms);
  assert_true (s->flows[1].flags & OWD_FLOW_EXT);
  assert_true (s->headers[1].init_ms == (gint64) init_ms);
  assert_int_equal (s->flows[2].init_ms, 0);
  assert_true (owd_flow_claim (&s->of_flow[2], &s->flows[2], OWD_STAMP_UPTIME_MS, 5)
               == (OwdTime) (init_ms + 5) * OWD_NS_PER_MS);
}

/* Every way to say 1 in N, RFC 5477's too. */
static void
sampling_in_all_words (void **state)
{
  static const struct {
    DgramField fields[5];
    guint n;
    guint32 values[5], interval;
    OwdSamplingAlgorithm algorithm;
  } cases[] = {
    { { { 149, 4, 0 }, { 34, 4, 0 }, { 35, 1, 0 } }, 3, { 1, 100, 2 }, 100, OWD_SAMPLING_RANDOM },
    { { { 149, 4, 0 }, { 35, 1, 0 }, { 34, 4, 0 } }, 3, { 1, 1, 100 }, 100, OWD_SAMPLING_DETERMINISTIC },
    { { { 149, 4, 0 }, { 34, 4, 0 }, { 35, 1, 0 } }, 3, { 1, 100, 3 }, 100, OWD_SAMPLING_UNTOLD }, /* not given */
    { { { 149, 4, 0 }, { 34, 4, 0 }, { 35, 1, 0 } }, 3, { 1, 0, 2 }, 0, OWD_SAMPLING_UNTOLD },     /* of what? */
    { { { 149, 4, 0 }, { 34, 4, 0 } }, 2, { 1, 100 }, 100, OWD_SAMPLING_UNTOLD },
    { { { 149, 4, 0 }, { 50, 4, 0 }, { 49, 1, 0 } }, 3, { 1, 64, 2 }, 64, OWD_SAMPLING_RANDOM },
    { { { 302, 4, 0 }, { 304, 2, 0 }, { 305, 4, 0 }, { 306, 4, 0 } },
      4,
      { 1, 1, 1, 999 },
      1000,
      OWD_SAMPLING_UNTOLD }, /* one, then 999 not */
    { { { 302, 4, 0 }, { 304, 2, 0 }, { 305, 4, 0 }, { 306, 4, 0 } }, 4, { 1, 1, 10, 90 }, 10, OWD_SAMPLING_UNTOLD },
    { { { 302, 8, 0 }, { 304, 2, 0 }, { 309, 4, 0 }, { 310, 4, 0 } },
      4,
      { 1, 3, 2, 512 },
      256,
      OWD_SAMPLING_UNTOLD }, /* 2 out of 512 */
    { { { 302, 4, 0 }, { 304, 2, 0 }, { 309, 4, 0 }, { 310, 4, 0 } },
      4,
      { 1, 3, 0, 512 },
      0,
      OWD_SAMPLING_UNTOLD }, /* nonsense */
    { { { 302, 4, 0 }, { 304, 2, 0 }, { 305, 4, 0 }, { 306, 4, 0 } }, 4, { 1, 1, 0, 90 }, 0, OWD_SAMPLING_UNTOLD },
    { { { 149, 4, 0 }, { 41, 8, 0 } }, 2, { 1, 5 }, 0, OWD_SAMPLING_UNTOLD }, /* not a word of it */
  };

  (void) state;
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (Sink) s = sink_new (NULL);
    Dgram d;

    dgram_ipfix (&d, EXPORT_S, 0, 1);
    dgram_options_template (&d, 10, 300, 1, cases[i].n, cases[i].fields);
    dgram_set (&d, 300);
    for (guint k = 0; k < cases[i].n; k++)
      for (guint b = cases[i].fields[k].len; b-- > 0;)
        dgram_u8 (&d, b >= 4 ? 0 : cases[i].values[k] >> 8 * b & 0xff);
    assert_int_equal (feed (s, &d), OWD_STATUS_OK);
    assert_int_equal (counters (s)->sampling, cases[i].interval);
    assert_int_equal (counters (s)->sampling_algorithm, cases[i].algorithm);
  }
}

/* What an exporter counts itself; of a part of itself it is something else. */
static void
reports_of_the_exporter (void **state)
{
  static const DgramField whole[]
      = { { 144, 4, 0 }, { 41, 8, 0 }, { 42, 4, 0 }, { 164, 8, 0 }, { 166, 8, 0 }, { 167, 8, 0 } };
  static const DgramField part[] = { { 10, 4, 0 }, { 164, 8, 0 } };
  g_autoptr (Sink) s = sink_new (NULL);
  Dgram d;

  (void) state;
  dgram_ipfix (&d, EXPORT_S, 0, 1);
  dgram_options_template (&d, 10, 300, 1, G_N_ELEMENTS (whole), whole);
  dgram_options_template (&d, 10, 301, 1, G_N_ELEMENTS (part), part);
  dgram_set (&d, 301);
  dgram_u32 (&d, 3);
  dgram_u64 (&d, 999);
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  assert_int_equal (counters (s)->reported, 0);
  dgram_ipfix (&d, EXPORT_S, 1, 1);
  dgram_set (&d, 300);
  dgram_u32 (&d, 1);
  dgram_u64 (&d, 10);
  dgram_u32 (&d, 20);
  dgram_u64 (&d, 30);
  dgram_u64 (&d, 40);
  dgram_u64 (&d, 50);
  dgram_set (&d, 301);
  dgram_u32 (&d, 3);
  dgram_u64 (&d, 999);
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  assert_int_equal (counters (s)->reported, (1 << OWD_REPORTS) - 1);
  assert_int_equal (counters (s)->report[OWD_REPORT_MESSAGES], 10);
  assert_int_equal (counters (s)->report[OWD_REPORT_RECORDS], 20);
  assert_int_equal (counters (s)->report[OWD_REPORT_IGNORED_PACKETS], 30);
  assert_int_equal (counters (s)->report[OWD_REPORT_UNSENT_RECORDS], 40);
  assert_int_equal (counters (s)->report[OWD_REPORT_UNSENT_PACKETS], 50);
}

/* ---- sequence ---------------------------------------------------------------------------------- */

static void
feed_v9_seq (Sink *s, guint32 seq, guint32 uptime_ms, guint16 port)
{
  Dgram d;

  dgram_v9 (&d, uptime_ms, EXPORT_S, seq, 7);
  (void) feed_from (s, "10.0.0.1", port, d.b, d.len);
}

static void
sequence_v9 (void **state)
{
  g_autoptr (Sink) s = sink_new (NULL);

  (void) state;
  for (guint32 seq = G_MAXUINT32 - 1; seq != 3; seq++) /* across the wrap */
    feed_v9_seq (s, seq, UPTIME, 1);
  assert_int_equal (counters (s)->lost, 0);
  feed_v9_seq (s, 6, UPTIME, 1); /* 3, 4, 5 missing */
  assert_int_equal (counters (s)->lost, 3);
  feed_v9_seq (s, 4, UPTIME, 1); /* late, not lost */
  assert_int_equal (counters (s)->lost, 2);
  assert_int_equal (counters (s)->reordered, 1);
  feed_v9_seq (s, 7, UPTIME, 1);
  feed_v9_seq (s, 0, UPTIME, 2); /* another process of the router, another sequence */
  feed_v9_seq (s, 8, UPTIME, 1);
  feed_v9_seq (s, 1, UPTIME, 2);
  assert_int_equal (counters (s)->lost, 2);
  assert_int_equal (counters (s)->restarts, 0);
}

static void
sequence_restart (void **state)
{
  g_autoptr (Sink) s = sink_new (NULL);

  (void) state;
  feed_v9_seq (s, 500, UPTIME, 1);
  feed_v9_seq (s, 503, UPTIME, 1);
  assert_int_equal (counters (s)->lost, 2);
  feed_v9_seq (s, 0, 1000, 1); /* rebooted, as its uptime tells */
  assert_int_equal (counters (s)->restarts, 1);
  feed_v9_seq (s, 1, 1000, 1);
  assert_int_equal (counters (s)->reordered, 0);
  for (guint32 seq = 300; seq < 310; seq++)
    feed_v9_seq (s, seq, 1000, 1);
  assert_int_equal (counters (s)->lost, 2 + 298);
  for (guint32 seq = 0; seq < 10; seq++) /* begins anew without a reboot */
    feed_v9_seq (s, seq, 1000, 1);
  assert_int_equal (counters (s)->restarts, 2);
  assert_int_equal (counters (s)->reordered, 0);
  assert_int_equal (counters (s)->lost, 2 + 298);
}

static void
feed_ipfix_seq (Sink *s, guint32 seq, guint id, guint records)
{
  Dgram d;

  dgram_ipfix (&d, EXPORT_S, seq, 1);
  dgram_set (&d, id);
  for (guint i = 0; i < records; i++)
    usual_record (&d, 1);
  (void) feed (s, &d);
}

static void
sequence_ipfix (void **state)
{
  g_autoptr (Sink) s = sink_new (NULL);
  Dgram d;

  (void) state;
  dgram_ipfix (&d, EXPORT_S, 100, 1);
  dgram_template (&d, 10, 256, USUAL_N, USUAL);
  (void) feed (s, &d);
  feed_ipfix_seq (s, 100, 256, 3); /* data records count, templates do not */
  feed_ipfix_seq (s, 103, 256, 2);
  assert_int_equal (counters (s)->lost, 0);
  feed_ipfix_seq (s, 110, 256, 1);
  assert_int_equal (counters (s)->lost, 5);
  feed_ipfix_seq (s, 111, 999, 2); /* nobody knows how many those are, */
  feed_ipfix_seq (s, 113, 256, 1); /* so nothing is lost behind them */
  feed_ipfix_seq (s, 114, 256, 1);
  assert_int_equal (counters (s)->lost, 5);
  assert_int_equal (counters (s)->reordered, 0);
}

/* softflowd: the number counts the message's own records, options left out. */
static void
sequence_inclusive (void **state)
{
  static const DgramField options[] = { { 144, 4, 0 }, { 160, 8, 0 } };
  static const guint n[] = { 24, 32, 32, 10, 7, 12 };
  g_autoptr (Sink) s = sink_new (NULL);
  guint32 seq = 0;
  Dgram d;

  (void) state;
  for (guint i = 0; i < G_N_ELEMENTS (n); i++) {
    seq += n[i];
    dgram_ipfix (&d, EXPORT_S, seq, 1);
    dgram_template (&d, 10, 256, USUAL_N, USUAL);
    if (i % 3 == 0) {
      dgram_options_template (&d, 10, 257, 1, G_N_ELEMENTS (options), options);
      dgram_set (&d, 257);
      dgram_u32 (&d, 1);
      dgram_u64 (&d, 1);
    }
    dgram_set (&d, 256);
    for (guint k = 0; k < n[i]; k++)
      usual_record (&d, 1);
    assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  }
  assert_int_equal (counters (s)->lost, 0);
  assert_int_equal (counters (s)->reordered, 0);
  assert_int_equal (counters (s)->restarts, 0);
  feed_ipfix_seq (s, seq + 5 + 9, 256, 9); /* five missing before the nine that it has */
  assert_int_equal (counters (s)->lost, 5);
}

static void
feed_domain_seq (Sink *s, guint32 domain, guint32 seq, guint32 records)
{
  Dgram d;

  dgram_ipfix (&d, EXPORT_S, seq, domain);
  dgram_template (&d, 10, 256, USUAL_N, USUAL);
  dgram_set (&d, 256);
  for (guint i = 0; i < records; i++)
    usual_record (&d, 1);
  (void) feed (s, &d);
}

static guint64
lost_in_all (Sink *s)
{
  guint64 lost = 0;

  for (guint i = 0; i < owd_decoder_n_states (s->decoder); i++) {
    const OwdStateCounters *c = owd_decoder_state (s->decoder, i);

    assert_int_equal (c->reordered + c->restarts, 0);
    lost += c->lost;
  }
  return lost;
}

/* Open vSwitch: one sequence for all domains. */
static void
sequence_shared_by_domains (void **state)
{
  g_autoptr (Sink) s = sink_new (NULL);
  guint32 seq = 1;

  (void) state;
  for (guint i = 0; i < 30; i++) {
    guint32 records = 1 + i % 4;

    feed_domain_seq (s, i % 7 == 3 ? 0 : 123, seq, records);
    seq += records;
  }
  assert_int_equal (lost_in_all (s), 0);
  feed_domain_seq (s, 0, seq + 6, 1); /* what is missing is counted once */
  feed_domain_seq (s, 123, seq + 7, 1);
  feed_domain_seq (s, 0, seq + 8, 1);
  assert_int_equal (lost_in_all (s), 6);
}

static void
sequence_of_each_domain (void **state)
{
  g_autoptr (Sink) s = sink_new (NULL);
  guint32 seq[3] = { 1, 1, 500 };

  (void) state;
  for (guint i = 0; i < 30; i++) {
    guint32 domain = i * i % 3;

    if (i == 20)
      seq[1] += 6; /* lost */
    feed_domain_seq (s, domain, seq[domain], 1 + i % 4);
    seq[domain] += 1 + i % 4;
  }
  assert_int_equal (lost_in_all (s), 6);
}

/* sysUptime tells a late datagram from a restart, however many are late. */
static void
sequence_late_start (void **state)
{
  g_autoptr (Sink) s = sink_new (NULL);

  (void) state;
  feed_v9_seq (s, 120, UPTIME, 1);
  for (guint32 seq = 100; seq < 110; seq++)
    feed_v9_seq (s, seq, UPTIME - 1000 * (120 - seq), 1);
  feed_v9_seq (s, 121, UPTIME + 1000, 1);
  assert_int_equal (counters (s)->reordered, 10);
  assert_int_equal (counters (s)->restarts, 0);
  assert_int_equal (counters (s)->lost, 0);
}

static void
sequence_v5 (void **state)
{
  g_autoptr (Sink) s = sink_new (NULL);
  Dgram d;

  (void) state;
  for (guint i = 0; i < 3; i++) {
    dgram_v5 (&d, 2, UPTIME, EXPORT_S, 0, i < 2 ? 2 * i : 40, 0);
    dgram_v5_record (&d, "192.0.2.1", "198.51.100.2", 1, 2);
    dgram_v5_record (&d, "192.0.2.1", "198.51.100.2", 1, 2);
    assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  }
  assert_int_equal (counters (s)->lost, 36);
}

/* One decoder's flows of three records of random bytes. tail: a field of variable length is behind the others, empty in
 * each record. */
static void
random_records (Sink *s, const DgramField *fields, guint n, guint32 seed, gboolean tail)
{
  static const guint8 empty = 0;
  g_autoptr (GRand) rand = g_rand_new_with_seed (seed);
  Dgram d;

  s->n_headers = s->n_flows = 0;
  s->order[0] = '\0';
  s->now += OWD_NS_PER_S; /* templates have a budget */
  dgram_ipfix (&d, EXPORT_S, 0, 1);
  dgram_template (&d, 10, 300, n, fields);
  dgram_set (&d, 300);
  for (guint i = 0; i < 3; i++) {
    for (guint k = 0; k < n - 1; k++)
      for (guint b = 0; b < fields[k].len; b++)
        dgram_u8 (&d, (guint) g_rand_int_range (rand, 0, g_rand_int_range (rand, 0, 3) == 0 ? 1 : 256));
    if (tail)
      dgram_bytes (&d, &empty, 1);
    else
      dgram_u8 (&d, 0);
  }
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
}

/* Records of fixed length may be taken 16 bytes at a time, those of variable length are taken field by field: the same
 * comes out, whatever the template. */
static void
both_ways_are_one (void **state)
{
  static const guint16 lengths[] = { 1, 2, 3, 4, 5, 7, 8, 16 };
  guint n_elements;
  const OwdElement *elements = owd_elements (&n_elements);
  guint32 seed = 20260131;
  g_autoptr (GRand) rand = g_rand_new_with_seed (seed);
  g_autoptr (Sink) fixed = sink_new (NULL);
  g_autoptr (Sink) variable = sink_new (NULL);

  (void) state;
  print_message ("seed %u\n", seed);
  for (guint round = 0; round < 600; round++) {
    DgramField fields[32] = { { 8, 4, 0 }, { 12, 4, 0 } };
    guint n = 2 + (guint) g_rand_int_range (rand, 0, 28);
    guint32 bytes_seed = g_rand_int (rand);

    for (guint i = 2; i < n; i++) {
      const OwdElement *e = &elements[g_rand_int_range (rand, 0, (gint32) n_elements)];

      if (e->pen >= 0x80000000u) /* names of ours for what v9 has */
        e = &elements[0];
      fields[i] = (DgramField){ e->id, lengths[g_rand_int_range (rand, 0, G_N_ELEMENTS (lengths))], e->pen };
      if (e->use == OWD_USE_ADDR)
        fields[i].len = e->arg == 4 ? 4 : 16;
    }
    fields[n] = (DgramField){ 99, 1, 32473 };
    random_records (fixed, fields, n + 1, bytes_seed, FALSE);
    fields[n].len = DGRAM_VARLEN;
    random_records (variable, fields, n + 1, bytes_seed, TRUE);
    assert_int_equal (fixed->n_flows, variable->n_flows);
    assert_true (fixed->n_flows >= 3);
    for (guint i = 0; i < fixed->n_flows; i++)
      assert_memory_equal (&fixed->flows[i], &variable->flows[i], sizeof (OwdFlow));
  }
}

/* The same template, ever different: what an exporter may have at once, then 100 a second. Repeating one is free. */
static void
templates_have_a_budget (void **state)
{
  const OwdDecoderLimits limits = { .max_templates = 200 };
  g_autoptr (Sink) s = sink_new (&limits);
  DgramField fields[] = { { 8, 4, 0 }, { 12, 4, 0 }, { 2, 4, 0 } };
  Dgram d;

  (void) state;
  v9_usual (&d, 0, 1); /* one of them; and a flow, so that no stranger's budget counts */
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  for (guint i = 0; i < 300; i++) {
    fields[2].id = (guint16) (100 + i);
    dgram_v9 (&d, UPTIME, EXPORT_S, 1 + i, 7);
    dgram_template (&d, 9, 300, G_N_ELEMENTS (fields), fields);
    s->n_headers = 0;
    s->order[0] = 0;
    (void) feed (s, &d);
  }
  assert_int_equal (counters (s)->templates, 200);
  assert_int_equal (counters (s)->refused[OWD_REASON_LIMIT], 101);
  s->now += OWD_NS_PER_S / 2;
  for (guint i = 0; i < 300; i++) {
    fields[2].id = (guint16) (1000 + i / 3);
    dgram_v9 (&d, UPTIME, EXPORT_S, 301 + i, 7);
    dgram_template (&d, 9, 300, G_N_ELEMENTS (fields), fields);
    s->n_headers = 0;
    s->order[0] = 0;
    (void) feed (s, &d);
  }
  assert_int_equal (counters (s)->templates, 250);
  /* what was there before is there still */
  v9_usual (&d, 601, 5);
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  assert_int_equal (s->n_flows, 2);
}

/* ---- memory ------------------------------------------------------------------------------------ */

/* From that address and domain: templates FIRST .. FIRST + n - 1 of 30 fields, unlike those of another `kind`. */
static void
feed_templates (Sink *s, const char *from, guint32 domain, guint first, guint n, guint kind)
{
  DgramField fields[30] = { { 8, 4, 0 }, { 12, 4, 0 } };
  Dgram d;

  for (guint i = 2; i < G_N_ELEMENTS (fields); i++)
    fields[i] = (DgramField){ (guint16) (1 + (i * 7 + kind) % 400), 4, 0 };
  for (guint i = 0; i < n; i += 40) {
    dgram_ipfix (&d, EXPORT_S, 0, domain);
    dgram_set (&d, 2);
    for (guint k = i; k < MIN (i + 40, n); k++)
      dgram_template_record (&d, first + k, G_N_ELEMENTS (fields), fields);
    dgram_set (&d, 9999); /* and a data set that nobody knows the template of */
    for (guint k = 0; k < 100; k++)
      dgram_u32 (&d, k);
    dgram_finish (&d);
    (void) feed_from (s, from, 2055, d.b, d.len);
  }
}

/* Many addresses, each with many domains of many templates: what they are charged stays within the limit and is no less
 * than what they take; an exporter that brings flows keeps its templates and may change them. */
static void
memory_is_bounded (void **state)
{
  const OwdDecoderLimits limits = { .max_bytes = 2 << 20 };
  gsize before = mallinfo2 ().uordblks;
  g_autoptr (Sink) s = sink_new (&limits);
  OwdDecoderMemory memory;
  Dgram d;

  (void) state;
  v9_usual (&d, 0, 1);
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  for (guint host = 1; host <= 40; host++) {
    g_autofree char *from = g_strdup_printf ("10.1.0.%u", host);

    for (guint32 domain = 0; domain < 5; domain++) {
      s->now += OWD_NS_PER_S / 10;
      feed_templates (s, from, domain, 300, 120, host + domain);
      owd_decoder_memory (s->decoder, &memory);
      assert_true (memory.used <= memory.max && memory.max == limits.max_bytes);
      s->n_headers = 0;
      s->order[0] = '\0';
    }
  }
  assert_true (memory.evicted > 500);
  if (mallinfo2 ().uordblks > before) /* a sanitizer's allocator says nothing */
    assert_in_range (mallinfo2 ().uordblks - before, memory.used / 2, memory.used + (2 << 20));
  /* the exporter, with another template */
  s->n_flows = 0;
  dgram_v9 (&d, UPTIME, EXPORT_S, 1, 7);
  dgram_template (&d, 9, 257, USUAL_N, USUAL);
  dgram_set (&d, 257);
  usual_record (&d, 3);
  dgram_set (&d, 256);
  usual_record (&d, 4);
  assert_int_equal (feed (s, &d), OWD_STATUS_OK);
  assert_int_equal (s->n_flows, 2);
}

/* One address gets an eighth; it is told so, and others have room. */
static void
address_has_its_part (void **state)
{
  const OwdDecoderLimits limits = { .max_bytes = 8 << 20 };
  g_autoptr (Sink) s = sink_new (&limits);
  OwdDecoderMemory memory;

  (void) state;
  for (guint32 domain = 0; domain < 12; domain++) {
    s->now += OWD_NS_PER_S;
    feed_templates (s, "10.1.0.1", domain, 300, 120, domain);
    s->n_headers = 0;
    s->order[0] = '\0';
  }
  owd_decoder_memory (s->decoder, &memory);
  assert_in_range (memory.used, memory.max / 10, memory.max / 8);
  assert_int_equal (memory.evicted, 0);
  assert_true (memory.refused > 0);
  assert_int_equal (owd_decoder_state (s->decoder, 1)->refused[OWD_REASON_LIMIT], 0);
  assert_true (counters (s)->refused[OWD_REASON_LIMIT] > 0); /* the first pays for domains that got no state */
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (v5_record),
    cmocka_unit_test (v5_count_lies),
    cmocka_unit_test (v9_record),
    cmocka_unit_test (odd_sizes),
    cmocka_unit_test (both_ways_are_one),
    cmocka_unit_test (templates_have_a_budget),
    cmocka_unit_test (memory_is_bounded),
    cmocka_unit_test (address_has_its_part),
    cmocka_unit_test (ipfix_variable_length),
    cmocka_unit_test (ipfix_length_lies),
    cmocka_unit_test (not_an_export),
    cmocka_unit_test (every_prefix),
    cmocka_unit_test (bad_template_leaves_neighbours),
    cmocka_unit_test (bad_set_ends_message),
    cmocka_unit_test (set_shorter_than_record),
    cmocka_unit_test (v9_lengths_of_all_kinds),
    cmocka_unit_test (many_duplicates),
    cmocka_unit_test (redefinition),
    cmocka_unit_test (withdrawal),
    cmocka_unit_test (expiry),
    cmocka_unit_test (no_expiry_over_a_stream),
    cmocka_unit_test (late_template),
    cmocka_unit_test (late_is_bounded),
    cmocka_unit_test (limits_hold),
    cmocka_unit_test (limit_of_fields),
    cmocka_unit_test (one_address_cannot_take_all),
    cmocka_unit_test (whose_template),
    cmocka_unit_test (address_pairs),
    cmocka_unit_test (preferred_counts),
    cmocka_unit_test (finest_sane_stamp),
    cmocka_unit_test (event_and_duration),
    cmocka_unit_test (rare_members),
    cmocka_unit_test (icmp_type_is_the_port),
    cmocka_unit_test (biflow_is_two),
    cmocka_unit_test (yaf_biflow),
    cmocka_unit_test (sampling_of_the_state),
    cmocka_unit_test (sampling_by_sampler),
    cmocka_unit_test (sampling_by_interface),
    cmocka_unit_test (options_behind_flows),
    cmocka_unit_test (init_time_in_options),
    cmocka_unit_test (every_stamp),
    cmocka_unit_test (events_and_other_times),
    cmocka_unit_test (init_time_must_be_sane),
    cmocka_unit_test (stand_ins),
    cmocka_unit_test (structured_data),
    cmocka_unit_test (types_of_vendors_elements),
    cmocka_unit_test (sampling_in_all_words),
    cmocka_unit_test (reports_of_the_exporter),
    cmocka_unit_test (sequence_v9),
    cmocka_unit_test (sequence_restart),
    cmocka_unit_test (sequence_ipfix),
    cmocka_unit_test (sequence_inclusive),
    cmocka_unit_test (sequence_shared_by_domains),
    cmocka_unit_test (sequence_of_each_domain),
    cmocka_unit_test (sequence_late_start),
    cmocka_unit_test (sequence_v5),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
