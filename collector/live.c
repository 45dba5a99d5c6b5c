/* SPDX-License-Identifier: Apache-2.0
 *
 * The main thread waits for signals, and every five seconds notes counters beside the log and looks whether databases
 * of places have changed; workers receive; the keeper syncs the log and removes what is too old; the metrics server
 * answers. Started in this order and ended so that each outlives what it serves: server, workers, keeper, and a last
 * sync.
 */
#include "live.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "owd-program.h"
#include "trouble.h"
#include "worker.h"

#define RETAIN_US (60 * G_TIME_SPAN_SECOND)
#define TICK_US (5 * G_TIME_SPAN_SECOND)
#define SLOW_SYNC_US (5 * G_TIME_SPAN_SECOND)

typedef struct {
  OwdLogWriter *writer;
  GThread *thread;
  GMutex lock; /* guards what follows */
  GCond changed;
  OwdConfig *config;
  gboolean stop;
  gint64 sync_ns, longest_sync_ns; /* time that the last sync took, and the longest one */
} Keeper;

static OwdTime
now_ns (void)
{
  struct timespec t;

  (void) clock_gettime (CLOCK_REALTIME, &t);
  return (gint64) t.tv_sec * OWD_NS_PER_S + t.tv_nsec;
}

/* ---- keeper ------------------------------------------------------------------------------------ */

static void
retain (OwdLogWriter *writer, const OwdConfig *config)
{
  g_autoptr (GError) error = NULL;
  gint64 age_ns = owd_config_duration_ns (config, "log", "retain-age");
  guint64 size = owd_config_size (config, "log", "retain-size");
  gint64 removed;

  if (age_ns == 0 && size == 0)
    return;
  removed = owd_log_writer_retain (writer, age_ns > 0 ? now_ns () - age_ns : OWD_TIME_NONE, size, &error);
  if (removed < 0)
    g_warning ("removing old segments: %s", error->message);
  else if (removed > 0)
    g_message ("removed %" G_GINT64_FORMAT " bytes of old segments", removed);
}

/* Not under the lock: it may take long. Returns the time that it took. */
static gint64
sync_log (Keeper *self, OwdTrouble *trouble, OwdTrouble *slowness)
{
  g_autoptr (GError) error = NULL;
  gint64 before_us = g_get_monotonic_time (), took_us;

  if (owd_log_writer_sync (self->writer, &error))
    (void) owd_trouble_is_over (trouble);
  else if (owd_trouble_is_news (trouble))
    g_warning ("%s: the log is not safe against a power failure", error->message);
  took_us = g_get_monotonic_time () - before_us;
  if (took_us < SLOW_SYNC_US)
    (void) owd_trouble_is_over (slowness);
  else if (owd_trouble_is_news (slowness))
    g_warning ("the log's disk took %.1f s to sync: it does not keep up, and soon datagrams will be lost",
               (double) took_us / G_USEC_PER_SEC);
  return took_us * OWD_NS_PER_US;
}

static gpointer
run_keeper (gpointer data)
{
  Keeper *self = data;
  OwdTrouble trouble = { 0 }, slowness = { 0 };
  gint64 sync_us = g_get_monotonic_time (), retain_us = sync_us;

  g_mutex_lock (&self->lock);
  while (!self->stop) {
    g_autoptr (OwdConfig) config = owd_config_ref (self->config);
    gint64 took_ns;

    sync_us += owd_config_duration_ns (config, "log", "sync-interval") / OWD_NS_PER_US;
    while (!self->stop && g_cond_wait_until (&self->changed, &self->lock, sync_us))
      ;
    g_mutex_unlock (&self->lock);
    took_ns = sync_log (self, &trouble, &slowness);
    if (g_get_monotonic_time () >= retain_us) {
      retain (self->writer, config);
      retain_us = g_get_monotonic_time () + RETAIN_US;
    }
    sync_us = MAX (sync_us, g_get_monotonic_time ()); /* a slow disk is not asked twice at once */
    g_mutex_lock (&self->lock);
    self->sync_ns = took_ns;
    self->longest_sync_ns = MAX (self->longest_sync_ns, took_ns);
  }
  g_mutex_unlock (&self->lock);
  return NULL;
}

static void
start_keeper (Keeper *self, OwdLogWriter *writer, OwdConfig *config)
{
  self->writer = writer;
  self->config = owd_config_ref (config);
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  self->thread = g_thread_new ("keeper", run_keeper, self);
}

static void
stop_keeper (Keeper *self)
{
  g_mutex_lock (&self->lock);
  self->stop = TRUE;
  g_cond_signal (&self->changed);
  g_mutex_unlock (&self->lock);
  g_thread_join (self->thread);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->changed);
  owd_config_unref (self->config);
}

/* ---- main thread ------------------------------------------------------------------------------- */

typedef struct {
  Keeper keeper;
  GPtrArray *workers;
  const OwdSettingsOverrides *overrides;
  const OwdConfig *started; /* with this one, whatever has been read since */
  OwdSettings *settings;    /* as the workers have them, or are to */
  OwdGeoWatch *geo;         /* NULL: no database is told */
  GMutex asking;            /* of workers for their counters, one at a time */
  const char *log_dir;
  OwdTime since_ns;
} Live;

/* Counters of those workers that answer. Returns: (transfer full) *ret_n of them, each to be cleared. */
static OwdMetrics *
ask_workers (Live *self, guint *ret_n)
{
  OwdMetrics *metrics = g_new0 (OwdMetrics, self->workers->len);
  guint n = 0;

  g_mutex_lock (&self->asking);
  for (guint i = 0; i < self->workers->len; i++) {
    owd_metrics_init (&metrics[n]);
    if (owd_worker_metrics (g_ptr_array_index (self->workers, i), &metrics[n]))
      n++;
    else
      owd_metrics_clear (&metrics[n]);
  }
  g_mutex_unlock (&self->asking);
  *ret_n = n;
  return metrics;
}

/* Where not all answer, the notes stay as they were: counters that fall are worse than old ones. */
static void
write_notes (Live *self)
{
  g_autoptr (GError) error = NULL;
  guint n;
  g_autofree OwdMetrics *metrics = ask_workers (self, &n);
  guint64 max_states = (guint64) self->settings->decoder.max_states * self->workers->len;

  if (n == self->workers->len
      && !owd_metrics_write_notes (metrics, n, max_states, self->since_ns, now_ns (), self->log_dir, &error))
    g_debug ("%s", error->message); /* a full disk has been spoken of */
  for (guint i = 0; i < n; i++)
    owd_metrics_clear (&metrics[i]);
}

/* settings: (transfer full). */
static void
give_settings (Live *self, OwdSettings *settings)
{
  owd_settings_unref (self->settings);
  self->settings = settings;
  for (guint i = 0; i < self->workers->len; i++)
    owd_worker_set (g_ptr_array_index (self->workers, i), settings);
}

/* settings: without databases. */
static void
give_settings_and_geo (Live *self, const OwdSettings *settings)
{
  self->geo = owd_settings_geo_watch (settings->config, self->geo);
  if (self->geo != NULL)
    (void) owd_geo_watch_look (self->geo);
  give_settings (self, owd_settings_with_geo (settings, self->geo != NULL ? owd_geo_watch_get (self->geo) : NULL));
}

static gboolean
check_tls (const OwdSettings *settings, const char *tls_address, GError **error)
{
  if (tls_address == NULL || settings->tls != NULL)
    return TRUE;
  g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG,
               "listening on tls:%s needs a certificate and its key: --tls-cert and --tls-key, or tls-cert and tls-key "
               "in [collector]",
               tls_address);
  return FALSE;
}

/* One of the addresses with TLS, or NULL. */
static const char *
bound_tls (const GPtrArray *workers)
{
  const OwdStreamListener *streams = owd_worker_streams (g_ptr_array_index (workers, 0));

  for (guint i = 0; streams != NULL && i < owd_stream_listener_n_addresses (streams); i++)
    if (owd_stream_listener_is_tls (streams, i))
      return owd_stream_listener_address (streams, i);
  return NULL;
}

/* All of it or nothing. */
static gboolean
apply (Live *self, OwdConfig *fresh, GError **error)
{
  Keeper *keeper = &self->keeper;
  g_autoptr (OwdSettings) settings = owd_settings_new (fresh, self->overrides, self->workers->len, error);
  g_autofree char *waiting = NULL;

  if (settings == NULL || !check_tls (settings, bound_tls (self->workers), error))
    return FALSE;
  waiting = owd_settings_waiting (self->started, fresh);
  give_settings_and_geo (self, settings);
  g_mutex_lock (&keeper->lock);
  owd_config_unref (keeper->config);
  keeper->config = owd_config_ref (fresh);
  g_mutex_unlock (&keeper->lock);
  g_message ("settings read again%s%s", waiting != NULL ? "; these count from the next start on: " : "",
             waiting != NULL ? waiting : "");
  return TRUE;
}

static void
reload (Live *self)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (OwdConfig) fresh = NULL;

  owd_program_notify ("RELOADING=1");
  fresh = owd_config_reload (self->keeper.config, &error);
  if (fresh == NULL || !apply (self, fresh, &error))
    g_warning ("settings not changed: %s", error->message);
  owd_program_notify ("READY=1");
}

static void
tick (Live *self)
{
  write_notes (self);
  if (self->geo != NULL && owd_geo_watch_look (self->geo))
    give_settings (self, owd_settings_with_geo (self->settings, owd_geo_watch_get (self->geo)));
}

/* Returns when it is time to end. */
static void
wait_for_signals (int signal_fd, Live *self)
{
  gint64 tick_us = g_get_monotonic_time () + TICK_US;

  for (;;) {
    struct pollfd p = { .fd = signal_fd, .events = POLLIN };
    struct signalfd_siginfo info;
    gint64 left_us = tick_us - g_get_monotonic_time ();

    if (poll (&p, 1, (int) (MAX (left_us, 0) / 1000) + 1) < 0 && errno != EINTR)
      return;
    if (g_get_monotonic_time () >= tick_us) {
      tick (self);
      tick_us = g_get_monotonic_time () + TICK_US;
    }
    while (read (signal_fd, &info, sizeof info) == sizeof info) {
      if (info.ssi_signo != SIGHUP)
        return;
      reload (self);
    }
  }
}

static void
announce (const OwdListener *listener, const OwdStreamListener *streams)
{
  for (guint i = 0; i < owd_listener_n_sockets (listener); i++) {
    const OwdListenerSocket *s = owd_listener_socket (listener, i);

    g_message ("listening on UDP %s", s->address);
    if (s->buffer_got < s->buffer_asked)
      g_message ("receive buffer of %s: %" G_GSIZE_FORMAT " KiB instead of %" G_GSIZE_FORMAT
                 " KiB; raise it with sysctl net.core.rmem_max",
                 s->address, s->buffer_got / 1024, s->buffer_asked / 1024);
  }
  for (guint i = 0; streams != NULL && i < owd_stream_listener_n_addresses (streams); i++)
    g_message ("listening on %s %s", owd_stream_listener_is_tls (streams, i) ? "TLS" : "TCP",
               owd_stream_listener_address (streams, i));
}

static void
write_metrics (void *user, gboolean table, GString *out)
{
  Live *self = user;
  guint n;
  g_autofree OwdMetrics *metrics = ask_workers (self, &n);
  OwdMetricsProgram program = { .silent = self->workers->len - n };

  g_mutex_lock (&self->keeper.lock);
  program.sync_ns = self->keeper.sync_ns;
  program.longest_sync_ns = self->keeper.longest_sync_ns;
  g_mutex_unlock (&self->keeper.lock);
  if (table)
    owd_metrics_write_table (out, metrics, n);
  else
    owd_metrics_write_openmetrics (out, &program, metrics, n);
  for (guint i = 0; i < n; i++)
    owd_metrics_clear (&metrics[i]);
}

/* Returns: (transfer full), or NULL where it is not wanted or not possible; the collector's work does not hang on it.
 */
static OwdMetricsServer *
start_metrics (const char *address, Live *live)
{
  g_autoptr (GError) error = NULL;
  OwdMetricsServer *server;

  if (address[0] == '\0')
    return NULL;
  server = owd_metrics_server_new (address, write_metrics, live, &error);
  if (server != NULL)
    g_message ("metrics on http://%s/metrics", owd_metrics_server_address (server));
  else
    g_warning ("no metrics: %s", error->message);
  return server;
}

/* The addresses with that prefix, without it; prefix "": those with none. Returns: (transfer full). */
static GStrv
addresses_with (const char *const *listen, const char *prefix)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  for (; *listen != NULL; listen++) {
    gboolean has_one = g_str_has_prefix (*listen, "tcp:") || g_str_has_prefix (*listen, "tls:");

    if (has_one == (*prefix != '\0') && g_str_has_prefix (*listen, prefix))
      g_strv_builder_add (builder, *listen + strlen (prefix));
  }
  return g_strv_builder_end (builder);
}

/* As the first worker's sockets are bound: port 0 is one port for all. */
static GStrv
bound_addresses (const OwdWorker *first)
{
  const OwdListener *listener = owd_worker_listener (first);
  g_autoptr (GStrvBuilder) addresses = g_strv_builder_new ();

  for (guint i = 0; i < owd_listener_n_sockets (listener); i++)
    g_strv_builder_add (addresses, owd_listener_socket (listener, i)->address);
  return g_strv_builder_end (addresses);
}

static GPtrArray *
make_workers (OwdWorkerOptions options, OwdSettings *settings, GError **error)
{
  g_autoptr (GPtrArray) workers = g_ptr_array_new_with_free_func ((GDestroyNotify) owd_worker_free);
  g_auto (GStrv) bound = NULL;

  for (guint i = 0; i < options.workers; i++) {
    OwdWorker *worker = owd_worker_new (&options, i, settings, error);

    if (worker == NULL)
      return NULL;
    g_ptr_array_add (workers, worker);
    if (i == 0)
      bound = bound_addresses (worker);
    options.udp = (const char *const *) bound;
  }
  return g_steal_pointer (&workers);
}

/* ---- public ------------------------------------------------------------------------------------ */

GPtrArray *
owd_live_bind (OwdConfig *config, const OwdSettingsOverrides *overrides, const char *const *listen, GError **error)
{
  g_auto (GStrv) udp = addresses_with (listen, "");
  g_auto (GStrv) tcp = addresses_with (listen, "tcp:");
  g_auto (GStrv) tls = addresses_with (listen, "tls:");
  g_autoptr (OwdSteering) steering = owd_steering_new ((guint) owd_config_int (config, "collector", "workers"));
  const OwdWorkerOptions options = {
    .udp = (const char *const *) udp,
    .tcp = (const char *const *) tcp,
    .tls = (const char *const *) tls,
    .receive_buffer = owd_config_size (config, "collector", "receive-buffer"),
    .workers = (guint) owd_config_int (config, "collector", "workers"),
    .steering = steering,
  };
  g_autoptr (OwdSettings) settings = owd_settings_new (config, overrides, options.workers, error);

  if (settings == NULL || !check_tls (settings, tls[0], error))
    return NULL;
  return make_workers (options, settings, error);
}

gboolean
owd_live_run (GPtrArray *workers, OwdLogWriter *writer, const char *log_dir, OwdConfig *config,
              const OwdSettingsOverrides *overrides, int signal_fd, GError **error)
{
  Live self
      = { .workers = workers, .overrides = overrides, .started = config, .log_dir = log_dir, .since_ns = now_ns () };
  OwdMetricsServer *server;

  (void) signal (SIGPIPE, SIG_IGN); /* a peer that has gone is found out by errno */
  g_mutex_init (&self.asking);
  give_settings_and_geo (&self, owd_worker_settings (g_ptr_array_index (workers, 0)));
  start_keeper (&self.keeper, writer, config);
  for (guint i = 0; i < workers->len; i++)
    owd_worker_start (g_ptr_array_index (workers, i), writer);
  server = start_metrics (owd_config_string (config, "collector", "metrics"), &self);
  announce (owd_worker_listener (g_ptr_array_index (workers, 0)), owd_worker_streams (g_ptr_array_index (workers, 0)));
  owd_program_notify ("READY=1");
  wait_for_signals (signal_fd, &self);
  owd_program_notify ("STOPPING=1");
  owd_metrics_server_free (server);
  for (guint i = 0; i < workers->len; i++)
    owd_worker_stop (g_ptr_array_index (workers, i));
  stop_keeper (&self.keeper);
  write_notes (&self);
  g_mutex_clear (&self.asking);
  owd_settings_unref (self.settings);
  owd_geo_watch_free (self.geo);
  return owd_log_writer_sync (writer, error);
}
