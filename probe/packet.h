/* SPDX-License-Identifier: Apache-2.0
 *
 * What packet.c and reflector.c share about the wire.
 */
#ifndef OWD_PROBE_PACKET_H
#define OWD_PROBE_PACKET_H

#include "owd-probe.h"

#define OWD_PROBE_TLV_HEADER 4
#define OWD_PROBE_ARRIVALS_MAGIC 0x4f574132u /* "OWA2" */
#define OWD_PROBE_ARRIVALS_LEN 36

/* Offsets in a base packet; 0 where the packet has no such field. The sequence number is always at 0. */
typedef struct {
  guint8 size;
  guint8 stamp, error, ssid, t2, sender_seq, sender_stamp, sender_error, ttl, mac;
} OwdProbeLayout;

extern const OwdProbeLayout owd_probe_open_request, owd_probe_open_reply;
extern const OwdProbeLayout owd_probe_auth_request, owd_probe_auth_reply;

/* Does a packet's tail begin like TLVs, rather than like the raw padding of TWAMP-Light? Zeros and text do not. */
gboolean owd_probe_is_tlv_chain (const guint8 *tail, gsize len);

/* value: OWD_PROBE_ARRIVALS_LEN bytes. */
void owd_probe_put_arrivals (guint8 *value, const OwdProbeArrivals *arrivals);
/* FALSE: another TLV of the same number, or damaged. */
gboolean owd_probe_read_arrivals (const OwdProbeTlv *tlv, OwdProbeArrivals *ret_arrivals);

/* Base packet's HMAC; TRUE without key. data: at least OWD_PROBE_BASE_AUTH bytes where there is a key. */
gboolean owd_probe_mac_fits (const guint8 *data, OwdProbeKey *key);
/* In constant time. */
gboolean owd_probe_mac_equal (const guint8 a[OWD_PROBE_MAC], const guint8 b[OWD_PROBE_MAC]);

static inline void
owd_probe_put16 (guint8 *p, guint16 v)
{
  v = GUINT16_TO_BE (v);
  memcpy (p, &v, sizeof v);
}

static inline void
owd_probe_put32 (guint8 *p, guint32 v)
{
  v = GUINT32_TO_BE (v);
  memcpy (p, &v, sizeof v);
}

static inline void
owd_probe_put64 (guint8 *p, guint64 v)
{
  v = GUINT64_TO_BE (v);
  memcpy (p, &v, sizeof v);
}

/* One's complement sums of the Internet checksum (RFC 1071). Every piece but the last has an even length. */
static inline guint32
owd_probe_sum (guint32 sum, const guint8 *p, gsize len)
{
  for (gsize i = 0; i + 1 < len; i += 2)
    sum += owd_be16 (p + i);
  if (len % 2 != 0)
    sum += (guint32) p[len - 1] << 8;
  return sum;
}

static inline guint16
owd_probe_fold (guint32 sum)
{
  while (sum >> 16 != 0)
    sum = (sum & 0xffff) + (sum >> 16);
  return (guint16) sum;
}

/* The pseudo header of TCP, UDP and ICMPv6. */
static inline guint32
owd_probe_pseudo_sum (const OwdAddr *src, const OwdAddr *dst, guint proto, gsize len)
{
  gsize skip = owd_addr_is_v4 (dst) ? 12 : 0;

  return owd_probe_sum (owd_probe_sum (proto + (guint32) len, src->b + skip, 16 - skip), dst->b + skip, 16 - skip);
}

#endif
