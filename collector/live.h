/* SPDX-License-Identifier: Apache-2.0
 *
 * The live collector: sockets to log, until a signal ends it.
 *
 * Threads. A worker owns sockets, decoder and appender and shares nothing with other workers but the log writer. The
 * keeper syncs the log and removes what is too old. The main thread waits for signals.
 */
#ifndef OWD_LIVE_H
#define OWD_LIVE_H

#include "owd-config.h"
#include "owd-decoder.h"
#include "owd-flowlog.h"

/* Workers whose sockets are bound: what may need rights. No thread runs yet. listen: NULL-terminated addresses,
 * ADDR:PORT for UDP and tcp:ADDR:PORT. limits: for the decoder of each worker. config: outlives the workers. Returns: (transfer full) of OwdWorker */
GPtrArray *owd_live_bind (const OwdConfig *config, const char *const *listen, const OwdDecoderLimits *limits,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* workers: of owd_live_bind(). writer: outlives them. signal_fd: of owd_program_signal_fd(), made before. config: read
 * again on SIGHUP; the keeper's settings take effect at once, others at the next start. Returns after an orderly end:
 * sockets drained, everything flushed and synced. */
gboolean owd_live_run (GPtrArray *workers, OwdLogWriter *writer, OwdConfig *config, int signal_fd,
                       GError **error) G_GNUC_WARN_UNUSED_RESULT;

#endif
