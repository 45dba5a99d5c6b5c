/* SPDX-License-Identifier: Apache-2.0 */
#include "owd-pace.h"

#define PARTS 4 /* of max_lag: a window, and how near the end nothing is cut; so many windows for a small change */
#define SHORTEST_US (1 * G_USEC_PER_SEC)
#define LONGEST_US (30 * G_USEC_PER_SEC)
#define KEEPS_UP 1.05     /* log time in that time: wanted near the end, */
#define CATCHES_UP 1.25   /* and max_lag away */
#define LEAST_CHANGE 1.06 /* more than the engine's own, which would not follow (shed.c) */
#define SURE 1.5          /* so large a change is made after one window */
#define MOST_CUT 0.4      /* in one step: a window may have had a stall in it */
#define MOST_GROWTH 4
#define LEAST_SHARE 0.001

void
owd_pace_init (OwdPace *self, gint64 max_lag_ns, double share)
{
  *self = (OwdPace){ .max_lag_ns = max_lag_ns, .share = share, .changed = OWD_TIME_NONE };
}

static double
wanted (const OwdPace *self, gint64 lag_ns)
{
  double near = 1.0 / PARTS, lag = CLAMP ((double) lag_ns / (double) self->max_lag_ns, near, 1);

  return KEEPS_UP + (CATCHES_UP - KEEPS_UP) * (lag - near) / (1 - near);
}

/* By which factor the share should change, after a window. */
static double
change_wanted (const OwdPace *self, const OwdPaceMark *mark, gint64 lag_ns)
{
  gint64 worked_us = mark->now_us - self->began_us - (mark->waited_us - self->waited_us);
  double speed = (double) (mark->log_time - self->log_time) / 1000 / (double) MAX (worked_us, 1);

  if (mark->at_end && mark->log_time <= self->log_time) /* it does not grow: nothing to do, nothing to learn */
    return 1;
  return CLAMP (speed / wanted (self, lag_ns), MOST_CUT, MOST_GROWTH);
}

/* Is the window long enough to go by? Sooner where the change is large, or presses; or is not yet made. */
static gboolean
is_over (const OwdPace *self, gint64 passed_us, double change, gint64 lag_ns)
{
  gint64 window_us = CLAMP (self->max_lag_ns / PARTS / OWD_NS_PER_US, SHORTEST_US, LONGEST_US);

  if (self->share == 1 || change >= SURE || change * SURE <= 1 || lag_ns > self->max_lag_ns)
    return passed_us >= window_us;
  return passed_us >= PARTS * window_us;
}

static gboolean
is_made (const OwdPace *self, double change, gint64 lag_ns)
{
  if (self->share == 1)
    return change < 1 && lag_ns > self->max_lag_ns;
  if (change >= LEAST_CHANGE || self->share * change >= 1)
    return TRUE;
  return change * LEAST_CHANGE <= 1 && lag_ns > self->max_lag_ns / PARTS;
}

double
owd_pace_step (OwdPace *self, const OwdPaceMark *mark)
{
  if (self->max_lag_ns == 0 || mark->log_time == OWD_TIME_NONE)
    return self->share;
  if (self->began_us != 0) {
    gint64 lag_ns = mark->at_end ? 0 : mark->now - mark->log_time;
    double change = change_wanted (self, mark, lag_ns);

    if (!is_over (self, mark->now_us - self->began_us, change, lag_ns))
      return self->share;
    if (is_made (self, change, lag_ns)) {
      self->share = CLAMP (self->share * change, LEAST_SHARE, 1);
      self->changed = mark->log_time + OWD_NS_PER_S; /* it counts from the next second on */
    }
  }
  self->began_us = mark->delivered >= self->changed ? mark->now_us : 0;
  self->waited_us = mark->waited_us;
  self->log_time = mark->log_time;
  return self->share;
}

void
owd_pace_rest (OwdPace *self)
{
  self->began_us = 0;
}
