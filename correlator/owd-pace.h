/* SPDX-License-Identifier: Apache-2.0
 *
 * What share of the flows a reader of a live log can work off.
 *
 * Problem. A log that grows faster than it is read falls behind without end, until its retention removes what nobody
 * has read: samples are hours old, and then minutes of all flows are missing. Whole flows must go instead, as few as
 * will do. And the share must come to rest: each change costs what waits of flows that are not kept any more, or what
 * is known of those that are kept again.
 *
 * Idea. How much log time was worked off, over a window, in the time that was not spent on waiting for the log? That
 * is the reader's speed at the share in force, whether its end is far or reached. The speed that is wanted follows from
 * how far the end is: more than the log's own when it is far, so that it is caught up with, just that when it is near.
 * The next share is the present one times speed over speed wanted. What work does not depend on the share makes each
 * such step too small, never too large, so steps lead to the right share from one side. Three things keep it at rest:
 * - work comes late, as samples are delivered a horizon behind their records: after a change, none of what was kept
 *   before may be left when the next window begins;
 * - small steps are not made;
 * - near the end nothing is cut. What a window's speed is wrong by then turns into lag, which is right, and the share
 *   is cut once that is a quarter of max_lag.
 * With all flows kept nothing is cut before max_lag; and a reader that catches up sheds nothing, however far it has to:
 * after an absence of the database all is read.
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
  OwdTime changed;  /* from this log time on it counts; OWD_TIME_NONE: ever */
  gint64 began_us;  /* of the window; 0: none yet */
  gint64 waited_us; /* then */
  OwdTime log_time; /* then */
} OwdPace;

/* Where the reader stands, after some blocks. */
typedef struct {
  gint64 now_us;     /* monotonic */
  gint64 waited_us;  /* time spent on waiting for the log, ever */
  OwdTime now;       /* real time */
  OwdTime log_time;  /* of the last block */
  OwdTime delivered; /* samples up to here are: their share costs nothing any more */
  gboolean at_end;   /* there was nothing more */
} OwdPaceMark;

/* max_lag_ns: 0: never sheds. */
void owd_pace_init (OwdPace *self, gint64 max_lag_ns, double share);
/* Returns: the share from here on, above 0 to 1. */
double owd_pace_step (OwdPace *self, const OwdPaceMark *mark);

/* The reader could not read for a while: that says nothing of its speed. */
void owd_pace_rest (OwdPace *self);

G_END_DECLS

#endif
