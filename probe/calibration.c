/* SPDX-License-Identifier: Apache-2.0
 *
 * oneway-probe calibrate: how far the stamps of exporters are from the probe's clocks, window by window.
 *
 * The result stands beside the profile and changes nothing by itself: an offset holds for the clocks of its own window,
 * relative to a clock that has an error of its own. Whoever wants samples on the probe's time subtracts offset_ms from
 * the exporter's corrected stamps of that window and widens their interval to [lo_ms, hi_ms] around it.
 */
#include "calibrate.h"
#include "owd-program.h"
#include "owd-store.h"
#include "program.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define NOISE_NS (40 * OWD_NS_PER_US) /* a kernel's stamp, and an exporter's beside it */
#define SWEPT_ENOUGH 0.8

typedef struct {
  char *db, *from, *to, *slack, *window, *format;
  gboolean dry_run;
} Options;

typedef struct {
  gboolean json;
  gint64 slack_ns, window_ns;
  OwdTime from, to; /* the window at hand */
  char *point, *clock;
  gint64 step_ns;
  double clock_error_ms;
  OwdCalibration *stamps;
  GString *lines;
  GHashTable *advised; /* points */
  guint rows, packets;
} Run;

/* ---- output ------------------------------------------------------------------------------------ */

static double
ms (gint64 ns)
{
  return (double) ns / 1e6;
}

static void
put_text (GString *out, const char *name, const char *text)
{
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
put_line (Run *self, const char *from, const char *to, const OwdCalibrationResult *r)
{
  GString *out = self->lines;

  g_string_append (out, "{\"type\":\"calibration\"");
  put_text (out, "point", self->point);
  put_text (out, "clock", self->clock);
  put_text (out, "from", from);
  put_text (out, "to", to);
  g_string_append_printf (out, ",\"n\":%u,\"rejected\":%u,\"step_ms\":%.6f", r->n_later + r->n_earlier, r->rejected,
                          ms (self->step_ns));
  g_string_append_printf (out, ",\"offset_ms\":%.6f,\"lo_ms\":%.6f,\"hi_ms\":%.6f,\"swept\":%.3f,\"moved\":%s",
                          ms (r->offset_ns), ms (r->lo_ns), ms (r->hi_ns), r->swept, r->moved ? "true" : "false");
  g_string_append_printf (out, ",\"checked\":%u,\"held\":%u", r->checked, r->held);
  if (isfinite (self->clock_error_ms))
    g_string_append_printf (out, ",\"clock_error_ms\":%.6f", self->clock_error_ms);
  g_string_append (out, "}\n");
}

static void
print_row (Run *self, const char *from, const OwdCalibrationResult *r)
{
  if (self->rows == 0)
    printf ("%-20s %-20s %-20s %7s %8s %9s %9s %9s %6s %8s\n", "point", "clock", "from", "packets", "step ms", "offset",
            "from ms", "to ms", "swept", "held");
  printf ("%-20s %-20s %-20.19s %7u %8.3f %9.3f %9.3f %9.3f %5.0f%% %4u/%u%s\n", self->point, self->clock, from,
          r->n_later + r->n_earlier, ms (self->step_ns), ms (r->offset_ns), ms (r->lo_ns), ms (r->hi_ns),
          100 * r->swept, r->held, r->checked, r->moved ? "  moved" : "");
}

/* How to do better next time, once per point. */
static void
advise (Run *self, const OwdCalibrationResult *r)
{
  if (r->swept >= SWEPT_ENOUGH || !g_hash_table_add (self->advised, g_strdup (self->point)))
    return;
  g_message (
      "%s: the probes have met %.0f %% of the %.3f ms that its stamps step by; --interval %.3fms sweeps them in 100 "
      "packets, so does --schedule poisson",
      self->point, 100 * r->swept, ms (self->step_ns), 1.01 * ms (self->step_ns));
}

/* ---- groups ------------------------------------------------------------------------------------ */

/* All stamps of one point by one clock in the window are there. */
static void
finish_point (Run *self)
{
  char from[OWD_TIME_TEXT], to[OWD_TIME_TEXT];
  OwdCalibrationResult r;

  if (self->point == NULL)
    return;
  owd_calibration_result (self->stamps, self->step_ns, NOISE_NS, &r);
  if (self->step_ns > 0 && r.bounded) {
    owd_time_text (self->from, from);
    put_line (self, from, owd_time_text (self->to, to), &r);
    if (!self->json)
      print_row (self, from, &r);
    advise (self, &r);
    self->rows++;
  } else if (self->step_ns == 0 && g_hash_table_add (self->advised, g_strdup (self->point))) {
    g_message ("%s: no step of its stamps is known yet, so nothing bounds their offset", self->point);
  }
  owd_calibration_clear (self->stamps);
  g_clear_pointer (&self->point, g_free);
  g_clear_pointer (&self->clock, g_free);
}

static void
on_stamp (const OwdProbeStamp *s, void *user)
{
  Run *self = user;

  if (self->point != NULL && (!g_str_equal (self->point, s->point) || !g_str_equal (self->clock, s->clock)))
    finish_point (self);
  if (self->point == NULL) {
    self->point = g_strdup (s->point);
    self->clock = g_strdup (s->clock);
    self->step_ns = s->step_ns;
    self->clock_error_ms = NAN;
  }
  if (isfinite (s->clock_error_ms))
    self->clock_error_ms = fmax (s->clock_error_ms, isfinite (self->clock_error_ms) ? self->clock_error_ms : 0);
  owd_calibration_add (self->stamps, s->residual_ns, s->later);
  self->packets++;
}

/* ---- the run ----------------------------------------------------------------------------------- */

static gboolean
calibrate_range (Run *self, OwdStore *store, OwdTime from, OwdTime to, GError **error)
{
  for (OwdTime window = from - from % self->window_ns; window < to; window += self->window_ns) {
    self->from = window; /* whole windows: a part of one would stand beside the whole */
    self->to = window + self->window_ns;
    if (!owd_store_probe_stamps (store, self->from, self->to, self->slack_ns, on_stamp, self, error))
      return FALSE;
    finish_point (self);
  }
  return TRUE;
}

static int
conclude (Run *self, OwdStore *store, const Options *o, GError **error)
{
  if (self->rows == 0) {
    g_message ("%u stamps of exporters on probe packets in that time, none of them bounded from both sides%s",
               self->packets, self->packets == 0 ? ": see `oneway-probe report`" : "");
    return OWD_EXIT_NOTHING;
  }
  if (self->json)
    fputs (self->lines->str, stdout);
  if (!o->dry_run && !owd_store_calibration_lines (store, self->lines->str, error)) {
    g_prefix_error_literal (error, "the calibration is not stored (--dry-run does without): ");
    return -1;
  }
  if (fflush (stdout) != 0) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "cannot write the calibration: %s", g_strerror (errno));
    return -1;
  }
  return OWD_EXIT_DONE;
}

static gboolean
parse (const Options *o, Run *self, GError **error)
{
  if (o->format != NULL && !g_str_equal (o->format, "table") && !g_str_equal (o->format, "json")) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "--format %s: want table or json", o->format);
    return FALSE;
  }
  self->json = o->format != NULL && g_str_equal (o->format, "json");
  return owd_probe_parse_duration (o->slack != NULL ? o->slack : "2s", "--slack", OWD_NS_PER_MS, &self->slack_ns, error)
         && owd_probe_parse_duration (o->window != NULL ? o->window : "10min", "--window", OWD_NS_PER_S,
                                      &self->window_ns, error);
}

static int
calibrate (const Options *o, const OwdConfig *config, GError **error)
{
  const char *conninfo = o->db != NULL ? o->db : owd_config_string (config, "database", "conninfo");
  Run self = { .stamps = owd_calibration_new (),
               .lines = g_string_new (NULL),
               .advised = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL) };
  g_autoptr (OwdStore) store = NULL;
  OwdTime from = 0, to = 0;
  int status = -1;

  if (parse (o, &self, error) && (store = owd_store_open (conninfo, OWD_PROBE_PROGRAM, error)) != NULL
      && owd_store_probe_range (store, o->from, o->to, &from, &to, error)
      && (from == OWD_TIME_NONE || calibrate_range (&self, store, from, to, error)))
    status = conclude (&self, store, o, error);
  owd_calibration_free (self.stamps);
  g_string_free (self.lines, TRUE);
  g_hash_table_unref (self.advised);
  g_free (self.point);
  g_free (self.clock);
  return status;
}

int
owd_probe_calibrate_main (int argc, char **argv)
{
  Options o = { 0 };
  const GOptionEntry entries[] = {
    { "db", 0, 0, G_OPTION_ARG_STRING, &o.db, "PostgreSQL; default: [database] conninfo", "CONNINFO" },
    { "from", 0, 0, G_OPTION_ARG_STRING, &o.from, "Whole windows from here; -2h: before the end (the last day)",
      "TIME" },
    { "to", 0, 0, G_OPTION_ARG_STRING, &o.to, "(the last probe packet)", "TIME" },
    { "slack", 0, 0, G_OPTION_ARG_STRING, &o.slack, "How far clocks of probe and exporters may be apart (2s)", "TIME" },
    { "window", 0, 0, G_OPTION_ARG_STRING, &o.window, "An offset for each of these (10min)", "TIME" },
    { "format", 'f', 0, G_OPTION_ARG_STRING, &o.format, "table (default), json (lines)", "FORMAT" },
    { "dry-run", 0, 0, G_OPTION_ARG_NONE, &o.dry_run, "Do not write owd.calibration", NULL },
    { 0 },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (OwdConfig) config = NULL;
  GError *error = NULL;
  int status;

  g_option_context_set_summary (context, "Bounds the offsets of exporters' stamps by probes that both have stamped.");
  g_option_context_add_main_entries (context, entries, NULL);
  status = owd_program_start (context, OWD_PROBE_PROGRAM, &argc, &argv, &config);
  if (status < 0 && owd_program_no_arguments (argc, argv, &error))
    status = calibrate (&o, config, &error);
  if (error != NULL)
    status = owd_program_fail (OWD_PROBE_PROGRAM, error);
  g_free (o.db);
  g_free (o.from);
  g_free (o.to);
  g_free (o.slack);
  g_free (o.window);
  g_free (o.format);
  return status;
}
