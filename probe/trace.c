/* SPDX-License-Identifier: Apache-2.0
 *
 * oneway-probe path: the routes to targets, once or over time.
 *
 * Two kinds of probes, of the same flow: traces, on schedule, and trips over the whole path in between, which are
 * cheap. A trip whose TTL is not that of the trip before, on arrival there or here, asks for a trace at once. Decisions
 * are path.c's; here are sockets and clocks.
 */
#include "net.h"
#include "owd-program.h"
#include "program.h"
#include "results.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum {
  TARGETS_MAX = 1024,
  TX_RING = 4096,
  UDP_PORT = 33434, /* where nobody listens */
  TCP_PORT = 80,
  TICK_NS = 200000000,
  STAGGER_NS = 5000000,      /* between the first packets to two targets: they share the first routers */
  TRIGGER_NS = 2000000000,   /* traces that trips ask for: not more often than this */
  FIRST_WAIT_NS = 500000000, /* for the first trip's answer, before the first trace */
};

typedef struct {
  char *method, *interval, *duration, *trips, *timeout, *source, *format, *test, *agent, *db, *spool, *user;
  gint count, port, dscp, max_ttl, tries, silent;
  gboolean four, six, keep_going;
  char **targets;
} Options;

typedef struct Tracer Tracer;

typedef struct {
  Tracer *tracer;
  guint index; /* on the command line */
  char *text;
  OwdProbeEndpoint to;
  guint family;
  OwdProbePathFlow flow;
  OwdProbeLabel label;
  OwdProbeTrace *trace;
  OwdProbeRoutes *routes;
  gboolean tracing, by_ttl, again;
  OwdTime began;                 /* of the trace under way; real */
  OwdTime next_trace, next_trip; /* steady */
  OwdTime traced;                /* steady: when the last one ended */
  guint traces, trips, answered;
  guint16 trip; /* number of the trip under way; 0: none */
  OwdTime trip_t1;
} Target;

typedef struct {
  guint target;
  guint16 number;
} Departure;

typedef struct {
  OwdProbeSocket *own;  /* sends, and gets UDP or TCP from destinations, or all ICMP */
  OwdProbeSocket *icmp; /* gets ICMP; NULL where `own` does */
  OwdProbePorts *port;
  Departure departures[TX_RING];
} Family;

struct Tracer {
  OwdProbePathKind kind;
  OwdProbeFormat format;
  OwdProbeTraceConfig cfg;
  gint64 interval_ns, trips_ns; /* 0: once; none */
  OwdTime end;                  /* steady */
  gint count;                   /* traces per target; 0: no limit */
  OwdTime run;
  GPtrArray *targets;
  Family *family[2];
  OwdProbeBatch *batch;
  OwdProbeWriter *writer;
  int signal_fd;
  gboolean stop;
};

/* ---- results ----------------------------------------------------------------------------------- */

static void
on_span (const OwdProbeRouteSpan *span, gpointer user)
{
  const Target *t = user;
  Tracer *self = t->tracer;
  gint64 first = span->seq == 0 ? owd_probe_routes_first_rtt_ns (t->routes) : OWD_TIME_NONE;

  owd_probe_print_route (stdout, self->format, &t->label, t->index, span, first);
  if (self->writer != NULL)
    owd_probe_print_route (owd_probe_writer_out (self->writer), OWD_PROBE_JSON, &t->label, t->index, span, first);
  fflush (stdout);
}

/* To the database a route that holds is told after every trace; readers of it do not want to wait for its end. */
static void
store_current (const Target *t)
{
  Tracer *self = t->tracer;
  OwdProbeRouteSpan span;

  if (self->writer != NULL && owd_probe_routes_current (t->routes, &span))
    owd_probe_print_route (owd_probe_writer_out (self->writer), OWD_PROBE_JSON, &t->label, t->index, &span,
                           OWD_TIME_NONE);
}

static void
on_change (const OwdProbeRouteChange *change, gpointer user)
{
  const Target *t = user;
  Tracer *self = t->tracer;

  owd_probe_print_route_change (stdout, self->format, &t->label, change);
  if (self->writer != NULL)
    owd_probe_print_route_change (owd_probe_writer_out (self->writer), OWD_PROBE_JSON, &t->label, change);
  fflush (stdout);
}

/* ---- sending ----------------------------------------------------------------------------------- */

static gboolean
send_probe (Tracer *self, guint index, guint16 number, guint ttl)
{
  Target *t = self->targets->pdata[index];
  Family *family = self->family[t->family];
  OwdProbeEndpoint to = t->to;
  guint8 buf[OWD_PROBE_PATH_BYTES];
  gsize len = owd_probe_path_build (&t->flow, number, buf);
  guint32 tx_id;

  *(t->family == 0 ? &to.v4.sin_port : &to.v6.sin6_port) = 0;
  if (owd_probe_socket_send_ttl (family->own, &to, buf, len, (gint) ttl, &tx_id) != 0)
    return FALSE;
  family->departures[tx_id % TX_RING] = (Departure){ .target = index, .number = number };
  return TRUE;
}

static void
send_trip (Tracer *self, guint index)
{
  Target *t = self->targets->pdata[index];

  t->trip = owd_probe_trace_other_number (t->trips++);
  t->trip_t1 = owd_probe_clock_real ();
  if (!send_probe (self, index, t->trip, OWD_PROBE_TTL))
    t->trip = 0;
}

static void
take_back (Tracer *self, const Target *t, guint32 ack)
{
  OwdProbeSegment reset = { .src = t->flow.src,
                            .dst = t->flow.dst,
                            .sport = t->flow.sport,
                            .dport = t->flow.dport,
                            .seq = ack,
                            .bits = OWD_PROBE_TCP_RST_BIT };
  OwdProbeEndpoint to = t->to;
  guint8 buf[OWD_PROBE_PATH_BYTES];
  gsize len = owd_probe_segment_build (&reset, buf, sizeof buf);
  guint32 tx_id;

  *(t->family == 0 ? &to.v4.sin_port : &to.v6.sin6_port) = 0;
  if (owd_probe_socket_send_ttl (self->family[t->family]->own, &to, buf, len, OWD_PROBE_TTL, &tx_id) == 0)
    self->family[t->family]->departures[tx_id % TX_RING] = (Departure){ .target = G_MAXUINT };
}

/* ---- receiving --------------------------------------------------------------------------------- */

static void
take_departures (Tracer *self, Family *family)
{
  OwdProbeEvent ev;

  while (owd_probe_socket_next_event (family->own, &ev)) {
    Departure d = family->departures[ev.tx_id % TX_RING];
    Target *t;

    if (!ev.left || d.target >= self->targets->len)
      continue;
    t = self->targets->pdata[d.target];
    if (d.number == t->trip)
      t->trip_t1 = ev.stamp;
    else
      owd_probe_trace_left (t->trace, d.number, ev.stamp);
  }
}

static void
take_answer (Tracer *self, Target *t, const OwdProbeDatagram *d, const OwdProbePathAnswer *answer)
{
  t->answered++;
  if (answer->ack != 0)
    take_back (self, t, answer->ack);
  if (answer->number != t->trip || t->trip == 0) {
    owd_probe_trace_answer (t->trace, answer, &d->addr, d->stamp);
    return;
  }
  t->trip = 0;
  if (answer->verdict == OWD_PROBE_PATH_REACHED
      && owd_probe_routes_trip (t->routes, d->stamp, d->stamp - t->trip_t1, answer->ttl_there, d->ttl))
    t->again = TRUE;
}

static void
take (Tracer *self, guint family, const OwdProbeDatagram *d, gboolean icmp)
{
  OwdProbePathAnswer answer;

  for (guint i = 0; i < self->targets->len; i++) {
    Target *t = self->targets->pdata[i];
    OwdStatus status;

    if (t->family != family)
      continue;
    if (icmp)
      status = owd_probe_path_read_icmp (&t->flow, d->data, d->len, family == 1, family == 0, &answer);
    else if (memcmp (&t->flow.dst, &d->addr, sizeof d->addr) == 0)
      status = owd_probe_path_read_own (&t->flow, d->data, d->len, family == 0, &answer);
    else
      continue;
    if (status == OWD_STATUS_OK) {
      take_answer (self, t, d, &answer);
      return;
    }
  }
}

static void
drain_socket (Tracer *self, guint family, OwdProbeSocket *from, gboolean icmp)
{
  guint n;

  if (from == NULL)
    return;
  do {
    n = owd_probe_batch_receive (self->batch, from);
    take_departures (self, self->family[family]);
    for (guint i = 0; i < n; i++)
      take (self, family, owd_probe_batch_get (self->batch, i), icmp);
  } while (n == OWD_PROBE_BATCH);
}

static void
drain (Tracer *self)
{
  for (guint k = 0; k < 2; k++)
    if (self->family[k] != NULL) {
      take_departures (self, self->family[k]);
      drain_socket (self, k, self->family[k]->own, self->kind == OWD_PROBE_PATH_ICMP);
      drain_socket (self, k, self->family[k]->icmp, TRUE);
    }
}

/* ---- the loop ---------------------------------------------------------------------------------- */

static gboolean
is_done (const Tracer *self, const Target *t, OwdTime now)
{
  return !t->tracing && ((self->count > 0 && t->traces >= (guint) self->count) || now >= self->end);
}

static void
start_trace (Tracer *self, Target *t, OwdTime now, gboolean by_ttl)
{
  t->tracing = TRUE;
  t->by_ttl = by_ttl;
  t->again = FALSE;
  t->began = owd_probe_clock_real ();
  owd_probe_trace_start (t->trace, now);
  if (!by_ttl)
    t->next_trace = self->interval_ns > 0 ? MAX (t->next_trace + self->interval_ns, now) : G_MAXINT64;
}

static void
end_trace (Tracer *self, Target *t, OwdTime now)
{
  const OwdProbeRoute *route = owd_probe_trace_route (t->trace);

  t->tracing = FALSE;
  t->traced = now;
  t->traces++;
  if (route->n == 0)
    return;
  if (owd_probe_routes_add (t->routes, route, t->began, t->by_ttl)
      && (self->count == 0 || t->traces < (guint) self->count))
    start_trace (self, t, now, TRUE);
  else
    store_current (t);
}

/* Whatever is due for a target. Returns: when to look again. */
static OwdTime
serve (Tracer *self, guint index, OwdTime now)
{
  Target *t = self->targets->pdata[index];
  gint64 hold_ns = t->trips == 1 && t->answered == 0 ? FIRST_WAIT_NS : 0; /* the first trip pays for set-up */
  guint16 number;
  guint ttl;

  if (is_done (self, t, now))
    return G_MAXINT64;
  if (now >= t->next_trip) {
    send_trip (self, index);
    t->next_trip = self->trips_ns > 0 ? MAX (t->next_trip + self->trips_ns, now) : G_MAXINT64;
    if (t->trips == 1)
      return now + FIRST_WAIT_NS;
  }
  if (!t->tracing && now >= t->next_trace + hold_ns)
    start_trace (self, t, now, FALSE);
  else if (!t->tracing && t->again && now - t->traced >= TRIGGER_NS)
    start_trace (self, t, now, TRUE);
  while (owd_probe_trace_next (t->trace, now, &ttl, &number)) {
    OwdTime t1 = owd_probe_clock_real ();

    if (send_probe (self, index, number, ttl))
      owd_probe_trace_left (t->trace, number, t1);
  }
  if (t->tracing && owd_probe_trace_wake (t->trace) == G_MAXINT64)
    end_trace (self, t, now);
  if (t->tracing)
    return MIN (owd_probe_trace_wake (t->trace), t->next_trip);
  return MIN (MIN (t->next_trace, t->next_trip), t->again ? t->traced + TRIGGER_NS : G_MAXINT64);
}

static gboolean
all_done (const Tracer *self, OwdTime now)
{
  for (guint i = 0; i < self->targets->len; i++)
    if (!is_done (self, self->targets->pdata[i], now))
      return FALSE;
  return TRUE;
}

static void
wait_until (Tracer *self, OwdTime until)
{
  struct pollfd fds[5] = { { .fd = self->signal_fd, .events = POLLIN } };
  gint64 wait = CLAMP (until - owd_probe_clock_steady (), 0, TICK_NS);
  struct timespec ts = { .tv_nsec = wait };
  char buf[128]; /* a signalfd_siginfo */

  for (guint k = 0; k < 2; k++) {
    const Family *family = self->family[k];

    fds[1 + 2 * k] = (struct pollfd){ .fd = family != NULL ? family->own->fd : -1, .events = POLLIN };
    fds[2 + 2 * k]
        = (struct pollfd){ .fd = family != NULL && family->icmp != NULL ? family->icmp->fd : -1, .events = POLLIN };
  }
  if (ppoll (fds, G_N_ELEMENTS (fds), &ts, NULL) > 0 && fds[0].revents != 0
      && read (self->signal_fd, buf, sizeof buf) > 0)
    self->stop = TRUE;
}

static void
run (Tracer *self)
{
  OwdTime now = owd_probe_clock_steady ();

  for (guint i = 0; i < self->targets->len; i++) {
    Target *t = self->targets->pdata[i];

    t->next_trip = t->next_trace = now + i * STAGGER_NS;
    t->traced = now - TRIGGER_NS;
  }
  while (!self->stop && !all_done (self, now)) {
    OwdTime wake = G_MAXINT64;

    for (guint i = 0; i < self->targets->len; i++)
      wake = MIN (wake, serve (self, i, now));
    wait_until (self, MIN (wake, self->end));
    drain (self);
    now = owd_probe_clock_steady ();
    if (self->writer != NULL)
      owd_probe_writer_tick (self->writer, now);
  }
}

/* ---- set-up ------------------------------------------------------------------------------------ */

static void
free_target (gpointer data)
{
  Target *t = data;

  owd_probe_trace_free (t->trace);
  owd_probe_routes_free (t->routes);
  g_free (t->text);
  g_free (t);
}

static void
free_family (Family *family)
{
  if (family == NULL)
    return;
  owd_probe_socket_free (family->own);
  owd_probe_socket_free (family->icmp);
  owd_probe_ports_free (family->port);
  g_free (family);
}

static const int protocols[][2]
    = { { IPPROTO_UDP, IPPROTO_UDP }, { IPPROTO_TCP, IPPROTO_TCP }, { IPPROTO_ICMP, IPPROTO_ICMPV6 } };
static const char *const method_names[] = { "path-udp", "path-tcp", "path-icmp" };

/* The sockets of one address family. ICMP needs no port; its identifier is drawn. */
static gboolean
open_family (Tracer *self, guint k, const OwdProbeEndpoint *from, guint8 tos, GError **error)
{
  Family *family = self->family[k] = g_new0 (Family, 1);
  int protocol = protocols[self->kind][k], icmp = protocols[OWD_PROBE_PATH_ICMP][k];

  family->own = owd_probe_socket_new_raw (from, protocol, tos, FALSE, error);
  if (family->own == NULL || self->kind == OWD_PROBE_PATH_ICMP)
    return family->own != NULL;
  family->icmp = owd_probe_socket_new_raw (from, icmp, tos, FALSE, error);
  family->port = family->icmp != NULL ? owd_probe_ports_hold (from, protocol, 1, error) : NULL;
  return family->port != NULL
         && owd_probe_socket_only_ports (family->own, family->port->port[0], family->port->port[0], error);
}

static gboolean
add_target (Tracer *self, const Options *o, guint index, GError **error)
{
  const char *text = o->targets[index];
  Target *t = g_new0 (Target, 1);
  OwdProbeRouteSink sink = { .span = on_span, .change = on_change, .user = t };
  OwdProbeEndpoint from;
  Family *family;

  g_ptr_array_add (self->targets, t);
  t->tracer = self;
  t->index = index;
  t->trace = owd_probe_trace_new (&self->cfg);
  t->routes = owd_probe_routes_new (&sink);
  if (!owd_probe_endpoint_resolve (text, (guint16) o->port,
                                   o->four  ? AF_INET
                                   : o->six ? AF_INET6
                                            : AF_UNSPEC,
                                   FALSE, &t->to, error))
    return FALSE;
  t->text = owd_probe_endpoint_text (&t->to);
  t->family = t->to.any.sa_family == AF_INET ? 0 : 1;
  if (!owd_probe_endpoint_resolve (o->source != NULL ? o->source : "", 0, t->to.any.sa_family, TRUE, &from, error)
      || (self->family[t->family] == NULL && !open_family (self, t->family, &from, (guint8) (o->dscp << 2), error)))
    return FALSE;
  family = self->family[t->family];
  t->flow = (OwdProbePathFlow){ .kind = self->kind, .token = g_random_int () };
  t->flow.sport = family->port != NULL ? family->port->port[0] : (guint16) g_random_int_range (1, 65536);
  owd_probe_endpoint_addr (&t->to, &t->flow.dst, &t->flow.dport);
  if (!owd_probe_endpoint_local (&t->to, &from, &t->flow.src)) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "%s: no route", t->text);
    return FALSE;
  }
  if (self->kind == OWD_PROBE_PATH_ICMP) { /* there are no ports; exporters put type and code there */
    char text_of[OWD_ADDR_TEXT];

    g_free (t->text);
    t->text = g_strdup (owd_addr_text (&t->flow.dst, text_of));
    t->flow.dport = t->family == 0 ? 8 << 8 : 128 << 8;
  }
  t->label = (OwdProbeLabel){ .target = t->text,
                              .method = method_names[self->kind],
                              .test = o->test,
                              .agent = o->agent,
                              .run = self->run,
                              .proto = (guint8) protocols[self->kind][t->family],
                              .src = t->flow.src,
                              .dst = t->flow.dst,
                              .sport = self->kind == OWD_PROBE_PATH_ICMP ? 0 : t->flow.sport,
                              .dport = t->flow.dport };
  return TRUE;
}

/* With --keep-going a target that cannot be traced is left out. */
static gboolean
add_targets_of (Tracer *self, const Options *o, guint index, GError **error)
{
  g_autoptr (GError) own = NULL;

  if (add_target (self, o, index, &own))
    return TRUE;
  if (!o->keep_going) {
    g_propagate_error (error, g_steal_pointer (&own));
    return FALSE;
  }
  g_warning ("left out: %s", own->message);
  g_ptr_array_remove_index (self->targets, self->targets->len - 1);
  return TRUE;
}

static gboolean
parse (Tracer *self, Options *o, GError **error)
{
  const char *const kinds[] = { "udp", "tcp", "icmp" };
  gint64 duration_ns;
  guint kind;

  if (o->dscp < 0 || o->dscp > 63 || o->port < 0 || o->port > 65535 || o->count < 0 || o->max_ttl < 1
      || o->max_ttl > OWD_PROBE_HOPS_MAX || o->tries < 1 || o->tries > OWD_PROBE_TRIES_MAX || o->silent < 1
      || (o->four && o->six)) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG,
                 "want --dscp 0 to 63, --port 1 to 65535, --max-ttl 1 to %d, --tries 1 to %d, --silent 1 or more, not "
                 "both -4 and -6",
                 OWD_PROBE_HOPS_MAX, OWD_PROBE_TRIES_MAX);
    return FALSE;
  }
  if (!owd_probe_parse_name (o->method, kinds, G_N_ELEMENTS (kinds), "--method", &kind, error)
      || !owd_probe_parse_format (o->format, &self->format, error)
      || !owd_probe_parse_duration (o->interval != NULL ? o->interval : "0", "--interval", 0, &self->interval_ns, error)
      || !owd_probe_parse_duration (o->trips != NULL        ? o->trips
                                    : self->interval_ns > 0 ? "1s"
                                                            : "0",
                                    "--trips", 0, &self->trips_ns, error)
      || !owd_probe_parse_duration (o->timeout != NULL ? o->timeout : "1s", "--timeout", OWD_NS_PER_MS,
                                    &self->cfg.timeout_ns, error)
      || !owd_probe_parse_duration (o->duration != NULL ? o->duration : "0", "--duration", 0, &duration_ns, error))
    return FALSE;
  self->kind = (OwdProbePathKind) kind;
  if (o->port == 0)
    o->port = self->kind == OWD_PROBE_PATH_TCP ? TCP_PORT : UDP_PORT;
  self->end = duration_ns > 0 ? owd_probe_clock_steady () + duration_ns : G_MAXINT64;
  self->count = o->count == 0 && self->interval_ns == 0 ? 1 : o->count;
  self->cfg.max_ttl = (guint) o->max_ttl;
  self->cfg.tries = (guint) o->tries;
  self->cfg.silent = (guint) o->silent;
  self->cfg.parallel = 4;
  self->cfg.gap_ns = 10 * OWD_NS_PER_MS;
  return TRUE;
}

static gboolean
setup (Tracer *self, Options *o, const OwdConfig *config, GError **error)
{
  guint n = o->targets != NULL ? g_strv_length (o->targets) : 0;
  gboolean stored = o->db != NULL || o->spool != NULL;

  if (n == 0 || n > TARGETS_MAX) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "want 1 to %d targets; try 'oneway-probe path --help'",
                 TARGETS_MAX);
    return FALSE;
  }
  if (!parse (self, o, error))
    return FALSE;
  for (guint i = 0; i < n; i++)
    if (!add_targets_of (self, o, i, error))
      return FALSE;
  if (self->targets->len == 0) {
    g_set_error_literal (error, OWD_ERROR, OWD_ERROR_IO, "no target is left");
    return FALSE;
  }
  if ((o->user != NULL || !stored) && !owd_program_drop_rights (o->user != NULL ? o->user : "nobody", error))
    return FALSE;
  if (stored)
    self->writer
        = owd_probe_writer_new (o->db, o->spool, owd_config_duration_ns (config, "database", "retain-probes"), error);
  return !stored || self->writer != NULL;
}

static int
report (Tracer *self)
{
  guint answered = 0;

  for (guint i = 0; i < self->targets->len; i++) {
    Target *t = self->targets->pdata[i];
    guint changes = owd_probe_routes_changes (t->routes), unsteady = owd_probe_routes_unsteady (t->routes);

    owd_probe_routes_finish (t->routes);
    answered += t->answered;
    if (t->answered == 0)
      g_message ("%s: nobody on the way has answered", t->text);
    if (changes + unsteady + owd_probe_routes_ttl_changes (t->routes) > 0)
      g_message ("%s: %u route changes, %u changes of TTL, %u traces that no second one confirmed", t->text, changes,
                 owd_probe_routes_ttl_changes (t->routes), unsteady);
  }
  if (fflush (stdout) != 0) {
    g_warning ("cannot write results: %s", g_strerror (errno));
    return OWD_EXIT_FAILED;
  }
  return answered > 0 ? OWD_EXIT_DONE : OWD_EXIT_NOTHING;
}

static int
trace_with (Options *o, const OwdConfig *config, GError **error)
{
  Tracer self = { .targets = g_ptr_array_new_with_free_func (free_target),
                  .batch = owd_probe_batch_new (),
                  .signal_fd = owd_program_signal_fd (),
                  .run = owd_probe_clock_real () };
  int status = -1;

  if (setup (&self, o, config, error)) {
    if (self.format == OWD_PROBE_CSV)
      owd_probe_print_route_csv_header (stdout);
    run (&self);
    status = report (&self);
    if (!owd_probe_writer_close (self.writer, error))
      status = OWD_EXIT_FAILED;
  }
  g_ptr_array_unref (self.targets);
  free_family (self.family[0]);
  free_family (self.family[1]);
  owd_probe_batch_free (self.batch);
  if (self.signal_fd >= 0)
    close (self.signal_fd);
  return status;
}

static void
clear_options (Options *o)
{
  char *texts[] = { o->method, o->interval, o->duration, o->trips, o->timeout, o->source,
                    o->format, o->test,     o->agent,    o->db,    o->spool,   o->user };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    g_free (texts[i]);
  g_strfreev (o->targets);
}

int
owd_probe_path_main (int argc, char **argv)
{
  Options o = { .max_ttl = 30, .tries = 3, .silent = 5 };
  const GOptionEntry entries[] = {
    { "method", 'm', 0, G_OPTION_ARG_STRING, &o.method, "Probes: udp (default), tcp, icmp", "KIND" },
    { "interval", 'i', 0, G_OPTION_ARG_STRING, &o.interval, "Trace again and again; else once", "TIME" },
    { "count", 'c', 0, G_OPTION_ARG_INT, &o.count, "Traces per target, then stop", "N" },
    { "duration", 'd', 0, G_OPTION_ARG_STRING, &o.duration, "Stop after this time", "TIME" },
    { "trips", 0, 0, G_OPTION_ARG_STRING, &o.trips, "Between probes of the whole path (1s with --interval); 0: none",
      "TIME" },
    { "port", 'p', 0, G_OPTION_ARG_INT, &o.port, "Of targets that name none (33434; TCP: 80)", "PORT" },
    { "source", 0, 0, G_OPTION_ARG_STRING, &o.source, "Send from here", "ADDR[:PORT]" },
    { "dscp", 0, 0, G_OPTION_ARG_INT, &o.dscp, "Of all probes (0)", "0-63" },
    { "max-ttl", 0, 0, G_OPTION_ARG_INT, &o.max_ttl, "No further than this (30)", "N" },
    { "tries", 0, 0, G_OPTION_ARG_INT, &o.tries, "Ask a silent hop so often (3)", "N" },
    { "silent", 0, 0, G_OPTION_ARG_INT, &o.silent, "Stop after so many silent hops in a row (5)", "N" },
    { "timeout", 0, 0, G_OPTION_ARG_STRING, &o.timeout, "A hop that does not answer is asked again after (1s)",
      "TIME" },
    { "ipv4", '4', 0, G_OPTION_ARG_NONE, &o.four, "Resolve names to IPv4 only", NULL },
    { "ipv6", '6', 0, G_OPTION_ARG_NONE, &o.six, "Resolve names to IPv6 only", NULL },
    { "keep-going", 'k', 0, G_OPTION_ARG_NONE, &o.keep_going, "Leave out targets without name or route", NULL },
    { "format", 'f', 0, G_OPTION_ARG_STRING, &o.format, "table (default), json (lines), csv (no hops)", "FORMAT" },
    { "test", 0, 0, G_OPTION_ARG_STRING, &o.test, "What to call this measurement in results", "NAME" },
    { "agent", 0, 0, G_OPTION_ARG_STRING, &o.agent, "What to call this machine in results (its host name)", "NAME" },
    { "db", 0, 0, G_OPTION_ARG_STRING, &o.db, "Results go into this database, too", "CONNINFO" },
    { "spool", 0, 0, G_OPTION_ARG_FILENAME, &o.spool, "Where results wait while it is away", "DIR" },
    { "user", 'u', 0, G_OPTION_ARG_STRING, &o.user, "Become this user once sockets are open", "NAME" },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &o.targets, NULL, "TARGET..." },
    { 0 },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (OwdConfig) config = NULL;
  GError *error = NULL;
  int status;

  g_option_context_set_summary (context,
                                "Finds the routers on the way, with probes of one flow, and watches the route.\n"
                                "TARGET is HOST, HOST:PORT or [ADDRESS]:PORT.");
  g_option_context_add_main_entries (context, entries, NULL);
  status = owd_program_start (context, OWD_PROBE_PROGRAM, &argc, &argv, &config);
  if (o.agent == NULL)
    o.agent = g_strdup (g_get_host_name ());
  if (status < 0)
    status = trace_with (&o, config, &error);
  if (error != NULL)
    status = owd_program_fail (OWD_PROBE_PROGRAM, error);
  clear_options (&o);
  return status;
}
