/* SPDX-License-Identifier: Apache-2.0
 *
 * Active and inactive timeout, from when records leave.
 *
 * A record that silence ended leaves the inactive timeout after its last packet, plus what scanning and exporting take:
 * the ages of its end have a sharp lower edge there, and nothing is far above it. A record that was cut because it
 * lasted too long has that edge in the age of its start. What lies below the edge are other reasons to end (FIN,
 * eviction); the edge is told from them by its hazard: most of what has come to this age leaves within the next second
 * and a half. Nonsense stamps and slow exports only thin it out.
 *
 * Records that surely wait for silence are those of one packet without FIN or RST. Where records tell why they ended
 * (IE 136), that counts instead. Routers that repeat the start of a flow in each continuation would show multiples of
 * the active timeout: a small table of recent flows recognises these.
 */
#include "internal.h"

#include <math.h>

#define TCP_FIN_RST 5
#define TCP_PROTO 6
#define ENOUGH 32            /* records */
#define EDGE_LEAST 16        /* records at the edge */
#define WINDOW 6             /* bins: 1.5 s */
#define HAZARD 0.75          /* share of those that came to the window and left within it */
#define EDGE_SHARE (1.0 / 3) /* of the peak's density: still the edge's own */
#define SMOOTH 2             /* bins to each side that are averaged */
#define CONTINUES_NS (5 * OWD_NS_PER_S)

/* ---- one edge ------------------------------------------------------------------------------------- */

static void
edge_add (EdgeHist *self, gint64 age_ns)
{
  if (age_ns < 0 || age_ns >= EDGE_BIN_NS * EDGE_BINS)
    return;
  self->bin[age_ns / EDGE_BIN_NS]++;
  self->n++;
}

static void
edge_merge (EdgeHist *self, const EdgeHist *other)
{
  self->n += other->n;
  for (guint i = 0; i < EDGE_BINS; i++)
    self->bin[i] += other->bin[i];
}

/* The window with most records of those that nearly all leave who come that far, beginning at `from` or later. -1:
 * there is none. */
static int
sharpest (const EdgeHist *self, guint from, guint32 *ret_count)
{
  guint64 survivors = 0, window = 0;
  int best = -1;

  *ret_count = EDGE_LEAST - 1;
  for (guint i = EDGE_BINS; i-- > from;) {
    survivors += self->bin[i];
    window += self->bin[i];
    if (i + WINDOW < EDGE_BINS)
      window -= self->bin[i + WINDOW];
    if (window > *ret_count && (double) window >= HAZARD * (double) survivors) {
      *ret_count = (guint32) window;
      best = (int) i;
    }
  }
  return best;
}

static double
density (const EdgeHist *self, guint i)
{
  guint lo = i > SMOOTH ? i - SMOOTH : 0, hi = MIN (i + SMOOTH, EDGE_BINS - 1);
  double sum = 0;

  for (guint k = lo; k <= hi; k++)
    sum += self->bin[k];
  return sum / (2 * SMOOTH + 1);
}

/* The foot of the cluster that the window belongs to. */
static guint
foot (const EdgeHist *self, guint window)
{
  guint peak = window;

  for (guint i = window; i < MIN (window + WINDOW, EDGE_BINS); i++)
    if (density (self, i) > density (self, peak))
      peak = i;
  for (guint i = peak; i > 0; i--)
    if (density (self, i - 1) < EDGE_SHARE * density (self, peak)) {
      /* smoothing has smeared the edge: back to the first bin that is full itself */
      while (i < peak && (double) self->bin[i] < EDGE_SHARE * density (self, peak))
        i++;
      return i;
    }
  return 0;
}

static OwdEstimate
edge_estimate (const EdgeHist *self, guint from, gint64 slack_ns, const char *why)
{
  double slack_s = (double) slack_ns / (double) OWD_NS_PER_S, bin_s = 0.25, at_s;
  guint32 count;
  int window;

  if (self->n < ENOUGH)
    return estimate_unknown ("too few records", self->n);
  window = sharpest (self, from, &count);
  if (window < 0)
    return estimate_unknown (why, self->n);
  at_s = foot (self, (guint) window) * bin_s;
  return estimate (at_s + bin_s / 2, at_s - bin_s - slack_s, at_s + 2 * bin_s + slack_s, count);
}

/* ---- records -------------------------------------------------------------------------------------- */

/* Has this flow been cut before, and does this record repeat its start? Notes the record. */
static gboolean
repeats_start (Timeouts *self, const TimedFlow *t)
{
  RecentFlow *r = &self->recent[t->hash % RECENT_FLOWS];
  gboolean same = r->hash == t->hash && r->end_ns != 0;
  gboolean repeats = same && t->start_ns == r->start_ns && t->end_ns > r->end_ns;

  if (repeats)
    self->repeats++;
  else if (same && t->start_ns >= r->end_ns && t->start_ns - r->end_ns < CONTINUES_NS
           && r->end_ns - r->start_ns > CONTINUES_NS)
    self->anew++;
  *r = (RecentFlow){ .hash = t->hash, .start_ns = t->start_ns, .end_ns = t->end_ns };
  return repeats;
}

void
timeout_add (Timeouts *self, const OwdFlow *flow, const TimedFlow *timed)
{
  gboolean closed = flow->proto == TCP_PROTO && (flow->tcp_flags & TCP_FIN_RST) != 0;
  gboolean single = flow->packets == 1 && timed->start_ns == timed->end_ns && !closed;
  gboolean repeats = repeats_start (self, timed);

  if (flow->end_reason != OWD_END_UNKNOWN) {
    if (self->reasons++ == 0) {
      self->idle = (EdgeHist){ 0 };
      self->active = (EdgeHist){ 0 };
    }
    single = flow->end_reason == OWD_END_IDLE;
    if (!single && flow->end_reason != OWD_END_ACTIVE)
      return;
  } else if (self->reasons > 0) {
    return;
  }
  if (single)
    edge_add (&self->idle, timed->ages.end_ns);
  else if (!repeats && flow->packets != 1)
    edge_add (&self->active, timed->ages.start_ns);
}

void
timeout_merge (Timeouts *self, const Timeouts *other)
{
  edge_merge (&self->idle, &other->idle);
  edge_merge (&self->active, &other->active);
  self->reasons += other->reasons;
  self->repeats += other->repeats;
  self->anew += other->anew;
}

void
timeout_summary (const Timeouts *self, gint64 slack_ns, OwdEstimate *ret_active, OwdEstimate *ret_inactive,
                 OwdEstimate *ret_repeats)
{
  guint from = 0;

  *ret_inactive = edge_estimate (&self->idle, 0, slack_ns,
                                 "records do not leave at one age after their last packet: full cache, or timers that "
                                 "differ");
  /* Short flows that ended by silence have nearly the inactive timeout as age of their start. */
  if (self->reasons == 0 && ret_inactive->known)
    from = (guint) ((ret_inactive->value + 4) / 0.25);
  if (self->reasons == 0 && !ret_inactive->known)
    *ret_active
        = estimate_unknown ("cannot be told from other ends of flows without the inactive timeout", self->active.n);
  else
    *ret_active = edge_estimate (&self->active, from, slack_ns, "no flow lasted long enough to be cut");
  *ret_repeats = self->repeats + self->anew >= 8
                     ? estimate_share (self->repeats, self->repeats + self->anew)
                     : estimate_unknown ("too few flows were cut", self->repeats + self->anew);
}
