/* SPDX-License-Identifier: Apache-2.0
 *
 * Loss, copies and overtaking on both ways at once, between a real sender and a real reflector, in a network that keeps
 * its own books: what the sender says of each way must be the truth, or an interval that holds it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "owd-probe.h"

#define START (G_GINT64_CONSTANT (1795330014) * OWD_NS_PER_S)
#define MS OWD_NS_PER_MS
#define TIMEOUT (200 * MS)

typedef struct {
  double loss, duplicate, reorder;
  gint64 delay_ns, hold_ns;
} Way;

typedef struct {
  Way up, down;
  guint n;
  gint64 interval_ns;
  gint64 timeout_ns; /* 0: TIMEOUT */
  gboolean reports;
  guint restart_at;         /* packet before which the reflector forgets everything; 0: never */
  guint dark_from, dark_to; /* packets in between: nothing passes the way down */
} Scene;

typedef struct {
  OwdTime at;
  guint order;    /* who is first at the same time */
  gboolean query; /* or its answer: not in the books */
  gboolean copy;
  guint number; /* in order of departure, each way; measured packets only */
  gsize len;
  guint8 data[160];
} Packet;

typedef struct {
  guint64 lost_up, lost_replies, copies_up, copies_down, overtaken_up, overtaken_down;
} Truth;

typedef struct {
  GRand *random;
  const Scene *scene;
  OwdProbeSession *session;
  OwdProbeReflector *reflector;
  GArray *up, *down; /* of Packet, sent and not arrived yet; by time */
  guint order;
  Truth truth;
  guint departed_up, departed_down; /* measured packets, and replies to them */
  guint newest_up, newest_down;
  gboolean dark;
} Net;

static gint64
timeout_of (const Scene *scene)
{
  return scene->timeout_ns > 0 ? scene->timeout_ns : TIMEOUT;
}

static gint
by_time (gconstpointer a, gconstpointer b)
{
  const Packet *x = a, *y = b;

  if (x->at != y->at)
    return x->at < y->at ? -1 : 1;
  return x->order < y->order ? -1 : 1;
}

/* Sends a packet on its way. */
static void
travel (Net *net, const Way *way, GArray *queue, const Packet *packet, guint64 *lost, guint64 *copies)
{
  Packet p = *packet;

  if (g_rand_double (net->random) < way->loss || (net->dark && queue == net->down)) {
    *lost += !p.query;
    return;
  }
  p.at += way->delay_ns + (g_rand_double (net->random) < way->reorder ? way->hold_ns : 0);
  p.order = net->order++;
  g_array_append_val (queue, p);
  if (g_rand_double (net->random) < way->duplicate) {
    *copies += !p.query;
    p.order = net->order++;
    p.copy = TRUE;
    g_array_append_val (queue, p);
  }
  g_array_sort (queue, by_time);
}

/* A packet is there: has a later one overtaken it? */
static void
watch (const Packet *p, guint *newest, guint64 *overtaken)
{
  if (p->query || p->copy)
    return;
  if (p->number < *newest)
    ++*overtaken;
  else
    *newest = p->number;
}

static OwdProbeReflector *
new_reflector (Net *net)
{
  OwdProbeReflectorConfig cfg = { .sessions = 4, .sources = 4, .seed = g_rand_int (net->random) };

  return owd_probe_reflector_new (&cfg);
}

static void
depart (Net *net, OwdTime now, OwdProbeRequest *r)
{
  Packet p = { .at = now, .query = r->ask != 0, .number = r->ask != 0 ? 0 : ++net->departed_up };

  r->seq = owd_probe_session_next_seq (net->session);
  r->stamp = owd_probe_stamp_encode (now, FALSE);
  r->error = 0x8020;
  r->ssid = 7;
  p.len = owd_probe_request_build (r, p.data, sizeof p.data);
  assert_true (p.len > 0);
  travel (net, &net->scene->up, net->up, &p, &net->truth.lost_up, &net->truth.copies_up);
}

static void
send_one (Net *net, OwdTime now)
{
  OwdProbeRequest r = { 0 };

  owd_probe_session_advance (net->session, now);
  depart (net, now, &r);
  owd_probe_session_sent (net->session, now, r.stamp, now - START);
}

static void
ask (Net *net, OwdTime now)
{
  OwdProbeRequest r = { .ask = OWD_PROBE_ASK_ARRIVALS };

  if (!owd_probe_session_asks (net->session, now, &r.run, &r.first))
    return;
  depart (net, now, &r);
  owd_probe_session_asked (net->session, now, r.stamp);
}

static void
reflect (Net *net, const Packet *packet)
{
  OwdProbeQuestion q = { .data = packet->data,
                         .len = packet->len,
                         .sport = 1,
                         .dport = 862,
                         .t2 = packet->at,
                         .t3 = packet->at + 20000,
                         .ttl = 255,
                         .tos = 0,
                         .error = { .error_ns = 1000 } };
  OwdProbeAnswer answer;
  Packet p = { .at = q.t3, .query = packet->query, .number = packet->query ? 0 : ++net->departed_down };

  watch (packet, &net->newest_up, &net->truth.overtaken_up);
  owd_addr_set_v4 (&q.src, (const guint8 *) "\xc0\x00\x02\x01");
  assert_int_equal (owd_probe_reflector_answer (net->reflector, &q, p.data, sizeof p.data, &answer),
                    OWD_PROBE_ANSWERED);
  p.len = answer.len;
  travel (net, &net->scene->down, net->down, &p, &net->truth.lost_replies, &net->truth.copies_down);
}

static void
receive (Net *net, const Packet *p)
{
  OwdProbeArrival a = { .t4 = p->at, .ttl = 255, .tos = 0, .own = { .error_ns = 1000 } };
  OwdProbeReply reply;

  watch (p, &net->newest_down, &net->truth.overtaken_down);
  assert_int_equal (owd_probe_reply_parse (p->data, p->len, NULL, &reply), OWD_STATUS_OK);
  owd_probe_session_reply (net->session, &reply, &a);
}

/* Everything that happens until `now`. */
static void
pass (Net *net, OwdTime now)
{
  for (;;) {
    const Packet *up = net->up->len > 0 ? &g_array_index (net->up, Packet, 0) : NULL;
    const Packet *down = net->down->len > 0 ? &g_array_index (net->down, Packet, 0) : NULL;
    GArray *queue = up != NULL && (down == NULL || up->at <= down->at) ? net->up : net->down;
    Packet p;

    if (queue->len == 0 || g_array_index (queue, Packet, 0).at > now)
      return;
    p = g_array_index (queue, Packet, 0);
    g_array_remove_index (queue, 0);
    if (queue == net->up)
      reflect (net, &p);
    else
      receive (net, &p);
  }
}

/* Before the first packet, and after the last one, as the sender does. Returns: when it was over. */
static OwdTime
wait_for_reports (Net *net, OwdTime now)
{
  for (; owd_probe_session_wants_report (net->session); now += 5 * MS) {
    pass (net, now);
    ask (net, now);
  }
  return now;
}

static OwdTime
wait_for_replies (Net *net, OwdTime now)
{
  OwdTime end = now + timeout_of (net->scene);

  for (; now < end && owd_probe_session_waiting (net->session); now += 5 * MS)
    pass (net, now);
  owd_probe_session_advance (net->session, now);
  return now;
}

static OwdProbeSummary
run (const Scene *scene, guint32 seed, Truth *ret_truth)
{
  OwdProbeSessionConfig cfg = { .window = (guint) (timeout_of (scene) / scene->interval_ns) + 16,
                                .timeout_ns = timeout_of (scene),
                                .reports = scene->reports,
                                .run = seed };
  Net net = { .random = g_rand_new_with_seed (seed), .scene = scene };
  OwdProbeSummary sum;
  OwdTime begin;

  net.session = owd_probe_session_new (&cfg, NULL, NULL);
  net.up = g_array_new (FALSE, FALSE, sizeof (Packet));
  net.down = g_array_new (FALSE, FALSE, sizeof (Packet));
  net.reflector = new_reflector (&net);
  begin = wait_for_reports (&net, START) + 20 * MS;
  for (guint i = 0; i < scene->n; i++) {
    OwdTime now = begin + i * scene->interval_ns;

    pass (&net, now);
    if (scene->restart_at > 0 && i == scene->restart_at) {
      owd_probe_reflector_free (net.reflector);
      net.reflector = new_reflector (&net);
    }
    net.dark = i >= scene->dark_from && i < scene->dark_to;
    send_one (&net, now);
    ask (&net, now);
  }
  net.dark = scene->dark_to > scene->n;
  begin = wait_for_replies (&net, begin + scene->n * scene->interval_ns);
  owd_probe_session_close (net.session);
  wait_for_reports (&net, begin);
  pass (&net, G_MAXINT64);
  owd_probe_session_finish (net.session);
  owd_probe_session_summary (net.session, &sum);
  owd_probe_session_free (net.session);
  owd_probe_reflector_free (net.reflector);
  g_array_unref (net.up);
  g_array_unref (net.down);
  g_rand_free (net.random);
  *ret_truth = net.truth;
  return sum;
}

static guint32
base_seed (void)
{
  const char *wanted = g_getenv ("SEED");
  guint32 seed = wanted != NULL ? (guint32) strtoul (wanted, NULL, 10) : g_random_int ();

  printf ("seed %u\n", seed);
  return seed;
}

/* RUNS: more of them than a check has time for. */
static guint
runs_wanted (guint usual)
{
  const char *wanted = g_getenv ("RUNS");

  return wanted != NULL ? (guint) strtoul (wanted, NULL, 10) : usual;
}

typedef struct {
  guint runs, exact, wrong;
  guint64 open, lost; /* packets whose way is not told; of so many */
} Score;

static void
print_score (const char *what, const Score *score)
{
  printf ("%s: %u of %u exact, %u wrong, %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " open\n", what, score->exact,
          score->runs, score->wrong, score->open, score->lost);
}

static void
judge (Score *score, const OwdProbeSummary *sum, const Truth *truth)
{
  guint64 down = sum->lost - truth->lost_up;

  gboolean losses = sum->lost_up == truth->lost_up && sum->lost_down == down;
  gboolean copies = sum->duplicates_up == truth->copies_up && sum->duplicates_down == truth->copies_down;
  gboolean order = sum->reordered_up == truth->overtaken_up && sum->reordered_down == truth->overtaken_down;
  /* the line has lost replies to packets, and replies to copies */
  gboolean replies
      = sum->lost_down + truth->copies_up - (sum->duplicates - sum->duplicates_down) == truth->lost_replies;

  score->runs++;
  score->exact += losses && copies && order && replies;
  score->wrong += sum->lost_up > truth->lost_up || sum->lost_down > down;
  score->open += sum->lost_unknown;
  score->lost += sum->lost;
  assert_int_equal (sum->lost, sum->lost_up + sum->lost_down + sum->lost_unknown);
}

static const Scene all_at_once = { .up = { 0.02, 0.02, 0.02, 6 * MS, 3 * MS },
                                   .down = { 0.04, 0.02, 0.01, 11 * MS, 3 * MS },
                                   .n = 1000,
                                   .interval_ns = MS,
                                   .reports = TRUE };

/* Runs with seeds from the base seed on. */
static Score
judged (const Scene *scene, guint runs, const char *what)
{
  guint32 seed = base_seed ();
  Score score = { 0 };

  for (guint i = 0; i < runs; i++) {
    Truth truth;
    OwdProbeSummary sum = run (scene, seed + i, &truth);

    judge (&score, &sum, &truth);
  }
  print_score (what, &score);
  return score;
}

/* ---- with reports of arrivals ------------------------------------------------------------------ */

static void
reports_tell_exactly (void **state)
{
  Score score;

  (void) state;
  score = judged (&all_at_once, runs_wanted (200), "with reports");
  assert_int_equal (score.wrong, 0);
  assert_true ((score.runs - score.exact) * 1000 <= score.runs);
}

static void
reports_tell_exactly_even_of_a_wreck (void **state)
{
  Scene scene = all_at_once;
  Score score;

  (void) state;
  scene.up = (Way){ 0.2, 0.1, 0.1, 60 * MS, 40 * MS };
  scene.down = (Way){ 0.2, 0.1, 0.1, 30 * MS, 10 * MS };
  score = judged (&scene, runs_wanted (40), "with reports, a fifth lost each way");
  assert_int_equal (score.wrong, 0);
  assert_true ((score.runs - score.exact) * 100 <= score.runs); /* not one query or its answer may come through */
}

/* The first report is there when packets have left: a log has to be begun under way, and again after the restart. */
static void
a_way_longer_than_the_opening_is_told (void **state)
{
  Scene scene = all_at_once;
  Score score;

  (void) state;
  scene.up.delay_ns = 700 * MS;
  scene.down.delay_ns = 600 * MS;
  scene.timeout_ns = 3000 * MS;
  scene.n = 30000;
  scene.restart_at = 15000;
  score = judged (&scene, 2, "over a long way");
  assert_int_equal (score.wrong, 0);
  assert_true (score.open * 2 < score.lost);
}

/* Whatever happens: nothing wrong is told. */
static void
no_network_makes_reports_lie (void **state)
{
  guint32 seed = base_seed ();
  guint runs = runs_wanted (40);
  g_autoptr (GRand) r = g_rand_new_with_seed (seed);
  Score score = { 0 };

  (void) state;
  for (guint i = 0; i < runs; i++) {
    Scene scene = { .n = (guint) g_rand_int_range (r, 1, 4000), .reports = TRUE };
    Way *ways[] = { &scene.up, &scene.down };
    Truth truth;
    OwdProbeSummary sum;

    for (guint k = 0; k < 2; k++)
      *ways[k]
          = (Way){ g_rand_double_range (r, 0, 0.5), g_rand_double_range (r, 0, 0.3), g_rand_double_range (r, 0, 0.3),
                   g_rand_int_range (r, 0, 70) * MS, g_rand_int_range (r, 0, 30) * MS };
    scene.interval_ns = g_rand_int_range (r, 200, 20000) * OWD_NS_PER_US;
    scene.restart_at = g_rand_int_range (r, 0, 3) == 0 ? (guint) g_rand_int_range (r, 1, 4000) : 0;
    if (g_rand_int_range (r, 0, 4) == 0) {
      scene.dark_from = (guint) g_rand_int_range (r, 0, 4000);
      scene.dark_to = scene.dark_from + (guint) g_rand_int_range (r, 0, 4000);
    }
    sum = run (&scene, seed + i, &truth);
    judge (&score, &sum, &truth);
  }
  print_score ("over any network", &score);
  assert_int_equal (score.wrong, 0);
}

static void
an_outage_longer_than_any_window_is_told (void **state)
{
  Scene scene = all_at_once;
  guint32 seed = base_seed ();
  Score score = { 0 };

  (void) state;
  scene.n = 6000;
  scene.dark_from = 1000;
  scene.dark_to = 5000;
  for (guint i = 0; i < 10; i++) {
    Truth truth;
    OwdProbeSummary sum = run (&scene, seed + i, &truth);

    judge (&score, &sum, &truth);
    assert_true (sum.lost > 3900);
  }
  assert_int_equal (score.wrong, 0);
  assert_true (score.open < 40);
}

static void
a_reflector_that_begins_anew_leaves_little_open (void **state)
{
  Scene scene = all_at_once;
  Score score;

  (void) state;
  scene.n = 8000;
  scene.restart_at = 4000;
  score = judged (&scene, 20, "with a restart");
  assert_int_equal (score.wrong, 0);
  assert_true (score.open * 10 < score.lost); /* what was lost between the last report and another log */
}

/* ---- without ----------------------------------------------------------------------------------- */

static void
without_reports_an_interval_holds_the_truth (void **state)
{
  Scene scene = all_at_once;
  Score score;

  (void) state;
  scene.reports = FALSE;
  score = judged (&scene, 400, "without");
  assert_true (score.wrong <= 3); /* 99.9 % are promised */
  assert_true (score.open * 4 < score.lost);
}

static void
loss_alone_needs_no_reports (void **state)
{
  Scene scene = all_at_once;
  Score score;

  (void) state;
  scene.reports = FALSE;
  scene.up.duplicate = scene.up.reorder = scene.down.duplicate = scene.down.reorder = 0;
  score = judged (&scene, 100, "loss alone");
  assert_int_equal (score.wrong, 0);
  assert_true (score.open * 100 < score.lost);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (reports_tell_exactly),
    cmocka_unit_test (reports_tell_exactly_even_of_a_wreck),
    cmocka_unit_test (a_way_longer_than_the_opening_is_told),
    cmocka_unit_test (no_network_makes_reports_lie),
    cmocka_unit_test (an_outage_longer_than_any_window_is_told),
    cmocka_unit_test (a_reflector_that_begins_anew_leaves_little_open),
    cmocka_unit_test (without_reports_an_interval_holds_the_truth),
    cmocka_unit_test (loss_alone_needs_no_reports),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
