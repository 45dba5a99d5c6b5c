/* SPDX-License-Identifier: Apache-2.0
 *
 * Exporter states. States are never forgotten, since their numbers are in the log; so their number is limited, and
 * one address may hold an eighth of them at most: somebody who invents domains takes nothing from others.
 *
 * Memory is charged (memory.h) as it is asked for: some 4 KiB for a state, a template by what it takes, a kept data set
 * by its length. When the limit is reached, templates and kept sets of states that never brought a flow go; what others
 * hold stays, and what is new is refused. One address may hold an eighth.
 *
 * Sequences. A datagram from ahead means loss; one from behind is late (and takes back the loss that was counted for
 * it) or a restart. A restart shows by three datagrams in order from behind, by a sysUptime that went back far, or by
 * a jump that no loss explains.
 *
 * IPFIX sequence numbers count the data records before a message. softflowd counts the message's own as well. That
 * is told by numbers that fit so and not otherwise, twice; what was miscounted until then is taken back.
 *
 * Nor do all count per domain: Open vSwitch has one sequence for all domains of a session. There a number that does not
 * go on where its own domain stopped does so where the session did, and the other way round where domains count for
 * themselves; whichever fitted last, alone, counts.
 */
#include "exporter.h"

#include <string.h>

#define BEHIND_MAX 65536                       /* units: further back is no reordering */
#define AHEAD_MAX (1 << 24)                    /* units: further ahead is no loss */
#define ADDRESS_PART 8                         /* of states and memory one address may have */
#define STATE_BYTES (sizeof (OwdState) + 1024) /* with its places in tables, the log's appender and metrics */
#define SILENT_NS (10 * OWD_NS_PER_S)
#define RESTART_RUN 3 /* datagrams in order from behind */
#define INCLUSIVE_VOTES 2
#define UPTIME_SLACK_MS (60 * 1000) /* sysUptime goes back by less when datagrams are reordered */

struct OwdStateTable {
  OwdDecoderLimits limits;
  guint max_per_addr;
  GPtrArray *states;   /* OwdState */
  GHashTable *by_key;  /* OwdStateKey in the state to the state */
  GHashTable *by_addr; /* OwdAddr in the first state to OwdAddrStates */
  OwdState *last;      /* found last, or NULL */
  OwdMemory memory;    /* of all; accounts of addresses are below it */
  guint64 n_evicted;   /* templates */
  guint64 n_refused;   /* states and templates, for want of memory */
};

/* Messages of one port and version, whatever their domain. */
typedef struct {
  gboolean used;   /* next holds */
  gboolean shared; /* its domains have one sequence */
  guint16 port;
  guint32 version;
  guint32 next; /* sequence number */
  OwdTime last_ns;
} Session;

struct OwdAddrStates {
  OwdState *first;
  guint n;
  Session sessions[OWD_STREAMS];
  OwdMemory memory;
};

/* ---- sequence ---------------------------------------------------------------------------------- */

/* The port's stream; a new port takes the one that has been silent for longest. */
static OwdStream *
find_stream (OwdState *self, guint16 port)
{
  OwdStream *victim = &self->streams[0];

  for (guint i = 0; i < OWD_STREAMS; i++) {
    OwdStream *s = &self->streams[i];

    if (s->used && s->port == port)
      return s;
    if (victim->used && (!s->used || s->last_ns < victim->last_ns))
      victim = s;
  }
  *victim = (OwdStream){ .port = port };
  return victim;
}

/* Likewise for the session. */
static Session *
find_session (OwdAddrStates *of_addr, guint16 port, guint32 version)
{
  Session *victim = &of_addr->sessions[0];

  for (guint i = 0; i < OWD_STREAMS; i++) {
    Session *s = &of_addr->sessions[i];

    if (s->port == port && s->version == version)
      return s;
    if (s->last_ns < victim->last_ns)
      victim = s;
  }
  *victim = (Session){ .port = port, .version = version };
  return victim;
}

static guint32
own_flows (const OwdSequence *seq)
{
  return seq->units - seq->options;
}

static void
resume (OwdStream *s, const OwdSequence *seq)
{
  s->expected = s->inclusive ? seq->seq : seq->seq + seq->units;
  s->options = seq->options;
  s->sure = !seq->unsure;
  s->uptime_ms = seq->uptime_ms;
  s->behind_run = 0;
  s->behind_found = 0;
}

static void
restart (OwdState *self, OwdStream *s, const OwdSequence *seq)
{
  self->counters.restarts++;
  s->inclusive = FALSE; /* may be another program now */
  resume (s, seq);
}

/* Since the last header in order; 0 where the format has no sysUptime. */
static gint64
uptime_step (const OwdStream *s, const OwdSequence *seq)
{
  return seq->has_uptime ? owd_uptime_diff_ms (seq->uptime_ms, s->uptime_ms) : 0;
}

/* The datagram comes from behind. An older sysUptime proves that it is late. */
static void
from_behind (OwdState *self, OwdStream *s, const OwdSequence *seq, gint64 ahead)
{
  OwdStateCounters *c = &self->counters;
  guint64 found = MIN (c->lost, seq->units);
  gboolean older = uptime_step (s, seq) < 0;

  if (s->behind_run > 0 && (seq->seq != s->behind || older)) {
    s->behind_run = 0;
    s->behind_found = 0;
  }
  if (!older)
    s->behind_run++;
  s->behind = seq->seq + seq->units;
  if (s->behind_run >= RESTART_RUN || ahead < -BEHIND_MAX) {
    /* those before were the beginning of it, not late */
    c->reordered -= s->behind_run > 0 ? s->behind_run - 1 : 0;
    c->lost += s->behind_found;
    restart (self, s, seq);
    return;
  }
  c->reordered++;
  c->lost -= found;
  s->behind_found += found;
}

static void
place (OwdState *self, OwdStream *s, const OwdSequence *seq, gint64 ahead)
{
  if (ahead == 0) {
    resume (s, seq);
  } else if (uptime_step (s, seq) < -UPTIME_SLACK_MS || ahead > AHEAD_MAX) {
    restart (self, s, seq);
  } else if (ahead > 0) {
    self->counters.lost += (guint64) ahead;
    resume (s, seq);
  } else {
    from_behind (self, s, seq, ahead);
  }
}

/* Late datagrams in between may have taken something off already. */
static guint64
take_back (guint64 counter, gint64 miscounted)
{
  return (guint64) MAX ((gint64) counter - miscounted, 0);
}

/* The datagram stands at the wrong place, but would be right if numbers counted its own records. */
static void
place_and_vote (OwdState *self, OwdStream *s, const OwdSequence *seq, gint64 ahead)
{
  OwdStateCounters *c = &self->counters;
  OwdStateCounters before = *c;

  place (self, s, seq, ahead);
  s->vote_lost += (gint64) (c->lost - before.lost);
  s->vote_reordered += (gint64) (c->reordered - before.reordered);
  s->vote_restarts += (gint64) (c->restarts - before.restarts);
  if (++s->votes < INCLUSIVE_VOTES)
    return;
  c->lost = take_back (c->lost, s->vote_lost);
  c->reordered = take_back (c->reordered, s->vote_reordered);
  c->restarts = take_back (c->restarts, s->vote_restarts);
  s->inclusive = TRUE;
  resume (s, seq);
}

static void
forget_votes (OwdStream *s)
{
  s->votes = 0;
  s->vote_lost = s->vote_reordered = s->vote_restarts = 0;
}

/* Which of both goes on here, the domain's own sequence or the session's? Sets what the stream expects. */
static void
follow_session (Session *session, OwdStream *s, guint32 at)
{
  if (!session->used || !s->used || !s->sure)
    return;
  if ((at == session->next) != (at == s->expected))
    session->shared = at == session->next;
  if (session->shared)
    s->expected = session->next;
}

void
owd_state_sequence (OwdState *self, const OwdSequence *seq)
{
  OwdStream *s = find_stream (self, seq->port);
  Session *session = self->of_addr->n > 1 ? find_session (self->of_addr, seq->port, self->counters.key.version) : NULL;
  guint32 at = s->inclusive ? seq->seq - own_flows (seq) : seq->seq;
  gint64 ahead;
  gboolean fits_inclusive = own_flows (seq) > 0 && seq->seq - own_flows (seq) == s->last_seq;
  gboolean fits_exclusive = seq->seq == s->last_seq + s->last_units;

  if (session != NULL)
    follow_session (session, s, at);
  ahead = (gint32) (at - s->expected);
  s->last_ns = seq->recv_ns;
  if (ahead < 0 && ahead >= -(gint64) s->options)
    ahead = 0; /* does not count options records */
  if (!s->used || !s->sure) {
    s->used = TRUE;
    resume (s, seq);
  } else if (ahead != 0 && !s->inclusive && fits_inclusive && !fits_exclusive) {
    place_and_vote (self, s, seq, ahead);
  } else {
    if (ahead == 0 && !fits_inclusive)
      forget_votes (s);
    place (self, s, seq, ahead);
  }
  s->last_seq = seq->seq;
  s->last_units = seq->units;
  if (session == NULL)
    return;
  session->used = s->sure;
  session->next = s->expected;
  session->last_ns = seq->recv_ns;
}

/* ---- options ----------------------------------------------------------------------------------- */

/* 1 in N as the options record tells, or 0. */
static guint32
told_interval (guint32 set, const guint64 *value)
{
  guint64 taken = value[OWD_OPTION_PKT_COUNT], n = 0;

  if ((set & 1u << OWD_OPTION_POPULATION) && (set & 1u << OWD_OPTION_SIZE) && value[OWD_OPTION_SIZE] > 0)
    n = value[OWD_OPTION_POPULATION] / value[OWD_OPTION_SIZE];
  if (n == 0 && (set & 1u << OWD_OPTION_PKT_SPACE) && (set & 1u << OWD_OPTION_PKT_COUNT) && taken > 0
      && value[OWD_OPTION_PKT_SPACE] < G_MAXUINT32)
    n = value[OWD_OPTION_PKT_SPACE] / taken + 1;
  if (n == 0 && (set & 1u << OWD_OPTION_INTERVAL))
    n = value[OWD_OPTION_INTERVAL];
  return (guint32) MIN (n, G_MAXUINT32);
}

/* The numbers that are not given count as nothing said. */
static guint8
told_algorithm (guint32 set, const guint64 *value)
{
  guint64 told = set & 1u << OWD_OPTION_ALGORITHM ? value[OWD_OPTION_ALGORITHM] : OWD_SAMPLING_UNTOLD;

  return told <= OWD_SAMPLING_RANDOM ? (guint8) told : OWD_SAMPLING_UNTOLD;
}

static void
remember_sampler (OwdState *self, gboolean is_interface, guint64 id, guint32 interval)
{
  for (guint i = 0; i < self->n_samplers; i++) {
    OwdSampler *s = &self->samplers[i];

    if (s->is_interface == is_interface && s->id == id) {
      s->interval = interval;
      return;
    }
  }
  if (self->n_samplers == OWD_SAMPLERS)
    return;
  self->samplers[self->n_samplers++] = (OwdSampler){ .is_interface = is_interface, .id = id, .interval = interval };
  self->n_interfaces += is_interface;
}

/* What the exporter counts itself. What it counts for a part of itself says nothing about the whole. */
static void
take_reports (OwdState *self, guint32 set, const guint64 value[OWD_OPTION_N])
{
  G_STATIC_ASSERT (OWD_OPTION_N - OWD_OPTION_MESSAGES == OWD_REPORTS);
  if (set & (1u << OWD_OPTION_INTERFACE | 1u << OWD_OPTION_SAMPLER))
    return;
  for (guint r = 0; r < OWD_REPORTS; r++)
    if (set & 1u << (OWD_OPTION_MESSAGES + r)) {
      self->counters.report[r] = value[OWD_OPTION_MESSAGES + r];
      self->counters.reported |= (guint16) (1u << r);
    }
}

void
owd_state_options (OwdState *self, guint32 set, const guint64 value[OWD_OPTION_N])
{
  guint32 interval = told_interval (set, value);

  if ((set & 1u << OWD_OPTION_INIT_MS) && owd_init_is_sane (value[OWD_OPTION_INIT_MS]))
    self->init_ms = (gint64) value[OWD_OPTION_INIT_MS];
  if (set >> OWD_OPTION_MESSAGES != 0)
    take_reports (self, set, value);
  if (interval == 0)
    return;
  self->counters.sampling = interval;
  self->counters.sampling_algorithm = told_algorithm (set, value);
  if (set & 1u << OWD_OPTION_SAMPLER)
    remember_sampler (self, FALSE, value[OWD_OPTION_SAMPLER], interval);
  if (set & 1u << OWD_OPTION_INTERFACE)
    remember_sampler (self, TRUE, value[OWD_OPTION_INTERFACE], interval);
  else
    self->sampling = interval;
}

guint32
owd_state_sampling (const OwdState *self, gboolean is_interface, guint64 id)
{
  for (guint i = 0; i < self->n_samplers; i++)
    if (self->samplers[i].is_interface == is_interface && self->samplers[i].id == id)
      return self->samplers[i].interval;
  return self->sampling;
}

/* ---- table ------------------------------------------------------------------------------------- */

static guint
hash_bytes (const void *data, gsize len)
{
  const guint8 *p = data;
  guint64 h = len;

  for (gsize i = 0; i < len; i += sizeof (guint64)) {
    guint64 word;

    memcpy (&word, p + i, sizeof word);
    h = (h ^ word) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
    h ^= h >> 29;
  }
  return (guint) (h >> 32);
}

static guint
hash_key (gconstpointer key)
{
  return hash_bytes (key, sizeof (OwdStateKey));
}

static gboolean
equal_key (gconstpointer a, gconstpointer b)
{
  return memcmp (a, b, sizeof (OwdStateKey)) == 0;
}

static guint
hash_addr (gconstpointer addr)
{
  return hash_bytes (addr, sizeof (OwdAddr));
}

static gboolean
equal_addr (gconstpointer a, gconstpointer b)
{
  return memcmp (a, b, sizeof (OwdAddr)) == 0;
}

static void
state_free (gpointer data)
{
  OwdState *state = data;

  owd_template_table_clear (&state->templates);
  (void) owd_late_clear (&state->late);
  g_free (state);
}

OwdStateTable *
owd_state_table_new (const OwdDecoderLimits *limits)
{
  OwdStateTable *self = g_new0 (OwdStateTable, 1);

  G_STATIC_ASSERT (sizeof (OwdStateKey) % sizeof (guint64) == 0 && sizeof (OwdAddr) % sizeof (guint64) == 0);
  self->states = g_ptr_array_new_with_free_func (state_free);
  self->by_key = g_hash_table_new (hash_key, equal_key);
  self->by_addr = g_hash_table_new_full (hash_addr, equal_addr, NULL, g_free);
  owd_state_table_set_limits (self, limits);
  return self;
}

void
owd_state_table_set_limits (OwdStateTable *self, const OwdDecoderLimits *limits)
{
  self->limits = *limits;
  self->max_per_addr = MAX (limits->max_states / ADDRESS_PART, 16);
  self->memory.max = limits->max_bytes;
  for (guint i = 0; i < self->states->len; i++) {
    OwdState *state = g_ptr_array_index (self->states, i);

    state->of_addr->memory.max = limits->max_bytes / ADDRESS_PART;
    owd_template_table_set_limits (&state->templates, limits->max_templates, limits->template_timeout_ns);
  }
}

void
owd_state_table_free (OwdStateTable *self)
{
  if (self == NULL)
    return;
  g_ptr_array_unref (self->states); /* before by_addr: it has the accounts */
  g_hash_table_unref (self->by_key);
  g_hash_table_unref (self->by_addr);
  g_free (self);
}

OwdState *
owd_state_table_find (OwdStateTable *self, const OwdStateKey *key)
{
  if (self->last == NULL || !equal_key (&self->last->counters.key, key))
    self->last = g_hash_table_lookup (self->by_key, key);
  return self->last;
}

/* Frees templates and late sets of states that never brought a flow and were silent from `before` on. */
static void
evict (OwdStateTable *self, const OwdState *but, OwdTime before)
{
  for (guint i = 0; i < self->states->len; i++) {
    OwdState *state = g_ptr_array_index (self->states, i);

    if (state == but || state->counters.flows > 0 || state->counters.last_ns > before)
      continue;
    state->counters.refused[OWD_REASON_LATE_DROPPED] += owd_late_clear (&state->late);
    self->n_evicted += owd_template_table_forget (&state->templates);
  }
}

/* Room in this account, for `state`. What exporters hold that bring flows is not touched; of the others those that are
 * silent go first. */
static gboolean
make_room (OwdStateTable *self, const OwdMemory *memory, const OwdState *state, gsize bytes, OwdTime now_ns)
{
  if (owd_memory_fits (memory, bytes))
    return TRUE;
  if (!owd_memory_fits (&self->memory, bytes)) { /* else the address has too much */
    evict (self, state, now_ns - SILENT_NS);
    if (!owd_memory_fits (&self->memory, bytes + self->memory.max / 16))
      evict (self, state, G_MAXINT64);
    if (owd_memory_fits (memory, bytes))
      return TRUE;
  }
  self->n_refused++;
  return FALSE;
}

gboolean
owd_state_table_make_room (OwdStateTable *self, const OwdState *state, gsize bytes, OwdTime now_ns)
{
  return make_room (self, &state->of_addr->memory, state, bytes, now_ns);
}

void
owd_state_table_memory (const OwdStateTable *self, OwdDecoderMemory *ret_memory)
{
  *ret_memory = (OwdDecoderMemory){
    .used = self->memory.used, .max = self->memory.max, .evicted = self->n_evicted, .refused = self->n_refused
  };
}

OwdState *
owd_state_table_add (OwdStateTable *self, const OwdStateKey *key, OwdTime now_ns)
{
  OwdAddrStates *of_addr = g_hash_table_lookup (self->by_addr, &key->addr);
  OwdState *state;

  if (self->states->len >= self->limits.max_states || (of_addr != NULL && of_addr->n >= self->max_per_addr)
      || !make_room (self, of_addr != NULL ? &of_addr->memory : &self->memory, NULL, STATE_BYTES, now_ns))
    return NULL;
  state = g_new0 (OwdState, 1);
  state->counters.key = *key;
  state->number = self->states->len;
  g_ptr_array_add (self->states, state);
  g_hash_table_insert (self->by_key, &state->counters.key, state);
  if (of_addr == NULL) {
    of_addr = g_new0 (OwdAddrStates, 1);
    of_addr->first = state;
    of_addr->memory = (OwdMemory){ .parent = &self->memory, .max = self->memory.max / ADDRESS_PART };
    g_hash_table_insert (self->by_addr, &state->counters.key.addr, of_addr);
  }
  of_addr->n++;
  state->of_addr = of_addr;
  owd_memory_take (&of_addr->memory, STATE_BYTES);
  owd_template_table_init (&state->templates, &of_addr->memory, self->limits.max_templates,
                           self->limits.template_timeout_ns);
  owd_late_init (&state->late, &of_addr->memory, self->limits.late_bytes, self->limits.late_timeout_ns);
  self->last = state;
  return state;
}

OwdState *
owd_state_table_first (OwdStateTable *self, const OwdAddr *addr)
{
  const OwdAddrStates *of_addr = g_hash_table_lookup (self->by_addr, addr);

  return of_addr != NULL ? of_addr->first : NULL;
}

guint
owd_state_table_size (const OwdStateTable *self)
{
  return self->states->len;
}

OwdState *
owd_state_table_nth (const OwdStateTable *self, guint n)
{
  return g_ptr_array_index (self->states, n);
}
