/* SPDX-License-Identifier: Apache-2.0
 *
 * The log as a directory.
 *
 * log.meta is written once, to a temporary name, and renamed: it is there whole or not at all. The partition folders
 * come after it, so a folder without log.meta is not a log, and a log without some folder is one whose creation was
 * interrupted: the next writer completes it. The lock is flock() on DIR/lock: the kernel releases it however the writer
 * ends.
 */
#include "dir.h"
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define META_NAME "log.meta"
#define META_GROUP "log"
#define LOCK_NAME "lock"
#define SEGMENT_DIGITS 20
#define SEGMENT_SUFFIX ".seg"

void
owd_log_set_errno (GError **error, int saved_errno, const char *what, const char *path)
{
  gboolean full = saved_errno == ENOSPC || saved_errno == EDQUOT || saved_errno == EFBIG;

  g_set_error (error, OWD_ERROR, full ? OWD_ERROR_FULL : OWD_ERROR_IO, "%s: %s: %s", path, what,
               g_strerror (saved_errno));
}

/* ---- log.meta ---------------------------------------------------------------------------------- */

static gboolean
uuid_parse (const char *text, guint8 uuid[16])
{
  guint n = 0;

  if (!g_uuid_string_is_valid (text))
    return FALSE;
  for (const char *c = text; *c != '\0'; c++) {
    if (*c == '-')
      continue;
    uuid[n / 2] = (guint8) (uuid[n / 2] << 4 | g_ascii_xdigit_value (*c));
    n++;
  }
  return n == 32;
}

static gboolean
meta_parse (GKeyFile *file, const char *path, OwdLogMeta *ret_meta, GError **error)
{
  g_autofree char *uuid = g_key_file_get_string (file, META_GROUP, "uuid", NULL);
  gint format = g_key_file_get_integer (file, META_GROUP, "format", NULL);
  gint partitions = g_key_file_get_integer (file, META_GROUP, "partitions", NULL);
  OwdLogMeta meta = { 0 };

  if (format <= 0) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CORRUPT, "%s: no [log] format: this is not a flow log", path);
    return FALSE;
  }
  if (format > OWD_SEGMENT_VERSION) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CORRUPT, "%s: log format %d, this program knows %d: use a newer program",
                 path, format, OWD_SEGMENT_VERSION);
    return FALSE;
  }
  if (partitions < 1 || partitions > OWD_LOG_PARTITIONS_MAX) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CORRUPT, "%s: [log] partitions must be 1..%d", path,
                 OWD_LOG_PARTITIONS_MAX);
    return FALSE;
  }
  if (uuid == NULL || !uuid_parse (uuid, meta.uuid)) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CORRUPT, "%s: [log] uuid is missing or not a UUID", path);
    return FALSE;
  }
  meta.partitions = (guint) partitions;
  g_strlcpy (meta.uuid_text, uuid, sizeof meta.uuid_text);
  *ret_meta = meta;
  return TRUE;
}

gboolean
owd_log_meta_read (const char *dir, OwdLogMeta *ret_meta, GError **error)
{
  g_autofree char *path = g_build_filename (dir, META_NAME, NULL);
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autoptr (GError) local = NULL;

  if (!g_key_file_load_from_file (file, path, G_KEY_FILE_NONE, &local)) {
    if (local->domain == G_FILE_ERROR)
      g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "%s: no flow log here: cannot read " META_NAME ": %s", dir,
                   local->message);
    else
      g_set_error (error, OWD_ERROR, OWD_ERROR_CORRUPT, "%s: not the description of a flow log: %s", path,
                   local->message);
    return FALSE;
  }
  return meta_parse (file, path, ret_meta, error);
}

static gboolean
write_file_synced (const char *path, const char *data, gsize len, GError **error)
{
  gsize done;
  int saved, fd = open (path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

  if (fd < 0) {
    owd_log_set_errno (error, errno, "cannot create", path);
    return FALSE;
  }
  saved = owd_log_pwrite_all (fd, data, len, 0, &done);
  if (saved == 0 && fsync (fd) != 0)
    saved = errno;
  close (fd);
  if (saved == 0)
    return TRUE;
  owd_log_set_errno (error, saved, "cannot write", path);
  return FALSE;
}

static gboolean
meta_create (const char *dir, guint partitions, GError **error)
{
  g_autofree char *path = g_build_filename (dir, META_NAME, NULL);
  g_autofree char *tmp = g_strconcat (path, ".new", NULL);
  g_autofree char *uuid = g_uuid_string_random ();
  char created[OWD_TIME_TEXT];
  g_autofree char *text = g_strdup_printf (
      "# Oneway flow log. Written once; the format is described at the head of every segment.\n"
      "[" META_GROUP "]\nformat=%d\npartitions=%u\nuuid=%s\ncreated=%s\n",
      OWD_SEGMENT_VERSION, partitions, uuid, owd_time_text (g_get_real_time () * OWD_NS_PER_US, created));

  if (!write_file_synced (tmp, text, strlen (text), error))
    return FALSE;
  if (rename (tmp, path) != 0) {
    owd_log_set_errno (error, errno, "cannot create", path);
    return FALSE;
  }
  return owd_log_sync_dir (dir, error);
}

/* ---- lock and creation ------------------------------------------------------------------------- */

/* The lock file's text is the holder's process id, for the message of those who are refused. */
static gboolean
take_lock (const char *dir, int *ret_fd, GError **error)
{
  g_autofree char *path = g_build_filename (dir, LOCK_NAME, NULL);
  char pid[24] = "";
  gsize done;
  int saved, fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

  if (fd < 0) {
    owd_log_set_errno (error, errno, "cannot open", path);
    return FALSE;
  }
  if (flock (fd, LOCK_EX | LOCK_NB) != 0) {
    saved = errno;
    (void) owd_log_pread_all (fd, pid, sizeof pid - 1, 0, &done);
    close (fd);
    if (saved == EWOULDBLOCK)
      g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG,
                   "%s: another writer has this log open (process %s): end it, or give another directory", dir,
                   g_strchomp (pid));
    else
      owd_log_set_errno (error, saved, "cannot lock", path);
    return FALSE;
  }
  (void) snprintf (pid, sizeof pid, "%ld\n", (long) getpid ());
  if (ftruncate (fd, 0) == 0)
    (void) owd_log_pwrite_all (fd, pid, strlen (pid), 0, &done); /* a full disk does not matter here */
  *ret_fd = fd;
  return TRUE;
}

/* A new log goes into an empty directory: whoever mistypes a path must not find segments among his files. */
static gboolean
check_empty (const char *dir, GError **error)
{
  g_autoptr (GDir) d = g_dir_open (dir, 0, NULL);
  const char *name;

  while (d != NULL && (name = g_dir_read_name (d)) != NULL)
    if (strcmp (name, LOCK_NAME) != 0 && strcmp (name, META_NAME ".new") != 0 && strcmp (name, "lost+found") != 0) {
      g_set_error (error, OWD_ERROR, OWD_ERROR_CORRUPT,
                   "%s: holds files (%s) but no " META_NAME ": not a flow log; give an empty or a new directory", dir,
                   name);
      return FALSE;
    }
  return TRUE;
}

static gboolean
open_or_create (const char *dir, guint partitions, OwdLogMeta *ret_meta, GError **error)
{
  g_autofree char *path = g_build_filename (dir, META_NAME, NULL);

  if (!g_file_test (path, G_FILE_TEST_EXISTS)) {
    if (partitions < 1 || partitions > OWD_LOG_PARTITIONS_MAX) {
      g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "%s: a log has 1..%d partitions, not %u", dir,
                   OWD_LOG_PARTITIONS_MAX, partitions);
      return FALSE;
    }
    if (!check_empty (dir, error) || !meta_create (dir, partitions, error))
      return FALSE;
  }
  if (!owd_log_meta_read (dir, ret_meta, error))
    return FALSE;
  for (guint i = 0; i < ret_meta->partitions; i++) {
    g_autofree char *sub = owd_log_partition_path (dir, i);

    if (g_mkdir (sub, 0755) != 0 && errno != EEXIST) {
      owd_log_set_errno (error, errno, "cannot create", sub);
      return FALSE;
    }
  }
  return owd_log_sync_dir (dir, error);
}

gboolean
owd_log_dir_open_locked (const char *dir, guint partitions, OwdLogMeta *ret_meta, int *ret_lock_fd, GError **error)
{
  int fd;

  if (g_mkdir_with_parents (dir, 0755) != 0) {
    owd_log_set_errno (error, errno, "cannot create", dir);
    return FALSE;
  }
  if (!take_lock (dir, &fd, error))
    return FALSE;
  if (!open_or_create (dir, partitions, ret_meta, error)) {
    close (fd);
    return FALSE;
  }
  *ret_lock_fd = fd;
  return TRUE;
}

/* ---- names ------------------------------------------------------------------------------------- */

char *
owd_log_partition_path (const char *dir, guint partition)
{
  return g_strdup_printf ("%s/p%03u", dir, partition);
}

char *
owd_log_segment_path (const char *partition_dir, guint64 base)
{
  return g_strdup_printf ("%s/%0*" G_GUINT64_FORMAT SEGMENT_SUFFIX, partition_dir, SEGMENT_DIGITS, base);
}

static gboolean
parse_segment_name (const char *name, guint64 *ret_base)
{
  char digits[SEGMENT_DIGITS + 1];

  if (strlen (name) != SEGMENT_DIGITS + strlen (SEGMENT_SUFFIX) || strcmp (name + SEGMENT_DIGITS, SEGMENT_SUFFIX) != 0)
    return FALSE;
  g_strlcpy (digits, name, sizeof digits);
  return g_ascii_string_to_unsigned (digits, 10, 0, G_MAXINT64, ret_base, NULL) && *ret_base % 8 == 0;
}

static int
compare_u64 (const void *a, const void *b)
{
  guint64 x = *(const guint64 *) a, y = *(const guint64 *) b;

  return x < y ? -1 : x > y;
}

GArray *
owd_log_list_segments (const char *partition_dir, GError **error)
{
  g_autoptr (GError) local = NULL;
  g_autoptr (GDir) d = g_dir_open (partition_dir, 0, &local);
  GArray *bases;
  const char *name;
  guint64 base;

  if (d == NULL) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "%s: cannot list the partition: %s", partition_dir, local->message);
    return NULL;
  }
  bases = g_array_new (FALSE, FALSE, sizeof base);
  while ((name = g_dir_read_name (d)) != NULL)
    if (parse_segment_name (name, &base))
      g_array_append_val (bases, base);
  g_array_sort (bases, compare_u64);
  return bases;
}

/* ---- system calls ------------------------------------------------------------------------------ */

gboolean
owd_log_sync_dir (const char *path, GError **error)
{
  int fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  gboolean ok = fd >= 0 && fsync (fd) == 0;

  if (!ok)
    owd_log_set_errno (error, errno, "cannot sync", path);
  if (fd >= 0)
    close (fd);
  return ok;
}

int
owd_log_pwrite_all (int fd, const void *data, gsize len, guint64 pos, gsize *ret_done)
{
  gsize done = 0;
  int saved = 0;

  while (done < len && saved == 0) {
    ssize_t n = pwrite (fd, (const guint8 *) data + done, len - done, (off_t) (pos + done));

    if (n > 0)
      done += (gsize) n;
    else if (n == 0)
      saved = ENOSPC;
    else if (errno != EINTR)
      saved = errno;
  }
  *ret_done = done;
  return saved;
}

int
owd_log_pread_all (int fd, void *data, gsize len, guint64 pos, gsize *ret_done)
{
  gsize done = 0;
  int saved = 0;

  while (done < len && saved == 0) {
    ssize_t n = pread (fd, (guint8 *) data + done, len - done, (off_t) (pos + done));

    if (n > 0)
      done += (gsize) n;
    else if (n == 0)
      break;
    else if (errno != EINTR)
      saved = errno;
  }
  *ret_done = done;
  return saved;
}
