/* SPDX-License-Identifier: Apache-2.0
 *
 * oneway-probe send: one thread, one socket per address family, any number of targets.
 *
 * The thread wakes for departures and for nothing else, as long as they are close together: the kernel has stamped what
 * arrived meanwhile, so replies can wait in the socket until the next packet is out. That keeps the schedule free of
 * receive work and halves the wake-ups. Only where the next departure is far off it also wakes for replies, so that a
 * live display is live.
 */
#include "keyring.h"
#include "net.h"
#include "owd-program.h"
#include "pace.h"
#include "program.h"
#include "results.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum {
  NEAR_NS = 20000000,  /* departures closer than this are slept for without a look at the sockets */
  TICK_NS = 200000000, /* live line, clock error, signals */
  TX_RING = 8192,      /* departures whose stamps are under way */
  STALL_NS = 1000000000,
  TRAIN = 1000, /* packets in a row without a look at the sockets */
  TARGETS_MAX = 4096,
};

typedef struct {
  char *interval, *duration, *schedule, *gap, *size, *timeout, *source, *key_file, *key, *peer, *tlvs, *format;
  char *profile, *test, *agent, *db, *spool;
  gint count, burst, dscp, ecn, port;
  gboolean four, six, twamp, ptp, no_packets, live;
  char **targets;
} Options;

typedef struct {
  char *text;
  OwdProbeEndpoint to;
  OwdAddr addr;
  guint16 port, ssid;
  guint size;
  OwdProbeLabel label;
  OwdProbeSchedule schedule;
  OwdTime due;
  gint64 left; /* packets still to send; -1: no end */
  guint32 sent;
  guint64 unreachable;
  OwdProbeSession *session;
  gpointer sender; /* Sender *: a sample's way to the output */
} Target;

typedef struct {
  guint target;
  guint32 seq;
} Departure;

typedef struct {
  OwdProbeRequest request; /* what is the same in every packet */
  OwdProbeFormat format;
  gboolean packets, live, dirty;
  gint64 timeout_ns;
  OwdTime end; /* steady; G_MAXINT64: none */
  OwdProbeKeyring *keyring;
  OwdProbeSocket *socket[2]; /* IPv4, IPv6; NULL where no target needs it */
  Departure *departures[2];  /* TX_RING each, by tx id */
  OwdProbeBatch *batch;
  OwdProbePace pace;
  OwdProbeError clock_error;
  OwdTime next_tick;
  int signal_fd;
  gboolean stop;
  GPtrArray *targets;
  guint *heap; /* of target indices, the next due on top */
  guint n_heap;
  guint first_ssid; /* of target 0 */
  guint64 stray, skipped;
  OwdTime run;
  OwdProbeWriter *writer; /* NULL: results are printed only */
} Sender;

/* ---- targets by due time ----------------------------------------------------------------------- */

static Target *
heap_target (const Sender *self, guint i)
{
  return self->targets->pdata[self->heap[i]];
}

static void
sift_down (Sender *self, guint i)
{
  guint top = self->heap[i];
  OwdTime due = heap_target (self, i)->due;

  for (guint child = 2 * i + 1; child < self->n_heap; child = 2 * i + 1) {
    if (child + 1 < self->n_heap && heap_target (self, child + 1)->due < heap_target (self, child)->due)
      child++;
    if (due <= heap_target (self, child)->due)
      break;
    self->heap[i] = self->heap[child];
    i = child;
  }
  self->heap[i] = top;
}

/* The target on top has sent: give it its next time, or take it out. */
static void
reschedule (Sender *self)
{
  Target *t = heap_target (self, 0);
  OwdTime now = owd_probe_clock_steady ();

  t->due = t->left == 0 ? G_MAXINT64 : owd_probe_schedule_next (&t->schedule);
  /* after a standstill what is long overdue is not made up for: that would be a flood, not a schedule */
  for (; t->due < now - STALL_NS && t->left != 0; self->skipped++, t->left -= t->left > 0)
    t->due = owd_probe_schedule_next (&t->schedule);
  if (t->due >= self->end)
    self->heap[0] = self->heap[--self->n_heap];
  if (self->n_heap > 0)
    sift_down (self, 0);
}

/* ---- receiving --------------------------------------------------------------------------------- */

static void
on_sample (const OwdProbeSample *sample, gpointer user)
{
  Target *t = user;
  Sender *self = t->sender;

  if (self->packets)
    owd_probe_print_sample (stdout, self->format, &t->label, t->label.sport, sample);
  if (self->writer != NULL)
    owd_probe_print_sample (owd_probe_writer_out (self->writer), OWD_PROBE_JSON, &t->label, t->label.sport, sample);
  self->dirty = TRUE;
}

static void
drain_events (Sender *self, guint family)
{
  OwdProbeEvent ev;

  while (owd_probe_socket_next_event (self->socket[family], &ev)) {
    if (ev.left) {
      Departure d = self->departures[family][ev.tx_id % TX_RING];
      Target *t = self->targets->pdata[d.target];

      owd_probe_session_left (t->session, d.seq, ev.stamp);
      continue;
    }
    for (guint i = 0; i < self->targets->len; i++) {
      Target *t = self->targets->pdata[i];

      if (t->to.any.sa_family == ev.to.any.sa_family && memcmp (&t->to, &ev.to, owd_probe_endpoint_len (&t->to)) == 0
          && t->unreachable++ == 0)
        g_warning ("%s: %s", t->text, g_strerror (ev.error));
    }
  }
}

static gboolean
is_from (const Target *t, const OwdProbeDatagram *d)
{
  return t->port == d->port && memcmp (&t->addr, &d->addr, sizeof t->addr) == 0;
}

/* The target that a reply comes from. Session identifiers are consecutive, so they tell at once. Reflectors without
 * them have to be searched: by address and port, and among the sizes of one target by the stamp that comes back. */
static Target *
target_of (const Sender *self, const OwdProbeDatagram *d, const OwdProbeReply *reply)
{
  guint index = (guint) reply->ssid - self->first_ssid;
  Target *found = NULL;

  if (index < self->targets->len && is_from (self->targets->pdata[index], d))
    return self->targets->pdata[index];
  for (guint i = 0; i < self->targets->len; i++) {
    Target *t = self->targets->pdata[i];

    if (!is_from (t, d))
      continue;
    if (owd_probe_session_expects (t->session, reply))
      return t;
    found = t;
  }
  return found;
}

static void
take_reply (Sender *self, const OwdProbeDatagram *d)
{
  OwdProbeArrival arrival
      = { .t4 = d->stamp, .t4_soft = d->soft, .ttl = d->ttl, .tos = d->tos, .own = self->clock_error };
  OwdProbeReply reply;
  Target *t;

  if (owd_probe_reply_parse (d->data, d->len, self->request.key, &reply) != OWD_STATUS_OK
      || (t = target_of (self, d, &reply)) == NULL) {
    self->stray++;
    return;
  }
  owd_probe_session_reply (t->session, &reply, &arrival);
}

static void
drain (Sender *self)
{
  guint n;

  for (guint family = 0; family < 2; family++) {
    if (self->socket[family] == NULL)
      continue;
    drain_events (self, family); /* departures first: replies use them */
    do {
      n = owd_probe_batch_receive (self->batch, self->socket[family]);
      for (guint i = 0; i < n; i++)
        take_reply (self, owd_probe_batch_get (self->batch, i));
    } while (n == OWD_PROBE_BATCH);
  }
}

/* ---- sending ----------------------------------------------------------------------------------- */

static void
send_one (Sender *self, guint index)
{
  Target *t = self->targets->pdata[index];
  guint family = t->to.any.sa_family == AF_INET ? 0 : 1;
  guint8 buf[OWD_PROBE_MAX];
  OwdProbeRequest r = self->request;
  OwdTime t1;
  gsize len;
  guint32 tx_id, seq = owd_probe_session_next_seq (t->session);
  int code;

  t1 = owd_probe_clock_real ();
  r.seq = seq;
  r.ssid = t->ssid;
  r.size = (guint16) t->size;
  r.sent = t->sent;
  r.stamp = owd_probe_stamp_encode (t1, r.error & 0x4000);
  len = owd_probe_request_build (&r, buf, sizeof buf);
  code = owd_probe_socket_send (self->socket[family], &t->to, buf, len, &tx_id);
  if (code != 0) {
    drain_events (self, family);
    code = owd_probe_socket_send (self->socket[family], &t->to, buf, len, &tx_id);
  }
  if (t->left > 0)
    t->left--;
  if (code != 0) {
    owd_probe_session_not_sent (t->session);
    if (t->unreachable++ == 0)
      g_warning ("%s: cannot send: %s", t->text, g_strerror (code));
    return;
  }
  self->departures[family][tx_id % TX_RING] = (Departure){ .target = index, .seq = seq };
  owd_probe_session_sent (t->session, t1, r.stamp, t->due);
  t->sent++;
}

static void
print_live (const Sender *self)
{
  const Target *t = self->targets->pdata[0];
  guint64 sent = 0, answered = 0, lost = 0;
  OwdProbeSummary sum;

  for (guint i = 0; i < self->targets->len; i++) {
    owd_probe_session_counts (((const Target *) self->targets->pdata[i])->session, &sum);
    sent += sum.sent;
    answered += sum.answered;
    lost += sum.lost;
  }
  owd_probe_session_summary (t->session, &sum);
  fprintf (stderr, "\r\033[Ksent %" G_GUINT64_FORMAT ", answered %" G_GUINT64_FORMAT ", lost %" G_GUINT64_FORMAT, sent,
           answered, lost);
  if (sum.rtt.n > 0)
    fprintf (stderr, "; %s: round trip %.3f ms, up %.3f, down %.3f (p50)", t->text, (double) sum.rtt.p50_ns / 1e6,
             (double) sum.up.p50_ns / 1e6, (double) sum.down.p50_ns / 1e6);
}

static void
tick (Sender *self, OwdTime steady)
{
  char buf[128]; /* a signalfd_siginfo */

  if (steady < self->next_tick)
    return;
  self->next_tick = steady + TICK_NS;
  self->clock_error = owd_probe_clock_error ();
  self->clock_error.ptp = (self->request.error & 0x4000) != 0;
  self->request.error = owd_probe_error_encode (&self->clock_error);
  for (guint i = 0; i < self->targets->len; i++)
    owd_probe_session_advance (((Target *) self->targets->pdata[i])->session, owd_probe_clock_real ());
  if (self->writer != NULL)
    owd_probe_writer_tick (self->writer, steady);
  if (self->dirty)
    fflush (stdout);
  self->dirty = FALSE;
  if (self->live)
    print_live (self);
  if (read (self->signal_fd, buf, sizeof buf) > 0)
    self->stop = TRUE;
}

/* Sleeps until something arrives, a signal comes, or `until` (steady) has come. */
static void
look_after (Sender *self, OwdTime until)
{
  struct pollfd fds[3] = { { .fd = self->signal_fd, .events = POLLIN },
                           { .fd = self->socket[0] != NULL ? self->socket[0]->fd : -1, .events = POLLIN },
                           { .fd = self->socket[1] != NULL ? self->socket[1]->fd : -1, .events = POLLIN } };
  gint64 wait = CLAMP (until - owd_probe_clock_steady (), 0, TICK_NS);
  struct timespec ts = { .tv_nsec = wait };

  if (ppoll (fds, G_N_ELEMENTS (fds), &ts, NULL) > 0) {
    if (fds[0].revents != 0)
      self->next_tick = 0;
    drain (self);
  }
  tick (self, owd_probe_clock_steady ());
}

static void
run (Sender *self)
{
  guint undrained = 0;

  while (self->n_heap > 0 && !self->stop) {
    OwdTime due = heap_target (self, 0)->due;

    if (due - owd_probe_clock_steady () > NEAR_NS) {
      look_after (self, due - NEAR_NS / 2);
      continue;
    }
    owd_probe_pace_wait (&self->pace, due);
    send_one (self, self->heap[0]);
    reschedule (self);
    /* trains leave undisturbed, as long as the sockets hold what comes meanwhile */
    if (++undrained == TRAIN || self->n_heap == 0 || heap_target (self, 0)->due > owd_probe_clock_steady ()) {
      undrained = 0;
      drain (self);
      tick (self, owd_probe_clock_steady ());
    }
  }
}

static gboolean
waiting (const Sender *self)
{
  for (guint i = 0; i < self->targets->len; i++)
    if (owd_probe_session_waiting (((const Target *) self->targets->pdata[i])->session))
      return TRUE;
  return FALSE;
}

/* Replies to the last packets. A second signal ends the wait. */
static void
wait_for_replies (Sender *self)
{
  OwdTime end = owd_probe_clock_steady () + self->timeout_ns;

  self->stop = FALSE;
  drain (self);
  while (!self->stop && waiting (self) && owd_probe_clock_steady () < end)
    look_after (self, end);
  /* a doubled last reply is right behind the first */
  look_after (self, owd_probe_clock_steady () + 10 * OWD_NS_PER_MS);
}

/* ---- set-up ------------------------------------------------------------------------------------ */

static gboolean
parse_name (const char *text, const char *const names[], guint n, const char *option, guint *ret, GError **error)
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
  if (!parse_name (o->profile, names, G_N_ELEMENTS (names), "--profile", &which, error))
    return FALSE;
  if (o->interval == NULL)
    o->interval = g_strdup (profiles[which].interval);
  if (o->size == NULL)
    o->size = g_strdup (profiles[which].size);
  return TRUE;
}

static gboolean
parse_schedule (const Options *o, OwdProbeSchedule *ret, GError **error)
{
  const char *const names[] = { "isochronous", "poisson", "burst", "train" };
  guint kind;

  if (!parse_name (o->schedule, names, G_N_ELEMENTS (names), "--schedule", &kind, error)
      || !owd_probe_parse_duration (o->interval != NULL ? o->interval : "100ms", "--interval", 1000, &ret->interval_ns,
                                    error)
      || !owd_probe_parse_duration (o->gap != NULL ? o->gap : "10ms", "--gap", 0, &ret->gap_ns, error))
    return FALSE;
  ret->kind = (OwdProbeScheduleKind) kind;
  ret->burst = (guint) o->burst;
  if (o->burst < 1 || (kind == OWD_PROBE_BURST && ret->gap_ns * o->burst > ret->interval_ns)) {
    g_set_error_literal (error, OWD_ERROR, OWD_ERROR_CONFIG,
                         "--burst: at least 1 packet, and --burst times --gap must fit into --interval");
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
    if (!parse_name (parts[i], names, G_N_ELEMENTS (names), "--tlvs", &bit, error))
      return FALSE;
    *ret_ask |= 1u << bit; /* in the order of OWD_PROBE_ASK_* */
  }
  return TRUE;
}

static gboolean
parse_sizes (const char *text, GArray *ret_sizes, GError **error)
{
  g_auto (GStrv) parts = g_strsplit (text != NULL ? text : "44", ",", -1);
  guint64 size;

  for (gsize i = 0; parts[i] != NULL; i++) {
    guint n;

    if (!g_ascii_string_to_unsigned (parts[i], 10, 14, OWD_PROBE_MAX, &size, NULL)) {
      g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "--size %s: want bytes of UDP payload, up to %d", parts[i],
                   OWD_PROBE_MAX);
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
  Target *t = data;

  owd_probe_session_free (t->session);
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

static void
add_target (Sender *self, const Options *o, const OwdProbeEndpoint *to, guint size, OwdProbeSessionConfig *cfg)
{
  Target *t = g_new0 (Target, 1);
  OwdProbeRequest sized = self->request;
  guint8 buf[OWD_PROBE_MAX];

  sized.size = (guint16) size;
  t->to = *to;
  t->text = owd_probe_endpoint_text (to);
  owd_probe_endpoint_addr (to, &t->addr, &t->port);
  t->ssid = o->twamp ? 0 : (guint16) (self->first_ssid + self->targets->len);
  t->size = (guint) owd_probe_request_build (&sized, buf, sizeof buf);
  t->label = (OwdProbeLabel){ .target = t->text,
                              .method = "stamp",
                              .test = o->test,
                              .agent = o->agent,
                              .run = self->run,
                              .size = t->size,
                              .proto = IPPROTO_UDP,
                              .dst = t->addr,
                              .dport = t->port };
  t->left = o->count > 0 ? o->count : -1;
  t->sender = self;
  t->session = owd_probe_session_new (cfg, on_sample, t);
  g_ptr_array_add (self->targets, t);
}

static gboolean
add_targets (Sender *self, const Options *o, OwdProbeSessionConfig *cfg, GError **error)
{
  g_autoptr (GArray) sizes = g_array_new (FALSE, FALSE, sizeof (guint));
  OwdProbeEndpoint to;

  if (!parse_sizes (o->size, sizes, error))
    return FALSE;
  for (gsize i = 0; o->targets != NULL && o->targets[i] != NULL; i++) {
    if (!owd_probe_endpoint_resolve (o->targets[i], (guint16) o->port,
                                     o->four  ? AF_INET
                                     : o->six ? AF_INET6
                                              : AF_UNSPEC,
                                     FALSE, &to, error))
      return FALSE;
    for (guint k = 0; k < sizes->len; k++)
      add_target (self, o, &to, g_array_index (sizes, guint, k), cfg);
  }
  if (self->targets->len == 0 || self->targets->len > TARGETS_MAX) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "want 1 to %d targets; try 'oneway-probe send --help'",
                 TARGETS_MAX);
    return FALSE;
  }
  return TRUE;
}

static gboolean
open_sockets (Sender *self, const Options *o, guint8 tos, GError **error)
{
  OwdProbeEndpoint from;
  OwdAddr bound;

  for (guint i = 0; i < self->targets->len; i++) {
    Target *t = self->targets->pdata[i];
    int family = t->to.any.sa_family;
    guint k = family == AF_INET ? 0 : 1;

    if (self->socket[k] == NULL) {
      if (!owd_probe_endpoint_resolve (o->source != NULL ? o->source : "", 0, family, TRUE, &from, error))
        return FALSE;
      self->socket[k] = owd_probe_socket_new (&from, tos, TRUE, error);
      if (self->socket[k] == NULL)
        return FALSE;
      self->departures[k] = g_new0 (Departure, TX_RING);
    }
    owd_probe_endpoint_local (&t->to, &self->socket[k]->bound, &t->label.src);
    owd_probe_endpoint_addr (&self->socket[k]->bound, &bound, &t->label.sport);
  }
  return TRUE;
}

static gboolean
load_key (Sender *self, const Options *o, GError **error)
{
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
  if (o->dscp >= 0 && o->dscp <= 63 && o->ecn >= 0 && o->ecn <= 3 && o->port > 0 && o->port <= 65535 && o->count >= 0
      && !(o->four && o->six))
    return TRUE;
  g_set_error_literal (error, OWD_ERROR, OWD_ERROR_CONFIG,
                       "want --dscp 0 to 63, --ecn 0 to 3, --port 1 to 65535, --count 0 or more, not both -4 and -6");
  return FALSE;
}

/* Everything but the first times. */
static gboolean
setup (Sender *self, const Options *o, OwdProbeSchedule *ret_schedule, gint64 *ret_duration_ns, GError **error)
{
  const char *const peers[] = { "auto", "stateful", "stateless" };
  OwdProbeSessionConfig cfg = { .kernel_tx = TRUE, .ptp = o->ptp, .dscp = (guint8) o->dscp, .ecn = (guint8) o->ecn };
  guint peer;

  if (!check_ranges (o, error) || !parse_schedule (o, ret_schedule, error)
      || !parse_name (o->peer, peers, G_N_ELEMENTS (peers), "--reflector", &peer, error)
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
  cfg.timeout_ns = self->timeout_ns;
  cfg.window = window_for (ret_schedule, self->timeout_ns);
  cfg.peer = (OwdProbePeer) peer;
  cfg.follow_up = (self->request.ask & OWD_PROBE_ASK_FOLLOW_UP) != 0;
  self->packets = self->format == OWD_PROBE_CSV || (self->format == OWD_PROBE_JSON && !o->no_packets);
  self->live = o->live || (self->format == OWD_PROBE_TABLE && isatty (STDERR_FILENO));
  return add_targets (self, o, &cfg, error) && open_sockets (self, o, (guint8) (o->dscp << 2 | o->ecn), error);
}

/* First packets are spread over the first interval, so that targets do not burst together. */
static void
start (Sender *self, const OwdProbeSchedule *schedule, gint64 duration_ns)
{
  OwdTime begin = owd_probe_clock_steady () + 20 * OWD_NS_PER_MS;
  guint n = self->targets->len;

  self->end = duration_ns > 0 ? begin + duration_ns : G_MAXINT64;
  self->heap = g_new (guint, n);
  self->n_heap = n;
  for (guint i = 0; i < n; i++) {
    Target *t = self->targets->pdata[i];

    t->schedule = *schedule;
    if (getrandom (&t->schedule.seed, sizeof t->schedule.seed, 0) < 0)
      t->schedule.seed = (guint64) begin + i;
    owd_probe_schedule_start (&t->schedule, begin + schedule->interval_ns / n * i);
    t->due = owd_probe_schedule_next (&t->schedule);
    self->heap[i] = i;
  }
  tick (self, owd_probe_clock_steady ());
  owd_probe_pace_init (&self->pace);
}

static int
report (Sender *self)
{
  guint64 answered = 0;
  OwdProbeSummary sum;

  if (self->live)
    fputs ("\r\033[K", stderr);
  for (guint i = 0; i < self->targets->len; i++) {
    Target *t = self->targets->pdata[i];

    owd_probe_session_finish (t->session);
    owd_probe_session_summary (t->session, &sum);
    answered += sum.answered;
    owd_probe_print_summary (stdout, self->format, &t->label, &sum, self->clock_error.synchronised);
    if (self->writer != NULL)
      owd_probe_print_summary (owd_probe_writer_out (self->writer), OWD_PROBE_JSON, &t->label, &sum,
                               self->clock_error.synchronised);
  }
  if (self->skipped > 0)
    g_message ("%" G_GUINT64_FORMAT " packets were not sent because this program was held up for more than a second",
               self->skipped);
  if (self->stray > 0)
    g_message ("%" G_GUINT64_FORMAT " datagrams were no replies to this probe%s", self->stray,
               self->request.key != NULL ? ", or not authentic" : "");
  if (fflush (stdout) != 0) {
    g_warning ("cannot write results: %s", g_strerror (errno));
    return OWD_EXIT_FAILED;
  }
  return answered > 0 ? OWD_EXIT_DONE : OWD_EXIT_NOTHING;
}

static void
clear (Sender *self)
{
  g_ptr_array_unref (self->targets);
  owd_probe_keyring_free (self->keyring);
  for (guint i = 0; i < 2; i++) {
    owd_probe_socket_free (self->socket[i]);
    g_free (self->departures[i]);
  }
  owd_probe_batch_free (self->batch);
  g_free (self->heap);
  if (self->signal_fd >= 0)
    close (self->signal_fd);
}

static gboolean
open_writer (Sender *self, const Options *o, const OwdConfig *config, GError **error)
{
  if (o->db == NULL && o->spool == NULL)
    return TRUE;
  self->writer
      = owd_probe_writer_new (o->db, o->spool, owd_config_duration_ns (config, "database", "retain-probes"), error);
  return self->writer != NULL;
}

static int
send_with (const Options *o, const OwdConfig *config, GError **error)
{
  Sender self = { .targets = g_ptr_array_new_with_free_func (free_target),
                  .batch = owd_probe_batch_new (),
                  .signal_fd = owd_program_signal_fd (),
                  .first_ssid = (guint) g_random_int_range (1, 65536 - TARGETS_MAX),
                  .run = owd_probe_clock_real () };
  OwdProbeSchedule schedule = { 0 };
  gint64 duration_ns;
  int status = -1;

  if (setup (&self, o, &schedule, &duration_ns, error) && open_writer (&self, o, config, error)) {
    if (self.format == OWD_PROBE_CSV)
      owd_probe_print_csv_header (stdout);
    start (&self, &schedule, duration_ns);
    run (&self);
    wait_for_replies (&self);
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
  char *texts[]
      = { o->interval, o->duration, o->schedule, o->gap,     o->size, o->timeout, o->source, o->key_file, o->key,
          o->peer,     o->tlvs,     o->format,   o->profile, o->test, o->agent,   o->db,     o->spool };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    g_free (texts[i]);
  g_strfreev (o->targets);
}

int
owd_probe_send_main (int argc, char **argv)
{
  Options o = { .burst = 10, .port = OWD_PROBE_PORT };
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
    { "timeout", 0, 0, G_OPTION_ARG_STRING, &o.timeout, "A packet without reply is lost after (2s)", "TIME" },
    { "port", 'p', 0, G_OPTION_ARG_INT, &o.port, "Of targets that name none (862)", "PORT" },
    { "source", 0, 0, G_OPTION_ARG_STRING, &o.source, "Send from here", "ADDR[:PORT]" },
    { "dscp", 0, 0, G_OPTION_ARG_INT, &o.dscp, "Of probes, and wished for replies (0)", "0-63" },
    { "ecn", 0, 0, G_OPTION_ARG_INT, &o.ecn, "Likewise (0)", "0-3" },
    { "tlvs", 0, 0, G_OPTION_ARG_STRING, &o.tlvs, "Ask for: cos, direct, follow-up, stamp-info, location", "LIST" },
    { "key-file", 0, 0, G_OPTION_ARG_FILENAME, &o.key_file, "Authenticated mode with a key from here", "FILE" },
    { "key", 0, 0, G_OPTION_ARG_STRING, &o.key, "Which key of that file", "ID" },
    { "reflector", 0, 0, G_OPTION_ARG_STRING, &o.peer, "It is stateful, stateless, or find out (auto)", "KIND" },
    { "twamp-light", 0, 0, G_OPTION_ARG_NONE, &o.twamp, "No session identifier, no TLVs, padding of zeros", NULL },
    { "ptp", 0, 0, G_OPTION_ARG_NONE, &o.ptp, "Stamps in PTP format", NULL },
    { "ipv4", '4', 0, G_OPTION_ARG_NONE, &o.four, "Resolve names to IPv4 only", NULL },
    { "ipv6", '6', 0, G_OPTION_ARG_NONE, &o.six, "Resolve names to IPv6 only", NULL },
    { "format", 'f', 0, G_OPTION_ARG_STRING, &o.format, "table (default), json (lines), csv (packets)", "FORMAT" },
    { "test", 0, 0, G_OPTION_ARG_STRING, &o.test, "What to call this measurement in results", "NAME" },
    { "agent", 0, 0, G_OPTION_ARG_STRING, &o.agent, "What to call this machine in results (its host name)", "NAME" },
    { "db", 0, 0, G_OPTION_ARG_STRING, &o.db, "Results go into this database, too", "CONNINFO" },
    { "spool", 0, 0, G_OPTION_ARG_FILENAME, &o.spool, "Where results wait while it is away", "DIR" },
    { "no-packets", 0, 0, G_OPTION_ARG_NONE, &o.no_packets, "With json: summaries only", NULL },
    { "live", 0, 0, G_OPTION_ARG_NONE, &o.live, "A live line on stderr even if it is no terminal", NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &o.targets, NULL, "TARGET..." },
    { 0 },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (OwdConfig) config = NULL;
  GError *error = NULL;
  int status;

  g_option_context_set_summary (context, "Sends STAMP or TWAMP-Light probes and measures both directions.\n"
                                         "TARGET is HOST, HOST:PORT or [ADDRESS]:PORT.");
  g_option_context_add_main_entries (context, entries, NULL);
  status = owd_program_start (context, OWD_PROBE_PROGRAM, &argc, &argv, &config);
  if (o.agent == NULL)
    o.agent = g_strdup (g_get_host_name ());
  if (status < 0 && apply_profile (&o, &error))
    status = send_with (&o, config, &error);
  if (error != NULL)
    status = owd_program_fail (OWD_PROBE_PROGRAM, error);
  clear_options (&o);
  return status;
}
