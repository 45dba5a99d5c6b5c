/* SPDX-License-Identifier: Apache-2.0
 *
 * The front end's side: each question is one statement against the public interface (sql/README.md), parameters never
 * become part of its text, and the answer is a table of texts.
 */
#include "store-private.h"

#include <string.h>

#define TIMESTAMPTZ_OID 1184
#define JSONB_OID 3802

/* pg_type's oid of the types that are numbers: int8, int2, int4, float4, float8, numeric. */
static gboolean
is_number (Oid type)
{
  static const Oid numbers[] = { 20, 21, 23, 700, 701, 1700 };

  for (gsize i = 0; i < G_N_ELEMENTS (numbers); i++)
    if (type == numbers[i])
      return TRUE;
  return FALSE;
}

/* The cell's text; an instant as ISO 8601 with T and Z (the session's time zone is UTC). */
static char *
cell_text (const PGresult *res, int row, int column)
{
  char *text = g_strdup (PQgetvalue (res, row, column));
  gsize len = strlen (text);

  if (PQftype (res, column) == TIMESTAMPTZ_OID && len > 13 && text[10] == ' ' && g_str_has_suffix (text, "+00")) {
    text[10] = 'T';
    text[len - 3] = 'Z';
    text[len - 2] = '\0';
  }
  return text;
}

static OwdTable *
table_of (const PGresult *res)
{
  OwdTable *table = g_new0 (OwdTable, 1);

  table->n_rows = (guint) PQntuples (res);
  table->n_columns = (guint) PQnfields (res);
  table->names = g_new0 (char *, table->n_columns);
  table->numeric = g_new0 (gboolean, table->n_columns);
  table->json = g_new0 (gboolean, table->n_columns);
  table->cells = g_new0 (char *, (gsize) table->n_rows * table->n_columns);
  for (guint c = 0; c < table->n_columns; c++) {
    table->names[c] = g_strdup (PQfname (res, (int) c));
    table->numeric[c] = is_number (PQftype (res, (int) c));
    table->json[c] = PQftype (res, (int) c) == JSONB_OID;
    for (guint r = 0; r < table->n_rows; r++)
      if (!PQgetisnull (res, (int) r, (int) c))
        table->cells[(gsize) r * table->n_columns + c] = cell_text (res, (int) r, (int) c);
  }
  return table;
}

void
owd_table_free (OwdTable *table)
{
  if (table == NULL)
    return;
  for (guint c = 0; c < table->n_columns; c++)
    g_free (table->names[c]);
  for (gsize i = 0; i < (gsize) table->n_rows * table->n_columns; i++)
    g_free (table->cells[i]);
  g_free (table->names);
  g_free (table->numeric);
  g_free (table->json);
  g_free (table->cells);
  g_free (table);
}

OwdTable *
owd_store_ask (OwdStore *self, const char *what, const char *sql, int n, const char *const *values, GError **error)
{
  g_autoptr (PGresult) res = NULL;

  res = owd_conn_ask (&self->conn, what, sql, n, values, error);
  return res != NULL ? table_of (res) : NULL;
}

OwdTable *
owd_store_timeline (OwdStore *self, const char *src, const char *dst, const char *from, const char *to,
                    const char *step, GError **error)
{
  const char *const values[] = { src, dst, from, to, step };

  return owd_store_ask (self, "reading a timeline",
                        "SELECT * FROM owd.timeline ($1, $2, $3::timestamptz, $4::timestamptz, $5::interval)", 5,
                        values, error);
}

OwdTable *
owd_store_matrix (OwdStore *self, const char *from, const char *to, GError **error)
{
  const char *const values[] = { from, to };

  return owd_store_ask (self, "reading the matrix", "SELECT * FROM owd.matrix ($1::timestamptz, $2::timestamptz)", 2,
                        values, error);
}

OwdTable *
owd_store_list_exporters (OwdStore *self, GError **error)
{
  return owd_store_ask (self, "reading the exporters",
                        "SELECT * FROM owd.exporters ORDER BY name, addr, domain, version", 0, NULL, error);
}

/* Of each exporter state the rows that were written last, all at one time. */
#define NEWEST "(SELECT *, max (made) OVER (PARTITION BY addr, domain, version) AS newest FROM owd.profiles) p"

OwdTable *
owd_store_list_profiles (OwdStore *self, GError **error)
{
  return owd_store_ask (
      self, "reading the profiles",
      "SELECT p.profile_id, p.name, p.addr, p.domain, p.version, p.made, p.valid_from, p.valid_to, p.began,"
      " p.headers, p.records, p.start_step_ms, p.end_step_ms, p.uptime, p.boot, p.boot_width_ms, p.skew_ppm,"
      " p.skew_lo_ppm, p.skew_hi_ppm, p.step_ms, p.active_s, p.inactive_s, p.lag_p50_ms, p.lag_p99_ms,"
      " p.blunder_rate, p.loss, p.sampling FROM " NEWEST " WHERE p.made = p.newest"
      " ORDER BY p.name, p.addr, p.domain, p.version, p.valid_from",
      0, NULL, error);
}

/* Silent: five minutes behind whoever was heard last, which is as good as a clock that also replays know. */
OwdTable *
owd_store_list_findings (OwdStore *self, GError **error)
{
  return owd_store_ask (
      self, "reading what is wrong",
      "SELECT name, finding FROM ("
      " SELECT DISTINCT 1 AS rank, p.name, f.nr, f.finding"
      "   FROM " NEWEST ", unnest (p.findings) WITH ORDINALITY f (finding, nr) WHERE p.made = p.newest"
      " UNION ALL SELECT 2, e.name, 1, 'It has no profile yet: run oneway-profiler.' FROM owd.exporters e"
      "   WHERE NOT EXISTS (SELECT FROM owd.profiles p"
      "                      WHERE (p.addr, p.domain, p.version) = (e.addr, e.domain, e.version))"
      " UNION ALL SELECT 3, e.name, 1, 'It has sent nothing since '"
      "   || to_char (e.last_seen AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC, while others did.'"
      "   FROM owd.exporters e WHERE e.last_seen < (SELECT max (last_seen) FROM owd.exporters) - interval '5 min'"
      " UNION ALL SELECT 4, c.name, c.nr, c.finding FROM owd.collector_findings c"
      ") found ORDER BY name, rank, nr",
      0, NULL, error);
}

OwdTable *
owd_store_list_paths (OwdStore *self, GError **error)
{
  return owd_store_ask (self, "reading the paths", "SELECT * FROM owd.paths ORDER BY src, dst", 0, NULL, error);
}

OwdTable *
owd_store_status (OwdStore *self, GError **error)
{
  return owd_store_ask (self, "reading the status", "SELECT * FROM owd.status", 0, NULL, error);
}

#define EVENT_TIME(p, otherwise)                                                                                       \
  "CASE WHEN " p "::text IS NULL THEN " otherwise " WHEN left (" p ", 1) = '-'"                                        \
  " THEN coalesce (w.ts, now ()) + " p "::interval ELSE " p "::timestamptz END"

OwdTable *
owd_store_list_events (OwdStore *self, const char *from, const char *to, gboolean open_only, GError **error)
{
  const char *const values[] = { from, to, open_only ? "t" : "f" };

  return owd_store_ask (
      self, "reading the events",
      "SELECT e.event_id, e.kind, e.src, e.dst, e.raised, e.cleared, e.value, e.threshold, e.evidence,"
      " owd.event_text (e.kind, e.value, e.threshold, e.evidence) AS finding"
      " FROM owd.events e, owd.watermark w WHERE coalesce (e.cleared, 'infinity') >= " EVENT_TIME (
          "$1", "'-infinity'") " AND e.raised < " EVENT_TIME ("$2", "'infinity'") " AND (e.cleared IS NULL OR NOT $3)"
                                                                                  " ORDER BY e.raised, e.event_id",
      3, values, error);
}

OwdTable *
owd_store_list_roles (OwdStore *self, GError **error)
{
  return owd_store_ask (self, "reading the roles", "SELECT * FROM owd.roles ORDER BY role, login NULLS FIRST", 0, NULL,
                        error);
}

/* Instants as ns: float8 would not do, timestamptz counts microseconds. */
#define NS_OF(ts) "(extract (epoch FROM " ts ") * 1000000)::bigint * 1000"

/* The end: as told, else the path's last sample (which the range must hold). The start: as told, else an hour before
 * the end, but not before the path's first sample. Where one of them begins with '-', it is a time before the end, or
 * before now. */
gboolean
owd_store_range (OwdStore *self, const char *src, const char *dst, const char *from, const char *to, OwdTime *ret_from,
                 OwdTime *ret_to, GError **error)
{
  const char *const values[] = { src, dst, from, to };
  g_autoptr (OwdTable) table = owd_store_ask (
      self, "finding the time range",
      "WITH ends AS (SELECT min (p.first_seen) AS first, max (p.last_seen) AS last FROM owd.paths p"
      "   WHERE ($1::text IS NULL OR p.src = $1) AND ($2::text IS NULL OR p.dst = $2)),"
      " upto AS (SELECT first, CASE WHEN $4::text IS NULL THEN last + interval '1 microsecond'"
      "   WHEN left ($4, 1) = '-' THEN now () + $4::interval ELSE $4::timestamptz END AS until FROM ends)"
      " SELECT " NS_OF (
          "CASE WHEN $3::text IS NULL THEN greatest (until - interval '1 hour', least (first, until))"
          " WHEN left ($3, 1) = '-' THEN until + $3::interval ELSE $3::timestamptz END") ","
                                                                                         " " NS_OF (
                                                                                             "until") " FROM upto",
      4, values, error);

  if (table == NULL)
    return FALSE;
  *ret_from = table->cells[0] != NULL ? g_ascii_strtoll (table->cells[0], NULL, 10) : OWD_TIME_NONE;
  *ret_to = table->cells[1] != NULL ? g_ascii_strtoll (table->cells[1], NULL, 10) : OWD_TIME_NONE;
  return TRUE;
}
