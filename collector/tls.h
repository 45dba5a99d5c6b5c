/* SPDX-License-Identifier: Apache-2.0
 *
 * The server's side of TLS on a non-blocking socket (RFC 7011 sections 10.4 and 11; RFC 5246, RFC 8446). The only user
 * of OpenSSL's libssl.
 *
 * What may be asked of us is bounded: TLS 1.2 and later, no renegotiation, no session kept or resumed, a client's
 * certificates of OWD_TLS_CERTIFICATES_MAX bytes at most. Texts of errors are OpenSSL's own; nothing of a key, a
 * certificate or the peer's bytes is in them.
 *
 * Writes go through the library to a socket that the peer may have closed: who uses this ignores SIGPIPE.
 */
#ifndef OWD_TLS_H
#define OWD_TLS_H

#include "owd-error.h"

G_BEGIN_DECLS

#define OWD_TLS_CERTIFICATES_MAX (32 * 1024)

/* PEM files. cert: ours, with the chain up to the authority; key: its private one, without a passphrase. ca:
 * authorities whose certificates a peer must show; NULL or "": peers show none. peers: names, one of which the peer's
 * certificate must carry (dNSName, else common name; ".example.net" is any host of that domain); NULL or none: any
 * certificate of ca. */
typedef struct {
  const char *cert, *key, *ca;
  const char *const *peers;
} OwdTlsFiles;

/* Key, certificate and whom to trust; immutable, reference-counted, for any thread. */
typedef struct OwdTlsContext OwdTlsContext;

/* Returns: (transfer full), or NULL and OWD_ERROR_CONFIG that names the file. */
OwdTlsContext *owd_tls_context_new (const OwdTlsFiles *files, GError **error) G_GNUC_WARN_UNUSED_RESULT;
OwdTlsContext *owd_tls_context_ref (OwdTlsContext *self);
void owd_tls_context_unref (OwdTlsContext *self); /* NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdTlsContext, owd_tls_context_unref)

/* One connection. */
typedef struct OwdTls OwdTls;

typedef enum {
  OWD_TLS_DONE,       /* the handshake is over; or bytes have been read */
  OWD_TLS_WANT_READ,  /* try again when the socket can be read */
  OWD_TLS_WANT_WRITE, /* try again when it can be written */
  OWD_TLS_END,        /* the peer has ended the connection */
  OWD_TLS_FAILED      /* for good; owd_tls_error() tells why */
} OwdTlsResult;

/* fd: borrowed, a connected non-blocking socket. Keeps what it needs of the context. NULL: out of memory. */
OwdTls *owd_tls_new (const OwdTlsContext *context, int fd);
OwdTlsResult owd_tls_handshake (OwdTls *self);
/* At most one TLS record's worth, 16 KiB. *ret_len is set for OWD_TLS_DONE. */
OwdTlsResult owd_tls_read (OwdTls *self, guint8 *to, gsize room, gsize *ret_len);
/* Bytes of a record that lie here and not in the socket, which therefore does not tell of them. */
gboolean owd_tls_has_more (const OwdTls *self);
/* Why it failed last; for one line. */
const char *owd_tls_error (const OwdTls *self);
/* Before the socket is closed. Says goodbye where that does not block. NULL is fine. */
void owd_tls_free (OwdTls *self);

G_END_DECLS

#endif
