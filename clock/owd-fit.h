/* SPDX-License-Identifier: Apache-2.0
 *
 * What a clock model knows beyond what the reading of stamps needs: best estimates with standard deviations, phases,
 * and how two of them become one. For profiles.
 */
#ifndef OWD_FIT_H
#define OWD_FIT_H

#include "owd-clock.h"

G_BEGIN_DECLS

/* What the feasible lines of a segment say where they say it best: half-way between their first and their last header.
 * Header times are cut to their tick; where the part that is cut off takes any value alike, every feasible line is as
 * likely as any other: the best estimate is the polygon's centre, the standard deviation that of its area. The uptime
 * is cut as well, by soft_ns: lines that near to a header's bounds are less likely, and 95 % of what is left lie within
 * the 95 % range. Setting a clock leaves its crystal alone: behind a step the skew found before it counts, too. lo and
 * hi are hard: no line outside of them fits all headers.
 * While a segment is doubtful nothing is more likely than the rest: half-way between the header that makes it so and
 * the last one, the hull of both clocks that it may have. */
typedef struct {
  gint64 lo_ns, hi_ns; /* boot time at uptime_ms, Unix ns; with room for a skew that is not quite constant */
  gint64 boot_ns, boot_sd_ns;
  double even_ns;   /* what hi_ns - lo_ns would be if wall clock and uptime ran evenly; NAN: they do not */
  gint64 uptime_ms; /* unwrapped */
  double skew_ppm, skew_lo_ppm, skew_hi_ppm; /* wall clock against uptime, as in OwdBootLines */
  double skew_lo95_ppm, skew_hi95_ppm;       /* likewise; its 95 % range */
  gint64 span_ms;                            /* of uptime, first to last header */
  guint32 headers;
  gboolean doubtful; /* as owd_boot_doubtful() */
} OwdBootFit;
/* soft_ns: of a header's interval, at either end; 0 where the cuts of time and uptime may have to do with each other.
 * FALSE where the segment is too far back or nothing is known. */
gboolean owd_boot_fit (const OwdBoot *self, guint32 segment, gint64 soft_ns, OwdBootFit *ret_fit);

/* How far the boot time may stray from its line within a span of uptime: no crystal is quite constant. */
gint64 owd_boot_bend_ns (gint64 span_ms);

/* Residue in ns that stamps have modulo the step that owd_resolution_step_ns() says, and the share of stamps that have
 * it since it leads. FALSE where no step has been learnt, or floor_ns is coarser than what was learnt. */
gboolean owd_resolution_phase_ns (const OwdResolution *self, gint64 floor_ns, gint64 *ret_phase_ns, double *ret_share);
/* Adds what another one has learnt from stamps on the same scale. */
void owd_resolution_merge (OwdResolution *self, const OwdResolution *other);

G_END_DECLS

#endif
