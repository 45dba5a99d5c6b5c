/* SPDX-License-Identifier: Apache-2.0 */
#include "pace.h"
#include "net.h"

#include <errno.h>
#include <sys/prctl.h>
#include <time.h>

enum {
  LEAD_MAX_NS = 80000,
  LEAD_STEP_NS = 500, /* up four steps when late, down one when early: balances where one in five is late */
};

void
owd_probe_pace_init (OwdProbePace *self)
{
  self->lead_ns = 20000;
  prctl (PR_SET_TIMERSLACK, 1, 0, 0, 0);
}

void
owd_probe_pace_wait (OwdProbePace *self, OwdTime due)
{
  OwdTime wake = due - self->lead_ns, now = owd_probe_clock_steady ();
  struct timespec ts = { .tv_sec = wake / OWD_NS_PER_S, .tv_nsec = wake % OWD_NS_PER_S };

  if (now < wake) {
    while (clock_nanosleep (CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
      ;
    now = owd_probe_clock_steady ();
    self->lead_ns += now > due ? 4 * LEAD_STEP_NS : -LEAD_STEP_NS;
    self->lead_ns = CLAMP (self->lead_ns, 0, LEAD_MAX_NS);
  }
  while (now < due)
    now = owd_probe_clock_steady ();
}
