/* SPDX-License-Identifier: Apache-2.0
 *
 * Results as text. All delays are milliseconds with six places (whole ns) in every format; what is not known is left
 * out of JSON, and empty in CSV. Field names are the same in both: docs/man/oneway-probe.1 lists them.
 */
#include "program.h"

#include <string.h>

static const struct {
  guint32 flag;
  const char *name;
} flag_names[] = {
  { OWD_PROBE_LOST, "lost" },         { OWD_PROBE_NOT_LEFT, "not_left" },   { OWD_PROBE_REORDERED, "reordered" },
  { OWD_PROBE_SOFT_T1, "soft_t1" },   { OWD_PROBE_SOFT_T4, "soft_t4" },     { OWD_PROBE_TRUE_T3, "true_t3" },
  { OWD_PROBE_SWAPPED, "swapped" },   { OWD_PROBE_ECHO, "echo" },           { OWD_PROBE_FORMAT, "format" },
  { OWD_PROBE_UNSTATED, "unstated" }, { OWD_PROBE_UNSYNC, "unsync" },       { OWD_PROBE_CLOCK, "clock" },
  { OWD_PROBE_DSCP_UP, "dscp_up" },   { OWD_PROBE_DSCP_DOWN, "dscp_down" }, { OWD_PROBE_CE_UP, "ce_up" },
  { OWD_PROBE_CE_DOWN, "ce_down" },   { OWD_PROBE_RESET, "rst" },           { OWD_PROBE_SYN_ACK, "syn_ack" },
  { OWD_PROBE_FIRST, "first" },
};

gboolean
owd_probe_parse_format (const char *text, OwdProbeFormat *ret_format, GError **error)
{
  const char *const names[] = { "table", "json", "csv" };
  guint which;

  if (!owd_probe_parse_name (text, names, G_N_ELEMENTS (names), "--format", &which, error))
    return FALSE;
  *ret_format = (OwdProbeFormat) which;
  return TRUE;
}

static double
ms (gint64 ns)
{
  return (double) ns / 1e6;
}

/* ---- packets ----------------------------------------------------------------------------------- */

/* What the two packet formats have in common: named numbers that may be missing. */
typedef struct {
  const char *name;
  gint64 ns; /* OWD_TIME_NONE: missing */
} DelayField;

#define N_DELAYS 9

static void
delay_fields (const OwdProbeSample *s, DelayField out[N_DELAYS])
{
  const DelayField fields[N_DELAYS] = {
    { "rtt_ms", s->rtt_ns },
    { "up_ms", s->up_ns },
    { "up_lo_ms", s->up_lo_ns },
    { "up_hi_ms", s->up_hi_ns },
    { "down_ms", s->down_ns },
    { "down_lo_ms", s->down_lo_ns },
    { "down_hi_ms", s->down_hi_ns },
    { "own_error_ms", s->own_error_ns >= 0 ? s->own_error_ns : OWD_TIME_NONE },
    { "reflector_error_ms", s->peer_error_ns >= 0 ? s->peer_error_ns : OWD_TIME_NONE },
  };

  memcpy (out, fields, sizeof fields);
}

/* The four stamps. */
typedef struct {
  const char *name;
  OwdTime ns; /* OWD_TIME_NONE: missing */
} StampField;

#define N_STAMPS 4

static void
stamp_fields (const OwdProbeSample *s, StampField out[N_STAMPS])
{
  const StampField fields[N_STAMPS] = {
    { "t1_ns", s->t1 },
    { "t2_ns", s->t2 },
    { "t3_ns", s->t3 },
    { "t4_ns", s->t4 },
  };

  memcpy (out, fields, sizeof fields);
}

static void
print_flags (FILE *out, guint32 flags, const char *between, const char *quote)
{
  const char *sep = "";

  for (guint i = 0; i < G_N_ELEMENTS (flag_names); i++)
    if ((flags & flag_names[i].flag) != 0) {
      fprintf (out, "%s%s%s%s", sep, quote, flag_names[i].name, quote);
      sep = between;
    }
}

void
owd_probe_print_csv_header (FILE *out)
{
  DelayField delays[N_DELAYS];
  StampField stamps[N_STAMPS];
  OwdProbeSample none = { 0 };

  delay_fields (&none, delays);
  stamp_fields (&none, stamps);
  fputs ("target,method,size,proto,src,dst,sport,dport,seq,sent", out);
  for (guint i = 0; i < N_STAMPS; i++)
    fprintf (out, ",%s", stamps[i].name);
  for (guint i = 0; i < N_DELAYS; i++)
    fprintf (out, ",%s", delays[i].name);
  fputs (",hops_up,hops_down,dscp_up,dscp_down,flags\n", out);
}

static void
print_csv (FILE *out, const OwdProbeLabel *label, guint16 sport, const OwdProbeSample *s, const DelayField *delays,
           const StampField *stamps)
{
  const gint ints[] = { s->hops_up, s->hops_down, s->dscp_up, s->dscp_down };
  char time[OWD_TIME_TEXT], src[OWD_ADDR_TEXT], dst[OWD_ADDR_TEXT];

  fprintf (out, "%s,%s,%u,%u,%s,%s,%u,%u,%u,%s", label->target, label->method, label->size, label->proto,
           owd_addr_text (&label->src, src), owd_addr_text (&label->dst, dst), sport, label->dport, s->seq,
           owd_time_text (s->t1, time));
  for (guint i = 0; i < N_STAMPS; i++)
    if (stamps[i].ns != OWD_TIME_NONE)
      fprintf (out, ",%" G_GINT64_FORMAT, stamps[i].ns);
    else
      fputc (',', out);
  for (guint i = 0; i < N_DELAYS; i++)
    if (delays[i].ns != OWD_TIME_NONE)
      fprintf (out, ",%.6f", ms (delays[i].ns));
    else
      fputc (',', out);
  for (guint i = 0; i < G_N_ELEMENTS (ints); i++)
    if (ints[i] >= 0)
      fprintf (out, ",%d", ints[i]);
    else
      fputc (',', out);
  fputc (',', out);
  print_flags (out, s->flags, " ", "");
  fputc ('\n', out);
}

static void
print_json_string (FILE *out, const char *text)
{
  fputc ('"', out);
  for (; *text != '\0'; text++)
    if (*text == '"' || *text == '\\')
      fprintf (out, "\\%c", *text);
    else if ((guchar) *text < 0x20)
      fprintf (out, "\\u%04x", (guint) *text);
    else
      fputc (*text, out);
  fputc ('"', out);
}

static void
print_json_text (FILE *out, const char *name, const char *text)
{
  if (text == NULL)
    return;
  fprintf (out, ",\"%s\":", name);
  print_json_string (out, text);
}

static void
print_json_label (FILE *out, const char *type, const OwdProbeLabel *label, guint16 sport)
{
  char src[OWD_ADDR_TEXT], dst[OWD_ADDR_TEXT];

  fprintf (out, "{\"type\":\"%s\"", type);
  print_json_text (out, "target", label->target);
  print_json_text (out, "method", label->method);
  print_json_text (out, "test", label->test);
  print_json_text (out, "agent", label->agent);
  fprintf (out, ",\"run_ns\":%" G_GINT64_FORMAT ",\"size\":%u,\"proto\":%u,\"src\":\"%s\",\"dst\":\"%s\"", label->run,
           label->size, label->proto, owd_addr_text (&label->src, src), owd_addr_text (&label->dst, dst));
  if (sport != 0)
    fprintf (out, ",\"sport\":%u", sport);
  fprintf (out, ",\"dport\":%u", label->dport);
}

/* Signed, as SQL's bigint has it. */
static void
print_json_flows (FILE *out, const OwdProbeLabel *label, guint16 sport)
{
  OwdFlow up = { .src = label->src, .dst = label->dst, .sport = sport, .dport = label->dport, .proto = label->proto };
  OwdFlow down = { .src = label->dst, .dst = label->src, .sport = label->dport, .dport = sport, .proto = label->proto };

  fprintf (out, ",\"flow_up\":%" G_GINT64_FORMAT ",\"flow_down\":%" G_GINT64_FORMAT, (gint64) owd_flow_hash (&up),
           (gint64) owd_flow_hash (&down));
}

static void
print_json (FILE *out, const OwdProbeLabel *label, guint16 sport, const OwdProbeSample *s, const DelayField *delays,
            const StampField *stamps)
{
  const struct {
    const char *name;
    gint value;
  } ints[] = {
    { "hops_up", s->hops_up },
    { "hops_down", s->hops_down },
    { "dscp_up", s->dscp_up },
    { "dscp_down", s->dscp_down },
  };
  char time[OWD_TIME_TEXT];

  print_json_label (out, "packet", label, sport);
  if (!label->shared)
    print_json_flows (out, label, sport);
  fprintf (out, ",\"seq\":%u,\"sent\":\"%s\"", s->seq, owd_time_text (s->t1, time));
  for (guint i = 0; i < N_STAMPS; i++)
    if (stamps[i].ns != OWD_TIME_NONE)
      fprintf (out, ",\"%s\":%" G_GINT64_FORMAT, stamps[i].name, stamps[i].ns);
  for (guint i = 0; i < N_DELAYS; i++)
    if (delays[i].ns != OWD_TIME_NONE)
      fprintf (out, ",\"%s\":%.6f", delays[i].name, ms (delays[i].ns));
  for (guint i = 0; i < G_N_ELEMENTS (ints); i++)
    if (ints[i].value >= 0)
      fprintf (out, ",\"%s\":%d", ints[i].name, ints[i].value);
  fputs (",\"flags\":[", out);
  print_flags (out, s->flags, ",", "\"");
  fputs ("]}\n", out);
}

void
owd_probe_print_sample (FILE *out, OwdProbeFormat format, const OwdProbeLabel *label, guint16 sport,
                        const OwdProbeSample *sample)
{
  DelayField delays[N_DELAYS];
  StampField stamps[N_STAMPS];

  delay_fields (sample, delays);
  stamp_fields (sample, stamps);
  if (format == OWD_PROBE_JSON)
    print_json (out, label, sport, sample, delays, stamps);
  else if (format == OWD_PROBE_CSV)
    print_csv (out, label, sport, sample, delays, stamps);
}

/* ---- summaries --------------------------------------------------------------------------------- */

typedef struct {
  const char *name, *title;
  const OwdProbeStats *stats;
} StatsField;

#define N_STATS 8

static void
stats_fields (const OwdProbeSummary *s, StatsField out[N_STATS])
{
  const StatsField fields[N_STATS] = {
    { "rtt", "round trip", &s->rtt },
    { "up", "one way up", &s->up },
    { "down", "one way down", &s->down },
    { "ipdv_rtt", "|IPDV| trip", &s->ipdv_rtt },
    { "ipdv_up", "|IPDV| up", &s->ipdv_up },
    { "ipdv_down", "|IPDV| down", &s->ipdv_down },
    { "peer_time", "in reflector", &s->peer_time },
    { "schedule", "|send error|", &s->schedule },
  };

  memcpy (out, fields, sizeof fields);
}

typedef struct {
  const char *name;
  guint64 value;
} CountField;

#define N_COUNTS 24

static void
count_fields (const OwdProbeSummary *s, CountField out[N_COUNTS])
{
  const CountField fields[N_COUNTS] = {
    { "sent", s->sent },
    { "not_sent", s->not_sent },
    { "not_left", s->not_left },
    { "answered", s->answered },
    { "lost", s->lost },
    { "lost_up", s->lost_up },
    { "lost_down", s->lost_down },
    { "lost_unknown", s->lost_unknown },
    { "late", s->late },
    { "duplicates", s->duplicates },
    { "duplicates_up", s->duplicates_up },
    { "duplicates_down", s->duplicates_down },
    { "reordered", s->reordered },
    { "reordered_up", s->reordered_up },
    { "reordered_down", s->reordered_down },
    { "foreign", s->foreign },
    { "reflector_restarts", s->peer_restarts },
    { "dscp_changed_up", s->dscp_up },
    { "dscp_changed_down", s->dscp_down },
    { "ce_up", s->ce_up },
    { "ce_down", s->ce_down },
    { "clock_contradictions", s->clock_contradictions },
    { "queries", s->queries },
    { "reports", s->reports },
  };

  memcpy (out, fields, sizeof fields);
}

static void
print_json_stats (FILE *out, const char *name, const OwdProbeStats *s)
{
  if (s->n == 0)
    return;
  fprintf (out,
           ",\"%s_ms\":{\"n\":%" G_GUINT64_FORMAT ",\"min\":%.6f,\"mean\":%.6f,\"sd\":%.6f,\"p05\":%.6f,\"p50\":%.6f,"
           "\"p95\":%.6f,\"p99\":%.6f,\"max\":%.6f}",
           name, s->n, ms (s->min_ns), s->mean_ns / 1e6, s->sd_ns / 1e6, ms (s->p05_ns), ms (s->p50_ns), ms (s->p95_ns),
           ms (s->p99_ns), ms (s->max_ns));
}

static void
print_json_summary (FILE *out, const OwdProbeLabel *label, const OwdProbeSummary *s)
{
  StatsField stats[N_STATS];
  CountField counts[N_COUNTS];

  stats_fields (s, stats);
  count_fields (s, counts);
  print_json_label (out, "summary", label, label->sport);
  for (guint i = 0; i < N_COUNTS; i++)
    fprintf (out, ",\"%s\":%" G_GUINT64_FORMAT, counts[i].name, counts[i].value);
  for (guint i = 0; i < N_STATS; i++)
    print_json_stats (out, stats[i].name, stats[i].stats);
  if (s->first_rtt_ns != OWD_TIME_NONE)
    fprintf (out, ",\"first_rtt_ms\":%.6f", ms (s->first_rtt_ns));
  if (s->offset_lo_ns != OWD_TIME_NONE)
    fprintf (out, ",\"offset_lo_ms\":%.6f,\"offset_hi_ms\":%.6f", ms (s->offset_lo_ns), ms (s->offset_hi_ns));
  if (s->own_error_ns >= 0)
    fprintf (out, ",\"own_error_ms\":%.6f", ms (s->own_error_ns));
  if (s->peer_error_ns >= 0)
    fprintf (out, ",\"reflector_error_ms\":%.6f", ms (s->peer_error_ns));
  if (s->peer_stateful >= 0)
    fprintf (out, ",\"stateful\":%s", s->peer_stateful ? "true" : "false");
  fputs (",\"flags\":[", out);
  print_flags (out, s->flags, ",", "\"");
  fputs ("]}\n", out);
}

#define U G_GUINT64_FORMAT
/* Where a packet may have been lost on either way, both ways have a range. */
static void
print_ways (FILE *out, const OwdProbeSummary *s)
{
  guint64 open = s->lost_unknown;

  fprintf (out, ": %" U, s->lost_up);
  if (open > 0)
    fprintf (out, " to %" U, s->lost_up + open);
  fprintf (out, " up, %" U, s->lost_down);
  if (open > 0)
    fprintf (out, " to %" U, s->lost_down + open);
  fputs (" down", out);
}

static void
print_fates (FILE *out, const OwdProbeSummary *s)
{
  double percent = s->sent > 0 ? 100.0 * (double) s->lost / (double) s->sent : 0;

  fprintf (out, "  sent %" U ", answered %" U ", lost %" U " (%.2f %%", s->sent, s->answered, s->lost, percent);
  if (s->lost > 0 && s->peer_stateful == 1)
    print_ways (out, s);
  fprintf (out, "), duplicates %" U, s->duplicates);
  if (s->duplicates > 0 && s->peer_stateful == 1)
    fprintf (out, " (%" U " up, %" U " down)", s->duplicates_up, s->duplicates_down);
  fprintf (out, ", reordered %" U, s->reordered);
  if (s->reordered > 0 && s->peer_stateful == 1)
    fprintf (out, " (%" U " up, %" U " down)", s->reordered_up, s->reordered_down);
  if (s->late > 0)
    fprintf (out, ", late %" U, s->late);
  if (s->not_sent > 0)
    fprintf (out, ", refused by the system %" U, s->not_sent);
  if (s->not_left > 0)
    fprintf (out, ", never left this machine %" U, s->not_left);
  if (s->foreign > 0)
    fprintf (out, ", strange replies %" U, s->foreign);
  fputc ('\n', out);
}

static void
print_hops (FILE *out, const OwdProbeSummary *s)
{
  const struct {
    const char *way;
    gint min, max;
  } ways[] = { { "up", s->hops_up_min, s->hops_up_max }, { "down", s->hops_down_min, s->hops_down_max } };
  const char *before = "  hops: ";

  for (guint i = 0; i < G_N_ELEMENTS (ways); i++) {
    if (ways[i].min < 0)
      continue;
    fprintf (out, "%s%s %d", before, ways[i].way, ways[i].min);
    if (ways[i].max != ways[i].min)
      fprintf (out, " to %d (the route changed)", ways[i].max);
    before = ", ";
  }
  if (before[0] == ',')
    fputc ('\n', out);
}

static void
print_answers_of_hosts (FILE *out, const OwdProbeSummary *s)
{
  gboolean reset = (s->flags & OWD_PROBE_RESET) != 0, open = (s->flags & OWD_PROBE_SYN_ACK) != 0;

  if (reset || open)
    fprintf (out, "  answered by the host's TCP with %s%s%s: round trips only\n", reset ? "RST" : "",
             reset && open ? " and " : "", open ? "SYN-ACK" : "");
  else if (s->answered > 0)
    fputs ("  note: the reflector gives no stamps of its own: round trips only\n", out);
}

/* The typical one-way delays, as far as they can be known: the difference of the clocks lies within both their stated
 * errors and what causality leaves. */
static void
print_intervals (FILE *out, const OwdProbeSummary *s)
{
  gint64 lo = s->offset_lo_ns, hi = s->offset_hi_ns, error = s->own_error_ns + s->peer_error_ns;

  if (s->own_error_ns >= 0 && s->peer_error_ns >= 0) {
    lo = MAX (lo, -error);
    hi = MIN (hi, error);
  }
  if (lo > hi)
    return;
  fprintf (out, "  so p50 one way is between %.3f and %.3f ms up, between %.3f and %.3f ms down\n",
           ms (MAX (s->up.p50_ns - hi, 0)), ms (s->up.p50_ns - lo), ms (MAX (s->down.p50_ns + lo, 0)),
           ms (s->down.p50_ns + hi));
}

/* What a reader of negative or surprising delays must know. */
static void
print_clocks (FILE *out, const OwdProbeSummary *s)
{
  const char *who = s->own_unsynchronised && s->peer_unsynchronised ? "neither clock is"
                    : s->own_unsynchronised                         ? "this machine's clock is not"
                    : s->peer_unsynchronised                        ? "the reflector's clock is not"
                                                                    : NULL;

  if (s->up.n == 0) {
    print_answers_of_hosts (out, s);
    return;
  }
  if (s->offset_lo_ns <= s->offset_hi_ns)
    fprintf (out, "  clocks: the reflector's is between %.3f and %.3f ms ahead, as delays cannot be negative\n",
             ms (s->offset_lo_ns), ms (s->offset_hi_ns));
  else
    fprintf (out, "  clocks: they have moved against each other by %.3f ms or more: one-way delays have, too\n",
             ms (s->offset_lo_ns - s->offset_hi_ns));
  if (s->own_error_ns >= 0 && s->peer_error_ns >= 0)
    fprintf (out, "  stated errors: this clock %.3f ms, the reflector's %.3f ms\n", ms (s->own_error_ns),
             ms (s->peer_error_ns));
  print_intervals (out, s);
  if (who != NULL)
    fprintf (out, "  note: %s synchronised: one-way delays may be off by what the clocks are apart\n", who);
  if ((s->flags & OWD_PROBE_UNSTATED) != 0)
    fputs ("  note: the reflector states no believable clock error: intervals rest on causality alone\n", out);
  if (s->clock_contradictions > 0)
    fprintf (out, "  note: in %" U " packets a clock is off by more than it says\n", s->clock_contradictions);
}

static void
print_peculiarities (FILE *out, const OwdProbeLabel *label, const OwdProbeSummary *s)
{
  gboolean stamp = g_str_equal (label->method, "stamp");

  if (stamp && s->answered == 0 && s->sent > 0)
    fputs ("  note: no reply at all: no reflector there, a filter on the way, or one that wants another key, or any\n",
           out);
  if (s->not_left > 0)
    fputs ("  note: what never left waits for a next hop that does not answer, or meets a filter of this machine\n",
           out);
  if (stamp && s->lost > 0 && s->peer_stateful == 0)
    fprintf (out, "  note: %s: the direction of loss is unknown\n",
             label->sport == 0 ? "to the reflector every port is a session" : "the reflector does not count");
  if (s->lost_unknown > 0 && s->peer_stateful == 1)
    fprintf (out, "  note: %" U " lost packets may have been lost on either way%s\n", s->lost_unknown,
             s->peer_reports ? "" : "; a reflector of Oneway's would tell");
  if ((s->flags & OWD_PROBE_SWAPPED) != 0)
    fputs ("  note: the reflector swaps T1 and T3; undone\n", out);
  if ((s->flags & OWD_PROBE_FORMAT) != 0)
    fputs ("  note: the reflector's stamps are not in the format that it says; undone, or left out while two fit\n",
           out);
  if (s->dscp_up > 0 || s->dscp_down > 0)
    fprintf (out, "  note: DSCP changed in %" U " packets up, %" U " down\n", s->dscp_up, s->dscp_down);
  if (s->ce_up > 0 || s->ce_down > 0)
    fprintf (out, "  note: congestion marked in %" U " packets up, %" U " down\n", s->ce_up, s->ce_down);
}

static void
print_table (FILE *out, const OwdProbeLabel *label, const OwdProbeSummary *s)
{
  StatsField stats[N_STATS];

  stats_fields (s, stats);
  fprintf (out, "%s, %u bytes\n", label->target, label->size);
  print_fates (out, s);
  if (s->rtt.n > 0)
    fprintf (out, "  %-13s %9s %10s %10s %10s %10s %10s %10s\n", "ms", "n", "min", "mean", "p50", "p95", "p99", "max");
  for (guint i = 0; i < N_STATS; i++)
    if (stats[i].stats->n > 0)
      fprintf (out, "  %-13s %9" U " %10.3f %10.3f %10.3f %10.3f %10.3f %10.3f\n", stats[i].title, stats[i].stats->n,
               ms (stats[i].stats->min_ns), stats[i].stats->mean_ns / 1e6, ms (stats[i].stats->p50_ns),
               ms (stats[i].stats->p95_ns), ms (stats[i].stats->p99_ns), ms (stats[i].stats->max_ns));
  if (s->up.n > 0)
    fprintf (out, "  PDV p95: up %.3f ms, down %.3f ms\n", ms (s->up.p95_ns - s->up.min_ns),
             ms (s->down.p95_ns - s->down.min_ns));
  if (s->first_rtt_ns != OWD_TIME_NONE)
    fprintf (out, "  first packet: %.3f ms, kept apart: it pays for set-up on the way\n", ms (s->first_rtt_ns));
  print_hops (out, s);
  print_clocks (out, s);
  print_peculiarities (out, label, s);
}
#undef U

void
owd_probe_print_summary (FILE *out, OwdProbeFormat format, const OwdProbeLabel *label, const OwdProbeSummary *summary)
{
  if (format == OWD_PROBE_JSON)
    print_json_summary (out, label, summary);
  else if (format == OWD_PROBE_TABLE)
    print_table (out, label, summary);
}

/* ---- routes ------------------------------------------------------------------------------------ */

static void
print_json_route (FILE *out, const OwdProbeLabel *label, const OwdProbeRouteSpan *span, gint64 first_rtt_ns)
{
  const OwdProbeRoute *route = span->route;
  char text[OWD_ADDR_TEXT];

  print_json_label (out, "route", label, label->sport);
  fprintf (out, ",\"seq\":%u,\"from_ns\":%" G_GINT64_FORMAT ",\"to_ns\":%" G_GINT64_FORMAT ",\"reached\":%s", span->seq,
           span->from, span->to, route->reached ? "true" : "false");
  if (first_rtt_ns != OWD_TIME_NONE)
    fprintf (out, ",\"first_rtt_ms\":%.6f", ms (first_rtt_ns));
  fputs (",\"hops\":[", out);
  for (guint i = 0; i < route->n; i++) {
    fprintf (out, "%s{\"ttl\":%u", i > 0 ? "," : "", i + 1);
    if (route->hop[i].rtt_ns != OWD_TIME_NONE)
      fprintf (out, ",\"addr\":\"%s\",\"rtt_ms\":%.6f", owd_addr_text (&route->hop[i].addr, text),
               ms (route->hop[i].rtt_ns));
    fputc ('}', out);
  }
  fputs ("]}\n", out);
}

void
owd_probe_print_route_csv_header (FILE *out)
{
  fputs ("index,target,method,from_ns,to_ns,reached,hops,rtt_ms\n", out);
}

static void
print_csv_route (FILE *out, const OwdProbeLabel *label, guint index, const OwdProbeRouteSpan *span)
{
  const OwdProbeRoute *route = span->route;

  fprintf (out, "%u,%s,%s,%" G_GINT64_FORMAT ",%" G_GINT64_FORMAT ",%d,%u,", index, label->target, label->method,
           span->from, span->to, route->reached, route->n);
  if (route->reached)
    fprintf (out, "%.6f", ms (route->hop[route->n - 1].rtt_ns));
  fputc ('\n', out);
}

void
owd_probe_print_route (FILE *out, OwdProbeFormat format, const OwdProbeLabel *label, guint index,
                       const OwdProbeRouteSpan *span, gint64 first_rtt_ns)
{
  const OwdProbeRoute *route = span->route;
  char from[OWD_TIME_TEXT], to[OWD_TIME_TEXT], text[OWD_ADDR_TEXT];

  if (format == OWD_PROBE_JSON) {
    print_json_route (out, label, span, first_rtt_ns);
    return;
  }
  if (format == OWD_PROBE_CSV) {
    print_csv_route (out, label, index, span);
    return;
  }
  fprintf (out, "%s (%s), %u hop%s%s, %s to %s\n", label->target, label->method, route->n, route->n == 1 ? "" : "s",
           route->reached ? "" : ", not reached", owd_time_text (span->from, from), owd_time_text (span->to, to));
  for (guint i = 0; i < route->n; i++)
    if (route->hop[i].rtt_ns != OWD_TIME_NONE)
      fprintf (out, "  %2u  %-39s %10.3f ms\n", i + 1, owd_addr_text (&route->hop[i].addr, text),
               ms (route->hop[i].rtt_ns));
    else
      fprintf (out, "  %2u  *\n", i + 1);
  if (first_rtt_ns != OWD_TIME_NONE)
    fprintf (out, "  the first packet took %.3f ms\n", ms (first_rtt_ns));
}

void
owd_probe_print_route_change (FILE *out, OwdProbeFormat format, const OwdProbeLabel *label,
                              const OwdProbeRouteChange *c)
{
  gboolean step = c->before_ns != OWD_TIME_NONE && c->after_ns != OWD_TIME_NONE;
  char lo[OWD_TIME_TEXT], hi[OWD_TIME_TEXT];

  if (format == OWD_PROBE_CSV)
    return;
  if (format == OWD_PROBE_JSON) {
    print_json_label (out, "route_change", label, label->sport);
    fprintf (out, ",\"seq\":%u,\"lo_ns\":%" G_GINT64_FORMAT ",\"hi_ns\":%" G_GINT64_FORMAT ",\"trigger\":\"%s\"",
             c->seq, c->lo, c->hi, c->by_ttl ? "ttl" : "schedule");
    fprintf (out, ",\"n_before\":%u,\"n_after\":%u", c->n_before, c->n_after);
    if (step)
      fprintf (out, ",\"rtt_before_ms\":%.6f,\"rtt_after_ms\":%.6f,\"step_ms\":%.6f", ms (c->before_ns),
               ms (c->after_ns), ms (c->after_ns - c->before_ns));
    fputs ("}\n", out);
    return;
  }
  fprintf (out, "%s: the route changed between %s and %s", label->target, owd_time_text (c->lo, lo),
           owd_time_text (c->hi, hi));
  if (step)
    fprintf (out, "; round trip %.3f to %.3f ms (%+.3f; medians of %u and %u)", ms (c->before_ns), ms (c->after_ns),
             ms (c->after_ns - c->before_ns), c->n_before, c->n_after);
  fputc ('\n', out);
}
