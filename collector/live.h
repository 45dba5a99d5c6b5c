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

/* signal_fd: of owd_program_signal_fd(), made before. listen: NULL-terminated addresses. limits: for the decoder of
 * each worker. config: read again on SIGHUP; the keeper's settings take effect at once, others at the next start.
 * Returns after an orderly end: sockets drained, everything flushed and synced. */
gboolean owd_live_run (OwdLogWriter *writer, OwdConfig *config, const char *const *listen,
                       const OwdDecoderLimits *limits, int signal_fd, GError **error) G_GNUC_WARN_UNUSED_RESULT;

#endif
