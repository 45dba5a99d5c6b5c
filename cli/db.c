/* SPDX-License-Identifier: Apache-2.0
 *
 * oneway db migrate|status: the schema, and who may do what with it.
 */
#include "cli.h"

#include <stdio.h>
#include <string.h>

static void
print_step (void *user, guint step, const char *name)
{
  (void) user;
  (void) step;
  printf ("applied %s\n", name);
}

/* One line for the roles that are in order, one for each that wants something. */
static int
show_roles (const Cli *cli, OwdStore *store, GError **error)
{
  g_autoptr (OwdTable) table = owd_store_list_roles (store, error);
  const char *before = "roles: ";

  (void) cli;
  if (table == NULL)
    return OWD_EXIT_FAILED;
  for (guint r = 0; r < table->n_rows; r++) {
    const char *role = table_cell (table, r, table_column (table, "role"));
    const char *login = table_cell (table, r, table_column (table, "login"));
    const char *advice = table_cell (table, r, table_column (table, "advice"));

    if (advice != NULL)
      fprintf (stderr, CLI_PROGRAM ": role %s: %s\n", login != NULL ? login : role, advice);
    else
      printf ("%s%s", before, login != NULL ? login : role);
    before = advice != NULL ? before : ", ";
  }
  if (before[0] == ',')
    putchar ('\n');
  return OWD_EXIT_DONE;
}

static int
show_version (const Cli *cli, GError **error)
{
  guint version, newest;

  if (!owd_store_version (cli_conninfo (cli), &version, &newest, error))
    return OWD_EXIT_FAILED;
  printf ("schema: step %u of %u\n", version, newest);
  if (version == newest)
    return cli_run (cli, show_roles);
  g_set_error (error, OWD_ERROR, OWD_ERROR_DB,
               version < newest ? "the schema is older than this program: run `oneway db migrate`"
                                : "the schema is newer than this program: upgrade Oneway");
  return OWD_EXIT_FAILED;
}

int
cmd_db (int argc, char **argv)
{
  g_auto (Cli) cli = { 0 };
  GError *error = NULL;
  int status = cli_start (&cli, 0, NULL, "migrate|status",
                          "migrate: creates the schema or brings it to this program's version.\n"
                          "status: says at which step it is, and which roles have rights; exit status 1 unless it\n"
                          "is this program's step.",
                          1, &argc, &argv);

  if (status >= 0)
    return status;
  if (strcmp (argv[1], "migrate") == 0) {
    if (owd_store_migrate (cli_conninfo (&cli), print_step, NULL, &error))
      status = show_version (&cli, &error);
  } else if (strcmp (argv[1], "status") == 0) {
    status = show_version (&cli, &error);
  } else {
    g_set_error (&error, OWD_ERROR, OWD_ERROR_CONFIG, "oneway db %s: give migrate or status", argv[1]);
  }
  return error != NULL ? owd_program_fail (CLI_PROGRAM, error) : status;
}
