/* SPDX-License-Identifier: Apache-2.0
 *
 * What two points have shown of each other: where their stamps' difference lies, and who is upstream.
 *
 * Direction of travel. The sign of a delay cannot be trusted: a clock that is 50 ms off turns 20 ms into -30 ms, and
 * taking the earlier stamp as upstream would report +30 ms in the wrong direction, with confidence. And where delay is
 * smaller than the steps, choosing by sign keeps only positive errors. What no clock offset can touch is the round trip
 * between the points: delta (time at b minus time at a) of packets a to b is larger than that of packets b to a. So, in
 * this order:
 *
 * - TTL: the higher one is upstream.
 * - Conversation: the half with the larger delta travels a to b, if the two differ by more than steps can explain.
 * - Network (must not contradict): the mean of such differences over all conversations that come in by the same
 *   interfaces at a and at b, if it differs from zero by more than chance can explain. This reaches below the steps.
 *   What chance can do is bounded by the steps; interfaces also show it themselves, by the spread of what they have
 *   summed up, where that is much less: a delay far below the step seldom crosses one.
 *   Packets of both directions do not share interfaces. Where an exporter tells nothing of its interfaces but a
 *   constant, both halves vote in one place and cancel: then, and where none are told, of one source network. Where
 *   interfaces do tell, networks neither vote nor are asked, though interfaces have shown too little so far: one that
 *   has several ways may have them in both directions.
 *   Without interfaces a large network, if its mean is no less than those of the pair's small ones: then all of it lies
 *   on one side.
 * - Sign: only where delta is clearly larger than steps and clock intervals, and the clocks have not been caught out
 *   (by negative delays, or ones that are less than light takes); this trusts them.
 * - None: points too near to each other, so far. No sample.
 */
#include "internal.h"

#include <math.h>
#include <string.h>

#define CENTRE_ENOUGH 8
#define WEAK_FIRST_NS (1000 * OWD_NS_PER_MS) /* neighbourhood of a repeated key, before and after the pair is known */
#define WEAK_NS (250 * OWD_NS_PER_MS)
#define SIDE_ENOUGH 4
#define SIDE_SIGMAS 4
#define SIDE_SIGMAS_SHOWN 5 /* of the spread that its own sums show: 25 of one sign and none of the other do */
#define SIDE_HALVE 1024
#define APART_MOST 64
#define WIDE_PERCENT 80
#define STEP_SIGMA 0.42 /* of the sum of two steps: at least the deviation of a difference of two deltas */

/* The k-th distance from the median: they grow towards both ends. */
static gint64
ranked_distance (const Recent *self, guint k)
{
  guint below = self->n / 2, above = self->n / 2;
  gint64 distance = 0;

  while (k-- > 0) {
    gint64 down = below > 0 ? self->median - self->value[self->rank[below - 1]] : G_MAXINT64;
    gint64 up = above + 1 < self->n ? self->value[self->rank[above + 1]] - self->median : G_MAXINT64;

    distance = MIN (down, up);
    if (down < up)
      below--;
    else
      above++;
  }
  return distance;
}

void
recent_rank (Recent *self)
{
  while (self->n_ranked < self->n) {
    self->rank[self->n_ranked] = self->n_ranked;
    self->n_ranked++;
  }
  for (guint i = 1; i < self->n; i++) {
    guint8 place = self->rank[i];
    gint64 v = self->value[place];
    guint at;

    for (at = i; at > 0 && self->value[self->rank[at - 1]] > v; at--)
      self->rank[at] = self->rank[at - 1];
    self->rank[at] = place;
  }
  self->known = TRUE;
  if (self->n == 0)
    return;
  self->median = self->value[self->rank[self->n / 2]];
  self->low = self->value[self->rank[self->n / 8]];
  self->mad = ranked_distance (self, self->n / 2);
}

gint64
pair_distance (Pair *self, gint64 delta_ns)
{
  gint64 d = ABS (delta_ns - (self->delta.n >= CENTRE_ENOUGH ? recent_median (&self->delta) : 0));

  for (guint t = 0; t < 2; t++) {
    if (self->path[t].n > 0)
      d = MIN (d, ABS (delta_ns - recent_median (&self->path[t])));
  }
  return d;
}

/* first: the ring that the value goes into begins anew with it. */
static void
reach_add (Reach *self, gint64 value, gboolean first)
{
  if (first) {
    self->lo_before = self->lo;
    self->hi_before = self->hi;
    self->lo = self->hi = value;
    return;
  }
  self->lo = MIN (self->lo, value);
  self->hi = MAX (self->hi, value);
}

/* Whatever their median is. */
static gboolean
is_near_all (const Reach *reach, gint64 value, gint64 near_ns)
{
  return value - MIN (reach->lo, reach->lo_before) <= near_ns && MAX (reach->hi, reach->hi_before) - value <= near_ns;
}

gboolean
pair_plausible (Pair *self, const Seen *seen, gint64 window_ns)
{
  gint64 near_ns = (self->delta.n < CENTRE_ENOUGH ? WEAK_FIRST_NS : WEAK_NS) + seen->step_ns;

  if (window_ns > 0)
    return ABS (seen->delta_ns) <= window_ns;
  for (guint t = 0; t < 2; t++) {
    if (self->path[t].n > 0 && is_near_all (&self->reach[t], seen->delta_ns, near_ns))
      return TRUE;
  }
  return pair_distance (self, seen->delta_ns) <= near_ns;
}

/* ---- sides ---------------------------------------------------------------------------------------- */

typedef struct {
  const SideSet *set; /* NULL: nothing is known */
  guint way;
} Side;

/* Where the network has its place, if it has one. */
static SideSet *
set_of (const OwdCorrelator *self, guint32 side)
{
  return &self->side[side / SIDE_WAYS & (SIDE_SETS - 1)];
}

static Side
side_find (const OwdCorrelator *self, guint32 side)
{
  const SideSet *set = self->side != NULL ? set_of (self, side) : NULL;

  for (guint way = 0; set != NULL && way < SIDE_WAYS; way++) {
    if (set->side[way] == side)
      return (Side){ .set = set, .way = way };
  }
  return (Side){ .set = NULL };
}

/* Its place in the set, SIDE_WAYS: it has none. A newcomer wears the least one down before it takes its place: who
 * votes often stays. */
static guint
side_take (SideSet *set, guint32 side)
{
  guint least = 0;

  for (guint way = 0; way < SIDE_WAYS; way++) {
    if (set->side[way] == side)
      return way;
  }
  for (guint way = 1; way < SIDE_WAYS; way++) {
    if (set->n[way] < set->n[least])
      least = way;
  }
  if (set->n[least] > 1) {
    set->sum_ns[least] -= set->sum_ns[least] / set->n[least];
    set->squares[least] -= set->squares[least] / set->n[least];
    set->n[least]--;
    return SIDE_WAYS;
  }
  set->side[least] = side;
  set->n[least] = 0;
  set->sum_ns[least] = set->cell[least] = set->cell_sum_ns[least] = 0;
  set->squares[least] = set->cell_squares[least] = 0;
  return least;
}

static double
square (gint64 ns)
{
  return (double) ns * (double) ns;
}

/* Sum of the squares of its votes, or of their sums within a cell where that is more: within one step of time stamps
 * err together. */
static double
side_spread (const SideSet *set, guint way)
{
  return set->squares[way] + MAX (set->cell_squares[way], square (set->cell_sum_ns[way]));
}

/* Where it has its place now, if it has one. */
static Side
side_vote (OwdCorrelator *self, guint32 side, gint64 round_trip_ns, gint64 cell)
{
  SideSet *set;
  guint way;

  if (self->side == NULL)
    self->side = room_new (SIDE_SETS * sizeof *self->side);
  set = set_of (self, side);
  way = side_take (set, side);
  if (way == SIDE_WAYS)
    return (Side){ .set = NULL };
  if (cell != set->cell[way]) {
    set->squares[way] = side_spread (set, way);
    set->cell_squares[way] = 0;
    set->cell_sum_ns[way] = 0;
    set->cell[way] = cell;
  }
  set->n[way]++;
  set->sum_ns[way] += round_trip_ns;
  set->cell_sum_ns[way] += round_trip_ns;
  set->cell_squares[way] += square (round_trip_ns);
  if (set->n[way] == SIDE_HALVE) {
    set->n[way] /= 2;
    set->sum_ns[way] /= 2;
    set->squares[way] /= 2;
  }
  return (Side){ .set = set, .way = way };
}

/* Is the sum more than the spread of what it is made of can be by chance? */
static gboolean
side_shows (const Side *s)
{
  return fabs ((double) s->set->sum_ns[s->way]) > SIDE_SIGMAS_SHOWN * sqrt (side_spread (s->set, s->way));
}

/* Mean round trip of this network's conversations, 0 where it is not clearly different from 0. all: it has all votes
 * that there are, so that its own spread may speak; of many small ones some seem clear by chance. */
static gint64
side_mean (const Side *s, gint64 step_ns, gboolean all)
{
  guint32 n = s->set != NULL ? s->set->n[s->way] : 0;
  gint64 sum_ns;

  if (n < SIDE_ENOUGH)
    return 0;
  sum_ns = s->set->sum_ns[s->way];
  if (fabs ((double) sum_ns) < SIDE_SIGMAS * STEP_SIGMA * (double) step_ns * sqrt (n) && !(all && side_shows (s)))
    return 0;
  return sum_ns / n;
}

/* Interfaces that have shown to tell the ways of this pair apart; wide: as in Seen. */
static gboolean
are_told_apart (const Pair *pair, guint32 wide)
{
  return (wide & WIDE_INTERFACES) != 0 && pair->apart > 0;
}

void
pair_expect (const OwdCorrelator *self, const Pair *pair, guint32 near, guint32 wide)
{
  if (self->side == NULL)
    return;
  __builtin_prefetch (set_of (self, wide));
  if (!are_told_apart (pair, wide))
    __builtin_prefetch (set_of (self, near));
}

void
pair_expect_vote (const OwdCorrelator *self, const Pair *pair, guint32 near, guint32 wide)
{
  if (self->side == NULL || are_told_apart (pair, wide))
    return;
  for (gsize i = 0; i < sizeof (SideSet); i += 64)
    __builtin_prefetch ((const char *) set_of (self, near) + i);
}

static void
half_votes (OwdCorrelator *self, Pair *pair, const Seen *seen, gint64 at_ns)
{
  /* more than two steps is proof by itself; one bad stamp must not outvote a thousand good ones */
  gint64 vote = CLAMP (seen->round_trip_ns, -2 * seen->step_ns, 2 * seen->step_ns), cell = at_ns / seen->step_ns, mean;
  Side near_side = { .set = NULL };

  if (!are_told_apart (pair, seen->wide))
    near_side = side_vote (self, seen->near, vote, cell);
  (void) side_vote (self, seen->wide, vote, cell);
  if (near_side.set == NULL
      || near_side.set->side[near_side.way] != seen->near) /* the second vote has taken the place of the first one */
    return;
  mean = side_mean (&near_side, seen->step_ns, FALSE);
  if (mean != 0)
    recent_add (&pair->round_trip, ABS (mean));
}

void
pair_vote (OwdCorrelator *self, Pair *pair, const Seen *half, const Seen *other, gint64 at_ns)
{
  gboolean told = (half->wide & other->wide & WIDE_INTERFACES) != 0;

  if (told && half->wide != other->wide)
    pair->apart = MIN (pair->apart + 1, APART_MOST);
  else if (told && pair->apart > 0)
    pair->apart--;
  half_votes (self, pair, half, at_ns);
  half_votes (self, pair, other, at_ns);
}

/* Positive: packets of this network travel a to b; negative: b to a; 0: not known. */
static gint64
network_says (const OwdCorrelator *self, Pair *pair, const Seen *seen)
{
  Side side = side_find (self, seen->wide);
  gint64 wide = side_mean (&side, seen->step_ns, (seen->wide & WIDE_INTERFACES) != 0), mean;

  /* of many small networks some seem clear by chance; interfaces have all their votes together */
  if (are_told_apart (pair, seen->wide) || (seen->wide & WIDE_INTERFACES && wide != 0))
    return wide;
  side = side_find (self, seen->near);
  mean = side_mean (&side, seen->step_ns, FALSE);
  if (mean != 0 || pair->round_trip.n < SIDE_ENOUGH || seen->wide & WIDE_INTERFACES)
    return mean;
  return ABS (wide) >= recent_low (&pair->round_trip) / 100 * WIDE_PERCENT ? wide : 0;
}

/* Have the two clocks been caught out? Then packets have taken less than is possible: those a to b have had negative
 * deltas, or those b to a positive ones, or they were faster than light. */
static gboolean
clocks_disagree (Pair *pair, gint64 slack_ns)
{
  Recent *forward = &pair->lately[TRAVELS_FORWARD], *back = &pair->lately[TRAVELS_BACK];
  gint64 least_ns = pair->floor_ns - slack_ns;

  return (forward->n >= SIDE_ENOUGH && recent_median (forward) < least_ns)
         || (back->n >= SIDE_ENOUGH && -recent_median (back) < least_ns);
}

/* A delta that is too small for light whichever way the packet went shows that the clocks do not agree. */
static Travel
by_sign (Pair *pair, const Seen *seen)
{
  gint64 slack_ns = seen->step_ns + seen->clock_ns;

  if (ABS (seen->delta_ns) <= slack_ns || ABS (seen->delta_ns) + slack_ns < pair->floor_ns
      || clocks_disagree (pair, slack_ns))
    return TRAVELS_UNKNOWN;
  return seen->delta_ns > 0 ? TRAVELS_FORWARD : TRAVELS_BACK;
}

Travel
pair_travel (const OwdCorrelator *self, Pair *pair, const Seen *seen, gboolean *ret_by_sign)
{
  gint64 network, conversation;

  *ret_by_sign = seen->near == 0;
  if (seen->near == 0)
    return by_sign (pair, seen);
  if (seen->ttl_a != 0 && seen->ttl_b != 0 && seen->ttl_a != seen->ttl_b)
    return seen->ttl_a > seen->ttl_b ? TRAVELS_FORWARD : TRAVELS_BACK;
  /* Clock intervals are common to both halves and cancel; each delta is uncertain by the steps. */
  conversation = ABS (seen->round_trip_ns) > 2 * seen->step_ns ? seen->round_trip_ns : 0;
  network = network_says (self, pair, seen);
  if (conversation != 0 && network != 0 && (conversation > 0) != (network > 0))
    return TRAVELS_UNKNOWN; /* a bad stamp, or a network on both sides */
  if (conversation != 0 || network != 0)
    return conversation > 0 || network > 0 ? TRAVELS_FORWARD : TRAVELS_BACK;
  *ret_by_sign = TRUE;
  return by_sign (pair, seen);
}

/* ---- learning ------------------------------------------------------------------------------------- */

void
pair_learn (Pair *self, const Seen *seen, Travel travel)
{
  guint back = travel == TRAVELS_BACK;

  recent_add (&self->delta, seen->delta_ns);
  reach_add (&self->reach[back], seen->delta_ns, self->path[back].next == 0);
  recent_add (&self->path[back], seen->delta_ns);
}

/* Where in the table it stands, or belongs. */
static guint32
slot_of (const OwdCorrelator *self, guint32 a, guint32 b)
{
  guint64 h = ((guint64) a << 32 | b) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);

  for (guint32 i = (guint32) (h >> 32);; i++) {
    guint32 slot = i & (self->pair_slots - 1);
    const Pair *p = self->pair_slot[slot] > 0 ? &self->pair[self->pair_slot[slot] - 1] : NULL;

    if (p == NULL || (p->a == a && p->b == b))
      return slot;
  }
}

/* Room for twice as many as there are. */
void
pair_index (OwdCorrelator *self)
{
  self->pair_slots = 64;
  while (self->pair_slots < 4 * (self->n_pairs + 1))
    self->pair_slots *= 2;
  g_free (self->pair_slot);
  self->pair_slot = g_new0 (guint32, self->pair_slots);
  for (guint32 i = 0; i < self->n_pairs; i++)
    self->pair_slot[slot_of (self, self->pair[i].a, self->pair[i].b)] = i + 1;
}

guint32
pair_get (OwdCorrelator *self, guint32 a, guint32 b)
{
  guint32 slot;

  if (self->n_pairs * 2 >= self->pair_slots) {
    pair_index (self);
    self->pair = g_renew (Pair, self->pair, self->pair_slots / 2);
  }
  slot = slot_of (self, a, b);
  if (self->pair_slot[slot] == 0) {
    self->pair[self->n_pairs] = (Pair){ .a = a, .b = b };
    pair_set_floor (self, &self->pair[self->n_pairs]);
    self->pair_slot[slot] = ++self->n_pairs;
  }
  return self->pair_slot[slot] - 1;
}

void
pair_set_floor (const OwdCorrelator *self, Pair *pair)
{
  const OwdCorrelatorConfig *c = &self->config;

  pair->floor_ns
      = c->floor != NULL ? c->floor (c->floor_user, &self->state[pair->a].key, &self->state[pair->b].key) : 0;
}

void
pair_forget (OwdCorrelator *self, guint32 state)
{
  for (guint32 i = 0; i < self->n_pairs; i++) {
    Pair *p = &self->pair[i];

    if (p->a == state || p->b == state)
      *p = (Pair){ .a = p->a, .b = p->b, .floor_ns = p->floor_ns, .late = { p->late[0], p->late[1] } };
  }
  if (self->side != NULL)
    memset (self->side, 0, SIDE_SETS * sizeof *self->side);
}
