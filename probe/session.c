/* SPDX-License-Identifier: Apache-2.0
 *
 * The sender's bookkeeping of one target, in constant memory.
 *
 * Two rings hold what is still open; everything older has been folded into counters and histograms.
 *
 *   slots   by our sequence number: stamps and fate of each packet. Settled in order, when its reply is there or the
 *           timeout has passed. A slot keeps its content until it is used again, so late replies and duplicates are
 *           still recognised a window later, and IPDV finds the neighbour.
 *   marks   by the reflector's sequence number: which of its replies came, and which packet each answered. Settled in
 *           order, too, as soon as the packet is. Between two marks that came, a gap in the reflector's numbers is
 *           replies lost on the way down, as far as packets of ours are missing there; what else is missing was lost
 *           on the way up, and what is left of the gap were copies. An inversion of our numbers is reordering on the
 *           way up. That is a guess where copies are lost, too; fates.h has what reflectors of our own report. Queries
 *           for that have numbers, slots and marks like the packets that measure, and count as nothing else.
 *
 * A stateless reflector copies our number, and then the second ring means nothing. A protocol field that tells the two
 * apart does not exist. So one number is left out at the beginning (PEER_AUTO): who counts does not leave it out.
 *
 * A reply is believed only if it brings back the stamp that went out with its number: that refuses echoes, strays and
 * off-path forgeries, and finds the reflectors that swap T1 and T3.
 *
 * Sums: lost = lost_up + lost_down + lost_unknown. Packets before the first and after the last answered one stay
 * unknown: nothing tells where they were lost. So do late ones, and those that may have been lost on either way.
 */
#include "fates.h"

#include <math.h>

enum {
  SLOT_EMPTY,
  SLOT_SENT,
  SLOT_HELD,     /* answered; its follow-up is still to come */
  SLOT_ANSWERED, /* its sample has been delivered */
  SLOT_LOST,     /* given up */
  SLOT_LATE,     /* given up, and then its reply came */
};

typedef struct {
  guint64 wire; /* T1 as sent */
  OwdTime t1, t2, t3, t4;
  gint64 peer_error_ns, own_error_ns;
  OwdTime due; /* steady clock */
  /* once it is settled: packets before it that left, and that were given up; and whether it did, and was */
  guint64 left_before, given_up_before;
  gint64 rtt, up, down; /* OWD_TIME_NONE where there is none */
  guint32 seq, peer_seq, flags;
  gint16 ttl_there, ttl_here, tos_here, dscp_there;
  guint8 state;
  gboolean query;
  gboolean left; /* the kernel has stamped its departure */
  gboolean counted_left, counted_lost;
} Slot;

typedef struct {
  guint32 peer_seq, seq;
  gboolean seen; /* and not settled yet */
  gboolean came; /* kept until the mark is used again */
} Mark;

typedef enum {
  MARK_NEW,
  MARK_AGAIN, /* this very reply has come before */
  MARK_OLD,   /* its number is settled already: if it had not come, as lost on the way down */
} MarkResult;

/* How to read the low half of a stamp that has the seconds of NTP, though Z says PTP: reflectors copy Z and stamp in
 * NTP, and others put nanoseconds behind seconds since 1900. */
enum { FRACTION, NANOSECONDS, READINGS };

typedef struct {
  gint64 lo, hi; /* the reflector's clock minus ours, as far as causality tells by this reading */
  gboolean refuted;
} Reading;

struct OwdProbeSession {
  OwdProbeSessionConfig cfg;
  OwdProbeSampleSink sink;
  gpointer user;
  guint32 mask;
  Slot *slots;
  guint32 next, first; /* next to be sent, first not settled */
  guint32 unsent;      /* one past the last that was no query */
  gint64 left_out;     /* the number that is never sent; -1: none */
  Mark *marks;
  gboolean marking; /* at least one reply in this life of the reflector */
  gboolean mark_settled;
  guint32 mark_first, mark_next; /* settled below; one past the highest seen */
  guint32 mark_seen;             /* no mark between mark_first and here has come */
  guint32 gap;                   /* replies missing since the highest settled mark */
  gboolean has_down; /* a reply that was none to a query has come: down_high is the highest of their numbers */
  guint32 down_high;
  gboolean has_high;   /* a mark has been settled: high_seq is the highest of our numbers among them */
  gboolean high_known; /* its packet was settled, so high_given_up holds */
  guint32 high_seq;
  guint64 high_given_up; /* packets given up before it */
  guint64 excused;       /* given up since, and then late: both ways are open */
  guint64 settled_left, given_up;
  guint64 revived; /* given up as not left, and then answered */
  OwdProbeLedger ledger;
  OwdProbeAsker asker;
  guint64 differs, same_after_gap; /* evidence about the reflector's way to count */
  Reading readings[READINGS];
  OwdTime read_at; /* the last disputed stamps that were learnt from; 0: none */
  gboolean any_answer;
  guint32 highest;               /* of our numbers answered so far */
  guint64 missing, gaps, paired; /* our numbers, the reflector's, and as many as go together gap by gap */
  guint64 came;                  /* of the reflector's, different ones */
  guint64 up_inversions, down_inversions, up_copies, down_copies;
  OwdProbeSummary sum;
  OwdProbeHistogram *rtt, *up, *down, *ipdv_rtt, *ipdv_up, *ipdv_down, *peer_time, *schedule;
};

OwdProbeSession *
owd_probe_session_new (const OwdProbeSessionConfig *cfg, OwdProbeSampleSink sink, gpointer user)
{
  OwdProbeSession *self = g_new0 (OwdProbeSession, 1);
  guint n = 16;

  while (n < cfg->window && n < 1u << 20)
    n *= 2;
  self->cfg = *cfg;
  self->sink = sink;
  self->user = user;
  self->mask = n - 1;
  self->slots = g_new0 (Slot, n);
  self->marks = g_new0 (Mark, n);
  for (guint i = 0; i < n; i++)
    self->marks[i].peer_seq = i + 1; /* a number that has its place elsewhere */
  self->left_out = cfg->peer == OWD_PROBE_PEER_AUTO ? 1 : -1;
  if (cfg->reports)
    owd_probe_asker_init (&self->asker, cfg->run, cfg->timeout_ns);
  self->rtt = owd_probe_histogram_new (FALSE);
  self->up = owd_probe_histogram_new (TRUE);
  self->down = owd_probe_histogram_new (TRUE);
  self->ipdv_rtt = owd_probe_histogram_new (FALSE);
  self->ipdv_up = owd_probe_histogram_new (FALSE);
  self->ipdv_down = owd_probe_histogram_new (FALSE);
  self->peer_time = owd_probe_histogram_new (FALSE);
  self->schedule = owd_probe_histogram_new (FALSE);
  self->sum.hops_up_min = self->sum.hops_up_max = self->sum.hops_down_min = self->sum.hops_down_max = -1;
  self->sum.own_error_ns = self->sum.peer_error_ns = -1;
  self->sum.first_rtt_ns = OWD_TIME_NONE;
  self->sum.offset_lo_ns = self->sum.offset_hi_ns = OWD_TIME_NONE;
  return self;
}

void
owd_probe_session_free (OwdProbeSession *self)
{
  if (self == NULL)
    return;
  owd_probe_histogram_free (self->rtt);
  owd_probe_histogram_free (self->up);
  owd_probe_histogram_free (self->down);
  owd_probe_histogram_free (self->ipdv_rtt);
  owd_probe_histogram_free (self->ipdv_up);
  owd_probe_histogram_free (self->ipdv_down);
  owd_probe_histogram_free (self->peer_time);
  owd_probe_histogram_free (self->schedule);
  g_free (self->slots);
  g_free (self->marks);
  g_free (self);
}

static Slot *
slot_of (const OwdProbeSession *self, guint32 seq)
{
  Slot *slot = &self->slots[seq & self->mask];

  return slot->state != SLOT_EMPTY && slot->seq == seq ? slot : NULL;
}

/* ---- samples ----------------------------------------------------------------------------------- */

/* Senders start at 255, 128 or 64: the nearest above. */
static gint
hops_of (gint ttl)
{
  if (ttl < 0)
    return -1;
  return (ttl > 128 ? 255 : ttl > 64 ? 128 : 64) - ttl;
}

static void
widen (gint hops, gint *min, gint *max)
{
  if (hops < 0)
    return;
  *min = *min < 0 ? hops : MIN (*min, hops);
  *max = MAX (*max, hops);
}

/* Where the truth may lie: within both stated errors of the measured value, not below zero, not above the round trip.
 */
static void
bound (gint64 owd, gint64 rtt, const Slot *slot, gint64 *ret_lo, gint64 *ret_hi, guint32 *flags)
{
  gint64 error = slot->own_error_ns + slot->peer_error_ns;

  *ret_lo = 0;
  *ret_hi = MAX (rtt, 0);
  if (slot->own_error_ns < 0 || slot->peer_error_ns < 0)
    return;
  if (owd + error < 0 || owd - error > *ret_hi) {
    /* clocks that break causality by more than they admit: say so and let the arithmetic stand */
    *flags |= OWD_PROBE_CLOCK;
    *ret_lo = owd - error;
    *ret_hi = owd + error;
    return;
  }
  *ret_lo = MAX (*ret_lo, owd - error);
  *ret_hi = MIN (*ret_hi, owd + error);
}

static void
delays (Slot *s)
{
  gint64 there = 0;

  s->rtt = s->up = s->down = OWD_TIME_NONE;
  if (s->t2 != OWD_TIME_NONE && s->t3 != OWD_TIME_NONE) {
    s->up = s->t2 - s->t1;
    s->down = s->t4 - s->t3;
    there = MAX (s->t3 - s->t2, 0);
  }
  s->rtt = s->t4 - s->t1 - there;
}

static void
add_ipdv (OwdProbeSession *self, const Slot *a, const Slot *b)
{
  if (a == NULL || b == NULL || a->query || b->query || a->state != SLOT_ANSWERED || b->state != SLOT_ANSWERED
      || ((a->flags | b->flags) & OWD_PROBE_FIRST) != 0)
    return;
  owd_probe_histogram_add (self->ipdv_rtt, ABS (b->rtt - a->rtt));
  if (a->up == OWD_TIME_NONE || b->up == OWD_TIME_NONE)
    return;
  owd_probe_histogram_add (self->ipdv_up, ABS (b->up - a->up));
  owd_probe_histogram_add (self->ipdv_down, ABS (b->down - a->down));
}

static void
add_offset (OwdProbeSession *self, const Slot *s)
{
  OwdProbeSummary *sum = &self->sum;

  sum->offset_hi_ns = sum->offset_hi_ns == OWD_TIME_NONE ? s->up : MIN (sum->offset_hi_ns, s->up);
  sum->offset_lo_ns = sum->offset_lo_ns == OWD_TIME_NONE ? -s->down : MAX (sum->offset_lo_ns, -s->down);
}

static void
count_marks_of (OwdProbeSession *self, const OwdProbeSample *m)
{
  OwdProbeSummary *sum = &self->sum;

  sum->flags |= m->flags;
  sum->dscp_up += (m->flags & OWD_PROBE_DSCP_UP) != 0;
  sum->dscp_down += (m->flags & OWD_PROBE_DSCP_DOWN) != 0;
  sum->ce_up += (m->flags & OWD_PROBE_CE_UP) != 0;
  sum->ce_down += (m->flags & OWD_PROBE_CE_DOWN) != 0;
  sum->clock_contradictions += (m->flags & OWD_PROBE_CLOCK) != 0;
  widen (m->hops_up, &sum->hops_up_min, &sum->hops_up_max);
  widen (m->hops_down, &sum->hops_down_min, &sum->hops_down_max);
}

static void
deliver (OwdProbeSession *self, Slot *s)
{
  OwdProbeSample m = {
    .seq = s->seq,
    .peer_seq = s->peer_seq,
    .t1 = s->t1,
    .t2 = s->t2,
    .t3 = s->t3,
    .t4 = s->t4,
    .rtt_ns = s->rtt,
    .up_ns = s->up,
    .down_ns = s->down,
    .up_lo_ns = OWD_TIME_NONE,
    .up_hi_ns = OWD_TIME_NONE,
    .down_lo_ns = OWD_TIME_NONE,
    .down_hi_ns = OWD_TIME_NONE,
    .hops_up = hops_of (s->ttl_there),
    .hops_down = hops_of (s->ttl_here),
    .dscp_up = s->dscp_there,
    .dscp_down = s->tos_here < 0 ? -1 : s->tos_here >> 2,
    .own_error_ns = s->own_error_ns,
    .peer_error_ns = s->peer_error_ns,
    .flags = s->flags,
  };

  if (self->cfg.kernel_tx && !s->left)
    m.flags |= OWD_PROBE_SOFT_T1;
  if (s->up != OWD_TIME_NONE) {
    bound (s->up, s->rtt, s, &m.up_lo_ns, &m.up_hi_ns, &m.flags);
    bound (s->down, s->rtt, s, &m.down_lo_ns, &m.down_hi_ns, &m.flags);
  }
  count_marks_of (self, &m);
  if (self->sink != NULL)
    self->sink (&m, self->user);
}

static void
add_delays (OwdProbeSession *self, const Slot *s)
{
  owd_probe_histogram_add (self->rtt, s->rtt);
  if (s->up != OWD_TIME_NONE) {
    owd_probe_histogram_add (self->up, s->up);
    owd_probe_histogram_add (self->down, s->down);
    owd_probe_histogram_add (self->peer_time, s->t3 - s->t2);
  }
  add_ipdv (self, slot_of (self, s->seq - 1), s);
  add_ipdv (self, s, slot_of (self, s->seq + 1));
}

/* The reply's numbers are final. */
static void
complete (OwdProbeSession *self, Slot *s)
{
  delays (s);
  s->state = SLOT_ANSWERED;
  if (s->up != OWD_TIME_NONE)
    add_offset (self, s);
  if ((s->flags & OWD_PROBE_FIRST) != 0)
    self->sum.first_rtt_ns = s->rtt;
  else
    add_delays (self, s);
  deliver (self, s);
}

static void
give_up (OwdProbeSession *self, Slot *s)
{
  gboolean left = s->left || !self->cfg.kernel_tx;

  s->state = SLOT_LOST;
  s->flags |= left ? OWD_PROBE_LOST : OWD_PROBE_NOT_LEFT;
  s->rtt = s->up = s->down = OWD_TIME_NONE;
  if (left) {
    self->sum.lost++;
    self->given_up++;
  } else {
    self->sum.not_left++;
  }
  deliver (self, s);
}

/* ---- the reflector's order --------------------------------------------------------------------- */

/* A mark that came: what is missing since the highest one before it was lost on one of the two ways. */
static void
attribute (OwdProbeSession *self, const Mark *m)
{
  const Slot *s = slot_of (self, m->seq);
  gboolean known = s != NULL && (gint32) (m->seq - self->first) < 0;
  guint64 missing;

  if (s != NULL && s->query)
    return;
  self->came++;
  if (self->has_high && (gint32) (m->seq - self->high_seq) < 0) {
    self->up_inversions++;
  } else {
    if (self->has_high && self->high_known && known) {
      missing = s->given_up_before - self->high_given_up;
      missing -= MIN (missing, self->excused);
      self->missing += missing;
      self->gaps += self->gap;
      self->paired += MIN (self->gap, missing);
    }
    self->has_high = TRUE;
    self->high_seq = m->seq;
    self->high_known = known;
    self->high_given_up = known ? s->given_up_before : 0;
    self->gap = 0;
    self->excused = 0;
  }
  self->excused += s != NULL && s->state == SLOT_LATE;
}

static void
settle_mark (OwdProbeSession *self)
{
  Mark *m = &self->marks[self->mark_first & self->mask];

  self->mark_settled = TRUE;
  if (m->seen && m->peer_seq == self->mark_first) {
    attribute (self, m);
  } else {
    self->gap++;
    *m = (Mark){ .peer_seq = self->mark_first };
  }
  m->seen = FALSE;
  self->mark_first++;
}

/* Settles marks up to the last one whose packet is settled. */
static void
settle_marks (OwdProbeSession *self)
{
  while (self->marking && self->mark_first != self->mark_next) {
    if ((gint32) (self->mark_seen - self->mark_first) < 0)
      self->mark_seen = self->mark_first;
    while (self->mark_seen != self->mark_next && !self->marks[self->mark_seen & self->mask].seen)
      self->mark_seen++;
    if (self->mark_seen == self->mark_next
        || (gint32) (self->marks[self->mark_seen & self->mask].seq - self->first) >= 0)
      return;
    while ((gint32) (self->mark_seen - self->mark_first) >= 0)
      settle_mark (self);
  }
}

static void
settle_all_marks (OwdProbeSession *self)
{
  while (self->marking && self->mark_first != self->mark_next)
    settle_mark (self);
  self->marking = self->mark_settled = self->has_high = self->has_down = FALSE;
  self->gap = 0;
}

/* A reply of this number has come, and was none to a query. */
static void
watch_order (OwdProbeSession *self, guint32 peer_seq)
{
  if (self->has_down && (gint32) (peer_seq - self->down_high) < 0) {
    self->down_inversions++;
    return;
  }
  self->has_down = TRUE;
  self->down_high = peer_seq;
}

/* A reply that has been settled as lost comes after all, to a packet that still waits for it. */
static void
take_back (OwdProbeSession *self)
{
  if (self->gap > 0) { /* not held against anything yet */
    self->gap--;
    return;
  }
  self->paired -= self->gaps > 0 && self->gaps == self->paired;
  self->gaps -= self->gaps > 0;
}

/* Notes the reply to s under the reflector's number. */
static MarkResult
mark (OwdProbeSession *self, guint32 peer_seq, const Slot *s)
{
  gboolean open = s->state == SLOT_SENT;
  guint32 seq = s->seq;
  Mark *m = &self->marks[peer_seq & self->mask];
  gint32 ahead = (gint32) (peer_seq - self->mark_next), behind = (gint32) (self->mark_first - peer_seq);

  if (self->marking) {
    gboolean taken = m->seen && m->peer_seq == peer_seq && behind <= 0;
    gboolean missed = !m->came && m->peer_seq == peer_seq;

    if (m->came && m->peer_seq == peer_seq && m->seq == seq)
      return MARK_AGAIN;
    if (behind > 0 && self->mark_settled && (!open || missed)) {
      if (missed) {
        m->came = TRUE;
        m->seq = seq;
        if (!s->query)
          watch_order (self, peer_seq);
        if (open)
          take_back (self);
      }
      return MARK_OLD;
    }
    /* the same number for another packet, an old number for a new one, or a jump wider than the window */
    if (taken || (behind > 0 && self->mark_settled) || MAX (ahead, behind) > (gint32) self->mask) {
      settle_all_marks (self);
      self->sum.peer_restarts++;
    }
  }
  if (!self->marking) {
    self->marking = TRUE;
    self->mark_first = self->mark_next = self->mark_seen = peer_seq;
    behind = 0;
  }
  if (behind > 0 && self->mark_next - peer_seq <= self->mask)
    self->mark_first = peer_seq;
  if ((gint32) (peer_seq - self->mark_next) >= 0) {
    self->mark_next = peer_seq + 1;
    while (self->mark_next - self->mark_first > self->mask)
      settle_mark (self);
  }
  if (!s->query)
    watch_order (self, peer_seq);
  if ((gint32) (peer_seq - self->mark_seen) < 0)
    self->mark_seen = peer_seq;
  *m = (Mark){ .peer_seq = peer_seq, .seq = seq, .seen = TRUE, .came = TRUE };
  return MARK_NEW;
}

/* ---- what the reflector reports ----------------------------------------------------------------- */

/* Packets given up that were sent before s by less than the timeout: they may still have been on their way when the
 * reflector spoke of s. */
static guint64
given_up_close_to (const OwdProbeSession *self, const Slot *s)
{
  guint64 before = s->given_up_before;
  guint32 near = 0, far = MIN (self->mask, s->seq); /* how many numbers back */

  while (near < far) {
    guint32 back = far - (far - near) / 2;
    const Slot *other = slot_of (self, s->seq - back);

    if (other == NULL || s->t1 - other->t1 >= self->cfg.timeout_ns) {
      far = back - 1;
      continue;
    }
    near = back;
    before = other->given_up_before;
  }
  return s->given_up_before - before;
}

/* Tells the ledger of packet seq where it waits for it. */
static void
enter (OwdProbeSession *self, guint32 seq)
{
  const Slot *s = slot_of (self, seq);
  OwdProbeSettled settled;

  if (s == NULL || (gint32) (seq - self->first) >= 0 || !owd_probe_ledger_wants (&self->ledger, seq))
    return;
  settled = (OwdProbeSettled){ .left_before = s->left_before,
                               .lost_before = s->given_up_before,
                               .left = s->counted_left,
                               .lost = s->counted_lost,
                               .close = given_up_close_to (self, s) };
  owd_probe_ledger_settled (&self->ledger, seq, &settled);
}

/* Packets sent before number `through` that the reflector answered after its reply peer_seq, and whose replies were
 * faster. */
static guint64
answered_behind (const OwdProbeSession *self, guint32 peer_seq, guint32 through)
{
  guint32 from = MAX ((gint32) (peer_seq + 1 - self->mark_next), -(gint32) self->mask) + self->mark_next;
  guint64 n = 0;

  for (guint32 k = from; (gint32) (self->mark_next - k) > 0; k++) {
    const Mark *m = &self->marks[k & self->mask];
    const Slot *s = m->came && m->peer_seq == k ? slot_of (self, m->seq) : NULL;

    n += s != NULL && !s->query && s->peer_seq == k && (gint32) (s->seq - through) < 0;
  }
  return n;
}

static void
take_report (OwdProbeSession *self, const Slot *query, guint32 peer_seq, OwdTime t2, const OwdProbeArrivals *report)
{
  OwdProbeQuery q = { .number = query->seq, .peer_seq = peer_seq, .t2 = t2 };
  OwdProbeReportVerdict verdict = OWD_PROBE_REPORT_NONSENSE;

  q.behind = answered_behind (self, peer_seq, MAX (query->seq, report->highest));
  if (report->run == self->asker.run)
    verdict = owd_probe_ledger_report (&self->ledger, report, &q, self->unsent, self->next);
  self->sum.reports += verdict == OWD_PROBE_REPORT_TAKEN;
  owd_probe_asker_reported (&self->asker, query->seq, verdict);
  enter (self, query->seq);
  enter (self, report->highest);
}

/* ---- settling --------------------------------------------------------------------------------- */

/* Folds packet `first` into the counters. force: whatever its state. Returns: FALSE while it is open. */
static gboolean
settle (OwdProbeSession *self, OwdTime now, gboolean force)
{
  Slot *s = slot_of (self, self->first);
  guint64 before = self->given_up;

  if (s != NULL)
    s->left_before = self->settled_left;
  if (s != NULL && s->state == SLOT_SENT && !s->query) {
    if (!force && now - s->t1 < self->cfg.timeout_ns)
      return FALSE;
    give_up (self, s);
  } else if (s != NULL && s->state == SLOT_HELD) {
    if (!force && now - s->t4 < self->cfg.timeout_ns)
      return FALSE;
    complete (self, s);
  }
  self->first++;
  if (s != NULL) {
    s->given_up_before = before;
    s->counted_lost = self->given_up > before;
    s->counted_left = !s->query && (s->flags & OWD_PROBE_NOT_LEFT) == 0;
    self->settled_left += s->counted_left;
    enter (self, s->seq);
  }
  settle_marks (self);
  return TRUE;
}

/* ---- sending ----------------------------------------------------------------------------------- */

/* Error of the time since the packet before; both departures are known. */
static void
add_gap (OwdProbeSession *self, const Slot *s)
{
  const Slot *before = slot_of (self, s->seq - 1);

  if (before != NULL && !before->query && !s->query && (before->left || !self->cfg.kernel_tx))
    owd_probe_histogram_add (self->schedule, ABS ((s->t1 - before->t1) - (s->due - before->due)));
}

guint32
owd_probe_session_next_seq (const OwdProbeSession *self)
{
  return self->next;
}

/* The slot of packet next_seq. */
static Slot *
take_slot (OwdProbeSession *self, OwdTime t1, guint64 wire)
{
  guint32 seq = self->next;
  Slot *s = &self->slots[seq & self->mask];

  while (seq - self->first > self->mask)
    settle (self, t1, TRUE);
  *s = (Slot){ .seq = seq,
               .state = SLOT_SENT,
               .wire = wire,
               .t1 = t1,
               .t2 = OWD_TIME_NONE,
               .t3 = OWD_TIME_NONE,
               .t4 = OWD_TIME_NONE,
               .peer_error_ns = -1,
               .own_error_ns = -1,
               .ttl_there = -1,
               .ttl_here = -1,
               .tos_here = -1,
               .dscp_there = -1 };
  self->next++;
  if (self->next == self->left_out)
    self->next++;
  return s;
}

void
owd_probe_session_sent (OwdProbeSession *self, OwdTime t1, guint64 wire, OwdTime due)
{
  Slot *s = take_slot (self, t1, wire);

  s->due = due;
  self->unsent = s->seq + 1;
  if (self->cfg.first_apart && self->sum.sent == 0)
    s->flags = OWD_PROBE_FIRST;
  self->sum.sent++;
  if (!self->cfg.kernel_tx)
    add_gap (self, s);
}

gboolean
owd_probe_session_asks (OwdProbeSession *self, OwdTime now, guint32 *ret_run, guint32 *ret_first)
{
  const OwdProbeAskerView view
      = { .next = self->next, .unsent = self->unsent, .measured = self->sum.sent, .answered = self->sum.answered };

  if (!owd_probe_asker_due (&self->asker, now, &view))
    return FALSE;
  *ret_run = self->asker.run;
  *ret_first = self->asker.first;
  return TRUE;
}

void
owd_probe_session_asked (OwdProbeSession *self, OwdTime t1, guint64 wire)
{
  take_slot (self, t1, wire)->query = TRUE;
  self->sum.queries++;
}

gboolean
owd_probe_session_wants_report (const OwdProbeSession *self)
{
  return self->asker.phase == OWD_PROBE_ASKING_OPENING || self->asker.phase == OWD_PROBE_ASKING_CLOSING;
}

void
owd_probe_session_close (OwdProbeSession *self)
{
  owd_probe_asker_close (&self->asker);
}

void
owd_probe_session_not_sent (OwdProbeSession *self)
{
  self->sum.not_sent++;
}

void
owd_probe_session_left (OwdProbeSession *self, guint32 seq, OwdTime t1)
{
  Slot *s = slot_of (self, seq);

  /* a stamp from before the call, or from much later, belongs to another packet */
  if (s == NULL || s->left || t1 < s->t1 - OWD_NS_PER_MS || t1 > s->t1 + 10 * OWD_NS_PER_S)
    return;
  s->left = TRUE;
  if (s->state == SLOT_SENT) {
    s->t1 = t1;
    add_gap (self, s);
  }
}

/* ---- replies ----------------------------------------------------------------------------------- */

/* The packet that a reply answers, and T3 as it should be read; NULL where it answers none of ours. */
static Slot *
match (const OwdProbeSession *self, const OwdProbeReply *r, guint64 *ret_t3, guint32 *ret_flags)
{
  Slot *s = slot_of (self, r->sender_seq);

  *ret_t3 = r->t3;
  *ret_flags = 0;
  if (s != NULL && s->wire == r->sender_stamp)
    return s;
  if (s != NULL && s->wire == r->t3 && r->sender_stamp != 0) {
    *ret_t3 = r->sender_stamp;
    *ret_flags = OWD_PROBE_SWAPPED;
    return s;
  }
  s = slot_of (self, r->seq);
  if (s != NULL && s->wire == r->t3 && r->t2 == 0 && r->sender_stamp == 0) {
    *ret_flags = OWD_PROBE_ECHO;
    return s;
  }
  return NULL;
}

static gboolean
plausible (OwdTime t, OwdTime near)
{
  gint64 years_10 = 10 * 365 * 86400 * OWD_NS_PER_S;

  return t > near - years_10 && t < near + years_10;
}

/* The seconds of NTP under a Z bit that says PTP. */
static gboolean
is_disputed (guint64 wire, gboolean ptp, OwdTime near)
{
  return ptp && wire != 0 && !plausible (owd_probe_stamp_decode (wire, TRUE, near), near)
         && plausible (owd_probe_stamp_decode (wire, FALSE, near), near);
}

static OwdTime
read_as (guint64 wire, guint reading, OwdTime near)
{
  return reading == FRACTION ? owd_probe_stamp_decode (wire, FALSE, near)
                             : owd_probe_stamp_decode (wire - ((guint64) OWD_PROBE_NTP_TO_UNIX_S << 32), TRUE, near);
}

/* What a reply with disputed stamps tells of either reading. Causality says how far the clocks are apart, T3 - T4 to
 * T2 - T1, and by the right reading that holds still from reply to reply, up to drift. By the wrong one it moves by
 * 0.77 s within each second, and jumps back. */
static void
learn_reading (OwdProbeSession *self, guint64 t2, guint64 t3, OwdTime t1, OwdTime t4)
{
  gint64 slack = OWD_NS_PER_US + MAX (t4 - self->read_at, 0) / 1000;

  if (self->readings[FRACTION].refuted != self->readings[NANOSECONDS].refuted)
    return;
  for (guint k = 0; k < READINGS; k++) {
    Reading *reading = &self->readings[k];

    if (reading->refuted || self->read_at == 0) /* never so far, or both: a clock was set, and all begins anew */
      *reading = (Reading){ .lo = G_MININT64 / 4, .hi = G_MAXINT64 / 4 };
    reading->lo = MAX (reading->lo - slack, read_as (t3, k, t4) - t4);
    reading->hi = MIN (reading->hi + slack, read_as (t2, k, t4) - t1);
    reading->refuted = reading->lo > reading->hi;
  }
  if (MAX ((guint32) t2, (guint32) t3) >= OWD_NS_PER_S) { /* no count of nanoseconds, whatever clocks do */
    self->readings[NANOSECONDS].refuted = TRUE;
    self->readings[FRACTION].refuted = FALSE;
  }
  self->read_at = t4;
}

/* A peer's stamp in the format that its Z bit says, or in the other one where only that makes sense. Not known as long
 * as two make sense. */
static OwdTime
peer_time (const OwdProbeSession *self, guint64 wire, gboolean ptp, OwdTime near, guint32 *flags)
{
  const Reading *readings = self->readings;
  OwdTime said, other;

  if (wire == 0)
    return OWD_TIME_NONE;
  if (is_disputed (wire, ptp, near)) {
    *flags |= OWD_PROBE_FORMAT;
    if (readings[FRACTION].refuted == readings[NANOSECONDS].refuted)
      return OWD_TIME_NONE;
    return read_as (wire, readings[FRACTION].refuted ? NANOSECONDS : FRACTION, near);
  }
  said = owd_probe_stamp_decode (wire, ptp, near);
  if (plausible (said, near))
    return said;
  other = owd_probe_stamp_decode (wire, !ptp, near);
  if (!plausible (other, near))
    return said;
  *flags |= OWD_PROBE_FORMAT;
  return other;
}

/* Some reflectors put DSCP and ECN of both directions into a byte each, not in the layout of RFC 8972, 4.4, and leave
 * the first byte as it came, its last two bits zero. Read by the RFC their unchanged class looks remarked. So where the
 * other reading is just what was sent, nothing can be said. */
static gboolean
class_is_by_bytes (const OwdProbeSession *self, const OwdProbeReply *r)
{
  return r->dscp_seen != self->cfg.dscp && r->dscp_seen >> 4 == 0
         && ((r->dscp_seen & 15) << 2 | r->ecn_seen) == self->cfg.dscp;
}

static void
read_class (const OwdProbeSession *self, const OwdProbeReply *r, const OwdProbeArrival *a, Slot *s)
{
  s->ttl_there = (gint16) r->ttl;
  s->ttl_here = (gint16) a->ttl;
  s->tos_here = (gint16) a->tos;
  if ((r->got & OWD_PROBE_ASK_COS) != 0 && !class_is_by_bytes (self, r)) {
    s->dscp_there = r->dscp_seen;
    s->flags |= r->dscp_seen != self->cfg.dscp ? OWD_PROBE_DSCP_UP : 0;
    s->flags |= r->ecn_seen == 3 && self->cfg.ecn != 3 ? OWD_PROBE_CE_UP : 0;
    if (a->tos >= 0 && !r->dscp_refused)
      s->flags |= a->tos >> 2 != self->cfg.dscp ? OWD_PROBE_DSCP_DOWN : 0;
  }
  if (a->tos >= 0 && (a->tos & 3) == 3 && self->cfg.ecn != 3)
    s->flags |= OWD_PROBE_CE_DOWN;
}

static void
read_reply (OwdProbeSession *self, const OwdProbeReply *r, const OwdProbeArrival *a, guint64 t3, Slot *s)
{
  s->peer_seq = r->seq;
  s->t4 = a->t4;
  s->flags |= a->t4_soft ? OWD_PROBE_SOFT_T4 : 0;
  s->own_error_ns = a->own.error_ns;
  self->sum.own_error_ns = a->own.error_ns;
  if (self->cfg.trip_only) {
    s->ttl_here = (gint16) a->ttl;
    s->tos_here = (gint16) a->tos;
  }
  if (self->cfg.trip_only || (s->flags & OWD_PROBE_ECHO) != 0)
    return;
  s->t2 = peer_time (self, r->t2, r->error.ptp, a->t4, &s->flags);
  s->t3 = peer_time (self, t3, r->error.ptp, a->t4, &s->flags);
  s->peer_error_ns = self->sum.peer_error_ns = r->error.error_ns;
  s->flags |= r->error.error_ns < 0 ? OWD_PROBE_UNSTATED : 0;
  self->sum.own_unsynchronised |= !a->own.synchronised;
  self->sum.peer_unsynchronised |= !r->error.synchronised;
  s->flags |= !r->error.synchronised || !a->own.synchronised ? OWD_PROBE_UNSYNC : 0;
  read_class (self, r, a, s);
}

/* The true departure of an earlier reply has come. */
static void
follow_up (OwdProbeSession *self, const OwdProbeReply *r, OwdTime near)
{
  Mark *m = &self->marks[r->follow_seq & self->mask];
  Slot *s = m->seen && m->peer_seq == r->follow_seq ? slot_of (self, m->seq) : NULL;
  guint32 flags = 0;
  OwdTime t3;

  if (s == NULL || s->state != SLOT_HELD || s->peer_seq != r->follow_seq)
    return;
  t3 = peer_time (self, r->follow_t3, r->error.ptp, near, &flags);
  /* it cannot lie before the stamp that it refines, nor after the arrival here by more than the clocks differ */
  if (t3 != OWD_TIME_NONE && s->t3 != OWD_TIME_NONE && t3 >= s->t3 && t3 - s->t3 < OWD_NS_PER_S) {
    s->t3 = t3;
    s->flags |= OWD_PROBE_TRUE_T3;
  }
  complete (self, s);
}

static OwdStatus
again (OwdProbeSession *self, Slot *s, guint32 peer_seq, MarkResult marked)
{
  if (s->state == SLOT_LOST) {
    if ((s->flags & OWD_PROBE_NOT_LEFT) != 0) { /* it had left, after all */
      self->sum.not_left--;
      self->sum.lost++;
      self->revived++;
      s->flags ^= OWD_PROBE_NOT_LEFT | OWD_PROBE_LOST;
    }
    self->sum.late++;
    if (marked == MARK_OLD && self->paired > 0) { /* it was taken for a reply that had been lost */
      self->paired--;
      self->missing--;
      self->gaps--;
    }
    s->peer_seq = peer_seq;
    s->state = SLOT_LATE;
    return OWD_STATUS_LATE;
  }
  self->sum.duplicates++;
  if (marked == MARK_AGAIN || (marked == MARK_OLD && s->peer_seq == peer_seq))
    self->down_copies++;
  else
    self->up_copies++;
  return OWD_STATUS_DUPLICATE;
}

gboolean
owd_probe_session_expects (const OwdProbeSession *self, const OwdProbeReply *reply)
{
  guint64 t3;
  guint32 flags;

  return match (self, reply, &t3, &flags) != NULL;
}

static OwdStatus
query_answered (OwdProbeSession *self, Slot *s, const OwdProbeReply *r, OwdTime t4)
{
  gboolean first = s->state == SLOT_SENT;
  guint32 flags = 0;

  s->state = SLOT_ANSWERED;
  if ((r->got & OWD_PROBE_ASK_ARRIVALS) != 0)
    take_report (self, s, r->seq, peer_time (self, r->t2, r->error.ptp, t4, &flags), &r->arrivals);
  else
    owd_probe_asker_refused (&self->asker);
  return first ? OWD_STATUS_OK : OWD_STATUS_DUPLICATE;
}

OwdStatus
owd_probe_session_reply (OwdProbeSession *self, const OwdProbeReply *r, const OwdProbeArrival *a)
{
  guint64 t3;
  guint32 flags;
  Slot *s = match (self, r, &t3, &flags);
  MarkResult marked = MARK_NEW;
  guint32 ignored = 0;

  if (s == NULL) {
    self->sum.foreign++;
    return OWD_STATUS_MALFORMED;
  }
  if ((flags & OWD_PROBE_ECHO) == 0 && !self->cfg.trip_only) {
    marked = mark (self, r->seq, s);
    self->differs += r->seq != s->seq;
    self->same_after_gap += r->seq == s->seq && self->left_out >= 0 && s->seq > (guint32) self->left_out;
    if (is_disputed (r->t2, r->error.ptp, a->t4) && is_disputed (t3, r->error.ptp, a->t4))
      learn_reading (self, r->t2, t3, s->t1, a->t4);
  }
  if (s->query)
    return query_answered (self, s, r, a->t4);
  if (s->state == SLOT_SENT || s->state == SLOT_LOST)
    owd_probe_ledger_answered (&self->ledger, s->seq, r->seq, peer_time (self, r->t2, r->error.ptp, a->t4, &ignored));
  if (s->state != SLOT_SENT)
    return again (self, s, r->seq, marked);
  s->flags |= flags | r->flags;
  self->sum.answered++;
  if (self->any_answer && (gint32) (s->seq - self->highest) < 0) {
    self->sum.reordered++;
    s->flags |= OWD_PROBE_REORDERED;
  } else {
    self->any_answer = TRUE;
    self->highest = s->seq;
  }
  read_reply (self, r, a, t3, s);
  if (self->cfg.follow_up && s->t3 != OWD_TIME_NONE && (r->got & OWD_PROBE_ASK_FOLLOW_UP) != 0)
    s->state = SLOT_HELD;
  else
    complete (self, s);
  if ((r->got & OWD_PROBE_ASK_FOLLOW_UP) != 0 && r->follow_t3 != 0)
    follow_up (self, r, a->t4);
  return OWD_STATUS_OK;
}

void
owd_probe_session_advance (OwdProbeSession *self, OwdTime now)
{
  while (self->first != self->next && settle (self, now, FALSE))
    ;
}

gboolean
owd_probe_session_waiting (const OwdProbeSession *self)
{
  for (guint32 seq = self->first; seq != self->next; seq++) {
    const Slot *s = slot_of (self, seq);

    if (s != NULL && s->state == SLOT_SENT && !s->query)
      return TRUE;
  }
  return FALSE;
}

void
owd_probe_session_finish (OwdProbeSession *self)
{
  while (self->first != self->next)
    settle (self, G_MAXINT64, TRUE);
  settle_all_marks (self);
}

/* ---- summary ----------------------------------------------------------------------------------- */

static gint
verdict (const OwdProbeSession *self)
{
  if (self->sum.reports > 0) /* who keeps a log of a session counts */
    return 1;
  if (self->cfg.peer != OWD_PROBE_PEER_AUTO)
    return self->cfg.peer == OWD_PROBE_PEER_STATEFUL;
  if (self->differs > 0) /* a number that never moves, or jumps about, counts nothing */
    return self->sum.peer_restarts * 2 <= self->sum.answered ? 1 : -1;
  return self->same_after_gap > 0 ? 0 : -1;
}

/* Without reports. A number that the reflector used and that did not come here went to a packet of ours, or to a copy
 * of one. Where copies are seen, some are hidden: a reply taken for one to a lost packet was one to a copy. Where
 * overtaking is seen, some is hidden: a packet and its number are missing at different places. What may be either is
 * left open. */
static void
loss_by_marks (const OwdProbeSession *self, OwdProbeSummary *ret)
{
  guint64 numbers = self->came + self->gaps, loose = self->gaps - self->paired;
  double q = numbers > 0 ? (double) self->gaps / (double) numbers : 0;
  guint64 copies, overtaken;

  q += numbers > 0 ? 3 * sqrt (q * (1 - q) / (double) numbers) : 0;
  copies = owd_probe_hidden (self->up_copies + loose, q, self->paired);
  overtaken = owd_probe_hidden (self->up_inversions, q, MIN (loose, self->missing - self->paired));
  ret->lost_down = self->paired - copies;
  ret->lost_up = self->missing - self->paired - overtaken;
}

static void
tell_directions (const OwdProbeSession *self, OwdProbeSummary *ret)
{
  OwdProbeFates fates;

  ret->reordered_down = self->down_inversions;
  ret->duplicates_down = self->down_copies;
  if (owd_probe_ledger_fates (&self->ledger, self->sum.not_left + self->revived, &fates)) {
    guint64 down = fates.lost - fates.up_hi; /* who was answered too late is lost on neither way */

    ret->lost_up = fates.up_lo;
    ret->lost_down = down - MIN (down, self->sum.late);
    ret->reordered_up = fates.reordered;
    ret->duplicates_up = fates.copies;
  } else {
    loss_by_marks (self, ret);
    ret->reordered_up = self->up_inversions;
    ret->duplicates_up = self->up_copies;
  }
}

void
owd_probe_session_counts (const OwdProbeSession *self, OwdProbeSummary *ret)
{
  *ret = self->sum;
  ret->sent -= MIN (ret->sent, ret->not_left);
  ret->peer_stateful = verdict (self);
  ret->peer_reports = ret->reports > 0;
  if (ret->peer_stateful == 1)
    tell_directions (self, ret);
  else
    ret->peer_restarts = 0;
  ret->lost_unknown = ret->lost - ret->lost_up - ret->lost_down;
}

void
owd_probe_session_summary (const OwdProbeSession *self, OwdProbeSummary *ret)
{
  owd_probe_session_counts (self, ret);
  owd_probe_histogram_stats (self->rtt, &ret->rtt);
  owd_probe_histogram_stats (self->up, &ret->up);
  owd_probe_histogram_stats (self->down, &ret->down);
  owd_probe_histogram_stats (self->ipdv_rtt, &ret->ipdv_rtt);
  owd_probe_histogram_stats (self->ipdv_up, &ret->ipdv_up);
  owd_probe_histogram_stats (self->ipdv_down, &ret->ipdv_down);
  owd_probe_histogram_stats (self->peer_time, &ret->peer_time);
  owd_probe_histogram_stats (self->schedule, &ret->schedule);
}

gsize
owd_probe_session_memory (const OwdProbeSession *self)
{
  return sizeof *self + (self->mask + 1) * (sizeof (Slot) + sizeof (Mark));
}
