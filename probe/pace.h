/* SPDX-License-Identifier: Apache-2.0
 *
 * Waking at a given instant.
 *
 * A timer alone is late by what the scheduler and the virtual machine need to come back: tens of microseconds, and not
 * the same each time. So the sleep aims earlier by as much as recent wake-ups were late (their 80 % point, followed by
 * a stochastic step rule), and the rest is spun away. The lead is bounded, so is the spinning: at most 80 us per
 * packet, and up to 250 us where that is no more than 2.5 % of the wait; typically 10 to 30 us, more beside busy
 * virtual machines. Far waits are cut into slices, during which signals and sockets are looked after.
 */
#ifndef OWD_PROBE_PACE_H
#define OWD_PROBE_PACE_H

#include "owd-time.h"

typedef struct {
  gint64 lead_ns;
} OwdProbePace;

/* Timer slack of this thread to its minimum. */
void owd_probe_pace_init (OwdProbePace *self);
/* Returns at due (CLOCK_MONOTONIC), not before; at once where it has passed. */
void owd_probe_pace_wait (OwdProbePace *self, OwdTime due);

#endif
