/* SPDX-License-Identifier: Apache-2.0
 *
 * oneway exporters: who exports, how much, how late, and how well its clock is known.
 */
#include "cli.h"

static int
report (const Cli *cli, OwdStore *store, GError **error)
{
  static const CliColumn columns[] = {
    { "name", "name", CELL_TEXT, FALSE },
    { "addr", "address", CELL_TEXT, FALSE },
    { "domain", "domain", CELL_COUNT, FALSE },
    { "version", "version", CELL_COUNT, FALSE },
    { "records", "records", CELL_COUNT, FALSE },
    { "last_seen", "last seen (UTC)", CELL_TIME, FALSE },
    { "start_step_ms", "start step", CELL_MS, TRUE },
    { "end_step_ms", "end step", CELL_MS, TRUE },
    { "boot_width_ms", "boot +-", CELL_MS, TRUE },
    { "segments", "clocks", CELL_COUNT, FALSE },
    { "lag_p50_ms", "lag p50", CELL_MS, TRUE },
    { "lag_p99_ms", "p99", CELL_MS, TRUE },
    { "sampling", "1 in", CELL_COUNT, TRUE },
  };
  g_autoptr (OwdTable) table = owd_store_list_exporters (store, error);

  if (table == NULL)
    return OWD_EXIT_FAILED;
  if (print_machine (cli, table))
    return table->n_rows > 0 ? OWD_EXIT_DONE : OWD_EXIT_NOTHING;
  if (table->n_rows == 0)
    return cli_nothing ("no exporter has been seen yet");
  print_text (table, columns, G_N_ELEMENTS (columns), 0);
  return OWD_EXIT_DONE;
}

int
cmd_exporters (int argc, char **argv)
{
  g_auto (Cli) cli = { 0 };
  int status = cli_start (&cli, CLI_WITH_FORMAT, NULL, "", "Exporters seen, one line per address, domain and version.",
                          0, &argc, &argv);

  return status >= 0 ? status : cli_run (&cli, report);
}
