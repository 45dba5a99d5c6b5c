/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "owd-flowlog.h"
#include "testlog.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MS OWD_NS_PER_MS
#define S OWD_NS_PER_S

/* What the log's writer calls instead of the C library's. */
static gint n_syncs; /* atomic */

int
fdatasync (int fd)
{
  g_atomic_int_inc (&n_syncs);
  return (int) syscall (SYS_fdatasync, fd);
}

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
open_writer (const char *dir, guint partitions, gsize block_bytes)
{
  OwdLogOptions options = { .partitions = partitions, .block_bytes = block_bytes, .segment_bytes = 1 << 20 };
  g_autoptr (GError) error = NULL;
  OwdLogWriter *w = owd_log_writer_open (dir, &options, &error);

  if (error != NULL)
    print_error ("%s\n", error->message);
  assert_non_null (w);
  return w;
}

static void
flush (OwdLogAppender *a, OwdTime now)
{
  g_autoptr (GError) error = NULL;

  if (!owd_log_appender_flush (a, now, &error))
    fail_msg ("%s", error->message);
}

static void
beat (OwdLogAppender *a, OwdTime now)
{
  g_autoptr (GError) error = NULL;

  if (!owd_log_appender_beat (a, now, &error))
    fail_msg ("%s", error->message);
}

static OwdLogReader *
open_reader (const char *dir, guint partition, guint64 offset)
{
  g_autoptr (GError) error = NULL;
  OwdLogReader *r = owd_log_reader_open (dir, partition, offset, &error);

  if (r == NULL)
    fail_msg ("%s", error->message);
  return r;
}

static OwdLogBlock
next_block (OwdLogReader *r)
{
  OwdLogBlock b = { 0 };

  assert_int_equal (owd_log_reader_next (r, &b, NULL), OWD_STATUS_OK);
  return b;
}

static void
write_log (const char *dir, guint partitions, gsize block_bytes, guint records)
{
  g_autoptr (OwdLogWriter) w = open_writer (dir, partitions, block_bytes);
  g_autoptr (OwdLogAppender) a = owd_log_appender_new (w);

  assert_int_equal (testlog_append (a, 1, records), OWD_STATUS_OK);
  flush (a, testlog_header (records).recv_ns);
}

static void
patch (const char *path, goffset at, const void *data, gsize len)
{
  int fd = open (path, O_WRONLY | O_CLOEXEC);

  assert_true (fd >= 0);
  assert_int_equal (pwrite (fd, data, len, at), len);
  close (fd);
}

/* ---- records ----------------------------------------------------------------------------------- */

/* All fields, each with a value of its own that needs its full width. */
static OwdFlow
full_flow (gboolean v6)
{
  OwdFlow f = { 0 };

  assert_true (owd_addr_parse (v6 ? "2001:db8:1:2:3:4:5:6" : "203.0.113.9", &f.src));
  assert_true (owd_addr_parse (v6 ? "2001:db8:f:e:d:c:b:a" : "198.51.100.77", &f.dst));
  f.sport = 0xfedc;
  f.dport = 0xba98;
  f.proto = 132;
  f.end_reason = OWD_END_FORCED;
  f.start_kind = OWD_STAMP_NTP_NS;
  f.end_kind = OWD_STAMP_EVENT_US;
  f.start_raw = G_GUINT64_CONSTANT (0xfedcba9876543210);
  f.end_raw = G_GUINT64_CONSTANT (0xefcdab8967452301);
  f.packets = G_GUINT64_CONSTANT (0x8877665544332211);
  f.octets = G_GUINT64_CONSTANT (0x9988776655443322);
  f.in_if = 0xa1b2c3d4;
  f.out_if = 0xb2c3d4e5;
  f.flags = OWD_FLOW_PACKETS | OWD_FLOW_EGRESS | OWD_FLOW_TOTALS | OWD_FLOW_EXT;
  f.sampling = 0xc3d4e5f6;
  f.template_id = 0xd4e5;
  f.tcp_flags = 0x1f5a;
  f.ttl_min = 250;
  f.ttl_max = 251;
  f.tos = 0xb9;
  f.vlan = 0xe5f60718;
  f.vrf = 0xf6071829;
  f.mpls = 0x000fedcb;
  f.line_card = 0x0718293a;
  f.obs_point = G_GUINT64_CONSTANT (0x18293a4b5c6d7e8f);
  f.init_ms = -G_GINT64_CONSTANT (0x293a4b5c6d7e8f);
  f.delay_mean_us = 0x3a4b5c6d;
  f.delay_min_us = 0x4b5c6d7e;
  f.delay_max_us = 0x5c6d7e8f;
  f.delay_sum_us = G_GUINT64_CONSTANT (0x6d7e8f90a1b2c3d4);
  return f;
}

static OwdHeader
full_header (void)
{
  OwdHeader h = { .recv_ns = G_GINT64_CONSTANT (0x1122334455667788),
                  .init_ms = -G_GINT64_CONSTANT (0x2233445566),
                  .export_s = 0xf1f2f3f4,
                  .export_frac_ns = 999999999,
                  .uptime_ms = 0xe1e2e3e4,
                  .seq = 0xd1d2d3d4,
                  .port = 0xc1c2,
                  .flags = OWD_HEADER_UPTIME | OWD_HEADER_FRAC,
                  .state = 3 };

  assert_true (owd_addr_parse ("2001:db8::feed", &h.key.addr));
  h.key.domain = 0xb1b2b3b4;
  h.key.version = 10;
  return h;
}

static void
append_one (const char *dir, const OwdHeader *h, const OwdFlow *f, guint partitions)
{
  g_autoptr (OwdLogWriter) w = open_writer (dir, partitions, 0);
  g_autoptr (OwdLogAppender) a = owd_log_appender_new (w);

  owd_log_appender_header (a, h);
  assert_int_equal (owd_log_appender_flow (a, f), OWD_STATUS_OK);
  flush (a, h->recv_ns);
}

/* All flows of a partition, each with its header checked against want. */
static GArray *
read_flows (const char *dir, guint partition, const OwdHeader *want)
{
  g_autoptr (OwdLogReader) r = open_reader (dir, partition, 0);
  GArray *flows = g_array_new (FALSE, FALSE, sizeof (OwdFlow));
  OwdHeader h = { 0 }, w = *want;
  OwdItemType type;
  OwdLogBlock b;
  OwdFlow f;

  w.state = 0; /* the reader's own number of its first state */
  memset (&f, 0xaa, sizeof f);
  while (owd_log_reader_next (r, &b, NULL) == OWD_STATUS_OK)
    while (owd_log_block_next (&b, &type, &h, &f)) {
      assert_memory_equal (&h, &w, sizeof h);
      if (type == OWD_ITEM_FLOW)
        g_array_append_val (flows, f);
    }
  return flows;
}

static void
every_field_comes_back (void **state)
{
  OwdHeader h = full_header ();

  for (guint v6 = 0; v6 < 2; v6++) {
    OwdFlow f = full_flow (v6 == 1);
    char *dir = testlog_dir_new ();
    g_autoptr (GArray) flows = NULL;

    append_one (dir, &h, &f, 1);
    flows = read_flows (dir, 0, &h);
    assert_int_equal (flows->len, 1);
    assert_memory_equal (flows->data, &f, sizeof f);
    testlog_dir_free (dir);
  }
  (void) state;
}

/* An ordinary record; what it says is full in those 32 bits that the log has for it. */
static OwdFlow
ordinary_flow (gboolean v6, guint8 kind, const OwdHeader *h)
{
  guint64 base = kind == OWD_STAMP_UNIX_MS || kind == OWD_STAMP_EVENT_MS
                     ? h->export_s * G_GUINT64_CONSTANT (1000) - (G_GUINT64_CONSTANT (1) << 31)
                     : 0;
  OwdFlow f = full_flow (v6);

  memset ((guint8 *) &f + offsetof (OwdFlow, tos), 0, sizeof f - offsetof (OwdFlow, tos));
  f.flags &= ~(guint32) OWD_FLOW_EXT;
  f.start_kind = f.end_kind = kind;
  f.start_raw = base;
  f.end_raw = base + G_MAXUINT32;
  f.packets = f.octets = G_MAXUINT32;
  return f;
}

static guint64
bytes_of_first_block (const char *dir)
{
  g_autoptr (OwdLogReader) r = open_reader (dir, 0, 0);
  OwdLogBlock b = next_block (r);

  return b.next - b.offset;
}

static void
comes_back (const OwdHeader *h, const OwdFlow *f, guint64 bytes)
{
  char *dir = testlog_dir_new ();
  g_autoptr (GArray) flows = NULL;

  append_one (dir, h, f, 1);
  flows = read_flows (dir, 0, h);
  assert_int_equal (flows->len, 1);
  assert_memory_equal (flows->data, f, sizeof *f);
  assert_int_equal (bytes_of_first_block (dir), bytes);
  testlog_dir_free (dir);
}

/* Each kind of stamp, at the ends of what the brief form takes, and one step beyond. */
static void
ordinary_records_are_brief (void **state)
{
  OwdHeader h = full_header ();

  h.init_ms = 0;
  for (guint v6 = 0; v6 < 2; v6++)
    for (guint8 kind = 0; kind < OWD_STAMP_KINDS; kind++) {
      const guint64 brief = 40 + 32 + 32 + 16 + (v6 != 0 ? 72 : 48), whole = 40 + 32 + 32 + (v6 != 0 ? 96 : 72);
      OwdFlow f = ordinary_flow (v6 != 0, kind, &h);

      comes_back (&h, &f, brief);
      f.packets++;
      comes_back (&h, &f, whole);
      f = ordinary_flow (v6 != 0, kind, &h);
      f.octets++;
      comes_back (&h, &f, whole);
      f = ordinary_flow (v6 != 0, kind, &h);
      f.start_raw--;
      comes_back (&h, &f, whole);
      f = ordinary_flow (v6 != 0, kind, &h);
      f.end_raw++;
      comes_back (&h, &f, whole);
    }
  (void) state;
}

/* Records of more sorts than the appender remembers, in turns, over several blocks. */
static void
many_shapes (void **state)
{
  const guint sorts = 200, rounds = 50;
  g_autoptr (OwdLogWriter) w = open_writer (*state, 1, 65536);
  OwdLogAppender *a = owd_log_appender_new (w);
  OwdHeader h = full_header ();
  g_autoptr (GArray) flows = NULL;
  OwdFlow f;

  h.init_ms = 0;
  f = ordinary_flow (FALSE, OWD_STAMP_UPTIME_MS, &h);
  owd_log_appender_header (a, &h);
  for (guint i = 0; i < sorts * rounds; i++) {
    f.template_id = (guint16) (256 + i % sorts);
    f.sampling = i % 3;
    f.packets = i;
    assert_int_equal (owd_log_appender_flow (a, &f), OWD_STATUS_OK);
  }
  flush (a, h.recv_ns);
  owd_log_appender_free (a);
  flows = read_flows (*state, 0, &h);
  assert_int_equal (flows->len, sorts * rounds);
  for (guint i = 0; i < flows->len; i++) {
    f.template_id = (guint16) (256 + i % sorts);
    f.sampling = i % 3;
    f.packets = i;
    assert_memory_equal (&g_array_index (flows, OwdFlow, i), &f, sizeof f);
  }
}

/* A log that an older program wrote: one datagram of 30 records of the test sender's. */
static void
format_1_is_read (void **state)
{
  g_autoptr (OwdLogReader) r = open_reader (OWD_SOURCE_DIR "/tests/golden/log-format-1", 0, 0);
  guint records = 0;
  OwdItemType type;
  OwdHeader h;
  OwdLogBlock b;
  OwdFlow f;

  while (owd_log_reader_next (r, &b, NULL) == OWD_STATUS_OK)
    while (owd_log_block_next (&b, &type, &h, &f))
      if (type == OWD_ITEM_FLOW) {
        assert_int_equal (h.key.version, 9);
        assert_int_equal (h.export_s, 1795352759);
        assert_int_equal (f.src.b[12], 10);
        assert_int_equal (f.sport, 1024 + records);
        assert_int_equal (f.packets, 4 + records % 13);
        assert_int_equal (f.octets, f.packets * 613);
        assert_int_equal (f.end_kind, OWD_STAMP_UPTIME_MS);
        assert_int_equal (f.end_raw, 86399500);
        assert_int_equal (f.ttl_min, 60);
        records++;
      }
  assert_int_equal (records, 30);
  (void) state;
}

/* Of an exporter whose datagrams reach nearly all partitions, all get the header at once. */
static void
headers_before_records (void **state)
{
  g_autoptr (OwdLogWriter) w = open_writer (*state, 4, 0);
  OwdLogAppender *a = owd_log_appender_new (w);
  OwdHeader h = full_header ();
  OwdFlow f = full_flow (FALSE);
  guint last = 0;

  for (guint datagram = 0; datagram < 2; datagram++, h.seq++, h.recv_ns++) {
    owd_log_appender_header (a, &h);
    for (guint i = 0; i < (datagram == 0 ? 12 : 1); i++)
      assert_int_equal (owd_log_appender_flow (a, &f), OWD_STATUS_OK);
  }
  owd_log_appender_header (a, &h); /* after a datagram of one record it is not so */
  flush (a, h.recv_ns);
  owd_log_appender_free (a);
  for (guint p = 0; p < 4; p++) {
    g_autoptr (OwdLogReader) r = open_reader (*state, p, 0);
    guint seen[3] = { 0 };
    OwdItemType type;
    OwdLogBlock b;

    while (owd_log_reader_next (r, &b, NULL) == OWD_STATUS_OK)
      while (owd_log_block_next (&b, &type, &h, &f))
        if (type == OWD_ITEM_HEADER)
          seen[h.seq - full_header ().seq]++;
    assert_int_equal (seen[1], 1);
    last += seen[2];
  }
  assert_int_equal (last, 1); /* as every datagram without records */
}

/* A record of which one rare field is set, for each of them: the mask's order is right. */
static void
rare_fields_one_by_one (void **state)
{
  OwdHeader h = full_header ();
  OwdFlow full = full_flow (FALSE);
  gsize rare = offsetof (OwdFlow, vlan);

  for (gsize at = rare; at + 4 <= sizeof full; at += 4) {
    OwdFlow f = full;
    char *dir = testlog_dir_new ();
    g_autoptr (GArray) flows = NULL;

    memset ((guint8 *) &f + rare, 0, sizeof f - rare);
    if (at < offsetof (OwdFlow, post_src) || at >= offsetof (OwdFlow, delay_mean_us))
      memcpy ((guint8 *) &f + at, (const guint8 *) &full + at, 4);
    append_one (dir, &h, &f, 1);
    flows = read_flows (dir, 0, &h);
    assert_int_equal (flows->len, 1);
    assert_memory_equal (flows->data, &f, sizeof f);
    testlog_dir_free (dir);
  }
  (void) state;
}

/* Private source behind a translation: the record is found under both keys. */
static void
translated_record_has_two_views (void **state)
{
  const guint partitions = 256;
  OwdHeader h = full_header ();
  OwdFlow f = full_flow (FALSE), want;
  g_autoptr (GArray) first = NULL, second = NULL;
  guint p1, p2;

  f.post_sport = 40000;
  assert_true (owd_addr_parse ("192.0.2.55", &f.post_src));
  f.post_dst = f.dst; /* said, but not changed */
  want = f;
  want.src = f.post_src;
  want.post_src = f.src;
  want.sport = f.post_sport;
  want.post_sport = f.sport;
  want.flags |= OWD_FLOW_POST_NAT;
  append_one (*state, &h, &f, partitions);

  p1 = owd_flow_partition (owd_flow_hash_undirected (&f), partitions);
  p2 = owd_flow_partition (owd_flow_hash_undirected (&want), partitions);
  assert_int_not_equal (p1, p2);
  first = read_flows (*state, p1, &h);
  second = read_flows (*state, p2, &h);
  assert_int_equal (first->len, 1);
  assert_int_equal (second->len, 1);
  assert_memory_equal (first->data, &f, sizeof f);
  assert_memory_equal (second->data, &want, sizeof want);
}

static void
untranslated_record_has_one_view (void **state)
{
  OwdHeader h = full_header ();
  OwdFlow f = full_flow (FALSE);
  g_autoptr (GArray) flows = NULL;

  f.post_src = f.src;
  f.post_dst = f.dst;
  f.post_sport = f.sport;
  f.post_dport = f.dport;
  append_one (*state, &h, &f, 1);
  flows = read_flows (*state, 0, &h);
  assert_int_equal (flows->len, 1);
  assert_memory_equal (flows->data, &f, sizeof f);
}

static void
many_blocks_and_segments (void **state)
{
  TestlogCensus c;
  g_autofree char *second = NULL;

  write_log (*state, 3, 4096, 60000);
  assert_true (testlog_census (*state, 60000, &c, NULL));
  assert_int_equal (c.records, 60000);
  assert_int_equal (c.wrong + c.checksum + c.gap + c.backwards, 0);
  assert_true (testlog_census_complete (&c, 1, 60000));
  assert_true (c.blocks > 1000);
  second = testlog_segment (*state, 0, 1);
  assert_non_null (second);
  testlog_census_clear (&c);
}

/* Room on the disk is taken ahead while a log is written, and given back at its end. */
static void
reserved_room_is_given_back (void **state)
{
  write_log (*state, 2, 65536, 30000);
  for (guint i = 0; i < 2; i++) {
    g_autofree char *path = testlog_segment (*state, i, -1);
    struct stat st;

    assert_int_equal (stat (path, &st), 0);
    assert_true ((guint64) st.st_blocks * 512 <= (guint64) st.st_size + 65536);
  }
}

/* A state that sends few records is still seen in all partitions, every 100 ms of receive time. */
static void
headers_reach_quiet_partitions (void **state)
{
  guint headers[8] = { 0 };
  OwdFlow f = testlog_flow (1);
  guint home = owd_flow_partition (owd_flow_hash_undirected (&f), 8);

  {
    g_autoptr (OwdLogWriter) w = open_writer (*state, 8, 0);
    g_autoptr (OwdLogAppender) a = owd_log_appender_new (w);

    for (guint i = 0; i < 100; i++) { /* every 10 ms */
      OwdHeader h = full_header ();

      h.recv_ns = i * 10 * MS;
      owd_log_appender_header (a, &h);
      assert_int_equal (owd_log_appender_flow (a, &f), OWD_STATUS_OK);
    }
    flush (a, S);
  }
  for (guint p = 0; p < 8; p++) {
    g_autoptr (OwdLogReader) r = open_reader (*state, p, 0);
    OwdItemType type;
    OwdLogBlock b;
    OwdHeader h;

    while (owd_log_reader_next (r, &b, NULL) == OWD_STATUS_OK)
      while (owd_log_block_next (&b, &type, &h, &f))
        headers[p] += type == OWD_ITEM_HEADER;
  }
  for (guint p = 0; p < 8; p++)
    assert_int_equal (headers[p], p == home ? 100 : 10); /* 0, 110, 220, .. 990 ms */
}

/* Templates alone, or records whose template is still to come: the sequence number is seen nevertheless. */
static void
datagrams_without_records_are_seen (void **state)
{
  gboolean seen[50] = { FALSE };
  OwdFlow f;

  {
    g_autoptr (OwdLogWriter) w = open_writer (*state, 4, 0);
    g_autoptr (OwdLogAppender) a = owd_log_appender_new (w);

    for (guint i = 0; i < G_N_ELEMENTS (seen); i++) {
      OwdHeader h = full_header ();

      h.recv_ns = i * MS;
      h.seq = i;
      owd_log_appender_header (a, &h);
    }
    flush (a, S);
  }
  for (guint p = 0; p < 4; p++) {
    g_autoptr (OwdLogReader) r = open_reader (*state, p, 0);
    OwdItemType type;
    OwdLogBlock b;
    OwdHeader h;

    while (owd_log_reader_next (r, &b, NULL) == OWD_STATUS_OK)
      while (owd_log_block_next (&b, &type, &h, &f))
        seen[h.seq] = TRUE;
  }
  for (guint i = 0; i < G_N_ELEMENTS (seen); i++)
    assert_true (seen[i]);
}

static void
format_is_documented (void **state)
{
  g_autofree char *doc = NULL, *path = NULL, *segment = NULL;
  char *text, *end;

  write_log (*state, 1, 0, 1);
  path = testlog_segment (*state, 0, 0);
  assert_true (g_file_get_contents (path, &segment, NULL, NULL));
  text = strstr (segment + 80, "Oneway flow log");
  assert_non_null (text);
  end = strstr (text, "name type offset");
  assert_non_null (end);
  assert_true (g_file_get_contents (OWD_SOURCE_DIR "/docs/formats.md", &doc, NULL, NULL));
  assert_non_null (strstr (doc, end)); /* the whole table, verbatim */
}

/* ---- reading ----------------------------------------------------------------------------------- */

static void
tailing (void **state)
{
  g_autoptr (OwdLogWriter) w = open_writer (*state, 1, 0);
  g_autoptr (OwdLogAppender) a = owd_log_appender_new (w);
  g_autoptr (OwdLogReader) r = open_reader (*state, 0, 0);
  g_autofree char *second = NULL;
  OwdLogBlock b;

  assert_int_equal (owd_log_reader_next (r, &b, NULL), OWD_STATUS_END);
  assert_true (owd_log_reader_wait (r, 0)); /* the watch is new */
  assert_false (owd_log_reader_wait (r, 0));
  for (guint i = 1; i <= 200; i++) {
    assert_int_equal (testlog_append (a, i * 100, i * 100 + 99), OWD_STATUS_OK);
    flush (a, i * S);
    assert_true (owd_log_reader_behind (r) > 0);
    assert_true (owd_log_reader_wait (r, 1000));
    b = next_block (r);
    assert_int_equal (b.time, i * S);
    assert_int_equal (owd_log_reader_offset (r), b.next);
    assert_int_equal (owd_log_reader_behind (r), 0);
    assert_int_equal (owd_log_reader_next (r, &b, NULL), OWD_STATUS_END);
  }
  second = testlog_segment (*state, 0, 1);
  assert_non_null (second); /* it went over a segment's end */
}

static void
resume_everywhere (void **state)
{
  g_autoptr (GArray) nexts = g_array_new (FALSE, FALSE, sizeof (guint64));
  g_autoptr (OwdLogReader) r = NULL;
  OwdLogBlock b;
  guint64 at = 0;

  write_log (*state, 1, 4096, 30000);
  r = open_reader (*state, 0, 0);
  while (owd_log_reader_next (r, &b, NULL) == OWD_STATUS_OK) {
    assert_true (b.offset >= at);
    at = b.next;
    g_array_append_val (nexts, at);
  }
  assert_true (nexts->len > 400);
  for (guint i = 0; i + 1 < nexts->len; i++) {
    g_autoptr (OwdLogReader) again = open_reader (*state, 0, g_array_index (nexts, guint64, i));

    assert_int_equal (next_block (again).next, g_array_index (nexts, guint64, i + 1));
  }
}

static void
reader_refuses (void **state)
{
  g_autoptr (GError) none = NULL, partition = NULL, offset = NULL, version = NULL;
  g_autofree char *meta = g_build_filename (*state, "log.meta", NULL);

  assert_null (owd_log_reader_open (*state, 0, 0, &none));
  assert_true (g_error_matches (none, OWD_ERROR, OWD_ERROR_IO));
  write_log (*state, 2, 0, 10);
  assert_null (owd_log_reader_open (*state, 2, 0, &partition));
  assert_null (owd_log_reader_open (*state, 0, 4, &offset));
  assert_true (g_file_set_contents (meta, "[log]\nformat=3\npartitions=2\nuuid=x\n", -1, NULL));
  assert_null (owd_log_reader_open (*state, 0, 0, &version));
  assert_true (g_error_matches (version, OWD_ERROR, OWD_ERROR_CORRUPT));
  assert_non_null (strstr (version->message, "format 3"));
}

/* ---- damage ------------------------------------------------------------------------------------ */

static void
damage_is_told_and_passed (void **state)
{
  g_autoptr (GArray) blocks = g_array_new (FALSE, FALSE, sizeof (OwdLogBlock));
  g_autoptr (OwdLogReader) r = NULL;
  g_autofree char *path = NULL;
  OwdLogBlock b, hit;

  write_log (*state, 1, 4096, 1000);
  r = open_reader (*state, 0, 0);
  while (owd_log_reader_next (r, &b, NULL) == OWD_STATUS_OK)
    g_array_append_val (blocks, b);
  assert_true (blocks->len > 10);
  path = testlog_segment (*state, 0, 0);
  hit = g_array_index (blocks, OwdLogBlock, 5);
  /* every byte of the header, and some of the body */
  for (gsize i = 0; i < 40 + 8; i++) {
    goffset at = (goffset) (i < 40 ? hit.offset + i : hit.offset + 40 + (i - 40) * 400);
    g_autoptr (OwdLogReader) again = open_reader (*state, 0, 0);
    g_autoptr (GError) error = NULL;
    guint8 byte, bad;
    int fd = open (path, O_RDONLY | O_CLOEXEC);

    assert_int_equal (pread (fd, &byte, 1, at), 1);
    close (fd);
    bad = byte ^ 0x40;
    patch (path, at, &bad, 1);
    for (guint k = 0; k < 5; k++)
      assert_int_equal (next_block (again).offset, g_array_index (blocks, OwdLogBlock, k).offset);
    assert_int_equal (owd_log_reader_next (again, &b, &error), OWD_STATUS_CHECKSUM);
    assert_non_null (strstr (error->message, path));
    for (guint k = 6; k < blocks->len; k++)
      assert_int_equal (next_block (again).offset, g_array_index (blocks, OwdLogBlock, k).offset);
    assert_int_equal (owd_log_reader_next (again, &b, NULL), OWD_STATUS_END);
    patch (path, at, &byte, 1);
  }
}

/* The last block there is: told once, and what is appended later is read. */
static void
damage_at_the_end_of_a_live_log (void **state)
{
  g_autoptr (OwdLogWriter) w = open_writer (*state, 1, 0);
  g_autoptr (OwdLogAppender) a = owd_log_appender_new (w);
  g_autoptr (OwdLogReader) r = open_reader (*state, 0, 0);
  g_autofree char *path = NULL;
  OwdLogBlock b;

  for (guint i = 1; i <= 2; i++) {
    assert_int_equal (testlog_append (a, i * 10, i * 10 + 9), OWD_STATUS_OK);
    flush (a, i * S);
  }
  b = next_block (r);
  path = testlog_segment (*state, 0, 0);
  patch (path, (goffset) b.next + 100, "damage", 6);
  {
    g_autoptr (OwdLogReader) fresh = open_reader (*state, 0, b.next);
    g_autoptr (GError) error = NULL;

    assert_int_equal (owd_log_reader_next (fresh, &b, &error), OWD_STATUS_CHECKSUM);
    assert_int_equal (owd_log_reader_next (fresh, &b, NULL), OWD_STATUS_END);
    assert_int_equal (owd_log_reader_next (fresh, &b, NULL), OWD_STATUS_END);
    beat (a, 3 * S);
    assert_int_equal (next_block (fresh).time, 3 * S);
    beat (a, 4 * S);
    assert_int_equal (next_block (fresh).time, 4 * S);
  }
}

static void
foreign_segments (void **state)
{
  g_autofree char *path = NULL, *moved = NULL, *data = NULL;
  g_autoptr (GError) error = NULL, version = NULL;
  g_autoptr (OwdLogReader) r = NULL;
  guint32 header_damage = 7;
  OwdLogBlock b;
  gsize len;

  write_log (*state, 2, 4096, 500);
  path = testlog_segment (*state, 0, 0);
  /* a damaged header costs nothing but the header */
  patch (path, 200, &header_damage, 4);
  r = open_reader (*state, 0, 0);
  assert_int_equal (owd_log_reader_next (r, &b, &version), OWD_STATUS_CHECKSUM);
  (void) next_block (r);
  g_clear_pointer (&r, owd_log_reader_free);
  /* another partition's segment */
  moved = testlog_segment (*state, 1, 0);
  assert_true (g_file_get_contents (moved, &data, &len, NULL));
  assert_true (g_file_set_contents (path, data, (gssize) len, NULL));
  r = open_reader (*state, 0, 0);
  assert_int_equal (owd_log_reader_next (r, &b, &error), OWD_STATUS_MALFORMED);
  assert_non_null (strstr (error->message, "partition 1"));
}

/* ---- retention --------------------------------------------------------------------------------- */

static void
retention_and_gap (void **state)
{
  g_autoptr (OwdLogWriter) w = open_writer (*state, 1, 65536);
  g_autoptr (OwdLogAppender) a = owd_log_appender_new (w);
  g_autoptr (OwdLogReader) first = open_reader (*state, 0, 0), late = NULL, fresh = NULL;
  g_autofree char *kept = NULL;
  OwdLogBlock b, before;
  gint64 removed;

  for (guint i = 1; i <= 60; i++) { /* about 80 kB each, 13 to a segment */
    assert_int_equal (testlog_append (a, i * 1000, i * 1000 + 999), OWD_STATUS_OK);
    flush (a, i * S);
  }
  before = next_block (first);
  assert_int_equal (owd_log_writer_retain (w, S, 0, NULL), 0);
  removed = owd_log_writer_retain (w, 30 * S, 0, NULL);
  assert_true (removed > 1 << 20 && removed <= 2 << 20); /* two of the five segments */
  /* whoever had the segment open reads it to its end, then learns of the gap; once */
  while (owd_log_reader_next (first, &b, NULL) == OWD_STATUS_OK) {
    assert_true (b.time < 30 * S);
    before = b;
  }
  b = next_block (first);
  assert_true (b.offset > before.next);
  assert_true (b.time < 30 * S); /* the segment with the 30th second is whole */
  /* whoever comes later learns it at once; once */
  late = open_reader (*state, 0, before.next);
  assert_int_equal (owd_log_reader_next (late, &before, NULL), OWD_STATUS_GAP);
  assert_int_equal (next_block (late).offset, b.offset);
  fresh = open_reader (*state, 0, 0);
  assert_int_equal (owd_log_reader_next (fresh, &before, NULL), OWD_STATUS_GAP);
  assert_int_equal (next_block (fresh).offset, b.offset);
  /* by size; the newest stays whatever the limit */
  assert_true (owd_log_writer_retain (w, OWD_TIME_NONE, 1, NULL) > 1 << 20);
  kept = testlog_segment (*state, 0, 0);
  assert_non_null (kept);
  assert_null (testlog_segment (*state, 0, 1));
  assert_int_equal (owd_log_writer_retain (w, G_MAXINT64, 1, NULL), 0);
}

/* ---- writers ----------------------------------------------------------------------------------- */

static void
second_writer_is_refused (void **state)
{
  OwdLogOptions options = { .partitions = 4 };
  g_autoptr (OwdLogWriter) w = open_writer (*state, 4, 0);
  g_autoptr (GError) error = NULL;

  assert_null (owd_log_writer_open (*state, &options, &error));
  assert_true (g_error_matches (error, OWD_ERROR, OWD_ERROR_CONFIG));
  g_clear_pointer (&w, owd_log_writer_free);
  options.partitions = 9; /* ignored where the log exists */
  w = owd_log_writer_open (*state, &options, NULL);
  assert_non_null (w);
  assert_int_equal (owd_log_writer_partitions (w), 4);
}

static void
writer_refuses (void **state)
{
  g_autofree char *file = g_build_filename (*state, "notes.txt", NULL);
  OwdLogOptions options = { .partitions = 4 };
  g_autoptr (GError) foreign = NULL, blocks = NULL, partitions = NULL;

  assert_int_equal (g_mkdir (*state, 0755), 0);
  assert_true (g_file_set_contents (file, "mine", -1, NULL));
  assert_null (owd_log_writer_open (*state, &options, &foreign));
  assert_true (g_error_matches (foreign, OWD_ERROR, OWD_ERROR_CORRUPT));
  assert_int_equal (g_unlink (file), 0);
  options.block_bytes = 100;
  assert_null (owd_log_writer_open (*state, &options, &blocks));
  assert_true (g_error_matches (blocks, OWD_ERROR, OWD_ERROR_CONFIG));
  options = (OwdLogOptions){ .partitions = 257 };
  assert_null (owd_log_writer_open (*state, &options, &partitions));
  assert_true (g_error_matches (partitions, OWD_ERROR, OWD_ERROR_CONFIG));
}

/* A block's time is what all appenders have promised, not what its own one has. */
static void
time_is_the_least_promise (void **state)
{
  g_autoptr (OwdLogWriter) w = open_writer (*state, 1, 4096);
  g_autoptr (OwdLogAppender) a = owd_log_appender_new (w), b = owd_log_appender_new (w);
  g_autoptr (OwdLogReader) r = open_reader (*state, 0, 0);
  OwdLogBlock block;

  beat (a, 10 * S);
  assert_int_equal (next_block (r).time, OWD_TIME_NONE); /* b may still have earlier ones */
  beat (b, 5 * S);
  assert_int_equal (next_block (r).time, 5 * S);
  flush (b, 20 * S); /* nothing to write, but a promise */
  assert_int_equal (owd_log_reader_next (r, &block, NULL), OWD_STATUS_END);
  /* blocks that are closed because they are full promise nothing new */
  assert_int_equal (testlog_append (a, 1, 200), OWD_STATUS_OK);
  while (owd_log_reader_next (r, &block, NULL) == OWD_STATUS_OK)
    assert_int_equal (block.time, 10 * S);
  flush (a, 15 * S);
  assert_int_equal (next_block (r).time, 15 * S);
  /* one that is gone holds nobody back; and time does not go back */
  g_clear_pointer (&a, owd_log_appender_free);
  beat (b, 18 * S);
  assert_int_equal (next_block (r).time, 20 * S);
}

typedef struct {
  OwdLogWriter *writer;
  guint first, last;
  gboolean ok;
} Worker;

static void *
run_worker (void *data)
{
  Worker *w = data;
  OwdLogAppender *a = owd_log_appender_new (w->writer);

  w->ok = TRUE;
  for (guint n = w->first; n <= w->last; n += 500) {
    w->ok &= testlog_append (a, n, n + 499) == OWD_STATUS_OK;
    w->ok &= owd_log_appender_flush (a, testlog_header (n + 499).recv_ns, NULL);
  }
  w->ok &= owd_log_appender_beat (a, testlog_header (w->last).recv_ns, NULL);
  owd_log_appender_free (a);
  return NULL;
}

/* Two appenders, a syncing and removing thread, and a reader, all at once. */
static void
threads (void **state)
{
  OwdLogWriter *writer = open_writer (*state, 4, 4096);
  Worker workers[2] = { { writer, 1, 20000, FALSE }, { writer, 20001, 40000, FALSE } };
  pthread_t ids[2];
  TestlogCensus c;

  for (guint i = 0; i < 2; i++)
    assert_int_equal (pthread_create (&ids[i], NULL, run_worker, &workers[i]), 0);
  for (guint i = 0; i < 20; i++) {
    assert_true (owd_log_writer_sync (writer, NULL));
    assert_int_equal (owd_log_writer_retain (writer, OWD_TIME_NONE, 0, NULL), 0);
    assert_true (testlog_census (*state, 40000, &c, NULL));
    assert_int_equal (c.wrong + c.checksum + c.gap + c.backwards, 0);
    testlog_census_clear (&c);
  }
  for (guint i = 0; i < 2; i++) {
    assert_int_equal (pthread_join (ids[i], NULL), 0);
    assert_true (workers[i].ok);
  }
  owd_log_writer_free (writer);
  assert_true (testlog_census (*state, 40000, &c, NULL));
  assert_true (testlog_census_complete (&c, 1, 40000));
  assert_int_equal (c.wrong + c.checksum + c.gap + c.backwards, 0);
  testlog_census_clear (&c);
}

static gint
syncs_of (OwdLogWriter *writer)
{
  gint before = g_atomic_int_get (&n_syncs);

  assert_true (owd_log_writer_sync (writer, NULL));
  return g_atomic_int_get (&n_syncs) - before;
}

/* A disk is asked for what is new, and for nothing else. */
static void
sync_where_something_is_new (void **state)
{
  OwdLogWriter *writer = open_writer (*state, 4, 4096);
  OwdLogAppender *a = owd_log_appender_new (writer);
  gint before;

  assert_int_equal (syncs_of (writer), 0);
  assert_int_equal (testlog_append (a, 1, 500), OWD_STATUS_OK);
  flush (a, testlog_header (500).recv_ns);
  assert_int_equal (syncs_of (writer), 4);
  assert_int_equal (syncs_of (writer), 0);
  beat (a, testlog_header (500).recv_ns + S);
  assert_int_equal (syncs_of (writer), 0);
  assert_int_equal (testlog_append (a, 501, 20000), OWD_STATUS_OK); /* over several segments */
  flush (a, testlog_header (20000).recv_ns);
  assert_true (syncs_of (writer) >= 4);
  assert_int_equal (syncs_of (writer), 0);
  owd_log_appender_free (a);
  before = g_atomic_int_get (&n_syncs);
  owd_log_writer_free (writer); /* marks its end as a clean one */
  assert_int_equal (g_atomic_int_get (&n_syncs), before);
}

/* The mark of a clean end says that all before it is safe: heartbeats, too. */
static void
sync_before_a_clean_end (void **state)
{
  OwdLogWriter *writer = open_writer (*state, 4, 4096);
  OwdLogAppender *a = owd_log_appender_new (writer);
  gint before;

  beat (a, testlog_header (1).recv_ns);
  assert_int_equal (syncs_of (writer), 4); /* segments are new */
  beat (a, testlog_header (1).recv_ns + S);
  assert_int_equal (syncs_of (writer), 0);
  before = g_atomic_int_get (&n_syncs);
  owd_log_appender_free (a);
  owd_log_writer_free (writer);
  assert_int_equal (g_atomic_int_get (&n_syncs), before + 4);
}

#define TEST(f) cmocka_unit_test_setup_teardown (f, make_dir, remove_dir)

int
main (void)
{
  const struct CMUnitTest tests[] = {
    TEST (every_field_comes_back),
    TEST (ordinary_records_are_brief),
    TEST (many_shapes),
    TEST (format_1_is_read),
    TEST (headers_before_records),
    TEST (rare_fields_one_by_one),
    TEST (translated_record_has_two_views),
    TEST (untranslated_record_has_one_view),
    TEST (many_blocks_and_segments),
    TEST (reserved_room_is_given_back),
    TEST (headers_reach_quiet_partitions),
    TEST (datagrams_without_records_are_seen),
    TEST (format_is_documented),
    TEST (tailing),
    TEST (resume_everywhere),
    TEST (reader_refuses),
    TEST (damage_is_told_and_passed),
    TEST (damage_at_the_end_of_a_live_log),
    TEST (foreign_segments),
    TEST (retention_and_gap),
    TEST (second_writer_is_refused),
    TEST (writer_refuses),
    TEST (time_is_the_least_promise),
    TEST (threads),
    TEST (sync_where_something_is_new),
    TEST (sync_before_a_clean_end),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
