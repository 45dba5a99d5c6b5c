/* SPDX-License-Identifier: Apache-2.0
 *
 * oneway status: is the chain working, and how far has it come.
 */
#include "cli.h"

#include <stdio.h>

static const char *
cell (const OwdTable *table, const char *name)
{
  const char *text = table_cell (table, 0, table_column (table, name));

  return text != NULL ? text : "none yet";
}

static void
print_status (const OwdTable *table)
{
  g_autofree char *size = g_format_size_full ((guint64) table_number (table, 0, table_column (table, "sample_bytes")),
                                              G_FORMAT_SIZE_IEC_UNITS);

  printf ("watermark  %s; samples up to it are final\n", cell (table, "watermark"));
  printf ("log        worked off up to %s, %s partitions\n", cell (table, "log_time"), cell (table, "partitions"));
  printf ("samples    %s delivered, %s to %s, %s kept\n", cell (table, "samples"), cell (table, "first_sample"),
          cell (table, "last_sample"), size);
  if (table_number (table, 0, table_column (table, "excess")) > 0)
    printf ("           and %s beyond raw-samples-per-minute, in roll-ups only\n", cell (table, "excess"));
  if (table_number (table, 0, table_column (table, "flows_kept")) < 1)
    printf ("           of %.1f %% of the flows: more comes than max-flows holds, max-rate allows or can be worked off "
            "within max-lag\n",
            100 * table_number (table, 0, table_column (table, "flows_kept")));
  printf ("seen       %s exporters, %s paths\n", cell (table, "exporters"), cell (table, "paths"));
  printf ("schema     step %s\n", cell (table, "schema_version"));
}

static int
report (const Cli *cli, OwdStore *store, GError **error)
{
  g_autoptr (OwdTable) table = owd_store_status (store, error);

  if (table == NULL)
    return OWD_EXIT_FAILED;
  if (!print_machine (cli, table))
    print_status (table);
  return table_number (table, 0, table_column (table, "samples")) > 0 ? OWD_EXIT_DONE : OWD_EXIT_NOTHING;
}

int
cmd_status (int argc, char **argv)
{
  g_auto (Cli) cli = { 0 };
  int status = cli_start (&cli, CLI_WITH_FORMAT, NULL, "", "How far the log has been worked off, and what came out.", 0,
                          &argc, &argv);

  return status >= 0 ? status : cli_run (&cli, report);
}
