/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "owd-listener.h"

static OwdTime
now_ns (void)
{
  struct timespec t;

  clock_gettime (CLOCK_REALTIME, &t);
  return (gint64) t.tv_sec * OWD_NS_PER_S + t.tv_nsec;
}

/* worker: of those that share the address, with steering; NULL: alone. */
static OwdListener *
listen_as (const char *address, gsize receive_buffer, OwdSteering *steering, guint worker)
{
  const char *const addresses[] = { address, NULL };
  g_autoptr (GError) error = NULL;
  g_autoptr (OwdSteering) own = steering == NULL ? owd_steering_new (1) : owd_steering_ref (steering);
  OwdListener *listener = owd_listener_new (addresses, receive_buffer, own, worker, &error);

  assert_null (error);
  assert_non_null (listener);
  return listener;
}

static OwdListener *
listen_on (const char *address, gsize receive_buffer)
{
  return listen_as (address, receive_buffer, NULL, 0);
}

static guint16
port_of (const OwdListener *listener)
{
  const char *address = owd_listener_socket (listener, 0)->address;

  return (guint16) g_ascii_strtoull (strrchr (address, ':') + 1, NULL, 10);
}

/* UDP socket on 127.0.0.HOST, connected to the port. */
static int
sender (guint host, guint16 port)
{
  struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = g_htonl (INADDR_LOOPBACK - 1 + host) };
  struct sockaddr_in to
      = { .sin_family = AF_INET, .sin_addr.s_addr = g_htonl (INADDR_LOOPBACK), .sin_port = g_htons (port) };
  int fd = socket (AF_INET, SOCK_DGRAM, 0);

  assert_true (fd >= 0);
  assert_int_equal (bind (fd, (struct sockaddr *) &from, sizeof from), 0);
  assert_int_equal (connect (fd, (struct sockaddr *) &to, sizeof to), 0);
  return fd;
}

typedef struct {
  guint n;
  guint64 bytes;
  OwdDatagram last;
  OwdTime lowest, highest;
  guint by_host[256];
  guint8 first[4];
} Seen;

static void
on_datagram (void *user, const OwdDatagram *d)
{
  Seen *seen = user;

  seen->lowest = seen->n == 0 ? d->recv_ns : MIN (seen->lowest, d->recv_ns);
  seen->highest = MAX (seen->highest, d->recv_ns);
  seen->n++;
  seen->bytes += d->len;
  seen->last = *d;
  seen->by_host[d->from.b[15]]++;
  memcpy (seen->first, d->data, MIN (d->len, sizeof seen->first));
}

/* Calls until n datagrams have come. */
static void
collect (OwdListener *listener, Seen *seen, guint n)
{
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < 100 && seen->n < n; i++)
    assert_true (owd_listener_receive (listener, 100, on_datagram, seen, &error) >= 0);
  assert_int_equal (seen->n, n);
}

static void
stamps_and_sources (void **state)
{
  g_autoptr (OwdListener) listener = listen_on ("*:0", 1 << 20);
  OwdTime before = now_ns ();
  g_autofree guint8 *big = g_malloc0 (65507);
  int fd = sender (7, port_of (listener));
  Seen seen = { 0 };
  char text[OWD_ADDR_TEXT];

  (void) state;
  assert_int_equal (owd_listener_time (listener), OWD_TIME_NONE);
  assert_int_equal (send (fd, "\0\5ab", 4, 0), 4);
  collect (listener, &seen, 1);
  assert_memory_equal (seen.first, "\0\5ab", 4);
  assert_string_equal (owd_addr_text (&seen.last.from, text), "127.0.0.7"); /* also on a socket for both families */
  assert_int_equal (seen.last.len, 4);
  assert_in_range (seen.last.recv_ns, before, now_ns ());
  /* the greatest UDP over IPv4, then an empty one */
  assert_int_equal (send (fd, big, 65507, 0), 65507);
  assert_int_equal (send (fd, big, 0, 0), 0);
  collect (listener, &seen, 3);
  assert_int_equal (seen.bytes, 4 + 65507);
  assert_int_equal (owd_listener_socket (listener, 0)->datagrams, 3);
  assert_int_equal (owd_listener_socket (listener, 0)->bytes, 4 + 65507);
  close (fd);
}

static void
time_waits_for_the_queue (void **state)
{
  g_autoptr (OwdListener) listener = listen_on ("127.0.0.1:0", 8 << 20);
  g_autoptr (GError) error = NULL;
  int fd = sender (1, port_of (listener));
  Seen seen = { 0 };
  OwdTime t;

  (void) state;
  assert_int_equal (owd_listener_receive (listener, 0, on_datagram, &seen, &error), 0);
  t = owd_listener_time (listener);
  assert_true (t != OWD_TIME_NONE && t <= now_ns () - OWD_LISTENER_GUARD_NS);
  /* more than one turn takes: time stands at what was handed out, however late it is */
  for (guint i = 0; i < 3000; i++)
    assert_int_equal (send (fd, &i, sizeof i, 0), sizeof i);
  g_usleep (100000);
  assert_true (owd_listener_receive (listener, 0, on_datagram, &seen, &error) > 0);
  assert_true (seen.n < 3000);
  assert_in_range (owd_listener_time (listener), t, MAX (t, seen.highest - OWD_LISTENER_GUARD_NS));
  collect (listener, &seen, 3000);
  /* an empty queue: time follows the clock again */
  g_usleep (2 * OWD_LISTENER_GUARD_NS / OWD_NS_PER_US);
  assert_int_equal (owd_listener_receive (listener, 0, on_datagram, &seen, &error), 0);
  assert_true (owd_listener_time (listener) >= seen.highest);
  close (fd);
}

static void
drops_are_counted (void **state)
{
  g_autoptr (OwdListener) listener = listen_on ("127.0.0.1:0", 4096);
  const OwdListenerSocket *s = owd_listener_socket (listener, 0);
  int fd = sender (1, port_of (listener));
  guint8 bytes[1000] = { 0 };
  g_autoptr (GError) error = NULL;
  Seen seen = { 0 };

  (void) state;
  assert_int_equal (s->buffer_asked, 4096);
  assert_true (s->buffer_got >= 2048 && s->buffer_got < 65536);
  for (guint i = 0; i < 500; i++)
    assert_int_equal (send (fd, bytes, sizeof bytes, 0), sizeof bytes);
  while (owd_listener_receive (listener, 0, on_datagram, &seen, &error) > 0)
    ;
  /* without waiting for another datagram, and not twice with it */
  assert_true (s->dropped > 0);
  assert_int_equal (s->datagrams + s->dropped, 500);
  assert_int_equal (send (fd, bytes, sizeof bytes, 0), sizeof bytes);
  collect (listener, &seen, seen.n + 1);
  assert_int_equal (s->datagrams + s->dropped, 501);
  close (fd);
}

static void
wake_ends_a_wait (void **state)
{
  g_autoptr (OwdListener) listener = listen_on ("127.0.0.1:0", 65536);
  g_autoptr (GError) error = NULL;
  gint64 begin_us = g_get_monotonic_time ();
  Seen seen = { 0 };

  (void) state;
  owd_listener_wake (listener);
  assert_int_equal (owd_listener_receive (listener, 10000, on_datagram, &seen, &error), 0);
  assert_true (g_get_monotonic_time () - begin_us < 5 * G_TIME_SPAN_SECOND);
  begin_us = g_get_monotonic_time ();
  assert_int_equal (owd_listener_receive (listener, 30, on_datagram, &seen, &error), 0);
  assert_true (g_get_monotonic_time () - begin_us >= 30 * G_TIME_SPAN_MILLISECOND - 1000);
}

/* Whatever its port, an exporter's datagrams go to one of the listeners; and not all exporters to the same. */
static void
exporters_stay_together (void **state)
{
  g_autoptr (OwdSteering) steering = owd_steering_new (2);
  g_autoptr (OwdListener) a = listen_as ("127.0.0.1:0", 1 << 20, steering, 0);
  g_autofree char *address = g_strdup_printf ("127.0.0.1:%u", port_of (a));
  g_autoptr (OwdListener) b = listen_as (address, 1 << 20, steering, 1);
  g_autoptr (GError) error = NULL;
  Seen seen_a = { 0 }, seen_b = { 0 };

  (void) state;
  for (guint host = 1; host <= 40; host++)
    for (guint i = 0; i < 5; i++) {
      int fd = sender (host, port_of (a));

      assert_int_equal (send (fd, "x", 1, 0), 1);
      close (fd);
    }
  while (owd_listener_receive (a, 20, on_datagram, &seen_a, &error) > 0)
    ;
  while (owd_listener_receive (b, 20, on_datagram, &seen_b, &error) > 0)
    ;
  assert_int_equal (seen_a.n + seen_b.n, 200);
  assert_in_range (seen_a.n, 50, 150);
  for (guint host = 1; host <= 40; host++)
    assert_int_equal (MAX (seen_a.by_host[host], seen_b.by_host[host]), 5);
}

static guint32
hash_of_host (guint host)
{
  const guint8 v4[4] = { 127, 0, 0, (guint8) host };
  OwdAddr addr;

  owd_addr_set_v4 (&addr, v4);
  return owd_steering_hash (&addr);
}

typedef struct {
  guint front[256], back[256]; /* by host */
} Places;

static void
on_place (void *user, const OwdDatagram *d)
{
  Places *places = user;

  (d->back ? places->back : places->front)[d->from.b[15]]++;
}

/* One datagram of each host 1..200, from wherever it is taken. */
static Places
places_of_hosts (OwdListener *const *listeners, guint n)
{
  g_autoptr (GError) error = NULL;
  Places places = { 0 };

  for (guint host = 1; host <= 200; host++) {
    int fd = sender (host, port_of (listeners[0]));

    assert_int_equal (send (fd, "x", 1, 0), 1);
    close (fd);
  }
  for (guint i = 0; i < n; i++)
    while (owd_listener_receive (listeners[i], 20, on_place, &places, &error) > 0)
      ;
  return places;
}

/* The kernel's program agrees with the rule, source by source, however long its lists are. */
static void
sources_are_set_back (void **state)
{
  g_autoptr (OwdSteering) steering = owd_steering_new (2);
  g_autoptr (OwdListener) a = listen_as ("127.0.0.1:0", 1 << 20, steering, 0);
  g_autofree char *address = g_strdup_printf ("127.0.0.1:%u", port_of (a));
  g_autoptr (OwdListener) b = listen_as (address, 1 << 20, steering, 1);
  OwdListener *const both[] = { a, b };
  g_autofree OwdSteeringRule *rule = g_new0 (OwdSteeringRule, 1);
  Places places;

  (void) state;
  for (guint host = 10; host < 10 + OWD_STEERING_BACK_MAX; host++)
    rule->back[rule->n_back++] = hash_of_host (host);
  assert_true (owd_listener_steer (a, rule) && owd_listener_steer (b, rule));
  places = places_of_hosts (both, 2);
  for (guint host = 1; host <= 200; host++) {
    gboolean back = host >= 10 && host < 10 + OWD_STEERING_BACK_MAX;

    assert_int_equal (places.back[host], back);
    assert_int_equal (places.front[host], !back);
  }
  /* those that are known, among many others, but not who is set back by name */
  rule->only_known = TRUE;
  rule->n_back = 1;
  for (guint host = 10; host < 110; host++)
    rule->known[rule->n_known++] = hash_of_host (host);
  for (; rule->n_known < owd_steering_known_max (steering); rule->n_known++)
    rule->known[rule->n_known] = 0x80000001u + rule->n_known * 4093;
  assert_true (owd_listener_steer (a, rule) && owd_listener_steer (b, rule));
  places = places_of_hosts (both, 2);
  for (guint host = 1; host <= 200; host++)
    assert_int_equal (places.front[host], host > 10 && host < 110);
  /* and back again */
  memset (rule, 0, sizeof *rule);
  assert_true (owd_listener_steer (a, rule) && owd_listener_steer (b, rule));
  places = places_of_hosts (both, 2);
  for (guint host = 1; host <= 200; host++)
    assert_int_equal (places.front[host], 1);
  assert_int_equal (owd_listener_socket (a, 0)->back_datagrams + owd_listener_socket (b, 0)->back_datagrams,
                    OWD_STEERING_BACK_MAX + 101);
}

/* What overflows the back socket is counted there, and costs the front one nothing. */
static void
back_has_its_own_drops (void **state)
{
  g_autoptr (OwdListener) listener = listen_on ("127.0.0.1:0", 4096);
  const OwdListenerSocket *s = owd_listener_socket (listener, 0);
  OwdSteeringRule rule = { .n_back = 1, .back = { hash_of_host (2) } };
  g_autoptr (GError) error = NULL;
  int good = sender (1, port_of (listener)), bad = sender (2, port_of (listener));
  guint8 bytes[1000] = { 0 };
  Places places = { 0 };

  (void) state;
  assert_true (owd_listener_steer (listener, &rule));
  for (guint i = 0; i < 500; i++)
    assert_int_equal (send (bad, bytes, sizeof bytes, 0), sizeof bytes);
  assert_int_equal (send (good, bytes, sizeof bytes, 0), sizeof bytes);
  while (owd_listener_receive (listener, 0, on_place, &places, &error) > 0)
    ;
  assert_int_equal (places.front[1], 1);
  assert_int_equal (s->dropped, 0);
  assert_false (owd_listener_pressed (listener));
  assert_true (s->back_dropped > 0);
  assert_int_equal (s->back_datagrams + s->back_dropped, 500);
  close (good);
  close (bad);
}

static void
pressure_shows (void **state)
{
  g_autoptr (OwdListener) listener = listen_on ("127.0.0.1:0", 4096);
  int fd = sender (1, port_of (listener));
  g_autoptr (GError) error = NULL;
  guint8 bytes[1000] = { 0 };
  Seen seen = { 0 };

  (void) state;
  assert_int_equal (send (fd, bytes, sizeof bytes, 0), sizeof bytes);
  collect (listener, &seen, 1);
  assert_false (owd_listener_pressed (listener));
  for (guint i = 0; i < 100; i++)
    assert_int_equal (send (fd, bytes, sizeof bytes, 0), sizeof bytes);
  while (owd_listener_receive (listener, 0, on_datagram, &seen, &error) > 0)
    ;
  assert_true (owd_listener_pressed (listener)); /* it has overflowed */
  assert_false (owd_listener_pressed (listener));
  close (fd);
}

static void
bad_addresses (void **state)
{
  static const char *const bad[]
      = { "2055", "localhost:2055", "127.0.0.1:65536", "127.0.0.1:", "[::1:2055", "::1:2055", "[127.0.0.1]:1" };
  g_autoptr (OwdListener) taken = listen_on ("127.0.0.1:0", 65536);
  g_autofree char *again = g_strdup_printf ("127.0.0.1:%u", port_of (taken));
  const char *const twice[] = { again, NULL };
  g_autoptr (OwdSteering) steering = owd_steering_new (1);
  g_autoptr (GError) error = NULL;

  (void) state;
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    const char *const addresses[] = { bad[i], NULL };

    assert_null (owd_listener_new (addresses, 65536, steering, 0, &error));
    assert_true (g_error_matches (error, OWD_ERROR, OWD_ERROR_CONFIG));
    assert_non_null (strstr (error->message, bad[i]));
    g_clear_error (&error);
  }
  assert_null (owd_listener_new (twice, 65536, steering, 0, &error));
  assert_true (g_error_matches (error, OWD_ERROR, OWD_ERROR_IO));
  assert_non_null (strstr (error->message, again));
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (stamps_and_sources),      cmocka_unit_test (time_waits_for_the_queue),
    cmocka_unit_test (drops_are_counted),       cmocka_unit_test (wake_ends_a_wait),
    cmocka_unit_test (exporters_stay_together), cmocka_unit_test (sources_are_set_back),
    cmocka_unit_test (back_has_its_own_drops),  cmocka_unit_test (pressure_shows),
    cmocka_unit_test (bad_addresses),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
