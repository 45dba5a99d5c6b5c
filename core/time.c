/* SPDX-License-Identifier: Apache-2.0 */
#include "owd-time.h"

#include <time.h>

char *
owd_time_text (OwdTime t, char *buf)
{
  time_t s;
  gint64 ns;
  struct tm tm;
  gsize n;

  if (t == OWD_TIME_NONE) {
    g_strlcpy (buf, "none", OWD_TIME_TEXT);
    return buf;
  }
  s = (time_t) (t / OWD_NS_PER_S);
  ns = t % OWD_NS_PER_S;
  if (ns < 0) {
    ns += OWD_NS_PER_S;
    s--;
  }
  gmtime_r (&s, &tm);
  n = strftime (buf, OWD_TIME_TEXT, "%Y-%m-%dT%H:%M:%S", &tm);
  g_snprintf (buf + n, (gulong) (OWD_TIME_TEXT - n), ".%09" G_GINT64_FORMAT "Z", ns);
  return buf;
}
