/* SPDX-License-Identifier: Apache-2.0
 *
 * The store against a real server (cluster.sh run). Every test starts with an empty schema.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libpq-fe.h>

#include "owd-store.h"
#include "proxy.h"

#define UUID "7e0d7a9c-5f0e-4f0e-9d43-0b6a3a1c2d11"
#define T0 (G_GINT64_CONSTANT (1795329600) * OWD_NS_PER_S) /* 2026-11-22 06:40 UTC */

static const OwdPoint POINTS[] = {
  { .key = { .addr = { .b = { 1 } }, .domain = 0, .version = 9 }, .name = "edge-a" },
  { .key = { .addr = { .b = { 2 } }, .domain = 0, .version = 9 }, .name = "edge-b" },
  { .key = { .addr = { .b = { 3 } }, .domain = 0, .version = 9 }, .name = "Zürich \"core\"; DROP TABLE x --" },
  { .key = { .addr = { .b = { 4 } }, .domain = 7, .version = 9 }, .name = "192.0.2.1#7" },
};

static PGconn *watcher; /* looks at what the store has done */

/* ---- looking ----------------------------------------------------------------------------------- */

/* First value of the first row; fails the test where the statement fails. */
static char *G_GNUC_PRINTF (1, 2) sql (const char *format, ...)
{
  g_autofree char *text = NULL;
  char *value = NULL;
  PGresult *res;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  if (PQstatus (watcher) != CONNECTION_OK)
    PQreset (watcher);
  res = PQexec (watcher, text);
  if (PQresultStatus (res) != PGRES_TUPLES_OK && PQresultStatus (res) != PGRES_COMMAND_OK)
    fail_msg ("%s: %s", text, PQerrorMessage (watcher));
  if (PQntuples (res) > 0 && !PQgetisnull (res, 0, 0))
    value = g_strdup (PQgetvalue (res, 0, 0));
  PQclear (res);
  return value;
}

#define assert_sql(expected, ...)                                                                                      \
  do {                                                                                                                 \
    g_autofree char *value_ = sql (__VA_ARGS__);                                                                       \
    assert_string_equal (value_ != NULL ? value_ : "NULL", expected);                                                  \
  } while (0)

#define assert_error(error, want)                                                                                      \
  do {                                                                                                                 \
    assert_non_null (error);                                                                                           \
    if (!g_error_matches (error, OWD_ERROR, want))                                                                     \
      fail_msg ("unexpected error %d: %s", (error)->code, (error)->message);                                           \
    g_clear_error (&(error));                                                                                          \
  } while (0)

#define assert_works(call)                                                                                             \
  do {                                                                                                                 \
    if (!(call))                                                                                                       \
      fail_msg ("%s: %s", #call, error != NULL ? error->message : "no error set");                                     \
  } while (0)

static int
empty_schema (void **state)
{
  GError *error = NULL;

  (void) state;
  g_free (sql ("DROP SCHEMA IF EXISTS owd CASCADE"));
  assert_works (owd_store_migrate (NULL, NULL, NULL, &error));
  return 0;
}

static OwdStore *
open_store (const char *conninfo)
{
  GError *error = NULL;
  OwdStore *store = owd_store_open (conninfo, "oneway-test", &error);

  assert_works (store != NULL);
  assert_works (owd_store_points (store, POINTS, G_N_ELEMENTS (POINTS), &error));
  return store;
}

static OwdMark
claim (OwdStore *store, guint part)
{
  GError *error = NULL;
  OwdMark mark;

  assert_works (owd_store_claim (store, UUID, part, 4, &mark, &error));
  return mark;
}

/* Samples first..first + n - 1, half a millisecond apart: a pure function of their number. */
static OwdSample *
make_samples (guint64 first, gsize n)
{
  OwdSample *samples = g_new0 (OwdSample, n);

  for (gsize i = 0; i < n; i++) {
    guint64 seq = first + i;

    samples[i] = (OwdSample){ .seq = seq,
                              .ts = T0 + (gint64) seq * 500123,
                              .owd_ns = (gint64) (seq * 7919 % 50000000) - 1000000,
                              .lo_ns = -2000000,
                              .hi_ns = 60000000,
                              .sigma_ns = 410000,
                              .bias_ns = (gint64) (seq % 1000),
                              .flow = seq * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15),
                              .src = (guint32) (seq % 3),
                              .dst = (guint32) (seq % 3 + 1),
                              .profile_id = (guint32) (seq % 5),
                              .flags = (guint16) (seq * 257 & ~(guint) OWD_SAMPLE_EXCESS),
                              .kind = (guint8) (seq % 3 + 1),
                              .proto = (guint8) (seq % 256) };
  }
  return samples;
}

static gboolean
commit (OwdStore *store, guint part, guint64 first, gsize n, GError **error)
{
  g_autofree OwdSample *samples = make_samples (first, n);
  OwdMark mark
      = { .offset = (first + n) * 100, .seq = first + n - 1, .watermark = T0 + (gint64) (first + n - 1) * 500123 };

  return owd_store_commit (store, part, samples, n, NULL, 0, &mark, mark.watermark + 1, error);
}

/* The whole table as one value: equal exactly where all rows and their order are. */
static char *
digest (guint part)
{
  return sql ("SELECT md5 (coalesce (string_agg (s::text, '|' ORDER BY seq), '')) || ' ' || count (*)"
              " FROM owd.sample s WHERE part = %u",
              part);
}

/* ---- schema ------------------------------------------------------------------------------------ */

static void
count_step (void *user, guint step, const char *name)
{
  guint *n = user;

  assert_int_equal (step, ++*n);
  assert_non_null (name);
}

static void
migrates_from_empty_and_twice (void **state)
{
  GError *error = NULL;
  guint steps = 0, version, newest;

  (void) state;
  g_free (sql ("DROP SCHEMA owd CASCADE"));
  assert_works (owd_store_version (NULL, &version, &newest, &error));
  assert_int_equal (version, 0);
  assert_null (owd_store_open (NULL, "oneway-test", &error));
  assert_non_null (strstr (error->message, "oneway db migrate"));
  assert_error (error, OWD_ERROR_DB);

  assert_works (owd_store_migrate (NULL, count_step, &steps, &error));
  assert_int_equal (steps, newest);
  assert_works (owd_store_migrate (NULL, count_step, &steps, &error));
  assert_int_equal (steps, newest);
  assert_works (owd_store_version (NULL, &version, &newest, &error));
  assert_int_equal (version, newest);
}

static void
restores_functions_and_views (void **state)
{
  GError *error = NULL;

  (void) state;
  g_free (sql ("DROP FUNCTION owd.matrix; UPDATE owd.schema_code SET digest = 'of an older release'"));
  assert_works (owd_store_migrate (NULL, NULL, NULL, &error));
  assert_sql ("1", "SELECT count (*) FROM pg_proc WHERE oid = 'owd.matrix'::regproc");
}

static void
refuses_newer_schema (void **state)
{
  GError *error = NULL;

  (void) state;
  g_free (sql ("INSERT INTO owd.schema_step (step, name) VALUES (9999, 'from the future')"));
  assert_null (owd_store_open (NULL, "oneway-test", &error));
  assert_non_null (strstr (error->message, "upgrade Oneway"));
  assert_error (error, OWD_ERROR_DB);
  assert_false (owd_store_migrate (NULL, NULL, NULL, &error));
  assert_error (error, OWD_ERROR_DB);
}

static void
everything_public_is_described (void **state)
{
  (void) state;
  assert_sql ("NULL",
              "SELECT string_agg (c.relname || '.' || a.attname, ' ') FROM pg_class c"
              " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
              " WHERE c.relnamespace = 'owd'::regnamespace AND c.relkind = 'v'"
              " AND (col_description (c.oid, a.attnum) IS NULL OR obj_description (c.oid, 'pg_class') IS NULL)");
  assert_sql ("NULL", "SELECT string_agg (p.proname, ' ') FROM pg_proc p WHERE p.pronamespace = 'owd'::regnamespace"
                      " AND obj_description (p.oid, 'pg_proc') IS NULL");
  assert_sql ("NULL",
              "SELECT string_agg (p.proname, ' ') FROM pg_proc p WHERE p.pronamespace = 'owd'::regnamespace"
              " AND p.prosqlbody IS NULL AND (p.proconfig IS NULL OR p.proconfig[1] NOT LIKE 'search_path=%%')");
}

/* ---- connection settings ----------------------------------------------------------------------- */

static void
messages_hold_no_secret (void **state)
{
  static const char *const bad[] = { "host=/nonexistent password=hunter2", "password=hunter2 hunter2",
                                     "postgresql://u:hunter2@[::1/x", "host=/nonexistent password='hunter2" };
  GError *error = NULL;

  (void) state;
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    assert_null (owd_store_open (bad[i], "oneway-test", &error));
    assert_null (strstr (error->message, "hunter2"));
    assert_null (strchr (error->message, '\n'));
    g_clear_error (&error);
  }
}

static void
names_itself (void **state)
{
  OwdStore *store = open_store (NULL);

  (void) state;
  assert_sql ("1", "SELECT count (*) FROM pg_stat_activity WHERE application_name = 'oneway-test'");
  owd_store_free (store);
}

/* ---- samples ----------------------------------------------------------------------------------- */

static void
copies_every_bit (void **state)
{
  OwdSample samples[4] = {
    { .seq = 1,
      .ts = G_MININT64 + 1,
      .owd_ns = G_MININT64,
      .lo_ns = G_MININT64,
      .hi_ns = G_MAXINT64,
      .kind = 1,
      .dst = 1 },
    { .seq = 2,
      .ts = -1,
      .owd_ns = -1,
      .sigma_ns = G_MAXINT64,
      .bias_ns = G_MININT64,
      .kind = 2,
      .flags = 0x7fff,
      .dst = 1 },
    { .seq = 3, .ts = 999, .flow = G_MAXUINT64, .proto = 255, .kind = 3, .profile_id = G_MAXINT32, .dst = 1 },
    { .seq = 4, .ts = G_MAXINT64, .owd_ns = G_MAXINT64, .kind = 3, .flow = 1, .src = 2, .dst = 3 },
  };
  OwdMark mark = { .offset = G_MAXINT64, .seq = 4, .watermark = G_MAXINT64 }, back;
  g_autoptr (OwdStore) store = open_store (NULL);
  GError *error = NULL;

  (void) state;
  (void) claim (store, 3);
  assert_works (owd_store_commit (store, 3, samples, 4, NULL, 0, &mark, G_MAXINT64, &error));
  assert_sql (
      "1677-09-21 00:12:43.145224+00,1,-9223372036854775808,-9223372036854775808,9223372036854775807,0,0,0,0,3,0,1,0",
      "SELECT concat_ws (',', ts, seq, owd_ns, lo_ns, hi_ns, sigma_ns, bias_ns, flow, profile_id, part, flags, kind,"
      " proto) FROM owd.sample WHERE seq = 1");
  assert_sql ("1969-12-31 23:59:59.999999+00,-1,9223372036854775807,-9223372036854775808,32767,2",
              "SELECT concat_ws (',', ts, owd_ns, sigma_ns, bias_ns, flags, kind) FROM owd.sample WHERE seq = 2");
  assert_sql ("1970-01-01 00:00:00+00,-1,255,2147483647",
              "SELECT concat_ws (',', ts, flow, proto, profile_id) FROM owd.sample WHERE seq = 3");
  assert_sql ("2262-04-11 23:47:16.854775+00,9223372036854775807",
              "SELECT concat_ws (',', ts, owd_ns) FROM owd.sample WHERE seq = 4");
  assert_sql ("32767,end,edge-a,edge-b",
              "SELECT concat_ws (',', flags, kind, src, dst) FROM owd.samples WHERE seq = 2");
  assert_sql (POINTS[2].name, "SELECT src FROM owd.samples WHERE seq = 4");
  back = claim (store, 3);
  assert_memory_equal (&back, &mark, sizeof mark);
}

static void
copies_row_for_row (void **state)
{
  g_autofree OwdSample *samples = make_samples (1, 5000);
  g_autoptr (OwdStore) store = open_store (NULL);
  GError *error = NULL;
  PGresult *res;

  (void) state;
  (void) claim (store, 0);
  assert_works (commit (store, 0, 1, 5000, &error));
  res = PQexec (watcher,
                "SELECT (extract (epoch FROM ts) * 1000000)::bigint, owd_ns, lo_ns, hi_ns, sigma_ns, bias_ns, flow,"
                " profile_id, flags, kind, proto, a.name, b.name FROM owd.sample s JOIN owd.path p USING (path_id)"
                " JOIN owd.point a ON a.point_id = src_id JOIN owd.point b ON b.point_id = dst_id ORDER BY seq");
  assert_int_equal (PQntuples (res), 5000);
  for (int i = 0; i < 5000; i++) {
    const OwdSample *s = &samples[i];
    const gint64 want[] = { s->ts / 1000,     s->owd_ns,     s->lo_ns,          s->hi_ns, s->sigma_ns, s->bias_ns,
                            (gint64) s->flow, s->profile_id, (gint16) s->flags, s->kind,  s->proto };

    for (int c = 0; c < (int) G_N_ELEMENTS (want); c++)
      assert_int_equal (g_ascii_strtoll (PQgetvalue (res, i, c), NULL, 10), want[c]);
    assert_string_equal (PQgetvalue (res, i, 11), POINTS[s->src].name);
    assert_string_equal (PQgetvalue (res, i, 12), POINTS[s->dst].name);
  }
  PQclear (res);
}

static void
mark_without_samples (void **state)
{
  OwdMark mark = { .offset = 77, .seq = 0, .watermark = T0 }, back;
  g_autoptr (OwdStore) store = open_store (NULL);
  GError *error = NULL;
  g_autofree char *told = NULL;

  (void) state;
  back = claim (store, 1);
  assert_int_equal (back.offset, 0);
  assert_int_equal (back.seq, 0);
  assert_true (back.watermark == OWD_TIME_NONE);
  assert_works (owd_store_commit (store, 1, NULL, 0, NULL, 0, &mark, T0, &error));
  back = claim (store, 1);
  assert_memory_equal (&back, &mark, sizeof mark);
  mark.offset++;
  mark.shed_ppm = 250000;
  mark.horizon_ns = 61 * OWD_NS_PER_S;
  assert_works (owd_store_commit (store, 1, NULL, 0, NULL, 0, &mark, T0, &error));
  told = sql (
      "SELECT shed_ppm || ' ' || (flows_kept < 1) || ' ' || horizon_s FROM owd.partition, owd.status WHERE part = 1");
  assert_string_equal (told, "250000 true 61");
}

/* Noted once, however often it is tried; not by who has lost the partition; what is old goes, the rest stays. */
static void
shares_are_noted (void **state)
{
  g_autoptr (GArray) mine = g_array_new (FALSE, FALSE, sizeof (OwdShareUse));
  g_autoptr (GArray) read = g_array_new (FALSE, FALSE, sizeof (OwdShareUse));
  const OwdShareUse uses[] = { { .offset = 4096, .keep_ppm = 500000 }, { .offset = 8192, .keep_ppm = 1000000 } };
  g_autoptr (OwdStore) store = open_store (NULL);
  g_autoptr (OwdStore) other = open_store (NULL);
  GError *error = NULL;

  (void) state;
  (void) claim (store, 3);
  g_free (sql ("INSERT INTO owd.share_use VALUES (3, 1, 7, now() - interval '31 days') RETURNING 1"));
  assert_works (owd_store_use_share (store, 3, &uses[0], mine, &error));
  assert_works (owd_store_use_share (store, 3, &uses[0], mine, &error));
  assert_int_equal (mine->len, 2);
  assert_works (owd_store_use_share (store, 3, &uses[1], mine, &error));
  assert_works (owd_store_shares (store, 3, read, &error));
  assert_int_equal (read->len, 2);
  for (guint i = 0; i < 2; i++) {
    assert_int_equal (g_array_index (read, OwdShareUse, i).offset, uses[i].offset);
    assert_int_equal (g_array_index (read, OwdShareUse, i).keep_ppm, uses[i].keep_ppm);
  }
  (void) claim (other, 3);
  assert_works (owd_store_use_share (store, 3, &(OwdShareUse){ .offset = 9000, .keep_ppm = 1 }, mine, &error));
  g_array_set_size (read, 0);
  assert_works (owd_store_shares (other, 3, read, &error));
  assert_int_equal (read->len, 2);
}

/* Likewise from where on profiles count: whose answer was lost, and asks again, is told what was noted. */
static void
uses_of_profiles_are_noted (void **state)
{
  g_autoptr (GArray) uses = g_array_new (FALSE, FALSE, sizeof (OwdProfileUse));
  g_autoptr (OwdStore) store = open_store (NULL);
  GError *error = NULL;

  (void) state;
  (void) claim (store, 3);
  assert_works (owd_store_use_profiles (store, 3, 1000, uses, &error));
  assert_int_equal (uses->len, 0);
  for (guint i = 0; i < 2; i++) {
    g_free (sql ("INSERT INTO owd.profile (addr, domain, version, name, valid_from, valid_to, measured)"
                 " VALUES ('192.0.2.1', 0, 9, 'x', now(), now(), '{}') RETURNING 1"));
    for (guint again = 0; again < 3; again++) {
      if (again == 1)
        g_array_set_size (uses, i); /* the answer was lost */
      assert_works (owd_store_use_profiles (store, 3, 1000 * (i + 2), uses, &error));
      assert_int_equal (uses->len, i + 1);
      assert_int_equal (g_array_index (uses, OwdProfileUse, i).offset, 1000 * (i + 2));
      assert_int_equal (g_array_index (uses, OwdProfileUse, i).newest, i + 1);
    }
  }
}

static void
refuses_broken_batches (void **state)
{
  g_autofree OwdSample *samples = make_samples (1, 10);
  OwdMark mark = { .offset = 1000, .seq = 10, .watermark = samples[9].ts }, wrong;
  g_autoptr (OwdStore) store = open_store (NULL);
  GError *error = NULL;

  (void) state;
  assert_false (owd_store_commit (store, 0, samples, 10, NULL, 0, &mark, T0, &error)); /* not claimed */
  assert_error (error, OWD_ERROR_FAILED);
  (void) claim (store, 0);
  samples[5].seq = 7; /* a gap */
  assert_false (owd_store_commit (store, 0, samples, 10, NULL, 0, &mark, T0, &error));
  assert_error (error, OWD_ERROR_FAILED);
  samples[5].seq = 6;
  samples[5].ts = samples[4].ts - 1; /* back in time */
  assert_false (owd_store_commit (store, 0, samples, 10, NULL, 0, &mark, T0, &error));
  assert_error (error, OWD_ERROR_FAILED);
  samples[5].ts = samples[4].ts; /* equal times are in order */
  wrong = mark;
  wrong.seq = 11;
  assert_false (owd_store_commit (store, 0, samples, 10, NULL, 0, &wrong, T0, &error));
  assert_error (error, OWD_ERROR_FAILED);
  samples[9].dst = 4; /* has no name */
  assert_false (owd_store_commit (store, 0, samples, 10, NULL, 0, &mark, T0, &error));
  assert_error (error, OWD_ERROR_FAILED);
  samples[9].dst = 3;
  assert_sql ("0", "SELECT count (*) FROM owd.sample");
  assert_works (owd_store_commit (store, 0, samples, 10, NULL, 0, &mark, T0, &error));
  wrong = (OwdMark){ .offset = 1001, .seq = 10, .excess = 1, .watermark = mark.watermark };
  assert_false (owd_store_commit (store, 0, NULL, 0, NULL, 0, &wrong, T0, &error));
  assert_error (error, OWD_ERROR_FAILED);
  samples[0].seq = 11; /* at the watermark */
  samples[0].ts = mark.watermark;
  wrong = (OwdMark){ .offset = 1001, .seq = 11, .watermark = mark.watermark };
  assert_false (owd_store_commit (store, 0, samples, 1, NULL, 0, &wrong, T0, &error));
  assert_error (error, OWD_ERROR_FAILED);
  wrong = (OwdMark){ .offset = 999, .seq = 10, .watermark = mark.watermark };
  assert_false (owd_store_commit (store, 0, NULL, 0, NULL, 0, &wrong, T0, &error));
  assert_error (error, OWD_ERROR_FAILED);
  assert_sql ("10", "SELECT count (*) FROM owd.sample");
}

/* ---- one owner --------------------------------------------------------------------------------- */

static void
fences_the_former_owner (void **state)
{
  g_autoptr (OwdStore) old = open_store (NULL);
  g_autoptr (OwdStore) new = open_store (NULL);
  GError *error = NULL;

  (void) state;
  (void) claim (old, 0);
  assert_works (commit (old, 0, 1, 100, &error));
  assert_int_equal (claim (new, 0).seq, 100);
  assert_false (commit (old, 0, 101, 100, &error));
  assert_error (error, OWD_ERROR_FENCED);
  assert_sql ("100", "SELECT count (*) FROM owd.sample");
  assert_works (commit (new, 0, 101, 50, &error));
  assert_sql ("150", "SELECT count (*) FROM owd.sample");
  /* other partitions are not touched by it */
  (void) claim (old, 1);
  assert_works (commit (old, 1, 1, 10, &error));
}

static void
refuses_another_log (void **state)
{
  g_autoptr (OwdStore) store = open_store (NULL);
  GError *error = NULL;
  OwdMark mark;

  (void) state;
  (void) claim (store, 0);
  assert_false (owd_store_claim (store, "00000000-0000-4000-8000-000000000000", 0, 4, &mark, &error));
  assert_non_null (strstr (error->message, UUID));
  assert_error (error, OWD_ERROR_DB);
  assert_false (owd_store_claim (store, UUID, 0, 8, &mark, &error));
  assert_error (error, OWD_ERROR_DB);
  assert_false (owd_store_claim (store, UUID, 4, 4, &mark, &error));
  assert_error (error, OWD_ERROR_DB);
  assert_false (owd_store_claim (store, UUID, 0, 100000, &mark, &error));
  assert_error (error, OWD_ERROR_DB);
  /* the refusals changed nothing: still the owner */
  assert_works (commit (store, 0, 1, 1, &error));
}

/* ---- lost connections -------------------------------------------------------------------------- */

/* Commits batches 1..n_batches of 100 samples each, again where the database was away. Returns the failures. */
static guint
commit_all (OwdStore *store, guint n_batches, void (*before) (guint batch, void *user), void *user)
{
  guint failures = 0;

  for (guint b = 0; b < n_batches; b++) {
    guint attempts = 0;

    before (b, user);
    for (;;) {
      GError *error = NULL;

      if (commit (store, 0, b * 100 + 1, 100, &error))
        break;
      failures++;
      assert_error (error, OWD_ERROR_DB_AWAY);
      assert_true (++attempts < 5);
    }
  }
  return failures;
}

static void
nothing (guint batch, void *user)
{
  (void) batch;
  (void) user;
}

static void
kill_backends (guint batch, void *user)
{
  (void) user;
  if (batch % 3 == 1)
    g_free (
        sql ("SELECT count (pg_terminate_backend (pid)) FROM pg_stat_activity WHERE application_name = 'oneway-test'"));
}

/* The table that an undisturbed run makes. */
static char *
expected_digest (guint n_batches)
{
  g_autoptr (OwdStore) store = open_store (NULL);
  char *text;

  (void) claim (store, 0);
  (void) commit_all (store, n_batches, nothing, NULL);
  text = digest (0);
  (void) empty_schema (NULL);
  return text;
}

static void
survives_killed_connections (void **state)
{
  g_autofree char *expected = expected_digest (12), *got = NULL;
  g_autoptr (OwdStore) store = open_store (NULL);

  (void) state;
  (void) claim (store, 0);
  assert_true (commit_all (store, 12, kill_backends, NULL) >= 4);
  got = digest (0);
  assert_string_equal (got, expected);
}

/* The backend that is about to commit ends itself: the server has not committed, the client cannot know. */
static void
survives_death_inside_commit (void **state)
{
  g_autofree char *expected = expected_digest (4), *got = NULL;
  g_autoptr (OwdStore) store = open_store (NULL);
  GError *error = NULL;

  (void) state;
  (void) claim (store, 0);
  g_free (sql ("CREATE FUNCTION owd.die () RETURNS trigger LANGUAGE plpgsql AS"
               " 'BEGIN PERFORM pg_terminate_backend (pg_backend_pid ()); PERFORM pg_sleep (5); RETURN NULL; END'"));
  g_free (sql ("CREATE CONSTRAINT TRIGGER die AFTER UPDATE ON owd.partition DEFERRABLE INITIALLY DEFERRED"
               " FOR EACH ROW EXECUTE FUNCTION owd.die ()"));
  assert_false (commit (store, 0, 1, 100, &error));
  assert_error (error, OWD_ERROR_DB_AWAY);
  g_free (sql ("DROP TRIGGER die ON owd.partition"));
  (void) commit_all (store, 4, nothing, NULL);
  got = digest (0);
  assert_string_equal (got, expected);
}

typedef struct {
  Proxy *proxy;
  GRand *rand;
} Cutter;

static void
cut_somewhere (guint batch, void *user)
{
  Cutter *cutter = user;

  (void) batch;
  proxy_arm (cutter->proxy, PROXY_CUT_BYTES, g_rand_int_range (cutter->rand, 1, 15000));
}

static void
cut_commit (guint batch, void *user)
{
  Cutter *cutter = user;

  proxy_arm (cutter->proxy, batch % 2 == 0 ? PROXY_CUT_COMMITTED : PROXY_CUT_COMMIT, 0);
}

static void
with_cuts (guint n_batches, void (*cut) (guint batch, void *user), guint32 seed)
{
  Cutter cutter = { .proxy = proxy_new (g_getenv ("PGHOST")), .rand = g_rand_new_with_seed (seed) };
  g_autofree char *expected = expected_digest (n_batches), *got = NULL;
  g_autofree char *conninfo = g_strdup_printf ("host=%s", proxy_dir (cutter.proxy));
  OwdStore *store = open_store (conninfo);
  guint failures;

  print_message ("seed %u\n", seed);
  (void) claim (store, 0);
  failures = commit_all (store, n_batches, cut, &cutter);
  assert_int_equal (failures, proxy_cuts (cutter.proxy));
  assert_true (proxy_cuts (cutter.proxy) >= (gint) n_batches / 2);
  got = digest (0);
  assert_string_equal (got, expected);
  owd_store_free (store);
  proxy_free (cutter.proxy);
  g_rand_free (cutter.rand);
}

static void
survives_cuts_at_commit (void **state)
{
  (void) state;
  with_cuts (10, cut_commit, 0);
}

static void
survives_cuts_anywhere (void **state)
{
  (void) state;
  with_cuts (60, cut_somewhere, 20261122);
}

/* The wire is gone, and the server still at the COMMIT: whoever looks at once sees the old mark. */
static void
waits_for_a_commit_under_way (void **state)
{
  Proxy *proxy = proxy_new (g_getenv ("PGHOST"));
  g_autofree char *conninfo = g_strdup_printf ("host=%s", proxy_dir (proxy));
  OwdStore *store = open_store (conninfo);
  GError *error = NULL;

  (void) state;
  (void) claim (store, 0);
  g_free (sql ("CREATE FUNCTION owd.linger () RETURNS trigger LANGUAGE plpgsql AS"
               " 'BEGIN PERFORM pg_sleep (0.5); RETURN NULL; END'"));
  g_free (sql ("CREATE CONSTRAINT TRIGGER linger AFTER UPDATE ON owd.partition DEFERRABLE INITIALLY DEFERRED"
               " FOR EACH ROW EXECUTE FUNCTION owd.linger ()"));
  proxy_arm (proxy, PROXY_CUT_COMMITTING, 0);
  assert_false (commit (store, 0, 1, 100, &error));
  assert_error (error, OWD_ERROR_DB_AWAY);
  assert_works (commit (store, 0, 1, 100, &error));
  assert_sql ("100,100", "SELECT concat_ws (',', count (*), count (DISTINCT seq)) FROM owd.sample");
  owd_store_free (store);
  proxy_free (proxy);
}

/* After a commit whose fate was unknown the caller may come with a longer batch. */
static void
continues_with_a_longer_batch (void **state)
{
  Proxy *proxy = proxy_new (g_getenv ("PGHOST"));
  g_autofree char *conninfo = g_strdup_printf ("host=%s", proxy_dir (proxy));
  OwdStore *store = open_store (conninfo);
  GError *error = NULL;

  (void) state;
  (void) claim (store, 0);
  proxy_arm (proxy, PROXY_CUT_COMMITTED, 0);
  assert_false (commit (store, 0, 1, 100, &error));
  assert_error (error, OWD_ERROR_DB_AWAY);
  assert_works (commit (store, 0, 1, 250, &error));
  assert_sql ("250,250,1,250",
              "SELECT concat_ws (',', count (*), count (DISTINCT seq), min (seq), max (seq)) FROM owd.sample");
  owd_store_free (store);
  proxy_free (proxy);
}

/* Fenced while the connection was away: noticed before anything is written. */
static void
fenced_while_away (void **state)
{
  g_autoptr (OwdStore) old = open_store (NULL);
  g_autoptr (OwdStore) new = NULL;
  GError *error = NULL;

  (void) state;
  (void) claim (old, 0);
  assert_works (commit (old, 0, 1, 100, &error));
  kill_backends (1, NULL);
  new = open_store (NULL);
  (void) claim (new, 0);
  assert_false (commit (old, 0, 101, 100, &error));
  assert_error (error, OWD_ERROR_DB_AWAY);
  assert_false (commit (old, 0, 101, 100, &error));
  assert_error (error, OWD_ERROR_FENCED);
  assert_sql ("100", "SELECT count (*) FROM owd.sample");
}

static void
cluster (const char *verb)
{
  g_autofree char *command
      = g_strdup_printf ("'%s/tests/sql/cluster.sh' %s '%s'", OWD_SOURCE_DIR, verb, g_getenv ("OWD_CLUSTER"));

  assert_int_equal (system (command), 0);
}

static void
survives_a_server_restart (void **state)
{
  g_autofree char *expected = expected_digest (4), *got = NULL;
  g_autoptr (OwdStore) store = open_store (NULL);
  GError *error = NULL;

  (void) state;
  (void) claim (store, 0);
  assert_works (commit (store, 0, 1, 100, &error));
  cluster ("stop");
  for (int i = 0; i < 3; i++) {
    assert_false (commit (store, 0, 101, 100, &error));
    assert_error (error, OWD_ERROR_DB_AWAY);
  }
  assert_null (owd_store_open (NULL, "oneway-test", &error));
  assert_error (error, OWD_ERROR_DB_AWAY);
  cluster ("start");
  PQreset (watcher);
  (void) commit_all (store, 4, nothing, NULL);
  got = digest (0);
  assert_string_equal (got, expected);
}

static void
notices_a_database_from_a_backup (void **state)
{
  g_autoptr (OwdStore) store = open_store (NULL);
  GError *error = NULL;

  (void) state;
  (void) claim (store, 0);
  assert_works (commit (store, 0, 1, 100, &error));
  assert_works (commit (store, 0, 101, 100, &error));
  g_free (sql ("DELETE FROM owd.sample WHERE seq > 100"));
  g_free (sql ("UPDATE owd.partition SET seq = 100, log_offset = 10100, watermark_ns = %" G_GINT64_FORMAT,
               T0 + 100 * 500123));
  kill_backends (1, NULL);
  assert_false (commit (store, 0, 201, 100, &error));
  assert_error (error, OWD_ERROR_DB_AWAY);
  assert_false (commit (store, 0, 201, 100, &error));
  assert_non_null (strstr (error->message, "backup"));
  assert_error (error, OWD_ERROR_DB);
}

/* ---- crashes between any two statements -------------------------------------------------------- */

#define EVENING (T0 + 59400 * OWD_NS_PER_S) /* 23:10 UTC: the end of an hour and of a day come soon */

/* A second apart, with counts in between; the watermark of all partitions goes along. */
static gboolean
commit_second_by_second (OwdStore *store, guint64 first, gsize n, GError **error)
{
  g_autofree OwdSample *samples = make_samples (first, n);
  g_autofree OwdCount *counts = g_new0 (OwdCount, n / 10);
  guint64 upto = first + n - 1;
  OwdMark mark = { .offset = (first + n) * 100, .seq = upto - upto / 7, .excess = upto / 7 };

  for (gsize i = 0; i < n; i++)
    samples[i].ts = EVENING + (gint64) samples[i].seq * OWD_NS_PER_S;
  for (gsize i = 0; i < n; i++) { /* each seventh is not kept raw */
    guint64 number = first + i;

    samples[i].seq = number - number / 7;
    samples[i].flags |= number % 7 == 0 ? OWD_SAMPLE_EXCESS : 0;
  }
  for (gsize i = 0; i < n / 10; i++)
    counts[i] = (OwdCount){ .ts = samples[10 * i].ts + 1, .dst = 1, .sent = 20, .lost = i % 3, .late = i % 2 };
  mark.watermark = samples[n - 1].ts;
  return owd_store_commit (store, 0, samples, n, counts, n / 10, &mark, mark.watermark, error);
}

static gboolean
roll_all (OwdStore *store, gboolean patient, GError **error)
{
  gboolean more = TRUE;

  while (more)
    if (!owd_store_roll (store, patient, &more, error))
      return FALSE;
  return TRUE;
}

/* Bins by content: how they are put together to rows does not matter; and what is not kept raw. */
static char *
rolled_digest (void)
{
  return sql ("SELECT count (*) || ' ' || md5 (string_agg (u::text, '|' ORDER BY width, path_id, bin)) || (SELECT md5 "
              "(string_agg (e::text, '|' ORDER BY nr)) FROM owd.excess e) FROM (SELECT "
              "width, path_id, unnest (coalesce (kept, n)) AS kept,"
              " start + unnest (at) * make_interval (secs => width) AS bin, unnest (n) AS n, unnest (sent) AS sent,"
              " unnest (lost) AS lost, unnest (late) AS late, unnest (min_ns) AS low, unnest (max_ns) AS high,"
              " unnest (first_ns) AS first, unnest (last_ns) AS last, unnest (p95) AS p95, unnest (sum_ns) AS total,"
              " unnest (square_ns2) AS square, unnest (ipdv_ns) AS ipdv FROM owd.rollup) u");
}

/* Whatever has happened: what readers are told is what was committed, each sample once. */
static void
assert_consistent (void)
{
  assert_sql ("t", "SELECT count (s.seq) = max (p.seq) AND count (s.seq) = count (DISTINCT s.seq) FROM owd.sample s"
                   " RIGHT JOIN owd.partition p ON p.part = 0 WHERE p.part = 0");
  assert_sql (
      "t", "SELECT coalesce (sum (n), 0) = (SELECT count (*) FROM owd.sample) + (SELECT count (*) FROM owd.excess)"
           " AND coalesce (sum (kept), 0) = (SELECT count (*) FROM owd.sample) AND coalesce (sum (sent), 0) ="
           " (SELECT coalesce (sum (sent), 0) FROM owd.tally) FROM owd.bins (NULL, '2026-11-22', '2026-11-24', NULL)");
  assert_sql ("t", "SELECT count (e.nr) = max (p.excess) AND count (e.nr) = count (DISTINCT e.nr) FROM owd.partition p"
                   " LEFT JOIN owd.excess e ON true WHERE p.part = 0");
  assert_sql ("t", "SELECT bool_and (filled_to <= (SELECT ts FROM owd.watermark) + interval '1 us') IS NOT FALSE"
                   " FROM owd.resolution WHERE width > 0 AND isfinite (filled_to)");
}

static void
other_partitions_stand_still (OwdStore *store)
{
  for (guint part = 1; part < 4; part++) {
    OwdMark mark = { .offset = 1, .watermark = T0 + 200000 * OWD_NS_PER_S };
    GError *error = NULL;

    (void) claim (store, part);
    assert_works (owd_store_commit (store, part, NULL, 0, NULL, 0, &mark, T0, &error));
  }
}

/* The server's process ends itself before and after each statement of both transactions, and in their COMMIT. */
static void
survives_death_at_any_statement (void **state)
{
  static const struct {
    const char *when, *table, *for_each;
  } places[] = {
    { "BEFORE UPDATE", "partition", "STATEMENT" },
    { "AFTER UPDATE", "partition", "STATEMENT" },
    { "BEFORE INSERT", "sample", "STATEMENT" },
    { "AFTER INSERT", "sample", "STATEMENT" },
    { "BEFORE INSERT", "tally", "STATEMENT" },
    { "BEFORE DELETE", "rollup", "STATEMENT" }, /* this batch ends a day */
    { "AFTER UPDATE", "partition", "ROW" },     /* deferred: in COMMIT */
    { "BEFORE INSERT", "rollup", "STATEMENT" },
    { "AFTER INSERT", "rollup", "STATEMENT" },
    { "BEFORE UPDATE", "path", "STATEMENT" },
    { "AFTER UPDATE", "path", "STATEMENT" },
    { "BEFORE UPDATE", "resolution", "STATEMENT" },
    { "AFTER UPDATE", "resolution", "STATEMENT" },
    { "AFTER DELETE", "rollup", "STATEMENT" }, /* and this one an hour */
    { "AFTER INSERT", "tally", "STATEMENT" },
    { "AFTER UPDATE", "resolution", "ROW" },
    { "BEFORE INSERT", "excess", "STATEMENT" },
    { "AFTER INSERT", "excess", "STATEMENT" },
  };
  const guint n = 500, n_batches = G_N_ELEMENTS (places);
  g_autofree char *samples = NULL, *bins = NULL, *got = NULL, *got_bins = NULL;
  guint deaths = 0;

  (void) state;
  for (guint pass = 0; pass < 2; pass++) {
    g_autoptr (OwdStore) store = open_store (NULL);

    (void) claim (store, 0);
    other_partitions_stand_still (store);
    g_free (sql ("CREATE FUNCTION owd.die () RETURNS trigger LANGUAGE plpgsql AS"
                 " 'BEGIN PERFORM pg_terminate_backend (pg_backend_pid ()); PERFORM pg_sleep (5); RETURN NULL; END'"));
    for (guint b = 0; b < n_batches; b++) {
      GError *error = NULL;

      if (pass == 1)
        g_free (sql ("CREATE %sTRIGGER die %s ON owd.%s %s FOR EACH %s EXECUTE FUNCTION owd.die ()",
                     *places[b].for_each == 'R' ? "CONSTRAINT " : "", places[b].when, places[b].table,
                     *places[b].for_each == 'R' ? "DEFERRABLE INITIALLY DEFERRED" : "", places[b].for_each));
      if (!commit_second_by_second (store, b * n + 1, n, &error) || !roll_all (store, FALSE, &error)) {
        assert_error (error, OWD_ERROR_DB_AWAY);
        deaths++;
        assert_consistent ();
      }
      if (pass == 1)
        g_free (sql ("DROP TRIGGER die ON owd.%s", places[b].table));
      assert_works (commit_second_by_second (store, b * n + 1, n, &error));
      assert_works (roll_all (store, FALSE, &error));
      assert_consistent ();
    }
    got = digest (0);
    got_bins = rolled_digest ();
    if (pass == 0) {
      samples = g_steal_pointer (&got);
      bins = g_steal_pointer (&got_bins);
      (void) empty_schema (NULL);
    }
  }
  assert_string_equal (got, samples);
  assert_string_equal (got_bins, bins);
  assert_int_equal (deaths, n_batches);
}

/* A watermark that runs faster than time is that of a backlog: whole hours, unless somebody wants it all. */
static void
takes_whole_hours_of_a_backlog (void **state)
{
  static const char indexes[]
      = "SELECT string_agg ((SELECT count (*) FROM pg_index i WHERE i.indrelid = format ('owd.%%I',"
        " t.name)::regclass)::text, ',' ORDER BY t.lo) FROM owd.tables_of ('owd.sample') t";
  g_autoptr (OwdStore) store = open_store (NULL);
  GError *error = NULL;

  (void) state;
  (void) claim (store, 0);
  other_partitions_stand_still (store);
  assert_works (commit_second_by_second (store, 1, 300, &error));
  assert_works (roll_all (store, TRUE, &error)); /* how fast it runs is not known yet */
  assert_sql ("2026-11-22 23:15:00+00", "SELECT filled_to FROM owd.resolution WHERE width = 60");
  for (guint b = 1; b < 20; b++) {
    assert_works (commit_second_by_second (store, b * 300 + 1, 300, &error));
    assert_works (roll_all (store, TRUE, &error));
    assert_consistent ();
  }
  assert_sql ("t", "SELECT filled_to = date_trunc ('hour', filled_to) FROM owd.resolution WHERE width = 60");
  assert_sql ("2,0", indexes);                   /* of the hour that is over only */
  assert_works (roll_all (store, TRUE, &error)); /* it has come to rest */
  assert_sql ("2,2", indexes);
  assert_sql ("t", "SELECT filled_to = date_trunc ('minute', (SELECT ts + interval '1 us' FROM owd.watermark))"
                   " FROM owd.resolution WHERE width = 60");
  assert_consistent ();
}

/* The same with the wire cut anywhere while roll-ups are read and written. */
static void
rolls_up_through_cuts (void **state)
{
  Proxy *proxy = proxy_new (g_getenv ("PGHOST"));
  GRand *rand = g_rand_new_with_seed (20261122);
  g_autofree char *conninfo = g_strdup_printf ("host=%s", proxy_dir (proxy)), *bins = NULL, *got = NULL;

  (void) state;
  for (guint pass = 0; pass < 2; pass++) {
    OwdStore *store = open_store (pass == 1 ? conninfo : NULL);
    GError *error = NULL;

    (void) claim (store, 0);
    other_partitions_stand_still (store);
    for (guint b = 0; b < 20; b++) {
      assert_works (commit_second_by_second (store, b * 300 + 1, 300, &error));
      if (pass == 1)
        proxy_arm (proxy, PROXY_CUT_BYTES, g_rand_int_range (rand, 1, 8000));
      if (!roll_all (store, pass == 1 && b % 2 == 0, &error))
        assert_error (error, OWD_ERROR_DB_AWAY);
      proxy_arm (proxy, PROXY_WHOLE, 0);
      assert_consistent ();
    }
    assert_works (roll_all (store, FALSE, &error));
    got = rolled_digest ();
    owd_store_free (store);
    if (pass == 0) {
      bins = g_steal_pointer (&got);
      (void) empty_schema (NULL);
    }
  }
  assert_string_equal (got, bins);
  assert_true (proxy_cuts (proxy) >= 10);
  proxy_free (proxy);
  g_rand_free (rand);
}

/* ---- the rest ---------------------------------------------------------------------------------- */

static void
watermark_is_the_last_microsecond_over (void **state)
{
  g_autoptr (OwdStore) store = open_store (NULL);
  GError *error = NULL;
  OwdMark mark = { .offset = 1, .watermark = T0 + 1500 };

  (void) state;
  assert_sql ("NULL", "SELECT ts FROM owd.watermark");
  assert_sql ("1", "SELECT count (*) FROM owd.watermark");
  for (guint part = 0; part < 4; part++) {
    (void) claim (store, part);
    assert_sql ("NULL", "SELECT ts FROM owd.watermark");
    assert_works (owd_store_commit (store, part, NULL, 0, NULL, 0, &mark, T0, &error));
    mark.watermark += OWD_NS_PER_S;
  }
  /* a sample at T0 + 1501 ns would appear at .000001: only .000000 is over */
  assert_sql ("2026-11-22 06:40:00+00", "SELECT ts FROM owd.watermark");
  mark = (OwdMark){ .offset = 2, .watermark = T0 + 1999 };
  assert_works (owd_store_commit (store, 0, NULL, 0, NULL, 0, &mark, T0, &error));
  assert_sql ("2026-11-22 06:40:00.000001+00", "SELECT ts FROM owd.watermark");
}

static void
points_are_the_same_for_every_store (void **state)
{
  OwdPoint other[] = { POINTS[3], POINTS[1], POINTS[0] };
  g_autoptr (OwdStore) one = open_store (NULL);
  g_autoptr (OwdStore) two = owd_store_open (NULL, "oneway-test", NULL);
  GError *error = NULL;

  (void) state;
  assert_non_null (one);
  other[1].key.domain = 99;
  g_strlcpy (other[1].name, "new", sizeof other[1].name);
  assert_works (owd_store_points (two, other, 2, &error));
  assert_works (owd_store_points (two, other, 3, &error)); /* has grown */
  assert_sql ("5", "SELECT count (*) FROM owd.point");
  /* a name may change, the point stays */
  g_strlcpy (other[0].name, "renamed", sizeof other[0].name);
  assert_works (owd_store_points (two, other, 3, &error));
  assert_sql ("5", "SELECT count (*) FROM owd.point");
  assert_sql ("7", "SELECT domain FROM owd.point WHERE name = 'renamed'");
}

static void
exporters_are_replaced (void **state)
{
  OwdExporterRow rows[2] = { { .name = "edge-a",
                               .first_ns = T0,
                               .last_ns = T0 + 1000,
                               .start_step_ns = 1000000,
                               .records = 300,
                               .boot_lo_ns = T0 - 2000000,
                               .boot_hi_ns = T0 - 500000,
                               .segments = 1,
                               .lag_p50_ns = 1500000,
                               .lag_p99_ns = OWD_TIME_NONE },
                             { .name = "192.0.2.9",
                               .first_ns = T0,
                               .last_ns = OWD_TIME_NONE,
                               .end_step_ns = 64000000,
                               .boot_lo_ns = OWD_TIME_NONE,
                               .boot_hi_ns = OWD_TIME_NONE,
                               .segments = 2,
                               .lag_p50_ns = OWD_TIME_NONE,
                               .lag_p99_ns = OWD_TIME_NONE,
                               .sampling = 1000 } };
  g_autoptr (OwdStore) store = open_store (NULL);
  g_autoptr (OwdTable) table = NULL;
  GError *error = NULL;

  (void) state;
  assert_true (owd_addr_parse ("2001:db8::1", &rows[0].key.addr));
  assert_true (owd_addr_parse ("192.0.2.9", &rows[1].key.addr));
  rows[0].key.domain = G_MAXUINT32;
  rows[0].key.version = 10;
  rows[1].key.version = 5;
  assert_works (owd_store_exporters (store, rows, 2, &error));
  rows[0].records = 301;
  assert_works (owd_store_exporters (store, rows, 2, &error));
  assert_sql ("t", "SELECT count (lost) = 0 AND count (clock_lag_ms) = 0 FROM owd.exporters");
  rows[0].is_noted = TRUE;
  rows[0].datagrams = 100;
  rows[0].received = 3000;
  rows[0].lost = 30;
  rows[0].given_up = 2;
  rows[0].clock_lag_ns = -1234567890;
  assert_works (owd_store_exporters (store, rows, 2, &error));
  rows[0].is_noted = FALSE; /* and what was noted stays */
  assert_works (owd_store_exporters (store, rows, 2, &error));
  assert_works (owd_store_exporters (store, NULL, 0, &error));
  assert_sql ("100,3000,30,0,0,2,0,0,-1234.56789",
              "SELECT concat_ws (',', datagrams, received, lost, reordered, restarts, given_up, malformed, over_limit,"
              " clock_lag_ms) FROM owd.exporters WHERE version = 10");
  table = owd_store_list_exporters (store, &error);
  assert_works (table != NULL);
  assert_int_equal (table->n_rows, 2);
  assert_sql (
      "edge-a,2001:db8::1,4294967295,10,1,301,1.5,1,1.5",
      "SELECT concat_ws (',', name, addr, domain, version, start_step_ms, records, boot_width_ms, segments, lag_p50_ms,"
      " lag_p99_ms, sampling) FROM owd.exporters WHERE version = 10");
  assert_sql ("192.0.2.9,1000,t",
              "SELECT concat_ws (',', addr, sampling, boot IS NULL) FROM owd.exporters WHERE version = 5");
}

static gboolean
has_finding (OwdStore *store, const char *name, const char *part)
{
  GError *error = NULL;
  g_autoptr (OwdTable) table = owd_store_list_findings (store, &error);

  assert_works (table != NULL);
  for (guint r = 0; r < table->n_rows; r++)
    if (g_str_equal (table->cells[r * table->n_columns], name)
        && strstr (table->cells[r * table->n_columns + 1], part) != NULL)
      return TRUE;
  return FALSE;
}

/* What the collector counts leads to advice, and only where there is something to do. */
static void
notes_become_findings (void **state)
{
  OwdExporterRow row = { .name = "edge-n",
                         .key.version = 9,
                         .first_ns = T0,
                         .last_ns = T0,
                         .boot_lo_ns = OWD_TIME_NONE,
                         .boot_hi_ns = OWD_TIME_NONE,
                         .lag_p50_ns = OWD_TIME_NONE,
                         .lag_p99_ns = OWD_TIME_NONE,
                         .is_noted = TRUE,
                         .datagrams = 9990,
                         .received = 100000,
                         .clock_lag_ns = 700000000 };
  OwdCollectorRow fine
      = { .since_ns = T0, .at_ns = T0, .states = 5, .max_states = 4096, .buffer_asked = 1024, .buffer_got = 1024 };
  OwdCollectorRow bad = { .since_ns = T0,
                          .at_ns = T0,
                          .states = 4096,
                          .max_states = 4096,
                          .kernel_dropped = 17,
                          .buffer_asked = 33554432,
                          .buffer_got = 212992,
                          .over_limit = 12,
                          .log_dropped = 5,
                          .memory_used = 255 << 20,
                          .memory_max = 256 << 20,
                          .memory_refused = 9 };
  g_autoptr (OwdStore) store = open_store (NULL);
  GError *error = NULL;

  (void) state;
  assert_true (owd_addr_parse ("192.0.2.77", &row.key.addr));
  assert_works (owd_store_exporters (store, &row, 1, &error));
  assert_works (owd_store_collector (store, &fine, &error));
  assert_false (has_finding (store, "oneway-collector", ""));
  assert_false (has_finding (store, "edge-n", "lost"));
  assert_false (has_finding (store, "edge-n", "clock"));

  row.lost = 10;
  row.given_up = 3;
  row.malformed = 4;
  row.over_limit = 5;
  row.clock_lag_ns = -2500000000;
  assert_works (owd_store_exporters (store, &row, 1, &error));
  assert_works (owd_store_collector (store, &bad, &error));
  assert_true (has_finding (store, "edge-n", "10 datagrams were lost on their way to the collector, 0.10 %,"));
  assert_true (has_finding (store, "edge-n", "3 data sets could not be read"));
  assert_true (has_finding (store, "edge-n", "4 of its datagrams, or parts of them, could not be read"));
  assert_true (has_finding (store, "edge-n", "5 templates or states"));
  assert_true (has_finding (store, "edge-n", "at least 2.5 s ahead"));
  assert_true (has_finding (store, "oneway-collector", "dropped 17 datagrams"));
  assert_true (has_finding (store, "oneway-collector", "is 208 KiB, not the 32768 KiB asked for"));
  assert_true (has_finding (store, "oneway-collector", "already keeps 4096 exporter states"));
  assert_true (has_finding (store, "oneway-collector", "5 flow records were lost"));
  row.clock_lag_ns = 8200000000;
  assert_works (owd_store_exporters (store, &row, 1, &error));
  assert_true (has_finding (store, "edge-n", "come 8.2 s after their own export time"));
  assert_sql ("4096", "SELECT states FROM owd.collector");
  assert_true (has_finding (store, "oneway-collector", "9 exporter states or templates were refused"));
  assert_true (has_finding (store, "oneway-collector", "(now 255 of 256 MiB)"));
  bad.memory_refused = 0;
  assert_works (owd_store_collector (store, &bad, &error));
  assert_true (has_finding (store, "oneway-collector", "take 255 of 256 MiB"));
  bad.states = 100; /* room for states, none for their memory: only that is said */
  bad.memory_refused = 1;
  assert_works (owd_store_collector (store, &bad, &error));
  assert_false (has_finding (store, "oneway-collector", "already keeps"));
}

/* The second writer of a day has seen that it is missing, and waits. */
static void
makes_a_day_once (void **state)
{
  static const char add_samples[] = "SELECT owd.add_samples ('2026-11-22')";
  PGconn *other = PQconnectdb ("");
  PGresult *res;

  (void) state;
  g_free (sql ("BEGIN"));
  assert_sql ("t", add_samples);
  assert_int_equal (PQsendQuery (other, add_samples), 1);
  assert_int_equal (PQflush (other), 0);
  while (TRUE) {
    g_autofree char *waiting = sql ("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted");

    if (waiting != NULL)
      break;
    g_usleep (5000);
  }
  g_free (sql ("COMMIT"));
  res = PQgetResult (other);
  if (PQresultStatus (res) != PGRES_TUPLES_OK)
    fail_msg ("%s", PQresultErrorMessage (res));
  assert_string_equal (PQgetvalue (res, 0, 0), "f");
  PQclear (res);
  PQfinish (other);
}

/* Tables of samples go once they are old, and what they sum up to is kept elsewhere. */
static void
drops_old_tables (void **state)
{
  const gint64 day = 86400 * OWD_NS_PER_S;
  const OwdRetention keep = { .samples_ns = 30 * day };
  OwdSample samples[40];
  OwdMark mark = { .offset = 1, .seq = 40, .watermark = T0 + 39 * day };
  g_autoptr (OwdStore) store = open_store (NULL);
  GError *error = NULL;
  guint dropped;

  (void) state;
  for (guint i = 0; i < 40; i++)
    samples[i] = (OwdSample){ .seq = i + 1, .ts = T0 + i * day, .dst = 1, .kind = 1 };
  (void) claim (store, 0);
  assert_works (owd_store_commit (store, 0, samples, 40, NULL, 0, &mark, T0, &error));
  g_free (sql ("UPDATE owd.resolution SET filled_to = '2026-11-24' WHERE width > 0"));
  assert_works (owd_store_retain (store, &keep, &dropped, &error));
  assert_sql ("1", "SELECT min (seq) FROM owd.sample"); /* three partitions are still to come: no watermark */
  mark.seq = 0;
  for (guint part = 1; part < 4; part++) {
    (void) claim (store, part);
    assert_works (owd_store_commit (store, part, NULL, 0, NULL, 0, &mark, T0, &error));
  }
  assert_works (owd_store_retain (store, &keep, &dropped, &error));
  assert_sql ("3", "SELECT min (seq) FROM owd.sample");
  assert_sql ("2026-11-23 07:00:00+00", "SELECT kept_from FROM owd.resolution WHERE width = 0");
  g_free (sql ("UPDATE owd.resolution SET filled_to = '2027-01-01' WHERE width > 0"));
  assert_works (owd_store_retain (store, &keep, &dropped, &error));
  /* the hour in which 30 days before the watermark lie is still needed */
  assert_sql ("10", "SELECT min (seq) FROM owd.sample");
  assert_sql ("0", "SELECT count (*) FROM owd.tables_of ('owd.excess')");
  assert_works (owd_store_retain (store, &keep, &dropped, &error));
  assert_int_equal (dropped, 0);
  samples[0].seq = 41;
  samples[0].ts = mark.watermark + 1;
  mark = (OwdMark){ .offset = 2, .seq = 41, .watermark = mark.watermark + 1 };
  assert_works (owd_store_commit (store, 0, samples, 1, NULL, 0, &mark, T0, &error));
}

static void
answers_the_front_end (void **state)
{
  g_autoptr (OwdStore) store = open_store (NULL);
  g_autoptr (OwdTable) timeline = NULL, matrix = NULL, paths = NULL, status = NULL;
  GError *error = NULL;
  OwdTime from, to;

  (void) state;
  assert_works (owd_store_range (store, NULL, NULL, NULL, NULL, &from, &to, &error));
  assert_true (from == OWD_TIME_NONE && to == OWD_TIME_NONE);
  (void) claim (store, 0);
  assert_works (commit (store, 0, 1, 3000, &error));
  assert_works (owd_store_range (store, POINTS[0].name, POINTS[1].name, NULL, NULL, &from, &to, &error));
  assert_true (from == (T0 + 3 * 500123) / 1000 * 1000);
  assert_true (to == (T0 + 3000 * 500123) / 1000 * 1000 + 1000);
  assert_works (owd_store_range (store, NULL, NULL, "-1 s", "2026-11-22 06:41+00", &from, &to, &error));
  assert_true (from == T0 + 59 * OWD_NS_PER_S && to == T0 + 60 * OWD_NS_PER_S);
  timeline = owd_store_timeline (store, POINTS[0].name, POINTS[1].name, "2026-11-22 06:40+00", "2026-11-22 06:41+00",
                                 "500 ms", &error);
  assert_works (timeline != NULL);
  assert_int_equal (timeline->n_rows, 4);
  assert_int_equal (timeline->n_columns, 12);
  assert_true (timeline->numeric[1] && !timeline->numeric[0]);
  matrix = owd_store_matrix (store, "2026-11-22 06:40+00", "2026-11-22 06:41+00", &error);
  assert_works (matrix != NULL);
  assert_int_equal (matrix->n_rows, 3);
  paths = owd_store_list_paths (store, &error);
  assert_works (paths != NULL);
  assert_int_equal (paths->n_rows, 3);
  status = owd_store_status (store, &error);
  assert_works (status != NULL);
  assert_int_equal (status->n_rows, 1);
  assert_string_equal (status->cells[2], "3000");
  assert_null (owd_store_timeline (store, "nowhere", POINTS[1].name, "now", "now", "1 s", &error));
  assert_non_null (strstr (error->message, "\"nowhere\""));
  assert_error (error, OWD_ERROR_DB);
}

/* Profiles are appended; JSON that is none is refused as a whole. */
static void
profiles_are_appended (void **state)
{
  static char good[] = "{\"active_s\":{\"value\":60},\"segments\":[{\"cause\":\"first\"}],\"findings\":[\"x\"]}";
  static char bad[] = "{";
  OwdProfileRow rows[2]
      = { { .name = "r", .from_ns = 1795329600000000000, .to_ns = 1795329600000000001, .measured = good },
          { .name = "r", .from_ns = 1795329660000000000, .to_ns = 1795329660000000000, .measured = good } };
  g_autoptr (OwdStore) store = open_store (NULL);
  g_autoptr (OwdTable) newest = NULL;
  GError *error = NULL;

  (void) state;
  rows[0].key.version = rows[1].key.version = 9;
  assert_works (owd_store_profiles (store, rows, 2, &error));
  assert_works (owd_store_profiles (store, rows, 1, &error));
  assert_sql ("3,2,60,first,{x}",
              "SELECT concat_ws (',', count (*), count (DISTINCT made), max (active_s), max (began),"
              " max (findings)) FROM owd.profiles WHERE name = 'r'");
  newest = owd_store_list_profiles (store, &error);
  assert_works (newest != NULL);
  assert_int_equal (newest->n_rows, 1);
  rows[1].measured = bad;
  assert_false (owd_store_profiles (store, rows, 2, &error));
  assert_error (error, OWD_ERROR_DB);
  assert_sql ("3", "SELECT count (*) FROM owd.profiles");
}

int
main (void)
{
  int failed;
#define T(f) cmocka_unit_test_setup (f, empty_schema)
  const struct CMUnitTest tests[] = {
    T (migrates_from_empty_and_twice),
    T (restores_functions_and_views),
    T (refuses_newer_schema),
    T (everything_public_is_described),
    T (messages_hold_no_secret),
    T (names_itself),
    T (copies_every_bit),
    T (copies_row_for_row),
    T (mark_without_samples),
    T (shares_are_noted),
    T (uses_of_profiles_are_noted),
    T (refuses_broken_batches),
    T (fences_the_former_owner),
    T (refuses_another_log),
    T (survives_killed_connections),
    T (survives_death_inside_commit),
    T (survives_cuts_at_commit),
    T (survives_cuts_anywhere),
    T (waits_for_a_commit_under_way),
    T (continues_with_a_longer_batch),
    T (fenced_while_away),
    T (survives_a_server_restart),
    T (notices_a_database_from_a_backup),
    T (survives_death_at_any_statement),
    T (takes_whole_hours_of_a_backlog),
    T (rolls_up_through_cuts),
    T (watermark_is_the_last_microsecond_over),
    T (points_are_the_same_for_every_store),
    T (exporters_are_replaced),
    T (notes_become_findings),
    T (profiles_are_appended),
    T (makes_a_day_once),
    T (drops_old_tables),
    T (answers_the_front_end),
  };

  if (g_getenv ("OWD_CLUSTER") == NULL) {
    g_printerr ("run by: tests/sql/cluster.sh run %s\n", g_get_prgname () != NULL ? g_get_prgname () : "test_store");
    return 2;
  }
  watcher = PQconnectdb ("options='-c timezone=UTC -c client_min_messages=warning'");
  failed = cmocka_run_group_tests (tests, NULL, NULL);
  PQfinish (watcher);
  return failed;
}
