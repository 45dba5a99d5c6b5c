/* SPDX-License-Identifier: Apache-2.0
 *
 * What the log survives: death of its writer at any instant, torn and zeroed tails, a full disk.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "owd-flowlog.h"
#include "testlog.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define GIB (G_GUINT64_CONSTANT (1) << 30)
#define LAST_BLOCK_BYTES 40 /* what a clean end leaves behind */

static int
make_dir (void **state)
{
  *state = testlog_dir_new ();
  return 0;
}

static int
remove_dir (void **state)
{
  testlog_dir_free (*state);
  return 0;
}

static OwdLogWriter *
open_writer (const char *dir, guint partitions)
{
  OwdLogOptions options = { .partitions = partitions, .block_bytes = 4096, .segment_bytes = 1 << 20 };
  g_autoptr (GError) error = NULL;
  OwdLogWriter *w = owd_log_writer_open (dir, &options, &error);

  if (w == NULL)
    fail_msg ("%s", error->message);
  return w;
}

/* Appends a block with records first..last; clean end. Returns: what opening cut. */
static guint64
add_block (const char *dir, guint first, guint last)
{
  g_autoptr (OwdLogWriter) w = open_writer (dir, 1);
  g_autoptr (OwdLogAppender) a = owd_log_appender_new (w);

  assert_int_equal (testlog_append (a, first, last), OWD_STATUS_OK);
  assert_true (owd_log_appender_flush (a, testlog_header (last).recv_ns, NULL));
  return owd_log_writer_cut_bytes (w, NULL);
}

static void
assert_log_has (const char *dir, guint first, guint last)
{
  TestlogCensus c;

  assert_true (testlog_census (dir, last, &c, NULL));
  assert_int_equal (c.wrong + c.checksum + c.gap + c.backwards, 0);
  assert_int_equal (c.records, last - first + 1);
  assert_true (testlog_census_complete (&c, first, last));
  testlog_census_clear (&c);
}

static guint64
last_offset (const char *dir)
{
  g_autoptr (OwdLogReader) r = owd_log_reader_open (dir, 0, 0, NULL);
  OwdLogBlock b;

  while (owd_log_reader_next (r, &b, NULL) == OWD_STATUS_OK)
    ;
  return owd_log_reader_offset (r);
}

static goffset
size_of (const char *path)
{
  struct stat st;

  assert_int_equal (stat (path, &st), 0);
  return st.st_size;
}

static void
clean_end_leaves_no_hole (void **state)
{
  guint64 end;

  assert_int_equal (add_block (*state, 1, 10), 0);
  end = last_offset (*state);
  assert_int_equal (add_block (*state, 11, 20), 0);
  assert_log_has (*state, 1, 20);
  assert_true (last_offset (*state) < end + 8192);
}

static void
unclean_end_leaves_a_gibibyte (void **state)
{
  g_autofree char *path = NULL;
  guint64 end;

  add_block (*state, 1, 10);
  path = testlog_segment (*state, 0, 0);
  assert_int_equal (truncate (path, size_of (path) - LAST_BLOCK_BYTES), 0);
  end = last_offset (*state);
  {
    /* waits at the end, while the log is opened again */
    g_autoptr (OwdLogReader) r = owd_log_reader_open (*state, 0, end, NULL);
    OwdLogBlock b;

    assert_int_equal (owd_log_reader_next (r, &b, NULL), OWD_STATUS_END);
    assert_int_equal (add_block (*state, 11, 20), 0);
    assert_int_equal (owd_log_reader_next (r, &b, NULL), OWD_STATUS_OK);
    assert_in_range (b.offset, end + GIB, end + GIB + 8192);
  }
  assert_log_has (*state, 1, 20);
  /* an offset that was committed before the machine forgot its block */
  for (guint64 lost = end; lost < end + GIB; lost += GIB / 4) {
    g_autoptr (OwdLogReader) r = owd_log_reader_open (*state, 0, lost, NULL);
    OwdLogBlock b;

    assert_int_equal (owd_log_reader_next (r, &b, NULL), OWD_STATUS_OK);
    assert_true (b.offset > end + GIB);
  }
}

/* Two blocks, records 1..10 and 11..13, as they are in the file while the writer lives. */
static char *
two_blocks (const char *dir, gsize *ret_len, guint64 *ret_first_end, char **ret_path)
{
  g_autoptr (OwdLogWriter) w = open_writer (dir, 1);
  g_autoptr (OwdLogAppender) a = owd_log_appender_new (w);
  char *data;

  assert_int_equal (testlog_append (a, 1, 10), OWD_STATUS_OK);
  assert_true (owd_log_appender_flush (a, testlog_header (10).recv_ns, NULL));
  *ret_first_end = last_offset (dir);
  assert_int_equal (testlog_append (a, 11, 13), OWD_STATUS_OK);
  assert_true (owd_log_appender_flush (a, testlog_header (13).recv_ns, NULL));
  *ret_path = testlog_segment (dir, 0, 0);
  assert_true (g_file_get_contents (*ret_path, &data, ret_len, NULL));
  return data;
}

/* The second block torn at each of its bytes; tail: so many zeros behind what is left, as after a power cut. */
static void
torn_tail (const char *dir, gsize tail)
{
  g_autofree char *path = NULL, *data = NULL;
  g_autofree char *zeros = g_malloc0 (tail);
  guint64 first_end;
  gsize len;

  data = two_blocks (dir, &len, &first_end, &path);
  for (gsize kept = first_end + 1; kept < len; kept++) {
    g_autoptr (GByteArray) torn = g_byte_array_new ();
    g_autoptr (OwdLogWriter) w = NULL;
    guint partitions;

    g_byte_array_append (torn, (const guint8 *) data, (guint) kept);
    g_byte_array_append (torn, (const guint8 *) zeros, (guint) tail);
    assert_true (g_file_set_contents (path, (const char *) torn->data, torn->len, NULL));
    w = open_writer (dir, 1);
    assert_int_equal (owd_log_writer_cut_bytes (w, &partitions), torn->len - first_end);
    assert_int_equal (partitions, 1);
    assert_int_equal (size_of (path), first_end);
    assert_int_equal (last_offset (dir), first_end);
  }
  assert_log_has (dir, 1, 10);
  add_block (dir, 11, 20);
  assert_log_has (dir, 1, 20);
}

static void
torn_at_every_byte (void **state)
{
  torn_tail (*state, 0);
}

static void
torn_and_zeroed_at_every_byte (void **state)
{
  torn_tail (*state, 1000);
}

/* A segment of which not even the header was finished. */
static void
torn_creation (void **state)
{
  g_autofree char *next = g_strdup_printf ("%s/p000/00000000000000100000.seg", (char *) *state);
  guint64 end;

  add_block (*state, 1, 10);
  end = last_offset (*state);
  assert_true (g_file_set_contents (next, "OWDSEG", 6, NULL));
  assert_int_equal (add_block (*state, 11, 20), 6);
  assert_false (g_file_test (next, G_FILE_TEST_EXISTS));
  assert_log_has (*state, 1, 20);
  assert_true (last_offset (*state) > end + GIB);
}

/* Damage in the middle is no torn tail: what is whole behind it stays. */
static void
damage_is_not_cut (void **state)
{
  g_autofree char *path = NULL, *data = NULL;
  guint64 first_end;
  TestlogCensus c;
  gsize len;

  data = two_blocks (*state, &len, &first_end, &path);
  data[4096 + 100] ^= 1;
  assert_true (g_file_set_contents (path, data, (gssize) len, NULL));
  assert_int_equal (add_block (*state, 14, 20), 0);
  assert_true (testlog_census (*state, 20, &c, NULL));
  assert_int_equal (c.checksum, 1);
  assert_true (testlog_census_complete (&c, 11, 20));
  testlog_census_clear (&c);
}

/* Files may not grow past 300 kB, as if the disk were full; then they may. */
static void
full_disk (void **state)
{
  struct rlimit old, small;
  g_autoptr (OwdLogWriter) w = open_writer (*state, 2);
  g_autoptr (OwdLogAppender) a = owd_log_appender_new (w);
  g_autoptr (GError) error = NULL;
  guint64 taken, dropped, more;
  guint refused = 0;
  TestlogCensus c;

  assert_int_equal (getrlimit (RLIMIT_FSIZE, &old), 0);
  small = old;
  small.rlim_cur = 300 * 1000 + 1;
  assert_int_equal (setrlimit (RLIMIT_FSIZE, &small), 0);
  for (guint n = 1; n <= 10000; n += 10)
    refused += testlog_append (a, n, n + 9) == OWD_STATUS_FULL;
  assert_false (owd_log_appender_flush (a, testlog_header (10000).recv_ns, &error));
  assert_int_equal (setrlimit (RLIMIT_FSIZE, &old), 0);
  assert_true (refused > 10);
  assert_true (g_error_matches (error, OWD_ERROR, OWD_ERROR_FULL));
  owd_log_appender_counts (a, &taken, &dropped);
  assert_int_equal (taken, 10000);
  assert_true (dropped > 1000);

  /* the space is back: it goes on by itself, and the error is told once */
  assert_int_equal (testlog_append (a, 10001, 11000), OWD_STATUS_OK);
  assert_true (owd_log_appender_flush (a, testlog_header (11000).recv_ns, NULL));
  owd_log_appender_counts (a, &taken, &more);
  assert_int_equal (more, dropped);
  assert_true (testlog_census (*state, 11000, &c, NULL));
  assert_int_equal (c.records, taken - dropped);
  assert_int_equal (c.wrong + c.checksum + c.gap + c.backwards, 0);
  assert_true (testlog_census_complete (&c, 10001, 11000));
  testlog_census_clear (&c);
}

/* ---- kill -9 ----------------------------------------------------------------------------------- */

#define ROUNDS 20
#define ROUND_RECORDS 200000 /* a round's numbers: more than it can reach */

/* Appends and flushes until it is killed; after each flush the number of the last record goes down the pipe. */
static void G_GNUC_NORETURN
be_killed (const char *dir, guint first, int ack)
{
  OwdLogOptions options = { .partitions = 3, .block_bytes = 4096, .segment_bytes = 1 << 20 };
  OwdLogWriter *w = owd_log_writer_open (dir, &options, NULL);
  OwdLogAppender *a = w != NULL ? owd_log_appender_new (w) : NULL;

  for (guint n = first; a != NULL && n + 70 < first + ROUND_RECORDS; n += 70) {
    guint last = n + 69;

    if (testlog_append (a, n, last) != OWD_STATUS_OK || !owd_log_appender_flush (a, testlog_header (last).recv_ns, NULL)
        || write (ack, &last, sizeof last) != (ssize_t) sizeof last)
      break;
  }
  _exit (1);
}

/* Returns: the last record that was acknowledged before the child died; 0: none. */
static guint
one_round (const char *dir, guint first, guint live_us)
{
  guint acked = 0, n;
  int pipe_fds[2], status;
  pid_t pid;

  assert_int_equal (pipe (pipe_fds), 0);
  pid = fork ();
  assert_true (pid >= 0);
  if (pid == 0) {
    close (pipe_fds[0]);
    be_killed (dir, first, pipe_fds[1]);
  }
  close (pipe_fds[1]);
  assert_int_equal (read (pipe_fds[0], &acked, sizeof acked), sizeof acked); /* it has begun */
  g_usleep (live_us);
  assert_int_equal (kill (pid, SIGKILL), 0);
  while (read (pipe_fds[0], &n, sizeof n) == (ssize_t) sizeof n)
    acked = n;
  close (pipe_fds[0]);
  assert_int_equal (waitpid (pid, &status, 0), pid);
  assert_true (WIFSIGNALED (status));
  return acked;
}

static void
killed_at_any_instant (void **state)
{
  guint32 seed = g_random_int ();
  g_autoptr (GRand) rand = g_rand_new_with_seed (seed);
  guint acked[ROUNDS];
  TestlogCensus c;

  print_message ("seed %u\n", seed);
  for (guint i = 0; i < ROUNDS; i++)
    acked[i] = one_round (*state, 1 + i * ROUND_RECORDS, (guint) g_rand_int_range (rand, 0, 30000));
  assert_true (testlog_census (*state, ROUNDS * ROUND_RECORDS, &c, NULL));
  assert_int_equal (c.wrong + c.checksum + c.gap + c.backwards, 0);
  for (guint i = 0; i < ROUNDS; i++)
    assert_true (testlog_census_complete (&c, 1 + i * ROUND_RECORDS, acked[i]));
  testlog_census_clear (&c);
}

#define TEST(f) cmocka_unit_test_setup_teardown (f, make_dir, remove_dir)

int
main (void)
{
  const struct CMUnitTest tests[] = {
    TEST (clean_end_leaves_no_hole),
    TEST (unclean_end_leaves_a_gibibyte),
    TEST (torn_at_every_byte),
    TEST (torn_and_zeroed_at_every_byte),
    TEST (torn_creation),
    TEST (damage_is_not_cut),
    TEST (full_disk),
    TEST (killed_at_any_instant),
  };

  signal (SIGXFSZ, SIG_IGN);
  return cmocka_run_group_tests (tests, NULL, NULL);
}
