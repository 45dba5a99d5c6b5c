/* SPDX-License-Identifier: Apache-2.0
 *
 * Flow logs for tests: numbered records in a directory of their own, and a census of what a log holds.
 */
#ifndef TESTLOG_H
#define TESTLOG_H

#include "owd-flowlog.h"

#define TESTLOG_PER_DATAGRAM 10

/* Returns: (transfer full) a new directory that is not there yet, below a new temporary one. */
char *testlog_dir_new (void);
/* Removes it with all that is in it, and frees the name. */
void testlog_dir_free (char *dir);

/* Record and datagram number n, n from 1: every field follows from n, packets is n itself. */
OwdHeader testlog_header (guint n);
OwdFlow testlog_flow (guint n);
/* Appends records first..last; a new datagram begins before each multiple of TESTLOG_PER_DATAGRAM, and before first.
 * Returns: the first status that is not OWD_STATUS_OK. */
OwdStatus testlog_append (OwdLogAppender *appender, guint first, guint last);

/* What a walk over all partitions found. */
typedef struct {
  guint64 records, headers, blocks;
  guint checksum, gap; /* how often these were told */
  guint wrong;         /* records that are not testlog_flow (n), or not under their header */
  guint backwards;     /* blocks whose time lies before that of the block in front */
  guint max;           /* seen[] has 0..max */
  guint8 *seen;        /* how often record n is there */
} TestlogCensus;

/* Counts records 1..max. FALSE: a final error, set. */
gboolean testlog_census (const char *dir, guint max, TestlogCensus *ret_census, GError **error);
void testlog_census_clear (TestlogCensus *census);
/* Every record first..last is there once. */
gboolean testlog_census_complete (const TestlogCensus *census, guint first, guint last);

/* Returns: (transfer full) path of the i-th segment of a partition; -1: the newest. NULL: none. */
char *testlog_segment (const char *dir, guint partition, int i);

#endif
