/* SPDX-License-Identifier: Apache-2.0
 *
 * Bins of samples: exact sums, extremes, and a sparse histogram of logarithmic buckets (DDSketch; Masson, Rim, Lee
 * 2019).
 *
 * Everything in a bin can be merged with the bin behind it, and the result is what the samples of both would have given
 * at once: sums add up, the one step of ipdv (RFC 3393) between them lies between the last delay of the one and the
 * first of the other, histograms add up bucket by bucket. So coarse bins are made from fine ones.
 *
 * Cost: a sample one logarithm and one increment; a bin sorts the buckets that it has touched.
 */
#include "bins.h"

#include <math.h>
#include <stdlib.h>

#define N_BUCKETS (2 * OWD_BUCKET_MAX + 1)
#define LOG_GAMMA 0.01980262729617973 /* ln 1.02, the same digits as in buckets.sql */

struct OwdHist {
  guint64 count[N_BUCKETS];
  guint16 touched[N_BUCKETS];
  guint n_touched;
};

gint16
owd_bucket_of (gint64 ns)
{
  int bucket;

  if (ns == 0)
    return 0;
  bucket = (int) ceil (log (fabs ((double) ns)) / LOG_GAMMA) + 1;
  return (gint16) (ns > 0 ? bucket : -bucket);
}

OwdHist *
owd_hist_new (void)
{
  return g_new0 (OwdHist, 1);
}

void
owd_hist_free (OwdHist *self)
{
  g_free (self);
}

static void
hist_add (OwdHist *self, gint16 bucket, guint64 count)
{
  guint16 i = (guint16) (bucket + OWD_BUCKET_MAX);

  if (self->count[i] == 0)
    self->touched[self->n_touched++] = i;
  self->count[i] += count;
}

static int
by_number (const void *a, const void *b)
{
  const guint16 *x = a, *y = b;

  return *x < *y ? -1 : *x > *y;
}

void
owd_bins_init (OwdBins *self)
{
  self->bins = g_array_new (FALSE, FALSE, sizeof (OwdBin));
  self->entries = g_array_new (FALSE, FALSE, sizeof (OwdEntry));
}

void
owd_bins_clear (OwdBins *self)
{
  g_clear_pointer (&self->bins, g_array_unref);
  g_clear_pointer (&self->entries, g_array_unref);
}

void
owd_bins_reset (OwdBins *self)
{
  g_array_set_size (self->bins, 0);
  g_array_set_size (self->entries, 0);
}

static OwdBin *
last_bin (const OwdBins *self)
{
  return &g_array_index (self->bins, OwdBin, self->bins->len - 1);
}

static OwdSum
distance (gint64 a, gint64 b)
{
  return a > b ? (OwdSum) a - b : (OwdSum) b - a;
}

static void
add_squares (OwdSquares *sum, const OwdSquares *more)
{
  unsigned __int128 lo = sum->lo + more->lo;

  sum->hi += more->hi + (lo < sum->lo);
  sum->lo = lo;
}

static void
add_square (OwdSquares *sum, gint64 v)
{
  OwdSquares square = { .lo = (unsigned __int128) ((OwdSum) v * v) };

  add_squares (sum, &square);
}

static void
begin_bin (OwdBins *self, guint32 at)
{
  OwdBin bin = { .at = at, .entries = self->entries->len };

  g_array_append_val (self->bins, bin);
}

/* The smallest bucket with at least that share of the counts at or below it. */
static void
find_percentiles (OwdBin *bin, const OwdEntry *entries)
{
  static const guint percent[OWD_N_PERCENTILES] = { 5, 50, 95, 99 };
  guint64 upto = 0;
  guint next = 0;

  for (guint32 i = 0; i < bin->n_entries && next < OWD_N_PERCENTILES; i++) {
    upto += entries[i].count;
    while (next < OWD_N_PERCENTILES && (unsigned __int128) upto * 100 >= (unsigned __int128) bin->n * percent[next])
      bin->p[next++] = entries[i].bucket;
  }
}

static void
hist_clear (OwdHist *self)
{
  for (guint i = 0; i < self->n_touched; i++)
    self->count[self->touched[i]] = 0;
  self->n_touched = 0;
}

/* Puts the histogram beside the bin at hand. */
static void
put_entries (OwdBins *self, OwdHist *hist)
{
  qsort (hist->touched, hist->n_touched, sizeof *hist->touched, by_number);
  for (guint i = 0; i < hist->n_touched; i++) {
    guint16 k = hist->touched[i];
    OwdEntry entry = { .bucket = (gint16) (k - OWD_BUCKET_MAX), .count = hist->count[k] };

    g_array_append_val (self->entries, entry);
  }
  last_bin (self)->n_entries = hist->n_touched;
}

static void
end_bin (OwdBins *self, OwdHist *hist)
{
  OwdBin *bin = last_bin (self);

  put_entries (self, hist);
  hist_clear (hist);
  find_percentiles (bin, &g_array_index (self->entries, OwdEntry, bin->entries));
}

static void
add_sample (OwdBin *bin, OwdHist *hist, const OwdSeen *s)
{
  if (bin->n == 0) {
    bin->min_ns = bin->max_ns = bin->first_ns = s->owd_ns;
    bin->least_hi_ns = s->hi_ns;
  } else {
    bin->min_ns = MIN (bin->min_ns, s->owd_ns);
    bin->max_ns = MAX (bin->max_ns, s->owd_ns);
    bin->least_hi_ns = MIN (bin->least_hi_ns, s->hi_ns);
    bin->ipdv_ns += distance (s->owd_ns, bin->last_ns);
  }
  bin->last_ns = s->owd_ns;
  bin->n++;
  bin->kept += s->nr == 0;
  bin->sum_ns += s->owd_ns;
  bin->lo_ns += s->lo_ns;
  bin->hi_ns += s->hi_ns;
  bin->bias_ns += s->bias_ns;
  add_square (&bin->square_ns2, s->owd_ns);
  add_square (&bin->sigma_ns2, s->sigma_ns);
  hist_add (hist, owd_bucket_of (s->owd_ns), 1);
}

void
owd_bins_fill (OwdBins *self, OwdHist *hist, const OwdSeen *seen, gsize n_seen, const OwdTally *tally, gsize n_tally,
               gint64 start_us, gint64 width_us)
{
  gsize s = 0, t = 0;

  while (s < n_seen || t < n_tally) {
    gint64 next_us = MIN (s < n_seen ? seen[s].ts_us : G_MAXINT64, t < n_tally ? tally[t].ts_us : G_MAXINT64);
    gint64 at = (next_us - start_us) / width_us, end_us = start_us + (at + 1) * width_us;
    OwdBin *bin;

    begin_bin (self, (guint32) at);
    bin = last_bin (self);
    for (; s < n_seen && seen[s].ts_us < end_us; s++)
      add_sample (bin, hist, &seen[s]);
    for (; t < n_tally && tally[t].ts_us < end_us; t++) {
      bin->sent += tally[t].sent;
      bin->lost += tally[t].lost;
      bin->late += tally[t].late;
    }
    end_bin (self, hist);
  }
}

/* `more` lies behind everything in `bin`. */
static void
add_bin (OwdBin *bin, const OwdBin *more)
{
  bin->sent += more->sent;
  bin->lost += more->lost;
  bin->late += more->late;
  if (more->n == 0)
    return;
  if (bin->n == 0) {
    bin->min_ns = more->min_ns;
    bin->max_ns = more->max_ns;
    bin->first_ns = more->first_ns;
    bin->least_hi_ns = more->least_hi_ns;
  } else {
    bin->min_ns = MIN (bin->min_ns, more->min_ns);
    bin->max_ns = MAX (bin->max_ns, more->max_ns);
    bin->least_hi_ns = MIN (bin->least_hi_ns, more->least_hi_ns);
    bin->ipdv_ns += distance (more->first_ns, bin->last_ns);
  }
  bin->last_ns = more->last_ns;
  bin->n += more->n;
  bin->kept += more->kept;
  bin->sum_ns += more->sum_ns;
  bin->lo_ns += more->lo_ns;
  bin->hi_ns += more->hi_ns;
  bin->bias_ns += more->bias_ns;
  bin->ipdv_ns += more->ipdv_ns;
  add_squares (&bin->square_ns2, &more->square_ns2);
  add_squares (&bin->sigma_ns2, &more->sigma_ns2);
}

static void
add_entries (OwdHist *hist, const OwdBins *bins, const OwdBin *bin)
{
  for (guint32 k = 0; k < bin->n_entries; k++) {
    const OwdEntry *entry = &g_array_index (bins->entries, OwdEntry, bin->entries + k);

    hist_add (hist, entry->bucket, entry->count);
  }
}

void
owd_bins_coarsen (OwdBins *self, OwdHist *hist, const OwdBins *fine, guint factor)
{
  for (guint i = 0; i < fine->bins->len;) {
    guint32 at = g_array_index (fine->bins, OwdBin, i).at / factor;

    begin_bin (self, at);
    for (; i < fine->bins->len; i++) {
      const OwdBin *more = &g_array_index (fine->bins, OwdBin, i);

      if (more->at / factor != at)
        break;
      add_bin (last_bin (self), more);
      add_entries (hist, fine, more);
    }
    end_bin (self, hist);
  }
}

void
owd_sum_reset (OwdBin *sum, OwdHist *hist)
{
  *sum = (OwdBin){ 0 };
  hist_clear (hist);
}

void
owd_sum_add (OwdBin *sum, OwdHist *hist, const OwdBins *bins, guint i)
{
  const OwdBin *more = &g_array_index (bins->bins, OwdBin, i);

  sum->sent += more->sent;
  sum->lost += more->lost;
  if (more->n == 0)
    return;
  sum->min_ns = sum->n == 0 ? more->min_ns : MIN (sum->min_ns, more->min_ns);
  sum->max_ns = sum->n == 0 ? more->max_ns : MAX (sum->max_ns, more->max_ns);
  sum->n += more->n;
  sum->sum_ns += more->sum_ns;
  add_squares (&sum->sigma_ns2, &more->sigma_ns2);
  add_entries (hist, bins, more);
}

void
owd_sum_put (const OwdBin *sum, OwdHist *hist, OwdBins *to, guint32 at)
{
  OwdBin bin = *sum;

  if (sum->n == 0 && sum->sent == 0)
    return;
  bin.at = at;
  bin.entries = to->entries->len;
  g_array_append_val (to->bins, bin);
  put_entries (to, hist);
}
