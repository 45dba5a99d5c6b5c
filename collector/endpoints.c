/* SPDX-License-Identifier: Apache-2.0
 *
 * Every sixteenth record would be an alias of exporters that fill a datagram with sixteen; so chance decides, from a
 * generator that begins the same each time.
 *
 * Cost: a multiplication per record; for one in 16 four walks through a tree, about 1 us.
 */
#include "endpoints.h"

#include <string.h>

struct OwdEndpoints {
  guint64 random;
  GHashTable *by_place; /* OwdPlace in the counters to them */
  OwdEndpointCounters rest;
};

static guint
hash_place (gconstpointer p)
{
  const OwdPlace *place = p;

  return place->asn * 31 + (guint) place->country[0] * 256 + (guint) place->country[1];
}

static gboolean
equal_place (gconstpointer a, gconstpointer b)
{
  const OwdPlace *x = a, *y = b;

  return x->asn == y->asn && memcmp (x->country, y->country, sizeof x->country) == 0;
}

OwdEndpoints *
owd_endpoints_new (void)
{
  OwdEndpoints *self = g_new0 (OwdEndpoints, 1);

  self->random = 1;
  self->rest.is_rest = TRUE;
  self->by_place = g_hash_table_new_full (hash_place, equal_place, NULL, g_free);
  return self;
}

static OwdEndpointCounters *
find (OwdEndpoints *self, const OwdPlace *place)
{
  OwdEndpointCounters *c = g_hash_table_lookup (self->by_place, place);

  if (c != NULL)
    return c;
  if (g_hash_table_size (self->by_place) >= OWD_ENDPOINTS_MAX)
    return &self->rest;
  c = g_new0 (OwdEndpointCounters, 1);
  c->place = *place;
  g_hash_table_insert (self->by_place, &c->place, c);
  return c;
}

void
owd_endpoints_add (OwdEndpoints *self, const OwdGeo *geo, const OwdFlow *flow)
{
  const OwdAddr *const addrs[OWD_ENDPOINT_SIDES] = { &flow->src, &flow->dst };

  self->random = self->random * G_GUINT64_CONSTANT (6364136223846793005) + G_GUINT64_CONSTANT (1442695040888963407);
  if ((self->random >> 33) % OWD_ENDPOINTS_ONE_IN != 0)
    return;
  for (guint side = 0; side < OWD_ENDPOINT_SIDES; side++) {
    OwdEndpointCounters *c;
    OwdPlace place;

    owd_geo_lookup (geo, addrs[side], &place);
    c = find (self, &place);
    c->records[side] += OWD_ENDPOINTS_ONE_IN;
    c->octets[side] += OWD_ENDPOINTS_ONE_IN * flow->octets;
  }
}

void
owd_endpoints_take (const OwdEndpoints *self, GArray *to)
{
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, self->by_place);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    g_array_append_vals (to, value, 1);
  g_array_append_val (to, self->rest);
}

void
owd_endpoints_free (OwdEndpoints *self)
{
  if (self == NULL)
    return;
  g_hash_table_unref (self->by_place);
  g_free (self);
}
