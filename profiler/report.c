/* SPDX-License-Identifier: Apache-2.0
 *
 * A profile in words, for people who run routers, and as JSON. Numbers are rounded to what their range justifies; what
 * is not known is said with its reason, never left out.
 */
#include "internal.h"

#include <math.h>
#include <string.h>

#define MUCH_NONSENSE 0.001
#define MUCH_LOSS 0.001
#define LONG_ACTIVE_S 120
#define COARSE_MS 10
#define WIDE_BOOT_MS 20
#define ODD_SYN 0.2
#define ENOUGH_HEADERS 24 /* before advice rests on them */

static const char *const BLUNDER_NAMES[OWD_BLUNDERS] = { "zero", "end_before_start", "future", "past", "slip" };
static const char *const BLUNDER_TEXTS[OWD_BLUNDERS]
    = { "stamp 0", "end before start", "in the future", "far past", "wrap slipped" };
static const char *const UPTIME_NAMES[] = { "none", "fine", "locked", "floating", "unstable", "few" };
static const char *const CAUSE_NAMES[] = { "first", "reboot", "step", "slew" };

/* ---- JSON ------------------------------------------------------------------------------------------ */

static void
json_string (GString *out, const char *text)
{
  g_string_append_c (out, '"');
  for (const char *p = text; *p != '\0'; p++) {
    if (*p == '"' || *p == '\\')
      g_string_append_c (out, '\\');
    if ((guchar) *p < 0x20)
      g_string_append_printf (out, "\\u%04x", (guint) *p);
    else
      g_string_append_c (out, *p);
  }
  g_string_append_c (out, '"');
}

static void
json_number (GString *out, double value)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];

  if (isfinite (value))
    g_string_append (out, g_ascii_formatd (text, sizeof text, "%.17g", value));
  else
    g_string_append (out, "null");
}

static void
json_field (GString *out, const char *name, double value)
{
  g_string_append_printf (out, "\"%s\":", name);
  json_number (out, value);
  g_string_append_c (out, ',');
}

static void
json_time (GString *out, const char *name, OwdTime t)
{
  char text[OWD_TIME_TEXT];

  g_string_append_printf (out, "\"%s\":\"%s\",", name, owd_time_text (t, text));
}

static void
json_estimate (GString *out, const char *name, const OwdEstimate *e)
{
  g_string_append_printf (out, "\"%s\":{", name);
  json_field (out, "value", e->known ? e->value : NAN);
  json_field (out, "lo", e->lo);
  json_field (out, "hi", e->hi);
  json_field (out, "level", e->level);
  g_string_append_printf (out, "\"n\":%" G_GUINT64_FORMAT ",\"identifiable\":%s", e->n, e->known ? "true" : "false");
  if (e->why != NULL) {
    g_string_append (out, ",\"why\":");
    json_string (out, e->why);
  }
  g_string_append (out, "},");
}

static void
json_quantiles (GString *out, const char *name, const OwdEstimate e[4])
{
  static const char *const ranks[] = { "p50", "p95", "p99", "p999" };

  g_string_append_printf (out, "\"%s\":{", name);
  for (guint i = 0; i < 4; i++)
    json_estimate (out, ranks[i], &e[i]);
  g_string_truncate (out, out->len - 1);
  g_string_append (out, "},");
}

static void
json_segments (GString *out, const OwdProfileSummary *s, guint segment)
{
  g_string_append (out, "\"segments\":[");
  for (guint i = 0; i < s->n_segments; i++) {
    const OwdProfileSegment *g = &s->segment[i];

    if (segment != OWD_PROFILE_ALL_SEGMENTS && segment != i)
      continue;
    g_string_append_c (out, '{');
    json_time (out, "from", g->from_ns);
    json_time (out, "to", g->to_ns);
    g_string_append_printf (out, "\"cause\":\"%s\",\"headers\":%u,\"boot_at_ns\":%" G_GINT64_FORMAT ",",
                            CAUSE_NAMES[g->cause], g->headers, g->boot_at_ns);
    if (g->cause != OWD_SEGMENT_FIRST) {
      json_time (out, "began_after", g->after_ns);
      json_time (out, "began_before", g->from_ns);
    }
    json_field (out, "even_ms", g->even_ms);
    json_field (out, "over_s", g->over_s);
    json_field (out, "jitter_ms", g->jitter_ms);
    json_estimate (out, "step_ms", &g->step_ms);
    json_estimate (out, "boot_ms", &g->boot_ms);
    json_estimate (out, "skew_ppm", &g->skew_ppm);
    out->str[out->len - 1] = '}';
    g_string_append_c (out, ',');
  }
  out->str[out->len - 1] = ']';
  g_string_append_c (out, ',');
}

static void
json_blunders (GString *out, const OwdBlunderSummary *b)
{
  json_estimate (out, "blunder_rate", &b->rate);
  g_string_append (out, "\"blunders\":{");
  for (guint i = 0; i < OWD_BLUNDERS; i++)
    g_string_append_printf (out, "\"%s\":%" G_GUINT64_FORMAT "%s", BLUNDER_NAMES[i], b->count[i],
                            i + 1 < OWD_BLUNDERS ? "," : "},");
}

static void
json_groups (GString *out, const OwdProfileSummary *s)
{
  g_string_append (out, "\"interfaces\":[");
  for (guint i = 0; i < s->n_groups; i++) {
    g_string_append_printf (out, "%s{\"in_if\":%u,", i > 0 ? "," : "", s->group[i].in_if);
    json_estimate (out, "offset_ms", &s->group[i].offset_ms);
    out->str[out->len - 1] = '}';
  }
  g_string_append (out, "],");
}

static void
json_findings (GString *out, const OwdProfileSummary *s)
{
  g_autoptr (GPtrArray) findings = owd_profile_findings (s);

  g_string_append (out, "\"findings\":[");
  for (guint i = 0; i < findings->len; i++) {
    if (i > 0)
      g_string_append_c (out, ',');
    json_string (out, g_ptr_array_index (findings, i));
  }
  g_string_append_c (out, ']');
}

void
owd_profile_json (const OwdProfileSummary *s, const char *name, guint segment, GString *out)
{
  char addr[OWD_ADDR_TEXT];

  g_string_append (out, "{\"name\":");
  json_string (out, name);
  g_string_append_printf (out, ",\"addr\":\"%s\",\"domain\":%u,\"version\":%u,", owd_addr_text (&s->key.addr, addr),
                          s->key.domain, s->key.version);
  json_time (out, "from", s->from_ns);
  json_time (out, "to", s->to_ns);
  g_string_append_printf (out,
                          "\"headers\":%" G_GUINT64_FORMAT ",\"records\":%" G_GUINT64_FORMAT
                          ",\"duplicates\":%" G_GUINT64_FORMAT ",\"disordered\":%" G_GUINT64_FORMAT
                          ",\"start_kind\":%d,\"end_kind\":%d,",
                          s->headers, s->records, s->duplicates, s->disordered, s->start_kind, s->end_kind);
  json_estimate (out, "start_step_ms", &s->step_ms[0]);
  json_estimate (out, "end_step_ms", &s->step_ms[1]);
  json_estimate (out, "start_phase_ms", &s->phase_ms[0]);
  json_estimate (out, "end_phase_ms", &s->phase_ms[1]);
  json_estimate (out, "header_step_ms", &s->header_step_ms);
  json_estimate (out, "uptime_step_ms", &s->uptime_step_ms);
  json_estimate (out, "uptime_lag_ms", &s->uptime_lag_ms);
  json_estimate (out, "epoch_ms", &s->epoch_ms);
  g_string_append_printf (out, "\"uptime\":\"%s\",\"reboots\":%u,\"steps\":%u,\"slews\":%u,\"segments_lost\":%u,",
                          UPTIME_NAMES[s->uptime], s->reboots, s->steps, s->slews, s->segments_lost);
  json_segments (out, s, segment);
  json_quantiles (out, "lag_start_ms", s->lag_start_ms);
  json_quantiles (out, "lag_end_ms", s->lag_end_ms);
  json_blunders (out, &s->blunders);
  json_estimate (out, "active_s", &s->active_s);
  json_estimate (out, "inactive_s", &s->inactive_s);
  json_estimate (out, "repeated_starts", &s->repeats);
  json_estimate (out, "lost", &s->lost);
  json_estimate (out, "loss", &s->loss);
  json_estimate (out, "sampling", &s->sampling);
  json_estimate (out, "syn_share", &s->syn);
  json_field (out, "records_per_s", s->records_per_s);
  json_field (out, "peak_records_per_s", s->peak_records_per_s);
  json_groups (out, s);
  json_findings (out, s);
  g_string_append_c (out, '}');
}

/* ---- what is wrong ---------------------------------------------------------------------------------- */

static void G_GNUC_PRINTF (2, 3) say (GPtrArray *out, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_ptr_array_add (out, g_strdup_vprintf (format, args));
  va_end (args);
}

/* Commands of exporters that can be told by what they export, and those of the most common ones for all others. From
 * their manuals: docs/exporters.md has the sources. */
typedef struct {
  const char *active, *inactive, *absolute, *unsampled;
} Commands;

static const Commands COMMANDS_ANY = {
  .active = "Cisco flow monitor: cache timeout active 60; Junos: flow-active-timeout 60; RouterOS: "
            "active-flow-timeout=1m; softflowd: -t maxlife=60",
  .inactive = "Cisco flow monitor: cache timeout inactive 15; Junos: flow-inactive-timeout 15; RouterOS: "
              "inactive-flow-timeout=15s; softflowd: -t tcp=15 -t udp=15 -t general=15",
  .absolute = "Cisco flow record: collect timestamp absolute first, and last; RouterOS: /ip traffic-flow ipfix set "
              "sys-init-time=yes; softflowd: -v 10 -A milli",
  .unsampled = "RouterOS: packet-sampling=no; SR OS: rate 1",
};
static const Commands COMMANDS_JUNOS = {
  .active = "Junos, it seems: flow-active-timeout 60; it counts in whole minutes",
  .inactive = "Junos, it seems: flow-inactive-timeout 15",
};
static const Commands COMMANDS_ROUTEROS = {
  .active = "RouterOS, it seems: /ip traffic-flow set active-flow-timeout=1m",
  .inactive = "RouterOS, it seems: /ip traffic-flow set inactive-flow-timeout=15s",
  .absolute = "RouterOS, it seems: /ip traffic-flow ipfix set sys-init-time=yes",
  .unsampled = "RouterOS, it seems: /ip traffic-flow set packet-sampling=no",
};
static const Commands COMMANDS_IOS_XR = {
  .active = "IOS XR, it seems: flow monitor-map, cache timeout active 60",
  .inactive = "IOS XR, it seems: flow monitor-map, cache timeout inactive 15",
};
static const Commands COMMANDS_FPROBE = {
  .active = "fprobe, it seems: -e 60",
  .inactive = "fprobe, it seems: -d 15",
  .absolute = "fprobe, it seems, has none: softflowd -v 10 -A milli has",
};

/* What only one of the exporters that were seen so far does. */
static const Commands *
commands_of (const OwdProfileSummary *s)
{
  double step_ms = s->step_ms[1].known ? s->step_ms[1].value : 0;

  if (s->repeats.known && s->repeats.value > 0.5)
    return &COMMANDS_JUNOS;
  if (s->key.version == 9 && s->uptime_step_ms.known && s->uptime_step_ms.value == 1000 && step_ms == 1024)
    return &COMMANDS_JUNOS;
  if (s->key.version == 10 && s->end_kind == OWD_STAMP_UPTIME_MS && s->measured == 0 && step_ms == 10)
    return &COMMANDS_ROUTEROS;
  if (s->key.version == 10 && s->end_kind == OWD_STAMP_UNIX_MS && step_ms == 256)
    return &COMMANDS_IOS_XR;
  if (s->key.version == 5 && s->uptime == OWD_UPTIME_FLOATING && step_ms == 1)
    return &COMMANDS_FPROBE;
  return &COMMANDS_ANY;
}

/* " (command)", or nothing. */
static char *
in_brackets (const char *command)
{
  return command != NULL ? g_strdup_printf (" (%s)", command) : g_strdup ("");
}

static const char *
unit_lost (const OwdProfileSummary *s)
{
  return s->key.version == 9 ? "datagrams" : "records";
}

/* Size of the last change of the wall clock of a kind; NAN where its segment was not kept. */
static double
last_change_ms (const OwdProfileSummary *s, OwdSegmentCause cause)
{
  for (guint i = s->n_segments; i-- > 0;)
    if (s->segment[i].cause == cause)
      return s->segment[i].step_ms.value;
  return NAN;
}

static void
find_clock (const OwdProfileSummary *s, GPtrArray *out)
{
  const OwdProfileSegment *last = &s->segment[s->n_segments - 1];
  double width_ms = last->boot_ms.hi - last->boot_ms.lo;
  g_autofree char *absolute = in_brackets (commands_of (s)->absolute);

  if (s->uptime == OWD_UPTIME_LOCKED)
    say (out,
         "Boot time is not identifiable better than %.0f ms, because exports are locked to the second: each delay from "
         "or to this router may be off by as much. Change its export timer to anything but whole seconds, or use "
         "absolute stamps, IPFIX flowStartMilliseconds%s.",
         isfinite (last->even_ms) ? last->even_ms : width_ms, absolute);
  else if (s->uptime == OWD_UPTIME_FLOATING)
    say (out,
         "The uptime in its headers does not follow time: every datagram has an epoch of its own (fprobe does so). "
         "Each stamp carries an error of up to a step of the header's time. Use an exporter with absolute stamps%s.",
         absolute);
  else if (s->uptime == OWD_UPTIME_UNSTABLE)
    say (out, "Header time and uptime contradict each other again and again: stamps are no better than that. Check NTP "
              "and the load of its CPU.");
  else if (s->uptime_step_ms.known && s->uptime_step_ms.value >= 1000)
    say (out,
         "The uptime in its headers has whole seconds: boot time is known to %.0f ms only. Use absolute stamps, IPFIX "
         "flowStartMilliseconds%s.",
         width_ms, absolute);
  else if (s->uptime == OWD_UPTIME_FINE && width_ms > WIDE_BOOT_MS)
    say (out, "Boot time is known to %.0f ms only; more datagrams, or absolute stamps, would make it better.",
         width_ms);
  if (s->steps > 0)
    say (out,
         "Its wall clock was stepped %u time%s, last by %+.0f ms. Let NTP slew instead of step, and check that its "
         "server is reachable: delays measured under a wrong clock are wrong by that much.",
         s->steps, s->steps > 1 ? "s" : "", last_change_ms (s, OWD_SEGMENT_STEP));
  if (s->slews > 0)
    say (out,
         "Its wall clock ran away from its uptime faster than any crystal, %u time%s, last by %+.0f ms: NTP was "
         "slewing it. "
         "Delays from or to this router may be off by as much meanwhile. Check that its NTP server is reachable and "
         "near.",
         s->slews, s->slews > 1 ? "s" : "", last_change_ms (s, OWD_SEGMENT_SLEW));
  if (s->reboots > 0)
    say (out, "It rebooted %u time%s.", s->reboots, s->reboots > 1 ? "s" : "");
  if (last->skew_ppm.known && last->headers >= ENOUGH_HEADERS && fabs (last->skew_ppm.value) > 50
      && last->skew_ppm.lo * last->skew_ppm.hi > 0)
    say (out, "Its uptime runs %+.1f ppm against its wall clock; this is corrected.", last->skew_ppm.value);
  if (s->lag_end_ms[0].known && s->lag_end_ms[0].hi < -1000)
    say (out,
         "By its clock its flows end %.0f s after their records arrive: that clock is ahead of the collector's. Check "
         "NTP "
         "on both (or the times of the capture).",
         -s->lag_end_ms[0].value / 1000);
  else if (s->lag_end_ms[0].known && s->lag_end_ms[0].lo > 86400e3)
    say (out,
         "By its clock its records arrive %.0f days after their flows: that clock is behind, or counts from a wrong "
         "epoch. "
         "Check NTP on it (or the times of the capture).",
         s->lag_end_ms[0].value / 86400e3);
  if (s->uptime_lag_ms.known && s->uptime_lag_ms.value > 20)
    say (out,
         "Flows end up to %.0f ms after the uptime of the header that reports them: that uptime is read too early. "
         "Boot time cannot be known better than this.",
         s->uptime_lag_ms.value);
  if (s->epoch_ms.known)
    say (out,
         "Its absolute stamps lie %.0f s %s the time in its headers: they count from a stale epoch. Reload the flow "
         "monitor, or correct systemInitTimeMilliseconds.",
         fabs (s->epoch_ms.value) / 1000, s->epoch_ms.value > 0 ? "before" : "behind");
}

/* Offsets that are more than their error and than what the step hides. */
static gboolean
is_off (const OwdProfileGroup *g, double step_ms)
{
  return MIN (fabs (g->offset_ms.lo), fabs (g->offset_ms.hi)) > step_ms / 4 && g->offset_ms.lo * g->offset_ms.hi > 0;
}

static void
find_groups (const OwdProfileSummary *s, double step_ms, GPtrArray *out)
{
  g_autoptr (GString) all = g_string_new (NULL);

  for (guint i = 0; i < s->n_groups; i++)
    if (is_off (&s->group[i], step_ms))
      g_string_append_printf (all, "%s%u by %+.1f ms", all->len > 0 ? ", " : "", s->group[i].in_if,
                              s->group[i].offset_ms.value);
  if (all->len > 0)
    say (out,
         "Line cards have clocks of their own: against the median of all, stamps of interface %s. Delays through these "
         "interfaces are off by as much.",
         all->str);
}

static void
find_stamps (const OwdProfileSummary *s, GPtrArray *out)
{
  g_autofree char *absolute = in_brackets (commands_of (s)->absolute);
  double step_ms = 0;

  for (guint i = 0; i < 2; i++)
    if (s->step_ms[i].known)
      step_ms = MAX (step_ms, s->step_ms[i].value);
  if (s->records > 0 && (s->start_kind == OWD_STAMP_NONE || s->end_kind == OWD_STAMP_NONE))
    say (out,
         "Its records have no usable %s: no delay can be had from it. Export flowStartMilliseconds and "
         "flowEndMilliseconds, or first and last switched.",
         s->start_kind == OWD_STAMP_NONE ? "start stamp" : "end stamp");
  else if (s->measured == 0 && s->start_kind == OWD_STAMP_UPTIME_MS)
    say (out,
         "Its stamps count from a boot time that it does not export: no delay can be had from it. Let it export "
         "flowStartMilliseconds, or systemInitTimeMilliseconds (IE 160)%s.",
         absolute);
  else if (step_ms >= 1000)
    say (out,
         "Its stamps are whole seconds: a single delay has a standard deviation of 0.3 s from this router alone. "
         "Export flowStartMilliseconds (IE 152, 153) instead of flowStartSeconds%s.",
         absolute);
  else if (step_ms > COARSE_MS)
    say (out,
         "Its stamps move in steps of %g ms, which costs %.1f ms of standard deviation per delay. If its software "
         "offers finer stamps, take them.",
         step_ms, step_ms / sqrt (12));
  if (s->blunders.rate.known && s->blunders.rate.value > MUCH_NONSENSE) {
    guint worst = 0;

    for (guint i = 1; i < OWD_BLUNDERS; i++)
      if (s->blunders.count[i] > s->blunders.count[worst])
        worst = i;
    say (out,
         "%.2f %% of its records have nonsense stamps, most often: %s. They are left out; report it to the vendor.",
         100 * s->blunders.rate.value, BLUNDER_TEXTS[worst]);
  }
  find_groups (s, step_ms, out);
  if (s->repeats.known && s->repeats.value > 0.5)
    say (out,
         "It repeats the start of the flow in each continuation (as Junos MS-DPC does): only the first record of a "
         "flow gives a start.");
}

static void
find_export (const OwdProfileSummary *s, GPtrArray *out)
{
  const Commands *commands = commands_of (s);
  g_autofree char *active = in_brackets (commands->active), *inactive = in_brackets (commands->inactive);
  g_autofree char *unsampled = in_brackets (commands->unsampled);

  if (s->loss.known && s->loss.value > MUCH_LOSS && s->headers >= ENOUGH_HEADERS)
    say (out,
         "At most %.0f of its %s never arrived (%.2f %%). Look at the way to the collector, at the collector's "
         "receive buffer, and at the router's export rate limit.",
         s->lost.value, unit_lost (s), 100 * s->loss.value);
  if (s->active_s.known && s->active_s.value > LONG_ACTIVE_S)
    say (out, "Its active timeout is %.0f s: long flows are reported that late. Set it to 60 s%s.", s->active_s.value,
         active);
  if (s->inactive_s.known && s->inactive_s.value > 60)
    say (out, "Its inactive timeout is %.0f s; 15 s would report flows sooner%s.", s->inactive_s.value, inactive);
  if (s->sampling.known && s->sampling.value > 1)
    say (out,
         "It samples 1 packet in %.0f: unless the other side sees the same packets, a start or an end is seldom the "
         "same packet. Export unsampled flows for delay measurement%s.",
         s->sampling.value, unsampled);
  else if (!s->sampling.known && s->syn.known && s->syn.hi < ODD_SYN)
    say (out,
         "Only %.0f %% of its TCP records have a SYN: it probably samples packets, or evicts flows, and does not "
         "say so.",
         100 * s->syn.value);
  if (s->records < 32)
    say (out, "Only %" G_GUINT64_FORMAT " records: too few for most figures.", s->records);
}

GPtrArray *
owd_profile_findings (const OwdProfileSummary *s)
{
  GPtrArray *out = g_ptr_array_new_with_free_func (g_free);

  find_clock (s, out);
  find_stamps (s, out);
  find_export (s, out);
  return out;
}

/* ---- text ------------------------------------------------------------------------------------------- */

static void G_GNUC_PRINTF (3, 4) line (GString *out, const char *label, const char *format, ...)
{
  va_list args;

  g_string_append_printf (out, "  %-17s ", label);
  va_start (args, format);
  g_string_append_vprintf (out, format, args);
  va_end (args);
  g_string_append_c (out, '\n');
}

/* "12.3 ms (n 456)", or why not. */
static char *
words (const OwdEstimate *e, const char *unit)
{
  if (e->known)
    return g_strdup_printf ("%.4g%s", e->value, unit);
  if (isfinite (e->hi))
    return g_strdup_printf ("not identifiable (at most %.4g%s; %s)", e->hi, unit, e->why);
  return g_strdup_printf ("not identifiable (%s)", e->why);
}

static void
text_stamps (const OwdProfileSummary *s, GString *out)
{
  static const char *const names[] = { "start stamps", "end stamps" };

  for (guint i = 0; i < 2; i++) {
    g_autofree char *step = words (&s->step_ms[i], " ms"), *phase = words (&s->phase_ms[i], " ms");

    if (!s->step_ms[i].known)
      line (out, names[i], "step %s", step);
    else
      line (out, names[i], "step %s, phase %s, from %" G_GUINT64_FORMAT " stamps", step, phase, s->step_ms[i].n);
  }
}

static void
text_segment (const OwdProfileSegment *g, GString *out)
{
  char from[OWD_TIME_TEXT], to[OWD_TIME_TEXT], boot[OWD_TIME_TEXT], after[OWD_TIME_TEXT];
  g_autofree char *skew = words (&g->skew_ppm, " ppm");
  double half_ms = (g->step_ms.hi - g->step_ms.lo) / 2;

  owd_time_text (g->from_ns, from);
  owd_time_text (g->after_ns, after);
  if (g->cause == OWD_SEGMENT_STEP)
    line (out, "clock step", "%+.0f ms +- %.0f ms, between %s and %s", g->step_ms.value, half_ms, after, from);
  else if (g->cause == OWD_SEGMENT_SLEW)
    line (out, "clock slewed", "by %+.0f ms +- %.0f ms, seen at %s", g->step_ms.value, half_ms, from);
  else if (g->cause == OWD_SEGMENT_REBOOT)
    line (out, "reboot", "between %s and %s", after, from);
  line (out, "valid", "%s to %s, %u headers", from, owd_time_text (g->to_ns, to), g->headers);
  if (g->boot_ms.known) {
    g_autofree char *even = isfinite (g->even_ms) && !g->skew_ppm.known
                                ? g_strdup_printf (" (%.1f ms if its uptime has no skew)", g->even_ms)
                                : g_strdup ("");

    line (out, "boot time", "%s, in an interval of %.1f ms%s",
          owd_time_text ((OwdTime) (g->boot_ms.value * (double) OWD_NS_PER_MS), boot), g->boot_ms.hi - g->boot_ms.lo,
          even);
  } else
    line (out, "boot time", "not identifiable (%s)", g->boot_ms.why);
  if (g->skew_ppm.known)
    line (out, "uptime skew", "%+.2f ppm, in [%+.2f, %+.2f]", g->skew_ppm.value, g->skew_ppm.lo, g->skew_ppm.hi);
  else
    line (out, "uptime skew", "%s", skew);
}

static void
text_lag (const char *label, const OwdEstimate e[4], GString *out)
{
  static const char *const ranks[] = { "50 %", "95 %", "99 %", "99.9 %" };
  g_autoptr (GString) all = g_string_new (NULL);

  for (guint i = 0; i < 4; i++)
    if (e[i].known)
      g_string_append_printf (all, "%s%s %.3g s", all->len > 0 ? ", " : "", ranks[i], e[i].value / 1000);
  line (out, label, "%s", all->len > 0 ? all->str : "not identifiable (too few records)");
}

static void
text_blunders (const OwdBlunderSummary *b, GString *out)
{
  g_autoptr (GString) all = g_string_new (NULL);

  for (guint i = 0; i < OWD_BLUNDERS; i++)
    if (b->count[i] > 0)
      g_string_append_printf (all, "%s%s %" G_GUINT64_FORMAT, all->len > 0 ? ", " : ": ", BLUNDER_TEXTS[i],
                              b->count[i]);
  if (b->rate.known)
    line (out, "nonsense stamps", "%.3f %% of %" G_GUINT64_FORMAT " records, 95 %% range %.3f to %.3f%s",
          100 * b->rate.value, b->rate.n, 100 * b->rate.lo, 100 * b->rate.hi, all->str);
  else
    line (out, "nonsense stamps", "not identifiable (%s)", b->rate.why);
}

static void
text_export (const OwdProfileSummary *s, GString *out)
{
  g_autofree char *active = words (&s->active_s, " s"), *inactive = words (&s->inactive_s, " s");
  g_autofree char *sampling = words (&s->sampling, ""), *lost = words (&s->lost, "");

  line (out, "active timeout", "%s", active);
  line (out, "inactive timeout", "%s", inactive);
  if (s->lost.known)
    line (out, "never arrived", "%s%s %s of %" G_GUINT64_FORMAT, s->lost.value > 0 ? "at most " : "", lost,
          unit_lost (s), s->lost.n);
  else
    line (out, "never arrived", "%s", lost);
  line (out, "sampling, 1 in", "%s", sampling);
  line (out, "records", "%.1f per second in the mean, %.0f in the fullest second", s->records_per_s,
        s->peak_records_per_s);
}

void
owd_profile_text (const OwdProfileSummary *s, const char *name, GString *out)
{
  static const char *const formats[] = { [5] = "NetFlow v5", [9] = "NetFlow v9", [10] = "IPFIX" };
  const char *format = s->key.version < G_N_ELEMENTS (formats) ? formats[s->key.version] : NULL;
  g_autoptr (GPtrArray) findings = owd_profile_findings (s);
  char addr[OWD_ADDR_TEXT];

  g_string_append_printf (
      out, "%s (%s, domain %u, %s): %" G_GUINT64_FORMAT " records in %" G_GUINT64_FORMAT " datagrams\n", name,
      owd_addr_text (&s->key.addr, addr), s->key.domain, format != NULL ? format : "unknown", s->records, s->headers);
  for (guint i = 0; i < findings->len; i++)
    g_string_append_printf (out, "  ! %s\n", (const char *) g_ptr_array_index (findings, i));
  if (findings->len == 0)
    g_string_append (out, "  nothing is wrong with it\n");
  text_stamps (s, out);
  for (guint i = 0; i < s->n_segments; i++)
    text_segment (&s->segment[i], out);
  text_lag ("lag of flow start", s->lag_start_ms, out);
  text_lag ("lag of flow end", s->lag_end_ms, out);
  text_blunders (&s->blunders, out);
  text_export (s, out);
}
