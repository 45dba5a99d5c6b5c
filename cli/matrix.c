/* SPDX-License-Identifier: Apache-2.0
 *
 * oneway matrix: every pair of points at a glance (medians), then in full.
 */
#include "cli.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static GPtrArray *
point_names (const OwdTable *table)
{
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  int columns[] = { table_column (table, "src"), table_column (table, "dst") };

  for (gsize k = 0; k < G_N_ELEMENTS (columns); k++)
    for (guint r = 0; r < table->n_rows; r++) {
      const char *name = table_cell (table, r, columns[k]);

      if (!g_ptr_array_find_with_equal_func (names, name, g_str_equal, NULL))
        g_ptr_array_add (names, g_strdup (name));
    }
  return names;
}

/* The median from src to dst: "-" for a pair without samples now, "" for one never seen. */
static char *
median_text (const OwdTable *table, const char *src, const char *dst)
{
  int from = table_column (table, "src"), to = table_column (table, "dst"), p50 = table_column (table, "p50_ms");

  for (guint r = 0; r < table->n_rows; r++)
    if (strcmp (table_cell (table, r, from), src) == 0 && strcmp (table_cell (table, r, to), dst) == 0) {
      double v = table_number (table, r, p50);

      return isnan (v) ? g_strdup ("-") : g_strdup_printf ("%.*f", decimals_for (fabs (v)), v);
    }
  return g_strdup ("");
}

/* Names are cut to the cell's width: the list below has them in full. */
static void
print_padded (const char *text, int width)
{
  g_autofree char *cut = g_utf8_substring (text, 0, MIN (g_utf8_strlen (text, -1), width));

  printf ("%*s%s", (int) (width - g_utf8_strlen (cut, -1)), "", cut);
}

static void
print_head (const char *text, int width)
{
  g_autofree char *cut = g_utf8_substring (text, 0, MIN (g_utf8_strlen (text, -1), width));

  printf ("%s%*s", cut, (int) (width - g_utf8_strlen (cut, -1)), "");
}

static void
print_grid (const OwdTable *table, guint width)
{
  enum { CELL = 10, HEAD = 16 };
  g_autoptr (GPtrArray) names = point_names (table);

  if (names->len < 2 || HEAD + names->len * (CELL + 1) > width)
    return;
  printf ("%-*s", HEAD, "from \\ to");
  for (guint c = 0; c < names->len; c++) {
    putchar (' ');
    print_padded (g_ptr_array_index (names, c), CELL);
  }
  putchar ('\n');
  for (guint r = 0; r < names->len; r++) {
    print_head (g_ptr_array_index (names, r), HEAD);
    for (guint c = 0; c < names->len; c++) {
      g_autofree char *cell = median_text (table, g_ptr_array_index (names, r), g_ptr_array_index (names, c));

      putchar (' ');
      print_padded (cell, CELL);
    }
    putchar ('\n');
  }
  putchar ('\n');
}

static int
report (const Cli *cli, OwdStore *store, GError **error)
{
  static const CliColumn columns[] = {
    { "src", "from", CELL_TEXT, FALSE },   { "dst", "to", CELL_TEXT, FALSE },
    { "n", "n", CELL_COUNT, FALSE },       { "min_ms", "min", CELL_MS, FALSE },
    { "mean_ms", "mean", CELL_MS, FALSE }, { "p50_ms", "p50", CELL_MS, FALSE },
    { "p95_ms", "p95", CELL_MS, FALSE },   { "sigma_ms", "sigma", CELL_MS, FALSE },
    { "loss", "loss", CELL_MS, TRUE },     { "last_seen", "last seen (UTC)", CELL_TIME, FALSE },
  };
  char from_text[OWD_TIME_TEXT], to_text[OWD_TIME_TEXT];
  g_autoptr (OwdTable) table = NULL;
  OwdTime from, to;

  if (!owd_store_range (store, NULL, NULL, cli->from, cli->to, &from, &to, error))
    return OWD_EXIT_FAILED;
  if (from == OWD_TIME_NONE || to == OWD_TIME_NONE)
    from = to = 0; /* no path at all: an empty matrix */
  table = owd_store_matrix (store, owd_time_text (from, from_text), owd_time_text (to, to_text), error);
  if (table == NULL)
    return OWD_EXIT_FAILED;
  if (print_machine (cli, table))
    return table->n_rows > 0 ? OWD_EXIT_DONE : OWD_EXIT_NOTHING;
  if (table->n_rows == 0)
    return cli_nothing ("no path has been seen yet");
  from_text[10] = to_text[10] = ' ';
  printf ("One-way delay in ms, %.19s to %.19s UTC (first medians, then all)\n\n", from_text, to_text);
  print_grid (table, cli_width ());
  print_text (table, columns, G_N_ELEMENTS (columns), 0);
  return OWD_EXIT_DONE;
}

int
cmd_matrix (int argc, char **argv)
{
  g_auto (Cli) cli = { 0 };
  int status = cli_start (&cli, CLI_WITH_FORMAT | CLI_WITH_RANGE, NULL, "",
                          "One-way delay between every pair of observation points.", 0, &argc, &argv);

  return status >= 0 ? status : cli_run (&cli, report);
}
