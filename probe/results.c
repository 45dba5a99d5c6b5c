/* SPDX-License-Identifier: Apache-2.0
 *
 * The thread between measuring and the database: see results.h.
 *
 * One queue leads to it. The thread takes at once what comes and bounds its own list, so memory is bounded as long as
 * the machine runs at all. Lines leave that list by getting into the database, or into a file; only where both fail for
 * long the oldest are given up, and counted.
 */
#include "results.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

enum {
  BATCH_BYTES = 2 << 20,
  PENDING_MAX = 32, /* batches in memory */
  RETRY_US = 5000000,
  RETAIN_EVERY = 600, /* batches */
};

#define BATCH_NS OWD_NS_PER_S
#define SUFFIX ".jsonl"
#define SPOOL_MAX (G_GUINT64_CONSTANT (1) << 30) /* bytes that one program puts into the spool */

/* Lines under way. */
typedef struct {
  char *lines;
  size_t len;
} Batch;

struct OwdProbeWriter {
  /* the measuring thread's */
  FILE *out;   /* writes to *open */
  Batch *open; /* NULL: nothing yet */
  OwdTime opened;
  /* the thread's */
  char *conninfo, *spool;
  gint64 keep_ns;
  OwdStore *store;
  GQueue pending;
  guint64 lost_bytes, spooled_bytes;
  guint stored, spooled;
  gboolean was_away, spool_is_dirty;
  char *refused; /* the first refusal, for the end */
  GThread *thread;
  GAsyncQueue *queue;
  Batch end; /* ends the thread */
};

static void
free_batch (Batch *batch)
{
  free (batch->lines); /* open_memstream's */
  g_free (batch);
}

/* ---- spool ------------------------------------------------------------------------------------- */

static gboolean
make_spool (const char *spool, GError **error)
{
  if (g_mkdir_with_parents (spool, 0750) == 0 && g_access (spool, R_OK | W_OK | X_OK) == 0)
    return TRUE;
  g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "cannot use spool directory %s: %s", spool, g_strerror (errno));
  return FALSE;
}

/* Names sort by time; a file has its name only once it is whole and on the disk. */
static gboolean
spool_batch (OwdProbeWriter *self, const Batch *batch, GError **error)
{
  g_autofree char *path = g_strdup_printf ("%s/%" G_GINT64_FORMAT "-%d-%u" SUFFIX, self->spool, g_get_real_time (),
                                           (int) getpid (), self->spooled++);
  g_autoptr (GError) own = NULL;

  if (self->spooled_bytes + batch->len > SPOOL_MAX) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_FULL, "spool %s has 1 GiB of results from this program: no more",
                 self->spool);
    return FALSE;
  }
  if (!g_file_set_contents_full (path, batch->lines, (gssize) batch->len,
                                 G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0640, &own)) {
    g_set_error_literal (error, OWD_ERROR, OWD_ERROR_IO, own->message);
    return FALSE;
  }
  self->spooled_bytes += batch->len;
  self->spool_is_dirty = TRUE;
  return TRUE;
}

static int
by_name (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

static GPtrArray *
list_spool (const char *spool, GError **error)
{
  g_autoptr (GError) own = NULL;
  g_autoptr (GDir) dir = g_dir_open (spool, 0, &own);
  GPtrArray *paths;
  const char *name;

  if (dir == NULL) {
    g_set_error_literal (error, OWD_ERROR, OWD_ERROR_IO, own->message);
    return NULL;
  }
  paths = g_ptr_array_new_with_free_func (g_free);
  while ((name = g_dir_read_name (dir)) != NULL)
    if (g_str_has_suffix (name, SUFFIX))
      g_ptr_array_add (paths, g_build_filename (spool, name, NULL));
  g_ptr_array_sort (paths, by_name);
  return paths;
}

/* Returns: FALSE with error set where the database is away; whatever else is wrong with a file is warned of. */
static gboolean
load_file (OwdStore *store, const char *path, guint *ret_loaded, guint *ret_left, GError **error)
{
  g_autoptr (GError) own = NULL;
  g_autofree char *lines = NULL;
  guint64 n;

  if (g_file_get_contents (path, &lines, NULL, &own) && owd_store_probe_lines (store, lines, &n, &own)) {
    g_unlink (path);
    ++*ret_loaded;
    return TRUE;
  }
  if (g_error_matches (own, G_FILE_ERROR, G_FILE_ERROR_NOENT)) /* another process was faster */
    return TRUE;
  ++*ret_left;
  if (g_error_matches (own, OWD_ERROR, OWD_ERROR_DB_AWAY)) {
    g_propagate_error (error, g_steal_pointer (&own));
    return FALSE;
  }
  g_warning ("%s: left as it is: %s", path, own->message);
  return TRUE;
}

gboolean
owd_probe_spool_load (OwdStore *store, const char *spool, guint *ret_loaded, guint *ret_left, GError **error)
{
  g_autoptr (GPtrArray) paths = list_spool (spool, error);
  gboolean fine = paths != NULL;

  *ret_loaded = *ret_left = 0;
  for (guint i = 0; fine && i < paths->len; i++)
    fine = load_file (store, paths->pdata[i], ret_loaded, ret_left, error);
  return fine;
}

/* ---- the thread -------------------------------------------------------------------------------- */

static gboolean
ready (OwdProbeWriter *self, GError **error)
{
  if (self->store == NULL)
    self->store = owd_store_open (self->conninfo, "oneway-probe", error);
  return self->store != NULL;
}

static void
say_away (OwdProbeWriter *self, const GError *error)
{
  if (!self->was_away)
    g_warning ("%s; results wait in %s", error->message, self->spool != NULL ? self->spool : "memory");
  self->was_away = TRUE;
}

static void
retain (OwdProbeWriter *self)
{
  g_autoptr (GError) error = NULL;
  guint dropped;

  if (self->keep_ns > 0 && self->stored++ % RETAIN_EVERY == 0
      && !owd_store_retain_probes (self->store, self->keep_ns, &dropped, &error))
    g_debug ("%s", error->message); /* a reader stands in the way, or the right is missing: that is the owner's */
}

/* What the spool holds, now that the database answers. */
static void
drain_spool (OwdProbeWriter *self)
{
  g_autoptr (GError) error = NULL;
  guint loaded, left;

  if (self->spool == NULL || !self->spool_is_dirty)
    return;
  if (!owd_probe_spool_load (self->store, self->spool, &loaded, &left, &error)) {
    say_away (self, error);
    return;
  }
  self->spool_is_dirty = FALSE;
  self->spooled_bytes = 0;
  if (loaded > 0)
    g_message ("the database has what waited in %s (%u files)", self->spool, loaded);
}

/* Returns: TRUE where the lines are in the database. */
static gboolean
store_batch (OwdProbeWriter *self, const Batch *batch)
{
  g_autoptr (GError) error = NULL;
  guint64 n;

  if (self->conninfo == NULL)
    return FALSE;
  if (ready (self, &error) && owd_store_probe_lines (self->store, batch->lines, &n, &error)) {
    self->was_away = FALSE;
    drain_spool (self);
    retain (self);
    return TRUE;
  }
  if (g_error_matches (error, OWD_ERROR, OWD_ERROR_DB_AWAY)) {
    say_away (self, error);
  } else if (self->refused == NULL) {
    g_warning ("%s", error->message);
    self->refused = g_strdup (error->message);
  }
  return FALSE;
}

static gboolean
put_aside (OwdProbeWriter *self, const Batch *batch)
{
  g_autoptr (GError) error = NULL;

  if (self->spool == NULL)
    return FALSE;
  if (spool_batch (self, batch, &error))
    return TRUE;
  g_warning ("%s", error->message);
  return FALSE;
}

static void
give_up_oldest (OwdProbeWriter *self)
{
  Batch *batch = g_queue_pop_head (&self->pending);

  self->lost_bytes += batch->len;
  free_batch (batch);
}

static void
work_off (OwdProbeWriter *self)
{
  Batch *batch;

  while ((batch = g_queue_peek_head (&self->pending)) != NULL) {
    if (!store_batch (self, batch) && !put_aside (self, batch))
      break;
    free_batch (g_queue_pop_head (&self->pending));
  }
  while (self->pending.length > PENDING_MAX) {
    if (self->lost_bytes == 0)
      g_warning ("too many results wait for the database: the oldest are given up");
    give_up_oldest (self);
  }
}

/* Takes all that has come; waits for it where there is nothing else to do. Returns: FALSE at the end. */
static gboolean
take (OwdProbeWriter *self)
{
  gboolean retry = self->conninfo != NULL && (self->pending.length > 0 || self->spool_is_dirty);
  Batch *batch = retry ? g_async_queue_timeout_pop (self->queue, RETRY_US) : g_async_queue_pop (self->queue);

  for (; batch != NULL && batch != &self->end; batch = g_async_queue_try_pop (self->queue))
    g_queue_push_tail (&self->pending, batch);
  return batch != &self->end;
}

static gpointer
run (gpointer data)
{
  OwdProbeWriter *self = data;
  gboolean more;

  do {
    more = take (self);
    work_off (self);
    if (self->pending.length == 0 && self->spool_is_dirty && self->conninfo != NULL && ready (self, NULL))
      drain_spool (self);
  } while (more);
  return NULL;
}

/* ---- the measuring thread ---------------------------------------------------------------------- */

static void
clear (OwdProbeWriter *self)
{
  owd_store_free (self->store);
  g_async_queue_unref (self->queue);
  g_free (self->conninfo);
  g_free (self->spool);
  g_free (self->refused);
  g_free (self);
}

OwdProbeWriter *
owd_probe_writer_new (const char *conninfo, const char *spool, gint64 keep_ns, GError **error)
{
  OwdProbeWriter *self;
  g_autoptr (GError) own = NULL;

  if (spool != NULL && !make_spool (spool, error))
    return NULL;
  self = g_new0 (OwdProbeWriter, 1);
  self->queue = g_async_queue_new ();
  self->conninfo = g_strdup (conninfo);
  self->spool = g_strdup (spool);
  self->spool_is_dirty = spool != NULL; /* an earlier program may have left something */
  self->keep_ns = keep_ns;
  if (conninfo != NULL && !ready (self, &own)) {
    if (!g_error_matches (own, OWD_ERROR, OWD_ERROR_DB_AWAY)) {
      g_propagate_error (error, g_steal_pointer (&own));
      clear (self);
      return NULL;
    }
    say_away (self, own);
  }
  self->thread = g_thread_new ("results", run, self);
  return self;
}

FILE *
owd_probe_writer_out (OwdProbeWriter *self)
{
  if (self->out == NULL) {
    self->open = g_new0 (Batch, 1);
    self->out = open_memstream (&self->open->lines, &self->open->len);
    if (self->out == NULL)
      g_error ("out of memory");
  }
  return self->out;
}

static void
hand_over (OwdProbeWriter *self)
{
  if (self->out == NULL)
    return;
  if (fclose (self->out) != 0)
    g_error ("out of memory");
  self->out = NULL;
  g_async_queue_push (self->queue, g_steal_pointer (&self->open));
}

void
owd_probe_writer_tick (OwdProbeWriter *self, OwdTime now)
{
  if (self->out == NULL) {
    self->opened = now;
  } else if (now - self->opened >= BATCH_NS || ftell (self->out) >= BATCH_BYTES) {
    hand_over (self);
    self->opened = now;
  }
}

gboolean
owd_probe_writer_close (OwdProbeWriter *self, GError **error)
{
  gboolean fine;

  if (self == NULL)
    return TRUE;
  hand_over (self);
  g_async_queue_push (self->queue, &self->end);
  g_thread_join (self->thread);
  while (self->pending.length > 0)
    give_up_oldest (self);
  fine = self->lost_bytes == 0 && self->refused == NULL;
  if (!fine && self->lost_bytes > 0)
    g_set_error (error, OWD_ERROR, OWD_ERROR_FAILED, "results were not stored: %" G_GUINT64_FORMAT " bytes are lost",
                 self->lost_bytes);
  else if (!fine)
    g_set_error (error, OWD_ERROR, OWD_ERROR_DB, "the database refused results; they are in %s: %s", self->spool,
                 self->refused);
  clear (self);
  return fine;
}
