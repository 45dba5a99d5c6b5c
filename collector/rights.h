/* SPDX-License-Identifier: Apache-2.0
 *
 * Root is needed for a low port and a large receive buffer, and for nothing behind them.
 */
#ifndef OWD_RIGHTS_H
#define OWD_RIGHTS_H

#include <glib.h>

/* Gives up the right to new rights. Where the program runs as root and user is not "", makes the log's directory, the
 * user's, if there is none, and becomes that user. Call it when sockets are bound, before the log is opened and before
 * threads are started. */
gboolean owd_rights_drop (const char *user, const char *log_dir, GError **error) G_GNUC_WARN_UNUSED_RESULT;

#endif
