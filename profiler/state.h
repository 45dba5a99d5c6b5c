/* SPDX-License-Identifier: Apache-2.0
 *
 * What a nightly run leaves to the next one: every profile as it stands, and up to where the log was read.
 */
#ifndef OWD_PROFILER_STATE_H
#define OWD_PROFILER_STATE_H

#include "owd-flowlog.h"
#include "owd-profiler.h"

G_BEGIN_DECLS

typedef struct {
  guint64 *offsets;    /* by partition: where to read on */
  guint n_offsets;     /* partitions of the log */
  OwdTime until_ns;    /* receive time of the last header */
  GPtrArray *profiles; /* OwdProfile; freed with the array */
} State;

/* Returns: (transfer full), or NULL with error where there is none, it is damaged, or it belongs to another log or
 * another build: then the log has to be read from its beginning. */
State *state_load (const char *path, const OwdLogInfo *info, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Replaces the file as a whole, or leaves the old one. */
gboolean state_save (const char *path, const OwdLogInfo *info, const State *state, GError **error);
void state_free (State *state); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (State, state_free)

G_END_DECLS

#endif
