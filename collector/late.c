/* SPDX-License-Identifier: Apache-2.0 */
#include "late.h"

#include <string.h>

static gsize
cost (gsize len)
{
  return sizeof (OwdLateSet) + len;
}

void
owd_late_init (OwdLate *self, gsize max_bytes, guint64 timeout_ns)
{
  *self = (OwdLate){ .sets = G_QUEUE_INIT,
                     .max_bytes = max_bytes,
                     .timeout_ns = (OwdTime) MIN (timeout_ns, (guint64) G_MAXINT64) };
}

void
owd_late_clear (OwdLate *self)
{
  g_queue_clear_full (&self->sets, g_free);
  self->bytes = 0;
}

static void
drop_oldest (OwdLate *self)
{
  OwdLateSet *set = g_queue_pop_head (&self->sets);

  self->bytes -= cost (set->len);
  g_free (set);
}

guint
owd_late_keep (OwdLate *self, const OwdHeader *header, guint64 message, guint16 set_id, const guint8 *data, gsize len)
{
  OwdLateSet *set;
  guint dropped = 0;

  if (len > G_MAXUINT16 || cost (len) > self->max_bytes)
    return 1;
  for (; self->bytes + cost (len) > self->max_bytes; dropped++)
    drop_oldest (self);
  set = g_malloc (cost (len));
  set->header = *header;
  set->header.flags |= OWD_HEADER_REPLAY;
  set->message = message;
  set->set_id = set_id;
  set->len = (guint16) len;
  memcpy (set->data, data, len);
  g_queue_push_tail (&self->sets, set);
  self->bytes += cost (len);
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
    self->bytes -= cost (set->len);
    return set;
  }
  return NULL;
}
