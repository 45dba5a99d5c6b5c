/* SPDX-License-Identifier: Apache-2.0
 *
 * oneway-probe report: what the samples say against what the probe measured on the very same packets.
 *
 * Hour by hour, path by path, five quantities:
 *
 *   rtt   active round trip, and sample there plus sample back. No clock of the probe and no offset between exporters
 *         is in it, so this is the verdict on stamps and profiles.
 *   up    active one-way delay of the probe packet, and its sample: also judges the agreement of clocks, of exporters
 *         and of the probe's two ends alike.
 *   down  likewise, of the answer.
 *   via   samples alone: src to dst, and the sum over a point between.
 *   sum   probes alone: src to dst, and the sum over a host between, minute by minute.
 *
 * A probe between hosts beyond the points measures a longer way than the samples: active minus passive then has a
 * floor, the way outside. It cannot be told from a bias of the samples by these packets alone, so it is never estimated
 * and taken off; who knows it gives it (--beyond), everybody else is told how large it would have to be. The other
 * sign, samples longer than the probe's way that contains theirs, is always an error of stamps, clocks or profiles.
 */
#include "owd-program.h"
#include "owd-store.h"
#include "program.h"
#include "validate.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What stamps of the kernel and of an exporter beside it are apart, each: OWD_PROBE_NOISE_NS of both ends' stamps. */
#define NOISE_ONE_WAY_MS 0.04
#define NOISE_TRIP_MS 0.08
#define ENOUGH 0.95 /* of the packets: what intervals have to hold */
#define HOUR_NS (3600 * OWD_NS_PER_S)

typedef enum { QUANTITY_RTT, QUANTITY_UP, QUANTITY_DOWN, QUANTITY_VIA, QUANTITY_SUM, N_QUANTITIES } Quantity;

static const char *const quantity_names[] = { "rtt", "up", "down", "via", "sum" };

/* One pair of points, seen by one probe; or three points. */
typedef struct {
  char *src, *dst, *via;              /* via: NULL but for QUANTITY_VIA and _SUM */
  char *probe_src, *probe_dst, *mode; /* NULL for these two */
  guint size;                         /* 0 for QUANTITY_VIA */
  guint64 answered;
  OwdValidation *pairs[N_QUANTITIES];
} Path;

/* What all hours together say of a path. */
typedef struct {
  char *title;
  guint64 n[N_QUANTITIES];
  double inside[N_QUANTITIES], bias[N_QUANTITIES]; /* sums over packets */
} Total;

typedef struct {
  char *db, *from, *to, *slack, *beyond, *format;
  gboolean dry_run;
} Options;

typedef struct {
  gboolean json;
  gint64 slack_ns;
  double beyond_ms; /* one way */
  Path *path;       /* being filled; NULL: none */
  GPtrArray *paths; /* of the hour */
  GPtrArray *totals;
  GString *lines; /* JSON of all rows */
  guint rows;
} Report;

/* ---- paths ------------------------------------------------------------------------------------- */

static void
free_path (gpointer data)
{
  Path *p = data;

  for (guint i = 0; i < N_QUANTITIES; i++)
    owd_validation_free (p->pairs[i]);
  g_free (p->src);
  g_free (p->dst);
  g_free (p->via);
  g_free (p->probe_src);
  g_free (p->probe_dst);
  g_free (p->mode);
  g_free (p);
}

static void
free_total (gpointer data)
{
  Total *t = data;

  g_free (t->title);
  g_free (t);
}

static Path *
add_path (Report *self)
{
  Path *p = g_new0 (Path, 1);

  for (guint i = 0; i < N_QUANTITIES; i++)
    p->pairs[i] = owd_validation_new ();
  g_ptr_array_add (self->paths, p);
  self->path = p;
  return p;
}

/* Rows of one path are neighbours. */
static Path *
path_of_match (Report *self, const OwdProbeMatch *m)
{
  Path *p = self->path;

  if (p != NULL && p->size == m->size && g_str_equal (p->src, m->src) && g_str_equal (p->dst, m->dst)
      && g_str_equal (p->probe_src, m->probe_src) && g_str_equal (p->probe_dst, m->probe_dst)
      && g_str_equal (p->mode, m->mode))
    return p;
  p = add_path (self);
  p->src = g_strdup (m->src);
  p->dst = g_strdup (m->dst);
  p->probe_src = g_strdup (m->probe_src);
  p->probe_dst = g_strdup (m->probe_dst);
  p->mode = g_strdup (m->mode);
  p->size = m->size;
  return p;
}

static void
on_match (const OwdProbeMatch *m, void *user)
{
  Report *self = user;
  Path *p = path_of_match (self, m);
  double beyond = self->beyond_ms;
  const OwdValidationPair pairs[] = {
    [QUANTITY_RTT] = { .active = m->rtt - 2 * beyond,
                       .active_lo = NAN,
                       .active_hi = NAN,
                       .noise = NOISE_TRIP_MS,
                       .passive = m->there + m->back,
                       .passive_lo = m->there_lo + m->back_lo,
                       .passive_hi = m->there_hi + m->back_hi,
                       .sigma = hypot (m->there_sigma, m->back_sigma) },
    [QUANTITY_UP] = { .active = m->up - beyond,
                      .active_lo = m->up_lo - beyond,
                      .active_hi = m->up_hi - beyond,
                      .noise = NOISE_ONE_WAY_MS,
                      .passive = m->there,
                      .passive_lo = m->there_lo,
                      .passive_hi = m->there_hi,
                      .sigma = m->there_sigma },
    [QUANTITY_DOWN] = { .active = m->down - beyond,
                        .active_lo = m->down_lo - beyond,
                        .active_hi = m->down_hi - beyond,
                        .noise = NOISE_ONE_WAY_MS,
                        .passive = m->back,
                        .passive_lo = m->back_lo,
                        .passive_hi = m->back_hi,
                        .sigma = m->back_sigma },
  };

  for (guint i = 0; i < G_N_ELEMENTS (pairs); i++)
    owd_validation_add (p->pairs[i], &pairs[i]);
}

static void
on_via (const OwdProbeVia *v, void *user)
{
  Report *self = user;
  Path *p = self->path;
  OwdValidationPair pair = { .active = v->sum,
                             .active_lo = v->sum_lo,
                             .active_hi = v->sum_hi,
                             .passive = v->owd,
                             .passive_lo = v->lo,
                             .passive_hi = v->hi,
                             .sigma = v->sigma };

  if (p == NULL || p->via == NULL || !g_str_equal (p->src, v->src) || !g_str_equal (p->dst, v->dst)
      || !g_str_equal (p->via, v->via)) {
    p = add_path (self);
    p->src = g_strdup (v->src);
    p->dst = g_strdup (v->dst);
    p->via = g_strdup (v->via);
  }
  owd_validation_add (p->pairs[QUANTITY_VIA], &pair);
}

static void
on_composed (const OwdProbeComposed *c, void *user)
{
  Report *self = user;
  Path *p = self->path;
  OwdValidationPair pair = { .active = c->owd,
                             .active_lo = c->lo,
                             .active_hi = c->hi,
                             .noise = NOISE_ONE_WAY_MS,
                             .passive = c->sum,
                             .passive_lo = c->sum_lo,
                             .passive_hi = c->sum_hi,
                             .sigma = c->sigma };

  if (p == NULL || p->via == NULL || p->size != c->size || !g_str_equal (p->src, c->src)
      || !g_str_equal (p->dst, c->dst) || !g_str_equal (p->via, c->via)) {
    p = add_path (self);
    p->src = g_strdup (c->src);
    p->dst = g_strdup (c->dst);
    p->via = g_strdup (c->via);
    p->size = c->size;
  }
  owd_validation_add (p->pairs[QUANTITY_SUM], &pair);
}

/* ---- JSON -------------------------------------------------------------------------------------- */

static void
put_text (GString *out, const char *name, const char *text)
{
  if (text == NULL)
    return;
  g_string_append_printf (out, ",\"%s\":\"", name);
  for (; *text != '\0'; text++)
    if (*text == '"' || *text == '\\')
      g_string_append_printf (out, "\\%c", *text);
    else if ((guchar) *text < 0x20)
      g_string_append_printf (out, "\\u%04x", (guint) *text);
    else
      g_string_append_c (out, *text);
  g_string_append_c (out, '"');
}

static void
put_number (GString *out, const char *name, double value)
{
  char buf[G_ASCII_DTOSTR_BUF_SIZE];

  if (isfinite (value))
    g_string_append_printf (out, ",\"%s\":%s", name, g_ascii_formatd (buf, sizeof buf, "%.6g", value));
}

static void
put_line (Report *self, const char *hour, const Path *p, Quantity q, const OwdValidationResult *r)
{
  const struct {
    const char *name;
    double value;
  } numbers[] = {
    { "active_ms", r->active },
    { "passive_ms", r->passive },
    { "bias_ms", r->bias },
    { "mean_ms", r->mean },
    { "stderr_ms", r->stderr_ },
    { "spread_ms", r->spread },
    { "p025_ms", r->p025 },
    { "p975_ms", r->p975 },
    { "random_ms", r->random },
    { "correlation", r->correlation },
    { "rank_correlation", r->rank_correlation },
    { "width_ms", r->width },
    { "inside", r->inside },
    { "consistent", r->consistent },
    { "within_2sigma", r->within_2sigma },
    { "ks", r->ks },
    { "ks_p", r->ks_p },
  };

  g_string_append (self->lines, "{\"type\":\"validation\"");
  put_text (self->lines, "hour", hour);
  put_text (self->lines, "src", p->src);
  put_text (self->lines, "dst", p->dst);
  put_text (self->lines, "quantity", quantity_names[q]);
  put_text (self->lines, "via", p->via);
  put_text (self->lines, "probe_src", p->probe_src);
  put_text (self->lines, "probe_dst", p->probe_dst);
  put_text (self->lines, "mode", p->mode);
  if (p->size > 0)
    g_string_append_printf (self->lines, ",\"size\":%u", p->size);
  if (p->via == NULL)
    g_string_append_printf (self->lines, ",\"answered\":%" G_GUINT64_FORMAT, p->answered);
  g_string_append_printf (self->lines, ",\"n\":%u", r->n);
  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    put_number (self->lines, numbers[i].name, numbers[i].value);
  if (p->via == NULL)
    put_number (self->lines, "beyond_ms", q == QUANTITY_RTT ? 2 * self->beyond_ms : self->beyond_ms);
  g_string_append (self->lines, "}\n");
}

/* ---- table ------------------------------------------------------------------------------------- */

static char *
title_of (const Path *p)
{
  if (p->via != NULL && p->size > 0)
    return g_strdup_printf ("%s to %s, sum over %s, probes alone (%u bytes)", p->src, p->dst, p->via, p->size);
  if (p->via != NULL)
    return g_strdup_printf ("%s to %s, sum over %s", p->src, p->dst, p->via);
  return g_strdup_printf ("%s to %s, probe %s to %s (%s, %u bytes)", p->src, p->dst, p->probe_src, p->probe_dst,
                          p->mode, p->size);
}

static Total *
total_of (Report *self, const Path *p)
{
  g_autofree char *title = title_of (p);
  Total *t;

  for (guint i = 0; i < self->totals->len; i++)
    if (g_str_equal (((Total *) self->totals->pdata[i])->title, title))
      return self->totals->pdata[i];
  t = g_new0 (Total, 1);
  t->title = g_steal_pointer (&title);
  g_ptr_array_add (self->totals, t);
  return t;
}

static void
add_total (Total *t, Quantity q, const OwdValidationResult *r)
{
  t->n[q] += r->n;
  t->inside[q] += r->inside * r->n;
  t->bias[q] += r->bias * r->n;
}

static void
print_cell (double value, int width, int places)
{
  if (isfinite (value))
    printf ("%*.*f", width, places, value);
  else
    printf ("%*s", width, "-");
}

static void
print_row (Quantity q, const OwdValidationResult *r)
{
  const double ms[] = { r->active, r->passive, r->bias, r->spread, r->random, r->width };

  printf ("  %-5s%9u", quantity_names[q], r->n);
  for (guint i = 0; i < G_N_ELEMENTS (ms); i++)
    print_cell (ms[i], 10, 3);
  print_cell (r->correlation, 7, 2);
  print_cell (100 * r->inside, 8, 1);
  print_cell (100 * r->consistent, 8, 1);
  print_cell (100 * r->within_2sigma, 8, 1);
  print_cell (r->ks, 7, 3);
  putchar ('\n');
}

static void
report_path (Report *self, const char *hour, const Path *p)
{
  Total *total = total_of (self, p);
  gboolean titled = FALSE;

  for (Quantity q = 0; q < N_QUANTITIES; q++) {
    OwdValidationResult r;

    owd_validation_result (p->pairs[q], &r);
    if (r.n == 0)
      continue;
    put_line (self, hour, p, q, &r);
    add_total (total, q, &r);
    self->rows++;
    if (self->json)
      continue;
    if (!titled)
      printf ("\n%s  %s%s%" G_GUINT64_FORMAT "%s\n  %-5s%9s%10s%10s%10s%10s%10s%10s%7s%8s%8s%8s%7s\n", hour,
              total->title, p->via == NULL ? ": " : "", p->via == NULL ? p->answered : (guint64) r.n,
              p->via == NULL ? " answered"
              : p->size == 0 ? " packets"
                             : " minutes",
              "ms", "n", "active", "passive", "bias", "spread", "random", "width", "r", "inside%", "agree%", "2sigma%",
              "KS");
    titled = TRUE;
    print_row (q, &r);
  }
}

/* What the reader should conclude, and what not. */
static void
explain (const Report *self, const Total *t)
{
  double bias[N_QUANTITIES], inside[N_QUANTITIES], clocks;

  for (guint q = 0; q < N_QUANTITIES; q++) {
    bias[q] = t->n[q] > 0 ? t->bias[q] / (double) t->n[q] : NAN;
    inside[q] = t->n[q] > 0 ? t->inside[q] / (double) t->n[q] : NAN;
  }
  printf ("\n%s\n", t->title);
  if (t->n[QUANTITY_VIA] > 0) {
    printf ("  in %.1f %% of %" G_GUINT64_FORMAT " packets the sum lies in the sample's interval\n",
            100 * inside[QUANTITY_VIA], t->n[QUANTITY_VIA]);
    return;
  }
  if (t->n[QUANTITY_SUM] > 0) {
    printf ("  in %.1f %% of %" G_GUINT64_FORMAT
            " minutes the direct delay lies in the sum's interval; the sum is longer "
            "by %.3f ms\n",
            100 * inside[QUANTITY_SUM], t->n[QUANTITY_SUM], bias[QUANTITY_SUM]);
    return;
  }
  for (Quantity q = 0; q <= QUANTITY_DOWN; q++)
    if (t->n[q] > 0)
      printf ("  %-4s in %.1f %% of %" G_GUINT64_FORMAT " packets the probe's delay lies in the sample's interval\n",
              quantity_names[q], 100 * inside[q], t->n[q]);
  clocks = (bias[QUANTITY_UP] - bias[QUANTITY_DOWN]) / 2;
  if (isfinite (clocks) && fabs (clocks) > NOISE_TRIP_MS)
    printf ("  up and down differ from the samples in opposite directions by %.3f ms: clocks of exporters and of the\n"
            "  probe's two ends do not tell the same time; round trips are free of that\n",
            fabs (clocks));
  if (!(inside[QUANTITY_RTT] < ENOUGH))
    return;
  if (bias[QUANTITY_RTT] < 0)
    printf (
        "  note: the probe's round trip is %.3f ms longer than the samples'. Either its hosts lie beyond the points,\n"
        "  together that far there and back (then say --beyond %.3fms), or stamps are off; this cannot tell which\n",
        -bias[QUANTITY_RTT], -bias[QUANTITY_RTT] / 2 + self->beyond_ms);
  else
    printf (
        "  note: the samples' round trip is %.3f ms longer than the probe's, which contains it: stamps or profiles\n"
        "  are off by more than they state\n",
        bias[QUANTITY_RTT]);
}

/* ---- the run ----------------------------------------------------------------------------------- */

/* Column c of row r. */
static const char *
cell (const OwdTable *table, guint r, guint c)
{
  return table->cells[(gsize) r * table->n_columns + c];
}

static void
set_answered (Path *p, const OwdTable *counts)
{
  for (guint i = 0; p->via == NULL && i < counts->n_rows; i++)
    if (g_str_equal (cell (counts, i, 0), p->probe_src) && g_str_equal (cell (counts, i, 1), p->probe_dst)
        && g_str_equal (cell (counts, i, 2), p->mode) && strtoul (cell (counts, i, 3), NULL, 10) == p->size)
      p->answered = g_ascii_strtoull (cell (counts, i, 5), NULL, 10);
}

/* ret_sent: probe packets in that hour. */
static gboolean
report_hour (Report *self, OwdStore *store, OwdTime hour, guint64 *ret_sent, GError **error)
{
  OwdTime end = hour + HOUR_NS;
  g_autoptr (OwdTable) counts = owd_store_probe_counts (store, hour, end, error);
  char text[OWD_TIME_TEXT];

  if (counts == NULL)
    return FALSE;
  *ret_sent = 0;
  for (guint i = 0; i < counts->n_rows; i++)
    *ret_sent += g_ascii_strtoull (cell (counts, i, 4), NULL, 10);
  if (*ret_sent == 0)
    return TRUE;
  g_ptr_array_set_size (self->paths, 0);
  self->path = NULL;
  if (!owd_store_probe_matches (store, hour, end, self->slack_ns, on_match, self, error))
    return FALSE;
  self->path = NULL;
  if (!owd_store_probe_vias (store, hour, end, self->slack_ns, on_via, self, error))
    return FALSE;
  self->path = NULL;
  if (!owd_store_probe_compose (store, hour, end, on_composed, self, error))
    return FALSE;
  owd_time_text (hour, text);
  for (guint i = 0; i < self->paths->len; i++) {
    set_answered (self->paths->pdata[i], counts);
    report_path (self, text, self->paths->pdata[i]);
  }
  return TRUE;
}

/* Whole hours: a row of half an hour would replace that of the whole. */
static gboolean
report_range (Report *self, OwdStore *store, OwdTime from, OwdTime to, guint64 *ret_sent, GError **error)
{
  *ret_sent = 0;
  for (OwdTime hour = from - from % HOUR_NS; hour < to; hour += HOUR_NS) {
    guint64 sent;

    if (!report_hour (self, store, hour, &sent, error))
      return FALSE;
    *ret_sent += sent;
  }
  return TRUE;
}

static int
conclude (Report *self, OwdStore *store, const Options *o, guint64 sent, GError **error)
{
  if (self->rows == 0) {
    g_message ("%" G_GUINT64_FORMAT " probe packets in that time, none of them seen by two exporters%s", sent,
               sent > 0
                   ? ": do they pass two routers that export them, each with a source port of its own (send --ports)?"
                   : "");
    return OWD_EXIT_NOTHING;
  }
  if (self->json)
    fputs (self->lines->str, stdout);
  for (guint i = 0; i < self->totals->len && !self->json; i++)
    explain (self, self->totals->pdata[i]);
  if (!o->dry_run && !owd_store_validation_lines (store, self->lines->str, error)) {
    g_prefix_error_literal (error, "the report is not stored (--dry-run does without): ");
    return -1;
  }
  if (fflush (stdout) != 0) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "cannot write the report: %s", g_strerror (errno));
    return -1;
  }
  return OWD_EXIT_DONE;
}

static gboolean
parse (const Options *o, Report *self, GError **error)
{
  gint64 beyond_ns;

  if (o->format != NULL && !g_str_equal (o->format, "table") && !g_str_equal (o->format, "json")) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "--format %s: want table or json", o->format);
    return FALSE;
  }
  self->json = o->format != NULL && g_str_equal (o->format, "json");
  if (!owd_probe_parse_duration (o->slack != NULL ? o->slack : "2s", "--slack", OWD_NS_PER_MS, &self->slack_ns, error)
      || !owd_probe_parse_duration (o->beyond != NULL ? o->beyond : "0", "--beyond", 0, &beyond_ns, error))
    return FALSE;
  self->beyond_ms = (double) beyond_ns / 1e6;
  return TRUE;
}

static int
report (const Options *o, const OwdConfig *config, GError **error)
{
  const char *conninfo = o->db != NULL ? o->db : owd_config_string (config, "database", "conninfo");
  Report self = { .paths = g_ptr_array_new_with_free_func (free_path),
                  .totals = g_ptr_array_new_with_free_func (free_total),
                  .lines = g_string_new (NULL) };
  g_autoptr (OwdStore) store = NULL;
  OwdTime from = 0, to = 0;
  guint64 sent = 0;
  int status = -1;

  if (parse (o, &self, error) && (store = owd_store_open (conninfo, OWD_PROBE_PROGRAM, error)) != NULL
      && owd_store_probe_range (store, o->from, o->to, &from, &to, error)
      && (from == OWD_TIME_NONE || report_range (&self, store, from, to, &sent, error)))
    status = conclude (&self, store, o, sent, error);
  g_ptr_array_unref (self.paths);
  g_ptr_array_unref (self.totals);
  g_string_free (self.lines, TRUE);
  return status;
}

int
owd_probe_report_main (int argc, char **argv)
{
  Options o = { 0 };
  const GOptionEntry entries[] = {
    { "db", 0, 0, G_OPTION_ARG_STRING, &o.db, "PostgreSQL; default: [database] conninfo", "CONNINFO" },
    { "from", 0, 0, G_OPTION_ARG_STRING, &o.from, "Whole hours from here; -2h: before the end (the last day)", "TIME" },
    { "to", 0, 0, G_OPTION_ARG_STRING, &o.to, "(the last probe packet)", "TIME" },
    { "slack", 0, 0, G_OPTION_ARG_STRING, &o.slack, "How far clocks of probe and exporters may be apart (2s)", "TIME" },
    { "beyond", 0, 0, G_OPTION_ARG_STRING, &o.beyond, "What the probe's way has more than that between points, one way",
      "TIME" },
    { "format", 'f', 0, G_OPTION_ARG_STRING, &o.format, "table (default), json (lines)", "FORMAT" },
    { "dry-run", 0, 0, G_OPTION_ARG_NONE, &o.dry_run, "Do not write owd.validation", NULL },
    { 0 },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (OwdConfig) config = NULL;
  GError *error = NULL;
  int status;

  g_option_context_set_summary (context, "Holds passive samples against probes, packet by packet.");
  g_option_context_add_main_entries (context, entries, NULL);
  status = owd_program_start (context, OWD_PROBE_PROGRAM, &argc, &argv, &config);
  if (status < 0 && owd_program_no_arguments (argc, argv, &error))
    status = report (&o, config, &error);
  if (error != NULL)
    status = owd_program_fail (OWD_PROBE_PROGRAM, error);
  g_free (o.db);
  g_free (o.from);
  g_free (o.to);
  g_free (o.slack);
  g_free (o.beyond);
  g_free (o.format);
  return status;
}
