/* SPDX-License-Identifier: Apache-2.0
 *
 * What a profile tells those who read stamps online: one segment of one exporter state, as the profiler measured it.
 * Plain memory without pointers.
 */
#ifndef OWD_PRIOR_H
#define OWD_PRIOR_H

#include "owd-flow.h"

G_BEGIN_DECLS

#define OWD_PRIOR_GROUPS 16
#define OWD_PRIOR_LAGS 4

typedef struct {
  guint32 id; /* owd.profiles.profile_id; grows with every profile made */
  guint32 n_groups;
  OwdStateKey key;
  OwdTime from_ns, to_ns; /* receive times of the segment's first and last header */
  guint32 kind[2];        /* OwdStampKind of start and end stamps */
  gint64 step_ns[2];      /* of start and end stamps; 0: not known */
  gint64 uptime_lag_ns;   /* the header's uptime may be so old; 0: not known */
  /* Boot time lies in [boot_lo, boot_hi) at the instant boot_at of the exporter's clock; OWD_TIME_NONE: not known. */
  OwdTime boot_at_ns, boot_lo_ns, boot_hi_ns;
  OwdTime boot_ns;                           /* best estimate */
  gint64 over_ns;                            /* it rests on so much uptime around boot_at */
  double skew_ppm, skew_lo_ppm, skew_hi_ppm; /* 95 %; wall clock against uptime, as in OwdBootLines */
  gint64 lag_ns[OWD_PRIOR_LAGS];             /* receive time minus start stamp: 50, 95, 99, 99.9 %; 0: not known */
  /* Line cards are told apart only against each other; all may be off together, within an interval of this
   * width around what was found: 0 where most agree. */
  gint64 cards_ns;
  struct {
    guint32 in_if;
    gint64 lo_ns, hi_ns; /* its stamps are ahead of the others' by this */
  } group[OWD_PRIOR_GROUPS];
} OwdPrior;

/* Shares that lag_ns[] covers. */
static inline double
owd_prior_lag_share (guint i)
{
  static const double SHARES[OWD_PRIOR_LAGS] = { 0.5, 0.95, 0.99, 0.999 };

  return SHARES[i];
}

G_END_DECLS

#endif
