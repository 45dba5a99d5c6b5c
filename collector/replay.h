/* SPDX-License-Identifier: Apache-2.0
 *
 * --read: exported datagrams out of captures, into a log or as JSON. The capture's times are the receive times, and
 * they alone make time go on.
 */
#ifndef OWD_REPLAY_H
#define OWD_REPLAY_H

#include "dump.h"
#include "owd-decoder.h"
#include "owd-flowlog.h"

/* paths: NULL-terminated. Exactly one of writer and dump is not NULL. Returns the number of export datagrams, or -1
 * with error set; what was read before has been written all the same. */
gint64 owd_replay (const char *const *paths, const OwdDecoderLimits *limits, OwdLogWriter *writer, OwdDump *dump,
                   GError **error) G_GNUC_WARN_UNUSED_RESULT;

#endif
