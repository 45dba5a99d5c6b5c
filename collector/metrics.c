/* SPDX-License-Identifier: Apache-2.0
 *
 * Counters as text. OpenMetrics wants all samples of a family together, so the families are the outer loop and a table
 * tells how each reads its number from an exporter state.
 *
 * Label values are addresses and numbers and texts of ours: nothing in them needs escaping.
 *
 * Reference: OpenMetrics 1.0.
 */
#include "metrics.h"

#include <stddef.h>

#include "owd-lognotes.h"

void
owd_metrics_init (OwdMetrics *self)
{
  *self = (OwdMetrics){ .states = g_array_new (FALSE, FALSE, sizeof (OwdStateCounters)),
                        .sockets = g_array_new (FALSE, FALSE, sizeof (OwdListenerSocket)),
                        .endpoints = g_array_new (FALSE, FALSE, sizeof (OwdEndpointCounters)),
                        .set_back = g_array_new (FALSE, FALSE, sizeof (OwdFairSource)) };
}

void
owd_metrics_clear (OwdMetrics *self)
{
  g_clear_pointer (&self->states, g_array_unref);
  g_clear_pointer (&self->sockets, g_array_unref);
  g_clear_pointer (&self->endpoints, g_array_unref);
  g_clear_pointer (&self->set_back, g_array_unref);
}

void
owd_metrics_take (OwdMetrics *self, const OwdDecoder *decoder, const OwdListener *listener,
                  const OwdStreamListener *streams, guint64 records, guint64 dropped)
{
  g_array_set_size (self->states, 0);
  for (guint i = 0; i < owd_decoder_n_states (decoder); i++)
    g_array_append_vals (self->states, owd_decoder_state (decoder, i), 1);
  g_array_set_size (self->sockets, 0);
  for (guint i = 0; i < owd_listener_n_sockets (listener); i++)
    g_array_append_vals (self->sockets, owd_listener_socket (listener, i), 1);
  if (streams != NULL)
    self->streams = *owd_stream_listener_counters (streams);
  owd_decoder_memory (decoder, &self->memory);
  memcpy (self->unattributed, owd_decoder_unattributed (decoder), sizeof self->unattributed);
  self->records = records;
  self->dropped = dropped;
}

/* ---- OpenMetrics ------------------------------------------------------------------------------- */

static const struct {
  const char *name, *help;
  gsize offset; /* of a guint64 in OwdStateCounters */
} state_counters[] = {
  { "datagrams", "Export datagrams accepted", offsetof (OwdStateCounters, datagrams) },
  { "bytes", "Bytes of export datagrams accepted", offsetof (OwdStateCounters, bytes) },
  { "records", "Flow records decoded", offsetof (OwdStateCounters, flows) },
  { "skipped_records", "Data records without a pair of addresses", offsetof (OwdStateCounters, skipped) },
  { "options_records", "Options records", offsetof (OwdStateCounters, options) },
  { "templates", "Templates learnt or changed", offsetof (OwdStateCounters, templates) },
  { "late_records", "Flow records decoded after their template came", offsetof (OwdStateCounters, late_flows) },
  { "lost", "Gaps in the sequence numbers: records (v5, IPFIX) or datagrams (v9)", offsetof (OwdStateCounters, lost) },
  { "reordered", "Datagrams that came after a later one", offsetof (OwdStateCounters, reordered) },
  { "restarts", "Sequence numbers that began anew", offsetof (OwdStateCounters, restarts) },
};

static void
begin_family (GString *out, const char *name, const char *type, const char *help)
{
  g_string_append_printf (out, "# TYPE oneway_collector_%s %s\n# HELP oneway_collector_%s %s\n", name, type, name,
                          help);
}

static void
put_sample (GString *out, const char *name, const char *labels, guint64 value)
{
  g_string_append_printf (out, "oneway_collector_%s{%s} %" G_GUINT64_FORMAT "\n", name, labels, value);
}

/* exporter="192.0.2.1",domain="0",version="9" */
static char *
state_labels (const OwdStateCounters *c)
{
  char addr[OWD_ADDR_TEXT];

  return g_strdup_printf ("exporter=\"%s\",domain=\"%u\",version=\"%u\"", owd_addr_text (&c->key.addr, addr),
                          c->key.domain, c->key.version);
}

static void
put_state_counters (GString *out, const OwdMetrics *workers, guint n)
{
  for (gsize k = 0; k < G_N_ELEMENTS (state_counters); k++) {
    g_autofree char *sample = g_strdup_printf ("%s_total", state_counters[k].name);

    begin_family (out, state_counters[k].name, "counter", state_counters[k].help);
    for (guint w = 0; w < n; w++)
      for (guint i = 0; i < workers[w].states->len; i++) {
        const OwdStateCounters *c = &g_array_index (workers[w].states, OwdStateCounters, i);
        g_autofree char *labels = state_labels (c);
        guint64 value;

        memcpy (&value, (const guint8 *) c + state_counters[k].offset, sizeof value);
        put_sample (out, sample, labels, value);
      }
  }
}

/* What exporters say of themselves, where they do. */
static void
put_reports (GString *out, const OwdMetrics *workers, guint n)
{
  static const struct {
    const char *name, *help;
  } families[OWD_REPORTS] = {
    [OWD_REPORT_MESSAGES] = { "reported_messages", "Messages exported, as the exporter counts" },
    [OWD_REPORT_RECORDS] = { "reported_records", "Records exported, as the exporter counts" },
    [OWD_REPORT_IGNORED_PACKETS] = { "reported_ignored_packets", "Packets that the exporter counted for no flow" },
    [OWD_REPORT_UNSENT_RECORDS] = { "reported_unsent_records", "Records that the exporter lost before it sent them" },
    [OWD_REPORT_UNSENT_PACKETS] = { "reported_unsent_packets", "Packets of records that the exporter lost" },
  };

  for (guint r = 0; r < OWD_REPORTS; r++) {
    g_autofree char *sample = g_strdup_printf ("%s_total", families[r].name);

    begin_family (out, families[r].name, "counter", families[r].help);
    for (guint w = 0; w < n; w++)
      for (guint i = 0; i < workers[w].states->len; i++) {
        const OwdStateCounters *c = &g_array_index (workers[w].states, OwdStateCounters, i);
        g_autofree char *labels = state_labels (c);

        if (c->reported & 1u << r)
          put_sample (out, sample, labels, c->report[r]);
      }
  }
}

static void
put_refusals (GString *out, const char *labels, const guint64 refused[OWD_REASONS])
{
  for (guint r = 0; r < OWD_REASONS; r++) {
    g_autofree char *all = g_strdup_printf ("%s,reason=\"%s\"", labels, owd_reason_text ((OwdReason) r));

    if (refused[r] > 0)
      put_sample (out, "refused_total", all, refused[r]);
  }
}

static void
put_state_rest (GString *out, const OwdMetrics *workers, guint n)
{
  guint64 unattributed[OWD_REASONS] = { 0 };

  begin_family (out, "refused", "counter", "What was refused, by reason; without an exporter: datagrams of none known");
  for (guint w = 0; w < n; w++) {
    for (guint i = 0; i < workers[w].states->len; i++) {
      const OwdStateCounters *c = &g_array_index (workers[w].states, OwdStateCounters, i);
      g_autofree char *labels = state_labels (c);

      put_refusals (out, labels, c->refused);
    }
    for (guint r = 0; r < OWD_REASONS; r++)
      unattributed[r] += workers[w].unattributed[r];
  }
  put_refusals (out, "exporter=\"\",domain=\"\",version=\"\"", unattributed);
  begin_family (out, "last_seen_seconds", "gauge", "Receive time of the last datagram, since 1970");
  for (guint w = 0; w < n; w++)
    for (guint i = 0; i < workers[w].states->len; i++) {
      const OwdStateCounters *c = &g_array_index (workers[w].states, OwdStateCounters, i);
      g_autofree char *labels = state_labels (c);

      g_string_append_printf (out,
                              "oneway_collector_last_seen_seconds{%s} %" G_GINT64_FORMAT ".%09" G_GINT64_FORMAT "\n",
                              labels, c->last_ns / OWD_NS_PER_S, c->last_ns % OWD_NS_PER_S);
    }
  begin_family (out, "clock_lag_seconds", "gauge",
                "Receive time of the last datagram minus its export time, which has whole seconds but in v5");
  for (guint w = 0; w < n; w++)
    for (guint i = 0; i < workers[w].states->len; i++) {
      const OwdStateCounters *c = &g_array_index (workers[w].states, OwdStateCounters, i);
      g_autofree char *labels = state_labels (c);

      g_string_append_printf (out, "oneway_collector_clock_lag_seconds{%s} %.6f\n", labels,
                              (double) c->clock_lag_ns / (double) OWD_NS_PER_S);
    }
}

static void
put_disallowed (GString *out, const OwdMetrics *workers, guint n)
{
  guint64 disallowed = 0;

  for (guint w = 0; w < n; w++)
    disallowed += workers[w].disallowed;
  begin_family (out, "disallowed_datagrams", "counter", "Datagrams from addresses that are not allowed, not decoded");
  put_sample (out, "disallowed_datagrams_total", "", disallowed);
}

static OwdDecoderMemory
sum_of_memory (const OwdMetrics *workers, guint n)
{
  OwdDecoderMemory sum = { 0 };

  for (guint w = 0; w < n; w++) {
    const OwdDecoderMemory *m = &workers[w].memory;

    sum = (OwdDecoderMemory){ sum.used + m->used, sum.max + m->max, sum.evicted + m->evicted,
                              sum.refused + m->refused };
  }
  return sum;
}

static void
put_memory (GString *out, const OwdMetrics *workers, guint n)
{
  OwdDecoderMemory sum = sum_of_memory (workers, n);

  begin_family (out, "memory_bytes", "gauge", "Memory of exporter states, templates and kept data sets");
  put_sample (out, "memory_bytes", "", sum.used);
  begin_family (out, "memory_limit_bytes", "gauge", "How much that may become");
  put_sample (out, "memory_limit_bytes", "", sum.max);
  begin_family (out, "templates_evicted", "counter", "Templates that had to make room, of addresses that sent no flow");
  put_sample (out, "templates_evicted_total", "", sum.evicted);
  begin_family (out, "memory_refused", "counter", "Exporter states and templates that there was no memory for");
  put_sample (out, "memory_refused_total", "", sum.refused);
}

typedef guint64 (*SocketValue) (const OwdListenerSocket *s);

static guint64
socket_datagrams (const OwdListenerSocket *s)
{
  return s->datagrams;
}

static guint64
socket_bytes (const OwdListenerSocket *s)
{
  return s->bytes;
}

static guint64
socket_dropped (const OwdListenerSocket *s)
{
  return s->dropped;
}

static guint64
socket_back_datagrams (const OwdListenerSocket *s)
{
  return s->back_datagrams;
}

static guint64
socket_back_dropped (const OwdListenerSocket *s)
{
  return s->back_dropped;
}

static guint64
socket_asked (const OwdListenerSocket *s)
{
  return s->buffer_asked;
}

static guint64
socket_got (const OwdListenerSocket *s)
{
  return s->buffer_got;
}

static void
put_sockets (GString *out, const OwdMetrics *workers, guint n)
{
  static const struct {
    const char *name, *sample, *type, *help;
    SocketValue value;
  } families[] = {
    { "socket_datagrams", "socket_datagrams_total", "counter", "Datagrams received", socket_datagrams },
    { "socket_bytes", "socket_bytes_total", "counter", "Bytes received", socket_bytes },
    { "socket_dropped", "socket_dropped_total", "counter", "Datagrams that the kernel dropped: receive buffer full",
      socket_dropped },
    { "socket_back_datagrams", "socket_back_datagrams_total", "counter",
      "Datagrams received from sources that were set back", socket_back_datagrams },
    { "socket_back_dropped", "socket_back_dropped_total", "counter",
      "Datagrams of sources that were set back, dropped by the kernel", socket_back_dropped },
    { "socket_buffer_asked_bytes", "socket_buffer_asked_bytes", "gauge", "Receive buffer asked for", socket_asked },
    { "socket_buffer_bytes", "socket_buffer_bytes", "gauge", "Receive buffer that the kernel gave", socket_got },
  };

  for (gsize k = 0; k < G_N_ELEMENTS (families); k++) {
    begin_family (out, families[k].name, families[k].type, families[k].help);
    for (guint w = 0; w < n; w++)
      for (guint i = 0; i < workers[w].sockets->len; i++) {
        const OwdListenerSocket *s = &g_array_index (workers[w].sockets, OwdListenerSocket, i);
        g_autofree char *labels = g_strdup_printf ("socket=\"%s\",worker=\"%u\"", s->address, w);

        put_sample (out, families[k].sample, labels, families[k].value (s));
      }
  }
}

static guint64
source_is_back (const OwdFairSource *s)
{
  return (guint64) s->back;
}

static guint64
source_times (const OwdFairSource *s)
{
  return s->times;
}

static guint64
source_datagrams (const OwdFairSource *s)
{
  return s->datagrams;
}

static guint64
source_dropped (const OwdFairSource *s)
{
  return s->dropped;
}

/* Sources that were ever set back. */
static void
put_set_back (GString *out, const OwdMetrics *workers, guint n)
{
  static const struct {
    const char *name, *sample, *type, *help;
    guint64 (*value) (const OwdFairSource *s);
  } families[] = {
    { "set_back", "set_back", "gauge",
      "1: set back now, as it sends more than there is time for; exporter \"\": all unknown", source_is_back },
    { "set_back_times", "set_back_times_total", "counter", "So often it was set back", source_times },
    { "set_back_datagrams", "set_back_datagrams_total", "counter", "Datagrams taken while it was set back",
      source_datagrams },
    { "set_back_dropped", "set_back_dropped_total", "counter",
      "Datagrams dropped while it was set back: the sockets' drops, shared out by what came", source_dropped },
  };

  for (gsize k = 0; k < G_N_ELEMENTS (families); k++) {
    begin_family (out, families[k].name, families[k].type, families[k].help);
    for (guint w = 0; w < n; w++)
      for (guint i = 0; i < workers[w].set_back->len; i++) {
        const OwdFairSource *s = &g_array_index (workers[w].set_back, OwdFairSource, i);
        char addr[OWD_ADDR_TEXT] = "";
        g_autofree char *labels = NULL;

        if (s->times == 0)
          continue;
        if (s->hash != 0)
          owd_addr_text (&s->addr, addr);
        labels = g_strdup_printf ("exporter=\"%s\",worker=\"%u\"", addr, w);
        put_sample (out, families[k].sample, labels, families[k].value (s));
      }
  }
}

static OwdStreamCounters
sum_streams (const OwdMetrics *workers, guint n)
{
  OwdStreamCounters sum = { 0 };

  for (guint w = 0; w < n; w++) {
    const OwdStreamCounters *c = &workers[w].streams;

    sum.open += c->open;
    sum.accepted += c->accepted;
    sum.handshakes += c->handshakes;
    sum.messages += c->messages;
    sum.bytes += c->bytes;
    for (guint r = 0; r < OWD_STREAM_REASONS; r++)
      sum.closed[r] += c->closed[r];
  }
  return sum;
}

static void
put_streams (GString *out, const OwdMetrics *workers, guint n)
{
  const OwdStreamCounters sum = sum_streams (workers, n);

  begin_family (out, "connections", "gauge", "TCP connections open");
  put_sample (out, "connections", "", sum.open);
  begin_family (out, "connections_accepted", "counter", "TCP connections that came");
  put_sample (out, "connections_accepted_total", "", sum.accepted);
  begin_family (out, "connections_closed", "counter", "TCP connections closed, by reason");
  for (guint r = 0; r < OWD_STREAM_REASONS; r++) {
    g_autofree char *labels = g_strdup_printf ("reason=\"%s\"", owd_stream_reason_text ((OwdStreamReason) r));

    put_sample (out, "connections_closed_total", labels, sum.closed[r]);
  }
  begin_family (out, "tls_handshakes", "counter", "TLS handshakes that succeeded");
  put_sample (out, "tls_handshakes_total", "", sum.handshakes);
  begin_family (out, "stream_messages", "counter", "IPFIX messages received over TCP");
  put_sample (out, "stream_messages_total", "", sum.messages);
  begin_family (out, "stream_bytes", "counter", "Bytes received over TCP");
  put_sample (out, "stream_bytes_total", "", sum.bytes);
}

/* worker="0",side="src",asn="64496",country="DE" */
static void
put_endpoint (GString *out, const char *sample, guint worker, const OwdEndpointCounters *c, guint side, guint64 value)
{
  static const char *const sides[OWD_ENDPOINT_SIDES] = { [OWD_ENDPOINT_SRC] = "src", [OWD_ENDPOINT_DST] = "dst" };
  g_autofree char *asn = c->is_rest          ? g_strdup ("others")
                         : c->place.asn != 0 ? g_strdup_printf ("%u", c->place.asn)
                                             : g_strdup ("");
  g_autofree char *labels = g_strdup_printf ("worker=\"%u\",side=\"%s\",asn=\"%s\",country=\"%s\"", worker, sides[side],
                                             asn, c->is_rest ? "others" : c->place.country);

  if (value > 0)
    put_sample (out, sample, labels, value);
}

static void
put_endpoints (GString *out, const OwdMetrics *workers, guint n, gboolean octets)
{
  const char *sample = octets ? "endpoint_octets_total" : "endpoint_records_total";

  begin_family (out, octets ? "endpoint_octets" : "endpoint_records", "counter",
                octets ? "Octets by where endpoints are, estimated" : "Flow records by where endpoints are, estimated");
  for (guint w = 0; w < n; w++)
    for (guint i = 0; i < workers[w].endpoints->len; i++) {
      const OwdEndpointCounters *c = &g_array_index (workers[w].endpoints, OwdEndpointCounters, i);

      for (guint side = 0; side < OWD_ENDPOINT_SIDES; side++)
        put_endpoint (out, sample, w, c, side, octets ? c->octets[side] : c->records[side]);
    }
}

/* name without and with what OpenMetrics wants of a counter's sample */
static void
put_seconds (GString *out, const char *name, const char *sample, const char *type, const char *help, gint64 ns)
{
  begin_family (out, name, type, help);
  g_string_append_printf (out, "oneway_collector_%s{} %.6f\n", sample, (double) ns / (double) OWD_NS_PER_S);
}

static void
put_log (GString *out, const OwdMetricsProgram *program, const OwdMetrics *workers, guint n)
{
  guint64 records = 0, dropped = 0;
  gint64 writing_ns = 0, longest_ns = 0;

  for (guint w = 0; w < n; w++) {
    records += workers[w].records;
    dropped += workers[w].dropped;
    writing_ns += workers[w].writing_ns;
    longest_ns = MAX (longest_ns, workers[w].longest_write_ns);
  }
  begin_family (out, "workers", "gauge", "Worker threads, by whether they answered within two seconds");
  put_sample (out, "workers", "state=\"working\"", n);
  put_sample (out, "workers", "state=\"held up\"", program->silent);
  put_seconds (out, "log_write_seconds", "log_write_seconds_total", "counter", "Time that writing blocks took",
               writing_ns);
  put_seconds (out, "log_longest_write_seconds", "log_longest_write_seconds", "gauge", "Longest time for one block",
               longest_ns);
  put_seconds (out, "log_sync_seconds", "log_sync_seconds", "gauge", "Time that the last sync took", program->sync_ns);
  put_seconds (out, "log_longest_sync_seconds", "log_longest_sync_seconds", "gauge", "Longest time for one sync",
               program->longest_sync_ns);
  begin_family (out, "log_records", "counter", "Records given to the log");
  put_sample (out, "log_records_total", "", records);
  begin_family (out, "log_dropped", "counter", "Records that the log's disk refused");
  put_sample (out, "log_dropped_total", "", dropped);
}

void
owd_metrics_write_openmetrics (GString *out, const OwdMetricsProgram *program, const OwdMetrics *workers, guint n)
{
  put_state_counters (out, workers, n);
  put_state_rest (out, workers, n);
  put_reports (out, workers, n);
  put_disallowed (out, workers, n);
  put_memory (out, workers, n);
  put_sockets (out, workers, n);
  put_set_back (out, workers, n);
  put_streams (out, workers, n);
  put_log (out, program, workers, n);
  put_endpoints (out, workers, n, FALSE);
  put_endpoints (out, workers, n, TRUE);
  g_string_append (out, "# EOF\n");
}

/* ---- notes ------------------------------------------------------------------------------------- */

static OwdLogExporterNote
exporter_note (const OwdStateCounters *c)
{
  OwdLogExporterNote note = { .key = c->key,
                              .datagrams = c->datagrams,
                              .records = c->flows,
                              .lost = c->lost,
                              .reordered = c->reordered,
                              .restarts = c->restarts,
                              .given_up = c->refused[OWD_REASON_LATE_DROPPED],
                              .over_limit = c->refused[OWD_REASON_LIMIT],
                              .clock_lag_ns = c->clock_lag_ns };

  for (guint r = 0; r < OWD_REASONS; r++)
    if (r != OWD_REASON_LATE_DROPPED && r != OWD_REASON_LIMIT && r != OWD_REASON_NO_TEMPLATE)
      note.malformed += c->refused[r];
  return note;
}

static void
add_socket (OwdLogCollectorNote *note, const OwdListenerSocket *s)
{
  gboolean is_first = note->buffer_asked == 0;

  note->kernel_dropped += s->dropped;
  if (!is_first && s->buffer_got >= note->buffer_got)
    return;
  note->buffer_asked = s->buffer_asked;
  note->buffer_got = s->buffer_got;
}

gboolean
owd_metrics_write_notes (const OwdMetrics *workers, guint n, guint64 max_states, OwdTime since_ns, OwdTime now_ns,
                         const char *log_dir, GError **error)
{
  g_autoptr (GArray) exporters = g_array_new (FALSE, FALSE, sizeof (OwdLogExporterNote));
  OwdLogCollectorNote note = { .since_ns = since_ns, .at_ns = now_ns, .max_states = max_states };
  OwdDecoderMemory memory = sum_of_memory (workers, n);

  for (guint w = 0; w < n; w++) {
    for (guint i = 0; i < workers[w].states->len; i++) {
      OwdLogExporterNote e = exporter_note (&g_array_index (workers[w].states, OwdStateCounters, i));

      g_array_append_val (exporters, e);
    }
    for (guint i = 0; i < workers[w].sockets->len; i++)
      add_socket (&note, &g_array_index (workers[w].sockets, OwdListenerSocket, i));
    for (guint r = 0; r < OWD_REASONS; r++)
      note.unattributed += workers[w].unattributed[r];
    note.over_limit += workers[w].unattributed[OWD_REASON_LIMIT];
    note.disallowed += workers[w].disallowed;
    note.log_dropped += workers[w].dropped;
  }
  note.states = exporters->len;
  note.memory_used = memory.used;
  note.memory_max = memory.max;
  note.memory_refused = memory.refused;
  return owd_log_notes_write (log_dir, &note, (const OwdLogExporterNote *) exporters->data, exporters->len, error);
}

/* ---- table ------------------------------------------------------------------------------------- */

static const char *
algorithm_text (guint8 algorithm)
{
  switch (algorithm) {
  case OWD_SAMPLING_DETERMINISTIC:
    return "deterministic";
  case OWD_SAMPLING_RANDOM:
    return "random";
  default:
    return "-";
  }
}

void
owd_metrics_write_table (GString *out, const OwdMetrics *workers, guint n)
{
  g_string_append_printf (out, "%-39s %10s %-7s %12s %14s %10s %10s %8s %-13s  %s\n", "exporter", "domain", "version",
                          "datagrams", "records", "lost", "refused", "1 in", "sampling", "last seen");
  for (guint w = 0; w < n; w++)
    for (guint i = 0; i < workers[w].states->len; i++) {
      const OwdStateCounters *c = &g_array_index (workers[w].states, OwdStateCounters, i);
      char addr[OWD_ADDR_TEXT], time[OWD_TIME_TEXT];
      guint64 refused = 0;

      for (guint r = 0; r < OWD_REASONS; r++)
        refused += c->refused[r];
      g_string_append_printf (out,
                              "%-39s %10u %-7s %12" G_GUINT64_FORMAT " %14" G_GUINT64_FORMAT " %10" G_GUINT64_FORMAT
                              " %10" G_GUINT64_FORMAT " %8u %-13s  %s\n",
                              owd_addr_text (&c->key.addr, addr), c->key.domain,
                              c->key.version == 10  ? "IPFIX"
                              : c->key.version == 9 ? "v9"
                                                    : "v5",
                              c->datagrams, c->flows, c->lost, refused, c->sampling,
                              algorithm_text (c->sampling_algorithm), owd_time_text (c->last_ns, time));
    }
}
