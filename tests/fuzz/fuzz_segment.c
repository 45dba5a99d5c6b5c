/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes as a segment, through a reader. The first byte says what the others are:
 *
 *   bit 0   the contents of one block, which gets a head with a fitting checksum; else blocks with their heads
 *   bit 1   they begin with the segment's header; else that is made for them
 */
#include "fuzz.h"
#include "segment.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define META "[log]\nformat=1\npartitions=1\nuuid=6f776474-6573-4465-ad6c-6f6700000001\n"
#define RAW_CONTENTS 1
#define RAW_HEADER 2

static const guint8 UUID[16]
    = { 0x6f, 0x77, 0x64, 0x74, 0x65, 0x73, 0x44, 0x65, 0xad, 0x6c, 0x6f, 0x67, 0x00, 0x00, 0x00, 0x01 };
static char *dir;

static void
remove_dir (void)
{
  for (const char *const *name = (const char *const[]){ "p000/00000000000000000000.seg", "p000", "log.meta", "", NULL };
       *name != NULL; name++) {
    g_autofree char *path = g_build_filename (dir, *name, NULL);

    (void) g_remove (path);
  }
  g_free (dir);
}

static void
make_dir (void)
{
  g_autofree char *meta = NULL, *sub = NULL;

  if (dir != NULL)
    return;
  dir = g_dir_make_tmp ("oneway-fuzz-XXXXXX", NULL);
  g_assert_nonnull (dir);
  meta = g_build_filename (dir, "log.meta", NULL);
  sub = g_build_filename (dir, "p000", NULL);
  g_assert_true (g_file_set_contents (meta, META, -1, NULL));
  g_assert_cmpint (g_mkdir (sub, 0700), ==, 0);
  atexit (remove_dir);
}

static void
add_header (GByteArray *segment)
{
  OwdSegmentHeader header = { .partitions = 1 };

  memcpy (header.uuid, UUID, sizeof header.uuid);
  owd_segment_header_seal (&header);
  g_byte_array_append (segment, (const guint8 *) &header, sizeof header);
}

static guint32
count_items (const guint8 *p, gsize len)
{
  guint32 n = 0;

  for (gsize at = 0; at + 1 < len; n++)
    at += MAX (p[at + 1], 1) * (gsize) 8;
  return n;
}

static void
add_block (GByteArray *segment, const guint8 *data, gsize size)
{
  gsize len = MIN (size & ~(gsize) 7, OWD_BLOCK_MAX_BYTES - sizeof (OwdBlockHead));
  g_autofree guint8 *block = g_malloc (sizeof (OwdBlockHead) + len);
  OwdBlockHead *head = (OwdBlockHead *) block;

  memcpy (block + sizeof *head, data, len);
  *head = (OwdBlockHead){ .magic = OWD_BLOCK_MAGIC,
                          .bytes = (guint32) (sizeof *head + len),
                          .items = count_items (data, len),
                          .offset = segment->len };
  owd_block_seal (head, owd_segment_seed (UUID));
  g_byte_array_append (segment, block, head->bytes);
}

static void
read_all (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (OwdLogReader) r = owd_log_reader_open (dir, 0, 0, &error);
  OwdHeader header;
  OwdItemType type;
  OwdLogBlock b;
  OwdStatus status;
  OwdFlow flow;

  g_assert_no_error (error);
  while ((status = owd_log_reader_next (r, &b, &error)) != OWD_STATUS_END) {
    g_assert_true ((status < 0) == (error != NULL));
    g_clear_error (&error);
    if (status < 0 && status != OWD_STATUS_CHECKSUM)
      return;
    while (status == OWD_STATUS_OK && owd_log_block_next (&b, &type, &header, &flow))
      if (type == OWD_ITEM_FLOW)
        (void) owd_flow_hash (&flow);
  }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GByteArray) segment = g_byte_array_new ();
  g_autofree char *path = NULL;
  guint8 mode;

  if (size == 0)
    return 0;
  mode = *data++;
  size--;
  make_dir ();
  path = g_build_filename (dir, "p000", "00000000000000000000.seg", NULL);
  if (!(mode & RAW_HEADER))
    add_header (segment);
  if (mode & RAW_CONTENTS)
    add_block (segment, data, size);
  else
    g_byte_array_append (segment, data, (guint) size);
  g_assert_true (g_file_set_contents_full (path, (const char *) segment->data, segment->len, G_FILE_SET_CONTENTS_NONE,
                                           0600, NULL));
  read_all ();
  return 0;
}
