/* SPDX-License-Identifier: Apache-2.0
 *
 * The sender's loop.
 *
 * The thread wakes for departures and for nothing else, as long as they are close together: the kernel has stamped what
 * arrived meanwhile, so replies can wait in the socket until the next packet is out. That keeps the schedule free of
 * receive work and halves the wake-ups. Only where the next departure is far off it also wakes for replies, so that a
 * live display is live. (Connect timing has no stamps of the kernel's; there near_ns is next to nothing.)
 *
 * Arrivals are read before departure stamps and judged after them: a reply never meets its packet unstamped only
 * because both came in between.
 */
#include "sender.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

enum {
  TICK_NS = 200000000, /* live line, clock error, signals, queries */
  ASK_NS = 5000000,    /* the same for queries, where nothing else is to do */
  STALL_NS = 1000000000,
  TRAIN = 1000, /* packets in a row without a look at the sockets */
  READY = 64,
};

OwdProbeTarget *
owd_probe_sender_target (const OwdProbeSender *self, guint i)
{
  return self->targets->pdata[i];
}

/* ---- targets by due time ----------------------------------------------------------------------- */

static OwdProbeTarget *
heap_target (const OwdProbeSender *self, guint i)
{
  return self->targets->pdata[self->heap[i]];
}

static void
sift_down (OwdProbeSender *self, guint i)
{
  guint top = self->heap[i];
  OwdTime due = heap_target (self, i)->due;

  for (guint child = 2 * i + 1; child < self->n_heap; child = 2 * i + 1) {
    if (child + 1 < self->n_heap && heap_target (self, child + 1)->due < heap_target (self, child)->due)
      child++;
    if (due <= heap_target (self, child)->due)
      break;
    self->heap[i] = self->heap[child];
    i = child;
  }
  self->heap[i] = top;
}

/* The target on top has sent: give it its next time, or take it out. */
static void
reschedule (OwdProbeSender *self)
{
  OwdProbeTarget *t = heap_target (self, 0);
  OwdTime now = owd_probe_clock_steady ();

  t->due = t->left == 0 ? G_MAXINT64 : owd_probe_schedule_next (&t->schedule);
  /* after a standstill what is long overdue is not made up for: that would be a flood, not a schedule */
  for (; t->due < now - STALL_NS && t->left != 0; self->skipped++, t->left -= t->left > 0)
    t->due = owd_probe_schedule_next (&t->schedule);
  if (t->due >= self->end)
    self->heap[0] = self->heap[--self->n_heap];
  if (self->n_heap > 0)
    sift_down (self, 0);
}

/* ---- what the ways share ----------------------------------------------------------------------- */

void
owd_probe_sender_on_sample (const OwdProbeSample *sample, gpointer user)
{
  OwdProbeTarget *t = user;
  OwdProbeSender *self = t->sender;
  guint16 sport = t->sports != NULL ? t->sports[sample->seq & t->sport_mask] : t->label.sport;

  if (self->packets)
    owd_probe_print_sample (stdout, self->format, &t->label, sport, sample);
  if (self->writer != NULL)
    owd_probe_print_sample (owd_probe_writer_out (self->writer), OWD_PROBE_JSON, &t->label, sport, sample);
  self->dirty = TRUE;
}

guint
owd_probe_sender_turn (const OwdProbeSender *self, guint target, guint32 seq, guint n)
{
  return (seq % n + target * MAX (n / self->targets->len, 1)) % n;
}

void
owd_probe_sender_note_port (OwdProbeTarget *t, guint32 seq, guint16 sport)
{
  if (t->sports != NULL)
    t->sports[seq & t->sport_mask] = sport;
}

void
owd_probe_sender_unreachable (OwdProbeTarget *t, const char *what, int code)
{
  if (t->unreachable++ == 0)
    g_warning ("%s: %s%s", t->text, what, g_strerror (code));
}

gboolean
owd_probe_sender_watch (OwdProbeSender *self, int fd, guint32 id, guint32 events)
{
  struct epoll_event event = { .events = events, .data.u32 = id };

  return epoll_ctl (self->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

OwdProbeChannel *
owd_probe_sender_channel (OwdProbeSender *self, guint32 id)
{
  return &self->channels[id / self->n_channels][id % self->n_channels];
}

void
owd_probe_sender_take_events (OwdProbeSender *self, OwdProbeChannel *channel)
{
  OwdProbeEvent ev;
  OwdAddr addr;
  guint16 port;

  while (owd_probe_socket_next_event (channel->socket, &ev)) {
    if (ev.left) {
      OwdProbeDeparture d = channel->departures[ev.tx_id & channel->ring_mask];

      if (d.target < self->targets->len)
        owd_probe_session_left (owd_probe_sender_target (self, d.target)->session, d.seq, ev.stamp);
      continue;
    }
    owd_probe_endpoint_addr (&ev.to, &addr, &port);
    for (guint i = 0; i < self->targets->len; i++) {
      OwdProbeTarget *t = owd_probe_sender_target (self, i);

      if (memcmp (&t->addr, &addr, sizeof addr) == 0 && (port == t->port || channel->socket->raw))
        owd_probe_sender_unreachable (t, "", ev.error);
    }
  }
}

int
owd_probe_sender_transmit (OwdProbeSender *self, OwdProbeChannel *channel, const OwdProbeEndpoint *to,
                           OwdProbeDeparture what, const void *data, gsize len)
{
  guint32 tx_id;
  int code = owd_probe_socket_send (channel->socket, to, data, len, &tx_id);

  if (code != 0) {
    owd_probe_sender_take_events (self, channel);
    code = owd_probe_socket_send (channel->socket, to, data, len, &tx_id);
  }
  if (code == 0)
    channel->departures[tx_id & channel->ring_mask] = what;
  return code;
}

/* ---- the loop ---------------------------------------------------------------------------------- */

/* Sends the queries that are due. */
static void
ask (OwdProbeSender *self)
{
  OwdTime steady = owd_probe_clock_steady ();
  guint32 run, first;

  for (guint i = 0; i < self->targets->len; i++)
    if (owd_probe_session_asks (owd_probe_sender_target (self, i)->session, steady, &run, &first))
      self->way->ask (self, i, run, first);
}

static void
drain (OwdProbeSender *self)
{
  struct epoll_event ready[READY];
  int n;

  do {
    n = epoll_wait (self->epoll_fd, ready, READY, 0);
    for (int i = 0; i < n; i++)
      self->way->ready (self, ready[i].data.u32);
  } while (n == READY);
}

static void
send_one (OwdProbeSender *self, guint index)
{
  OwdProbeTarget *t = owd_probe_sender_target (self, index);
  int code = self->way->send (self, index);

  if (t->left > 0)
    t->left--;
  if (code == 0)
    return;
  owd_probe_session_not_sent (t->session);
  owd_probe_sender_unreachable (t, "cannot send: ", code);
}

static void
print_live (const OwdProbeSender *self)
{
  const OwdProbeTarget *t = owd_probe_sender_target (self, 0);
  guint64 sent = 0, answered = 0, lost = 0;
  OwdProbeSummary sum;

  for (guint i = 0; i < self->targets->len; i++) {
    owd_probe_session_counts (owd_probe_sender_target (self, i)->session, &sum);
    sent += sum.sent;
    answered += sum.answered;
    lost += sum.lost;
  }
  owd_probe_session_summary (t->session, &sum);
  fprintf (stderr, "\r\033[Ksent %" G_GUINT64_FORMAT ", answered %" G_GUINT64_FORMAT ", lost %" G_GUINT64_FORMAT, sent,
           answered, lost);
  if (sum.rtt.n > 0)
    fprintf (stderr, "; %s: round trip %.3f ms", t->text, (double) sum.rtt.p50_ns / 1e6);
  if (sum.up.n > 0)
    fprintf (stderr, ", up %.3f, down %.3f", (double) sum.up.p50_ns / 1e6, (double) sum.down.p50_ns / 1e6);
  if (sum.rtt.n > 0)
    fputs (" (p50)", stderr);
}

static void
advance (OwdProbeSender *self)
{
  OwdTime now = owd_probe_clock_real ();

  for (guint i = 0; i < self->targets->len; i++)
    owd_probe_session_advance (owd_probe_sender_target (self, i)->session, now);
}

static void
tick (OwdProbeSender *self, OwdTime steady)
{
  char buf[128]; /* a signalfd_siginfo */

  if (steady < self->next_tick)
    return;
  self->next_tick = steady + TICK_NS;
  self->clock_error = owd_probe_clock_error ();
  self->clock_error.ptp = (self->request.error & 0x4000) != 0;
  self->request.error = owd_probe_error_encode (&self->clock_error);
  if (self->way->tick != NULL)
    self->way->tick (self);
  ask (self);
  advance (self);
  if (self->writer != NULL)
    owd_probe_writer_tick (self->writer, steady);
  if (self->dirty)
    fflush (stdout);
  self->dirty = FALSE;
  if (self->live)
    print_live (self);
  if (read (self->signal_fd, buf, sizeof buf) > 0)
    self->stop = TRUE;
}

/* Sleeps until something arrives, a signal comes, or `until` (steady) has come. */
static void
look_after (OwdProbeSender *self, OwdTime until)
{
  struct pollfd fds[] = { { .fd = self->signal_fd, .events = POLLIN }, { .fd = self->epoll_fd, .events = POLLIN } };
  gint64 wait = CLAMP (until - owd_probe_clock_steady (), 0, TICK_NS);
  struct timespec ts = { .tv_nsec = wait };

  if (ppoll (fds, G_N_ELEMENTS (fds), &ts, NULL) > 0) {
    if (fds[0].revents != 0)
      self->next_tick = 0;
    drain (self);
  }
  tick (self, owd_probe_clock_steady ());
}

static gboolean
any (const OwdProbeSender *self, gboolean (*holds) (const OwdProbeSession *))
{
  for (guint i = 0; i < self->targets->len; i++)
    if (holds (owd_probe_sender_target (self, i)->session))
      return TRUE;
  return FALSE;
}

/* Before the first packets, and after the last ones. Takes as long as the sessions think it worth; nothing else is due
 * meanwhile. */
static void
wait_for_reports (OwdProbeSender *self)
{
  while (!self->stop && any (self, owd_probe_session_wants_report)) {
    ask (self);
    look_after (self, owd_probe_clock_steady () + ASK_NS);
  }
}

/* Replies to the last packets. A second signal ends the wait. */
static void
wait_for_replies (OwdProbeSender *self)
{
  OwdTime end = owd_probe_clock_steady () + self->timeout_ns;

  self->stop = FALSE;
  drain (self);
  /* the clock that is set tells what is given up: the two may differ a little */
  while (!self->stop && any (self, owd_probe_session_waiting) && owd_probe_clock_steady () < end + TICK_NS) {
    look_after (self, MAX (end, owd_probe_clock_steady () + ASK_NS));
    advance (self);
  }
  for (guint i = 0; i < self->targets->len; i++)
    owd_probe_session_close (owd_probe_sender_target (self, i)->session);
  wait_for_reports (self);
  /* a doubled last reply is right behind the first */
  look_after (self, owd_probe_clock_steady () + 10 * OWD_NS_PER_MS);
}

void
owd_probe_sender_start (OwdProbeSender *self, const OwdProbeSchedule *schedule, gint64 duration_ns)
{
  guint n = self->targets->len;
  OwdTime begin;

  wait_for_reports (self);
  begin = owd_probe_clock_steady () + 20 * OWD_NS_PER_MS;
  self->end = duration_ns > 0 ? begin + duration_ns : G_MAXINT64;
  self->heap = g_new (guint, n);
  self->n_heap = n;
  for (guint i = 0; i < n; i++) {
    OwdProbeTarget *t = owd_probe_sender_target (self, i);

    t->schedule = *schedule;
    if (getrandom (&t->schedule.seed, sizeof t->schedule.seed, 0) < 0)
      t->schedule.seed = (guint64) begin + i;
    owd_probe_schedule_start (&t->schedule, begin + schedule->interval_ns / n * i);
    t->due = owd_probe_schedule_next (&t->schedule);
    self->heap[i] = i;
  }
  tick (self, owd_probe_clock_steady ());
  owd_probe_pace_init (&self->pace);
}

void
owd_probe_sender_run (OwdProbeSender *self)
{
  guint undrained = 0;

  while (self->n_heap > 0 && !self->stop) {
    OwdTime due = heap_target (self, 0)->due;

    if (due - owd_probe_clock_steady () > self->near_ns) {
      look_after (self, due - self->near_ns / 2);
      continue;
    }
    owd_probe_pace_wait (&self->pace, due);
    send_one (self, self->heap[0]);
    reschedule (self);
    /* trains leave undisturbed, as long as the sockets hold what comes meanwhile */
    if (++undrained == TRAIN || self->n_heap == 0 || heap_target (self, 0)->due > owd_probe_clock_steady ()) {
      undrained = 0;
      drain (self);
      tick (self, owd_probe_clock_steady ());
    }
  }
  wait_for_replies (self);
}
