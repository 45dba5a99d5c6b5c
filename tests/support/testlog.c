/* SPDX-License-Identifier: Apache-2.0 */
#include "testlog.h"

#include <glib/gstdio.h>
#include <string.h>

#define START_NS (G_GINT64_CONSTANT (1700000000) * OWD_NS_PER_S)

char *
testlog_dir_new (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *top = g_dir_make_tmp ("oneway-testlog-XXXXXX", &error);

  g_assert_no_error (error);
  return g_build_filename (top, "log", NULL);
}

static void
remove_tree (const char *path)
{
  g_autoptr (GDir) d = g_dir_open (path, 0, NULL);
  const char *name;

  while (d != NULL && (name = g_dir_read_name (d)) != NULL) {
    g_autofree char *sub = g_build_filename (path, name, NULL);

    if (g_file_test (sub, G_FILE_TEST_IS_DIR) && !g_file_test (sub, G_FILE_TEST_IS_SYMLINK))
      remove_tree (sub);
    else
      (void) g_unlink (sub);
  }
  (void) g_rmdir (path);
}

void
testlog_dir_free (char *dir)
{
  g_autofree char *top = g_path_get_dirname (dir);

  remove_tree (top);
  g_free (dir);
}

OwdHeader
testlog_header (guint n)
{
  OwdHeader h = { .recv_ns = START_NS + n * OWD_NS_PER_MS,
                  .init_ms = n % 3 == 0 ? START_NS / OWD_NS_PER_MS - 5000 : 0,
                  .export_s = (guint32) (START_NS / OWD_NS_PER_S) + n / 1000,
                  .export_frac_ns = n * 1000 % 1000000000u,
                  .uptime_ms = 5000 + n,
                  .seq = n,
                  .port = (guint16) (1024 + n % 7),
                  .flags = OWD_HEADER_UPTIME,
                  .state = n / TESTLOG_PER_DATAGRAM % 5 };

  owd_addr_set_v4 (&h.key.addr, (const guint8[]){ 192, 0, 2, (guint8) h.state });
  h.key.domain = h.state * 7;
  h.key.version = h.state % 2 == 0 ? 9 : 10;
  return h;
}

OwdFlow
testlog_flow (guint n)
{
  OwdFlow f = { .sport = (guint16) (n * 31),
                .dport = 443,
                .proto = n % 2 == 0 ? 6 : 17,
                .end_reason = (guint8) (n % 6),
                .start_kind = OWD_STAMP_UPTIME_MS,
                .end_kind = OWD_STAMP_UNIX_MS,
                .start_raw = n * G_GUINT64_CONSTANT (3),
                .end_raw = n * G_GUINT64_CONSTANT (1000000007),
                .packets = n,
                .octets = n * G_GUINT64_CONSTANT (1500),
                .in_if = n % 11,
                .out_if = n % 13,
                .flags = OWD_FLOW_PACKETS | OWD_FLOW_OCTETS,
                .sampling = n % 17,
                .template_id = (guint16) (256 + n % 19),
                .tcp_flags = (guint16) (n % 256),
                .ttl_min = (guint8) (n % 64),
                .ttl_max = 64 };

  owd_addr_set_v4 (&f.src, (const guint8[]){ 10, (guint8) (n >> 16), (guint8) (n >> 8), (guint8) n });
  owd_addr_set_v4 (&f.dst, (const guint8[]){ 198, 51, 100, (guint8) (n % 250) });
  if (n % 8 == 0) {
    f.src.b[0] = f.dst.b[0] = 0x20;
    f.src.b[1] = f.dst.b[1] = 0x01;
  }
  if (n % 16 == 0) {
    f.flags |= OWD_FLOW_EXT;
    f.tos = 0xb8;
    f.vlan = n % 4096;
    f.delay_sum_us = n;
  }
  return f;
}

OwdStatus
testlog_append (OwdLogAppender *appender, guint first, guint last)
{
  OwdStatus status = OWD_STATUS_OK, one;

  for (guint n = first; n <= last; n++) {
    OwdFlow f = testlog_flow (n);

    if (n == first || n % TESTLOG_PER_DATAGRAM == 0) {
      OwdHeader h = testlog_header (n);

      owd_log_appender_header (appender, &h);
    }
    one = owd_log_appender_flow (appender, &f);
    if (status == OWD_STATUS_OK)
      status = one;
  }
  return status;
}

/* Is the header that of record n's datagram? The datagram may have begun with any record since the last multiple. */
static gboolean
is_header_of (const OwdHeader *h, guint n)
{
  OwdHeader want = testlog_header (h->seq);

  want.state = h->state; /* the reader's own numbers */
  return memcmp (&want, h, sizeof want) == 0 && h->seq <= n && h->seq + TESTLOG_PER_DATAGRAM > n;
}

static void
count_flow (TestlogCensus *c, const OwdHeader *header, const OwdFlow *flow)
{
  guint n = flow->packets <= c->max ? (guint) flow->packets : 0;
  OwdFlow want = testlog_flow (n);

  c->records++;
  if (n == 0 || memcmp (flow, &want, sizeof want) != 0 || !is_header_of (header, n))
    c->wrong++;
  else
    c->seen[n]++;
}

static void
count_block (TestlogCensus *c, OwdLogBlock *block)
{
  OwdHeader header = { 0 };
  OwdItemType type;
  OwdFlow flow;

  c->blocks++;
  while (owd_log_block_next (block, &type, &header, &flow)) {
    if (type == OWD_ITEM_HEADER)
      c->headers++;
    else
      count_flow (c, &header, &flow);
  }
}

static gboolean
count_partition (TestlogCensus *c, const char *dir, guint partition, GError **error)
{
  g_autoptr (OwdLogReader) reader = owd_log_reader_open (dir, partition, 0, error);
  g_autoptr (GError) local = NULL;
  OwdTime time = OWD_TIME_NONE;
  OwdLogBlock block;
  OwdStatus status;

  if (reader == NULL)
    return FALSE;
  while ((status = owd_log_reader_next (reader, &block, &local)) != OWD_STATUS_END) {
    if (status == OWD_STATUS_OK) {
      c->backwards += block.time < time;
      time = block.time;
      count_block (c, &block);
    } else if (status == OWD_STATUS_GAP) {
      c->gap++;
    } else if (status == OWD_STATUS_CHECKSUM) {
      c->checksum++;
      g_clear_error (&local);
    } else {
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }
  }
  return TRUE;
}

gboolean
testlog_census (const char *dir, guint max, TestlogCensus *ret_census, GError **error)
{
  OwdLogInfo info;

  *ret_census = (TestlogCensus){ .max = max, .seen = g_malloc0 (max + 1) };
  if (!owd_log_info (dir, &info, error))
    return FALSE;
  for (guint i = 0; i < info.partitions; i++)
    if (!count_partition (ret_census, dir, i, error))
      return FALSE;
  return TRUE;
}

void
testlog_census_clear (TestlogCensus *census)
{
  g_clear_pointer (&census->seen, g_free);
}

gboolean
testlog_census_complete (const TestlogCensus *census, guint first, guint last)
{
  for (guint n = first; n <= last; n++)
    if (census->seen[n] != 1)
      return FALSE;
  return TRUE;
}

static int
compare_names (const void *a, const void *b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

char *
testlog_segment (const char *dir, guint partition, int i)
{
  g_autofree char *sub = g_strdup_printf ("%s/p%03u", dir, partition);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GDir) d = g_dir_open (sub, 0, NULL);
  const char *name;

  while (d != NULL && (name = g_dir_read_name (d)) != NULL)
    if (g_str_has_suffix (name, ".seg"))
      g_ptr_array_add (names, g_strdup (name));
  g_ptr_array_sort (names, compare_names);
  if (i < 0)
    i += (int) names->len;
  if (i < 0 || i >= (int) names->len)
    return NULL;
  return g_build_filename (sub, g_ptr_array_index (names, (guint) i), NULL);
}
