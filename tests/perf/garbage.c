/* SPDX-License-Identifier: Apache-2.0
 *
 * What no collector wants: datagrams at full speed, from one address or from invented ones, that cost much and bring
 * nothing. tests/perf/fairness.py asks whether other exporters notice.
 *
 *   noise      random bytes
 *   versions   headers of versions that nobody knows
 *   templates  NetFlow v9, as many new templates as a datagram holds
 *   records    NetFlow v9, valid, 30 records each
 *   mixed      all of them in turn
 *
 * Everything is prepared; before sending only the sequence number and the templates' first lengths change. With
 * --invent each datagram comes from another address in 127.64.0.0/10, all of them on this machine.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <glib.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define BATCH 64
#define DATAGRAM_MAX 1472
#define HEADER_BYTES 20

typedef enum { NOISE, VERSIONS, TEMPLATES, RECORDS, MIXED, KINDS } Kind;

static const char *const KIND_NAMES[KINDS] = { "noise", "versions", "templates", "records", "mixed" };

typedef struct {
  Kind kind;
  gboolean invent;
  guint32 seed, seq;
  guint8 data[BATCH][DATAGRAM_MAX];
  struct iovec iov[BATCH];
  union {
    struct cmsghdr align;
    guint8 bytes[CMSG_SPACE (sizeof (struct in_pktinfo))];
  } control[BATCH];
  struct mmsghdr messages[BATCH];
} Garbage;

static void
put (guint8 *p, guint bytes, guint64 v)
{
  for (guint i = bytes; i-- > 0; v >>= 8)
    p[i] = (guint8) v;
}

static guint32
next_random (Garbage *g)
{
  g->seed = g->seed * 1664525u + 1013904223u;
  return g->seed;
}

static void
put_header (guint8 *p, guint32 seq)
{
  put (p, 2, 9);
  put (p + 2, 2, 1);
  put (p + 4, 4, 1000000);
  put (p + 8, 4, (guint64) g_get_real_time () / G_USEC_PER_SEC);
  put (p + 12, 4, seq);
  put (p + 16, 4, 0);
}

/* Templates of one field each, all different from what their ids meant before. */
static guint
make_templates (Garbage *g, guint8 *p)
{
  guint n = (DATAGRAM_MAX - HEADER_BYTES - 4) / 8;

  put_header (p, g->seq++);
  put (p + HEADER_BYTES, 2, 0);
  put (p + HEADER_BYTES + 2, 2, 4 + 8 * n);
  for (guint i = 0; i < n; i++) {
    guint8 *t = p + HEADER_BYTES + 4 + 8 * i;

    put (t, 2, 256 + i);
    put (t + 2, 2, 1);
    put (t + 4, 2, 8 + i % 4);
    put (t + 6, 2, 1 + (g->seq + i) % 64);
  }
  return HEADER_BYTES + 4 + 8 * n;
}

/* A template of addresses, ports, counters and stamps with 30 records behind it. */
static guint
make_records (Garbage *g, guint8 *p)
{
  static const guint8 fields[][2]
      = { { 8, 4 }, { 12, 4 }, { 7, 2 }, { 11, 2 }, { 2, 4 }, { 1, 4 }, { 22, 4 }, { 21, 4 } };
  guint n = G_N_ELEMENTS (fields), bytes = 28, records = 30;
  guint8 *t = p + HEADER_BYTES, *d = t + 8 + 4 * n;

  put_header (p, g->seq++);
  put (t, 2, 0);
  put (t + 2, 2, 8 + 4 * n);
  put (t + 4, 2, 300);
  put (t + 6, 2, n);
  for (guint i = 0; i < n; i++) {
    put (t + 8 + 4 * i, 2, fields[i][0]);
    put (t + 10 + 4 * i, 2, fields[i][1]);
  }
  put (d, 2, 300);
  put (d + 2, 2, 4 + bytes * records);
  for (guint i = 0; i < bytes * records; i++)
    d[4 + i] = (guint8) (next_random (g) >> 24);
  return (guint) (d - p) + 4 + bytes * records;
}

static guint
make (Garbage *g, Kind kind, guint8 *p)
{
  if (kind == TEMPLATES)
    return make_templates (g, p);
  if (kind == RECORDS)
    return make_records (g, p);
  for (guint i = 0; i < 200; i++)
    p[i] = (guint8) (next_random (g) >> 24);
  if (kind == VERSIONS)
    put (p, 2, 11 + next_random (g) % 1000);
  return 200;
}

static void
set_source (Garbage *g, guint i)
{
  struct in_pktinfo info = { .ipi_spec_dst.s_addr = htonl (0x7f400001u + (next_random (g) >> 10)) };
  struct cmsghdr *c = &g->control[i].align;

  c->cmsg_level = IPPROTO_IP;
  c->cmsg_type = IP_PKTINFO;
  c->cmsg_len = CMSG_LEN (sizeof info);
  memcpy (CMSG_DATA (c), &info, sizeof info);
}

static void
fill (Garbage *g)
{
  for (guint i = 0; i < BATCH; i++) {
    Kind kind = g->kind == MIXED ? (Kind) (i % MIXED) : g->kind;

    g->iov[i] = (struct iovec){ g->data[i], make (g, kind, g->data[i]) };
  }
}

/* Sends for so long. Returns how many datagrams. */
static guint64
run (Garbage *g, int fd, double seconds)
{
  gint64 end_us = g_get_monotonic_time () + (gint64) (seconds * 1e6);
  guint64 sent = 0;

  fill (g);
  while (g_get_monotonic_time () < end_us) {
    int n;

    if (g->kind == TEMPLATES || g->kind == MIXED)
      fill (g);
    for (guint i = 0; g->invent && i < BATCH; i++)
      set_source (g, i);
    n = sendmmsg (fd, g->messages, BATCH, 0);
    if (n < 0 && errno != EINTR && errno != ECONNREFUSED)
      g_error ("cannot send: %s", g_strerror (errno));
    sent += n > 0 ? (guint64) n : 0;
  }
  return sent;
}

static int
open_socket (const char *from)
{
  struct sockaddr_in addr = { .sin_family = AF_INET };
  int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

  if (inet_pton (AF_INET, from, &addr.sin_addr) != 1 || fd < 0
      || bind (fd, (struct sockaddr *) &addr, sizeof addr) != 0)
    g_error ("cannot send from %s: %s", from, g_strerror (errno));
  return fd;
}

int
main (int argc, char **argv)
{
  gint port = 2055;
  gdouble seconds = 5;
  gboolean invent = FALSE;
  g_autofree char *kind = NULL, *from = NULL;
  const GOptionEntry entries[] = {
    { "port", 'p', 0, G_OPTION_ARG_INT, &port, "UDP port on 127.0.0.1 (default 2055)", "PORT" },
    { "kind", 'k', 0, G_OPTION_ARG_STRING, &kind, "noise, versions, templates, records or mixed (default)", "NAME" },
    { "from", 'f', 0, G_OPTION_ARG_STRING, &from, "source address (default 127.0.9.9)", "ADDR" },
    { "invent", 'i', 0, G_OPTION_ARG_NONE, &invent, "another source address with each datagram", NULL },
    { "seconds", 's', 0, G_OPTION_ARG_DOUBLE, &seconds, "how long (default 5)", "S" },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (GOptionContext) context = g_option_context_new ("- send garbage at full speed");
  g_autoptr (GError) error = NULL;
  g_autofree Garbage *g = g_new0 (Garbage, 1);
  struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error)) {
    g_printerr ("%s\n", error->message);
    return 2;
  }
  g->invent = invent;
  g->seed = 1;
  g->kind = KINDS;
  for (guint k = 0; k < KINDS; k++)
    if (g_strcmp0 (kind != NULL ? kind : "mixed", KIND_NAMES[k]) == 0)
      g->kind = (Kind) k;
  if (g->kind == KINDS || port < 1 || port > 65535) {
    g_printerr ("nonsense in the options: see --help\n");
    return 2;
  }
  to.sin_port = htons ((guint16) port);
  for (guint i = 0; i < BATCH; i++)
    g->messages[i].msg_hdr = (struct msghdr){ .msg_name = &to,
                                              .msg_namelen = sizeof to,
                                              .msg_iov = &g->iov[i],
                                              .msg_iovlen = 1,
                                              .msg_control = invent ? &g->control[i] : NULL,
                                              .msg_controllen = invent ? sizeof g->control[i] : 0 };
  printf ("%" G_GUINT64_FORMAT " datagrams\n", run (g,
                                                    open_socket (invent         ? "0.0.0.0"
                                                                 : from != NULL ? from
                                                                                : "127.0.9.9"),
                                                    seconds));
  return 0;
}
