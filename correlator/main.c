/* SPDX-License-Identifier: Apache-2.0
 *
 * oneway-correlator: settings, log, schema, signals; starts the workers and waits for them (program.h).
 */
#include "program.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define RETRY_MS 1000

/* Until the workers have ended; a signal makes them. TRUE: one did. */
static gboolean
wait_for_end (Program *p, int signal_fd)
{
  gboolean told = FALSE;

  for (;;) {
    struct pollfd fds[2] = { { .fd = signal_fd, .events = POLLIN }, { .fd = p->done_fd, .events = POLLIN } };
    struct signalfd_siginfo info;

    if (poll (fds, 2, -1) < 0)
      continue;
    if (fds[1].revents != 0)
      return told;
    if (fds[0].revents == 0 || read (signal_fd, &info, sizeof info) != sizeof info)
      continue;
    if (info.ssi_signo == SIGHUP) {
      g_message ("settings are read at start only; restart to change them");
      continue;
    }
    told = TRUE;
    program_stop (p);
  }
}

static guint
n_workers (const Program *p)
{
  gint64 wanted = owd_config_int (p->config, "correlator", "workers");
  guint n = wanted > 0 ? (guint) wanted : g_get_num_processors ();

  return CLAMP (n, 1, p->info.partitions);
}

/* What the workers ended with. The end of a program that was told to end is no failure while the database is away: the
 * log has it all. --once has not done its job then. */
static GError *
outcome (Program *p, gboolean told)
{
  GError *error = NULL;

  for (guint i = 0; i < p->workers->len && error == NULL; i++)
    error = g_steal_pointer (&((Worker *) g_ptr_array_index (p->workers, i))->error);
  if (told && g_error_matches (error, OWD_ERROR, OWD_ERROR_DB_AWAY))
    g_clear_error (&error);
  if (told && p->once && error == NULL)
    error = g_error_new_literal (OWD_ERROR, OWD_ERROR_FAILED,
                                 "interrupted before the end of the log; another start goes on from there");
  return error;
}

static GError *
run (Program *p, int signal_fd)
{
  guint n = n_workers (p);
  Keeper *keeper;
  gboolean told;

  p->workers = g_ptr_array_new_with_free_func (worker_free);
  p->running = (gint) n;
  for (guint i = 0; i < n; i++)
    g_ptr_array_add (p->workers, worker_new (p, i, n));
  for (guint i = 0; i < n; i++) {
    Worker *w = g_ptr_array_index (p->workers, i);

    w->thread = g_thread_new ("worker", worker_run, w);
  }
  keeper = keeper_start (p);
  owd_program_notify ("READY=1");
  told = wait_for_end (p, signal_fd);
  for (guint i = 0; i < n; i++)
    g_thread_join (((Worker *) g_ptr_array_index (p->workers, i))->thread);
  keeper_end (keeper);
  return outcome (p, told);
}

static gint64
floor_of (const void *config, const OwdStateKey *a, const OwdStateKey *b)
{
  return owd_config_floor_ns (config, a, b);
}

static void
settings (Program *p)
{
  const OwdConfig *c = p->config;
  const char *state = owd_config_string (c, "correlator", "state-directory");
  gint64 flows = owd_config_int (c, "correlator", "max-flows");

  if (p->log_dir == NULL)
    p->log_dir = g_strdup (owd_config_string (c, "log", "directory"));
  if (p->db == NULL)
    p->db = g_strdup (owd_config_string (c, "database", "conninfo"));
  p->state_dir = *state != '\0' ? g_strdup (state) : g_build_filename (p->log_dir, "state", NULL);
  owd_correlator_config_init (&p->engine);
  p->engine.max_latency_ns = owd_config_duration_ns (c, "correlator", "max-latency");
  p->engine.first_horizon_ns = MIN (p->engine.first_horizon_ns, p->engine.max_latency_ns);
  p->engine.completeness = owd_config_double (c, "correlator", "completeness");
  p->engine.silent_ns = owd_config_duration_ns (c, "correlator", "idle-timeout");
  p->engine.skew_bound_ppm = owd_config_double (c, "correlator", "clock-skew-bound-ppm");
  p->engine.raw_per_minute = (guint32) owd_config_int (c, "database", "raw-samples-per-minute");
  p->engine.max_waiting = (guint32) MIN (flows, G_MAXUINT32 / 2);
  p->engine.floor = floor_of;
  p->engine.floor_user = c;
  p->engine.max_rate = (guint64) owd_config_int (c, "correlator", "max-rate");
  p->max_lag_ns = p->once ? 0 : owd_config_duration_ns (c, "correlator", "max-lag");
  p->commit_us = owd_config_duration_ns (c, "correlator", "commit-interval") / OWD_NS_PER_US;
  p->checkpoint_us = owd_config_duration_ns (c, "correlator", "checkpoint-interval") / OWD_NS_PER_US;
}

/* Something that the program needs is not there yet: says so once, and waits a little. FALSE: told to end meanwhile. */
static gboolean
wait_for_it (int signal_fd, const char *what, gboolean *said)
{
  struct pollfd fd = { .fd = signal_fd, .events = POLLIN };

  if (!*said)
    g_warning ("%s; waiting for it", what);
  *said = TRUE;
  return poll (&fd, 1, RETRY_MS) <= 0;
}

/* The log may be made by a collector that starts at the same time. */
static gboolean
find_log (Program *p, int signal_fd, GError **error)
{
  gboolean said = FALSE;

  while (!owd_log_info (p->log_dir, &p->info, error)) {
    if (p->once || !g_error_matches (*error, OWD_ERROR, OWD_ERROR_IO))
      return FALSE;
    if (!wait_for_it (signal_fd, (*error)->message, &said)) {
      g_clear_error (error);
      return FALSE;
    }
    g_clear_error (error);
  }
  p->engine.max_waiting /= p->info.partitions;
  p->engine.max_rate = (p->engine.max_rate + p->info.partitions - 1) / p->info.partitions;
  if (g_mkdir_with_parents (p->state_dir, 0750) == 0)
    return TRUE;
  g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "%s: cannot make the folder for checkpoints: %s", p->state_dir,
               g_strerror (errno));
  return FALSE;
}

/* A database that is not there yet cannot say whether it has the schema. Where the rights are missing somebody else has
 * to migrate: owd_store_open() tells. */
static gboolean
migrate (Program *p, int signal_fd)
{
  gboolean said = FALSE;

  for (;;) {
    g_autoptr (GError) error = NULL;
    gboolean done = owd_store_migrate (p->db, NULL, NULL, &error);

    if (done || !g_error_matches (error, OWD_ERROR, OWD_ERROR_DB_AWAY)) {
      if (!done)
        g_info ("schema left as it is: %s", error->message);
      if (said)
        g_message ("the database is there");
      return TRUE;
    }
    if (!wait_for_it (signal_fd, error->message, &said))
      return FALSE;
  }
}

int
main (int argc, char **argv)
{
  Program p = { .stop_fd = -1, .done_fd = -1 };
  const GOptionEntry entries[] = {
    { "log", 'l', 0, G_OPTION_ARG_FILENAME, &p.log_dir, "Flow log; default: [log] directory", "DIR" },
    { "db", 'd', 0, G_OPTION_ARG_STRING, &p.db, "PostgreSQL connection; default: [database] conninfo", "CONNINFO" },
    { "once", 0, 0, G_OPTION_ARG_NONE, &p.once, "Work off the log, deliver what waits, exit", NULL },
    { NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL },
  };
  GOptionContext *context = g_option_context_new ("- pair flow records, deliver one-way-delay samples");
  GError *error = NULL;
  int status, signal_fd;

  g_option_context_add_main_entries (context, entries, NULL);
  status = owd_program_start (context, PROGRAM, &argc, &argv, &p.config);
  g_option_context_free (context);
  if (status >= 0)
    return status;
  if (!owd_program_no_arguments (argc, argv, &error)) {
    owd_config_unref (p.config);
    return owd_program_fail (PROGRAM, error);
  }
  settings (&p);
  signal_fd = owd_program_signal_fd ();
  p.stop_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  p.done_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  p.exporters = g_hash_table_new_full (owd_state_key_hash, owd_state_key_equal, g_free, (GDestroyNotify) g_array_unref);
  g_mutex_init (&p.lock);
  if (find_log (&p, signal_fd, &error) && migrate (&p, signal_fd))
    error = run (&p, signal_fd);
  else if (error == NULL && p.once)
    error = g_error_new_literal (OWD_ERROR, OWD_ERROR_FAILED, "interrupted before anything was done");
  status = owd_program_fail (PROGRAM, error);
  g_clear_pointer (&p.workers, g_ptr_array_unref);
  g_hash_table_unref (p.exporters);
  g_mutex_clear (&p.lock);
  close (p.stop_fd);
  close (p.done_fd);
  close (signal_fd);
  g_free (p.log_dir);
  g_free (p.db);
  g_free (p.state_dir);
  owd_config_unref (p.config);
  return status;
}
