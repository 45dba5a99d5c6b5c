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
 * A stamp that has been contradicted on one path is the same stamp on others: there, where coarse steps would hide the
 * error, its samples are not delivered either.
 *
 * Invariants. A level that lasts is delivered from its first sample on, as its samples support each other. The verdict
 * depends on stamps and flows, not on the order of their arrival.
 *
 * Cost. One entry per sample and one look at a dozen bins of at most LEVEL_SIZE entries.
 */
#include "internal.h"

#define NEIGHBOURS 12  /* the nearest in time of other flows */
#define ENOUGH 4       /* so many can contradict */
#define FAR_SPANS 4    /* of the neighbours' own spread */
#define BURST_US 10000 /* a queue may fill and drain between two neighbours */
#define FAR_MADS 9     /* about 6 sigma */
#define LATELY_ENOUGH 8
#define LAST 3 /* samples of a sparse path that make a new level */

gint64
gate_bin_ns (const OwdCorrelator *self)
{
  return MAX (LEVEL_BIN_NS, self->pending.slot_ns);
}

static gint64
bin_of (const OwdCorrelator *self, OwdTime ts)
{
  gint64 bin_ns = gate_bin_ns (self);

  return ts / bin_ns - (ts % bin_ns < 0);
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

/* A full bin keeps the flows with the lowest tags, so that it does not matter which came first. */
void
gate_note (OwdCorrelator *self, const Waiting *w, gint64 delta_ns)
{
  Pair *pair = pair_get (self, w->a.state, w->b.state);
  gint64 number = bin_of (self, w->ts);
  LevelBin *bin = &pair->level[w->travel == TRAVELS_BACK][number & (LEVEL_BINS - 1)];
  Neighbour new = { .delta_us = in_us (delta_ns),
                    .at = (guint16) ((w->ts - number * gate_bin_ns (self)) * 65536 / gate_bin_ns (self)),
                    .flow = flow_tag (w->flow) };
  Habits *habits = &pair->habits[w->travel == TRAVELS_BACK];
  guint highest = 0;

  recent_add (&pair->lately[w->travel == TRAVELS_BACK], delta_ns);
  habits->v[habits->n++ % HABITS] = new;
  if (bin->number != number)
    *bin = (LevelBin){ .number = number };
  if (bin->n < LEVEL_SIZE) {
    bin->v[bin->n++] = new;
    return;
  }
  for (guint i = 1; i < LEVEL_SIZE; i++) {
    if (bin->v[i].flow > bin->v[highest].flow)
      highest = i;
  }
  if (new.flow < bin->v[highest].flow)
    bin->v[highest] = new;
}

/* The nearest in time, of other flows. */
typedef struct {
  guint n;
  gint32 distance[NEIGHBOURS]; /* in time, ascending */
  gint32 delta_us[NEIGHBOURS];
} Company;

static void
add_company (Company *c, gint32 distance, gint32 delta_us)
{
  guint i = c->n;

  while (i > 0 && (c->distance[i - 1] > distance || (c->distance[i - 1] == distance && c->delta_us[i - 1] > delta_us)))
    i--;
  if (i == NEIGHBOURS)
    return;
  c->n = MIN (c->n + 1, NEIGHBOURS);
  for (guint k = c->n - 1; k > i; k--) {
    c->distance[k] = c->distance[k - 1];
    c->delta_us[k] = c->delta_us[k - 1];
  }
  c->distance[i] = distance;
  c->delta_us[i] = delta_us;
}

static void
find_company (const OwdCorrelator *self, const LevelBin *bins, const Waiting *w, Company *c)
{
  gint64 own = bin_of (self, w->ts);
  gint32 at = (gint32) ((w->ts - own * gate_bin_ns (self)) * 65536 / gate_bin_ns (self));
  guint16 flow = flow_tag (w->flow);

  c->n = 0;
  for (gint32 k = -LEVEL_REACH; k <= LEVEL_REACH; k++) {
    const LevelBin *bin = &bins[(own + k) & (LEVEL_BINS - 1)];

    for (guint i = 0; bin->number == own + k && i < bin->n; i++) {
      if (bin->v[i].flow != flow)
        add_company (c, ABS (k * 65536 + bin->v[i].at - at), bin->v[i].delta_us);
    }
  }
}

/* Sorts values. */
static gint32
median_of (gint32 *value, guint n)
{
  for (guint i = 1; i < n; i++) {
    gint32 v = value[i];
    guint k;

    for (k = i; k > 0 && value[k - 1] > v; k--)
      value[k] = value[k - 1];
    value[k] = v;
  }
  return value[n / 2];
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

/* How far the neighbours' spread goes beyond what steps alone make of a constant delay. */
static gint64
queueing_us (gint32 *off_us, guint n, gint64 step_us)
{
  (void) median_of (off_us, n);
  return MAX (off_us[n * 3 / 4] - step_us / 4, 0); /* one of four may be a bad stamp itself */
}

/* Do the neighbours of the sample contradict it? */
static Verdict
ask_company (const Company *c, const Habits *habits, const Waiting *w, const Seen *seen)
{
  gint32 value[NEIGHBOURS], delta_us = in_us (seen->delta_ns), median;
  gint64 step_us = seen->step_ns / OWD_NS_PER_US, queue_us, off_us;

  for (guint i = 0; i < c->n; i++)
    value[i] = c->delta_us[i];
  median = median_of (value, c->n);
  for (guint i = 0; i < c->n; i++)
    value[i] = (gint32) MIN (ABS ((gint64) value[i] - median), G_MAXINT32);
  queue_us = queueing_us (value, c->n, step_us);
  off_us = (gint64) delta_us - median;
  if ((w->travel == TRAVELS_BACK) == (off_us < 0)) /* it took longer */
    off_us = MAX (ABS (off_us) - BURST_US, 0);
  if (ABS (off_us) <= step_us + FAR_SPANS * queue_us
      || is_habit (habits, delta_us, flow_tag (w->flow), step_us / 2 + queue_us))
    return VERDICT_FINE;
  for (guint i = 0; i < c->n; i++) {
    if (ABS ((gint64) c->delta_us[i] - delta_us) < ABS ((gint64) c->delta_us[i] - median))
      return VERDICT_SUPPORTED;
  }
  return VERDICT_CONTRADICTED;
}

/* Too few passed at the time: what has the path shown lately? */
static Verdict
ask_lately (const Recent *lately, const Habits *habits, const Waiting *w, const Seen *seen)
{
  gint64 median_us = lately->median / OWD_NS_PER_US, delta_us = seen->delta_ns / OWD_NS_PER_US;
  guint16 flow = flow_tag (w->flow);

  if (lately->n < LATELY_ENOUGH
      || ABS (seen->delta_ns - lately->median) <= MAX (FAR_MADS * recent_mad (lately), seen->step_ns))
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

/* ---- stamps that were contradicted ---------------------------------------------------------------- */

/* Uptime or absolute time of the stamp: what refining does not touch. */
static guint64
stamp_tag (guint64 flow, const Stamp *s)
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
accuse (OwdCorrelator *self, const Waiting *w, const Stamp *s, gint64 off_ns)
{
  guint64 tag = stamp_tag (w->flow, s);

  *suspect_of (self, tag) = (Suspect){ .tag = tag, .off_ns = off_ns };
}

/* Was the stamp contradicted elsewhere, by no more than this path's steps would hide? */
static gboolean
is_suspect (OwdCorrelator *self, const Waiting *w, const Stamp *s, gint64 hides_ns)
{
  guint64 tag = stamp_tag (w->flow, s);
  const Suspect *suspect = suspect_of (self, tag);

  return suspect->tag == tag && suspect->off_ns <= hides_ns;
}

void
gate_judge (OwdCorrelator *self, Waiting *w)
{
  const Pair *pair = pair_find (self, w->a.state, w->b.state);
  gboolean back = w->travel == TRAVELS_BACK;
  Company company;
  Seen seen;

  delay_see (self, &w->a, &w->b, &seen);
  find_company (self, pair->level[back], w, &company);
  w->level_ns = pair->lately[back].median;
  if (company.n >= ENOUGH)
    w->verdict = (guint8) ask_company (&company, &pair->habits[back], w, &seen);
  else
    w->verdict = (guint8) ask_lately (&pair->lately[back], &pair->habits[back], w, &seen);
  if (w->verdict == VERDICT_CONTRADICTED) {
    gint64 off_ns = ABS (seen.delta_ns - w->level_ns);

    accuse (self, w, &w->a, off_ns);
    accuse (self, w, &w->b, off_ns);
  }
}

gboolean
gate_passes (OwdCorrelator *self, const Waiting *w)
{
  Seen seen;

  if (w->verdict == VERDICT_CONTRADICTED)
    return FALSE;
  delay_see (self, &w->a, &w->b, &seen);
  return !is_suspect (self, w, &w->a, seen.step_ns) && !is_suspect (self, w, &w->b, seen.step_ns);
}
