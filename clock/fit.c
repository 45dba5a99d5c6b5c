/* SPDX-License-Identifier: Apache-2.0
 *
 * Best estimates out of feasible lines: see owd-fit.h.
 */
#include "owd-fit.h"

#include <math.h>
#include <stdlib.h>

#define TAIL 0.025 /* of all that is likely, to each side of the 95 % range */
#define PIECES 16  /* of a polygon between two corners, for sums along it */
#define BEND_PPM_PER_S (0.75 / 3600)
#define KIN_SPAN_MS 60000 /* a segment that lasted less says nothing of the next one's skew */
#define KIN_PPM 0.5       /* setting a clock leaves its crystal alone, but for temperature meanwhile */

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

/* How likely a skew is where the polygon spans h in y. A header's own time and uptime are both cut, so within soft_ns
 * of either end of its interval the truth lies the less likely the nearer it is to that end, on a straight line to
 * nothing. With one such end above and one below: the integral over y of the product of both. */
static double
weight (double h, double soft_ns)
{
  double overlap = 2 * soft_ns - h;

  if (overlap <= 0)
    return h - soft_ns;
  if (h <= soft_ns)
    return h * h * h / (6 * soft_ns * soft_ns);
  return h - soft_ns + overlap * overlap * overlap / (6 * soft_ns * soft_ns);
}

/* The skews with a share TAIL of all weight below and above them. Between two corners the height is a straight line,
 * and so nearly is the weight between two of the PIECES. */
static void
skew_range (const OwdBootLines *l, double soft_ns, double *ret_lo, double *ret_hi)
{
  double corner[OWD_BOOT_CORNERS], sum[OWD_BOOT_CORNERS * PIECES], x[OWD_BOOT_CORNERS * PIECES];
  guint n = 0;

  for (guint i = 0; i < l->n; i++)
    corner[i] = l->corner[i].skew_ppm;
  qsort (corner, l->n, sizeof *corner, by_value);
  x[0] = corner[0];
  sum[n++] = 0;
  for (guint i = 1; i < l->n; i++) {
    double from = height_at (l, corner[i - 1]), to = height_at (l, corner[i]), width = corner[i] - corner[i - 1];

    for (guint k = 1; k <= PIECES && width > 0; k++) {
      double a = weight (from + (to - from) * (k - 1) / PIECES, soft_ns);
      double b = weight (from + (to - from) * k / PIECES, soft_ns);

      x[n] = corner[i - 1] + width * k / PIECES;
      sum[n] = sum[n - 1] + (a + b) / 2 * width / PIECES;
      n++;
    }
  }
  *ret_lo = x[0];
  *ret_hi = x[n - 1];
  for (guint i = 1; i < n; i++) {
    double lo = TAIL * sum[n - 1], hi = (1 - TAIL) * sum[n - 1], here = sum[i] - sum[i - 1];

    if (sum[i - 1] <= lo && lo < sum[i])
      *ret_lo = x[i - 1] + (x[i] - x[i - 1]) * (lo - sum[i - 1]) / here;
    if (sum[i - 1] < hi && hi <= sum[i])
      *ret_hi = x[i - 1] + (x[i] - x[i - 1]) * (hi - sum[i - 1]) / here;
  }
}

/* Temperature moves the skew of a crystal by half a ppm in an hour, and NTP moves the wall clock: so far a boot time
 * may stray from its line half-way through a span. */
gint64
owd_boot_bend_ns (gint64 span_ms)
{
  double span_s = (double) span_ms / 1000;

  return (gint64) (BEND_PPM_PER_S * 1000 * span_s * span_s / 8);
}

/* Keeps the side of the polygon where sign * (skew - limit) <= 0, if there is one. */
static void
clip_skew (OwdBootLines *l, double limit_ppm, double sign)
{
  OwdBootLines out = *l;

  out.n = 0;
  for (guint i = 0; i < l->n; i++) {
    guint k = (i + 1) % l->n;
    double di = sign * (l->corner[i].skew_ppm - limit_ppm), dk = sign * (l->corner[k].skew_ppm - limit_ppm);

    if (out.n + 2 > OWD_BOOT_CORNERS)
      return;
    if (di <= 0)
      out.corner[out.n++] = l->corner[i];
    if ((di < 0 && dk > 0) || (di > 0 && dk < 0)) {
      double f = di / (di - dk);

      out.corner[out.n].skew_ppm = limit_ppm;
      out.corner[out.n++].offset_ns = l->corner[i].offset_ns + f * (l->corner[k].offset_ns - l->corner[i].offset_ns);
    }
  }
  if (out.n >= 3)
    *l = out;
}

/* The lines that are likely: all, but behind a clock step those with the skew that was found before it, where there are
 * such. */
static OwdBootLines
likely_lines (const OwdBoot *self, const OwdBootLines *l, gint64 soft_ns)
{
  OwdBootLines likely = *l;
  double lo_ppm, hi_ppm;

  /* where the step was not located, headers behind it may have bent the lines before it */
  if (l != &self->main || !self->stepped || self->before_step_recv_ns == OWD_TIME_NONE || self->past.headers == 0
      || self->past.last_uptime_ms - self->past.first_uptime_ms < KIN_SPAN_MS)
    return likely;
  skew_range (&self->past, (double) soft_ns, &lo_ppm, &hi_ppm);
  clip_skew (&likely, lo_ppm - KIN_PPM, -1);
  clip_skew (&likely, hi_ppm + KIN_PPM, 1);
  return likely;
}

static void
skew_span (const OwdBootLines *l, OwdBootFit *fit)
{
  for (guint i = 0; i < l->n; i++) {
    fit->skew_lo_ppm = MIN (fit->skew_lo_ppm, l->corner[i].skew_ppm);
    fit->skew_hi_ppm = MAX (fit->skew_hi_ppm, l->corner[i].skew_ppm);
  }
}

/* Nobody knows which lines are right: all of their boot times, where both began, and all of their skews. */
static void
fit_doubtful (const OwdBoot *self, OwdBootFit *fit)
{
  skew_span (&self->alt, fit);
  skew_span (&self->before, fit);
  fit->skew_lo95_ppm = fit->skew_lo_ppm;
  fit->skew_hi95_ppm = fit->skew_hi_ppm;
  fit->skew_ppm = (fit->skew_lo_ppm + fit->skew_hi_ppm) / 2;
}

/* What is bent half-way by so much has other skews by that over the span: headers in thousands leave few straight lines
 * through a clock that is not straight, or one. */
static void
allow_bend (OwdBootFit *fit)
{
  double middle = (fit->skew_lo95_ppm + fit->skew_hi95_ppm) / 2, half = fit->skew_hi95_ppm - middle, bent;

  if (fit->span_ms <= 0)
    return;
  bent = (double) owd_boot_bend_ns (fit->span_ms) / (double) fit->span_ms; /* ns / ms = ppm */
  half = sqrt (half * half + bent * bent);
  fit->skew_lo95_ppm = middle - half;
  fit->skew_hi95_ppm = middle + half;
}

/* The centre of the likely lines, and the range of their skews. */
static void
fit_likely (const OwdBoot *self, const OwdBootLines *l, gint64 soft_ns, OwdBootFit *fit)
{
  OwdBootLines likely = likely_lines (self, l, soft_ns);
  double x0 = likely.corner[0].skew_ppm, y0 = offset_at (&likely, 0, fit->uptime_ms);
  Moments m = { 0 };

  skew_range (&likely, (double) soft_ns, &fit->skew_lo95_ppm, &fit->skew_hi95_ppm);
  allow_bend (fit);
  for (guint i = 2; i < likely.n; i++)
    add_triangle (&m, likely.corner[i - 1].skew_ppm - x0, offset_at (&likely, i - 1, fit->uptime_ms) - y0,
                  likely.corner[i].skew_ppm - x0, offset_at (&likely, i, fit->uptime_ms) - y0);
  if (fit->skew_lo_ppm <= 0 && fit->skew_hi_ppm >= 0)
    fit->even_ns = height_at (l, 0) + 2 * (double) self->jitter_ns;
  if (m.area > 0) {
    fit->skew_ppm = x0 + m.x / m.area;
    fit->boot_ns = l->ref_ns + (gint64) (y0 + m.y / m.area);
    fit->boot_sd_ns = (gint64) (sqrt (MAX (0, m.yy / m.area - pow (m.y / m.area, 2))) + (double) self->jitter_ns);
  }
}

gboolean
owd_boot_fit (const OwdBoot *self, guint32 segment, gint64 soft_ns, OwdBootFit *ret_fit)
{
  const OwdBootLines *l = segment == self->segment ? &self->main : &self->past;
  gboolean doubtful = l == &self->main && owd_boot_doubtful (self);
  gint64 from_ms = doubtful ? self->alt.first_uptime_ms : l->first_uptime_ms;
  OwdBootFit fit = { .uptime_ms = from_ms + (l->last_uptime_ms - from_ms) / 2,
                     .even_ns = NAN,
                     .skew_lo_ppm = INFINITY,
                     .skew_hi_ppm = -INFINITY,
                     .span_ms = l->last_uptime_ms - l->first_uptime_ms,
                     .headers = l->headers,
                     .doubtful = doubtful };
  gint64 bend = owd_boot_bend_ns (fit.span_ms);

  if (!owd_boot_at (self, segment, fit.uptime_ms, &fit.lo_ns, &fit.hi_ns))
    return FALSE;
  fit.lo_ns -= bend;
  fit.hi_ns += bend;
  fit.boot_ns = fit.lo_ns + (fit.hi_ns - fit.lo_ns) / 2;
  fit.boot_sd_ns = (gint64) ((double) (fit.hi_ns - fit.lo_ns) / sqrt (12));
  skew_span (l, &fit);
  fit.skew_ppm = (fit.skew_lo_ppm + fit.skew_hi_ppm) / 2;
  if (doubtful)
    fit_doubtful (self, &fit);
  else
    fit_likely (self, l, soft_ns, &fit);
  *ret_fit = fit;
  return TRUE;
}
