/* SPDX-License-Identifier: Apache-2.0
 *
 * The least that a packet can take between two places: light in fibre along the great circle. A floor, never too much:
 * no cable is straight. Radio links can be faster.
 */
#ifndef OWD_LIGHT_H
#define OWD_LIGHT_H

#include "owd-flow.h"

G_BEGIN_DECLS

/* Places in degrees, north and east positive. */
double owd_light_ms (double lat_a, double lon_a, double lat_b, double lon_b);

/* The same of two exporters, in ns; 0: not known where both stand. A function of the settings alone. */
typedef gint64 (*OwdFloorFunc) (const void *user, const OwdStateKey *a, const OwdStateKey *b);

G_END_DECLS

#endif
