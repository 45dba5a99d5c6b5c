/* SPDX-License-Identifier: Apache-2.0
 *
 * oneway doctor: what is wrong with which exporter and what to change on it, in plain words.
 */
#include "cli.h"

#include <stdio.h>

/* One exporter a paragraph. */
static void
print_findings (const OwdTable *table)
{
  int name = table_column (table, "name"), finding = table_column (table, "finding");
  const char *last = NULL;

  for (guint r = 0; r < table->n_rows; r++) {
    const char *here = table_cell (table, r, name);

    if (g_strcmp0 (here, last) != 0)
      printf ("%s%s\n", last != NULL ? "\n" : "", here);
    printf ("  - %s\n", table_cell (table, r, finding));
    last = here;
  }
}

static int
report (const Cli *cli, OwdStore *store, GError **error)
{
  g_autoptr (OwdTable) table = owd_store_list_findings (store, error);
  g_autoptr (OwdTable) profiles = table != NULL ? owd_store_list_profiles (store, error) : NULL;

  if (profiles == NULL)
    return OWD_EXIT_FAILED;
  if (print_machine (cli, table))
    return OWD_EXIT_DONE;
  if (table->n_rows == 0 && profiles->n_rows == 0)
    return cli_nothing ("no exporter has been seen yet");
  if (table->n_rows == 0)
    puts ("nothing is wrong with any exporter, as far as their exports tell");
  print_findings (table);
  return OWD_EXIT_DONE;
}

int
cmd_doctor (int argc, char **argv)
{
  g_auto (Cli) cli = { 0 };
  int status = cli_start (&cli, CLI_WITH_FORMAT, NULL, "",
                          "What is wrong with which exporter, and what to change on it.", 0, &argc, &argv);

  return status >= 0 ? status : cli_run (&cli, report);
}
