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
 * Structure: time is cut into slots, each a list of chunks in the order of arrival; when a slot's turn comes, keys of
 * its pairs are sorted digit by digit. Filing costs one append, delivery the same few passes for each pair, all of it
 * near in memory; the watermark moves in slots. The horizon is recomputed once per second of log time.
 */
#include "internal.h"

#include <math.h>
#include <string.h>

#define LAG_UNIT_NS (100 * OWD_NS_PER_MS)
#define LAG_ENOUGH 100 /* lags until an exporter's own quantile counts */
#define LAG_HALVE 8192 /* then all counts are halved, so that old behaviour fades */
#define HORIZON_MARGIN_NS (500 * OWD_NS_PER_MS)
#define DELIVER_AHEAD 8
#define SLOT_NS_MIN (100 * OWD_NS_PER_MS)
#define JUDGE_BINS 2 /* of the gate: so far ahead of delivery pairs are judged, */

/* (int) (4 * log2 (lag / 0.1 s)), at least 0. */
static guint
lag_bucket (gint64 lag_ns)
{
  static const double QUARTER[3] = { 1.18920711500272107, 1.41421356237309505, 1.68179283050742909 };
  guint64 units = lag_ns > 0 ? (guint64) lag_ns / LAG_UNIT_NS : 0;
  guint octave;
  double lag = (double) lag_ns, begin;

  if (units == 0)
    return 0;
  octave = 63 - (guint) __builtin_clzll (units);
  begin = (double) ((gint64) LAG_UNIT_NS << octave);
  return 4 * octave + (lag >= QUARTER[0] * begin) + (lag >= QUARTER[1] * begin) + (lag >= QUARTER[2] * begin);
}

void
lag_add (Lag *self, gint64 lag_ns)
{
  self->count[MIN (lag_bucket (lag_ns), LAG_BUCKETS - 1)]++;
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
  return (gint64) ((double) LAG_UNIT_NS * exp2 ((i + 1) / 4.0));
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
  BY (a)
  BY (b)
  BY (delay.delta_ns)
  BY (delay.tag_a)
  BY (delay.tag_b)
#undef BY
  return 0;
}

#define FEW 24       /* these are sorted by themselves */
#define MANY 4096    /* these by large digits: it takes as long to go through all digits as through as many samples */
#define DIGIT_BITS 8 /* of few */
#define DIGIT_BITS_MANY 11
#define FLOW_BITS 6 /* of the flow's hash: there are many samples of one millisecond */

/* Stable, by one digit of the key. FALSE: all have the same one, nothing moved. */
static gboolean
sort_by_digit (const Turn *from, Turn *to, guint32 n, guint shift, guint bits)
{
  const guint32 digits = 1u << bits;
  guint32 at[1 << DIGIT_BITS_MANY];

  memset (at, 0, digits * sizeof *at);
  for (guint32 i = 0; i < n; i++)
    at[from[i].key >> shift & (digits - 1)]++;
  if (at[from[0].key >> shift & (digits - 1)] == n)
    return FALSE;
  for (guint32 i = 0, sum = 0; i < digits; i++) {
    guint32 here = at[i];

    at[i] = sum;
    sum += here;
  }
  for (guint32 i = 0; i < n; i++)
    to[at[from[i].key >> shift & (digits - 1)]++] = from[i];
  return TRUE;
}

static const Waiting *
waiting_at (const Pending *p, const Turn *turn)
{
  return &chunk_at (p, turn->place / CHUNK_SAMPLES)->w[turn->place % CHUNK_SAMPLES];
}

/* Sorts self->turn[0..n): by time and the first bits of the flow's hash, then what has the same in the order of
 * compare(). */
static void
sort_turns (OwdCorrelator *self, guint32 n)
{
  const Pending *p = &self->pending;
  Turn *from = self->turn, *to = self->turn + n;
  const guint bits = n < MANY ? DIGIT_BITS : DIGIT_BITS_MANY;
  OwdTime first = G_MAXINT64;
  guint64 all = 0;

  for (guint32 i = 0; i < n; i++)
    first = MIN (first, waiting_at (p, &from[i])->ts);
  for (guint32 i = 0; i < n; i++) {
    const Waiting *w = waiting_at (p, &from[i]);

    from[i].key = (guint64) (w->ts - first) << FLOW_BITS | w->flow >> (64 - FLOW_BITS);
    all |= from[i].key;
  }
  for (guint shift = 0; n > FEW && shift < 64 && all >> shift != 0; shift += bits) {
    if (sort_by_digit (from, to, n, shift, bits)) {
      Turn *sorted = to;

      to = from;
      from = sorted;
    }
  }
  if (from != self->turn)
    memcpy (self->turn, from, n * sizeof *from);
  for (guint32 i = 1; i < n; i++) {
    Turn turn = self->turn[i];
    guint32 k;

    for (k = i; k > 0
                && (self->turn[k - 1].key > turn.key
                    || (self->turn[k - 1].key == turn.key
                        && compare (waiting_at (p, &self->turn[k - 1]), waiting_at (p, &turn)) > 0));
         k--)
      self->turn[k] = self->turn[k - 1];
    self->turn[k] = turn;
  }
}

/* ---- slots ---------------------------------------------------------------------------------------- */

void
order_clear (Pending *p)
{
  g_free (p->head);
  for (guint32 i = 0; i < p->n_chunks; i += BLOCK_CHUNKS)
    room_free (p->block[i / BLOCK_CHUNKS], BLOCK_CHUNKS * sizeof (Chunk));
  g_free (p->block);
  *p = (Pending){ .far = NIL, .free = NIL };
}

/* A division by a constant takes a tenth of another one: nearly always slots have their least length. */
static gint64
slot_of (const Pending *p, OwdTime ts)
{
  if (p->slot_ns == SLOT_NS_MIN)
    return ts / SLOT_NS_MIN - (ts % SLOT_NS_MIN < 0);
  return ts / p->slot_ns - (ts % p->slot_ns < 0);
}

/* Chunks never move, and a block of them is memory only as far as it has been used. */
static guint32
chunk_take (Pending *p)
{
  guint32 i = p->free;

  if (i != NIL) {
    p->free = chunk_at (p, i)->next;
    return i;
  }
  if (p->n_chunks % BLOCK_CHUNKS == 0) {
    p->block = g_renew (Chunk *, p->block, p->n_chunks / BLOCK_CHUNKS + 1);
    p->block[p->n_chunks / BLOCK_CHUNKS] = room_new (BLOCK_CHUNKS * sizeof (Chunk));
  }
  return p->n_chunks++;
}

void
order_make_chunks (Pending *p, guint32 n)
{
  while (p->n_chunks < n)
    (void) chunk_take (p);
}

static void
append (Pending *p, guint32 *list, const Waiting *w)
{
  Chunk *c = *list != NIL ? chunk_at (p, *list) : NULL;

  if (c == NULL || c->n == CHUNK_SAMPLES) {
    guint32 i = chunk_take (p);

    c = chunk_at (p, i);
    c->next = *list;
    c->n = 0;
    *list = i;
  }
  c->w[c->n++] = *w;
  for (gsize i = 0; i < sizeof *w; i += 64) /* where the slot's next one will be written */
    __builtin_prefetch ((const char *) &c->w[c->n] + i, 1);
}

static void
start (OwdCorrelator *self, OwdTime earliest)
{
  Pending *p = &self->pending;

  p->slot_ns = MAX (SLOT_NS_MIN, self->config.max_latency_ns / (SLOTS / 2));
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

/* The chunks of a list are free again. */
static void
release (Pending *p, guint32 list)
{
  guint32 last = list;

  if (list == NIL)
    return;
  while (chunk_at (p, last)->next != NIL)
    last = chunk_at (p, last)->next;
  chunk_at (p, last)->next = p->free;
  p->free = list;
}

/* What lay beyond the slots may fit them now. */
static void
refile_far (OwdCorrelator *self)
{
  Pending *p = &self->pending;
  guint32 list = p->far;

  p->far = NIL;
  for (guint32 i = list; i != NIL; i = chunk_at (p, i)->next) {
    for (guint32 k = 0; k < chunk_at (p, i)->n; k++) {
      Waiting w = chunk_at (p, i)->w[k];

      put (self, &w);
    }
  }
  release (p, list);
}

/* Who is upstream, as far as is known now. */
static Travel
travel_of (OwdCorrelator *self, const Waiting *w, Seen *seen, gboolean *ret_by_sign)
{
  guint8 shared = match_shared (self, w->a, w->b);

  delay_see (self, &w->proof.a, &w->proof.b, seen);
  seen->near = w->either_way && shared != 0 ? 0 : w->near;
  seen->wide = w->wide;
  seen->round_trip_ns = w->proof.round_trip_ns;
  /* it has turned out since whose stamps may belong to packets of the other direction */
  if (shared != 0 && shared != w->shared)
    return TRAVELS_UNKNOWN;
  return pair_travel (self, &self->pair[w->pair], seen, ret_by_sign);
}

/* Told of when the watermark moves next, as it belongs to an instant that is still open. */
static void
count_late (OwdCorrelator *self, const Waiting *w)
{
  gboolean by_sign;
  Seen seen;
  Travel travel = travel_of (self, w, &seen, &by_sign);

  self->counters.late++;
  if (travel == TRAVELS_UNKNOWN || self->count_sink == NULL)
    return;
  self->pair[w->pair].late[travel == TRAVELS_BACK]++;
  self->n_late++;
}

static void
emit_late (OwdCorrelator *self)
{
  for (guint32 i = 0; i < self->n_pairs && self->n_late > 0; i++) {
    Pair *pair = &self->pair[i];

    for (guint back = 0; back < 2; back++) {
      OwdCount count = { .ts = self->pending.first * self->pending.slot_ns,
                         .src = back ? pair->b : pair->a,
                         .dst = back ? pair->a : pair->b,
                         .late = pair->late[back] };

      if (pair->late[back] == 0)
        continue;
      self->n_late -= pair->late[back];
      pair->late[back] = 0;
      self->count_sink (self->user, &count);
    }
  }
}

/* Its key is a lower bound of the time that it will have: neither stamp can lie before its lower edge. */
void
order_push (OwdCorrelator *self, Waiting *w)
{
  w->ts = MIN (w->proof.a.lo_ns, w->proof.b.lo_ns);
  if (self->watermark != OWD_TIME_NONE && w->ts <= self->watermark) {
    if (MIN (stamp_best_ns (self, &w->proof.a), stamp_best_ns (self, &w->proof.b)) <= self->watermark) {
      if (w->kind != 0)
        count_late (self, w);
      return;
    }
    w->ts = self->watermark + 1;
  }
  put (self, w);
}

/* With all that is known now: where the stamps lie, and who is upstream. FALSE: nothing shows that, or a clock was
 * stepped around their time and nothing tells which of its times they have. */
static gboolean
decide (OwdCorrelator *self, Waiting *w)
{
  gboolean settled_a = stamp_refine (self, &w->proof.a), settled_b = stamp_refine (self, &w->proof.b), by_sign;
  Delay delay;
  Seen seen;

  if (!settled_a || !settled_b) {
    self->counters.unsettled += w->kind != 0 ? 1 : 0;
    return FALSE;
  }
  w->travel = (guint8) travel_of (self, w, &seen, &by_sign);
  w->decided = TRUE;
  if (w->travel == TRAVELS_UNKNOWN) {
    self->counters.undirected += w->kind != 0 ? 1 : 0;
    return FALSE;
  }
  if (by_sign)
    w->flags |= OWD_SAMPLE_BY_SIGN;
  w->ts = MAX (w->ts, w->travel == TRAVELS_FORWARD ? seen.at_a_ns : seen.at_b_ns);
  delay.delta_ns = seen.delta_ns;
  delay.step_ns = seen.step_ns;
  delay.tag_a = gate_tag (w->flow, &w->proof.a);
  delay.tag_b = gate_tag (w->flow, &w->proof.b);
  if (w->travel == TRAVELS_FORWARD)
    w->flags |= delay_between (self, &w->proof.a, &w->proof.b, &delay);
  else
    w->flags |= delay_between (self, &w->proof.b, &w->proof.a, &delay);
  w->delay = delay;
  if (w->kind != 0)
    gate_note (self, w);
  return TRUE;
}

/* A pair that stands in a slot: is decided now if it was not. FALSE: it does not belong there any more, as it is not
 * to be delivered, or lies in a later slot; there it is now. */
static gboolean
settle (OwdCorrelator *self, Waiting *w, gint64 slot)
{
  if (!w->decided && !decide (self, w)) {
    self->pending.near--;
    return FALSE;
  }
  if (w->ts < (slot + 1) * self->pending.slot_ns)
    return TRUE;
  self->pending.near--;
  put (self, w);
  return FALSE;
}

/* Decides what has come so far of a slot. */
static void
decide_slot (OwdCorrelator *self, gint64 slot)
{
  Pending *p = &self->pending;

  for (guint32 i = p->head[slot & (SLOTS - 1)]; i != NIL; i = chunk_at (p, i)->next) {
    Chunk *c = chunk_at (p, i);
    guint32 kept = 0;

    for (guint32 k = 0; k < c->n; k++)
      pair_expect (self, &self->pair[c->w[k].pair], c->w[k].near, c->w[k].wide);
    for (guint32 k = 0; k < c->n; k++) {
      if (settle (self, &c->w[k], slot) && kept++ < k)
        c->w[kept - 1] = c->w[k];
    }
    c->n = kept;
  }
}

static void
judge_slot (OwdCorrelator *self, gint64 slot)
{
  Pending *p = &self->pending;

  for (guint32 i = p->head[slot & (SLOTS - 1)]; i != NIL; i = chunk_at (p, i)->next) {
    Chunk *c = chunk_at (p, i);

    for (guint32 k = 0; k < c->n; k++) {
      if (c->w[k].decided && c->w[k].kind != 0)
        gate_judge (self, &c->w[k]);
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
  gint64 floor_ns = self->pair[w->pair].floor_ns;
  guint16 dst = forward ? w->b : w->a;
  OwdSample out = { .ts = w->ts,
                    .owd_ns = forward ? w->delay.delta_ns : -w->delay.delta_ns,
                    .lo_ns = w->delay.lo_ns,
                    .hi_ns = w->delay.hi_ns,
                    .sigma_ns = w->delay.sigma_ns,
                    .bias_ns = w->delay.bias_ns,
                    .flow = w->flow,
                    .src = forward ? w->a : w->b,
                    .dst = dst,
                    .profile_id = prior_id_at (self, &self->state[dst], w->ts),
                    .flags = w->flags,
                    .kind = w->kind,
                    .proto = w->proto };

  if (w->verdict == VERDICT_SUPPORTED || w->verdict == VERDICT_LONELY) {
    out.flags |= OWD_SAMPLE_GATE;
    self->counters.flagged++;
  }
  if (w->verdict == VERDICT_LONELY)
    delay_widen (&out, forward ? w->delay.level_ns : -w->delay.level_ns);
  if (floor_ns > 0 && out.hi_ns <= floor_ns)
    out.flags |= OWD_SAMPLE_BELOW_LIGHT;
  if (!thin_keeps (self, &self->pair[w->pair].thin[w->travel], &out))
    out.flags |= OWD_SAMPLE_EXCESS;
  out.seq = ++self->seq;
  self->counters.samples++;
  self->sink (self->user, &out);
}

/* Adds what the flow tells of loss to its path's count of the slot. Where more packets were seen downstream, records
 * were cut differently: that tells nothing. Neither does a direction that rests on the clocks. */
static void
count_packets (OwdCorrelator *self, const Waiting *w)
{
  gboolean forward = w->travel == TRAVELS_FORWARD;
  OwdCount count = {
    .ts = w->ts, .src = forward ? w->a : w->b, .dst = forward ? w->b : w->a, .sent = forward ? w->sent_a : w->sent_b
  };
  guint64 seen = forward ? w->sent_b : w->sent_a;

  if (count.sent < seen || count.sent == 0 || (w->flags & OWD_SAMPLE_BY_SIGN) != 0 || self->count_sink == NULL
      || (w->kind == 0 && !match_shows_loss (self, w)))
    return;
  count.lost = count.sent - seen;
  for (guint i = 0; i < self->slot_counts->len; i++) {
    OwdCount *c = &g_array_index (self->slot_counts, OwdCount, i);

    if (c->src != count.src || c->dst != count.dst)
      continue;
    c->sent += count.sent;
    c->lost += count.lost;
    return;
  }
  g_array_append_val (self->slot_counts, count);
}

static void
emit_counts (OwdCorrelator *self)
{
  for (guint i = 0; i < self->slot_counts->len; i++)
    self->count_sink (self->user, &g_array_index (self->slot_counts, OwdCount, i));
  g_array_set_size (self->slot_counts, 0);
}

/* The first slot's pairs, all of them decided and judged, in self->turn. Returns how many. */
static guint32
collect_turns (OwdCorrelator *self)
{
  Pending *p = &self->pending;
  guint32 n = 0;

  for (guint32 i = p->head[p->first & (SLOTS - 1)]; i != NIL; i = chunk_at (p, i)->next) {
    Chunk *c = chunk_at (p, i);

    if (2 * (n + CHUNK_SAMPLES) > self->turns_size) {
      self->turns_size = MAX (1024, self->turns_size * 2);
      self->turn = g_renew (Turn, self->turn, self->turns_size);
    }
    for (guint32 k = 0; k < c->n; k++) {
      if (!settle (self, &c->w[k], p->first))
        continue;
      if (c->w[k].verdict == VERDICT_NONE && c->w[k].kind != 0)
        gate_judge (self, &c->w[k]);
      self->turn[n++].place = i * CHUNK_SAMPLES + k;
    }
  }
  return n;
}

/* The cache lines that it lies in. */
static void
ask_for (const Waiting *w)
{
  for (gsize i = 0; i < sizeof *w; i += 64)
    __builtin_prefetch ((const char *) w + i);
}

/* Delivers the first slot in order. Returns the time of the last sample, or OWD_TIME_NONE. */
static OwdTime
deliver_slot (OwdCorrelator *self)
{
  Pending *p = &self->pending;
  OwdTime last = OWD_TIME_NONE;
  guint32 n, *list = &p->head[p->first & (SLOTS - 1)];

  work_ahead (self);
  n = collect_turns (self);
  if (n > 1)
    sort_turns (self, n);
  for (guint32 i = 0; i < n; i++) {
    const Waiting *w = waiting_at (p, &self->turn[i]);

    if (i + DELIVER_AHEAD < n)
      ask_for (waiting_at (p, &self->turn[i + DELIVER_AHEAD]));
    if (w->kind != 0 && !gate_passes (self, w)) {
      self->counters.contradicted++;
      continue;
    }
    if (w->kind != 0) {
      emit (self, w);
      last = w->ts;
    }
    count_packets (self, w);
  }
  emit_counts (self);
  p->near -= n;
  release (p, *list);
  *list = NIL;
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
  emit_late (self);
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
  /* whole slots: the one that the horizon's end lies in goes with it, so that nothing waits for longer than that */
  mark = log_time - self->horizon_ns + MIN (self->pending.slot_ns, HORIZON_MARGIN_NS);
  if (self->watermark != OWD_TIME_NONE && mark <= self->watermark)
    return;
  deliver_until (self, mark);
}

void
order_flush (OwdCorrelator *self)
{
  Pending *p = &self->pending;
  OwdTime last = self->log_time;

  emit_late (self);
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
