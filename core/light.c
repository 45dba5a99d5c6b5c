/* SPDX-License-Identifier: Apache-2.0 */
#include "owd-light.h"

#include <math.h>

#define EARTH_KM 6371.0
#define FIBRE_MS_PER_KM 0.0049 /* 4.9 us */

double
owd_light_ms (double lat_a, double lon_a, double lat_b, double lon_b)
{
  double a = lat_a * G_PI / 180, b = lat_b * G_PI / 180, dlon = (lon_b - lon_a) * G_PI / 180;
  double h = pow (sin ((b - a) / 2), 2) + cos (a) * cos (b) * pow (sin (dlon / 2), 2);

  return 2 * EARTH_KM * asin (sqrt (CLAMP (h, 0, 1))) * FIBRE_MS_PER_KM;
}
