/* SPDX-License-Identifier: Apache-2.0
 *
 * oneway paths: every ordered pair of points that has samples; the names to ask a timeline for.
 */
#include "cli.h"

static int
report (const Cli *cli, OwdStore *store, GError **error)
{
  static const CliColumn columns[] = {
    { "src", "from", CELL_TEXT, FALSE },
    { "dst", "to", CELL_TEXT, FALSE },
    { "first_seen", "first sample (UTC)", CELL_TIME, FALSE },
    { "last_seen", "last sample (UTC)", CELL_TIME, FALSE },
    { "last_owd_ms", "delay ms", CELL_MS, FALSE },
    { "last_sigma_ms", "sigma", CELL_MS, FALSE },
    { "floor_ms", "light ms", CELL_MS, FALSE },
  };
  g_autoptr (OwdTable) table = owd_store_list_paths (store, error);

  if (table == NULL)
    return OWD_EXIT_FAILED;
  if (print_machine (cli, table))
    return table->n_rows > 0 ? OWD_EXIT_DONE : OWD_EXIT_NOTHING;
  if (table->n_rows == 0)
    return cli_nothing ("no path has been seen yet");
  print_text (table, columns, G_N_ELEMENTS (columns), 0);
  return OWD_EXIT_DONE;
}

int
cmd_paths (int argc, char **argv)
{
  g_auto (Cli) cli = { 0 };
  int status = cli_start (&cli, CLI_WITH_FORMAT, NULL, "", "Paths that have one-way-delay samples.", 0, &argc, &argv);

  return status >= 0 ? status : cli_run (&cli, report);
}
