/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <stdio.h>
#include <string.h>

#define MS OWD_NS_PER_MS
#define S OWD_NS_PER_S
#define MIN_NS (60 * OWD_NS_PER_S)
#define H (60 * MIN_NS)
#define D (24 * H)

static const gint64 STEPS[]
    = { MS,          2 * MS,      5 * MS,      10 * MS, 20 * MS, 50 * MS, 100 * MS, 200 * MS,   500 * MS,
        S,           2 * S,       5 * S,       10 * S,  15 * S,  30 * S,  MIN_NS,   2 * MIN_NS, 5 * MIN_NS,
        10 * MIN_NS, 15 * MIN_NS, 30 * MIN_NS, H,       2 * H,   3 * H,   6 * H,    12 * H,     D,
        2 * D,       7 * D,       14 * D,      28 * D,  56 * D,  112 * D, 364 * D };

gint64
nice_step (gint64 at_least_ns)
{
  for (gsize i = 0; i < G_N_ELEMENTS (STEPS); i++)
    if (STEPS[i] >= at_least_ns)
      return STEPS[i];
  return (at_least_ns / (364 * D) + 1) * 364 * D;
}

char *
step_text (gint64 step_ns)
{
  static const struct {
    gint64 ns;
    const char *name;
  } units[] = { { D, "d" }, { H, "h" }, { MIN_NS, "min" }, { S, "s" }, { MS, "ms" } };

  for (gsize i = 0; i < G_N_ELEMENTS (units); i++)
    if (step_ns % units[i].ns == 0)
      return g_strdup_printf ("%" G_GINT64_FORMAT " %s", step_ns / units[i].ns, units[i].name);
  return g_strdup_printf ("%" G_GINT64_FORMAT " us", step_ns / OWD_NS_PER_US);
}

OwdTime
floor_to (OwdTime t, gint64 step_ns)
{
  gint64 rest = t % step_ns;

  return owd_time_add (t, -(rest < 0 ? rest + step_ns : rest));
}

OwdTime
parse_instant (const char *text)
{
  g_autoptr (GDateTime) at = text != NULL ? g_date_time_new_from_iso8601 (text, NULL) : NULL;

  if (at == NULL)
    return OWD_TIME_NONE;
  return g_date_time_to_unix (at) * S + g_date_time_get_microsecond (at) * OWD_NS_PER_US;
}

char *
clock_text (OwdTime t, gint64 step_ns)
{
  char iso[OWD_TIME_TEXT]; /* 2026-11-22T06:46:54.851021735Z */

  owd_time_text (t, iso);
  if (step_ns % D == 0)
    return g_strndup (iso + 5, 5);
  if (step_ns % MIN_NS == 0)
    return g_strndup (iso + 11, 5);
  if (step_ns % S == 0)
    return g_strndup (iso + 11, 8);
  return g_strndup (iso + 11, 12);
}
