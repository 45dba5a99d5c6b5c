/* SPDX-License-Identifier: Apache-2.0
 *
 * Sends NetFlow v9 or IPFIX at a steady rate: what collectors are fed with when their cost is measured.
 *
 * Exporters come in pairs, 2k and 2k + 1, that see the same TCP connections, the second one DELAY_MS later, so that a
 * correlator has something to find. Each exporter has an address of its own in 127.0.0.0/8. Every record has a key
 * of its own. Datagrams are prepared once; keys, stamps, and the header's times and counts are filled in before
 * sending.
 *
 * One turn sends BATCH datagrams of one pair's exporters each, with two sendmmsg calls; turns are spread evenly over
 * time. Templates go out first and then each second.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <glib.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 16
#define DELAY_MS 20
#define DATAGRAM_MAX 1472
#define TEMPLATE_ID 256
#define MAX_EXPORTERS 10000

typedef struct {
  guint16 id, bytes;
} Field;

/* What every record begins with, in both formats: see fill_record(). */
#define COMMON_FIELDS                                                                                                  \
  { 8, 4 }, { 12, 4 }, { 7, 2 }, { 11, 2 }, { 4, 1 }, { 6, 1 }, { 5, 1 }, { 52, 1 }, { 10, 4 },                        \
  {                                                                                                                    \
    14, 4                                                                                                              \
  }

static const Field V9_FIELDS[] = { COMMON_FIELDS, { 2, 4 }, { 1, 4 }, { 22, 4 }, { 21, 4 }, { 0 } };
static const Field IPFIX_FIELDS[] = { COMMON_FIELDS, { 2, 8 }, { 1, 8 }, { 152, 8 }, { 153, 8 }, { 0 } };

typedef struct {
  const char *name;
  guint16 version;
  guint header_bytes, records, template_set;
  const Field *fields;
} Format;

static const Format FORMATS[] = {
  { "v9", 9, 20, 30, 0, V9_FIELDS },
  { "ipfix", 10, 16, 25, 2, IPFIX_FIELDS },
};

typedef struct {
  int fd;
  guint32 number, seq;
  guint64 boot_ms;
  guint32 key; /* next record's, the same for both of a pair */
} Exporter;

typedef struct {
  const Format *format;
  guint record_bytes, datagram_bytes;
  gboolean prepared; /* records are filled in once: keys repeat, and the sender is faster */
  Exporter *exporters;
  guint n;
  struct sockaddr_in to;
  guint8 data[BATCH][DATAGRAM_MAX];
  struct iovec iov[BATCH];
  struct mmsghdr messages[BATCH];
  guint64 datagrams, records; /* sent; templates are not counted */
} Flood;

static void
put (guint8 *p, guint bytes, guint64 v)
{
  for (guint i = bytes; i-- > 0; v >>= 8)
    p[i] = (guint8) v;
}

static gint64
clock_ns (clockid_t id)
{
  struct timespec ts;

  clock_gettime (id, &ts);
  return ts.tv_sec * G_GINT64_CONSTANT (1000000000) + ts.tv_nsec;
}

static void
fill_header (const Flood *f, const Exporter *e, guint8 *p, guint bytes, guint count, guint64 now_ms)
{
  put (p, 2, f->format->version);
  if (f->format->version == 9) {
    put (p + 2, 2, count);
    put (p + 4, 4, now_ms - e->boot_ms);
    put (p + 8, 4, now_ms / 1000);
    put (p + 12, 4, e->seq);
    put (p + 16, 4, e->number);
  } else {
    put (p + 2, 2, bytes);
    put (p + 4, 4, now_ms / 1000);
    put (p + 8, 4, e->seq);
    put (p + 12, 4, e->number);
  }
}

/* A connection of some 10 packets that ended half a second ago. */
static void
fill_record (const Flood *f, const Exporter *e, guint8 *p, guint32 key, guint64 now_ms)
{
  guint wide = f->format->version == 9 ? 4 : 8;
  guint64 end_ms = now_ms - 500 + (e->number % 2 != 0 ? DELAY_MS : 0);
  guint64 start_ms = end_ms - 20 - key % 400;
  guint64 origin_ms = f->format->version == 9 ? e->boot_ms : 0;
  guint64 packets = 4 + key % 13;

  put (p, 4, 0x0a000000 + (key >> 14));
  put (p + 4, 4, 0xc6336400 + key % 251);
  put (p + 8, 2, 1024 + key % 16384);
  put (p + 10, 2, 443);
  p[12] = 6;
  p[13] = 0x1b; /* SYN, PSH, ACK, FIN */
  p[15] = (guint8) (60 - e->number % 2);
  put (p + 16, 4, 1 + e->number % 2);
  put (p + 20, 4, 2 - e->number % 2);
  put (p + 24, wide, packets);
  put (p + 24 + wide, wide, packets * 613);
  put (p + 24 + 2 * wide, wide, start_ms - origin_ms);
  put (p + 24 + 3 * wide, wide, end_ms - origin_ms);
}

static void
fill_datagram (const Flood *f, Exporter *e, guint8 *p, guint64 now_ms)
{
  const Format *format = f->format;

  fill_header (f, e, p, f->datagram_bytes, format->records, now_ms);
  e->seq += format->version == 9 ? 1 : format->records;
  if (f->prepared && f->datagrams >= BATCH)
    return;
  put (p + format->header_bytes, 2, TEMPLATE_ID);
  put (p + format->header_bytes + 2, 2, 4 + format->records * f->record_bytes);
  p += format->header_bytes + 4;
  for (guint i = 0; i < format->records; i++)
    fill_record (f, e, p + i * f->record_bytes, e->key++, now_ms);
}

static void
send_template (Flood *f, Exporter *e, guint64 now_ms)
{
  guint8 data[256] = { 0 };
  guint n_fields = 0, at = f->format->header_bytes + 8;

  for (const Field *field = f->format->fields; field->id != 0; field++, n_fields++, at += 4) {
    put (data + at, 2, field->id);
    put (data + at + 2, 2, field->bytes);
  }
  fill_header (f, e, data, at, 1, now_ms);
  put (data + f->format->header_bytes, 2, f->format->template_set);
  put (data + f->format->header_bytes + 2, 2, 8 + 4 * n_fields);
  put (data + f->format->header_bytes + 4, 2, TEMPLATE_ID);
  put (data + f->format->header_bytes + 6, 2, n_fields);
  if (sendto (e->fd, data, at, 0, (struct sockaddr *) &f->to, sizeof f->to) < 0)
    g_error ("cannot send: %s", g_strerror (errno));
  e->seq += f->format->version == 9;
}

static void
send_batch (Flood *f, Exporter *e, guint64 now_ms)
{
  for (guint i = 0; i < BATCH; i++)
    fill_datagram (f, e, f->data[i], now_ms);
  for (guint sent = 0; sent < BATCH;) {
    int n = sendmmsg (e->fd, f->messages + sent, BATCH - sent, 0);

    if (n > 0)
      sent += (guint) n;
    else if (errno != EINTR && errno != ECONNREFUSED)
      g_error ("cannot send: %s", g_strerror (errno));
  }
  f->datagrams += BATCH;
  f->records += BATCH * f->format->records;
}

/* Sleeps until the turn is due. After a long delay the lost time is not caught up: that would be another load. */
static void
pace (gint64 *due_ns, gint64 step_ns)
{
  gint64 now_ns = clock_ns (CLOCK_MONOTONIC);
  struct timespec ts;

  *due_ns += step_ns;
  if (*due_ns < now_ns - 100 * G_GINT64_CONSTANT (1000000))
    *due_ns = now_ns;
  ts = (struct timespec){ .tv_sec = *due_ns / 1000000000, .tv_nsec = *due_ns % 1000000000 };
  while (clock_nanosleep (CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
    ;
}

static void
run (Flood *f, guint rate, double seconds)
{
  gint64 begin_ns = clock_ns (CLOCK_MONOTONIC), due_ns = begin_ns, templates_ns = begin_ns;
  gint64 end_ns = begin_ns + (gint64) (seconds * 1e9);

  for (guint i = 0; i < f->n; i++)
    send_template (f, &f->exporters[i], (guint64) clock_ns (CLOCK_REALTIME) / 1000000);
  for (guint pair = 0; due_ns < end_ns; pair = (pair + 1) % (f->n / 2)) {
    guint64 now_ms = (guint64) clock_ns (CLOCK_REALTIME) / 1000000;

    if (due_ns - templates_ns >= 1000000000) {
      templates_ns = due_ns;
      for (guint i = 0; i < f->n; i++)
        send_template (f, &f->exporters[i], now_ms);
    }
    send_batch (f, &f->exporters[2 * pair], now_ms);
    send_batch (f, &f->exporters[2 * pair + 1], now_ms);
    pace (&due_ns, 2 * BATCH * G_GINT64_CONSTANT (1000000000) / rate);
  }
  printf ("%" G_GUINT64_FORMAT " datagrams %" G_GUINT64_FORMAT " records %.3f seconds\n", f->datagrams, f->records,
          (double) (clock_ns (CLOCK_MONOTONIC) - begin_ns) / 1e9);
}

static void
open_exporter (Exporter *e, guint number)
{
  struct sockaddr_in from
      = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (0x7f010001 + (number / 250 << 8) + number % 250) };

  *e = (Exporter){ .fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0),
                   .number = number,
                   .boot_ms = (guint64) clock_ns (CLOCK_REALTIME) / 1000000 - 86400000 - number * 12347,
                   .key = number / 2 * 0x01000193 };
  if (e->fd < 0 || bind (e->fd, (struct sockaddr *) &from, sizeof from) != 0)
    g_error ("cannot open exporter %u: %s", number, g_strerror (errno));
}

static void
prepare (Flood *f)
{
  for (const Field *field = f->format->fields; field->id != 0; field++)
    f->record_bytes += field->bytes;
  f->datagram_bytes = f->format->header_bytes + 4 + f->format->records * f->record_bytes;
  g_assert (f->datagram_bytes <= DATAGRAM_MAX);
  for (guint i = 0; i < BATCH; i++) {
    f->iov[i] = (struct iovec){ f->data[i], f->datagram_bytes };
    f->messages[i].msg_hdr
        = (struct msghdr){ .msg_name = &f->to, .msg_namelen = sizeof f->to, .msg_iov = &f->iov[i], .msg_iovlen = 1 };
  }
  f->exporters = g_new (Exporter, f->n);
  for (guint i = 0; i < f->n; i++)
    open_exporter (&f->exporters[i], i);
}

int
main (int argc, char **argv)
{
  gint port = 2055, exporters = 20, rate = 10000;
  gdouble seconds = 5;
  gboolean prepared = FALSE;
  g_autofree char *format = NULL;
  const GOptionEntry entries[] = {
    { "port", 'p', 0, G_OPTION_ARG_INT, &port, "UDP port on 127.0.0.1 (default 2055)", "PORT" },
    { "format", 'f', 0, G_OPTION_ARG_STRING, &format, "v9 (30 records a datagram) or ipfix (25); default v9", "NAME" },
    { "exporters", 'e', 0, G_OPTION_ARG_INT, &exporters, "even number of exporters (default 20)", "N" },
    { "rate", 'r', 0, G_OPTION_ARG_INT, &rate, "datagrams a second (default 10000)", "N" },
    { "prepared", 'P', 0, G_OPTION_ARG_NONE, &prepared, "the same records again and again: faster", NULL },
    { "seconds", 's', 0, G_OPTION_ARG_DOUBLE, &seconds, "how long (default 5)", "S" },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (GOptionContext) context = g_option_context_new ("- send flow records at a steady rate");
  g_autoptr (GError) error = NULL;
  g_autofree Flood *f = g_new0 (Flood, 1);

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error)) {
    g_printerr ("%s\n", error->message);
    return 2;
  }
  for (guint i = 0; i < G_N_ELEMENTS (FORMATS); i++)
    if (g_strcmp0 (format != NULL ? format : "v9", FORMATS[i].name) == 0)
      f->format = &FORMATS[i];
  if (f->format == NULL || exporters < 2 || exporters > MAX_EXPORTERS || exporters % 2 != 0 || rate < 1 || port < 1
      || port > 65535) {
    g_printerr ("nonsense in the options: see --help\n");
    return 2;
  }
  f->n = (guint) exporters;
  f->prepared = prepared;
  f->to = (struct sockaddr_in){ .sin_family = AF_INET,
                                .sin_port = htons ((guint16) port),
                                .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  prepare (f);
  run (f, (guint) rate, seconds);
  g_free (f->exporters);
  return 0;
}
