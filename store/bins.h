/* SPDX-License-Identifier: Apache-2.0
 *
 * What samples of a path sum up to, in bins of time. No libpq, no I/O.
 */
#ifndef OWD_BINS_H
#define OWD_BINS_H

#include <glib.h>

G_BEGIN_DECLS

/* Sums of delays: 2^63 ns each, 2^64 of them. Sums of squares need more. */
typedef __int128 OwdSum;
typedef struct {
  unsigned __int128 lo;
  guint64 hi;
} OwdSquares;

/* A sample as far as bins need it. Order of delivery: ts_us, part, seq, nr. */
typedef struct {
  gint64 ts_us; /* since 1970, as the database has it */
  gint64 owd_ns, lo_ns, hi_ns, sigma_ns, bias_ns;
  guint64 seq;
  gint64 nr; /* 0: kept raw; else its place among those that were not */
  gint32 path_id;
  gint16 part;
} OwdSeen;

typedef struct {
  gint64 ts_us;
  guint64 sent, lost, late;
  gint32 path_id;
} OwdTally;

enum { OWD_P05, OWD_P50, OWD_P95, OWD_P99, OWD_N_PERCENTILES };

/* All zero: nothing in it. Delays mean something where n > 0. */
typedef struct {
  guint32 at;                 /* its number, from the begin of what it is part of */
  guint32 entries, n_entries; /* its histogram: part of OwdBins.entries */
  guint64 n, kept;            /* samples; of them, kept raw */
  guint64 sent, lost, late;
  gint64 min_ns, max_ns, first_ns, last_ns, least_hi_ns;
  OwdSum sum_ns, lo_ns, hi_ns, bias_ns;
  OwdSum ipdv_ns; /* over the n - 1 pairs of consecutive samples */
  OwdSquares square_ns2, sigma_ns2;
  gint16 p[OWD_N_PERCENTILES]; /* buckets */
} OwdBin;

typedef struct {
  gint16 bucket;
  guint64 count;
} OwdEntry;

/* Bins of one path and width, in order of `at`. */
typedef struct {
  GArray *bins;    /* OwdBin */
  GArray *entries; /* OwdEntry; those of a bin lie together, in order of buckets */
} OwdBins;

void owd_bins_init (OwdBins *self);
void owd_bins_clear (OwdBins *self);
/* Forgets the bins, keeps the memory. */
void owd_bins_reset (OwdBins *self);

/* Logarithmic buckets with gamma 1.02 (sql/functions/buckets.sql). */
#define OWD_BUCKET_MAX 2207
gint16 owd_bucket_of (gint64 ns);

/* Counts of buckets while a bin is being made. */
typedef struct OwdHist OwdHist;
OwdHist *owd_hist_new (void);
void owd_hist_free (OwdHist *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdHist, owd_hist_free)

/* Adds bins of width_us that begin at start_us, from samples and tallies of one path, each in order of time. */
void owd_bins_fill (OwdBins *self, OwdHist *hist, const OwdSeen *seen, gsize n_seen, const OwdTally *tally,
                    gsize n_tally, gint64 start_us, gint64 width_us);
/* Adds bins that are `factor` times as wide as those of `fine`, which count from the same begin. */
void owd_bins_coarsen (OwdBins *self, OwdHist *hist, const OwdBins *fine, guint factor);

/* Sums that no order of time matters for: n, sent, lost, min_ns, max_ns, sum_ns, sigma_ns2 and the histogram, in
 * `hist`. */
void owd_sum_reset (OwdBin *sum, OwdHist *hist);
/* Adds bin i of `bins`. */
void owd_sum_add (OwdBin *sum, OwdHist *hist, const OwdBins *bins, guint i);
/* Adds the sum as it stands to `to`, as bin `at`; nothing where there is nothing in it. */
void owd_sum_put (const OwdBin *sum, OwdHist *hist, OwdBins *to, guint32 at);

G_END_DECLS

#endif
