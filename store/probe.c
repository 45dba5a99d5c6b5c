/* SPDX-License-Identifier: Apache-2.0
 *
 * The probe's side. Results travel as the JSON lines that the program prints, and PostgreSQL takes them apart
 * (sql/functions/probe_load.sql): one statement, so all lines or none.
 */
#include "store-private.h"

static gboolean
ask_number (OwdStore *self, const char *what, const char *sql, const char *value, guint64 *ret, GError **error)
{
  const char *const values[] = { value };
  g_autoptr (PGresult) res = NULL;

  if (!owd_conn_ready (&self->conn, error))
    return FALSE;
  res = owd_conn_query (&self->conn, what, PGRES_TUPLES_OK, sql, 1, values, error);
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
