/* SPDX-License-Identifier: Apache-2.0
 *
 * The log as a directory: log.meta, the lock, partition folders, names of segments.
 */
#ifndef OWD_LOG_DIR_H
#define OWD_LOG_DIR_H

#include "owd-flowlog.h"

G_BEGIN_DECLS

typedef struct {
  guint partitions;
  guint8 uuid[16];
  char uuid_text[37];
} OwdLogMeta;

/* GError for a failed system call: OWD_ERROR_FULL where space or a quota is exhausted, else OWD_ERROR_IO.
 * what: e.g. "cannot write". */
void owd_log_set_errno (GError **error, int saved_errno, const char *what, const char *path);

/* Returns: FALSE with OWD_ERROR_IO (no log here) or OWD_ERROR_CORRUPT (foreign or newer). */
gboolean owd_log_meta_read (const char *dir, OwdLogMeta *ret_meta, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Makes dir, lock and log.meta where they are missing; partitions: for a new log. ret_lock_fd: closing it unlocks. */
gboolean owd_log_dir_open_locked (const char *dir, guint partitions, OwdLogMeta *ret_meta, int *ret_lock_fd,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Returns: (transfer full) path of a partition's folder, of a segment. */
char *owd_log_partition_path (const char *dir, guint partition);
char *owd_log_segment_path (const char *partition_dir, guint64 base);
/* Bases of the segments in a partition's folder, ascending (GArray of guint64). Other files are left alone.
 * Returns: (transfer full), or NULL with error. */
GArray *owd_log_list_segments (const char *partition_dir, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* fsync of a directory: makes the names in it survive the machine. */
gboolean owd_log_sync_dir (const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The whole range or an error: short transfers and EINTR are dealt with. Returns: 0, or errno; ret_done: bytes
 * transferred. Reading ends early, with 0, at the end of the file. */
int owd_log_pwrite_all (int fd, const void *data, gsize len, guint64 pos, gsize *ret_done);
int owd_log_pread_all (int fd, void *data, gsize len, guint64 pos, gsize *ret_done);

G_END_DECLS

#endif
