/* SPDX-License-Identifier: Apache-2.0
 *
 * One worker of the live collector: sockets, decoder and appender in a thread of its own. It shares nothing with other
 * workers but the log's writer.
 */
#ifndef OWD_WORKER_H
#define OWD_WORKER_H

#include "metrics.h"
#include "owd-flowlog.h"
#include "owd-stream.h"
#include "settings.h"

typedef struct OwdWorker OwdWorker;

typedef struct {
  const char *const *udp, *const *tcp, *const *tls; /* addresses; borrowed for _new; NULL-terminated */
  gsize receive_buffer;                             /* bytes, per socket */
  guint workers;                                    /* how many there will be */
  OwdSteering *steering;                            /* of all of them */
} OwdWorkerOptions;

/* Sockets are bound, nothing is received yet. number: 0 for the first, and so on. */
OwdWorker *owd_worker_new (const OwdWorkerOptions *options, guint number, OwdSettings *settings,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* (transfer none) Those that it was made with; before _start only. */
OwdSettings *owd_worker_settings (const OwdWorker *self);
/* From any thread; they count from the worker's next turn on. */
void owd_worker_set (OwdWorker *self, OwdSettings *settings);
/* writer: borrowed. */
void owd_worker_start (OwdWorker *self, OwdLogWriter *writer);
/* For its addresses; counters only before _start and after _stop. */
const OwdListener *owd_worker_listener (const OwdWorker *self);
/* Likewise; NULL where it has no TCP address. */
const OwdStreamListener *owd_worker_streams (const OwdWorker *self);
/* The worker's counters now, from any thread, one at a time. FALSE: it did not answer within two seconds: its disk holds
 * it up. */
gboolean owd_worker_metrics (OwdWorker *self, OwdMetrics *ret_metrics) G_GNUC_WARN_UNUSED_RESULT;
/* Takes what waits in the sockets, writes it, ends the thread, says what there was. */
void owd_worker_stop (OwdWorker *self);
void owd_worker_free (OwdWorker *self); /* stopped, or never started; NULL is fine */

#endif
