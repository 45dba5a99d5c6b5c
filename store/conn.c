/* SPDX-License-Identifier: Apache-2.0
 *
 * One connection to PostgreSQL.
 *
 * Two kinds of failure matter to the caller: the database is away (OWD_ERROR_DB_AWAY: the same call may work later), or
 * it refuses (OWD_ERROR_DB: it will refuse again). A connection that cannot be made always counts as away: at that
 * point libpq tells reasons as translated text only, and a server that starts, a role that is still to be created and a
 * password that is being changed look alike.
 *
 * Session: UTC and ISO dates whatever the server's defaults, an empty search_path, and a bound on how long a process
 * that has gone wrong may sit on a transaction, because a new owner of its partition waits for that row.
 */
#include "store-private.h"

#include <string.h>

static const char SESSION_SQL[] = "SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; SET timezone = 'UTC';"
                                  "SET search_path = pg_catalog, pg_temp; SET client_min_messages = warning;"
                                  "SET idle_in_transaction_session_timeout = '60s'";

void
owd_conn_init (OwdConn *self, const char *conninfo, const char *program)
{
  *self = (OwdConn){ .conninfo = g_strdup (conninfo), .program = g_strdup (program) };
}

static void
close_connection (OwdConn *self)
{
  g_clear_pointer (&self->pg, PQfinish);
  self->broken = FALSE;
}

void
owd_conn_clear (OwdConn *self)
{
  close_connection (self);
  g_clear_pointer (&self->row, PQfreemem);
  g_clear_pointer (&self->conninfo, g_free);
  g_clear_pointer (&self->program, g_free);
  g_clear_pointer (&self->target, g_free);
}

/* The server's words on one line. */
static char *
one_line (const char *text)
{
  char *line = g_strstrip (g_strdup (text != NULL ? text : ""));

  g_strdelimit (line, "\r\n\t", ' ');
  return line;
}

/* libpq quotes what it cannot parse, and that may be half a password: refused here, in other words. */
static gboolean
check_conninfo (const char *conninfo, GError **error)
{
  PQconninfoOption *options;

  if (conninfo == NULL || (strchr (conninfo, '=') == NULL && strstr (conninfo, "://") == NULL))
    return TRUE;
  options = PQconninfoParse (conninfo, NULL);
  if (options == NULL) {
    g_set_error_literal (error, OWD_ERROR, OWD_ERROR_CONFIG,
                         "database: connection settings not understood; write key=value pairs, e.g. "
                         "\"host=/run/postgresql dbname=oneway\", or postgresql://user@host/database");
    return FALSE;
  }
  PQconninfoFree (options);
  return TRUE;
}

static char *
describe_target (const PGconn *pg)
{
  const char *db = PQdb (pg), *host = PQhost (pg), *port = PQport (pg);

  return g_strdup_printf ("database \"%s\" at %s:%s", db != NULL ? db : "", host != NULL ? host : "",
                          port != NULL ? port : "");
}

static void
ignore_notice (void *user, const char *message)
{
  g_autofree char *line = one_line (message);

  (void) user;
  g_debug ("%s", line);
}

static gboolean
connect_now (OwdConn *self, GError **error)
{
  /* What comes before dbname can be overridden by it. */
  const char *const keys[]
      = { "fallback_application_name", "connect_timeout", "tcp_user_timeout", "dbname", "client_encoding", NULL };
  const char *const values[] = { self->program, "10", "30000", self->conninfo, "UTF8", NULL };

  if (!check_conninfo (self->conninfo, error))
    return FALSE;
  self->pg = PQconnectdbParams (keys, values, 1);
  if (self->pg == NULL)
    g_error ("out of memory");
  g_free (self->target);
  self->target = describe_target (self->pg);
  if (PQstatus (self->pg) != CONNECTION_OK) {
    g_autofree char *why = one_line (PQerrorMessage (self->pg));

    g_set_error (error, OWD_ERROR, OWD_ERROR_DB_AWAY, "cannot connect to %s: %s", self->target, why);
    close_connection (self);
    return FALSE;
  }
  PQsetNoticeProcessor (self->pg, ignore_notice, NULL);
  if (!owd_conn_run (self, "setting the session up", SESSION_SQL, error)) {
    close_connection (self);
    return FALSE;
  }
  self->generation++;
  return TRUE;
}

gboolean
owd_conn_ready (OwdConn *self, GError **error)
{
  if (self->pg != NULL && !self->broken && PQstatus (self->pg) == CONNECTION_OK)
    return TRUE;
  close_connection (self);
  return connect_now (self, error);
}

/* Classes and codes after which the same call may succeed: connection exceptions, out of resources, shut-down and
 * start-up, lost races for locks, time-outs. */
static gboolean
may_pass (const char *sqlstate)
{
  static const char *const prefixes[]
      = { "08", "53", "57P", "40001", "40P01", "55P03", "57014", "25P03", "25P04", "58030" };

  for (gsize i = 0; i < G_N_ELEMENTS (prefixes); i++)
    if (g_str_has_prefix (sqlstate, prefixes[i]))
      return TRUE;
  return FALSE;
}

static void
set_error_from (OwdConn *self, const PGresult *res, const char *what, GError **error)
{
  const char *state = res != NULL ? PQresultErrorField (res, PG_DIAG_SQLSTATE) : NULL;
  const char *hint = res != NULL ? PQresultErrorField (res, PG_DIAG_MESSAGE_HINT) : NULL;
  const char *text = res != NULL ? PQresultErrorField (res, PG_DIAG_MESSAGE_PRIMARY) : NULL;
  /* Every refusal by the server has a state; what has none is libpq's own trouble, even where it still says OK. */
  gboolean lost = state == NULL || PQstatus (self->pg) != CONNECTION_OK;
  g_autofree char *line = one_line (text != NULL ? text : PQerrorMessage (self->pg));

  if (lost) {
    self->broken = TRUE;
    g_set_error (error, OWD_ERROR, OWD_ERROR_DB_AWAY, "%s: connection lost while %s: %s", self->target, what, line);
  } else {
    g_set_error (error, OWD_ERROR, may_pass (state) ? OWD_ERROR_DB_AWAY : OWD_ERROR_DB,
                 "%s%s%s (while %s, %s, SQLSTATE %s)", line, hint != NULL ? ". " : "", hint != NULL ? hint : "", what,
                 self->target, state);
  }
}

static PGresult *
query (OwdConn *self, const char *what, ExecStatusType want, const char *sql, int n, const char *const *values,
       int format, GError **error)
{
  g_autoptr (PGresult) res = PQexecParams (self->pg, sql, n, NULL, values, NULL, NULL, format);

  if (PQresultStatus (res) != want) {
    set_error_from (self, res, what, error);
    return NULL;
  }
  return g_steal_pointer (&res);
}

PGresult *
owd_conn_query (OwdConn *self, const char *what, ExecStatusType want, const char *sql, int n, const char *const *values,
                GError **error)
{
  return query (self, what, want, sql, n, values, 0, error);
}

PGresult *
owd_conn_ask (OwdConn *self, const char *what, const char *sql, int n, const char *const *values, GError **error)
{
  return owd_conn_ready (self, error) ? owd_conn_query (self, what, PGRES_TUPLES_OK, sql, n, values, error) : NULL;
}

PGresult *
owd_conn_fetch (OwdConn *self, const char *what, const char *sql, int n, const char *const *values, GError **error)
{
  return query (self, what, PGRES_TUPLES_OK, sql, n, values, 1, error);
}

gboolean
owd_conn_run (OwdConn *self, const char *what, const char *sql, GError **error)
{
  g_autoptr (PGresult) res = PQexec (self->pg, sql);
  ExecStatusType status = PQresultStatus (res);

  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_COPY_IN && status != PGRES_COPY_OUT) {
    set_error_from (self, res, what, error);
    return FALSE;
  }
  return TRUE;
}

gboolean
owd_conn_commit (OwdConn *self, const char *what, GError **error)
{
  g_autoptr (PGresult) res = owd_conn_query (self, what, PGRES_COMMAND_OK, "COMMIT", 0, NULL, error);

  if (res == NULL)
    return FALSE;
  if (strcmp (PQcmdStatus (res), "COMMIT") != 0) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_DB, "%s: %s: the transaction was rolled back", self->target, what);
    return FALSE;
  }
  return TRUE;
}

void
owd_conn_rollback (OwdConn *self)
{
  g_autoptr (PGresult) res = NULL;

  if (self->pg != NULL && !self->broken && PQtransactionStatus (self->pg) == PQTRANS_IDLE)
    return;
  if (self->pg != NULL && !self->broken)
    res = PQexec (self->pg, "ROLLBACK");
  if (PQresultStatus (res) != PGRES_COMMAND_OK)
    close_connection (self);
}

gboolean
owd_conn_copy_put (OwdConn *self, const char *what, const void *data, gsize len, GError **error)
{
  g_return_val_if_fail (len <= G_MAXINT, FALSE);
  if (PQputCopyData (self->pg, data, (int) len) == 1)
    return TRUE;
  set_error_from (self, NULL, what, error);
  return FALSE;
}

/* The end of a COPY, well or not. */
static gboolean
drain (OwdConn *self, const char *what, GError **error)
{
  gboolean fine = TRUE;
  PGresult *res;

  while ((res = PQgetResult (self->pg)) != NULL) {
    if (fine && PQresultStatus (res) != PGRES_COMMAND_OK) {
      set_error_from (self, res, what, error);
      fine = FALSE;
    }
    PQclear (res);
    if (self->broken)
      break;
  }
  return fine;
}

gboolean
owd_conn_copy_get (OwdConn *self, const char *what, const guint8 **ret_data, gsize *ret_len, GError **error)
{
  int len;

  g_clear_pointer (&self->row, PQfreemem);
  *ret_data = NULL;
  len = PQgetCopyData (self->pg, &self->row, 0);
  if (len > 0) {
    *ret_data = (const guint8 *) self->row;
    *ret_len = (gsize) len;
    return TRUE;
  }
  if (len == -2) {
    set_error_from (self, NULL, what, error);
    return FALSE;
  }
  return drain (self, what, error);
}

gboolean
owd_conn_copy_end (OwdConn *self, const char *what, GError **error)
{
  if (PQputCopyEnd (self->pg, NULL) != 1) {
    set_error_from (self, NULL, what, error);
    return FALSE;
  }
  return drain (self, what, error);
}
