/* SPDX-License-Identifier: Apache-2.0
 *
 * oneway-sim: exports of a made-up network, as a capture file or live, and the truth about them. Wiring only.
 */
#include "output.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

static volatile gint stop;

typedef struct {
  gboolean list, version;
  char *write, *send, *truth, *duration;
  gint64 seed;
  double rate;
  int exporters;
  char **scenario;
} Options;

static void
on_signal (int signal_number)
{
  (void) signal_number;
  stop = 1;
}

static void
list_scenarios (void)
{
  const OwdSimScenario *s;

  printf ("%-16s %9s %8s  %s\n", "scenario", "seconds", "flows/s", "what it shows");
  for (guint i = 0; (s = owd_sim_scenario (i)) != NULL; i++)
    printf ("%-16s %9.0f %8.0f  %s\n", s->name, s->duration_s, s->flows_per_s, s->text);
}

/* "90", "90s", "10m", "36h", "7d" */
static gboolean
parse_duration (const char *text, gint64 *ret_ns, GError **error)
{
  static const struct {
    const char *unit;
    double s;
  } units[] = { { "", 1 }, { "s", 1 }, { "m", 60 }, { "h", 3600 }, { "d", 86400 } };
  char *end = NULL;
  double v = g_ascii_strtod (text, &end);

  for (guint i = 0; i < G_N_ELEMENTS (units); i++)
    if (end != text && g_str_equal (end, units[i].unit) && v > 0 && v * units[i].s < 1e8) {
      *ret_ns = (gint64) (v * units[i].s * (double) OWD_NS_PER_S);
      return TRUE;
    }
  g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "--duration %s: give a number and s, m, h or d, like 90s", text);
  return FALSE;
}

/* Loopback has 127/8: every exporter gets its own address there, so that a collector can tell them apart. */
static void
move_to_loopback (OwdSimConfig *config)
{
  for (guint i = 0; i < config->exporters->len; i++) {
    OwdAddr *addr = &g_array_index (config->exporters, OwdSimExporter, i).addr;
    guint8 v4[4] = { 127, addr->b[13], addr->b[14], addr->b[15] };

    owd_addr_set_v4 (addr, v4);
  }
}

static gboolean
write_capture (OwdSim *sim, const OwdSimConfig *config, const char *path, GError **error)
{
  gboolean to_stdout = g_str_equal (path, "-"), fine;
  FILE *file = to_stdout ? stdout : fopen (path, "we");
  OwdSimDatagram d;

  if (file == NULL) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "cannot write %s: %s", path, g_strerror (errno));
    return FALSE;
  }
  setvbuf (file, NULL, _IOFBF, 1 << 20);
  fine = sim_pcap_head (file);
  while (fine && !stop && owd_sim_next (sim, &d))
    fine = sim_pcap_datagram (file, &g_array_index (config->exporters, OwdSimExporter, d.exporter).addr, &d);
  fine = fflush (file) == 0 && fine;
  if (!fine)
    g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "cannot write %s: %s", path, g_strerror (errno));
  if (!to_stdout)
    fclose (file);
  return fine;
}

static void
report (const OwdSimConfig *config, const OwdSim *sim)
{
  OwdSimCounts sum = { 0 };

  for (guint i = 0; i < config->exporters->len; i++) {
    const OwdSimCounts *c = owd_sim_counts (sim, i);

    sum.packets += c->packets;
    sum.records += c->records;
    sum.datagrams += c->datagrams;
    sum.datagrams_lost += c->datagrams_lost;
  }
  fprintf (stderr,
           "oneway-sim: %u exporters saw %" G_GUINT64_FORMAT " packets, sent %" G_GUINT64_FORMAT
           " records in %" G_GUINT64_FORMAT " datagrams (%" G_GUINT64_FORMAT " lost on the way)\n",
           config->exporters->len, sum.packets, sum.records, sum.datagrams, sum.datagrams_lost);
}

static gboolean
run (const Options *o, const OwdSimScenario *scenario, GError **error)
{
  OwdSimWish wish = { .seed = (guint64) o->seed, .flows_per_s = o->rate, .exporters = (guint) MAX (o->exporters, 0) };
  g_autoptr (OwdSimConfig) config = NULL;
  g_autoptr (OwdSim) sim = NULL;
  SimTruthFile *truth = NULL;
  gboolean fine;

  if (o->duration != NULL && !parse_duration (o->duration, &wish.duration_ns, error))
    return FALSE;
  if (o->send != NULL)
    wish.start_ns = g_get_real_time () * OWD_NS_PER_US;
  config = owd_sim_scenario_config (scenario, &wish);
  if (o->send != NULL && g_str_has_prefix (o->send, "127."))
    move_to_loopback (config);
  if (o->truth != NULL && (truth = sim_truth_open (o->truth, config, error)) == NULL)
    return FALSE;
  sim = owd_sim_new (config, truth != NULL ? sim_truth_row : NULL, truth);
  fprintf (stderr, "oneway-sim: seed %" G_GINT64_FORMAT ", scenario %s\n", o->seed, scenario->name);
  fine = o->send != NULL ? sim_live (sim, config, o->send, &stop, error) : write_capture (sim, config, o->write, error);
  if (truth != NULL) {
    fine = sim_truth_close (truth, fine ? error : NULL) && fine;
    fine = fine && sim_truth_exporters (o->truth, scenario->name, config, sim, error);
  }
  if (fine)
    report (config, sim);
  return fine;
}

static gboolean
parse (Options *o, int *argc, char ***argv, GError **error)
{
  const GOptionEntry entries[] = {
    { "list", 'l', 0, G_OPTION_ARG_NONE, &o->list, "Show the scenarios", NULL },
    { "write", 'w', 0, G_OPTION_ARG_FILENAME, &o->write, "Write the exports to this capture; - is stdout",
      "FILE.pcap" },
    { "send", 0, 0, G_OPTION_ARG_STRING, &o->send, "Send the exports in real time", "ADDRESS:PORT" },
    { "truth", 't', 0, G_OPTION_ARG_FILENAME, &o->truth, "Write PREFIX.flows.tsv and PREFIX.exporters.tsv", "PREFIX" },
    { "seed", 's', 0, G_OPTION_ARG_INT64, &o->seed, "Seed of everything random (1)", "N" },
    { "duration", 'd', 0, G_OPTION_ARG_STRING, &o->duration, "How long flows start, like 90s, 10m, 2d", "TIME" },
    { "rate", 'r', 0, G_OPTION_ARG_DOUBLE, &o->rate, "Conversations per second, all routes together", "N" },
    { "exporters", 'n', 0, G_OPTION_ARG_INT, &o->exporters, "Exporters of scale-exporters (500)", "N" },
    { "version", 0, 0, G_OPTION_ARG_NONE, &o->version, "Show the version", NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &o->scenario, NULL, "SCENARIO" },
    { NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new ("- flow exports of a made-up network, and the truth");

  g_option_context_set_summary (context, "  oneway-sim quiet --write quiet.pcap --truth quiet\n"
                                         "  oneway-collector --read quiet.pcap --log DIR");
  g_option_context_add_main_entries (context, entries, NULL);
  return g_option_context_parse (context, argc, argv, error);
}

static const OwdSimScenario *
chosen (const Options *o, GError **error)
{
  const OwdSimScenario *scenario = NULL;

  if (o->scenario == NULL || o->scenario[1] != NULL)
    g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "name one scenario; --list shows them");
  else if ((o->write == NULL) == (o->send == NULL))
    g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "give either --write FILE.pcap or --send ADDRESS:PORT");
  else if ((scenario = owd_sim_scenario_find (o->scenario[0])) == NULL)
    g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "no scenario %s; --list shows them", o->scenario[0]);
  return scenario;
}

static int
fail (const GError *error)
{
  fprintf (stderr, "oneway-sim: error: %s\n", error->message);
  return owd_error_exit_status (error);
}

static void
clear (Options *o)
{
  g_free (o->write);
  g_free (o->send);
  g_free (o->truth);
  g_free (o->duration);
  g_strfreev (o->scenario);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  Options o = { .seed = 1 };
  const OwdSimScenario *scenario;
  int status = OWD_EXIT_DONE;

  signal (SIGINT, on_signal);
  signal (SIGTERM, on_signal);
  if (!parse (&o, &argc, &argv, &error))
    status = fail (error);
  else if (o.version)
    printf ("oneway-sim %s\n", OWD_VERSION);
  else if (o.list)
    list_scenarios ();
  else if ((scenario = chosen (&o, &error)) == NULL || !run (&o, scenario, &error))
    status = fail (error);
  clear (&o);
  return status;
}
