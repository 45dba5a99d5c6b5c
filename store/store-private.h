/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this folder share. libpq ends here.
 */
#ifndef OWD_STORE_PRIVATE_H
#define OWD_STORE_PRIVATE_H

#include "bins.h"
#include "owd-store.h"

#include <libpq-fe.h>
#include <string.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PGresult, PQclear)

/* ---- conn.c: one connection, its failures told apart -------------------------------------------- */

typedef struct {
  PGconn *pg;      /* NULL: not connected */
  gboolean broken; /* pg is of no use any more */
  char *conninfo;  /* may be NULL */
  char *program;
  char *target;       /* for messages: database, host, port; no secret */
  char *row;          /* of COPY, for owd_conn_copy_get() */
  guint64 generation; /* connections made so far */
} OwdConn;

void owd_conn_init (OwdConn *self, const char *conninfo, const char *program);
void owd_conn_clear (OwdConn *self);
/* Connects where there is no connection, or where it is known to be broken. */
gboolean owd_conn_ready (OwdConn *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* One statement with n text parameters. Returns the result, of status `want`, or NULL with error set. `what` says in
 * words what was tried. */
PGresult *owd_conn_query (OwdConn *self, const char *what, ExecStatusType want, const char *sql, int n,
                          const char *const *values, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The same for rows, connecting first where that is needed. */
PGresult *owd_conn_ask (OwdConn *self, const char *what, const char *sql, int n, const char *const *values,
                        GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The same as owd_conn_query() with the values of the result in binary. */
PGresult *owd_conn_fetch (OwdConn *self, const char *what, const char *sql, int n, const char *const *values,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* A statement, or several, without parameters or rows. */
gboolean owd_conn_run (OwdConn *self, const char *what, const char *sql, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* COMMIT; an answer other than COMMIT (the transaction had failed before) is an error. */
gboolean owd_conn_commit (OwdConn *self, const char *what, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Leaves a transaction after a failure; best effort: a connection that cannot do it is closed. */
void owd_conn_rollback (OwdConn *self);
/* COPY data. owd_conn_copy_end() takes COPY out of its state in either case. */
gboolean owd_conn_copy_put (OwdConn *self, const char *what, const void *data, gsize len,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Rows of COPY ... TO STDOUT, one at a time: *ret_data is valid until the next call; NULL: that was all. */
gboolean owd_conn_copy_get (OwdConn *self, const char *what, const guint8 **ret_data, gsize *ret_len,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean owd_conn_copy_end (OwdConn *self, const char *what, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* ---- copy.c: samples in the binary COPY format, no libpq ---------------------------------------- */

/* Microseconds from 1970 to 2000, where PostgreSQL counts from. */
#define OWD_PG_EPOCH_US (G_GINT64_CONSTANT (946684800) * 1000000)

/* Integers in network order; the end of them. */
static inline guint8 *
owd_put_16 (guint8 *p, guint16 v)
{
  v = GUINT16_TO_BE (v);
  memcpy (p, &v, sizeof v);
  return p + sizeof v;
}

static inline guint8 *
owd_put_32 (guint8 *p, guint32 v)
{
  v = GUINT32_TO_BE (v);
  memcpy (p, &v, sizeof v);
  return p + sizeof v;
}

static inline guint8 *
owd_put_64 (guint8 *p, guint64 v)
{
  v = GUINT64_TO_BE (v);
  memcpy (p, &v, sizeof v);
  return p + sizeof v;
}

#define OWD_COPY_SQL                                                                                                   \
  "COPY owd.sample (ts, seq, owd_ns, lo_ns, hi_ns, sigma_ns, bias_ns, flow, path_id, profile_id, part, flags, kind,"   \
  " proto) FROM STDIN (FORMAT binary)"

#define OWD_COPY_EXCESS_SQL                                                                                            \
  "COPY owd.excess (ts, seq, owd_ns, lo_ns, hi_ns, sigma_ns, bias_ns, path_id, nr, part) FROM STDIN (FORMAT binary)"

#define OWD_COPY_COUNT_SQL "COPY owd.tally (ts, sent, lost, late, path_id, part) FROM STDIN (FORMAT binary)"

#define OWD_COPY_HEAD_BYTES 19
#define OWD_COPY_ROW_BYTES 138
#define OWD_COPY_EXCESS_BYTES 112
#define OWD_COPY_COUNT_BYTES 64
#define OWD_COPY_TAIL_BYTES 2

/* Each writes its constant number of bytes and returns the end of them. */
guint8 *owd_copy_put_head (guint8 *p);
guint8 *owd_copy_put_row (guint8 *p, const OwdSample *sample, gint16 part, gint32 path_id);
/* number: its place among those that are not kept raw, from 1. */
guint8 *owd_copy_put_excess (guint8 *p, const OwdSample *sample, gint16 part, gint32 path_id, guint64 number);
guint8 *owd_copy_put_count (guint8 *p, const OwdCount *count, gint16 part, gint32 path_id);
guint8 *owd_copy_put_tail (guint8 *p);

/* Floor to the microsecond, which is what timestamptz holds. */
gint64 owd_copy_floor_us (OwdTime t);
/* Number of the time range that t lies in; a table of samples holds one or several whole ones. */
gint64 owd_copy_slot (OwdTime t);

/* ---- binrow.c: rows of owd.rollup in binary ------------------------------------------------------ */

#define OWD_BIN_COLUMNS                                                                                                \
  "at, n, kept, sent, lost, late, min_ns, max_ns, first_ns, last_ns, least_hi_ns, p05, p50, p95, p99, sum_ns, lo_ns,"  \
  " hi_ns, bias_ns, ipdv_ns, square_ns2, sigma_ns2, hist"
#define OWD_COPY_BINS_SQL "COPY owd.rollup (width, path_id, start, " OWD_BIN_COLUMNS ") FROM STDIN (FORMAT binary)"
#define OWD_EDGE_COLUMNS "at, n, sent, lost, min_ns, max_ns, sum_ns, sigma_ns2, hist"
#define OWD_COPY_EDGES_SQL "COPY owd.edge (width, path_id, start, " OWD_EDGE_COLUMNS ") FROM STDIN (FORMAT binary)"

/* Appends a row for COPY; none where there are no bins. width in s. */
void owd_bins_put_row (GByteArray *out, const OwdBins *bins, gint32 width, gint32 path_id, gint64 start_us);
/* Appends the bins of a result's row; the first of OWD_BIN_COLUMNS is in `column`. at_offset is added to their numbers.
 * FALSE: not what the schema promises. */
gboolean owd_bins_get_row (OwdBins *bins, const PGresult *res, int row, int column, guint32 at_offset);
/* The same for rows of owd.edge and OWD_EDGE_COLUMNS; `at` tells paths apart, from path_id on. */
void owd_bins_put_edge (GByteArray *out, const OwdBins *bins, gint32 width, gint32 path_id, gint64 start_us);
gboolean owd_bins_get_edge (OwdBins *bins, const PGresult *res, int row, int column, guint32 at_offset);

/* ---- rollup.c: from samples to roll-ups ---------------------------------------------------------- */

typedef struct OwdRoller OwdRoller;
/* conn: borrowed. */
OwdRoller *owd_roller_new (OwdConn *conn);
void owd_roller_free (OwdRoller *self); /* NULL is fine */
/* See owd_store_roll(); after a failure the caller rolls back. */
gboolean owd_roller_run (OwdRoller *self, gboolean patient, gboolean *ret_more,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* ---- migrate.c ---------------------------------------------------------------------------------- */

/* Version of the schema in the database, 0 where there is none. */
gboolean owd_migrate_version (OwdConn *conn, guint *ret_version, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* OWD_ERROR_DB unless the version in the database is the one known here. */
gboolean owd_migrate_check (OwdConn *conn, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Built from sql/: see schema.cmake. */
typedef struct {
  guint step; /* number in the file's name; 0 for functions and views */
  const char *name;
  const char *text;
} OwdSqlFile;

extern const OwdSqlFile OWD_SQL_STEPS[];
extern const guint OWD_SQL_N_STEPS;
extern const OwdSqlFile OWD_SQL_CODE[]; /* functions, then views */
extern const guint OWD_SQL_N_CODE;
extern const char OWD_SQL_CODE_DIGEST[];

/* ---- query.c ------------------------------------------------------------------------------------- */

/* The answer to one statement with n text parameters as texts. */
OwdTable *owd_store_ask (OwdStore *self, const char *what, const char *sql, int n, const char *const *values,
                         GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* ---- the store ---------------------------------------------------------------------------------- */

/* A partition that this store has claimed. */
typedef struct {
  gint64 epoch;
  guint64 generation; /* of the connection on which `mark` was last known to be the database's */
  OwdMark mark;       /* as the database confirmed it last */
  OwdMark doubt;      /* what the last commit tried; counts only where its fate is not known */
} OwdClaim;

struct OwdStore {
  OwdConn conn;
  guint64 listening;   /* generation of the connection that listens for profiles; 0: none does */
  GHashTable *claims;  /* part -> OwdClaim */
  GArray *points;      /* gint32: database id of the point at this index */
  GHashTable *paths;   /* src index << 32 | dst index -> path id */
  GHashTable *slots;   /* time ranges whose tables are there */
  GArray *batch_paths; /* gint32: path id of each sample of the batch at hand */
  GArray *batch_order; /* guint64: the samples in the order in which they are sent */
  guint8 *buffer;      /* COPY_BUFFER bytes */
  OwdRoller *roller;   /* NULL: not needed yet */
  OwdFloorFunc floor;  /* NULL: columns stay as they are */
  const void *floor_user;
};

#endif
