/* SPDX-License-Identifier: Apache-2.0
 *
 * The probe's sockets: one per address family serves all targets. Kernel stamps both ways, TTL and traffic class of
 * every packet, batches. All non-blocking.
 */
#ifndef OWD_PROBE_NET_H
#define OWD_PROBE_NET_H

#include "owd-probe.h"

#include <netinet/in.h>
#include <sys/socket.h>

enum {
  OWD_PROBE_BATCH = 64,
  OWD_PROBE_NOISE_NS = 20000, /* what a software stamp may be off: interrupt to stack, stack to driver */
};

typedef union {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
} OwdProbeEndpoint;

socklen_t owd_probe_endpoint_len (const OwdProbeEndpoint *endpoint);
void owd_probe_endpoint_addr (const OwdProbeEndpoint *endpoint, OwdAddr *ret_addr, guint16 *ret_port);
/* text: HOST, HOST:PORT, ADDR, [ADDR]:PORT, with %zone. family: AF_UNSPEC takes the resolver's first. */
gboolean owd_probe_endpoint_resolve (const char *text, guint16 default_port, int family, gboolean passive,
                                     OwdProbeEndpoint *ret_endpoint, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The address of this machine that packets to `to` leave from, by the routes of now; from->any.sa_family's own address
 * where that is set. FALSE: no route. */
gboolean owd_probe_endpoint_local (const OwdProbeEndpoint *to, const OwdProbeEndpoint *from, OwdAddr *ret_addr);
/* "192.0.2.1:862" or "[2001:db8::1]:862". Returns: (transfer full) */
char *owd_probe_endpoint_text (const OwdProbeEndpoint *endpoint);

OwdTime owd_probe_clock_real (void);
OwdTime owd_probe_clock_steady (void);
/* Error of the system clock as the kernel estimates it, plus OWD_PROBE_NOISE_NS. */
OwdProbeError owd_probe_clock_error (void);

typedef struct {
  int fd;
  int family;
  OwdProbeEndpoint bound; /* with the port that the system chose */
  gboolean every_tx;      /* each departure is stamped, not only those that ask */
  guint32 next_tx_id;     /* the kernel numbers stamped departures; so do we */
  gboolean uncertain;     /* whether the two numbers still agree: to be restarted before the next one */
  gboolean tell_errors;   /* ICMP errors are events */
  gboolean raw;           /* ports are the caller's business; IPv4 datagrams come with their IP header */
} OwdProbeSocket;

/* tos: of everything that is sent without its own. every_tx: stamp every departure, and tell of ICMP errors. */
OwdProbeSocket *owd_probe_socket_new (const OwdProbeEndpoint *bind_to, guint8 tos, gboolean every_tx,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Packets of our own making, past the kernel's TCP and UDP; every departure stamped. Needs CAP_NET_RAW. */
OwdProbeSocket *owd_probe_socket_new_raw (const OwdProbeEndpoint *bind_to, int protocol, guint8 tos,
                                          gboolean tell_errors, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* From now on it gets only what comes to ports lo .. hi of this machine, from anybody. */
gboolean owd_probe_socket_only_ports (OwdProbeSocket *self, guint16 lo, guint16 hi, GError **error);
void owd_probe_socket_free (OwdProbeSocket *self); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdProbeSocket, owd_probe_socket_free)

/* Returns: 0 with *ret_tx_id set, or an errno: then nothing has been sent, perhaps because of an earlier packet's ICMP
 * error. Take all events before the next call: it starts departure numbers anew. */
int owd_probe_socket_send (OwdProbeSocket *self, const OwdProbeEndpoint *to, const void *data, gsize len,
                           guint32 *ret_tx_id) G_GNUC_WARN_UNUSED_RESULT;
/* The same with a TTL of its own. */
int owd_probe_socket_send_ttl (OwdProbeSocket *self, const OwdProbeEndpoint *to, guint8 *data, gsize len, gint ttl,
                               guint32 *ret_tx_id) G_GNUC_WARN_UNUSED_RESULT;

typedef struct {
  gboolean left; /* a departure stamp; else an ICMP error */
  guint32 tx_id;
  OwdTime stamp;
  int error;           /* errno of the ICMP error */
  OwdProbeEndpoint to; /* where that packet went */
} OwdProbeEvent;

/* The next entry of the error queue. Returns: FALSE where there is none. */
gboolean owd_probe_socket_next_event (OwdProbeSocket *self, OwdProbeEvent *ret_event);

/* ---- held ports -------------------------------------------------------------------------------- */

/* TCP or UDP ports that nobody else on this machine gets and that its kernel keeps silent about, for as long as this
 * object lives: a (listening) socket each, whose filter drops whatever comes. Without it the kernel would answer what
 * comes to ports that it knows nothing of with RST, or port unreachable. Nothing outlives the process; no firewall is
 * touched. */
typedef struct {
  guint n;
  guint16 *port; /* ascending */
  int *fd;
} OwdProbePorts;

/* at: with a port, the first one to try; else one below the range that the kernel hands out. Ports in use are left out.
 */
OwdProbePorts *owd_probe_ports_hold (const OwdProbeEndpoint *at, int protocol, guint n,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;
void owd_probe_ports_free (OwdProbePorts *self); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdProbePorts, owd_probe_ports_free)

/* As many files as the system lets this process have open. Returns: how many. */
guint owd_probe_raise_file_limit (void);

/* ---- batches ----------------------------------------------------------------------------------- */

typedef struct {
  guint8 *data;
  gsize len;
  OwdProbeEndpoint from;
  OwdAddr addr; /* of `from` */
  guint16 port;
  OwdAddr local; /* where it was sent to */
  OwdTime stamp;
  gboolean soft; /* stamped by us, not by the kernel */
  gint ttl, tos; /* -1: not told */
} OwdProbeDatagram;

typedef struct OwdProbeBatch OwdProbeBatch;

OwdProbeBatch *owd_probe_batch_new (void);
void owd_probe_batch_free (OwdProbeBatch *self); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdProbeBatch, owd_probe_batch_free)

/* Up to OWD_PROBE_BATCH datagrams that are there; those too long for the protocol are left out. */
guint owd_probe_batch_receive (OwdProbeBatch *self, OwdProbeSocket *socket);
const OwdProbeDatagram *owd_probe_batch_get (const OwdProbeBatch *self, guint i);
/* Where to write the answer to datagram i: OWD_PROBE_MAX bytes. */
guint8 *owd_probe_batch_answer (OwdProbeBatch *self, guint i);
/* Puts the answer to datagram i into the outgoing batch: back to where it came from, from where it went to. */
void owd_probe_batch_put (OwdProbeBatch *self, guint i, gsize len, guint8 tos, gboolean stamp);
/* Sends the outgoing batch. sent (j, tx_id) is called for each departure that will be stamped, j being the argument i
 * of its _put. Returns: how many the system refused. */
guint owd_probe_batch_flush (OwdProbeBatch *self, OwdProbeSocket *socket,
                             void (*sent) (guint i, guint32 tx_id, gpointer user), gpointer user);

#endif
