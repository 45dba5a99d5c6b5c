/* SPDX-License-Identifier: Apache-2.0
 *
 * One partition: reads blocks, feeds the engine, commits what it delivers together with offset and watermark.
 *
 * The engine is a pure function of the log and its settings; it never learns what a database has. Behind it stands a
 * filter: a sample at or before the committed watermark is there or must not come any more, any other one is still
 * missing; numbers are the database's own (docs/design/exactly-once.md). Profiles, and what share of the flows this
 * machine could work off, are part of its input: the database remembers from which offset on each counts.
 */
#include "checkpoint.h"
#include "feed.h"
#include "program.h"

/* Samples per transaction at most, but whole blocks. Only where more come than commit-interval lets wait: then those of
 * one path that stand beside each other in the index are five times as many as with 10,000, and cost the server less.
 */
#define BATCH 50000
#define BLOCKS_IN_A_ROW 16                      /* then the next partition has its turn */
#define MARKS_PER_COMMIT 4                      /* a watermark alone waits this many commit-intervals */
#define PROFILES_EVERY_US (60 * G_USEC_PER_SEC) /* notices may be lost */
#define CHECKPOINT_BYTES (32 * 1024 * 1024)     /* of log, or four times a checkpoint's own size */

/* Says so when shedding begins and when it ends; in between owd.status does. */
static void
tell_shedding (Part *part, double kept)
{
  if (kept < 1 && part->kept == 1)
    g_warning ("partition %u: more comes than [correlator] max-flows holds, max-rate allows or can be worked off "
               "within max-lag: "
               "%.0f %% of the flows are kept",
               part->part, 100 * kept);
  else if (kept == 1 && part->kept < 1)
    g_message ("partition %u: all flows are kept again", part->part);
  part->kept = kept;
}

static gboolean
commit (Part *part, GError **error)
{
  Worker *w = part->worker;
  OwdMark mark = { .offset = part->offset,
                   .seq = part->committed.seq,
                   .excess = part->committed.excess,
                   .watermark = MAX (owd_correlator_watermark (part->engine), part->committed.watermark),
                   .shed_ppm = (guint64) ((1 - owd_correlator_kept (part->engine)) * 1000000),
                   .horizon_ns = owd_correlator_horizon_ns (part->engine) };

  tell_shedding (part, owd_correlator_kept (part->engine));
  points_note (part);
  for (guint i = 0; i < part->samples->len; i++) {
    OwdSample *s = &g_array_index (part->samples, OwdSample, i);

    if ((s->flags & OWD_SAMPLE_EXCESS) == 0)
      mark.seq++;
    else
      mark.excess++;
    s->seq = mark.seq;
    s->src = g_array_index (part->point_of, guint32, s->src);
    s->dst = g_array_index (part->point_of, guint32, s->dst);
  }
  for (guint i = 0; i < part->counts->len; i++) {
    OwdCount *c = &g_array_index (part->counts, OwdCount, i);

    c->src = g_array_index (part->point_of, guint32, c->src);
    c->dst = g_array_index (part->point_of, guint32, c->dst);
  }
  for (;;) {
    if (points_register (w, error)
        && owd_store_commit (w->store, part->part, (const OwdSample *) part->samples->data, part->samples->len,
                             (const OwdCount *) part->counts->data, part->counts->len, &mark, part->log_time, error))
      break;
    if (!worker_try_again (w, error)) {
      g_prefix_error (error, "partition %u: ", part->part);
      return FALSE;
    }
  }
  worker_is_back (w);
  part->committed = mark;
  part->committed_us = g_get_monotonic_time ();
  g_array_set_size (part->samples, 0);
  g_array_set_size (part->counts, 0);
  return TRUE;
}

/* The database has everything up to its watermark, and gets nothing there any more. */
static void
take_sample (void *user, const OwdSample *sample)
{
  Part *part = user;

  if (sample->ts > part->committed.watermark)
    g_array_append_val (part->samples, *sample);
}

static void
take_count (void *user, const OwdCount *count)
{
  Part *part = user;

  if (count->ts > part->committed.watermark)
    g_array_append_val (part->counts, *count);
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

/* ---- profiles ------------------------------------------------------------------------------------- */

/* Tells the engine of those that count from here on. */
static gboolean
use_profiles (Part *part, GError **error)
{
  g_autoptr (GArray) priors = NULL;

  while (part->next_use < part->uses->len) {
    const OwdProfileUse *use = &g_array_index (part->uses, OwdProfileUse, part->next_use);

    if (use->offset > part->offset)
      return TRUE;
    g_clear_pointer (&priors, g_array_unref);
    priors = g_array_new (FALSE, FALSE, sizeof (OwdPrior));
    while (!owd_store_priors (part->worker->store, owd_correlator_newest_prior (part->engine), use->newest, priors,
                              error)) {
      if (!worker_try_again (part->worker, error))
        return FALSE;
    }
    worker_is_back (part->worker);
    owd_correlator_add_priors (part->engine, (const OwdPrior *) priors->data, priors->len);
    part->next_use++;
  }
  return TRUE;
}

/* Asks for new ones where there may be some, but not while replaying what has been delivered: they were not known
 * then. */
static gboolean
look_for_profiles (Part *part, GError **error)
{
  Worker *w = part->worker;
  gint64 now_us = g_get_monotonic_time ();

  if (owd_store_profiles_changed (w->store))
    w->notified_us = now_us;
  if (part->offset < part->committed.offset
      || (part->asked_us != 0 && part->asked_us > w->notified_us && now_us - part->asked_us < PROFILES_EVERY_US))
    return TRUE;
  part->asked_us = now_us;
  while (!owd_store_use_profiles (w->store, part->part, part->offset, part->uses, error)) {
    if (!worker_try_again (w, error))
      return FALSE;
  }
  worker_is_back (w);
  return TRUE;
}

/* ---- too much for the machine ----------------------------------------------------------------------- */

/* Tells the engine what share of the flows is kept from here on. */
static void
use_shares (Part *part)
{
  for (; part->next_share < part->shares->len; part->next_share++) {
    const OwdShareUse *use = &g_array_index (part->shares, OwdShareUse, part->next_share);

    if (use->offset > part->offset)
      return;
    owd_correlator_limit (part->engine, use->keep_ppm / 1e6);
  }
}

/* Is the log read as fast as it grows? What follows counts from the next block on, and is noted before. While
 * replaying, what was noted then counts. */
static gboolean
keep_pace (Part *part, gboolean at_end, GError **error)
{
  OwdShareUse use = { .offset = part->offset };
  OwdPaceMark mark = { .now_us = g_get_monotonic_time (),
                       .waited_us = part->worker->waited_us,
                       .now = g_get_real_time () * OWD_NS_PER_US,
                       .log_time = part->log_time,
                       .delivered = owd_correlator_watermark (part->engine),
                       .at_end = at_end };
  double before = part->pace.share;

  if (part->next_share < part->shares->len || part->offset < part->committed.offset)
    return TRUE;
  if (part->absences != part->worker->absences)
    owd_pace_rest (&part->pace);
  part->absences = part->worker->absences;
  use.keep_ppm = (guint32) (1e6 * owd_pace_step (&part->pace, &mark));
  while (part->pace.share != before
         && !owd_store_use_share (part->worker->store, part->part, &use, part->shares, error)) {
    if (!worker_try_again (part->worker, error))
      return FALSE;
  }
  return TRUE;
}

/* ---- blocks ----------------------------------------------------------------------------------------- */

static void
feed (Part *part, OwdLogBlock *block)
{
  (void) feed_block (part->engine, block);
  part->offset = block->next;
  part->log_time = block->time;
}

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
Step
part_step (Part *part, GError **error)
{
  if (!look_for_profiles (part, error))
    return STEP_FAILED;
  for (guint i = 0; i < BLOCKS_IN_A_ROW; i++) {
    OwdLogBlock block;
    OwdStatus status = next_block (part, &block, error);

    if (status == OWD_STATUS_END)
      return commit_if_due (part, error) && keep_pace (part, TRUE, error) ? STEP_IDLE : STEP_FAILED;
    if (status == OWD_STATUS_GAP || status == OWD_STATUS_CHECKSUM)
      continue;
    if (status != OWD_STATUS_OK || !use_profiles (part, error))
      return STEP_FAILED;
    use_shares (part);
    feed (part, &block);
    if (part->samples->len >= BATCH && !commit_if_due (part, error))
      return STEP_FAILED;
  }
  return commit_if_due (part, error) && keep_pace (part, FALSE, error) ? STEP_BUSY : STEP_FAILED;
}

/* What was noted for this partition. */
static gboolean
read_notes (Part *part, GError **error)
{
  OwdStore *store = part->worker->store;

  g_array_set_size (part->uses, 0);
  g_array_set_size (part->shares, 0);
  return owd_store_profile_uses (store, part->part, part->uses, error)
         && owd_store_shares (store, part->part, part->shares, error);
}

gboolean
part_open (Part *part, GError **error)
{
  Worker *w = part->worker;
  Program *p = w->program;

  while (!owd_store_claim (w->store, p->info.uuid, part->part, p->info.partitions, &part->committed, error)) {
    if (!worker_try_again (w, error))
      return FALSE;
  }
  while (!read_notes (part, error)) {
    if (!worker_try_again (w, error))
      return FALSE;
  }
  worker_is_back (w);
  part->offset = checkpoint_load (p->state_dir, p->info.uuid, part->part, &part->committed, part->engine);
  while (part->next_use < part->uses->len
         && g_array_index (part->uses, OwdProfileUse, part->next_use).newest
                <= owd_correlator_newest_prior (part->engine))
    part->next_use++;
  owd_correlator_limit (part->engine, 1); /* that of another database's, if any */
  use_shares (part);
  owd_pace_init (&part->pace, p->max_lag_ns,
                 part->shares->len > 0 ? g_array_index (part->shares, OwdShareUse, part->shares->len - 1).keep_ppm / 1e6
                                       : 1);
  part->checkpoint_at = part->offset;
  part->checkpoint_us = part->committed_us = g_get_monotonic_time ();
  points_note (part);
  part->reader = owd_log_reader_open (p->log_dir, part->part, part->offset, error);
  return part->reader != NULL;
}

/* Of a limit that all partitions have together, but one at least; 0 stays: no limit. */
static guint32
share_of (guint32 limit, guint part, guint n_parts)
{
  guint64 upto = (guint64) limit * (part + 1) / n_parts, before = (guint64) limit * part / n_parts;

  return limit == 0 ? 0 : MAX ((guint32) (upto - before), 1);
}

Part *
part_new (Worker *w, guint number)
{
  OwdCorrelatorConfig engine = w->program->engine;
  Part *part = g_new0 (Part, 1);

  engine.raw_per_minute = share_of (engine.raw_per_minute, number, w->program->info.partitions);
  part->worker = w;
  part->kept = 1;
  part->part = number;
  part->engine = owd_correlator_new (&engine, take_sample, part);
  owd_correlator_set_count_sink (part->engine, take_count);
  part->counts = g_array_new (FALSE, FALSE, sizeof (OwdCount));
  part->samples = g_array_sized_new (FALSE, FALSE, sizeof (OwdSample), BATCH);
  part->point_of = g_array_new (FALSE, FALSE, sizeof (guint32));
  part->uses = g_array_new (FALSE, FALSE, sizeof (OwdProfileUse));
  part->shares = g_array_new (FALSE, FALSE, sizeof (OwdShareUse));
  return part;
}

void
part_free (gpointer data)
{
  Part *part = data;

  owd_log_reader_free (part->reader);
  owd_correlator_free (part->engine);
  g_array_unref (part->samples);
  g_array_unref (part->counts);
  g_array_unref (part->point_of);
  g_array_unref (part->uses);
  g_array_unref (part->shares);
  g_free (part);
}

/* The end of the log, or of the program: --once delivers what still waits. The checkpoint is made before, as nobody
 * knows what the log will have to say on it. */
gboolean
part_finish (Part *part, GError **error)
{
  Program *p = part->worker->program;

  points_note (part);
  if (part->offset < part->committed.offset)
    return TRUE; /* stopped while replaying */
  if (part->offset > part->committed.offset && !commit (part, error))
    return FALSE;
  save_checkpoint (part);
  if (!p->once || program_stopped (p))
    return TRUE;
  owd_correlator_flush (part->engine);
  return (part->samples->len == 0 && owd_correlator_watermark (part->engine) <= part->committed.watermark)
         || commit (part, error);
}
