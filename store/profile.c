/* SPDX-License-Identifier: Apache-2.0
 *
 * Profiles: appended by the profiler, read by the correlator.
 *
 * A correlator that replays must be told of a profile at the same place of its log as before. So a partition first
 * writes down from which offset on it uses all profiles that there are, and only then uses them; ids grow in the order
 * of commits, as those who append wait for each other.
 */
#include "store-private.h"

#include <math.h>
#include <string.h>

#define CHANNEL "owd_profiles"

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

/* ---- writing ------------------------------------------------------------------------------------- */

static gboolean
put_profile (OwdConn *conn, const OwdProfileRow *row, GError **error)
{
  char addr[OWD_ADDR_TEXT];
  Number n[4];
  const char *const values[] = { owd_addr_text (&row->key.addr, addr),
                                 signed_text (&n[0], row->key.domain),
                                 signed_text (&n[1], row->key.version),
                                 row->name,
                                 signed_text (&n[2], row->from_ns),
                                 signed_text (&n[3], row->to_ns),
                                 row->measured };
  g_autoptr (PGresult) res
      = owd_conn_query (conn, "writing a profile", PGRES_COMMAND_OK,
                        "INSERT INTO owd.profile (addr, domain, version, name, valid_from, valid_to, measured)"
                        " VALUES ($1::inet, $2, $3, $4, owd.ts_of_ns ($5), owd.ts_of_ns ($6), $7::jsonb)",
                        G_N_ELEMENTS (values), values, error);

  return res != NULL;
}

gboolean
owd_store_profiles (OwdStore *self, const OwdProfileRow *rows, gsize n, GError **error)
{
  static const char what[] = "writing profiles";
  gboolean fine
      = owd_conn_ready (&self->conn, error)
        && owd_conn_run (&self->conn, what, "BEGIN; SELECT pg_advisory_xact_lock (hashtext ('" CHANNEL "'))", error);

  for (gsize i = 0; i < n && fine; i++)
    fine = put_profile (&self->conn, &rows[i], error);
  fine = fine && owd_conn_run (&self->conn, what, "NOTIFY " CHANNEL, error)
         && owd_conn_commit (&self->conn, what, error);
  if (!fine)
    owd_conn_rollback (&self->conn);
  return fine;
}

/* ---- reading ------------------------------------------------------------------------------------- */

static gint64
int_at (const PGresult *res, int row, int column, gint64 none)
{
  return PQgetisnull (res, row, column) ? none : g_ascii_strtoll (PQgetvalue (res, row, column), NULL, 10);
}

static double
float_at (const PGresult *res, int row, int column)
{
  return g_ascii_strtod (PQgetvalue (res, row, column), NULL);
}

/* "in_if lo hi" for each interface, blanks between all. An offset counts where it is surely larger than the steps of
 * the stamps that it was found in: what is smaller may as well be a habit of the traffic. */
static void
read_groups (const char *text, OwdPrior *p)
{
  g_auto (GStrv) words = g_strsplit (text, " ", -1);
  guint n = g_strv_length (words) / 3;
  gint64 step_ns = MAX (p->step_ns[0], p->step_ns[1]), lowest_ns = 0, highest_ns = 0;
  guint agree = 0;

  for (guint i = 0; i < n && p->n_groups < OWD_PRIOR_GROUPS; i++) {
    gint64 lo_ns = g_ascii_strtoll (words[3 * i + 1], NULL, 10), hi_ns = g_ascii_strtoll (words[3 * i + 2], NULL, 10);

    lowest_ns = MIN (lowest_ns, lo_ns);
    highest_ns = MAX (highest_ns, hi_ns);
    if (lo_ns <= step_ns && hi_ns >= -step_ns) {
      agree++;
      continue;
    }
    p->group[p->n_groups].in_if = (guint32) g_ascii_strtoull (words[3 * i], NULL, 10);
    p->group[p->n_groups].lo_ns = lo_ns;
    p->group[p->n_groups++].hi_ns = hi_ns;
  }
  p->cards_ns = p->n_groups > 0 && agree * 2 <= n ? 2 * MAX (-lowest_ns, highest_ns) : 0;
}

#define NS_OF(expression) "floor ((" expression ") * 1000000)::bigint"
#define EPOCH_NS(timestamp) "(extract (epoch FROM " timestamp ") * 1000000000)::bigint"
#define ESTIMATE(parameter) NS_OF ("(m -> '" parameter "' ->> 'value')::numeric")
#define LAG(rank) NS_OF ("(m -> 'lag_start_ms' -> '" rank "' ->> 'value')::numeric")

/* Skew in a profile is uptime against wall clock, here it is wall clock against uptime. A boot time counts where
 * header uptimes follow time; where the profile does not say how long it looked, a row is about one look. */
static const char PRIORS_SQL[]
    = "SELECT profile_id, host (addr), domain, version, " EPOCH_NS ("valid_from") ", " EPOCH_NS (
        "valid_to") ","
                    " (m ->> 'start_kind')::int, (m ->> 'end_kind')::int, " ESTIMATE ("start_step_ms") ", " ESTIMATE (
                        "end_step_ms") ", " ESTIMATE ("uptime_lag_ms") ","
                                                                       " CASE WHEN use THEN (s ->> "
                                                                       "'boot_at_ns')::bigint END,"
                                                                       " CASE WHEN use THEN floor ((s -> 'boot_ms' ->> "
                                                                       "'lo')::numeric * 1000000)::bigint END,"
                                                                       " CASE WHEN use THEN ceil ((s -> 'boot_ms' ->> "
                                                                       "'hi')::numeric * 1000000)::bigint END,"
                                                                       " CASE WHEN use THEN floor ((s -> 'boot_ms' ->> "
                                                                       "'value')::numeric * 1000000)::bigint END,"
                                                                       " floor (coalesce ((s ->> 'over_s')::numeric,"
                                                                       "   least (extract (epoch FROM valid_to - "
                                                                       "valid_from), 3600)) * 1000000000)::bigint,"
                                                                       " - (s -> 'skew_ppm' ->> 'value')::float8, - (s "
                                                                       "-> 'skew_ppm' ->> 'hi')::float8, - (s -> "
                                                                       "'skew_ppm' ->> 'lo')::float8,"
                                                                       " " LAG ("p50") ", " LAG ("p95") ", " LAG (
                                                                           "p99") ", " LAG ("p999") ","
                                                                                                    " (SELECT "
                                                                                                    "string_agg "
                                                                                                    "(concat_ws (' ', "
                                                                                                    "g ->> 'in_if',"
                                                                                                    "   floor ((g -> "
                                                                                                    "'offset_ms' ->> "
                                                                                                    "'lo')::numeric * "
                                                                                                    "1000000)::bigint,"
                                                                                                    "   ceil ((g -> "
                                                                                                    "'offset_ms' ->> "
                                                                                                    "'hi')::numeric * "
                                                                                                    "1000000)::bigint),"
                                                                                                    " ' ')"
                                                                                                    "   FROM "
                                                                                                    "jsonb_array_"
                                                                                                    "elements (m -> "
                                                                                                    "'interfaces') g "
                                                                                                    "WHERE (g -> "
                                                                                                    "'offset_ms' ->> "
                                                                                                    "'identifiable')::"
                                                                                                    "boolean)"
                                                                                                    " FROM (SELECT *, "
                                                                                                    "measured AS m, "
                                                                                                    "measured -> "
                                                                                                    "'segments' -> 0 "
                                                                                                    "AS s,"
                                                                                                    "   measured ->> "
                                                                                                    "'uptime' IN "
                                                                                                    "('fine', 'locked')"
                                                                                                    "   AND (measured "
                                                                                                    "#>> "
                                                                                                    "'{segments,0,boot_"
                                                                                                    "ms,identifiable}')"
                                                                                                    "::boolean"
                                                                                                    "   AND measured "
                                                                                                    "#>> "
                                                                                                    "'{segments,0,skew_"
                                                                                                    "ppm,lo}' IS NOT "
                                                                                                    "NULL AS use"
                                                                                                    "   FROM "
                                                                                                    "owd.profile WHERE "
                                                                                                    "profile_id > $1 "
                                                                                                    "AND profile_id <= "
                                                                                                    "$2) p ORDER BY "
                                                                                                    "profile_id";

static gboolean
read_prior (const PGresult *res, int row, OwdPrior *ret)
{
  int c = 0;

  memset (ret, 0, sizeof *ret);
  ret->id = (guint32) int_at (res, row, c++, 0);
  if (!owd_addr_parse (PQgetvalue (res, row, c++), &ret->key.addr))
    return FALSE;
  ret->key.domain = (guint32) int_at (res, row, c++, 0);
  ret->key.version = (guint32) int_at (res, row, c++, 0);
  ret->from_ns = int_at (res, row, c++, 0);
  ret->to_ns = int_at (res, row, c++, 0);
  ret->kind[0] = (guint32) int_at (res, row, c++, 0);
  ret->kind[1] = (guint32) int_at (res, row, c++, 0);
  ret->step_ns[0] = int_at (res, row, c++, 0);
  ret->step_ns[1] = int_at (res, row, c++, 0);
  ret->uptime_lag_ns = int_at (res, row, c++, 0);
  ret->boot_at_ns = int_at (res, row, c++, OWD_TIME_NONE);
  ret->boot_lo_ns = int_at (res, row, c++, OWD_TIME_NONE);
  ret->boot_hi_ns = int_at (res, row, c++, OWD_TIME_NONE);
  ret->boot_ns = int_at (res, row, c++, OWD_TIME_NONE);
  ret->over_ns = int_at (res, row, c++, 0);
  ret->skew_ppm = float_at (res, row, c++);
  ret->skew_lo_ppm = float_at (res, row, c++);
  ret->skew_hi_ppm = float_at (res, row, c++);
  for (guint i = 0; i < OWD_PRIOR_LAGS; i++)
    ret->lag_ns[i] = int_at (res, row, c++, 0);
  read_groups (PQgetvalue (res, row, c), ret);
  return TRUE;
}

gboolean
owd_store_priors (OwdStore *self, guint32 after, guint32 upto, GArray *priors, GError **error)
{
  Number n[2];
  const char *const values[] = { signed_text (&n[0], after), signed_text (&n[1], upto) };
  g_autoptr (PGresult) res = NULL;

  res = owd_conn_ask (&self->conn, "reading profiles", PRIORS_SQL, 2, values, error);
  if (res == NULL)
    return FALSE;
  for (int row = 0; row < PQntuples (res); row++) {
    OwdPrior prior;

    if (read_prior (res, row, &prior))
      g_array_append_val (priors, prior);
  }
  return TRUE;
}

gboolean
owd_store_profiles_changed (OwdStore *self)
{
  gboolean changed = FALSE;
  PGnotify *note;

  if (!owd_conn_ready (&self->conn, NULL))
    return FALSE;
  if (self->listening != self->conn.generation) { /* what was sent meanwhile is lost */
    changed = owd_conn_run (&self->conn, "listening for profiles", "LISTEN " CHANNEL, NULL);
    self->listening = changed ? self->conn.generation : 0;
    return changed;
  }
  if (PQconsumeInput (self->conn.pg) == 0)
    return FALSE;
  while ((note = PQnotifies (self->conn.pg)) != NULL) {
    changed = TRUE;
    PQfreemem (note);
  }
  return changed;
}

/* ---- where they count ------------------------------------------------------------------------------ */

static gboolean
read_uses (OwdStore *self, const char *what, const char *sql, int n, const char *const *values, GArray *uses,
           GError **error)
{
  g_autoptr (PGresult) res = NULL;

  res = owd_conn_ask (&self->conn, what, sql, n, values, error);
  if (res == NULL)
    return FALSE;
  for (int row = 0; row < PQntuples (res); row++) {
    OwdProfileUse use = { .offset = (guint64) int_at (res, row, 0, 0), .newest = (guint32) int_at (res, row, 1, 0) };

    g_array_append_val (uses, use);
  }
  return TRUE;
}

gboolean
owd_store_profile_uses (OwdStore *self, guint part, GArray *uses, GError **error)
{
  Number n;
  const char *const values[] = { signed_text (&n, part) };

  return read_uses (self, "reading which profiles count from where on",
                    "SELECT log_offset, newest FROM owd.profile_use WHERE part = $1 ORDER BY newest", 1, values, uses,
                    error);
}

gboolean
owd_store_use_profiles (OwdStore *self, guint part, guint64 offset, GArray *uses, GError **error)
{
  OwdClaim *claim = g_hash_table_lookup (self->claims, GUINT_TO_POINTER (part));
  gint64 known = uses->len > 0 ? g_array_index (uses, OwdProfileUse, uses->len - 1).newest : 0;
  Number n[4];
  const char *const values[] = { signed_text (&n[0], part), signed_text (&n[1], claim != NULL ? claim->epoch : -1),
                                 signed_text (&n[2], (gint64) offset), signed_text (&n[3], known) };

  return read_uses (self, "noting from where on profiles count",
                    "WITH own AS (SELECT part FROM owd.partition WHERE part = $1 AND epoch = $2 FOR SHARE),"
                    " there AS (SELECT max (profile_id) AS newest FROM owd.profile),"
                    " noted AS (SELECT u.log_offset, u.newest FROM owd.profile_use u JOIN own USING (part)"
                    "   WHERE u.newest > $4),"
                    " new AS (INSERT INTO owd.profile_use (part, newest, log_offset)"
                    "   SELECT own.part, there.newest, $3 FROM own, there WHERE there.newest >"
                    "     coalesce ((SELECT max (u.newest) FROM owd.profile_use u WHERE u.part = own.part), 0)"
                    "   RETURNING log_offset, newest)"
                    " SELECT log_offset, newest FROM noted UNION ALL SELECT log_offset, newest FROM new ORDER BY 2",
                    4, values, uses, error);
}

/* ---- what share of the flows is kept ----------------------------------------------------------------- */

static gboolean
read_shares (OwdStore *self, const char *what, const char *sql, int n, const char *const *values, GArray *shares,
             GError **error)
{
  g_autoptr (PGresult) res = NULL;

  res = owd_conn_ask (&self->conn, what, sql, n, values, error);
  if (res == NULL)
    return FALSE;
  for (int row = 0; row < PQntuples (res); row++) {
    OwdShareUse use = { .offset = (guint64) int_at (res, row, 0, 0), .keep_ppm = (guint32) int_at (res, row, 1, 0) };

    g_array_append_val (shares, use);
  }
  return TRUE;
}

gboolean
owd_store_shares (OwdStore *self, guint part, GArray *shares, GError **error)
{
  Number n;
  const char *const values[] = { signed_text (&n, part) };

  return read_shares (self, "reading what share of the flows is kept from where on",
                      "SELECT log_offset, keep_ppm FROM owd.share_use WHERE part = $1 ORDER BY log_offset", 1, values,
                      shares, error);
}

gboolean
owd_store_use_share (OwdStore *self, guint part, const OwdShareUse *use, GArray *shares, GError **error)
{
  OwdClaim *claim = g_hash_table_lookup (self->claims, GUINT_TO_POINTER (part));
  Number n[4];
  const char *const values[] = { signed_text (&n[0], part), signed_text (&n[1], claim != NULL ? claim->epoch : -1),
                                 signed_text (&n[2], (gint64) use->offset), signed_text (&n[3], use->keep_ppm) };

  return read_shares (self, "noting what share of the flows is kept",
                      "WITH own AS (SELECT part FROM owd.partition WHERE part = $1 AND epoch = $2 FOR SHARE),"
                      " past AS (DELETE FROM owd.share_use u USING own"
                      "   WHERE u.part = own.part AND u.noted < now() - interval '30 days')"
                      " INSERT INTO owd.share_use (part, log_offset, keep_ppm) SELECT own.part, $3, $4 FROM own"
                      " ON CONFLICT (part, log_offset) DO UPDATE SET keep_ppm = excluded.keep_ppm"
                      " RETURNING log_offset, keep_ppm",
                      4, values, shares, error);
}
