/* SPDX-License-Identifier: Apache-2.0
 *
 * The correlator's front: exporter states, plausibility of stamps, memory, snapshots. See owd-correlator.h.
 */
#include "internal.h"

#include <string.h>
#include <sys/mman.h>

#define NONSENSE_PAST_NS (G_GINT64_CONSTANT (86400) * OWD_NS_PER_S)
#define NONSENSE_FUTURE_NS (G_GINT64_CONSTANT (1500) * OWD_NS_PER_MS)
/* Records stay for the horizon, and somewhat longer than the usual active timeout: a record that lasted that long must
 * still find the one before it. */
#define KEEP_NS (G_GINT64_CONSTANT (75) * OWD_NS_PER_S)
#define KEEP_MORE_NS (G_GINT64_CONSTANT (15) * OWD_NS_PER_S)
#define SNAPSHOT_MAGIC G_GUINT64_CONSTANT (0x303156504f44574f) /* "OWDOPV10" */

static void
discard (void *user, const OwdSample *sample)
{
  (void) user;
  (void) sample;
}

void
owd_correlator_config_init (OwdCorrelatorConfig *config)
{
  *config = (OwdCorrelatorConfig){
    .max_latency_ns = 120 * OWD_NS_PER_S,
    .first_horizon_ns = 30 * OWD_NS_PER_S,
    .completeness = 0.99,
    .silent_ns = 60 * OWD_NS_PER_S,
    .pair_window_ns = 10 * OWD_NS_PER_S,
    .skew_bound_ppm = 100,
    .max_waiting = 4 * 1024 * 1024,
  };
}

void *
room_new (gsize bytes)
{
  void *room = bytes == 0
                   ? NULL
                   : mmap (NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

  if (room == MAP_FAILED)
    g_error ("no memory: cannot take room for %" G_GSIZE_FORMAT " bytes", bytes);
  (void) madvise (room, bytes, MADV_HUGEPAGE);
  return room;
}

void
room_free (void *room, gsize bytes)
{
  if (room != NULL)
    (void) munmap (room, bytes);
}

void
owd_correlator_reset (OwdCorrelator *self)
{
  g_free (self->state);
  g_free (self->prior);
  match_clear (self);
  g_free (self->pair);
  g_free (self->pair_slot);
  room_free (self->side, SIDE_SETS * sizeof *self->side);
  order_clear (&self->pending);
  g_free (self->turn);
  g_free (self->index_of);
  g_clear_pointer (&self->by_key, g_hash_table_unref);
  *self = (OwdCorrelator){
    .config = self->config,
    .sink = self->sink,
    .count_sink = self->count_sink,
    .slot_counts = self->slot_counts,
    .user = self->user,
    .by_key = g_hash_table_new_full (owd_state_key_hash, owd_state_key_equal, g_free, NULL),
    .pending = { .far = NIL, .free = NIL },
    .shed = { .keep_below = SHED_NONE, .limit = 1, .surge = -1, .since = OWD_TIME_NONE, .sure_below = SHED_NONE },
    .log_time = OWD_TIME_NONE,
    .watermark = OWD_TIME_NONE,
    .horizon_at = OWD_TIME_NONE,
    .arrival_ns = OWD_TIME_NONE,
    .kept_since = OWD_TIME_NONE,
    .horizon_ns = self->config.first_horizon_ns,
  };
  match_init (self);
}

OwdCorrelator *
owd_correlator_new (const OwdCorrelatorConfig *config, OwdSampleSink sink, void *user)
{
  OwdCorrelator *self = g_new0 (OwdCorrelator, 1);

  self->config = *config;
  self->sink = sink != NULL ? sink : discard;
  self->user = user;
  self->slot_counts = g_array_new (FALSE, FALSE, sizeof (OwdCount));
  owd_correlator_reset (self);
  return self;
}

void
owd_correlator_set_count_sink (OwdCorrelator *self, OwdCountSink sink)
{
  self->count_sink = sink;
}

void
owd_correlator_free (OwdCorrelator *self)
{
  if (self == NULL)
    return;
  owd_correlator_reset (self);
  match_clear (self);
  g_array_unref (self->slot_counts);
  g_hash_table_unref (self->by_key);
  g_free (self);
}

/* ---- input ---------------------------------------------------------------------------------------- */

static guint32
state_index (OwdCorrelator *self, const OwdStateKey *key)
{
  guint32 index = GPOINTER_TO_UINT (g_hash_table_lookup (self->by_key, key));

  if (index > 0)
    return index - 1;
  if (self->n_states == G_MAXUINT16) /* Rec.state is 16 bits wide, its last value means none */
    return NIL;
  if (self->n_states == self->states_size) {
    self->states_size = MAX (16, self->states_size * 2);
    self->state = g_renew (State, self->state, self->states_size);
  }
  memset (&self->state[self->n_states], 0, sizeof (State));
  self->state[self->n_states].key = *key;
  self->state[self->n_states].shared = TRUE; /* until it has shown otherwise */
  prior_attach (self, &self->state[self->n_states]);
  g_hash_table_insert (self->by_key, g_memdup2 (key, sizeof *key), GUINT_TO_POINTER (self->n_states + 1));
  return self->n_states++;
}

/* The header's own number saves the look-up by key. */
static guint32
state_of_header (OwdCorrelator *self, const OwdHeader *header)
{
  guint32 i;

  if (header->state < self->index_of_size && self->index_of[header->state] > 0) {
    i = self->index_of[header->state] - 1;
    if (owd_state_key_equal (&self->state[i].key, &header->key))
      return i;
  }
  i = state_index (self, &header->key);
  if (i == NIL || header->state > G_MAXUINT16)
    return i;
  if (header->state >= self->index_of_size) {
    guint32 size = MAX (64, header->state * 2);

    self->index_of = g_renew (guint32, self->index_of, size);
    memset (self->index_of + self->index_of_size, 0, (size - self->index_of_size) * sizeof *self->index_of);
    self->index_of_size = size;
  }
  self->index_of[header->state] = i + 1;
  return i;
}

void
owd_correlator_limit (OwdCorrelator *self, double share)
{
  self->shed.limit = share;
}

void
owd_correlator_header (OwdCorrelator *self, const OwdHeader *header)
{
  guint32 i = state_of_header (self, header);
  State *s;

  self->current = i;
  self->current_ok = i != NIL;
  if (i == NIL)
    return;
  s = &self->state[i];
  if (s->first_ns == 0)
    s->first_ns = header->recv_ns;
  s->last_ns = MAX (s->last_ns, header->recv_ns);
  prior_update (self, s, header->recv_ns);
  (void) owd_clock_header (&s->clock, header, self->config.skew_bound_ppm);
  delay_renew (s);
  if (self->log_time == OWD_TIME_NONE)
    self->log_time = header->recv_ns;
  self->arrival_ns = MAX (self->arrival_ns, header->recv_ns);
}

/* Stamps that cannot be: checked against the exporter's own export time, so clock offsets do not matter. */
static gboolean
is_nonsense (const State *s, const OwdInstant *start, const OwdInstant *end, gint64 step_ns)
{
  gint64 export_ns = s->clock.export_ns, slack = s->clock.tick_ns + NONSENSE_FUTURE_NS + step_ns;

  if (end->lo_ns < start->lo_ns - step_ns)
    return TRUE;
  if (end->lo_ns > export_ns + slack || start->lo_ns > export_ns + slack)
    return TRUE;
  return start->lo_ns < export_ns - NONSENSE_PAST_NS || end->lo_ns < export_ns - NONSENSE_PAST_NS;
}

void
owd_correlator_expect (OwdCorrelator *self, const OwdFlow *flow)
{
  match_expect (self, flow);
}

OwdStatus
owd_correlator_flow (OwdCorrelator *self, const OwdFlow *flow)
{
  OwdInstant start, end;
  OwdFlowHashes hashes;
  OwdStatus status;
  guint8 card;
  State *s;

  match_hashes (self, flow, &hashes);
  self->counters.records++;
  if (!self->current_ok)
    return OWD_STATUS_LIMIT;
  s = &self->state[self->current];
  s->records++;
  if (flow->sampling != 0)
    s->sampling = flow->sampling;
  if (!shed_takes (self, (guint32) hashes.undirected))
    return OWD_STATUS_FULL;
  if (owd_clock_learn (&s->clock, flow))
    delay_renew (s);
  if (!owd_clock_instant (&s->clock, flow, OWD_STAMP_START, &start)
      || !owd_clock_instant (&s->clock, flow, OWD_STAMP_END, &end)) {
    self->counters.no_clock++;
    return OWD_STATUS_MALFORMED;
  }
  if (flow->packets == 0 || !(flow->flags & OWD_FLOW_PACKETS) || !(flow->flags & OWD_FLOW_OCTETS)
      || is_nonsense (s, &start, &end, s->step[OWD_STAMP_END][flow->end_kind % OWD_STAMP_KINDS].bound_ns)) {
    self->counters.nonsense++;
    return OWD_STATUS_MALFORMED;
  }
  if (s->sampling > 1) {
    self->counters.sampled++;
    return OWD_STATUS_MALFORMED;
  }
  card = prior_card (s, flow);
  if (card > 0) {
    start.lo_ns -= s->card[card - 1].hi_ns;
    end.lo_ns -= s->card[card - 1].hi_ns;
  }
  status = match_add (self, flow, &hashes, &start, &end, card);
  if (status == OWD_STATUS_OK) {
    lag_add (&s->lag, self->arrival_ns - start.lo_ns - start.clock_ns / 2);
    lag_add (&s->lag, self->arrival_ns - end.lo_ns - end.clock_ns / 2);
  }
  return status;
}

void
owd_correlator_advance (OwdCorrelator *self, OwdTime log_time)
{
  gint64 keep_ns;

  order_advance (self, log_time);
  keep_ns = MAX (KEEP_NS, self->horizon_ns + KEEP_MORE_NS);
  match_expire (self, self->log_time - keep_ns);
  shed_adapt (self, keep_ns);
}

void
owd_correlator_flush (OwdCorrelator *self)
{
  order_flush (self);
}

/* ---- what is known -------------------------------------------------------------------------------- */

OwdTime
owd_correlator_watermark (const OwdCorrelator *self)
{
  return self->watermark;
}

guint64
owd_correlator_seq (const OwdCorrelator *self)
{
  return self->seq;
}

gint64
owd_correlator_horizon_ns (const OwdCorrelator *self)
{
  return self->horizon_ns;
}

double
owd_correlator_kept (const OwdCorrelator *self)
{
  return shed_kept (self);
}

guint32
owd_correlator_waiting (const OwdCorrelator *self)
{
  return rec_count (self);
}

const OwdCorrelatorCounters *
owd_correlator_counters (const OwdCorrelator *self)
{
  return &self->counters;
}

guint
owd_correlator_n_states (const OwdCorrelator *self)
{
  return self->n_states;
}

/* The learnt step of the grid that has been used most; 0: none yet. */
static gint64
main_step_ns (const OwdResolution grids[OWD_GRIDS])
{
  const OwdResolution *most = &grids[0];

  for (guint g = 1; g < OWD_GRIDS; g++) {
    if (grids[g].n > most->n)
      most = &grids[g];
  }
  return owd_resolution_known (most)
             ? owd_resolution_step_ns (most, most == &grids[OWD_GRID_FINE] ? OWD_NS_PER_US : OWD_NS_PER_MS)
             : 0;
}

void
owd_correlator_state (const OwdCorrelator *self, guint i, OwdCorrelatorState *ret_state)
{
  const State *s = &self->state[i];
  gboolean boot = s->clock.boot.segments > 0;

  *ret_state = (OwdCorrelatorState){
    .key = s->key,
    .first_ns = s->first_ns,
    .last_ns = s->last_ns,
    .records = s->records,
    .boot_lo_ns = boot ? s->clock.boot.use_lo_ns : OWD_TIME_NONE,
    .boot_hi_ns = boot ? s->clock.boot.use_hi_ns : OWD_TIME_NONE,
    .start_step_ns = main_step_ns (s->clock.stamp[OWD_STAMP_START]),
    .end_step_ns = main_step_ns (s->clock.stamp[OWD_STAMP_END]),
    .segments = MAX (1, s->clock.boot.segments),
    .lag_p50_ns = lag_quantile_ns (&s->lag, 0.5),
    .lag_p99_ns = lag_quantile_ns (&s->lag, 0.99),
    .sampling = s->sampling,
  };
}

/* ---- snapshots ------------------------------------------------------------------------------------ */

/* Everything that is not an array. */
typedef struct {
  guint64 magic;
  guint32 sizes[6]; /* of the structures, so that another build's snapshot is refused */
  guint32 n_states, n_known_priors, n_waiting, n_buckets;
  guint32 n_pairs, n_chunks, n_slots, chunk_far, chunk_free, n_near, n_sides, some_shared;
  gint64 slot_ns, first_slot, decided_slot, judged_slot;
  OwdTime log_time, watermark, horizon_at, arrival_ns, kept_since;
  gint64 horizon_ns;
  guint64 seq, n_late;
  OwdCorrelatorCounters counters;
  Shed shed;
} Snapshot;

static const guint32 SIZES[6]
    = { sizeof (State), sizeof (OwdPrior), sizeof (Rec), sizeof (Pair), sizeof (Chunk), sizeof (SideSet) };

/* The oldest first. */
static gboolean
save_records (const OwdCorrelator *self, OwdSaveFunc write, void *user)
{
  const Waiters *w = &self->waiting;
  guint64 end;

  for (guint64 n = w->oldest; n < w->end; n = end) {
    end = MIN (w->end, (n | (REC_BLOCK - 1)) + 1);
    if (!write (user, &w->rec[rec_slot (self, n)], (end - n) * sizeof (Rec)))
      return FALSE;
  }
  return TRUE;
}

static gboolean
load_records (OwdCorrelator *self, guint32 n, OwdLoadFunc read, void *user)
{
  guint32 some;

  for (; n > 0; n -= some) {
    some = MIN (n, REC_BLOCK);
    if (!read (user, &self->waiting.rec[match_slot (self)], some * sizeof (Rec)))
      return FALSE;
    self->waiting.end += some;
  }
  return TRUE;
}

/* Of those used, in the block that begins with the chunk. */
static gsize
block_bytes (const Pending *p, guint32 from)
{
  return MIN (p->n_chunks - from, BLOCK_CHUNKS) * sizeof (Chunk);
}

static gboolean
save_chunks (const Pending *p, OwdSaveFunc write, void *user)
{
  for (guint32 i = 0; i < p->n_chunks; i += BLOCK_CHUNKS) {
    if (!write (user, chunk_at (p, i), block_bytes (p, i)))
      return FALSE;
  }
  return TRUE;
}

static gboolean
load_chunks (Pending *p, OwdLoadFunc read, void *user)
{
  for (guint32 i = 0; i < p->n_chunks; i += BLOCK_CHUNKS) {
    if (!read (user, chunk_at (p, i), block_bytes (p, i)))
      return FALSE;
  }
  return TRUE;
}

gboolean
owd_correlator_save (const OwdCorrelator *self, OwdSaveFunc write, void *user)
{
  Snapshot s;

  memset (&s, 0, sizeof s);
  s.magic = SNAPSHOT_MAGIC;
  memcpy (s.sizes, SIZES, sizeof s.sizes);
  s.n_states = self->n_states;
  s.n_known_priors = self->n_known_priors;
  s.n_waiting = rec_count (self);
  s.n_buckets = self->n_buckets;
  s.shed = self->shed;
  s.n_pairs = self->n_pairs;
  s.n_chunks = self->pending.n_chunks;
  s.n_slots = self->pending.head != NULL ? SLOTS : 0;
  s.chunk_far = self->pending.far;
  s.chunk_free = self->pending.free;
  s.n_near = self->pending.near;
  s.some_shared = self->some_shared ? 1 : 0;
  s.slot_ns = self->pending.slot_ns;
  s.first_slot = self->pending.first;
  s.decided_slot = self->pending.decided;
  s.judged_slot = self->pending.judged;
  s.n_sides = self->side != NULL ? SIDE_SETS : 0;
  s.log_time = self->log_time;
  s.watermark = self->watermark;
  s.horizon_at = self->horizon_at;
  s.arrival_ns = self->arrival_ns;
  s.kept_since = self->kept_since;
  s.horizon_ns = self->horizon_ns;
  s.seq = self->seq;
  s.n_late = self->n_late;
  s.counters = self->counters;
  return write (user, &s, sizeof s) && write (user, self->state, self->n_states * sizeof *self->state)
         && write (user, self->prior, self->n_known_priors * sizeof *self->prior) && save_records (self, write, user)
         && write (user, self->pair, self->n_pairs * sizeof *self->pair)
         && write (user, self->side, s.n_sides * sizeof *self->side)
         && write (user, self->suspect, sizeof self->suspect)
         && write (user, self->pending.head, s.n_slots * sizeof *self->pending.head)
         && save_chunks (&self->pending, write, user);
}

static gboolean
is_ours (const OwdCorrelator *self, const Snapshot *s)
{
  return s->magic == SNAPSHOT_MAGIC && memcmp (s->sizes, SIZES, sizeof SIZES) == 0 && s->n_states < G_MAXUINT16
         && s->n_waiting <= self->config.max_waiting && (s->n_sides == 0 || s->n_sides == SIDE_SETS)
         && (s->n_slots == 0 || s->n_slots == SLOTS) && (s->n_buckets & (s->n_buckets - 1)) == 0;
}

gboolean
owd_correlator_load (OwdCorrelator *self, OwdLoadFunc read, void *user, GError **error)
{
  Snapshot s;

  owd_correlator_reset (self);
  if (!read (user, &s, sizeof s) || !is_ours (self, &s)) {
    g_set_error (error, OWD_ERROR, OWD_ERROR_CORRUPT, "not a snapshot of this version of the correlator");
    return FALSE;
  }
  self->states_size = self->n_states = s.n_states;
  self->n_pairs = s.n_pairs;
  self->state = g_new (State, s.n_states);
  self->n_known_priors = s.n_known_priors;
  self->prior = g_new (OwdPrior, s.n_known_priors);
  self->pair = g_new (Pair, s.n_pairs);
  self->side = s.n_sides > 0 ? room_new (SIDE_SETS * sizeof *self->side) : NULL;
  self->pending = (Pending){ .slot_ns = s.slot_ns,
                             .first = s.first_slot,
                             .decided = s.decided_slot,
                             .judged = s.judged_slot,
                             .head = s.n_slots > 0 ? g_new (guint32, SLOTS) : NULL,
                             .far = s.chunk_far,
                             .free = NIL,
                             .near = s.n_near };
  order_make_chunks (&self->pending, s.n_chunks);
  self->pending.free = s.chunk_free;
  if (!read (user, self->state, s.n_states * sizeof *self->state)
      || !read (user, self->prior, s.n_known_priors * sizeof *self->prior)
      || !load_records (self, s.n_waiting, read, user) || !read (user, self->pair, s.n_pairs * sizeof *self->pair)
      || !read (user, self->side, s.n_sides * sizeof *self->side) || !read (user, self->suspect, sizeof self->suspect)
      || !read (user, self->pending.head, s.n_slots * sizeof *self->pending.head)
      || !load_chunks (&self->pending, read, user)) {
    owd_correlator_reset (self);
    g_set_error (error, OWD_ERROR, OWD_ERROR_CORRUPT, "the snapshot ends early");
    return FALSE;
  }
  match_rehash (self, s.n_buckets);
  self->some_shared = s.some_shared != 0;
  self->shed = s.shed;
  self->log_time = s.log_time;
  self->watermark = s.watermark;
  self->horizon_at = s.horizon_at;
  self->arrival_ns = s.arrival_ns;
  self->kept_since = s.kept_since;
  self->horizon_ns = s.horizon_ns;
  self->seq = s.seq;
  self->n_late = (guint32) s.n_late;
  self->counters = s.counters;
  for (guint32 i = 0; i < self->n_states; i++)
    g_hash_table_insert (self->by_key, g_memdup2 (&self->state[i].key, sizeof (OwdStateKey)), GUINT_TO_POINTER (i + 1));
  for (guint32 i = 0; i < self->n_pairs; i++)
    pair_set_floor (self, &self->pair[i]);
  return TRUE;
}
