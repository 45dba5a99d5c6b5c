/* SPDX-License-Identifier: Apache-2.0
 *
 * Records to bytes: NetFlow v5 (Cisco), v9 (RFC 3954), IPFIX (RFC 7011). Written from the documents, without the
 * decoder's code, so that the two check each other. The caller has made room: DATAGRAM_BYTES hold the largest
 * datagram that a valid configuration can ask for.
 */
#include "internal.h"

#include <string.h>

/* bit 0: IPv6, bit 1: biflow */
enum { TEMPLATE = 256, TEMPLATE_V6 = 1, TEMPLATE_BIFLOW = 2, TEMPLATE_OPTIONS = 300 };

#define REVERSE_PEN 29305 /* RFC 5103 */

typedef struct {
  guint8 *p;
} Out;

static void
put (Out *o, guint64 v, guint n)
{
  for (guint i = 0; i < n; i++)
    o->p[i] = (guint8) (v >> 8 * (n - 1 - i));
  o->p += n;
}

static void
put_at (guint8 *p, guint v)
{
  p[0] = (guint8) (v >> 8);
  p[1] = (guint8) v;
}

static void
put_addr (Out *o, const OwdAddr *addr, gboolean v6)
{
  guint n = v6 ? 16 : 4;

  memcpy (o->p, addr->b + 16 - n, n);
  o->p += n;
}

/* Element and length of the two stamps. */
static void
stamp_elements (const OwdSimExporter *set, guint *ret_first_ie, guint *ret_last_ie, guint *ret_len)
{
  static const struct {
    guint first, last, len;
  } table[] = {
    [OWD_STAMP_UPTIME_MS] = { 22, 21, 4 }, [OWD_STAMP_UNIX_S] = { 150, 151, 4 }, [OWD_STAMP_UNIX_MS] = { 152, 153, 8 },
    [OWD_STAMP_NTP_US] = { 154, 155, 8 },  [OWD_STAMP_NTP_NS] = { 156, 157, 8 }, [OWD_STAMP_DELTA_US] = { 158, 159, 4 },
  };

  *ret_first_ie = table[set->stamps].first;
  *ret_last_ie = table[set->stamps].last;
  *ret_len = set->wide_uptime ? 8 : table[set->stamps].len;
}

/* Raw stamps of a record in a datagram whose header says export_s. A delta is unsigned: what passed after the header's
 * whole second cannot be told, and becomes 0. */
static void
stamp (const SimExporter *ex, SimRecord *r, OwdTime export_s)
{
  gint64 card = ex->set.n_cards > 0 ? ex->set.card_offset_ns[r->in_if % ex->set.n_cards] : 0;
  OwdTime t[2] = { r->start_ns, r->last_ns };

  for (guint i = 0; i < 2; i++) {
    r->raw[i] = r->shift_ns[i] == G_MININT64 ? 0 : sim_clock_stamp (ex, i, t[i], card + r->shift_ns[i], export_s);
    if (ex->set.stamps == OWD_STAMP_DELTA_US && r->raw[i] == 0)
      r->damaged |= (guint8) (1 << i);
  }
}

static const SimKey *
key_at (const SimRecord *r)
{
  return &r->flow->key[r->hop > r->flow->nat_at && r->flow->nat_at != G_MAXUINT];
}

static void
put_v5 (Out *o, const SimRecord *r)
{
  const SimKey *key = key_at (r);

  put_addr (o, &key->src, FALSE);
  put_addr (o, &key->dst, FALSE);
  put (o, 0, 4); /* next hop */
  put (o, r->in_if, 2);
  put (o, r->out_if, 2);
  put (o, r->packets, 4);
  put (o, r->octets, 4);
  put (o, r->raw[0], 4);
  put (o, r->raw[1], 4);
  put (o, key->sport, 2);
  put (o, key->dport, 2);
  put (o, 0, 1);
  put (o, r->tcp_flags, 1);
  put (o, key->proto, 1);
  put (o, 0, 1); /* tos */
  put (o, 0, 8); /* AS numbers, masks, padding */
}

static gsize
wire_v5 (SimExporter *ex, OwdTime t, GPtrArray *records, guint8 *bytes)
{
  Out o = { bytes };
  OwdTime rtc = sim_clock_rtc (ex, t);
  OwdTime export_s = rtc / OWD_NS_PER_S;
  gint64 lag = sim_rng_between (&ex->rng, 0, ex->set.uptime_lag_ns);

  put (&o, 5, 2);
  put (&o, records->len, 2);
  put (&o, sim_clock_header_uptime (ex, t - lag), 4);
  put (&o, (guint64) export_s, 4);
  put (&o, ex->set.header_frac ? (guint64) (rtc % OWD_NS_PER_S) : 0, 4);
  put (&o, ex->seq, 4);
  put (&o, ex->set.domain, 2);
  put (&o, ex->set.sampling > 1 ? 2u << 14 | ex->set.sampling : 0, 2); /* mode 2: random */
  ex->seq += records->len;
  for (guint i = 0; i < records->len; i++) {
    SimRecord *r = g_ptr_array_index (records, i);

    stamp (ex, r, export_s);
    put_v5 (&o, r);
  }
  return (gsize) (o.p - bytes);
}

/* One walk over the fields serves template and data: r NULL writes (element, length), else the value. Returns their
 * number. */
static guint
fields (const SimExporter *ex, Out *o, guint template, const SimRecord *r)
{
  gboolean v6 = (template & TEMPLATE_V6) != 0;
  const OwdSimExporter *set = &ex->set;
  const SimKey *key = r != NULL ? key_at (r) : NULL, *post = key;
  guint first_ie, last_ie, stamp_len, n = 0, wide = set->version == 10 ? 8 : 4;

  stamp_elements (set, &first_ie, &last_ie, &stamp_len);
  if (r != NULL && r->flow->nat_at == r->hop)
    post = &r->flow->key[1];

#define ADDRESS(ie, what)                                                                                              \
  do {                                                                                                                 \
    n++;                                                                                                               \
    if (r == NULL)                                                                                                     \
      put (o, (ie), 2), put (o, v6 ? 16 : 4, 2);                                                                       \
    else                                                                                                               \
      put_addr (o, &(what), v6);                                                                                       \
  } while (0)
#define FIELD(ie, len, what)                                                                                           \
  do {                                                                                                                 \
    n++;                                                                                                               \
    if (r == NULL)                                                                                                     \
      put (o, (ie), 2), put (o, (len), 2);                                                                             \
    else                                                                                                               \
      put (o, (what), (len));                                                                                          \
  } while (0)

#define REVERSE(ie, len, what)                                                                                         \
  do {                                                                                                                 \
    n++;                                                                                                               \
    if (r == NULL)                                                                                                     \
      put (o, 0x8000u | (ie), 2), put (o, (len), 2), put (o, REVERSE_PEN, 4);                                          \
    else                                                                                                               \
      put (o, (what), (len));                                                                                          \
  } while (0)

  ADDRESS (v6 ? 27 : 8, key->src);
  ADDRESS (v6 ? 28 : 12, key->dst);
  FIELD (7, 2, key->sport);
  FIELD (11, 2, key->dport);
  FIELD (4, 1, key->proto);
  FIELD (6, 1, r->tcp_flags);
  FIELD (10, 4, r->in_if);
  FIELD (14, 4, r->out_if);
  FIELD (2, wide, r->packets);
  FIELD (1, wide, r->octets);
  FIELD (first_ie, stamp_len, r->raw[0]);
  FIELD (last_ie, stamp_len, r->raw[1]);
  if (set->end_reason)
    FIELD (136, 1, r->reason);
  if (set->ttl) {
    FIELD (52, 1, r->ttl);
    FIELD (53, 1, r->ttl);
  }
  if (set->init_in_record)
    FIELD (160, 8, ex->init_ms);
  if (set->egress_too)
    FIELD (61, 1, r->egress);
  if (set->nat_fields && !v6) {
    ADDRESS (225, post->src);
    ADDRESS (226, post->dst);
    FIELD (227, 2, post->sport);
    FIELD (228, 2, post->dport);
  }
  if (template & TEMPLATE_BIFLOW) {
    REVERSE (6, 1, r->twin->tcp_flags);
    REVERSE (2, wide, r->twin->packets);
    REVERSE (1, wide, r->twin->octets);
    REVERSE (first_ie, stamp_len, r->twin->raw[0]);
    REVERSE (last_ie, stamp_len, r->twin->raw[1]);
  }
#undef ADDRESS
#undef FIELD
#undef REVERSE
  return n;
}

static guint8 *
open_set (Out *o, guint id)
{
  guint8 *set = o->p;

  put (o, id, 2);
  put (o, 0, 2);
  return set;
}

/* Pads to 4 bytes and fills the length in. NULL: nothing is open. */
static void
close_set (Out *o, guint8 *set)
{
  if (set == NULL)
    return;
  while ((o->p - set) % 4 != 0)
    put (o, 0, 1);
  put_at (set + 2, (guint) (o->p - set));
}

static guint
template_count (const SimExporter *ex)
{
  return ex->set.biflow ? 4 : 2;
}

static void
put_templates (const SimExporter *ex, Out *o)
{
  guint8 *set = open_set (o, ex->set.version == 9 ? 0 : 2);

  for (guint i = 0; i < template_count (ex); i++) {
    guint8 *count;

    put (o, TEMPLATE + i, 2);
    count = o->p;
    put (o, 0, 2);
    put_at (count, fields (ex, o, TEMPLATE + i, NULL));
  }
  close_set (o, set);
}

/* Sampling rate, and the boot time where stamps need one: template and data. Returns records written. */
static guint
put_options (const SimExporter *ex, Out *o)
{
  gboolean v9 = ex->set.version == 9;
  gboolean init = !v9 && ex->set.stamps == OWD_STAMP_UPTIME_MS && !ex->set.init_in_record;
  gboolean sampling = ex->set.sampling > 1;
  guint n = 1u + init + 2u * sampling;
  guint8 *set;

  if (!init && !sampling)
    return 0;
  set = open_set (o, v9 ? 1 : 3);
  put (o, TEMPLATE_OPTIONS, 2);
  put (o, v9 ? 4 : n, 2);           /* v9: bytes of scope; IPFIX: all fields */
  put (o, v9 ? 4 * (n - 1) : 1, 2); /* v9: bytes of options; IPFIX: scope fields */
  put (o, v9 ? 1 : 149, 2);         /* scope: system, observation domain */
  put (o, 4, 2);
  if (sampling)
    put (o, 34u << 16 | 4, 4), put (o, 35u << 16 | 1, 4);
  if (init)
    put (o, 160u << 16 | 8, 4);
  close_set (o, set);
  set = open_set (o, TEMPLATE_OPTIONS);
  put (o, ex->set.domain, 4);
  if (sampling)
    put (o, ex->set.sampling, 4), put (o, 2, 1);
  if (init)
    put (o, ex->init_ms, 8);
  close_set (o, set);
  return 1;
}

static void
put_records (const SimExporter *ex, Out *o, GPtrArray *records, OwdTime export_s)
{
  guint8 *set = NULL;
  guint set_template = 0;

  for (guint i = 0; i < records->len; i++) {
    SimRecord *r = g_ptr_array_index (records, i);
    guint template = TEMPLATE;

    template |= owd_addr_is_v4 (&r->flow->key[0].src) ? 0 : TEMPLATE_V6;
    template |= r->twin != NULL ? TEMPLATE_BIFLOW : 0;
    if (template != set_template) {
      close_set (o, set);
      set = open_set (o, template);
      set_template = template;
    }
    stamp (ex, r, export_s);
    if (r->twin != NULL)
      stamp (ex, r->twin, export_s);
    fields (ex, o, template, r);
  }
  close_set (o, set);
}

/* What IE 160 says until the next template. */
static guint64
boot_claim (SimExporter *ex)
{
  gint64 ns = sim_clock_rtc (ex, ex->boot_ns[ex->epoch]) + ex->set.init_offset_ns;

  if (ex->set.init_offset_ns != 0)
    ns += sim_rng_between (&ex->rng, 0, OWD_NS_PER_MS);
  return (guint64) (ns / OWD_NS_PER_MS);
}

static gsize
wire_v9_ipfix (SimExporter *ex, OwdTime t, GPtrArray *records, gboolean templates, guint8 *bytes)
{
  gboolean v9 = ex->set.version == 9;
  OwdTime export_s = sim_clock_rtc (ex, t) / OWD_NS_PER_S;
  gint64 lag = sim_rng_between (&ex->rng, 0, ex->set.uptime_lag_ns);
  guint options = 0;
  Out o = { bytes };

  put (&o, v9 ? 9 : 10, 2);
  put (&o, 0, 2); /* v9: count of records, IPFIX: length; below */
  if (v9)
    put (&o, sim_clock_header_uptime (ex, t - lag), 4);
  put (&o, (guint64) export_s, 4);
  put (&o, ex->seq, 4);
  put (&o, ex->set.domain, 4);
  if (templates) {
    ex->init_ms = boot_claim (ex);
    put_templates (ex, &o);
    options = put_options (ex, &o);
  }
  put_records (ex, &o, records, export_s);
  if (v9)
    put_at (bytes + 2, records->len + options + (templates ? template_count (ex) : 0) + (options > 0 ? 1 : 0));
  else
    put_at (bytes + 2, (guint) (o.p - bytes));
  ex->seq += v9 ? 1 : records->len + options;
  return (gsize) (o.p - bytes);
}

gsize
sim_wire (SimExporter *ex, OwdTime t, GPtrArray *records, gboolean templates, guint8 *bytes)
{
  if (ex->set.version == 5)
    return wire_v5 (ex, t, records, bytes);
  return wire_v9_ipfix (ex, t, records, templates, bytes);
}
