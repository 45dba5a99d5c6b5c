/* SPDX-License-Identifier: Apache-2.0
 *
 * UDP sockets of one worker: batches of datagrams with the kernel's receive time, and an honest answer to "up to when
 * have I seen everything?".
 *
 * Several listeners may share the same addresses (SO_REUSEPORT): the kernel then hands a datagram to one of them by
 * its source address alone, so that everything of one exporter, from whatever port, meets in one worker.
 *
 * For each address there are a front and a back socket (steering.h). The back one is for sources that are set back, by
 * owd_listener_steer(): it is served when the front ones are empty, and a little now and then.
 */
#ifndef OWD_LISTENER_H
#define OWD_LISTENER_H

#include "owd-flow.h"
#include "steering.h"

G_BEGIN_DECLS

/* Bytes after a datagram's data that may be read (not trusted), for decoders that load whole words. */
#define OWD_LISTENER_SLACK 8
/* owd_listener_time() stays this far behind the clock: between stamping a datagram and queueing it the kernel takes its
 * time. */
#define OWD_LISTENER_GUARD_NS (20 * OWD_NS_PER_MS)

typedef struct OwdListener OwdListener;

typedef struct {
  OwdAddr from;
  guint16 port;
  OwdTime recv_ns;    /* when the kernel took it from the network */
  const guint8 *data; /* valid until the call returns */
  gsize len;
  gboolean back; /* its source is set back */
} OwdDatagram;

typedef void (*OwdListenerFunc) (void *user, const OwdDatagram *datagram);

/* Counters of one socket, since it was made. */
typedef struct {
  const char *address; /* as bound, "[::]:2055" */
  guint64 datagrams, bytes;
  guint64 dropped; /* by the kernel, because the receive buffer was full */
  gsize buffer_asked, buffer_got;
  guint64 back_datagrams, back_dropped; /* of sources that are set back; not among those above */
} OwdListenerSocket;

/* addresses: NULL-terminated "ADDR:PORT"; an IPv6 address stands in brackets; "*", "[::]" or nothing for ADDR take
 * IPv4 and IPv6; port 0 takes a free one. receive_buffer: bytes per address. steering: referenced;
 * it knows how many listeners share the addresses, and worker is this one's number among them: make all of them, in
 * this order, before the first one receives. Returns: (transfer full), or NULL and OWD_ERROR_CONFIG for an address that
 * makes no sense, OWD_ERROR_IO for one that cannot be bound. */
OwdListener *owd_listener_new (const char *const *addresses, gsize receive_buffer, OwdSteering *steering, guint worker,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Hands out what has arrived, at most some batches per socket; with nothing there, waits up to timeout_ms for it (or
 * for owd_listener_wake). Returns how many datagrams; 0: nothing came; -1: error set. */
int owd_listener_receive (OwdListener *self, int timeout_ms, OwdListenerFunc func, void *user,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Every datagram that the kernel received up to this time has been handed out. OWD_TIME_NONE before the first
 * owd_listener_receive(). Does not go back while the system's clock does not. */
OwdTime owd_listener_time (const OwdListener *self);
/* Is some front socket's buffer filling up, or has it overflowed since the last call? */
gboolean owd_listener_pressed (OwdListener *self);
/* Sets this worker's rule for its sources, at all addresses. FALSE and errno: the kernel refused. */
gboolean owd_listener_steer (OwdListener *self, const OwdSteeringRule *rule) G_GNUC_WARN_UNUSED_RESULT;
/* A wait also ends when fd, borrowed, can be read. At most one; -1: none. */
void owd_listener_watch (OwdListener *self, int fd);
/* Ends a wait, now or the next one. From any thread. */
void owd_listener_wake (OwdListener *self);
guint owd_listener_n_sockets (const OwdListener *self);
const OwdListenerSocket *owd_listener_socket (const OwdListener *self, guint i);
void owd_listener_free (OwdListener *self); /* NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdListener, owd_listener_free)

G_END_DECLS

#endif
