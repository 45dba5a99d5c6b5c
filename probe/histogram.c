/* SPDX-License-Identifier: Apache-2.0
 *
 * Logarithmic histogram with moments. A bucket is 16 ns wide up to 512 ns and then 1/32 of its octave, so a quantile is
 * off by at most 1.6 % of the distance from the histogram's zero. For one-way delays that zero is the first value: what
 * two clocks differ by cancels. Mean and spread are kept apart (Welford), minimum and maximum exactly.
 *
 * Cost: 4.5 KB, twice for two-sided ones; adding is a few instructions.
 */
#include "owd-probe.h"

#include <math.h>

enum {
  QUANTUM_BITS = 4,
  SUB_BITS = 5,
  SUB = 1 << SUB_BITS,
  OCTAVES = 35, /* 16 ns * 32 * 2^35: beyond four hours */
  BUCKETS = SUB * (OCTAVES + 1),
};

struct OwdProbeHistogram {
  gboolean from_first;
  gint64 zero, min, max;
  guint64 n;
  double mean, m2;
  guint32 bucket[]; /* BUCKETS upwards, then as many downwards where from_first */
};

OwdProbeHistogram *
owd_probe_histogram_new (gboolean from_first)
{
  OwdProbeHistogram *self = g_malloc0 (sizeof *self + sizeof (guint32) * BUCKETS * (from_first ? 2 : 1));

  self->from_first = from_first;
  return self;
}

void
owd_probe_histogram_free (OwdProbeHistogram *self)
{
  g_free (self);
}

static guint
bucket_of (guint64 distance)
{
  guint64 q = distance >> QUANTUM_BITS;
  guint octave;

  if (q < SUB)
    return (guint) q;
  octave = 63 - (guint) __builtin_clzll (q) - SUB_BITS;
  if (octave >= OCTAVES)
    return BUCKETS - 1;
  return SUB * (octave + 1) + (guint) ((q >> octave) & (SUB - 1));
}

/* Middle of a bucket. */
static gint64
distance_of (guint bucket)
{
  guint octave;
  gint64 low, width;

  if (bucket < SUB)
    return ((gint64) bucket << QUANTUM_BITS) + (1 << (QUANTUM_BITS - 1));
  octave = bucket / SUB - 1;
  width = G_GINT64_CONSTANT (1) << (octave + QUANTUM_BITS);
  low = (gint64) (SUB + bucket % SUB) << (octave + QUANTUM_BITS);
  return low + width / 2;
}

void
owd_probe_histogram_add (OwdProbeHistogram *self, gint64 value)
{
  gint64 d;
  double delta;

  if (!self->from_first && value < 0)
    value = 0;
  if (self->n == 0) {
    self->zero = self->from_first ? value : 0;
    self->min = self->max = value;
  }
  self->n++;
  self->min = MIN (self->min, value);
  self->max = MAX (self->max, value);
  d = value - self->zero;
  delta = (double) d - self->mean;
  self->mean += delta / (double) self->n;
  self->m2 += delta * ((double) d - self->mean);
  self->bucket[d >= 0 ? bucket_of ((guint64) d) : BUCKETS + bucket_of ((guint64) -d)]++;
}

gint64
owd_probe_histogram_quantile (const OwdProbeHistogram *self, double q)
{
  guint64 rank = (guint64) ceil (q * (double) self->n), seen = 0;
  gint64 v = self->max;

  rank = CLAMP (rank, 1, self->n);
  if (self->n == 0)
    return 0;
  if (self->from_first)
    for (guint i = BUCKETS; i-- > 0;)
      if ((seen += self->bucket[BUCKETS + i]) >= rank) {
        v = self->zero - distance_of (i);
        return CLAMP (v, self->min, self->max);
      }
  for (guint i = 0; i < BUCKETS; i++)
    if ((seen += self->bucket[i]) >= rank) {
      v = self->zero + distance_of (i);
      break;
    }
  return CLAMP (v, self->min, self->max);
}

void
owd_probe_histogram_stats (const OwdProbeHistogram *self, OwdProbeStats *ret)
{
  *ret = (OwdProbeStats){ .n = self->n };
  if (self->n == 0)
    return;
  ret->min_ns = self->min;
  ret->max_ns = self->max;
  ret->mean_ns = (double) self->zero + self->mean;
  ret->sd_ns = self->n > 1 ? sqrt (self->m2 / (double) (self->n - 1)) : 0;
  ret->p05_ns = owd_probe_histogram_quantile (self, 0.05);
  ret->p50_ns = owd_probe_histogram_quantile (self, 0.50);
  ret->p95_ns = owd_probe_histogram_quantile (self, 0.95);
  ret->p99_ns = owd_probe_histogram_quantile (self, 0.99);
}
