/* SPDX-License-Identifier: Apache-2.0
 *
 * Between the appenders, which fill blocks without a lock, and the writer, which puts them into files.
 */
#ifndef OWD_LOG_WRITER_H
#define OWD_LOG_WRITER_H

#include "segment.h"

G_BEGIN_DECLS

/* A dictionary entry of a block, for those who look for it by its contents. */
#define OWD_LOG_SHAPES 32
typedef struct {
  guint64 block;   /* slot's block number that has it; 0: none */
  guint64 counted; /* flags, sampling as they lie in OwdFlow */
  guint32 kinds;   /* start_kind, end_kind, template_id likewise */
  guint16 index;
} OwdLogShape;

/* What one appender has for one partition. All but `promise` belongs to the appender's thread. */
typedef struct {
  guint8 *buf;    /* OwdBlockHead, then items; block_bytes long */
  gsize len;      /* bytes used, with the head */
  gsize room_end; /* a record may begin while len is not above this */
  guint32 items;
  guint32 records;                    /* flows among them, second views not counted */
  guint32 n_states;                   /* dictionary entries */
  guint32 n_shapes;                   /* likewise */
  OwdLogShape shapes[OWD_LOG_SHAPES]; /* by a hash; one that had to go gets another entry */
  guint64 block;                      /* number of this block among the slot's blocks, from 1 */
  guint64 header_serial;              /* datagram whose header stands in this block; 0: none */
  OwdTime promise;                    /* guarded by the partition's lock, see owd_log_writer_put() */
} OwdLogSlot;

gsize owd_log_writer_block_bytes (const OwdLogWriter *self);

/* slots: one per partition; they take part in log time from now on. */
void owd_log_writer_add_slots (OwdLogWriter *self, OwdLogSlot *slots);
void owd_log_writer_remove_slots (OwdLogWriter *self, OwdLogSlot *slots);

/* Raises the slot's promise: everything received up to `now` has been put, once this call is over. */
void owd_log_writer_promise (OwdLogWriter *self, guint partition, OwdLogSlot *slot, OwdTime now);
/* Writes the slot's block, after raising the promise to `now` (OWD_TIME_NONE: as it is). The block's time is the
 * least promise of all slots of the partition, and never below that of the block before. On failure nothing of the
 * block is left in the file, and the next one may be tried. The slot's contents are not changed. */
gboolean owd_log_writer_put (OwdLogWriter *self, guint partition, OwdLogSlot *slot, OwdTime now,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS

#endif
