/* SPDX-License-Identifier: Apache-2.0
 *
 * oneway-correlator: wiring of log, correlator engine and database.
 *
 * Each worker thread owns some partitions and one database connection. For a partition it reads blocks, feeds the
 * engine, and commits samples, offset and watermark in one transaction. After a restart the engine is brought back from
 * a checkpoint and replays to the committed offset.
 *
 * The engine is a pure function of the log and its settings; it never learns what a database has. Behind it stands a
 * filter: a sample at or before the committed watermark is there or must not come any more, any other one is still
 * missing; numbers are the database's own. Thus a restart, a lost checkpoint, or checkpoints that several databases
 * share, all end in the same table, and even after a change of settings it has no gap and no sample twice
 * (docs/design/exactly-once.md).
 *
 * When the database is away, workers stop reading and try again: the log waits.
 */
#include "checkpoint.h"
#include "owd-correlator.h"
#include "owd-flowlog.h"
#include "owd-program.h"
#include "owd-store.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define PROGRAM "oneway-correlator"
#define BATCH 10000        /* samples per transaction at most, but whole blocks */
#define BLOCKS_IN_A_ROW 16 /* then the next partition has its turn */
#define MARKS_PER_COMMIT 4 /* a watermark alone waits this many commit-intervals */
#define EXPORTERS_EVERY_US (5 * G_USEC_PER_SEC)
#define RETAIN_EVERY_US (600 * G_USEC_PER_SEC)
#define CHECKPOINT_BYTES (32 * 1024 * 1024) /* of log, or four times a checkpoint's own size */
#define RETRY_MS 1000

typedef struct Program Program;
typedef struct Worker Worker;

typedef struct {
  Worker *worker;
  guint part;
  OwdLogReader *reader;
  OwdCorrelator *engine;
  GArray *samples;   /* OwdSample, with point numbers of the worker */
  GArray *point_of;  /* guint32: engine state -> point number of the worker */
  OwdMark committed; /* what the database has */
  guint64 offset;    /* behind the last block that the engine has seen */
  OwdTime log_time;
  guint64 checkpoint_at; /* offset of the last checkpoint */
  guint64 checkpoint_bytes;
  gint64 committed_us, checkpoint_us; /* monotonic clock */
} Part;

struct Worker {
  Program *program;
  guint index;
  GThread *thread;
  OwdStore *store;
  GPtrArray *parts;          /* Part */
  GPtrArray *points;         /* char *: names by point number */
  GHashTable *point_numbers; /* OwdStateKey -> number + 1 */
  guint failures;            /* of the database in a row */
  gint64 exporters_us, retained_us;
  GError *error; /* why the worker ended early */
};

struct Program {
  OwdConfig *config;
  char *log_dir, *db, *state_dir;
  OwdLogInfo info;
  OwdCorrelatorConfig engine;
  gint64 commit_us, checkpoint_us; /* samples wait for a commit this long at most; a checkpoint gets this old */
  gboolean once;
  GPtrArray *workers;    /* Worker */
  int stop_fd, done_fd;  /* eventfds, readable once everybody is to end, and once everybody has */
  gint stop;             /* atomic */
  gint running;          /* atomic: workers that have not ended */
  gint away;             /* atomic: workers whose database is away */
  GMutex lock;           /* guards exporters */
  GHashTable *exporters; /* OwdStateKey -> GArray of OwdCorrelatorState, one per partition */
};

/* ---- observation points ----------------------------------------------------------------------------- */

/* Configured name, else address; with its domain where the exporter has several that differ, with its version where
 * even the domain does not tell two states apart. A function of the set of states, not of the order of their
 * appearance. */
static char *
point_name (Program *p, const OwdStateKey *key)
{
  const char *configured = owd_config_exporter_name (p->config, &key->addr, key->domain);
  gboolean domains = FALSE, versions = FALSE;
  char addr[OWD_ADDR_TEXT];
  GHashTableIter iter;
  gpointer other;
  GString *name;

  g_hash_table_iter_init (&iter, p->exporters);
  while (g_hash_table_iter_next (&iter, &other, NULL)) {
    const OwdStateKey *o = other;

    if (memcmp (&o->addr, &key->addr, sizeof o->addr) != 0
        || g_strcmp0 (configured, owd_config_exporter_name (p->config, &o->addr, o->domain)) != 0)
      continue;
    domains |= o->domain != key->domain;
    versions |= o->domain == key->domain && o->version != key->version;
  }
  name = g_string_new (configured != NULL ? configured : owd_addr_text (&key->addr, addr));
  if (domains)
    g_string_append_printf (name, "#%u", key->domain);
  if (versions)
    g_string_append_printf (name, "/v%u", key->version);
  return g_string_free (name, FALSE);
}

static GArray *
known_states (Program *p, const OwdStateKey *key)
{
  GArray *states = g_hash_table_lookup (p->exporters, key);

  if (states == NULL) {
    states = g_array_new (FALSE, TRUE, sizeof (OwdCorrelatorState));
    g_array_set_size (states, p->info.partitions);
    g_hash_table_insert (p->exporters, g_memdup2 (key, sizeof *key), states);
  }
  return states;
}

/* Makes what the engine knows of its exporters known to all, and numbers new ones for this worker. */
static void
note_states (Part *part)
{
  Worker *w = part->worker;
  guint n = owd_correlator_n_states (part->engine);

  g_mutex_lock (&w->program->lock);
  for (guint i = 0; i < n; i++) {
    OwdCorrelatorState *shared, now;
    guint number;

    owd_correlator_state (part->engine, i, &now);
    shared = &g_array_index (known_states (w->program, &now.key), OwdCorrelatorState, part->part);
    *shared = now;
    number = GPOINTER_TO_UINT (g_hash_table_lookup (w->point_numbers, &now.key));
    if (number == 0) {
      number = w->points->len + 1;
      g_ptr_array_add (w->points, g_memdup2 (&now.key, sizeof now.key));
      g_hash_table_insert (w->point_numbers, g_ptr_array_index (w->points, number - 1), GUINT_TO_POINTER (number));
    }
    if (i >= part->point_of->len) {
      number--;
      g_array_append_val (part->point_of, number);
    }
  }
  g_mutex_unlock (&w->program->lock);
}

/* Registers this worker's points, with the names that all states known by now give them. */
static gboolean
register_points (Worker *w, GError **error)
{
  g_autofree OwdPoint *points = g_new0 (OwdPoint, w->points->len);

  g_mutex_lock (&w->program->lock);
  for (guint i = 0; i < w->points->len; i++) {
    g_autofree char *name = NULL;

    points[i].key = *(const OwdStateKey *) g_ptr_array_index (w->points, i);
    name = point_name (w->program, &points[i].key);
    g_strlcpy (points[i].name, name, sizeof points[i].name);
  }
  g_mutex_unlock (&w->program->lock);
  return owd_store_points (w->store, points, w->points->len, error);
}

/* One row of owd.exporters from what the partitions have seen of a state. */
static OwdExporterRow
exporter_row (Program *p, const OwdStateKey *key, const GArray *states)
{
  OwdExporterRow row = { .key = *key,
                         .boot_lo_ns = OWD_TIME_NONE,
                         .boot_hi_ns = OWD_TIME_NONE,
                         .lag_p50_ns = OWD_TIME_NONE,
                         .lag_p99_ns = OWD_TIME_NONE };
  g_autofree char *name = point_name (p, key);

  g_strlcpy (row.name, name, sizeof row.name);
  for (guint i = 0; i < states->len; i++) {
    const OwdCorrelatorState *s = &g_array_index (states, OwdCorrelatorState, i);

    if (s->last_ns == 0)
      continue;
    row.first_ns = row.first_ns == 0 ? s->first_ns : MIN (row.first_ns, s->first_ns);
    row.last_ns = MAX (row.last_ns, s->last_ns);
    row.records += s->records;
    row.segments = MAX (row.segments, s->segments);
    row.lag_p50_ns = MAX (row.lag_p50_ns, s->lag_p50_ns);
    row.lag_p99_ns = MAX (row.lag_p99_ns, s->lag_p99_ns);
    row.sampling = MAX (row.sampling, s->sampling);
    row.start_step_ns = MAX (row.start_step_ns, s->start_step_ns);
    row.end_step_ns = MAX (row.end_step_ns, s->end_step_ns);
    if (s->boot_lo_ns != OWD_TIME_NONE
        && (row.boot_lo_ns == OWD_TIME_NONE || s->boot_hi_ns - s->boot_lo_ns < row.boot_hi_ns - row.boot_lo_ns)) {
      row.boot_lo_ns = s->boot_lo_ns;
      row.boot_hi_ns = s->boot_hi_ns;
    }
  }
  return row;
}

static gboolean
write_exporters (Worker *w, GError **error)
{
  Program *p = w->program;
  g_autoptr (GArray) rows = g_array_new (FALSE, FALSE, sizeof (OwdExporterRow));
  GHashTableIter iter;
  gpointer key, states;

  g_mutex_lock (&p->lock);
  g_hash_table_iter_init (&iter, p->exporters);
  while (g_hash_table_iter_next (&iter, &key, &states)) {
    OwdExporterRow row = exporter_row (p, key, states);

    g_array_append_val (rows, row);
  }
  g_mutex_unlock (&p->lock);
  return owd_store_exporters (w->store, (const OwdExporterRow *) rows->data, rows->len, error);
}

/* ---- database --------------------------------------------------------------------------------------- */

static gboolean
stopped (const Program *p)
{
  return g_atomic_int_get (&p->stop) != 0;
}

static void
raise_fd (int fd)
{
  guint64 one = 1;

  (void) !write (fd, &one, sizeof one);
}

static void
stop_all (Program *p)
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
static gboolean
try_again (Worker *w, GError **error)
{
  Program *p = w->program;

  if (!g_error_matches (*error, OWD_ERROR, OWD_ERROR_DB_AWAY) || stopped (p))
    return FALSE;
  if (w->failures == 0)
    g_info ("%s; trying again", (*error)->message);
  else if (w->failures == 1 && g_atomic_int_add (&p->away, 1) == 0)
    g_warning ("%s; the log waits, trying again each second", (*error)->message);
  g_clear_error (error);
  if (w->failures++ > 0)
    wait_ms (p, RETRY_MS);
  return !stopped (p);
}

static void
back_again (Worker *w)
{
  if (w->failures > 1 && g_atomic_int_dec_and_test (&w->program->away))
    g_message ("the database is back, catching up");
  w->failures = 0;
}

static gboolean
commit (Part *part, GError **error)
{
  Worker *w = part->worker;
  OwdMark mark = { .offset = part->offset,
                   .seq = part->committed.seq + part->samples->len,
                   .watermark = MAX (owd_correlator_watermark (part->engine), part->committed.watermark) };

  note_states (part);
  for (guint i = 0; i < part->samples->len; i++) {
    OwdSample *s = &g_array_index (part->samples, OwdSample, i);

    s->seq = part->committed.seq + 1 + i;
    s->src = g_array_index (part->point_of, guint32, s->src);
    s->dst = g_array_index (part->point_of, guint32, s->dst);
  }
  for (;;) {
    if (register_points (w, error)
        && owd_store_commit (w->store, part->part, (const OwdSample *) part->samples->data, part->samples->len, &mark,
                             part->log_time, error))
      break;
    if (!try_again (w, error)) {
      g_prefix_error (error, "partition %u: ", part->part);
      return FALSE;
    }
  }
  back_again (w);
  part->committed = mark;
  part->committed_us = g_get_monotonic_time ();
  g_array_set_size (part->samples, 0);
  return TRUE;
}

/* Rows that only inform: a failure is no reason to stop. */
static void
write_side_rows (Worker *w)
{
  g_autoptr (GError) error = NULL;
  gint64 us = g_get_monotonic_time ();
  gint64 keep_ns = owd_config_duration_ns (w->program->config, "database", "retain-samples");
  guint dropped = 0;

  if (w->index != 0)
    return;
  if (us - w->exporters_us >= EXPORTERS_EVERY_US) {
    w->exporters_us = us;
    if (!write_exporters (w, &error))
      g_info ("%s", error->message);
    g_clear_error (&error);
  }
  if (keep_ns > 0 && !w->program->once && us - w->retained_us >= RETAIN_EVERY_US) {
    w->retained_us = us;
    if (!owd_store_retain (w->store, keep_ns, &dropped, &error))
      g_info ("%s", error->message);
    else if (dropped > 0)
      g_message ("dropped %u days of samples older than retain-samples", dropped);
  }
}

/* Names and exporters as all workers together know them, once none of them runs any more. */
static gboolean
write_last_rows (Program *p, GError **error)
{
  for (guint i = 0; i < p->workers->len; i++) {
    Worker *w = g_ptr_array_index (p->workers, i);

    while (!register_points (w, error) || (i == 0 && !write_exporters (w, error))) {
      if (!try_again (w, error))
        return FALSE;
    }
    back_again (w);
  }
  return TRUE;
}

/* ---- one partition ---------------------------------------------------------------------------------- */

/* The database has everything up to its watermark, and gets nothing there any more. */
static void
take_sample (void *user, const OwdSample *sample)
{
  Part *part = user;

  if (sample->ts > part->committed.watermark)
    g_array_append_val (part->samples, *sample);
}

static void
save_checkpoint (Part *part)
{
  Program *p = part->worker->program;
  g_autoptr (GError) error = NULL;

  if (part->checkpoint_at == part->committed.offset || part->offset != part->committed.offset)
    return;
  part->checkpoint_us = g_get_monotonic_time ();
  part->checkpoint_at = part->committed.offset;
  if (!checkpoint_save (p->state_dir, p->info.uuid, part->part, part->committed.offset, part->engine,
                        &part->checkpoint_bytes, &error))
    g_warning ("%s", error->message);
}

static void
maybe_checkpoint (Part *part)
{
  guint64 behind = part->committed.offset - MIN (part->checkpoint_at, part->committed.offset);

  if (behind >= MAX (CHECKPOINT_BYTES, 4 * part->checkpoint_bytes)
      || (behind > 0 && g_get_monotonic_time () - part->checkpoint_us >= part->worker->program->checkpoint_us))
    save_checkpoint (part);
}

static void
feed (Part *part, OwdLogBlock *block)
{
  OwdItemType type;
  OwdHeader header;
  OwdFlow flow;

  while (owd_log_block_next (block, &type, &header, &flow)) {
    if (type == OWD_ITEM_HEADER)
      owd_correlator_header (part->engine, &header);
    else
      (void) owd_correlator_flow (part->engine, &flow);
  }
  owd_correlator_advance (part->engine, block->time);
  part->offset = block->next;
  part->log_time = block->time;
}

typedef enum { STEP_BUSY, STEP_IDLE, STEP_FAILED } Step;

/* Something new, and for long enough. */
static gboolean
commit_is_due (const Part *part)
{
  gint64 since = g_get_monotonic_time () - part->committed_us, interval = part->worker->program->commit_us;

  if (part->offset <= part->committed.offset)
    return FALSE;
  return part->samples->len >= BATCH || (part->samples->len > 0 && since >= interval)
         || since >= MARKS_PER_COMMIT * interval;
}

static gboolean
commit_if_due (Part *part, GError **error)
{
  if (commit_is_due (part) && !commit (part, error))
    return FALSE;
  maybe_checkpoint (part);
  return TRUE;
}

/* The next block. OWD_STATUS_OK, _END, _GAP or _CHECKSUM (told; call again), or final. */
static OwdStatus
next_block (Part *part, OwdLogBlock *ret_block, GError **error)
{
  g_autoptr (GError) damage = NULL;
  OwdStatus status = owd_log_reader_next (part->reader, ret_block, &damage);

  if (status == OWD_STATUS_GAP && part->offset >= part->committed.offset)
    g_warning ("partition %u: the log's retention removed records before they were read; going on with the oldest "
               "there are",
               part->part);
  else if (status == OWD_STATUS_CHECKSUM)
    g_warning ("partition %u: %s; skipped, the rest is used", part->part, damage->message);
  else if (damage != NULL)
    g_propagate_error (error, g_steal_pointer (&damage));
  return status;
}

/* Some blocks of one partition. */
static Step
step (Part *part, GError **error)
{
  for (guint i = 0; i < BLOCKS_IN_A_ROW; i++) {
    OwdLogBlock block;
    OwdStatus status = next_block (part, &block, error);

    if (status == OWD_STATUS_END)
      return commit_if_due (part, error) ? STEP_IDLE : STEP_FAILED;
    if (status == OWD_STATUS_GAP || status == OWD_STATUS_CHECKSUM)
      continue;
    if (status != OWD_STATUS_OK)
      return STEP_FAILED;
    feed (part, &block);
    if (part->samples->len >= BATCH && !commit_if_due (part, error))
      return STEP_FAILED;
  }
  return commit_if_due (part, error) ? STEP_BUSY : STEP_FAILED;
}

static gboolean
open_part (Part *part, GError **error)
{
  Worker *w = part->worker;
  Program *p = w->program;

  while (!owd_store_claim (w->store, p->info.uuid, part->part, p->info.partitions, &part->committed, error)) {
    if (!try_again (w, error))
      return FALSE;
  }
  back_again (w);
  part->offset = checkpoint_load (p->state_dir, p->info.uuid, part->part, &part->committed, part->engine);
  part->checkpoint_at = part->offset;
  part->checkpoint_us = part->committed_us = g_get_monotonic_time ();
  note_states (part);
  part->reader = owd_log_reader_open (p->log_dir, part->part, part->offset, error);
  return part->reader != NULL;
}

static Part *
part_new (Worker *w, guint number)
{
  Part *part = g_new0 (Part, 1);

  part->worker = w;
  part->part = number;
  part->engine = owd_correlator_new (&w->program->engine, take_sample, part);
  part->samples = g_array_sized_new (FALSE, FALSE, sizeof (OwdSample), BATCH);
  part->point_of = g_array_new (FALSE, FALSE, sizeof (guint32));
  return part;
}

static void
part_free (gpointer data)
{
  Part *part = data;

  owd_log_reader_free (part->reader);
  owd_correlator_free (part->engine);
  g_array_unref (part->samples);
  g_array_unref (part->point_of);
  g_free (part);
}

/* ---- workers ---------------------------------------------------------------------------------------- */

/* Until one of the worker's partitions may have grown, or a watermark is due. */
static void
wait_for_log (Worker *w)
{
  g_autofree struct pollfd *fds = g_new0 (struct pollfd, w->parts->len + 1);

  for (guint i = 0; i < w->parts->len; i++)
    fds[i] = (struct pollfd){ .fd = owd_log_reader_fd (((Part *) g_ptr_array_index (w->parts, i))->reader),
                              .events = POLLIN };
  fds[w->parts->len] = (struct pollfd){ .fd = w->program->stop_fd, .events = POLLIN };
  (void) poll (fds, w->parts->len + 1, (int) MAX (w->program->commit_us / 1000, 1));
  for (guint i = 0; i < w->parts->len; i++) {
    if (fds[i].revents != 0)
      (void) owd_log_reader_wait (((Part *) g_ptr_array_index (w->parts, i))->reader, 0);
  }
}

static gboolean
work (Worker *w, GError **error)
{
  while (!stopped (w->program)) {
    gboolean busy = FALSE;

    for (guint i = 0; i < w->parts->len && !stopped (w->program); i++) {
      Step done = step (g_ptr_array_index (w->parts, i), error);

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

/* The end of the log, or of the program: --once delivers what still waits. The checkpoint is made before, as nobody
 * knows what the log will have to say on it. */
static gboolean
finish_part (Part *part, GError **error)
{
  Program *p = part->worker->program;

  note_states (part);
  if (part->offset < part->committed.offset)
    return TRUE; /* stopped while replaying */
  if (part->offset > part->committed.offset && !commit (part, error))
    return FALSE;
  save_checkpoint (part);
  if (!p->once || stopped (p))
    return TRUE;
  owd_correlator_flush (part->engine);
  return (part->samples->len == 0 && owd_correlator_watermark (part->engine) <= part->committed.watermark)
         || commit (part, error);
}

static gboolean
work_to_the_end (Worker *w, GError **error)
{
  while ((w->store = owd_store_open (w->program->db, PROGRAM, error)) == NULL) {
    if (!try_again (w, error))
      return FALSE;
  }
  back_again (w);
  for (guint i = 0; i < w->parts->len; i++)
    if (!open_part (g_ptr_array_index (w->parts, i), error))
      return FALSE;
  if (!work (w, error))
    return FALSE;
  for (guint i = 0; i < w->parts->len; i++)
    if (!finish_part (g_ptr_array_index (w->parts, i), error))
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

static gpointer
worker_run (gpointer data)
{
  Worker *w = data;
  Program *p = w->program;

  if (!work_to_the_end (w, &w->error))
    stop_all (p);
  if (g_atomic_int_dec_and_test (&p->running)) { /* the last one */
    if (all_fine (p))
      (void) write_last_rows (p, &w->error);
    raise_fd (p->done_fd);
  }
  return NULL;
}

static Worker *
worker_new (Program *p, guint index, guint n_workers)
{
  Worker *w = g_new0 (Worker, 1);

  w->program = p;
  w->index = index;
  w->parts = g_ptr_array_new_with_free_func (part_free);
  w->points = g_ptr_array_new_with_free_func (g_free);
  w->point_numbers = g_hash_table_new (owd_state_key_hash, owd_state_key_equal);
  w->retained_us = g_get_monotonic_time ();
  for (guint part = index; part < p->info.partitions; part += n_workers)
    g_ptr_array_add (w->parts, part_new (w, part));
  return w;
}

static void
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

/* ---- the program ------------------------------------------------------------------------------------ */

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
    stop_all (p);
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
  gboolean told;

  p->workers = g_ptr_array_new_with_free_func (worker_free);
  p->running = (gint) n;
  for (guint i = 0; i < n; i++)
    g_ptr_array_add (p->workers, worker_new (p, i, n));
  for (guint i = 0; i < n; i++) {
    Worker *w = g_ptr_array_index (p->workers, i);

    w->thread = g_thread_new ("worker", worker_run, w);
  }
  owd_program_notify ("READY=1");
  told = wait_for_end (p, signal_fd);
  for (guint i = 0; i < n; i++)
    g_thread_join (((Worker *) g_ptr_array_index (p->workers, i))->thread);
  return outcome (p, told);
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
  p->engine.max_waiting = (guint32) MIN (flows, G_MAXUINT32 / 2);
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
