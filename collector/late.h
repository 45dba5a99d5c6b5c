/* SPDX-License-Identifier: Apache-2.0
 *
 * Data sets whose template is not known yet, kept with the header of their message until it comes. Bounded in bytes
 * and time; the oldest give way.
 */
#ifndef OWD_LATE_H
#define OWD_LATE_H

#include "memory.h"
#include "owd-flow.h"

G_BEGIN_DECLS

typedef struct {
  OwdHeader header; /* of the message, with OWD_HEADER_REPLAY */
  guint64 message;  /* number of that message: sets of one message come with one header */
  guint16 set_id;
  guint16 len;
  guint8 data[]; /* the set without its header */
} OwdLateSet;

typedef struct {
  GQueue sets; /* OwdLateSet, oldest first */
  gsize bytes, max_bytes;
  OwdTime timeout_ns;
  OwdMemory *memory; /* borrowed; is charged */
} OwdLate;

void owd_late_init (OwdLate *self, OwdMemory *memory, gsize max_bytes, guint64 timeout_ns);
/* Returns: sets given up. */
guint owd_late_clear (OwdLate *self);
/* Keeps a copy. Returns: sets given up for lack of room, the new one included where it can never fit. */
guint owd_late_keep (OwdLate *self, const OwdHeader *header, guint64 message, guint16 set_id, const guint8 *data,
                     gsize len) G_GNUC_WARN_UNUSED_RESULT;
/* Gives up what is too old. Returns: sets given up. */
guint owd_late_expire (OwdLate *self, OwdTime now_ns) G_GNUC_WARN_UNUSED_RESULT;
/* (transfer full) The oldest set that wanted() accepts, or NULL. Free with g_free(). */
OwdLateSet *owd_late_take (OwdLate *self, gboolean (*wanted) (void *user, guint16 set_id), void *user);

G_END_DECLS

#endif
