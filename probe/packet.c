/* SPDX-License-Identifier: Apache-2.0
 *
 * STAMP packets as bytes: RFC 8762 (base), RFC 8972 (SSID, TLVs), RFC 4656 section 4.1.2 (error estimate).
 *
 *             unauthenticated, 44 bytes            authenticated, 112 bytes (HMAC over the first 96)
 *   request   seq 0  T1 4  error 12  ssid 14       seq 0  T1 16  error 24  ssid 26  hmac 96
 *   reply     seq 0  T3 4  error 12  ssid 14       seq 0  T3 16  error 24  ssid 26
 *             T2 16  seq' 24  T1 28  error' 36     T2 32  seq' 48  T1 64  error' 72
 *             ttl' 40                              ttl' 80  hmac 96
 *
 * The arrivals TLV (252) is ours: "OWA2" and the eight fields of OwdProbeArrivals, 36 bytes. Everything else must be
 * zero. TLVs follow the base packet: flags, type, 16-bit length, value. In authenticated mode an HMAC TLV closes them,
 * over the sequence number and all TLVs before it; only padding may follow it.
 */
#include "packet.h"

#include <math.h>

#define ERA_S (G_GINT64_CONSTANT (1) << 32)

const OwdProbeLayout owd_probe_open_request = { .size = 44, .stamp = 4, .error = 12, .ssid = 14 };
const OwdProbeLayout owd_probe_open_reply = { .size = 44,
                                              .stamp = 4,
                                              .error = 12,
                                              .ssid = 14,
                                              .t2 = 16,
                                              .sender_seq = 24,
                                              .sender_stamp = 28,
                                              .sender_error = 36,
                                              .ttl = 40 };
const OwdProbeLayout owd_probe_auth_request = { .size = 112, .stamp = 16, .error = 24, .ssid = 26, .mac = 96 };
const OwdProbeLayout owd_probe_auth_reply = { .size = 112,
                                              .stamp = 16,
                                              .error = 24,
                                              .ssid = 26,
                                              .t2 = 32,
                                              .sender_seq = 48,
                                              .sender_stamp = 64,
                                              .sender_error = 72,
                                              .ttl = 80,
                                              .mac = 96 };

/* ---- stamps and error estimates ---------------------------------------------------------------- */

guint64
owd_probe_stamp_encode (OwdTime t, gboolean ptp)
{
  gint64 s = t / OWD_NS_PER_S, ns = t % OWD_NS_PER_S;
  guint64 low;

  if (ns < 0) {
    ns += OWD_NS_PER_S;
    s--;
  }
  if (ptp)
    return (guint64) (guint32) s << 32 | (guint64) ns;
  /* to the nearest fraction: the way back gives the same nanosecond */
  low = (((guint64) ns << 32) + OWD_NS_PER_S / 2) / OWD_NS_PER_S;
  return (guint64) (guint32) (s + OWD_PROBE_NTP_TO_UNIX_S) << 32 | low;
}

OwdTime
owd_probe_stamp_decode (guint64 wire, gboolean ptp, OwdTime near)
{
  guint32 low = (guint32) wire;
  gint64 s = (gint64) (wire >> 32) - (ptp ? 0 : OWD_PROBE_NTP_TO_UNIX_S);
  gint64 ns = ptp ? MIN (low, OWD_NS_PER_S - 1) : (gint64) (((guint64) low * OWD_NS_PER_S + (1u << 31)) >> 32);
  gint64 eras = (gint64) floor ((double) (near / OWD_NS_PER_S - s) / (double) ERA_S + 0.5);

  return owd_time_add ((s + eras * ERA_S) * OWD_NS_PER_S, ns);
}

guint16
owd_probe_error_encode (const OwdProbeError *error)
{
  /* nothing known: what an unsynchronised kernel says, 16 s; 64 s is beyond every use and within every scale */
  gint64 ns = error->error_ns < 0 ? 16 * OWD_NS_PER_S : MIN (error->error_ns, 64 * OWD_NS_PER_S);
  guint64 units = MAX ((guint64) ceil (ldexp ((double) ns / (double) OWD_NS_PER_S, 32)), 1);
  guint scale = 0;

  while (units > 255) {
    units = (units + 1) >> 1;
    scale++;
  }
  return (guint16) ((error->synchronised ? 0x8000 : 0) | (error->ptp ? 0x4000 : 0) | scale << 8 | units);
}

OwdProbeError
owd_probe_error_decode (guint16 wire)
{
  OwdProbeError e = { .error_ns = -1, .synchronised = (wire & 0x8000) != 0, .ptp = (wire & 0x4000) != 0 };
  guint multiplier = wire & 0xff, scale = wire >> 8 & 0x3f;
  double ns = ldexp (multiplier, (int) scale - 32) * 1e9;

  if (multiplier != 0 && ns >= OWD_PROBE_ERROR_FLOOR_NS)
    e.error_ns = ns < 1e15 ? (gint64) ceil (ns) : G_GINT64_CONSTANT (1000000000000000);
  return e;
}

OwdProbeError
owd_probe_error_from_kernel (int adjtimex_state, int status, glong maxerror_us, gint64 noise_ns)
{
  /* TIME_ERROR and STA_UNSYNC; linux/timex.h stays out of engines */
  gboolean sync = adjtimex_state >= 0 && adjtimex_state != 5 && (status & 0x0040) == 0;
  gint64 error_us = adjtimex_state < 0 ? 16000000 : CLAMP (maxerror_us, 0, 1000000000);

  return (OwdProbeError){ .error_ns = error_us * OWD_NS_PER_US + noise_ns, .synchronised = sync };
}

/* ---- TLVs -------------------------------------------------------------------------------------- */

OwdStatus
owd_probe_tlv_next (OwdWire *w, const guint8 *start, OwdProbeTlv *ret_tlv)
{
  const guint8 *header = w->p;
  OwdProbeTlv tlv;

  if (owd_wire_left (w) == 0)
    return OWD_STATUS_END;
  tlv.offset = (gsize) (header - start);
  tlv.flags = owd_wire_u8 (w);
  tlv.type = owd_wire_u8 (w);
  tlv.len = owd_wire_u16 (w);
  tlv.value = owd_wire_take (w, tlv.len);
  if (w->failed)
    return OWD_STATUS_LENGTH;
  *ret_tlv = tlv;
  return OWD_STATUS_OK;
}

gboolean
owd_probe_is_tlv_chain (const guint8 *tail, gsize len)
{
  guint type;

  if (len < OWD_PROBE_TLV_HEADER)
    return FALSE;
  type = tail[1];
  if ((tail[0] & 0x1f) != 0 || owd_be16 (tail + 2) > len - OWD_PROBE_TLV_HEADER)
    return FALSE;
  return (tail[0] & OWD_PROBE_TLV_U) != 0 || type == OWD_PROBE_TLV_ARRIVALS
         || (type >= OWD_PROBE_TLV_PADDING && type <= OWD_PROBE_TLV_RETURN_PATH);
}

static void
put_tlv_header (guint8 *p, guint8 flags, guint8 type, gsize value_len)
{
  p[0] = flags;
  p[1] = type;
  owd_probe_put16 (p + 2, (guint16) value_len);
}

/* ---- the sender's packets ---------------------------------------------------------------------- */

/* Value lengths of what a sender asks for, in wire order. */
static const struct {
  guint32 ask;
  guint8 type;
  guint16 len;
} asked[] = {
  { OWD_PROBE_ASK_LOCATION, OWD_PROBE_TLV_LOCATION, 4 },
  { OWD_PROBE_ASK_STAMP_INFO, OWD_PROBE_TLV_STAMP_INFO, 4 },
  { OWD_PROBE_ASK_COS, OWD_PROBE_TLV_COS, 4 },
  { OWD_PROBE_ASK_DIRECT, OWD_PROBE_TLV_DIRECT, 12 },
  { OWD_PROBE_ASK_FOLLOW_UP, OWD_PROBE_TLV_FOLLOW_UP, 16 },
  { OWD_PROBE_ASK_ARRIVALS, OWD_PROBE_TLV_ARRIVALS, OWD_PROBE_ARRIVALS_LEN },
};

void
owd_probe_put_arrivals (guint8 *value, const OwdProbeArrivals *a)
{
  const guint32 words[] = {
    OWD_PROBE_ARRIVALS_MAGIC, a->run, a->life, a->first, a->highest, a->arrived, a->copies, a->reordered, a->unsure
  };

  G_STATIC_ASSERT (sizeof words == OWD_PROBE_ARRIVALS_LEN);
  for (guint i = 0; i < G_N_ELEMENTS (words); i++)
    owd_probe_put32 (value + 4 * i, words[i]);
}

gboolean
owd_probe_read_arrivals (const OwdProbeTlv *tlv, OwdProbeArrivals *ret)
{
  const guint8 *v = tlv->value;

  if (tlv->len != OWD_PROBE_ARRIVALS_LEN || owd_be32 (v) != OWD_PROBE_ARRIVALS_MAGIC)
    return FALSE;
  *ret = (OwdProbeArrivals){ .run = owd_be32 (v + 4),
                             .life = owd_be32 (v + 8),
                             .first = owd_be32 (v + 12),
                             .highest = owd_be32 (v + 16),
                             .arrived = owd_be32 (v + 20),
                             .copies = owd_be32 (v + 24),
                             .reordered = owd_be32 (v + 28),
                             .unsure = owd_be32 (v + 32) };
  return TRUE;
}

static gsize
put_asked (const OwdProbeRequest *r, guint8 *buf, gsize at)
{
  for (guint i = 0; i < G_N_ELEMENTS (asked); i++) {
    guint8 *value = buf + at + OWD_PROBE_TLV_HEADER;

    if ((r->ask & asked[i].ask) == 0)
      continue;
    put_tlv_header (buf + at, OWD_PROBE_TLV_U, asked[i].type, asked[i].len);
    if (asked[i].type == OWD_PROBE_TLV_COS) {
      value[0] = (guint8) (r->dscp << 2);
      value[2] = (guint8) (r->ecn << 6);
    } else if (asked[i].type == OWD_PROBE_TLV_DIRECT) {
      owd_probe_put32 (value, r->sent);
    } else if (asked[i].type == OWD_PROBE_TLV_ARRIVALS) {
      owd_probe_put_arrivals (value, &(OwdProbeArrivals){ .run = r->run, .first = r->first });
    }
    at += OWD_PROBE_TLV_HEADER + asked[i].len;
  }
  return at;
}

gsize
owd_probe_request_build (const OwdProbeRequest *r, guint8 *buf, gsize cap)
{
  const OwdProbeLayout *at = r->key != NULL ? &owd_probe_auth_request : &owd_probe_open_request;
  gsize need = at->size, len;

  for (guint i = 0; i < G_N_ELEMENTS (asked); i++)
    need += (r->ask & asked[i].ask) != 0 ? OWD_PROBE_TLV_HEADER + asked[i].len : 0;
  if (r->key != NULL && r->ask != 0)
    need += OWD_PROBE_TLV_HEADER + OWD_PROBE_MAC;
  if (MAX (need, r->size) > cap)
    return 0;
  memset (buf, 0, MAX (need, r->size));
  owd_probe_put32 (buf, r->seq);
  owd_probe_put64 (buf + at->stamp, r->stamp);
  owd_probe_put16 (buf + at->error, r->error);
  owd_probe_put16 (buf + at->ssid, r->ssid);
  if (r->key != NULL)
    owd_probe_key_mac (r->key, buf, at->mac, NULL, 0, buf + at->mac);
  len = put_asked (r, buf, at->size);
  if (r->key != NULL && r->ask != 0) {
    put_tlv_header (buf + len, OWD_PROBE_TLV_U, OWD_PROBE_TLV_HMAC, OWD_PROBE_MAC);
    owd_probe_key_mac (r->key, buf, 4, buf + at->size, len - at->size, buf + len + OWD_PROBE_TLV_HEADER);
    len += OWD_PROBE_TLV_HEADER + OWD_PROBE_MAC;
  }
  /* fewer bytes than a header cannot be padding in TLV form: the packet stays that much shorter */
  if (r->raw_padding)
    len = MAX (len, r->size);
  else if (r->size >= len + OWD_PROBE_TLV_HEADER) {
    put_tlv_header (buf + len, OWD_PROBE_TLV_U, OWD_PROBE_TLV_PADDING, r->size - len - OWD_PROBE_TLV_HEADER);
    len = r->size;
  }
  return len;
}

static void
read_reply_tlv (const OwdProbeTlv *tlv, OwdProbeReply *reply)
{
  const guint8 *v = tlv->value;

  if (tlv->flags != 0)
    return;
  if (tlv->type == OWD_PROBE_TLV_COS && tlv->len >= 4) {
    reply->got |= OWD_PROBE_ASK_COS;
    reply->dscp_seen = (guint8) ((owd_be16 (v) >> 4) & 0x3f);
    reply->ecn_seen = (v[1] >> 2) & 3;
    reply->dscp_refused = (v[1] & 3) != 0;
  } else if (tlv->type == OWD_PROBE_TLV_DIRECT && tlv->len >= 12) {
    reply->got |= OWD_PROBE_ASK_DIRECT;
    reply->peer_rx = owd_be32 (v + 4);
    reply->peer_tx = owd_be32 (v + 8);
  } else if (tlv->type == OWD_PROBE_TLV_FOLLOW_UP && tlv->len >= 13) {
    reply->got |= OWD_PROBE_ASK_FOLLOW_UP;
    reply->follow_seq = owd_be32 (v);
    reply->follow_t3 = owd_be64 (v + 4);
  } else if (tlv->type == OWD_PROBE_TLV_STAMP_INFO && tlv->len >= 4) {
    reply->got |= OWD_PROBE_ASK_STAMP_INFO;
  } else if (tlv->type == OWD_PROBE_TLV_LOCATION && tlv->len >= 4) {
    reply->got |= OWD_PROBE_ASK_LOCATION;
    reply->seen_port = owd_be16 (v + 2);
  } else if (tlv->type == OWD_PROBE_TLV_ARRIVALS && owd_probe_read_arrivals (tlv, &reply->arrivals)) {
    reply->got |= OWD_PROBE_ASK_ARRIVALS;
  }
}

/* TLVs of an authenticated reply count only under their own HMAC. */
static gboolean
tlvs_proven (const guint8 *data, gsize base, gsize len, OwdProbeKey *key)
{
  OwdWire w = owd_wire (data + base, len - base);
  OwdProbeTlv tlv;
  guint8 mac[OWD_PROBE_MAC];

  while (owd_probe_tlv_next (&w, data + base, &tlv) == OWD_STATUS_OK)
    if (tlv.type == OWD_PROBE_TLV_HMAC && tlv.len == OWD_PROBE_MAC) {
      owd_probe_key_mac (key, data, 4, data + base, tlv.offset, mac);
      return owd_probe_mac_equal (mac, tlv.value);
    }
  return FALSE;
}

OwdStatus
owd_probe_reply_parse (const void *bytes, gsize len, OwdProbeKey *key, OwdProbeReply *ret_reply)
{
  const guint8 *data = bytes;
  const OwdProbeLayout *at = key != NULL ? &owd_probe_auth_reply : &owd_probe_open_reply;
  OwdProbeReply r = { .ttl = -1 };
  OwdProbeTlv tlv;
  OwdWire w;

  if (len < (key != NULL ? OWD_PROBE_BASE_AUTH : OWD_PROBE_REPLY_MIN))
    return OWD_STATUS_SHORT;
  if (!owd_probe_mac_fits (data, key))
    return OWD_STATUS_CHECKSUM;
  r.seq = owd_be32 (data);
  r.t3 = owd_be64 (data + at->stamp);
  r.error = owd_probe_error_decode (owd_be16 (data + at->error));
  r.ssid = owd_be16 (data + at->ssid);
  r.t2 = owd_be64 (data + at->t2);
  r.sender_seq = owd_be32 (data + at->sender_seq);
  r.sender_stamp = owd_be64 (data + at->sender_stamp);
  if (len > at->ttl)
    r.ttl = data[at->ttl];
  if (len > at->size && owd_probe_is_tlv_chain (data + at->size, len - at->size)
      && (key == NULL || tlvs_proven (data, at->size, len, key))) {
    w = owd_wire (data + at->size, len - at->size);
    while (owd_probe_tlv_next (&w, data + at->size, &tlv) == OWD_STATUS_OK && tlv.type != OWD_PROBE_TLV_HMAC)
      read_reply_tlv (&tlv, &r);
  }
  *ret_reply = r;
  return OWD_STATUS_OK;
}
