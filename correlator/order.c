/* SPDX-License-Identifier: Apache-2.0
 *
 * Order of delivery.
 *
 * A sample is ready when both its records have come, but records come late by as much as their exporters' timeouts. So
 * ready samples wait in a heap until the watermark passes their time: watermark = log time - horizon. Where the stamps
 * lie exactly, and which point is upstream, is decided when a sample leaves the heap: until then headers and
 * conversations that came later have their say. The horizon is the smallest that keeps the wished share of stamps: the
 * largest, over exporters that are alive, of their lags' quantile; capped by max_latency. The watermark never moves
 * back: a horizon that grows only lets it stand still.
 *
 * A sample that becomes ready after the watermark has passed its time is counted as late and dropped: nobody who read
 * up to the watermark has to read again.
 *
 * Cost: O(log n) per sample; the horizon is recomputed once per second of log time.
 */
#include "internal.h"

#include <math.h>
#include <string.h>

#define LAG_ENOUGH 100 /* lags until an exporter's own quantile counts */
#define LAG_HALVE 8192 /* then all counts are halved, so that old behaviour fades */
#define HORIZON_MARGIN_NS (500 * OWD_NS_PER_MS)

void
lag_add (Lag *self, gint64 lag_ns)
{
  double units = (double) lag_ns / (100.0 * OWD_NS_PER_MS);
  int i = units > 1 ? (int) (4 * log2 (units)) : 0;

  self->count[CLAMP (i, 0, LAG_BUCKETS - 1)]++;
  if (++self->n < LAG_HALVE)
    return;
  self->n = 0;
  for (guint k = 0; k < LAG_BUCKETS; k++) {
    self->count[k] /= 2;
    self->n += self->count[k];
  }
}

gint64
lag_quantile_ns (const Lag *self, double share)
{
  double want = share * self->n, sum = 0;
  guint i;

  if (self->n == 0)
    return OWD_TIME_NONE;
  for (i = 0; i < LAG_BUCKETS - 1; i++) {
    sum += self->count[i];
    if (sum >= want)
      break;
  }
  return (gint64) (100.0 * OWD_NS_PER_MS * exp2 ((i + 1) / 4.0));
}

/* Order of delivery, total, so that it does not depend on the order of arrival. */
static int
compare (const Waiting *x, const Waiting *y)
{
#define BY(field)                                                                                                      \
  if (x->field != y->field)                                                                                            \
    return x->field < y->field ? -1 : 1;
  BY (ts)
  BY (flow)
  BY (kind)
  BY (a.state)
  BY (b.state)
  BY (a.lo_ns)
  BY (b.lo_ns)
#undef BY
  return 0;
}

static void
sift_up (Waiting *heap, guint32 i)
{
  Waiting moving = heap[i];

  while (i > 0 && compare (&moving, &heap[(i - 1) / 2]) < 0) {
    heap[i] = heap[(i - 1) / 2];
    i = (i - 1) / 2;
  }
  heap[i] = moving;
}

static void
sift_down (Waiting *heap, guint32 n)
{
  Waiting moving = heap[0];
  guint32 i = 0, child;

  while ((child = 2 * i + 1) < n) {
    if (child + 1 < n && compare (&heap[child + 1], &heap[child]) < 0)
      child++;
    if (compare (&heap[child], &moving) >= 0)
      break;
    heap[i] = heap[child];
    i = child;
  }
  heap[i] = moving;
}

static Waiting
take_first (Pending *p)
{
  Waiting first = p->heap[0];

  p->heap[0] = p->heap[--p->n];
  if (p->n > 0)
    sift_down (p->heap, p->n);
  return first;
}

static void
put (Pending *p, const Waiting *w)
{
  if (p->n == p->size) {
    p->size = MAX (1024, p->size * 2);
    p->heap = g_renew (Waiting, p->heap, p->size);
  }
  p->heap[p->n] = *w;
  sift_up (p->heap, p->n++);
}

/* Its key is a lower bound of the time that it will have: neither stamp can lie before its lower edge. */
void
order_push (OwdCorrelator *self, const Waiting *waiting)
{
  Waiting w = *waiting;

  w.ts = MIN (w.a.lo_ns, w.b.lo_ns);
  if (self->watermark != OWD_TIME_NONE && w.ts <= self->watermark) {
    if (MIN (stamp_best_ns (self, &w.a), stamp_best_ns (self, &w.b)) <= self->watermark) {
      self->counters.late++;
      return;
    }
    w.ts = self->watermark + 1;
  }
  put (&self->pending, &w);
}

/* With all that is known now: where the stamps lie, and who is upstream. */
static void
decide (const OwdCorrelator *self, Waiting *w)
{
  const Pair *pair = pair_find (self, w->a.state, w->b.state);
  gboolean by_sign;
  Seen seen;

  stamp_refine (self, &w->a);
  stamp_refine (self, &w->b);
  delay_see (self, &w->a, &w->b, &seen);
  seen.near = w->near;
  seen.wide = w->wide;
  seen.round_trip_ns = w->round_trip_ns;
  w->travel = (guint8) pair_travel (self, pair, &seen, &by_sign);
  w->decided = TRUE;
  if (by_sign)
    w->flags |= OWD_SAMPLE_BY_SIGN;
  w->ts = MAX (w->ts, stamp_best_ns (self, w->travel == TRAVELS_FORWARD ? &w->a : &w->b));
}

static void
emit (OwdCorrelator *self, const Waiting *w)
{
  gboolean forward = w->travel == TRAVELS_FORWARD;
  OwdSample out;

  delay_sample (self, forward ? &w->a : &w->b, forward ? &w->b : &w->a, &out);
  out.ts = w->ts;
  out.flow = w->flow;
  out.kind = w->kind;
  out.proto = w->proto;
  out.flags |= w->flags;
  out.seq = ++self->seq;
  self->counters.samples++;
  self->sink (self->user, &out);
}

/* Returns the time of the last one, or OWD_TIME_NONE. */
static OwdTime
deliver_until (OwdCorrelator *self, OwdTime watermark)
{
  Pending *p = &self->pending;
  OwdTime last = OWD_TIME_NONE;

  while (p->n > 0 && p->heap[0].ts <= watermark) {
    Waiting w = take_first (p);

    if (!w.decided) {
      decide (self, &w);
      if (w.travel == TRAVELS_UNKNOWN) {
        self->counters.undirected++;
        continue;
      }
      if (w.ts > watermark || (p->n > 0 && compare (&p->heap[0], &w) < 0)) {
        put (p, &w);
        continue;
      }
    }
    emit (self, &w);
    last = w.ts;
  }
  return last;
}

static gint64
horizon (const OwdCorrelator *self)
{
  gint64 longest = 0;

  for (guint32 i = 0; i < self->n_states; i++) {
    const State *s = &self->state[i];
    gint64 lag
        = s->lag.n >= LAG_ENOUGH ? lag_quantile_ns (&s->lag, self->config.completeness) : self->config.first_horizon_ns;

    if (s->records > 0 && self->log_time - s->last_ns <= self->config.silent_ns)
      longest = MAX (longest, lag + HORIZON_MARGIN_NS);
  }
  if (longest == 0)
    longest = self->config.first_horizon_ns;
  return MIN (longest, self->config.max_latency_ns);
}

void
order_advance (OwdCorrelator *self, OwdTime log_time)
{
  OwdTime mark;

  if (self->log_time != OWD_TIME_NONE && log_time <= self->log_time)
    return;
  self->log_time = log_time;
  if (self->horizon_at == OWD_TIME_NONE || log_time - self->horizon_at >= OWD_NS_PER_S) {
    self->horizon_ns = horizon (self);
    self->horizon_at = log_time;
  }
  mark = log_time - self->horizon_ns;
  if (self->watermark != OWD_TIME_NONE && mark <= self->watermark)
    return;
  self->watermark = mark;
  (void) deliver_until (self, mark);
}

void
order_flush (OwdCorrelator *self)
{
  OwdTime last = deliver_until (self, G_MAXINT64);

  self->watermark = MAX (self->watermark, MAX (last, self->log_time));
}

void
order_drop (OwdCorrelator *self, OwdTime watermark)
{
  Pending *p = &self->pending;

  while (p->n > 0 && p->heap[0].ts <= watermark) {
    Waiting w = take_first (p);

    if (!w.decided)
      decide (self, &w);
    if (w.ts > watermark && w.travel != TRAVELS_UNKNOWN)
      put (p, &w);
  }
}
