/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker: one thread, one database connection, some partitions. When the database is away, workers stop reading and
 * try again: the log waits.
 */
#include "program.h"

#include <poll.h>
#include <unistd.h>

#define EXPORTERS_EVERY_US (5 * G_USEC_PER_SEC)
#define RETRY_MS 1000

gboolean
program_stopped (Program *p)
{
  return g_atomic_int_get (&p->stop) != 0;
}

static void
raise_fd (int fd)
{
  guint64 one = 1;

  (void) !write (fd, &one, sizeof one);
}

void
program_stop (Program *p)
{
  g_atomic_int_set (&p->stop, 1);
  raise_fd (p->stop_fd);
}

/* Sleeps, but not past the end. */
static void
wait_ms (const Program *p, int ms)
{
  struct pollfd fd = { .fd = p->stop_fd, .events = POLLIN };

  (void) poll (&fd, 1, ms);
}

/* Is it worth another try? Says so once per absence, whatever the number of workers. The first failure in a row may
 * just be a connection that has died since it was last used: the next try comes at once. FALSE: *error stays for the
 * caller. */
gboolean
worker_try_again (Worker *w, GError **error)
{
  Program *p = w->program;

  if (!g_error_matches (*error, OWD_ERROR, OWD_ERROR_DB_AWAY) || program_stopped (p))
    return FALSE;
  if (w->failures == 0)
    g_info ("%s; trying again", (*error)->message);
  else if (w->failures == 1 && g_atomic_int_add (&p->away, 1) == 0)
    g_warning ("%s; the log waits, trying again each second", (*error)->message);
  g_clear_error (error);
  w->absences++;
  if (w->failures++ > 0)
    wait_ms (p, RETRY_MS);
  return !program_stopped (p);
}

void
worker_is_back (Worker *w)
{
  if (w->failures > 1 && g_atomic_int_dec_and_test (&w->program->away))
    g_message ("the database is back, catching up");
  w->failures = 0;
}

/* Rows that only inform: a failure is no reason to stop. */
static void
write_side_rows (Worker *w)
{
  g_autoptr (GError) error = NULL;
  gint64 us = g_get_monotonic_time ();

  if (w->index != 0)
    return;
  if (us - w->exporters_us >= EXPORTERS_EVERY_US) {
    w->exporters_us = us;
    if (!points_write_exporters (w, &error))
      g_info ("%s", error->message);
  }
}

/* Names and exporters as all workers together know them, once none of them runs any more; roll-ups and events of a
 * log that has been worked off. */
static gboolean
write_last_rows (Program *p, GError **error)
{
  for (guint i = 0; i < p->workers->len; i++) {
    Worker *w = g_ptr_array_index (p->workers, i);

    while (!points_register (w, error) || (i == 0 && !points_write_exporters (w, error))
           || (i == 0 && p->once && (!keeper_roll (p, w->store, FALSE, error) || !keeper_judge (p, w->store, error)))) {
      if (!worker_try_again (w, error))
        return FALSE;
    }
    worker_is_back (w);
  }
  return TRUE;
}

/* Until one of the worker's partitions may have grown, or a watermark is due. */
static void
wait_for_log (Worker *w)
{
  g_autofree struct pollfd *fds = g_new0 (struct pollfd, w->parts->len + 1);
  gint64 before_us = g_get_monotonic_time ();

  for (guint i = 0; i < w->parts->len; i++)
    fds[i] = (struct pollfd){ .fd = owd_log_reader_fd (((Part *) g_ptr_array_index (w->parts, i))->reader),
                              .events = POLLIN };
  fds[w->parts->len] = (struct pollfd){ .fd = w->program->stop_fd, .events = POLLIN };
  (void) poll (fds, w->parts->len + 1, (int) MAX (w->program->commit_us / 1000, 1));
  w->waited_us += g_get_monotonic_time () - before_us;
  for (guint i = 0; i < w->parts->len; i++) {
    if (fds[i].revents != 0)
      (void) owd_log_reader_wait (((Part *) g_ptr_array_index (w->parts, i))->reader, 0);
  }
}

static gboolean
work (Worker *w, GError **error)
{
  while (!program_stopped (w->program)) {
    gboolean busy = FALSE;

    for (guint i = 0; i < w->parts->len && !program_stopped (w->program); i++) {
      Step done = part_step (g_ptr_array_index (w->parts, i), error);

      if (done == STEP_FAILED)
        return FALSE;
      busy |= done == STEP_BUSY;
    }
    write_side_rows (w);
    if (!busy && w->program->once)
      return TRUE;
    if (!busy)
      wait_for_log (w);
  }
  return TRUE;
}

static gboolean
work_to_the_end (Worker *w, GError **error)
{
  while ((w->store = owd_store_open (w->program->db, PROGRAM, error)) == NULL) {
    if (!worker_try_again (w, error))
      return FALSE;
  }
  worker_is_back (w);
  owd_store_set_floor (w->store, w->program->engine.floor, w->program->engine.floor_user);
  for (guint i = 0; i < w->parts->len; i++)
    if (!part_open (g_ptr_array_index (w->parts, i), error))
      return FALSE;
  if (!work (w, error))
    return FALSE;
  for (guint i = 0; i < w->parts->len; i++)
    if (!part_finish (g_ptr_array_index (w->parts, i), error))
      return FALSE;
  return TRUE;
}

static gboolean
all_fine (const Program *p)
{
  for (guint i = 0; i < p->workers->len; i++)
    if (((Worker *) g_ptr_array_index (p->workers, i))->error != NULL)
      return FALSE;
  return TRUE;
}

gpointer
worker_run (gpointer data)
{
  Worker *w = data;
  Program *p = w->program;

  if (!work_to_the_end (w, &w->error))
    program_stop (p);
  if (g_atomic_int_dec_and_test (&p->running)) { /* the last one */
    if (all_fine (p))
      (void) write_last_rows (p, &w->error);
    raise_fd (p->done_fd);
  }
  return NULL;
}

Worker *
worker_new (Program *p, guint index, guint n_workers)
{
  Worker *w = g_new0 (Worker, 1);

  w->program = p;
  w->index = index;
  w->parts = g_ptr_array_new_with_free_func (part_free);
  w->points = g_ptr_array_new_with_free_func (g_free);
  w->point_numbers = g_hash_table_new (owd_state_key_hash, owd_state_key_equal);
  for (guint part = index; part < p->info.partitions; part += n_workers)
    g_ptr_array_add (w->parts, part_new (w, part));
  return w;
}

void
worker_free (gpointer data)
{
  Worker *w = data;

  g_ptr_array_unref (w->parts);
  g_hash_table_unref (w->point_numbers);
  g_ptr_array_unref (w->points);
  owd_store_free (w->store);
  g_clear_error (&w->error);
  g_free (w);
}
