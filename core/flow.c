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

gboolean
owd_prefix_parse (const char *text, OwdPrefix *ret_prefix)
{
  g_auto (GStrv) part = g_strsplit (text, "/", 2);
  OwdPrefix prefix = { .bits = 128 };
  guint64 bits;
  guint whole;

  if (part[0] == NULL || !owd_addr_parse (part[0], &prefix.addr))
    return FALSE;
  if (part[1] != NULL) {
    whole = owd_addr_is_v4 (&prefix.addr) ? 32 : 128;
    if (!g_ascii_string_to_unsigned (part[1], 10, 0, whole, &bits, NULL))
      return FALSE;
    prefix.bits = (guint8) (128 - whole + bits);
  }
  *ret_prefix = prefix;
  return TRUE;
}

gboolean
owd_prefix_has (const OwdPrefix *prefix, const OwdAddr *addr)
{
  guint bytes = prefix->bits / 8, rest = prefix->bits % 8;

  if (memcmp (prefix->addr.b, addr->b, bytes) != 0)
    return FALSE;
  return rest == 0 || (prefix->addr.b[bytes] ^ addr->b[bytes]) >> (8 - rest) == 0;
}

gboolean
owd_prefix_list_allows (const OwdPrefix *list, guint n, const OwdAddr *addr)
{
  for (guint i = 0; i < n; i++)
    if (owd_prefix_has (&list[i], addr))
      return TRUE;
  return n == 0;
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

/* ---- hashes ------------------------------------------------------------------------------------
 *
 * XXH3-64 (seed 0) of src 16, dst 16, sport 2, dport 2, proto 1: 37 bytes. Put together in memory and hashed from
 * there, half of the hash's 8-byte loads straddle stores that have just been made, and wait for them: 18 ns. The same
 * function on words in registers takes half of that. For 33 to 64 bytes XXH3 is four multiplications: of the first
 * 16 bytes, the next 16, the 16 from 32 before the end, and the last 16. tests/unit/test_flow.c holds it against the
 * library.
 */

/* Words of XXH3's default secret. */
static const guint64 SECRET[8] = {
  G_GUINT64_CONSTANT (0xbe4ba423396cfeb8), G_GUINT64_CONSTANT (0x1cad21f72c81017c),
  G_GUINT64_CONSTANT (0xdb979083e96dd4de), G_GUINT64_CONSTANT (0x1f67b3b7a4a44072),
  G_GUINT64_CONSTANT (0x78e5c0cc4ee679cb), G_GUINT64_CONSTANT (0x2172ffcc7dd05a82),
  G_GUINT64_CONSTANT (0x8e2443f7744608b8), G_GUINT64_CONSTANT (0x4c263a81e69035e0),
};

#define KEY_BYTES 37

/* As in the key read as little-endian words. */
typedef struct {
  guint64 lo, hi;
  guint64 port;
} Endpoint;

static inline guint64
mix (guint64 lo, guint64 hi, const guint64 *secret)
{
  unsigned __int128 product = (unsigned __int128) (lo ^ secret[0]) * (hi ^ secret[1]);

  return (guint64) product ^ (guint64) (product >> 64);
}

static inline guint64
hash_key (const Endpoint *a, const Endpoint *b, guint8 proto)
{
  guint64 tail = a->port << 24 | b->port << 40 | (guint64) proto << 56; /* bytes 32..36, behind three others */
  guint64 h = KEY_BYTES * G_GUINT64_CONSTANT (0x9e3779b185ebca87);

  h += mix (b->lo, b->hi, &SECRET[4]);
  h += mix (a->lo >> 40 | a->hi << 24, a->hi >> 40 | b->lo << 24, &SECRET[6]);
  h += mix (a->lo, a->hi, &SECRET[0]);
  h += mix (b->lo >> 40 | b->hi << 24, b->hi >> 40 | tail, &SECRET[2]);
  h ^= h >> 37;
  h *= G_GUINT64_CONSTANT (0x165667919e3779f9);
  return h ^ h >> 32;
}

static inline Endpoint
endpoint (const OwdAddr *addr, guint16 port)
{
  Endpoint e = { .port = GUINT16_SWAP_LE_BE (port) };

  memcpy (&e.lo, addr->b, 8);
  memcpy (&e.hi, addr->b + 8, 8);
  e.lo = GUINT64_FROM_LE (e.lo);
  e.hi = GUINT64_FROM_LE (e.hi);
  return e;
}

guint64
owd_flow_hash (const OwdFlow *flow)
{
  Endpoint src = endpoint (&flow->src, flow->sport), dst = endpoint (&flow->dst, flow->dport);

  return hash_key (&src, &dst, flow->proto);
}

/* As memcmp() orders addresses, then ports; without a branch, since directions come at random. */
static inline gboolean
is_above (const Endpoint *a, guint16 aport, const Endpoint *b, guint16 bport)
{
  guint64 alo = GUINT64_SWAP_LE_BE (a->lo), blo = GUINT64_SWAP_LE_BE (b->lo);
  guint64 ahi = GUINT64_SWAP_LE_BE (a->hi), bhi = GUINT64_SWAP_LE_BE (b->hi);

  return (alo > blo) | ((alo == blo) & ((ahi > bhi) | ((ahi == bhi) & (aport > bport))));
}

void
owd_flow_hash_all (const OwdFlow *flow, OwdFlowHashes *ret_hashes)
{
  Endpoint src = endpoint (&flow->src, flow->sport), dst = endpoint (&flow->dst, flow->dport);

  ret_hashes->forward = hash_key (&src, &dst, flow->proto);
  ret_hashes->reverse = hash_key (&dst, &src, flow->proto);
  ret_hashes->undirected = is_above (&src, flow->sport, &dst, flow->dport) ? ret_hashes->reverse : ret_hashes->forward;
}

static guint64
hash_undirected (const OwdFlow *flow)
{
  Endpoint src = endpoint (&flow->src, flow->sport), dst = endpoint (&flow->dst, flow->dport);
  guint64 turn = -(guint64) is_above (&src, flow->sport, &dst, flow->dport);
  Endpoint change = { (src.lo ^ dst.lo) & turn, (src.hi ^ dst.hi) & turn, (src.port ^ dst.port) & turn };
  Endpoint low = { src.lo ^ change.lo, src.hi ^ change.hi, src.port ^ change.port };
  Endpoint high = { dst.lo ^ change.lo, dst.hi ^ change.hi, dst.port ^ change.port };

  return hash_key (&low, &high, flow->proto);
}

/* Address and port of ::ffff:a.b.c.d as one number, in memcmp()'s order. */
static inline guint64
v4_order (const OwdAddr *addr, guint16 port)
{
  guint64 hi;

  memcpy (&hi, addr->b + 8, sizeof hi);
  return GUINT64_FROM_BE (hi) << 16 | port;
}

static inline Endpoint
v4_endpoint (guint64 order)
{
  return (Endpoint){ .hi = GUINT64_SWAP_LE_BE (order >> 16), .port = GUINT16_SWAP_LE_BE ((guint16) order) };
}

guint64
owd_flow_hash_undirected_v4 (const OwdFlow *flow)
{
  guint64 src = v4_order (&flow->src, flow->sport), dst = v4_order (&flow->dst, flow->dport);
  Endpoint low = v4_endpoint (MIN (src, dst)), high = v4_endpoint (MAX (src, dst));

  return hash_key (&low, &high, flow->proto);
}

guint64
owd_flow_hash_undirected (const OwdFlow *flow)
{
  return G_LIKELY (owd_flow_is_v4 (flow)) ? owd_flow_hash_undirected_v4 (flow) : hash_undirected (flow);
}
