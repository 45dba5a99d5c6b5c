/* SPDX-License-Identifier: Apache-2.0
 *
 * IPFIX over TCP (RFC 7011 section 10.4), the sockets of one worker: connections in, messages out.
 *
 * Nobody can hold more than a stated part of it: connections are limited in all and per address, each has one buffer of
 * 64 KiB, a turn takes one read from each, one without a whole message for the idle time is closed, and so is one that
 * sends something else than IPFIX.
 *
 * Several may share the same addresses, as listeners do (owd-listener.h); a source address then comes to the worker
 * with the same number over UDP and TCP.
 */
#ifndef OWD_STREAM_H
#define OWD_STREAM_H

#include "owd-listener.h"

G_BEGIN_DECLS

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
  OWD_STREAM_REASONS
} OwdStreamReason;

/* Static text, for reports and labels. */
const char *owd_stream_reason_text (OwdStreamReason reason);

typedef struct {
  guint max_connections, max_per_address;
  gint64 idle_ns; /* 0: never */
} OwdStreamLimits;

/* Since it was made. accepted is open and all of closed. */
typedef struct {
  guint open;
  guint64 accepted, closed[OWD_STREAM_REASONS];
  guint64 messages, bytes; /* bytes: received, of whole messages or not */
} OwdStreamCounters;

typedef struct {
  gboolean (*allows) (void *user, const OwdAddr *from); /* NULL: everybody */
  OwdListenerFunc message; /* recv_ns: when it was read: the kernel keeps no time of a stream's bytes */
  void (*closed) (void *user, const OwdAddr *from, guint16 port, OwdStreamReason reason);
  void *user;
} OwdStreamSink;

/* addresses, workers: as of owd_listener_new(), but TCP. sink: copied. Returns: (transfer full), or NULL and
 * OWD_ERROR_CONFIG or OWD_ERROR_IO. */
OwdStreamListener *owd_stream_listener_new (const char *const *addresses, const OwdStreamLimits *limits, guint workers,
                                            const OwdStreamSink *sink, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* One turn, without waiting: new connections, one read from each that has something, and idle ones. Returns on how
 * many sockets something happened; -1: error set, and worth another try. */
int owd_stream_listener_receive (OwdStreamListener *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Readable (poll) while there is something to receive. Idle connections need a call now and then without that. */
int owd_stream_listener_fd (const OwdStreamListener *self);
const OwdStreamCounters *owd_stream_listener_counters (const OwdStreamListener *self);
guint owd_stream_listener_n_addresses (const OwdStreamListener *self);
/* As bound, "[::]:4739". */
const char *owd_stream_listener_address (const OwdStreamListener *self, guint i);
void owd_stream_listener_free (OwdStreamListener *self); /* closes what is open; NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdStreamListener, owd_stream_listener_free)

G_END_DECLS

#endif
