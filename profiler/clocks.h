/* SPDX-License-Identifier: Apache-2.0
 *
 * From the database's samples to relations of clocks, and back: wiring of store and mesh.
 */
#ifndef OWD_PROFILER_CLOCKS_H
#define OWD_PROFILER_CLOCKS_H

#include "owd-config.h"
#include "owd-store.h"

G_BEGIN_DECLS

/* The clock of a point was moved, or may have been, and not after that. */
typedef struct {
  char *point;
  OwdTime at_ns; /* the first header behind it was received then */
} OwdClockMove;

/* Reads least delays of a time range, writes what they say of clocks, and appends it to out in words. What came before
 * a move of a clock says nothing of that clock. No samples, or none in both directions: nothing. */
gboolean clocks_relate (OwdStore *store, const OwdConfig *config, OwdTime from_ns, OwdTime to_ns,
                        const OwdClockMove *moves, guint n_moves, GString *out, GError **error);

G_END_DECLS

#endif
