/* SPDX-License-Identifier: Apache-2.0 */
#include "late.h"

#include <string.h>

static gsize
cost (gsize len)
{
  return sizeof (OwdLateSet) + len + sizeof (GList) + 2 * OWD_MEMORY_EACH;
}

void
owd_late_init (OwdLate *self, OwdMemory *memory, gsize max_bytes, guint64 timeout_ns)
{
  *self = (OwdLate){ .sets = G_QUEUE_INIT,
                     .memory = memory,
                     .max_bytes = max_bytes,
                     .timeout_ns = (OwdTime) MIN (timeout_ns, (guint64) G_MAXINT64) };
}

static void
uncharge (OwdLate *self, const OwdLateSet *set)
{
  self->bytes -= cost (set->len);
  owd_memory_give (self->memory, cost (set->len));
}

static void
drop_oldest (OwdLate *self)
{
  OwdLateSet *set = g_queue_pop_head (&self->sets);

  uncharge (self, set);
  g_free (set);
}

guint
owd_late_clear (OwdLate *self)
{
  guint dropped = 0;

  for (; !g_queue_is_empty (&self->sets); dropped++)
    drop_oldest (self);
  return dropped;
}

guint
owd_late_keep (OwdLate *self, const OwdHeader *header, guint64 message, guint16 set_id, const guint8 *data, gsize len)
{
  OwdLateSet *set;
  guint dropped = 0;

  if (len > G_MAXUINT16 || cost (len) > self->max_bytes)
    return 1;
  while (!g_queue_is_empty (&self->sets)
         && (self->bytes + cost (len) > self->max_bytes || !owd_memory_fits (self->memory, cost (len)))) {
    drop_oldest (self);
    dropped++;
  }
  if (!owd_memory_fits (self->memory, cost (len)))
    return dropped + 1;
  set = g_malloc (sizeof *set + len);
  set->header = *header;
  set->header.flags |= OWD_HEADER_REPLAY;
  set->message = message;
  set->set_id = set_id;
  set->len = (guint16) len;
  memcpy (set->data, data, len);
  g_queue_push_tail (&self->sets, set);
  self->bytes += cost (len);
  owd_memory_take (self->memory, cost (len));
  return dropped;
}

guint
owd_late_expire (OwdLate *self, OwdTime now_ns)
{
  guint dropped = 0;

  while (!g_queue_is_empty (&self->sets)) {
    const OwdLateSet *set = g_queue_peek_head (&self->sets);

    if (now_ns <= owd_time_add (set->header.recv_ns, self->timeout_ns))
      break;
    drop_oldest (self);
    dropped++;
  }
  return dropped;
}

OwdLateSet *
owd_late_take (OwdLate *self, gboolean (*wanted) (void *user, guint16 set_id), void *user)
{
  for (GList *l = self->sets.head; l != NULL; l = l->next) {
    OwdLateSet *set = l->data;

    if (!wanted (user, set->set_id))
      continue;
    g_queue_delete_link (&self->sets, l);
    uncharge (self, set);
    return set;
  }
  return NULL;
}
