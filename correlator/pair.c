/* SPDX-License-Identifier: Apache-2.0
 *
 * What two points have shown of each other: where their stamps' difference lies, and who is upstream.
 *
 * Direction of travel. The sign of a delay cannot be trusted: a clock that is 50 ms off turns 20 ms into -30 ms, and
 * taking the earlier stamp as upstream would report +30 ms in the wrong direction, with confidence. And where delay is
 * smaller than the steps, choosing by sign keeps only positive errors. So, in this order:
 *   TTL          the higher one is upstream; no clock needed
 *   conversation delta (time at b minus time at a) of packets a to b is above that of packets b to a by the round trip
 *                between the points, whatever the clocks' offset: the half with the larger delta travels a to b
 *   clusters     the same, against deltas that other conversations have proven
 *   sign         only where delta is clearly larger than steps and clock intervals
 *   none         points too near to each other to tell: a is named upstream, always, so the mean stays true
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define CENTRE_ENOUGH 8
#define WEAK_FIRST_NS (1000 * OWD_NS_PER_MS) /* neighbourhood of a repeated key, before and after the pair is known */
#define WEAK_NS (250 * OWD_NS_PER_MS)
#define FAR_ENOUGH 16
#define FAR_MADS 9 /* about 6 sigma */

static int
compare_gint64 (const void *a, const void *b)
{
  gint64 x, y;

  memcpy (&x, a, sizeof x);
  memcpy (&y, b, sizeof y);
  return x < y ? -1 : x > y;
}

static gint64
median_of (gint64 *values, guint n)
{
  qsort (values, n, sizeof *values, compare_gint64);
  return values[n / 2];
}

void
recent_add (Recent *self, gint64 value)
{
  gint64 sorted[RECENT];
  guint n;

  self->value[self->n % RECENT] = value;
  self->n++;
  if (self->n >= G_MAXUINT32 - RECENT)
    self->n = RECENT * 2 + self->n % RECENT; /* keeps position and "full" */
  n = MIN (self->n, RECENT);
  memcpy (sorted, self->value, n * sizeof *sorted);
  self->median = median_of (sorted, n);
}

gint64
recent_mad (const Recent *self)
{
  gint64 distance[RECENT];
  guint n = MIN (self->n, RECENT);

  if (n == 0)
    return 0;
  for (guint i = 0; i < n; i++)
    distance[i] = ABS (self->value[i] - self->median);
  return median_of (distance, n);
}

gint64
pair_distance (const Pair *self, gint64 delta_ns)
{
  gint64 d = ABS (delta_ns - (self->delta.n >= CENTRE_ENOUGH ? self->delta.median : 0));

  for (guint t = 0; t < 2; t++) {
    if (self->path[t].n > 0)
      d = MIN (d, ABS (delta_ns - self->path[t].median));
  }
  return d;
}

gboolean
pair_plausible (const Pair *self, gint64 delta_ns, gboolean strong, gint64 window_ns)
{
  if (strong)
    return ABS (delta_ns) <= window_ns;
  return pair_distance (self, delta_ns) <= (self->delta.n < CENTRE_ENOUGH ? WEAK_FIRST_NS : WEAK_NS);
}

static gint64
middle (gint64 a, gint64 b)
{
  return a + (b - a) / 2;
}

Travel
pair_travel (Pair *self, const Seen *seen)
{
  const Recent *forward = &self->proven[TRAVELS_FORWARD], *back = &self->proven[TRAVELS_BACK];
  Travel travel;

  if (seen->ttl_a != 0 && seen->ttl_b != 0 && seen->ttl_a != seen->ttl_b) {
    travel = seen->ttl_a > seen->ttl_b ? TRAVELS_FORWARD : TRAVELS_BACK;
    recent_add (&self->proven[travel], seen->delta_ns);
    return travel;
  }
  /* Clock intervals are common to both halves and cancel; each delta is uncertain by the steps. */
  if (seen->has_reverse && ABS (seen->delta_ns - seen->reverse_delta_ns) > 2 * seen->step_ns) {
    travel = seen->delta_ns > seen->reverse_delta_ns ? TRAVELS_FORWARD : TRAVELS_BACK;
    recent_add (&self->proven[travel], seen->delta_ns);
    recent_add (&self->proven[!travel], seen->reverse_delta_ns);
    return travel;
  }
  if (forward->n > 0 && back->n > 0 && forward->median - back->median > 2 * seen->step_ns)
    return seen->delta_ns >= middle (back->median, forward->median) ? TRAVELS_FORWARD : TRAVELS_BACK;
  if (ABS (seen->delta_ns) > seen->step_ns + seen->clock_ns)
    return seen->delta_ns > 0 ? TRAVELS_FORWARD : TRAVELS_BACK;
  return TRAVELS_FORWARD;
}

gboolean
pair_learn (Pair *self, const Seen *seen, Travel travel)
{
  Recent *path = &self->path[travel];
  gboolean far = FALSE;

  if (path->n >= FAR_ENOUGH)
    far = ABS (seen->delta_ns - path->median) > MAX (FAR_MADS * recent_mad (path), 3 * seen->step_ns + seen->clock_ns);
  recent_add (&self->delta, seen->delta_ns);
  recent_add (path, seen->delta_ns);
  return far;
}

static guint32
slot_of (const OwdCorrelator *self, guint32 a, guint32 b)
{
  guint64 h = ((guint64) a << 32 | b) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
  guint32 i = (guint32) (h >> 32) & (self->pairs_size - 1);

  while (self->pair[i].a != self->pair[i].b && (self->pair[i].a != a || self->pair[i].b != b))
    i = (i + 1) & (self->pairs_size - 1);
  return i;
}

static void
grow (OwdCorrelator *self)
{
  Pair *old = self->pair;
  guint32 n = self->pairs_size;

  self->pairs_size = MAX (64, n * 2);
  self->pair = g_new0 (Pair, self->pairs_size);
  for (guint32 i = 0; i < n; i++) {
    if (old[i].a != old[i].b)
      self->pair[slot_of (self, old[i].a, old[i].b)] = old[i];
  }
  g_free (old);
}

/* a < b. Valid until the next call. */
Pair *
pair_get (OwdCorrelator *self, guint32 a, guint32 b)
{
  Pair *p;

  if (self->n_pairs * 2 >= self->pairs_size)
    grow (self);
  p = &self->pair[slot_of (self, a, b)];
  if (p->a == p->b) {
    p->a = a;
    p->b = b;
    self->n_pairs++;
  }
  return p;
}
