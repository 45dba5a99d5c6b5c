/* SPDX-License-Identifier: Apache-2.0
 *
 * Records of many exporters, exporter by exporter.
 *
 * Problem. A log holds a thousand exporters' records in the order in which they came. The state of one of them is some
 * hundred KiB, so it has left the cache before its next record comes, and each record would wait for memory a dozen
 * times.
 *
 * Idea. A batch takes records in the log's order, cut down to the cache line that profiles need, and gives them to one
 * profile after the other: each state is brought in once per batch, and the records themselves are read in a row. What
 * belongs to one exporter stays in its order, so nothing changes but the time it takes.
 *
 * Cost: 64 bytes written and read once per record that is measured, and memory for one batch, some 48 MiB.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MEASURE_ALL (1 << 13)     /* records of an exporter that are all measured, */
#define MEASURE_HALF (1 << 14)    /* up to which every second one, */
#define MEASURE_QUARTER (1 << 15) /* every fourth one, and later every eighth one */
#define BATCH_RECORDS (1 << 19)
#define BATCH_HEADERS (1 << 17)
#define HUGE_PAGE ((gsize) 2 << 20)
#define TCP_PROTO 6
#define TCP_SYN 2

/* odd, and without a pattern: fractional parts of roots */
#define MIX_A G_GUINT64_CONSTANT (0x9e3779b97f4a7c15)
#define MIX_B G_GUINT64_CONSTANT (0xbb67ae8584caa73b)
#define MIX_C G_GUINT64_CONSTANT (0xa54ff53a5f1d36f1)

typedef struct {
  OwdHeader header;
  Counts counts;
  guint32 first, n; /* records */
  guint32 next;     /* header of the same profile, by number from 1 on; 0: the last one */
} Datagram;

/* One profile. All of them together are small enough to stay in the cache. */
typedef struct {
  OwdProfile *profile; /* borrowed */
  guint32 first, last; /* its headers in the batch, by number from 1 on; 0: none */
  guint64 records;     /* ever */
} Slot;

struct OwdProfileBatch {
  GArray *slots; /* Slot */
  guint n_datagrams, n_records;
  guint current; /* slot of the last datagram */
  Datagram datagram[BATCH_HEADERS];
  Record record[BATCH_RECORDS];
};

inline gboolean
record_is_chosen (const OwdFlow *flow, guint64 records)
{
  guint mix = flow->sport ^ flow->dport ^ flow->src.b[15] ^ flow->dst.b[15];
  guint one_in = records <= MEASURE_ALL ? 1 : records <= MEASURE_HALF ? 2 : records <= MEASURE_QUARTER ? 4 : 8;

  return !(flow->flags & OWD_FLOW_POST_NAT) && ((mix ^ mix >> 3 ^ mix >> 6) & (one_in - 1)) == 0;
}

inline void
counts_add (Counts *self, const OwdFlow *flow)
{
  self->sent += !(flow->flags & (OWD_FLOW_REVERSE | OWD_FLOW_POST_NAT));
  if (flow->flags & OWD_FLOW_POST_NAT)
    return;
  self->seen++;
  if (flow->proto == TCP_PROTO && flow->flags & OWD_FLOW_FLAGS) {
    self->tcp++;
    self->syn += (flow->tcp_flags & TCP_SYN) != 0;
  }
  if (flow->sampling > 0) {
    self->sampling_lo = self->sampled == 0 ? flow->sampling : MIN (self->sampling_lo, flow->sampling);
    self->sampling_hi = MAX (self->sampling_hi, flow->sampling);
    self->sampled++;
  }
}

/* Of all that makes a flow one to its exporter: direction, interface and side, too. It only finds continuations, and
 * never leaves this program. */
static inline guint64
mix_flow (const OwdFlow *flow)
{
  guint64 word[4], sum;

  memcpy (word, flow->src.b, 16);
  memcpy (word + 2, flow->dst.b, 16);
  sum = (word[0] ^ MIX_A) * (word[2] ^ MIX_B) + (word[1] ^ MIX_B) * (word[3] ^ MIX_C);
  sum ^= ((guint64) flow->sport << 48 | (guint64) flow->dport << 32 | flow->in_if) * MIX_C;
  sum += (guint64) flow->proto << 8 | (flow->flags & OWD_FLOW_EGRESS);
  sum = (sum ^ sum >> 32) * MIX_A;
  return sum ^ sum >> 29;
}

inline void
record_from_flow (Record *ret, const OwdFlow *flow)
{
  *ret = (Record){ .hash = mix_flow (flow),
                   .start_raw = flow->start_raw,
                   .end_raw = flow->end_raw,
                   .init_ms = flow->init_ms,
                   .in_if = flow->in_if,
                   .tcp_flags = flow->tcp_flags,
                   .proto = flow->proto,
                   .end_reason = flow->end_reason,
                   .start_kind = flow->start_kind,
                   .end_kind = flow->end_kind,
                   .single = flow->packets == 1 };
}

OwdProfileBatch *
owd_profile_batch_new (void)
{
  gsize bytes = (sizeof (OwdProfileBatch) + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
  OwdProfileBatch *self = aligned_alloc (HUGE_PAGE, bytes);

  if (self == NULL)
    g_error ("out of memory: no %" G_GSIZE_FORMAT " bytes", bytes);
  (void) madvise (self, bytes, MADV_HUGEPAGE); /* else its first use is a fault for every 64 records */
  self->slots = g_array_new (FALSE, FALSE, sizeof (Slot));
  self->n_datagrams = self->n_records = self->current = 0;
  return self;
}

void
owd_profile_batch_free (OwdProfileBatch *self)
{
  if (self != NULL)
    g_array_unref (self->slots);
  free (self);
}

guint
owd_profile_batch_add (OwdProfileBatch *self, OwdProfile *profile)
{
  Slot slot = { .profile = profile, .records = owd_profile_records (profile) };

  g_array_append_val (self->slots, slot);
  return self->slots->len - 1;
}

static Slot *
slot_at (const OwdProfileBatch *self, guint i)
{
  return &g_array_index (self->slots, Slot, i);
}

static void
start_datagram (OwdProfileBatch *self, const OwdHeader *header)
{
  Slot *slot = slot_at (self, self->current);

  self->datagram[self->n_datagrams++] = (Datagram){ .header = *header, .first = self->n_records };
  if (slot->first == 0)
    slot->first = self->n_datagrams;
  else
    self->datagram[slot->last - 1].next = self->n_datagrams;
  slot->last = self->n_datagrams;
}

/* The log repeats a header in each partition that got one of its records; these come right after each other. */
static gboolean
goes_on (const OwdProfileBatch *self, guint slot, const OwdHeader *header)
{
  return self->n_datagrams > 0 && self->current == slot
         && owd_profile_same_header (&self->datagram[self->n_datagrams - 1].header, header);
}

void
owd_profile_batch_header (OwdProfileBatch *self, guint slot, const OwdHeader *header)
{
  if (goes_on (self, slot, header))
    return;
  if (self->n_datagrams == BATCH_HEADERS)
    owd_profile_batch_flush (self);
  self->current = slot;
  start_datagram (self, header);
}

void
owd_profile_batch_flow (OwdProfileBatch *self, const OwdFlow *flow)
{
  Slot *slot = slot_at (self, self->current);
  Datagram *d;

  if (self->n_records == BATCH_RECORDS) {
    OwdHeader header = self->datagram[self->n_datagrams - 1].header;

    owd_profile_batch_flush (self);
    start_datagram (self, &header);
  }
  d = &self->datagram[self->n_datagrams - 1];
  counts_add (&d->counts, flow);
  if (!record_is_chosen (flow, ++slot->records))
    return;
  record_from_flow (&self->record[self->n_records++], flow);
  d->n++;
}

/* The next datagram of the same profile; behind the last one any other. */
static const Datagram *
after (const OwdProfileBatch *self, const Datagram *d)
{
  return &self->datagram[MAX (d->next, 1) - 1];
}

/* Memory is asked for ahead: the third datagram's header, the second one's records, and what those of the first one
 * will need of the state. */
static void
give (OwdProfileBatch *self, Slot *slot)
{
  for (guint32 i = slot->first; i != 0;) {
    const Datagram *d = &self->datagram[i - 1], *next = after (self, d), *second = after (self, next);

    __builtin_prefetch (after (self, second));
    for (guint32 k = second->first; k < second->first + second->n; k++)
      __builtin_prefetch (&self->record[k]);
    owd_profile_prefetch_records (slot->profile, &self->record[next->first], next->n);
    owd_profile_add_header (slot->profile, &d->header);
    owd_profile_add_counts (slot->profile, &d->counts);
    owd_profile_add_records (slot->profile, &self->record[d->first], d->n);
    i = d->next;
  }
  slot->first = slot->last = 0;
}

void
owd_profile_batch_flush (OwdProfileBatch *self)
{
  for (guint i = 0; i < self->slots->len; i++)
    give (self, slot_at (self, i));
  self->n_datagrams = self->n_records = 0;
}
