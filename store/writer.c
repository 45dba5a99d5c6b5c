/* SPDX-License-Identifier: Apache-2.0
 *
 * The correlator's side: samples and the place in the log that they were made from go into one transaction.
 *
 * Exactly once. The row of the partition carries the mark (offset, seq, watermark) and an epoch. Claiming raises the
 * epoch; a commit begins with an UPDATE of that row which names the epoch it was claimed with. So a process that has
 * been replaced cannot write, and the lock on the row makes a new owner wait for, and then see, a commit under way.
 *
 * A connection lost in the middle of a commit leaves two possibilities, and only the database knows: after each
 * reconnect the mark is read first. It is either the one confirmed last (nothing happened: write), or the one that the
 * last commit tried (it had happened: skip what is there). Anything else means that the database went back in time.
 *
 * Paths and tables are made before the transaction, each in a short one of its own: they hold no fact that would have
 * to be undone, and locks on shared rows would otherwise last as long as the COPY.
 */
#include "store-private.h"

#include <stdlib.h>
#include <string.h>

#define COPY_BUFFER (64 * 1024)
#define MAX_PARTS G_MAXINT16

/* A decimal number as statement parameter. */
typedef struct {
  char text[24];
} Number;

static const char *
signed_text (Number *n, gint64 v)
{
  g_snprintf (n->text, sizeof n->text, "%" G_GINT64_FORMAT, v);
  return n->text;
}

static const char *
unsigned_text (Number *n, guint64 v)
{
  g_snprintf (n->text, sizeof n->text, "%" G_GUINT64_FORMAT, v);
  return n->text;
}

/* OWD_TIME_NONE is SQL's NULL. */
static const char *
time_text (Number *n, OwdTime t)
{
  return t == OWD_TIME_NONE ? NULL : signed_text (n, t);
}

static gint64
get_int (const PGresult *res, int row, int column)
{
  return g_ascii_strtoll (PQgetvalue (res, row, column), NULL, 10);
}

static OwdTime
get_time (const PGresult *res, int row, int column)
{
  return PQgetisnull (res, row, column) ? OWD_TIME_NONE : get_int (res, row, column);
}

/* What one transaction writes. */
typedef struct {
  const OwdSample *samples;
  const OwdCount *counts;
  gsize n, n_counts;
  gsize n_excess; /* of the samples */
} Batch;

static gboolean
is_excess (const OwdSample *sample)
{
  return (sample->flags & OWD_SAMPLE_EXCESS) != 0;
}

/* What this store knows of a registered point. */
typedef struct {
  gint32 id;
  OwdStateKey key;
  char name[OWD_POINT_NAME];
} Point;

OwdStore *
owd_store_open (const char *conninfo, const char *program, GError **error)
{
  g_autoptr (OwdStore) self = g_new0 (OwdStore, 1);

  owd_conn_init (&self->conn, conninfo, program);
  self->claims = g_hash_table_new_full (NULL, NULL, NULL, g_free);
  self->points = g_array_new (FALSE, FALSE, sizeof (Point));
  self->paths = g_hash_table_new (NULL, NULL);
  self->slots = g_hash_table_new (NULL, NULL);
  self->batch_paths = g_array_new (FALSE, FALSE, sizeof (gint32));
  self->batch_order = g_array_new (FALSE, FALSE, sizeof (guint64));
  self->buffer = g_malloc (COPY_BUFFER);
  if (!owd_conn_ready (&self->conn, error) || !owd_migrate_check (&self->conn, error))
    return NULL;
  return g_steal_pointer (&self);
}

void
owd_store_free (OwdStore *self)
{
  if (self == NULL)
    return;
  owd_roller_free (self->roller);
  owd_conn_clear (&self->conn);
  g_hash_table_unref (self->claims);
  g_array_unref (self->points);
  g_hash_table_unref (self->paths);
  g_hash_table_unref (self->slots);
  g_array_unref (self->batch_paths);
  g_array_unref (self->batch_order);
  g_free (self->buffer);
  g_free (self);
}

/* ---- claims ------------------------------------------------------------------------------------ */

/* One database, one log: samples of two logs would share partitions and sequence numbers. */
static gboolean
check_log (OwdConn *conn, const char *uuid, guint n_parts, GError **error)
{
  static const char what[] = "comparing the log's identity";
  Number n;
  const char *const values[] = { uuid, unsigned_text (&n, n_parts) };
  g_autoptr (PGresult) put = NULL, res = NULL;

  put = owd_conn_query (conn, what, PGRES_COMMAND_OK,
                        "INSERT INTO owd.log (uuid, n_parts) VALUES ($1, $2) ON CONFLICT DO NOTHING", 2, values, error);
  if (put == NULL)
    return FALSE;
  res = owd_conn_query (conn, what, PGRES_TUPLES_OK, "SELECT uuid, n_parts FROM owd.log", 0, NULL, error);
  if (res == NULL)
    return FALSE;
  if (strcmp (PQgetvalue (res, 0, 0), uuid) == 0 && get_int (res, 0, 1) == (gint64) n_parts)
    return TRUE;
  g_set_error (error, OWD_ERROR, OWD_ERROR_DB,
               "%s has been filled from log %s with %s partitions, this is log %s with %u: give each log a database of "
               "its own, or give the old samples up with `DROP SCHEMA owd CASCADE` and `oneway db migrate`",
               conn->target, PQgetvalue (res, 0, 0), PQgetvalue (res, 0, 1), uuid, n_parts);
  return FALSE;
}

static PGresult *
take_partition (OwdConn *conn, const char *uuid, guint part, guint n_parts, GError **error)
{
  g_autofree char *what = g_strdup_printf ("claiming partition %u", part);
  Number n;
  const char *const values[] = { unsigned_text (&n, part), conn->program };
  g_autoptr (PGresult) put = NULL, res = NULL;

  /* The former owner's commit may be under way; one that hangs for good is an operator's business. */
  if (!owd_conn_run (conn, what, "BEGIN; SET LOCAL lock_timeout = '20s'", error)
      || !check_log (conn, uuid, n_parts, error))
    return NULL;
  put = owd_conn_query (conn, what, PGRES_COMMAND_OK,
                        "INSERT INTO owd.partition (part) VALUES ($1) ON CONFLICT DO NOTHING", 1, values, error);
  if (put == NULL)
    return NULL;
  res = owd_conn_query (conn, what, PGRES_TUPLES_OK,
                        "UPDATE owd.partition SET epoch = epoch + 1, owner = $2::text || ' pid ' || pg_backend_pid (),"
                        " claimed = now () WHERE part = $1 RETURNING epoch, log_offset, seq, watermark_ns, excess",
                        2, values, error);
  if (res == NULL || !owd_conn_commit (conn, what, error))
    return NULL;
  return g_steal_pointer (&res);
}

gboolean
owd_store_claim (OwdStore *self, const char *log_uuid, guint part, guint n_parts, OwdMark *ret_mark, GError **error)
{
  g_autoptr (PGresult) res = NULL;
  OwdClaim *claim;

  if (n_parts < 1 || n_parts > MAX_PARTS || part >= n_parts) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_DB,
                 "partition %u of %u: the store takes 1 to %d partitions, counted from 0", part, n_parts, MAX_PARTS);
    return FALSE;
  }
  if (!owd_conn_ready (&self->conn, error))
    return FALSE;
  res = take_partition (&self->conn, log_uuid, part, n_parts, error);
  if (res == NULL) {
    owd_conn_rollback (&self->conn);
    return FALSE;
  }
  claim = g_new0 (OwdClaim, 1);
  claim->epoch = get_int (res, 0, 0);
  claim->generation = self->conn.generation;
  claim->mark = (OwdMark){ .offset = (guint64) get_int (res, 0, 1),
                           .seq = (guint64) get_int (res, 0, 2),
                           .watermark = get_time (res, 0, 3),
                           .excess = (guint64) get_int (res, 0, 4) };
  claim->doubt = claim->mark;
  g_hash_table_insert (self->claims, GUINT_TO_POINTER (part), claim);
  *ret_mark = claim->mark;
  return TRUE;
}

static gboolean
same_mark (const OwdMark *a, const OwdMark *b)
{
  return a->offset == b->offset && a->seq == b->seq && a->excess == b->excess && a->watermark == b->watermark;
}

static gboolean
fenced (const OwdConn *conn, guint part, GError **error)
{
  g_set_error (error, OWD_ERROR, OWD_ERROR_FENCED,
               "%s: partition %u belongs to another process now; nothing was written by this one", conn->target, part);
  return FALSE;
}

/* After a reconnect: what became of the last commit. The server may still be at it, with the row locked: FOR SHARE
 * waits for its end. */
static gboolean
settle_claim (OwdConn *conn, guint part, OwdClaim *claim, GError **error)
{
  Number n;
  const char *const values[] = { unsigned_text (&n, part) };
  g_autoptr (PGresult) res = NULL;
  OwdMark found;

  if (claim->generation == conn->generation)
    return TRUE;
  res = owd_conn_query (
      conn, "reading a partition's mark", PGRES_TUPLES_OK,
      "SELECT epoch, log_offset, seq, watermark_ns, excess FROM owd.partition WHERE part = $1 FOR SHARE", 1, values,
      error);
  if (res == NULL)
    return FALSE;
  if (PQntuples (res) == 0 || get_int (res, 0, 0) != claim->epoch)
    return fenced (conn, part, error);
  found = (OwdMark){ .offset = (guint64) get_int (res, 0, 1),
                     .seq = (guint64) get_int (res, 0, 2),
                     .watermark = get_time (res, 0, 3),
                     .excess = (guint64) get_int (res, 0, 4) };
  if (!same_mark (&found, &claim->mark) && !same_mark (&found, &claim->doubt)) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_DB,
                 "%s: partition %u stands at sample %" G_GUINT64_FORMAT ", although %" G_GUINT64_FORMAT
                 " was confirmed (restored from a backup?): start the correlator again, it goes on from there",
                 conn->target, part, found.seq, claim->mark.seq);
    return FALSE;
  }
  claim->mark = found;
  claim->generation = conn->generation;
  return TRUE;
}

/* ---- points, paths, tables --------------------------------------------------------------------- */

/* The id that `get` finds, after `put` where there is none yet. */
static gboolean
get_or_put (OwdConn *conn, const char *what, const char *get, const char *put, int n, const char *const *values,
            gint32 *ret_id, GError **error)
{
  for (int attempt = 0; attempt < 2; attempt++) {
    g_autoptr (PGresult) res = owd_conn_query (conn, what, PGRES_TUPLES_OK, get, n, values, error);
    g_autoptr (PGresult) done = NULL;

    if (res == NULL)
      return FALSE;
    if (PQntuples (res) > 0) {
      *ret_id = (gint32) get_int (res, 0, 0);
      return TRUE;
    }
    done = owd_conn_query (conn, what, PGRES_COMMAND_OK, put, n, values, error);
    if (done == NULL)
      return FALSE;
  }
  g_set_error (error, OWD_ERROR, OWD_ERROR_DB, "%s: %s: the row vanished at once", conn->target, what);
  return FALSE;
}

static gboolean
add_point (OwdStore *self, const OwdPoint *point, GError **error)
{
  char addr[OWD_ADDR_TEXT];
  Number domain, version;
  const char *const values[] = { owd_addr_text (&point->key.addr, addr), unsigned_text (&domain, point->key.domain),
                                 unsigned_text (&version, point->key.version) };
  Point known = { .key = point->key };

  if (!get_or_put (&self->conn, "registering an observation point",
                   "SELECT point_id FROM owd.point WHERE addr = $1::inet AND domain = $2 AND version = $3",
                   "INSERT INTO owd.point (addr, domain, version, name) VALUES ($1::inet, $2, $3, $1)"
                   " ON CONFLICT DO NOTHING",
                   G_N_ELEMENTS (values), values, &known.id, error))
    return FALSE;
  g_array_append_val (self->points, known);
  return TRUE;
}

static gboolean
name_point (OwdStore *self, Point *known, const char *name, GError **error)
{
  Number id;
  const char *const values[] = { signed_text (&id, known->id), name };
  g_autoptr (PGresult) res
      = owd_conn_query (&self->conn, "naming an observation point", PGRES_COMMAND_OK,
                        "UPDATE owd.point SET name = $2 WHERE point_id = $1 AND name <> $2", 2, values, error);

  if (res != NULL)
    g_strlcpy (known->name, name, sizeof known->name);
  return res != NULL;
}

gboolean
owd_store_points (OwdStore *self, const OwdPoint *points, gsize n, GError **error)
{
  for (gsize i = 0; i < n; i++) {
    gboolean known = i < self->points->len;

    if (known && strcmp (g_array_index (self->points, Point, i).name, points[i].name) == 0)
      continue;
    if (!owd_conn_ready (&self->conn, error) || (!known && !add_point (self, &points[i], error))
        || !name_point (self, &g_array_index (self->points, Point, i), points[i].name, error))
      return FALSE;
  }
  return TRUE;
}

static gpointer
path_key (guint32 src, guint32 dst)
{
  return GSIZE_TO_POINTER ((gsize) src << 32 | dst);
}

void
owd_store_set_floor (OwdStore *self, OwdFloorFunc floor, const void *user)
{
  self->floor = floor;
  self->floor_user = user;
}

/* Settings may have changed since the path was made. */
static gboolean
put_floor (OwdStore *self, gint32 path, const Point *src, const Point *dst, GError **error)
{
  gint64 floor_ns = self->floor != NULL ? self->floor (self->floor_user, &src->key, &dst->key) : 0;
  Number id, floor;
  const char *const values[] = { signed_text (&id, path), floor_ns > 0 ? signed_text (&floor, floor_ns) : NULL };
  g_autoptr (PGresult) res = NULL;

  if (self->floor == NULL)
    return TRUE;
  res = owd_conn_query (&self->conn, "noting the least delay of a path", PGRES_COMMAND_OK,
                        "UPDATE owd.path SET floor_ns = $2 WHERE path_id = $1 AND floor_ns IS DISTINCT FROM $2", 2,
                        values, error);
  return res != NULL;
}

static gboolean
add_path (OwdStore *self, guint32 src_point, guint32 dst_point, GError **error)
{
  const Point *from, *to;
  Number src, dst;
  const char *values[2];
  gint32 id;

  if (src_point >= self->points->len || dst_point >= self->points->len) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_FAILED, "observation point %u has no name yet",
                 MAX (src_point, dst_point));
    return FALSE;
  }
  from = &g_array_index (self->points, Point, src_point);
  to = &g_array_index (self->points, Point, dst_point);
  values[0] = signed_text (&src, from->id);
  values[1] = signed_text (&dst, to->id);
  if (!get_or_put (&self->conn, "registering a path", "SELECT path_id FROM owd.path WHERE src_id = $1 AND dst_id = $2",
                   "INSERT INTO owd.path (src_id, dst_id) VALUES ($1, $2) ON CONFLICT DO NOTHING", 2, values, &id,
                   error)
      || !put_floor (self, id, from, to, error))
    return FALSE;
  g_hash_table_insert (self->paths, path_key (src_point, dst_point), GINT_TO_POINTER (id));
  return TRUE;
}

/* Id of a path, made where it is new. */
static gboolean
resolve_path (OwdStore *self, guint32 src, guint32 dst, gint32 *ret_id, GError **error)
{
  gpointer id = g_hash_table_lookup (self->paths, path_key (src, dst));

  if (id == NULL) {
    if (!add_path (self, src, dst, error))
      return FALSE;
    id = g_hash_table_lookup (self->paths, path_key (src, dst));
  }
  *ret_id = GPOINTER_TO_INT (id);
  return TRUE;
}

/* Of the samples, then of the counts. */
static gboolean
resolve_paths (OwdStore *self, const Batch *b, GError **error)
{
  gint32 *ids;

  g_array_set_size (self->batch_paths, (guint) (b->n + b->n_counts));
  ids = (gint32 *) self->batch_paths->data;
  for (gsize i = 0; i < b->n; i++)
    if (!resolve_path (self, b->samples[i].src, b->samples[i].dst, &ids[i], error))
      return FALSE;
  for (gsize i = 0; i < b->n_counts; i++)
    if (!resolve_path (self, b->counts[i].src, b->counts[i].dst, &ids[b->n + i], error))
      return FALSE;
  return TRUE;
}

static gboolean
add_slot (OwdStore *self, gint64 slot, OwdTime ts, GError **error)
{
  Number n;
  const char *const values[] = { signed_text (&n, ts) };
  g_autoptr (PGresult) res = owd_conn_query (&self->conn, "making the tables of a time range", PGRES_TUPLES_OK,
                                             "SELECT owd.add_samples (owd.ts_of_ns ($1))", 1, values, error);

  if (res != NULL)
    g_hash_table_add (self->slots, GSIZE_TO_POINTER ((gsize) slot));
  return res != NULL;
}

/* What is delivered is in order of time: a slot is asked for once. */
static gboolean
ensure_slot (OwdStore *self, OwdTime ts, gint64 *last, GError **error)
{
  gint64 slot = owd_copy_slot (ts);
  gboolean known = slot == *last || g_hash_table_contains (self->slots, GSIZE_TO_POINTER ((gsize) slot));

  *last = slot;
  return known || add_slot (self, slot, ts, error);
}

static gboolean
ensure_slots (OwdStore *self, const Batch *b, GError **error)
{
  gint64 last = G_MININT64;

  for (gsize i = 0; i < b->n; i++)
    if (!ensure_slot (self, b->samples[i].ts, &last, error))
      return FALSE;
  for (gsize i = 0; i < b->n_counts; i++)
    if (!ensure_slot (self, b->counts[i].ts, &last, error))
      return FALSE;
  return TRUE;
}

/* ---- commit ------------------------------------------------------------------------------------ */

/* What readers are promised, checked where it is cheap: numbers without gap, times that never decrease, nothing at or
 * before a watermark that was given. */
static gboolean
check_batch (guint part, const OwdMark *old, const OwdMark *new, const OwdSample *samples, gsize n, GError **error)
{
  const char *wrong = NULL;
  guint64 seq = old->seq, excess = old->excess;
  OwdTime ts = old->watermark == OWD_TIME_NONE ? OWD_TIME_NONE : old->watermark + 1;

  for (gsize i = 0; i < n && wrong == NULL; i++) {
    *(is_excess (&samples[i]) ? &excess : &seq) += 1;
    if (samples[i].seq != seq)
      wrong = "sequence numbers have a gap";
    else if (samples[i].ts < ts || samples[i].ts == OWD_TIME_NONE)
      wrong = "a sample lies before its predecessor or the watermark";
    ts = samples[i].ts;
  }
  if (wrong == NULL && (new->seq != seq || new->excess != excess))
    wrong = "the mark does not end at the last sample";
  if (wrong == NULL && (new->offset < old->offset || new->watermark < old->watermark))
    wrong = "offset or watermark go back";
  if (wrong == NULL && new->offset > G_MAXINT64)
    wrong = "the offset is out of range";
  if (wrong == NULL)
    return TRUE;
  g_set_error (error, OWD_ERROR, OWD_ERROR_FAILED, "partition %u, near sample %" G_GUINT64_FORMAT ": %s", part, seq,
               wrong);
  return FALSE;
}

/* The same of counts. */
static gboolean
check_counts (guint part, const OwdMark *old, const OwdMark *new, const OwdCount *counts, gsize n, GError **error)
{
  OwdTime ts = old->watermark == OWD_TIME_NONE ? OWD_TIME_NONE + 1 : old->watermark + 1;

  for (gsize i = 0; i < n; i++) {
    if (counts[i].ts < ts || counts[i].ts > new->watermark || counts[i].lost > counts[i].sent) {
      g_set_error (error, OWD_ERROR, OWD_ERROR_FAILED,
                   "partition %u, count %" G_GSIZE_FORMAT ": not between the watermarks, or more lost than sent", part,
                   i);
      return FALSE;
    }
    ts = counts[i].ts;
  }
  return TRUE;
}

static gboolean
put_mark (OwdConn *conn, guint part, const OwdClaim *claim, const OwdMark *mark, OwdTime first, OwdTime last,
          OwdTime log_time, GError **error)
{
  Number n[11];
  const char *const values[] = { unsigned_text (&n[0], part),
                                 signed_text (&n[1], claim->epoch),
                                 unsigned_text (&n[2], mark->offset),
                                 unsigned_text (&n[3], mark->seq),
                                 time_text (&n[4], mark->watermark),
                                 time_text (&n[5], log_time),
                                 time_text (&n[6], first),
                                 time_text (&n[7], last),
                                 unsigned_text (&n[8], mark->excess),
                                 unsigned_text (&n[9], mark->shed_ppm),
                                 signed_text (&n[10], mark->horizon_ns) };
  g_autoptr (PGresult) res = owd_conn_query (
      conn, "writing a partition's mark", PGRES_COMMAND_OK,
      "UPDATE owd.partition SET log_offset = $3, seq = $4, watermark_ns = $5,"
      " log_time_ns = coalesce ($6, log_time_ns), first_ts = coalesce (first_ts, owd.ts_of_ns ($7)),"
      " last_ts = coalesce (owd.ts_of_ns ($8), last_ts), excess = $9, shed_ppm = $10, horizon_ns = $11"
      " WHERE part = $1 AND epoch = $2",
      G_N_ELEMENTS (values), values, error);

  if (res == NULL)
    return FALSE;
  return strcmp (PQcmdTuples (res), "1") == 0 || fenced (conn, part, error);
}

/* COPY: rows are encoded into the buffer, which is sent whenever another one might not fit. */
typedef struct {
  OwdStore *store;
  const char *what;
  guint8 *p;
} Copy;

static gboolean
copy_begin (Copy *copy, OwdStore *self, const char *what, const char *sql, GError **error)
{
  *copy = (Copy){ .store = self, .what = what, .p = owd_copy_put_head (self->buffer) };
  return owd_conn_run (&self->conn, what, sql, error);
}

/* Makes room for so many bytes. */
static gboolean
copy_room (Copy *copy, gsize bytes, GError **error)
{
  guint8 *buffer = copy->store->buffer, *p = copy->p;

  if ((gsize) (p - buffer) + bytes <= COPY_BUFFER)
    return TRUE;
  copy->p = buffer;
  return owd_conn_copy_put (&copy->store->conn, copy->what, buffer, (gsize) (p - buffer), error);
}

static gboolean
copy_end (Copy *copy, GError **error)
{
  OwdConn *conn = &copy->store->conn;
  guint8 *buffer = copy->store->buffer;

  if (!copy_room (copy, OWD_COPY_TAIL_BYTES, error))
    return FALSE;
  copy->p = owd_copy_put_tail (copy->p);
  return owd_conn_copy_put (conn, copy->what, buffer, (gsize) (copy->p - buffer), error)
         && owd_conn_copy_end (conn, copy->what, error);
}

static int
by_number (const void *a, const void *b)
{
  const guint64 *x = a, *y = b;

  return *x < *y ? -1 : *x > *y;
}

/* Path << 32 | place in the batch. Rows of one path go beside each other, as they stand in the index on (path_id, ts):
 * in the order of delivery each would fall on another page of it, and cost the server half as much again. */
static const guint64 *
order_batch (OwdStore *self, const gint32 *ids, gsize n)
{
  guint64 *order;

  g_array_set_size (self->batch_order, (guint) n);
  order = (guint64 *) self->batch_order->data;
  for (gsize i = 0; i < n; i++)
    order[i] = (guint64) (guint32) ids[i] << 32 | i;
  qsort (order, n, sizeof *order, by_number);
  return order;
}

static gboolean
copy_samples (OwdStore *self, guint part, const Batch *b, GError **error)
{
  const gint32 *ids = (const gint32 *) self->batch_paths->data;
  const guint64 *order = order_batch (self, ids, b->n);
  Copy copy;

  if (!copy_begin (&copy, self, "copying samples", OWD_COPY_SQL, error))
    return FALSE;
  for (gsize i = 0; i < b->n; i++) {
    const OwdSample *sample = &b->samples[order[i] & G_MAXUINT32];

    if (is_excess (sample))
      continue;
    if (!copy_room (&copy, OWD_COPY_ROW_BYTES, error))
      return FALSE;
    copy.p = owd_copy_put_row (copy.p, sample, (gint16) part, (gint32) (order[i] >> 32));
  }
  return copy_end (&copy, error);
}

/* number: of the last one. */
static gboolean
copy_excess (OwdStore *self, guint part, const Batch *b, guint64 number, GError **error)
{
  const gint32 *ids = (const gint32 *) self->batch_paths->data;
  Copy copy;

  if (!copy_begin (&copy, self, "copying samples beyond raw-samples-per-minute", OWD_COPY_EXCESS_SQL, error))
    return FALSE;
  number -= b->n_excess;
  for (gsize i = 0; i < b->n; i++) {
    if (!is_excess (&b->samples[i]))
      continue;
    if (!copy_room (&copy, OWD_COPY_EXCESS_BYTES, error))
      return FALSE;
    copy.p = owd_copy_put_excess (copy.p, &b->samples[i], (gint16) part, ids[i], ++number);
  }
  return copy_end (&copy, error);
}

static gboolean
copy_counts (OwdStore *self, guint part, const Batch *b, GError **error)
{
  const gint32 *ids = (const gint32 *) self->batch_paths->data + b->n;
  Copy copy;

  if (!copy_begin (&copy, self, "copying counts", OWD_COPY_COUNT_SQL, error))
    return FALSE;
  for (gsize i = 0; i < b->n_counts; i++) {
    if (!copy_room (&copy, OWD_COPY_COUNT_BYTES, error))
      return FALSE;
    copy.p = owd_copy_put_count (copy.p, &b->counts[i], (gint16) part, ids[i]);
  }
  return copy_end (&copy, error);
}

static gboolean
write_batch (OwdStore *self, guint part, OwdClaim *claim, const Batch *b, const OwdMark *mark, OwdTime log_time,
             GError **error)
{
  OwdTime first = b->n > 0 ? b->samples[0].ts : OWD_TIME_NONE,
          last = b->n > 0 ? b->samples[b->n - 1].ts : OWD_TIME_NONE;

  if (!resolve_paths (self, b, error) || !ensure_slots (self, b, error)
      || !owd_conn_run (&self->conn, "opening a transaction", "BEGIN", error)
      || !put_mark (&self->conn, part, claim, mark, first, last, log_time, error)
      || (b->n > b->n_excess && !copy_samples (self, part, b, error))
      || (b->n_excess > 0 && !copy_excess (self, part, b, mark->excess, error))
      || (b->n_counts > 0 && !copy_counts (self, part, b, error)))
    return FALSE;
  claim->doubt = *mark;
  return owd_conn_commit (&self->conn, "committing samples", error);
}

/* Of a batch that is given again, the front may be there already. */
static void
skip_what_is_there (Batch *b, const OwdMark *there, const OwdMark *mark)
{
  guint64 excess = mark->excess;

  for (gsize i = 0; i < b->n; i++)
    b->n_excess += is_excess (&b->samples[i]);
  excess -= b->n_excess;
  while (b->n > 0 && (is_excess (b->samples) ? excess + 1 <= there->excess : b->samples->seq <= there->seq)) {
    excess += is_excess (b->samples);
    b->n_excess -= is_excess (b->samples);
    b->samples++;
    b->n--;
  }
}

gboolean
owd_store_commit (OwdStore *self, guint part, const OwdSample *samples, gsize n, const OwdCount *counts, gsize n_counts,
                  const OwdMark *mark, OwdTime log_time, GError **error)
{
  OwdClaim *claim = g_hash_table_lookup (self->claims, GUINT_TO_POINTER (part));
  Batch b = { samples, counts, n, n_counts, 0 };

  if (claim == NULL || n > G_MAXUINT / 2 || n_counts > G_MAXUINT / 2) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_FAILED, "partition %u: not claimed, or more samples than fit a batch",
                 part);
    return FALSE;
  }
  if (!owd_conn_ready (&self->conn, error) || !settle_claim (&self->conn, part, claim, error))
    return FALSE;
  if (same_mark (&claim->mark, mark))
    return TRUE;
  skip_what_is_there (&b, &claim->mark, mark);
  for (; b.n_counts > 0 && b.counts->ts <= claim->mark.watermark; b.n_counts--)
    b.counts++;
  if (!check_batch (part, &claim->mark, mark, b.samples, b.n, error)
      || !check_counts (part, &claim->mark, mark, b.counts, b.n_counts, error))
    return FALSE;
  if (!write_batch (self, part, claim, &b, mark, log_time, error)) {
    owd_conn_rollback (&self->conn);
    g_hash_table_remove_all (self->slots); /* one of their tables may have been dropped meanwhile */
    return FALSE;
  }
  claim->mark = *mark;
  return TRUE;
}

/* ---- exporters, retention ---------------------------------------------------------------------- */

static int
by_key (gconstpointer a, gconstpointer b)
{
  const OwdExporterRow *const *x = a, *const *y = b;

  return memcmp (&(*x)->key, &(*y)->key, sizeof (*x)->key);
}

/* NULL where the collector noted nothing. */
static const char *
noted_text (Number *buf, const OwdExporterRow *row, guint64 value)
{
  return row->is_noted ? unsigned_text (buf, MIN (value, G_MAXINT64)) : NULL;
}

static gboolean
put_exporter (OwdConn *conn, const OwdExporterRow *row, GError **error)
{
  char addr[OWD_ADDR_TEXT];
  Number n[22];
  const char *const values[] = { owd_addr_text (&row->key.addr, addr),
                                 unsigned_text (&n[0], row->key.domain),
                                 unsigned_text (&n[1], row->key.version),
                                 row->name,
                                 time_text (&n[2], row->first_ns),
                                 time_text (&n[3], row->last_ns),
                                 signed_text (&n[4], row->start_step_ns),
                                 signed_text (&n[12], row->end_step_ns),
                                 unsigned_text (&n[5], MIN (row->records, G_MAXINT64)),
                                 time_text (&n[6], row->boot_lo_ns),
                                 time_text (&n[7], row->boot_hi_ns),
                                 unsigned_text (&n[8], MIN (row->segments, G_MAXINT32)),
                                 time_text (&n[9], row->lag_p50_ns),
                                 time_text (&n[10], row->lag_p99_ns),
                                 unsigned_text (&n[11], row->sampling),
                                 noted_text (&n[13], row, row->datagrams),
                                 noted_text (&n[14], row, row->received),
                                 noted_text (&n[15], row, row->lost),
                                 noted_text (&n[16], row, row->reordered),
                                 noted_text (&n[17], row, row->restarts),
                                 noted_text (&n[18], row, row->given_up),
                                 noted_text (&n[19], row, row->malformed),
                                 noted_text (&n[20], row, row->over_limit),
                                 row->is_noted ? signed_text (&n[21], row->clock_lag_ns) : NULL };
  g_autoptr (PGresult) res = owd_conn_query (
      conn, "writing an exporter's row", PGRES_COMMAND_OK,
      "INSERT INTO owd.exporter AS e (addr, domain, version, name, first_ts, last_ts, start_step_ns, end_step_ns,"
      " records, boot_lo_ns,"
      " boot_hi_ns, segments, lag_p50_ns, lag_p99_ns, sampling, datagrams, received, lost, reordered, restarts,"
      " given_up, malformed, over_limit, clock_lag_ns) VALUES ($1::inet, $2, $3, $4,"
      " owd.ts_of_ns ($5), owd.ts_of_ns ($6), nullif ($7::bigint, 0), nullif ($8::bigint, 0), $9, $10, $11, $12, $13,"
      " $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)"
      " ON CONFLICT (addr, domain, version) DO UPDATE SET name = excluded.name, first_ts = excluded.first_ts,"
      " last_ts = excluded.last_ts, start_step_ns = excluded.start_step_ns,"
      " end_step_ns = excluded.end_step_ns, records = excluded.records,"
      " boot_lo_ns = excluded.boot_lo_ns, boot_hi_ns = excluded.boot_hi_ns, segments = excluded.segments,"
      " lag_p50_ns = excluded.lag_p50_ns, lag_p99_ns = excluded.lag_p99_ns, sampling = excluded.sampling,"
      " datagrams = coalesce (excluded.datagrams, e.datagrams), received = coalesce (excluded.received, e.received),"
      " lost = coalesce (excluded.lost, e.lost), reordered = coalesce (excluded.reordered, e.reordered),"
      " restarts = coalesce (excluded.restarts, e.restarts), given_up = coalesce (excluded.given_up, e.given_up),"
      " malformed = coalesce (excluded.malformed, e.malformed),"
      " over_limit = coalesce (excluded.over_limit, e.over_limit),"
      " clock_lag_ns = coalesce (excluded.clock_lag_ns, e.clock_lag_ns)",
      G_N_ELEMENTS (values), values, error);

  return res != NULL;
}

/* In the order of their keys, so that two writers cannot wait for each other in a circle. */
gboolean
owd_store_exporters (OwdStore *self, const OwdExporterRow *rows, gsize n, GError **error)
{
  static const char what[] = "writing exporters";
  g_autofree const OwdExporterRow **sorted = g_new (const OwdExporterRow *, n);
  gboolean fine;

  if (n == 0)
    return TRUE;
  for (gsize i = 0; i < n; i++)
    sorted[i] = &rows[i];
  qsort (sorted, n, sizeof *sorted, by_key);
  fine = owd_conn_ready (&self->conn, error) && owd_conn_run (&self->conn, what, "BEGIN", error);
  for (gsize i = 0; i < n && fine; i++)
    fine = put_exporter (&self->conn, sorted[i], error);
  fine = fine && owd_conn_commit (&self->conn, what, error);
  if (!fine)
    owd_conn_rollback (&self->conn);
  return fine;
}

gboolean
owd_store_collector (OwdStore *self, const OwdCollectorRow *row, GError **error)
{
  Number n[14];
  const char *const values[]
      = { time_text (&n[0], row->since_ns),           time_text (&n[1], row->at_ns),
          unsigned_text (&n[2], row->states),         unsigned_text (&n[3], row->max_states),
          unsigned_text (&n[4], row->kernel_dropped), unsigned_text (&n[5], row->buffer_asked),
          unsigned_text (&n[6], row->buffer_got),     unsigned_text (&n[7], row->disallowed),
          unsigned_text (&n[8], row->unattributed),   unsigned_text (&n[9], row->over_limit),
          unsigned_text (&n[10], row->log_dropped),   unsigned_text (&n[11], row->memory_used),
          unsigned_text (&n[12], row->memory_max),    unsigned_text (&n[13], row->memory_refused) };
  g_autoptr (PGresult) res = NULL;

  if (!owd_conn_ready (&self->conn, error))
    return FALSE;
  res = owd_conn_query (
      &self->conn, "writing the collector's row", PGRES_COMMAND_OK,
      "INSERT INTO owd.collection AS c (since, at, states, max_states, kernel_dropped, buffer_asked, buffer_got,"
      " disallowed, unattributed, over_limit, log_dropped, memory_used, memory_max, memory_refused)"
      " VALUES (owd.ts_of_ns ($1), owd.ts_of_ns ($2), $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
      " ON CONFLICT (one) DO UPDATE SET since = excluded.since, at = excluded.at, states = excluded.states,"
      " max_states = excluded.max_states, kernel_dropped = excluded.kernel_dropped,"
      " buffer_asked = excluded.buffer_asked, buffer_got = excluded.buffer_got, disallowed = excluded.disallowed,"
      " unattributed = excluded.unattributed, over_limit = excluded.over_limit, log_dropped = excluded.log_dropped,"
      " memory_used = excluded.memory_used, memory_max = excluded.memory_max, memory_refused = excluded.memory_refused",
      G_N_ELEMENTS (values), values, error);
  return res != NULL;
}

/* ---- roll-ups ---------------------------------------------------------------------------------- */

gboolean
owd_store_roll (OwdStore *self, gboolean patient, gboolean *ret_more, GError **error)
{
  if (!owd_conn_ready (&self->conn, error))
    return FALSE;
  if (self->roller == NULL)
    self->roller = owd_roller_new (&self->conn);
  if (owd_roller_run (self->roller, patient, ret_more, error))
    return TRUE;
  owd_conn_rollback (&self->conn);
  return FALSE;
}

/* ---- retention ------------------------------------------------------------------------------------ */

gboolean
owd_store_retain (OwdStore *self, const OwdRetention *keep, guint *ret_dropped, GError **error)
{
  const gint64 ns[]
      = { keep->samples_ns, keep->by_10s_ns, keep->by_1min_ns, keep->by_5min_ns, keep->by_1h_ns, keep->by_1d_ns };
  Number n[G_N_ELEMENTS (ns)];
  const char *values[G_N_ELEMENTS (ns)];
  g_autoptr (PGresult) set = NULL, res = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (ns); i++)
    values[i] = signed_text (&n[i], ns[i] / OWD_NS_PER_S);
  if (!owd_conn_ready (&self->conn, error))
    return FALSE;
  set = owd_conn_query (
      &self->conn, "setting retention", PGRES_COMMAND_OK,
      "UPDATE owd.resolution r SET keep = make_interval (secs => k.secs) FROM (VALUES (0, $1::bigint),"
      " (10, $2), (60, $3), (300, $4), (3600, $5), (86400, $6)) k (width, secs)"
      " WHERE k.width = r.width AND make_interval (secs => k.secs) <> r.keep",
      G_N_ELEMENTS (ns), values, error);
  if (set == NULL)
    return FALSE;
  res = owd_conn_query (&self->conn, "dropping old tables", PGRES_TUPLES_OK, "SELECT owd.retain ()", 0, NULL, error);
  if (res == NULL)
    return FALSE;
  *ret_dropped = (guint) get_int (res, 0, 0);
  if (*ret_dropped > 0)
    g_hash_table_remove_all (self->slots);
  return TRUE;
}

/* ---- events -------------------------------------------------------------------------------------- */

/* Numbers as JSON, whatever the locale. */
static void
append_rule (GString *json, const char *name, double value)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];

  g_string_append_printf (json, "%c\"%s\":%s", json->len == 0 ? '{' : ',', name,
                          g_ascii_dtostr (text, sizeof text, value));
}

gboolean
owd_store_evaluate (OwdStore *self, const OwdEventRules *rules, gboolean *ret_more, GError **error)
{
  g_autoptr (GString) json = g_string_new (NULL);
  g_autoptr (PGresult) res = NULL;
  const char *values[1];

  append_rule (json, "threshold_ms", (double) rules->threshold_ns / OWD_NS_PER_MS);
  append_rule (json, "level_shift_ms", (double) rules->level_shift_ns / OWD_NS_PER_MS);
  append_rule (json, "silent_s", (double) rules->silent_ns / OWD_NS_PER_S);
  append_rule (json, "stalled_s", (double) rules->stalled_ns / OWD_NS_PER_S);
  append_rule (json, "loss", rules->loss);
  append_rule (json, "distribution", rules->distribution);
  append_rule (json, "raise_after", rules->raise_after);
  append_rule (json, "clear_after", rules->clear_after);
  g_string_append_c (json, '}');
  values[0] = json->str;
  if (!owd_conn_ready (&self->conn, error))
    return FALSE;
  res = owd_conn_query (&self->conn, "evaluating events", PGRES_TUPLES_OK, "SELECT owd.evaluate_events ($1::jsonb)", 1,
                        values, error);
  if (res == NULL)
    return FALSE;
  *ret_more = strcmp (PQgetvalue (res, 0, 0), "t") == 0;
  return TRUE;
}
