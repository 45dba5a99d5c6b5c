/* SPDX-License-Identifier: Apache-2.0
 *
 * Best estimates out of feasible lines: see owd-fit.h.
 */
#include "owd-fit.h"

#include <math.h>
#include <stdlib.h>

/* Of the area, to each side of the 95 % range. It would be 0.025 if constraints were no wider than they need be; they
 * leave room for cut uptimes, of which few headers make use: over simulated exporters this holds the truth in 97 % of
 * cases. */
#define TAIL 0.055
#define BEND_PPM_PER_S (0.75 / 3600)

/* Of corner i at an uptime; ms * ppm = ns. */
static double
offset_at (const OwdBootLines *l, guint i, gint64 uptime_ms)
{
  return l->corner[i].offset_ns + l->corner[i].skew_ppm * (double) (uptime_ms - l->ref_uptime_ms);
}

/* Centre of a polygon's area and its spread in y, by its triangles with corner 0; x: skew, y: boot. */
typedef struct {
  double area, x, y, yy; /* sums weighted by area; relative to corner 0 */
} Moments;

static void
add_triangle (Moments *m, double x1, double y1, double x2, double y2)
{
  double area = fabs (x1 * y2 - x2 * y1) / 2;

  m->area += area;
  m->x += area * (x1 + x2) / 3;
  m->y += area * (y1 + y2) / 3;
  m->yy += area * (y1 * y1 + y2 * y2 + y1 * y2) / 6;
}

static gint
by_value (gconstpointer a, gconstpointer b)
{
  const double *x = a, *y = b;

  return *x < *y ? -1 : *x > *y;
}

/* What the polygon spans in y at a skew. */
static double
height_at (const OwdBootLines *l, double skew_ppm)
{
  double lo = INFINITY, hi = -INFINITY;

  for (guint i = 0; i < l->n; i++) {
    guint k = (i + 1) % l->n;
    double xi = l->corner[i].skew_ppm, xk = l->corner[k].skew_ppm, f, y;

    if (skew_ppm < MIN (xi, xk) || skew_ppm > MAX (xi, xk))
      continue;
    f = xi == xk ? 0 : (skew_ppm - xi) / (xk - xi);
    y = l->corner[i].offset_ns + f * (l->corner[k].offset_ns - l->corner[i].offset_ns);
    lo = MIN (lo, y);
    hi = MAX (hi, y);
    if (xi == xk) {
      lo = MIN (lo, l->corner[k].offset_ns);
      hi = MAX (hi, l->corner[k].offset_ns);
    }
  }
  return MAX (hi - lo, 0);
}

/* The skew with a share q of the area below it. Between two corners the height is a straight line, so the area up to a
 * skew is a parabola there. */
static double
skew_quantile (const OwdBootLines *l, double q)
{
  double x[OWD_BOOT_CORNERS], h[OWD_BOOT_CORNERS], area = 0, wanted;

  for (guint i = 0; i < l->n; i++)
    x[i] = l->corner[i].skew_ppm;
  qsort (x, l->n, sizeof *x, by_value);
  for (guint i = 0; i < l->n; i++)
    h[i] = height_at (l, x[i]);
  for (guint i = 1; i < l->n; i++)
    area += (x[i] - x[i - 1]) * (h[i] + h[i - 1]) / 2;
  wanted = q * area;
  for (guint i = 1; i < l->n; i++) {
    double width = x[i] - x[i - 1], here = width * (h[i] + h[i - 1]) / 2, slope, root;

    if (here <= 0 || wanted > here) {
      wanted -= here;
      continue;
    }
    slope = (h[i] - h[i - 1]) / width;
    root = sqrt (MAX (h[i - 1] * h[i - 1] + 2 * slope * wanted, 0));
    return x[i - 1] + MIN (2 * wanted / MAX (h[i - 1] + root, 1e-300), width);
  }
  return q < 0.5 ? x[0] : x[l->n - 1];
}

/* Temperature moves the skew of a crystal by half a ppm in an hour, and NTP moves the wall clock: so far a boot time
 * may stray from its line half-way through a span. */
static gint64
bend_ns (gint64 span_ms)
{
  double span_s = (double) span_ms / 1000;

  return (gint64) (BEND_PPM_PER_S * 1000 * span_s * span_s / 8);
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
  gint64 bend = bend_ns (fit.span_ms);

  if (!owd_boot_at (self, segment, uptime_ms, &fit.lo_ns, &fit.hi_ns))
    return FALSE;
  fit.lo_ns -= bend;
  fit.hi_ns += bend;
  for (guint i = 0; i < l->n; i++) {
    fit.skew_lo_ppm = MIN (fit.skew_lo_ppm, l->corner[i].skew_ppm);
    fit.skew_hi_ppm = MAX (fit.skew_hi_ppm, l->corner[i].skew_ppm);
    if (i >= 2)
      add_triangle (&m, l->corner[i - 1].skew_ppm - x0, offset_at (l, i - 1, uptime_ms) - y0,
                    l->corner[i].skew_ppm - x0, offset_at (l, i, uptime_ms) - y0);
  }
  fit.skew_ppm = (fit.skew_lo_ppm + fit.skew_hi_ppm) / 2;
  fit.skew_lo95_ppm = skew_quantile (l, TAIL);
  fit.skew_hi95_ppm = skew_quantile (l, 1 - TAIL);
  fit.boot_ns = fit.lo_ns + (fit.hi_ns - fit.lo_ns) / 2;
  fit.even_ns = NAN;
  if (fit.skew_lo_ppm <= 0 && fit.skew_hi_ppm >= 0)
    fit.even_ns = height_at (l, 0) + 2 * (double) self->jitter_ns;
  fit.boot_sd_ns = (gint64) ((double) (fit.hi_ns - fit.lo_ns) / sqrt (12));
  if (m.area > 0) {
    fit.skew_ppm = x0 + m.x / m.area;
    fit.boot_ns = l->ref_ns + (gint64) (y0 + m.y / m.area);
    fit.boot_sd_ns = (gint64) (sqrt (MAX (0, m.yy / m.area - pow (m.y / m.area, 2))) + (double) self->jitter_ns);
  }
  *ret_fit = fit;
  return TRUE;
}
