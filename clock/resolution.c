/* SPDX-License-Identifier: Apache-2.0
 *
 * Step of a stamp field. The declared unit is not the resolution: millisecond elements move in steps of 1, 4, 10, 64,
 * 256, 1000 or 1024 ms on real devices.
 *
 * Idea: under a step q all stamps have one residue modulo q (its phase, not always 0). For every candidate q a majority
 * vote (Boyer and Moore) finds the leading residue, and the share of stamps that agree with it since it leads says
 * whether q is consistent. The largest consistent candidate is the step. Blunders only take a share of the votes: up to
 * a quarter of nonsense does no harm. With few stamps many candidates are consistent, and the answer is too large
 * rather than too small.
 *
 * Cost: OWD_STEP_CANDIDATES divisions per stamp used; after 128 stamps only every 64th is used.
 */
#include "owd-fit.h"

/* us, ascending */
static const guint32 CANDIDATE_US[OWD_STEP_CANDIDATES] = {
  1,     2,     5,      10,     20,     50,     100,    200,     500,
  1000,  2000,  4000,   5000,   8000,   10000,  16000,  20000,   32000,
  50000, 64000, 100000, 128000, 250000, 256000, 500000, 1000000, OWD_STEP_LARGEST_US,
};

#define ALL_US 128000000 /* a multiple of each candidate: residues of the remainder are those of the stamp */

/* The leading residue has led for most of the time, and three of four stamps agree with it. */
static gboolean
consistent (const OwdResolution *self, const OwdStepVote *v)
{
  return (guint64) v->n * 4 >= (guint64) self->n * 3 && (guint64) v->agree * 4 >= (guint64) v->n * 3;
}

/* Unrolled, divisions by constants become multiplications. */
static inline void
residues (guint32 rest, guint32 ret[OWD_STEP_CANDIDATES])
{
#pragma GCC unroll 27
  for (guint i = 0; i < OWD_STEP_CANDIDATES; i++)
    ret[i] = rest % CANDIDATE_US[i];
}

void
owd_resolution_add (OwdResolution *self, guint64 us)
{
  if (owd_resolution_offer (self))
    owd_resolution_use (self, us);
}

void
owd_resolution_use (OwdResolution *self, guint64 us)
{
  guint32 rest, residue[OWD_STEP_CANDIDATES];

  self->n++;
  self->step_us = 0;
  rest = (guint32) (us % ALL_US);
  residues (rest, residue);
  for (guint i = 0; i < OWD_STEP_CANDIDATES; i++) {
    OwdStepVote *v = &self->vote[i], was = *v;
    gboolean agrees = residue[i] == was.phase && was.vote > 0, anew = !agrees && was.vote <= 0;

    /* without a branch: residues come at random */
    v->phase = anew ? residue[i] : was.phase;
    v->vote = anew ? 1 : was.vote + (agrees ? 1 : -1);
    v->agree = anew ? 1 : was.agree + (guint32) agrees;
    v->n = anew ? 1 : was.n + 1;
    if (consistent (self, v))
      self->step_us = CANDIDATE_US[i];
  }
}

/* The vote of the step that was found; NULL: none. */
static const OwdStepVote *
leading (const OwdResolution *self)
{
  for (guint i = 0; i < OWD_STEP_CANDIDATES; i++)
    if (self->step_us == CANDIDATE_US[i])
      return &self->vote[i];
  return NULL;
}

gboolean
owd_resolution_phase_ns (const OwdResolution *self, gint64 floor_ns, gint64 *ret_phase_ns, double *ret_share)
{
  const OwdStepVote *v = leading (self);

  if (v == NULL || self->step_us * OWD_NS_PER_US < floor_ns || v->n == 0)
    return FALSE;
  *ret_phase_ns = v->phase * OWD_NS_PER_US;
  *ret_share = (double) v->agree / v->n;
  return TRUE;
}

/* Two votes for one residue add up; of two residues the stronger one wins by their difference. */
static void
merge_vote (OwdStepVote *a, const OwdStepVote *b)
{
  if (a->phase == b->phase) {
    a->vote += b->vote;
    a->agree += b->agree;
    a->n += b->n;
  } else if (a->vote >= b->vote) {
    a->vote -= b->vote;
    a->n += b->n;
  } else {
    *a = (OwdStepVote){ .phase = b->phase, .vote = b->vote - a->vote, .agree = b->agree, .n = b->n + a->n };
  }
}

void
owd_resolution_merge (OwdResolution *self, const OwdResolution *other)
{
  self->n += other->n;
  self->seen = self->seen > G_MAXUINT32 - other->seen ? G_MAXUINT32 : self->seen + other->seen;
  self->step_us = 0;
  for (guint i = 0; i < OWD_STEP_CANDIDATES; i++) {
    merge_vote (&self->vote[i], &other->vote[i]);
    if (self->n > 0 && consistent (self, &self->vote[i]))
      self->step_us = CANDIDATE_US[i];
  }
}
