/* SPDX-License-Identifier: Apache-2.0
 *
 * The sender's bookkeeping against a network that is written down: each test says what happens to every packet and
 * compares the verdict with it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "owd-probe.h"

#define START (G_GINT64_CONSTANT (1795330014) * OWD_NS_PER_S)
#define MS OWD_NS_PER_MS
#define UP (3 * MS) /* true delays of the simulated path */
#define DOWN (5 * MS)
#define STAY 20000 /* inside the reflector */

typedef struct {
  OwdProbeSession *session;
  OwdTime now;
  guint32 peer_seq;
  gint64 offset; /* of the reflector's clock */
  OwdProbeError peer_error, own_error;
  gboolean stateless;
  OwdProbeSample last;
  guint samples;
} Net;

static void
keep (const OwdProbeSample *sample, gpointer user)
{
  Net *net = user;

  net->last = *sample;
  net->samples++;
}

static void
setup (Net *net, OwdProbeSessionConfig cfg)
{
  if (cfg.window == 0)
    cfg.window = 256;
  if (cfg.timeout_ns == 0)
    cfg.timeout_ns = OWD_NS_PER_S;
  *net = (Net){ .now = START,
                .peer_error = { .error_ns = 40000, .synchronised = TRUE },
                .own_error = { .error_ns = 60000, .synchronised = TRUE } };
  net->session = owd_probe_session_new (&cfg, keep, net);
}

/* A packet leaves now. Returns: its sequence number. */
static guint32
sent (Net *net)
{
  guint32 seq = owd_probe_session_next_seq (net->session);

  owd_probe_session_advance (net->session, net->now);
  owd_probe_session_sent (net->session, net->now, owd_probe_stamp_encode (net->now, FALSE), net->now - START);
  return seq;
}

static OwdProbeReply
reply_to (Net *net, guint32 seq, OwdTime t1, guint32 peer_seq)
{
  return (OwdProbeReply){ .seq = net->stateless ? seq : peer_seq,
                          .sender_seq = seq,
                          .ttl = 250,
                          .sender_stamp = owd_probe_stamp_encode (t1, FALSE),
                          .t2 = owd_probe_stamp_encode (t1 + UP + net->offset, FALSE),
                          .t3 = owd_probe_stamp_encode (t1 + UP + STAY + net->offset, FALSE),
                          .error = net->peer_error };
}

static OwdStatus
arrives (Net *net, const OwdProbeReply *reply, OwdTime t4)
{
  OwdProbeArrival a = { .t4 = t4, .ttl = 61, .tos = 0, .own = net->own_error };

  return owd_probe_session_reply (net->session, reply, &a);
}

static OwdStatus
answered (Net *net, guint32 seq, OwdTime t1, guint32 peer_seq)
{
  OwdProbeReply r = reply_to (net, seq, t1, peer_seq);

  return arrives (net, &r, t1 + UP + STAY + DOWN);
}

/* One packet, answered at once. */
static void
good (Net *net)
{
  guint32 seq = sent (net);

  assert_int_equal (answered (net, seq, net->now, net->peer_seq++), OWD_STATUS_OK);
  net->now += 10 * MS;
}

static void
lost_up (Net *net)
{
  sent (net);
  net->now += 10 * MS;
}

static void
lost_down (Net *net)
{
  sent (net);
  net->peer_seq++;
  net->now += 10 * MS;
}

static OwdProbeSummary
finish (Net *net)
{
  OwdProbeSummary sum;

  owd_probe_session_finish (net->session);
  owd_probe_session_summary (net->session, &sum);
  owd_probe_session_free (net->session);
  return sum;
}

/* ---- delays ------------------------------------------------------------------------------------ */

static void
delays_of_a_quiet_path (void **state)
{
  Net net;
  OwdProbeSummary sum;

  (void) state;
  setup (&net, (OwdProbeSessionConfig){ 0 });
  for (guint i = 0; i < 100; i++)
    good (&net);
  assert_int_equal (net.last.rtt_ns, UP + DOWN);
  assert_int_equal (net.last.up_ns, UP);
  assert_int_equal (net.last.down_ns, DOWN);
  assert_int_equal (net.last.up_lo_ns, UP - 100000);
  assert_int_equal (net.last.up_hi_ns, UP + 100000);
  assert_int_equal (net.last.hops_up, 5);
  assert_int_equal (net.last.hops_down, 3);
  assert_int_equal (net.last.flags, 0);
  sum = finish (&net);
  assert_int_equal (sum.sent, 100);
  assert_int_equal (sum.answered, 100);
  assert_int_equal (sum.lost, 0);
  assert_int_equal (sum.peer_stateful, 1);
  assert_int_equal (sum.up.p50_ns, UP);
  assert_int_equal (sum.ipdv_up.n, 98); /* the number that was left out has no neighbours */
  assert_int_equal (sum.ipdv_up.max_ns, 0);
  assert_int_equal (sum.peer_time.p50_ns, STAY);
}

static void
another_clock_moves_owd_and_nothing_else (void **state)
{
  Net net;
  OwdProbeSummary sum;

  (void) state;
  setup (&net, (OwdProbeSessionConfig){ 0 });
  net.offset = -700 * MS;
  net.peer_error.error_ns = OWD_NS_PER_S;
  for (guint i = 0; i < 50; i++)
    good (&net);
  assert_int_equal (net.last.up_ns, UP - 700 * MS); /* negative, and reported as it is */
  assert_int_equal (net.last.up_lo_ns, 0);          /* the errors and causality leave the whole round trip */
  assert_int_equal (net.last.up_hi_ns, UP + DOWN);
  assert_int_equal (net.last.flags & OWD_PROBE_CLOCK, 0);
  sum = finish (&net);
  assert_int_equal (sum.rtt.p50_ns / 1000000, 8);
  assert_true (sum.offset_lo_ns <= -700 * MS && sum.offset_hi_ns >= -700 * MS);
  assert_int_equal (sum.offset_hi_ns - sum.offset_lo_ns, UP + DOWN);
}

static void
clocks_that_move_contradict_any_one_offset (void **state)
{
  Net net;
  OwdProbeSummary sum;

  (void) state;
  setup (&net, (OwdProbeSessionConfig){ 0 });
  for (guint i = 0; i < 50; i++) {
    net.offset = i * MS; /* 100 ms a second: by more than the round trip */
    good (&net);
  }
  sum = finish (&net);
  assert_int_equal (sum.offset_hi_ns, UP);
  assert_int_equal (sum.offset_lo_ns, 49 * MS - DOWN);
}

static void
a_clock_off_by_more_than_it_says_is_named (void **state)
{
  Net net;
  OwdProbeSummary sum;

  (void) state;
  setup (&net, (OwdProbeSessionConfig){ 0 });
  net.offset = 50 * MS;
  good (&net);
  assert_true ((net.last.flags & OWD_PROBE_CLOCK) != 0);
  assert_int_equal (net.last.down_hi_ns, DOWN - 50 * MS + 100000);
  sum = finish (&net);
  assert_int_equal (sum.clock_contradictions, 1);
}

static void
an_unstated_error_leaves_causality (void **state)
{
  Net net;

  (void) state;
  setup (&net, (OwdProbeSessionConfig){ 0 });
  net.peer_error = (OwdProbeError){ .error_ns = -1 };
  good (&net);
  assert_int_equal (net.last.flags, OWD_PROBE_UNSTATED | OWD_PROBE_UNSYNC);
  assert_int_equal (net.last.up_lo_ns, 0);
  assert_int_equal (net.last.up_hi_ns, UP + DOWN);
  finish (&net);
}

static void
the_first_packet_is_kept_apart (void **state)
{
  Net net;
  OwdProbeSummary sum;
  guint32 seq;

  (void) state;
  setup (&net, (OwdProbeSessionConfig){ .first_apart = TRUE });
  seq = sent (&net);
  {
    OwdProbeReply r = reply_to (&net, seq, net.now, net.peer_seq++);

    assert_int_equal (arrives (&net, &r, net.now + 900 * MS), OWD_STATUS_OK); /* set-up */
  }
  assert_true ((net.last.flags & OWD_PROBE_FIRST) != 0);
  for (guint i = 0; i < 10; i++) {
    good (&net);
    assert_int_equal (net.last.flags & OWD_PROBE_FIRST, 0);
  }
  sum = finish (&net);
  assert_int_equal (sum.answered, 11);
  assert_int_equal (sum.rtt.n, 10);
  assert_int_equal (sum.up.n, 10);
  assert_int_equal (sum.ipdv_rtt.n, 9);
  assert_int_equal (sum.rtt.max_ns, UP + DOWN);
  assert_int_equal (sum.first_rtt_ns, 900 * MS - STAY);
}

static void
kernel_stamp_replaces_ours (void **state)
{
  Net net;
  guint32 seq;

  (void) state;
  setup (&net, (OwdProbeSessionConfig){ .kernel_tx = TRUE });
  seq = sent (&net);
  owd_probe_session_left (net.session, seq, net.now - 5 * OWD_NS_PER_S); /* somebody else's */
  owd_probe_session_left (net.session, seq, net.now + 15000);
  answered (&net, seq, net.now, 0);
  assert_int_equal (net.last.up_ns, UP - 15000);
  assert_int_equal (net.last.flags & OWD_PROBE_SOFT_T1, 0);
  net.now += 10 * MS;
  seq = sent (&net);
  answered (&net, seq, net.now, 1); /* answered, so it left, stamp or not */
  assert_true ((net.last.flags & OWD_PROBE_SOFT_T1) != 0);
  finish (&net);
}

static void
follow_up_refines_the_reply_before (void **state)
{
  Net net;
  OwdProbeReply r;
  guint32 seq;
  OwdTime t1;

  (void) state;
  setup (&net, (OwdProbeSessionConfig){ .follow_up = TRUE });
  t1 = net.now;
  seq = sent (&net);
  r = reply_to (&net, seq, t1, 0);
  r.got = OWD_PROBE_ASK_FOLLOW_UP;
  arrives (&net, &r, t1 + UP + STAY + DOWN);
  assert_int_equal (net.samples, 0); /* waits */
  net.now += 10 * MS;
  seq = sent (&net);
  r = reply_to (&net, seq, net.now, 1);
  r.got = OWD_PROBE_ASK_FOLLOW_UP;
  r.follow_seq = 0;
  r.follow_t3 = owd_probe_stamp_encode (t1 + UP + STAY + 30000, FALSE);
  arrives (&net, &r, net.now + UP + STAY + DOWN);
  assert_int_equal (net.samples, 1);
  assert_int_equal (net.last.down_ns, DOWN - 30000);
  assert_int_equal (net.last.rtt_ns, UP + DOWN - 30000);
  assert_true ((net.last.flags & OWD_PROBE_TRUE_T3) != 0);
  finish (&net); /* the last one has no follow-up, and is not forgotten */
  assert_int_equal (net.samples, 2);
  assert_int_equal (net.last.down_ns, DOWN);
}

/* ---- fates ------------------------------------------------------------------------------------- */

static void
loss_is_told_by_direction (void **state)
{
  Net net;
  OwdProbeSummary sum;

  (void) state;
  setup (&net, (OwdProbeSessionConfig){ 0 });
  for (guint i = 0; i < 2000; i++)
    if (i % 50 == 7)
      lost_up (&net);
    else if (i % 100 == 31 || i % 100 == 32)
      lost_down (&net);
    else
      good (&net);
  sum = finish (&net);
  assert_int_equal (sum.sent, 2000);
  assert_int_equal (sum.lost, 80);
  assert_int_equal (sum.lost_up, 40);
  assert_int_equal (sum.lost_down, 40);
  assert_int_equal (sum.lost_unknown, 0);
  assert_int_equal (net.samples, 2000);
}

static void
a_lost_copy_is_no_lost_packet (void **state)
{
  Net net;
  OwdProbeSummary sum;
  guint32 seq;

  (void) state;
  setup (&net, (OwdProbeSessionConfig){ 0 });
  for (guint i = 0; i < 500; i++)
    if (i % 10 == 5) { /* doubled on the way up, and the second reply is lost on the way down */
      seq = sent (&net);
      assert_int_equal (answered (&net, seq, net.now, net.peer_seq), OWD_STATUS_OK);
      net.peer_seq += 2;
      net.now += 10 * MS;
    } else if (i % 10 == 8) {
      lost_up (&net);
    } else {
      good (&net);
    }
  sum = finish (&net);
  assert_int_equal (sum.lost, 50);
  assert_int_equal (sum.lost_up, 50);
  assert_int_equal (sum.lost_down, 0);
}

static void
loss_at_the_edges_stays_unknown (void **state)
{
  Net net;
  OwdProbeSummary sum;

  (void) state;
  setup (&net, (OwdProbeSessionConfig){ 0 });
  lost_up (&net);
  good (&net);
  good (&net);
  lost_down (&net);
  good (&net);
  lost_down (&net);
  sum = finish (&net);
  assert_int_equal (sum.lost, 3);
  assert_int_equal (sum.lost_down, 1);
  assert_int_equal (sum.lost_up, 0);
  assert_int_equal (sum.lost_unknown, 2);
}

static void
a_stateless_reflector_is_found_out (void **state)
{
  Net net;
  OwdProbeSummary sum;

  (void) state;
  setup (&net, (OwdProbeSessionConfig){ 0 });
  net.stateless = TRUE;
  for (guint i = 0; i < 100; i++)
    if (i % 10 == 5)
      lost_up (&net);
    else
      good (&net);
  sum = finish (&net);
  assert_int_equal (sum.peer_stateful, 0);
  assert_int_equal (sum.lost, 10);
  assert_int_equal (sum.lost_unknown, 10);
}

static void
a_reflector_that_starts_anew_does_not_invent_loss (void **state)
{
  Net net;
  OwdProbeSummary sum;

  (void) state;
  setup (&net, (OwdProbeSessionConfig){ 0 });
  net.peer_seq = 5000; /* counts on from somebody's earlier session */
  for (guint i = 0; i < 100; i++) {
    if (i == 60)
      net.peer_seq = 0;
    good (&net);
  }
  sum = finish (&net);
  assert_int_equal (sum.lost, 0);
  assert_int_equal (sum.lost_down, 0);
  assert_int_equal (sum.peer_restarts, 1);
}

static void
a_number_that_never_moves_is_no_count (void **state)
{
  Net net;
  OwdProbeSummary sum;

  (void) state;
  setup (&net, (OwdProbeSessionConfig){ 0 });
  for (guint i = 0; i < 100; i++) {
    net.peer_seq = 0;
    if (i % 10 == 5)
      lost_up (&net);
    else
      good (&net);
  }
  sum = finish (&net);
  assert_int_equal (sum.peer_stateful, -1);
  assert_int_equal (sum.lost_unknown, 10);
}

static void
duplicates_are_told_by_direction (void **state)
{
  Net net;
  OwdProbeSummary sum;
  guint32 seq;

  (void) state;
  setup (&net, (OwdProbeSessionConfig){ 0 });
  for (guint i = 0; i < 10; i++)
    good (&net);
  seq = sent (&net); /* doubled on the way up: two replies with a number each */
  assert_int_equal (answered (&net, seq, net.now, net.peer_seq++), OWD_STATUS_OK);
  assert_int_equal (answered (&net, seq, net.now, net.peer_seq++), OWD_STATUS_DUPLICATE);
  net.now += 10 * MS;
  seq = sent (&net); /* doubled on the way down: the same reply, three times */
  assert_int_equal (answered (&net, seq, net.now, net.peer_seq), OWD_STATUS_OK);
  assert_int_equal (answered (&net, seq, net.now, net.peer_seq), OWD_STATUS_DUPLICATE);
  assert_int_equal (answered (&net, seq, net.now, net.peer_seq++), OWD_STATUS_DUPLICATE);
  net.now += 10 * MS;
  good (&net);
  good (&net); /* that reply is settled, and comes a fourth time */
  assert_int_equal (answered (&net, seq, net.now - 30 * MS, net.peer_seq - 3), OWD_STATUS_DUPLICATE);
  sum = finish (&net);
  assert_int_equal (sum.answered, 14);
  assert_int_equal (sum.duplicates, 4);
  assert_int_equal (sum.duplicates_up, 1);
  assert_int_equal (sum.duplicates_down, 3);
  assert_int_equal (sum.lost, 0);
}

static void
reordering_is_told_by_direction (void **state)
{
  Net net;
  OwdProbeSummary sum;
  guint32 a, b;
  OwdTime ta, tb;

  (void) state;
  setup (&net, (OwdProbeSessionConfig){ 0 });
  for (guint i = 0; i < 10; i++)
    good (&net);
  ta = net.now;
  a = sent (&net);
  tb = net.now += MS;
  b = sent (&net);
  answered (&net, b, tb, net.peer_seq++); /* b overtakes a on the way up */
  answered (&net, a, ta, net.peer_seq++);
  net.now += 10 * MS;
  ta = net.now;
  a = sent (&net);
  tb = net.now += MS;
  b = sent (&net);
  answered (&net, b, tb, net.peer_seq + 1); /* and on the way down */
  answered (&net, a, ta, net.peer_seq);
  assert_true ((net.last.flags & OWD_PROBE_REORDERED) != 0);
  net.peer_seq += 2;
  net.now += 10 * MS;
  good (&net);
  sum = finish (&net);
  assert_int_equal (sum.reordered, 2);
  assert_int_equal (sum.reordered_up, 1);
  assert_int_equal (sum.reordered_down, 1);
  assert_int_equal (sum.lost, 0);
}

static void
a_late_reply_is_late_and_its_packet_lost (void **state)
{
  Net net;
  OwdProbeSummary sum;
  guint32 seq;
  OwdTime t1;

  (void) state;
  setup (&net, (OwdProbeSessionConfig){ .timeout_ns = 50 * MS });
  good (&net);
  t1 = net.now;
  seq = sent (&net);
  net.peer_seq++;
  net.now += 10 * MS;
  for (guint i = 0; i < 10; i++)
    good (&net);
  assert_int_equal (answered (&net, seq, t1, 1), OWD_STATUS_LATE);
  good (&net);
  sum = finish (&net);
  assert_int_equal (sum.lost, 1);
  assert_int_equal (sum.late, 1);
  assert_int_equal (sum.lost_up + sum.lost_down, 0);
}

static void
seen_packets_that_never_left (void **state)
{
  Net net;
  OwdProbeSummary sum;
  guint32 seq;

  (void) state;
  setup (&net, (OwdProbeSessionConfig){ .kernel_tx = TRUE });
  for (guint i = 0; i < 4; i++) {
    seq = sent (&net);
    owd_probe_session_left (net.session, seq, net.now + 1000);
    if (i != 2)
      answered (&net, seq, net.now, net.peer_seq++);
    net.now += 10 * MS;
  }
  sent (&net);                              /* accepted by the system, dropped before the wire */
  owd_probe_session_not_sent (net.session); /* ECONNREFUSED */
  sum = finish (&net);
  assert_int_equal (sum.sent, 4);
  assert_int_equal (sum.lost, 1);
  assert_int_equal (sum.not_left, 1);
  assert_int_equal (sum.not_sent, 1);
}

static void
strangers_and_forgeries_answer_nothing (void **state)
{
  Net net;
  OwdProbeReply r;
  guint32 seq;

  (void) state;
  setup (&net, (OwdProbeSessionConfig){ 0 });
  seq = sent (&net);
  r = reply_to (&net, seq, net.now + 1, 0); /* not the stamp that we sent */
  assert_int_equal (arrives (&net, &r, net.now + MS), OWD_STATUS_MALFORMED);
  r = reply_to (&net, seq + 1, net.now, 0);
  assert_int_equal (arrives (&net, &r, net.now + MS), OWD_STATUS_MALFORMED);
  assert_int_equal (finish (&net).foreign, 2);
}

/* ---- queries ----------------------------------------------------------------------------------- */

/* Sends a query if one is due. Returns: its number; -1: none is. */
static gint64
asked (Net *net, guint32 *ret_run, guint32 *ret_first)
{
  guint32 seq = owd_probe_session_next_seq (net->session);

  if (!owd_probe_session_asks (net->session, net->now, ret_run, ret_first))
    return -1;
  owd_probe_session_asked (net->session, net->now, owd_probe_stamp_encode (net->now, FALSE));
  return seq;
}

static void
a_reflector_without_reports_is_asked_once (void **state)
{
  for (guint stateless = 0; stateless < 2; stateless++) {
    Net net;
    OwdProbeSummary sum;
    guint32 run, first;
    gint64 query;

    (void) state;
    setup (&net, (OwdProbeSessionConfig){ .reports = TRUE, .first_apart = TRUE });
    net.stateless = stateless;
    assert_true (owd_probe_session_wants_report (net.session));
    query = asked (&net, &run, &first);
    assert_int_equal (query, 0);
    assert_int_equal (first, 1);
    assert_false (owd_probe_session_waiting (net.session));
    assert_int_equal (answered (&net, (guint32) query, net.now, net.peer_seq++), OWD_STATUS_OK);
    assert_false (owd_probe_session_wants_report (net.session));
    assert_int_equal (net.samples, 0);
    for (guint i = 0; i < 1000; i++) {
      if (i % 50 == 7)
        lost_up (&net);
      else
        good (&net);
      assert_int_equal (asked (&net, &run, &first), -1);
    }
    owd_probe_session_close (net.session);
    assert_false (owd_probe_session_wants_report (net.session));
    sum = finish (&net);
    assert_int_equal (sum.sent, 1000);
    assert_int_equal (sum.answered, 980);
    assert_int_equal (sum.rtt.n, 979);
    assert_int_equal (sum.duplicates + sum.foreign + sum.reordered + sum.not_left, 0);
    assert_int_equal (sum.queries, 1);
    assert_int_equal (sum.reports, 0);
    assert_false (sum.peer_reports);
    assert_int_equal (sum.peer_stateful, !stateless);
    assert_int_equal (sum.lost_up, stateless ? 0 : 20);
  }
}

static void
a_reflector_that_drops_queries_is_left_alone_soon (void **state)
{
  Net net;
  OwdProbeSummary sum;
  guint32 run, first;
  OwdTime began;

  (void) state;
  setup (&net, (OwdProbeSessionConfig){ .reports = TRUE });
  began = net.now;
  for (; owd_probe_session_wants_report (net.session); net.now += MS)
    asked (&net, &run, &first);
  assert_in_range (net.now - began, 900 * MS, 1100 * MS); /* and measuring begins */
  for (guint i = 0; i < 2000; i++) {
    good (&net);
    asked (&net, &run, &first);
  }
  sum = finish (&net);
  assert_int_equal (sum.answered, 2000);
  assert_int_equal (sum.lost, 0);
  assert_in_range (sum.queries, 8, 24);
  assert_int_equal (sum.schedule.max_ns, 0);
}

static void
a_report_is_taken_or_left (void **state)
{
  Net net;
  OwdProbeReply r;
  OwdProbeSummary sum;
  OwdProbeArrivals told;
  guint32 run, first;
  gint64 query;

  (void) state;
  setup (&net, (OwdProbeSessionConfig){ .reports = TRUE, .run = 99 });
  query = asked (&net, &run, &first);
  assert_int_equal (run, 99);
  told = (OwdProbeArrivals){ .run = run, .life = 5, .first = first };
  r = reply_to (&net, (guint32) query, net.now, net.peer_seq++);
  r.got = OWD_PROBE_ASK_ARRIVALS;
  r.arrivals = told;
  r.arrivals.run++; /* somebody else's, or of long ago */
  arrives (&net, &r, net.now + UP + DOWN);
  assert_true (owd_probe_session_wants_report (net.session));
  r.arrivals = told;
  r.arrivals.arrived = 3; /* more than were sent */
  arrives (&net, &r, net.now + UP + DOWN);
  assert_true (owd_probe_session_wants_report (net.session));
  r.arrivals = told;
  arrives (&net, &r, net.now + UP + DOWN);
  assert_false (owd_probe_session_wants_report (net.session));
  net.now += 10 * MS;
  lost_up (&net); /* nothing before it, nothing behind the next */
  good (&net);
  lost_down (&net);
  net.now += OWD_NS_PER_S;
  owd_probe_session_advance (net.session, net.now);
  assert_false (owd_probe_session_waiting (net.session));
  owd_probe_session_close (net.session);
  assert_true (owd_probe_session_wants_report (net.session));
  query = asked (&net, &run, &first);
  r = reply_to (&net, (guint32) query, net.now, net.peer_seq++);
  r.got = OWD_PROBE_ASK_ARRIVALS;
  r.arrivals = told;
  r.arrivals.highest = 4;
  r.arrivals.arrived = 2;
  arrives (&net, &r, net.now + UP + DOWN);
  assert_false (owd_probe_session_wants_report (net.session));
  sum = finish (&net);
  assert_int_equal (sum.sent, 3);
  assert_int_equal (sum.lost_up, 1);
  assert_int_equal (sum.lost_down, 1);
  assert_int_equal (sum.lost_unknown, 0);
  assert_int_equal (sum.queries, 2);
  assert_int_equal (sum.reports, 2);
}

static void
another_log_begins_ahead_of_the_packets (void **state)
{
  Net net;
  OwdProbeReply r;
  OwdProbeSummary sum;
  guint32 run, first, run_before;
  gint64 query;
  guint arrived = 0;

  (void) state;
  setup (&net, (OwdProbeSessionConfig){ .reports = TRUE, .window = 64 });
  while (owd_probe_session_wants_report (net.session)) { /* nobody is there yet */
    asked (&net, &run, &first);
    net.now += MS;
  }
  run_before = run;
  for (guint i = 0; i < 100; i++)
    lost_up (&net);
  do {
    good (&net);
    query = asked (&net, &run, &first);
  } while (query < 0);
  assert_true (run != run_before);
  assert_true (first > (guint32) query);
  r = reply_to (&net, (guint32) query, net.now, net.peer_seq++);
  r.got = OWD_PROBE_ASK_ARRIVALS;
  r.arrivals = (OwdProbeArrivals){ .run = run, .life = 6, .first = first };
  arrives (&net, &r, net.now + UP + DOWN);
  while (owd_probe_session_next_seq (net.session) < first + 10) {
    gboolean counts = owd_probe_session_next_seq (net.session) >= first;

    if (counts && arrived == 5) {
      lost_down (&net);
      arrived++;
    } else {
      good (&net);
      arrived += counts;
    }
  }
  net.now += OWD_NS_PER_S;
  owd_probe_session_advance (net.session, net.now);
  owd_probe_session_close (net.session);
  query = asked (&net, &run, &first);
  r.sender_seq = (guint32) query;
  r.sender_stamp = owd_probe_stamp_encode (net.now, FALSE);
  r.seq = net.peer_seq++;
  r.arrivals.highest = (guint32) query - 1;
  r.arrivals.arrived = 10;
  arrives (&net, &r, net.now + UP + DOWN);
  sum = finish (&net);
  assert_int_equal (sum.lost, 101);
  assert_int_equal (sum.lost_down, 1); /* what was lost before the log began stays unknown */
  assert_int_equal (sum.lost_up, 0);
  assert_int_equal (sum.lost_unknown, 100);
}

/* ---- reflectors in the field ------------------------------------------------------------------- */

static void
seen_t1_and_t3_swapped (void **state)
{
  Net net;
  OwdProbeReply r;
  guint32 seq;

  (void) state;
  setup (&net, (OwdProbeSessionConfig){ 0 });
  seq = sent (&net);
  r = reply_to (&net, seq, net.now, 0);
  r.sender_stamp = r.t3;
  r.t3 = owd_probe_stamp_encode (net.now, FALSE);
  assert_int_equal (arrives (&net, &r, net.now + UP + STAY + DOWN), OWD_STATUS_OK);
  assert_int_equal (net.last.down_ns, DOWN);
  assert_true ((net.last.flags & OWD_PROBE_SWAPPED) != 0);
  finish (&net);
}

static void
seen_plain_echo (void **state)
{
  Net net;
  OwdProbeReply r = { .ttl = 0 };
  OwdProbeSummary sum;

  (void) state;
  setup (&net, (OwdProbeSessionConfig){ 0 });
  for (guint i = 0; i < 5; i++) {
    r.seq = sent (&net);
    r.t3 = owd_probe_stamp_encode (net.now, FALSE);
    assert_int_equal (arrives (&net, &r, net.now + 8 * MS), OWD_STATUS_OK);
    assert_true ((net.last.flags & OWD_PROBE_ECHO) != 0);
    net.now += 10 * MS;
  }
  assert_int_equal (net.last.up_ns, OWD_TIME_NONE);
  assert_int_equal (net.last.rtt_ns, 8 * MS);
  assert_true ((net.last.flags & OWD_PROBE_ECHO) != 0);
  sum = finish (&net);
  assert_int_equal (sum.answered, 5);
  assert_int_equal (sum.up.n, 0);
}

static void
seen_t2_equal_to_t3 (void **state)
{
  Net net;
  OwdProbeReply r;
  guint32 seq;

  (void) state;
  setup (&net, (OwdProbeSessionConfig){ 0 });
  seq = sent (&net);
  r = reply_to (&net, seq, net.now, 0);
  r.t3 = r.t2;
  r.ttl = -1; /* and ends before the TTL */
  assert_int_equal (arrives (&net, &r, net.now + UP + DOWN), OWD_STATUS_OK);
  assert_int_equal (net.last.rtt_ns, UP + DOWN);
  assert_int_equal (net.last.hops_up, -1);
  finish (&net);
}

static void
seen_copied_z_bit (void **state)
{
  Net net;
  OwdProbeReply r;
  guint32 seq;

  (void) state;
  setup (&net, (OwdProbeSessionConfig){ 0 });
  seq = sent (&net);
  r = reply_to (&net, seq, net.now, 0);
  r.t2 = owd_probe_stamp_encode (net.now + UP, TRUE); /* PTP stamps under Z = 0 */
  r.t3 = owd_probe_stamp_encode (net.now + UP + STAY, TRUE);
  assert_int_equal (arrives (&net, &r, net.now + UP + STAY + DOWN), OWD_STATUS_OK);
  assert_int_equal (net.last.up_ns, UP);
  assert_true ((net.last.flags & OWD_PROBE_FORMAT) != 0);
  finish (&net);
}

static guint64
nanoseconds_since_1900 (OwdTime t)
{
  return owd_probe_stamp_encode (t, TRUE) + ((guint64) OWD_PROBE_NTP_TO_UNIX_S << 32);
}

static guint64
fractions (OwdTime t)
{
  return owd_probe_stamp_encode (t, FALSE);
}

/* The seconds of NTP under a Z that says PTP: n packets, their stamps by wire(), all right or not told.
 * Returns: how many were not. */
static guint
disputed (guint64 (*wire) (OwdTime), gint64 phase, gint64 interval, gint64 offset, guint n)
{
  guint untold = 0;
  Net net;

  setup (&net, (OwdProbeSessionConfig){ .timeout_ns = 10 * OWD_NS_PER_S });
  net.now += phase;
  for (guint i = 0; i < n; i++, net.now += interval) {
    guint32 seq = sent (&net);
    OwdProbeReply r = reply_to (&net, seq, net.now, i);

    r.t2 = wire (net.now + UP + offset);
    r.t3 = wire (net.now + UP + STAY + offset);
    r.error = (OwdProbeError){ .error_ns = -1, .ptp = TRUE };
    assert_int_equal (arrives (&net, &r, net.now + UP + STAY + DOWN), OWD_STATUS_OK);
    assert_true ((net.last.flags & OWD_PROBE_FORMAT) != 0);
    if (net.last.up_ns == OWD_TIME_NONE) {
      assert_int_equal (untold, i); /* once known, it stays known */
      assert_true (net.last.t2 == OWD_TIME_NONE && net.last.t3 == OWD_TIME_NONE);
      assert_int_equal (net.last.rtt_ns, UP + STAY + DOWN);
      untold++;
      continue;
    }
    assert_true (ABS (net.last.up_ns - UP - offset) <= 1 && ABS (net.last.down_ns - DOWN + offset) <= 1);
    assert_true (ABS (net.last.rtt_ns - UP - DOWN) <= 1);
  }
  finish (&net);
  return untold;
}

/* Among NTP's fractions those of the first 0.233 s of a second could be nanoseconds, too. */
static void
disputed_stamps_are_told_when_they_are_known (void **state)
{
  (void) state;
  for (gint64 offset = -500 * MS; offset <= 500 * MS; offset += 125 * MS) {
    /* it needs what the wrong reading moves by in an interval, 0.77 of it, to be more than the 8 ms of the path */
    for (gint64 phase = 0; phase < OWD_NS_PER_S; phase += 50 * MS) {
      assert_in_range (disputed (nanoseconds_since_1900, phase, 10 * MS, offset, 150), 1, 2);
      assert_in_range (disputed (fractions, phase, 10 * MS, offset, 150), 0, 2);
    }
    assert_in_range (disputed (nanoseconds_since_1900, 0, 1370 * MS, offset, 20), 1, 2);
  }
  /* T2 and T3 on either side of a second: the wrong reading sees 0.77 s in between */
  assert_int_equal (disputed (nanoseconds_since_1900, OWD_NS_PER_S - UP - STAY / 2, 10 * MS, 0, 10), 0);
  /* always at the same place in a second: neither reading moves */
  assert_int_equal (disputed (nanoseconds_since_1900, 100 * MS, OWD_NS_PER_S, 0, 50), 50);
  assert_int_equal (disputed (fractions, 100 * MS, OWD_NS_PER_S, 0, 50), 50);
  assert_int_equal (disputed (fractions, 300 * MS, OWD_NS_PER_S, 0, 50), 0);
}

static void
bleaching_is_told_by_direction (void **state)
{
  Net net;
  OwdProbeReply r;
  OwdProbeArrival a;
  OwdProbeSummary sum;
  guint32 seq;

  (void) state;
  setup (&net, (OwdProbeSessionConfig){ .dscp = 46, .ecn = 1 });
  seq = sent (&net);
  r = reply_to (&net, seq, net.now, 0);
  r.got = OWD_PROBE_ASK_COS;
  r.dscp_seen = 46;
  r.ecn_seen = 3;
  a = (OwdProbeArrival){ .t4 = net.now + 9 * MS, .ttl = 60, .tos = 0, .own = net.own_error };
  assert_int_equal (owd_probe_session_reply (net.session, &r, &a), OWD_STATUS_OK);
  assert_int_equal (net.last.dscp_up, 46);
  assert_int_equal (net.last.dscp_down, 0);
  sum = finish (&net);
  assert_int_equal (sum.dscp_up, 0);
  assert_int_equal (sum.dscp_down, 1);
  assert_int_equal (sum.ce_up, 1);
  assert_int_equal (sum.ce_down, 0);
}

/* ---- long runs --------------------------------------------------------------------------------- */

static void
a_day_in_constant_memory (void **state)
{
  Net net;
  OwdProbeSummary sum;
  gsize memory;
  guint64 n = 86400 * 10, up = 0, down = 0;

  (void) state;
  setup (&net, (OwdProbeSessionConfig){ 0 });
  memory = owd_probe_session_memory (net.session);
  for (guint64 i = 0; i < n; i++) { /* ten packets a second */
    if (i % 997 == 500) {
      lost_up (&net);
      up++;
    } else if (i % 1009 == 700) {
      lost_down (&net);
      down++;
    } else {
      good (&net);
    }
    net.now += 90 * MS;
  }
  assert_int_equal (owd_probe_session_memory (net.session), memory);
  assert_true (memory < 100000);
  sum = finish (&net);
  assert_int_equal (sum.sent, n);
  assert_int_equal (sum.lost_up, up);
  assert_int_equal (sum.lost_down, down);
  assert_int_equal (sum.schedule.max_ns, 0);
}

static void
a_full_window_settles_its_oldest (void **state)
{
  OwdProbeSessionConfig cfg = { .window = 1 << 20, .timeout_ns = 1, .peer = OWD_PROBE_PEER_STATELESS };
  OwdProbeSession *session = owd_probe_session_new (&cfg, NULL, NULL);
  OwdProbeSummary sum;

  (void) state;
  /* a window of a million slots filled three times: slots are reused, nothing is lost track of */
  for (guint i = 0; i < 3u << 20; i++)
    owd_probe_session_sent (session, START + i * 1000, i, i * 1000);
  owd_probe_session_finish (session);
  owd_probe_session_summary (session, &sum);
  assert_int_equal (sum.sent, 3u << 20);
  assert_int_equal (sum.lost, 3u << 20);
  owd_probe_session_free (session);
}

/* ---- schedule and histogram -------------------------------------------------------------------- */

static void
schedules_are_absolute (void **state)
{
  OwdProbeSchedule s = { .kind = OWD_PROBE_ISOCHRONOUS, .interval_ns = 3 };
  double sum = 0, square = 0;
  OwdTime last = 0;

  (void) state;
  owd_probe_schedule_start (&s, 100);
  for (guint i = 0; i < 1000; i++)
    assert_int_equal (owd_probe_schedule_next (&s), 100 + 3 * i);
  s = (OwdProbeSchedule){ .kind = OWD_PROBE_BURST, .interval_ns = 1000, .burst = 3, .gap_ns = 10 };
  owd_probe_schedule_start (&s, 0);
  for (guint i = 0; i < 9; i++)
    assert_int_equal (owd_probe_schedule_next (&s), i / 3 * 1000 + i % 3 * 10);
  s = (OwdProbeSchedule){ .kind = OWD_PROBE_TRAIN, .interval_ns = 1000, .burst = 3, .gap_ns = 10 };
  owd_probe_schedule_start (&s, 0);
  for (guint i = 0; i < 9; i++)
    assert_int_equal (owd_probe_schedule_next (&s), i / 3 * 1000);
  s = (OwdProbeSchedule){ .kind = OWD_PROBE_POISSON, .interval_ns = OWD_NS_PER_MS, .seed = 42 };
  owd_probe_schedule_start (&s, 0);
  assert_int_equal (owd_probe_schedule_next (&s), 0);
  for (guint i = 0; i < 100000; i++) {
    OwdTime next = owd_probe_schedule_next (&s);
    double gap = (double) (next - last) / (double) OWD_NS_PER_MS;

    sum += gap;
    square += gap * gap;
    last = next;
  }
  assert_true (fabs (sum / 1e5 - 1) < 0.02);
  assert_true (fabs (square / 1e5 - 2) < 0.1); /* exponential: mean square is twice the square of the mean */
}

static void
quantiles_are_within_two_percent (void **state)
{
  g_autoptr (OwdProbeHistogram) zero = owd_probe_histogram_new (FALSE);
  g_autoptr (OwdProbeHistogram) shifted = owd_probe_histogram_new (TRUE);
  gint64 offset = -3 * OWD_NS_PER_S;
  OwdProbeStats stats;

  (void) state;
  for (gint64 i = 0; i < 10001; i++) {
    gint64 v = (i * 7919 % 10001) * 1000; /* 0 .. 10 ms, in no order */

    owd_probe_histogram_add (zero, v);
    owd_probe_histogram_add (shifted, offset + 5 * MS + (i == 0 ? 0 : v - 5 * MS));
  }
  owd_probe_histogram_stats (zero, &stats);
  assert_int_equal (stats.min_ns, 0);
  assert_int_equal (stats.max_ns, 10 * MS);
  assert_true (fabs (stats.mean_ns - 5e6) < 1);
  assert_true (fabs (stats.sd_ns - 2.887e6) < 2e3);
  assert_true (ABS (stats.p50_ns - 5 * MS) < MS / 10);
  assert_true (ABS (stats.p99_ns - 9900000) < 99 * MS / 500);
  owd_probe_histogram_stats (shifted, &stats); /* three seconds apart cost no resolution */
  assert_true (ABS (stats.p50_ns - offset - 5 * MS) < 20000);
  assert_true (ABS (stats.p05_ns - offset - MS / 2) < MS / 10);
  assert_true (ABS (stats.p95_ns - offset - 95 * MS / 10) < MS / 10);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (delays_of_a_quiet_path),
    cmocka_unit_test (another_clock_moves_owd_and_nothing_else),
    cmocka_unit_test (clocks_that_move_contradict_any_one_offset),
    cmocka_unit_test (a_clock_off_by_more_than_it_says_is_named),
    cmocka_unit_test (an_unstated_error_leaves_causality),
    cmocka_unit_test (the_first_packet_is_kept_apart),
    cmocka_unit_test (kernel_stamp_replaces_ours),
    cmocka_unit_test (follow_up_refines_the_reply_before),
    cmocka_unit_test (loss_is_told_by_direction),
    cmocka_unit_test (a_lost_copy_is_no_lost_packet),
    cmocka_unit_test (loss_at_the_edges_stays_unknown),
    cmocka_unit_test (a_stateless_reflector_is_found_out),
    cmocka_unit_test (a_reflector_that_starts_anew_does_not_invent_loss),
    cmocka_unit_test (a_number_that_never_moves_is_no_count),
    cmocka_unit_test (duplicates_are_told_by_direction),
    cmocka_unit_test (reordering_is_told_by_direction),
    cmocka_unit_test (a_late_reply_is_late_and_its_packet_lost),
    cmocka_unit_test (seen_packets_that_never_left),
    cmocka_unit_test (strangers_and_forgeries_answer_nothing),
    cmocka_unit_test (a_reflector_without_reports_is_asked_once),
    cmocka_unit_test (a_reflector_that_drops_queries_is_left_alone_soon),
    cmocka_unit_test (a_report_is_taken_or_left),
    cmocka_unit_test (another_log_begins_ahead_of_the_packets),
    cmocka_unit_test (seen_t1_and_t3_swapped),
    cmocka_unit_test (seen_plain_echo),
    cmocka_unit_test (seen_t2_equal_to_t3),
    cmocka_unit_test (seen_copied_z_bit),
    cmocka_unit_test (disputed_stamps_are_told_when_they_are_known),
    cmocka_unit_test (bleaching_is_told_by_direction),
    cmocka_unit_test (a_day_in_constant_memory),
    cmocka_unit_test (a_full_window_settles_its_oldest),
    cmocka_unit_test (schedules_are_absolute),
    cmocka_unit_test (quantiles_are_within_two_percent),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
