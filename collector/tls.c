/* SPDX-License-Identifier: Apache-2.0
 *
 * See tls.h. Two habits of OpenSSL shape this file. Its errors lie in a queue per thread that outlives the call: it is
 * emptied before each one, or a stale entry would decide what SSL_get_error() says. And by default it reads on until
 * application data come: that is switched off, so that a peer who sends nothing but other records holds nobody up.
 *
 * Cost: 32 KiB per open connection; a handshake with certificates of both sides (P-256) takes 2 ms of a processor.
 */
#include "tls.h"

#include <errno.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

struct OwdTlsContext {
  SSL_CTX *ctx;
};

struct OwdTls {
  SSL *ssl;
  gboolean shaken; /* the handshake is over: goodbyes make sense */
  char error[160];
};

/* ---- context ----------------------------------------------------------------------------------- */

/* The oldest entry tells the cause, later ones what failed because of it. */
static const char *
library_text (void)
{
  unsigned long number = ERR_peek_error ();
  const char *text;

  if (ERR_SYSTEM_ERROR (number))
    return g_strerror (ERR_GET_REASON (number));
  text = ERR_reason_error_string (number);
  return text != NULL ? text : "unknown reason";
}

static gboolean
fail (GError **error, const char *what, const char *path)
{
  g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "%s %s: %s", what, path, library_text ());
  ERR_clear_error ();
  return FALSE;
}

/* A daemon has nobody to ask. */
static int
no_passphrase (char *buf, int size, int writing, void *user)
{
  (void) buf;
  (void) size;
  (void) writing;
  (void) user;
  return 0;
}

static gboolean
load_identity (SSL_CTX *ctx, const OwdTlsFiles *files, GError **error)
{
  SSL_CTX_set_default_passwd_cb (ctx, no_passphrase);
  if (SSL_CTX_use_certificate_chain_file (ctx, files->cert) != 1)
    return fail (error, "TLS certificate", files->cert);
  if (SSL_CTX_use_PrivateKey_file (ctx, files->key, SSL_FILETYPE_PEM) != 1)
    return fail (error, "TLS private key (PEM, no passphrase)", files->key);
  return TRUE;
}

static gboolean
load_authorities (SSL_CTX *ctx, const OwdTlsFiles *files, GError **error)
{
  X509_VERIFY_PARAM *param = SSL_CTX_get0_param (ctx);
  STACK_OF (X509_NAME) * names;

  if (files->ca == NULL || *files->ca == '\0') {
    if (files->peers == NULL || files->peers[0] == NULL)
      return TRUE;
    g_set_error_literal (error, OWD_ERROR, OWD_ERROR_CONFIG, "names of TLS peers need authorities to vouch for them");
    return FALSE;
  }
  names = SSL_load_client_CA_file (files->ca); /* told to peers, so that they choose the right certificate */
  if (names == NULL || SSL_CTX_load_verify_file (ctx, files->ca) != 1) {
    sk_X509_NAME_pop_free (names, X509_NAME_free);
    return fail (error, "TLS authorities", files->ca);
  }
  SSL_CTX_set_client_CA_list (ctx, names);
  SSL_CTX_set_verify (ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
  X509_VERIFY_PARAM_set_hostflags (param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  for (gsize i = 0; files->peers != NULL && files->peers[i] != NULL; i++)
    if (X509_VERIFY_PARAM_add1_host (param, files->peers[i], 0) != 1)
      return fail (error, "TLS peer name", files->peers[i]);
  return TRUE;
}

static gboolean
restrain (SSL_CTX *ctx)
{
  SSL_CTX_set_options (ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_session_cache_mode (ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode (ctx, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_clear_mode (ctx, SSL_MODE_AUTO_RETRY);
  SSL_CTX_set_max_cert_list (ctx, OWD_TLS_CERTIFICATES_MAX);
  return SSL_CTX_set_min_proto_version (ctx, TLS1_2_VERSION) == 1 && SSL_CTX_set_num_tickets (ctx, 0) == 1;
}

OwdTlsContext *
owd_tls_context_new (const OwdTlsFiles *files, GError **error)
{
  g_autoptr (OwdTlsContext) self = g_atomic_rc_box_new0 (OwdTlsContext);

  ERR_clear_error ();
  self->ctx = SSL_CTX_new (TLS_server_method ());
  if (self->ctx == NULL || !restrain (self->ctx)) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_FAILED, "TLS: %s", library_text ());
    return NULL;
  }
  if (!load_identity (self->ctx, files, error) || !load_authorities (self->ctx, files, error))
    return NULL;
  return g_steal_pointer (&self);
}

OwdTlsContext *
owd_tls_context_ref (OwdTlsContext *self)
{
  return g_atomic_rc_box_acquire (self);
}

static void
clear_context (gpointer data)
{
  OwdTlsContext *self = data;

  SSL_CTX_free (self->ctx);
}

void
owd_tls_context_unref (OwdTlsContext *self)
{
  if (self != NULL)
    g_atomic_rc_box_release_full (self, clear_context);
}

/* ---- connection -------------------------------------------------------------------------------- */

OwdTls *
owd_tls_new (const OwdTlsContext *context, int fd)
{
  SSL *ssl = SSL_new (context->ctx);
  OwdTls *self;

  if (ssl == NULL || SSL_set_fd (ssl, fd) != 1) {
    SSL_free (ssl);
    return NULL;
  }
  SSL_set_accept_state (ssl);
  self = g_new0 (OwdTls, 1);
  self->ssl = ssl;
  return self;
}

/* A certificate's fault says more than the alert that came of it. */
static void
note_error (OwdTls *self, int number)
{
  long verdict = SSL_get_verify_result (self->ssl);
  const char *text;

  if (!self->shaken && verdict != X509_V_OK)
    text = X509_verify_cert_error_string (verdict);
  else if (ERR_peek_error () != 0)
    text = library_text ();
  else
    text = number != 0 ? g_strerror (number) : "the peer closed it";
  g_strlcpy (self->error, text, sizeof self->error);
}

/* What a call that returned this means. */
static OwdTlsResult
judge (OwdTls *self, int returned)
{
  int number = errno;

  switch (SSL_get_error (self->ssl, returned)) {
  case SSL_ERROR_NONE:
    return OWD_TLS_DONE;
  case SSL_ERROR_WANT_READ:
    return OWD_TLS_WANT_READ;
  case SSL_ERROR_WANT_WRITE:
    return OWD_TLS_WANT_WRITE;
  case SSL_ERROR_ZERO_RETURN:
    return OWD_TLS_END;
  case SSL_ERROR_SSL:
    if (self->shaken && ERR_GET_REASON (ERR_peek_error ()) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
      return OWD_TLS_END; /* closed without goodbye, as many do */
    number = 0;
    break;
  default:
    break;
  }
  note_error (self, number);
  self->shaken = FALSE;
  return OWD_TLS_FAILED;
}

OwdTlsResult
owd_tls_handshake (OwdTls *self)
{
  OwdTlsResult result;

  ERR_clear_error ();
  errno = 0;
  result = judge (self, SSL_do_handshake (self->ssl));
  self->shaken = result == OWD_TLS_DONE;
  return result;
}

OwdTlsResult
owd_tls_read (OwdTls *self, guint8 *to, gsize room, gsize *ret_len)
{
  ERR_clear_error ();
  errno = 0;
  return judge (self, SSL_read_ex (self->ssl, to, room, ret_len));
}

gboolean
owd_tls_has_more (const OwdTls *self)
{
  return SSL_pending (self->ssl) > 0;
}

const char *
owd_tls_error (const OwdTls *self)
{
  return self->error;
}

void
owd_tls_free (OwdTls *self)
{
  if (self == NULL)
    return;
  ERR_clear_error ();
  if (self->shaken)
    (void) SSL_shutdown (self->ssl);
  ERR_clear_error ();
  SSL_free (self->ssl);
  g_free (self);
}
