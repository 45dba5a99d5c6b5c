/* SPDX-License-Identifier: Apache-2.0
 *
 * Clocks of line cards. Cards of some routers stamp by clocks of their own, hundreds of ms apart. All of them share one
 * flow cache and one export timer, so records that silence ended leave at ages of one distribution, but for the card's
 * offset: the age of a stamp that is ahead is smaller by that. What is compared is the foot of the distribution, which
 * is sharp: with n records in a second it is known to about 1/n s, while a median would be known to 1/sqrt (n).
 *
 * The foot is extrapolated from two low ranks, so that a few nonsense stamps below it do no harm.
 */
#include "internal.h"

#include <math.h>

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

/* Ranks k and 4k of evenly spread values lie k and 4k of their distance above the foot. The range is three standard
 * deviations wide to each side: ages are not spread quite evenly. */
static double
foot_ms (const Group *g, double *ret_error_ms)
{
  double k = MAX (RANK_LEAST, floor (RANK_SHARE * g->n)), low = rank_ms (g, k), high = rank_ms (g, 4 * k);

  *ret_error_ms = (high - low) / sqrt (k) + (double) GROUP_BIN_NS / (double) OWD_NS_PER_MS / 2;
  return low - (high - low) / 3;
}

static gint
by_value (gconstpointer a, gconstpointer b)
{
  const double *x = a, *y = b;

  return *x < *y ? -1 : *x > *y;
}

guint
group_summary (const Groups *self, OwdProfileGroup *ret)
{
  double feet[OWD_PROFILE_GROUPS], sorted[OWD_PROFILE_GROUPS], middle;
  guint n = 0;

  for (guint i = 0; i < self->n; i++) {
    double error_ms;

    if (self->group[i].n < GROUP_LEAST)
      continue;
    feet[n] = sorted[n] = foot_ms (&self->group[i], &error_ms);
    ret[n] = (OwdProfileGroup){ .in_if = self->group[i].in_if,
                                .offset_ms = estimate (0, -error_ms, error_ms, self->group[i].n) };
    n++;
  }
  if (n < 2)
    return 0;
  qsort (sorted, n, sizeof *sorted, by_value);
  middle = (sorted[n / 2] + sorted[(n - 1) / 2]) / 2;
  for (guint i = 0; i < n; i++) {
    ret[i].offset_ms.value += middle - feet[i];
    ret[i].offset_ms.lo += middle - feet[i];
    ret[i].offset_ms.hi += middle - feet[i];
  }
  return n;
}
