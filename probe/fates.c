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
owd_probe_arrivals_note (OwdProbeArrivalLog *self, guint32 seq)
{
  OwdProbeArrivals *sums = &self->sums;
  gint32 ahead = (gint32) (seq - sums->highest);

  if (sums->arrived == 0)
    sums->first = sums->highest = seq;
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
  if ((gint32) (seq - sums->first) < 0)
    sums->first = seq;
  set_seen (self, seq);
  sums->arrived++;
}

/* ---- at the sender ----------------------------------------------------------------------------- */

/* Packets of which the reflector has told, since it can tell. */
static guint64
total (const OwdProbeArrivals *a)
{
  return (guint64) a->arrived + a->copies + a->unsure;
}

static gboolean
is_sound (const OwdProbeArrivals *a, guint32 next)
{
  return a->arrived > 0 && (gint32) (a->highest - a->first) >= 0 && (gint32) (next - a->highest) > 0
         && a->arrived - 1 <= a->highest - a->first && a->reordered < a->arrived;
}

static gboolean
is_known (const OwdProbeLife *life)
{
  return life->used && life->begun && life->known.arrived > 0;
}

static void
add_life (const OwdProbeLife *life, OwdProbeFates *fates)
{
  const OwdProbeArrivals *a = &life->known;
  guint64 left = life->left - life->left_before;
  guint64 missing = left - MIN (left, a->arrived), doubtful = a->unsure + life->close;

  if (life->later)
    doubtful += life->opened ? life->lost_opening - MIN (life->lost_opening, life->lost_before) : missing;
  fates->lost += life->lost - life->lost_before;
  fates->up_lo += missing - MIN (missing, doubtful);
  fates->up_hi += missing;
  fates->copies += a->copies;
  fates->reordered += a->reordered;
}

/* Packets that were under way when the reflector began anew belong to the ranges of both lives: each is missing in one,
 * or in both where it was lost; few came to both. */
static void
mend_overlap (const OwdProbeLife *old, const OwdProbeLife *young, OwdProbeFates *fates)
{
  guint64 left = old->left - MIN (old->left, young->left_before);
  guint64 lost = old->lost - MIN (old->lost, young->lost_before);

  if (!is_known (old) || !is_known (young))
    return;
  fates->up_lo -= MIN (fates->up_lo, left);
  fates->lost -= MIN (fates->lost, lost);
}

/* The reflector has begun anew: the life before last is over for good. */
static void
begin_life (OwdProbeLedger *self, const OwdProbeArrivals *report)
{
  if (is_known (&self->life[1])) {
    add_life (&self->life[1], &self->past);
    mend_overlap (&self->life[1], &self->life[0], &self->past);
    self->told = TRUE;
  }
  self->life[1] = self->life[0];
  self->life[0] = (OwdProbeLife){ .used = TRUE, .report = *report, .later = self->life[1].used };
}

void
owd_probe_ledger_report (OwdProbeLedger *self, const OwdProbeArrivals *report, guint32 next)
{
  OwdProbeLife *life = NULL;

  if (!is_sound (report, next))
    return;
  for (guint i = 0; i < G_N_ELEMENTS (self->life); i++)
    if (self->life[i].used && self->life[i].report.life == report->life)
      life = &self->life[i];
  if (life == NULL)
    begin_life (self, report);
  else if (total (report) > total (&life->report)) {
    life->begun = life->begun && report->first == life->report.first;
    life->opened = life->opened && life->begun;
    life->report = *report;
  }
}

gboolean
owd_probe_ledger_wants (const OwdProbeLedger *self, guint32 seq)
{
  for (guint i = 0; i < G_N_ELEMENTS (self->life); i++) {
    const OwdProbeLife *life = &self->life[i];

    if (!life->used)
      continue;
    if (seq == life->report.first || seq == life->report.highest || (life->later && life->begun && !life->opened))
      return TRUE;
  }
  return FALSE;
}

void
owd_probe_ledger_settled (OwdProbeLedger *self, guint32 seq, const OwdProbeSettled *settled)
{
  for (guint i = 0; i < G_N_ELEMENTS (self->life); i++) {
    OwdProbeLife *life = &self->life[i];

    if (!life->used)
      continue;
    if (seq == life->report.first) {
      life->begun = TRUE;
      life->left_before = settled->left_before;
      life->lost_before = settled->lost_before;
      life->first_t1 = settled->t1;
    } else if (life->begun && !life->opened && settled->t1 - life->first_t1 > settled->spread_ns) {
      life->opened = TRUE;
      life->lost_opening = settled->lost_before;
    }
    if (seq == life->report.highest) {
      life->known = life->report;
      life->left = settled->left_before + settled->left;
      life->lost = settled->lost_before + settled->lost;
      life->close = settled->close;
    }
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
  mend_overlap (&self->life[1], &self->life[0], ret);
  ret->up_hi = MIN (ret->up_hi + unstamped, ret->lost);
  ret->up_lo = MIN (ret->up_lo, ret->up_hi);
  return told;
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
