/* SPDX-License-Identifier: Apache-2.0
 *
 * Paths: probes of a constant flow, traces made of them, and what a series of traces says about a route's life.
 *
 * A trace asks a few hops at a time, nearest first, and asks silent ones again. It ends at the destination, at a
 * refusal, or where several hops in a row stay silent. Numbers carry TTL, try and trace, so an answer needs no table
 * and a late one of an earlier trace is nobody's:
 *
 *   number - 1 = ttl - 1 | try << 6 | trace << 8        TTL 63 and above: probes with full TTL
 *
 * A route is what a trace found. Silent hops are unknown, not different: two routes are the same where nothing that
 * both know contradicts. A change is believed when a second trace confirms it.
 *
 * Sources: RFC 792, RFC 4443, RFC 1071 (checksums), Augustin et al. 2006.
 */
#include "packet.h"

enum {
  PROTO_ICMP = 1,
  PROTO_TCP = 6,
  PROTO_UDP = 17,
  PROTO_ICMP6 = 58,
  IPV6_HEADER = 40,
  UDP_HEADER = 8,
  ICMP_HEADER = 8,
  ICMP_BYTES = ICMP_HEADER + 6,
  CHECKSUM = 0x1a2b, /* of every ICMP probe */
  QUOTED = 8,        /* bytes behind the IP header that every router quotes */
  TTL_BITS = 6,
  TRY_BITS = 2,
  TRACES = 254,
};

/* ---- probes ------------------------------------------------------------------------------------ */

/* What has to be added to sum for the checksum, its complement, to become `wanted`. */
static guint16
compensation (guint32 sum, guint16 wanted)
{
  return owd_probe_fold ((guint32) (guint16) ~wanted + (guint16) ~owd_probe_fold (sum));
}

static gsize
build_udp (const OwdProbePathFlow *f, guint16 number, guint8 *buf)
{
  gsize len = UDP_HEADER + OWD_PROBE_BASE;
  guint8 *stamp = buf + UDP_HEADER;

  owd_probe_put16 (buf, f->sport);
  owd_probe_put16 (buf + 2, f->dport);
  owd_probe_put16 (buf + 4, (guint16) len);
  owd_probe_put32 (stamp, number);
  owd_probe_put32 (stamp + 4, f->token); /* where T1 would be: a reflector sends it back */
  owd_probe_put16 (stamp + 12, 1);
  owd_probe_put16 (
      buf + len - 2,
      compensation (owd_probe_sum (owd_probe_pseudo_sum (&f->src, &f->dst, PROTO_UDP, len), buf, len), number));
  owd_probe_put16 (buf + 6, number);
  return len;
}

static gsize
build_icmp (const OwdProbePathFlow *f, guint16 number, guint8 *buf)
{
  gboolean v4 = owd_addr_is_v4 (&f->dst);
  guint32 sum = v4 ? 0 : owd_probe_pseudo_sum (&f->src, &f->dst, PROTO_ICMP6, ICMP_BYTES);

  buf[0] = v4 ? 8 : 128;
  owd_probe_put16 (buf + 4, f->sport);
  owd_probe_put16 (buf + 6, number);
  owd_probe_put32 (buf + 8, f->token);
  owd_probe_put16 (buf + 12, compensation (owd_probe_sum (sum, buf, ICMP_BYTES), CHECKSUM));
  owd_probe_put16 (buf + 2, CHECKSUM);
  return ICMP_BYTES;
}

static guint32
tcp_seq (const OwdProbePathFlow *f, guint16 number)
{
  return (f->token & 0xffff0000) | number;
}

gsize
owd_probe_path_build (const OwdProbePathFlow *f, guint16 number, guint8 buf[OWD_PROBE_PATH_BYTES])
{
  OwdProbeSegment segment = { .src = f->src,
                              .dst = f->dst,
                              .sport = f->sport,
                              .dport = f->dport,
                              .seq = tcp_seq (f, number),
                              .bits = OWD_PROBE_TCP_SYN_BIT };

  memset (buf, 0, OWD_PROBE_PATH_BYTES);
  switch (f->kind) {
  case OWD_PROBE_PATH_TCP:
    return owd_probe_segment_build (&segment, buf, OWD_PROBE_PATH_BYTES);
  case OWD_PROBE_PATH_ICMP:
    return build_icmp (f, number, buf);
  case OWD_PROBE_PATH_UDP:
    break;
  }
  return build_udp (f, number, buf);
}

/* ---- answers ----------------------------------------------------------------------------------- */

static gboolean
skip_ipv4 (OwdWire *w)
{
  guint8 first = owd_wire_u8 (w);

  if (w->failed || first >> 4 != 4 || (first & 0xf) < 5)
    return FALSE;
  return owd_wire_take (w, (first & 0xfu) * 4u - 1) != NULL;
}

/* The number in the first bytes of a probe of ours. Returns: FALSE where it is none. */
static gboolean
number_of (const OwdProbePathFlow *f, guint proto, const guint8 *p, guint16 *ret)
{
  gboolean ports = owd_be16 (p) == f->sport && owd_be16 (p + 2) == f->dport;

  switch (f->kind) {
  case OWD_PROBE_PATH_UDP:
    *ret = owd_be16 (p + 6);
    return proto == PROTO_UDP && ports;
  case OWD_PROBE_PATH_TCP:
    *ret = (guint16) owd_be32 (p + 4);
    return proto == PROTO_TCP && ports && owd_be32 (p + 4) == tcp_seq (f, *ret);
  case OWD_PROBE_PATH_ICMP:
    *ret = owd_be16 (p + 6);
    return (proto == PROTO_ICMP ? p[0] == 8 : proto == PROTO_ICMP6 && p[0] == 128) && owd_be16 (p + 4) == f->sport;
  }
  return FALSE;
}

/* The packet that an ICMP error is about. */
static OwdStatus
read_quote (const OwdProbePathFlow *f, OwdWire *w, gboolean v6, OwdProbePathAnswer *ret)
{
  const guint8 *header = w->p, *probe;
  gsize need = v6 ? IPV6_HEADER : 20;
  OwdAddr dst = { 0 };
  guint proto;

  if (owd_wire_left (w) < need)
    return OWD_STATUS_SHORT;
  if (v6) {
    owd_wire_take (w, IPV6_HEADER);
    memcpy (dst.b, header + 24, 16);
    proto = header[6];
    ret->ttl_there = header[7];
  } else {
    if (!skip_ipv4 (w))
      return OWD_STATUS_MALFORMED;
    owd_addr_set_v4 (&dst, header + 16);
    proto = header[9];
    ret->ttl_there = header[8];
  }
  probe = owd_wire_take (w, QUOTED);
  if (probe == NULL)
    return OWD_STATUS_SHORT;
  return memcmp (&dst, &f->dst, sizeof dst) == 0 && number_of (f, proto, probe, &ret->number) ? OWD_STATUS_OK
                                                                                              : OWD_STATUS_END;
}

OwdStatus
owd_probe_path_read_icmp (const OwdProbePathFlow *f, const void *data, gsize len, gboolean v6, gboolean with_ip,
                          OwdProbePathAnswer *ret)
{
  OwdWire w = owd_wire (data, len);
  const guint8 *icmp;
  OwdStatus status;

  *ret = (OwdProbePathAnswer){ .ttl_there = -1 };
  if (with_ip && !skip_ipv4 (&w))
    return OWD_STATUS_MALFORMED;
  icmp = owd_wire_take (&w, ICMP_HEADER);
  if (icmp == NULL)
    return OWD_STATUS_SHORT;
  if (icmp[0] == (v6 ? 129 : 0)) {
    const guint8 *payload = owd_wire_take (&w, 4);

    ret->verdict = OWD_PROBE_PATH_REACHED;
    ret->number = owd_be16 (icmp + 6);
    return f->kind == OWD_PROBE_PATH_ICMP && owd_be16 (icmp + 4) == f->sport && payload != NULL
                   && owd_be32 (payload) == f->token
               ? OWD_STATUS_OK
               : OWD_STATUS_END;
  }
  if (icmp[0] != (v6 ? 3 : 11) && icmp[0] != (v6 ? 1 : 3))
    return OWD_STATUS_END;
  status = read_quote (f, &w, v6, ret);
  if (icmp[0] == (v6 ? 3 : 11)) {
    ret->verdict = OWD_PROBE_PATH_PASSED;
    ret->ttl_there = -1;
    return icmp[1] == 0 ? status : OWD_STATUS_END; /* not the reassembly time */
  }
  ret->verdict = icmp[1] == (v6 ? 4 : 3) ? OWD_PROBE_PATH_REACHED : OWD_PROBE_PATH_REFUSED;
  return status;
}

OwdStatus
owd_probe_path_read_own (const OwdProbePathFlow *f, const void *data, gsize len, gboolean with_ip,
                         OwdProbePathAnswer *ret)
{
  OwdWire w = owd_wire (data, len);
  OwdProbeSegment segment;
  OwdProbeReply reply;
  guint32 number, flags;
  OwdStatus status;

  *ret = (OwdProbePathAnswer){ .verdict = OWD_PROBE_PATH_REACHED, .ttl_there = -1 };
  if (f->kind == OWD_PROBE_PATH_TCP) {
    status = owd_probe_segment_parse (data, len, with_ip, &segment);
    if (status != OWD_STATUS_OK)
      return status;
    if (segment.sport != f->dport || segment.dport != f->sport
        || !owd_probe_segment_answers (&segment, OWD_PROBE_TCP_SYN, f->token & 0xffff0000, 0, &number, &flags)
        || number > G_MAXUINT16)
      return OWD_STATUS_END;
    ret->number = (guint16) number;
    ret->ack = (flags & OWD_PROBE_SYN_ACK) != 0 ? segment.ack : 0;
    return OWD_STATUS_OK;
  }
  if (with_ip && !skip_ipv4 (&w))
    return OWD_STATUS_MALFORMED;
  if (f->kind != OWD_PROBE_PATH_UDP || owd_wire_left (&w) < UDP_HEADER || owd_be16 (w.p) != f->dport
      || owd_be16 (w.p + 2) != f->sport)
    return OWD_STATUS_END;
  owd_wire_take (&w, UDP_HEADER);
  if (owd_probe_reply_parse (w.p, owd_wire_left (&w), NULL, &reply) != OWD_STATUS_OK
      || reply.sender_stamp >> 32 != f->token || reply.sender_seq > G_MAXUINT16)
    return OWD_STATUS_END;
  ret->number = (guint16) reply.sender_seq;
  ret->ttl_there = reply.ttl;
  return OWD_STATUS_OK;
}

/* ---- traces ------------------------------------------------------------------------------------ */

typedef struct {
  guint tries;
  gboolean answered;
  OwdTime asked; /* the last time */
  OwdTime t1[OWD_PROBE_TRIES_MAX];
} Asked;

struct OwdProbeTrace {
  OwdProbeTraceConfig cfg;
  guint generation;
  gboolean running;
  OwdTime next, last; /* next: not before; last: of the probe before */
  guint limit;        /* hops beyond need no asking */
  Asked asked[OWD_PROBE_HOPS_MAX];
  OwdProbeRoute route;
};

OwdProbeTrace *
owd_probe_trace_new (const OwdProbeTraceConfig *cfg)
{
  OwdProbeTrace *self = g_new0 (OwdProbeTrace, 1);

  self->cfg = *cfg;
  self->cfg.max_ttl = CLAMP (cfg->max_ttl, 1, OWD_PROBE_HOPS_MAX);
  self->cfg.tries = CLAMP (cfg->tries, 1, OWD_PROBE_TRIES_MAX);
  return self;
}

void
owd_probe_trace_free (OwdProbeTrace *self)
{
  g_free (self);
}

void
owd_probe_trace_start (OwdProbeTrace *self, OwdTime now)
{
  self->generation = (self->generation + 1) % TRACES;
  self->running = TRUE;
  self->next = now;
  self->last = now - self->cfg.gap_ns;
  self->limit = self->cfg.max_ttl;
  memset (self->asked, 0, sizeof self->asked);
  self->route = (OwdProbeRoute){ 0 };
  for (guint i = 0; i < OWD_PROBE_HOPS_MAX; i++)
    self->route.hop[i].rtt_ns = OWD_TIME_NONE;
}

static gboolean
exhausted (const OwdProbeTrace *self, guint i, OwdTime now)
{
  const Asked *a = &self->asked[i];

  return a->tries == self->cfg.tries && now - a->asked >= self->cfg.timeout_ns;
}

/* The hop to be asked now, or *ret_wake: when to look again, G_MAXINT64 where nothing is left to ask. */
static gboolean
choose (const OwdProbeTrace *self, OwdTime now, guint *ret_hop, OwdTime *ret_wake)
{
  guint waiting = 0, silent = 0;
  OwdTime wake = G_MAXINT64;

  for (guint i = 0; i < self->limit && waiting < MAX (self->cfg.parallel, 1); i++) {
    const Asked *a = &self->asked[i];

    silent = a->answered ? 0 : silent + 1;
    if (silent > self->cfg.silent)
      break; /* nobody so near has answered yet */
    if (a->answered || exhausted (self, i, now))
      continue;
    if (a->tries == 0 || (a->tries < self->cfg.tries && now - a->asked >= self->cfg.timeout_ns)) {
      *ret_hop = i;
      *ret_wake = self->next;
      return TRUE;
    }
    wake = MIN (wake, a->asked + self->cfg.timeout_ns);
    waiting++;
  }
  *ret_wake = wake;
  return FALSE;
}

gboolean
owd_probe_trace_next (OwdProbeTrace *self, OwdTime now, guint *ret_ttl, guint16 *ret_number)
{
  OwdTime wake;
  guint hop;
  Asked *a;

  if (!self->running || now < self->next)
    return FALSE;
  if (!choose (self, now, &hop, &wake)) {
    self->running = wake != G_MAXINT64;
    self->next = wake;
    return FALSE;
  }
  a = &self->asked[hop];
  *ret_ttl = hop + 1;
  *ret_number = (guint16) (1 + (hop | a->tries << TTL_BITS | self->generation << (TTL_BITS + TRY_BITS)));
  a->t1[a->tries++] = OWD_TIME_NONE;
  a->asked = self->last = now;
  self->next = now + self->cfg.gap_ns;
  return TRUE;
}

OwdTime
owd_probe_trace_wake (const OwdProbeTrace *self)
{
  return self->running ? self->next : G_MAXINT64;
}

/* Which hop and try of this trace a number means. */
static gboolean
decode (const OwdProbeTrace *self, guint16 number, guint *ret_hop, guint *ret_try)
{
  guint n = number - 1u;

  *ret_hop = n & ((1 << TTL_BITS) - 1);
  *ret_try = n >> TTL_BITS & ((1 << TRY_BITS) - 1);
  return number != 0 && n >> (TTL_BITS + TRY_BITS) == self->generation && *ret_hop < OWD_PROBE_HOPS_MAX
         && *ret_try < self->asked[*ret_hop].tries;
}

void
owd_probe_trace_left (OwdProbeTrace *self, guint16 number, OwdTime t1)
{
  guint hop, try;

  if (decode (self, number, &hop, &try))
    self->asked[hop].t1[try] = t1;
}

void
owd_probe_trace_answer (OwdProbeTrace *self, const OwdProbePathAnswer *answer, const OwdAddr *from, OwdTime t4)
{
  guint i, try;
  OwdProbeHop *hop;
  gint64 rtt;

  if (!decode (self, answer->number, &i, &try) || i >= self->limit || self->asked[i].t1[try] == OWD_TIME_NONE)
    return;
  hop = &self->route.hop[i];
  rtt = t4 - self->asked[i].t1[try];
  if (hop->rtt_ns == OWD_TIME_NONE || rtt < hop->rtt_ns)
    hop->rtt_ns = rtt;
  hop->addr = *from;
  self->asked[i].answered = TRUE;
  self->next = MIN (self->next, self->last + self->cfg.gap_ns); /* another hop's turn */
  if (answer->verdict != OWD_PROBE_PATH_PASSED) {
    self->limit = self->route.n = i + 1;
    self->route.reached = answer->verdict == OWD_PROBE_PATH_REACHED;
    memset (&self->route.hop[self->limit], 0, sizeof *hop * (OWD_PROBE_HOPS_MAX - self->limit));
  } else {
    self->route.n = MAX (self->route.n, i + 1);
  }
}

const OwdProbeRoute *
owd_probe_trace_route (const OwdProbeTrace *self)
{
  return &self->route;
}

guint16
owd_probe_trace_other_number (guint n)
{
  return (guint16) (1 + (((1 << TTL_BITS) - 1) | (n % (TRACES << TRY_BITS)) << TTL_BITS));
}

/* ---- routes over time -------------------------------------------------------------------------- */

enum {
  TRIPS = 1024, /* round trips remembered */
  BESIDE = 16,  /* wanted on either side of a change */
  DOUBTS = 3,   /* traces that disagree before the last one is believed */
};

struct OwdProbeRoutes {
  OwdProbeRouteSink sink;
  OwdProbeRoute current, candidate;
  gboolean known;
  guint doubts; /* traces that did not fit the current route, in a row */
  OwdTime candidate_begin;
  gboolean candidate_by_ttl;
  OwdTime from, seen;
  guint seq, changes, unsteady;
  struct {
    OwdTime when;
    gint64 rtt;
  } trips[TRIPS]; /* ring of the last ones */
  guint64 n_trips;
  gboolean open_change;
  OwdProbeRouteChange change;
  gint64 first_rtt;
  gint ttl_there, ttl_here;
  OwdTime trip, ttl_lo, ttl_hi; /* the last trip; the two around the last change of a TTL */
  guint ttl_changes;
};

OwdProbeRoutes *
owd_probe_routes_new (const OwdProbeRouteSink *sink)
{
  OwdProbeRoutes *self = g_new0 (OwdProbeRoutes, 1);

  self->sink = *sink;
  self->first_rtt = OWD_TIME_NONE;
  self->trip = self->ttl_lo = self->ttl_hi = OWD_TIME_NONE;
  self->ttl_there = self->ttl_here = -1;
  return self;
}

void
owd_probe_routes_free (OwdProbeRoutes *self)
{
  g_free (self);
}

static gboolean
is_silent (const OwdProbeHop *hop)
{
  return hop->rtt_ns == OWD_TIME_NONE;
}

static gboolean
same_route (const OwdProbeRoute *a, const OwdProbeRoute *b)
{
  guint common = MIN (a->n, b->n);

  if (a->reached && b->reached && a->n != b->n)
    return FALSE;
  if ((a->reached && b->n > a->n) || (b->reached && a->n > b->n))
    return FALSE;
  for (guint i = 0; i < common; i++)
    if (!is_silent (&a->hop[i]) && !is_silent (&b->hop[i])
        && memcmp (&a->hop[i].addr, &b->hop[i].addr, sizeof (OwdAddr)))
      return FALSE;
  return TRUE;
}

/* What the second trace knows and the first does not. */
static void
merge (OwdProbeRoute *route, const OwdProbeRoute *other)
{
  for (guint i = 0; i < other->n; i++)
    if (!is_silent (&other->hop[i]) && (i >= route->n || is_silent (&route->hop[i])))
      route->hop[i] = other->hop[i];
    else if (i >= route->n)
      route->hop[i] = (OwdProbeHop){ .rtt_ns = OWD_TIME_NONE };
    else if (!is_silent (&other->hop[i]))
      route->hop[i].rtt_ns = MIN (route->hop[i].rtt_ns, other->hop[i].rtt_ns);
  route->n = MAX (route->n, other->n);
  route->reached |= other->reached;
}

static int
compare (gconstpointer a, gconstpointer b)
{
  gint64 x = *(const gint64 *) a, y = *(const gint64 *) b;

  return (x > y) - (x < y);
}

/* Median of the BESIDE round trips that come right before `when`, or right from it on. */
static gint64
median_trip (const OwdProbeRoutes *self, OwdTime when, gboolean before, guint *ret_n)
{
  guint64 oldest = self->n_trips > TRIPS ? self->n_trips - TRIPS : 0;
  gint64 sorted[BESIDE];
  guint n = 0;

  for (guint64 k = oldest; k < self->n_trips && n < BESIDE; k++) {
    guint64 i = before ? self->n_trips - 1 - (k - oldest) : k;

    if (before ? self->trips[i % TRIPS].when <= when : self->trips[i % TRIPS].when >= when)
      sorted[n++] = self->trips[i % TRIPS].rtt;
  }
  *ret_n = n;
  if (n == 0)
    return OWD_TIME_NONE;
  qsort (sorted, n, sizeof *sorted, compare);
  return sorted[n / 2];
}

gboolean
owd_probe_routes_current (const OwdProbeRoutes *self, OwdProbeRouteSpan *ret)
{
  *ret = (OwdProbeRouteSpan){ .seq = self->seq, .route = &self->current, .from = self->from, .to = self->seen };
  return self->known;
}

static void
report_span (OwdProbeRoutes *self)
{
  OwdProbeRouteSpan span;

  if (owd_probe_routes_current (self, &span) && self->sink.span != NULL)
    self->sink.span (&span, self->sink.user);
}

static void
report_change (OwdProbeRoutes *self)
{
  if (!self->open_change)
    return;
  self->open_change = FALSE;
  self->change.after_ns = median_trip (self, self->change.hi, FALSE, &self->change.n_after);
  if (self->sink.change != NULL)
    self->sink.change (&self->change, self->sink.user);
}

static void
begin_change (OwdProbeRoutes *self, OwdTime begin, gboolean by_ttl)
{
  OwdProbeRouteChange *c = &self->change;

  *c = (OwdProbeRouteChange){ .seq = ++self->seq, .lo = self->seen, .hi = begin, .by_ttl = by_ttl };
  if (by_ttl && self->ttl_hi > c->lo && self->ttl_hi < c->hi) { /* trips are more often than traces */
    c->hi = self->ttl_hi;
    c->lo = MAX (c->lo, self->ttl_lo);
  }
  c->before_ns = median_trip (self, c->lo, TRUE, &c->n_before);
  self->open_change = TRUE;
  self->changes++;
}

static void
become (OwdProbeRoutes *self, const OwdProbeRoute *route, OwdTime begin, gboolean by_ttl)
{
  if (self->known) {
    report_change (self); /* an earlier one, however few trips it has seen */
    report_span (self);
    begin_change (self, begin, by_ttl);
  }
  self->known = TRUE;
  self->current = *route;
  self->from = self->seen = begin;
  self->doubts = 0;
}

gboolean
owd_probe_routes_add (OwdProbeRoutes *self, const OwdProbeRoute *route, OwdTime begin, gboolean by_ttl)
{
  gboolean confirmed = self->doubts > 0 && same_route (&self->candidate, route);

  if (!self->known) {
    become (self, route, begin, by_ttl);
    return FALSE;
  }
  if (same_route (&self->current, route)) {
    self->unsteady += self->doubts;
    self->doubts = 0;
    self->seen = begin; /* a change may have fallen into the trace itself */
    merge (&self->current, route);
    return FALSE;
  }
  if (confirmed || self->doubts == DOUBTS) {
    self->unsteady += self->doubts - (confirmed ? 1 : 0);
    if (confirmed)
      merge (&self->candidate, route);
    become (self, confirmed ? &self->candidate : route, confirmed ? self->candidate_begin : begin,
            self->candidate_by_ttl);
    return FALSE;
  }
  if (self->doubts++ == 0)
    self->candidate_by_ttl = by_ttl;
  self->candidate = *route;
  self->candidate_begin = begin;
  return TRUE;
}

/* Remembers a TTL. Returns: TRUE where it differs from the one before. */
static gboolean
differs (gint *last, gint ttl)
{
  gboolean changed = ttl >= 0 && *last >= 0 && ttl != *last;

  *last = ttl >= 0 ? ttl : *last;
  return changed;
}

gboolean
owd_probe_routes_trip (OwdProbeRoutes *self, OwdTime when, gint64 rtt_ns, gint ttl_there, gint ttl_here)
{
  gboolean there = differs (&self->ttl_there, ttl_there), here = differs (&self->ttl_here, ttl_here);
  OwdTime before = self->trip;

  self->trip = when;
  if (self->first_rtt == OWD_TIME_NONE) {
    self->first_rtt = rtt_ns;
    return FALSE;
  }
  self->trips[self->n_trips % TRIPS].when = when;
  self->trips[self->n_trips++ % TRIPS].rtt = rtt_ns;
  if (there || here) {
    self->ttl_lo = before;
    self->ttl_hi = when;
    self->ttl_changes++;
  }
  if (self->open_change) {
    guint n;

    median_trip (self, self->change.hi, FALSE, &n);
    if (n == BESIDE)
      report_change (self);
  }
  return there || here;
}

void
owd_probe_routes_finish (OwdProbeRoutes *self)
{
  report_change (self);
  report_span (self);
}

guint
owd_probe_routes_changes (const OwdProbeRoutes *self)
{
  return self->changes;
}

guint
owd_probe_routes_unsteady (const OwdProbeRoutes *self)
{
  return self->unsteady;
}

gint64
owd_probe_routes_first_rtt_ns (const OwdProbeRoutes *self)
{
  return self->first_rtt;
}

guint
owd_probe_routes_ttl_changes (const OwdProbeRoutes *self)
{
  return self->ttl_changes;
}
