/* SPDX-License-Identifier: Apache-2.0
 *
 * See fates.h. Constant memory and time per packet.
 */
#include "fates.h"

#include <math.h>

/* ---- at the reflector -------------------------------------------------------------------------- */

static guint64 *
word_of (OwdProbeArrivalLog *self, guint32 seq)
{
  return &self->seen[seq % OWD_PROBE_ARRIVALS_WINDOW / 64];
}

static gboolean
is_seen (OwdProbeArrivalLog *self, guint32 seq)
{
  return (*word_of (self, seq) >> seq % 64 & 1) != 0;
}

static void
set_seen (OwdProbeArrivalLog *self, guint32 seq)
{
  *word_of (self, seq) |= G_GUINT64_CONSTANT (1) << seq % 64;
}

/* What falls out of the window makes room for the numbers up to `seq`. */
static void
raise_highest (OwdProbeArrivalLog *self, guint32 seq)
{
  guint32 ahead = seq - self->sums.highest;

  if (ahead >= OWD_PROBE_ARRIVALS_WINDOW)
    memset (self->seen, 0, sizeof self->seen);
  else
    for (guint32 k = 1; k <= ahead; k++)
      *word_of (self, self->sums.highest + k) &= ~(G_GUINT64_CONSTANT (1) << (self->sums.highest + k) % 64);
  self->sums.highest = seq;
}

void
owd_probe_arrivals_ask (OwdProbeArrivalLog *self, const OwdProbeArrivals *asked, guint32 life)
{
  if (self->open && self->sums.run == asked->run)
    return;
  *self = (OwdProbeArrivalLog){ .open = TRUE, .sums = { .run = asked->run, .life = life, .first = asked->first } };
}

void
owd_probe_arrivals_note (OwdProbeArrivalLog *self, guint32 seq)
{
  OwdProbeArrivals *sums = &self->sums;
  gint32 ahead = (gint32) (seq - sums->highest);

  if (!self->open || (gint32) (seq - sums->first) < 0)
    return;
  if (sums->arrived == 0)
    sums->highest = seq;
  else if (ahead > 0)
    raise_highest (self, seq);
  else if (ahead <= -OWD_PROBE_ARRIVALS_WINDOW) {
    sums->unsure++;
    return;
  } else if (is_seen (self, seq)) {
    sums->copies++;
    return;
  } else {
    sums->reordered++;
  }
  set_seen (self, seq);
  sums->arrived++;
}

/* ---- at the sender: what the reports tell ------------------------------------------------------ */

/* Packets of which the reflector has told, since it can tell. */
static guint64
total (const OwdProbeArrivals *a)
{
  return (guint64) a->arrived + a->copies + a->unsure;
}

static gboolean
is_sound (const OwdProbeArrivals *a, guint32 next)
{
  if (a->arrived == 0)
    return a->copies == 0 && a->reordered == 0 && a->unsure == 0;
  return (gint32) (a->highest - a->first) >= 0 && (gint32) (next - a->highest) > 0
         && a->arrived - 1 <= a->highest - a->first && a->reordered < a->arrived;
}

static gboolean
is_known (const OwdProbeLife *life)
{
  return life->used && life->begun && life->known.used;
}

static void
add_life (const OwdProbeLife *life, OwdProbeFates *fates)
{
  const OwdProbeArrivals *a = &life->known.sums;
  guint64 left = life->left - MIN (life->left, life->left_before);
  guint64 missing = left - MIN (left, a->arrived);
  guint64 doubtful = a->unsure + life->close + life->known.query.behind;

  fates->lost += life->lost - MIN (life->lost, life->lost_before);
  fates->up_lo += missing - MIN (missing, doubtful);
  fates->up_hi += missing;
  fates->copies += a->copies;
  fates->reordered += a->reordered;
}

/* The reflector has begun anew: the life before last is over for good. */
static OwdProbeLife *
begin_life (OwdProbeLedger *self, const OwdProbeArrivals *report)
{
  if (is_known (&self->life[1])) {
    add_life (&self->life[1], &self->past);
    self->told = TRUE;
  }
  self->life[1] = self->life[0];
  self->life[0] = (OwdProbeLife){ .used = TRUE, .life = report->life, .first = report->first };
  return &self->life[0];
}

static void
offer (OwdProbeLife *life, const OwdProbeReport *report)
{
  const OwdProbeReport *newest = &life->newest;

  if (newest->used
      && ((gint32) (report->through - newest->through) <= 0 || total (&report->sums) < total (&newest->sums)))
    return;
  life->newest = *report;
  if (!life->waiting.used)
    life->waiting = *report;
}

OwdProbeReportVerdict
owd_probe_ledger_report (OwdProbeLedger *self, const OwdProbeArrivals *sums, const OwdProbeQuery *query, guint32 unsent,
                         guint32 next)
{
  OwdProbeReport report = { .used = TRUE, .through = query->number, .query = *query, .sums = *sums };
  OwdProbeLife *life = NULL;

  if (!is_sound (sums, next))
    return OWD_PROBE_REPORT_NONSENSE;
  if (sums->arrived > 0 && (gint32) (sums->highest - query->number) > 0)
    report.through = sums->highest;
  for (guint i = 0; i < G_N_ELEMENTS (self->life); i++)
    if (self->life[i].used && self->life[i].life == sums->life && self->life[i].first == sums->first)
      life = &self->life[i];
  if (life == NULL && (gint32) (sums->first - unsent) < 0)
    return OWD_PROBE_REPORT_NEW_LIFE;
  offer (life != NULL ? life : begin_life (self, sums), &report);
  return OWD_PROBE_REPORT_TAKEN;
}

void
owd_probe_ledger_answered (OwdProbeLedger *self, guint32 seq, guint32 peer_seq, OwdTime t2)
{
  for (guint i = 0; i < G_N_ELEMENTS (self->life); i++) {
    OwdProbeReport *reports[] = { &self->life[i].waiting, &self->life[i].newest, &self->life[i].known };

    for (guint k = 0; k < G_N_ELEMENTS (reports); k++) {
      OwdProbeReport *r = reports[k];

      if (r->used && (gint32) (seq - r->through) < 0
          && ((gint32) (peer_seq - r->query.peer_seq) > 0 || t2 > r->query.t2))
        r->query.behind++;
    }
  }
}

gboolean
owd_probe_ledger_wants (const OwdProbeLedger *self, guint32 seq)
{
  for (guint i = 0; i < G_N_ELEMENTS (self->life); i++) {
    const OwdProbeLife *life = &self->life[i];

    if (!life->used)
      continue;
    if ((!life->begun && (gint32) (seq - life->first) >= 0) || (life->waiting.used && seq == life->waiting.through))
      return TRUE;
  }
  return FALSE;
}

static void
settle_report (OwdProbeLife *life, const OwdProbeSettled *settled)
{
  life->known = life->waiting;
  life->left = settled->left_before + settled->left;
  life->lost = settled->lost_before + settled->lost;
  life->close = settled->close;
  life->waiting = life->newest;
  life->waiting.used = life->newest.through != life->known.through;
}

void
owd_probe_ledger_settled (OwdProbeLedger *self, guint32 seq, const OwdProbeSettled *settled)
{
  for (guint i = 0; i < G_N_ELEMENTS (self->life); i++) {
    OwdProbeLife *life = &self->life[i];

    if (!life->used)
      continue;
    if (!life->begun && (gint32) (seq - life->first) >= 0) {
      life->begun = TRUE;
      life->left_before = settled->left_before;
      life->lost_before = settled->lost_before;
    }
    if (life->waiting.used && seq == life->waiting.through)
      settle_report (life, settled);
  }
}

gboolean
owd_probe_ledger_fates (const OwdProbeLedger *self, guint64 unstamped, OwdProbeFates *ret)
{
  gboolean told = self->told;

  *ret = self->past;
  for (guint i = 0; i < G_N_ELEMENTS (self->life); i++)
    if (is_known (&self->life[i])) {
      add_life (&self->life[i], ret);
      told = TRUE;
    }
  ret->up_hi = MIN (ret->up_hi + unstamped, ret->lost);
  ret->up_lo = MIN (ret->up_lo, ret->up_hi);
  return told;
}

/* ---- at the sender: when to ask ---------------------------------------------------------------- */

#define GAP_MIN_NS (20 * OWD_NS_PER_MS) /* between the queries of opening and closing, doubled up to */
#define GAP_MAX_NS (100 * OWD_NS_PER_MS)
#define OPENING_NS OWD_NS_PER_S        /* nobody waits longer for a silent reflector */
#define EVERY_NS (250 * OWD_NS_PER_MS) /* while measuring, at most so often */
enum {
  EVERY = 32, /* and only after so many packets */
  AHEAD = 64, /* a round trip's worth of packets, at the first try */
  AHEAD_MAX = 1 << 16,
  UNHEARD = 8, /* who answers everything but so many queries within the timeout will answer none */
};

void
owd_probe_asker_init (OwdProbeAsker *self, guint32 run, gint64 timeout_ns)
{
  *self = (OwdProbeAsker){
    .phase = OWD_PROBE_ASKING_OPENING, .run = run, .timeout_ns = timeout_ns, .ahead = AHEAD, .gap_ns = GAP_MIN_NS
  };
}

static void
enter_phase (OwdProbeAsker *self, OwdProbeAskingPhase phase)
{
  self->phase = phase;
  self->next = 0;
  self->gap_ns = GAP_MIN_NS;
}

static void
begin_phase (OwdProbeAsker *self, OwdTime now, guint32 next)
{
  gboolean opening = self->phase == OWD_PROBE_ASKING_OPENING;

  self->next = self->phase == OWD_PROBE_ASKING_MEASURING ? now + EVERY_NS : now;
  self->give_up = now + (opening ? OPENING_NS : MAX (self->timeout_ns, OPENING_NS));
  self->closing = next;
  if (opening)
    self->first = next + 1;
}

/* Has the phase lasted long enough? */
static gboolean
is_over (OwdProbeAsker *self, OwdTime now)
{
  switch (self->phase) {
  case OWD_PROBE_ASKING_OFF:
    return TRUE;
  case OWD_PROBE_ASKING_OPENING:
    if (now >= self->give_up)
      enter_phase (self, OWD_PROBE_ASKING_MEASURING);
    break;
  case OWD_PROBE_ASKING_MEASURING:
    if (!self->heard && self->unheard >= UNHEARD && now - self->deaf >= self->timeout_ns)
      self->phase = OWD_PROBE_ASKING_OFF;
    break;
  case OWD_PROBE_ASKING_CLOSING:
    if (now >= self->give_up)
      self->phase = OWD_PROBE_ASKING_OFF;
    break;
  }
  return self->next == 0 || self->phase == OWD_PROBE_ASKING_OFF;
}

gboolean
owd_probe_asker_due (OwdProbeAsker *self, OwdTime now, const OwdProbeAskerView *view)
{
  gboolean measuring = self->phase == OWD_PROBE_ASKING_MEASURING;

  if (self->next == 0 && self->phase != OWD_PROBE_ASKING_OFF)
    begin_phase (self, now, view->next);
  if (is_over (self, now) || now < self->next || (measuring && view->measured - self->measured < EVERY))
    return FALSE;
  self->next = now + (measuring ? EVERY_NS : self->gap_ns);
  self->gap_ns = MIN (2 * self->gap_ns, GAP_MAX_NS);
  if (!self->open && (gint32) (view->unsent - self->first) > 0) {
    self->run++;
    self->first = view->next + self->ahead;
    self->ahead = MIN (2 * self->ahead, (guint32) AHEAD_MAX);
  }
  if (view->answered > self->answered && self->unheard++ == 0)
    self->deaf = now;
  self->measured = view->measured;
  self->answered = view->answered;
  return TRUE;
}

void
owd_probe_asker_refused (OwdProbeAsker *self)
{
  self->phase = OWD_PROBE_ASKING_OFF;
}

void
owd_probe_asker_reported (OwdProbeAsker *self, guint32 query, OwdProbeReportVerdict verdict)
{
  gboolean taken = verdict == OWD_PROBE_REPORT_TAKEN;

  self->heard = TRUE;
  if (verdict == OWD_PROBE_REPORT_NONSENSE)
    return;
  self->open = taken;
  if (self->phase == OWD_PROBE_ASKING_CLOSING) {
    if (!taken || (gint32) (query - self->closing) >= 0)
      self->phase = OWD_PROBE_ASKING_OFF;
  } else if (taken) {
    if (self->phase == OWD_PROBE_ASKING_OPENING)
      enter_phase (self, OWD_PROBE_ASKING_MEASURING);
  } else if (self->phase == OWD_PROBE_ASKING_MEASURING) { /* another log is wanted at once */
    self->next = 1;
    self->measured -= MIN (self->measured, EVERY);
  }
}

void
owd_probe_asker_close (OwdProbeAsker *self)
{
  if (self->phase == OWD_PROBE_ASKING_OFF || !self->open)
    self->phase = OWD_PROBE_ASKING_OFF;
  else if (self->phase != OWD_PROBE_ASKING_CLOSING)
    enter_phase (self, OWD_PROBE_ASKING_CLOSING);
}

/* ---- without reports --------------------------------------------------------------------------- */

/* Chernoff's exponent: how unlikely it is that of seen + hidden replies, each lost with probability q, only `seen`
 * came. Grows with hidden beyond what is expected. */
static double
unlikely (double seen, double hidden, double q)
{
  double n = seen + hidden;

  return seen * log (seen / (n * (1 - q))) + hidden * log (hidden / (n * q));
}

guint64
owd_probe_hidden (guint64 seen, double q, guint64 most)
{
  const double limit = log (1000);
  guint64 lo, hi = most;

  if (seen == 0 || q <= 0 || most == 0)
    return 0;
  if (q >= 1)
    return most;
  lo = (guint64) ceil (MIN ((double) seen * q / (1 - q), (double) most)); /* expected */
  while (lo < hi) {
    guint64 mid = hi - (hi - lo) / 2;

    if (unlikely ((double) seen, (double) mid, q) <= limit)
      lo = mid;
    else
      hi = mid - 1;
  }
  return lo;
}
