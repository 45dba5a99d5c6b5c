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
 *
 * Ages of absolute stamps are wrong where these count from another epoch than the header's time. But flows that were
 * cut lasted the active timeout by the stamps alone: where the age of their start says another one, the difference is
 * that between the two clocks. Without such flows timeouts are not identifiable from absolute stamps.
 */
#include "internal.h"

#include <math.h>
#include <string.h>

#define TCP_FIN_RST 5
#define TCP_PROTO 6
#define ENOUGH 32            /* records */
#define IDLE_FIRST 512       /* records before their edge is used */
#define EDGE_LEAST 16        /* records at the edge */
#define WINDOW 6             /* bins: 1.5 s */
#define HAZARD 0.75          /* share of those that came to the window and left within it */
#define EDGE_SURE 6          /* records above the foot: fewer may have left by chance */
#define EDGE_BLUR_S 2        /* a foot that is no sharper than this is no edge */
#define EDGE_SHARE (1.0 / 3) /* of the peak's density: still the edge's own */
#define SMOOTH 2             /* bins to each side that are averaged */
#define CONTINUES_NS (5 * OWD_NS_PER_S)
#define BIN_S 0.25
#define BESIDE_S 4         /* a cut must show so far beside the inactive timeout */
#define LENGTH_FROM 40     /* bins: flows that lasted less than 10 s were not cut */
#define OFFSET_BLUR_S 1.0  /* export timers and scans of the cache blur both edges */
#define OFFSET_ERROR_S 2.0 /* what is less is not called an offset */

/* ---- one edge ------------------------------------------------------------------------------------- */

static void
edge_add (EdgeHist *self, gint64 age_ns)
{
  guint at;

  if (age_ns < 0 || age_ns >= EDGE_BIN_NS * EDGE_BINS)
    return;
  at = (guint) (age_ns / EDGE_BIN_NS);
  self->bin[at]++;
  self->top = MAX (self->top, at + 1);
  self->n++;
}

static void
edge_clear (EdgeHist *self)
{
  memset (self->bin, 0, self->top * sizeof *self->bin);
  self->n = self->top = 0;
}

static void
edge_merge (EdgeHist *self, const EdgeHist *other)
{
  self->n += other->n;
  self->top = MAX (self->top, other->top);
  for (guint i = 0; i < other->top; i++)
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
  for (guint i = self->top; i-- > from;) {
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
  double slack_s = (double) slack_ns / (double) OWD_NS_PER_S, at_s, hi_s;
  guint32 count, below = 0;
  guint at, top;
  OwdEstimate e;
  int window;

  if (self->n < ENOUGH)
    return estimate_unknown ("too few records", self->n);
  window = sharpest (self, from, &count);
  if (window < 0)
    return estimate_unknown (why, self->n);
  at = foot (self, (guint) window);
  if (at < from)
    return estimate_unknown ("too near to the inactive timeout to be told apart", self->n);
  for (top = at; top + 1 < EDGE_BINS && (below += self->bin[top]) < EDGE_SURE; top++)
    ;
  at_s = at * BIN_S;
  hi_s = MAX (at_s + 2 * BIN_S, (top + 1) * BIN_S);
  e = estimate_bound ((at_s - BIN_S + hi_s) / 2, at_s - BIN_S - slack_s, hi_s + slack_s, count);
  if (hi_s - at_s <= EDGE_BLUR_S)
    return e;
  e.known = FALSE;
  e.value = NAN;
  e.why = "too few records at one age";
  return e;
}

/* ---- records -------------------------------------------------------------------------------------- */

/* Has this flow been cut before, and does this record repeat its start? Notes the record. */
static gboolean
repeats_start (Timeouts *self, const TimedFlow *t)
{
  guint i = t->hash % RECENT_FLOWS;
  guint8 tag = timeout_tag (t->hash);
  RecentFlow *r = &self->recent[i];
  gboolean same = self->tag[i] == tag && r->hash == t->hash;
  gboolean repeats = same && t->start_ns == r->start_ns && t->end_ns > r->end_ns;

  if (repeats)
    self->repeats++;
  else if (same && t->start_ns >= r->end_ns && t->start_ns - r->end_ns < CONTINUES_NS
           && r->end_ns - r->start_ns > CONTINUES_NS)
    self->anew++;
  /* short flows were not cut: they leave their place to those that were */
  if (same || t->end_ns - t->start_ns > CONTINUES_NS) {
    self->tag[i] = tag;
    *r = (RecentFlow){ .hash = t->hash, .start_ns = t->start_ns, .end_ns = t->end_ns };
  }
  return repeats;
}

gboolean
timeout_add (Timeouts *self, const Record *record, const TimedFlow *timed)
{
  gboolean closed = record->proto == TCP_PROTO && (record->tcp_flags & TCP_FIN_RST) != 0;
  gboolean single = record->single && timed->start_ns == timed->end_ns && !closed;
  gboolean repeats = repeats_start (self, timed);

  if (record->end_reason != OWD_END_UNKNOWN) {
    if (self->reasons++ == 0) {
      edge_clear (&self->idle);
      edge_clear (&self->active);
      edge_clear (&self->length);
    }
    single = record->end_reason == OWD_END_IDLE;
    if (!single && record->end_reason != OWD_END_ACTIVE)
      return FALSE;
  } else if (self->reasons > 0) {
    return FALSE;
  }
  if (single) {
    edge_add (&self->idle, timed->ages.end_ns);
  } else if (!repeats && !record->single) {
    edge_add (&self->active, timed->ages.start_ns);
    edge_add (&self->length, timed->end_ns - timed->start_ns);
  }
  return single;
}

gint64
timeout_idle_edge_ns (const Timeouts *self)
{
  guint32 count;
  int window = self->idle.n >= IDLE_FIRST ? sharpest (&self->idle, 0, &count) : -1;

  return window >= 0 ? foot (&self->idle, (guint) window) * EDGE_BIN_NS : 0;
}

void
timeout_merge (Timeouts *self, const Timeouts *other)
{
  edge_merge (&self->idle, &other->idle);
  edge_merge (&self->active, &other->active);
  edge_merge (&self->length, &other->length);
  self->reasons += other->reasons;
  self->repeats += other->repeats;
  self->anew += other->anew;
}

/* Flows that were cut lasted up to this; 0: there are too few of them. */
static double
longest_s (const EdgeHist *length)
{
  guint32 count;
  int window = sharpest (length, LENGTH_FROM, &count);
  guint peak = (guint) MAX (window, 0), top;

  if (window < 0)
    return 0;
  for (guint i = peak; i < MIN ((guint) window + WINDOW, EDGE_BINS); i++)
    if (length->bin[i] > length->bin[peak])
      peak = i;
  for (top = peak; top + 1 < EDGE_BINS && length->bin[top + 1] > EDGE_SHARE * length->bin[peak]; top++)
    ;
  return (top + 1) * BIN_S;
}

/* Corrects by an offset that is known to OFFSET_BLUR_S. */
static void
move (OwdEstimate *e, double by_s)
{
  e->value -= by_s;
  e->lo -= by_s + OFFSET_BLUR_S;
  e->hi -= by_s - OFFSET_BLUR_S;
}

static void
forget (OwdEstimate *e)
{
  e->known = FALSE;
  e->value = NAN;
  e->why = "no flow was cut, which could show that stamps and headers have one clock";
}

/* Holds ages against lengths. */
static void
compare_clocks (const Timeouts *self, double slack_s, TimeoutSummary *s)
{
  double longest = s->active_s.known ? longest_s (&self->length) : 0;
  double offset_s = s->active_s.known ? s->active_s.value - BIN_S / 2 - longest : 0;

  if (longest == 0) {
    s->offset_s = estimate_unknown ("no flow was cut, which could show it", self->length.n);
    if (s->active_s.known)
      forget (&s->active_s);
    if (s->inactive_s.known)
      forget (&s->inactive_s);
    return;
  }
  s->offset_s = estimate_bound (offset_s, offset_s - OFFSET_ERROR_S - slack_s, offset_s + OFFSET_ERROR_S + slack_s,
                                s->active_s.n);
  if (s->offset_s.lo <= 0 && 0 <= s->offset_s.hi) {
    s->offset_s.known = FALSE;
    s->offset_s.value = NAN;
    s->offset_s.why = "none that is larger than its range";
  }
  move (&s->active_s, offset_s);
  if (s->inactive_s.known)
    move (&s->inactive_s, offset_s);
}

void
timeout_summary (const Timeouts *self, gint64 slack_ns, gboolean shared, TimeoutSummary *ret)
{
  OwdEstimate idle = edge_estimate (&self->idle, 0, slack_ns,
                                    "records do not leave at one age after their last packet: full cache, or timers "
                                    "that differ");
  guint from = 0;

  /* Short flows that ended by silence have nearly the inactive timeout as age of their start. */
  if (self->reasons == 0 && idle.known)
    from = (guint) ((idle.value + BESIDE_S) / BIN_S);
  ret->inactive_s = idle;
  if (self->reasons == 0 && !idle.known)
    ret->active_s
        = estimate_unknown ("cannot be told from other ends of flows without the inactive timeout", self->active.n);
  else
    ret->active_s = edge_estimate (&self->active, from, slack_ns, "no flow lasted long enough to be cut");
  ret->repeats = self->repeats + self->anew >= 8
                     ? estimate_share_bound (self->repeats, self->repeats + self->anew)
                     : estimate_unknown ("too few flows were cut", self->repeats + self->anew);
  if (shared)
    ret->offset_s = estimate_unknown ("stamps count from the header's own uptime", 0);
  else
    compare_clocks (self, (double) slack_ns / (double) OWD_NS_PER_S, ret);
}
