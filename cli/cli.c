/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static gboolean
read_format (Cli *cli, GError **error)
{
  static const char *const names[] = { [CLI_TEXT] = "text", [CLI_JSON] = "json", [CLI_CSV] = "csv" };

  if (cli->format_name == NULL)
    return TRUE;
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    if (strcmp (cli->format_name, names[i]) == 0) {
      cli->format = (CliFormat) i;
      return TRUE;
    }
  g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "--format %s: give text, json or csv", cli->format_name);
  return FALSE;
}

static void
add_options (GOptionContext *context, Cli *cli, guint with, const GOptionEntry *own)
{
  const GOptionEntry db[] = { { "db", 0, 0, G_OPTION_ARG_STRING, &cli->db,
                                "Database (default: $ONEWAY_DB, then [database] conninfo)", "CONNINFO" },
                              { 0 } };
  const GOptionEntry format[]
      = { { "format", 0, 0, G_OPTION_ARG_STRING, &cli->format_name, "text, json or csv (default: text)", "FORMAT" },
          { "ascii", 0, 0, G_OPTION_ARG_NONE, &cli->ascii, "Draw with ASCII characters only", NULL },
          { 0 } };
  const GOptionEntry range[]
      = { { "from", 0, 0, G_OPTION_ARG_STRING, &cli->from,
            "Begin of the range, e.g. '2026-11-22 06:00' (UTC), or '-15 min' before its end (default: -1 h)", "TIME" },
          { "to", 0, 0, G_OPTION_ARG_STRING, &cli->to, "End of the range (default: the last sample)", "TIME" },
          { 0 } };

  if (with & CLI_WITH_RANGE)
    g_option_context_add_main_entries (context, range, NULL);
  if (own != NULL)
    g_option_context_add_main_entries (context, own, NULL);
  if (with & CLI_WITH_FORMAT)
    g_option_context_add_main_entries (context, format, NULL);
  g_option_context_add_main_entries (context, db, NULL);
}

int
cli_start (Cli *cli, guint with, const GOptionEntry *own, const char *synopsis, const char *summary, int n_arguments,
           int *argc, char ***argv)
{
  g_autofree char *name = g_strdup_printf (CLI_PROGRAM " %s", (*argv)[0]);
  g_autoptr (GOptionContext) context = g_option_context_new (synopsis);
  GError *error = NULL;
  int status;

  g_set_prgname (name);
  g_option_context_set_summary (context, summary);
  add_options (context, cli, with, own);
  status = owd_program_start (context, CLI_PROGRAM, argc, argv, &cli->config);
  if (status >= 0)
    return status;
  if (*argc - 1 != n_arguments)
    g_set_error (&error, OWD_ERROR, OWD_ERROR_CONFIG, "usage: %s [OPTION...] %s (%s --help says more)", name, synopsis,
                 name);
  else
    (void) read_format (cli, &error);
  return error != NULL ? owd_program_fail (CLI_PROGRAM, error) : -1;
}

void
cli_clear (Cli *cli)
{
  g_clear_pointer (&cli->db, g_free);
  g_clear_pointer (&cli->from, g_free);
  g_clear_pointer (&cli->to, g_free);
  g_clear_pointer (&cli->step, g_free);
  g_clear_pointer (&cli->format_name, g_free);
  g_clear_pointer (&cli->config, owd_config_unref);
}

const char *
cli_conninfo (const Cli *cli)
{
  const char *environment = g_getenv ("ONEWAY_DB");

  if (cli->db != NULL)
    return cli->db;
  if (environment != NULL && environment[0] != '\0')
    return environment;
  return owd_config_string (cli->config, "database", "conninfo");
}

int
cli_run (const Cli *cli, CliReport report)
{
  GError *error = NULL;
  g_autoptr (OwdStore) store = owd_store_open (cli_conninfo (cli), CLI_PROGRAM, &error);
  int status = store != NULL ? report (cli, store, &error) : OWD_EXIT_FAILED;

  return error != NULL ? owd_program_fail (CLI_PROGRAM, error) : status;
}

int
cli_nothing (const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  fprintf (stderr, CLI_PROGRAM ": %s\n", text);
  return OWD_EXIT_NOTHING;
}

/* Without any locale at all, which is how containers come, terminals still show UTF-8. */
gboolean
cli_unicode (const Cli *cli)
{
  static const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };

  if (cli->ascii)
    return FALSE;
  if (g_get_charset (NULL))
    return TRUE;
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++) {
    const char *locale = g_getenv (names[i]);

    if (locale != NULL && locale[0] != '\0')
      return FALSE;
  }
  return TRUE;
}

guint
cli_width (void)
{
  const char *columns = g_getenv ("COLUMNS");
  struct winsize size;
  guint width = 80;

  if (isatty (STDOUT_FILENO) && ioctl (STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    width = size.ws_col;
  else if (columns != NULL && atoi (columns) > 0)
    width = (guint) atoi (columns);
  return CLAMP (width, 60, 200);
}
