/* SPDX-License-Identifier: Apache-2.0
 *
 * Two measurements of the same packets held against each other: statistics without I/O.
 *
 * Difference: passive minus active; positive: passive says longer. Unit: whatever the pairs have, here ms.
 */
#ifndef OWD_PROBE_VALIDATE_H
#define OWD_PROBE_VALIDATE_H

#include <glib.h>

G_BEGIN_DECLS

/* One packet. */
typedef struct {
  double active;               /* as measured by the probe */
  double active_lo, active_hi; /* what its stated errors leave; NaN: it states nothing, so only `noise` counts */
  double noise;                /* half width of what stamping adds, on a clock that is right; at least 0 */
  double passive;              /* the sample's best estimate */
  double passive_lo, passive_hi;
  double sigma; /* the sample's standard deviation */
} OwdValidationPair;

/* Where n is 0 all others are NaN; so is each that needs more packets than there are, or some variation. */
typedef struct {
  guint n;
  double active, passive;  /* medians */
  double bias;             /* median difference */
  double mean, stderr_;    /* of the differences */
  double spread;           /* 1.4826 * median absolute deviation of the differences */
  double p025, p975;       /* of the differences */
  double random;           /* RFC 7679, 3.7.3 (calibration): the larger distance of those two from the median */
  double correlation;      /* Pearson */
  double rank_correlation; /* Spearman, equal values share their rank */
  double width;            /* median of passive_hi - passive_lo: what the shares below have to be seen against */
  double inside;           /* share of packets: active +- noise meets [passive_lo, passive_hi) */
  double consistent;       /* share: [active_lo, active_hi] meets it */
  double within_2sigma;    /* share: |difference| <= 2 sigma + noise */
  double ks, ks_p;         /* two-sample Kolmogorov-Smirnov distance; asymptotic p-value */
} OwdValidationResult;

typedef struct OwdValidation OwdValidation;

OwdValidation *owd_validation_new (void);
void owd_validation_free (OwdValidation *self); /* NULL is fine */
/* Pairs with a value that is not finite (intervals apart) are left out. */
void owd_validation_add (OwdValidation *self, const OwdValidationPair *pair);
/* O(n log n). May be called at any time. */
void owd_validation_result (const OwdValidation *self, OwdValidationResult *ret_result);
void owd_validation_clear (OwdValidation *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdValidation, owd_validation_free)

G_END_DECLS

#endif
