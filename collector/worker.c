/* SPDX-License-Identifier: Apache-2.0
 *
 * The loop: receive, decode, append; a heartbeat when a second of receive time is over, a flush soon after the first
 * record that waits for one. Both carry owd_listener_time(), not the clock: it lags behind while datagrams still wait
 * in a socket, and what the log promises about its time stays true under overload.
 *
 * A disk that refuses blocks costs those blocks, counted, and one line a minute; reception and counting go on, and so
 * does the log as soon as there is room.
 *
 * Counters belong to the thread. Who wants them asks, wakes it and waits; so the hot path holds no lock.
 */
#include "worker.h"
#include "endpoints.h"
#include "fair.h"
#include "refusals.h"
#include "trouble.h"

#include <errno.h>
#include <time.h>

/* A record is in the kernel's hands 200 ms after its arrival at the latest; some of that belongs to the writing. */
#define FLUSH_DELAY_US (150 * G_TIME_SPAN_MILLISECOND)
#define DRAIN_US (2 * G_TIME_SPAN_SECOND)
#define RETRY_US (100 * G_TIME_SPAN_MILLISECOND)
#define METRICS_US (2 * G_TIME_SPAN_SECOND)
#define EXPORTER_NS (2 * OWD_NS_PER_S)

struct OwdWorker {
  GThread *thread;
  OwdListener *listener;
  OwdStreamListener *streams; /* NULL: no TCP address */
  OwdDecoder *decoder;
  OwdLogAppender *appender;
  OwdRefusals *refusals;
  OwdEndpoints *endpoints;
  OwdFair *fair;
  gint stop;           /* atomic */
  gint64 unflushed_us; /* monotonic time of the first record that was not flushed; 0: none */
  gint64 turn_us;      /* monotonic time when this turn began */
  OwdTime beat_ns;     /* of the last heartbeat */
  OwdSettings *settings;
  OwdSettings *next;  /* atomic; NULL: no others */
  guint64 disallowed; /* datagrams */
  OwdTrouble disk, reception, access, acceptance, connections, steering;
  guint64 dropped_before; /* records, before the disk's present trouble began */
  guint64 drops_said;     /* datagrams dropped by the kernel that have been spoken of, and when */
  gint64 drops_said_us;
  gint metrics_wanted; /* atomic */
  GMutex metrics_lock; /* guards: */
  GCond metrics_taken;
  OwdMetrics *metrics; /* who asked has it */
};

static OwdTime
now_ns (void)
{
  struct timespec t;

  (void) clock_gettime (CLOCK_REALTIME, &t);
  return (gint64) t.tv_sec * OWD_NS_PER_S + t.tv_nsec;
}

static void
on_header (void *user, const OwdHeader *header)
{
  OwdWorker *self = user;

  owd_log_appender_header (self->appender, header);
  if (self->unflushed_us == 0)
    self->unflushed_us = self->turn_us;
}

static void
on_flow (void *user, const OwdHeader *header, const OwdFlow *flow)
{
  OwdWorker *self = user;

  (void) header;
  if (G_UNLIKELY (self->settings->geo != NULL))
    owd_endpoints_add (self->endpoints, self->settings->geo, flow);
  /* refusals of the disk are counted by the appender, and the next flush says why */
  (void) !owd_log_appender_flow (self->appender, flow);
}

static void
disallow (OwdWorker *self, const OwdAddr *from)
{
  char addr[OWD_ADDR_TEXT];

  self->disallowed++;
  if (owd_trouble_is_news (&self->access))
    g_warning ("exporter %s: dropped, as allow in [collector] does not have this address; %" G_GUINT64_FORMAT
               " datagrams from such addresses so far",
               owd_addr_text (from, addr), self->disallowed);
}

/* What a datagram costs, in some tenths of a microsecond: taking it, its records, and templates, which are far dearer.
 */
static guint
cost_of (const OwdDatagram *d, guint64 templates)
{
  return 6 + (guint) d->len / 64 + 150 * (guint) templates;
}

static void
on_datagram (void *user, const OwdDatagram *d)
{
  OwdWorker *self = user;
  guint64 templates = owd_decoder_n_templates (self->decoder);

  if (!owd_prefix_list_allows (self->settings->allow, self->settings->n_allow, &d->from))
    disallow (self, &d->from);
  else if (owd_decoder_feed (self->decoder, &d->from, d->port, d->recv_ns, d->data, d->len) != OWD_STATUS_OK)
    owd_refusals_add (self->refusals, self->decoder, &d->from, d->data, d->len, d->recv_ns);
  owd_fair_charge (self->fair, &d->from, cost_of (d, owd_decoder_n_templates (self->decoder) - templates), d->back);
}

static gboolean
allows_stream (void *user, const OwdAddr *from)
{
  const OwdWorker *self = user;

  return owd_prefix_list_allows (self->settings->allow, self->settings->n_allow, from);
}

static void
on_stream_message (void *user, const OwdDatagram *d)
{
  OwdWorker *self = user;

  if (owd_decoder_feed_stream (self->decoder, &d->from, d->port, d->recv_ns, d->data, d->len) != OWD_STATUS_OK)
    owd_refusals_add (self->refusals, self->decoder, &d->from, d->data, d->len, d->recv_ns);
}

/* Exporters come and go; what somebody should look at is said, a line a minute at most. */
static void
on_stream_closed (void *user, const OwdAddr *from, guint16 port, OwdStreamReason reason, const char *detail)
{
  OwdWorker *self = user;
  gboolean is_ordinary = reason == OWD_STREAM_PEER || reason == OWD_STREAM_IDLE;
  char addr[OWD_ADDR_TEXT];

  g_log (G_LOG_DOMAIN,
         is_ordinary || !owd_trouble_is_news (&self->connections) ? G_LOG_LEVEL_DEBUG : G_LOG_LEVEL_WARNING,
         "TCP connection of %s port %u closed: %s%s%s", owd_addr_text (from, addr), port,
         owd_stream_reason_text (reason), detail != NULL ? ": " : "", detail != NULL ? detail : "");
}

static void
judge_disk (OwdWorker *self, gboolean ok, const GError *error)
{
  guint64 records, dropped;

  owd_log_appender_counts (self->appender, &records, &dropped);
  if (!ok && owd_trouble_is_news (&self->disk))
    g_warning ("%s: records are counted and dropped until the log can be written again (%" G_GUINT64_FORMAT " so far)",
               error->message, dropped - self->dropped_before);
  if (ok && owd_trouble_is_over (&self->disk))
    g_message ("the log takes records again; %" G_GUINT64_FORMAT " were lost meanwhile",
               dropped - self->dropped_before);
  if (!self->disk.lasts)
    self->dropped_before = dropped;
}

/* Heartbeat or flush, whatever is due. */
static void
write_log (OwdWorker *self, gboolean now)
{
  g_autoptr (GError) error = NULL;
  OwdTime t = owd_listener_time (self->listener);
  gboolean ok;

  if (t == OWD_TIME_NONE)
    return;
  if (now || t / OWD_NS_PER_S != self->beat_ns / OWD_NS_PER_S) {
    ok = owd_log_appender_beat (self->appender, t, &error);
    self->beat_ns = t;
  } else if (self->unflushed_us != 0 && self->turn_us - self->unflushed_us >= FLUSH_DELAY_US) {
    ok = owd_log_appender_flush (self->appender, t, &error);
  } else {
    return;
  }
  self->unflushed_us = 0;
  judge_disk (self, ok, error);
}

/* Until the next flush or the next full second, as far as the listener will know of it. */
static int
wait_ms (const OwdWorker *self)
{
  gint64 left_ns = OWD_NS_PER_S - (now_ns () - OWD_LISTENER_GUARD_NS) % OWD_NS_PER_S;

  if (self->unflushed_us != 0)
    left_ns = MIN (left_ns, (self->unflushed_us + FLUSH_DELAY_US - g_get_monotonic_time ()) * OWD_NS_PER_US);
  return (int) (MAX (left_ns, 0) / OWD_NS_PER_MS) + 1;
}

static int
receive_datagrams (OwdWorker *self, int timeout_ms)
{
  g_autoptr (GError) error = NULL;
  int n;

  self->turn_us = g_get_monotonic_time ();
  n = owd_listener_receive (self->listener, timeout_ms, on_datagram, self, &error);
  if (n >= 0) {
    (void) owd_trouble_is_over (&self->reception);
    return n;
  }
  if (owd_trouble_is_news (&self->reception))
    g_warning ("%s: trying again", error->message);
  g_usleep (RETRY_US);
  return 0;
}

static int
receive_streams (OwdWorker *self)
{
  g_autoptr (GError) error = NULL;
  int n;

  if (self->streams == NULL)
    return 0;
  n = owd_stream_listener_receive (self->streams, &error);
  if (n >= 0) {
    (void) owd_trouble_is_over (&self->acceptance);
    return n;
  }
  if (owd_trouble_is_news (&self->acceptance))
    g_warning ("%s: trying again", error->message);
  return 0;
}

/* Returns how much there was; 0: nothing. */
static int
receive (OwdWorker *self, int timeout_ms)
{
  int n = receive_datagrams (self, timeout_ms);

  return n + receive_streams (self);
}

/* What the kernel dropped, at once and then each minute. */
static void
watch_drops (OwdWorker *self)
{
  guint64 dropped = 0;

  if (self->drops_said_us != 0 && self->turn_us - self->drops_said_us < OWD_TROUBLE_REPEAT_US)
    return;
  for (guint i = 0; i < owd_listener_n_sockets (self->listener); i++)
    dropped += owd_listener_socket (self->listener, i)->dropped;
  if (dropped > self->drops_said) {
    g_warning ("the kernel dropped %" G_GUINT64_FORMAT
               " datagrams: the receive buffer was full; see receive-buffer and "
               "workers in [collector]",
               dropped - self->drops_said);
    self->drops_said = dropped;
    self->drops_said_us = self->turn_us;
  }
}

/* ---- fairness ---------------------------------------------------------------------------------- */

/* An exporter, as far as can be seen: its records have come for a while. */
static gboolean
is_exporter (const OwdStateCounters *c)
{
  return c->flows > 0 && c->last_ns - c->first_ns >= EXPORTER_NS;
}

static gboolean
is_known (void *user, const OwdAddr *addr)
{
  const OwdWorker *self = user;
  const OwdStateCounters *c = owd_decoder_first_state (self->decoder, addr);

  return c != NULL && is_exporter (c);
}

static guint
list_known (void *user, guint32 *ret_hashes, guint n)
{
  const OwdWorker *self = user;
  guint states = owd_decoder_n_states (self->decoder), found = 0;

  for (guint i = 0; i < states && found < n; i++) {
    const OwdStateCounters *c = owd_decoder_state (self->decoder, i);

    if (is_exporter (c))
      ret_hashes[found++] = owd_steering_hash (&c->key.addr);
  }
  return found;
}

static void
on_set_back (void *user, const OwdFairSource *source)
{
  char addr[OWD_ADDR_TEXT];
  g_autofree char *who = source->hash != 0 ? g_strdup_printf ("exporter %s", owd_addr_text (&source->addr, addr))
                                           : g_strdup ("all addresses that no exporter is known of");

  (void) user;
  if (source->back)
    g_warning (
        "%s: set back, as more comes from there than there is time for: others go first, and what the kernel drops "
        "of it is counted",
        who);
  else
    g_message ("%s: treated like others again; so far %" G_GUINT64_FORMAT " datagrams were taken and %" G_GUINT64_FORMAT
               " dropped while it was set back",
               who, source->datagrams, source->dropped);
}

static void
judge_fairness (OwdWorker *self)
{
  OwdFairLoad load = { .now_us = self->turn_us, .pressed = owd_listener_pressed (self->listener) };

  for (guint i = 0; i < owd_listener_n_sockets (self->listener); i++)
    load.back_dropped += owd_listener_socket (self->listener, i)->back_dropped;
  if (!owd_fair_judge (self->fair, &load))
    return;
  if (!owd_listener_steer (self->listener, owd_fair_rule (self->fair)) && owd_trouble_is_news (&self->steering))
    g_warning ("cannot set anybody back: the kernel does not take the filter: %s", g_strerror (errno));
}

static void
take_metrics (const OwdWorker *self, OwdMetrics *metrics)
{
  const OwdFairSource *sources;
  guint64 records, dropped;
  guint n_sources;

  owd_log_appender_counts (self->appender, &records, &dropped);
  owd_metrics_take (metrics, self->decoder, self->listener, self->streams, records, dropped);
  metrics->disallowed = self->disallowed;
  owd_log_appender_times (self->appender, &metrics->writing_ns, &metrics->longest_write_ns);
  if (self->settings->geo != NULL)
    owd_endpoints_take (self->endpoints, metrics->endpoints);
  sources = owd_fair_sources (self->fair, &n_sources);
  g_array_append_vals (metrics->set_back, sources, n_sources);
}

static void
answer_metrics (OwdWorker *self)
{
  if (!g_atomic_int_get (&self->metrics_wanted))
    return;
  g_mutex_lock (&self->metrics_lock);
  if (g_atomic_int_get (&self->metrics_wanted)) { /* who asked may have lost patience meanwhile */
    take_metrics (self, self->metrics);
    g_atomic_int_set (&self->metrics_wanted, 0);
    g_cond_signal (&self->metrics_taken);
  }
  g_mutex_unlock (&self->metrics_lock);
}

static void
adopt_settings (OwdWorker *self)
{
  OwdSettings *next = g_atomic_pointer_exchange (&self->next, NULL);

  if (next == NULL)
    return;
  owd_settings_unref (self->settings);
  self->settings = next;
  owd_decoder_set_limits (self->decoder, &next->decoder);
  if (self->streams != NULL)
    owd_stream_listener_set (self->streams, &next->streams, next->tls);
}

static gpointer
run_worker (gpointer data)
{
  OwdWorker *self = data;
  gint64 drain_until_us;

  while (!g_atomic_int_get (&self->stop)) {
    (void) receive (self, wait_ms (self));
    self->turn_us = g_get_monotonic_time ();
    write_log (self, FALSE);
    owd_refusals_tick (self->refusals, self->decoder, now_ns ());
    watch_drops (self);
    judge_fairness (self);
    answer_metrics (self);
    if (G_UNLIKELY (g_atomic_pointer_get (&self->next) != NULL))
      adopt_settings (self);
  }
  drain_until_us = g_get_monotonic_time () + DRAIN_US;
  while (receive (self, 0) > 0 && g_get_monotonic_time () < drain_until_us)
    write_log (self, FALSE);
  write_log (self, TRUE);
  return NULL;
}

/* What there is to say at the end. */
static void
summarise (const OwdWorker *self)
{
  guint64 records, dropped;

  for (guint i = 0; i < owd_listener_n_sockets (self->listener); i++) {
    const OwdListenerSocket *s = owd_listener_socket (self->listener, i);

    g_message ("%s: %" G_GUINT64_FORMAT " datagrams, %" G_GUINT64_FORMAT " dropped by the kernel", s->address,
               s->datagrams, s->dropped);
    if (s->back_datagrams + s->back_dropped > 0)
      g_message ("%s: of sources that were set back: %" G_GUINT64_FORMAT " datagrams, %" G_GUINT64_FORMAT
                 " dropped by the kernel",
                 s->address, s->back_datagrams, s->back_dropped);
  }
  if (self->streams != NULL) {
    const OwdStreamCounters *c = owd_stream_listener_counters (self->streams);

    g_message ("TCP: %" G_GUINT64_FORMAT " connections, %" G_GUINT64_FORMAT " messages", c->accepted, c->messages);
  }
  owd_log_appender_counts (self->appender, &records, &dropped);
  if (dropped > 0)
    g_warning ("%" G_GUINT64_FORMAT " flow records, %" G_GUINT64_FORMAT " lost to a full disk", records, dropped);
  else
    g_message ("%" G_GUINT64_FORMAT " flow records", records);
  if (self->disallowed > 0)
    g_message ("%" G_GUINT64_FORMAT " datagrams from addresses that are not allowed", self->disallowed);
  owd_refusals_summary (self->decoder);
}

/* ---- public ------------------------------------------------------------------------------------ */

static gboolean
open_sockets (OwdWorker *self, const OwdWorkerOptions *options, guint number, GError **error)
{
  const OwdStreamSink sink
      = { .allows = allows_stream, .message = on_stream_message, .closed = on_stream_closed, .user = self };

  self->listener = owd_listener_new (options->udp, options->receive_buffer, options->steering, number, error);
  if (self->listener == NULL)
    return FALSE;
  if (options->tcp[0] == NULL && options->tls[0] == NULL)
    return TRUE;
  self->streams = owd_stream_listener_new (options->tcp, options->tls, self->settings->tls, &self->settings->streams,
                                           options->workers, &sink, error);
  if (self->streams == NULL)
    return FALSE;
  owd_listener_watch (self->listener, owd_stream_listener_fd (self->streams));
  return TRUE;
}

OwdWorker *
owd_worker_new (const OwdWorkerOptions *options, guint number, OwdSettings *settings, GError **error)
{
  OwdWorker *self = g_new0 (OwdWorker, 1);
  OwdDecoderSink sink = { .header = on_header, .flow = on_flow, .user = self };
  OwdFairSink fairness = { .is_known = is_known, .list_known = list_known, .changed = on_set_back, .user = self };

  g_mutex_init (&self->metrics_lock);
  g_cond_init (&self->metrics_taken);
  self->settings = owd_settings_ref (settings);
  if (open_sockets (self, options, number, error))
    self->decoder = owd_decoder_new (&sink, &settings->decoder, error);
  if (self->decoder == NULL) {
    owd_worker_free (self);
    return NULL;
  }
  self->refusals = owd_refusals_new ();
  self->endpoints = owd_endpoints_new ();
  self->fair = owd_fair_new (&fairness, owd_steering_known_max (options->steering));
  self->beat_ns = now_ns ();
  return self;
}

void
owd_worker_start (OwdWorker *self, OwdLogWriter *writer)
{
  self->appender = owd_log_appender_new (writer);
  self->thread = g_thread_new ("worker", run_worker, self);
}

const OwdListener *
owd_worker_listener (const OwdWorker *self)
{
  return self->listener;
}

const OwdStreamListener *
owd_worker_streams (const OwdWorker *self)
{
  return self->streams;
}

OwdSettings *
owd_worker_settings (const OwdWorker *self)
{
  return self->settings;
}

void
owd_worker_set (OwdWorker *self, OwdSettings *settings)
{
  owd_settings_unref (g_atomic_pointer_exchange (&self->next, owd_settings_ref (settings)));
  owd_listener_wake (self->listener);
}

gboolean
owd_worker_metrics (OwdWorker *self, OwdMetrics *ret_metrics)
{
  gint64 until_us = g_get_monotonic_time () + METRICS_US;
  gboolean answered;

  if (self->thread == NULL) {
    take_metrics (self, ret_metrics);
    return TRUE;
  }
  g_mutex_lock (&self->metrics_lock);
  self->metrics = ret_metrics;
  g_atomic_int_set (&self->metrics_wanted, 1);
  owd_listener_wake (self->listener);
  while (g_atomic_int_get (&self->metrics_wanted))
    if (!g_cond_wait_until (&self->metrics_taken, &self->metrics_lock, until_us))
      break;
  answered = !g_atomic_int_get (&self->metrics_wanted);
  g_atomic_int_set (&self->metrics_wanted, 0);
  g_mutex_unlock (&self->metrics_lock);
  return answered;
}

void
owd_worker_stop (OwdWorker *self)
{
  g_atomic_int_set (&self->stop, 1);
  owd_listener_wake (self->listener);
  g_thread_join (g_steal_pointer (&self->thread));
  summarise (self);
}

void
owd_worker_free (OwdWorker *self)
{
  if (self == NULL)
    return;
  owd_log_appender_free (self->appender);
  owd_decoder_free (self->decoder);
  owd_stream_listener_free (self->streams);
  owd_listener_free (self->listener);
  owd_refusals_free (self->refusals);
  owd_endpoints_free (self->endpoints);
  owd_fair_free (self->fair);
  owd_settings_unref (self->next);
  owd_settings_unref (self->settings);
  g_mutex_clear (&self->metrics_lock);
  g_cond_clear (&self->metrics_taken);
  g_free (self);
}
