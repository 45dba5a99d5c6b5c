/* SPDX-License-Identifier: Apache-2.0
 *
 * oneway-probe: which of its parts to run.
 */
#include "owd-program.h"
#include "program.h"

#include <math.h>
#include <string.h>

gboolean
owd_probe_parse_duration (const char *text, const char *option, gint64 min_ns, gint64 *ret_ns, GError **error)
{
  static const struct {
    const char *unit;
    double ns;
  } units[] = {
    { "ns", 1 }, { "us", 1e3 },   { "ms", 1e6 },   { "s", 1e9 },
    { "", 1e9 }, { "min", 60e9 }, { "h", 3600e9 }, { "d", 86400e9 },
  };
  char *end;
  double value = g_ascii_strtod (text, &end);

  while (*end == ' ')
    end++;
  for (guint i = 0; end != text && i < G_N_ELEMENTS (units); i++)
    if (g_str_equal (end, units[i].unit) && value * units[i].ns >= (double) min_ns && value * units[i].ns < 9e18) {
      *ret_ns = (gint64) (value * units[i].ns + 0.5);
      return TRUE;
    }
  g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "%s %s: want a time such as 20ms, 1.5s or 2min, at least %g ms",
               option, text, (double) min_ns / 1e6);
  return FALSE;
}

gboolean
owd_probe_parse_name (const char *text, const char *const names[], guint n, const char *option, guint *ret,
                      GError **error)
{
  g_autoptr (GString) known = g_string_new (NULL);

  for (guint i = 0; i < n; i++) {
    if (text == NULL || g_str_equal (text, names[i])) {
      *ret = i;
      return TRUE;
    }
    g_string_append_printf (known, "%s%s", i > 0 ? ", " : "", names[i]);
  }
  g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "%s %s: want one of %s", option, text, known->str);
  return FALSE;
}

static const struct {
  const char *name, *help;
  int (*main) (int argc, char **argv);
} commands[] = {
  { "send", "measure paths to reflectors", owd_probe_send_main },
  { "reflect", "answer probes", owd_probe_reflect_main },
  { "path", "find the routers on the way, and watch the route", owd_probe_path_main },
  { "report", "hold passive samples against probes of the same packets", owd_probe_report_main },
  { "daemon", "measure as oneway.conf says", owd_probe_daemon_main },
  { "calibrate", "bound exporters' clocks by probes", owd_probe_calibrate_main },
  { "load", "put spooled results into the database", owd_probe_load_main },
};

static void
print_help (FILE *out)
{
  fputs ("Usage:\n  oneway-probe COMMAND [OPTION...]\n\nActive one-way-delay measurement: STAMP (RFC 8762, 8972), "
         "TWAMP-Light, TCP, paths.\n\nCommands:\n",
         out);
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    fprintf (out, "  %-10s %s\n", commands[i].name, commands[i].help);
  fputs ("\n'oneway-probe COMMAND --help' lists options; so does oneway-probe(1).\n", out);
}

int
main (int argc, char **argv)
{
  g_autoptr (GOptionContext) context = NULL;
  g_autoptr (OwdConfig) config = NULL;
  int status;

  for (guint i = 0; argc > 1 && i < G_N_ELEMENTS (commands); i++)
    if (g_str_equal (argv[1], commands[i].name)) {
      g_autofree char *name = g_strdup_printf ("oneway-probe %s", argv[1]);

      g_set_prgname (name);
      return commands[i].main (argc - 1, argv + 1);
    }
  if (argc > 1 && (g_str_equal (argv[1], "--help") || g_str_equal (argv[1], "-h"))) {
    print_help (stdout);
    return OWD_EXIT_DONE;
  }
  if (argc > 1 && argv[1][0] != '-') {
    fprintf (stderr, "oneway-probe: error: no command '%s'\n", argv[1]);
    print_help (stderr);
    return OWD_EXIT_USAGE;
  }
  /* --version, --check-config and their like */
  context = g_option_context_new ("COMMAND");
  status = owd_program_start (context, OWD_PROBE_PROGRAM, &argc, &argv, &config);
  if (status < 0) {
    print_help (stderr);
    status = OWD_EXIT_USAGE;
  }
  return status;
}
