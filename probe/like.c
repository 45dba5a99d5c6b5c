/* SPDX-License-Identifier: Apache-2.0
 *
 * Traffic like that of a capture: of its UDP flow with the most packets (source and destination, address and port), the
 * median payload and the median time between packets.
 *
 * Cost: one pass, a table of flows; captures with more than FLOWS_MAX of them are judged by those that came first.
 */
#include "owd-capture.h"
#include "sender.h"

#include <string.h>

enum { FLOWS_MAX = 65536 };

typedef struct {
  OwdAddr src, dst;
  guint16 sport, dport;
} FlowKey;

typedef struct {
  FlowKey key;
  OwdTime last;
  GArray *gaps;  /* of gint64, ns */
  GArray *sizes; /* of gint64, bytes */
} Flow;

static guint
hash_key (gconstpointer data)
{
  const guint8 *p = data;
  guint h = 2166136261u;

  for (gsize i = 0; i < sizeof (FlowKey); i++)
    h = (h ^ p[i]) * 16777619u;
  return h;
}

static gboolean
equal_keys (gconstpointer a, gconstpointer b)
{
  return memcmp (a, b, sizeof (FlowKey)) == 0;
}

static void
free_flow (gpointer data)
{
  Flow *flow = data;

  g_array_unref (flow->gaps);
  g_array_unref (flow->sizes);
  g_free (flow);
}

static void
add_packet (GHashTable *flows, OwdTime time, const OwdUdp *udp)
{
  FlowKey key = { .src = udp->src, .dst = udp->dst, .sport = udp->sport, .dport = udp->dport };
  Flow *flow = g_hash_table_lookup (flows, &key);
  gint64 size = (gint64) udp->len, gap;

  if (flow == NULL) {
    if (g_hash_table_size (flows) == FLOWS_MAX)
      return;
    flow = g_new0 (Flow, 1);
    *flow = (Flow){ .key = key,
                    .gaps = g_array_new (FALSE, FALSE, sizeof gap),
                    .sizes = g_array_new (FALSE, FALSE, sizeof size) };
    g_hash_table_insert (flows, &flow->key, flow);
  } else {
    gap = time - flow->last;
    g_array_append_val (flow->gaps, gap);
  }
  g_array_append_val (flow->sizes, size);
  flow->last = time;
}

static int
compare (gconstpointer a, gconstpointer b)
{
  gint64 x = *(const gint64 *) a, y = *(const gint64 *) b;

  return (x > y) - (x < y);
}

static gint64
median (GArray *values)
{
  g_array_sort (values, compare);
  return g_array_index (values, gint64, values->len / 2);
}

static gboolean
read_flows (const char *path, GHashTable *flows, GError **error)
{
  g_autoptr (OwdCapture) capture = owd_capture_open (path, error);
  g_autoptr (GError) cut = NULL;
  OwdCapturePacket packet;
  OwdStatus status;
  OwdUdp udp;

  if (capture == NULL)
    return FALSE;
  while ((status = owd_capture_next (capture, &packet, &cut)) == OWD_STATUS_OK)
    if (packet.time_ns != OWD_TIME_NONE
        && owd_packet_udp (packet.link_type, packet.data, packet.caplen, packet.wirelen, &udp) == OWD_PACKET_UDP)
      add_packet (flows, packet.time_ns, &udp);
  if (status == OWD_STATUS_END || status == OWD_STATUS_SHORT)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&cut));
  return FALSE;
}

gboolean
owd_probe_like (const char *path, OwdProbeLike *ret, GError **error)
{
  g_autoptr (GHashTable) flows = g_hash_table_new_full (hash_key, equal_keys, NULL, free_flow);
  char src[OWD_ADDR_TEXT], dst[OWD_ADDR_TEXT];
  Flow *most = NULL;
  GHashTableIter iter;
  gpointer value;

  if (!read_flows (path, flows, error))
    return FALSE;
  g_hash_table_iter_init (&iter, flows);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    Flow *flow = value;

    if (most == NULL || flow->sizes->len > most->sizes->len
        || (flow->sizes->len == most->sizes->len && memcmp (&flow->key, &most->key, sizeof flow->key) < 0))
      most = flow;
  }
  if (most == NULL || most->gaps->len < 2) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "--like %s: no UDP flow of three packets or more in it", path);
    return FALSE;
  }
  *ret
      = (OwdProbeLike){ .interval_ns = MAX (median (most->gaps), 1),
                        .size = (guint) median (most->sizes),
                        .packets = most->sizes->len,
                        .flow = g_strdup_printf ("%s:%u to %s:%u", owd_addr_text (&most->key.src, src), most->key.sport,
                                                 owd_addr_text (&most->key.dst, dst), most->key.dport) };
  return TRUE;
}
