/* SPDX-License-Identifier: Apache-2.0
 *
 * Shedding: more comes than memory holds, or than somebody allowed.
 *
 * Problem. A record that is dropped at random takes the sense from its like at every other point, and looks like loss.
 *
 * Idea. A flow is kept or not by a hash of its direction-less key, the same at every point and for both directions:
 * what is kept still matches, and is a fair share of all. The share follows from what has come: records stay for a
 * known time, so the share that memory holds is its room over what came within that time; and the share that a rate
 * allows is that rate over what came within the last seconds. Both are counted before anything is shed, so the share is
 * right at once and need not be searched for. What still waits of flows that are not kept any more goes when the share
 * falls.
 *
 * Invariants. The share is a function of the log and the settings: time is log time, no clock is read, so that the same
 * log gives the same samples on a slow machine and on a fast one, and after any crash. That the log grows faster than
 * it is read is nothing that it shows: who reads it says so, by a limit at a place of the log that is part of the
 * input. Waiting records never exceed max_waiting. A flow that is kept again may have lost records before: a pause
 * before its first one proves nothing. Those that were kept all along have lost none.
 *
 * Cost. Nothing but a count and a comparison per record. A falling share walks over all records once; it falls by a
 * twentieth or more each time.
 */
#include "internal.h"

#define ROOM_PERCENT 90  /* of max_waiting, used when shedding */
#define RATE_SECONDS 10  /* over which the rate is measured */
#define CHANGE_PERCENT 5 /* smaller changes of the share wait */
#define SURGE_PERCENT 90 /* of the share, when memory is full before the next second */

static guint32
mix (guint32 bucket)
{
  return bucket * 0x9e3779b1u;
}

/* Records that came within the last seconds. */
static guint64
offered (const Shed *self, guint seconds)
{
  guint64 sum = self->now;

  for (guint i = 0; i < MIN (seconds, SHED_SECONDS); i++)
    sum += self->offered[(self->second - i) & (SHED_SECONDS - 1)];
  return sum;
}

/* All waiting records of flows that are not kept leave; the others close ranks. */
static void
purge (OwdCorrelator *self)
{
  const Waiters *w = &self->waiting;
  guint32 before = rec_count (self), kept = 0;

  for (guint64 n = w->oldest; n < w->end; n++) {
    const Rec *r = &w->rec[rec_slot (self, n)];

    if (mix (r->bucket) <= self->shed.keep_below)
      w->rec[rec_slot (self, w->oldest + kept++)] = *r;
  }
  self->counters.purged += before - kept;
  match_cut (self, kept);
  match_rehash (self, self->n_buckets);
}

static void
set_share (OwdCorrelator *self, double share)
{
  guint32 before = self->shed.keep_below;

  self->shed.keep_below = share >= 1 ? SHED_NONE : (guint32) (share * SHED_NONE);
  if (self->shed.keep_below < before) {
    self->shed.sure_below = MIN (self->shed.sure_below, self->shed.keep_below);
    purge (self);
  } else {
    /* so long after the last rise nothing waits any more that it could matter to */
    if (self->shed.since != OWD_TIME_NONE && self->arrival_ns - self->shed.since > SHED_SECONDS * OWD_NS_PER_S)
      self->shed.sure_below = before;
    self->shed.since = self->arrival_ns;
  }
}

OwdTime
shed_since (const OwdCorrelator *self, guint32 bucket)
{
  return mix (bucket) <= self->shed.sure_below ? OWD_TIME_NONE : self->shed.since;
}

double
shed_kept (const OwdCorrelator *self)
{
  return self->shed.keep_below == SHED_NONE ? 1 : (double) self->shed.keep_below / SHED_NONE;
}

gboolean
shed_takes (OwdCorrelator *self, guint32 bucket)
{
  self->shed.now++;
  if (mix (bucket) <= self->shed.keep_below)
    return TRUE;
  self->counters.shed++;
  return FALSE;
}

/* What memory, rate and limit allow. */
static double
allowed (const OwdCorrelator *self, gint64 keep_ns)
{
  guint64 in_memory = offered (&self->shed, (guint) (keep_ns / OWD_NS_PER_S) + 1);
  double room = (double) self->config.max_waiting * ROOM_PERCENT / 100, share = self->shed.limit;

  if ((double) in_memory > room)
    share = MIN (share, room / (double) in_memory);
  if (self->config.max_rate > 0) {
    double rate = (double) offered (&self->shed, RATE_SECONDS) / RATE_SECONDS;

    if (rate > (double) self->config.max_rate)
      share = MIN (share, (double) self->config.max_rate / rate);
  }
  return share;
}

void
shed_adapt (OwdCorrelator *self, gint64 keep_ns)
{
  gint64 second = self->log_time / OWD_NS_PER_S, passed = second - self->shed.second;
  double share, kept = shed_kept (self);

  if (passed <= 0)
    return;
  for (gint64 i = 0; i < MIN (passed, SHED_SECONDS); i++)
    self->shed.offered[(second - i) & (SHED_SECONDS - 1)] = 0;
  self->shed.second = second;
  self->shed.offered[second & (SHED_SECONDS - 1)] = self->shed.now;
  self->shed.now = 0;
  share = allowed (self, keep_ns);
  if (share * 100 <= kept * (100 - CHANGE_PERCENT) || share * 100 >= kept * (100 + CHANGE_PERCENT)
      || (share >= 1 && kept < 1))
    set_share (self, share);
}

gboolean
shed_make_room (OwdCorrelator *self)
{
  if (self->shed.surge == self->shed.second) /* once; what then still comes of this second is too much */
    return FALSE;
  self->shed.surge = self->shed.second;
  set_share (self, shed_kept (self) * SURGE_PERCENT / 100);
  return rec_count (self) < self->config.max_waiting;
}
