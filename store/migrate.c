/* SPDX-License-Identifier: Apache-2.0
 *
 * The schema goes forward in numbered steps (sql/schema), each in its own transaction together with the note that it
 * has been done: an interrupted migration goes on where it stopped. Functions and views hold no data; they are created
 * anew, all in one transaction, whenever their text differs from what the database got last.
 *
 * An advisory lock makes programs that start at the same moment do this one after the other. lock_timeout keeps a step
 * that waits for a long reader from stopping everyone behind it.
 */
#include "store-private.h"

#include <string.h>

/* Any constant will do, as long as nobody else uses it: "oneway" in ASCII. */
#define LOCK_SQL "SELECT pg_advisory_lock (122519939408249)"
#define UNLOCK_SQL "SELECT pg_advisory_unlock (122519939408249)"

static guint
newest_step (void)
{
  return OWD_SQL_STEPS[OWD_SQL_N_STEPS - 1].step;
}

gboolean
owd_migrate_version (OwdConn *conn, guint *ret_version, GError **error)
{
  static const char what[] = "reading the schema's version";
  g_autoptr (PGresult) there = NULL, res = NULL;

  there = owd_conn_query (conn, what, PGRES_TUPLES_OK, "SELECT to_regclass ('owd.schema_step') IS NOT NULL", 0, NULL,
                          error);
  if (there == NULL)
    return FALSE;
  *ret_version = 0;
  if (strcmp (PQgetvalue (there, 0, 0), "t") != 0)
    return TRUE;
  res = owd_conn_query (conn, what, PGRES_TUPLES_OK, "SELECT coalesce (max (step), 0) FROM owd.schema_step", 0, NULL,
                        error);
  if (res == NULL)
    return FALSE;
  *ret_version = (guint) g_ascii_strtoull (PQgetvalue (res, 0, 0), NULL, 10);
  return TRUE;
}

gboolean
owd_migrate_check (OwdConn *conn, GError **error)
{
  guint version;

  if (!owd_migrate_version (conn, &version, error))
    return FALSE;
  if (version == 0)
    g_set_error (error, OWD_ERROR, OWD_ERROR_DB, "%s has no Oneway schema: run `oneway db migrate`", conn->target);
  else if (version < newest_step ())
    g_set_error (error, OWD_ERROR, OWD_ERROR_DB,
                 "%s: its schema is at step %u, step %u is needed: run `oneway db migrate`", conn->target, version,
                 newest_step ());
  else if (version > newest_step ())
    g_set_error (error, OWD_ERROR, OWD_ERROR_DB,
                 "%s: its schema is at step %u, this program knows steps up to %u: upgrade Oneway on this machine",
                 conn->target, version, newest_step ());
  return version == newest_step ();
}

static gboolean
run_step (OwdConn *conn, const OwdSqlFile *file, GError **error)
{
  char number[16];
  const char *const values[] = { number, file->name };
  g_autofree char *what = g_strdup_printf ("schema step %s", file->name);
  g_autoptr (PGresult) noted = NULL;

  g_snprintf (number, sizeof number, "%u", file->step);
  if (!owd_conn_run (conn, what, "BEGIN", error) || !owd_conn_run (conn, what, file->text, error))
    return FALSE;
  noted = owd_conn_query (conn, what, PGRES_COMMAND_OK, "INSERT INTO owd.schema_step (step, name) VALUES ($1, $2)", 2,
                          values, error);
  return noted != NULL && owd_conn_commit (conn, what, error);
}

static gboolean
run_steps (OwdConn *conn, OwdMigrateFunc progress, void *user, GError **error)
{
  guint version;

  if (!owd_migrate_version (conn, &version, error))
    return FALSE;
  if (version == 0) {
    g_autoptr (PGresult) res = owd_conn_query (conn, "looking for the schema", PGRES_TUPLES_OK,
                                               "SELECT 1 FROM pg_namespace WHERE nspname = 'owd'", 0, NULL, error);

    if (res == NULL)
      return FALSE;
    if (PQntuples (res) == 0 && !owd_conn_run (conn, "creating the schema owd", "CREATE SCHEMA owd", error))
      return FALSE;
  }
  for (guint i = 0; i < OWD_SQL_N_STEPS; i++) {
    if (OWD_SQL_STEPS[i].step <= version)
      continue;
    if (!run_step (conn, &OWD_SQL_STEPS[i], error))
      return FALSE;
    if (progress != NULL)
      progress (user, OWD_SQL_STEPS[i].step, OWD_SQL_STEPS[i].name);
  }
  return TRUE;
}

/* Functions and views, unless the database has just these. */
static gboolean
run_code (OwdConn *conn, GError **error)
{
  static const char what[] = "functions and views";
  const char *const digest[] = { OWD_SQL_CODE_DIGEST };
  g_autoptr (PGresult) same = NULL, noted = NULL;

  same = owd_conn_query (conn, what, PGRES_TUPLES_OK, "SELECT 1 FROM owd.schema_code WHERE digest = $1", 1, digest,
                         error);
  if (same == NULL || PQntuples (same) > 0)
    return same != NULL;
  if (!owd_conn_run (conn, what, "BEGIN", error))
    return FALSE;
  for (guint i = 0; i < OWD_SQL_N_CODE; i++)
    if (!owd_conn_run (conn, OWD_SQL_CODE[i].name, OWD_SQL_CODE[i].text, error))
      return FALSE;
  noted = owd_conn_query (conn, what, PGRES_COMMAND_OK,
                          "INSERT INTO owd.schema_code (digest) VALUES ($1)"
                          " ON CONFLICT (one) DO UPDATE SET digest = excluded.digest, rights = NULL",
                          1, digest, error);
  return noted != NULL && owd_conn_commit (conn, what, error);
}

/* After every migration: the roles may have been made, or the right to make them given, since the last one. */
static gboolean
run_rights (OwdConn *conn, GError **error)
{
  g_autoptr (PGresult) res = owd_conn_query (conn, "giving rights to owd_reader and owd_writer", PGRES_TUPLES_OK,
                                             "SELECT owd.give_rights ()", 0, NULL, error);

  return res != NULL;
}

static gboolean
migrate_locked (OwdConn *conn, OwdMigrateFunc progress, void *user, GError **error)
{
  guint version;

  if (!owd_conn_run (conn, "waiting for another migration", LOCK_SQL, error)
      || !owd_conn_run (conn, "setting the session up", "SET lock_timeout = '10s'", error)
      || !owd_migrate_version (conn, &version, error))
    return FALSE;
  /* Never put older functions over a newer schema. */
  if (version > newest_step ())
    return owd_migrate_check (conn, error);
  return run_steps (conn, progress, user, error) && run_code (conn, error) && run_rights (conn, error)
         && owd_conn_run (conn, "ending the migration", UNLOCK_SQL, error);
}

gboolean
owd_store_migrate (const char *conninfo, OwdMigrateFunc progress, void *user, GError **error)
{
  OwdConn conn;
  gboolean fine;

  owd_conn_init (&conn, conninfo, "oneway-migrate");
  fine = owd_conn_ready (&conn, error) && migrate_locked (&conn, progress, user, error);
  owd_conn_clear (&conn); /* ends an open transaction and the lock */
  return fine;
}

gboolean
owd_store_version (const char *conninfo, guint *ret_database, guint *ret_newest, GError **error)
{
  OwdConn conn;
  gboolean fine;
  guint version = 0;

  owd_conn_init (&conn, conninfo, "oneway");
  fine = owd_conn_ready (&conn, error) && owd_migrate_version (&conn, &version, error);
  owd_conn_clear (&conn);
  if (!fine)
    return FALSE;
  *ret_database = version;
  *ret_newest = newest_step ();
  return TRUE;
}
