/* SPDX-License-Identifier: Apache-2.0
 *
 * Addresses, claims, hashes. The hashes are part of the log format: see owd-flow.h.
 */
#include "owd-flow.h"
#include "owd-wire.h"

#include <arpa/inet.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

/* Seconds from 1900 (NTP era 0) to 1970. */
#define NTP_UNIX_S 2208988800u

static const guint8 V4_PREFIX[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

gboolean
owd_addr_is_v4 (const OwdAddr *addr)
{
  return memcmp (addr->b, V4_PREFIX, sizeof V4_PREFIX) == 0;
}

gboolean
owd_addr_is_zero (const OwdAddr *addr)
{
  static const OwdAddr zero;

  if (owd_addr_is_v4 (addr))
    return memcmp (addr->b + 12, zero.b, 4) == 0;
  return memcmp (addr, &zero, sizeof zero) == 0;
}

void
owd_addr_set_v4 (OwdAddr *addr, const guint8 v4[4])
{
  memcpy (addr->b, V4_PREFIX, sizeof V4_PREFIX);
  memcpy (addr->b + 12, v4, 4);
}

char *
owd_addr_text (const OwdAddr *addr, char *buf)
{
  if (owd_addr_is_v4 (addr))
    inet_ntop (AF_INET, addr->b + 12, buf, OWD_ADDR_TEXT);
  else
    inet_ntop (AF_INET6, addr->b, buf, OWD_ADDR_TEXT);
  return buf;
}

gboolean
owd_addr_parse (const char *text, OwdAddr *ret_addr)
{
  guint8 v4[4];
  OwdAddr addr;

  if (inet_pton (AF_INET, text, v4) == 1) {
    owd_addr_set_v4 (ret_addr, v4);
    return TRUE;
  }
  if (inet_pton (AF_INET6, text, addr.b) != 1)
    return FALSE;
  *ret_addr = addr;
  return TRUE;
}

guint
owd_state_key_hash (gconstpointer key)
{
  return (guint) XXH3_64bits (key, sizeof (OwdStateKey));
}

gboolean
owd_state_key_equal (gconstpointer a, gconstpointer b)
{
  return memcmp (a, b, sizeof (OwdStateKey)) == 0;
}

/* 64-bit NTP format; era 0 until 2036, then era 1 (RFC 7011 6.1.9: the nearest to now; here: after 1970). */
static OwdTime
ntp_to_unix (guint64 ntp)
{
  guint32 s = (guint32) (ntp >> 32);
  guint64 ns = ((ntp & 0xffffffffu) * (guint64) OWD_NS_PER_S) >> 32;
  gint64 unix_s = (gint64) s - NTP_UNIX_S;

  if (unix_s < 0)
    unix_s += G_GINT64_CONSTANT (1) << 32;
  return unix_s * OWD_NS_PER_S + (gint64) ns;
}

/* value * unit, or none where that leaves the range. */
static OwdTime
scaled (guint64 value, gint64 unit)
{
  gint64 t;

  if (__builtin_mul_overflow (value, unit, &t))
    return OWD_TIME_NONE;
  return t;
}

OwdTime
owd_flow_claim (const OwdHeader *header, const OwdFlow *flow, OwdStampKind kind, guint64 raw)
{
  OwdTime export_ns = (gint64) header->export_s * OWD_NS_PER_S + header->export_frac_ns;
  gint64 init_ms = flow->init_ms != 0 ? flow->init_ms : header->init_ms;
  gint64 ms;

  switch (kind) {
  case OWD_STAMP_UPTIME_MS:
    if (header->flags & OWD_HEADER_UPTIME)
      return owd_time_add (export_ns, -owd_uptime_diff_ms (header->uptime_ms, (guint32) raw) * OWD_NS_PER_MS);
    if (init_ms == 0 || raw > G_MAXINT64 || __builtin_add_overflow (init_ms, (gint64) raw, &ms) || ms < 0)
      return OWD_TIME_NONE;
    return scaled ((guint64) ms, OWD_NS_PER_MS);
  case OWD_STAMP_UNIX_S:
  case OWD_STAMP_EVENT_S:
    return scaled (raw, OWD_NS_PER_S);
  case OWD_STAMP_UNIX_MS:
  case OWD_STAMP_EVENT_MS:
    return scaled (raw, OWD_NS_PER_MS);
  case OWD_STAMP_NTP_US:
  case OWD_STAMP_NTP_NS:
  case OWD_STAMP_EVENT_US:
  case OWD_STAMP_EVENT_NS:
    return ntp_to_unix (raw);
  case OWD_STAMP_DELTA_US:
    return raw > G_MAXINT64 / 1000 ? OWD_TIME_NONE : owd_time_add (export_ns, -(gint64) raw * OWD_NS_PER_US);
  case OWD_STAMP_NONE:
  case OWD_STAMP_KINDS:
    break;
  }
  return OWD_TIME_NONE;
}

static void
put_endpoint (guint8 *addr_out, guint8 *port_out, const OwdAddr *addr, guint16 port)
{
  memcpy (addr_out, addr->b, 16);
  port_out[0] = (guint8) (port >> 8);
  port_out[1] = (guint8) port;
}

static guint64
hash_key (const OwdAddr *a, guint16 aport, const OwdAddr *b, guint16 bport, guint8 proto)
{
  guint8 key[37];

  put_endpoint (key, key + 32, a, aport);
  put_endpoint (key + 16, key + 34, b, bport);
  key[36] = proto;
  return XXH3_64bits (key, sizeof key);
}

guint64
owd_flow_hash (const OwdFlow *flow)
{
  return hash_key (&flow->src, flow->sport, &flow->dst, flow->dport, flow->proto);
}

guint64
owd_flow_hash_undirected (const OwdFlow *flow)
{
  int order = memcmp (flow->src.b, flow->dst.b, 16);

  if (order < 0 || (order == 0 && flow->sport <= flow->dport))
    return hash_key (&flow->src, flow->sport, &flow->dst, flow->dport, flow->proto);
  return hash_key (&flow->dst, flow->dport, &flow->src, flow->sport, flow->proto);
}
