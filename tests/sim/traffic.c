/* SPDX-License-Identifier: Apache-2.0
 *
 * Conversations and the way of their packets. Not a TCP: what matters is which packet is the first and the last of a
 * flow, how long it lasts, where it pauses, and which packets are lost and sent again. A lost segment holds up the
 * ones behind it for a retransmission timeout (1 s for a SYN, RFC 6298), doubling; whoever stands upstream of the
 * loss sees the lost packet, too.
 */
#include "internal.h"

#define MSS 1448
#define RTO_NS (200 * OWD_NS_PER_MS)
#define SYN_RTO_NS OWD_NS_PER_S
#define SPIKE_SLOT_NS (10 * OWD_NS_PER_S)
#define MAX_PACKETS 4000 /* per flow and direction */

gint64
sim_hop_delay (const OwdSim *self, guint64 id, const OwdSimHop *hop, OwdTime t)
{
  gint64 delay = hop->base_ns, into = t % SPIKE_SLOT_NS;

  if (hop->diurnal_ns != 0)
    delay
        += (gint64) ((double) hop->diurnal_ns * (0.5 - 0.5 * cos (2 * G_PI * (double) (t % DAY_NS) / (double) DAY_NS)));
  if (hop->n_changes > 0)
    delay += sim_shift_at (hop->change, hop->n_changes, t - self->config->start_ns);
  if (hop->spike_share > 0) {
    guint64 slot = sim_hash (self->config->seed ^ id << 40, (guint64) (t / SPIKE_SLOT_NS));
    if ((double) (slot >> 11) * 0x1p-53 < hop->spike_share)
      delay += hop->spike_ns * MIN (into, SPIKE_SLOT_NS - into) / (SPIKE_SLOT_NS / 2);
  }
  return delay;
}

/* One conversation being made. */
typedef struct {
  SimRng *rng;
  const OwdSimRoute *route[2]; /* to and fro; the second may be NULL */
  double loss[2];
  GArray **packets;
  gint64 one_way_ns[2]; /* generous: answers never overtake */
} Talk;

/* Number of points that a packet passes; *ret_lost: it does not arrive. */
static guint
reach (Talk *talk, guint way, gboolean *ret_lost)
{
  const OwdSimRoute *route = talk->route[way];

  *ret_lost = FALSE;
  if (route == NULL)
    return 0;
  if (sim_rng_chance (talk->rng, talk->loss[way])) {
    double u = sim_rng_unit (talk->rng) * talk->loss[way];

    *ret_lost = TRUE;
    for (guint i = 0; i < route->n; i++) {
      if (u < route->hops[i].loss)
        return i;
      u -= route->hops[i].loss;
    }
  }
  return route->n;
}

static gboolean
put (Talk *talk, guint way, OwdTime t, guint32 size, guint8 flags)
{
  gboolean lost;
  SimPacket p = { .t = t, .size = size, .flags = flags };

  p.reach = (guint8) reach (talk, way, &lost);
  g_array_append_val (talk->packets[way], p);
  return !lost;
}

/* Sends until it arrives, *t moves by what that takes. */
static void
put_tcp (Talk *talk, guint way, OwdTime *t, guint32 size, guint8 flags)
{
  gint64 rto = flags & TCP_SYN ? SYN_RTO_NS : RTO_NS + talk->one_way_ns[0] + talk->one_way_ns[1];

  for (guint tries = 0; !put (talk, way, *t, size, flags) && tries < 6; tries++) {
    *t += rto;
    rto *= 2;
  }
}

/* Pareto with shape 1.2, at least 1. */
static guint
heavy_tail (SimRng *rng, guint most)
{
  double n = pow (1 - sim_rng_unit (rng), -1 / 1.2);

  return (guint) MIN (n, (double) most);
}

static void
handshake (Talk *talk, OwdTime *a, OwdTime *b)
{
  put_tcp (talk, 0, a, 60, TCP_SYN);
  *b = *a + talk->one_way_ns[0] + sim_rng_exp (talk->rng, OWD_NS_PER_MS / 5);
  put_tcp (talk, 1, b, 60, TCP_SYN | TCP_ACK);
  *a = *b + talk->one_way_ns[1];
  put_tcp (talk, 0, a, 52, TCP_ACK);
}

/* A request of the client, n segments back, an acknowledgement for every other one. */
static void
exchange (Talk *talk, OwdTime *a, OwdTime *b, guint n, gint64 gap_ns)
{
  *a += sim_rng_exp (talk->rng, OWD_NS_PER_MS);
  put_tcp (talk, 0, a, 120 + sim_rng_below (talk->rng, 900), TCP_PSH | TCP_ACK);
  *b = MAX (*b, *a + talk->one_way_ns[0]) + sim_rng_exp (talk->rng, 5 * OWD_NS_PER_MS);
  for (guint i = 0; i < n; i++) {
    guint32 size = i + 1 < n ? MSS + 52 : 52 + sim_rng_below (talk->rng, MSS);

    *b += 12 * OWD_NS_PER_US + sim_rng_exp (talk->rng, gap_ns);
    put_tcp (talk, 1, b, size, TCP_ACK | (i + 1 < n ? 0 : TCP_PSH));
    if (i % 2 == 1 || i + 1 == n) {
      *a = MAX (*a + OWD_NS_PER_US, *b + talk->one_way_ns[1]);
      put_tcp (talk, 0, a, 52, TCP_ACK);
    }
  }
}

static void
goodbye (Talk *talk, OwdTime *a, OwdTime *b)
{
  *a += sim_rng_exp (talk->rng, 20 * OWD_NS_PER_MS);
  put_tcp (talk, 0, a, 52, TCP_FIN | TCP_ACK);
  *b = MAX (*b, *a + talk->one_way_ns[0]) + sim_rng_exp (talk->rng, OWD_NS_PER_MS);
  put_tcp (talk, 1, b, 52, TCP_FIN | TCP_ACK);
  *a = MAX (*a, *b + talk->one_way_ns[1]);
  put_tcp (talk, 0, a, 52, TCP_ACK);
}

static void
web (Talk *talk, OwdTime a)
{
  OwdTime b;
  guint n = 1 + sim_rng_below (talk->rng, 3);

  handshake (talk, &a, &b);
  for (guint i = 0; i < n; i++)
    exchange (talk, &a, &b, heavy_tail (talk->rng, 400), 200 * OWD_NS_PER_US);
  goodbye (talk, &a, &b);
}

static void
long_lived (Talk *talk, OwdTime a)
{
  OwdTime b;
  guint bursts = 2 + sim_rng_below (talk->rng, 8);

  handshake (talk, &a, &b);
  for (guint i = 0; i < bursts; i++) {
    exchange (talk, &a, &b, 10 + heavy_tail (talk->rng, 200), 100 * OWD_NS_PER_MS);
    a = b = MAX (a, b) + OWD_NS_PER_S + sim_rng_exp (talk->rng, 15 * OWD_NS_PER_S);
  }
  goodbye (talk, &a, &b);
}

static void
refused (Talk *talk, OwdTime a)
{
  OwdTime b;

  put_tcp (talk, 0, &a, 60, TCP_SYN);
  b = a + talk->one_way_ns[0];
  put (talk, 1, b, 40, TCP_RST | TCP_ACK);
}

static void
silent (Talk *talk, OwdTime a)
{
  static const gint64 again_s[] = { 0, 1, 3, 7 };

  for (guint i = 0; i < G_N_ELEMENTS (again_s); i++)
    put (talk, 0, a + again_s[i] * SYN_RTO_NS, 60, TCP_SYN);
}

static void
query (Talk *talk, OwdTime a)
{
  if (put (talk, 0, a, 60 + sim_rng_below (talk->rng, 40), 0))
    put (talk, 1, a + talk->one_way_ns[0] + sim_rng_exp (talk->rng, OWD_NS_PER_MS), 80 + sim_rng_below (talk->rng, 400),
         0);
}

static void
stream (Talk *talk, OwdTime a)
{
  gint64 gap = 20 * OWD_NS_PER_MS * (1 + sim_rng_below (talk->rng, 5));
  OwdTime end = a + sim_rng_exp (talk->rng, 60 * OWD_NS_PER_S);
  guint32 size = 100 + sim_rng_below (talk->rng, 1100);

  for (guint i = 0; i < MAX_PACKETS && a < end; i++) {
    put (talk, 0, a, size, 0);
    a += gap + sim_rng_exp (talk->rng, gap / 50);
  }
}

static guint
choose (SimRng *rng, const double *weights, guint n)
{
  double sum = 0, u;

  for (guint i = 0; i < n; i++)
    sum += weights[i];
  u = sim_rng_unit (rng) * sum;
  for (guint i = 0; i + 1 < n; i++) {
    if (u < weights[i])
      return i;
    u -= weights[i];
  }
  return n - 1;
}

/* 10.site.x.y, or 2001:db8:site::x:y. */
static OwdAddr
host (gboolean v6, guint site, guint x, guint y)
{
  OwdAddr addr;
  guint8 v4[4] = { 10, (guint8) site, (guint8) x, (guint8) y };

  owd_addr_set_v4 (&addr, v4);
  if (v6)
    addr = (OwdAddr){ .b = { 0x20, 0x01, 0x0d, 0xb8, 0, (guint8) site, [14] = (guint8) x, (guint8) y } };
  return addr;
}

static SimKey
make_key (OwdSim *self, const OwdSimRoute *route, OwdSimMix mix)
{
  static const guint16 tcp_ports[] = { 443, 443, 443, 80, 22, 993, 8443, 3306 };
  static const guint16 udp_ports[] = { 53, 123, 443, 5004 };
  SimRng *rng = &self->traffic;
  gboolean udp = mix == OWD_SIM_QUERY || mix == OWD_SIM_STREAM, v6 = sim_rng_chance (rng, self->config->v6_share);
  SimKey key = { .proto = udp ? 17 : 6 };

  key.src = host (v6, route->src_site, sim_rng_below (rng, 200), 1 + sim_rng_below (rng, 250));
  key.dst = host (v6, route->dst_site, 200 + sim_rng_below (rng, 4), 1 + sim_rng_below (rng, 250));
  key.sport = (guint16) (1024 + sim_rng_below (rng, 64512));
  key.dport = udp ? udp_ports[sim_rng_below (rng, G_N_ELEMENTS (udp_ports))]
                  : tcp_ports[sim_rng_below (rng, G_N_ELEMENTS (tcp_ports))];
  return key;
}

static void
plan_way (OwdSim *self, Talk *talk, guint way, const OwdSimRoute *route, OwdTime t)
{
  talk->route[way] = route;
  talk->one_way_ns[way] = OWD_NS_PER_MS / 5; /* from the last point to the host */
  for (guint i = 0; route != NULL && i < route->n; i++) {
    talk->loss[way] += route->hops[i].loss;
    talk->one_way_ns[way]
        += sim_hop_delay (self, sim_hop_id (self, route, i), &route->hops[i], t) + 5 * route->hops[i].queue_ns;
  }
}

SimKey
sim_traffic (OwdSim *self, const OwdSimRoute *route, OwdTime t)
{
  Talk talk = { .rng = &self->traffic, .packets = self->packets };
  OwdSimMix mix = choose (&self->traffic, self->config->mix, OWD_SIM_MIXES);
  SimKey key = make_key (self, route, mix);

  g_array_set_size (self->packets[0], 0);
  g_array_set_size (self->packets[1], 0);
  plan_way (self, &talk, 0, route, t);
  plan_way (self, &talk, 1, route->back >= 0 ? &g_array_index (self->config->routes, OwdSimRoute, route->back) : NULL,
            t);
  switch (mix) {
  case OWD_SIM_WEB:
    web (&talk, t);
    break;
  case OWD_SIM_LONG:
    long_lived (&talk, t);
    break;
  case OWD_SIM_REFUSED:
    refused (&talk, t);
    break;
  case OWD_SIM_SILENT:
    silent (&talk, t);
    break;
  case OWD_SIM_QUERY:
    query (&talk, t);
    break;
  case OWD_SIM_STREAM:
  case OWD_SIM_MIXES:
    stream (&talk, t);
    break;
  }
  return key;
}
