/* SPDX-License-Identifier: Apache-2.0
 *
 * TCP segments that measure, as bytes (RFC 9293): a bare header, perhaps with zeros behind it, and what comes back.
 */
#include "packet.h"

enum {
  AT_SEQ = 4,
  AT_ACK = 8,
  AT_OFFSET = 12,
  AT_BITS = 13,
  AT_WINDOW = 14,
  AT_CHECKSUM = 16,
  PROTO_TCP = 6,
};

void
owd_probe_segment_number (OwdProbeSegment *segment, OwdProbeTcp kind, guint32 token, guint32 number)
{
  if (kind == OWD_PROBE_TCP_ACK) {
    segment->bits = OWD_PROBE_TCP_ACK_BIT;
    segment->seq = token ^ 0x5bd1e995; /* any: a RST does not repeat it */
    segment->ack = token + number;
  } else {
    segment->bits = OWD_PROBE_TCP_SYN_BIT;
    segment->seq = token + number;
    segment->ack = 0;
  }
}

gsize
owd_probe_segment_build (const OwdProbeSegment *s, guint8 *buf, gsize cap)
{
  gsize len = OWD_PROBE_TCP_HEADER + (gsize) s->size;
  guint32 sum;

  if (len > cap)
    return 0;
  memset (buf, 0, len);
  owd_probe_put16 (buf, s->sport);
  owd_probe_put16 (buf + 2, s->dport);
  owd_probe_put32 (buf + AT_SEQ, s->seq);
  owd_probe_put32 (buf + AT_ACK, s->ack);
  buf[AT_OFFSET] = OWD_PROBE_TCP_HEADER / 4 << 4;
  buf[AT_BITS] = s->bits;
  owd_probe_put16 (buf + AT_WINDOW, 1024);
  sum = owd_probe_sum (owd_probe_pseudo_sum (&s->src, &s->dst, PROTO_TCP, len), buf, len);
  owd_probe_put16 (buf + AT_CHECKSUM, (guint16) ~owd_probe_fold (sum));
  return len;
}

OwdStatus
owd_probe_segment_parse (const void *data, gsize len, gboolean with_ip, OwdProbeSegment *ret)
{
  OwdWire w = owd_wire (data, len);
  guint8 first, offset;

  if (with_ip) {
    first = owd_wire_u8 (&w);
    if (!w.failed && (first >> 4 != 4 || (first & 0xf) < 5))
      return OWD_STATUS_MALFORMED;
    owd_wire_take (&w, (first & 0xfu) * 4u - 1);
  }
  ret->sport = owd_wire_u16 (&w);
  ret->dport = owd_wire_u16 (&w);
  ret->seq = owd_wire_u32 (&w);
  ret->ack = owd_wire_u32 (&w);
  offset = owd_wire_u8 (&w);
  ret->bits = owd_wire_u8 (&w) & 0x3f;
  owd_wire_take (&w, 6);
  if (w.failed)
    return OWD_STATUS_SHORT;
  if (offset >> 4 < OWD_PROBE_TCP_HEADER / 4)
    return OWD_STATUS_MALFORMED;
  ret->size = (guint16) MIN (owd_wire_left (&w), G_MAXUINT16);
  return OWD_STATUS_OK;
}

gboolean
owd_probe_segment_answers (const OwdProbeSegment *s, OwdProbeTcp kind, guint32 token, guint16 size, guint32 *ret_number,
                           guint32 *ret_flags)
{
  const guint8 both = OWD_PROBE_TCP_SYN_BIT | OWD_PROBE_TCP_ACK_BIT;
  gboolean reset = (s->bits & OWD_PROBE_TCP_RST_BIT) != 0, ack = (s->bits & OWD_PROBE_TCP_ACK_BIT) != 0;

  if (kind == OWD_PROBE_TCP_ACK ? !reset : !(reset && ack) && (s->bits & both) != both)
    return FALSE;
  *ret_flags = reset ? OWD_PROBE_RESET : OWD_PROBE_SYN_ACK;
  if (kind == OWD_PROBE_TCP_ACK)
    *ret_number = s->seq - token;
  else
    *ret_number = s->ack - 1 - (reset ? size : 0) - token; /* a listener leaves the payload for later */
  return TRUE;
}
