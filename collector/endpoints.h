/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the endpoints of flows are: records and octets by autonomous system and country. Of OWD_ENDPOINTS_ONE_IN
 * records one is looked up, chosen by chance, and counts for all of them: what comes out is an estimate, and cheap.
 */
#ifndef OWD_ENDPOINTS_H
#define OWD_ENDPOINTS_H

#include "geo.h"

#define OWD_ENDPOINTS_ONE_IN 16
/* Places told apart; further ones count as one. */
#define OWD_ENDPOINTS_MAX 2048

typedef enum { OWD_ENDPOINT_SRC, OWD_ENDPOINT_DST, OWD_ENDPOINT_SIDES } OwdEndpointSide;

typedef struct {
  OwdPlace place;
  gboolean is_rest; /* of no place in particular */
  guint64 records[OWD_ENDPOINT_SIDES], octets[OWD_ENDPOINT_SIDES];
} OwdEndpointCounters;

typedef struct OwdEndpoints OwdEndpoints;

OwdEndpoints *owd_endpoints_new (void);
void owd_endpoints_add (OwdEndpoints *self, const OwdGeo *geo, const OwdFlow *flow);
/* Appends OwdEndpointCounters. */
void owd_endpoints_take (const OwdEndpoints *self, GArray *to);
void owd_endpoints_free (OwdEndpoints *self); /* NULL is fine */

#endif
