/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "owd-stream.h"

static const guint8 MESSAGE[] = { 0, 10, 0, 20, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 2, 0, 4 };

typedef struct {
  guint n;
  guint64 bytes;
  OwdDatagram last;
  guint closed[OWD_STREAM_REASONS];
  guint by_host[256];
  char detail[160];
} Seen;

static const char *const NOBODY[] = { NULL };

static void
on_message (void *user, const OwdDatagram *d)
{
  Seen *seen = user;

  assert_int_equal (d->len, sizeof MESSAGE);
  assert_memory_equal (d->data, MESSAGE, sizeof MESSAGE);
  seen->n++;
  seen->last = *d;
  seen->by_host[d->from.b[15]]++;
}

static void
on_closed (void *user, const OwdAddr *from, guint16 port, OwdStreamReason reason, const char *detail)
{
  Seen *seen = user;

  g_strlcpy (seen->detail, detail != NULL ? detail : "", sizeof seen->detail);

  assert_true (owd_addr_is_v4 (from));
  assert_true (port > 0);
  seen->closed[reason]++;
}

static OwdStreamListener *
listen_on (const char *address, OwdStreamLimits limits, guint workers, Seen *seen)
{
  const char *const addresses[] = { address, NULL };
  const OwdStreamSink sink = { .message = on_message, .closed = on_closed, .user = seen };
  g_autoptr (GError) error = NULL;
  OwdStreamListener *listener = owd_stream_listener_new (addresses, NOBODY, NULL, &limits, workers, &sink, &error);

  assert_null (error);
  assert_non_null (listener);
  return listener;
}

static guint16
port_of (const OwdStreamListener *listener)
{
  return (guint16) g_ascii_strtoull (strrchr (owd_stream_listener_address (listener, 0), ':') + 1, NULL, 10);
}

/* From 127.0.0.HOST. */
static int
connect_from (guint host, guint16 port)
{
  struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = g_htonl (INADDR_LOOPBACK - 1 + host) };
  struct sockaddr_in to
      = { .sin_family = AF_INET, .sin_addr.s_addr = g_htonl (INADDR_LOOPBACK), .sin_port = g_htons (port) };
  int fd = socket (AF_INET, SOCK_STREAM, 0);

  assert_true (fd >= 0);
  assert_int_equal (bind (fd, (struct sockaddr *) &from, sizeof from), 0);
  assert_int_equal (connect (fd, (struct sockaddr *) &to, sizeof to), 0);
  return fd;
}

static void
send_bytes (int fd, const void *data, gsize len)
{
  assert_int_equal (send (fd, data, len, MSG_NOSIGNAL), (gssize) len);
}

/* Turns until nothing more comes for wait_ms. */
static void
settle (OwdStreamListener *listener, int wait_ms)
{
  struct pollfd p = { .fd = owd_stream_listener_fd (listener), .events = POLLIN };
  g_autoptr (GError) error = NULL;

  while (poll (&p, 1, wait_ms) > 0)
    assert_true (owd_stream_listener_receive (listener, &error) >= 0);
}

/* What is accepted is open or closed. */
static void
check_books (const OwdStreamListener *listener)
{
  const OwdStreamCounters *c = owd_stream_listener_counters (listener);
  guint64 closed = 0;

  for (guint r = 0; r < OWD_STREAM_REASONS; r++)
    closed += c->closed[r];
  assert_int_equal (c->accepted, c->open + closed);
}

#define LIMITS ((OwdStreamLimits){ .max_connections = 8, .max_per_address = 4 })

static void
messages_in_pieces (void **state)
{
  Seen seen = { 0 };
  g_autoptr (OwdStreamListener) listener = listen_on ("127.0.0.1:0", LIMITS, 1, &seen);
  int a = connect_from (1, port_of (listener)), b = connect_from (2, port_of (listener));

  (void) state;
  for (gsize i = 0; i < sizeof MESSAGE; i++) { /* both at the same time, at different places */
    send_bytes (a, MESSAGE + i, 1);
    if (i % 3 == 2)
      send_bytes (b, MESSAGE + i - 2, 3);
    settle (listener, 5);
  }
  send_bytes (b, MESSAGE + 18, 2);
  send_bytes (b, MESSAGE, sizeof MESSAGE);
  settle (listener, 20);
  assert_int_equal (seen.by_host[1], 1);
  assert_int_equal (seen.by_host[2], 2);
  assert_true (owd_addr_is_v4 (&seen.last.from));
  assert_true (ABS (seen.last.recv_ns - g_get_real_time () * OWD_NS_PER_US) < 60 * OWD_NS_PER_S);
  assert_int_equal (owd_stream_listener_counters (listener)->open, 2);
  assert_int_equal (owd_stream_listener_counters (listener)->bytes, 3 * sizeof MESSAGE);
  close (a);
  close (b);
  settle (listener, 20);
  assert_int_equal (seen.closed[OWD_STREAM_PEER], 2);
  check_books (listener);
}

static void
garbage_is_closed (void **state)
{
  static const guint8 short_message[] = { 0, 10, 0, 15 };
  Seen seen = { 0 };
  g_autoptr (OwdStreamListener) listener = listen_on ("127.0.0.1:0", LIMITS, 1, &seen);
  int good = connect_from (1, port_of (listener)), text = connect_from (2, port_of (listener));
  int cut = connect_from (3, port_of (listener)), small = connect_from (4, port_of (listener));
  char c;

  (void) state;
  send_bytes (text, MESSAGE, sizeof MESSAGE);
  send_bytes (text, "GET / HTTP/1.1\r\n", 16);
  send_bytes (small, short_message, sizeof short_message);
  send_bytes (cut, MESSAGE, 7);
  close (cut);
  settle (listener, 20);
  send_bytes (good, MESSAGE, sizeof MESSAGE);
  settle (listener, 20);
  assert_int_equal (recv (text, &c, 1, 0), 0); /* the end, seen from there */
  assert_int_equal (seen.closed[OWD_STREAM_VERSION], 1);
  assert_int_equal (seen.closed[OWD_STREAM_LENGTH], 1);
  assert_int_equal (seen.closed[OWD_STREAM_CUT], 1);
  assert_int_equal (seen.by_host[2], 1);
  assert_int_equal (seen.by_host[1], 1);
  assert_int_equal (owd_stream_listener_counters (listener)->open, 1);
  check_books (listener);
  close (good);
  close (text);
  close (small);
}

static void
limits_hold (void **state)
{
  Seen seen = { 0 };
  g_autoptr (OwdStreamListener) listener = listen_on ("127.0.0.1:0", LIMITS, 1, &seen);
  int fds[12];

  (void) state;
  for (guint i = 0; i < 6; i++)
    fds[i] = connect_from (1, port_of (listener));
  settle (listener, 20);
  assert_int_equal (seen.closed[OWD_STREAM_ADDRESS_FULL], 2);
  for (guint i = 6; i < 12; i++)
    fds[i] = connect_from (i, port_of (listener));
  settle (listener, 20);
  assert_int_equal (seen.closed[OWD_STREAM_FULL], 2);
  assert_int_equal (owd_stream_listener_counters (listener)->open, 8);
  close (fds[0]); /* makes room */
  settle (listener, 20);
  fds[0] = connect_from (20, port_of (listener));
  send_bytes (fds[0], MESSAGE, sizeof MESSAGE);
  settle (listener, 20);
  assert_int_equal (seen.by_host[20], 1);
  check_books (listener);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    close (fds[i]);
}

static gboolean
allows_second (void *user, const OwdAddr *from)
{
  (void) user;
  return from->b[15] == 2;
}

static void
unwanted_take_no_room (void **state)
{
  const OwdStreamLimits limits = { .max_connections = 1, .max_per_address = 1 };
  const char *const addresses[] = { "127.0.0.1:0", NULL };
  Seen seen = { 0 };
  const OwdStreamSink sink = { .allows = allows_second, .message = on_message, .closed = on_closed, .user = &seen };
  g_autoptr (GError) error = NULL;
  g_autoptr (OwdStreamListener) listener = owd_stream_listener_new (addresses, NOBODY, NULL, &limits, 1, &sink, &error);
  int bad, good;

  (void) state;
  assert_non_null (listener);
  bad = connect_from (1, port_of (listener));
  good = connect_from (2, port_of (listener));
  send_bytes (good, MESSAGE, sizeof MESSAGE);
  settle (listener, 20);
  assert_int_equal (seen.closed[OWD_STREAM_DISALLOWED], 1);
  assert_int_equal (seen.by_host[2], 1);
  check_books (listener);
  close (bad);
  close (good);
}

/* Bytes do not count, whole messages do. */
static void
idle_is_closed (void **state)
{
  const OwdStreamLimits limits = { .max_connections = 8, .max_per_address = 4, .idle_ns = 700 * OWD_NS_PER_MS };
  Seen seen = { 0 };
  g_autoptr (OwdStreamListener) listener = listen_on ("127.0.0.1:0", limits, 1, &seen);
  int busy = connect_from (1, port_of (listener)), slow = connect_from (2, port_of (listener));
  g_autoptr (GError) error = NULL;

  (void) state;
  for (gsize i = 0; i < 12 && seen.closed[OWD_STREAM_IDLE] == 0; i++) {
    send_bytes (busy, MESSAGE, sizeof MESSAGE);
    send_bytes (slow, MESSAGE + i, 1);
    settle (listener, 100);
    assert_true (owd_stream_listener_receive (listener, &error) >= 0);
  }
  assert_int_equal (seen.closed[OWD_STREAM_IDLE], 1);
  assert_int_equal (seen.by_host[2], 0);
  assert_int_equal (owd_stream_listener_counters (listener)->open, 1);
  close (busy);
  close (slow);
}

static void
exporters_stay_together (void **state)
{
  Seen seen_a = { 0 }, seen_b = { 0 };
  const OwdStreamLimits limits = { .max_connections = 100, .max_per_address = 4 };
  g_autoptr (OwdStreamListener) a = listen_on ("127.0.0.1:0", limits, 2, &seen_a);
  g_autofree char *address = g_strdup_printf ("127.0.0.1:%u", port_of (a));
  g_autoptr (OwdStreamListener) b = listen_on (address, limits, 2, &seen_b);
  int fds[120];

  (void) state;
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++) {
    fds[i] = connect_from (1 + i / 3, port_of (a));
    send_bytes (fds[i], MESSAGE, sizeof MESSAGE);
  }
  settle (a, 20);
  settle (b, 20);
  assert_int_equal (seen_a.n + seen_b.n, 120);
  assert_in_range (seen_a.n, 30, 90);
  for (guint host = 1; host <= 40; host++)
    assert_int_equal (MAX (seen_a.by_host[host], seen_b.by_host[host]), 3);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    close (fds[i]);
}

static void
bad_addresses (void **state)
{
  const OwdStreamLimits limits = LIMITS;
  const OwdStreamSink sink = { .message = on_message, .closed = on_closed };
  Seen seen = { 0 };
  g_autoptr (OwdStreamListener) taken = listen_on ("127.0.0.1:0", limits, 1, &seen);
  const char *const nonsense[] = { "localhost", NULL };
  const char *const twice[] = { owd_stream_listener_address (taken, 0), NULL };
  g_autoptr (GError) error = NULL;

  (void) state;
  assert_null (owd_stream_listener_new (nonsense, NOBODY, NULL, &limits, 1, &sink, &error));
  assert_true (g_error_matches (error, OWD_ERROR, OWD_ERROR_CONFIG));
  g_clear_error (&error);
  assert_null (owd_stream_listener_new (twice, NOBODY, NULL, &limits, 1, &sink, &error));
  assert_true (g_error_matches (error, OWD_ERROR, OWD_ERROR_IO));
  assert_non_null (strstr (error->message, twice[0]));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (messages_in_pieces), cmocka_unit_test (garbage_is_closed),
    cmocka_unit_test (limits_hold),        cmocka_unit_test (unwanted_take_no_room),
    cmocka_unit_test (idle_is_closed),     cmocka_unit_test (exporters_stay_together),
    cmocka_unit_test (bad_addresses),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
