/* SPDX-License-Identifier: Apache-2.0 */
#include "pace.h"
#include "net.h"

#include <errno.h>
#include <sys/prctl.h>
#include <time.h>

enum {
  LEAD_SURE_NS = 80000,  /* as much may always be spun away, */
  LEAD_MOST_NS = 250000, /* and no more than this */
  LEAD_SHARE = 40,       /* nor than 1 in 40 of a wait */
  LEAD_STEP_NS = 500,    /* up four steps when late, down one when early: balances where one in five is late; */
  LEAD_STEP_SHARE = 32,  /* longer ones where wake-ups take longer */
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
  OwdTime now = owd_probe_clock_steady ();
  gint64 most_ns = CLAMP ((due - now) / LEAD_SHARE, LEAD_SURE_NS, LEAD_MOST_NS);
  gint64 step_ns = LEAD_STEP_NS + self->lead_ns / LEAD_STEP_SHARE;
  OwdTime wake = due - MIN (self->lead_ns, most_ns);
  struct timespec ts = { .tv_sec = wake / OWD_NS_PER_S, .tv_nsec = wake % OWD_NS_PER_S };

  if (now < wake) {
    while (clock_nanosleep (CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
      ;
    now = owd_probe_clock_steady ();
    self->lead_ns += now > due ? 4 * step_ns : -step_ns;
    self->lead_ns = CLAMP (self->lead_ns, 0, most_ns);
  }
  while (now < due)
    now = owd_probe_clock_steady ();
}
