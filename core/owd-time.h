/* SPDX-License-Identifier: Apache-2.0
 *
 * Times and their signs, said once:
 *
 *   OwdTime   signed nanoseconds since 1970-01-01T00:00:00 UTC, leap seconds as POSIX has them
 *   delay     positive: seen later downstream
 *   offset    positive: that clock is ahead of the reference
 *   skew      positive: that clock runs fast, in ppm
 *
 * Engines never read a clock. Kernel receive times, header times of exporters and raw stamps live in
 * different clock domains; only clock/ brings them together.
 */
#ifndef OWD_TIME_H
#define OWD_TIME_H

#include <glib.h>

G_BEGIN_DECLS

typedef gint64 OwdTime;

#define OWD_TIME_NONE G_MININT64 /* "no such time"; compares lower than every time */
#define OWD_NS_PER_US G_GINT64_CONSTANT (1000)
#define OWD_NS_PER_MS G_GINT64_CONSTANT (1000000)
#define OWD_NS_PER_S G_GINT64_CONSTANT (1000000000)

/* Signed distance a - b of two sysUptime readings, right across the wrap at 2^32 ms (49.7 days). */
static inline gint64
owd_uptime_diff_ms (guint32 a, guint32 b)
{
  return (gint32) (a - b);
}

/* a + b held at the ends of the range instead of overflowing. OWD_TIME_NONE stays OWD_TIME_NONE. */
static inline OwdTime
owd_time_add (OwdTime a, gint64 b)
{
  OwdTime sum;

  if (a == OWD_TIME_NONE)
    return a;
  if (__builtin_add_overflow (a, b, &sum) || sum == OWD_TIME_NONE)
    return b < 0 ? G_MININT64 + 1 : G_MAXINT64;
  return sum;
}

/* ISO 8601 in UTC with nanoseconds, e.g. 2026-11-22T06:46:54.851021735Z.
 * buf: at least OWD_TIME_TEXT bytes. Returns: buf. */
#define OWD_TIME_TEXT 40
char *owd_time_text (OwdTime t, char *buf);

G_END_DECLS

#endif
