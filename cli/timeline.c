/* SPDX-License-Identifier: Apache-2.0
 *
 * oneway timeline SRC DST: a plot to see when something changed, a table to read how much.
 *
 * The plot has its own bins: as fine as the terminal shows, but wide enough for some samples each, because the
 * percentiles of three samples are noise.
 */
#include "cli.h"

#include <stdio.h>
#include <string.h>

#define TABLE_ROWS 20
#define PLOT_HEIGHT 13
#define SAMPLES_PER_PLOT_BIN 8

typedef struct {
  const char *src, *dst;
  OwdTime from, to;
  char *step; /* as PostgreSQL reads it */
} Request;

static void
request_clear (Request *request)
{
  g_clear_pointer (&request->step, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Request, request_clear)

static OwdTable *
fetch (OwdStore *store, const Request *request, const char *step, GError **error)
{
  char from[OWD_TIME_TEXT], to[OWD_TIME_TEXT];

  return owd_store_timeline (store, request->src, request->dst, owd_time_text (request->from, from),
                             owd_time_text (request->to, to), step, error);
}

/* Fills range and step in. A begin that was not asked for to the second is moved to a round time. */
static gboolean
settle (OwdStore *store, const Cli *cli, Request *request, GError **error)
{
  gint64 step_ns;

  if (!owd_store_range (store, request->src, request->dst, cli->from, cli->to, &request->from, &request->to, error))
    return FALSE;
  if (request->from == OWD_TIME_NONE || request->to <= request->from)
    return TRUE;
  step_ns = nice_step ((request->to - request->from) / TABLE_ROWS);
  if (cli->from == NULL || cli->from[0] == '-')
    request->from = floor_to (request->from, step_ns);
  if (request->step == NULL)
    request->step = step_text (step_ns);
  return TRUE;
}

static guint64
count_samples (const OwdTable *table)
{
  guint64 n = 0;
  int column = table_column (table, "n");

  for (guint r = 0; r < table->n_rows; r++)
    n += g_ascii_strtoull (table_cell (table, r, column), NULL, 10);
  return n;
}

static PlotBin *
plot_bins (const OwdTable *table)
{
  PlotBin *bins = g_new (PlotBin, table->n_rows);
  int at = table_column (table, "bin"), low = table_column (table, "p05_ms");
  int mid = table_column (table, "p50_ms"), high = table_column (table, "p95_ms");

  for (guint r = 0; r < table->n_rows; r++)
    bins[r] = (PlotBin){ .at = parse_instant (table_cell (table, r, at)),
                         .low = table_number (table, r, low),
                         .mid = table_number (table, r, mid),
                         .high = table_number (table, r, high) };
  return bins;
}

static gboolean
print_plot (OwdStore *store, const Cli *cli, const Request *request, guint64 n_samples, GError **error)
{
  Plot plot = {
    .from = request->from, .to = request->to, .width = cli_width (), .height = PLOT_HEIGHT, .unicode = cli_unicode (cli)
  };
  double span = (double) (request->to - request->from);
  g_autofree char *step = NULL;
  g_autofree PlotBin *bins = NULL;
  g_autoptr (OwdTable) table = NULL;

  plot.step_ns = nice_step (
      (gint64) (span * MAX (0.5 / plot_columns (plot.width), SAMPLES_PER_PLOT_BIN / (double) MAX (n_samples, 1))));
  step = step_text (plot.step_ns);
  table = fetch (store, request, step, error);
  if (table == NULL)
    return FALSE;
  bins = plot_bins (table);
  plot.bins = bins;
  plot.n = table->n_rows;
  plot_print (&plot);
  if (plot.unicode)
    printf ("%10s⠤ median   ░ 5 %% to 95 %%   %s per bin\n\n", "", step);
  else
    printf ("%10s* median   : 5 %% to 95 %%   %s per bin\n\n", "", step);
  return TRUE;
}

static gboolean
same_day (OwdTime a, OwdTime b)
{
  return floor_to (a, 86400 * OWD_NS_PER_S) == floor_to (b - 1, 86400 * OWD_NS_PER_S);
}

static void
print_title (const Request *request, guint64 n_samples, gboolean unicode)
{
  char from[OWD_TIME_TEXT], to[OWD_TIME_TEXT];
  gboolean one_day = same_day (request->from, request->to);

  owd_time_text (request->from, from);
  owd_time_text (request->to, to);
  from[10] = to[10] = ' ';
  printf ("%s %s %s: one-way delay in ms, %" G_GUINT64_FORMAT " samples\n%.19s to %.*s UTC\n\n", request->src,
          unicode ? "→" : "->", request->dst, n_samples, from, one_day ? 8 : 19, one_day ? to + 11 : to);
}

static void
print_table (const OwdTable *table, const Request *request)
{
  const CliColumn columns[] = {
    { "bin", "from", same_day (request->from, request->to) ? CELL_CLOCK : CELL_TIME, FALSE },
    { "n", "n", CELL_COUNT, FALSE },
    { "min_ms", "min", CELL_MS, FALSE },
    { "mean_ms", "mean", CELL_MS, FALSE },
    { "stderr_ms", "+-", CELL_MS, FALSE },
    { "p05_ms", "p05", CELL_MS, FALSE },
    { "p50_ms", "p50", CELL_MS, FALSE },
    { "p95_ms", "p95", CELL_MS, FALSE },
    { "p99_ms", "p99", CELL_MS, FALSE },
    { "max_ms", "max", CELL_MS, FALSE },
    { "ipdv_ms", "ipdv", CELL_MS, TRUE },
    { "loss", "loss", CELL_MS, TRUE },
  };

  print_text (table, columns, G_N_ELEMENTS (columns), 0);
}

static int
report (const Cli *cli, OwdStore *store, GError **error)
{
  g_auto (Request) request = { .src = cli->arguments[0], .dst = cli->arguments[1], .step = g_strdup (cli->step) };
  g_autoptr (OwdTable) table = NULL;
  guint64 n;

  if (!settle (store, cli, &request, error))
    return OWD_EXIT_FAILED;
  /* also for an empty range: a name that nobody knows must be told */
  table = request.from != OWD_TIME_NONE && request.step != NULL
              ? fetch (store, &request, request.step, error)
              : owd_store_timeline (store, request.src, request.dst, "now", "now", "1 s", error);
  if (table == NULL)
    return OWD_EXIT_FAILED;
  if (print_machine (cli, table))
    return table->n_rows > 0 ? OWD_EXIT_DONE : OWD_EXIT_NOTHING;
  if (table->n_rows == 0)
    return cli_nothing ("no samples from %s to %s in this range", request.src, request.dst);
  n = count_samples (table);
  print_title (&request, n, cli_unicode (cli));
  if (!print_plot (store, cli, &request, n, error))
    return OWD_EXIT_FAILED;
  print_table (table, &request);
  return OWD_EXIT_DONE;
}

int
cmd_timeline (int argc, char **argv)
{
  g_auto (Cli) cli = { 0 };
  const GOptionEntry own[] = { { "step", 0, 0, G_OPTION_ARG_STRING, &cli.step,
                                 "Width of a bin, e.g. '10 s' (default: about 20 bins)", "TIME" },
                               { 0 } };
  int status = cli_start (&cli, CLI_WITH_FORMAT | CLI_WITH_RANGE, own, "SRC DST",
                          "One-way delay from the observation point SRC to DST over time.", 2, &argc, &argv);

  cli.arguments = argv + 1;
  return status >= 0 ? status : cli_run (&cli, report);
}
