/* SPDX-License-Identifier: Apache-2.0
 *
 * What the collector counts, for people and for Prometheus: OpenMetrics text on /metrics, a table of exporters on /.
 */
#ifndef OWD_METRICS_H
#define OWD_METRICS_H

#include "endpoints.h"
#include "fair.h"
#include "owd-decoder.h"
#include "owd-listener.h"
#include "owd-stream.h"

/* One worker's counters at one instant. */
typedef struct {
  GArray *states;    /* of OwdStateCounters */
  GArray *sockets;   /* of OwdListenerSocket; address: borrowed from the listener */
  GArray *endpoints; /* of OwdEndpointCounters; set by the worker */
  GArray *set_back;  /* of OwdFairSource; set by the worker */
  OwdStreamCounters streams;
  guint64 unattributed[OWD_REASONS];
  guint64 records, dropped;            /* taken by the log; refused by its disk */
  gint64 writing_ns, longest_write_ns; /* time that writing the log took; set by the worker */
  OwdDecoderMemory memory;
  guint64 disallowed; /* datagrams from addresses that are not allowed; set by the worker */
} OwdMetrics;

void owd_metrics_init (OwdMetrics *self);
void owd_metrics_clear (OwdMetrics *self);
/* Overwrites what it held. streams: NULL where there are none. Call from the worker's thread. */
void owd_metrics_take (OwdMetrics *self, const OwdDecoder *decoder, const OwdListener *listener,
                       const OwdStreamListener *streams, guint64 records, guint64 dropped);

/* Of the whole program. */
typedef struct {
  guint silent;   /* workers that did not answer */
  gint64 sync_ns; /* how long the last sync of the log took */
  gint64 longest_sync_ns;
} OwdMetricsProgram;

/* workers: n of them. */
void owd_metrics_write_openmetrics (GString *out, const OwdMetricsProgram *program, const OwdMetrics *workers, guint n);
void owd_metrics_write_table (GString *out, const OwdMetrics *workers, guint n);

/* What is left beside the log. max_states: over all workers; since_ns: the program's start. */
gboolean owd_metrics_write_notes (const OwdMetrics *workers, guint n, guint64 max_states, OwdTime since_ns,
                                  OwdTime now_ns, const char *log_dir, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* ---- HTTP -------------------------------------------------------------------------------------- */

typedef struct OwdMetricsServer OwdMetricsServer;

/* Called in the server's thread for each request. table: / was asked for, not /metrics. */
typedef void (*OwdMetricsFunc) (void *user, gboolean table, GString *out);

/* address: "ADDR:PORT"; port 0 takes a free one. Serves one client at a time, in a thread of its own. */
OwdMetricsServer *owd_metrics_server_new (const char *address, OwdMetricsFunc func, void *user,
                                          GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* As bound. */
const char *owd_metrics_server_address (const OwdMetricsServer *self);
void owd_metrics_server_free (OwdMetricsServer *self); /* NULL is fine */

#endif
