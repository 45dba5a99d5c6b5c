/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_correlate [--read-only] LOG: CPU ns per record for reading a log, and for reading and correlating it, without a
 * database. One line of numbers, for endtoend.py, profiler.py and for people.
 */
#include "feed.h"

#include <stdio.h>
#include <time.h>

typedef struct {
  guint64 records, samples, checksum;
} Totals;

static gint64
cpu_ns (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &ts);
  return ts.tv_sec * OWD_NS_PER_S + ts.tv_nsec;
}

static void
on_sample (void *user, const OwdSample *sample)
{
  Totals *t = user;

  t->samples++;
  t->checksum += (guint64) sample->owd_ns;
}

static void
read_block (OwdLogBlock *b, Totals *t)
{
  OwdItemType type;
  OwdHeader header;
  OwdFlow flow;

  while (owd_log_block_next (b, &type, &header, &flow)) {
    if (type != OWD_ITEM_FLOW)
      continue;
    t->records++;
    t->checksum += flow.end_raw;
  }
}

static void
read_partition (const char *dir, guint partition, OwdCorrelator *engine, Totals *t)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (OwdLogReader) r = owd_log_reader_open (dir, partition, 0, &error);
  OwdLogBlock b;
  OwdStatus status = OWD_STATUS_OK;

  while (r != NULL && (status = owd_log_reader_next (r, &b, &error)) == OWD_STATUS_OK) {
    if (engine != NULL)
      t->records += feed_block (engine, &b);
    else
      read_block (&b, t);
  }
  if (r == NULL || status != OWD_STATUS_END)
    g_error ("partition %u: %s", partition, error != NULL ? error->message : owd_status_text (status));
  if (engine != NULL)
    owd_correlator_flush (engine);
}

static gint64
walk (const char *dir, guint partitions, gboolean correlate, Totals *t)
{
  gint64 before_ns = cpu_ns ();
  OwdCorrelatorConfig config;

  *t = (Totals){ 0 };
  owd_correlator_config_init (&config);
  for (guint i = 0; i < partitions; i++) {
    g_autoptr (OwdCorrelator) engine = correlate ? owd_correlator_new (&config, on_sample, t) : NULL;

    read_partition (dir, i, engine, t);
  }
  return cpu_ns () - before_ns;
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  gint64 read_ns, both_ns;
  OwdLogInfo info;
  Totals t;

  gboolean only = argc == 3 && g_str_equal (argv[1], "--read-only");

  if ((argc != 2 && !only) || !owd_log_info (argv[argc - 1], &info, &error)) {
    g_printerr ("%s\n", error != NULL ? error->message : "usage: bench_correlate [--read-only] LOG");
    return 2;
  }
  if (only) {
    read_ns = walk (argv[2], info.partitions, FALSE, &t);
    printf ("%" G_GUINT64_FORMAT " records %.1f ns read\n", t.records, (double) read_ns / (double) MAX (t.records, 1));
    return 0;
  }
  read_ns = walk (argv[1], info.partitions, FALSE, &t); /* brings the files to page cache, too */
  read_ns = walk (argv[1], info.partitions, FALSE, &t);
  both_ns = walk (argv[1], info.partitions, TRUE, &t);
  printf ("%" G_GUINT64_FORMAT " records %" G_GUINT64_FORMAT " samples %.1f ns read %.1f ns read+correlate\n",
          t.records, t.samples, (double) read_ns / (double) MAX (t.records, 1),
          (double) both_ns / (double) MAX (t.records, 1));
  return 0;
}
