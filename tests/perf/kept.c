/* SPDX-License-Identifier: Apache-2.0
 *
 * kept LOG < NOTES: which records of a log the engine keeps. NOTES: "PARTITION OFFSET PPM" a line, by partition and
 * offset, as owd.share_use has them. One line per partition and second of log time: partition, second, records, kept,
 * and how many older ones left as their flows are not kept any more.
 */
#include "feed.h"

#include <stdio.h>

typedef struct {
  guint part;
  guint64 offset;
  double share;
} Note;

static void
print_second (guint partition, gint64 second, const OwdCorrelatorCounters *from, const OwdCorrelatorCounters *to)
{
  guint64 records = to->records - from->records;

  printf ("%u %" G_GINT64_FORMAT " %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\n", partition,
          second, records, records - (to->shed - from->shed), to->purged - from->purged);
}

static void
read_partition (const char *dir, guint partition, const GArray *notes)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (OwdLogReader) r = owd_log_reader_open (dir, partition, 0, &error);
  g_autoptr (OwdCorrelator) engine = NULL;
  OwdCorrelatorCounters before = { 0 };
  OwdCorrelatorConfig config;
  OwdStatus status = OWD_STATUS_OK;
  OwdTime time = OWD_TIME_NONE;
  guint64 offset = 0;
  guint next = 0;
  OwdLogBlock b;

  owd_correlator_config_init (&config);
  engine = owd_correlator_new (&config, NULL, NULL);
  while (r != NULL && (status = owd_log_reader_next (r, &b, &error)) == OWD_STATUS_OK) {
    for (; next < notes->len && g_array_index (notes, Note, next).part <= partition; next++) {
      const Note *note = &g_array_index (notes, Note, next);

      if (note->part == partition && note->offset > offset)
        break;
      if (note->part == partition)
        owd_correlator_limit (engine, note->share);
    }
    (void) feed_block (engine, &b);
    offset = b.next;
    if (time != OWD_TIME_NONE && b.time / OWD_NS_PER_S == time / OWD_NS_PER_S)
      continue;
    print_second (partition, b.time / OWD_NS_PER_S, &before, owd_correlator_counters (engine));
    before = *owd_correlator_counters (engine);
    time = b.time;
  }
  if (r == NULL || status != OWD_STATUS_END)
    g_error ("partition %u: %s", partition, error != NULL ? error->message : owd_status_text (status));
}

int
main (int argc, char **argv)
{
  g_autoptr (GArray) notes = g_array_new (FALSE, FALSE, sizeof (Note));
  g_autoptr (GError) error = NULL;
  OwdLogInfo info;
  guint ppm;
  Note note;

  if (argc != 2 || !owd_log_info (argv[1], &info, &error)) {
    g_printerr ("%s\n", error != NULL ? error->message : "usage: kept LOG < NOTES");
    return 2;
  }
  while (scanf ("%u %" G_GUINT64_FORMAT " %u", &note.part, &note.offset, &ppm) == 3) {
    note.share = ppm / 1e6;
    g_array_append_val (notes, note);
  }
  for (guint i = 0; i < info.partitions; i++)
    read_partition (argv[1], i, notes);
  return 0;
}
