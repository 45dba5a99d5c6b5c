/* SPDX-License-Identifier: Apache-2.0
 *
 * One epoll for listening sockets and connections, level-triggered: what a turn leaves is there in the next one, behind
 * what others have. Sockets are told by number: first the listening ones, then the slots of connections.
 *
 * A slot's buffer costs memory only as far as messages reach into it. Slots are searched one by one, but only when a
 * connection comes, and once a second for idle ones.
 *
 * A TLS connection is a TCP one with owd_tls_*() between socket and framing; until its handshake is over it has no
 * framing buffer. What the library has decrypted and not handed out does not show in the socket, so a turn leaves none.
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
#define TURN_RECORDS 4 /* of TLS: as much as one read of a plain connection */
#define SWEEP_US G_TIME_SPAN_SECOND

typedef struct {
  int fd;
  char *address;
  gboolean is_tls;
} Door;

typedef struct {
  gboolean used;
  int fd;
  OwdAddr from;
  guint16 port;
  gboolean shaking;  /* the TLS handshake is not over */
  guint32 waits_for; /* EPOLLIN; of TLS EPOLLOUT at times */
  gint64 message_us; /* monotonic time of the last whole message, or of the beginning */
  OwdTls *tls;       /* NULL: plain TCP */
  OwdFraming framing;
} Connection;

struct OwdStreamListener {
  OwdStreamSink sink;
  OwdStreamLimits limits;
  OwdStreamCounters counters;
  OwdTlsContext *tls;
  int epoll_fd;
  Door doors[ADDRESSES_MAX];
  guint n_doors;
  Connection *connections; /* n_slots of them, and never fewer: they are known to epoll by number */
  guint n_slots;           /* at least limits.max_connections */
  gint64 sweep_us;         /* monotonic time of the last look for idle ones */
  guint handshakes;        /* begun since then */
  gboolean paused;         /* some doors are not looked at */
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
    [OWD_STREAM_HANDSHAKE] = "TLS handshake failed",
    [OWD_STREAM_SLOW] = "TLS handshake longer than tls-handshake-timeout",
    [OWD_STREAM_TLS] = "TLS error",
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

static gboolean
is_wanted (const OwdStreamListener *self, const OwdAddr *from)
{
  return self->sink.allows == NULL || self->sink.allows (self->sink.user, from);
}

static void
count_closed (OwdStreamListener *self, const OwdAddr *from, guint16 port, OwdStreamReason reason, const char *detail)
{
  self->counters.closed[reason]++;
  self->sink.closed (self->sink.user, from, port, reason, detail);
}

static void
release (Connection *c)
{
  g_clear_pointer (&c->tls, owd_tls_free);
  close (c->fd); /* and epoll forgets it */
  owd_framing_clear (&c->framing);
  c->used = FALSE;
}

static void
close_connection (OwdStreamListener *self, Connection *c, OwdStreamReason reason, const char *detail)
{
  self->counters.open--;
  count_closed (self, &c->from, c->port, reason, detail); /* while detail lives */
  release (c);
}

/* A free slot for a connection from there; NULL and *ret_reason where it is not wanted or a limit says no. */
static Connection *
find_slot (OwdStreamListener *self, const OwdAddr *from, OwdStreamReason *ret_reason)
{
  Connection *slot = NULL;
  guint same = 0;

  *ret_reason = OWD_STREAM_DISALLOWED;
  if (!is_wanted (self, from))
    return NULL;
  for (guint i = 0; i < self->n_slots; i++) {
    Connection *c = &self->connections[i];

    if (!c->used && slot == NULL)
      slot = c;
    same += c->used && memcmp (&c->from, from, sizeof *from) == 0;
  }
  *ret_reason = same >= self->limits.max_per_address ? OWD_STREAM_ADDRESS_FULL : OWD_STREAM_FULL;
  return same < self->limits.max_per_address && self->counters.open < self->limits.max_connections ? slot : NULL;
}

static gboolean
begin_tls (OwdStreamListener *self, Connection *c)
{
  c->tls = owd_tls_new (self->tls, c->fd);
  c->shaking = TRUE;
  self->handshakes++;
  return c->tls != NULL;
}

static void
begin_connection (OwdStreamListener *self, int fd, const OwdSocketAddress *address, gboolean is_tls)
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
    count_closed (self, &from, port, reason, NULL);
    return;
  }
  (void) setsockopt (fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  *c = (Connection){
    .used = TRUE, .fd = fd, .from = from, .port = port, .waits_for = EPOLLIN, .message_us = g_get_monotonic_time ()
  };
  self->counters.open++;
  if (!is_tls)
    owd_framing_init (&c->framing);
  else if (!begin_tls (self, c))
    close_connection (self, c, OWD_STREAM_TLS, NULL);
}

/* Gives out what is whole, and closes where it is not IPFIX. Returns whether it is still open. */
static gboolean
give_messages (OwdStreamListener *self, Connection *c)
{
  OwdDatagram message = { .from = c->from, .port = c->port, .recv_ns = now_ns () };
  OwdStatus status;

  while ((status = owd_framing_next (&c->framing, &message.data, &message.len)) == OWD_STATUS_OK) {
    self->counters.messages++;
    c->message_us = g_get_monotonic_time ();
    self->sink.message (self->sink.user, &message);
  }
  if (status == OWD_STATUS_END)
    return TRUE;
  close_connection (self, c, status == OWD_STATUS_VERSION ? OWD_STREAM_VERSION : OWD_STREAM_LENGTH, NULL);
  return FALSE;
}

static void
close_ended (OwdStreamListener *self, Connection *c)
{
  close_connection (self, c, owd_framing_rest (&c->framing) > 0 ? OWD_STREAM_CUT : OWD_STREAM_PEER, NULL);
}

static void
read_plain (OwdStreamListener *self, Connection *c)
{
  gsize room;
  guint8 *p = owd_framing_room (&c->framing, &room);
  gssize n = recv (c->fd, p, room, MSG_DONTWAIT);

  if (n > 0) {
    self->counters.bytes += (gsize) n;
    owd_framing_add (&c->framing, (gsize) n);
    (void) give_messages (self, c);
  } else if (n == 0) {
    close_ended (self, c);
  } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
    close_connection (self, c, OWD_STREAM_NETWORK, NULL);
  }
}

/* TLS has come to a stop: waits for what it needs, or closes. */
static void
settle_tls (OwdStreamListener *self, Connection *c, OwdTlsResult result)
{
  guint32 waits_for = result == OWD_TLS_WANT_WRITE ? EPOLLOUT : EPOLLIN;
  struct epoll_event event = { .events = waits_for, .data.u32 = self->n_doors + (guint) (c - self->connections) };

  if (result == OWD_TLS_FAILED)
    close_connection (self, c, c->shaking ? OWD_STREAM_HANDSHAKE : OWD_STREAM_TLS, owd_tls_error (c->tls));
  else if (result == OWD_TLS_END)
    close_ended (self, c);
  else if (waits_for != c->waits_for && epoll_ctl (self->epoll_fd, EPOLL_CTL_MOD, c->fd, &event) == 0)
    c->waits_for = waits_for;
}

static void
read_tls (OwdStreamListener *self, Connection *c)
{
  OwdTlsResult result = OWD_TLS_DONE;

  if (c->shaking) {
    result = owd_tls_handshake (c->tls);
    if (result != OWD_TLS_DONE) {
      settle_tls (self, c, result);
      return;
    }
    c->shaking = FALSE;
    c->message_us = g_get_monotonic_time ();
    self->counters.handshakes++;
    owd_framing_init (&c->framing);
  }
  for (guint i = 0; result == OWD_TLS_DONE && (i < TURN_RECORDS || owd_tls_has_more (c->tls)); i++) {
    gsize room, n = 0;
    guint8 *p = owd_framing_room (&c->framing, &room);

    result = owd_tls_read (c->tls, p, room, &n);
    self->counters.bytes += n;
    owd_framing_add (&c->framing, n);
    if (n > 0 && !give_messages (self, c))
      return;
  }
  settle_tls (self, c, result);
}

static void
read_connection (OwdStreamListener *self, Connection *c)
{
  if (c->tls != NULL)
    read_tls (self, c);
  else
    read_plain (self, c);
}

/* ---- doors ------------------------------------------------------------------------------------- */

static void
set_watched (OwdStreamListener *self, guint door, gboolean watched)
{
  struct epoll_event event = { .events = watched ? EPOLLIN : 0, .data.u32 = door };

  (void) epoll_ctl (self->epoll_fd, EPOLL_CTL_MOD, self->doors[door].fd, &event);
  if (!watched)
    self->paused = TRUE;
}

/* Is it the coming connection's own trouble only? See accept(2). */
static gboolean
is_passing (int number)
{
  return number != EMFILE && number != ENFILE && number != ENOBUFS && number != ENOMEM;
}

static gboolean
open_door (OwdStreamListener *self, guint number, GError **error)
{
  const Door *door = &self->doors[number];

  for (guint i = 0; i < TURN_ACCEPTS; i++) {
    OwdSocketAddress from = { 0 };
    socklen_t len = sizeof from;
    int fd;

    if (door->is_tls && self->handshakes >= OWD_STREAM_HANDSHAKES_PER_S) {
      set_watched (self, number, FALSE);
      break;
    }
    fd = accept4 (door->fd, &from.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      begin_connection (self, fd, &from, door->is_tls);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      break;
    } else if (!is_passing (errno)) {
      g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "accepting on TCP %s: %s", door->address, g_strerror (errno));
      for (guint k = 0; k < self->n_doors; k++)
        set_watched (self, k, FALSE);
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
add_door (OwdStreamListener *self, const char *text, gboolean is_tls, guint workers, GError **error)
{
  OwdSocketAddress address;
  int fd;

  if (self->n_doors == ADDRESSES_MAX) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "more than %d TCP addresses to listen on", ADDRESSES_MAX);
    return FALSE;
  }
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
  self->doors[self->n_doors] = (Door){ .fd = fd, .address = owd_socket_address_bound (fd), .is_tls = is_tls };
  self->n_doors++;
  if (watch (self, fd, self->n_doors - 1))
    return TRUE;
  g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "epoll for TCP %s: %s", text, g_strerror (errno));
  return FALSE;
}

/* ---- public ------------------------------------------------------------------------------------ */

OwdStreamListener *
owd_stream_listener_new (const char *const *addresses, const char *const *addresses_tls, OwdTlsContext *tls,
                         const OwdStreamLimits *limits, guint workers, const OwdStreamSink *sink, GError **error)
{
  g_autoptr (OwdStreamListener) self = g_new0 (OwdStreamListener, 1);

  self->sink = *sink;
  owd_stream_listener_set (self, limits, tls);
  self->sweep_us = g_get_monotonic_time ();
  self->epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
  if (self->epoll_fd < 0) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "epoll: %s", g_strerror (errno));
    return NULL;
  }
  for (guint i = 0; addresses[i] != NULL; i++)
    if (!add_door (self, addresses[i], FALSE, workers, error))
      return NULL;
  for (guint i = 0; addresses_tls[i] != NULL; i++)
    if (!add_door (self, addresses_tls[i], TRUE, workers, error))
      return NULL;
  return g_steal_pointer (&self);
}

void
owd_stream_listener_set (OwdStreamListener *self, const OwdStreamLimits *limits, OwdTlsContext *tls)
{
  OwdTlsContext *before = self->tls;

  self->limits = *limits;
  self->tls = tls != NULL ? owd_tls_context_ref (tls) : NULL;
  owd_tls_context_unref (before);
  if (limits->max_connections > self->n_slots) {
    self->connections = g_renew (Connection, self->connections, limits->max_connections);
    memset (self->connections + self->n_slots, 0,
            (limits->max_connections - self->n_slots) * sizeof self->connections[0]);
    self->n_slots = limits->max_connections;
  }
  for (guint i = 0; i < self->n_slots; i++) {
    Connection *c = &self->connections[i];

    if (c->used && !is_wanted (self, &c->from))
      close_connection (self, c, OWD_STREAM_DISALLOWED, NULL);
  }
}

void
owd_stream_listener_free (OwdStreamListener *self)
{
  if (self == NULL)
    return;
  for (guint i = 0; i < self->n_slots; i++)
    if (self->connections[i].used)
      release (&self->connections[i]);
  for (guint i = 0; i < self->n_doors; i++) {
    close (self->doors[i].fd);
    g_free (self->doors[i].address);
  }
  if (self->epoll_fd >= 0)
    close (self->epoll_fd);
  owd_tls_context_unref (self->tls);
  g_free (self->connections);
  g_free (self);
}

/* Has it had nothing to show for longer than it may? */
static gboolean
is_overdue (const OwdStreamListener *self, const Connection *c, gint64 now_us)
{
  gint64 limit_ns = c->shaking ? self->limits.handshake_ns : self->limits.idle_ns;

  return c->used && limit_ns > 0 && now_us - c->message_us >= limit_ns / OWD_NS_PER_US;
}

/* Once a second: closes idle connections, looks at all doors again. Returns how many were closed. */
static int
sweep (OwdStreamListener *self)
{
  gint64 now_us = g_get_monotonic_time ();
  int n = 0;

  if (now_us - self->sweep_us < SWEEP_US)
    return 0;
  self->sweep_us = now_us;
  self->handshakes = 0;
  for (guint i = 0; self->paused && i < self->n_doors; i++)
    set_watched (self, i, TRUE);
  self->paused = FALSE;
  for (guint i = 0; i < self->n_slots; i++) {
    Connection *c = &self->connections[i];

    if (!is_overdue (self, c, now_us))
      continue;
    close_connection (self, c, c->shaking ? OWD_STREAM_SLOW : OWD_STREAM_IDLE, NULL);
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
    else if (!open_door (self, number, error))
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

gboolean
owd_stream_listener_is_tls (const OwdStreamListener *self, guint i)
{
  return self->doors[i].is_tls;
}
