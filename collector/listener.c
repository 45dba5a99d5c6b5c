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
 * Fairness. A turn takes at most TURN_BATCHES from a socket, and no further one after TURN_NS, before the next one gets
 * its turn. Back sockets get one when the front ones are empty, or BACK_EVERY_NS after their last one; theirs are
 * short, as nobody knows what a datagram costs that is meant to cost a lot. A source that is set back still has
 * datagrams in the front queue: they come first, so its order is kept but for the time in which the front does not get
 * empty.
 *
 * Pressure. UDP gives back the room of datagrams that were read in lots of up to a quarter of the buffer
 * (udp_rmem_release), so a buffer that seems half full may be a quarter full.
 *
 * Buffers are one datagram of the greatest length each. Their distance is an odd number of cache lines: with a power
 * of two the heads of all datagrams would fight for the same few lines.
 *
 * References: socket(7), udp(7), recvmmsg(2).
 */
#include "address.h"
#include "owd-listener.h"
#include "owd-pages.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 32
#define TURN_BATCHES 32
#define TURN_NS (2 * OWD_NS_PER_MS)
#define DATAGRAM_MAX 65535
#define BUFFER_STRIDE 65600
#define BACK_BATCH 16
#define BACK_BATCHES 4
#define BACK_EVERY_NS (100 * OWD_NS_PER_MS)
#define BACK_BUFFER_PART 16 /* of the receive buffer: what waits here holds back the log's time */
#define BACK_BUFFER_MIN ((gsize) 256 << 10)
#define PRESSED_PART 2 /* of the receive buffer */
#define SOCKETS_MAX 64
#define NAP_MAX_US 20000
#define NAP_MIN_US 250          /* shorter ones gain nothing */
#define BURST_BYTES_PER_US 1000 /* of buffer that datagrams may use up while we nap: some 5 Gbit/s of them */

G_STATIC_ASSERT (BUFFER_STRIDE >= DATAGRAM_MAX + OWD_LISTENER_SLACK);
G_STATIC_ASSERT (BUFFER_STRIDE % 128 == 64);

typedef union {
  struct cmsghdr align;
  guint8 bytes[CMSG_SPACE (sizeof (struct timespec))];
} Control;

/* A socket of the kernel's. */
typedef struct {
  int fd;
  gboolean back;
  guint64 *datagrams, *dropped; /* in its Socket's counters */
  guint32 kernel_drops;         /* as the kernel counts, modulo 2^32 */
  OwdTime seen_ns;
} Queue;

/* An address. */
typedef struct {
  OwdListenerSocket counters;
  char *address;
  Queue front, back;
} Socket;

struct OwdListener {
  OwdSteering *steering;
  guint worker;
  Socket sockets[SOCKETS_MAX];
  guint n_sockets;
  struct pollfd polls[2 * SOCKETS_MAX + 2]; /* behind the sockets' own: the eventfd, and owd_listener_watch's */
  guint n_polls;                            /* of the sockets */
  gboolean pressed;
  OwdTime back_ns;  /* when the back sockets had their last turn */
  OwdTime turn_ns;  /* when the last turns began */
  int n_last;       /* datagrams of the last turns */
  gboolean drained; /* the last turns left every socket empty */
  guint nap_us;     /* 0: none */
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

/* Returns what the kernel gave. */
static gsize
set_receive_buffer (int fd, gsize asked)
{
  int want = (int) MIN (asked, G_MAXINT / 2), got = 0;
  socklen_t len = sizeof got;

  if (setsockopt (fd, SOL_SOCKET, SO_RCVBUFFORCE, &want, sizeof want) != 0)
    (void) setsockopt (fd, SOL_SOCKET, SO_RCVBUF, &want, sizeof want);
  (void) getsockopt (fd, SOL_SOCKET, SO_RCVBUF, &got, &len);
  return (gsize) got / 2; /* the kernel doubles what it is asked for, to pay for its own records */
}

/* A quarter of what the kernel takes at most: twice what it says. */
static guint
nap_for (gsize buffer_got)
{
  gsize us = MIN (buffer_got / 2 / BURST_BYTES_PER_US, NAP_MAX_US);

  return us >= NAP_MIN_US ? (guint) us : 0;
}

/* first: of those that share the address. It alone is bound as if it were to have the address for itself, so that
 * another program's socket there is an error and not a silent partner. */
static gboolean
bind_queue (Queue *q, const OwdSocketAddress *address, gboolean first)
{
  int on = 1, off = 0;

  q->fd = socket (address->any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (q->fd < 0)
    return FALSE;
  if (address->any.sa_family == AF_INET6)
    (void) setsockopt (q->fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (!first && setsockopt (q->fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0)
    return FALSE;
  if (setsockopt (q->fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) != 0)
    return FALSE;
  if (bind (q->fd, &address->any, owd_socket_address_len (address)) != 0)
    return FALSE;
  return !first || setsockopt (q->fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0;
}

static void
close_queues (Socket *s)
{
  int saved = errno;

  if (s->front.fd >= 0)
    close (s->front.fd);
  if (s->back.fd >= 0)
    close (s->back.fd);
  s->front.fd = s->back.fd = -1;
  errno = saved;
}

/* Front, then back: steering.h counts on it. The back one's port is the one that the front one got. */
static gboolean
bind_socket (OwdListener *self, Socket *s, OwdSocketAddress address)
{
  socklen_t len = sizeof address;

  return bind_queue (&s->front, &address, self->worker == 0) && getsockname (s->front.fd, &address.any, &len) == 0
         && bind_queue (&s->back, &address, FALSE) && owd_steering_attach (self->steering, s->front.fd);
}

static void
add_queue (OwdListener *self, Queue *q, guint64 *datagrams, guint64 *dropped)
{
  q->datagrams = datagrams;
  q->dropped = dropped;
  q->seen_ns = OWD_TIME_NONE;
  self->polls[self->n_polls++] = (struct pollfd){ .fd = q->fd, .events = POLLIN };
}

static gboolean
add_socket (OwdListener *self, const char *text, gsize receive_buffer, GError **error)
{
  Socket *s = &self->sockets[self->n_sockets];
  OwdSocketAddress address;
  gboolean bound;

  *s = (Socket){ .front.fd = -1, .back.fd = -1, .back.back = TRUE };
  if (!owd_socket_address_parse (text, &address, error))
    return FALSE;
  bound = bind_socket (self, s, address);
  if (!bound && owd_socket_address_fall_back (&address)) {
    close_queues (s);
    bound = bind_socket (self, s, address);
  }
  if (!bound) {
    close_queues (s);
    g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "cannot listen on UDP %s: %s%s", text, g_strerror (errno),
                 errno == EADDRINUSE ? " (another collector? choose another one with --listen)" : "");
    return FALSE;
  }
  s->counters.buffer_asked = receive_buffer;
  s->counters.buffer_got = set_receive_buffer (s->front.fd, receive_buffer);
  (void) set_receive_buffer (s->back.fd,
                             MIN (MAX (receive_buffer / BACK_BUFFER_PART, BACK_BUFFER_MIN), receive_buffer));
  self->nap_us = MIN (self->nap_us, nap_for (s->counters.buffer_got));
  s->address = owd_socket_address_bound (s->front.fd);
  s->counters.address = s->address;
  add_queue (self, &s->front, &s->counters.datagrams, &s->counters.dropped);
  add_queue (self, &s->back, &s->counters.back_datagrams, &s->counters.back_dropped);
  self->n_sockets++;
  return TRUE;
}

OwdListener *
owd_listener_new (const char *const *addresses, gsize receive_buffer, OwdSteering *steering, guint worker,
                  GError **error)
{
  g_autoptr (OwdListener) self = g_new0 (OwdListener, 1);

  self->steering = owd_steering_ref (steering);
  self->worker = worker;
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
    if (!add_socket (self, addresses[i], receive_buffer, error))
      return NULL;
  }
  self->polls[self->n_polls] = (struct pollfd){ .fd = self->wake_fd, .events = POLLIN };
  self->polls[self->n_polls + 1] = (struct pollfd){ .fd = -1, .events = POLLIN };
  self->turn_ns = OWD_TIME_NONE;
  self->buffers = owd_pages_new ((gsize) BATCH * BUFFER_STRIDE);
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
    close_queues (&self->sockets[i]);
    g_free (self->sockets[i].address);
  }
  if (self->wake_fd >= 0)
    close (self->wake_fd);
  g_aligned_free (self->buffers);
  owd_steering_unref (self->steering);
  g_free (self);
}

/* ---- receiving --------------------------------------------------------------------------------- */

/* What the kernel dropped, and how full its buffer is. The count is the one that SO_RXQ_OVFL would add to each
 * datagram, for a price with each; this is asked once a turn, and knows of drops behind the last datagram. */
static void
ask_kernel (OwdListener *self, Queue *q)
{
  guint32 info[SK_MEMINFO_VARS] = { 0 }, dropped;
  socklen_t len = sizeof info;

  if (getsockopt (q->fd, SOL_SOCKET, SO_MEMINFO, info, &len) != 0 || len <= SK_MEMINFO_DROPS * sizeof info[0])
    return;
  dropped = info[SK_MEMINFO_DROPS] - q->kernel_drops;
  q->kernel_drops += dropped;
  *q->dropped += dropped;
  if (!q->back && (dropped > 0 || info[SK_MEMINFO_RMEM_ALLOC] > info[SK_MEMINFO_RCVBUF] / PRESSED_PART))
    self->pressed = TRUE;
}

/* The receive time in a message's control data, or OWD_TIME_NONE. */
static OwdTime
read_control (struct msghdr *message)
{
  const struct cmsghdr *c = CMSG_FIRSTHDR (message);
  struct timespec stamp;

  if (c == NULL || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
    return OWD_TIME_NONE;
  memcpy (&stamp, CMSG_DATA (c), sizeof stamp);
  return (gint64) stamp.tv_sec * OWD_NS_PER_S + stamp.tv_nsec;
}

/* One recvmmsg. Returns the number of datagrams, 0 for an empty socket, -1 with errno. */
static int
receive_batch (OwdListener *self, const Queue *q, guint batch)
{
  int n;

  for (guint i = 0; i < batch; i++) {
    self->messages[i].msg_hdr.msg_namelen = sizeof (OwdSocketAddress);
    self->messages[i].msg_hdr.msg_controllen = sizeof (Control);
  }
  do
    n = recvmmsg (q->fd, self->messages, batch, MSG_DONTWAIT, NULL);
  while (n < 0 && errno == EINTR);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
    return 0;
  return n;
}

/* Small steps back are processors overtaking each other; a large one is a clock that was set back. */
static void
set_seen (Queue *q, OwdTime t)
{
  if (t > q->seen_ns || q->seen_ns - t > OWD_NS_PER_S)
    q->seen_ns = t;
}

static void
hand_out (OwdListener *self, Socket *s, Queue *q, guint n, OwdTime before, OwdTime *ret_last, OwdListenerFunc func,
          void *user)
{
  for (guint i = 0; i < n; i++) {
    struct msghdr *message = &self->messages[i].msg_hdr;
    OwdDatagram datagram = { .recv_ns = read_control (message),
                             .data = self->vectors[i].iov_base,
                             .len = self->messages[i].msg_len,
                             .back = q->back };

    if (G_UNLIKELY (datagram.recv_ns == OWD_TIME_NONE))
      datagram.recv_ns = before;
    *ret_last = datagram.recv_ns;
    owd_socket_address_split (&self->from[i], &datagram.from, &datagram.port);
    s->counters.bytes += datagram.len;
    func (user, &datagram);
  }
  *q->datagrams += n;
}

/* One socket's turn. Returns the number of datagrams, or -1 with errno; ret_drained stays as it is or becomes FALSE. */
static int
take_turn (OwdListener *self, Socket *s, Queue *q, OwdListenerFunc func, void *user, gboolean *ret_drained)
{
  guint batch = q->back ? BACK_BATCH : BATCH, turns = q->back ? BACK_BATCHES : TURN_BATCHES;
  OwdTime begin = now_ns (), before = begin;
  int total = 0;

  for (guint turn = 0; turn < turns && before - begin < TURN_NS; turn++, before = now_ns ()) {
    OwdTime last = before;
    int n = receive_batch (self, q, batch);

    if (n < 0)
      return -1;
    hand_out (self, s, q, (guint) n, before, &last, func, user);
    total += n;
    if (n < (int) batch) {
      set_seen (q, before - OWD_LISTENER_GUARD_NS);
      return total;
    }
    set_seen (q, last - OWD_LISTENER_GUARD_NS);
  }
  *ret_drained = FALSE;
  ask_kernel (self, q);
  return total;
}

/* All front or all back sockets. Returns the number of datagrams, or -1 with error set. */
static int
take_turns (OwdListener *self, gboolean back, OwdListenerFunc func, void *user, GError **error)
{
  int total = 0;

  for (guint i = 0; i < self->n_sockets; i++) {
    Socket *s = &self->sockets[i];
    int n = take_turn (self, s, back ? &s->back : &s->front, func, user, &self->drained);

    if (n < 0) {
      g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "receiving on UDP %s: %s", s->address, g_strerror (errno));
      return -1;
    }
    total += n;
  }
  return total;
}

static int
take_all_turns (OwdListener *self, OwdListenerFunc func, void *user, GError **error)
{
  int front, back;

  self->turn_ns = now_ns ();
  self->drained = TRUE;
  front = take_turns (self, FALSE, func, user, error);
  if (front < 0 || (!self->drained && self->turn_ns - self->back_ns < BACK_EVERY_NS && self->turn_ns >= self->back_ns))
    return front;
  self->back_ns = self->turn_ns;
  back = take_turns (self, TRUE, func, user, error);
  return back < 0 ? -1 : front + back;
}

/* n: what poll() returned. FALSE: error set. */
static gboolean
check_poll (OwdListener *self, int n, GError **error)
{
  guint64 woken;

  if (n < 0 && errno != EINTR) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "poll: %s", g_strerror (errno));
    return FALSE;
  }
  if (n > 0 && self->polls[self->n_polls].revents != 0)
    (void) !read (self->wake_fd, &woken, sizeof woken);
  return TRUE;
}

/* Until a datagram is there and others have had time to join it, or somebody wakes us. Where many came the last time,
 * more are taken for granted. FALSE: error set. */
static gboolean
wait_for_some (OwdListener *self, int timeout_ms, GError **error)
{
  struct pollfd *wake = &self->polls[self->n_polls];
  const struct timespec nap = { .tv_nsec = MIN (self->nap_us, timeout_ms * 1000L) * 1000 };

  if (self->n_last < BATCH || self->nap_us == 0) {
    int n = poll (self->polls, self->n_polls + 2, timeout_ms);

    if (!check_poll (self, n, error))
      return FALSE;
    if (n <= 0 || wake->revents != 0 || self->nap_us == 0)
      return TRUE;
  }
  return check_poll (self, ppoll (wake, 1, &nap, NULL), error);
}

int
owd_listener_receive (OwdListener *self, int timeout_ms, OwdListenerFunc func, void *user, GError **error)
{
  if (self->drained) {
    for (guint i = 0; i < self->n_sockets; i++) {
      ask_kernel (self, &self->sockets[i].front);
      ask_kernel (self, &self->sockets[i].back);
    }
    if (timeout_ms > 0 && !wait_for_some (self, timeout_ms, error))
      return -1;
  }
  self->n_last = take_all_turns (self, func, user, error);
  return self->n_last;
}

OwdTime
owd_listener_time (const OwdListener *self)
{
  OwdTime t = self->turn_ns;

  for (guint i = 0; i < self->n_sockets; i++) {
    OwdTime seen = MIN (self->sockets[i].front.seen_ns, self->sockets[i].back.seen_ns);

    t = i == 0 ? seen : MIN (t, seen);
  }
  return t;
}

gboolean
owd_listener_pressed (OwdListener *self)
{
  gboolean pressed = self->pressed;

  self->pressed = FALSE;
  return pressed;
}

gboolean
owd_listener_steer (OwdListener *self, const OwdSteeringRule *rule)
{
  int fds[SOCKETS_MAX];

  for (guint i = 0; i < self->n_sockets; i++)
    fds[i] = self->sockets[i].front.fd;
  return owd_steering_set (self->steering, self->worker, rule, fds, self->n_sockets);
}

void
owd_listener_watch (OwdListener *self, int fd)
{
  self->polls[self->n_polls + 1].fd = fd;
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
