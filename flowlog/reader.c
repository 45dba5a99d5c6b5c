/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocks out of files, while they are being written, cut and removed by another process.
 *
 * pread into a buffer of our own, never a mapping: a file that is cut under a mapping kills its reader. What is in the
 * buffer is believed only as far as checksums go.
 *
 * Is there something whole at position p of the segment?
 *
 *   nothing, or too little   END for now, unless a later segment exists: then this file will not grow any more
 *   a whole block            OK
 *   anything else            damage, after a second look at the file (a writer may just have cut a refused block and
 *                            written another). The next whole block is searched for in steps of 8 bytes: magic, its
 *                            own offset and the checksum have to fit. If there is none yet, the damage is reported
 *                            once, the reader stays at p, and looks again when the file has grown.
 *
 * "Too little" may be damage too, where the length is what was damaged: a whole block further on gives it away.
 *
 * From one segment to the next: names tell the order, the header's previous_end tells whether the two were neighbours.
 * A gap that an unclean end left is passed in silence; a missing segment in between is OWD_STATUS_GAP. A segment that
 * retention removes while a reader has it open is read to its end.
 */
#include "dir.h"
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES ((gsize) 512 << 10)
/* Without inotify (the kernel's limit on instances is reached): how long one sleep may be. */
#define BLIND_WAIT_MS 200
#define FIRST_SLOTS 64 /* for exporter states */
#define AHEAD 512      /* bytes: readers of many partitions take turns, and a block has left the near cache meanwhile */

/* odd, and without a pattern: fractional parts of roots */
#define KEY_MIX_A G_GUINT64_CONSTANT (0x9e3779b97f4a7c15)
#define KEY_MIX_B G_GUINT64_CONSTANT (0xbb67ae8584caa73b)

struct OwdLogReader {
  char *dir; /* of the partition */
  OwdLogMeta meta;
  guint partition;
  guint64 seed;

  int fd;            /* open segment; -1: none */
  guint64 base;      /* of the open segment */
  guint64 pos;       /* stream offset of the next block */
  guint64 delivered; /* behind the last block that was returned */

  guint8 *buf; /* bytes of the open segment from stream offset buf_at */
  gsize cap, len;
  guint64 buf_at;
  guint64 eof; /* stream offset of the end of the file, when it was last met */

  gboolean reported; /* damage at pos has been told */
  guint64 searched;  /* no whole block begins in [pos, searched) */

  GArray *keys;        /* of OwdStateKey, by dense number */
  guint32 *slots;      /* open addressing: number plus 1 by the key's hash; 0: free */
  guint n_slots;       /* a power of two, more than twice as many as keys */
  guint32 *states;     /* where they stand in the block, by its own index, n_states of them */
  guint32 *dictionary; /* number, by the same index */
  guint n_states;
  GArray *shapes;      /* of const OwdStoredShape *, in the block, by index */
  OwdStampBases bases; /* of the last header */

  int inotify; /* -1: not made yet, or refused */
};

/* ---- window on the file ------------------------------------------------------------------------ */

static void
forget_window (OwdLogReader *self)
{
  self->len = 0;
}

static void
grow (OwdLogReader *self, gsize need)
{
  gsize cap = MAX (need, READ_BYTES);

  if (cap <= self->cap)
    return;
  self->buf = g_realloc (self->buf, cap);
  self->cap = cap;
}

/* Brings `need` bytes from stream offset `at` to the buffer, where the file has them. Returns: where they are;
 * ret_have: how many there are, at least `need` unless the file ends. NULL: error set. */
static const guint8 *
window (OwdLogReader *self, guint64 at, gsize need, gsize *ret_have, GError **error)
{
  gsize have = 0, done;
  int saved;

  if (at >= self->buf_at && at < self->buf_at + self->len)
    have = (gsize) (self->buf_at + self->len - at);
  if (have < need) {
    if (have > 0)
      memmove (self->buf, self->buf + (at - self->buf_at), have);
    self->buf_at = at;
    self->len = have;
    grow (self, need);
    saved = owd_log_pread_all (self->fd, self->buf + have, self->cap - have, at + have - self->base, &done);
    if (saved != 0) {
      g_autofree char *path = owd_log_segment_path (self->dir, self->base);

      owd_log_set_errno (error, saved, "cannot read", path);
      return NULL;
    }
    self->len = have += done;
    if (self->len < self->cap)
      self->eof = at + have;
  }
  *ret_have = have;
  return self->buf + (at - self->buf_at);
}

typedef enum { FOUND, TOO_LITTLE, NO_BLOCK, FAILED } Look;

/* What is at `at`? FOUND: *ret_head whole, checksum and contents fit. */
static Look
look (OwdLogReader *self, guint64 at, const OwdBlockHead **ret_head, GError **error)
{
  gsize have;
  const guint8 *p = window (self, at, sizeof (OwdBlockHead), &have, error);
  const OwdBlockHead *head = (const OwdBlockHead *) p;
  gsize bytes;

  if (p == NULL)
    return FAILED;
  if (have < sizeof *head)
    return TOO_LITTLE;
  if (!owd_block_head_plausible (head, at))
    return NO_BLOCK;
  bytes = head->bytes;
  if ((p = window (self, at, bytes, &have, error)) == NULL)
    return FAILED;
  if (have < bytes)
    return TOO_LITTLE;
  head = (const OwdBlockHead *) p;
  if (!owd_block_sum_fits (head, self->seed) || !owd_block_items_fit (head, self->states, &self->n_states))
    return NO_BLOCK;
  *ret_head = head;
  return FOUND;
}

/* First whole block at `from` or behind it. FOUND: *ret_at says where. Else *ret_at says where to search on when the
 * file has grown. */
static Look
search (OwdLogReader *self, guint64 from, guint64 *ret_at, GError **error)
{
  static const guint32 magic = OWD_BLOCK_MAGIC;
  guint64 at = from, unsure = G_MAXUINT64;
  const OwdBlockHead *head;
  const guint8 *p;
  gsize have;

  for (;;) {
    if ((p = window (self, at, sizeof *head, &have, error)) == NULL)
      return FAILED;
    if (have < sizeof *head) {
      *ret_at = MIN (at, unsure);
      return NO_BLOCK;
    }
    for (; have >= sizeof *head && memcmp (p, &magic, sizeof magic) != 0; have -= 8, p += 8)
      at += 8;
    if (have < sizeof *head)
      continue;
    switch (look (self, at, &head, error)) {
    case FOUND:
      *ret_at = at;
      return FOUND;
    case FAILED:
      return FAILED;
    case TOO_LITTLE:
      unsure = MIN (unsure, at);
      break;
    case NO_BLOCK:
      break;
    }
    at += 8;
  }
}

/* ---- segments ---------------------------------------------------------------------------------- */

static void
leave (OwdLogReader *self)
{
  if (self->fd >= 0)
    close (self->fd);
  self->fd = -1;
  forget_window (self);
}

/* Sets error; the status that owd_log_reader_next() returns with it. */
static OwdStatus G_GNUC_PRINTF (5, 6)
    refuse (OwdLogReader *self, guint64 base, OwdStatus status, GError **error, const char *format, ...)
{
  g_autofree char *path = owd_log_segment_path (self->dir, base);
  g_autofree char *what = NULL;
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, OWD_ERROR, OWD_ERROR_CORRUPT, "%s: %s", path, what);
  return status;
}

static OwdStatus
damage (OwdLogReader *self, guint64 from, guint64 to, const char *what, GError **error)
{
  return refuse (self, self->base, OWD_STATUS_CHECKSUM, error,
                 "damaged at byte %" G_GUINT64_FORMAT " (offset %" G_GUINT64_FORMAT "): %" G_GUINT64_FORMAT
                 " bytes left out, %s",
                 from - self->base, from, to - from, what);
}

/* OWD_STATUS_OK, _CHECKSUM (no header that can be believed), or a final status with error. */
static OwdStatus
check_header (OwdLogReader *self, guint64 base, const OwdSegmentHeader *header, GError **error)
{
  OwdStatus status = owd_segment_header_check (header);

  if (status == OWD_STATUS_VERSION)
    return refuse (self, base, status, error, "segment format %u, this program knows %u: use a newer program",
                   header->version, OWD_SEGMENT_VERSION);
  if (status != OWD_STATUS_OK)
    return status;
  if (memcmp (header->uuid, self->meta.uuid, sizeof header->uuid) != 0)
    return refuse (self, base, OWD_STATUS_MALFORMED, error, "segment of another log: move it away");
  if (header->base != base || header->partition != self->partition)
    return refuse (self, base, OWD_STATUS_MALFORMED, error,
                   "segment of partition %u, offset %" G_GUINT64_FORMAT ": renamed or moved here by mistake",
                   header->partition, header->base);
  return OWD_STATUS_OK;
}

/* Opens a segment and reads its header.
 *   OWD_STATUS_OK        ret_fd, ret_header
 *   OWD_STATUS_CHECKSUM  ret_fd; the header is damaged, error is not set
 *   OWD_STATUS_END       not written yet
 *   OWD_STATUS_LATE      gone meanwhile
 *   negative             final, error set */
static OwdStatus
open_segment (OwdLogReader *self, guint64 base, OwdSegmentHeader *ret_header, int *ret_fd, GError **error)
{
  g_autofree char *path = owd_log_segment_path (self->dir, base);
  int saved = 0, fd = open (path, O_RDONLY | O_CLOEXEC);
  OwdStatus status = OWD_STATUS_END;
  gsize done = 0;

  if (fd < 0 && errno == ENOENT)
    return OWD_STATUS_LATE;
  if (fd < 0)
    saved = errno;
  else
    saved = owd_log_pread_all (fd, ret_header, sizeof *ret_header, 0, &done);
  if (saved != 0) {
    owd_log_set_errno (error, saved, "cannot read", path);
    status = OWD_STATUS_MALFORMED;
  } else if (done == sizeof *ret_header) {
    status = check_header (self, base, ret_header, error);
  }
  if (status == OWD_STATUS_OK || status == OWD_STATUS_CHECKSUM)
    *ret_fd = fd;
  else if (fd >= 0)
    close (fd);
  return status;
}

/* Moves to the segment at base. Everything up to `known` has been read or is known to be void.
 * OWD_STATUS_OK, _END (try later), _LATE (gone), _GAP or _CHECKSUM (moved, and this is to be told), or final. */
static OwdStatus
enter (OwdLogReader *self, guint64 base, guint64 known, GError **error)
{
  g_autofree OwdSegmentHeader *header = g_new (OwdSegmentHeader, 1);
  guint64 body = base + OWD_SEGMENT_HEADER_BYTES;
  int fd;
  OwdStatus status = open_segment (self, base, header, &fd, error);

  if (status != OWD_STATUS_OK && status != OWD_STATUS_CHECKSUM)
    return status;
  leave (self);
  self->fd = fd;
  self->base = base;
  self->reported = FALSE;
  self->pos = self->searched = MAX (self->pos, body);
  if (status == OWD_STATUS_CHECKSUM)
    return damage (self, base, body, "the segment's header cannot be read", error);
  return known < base && known < header->previous_end ? OWD_STATUS_GAP : OWD_STATUS_OK;
}

static guint64
file_end (const OwdLogReader *self)
{
  struct stat st;

  return self->base + (fstat (self->fd, &st) == 0 ? (guint64) st.st_size : 0);
}

/* First segment for a reader that stands at pos: the one that has it, else the next one. OWD_STATUS_LATE: it was
 * removed under our eyes, the names have to be looked at again. */
static OwdStatus
enter_first (OwdLogReader *self, GError **error)
{
  g_autoptr (GArray) bases = owd_log_list_segments (self->dir, error);
  guint i;

  if (bases == NULL)
    return OWD_STATUS_MALFORMED;
  for (i = bases->len; i > 0 && g_array_index (bases, guint64, i - 1) > self->pos; i--)
    ;
  if (i > 0)
    i--;
  if (bases->len == 0)
    return OWD_STATUS_END;
  return enter (self, g_array_index (bases, guint64, i), self->pos, error);
}

/* Nothing more at pos for now: is there a later segment? OWD_STATUS_OK: look again; _LATE: as enter_first(). */
static OwdStatus
go_on (OwdLogReader *self, GError **error)
{
  g_autoptr (GArray) bases = owd_log_list_segments (self->dir, error);
  guint64 end;
  guint i = 0;

  if (bases == NULL)
    return OWD_STATUS_MALFORMED;
  while (i < bases->len && g_array_index (bases, guint64, i) <= self->base)
    i++;
  if (i == bases->len)
    return OWD_STATUS_END;
  end = file_end (self); /* after the listing: with a successor there, this is final */
  if (end > self->eof)
    return OWD_STATUS_OK;
  if (end > self->pos && !self->reported) {
    self->reported = TRUE;
    return damage (self, self->pos, end, "going on with the next segment", error);
  }
  return enter (self, g_array_index (bases, guint64, i), MAX (self->pos, end), error);
}

/* ---- states ------------------------------------------------------------------------------------ */

static const OwdStateKey *
key_at (const OwdLogReader *self, guint32 number)
{
  return &g_array_index (self->keys, OwdStateKey, number);
}

/* In line, since blocks of a log of many exporters name a state for every second or third record. */
G_STATIC_ASSERT (sizeof (OwdStateKey) == 3 * sizeof (guint64));

static inline guint
hash_of (const OwdStateKey *key)
{
  const guint8 *p = (const guint8 *) key;
  unsigned __int128 product = (unsigned __int128) (owd_word (p) ^ owd_word (p + 16) ^ KEY_MIX_A)
                              * (owd_word (p + 8) ^ __builtin_bswap64 (owd_word (p + 16)) ^ KEY_MIX_B);
  guint64 sum = (guint64) product ^ (guint64) (product >> 64);

  return (guint) (sum ^ sum >> 32);
}

static inline gboolean
is_same (const OwdStateKey *a, const OwdStateKey *b)
{
  const guint8 *x = (const guint8 *) a, *y = (const guint8 *) b;

  return ((owd_word (x) ^ owd_word (y)) | (owd_word (x + 8) ^ owd_word (y + 8))
          | (owd_word (x + 16) ^ owd_word (y + 16)))
         == 0;
}

/* Where the key's number stands, or belongs. */
static guint32 *
find_slot (const OwdLogReader *self, const OwdStateKey *key)
{
  guint i = hash_of (key) & (self->n_slots - 1);

  while (self->slots[i] != 0 && !is_same (key_at (self, self->slots[i] - 1), key))
    i = (i + 1) & (self->n_slots - 1);
  return &self->slots[i];
}

static void
grow_slots (OwdLogReader *self)
{
  self->n_slots *= 2;
  g_free (self->slots);
  self->slots = g_new0 (guint32, self->n_slots);
  for (guint32 i = 0; i < self->keys->len; i++)
    *find_slot (self, key_at (self, i)) = i + 1;
}

static guint32
number_of (OwdLogReader *self, const OwdStateKey *key)
{
  guint32 *slot = find_slot (self, key);

  if (*slot != 0)
    return *slot - 1;
  g_array_append_val (self->keys, *key);
  *slot = self->keys->len;
  if (2 * self->keys->len >= self->n_slots)
    grow_slots (self);
  return self->keys->len - 1;
}

/* Every block names its states anew, most of them in front of their first record. All are looked up at once: with many
 * exporters each look-up waits for memory, and here several of them wait together. */
static void
learn_states (OwdLogReader *self, const OwdBlockHead *head)
{
  for (guint i = 0; i < self->n_states; i++) {
    const OwdStoredState *s = (const OwdStoredState *) ((const guint8 *) head + self->states[i]);
    OwdStateKey key = { .domain = s->domain, .version = s->version };

    memcpy (key.addr.b, s->addr, sizeof key.addr.b);
    self->dictionary[i] = number_of (self, &key);
  }
}

/* ---- blocks ------------------------------------------------------------------------------------ */

static OwdStatus
deliver (OwdLogReader *self, const OwdBlockHead *head, OwdLogBlock *ret_block)
{
  *ret_block = (OwdLogBlock){ .offset = self->pos,
                              .next = self->pos + head->bytes,
                              .time = head->time,
                              .items = head->items,
                              .p = (const guint8 *) (head + 1),
                              .end = (const guint8 *) head + head->bytes,
                              .reader = self };
  self->pos = self->searched = self->delivered = ret_block->next;
  self->reported = FALSE;
  g_array_set_size (self->shapes, 0);
  learn_states (self, head);
  return OWD_STATUS_OK;
}

/* At pos there is no block, or not all of it. */
static OwdStatus
take_damaged (OwdLogReader *self, Look seen, GError **error)
{
  guint64 from = self->pos, at;
  gboolean told = self->reported;
  Look found = search (self, MAX (self->searched, self->pos + 8), &at, error);

  if (found == FAILED)
    return OWD_STATUS_MALFORMED;
  if (found != FOUND) {
    self->searched = at;
    if (seen == TOO_LITTLE || told)
      return OWD_STATUS_END;
    self->reported = TRUE;
    return damage (self, from, self->eof, "no whole block behind it yet", error);
  }
  self->pos = self->searched = at;
  self->reported = FALSE;
  return told ? OWD_STATUS_OK : damage (self, from, at, "going on with the next whole block", error);
}

/* The block at pos. OWD_STATUS_END: not yet. */
static OwdStatus
take (OwdLogReader *self, OwdLogBlock *ret_block, GError **error)
{
  const OwdBlockHead *head;
  OwdStatus status;
  Look seen;

  do {
    seen = look (self, self->pos, &head, error);
    if (seen == NO_BLOCK || seen == TOO_LITTLE) {
      forget_window (self); /* a second look at the file itself */
      seen = look (self, self->pos, &head, error);
    }
    if (seen == FOUND)
      return deliver (self, head, ret_block);
    if (seen == FAILED)
      return OWD_STATUS_MALFORMED;
    if (self->eof <= self->pos)
      return OWD_STATUS_END;
    status = take_damaged (self, seen, error);
  } while (status == OWD_STATUS_OK);
  return status;
}

/* A step that was overtaken by retention is taken anew. */
static OwdStatus
settle (OwdLogReader *self, OwdStatus (*step) (OwdLogReader *, GError **), GError **error)
{
  OwdStatus status;

  do
    status = step (self, error);
  while (status == OWD_STATUS_LATE);
  return status;
}

OwdStatus
owd_log_reader_next (OwdLogReader *self, OwdLogBlock *ret_block, GError **error)
{
  OwdStatus status = OWD_STATUS_OK;

  do {
    if (self->fd < 0)
      status = settle (self, enter_first, error);
    if (status != OWD_STATUS_OK)
      return status;
    status = take (self, ret_block, error);
    if (status != OWD_STATUS_END)
      return status;
    status = settle (self, go_on, error);
  } while (status == OWD_STATUS_OK);
  return status;
}

/* ---- items ------------------------------------------------------------------------------------- */

static const OwdStateKey *
key_of (const OwdLogReader *self, guint16 index, guint32 *ret_state)
{
  *ret_state = self->dictionary[index];
  return key_at (self, *ret_state);
}

static void
get_brief_header (OwdLogReader *self, const guint8 *p, OwdHeader *ret_header)
{
  const OwdStoredBriefHeader *s = (const OwdStoredBriefHeader *) p;
  guint32 state;
  const OwdStateKey *key = key_of (self, s->index, &state);

  *ret_header = (OwdHeader){ .key = *key,
                             .recv_ns = s->recv_ns,
                             .export_s = s->export_s,
                             .export_frac_ns = s->export_frac_ns,
                             .uptime_ms = s->uptime_ms,
                             .seq = s->seq,
                             .port = s->port,
                             .flags = s->flags,
                             .state = state };
}

static void
get_header (OwdLogReader *self, const guint8 *p, OwdHeader *ret_header)
{
  const OwdStoredHeader *s = (const OwdStoredHeader *) p;
  guint32 state;
  const OwdStateKey *key = key_of (self, s->index, &state);

  *ret_header = (OwdHeader){ .key = *key,
                             .recv_ns = s->recv_ns,
                             .init_ms = s->init_ms,
                             .export_s = s->export_s,
                             .export_frac_ns = s->export_frac_ns,
                             .uptime_ms = s->uptime_ms,
                             .seq = s->seq,
                             .port = s->port,
                             .flags = s->flags,
                             .state = state };
}

static inline guint64
get_word (const guint64 **words, guint32 mask, guint32 bit)
{
  return mask & bit ? *(*words)++ : 0;
}

static void
get_address (const guint64 **words, guint32 mask, guint32 bit, OwdAddr *ret_addr)
{
  if (!(mask & bit))
    return;
  memcpy (ret_addr->b, *words, sizeof ret_addr->b);
  *words += 2;
}

static void
get_ext (const guint8 *p, OwdFlow *f)
{
  const OwdStoredExt *s = (const OwdStoredExt *) p;
  const guint64 *w = (const guint64 *) (s + 1);
  guint32 mask = s->mask;
  guint64 ports;

  f->tos = s->tos;
  f->vlan = (guint32) get_word (&w, mask, OWD_EXT_VLAN);
  f->vrf = (guint32) get_word (&w, mask, OWD_EXT_VRF);
  f->mpls = (guint32) get_word (&w, mask, OWD_EXT_MPLS);
  f->line_card = (guint32) get_word (&w, mask, OWD_EXT_LINE_CARD);
  f->obs_point = get_word (&w, mask, OWD_EXT_OBS_POINT);
  f->init_ms = (gint64) get_word (&w, mask, OWD_EXT_INIT_MS);
  get_address (&w, mask, OWD_EXT_POST_SRC, &f->post_src);
  get_address (&w, mask, OWD_EXT_POST_DST, &f->post_dst);
  ports = get_word (&w, mask, OWD_EXT_POST_PORTS);
  f->post_sport = (guint16) ports;
  f->post_dport = (guint16) (ports >> 16);
  f->delay_mean_us = (guint32) get_word (&w, mask, OWD_EXT_DELAY_MEAN);
  f->delay_min_us = (guint32) get_word (&w, mask, OWD_EXT_DELAY_MIN);
  f->delay_max_us = (guint32) get_word (&w, mask, OWD_EXT_DELAY_MAX);
  f->delay_sum_us = get_word (&w, mask, OWD_EXT_DELAY_SUM);
}

/* In two pieces: of one that is longer compilers make a slow loop (rep stos). */
static inline void
clear_rare (OwdFlow *f)
{
  enum { FROM = offsetof (OwdFlow, tos), PIECE = 64 };

  memset ((guint8 *) f + FROM, 0, PIECE);
  memset ((guint8 *) f + FROM + PIECE, 0, sizeof *f - FROM - PIECE);
}

/* These two: all but the addresses; rare fields become zero. */
static inline void
get_brief (const OwdLogReader *self, const OwdStoredBrief *s, OwdFlow *f)
{
  const OwdStoredShape *shape = g_array_index (self->shapes, const OwdStoredShape *, s->shape);
  guint64 first = owd_word (s), second = owd_word (&s->tcp_flags), kinds = owd_word (&shape->start_kind);

  owd_put_word ((guint8 *) f + OWD_FLOW_STORED_AT, first & ~G_GUINT64_CONSTANT (0xffff));
  owd_put_word ((guint8 *) f + OWD_FLOW_STORED_AT + 8, (second & ~OWD_BRIEF_SHAPE_BITS) | kinds << 32 >> 16);
  owd_put_word (&f->in_if, owd_word (&s->in_if));
  f->packets = s->packets;
  f->octets = s->octets;
  f->start_raw = s->start + owd_stamp_base (&self->bases, shape->start_kind);
  f->end_raw = s->end + owd_stamp_base (&self->bases, shape->end_kind);
  owd_put_word (&f->flags, owd_word (&shape->flags));
  clear_rare (f);
}

static inline void
get_flow (const OwdStoredFlow *s, OwdFlow *f)
{
  memcpy ((guint8 *) f + OWD_FLOW_STORED_AT, s, sizeof *s);
  memset (f->reserved, 0, sizeof f->reserved);
  clear_rare (f);
}

static inline void
get_v4 (const guint8 v4[4], OwdAddr *ret_addr)
{
  static const guint8 prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

  memcpy (ret_addr->b, prefix, sizeof prefix);
  memcpy (ret_addr->b + sizeof prefix, v4, 4);
}

/* Behind a flow: its rare fields, where they are. Returns: where the next item begins. */
static inline const guint8 *
take_ext (const guint8 *p, const guint8 *end, OwdFlow *f)
{
  if (G_LIKELY (!(f->flags & OWD_FLOW_EXT)) || p == end || p[0] != OWD_STORED_EXT)
    return p;
  get_ext (p, f);
  return p + p[1] * (gsize) 8;
}

/* owd_block_items_fit() has been here before: lengths and indices are right. */
gboolean
owd_log_block_next (OwdLogBlock *block, OwdItemType *ret_type, OwdHeader *header, OwdFlow *flow)
{
  while (block->p < block->end) {
    const guint8 *p = block->p;

    __builtin_prefetch (p + AHEAD);
    block->p += p[1] * (gsize) 8;
    switch (p[0]) {
    case OWD_STORED_BRIEF4: {
      const OwdStoredBrief4 *s = (const OwdStoredBrief4 *) p;

      get_brief (block->reader, &s->flow, flow);
      get_v4 (s->src, &flow->src);
      get_v4 (s->dst, &flow->dst);
      block->p = take_ext (block->p, block->end, flow);
      *ret_type = OWD_ITEM_FLOW;
      return TRUE;
    }
    case OWD_STORED_BRIEF6: {
      const OwdStoredBrief6 *s = (const OwdStoredBrief6 *) p;

      get_brief (block->reader, &s->flow, flow);
      memcpy (flow->src.b, s->src, sizeof s->src);
      memcpy (flow->dst.b, s->dst, sizeof s->dst);
      block->p = take_ext (block->p, block->end, flow);
      *ret_type = OWD_ITEM_FLOW;
      return TRUE;
    }
    case OWD_STORED_FLOW4: {
      const OwdStoredFlow4 *s = (const OwdStoredFlow4 *) p;

      get_flow (&s->flow, flow);
      get_v4 (s->src, &flow->src);
      get_v4 (s->dst, &flow->dst);
      block->p = take_ext (block->p, block->end, flow);
      *ret_type = OWD_ITEM_FLOW;
      return TRUE;
    }
    case OWD_STORED_FLOW6: {
      const OwdStoredFlow6 *s = (const OwdStoredFlow6 *) p;

      get_flow (&s->flow, flow);
      memcpy (flow->src.b, s->src, sizeof s->src);
      memcpy (flow->dst.b, s->dst, sizeof s->dst);
      block->p = take_ext (block->p, block->end, flow);
      *ret_type = OWD_ITEM_FLOW;
      return TRUE;
    }
    case OWD_STORED_HEADER:
      get_header (block->reader, p, header);
      owd_stamp_bases_set (&block->reader->bases, header->export_s);
      *ret_type = OWD_ITEM_HEADER;
      return TRUE;
    case OWD_STORED_BRIEF_HEADER:
      get_brief_header (block->reader, p, header);
      owd_stamp_bases_set (&block->reader->bases, header->export_s);
      *ret_type = OWD_ITEM_HEADER;
      return TRUE;
    case OWD_STORED_SHAPE:
      g_array_append_val (block->reader->shapes, p);
      break;
    default: /* states are known */
      break;
    }
  }
  return FALSE;
}

/* ---- open, wait, close ------------------------------------------------------------------------- */

gboolean
owd_log_info (const char *dir, OwdLogInfo *ret_info, GError **error)
{
  OwdLogMeta meta;

  if (!owd_log_meta_read (dir, &meta, error))
    return FALSE;
  ret_info->partitions = meta.partitions;
  g_strlcpy (ret_info->uuid, meta.uuid_text, sizeof ret_info->uuid);
  return TRUE;
}

OwdLogReader *
owd_log_reader_open (const char *dir, guint partition, guint64 offset, GError **error)
{
  g_autoptr (OwdLogReader) self = g_new0 (OwdLogReader, 1);

  self->fd = self->inotify = -1;
  if (!owd_log_meta_read (dir, &self->meta, error))
    return NULL;
  if (partition >= self->meta.partitions || offset % 8 != 0) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_FAILED,
                 "%s: cannot read partition %u from offset %" G_GUINT64_FORMAT
                 ": the log has %u partitions, and offsets are multiples of 8",
                 dir, partition, offset, self->meta.partitions);
    return NULL;
  }
  self->dir = owd_log_partition_path (dir, partition);
  self->partition = partition;
  self->seed = owd_segment_seed (self->meta.uuid);
  self->pos = self->searched = self->delivered = offset;
  self->keys = g_array_new (FALSE, FALSE, sizeof (OwdStateKey));
  self->n_slots = FIRST_SLOTS;
  self->slots = g_new0 (guint32, self->n_slots);
  self->dictionary = g_new (guint32, OWD_BLOCK_STATES);
  self->states = g_new (guint32, OWD_BLOCK_STATES);
  self->shapes = g_array_new (FALSE, FALSE, sizeof (const OwdStoredShape *));
  if (!g_file_test (self->dir, G_FILE_TEST_IS_DIR)) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "%s: the partition's directory is missing", self->dir);
    return NULL;
  }
  return g_steal_pointer (&self);
}

/* Made late, because many readers never wait and instances are scarce (fs.inotify). What came before the watch cannot
 * be told, so the descriptor begins readable: a watch that is removed leaves an event. */
static void
make_inotify (OwdLogReader *self)
{
  int watch;

  if (self->inotify >= 0)
    return;
  self->inotify = inotify_init1 (IN_NONBLOCK | IN_CLOEXEC);
  watch = inotify_add_watch (self->inotify, self->dir, IN_MODIFY);
  if (watch >= 0 && inotify_rm_watch (self->inotify, watch) == 0
      && inotify_add_watch (self->inotify, self->dir, IN_MODIFY | IN_CREATE) >= 0)
    return;
  if (self->inotify >= 0)
    close (self->inotify);
  self->inotify = -1;
}

static gboolean
drain (OwdLogReader *self)
{
  char events[4096] __attribute__ ((aligned (8)));
  gboolean some = FALSE;

  while (read (self->inotify, events, sizeof events) > 0)
    some = TRUE;
  return some;
}

gboolean
owd_log_reader_wait (OwdLogReader *self, int timeout_ms)
{
  struct pollfd pfd = { .events = POLLIN };

  make_inotify (self);
  if (self->inotify < 0) {
    (void) poll (NULL, 0, timeout_ms < 0 ? BLIND_WAIT_MS : MIN (timeout_ms, BLIND_WAIT_MS));
    return TRUE;
  }
  pfd.fd = self->inotify;
  return poll (&pfd, 1, timeout_ms) > 0 && drain (self);
}

int
owd_log_reader_fd (OwdLogReader *self)
{
  make_inotify (self);
  return self->inotify;
}

guint64
owd_log_reader_offset (const OwdLogReader *self)
{
  return self->delivered;
}

guint64
owd_log_reader_behind (OwdLogReader *self)
{
  g_autoptr (GArray) bases = owd_log_list_segments (self->dir, NULL);
  guint64 sum = 0;

  for (guint i = 0; bases != NULL && i < bases->len; i++) {
    guint64 base = g_array_index (bases, guint64, i);
    g_autofree char *path = owd_log_segment_path (self->dir, base);
    guint64 begin = MAX (base + OWD_SEGMENT_HEADER_BYTES, self->pos);
    struct stat st;

    if (stat (path, &st) == 0 && base + (guint64) st.st_size > begin)
      sum += base + (guint64) st.st_size - begin;
  }
  return sum;
}

void
owd_log_reader_free (OwdLogReader *self)
{
  if (self == NULL)
    return;
  leave (self);
  if (self->inotify >= 0)
    close (self->inotify);
  g_clear_pointer (&self->keys, g_array_unref);
  g_free (self->slots);
  g_free (self->dictionary);
  g_free (self->states);
  g_clear_pointer (&self->shapes, g_array_unref);
  g_free (self->buf);
  g_free (self->dir);
  g_free (self);
}
