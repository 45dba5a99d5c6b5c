/* SPDX-License-Identifier: Apache-2.0
 *
 * oneway db migrate|status: the schema.
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

static int
show_version (const Cli *cli, GError **error)
{
  guint version, newest;

  if (!owd_store_version (cli_conninfo (cli), &version, &newest, error))
    return OWD_EXIT_FAILED;
  printf ("schema: step %u of %u\n", version, newest);
  if (version == newest)
    return OWD_EXIT_DONE;
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
                          "status: says at which step it is; exit status 1 unless it is this program's.",
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
