/* SPDX-License-Identifier: Apache-2.0
 *
 * Virtual time: the heap of events, and what an arriving conversation sets off. See internal.h.
 */
#include "internal.h"

#include <string.h>

#define FORWARDING_NS (20 * OWD_NS_PER_US) /* from ingress to egress of a router */

/* ---- heap ---- */

static gboolean
earlier (const SimEvent *a, const SimEvent *b)
{
  return a->t != b->t ? a->t < b->t : a->order < b->order;
}

static void
heap_push (GArray *heap, SimEvent event)
{
  SimEvent *e;
  guint i = heap->len;

  g_array_append_val (heap, event);
  e = (SimEvent *) (void *) heap->data;
  while (i > 0 && earlier (&event, &e[(i - 1) / 2])) {
    e[i] = e[(i - 1) / 2];
    i = (i - 1) / 2;
  }
  e[i] = event;
}

/* The heap is not empty. */
static SimEvent
heap_pop (GArray *heap)
{
  SimEvent *e = (SimEvent *) (void *) heap->data, top = e[0], last = e[heap->len - 1];
  guint n = heap->len - 1, i = 0, child;

  g_array_set_size (heap, n);
  while ((child = 2 * i + 1) < n) {
    if (child + 1 < n && earlier (&e[child + 1], &e[child]))
      child++;
    if (!earlier (&e[child], &last))
      break;
    e[i] = e[child];
    i = child;
  }
  if (n > 0)
    e[i] = last;
  return top;
}

static OwdTime
heap_time (const GArray *heap)
{
  return heap->len > 0 ? g_array_index (heap, SimEvent, 0).t : NEVER;
}

void
sim_event (OwdSim *self, OwdTime t, guint kind, guint index, void *pointer)
{
  heap_push (self->events,
             (SimEvent){ .t = t, .order = self->order++, .kind = kind, .index = index, .pointer = pointer });
}

/* ---- datagrams ---- */

SimDatagram *
sim_datagram (OwdSim *self)
{
  if (self->spare->len > 0)
    return g_ptr_array_steal_index_fast (self->spare, self->spare->len - 1);
  return g_new (SimDatagram, 1);
}

void
sim_send (OwdSim *self, SimDatagram *datagram)
{
  heap_push (self->out, (SimEvent){ .t = datagram->recv_ns, .order = self->order++, .pointer = datagram });
}

/* ---- flows ---- */

static void
flow_done (OwdSim *self, SimFlow *flow)
{
  if (self->truth != NULL)
    sim_truth (self, flow);
  g_free (flow);
}

/* The record has left, or never will; so has the half that it carries. */
void
sim_record_done (OwdSim *self, SimRecord *record)
{
  SimRecord *twin = record->twin;

  if (twin != NULL) {
    twin->lost = record->lost;
    if (--twin->flow->waiting == 0)
      flow_done (self, twin->flow);
  }
  if (--record->flow->waiting == 0)
    flow_done (self, record->flow);
}

/* Moves all packets over one hop; they keep their order. self->seen: what stands there sees. */
static void
travel (OwdSim *self, const OwdSimRoute *route, guint hop, guint way)
{
  const OwdSimHop *h = &route->hops[hop];
  GArray *packets = self->packets[way];
  guint64 id = sim_hop_id (self, route, hop);
  OwdTime before = G_MININT64;

  g_array_set_size (self->seen, 0);
  for (guint i = 0; i < packets->len; i++) {
    SimPacket *p = &g_array_index (packets, SimPacket, i);
    SimSeen seen = { .size = p->size, .number = i, .flags = p->flags, .way = (guint8) way };

    if (p->reach <= hop)
      continue;
    p->t += sim_hop_delay (self, id, h, p->t) + sim_rng_exp (&self->path, h->queue_ns);
    seen.t = before = p->t = MAX (p->t, before + OWD_NS_PER_US);
    g_array_append_val (self->seen, seen);
  }
}

/* Behind the NAT the private side of the key looks different: the source of a request, the destination of an answer. */
static SimKey
translated (const SimKey *key, gboolean answer)
{
  static const guint8 public_v4[4] = { 192, 0, 2, 1 };
  SimKey k = *key;

  owd_addr_set_v4 (answer ? &k.dst : &k.src, public_v4);
  return k;
}

/* Which of a router's exporter states sees the flow. */
static guint
engine (const OwdSim *self, guint router, const SimKey *key)
{
  guint n = MAX (self->exporters[router].set.engines, 1);

  return router + (guint) (sim_hash (sim_key_hash (key), router) % n);
}

/* Packets of one flow, as they were sent. */
static void
count_paths (OwdSim *self, const OwdSimRoute *route, const GArray *packets)
{
  guint64 came_as_far[OWD_SIM_HOPS + 1] = { 0 }; /* packets that passed at least so many points */

  for (guint i = 0; i < packets->len; i++)
    came_as_far[g_array_index (packets, SimPacket, i).reach]++;
  for (guint i = route->n; i-- > 0;)
    came_as_far[i] += came_as_far[i + 1];
  for (guint a = 0; a < route->n; a++)
    for (guint b = a + 1; b < route->n; b++) {
      guint64 key = (guint64) route->points[a] << 32 | route->points[b];
      SimPath *path = g_hash_table_lookup (self->paths, &key);

      if (path == NULL) {
        path = g_new0 (SimPath, 1);
        path->key = key;
        g_hash_table_add (self->paths, path);
      }
      path->packets += came_as_far[a + 1];
      path->lost += came_as_far[a + 1] - came_as_far[b + 1];
    }
}

void
owd_sim_path (const OwdSim *self, guint src, guint dst, guint64 *ret_packets, guint64 *ret_lost)
{
  guint64 key = (guint64) src << 32 | dst;
  const SimPath *path = g_hash_table_lookup (self->paths, &key);

  *ret_packets = path != NULL ? path->packets : 0;
  *ret_lost = path != NULL ? path->lost : 0;
}

/* What routers that tell of both sides say about the way out, behind the records that are there. */
static void
add_egress (OwdSim *self, GArray *records)
{
  guint n = records->len;

  for (guint i = 0; i < n; i++) {
    SimRecord r = g_array_index (records, SimRecord, i);

    if (!self->exporters[r.exporter].set.egress_too || r.lost)
      continue;
    r.first_ns += FORWARDING_NS;
    r.last_ns += FORWARDING_NS;
    r.start_ns += FORWARDING_NS;
    r.ready_ns += FORWARDING_NS;
    r.egress = TRUE;
    g_array_append_val (records, r);
  }
}

/* One direction of a conversation: keys as the first points of its route see them, and those behind its NAT. */
typedef struct {
  const OwdSimRoute *route; /* NULL: nobody sees it */
  SimKey keys[2];
} Way;

static SimView
view_of (const OwdSim *self, const Way *way, guint hop)
{
  const SimNeighbours *n = &self->neighbours[sim_route_index (self, way->route)];

  return (SimView){ .key = way->keys[0], .hop = hop, .from = n->from[hop], .to = n->to[hop] };
}

/* Position of an exporter on a route, or G_MAXUINT. */
static guint
position (const OwdSimRoute *route, guint exporter)
{
  for (guint i = 0; route != NULL && i < route->n; i++)
    if (route->points[i] == exporter)
      return i;
  return G_MAXUINT;
}

/* Two lists in order of time become one. */
static void
merge (GArray *into, const GArray *a, const GArray *b)
{
  const SimSeen *p = (const SimSeen *) (const void *) a->data, *q = (const SimSeen *) (const void *) b->data;
  const SimSeen *p_end = p + a->len, *q_end = q + b->len;

  g_array_set_size (into, 0);
  while (p < p_end || q < q_end) {
    gboolean take_p = q == q_end || (p < p_end && p->t <= q->t);

    g_array_append_vals (into, take_p ? p++ : q++, 1);
  }
}

/* What one point sees of one direction, which stands in self->seen. An exporter of biflows waits for the answers, if
 * they pass it. */
static void
observe_at (OwdSim *self, const Way ways[2], guint way, guint hop)
{
  const Way *w = &ways[way];
  guint exporter = engine (self, w->route->points[hop], &w->keys[0]), there = G_MAXUINT;
  SimView view[2] = { view_of (self, w, hop), view_of (self, w, hop) };

  if (self->exporters[exporter].set.version == 5 && !owd_addr_is_v4 (&w->keys[0].src))
    return;
  if (self->exporters[exporter].set.biflow)
    there = position (ways[1 - way].route, exporter);
  if (there == G_MAXUINT) {
    sim_cache (self, exporter, view, self->seen);
  } else if (way == 0) {
    g_array_set_size (self->kept[hop], 0);
    g_array_append_vals (self->kept[hop], self->seen->data, self->seen->len);
  } else {
    view[0] = view_of (self, &ways[0], there);
    merge (self->both, self->kept[there], self->seen);
    sim_cache (self, exporter, view, self->both);
  }
}

static void
observe (OwdSim *self, const Way ways[2])
{
  for (guint way = 0; way < 2; way++)
    for (guint hop = 0; ways[way].route != NULL && hop < ways[way].route->n; hop++) {
      travel (self, ways[way].route, hop, way);
      observe_at (self, ways, way, hop);
    }
}

/* The flow of one direction, out of its records: by hop, then time, as truth.c wants it. NULL: nothing was seen. */
static SimFlow *
make_flow (OwdSim *self, const Way *way, GArray *records)
{
  guint n = records->len, all, k = 0;
  SimFlow *flow;

  if (n == 0)
    return NULL;
  add_egress (self, records);
  all = records->len;
  flow = g_malloc (sizeof *flow + all * sizeof *flow->records);
  *flow = (SimFlow){ .key = { way->keys[0], way->keys[1] },
                     .nat_at = way->route->nat_at >= 0 ? (guint) way->route->nat_at : G_MAXUINT,
                     .n = n };
  for (guint hop = 0; hop < way->route->n; hop++)
    for (guint i = 0; i < n; i++)
      if (g_array_index (records, SimRecord, i).hop == hop)
        flow->records[k++] = g_array_index (records, SimRecord, i);
  for (; k < all; k++)
    flow->records[k] = g_array_index (records, SimRecord, k);
  for (guint i = 0; i < all; i++) {
    flow->records[i].flow = flow;
    flow->waiting += !flow->records[i].lost;
  }
  return flow;
}

static void
join_twins (SimFlow *to, SimFlow *fro)
{
  for (guint i = 0; i < to->n; i++)
    for (guint j = 0; to->records[i].pair != 0 && j < fro->n; j++)
      if (fro->records[j].pair == to->records[i].pair)
        to->records[i].twin = &fro->records[j];
}

/* A flow all of whose records are lost already has no event to end it. */
static void
schedule (OwdSim *self, SimFlow *flow)
{
  guint left = flow->waiting;

  if (left == 0)
    flow_done (self, flow);
  for (guint i = 0; left > 0; i++) {
    SimRecord *r = &flow->records[i];

    if (r->lost)
      continue;
    left--;
    if (!r->carried)
      sim_event (self, r->ready_ns, EVENT_RECORD, 0, r);
  }
}

static void
make_flows (OwdSim *self, const Way ways[2])
{
  SimFlow *flows[2];

  self->pairs = 0;
  for (guint way = 0; way < 2; way++) {
    g_array_set_size (self->records[way], 0);
    if (ways[way].route != NULL)
      count_paths (self, ways[way].route, self->packets[way]);
  }
  observe (self, ways);
  for (guint way = 0; way < 2; way++)
    flows[way] = make_flow (self, &ways[way], self->records[way]);
  if (self->pairs > 0)
    join_twins (flows[0], flows[1]);
  for (guint way = 0; way < 2; way++)
    if (flows[way] != NULL)
      schedule (self, flows[way]);
}

static void
arrival (OwdSim *self, guint index, OwdTime t)
{
  const OwdSimRoute *route = &g_array_index (self->config->routes, OwdSimRoute, index), *back = NULL;
  OwdTime next = t + sim_rng_exp (&self->traffic, (gint64) ((double) OWD_NS_PER_S / route->flows_per_s));
  SimKey to = sim_traffic (self, route, t);
  SimKey fro = { .src = to.dst, .dst = to.src, .sport = to.dport, .dport = to.sport, .proto = to.proto };

  if (next < self->end_ns)
    sim_event (self, next, EVENT_ARRIVAL, index, NULL);
  if (route->back >= 0)
    back = &g_array_index (self->config->routes, OwdSimRoute, route->back);
  Way ways[2] = { { route, { to, to } }, { back, { fro, fro } } };
  if (route->nat_at >= 0 && owd_addr_is_v4 (&to.src))
    ways[0].keys[1] = translated (&to, FALSE);
  if (back != NULL && back->nat_at >= 0 && owd_addr_is_v4 (&to.src))
    ways[1].keys[0] = translated (&fro, TRUE);
  make_flows (self, ways);
}

static void
step (OwdSim *self)
{
  SimEvent e = heap_pop (self->events);

  switch (e.kind) {
  case EVENT_ARRIVAL:
    arrival (self, e.index, e.t);
    break;
  case EVENT_RECORD:
    sim_export_record (self, e.pointer, e.t);
    break;
  case EVENT_TICK:
    sim_export_tick (self, e.index, e.t);
    break;
  }
}

/* Nothing that is still to happen can be received before the next event. */
gboolean
owd_sim_next (OwdSim *self, OwdSimDatagram *ret)
{
  SimDatagram *d;

  if (self->given != NULL)
    g_ptr_array_add (self->spare, self->given);
  self->given = NULL;
  while (self->events->len > 0 && heap_time (self->events) <= heap_time (self->out))
    step (self);
  if (self->out->len == 0)
    return FALSE;
  self->given = d = heap_pop (self->out).pointer;
  *ret = (OwdSimDatagram){ .recv_ns = d->recv_ns,
                           .exporter = d->exporter,
                           .port = (guint16) (20000 + d->exporter % 40000),
                           .data = d->bytes,
                           .len = d->len };
  return TRUE;
}

/* ---- making and freeing ---- */

static OwdSimConfig *
config_copy (const OwdSimConfig *config)
{
  OwdSimConfig *copy = g_new (OwdSimConfig, 1);

  *copy = *config;
  copy->exporters = g_array_copy (config->exporters);
  copy->routes = g_array_copy (config->routes);
  return copy;
}

/* The number that a router gives its neighbour; a new one if it did not know it. */
static guint
neighbour (OwdSim *self, guint router, guint other)
{
  GArray *known = self->exporters[router].neighbours;

  for (guint i = 0; i < known->len; i++)
    if (g_array_index (known, guint, i) == other)
      return i + 1;
  g_array_append_val (known, other);
  return known->len;
}

static void
add_neighbours (OwdSim *self, const OwdSimRoute *route, SimNeighbours *n)
{
  for (guint i = 0; i < route->n; i++) {
    n->from[i] = i > 0 ? neighbour (self, route->points[i], route->points[i - 1]) : 0;
    n->to[i] = i + 1 < route->n ? neighbour (self, route->points[i], route->points[i + 1]) : 0;
  }
}

guint
owd_sim_interfaces (const OwdSim *self, guint exporter)
{
  const SimExporter *ex = &self->exporters[exporter];

  return (1 + ex->neighbours->len) * MAX (ex->set.n_interfaces, 1);
}

static void
add_exporter (OwdSim *self, guint i)
{
  SimExporter *ex = &self->exporters[i];
  guint64 seed = sim_hash (self->config->seed, 1000 + i);

  ex->set = g_array_index (self->config->exporters, OwdSimExporter, i);
  ex->rng = sim_rng (seed, 0);
  ex->pending = g_ptr_array_new ();
  ex->neighbours = g_array_new (FALSE, FALSE, sizeof (guint));
  ex->seq = ex->set.up_before_ns > 0 ? (guint32) sim_hash (seed, 3) : 0;
  ex->template_due = self->config->start_ns;
  sim_clock_init (ex, self->config->start_ns, seed);
}

OwdSim *
owd_sim_new (const OwdSimConfig *config, OwdSimTruthSink truth, void *user)
{
  OwdSim *self = g_new0 (OwdSim, 1);

  g_return_val_if_fail (owd_sim_config_fault (config) == NULL, NULL);
  self->config = config_copy (config);
  self->end_ns = config->start_ns + config->duration_ns;
  self->truth = truth;
  self->user = user;
  self->traffic = sim_rng (config->seed, 1);
  self->path = sim_rng (config->seed, 2);
  self->events = g_array_new (FALSE, FALSE, sizeof (SimEvent));
  self->out = g_array_new (FALSE, FALSE, sizeof (SimEvent));
  self->spare = g_ptr_array_new_with_free_func (g_free);
  self->seen = g_array_new (FALSE, FALSE, sizeof (SimSeen));
  self->both = g_array_new (FALSE, FALSE, sizeof (SimSeen));
  for (guint i = 0; i < OWD_SIM_HOPS; i++)
    self->kept[i] = g_array_new (FALSE, FALSE, sizeof (SimSeen));
  for (guint i = 0; i < 2; i++) {
    self->packets[i] = g_array_new (FALSE, FALSE, sizeof (SimPacket));
    self->records[i] = g_array_new (FALSE, FALSE, sizeof (SimRecord));
  }
  self->paths = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  self->n_exporters = config->exporters->len;
  self->exporters = g_new0 (SimExporter, self->n_exporters);
  for (guint i = 0; i < self->n_exporters; i++)
    add_exporter (self, i);
  self->neighbours = g_new0 (SimNeighbours, config->routes->len);
  for (guint i = 0; i < config->routes->len; i++)
    add_neighbours (self, &g_array_index (config->routes, OwdSimRoute, i), &self->neighbours[i]);
  for (guint i = 0; i < config->routes->len; i++) {
    double rate = g_array_index (config->routes, OwdSimRoute, i).flows_per_s;

    if (rate > 0)
      sim_event (self, config->start_ns + sim_rng_exp (&self->traffic, (gint64) ((double) OWD_NS_PER_S / rate)),
                 EVENT_ARRIVAL, i, NULL);
  }
  return self;
}

/* A run may be left before its end: records still wait in events and datagrams. */
void
owd_sim_free (OwdSim *self)
{
  if (self == NULL)
    return;
  self->truth = NULL;
  for (guint i = 0; i < self->events->len; i++)
    if (g_array_index (self->events, SimEvent, i).kind == EVENT_RECORD)
      sim_record_done (self, g_array_index (self->events, SimEvent, i).pointer);
  for (guint i = 0; i < self->n_exporters; i++) {
    GPtrArray *pending = self->exporters[i].pending;

    for (guint j = 0; j < pending->len; j++)
      sim_record_done (self, g_ptr_array_index (pending, j));
    g_ptr_array_unref (pending);
    g_array_unref (self->exporters[i].neighbours);
  }
  for (guint i = 0; i < self->out->len; i++)
    g_free (g_array_index (self->out, SimEvent, i).pointer);
  g_free (self->given);
  g_free (self->exporters);
  g_free (self->neighbours);
  g_array_unref (self->events);
  g_array_unref (self->out);
  g_ptr_array_unref (self->spare);
  g_hash_table_unref (self->paths);
  g_array_unref (self->seen);
  g_array_unref (self->both);
  for (guint i = 0; i < OWD_SIM_HOPS; i++)
    g_array_unref (self->kept[i]);
  for (guint i = 0; i < 2; i++) {
    g_array_unref (self->packets[i]);
    g_array_unref (self->records[i]);
  }
  owd_sim_config_free (self->config);
  g_free (self);
}

const OwdSimCounts *
owd_sim_counts (const OwdSim *self, guint exporter)
{
  return &self->exporters[exporter].counts;
}

guint64
owd_sim_uptime_ns (const OwdSim *self, guint exporter, OwdTime t)
{
  return (guint64) sim_clock_uptime (&self->exporters[exporter], t);
}

OwdTime
owd_sim_rtc_ns (const OwdSim *self, guint exporter, OwdTime t)
{
  return sim_clock_rtc (&self->exporters[exporter], t);
}

OwdTime
owd_sim_boot_ns (const OwdSim *self, guint exporter, OwdTime t)
{
  const SimExporter *ex = &self->exporters[exporter];

  return ex->boot_ns[sim_clock_epoch (ex, t)];
}
