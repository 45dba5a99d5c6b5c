/* SPDX-License-Identifier: Apache-2.0
 *
 * Who holds how much of a bounded memory. Accounts form a tree of two levels: the decoder's, and one per exporter
 * address, so that no address takes it all. What is charged is what was asked of the allocator and OWD_MEMORY_EACH a piece.
 */
#ifndef OWD_MEMORY_H
#define OWD_MEMORY_H

#include <glib.h>

G_BEGIN_DECLS

#define OWD_MEMORY_EACH 32 /* the allocator's own, and places in hash tables, per piece */

typedef struct OwdMemory OwdMemory;
struct OwdMemory {
  OwdMemory *parent; /* NULL: the whole */
  gsize used, max;
};

static inline gboolean
owd_memory_fits (const OwdMemory *self, gsize bytes)
{
  for (; self != NULL; self = self->parent)
    if (self->used + bytes > self->max)
      return FALSE;
  return TRUE;
}

static inline void
owd_memory_take (OwdMemory *self, gsize bytes)
{
  for (; self != NULL; self = self->parent)
    self->used += bytes;
}

static inline void
owd_memory_give (OwdMemory *self, gsize bytes)
{
  for (; self != NULL; self = self->parent)
    self->used -= bytes;
}

G_END_DECLS

#endif
