/* SPDX-License-Identifier: Apache-2.0
 *
 * The flow log: the one thing that collector, correlator and profiler share.
 *
 * A log is a directory with a fixed number of partitions. A record's partition is a hash of its direction-less flow
 * key, so both directions of a conversation, from every observation point, meet in one partition. A partition is a
 * stream of self-contained blocks; an offset is a position in that stream, valid for ever: it grows, it is never
 * used twice, and retention removes segments from the front without renumbering.
 *
 *   DIR/log.meta                       format, number of partitions, identity (uuid), as GKeyFile text
 *   DIR/p003/00000000000001048576.seg  segment: named by the offset of its first byte
 *
 * A segment starts with a text that describes all items (docs/formats.md), so that a log can be read in ten years. A
 * block has magic, length, item count, checksum (XXH3) and `time`: every record received up to this time stands in
 * this block or an earlier one. Blocks carry their own dictionary of exporter states and the headers of the datagrams
 * whose records follow, hence any block can be read alone.
 *
 * Durability: owd_log_appender_flush() hands complete blocks to the kernel; they survive the death of the process.
 * owd_log_writer_sync() makes them survive the machine. After an unclean end the torn tail is cut at the last whole
 * block, and the next segment starts 1 GiB further on, so no offset ever names two different blocks.
 *
 * Threads: one OwdLogWriter per directory (guarded by a lock file against other processes), any number of appenders,
 * each used by one thread. Readers are independent, one thread each, in any process.
 */
#ifndef OWD_FLOWLOG_H
#define OWD_FLOWLOG_H

#include "owd-flow.h"

G_BEGIN_DECLS

#define OWD_LOG_PARTITIONS_MAX 256

/* ---- writing ----------------------------------------------------------------------------------- */

typedef struct OwdLogWriter OwdLogWriter;
typedef struct OwdLogAppender OwdLogAppender;

typedef struct {
  guint partitions;      /* for a new log, 1..OWD_LOG_PARTITIONS_MAX; ignored where the log exists */
  gsize block_bytes;     /* a block is closed when it reaches this; 4096..16 MiB; 0: 256 KiB */
  guint64 segment_bytes; /* a segment is closed when it reaches this; at least 1 MiB; 0: 256 MiB */
} OwdLogOptions;

/* Creates the directory where it is missing, cuts torn tails. Returns: (transfer full), or NULL and OWD_ERROR_IO,
 * _CORRUPT (foreign or newer format) or _CONFIG (locked by another writer). */
OwdLogWriter *owd_log_writer_open (const char *dir, const OwdLogOptions *options, GError **error) G_GNUC_WARN_UNUSED_RESULT;
guint owd_log_writer_partitions (const OwdLogWriter *self);
/* Bytes that recovery cut from torn tails at open, and how many partitions had one. */
guint64 owd_log_writer_cut_bytes (const OwdLogWriter *self, guint *ret_partitions);
/* fdatasync of all records flushed so far; where only heartbeats came since the last time, the disk is left alone. May
 * run in another thread than the appenders'. */
gboolean owd_log_writer_sync (OwdLogWriter *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Removes whole closed segments from the front: those whose newest block time lies before `before` (OWD_TIME_NONE: no
 * limit by age), then the oldest until at most max_bytes (0: no limit by size) are left. Never touches an open
 * segment. Returns bytes removed, or -1 with error set. */
gint64 owd_log_writer_retain (OwdLogWriter *self, OwdTime before, guint64 max_bytes, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Flushes nothing: free the appenders first. NULL is fine. */
void owd_log_writer_free (OwdLogWriter *self);

OwdLogAppender *owd_log_appender_new (OwdLogWriter *writer);

/* Header of the datagram whose flows follow. It is written in front of its first record in every partition that gets
 * one; a partition that gets none still receives it where the last header of this state there is older than 100 ms
 * (by receive time), so that clock models in all partitions see time go on. Copied. */
void owd_log_appender_header (OwdLogAppender *self, const OwdHeader *header);
/* Adds a record of the current header. Its partition comes from owd_flow_hash_undirected(). A record with translated
 * address or port (post_*) that lands in another partition, or has another key, is written a second time with key and
 * post_* swapped and OWD_FLOW_POST_NAT set. Hot path: no allocation, no system call unless a block is full.
 * OWD_STATUS_FULL: the disk refused a block: it was dropped whole and counted; see owd_log_appender_flush() for why. */
OwdStatus owd_log_appender_flow (OwdLogAppender *self, const OwdFlow *flow) G_GNUC_WARN_UNUSED_RESULT;
/* Heartbeat: time has come to `now`, and everything this appender got with recv_ns up to `now` has been given to it
 * (OWD_HEADER_REPLAY excepted: those come late). A block's time is the least that all appenders have said so; one that
 * has not said anything yet holds it back. Closes and writes all partitions' blocks (an empty block for a partition without records). */
gboolean owd_log_appender_beat (OwdLogAppender *self, OwdTime now, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Closes and writes blocks that have records. now: as for _beat. */
gboolean owd_log_appender_flush (OwdLogAppender *self, OwdTime now, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Records taken; records dropped because the disk refused them. */
void owd_log_appender_counts (const OwdLogAppender *self, guint64 *ret_records, guint64 *ret_dropped);
/* Time that blocks took to get into the kernel's hands, all of them and the longest one: a disk that cannot keep up shows
 * here. */
void owd_log_appender_times (const OwdLogAppender *self, gint64 *ret_total_ns, gint64 *ret_longest_ns);
/* Drops what was not flushed. NULL is fine. */
void owd_log_appender_free (OwdLogAppender *self);

/* ---- reading ----------------------------------------------------------------------------------- */

typedef struct OwdLogReader OwdLogReader;

/* What a log says of itself. */
typedef struct {
  guint partitions;
  char uuid[37];
} OwdLogInfo;

gboolean owd_log_info (const char *dir, OwdLogInfo *ret_info, GError **error) G_GNUC_WARN_UNUSED_RESULT;

typedef enum { OWD_ITEM_HEADER, OWD_ITEM_FLOW } OwdItemType;

/* One block, valid until the next call on its reader. Iterate with owd_log_block_next(). */
typedef struct {
  guint64 offset; /* of this block */
  guint64 next;   /* offset behind it: what a consumer commits */
  OwdTime time;   /* log time after this block; never decreases within a partition */
  guint32 items;
  /* private */
  const guint8 *p, *end;
  OwdLogReader *reader;
} OwdLogBlock;

/* partition: below OwdLogInfo.partitions. offset: 0 or an OwdLogBlock.next of this partition; an offset inside a gap
 * goes on behind it. Returns: (transfer full) or NULL with error. */
OwdLogReader *owd_log_reader_open (const char *dir, guint partition, guint64 offset, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Next whole block.
 *   OWD_STATUS_OK        *ret_block filled
 *   OWD_STATUS_END       nothing more for now
 *   OWD_STATUS_GAP       retention removed what was asked for: the reader now stands on the oldest block there is;
 *                        said once, call again
 *   OWD_STATUS_CHECKSUM  a damaged block was skipped: the reader stands behind it (on the next whole block, or on
 *                        the next segment); error says file, offset, bytes. Call again to go on.
 *   other negative       error set, final. */
OwdStatus owd_log_reader_next (OwdLogReader *self, OwdLogBlock *ret_block, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Next item of the block, FALSE at its end. For a header: *ret_header filled (state: dense per reader, stable for the
 * reader's life). For a flow: *ret_flow filled, and its header is the last one returned. */
gboolean owd_log_block_next (OwdLogBlock *block, OwdItemType *ret_type, OwdHeader *header, OwdFlow *flow);
/* Sleeps until the partition may have grown, or timeout_ms are over. No polling: inotify. Returns TRUE if it may. */
gboolean owd_log_reader_wait (OwdLogReader *self, int timeout_ms);
/* File descriptor that becomes readable when the partition may have grown; belongs to the reader. After it fired call
 * owd_log_reader_wait (self, 0) to clear it. It is readable at first. -1 where the kernel has no inotify instance left
 * (fs.inotify.max_user_instances): then owd_log_reader_wait() is short naps. */
int owd_log_reader_fd (OwdLogReader *self);
/* Offset behind the last block that was returned. */
guint64 owd_log_reader_offset (const OwdLogReader *self);
/* Bytes between the reader and the end of the partition, as files show it now. */
guint64 owd_log_reader_behind (OwdLogReader *self);
void owd_log_reader_free (OwdLogReader *self); /* NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdLogWriter, owd_log_writer_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdLogAppender, owd_log_appender_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdLogReader, owd_log_reader_free)

G_END_DECLS

#endif
