/* SPDX-License-Identifier: Apache-2.0
 *
 * What share of the flows a reader of a live log can work off.
 *
 * Problem. A log that grows faster than it is read falls behind without end, until its retention removes what nobody
 * has read: samples are hours old, and then minutes of all flows are missing. Whole flows must go instead, as few as
 * will do.
 *
 * Idea. Over some seconds of time, how far did log time come? Less than time itself, and the log's end further away
 * than max_lag: the reader is too slow, by a known factor, and the share is cut by it, somewhat more so that it catches
 * up. Near the end again the share grows, until all flows are kept or it was too much. A log that is read faster than
 * it grows is being caught up with, however far its end is: after an absence of the database nothing is shed.
 *
 * Reads no clock. What it says depends on the machine and its load, so it must be written down where in the log it
 * began to count before it does: a replay takes it from there.
 */
#ifndef OWD_PACE_H
#define OWD_PACE_H

#include "owd-time.h"

G_BEGIN_DECLS

typedef struct {
  gint64 max_lag_ns;
  double share;     /* in force */
  gint64 began_us;  /* of the time that is looked at; 0: none yet */
  OwdTime log_time; /* then */
} OwdPace;

/* max_lag_ns: 0: never sheds. */
void owd_pace_init (OwdPace *self, gint64 max_lag_ns, double share);
/* After some blocks. now_us: monotonic; now: real time; log_time: of the last block; at_end: there was nothing more.
 * Returns: the share from here on, above 0 to 1. */
double owd_pace_step (OwdPace *self, gint64 now_us, OwdTime now, OwdTime log_time, gboolean at_end);

/* The reader could not read for a while: that says nothing of its speed. */
void owd_pace_rest (OwdPace *self);

G_END_DECLS

#endif
