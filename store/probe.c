/* SPDX-License-Identifier: Apache-2.0
 *
 * The probe's side. Results travel as the JSON lines that the program prints, and PostgreSQL takes them apart
 * (sql/functions/probe_load.sql): one statement, so all lines or none.
 */
#include "store-private.h"

#include <math.h>

static gboolean
ask_number (OwdStore *self, const char *what, const char *sql, const char *value, guint64 *ret, GError **error)
{
  const char *const values[] = { value };
  g_autoptr (PGresult) res = NULL;

  res = owd_conn_ask (&self->conn, what, sql, 1, values, error);
  if (res == NULL)
    return FALSE;
  *ret = g_ascii_strtoull (PQgetvalue (res, 0, 0), NULL, 10);
  return TRUE;
}

gboolean
owd_store_probe_lines (OwdStore *self, const char *lines, guint64 *ret_new, GError **error)
{
  return ask_number (self, "writing probe results", "SELECT owd.load_probe_lines ($1)", lines, ret_new, error);
}

gboolean
owd_store_validation_lines (OwdStore *self, const char *lines, GError **error)
{
  guint64 n;

  return ask_number (self, "writing the validation", "SELECT owd.load_validation_lines ($1)", lines, &n, error);
}

gboolean
owd_store_calibration_lines (OwdStore *self, const char *lines, GError **error)
{
  guint64 n;

  return ask_number (self, "writing the calibration", "SELECT owd.load_calibration_lines ($1)", lines, &n, error);
}

gboolean
owd_store_retain_probes (OwdStore *self, gint64 keep_ns, guint *ret_dropped, GError **error)
{
  char seconds[24];
  guint64 dropped;

  g_snprintf (seconds, sizeof seconds, "%" G_GINT64_FORMAT, keep_ns / OWD_NS_PER_S);
  if (!ask_number (self, "dropping old days of probe results",
                   "SELECT owd.drop_probe_days (make_interval (secs => $1))", seconds, &dropped, error))
    return FALSE;
  *ret_dropped = (guint) dropped;
  return TRUE;
}

/* ---- active beside passive --------------------------------------------------------------------- */

/* The parameters that all questions about a range have. */
typedef struct {
  char from[24], to[24], slack[32];
  const char *values[3];
} Range;

static void
range_init (Range *r, OwdTime from, OwdTime to, gint64 slack_ns)
{
  g_snprintf (r->from, sizeof r->from, "%" G_GINT64_FORMAT, from);
  g_snprintf (r->to, sizeof r->to, "%" G_GINT64_FORMAT, to);
  g_snprintf (r->slack, sizeof r->slack, "%" G_GINT64_FORMAT " microseconds", slack_ns / OWD_NS_PER_US);
  r->values[0] = r->from;
  r->values[1] = r->to;
  r->values[2] = r->slack;
}

static PGresult *
ask_range (OwdStore *self, const char *what, const char *sql, const Range *range, int n, GError **error)
{
  return owd_conn_ask (&self->conn, what, sql, n, range->values, error);
}

static double
get_double (const PGresult *res, int row, int column)
{
  return PQgetisnull (res, row, column) ? NAN : g_ascii_strtod (PQgetvalue (res, row, column), NULL);
}

static void
get_doubles (const PGresult *res, int row, int column, double *const *into, guint n)
{
  for (guint i = 0; i < n; i++)
    *into[i] = get_double (res, row, column + (int) i);
}

gboolean
owd_store_probe_matches (OwdStore *self, OwdTime from, OwdTime to, gint64 slack_ns, OwdProbeMatchSink sink, void *user,
                         GError **error)
{
  g_autoptr (PGresult) res = NULL;
  Range range;

  range_init (&range, from, to, slack_ns);
  res = ask_range (self, "matching probe packets with samples",
                   "SELECT src, dst, probe_src, probe_dst, mode, size, rtt_ms, up_ms, up_lo_ms, up_hi_ms, down_ms,"
                   " down_lo_ms, down_hi_ms, there_ms, there_lo_ms, there_hi_ms, there_sigma_ms, back_ms, back_lo_ms,"
                   " back_hi_ms, back_sigma_ms"
                   " FROM owd.probe_matches (owd.ts_of_ns ($1), owd.ts_of_ns ($2), $3::interval)",
                   &range, 3, error);
  for (int i = 0; res != NULL && i < PQntuples (res); i++) {
    OwdProbeMatch m = { .src = PQgetvalue (res, i, 0),
                        .dst = PQgetvalue (res, i, 1),
                        .probe_src = PQgetvalue (res, i, 2),
                        .probe_dst = PQgetvalue (res, i, 3),
                        .mode = PQgetvalue (res, i, 4),
                        .size = (guint) g_ascii_strtoull (PQgetvalue (res, i, 5), NULL, 10) };
    double *const into[]
        = { &m.rtt,      &m.up,       &m.up_lo,       &m.up_hi, &m.down,    &m.down_lo, &m.down_hi,   &m.there,
            &m.there_lo, &m.there_hi, &m.there_sigma, &m.back,  &m.back_lo, &m.back_hi, &m.back_sigma };

    get_doubles (res, i, 6, into, G_N_ELEMENTS (into));
    sink (&m, user);
  }
  return res != NULL;
}

gboolean
owd_store_probe_vias (OwdStore *self, OwdTime from, OwdTime to, gint64 slack_ns, OwdProbeViaSink sink, void *user,
                      GError **error)
{
  g_autoptr (PGresult) res = NULL;
  Range range;

  range_init (&range, from, to, slack_ns);
  res = ask_range (self, "comparing ways over three points",
                   "SELECT src, via, dst, owd_ms, lo_ms, hi_ms, sigma_ms, sum_ms, sum_lo_ms, sum_hi_ms"
                   " FROM owd.probe_vias (owd.ts_of_ns ($1), owd.ts_of_ns ($2), $3::interval)",
                   &range, 3, error);
  for (int i = 0; res != NULL && i < PQntuples (res); i++) {
    OwdProbeVia v = { .src = PQgetvalue (res, i, 0), .via = PQgetvalue (res, i, 1), .dst = PQgetvalue (res, i, 2) };
    double *const into[] = { &v.owd, &v.lo, &v.hi, &v.sigma, &v.sum, &v.sum_lo, &v.sum_hi };

    get_doubles (res, i, 3, into, G_N_ELEMENTS (into));
    sink (&v, user);
  }
  return res != NULL;
}

gboolean
owd_store_probe_compose (OwdStore *self, OwdTime from, OwdTime to, OwdProbeComposedSink sink, void *user,
                         GError **error)
{
  g_autoptr (PGresult) res = NULL;
  Range range;

  range_init (&range, from, to, 0);
  res = ask_range (self, "adding up active delays",
                   "SELECT src, via, dst, size, owd_ms, lo_ms, hi_ms, |/ (stderr_ms ^ 2 + sum_stderr_ms ^ 2), sum_ms,"
                   " sum_lo_ms, sum_hi_ms FROM owd.probe_compose (owd.ts_of_ns ($1), owd.ts_of_ns ($2))",
                   &range, 2, error);
  for (int i = 0; res != NULL && i < PQntuples (res); i++) {
    OwdProbeComposed c = { .src = PQgetvalue (res, i, 0),
                           .via = PQgetvalue (res, i, 1),
                           .dst = PQgetvalue (res, i, 2),
                           .size = (guint) g_ascii_strtoull (PQgetvalue (res, i, 3), NULL, 10) };
    double *const into[] = { &c.owd, &c.lo, &c.hi, &c.sigma, &c.sum, &c.sum_lo, &c.sum_hi };

    get_doubles (res, i, 4, into, G_N_ELEMENTS (into));
    sink (&c, user);
  }
  return res != NULL;
}

static gint64
get_int (const PGresult *res, int row, int column)
{
  return g_ascii_strtoll (PQgetvalue (res, row, column), NULL, 10);
}

gboolean
owd_store_probe_stamps (OwdStore *self, OwdTime from, OwdTime to, gint64 slack_ns, OwdProbeStampSink sink, void *user,
                        GError **error)
{
  g_autoptr (PGresult) res = NULL;
  Range range;

  range_init (&range, from, to, slack_ns);
  res = ask_range (
      self, "comparing stamps with the probe's",
      "SELECT s.point, s.clock, (extract (epoch FROM s.ts) * 1000000)::bigint * 1000, s.residual_ns,"
      " coalesce (e.step_ns, 0), s.later::integer, s.clock_error_ms"
      " FROM owd.probe_stamps (owd.ts_of_ns ($1), owd.ts_of_ns ($2), $3::interval) s"
      " LEFT JOIN (SELECT x.name, (max (greatest (x.start_step_ms, x.end_step_ms)) * 1000000)::bigint AS step_ns"
      " FROM owd.exporters x GROUP BY x.name) e ON e.name = s.point ORDER BY s.point, s.clock, s.ts",
      &range, 3, error);
  for (int i = 0; res != NULL && i < PQntuples (res); i++) {
    const OwdProbeStamp s = { .point = PQgetvalue (res, i, 0),
                              .clock = PQgetvalue (res, i, 1),
                              .sent = get_int (res, i, 2),
                              .residual_ns = get_int (res, i, 3),
                              .step_ns = get_int (res, i, 4),
                              .later = get_int (res, i, 5) != 0,
                              .clock_error_ms = get_double (res, i, 6) };

    sink (&s, user);
  }
  return res != NULL;
}

OwdTable *
owd_store_probe_counts (OwdStore *self, OwdTime from, OwdTime to, GError **error)
{
  Range range;

  range_init (&range, from, to, 0);
  return owd_store_ask (self, "counting probe packets",
                        "SELECT src, dst, mode, size, count (*) AS sent, count (rtt_ms) AS answered"
                        " FROM owd.probe_results WHERE ts >= owd.ts_of_ns ($1) AND ts < owd.ts_of_ns ($2)"
                        " GROUP BY src, dst, mode, size ORDER BY src, dst, mode, size",
                        2, range.values, error);
}

gboolean
owd_store_probe_range (OwdStore *self, const char *from, const char *to, OwdTime *ret_from, OwdTime *ret_to,
                       GError **error)
{
  const char *const values[] = { from, to };
  g_autoptr (OwdTable) table = owd_store_ask (
      self, "finding the time range",
      "WITH ends AS (SELECT (SELECT ts FROM owd.probe_results ORDER BY ts LIMIT 1) AS first,"
      " (SELECT ts + interval '1 microsecond' FROM owd.probe_results ORDER BY ts DESC LIMIT 1) AS last),"
      " upto AS (SELECT first, CASE WHEN $2::text IS NULL THEN last"
      "   WHEN left ($2, 1) = '-' THEN now () + $2::interval ELSE $2::timestamptz END AS until FROM ends),"
      " range AS (SELECT until, CASE WHEN $1::text IS NULL THEN greatest (until - interval '1 day', least (first, "
      "until))"
      "   WHEN left ($1, 1) = '-' THEN until + $1::interval ELSE $1::timestamptz END AS since FROM upto)"
      " SELECT (extract (epoch FROM since) * 1000000)::bigint * 1000, (extract (epoch FROM until) * 1000000)::bigint * "
      "1000"
      " FROM range",
      2, values, error);

  if (table == NULL)
    return FALSE;
  *ret_from = table->cells[0] != NULL ? g_ascii_strtoll (table->cells[0], NULL, 10) : OWD_TIME_NONE;
  *ret_to = table->cells[1] != NULL ? g_ascii_strtoll (table->cells[1], NULL, 10) : OWD_TIME_NONE;
  return TRUE;
}
