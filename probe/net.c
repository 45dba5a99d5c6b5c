/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernel stamps (SO_TIMESTAMPING, software): arrivals come as control messages beside the data; departures come back
 * through the error queue, without the packet (OPT_TSONLY), numbered by the kernel (OPT_ID) from 0 in the order of the
 * stamped sends. After a refused send that number is uncertain: kernels differ in whether it was used up. Then both
 * counts are restarted, which costs the stamps under way and never attributes one to the wrong packet.
 *
 * Sockets are not connected: an ICMP error for one packet never swallows the next send without a trace, and one socket
 * serves every target. Where errors are wished (IP_RECVERR), the kernel still reports them once on the next send: then
 * nothing was sent, and it is worth a second attempt.
 */
#include "net.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/net_tstamp.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

enum {
  CONTROL = 512,
  RECEIVE_BUFFER = 16 * 1024 * 1024, /* small packets count several times their size: 0.2 s at 100,000 a second */
};

#define STAMPING                                                                                                       \
  (SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_ID | SOF_TIMESTAMPING_OPT_TSONLY)

/* ---- endpoints, clocks ------------------------------------------------------------------------- */

socklen_t
owd_probe_endpoint_len (const OwdProbeEndpoint *endpoint)
{
  return endpoint->any.sa_family == AF_INET ? sizeof endpoint->v4 : sizeof endpoint->v6;
}

void
owd_probe_endpoint_addr (const OwdProbeEndpoint *endpoint, OwdAddr *ret_addr, guint16 *ret_port)
{
  if (endpoint->any.sa_family == AF_INET) {
    owd_addr_set_v4 (ret_addr, (const guint8 *) &endpoint->v4.sin_addr);
    *ret_port = ntohs (endpoint->v4.sin_port);
  } else {
    memcpy (ret_addr->b, &endpoint->v6.sin6_addr, sizeof ret_addr->b);
    *ret_port = ntohs (endpoint->v6.sin6_port);
  }
}

char *
owd_probe_endpoint_text (const OwdProbeEndpoint *endpoint)
{
  char text[OWD_ADDR_TEXT];
  OwdAddr addr;
  guint16 port;

  owd_probe_endpoint_addr (endpoint, &addr, &port);
  owd_addr_text (&addr, text);
  return g_strdup_printf (endpoint->any.sa_family == AF_INET ? "%s:%u" : "[%s]:%u", text, port);
}

/* Splits at the port, if there is one; an IPv6 address without brackets has none. */
static gboolean
split (const char *text, char **ret_host, const char **ret_port)
{
  const char *colon = strrchr (text, ':'), *close;

  *ret_port = NULL;
  if (text[0] == '[') {
    close = strchr (text, ']');
    if (close == NULL || (close[1] != '\0' && close[1] != ':'))
      return FALSE;
    *ret_port = close[1] == ':' ? close + 2 : NULL;
    *ret_host = g_strndup (text + 1, (gsize) (close - text) - 1);
  } else if (colon != NULL && strchr (text, ':') == colon) {
    *ret_port = colon + 1;
    *ret_host = g_strndup (text, (gsize) (colon - text));
  } else {
    *ret_host = g_strdup (text);
  }
  return TRUE;
}

gboolean
owd_probe_endpoint_resolve (const char *text, guint16 default_port, int family, gboolean passive,
                            OwdProbeEndpoint *ret_endpoint, GError **error)
{
  struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_DGRAM }, *found = NULL;
  g_autofree char *host = NULL, *service = NULL;
  const char *port = NULL;
  guint64 number;
  int status;

  hints.ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0);
  if (!split (text, &host, &port)
      || (port != NULL && !g_ascii_string_to_unsigned (port, 10, 0, G_MAXUINT16, &number, NULL))) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "%s: want HOST, HOST:PORT or [ADDRESS]:PORT", text);
    return FALSE;
  }
  service = port != NULL ? g_strdup (port) : g_strdup_printf ("%u", default_port);
  status = getaddrinfo (host[0] != '\0' ? host : NULL, service, &hints, &found);
  if (status != 0) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "cannot find %s: %s", host, gai_strerror (status));
    return FALSE;
  }
  memset (ret_endpoint, 0, sizeof *ret_endpoint);
  memcpy (ret_endpoint, found->ai_addr, MIN (found->ai_addrlen, sizeof *ret_endpoint));
  freeaddrinfo (found);
  return TRUE;
}

gboolean
owd_probe_endpoint_local (const OwdProbeEndpoint *to, const OwdProbeEndpoint *from, OwdAddr *ret_addr)
{
  OwdProbeEndpoint bound;
  socklen_t size = sizeof bound;
  guint16 port;
  int fd;
  gboolean found;

  owd_probe_endpoint_addr (from, ret_addr, &port);
  if (!owd_addr_is_zero (ret_addr))
    return TRUE;
  fd = socket (to->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  /* "connecting" a UDP socket asks for the route and sends nothing */
  found
      = fd >= 0 && connect (fd, &to->any, owd_probe_endpoint_len (to)) == 0 && getsockname (fd, &bound.any, &size) == 0;
  if (found)
    owd_probe_endpoint_addr (&bound, ret_addr, &port);
  if (fd >= 0)
    close (fd);
  return found;
}

static OwdTime
now (clockid_t clock)
{
  struct timespec ts;

  clock_gettime (clock, &ts);
  return ts.tv_sec * OWD_NS_PER_S + ts.tv_nsec;
}

OwdTime
owd_probe_clock_real (void)
{
  return now (CLOCK_REALTIME);
}

OwdTime
owd_probe_clock_steady (void)
{
  return now (CLOCK_MONOTONIC);
}

OwdProbeError
owd_probe_clock_error (void)
{
  struct timex t = { .modes = 0 };
  int state = adjtimex (&t);

  return owd_probe_error_from_kernel (state, t.status, t.maxerror, OWD_PROBE_NOISE_NS);
}

/* ---- sockets ----------------------------------------------------------------------------------- */

static gboolean
set_int (int fd, int level, int option, int value)
{
  return setsockopt (fd, level, option, &value, sizeof value) == 0;
}

static gboolean
set_options (OwdProbeSocket *self, guint8 tos)
{
  int fd = self->fd, stamping = STAMPING | (self->every_tx ? SOF_TIMESTAMPING_TX_SOFTWARE : 0);
  gboolean fine;

  if (self->family == AF_INET)
    fine = set_int (fd, IPPROTO_IP, IP_RECVTTL, 1) && set_int (fd, IPPROTO_IP, IP_RECVTOS, 1)
           && set_int (fd, IPPROTO_IP, IP_PKTINFO, 1) && set_int (fd, IPPROTO_IP, IP_TTL, OWD_PROBE_TTL)
           && set_int (fd, IPPROTO_IP, IP_TOS, tos) && set_int (fd, IPPROTO_IP, IP_RECVERR, self->tell_errors);
  else
    fine = (self->raw || set_int (fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)) && set_int (fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1)
           && set_int (fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1) && set_int (fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
           && set_int (fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, OWD_PROBE_TTL)
           && set_int (fd, IPPROTO_IPV6, IPV6_TCLASS, tos)
           && set_int (fd, IPPROTO_IPV6, IPV6_RECVERR, self->tell_errors);
  if (!set_int (fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER))
    set_int (fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER); /* as much of it as the system allows */
  return fine && set_int (fd, SOL_SOCKET, SO_TIMESTAMPING, stamping);
}

OwdProbeSocket *
owd_probe_socket_new (const OwdProbeEndpoint *bind_to, guint8 tos, gboolean every_tx, GError **error)
{
  g_autoptr (OwdProbeSocket) self = g_new0 (OwdProbeSocket, 1);
  g_autofree char *text = owd_probe_endpoint_text (bind_to);
  socklen_t size = sizeof self->bound;

  self->family = bind_to->any.sa_family;
  self->every_tx = self->tell_errors = every_tx;
  self->fd = socket (self->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP);
  if (self->fd < 0 || !set_options (self, tos) || bind (self->fd, &bind_to->any, owd_probe_endpoint_len (bind_to)) != 0
      || getsockname (self->fd, &self->bound.any, &size) != 0) {
    int code = errno;

    g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "cannot use UDP %s: %s%s", text, g_strerror (code),
                 code == EACCES ? " (ports below 1024 need CAP_NET_BIND_SERVICE)" : "");
    return NULL;
  }
  return g_steal_pointer (&self);
}

OwdProbeSocket *
owd_probe_socket_new_raw (const OwdProbeEndpoint *bind_to, int protocol, guint8 tos, gboolean tell_errors,
                          GError **error)
{
  g_autoptr (OwdProbeSocket) self = g_new0 (OwdProbeSocket, 1);

  self->family = bind_to->any.sa_family;
  self->every_tx = self->raw = TRUE;
  self->tell_errors = tell_errors;
  self->bound = *bind_to;
  *(self->family == AF_INET ? &self->bound.v4.sin_port : &self->bound.v6.sin6_port) = 0;
  self->fd = socket (self->family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
  if (self->fd < 0 || !set_options (self, tos)
      || bind (self->fd, &self->bound.any, owd_probe_endpoint_len (&self->bound)) != 0) {
    int code = errno;

    g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "cannot open a raw socket: %s%s", g_strerror (code),
                 code == EPERM ? " (needs root or CAP_NET_RAW)" : "");
    return NULL;
  }
  return g_steal_pointer (&self);
}

gboolean
owd_probe_socket_only_ports (OwdProbeSocket *self, guint16 lo, guint16 hi, GError **error)
{
  struct sock_filter code[] = {
    /* a raw IPv4 socket sees the IP header, an IPv6 one does not */
    self->family == AF_INET ? (struct sock_filter) BPF_STMT (BPF_LDX | BPF_B | BPF_MSH, 0)
                            : (struct sock_filter) BPF_STMT (BPF_LDX | BPF_W | BPF_IMM, 0),
    BPF_STMT (BPF_LD | BPF_H | BPF_IND, 2), /* destination port */
    BPF_JUMP (BPF_JMP | BPF_JGE | BPF_K, lo, 0, 2),
    BPF_JUMP (BPF_JMP | BPF_JGT | BPF_K, hi, 1, 0),
    BPF_STMT (BPF_RET | BPF_K, 0xffffffff),
    BPF_STMT (BPF_RET | BPF_K, 0),
  };
  struct sock_fprog program = { .len = G_N_ELEMENTS (code), .filter = code };

  if (setsockopt (self->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0)
    return TRUE;
  g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "cannot filter TCP segments: %s", g_strerror (errno));
  return FALSE;
}

void
owd_probe_socket_free (OwdProbeSocket *self)
{
  if (self == NULL)
    return;
  if (self->fd >= 0)
    close (self->fd);
  g_free (self);
}

/* The kernel's count of stamped sends restarts at 0 when OPT_ID is set anew. */
static void
restart_ids (OwdProbeSocket *self)
{
  int stamping = STAMPING | (self->every_tx ? SOF_TIMESTAMPING_TX_SOFTWARE : 0);

  set_int (self->fd, SOL_SOCKET, SO_TIMESTAMPING, stamping & ~SOF_TIMESTAMPING_OPT_ID);
  set_int (self->fd, SOL_SOCKET, SO_TIMESTAMPING, stamping);
  self->next_tx_id = 0;
  self->uncertain = FALSE;
}

int
owd_probe_socket_send (OwdProbeSocket *self, const OwdProbeEndpoint *to, const void *data, gsize len,
                       guint32 *ret_tx_id)
{
  if (self->uncertain)
    restart_ids (self);
  if (sendto (self->fd, data, len, MSG_DONTWAIT, &to->any, owd_probe_endpoint_len (to)) != (gssize) len) {
    self->uncertain = TRUE;
    return errno;
  }
  *ret_tx_id = self->next_tx_id++;
  return 0;
}

int
owd_probe_socket_send_ttl (OwdProbeSocket *self, const OwdProbeEndpoint *to, guint8 *data, gsize len, gint ttl,
                           guint32 *ret_tx_id)
{
  guint8 control[CMSG_SPACE (sizeof ttl)] __attribute__ ((aligned (8))) = { 0 };
  OwdProbeEndpoint name = *to;
  struct iovec iov = { .iov_base = data, .iov_len = len };
  struct msghdr msg = { .msg_name = &name,
                        .msg_namelen = owd_probe_endpoint_len (to),
                        .msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = control,
                        .msg_controllen = sizeof control };
  struct cmsghdr *c = CMSG_FIRSTHDR (&msg);

  c->cmsg_level = self->family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
  c->cmsg_type = self->family == AF_INET ? IP_TTL : IPV6_HOPLIMIT;
  c->cmsg_len = CMSG_LEN (sizeof ttl);
  memcpy (CMSG_DATA (c), &ttl, sizeof ttl);
  if (self->uncertain)
    restart_ids (self);
  if (sendmsg (self->fd, &msg, MSG_DONTWAIT) != (gssize) len) {
    self->uncertain = TRUE;
    return errno;
  }
  *ret_tx_id = self->next_tx_id++;
  return 0;
}

static OwdTime
stamp_of (const struct cmsghdr *c)
{
  struct scm_timestamping ts;

  memcpy (&ts, CMSG_DATA (c), sizeof ts);
  if (ts.ts[0].tv_sec == 0 && ts.ts[0].tv_nsec == 0)
    return OWD_TIME_NONE;
  return ts.ts[0].tv_sec * OWD_NS_PER_S + ts.ts[0].tv_nsec;
}

static gboolean
is_error (const struct cmsghdr *c)
{
  return (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR)
         || (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR);
}

gboolean
owd_probe_socket_next_event (OwdProbeSocket *self, OwdProbeEvent *ret)
{
  guint8 control[CONTROL] __attribute__ ((aligned (8))), data[64];
  struct iovec iov = { .iov_base = data, .iov_len = sizeof data };
  struct sock_extended_err e;

  for (;;) {
    OwdProbeEvent ev = { .stamp = OWD_TIME_NONE };
    struct msghdr msg = { .msg_name = &ev.to,
                          .msg_namelen = sizeof ev.to,
                          .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control,
                          .msg_controllen = sizeof control };

    memset (&e, 0, sizeof e);
    if (recvmsg (self->fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
      return FALSE;
    for (struct cmsghdr *c = CMSG_FIRSTHDR (&msg); c != NULL; c = CMSG_NXTHDR (&msg, c))
      if (is_error (c))
        memcpy (&e, CMSG_DATA (c), sizeof e);
      else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPING)
        ev.stamp = stamp_of (c);
    ev.left = e.ee_origin == SO_EE_ORIGIN_TIMESTAMPING;
    ev.tx_id = e.ee_data;
    ev.error = (int) e.ee_errno;
    if (ev.left ? ev.stamp == OWD_TIME_NONE : e.ee_origin != SO_EE_ORIGIN_ICMP && e.ee_origin != SO_EE_ORIGIN_ICMP6)
      continue;
    *ret = ev;
    return TRUE;
  }
}

/* ---- held ports -------------------------------------------------------------------------------- */

enum {
  HOLD_FROM = 16384, /* up to the 32768 where Linux starts to hand out ports itself */
  HOLD_RANGE = 16384,
};

/* Returns: a socket that holds the port in silence; -1 where it is taken, or files have run out. */
static int
hold (const OwdProbeEndpoint *at, int protocol, guint16 port)
{
  gboolean tcp = protocol == IPPROTO_TCP;
  struct sock_filter nothing = BPF_STMT (BPF_RET | BPF_K, 0);
  struct sock_fprog program = { .len = 1, .filter = &nothing };
  OwdProbeEndpoint here = *at;
  int fd = socket (at->any.sa_family, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);

  *(at->any.sa_family == AF_INET ? &here.v4.sin_port : &here.v6.sin6_port) = htons (port);
  if (fd < 0)
    return -1;
  if ((at->any.sa_family == AF_INET6 && !set_int (fd, IPPROTO_IPV6, IPV6_V6ONLY, 1))
      || setsockopt (fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0
      || bind (fd, &here.any, owd_probe_endpoint_len (&here)) != 0 || (tcp && listen (fd, 1) != 0)) {
    int code = errno;

    close (fd);
    errno = code;
    return -1;
  }
  return fd;
}

OwdProbePorts *
owd_probe_ports_hold (const OwdProbeEndpoint *at, int protocol, guint n, GError **error)
{
  g_autoptr (OwdProbePorts) self = g_new0 (OwdProbePorts, 1);
  OwdAddr addr;
  guint16 first;
  guint end;

  owd_probe_endpoint_addr (at, &addr, &first);
  end = first != 0 ? 65536 : HOLD_FROM + HOLD_RANGE;
  if (first == 0)
    first = (guint16) (HOLD_FROM + g_random_int_range (0, (gint) MAX (HOLD_RANGE - 2 * (gint) n, 1)));
  self->port = g_new (guint16, n);
  self->fd = g_new (int, n);
  for (guint port = first; port < end && self->n < n; port++) {
    int fd = hold (at, protocol, (guint16) port);

    if (fd < 0 && errno != EADDRINUSE)
      break;
    if (fd < 0)
      continue;
    self->port[self->n] = (guint16) port;
    self->fd[self->n++] = fd;
  }
  if (self->n == n)
    return g_steal_pointer (&self);
  g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "cannot have %u source ports from %u on: %s", n, first,
               g_strerror (errno));
  return NULL;
}

void
owd_probe_ports_free (OwdProbePorts *self)
{
  if (self == NULL)
    return;
  for (guint i = 0; i < self->n; i++)
    close (self->fd[i]);
  g_free (self->port);
  g_free (self->fd);
  g_free (self);
}

guint
owd_probe_raise_file_limit (void)
{
  struct rlimit limit;

  if (getrlimit (RLIMIT_NOFILE, &limit) != 0)
    return 256;
  limit.rlim_cur = limit.rlim_max;
  setrlimit (RLIMIT_NOFILE, &limit);
  getrlimit (RLIMIT_NOFILE, &limit);
  return (guint) MIN (limit.rlim_cur, G_MAXINT32);
}

/* ---- batches ----------------------------------------------------------------------------------- */

struct OwdProbeBatch {
  struct mmsghdr in[OWD_PROBE_BATCH], out[OWD_PROBE_BATCH];
  struct iovec in_iov[OWD_PROBE_BATCH], out_iov[OWD_PROBE_BATCH];
  OwdProbeDatagram datagram[OWD_PROBE_BATCH];
  guint out_index[OWD_PROBE_BATCH];
  gboolean out_stamp[OWD_PROBE_BATCH];
  guint n_out;
  guint8 in_control[OWD_PROBE_BATCH][CONTROL] __attribute__ ((aligned (8)));
  guint8 out_control[OWD_PROBE_BATCH][CONTROL] __attribute__ ((aligned (8)));
  guint8 in_data[OWD_PROBE_BATCH][OWD_PROBE_MAX];
  guint8 out_data[OWD_PROBE_BATCH][OWD_PROBE_MAX];
};

OwdProbeBatch *
owd_probe_batch_new (void)
{
  OwdProbeBatch *self = g_new0 (OwdProbeBatch, 1);

  for (guint i = 0; i < OWD_PROBE_BATCH; i++) {
    self->in_iov[i] = (struct iovec){ .iov_base = self->in_data[i], .iov_len = OWD_PROBE_MAX };
    self->in[i].msg_hdr.msg_iov = &self->in_iov[i];
    self->in[i].msg_hdr.msg_iovlen = 1;
    self->out[i].msg_hdr.msg_iov = &self->out_iov[i];
    self->out[i].msg_hdr.msg_iovlen = 1;
  }
  return self;
}

void
owd_probe_batch_free (OwdProbeBatch *self)
{
  g_free (self);
}

static gint
int_of (const struct cmsghdr *c)
{
  gint v = 0;

  if (c->cmsg_len == CMSG_LEN (1)) /* IP_TOS is one byte */
    return *CMSG_DATA (c);
  if (c->cmsg_len >= CMSG_LEN (sizeof v))
    memcpy (&v, CMSG_DATA (c), sizeof v);
  return v;
}

static void
read_ip (const struct cmsghdr *c, OwdProbeDatagram *d)
{
  struct in_pktinfo info;

  if (c->cmsg_type == IP_TTL) {
    d->ttl = int_of (c);
  } else if (c->cmsg_type == IP_TOS) {
    d->tos = int_of (c);
  } else if (c->cmsg_type == IP_PKTINFO) {
    memcpy (&info, CMSG_DATA (c), sizeof info);
    owd_addr_set_v4 (&d->local, (const guint8 *) &info.ipi_spec_dst);
  }
}

static void
read_ip6 (const struct cmsghdr *c, OwdProbeDatagram *d)
{
  struct in6_pktinfo info;

  if (c->cmsg_type == IPV6_HOPLIMIT) {
    d->ttl = int_of (c);
  } else if (c->cmsg_type == IPV6_TCLASS) {
    d->tos = int_of (c);
  } else if (c->cmsg_type == IPV6_PKTINFO) {
    memcpy (&info, CMSG_DATA (c), sizeof info);
    memcpy (d->local.b, &info.ipi6_addr, sizeof d->local.b);
  }
}

static void
read_control (struct msghdr *msg, OwdProbeDatagram *d)
{
  d->ttl = d->tos = -1;
  d->stamp = OWD_TIME_NONE;
  memset (&d->local, 0, sizeof d->local);
  for (struct cmsghdr *c = CMSG_FIRSTHDR (msg); c != NULL; c = CMSG_NXTHDR (msg, c))
    if (c->cmsg_level == IPPROTO_IP)
      read_ip (c, d);
    else if (c->cmsg_level == IPPROTO_IPV6)
      read_ip6 (c, d);
    else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPING)
      d->stamp = stamp_of (c);
  d->soft = d->stamp == OWD_TIME_NONE;
  if (d->soft)
    d->stamp = owd_probe_clock_real ();
}

guint
owd_probe_batch_receive (OwdProbeBatch *self, OwdProbeSocket *socket)
{
  guint kept = 0;
  int n;

  for (guint i = 0; i < OWD_PROBE_BATCH; i++) {
    struct msghdr *h = &self->in[i].msg_hdr;

    h->msg_name = &self->datagram[i].from;
    h->msg_namelen = sizeof self->datagram[i].from;
    h->msg_control = self->in_control[i];
    h->msg_controllen = CONTROL;
  }
  self->n_out = 0;
  n = recvmmsg (socket->fd, self->in, OWD_PROBE_BATCH, MSG_DONTWAIT, NULL);
  for (int i = 0; i < n; i++) {
    OwdProbeDatagram *d = &self->datagram[kept];

    if ((self->in[i].msg_hdr.msg_flags & MSG_TRUNC) != 0)
      continue;
    d->from = self->datagram[i].from;
    d->data = self->in_data[i];
    d->len = self->in[i].msg_len;
    owd_probe_endpoint_addr (&d->from, &d->addr, &d->port);
    read_control (&self->in[i].msg_hdr, d);
    kept++;
  }
  return kept;
}

const OwdProbeDatagram *
owd_probe_batch_get (const OwdProbeBatch *self, guint i)
{
  return &self->datagram[i];
}

guint8 *
owd_probe_batch_answer (OwdProbeBatch *self, guint i)
{
  return self->out_data[i];
}

/* Appends a control message. Returns: where its data go. */
static void *
add_control (struct msghdr *h, int level, int type, gsize len)
{
  struct cmsghdr *c = (struct cmsghdr *) ((guint8 *) h->msg_control + h->msg_controllen);

  memset (c, 0, CMSG_SPACE (len));
  c->cmsg_level = level;
  c->cmsg_type = type;
  c->cmsg_len = CMSG_LEN (len);
  h->msg_controllen += CMSG_SPACE (len);
  return CMSG_DATA (c);
}

static void
add_int (struct msghdr *h, int level, int type, int value)
{
  memcpy (add_control (h, level, type, sizeof value), &value, sizeof value);
}

static void
add_local (struct msghdr *h, const OwdProbeDatagram *d)
{
  if (owd_addr_is_v4 (&d->local)) {
    struct in_pktinfo info = { 0 };

    memcpy (&info.ipi_spec_dst, d->local.b + 12, 4);
    memcpy (add_control (h, IPPROTO_IP, IP_PKTINFO, sizeof info), &info, sizeof info);
  } else {
    struct in6_pktinfo info = { 0 };

    memcpy (&info.ipi6_addr, d->local.b, sizeof d->local.b);
    memcpy (add_control (h, IPPROTO_IPV6, IPV6_PKTINFO, sizeof info), &info, sizeof info);
  }
}

void
owd_probe_batch_put (OwdProbeBatch *self, guint i, gsize len, guint8 tos, gboolean stamp)
{
  guint k = self->n_out++;
  struct msghdr *h = &self->out[k].msg_hdr;
  OwdProbeDatagram *d = &self->datagram[i];
  gboolean v4 = d->from.any.sa_family == AF_INET;

  self->out_iov[k] = (struct iovec){ .iov_base = self->out_data[i], .iov_len = len };
  self->out_index[k] = i;
  self->out_stamp[k] = stamp;
  h->msg_name = &d->from;
  h->msg_namelen = owd_probe_endpoint_len (&d->from);
  h->msg_control = self->out_control[k];
  h->msg_controllen = 0;
  if (!owd_addr_is_zero (&d->local))
    add_local (h, d);
  if (tos != 0)
    add_int (h, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS, tos);
  if (stamp)
    add_int (h, SOL_SOCKET, SO_TIMESTAMPING, SOF_TIMESTAMPING_TX_SOFTWARE);
}

guint
owd_probe_batch_flush (OwdProbeBatch *self, OwdProbeSocket *socket,
                       void (*sent) (guint i, guint32 tx_id, gpointer user), gpointer user)
{
  guint done = 0, refused = 0;

  while (done < self->n_out) {
    int n = sendmmsg (socket->fd, self->out + done, self->n_out - done, MSG_DONTWAIT);

    if (n <= 0) { /* about the first one */
      refused++;
      done++;
      restart_ids (socket);
      continue;
    }
    for (guint k = done; k < done + (guint) n; k++)
      if (self->out_stamp[k])
        sent (self->out_index[k], socket->next_tx_id++, user);
    done += (guint) n;
  }
  self->n_out = 0;
  return refused;
}
