/* SPDX-License-Identifier: Apache-2.0
 *
 * oneway-probe send: options, set-up and report. The loop is sender.c's.
 */
#include "owd-program.h"
#include "sender.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
  NEAR_NS = 20000000, /* departures closer than this are slept for without a look at the sockets */
  TARGETS_MAX = 4096,
  TCP_PORT = 80, /* of targets that name none */
  TCP_PORTS = 1000,
  PORTS_MAX = 10000,
};

typedef enum {
  METHOD_STAMP,
  METHOD_TCP_ACK,
  METHOD_TCP_SYN,
  METHOD_TCP_CONNECT,
} Method;

static const char *const method_names[] = { "stamp", "tcp-ack", "tcp-syn", "tcp-connect" };

typedef struct {
  char *interval, *duration, *schedule, *gap, *size, *timeout, *source, *key_file, *key, *peer, *tlvs, *format;
  char *profile, *like, *tcp, *test, *agent, *db, *spool, *user;
  gint count, burst, dscp, ecn, port, ports;
  gboolean four, six, twamp, ptp, no_reports, no_packets, live, keep_going;
  char **targets;
  Method method; /* from tcp */
} Options;

/* ---- set-up ------------------------------------------------------------------------------------ */

/* Traffic like that of an application, one direction of it: most of the delay and its variation arise upstream. */
static const struct {
  const char *name, *interval, *size;
} profiles[] = {
  { "voice", "20ms", "172" },             /* G.711 with RTP header */
  { "conference-up", "10ms", "905" },     /* 100 packets of 933 bytes per second, IP and UDP header included */
  { "conference-down", "1250us", "905" }, /* 800 per second */
  { "gaming", "15625us", "100" },         /* 64 updates per second */
};

static gboolean
apply_profile (Options *o, GError **error)
{
  const char *names[G_N_ELEMENTS (profiles)];
  guint which;

  if (o->profile == NULL)
    return TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (profiles); i++)
    names[i] = profiles[i].name;
  if (!owd_probe_parse_name (o->profile, names, G_N_ELEMENTS (names), "--profile", &which, error))
    return FALSE;
  if (o->interval == NULL)
    o->interval = g_strdup (profiles[which].interval);
  if (o->size == NULL)
    o->size = g_strdup (profiles[which].size);
  return TRUE;
}

static gboolean
apply_like (Options *o, GError **error)
{
  OwdProbeLike like;

  if (o->like == NULL)
    return TRUE;
  if (o->profile != NULL) {
    g_set_error_literal (error, OWD_ERROR, OWD_ERROR_CONFIG, "--like and --profile: want one of them");
    return FALSE;
  }
  if (!owd_probe_like (o->like, &like, error))
    return FALSE;
  g_message ("%s: like %s, %" G_GUINT64_FORMAT " packets: %u bytes every %.3f ms", o->like, like.flow, like.packets,
             like.size, (double) like.interval_ns / 1e6);
  g_free (like.flow);
  if (o->interval == NULL)
    o->interval = g_strdup_printf ("%" G_GINT64_FORMAT "ns", like.interval_ns);
  if (o->size == NULL)
    o->size = g_strdup_printf ("%u", CLAMP (like.size, (guint) OWD_PROBE_SIZE_MIN, (guint) OWD_PROBE_MAX));
  return TRUE;
}

static gboolean
apply_method (Options *o, GError **error)
{
  const char *const kinds[] = { "ack", "syn", "connect" };
  gboolean tcp = o->tcp != NULL;
  guint kind = 0;

  if (tcp && !owd_probe_parse_name (o->tcp, kinds, G_N_ELEMENTS (kinds), "--tcp", &kind, error))
    return FALSE;
  o->method = tcp ? METHOD_TCP_ACK + kind : METHOD_STAMP;
  if (o->port == 0)
    o->port = tcp ? TCP_PORT : OWD_PROBE_PORT;
  if (o->ports == 0)
    o->ports = o->method == METHOD_STAMP || o->method == METHOD_TCP_CONNECT ? 1 : TCP_PORTS;
  if (tcp && o->count > 0)
    o->ports = MIN (o->ports, o->count);
  if (!tcp
      || (o->tlvs == NULL && o->key_file == NULL && o->peer == NULL && !o->twamp && !o->ptp
          && (o->size == NULL || o->method != METHOD_TCP_CONNECT)))
    return TRUE;
  g_set_error_literal (error, OWD_ERROR, OWD_ERROR_CONFIG,
                       "--tcp: there is no STAMP in it: no --tlvs, --key-file, --reflector, --twamp-light, --ptp; and "
                       "connections have no --size");
  return FALSE;
}

static gboolean
parse_schedule (const Options *o, OwdProbeSchedule *ret, GError **error)
{
  const char *const names[] = { "isochronous", "poisson", "burst", "train" };
  guint kind;

  if (!owd_probe_parse_name (o->schedule, names, G_N_ELEMENTS (names), "--schedule", &kind, error)
      || !owd_probe_parse_duration (o->interval != NULL ? o->interval : "100ms", "--interval", 1000, &ret->interval_ns,
                                    error)
      || !owd_probe_parse_duration (o->gap != NULL ? o->gap : "10ms", "--gap", 0, &ret->gap_ns, error))
    return FALSE;
  ret->kind = (OwdProbeScheduleKind) kind;
  ret->burst = (guint) o->burst;
  if (kind == OWD_PROBE_BURST && ret->gap_ns > ret->interval_ns / o->burst) {
    g_set_error_literal (error, OWD_ERROR, OWD_ERROR_CONFIG, "--burst times --gap must fit into --interval");
    return FALSE;
  }
  return TRUE;
}

static gboolean
parse_tlvs (const char *text, guint32 *ret_ask, GError **error)
{
  const char *const names[] = { "cos", "direct", "follow-up", "stamp-info", "location" };
  g_auto (GStrv) parts = g_strsplit (text != NULL ? text : "", ",", -1);
  guint bit;

  for (gsize i = 0; parts[i] != NULL; i++) {
    if (!owd_probe_parse_name (parts[i], names, G_N_ELEMENTS (names), "--tlvs", &bit, error))
      return FALSE;
    *ret_ask |= 1u << bit; /* in the order of OWD_PROBE_ASK_* */
  }
  return TRUE;
}

static gboolean
parse_sizes (const Options *o, GArray *ret_sizes, GError **error)
{
  gboolean tcp = o->method != METHOD_STAMP;
  guint least = tcp ? 0 : OWD_PROBE_SIZE_MIN, max = OWD_PROBE_MAX - (tcp ? OWD_PROBE_TCP_HEADER : 0);
  g_auto (GStrv) parts = g_strsplit (o->size != NULL ? o->size : tcp ? "0" : "44", ",", -1);
  guint64 size;

  for (gsize i = 0; parts[i] != NULL; i++) {
    guint n;

    if (!g_ascii_string_to_unsigned (parts[i], 10, least, max, &size, NULL)) {
      g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "--size %s: want bytes of %s payload, %u to %u", parts[i],
                   tcp ? "TCP" : "UDP", least, max);
      return FALSE;
    }
    n = (guint) size;
    g_array_append_val (ret_sizes, n);
  }
  return TRUE;
}

static void
free_target (gpointer data)
{
  OwdProbeTarget *t = data;

  owd_probe_session_free (t->session);
  g_free (t->sports);
  g_free (t->text);
  g_free (t);
}

/* How many packets can be under way: by the shortest gap within the timeout, and at least two trains. */
static guint
window_for (const OwdProbeSchedule *schedule, gint64 timeout_ns)
{
  gint64 gap = owd_probe_schedule_min_gap_ns (schedule);
  gint64 n = gap > 0 ? timeout_ns / gap : (timeout_ns / schedule->interval_ns + 2) * schedule->burst;

  return (guint) CLAMP (n + 16, 64, 1 << 20);
}

/* Room for the source port of every packet under way, and of those that the next ones push out. */
static void
vary_ports (OwdProbeTarget *t, guint window)
{
  guint n = 16;

  while (n < 2 * window)
    n *= 2;
  t->sport_mask = n - 1;
  t->sports = g_new0 (guint16, n);
}

static void
add_target (OwdProbeSender *self, const Options *o, const OwdProbeEndpoint *to, guint size, OwdProbeSessionConfig *cfg)
{
  OwdProbeTarget *t = g_new0 (OwdProbeTarget, 1);
  OwdProbeRequest sized = self->request;
  guint8 buf[OWD_PROBE_MAX];

  sized.size = (guint16) size;
  t->to = *to;
  t->text = owd_probe_endpoint_text (to);
  owd_probe_endpoint_addr (to, &t->addr, &t->port);
  t->ssid = o->twamp ? 0 : (guint16) (self->first_ssid + self->targets->len);
  t->family = to->any.sa_family == AF_INET ? 0 : 1;
  t->size = o->method == METHOD_STAMP ? (guint) owd_probe_request_build (&sized, buf, sizeof buf) : size;
  t->label = (OwdProbeLabel){ .target = t->text,
                              .method = method_names[o->method],
                              .test = o->test,
                              .agent = o->agent,
                              .run = self->run,
                              .size = t->size,
                              .proto = o->method == METHOD_STAMP ? IPPROTO_UDP : IPPROTO_TCP,
                              .dst = t->addr,
                              .dport = t->port,
                              .shared = cfg->reports };
  t->left = o->count > 0 ? o->count : -1;
  t->sender = self;
  if (o->ports > 1 || o->method != METHOD_STAMP)
    vary_ports (t, cfg->window);
  t->session = owd_probe_session_new (cfg, owd_probe_sender_on_sample, t);
  g_ptr_array_add (self->targets, t);
}

static gboolean
add_targets (OwdProbeSender *self, const Options *o, OwdProbeSessionConfig *cfg, GError **error)
{
  g_autoptr (GArray) sizes = g_array_new (FALSE, FALSE, sizeof (guint));
  OwdProbeEndpoint to;

  if (!parse_sizes (o, sizes, error))
    return FALSE;
  for (gsize i = 0; o->targets != NULL && o->targets[i] != NULL; i++) {
    g_autoptr (GError) own = NULL;

    if (!owd_probe_endpoint_resolve (o->targets[i], (guint16) o->port,
                                     o->four  ? AF_INET
                                     : o->six ? AF_INET6
                                              : AF_UNSPEC,
                                     FALSE, &to, o->keep_going ? &own : error)) {
      if (!o->keep_going)
        return FALSE;
      g_warning ("left out: %s", own->message);
      continue;
    }
    for (guint k = 0; k < sizes->len; k++)
      add_target (self, o, &to, g_array_index (sizes, guint, k), cfg);
  }
  if (self->targets->len == 0 && o->targets != NULL) {
    g_set_error_literal (error, OWD_ERROR, OWD_ERROR_IO, "no target is left");
    return FALSE;
  }
  if (self->targets->len == 0 || self->targets->len > TARGETS_MAX) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "want 1 to %d targets; try 'oneway-probe send --help'",
                 TARGETS_MAX);
    return FALSE;
  }
  return TRUE;
}

static gboolean
open_way (OwdProbeSender *self, const Options *o, guint window, GError **error)
{
  OwdProbeWayOptions options
      = { .source = o->source, .tos = (guint8) (o->dscp << 2 | o->ecn), .ports = (guint) o->ports, .window = window };

  switch (o->method) {
  case METHOD_TCP_ACK:
  case METHOD_TCP_SYN:
    self->tcp = o->method == METHOD_TCP_ACK ? OWD_PROBE_TCP_ACK : OWD_PROBE_TCP_SYN;
    return owd_probe_rawtcp_open (self, &options, error);
  case METHOD_TCP_CONNECT:
    return owd_probe_connect_open (self, &options, error);
  case METHOD_STAMP:
    break;
  }
  return owd_probe_stamp_open (self, &options, error);
}

static gboolean
load_key (OwdProbeSender *self, const Options *o, GError **error)
{
  if (o->key_file == NULL && o->key != NULL) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "--key %s: of which --key-file?", o->key);
    return FALSE;
  }
  if (o->key_file == NULL)
    return TRUE;
  self->keyring = owd_probe_keyring_load (o->key_file, error);
  if (self->keyring == NULL)
    return FALSE;
  self->request.key = owd_probe_keyring_get (self->keyring, o->key, error);
  return self->request.key != NULL;
}

static gboolean
check_ranges (const Options *o, GError **error)
{
  const struct {
    const char *option;
    gint value, lo, hi;
  } ranges[] = {
    { "--dscp", o->dscp, 0, 63 },          { "--ecn", o->ecn, 0, 3 },
    { "--port", o->port, 1, G_MAXUINT16 }, { "--ports", o->ports, 1, PORTS_MAX },
    { "--count", o->count, 0, G_MAXINT },  { "--burst", o->burst, 1, G_MAXINT },
  };

  for (guint i = 0; i < G_N_ELEMENTS (ranges); i++)
    if (ranges[i].value < ranges[i].lo || ranges[i].value > ranges[i].hi) {
      g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "%s %d: want %d to %d", ranges[i].option, ranges[i].value,
                   ranges[i].lo, ranges[i].hi);
      return FALSE;
    }
  if (!o->four || !o->six)
    return TRUE;
  g_set_error_literal (error, OWD_ERROR, OWD_ERROR_CONFIG, "-4 and -6: want one of them");
  return FALSE;
}

/* Everything but the first times. */
static gboolean
setup (OwdProbeSender *self, const Options *o, OwdProbeSchedule *ret_schedule, gint64 *ret_duration_ns, GError **error)
{
  const char *const peers[] = { "auto", "stateful", "stateless" };
  OwdProbeSessionConfig cfg = { .kernel_tx = o->method != METHOD_TCP_CONNECT,
                                .trip_only = o->method != METHOD_STAMP,
                                .first_apart = TRUE,
                                .ptp = o->ptp,
                                .dscp = (guint8) o->dscp,
                                .ecn = (guint8) o->ecn };
  guint peer;

  if (!check_ranges (o, error) || !parse_schedule (o, ret_schedule, error)
      || !owd_probe_parse_name (o->peer, peers, G_N_ELEMENTS (peers), "--reflector", &peer, error)
      || !parse_tlvs (o->tlvs, &self->request.ask, error) || !owd_probe_parse_format (o->format, &self->format, error)
      || !owd_probe_parse_duration (o->timeout != NULL ? o->timeout : "2s", "--timeout", OWD_NS_PER_MS,
                                    &self->timeout_ns, error)
      || !owd_probe_parse_duration (o->duration != NULL ? o->duration : "0", "--duration", 0, ret_duration_ns, error)
      || !load_key (self, o, error))
    return FALSE;
  self->request.dscp = cfg.dscp;
  self->request.ecn = cfg.ecn;
  self->request.raw_padding = o->twamp;
  self->request.error = o->ptp ? 0x4001 : 1;
  if (o->dscp != 0 || o->ecn != 0)
    self->request.ask |= OWD_PROBE_ASK_COS;
  if (o->twamp)
    self->request.ask = 0;
  if (o->ports > 1 && (self->request.ask & (OWD_PROBE_ASK_FOLLOW_UP | OWD_PROBE_ASK_DIRECT)) != 0) {
    g_set_error_literal (error, OWD_ERROR, OWD_ERROR_CONFIG,
                         "--ports: to a reflector every port is a session, so there is no --tlvs follow-up or direct");
    return FALSE;
  }
  if (o->method != METHOD_STAMP || o->ports > 1) /* to a reflector every port is a session */
    peer = OWD_PROBE_PEER_STATELESS;
  cfg.timeout_ns = self->timeout_ns;
  cfg.window = window_for (ret_schedule, self->timeout_ns);
  cfg.peer = (OwdProbePeer) peer;
  /* a lone packet is a flow of its own at the routers on the way, and stays one */
  cfg.reports = !o->no_reports && !o->twamp && o->count != 1 && (OwdProbePeer) peer != OWD_PROBE_PEER_STATELESS;
  cfg.run = g_random_int ();
  cfg.follow_up = (self->request.ask & OWD_PROBE_ASK_FOLLOW_UP) != 0;
  self->packets = self->format == OWD_PROBE_CSV || (self->format == OWD_PROBE_JSON && !o->no_packets);
  self->live = o->live || (self->format == OWD_PROBE_TABLE && isatty (STDERR_FILENO));
  return add_targets (self, o, &cfg, error) && open_way (self, o, cfg.window, error);
}

static int
report (OwdProbeSender *self)
{
  guint64 answered = 0;
  OwdProbeSummary sum;

  if (self->live)
    fputs ("\r\033[K", stderr);
  for (guint i = 0; i < self->targets->len; i++) {
    OwdProbeTarget *t = owd_probe_sender_target (self, i);

    owd_probe_session_finish (t->session);
    owd_probe_session_summary (t->session, &sum);
    answered += sum.answered;
    owd_probe_print_summary (stdout, self->format, &t->label, &sum);
    if (self->writer != NULL)
      owd_probe_print_summary (owd_probe_writer_out (self->writer), OWD_PROBE_JSON, &t->label, &sum);
  }
  if (self->skipped > 0)
    g_message ("%" G_GUINT64_FORMAT " packets were not sent because this program was held up for more than a second",
               self->skipped);
  if (self->stray > 0)
    g_message ("%" G_GUINT64_FORMAT " packets were no replies to this probe%s", self->stray,
               self->request.key != NULL ? ", or not authentic" : "");
  if (fflush (stdout) != 0) {
    g_warning ("cannot write results: %s", g_strerror (errno));
    return OWD_EXIT_FAILED;
  }
  return answered > 0 ? OWD_EXIT_DONE : OWD_EXIT_NOTHING;
}

static void
clear_channels (OwdProbeSender *self, OwdProbeChannel *channels)
{
  for (guint k = 0; channels != NULL && k < self->n_channels; k++) {
    owd_probe_socket_free (channels[k].socket);
    g_free (channels[k].departures);
  }
  g_free (channels);
}

static void
clear (OwdProbeSender *self)
{
  if (self->way != NULL && self->way->clear != NULL)
    self->way->clear (self);
  g_ptr_array_unref (self->targets);
  owd_probe_keyring_free (self->keyring);
  clear_channels (self, self->channels[0]);
  clear_channels (self, self->channels[1]);
  owd_probe_batch_free (self->batch);
  g_free (self->heap);
  if (self->signal_fd >= 0)
    close (self->signal_fd);
  if (self->epoll_fd >= 0)
    close (self->epoll_fd);
}

static gboolean
open_writer (OwdProbeSender *self, const Options *o, const OwdConfig *config, GError **error)
{
  if (o->db == NULL && o->spool == NULL)
    return TRUE;
  self->writer
      = owd_probe_writer_new (o->db, o->spool, owd_config_duration_ns (config, "database", "retain-probes"), error);
  return self->writer != NULL;
}

/* Raw sockets are all that root was for; but results may need it. */
static gboolean
drop_rights (const Options *o, GError **error)
{
  gboolean raw = o->method == METHOD_TCP_ACK || o->method == METHOD_TCP_SYN;

  if (o->user != NULL || (raw && o->db == NULL && o->spool == NULL))
    return owd_program_drop_rights (o->user != NULL ? o->user : "nobody", error);
  return TRUE;
}

static int
send_with (const Options *o, const OwdConfig *config, GError **error)
{
  OwdProbeSender self = { .targets = g_ptr_array_new_with_free_func (free_target),
                          .batch = owd_probe_batch_new (),
                          .near_ns = NEAR_NS,
                          .signal_fd = owd_program_signal_fd (),
                          .epoll_fd = epoll_create1 (EPOLL_CLOEXEC),
                          .first_ssid = (guint) g_random_int_range (1, 65536 - TARGETS_MAX),
                          .run = owd_probe_clock_real () };
  OwdProbeSchedule schedule = { 0 };
  gint64 duration_ns;
  int status = -1;

  if (setup (&self, o, &schedule, &duration_ns, error) && drop_rights (o, error)
      && open_writer (&self, o, config, error)) {
    if (self.format == OWD_PROBE_CSV)
      owd_probe_print_csv_header (stdout);
    owd_probe_sender_start (&self, &schedule, duration_ns);
    owd_probe_sender_run (&self);
    status = report (&self);
    if (!owd_probe_writer_close (self.writer, error))
      status = OWD_EXIT_FAILED;
  }
  clear (&self);
  return status;
}

static void
clear_options (Options *o)
{
  char *texts[] = { o->interval, o->duration, o->schedule, o->gap,  o->size,   o->timeout, o->source,
                    o->key_file, o->key,      o->peer,     o->tlvs, o->format, o->profile, o->like,
                    o->tcp,      o->test,     o->agent,    o->db,   o->spool,  o->user };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    g_free (texts[i]);
  g_strfreev (o->targets);
}

int
owd_probe_send_main (int argc, char **argv)
{
  Options o = { .burst = 10 };
  const GOptionEntry entries[] = {
    { "interval", 'i', 0, G_OPTION_ARG_STRING, &o.interval, "Between packets, bursts or trains (100ms)", "TIME" },
    { "count", 'c', 0, G_OPTION_ARG_INT, &o.count, "Packets per target, then stop", "N" },
    { "duration", 'd', 0, G_OPTION_ARG_STRING, &o.duration, "Stop after this time", "TIME" },
    { "schedule", 0, 0, G_OPTION_ARG_STRING, &o.schedule, "isochronous (default), poisson, burst, train", "KIND" },
    { "burst", 0, 0, G_OPTION_ARG_INT, &o.burst, "Packets of a burst or train (10)", "N" },
    { "gap", 0, 0, G_OPTION_ARG_STRING, &o.gap, "Between the packets of a burst (10ms)", "TIME" },
    { "size", 's', 0, G_OPTION_ARG_STRING, &o.size, "UDP payload; several make a session each (44)", "BYTES,..." },
    { "profile", 0, 0, G_OPTION_ARG_STRING, &o.profile,
      "Interval and size like voice, conference-up, conference-down, gaming", "NAME" },
    { "like", 0, 0, G_OPTION_ARG_FILENAME, &o.like, "Interval and size of the largest UDP flow in a capture", "PCAP" },
    { "tcp", 0, 0, G_OPTION_ARG_STRING, &o.tcp, "No STAMP: ack (answered by RST), syn, or connect (needs no rights)",
      "KIND" },
    { "ports", 0, 0, G_OPTION_ARG_INT, &o.ports, "Source ports, a packet each in turn (1; TCP: 1000)", "N" },
    { "timeout", 0, 0, G_OPTION_ARG_STRING, &o.timeout, "A packet without reply is lost after (2s)", "TIME" },
    { "port", 'p', 0, G_OPTION_ARG_INT, &o.port, "Of targets that name none (862; TCP: 80)", "PORT" },
    { "source", 0, 0, G_OPTION_ARG_STRING, &o.source, "Send from here", "ADDR[:PORT]" },
    { "dscp", 0, 0, G_OPTION_ARG_INT, &o.dscp, "Of probes, and wished for replies (0)", "0-63" },
    { "ecn", 0, 0, G_OPTION_ARG_INT, &o.ecn, "Likewise (0)", "0-3" },
    { "tlvs", 0, 0, G_OPTION_ARG_STRING, &o.tlvs, "Ask for: cos, direct, follow-up, stamp-info, location", "LIST" },
    { "key-file", 0, 0, G_OPTION_ARG_FILENAME, &o.key_file, "Authenticated mode with a key from here", "FILE" },
    { "key", 0, 0, G_OPTION_ARG_STRING, &o.key, "Which key of that file", "ID" },
    { "reflector", 0, 0, G_OPTION_ARG_STRING, &o.peer, "It is stateful, stateless, or find out (auto)", "KIND" },
    { "no-reports", 0, 0, G_OPTION_ARG_NONE, &o.no_reports, "Do not ask the reflector what has arrived", NULL },
    { "twamp-light", 0, 0, G_OPTION_ARG_NONE, &o.twamp, "No session identifier, no TLVs, padding of zeros", NULL },
    { "ptp", 0, 0, G_OPTION_ARG_NONE, &o.ptp, "Stamps in PTP format", NULL },
    { "ipv4", '4', 0, G_OPTION_ARG_NONE, &o.four, "Resolve names to IPv4 only", NULL },
    { "ipv6", '6', 0, G_OPTION_ARG_NONE, &o.six, "Resolve names to IPv6 only", NULL },
    { "keep-going", 'k', 0, G_OPTION_ARG_NONE, &o.keep_going, "Leave out targets whose name is not known", NULL },
    { "format", 'f', 0, G_OPTION_ARG_STRING, &o.format, "table (default), json (lines), csv (packets)", "FORMAT" },
    { "test", 0, 0, G_OPTION_ARG_STRING, &o.test, "What to call this measurement in results", "NAME" },
    { "agent", 0, 0, G_OPTION_ARG_STRING, &o.agent, "What to call this machine in results (its host name)", "NAME" },
    { "db", 0, 0, G_OPTION_ARG_STRING, &o.db, "Results go into this database, too", "CONNINFO" },
    { "spool", 0, 0, G_OPTION_ARG_FILENAME, &o.spool, "Where results wait while it is away", "DIR" },
    { "user", 'u', 0, G_OPTION_ARG_STRING, &o.user, "Become this user once sockets are open", "NAME" },
    { "no-packets", 0, 0, G_OPTION_ARG_NONE, &o.no_packets, "With json: summaries only", NULL },
    { "live", 0, 0, G_OPTION_ARG_NONE, &o.live, "A live line on stderr even if it is no terminal", NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &o.targets, NULL, "TARGET..." },
    { 0 },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (OwdConfig) config = NULL;
  GError *error = NULL;
  int status;

  g_option_context_set_summary (context, "Sends STAMP or TWAMP-Light probes and measures both directions,\n"
                                         "or TCP segments and measures the round trip.\n"
                                         "TARGET is HOST, HOST:PORT or [ADDRESS]:PORT.");
  g_option_context_add_main_entries (context, entries, NULL);
  status = owd_program_start (context, OWD_PROBE_PROGRAM, &argc, &argv, &config);
  if (o.agent == NULL)
    o.agent = g_strdup (g_get_host_name ());
  if (status < 0 && apply_method (&o, &error) && apply_profile (&o, &error) && apply_like (&o, &error))
    status = send_with (&o, config, &error);
  if (error != NULL)
    status = owd_program_fail (OWD_PROBE_PROGRAM, error);
  clear_options (&o);
  return status;
}
