/* SPDX-License-Identifier: Apache-2.0
 *
 * Costs are summed per source in windows. A window under pressure is short, and long enough to tell heavy sources from
 * light ones; what was worked off in it is what the worker can do, and KEEP of that is shared out, so that there is
 * room for what the window did not see. The share is the level f at which the sum of min (cost, f) is the whole.
 *
 * Addresses of datagrams may be invented. So sources that are not known count as one in the sharing. If together they
 * want too much, the heaviest of them are set back by name; if it is not those, then all but the known ones are.
 *
 * A source comes back when it wants less than half of the share that it was refused for, over RELAX_US. What it wants
 * is what came of it and its part of what was dropped at the back.
 *
 * Memory: SLOTS sources are told apart in a window, 32 bytes each; the cost of the rest is kept as one sum.
 */
#include "fair.h"

#include <stdlib.h>
#include <string.h>

#define SLOT_BITS 12
#define SLOTS (1u << SLOT_BITS)
#define SLOTS_MAX (SLOTS / 2) /* used at most: chains stay short */
#define PRESSED_US 5000
#define RELAX_US G_TIME_SPAN_SECOND
#define KEEP 0.8
#define HEAVY_PART 64     /* set back by name: whoever has a 64th of what all unknown sources want, */
#define HEAVY_DATAGRAMS 8 /* and not by a few dear datagrams: for those addresses can be invented */
#define REMEMBERED 256

typedef struct {
  OwdAddr addr;
  guint32 hash;
  guint32 window; /* that the rest belongs to */
  guint32 datagrams;
  guint64 cost;
} Slot;

/* Of a source that is set back; its OwdFairSource is at the same index. */
typedef struct {
  double limit;   /* cost per us */
  gboolean fresh; /* set back since this back window began */
  guint64 cost;   /* in this back window */
  guint64 datagrams;
} Back;

typedef struct {
  const Slot *slot;
  double cost;
} Item;

struct OwdFair {
  OwdFairSink sink;
  guint known_max;
  OwdSteeringRule rule;
  Slot slots[SLOTS];
  guint n_slots;
  guint n_recent; /* sources seen of late: more windows are short than exporters send in each */
  guint32 window;
  guint64 cost, rest; /* of the window: all; of sources without a slot */
  gint64 window_us;   /* when the window began; 0: not yet */
  gboolean pressed;   /* it is one under pressure */
  gint64 back_us;     /* when the back window began */
  guint64 back_dropped;
  guint n_sources;
  OwdFairSource sources[REMEMBERED]; /* [0]: the unknown ones */
  Back backs[REMEMBERED];
  Item items[SLOTS_MAX];
};

OwdFair *
owd_fair_new (const OwdFairSink *sink, guint known_max)
{
  OwdFair *self = g_new0 (OwdFair, 1);

  self->sink = *sink;
  self->known_max = MIN (known_max, OWD_STEERING_KNOWN_MAX);
  self->window = 1;
  self->n_sources = 1;
  return self;
}

void
owd_fair_free (OwdFair *self)
{
  g_free (self);
}

/* ---- accounts ---------------------------------------------------------------------------------- */

static guint
find_source (const OwdFair *self, guint32 hash)
{
  for (guint i = 1; i < self->n_sources; i++)
    if (self->sources[i].hash == hash)
      return i;
  return 0;
}

static void
charge_back (OwdFair *self, guint32 hash, guint cost)
{
  guint i = find_source (self, hash);

  if (!self->sources[i].back && self->sources[0].back)
    i = 0;
  self->sources[i].datagrams++;
  self->backs[i].cost += cost;
  self->backs[i].datagrams++;
}

void
owd_fair_charge (OwdFair *self, const OwdAddr *from, guint cost, gboolean back)
{
  guint32 hash = owd_steering_hash (from);

  if (G_UNLIKELY (back)) {
    charge_back (self, hash, cost);
    return;
  }
  self->cost += cost;
  for (guint i = hash >> (32 - SLOT_BITS);; i = (i + 1) % SLOTS) {
    Slot *slot = &self->slots[i];

    if (slot->window != self->window) {
      if (self->n_slots == SLOTS_MAX) {
        self->rest += cost;
        return;
      }
      self->n_slots++;
      *slot = (Slot){ .addr = *from, .hash = hash, .window = self->window };
    } else if (slot->hash != hash) {
      continue;
    }
    slot->cost += cost;
    slot->datagrams++;
    return;
  }
}

static void
begin_window (OwdFair *self, gint64 now_us, gboolean pressed)
{
  gboolean whole = now_us - self->window_us >= RELAX_US;

  self->n_recent = whole ? self->n_slots : MAX (self->n_recent, self->n_slots);
  self->window++;
  self->n_slots = 0;
  self->cost = self->rest = 0;
  self->window_us = now_us;
  self->pressed = pressed;
}

/* ---- setting back ------------------------------------------------------------------------------ */

static void
set_back (OwdFair *self, guint i, double limit)
{
  OwdFairSource *source = &self->sources[i];

  if (source->back)
    return; /* what was queued in front is still coming */
  self->backs[i] = (Back){ .limit = limit, .fresh = TRUE };
  source->back = TRUE;
  source->times++;
  self->sink.changed (self->sink.user, source);
}

/* A row for this source: its own, a new one, or that of one that came back; 0: none is free. */
static guint
row_for (OwdFair *self, const Slot *slot)
{
  guint i = find_source (self, slot->hash);

  if (i == 0 && self->n_sources < REMEMBERED)
    i = self->n_sources++;
  for (guint k = 1; i == 0 && k < REMEMBERED; k++)
    if (!self->sources[k].back)
      i = k;
  if (i != 0 && self->sources[i].hash != slot->hash)
    self->sources[i] = (OwdFairSource){ .addr = slot->addr, .hash = slot->hash };
  return i;
}

static void
set_back_by_name (OwdFair *self, const Slot *slot, double limit)
{
  guint n_back = 0, row;

  for (guint i = 1; i < self->n_sources; i++)
    n_back += self->sources[i].back;
  if (n_back == OWD_STEERING_BACK_MAX)
    return;
  row = row_for (self, slot);
  if (row != 0)
    set_back (self, row, limit);
}

static void
make_rule (OwdFair *self)
{
  OwdSteeringRule *rule = &self->rule;

  rule->n_back = rule->n_known = 0;
  for (guint i = 1; i < self->n_sources && rule->n_back < OWD_STEERING_BACK_MAX; i++)
    if (self->sources[i].back)
      rule->back[rule->n_back++] = self->sources[i].hash;
  rule->only_known = self->sources[0].back;
  if (rule->only_known)
    rule->n_known = self->sink.list_known (self->sink.user, rule->known, MIN (self->known_max, OWD_STEERING_KNOWN_MAX));
}

static int
compare_items (const void *a, const void *b)
{
  const Item *x = a, *y = b;

  return x->cost < y->cost ? -1 : x->cost > y->cost;
}

/* The share of each when `whole` is shared out among these and one more that wants `extra` (below 0: none). items are
 * sorted. G_MAXDOUBLE: there is enough for all. */
static double
share (const Item *items, guint n, double extra, double whole)
{
  guint left = n + (extra >= 0);
  gboolean extra_done = extra < 0;

  for (guint i = 0; left > 0; left--) {
    gboolean take_extra = !extra_done && (i == n || extra <= items[i].cost);
    double want = take_extra ? extra : items[i].cost;

    if (want > whole / left)
      return whole / left;
    whole -= want;
    if (take_extra)
      extra_done = TRUE;
    else
      i++;
  }
  return G_MAXDOUBLE;
}

/* Splits the window's sources: known ones first in items, sorted, then the others, sorted. */
static void
sort_sources (OwdFair *self, guint *ret_n_known, guint *ret_n)
{
  guint n_known = 0, n_unknown = 0;

  for (guint i = 0; i < SLOTS; i++) {
    const Slot *slot = &self->slots[i];
    Item item = { .slot = slot, .cost = (double) slot->cost };

    if (slot->window != self->window)
      continue;
    if (self->sink.is_known (self->sink.user, &slot->addr))
      self->items[n_known++] = item;
    else
      self->items[SLOTS_MAX - ++n_unknown] = item;
  }
  memmove (&self->items[n_known], &self->items[SLOTS_MAX - n_unknown], n_unknown * sizeof self->items[0]);
  qsort (self->items, n_known, sizeof self->items[0], compare_items);
  qsort (&self->items[n_known], n_unknown, sizeof self->items[0], compare_items);
  *ret_n_known = n_known;
  *ret_n = n_known + n_unknown;
}

/* Of the unknown sources, the first that is to be set back by name: they and those behind it (items are sorted). */
static guint
first_heavy (const OwdFair *self, const Item *items, guint n, double want, double f)
{
  double level = MAX (share (items, n, self->rest > 0 ? (double) self->rest : -1, f), want / HEAVY_PART);

  while (n > 0 && items[n - 1].cost > level && items[n - 1].slot->datagrams >= HEAVY_DATAGRAMS)
    n--;
  return n;
}

/* At the end of a window under pressure. Where everybody wants more than the share, nobody is set back: for whose sake?
 */
static void
judge_window (OwdFair *self, gint64 now_us)
{
  double per_us = 1.0 / (double) MAX (now_us - self->window_us, 1), unknown = (double) self->rest, f;
  guint n_known, n, heavy_known, heavy, n_all;

  sort_sources (self, &n_known, &n);
  for (guint i = n_known; i < n; i++)
    unknown += self->items[i].cost;
  f = share (self->items, n_known, unknown > 0 ? unknown : -1, KEEP * (double) self->cost);
  for (heavy_known = n_known; heavy_known > 0 && self->items[heavy_known - 1].cost > f;)
    heavy_known--;
  heavy = unknown > f ? n_known + first_heavy (self, &self->items[n_known], n - n_known, unknown, f) : n;
  n_all = self->sink.list_known (self->sink.user, self->rule.known, self->known_max);
  if (n_known - heavy_known >= n_all && n_known - heavy_known + n - heavy >= MAX (self->n_recent, n + (self->rest > 0)))
    return;
  for (guint i = heavy_known; i < n_known; i++)
    set_back_by_name (self, self->items[i].slot, f * per_us);
  for (guint i = heavy; i < n; i++) {
    set_back_by_name (self, self->items[i].slot, f * per_us);
    unknown -= self->items[i].cost;
  }
  if (unknown > f && n_all > 0)
    set_back (self, 0, f * per_us);
}

/* ---- coming back ------------------------------------------------------------------------------- */

/* Shares out the back's drops, and lets those come back that have calmed down. */
static void
relax (OwdFair *self, const OwdFairLoad *load)
{
  double us = (double) (load->now_us - self->back_us);
  guint64 dropped = load->back_dropped - self->back_dropped, came = 0, part;

  for (guint i = 0; i < self->n_sources; i++)
    came += self->backs[i].datagrams;
  for (guint i = 0; i < self->n_sources; i++) {
    OwdFairSource *source = &self->sources[i];
    Back *back = &self->backs[i];

    part = came > 0 ? (guint64) ((double) dropped * (double) back->datagrams / (double) came) : 0;
    source->dropped += part;
    if (source->back && came + dropped > 0 && back->datagrams > 0)
      back->cost += (guint64) ((double) back->cost * (double) part / (double) back->datagrams);
    if (source->back && !back->fresh && (double) back->cost < back->limit / 2 * us && (came > 0 || dropped == 0)) {
      source->back = FALSE;
      self->sink.changed (self->sink.user, source);
    }
    back->cost = back->datagrams = 0;
    back->fresh = FALSE;
  }
  self->back_dropped = load->back_dropped;
  self->back_us = load->now_us;
}

static gboolean
any_back (const OwdFair *self)
{
  return self->rule.n_back > 0 || self->rule.only_known;
}

gboolean
owd_fair_judge (OwdFair *self, const OwdFairLoad *load)
{
  gint64 age_us = load->now_us - self->window_us;
  gboolean changed = FALSE;

  if (self->window_us == 0) {
    begin_window (self, load->now_us, load->pressed);
    self->back_us = load->now_us;
  } else if (load->pressed && !self->pressed) {
    begin_window (self, load->now_us, TRUE);
  } else if (load->pressed && age_us >= PRESSED_US) {
    judge_window (self, load->now_us);
    begin_window (self, load->now_us, FALSE);
    changed = TRUE;
  } else if (age_us >= RELAX_US) {
    begin_window (self, load->now_us, FALSE);
  }
  if (load->now_us - self->back_us >= RELAX_US) {
    changed |= any_back (self);
    relax (self, load);
  }
  if (changed)
    make_rule (self);
  return changed;
}

const OwdSteeringRule *
owd_fair_rule (const OwdFair *self)
{
  return &self->rule;
}

const OwdFairSource *
owd_fair_sources (const OwdFair *self, guint *ret_n)
{
  *ret_n = self->n_sources;
  return self->sources;
}
