/* SPDX-License-Identifier: Apache-2.0
 *
 * Records into blocks. One thread per appender, a block under construction per partition, no lock until a block is
 * written.
 *
 * A block must be readable alone, so it carries a dictionary entry for each exporter state that occurs in it and the
 * header of the datagram in front of the first of its records. Two small numbers decide, record by record, whether
 * that is still to be written: the slot remembers the datagram (serial) whose header it has, and per state and
 * partition we remember the block that has the state's entry. A new block makes both stale by its own number.
 *
 * Room is checked before a record, against the most that one record can need (OWD_RECORD_MAX_BYTES), so that encoding
 * itself checks nothing.
 *
 * Cost: hash of the key, a header per datagram and partition (32 bytes, shared by its records there), 48 or 72 bytes
 * for an ordinary record (IPv4, IPv6).
 */
#include "owd-pages.h"
#include "writer.h"

#include <string.h>

/* A state that is silent in a partition shows itself there at least this often. */
#define HEADER_EVERY_NS (100 * OWD_NS_PER_MS)
/* By so many records for each partition nearly all of them get one: 95 % and more. */
#define EAGER_RECORDS 3
#define MAX_STATES (1u << 20) /* OwdHeader.state is dense: more is a defect of the caller */

/* One exporter state in one partition. */
typedef struct {
  guint64 block;     /* slot's block number that has the dictionary entry; 0: none */
  OwdTime header_ns; /* receive time of the last header written; OWD_TIME_NONE: never */
  guint16 index;     /* in that dictionary */
} Seen;

typedef struct {
  OwdStateKey key;
  OwdTime oldest_ns; /* no partition's header_ns lies before it */
  guint64 records;   /* of its last datagram */
} State;

struct OwdLogAppender {
  OwdLogWriter *writer;
  guint n;             /* partitions */
  gsize room_end;      /* of a fresh block */
  OwdLogSlot *slots;   /* n */
  guint8 *blocks;      /* n, the slots' */
  GArray *states;      /* of State, by OwdHeader.state */
  Seen *seen;          /* n per state, */
  guint room;          /* for so many states */
  OwdHeader header;    /* current datagram */
  OwdStampBases bases; /* of its stamps */
  guint64 serial;      /* of the current datagram, from 1; 0: none yet */
  guint64 shown;       /* of the last one whose header is in any partition */
  guint64 records, dropped;
  guint64 records_before; /* the current datagram */
  gint64 writing_ns, longest_write_ns;
  GError *error; /* first refusal since the last flush or beat */
};

/* ---- blocks ------------------------------------------------------------------------------------ */

static void
reset_slot (OwdLogAppender *self, OwdLogSlot *slot)
{
  slot->len = sizeof (OwdBlockHead);
  slot->room_end = self->room_end;
  slot->items = slot->records = slot->n_states = slot->n_shapes = 0;
  slot->block++;
  slot->header_serial = 0;
}

/* Writes the block of partition i and begins a new one. now: promise, OWD_TIME_NONE for none. */
static OwdStatus
close_block (OwdLogAppender *self, guint i, OwdTime now)
{
  OwdLogSlot *slot = &self->slots[i];
  gint64 before_us = g_get_monotonic_time (), took_ns;
  gboolean ok = owd_log_writer_put (self->writer, i, slot, now, self->error == NULL ? &self->error : NULL);

  took_ns = (g_get_monotonic_time () - before_us) * OWD_NS_PER_US;
  self->writing_ns += took_ns;
  self->longest_write_ns = MAX (self->longest_write_ns, took_ns);
  if (!ok)
    self->dropped += slot->records;
  reset_slot (self, slot);
  return ok ? OWD_STATUS_OK : OWD_STATUS_FULL;
}

static inline OwdStatus
make_room (OwdLogAppender *self, guint i)
{
  if (G_LIKELY (self->slots[i].len <= self->slots[i].room_end))
    return OWD_STATUS_OK;
  return close_block (self, i, OWD_TIME_NONE);
}

/* ---- items ------------------------------------------------------------------------------------- */

static inline void *
add_item (OwdLogSlot *slot, gsize bytes)
{
  void *p = slot->buf + slot->len;

  slot->len += bytes;
  slot->items++;
  return p;
}

static void
put_state (OwdLogSlot *slot, const OwdStateKey *key, Seen *seen)
{
  OwdStoredState *s = add_item (slot, sizeof *s);

  *s = (OwdStoredState){ .type = OWD_STORED_STATE,
                         .words = sizeof *s / 8,
                         .index = (guint16) slot->n_states,
                         .domain = key->domain,
                         .version = key->version };
  memcpy (s->addr, key->addr.b, sizeof s->addr);
  seen->block = slot->block;
  seen->index = s->index;
  if (++slot->n_states > G_MAXUINT16)
    slot->room_end = 0; /* dictionary full: the next record begins a new block */
}

static inline void
put_brief_header (OwdLogSlot *slot, const OwdHeader *h, guint16 index)
{
  OwdStoredBriefHeader *s = add_item (slot, sizeof *s);

  *s = (OwdStoredBriefHeader){ .type = OWD_STORED_BRIEF_HEADER,
                               .words = sizeof *s / 8,
                               .index = index,
                               .port = h->port,
                               .flags = h->flags,
                               .recv_ns = h->recv_ns,
                               .export_s = h->export_s,
                               .export_frac_ns = h->export_frac_ns,
                               .uptime_ms = h->uptime_ms,
                               .seq = h->seq };
}

static void
put_whole_header (OwdLogSlot *slot, const OwdHeader *h, guint16 index)
{
  OwdStoredHeader *s = add_item (slot, sizeof *s);

  *s = (OwdStoredHeader){ .type = OWD_STORED_HEADER,
                          .words = sizeof *s / 8,
                          .index = index,
                          .port = h->port,
                          .flags = h->flags,
                          .recv_ns = h->recv_ns,
                          .init_ms = h->init_ms,
                          .export_s = h->export_s,
                          .export_frac_ns = h->export_frac_ns,
                          .uptime_ms = h->uptime_ms,
                          .seq = h->seq };
}

static G_GNUC_NO_INLINE void
put_shape (OwdLogSlot *slot, const OwdFlow *f)
{
  OwdStoredShape *s = add_item (slot, sizeof *s);

  *s = (OwdStoredShape){ .type = OWD_STORED_SHAPE,
                         .words = sizeof *s / 8,
                         .index = (guint16) slot->n_shapes,
                         .start_kind = f->start_kind,
                         .end_kind = f->end_kind,
                         .template_id = f->template_id,
                         .flags = f->flags,
                         .sampling = f->sampling };
  if (++slot->n_shapes > G_MAXUINT16)
    slot->room_end = 0; /* as above */
}

/* The current datagram's header, into a slot that has room for a record. */
static G_GNUC_NO_INLINE void
put_header (OwdLogAppender *self, guint i)
{
  OwdLogSlot *slot = &self->slots[i];
  const OwdHeader *h = &self->header;
  Seen *seen = &self->seen[(gsize) h->state * self->n + i];

  if (seen->block != slot->block)
    put_state (slot, &h->key, seen);
  if (G_LIKELY (h->init_ms == 0))
    put_brief_header (slot, h, seen->index);
  else
    put_whole_header (slot, h, seen->index);
  slot->header_serial = self->shown = self->serial;
  if (!(h->flags & OWD_HEADER_REPLAY))
    seen->header_ns = h->recv_ns;
}

static inline guint64 *
put_word (guint64 *words, guint32 *mask, guint32 bit, guint64 value)
{
  if (value == 0)
    return words;
  *mask |= bit;
  *words = value;
  return words + 1;
}

static guint64 *
put_address (guint64 *words, guint32 *mask, guint32 bit, const OwdAddr *addr)
{
  static const OwdAddr zero;

  if (memcmp (addr, &zero, sizeof zero) == 0)
    return words;
  *mask |= bit;
  memcpy (words, addr->b, sizeof addr->b);
  return words + 2;
}

/* In the order of the bits. Nothing is written where all of them are zero. */
static G_GNUC_NO_INLINE void
put_ext (OwdLogSlot *slot, const OwdFlow *f)
{
  OwdStoredExt *s = (OwdStoredExt *) (slot->buf + slot->len);
  guint64 *start = (guint64 *) (s + 1), *w = start;
  guint32 mask = 0;

  w = put_word (w, &mask, OWD_EXT_VLAN, f->vlan);
  w = put_word (w, &mask, OWD_EXT_VRF, f->vrf);
  w = put_word (w, &mask, OWD_EXT_MPLS, f->mpls);
  w = put_word (w, &mask, OWD_EXT_LINE_CARD, f->line_card);
  w = put_word (w, &mask, OWD_EXT_OBS_POINT, f->obs_point);
  w = put_word (w, &mask, OWD_EXT_INIT_MS, (guint64) f->init_ms);
  w = put_address (w, &mask, OWD_EXT_POST_SRC, &f->post_src);
  w = put_address (w, &mask, OWD_EXT_POST_DST, &f->post_dst);
  w = put_word (w, &mask, OWD_EXT_POST_PORTS, f->post_sport | (guint64) f->post_dport << 16);
  w = put_word (w, &mask, OWD_EXT_DELAY_MEAN, f->delay_mean_us);
  w = put_word (w, &mask, OWD_EXT_DELAY_MIN, f->delay_min_us);
  w = put_word (w, &mask, OWD_EXT_DELAY_MAX, f->delay_max_us);
  w = put_word (w, &mask, OWD_EXT_DELAY_SUM, f->delay_sum_us);
  if (mask == 0 && f->tos == 0)
    return;
  *s = (OwdStoredExt){ .type = OWD_STORED_EXT, .words = (guint8) (1 + (w - start)), .tos = f->tos, .mask = mask };
  add_item (slot, s->words * (gsize) 8);
}

static inline void
fill_flow (OwdStoredFlow *s, guint8 type, guint8 words, const OwdFlow *f)
{
  memcpy (s, (const guint8 *) f + OWD_FLOW_STORED_AT, sizeof *s);
  s->type = type;
  s->words = words;
}

/* The index of the dictionary entry that fits. */
static inline guint16
shape_of (OwdLogSlot *slot, const OwdFlow *f)
{
  guint64 counted = owd_word (&f->flags);
  guint32 kinds, at;
  OwdLogShape *shape;

  G_STATIC_ASSERT (offsetof (OwdFlow, sampling) == offsetof (OwdFlow, flags) + 4);
  G_STATIC_ASSERT (offsetof (OwdFlow, template_id) == offsetof (OwdFlow, start_kind) + 2);
  memcpy (&kinds, &f->start_kind, sizeof kinds);
  at = (kinds ^ (guint32) counted ^ (guint32) (counted >> 32)) * 0x9e3779b1u >> 27;
  G_STATIC_ASSERT (OWD_LOG_SHAPES == 1 << (32 - 27));
  shape = &slot->shapes[at];
  if (G_UNLIKELY (shape->block != slot->block || shape->kinds != kinds || shape->counted != counted)) {
    *shape
        = (OwdLogShape){ .block = slot->block, .counted = counted, .kinds = kinds, .index = (guint16) slot->n_shapes };
    put_shape (slot, f);
  }
  return shape->index;
}

static inline void
fill_brief (OwdStoredBrief *s, guint8 type, guint8 words, guint16 shape, const OwdFlow *f, guint64 start, guint64 end)
{
  guint64 first = owd_word ((const guint8 *) f + OWD_FLOW_STORED_AT);
  guint64 second = owd_word ((const guint8 *) f + OWD_FLOW_STORED_AT + 8);

  second = (second & ~OWD_BRIEF_SHAPE_BITS) | (guint64) shape << OWD_BRIEF_SHAPE_SHIFT;
  owd_put_word (s, (first & ~G_GUINT64_CONSTANT (0xffff)) | type | (guint64) words << 8);
  owd_put_word (&s->tcp_flags, second);
  owd_put_word (&s->in_if, owd_word (&f->in_if));
  owd_put_word (&s->packets, f->packets | f->octets << 32);
  owd_put_word (&s->start, start | end << 32);
}

static G_GNUC_NO_INLINE void
put_long_flow (OwdLogSlot *slot, const OwdFlow *f, gboolean is_v4)
{
  if (is_v4) {
    OwdStoredFlow4 *s = add_item (slot, sizeof *s);

    fill_flow (&s->flow, OWD_STORED_FLOW4, sizeof *s / 8, f);
    memcpy (s->src, f->src.b + 12, sizeof s->src);
    memcpy (s->dst, f->dst.b + 12, sizeof s->dst);
  } else {
    OwdStoredFlow6 *s = add_item (slot, sizeof *s);

    fill_flow (&s->flow, OWD_STORED_FLOW6, sizeof *s / 8, f);
    memcpy (s->src, f->src.b, sizeof s->src);
    memcpy (s->dst, f->dst.b, sizeof s->dst);
  }
}

static inline __attribute__ ((always_inline)) void
put_flow (OwdLogSlot *slot, const OwdFlow *f, gboolean is_v4, const OwdStampBases *bases)
{
  guint64 start = f->start_raw - owd_stamp_base (bases, f->start_kind);
  guint64 end = f->end_raw - owd_stamp_base (bases, f->end_kind);

  if (G_UNLIKELY ((f->packets | f->octets | start | end) >> 32 != 0)) {
    put_long_flow (slot, f, is_v4);
  } else {
    guint16 shape = shape_of (slot, f); /* before the item */

    if (G_LIKELY (is_v4)) {
      OwdStoredBrief4 *s = add_item (slot, sizeof *s);

      fill_brief (&s->flow, OWD_STORED_BRIEF4, sizeof *s / 8, shape, f, start, end);
      memcpy (s->src, f->src.b + 12, sizeof s->src);
      memcpy (s->dst, f->dst.b + 12, sizeof s->dst);
    } else {
      OwdStoredBrief6 *s = add_item (slot, sizeof *s);

      fill_brief (&s->flow, OWD_STORED_BRIEF6, sizeof *s / 8, shape, f, start, end);
      memcpy (s->src, f->src.b, sizeof s->src);
      memcpy (s->dst, f->dst.b, sizeof s->dst);
    }
  }
  if (G_UNLIKELY (f->flags & OWD_FLOW_EXT))
    put_ext (slot, f);
}

static inline __attribute__ ((always_inline)) OwdStatus
append (OwdLogAppender *self, const OwdFlow *flow, guint32 records)
{
  gboolean is_v4 = owd_flow_is_v4 (flow);
  guint64 hash = G_LIKELY (is_v4) ? owd_flow_hash_undirected_v4 (flow) : owd_flow_hash_undirected (flow);
  guint i = owd_flow_partition (hash, self->n);
  OwdLogSlot *slot = &self->slots[i];
  OwdStatus status = make_room (self, i);

  if (G_UNLIKELY (slot->header_serial != self->serial))
    put_header (self, i);
  put_flow (slot, flow, is_v4, &self->bases);
  slot->records += records;
  return status;
}

/* ---- translation ------------------------------------------------------------------------------- */

static gboolean
swap_address (OwdAddr *key, OwdAddr *post)
{
  OwdAddr before = *key;

  if (owd_addr_is_zero (post) || memcmp (key, post, sizeof *key) == 0)
    return FALSE;
  *key = *post;
  *post = before;
  return TRUE;
}

static gboolean
swap_port (guint16 *key, guint16 *post)
{
  guint16 before = *key;

  if (*post == 0 || *key == *post)
    return FALSE;
  *key = *post;
  *post = before;
  return TRUE;
}

/* The record as the other side of a translation knows it. FALSE: nothing was translated. */
static gboolean
translate (OwdFlow *f)
{
  gboolean differs = swap_address (&f->src, &f->post_src);

  differs |= swap_address (&f->dst, &f->post_dst);
  differs |= swap_port (&f->sport, &f->post_sport);
  differs |= swap_port (&f->dport, &f->post_dport);
  f->flags |= OWD_FLOW_POST_NAT;
  return differs;
}

/* ---- public ------------------------------------------------------------------------------------ */

OwdLogAppender *
owd_log_appender_new (OwdLogWriter *writer)
{
  OwdLogAppender *self = g_new0 (OwdLogAppender, 1);
  gsize block_bytes = owd_log_writer_block_bytes (writer);

  self->writer = writer;
  self->n = owd_log_writer_partitions (writer);
  self->room_end = block_bytes - OWD_RECORD_MAX_BYTES;
  self->states = g_array_new (FALSE, TRUE, sizeof (State));
  self->slots = g_new0 (OwdLogSlot, self->n);
  self->blocks = owd_pages_new (self->n * block_bytes);
  for (guint i = 0; i < self->n; i++) {
    self->slots[i].buf = self->blocks + i * block_bytes;
    reset_slot (self, &self->slots[i]);
  }
  owd_log_writer_add_slots (writer, self->slots);
  return self;
}

/* Nothing of this state is in any partition. */
static void
reset_state (OwdLogAppender *self, guint32 state, const OwdStateKey *key)
{
  State *s = &g_array_index (self->states, State, state);
  Seen *seen = &self->seen[(gsize) state * self->n];

  s->key = *key;
  s->oldest_ns = OWD_TIME_NONE;
  s->records = 0;
  for (guint i = 0; i < self->n; i++)
    seen[i] = (Seen){ .header_ns = OWD_TIME_NONE };
}

/* Tables for this state; a state number that has got another key starts afresh. */
static void
know_state (OwdLogAppender *self, const OwdHeader *header)
{
  guint old = self->states->len;

  if (G_UNLIKELY (header->state >= old)) {
    g_array_set_size (self->states, header->state + 1);
    if (self->states->len > self->room) {
      self->room = MAX (self->states->len, 2 * self->room);
      self->seen = g_renew (Seen, self->seen, (gsize) self->room * self->n);
    }
    for (guint i = old; i < self->states->len; i++)
      reset_state (self, i, &header->key);
  } else if (G_UNLIKELY (
                 memcmp (&g_array_index (self->states, State, header->state).key, &header->key, sizeof header->key)
                 != 0)) {
    reset_state (self, header->state, &header->key);
  }
}

/* Is `then` more than HEADER_EVERY_NS before `now`, or behind it? Unsigned: right for every pair of values. */
static inline gboolean
is_stale (OwdTime now, OwdTime then)
{
  return (guint64) now - (guint64) then > (guint64) HEADER_EVERY_NS;
}

/* The current datagram's header into a partition that got none of its records. */
static void
show_in (OwdLogAppender *self, guint i)
{
  (void) make_room (self, i); /* a refusal is kept in self->error */
  put_header (self, i);
}

static void
show_in_stale (OwdLogAppender *self)
{
  const OwdHeader *h = &self->header;
  State *state = &g_array_index (self->states, State, h->state);
  const Seen *seen = &self->seen[(gsize) h->state * self->n];
  OwdTime oldest = h->recv_ns;

  if (!is_stale (h->recv_ns, state->oldest_ns))
    return;
  for (guint i = 0; i < self->n; i++) {
    if (self->slots[i].header_serial != self->serial && is_stale (h->recv_ns, seen[i].header_ns))
      show_in (self, i);
    oldest = MIN (oldest, seen[i].header_ns);
  }
  state->oldest_ns = oldest;
}

/* After a datagram: partitions that got none of its records still see its header, now and then; and one that had no
 * record at all stands in some partition, so that its sequence number is not missed. */
static void
show_header (OwdLogAppender *self)
{
  if (self->serial == 0 || (self->header.flags & OWD_HEADER_REPLAY))
    return;
  show_in_stale (self);
  if (G_UNLIKELY (self->shown != self->serial))
    show_in (self, self->header.seq % self->n);
}

/* Where a datagram's records will be in nearly every partition, headers are put before the first record comes: to
 * find out with each record anew, for a partition that comes at random, is a branch that no processor foresees. */
static void
put_headers (OwdLogAppender *self)
{
  State *state = &g_array_index (self->states, State, self->header.state);

  if (state->records < EAGER_RECORDS * self->n)
    return;
  for (guint i = 0; i < self->n; i++)
    show_in (self, i);
}

void
owd_log_appender_header (OwdLogAppender *self, const OwdHeader *header)
{
  g_return_if_fail (header->state < MAX_STATES);
  show_header (self);
  if (self->serial != 0)
    g_array_index (self->states, State, self->header.state).records = self->records - self->records_before;
  know_state (self, header);
  self->header = *header;
  self->records_before = self->records;
  owd_stamp_bases_set (&self->bases, header->export_s);
  self->serial++;
  put_headers (self);
}

/* first: what became of the record as it is. */
static G_GNUC_NO_INLINE OwdStatus
append_translated (OwdLogAppender *self, const OwdFlow *flow, OwdStatus first)
{
  OwdFlow other = *flow;
  OwdStatus second;

  if (!translate (&other))
    return first;
  second = append (self, &other, 0);
  return first != OWD_STATUS_OK ? first : second;
}

OwdStatus
owd_log_appender_flow (OwdLogAppender *self, const OwdFlow *flow)
{
  OwdStatus status;

  g_return_val_if_fail (self->serial != 0, OWD_STATUS_MALFORMED);
  status = append (self, flow, 1);
  self->records++;
  if (G_LIKELY ((flow->flags & (OWD_FLOW_EXT | OWD_FLOW_POST_NAT)) != OWD_FLOW_EXT))
    return status;
  return append_translated (self, flow, status);
}

static gboolean
close_all (OwdLogAppender *self, OwdTime now, gboolean empty_too, GError **error)
{
  show_header (self);
  for (guint i = 0; i < self->n; i++) {
    if (empty_too || self->slots[i].items > 0)
      (void) close_block (self, i, now); /* a refusal is kept in self->error */
    else
      owd_log_writer_promise (self->writer, i, &self->slots[i], now);
  }
  if (self->error == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&self->error));
  return FALSE;
}

gboolean
owd_log_appender_beat (OwdLogAppender *self, OwdTime now, GError **error)
{
  return close_all (self, now, TRUE, error);
}

gboolean
owd_log_appender_flush (OwdLogAppender *self, OwdTime now, GError **error)
{
  return close_all (self, now, FALSE, error);
}

void
owd_log_appender_counts (const OwdLogAppender *self, guint64 *ret_records, guint64 *ret_dropped)
{
  if (ret_records != NULL)
    *ret_records = self->records;
  if (ret_dropped != NULL)
    *ret_dropped = self->dropped;
}

void
owd_log_appender_times (const OwdLogAppender *self, gint64 *ret_total_ns, gint64 *ret_longest_ns)
{
  *ret_total_ns = self->writing_ns;
  *ret_longest_ns = self->longest_write_ns;
}

void
owd_log_appender_free (OwdLogAppender *self)
{
  if (self == NULL)
    return;
  owd_log_writer_remove_slots (self->writer, self->slots);
  g_aligned_free (self->blocks);
  g_free (self->slots);
  g_free (self->seen);
  g_array_unref (self->states);
  g_clear_error (&self->error);
  g_free (self);
}
