/* SPDX-License-Identifier: Apache-2.0
 *
 * IPFIX over TCP (RFC 7011 section 10.4), with TLS or without, the sockets of one worker: connections in, messages out.
 *
 * Nobody can hold more than a stated part of it: connections are limited in all and per address, each has one buffer of
 * 64 KiB, a turn takes one read from each, one without a whole message for the idle time is closed, and so is one that
 * sends something else than IPFIX. A TLS handshake has its own, shorter time, and no buffer before it is over; since it
 * costs a signature, no more than OWD_STREAM_HANDSHAKES_PER_S begin in a second: others wait in the kernel's queue.
 *
 * Several may share the same addresses, as listeners do (owd-listener.h); a source address then comes to the worker
 * with the same number over UDP and TCP.
 */
#ifndef OWD_STREAM_H
#define OWD_STREAM_H

#include "owd-listener.h"
#include "tls.h"

G_BEGIN_DECLS

#define OWD_STREAM_HANDSHAKES_PER_S 50

typedef struct OwdStreamListener OwdStreamListener;

/* Why a connection was closed. */
typedef enum {
  OWD_STREAM_PEER,         /* by the peer, between two messages */
  OWD_STREAM_CUT,          /* by the peer, inside a message */
  OWD_STREAM_NETWORK,      /* reset, or the peer is gone */
  OWD_STREAM_VERSION,      /* what came is not IPFIX */
  OWD_STREAM_LENGTH,       /* a message shorter than its own header */
  OWD_STREAM_IDLE,         /* no whole message for the idle time */
  OWD_STREAM_FULL,         /* at once: the limit of connections */
  OWD_STREAM_ADDRESS_FULL, /* at once: the limit of connections of its address */
  OWD_STREAM_DISALLOWED,   /* at once: the sink does not want its address */
  OWD_STREAM_HANDSHAKE,    /* the TLS handshake failed: not TLS, or a certificate that is not accepted */
  OWD_STREAM_SLOW,         /* the TLS handshake was not over in its time */
  OWD_STREAM_TLS,          /* TLS went wrong after the handshake */
  OWD_STREAM_REASONS
} OwdStreamReason;

/* Static text, for reports and labels. */
const char *owd_stream_reason_text (OwdStreamReason reason);

typedef struct {
  guint max_connections, max_per_address;
  gint64 idle_ns;      /* 0: never */
  gint64 handshake_ns; /* for a TLS handshake */
} OwdStreamLimits;

/* Since it was made. accepted is open and all of closed. */
typedef struct {
  guint open;
  guint64 accepted, closed[OWD_STREAM_REASONS];
  guint64 handshakes;      /* of TLS that succeeded */
  guint64 messages, bytes; /* bytes: received, of whole messages or not; of TLS without its own */
} OwdStreamCounters;

typedef struct {
  gboolean (*allows) (void *user, const OwdAddr *from); /* NULL: everybody */
  OwdListenerFunc message; /* recv_ns: when it was read: the kernel keeps no time of a stream's bytes */
  /* detail: more about it, or NULL */
  void (*closed) (void *user, const OwdAddr *from, guint16 port, OwdStreamReason reason, const char *detail);
  void *user;
} OwdStreamSink;

/* addresses, workers: as of owd_listener_new(), but TCP; those in addresses_tls with TLS. tls: referenced; may be NULL
 * where there are none of them. sink: copied. Returns: (transfer full), or NULL and OWD_ERROR_CONFIG or OWD_ERROR_IO.
 */
OwdStreamListener *owd_stream_listener_new (const char *const *addresses, const char *const *addresses_tls,
                                            OwdTlsContext *tls, const OwdStreamLimits *limits, guint workers,
                                            const OwdStreamSink *sink, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Other limits, another certificate, another mind of the sink about addresses: for connections to come; those whose
 * address is no longer wanted are closed. tls: as of _new. */
void owd_stream_listener_set (OwdStreamListener *self, const OwdStreamLimits *limits, OwdTlsContext *tls);
/* One turn, without waiting: new connections, one read from each that has something, and idle ones. Returns on how
 * many sockets something happened; -1: error set, and worth another try. */
int owd_stream_listener_receive (OwdStreamListener *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Readable (poll) while there is something to receive. Idle connections need a call now and then without that. */
int owd_stream_listener_fd (const OwdStreamListener *self);
const OwdStreamCounters *owd_stream_listener_counters (const OwdStreamListener *self);
guint owd_stream_listener_n_addresses (const OwdStreamListener *self);
/* As bound, "[::]:4739". */
const char *owd_stream_listener_address (const OwdStreamListener *self, guint i);
gboolean owd_stream_listener_is_tls (const OwdStreamListener *self, guint i);
void owd_stream_listener_free (OwdStreamListener *self); /* closes what is open; NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdStreamListener, owd_stream_listener_free)

G_END_DECLS

#endif
