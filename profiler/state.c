/* SPDX-License-Identifier: Apache-2.0
 *
 * The file: a head, an offset per partition, then the profiles. A profile is some 200 KiB of which most is zero, so it
 * is stored as runs: so many zeros, so many bytes, the bytes. A checksum covers all behind the head.
 *
 * It is a cache, never a source: what cannot be used costs one reading of the whole log. So it is not portable, and the
 * head says by whom it can be read: same layout, same sizes, same log.
 */
#include "state.h"

#include "owd-error.h"

#include <string.h>
#include <xxhash.h>

#define MAGIC "OWDPROF1"
#define RUN_LEAST 16 /* zeros that are worth a new run */

typedef struct {
  char magic[8];
  guint32 profile_bytes, partitions, profiles, reserved;
  char version[24], log[40];
  gint64 until_ns;
  guint64 checksum;
} Head;

typedef struct {
  guint32 zeros, bytes;
} Run;

static Head
head_of (const OwdLogInfo *info)
{
  Head h = { .profile_bytes = (guint32) owd_profile_size (), .partitions = info->partitions };

  memcpy (h.magic, MAGIC, sizeof h.magic);
  g_strlcpy (h.version, OWD_VERSION, sizeof h.version);
  g_strlcpy (h.log, info->uuid, sizeof h.log);
  return h;
}

void
state_free (State *state)
{
  if (state == NULL)
    return;
  g_free (state->offsets);
  g_clear_pointer (&state->profiles, g_ptr_array_unref);
  g_free (state);
}

/* ---- writing ---------------------------------------------------------------------------------------- */

static gsize
zeros_at (const guint8 *p, gsize n)
{
  gsize i = 0;

  while (i < n && p[i] == 0)
    i++;
  return i;
}

/* Bytes up to the next zeros that are worth a run. */
static gsize
bytes_at (const guint8 *p, gsize n)
{
  gsize i = 0;

  while (i < n) {
    gsize zeros = zeros_at (p + i, MIN (n - i, RUN_LEAST));

    if (zeros == RUN_LEAST || (zeros > 0 && i + zeros == n))
      return i;
    i += MAX (zeros, 1);
  }
  return n;
}

static void
pack (GByteArray *out, const guint8 *p, gsize n)
{
  while (n > 0) {
    Run run = { .zeros = (guint32) zeros_at (p, n) };

    p += run.zeros;
    n -= run.zeros;
    run.bytes = (guint32) bytes_at (p, n);
    g_byte_array_append (out, (const guint8 *) &run, sizeof run);
    g_byte_array_append (out, p, run.bytes);
    p += run.bytes;
    n -= run.bytes;
  }
}

gboolean
state_save (const char *path, const OwdLogInfo *info, const State *state, GError **error)
{
  g_autoptr (GByteArray) out = g_byte_array_new ();
  g_autofree guint8 *frozen = g_malloc (owd_profile_size ());
  g_autoptr (GError) refused = NULL;
  Head head = head_of (info);

  head.profiles = state->profiles->len;
  head.until_ns = state->until_ns;
  g_byte_array_append (out, (const guint8 *) &head, sizeof head);
  g_byte_array_append (out, (const guint8 *) state->offsets, (guint) (state->n_offsets * sizeof *state->offsets));
  for (guint i = 0; i < state->profiles->len; i++) {
    owd_profile_freeze (g_ptr_array_index (state->profiles, i), frozen);
    pack (out, frozen, owd_profile_size ());
  }
  head.checksum = XXH3_64bits (out->data + sizeof head, out->len - sizeof head);
  memcpy (out->data, &head, sizeof head);
  if (g_file_set_contents (path, (const char *) out->data, (gssize) out->len, &refused))
    return TRUE;
  g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "%s", refused->message);
  return FALSE;
}

/* ---- reading ---------------------------------------------------------------------------------------- */

/* Returns: behind the profile, or NULL: the runs do not make one. */
static const guint8 *
unpack (const guint8 *p, const guint8 *end, guint8 *out, gsize n)
{
  memset (out, 0, n);
  while (n > 0) {
    Run run;

    if ((gsize) (end - p) < sizeof run)
      return NULL;
    memcpy (&run, p, sizeof run);
    p += sizeof run;
    if (run.zeros > n || run.bytes > n - run.zeros || run.bytes > (gsize) (end - p) || run.zeros + run.bytes == 0)
      return NULL;
    memcpy (out + run.zeros, p, run.bytes);
    p += run.bytes;
    out += run.zeros + run.bytes;
    n -= run.zeros + run.bytes;
  }
  return p;
}

static State *
damaged (const char *path, GError **error)
{
  g_set_error (error, OWD_ERROR, OWD_ERROR_CORRUPT, "%s is damaged", path);
  return NULL;
}

State *
state_load (const char *path, const OwdLogInfo *info, GError **error)
{
  g_autoptr (State) state = g_new0 (State, 1);
  g_autoptr (GError) refused = NULL;
  g_autofree guint8 *frozen = g_malloc (owd_profile_size ());
  g_autofree char *bytes = NULL;
  Head head, want = head_of (info);
  const guint8 *p, *end;
  gsize n;

  if (!g_file_get_contents (path, &bytes, &n, &refused)) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "%s", refused->message);
    return NULL;
  }
  if (n < sizeof head)
    return damaged (path, error);
  memcpy (&head, bytes, sizeof head);
  if (memcmp (head.magic, want.magic, sizeof head.magic) != 0 || head.profile_bytes != want.profile_bytes
      || memcmp (head.version, want.version, sizeof head.version) != 0) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CORRUPT, "%s was written by another version", path);
    return NULL;
  }
  if (head.partitions != want.partitions || memcmp (head.log, want.log, sizeof head.log) != 0) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CORRUPT, "%s belongs to another log", path);
    return NULL;
  }
  p = (const guint8 *) bytes + sizeof head;
  end = (const guint8 *) bytes + n;
  if (XXH3_64bits (p, (gsize) (end - p)) != head.checksum
      || (gsize) (end - p) / sizeof *state->offsets < head.partitions)
    return damaged (path, error);
  state->n_offsets = head.partitions;
  state->offsets = g_memdup2 (p, head.partitions * sizeof *state->offsets);
  state->until_ns = head.until_ns;
  state->profiles = g_ptr_array_new_with_free_func ((GDestroyNotify) owd_profile_free);
  p += head.partitions * sizeof *state->offsets;
  for (guint i = 0; i < head.profiles && p != NULL; i++) {
    p = unpack (p, end, frozen, owd_profile_size ());
    if (p != NULL)
      g_ptr_array_add (state->profiles, owd_profile_thaw (frozen));
  }
  return p == end ? g_steal_pointer (&state) : damaged (path, error);
}
