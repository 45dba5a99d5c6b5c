/* SPDX-License-Identifier: Apache-2.0
 *
 * oneway-profiler: wiring of log, profiler engine, database and report.
 *
 * One pass over all partitions at once, merged by the receive time of their headers: so the profile of an exporter sees
 * its datagrams in the order in which they came, and the copies of a header that stand in several partitions come right
 * after each other. Memory: one open block per partition, one batch, and one profile per exporter state.
 */
#include "clocks.h"
#include "owd-flowlog.h"
#include "owd-profiler.h"
#include "owd-program.h"
#include "owd-store.h"
#include "state.h"

#include <stdio.h>
#include <string.h>

#define PROGRAM "oneway-profiler"

/* One partition. Stands in front of the records of `header`. */
typedef struct {
  guint part;
  OwdLogReader *reader;
  OwdLogBlock block;
  gboolean open; /* block is valid */
  gboolean end;
  OwdHeader header;
  gboolean wanted; /* header lies in the time range, */
  guint number;    /* its state's number in the batch */
  GArray *numbers; /* state of the reader -> that number plus 1 */
} Cursor;

typedef struct {
  OwdConfig *config;
  char *log_dir, *db, *from_text, *to_text, *format;
  gboolean dry_run, plan;
  char *state_file; /* --from last */
  gboolean goes_on;
  State *before;          /* of the run before; NULL: there is none */
  guint64 *offsets;       /* behind what was read, by partition */
  guint64 datagrams;      /* read in this run */
  OwdTime from_ns, to_ns; /* OWD_TIME_NONE, G_MAXINT64: no limit */
  OwdLogInfo info;
  GHashTable *profiles; /* OwdStateKey -> OwdProfile */
  GHashTable *numbers;  /* the same keys -> number in the batch, plus 1 */
  OwdProfileBatch *batch;
  double skew_bound_ppm;
} Program;

/* ---- reading the log -------------------------------------------------------------------------------- */

/* profile: (transfer full). Returns: its number in the batch plus 1, as a pointer. */
static gpointer
enter (Program *p, OwdProfile *profile)
{
  OwdStateKey *key = g_memdup2 (owd_profile_key (profile), sizeof *key);
  gpointer known = GUINT_TO_POINTER (owd_profile_batch_add (p->batch, profile) + 1);

  g_hash_table_insert (p->profiles, key, profile);
  g_hash_table_insert (p->numbers, key, known);
  return known;
}

/* Number of the header's state in the batch. */
static guint
number_of (Program *p, Cursor *c, const OwdHeader *h)
{
  gpointer known;
  guint *number;

  if (h->state >= c->numbers->len)
    g_array_set_size (c->numbers, h->state + 1);
  number = &g_array_index (c->numbers, guint, h->state);
  if (*number != 0)
    return *number - 1;
  known = g_hash_table_lookup (p->numbers, &h->key);
  if (known == NULL)
    known = enter (p, owd_profile_new (&h->key, p->skew_bound_ppm));
  *number = GPOINTER_TO_UINT (known);
  return *number - 1;
}

static gboolean
next_block (Program *p, Cursor *c, GError **error)
{
  for (;;) {
    g_autoptr (GError) damage = NULL;
    OwdStatus status = owd_log_reader_next (c->reader, &c->block, &damage);

    switch (status) {
    case OWD_STATUS_OK:
      /* everything in it came no later than its time */
      if (c->block.time < p->from_ns)
        continue;
      c->open = TRUE;
      return TRUE;
    case OWD_STATUS_END:
      c->end = TRUE;
      c->open = FALSE;
      return TRUE;
    case OWD_STATUS_GAP:
      continue;
    case OWD_STATUS_CHECKSUM:
      g_warning ("partition %u: %s; skipped, the rest is used", c->part, damage->message);
      continue;
    default:
      g_propagate_error (error, g_steal_pointer (&damage));
      return FALSE;
    }
  }
}

static gboolean
in_range (const Program *p, const OwdHeader *h)
{
  return h->recv_ns >= p->from_ns && h->recv_ns < p->to_ns;
}

/* Gives the records of the current header away, up to the next header. */
static gboolean
advance (Program *p, Cursor *c, GError **error)
{
  OwdItemType type;
  OwdFlow flow;

  for (;;) {
    while (c->open && owd_log_block_next (&c->block, &type, &c->header, &flow)) {
      if (type == OWD_ITEM_FLOW) {
        if (c->wanted)
          owd_profile_batch_flow (p->batch, &flow);
        continue;
      }
      c->wanted = in_range (p, &c->header);
      if (!c->wanted)
        continue;
      c->number = number_of (p, c, &c->header);
      return TRUE;
    }
    c->wanted = FALSE;
    if (!next_block (p, c, error))
      return FALSE;
    if (c->end)
      return TRUE;
  }
}

static void
cursor_clear (gpointer data)
{
  Cursor *c = data;

  owd_log_reader_free (c->reader);
  g_clear_pointer (&c->numbers, g_array_unref);
}

static gboolean
cursor_open (Program *p, Cursor *c, guint part, GError **error)
{
  c->part = part;
  c->numbers = g_array_new (FALSE, TRUE, sizeof (guint));
  c->reader = owd_log_reader_open (p->log_dir, part, p->before != NULL ? p->before->offsets[part] : 0, error);
  return c->reader != NULL && advance (p, c, error);
}

/* The partition whose header came first; of several the lowest, so that copies of one header follow each other.
 * due_ns: by partition, G_MAXINT64 at the end of it. */
static guint
earliest (const OwdTime *due_ns, guint n)
{
  guint first = 0;

  for (guint i = 1; i < n; i++)
    first = due_ns[i] < due_ns[first] ? i : first;
  return first;
}

static gboolean
read_log (Program *p, GError **error)
{
  g_autoptr (GArray) cursors = g_array_new (FALSE, TRUE, sizeof (Cursor));
  g_autofree OwdTime *due_ns = g_new (OwdTime, p->info.partitions);

  g_array_set_clear_func (cursors, cursor_clear);
  g_array_set_size (cursors, p->info.partitions);
  for (guint i = 0; i < cursors->len; i++) {
    Cursor *c = &g_array_index (cursors, Cursor, i);

    if (!cursor_open (p, c, i, error))
      return FALSE;
    due_ns[i] = c->end ? G_MAXINT64 : c->header.recv_ns;
  }
  for (;;) {
    guint i = earliest (due_ns, cursors->len);
    Cursor *c = &g_array_index (cursors, Cursor, i);

    if (c->end)
      break;
    p->datagrams++;
    owd_profile_batch_header (p->batch, c->number, &c->header);
    if (!advance (p, c, error))
      return FALSE;
    due_ns[i] = c->end ? G_MAXINT64 : c->header.recv_ns;
  }
  owd_profile_batch_flush (p->batch);
  p->offsets = g_new (guint64, p->info.partitions);
  for (guint i = 0; i < cursors->len; i++)
    p->offsets[i] = owd_log_reader_offset (g_array_index (cursors, Cursor, i).reader);
  return TRUE;
}

/* ---- from one night to the next --------------------------------------------------------------------- */

/* Without a usable state the whole log is read. */
static void
go_on (Program *p)
{
  g_autoptr (GError) unusable = NULL;

  p->before = state_load (p->state_file, &p->info, &unusable);
  if (p->before == NULL) {
    g_message ("%s: the whole log is read", unusable->message);
    return;
  }
  for (guint i = 0; i < p->before->profiles->len; i++)
    (void) enter (p, g_ptr_array_index (p->before->profiles, i));
  /* they belong to the table now */
  g_ptr_array_set_free_func (p->before->profiles, NULL);
}

static void
leave_state (Program *p)
{
  State state = { .offsets = p->offsets, .n_offsets = p->info.partitions, .until_ns = OWD_TIME_NONE };
  g_autoptr (GPtrArray) profiles = g_ptr_array_new ();
  g_autoptr (GError) refused = NULL;
  GHashTableIter iter;
  gpointer profile;

  g_hash_table_iter_init (&iter, p->profiles);
  while (g_hash_table_iter_next (&iter, NULL, &profile)) {
    g_ptr_array_add (profiles, profile);
    state.until_ns = MAX (state.until_ns, owd_profile_until (profile));
  }
  state.profiles = profiles;
  if (!state_save (p->state_file, &p->info, &state, &refused))
    g_warning ("%s: the next run will read the whole log", refused->message);
}

/* ---- report ----------------------------------------------------------------------------------------- */

static gint
by_key (gconstpointer a, gconstpointer b)
{
  const OwdProfileSummary *const *x = a, *const *y = b;

  return memcmp (&(*x)->key, &(*y)->key, sizeof (*x)->key);
}

static GPtrArray *
summaries (Program *p)
{
  GPtrArray *all = g_ptr_array_new_with_free_func (g_free);
  GHashTableIter iter;
  gpointer profile;

  g_hash_table_iter_init (&iter, p->profiles);
  while (g_hash_table_iter_next (&iter, NULL, &profile)) {
    OwdProfileSummary *s = g_new (OwdProfileSummary, 1);

    owd_profile_summary (profile, s);
    g_ptr_array_add (all, s);
  }
  g_ptr_array_sort (all, by_key);
  return all;
}

static void
print (Program *p, const GPtrArray *all)
{
  g_autoptr (GString) out = g_string_new (NULL);

  for (guint i = 0; i < all->len; i++) {
    const OwdProfileSummary *s = g_ptr_array_index (all, i);
    g_autofree char *name = owd_config_point_name (p->config, &s->key, p->profiles);

    if (strcmp (p->format, "json") == 0)
      owd_profile_json (s, name, OWD_PROFILE_ALL_SEGMENTS, out);
    else
      owd_profile_text (s, name, out);
    g_string_append_c (out, '\n');
  }
  fputs (out->str, stdout);
}

static void
print_plan (Program *p, const GPtrArray *all)
{
  double max_latency_s
      = (double) owd_config_duration_ns (p->config, "correlator", "max-latency") / (double) OWD_NS_PER_S;
  g_autoptr (GString) out = g_string_new (NULL);
  OwdProfilePlan plan;

  owd_profile_plan ((const OwdProfileSummary *const *) all->pdata, all->len, max_latency_s, &plan);
  if (strcmp (p->format, "json") == 0)
    owd_profile_plan_json (&plan, out);
  else
    owd_profile_plan_text (&plan, out);
  puts (out->str);
}

/* ---- database --------------------------------------------------------------------------------------- */

static void
row_clear (gpointer data)
{
  g_free (((OwdProfileRow *) data)->measured);
}

/* One row per segment, or part of it, that this run has read. */
static void
add_rows (Program *p, const OwdProfileSummary *s, GArray *rows)
{
  g_autofree char *name = owd_config_point_name (p->config, &s->key, p->profiles);

  for (guint i = 0; i < s->n_segments; i++) {
    OwdProfileRow row = { .key = s->key, .from_ns = s->segment[i].from_ns, .to_ns = s->segment[i].to_ns };
    GString *json;

    if (p->before != NULL && row.to_ns <= p->before->until_ns)
      continue;
    if (p->before != NULL)
      row.from_ns = MAX (row.from_ns, p->before->until_ns + OWD_NS_PER_US); /* as fine as the database */
    json = g_string_new (NULL);
    g_strlcpy (row.name, name, sizeof row.name);
    owd_profile_json (s, name, i, json);
    row.measured = g_string_free (json, FALSE);
    g_array_append_val (rows, row);
  }
}

/* Where the rights are missing somebody else has to migrate: owd_store_open() tells. */
static OwdStore *
open_store (Program *p, GError **error)
{
  g_autoptr (GError) refused = NULL;

  if (!owd_store_migrate (p->db, NULL, NULL, &refused))
    g_info ("schema left as it is: %s", refused->message);
  return owd_store_open (p->db, PROGRAM, error);
}

static void
move_clear (gpointer data)
{
  g_free (((OwdClockMove *) data)->point);
}

/* What samples of the time that was read say of clocks. */
static gboolean
write_clocks (Program *p, const GPtrArray *all, OwdStore *store, GError **error)
{
  g_autoptr (GString) out = g_string_new (NULL);
  g_autoptr (GArray) moves = g_array_new (FALSE, FALSE, sizeof (OwdClockMove));
  OwdTime from_ns = G_MAXINT64, to_ns = OWD_TIME_NONE;

  g_array_set_clear_func (moves, move_clear);
  for (guint i = 0; i < all->len; i++) {
    const OwdProfileSummary *s = g_ptr_array_index (all, i);

    from_ns = MIN (from_ns, s->from_ns);
    to_ns = MAX (to_ns, s->to_ns);
    if (s->moved_ns != OWD_TIME_NONE) {
      OwdClockMove move = { .point = owd_config_point_name (p->config, &s->key, p->profiles), .at_ns = s->moved_ns };

      g_array_append_val (moves, move);
    }
  }
  if (p->before != NULL)
    from_ns = MAX (from_ns, p->before->until_ns);
  if (to_ns <= from_ns)
    return TRUE;
  if (!clocks_relate (store, p->config, from_ns, to_ns, (const OwdClockMove *) moves->data, moves->len, out, error))
    return FALSE;
  if (strcmp (p->format, "text") == 0)
    fputs (out->str, stdout);
  return TRUE;
}

static gboolean
write_profiles (Program *p, const GPtrArray *all, GError **error)
{
  g_autoptr (GArray) rows = g_array_new (FALSE, FALSE, sizeof (OwdProfileRow));
  g_autoptr (OwdStore) store = open_store (p, error);

  if (store == NULL)
    return FALSE;
  g_array_set_clear_func (rows, row_clear);
  for (guint i = 0; i < all->len; i++)
    add_rows (p, g_ptr_array_index (all, i), rows);
  return owd_store_profiles (store, (const OwdProfileRow *) rows->data, rows->len, error)
         && write_clocks (p, all, store, error);
}

/* ---- the program ------------------------------------------------------------------------------------ */

/* ISO 8601; seconds, or the time of day, may be left out; UTC where no zone is named. */
static gboolean
parse_time (const char *option, const char *text, OwdTime *ret, GError **error)
{
  static const char *const rest[] = { "", ":00", "T00:00:00" };
  g_autoptr (GTimeZone) utc = g_time_zone_new_utc ();
  g_autoptr (GDateTime) t = NULL;

  if (text == NULL)
    return TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (rest) && t == NULL; i++) {
    g_autofree char *whole = g_strconcat (text, rest[i], NULL);

    t = g_date_time_new_from_iso8601 (whole, utc);
  }
  if (t == NULL) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "%s %s: give a time like 2026-11-22T06:00:00Z", option, text);
    return FALSE;
  }
  *ret = g_date_time_to_unix (t) * OWD_NS_PER_S + g_date_time_get_microsecond (t) * OWD_NS_PER_US;
  return TRUE;
}

static gboolean
settings (Program *p, int argc, GError **error)
{
  if (argc > 1) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "no arguments are taken beside options");
    return FALSE;
  }
  if (p->format == NULL)
    p->format = g_strdup ("text");
  if (strcmp (p->format, "text") != 0 && strcmp (p->format, "json") != 0) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "--format %s: give text or json", p->format);
    return FALSE;
  }
  if (p->log_dir == NULL)
    p->log_dir = g_strdup (owd_config_string (p->config, "log", "directory"));
  if (p->db == NULL)
    p->db = g_strdup (owd_config_string (p->config, "database", "conninfo"));
  p->skew_bound_ppm = owd_config_double (p->config, "correlator", "clock-skew-bound-ppm");
  p->from_ns = OWD_TIME_NONE;
  p->to_ns = G_MAXINT64;
  p->goes_on = g_strcmp0 (p->from_text, "last") == 0;
  if (p->goes_on && p->to_text != NULL) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "--from last reads up to the end of the log: leave --to out");
    return FALSE;
  }
  if (p->state_file == NULL)
    p->state_file = g_build_filename (p->log_dir, "profiler.state", NULL);
  if (!p->goes_on && !parse_time ("--from", p->from_text, &p->from_ns, error))
    return FALSE;
  return parse_time ("--to", p->to_text, &p->to_ns, error);
}

static int
run (Program *p, GError **error)
{
  g_autoptr (GPtrArray) all = NULL;

  if (!owd_log_info (p->log_dir, &p->info, error))
    return OWD_EXIT_FAILED;
  if (p->goes_on)
    go_on (p);
  if (!read_log (p, error))
    return OWD_EXIT_FAILED;
  if (p->before != NULL && p->datagrams == 0) {
    g_message ("%s: nothing new since the last run", p->log_dir);
    return OWD_EXIT_NOTHING;
  }
  all = summaries (p);
  if (p->plan)
    print_plan (p, all);
  else
    print (p, all);
  if (all->len == 0) {
    g_message ("%s: no exporter in this range of time", p->log_dir);
    return OWD_EXIT_NOTHING;
  }
  if (p->dry_run || p->plan)
    return OWD_EXIT_DONE;
  if (!write_profiles (p, all, error))
    return OWD_EXIT_FAILED;
  if (p->goes_on)
    leave_state (p);
  return OWD_EXIT_DONE;
}

int
main (int argc, char **argv)
{
  Program p = { 0 };
  const GOptionEntry entries[] = {
    { "log", 'l', 0, G_OPTION_ARG_FILENAME, &p.log_dir, "Flow log; default: [log] directory", "DIR" },
    { "db", 'd', 0, G_OPTION_ARG_STRING, &p.db, "PostgreSQL connection; default: [database] conninfo", "CONNINFO" },
    { "from", 0, 0, G_OPTION_ARG_STRING, &p.from_text,
      "Only what was received from this time on; last: go on where the last run ended", "TIME" },
    { "to", 0, 0, G_OPTION_ARG_STRING, &p.to_text, "Only what was received before this time", "TIME" },
    { "state", 0, 0, G_OPTION_ARG_FILENAME, &p.state_file,
      "What --from last leaves to the next run; default: profiler.state in the log", "FILE" },
    { "dry-run", 'n', 0, G_OPTION_ARG_NONE, &p.dry_run, "Report only, leave the database alone", NULL },
    { "plan", 0, 0, G_OPTION_ARG_NONE, &p.plan, "Say what correlator, log and database will need; writes nothing",
      NULL },
    { "format", 0, 0, G_OPTION_ARG_STRING, &p.format, "text or json, one object per line (default: text)", "FORMAT" },
    { NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL },
  };
  GOptionContext *context = g_option_context_new ("- measure the errors of every exporter's stamps");
  GError *error = NULL;
  int status;

  g_option_context_add_main_entries (context, entries, NULL);
  status = owd_program_start (context, PROGRAM, &argc, &argv, &p.config);
  g_option_context_free (context);
  if (status >= 0)
    return status;
  p.profiles
      = g_hash_table_new_full (owd_state_key_hash, owd_state_key_equal, g_free, (GDestroyNotify) owd_profile_free);
  p.numbers = g_hash_table_new (owd_state_key_hash, owd_state_key_equal);
  p.batch = owd_profile_batch_new ();
  if (settings (&p, argc, &error))
    status = run (&p, &error);
  if (error != NULL)
    status = owd_program_fail (PROGRAM, error);
  owd_profile_batch_free (p.batch);
  g_hash_table_unref (p.numbers);
  g_hash_table_unref (p.profiles);
  state_free (p.before);
  g_free (p.offsets);
  g_free (p.state_file);
  g_free (p.log_dir);
  g_free (p.db);
  g_free (p.from_text);
  g_free (p.to_text);
  g_free (p.format);
  owd_config_unref (p.config);
  return status;
}
