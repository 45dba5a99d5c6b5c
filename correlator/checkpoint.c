/* SPDX-License-Identifier: Apache-2.0
 *
 * File: magic u64, offset u64, snapshot (correlator.c), XXH3 of all before it u64. Native byte order: it never leaves
 * its machine; another machine replays.
 */
#include "checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define MAGIC G_GUINT64_CONSTANT (0x313054504b44574f) /* "OWDKPT01" */

typedef struct {
  FILE *file;
  XXH3_state_t *hash;
  guint64 bytes;
} Stream;

static char *
path_of (const char *dir, const char *uuid, guint part)
{
  return g_strdup_printf ("%s/%s-p%03u.checkpoint", dir, uuid, part);
}

static gboolean
put (void *user, const void *data, gsize len)
{
  Stream *s = user;

  if (len == 0)
    return TRUE;
  XXH3_64bits_update (s->hash, data, len);
  s->bytes += len;
  return fwrite (data, 1, len, s->file) == len;
}

static gboolean
get (void *user, void *data, gsize len)
{
  Stream *s = user;

  if (len == 0)
    return TRUE;
  if (fread (data, 1, len, s->file) != len)
    return FALSE;
  XXH3_64bits_update (s->hash, data, len);
  s->bytes += len;
  return TRUE;
}

static Stream
stream (FILE *file)
{
  Stream s = { .file = file, .hash = XXH3_createState () };

  XXH3_64bits_reset (s.hash);
  return s;
}

static gboolean
write_all (FILE *file, guint64 offset, const OwdCorrelator *engine, guint64 *ret_bytes)
{
  Stream s = stream (file);
  guint64 head[2] = { MAGIC, offset }, sum;
  gboolean ok = put (&s, head, sizeof head) && owd_correlator_save (engine, put, &s);

  sum = XXH3_64bits_digest (s.hash);
  ok = ok && fwrite (&sum, sizeof sum, 1, file) == 1 && fflush (file) == 0 && fdatasync (fileno (file)) == 0;
  XXH3_freeState (s.hash);
  *ret_bytes = s.bytes + sizeof sum;
  return ok;
}

/* The temporary file, empty and ours alone: correlators of several databases may share the folder. NULL with errno
 * EWOULDBLOCK: another one is at it. The lock comes with the file, so the name is looked at again: its last owner may
 * have renamed it. */
static FILE *
open_temporary (const char *path)
{
  int saved, fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  struct stat ours, there;

  if (fd < 0)
    return NULL;
  if (flock (fd, LOCK_EX | LOCK_NB) == 0 && fstat (fd, &ours) == 0) {
    if (stat (path, &there) != 0 || ours.st_ino != there.st_ino)
      errno = EWOULDBLOCK;
    else if (ftruncate (fd, 0) == 0)
      return fdopen (fd, "wb");
  }
  saved = errno;
  close (fd);
  errno = saved;
  return NULL;
}

gboolean
checkpoint_save (const char *dir, const char *uuid, guint part, guint64 offset, const OwdCorrelator *engine,
                 guint64 *ret_bytes, GError **error)
{
  g_autofree char *path = path_of (dir, uuid, part);
  g_autofree char *temporary = g_strconcat (path, ".new", NULL);
  FILE *file = open_temporary (temporary);
  gboolean ok;
  int saved;

  if (file == NULL && errno == EWOULDBLOCK)
    return TRUE;
  ok = file != NULL && write_all (file, offset, engine, ret_bytes) && g_rename (temporary, path) == 0;
  saved = errno;
  if (file != NULL && !ok)
    (void) g_unlink (temporary);
  if (file != NULL)
    (void) fclose (file); /* flushed, and the last moment of our lock */
  if (ok)
    return TRUE;
  g_set_error (error, OWD_ERROR, saved == ENOSPC ? OWD_ERROR_FULL : OWD_ERROR_IO,
               "%s: cannot write the checkpoint: %s; a restart will take longer, nothing else is lost", path,
               g_strerror (saved));
  return FALSE;
}

/* Is the file whole? Asked before anything in it is believed: sizes in it say how much memory to take. */
static gboolean
sum_fits (FILE *file)
{
  guint8 buf[65536];
  guint64 sum, left;
  struct stat st;
  Stream s;

  if (fstat (fileno (file), &st) != 0 || st.st_size < (off_t) sizeof sum)
    return FALSE;
  s = stream (file);
  for (left = (guint64) st.st_size - sizeof sum; left > 0 && get (&s, buf, MIN (left, sizeof buf));)
    left -= MIN (left, sizeof buf);
  sum = XXH3_64bits_digest (s.hash);
  XXH3_freeState (s.hash);
  return left == 0 && fread (buf, sizeof sum, 1, file) == 1 && memcmp (buf, &sum, sizeof sum) == 0;
}

/* NULL: loaded; else why not. */
static const char *
read_all (FILE *file, const OwdMark *limit, OwdCorrelator *engine, guint64 *ret_offset)
{
  const char *why = NULL;
  guint64 head[2];
  Stream s;

  if (!sum_fits (file))
    return "is damaged";
  rewind (file);
  s = stream (file);
  if (!get (&s, head, sizeof head) || head[0] != MAGIC)
    why = "is not a checkpoint of this version";
  else if (head[1] > limit->offset)
    why = "is ahead of the database";
  else if (!owd_correlator_load (engine, get, &s, NULL))
    why = "is of another version, or for more max-flows";
  else if (owd_correlator_watermark (engine) > limit->watermark)
    why = "is ahead of the database";
  else
    *ret_offset = head[1];
  XXH3_freeState (s.hash);
  return why;
}

guint64
checkpoint_load (const char *dir, const char *uuid, guint part, const OwdMark *limit, OwdCorrelator *engine)
{
  g_autofree char *path = path_of (dir, uuid, part);
  FILE *file = g_fopen (path, "rbe");
  guint64 offset = 0;
  const char *why;

  if (file == NULL)
    return 0;
  why = read_all (file, limit, engine, &offset);
  (void) fclose (file);
  if (why == NULL) {
    g_info ("%s: loaded; %" G_GUINT64_FORMAT " bytes of log to replay", path, limit->offset - offset);
    return offset;
  }
  g_info ("%s %s: left aside; the log is replayed from its beginning", path, why);
  owd_correlator_reset (engine);
  return 0;
}
