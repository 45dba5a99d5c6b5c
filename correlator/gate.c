/* SPDX-License-Identifier: Apache-2.0
 *
 * The gate: what the other flows of a path say of a sample, before it is delivered.
 *
 * Problem. A stamp that is wrong by a fraction of a second, or two records that matched by chance, look like any other
 * pair. What tells them is company: queues, spikes and new routes change the delay of all packets of a path that pass
 * at the time, a bad stamp changes one record's.
 *
 * Idea. Samples wait for the horizon anyway. A few seconds before their turn they are decided and filed by path and
 * time; so when a sample's turn comes, its neighbours in time are known on both sides, whatever level the path has
 * taken since. A sample far from the median of the nearest ones, farther than their own spread explains, needs one of
 * another flow that lies nearer to it than to that median: then the sample is delivered and flagged. Or, as routes
 * share traffic by flow, two of the last hundred samples whose level it was. Without either it contradicts all who
 * passed at its time: it is counted and not delivered. Where too few passed to contradict it, it is delivered if what
 * the path has shown lately does not exclude it, else with an interval that holds both.
 *
 * Equal totals alone can err: a packet lost between the points, and a cut one packet later at one of them, add up to
 * equal sums, and from there on the stream's records are compared one packet apart. Such a sample lies beside its
 * path's by the distance of two packets, often no farther than coarse steps explain. But what steps make of a level is
 * dense: so a sample without SYN or FIN needs two other flows near it, and a stream that had one without is not
 * believed again.
 *
 * Less than light takes between two sites is no delay that a packet can have, and no route, queue or spike explains it.
 * A clock does, and a clock changes what all packets of the time show, or all of a line card: a level below the floor
 * is delivered, and flagged. A sample that stands there nearly alone is a bad stamp or a match by chance, even where
 * one or two others support it: the same fault at another time. Where nobody has passed to show what the clocks do, it
 * is delivered.
 *
 * A stamp that has been contradicted on one path is the same stamp on others: there, where coarse steps would hide the
 * error, its samples are not delivered either.
 *
 * Invariants. A level that lasts is delivered from its first sample on, as its samples support each other. The verdict
 * depends on stamps and flows, not on the order of their arrival.
 *
 * Cost. One entry per sample, and one look at a dozen bins of at most LEVEL_SIZE entries for each slice of time (62 ms)
 * of a path: who passes within it has the same company.
 */
#include "internal.h"

#include <string.h>

#define ENOUGH 4       /* so many can contradict, */
#define FEW 2          /* and so many with the last ones of their path */
#define FAR_SPANS 4    /* of the neighbours' own spread */
#define BURST_US 10000 /* a queue may fill and drain between two neighbours */
#define FAR_MADS 9     /* about 6 sigma */
#define LATELY_ENOUGH 8
#define CARD_OF 16 /* so small a share of a path's last samples may be a line card's */
#define LAST 3     /* samples of a sparse path that make a new level */
#define DENSE 64   /* of a path's last samples: so many show where its level is dense, */
#define DENSE_OF 8 /* which has neighbours within this part of the steps */

gint64
gate_bin_ns (const OwdCorrelator *self)
{
  return MAX (LEVEL_BIN_NS, self->pending.slot_ns);
}

/* Number of the bin that a time lies in, and where in it, in 65536ths. With a constant length, as nearly always, the
 * divisions are cheap. */
static gint64
bin_of (const OwdCorrelator *self, OwdTime ts, guint16 *ret_at)
{
  gint64 bin_ns = gate_bin_ns (self), number;

  if (bin_ns == LEVEL_BIN_NS) {
    number = ts / LEVEL_BIN_NS - (ts % LEVEL_BIN_NS < 0);
    *ret_at = (guint16) ((ts - number * LEVEL_BIN_NS) * 65536 / LEVEL_BIN_NS);
    return number;
  }
  number = ts / bin_ns - (ts % bin_ns < 0);
  *ret_at = (guint16) ((ts - number * bin_ns) * 65536 / bin_ns);
  return number;
}

static guint16
flow_tag (guint64 flow)
{
  return (guint16) ((flow * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15)) >> 48);
}

static gint32
in_us (gint64 ns)
{
  return (gint32) CLAMP (ns / OWD_NS_PER_US, G_MININT32, G_MAXINT32);
}

/* In its bin: by time; what else there is makes the order total. */
static gboolean
is_before (const Neighbour *a, const Neighbour *b)
{
  if (a->at != b->at)
    return a->at < b->at;
  return a->flow != b->flow ? a->flow < b->flow : a->delta_us < b->delta_us;
}

/* A full bin keeps the flows with the lowest tags, of one flow the earliest, so that it does not matter which came
 * first. */
static void
bin_add (LevelBin *bin, const Neighbour *new)
{
  guint i;

  if (bin->n == LEVEL_SIZE) {
    guint highest = 0;

    for (i = 1; i < LEVEL_SIZE; i++) {
      if (bin->v[i].flow >= bin->v[highest].flow)
        highest = i;
    }
    if (new->flow > bin->v[highest].flow || (new->flow == bin->v[highest].flow && !is_before (new, &bin->v[highest])))
      return;
    for (i = highest; i + 1 < LEVEL_SIZE; i++)
      bin->v[i] = bin->v[i + 1];
    bin->n--;
  }
  for (i = bin->n++; i > 0 && is_before (new, &bin->v[i - 1]); i--)
    bin->v[i] = bin->v[i - 1];
  bin->v[i] = *new;
}

void
gate_note (OwdCorrelator *self, const Waiting *w)
{
  Pair *pair = &self->pair[w->pair];
  guint16 at;
  gint64 number = bin_of (self, w->ts, &at);
  LevelBin *bin = &pair->level[w->travel == TRAVELS_BACK][number & (LEVEL_BINS - 1)];
  Neighbour new = { .delta_us = in_us (w->delay.delta_ns), .at = at, .flow = flow_tag (w->flow) };
  Habits *habits = &pair->habits[w->travel == TRAVELS_BACK];

  recent_add (&pair->lately[w->travel == TRAVELS_BACK], w->delay.delta_ns);
  habits->v[habits->n++ % HABITS] = new;
  if (bin->number != number)
    *bin = (LevelBin){ .number = number };
  bin_add (bin, &new);
}

/* ---- company -------------------------------------------------------------------------------------- */

#define NOBODY G_MAXINT32
#define ANY_FLOW -1
#define SLICE_BITS 3
#define SLICE_AT (65536 >> SLICE_BITS) /* of a bin; as Neighbour.at */

/* Those on one side in time, the nearest first; NOBODY behind the last one. */
typedef struct {
  guint n;
  gint32 distance[NEIGHBOURS], delta_us[NEIGHBOURS];
  guint16 flow[NEIGHBOURS];
} Flank;

static void
flank_init (Flank *f)
{
  f->n = 0;
  for (guint i = 0; i < NEIGHBOURS; i++)
    f->distance[i] = f->delta_us[i] = NOBODY;
}

static void
flank_add (Flank *f, const Neighbour *v, gint32 but, gint32 distance)
{
  if (v->flow == but)
    return;
  f->distance[f->n] = distance;
  f->flow[f->n] = v->flow;
  f->delta_us[f->n++] = v->delta_us;
}

/* A bin lists its samples by time, so each flank is one walk. */
static void
find_flanks (const LevelBin *bins, gint64 own, gint32 at, gint32 but, Flank *before, Flank *after)
{
  flank_init (before);
  flank_init (after);
  for (gint32 k = 0; k <= LEVEL_REACH && before->n < NEIGHBOURS; k++) {
    const LevelBin *bin = &bins[(own - k) & (LEVEL_BINS - 1)];

    for (guint i = bin->number == own - k ? bin->n : 0; i-- > 0 && before->n < NEIGHBOURS;) {
      if (k > 0 || bin->v[i].at <= at)
        flank_add (before, &bin->v[i], but, at - bin->v[i].at + k * 65536);
    }
  }
  for (gint32 k = 0; k <= LEVEL_REACH && after->n < NEIGHBOURS; k++) {
    const LevelBin *bin = &bins[(own + k) & (LEVEL_BINS - 1)];
    guint n = bin->number == own + k ? bin->n : 0;

    for (guint i = 0; i < n && after->n < NEIGHBOURS; i++) {
      if (k > 0 || bin->v[i].at > at)
        flank_add (after, &bin->v[i], but, bin->v[i].at - at + k * 65536);
    }
  }
}

typedef gint32 Lanes __attribute__ ((vector_size (16)));

#define LANES 4

/* The (k + 1)-th smallest: of those that at most k lie below, the largest. No branch depends on the values. */
static gint32
ranked (const gint32 value[NEIGHBOURS], gint32 k)
{
  Lanes v[NEIGHBOURS / LANES], below[NEIGHBOURS / LANES] = { 0 };
  gint32 found = G_MININT32;

  memcpy (v, value, sizeof v);
  for (guint i = 0; i < NEIGHBOURS; i++) {
    const Lanes one = { value[i], value[i], value[i], value[i] };

    for (guint j = 0; j < NEIGHBOURS / LANES; j++)
      below[j] -= one < v[j]; /* a comparison that holds is -1 */
  }
  for (guint i = 0; i < NEIGHBOURS; i++)
    found = below[i / LANES][i % LANES] <= k ? MAX (found, value[i]) : found;
  return found;
}

/* The nearest to the middle of a slice of time, but for one flow. Of the i-th before it and the (NEIGHBOURS - 1 - i)-th
 * behind it the nearer one is among them. */
static void
find_company (const LevelBin *bins, gint64 slice, gint32 but, Company *c)
{
  gint32 at = (gint32) (slice & ((1 << SLICE_BITS) - 1)) * SLICE_AT + SLICE_AT / 2, off_us[NEIGHBOURS];
  Flank before, after;

  find_flanks (bins, slice >> SLICE_BITS, at, but, &before, &after);
  c->n = MIN (before.n + after.n, NEIGHBOURS);
  for (guint i = 0; i < NEIGHBOURS; i++) {
    guint k = NEIGHBOURS - 1 - i;
    gboolean is_before = before.distance[i] <= after.distance[k];

    c->level_us[i] = is_before ? before.delta_us[i] : after.delta_us[k];
    c->flow[i] = is_before ? before.flow[i] : after.flow[k];
  }
  for (guint i = 0; i < NEIGHBOURS && c->n > 0 && c->n < NEIGHBOURS; i++) {
    if (c->level_us[i] == NOBODY)
      c->flow[i] = before.n > 0 ? before.flow[0] : after.flow[0];
  }
  c->median_us = ranked (c->level_us, (gint32) c->n / 2);
  for (guint i = 0; i < NEIGHBOURS; i++) {
    gint64 off = (gint64) c->level_us[i] - c->median_us;

    off_us[i] = c->level_us[i] == NOBODY ? NOBODY : (gint32) MIN (ABS (off), G_MAXINT32);
  }
  c->spread_us = ranked (off_us, (gint32) c->n * 3 / 4); /* one of four may be a bad stamp itself */
}

typedef gint16 Tags __attribute__ ((vector_size (16)));

/* No flow stands where nobody does: find_company() repeats one there. */
static gboolean
is_among (const Company *c, guint16 flow)
{
  const gint16 one = (gint16) flow;
  const Tags tags = { one, one, one, one, one, one, one, one };
  Tags first, last; /* they overlap */
  guint64 found[2];

  memcpy (&first, c->flow, sizeof first);
  memcpy (&last, &c->flow[NEIGHBOURS - 8], sizeof last);
  first = (Tags) ((first == tags) | (last == tags));
  memcpy (found, &first, sizeof found);
  return c->n > 0 && (found[0] | found[1]) != 0;
}

/* Where many pass, most samples of a slice have the same company. own: for a flow that would keep itself company. */
static const Company *
company_of (const OwdCorrelator *self, Pair *pair, const Waiting *w, Company *own)
{
  gboolean back = w->travel == TRAVELS_BACK;
  guint16 at;
  gint64 bin = bin_of (self, w->ts, &at), slice = bin << SLICE_BITS | at / SLICE_AT;
  guint16 flow = flow_tag (w->flow);
  Company *c = &pair->company[back][slice & (SLICES - 1)];

  if (c->slice != slice || c->noted != pair->habits[back].n) {
    find_company (pair->level[back], slice, ANY_FLOW, c);
    c->slice = slice;
    c->noted = pair->habits[back].n;
  }
  if (!is_among (c, flow))
    return c;
  find_company (pair->level[back], slice, flow, own);
  return own;
}

/* Have two other flows had this level, give or take near_us? */
static gboolean
is_habit (const Habits *habits, gint32 delta_us, guint16 flow, gint64 near_us)
{
  guint16 other = flow;

  for (guint32 i = 0; i < MIN (habits->n, HABITS); i++) {
    const Neighbour *v = &habits->v[i];

    if (v->flow == flow || v->flow == other || ABS ((gint64) v->delta_us - delta_us) > near_us)
      continue;
    if (other != flow)
      return TRUE;
    other = v->flow;
  }
  return FALSE;
}

/* Its proof is equal totals; SYN or FIN did not pass. */
static gboolean
by_counts_alone (const Waiting *w)
{
  return w->kind != OWD_SAMPLE_BOTH && (w->flags & OWD_SAMPLE_SYN) == 0;
}

/* Nobody has lately been as near to it as steps and a queue leave samples to each other. */
static gboolean
is_beside (const Habits *habits, const Waiting *w)
{
  gint64 near_us = w->delay.step_ns / OWD_NS_PER_US / DENSE_OF + BURST_US;

  return habits->n >= DENSE && !is_habit (habits, in_us (w->delay.delta_ns), flow_tag (w->flow), near_us);
}

/* Is one of them nearer to it than to where the path is? */
static gboolean
is_supported (const Company *c, gint32 delta_us, gint32 path_us)
{
  for (guint i = 0; i < NEIGHBOURS; i++) {
    if (c->level_us[i] != NOBODY && ABS ((gint64) c->level_us[i] - delta_us) < ABS ((gint64) c->level_us[i] - path_us))
      return TRUE;
  }
  return FALSE;
}

/* Do the neighbours of the sample contradict it? */
static Verdict
ask_company (const Company *c, const Habits *habits, const Waiting *w)
{
  gint32 delta_us = in_us (w->delay.delta_ns), median = c->median_us;
  gint64 step_us = w->delay.step_ns / OWD_NS_PER_US, off_us = (gint64) delta_us - median;
  gint64 queue_us = MAX (c->spread_us - step_us / 4, 0); /* beyond what steps alone make of a constant delay */

  if ((w->travel == TRAVELS_BACK) == (off_us < 0)) /* it took longer */
    off_us = MAX (ABS (off_us) - BURST_US, 0);
  if (ABS (off_us) <= step_us + FAR_SPANS * queue_us
      || is_habit (habits, delta_us, flow_tag (w->flow), step_us / 2 + queue_us))
    return by_counts_alone (w) && is_beside (habits, w) ? VERDICT_BESIDE : VERDICT_FINE;
  return is_supported (c, delta_us, median) ? VERDICT_SUPPORTED : VERDICT_CONTRADICTED;
}

/* Too few passed at the time: what has the path shown lately? */
static Verdict
ask_lately (Recent *lately, const Habits *habits, const Waiting *w)
{
  gint64 median_ns = lately->n < LATELY_ENOUGH ? 0 : recent_median (lately), median_us = median_ns / OWD_NS_PER_US,
         delta_us = w->delay.delta_ns / OWD_NS_PER_US;
  guint16 flow = flow_tag (w->flow);

  if (lately->n < LATELY_ENOUGH
      || ABS (w->delay.delta_ns - median_ns) <= MAX (FAR_MADS * recent_mad (lately), w->delay.step_ns))
    return VERDICT_FINE;
  for (guint32 i = 1, others = 0; i <= MIN (habits->n, HABITS) && others < LAST; i++) {
    const Neighbour *v = &habits->v[(habits->n - i) % HABITS];

    if (v->flow == flow)
      continue;
    if (ABS (v->delta_us - delta_us) < ABS (v->delta_us - median_us))
      return VERDICT_SUPPORTED;
    others++;
  }
  return VERDICT_LONELY;
}

/* ---- less than light takes ------------------------------------------------------------------------ */

static gboolean
is_impossible (const Pair *pair, const Waiting *w)
{
  return pair->floor_ns > 0 && w->delay.hi_ns <= pair->floor_ns;
}

/* Has the other one less than light takes, too? Then it is nearer to the sample than to the floor. */
static gboolean
is_witness (gint32 other_us, gint32 delta_us, gint32 floor_us)
{
  return other_us != NOBODY && ABS ((gint64) other_us - delta_us) < ABS ((gint64) other_us - floor_us);
}

/* Do others show that it is a clock? Of those at its time a quarter, or one of the last where these are too few, or of
 * the path's last samples a line card's share. Nobody: it may be. */
static gboolean
is_clock (const Pair *pair, const Company *c, const Waiting *w)
{
  const Habits *habits = &pair->habits[w->travel == TRAVELS_BACK];
  gint32 floor_us = in_us (w->travel == TRAVELS_BACK ? -pair->floor_ns : pair->floor_ns);
  gint32 delta_us = in_us (w->delay.delta_ns);
  guint witnesses = 0, others = 0;

  for (guint i = 0; i < NEIGHBOURS; i++)
    witnesses += is_witness (c->level_us[i], delta_us, floor_us) ? 1 : 0;
  if (witnesses >= MAX (FEW, c->n / 4))
    return TRUE;
  witnesses = 0;
  for (guint32 i = 1; i <= MIN (habits->n, HABITS); i++) {
    const Neighbour *v = &habits->v[(habits->n - i) % HABITS];

    if (v->flow == flow_tag (w->flow))
      continue;
    others++;
    witnesses += is_witness (v->delta_us, delta_us, floor_us) ? 1 : 0;
    if (c->n < ENOUGH && others <= LAST && witnesses > 0)
      return TRUE;
  }
  return others < LATELY_ENOUGH || witnesses * CARD_OF >= others;
}

/* ---- stamps that were contradicted ---------------------------------------------------------------- */

/* By uptime or absolute time of the stamp: what refining does not touch. */
guint64
gate_tag (guint64 flow, const Stamp *s)
{
  guint64 h = flow ^ (guint64) (s->lo_ns - s->boot_ns) ^ (guint64) s->state << 48 ^ (guint64) s->which << 63;

  return (h * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15)) | 1;
}

static Suspect *
suspect_of (OwdCorrelator *self, guint64 tag)
{
  return &self->suspect[tag >> 32 & (SUSPECTS - 1)];
}

static void
accuse (OwdCorrelator *self, guint64 tag, gint64 off_ns)
{
  *suspect_of (self, tag) = (Suspect){ .tag = tag, .off_ns = off_ns };
}

/* A flow between two points. */
static guint64
stream_tag (const Waiting *w)
{
  guint64 h = w->flow ^ (guint64) w->a << 48 ^ (guint64) w->b << 32;

  return (h * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15)) | 1;
}

/* Was the stamp contradicted elsewhere? NULL: no. */
static const Suspect *
suspect_find (OwdCorrelator *self, guint64 tag)
{
  const Suspect *suspect = suspect_of (self, tag);

  return suspect->tag == tag ? suspect : NULL;
}

void
gate_judge (OwdCorrelator *self, Waiting *w)
{
  Pair *pair = &self->pair[w->pair];
  gboolean back = w->travel == TRAVELS_BACK;
  const Company *company;
  Company own;

  if (by_counts_alone (w) && suspect_of (self, stream_tag (w))->tag == stream_tag (w)) {
    w->verdict = VERDICT_CONTRADICTED;
    return;
  }
  company = company_of (self, pair, w, &own);
  if (company->n >= ENOUGH)
    w->verdict = (guint8) ask_company (company, &pair->habits[back], w);
  else
    w->verdict = (guint8) ask_lately (&pair->lately[back], &pair->habits[back], w);
  if (w->verdict < VERDICT_CONTRADICTED && is_impossible (pair, w) && !is_clock (pair, company, w))
    w->verdict = VERDICT_CONTRADICTED;
  if (w->verdict == VERDICT_FINE)
    return;
  w->delay.level_ns = recent_median (&pair->lately[back]);
  if (w->verdict == VERDICT_LONELY && company->n >= FEW
      && !is_supported (company, in_us (w->delay.delta_ns), in_us (w->delay.level_ns)))
    w->verdict = VERDICT_CONTRADICTED;
  if (w->verdict == VERDICT_BESIDE) {
    *suspect_of (self, stream_tag (w)) = (Suspect){ .tag = stream_tag (w) };
    w->verdict = VERDICT_CONTRADICTED;
  } else if (w->verdict == VERDICT_CONTRADICTED) {
    gint64 off_ns = ABS (w->delay.delta_ns - w->delay.level_ns);

    accuse (self, w->delay.tag_a, off_ns);
    accuse (self, w->delay.tag_b, off_ns);
  }
}

gboolean
gate_passes (OwdCorrelator *self, const Waiting *w)
{
  const Suspect *a, *b;

  if (w->verdict == VERDICT_CONTRADICTED)
    return FALSE;
  a = suspect_find (self, w->delay.tag_a);
  b = suspect_find (self, w->delay.tag_b);
  /* by no more than this path's steps would hide? */
  return (a == NULL || a->off_ns > w->delay.step_ns) && (b == NULL || b->off_ns > w->delay.step_ns);
}
