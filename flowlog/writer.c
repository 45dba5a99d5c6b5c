/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocks into files: segments, rotation, recovery, retention.
 *
 * Invariants, per partition
 *   - `end` is the stream offset behind the last whole block; the open file ends there, except during a write.
 *   - A block is in the file whole or not at all: after a failed write the file is cut back to `end`. What a reader
 *     meets behind `end` is never a whole block with a fitting checksum.
 *   - Log time never decreases. A block's time is the least of what all appenders have promised, so it is true for
 *     the partition and not only for the appender that wrote the block. A promise is raised under the partition's
 *     lock in the same step that puts the records it speaks of; a block that is closed because it is full, between two
 *     promises, therefore carries the old one.
 *   - No offset names two blocks, even if the machine forgets blocks that readers have seen. A clean end syncs the file
 *     and then adds an empty block marked OWD_BLOCK_LAST; whoever finds the mark at the very end may go on right behind
 *     it. Otherwise the next segment starts 1 GiB further on, which is more than page cache can lose of one block
 *     sequence between the offsets that consumers committed and the end that was found on disk.
 *   - The newest segment of a partition is never removed: it holds the offset to go on from.
 *
 * A segment is made when its first block comes, so restarts without traffic leave no files.
 *
 * Room on the disk is reserved ahead of the blocks, as much as the segment has already, up to RESERVE_MAX: a page that
 * has its place costs a tenth of the whole collector less to write. The file's size does not tell, and what was not
 * used is given back when the segment is closed, or at the next start. A disk without room for it is no failure.
 *
 * Locks: one mutex per partition, held for one write. pthread, not GMutex: thread sanitizers know it.
 */
#include "writer.h"
#include "dir.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_BLOCK_BYTES ((gsize) 256 << 10)
#define DEFAULT_SEGMENT_BYTES (G_GUINT64_CONSTANT (256) << 20)
#define MIN_SEGMENT_BYTES (G_GUINT64_CONSTANT (1) << 20)
#define RESERVE_MIN (G_GUINT64_CONSTANT (1) << 20)
#define RESERVE_MAX (G_GUINT64_CONSTANT (16) << 20)

typedef struct {
  guint64 base, bytes;
  OwdTime begin; /* log time at its creation */
} Segment;

typedef struct {
  guint index;
  char *dir;
  pthread_mutex_t lock; /* guards all below */
  int fd;               /* open segment, the last of `segments`; -1: none, the next block makes one */
  guint64 reserved;     /* bytes of the open segment that have their place on the disk; G_MAXUINT64: no more of it */
  guint64 end;          /* stream offset behind the last block */
  guint64 items_end;    /* stream offset behind the last block that is not empty, or segment's header */
  guint64 synced_end;   /* `end` as the last sync found it: what lies before is safe */
  guint64 next_base;    /* fd < 0: where the next segment starts */
  OwdTime time;         /* log time: that of the last block; never decreases */
  GArray *segments;     /* of Segment, ascending */
  GPtrArray *slots;     /* of OwdLogSlot: one per appender */
  GArray *unsynced;     /* of guint64: bases of closed segments that no sync has reached */
  gboolean names_unsynced;
} Partition;

struct OwdLogWriter {
  char *dir;
  OwdLogMeta meta;
  guint64 seed;
  int lock_fd;
  gsize block_bytes;
  guint64 segment_bytes;
  Partition *partitions;
  guint n_open;                /* partitions that are set up */
  pthread_mutex_t retain_lock; /* one retention at a time; taken before a partition's lock */
  guint64 cut_bytes;
  guint cut_partitions;
};

static Segment *
last_segment (Partition *part)
{
  return part->segments->len > 0 ? &g_array_index (part->segments, Segment, part->segments->len - 1) : NULL;
}

/* ---- recovery ---------------------------------------------------------------------------------- */

static guint64
align_up (guint64 v, guint64 step)
{
  return (v + step - 1) / step * step;
}

/* Is the file's last block one with OWD_BLOCK_LAST? */
static gboolean
ended_cleanly (int fd, const Segment *segment, guint64 seed)
{
  OwdBlockHead head;
  gsize done;
  guint64 pos;

  if (segment->bytes < OWD_SEGMENT_HEADER_BYTES + sizeof head)
    return FALSE;
  pos = segment->bytes - sizeof head;
  return owd_log_pread_all (fd, &head, sizeof head, pos, &done) == 0 && done == sizeof head
         && owd_block_head_plausible (&head, segment->base + pos) && head.bytes == sizeof head
         && owd_block_sum_fits (&head, seed) && (head.flags & OWD_BLOCK_LAST);
}

/* Reads a segment as any reader does. ret_end: offset behind its last whole block, or behind its header. */
static gboolean
find_end (OwdLogWriter *self, Partition *part, const Segment *segment, guint64 *ret_end, OwdTime *ret_time,
          GError **error)
{
  g_autoptr (OwdLogReader) reader = owd_log_reader_open (self->dir, part->index, segment->base, error);
  g_autoptr (GError) damage = NULL;
  OwdLogBlock block;
  OwdStatus status;

  if (reader == NULL)
    return FALSE;
  *ret_end = segment->base + MIN (segment->bytes, OWD_SEGMENT_HEADER_BYTES);
  *ret_time = segment->begin;
  while ((status = owd_log_reader_next (reader, &block, &damage)) != OWD_STATUS_END) {
    if (status == OWD_STATUS_OK) {
      *ret_end = block.next;
      *ret_time = MAX (*ret_time, block.time);
    } else if (status < 0 && status != OWD_STATUS_CHECKSUM) {
      g_propagate_error (error, g_steal_pointer (&damage));
      return FALSE;
    }
    g_clear_error (&damage); /* a damaged block with whole ones behind it stays: readers tell of it */
  }
  return TRUE;
}

/* Cuts what follows the last whole block of the newest segment. */
static gboolean
cut_tail (OwdLogWriter *self, Partition *part, Segment *segment, int fd, const char *path, GError **error)
{
  guint64 end;

  if (!find_end (self, part, segment, &end, &part->time, error))
    return FALSE;
  if (end < segment->base + segment->bytes) {
    if (ftruncate (fd, (off_t) (end - segment->base)) != 0 || fsync (fd) != 0) {
      owd_log_set_errno (error, errno, "cannot cut the torn tail", path);
      return FALSE;
    }
    self->cut_bytes += segment->base + segment->bytes - end;
    self->cut_partitions++;
    segment->bytes = end - segment->base;
  } else {
    (void) !ftruncate (fd, (off_t) segment->bytes); /* reserved and not used */
  }
  part->end = end;
  part->next_base = align_up (end, OWD_SEGMENT_HEADER_BYTES) + OWD_SEGMENT_UNCLEAN_GAP;
  return TRUE;
}

static gboolean
recover_newest (OwdLogWriter *self, Partition *part, GError **error)
{
  Segment *segment = last_segment (part);
  g_autofree char *path = owd_log_segment_path (part->dir, segment->base);
  int fd = open (path, O_RDWR | O_CLOEXEC);
  OwdBlockHead head;
  gboolean ok = TRUE;
  gsize done;

  if (fd < 0) {
    owd_log_set_errno (error, errno, "cannot open", path);
    return FALSE;
  }
  if (ended_cleanly (fd, segment, self->seed)
      && owd_log_pread_all (fd, &head, sizeof head, segment->bytes - sizeof head, &done) == 0) {
    part->end = part->next_base = segment->base + segment->bytes;
    part->time = head.time;
  } else {
    ok = cut_tail (self, part, segment, fd, path, error);
  }
  close (fd);
  return ok;
}

/* Size and begin of one segment. A newest one whose creation was interrupted is removed (ret_torn): there is no whole
 * block in it. */
static gboolean
load_segment (OwdLogWriter *self, Partition *part, Segment *segment, gboolean newest, gboolean *ret_torn,
              GError **error)
{
  g_autofree char *path = owd_log_segment_path (part->dir, segment->base);
  g_autofree OwdSegmentHeader *header = g_new0 (OwdSegmentHeader, 1);
  int saved, fd = open (path, O_RDONLY | O_CLOEXEC);
  struct stat st = { 0 };
  OwdStatus status;
  gsize done = 0;

  if (fd < 0 || fstat (fd, &st) != 0) {
    owd_log_set_errno (error, errno, "cannot open", path);
    if (fd >= 0)
      close (fd);
    return FALSE;
  }
  saved = owd_log_pread_all (fd, header, sizeof *header, 0, &done);
  close (fd);
  if (saved != 0) {
    owd_log_set_errno (error, saved, "cannot read", path);
    return FALSE;
  }
  status = done == sizeof *header ? owd_segment_header_check (header) : OWD_STATUS_CHECKSUM;
  if (status == OWD_STATUS_VERSION) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CORRUPT, "%s: segment format %u, this program knows %u", path,
                 header->version, OWD_SEGMENT_VERSION);
    return FALSE;
  }
  if (status == OWD_STATUS_OK && memcmp (header->uuid, self->meta.uuid, sizeof header->uuid) != 0) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CORRUPT, "%s: segment of another log: move it away", path);
    return FALSE;
  }
  segment->bytes = (guint64) st.st_size;
  segment->begin = status == OWD_STATUS_OK ? header->time : OWD_TIME_NONE;
  *ret_torn = newest && status != OWD_STATUS_OK && segment->bytes <= OWD_SEGMENT_HEADER_BYTES;
  if (*ret_torn && unlink (path) != 0) {
    owd_log_set_errno (error, errno, "cannot remove", path);
    return FALSE;
  }
  return TRUE;
}

/* Where a header is damaged, its time is not known: that of the segment behind keeps it long enough. */
static void
fill_unknown_times (Partition *part)
{
  OwdTime later = part->time;

  for (guint i = part->segments->len; i-- > 0;) {
    Segment *segment = &g_array_index (part->segments, Segment, i);

    if (segment->begin == OWD_TIME_NONE && i > 0)
      segment->begin = later;
    later = segment->begin;
  }
}

static gboolean
recover (OwdLogWriter *self, Partition *part, GError **error)
{
  g_autoptr (GArray) bases = owd_log_list_segments (part->dir, error);
  guint64 torn_base = 0;
  gboolean torn = FALSE;

  if (bases == NULL)
    return FALSE;
  for (guint i = 0; i < bases->len; i++) {
    Segment segment = { .base = g_array_index (bases, guint64, i) };

    if (!load_segment (self, part, &segment, i + 1 == bases->len, &torn, error))
      return FALSE;
    if (!torn) {
      g_array_append_val (part->segments, segment);
      continue;
    }
    torn_base = segment.base;
    self->cut_bytes += segment.bytes;
    self->cut_partitions++;
  }
  if (part->segments->len > 0 && !recover_newest (self, part, error))
    return FALSE;
  if (torn)
    part->next_base = torn_base + OWD_SEGMENT_HEADER_BYTES + OWD_SEGMENT_UNCLEAN_GAP;
  fill_unknown_times (part);
  return TRUE;
}

/* ---- segments ---------------------------------------------------------------------------------- */

static gboolean
open_segment (OwdLogWriter *self, Partition *part, GError **error)
{
  g_autofree char *path = owd_log_segment_path (part->dir, part->next_base);
  g_autofree OwdSegmentHeader *header = g_new0 (OwdSegmentHeader, 1);
  Segment segment = { .base = part->next_base, .bytes = sizeof *header, .begin = part->time };
  int saved, fd = open (path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  gsize done;

  if (fd < 0) {
    owd_log_set_errno (error, errno, "cannot create", path);
    return FALSE;
  }
  header->partition = part->index;
  header->partitions = self->meta.partitions;
  header->base = part->next_base;
  header->previous_end = part->end;
  header->created = g_get_real_time () * OWD_NS_PER_US;
  header->time = part->time;
  memcpy (header->uuid, self->meta.uuid, sizeof header->uuid);
  owd_segment_header_seal (header);
  saved = owd_log_pwrite_all (fd, header, sizeof *header, 0, &done);
  if (saved != 0) {
    owd_log_set_errno (error, saved, "cannot write", path);
    close (fd);
    (void) unlink (path);
    return FALSE;
  }
  g_array_append_val (part->segments, segment);
  part->fd = fd;
  part->reserved = 0;
  part->end = part->items_end = segment.base + segment.bytes;
  part->names_unsynced = TRUE;
  return TRUE;
}

/* For a block of so many bytes. */
static void
reserve (Partition *part, guint64 block_bytes, guint64 segment_bytes)
{
  guint64 used = last_segment (part)->bytes, more;

  if (G_LIKELY (used + block_bytes <= part->reserved))
    return;
  more = MIN (CLAMP (used, RESERVE_MIN, RESERVE_MAX), MAX (segment_bytes, used + block_bytes) - used);
  more = MAX (more, block_bytes);
  if (fallocate (part->fd, FALLOC_FL_KEEP_SIZE, (off_t) used, (off_t) more) == 0)
    part->reserved = used + more;
  else
    part->reserved = G_MAXUINT64;
}

/* What was reserved and not used is given back. */
static void
give_back (const Partition *part)
{
  (void) !ftruncate (part->fd, (off_t) g_array_index (part->segments, Segment, part->segments->len - 1).bytes);
}

static void
close_segment (Partition *part, guint64 next_base)
{
  give_back (part);
  g_array_append_val (part->unsynced, last_segment (part)->base);
  close (part->fd);
  part->fd = -1;
  part->next_base = next_base;
}

/* Appends a sealed block at part->end. After a failure the file is cut back; where even that fails, the segment is
 * left as it is, and the next one starts behind a gap. */
static gboolean
write_block (Partition *part, const OwdBlockHead *head, GError **error)
{
  Segment *segment = last_segment (part);
  gsize done;
  int saved = owd_log_pwrite_all (part->fd, head, head->bytes, part->end - segment->base, &done);

  if (saved == 0) {
    part->end += head->bytes;
    if (head->items > 0)
      part->items_end = part->end;
    segment->bytes += head->bytes;
    return TRUE;
  }
  {
    g_autofree char *path = owd_log_segment_path (part->dir, segment->base);

    owd_log_set_errno (error, saved, "cannot write", path);
  }
  part->reserved = 0; /* cutting gives it back */
  if (done > 0 && ftruncate (part->fd, (off_t) segment->bytes) != 0)
    close_segment (part, align_up (part->end, OWD_SEGMENT_HEADER_BYTES) + OWD_SEGMENT_UNCLEAN_GAP);
  return FALSE;
}

static gboolean
put_locked (OwdLogWriter *self, Partition *part, OwdBlockHead *head, GError **error)
{
  Segment *segment = last_segment (part);

  if (part->fd >= 0 && segment->bytes > OWD_SEGMENT_HEADER_BYTES && segment->bytes + head->bytes > self->segment_bytes)
    close_segment (part, part->end);
  if (part->fd < 0 && !open_segment (self, part, error))
    return FALSE;
  reserve (part, head->bytes, self->segment_bytes);
  head->magic = OWD_BLOCK_MAGIC;
  head->time = part->time;
  head->offset = part->end;
  owd_block_seal (head, self->seed);
  return write_block (part, head, error);
}

/* ---- for appenders ----------------------------------------------------------------------------- */

gsize
owd_log_writer_block_bytes (const OwdLogWriter *self)
{
  return self->block_bytes;
}

void
owd_log_writer_add_slots (OwdLogWriter *self, OwdLogSlot *slots)
{
  for (guint i = 0; i < self->meta.partitions; i++) {
    Partition *part = &self->partitions[i];

    pthread_mutex_lock (&part->lock);
    slots[i].promise = OWD_TIME_NONE;
    g_ptr_array_add (part->slots, &slots[i]);
    pthread_mutex_unlock (&part->lock);
  }
}

void
owd_log_writer_remove_slots (OwdLogWriter *self, OwdLogSlot *slots)
{
  for (guint i = 0; i < self->meta.partitions; i++) {
    Partition *part = &self->partitions[i];

    pthread_mutex_lock (&part->lock);
    g_ptr_array_remove (part->slots, &slots[i]);
    pthread_mutex_unlock (&part->lock);
  }
}

void
owd_log_writer_promise (OwdLogWriter *self, guint partition, OwdLogSlot *slot, OwdTime now)
{
  Partition *part = &self->partitions[partition];

  pthread_mutex_lock (&part->lock);
  slot->promise = MAX (slot->promise, now);
  pthread_mutex_unlock (&part->lock);
}

static OwdTime
least_promise (const Partition *part)
{
  OwdTime least = G_MAXINT64;

  for (guint i = 0; i < part->slots->len; i++)
    least = MIN (least, ((const OwdLogSlot *) g_ptr_array_index (part->slots, i))->promise);
  return least;
}

gboolean
owd_log_writer_put (OwdLogWriter *self, guint partition, OwdLogSlot *slot, OwdTime now, GError **error)
{
  Partition *part = &self->partitions[partition];
  OwdBlockHead *head = (OwdBlockHead *) slot->buf;
  gboolean ok;

  head->bytes = (guint32) slot->len;
  head->items = slot->items;
  head->flags = 0;
  pthread_mutex_lock (&part->lock);
  slot->promise = MAX (slot->promise, now);
  part->time = MAX (part->time, least_promise (part));
  ok = put_locked (self, part, head, error);
  pthread_mutex_unlock (&part->lock);
  return ok;
}

/* ---- public ------------------------------------------------------------------------------------ */

static gboolean
check_options (OwdLogWriter *self, const OwdLogOptions *options, GError **error)
{
  self->block_bytes = options->block_bytes != 0 ? options->block_bytes : DEFAULT_BLOCK_BYTES;
  self->segment_bytes = options->segment_bytes != 0 ? options->segment_bytes : DEFAULT_SEGMENT_BYTES;
  if (self->block_bytes < OWD_BLOCK_MIN_BYTES || self->block_bytes > OWD_BLOCK_MAX_BYTES) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "%s: a block has %" G_GSIZE_FORMAT "..%" G_GSIZE_FORMAT " bytes",
                 self->dir, OWD_BLOCK_MIN_BYTES, OWD_BLOCK_MAX_BYTES);
    return FALSE;
  }
  if (self->segment_bytes < MIN_SEGMENT_BYTES) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CONFIG, "%s: a segment has at least %" G_GUINT64_FORMAT " bytes",
                 self->dir, MIN_SEGMENT_BYTES);
    return FALSE;
  }
  self->block_bytes &= ~(gsize) 7;
  return TRUE;
}

static gboolean
open_partition (OwdLogWriter *self, guint i, GError **error)
{
  Partition *part = &self->partitions[i];

  part->index = i;
  part->dir = owd_log_partition_path (self->dir, i);
  part->fd = -1;
  part->time = OWD_TIME_NONE;
  part->segments = g_array_new (FALSE, FALSE, sizeof (Segment));
  part->slots = g_ptr_array_new ();
  part->unsynced = g_array_new (FALSE, FALSE, sizeof (guint64));
  pthread_mutex_init (&part->lock, NULL);
  self->n_open++;
  return recover (self, part, error);
}

OwdLogWriter *
owd_log_writer_open (const char *dir, const OwdLogOptions *options, GError **error)
{
  static const OwdLogOptions defaults = { .partitions = 8 };
  g_autoptr (OwdLogWriter) self = g_new0 (OwdLogWriter, 1);

  if (options == NULL)
    options = &defaults;
  self->dir = g_strdup (dir);
  self->lock_fd = -1;
  pthread_mutex_init (&self->retain_lock, NULL);
  if (!check_options (self, options, error)
      || !owd_log_dir_open_locked (dir, options->partitions, &self->meta, &self->lock_fd, error))
    return NULL;
  self->seed = owd_segment_seed (self->meta.uuid);
  self->partitions = g_new0 (Partition, self->meta.partitions);
  for (guint i = 0; i < self->meta.partitions; i++)
    if (!open_partition (self, i, error))
      return NULL;
  return g_steal_pointer (&self);
}

guint
owd_log_writer_partitions (const OwdLogWriter *self)
{
  return self->meta.partitions;
}

guint64
owd_log_writer_cut_bytes (const OwdLogWriter *self, guint *ret_partitions)
{
  if (ret_partitions != NULL)
    *ret_partitions = self->cut_partitions;
  return self->cut_bytes;
}

static gboolean
sync_fd (int fd, const char *path, GError **error)
{
  gboolean ok = fd >= 0 && fdatasync (fd) == 0;

  if (!ok)
    owd_log_set_errno (error, errno, "cannot sync", path);
  if (fd >= 0)
    close (fd);
  return ok;
}

/* A segment that was closed since the last sync; retention may have been faster. */
static gboolean
sync_closed (const Partition *part, guint64 base, GError **error)
{
  g_autofree char *path = owd_log_segment_path (part->dir, base);
  int fd = open (path, O_WRONLY | O_CLOEXEC);

  if (fd < 0 && errno == ENOENT)
    return TRUE;
  return sync_fd (fd, path, error);
}

/* The disk is waited for without the lock: appenders go on. Where nothing was added it is not asked, nor for
 * heartbeats alone, unless with_empty: who forgets one knows less of the time, and of no record. */
static gboolean
sync_partition (Partition *part, gboolean with_empty, GError **error)
{
  GArray *unsynced;
  gboolean names, is_safe, ok = TRUE;
  guint64 end;
  int fd = -1;

  pthread_mutex_lock (&part->lock);
  end = part->end;
  unsynced = g_steal_pointer (&part->unsynced);
  part->unsynced = g_array_new (FALSE, FALSE, sizeof (guint64));
  names = part->names_unsynced;
  part->names_unsynced = FALSE;
  is_safe = part->fd >= 0 && part->synced_end >= (with_empty ? end : part->items_end);
  if (part->fd >= 0 && !is_safe) {
    fd = fcntl (part->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
      owd_log_set_errno (error, errno, "cannot sync", part->dir);
      ok = FALSE;
    }
  }
  pthread_mutex_unlock (&part->lock);

  for (guint i = 0; i < unsynced->len && ok; i++)
    ok = sync_closed (part, g_array_index (unsynced, guint64, i), error);
  if (ok && fd >= 0)
    ok = sync_fd (fd, part->dir, error);
  else if (fd >= 0)
    close (fd);
  ok = ok && (!names || owd_log_sync_dir (part->dir, error));
  pthread_mutex_lock (&part->lock);
  if (ok && !is_safe)
    part->synced_end = end;
  if (!ok) {
    g_array_append_vals (part->unsynced, unsynced->data, unsynced->len);
    part->names_unsynced |= names;
  }
  pthread_mutex_unlock (&part->lock);
  g_array_unref (unsynced);
  return ok;
}

gboolean
owd_log_writer_sync (OwdLogWriter *self, GError **error)
{
  for (guint i = 0; i < self->meta.partitions; i++)
    if (!sync_partition (&self->partitions[i], FALSE, error))
      return FALSE;
  return TRUE;
}

/* ---- retention --------------------------------------------------------------------------------- */

typedef struct {
  Partition *part;
  Segment segment;
  OwdTime newest; /* log time at its end */
} Candidate;

static int
compare_age (const void *a, const void *b)
{
  const Candidate *x = a, *y = b;

  if (x->newest != y->newest)
    return x->newest < y->newest ? -1 : 1;
  if (x->part != y->part)
    return x->part < y->part ? -1 : 1;
  return x->segment.base < y->segment.base ? -1 : x->segment.base > y->segment.base;
}

/* All segments but each partition's newest, the oldest first; ret_total: bytes of all segments. */
static GArray *
list_candidates (OwdLogWriter *self, guint64 *ret_total)
{
  GArray *candidates = g_array_new (FALSE, FALSE, sizeof (Candidate));

  *ret_total = 0;
  for (guint i = 0; i < self->meta.partitions; i++) {
    Partition *part = &self->partitions[i];

    pthread_mutex_lock (&part->lock);
    for (guint j = 0; j < part->segments->len; j++) {
      Candidate c = { .part = part, .segment = g_array_index (part->segments, Segment, j) };

      *ret_total += c.segment.bytes;
      if (j + 1 == part->segments->len)
        break;
      c.newest = g_array_index (part->segments, Segment, j + 1).begin;
      g_array_append_val (candidates, c);
    }
    pthread_mutex_unlock (&part->lock);
  }
  g_array_sort (candidates, compare_age);
  return candidates;
}

/* The candidate is the first of its partition: sorting kept their order, and only this function removes. */
static gboolean
remove_candidate (const Candidate *c, GError **error)
{
  g_autofree char *path = owd_log_segment_path (c->part->dir, c->segment.base);

  if (unlink (path) != 0 && errno != ENOENT) {
    owd_log_set_errno (error, errno, "cannot remove", path);
    return FALSE;
  }
  pthread_mutex_lock (&c->part->lock);
  g_array_remove_index (c->part->segments, 0);
  pthread_mutex_unlock (&c->part->lock);
  return TRUE;
}

gint64
owd_log_writer_retain (OwdLogWriter *self, OwdTime before, guint64 max_bytes, GError **error)
{
  g_autoptr (GArray) candidates = NULL;
  gint64 removed = 0;
  guint64 total;

  pthread_mutex_lock (&self->retain_lock);
  candidates = list_candidates (self, &total);
  for (guint i = 0; i < candidates->len && removed >= 0; i++) {
    const Candidate *c = &g_array_index (candidates, Candidate, i);
    gboolean too_old = before != OWD_TIME_NONE && c->newest < before;
    gboolean too_much = max_bytes != 0 && total > max_bytes;

    if (!too_old && !too_much)
      break;
    total -= c->segment.bytes;
    removed = remove_candidate (c, error) ? removed + (gint64) c->segment.bytes : -1;
  }
  pthread_mutex_unlock (&self->retain_lock);
  return removed;
}

/* ---- end --------------------------------------------------------------------------------------- */

/* Marks a clean end, if everything before it is safe on disk. Failing is allowed: then there will be a gap. */
static void
end_cleanly (OwdLogWriter *self, Partition *part)
{
  OwdBlockHead last = { .bytes = sizeof last, .flags = OWD_BLOCK_LAST, .magic = OWD_BLOCK_MAGIC };

  if (!sync_partition (part, TRUE, NULL))
    return;
  last.time = part->time;
  last.offset = part->end;
  owd_block_seal (&last, self->seed);
  (void) write_block (part, &last, NULL);
}

void
owd_log_writer_free (OwdLogWriter *self)
{
  if (self == NULL)
    return;
  for (guint i = 0; i < self->n_open; i++) {
    Partition *part = &self->partitions[i];

    g_warn_if_fail (part->slots->len == 0);
    if (part->fd >= 0)
      end_cleanly (self, part);
    if (part->fd >= 0) {
      give_back (part);
      close (part->fd);
    }
    pthread_mutex_destroy (&part->lock);
    g_array_unref (part->segments);
    g_ptr_array_unref (part->slots);
    g_array_unref (part->unsynced);
    g_free (part->dir);
  }
  if (self->lock_fd >= 0)
    close (self->lock_fd);
  pthread_mutex_destroy (&self->retain_lock);
  g_free (self->partitions);
  g_free (self->dir);
  g_free (self);
}
