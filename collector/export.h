/* SPDX-License-Identifier: Apache-2.0
 *
 * Flow records as an IPFIX file (RFC 5655), for other people's tools. Elements: docs/formats.md.
 */
#ifndef OWD_EXPORT_H
#define OWD_EXPORT_H

#include "owd-flow.h"

typedef struct OwdExport OwdExport;

/* path: overwritten. Returns: (transfer full), or NULL with error. */
OwdExport *owd_export_new (const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* After a failure: nothing; owd_export_finish() tells. */
void owd_export_flow (OwdExport *self, const OwdHeader *header, const OwdFlow *flow);
guint64 owd_export_records (const OwdExport *self);
/* Writes what is buffered and closes the file. FALSE where anything failed. */
gboolean owd_export_finish (OwdExport *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void owd_export_free (OwdExport *self); /* NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdExport, owd_export_free)

#endif
