/* SPDX-License-Identifier: Apache-2.0
 *
 * The worker's loop: receive, decode, append; a heartbeat when a second of receive time is over, a flush at latest
 * FLUSH_DELAY_US after the first record that waits for one. Both carry owd_listener_time(), not the clock: it lags
 * behind while datagrams still wait in a socket, and what the log promises about its time stays true under overload.
 *
 * A disk that refuses blocks costs those blocks, counted, and one line a minute; reception and counting go on, and so
 * does the log as soon as there is room.
 */
#include "live.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "owd-listener.h"
#include "owd-program.h"
#include "refusals.h"

#define FLUSH_DELAY_US (150 * G_TIME_SPAN_MILLISECOND)
#define DRAIN_US (2 * G_TIME_SPAN_SECOND)
#define COMPLAIN_US (60 * G_TIME_SPAN_SECOND)
#define OVER_US (2 * G_TIME_SPAN_SECOND)
#define RETAIN_US (60 * G_TIME_SPAN_SECOND)
#define RETRY_US (100 * G_TIME_SPAN_MILLISECOND)

/* Trouble that lasts: said when it begins, each minute, and when it is over. Over means that nothing failed for a
 * while: a disk without room still takes a small block now and then. */
typedef struct {
  gboolean lasts;
  gint64 said_us, failed_us;
} Trouble;

typedef struct {
  GThread *thread;
  OwdListener *listener;
  OwdDecoder *decoder;
  OwdLogAppender *appender;
  OwdRefusals *refusals;
  gint stop;           /* atomic */
  gint64 unflushed_us; /* monotonic time of the first record that was not flushed; 0: none */
  gint64 turn_us;      /* monotonic time when this turn began */
  OwdTime beat_ns;     /* of the last heartbeat */
  Trouble disk, reception;
  guint64 dropped_before; /* records, before the disk's present trouble began */
} Worker;

typedef struct {
  OwdLogWriter *writer;
  GThread *thread;
  GMutex lock; /* guards what follows */
  GCond changed;
  OwdConfig *config;
  gboolean stop;
} Keeper;

static OwdTime
now_ns (void)
{
  struct timespec t;

  (void) clock_gettime (CLOCK_REALTIME, &t);
  return (gint64) t.tv_sec * OWD_NS_PER_S + t.tv_nsec;
}

/* Something failed. Returns whether it is time to speak of it. */
static gboolean
trouble_is_news (Trouble *trouble)
{
  gint64 now_us = g_get_monotonic_time ();

  trouble->failed_us = now_us;
  if (trouble->lasts && now_us - trouble->said_us < COMPLAIN_US)
    return FALSE;
  trouble->lasts = TRUE;
  trouble->said_us = now_us;
  return TRUE;
}

/* Something succeeded. Returns whether that is the end of trouble. */
static gboolean
trouble_is_over (Trouble *trouble)
{
  if (!trouble->lasts || g_get_monotonic_time () - trouble->failed_us < OVER_US)
    return FALSE;
  trouble->lasts = FALSE;
  return TRUE;
}

/* ---- worker ------------------------------------------------------------------------------------ */

static void
on_header (void *user, const OwdHeader *header)
{
  Worker *self = user;

  owd_log_appender_header (self->appender, header);
  if (self->unflushed_us == 0)
    self->unflushed_us = self->turn_us;
}

static void
on_flow (void *user, const OwdHeader *header, const OwdFlow *flow)
{
  Worker *self = user;

  (void) header;
  /* refusals of the disk are counted by the appender, and the next flush says why */
  (void) !owd_log_appender_flow (self->appender, flow);
}

static void
on_datagram (void *user, const OwdDatagram *d)
{
  Worker *self = user;

  if (owd_decoder_feed (self->decoder, &d->from, d->port, d->recv_ns, d->data, d->len) != OWD_STATUS_OK)
    owd_refusals_add (self->refusals, self->decoder, &d->from, d->data, d->len, d->recv_ns);
}

static void
judge_disk (Worker *self, gboolean ok, const GError *error)
{
  guint64 records, dropped;

  owd_log_appender_counts (self->appender, &records, &dropped);
  if (!ok && trouble_is_news (&self->disk))
    g_warning ("%s: records are counted and dropped until the log can be written again (%" G_GUINT64_FORMAT " so far)",
               error->message, dropped - self->dropped_before);
  if (ok && trouble_is_over (&self->disk))
    g_message ("the log takes records again; %" G_GUINT64_FORMAT " were lost meanwhile",
               dropped - self->dropped_before);
  if (!self->disk.lasts)
    self->dropped_before = dropped;
}

/* Heartbeat or flush, whatever is due. */
static void
write_log (Worker *self, gboolean now)
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
wait_ms (const Worker *self)
{
  gint64 left_ns = OWD_NS_PER_S - (now_ns () - OWD_LISTENER_GUARD_NS) % OWD_NS_PER_S;

  if (self->unflushed_us != 0)
    left_ns = MIN (left_ns, (self->unflushed_us + FLUSH_DELAY_US - g_get_monotonic_time ()) * OWD_NS_PER_US);
  return (int) (MAX (left_ns, 0) / OWD_NS_PER_MS) + 1;
}

static int
receive (Worker *self, int timeout_ms)
{
  g_autoptr (GError) error = NULL;
  int n;

  self->turn_us = g_get_monotonic_time ();
  n = owd_listener_receive (self->listener, timeout_ms, on_datagram, self, &error);
  if (n >= 0) {
    (void) trouble_is_over (&self->reception);
    return n;
  }
  if (trouble_is_news (&self->reception))
    g_warning ("%s: trying again", error->message);
  g_usleep (RETRY_US);
  return 0;
}

static gpointer
run_worker (gpointer data)
{
  Worker *self = data;
  gint64 drain_until_us;

  while (!g_atomic_int_get (&self->stop)) {
    (void) receive (self, wait_ms (self));
    self->turn_us = g_get_monotonic_time ();
    write_log (self, FALSE);
    owd_refusals_tick (self->refusals, now_ns ());
  }
  drain_until_us = g_get_monotonic_time () + DRAIN_US;
  while (receive (self, 0) > 0 && g_get_monotonic_time () < drain_until_us)
    write_log (self, FALSE);
  write_log (self, TRUE);
  return NULL;
}

static gboolean
init_worker (Worker *self, OwdLogWriter *writer, const OwdConfig *config, const char *const *listen,
             const OwdDecoderLimits *limits, guint workers, GError **error)
{
  OwdDecoderSink sink = { .header = on_header, .flow = on_flow, .user = self };

  self->listener = owd_listener_new (listen, owd_config_size (config, "collector", "receive-buffer"), workers, error);
  if (self->listener == NULL)
    return FALSE;
  self->decoder = owd_decoder_new (&sink, limits, error);
  if (self->decoder == NULL)
    return FALSE;
  self->appender = owd_log_appender_new (writer);
  self->refusals = owd_refusals_new ();
  self->beat_ns = now_ns ();
  return TRUE;
}

static void
clear_worker (gpointer data)
{
  Worker *self = data;

  owd_listener_free (self->listener);
  owd_decoder_free (self->decoder);
  owd_log_appender_free (self->appender);
  owd_refusals_free (self->refusals);
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

static gpointer
run_keeper (gpointer data)
{
  Keeper *self = data;
  Trouble trouble = { 0 };
  gint64 sync_us = g_get_monotonic_time (), retain_us = sync_us;

  g_mutex_lock (&self->lock);
  while (!self->stop) {
    g_autoptr (OwdConfig) config = owd_config_ref (self->config);
    g_autoptr (GError) error = NULL;

    sync_us += owd_config_duration_ns (config, "log", "sync-interval") / OWD_NS_PER_US;
    while (!self->stop && g_cond_wait_until (&self->changed, &self->lock, sync_us))
      ;
    g_mutex_unlock (&self->lock);
    if (owd_log_writer_sync (self->writer, &error))
      (void) trouble_is_over (&trouble);
    else if (trouble_is_news (&trouble))
      g_warning ("%s: the log is not safe against a power failure", error->message);
    if (g_get_monotonic_time () >= retain_us) {
      retain (self->writer, config);
      retain_us = g_get_monotonic_time () + RETAIN_US;
    }
    sync_us = MAX (sync_us, g_get_monotonic_time ()); /* a slow disk is not asked twice at once */
    g_mutex_lock (&self->lock);
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

static void
reload (Keeper *keeper)
{
  g_autoptr (GError) error = NULL;
  OwdConfig *fresh;

  owd_program_notify ("RELOADING=1");
  fresh = owd_config_reload (keeper->config, &error);
  if (fresh == NULL) {
    g_warning ("settings not changed: %s", error->message);
  } else {
    g_mutex_lock (&keeper->lock);
    owd_config_unref (keeper->config);
    keeper->config = fresh;
    g_mutex_unlock (&keeper->lock);
    g_message ("settings read again: sync-interval, retain-age and retain-size count from now on, others from the next "
               "start on");
  }
  owd_program_notify ("READY=1");
}

/* Returns when it is time to end. */
static void
wait_for_signals (int signal_fd, Keeper *keeper)
{
  for (;;) {
    struct pollfd p = { .fd = signal_fd, .events = POLLIN };
    struct signalfd_siginfo info;

    if (poll (&p, 1, -1) < 0 && errno != EINTR)
      return;
    while (read (signal_fd, &info, sizeof info) == sizeof info) {
      if (info.ssi_signo != SIGHUP)
        return;
      reload (keeper);
    }
  }
}

static void
announce (const OwdListener *listener)
{
  for (guint i = 0; i < owd_listener_n_sockets (listener); i++) {
    const OwdListenerSocket *s = owd_listener_socket (listener, i);

    g_message ("listening on UDP %s", s->address);
    if (s->buffer_got < s->buffer_asked)
      g_message ("receive buffer of %s: %" G_GSIZE_FORMAT " KiB instead of %" G_GSIZE_FORMAT
                 " KiB; raise it with sysctl net.core.rmem_max",
                 s->address, s->buffer_got / 1024, s->buffer_asked / 1024);
  }
}

/* What a worker has to say at the end. */
static void
summarise (const Worker *worker)
{
  guint64 records, dropped;

  for (guint i = 0; i < owd_listener_n_sockets (worker->listener); i++) {
    const OwdListenerSocket *s = owd_listener_socket (worker->listener, i);

    g_message ("%s: %" G_GUINT64_FORMAT " datagrams, %" G_GUINT64_FORMAT " dropped by the kernel", s->address,
               s->datagrams, s->dropped);
  }
  owd_log_appender_counts (worker->appender, &records, &dropped);
  if (dropped > 0)
    g_warning ("%" G_GUINT64_FORMAT " flow records, %" G_GUINT64_FORMAT " lost to a full disk", records, dropped);
  else
    g_message ("%" G_GUINT64_FORMAT " flow records", records);
  owd_refusals_summary (worker->decoder);
}

gboolean
owd_live_run (OwdLogWriter *writer, OwdConfig *config, const char *const *listen, const OwdDecoderLimits *limits,
              int signal_fd, GError **error)
{
  guint n = (guint) owd_config_int (config, "collector", "workers");
  g_autoptr (GArray) workers = g_array_new (FALSE, TRUE, sizeof (Worker));
  Keeper keeper = { 0 };
  gboolean ok;

  g_array_set_clear_func (workers, clear_worker);
  g_array_set_size (workers, n);
  for (guint i = 0; i < n; i++)
    if (!init_worker (&g_array_index (workers, Worker, i), writer, config, listen, limits, n, error))
      return FALSE;
  announce (g_array_index (workers, Worker, 0).listener);
  start_keeper (&keeper, writer, config);
  for (guint i = 0; i < n; i++) {
    Worker *worker = &g_array_index (workers, Worker, i);

    worker->thread = g_thread_new ("worker", run_worker, worker);
  }
  owd_program_notify ("READY=1");
  wait_for_signals (signal_fd, &keeper);
  owd_program_notify ("STOPPING=1");
  for (guint i = 0; i < n; i++) {
    Worker *worker = &g_array_index (workers, Worker, i);

    g_atomic_int_set (&worker->stop, 1);
    owd_listener_wake (worker->listener);
  }
  for (guint i = 0; i < n; i++) {
    g_thread_join (g_array_index (workers, Worker, i).thread);
    summarise (&g_array_index (workers, Worker, i));
  }
  stop_keeper (&keeper);
  ok = owd_log_writer_sync (writer, error);
  return ok;
}
