/* SPDX-License-Identifier: Apache-2.0
 *
 * A log as one stream: the partitions are merged by the receive time of the headers. Within a partition records stand
 * in order of arrival; a header and the records behind it are one unit of the merge.
 */
#include "log_walk.h"
#include "owd-flowlog.h"

typedef struct {
  OwdLogReader *reader;
  OwdLogBlock block;
  gboolean in_block, over;
  OwdHeader header, next; /* of the records being given; of the unit that follows */
  gboolean has_next;
} Partition;

static void
clear_partition (gpointer data)
{
  Partition *p = data;

  owd_log_reader_free (p->reader);
}

static gboolean
next_block (Partition *p, guint *damaged, GError **error)
{
  for (;;) {
    g_autoptr (GError) trouble = NULL;

    switch (owd_log_reader_next (p->reader, &p->block, &trouble)) {
    case OWD_STATUS_OK:
      p->in_block = TRUE;
      return TRUE;
    case OWD_STATUS_END:
      p->over = TRUE;
      return TRUE;
    case OWD_STATUS_GAP:
      break;
    case OWD_STATUS_CHECKSUM:
      g_warning ("%s", trouble->message);
      (*damaged)++;
      break;
    default:
      g_propagate_error (error, g_steal_pointer (&trouble));
      return FALSE;
    }
  }
}

/* Gives the records behind the current header and stops at the next header, or at the end. */
static gboolean
advance (Partition *p, OwdLogWalkFunc func, void *user, guint *damaged, GError **error)
{
  OwdItemType type;
  OwdFlow flow;

  p->header = p->next;
  p->has_next = FALSE;
  while (!p->has_next && !p->over) {
    if (!p->in_block && !next_block (p, damaged, error))
      return FALSE;
    if (p->over)
      break;
    if (!owd_log_block_next (&p->block, &type, &p->next, &flow))
      p->in_block = FALSE;
    else if (type == OWD_ITEM_HEADER)
      p->has_next = TRUE;
    else if (!(flow.flags & OWD_FLOW_POST_NAT))
      func (user, &p->header, &flow);
  }
  return TRUE;
}

static Partition *
earliest (GArray *partitions)
{
  Partition *first = NULL;

  for (guint i = 0; i < partitions->len; i++) {
    Partition *p = &g_array_index (partitions, Partition, i);

    if (p->has_next && (first == NULL || p->next.recv_ns < first->next.recv_ns))
      first = p;
  }
  return first;
}

gboolean
owd_log_walk (const char *dir, OwdLogWalkFunc func, void *user, guint *ret_damaged, GError **error)
{
  g_autoptr (GArray) partitions = g_array_new (FALSE, TRUE, sizeof (Partition));
  OwdLogInfo info;
  Partition *p;

  *ret_damaged = 0;
  g_array_set_clear_func (partitions, clear_partition);
  if (!owd_log_info (dir, &info, error))
    return FALSE;
  g_array_set_size (partitions, info.partitions);
  for (guint i = 0; i < info.partitions; i++) {
    p = &g_array_index (partitions, Partition, i);
    p->reader = owd_log_reader_open (dir, i, 0, error);
    if (p->reader == NULL || !advance (p, func, user, ret_damaged, error))
      return FALSE;
  }
  while ((p = earliest (partitions)) != NULL)
    if (!advance (p, func, user, ret_damaged, error))
      return FALSE;
  return TRUE;
}
