/* SPDX-License-Identifier: Apache-2.0
 *
 * Layout, checksum and checks of segments and blocks.
 *
 * A reader trusts nothing until the checksum fits, and even then walks the items once (owd_block_items_fit): a writer
 * with a defect must not make readers leave the block. After that walk, about 1 ns an item, decoding needs no checks.
 */
#include "segment.h"

#include <stddef.h>
#include <string.h>
#ifdef __x86_64__
#include <xxh_x86dispatch.h> /* the widest vectors that the processor has */
#else
#define XXH_INLINE_ALL
#include <xxhash.h>
#endif

G_STATIC_ASSERT (sizeof (OwdSegmentHeader) == OWD_SEGMENT_HEADER_BYTES);
G_STATIC_ASSERT (offsetof (OwdSegmentHeader, text) == 80);
G_STATIC_ASSERT (sizeof (OwdBlockHead) == 40 && offsetof (OwdBlockHead, checksum) == 32);
G_STATIC_ASSERT (sizeof (OwdStoredState) == 32);
G_STATIC_ASSERT (sizeof (OwdStoredHeader) == 40);
G_STATIC_ASSERT (sizeof (OwdStoredFlow) == 64);
G_STATIC_ASSERT (sizeof (OwdStoredFlow4) == 72);
G_STATIC_ASSERT (sizeof (OwdStoredFlow6) == 96);
G_STATIC_ASSERT (sizeof (OwdStoredExt) == 8);
G_STATIC_ASSERT (sizeof (OwdStoredShape) == 16 && sizeof (OwdStoredBriefHeader) == 32);
G_STATIC_ASSERT (sizeof (OwdStoredBrief) == 40);
G_STATIC_ASSERT (sizeof (OwdStoredBrief4) == 48);
G_STATIC_ASSERT (sizeof (OwdStoredBrief6) == 72);
G_STATIC_ASSERT (OWD_STAMP_KINDS <= OWD_STAMP_BASES);
G_STATIC_ASSERT (OWD_STORED_LIES_AS_FLOW (proto) && OWD_STORED_LIES_AS_FLOW (end_reason));
G_STATIC_ASSERT (OWD_STORED_LIES_AS_FLOW (sport) && OWD_STORED_LIES_AS_FLOW (dport));
G_STATIC_ASSERT (OWD_STORED_LIES_AS_FLOW (tcp_flags) && OWD_STORED_LIES_AS_FLOW (start_kind));
G_STATIC_ASSERT (OWD_STORED_LIES_AS_FLOW (end_kind) && OWD_STORED_LIES_AS_FLOW (template_id));
G_STATIC_ASSERT (OWD_STORED_LIES_AS_FLOW (ttl_min) && OWD_STORED_LIES_AS_FLOW (ttl_max));
G_STATIC_ASSERT (OWD_STORED_LIES_AS_FLOW (in_if) && OWD_STORED_LIES_AS_FLOW (out_if));
G_STATIC_ASSERT (OWD_STORED_LIES_AS_FLOW (packets) && OWD_STORED_LIES_AS_FLOW (octets));
G_STATIC_ASSERT (OWD_STORED_LIES_AS_FLOW (start_raw) && OWD_STORED_LIES_AS_FLOW (end_raw));
G_STATIC_ASSERT (OWD_STORED_LIES_AS_FLOW (flags) && OWD_STORED_LIES_AS_FLOW (sampling));

typedef struct {
  const char *name, *type;
  gsize offset;
  const char *unit; /* or meaning; "" where the name says it */
} Field;

#define SEGMENT(name, type, unit)                                                                                      \
  {                                                                                                                    \
#name, type, offsetof(OwdSegmentHeader, name), unit                                                                \
  }
static const Field SEGMENT_FIELDS[] = {
  SEGMENT (magic, "8 bytes", "OWDSEG CR LF"),
  SEGMENT (version, "u32", "2"),
  SEGMENT (header_bytes, "u32", "4096"),
  SEGMENT (partition, "u32", ""),
  SEGMENT (partitions, "u32", ""),
  SEGMENT (base, "u64", "stream offset of this header: position in the file + base = offset"),
  SEGMENT (previous_end, "u64", "stream offset where the segment before ended"),
  SEGMENT (created, "i64", "ns since 1970, the writer's clock"),
  SEGMENT (time, "i64", "ns since 1970, time of the block before"),
  SEGMENT (uuid, "16 bytes", "of the log"),
  SEGMENT (text_bytes, "u32", "length of this text"),
  SEGMENT (text, "text", "this"),
  SEGMENT (checksum, "u64", "XXH3-64(all before)"),
  { .name = NULL },
};

#define BLOCK(name, type, unit)                                                                                        \
  {                                                                                                                    \
#name, type, offsetof(OwdBlockHead, name), unit                                                                    \
  }
static const Field BLOCK_FIELDS[] = {
  BLOCK (magic, "u32", "0x4b42574f"),
  BLOCK (bytes, "u32", "bytes with this header"),
  BLOCK (items, "u32", "items of all types"),
  BLOCK (flags, "u32", "1: clean end of a writer"),
  BLOCK (time, "i64", "ns since 1970"),
  BLOCK (offset, "u64", "of this block in the stream"),
  BLOCK (checksum, "u64", "XXH3-64(body, seed XXH3-64(bytes 0..31, seed uuid[0..7]))"),
  { .name = NULL },
};

#define STATE(name, type, unit)                                                                                        \
  {                                                                                                                    \
#name, type, offsetof(OwdStoredState, name), unit                                                                  \
  }
static const Field STATE_FIELDS[] = {
  STATE (index, "u16", "stands for this state in this block"),
  STATE (domain, "u32", ""),
  STATE (version, "u32", "5, 9, 10"),
  STATE (addr, "ip16", "exporter"),
  { .name = NULL },
};

#define HEADER(name, type, unit)                                                                                       \
  {                                                                                                                    \
#name, type, offsetof(OwdStoredHeader, name), unit                                                                 \
  }
static const Field HEADER_FIELDS[] = {
  HEADER (index, "u16", "state"),
  HEADER (port, "u16", ""),
  HEADER (flags, "u16", "1 uptime, 2 frac, 4 replay"),
  HEADER (recv_ns, "i64", "ns since 1970"),
  HEADER (init_ms, "i64", "ms since 1970"),
  HEADER (export_s, "u32", "s since 1970"),
  HEADER (export_frac_ns, "u32", "ns"),
  HEADER (uptime_ms, "u32", "ms"),
  HEADER (seq, "u32", ""),
  { .name = NULL },
};

#define FLOW(name, type, unit)                                                                                         \
  {                                                                                                                    \
#name, type, offsetof(OwdStoredFlow, name), unit                                                                   \
  }
static const Field FLOW_FIELDS[] = {
  FLOW (proto, "u8", ""),
  FLOW (end_reason, "u8", "IE 136"),
  FLOW (sport, "u16", ""),
  FLOW (dport, "u16", ""),
  FLOW (tcp_flags, "u16", ""),
  FLOW (start_kind, "u8", "stamp kind"),
  FLOW (end_kind, "u8", "stamp kind"),
  FLOW (template_id, "u16", ""),
  FLOW (ttl_min, "u8", ""),
  FLOW (ttl_max, "u8", ""),
  FLOW (in_if, "u32", ""),
  FLOW (out_if, "u32", ""),
  FLOW (packets, "u64", ""),
  FLOW (octets, "u64", ""),
  FLOW (start_raw, "u64", "unit of start_kind"),
  FLOW (end_raw, "u64", "unit of end_kind"),
  FLOW (flags, "u32",
        "1 packets 2 octets 4 tcpflags 8 egress 16 ingress 32 reverse 64 biflow 128 totals 256 postnat 512 ext"),
  FLOW (sampling, "u32", "1 in N"),
  { .name = NULL },
};

static const Field FLOW4_ADDRESSES[] = {
  { "src", "ip4", offsetof (OwdStoredFlow4, src), "" },
  { "dst", "ip4", offsetof (OwdStoredFlow4, dst), "" },
  { .name = NULL },
};

static const Field FLOW6_ADDRESSES[] = {
  { "src", "ip16", offsetof (OwdStoredFlow6, src), "" },
  { "dst", "ip16", offsetof (OwdStoredFlow6, dst), "" },
  { .name = NULL },
};

#define BRIEF_HEADER(name, type, unit)                                                                                 \
  {                                                                                                                    \
#name, type, offsetof(OwdStoredBriefHeader, name), unit                                                            \
  }
static const Field BRIEF_HEADER_FIELDS[] = {
  BRIEF_HEADER (export_s, "u32", ""),
  BRIEF_HEADER (export_frac_ns, "u32", ""),
  BRIEF_HEADER (uptime_ms, "u32", ""),
  BRIEF_HEADER (seq, "u32", ""),
  { .name = NULL },
};

#define SHAPE(name, type, unit)                                                                                        \
  {                                                                                                                    \
#name, type, offsetof(OwdStoredShape, name), unit                                                                  \
  }
static const Field SHAPE_FIELDS[] = {
  SHAPE (index, "u16", "stands for this in this block"),
  SHAPE (start_kind, "u8", ""),
  SHAPE (end_kind, "u8", ""),
  SHAPE (template_id, "u16", ""),
  SHAPE (flags, "u32", ""),
  SHAPE (sampling, "u32", ""),
  { .name = NULL },
};

#define BRIEF(name, type, unit)                                                                                        \
  {                                                                                                                    \
#name, type, offsetof(OwdStoredBrief, name), unit                                                                  \
  }
static const Field BRIEF_FIELDS[] = {
  BRIEF (shape, "u16", ""),        BRIEF (ttl_min, "u8", ""),
  BRIEF (ttl_max, "u8", ""),       BRIEF (in_if, "u32", ""),
  BRIEF (out_if, "u32", ""),       BRIEF (packets, "u32", ""),
  BRIEF (octets, "u32", ""),       BRIEF (start, "u32", "start_raw-b; b=export_s*1000-2^31 for kinds 3 and 8, else 0"),
  BRIEF (end, "u32", "end_raw-b"), { .name = NULL },
};

static const Field BRIEF4_ADDRESSES[] = {
  { "src", "ip4", offsetof (OwdStoredBrief4, src), "" },
  { "dst", "ip4", offsetof (OwdStoredBrief4, dst), "" },
  { .name = NULL },
};

static const Field BRIEF6_ADDRESSES[] = {
  { "src", "ip16", offsetof (OwdStoredBrief6, src), "" },
  { "dst", "ip16", offsetof (OwdStoredBrief6, dst), "" },
  { .name = NULL },
};

#define EXT(name, type, unit)                                                                                          \
  {                                                                                                                    \
#name, type, offsetof(OwdStoredExt, name), unit                                                                    \
  }
static const Field EXT_FIELDS[] = {
  EXT (tos, "u8", ""),
  EXT (mask, "u32",
       "a word per bit from 8 on: 0 vlan 1 vrf 2 mpls 3 line_card 4 obs_point 5 init_ms 6 post_src(2 words) "
       "7 post_dst(2 words) 8 post_sport+65536*post_dport 9 delay_mean_us 10 delay_min_us 11 delay_max_us 12 "
       "delay_sum_us"),
  { .name = NULL },
};

static const char INTRO[]
    = "Oneway flow log, format 2. Little-endian; addresses in network order (ip16: IPv4 as ::ffff:a.b.c.d).\n"
      "A segment: this header of 4096 bytes, then blocks. A block: block header, then items. An item begins with\n"
      "its type (u8) and its length in words of 8 bytes (u8); skip types that you do not know. A flow belongs to\n"
      "the last header item in front of it, ext to the flow in front of it. time: every record received up to then\n"
      "is in this block or an earlier one. Stamp kinds: 0 none 1 uptime_ms 2 unix_s 3 unix_ms 4 ntp_us 5 ntp_ns\n"
      "6 us_before_export 7 event_s 8 event_ms 9 event_ntp_us 10 event_ntp_ns.\n"
      "Partition: ((h >> 32) * partitions) >> 32, h = XXH3-64(address 16, address 16, port 2, port 2, proto 1), "
      "network\n"
      "order, the lower (address, port) first.\n"
      "name type offset meaning\n";

static void
add_fields (GString *text, const Field *fields)
{
  for (; fields->name != NULL; fields++)
    g_string_append_printf (text, " %s %s %" G_GSIZE_FORMAT "%s%s\n", fields->name, fields->type, fields->offset,
                            fields->unit[0] != '\0' ? " " : "", fields->unit);
}

static char *
make_schema (void)
{
  GString *text = g_string_new (INTRO);

  g_string_append_printf (text, "segment header %" G_GSIZE_FORMAT " bytes\n", sizeof (OwdSegmentHeader));
  add_fields (text, SEGMENT_FIELDS);
  g_string_append_printf (text, "block header %" G_GSIZE_FORMAT " bytes\n", sizeof (OwdBlockHead));
  add_fields (text, BLOCK_FIELDS);
  g_string_append_printf (text, "item %d state %" G_GSIZE_FORMAT " bytes\n", OWD_STORED_STATE, sizeof (OwdStoredState));
  add_fields (text, STATE_FIELDS);
  g_string_append_printf (text, "item %d header %" G_GSIZE_FORMAT " bytes\n", OWD_STORED_HEADER,
                          sizeof (OwdStoredHeader));
  add_fields (text, HEADER_FIELDS);
  g_string_append_printf (text, "item %d flow4 %" G_GSIZE_FORMAT " bytes, item %d flow6 %" G_GSIZE_FORMAT " bytes\n",
                          OWD_STORED_FLOW4, sizeof (OwdStoredFlow4), OWD_STORED_FLOW6, sizeof (OwdStoredFlow6));
  add_fields (text, FLOW_FIELDS);
  g_string_append (text, "flow4 also\n");
  add_fields (text, FLOW4_ADDRESSES);
  g_string_append (text, "flow6 also\n");
  add_fields (text, FLOW6_ADDRESSES);
  g_string_append_printf (text, "item %d ext\n", OWD_STORED_EXT);
  add_fields (text, EXT_FIELDS);
  g_string_append_printf (text, "item %d shape %" G_GSIZE_FORMAT " bytes\n", OWD_STORED_SHAPE, sizeof (OwdStoredShape));
  add_fields (text, SHAPE_FIELDS);
  g_string_append_printf (text,
                          "item %d brief4 %" G_GSIZE_FORMAT " bytes, item %d brief6 %" G_GSIZE_FORMAT
                          " bytes: flows, as flow4 up to tcp_flags\n",
                          OWD_STORED_BRIEF4, sizeof (OwdStoredBrief4), OWD_STORED_BRIEF6, sizeof (OwdStoredBrief6));
  add_fields (text, BRIEF_FIELDS);
  g_string_append (text, "brief4 also\n");
  add_fields (text, BRIEF4_ADDRESSES);
  g_string_append (text, "brief6 also\n");
  add_fields (text, BRIEF6_ADDRESSES);
  g_string_append_printf (
      text, "item %d brief header %" G_GSIZE_FORMAT " bytes: header without init_ms (0), as header up to recv_ns\n",
      OWD_STORED_BRIEF_HEADER, sizeof (OwdStoredBriefHeader));
  add_fields (text, BRIEF_HEADER_FIELDS);
  return g_string_free (text, FALSE);
}

const char *
owd_segment_schema (void)
{
  static gsize schema;

  if (g_once_init_enter (&schema))
    g_once_init_leave (&schema, (gsize) make_schema ());
  return (const char *) schema;
}

void
owd_segment_header_seal (OwdSegmentHeader *header)
{
  const char *text = owd_segment_schema ();
  gsize n = strlen (text);

  g_assert (n < sizeof header->text);
  memcpy (header->magic, OWD_SEGMENT_MAGIC, sizeof header->magic);
  header->version = OWD_SEGMENT_VERSION;
  header->header_bytes = OWD_SEGMENT_HEADER_BYTES;
  header->text_bytes = (guint32) n;
  header->reserved = 0;
  memset (header->text, 0, sizeof header->text);
  memcpy (header->text, text, n);
  header->checksum = XXH3_64bits (header, offsetof (OwdSegmentHeader, checksum));
}

OwdStatus
owd_segment_header_check (const OwdSegmentHeader *header)
{
  if (memcmp (header->magic, OWD_SEGMENT_MAGIC, sizeof header->magic) != 0
      || header->checksum != XXH3_64bits (header, offsetof (OwdSegmentHeader, checksum)))
    return OWD_STATUS_CHECKSUM;
  if (header->version == 0 || header->version > OWD_SEGMENT_VERSION || header->header_bytes != OWD_SEGMENT_HEADER_BYTES)
    return OWD_STATUS_VERSION;
  return OWD_STATUS_OK;
}

guint64
owd_segment_seed (const guint8 uuid[16])
{
  guint64 seed;

  memcpy (&seed, uuid, sizeof seed);
  return seed;
}

/* The header's hash seeds the body's: two one-shot calls are faster than the streaming form for one. */
static guint64
block_sum (const OwdBlockHead *head, guint64 seed)
{
  guint64 head_sum = XXH3_64bits_withSeed (head, offsetof (OwdBlockHead, checksum), seed);

  return XXH3_64bits_withSeed (head + 1, head->bytes - sizeof *head, head_sum);
}

void
owd_block_seal (OwdBlockHead *head, guint64 seed)
{
  head->checksum = block_sum (head, seed);
}

gboolean
owd_block_head_plausible (const OwdBlockHead *head, guint64 offset)
{
  return head->magic == OWD_BLOCK_MAGIC && head->offset == offset && head->bytes >= sizeof *head
         && head->bytes <= OWD_BLOCK_MAX_BYTES && head->bytes % 8 == 0;
}

gboolean
owd_block_sum_fits (const OwdBlockHead *head, guint64 seed)
{
  return head->checksum == block_sum (head, seed);
}

/* Words of an EXT item with this mask, itself included; a bit that we do not know counts as none. */
static guint
ext_words (guint32 mask)
{
  return 1 + (guint) __builtin_popcount (mask & OWD_EXT_KNOWN) + (guint) __builtin_popcount (mask & OWD_EXT_ADDRESSES);
}

gboolean
owd_block_items_fit (const OwdBlockHead *head, guint32 *ret_states, guint *ret_n)
{
  const guint8 *p = (const guint8 *) (head + 1), *end = (const guint8 *) head + head->bytes;
  guint32 items = 0, n_states = 0, n_shapes = 0;
  gboolean under_header = FALSE;

  for (; p < end; items++) {
    gsize bytes = p[1] * (gsize) 8;
    guint16 index, shape;
    guint32 mask;

    if (bytes == 0 || bytes > (gsize) (end - p))
      return FALSE;
    memcpy (&index, p + offsetof (OwdStoredState, index), sizeof index);
    switch (p[0]) {
    case OWD_STORED_STATE:
      if (bytes < sizeof (OwdStoredState) || index != n_states)
        return FALSE;
      ret_states[n_states++] = (guint32) (p - (const guint8 *) head);
      break;
    case OWD_STORED_HEADER:
      if (bytes < sizeof (OwdStoredHeader) || index >= n_states)
        return FALSE;
      under_header = TRUE;
      break;
    case OWD_STORED_FLOW4:
      if (bytes < sizeof (OwdStoredFlow4) || !under_header)
        return FALSE;
      break;
    case OWD_STORED_FLOW6:
      if (bytes < sizeof (OwdStoredFlow6) || !under_header)
        return FALSE;
      break;
    case OWD_STORED_SHAPE:
      if (bytes < sizeof (OwdStoredShape) || index != n_shapes)
        return FALSE;
      n_shapes++;
      break;
    case OWD_STORED_BRIEF4:
    case OWD_STORED_BRIEF6:
      if (bytes < (p[0] == OWD_STORED_BRIEF4 ? sizeof (OwdStoredBrief4) : sizeof (OwdStoredBrief6)) || !under_header)
        return FALSE;
      memcpy (&shape, p + offsetof (OwdStoredBrief, shape), sizeof shape);
      if (shape >= n_shapes)
        return FALSE;
      break;
    case OWD_STORED_BRIEF_HEADER:
      if (bytes < sizeof (OwdStoredBriefHeader) || index >= n_states)
        return FALSE;
      under_header = TRUE;
      break;
    case OWD_STORED_EXT:
      memcpy (&mask, p + offsetof (OwdStoredExt, mask), sizeof mask);
      if (p[1] < ext_words (mask))
        return FALSE;
      break;
    default:
      break;
    }
    p += bytes;
  }
  *ret_n = n_states;
  return items == head->items;
}
