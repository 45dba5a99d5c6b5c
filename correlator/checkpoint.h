/* SPDX-License-Identifier: Apache-2.0
 *
 * Checkpoints of one partition's correlator in a file, so that a restart replays seconds of log, not days.
 *
 * A checkpoint is only a short cut: samples, offset and watermark are committed in the database, and what lies between
 * a checkpoint and the committed offset is replayed without being delivered again. So a checkpoint that is missing,
 * damaged, or further than the database (another database, an older backup) is left aside, and an older one or the
 * log's beginning serves.
 */
#ifndef OWD_CHECKPOINT_H
#define OWD_CHECKPOINT_H

#include "owd-correlator.h"

/* Writes DIR/UUID-pNNN.checkpoint by way of a temporary file: whole or not at all. *ret_bytes: its size. */
gboolean checkpoint_save (const char *dir, const char *uuid, guint part, guint64 offset, const OwdCorrelator *engine,
                          guint64 *ret_bytes, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Loads it into engine and gives the log offset where the engine goes on: 0 and a fresh engine where there is no
 * usable one at or before `limit`; the reason is then one line of information in the log. */
guint64 checkpoint_load (const char *dir, const char *uuid, guint part, guint64 limit, OwdCorrelator *engine);

#endif
