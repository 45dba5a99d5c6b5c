/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OWD_LOG_WALK_H
#define OWD_LOG_WALK_H

#include "owd-flow.h"

typedef void (*OwdLogWalkFunc) (void *user, const OwdHeader *header, const OwdFlow *flow);

/* Every record of a log in order of receive time, partitions merged; second views of translated flows
 * (OWD_FLOW_POST_NAT) are left out, so each exported record comes once. Damaged blocks are passed over with a warning:
 * *ret_damaged counts them. */
gboolean owd_log_walk (const char *dir, OwdLogWalkFunc func, void *user, guint *ret_damaged,
                       GError **error) G_GNUC_WARN_UNUSED_RESULT;

#endif
