/* SPDX-License-Identifier: Apache-2.0
 *
 * What a record costs in the flow log, in CPU time of this thread: encoding into blocks, writing blocks (checksum and
 * system call), reading blocks (system call, checksum, check of the items), decoding their items. 8 partitions, 30 IPv4
 * records a datagram, 20 exporters. Medians over rounds; nothing is synced, files live in page cache.
 *
 * bench_flowlog [DIRECTORY [ROUNDS]]: DIRECTORY must not exist yet, and is removed afterwards.
 */
#include "owd-flowlog.h"

#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PARTITIONS 8
#define PER_DATAGRAM 30
#define EXPORTERS 20
#define PASS_RECORDS 18000 /* stays below one default block in each partition */
#define PASSES 50

typedef struct {
  double encode, write, read, decode; /* ns per record */
} Costs;

static gint64
cpu_ns (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &ts);
  return ts.tv_sec * OWD_NS_PER_S + ts.tv_nsec;
}

static OwdFlow *
make_flows (void)
{
  OwdFlow *flows = g_new0 (OwdFlow, PASS_RECORDS / 10);

  for (guint i = 0; i < PASS_RECORDS / 10; i++) {
    OwdFlow *f = &flows[i];

    owd_addr_set_v4 (&f->src, (const guint8[]){ 10, 1, (guint8) (i >> 8), (guint8) i });
    owd_addr_set_v4 (&f->dst, (const guint8[]){ 198, 51, 100, (guint8) (i * 7) });
    f->sport = (guint16) (1024 + i * 13);
    f->dport = i % 3 == 0 ? 80 : 443;
    f->proto = i % 5 == 0 ? 17 : 6;
    f->start_kind = f->end_kind = OWD_STAMP_UPTIME_MS;
    f->start_raw = 1000000 + i;
    f->end_raw = 1000500 + i;
    f->packets = 1 + i % 40;
    f->octets = f->packets * 700;
    f->in_if = 1;
    f->out_if = 2;
    f->flags = OWD_FLOW_PACKETS | OWD_FLOW_OCTETS | OWD_FLOW_FLAGS;
    f->template_id = 256;
  }
  return flows;
}

static OwdHeader
make_header (guint datagram)
{
  OwdHeader h = { .recv_ns = datagram * G_GINT64_CONSTANT (30000),
                  .export_s = datagram / 30000,
                  .uptime_ms = datagram,
                  .seq = datagram,
                  .flags = OWD_HEADER_UPTIME,
                  .state = datagram % EXPORTERS };

  owd_addr_set_v4 (&h.key.addr, (const guint8[]){ 192, 0, 2, (guint8) h.state });
  h.key.version = 9;
  return h;
}

/* A pass that closes no block, then a flush that writes all of them. */
static void
write_pass (OwdLogAppender *a, const OwdFlow *flows, guint pass, gint64 *encode_ns, gint64 *write_ns)
{
  const guint datagrams = PASS_RECORDS / PER_DATAGRAM;
  g_autoptr (GError) error = NULL;
  gint64 t0 = cpu_ns (), t1;

  for (guint d = 0; d < datagrams; d++) {
    OwdHeader h = make_header (pass * datagrams + d);
    const OwdFlow *f = &flows[d % (datagrams / 10) * PER_DATAGRAM];

    owd_log_appender_header (a, &h);
    for (guint i = 0; i < PER_DATAGRAM; i++)
      if (owd_log_appender_flow (a, f + i) != OWD_STATUS_OK)
        break; /* the flush has the reason */
  }
  t1 = cpu_ns ();
  if (!owd_log_appender_flush (a, make_header ((pass + 1) * datagrams).recv_ns, &error))
    g_error ("%s", error->message);
  *encode_ns += t1 - t0;
  *write_ns += cpu_ns () - t1;
}

static void
write_log (const char *dir, const OwdFlow *flows, Costs *costs)
{
  OwdLogOptions options = { .partitions = PARTITIONS };
  g_autoptr (GError) error = NULL;
  OwdLogWriter *w = owd_log_writer_open (dir, &options, &error);
  OwdLogAppender *a;
  gint64 encode_ns = 0, write_ns = 0;

  if (w == NULL)
    g_error ("%s", error->message);
  a = owd_log_appender_new (w);
  write_pass (a, flows, 0, &encode_ns, &write_ns); /* touches the memory */
  encode_ns = write_ns = 0;
  for (guint pass = 1; pass <= PASSES; pass++)
    write_pass (a, flows, pass, &encode_ns, &write_ns);
  owd_log_appender_free (a);
  owd_log_writer_free (w);
  costs->encode = (double) encode_ns / (PASSES * PASS_RECORDS);
  costs->write = (double) write_ns / (PASSES * PASS_RECORDS);
}

static void
read_log (const char *dir, Costs *costs)
{
  gint64 read_ns = 0, decode_ns = 0;
  guint64 records = 0, sum = 0;

  for (guint p = 0; p < PARTITIONS; p++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (OwdLogReader) r = owd_log_reader_open (dir, p, 0, &error);
    OwdItemType type;
    OwdLogBlock b;
    OwdHeader h;
    OwdFlow f;

    if (r == NULL)
      g_error ("%s", error->message);
    for (;;) {
      gint64 t0 = cpu_ns (), t1;
      OwdStatus status = owd_log_reader_next (r, &b, &error);

      t1 = cpu_ns ();
      read_ns += t1 - t0;
      if (status != OWD_STATUS_OK)
        break;
      while (owd_log_block_next (&b, &type, &h, &f))
        if (type == OWD_ITEM_FLOW) {
          records++;
          sum += f.packets + f.src.b[15] + f.end_raw;
        }
      decode_ns += cpu_ns () - t1;
    }
  }
  g_assert_cmpuint (records, ==, (PASSES + 1) * PASS_RECORDS);
  g_assert_cmpuint (sum, !=, 0);
  costs->read = (double) read_ns / (double) records;
  costs->decode = (double) decode_ns / (double) records;
}

static void
remove_log (const char *dir)
{
  for (guint p = 0; p < PARTITIONS; p++) {
    g_autofree char *sub = g_strdup_printf ("%s/p%03u", dir, p);
    GDir *d = g_dir_open (sub, 0, NULL);
    const char *name;

    while (d != NULL && (name = g_dir_read_name (d)) != NULL) {
      g_autofree char *path = g_build_filename (sub, name, NULL);

      (void) g_unlink (path);
    }
    g_clear_pointer (&d, g_dir_close);
    (void) g_rmdir (sub);
  }
  for (const char *const *name = (const char *const[]){ "log.meta", "lock", NULL }; *name != NULL; name++) {
    g_autofree char *path = g_build_filename (dir, *name, NULL);

    (void) g_unlink (path);
  }
  (void) g_rmdir (dir);
}

static int
compare (const void *a, const void *b)
{
  double x = *(const double *) a, y = *(const double *) b;

  return x < y ? -1 : x > y;
}

static double
median (const Costs *costs, guint n, gsize offset)
{
  g_autofree double *v = g_new (double, n);

  for (guint i = 0; i < n; i++)
    v[i] = *(const double *) ((const char *) &costs[i] + offset);
  qsort (v, n, sizeof *v, compare);
  return v[n / 2];
}

int
main (int argc, char **argv)
{
  const char *dir = argc > 1 ? argv[1] : "bench_flowlog.log";
  guint rounds = argc > 2 ? (guint) CLAMP (atoi (argv[2]), 1, 99) : 5;
  g_autofree OwdFlow *flows = make_flows ();
  g_autofree Costs *costs = g_new0 (Costs, rounds);
  double encode, write, read, decode;

  for (guint i = 0; i < rounds; i++) {
    write_log (dir, flows, &costs[i]);
    read_log (dir, &costs[i]);
    remove_log (dir);
  }
  encode = median (costs, rounds, G_STRUCT_OFFSET (Costs, encode));
  write = median (costs, rounds, G_STRUCT_OFFSET (Costs, write));
  read = median (costs, rounds, G_STRUCT_OFFSET (Costs, read));
  decode = median (costs, rounds, G_STRUCT_OFFSET (Costs, decode));
  printf ("%u records, %u partitions, %u rounds; CPU ns per record, medians\n", PASSES * PASS_RECORDS, PARTITIONS,
          rounds);
  printf ("%-44s %7.1f\n", "append: encode into blocks", encode);
  printf ("%-44s %7.1f\n", "append: checksum and write blocks", write);
  printf ("%-44s %7.1f   %.1f million records/s\n", "append, sum", encode + write, 1e3 / (encode + write));
  printf ("%-44s %7.1f\n", "read: blocks, checksum, check of items", read);
  printf ("%-44s %7.1f\n", "read: decode items", decode);
  printf ("%-44s %7.1f   %.1f million records/s\n", "read, sum", read + decode, 1e3 / (read + decode));
  return 0;
}
