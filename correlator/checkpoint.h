/* SPDX-License-Identifier: Apache-2.0
 *
 * Checkpoints of one partition's correlator in a file, so that a restart replays seconds of log, not days.
 *
 * A checkpoint is only a short cut: samples, offset and watermark are committed in the database, and what lies between
 * a checkpoint and the committed offset is replayed without being delivered again. It holds nothing but what follows
 * from the log, so correlators that fill several databases from one log may share it. One that is missing, damaged, or
 * further than the database (another database, an older backup) is left aside, and the log's beginning serves.
 */
#ifndef OWD_CHECKPOINT_H
#define OWD_CHECKPOINT_H

#include "owd-correlator.h"
#include "owd-store.h"

/* Writes DIR/UUID-pNNN.checkpoint by way of a temporary file: whole or not at all. *ret_bytes: its size. While another
 * correlator writes the same one this is done, too. */
gboolean checkpoint_save (const char *dir, const char *uuid, guint part, guint64 offset, const OwdCorrelator *engine,
                          guint64 *ret_bytes, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Loads it into engine and gives the log offset where the engine goes on: 0 and a fresh engine where there is none
 * that is usable and not ahead of `limit`, what the database has. What happened is one line of information. */
guint64 checkpoint_load (const char *dir, const char *uuid, guint part, const OwdMark *limit, OwdCorrelator *engine);

#endif
