/* SPDX-License-Identifier: Apache-2.0
 *
 * Samples per second through owd_store_commit(), and how long a timeline takes: the paths between POINTS points share a
 * day, one of them has a million samples in it. Wall clock; the server's work is most of it.
 *
 * bench_store [MILLIONS [POINTS]], with libpq's environment, on an empty database that will be filled:
 *   OWD_PG_BIN=... tests/sql/cluster.sh run build/tests/bench_store
 */
#include "owd-store.h"

#include <stdio.h>
#include <stdlib.h>

#define T0 (G_GINT64_CONSTANT (1795305600) * OWD_NS_PER_S) /* 2026-11-22 00:00 UTC */
#define DAY_NS (86400 * OWD_NS_PER_S)
#define BIG_PATH_SAMPLES 1000000

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

/* Sample i of n, spread over the day; every (n / BIG_PATH_SAMPLES)th on the path from point 0 to point 1. */
static OwdSample
make_sample (guint64 i, guint64 n, guint n_points, GRand *rand)
{
  guint32 r = g_rand_int (rand);
  OwdSample s = { .seq = i + 1,
                  .ts = T0 + (gint64) ((double) i / (double) n * (double) DAY_NS),
                  .owd_ns = 20 * OWD_NS_PER_MS + r % 5000000,
                  .sigma_ns = 410000,
                  .flow = (guint64) r << 32 | i,
                  .flags = OWD_SAMPLE_SYN,
                  .kind = OWD_SAMPLE_START,
                  .proto = 6 };

  s.lo_ns = s.owd_ns - OWD_NS_PER_MS;
  s.hi_ns = s.owd_ns + OWD_NS_PER_MS;
  if (i % (n / BIG_PATH_SAMPLES) == 0) {
    s.dst = 1;
  } else {
    s.src = 2 + r % (n_points - 2);
    s.dst = 2 + (s.src - 2 + 1 + (r >> 16) % (n_points - 3)) % (n_points - 2);
  }
  return s;
}

static void
fill (OwdStore *store, guint64 n, gsize batch, guint n_points)
{
  g_autofree OwdSample *samples = g_new (OwdSample, batch);
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);
  GError *error = NULL;
  OwdMark mark;
  gint64 spent_us = 0, began;

  if (!owd_store_claim (store, "bench", 0, 1, &mark, &error))
    fail (error);
  for (guint64 i = 0; i < n; i += batch) {
    for (gsize k = 0; k < batch; k++)
      samples[k] = make_sample (i + k, n, n_points, rand);
    mark = (OwdMark){ .offset = i + batch, .seq = i + batch, .watermark = samples[batch - 1].ts };
    began = g_get_monotonic_time ();
    if (!owd_store_commit (store, 0, samples, batch, NULL, 0, &mark, mark.watermark, &error))
      fail (error);
    spent_us += g_get_monotonic_time () - began;
    if ((i + batch) % 1000000 == 0)
      printf ("commit   %6.0f k samples/s after %" G_GUINT64_FORMAT " M in batches of %" G_GSIZE_FORMAT "\n",
              (double) (i + batch) * 1000 / (double) spent_us, (i + batch) / 1000000, batch);
  }
}

static void
time_timelines (OwdStore *store)
{
  static const char *const steps[] = { "10 s", "1 min", "1 h" };

  for (gsize i = 0; i < G_N_ELEMENTS (steps); i++) {
    GError *error = NULL;
    gint64 began = g_get_monotonic_time ();
    g_autoptr (OwdTable) table
        = owd_store_timeline (store, "point-0", "point-1", "2026-11-22 00:00", "2026-11-23 00:00", steps[i], &error);

    if (table == NULL)
      fail (error);
    printf ("timeline %6.0f ms for a day of 1 M samples by %s (%u bins)\n",
            (double) (g_get_monotonic_time () - began) / 1000, steps[i], table->n_rows);
  }
}

int
main (int argc, char **argv)
{
  guint64 n = (argc > 1 ? (guint64) atoi (argv[1]) : 4) * 1000000;
  guint n_points = argc > 2 ? (guint) atoi (argv[2]) : 50;
  g_autofree OwdPoint *points = make_points (n_points);
  g_autoptr (OwdStore) store = NULL;
  g_autoptr (OwdTable) matrix = NULL;
  GError *error = NULL;
  gint64 began;

  if (n < 2 * BIG_PATH_SAMPLES || n_points < 4 || n_points > 250) {
    fprintf (stderr, "bench_store [MILLIONS (2 or more) [POINTS (4 to 250)]]\n");
    return 2;
  }
  if (!owd_store_migrate (NULL, NULL, NULL, &error))
    fail (error);
  store = owd_store_open (NULL, "bench_store", &error);
  if (store == NULL || !owd_store_points (store, points, n_points, &error))
    fail (error);
  fill (store, n, 10000, n_points);
  time_timelines (store);
  began = g_get_monotonic_time ();
  matrix = owd_store_matrix (store, "2026-11-22 12:00", "2026-11-22 13:00", &error);
  if (matrix == NULL)
    fail (error);
  printf ("matrix   %6.0f ms for an hour of all %u paths\n", (double) (g_get_monotonic_time () - began) / 1000,
          matrix->n_rows);
  return 0;
}
