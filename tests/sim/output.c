/* SPDX-License-Identifier: Apache-2.0
 *
 * Files and sockets of oneway-sim; the engine knows neither.
 */
#include "output.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ---- capture ---- */

#define FRAME_HEAD 42 /* Ethernet 14, IPv4 20, UDP 8 */
#define MINUTE_NS (60 * OWD_NS_PER_S)

static void
be16 (guint8 *p, guint v)
{
  p[0] = (guint8) (v >> 8);
  p[1] = (guint8) v;
}

gboolean
sim_pcap_head (FILE *file)
{
  const guint32 head[] = { 0xa1b23c4d, 4u << 16 | 2, 0, 0, 65535, 1 }; /* 2.4, host byte order */

  return fwrite (head, sizeof head, 1, file) == 1;
}

static guint
ip_checksum (const guint8 *p)
{
  guint32 sum = 0;

  for (guint i = 0; i < 20; i += 2)
    sum += (guint32) p[i] << 8 | p[i + 1];
  while (sum >> 16)
    sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}

gboolean
sim_pcap_datagram (FILE *file, const OwdAddr *from, const OwdSimDatagram *d)
{
  static const guint8 collector[4] = { 198, 19, 255, 1 };
  guint32 len = (guint32) (FRAME_HEAD + d->len);
  guint32 head[] = { (guint32) (d->recv_ns / OWD_NS_PER_S), (guint32) (d->recv_ns % OWD_NS_PER_S), len, len };
  guint8 frame[FRAME_HEAD] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, [22] = 64, [23] = 17 };

  be16 (frame + 16, len - 14);
  memcpy (frame + 26, from->b + 12, 4);
  memcpy (frame + 30, collector, 4);
  be16 (frame + 24, ip_checksum (frame + 14));
  be16 (frame + 34, d->port);
  be16 (frame + 36, 2055);
  be16 (frame + 38, len - 34);
  return fwrite (head, sizeof head, 1, file) == 1 && fwrite (frame, sizeof frame, 1, file) == 1
         && fwrite (d->data, d->len, 1, file) == 1;
}

/* ---- truth ---- */

GPtrArray *
sim_point_names (const OwdSimConfig *config)
{
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  char text[OWD_ADDR_TEXT];

  for (guint i = 0; i < config->exporters->len; i++) {
    char *key = g_strdup (owd_addr_text (&g_array_index (config->exporters, OwdSimExporter, i).addr, text));

    g_hash_table_insert (seen, key, GUINT_TO_POINTER (GPOINTER_TO_UINT (g_hash_table_lookup (seen, key)) + 1));
  }
  for (guint i = 0; i < config->exporters->len; i++) {
    const OwdSimExporter *ex = &g_array_index (config->exporters, OwdSimExporter, i);

    owd_addr_text (&ex->addr, text);
    if (GPOINTER_TO_UINT (g_hash_table_lookup (seen, text)) > 1)
      g_ptr_array_add (names, g_strdup_printf ("%s#%u", text, ex->domain));
    else
      g_ptr_array_add (names, g_strdup (text));
  }
  return names;
}

static FILE *
open_file (const char *prefix, const char *suffix, GError **error)
{
  g_autofree char *path = g_strconcat (prefix, suffix, NULL);
  FILE *file = fopen (path, "we");

  if (file == NULL)
    g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "cannot write %s: %s", path, g_strerror (errno));
  return file;
}

SimTruthFile *
sim_truth_open (const char *prefix, const OwdSimConfig *config, GError **error)
{
  FILE *file = open_file (prefix, ".flows.tsv", error);
  SimTruthFile *self;

  if (file == NULL)
    return NULL;
  setvbuf (file, NULL, _IOFBF, 1 << 20);
  fputs ("flow\tsrc\tdst\tkind\tcut\tstatus\tsrc_ns\tdst_ns\towd_ns\tclock_ns\tsrc_clock_ns\tsrc_raw\tdst_raw"
         "\tsrc_packets\tdst_packets\tproto\tip_src\tsport\tip_dst\tdport\tflow_up\n",
         file);
  self = g_new0 (SimTruthFile, 1);
  self->flows = file;
  self->names = sim_point_names (config);
  return self;
}

void
sim_truth_row (void *user, const OwdSimTruth *row)
{
  static const char *const kinds[] = { "", "start", "end", "both" };
  SimTruthFile *self = user;
  char src[OWD_ADDR_TEXT], dst[OWD_ADDR_TEXT];

  fprintf (self->flows,
           "%" PRId64 "\t%s\t%s\t%s\t%d\t%s\t%" PRId64 "\t%" PRId64 "\t%" PRId64 "\t%" PRId64 "\t%" PRId64 "\t%" PRIu64
           "\t%" PRIu64 "\t%u\t%u\t%u\t%s\t%u\t%s\t%u\t%" PRId64 "\n",
           (gint64) owd_flow_hash (&row->down), (char *) g_ptr_array_index (self->names, row->src),
           (char *) g_ptr_array_index (self->names, row->dst), kinds[row->kind], row->cut,
           owd_sim_status_text (row->status), row->src_ns, row->dst_ns, row->dst_ns - row->src_ns, row->clock_ns,
           row->src_clock_ns, row->src_raw, row->dst_raw, row->src_packets, row->dst_packets, row->down.proto,
           owd_addr_text (&row->down.src, src), row->down.sport, owd_addr_text (&row->down.dst, dst), row->down.dport,
           (gint64) owd_flow_hash (&row->up));
}

static gboolean
close_file (FILE *file, const char *what, GError **error)
{
  gboolean bad = ferror (file) != 0;

  if (fclose (file) == 0 && !bad)
    return TRUE;
  g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "cannot write %s: %s", what, g_strerror (errno));
  return FALSE;
}

gboolean
sim_truth_close (SimTruthFile *self, GError **error)
{
  gboolean fine = close_file (self->flows, "the truth about flows", error);

  g_ptr_array_unref (self->names);
  g_free (self);
  return fine;
}

static void
fact (FILE *f, const char *name, const char *item, const char *sub, OwdTime at, double value)
{
  fprintf (f, "%s\t%s\t%s\t", name, item, sub);
  if (at != OWD_TIME_NONE)
    fprintf (f, "%" PRId64, at);
  fprintf (f, "\t%.15g\n", value);
}

/* Parameters as set. */
static void
exporter_settings (FILE *f, const char *name, const OwdSimExporter *ex, OwdTime start)
{
  const struct {
    const char *item, *sub;
    double value;
  } facts[] = {
    { "version", "", ex->version },
    { "domain", "", ex->domain },
    { "stamp_kind", "", ex->stamps },
    { "step_ns", "start", (double) ex->step_ns[0] },
    { "step_ns", "end", (double) ex->step_ns[1] },
    { "phase_ns", "start", (double) ex->phase_ns[0] },
    { "phase_ns", "end", (double) ex->phase_ns[1] },
    { "step_ns", "header_uptime", (double) ex->uptime_step_ns },
    { "phase_ns", "header_uptime", (double) ex->uptime_phase_ns },
    { "header_frac", "", ex->header_frac },
    { "float_ns", "", (double) ex->float_ns },
    { "epoch_at_boot", "", ex->epoch_at_boot },
    { "uptime_lag_ns", "", (double) ex->uptime_lag_ns },
    { "skew_ppm", "", ex->skew_ppm },
    { "temp_ppm", "", ex->temp_ppm },
    { "rtc_offset_ns", "", (double) ex->rtc_offset_ns },
    { "rtc_wander_ns", "", (double) ex->rtc_wander_ns },
    { "active_ns", "", (double) ex->active_ns },
    { "inactive_ns", "", (double) ex->inactive_ns },
    { "fin_ns", "", (double) ex->fin_ns },
    { "scan_ns", "", (double) ex->scan_ns },
    { "evict_per_s", "", ex->evict_per_s },
    { "sampling", "", ex->sampling },
    { "repeat_start", "", ex->repeat_start },
    { "tick_ns", "", (double) ex->tick_ns },
    { "tick_locked", "", ex->tick_rtc && ex->tick_only },
    { "blunder_rate", "", ex->blunder_rate },
    { "datagram_loss", "", ex->datagram_loss },
    { "record_loss", "", ex->record_loss },
  };

  for (guint i = 0; i < G_N_ELEMENTS (facts); i++)
    fact (f, name, facts[i].item, facts[i].sub, OWD_TIME_NONE, facts[i].value);
  for (guint i = 0; i < ex->n_rtc; i++) {
    fact (f, name, "rtc_shift_ns", "", start + ex->rtc[i].at_ns, (double) ex->rtc[i].delta_ns);
    fact (f, name, "rtc_shift_over_ns", "", start + ex->rtc[i].at_ns, (double) ex->rtc[i].over_ns);
  }
}

/* What happened in the run. */
static void
exporter_counts (FILE *f, const char *name, const OwdSimCounts *c)
{
  static const char *const shapes[] = { "none", "zero", "end-before-start", "future", "past", "slip", "near" };
  const struct {
    const char *item;
    guint64 value;
  } facts[] = {
    { "packets", c->packets },
    { "records", c->records },
    { "biflows", c->biflows },
    { "records_lost", c->records_lost },
    { "records_died", c->records_died },
    { "records_in_lost_datagrams", c->records_in_lost },
    { "datagrams", c->datagrams },
    { "datagrams_lost", c->datagrams_lost },
    { "datagrams_duplicate", c->datagrams_duplicate },
    { "datagrams_reordered", c->datagrams_reordered },
  };

  for (guint i = 0; i < G_N_ELEMENTS (facts); i++)
    fact (f, name, facts[i].item, "", OWD_TIME_NONE, (double) facts[i].value);
  for (guint i = 1; i < OWD_SIM_BLUNDERS; i++)
    fact (f, name, "blunders", shapes[i], OWD_TIME_NONE, (double) c->blunders[i]);
}

/* When headers showed what happened, for the first and for the second time. */
static void
exporter_shown (FILE *f, const char *name, const OwdSimExporter *ex, const OwdSimCounts *c, OwdTime start)
{
  static const char *const sub[] = { "first", "second" };

  for (guint k = 0; k < 2; k++) {
    for (guint i = 0; i < ex->n_rtc; i++)
      fprintf (f, "%s\tstep_shown_ns\t%s\t%" PRId64 "\t%" PRId64 "\n", name, sub[k], start + ex->rtc[i].at_ns,
               c->step_shown_ns[i][k]);
    for (guint i = 0; i < ex->n_reboots; i++)
      fprintf (f, "%s\treboot_shown_ns\t%s\t%" PRId64 "\t%" PRId64 "\n", name, sub[k], start + ex->reboot_ns[i],
               c->reboot_shown_ns[i][k]);
  }
}

static void
exporter_paths (FILE *f, const OwdSim *sim, guint src, const GPtrArray *names)
{
  for (guint dst = 0; dst < names->len; dst++) {
    guint64 packets, lost;

    owd_sim_path (sim, src, dst, &packets, &lost);
    if (packets == 0)
      continue;
    fact (f, g_ptr_array_index (names, src), "path_packets", g_ptr_array_index (names, dst), OWD_TIME_NONE,
          (double) packets);
    fact (f, g_ptr_array_index (names, src), "path_lost", g_ptr_array_index (names, dst), OWD_TIME_NONE, (double) lost);
  }
}

/* Links whose line card is off. */
static void
exporter_interfaces (FILE *f, const char *name, const OwdSim *sim, guint exporter, const OwdSimExporter *ex)
{
  for (guint i = 1; i <= owd_sim_interfaces (sim, exporter) && ex->n_cards > 0; i++) {
    g_autofree char *interface = g_strdup_printf ("%u", i);

    fact (f, name, "interface_offset_ns", interface, OWD_TIME_NONE, (double) ex->card_offset_ns[i % ex->n_cards]);
  }
}

static void
exporter_boots (FILE *f, const char *name, const OwdSim *sim, guint i, const OwdSimConfig *config)
{
  const OwdSimExporter *ex = &g_array_index (config->exporters, OwdSimExporter, i);

  for (guint k = 0; k <= ex->n_reboots; k++) {
    OwdTime t = k == 0 ? config->start_ns : config->start_ns + ex->reboot_ns[k - 1];
    OwdTime boot = owd_sim_boot_ns (sim, i, t);

    fprintf (f, "%s\tboot_ns\t\t%" PRId64 "\t%" PRId64 "\n", name, t, boot);
  }
}

/* What headers can show: wall clock minus uptime, each minute. */
static void
exporter_header_boots (FILE *f, const char *name, const OwdSim *sim, guint i, const OwdSimConfig *config)
{
  for (gint64 at = 0; at <= config->duration_ns + MINUTE_NS; at += MINUTE_NS) {
    OwdTime t = config->start_ns + at;

    fprintf (f, "%s\theader_boot_ns\t\t%" PRId64 "\t%" PRId64 "\n", name, t,
             owd_sim_rtc_ns (sim, i, t) - (OwdTime) owd_sim_uptime_ns (sim, i, t));
  }
}

gboolean
sim_truth_exporters (const char *prefix, const char *scenario, const OwdSimConfig *config, const OwdSim *sim,
                     GError **error)
{
  g_autoptr (GPtrArray) names = sim_point_names (config);
  FILE *f = open_file (prefix, ".exporters.tsv", error);

  if (f == NULL)
    return FALSE;
  fputs ("exporter\titem\tsub\tat_ns\tvalue\n", f);
  fprintf (f,
           "\tscenario\t\t\t%s\n\tseed\t\t\t%" PRIu64 "\n\tstart_ns\t\t\t%" PRId64 "\n\tduration_ns\t\t\t%" PRId64 "\n",
           scenario, config->seed, config->start_ns, config->duration_ns);
  for (guint i = 0; i < names->len; i++) {
    const char *name = g_ptr_array_index (names, i);

    exporter_settings (f, name, &g_array_index (config->exporters, OwdSimExporter, i), config->start_ns);
    exporter_boots (f, name, sim, i, config);
    exporter_header_boots (f, name, sim, i, config);
    exporter_interfaces (f, name, sim, i, &g_array_index (config->exporters, OwdSimExporter, i));
    exporter_counts (f, name, owd_sim_counts (sim, i));
    exporter_shown (f, name, &g_array_index (config->exporters, OwdSimExporter, i), owd_sim_counts (sim, i),
                    config->start_ns);
    exporter_paths (f, sim, i, names);
  }
  return close_file (f, "the truth about exporters", error);
}

/* ---- network ---- */

static gboolean
parse_target (const char *text, struct sockaddr_in *ret, GError **error)
{
  g_auto (GStrv) parts = g_strsplit (text, ":", 2);
  guint64 port = 0;

  *ret = (struct sockaddr_in){ .sin_family = AF_INET };
  if (g_strv_length (parts) != 2 || inet_pton (AF_INET, parts[0], &ret->sin_addr) != 1
      || !g_ascii_string_to_unsigned (parts[1], 10, 1, 65535, &port, NULL)) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "%s is not an IPv4 address with a port, like 127.0.0.1:2055",
                 text);
    return FALSE;
  }
  ret->sin_port = htons ((guint16) port);
  return TRUE;
}

/* A socket bound to an exporter's address; the first datagram makes it. */
static int
open_socket (const OwdAddr *addr, const struct sockaddr_in *to, GError **error)
{
  struct sockaddr_in from = { .sin_family = AF_INET };
  char text[OWD_ADDR_TEXT];
  int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

  memcpy (&from.sin_addr, addr->b + 12, 4);
  if (fd < 0 || bind (fd, (struct sockaddr *) &from, sizeof from) < 0
      || connect (fd, (const struct sockaddr *) to, sizeof *to) < 0) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "cannot send from %s: %s", owd_addr_text (addr, text),
                 g_strerror (errno));
    if (fd >= 0)
      close (fd);
    return -1;
  }
  return fd;
}

static void
wait_until (OwdTime t)
{
  struct timespec ts = { .tv_sec = t / OWD_NS_PER_S, .tv_nsec = t % OWD_NS_PER_S };

  clock_nanosleep (CLOCK_REALTIME, TIMER_ABSTIME, &ts, NULL);
}

gboolean
sim_live (OwdSim *sim, const OwdSimConfig *config, const char *to, const volatile gint *stop, GError **error)
{
  guint n = config->exporters->len;
  g_autofree int *fds = g_new (int, n);
  struct sockaddr_in target;
  OwdSimDatagram d;
  gboolean fine = TRUE;

  if (!parse_target (to, &target, error))
    return FALSE;
  for (guint i = 0; i < n; i++)
    fds[i] = -1;
  while (fine && !*stop && owd_sim_next (sim, &d)) {
    if (fds[d.exporter] < 0)
      fds[d.exporter]
          = open_socket (&g_array_index (config->exporters, OwdSimExporter, d.exporter).addr, &target, error);
    fine = fds[d.exporter] >= 0;
    wait_until (d.recv_ns);
    /* nobody listening (ECONNREFUSED) or no room: as on any network, the datagram is gone */
    if (fine && send (fds[d.exporter], d.data, d.len, 0) < 0)
      continue;
  }
  for (guint i = 0; i < n; i++)
    if (fds[i] >= 0)
      close (fds[i]);
  return fine;
}
