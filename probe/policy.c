/* SPDX-License-Identifier: Apache-2.0
 *
 * When and whom: the decisions of the daemon.
 *
 * A test begins on a grid since 1970, so agents need no memory: a restart finds the grid where it was, and what fell
 * into a standstill is not made up for. The grid is shifted by a hash of seed, agent and test: agents with the same
 * file do not ask their common targets at the same moment, and everybody can work out who asks when.
 */
#include "owd-probe.h"

#include <string.h>
#include <xxhash.h>

gint64
owd_probe_policy_offset_ns (guint32 seed, const char *agent, const char *test, gint64 every_ns)
{
  guint64 hash;

  if (every_ns <= 0)
    return 0;
  hash = XXH3_64bits_withSeed (agent, strlen (agent), seed);
  hash = XXH3_64bits_withSeed (test, strlen (test), hash);
  return (gint64) (hash % (guint64) every_ns);
}

OwdTime
owd_probe_policy_next (OwdTime now, gint64 every_ns, gint64 offset_ns)
{
  gint64 into = (now - offset_ns) % every_ns;

  if (into < 0)
    into += every_ns;
  return owd_time_add (now, every_ns - into);
}

static int
compare (gconstpointer a, gconstpointer b, gpointer user)
{
  const OwdProbeDistance *all = *(const OwdProbeDistance *const *) user;
  guint i = *(const guint *) a, k = *(const guint *) b;
  const OwdProbeDistance *x = &all[i], *y = &all[k];

  if (x->hops != y->hops)
    return x->hops < y->hops ? -1 : 1;
  if (x->rtt_ns != y->rtt_ns)
    return x->rtt_ns < y->rtt_ns ? -1 : 1;
  return i < k ? -1 : 1;
}

guint
owd_probe_policy_nearest (const OwdProbeDistance *distances, guint n, guint wanted, guint *ret)
{
  g_autofree guint *order = g_new (guint, MAX (n, 1));
  guint reached = 0;

  for (guint i = 0; i < n; i++)
    if (distances[i].hops > 0)
      order[reached++] = i;
  g_qsort_with_data (order, (gint) reached, sizeof *order, compare, (gpointer) &distances);
  wanted = MIN (wanted, reached);
  memcpy (ret, order, sizeof *ret * wanted);
  return wanted;
}

gint64
owd_probe_policy_pause_ns (guint failures)
{
  return OWD_NS_PER_S << MIN (failures, 8); /* up to some minutes */
}
