/* SPDX-License-Identifier: Apache-2.0
 *
 * oneway profiles: what oneway-profiler measured of each exporter's stamps.
 */
#include "cli.h"

static int
report (const Cli *cli, OwdStore *store, GError **error)
{
  static const CliColumn columns[] = {
    { "name", "name", CELL_TEXT, FALSE },
    { "valid_from", "from (UTC)", CELL_TIME, FALSE },
    { "began", "began", CELL_TEXT, FALSE },
    { "records", "records", CELL_COUNT, FALSE },
    { "start_step_ms", "start step", CELL_MS, TRUE },
    { "end_step_ms", "end step", CELL_MS, TRUE },
    { "uptime", "uptime", CELL_TEXT, FALSE },
    { "boot_width_ms", "boot +-", CELL_MS, TRUE },
    { "skew_ppm", "skew ppm", CELL_MS, TRUE },
    { "active_s", "active s", CELL_MS, TRUE },
    { "inactive_s", "inactive s", CELL_MS, TRUE },
    { "lag_p99_ms", "lag p99", CELL_MS, TRUE },
    { "sampling", "1 in", CELL_COUNT, TRUE },
  };
  g_autoptr (OwdTable) table = owd_store_list_profiles (store, error);

  if (table == NULL)
    return OWD_EXIT_FAILED;
  if (print_machine (cli, table))
    return table->n_rows > 0 ? OWD_EXIT_DONE : OWD_EXIT_NOTHING;
  if (table->n_rows == 0)
    return cli_nothing ("no profile has been made yet; oneway-profiler makes them");
  print_text (table, columns, G_N_ELEMENTS (columns), 0);
  return OWD_EXIT_DONE;
}

int
cmd_profiles (int argc, char **argv)
{
  g_auto (Cli) cli = { 0 };
  int status = cli_start (
      &cli, CLI_WITH_FORMAT, NULL, "",
      "Newest error profile of each exporter, one line per segment between reboots and clock steps.", 0, &argc, &argv);

  return status >= 0 ? status : cli_run (&cli, report);
}
