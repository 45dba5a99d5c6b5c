/* SPDX-License-Identifier: Apache-2.0
 *
 * A day of samples through owd_store_commit() and owd_store_roll(), as a correlator at full speed writes them: PATHS
 * ordered pairs of POINTS points, every path equally busy, delays of a path's own length with a queue on top, seen by
 * stamps of 1 ms. Reports samples/s on the wall clock and per CPU second of all of the server's processes.
 *
 * bench_store [MILLIONS [POINTS [PATHS [HOURS]]]]: so many samples within the first HOURS (24) of the day; on an empty
 * database of a cluster of its own: see database.sh.
 */
#include "owd-store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define T0 (G_GINT64_CONSTANT (1795305600) * OWD_NS_PER_S) /* 2026-11-22 00:00 UTC */
#define BATCH 50000
#define BATCHES_PER_ROLL 20

typedef struct {
  guint points, paths;
  guint64 samples;
  gint64 range_ns;
  GRand *rand;
} Bench;

static void
fail (GError *error)
{
  fprintf (stderr, "bench_store: %s\n", error->message);
  exit (1);
}

static OwdPoint *
make_points (guint n)
{
  OwdPoint *points = g_new0 (OwdPoint, n);

  for (guint i = 0; i < n; i++) {
    owd_addr_set_v4 (&points[i].key.addr, (const guint8[]){ 192, 0, 2, (guint8) i });
    points[i].key.domain = i;
    points[i].key.version = 10;
    g_snprintf (points[i].name, sizeof points[i].name, "point-%u", i);
  }
  return points;
}

/* Sample i, spread over the day; its path is drawn. */
static OwdSample
make_sample (const Bench *b, guint64 i)
{
  guint32 r = g_rand_int (b->rand), path = r % b->paths;
  double queue_ns = -2e6 * log (g_rand_double_range (b->rand, 1e-9, 1));
  gint64 truth_ns = (5 + path * 37 % 75) * OWD_NS_PER_MS + (gint64) queue_ns;
  gint64 noise_ns = (gint64) (r >> 12) % OWD_NS_PER_MS - g_rand_int_range (b->rand, 0, OWD_NS_PER_MS);
  OwdSample s = { .seq = i + 1,
                  .ts = T0 + (gint64) ((double) i / (double) b->samples * (double) b->range_ns),
                  .owd_ns = truth_ns + noise_ns,
                  .sigma_ns = 408248,
                  .flow = (guint64) r << 32 | i,
                  .src = path % b->points,
                  .flags = OWD_SAMPLE_SYN,
                  .kind = OWD_SAMPLE_START,
                  .proto = 6 };

  s.dst = (s.src + 1 + path / b->points) % b->points;
  s.lo_ns = s.owd_ns - OWD_NS_PER_MS;
  s.hi_ns = s.owd_ns + OWD_NS_PER_MS;
  return s;
}

/* CPU seconds of the cluster's processes so far; those that have ended count for their parent. */
static double
server_cpu_s (void)
{
  g_autofree char *file = g_build_filename (g_getenv ("OWD_CLUSTER"), "data", "postmaster.pid", NULL), *text = NULL;
  g_autoptr (GDir) proc = g_dir_open ("/proc", 0, NULL);
  guint64 postmaster, ticks = 0;

  if (!g_file_get_contents (file, &text, NULL, NULL))
    return NAN;
  postmaster = g_ascii_strtoull (text, NULL, 10);
  for (const char *name; (name = g_dir_read_name (proc)) != NULL;) {
    g_autofree char *path = g_strdup_printf ("/proc/%s/stat", name), *stat = NULL;
    unsigned long long ppid, utime, stime, cutime, cstime;
    const char *rest;

    if (!g_ascii_isdigit (*name) || !g_file_get_contents (path, &stat, NULL, NULL)
        || (rest = strrchr (stat, ')')) == NULL
        || sscanf (rest, ") %*c %llu %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %llu %llu", &ppid, &utime, &stime,
                   &cutime, &cstime)
               != 5)
      continue;
    if (ppid == postmaster)
      ticks += utime + stime;
    else if (g_ascii_strtoull (name, NULL, 10) == postmaster)
      ticks += utime + stime + cutime + cstime;
  }
  return (double) ticks / (double) sysconf (_SC_CLK_TCK);
}

static void
roll (OwdStore *store, gboolean patient)
{
  GError *error = NULL;
  gboolean more = TRUE;

  while (more)
    if (!owd_store_roll (store, patient, &more, &error))
      fail (error);
}

static void
fill (const Bench *b, OwdStore *store)
{
  g_autofree OwdSample *samples = g_new (OwdSample, BATCH);
  gint64 commit_us = 0, roll_us = 0, began;
  double cpu_s = server_cpu_s (), roll_cpu_s = 0, before_s;
  GError *error = NULL;
  OwdMark mark;

  if (!owd_store_claim (store, "bench", 0, 1, &mark, &error))
    fail (error);
  for (guint64 i = 0; i < b->samples; i += BATCH) {
    gboolean last = i + BATCH >= b->samples;

    for (gsize k = 0; k < BATCH; k++)
      samples[k] = make_sample (b, i + k);
    mark = (OwdMark){ .offset = i + BATCH,
                      .seq = i + BATCH,
                      .watermark = last ? T0 + b->range_ns : samples[BATCH - 1].ts };
    began = g_get_monotonic_time ();
    if (!owd_store_commit (store, 0, samples, BATCH, NULL, 0, &mark, mark.watermark, &error))
      fail (error);
    commit_us += g_get_monotonic_time () - began;
    if (i / BATCH % BATCHES_PER_ROLL == 0 || last) {
      began = g_get_monotonic_time ();
      before_s = server_cpu_s ();
      roll (store, !last);
      roll_us += g_get_monotonic_time () - began;
      roll_cpu_s += server_cpu_s () - before_s;
    }
    if ((i + BATCH) % 5000000 == 0 || last) {
      double n = (double) (i + BATCH), used_s = server_cpu_s () - cpu_s;

      printf ("%4.0f M samples: committed %4.0f k/s, with roll-ups %4.0f k/s, per CPU second of the server %4.0f k"
              " (CPU of a sample %.2f us, %.2f of it for roll-ups)\n",
              n / 1e6, n * 1e3 / (double) commit_us, n * 1e3 / (double) (commit_us + roll_us), n / 1e3 / used_s,
              used_s * 1e6 / n, roll_cpu_s * 1e6 / n);
      fflush (stdout);
    }
  }
}

int
main (int argc, char **argv)
{
  Bench b = { .samples = (argc > 1 ? (guint64) atoi (argv[1]) : 4) * 1000000,
              .points = argc > 2 ? (guint) atoi (argv[2]) : 100,
              .paths = argc > 3 ? (guint) atoi (argv[3]) : 2000,
              .range_ns = (argc > 4 ? atoi (argv[4]) : 24) * 3600 * OWD_NS_PER_S,
              .rand = g_rand_new_with_seed (1) };
  g_autofree OwdPoint *points = NULL;
  g_autoptr (OwdStore) store = NULL;
  GError *error = NULL;

  if (b.samples == 0 || b.range_ns <= 0 || b.points < 2 || b.points > 250 || b.paths < 1
      || b.paths > b.points * (b.points - 1)) {
    fprintf (stderr, "bench_store [MILLIONS [POINTS (2 to 250) [PATHS [HOURS]]]]\n");
    return 2;
  }
  points = make_points (b.points);
  if (!owd_store_migrate (NULL, NULL, NULL, &error))
    fail (error);
  store = owd_store_open (NULL, "bench_store", &error);
  if (store == NULL || !owd_store_points (store, points, b.points, &error))
    fail (error);
  fill (&b, store);
  g_rand_free (b.rand);
  return 0;
}
