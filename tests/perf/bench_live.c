/* SPDX-License-Identifier: Apache-2.0
 *
 * The correlator with millions of flows in its memory at once.
 *
 *   bench_live make LOG   writes a flow log of one partition: routes of several points, conversations both ways
 *   bench_live run LOG    correlates it: CPU ns per record, memory per record, and whether each delay is the true one
 *
 * A conversation passes all points of its route and back. Three of five are TCP from SYN to FIN, exported within a
 * second of their end; the others are requests and answers of one packet, or TCP without an end, exported after an idle
 * time of 15 s; one in fifty lasts longer than the active timeout, which differs from point to point, and comes in
 * pieces. One exporter in two speaks NetFlow v9 with uptime stamps, the others IPFIX with absolute ones, all in steps
 * of 1 ms, unless --format says otherwise. Records stay in the correlator for KEEP_S of log time: the rate follows from
 * how many are to be there at once.
 *
 * Samples are ready when they stand in an array; what is checked of them is checked with the clock stopped.
 *
 * The delay between two points is a function of time alone: so the truth of a sample follows from its points and its
 * time. `run` leaves out the first WARM_S: by then as many records leave as come.
 */
#include "feed.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define KEEP_S 75
#define WARM_S 85
#define BEGIN_NS (G_GINT64_CONSTANT (1767225600) * OWD_NS_PER_S)
#define TICK_NS (20 * OWD_NS_PER_MS) /* each exporter sends so often */
#define TICKS 4096                   /* a ring: later than any lag */
#define EXPORTERS_MAX 256
#define DATAGRAM_RECORDS 25
#define IDLE_NS (15 * OWD_NS_PER_S)
#define ACTIVE_NS (10 * OWD_NS_PER_S)
#define QUEUE_NS (2 * OWD_NS_PER_MS)
#define QUEUE_PERIOD_NS (20 * OWD_NS_PER_S)
#define TCP_SYN_ 0x02
#define TCP_FIN_ 0x01

static gint exporters = 16, points = 2;

/* ---- truth ---------------------------------------------------------------------------------------- */

/* A queue that fills and drains. */
static gint64
queue_ns (OwdTime t)
{
  gint64 at = t % QUEUE_PERIOD_NS;

  return MIN (at, QUEUE_PERIOD_NS - at) * 2 * QUEUE_NS / QUEUE_PERIOD_NS;
}

/* From the route's first point to this one, or back to it from the last one, for packets that began at t. */
static gint64
way_ns (guint route, guint point, gboolean back, OwdTime t)
{
  guint hops = back ? (guint) points - 1 - point : point;

  return hops * ((back ? 9 : 4) * OWD_NS_PER_MS + route % 7 * 300 * OWD_NS_PER_US + queue_ns (t));
}

static gint64
true_delay_ns (guint from, guint to, OwdTime t)
{
  guint route = from / (guint) points;
  gboolean back = from > to;

  return way_ns (route, to % (guint) points, back, t) - way_ns (route, from % (guint) points, back, t);
}

/* ---- making a log --------------------------------------------------------------------------------- */

typedef struct {
  guint64 key; /* what addresses and ports come from */
  OwdTime start_ns, end_ns;
  guint32 packets;
  guint16 size; /* of a packet */
  guint8 proto, flags;
  guint8 back, end_reason;
} Piece;

typedef struct {
  guint number;
  OwdTime boot_ns;
  guint32 seq;
  gboolean uptime; /* v9 */
  GArray *due[TICKS];
} Exporter;

typedef struct {
  Exporter exporter[EXPORTERS_MAX];
  OwdLogAppender *appender;
  OwdTime now_ns;
  guint64 conversations, records;
} Maker;

static guint64
mix (guint64 x)
{
  x += G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
  x = (x ^ x >> 30) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  x = (x ^ x >> 27) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return x ^ x >> 31;
}

static void
schedule (Maker *m, Exporter *e, const Piece *piece, OwdTime at)
{
  gint64 tick = (MAX (at, m->now_ns + TICK_NS) - BEGIN_NS) / TICK_NS;

  g_assert (tick - (m->now_ns - BEGIN_NS) / TICK_NS < TICKS);
  g_array_append_vals (e->due[tick % TICKS], piece, 1);
}

/* One half at one point, cut by the active timeout. Packets are evenly spaced. */
static void
observe (Maker *m, Exporter *e, Piece half, guint64 r)
{
  gint64 gap_ns = half.packets > 1 ? (half.end_ns - half.start_ns) / (half.packets - 1) : 0;
  gint64 active_ns = ACTIVE_NS + e->number % 5 * OWD_NS_PER_S;
  gboolean fin = (half.flags & TCP_FIN_) != 0;

  half.end_ns = half.start_ns + gap_ns * (half.packets - 1);
  while (half.end_ns - half.start_ns > active_ns) {
    Piece piece = half;

    piece.packets = (guint32) (active_ns / gap_ns) + 1;
    piece.end_ns = half.start_ns + gap_ns * (piece.packets - 1);
    piece.flags &= (guint8) ~TCP_FIN_;
    piece.end_reason = OWD_END_ACTIVE;
    schedule (m, e, &piece, half.start_ns + active_ns);
    half.packets -= piece.packets;
    half.start_ns = piece.end_ns + gap_ns;
    half.flags &= (guint8) ~TCP_SYN_;
  }
  half.end_reason = fin ? OWD_END_DETECTED : OWD_END_IDLE;
  schedule (m, e, &half, half.end_ns + (fin ? 0 : IDLE_NS) + (gint64) (mix (r + e->number) % OWD_NS_PER_S));
}

static void
converse (Maker *m, OwdTime t)
{
  guint64 r = mix (m->conversations++), r2 = mix (r);
  guint routes = (guint) (exporters / points), route = (guint) (m->conversations % routes), kind = r % 100;
  Piece half
      = { .key = r, .start_ns = t, .packets = 4 + r2 % 37, .size = (guint16) (60 + (r2 >> 8) % 1200), .proto = 6 };
  gint64 length_ns = (gint64) (50 + (r2 >> 24) % 2950) * OWD_NS_PER_MS;

  if (kind < 60) {
    half.flags = TCP_SYN_ | TCP_FIN_ | 0x18;
  } else if (kind < 90) {
    half.proto = 17;
    half.packets = 1;
    length_ns = 0;
  } else if (kind < 98) {
    half.flags = TCP_SYN_ | 0x18;
  } else {
    half.flags = TCP_SYN_ | TCP_FIN_ | 0x18;
    half.packets *= 20;
    length_ns *= 10;
  }
  for (guint back = 0; back < 2; back++) {
    for (guint point = 0; point < (guint) points; point++) {
      Piece p = half;

      p.back = (guint8) back;
      p.packets += p.packets > 1 ? back : 0;
      p.start_ns += back * 40 * OWD_NS_PER_MS;
      p.end_ns = p.start_ns + length_ns;
      p.start_ns += way_ns (route, point, back, p.start_ns);
      p.end_ns += way_ns (route, point, back, p.end_ns);
      observe (m, &m->exporter[route * (guint) points + point], p, r2);
    }
  }
}

static OwdAddr
address (guint32 v4)
{
  guint8 b[4] = { (guint8) (v4 >> 24), (guint8) (v4 >> 16), (guint8) (v4 >> 8), (guint8) v4 };
  OwdAddr a;

  owd_addr_set_v4 (&a, b);
  return a;
}

static OwdFlow
flow_of (const Exporter *e, const Piece *p)
{
  guint32 client = 0x0a000000 + (guint32) (p->key >> 8 & 0xfffff),
          server = 0xc6336400 + (guint32) (p->key >> 40 & 0xff);
  guint16 high = (guint16) (1024 + (p->key >> 48 & 0xffff) % 64000), low = p->proto == 6 ? 443 : 53;
  gint64 origin_ns = e->uptime ? e->boot_ns : 0;

  return (OwdFlow){ .src = address (p->back ? server : client),
                    .dst = address (p->back ? client : server),
                    .sport = p->back ? low : high,
                    .dport = p->back ? high : low,
                    .proto = p->proto,
                    .tcp_flags = p->flags,
                    .start_kind = e->uptime ? OWD_STAMP_UPTIME_MS : OWD_STAMP_UNIX_MS,
                    .end_kind = e->uptime ? OWD_STAMP_UPTIME_MS : OWD_STAMP_UNIX_MS,
                    .start_raw = (guint64) (p->start_ns - origin_ns) / OWD_NS_PER_MS,
                    .end_raw = (guint64) (p->end_ns - origin_ns) / OWD_NS_PER_MS,
                    .in_if = 1u + p->back,
                    .out_if = 2u - p->back,
                    .packets = p->packets,
                    .octets = (guint64) p->packets * p->size,
                    .flags = OWD_FLOW_PACKETS | OWD_FLOW_OCTETS | OWD_FLOW_FLAGS,
                    .end_reason = p->end_reason };
}

/* All that is due at an exporter, at any moment within the tick. */
static void
export_due (Maker *m, Exporter *e)
{
  GArray *due = e->due[(m->now_ns - BEGIN_NS) / TICK_NS % TICKS];
  OwdTime sent_ns = m->now_ns + (gint64) (mix ((guint64) m->now_ns + e->number) % TICK_NS);

  for (guint i = 0; i < due->len; i++) {
    OwdFlow flow = flow_of (e, &g_array_index (due, Piece, i));

    if (i % DATAGRAM_RECORDS == 0) {
      OwdHeader h = { .key = { .addr = address (0x7f010001 + e->number), .version = e->uptime ? 9 : 10 },
                      .recv_ns = m->now_ns + TICK_NS,
                      .export_s = (guint32) (sent_ns / OWD_NS_PER_S),
                      .uptime_ms = e->uptime ? (guint32) ((sent_ns - e->boot_ns) / OWD_NS_PER_MS) : 0,
                      .flags = e->uptime ? OWD_HEADER_UPTIME : 0,
                      .seq = e->seq++,
                      .port = 2055,
                      .state = e->number };

      owd_log_appender_header (m->appender, &h);
    }
    if (owd_log_appender_flow (m->appender, &flow) != OWD_STATUS_OK)
      g_error ("the log takes no more: is the disk full?");
  }
  m->records += due->len;
  g_array_set_size (due, 0);
}

static void
make (const char *dir, guint64 live, guint seconds, const char *format)
{
  const OwdLogOptions options = { .partitions = 1 };
  g_autoptr (GError) error = NULL;
  g_autoptr (OwdLogWriter) writer = owd_log_writer_open (dir, &options, &error);
  g_autoptr (OwdLogAppender) appender = NULL;
  g_autofree Maker *m = g_new0 (Maker, 1);
  double per_tick = (double) live / KEEP_S / (2 * points * 1.04) * TICK_NS / OWD_NS_PER_S, todo = 0;

  if (writer == NULL)
    g_error ("%s", error->message);
  appender = m->appender = owd_log_appender_new (writer);
  for (guint i = 0; i < (guint) exporters; i++) {
    m->exporter[i] = (Exporter){ .number = i, .boot_ns = BEGIN_NS - (86400 + i * 1237) * OWD_NS_PER_S - i * 12345678 };
    m->exporter[i].uptime = g_str_equal (format, "v9") || (g_str_equal (format, "mixed") && i % 2 == 0);
    for (guint t = 0; t < TICKS; t++)
      m->exporter[i].due[t] = g_array_new (FALSE, FALSE, sizeof (Piece));
  }
  for (m->now_ns = BEGIN_NS; m->now_ns < BEGIN_NS + seconds * OWD_NS_PER_S; m->now_ns += TICK_NS) {
    for (todo += per_tick; todo >= 1; todo--)
      converse (m, m->now_ns + (gint64) (mix (m->conversations) % TICK_NS));
    for (guint i = 0; i < (guint) exporters; i++)
      export_due (m, &m->exporter[i]);
    if (m->now_ns % OWD_NS_PER_S == 0 && !owd_log_appender_beat (appender, m->now_ns, &error))
      g_error ("%s", error->message);
  }
  for (guint i = 0; i < (guint) exporters; i++)
    for (guint t = 0; t < TICKS; t++)
      g_array_unref (m->exporter[i].due[t]);
  if (!owd_log_appender_beat (appender, m->now_ns, &error))
    g_error ("%s", error->message);
  printf ("%" G_GUINT64_FORMAT " records of %" G_GUINT64_FORMAT " conversations\n", m->records, m->conversations);
}

/* ---- correlating it ------------------------------------------------------------------------------- */

typedef struct {
  OwdCorrelator *engine;
  GArray *ready;    /* OwdSample: of the block at hand */
  GArray *point_of; /* guint: exporter by the engine's state */
  guint64 samples, outside, digest;
  guint64 waiting;          /* peak */
  double off_ns, square_ns; /* sums */
} Run;

static gint64
cpu_ns (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &ts);
  return ts.tv_sec * OWD_NS_PER_S + ts.tv_nsec;
}

static void
on_sample (void *user, const OwdSample *s)
{
  Run *run = user;

  g_array_append_vals (run->ready, s, 1);
}

static void
check (Run *run, const OwdSample *s)
{
  gint64 truth_ns;

  for (guint i = run->point_of->len; i <= MAX (s->src, s->dst); i++) {
    OwdCorrelatorState state;
    guint number;

    owd_correlator_state (run->engine, i, &state);
    number = state.key.addr.b[14] * 256u + state.key.addr.b[15] - 1;
    g_array_append_val (run->point_of, number);
  }
  truth_ns = true_delay_ns (g_array_index (run->point_of, guint, s->src), g_array_index (run->point_of, guint, s->dst),
                            s->ts);
  run->samples++;
  run->off_ns += (double) (s->owd_ns - truth_ns);
  run->square_ns += (double) (s->owd_ns - truth_ns) * (double) (s->owd_ns - truth_ns);
  /* packets are evenly spaced at each point: those between the first and the last are off by less than a queue */
  run->outside += truth_ns < s->lo_ns - QUEUE_NS || truth_ns >= s->hi_ns + QUEUE_NS;
  run->digest = mix (run->digest ^ (guint64) s->ts) + mix ((guint64) s->owd_ns ^ s->flow) + (guint64) s->lo_ns * 3
                + (guint64) s->hi_ns * 5 + (guint64) s->sigma_ns * 7 + s->flags + s->kind * 65536u;
}

/* Those of the last block. */
static void
check_ready (Run *run)
{
  for (guint i = 0; i < run->ready->len; i++)
    check (run, &g_array_index (run->ready, OwdSample, i));
  g_array_set_size (run->ready, 0);
}

/* Anonymous memory of this process in bytes: the log's own pages do not count. */
static guint64
memory (void)
{
  g_autofree char *text = NULL;
  const char *line;

  if (!g_file_get_contents ("/proc/self/status", &text, NULL, NULL) || (line = strstr (text, "RssAnon:")) == NULL)
    return 0;
  return g_ascii_strtoull (line + 8, NULL, 10) * 1024;
}

/* What was told of shedding, against what was shed, while the share stood still. */
typedef struct {
  gint64 second;
  double told; /* at its beginning */
  guint64 records, shed;
  double told_sum, worst; /* records * told; largest relative error of a second */
  guint64 records_sum, shed_sum;
  guint seconds;
} Overload;

static void
watch (Overload *o, const OwdCorrelator *engine, OwdTime now)
{
  const OwdCorrelatorCounters *c = owd_correlator_counters (engine);
  double kept = owd_correlator_kept (engine);
  guint64 records = c->records - o->records, shed = c->shed - o->shed;

  if (now / OWD_NS_PER_S == o->second)
    return;
  if (kept < 1 && kept == o->told && records > 0) {
    double share = 1 - (double) shed / (double) records;

    o->seconds++;
    o->told_sum += kept * (double) records;
    o->records_sum += records;
    o->shed_sum += shed;
    o->worst = MAX (o->worst, fabs (share / kept - 1));
  }
  *o = (Overload){ .second = now / OWD_NS_PER_S,
                   .told = kept,
                   .records = c->records,
                   .shed = c->shed,
                   .told_sum = o->told_sum,
                   .worst = o->worst,
                   .records_sum = o->records_sum,
                   .shed_sum = o->shed_sum,
                   .seconds = o->seconds };
}

static void
tell_overload (const Overload *o, const OwdCorrelatorCounters *c)
{
  if (o->seconds == 0)
    return;
  printf ("kept %.3f %% of the records in %u seconds of shedding, told %.3f %%; worst second %.2f %% off; "
          "%" G_GUINT64_FORMAT " purged\n",
          100 - 100 * (double) o->shed_sum / (double) o->records_sum, o->seconds,
          100 * o->told_sum / (double) o->records_sum, 100 * o->worst, c->purged);
}

static void
correlate (const char *dir, guint32 max, guint64 rate)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (OwdLogReader) r = owd_log_reader_open (dir, 0, 0, &error);
  guint64 n = 0, n_warm = 0, before = memory ();
  gint64 spent_ns = 0;
  Run run = { .ready = g_array_new (FALSE, FALSE, sizeof (OwdSample)),
              .point_of = g_array_new (FALSE, FALSE, sizeof (guint)) };
  const OwdCorrelatorCounters *c;
  OwdCorrelatorConfig config;
  Overload overload = { 0 };
  OwdLogBlock b;
  double per;

  if (r == NULL)
    g_error ("%s", error->message);
  owd_correlator_config_init (&config);
  config.max_waiting = max;
  config.max_rate = rate;
  run.engine = owd_correlator_new (&config, on_sample, &run);
  for (;;) {
    gint64 begin_ns = cpu_ns ();

    if (owd_log_reader_next (r, &b, &error) != OWD_STATUS_OK)
      break;
    n += feed_block (run.engine, &b);
    spent_ns += cpu_ns () - begin_ns;
    check_ready (&run);
    run.waiting = MAX (run.waiting, owd_correlator_waiting (run.engine));
    watch (&overload, run.engine, b.time);
    if (n_warm == 0 && b.time >= BEGIN_NS + WARM_S * OWD_NS_PER_S) {
      spent_ns = 0;
      n_warm = n;
    }
  }
  per = (double) spent_ns / (double) MAX (n - n_warm, 1);
  c = owd_correlator_counters (run.engine);
  printf ("%.1f ns a record, %.2f million a second and core; %" G_GUINT64_FORMAT " records, %" G_GUINT64_FORMAT
          " of them after %u s\n",
          per, 1000 / per, n, n - n_warm, WARM_S);
  printf ("waiting %" G_GUINT64_FORMAT " records, horizon %.1f s, memory %.1f MB\n", run.waiting,
          (double) owd_correlator_horizon_ns (run.engine) / 1e9, (double) (memory () - before) / 1e6);
  owd_correlator_flush (run.engine);
  check_ready (&run);
  printf ("%" G_GUINT64_FORMAT " samples, %" G_GUINT64_FORMAT " away from the truth, bias %.1f us, spread %.1f us; "
          "unpaired %" G_GUINT64_FORMAT " undirected %" G_GUINT64_FORMAT " contradicted %" G_GUINT64_FORMAT
          " late %" G_GUINT64_FORMAT " ambiguous %" G_GUINT64_FORMAT " shed %" G_GUINT64_FORMAT "\n",
          run.samples, run.outside, run.off_ns / (double) MAX (run.samples, 1) / 1000,
          sqrt (run.square_ns / (double) MAX (run.samples, 1)) / 1000, c->unpaired, c->undirected, c->contradicted,
          c->late, c->ambiguous, c->shed);
  tell_overload (&overload, c);
  printf ("digest %016" G_GINT64_MODIFIER "x\n", run.digest);
  owd_correlator_free (run.engine);
  g_array_unref (run.point_of);
  g_array_unref (run.ready);
}

int
main (int argc, char **argv)
{
  gint64 live = 10000000;
  gint seconds = 160, max = 1 << 28, rate = 0;
  g_autofree char *format = NULL;
  const GOptionEntry entries[] = {
    { "live", 'n', 0, G_OPTION_ARG_INT64, &live, "make: records that wait at once (default 10 million)", "N" },
    { "points", 'p', 0, G_OPTION_ARG_INT, &points, "on each route (default 2); the same for make and run", "N" },
    { "exporters", 'e', 0, G_OPTION_ARG_INT, &exporters, "all routes' (default 16)", "N" },
    { "seconds", 's', 0, G_OPTION_ARG_INT, &seconds, "make: of log time (default 160)", "S" },
    { "format", 'f', 0, G_OPTION_ARG_STRING, &format, "make: v9, ipfix or mixed (default)", "NAME" },
    { "max", 'm', 0, G_OPTION_ARG_INT, &max, "run: waiting records at most", "N" },
    { "rate", 'r', 0, G_OPTION_ARG_INT, &rate, "run: records a second of log time at most", "N" },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (GOptionContext) context = g_option_context_new ("make|run LOG - many flows at once");
  g_autoptr (GError) error = NULL;

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error) || argc != 3 || exporters > EXPORTERS_MAX || points < 2
      || exporters % points != 0) {
    g_printerr ("%s\n", error != NULL ? error->message : "usage: bench_live [OPTION...] make|run LOG");
    return 2;
  }
  if (g_str_equal (argv[1], "make"))
    make (argv[2], (guint64) live, (guint) seconds, format != NULL ? format : "mixed");
  else
    correlate (argv[2], (guint32) max, (guint64) rate);
  return 0;
}
