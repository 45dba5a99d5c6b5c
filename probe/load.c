/* SPDX-License-Identifier: Apache-2.0
 *
 * oneway-probe load: spooled results into the database, for machines that cannot reach it themselves.
 */
#include "owd-program.h"
#include "program.h"
#include "results.h"

static int
load (const char *conninfo, char **spools, GError **error)
{
  g_autoptr (OwdStore) store = NULL;
  guint loaded = 0, left = 0;

  if (spools == NULL) {
    g_set_error_literal (error, OWD_ERROR, OWD_ERROR_CONFIG, "want spool directories; try 'oneway-probe load --help'");
    return -1;
  }
  store = owd_store_open (conninfo, OWD_PROBE_PROGRAM, error);
  for (guint i = 0; store != NULL && spools[i] != NULL; i++) {
    guint here, bad;

    if (!owd_probe_spool_load (store, spools[i], &here, &bad, error))
      return -1;
    loaded += here;
    left += bad;
  }
  if (store == NULL)
    return -1;
  g_message ("%u files loaded", loaded);
  return left > 0 ? OWD_EXIT_FAILED : loaded > 0 ? OWD_EXIT_DONE : OWD_EXIT_NOTHING;
}

int
owd_probe_load_main (int argc, char **argv)
{
  g_autofree char *db = NULL;
  g_auto (GStrv) spools = NULL;
  const GOptionEntry entries[] = {
    { "db", 0, 0, G_OPTION_ARG_STRING, &db, "PostgreSQL; default: [database] conninfo", "CONNINFO" },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &spools, NULL, "DIR..." },
    { 0 },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (OwdConfig) config = NULL;
  GError *error = NULL;
  int status;

  g_option_context_set_summary (context, "Loads spool directories of oneway-probe into the database.");
  g_option_context_add_main_entries (context, entries, NULL);
  status = owd_program_start (context, OWD_PROBE_PROGRAM, &argc, &argv, &config);
  if (status < 0)
    status = load (db != NULL ? db : owd_config_string (config, "database", "conninfo"), spools, &error);
  if (error != NULL)
    status = owd_program_fail (OWD_PROBE_PROGRAM, error);
  return status;
}
