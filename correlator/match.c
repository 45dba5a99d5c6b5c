/* SPDX-License-Identifier: Apache-2.0
 *
 * Same-packet proof: which stamps of two points belong to the same packet.
 *
 * Problem. The same flow is cut into records differently at every point: other active timeouts, other cache pressure,
 * other moments. Two records with equal counts need not hold the same packets: a constant stream cut at two phases
 * gives equal counts all day, one packet apart.
 *
 * Idea. Count from a packet that is the same on both sides. A record is *anchored* if its first packet is one that
 * every point must see as a beginning: a SYN, or a packet after a pause that is longer than any plausible difference
 * between the points. From an anchored pair on, packet and octet totals are summed up on both sides, record by record;
 * where both sums are equal on both sides, the last packets are the same too, and the records that follow are anchored
 * in turn. Such a pair of *runs* gives two samples, its first and its last packet. Where sums never meet, packets or
 * records were lost, and no delay is said. But where one record at either point holds a whole TCP flow, from SYN to FIN
 * or RST, no record can be missing: then the difference is what was lost between the points (RFC 7680). Flows of that
 * kind with equal totals are what was sent and not lost.
 *
 * Shared stamps. Some exporters (softflowd, pmacct's nfprobe) keep one entry per conversation and give both its records
 * the times of its first and last packet, whichever way that went. They are recognised by halves with equal stamps.
 * Between two of them one half speaks for both, and its samples say nothing of the flow's own direction. Between one of
 * them and an exporter that keeps directions apart only the half that begins the conversation has the same first
 * packet, and only a last packet that came long after the other half's is the same on both sides.
 *
 * Invariants. A record is paired with a given state at most once. Records of one state and key that overlap are either
 * the same record twice (dropped) or not to be trusted (kept out). Everything is decided from what has arrived, in the
 * order of the log.
 *
 * Cost. One hash table of 88-byte slots. They are taken in order of arrival and come free in the same order, so nothing
 * is looked up when a record leaves; a bucket lists conversations, so that a look-up passes no other one's records.
 * With k records of one key waiting, an arrival costs O(k log k).
 */
#include "internal.h"

#include <string.h>

#define BUCKETS_MIN 4096u
#define BUCKETS_MAX (1u << 31)
#define KEY_MAX 192                     /* records of one key that are looked at */
#define PAUSE_NS (2000 * OWD_NS_PER_MS) /* a packet after this is a beginning */
#define SAME_NS (1 * OWD_NS_PER_MS)     /* slack for the same stamp converted twice */
#define OVERLAP_NS (50 * OWD_NS_PER_MS) /* two interfaces of one router see a packet this far apart */
#define EQUAL_NS (10 * OWD_NS_PER_US)   /* rounding of conversions */
#define SINGLES_ENOUGH 3
#define TWINS_TO_SINGLES 32
#define TWINS_HALVE 1024
#define TWINS_STEP_NS (4 * OWD_NS_PER_MS)
#define MISFITS 5
#define OCTETS_MAX ((G_GUINT64_CONSTANT (1) << 56) - 1)
#define AGREE_NS (250 * OWD_NS_PER_MS) /* start and end delays of one run */

static const guint8 TCP_FIN = 0x01, TCP_SYN = 0x02, TCP_RST = 0x04;

/* Records of one key, the youngest first: of too many the oldest are left out. */
typedef struct {
  guint n;
  Rec *rec[KEY_MAX];
} Group;

/* Some of a group that belong to one state, by time. */
typedef struct {
  Rec *const *rec;
  guint n;
  guint16 state;
} Part;

/* ---- table ---------------------------------------------------------------------------------------- */

void
match_init (OwdCorrelator *self)
{
  guint32 blocks = (guint32) (((guint64) self->config.max_waiting + REC_BLOCK - 1) / REC_BLOCK) + 2, size = 1;

  while (size < blocks)
    size *= 2;
  self->waiting = (Waiters){ .rec = room_new ((gsize) blocks * REC_BLOCK * sizeof (Rec)),
                             .born = room_new (blocks * sizeof (guint64)),
                             .queue = room_new (size * sizeof (guint32)),
                             .spare = room_new (blocks * sizeof (guint32)),
                             .n_blocks = 1,
                             .room = blocks,
                             .queue_size = size,
                             .oldest = REC_BLOCK,
                             .end = REC_BLOCK,
                             .blocks_end = 1 };
}

void
match_clear (OwdCorrelator *self)
{
  Waiters *w = &self->waiting;

  room_free (w->rec, (gsize) w->room * REC_BLOCK * sizeof (Rec));
  room_free (w->born, w->room * sizeof (guint64));
  room_free (w->queue, w->queue_size * sizeof (guint32));
  room_free (w->spare, w->room * sizeof (guint32));
  room_free (self->bucket, self->n_buckets * sizeof *self->bucket);
  *w = (Waiters){ 0 };
  self->bucket = NULL;
  self->n_buckets = 0;
}

static guint32 *
bucket_of (const OwdCorrelator *self, guint32 bucket)
{
  return &self->bucket[bucket & (self->n_buckets - 1)];
}

/* The youngest of a bucket, NIL: it is empty. Its head is the slot of the last record that was put there: that one may
 * have left, and another one, of another bucket, be in its place. */
static guint32
bucket_first (const OwdCorrelator *self, guint32 bucket)
{
  guint32 i = *bucket_of (self, bucket);

  if (rec_place (self, i) >= rec_count (self) || ((self->waiting.rec[i].bucket ^ bucket) & (self->n_buckets - 1)) != 0)
    return NIL;
  return i;
}

/* What a link of the record in slot i leads to. Links lead to elder ones, and records leave in order of arrival: behind
 * the first that has left all have; who is in its slot now is younger than all that were linked to it. */
static guint32
linked (const OwdCorrelator *self, guint32 i, guint32 link)
{
  return rec_place (self, link) < rec_place (self, i) ? link : NIL;
}

static guint32
elder (const OwdCorrelator *self, guint32 i)
{
  return linked (self, i, self->waiting.rec[i].next);
}

/* A conversation in its bucket. */
typedef struct {
  guint32 first;    /* the youngest of all, */
  guint32 before;   /* of the conversation in front, */
  guint32 youngest; /* and of the conversation; each NIL: none */
} Found;

static Found
find_conversation (const OwdCorrelator *self, guint32 bucket)
{
  const Rec *rec = self->waiting.rec;
  Found f = { .first = bucket_first (self, bucket), .before = NIL };

  for (f.youngest = f.first; f.youngest != NIL && rec[f.youngest].bucket != bucket;) {
    f.before = f.youngest;
    f.youngest = linked (self, f.youngest, rec[f.youngest].other);
  }
  return f;
}

/* The record in slot i, younger than all in the table, becomes the youngest of its bucket, and its conversation the
 * first. */
static void
table_add (OwdCorrelator *self, guint32 i, const Found *f)
{
  Rec *rec = self->waiting.rec;

  rec[i].next = f->youngest != NIL ? f->youngest : 0;
  if (f->youngest == NIL || f->before != NIL)
    rec[i].other = f->first != NIL ? f->first : 0;
  else
    rec[i].other = rec[f->youngest].other;
  if (f->youngest != NIL && f->before != NIL)
    rec[f->before].other = rec[f->youngest].other;
  *bucket_of (self, rec[i].bucket) = i;
}

/* The cache lines that a record lies in. */
static void
ask_for (const OwdCorrelator *self, guint32 i)
{
  const char *r = (const char *) &self->waiting.rec[i];

  __builtin_prefetch (r);
  __builtin_prefetch (r + 64);
  __builtin_prefetch (r + sizeof (Rec) - 1);
}

/* Goes on to the elder one of the conversation, or to the next conversation. */
static void
probe_next (const OwdCorrelator *self, Probe *p, guint32 at)
{
  guint32 i = p->cursor[at];
  const Rec *r = &self->waiting.rec[i];

  if (i == NIL)
    return;
  i = r->bucket == p->bucket[at] ? r->next : r->other;
  if (rec_place (self, i) < rec_count (self)) /* not surely the one that the link was made for: no matter */
    ask_for (self, i);
  else
    i = NIL;
  p->cursor[at] = i;
}

/* Every step of a look-up waits for memory, and a bucket holds what one conversation left at all points. So each is
 * asked for PROBE_STRIDE look-ups ahead of the step that needs it. A hint: what it finds may be gone when its time
 * comes. */
static void
probe_add (const OwdCorrelator *self, Probe *p, guint32 bucket)
{
  guint32 n = p->n++, found;

  p->bucket[n % PROBES] = bucket;
  __builtin_prefetch (bucket_of (self, bucket));
  if (n < PROBE_STRIDE)
    return;
  found = *bucket_of (self, p->bucket[(n - PROBE_STRIDE) % PROBES]);
  if (rec_place (self, found) < rec_count (self))
    ask_for (self, found);
  else
    found = NIL;
  p->cursor[(n - PROBE_STRIDE) % PROBES] = found;
  for (guint32 back = 2 * PROBE_STRIDE; back < PROBES && back <= n; back += PROBE_STRIDE)
    probe_next (self, p, (n - back) % PROBES);
}

void
match_rehash (OwdCorrelator *self, guint32 n_buckets)
{
  Probe probe = { 0 };

  room_free (self->bucket, self->n_buckets * sizeof *self->bucket);
  self->n_buckets = n_buckets;
  self->bucket = room_new (n_buckets * sizeof *self->bucket);
  for (guint64 n = self->waiting.oldest, ahead = n; n < self->waiting.end; n++) {
    guint32 i = rec_slot (self, n);
    Found f;

    for (; ahead < MIN (n + PROBES, self->waiting.end); ahead++)
      probe_add (self, &probe, self->waiting.rec[rec_slot (self, ahead)].bucket);
    f = find_conversation (self, self->waiting.rec[i].bucket);
    table_add (self, i, &f);
  }
}

guint32
match_slot (OwdCorrelator *self)
{
  Waiters *w = &self->waiting;

  if (w->end >> REC_BLOCK_BITS == w->blocks_end) {
    guint32 block = w->n_spare > 0 ? w->spare[--w->n_spare] : w->n_blocks++;

    w->born[block] = w->end;
    w->queue[w->blocks_end++ & (w->queue_size - 1)] = block;
  }
  return rec_slot (self, w->end);
}

static void
free_block (Waiters *w, guint64 number)
{
  guint32 block = w->queue[number & (w->queue_size - 1)];

  w->born[block] = 0;
  w->spare[w->n_spare++] = block;
}

void
match_cut (OwdCorrelator *self, guint32 n)
{
  Waiters *w = &self->waiting;

  w->end = w->oldest + n;
  while (w->blocks_end > (w->end + REC_BLOCK - 1) >> REC_BLOCK_BITS)
    free_block (w, --w->blocks_end);
}

/* A free slot, NIL when the table is full. */
static guint32
slot_take (OwdCorrelator *self)
{
  if (rec_count (self) == self->config.max_waiting && !shed_make_room (self))
    return NIL;
  if (rec_count (self) == self->n_buckets && self->n_buckets < BUCKETS_MAX)
    match_rehash (self, MAX (BUCKETS_MIN, self->n_buckets * 2));
  return match_slot (self);
}

static guint32
ticks (OwdTime t)
{
  return (guint32) (t >> TICK_BITS);
}

void
match_expire (OwdCorrelator *self, OwdTime before)
{
  gint64 most = (self->arrival_ns >> TICK_BITS) - (before >> TICK_BITS); /* ticks between; behind all: negative */
  guint32 now = ticks (self->arrival_ns);
  Waiters *w = &self->waiting;

  self->kept_since = MAX (self->kept_since, before);
  while (w->oldest < w->end) {
    const Rec *r = &w->rec[rec_slot (self, w->oldest)];

    if ((guint32) (now - r->arrival) <= most)
      break;
    self->counters.unpaired += !(r->flags & REC_PAIRED);
    if ((++w->oldest & (REC_BLOCK - 1)) == 0)
      free_block (w, (w->oldest >> REC_BLOCK_BITS) - 1);
  }
}

/* ---- what is to come ------------------------------------------------------------------------------ */

void
match_expect (OwdCorrelator *self, const OwdFlow *flow)
{
  OwdFlowHashes *hashes = &self->expected[self->n_expected & (EXPECTED - 1)];

  if (self->n_expected - self->n_met == EXPECTED)
    return;
  self->n_expected++;
  owd_flow_hash_all (flow, hashes);
  if (self->bucket != NULL)
    probe_add (self, &self->probe, (guint32) hashes->undirected);
}

void
match_hashes (OwdCorrelator *self, const OwdFlow *flow, OwdFlowHashes *ret_hashes)
{
  if (self->n_expected != self->n_met)
    *ret_hashes = self->expected[self->n_met++ & (EXPECTED - 1)];
  else
    owd_flow_hash_all (flow, ret_hashes);
}

/* ---- partners ------------------------------------------------------------------------------------- */

static gboolean
has_partner (const Rec *r, guint16 state)
{
  for (guint i = 0; i < PARTNERS; i++) {
    if (r->partner[i] == state)
      return TRUE;
  }
  return FALSE;
}

static void
add_partner (Rec *r, guint16 state)
{
  r->flags |= REC_PAIRED;
  for (guint i = 0; i < PARTNERS; i++) {
    if (r->partner[i] == G_MAXUINT16) {
      r->partner[i] = state;
      return;
    }
  }
}

static gboolean
partners_full (const Rec *r)
{
  return r->partner[PARTNERS - 1] != G_MAXUINT16;
}

/* ---- conversations -------------------------------------------------------------------------------- */

static gboolean
same_stamps (const Rec *a, const Rec *b)
{
  return ABS (a->start_ns - b->start_ns) <= EQUAL_NS && ABS (a->end_ns - b->end_ns) <= EQUAL_NS;
}

/* The other half of the record's conversation at the same point: the one that overlaps with it, the youngest of
 * several. NULL: not here. *ret_n: how many overlap. */
static const Rec *
other_half (const Group *reverse, const Rec *r, guint *ret_n)
{
  const Rec *found = NULL;

  *ret_n = 0;
  for (guint i = 0; i < reverse->n; i++) {
    const Rec *o = reverse->rec[i];

    if (o->state != r->state || o->start_ns > r->end_ns + PAUSE_NS || r->start_ns > o->end_ns + PAUSE_NS)
      continue;
    if (found == NULL)
      found = o;
    (*ret_n)++;
  }
  return found;
}

/* May this exporter give both halves of a conversation the same stamps? Yes until some have differed, and enough of
 * them: next to a server that answers within a fraction of a step most halves are equal by nature, though never all.
 * With coarse steps the two cannot be told apart, nor does it matter as much: taken for separate. */
static gboolean
may_share (const State *s)
{
  return s->step_ns <= TWINS_STEP_NS && (s->singles < SINGLES_ENOUGH || s->twins >= TWINS_TO_SINGLES * s->singles);
}

/* As told last. */
static inline gboolean
is_shared (const OwdCorrelator *self, guint16 state)
{
  return self->state[state].shared;
}

guint8
match_shared (const OwdCorrelator *self, guint16 a, guint16 b)
{
  return (guint8) (is_shared (self, a) | is_shared (self, b) << 1);
}

/* Once per conversation and point: the second half has come. */
static void
compare_twins (OwdCorrelator *self, const Rec *r, const Group *reverse)
{
  guint n;
  const Rec *o = other_half (reverse, r, &n);
  State *s = &self->state[r->state];
  gboolean was_shared = s->shared;

  if (n != 1) /* of a conversation in several records the wrong ones may meet */
    return;
  s->step_ns = s->step[OWD_STAMP_END][r->kinds >> 4].bound_ns;
  if (same_stamps (r, o))
    s->twins++;
  else
    s->singles++;
  s->shared = may_share (s);
  if (s->shared && !was_shared) {
    self->some_shared = TRUE;
    pair_forget (self, r->state);
  }
  if (s->twins + s->singles < TWINS_HALVE)
    return;
  s->twins /= 2;
  s->singles /= 2;
  s->shared = may_share (s);
}

/* Which stamps of a record at `own`, whose like at `shared` may be those of the other half, belong to the same packets?
 */
typedef enum {
  HALF_UNKNOWN,
  HALF_NONE,
  HALF_START = 1 << 1,
  HALF_END = 1 << 2,
  HALF_BOTH = HALF_START | HALF_END
} Half;

static Half
usable_half (const OwdCorrelator *self, const Rec *shared, const Rec *own, const Group *reverse)
{
  guint n_twins, n_halves;
  const Rec *twin = other_half (reverse, shared, &n_twins);
  const Rec *half = other_half (reverse, own, &n_halves);
  Half usable_stamps = 0;
  gboolean said;

  /* Traffic in one direction only; but both records of a conversation leave together, so wait for the next datagram. */
  if (twin == NULL && half == NULL && shared->arrival != ticks (self->arrival_ns) && shared->proto != 6)
    return HALF_BOTH;
  if (twin == NULL || half == NULL)
    return HALF_UNKNOWN;
  if (n_twins > 1 || n_halves > 1) /* in several records: which belong together is not known */
    return HALF_NONE;
  said = has_partner (half, shared->state);
  if (own->start_ns + EQUAL_NS < half->start_ns || (own->start_ns <= half->start_ns + EQUAL_NS && !said))
    usable_stamps |= HALF_START;
  if (own->end_ns > half->end_ns + PAUSE_NS || (ABS (own->end_ns - half->end_ns) <= EQUAL_NS && !said))
    usable_stamps |= HALF_END;
  return usable_stamps != 0 ? usable_stamps : HALF_NONE;
}

/* ---- groups --------------------------------------------------------------------------------------- */

static gboolean
before (const Rec *a, const Rec *b)
{
  if (a->state != b->state)
    return a->state < b->state;
  if (a->start_ns != b->start_ns)
    return a->start_ns < b->start_ns;
  return a->end_ns < b->end_ns;
}

/* By state, then time. */
static void
sort (const Group *group, Group *ret_sorted)
{
  ret_sorted->n = group->n;
  for (guint i = 0; i < group->n; i++) {
    guint k;

    for (k = i; k > 0 && before (group->rec[i], ret_sorted->rec[k - 1]); k--)
      ret_sorted->rec[k] = ret_sorted->rec[k - 1];
    ret_sorted->rec[k] = group->rec[i];
  }
}

static Part
part_of (const Group *sorted, guint from)
{
  Part side = { .rec = &sorted->rec[from], .state = sorted->rec[from]->state };

  while (from + side.n < sorted->n && sorted->rec[from + side.n]->state == side.state)
    side.n++;
  return side;
}

static gboolean
usable (const Rec *r, guint16 other)
{
  return !(r->flags & REC_OVERLAP) && !has_partner (r, other) && !partners_full (r);
}

/* Does the record begin with a packet that every point must see as a beginning? */
static gboolean
begins (const OwdCorrelator *self, const Part *side, guint i)
{
  const Rec *r = side->rec[i];

  if (r->flags & REC_REPEATED)
    return FALSE;
  if (r->flags & REC_SYN)
    return TRUE;
  if (i > 0)
    return r->start_ns - side->rec[i - 1]->end_ns >= PAUSE_NS;
  /* Nothing before it is known. That is proof only if an earlier record would still be here: it ended at most a pause
   * before this one began, and came after its end. */
  return r->start_ns - PAUSE_NS >= MAX (self->state[r->state].first_ns, MAX (self->kept_since, shed_since (self, r->bucket)));
}

/* Does it begin where a run with the other state has ended? */
static gboolean
continues (const Part *side, guint i, guint16 other)
{
  return i > 0 && has_partner (side->rec[i - 1], other);
}

/* ---- runs ----------------------------------------------------------------------------------------- */

/* A pair of runs: records x[xi..xn) and y[yi..yn) hold the same packets. */
typedef struct {
  guint xi, xn, yi, yn;
} Run;

/* Extends both sides until their sums are equal. FALSE: they are not, with what is here. */
static gboolean
balance (const Part *x, const Part *y, Run *run)
{
  const Rec *a = x->rec[run->xi], *b = y->rec[run->yi];
  guint64 px = a->packets, py = b->packets, ox = a->octets, oy = b->octets;

  run->xn = run->xi + 1;
  run->yn = run->yi + 1;
  while (px != py) {
    if (px < py) {
      if (run->xn == x->n || !usable (x->rec[run->xn], y->state))
        return FALSE;
      a = x->rec[run->xn++];
      px += a->packets;
      ox += a->octets;
    } else {
      if (run->yn == y->n || !usable (y->rec[run->yn], x->state))
        return FALSE;
      b = y->rec[run->yn++];
      py += b->packets;
      oy += b->octets;
    }
  }
  return ox == oy;
}

/* Delta is always time at the higher state minus time at the lower one, as the clocks are known now: what changes
 * between the arrivals of two halves of a conversation must not look like a round trip. */
static void
see (const OwdCorrelator *self, const Rec *x, const Rec *y, OwdStampEnd which, Seen *seen)
{
  delay_see_records (self, x->state < y->state ? x : y, x->state < y->state ? y : x, which, seen);
}

/* What was seen last of the starts of two records. */
typedef struct {
  const Rec *x, *y;
  Seen seen;
} Sight;

/* Both records look for each other, and are looked at once more when they have found each other. */
static void
see_start (const OwdCorrelator *self, const Rec *x, const Rec *y, Sight *sight)
{
  if ((sight->x == x && sight->y == y) || (sight->x == y && sight->y == x))
    return;
  sight->x = x;
  sight->y = y;
  see (self, x, y, OWD_STAMP_START, &sight->seen);
}

/* The record of y that begins with the same packet as x[xi]: G_MAXUINT if there is none, or not just one. */
static guint
find_start (OwdCorrelator *self, Pair *pair, const Part *x, guint xi, const Part *y, Sight *sight)
{
  const Rec *r = x->rec[xi];
  gboolean x_begins = begins (self, x, xi), x_continues = continues (x, xi, y->state);
  guint found = G_MAXUINT;
  gint64 nearest = G_MAXINT64, second = G_MAXINT64, first_delta_ns = 0;

  if (!usable (r, y->state) || !(x_begins || x_continues))
    return G_MAXUINT;
  for (guint j = 0; j < y->n; j++) {
    const Rec *s = y->rec[j];
    gboolean unique = (r->flags & s->flags & REC_SYN) != 0;
    gint64 d;

    if (!usable (s, x->state))
      continue;
    if (!(x_begins && begins (self, y, j)) && !(x_continues && continues (y, j, x->state)))
      continue;
    see_start (self, r, s, sight);
    if (!pair_plausible (pair, &sight->seen,
                         unique ? self->config.pair_window_ns + sight->seen.step_ns + sight->seen.clock_ns : 0))
      continue;
    if (found == G_MAXUINT) { /* mostly the only one: how far it is off does not matter */
      first_delta_ns = sight->seen.delta_ns;
      found = j;
      continue;
    }
    if (nearest == G_MAXINT64)
      nearest = pair_distance (pair, first_delta_ns);
    d = pair_distance (pair, sight->seen.delta_ns);
    if (d < nearest) {
      second = nearest;
      nearest = d;
      found = j;
    } else {
      second = MIN (second, d);
    }
  }
  if (found != G_MAXUINT && second != G_MAXINT64
      && (pair->delta.n < 8 || second < 2 * nearest + 2 * sight->seen.step_ns)) {
    self->counters.ambiguous++;
    return G_MAXUINT;
  }
  return found;
}

/* Hash of a pair's points and where a flow comes from; never 0. */
static guint32
side_hash (const Rec *a, const Rec *b, guint32 from)
{
  guint64 h = ((guint64) a->state << 48 | (guint64) b->state << 32 | from) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);

  return (guint32) (h >> 32) | 1;
}

/* Of interfaces where both points tell them: WIDE_INTERFACES is set. Else of a large network. */
static guint32
wide_hash (const Rec *a, const Rec *b)
{
  guint32 hash = side_hash (a, b, (guint32) a->wide << 16 | b->wide);

  return a->flags & b->flags & REC_INTERFACE ? hash | WIDE_INTERFACES : hash & ~WIDE_INTERFACES;
}

static void
add_networks (const Rec *a, const Rec *b, Seen *seen)
{
  seen->near = side_hash (a, b, a->near);
  seen->wide = wide_hash (a, b);
}

/* Compares with the other half of the conversation at the same two points, where that has been proven with one record
 * each: both halves vote for their sides. */
static void
compare_halves (OwdCorrelator *self, Pair *pair, const Group *halves, const Rec *a, const Rec *b, Seen *seen)
{
  const Rec *ra = NULL, *rb = NULL;
  Seen reverse;

  for (guint i = 0; i < halves->n; i++) {
    const Rec *r = halves->rec[i];

    if (r->state == a->state && has_partner (r, b->state))
      ra = r;
    else if (r->state == b->state && has_partner (r, a->state))
      rb = r;
  }
  if (ra == NULL || rb == NULL || ra->packets != rb->packets || ra->octets != rb->octets)
    return;
  /* a clock that was stepped between the two halves does not cancel */
  if (ra->segment != a->segment || rb->segment != b->segment)
    return;
  see (self, ra, rb, OWD_STAMP_START, &reverse);
  seen->round_trip_ns = seen->delta_ns - reverse.delta_ns;
  reverse.round_trip_ns = -seen->round_trip_ns;
  add_networks (ra, rb, &reverse);
  pair_vote (self, pair, seen, &reverse, a->start_ns);
}

static gboolean
is_whole (const Rec *r)
{
  const guint8 both = REC_SYN | REC_FIN;

  return (r->flags & both) == both && !(r->flags & (REC_REPEATED | REC_OVERLAP));
}

/* One record each, both whole: what was sent is told by the one that is upstream. */
static void
add_counts (const Rec *a, const Rec *b, Waiting *w)
{
  w->sent_a = a->packets;
  w->sent_b = b->packets;
  w->bucket = a->bucket;
}

static void
deliver (OwdCorrelator *self, Pair *pair, const Rec *a, const Rec *b, OwdStampEnd which, const Seen *seen,
         OwdSampleKind kind, guint16 flags)
{
  guint8 proof = which == OWD_STAMP_START ? REC_SYN : REC_FIN;
  gboolean by_sign;
  Waiting w = { .ts = 0, /* all members: what is not set would have to be cleared first */
                .flow = a->key,
                .proof = { stamp_of (a, which), stamp_of (b, which), seen->round_trip_ns },
                .a = a->state,
                .b = b->state,
                .sent_a = 0,
                .sent_b = 0,
                .pair = (guint32) (pair - self->pair),
                .bucket = 0,
                .near = side_hash (a, b, a->near),
                .wide = wide_hash (a, b),
                .flags = flags | OWD_SAMPLE_COUNTS,
                .kind = (guint8) kind,
                .proto = a->proto,
                .decided = FALSE,
                .verdict = VERDICT_NONE,
                .travel = 0,
                .shared = match_shared (self, a->state, b->state),
                .either_way = seen->near == 0 };

  if (a->flags & b->flags & proof)
    w.flags |= OWD_SAMPLE_SYN;
  if (which == OWD_STAMP_START && !(flags & OWD_SAMPLE_FRAGMENT) && is_whole (a) && is_whole (b))
    add_counts (a, b, &w);
  pair_learn (pair, seen, pair_travel (self, pair, seen, &by_sign));
  order_push (self, &w);
}

/* Which stamps of a run belong to the same packets at both points, given how both exporters stamp conversations. */
static Half
trusted_half (const OwdCorrelator *self, const Rec *a, const Rec *b, const Group *reverse)
{
  gboolean shared_a = is_shared (self, a->state), shared_b = is_shared (self, b->state);
  const Rec *twin;
  guint n;

  if (shared_a != shared_b)
    return shared_a ? usable_half (self, a, b, reverse) : usable_half (self, b, a, reverse);
  if (!shared_a)
    return HALF_BOTH;
  twin = other_half (reverse, a, &n);
  return twin != NULL && has_partner (twin, b->state) ? HALF_NONE : HALF_BOTH;
}

/* Traffic in one direction only has nobody to share with. */
static gboolean
stamps_are_shared (const OwdCorrelator *self, const Rec *r, const Group *reverse)
{
  guint n;

  return is_shared (self, r->state) && other_half (reverse, r, &n) != NULL;
}

/* The same two stamps twice, start and end, of records a and b. */
typedef struct {
  const Rec *first_a, *first_b, *last_a, *last_b;
  gboolean fragments; /* more than one record on a side */
  gboolean one_packet;
} Bounds;

static Bounds
bounds_of (const Part *x, const Part *y, const Run *run)
{
  const Rec *xf = x->rec[run->xi], *xl = x->rec[run->xn - 1];
  const Rec *yf = y->rec[run->yi], *yl = y->rec[run->yn - 1];
  gboolean swap = x->state > y->state;
  Bounds b = { .first_a = swap ? yf : xf,
               .first_b = swap ? xf : yf,
               .last_a = swap ? yl : xl,
               .last_b = swap ? xl : yl,
               .fragments = run->xn - run->xi > 1 || run->yn - run->yi > 1 };

  b.one_packet = !b.fragments && xf->packets == 1;
  return b;
}

/* Its two stamps are one, and of one packet. */
static gboolean
is_instant (const Rec *r)
{
  return r->packets == 1 && r->start_ns == r->end_ns;
}

/* Samples of a balanced run. FALSE: not now; its stamps contradict what the pair has shown, and each other, or the
 * other half of the conversation must come first. */
static gboolean
harvest (OwdCorrelator *self, Pair *pair, const Bounds *r, const Group *reverse, Sight *sight)
{
  gboolean shared = stamps_are_shared (self, r->first_a, reverse) || stamps_are_shared (self, r->first_b, reverse);
  Half half = trusted_half (self, r->first_a, r->first_b, reverse);
  guint16 flags = r->fragments ? OWD_SAMPLE_FRAGMENT : 0;
  gboolean agree, start_fits, end_fits;
  Seen start, end;

  if (half == HALF_UNKNOWN)
    return FALSE;
  if (half == HALF_NONE)
    return TRUE;
  see_start (self, r->first_a, r->first_b, sight);
  start = sight->seen;
  if (is_instant (r->first_a) && is_instant (r->first_b) && !r->fragments)
    end = start;
  else
    see (self, r->last_a, r->last_b, OWD_STAMP_END, &end);
  agree = ABS (start.delta_ns - end.delta_ns) <= AGREE_NS + start.step_ns + end.step_ns;
  start_fits = pair_plausible (pair, &start, 0);
  end_fits = pair_plausible (pair, &end, 0);
  /* Both moved together: a new route or a clock that was set, if others follow soon; else a record with bad stamps. */
  if (start_fits || end_fits) {
    pair->misfits -= pair->misfits > 0 ? 1 : 0;
  } else if (agree && pair->misfits < MISFITS) {
    pair->misfits++;
    self->counters.nonsense++;
    return TRUE;
  }
  if (!start_fits && !end_fits && !agree) {
    self->counters.nonsense++;
    return FALSE;
  }
  if (!shared) { /* else neither the source nor the other half says which way the stamped packets went */
    add_networks (r->first_a, r->first_b, &start);
    compare_halves (self, pair, reverse, r->first_a, r->first_b, &start);
    end.near = start.near;
    end.wide = start.wide;
    end.round_trip_ns = start.round_trip_ns != 0 ? start.round_trip_ns + end.delta_ns - start.delta_ns : 0;
  }
  if (half & HALF_START && (start_fits || agree))
    deliver (self, pair, r->first_a, r->first_b, OWD_STAMP_START, &start,
             r->one_packet && !shared ? OWD_SAMPLE_BOTH : OWD_SAMPLE_START, flags);
  if (half & HALF_END && !(r->one_packet && !shared) && (end_fits || agree))
    deliver (self, pair, r->last_a, r->last_b, OWD_STAMP_END, &end, OWD_SAMPLE_END, flags);
  return TRUE;
}

/* Two whole flows with unequal totals: evidence of loss, unless another record of either turns up until its time has
 * come. Once per pair of records: when the second of them arrives. */
static void
note_loss (OwdCorrelator *self, Pair *pair, const Rec *x, const Rec *y)
{
  const Rec *a = x->state < y->state ? x : y, *b = x->state < y->state ? y : x;
  Waiting w;
  Seen end;

  if (self->count_sink == NULL || !is_whole (a) || !is_whole (b) || a->packets == b->packets)
    return;
  see (self, x, y, OWD_STAMP_END, &end);
  if (!pair_plausible (pair, &end, 0))
    return;
  w = (Waiting){ .flow = a->key,
                 .proof = { stamp_of (a, OWD_STAMP_START), stamp_of (b, OWD_STAMP_START), 0 },
                 .a = a->state,
                 .b = b->state,
                 .near = side_hash (a, b, a->near),
                 .wide = wide_hash (a, b),
                 .pair = (guint32) (pair - self->pair),
                 .proto = a->proto,
                 .shared = match_shared (self, a->state, b->state) };
  add_counts (a, b, &w);
  order_push (self, &w);
}

gboolean
match_shows_loss (const OwdCorrelator *self, const Waiting *w)
{
  guint n[2] = { 0, 0 };

  for (guint32 i = find_conversation (self, w->bucket).youngest; i != NIL; i = elder (self, i)) {
    const Rec *r = &self->waiting.rec[i];

    if (r->key != w->flow || (r->state != w->a && r->state != w->b))
      continue;
    if (!is_whole (r) || has_partner (r, r->state == w->a ? w->b : w->a))
      return FALSE;
    n[r->state == w->b]++;
  }
  return n[0] == 1 && n[1] == 1;
}

static void
mark (const Part *side, guint from, guint to, guint16 other)
{
  for (guint i = from; i < to; i++)
    add_partner (side->rec[i], other);
}

/* Where the networks of a conversation have their places at these two points will be asked if a pair is proven. */
static void
expect_networks (const OwdCorrelator *self, const Pair *pair, const Part *x, const Part *y, const Group *reverse)
{
  const Rec *a = x->state < y->state ? x->rec[0] : y->rec[0], *b = x->state < y->state ? y->rec[0] : x->rec[0];

  pair_expect_vote (self, pair, side_hash (a, b, a->near), wide_hash (a, b));
  if (reverse->n > 0)
    pair_expect_vote (self, pair, side_hash (a, b, reverse->rec[0]->near), wide_hash (a, b));
}

/* All runs of one key that two states can prove now. newest: the record that has come. */
static void
pair_parts (OwdCorrelator *self, const Part *x, const Part *y, const Rec *newest, const Group *reverse)
{
  guint32 place = pair_get (self, MIN (x->state, y->state), MAX (x->state, y->state));
  Pair *pair = &self->pair[place];
  Sight sight;

  expect_networks (self, pair, x, y, reverse);
  sight.x = sight.y = NULL;
  for (guint i = 0; i < x->n; i++) {
    guint j = find_start (self, pair, x, i, y, &sight);
    Run run = { .xi = i, .yi = j };
    Bounds bounds;

    if (j == G_MAXUINT || (x->n > 1 && find_start (self, pair, y, j, x, &sight) != i)) /* if alone it is the one */
      continue;
    if (!balance (x, y, &run)) {
      if (x->rec[i] == newest)
        note_loss (self, pair, x->rec[i], y->rec[j]);
      continue;
    }
    bounds = bounds_of (x, y, &run);
    if (!harvest (self, pair, &bounds, reverse, &sight))
      continue;
    self->counters.runs++;
    mark (x, run.xi, run.xn, y->state);
    mark (y, run.yi, run.yn, x->state);
    i = run.xn - 1;
  }
}

/* The newest record's state with all others that have seen the key of a group. */
static void
pair_state (OwdCorrelator *self, const Rec *newest, const Group *group, const Group *reverse)
{
  Part own = { .n = 0 };
  Group sorted;

  if (group->n < 2)
    return;
  sort (group, &sorted);
  for (guint k = 0; k < sorted.n && own.n == 0; k++) {
    if (sorted.rec[k]->state == newest->state)
      own = part_of (&sorted, k);
  }
  for (guint k = 0; k < sorted.n && own.n > 0;) {
    Part other = part_of (&sorted, k);

    if (other.state != newest->state)
      pair_parts (self, &own, &other, newest, reverse);
    k += other.n;
  }
}

/* ---- arrival -------------------------------------------------------------------------------------- */

/* The same stamps, although they may have been read by different clocks. */
static gboolean
same_uptimes (const Rec *a, const Rec *b)
{
  return a->boot_ns != 0 && b->boot_ns != 0 && a->start_ns - a->boot_ns == b->start_ns - b->boot_ns
         && a->end_ns - a->boot_ns == b->end_ns - b->boot_ns;
}

/* Looks at the new record beside an elder of the same point: the same once more, a repeated start, or an overlap. */
static OwdStatus
compare_with_elder (OwdCorrelator *self, Rec *r, Rec *o)
{
  gboolean same_start = ABS (o->start_ns - r->start_ns) <= SAME_NS;

  if (o->packets == r->packets && o->octets == r->octets
      && (same_uptimes (o, r) || ABS (o->end_ns - r->end_ns) <= OVERLAP_NS))
    return OWD_STATUS_DUPLICATE;
  if (same_start && r->end_ns > o->end_ns + OVERLAP_NS) {
    r->flags |= REC_REPEATED;
    r->flags &= (guint8) ~REC_SYN;
    r->start_ns = MAX (r->start_ns, o->end_ns);
  } else if (r->start_ns + OVERLAP_NS < o->end_ns && o->start_ns + OVERLAP_NS < r->end_ns) {
    r->flags |= REC_OVERLAP;
    o->flags |= REC_OVERLAP;
    self->counters.overlaps++;
  }
  return OWD_STATUS_OK;
}

static void
group_add (Group *group, Rec *r)
{
  if (group->n < KEY_MAX)
    group->rec[group->n++] = r;
}

/* One walk over the new record's conversation: it is compared with its elders, and all gathered, the new one first. */
static OwdStatus
gather (OwdCorrelator *self, Rec *r, guint32 youngest, guint64 reverse_key, Group *own, Group *reverse)
{
  own->n = reverse->n = 0;
  group_add (own, r);
  for (guint32 i = youngest; i != NIL; i = elder (self, i)) {
    Rec *o = &self->waiting.rec[i];

    if (o->key == r->key) {
      if (o->state == r->state && compare_with_elder (self, r, o) == OWD_STATUS_DUPLICATE)
        return OWD_STATUS_DUPLICATE;
      group_add (own, o);
    } else if (o->key == reverse_key) {
      group_add (reverse, o);
    }
  }
  return OWD_STATUS_OK;
}

static guint8
rec_flags (const OwdFlow *flow)
{
  guint8 flags = flow->in_if != 0 ? REC_INTERFACE : 0;

  if (flow->proto != 6 || !(flow->flags & OWD_FLOW_FLAGS))
    return flags;
  if (flow->tcp_flags & TCP_SYN)
    flags |= REC_SYN;
  if (flow->tcp_flags & (TCP_FIN | TCP_RST))
    flags |= REC_FIN;
  return flags;
}

/* Hash of the network that the flow comes from: so many bits of an IPv4 address, twice as many of an IPv6 one. */
static guint32
network_of (const OwdAddr *addr, guint bits)
{
  guint64 high, low, mask = ~G_GUINT64_CONSTANT (0);

  memcpy (&high, addr->b, sizeof high);
  memcpy (&low, addr->b + 8, sizeof low);
  low = GUINT64_FROM_BE (low);
  if (high == 0 && low >> 32 == 0xffff) { /* IPv4 */
    high = low;
    mask <<= 32 - bits;
  } else {
    high = GUINT64_FROM_BE (high);
    mask <<= 64 - 2 * bits;
  }
  return (guint32) (((high & mask) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15)) >> 32);
}

/* All that comes in by one interface here and by one there travels the same way; a large network mostly does. */
static guint16
wide_of (const OwdFlow *flow)
{
  if (flow->in_if != 0)
    return (guint16) ((flow->in_if * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15)) >> 40);
  return (guint16) network_of (&flow->src, 16);
}

/* A record has one boot time for both stamps. Where the clock was stepped between them, or near, that is the later
 * one's: as long as it is known, each is read anew by the clock of its own time (owd_clock_refine()). FALSE: there is
 * none. */
static gboolean
by_one_clock (const OwdInstant *start, const OwdInstant *end, gint64 *ret_start_ns)
{
  if (start->segment == end->segment && start->boot_ns == end->boot_ns)
    return TRUE;
  if (start->segment == 0 || end->segment == 0)
    return FALSE;
  *ret_start_ns = start->lo_ns - start->boot_ns + end->boot_ns;
  return TRUE;
}

OwdStatus
match_add (OwdCorrelator *self, const OwdFlow *flow, const OwdFlowHashes *hashes, const OwdInstant *start,
           const OwdInstant *end, guint8 card)
{
  gint64 clock_ns = MAX (start->clock_ns, end->clock_ns), start_ns = start->lo_ns;
  gboolean one_clock = by_one_clock (start, end, &start_ns);
  guint32 i = slot_take (self);
  Group own, reverse;
  Found found;
  Rec *rec;

  if (i == NIL) {
    self->counters.shed++;
    return OWD_STATUS_FULL;
  }
  rec = &self->waiting.rec[i];
  *rec = (Rec){
    /* all members: what is not set would have to be cleared first */
    .key = hashes->forward,
    .start_ns = start_ns,
    .end_ns = end->lo_ns,
    .octets = MIN (flow->octets, OCTETS_MAX),
    .card = card,
    .arrival = ticks (self->arrival_ns),
    .packets = (guint32) MIN (flow->packets, G_MAXUINT32),
    .clock_us = (guint32) MIN ((clock_ns + OWD_NS_PER_US - 1) / OWD_NS_PER_US, G_MAXUINT32),
    .bucket = (guint32) hashes->undirected,
    .boot_ns = one_clock ? end->boot_ns : 0,
    .near = network_of (&flow->src, 24),
    .state = (guint16) self->current,
    .segment = one_clock && end->segment <= G_MAXUINT16 ? (guint16) end->segment : 0,
    .wide = wide_of (flow),
    .flags = rec_flags (flow),
    .proto = flow->proto,
    .kinds = (guint8) (flow->start_kind | flow->end_kind << 4),
    .ttl = flow->ttl_min == flow->ttl_max ? flow->ttl_min : 0,
    .partner = { G_MAXUINT16, G_MAXUINT16, G_MAXUINT16, G_MAXUINT16, G_MAXUINT16 },
    .next = 0,
    .other = 0,
  };

  found = find_conversation (self, rec->bucket);
  if (gather (self, rec, found.youngest, hashes->reverse, &own, &reverse) == OWD_STATUS_DUPLICATE) {
    self->counters.duplicates++;
    return OWD_STATUS_DUPLICATE;
  }
  table_add (self, i, &found);
  self->waiting.end++;
  compare_twins (self, rec, &reverse);
  pair_state (self, rec, &own, &reverse);
  if (is_shared (self, rec->state) || self->some_shared)
    pair_state (self, rec, &reverse, &own);
  return OWD_STATUS_OK;
}
