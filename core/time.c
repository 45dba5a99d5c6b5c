/* SPDX-License-Identifier: Apache-2.0 */
#include "owd-time.h"

#include <stdio.h>
#include <time.h>

char *
owd_time_text (OwdTime t, char *buf)
{
  time_t s;
  gint64 ns;
  struct tm tm;

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
  (void) snprintf (buf, OWD_TIME_TEXT, "%04d-%02d-%02dT%02d:%02d:%02d.%09dZ", tm.tm_year + 1900, tm.tm_mon + 1,
                   tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int) ns);
  return buf;
}
