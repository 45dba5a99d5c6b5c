/* SPDX-License-Identifier: Apache-2.0
 *
 * See keeper.h. A database that is away is said once, and once more when it is back.
 */
#include "keeper.h"
#include "results.h"

#include "owd-error.h"
#include "owd-time.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

enum {
  TURN_US = 2000000,
  DAMAGED_TURNS = 150, /* between two tries with files that could not be loaded */
  RETAIN_TURNS = 1800,
};

#define SUFFIX ".jsonl"

struct OwdProbeKeeper {
  OwdProbeKeeperConfig cfg;
  char *spool, *conninfo;
  OwdStore *store;
  gboolean away, full;
  guint turns, damaged_until;
  guint64 given_up; /* bytes */
  GThread *thread;
  GMutex mutex;
  GCond wake;
  gboolean end;
};

/* ---- size -------------------------------------------------------------------------------------- */

typedef struct {
  char *path;
  guint64 size;
} Waiting;

static void
free_waiting (gpointer data)
{
  Waiting *w = data;

  g_free (w->path);
  g_free (w);
}

static int
by_path (gconstpointer a, gconstpointer b)
{
  return strcmp ((*(const Waiting *const *) a)->path, (*(const Waiting *const *) b)->path);
}

static GPtrArray *
list_waiting (const char *spool)
{
  GPtrArray *list = g_ptr_array_new_with_free_func (free_waiting);
  g_autoptr (GDir) dir = g_dir_open (spool, 0, NULL);
  const char *name;
  GStatBuf st;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (g_str_has_suffix (name, SUFFIX)) {
      Waiting *w = g_new0 (Waiting, 1);

      w->path = g_build_filename (spool, name, NULL);
      w->size = g_stat (w->path, &st) == 0 ? (guint64) st.st_size : 0;
      g_ptr_array_add (list, w);
    }
  g_ptr_array_sort (list, by_path); /* by time */
  return list;
}

static void
keep_size (OwdProbeKeeper *self)
{
  g_autoptr (GPtrArray) list = list_waiting (self->spool);
  guint64 sum = 0;
  guint first = 0;

  for (guint i = 0; i < list->len; i++)
    sum += ((const Waiting *) list->pdata[i])->size;
  for (; sum > self->cfg.size && first < list->len; first++) {
    const Waiting *w = list->pdata[first];

    if (g_unlink (w->path) == 0)
      self->given_up += w->size;
    sum -= w->size;
  }
  if (first > 0 && !self->full)
    g_warning ("%s is full: the oldest results are given up", self->spool);
  self->full = first > 0 || (self->full && sum > self->cfg.size / 2);
}

/* ---- database ---------------------------------------------------------------------------------- */

static gboolean
load (OwdProbeKeeper *self, GError **error)
{
  guint loaded, left;

  if (self->store == NULL)
    self->store = owd_store_open (self->conninfo, "oneway-probe", error);
  if (self->store == NULL || !owd_probe_spool_load (self->store, self->spool, &loaded, &left, error))
    return FALSE;
  if (left > 0)
    self->damaged_until = self->turns + DAMAGED_TURNS;
  return TRUE;
}

static void
retain (OwdProbeKeeper *self)
{
  g_autoptr (GError) error = NULL;
  guint dropped;

  if (self->cfg.keep_ns > 0 && self->turns % RETAIN_TURNS == 0
      && !owd_store_retain_probes (self->store, self->cfg.keep_ns, &dropped, &error))
    g_debug ("%s", error->message);
}

static void
turn (OwdProbeKeeper *self)
{
  g_autoptr (GError) error = NULL;

  keep_size (self);
  if (!self->cfg.store || self->turns < self->damaged_until)
    return;
  if (load (self, &error)) {
    if (self->away)
      g_message ("the database is back: it has what waited in %s", self->spool);
    self->away = FALSE;
    retain (self);
    return;
  }
  if (!self->away)
    g_warning ("%s; results wait in %s", error->message, self->spool);
  self->away = TRUE;
}

static gpointer
run (gpointer data)
{
  OwdProbeKeeper *self = data;
  gboolean end;

  do {
    g_mutex_lock (&self->mutex);
    if (!self->end)
      g_cond_wait_until (&self->wake, &self->mutex, g_get_monotonic_time () + TURN_US);
    end = self->end;
    g_mutex_unlock (&self->mutex);
    turn (self);
    self->turns++;
  } while (!end);
  return NULL;
}

OwdProbeKeeper *
owd_probe_keeper_new (const OwdProbeKeeperConfig *cfg, GError **error)
{
  OwdProbeKeeper *self;

  if (g_mkdir_with_parents (cfg->spool, 0750) != 0 || g_access (cfg->spool, R_OK | W_OK | X_OK) != 0) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "cannot use spool directory %s ([probe] spool): %s", cfg->spool,
                 g_strerror (errno));
    return NULL;
  }
  self = g_new0 (OwdProbeKeeper, 1);
  self->cfg = *cfg;
  self->spool = g_strdup (cfg->spool);
  self->conninfo = g_strdup (cfg->conninfo);
  g_mutex_init (&self->mutex);
  g_cond_init (&self->wake);
  self->thread = g_thread_new ("keeper", run, self);
  return self;
}

void
owd_probe_keeper_end (OwdProbeKeeper *self)
{
  if (self == NULL)
    return;
  g_mutex_lock (&self->mutex);
  self->end = TRUE;
  g_cond_signal (&self->wake);
  g_mutex_unlock (&self->mutex);
  g_thread_join (self->thread);
  if (self->given_up > 0)
    g_message ("%" G_GUINT64_FORMAT " bytes of results were given up", self->given_up);
  owd_store_free (self->store);
  g_mutex_clear (&self->mutex);
  g_cond_clear (&self->wake);
  g_free (self->spool);
  g_free (self->conninfo);
  g_free (self);
}
