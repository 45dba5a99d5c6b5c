/* SPDX-License-Identifier: Apache-2.0 */
#include "owd-pace.h"

#define PARTS 4 /* of max_lag: so long it is looked at each time, and so near to the end the share grows; */
#define SHORTEST_US (1 * G_USEC_PER_SEC)
#define LONGEST_US (15 * G_USEC_PER_SEC)
#define CATCHES_UP 1.25 /* log time in that time: fast enough */
#define MOST_CUT 0.5    /* what is already on its way still costs as much as before */
#define LEAST_CUT 0.9
#define GROWS 1.25
#define LEAST_SHARE 0.001

void
owd_pace_init (OwdPace *self, gint64 max_lag_ns, double share)
{
  *self = (OwdPace){ .max_lag_ns = max_lag_ns, .share = share };
}

static double
next_share (const OwdPace *self, gint64 lag_ns, double speed)
{
  if (lag_ns > self->max_lag_ns && speed < CATCHES_UP)
    return MAX (self->share * CLAMP (speed / CATCHES_UP, MOST_CUT, LEAST_CUT), LEAST_SHARE);
  if (lag_ns < self->max_lag_ns / PARTS)
    return MIN (self->share * GROWS, 1);
  return self->share;
}

double
owd_pace_step (OwdPace *self, gint64 now_us, OwdTime now, OwdTime log_time, gboolean at_end)
{
  gint64 period_us = CLAMP (self->max_lag_ns / PARTS / OWD_NS_PER_US, SHORTEST_US, LONGEST_US);
  gint64 passed_us = now_us - self->began_us;

  if (self->max_lag_ns == 0 || log_time == OWD_TIME_NONE || (self->began_us != 0 && passed_us < period_us))
    return self->share;
  if (self->began_us != 0)
    self->share = next_share (self, at_end ? 0 : now - log_time,
                              (double) (log_time - self->log_time) / 1000 / (double) passed_us);
  self->began_us = now_us;
  self->log_time = log_time;
  return self->share;
}

void
owd_pace_rest (OwdPace *self)
{
  self->began_us = 0;
}
