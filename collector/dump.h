/* SPDX-License-Identifier: Apache-2.0
 *
 * Flow records as JSON, one object per line. Keys, units and absence: docs/fields.md.
 */
#ifndef OWD_DUMP_H
#define OWD_DUMP_H

#include "geo.h"

typedef struct OwdDump OwdDump;

/* fd: borrowed. geo: (transfer full), looked at now and then; NULL: places are not told. */
OwdDump *owd_dump_new (int fd, OwdGeoWatch *geo);
/* One object. After a write error: nothing; owd_dump_finish() tells. */
void owd_dump_flow (OwdDump *self, const OwdHeader *header, const OwdFlow *flow);
guint64 owd_dump_records (const OwdDump *self);
/* Writes what is buffered. */
void owd_dump_flush (OwdDump *self);
/* The same at the end. FALSE where any write failed. */
gboolean owd_dump_finish (OwdDump *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void owd_dump_free (OwdDump *self); /* NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdDump, owd_dump_free)

#endif
