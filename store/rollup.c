/* SPDX-License-Identifier: Apache-2.0
 *
 * Roll-ups: from samples that can no longer change to rows of owd.rollup, each sample exactly once.
 *
 * What may be rolled up is what the watermark of all partitions has passed: it is in the tables, whole, and nothing
 * will be added. So one transaction takes the minutes from where the last one ended (owd.resolution.filled_to) up to
 * there, reads their samples back, writes the bins that they make, and moves filled_to. Whatever dies when, filled_to
 * says which samples are in the bins; readers take the others from the samples themselves (sql/functions/bins.sql).
 * There is no state to lose: a restart, another process or a repeated call goes on from the row, whose lock makes two
 * of them take turns.
 *
 *   each call      indexes of samples that pay by now (owd.index_samples); 10 s and 1 min, in one row per path
 *   end of an hour the hour's rows of 10 s and of 1 min become one row each; 5 min and 1 h are made from them
 *   end of a day   the rows of 1 h become one; 1 d is made from them
 *   each minute    edges (owd.edge): sums from the begin of the hour to there, over what the call before has left
 * there; at its end also from each minute to the end, and those from the begin once more, 128 paths to a row
 *
 * Reading back rather than keeping sums at hand while samples are written: partitions commit on their own and know
 * nothing of each other, while a bin, and the order of samples for ipdv, is of all of them together.
 *
 * Cost: a call takes as many minutes, up to an hour, as have UNIT_SAMPLES or so; it holds them in memory, sorted. Per
 * sample the server reads a row and sends seven eighths of it; what it writes is small beside the samples. An hour that
 * is taken at once is written once, one that is taken minute by minute twice, so a backlog is taken by hours.
 */
#include "store-private.h"

#include "owd-wire.h"

#include <stdlib.h>

#define UNIT_SAMPLES 4500000 /* 72 bytes each; memory of more than KEPT_SAMPLES is given back */
#define KEPT_SAMPLES 500000
#define ROW_BYTES 108   /* of a sample in its table, for counting them by the table's size */
#define BACKLOG_SPEED 4 /* seconds of the watermark in a second */
#define GROUP_PATHS 128 /* whose earlier rows are in memory together */
#define COPY_BYTES (64 * 1024)
#define EDGE_PATHS 128 /* to a row of owd.edge */

#define US_PER_S G_GINT64_CONSTANT (1000000)
#define MINUTE_US (60 * US_PER_S)
#define HOUR_US (3600 * US_PER_S)
#define DAY_US (86400 * US_PER_S)
#define HOUR_MINUTES 60

enum { BY_10S, BY_1MIN, BY_5MIN, BY_1H, BY_1D, N_WIDTHS };
static const gint32 widths[N_WIDTHS] = { 10, 60, 300, 3600, 86400 };

struct OwdRoller {
  OwdConn *conn;
  gint64 day; /* whose tables are there */
  /* Where the watermark was at the last look, and when that was; a look may take several calls. */
  gint64 mark_us, looked_us;
  gboolean looking, knows_speed, has_backlog;
  GArray *seen;  /* OwdSeen, in order of path, then of delivery */
  GArray *tally; /* OwdTally, in order of path, ts */
  GArray *paths; /* gint32: rising, to be written */
  OwdBins bins[N_WIDTHS];
  OwdHist *hist;
  GByteArray *out;
  /* Edges of the paths from edge_base on: from the hour's begin to minute i, and from minute i to its end. */
  OwdBins heads[HOUR_MINUTES], tails[HOUR_MINUTES], earlier;
  gint32 edge_base;
  GByteArray *edges; /* rows that wait for their COPY */
};

/* What one transaction does. */
typedef struct {
  gint64 from_us, to_us; /* minutes to take */
  gint64 hour_us;        /* begin of their hour */
  gint64 row_us;         /* begin of the rows to be written */
  gboolean ends_hour, ends_day, continues_hour;
  gboolean has_edges; /* FALSE: those of the minutes before are not there */
} Unit;

OwdRoller *
owd_roller_new (OwdConn *conn)
{
  OwdRoller *self = g_new0 (OwdRoller, 1);

  self->conn = conn;
  self->day = G_MININT64;
  self->mark_us = G_MAXINT64;
  self->seen = g_array_new (FALSE, FALSE, sizeof (OwdSeen));
  self->tally = g_array_new (FALSE, FALSE, sizeof (OwdTally));
  self->paths = g_array_new (FALSE, FALSE, sizeof (gint32));
  for (guint i = 0; i < N_WIDTHS; i++)
    owd_bins_init (&self->bins[i]);
  for (guint i = 0; i < HOUR_MINUTES; i++) {
    owd_bins_init (&self->heads[i]);
    owd_bins_init (&self->tails[i]);
  }
  owd_bins_init (&self->earlier);
  self->hist = owd_hist_new ();
  self->out = g_byte_array_new ();
  self->edges = g_byte_array_new ();
  return self;
}

void
owd_roller_free (OwdRoller *self)
{
  if (self == NULL)
    return;
  g_array_unref (self->seen);
  g_array_unref (self->tally);
  g_array_unref (self->paths);
  for (guint i = 0; i < N_WIDTHS; i++)
    owd_bins_clear (&self->bins[i]);
  for (guint i = 0; i < HOUR_MINUTES; i++) {
    owd_bins_clear (&self->heads[i]);
    owd_bins_clear (&self->tails[i]);
  }
  owd_bins_clear (&self->earlier);
  owd_hist_free (self->hist);
  g_byte_array_unref (self->out);
  g_byte_array_unref (self->edges);
  g_free (self);
}

static gint64
floor_to (gint64 us, gint64 step_us)
{
  gint64 rest = us % step_us;

  return us - (rest < 0 ? rest + step_us : rest);
}

/* An instant as a literal; whole seconds. */
static char *
instant (gint64 us)
{
  g_autoptr (GDateTime) t = g_date_time_new_from_unix_utc (us / US_PER_S);

  return t != NULL ? g_date_time_format (t, "timestamptz '%Y-%m-%d %H:%M:%S+00'") : g_strdup ("timestamptz 'infinity'");
}

static gint64
get_us (const PGresult *res, int row, int column)
{
  return PQgetisnull (res, row, column) ? G_MININT64 : g_ascii_strtoll (PQgetvalue (res, row, column), NULL, 10);
}

/* ---- what there is to do ------------------------------------------------------------------------- */

#define US_OF(ts) "CASE WHEN isfinite (" ts ") THEN (extract (epoch FROM " ts ") * 1000000)::bigint END"

/* The first call of a look says whether the watermark runs as one of a log that is worked off after the fact. */
static void
note_speed (OwdRoller *self, gint64 mark_us)
{
  gint64 now_us = g_get_monotonic_time ();

  if (self->looking)
    return;
  self->knows_speed = self->looked_us != 0;
  self->has_backlog = mark_us > self->mark_us && mark_us - self->mark_us > BACKLOG_SPEED * (now_us - self->looked_us);
  self->mark_us = mark_us == G_MININT64 ? G_MAXINT64 : mark_us;
  self->looked_us = now_us;
}

/* Lets tables have the indexes that pay by now: those of hours that the watermark has passed, all where there is no
 * backlog. In a transaction of its own, and before their samples are read. */
static gboolean
index_samples (OwdRoller *self, gint64 mark_us, gboolean patient, gboolean *ret_more, GError **error)
{
  gboolean all = !patient || (self->knows_speed && !self->has_backlog);
  g_autofree char *upto = NULL, *sql = NULL;
  g_autoptr (PGresult) res = NULL;

  if (!all && mark_us == G_MININT64)
    return TRUE;
  upto = instant (all ? G_MAXINT64 : floor_to (mark_us + 1, HOUR_US));
  sql = g_strdup_printf ("SELECT owd.index_samples (%s)", upto);
  res = owd_conn_query (self->conn, "making indexes of samples", PGRES_TUPLES_OK, sql, 0, NULL, error);
  if (res != NULL)
    *ret_more |= strcmp (PQgetvalue (res, 0, 0), "t") == 0;
  return res != NULL;
}

static gboolean
look (OwdRoller *self, gboolean patient, gboolean *ret_more, GError **error)
{
  g_autoptr (PGresult) res = owd_conn_query (self->conn, "looking at the watermark", PGRES_TUPLES_OK,
                                             "SELECT " US_OF ("ts") " FROM owd.watermark", 0, NULL, error);

  if (res == NULL)
    return FALSE;
  note_speed (self, get_us (res, 0, 0));
  return index_samples (self, get_us (res, 0, 0), patient, ret_more, error);
}

/* Takes the lock that other rollers wait for. *ret_from: end of what is rolled up, or the first table with anything
 * behind it; *ret_until: the last whole minute that the watermark has passed, the last whole hour in a backlog;
 * *ret_edges: end of what there are edges of. */
static gboolean
find_range (OwdRoller *self, gboolean patient, gint64 *ret_from, gint64 *ret_until, gint64 *ret_edges, GError **error)
{
  static const char what[] = "looking for what to roll up";
  g_autoptr (PGresult) filled = NULL, rest = NULL;
  gint64 from, next, mark;

  filled = owd_conn_query (self->conn, what, PGRES_TUPLES_OK,
                           "SELECT " US_OF ("filled_to") " FROM owd.resolution WHERE width = 60 FOR UPDATE", 0, NULL,
                           error);
  if (filled == NULL)
    return FALSE;
  /* a new statement sees what the former holder of the lock has done; the one above might not */
  rest = owd_conn_query (
      self->conn, what, PGRES_TUPLES_OK,
      "SELECT " US_OF ("r.filled_to") ", " US_OF ("w.ts") ", " US_OF ("greatest (t.lo, r.filled_to)") ", " US_OF (
          "e.filled_to") " FROM owd.resolution r JOIN owd.resolution e ON e.width = -1 CROSS JOIN owd.watermark w LEFT "
                         "JOIN LATERAL (SELECT min (t.lo) AS lo"
                         " FROM unnest (ARRAY['owd.sample', 'owd.excess', "
                         "'owd.tally']::regclass[]) p (parent),"
                         " LATERAL owd.tables_of (p.parent) t WHERE t.hi > "
                         "r.filled_to) t ON true WHERE r.width = 60",
      0, NULL, error);
  if (rest == NULL)
    return FALSE;
  from = get_us (rest, 0, 0);
  mark = get_us (rest, 0, 1);
  next = get_us (rest, 0, 2);
  *ret_edges = get_us (rest, 0, 3);
  *ret_until = mark == G_MININT64 ? mark : floor_to (mark + 1, patient && self->has_backlog ? HOUR_US : MINUTE_US);
  if (next == G_MININT64) /* nothing was ever delivered behind `from` */
    next = from == G_MININT64 ? *ret_until : MAX (from, floor_to (*ret_until, HOUR_US));
  /* over hours without a table, but not over the end of a day that has something in it */
  if (from == G_MININT64)
    from = next;
  else if (from % HOUR_US == 0 && next > from)
    from = from % DAY_US == 0 ? floor_to (next, HOUR_US)
                              : MIN (floor_to (next, HOUR_US), floor_to (from, DAY_US) + DAY_US - HOUR_US);
  *ret_from = MIN (from, *ret_until);
  return TRUE;
}

/* What is good for memory, in whole minutes: samples lie evenly enough in their tables. */
static gboolean
find_span (OwdRoller *self, gint64 from, gint64 *ret_span_us, GError **error)
{
  g_autofree char *at = instant (from);
  g_autofree char *sql
      = g_strdup_printf ("SELECT coalesce (sum (pg_relation_size (format ('owd.%%I', t.name)::regclass) / %d"
                         " * 60 / extract (epoch FROM t.hi - t.lo)), 0)::bigint FROM unnest (ARRAY['owd.sample', "
                         "'owd.excess']::regclass[])"
                         " p (parent), LATERAL owd.tables_of (p.parent) t WHERE t.lo <= %s AND t.hi > %s",
                         ROW_BYTES, at, at);
  g_autoptr (PGresult) res
      = owd_conn_query (self->conn, "counting what to roll up", PGRES_TUPLES_OK, sql, 0, NULL, error);
  gint64 per_minute;

  if (res == NULL)
    return FALSE;
  per_minute = MAX (g_ascii_strtoll (PQgetvalue (res, 0, 0), NULL, 10), 1);
  *ret_span_us = CLAMP (UNIT_SAMPLES / per_minute, 1, 60) * MINUTE_US;
  return TRUE;
}

static void
plan_unit (gint64 from, gint64 until, gint64 span_us, gint64 edges, Unit *ret)
{
  *ret = (Unit){ .from_us = from, .hour_us = floor_to (from, HOUR_US) };
  ret->to_us = MIN (MIN (until, from + span_us), ret->hour_us + HOUR_US);
  ret->ends_hour = ret->to_us == ret->hour_us + HOUR_US;
  ret->ends_day = ret->ends_hour && floor_to (ret->to_us, DAY_US) == ret->to_us;
  ret->continues_hour = from > ret->hour_us;
  ret->row_us = ret->ends_hour ? ret->hour_us : from;
  ret->has_edges = ret->ends_hour || !ret->continues_hour || edges == from;
}

/* ---- reading ------------------------------------------------------------------------------------ */

static int
by_delivery (const void *a, const void *b)
{
  const OwdSeen *x = a, *y = b;

  if (x->path_id != y->path_id)
    return x->path_id < y->path_id ? -1 : 1;
  if (x->ts_us != y->ts_us)
    return x->ts_us < y->ts_us ? -1 : 1;
  if (x->part != y->part)
    return x->part < y->part ? -1 : 1;
  if (x->seq != y->seq)
    return x->seq < y->seq ? -1 : 1;
  return x->nr < y->nr ? -1 : x->nr > y->nr;
}

static int
by_path (const void *a, const void *b)
{
  const OwdTally *x = a, *y = b;

  if (x->path_id != y->path_id)
    return x->path_id < y->path_id ? -1 : 1;
  return x->ts_us < y->ts_us ? -1 : x->ts_us > y->ts_us;
}

static guint64
field (OwdWire *w)
{
  guint32 len = owd_wire_u32 (w);
  const guint8 *p = len <= 8 ? owd_wire_take (w, len) : NULL;

  w->failed |= p == NULL;
  return p != NULL ? owd_be (p, len) : 0;
}

static void
take_seen (OwdRoller *self, OwdWire *w, guint n_fields)
{
  OwdSeen s = { .ts_us = (gint64) field (w) + OWD_PG_EPOCH_US };

  s.owd_ns = (gint64) field (w);
  s.lo_ns = (gint64) field (w);
  s.hi_ns = (gint64) field (w);
  s.sigma_ns = (gint64) field (w);
  s.bias_ns = (gint64) field (w);
  s.seq = field (w);
  s.path_id = (gint32) field (w);
  s.part = (gint16) field (w);
  s.nr = n_fields > 9 ? (gint64) field (w) : 0;
  g_array_append_val (self->seen, s);
}

static void
take_tally (OwdRoller *self, OwdWire *w, guint n_fields)
{
  OwdTally t = { .ts_us = (gint64) field (w) + OWD_PG_EPOCH_US };

  (void) n_fields;
  t.sent = field (w);
  t.lost = field (w);
  t.late = field (w);
  t.path_id = (gint32) field (w);
  g_array_append_val (self->tally, t);
}

/* COPY (SELECT columns FROM table, range) TO STDOUT: each row to `take`. */
static gboolean
read_rows (OwdRoller *self, const Unit *u, const char *columns, const char *table,
           void (*take) (OwdRoller *self, OwdWire *w, guint n_fields), GError **error)
{
  g_autofree char *from = instant (u->from_us), *to = instant (u->to_us);
  g_autofree char *what = g_strdup_printf ("reading back owd.%s", table);
  g_autofree char *sql = g_strdup_printf (
      "COPY (SELECT %s FROM owd.%s WHERE ts >= %s AND ts < %s) TO STDOUT (FORMAT binary)", columns, table, from, to);
  gboolean head = FALSE;
  const guint8 *data;
  gsize len;

  if (!owd_conn_run (self->conn, what, sql, error))
    return FALSE;
  for (;;) {
    OwdWire w;
    guint n_fields;

    if (!owd_conn_copy_get (self->conn, what, &data, &len, error))
      return FALSE;
    if (data == NULL)
      return TRUE;
    w = owd_wire (data, len);
    if (!head)
      (void) owd_wire_take (&w, OWD_COPY_HEAD_BYTES);
    head = TRUE;
    n_fields = owd_wire_left (&w) > 0 ? owd_wire_u16 (&w) : G_MAXUINT16;
    if (n_fields != G_MAXUINT16)
      take (self, &w, n_fields);
    if (w.failed) {
      g_set_error (error, OWD_ERROR, OWD_ERROR_DB, "%s: %s: a row that is no row", self->conn->target, what);
      return FALSE;
    }
  }
}

#define SEEN_COLUMNS "ts, owd_ns, lo_ns, hi_ns, sigma_ns, bias_ns, seq, path_id, part"

static gboolean
read_samples (OwdRoller *self, const Unit *u, GError **error)
{
  g_array_set_size (self->seen, 0);
  g_array_set_size (self->tally, 0);
  if (!read_rows (self, u, SEEN_COLUMNS, "sample", take_seen, error)
      || !read_rows (self, u, SEEN_COLUMNS ", nr", "excess", take_seen, error)
      || !read_rows (self, u, "ts, sent, lost, late, path_id", "tally", take_tally, error))
    return FALSE;
  if (self->seen->len > 1)
    qsort (self->seen->data, self->seen->len, sizeof (OwdSeen), by_delivery);
  if (self->tally->len > 1)
    qsort (self->tally->data, self->tally->len, sizeof (OwdTally), by_path);
  return TRUE;
}

/* Memory that only a backlog needs is given back. */
static void
shrink (GArray **array)
{
  guint size = g_array_get_element_size (*array);

  if ((*array)->len <= KEPT_SAMPLES)
    return;
  g_array_unref (*array);
  *array = g_array_new (FALSE, FALSE, size);
}

/* ---- paths -------------------------------------------------------------------------------------- */

static int
by_id (const void *a, const void *b)
{
  const gint32 *x = a, *y = b;

  return *x < *y ? -1 : *x > *y;
}

static void
sort_paths (OwdRoller *self)
{
  gint32 *ids = (gint32 *) self->paths->data;
  guint n = 0;

  if (self->paths->len < 2)
    return;
  qsort (ids, self->paths->len, sizeof *ids, by_id);
  for (guint i = 0; i < self->paths->len; i++)
    if (n == 0 || ids[n - 1] != ids[i])
      ids[n++] = ids[i];
  g_array_set_size (self->paths, n);
}

static gboolean
add_paths (OwdRoller *self, const char *sql, GError **error)
{
  g_autoptr (PGresult) res
      = owd_conn_query (self->conn, "looking for paths with roll-ups", PGRES_TUPLES_OK, sql, 0, NULL, error);

  if (res == NULL)
    return FALSE;
  for (int i = 0; i < PQntuples (res); i++) {
    gint32 id = (gint32) g_ascii_strtoll (PQgetvalue (res, i, 0), NULL, 10);

    g_array_append_val (self->paths, id);
  }
  return TRUE;
}

/* Paths that have rows of that width which begin in [from, to). */
static gboolean
add_paths_of (OwdRoller *self, gint32 width, gint64 from_us, gint64 to_us, GError **error)
{
  g_autofree char *from = instant (from_us), *to = instant (to_us);
  g_autofree char *sql = g_strdup_printf ("SELECT DISTINCT path_id FROM owd.rollup WHERE width = %d AND start >= %s"
                                          " AND start < %s",
                                          width, from, to);

  return add_paths (self, sql, error);
}

/* Paths whose sums from the hour's begin go on from where the call before has left them. */
static gboolean
add_paths_with_edges (OwdRoller *self, const Unit *u, GError **error)
{
  g_autofree char *hour = instant (u->hour_us);
  g_autofree char *sql = g_strdup_printf ("SELECT path_id + unnest (at) FROM owd.edge WHERE start = %s AND width = %d",
                                          hour, (int) ((u->from_us - u->hour_us) / US_PER_S));

  return add_paths (self, sql, error);
}

static gboolean
find_paths (OwdRoller *self, const Unit *u, GError **error)
{
  gint32 last = 0;

  g_array_set_size (self->paths, 0);
  for (guint i = 0; i < self->seen->len; i++) {
    gint32 id = g_array_index (self->seen, OwdSeen, i).path_id;

    if (i == 0 || id != last)
      g_array_append_val (self->paths, id);
    last = id;
  }
  for (guint i = 0; i < self->tally->len; i++) {
    gint32 id = g_array_index (self->tally, OwdTally, i).path_id;

    if (i == 0 || id != last)
      g_array_append_val (self->paths, id);
    last = id;
  }
  if (u->ends_hour && u->continues_hour && !add_paths_of (self, 60, u->hour_us, u->from_us, error))
    return FALSE;
  if (!u->ends_hour && u->continues_hour && u->has_edges && !add_paths_with_edges (self, u, error))
    return FALSE;
  sort_paths (self);
  return TRUE;
}

/* ---- earlier rows ------------------------------------------------------------------------------- */

/* A result's rows in order of path, width, start: DELETE promises none. */
typedef struct {
  gint32 path_id, width;
  gint64 start_us;
  int row;
} Earlier;

static int
by_path_width_start (const void *a, const void *b)
{
  const Earlier *x = a, *y = b;

  if (x->path_id != y->path_id)
    return x->path_id < y->path_id ? -1 : 1;
  if (x->width != y->width)
    return x->width < y->width ? -1 : 1;
  return x->start_us < y->start_us ? -1 : x->start_us > y->start_us;
}

static guint64
binary (const PGresult *res, int row, int column)
{
  OwdWire w = owd_wire (PQgetvalue (res, row, column), (gsize) PQgetlength (res, row, column));

  return owd_be (w.p, MIN (owd_wire_left (&w), 8));
}

/* Takes the rows of these paths and widths (SQL list) that begin in [from, to) out of the table. */
static PGresult *
take_rows (OwdRoller *self, const gint32 *ids, guint n_ids, const char *list, gint64 from_us, gint64 to_us,
           GArray *ret_order, GError **error)
{
  g_autoptr (GString) array = g_string_new ("{");
  g_autofree char *from = instant (from_us), *to = instant (to_us);
  g_autofree char *sql
      = g_strdup_printf ("DELETE FROM owd.rollup WHERE width IN (%s) AND path_id = ANY ($1::integer[])"
                         " AND start >= %s AND start < %s RETURNING path_id, width, start, " OWD_BIN_COLUMNS,
                         list, from, to);
  const char *values[1];
  PGresult *res;

  for (guint i = 0; i < n_ids; i++)
    g_string_append_printf (array, "%s%d", i > 0 ? "," : "", ids[i]);
  g_string_append_c (array, '}');
  values[0] = array->str;
  res = owd_conn_fetch (self->conn, "putting roll-ups together", sql, 1, values, error);
  g_array_set_size (ret_order, 0);
  for (int i = 0; res != NULL && i < PQntuples (res); i++) {
    Earlier e = { .path_id = (gint32) binary (res, i, 0),
                  .width = (gint32) binary (res, i, 1),
                  .start_us = (gint64) binary (res, i, 2) + OWD_PG_EPOCH_US,
                  .row = i };

    g_array_append_val (ret_order, e);
  }
  if (ret_order->len > 1)
    qsort (ret_order->data, ret_order->len, sizeof (Earlier), by_path_width_start);
  return res;
}

/* Bins of the path at *next, of one width, counted from origin_us. */
static gboolean
get_bins (OwdRoller *self, const PGresult *res, const GArray *order, guint *next, gint32 path_id, gint32 width,
          gint64 origin_us, OwdBins *ret, GError **error)
{
  for (; *next < order->len; (*next)++) {
    const Earlier *e = &g_array_index (order, Earlier, *next);

    if (e->path_id != path_id || e->width != width)
      return TRUE;
    if (!owd_bins_get_row (ret, res, e->row, 3, (guint32) ((e->start_us - origin_us) / (width * US_PER_S)))) {
      g_set_error (error, OWD_ERROR, OWD_ERROR_DB, "%s: a row of owd.rollup for path %d does not hold what it should",
                   self->conn->target, path_id);
      return FALSE;
    }
  }
  return TRUE;
}

/* ---- writing ------------------------------------------------------------------------------------ */

static const char writing[] = "writing roll-ups";

static gboolean
begin_rows (OwdRoller *self, GError **error)
{
  g_byte_array_set_size (self->out, OWD_COPY_HEAD_BYTES);
  (void) owd_copy_put_head (self->out->data);
  return owd_conn_run (self->conn, writing, OWD_COPY_BINS_SQL, error);
}

static gboolean
put_rows (OwdRoller *self, guint by, gint32 path_id, gint64 start_us, GError **error)
{
  owd_bins_put_row (self->out, &self->bins[by], widths[by], path_id, start_us);
  if (self->out->len < COPY_BYTES)
    return TRUE;
  if (!owd_conn_copy_put (self->conn, writing, self->out->data, self->out->len, error))
    return FALSE;
  g_byte_array_set_size (self->out, 0);
  return TRUE;
}

static gboolean
end_rows (OwdRoller *self, GError **error)
{
  guint len = self->out->len;

  g_byte_array_set_size (self->out, len + OWD_COPY_TAIL_BYTES);
  (void) owd_copy_put_tail (self->out->data + len);
  return owd_conn_copy_put (self->conn, writing, self->out->data, self->out->len, error)
         && owd_conn_copy_end (self->conn, writing, error);
}

static void
coarsen (OwdRoller *self, guint by)
{
  owd_bins_coarsen (&self->bins[by], self->hist, &self->bins[by - 1], (guint) (widths[by] / widths[by - 1]));
}

/* Samples and tallies up to the path's last ones, as bins of 10 s behind what is there. */
static void
fill_path (OwdRoller *self, const Unit *u, gint32 path_id, guint *seen, guint *tally)
{
  const OwdSeen *s = &g_array_index (self->seen, OwdSeen, *seen);
  const OwdTally *t = &g_array_index (self->tally, OwdTally, *tally);
  gsize n = 0, m = 0;

  while (*seen + n < self->seen->len && s[n].path_id == path_id)
    n++;
  while (*tally + m < self->tally->len && t[m].path_id == path_id)
    m++;
  if (n + m > 0)
    owd_bins_fill (&self->bins[BY_10S], self->hist, s, n, t, m, u->row_us, 10 * US_PER_S);
  *seen += (guint) n;
  *tally += (guint) m;
}

static gboolean
write_path (OwdRoller *self, const Unit *u, gint32 path_id, GError **error)
{
  owd_bins_reset (&self->bins[BY_1MIN]);
  coarsen (self, BY_1MIN);
  if (!put_rows (self, BY_10S, path_id, u->row_us, error) || !put_rows (self, BY_1MIN, path_id, u->row_us, error))
    return FALSE;
  if (!u->ends_hour)
    return TRUE;
  for (guint by = BY_5MIN; by <= BY_1H; by++) {
    owd_bins_reset (&self->bins[by]);
    coarsen (self, by);
    if (!put_rows (self, by, path_id, u->hour_us, error))
      return FALSE;
  }
  return TRUE;
}

/* ---- edges -------------------------------------------------------------------------------------- */

/* Sums of these paths from the hour's begin to where the unit begins, into self->earlier, whose bins are paths. */
static gboolean
get_edges (OwdRoller *self, const Unit *u, const gint32 *ids, guint n_ids, GError **error)
{
  g_autofree char *hour = instant (u->hour_us);
  g_autofree char *sql = g_strdup_printf (
      "SELECT path_id, " OWD_EDGE_COLUMNS " FROM owd.edge WHERE start = %s AND width = %d"
      " AND path_id BETWEEN %d AND %d ORDER BY path_id, at",
      hour, (int) ((u->from_us - u->hour_us) / US_PER_S), ids[0] / EDGE_PATHS * EDGE_PATHS, ids[n_ids - 1]);
  g_autoptr (PGresult) res = owd_conn_fetch (self->conn, "reading back edges", sql, 0, NULL, error);

  owd_bins_reset (&self->earlier);
  if (res == NULL)
    return FALSE;
  for (int i = 0; i < PQntuples (res); i++)
    if (!owd_bins_get_edge (&self->earlier, res, i, 1, (guint32) binary (res, i, 0))) {
      g_set_error (error, OWD_ERROR, OWD_ERROR_DB, "%s: a row of owd.edge does not hold what it should",
                   self->conn->target);
      return FALSE;
    }
  return TRUE;
}

/* What is gathered becomes rows. */
static void
flush_edges (OwdRoller *self, const Unit *u)
{
  for (guint i = 0; i < HOUR_MINUTES; i++) {
    gint64 minute_us = u->hour_us + i * MINUTE_US;

    owd_bins_put_edge (self->edges, &self->heads[i], (gint32) i * 60, self->edge_base, u->hour_us);
    owd_bins_put_edge (self->edges, &self->tails[i], (gint32) (HOUR_MINUTES - i) * 60, self->edge_base, minute_us);
    owd_bins_reset (&self->heads[i]);
    owd_bins_reset (&self->tails[i]);
  }
}

/* The path's bins of 1 min, and what self->earlier has of it: *earlier is the next one there. Heads are of [hour,
 * minute i) for each minute that the unit ends or passes, tails of [minute i, end of the hour). */
static void
add_edges (OwdRoller *self, const Unit *u, gint32 path_id, guint *earlier)
{
  const OwdBins *minutes = &self->bins[BY_1MIN];
  guint first = (guint) ((u->row_us - u->hour_us) / MINUTE_US), end = (guint) ((u->to_us - u->hour_us) / MINUTE_US);
  gint32 base = path_id / EDGE_PATHS * EDGE_PATHS;
  guint32 at = (guint32) (path_id - base);
  OwdBin sum;
  guint next = 0;

  if (base != self->edge_base)
    flush_edges (self, u);
  self->edge_base = base;
  owd_sum_reset (&sum, self->hist);
  for (; *earlier < self->earlier.bins->len; (*earlier)++) {
    guint32 id = g_array_index (self->earlier.bins, OwdBin, *earlier).at;

    if (id == (guint32) path_id)
      owd_sum_add (&sum, self->hist, &self->earlier, *earlier);
    else if (id > (guint32) path_id)
      break;
  }
  for (guint i = first + 1; i <= end && i < HOUR_MINUTES; i++) {
    for (; next < minutes->bins->len && g_array_index (minutes->bins, OwdBin, next).at < i - first; next++)
      owd_sum_add (&sum, self->hist, minutes, next);
    owd_sum_put (&sum, self->hist, &self->heads[i], at);
  }
  owd_sum_reset (&sum, self->hist);
  next = minutes->bins->len;
  for (guint i = HOUR_MINUTES - 1; i > 0 && u->ends_hour; i--) {
    for (; next > 0 && g_array_index (minutes->bins, OwdBin, next - 1).at >= i; next--)
      owd_sum_add (&sum, self->hist, minutes, next - 1);
    owd_sum_put (&sum, self->hist, &self->tails[i], at);
  }
  owd_sum_reset (&sum, self->hist);
}

static gboolean
write_edges (OwdRoller *self, const Unit *u, GError **error)
{
  static const char what[] = "writing edges";
  guint8 frame[MAX (OWD_COPY_HEAD_BYTES, OWD_COPY_TAIL_BYTES)];

  flush_edges (self, u);
  if (self->edges->len == 0)
    return TRUE;
  if (!owd_conn_run (self->conn, what, OWD_COPY_EDGES_SQL, error)
      || !owd_conn_copy_put (self->conn, what, frame, (gsize) (owd_copy_put_head (frame) - frame), error)
      || !owd_conn_copy_put (self->conn, what, self->edges->data, self->edges->len, error)
      || !owd_conn_copy_put (self->conn, what, frame, (gsize) (owd_copy_put_tail (frame) - frame), error)
      || !owd_conn_copy_end (self->conn, what, error))
    return FALSE;
  g_byte_array_set_size (self->edges, 0);
  return TRUE;
}

/* Forgets what a call that failed may have left, and at the end of an hour what its minutes have left in the table. */
static gboolean
clear_edges (OwdRoller *self, const Unit *u, GError **error)
{
  g_autofree char *hour = instant (u->hour_us);
  g_autofree char *sql = g_strdup_printf ("DELETE FROM owd.edge WHERE start = %s", hour);

  for (guint i = 0; i < HOUR_MINUTES; i++) {
    owd_bins_reset (&self->heads[i]);
    owd_bins_reset (&self->tails[i]);
  }
  g_byte_array_set_size (self->edges, 0);
  return !u->ends_hour || !u->continues_hour || owd_conn_run (self->conn, "replacing edges", sql, error);
}

/* Paths ids[0..n): *seen and *tally are where they begin. The earlier rows of 1 min follow from those of 10 s. */
static gboolean
write_group (OwdRoller *self, const Unit *u, const gint32 *ids, guint n, guint *seen, guint *tally, GError **error)
{
  g_autoptr (GArray) order = g_array_new (FALSE, FALSE, sizeof (Earlier));
  g_autoptr (PGresult) earlier = NULL;
  guint next = 0, edge = 0;

  owd_bins_reset (&self->earlier);
  if (u->has_edges && u->continues_hour && !u->ends_hour && !get_edges (self, u, ids, n, error))
    return FALSE;
  if (u->ends_hour && u->continues_hour) {
    earlier = take_rows (self, ids, n, "10, 60", u->hour_us, u->from_us, order, error);
    if (earlier == NULL)
      return FALSE;
  }
  if (!begin_rows (self, error))
    return FALSE;
  for (guint i = 0; i < n; i++) {
    owd_bins_reset (&self->bins[BY_10S]);
    if (!get_bins (self, earlier, order, &next, ids[i], 10, u->hour_us, &self->bins[BY_10S], error))
      return FALSE;
    while (next < order->len && g_array_index (order, Earlier, next).path_id == ids[i])
      next++;
    fill_path (self, u, ids[i], seen, tally);
    if (!write_path (self, u, ids[i], error))
      return FALSE;
    if (u->has_edges)
      add_edges (self, u, ids[i], &edge);
  }
  return end_rows (self, error) && write_edges (self, u, error);
}

static gboolean
write_unit (OwdRoller *self, const Unit *u, GError **error)
{
  const gint32 *ids = (const gint32 *) self->paths->data;
  guint seen = 0, tally = 0;

  if (!clear_edges (self, u, error))
    return FALSE;
  for (guint i = 0; i < self->paths->len; i += GROUP_PATHS)
    if (!write_group (self, u, ids + i, MIN (GROUP_PATHS, self->paths->len - i), &seen, &tally, error))
      return FALSE;
  return TRUE;
}

static gboolean
write_day_group (OwdRoller *self, gint64 day_us, const gint32 *ids, guint n, GError **error)
{
  g_autoptr (GArray) order = g_array_new (FALSE, FALSE, sizeof (Earlier));
  g_autoptr (PGresult) hours = take_rows (self, ids, n, "3600", day_us, day_us + DAY_US, order, error);
  guint next = 0;

  if (hours == NULL || !begin_rows (self, error))
    return FALSE;
  for (guint i = 0; i < n; i++) {
    owd_bins_reset (&self->bins[BY_1H]);
    owd_bins_reset (&self->bins[BY_1D]);
    if (!get_bins (self, hours, order, &next, ids[i], 3600, day_us, &self->bins[BY_1H], error))
      return FALSE;
    coarsen (self, BY_1D);
    if (!put_rows (self, BY_1H, ids[i], day_us, error) || !put_rows (self, BY_1D, ids[i], day_us, error))
      return FALSE;
  }
  return end_rows (self, error);
}

static gboolean
write_day (OwdRoller *self, gint64 day_us, GError **error)
{
  g_array_set_size (self->paths, 0);
  if (!add_paths_of (self, 3600, day_us, day_us + DAY_US, error))
    return FALSE;
  sort_paths (self);
  for (guint i = 0; i < self->paths->len; i += GROUP_PATHS)
    if (!write_day_group (self, day_us, (const gint32 *) self->paths->data + i, MIN (GROUP_PATHS, self->paths->len - i),
                          error))
      return FALSE;
  return TRUE;
}

/* ---- marks -------------------------------------------------------------------------------------- */

/* First and last sample of each path of the unit. */
static gboolean
note_paths (OwdRoller *self, GError **error)
{
  g_autoptr (GString) ids = g_string_new ("{"), first = g_string_new ("{"), last = g_string_new ("{");
  const OwdSeen *s = (const OwdSeen *) self->seen->data;
  const char *values[3];
  g_autoptr (PGresult) res = NULL;

  for (guint i = 0; i < self->seen->len; i++) {
    const char *comma = ids->len > 1 ? "," : "";

    if (i == 0 || s[i].path_id != s[i - 1].path_id) {
      g_string_append_printf (ids, "%s%d", comma, s[i].path_id);
      g_string_append_printf (first, "%s%" G_GINT64_FORMAT, comma, s[i].ts_us);
    }
    if (i + 1 == self->seen->len || s[i].path_id != s[i + 1].path_id)
      g_string_append_printf (last, "%s%" G_GINT64_FORMAT, last->len > 1 ? "," : "", s[i].ts_us);
  }
  values[0] = g_string_append_c (ids, '}')->str;
  values[1] = g_string_append_c (first, '}')->str;
  values[2] = g_string_append_c (last, '}')->str;
  res = owd_conn_query (self->conn, "noting when paths were seen", PGRES_COMMAND_OK,
                        "UPDATE owd.path p SET first_ts = coalesce (p.first_ts, owd.ts_of_us (s.first)),"
                        " last_ts = owd.ts_of_us (s.last) FROM unnest ($1::integer[], $2::bigint[], $3::bigint[])"
                        " s (path_id, first, last) WHERE s.path_id = p.path_id",
                        3, values, error);
  return res != NULL;
}

static gboolean
move_marks (OwdRoller *self, const Unit *u, GError **error)
{
  g_autofree char *to = instant (u->to_us), *hour = instant (u->ends_hour ? u->to_us : u->hour_us),
                  *day = instant (floor_to (u->to_us, DAY_US)), *begin = instant (u->hour_us);
  g_autofree char *sql = g_strdup_printf (
      "UPDATE owd.resolution SET filled_to = CASE WHEN width <= 60 THEN %s WHEN width < 86400 THEN %s"
      " ELSE %s END, kept_from = CASE WHEN width < 0 AND filled_to = '-infinity' THEN %s ELSE kept_from END"
      " WHERE width > 0 OR (width < 0 AND %s)",
      to, hour, day, begin, u->has_edges ? "true" : "false");

  return owd_conn_run (self->conn, "noting what is rolled up", sql, error);
}

/* ---- one call ----------------------------------------------------------------------------------- */

/* Tables are made before the transaction, in one of their own, as for samples. A day lies in one table of each width.
 */
static gboolean
ensure_tables (OwdRoller *self, gint64 us, GError **error)
{
  gint64 day = floor_to (us, DAY_US);
  g_autofree char *text = instant (day), *sql = g_strdup_printf ("SELECT owd.add_rollups (%s)", text);

  if (day == self->day)
    return TRUE;
  if (!owd_conn_run (self->conn, "making tables for roll-ups", sql, error))
    return FALSE;
  self->day = day;
  return TRUE;
}

static gboolean
roll_unit (OwdRoller *self, const Unit *u, GError **error)
{
  return read_samples (self, u, error) && find_paths (self, u, error) && write_unit (self, u, error)
         && (!u->ends_day || write_day (self, u->to_us - DAY_US, error)) && note_paths (self, error)
         && move_marks (self, u, error);
}

/* In a transaction of its own: it takes locks that vacuum waits for, and what is rolled up does not hang on it. */
static gboolean
summarize (OwdRoller *self, const Unit *u, GError **error)
{
  g_autofree char *from = instant (u->from_us), *to = instant (u->to_us),
                  *sql = g_strdup_printf ("SELECT owd.summarize (%s, %s)", from, to);

  return owd_conn_run (self->conn, "summarizing what was read", sql, error);
}

static gboolean
roll_some (OwdRoller *self, gboolean patient, gboolean *ret_more, GError **error)
{
  gint64 from, until, edges, span_us;
  Unit u;

  if (!owd_conn_run (self->conn, "opening a transaction", "BEGIN", error)
      || !find_range (self, patient, &from, &until, &edges, error))
    return FALSE;
  if (until == G_MININT64 || from >= until) {
    owd_conn_rollback (self->conn);
    return TRUE;
  }
  if (floor_to (from, DAY_US) != self->day) {
    owd_conn_rollback (self->conn);
    *ret_more = TRUE;
    return ensure_tables (self, from, error);
  }
  if (!find_span (self, from, &span_us, error))
    return FALSE;
  plan_unit (from, until, span_us, edges, &u);
  if (!roll_unit (self, &u, error) || !owd_conn_commit (self->conn, "committing roll-ups", error)) {
    self->day = G_MININT64; /* its tables may have been dropped meanwhile */
    return FALSE;
  }
  *ret_more |= u.to_us < until;
  return summarize (self, &u, error);
}

gboolean
owd_roller_run (OwdRoller *self, gboolean patient, gboolean *ret_more, GError **error)
{
  gboolean fine;

  *ret_more = FALSE;
  fine = look (self, patient, ret_more, error) && roll_some (self, patient, ret_more, error);
  self->looking = fine && *ret_more;
  shrink (&self->seen);
  shrink (&self->tally);
  return fine;
}
