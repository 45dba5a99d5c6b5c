/* SPDX-License-Identifier: Apache-2.0 */
#include "keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECRET_MIN = 16, FILE_MAX = 64 * 1024 };

void
owd_probe_keyring_free (OwdProbeKeyring *self)
{
  if (self == NULL)
    return;
  g_ptr_array_unref (self->keys);
  g_free (self);
}

/* Checks and reads through one descriptor: what was checked is what is read. */
static gboolean
read_private (const char *path, char *buf, gsize cap, gsize *ret_len, GError **error)
{
  struct stat st;
  gssize n = -1;
  int fd = open (path, O_RDONLY | O_CLOEXEC), code;

  if (fd >= 0 && fstat (fd, &st) == 0) {
    if ((st.st_mode & 077) != 0) {
      close (fd);
      g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "%s: others may read these keys; chmod 600 it", path);
      return FALSE;
    }
    n = read (fd, buf, cap);
  }
  code = errno;
  if (fd >= 0)
    close (fd);
  if (n < 0 || (gsize) n == cap) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "%s: %s", path,
                 n < 0 ? g_strerror (code) : "too long for a file of keys");
    return FALSE;
  }
  *ret_len = (gsize) n;
  return TRUE;
}

/* Returns: bytes written to out, -1 where the digits are none. */
static gssize
parse_secret (const char *text, guint8 *out)
{
  gsize len;

  if (!g_str_has_prefix (text, "hex:")) {
    len = strlen (text);
    memcpy (out, text, len);
    return (gssize) len;
  }
  text += 4;
  len = strlen (text);
  for (gsize i = 0; i < len; i++)
    if (!g_ascii_isxdigit (text[i]))
      return -1;
  for (gsize i = 0; i + 1 < len; i += 2)
    out[i / 2] = (guint8) (g_ascii_xdigit_value (text[i]) << 4 | g_ascii_xdigit_value (text[i + 1]));
  return len % 2 == 0 ? (gssize) (len / 2) : -1;
}

static OwdProbeKey *
key_of_group (GKeyFile *file, const char *path, const char *id, GError **error)
{
  g_autofree char *text = g_key_file_get_string (file, id, "secret", NULL);
  g_autofree guint8 *secret = g_malloc (text != NULL ? strlen (text) + 1 : 1);
  gssize len = text != NULL ? parse_secret (text, secret) : -1;
  OwdProbeKey *key = NULL;

  if (len < SECRET_MIN)
    g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG,
                 "%s: [%s] secret: want at least %d bytes, as text or as hex: and pairs of digits", path, id,
                 SECRET_MIN);
  else
    key = owd_probe_key_new (id, secret, (gsize) len, error);
  if (text != NULL)
    explicit_bzero (text, strlen (text));
  if (len > 0)
    explicit_bzero (secret, (gsize) len);
  return key;
}

OwdProbeKeyring *
owd_probe_keyring_load (const char *path, GError **error)
{
  g_autoptr (OwdProbeKeyring) self = g_new0 (OwdProbeKeyring, 1);
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autoptr (GError) cause = NULL;
  g_auto (GStrv) ids = NULL;
  g_autofree char *text = g_malloc0 (FILE_MAX);
  gsize len;
  gboolean parsed;

  self->keys = g_ptr_array_new_with_free_func ((GDestroyNotify) owd_probe_key_free);
  if (!read_private (path, text, FILE_MAX, &len, error))
    return NULL;
  parsed = g_key_file_load_from_data (file, text, len, G_KEY_FILE_NONE, &cause);
  explicit_bzero (text, len);
  if (!parsed) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "%s: %s", path, cause->message);
    return NULL;
  }
  ids = g_key_file_get_groups (file, NULL);
  for (gsize i = 0; ids[i] != NULL; i++) {
    OwdProbeKey *key = key_of_group (file, path, ids[i], error);

    if (key == NULL)
      return NULL;
    g_ptr_array_add (self->keys, key);
  }
  if (self->keys->len == 0) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "%s: no keys; a key is [ID] with secret = ...", path);
    return NULL;
  }
  return g_steal_pointer (&self);
}

OwdProbeKey *
owd_probe_keyring_get (const OwdProbeKeyring *self, const char *id, GError **error)
{
  if (id == NULL && self->keys->len == 1)
    return self->keys->pdata[0];
  for (guint i = 0; id != NULL && i < self->keys->len; i++)
    if (g_str_equal (owd_probe_key_id (self->keys->pdata[i]), id))
      return self->keys->pdata[i];
  g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG,
               id != NULL ? "no key %s in the file of keys" : "--key: which of the keys in the file?%s",
               id != NULL ? id : "");
  return NULL;
}
