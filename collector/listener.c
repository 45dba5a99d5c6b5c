/* SPDX-License-Identifier: Apache-2.0
 *
 * recvmmsg into a fixed set of buffers.
 *
 * Time. The kernel stamps a datagram (SO_TIMESTAMPNS) before it queues it, and a queue is first in, first out. So a
 * socket has handed out everything up to T if it was found empty in a call that began after T, or if the last datagram
 * taken is stamped T. Stamping and queueing are a moment apart, and two processors may overtake each other in between:
 * OWD_LISTENER_GUARD_NS is kept back for that. The clock is read before the sockets are, never after.
 *
 * Batches. What costs most at moderate rates is not the datagram but the waking up for it: more than half of the CPU
 * time of a loop that receives at 10,000 datagrams/s. Receive times are the kernel's, so nothing is lost by looking
 * later: once a socket has something, the listener naps before it takes it, NAP_MAX_US, or less where the receive
 * buffer is small: a nap must leave room for the worst burst.
 *
 * Fairness. A turn takes at most TURN_BATCHES from a socket before the next one gets its turn.
 *
 * Buffers are one datagram of the greatest length each. Their distance is an odd number of cache lines: with a power
 * of two the heads of all datagrams would fight for the same few lines.
 *
 * References: socket(7), udp(7), recvmmsg(2).
 */
#include "address.h"
#include "owd-listener.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define TURN_BATCHES 16
#define DATAGRAM_MAX 65535
#define BUFFER_STRIDE 65600
#define SOCKETS_MAX 64
#define NAP_MAX_US 5000
#define NAP_MIN_US 250          /* shorter ones gain nothing */
#define BURST_BYTES_PER_US 1000 /* of buffer that datagrams may use up while we nap: some 5 Gbit/s of them */

G_STATIC_ASSERT (BUFFER_STRIDE >= DATAGRAM_MAX + OWD_LISTENER_SLACK);
G_STATIC_ASSERT (BUFFER_STRIDE % 128 == 64);

typedef union {
  struct cmsghdr align;
  guint8 bytes[CMSG_SPACE (sizeof (struct timespec)) + CMSG_SPACE (sizeof (guint32))];
} Control;

typedef struct {
  int fd;
  OwdListenerSocket counters;
  char *address;
  guint32 kernel_drops; /* as the kernel counts, modulo 2^32 */
  OwdTime seen_ns;
} Socket;

struct OwdListener {
  Socket sockets[SOCKETS_MAX];
  guint n_sockets;
  struct pollfd polls[SOCKETS_MAX + 2]; /* behind the sockets' own: the eventfd, and owd_listener_watch's */
  OwdTime turn_ns;                      /* when the last turns began */
  gboolean drained;                     /* the last turns left every socket empty */
  guint nap_us;                         /* 0: none */
  int wake_fd;
  guint8 *buffers;
  struct mmsghdr messages[BATCH];
  struct iovec vectors[BATCH];
  OwdSocketAddress from[BATCH];
  Control control[BATCH];
};

static OwdTime
now_ns (void)
{
  struct timespec t;

  (void) clock_gettime (CLOCK_REALTIME, &t);
  return (gint64) t.tv_sec * OWD_NS_PER_S + t.tv_nsec;
}

/* ---- set-up ------------------------------------------------------------------------------------ */

static void
set_receive_buffer (Socket *s, gsize asked)
{
  int want = (int) MIN (asked, G_MAXINT / 2), got = 0;
  socklen_t len = sizeof got;

  if (setsockopt (s->fd, SOL_SOCKET, SO_RCVBUFFORCE, &want, sizeof want) != 0)
    (void) setsockopt (s->fd, SOL_SOCKET, SO_RCVBUF, &want, sizeof want);
  (void) getsockopt (s->fd, SOL_SOCKET, SO_RCVBUF, &got, &len);
  s->counters.buffer_asked = asked;
  s->counters.buffer_got = (gsize) got / 2; /* the kernel doubles what it is asked for, to pay for its own records */
}

/* A quarter of what the kernel takes at most: twice what it says. */
static guint
nap_for (gsize buffer_got)
{
  gsize us = MIN (buffer_got / 2 / BURST_BYTES_PER_US, NAP_MAX_US);

  return us >= NAP_MIN_US ? (guint) us : 0;
}

static gboolean
bind_socket (Socket *s, const OwdSocketAddress *address, guint workers)
{
  int on = 1, off = 0;

  s->fd = socket (address->any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (s->fd < 0)
    return FALSE;
  if (address->any.sa_family == AF_INET6)
    (void) setsockopt (s->fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (workers > 1 && setsockopt (s->fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0)
    return FALSE;
  if (setsockopt (s->fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) != 0)
    return FALSE;
  (void) setsockopt (s->fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on);
  if (bind (s->fd, &address->any, owd_socket_address_len (address)) != 0)
    return FALSE;
  return workers <= 1 || owd_socket_steer_by_source (s->fd, workers);
}

static gboolean
add_socket (OwdListener *self, const char *text, gsize receive_buffer, guint workers, GError **error)
{
  Socket *s = &self->sockets[self->n_sockets];
  OwdSocketAddress address;
  gboolean bound;

  if (!owd_socket_address_parse (text, &address, error))
    return FALSE;
  bound = bind_socket (s, &address, workers);
  if (!bound && owd_socket_address_fall_back (&address)) {
    if (s->fd >= 0)
      close (s->fd);
    bound = bind_socket (s, &address, workers);
  }
  if (!bound) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "cannot listen on UDP %s: %s%s", text, g_strerror (errno),
                 errno == EADDRINUSE ? " (another collector? choose another one with --listen)" : "");
    if (s->fd >= 0)
      close (s->fd);
    return FALSE;
  }
  set_receive_buffer (s, receive_buffer);
  self->nap_us = MIN (self->nap_us, nap_for (s->counters.buffer_got));
  s->address = owd_socket_address_bound (s->fd);
  s->counters.address = s->address;
  s->seen_ns = OWD_TIME_NONE;
  self->polls[self->n_sockets] = (struct pollfd){ .fd = s->fd, .events = POLLIN };
  self->n_sockets++;
  return TRUE;
}

OwdListener *
owd_listener_new (const char *const *addresses, gsize receive_buffer, guint workers, GError **error)
{
  g_autoptr (OwdListener) self = g_new0 (OwdListener, 1);

  self->nap_us = NAP_MAX_US;
  self->drained = TRUE;
  self->wake_fd = eventfd (0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (self->wake_fd < 0) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "eventfd: %s", g_strerror (errno));
    return NULL;
  }
  for (guint i = 0; addresses[i] != NULL; i++) {
    if (i == SOCKETS_MAX) {
      g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "more than %d addresses to listen on", SOCKETS_MAX);
      return NULL;
    }
    if (!add_socket (self, addresses[i], receive_buffer, workers, error))
      return NULL;
  }
  self->polls[self->n_sockets] = (struct pollfd){ .fd = self->wake_fd, .events = POLLIN };
  self->polls[self->n_sockets + 1] = (struct pollfd){ .fd = -1, .events = POLLIN };
  self->turn_ns = OWD_TIME_NONE;
  self->buffers = g_malloc0 ((gsize) BATCH * BUFFER_STRIDE);
  for (guint i = 0; i < BATCH; i++) {
    self->vectors[i] = (struct iovec){ .iov_base = self->buffers + (gsize) i * BUFFER_STRIDE, .iov_len = DATAGRAM_MAX };
    self->messages[i].msg_hdr = (struct msghdr){
      .msg_name = &self->from[i], .msg_iov = &self->vectors[i], .msg_iovlen = 1, .msg_control = &self->control[i]
    };
  }
  return g_steal_pointer (&self);
}

void
owd_listener_free (OwdListener *self)
{
  if (self == NULL)
    return;
  for (guint i = 0; i < self->n_sockets; i++) {
    close (self->sockets[i].fd);
    g_free (self->sockets[i].address);
  }
  if (self->wake_fd >= 0)
    close (self->wake_fd);
  g_free (self->buffers);
  g_free (self);
}

/* ---- receiving --------------------------------------------------------------------------------- */

/* total: as the kernel counts, of the socket's whole life. */
static void
count_drops (Socket *s, guint32 total)
{
  s->counters.dropped += (guint32) (total - s->kernel_drops);
  s->kernel_drops = total;
}

/* The count comes with datagrams (SO_RXQ_OVFL), so that of drops behind the last one does not. */
static void
ask_drops (Socket *s)
{
  guint32 info[SK_MEMINFO_VARS] = { 0 };
  socklen_t len = sizeof info;

  if (getsockopt (s->fd, SOL_SOCKET, SO_MEMINFO, info, &len) == 0 && len > SK_MEMINFO_DROPS * sizeof info[0])
    count_drops (s, info[SK_MEMINFO_DROPS]);
}

/* Takes receive time and drop count from a message's control data. */
static OwdTime
read_control (Socket *s, struct msghdr *message)
{
  OwdTime t = OWD_TIME_NONE;

  for (struct cmsghdr *c = CMSG_FIRSTHDR (message); c != NULL; c = CMSG_NXTHDR (message, c)) {
    if (c->cmsg_level != SOL_SOCKET)
      continue;
    if (c->cmsg_type == SCM_TIMESTAMPNS) {
      struct timespec stamp;

      memcpy (&stamp, CMSG_DATA (c), sizeof stamp);
      t = (gint64) stamp.tv_sec * OWD_NS_PER_S + stamp.tv_nsec;
    } else if (c->cmsg_type == SO_RXQ_OVFL) {
      guint32 drops;

      memcpy (&drops, CMSG_DATA (c), sizeof drops);
      count_drops (s, drops);
    }
  }
  return t;
}

/* One recvmmsg. Returns the number of datagrams, 0 for an empty socket, -1 with errno. */
static int
receive_batch (OwdListener *self, Socket *s)
{
  int n;

  for (guint i = 0; i < BATCH; i++) {
    self->messages[i].msg_hdr.msg_namelen = sizeof (OwdSocketAddress);
    self->messages[i].msg_hdr.msg_controllen = sizeof (Control);
  }
  do
    n = recvmmsg (s->fd, self->messages, BATCH, MSG_DONTWAIT, NULL);
  while (n < 0 && errno == EINTR);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
    return 0;
  return n;
}

/* Small steps back are processors overtaking each other; a large one is a clock that was set back. */
static void
set_seen (Socket *s, OwdTime t)
{
  if (t > s->seen_ns || s->seen_ns - t > OWD_NS_PER_S)
    s->seen_ns = t;
}

/* One socket's turn. Returns the number of datagrams, or -1 with errno; ret_drained stays as it is or becomes FALSE. */
static int
take_turn (OwdListener *self, Socket *s, OwdListenerFunc func, void *user, gboolean *ret_drained)
{
  int total = 0;

  for (guint turn = 0; turn < TURN_BATCHES; turn++) {
    OwdTime before = now_ns (), last = before;
    int n = receive_batch (self, s);

    if (n < 0)
      return -1;
    for (int i = 0; i < n; i++) {
      struct msghdr *message = &self->messages[i].msg_hdr;
      OwdDatagram datagram = { .recv_ns = read_control (s, message),
                               .data = self->vectors[i].iov_base,
                               .len = self->messages[i].msg_len };

      if (G_UNLIKELY (datagram.recv_ns == OWD_TIME_NONE))
        datagram.recv_ns = before;
      last = datagram.recv_ns;
      owd_socket_address_split (&self->from[i], &datagram.from, &datagram.port);
      s->counters.bytes += datagram.len;
      func (user, &datagram);
    }
    s->counters.datagrams += (guint) n;
    total += n;
    if (n < BATCH) {
      set_seen (s, before - OWD_LISTENER_GUARD_NS);
      return total;
    }
    set_seen (s, last - OWD_LISTENER_GUARD_NS);
  }
  *ret_drained = FALSE;
  return total;
}

static int
take_turns (OwdListener *self, OwdListenerFunc func, void *user, GError **error)
{
  int total = 0;

  self->turn_ns = now_ns ();
  self->drained = TRUE;
  for (guint i = 0; i < self->n_sockets; i++) {
    int n = take_turn (self, &self->sockets[i], func, user, &self->drained);

    if (n < 0) {
      g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "receiving on UDP %s: %s", self->sockets[i].address,
                   g_strerror (errno));
      return -1;
    }
    total += n;
  }
  return total;
}

/* Until a datagram is there and others have had time to join it, or somebody wakes us. FALSE: error set. */
static gboolean
wait_for_some (OwdListener *self, int timeout_ms, GError **error)
{
  int n = poll (self->polls, self->n_sockets + 2, timeout_ms);

  if (n < 0 && errno != EINTR) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "poll: %s", g_strerror (errno));
    return FALSE;
  }
  if (n <= 0)
    return TRUE;
  if (self->polls[self->n_sockets].revents != 0) {
    guint64 woken;

    (void) !read (self->wake_fd, &woken, sizeof woken);
  } else if (self->nap_us > 0) {
    g_usleep (self->nap_us);
  }
  return TRUE;
}

int
owd_listener_receive (OwdListener *self, int timeout_ms, OwdListenerFunc func, void *user, GError **error)
{
  if (self->drained) {
    for (guint i = 0; i < self->n_sockets; i++)
      ask_drops (&self->sockets[i]);
    if (timeout_ms > 0 && !wait_for_some (self, timeout_ms, error))
      return -1;
  }
  return take_turns (self, func, user, error);
}

OwdTime
owd_listener_time (const OwdListener *self)
{
  OwdTime t = self->n_sockets > 0 ? self->sockets[0].seen_ns : self->turn_ns;

  for (guint i = 1; i < self->n_sockets; i++)
    t = MIN (t, self->sockets[i].seen_ns);
  return t;
}

void
owd_listener_watch (OwdListener *self, int fd)
{
  self->polls[self->n_sockets + 1].fd = fd;
}

void
owd_listener_wake (OwdListener *self)
{
  guint64 one = 1;

  (void) !write (self->wake_fd, &one, sizeof one);
}

guint
owd_listener_n_sockets (const OwdListener *self)
{
  return self->n_sockets;
}

const OwdListenerSocket *
owd_listener_socket (const OwdListener *self, guint i)
{
  return &self->sockets[i].counters;
}
