/* SPDX-License-Identifier: Apache-2.0
 *
 * HMAC-SHA-256 with a key that is set up once: a reflector computes two per packet. The only user of libcrypto.
 */
#include "packet.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#define DIGEST 32

struct OwdProbeKey {
  char *id;
  EVP_MAC_CTX *ctx;
};

OwdProbeKey *
owd_probe_key_new (const char *id, const guint8 *secret, gsize len, GError **error)
{
  g_autoptr (OwdProbeKey) self = g_new0 (OwdProbeKey, 1);
  char digest[] = "SHA256";
  OSSL_PARAM params[] = { OSSL_PARAM_utf8_string ("digest", digest, 0), OSSL_PARAM_END };
  EVP_MAC *mac = EVP_MAC_fetch (NULL, "HMAC", NULL);

  self->id = g_strdup (id);
  self->ctx = mac != NULL ? EVP_MAC_CTX_new (mac) : NULL;
  EVP_MAC_free (mac);
  if (self->ctx == NULL || EVP_MAC_init (self->ctx, secret, len, params) != 1) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_FAILED, "key %s: libcrypto offers no HMAC-SHA-256", id);
    return NULL;
  }
  return g_steal_pointer (&self);
}

void
owd_probe_key_free (OwdProbeKey *self)
{
  if (self == NULL)
    return;
  EVP_MAC_CTX_free (self->ctx); /* wipes the key schedule */
  g_free (self->id);
  g_free (self);
}

const char *
owd_probe_key_id (const OwdProbeKey *self)
{
  return self->id;
}

void
owd_probe_key_mac (OwdProbeKey *self, const guint8 *a, gsize a_len, const guint8 *b, gsize b_len,
                   guint8 ret_mac[OWD_PROBE_MAC])
{
  guint8 digest[DIGEST];
  gsize n = 0;

  /* without a key: the same one again */
  if (EVP_MAC_init (self->ctx, NULL, 0, NULL) != 1 || EVP_MAC_update (self->ctx, a, a_len) != 1
      || (b_len > 0 && EVP_MAC_update (self->ctx, b, b_len) != 1)
      || EVP_MAC_final (self->ctx, digest, &n, sizeof digest) != 1)
    g_error ("key %s: libcrypto failed to compute an HMAC", self->id);
  memcpy (ret_mac, digest, OWD_PROBE_MAC);
}

gboolean
owd_probe_mac_equal (const guint8 a[OWD_PROBE_MAC], const guint8 b[OWD_PROBE_MAC])
{
  return CRYPTO_memcmp (a, b, OWD_PROBE_MAC) == 0;
}

gboolean
owd_probe_mac_fits (const guint8 *data, OwdProbeKey *key)
{
  guint8 mac[OWD_PROBE_MAC];
  gsize covered = owd_probe_auth_request.mac;

  if (key == NULL)
    return TRUE;
  owd_probe_key_mac (key, data, covered, NULL, 0, mac);
  return owd_probe_mac_equal (mac, data + covered);
}
