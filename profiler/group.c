/* SPDX-License-Identifier: Apache-2.0
 *
 * Clocks of line cards. Cards of some routers stamp by clocks of their own, hundreds of ms apart. All of them share one
 * flow cache and one export timer, so records that silence ended leave at ages of one distribution, but for the card's
 * offset: the age of a stamp that is ahead is smaller by that. What is compared is the foot of the distribution, which
 * is sharp: with n records in a second it is known to about 1/n s, while a median would be known to 1/sqrt (n).
 *
 * The foot is extrapolated from two low ranks, so that a few nonsense stamps below it do no harm. With a density of l
 * records per ms above the foot, rank k lies k / l above it with a variance of k / l^2; the extrapolated foot
 * (4 x_k - x_4k) / 3 has 4 k / 3 / l^2, and l is 3 k / (x_4k - x_k).
 */
#include "internal.h"

#include <math.h>
#include <stdlib.h>

#define GROUP_LEAST 400  /* records of an interface */
#define GROUP_MOST 60000 /* then it is known well enough */
#define BELOW_NS (OWD_NS_PER_S / 2)
#define RANK_SHARE 0.005
#define RANK_LEAST 4

void
group_add (Groups *self, gint64 idle_edge_ns, guint32 in_if, gint64 age_ns)
{
  guint i = 0;
  gint64 at_ns;

  if (self->base_ns == 0)
    self->base_ns = idle_edge_ns - BELOW_NS;
  at_ns = age_ns - self->base_ns;
  if (at_ns < 0 || at_ns >= GROUP_BIN_NS * GROUP_BINS)
    return;
  while (i < self->n && self->group[i].in_if != in_if)
    i++;
  if (i == self->n) {
    if (self->n == OWD_PROFILE_GROUPS)
      return;
    self->group[self->n++].in_if = in_if;
  }
  if (self->group[i].n == GROUP_MOST)
    return;
  self->group[i].n++;
  self->group[i].bin[at_ns / GROUP_BIN_NS]++;
}

void
group_merge (Groups *self, const Groups *later)
{
  if (self->base_ns != later->base_ns && later->n > 0) {
    *self = *later;
    return;
  }
  for (guint k = 0; k < later->n; k++)
    for (guint b = 0; b < GROUP_BINS; b++)
      for (guint c = 0; c < later->group[k].bin[b]; c++)
        group_add (self, 0, later->group[k].in_if, later->base_ns + b * GROUP_BIN_NS);
}

/* In ms from the base. */
static double
rank_ms (const Group *g, double rank)
{
  double before = 0;

  for (guint b = 0; b < GROUP_BINS; b++) {
    if (g->bin[b] > 0 && before + g->bin[b] >= rank)
      return ((double) b + (rank - before) / g->bin[b]) * (double) GROUP_BIN_NS / (double) OWD_NS_PER_MS;
    before += g->bin[b];
  }
  return 0;
}

typedef struct {
  const Group *group;
  double ms, variance;
} Foot;

static Foot
foot_of (const Group *g)
{
  double k = MAX (RANK_LEAST, floor (RANK_SHARE * g->n)), low = rank_ms (g, k), high = rank_ms (g, 4 * k);
  double bin_ms = (double) GROUP_BIN_NS / (double) OWD_NS_PER_MS;

  return (Foot){ .group = g,
                 .ms = low - (high - low) / 3,
                 .variance = (high - low) * (high - low) * 4 / 27 / k + bin_ms * bin_ms / 12 };
}

static gint
by_ms (gconstpointer a, gconstpointer b)
{
  const Foot *x = a, *y = b;

  return x->ms < y->ms ? -1 : x->ms > y->ms;
}

/* The median foot is that of one interface, or the mean of two; these share its error. */
static double
variance_against (const Foot *feet, guint n, guint i)
{
  guint a = (n - 1) / 2, b = n / 2;

  if (a == b)
    return i == a ? 0 : feet[i].variance + feet[a].variance;
  if (i == a || i == b)
    return (feet[a].variance + feet[b].variance) / 4;
  return feet[i].variance + (feet[a].variance + feet[b].variance) / 4;
}

guint
group_summary (const Groups *self, OwdProfileGroup *ret)
{
  Foot feet[OWD_PROFILE_GROUPS];
  double middle;
  guint n = 0;

  for (guint i = 0; i < self->n; i++)
    if (self->group[i].n >= GROUP_LEAST)
      feet[n++] = foot_of (&self->group[i]);
  if (n < 2)
    return 0;
  qsort (feet, n, sizeof *feet, by_ms);
  middle = (feet[n / 2].ms + feet[(n - 1) / 2].ms) / 2;
  for (guint i = 0; i < n; i++) {
    double value = middle - feet[i].ms, half = BOUND_SD * sqrt (variance_against (feet, n, i));

    ret[i] = (OwdProfileGroup){ .in_if = feet[i].group->in_if,
                                .offset_ms = estimate_bound (value, value - half, value + half, feet[i].group->n) };
  }
  return n;
}
