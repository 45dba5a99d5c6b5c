/* SPDX-License-Identifier: Apache-2.0
 *
 * What every program does the same way: common options, messages on stderr, exit status, orderly end.
 */
#ifndef OWD_PROGRAM_H
#define OWD_PROGRAM_H

#include "owd-config.h"

G_BEGIN_DECLS

/* Adds --config FILE, --check-config, --print-config, --verbose, --version to the context (whose own entries are
 * already there), parses argv and loads the configuration. Installs the log writer: one line per message on stderr,
 * "oneway-collector: warning: text"; debug and info only with --verbose.
 * Returns -1 to go on with *ret_config (transfer full) set, or the status to exit with at once: --version,
 * --check-config ("oneway.conf: fine" or the faults) and usage errors have been answered. */
int owd_program_start (GOptionContext *context, const char *program, int *argc, char ***argv,
                       OwdConfig **ret_config) G_GNUC_WARN_UNUSED_RESULT;

/* An error where words are left that no option took. */
gboolean owd_program_no_arguments (int argc, char **argv, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Blocks SIGINT, SIGTERM and SIGHUP in all threads started later and returns a signalfd for them. -1 on failure. */
int owd_program_signal_fd (void);

/* No new rights from here on, and where the program runs as root, it becomes that user with the user's group alone.
 * user: NULL stays who it is. Call it before threads are started. */
gboolean owd_program_drop_rights (const char *user, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Prints "program: error: message" and returns owd_error_exit_status(). error: (transfer full), NULL: returns 0. */
int owd_program_fail (const char *program, GError *error);

/* systemd's Type=notify: one datagram to $NOTIFY_SOCKET; nothing where there is none. state: "READY=1", ... */
void owd_program_notify (const char *state);

G_END_DECLS

#endif
