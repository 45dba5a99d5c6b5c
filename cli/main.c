/* SPDX-License-Identifier: Apache-2.0
 *
 * oneway COMMAND ...: the front end. Reads the database through the public SQL interface; changes nothing but the
 * schema (db migrate).
 */
#include "cli.h"

#include <string.h>

static const struct {
  const char *name;
  int (*run) (int argc, char **argv);
} COMMANDS[] = {
  { "db", cmd_db },
  { "doctor", cmd_doctor },
  { "events", cmd_events },
  { "exporters", cmd_exporters },
  { "matrix", cmd_matrix },
  { "paths", cmd_paths },
  { "profiles", cmd_profiles },
  { "status", cmd_status },
  { "timeline", cmd_timeline },
};

static const char SUMMARY[]
    = "Commands:\n"
      "  status             how far the log has been worked off\n"
      "  exporters          who exports, how late, how well its clock is known\n"
      "  paths              pairs of observation points that have samples\n"
      "  timeline SRC DST   one-way delay over time, as plot and table\n"
      "  matrix             one-way delay between every pair of points\n"
      "  events             what was out of the ordinary: raised, cleared, and what it rests on\n"
      "  profiles           errors of every exporter's stamps, as oneway-profiler measured them\n"
      "  doctor             what is wrong with which exporter and what to change on it\n"
      "  db migrate|status  create or upgrade the database's schema\n"
      "\n"
      "oneway COMMAND --help says more.";

/* No command: --help, --version and their like, or a usage error. */
static int
run_bare (int argc, char **argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new ("COMMAND");
  g_autoptr (OwdConfig) config = NULL;
  GError *error = NULL;
  int status;

  g_option_context_set_summary (context, SUMMARY);
  status = owd_program_start (context, CLI_PROGRAM, &argc, &argv, &config);
  if (status >= 0)
    return status;
  if (argc > 1)
    g_set_error (&error, OWD_ERROR, OWD_ERROR_CONFIG, "no command \"%s\"; 'oneway --help' lists them", argv[1]);
  else
    g_set_error (&error, OWD_ERROR, OWD_ERROR_CONFIG, "a command is missing; 'oneway --help' lists them");
  return owd_program_fail (CLI_PROGRAM, error);
}

int
main (int argc, char **argv)
{
  for (gsize i = 0; argc > 1 && i < G_N_ELEMENTS (COMMANDS); i++)
    if (strcmp (argv[1], COMMANDS[i].name) == 0)
      return COMMANDS[i].run (argc - 1, argv + 1);
  return run_bare (argc, argv);
}
