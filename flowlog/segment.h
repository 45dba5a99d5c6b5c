/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes of a segment: layout, checksum, checks. docs/formats.md is the text to this header, and every segment
 * carries the same facts in its own header (owd_segment_schema()).
 *
 * All structs below are the stored form itself: little-endian, no padding, multiples of 8 bytes, stored at multiples
 * of 8 bytes.
 */
#ifndef OWD_SEGMENT_H
#define OWD_SEGMENT_H

#include "owd-flowlog.h"

#include <stddef.h>
#include <string.h>

G_BEGIN_DECLS

#if G_BYTE_ORDER != G_LITTLE_ENDIAN
#error "the flow log is little-endian: a port to this machine has to swap in segment.h, appender.c and reader.c"
#endif

#define OWD_SEGMENT_VERSION 2          /* 1 had the items up to OWD_STORED_EXT */
#define OWD_SEGMENT_MAGIC "OWDSEG\r\n" /* 8 bytes, without the NUL */
#define OWD_SEGMENT_HEADER_BYTES 4096u
#define OWD_SEGMENT_UNCLEAN_GAP (G_GUINT64_CONSTANT (1) << 30)

#define OWD_BLOCK_MAGIC 0x4b42574fu /* "OWBK" */
#define OWD_BLOCK_MIN_BYTES ((gsize) 4096)
#define OWD_BLOCK_MAX_BYTES ((gsize) 16 << 20)
#define OWD_BLOCK_LAST (1u << 0) /* flags: the writer ended here in good order */

typedef struct {
  char magic[8];
  guint32 version;
  guint32 header_bytes;
  guint32 partition;
  guint32 partitions;
  guint64 base;         /* stream offset of this header's first byte */
  guint64 previous_end; /* stream offset where the segment before ended; between that and base there is nothing */
  OwdTime created;      /* the writer's clock */
  OwdTime time;         /* log time at creation: that of the last block before this segment */
  guint8 uuid[16];
  guint32 text_bytes;
  guint32 reserved;
  char text[OWD_SEGMENT_HEADER_BYTES - 88];
  guint64 checksum; /* XXH3-64 of all bytes before */
} OwdSegmentHeader;

typedef struct {
  guint32 magic;
  guint32 bytes; /* with this header */
  guint32 items;
  guint32 flags;
  OwdTime time;
  guint64 offset; /* of this block in the stream: a block in the wrong place is no block */
  guint64 checksum;
} OwdBlockHead;

/* Stored: never renumber. */
enum {
  OWD_STORED_STATE = 1,
  OWD_STORED_HEADER = 2,
  OWD_STORED_FLOW4 = 3,
  OWD_STORED_FLOW6 = 4,
  OWD_STORED_EXT = 5,
  OWD_STORED_SHAPE = 6,
  OWD_STORED_BRIEF4 = 7,
  OWD_STORED_BRIEF6 = 8,
  OWD_STORED_BRIEF_HEADER = 9,
};

/* Dictionary entry: `index` stands for this exporter state until the block ends. Indices count from 0 up. */
typedef struct {
  guint8 type, words;
  guint16 index;
  guint32 domain;
  guint32 version;
  guint32 reserved;
  guint8 addr[16];
} OwdStoredState;

/* Header of the datagram whose flows follow. */
typedef struct {
  guint8 type, words;
  guint16 index;
  guint16 port;
  guint16 flags;
  OwdTime recv_ns;
  gint64 init_ms;
  guint32 export_s;
  guint32 export_frac_ns;
  guint32 uptime_ms;
  guint32 seq;
} OwdStoredHeader;

/* The same where init_ms is 0. */
typedef struct {
  guint8 type, words;
  guint16 index;
  guint16 port;
  guint16 flags;
  OwdTime recv_ns;
  guint32 export_s;
  guint32 export_frac_ns;
  guint32 uptime_ms;
  guint32 seq;
} OwdStoredBriefHeader;

typedef struct {
  guint8 type, words;
  guint8 proto;
  guint8 end_reason;
  guint16 sport, dport;
  guint16 tcp_flags;
  guint8 start_kind, end_kind;
  guint16 template_id;
  guint8 ttl_min, ttl_max;
  guint32 in_if, out_if;
  guint64 packets, octets;
  guint64 start_raw, end_raw;
  guint32 flags;
  guint32 sampling;
} OwdStoredFlow;

typedef struct {
  OwdStoredFlow flow;
  guint8 src[4], dst[4];
} OwdStoredFlow4;

typedef struct {
  OwdStoredFlow flow;
  guint8 src[16], dst[16];
} OwdStoredFlow6;

/* Dictionary entry: `index` stands, until the block ends, for what nearly all records of a template have in common.
 * Indices count from 0 up. */
typedef struct {
  guint8 type, words;
  guint16 index;
  guint8 start_kind, end_kind;
  guint16 template_id;
  guint32 flags;
  guint32 sampling;
} OwdStoredShape;

/* The ordinary record: both counters below 2^32, and both stamps less than that above the base of their kind. */
typedef struct {
  guint8 type, words;
  guint8 proto;
  guint8 end_reason;
  guint16 sport, dport;
  guint16 tcp_flags;
  guint16 shape;
  guint16 reserved;
  guint8 ttl_min, ttl_max;
  guint32 in_if, out_if;
  guint32 packets, octets;
  guint32 start, end; /* raw stamp minus owd_stamp_bases_set()'s base */
} OwdStoredBrief;

typedef struct {
  OwdStoredBrief flow;
  guint8 src[4], dst[4];
} OwdStoredBrief4;

typedef struct {
  OwdStoredBrief flow;
  guint8 src[16], dst[16];
} OwdStoredBrief6;

/* What stamps of each kind are counted from in brief flows, modulo 2^64: absolute ms from 2^31 ms (25 days) before the
 * export time in the header, all others from 0. Any byte may be a kind: see owd_stamp_base(). */
#define OWD_STAMP_BASES 16
typedef struct {
  guint64 of_kind[OWD_STAMP_BASES];
} OwdStampBases;

static inline void
owd_stamp_bases_set (OwdStampBases *self, guint32 export_s)
{
  guint64 base = export_s * G_GUINT64_CONSTANT (1000) - (G_GUINT64_CONSTANT (1) << 31);

  self->of_kind[OWD_STAMP_UNIX_MS] = self->of_kind[OWD_STAMP_EVENT_MS] = base;
}

static inline guint64
owd_stamp_base (const OwdStampBases *self, guint8 kind)
{
  return self->of_kind[kind % OWD_STAMP_BASES];
}

/* Members that are moved together, eight bytes at a time. */
static inline guint64
owd_word (const void *p)
{
  guint64 word;

  memcpy (&word, p, sizeof word);
  return word;
}

static inline void
owd_put_word (void *p, guint64 word)
{
  memcpy (p, &word, sizeof word);
}

#define OWD_BRIEF_SHAPE_SHIFT 16                                     /* of `shape` in the word of tcp_flags, */
#define OWD_BRIEF_SHAPE_BITS (G_GUINT64_CONSTANT (0xffffffff) << 16) /* and what OwdFlow has there instead */

/* Of an OwdFlow, what lies there as in OwdStoredFlow: all but type and words, for which it has two spare bytes. */
#define OWD_FLOW_STORED_AT offsetof (OwdFlow, reserved)
#define OWD_STORED_LIES_AS_FLOW(member)                                                                                \
  (offsetof (OwdFlow, member) - OWD_FLOW_STORED_AT == offsetof (OwdStoredFlow, member)                                 \
   && sizeof (((OwdFlow *) NULL)->member) == sizeof (((OwdStoredFlow *) NULL)->member))

/* Rare fields of the flow in front. For each bit of `mask`, from the lowest up, one word of 8 bytes follows (two for
 * an address). A reader that knows only the lower bits finds its values all the same. */
typedef struct {
  guint8 type, words;
  guint8 tos;
  guint8 reserved;
  guint32 mask;
} OwdStoredExt;

enum {
  OWD_EXT_VLAN = 1u << 0,
  OWD_EXT_VRF = 1u << 1,
  OWD_EXT_MPLS = 1u << 2,
  OWD_EXT_LINE_CARD = 1u << 3,
  OWD_EXT_OBS_POINT = 1u << 4,
  OWD_EXT_INIT_MS = 1u << 5,
  OWD_EXT_POST_SRC = 1u << 6,
  OWD_EXT_POST_DST = 1u << 7,
  OWD_EXT_POST_PORTS = 1u << 8, /* post_sport in the low 16 bits, post_dport in the next */
  OWD_EXT_DELAY_MEAN = 1u << 9,
  OWD_EXT_DELAY_MIN = 1u << 10,
  OWD_EXT_DELAY_MAX = 1u << 11,
  OWD_EXT_DELAY_SUM = 1u << 12,
};
#define OWD_EXT_KNOWN ((1u << 13) - 1)
#define OWD_EXT_ADDRESSES (OWD_EXT_POST_SRC | OWD_EXT_POST_DST)
#define OWD_EXT_MAX_BYTES (sizeof (OwdStoredExt) + (13 + 2) * 8)

/* The most that one record adds to a block: dictionary entries, header, flow, rare fields. */
#define OWD_RECORD_MAX_BYTES                                                                                           \
  (sizeof (OwdStoredState) + sizeof (OwdStoredHeader) + sizeof (OwdStoredShape) + sizeof (OwdStoredFlow6)              \
   + OWD_EXT_MAX_BYTES)

/* Text that describes block header and items: name, type, offset, unit, a line each. */
const char *owd_segment_schema (void);
/* Fills magic, version, text and checksum around what the caller has set. */
void owd_segment_header_seal (OwdSegmentHeader *header);
/* OWD_STATUS_OK, _VERSION (whole, but of another version), or _CHECKSUM. */
OwdStatus owd_segment_header_check (const OwdSegmentHeader *header);

/* Seed of the blocks' checksums: from the log's identity, so a block of another log is no block here. */
guint64 owd_segment_seed (const guint8 uuid[16]);
/* Sets the checksum of a block that is complete but for it. */
void owd_block_seal (OwdBlockHead *head, guint64 seed);
/* Could a block at `offset` begin like this? True: `bytes` is usable. */
gboolean owd_block_head_plausible (const OwdBlockHead *head, guint64 offset);
/* head: plausible and followed by the rest of the block. */
gboolean owd_block_sum_fits (const OwdBlockHead *head, guint64 seed);
#define OWD_BLOCK_STATES ((gsize) G_MAXUINT16 + 1) /* that a block can have */

/* Walks the items of a block whose checksum fits. TRUE: lengths, indices and order are such that items can be decoded
 * without a further check. ret_states: room for OWD_BLOCK_STATES; *ret_n of them, by index: where in the block the
 * OwdStoredState is, from its header on. */
gboolean owd_block_items_fit (const OwdBlockHead *head, guint32 *ret_states, guint *ret_n);

G_END_DECLS

#endif
