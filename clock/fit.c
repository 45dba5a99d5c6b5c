/* SPDX-License-Identifier: Apache-2.0
 *
 * Best estimates out of feasible lines: see owd-fit.h.
 */
#include "owd-fit.h"

#include <math.h>

/* Of corner i at an uptime; ms * ppm = ns. */
static double
offset_at (const OwdBootLines *l, guint i, gint64 uptime_ms)
{
  return l->corner[i].offset_ns + l->corner[i].skew_ppm * (double) (uptime_ms - l->ref_uptime_ms);
}

/* Centre and variances of a polygon's area, by its triangles with corner 0; x: skew, y: boot. */
typedef struct {
  double area, x, y, xx, yy; /* sums weighted by area; relative to corner 0 */
} Moments;

static void
add_triangle (Moments *m, double x1, double y1, double x2, double y2)
{
  double area = fabs (x1 * y2 - x2 * y1) / 2;

  m->area += area;
  m->x += area * (x1 + x2) / 3;
  m->y += area * (y1 + y2) / 3;
  m->xx += area * (x1 * x1 + x2 * x2 + x1 * x2) / 6;
  m->yy += area * (y1 * y1 + y2 * y2 + y1 * y2) / 6;
}

gboolean
owd_boot_fit (const OwdBoot *self, guint32 segment, OwdBootFit *ret_fit)
{
  const OwdBootLines *l = segment == self->segment ? &self->main : &self->past;
  gint64 uptime_ms = l->first_uptime_ms + (l->last_uptime_ms - l->first_uptime_ms) / 2;
  OwdBootFit fit = { .uptime_ms = uptime_ms,
                     .skew_lo_ppm = INFINITY,
                     .skew_hi_ppm = -INFINITY,
                     .span_ms = l->last_uptime_ms - l->first_uptime_ms,
                     .headers = l->headers };
  double x0 = l->corner[0].skew_ppm, y0 = offset_at (l, 0, uptime_ms);
  Moments m = { 0 };

  if (!owd_boot_at (self, segment, uptime_ms, &fit.lo_ns, &fit.hi_ns))
    return FALSE;
  for (guint i = 0; i < l->n; i++) {
    fit.skew_lo_ppm = MIN (fit.skew_lo_ppm, l->corner[i].skew_ppm);
    fit.skew_hi_ppm = MAX (fit.skew_hi_ppm, l->corner[i].skew_ppm);
    if (i >= 2)
      add_triangle (&m, l->corner[i - 1].skew_ppm - x0, offset_at (l, i - 1, uptime_ms) - y0,
                    l->corner[i].skew_ppm - x0, offset_at (l, i, uptime_ms) - y0);
  }
  fit.skew_ppm = (fit.skew_lo_ppm + fit.skew_hi_ppm) / 2;
  fit.skew_sd_ppm = (fit.skew_hi_ppm - fit.skew_lo_ppm) / sqrt (12);
  fit.boot_ns = fit.lo_ns + (fit.hi_ns - fit.lo_ns) / 2;
  fit.boot_sd_ns = (gint64) ((double) (fit.hi_ns - fit.lo_ns) / sqrt (12));
  if (m.area > 0) {
    fit.skew_ppm = x0 + m.x / m.area;
    fit.boot_ns = l->ref_ns + (gint64) (y0 + m.y / m.area);
    fit.skew_sd_ppm = sqrt (MAX (0, m.xx / m.area - pow (m.x / m.area, 2)));
    fit.boot_sd_ns = (gint64) (sqrt (MAX (0, m.yy / m.area - pow (m.y / m.area, 2))) + (double) self->jitter_ns);
  }
  *ret_fit = fit;
  return TRUE;
}
