/* SPDX-License-Identifier: Apache-2.0
 *
 * The live collector: sockets to log, until a signal ends it.
 *
 * Threads. A worker owns sockets, decoder and appender and shares nothing with other workers but the log writer. The
 * keeper syncs the log and removes what is too old. The main thread waits for signals and does what is due now and
 * then.
 */
#ifndef OWD_LIVE_H
#define OWD_LIVE_H

#include "owd-config.h"
#include "owd-flowlog.h"
#include "settings.h"

/* Workers whose sockets are bound: what may need rights. No thread runs yet. listen: NULL-terminated addresses,
 * ADDR:PORT for UDP, tcp:ADDR:PORT and tls:ADDR:PORT. Returns: (transfer full) of OwdWorker */
GPtrArray *owd_live_bind (OwdConfig *config, const OwdSettingsOverrides *overrides, const char *const *listen,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* workers: of owd_live_bind(). writer: outlives them; log_dir: its directory, where notes are left. signal_fd: of
 * owd_program_signal_fd(), made before. config: read again on SIGHUP; what is in settings.h and what the keeper needs
 * takes effect at once, the rest at the next start. overrides: outlive the call. Returns after an orderly end: sockets
 * drained, everything flushed and synced. */
gboolean owd_live_run (GPtrArray *workers, OwdLogWriter *writer, const char *log_dir, OwdConfig *config,
                       const OwdSettingsOverrides *overrides, int signal_fd, GError **error) G_GNUC_WARN_UNUSED_RESULT;

#endif
