/* SPDX-License-Identifier: Apache-2.0
 *
 * A timeline in a terminal: the median as a line of braille dots (2 x 4 per character), the band from p05 to p95 as
 * shade behind it.
 *
 *   36.1 +                             ....      The vertical axis spans what most columns show: the few that reach
 *        |                                       further are cut and marked, so that one blunder does not flatten
 *   20.0 +......................                 the rest. Medians are never cut.
 *        +--+-----------+-----------+----
 *           06:47       06:48       06:49
 */
#include "cli.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LABEL 9 /* characters left of the vertical axis */
#define DOT_ROWS 4
#define DOT_COLUMNS 2

guint
plot_columns (guint width)
{
  return width - LABEL - 2;
}

/* ---- the scale --------------------------------------------------------------------------------- */

typedef struct {
  double min, max; /* ms */
  int decimals;
} Scale;

static int
by_value (gconstpointer a, gconstpointer b)
{
  const double *x = a, *y = b;

  return (*x > *y) - (*x < *y);
}

/* What all but one in twenty reach, in the direction of sign. */
static double
common_reach (const Plot *plot, double sign)
{
  g_autofree double *values = g_new (double, plot->n);

  for (gsize i = 0; i < plot->n; i++)
    values[i] = sign > 0 ? plot->bins[i].high : -plot->bins[i].low;
  qsort (values, plot->n, sizeof *values, by_value);
  return sign * values[(plot->n - 1) * 19 / 20];
}

static Scale
scale_of (const Plot *plot)
{
  Scale scale = { .min = common_reach (plot, -1), .max = common_reach (plot, 1) };
  double room;

  for (gsize i = 0; i < plot->n; i++) {
    scale.min = MIN (scale.min, plot->bins[i].mid);
    scale.max = MAX (scale.max, plot->bins[i].mid);
  }
  /* a flat line stays flat: its last digit is not worth the whole height */
  room = MAX (0.2, 0.1 * MAX (fabs (scale.min), fabs (scale.max))) - (scale.max - scale.min);
  if (room > 0) {
    scale.min -= room / 2;
    scale.max += room / 2;
  }
  scale.decimals = scale.max - scale.min < 2 ? 2 : 1;
  return scale;
}

/* Row of dots for a value, 0 at the bottom. */
static int
dot_row (const Scale *scale, double v, int rows)
{
  int row = (int) floor ((v - scale->min) / (scale->max - scale->min) * rows);

  return CLAMP (row, 0, rows - 1);
}

/* ---- the canvas -------------------------------------------------------------------------------- */

typedef struct {
  guint8 dots;   /* braille bits: the median */
  gboolean band; /* between p05 and p95 */
  gboolean cut;  /* the band goes on beyond the scale */
} Cell;

typedef struct {
  guint columns, rows;
  Cell *cells; /* row 0 at the top */
} Canvas;

static Cell *
cell_at (const Canvas *canvas, guint row_from_below, guint column)
{
  return &canvas->cells[(gsize) (canvas->rows - 1 - row_from_below) * canvas->columns + column];
}

/* Bits of U+2800: left column 0x01 0x02 0x04 0x40 from above, right one 0x08 0x10 0x20 0x80. */
static guint8
braille_bit (guint dot_column, guint dot_row_from_below)
{
  static const guint8 bits[DOT_COLUMNS][DOT_ROWS] = { { 0x40, 0x04, 0x02, 0x01 }, { 0x80, 0x20, 0x10, 0x08 } };

  return bits[dot_column][dot_row_from_below];
}

/* The bin that covers t, or NULL. *i moves along with rising t. */
static const PlotBin *
bin_at (const Plot *plot, OwdTime t, gsize *i)
{
  while (*i + 1 < plot->n && plot->bins[*i + 1].at <= t)
    (*i)++;
  if (plot->bins[*i].at > t || t - plot->bins[*i].at >= plot->step_ns)
    return NULL;
  return &plot->bins[*i];
}

static void
draw_bin (Canvas *canvas, const Scale *scale, const PlotBin *bin, guint x)
{
  int rows = (int) canvas->rows * DOT_ROWS;
  int low = dot_row (scale, bin->low, rows), mid = dot_row (scale, bin->mid, rows),
      high = dot_row (scale, bin->high, rows);

  for (int row = low / DOT_ROWS; row <= high / DOT_ROWS; row++)
    cell_at (canvas, (guint) row, x / DOT_COLUMNS)->band = TRUE;
  cell_at (canvas, (guint) (mid / DOT_ROWS), x / DOT_COLUMNS)->dots
      |= braille_bit (x % DOT_COLUMNS, (guint) (mid % DOT_ROWS));
  if (bin->high > scale->max)
    cell_at (canvas, canvas->rows - 1, x / DOT_COLUMNS)->cut = TRUE;
  if (bin->low < scale->min)
    cell_at (canvas, 0, x / DOT_COLUMNS)->cut = TRUE;
}

static void
draw_bins (Canvas *canvas, const Plot *plot, const Scale *scale)
{
  guint n = canvas->columns * DOT_COLUMNS;
  double per_dot = (double) (plot->to - plot->from) / n;
  gsize i = 0;

  for (guint x = 0; x < n; x++) {
    const PlotBin *bin = bin_at (plot, plot->from + (gint64) ((x + 0.5) * per_dot), &i);

    if (bin != NULL)
      draw_bin (canvas, scale, bin, x);
  }
}

static void
print_cell (const Cell *cell, gboolean top, gboolean unicode)
{
  if (cell->dots != 0 && unicode)
    printf ("\xe2%c%c", 0xa0 | cell->dots >> 6, 0x80 | (cell->dots & 0x3f));
  else if (cell->dots != 0)
    putchar ('*');
  else if (cell->cut)
    fputs (unicode ? (top ? "↑" : "↓") : (top ? "^" : "v"), stdout);
  else if (cell->band)
    fputs (unicode ? "░" : ":", stdout);
  else
    putchar (' ');
}

/* Values at the top, in the middle and at the bottom. */
static void
print_rows (const Canvas *canvas, const Scale *scale, gboolean unicode)
{
  for (guint row = 0; row < canvas->rows; row++) {
    gboolean labelled = row == 0 || row == canvas->rows - 1 || (canvas->rows % 2 == 1 && row == canvas->rows / 2);

    if (labelled)
      printf ("%*.*f %s", LABEL - 1, scale->decimals, scale->max - (scale->max - scale->min) * row / (canvas->rows - 1),
              unicode ? "┤" : "+");
    else
      printf ("%*s%s", LABEL, "", unicode ? "│" : "|");
    for (guint column = 0; column < canvas->columns; column++)
      print_cell (&canvas->cells[(gsize) row * canvas->columns + column], row == 0, unicode);
    putchar ('\n');
  }
}

/* ---- the time axis ----------------------------------------------------------------------------- */

static void
print_time_axis (const Plot *plot, guint columns)
{
  gint64 span = plot->to - plot->from, tick = nice_step (MAX (span / MAX (columns / 12, 1), OWD_NS_PER_MS));
  g_autoptr (GString) labels = g_string_new (NULL);
  g_autofree gboolean *ticks = g_new0 (gboolean, columns);

  for (OwdTime t = floor_to (plot->from + tick - 1, tick); t < plot->to; t += tick) {
    guint column = (guint) ((double) (t - plot->from) / (double) span * columns);
    g_autofree char *text = clock_text (t, tick);

    if (column + strlen (text) > columns || (labels->len > 0 && labels->len + 1 > column))
      continue;
    ticks[column] = TRUE;
    g_string_append_printf (labels, "%*s%s", (int) (column - labels->len), "", text);
  }
  printf ("%*s%s", LABEL, "", plot->unicode ? "└" : "+");
  for (guint column = 0; column < columns; column++)
    fputs (plot->unicode ? (ticks[column] ? "┬" : "─") : (ticks[column] ? "+" : "-"), stdout);
  printf ("\n%*s%s\n", LABEL + 1, "", labels->str);
}

void
plot_print (const Plot *plot)
{
  Canvas canvas = { .columns = plot_columns (plot->width), .rows = plot->height - 2 };
  Scale scale;

  if (plot->n == 0 || plot->to <= plot->from)
    return;
  canvas.cells = g_new0 (Cell, (gsize) canvas.columns * canvas.rows);
  scale = scale_of (plot);
  draw_bins (&canvas, plot, &scale);
  print_rows (&canvas, &scale, plot->unicode);
  print_time_axis (plot, canvas.columns);
  g_free (canvas.cells);
}
