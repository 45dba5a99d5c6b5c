/* SPDX-License-Identifier: Apache-2.0
 *
 * The offset of an exporter's stamps from the probe's clock, bounded by packets that both have stamped. No I/O.
 *
 * A packet that the probe sends passes the exporter later than the probe's stamp; one that the probe receives passed it
 * earlier. With offset theta, the way between them d >= 0 and the stamp's rounding u within half a step q:
 *
 *   residual = exporter's stamp minus the probe's = theta + d + u  (later)     so  theta <= residual + q / 2
 *                                                 = theta - d + u  (earlier)   so  theta >= residual - q / 2
 *
 * Nothing is assumed of the way but that it takes time. Where phases are swept, both bounds come as close as the
 * shortest way plus q / N: the middle's error is q / sqrt (2 (N + 1) (N + 2)) with N packets of each kind.
 */
#ifndef OWD_PROBE_CALIBRATE_H
#define OWD_PROBE_CALIBRATE_H

#include <glib.h>

G_BEGIN_DECLS

typedef struct {
  guint n_later, n_earlier; /* packets that the bounds rest on; every second one: the others check */
  guint rejected;           /* too far off to be rounding: blunders */
  gboolean bounded;         /* both kinds are there; else nothing below but n is set */
  gboolean moved;           /* the bounds crossed: the offset moved by that much, and [lo, hi] holds all of its way */
  gint64 offset_ns;         /* middle; positive: the exporter's stamps are ahead */
  gint64 lo_ns, hi_ns;
  double swept;        /* share 0..1 of the step that residuals have covered, the lesser of both kinds */
  guint checked, held; /* packets of the other half, and how many of them contradict no bound */
} OwdCalibrationResult;

typedef struct OwdCalibration OwdCalibration;

OwdCalibration *owd_calibration_new (void);
void owd_calibration_free (OwdCalibration *self); /* NULL is fine */
/* later: the exporter saw the packet after the probe stamped it. */
void owd_calibration_add (OwdCalibration *self, gint64 residual_ns, gboolean later);
guint owd_calibration_count (const OwdCalibration *self);
/* step_ns: the stamps' resolution q, at least 0; noise_ns: what the probe's own stamps are off. O(n log n). */
void owd_calibration_result (const OwdCalibration *self, gint64 step_ns, gint64 noise_ns,
                             OwdCalibrationResult *ret_result);
void owd_calibration_clear (OwdCalibration *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdCalibration, owd_calibration_free)

G_END_DECLS

#endif
