/* SPDX-License-Identifier: Apache-2.0
 *
 * Order of delivery.
 *
 * A pair is ready when both its records have come, but records come late by as much as their exporters' timeouts. So
 * ready pairs wait until the watermark passes their time: watermark = log time - horizon. The horizon is the smallest
 * that keeps the wished share of stamps: the largest, over exporters that are alive, of their lags' quantile; capped by
 * max_latency. The watermark never moves back: a horizon that grows only lets it stand still.
 *
 * Where the stamps lie exactly, and which point is upstream, is decided a few seconds before a pair's turn comes: until
 * then headers and conversations that came later have their say. A pair is filed under the earliest time that it can
 * have, so a decision only ever moves it to a later place. Between decision and delivery it is judged (gate.c): then
 * its neighbours in time, on both sides, have been decided too.
 *
 * A pair that becomes ready after the watermark has passed its time is counted as late and dropped: nobody who read
 * up to the watermark has to read again.
 *
 * Structure: time is cut into slots, each a list of chunks in the order of arrival; a slot is sorted when its turn
 * comes. Filing costs one append, delivery O(log n) of the slot's size, all of it near in memory; the watermark moves
 * in slots. The horizon is recomputed once per second of log time.
 */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LAG_ENOUGH 100 /* lags until an exporter's own quantile counts */
#define LAG_HALVE 8192 /* then all counts are halved, so that old behaviour fades */
#define HORIZON_MARGIN_NS (500 * OWD_NS_PER_MS)
#define JUDGE_BINS 2 /* of the gate: so far ahead of delivery pairs are judged, */

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

static int
compare_pointers (const void *a, const void *b)
{
  const Waiting *const *x = a, *const *y = b;

  return compare (*x, *y);
}

/* ---- slots ---------------------------------------------------------------------------------------- */

void
order_clear (Pending *p)
{
  g_free (p->head);
  g_free (p->chunk);
  *p = (Pending){ .far = NIL, .free = NIL };
}

static gint64
slot_of (const Pending *p, OwdTime ts)
{
  return ts / p->slot_ns - (ts % p->slot_ns < 0);
}

static guint32
chunk_take (Pending *p)
{
  guint32 i = p->free;

  if (i != NIL) {
    p->free = p->chunk[i].next;
    return i;
  }
  if (p->n_chunks == p->size) {
    p->size = MAX (64, p->size * 2);
    p->chunk = g_renew (Chunk, p->chunk, p->size);
  }
  return p->n_chunks++;
}

static void
append (Pending *p, guint32 *list, const Waiting *w)
{
  guint32 i = *list;

  if (i == NIL || p->chunk[i].n == CHUNK_SAMPLES) {
    i = chunk_take (p);
    p->chunk[i].next = *list;
    p->chunk[i].n = 0;
    *list = i;
  }
  p->chunk[i].w[p->chunk[i].n++] = *w;
}

static void
start (OwdCorrelator *self, OwdTime earliest)
{
  Pending *p = &self->pending;

  p->slot_ns = MAX (100 * OWD_NS_PER_MS, self->config.max_latency_ns / (SLOTS / 2));
  p->head = g_new (guint32, SLOTS);
  for (guint i = 0; i < SLOTS; i++)
    p->head[i] = NIL;
  p->first = slot_of (p, earliest);
}

static void
put (OwdCorrelator *self, const Waiting *w)
{
  Pending *p = &self->pending;
  gint64 slot;

  if (p->head == NULL)
    start (self, self->watermark != OWD_TIME_NONE ? self->watermark + 1 : w->ts - self->config.max_latency_ns);
  slot = MAX (slot_of (p, w->ts), p->first);
  if (slot - p->first < SLOTS) {
    append (p, &p->head[slot & (SLOTS - 1)], w);
    p->near++;
  } else {
    append (p, &p->far, w);
  }
}

/* Cuts a list off: its pairs in a buffer that lives until the next call. */
static Waiting *
drain (OwdCorrelator *self, guint32 *list, guint32 *ret_n)
{
  Pending *p = &self->pending;
  guint32 n = 0, next;

  for (guint32 i = *list; i != NIL; i = next) {
    if (n + CHUNK_SAMPLES > self->drained_size) {
      self->drained_size = MAX (1024, self->drained_size * 2);
      self->drained = g_renew (Waiting, self->drained, self->drained_size);
    }
    memcpy (&self->drained[n], p->chunk[i].w, p->chunk[i].n * sizeof (Waiting));
    n += p->chunk[i].n;
    next = p->chunk[i].next;
    p->chunk[i].next = p->free;
    p->free = i;
  }
  *list = NIL;
  *ret_n = n;
  return self->drained;
}

/* What lay beyond the slots may fit them now. */
static void
refile_far (OwdCorrelator *self)
{
  guint32 n;
  Waiting *w;

  if (self->pending.far == NIL)
    return;
  w = drain (self, &self->pending.far, &n);
  for (guint32 i = 0; i < n; i++)
    put (self, &w[i]);
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
  put (self, &w);
}

/* With all that is known now: where the stamps lie, and who is upstream. FALSE: nothing shows that, or a clock was
 * stepped around their time and nothing tells which of its times they have. */
static gboolean
decide (OwdCorrelator *self, Waiting *w)
{
  const Pair *pair = pair_find (self, w->a.state, w->b.state);
  gboolean by_sign;
  guint8 shared;
  Seen seen;

  stamp_refine (self, &w->a);
  stamp_refine (self, &w->b);
  if (w->a.either || w->b.either) {
    self->counters.unsettled++;
    return FALSE;
  }
  delay_see (self, &w->a, &w->b, &seen);
  shared = match_shared (self, w->a.state, w->b.state);
  seen.near = w->either_way && shared != 0 ? 0 : w->near;
  seen.wide = w->wide;
  seen.round_trip_ns = w->round_trip_ns;
  w->travel = (guint8) pair_travel (self, pair, &seen, &by_sign);
  w->decided = TRUE;
  /* it has turned out since whose stamps may belong to packets of the other direction */
  if (shared != 0 && shared != w->shared)
    w->travel = TRAVELS_UNKNOWN;
  if (w->travel == TRAVELS_UNKNOWN) {
    self->counters.undirected++;
    return FALSE;
  }
  if (by_sign)
    w->flags |= OWD_SAMPLE_BY_SIGN;
  w->ts = MAX (w->ts, stamp_best_ns (self, w->travel == TRAVELS_FORWARD ? &w->a : &w->b));
  gate_note (self, w, seen.delta_ns);
  return TRUE;
}

/* Decides what has come so far of a slot, and files it by the time that it has. */
static void
decide_slot (OwdCorrelator *self, gint64 slot)
{
  Pending *p = &self->pending;
  guint32 n;
  Waiting *w;

  if (p->head[slot & (SLOTS - 1)] == NIL)
    return;
  w = drain (self, &p->head[slot & (SLOTS - 1)], &n);
  p->near -= n;
  for (guint32 i = 0; i < n; i++) {
    if (w[i].decided || decide (self, &w[i]))
      put (self, &w[i]);
  }
}

static void
judge_slot (OwdCorrelator *self, gint64 slot)
{
  Pending *p = &self->pending;

  for (guint32 i = p->head[slot & (SLOTS - 1)]; i != NIL; i = p->chunk[i].next) {
    for (guint32 k = 0; k < p->chunk[i].n; k++) {
      if (p->chunk[i].w[k].decided)
        gate_judge (self, &p->chunk[i].w[k]);
    }
  }
}

/* What comes before the delivery of the first slot. */
static void
work_ahead (OwdCorrelator *self)
{
  Pending *p = &self->pending;
  gint64 judge = (JUDGE_BINS * gate_bin_ns (self) + p->slot_ns - 1) / p->slot_ns;
  gint64 ahead = ((JUDGE_BINS + LEVEL_REACH) * gate_bin_ns (self) + p->slot_ns - 1) / p->slot_ns;

  for (p->decided = MAX (p->decided, p->first); p->decided <= p->first + ahead; p->decided++)
    decide_slot (self, p->decided);
  for (p->judged = MAX (p->judged, p->first); p->judged <= p->first + judge; p->judged++)
    judge_slot (self, p->judged);
}

static void
emit (OwdCorrelator *self, const Waiting *w)
{
  gboolean forward = w->travel == TRAVELS_FORWARD;
  OwdSample out;

  delay_sample (self, forward ? &w->a : &w->b, forward ? &w->b : &w->a, &out);
  out.ts = w->ts;
  out.flow = w->flow;
  out.profile_id = prior_id_at (self, &self->state[out.dst], w->ts);
  out.kind = w->kind;
  out.proto = w->proto;
  out.flags |= w->flags;
  if (w->verdict == VERDICT_SUPPORTED || w->verdict == VERDICT_LONELY) {
    out.flags |= OWD_SAMPLE_GATE;
    self->counters.flagged++;
  }
  if (w->verdict == VERDICT_LONELY)
    delay_widen (&out, forward ? w->level_ns : -w->level_ns);
  out.seq = ++self->seq;
  self->counters.samples++;
  self->sink (self->user, &out);
}

/* The first slot: decides the pairs that came late, files those again that turn out to lie in a later slot, delivers
 * the others in order. Returns the time of the last one, or OWD_TIME_NONE. */
static OwdTime
deliver_slot (OwdCorrelator *self)
{
  Pending *p = &self->pending;
  OwdTime last = OWD_TIME_NONE;
  guint32 n, kept = 0;
  Waiting *w;

  work_ahead (self);
  w = drain (self, &p->head[p->first & (SLOTS - 1)], &n);
  p->near -= n;
  if (self->sorted_size < n) {
    self->sorted_size = MAX (n, self->sorted_size * 2);
    self->sorted = g_renew (const Waiting *, self->sorted, self->sorted_size);
  }
  for (guint32 i = 0; i < n; i++) {
    if (!w[i].decided && !decide (self, &w[i]))
      continue;
    if (slot_of (p, w[i].ts) > p->first) {
      put (self, &w[i]);
      continue;
    }
    if (w[i].verdict == VERDICT_NONE)
      gate_judge (self, &w[i]);
    self->sorted[kept++] = &w[i];
  }
  if (kept > 1)
    qsort (self->sorted, kept, sizeof *self->sorted, compare_pointers);
  for (guint32 i = 0; i < kept; i++) {
    if (!gate_passes (self, self->sorted[i])) {
      self->counters.contradicted++;
      continue;
    }
    emit (self, self->sorted[i]);
    last = self->sorted[i]->ts;
  }
  p->first++;
  return last;
}

/* All slots that end at or before `until`. */
static void
deliver_until (OwdCorrelator *self, OwdTime until)
{
  Pending *p = &self->pending;
  gint64 end;

  if (p->head == NULL)
    start (self, until + 1);
  end = slot_of (p, until + 1);
  if (end <= p->first)
    return;
  while (p->first < end && p->near > 0)
    (void) deliver_slot (self);
  p->first = MAX (p->first, end);
  refile_far (self);
  self->watermark = MAX (self->watermark, p->first * p->slot_ns - 1);
}

/* Lag of an exporter that has not shown its own: what its profile says, with no profile the setting. */
static gint64
first_lag_ns (const OwdCorrelator *self, const State *s)
{
  for (guint i = 0; i < OWD_PRIOR_LAGS; i++) {
    if (s->clock.prior.lag_ns[i] > 0 && owd_prior_lag_share (i) >= self->config.completeness)
      return s->clock.prior.lag_ns[i];
  }
  return self->config.first_horizon_ns;
}

static gint64
horizon (const OwdCorrelator *self)
{
  gint64 longest = 0;

  for (guint32 i = 0; i < self->n_states; i++) {
    const State *s = &self->state[i];
    gint64 lag = s->lag.n >= LAG_ENOUGH ? lag_quantile_ns (&s->lag, self->config.completeness) : 0;

    /* of a new exporter only records that lag little can have come */
    if (s->lag.n < LAG_ENOUGH || s->last_ns - s->first_ns < self->config.first_horizon_ns)
      lag = MAX (lag, first_lag_ns (self, s));

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
  deliver_until (self, mark);
}

void
order_flush (OwdCorrelator *self)
{
  Pending *p = &self->pending;
  OwdTime last = self->log_time;

  while (p->near > 0 || p->far != NIL) {
    if (p->near == 0)
      p->first += SLOTS;
    else
      last = MAX (last, deliver_slot (self));
    refile_far (self);
  }
  self->watermark = MAX (self->watermark, last);
  if (p->head != NULL && last != OWD_TIME_NONE)
    p->first = MAX (p->first, slot_of (p, last));
}
