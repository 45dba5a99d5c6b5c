/* SPDX-License-Identifier: Apache-2.0
 *
 * Probing without any rights: how long connect() takes.
 *
 * Where the connection comes about, the kernel has timed SYN to SYN-ACK itself (TCP_INFO), in us; a refusal (RST) is
 * timed by this program, including its own waking up. Either way T1 is the program's (flag soft_t1). Each connection
 * has a source port of its own and is taken back with RST, so neither end keeps anything.
 *
 * A table of fixed size holds the connections under way; what does not fit is refused, not queued.
 */
#include "sender.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { SPARE_FILES = 64 };

typedef struct {
  int fd; /* -1: unused */
  guint target;
  guint32 seq;
  OwdTime t1;
  guint next; /* in the list of unused ones */
} Connection;

typedef struct {
  OwdProbeWayOptions options;
  OwdProbeEndpoint from[2];
  guint n, unused; /* unused: n: none */
  Connection *c;
} Connections;

static void
forget (Connections *all, Connection *c)
{
  close (c->fd);
  c->fd = -1;
  c->next = all->unused;
  all->unused = (guint) (c - all->c);
}

/* What the kernel knows of the handshake: its own time from SYN to SYN-ACK, 0 where it has none. Returns: FALSE where
 * it had to repeat the SYN. Then the first one is lost, and the time since is no delay. */
static gboolean
ask_kernel (int fd, gint64 *ret_ns)
{
  struct tcp_info info = { 0 };
  socklen_t size = sizeof info;

  *ret_ns = 0;
  if (getsockopt (fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
    return TRUE;
  *ret_ns = info.tcpi_rtt * OWD_NS_PER_US;
  return info.tcpi_total_retrans == 0;
}

/* The connection has come about, or not; now: when this was seen. */
static void
finish (OwdProbeSender *self, Connection *c, int code, OwdTime now)
{
  Connections *all = self->connections;
  OwdProbeTarget *t = owd_probe_sender_target (self, c->target);
  OwdProbeArrival arrival = { .t4 = now, .t4_soft = TRUE, .ttl = -1, .tos = -1, .own = self->clock_error };
  OwdProbeReply reply = { .sender_seq = c->seq, .sender_stamp = (guint64) c->t1, .ttl = -1 };
  gint64 handshake_ns;
  gboolean first = ask_kernel (c->fd, &handshake_ns);

  reply.flags = OWD_PROBE_SOFT_T1 | (code == 0 ? OWD_PROBE_SYN_ACK : OWD_PROBE_RESET);
  if (code == 0 && handshake_ns > 0) {
    arrival.t4 = c->t1 + handshake_ns;
    arrival.t4_soft = FALSE;
  }
  if (code != 0 && code != ECONNREFUSED)
    owd_probe_sender_unreachable (t, "", code);
  else if (first)
    owd_probe_session_reply (t->session, &reply, &arrival);
  forget (all, c);
}

static int
open_socket (const Connections *all, const OwdProbeTarget *t)
{
  int fd = socket (t->to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP), one = 1;
  int tos = all->options.tos;
  struct linger reset = { .l_onoff = 1 };
  const OwdProbeEndpoint *from = &all->from[t->family];

  if (fd < 0)
    return -1;
  setsockopt (fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  setsockopt (fd, IPPROTO_TCP, TCP_SYNCNT, &one, sizeof one);
  setsockopt (fd, t->family == 0 ? IPPROTO_IP : IPPROTO_IPV6, t->family == 0 ? IP_TOS : IPV6_TCLASS, &tos, sizeof tos);
  if (all->options.source != NULL && bind (fd, &from->any, owd_probe_endpoint_len (from)) != 0) {
    int code = errno;

    close (fd);
    errno = code;
    return -1;
  }
  return fd;
}

static int
connect_send (OwdProbeSender *self, guint index)
{
  Connections *all = self->connections;
  OwdProbeTarget *t = owd_probe_sender_target (self, index);
  guint32 seq = owd_probe_session_next_seq (t->session);
  Connection *c;
  OwdProbeEndpoint bound;
  socklen_t size = sizeof bound;
  OwdAddr addr;
  guint16 sport = 0;
  int fd, code = 0;

  if (all->unused == all->n)
    return EMFILE;
  fd = open_socket (all, t);
  if (fd < 0)
    return errno;
  c = &all->c[all->unused];
  all->unused = c->next;
  *c = (Connection){ .fd = fd, .target = index, .seq = seq, .t1 = owd_probe_clock_real () };
  if (connect (fd, &t->to.any, owd_probe_endpoint_len (&t->to)) != 0)
    code = errno;
  if (code != 0 && code != EINPROGRESS && code != ECONNREFUSED) {
    forget (all, c);
    return code;
  }
  if (getsockname (fd, &bound.any, &size) == 0)
    owd_probe_endpoint_addr (&bound, &addr, &sport);
  owd_probe_sender_note_port (t, seq, sport);
  owd_probe_session_sent (t->session, c->t1, (guint64) c->t1, t->due);
  if (code != EINPROGRESS || !owd_probe_sender_watch (self, fd, (guint32) (c - all->c), EPOLLOUT))
    finish (self, c, code, owd_probe_clock_real ());
  return 0;
}

static void
connect_ready (OwdProbeSender *self, guint32 id)
{
  OwdTime now = owd_probe_clock_real ();
  Connection *c = &((Connections *) self->connections)->c[id];
  int code = 0;
  socklen_t size = sizeof code;

  getsockopt (c->fd, SOL_SOCKET, SO_ERROR, &code, &size);
  finish (self, c, code, now);
}

/* Gives up what the sessions give up. */
static void
connect_tick (OwdProbeSender *self)
{
  Connections *all = self->connections;
  OwdTime before = owd_probe_clock_real () - self->timeout_ns;

  for (guint i = 0; i < all->n; i++)
    if (all->c[i].fd >= 0 && all->c[i].t1 < before)
      forget (all, &all->c[i]);
}

static void
connect_clear (OwdProbeSender *self)
{
  Connections *all = self->connections;

  for (guint i = 0; i < all->n; i++)
    if (all->c[i].fd >= 0)
      close (all->c[i].fd);
  g_free (all->c);
  g_free (all);
}

static const OwdProbeWay connect_way
    = { .send = connect_send, .ready = connect_ready, .tick = connect_tick, .clear = connect_clear };

gboolean
owd_probe_connect_open (OwdProbeSender *self, const OwdProbeWayOptions *options, GError **error)
{
  Connections *all = g_new0 (Connections, 1);
  guint files = owd_probe_raise_file_limit ();

  self->way = &connect_way;
  self->connections = all;
  self->n_channels = 1;
  self->near_ns = 100 * OWD_NS_PER_US;
  all->options = *options;
  all->n = MIN (options->window * self->targets->len, MAX (files, SPARE_FILES + 1) - SPARE_FILES);
  all->c = g_new (Connection, all->n);
  for (guint i = 0; i < all->n; i++)
    all->c[i] = (Connection){ .fd = -1, .next = i + 1 };
  for (guint i = 0; i < self->targets->len; i++) {
    OwdProbeTarget *t = owd_probe_sender_target (self, i);

    if (!owd_probe_endpoint_resolve (options->source != NULL ? options->source : "", 0, t->to.any.sa_family, TRUE,
                                     &all->from[t->family], error))
      return FALSE;
    owd_probe_endpoint_local (&t->to, &all->from[t->family], &t->label.src);
  }
  return TRUE;
}
