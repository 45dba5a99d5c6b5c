/* SPDX-License-Identifier: Apache-2.0
 *
 * What the collector counts, left beside the log (file collector.notes) for who reads it: the log itself tells nothing
 * of what never came or could not be read. A snapshot, replaced whole; nothing that is computed from the log depends on
 * it.
 */
#ifndef OWD_LOG_NOTES_H
#define OWD_LOG_NOTES_H

#include "owd-flow.h"

G_BEGIN_DECLS

/* Counters since the collector's start. */
typedef struct {
  OwdTime since_ns, at_ns; /* its start; this snapshot */
  guint64 states, max_states;
  guint64 kernel_dropped;           /* datagrams that found the receive buffer full */
  guint64 buffer_asked, buffer_got; /* bytes; of the socket that got least of what was asked */
  guint64 disallowed;               /* datagrams from addresses that are not allowed */
  guint64 unattributed;             /* refused, and of no exporter state */
  guint64 over_limit;               /* of these, because of max_states or memory */
  guint64 log_dropped;              /* records that the log's disk refused */
  guint64 memory_used, memory_max;  /* bytes of exporter states, templates and kept data sets; their limit */
  guint64 memory_refused;           /* states and templates that there was no memory for */
} OwdLogCollectorNote;

typedef struct {
  OwdStateKey key;
  guint64 datagrams, records;
  guint64 lost; /* by sequence gaps: datagrams for version 9, else records */
  guint64 reordered, restarts;
  guint64 given_up; /* data sets whose template did not come in time */
  guint64 malformed;
  guint64 over_limit;
  gint64 clock_lag_ns; /* last datagram's receive time minus its export time, whole seconds but for v5 */
} OwdLogExporterNote;

/* dir: of the log. Not synced: after a power failure it may be an older one. */
gboolean owd_log_notes_write (const char *dir, const OwdLogCollectorNote *collector,
                              const OwdLogExporterNote *exporters, gsize n, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Returns: (transfer full) GArray of OwdLogExporterNote, or NULL: there is none, or none that makes sense. */
GArray *owd_log_notes_read (const char *dir, OwdLogCollectorNote *ret_collector);

G_END_DECLS

#endif
