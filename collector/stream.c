/* SPDX-License-Identifier: Apache-2.0
 *
 * One epoll for listening sockets and connections, level-triggered: what a turn leaves is there in the next one, behind
 * what others have. Sockets are told by number: first the listening ones, then the slots of connections.
 *
 * A slot's buffer costs memory only as far as messages reach into it. Slots are searched one by one, but only when a
 * connection comes, and once a second for idle ones.
 *
 * Out of file descriptors or memory, accept() fails and the connection stays in the queue: it would be offered again at
 * once, for ever. So listening pauses until the next look for idle connections.
 *
 * References: epoll(7), tcp(7), accept(2).
 */
#include "address.h"
#include "framing.h"
#include "owd-stream.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ADDRESSES_MAX 64
#define EVENTS 64
#define TURN_ACCEPTS 64
#define SWEEP_US G_TIME_SPAN_SECOND

typedef struct {
  int fd;
  char *address;
} Door;

typedef struct {
  gboolean used;
  int fd;
  OwdAddr from;
  guint16 port;
  gint64 message_us; /* monotonic time of the last whole message, or of the beginning */
  OwdFraming framing;
} Connection;

struct OwdStreamListener {
  OwdStreamSink sink;
  OwdStreamLimits limits;
  OwdStreamCounters counters;
  int epoll_fd;
  Door doors[ADDRESSES_MAX];
  guint n_doors;
  Connection *connections; /* limits.max_connections of them */
  gint64 sweep_us;         /* monotonic time of the last look for idle ones */
  gboolean paused;         /* doors are not looked at */
};

const char *
owd_stream_reason_text (OwdStreamReason reason)
{
  static const char *const texts[OWD_STREAM_REASONS] = {
    [OWD_STREAM_PEER] = "by the peer",
    [OWD_STREAM_CUT] = "by the peer, inside a message",
    [OWD_STREAM_NETWORK] = "network error",
    [OWD_STREAM_VERSION] = "not IPFIX",
    [OWD_STREAM_LENGTH] = "message shorter than its header",
    [OWD_STREAM_IDLE] = "no message for connection-timeout",
    [OWD_STREAM_FULL] = "limit max-connections",
    [OWD_STREAM_ADDRESS_FULL] = "limit max-connections-per-address",
    [OWD_STREAM_DISALLOWED] = "address not in allow",
  };

  return (guint) reason < OWD_STREAM_REASONS ? texts[reason] : "none";
}

static OwdTime
now_ns (void)
{
  struct timespec t;

  (void) clock_gettime (CLOCK_REALTIME, &t);
  return (gint64) t.tv_sec * OWD_NS_PER_S + t.tv_nsec;
}

static gboolean
watch (OwdStreamListener *self, int fd, guint number)
{
  struct epoll_event event = { .events = EPOLLIN, .data.u32 = number };

  return epoll_ctl (self->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* ---- connections ------------------------------------------------------------------------------- */

static void
count_closed (OwdStreamListener *self, const OwdAddr *from, guint16 port, OwdStreamReason reason)
{
  self->counters.closed[reason]++;
  self->sink.closed (self->sink.user, from, port, reason);
}

static void
close_connection (OwdStreamListener *self, Connection *c, OwdStreamReason reason)
{
  close (c->fd); /* and epoll forgets it */
  owd_framing_clear (&c->framing);
  c->used = FALSE;
  self->counters.open--;
  count_closed (self, &c->from, c->port, reason);
}

/* A free slot for a connection from there; NULL and *ret_reason where it is not wanted or a limit says no. */
static Connection *
find_slot (OwdStreamListener *self, const OwdAddr *from, OwdStreamReason *ret_reason)
{
  Connection *slot = NULL;
  guint same = 0;

  *ret_reason = OWD_STREAM_DISALLOWED;
  if (self->sink.allows != NULL && !self->sink.allows (self->sink.user, from))
    return NULL;
  for (guint i = 0; i < self->limits.max_connections; i++) {
    Connection *c = &self->connections[i];

    if (!c->used && slot == NULL)
      slot = c;
    same += c->used && memcmp (&c->from, from, sizeof *from) == 0;
  }
  *ret_reason = same >= self->limits.max_per_address ? OWD_STREAM_ADDRESS_FULL : OWD_STREAM_FULL;
  return same < self->limits.max_per_address ? slot : NULL;
}

static void
begin_connection (OwdStreamListener *self, int fd, const OwdSocketAddress *address)
{
  OwdStreamReason reason;
  Connection *c;
  OwdAddr from;
  guint16 port;
  int on = 1;

  owd_socket_address_split (address, &from, &port);
  self->counters.accepted++;
  c = find_slot (self, &from, &reason);
  if (c != NULL && !watch (self, fd, self->n_doors + (guint) (c - self->connections))) {
    c = NULL;
    reason = OWD_STREAM_NETWORK;
  }
  if (c == NULL) {
    close (fd);
    count_closed (self, &from, port, reason);
    return;
  }
  (void) setsockopt (fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  *c = (Connection){ .used = TRUE, .fd = fd, .from = from, .port = port, .message_us = g_get_monotonic_time () };
  owd_framing_init (&c->framing);
  self->counters.open++;
}

/* Gives out what is whole, and closes where it is not IPFIX. */
static void
give_messages (OwdStreamListener *self, Connection *c)
{
  OwdDatagram message = { .from = c->from, .port = c->port, .recv_ns = now_ns () };
  OwdStatus status;

  while ((status = owd_framing_next (&c->framing, &message.data, &message.len)) == OWD_STATUS_OK) {
    self->counters.messages++;
    c->message_us = g_get_monotonic_time ();
    self->sink.message (self->sink.user, &message);
  }
  if (status != OWD_STATUS_END)
    close_connection (self, c, status == OWD_STATUS_VERSION ? OWD_STREAM_VERSION : OWD_STREAM_LENGTH);
}

static void
read_connection (OwdStreamListener *self, Connection *c)
{
  gsize room;
  guint8 *p = owd_framing_room (&c->framing, &room);
  gssize n = recv (c->fd, p, room, MSG_DONTWAIT);

  if (n > 0) {
    self->counters.bytes += (gsize) n;
    owd_framing_add (&c->framing, (gsize) n);
    give_messages (self, c);
  } else if (n == 0) {
    close_connection (self, c, owd_framing_rest (&c->framing) > 0 ? OWD_STREAM_CUT : OWD_STREAM_PEER);
  } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
    close_connection (self, c, OWD_STREAM_NETWORK);
  }
}

/* ---- doors ------------------------------------------------------------------------------------- */

static void
set_paused (OwdStreamListener *self, gboolean paused)
{
  for (guint i = 0; i < self->n_doors; i++) {
    struct epoll_event event = { .events = paused ? 0 : EPOLLIN, .data.u32 = i };

    (void) epoll_ctl (self->epoll_fd, EPOLL_CTL_MOD, self->doors[i].fd, &event);
  }
  self->paused = paused;
}

/* Is it the coming connection's own trouble only? See accept(2). */
static gboolean
is_passing (int number)
{
  return number != EMFILE && number != ENFILE && number != ENOBUFS && number != ENOMEM;
}

static gboolean
open_door (OwdStreamListener *self, const Door *door, GError **error)
{
  for (guint i = 0; i < TURN_ACCEPTS; i++) {
    OwdSocketAddress from = { 0 };
    socklen_t len = sizeof from;
    int fd = accept4 (door->fd, &from.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0) {
      begin_connection (self, fd, &from);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      break;
    } else if (!is_passing (errno)) {
      g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "accepting on TCP %s: %s", door->address, g_strerror (errno));
      set_paused (self, TRUE);
      return FALSE;
    }
  }
  return TRUE;
}

static int
open_listening (const OwdSocketAddress *address, guint workers)
{
  int fd = socket (address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int on = 1, off = 0, saved;

  if (fd < 0)
    return -1;
  if (address->any.sa_family == AF_INET6)
    (void) setsockopt (fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  (void) setsockopt (fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* or a restart fails for some minutes */
  if ((workers <= 1 || setsockopt (fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0)
      && bind (fd, &address->any, owd_socket_address_len (address)) == 0 && listen (fd, SOMAXCONN) == 0
      && (workers <= 1 || owd_socket_steer_by_source (fd, workers)))
    return fd;
  saved = errno;
  close (fd);
  errno = saved;
  return -1;
}

static gboolean
add_door (OwdStreamListener *self, const char *text, guint workers, GError **error)
{
  OwdSocketAddress address;
  int fd;

  if (!owd_socket_address_parse (text, &address, error))
    return FALSE;
  fd = open_listening (&address, workers);
  if (fd < 0 && owd_socket_address_fall_back (&address))
    fd = open_listening (&address, workers);
  if (fd < 0) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "cannot listen on TCP %s: %s%s", text, g_strerror (errno),
                 errno == EADDRINUSE ? " (another collector? choose another one with --listen)" : "");
    return FALSE;
  }
  self->doors[self->n_doors] = (Door){ .fd = fd, .address = owd_socket_address_bound (fd) };
  self->n_doors++;
  if (watch (self, fd, self->n_doors - 1))
    return TRUE;
  g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "epoll for TCP %s: %s", text, g_strerror (errno));
  return FALSE;
}

/* ---- public ------------------------------------------------------------------------------------ */

OwdStreamListener *
owd_stream_listener_new (const char *const *addresses, const OwdStreamLimits *limits, guint workers,
                         const OwdStreamSink *sink, GError **error)
{
  g_autoptr (OwdStreamListener) self = g_new0 (OwdStreamListener, 1);

  self->sink = *sink;
  self->limits = *limits;
  self->connections = g_new0 (Connection, limits->max_connections);
  self->sweep_us = g_get_monotonic_time ();
  self->epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
  if (self->epoll_fd < 0) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "epoll: %s", g_strerror (errno));
    return NULL;
  }
  for (guint i = 0; addresses[i] != NULL; i++) {
    if (i == ADDRESSES_MAX) {
      g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "more than %d TCP addresses to listen on", ADDRESSES_MAX);
      return NULL;
    }
    if (!add_door (self, addresses[i], workers, error))
      return NULL;
  }
  return g_steal_pointer (&self);
}

void
owd_stream_listener_free (OwdStreamListener *self)
{
  if (self == NULL)
    return;
  for (guint i = 0; i < self->limits.max_connections; i++)
    if (self->connections[i].used) {
      close (self->connections[i].fd);
      owd_framing_clear (&self->connections[i].framing);
    }
  for (guint i = 0; i < self->n_doors; i++) {
    close (self->doors[i].fd);
    g_free (self->doors[i].address);
  }
  if (self->epoll_fd >= 0)
    close (self->epoll_fd);
  g_free (self->connections);
  g_free (self);
}

/* Closes idle connections. Returns how many. */
static int
sweep (OwdStreamListener *self)
{
  gint64 now_us = g_get_monotonic_time ();
  int n = 0;

  if (now_us - self->sweep_us < SWEEP_US)
    return 0;
  self->sweep_us = now_us;
  if (self->paused)
    set_paused (self, FALSE);
  for (guint i = 0; self->limits.idle_ns > 0 && i < self->limits.max_connections; i++) {
    Connection *c = &self->connections[i];

    if (!c->used || now_us - c->message_us < self->limits.idle_ns / OWD_NS_PER_US)
      continue;
    close_connection (self, c, OWD_STREAM_IDLE);
    n++;
  }
  return n;
}

int
owd_stream_listener_receive (OwdStreamListener *self, GError **error)
{
  struct epoll_event events[EVENTS];
  int n = epoll_wait (self->epoll_fd, events, EVENTS, 0);

  if (n < 0 && errno != EINTR) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "epoll_wait: %s", g_strerror (errno));
    return -1;
  }
  for (int i = 0; i < n; i++) {
    guint number = events[i].data.u32;

    if (number >= self->n_doors)
      read_connection (self, &self->connections[number - self->n_doors]);
    else if (!open_door (self, &self->doors[number], error))
      return -1;
  }
  return MAX (n, 0) + sweep (self);
}

int
owd_stream_listener_fd (const OwdStreamListener *self)
{
  return self->epoll_fd;
}

const OwdStreamCounters *
owd_stream_listener_counters (const OwdStreamListener *self)
{
  return &self->counters;
}

guint
owd_stream_listener_n_addresses (const OwdStreamListener *self)
{
  return self->n_doors;
}

const char *
owd_stream_listener_address (const OwdStreamListener *self, guint i)
{
  return self->doors[i].address;
}
