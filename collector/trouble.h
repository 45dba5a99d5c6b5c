/* SPDX-License-Identifier: Apache-2.0
 *
 * Trouble that lasts: said when it begins, each minute, and when it is over. Over means that nothing failed for a while:
 * a disk without room still takes a small block now and then.
 */
#ifndef OWD_TROUBLE_H
#define OWD_TROUBLE_H

#include <glib.h>

#define OWD_TROUBLE_REPEAT_US (60 * G_TIME_SPAN_SECOND)
#define OWD_TROUBLE_OVER_US (2 * G_TIME_SPAN_SECOND)

/* Zeroed: no trouble. */
typedef struct {
  gboolean lasts;
  gint64 said_us, failed_us; /* monotonic */
} OwdTrouble;

/* Something failed. Returns whether it is time to speak of it. */
static inline gboolean
owd_trouble_is_news (OwdTrouble *self)
{
  gint64 now_us = g_get_monotonic_time ();

  self->failed_us = now_us;
  if (self->lasts && now_us - self->said_us < OWD_TROUBLE_REPEAT_US)
    return FALSE;
  self->lasts = TRUE;
  self->said_us = now_us;
  return TRUE;
}

/* Something succeeded. Returns whether that is the end of trouble. */
static inline gboolean
owd_trouble_is_over (OwdTrouble *self)
{
  if (!self->lasts || g_get_monotonic_time () - self->failed_us < OWD_TROUBLE_OVER_US)
    return FALSE;
  self->lasts = FALSE;
  return TRUE;
}

#endif
