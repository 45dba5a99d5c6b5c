/* SPDX-License-Identifier: Apache-2.0
 *
 * From the database's samples to relations of clocks, and back: wiring of store and mesh.
 */
#ifndef OWD_PROFILER_CLOCKS_H
#define OWD_PROFILER_CLOCKS_H

#include "owd-config.h"
#include "owd-store.h"

G_BEGIN_DECLS

/* Reads least delays of a time range, writes what they say of clocks, and appends it to out in words. No samples, or
 * none in both directions: nothing. */
gboolean clocks_relate (OwdStore *store, const OwdConfig *config, OwdTime from_ns, OwdTime to_ns, GString *out,
                        GError **error);

G_END_DECLS

#endif
