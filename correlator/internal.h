/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the correlator: its state, all of it plain memory addressed by indices, so that a snapshot is a copy.
 */
#ifndef OWD_CORRELATOR_INTERNAL_H
#define OWD_CORRELATOR_INTERNAL_H

#include "owd-clock.h"
#include "owd-correlator.h"

#define NIL G_MAXUINT32

/* ---- waiting records ------------------------------------------------------------------------------ */

enum {
  REC_SYN = 1 << 0,       /* TCP SYN among its packets */
  REC_FIN = 1 << 1,       /* FIN or RST */
  REC_REPEATED = 1 << 2,  /* its start repeats that of an earlier record (Junos MS-DPC): not the start of this record */
  REC_OVERLAP = 1 << 3,   /* overlaps another one of its point with other counts: not used */
  REC_PAIRED = 1 << 4,    /* has, or had, a partner */
  REC_INTERFACE = 1 << 5, /* says by which interface it came in */
};

#define PARTNERS 5

/* Receive times of waiting records count in ticks of 2^16 ns, modulo 2^32: three days. */
#define TICK_BITS 16

/* One record at one point, waiting for its like. */
typedef struct {
  guint64 key;     /* directed hash of the 5-tuple */
  gint64 start_ns; /* lower edge of the stamp: the packet came in [start, start + clock + step) */
  gint64 end_ns;
  gint64 boot_ns;      /* as in OwdInstant */
  guint64 octets : 56; /* saturates */
  guint64 card : 8;    /* its line card in State.card + 1; 0: none that has a clock of its own */
  guint32 packets;     /* saturates */
  guint32 clock_us;    /* width of the boot interval, rounded up */
  guint32 bucket;
  guint32 next;    /* slot of the one before it in its conversation, 0: none; means nothing once that one has left */
  guint32 other;   /* of its conversation's youngest: likewise the youngest of the next conversation in the bucket */
  guint32 arrival; /* receive time in ticks; never decreases in order of arrival */
  guint32 near;    /* hash of the source's network, /24 or /48 */
  guint16 state;
  guint16 segment;           /* as in OwdInstant */
  guint16 wide;              /* hash of the interface that it came in by; of its /16 or /32 where none is told */
  guint16 partner[PARTNERS]; /* states paired with, G_MAXUINT16: none */
  guint8 flags;
  guint8 proto;
  guint8 kinds; /* start_kind | end_kind << 4 */
  guint8 ttl;   /* 0: not known or not constant */
} Rec;

/* With two words of the table for each, at most: 96 bytes. */
G_STATIC_ASSERT (sizeof (Rec) <= 88);

/* One stamp of one packet at one point: all that is needed to place it in time later. */
typedef struct {
  gint64 lo_ns, boot_ns;
  guint32 clock_us, likely_us; /* width of the boot interval, and where in it the boot time most likely is */
  guint16 state, segment;
  guint8 kind, which; /* OwdStampKind, OwdStampEnd */
  guint8 ttl, card;
} Stamp;

static inline Stamp
stamp_of (const Rec *rec, OwdStampEnd which)
{
  return (Stamp){
    .lo_ns = which == OWD_STAMP_START ? rec->start_ns : rec->end_ns,
    .boot_ns = rec->boot_ns,
    .clock_us = rec->clock_us,
    .likely_us = rec->clock_us / 2,
    .state = rec->state,
    .segment = rec->segment,
    .kind = which == OWD_STAMP_START ? rec->kinds & 15 : rec->kinds >> 4,
    .which = (guint8) which,
    .ttl = rec->ttl,
    .card = rec->card,
  };
}

/* ---- exporter states ------------------------------------------------------------------------------ */

#define LAG_BUCKETS 64

/* Lag of stamps: receive time minus stamp. Bucket i ends at 0.1 s * 2^((i + 1) / 4): 0.1 s to 109 min. */
typedef struct {
  guint32 n;
  guint32 count[LAG_BUCKETS];
} Lag;

/* Stamps of records that came in by this interface are ahead of the exporter's others. */
typedef struct {
  guint32 in_if;
  gint64 lo_ns, hi_ns;
} Card;

typedef struct {
  gboolean shared;                  /* it may give both halves of a conversation the same stamps: match.c */
  OwdStep step[2][OWD_STAMP_KINDS]; /* what owd_clock_step() says, kept for its many readers */
  OwdClockSpan span;                /* likewise, owd_clock_span() */
  OwdStateKey key;
  OwdTime first_ns, last_ns;
  OwdTime prior_until_ns;       /* receive time up to which the clock's prior is the one in force */
  guint32 prior_from, n_priors; /* its range in OwdCorrelator.prior */
  guint32 n_cards;
  Card card[OWD_PRIOR_GROUPS];
  guint64 records;
  guint32 sampling;
  guint32 twins, singles; /* conversations whose halves bear the same stamps, and others */
  gint64 step_ns;         /* of its end stamps, when last compared */
  Lag lag;
  OwdClock clock;
} State;

void lag_add (Lag *self, gint64 lag_ns);
/* Upper edge of the bucket where share of the lags lie below; OWD_TIME_NONE without any. */
gint64 lag_quantile_ns (const Lag *self, double share);

/* ---- pairs of points ------------------------------------------------------------------------------ */

#define RECENT 31

/* The last RECENT values. What is asked of them needs their order, which is put right then: most are never asked for,
 * and between two questions few have changed. */
typedef struct {
  gint64 value[RECENT]; /* ring */
  gint64 median, mad, low;
  guint8 rank[RECENT]; /* places in the ring, by value as it was when somebody asked */
  guint8 n;            /* values, at most RECENT */
  guint8 next;         /* place in the ring */
  guint8 n_ranked;     /* places in rank */
  gboolean known;      /* median, mad and low are those of the values */
} Recent;

static inline void
recent_add (Recent *self, gint64 value)
{
  self->value[self->next] = value;
  self->next = (guint8) (self->next + 1 < RECENT ? self->next + 1 : 0);
  self->n = (guint8) (self->n + (self->n < RECENT));
  self->known = FALSE;
}

/* Makes them known. */
void recent_rank (Recent *self);

/* The upper one of two; 0 without any. */
static inline gint64
recent_median (Recent *self)
{
  if (!self->known)
    recent_rank (self);
  return self->median;
}

/* Median of the distances from the median. */
static inline gint64
recent_mad (Recent *self)
{
  if (!self->known)
    recent_rank (self);
  return self->mad;
}

/* One in eight is smaller. */
static inline gint64
recent_low (Recent *self)
{
  if (!self->known)
    recent_rank (self);
  return self->low;
}

/* All of a Recent's values lie between these, and so does its median: seldom is more than that asked for. */
typedef struct {
  gint64 lo, hi;               /* of the values since its ring began anew, */
  gint64 lo_before, hi_before; /* and of the round before */
} Reach;

/* a to b, or b to a. delta of packets a to b is the larger one, by the round trip between a and b. */
typedef enum { TRAVELS_FORWARD, TRAVELS_BACK, TRAVELS_UNKNOWN } Travel;

#define LEVEL_BINS 16 /* power of two */
#define LEVEL_SIZE 6
#define LEVEL_REACH 6 /* bins on either side where a sample's company is looked for */
#define LEVEL_BIN_NS (500 * OWD_NS_PER_MS)

/* A sample of a path, for others to compare with. */
typedef struct {
  gint32 delta_us;
  guint16 at;   /* in its bin, in 65536ths */
  guint16 flow; /* hash */
} Neighbour;

/* Samples of one path within a bin of time. */
typedef struct {
  gint64 number; /* time / gate_bin_ns() */
  guint32 n;
  Neighbour v[LEVEL_SIZE];
} LevelBin;

#define NEIGHBOURS 12 /* the nearest in time */
#define SLICES 4      /* power of two: a slot has no more */

/* Those that pass next to a slice of time, in no order; gate.c. */
typedef struct {
  gint64 slice;
  guint32 noted; /* Habits.n when they were looked for */
  guint32 n;
  gint32 median_us, spread_us; /* spread: three of four are no further from the median */
  gint32 level_us[NEIGHBOURS]; /* behind the last one: G_MAXINT32 */
  guint16 flow[NEIGHBOURS];
} Company;

#define HABITS 128 /* power of two */

/* Levels that a path has had, whoever was near in time. */
typedef struct {
  Neighbour v[HABITS]; /* ring */
  guint32 n;           /* ever put there */
} Habits;

/* Samples of a path in the minute of the last one (thin.c). */
typedef struct {
  gint64 minute; /* time / 60 s */
  guint32 seen, kept;
  guint32 before; /* seen in the minute before */
} Thin;

/* Two points a < b (state indices). delta is always time at b minus time at a, whatever the direction of travel. */
typedef struct {
  guint32 a, b;
  gint64 floor_ns;  /* no packet takes less between them; 0: not known. From settings, not from snapshots */
  Recent delta;     /* all pairs: the centre of what is plausible */
  Recent path[2];   /* by Travel, as far as it was known when the records met */
  Reach reach[2];   /* of path */
  Recent lately[2]; /* by Travel, as decided */
  LevelBin level[2][LEVEL_BINS]; /* likewise, by time */
  Habits habits[2];              /* likewise */
  Company company[2][SLICES];    /* likewise, of the slices that were asked for last */
  guint32 late[2];               /* samples that came too late, not told of yet */
  guint32 misfits;               /* runs that were not plausible, less those that were */
  guint32 apart;                 /* conversations whose halves came by different interfaces, less those by the same */
  Recent round_trip;             /* between a and b, as networks with a clear direction have it; positive */
  Thin thin[2];                  /* by Travel, as decided */
} Pair;

#define SIDE_WAYS 4

/* From which side do packets of some kinds come? Running sums of round trips: positive for packets that travel a to b.
 * What a look-up reads is one cache line. */
typedef struct {
  guint32 side[SIDE_WAYS]; /* the hash; 0: free */
  guint32 n[SIDE_WAYS];
  gint64 sum_ns[SIDE_WAYS];
  double squares[SIDE_WAYS]; /* of what they are made of, see side_spread() */
  gint64 cell[SIDE_WAYS], cell_sum_ns[SIDE_WAYS];
  double cell_squares[SIDE_WAYS];
} SideSet;

#define SIDE_SETS 16384 /* power of two */

/* What is measured of one packet seen at a and b. */
typedef struct {
  gint64 at_a_ns, at_b_ns; /* best estimates of its time at either point, */
  gint64 delta_ns;         /* and the difference */
  gint64 step_ns;          /* sum of both steps, and of what is not known of line cards: each packet's own error */
  gint64 clock_ns;         /* sum of both boot intervals: an error common to all packets of the time */
  guint8 ttl_a, ttl_b;
  guint32 near, wide;   /* hashes of both points and where the flow comes from: its small network; interfaces, or its
                         * large one. 0: the stamped packets may have gone either way */
  gint64 round_trip_ns; /* delta minus delta of the conversation's other half; 0: not known */
} Seen;

#define WIDE_INTERFACES 2u /* bit of Seen.wide */

/* Asks memory for what pair_travel() will need of networks, */
void pair_expect (const OwdCorrelator *self, const Pair *pair, guint32 near, guint32 wide);
/* and pair_vote(). */
void pair_expect_vote (const OwdCorrelator *self, const Pair *pair, guint32 near, guint32 wide);
/* Learns what the halves of a conversation show of the networks and interfaces that their packets come from. */
void pair_vote (OwdCorrelator *self, Pair *pair, const Seen *half, const Seen *other, gint64 at_ns);
/* Who is upstream, as far as is known now. *ret_by_sign: it rests on the clocks' agreement alone. */
Travel pair_travel (const OwdCorrelator *self, Pair *pair, const Seen *seen, gboolean *ret_by_sign);
/* Is delta plausible? window_ns: for a unique key (SYN on both sides) all of it is; 0: only the neighbourhood of what
 * this pair has shown. */
gboolean pair_plausible (Pair *self, const Seen *seen, gint64 window_ns);
/* How far delta is from where this pair's deltas lie. */
gint64 pair_distance (Pair *self, gint64 delta_ns);
/* Learns delta. */
void pair_learn (Pair *self, const Seen *seen, Travel travel);

/* What gate.c says of a sample. */
typedef enum {
  VERDICT_NONE,         /* not asked yet */
  VERDICT_FINE,         /* where its path is */
  VERDICT_SUPPORTED,    /* far off, but not alone */
  VERDICT_LONELY,       /* far off, and too few others to tell */
  VERDICT_CONTRADICTED, /* far off, and others at its time were not: not delivered */
  VERDICT_BESIDE,       /* likely another packet of the stream: contradicted, and what follows of it likewise */
} Verdict;

/* A stamp of a contradicted sample, or a stream whose records are a packet apart. */
typedef struct {
  guint64 tag;   /* hash of flow, point and stamp, or of flow and points; 0: free */
  gint64 off_ns; /* of a stamp */
} Suspect;

#define SUSPECTS 1024 /* power of two */

/* What is proven of a packet: two stamps, a.state < b.state. */
typedef struct {
  Stamp a, b;
  gint64 round_trip_ns; /* as in Seen */
} Proof;

/* What its delay is, once it has been decided which way the packet went. */
typedef struct {
  gint64 delta_ns, step_ns;               /* as in Seen */
  gint64 lo_ns, hi_ns, sigma_ns, bias_ns; /* as in OwdSample */
  gint64 level_ns;                        /* where its path was; a delta */
  guint64 tag_a, tag_b;                   /* of its stamps, see gate.c */
} Delay;

/* A proven pair of stamps, waiting for its turn. */
typedef struct {
  OwdTime ts; /* its place in order: the earliest time that the packet can have upstream; once decided: that time */
  guint64 flow;
  union {
    Proof proof;
    Delay delay; /* decided */
  };
  guint32 sent_a, sent_b; /* packets of the whole flow at a and at b; 0: this tells nothing of loss */
  guint32 pair;           /* of a and b: its place in OwdCorrelator.pair */
  guint32 bucket;
  guint32 near, wide;
  guint16 a, b; /* states */
  guint16 flags;
  guint8 kind, proto; /* kind 0: no sample, only evidence of loss */
  guint8 decided;
  guint8 verdict; /* Verdict */
  guint8 travel;
  guint8 shared : 4;     /* what match_shared() said when the pair was proven */
  guint8 either_way : 4; /* its stamps may have been those of the other half then */
} Waiting;

/* Two cache lines. */
G_STATIC_ASSERT (sizeof (Waiting) == 128);

/* ---- the whole ------------------------------------------------------------------------------------ */

#define SLOTS 4096 /* power of two */
#define CHUNK_SAMPLES 31

typedef struct {
  guint32 next; /* chunk, NIL: last */
  guint32 n;
  _Alignas(64) Waiting w[CHUNK_SAMPLES];
} Chunk;

#define BLOCK_CHUNKS 8192u

/* Waiting pairs by slot of time: a list of chunks for each. */
typedef struct {
  gint64 slot_ns;
  gint64 first;  /* number of the earliest slot that is not delivered: time / slot_ns */
  guint32 *head; /* SLOTS, by slot number modulo SLOTS */
  guint32 far;   /* list of those that lie beyond the slots */
  Chunk **block; /* of BLOCK_CHUNKS each */
  guint32 n_chunks, free;
  guint32 near; /* pairs in slots */
  /* Work goes ahead of delivery: every earlier slot's pairs are decided, and judged. Those that come later still are
   * when their turn comes. */
  gint64 decided, judged;
} Pending;

static inline Chunk *
chunk_at (const Pending *p, guint32 i)
{
  return &p->block[i / BLOCK_CHUNKS][i % BLOCK_CHUNKS];
}

#define SHED_SECONDS 1024 /* power of two, no less than records are ever kept for; longer ones count as these */
#define SHED_NONE G_MAXUINT32

/* What came, and which share of the flows is kept of it. */
typedef struct {
  guint32 offered[SHED_SECONDS]; /* records by second of log time */
  guint32 now;                   /* since the last of them */
  guint32 keep_below;            /* flows whose mixed hash lies above are not kept; SHED_NONE: all are */
  gint64 second;                 /* of log time, the last one in offered */
  double limit;                  /* share that is allowed from outside */
  gint64 surge;                  /* when memory was full within a second */
  OwdTime since;                 /* flows that are kept now may lack records that came before, */
  guint32 sure_below;            /* those whose mixed hash lies above this */
} Shed;

#define PROBE_STRIDE 2
#define PROBES (8 * PROBE_STRIDE) /* power of two */

/* Look-ups that will be made soon, and how far what they need has been asked for; see match.c. */
typedef struct {
  guint32 bucket[PROBES]; /* ring: Rec.bucket of what is looked for */
  guint32 cursor[PROBES]; /* likewise: a record, NIL: no more */
  guint32 n;              /* ever put there */
} Probe;

#define EXPECTED 32 /* power of two, flows that are announced at most */

/* A pair in the slot whose turn has come. */
typedef struct {
  guint64 key;   /* what sorts it */
  guint32 place; /* chunk * CHUNK_SAMPLES + place in it */
} Turn;

#define REC_BLOCK_BITS 13
#define REC_BLOCK (1u << REC_BLOCK_BITS) /* records */

/* Waiting records, numbered in order of arrival. They come at one end and leave at the other, so whole blocks of slots
 * are taken and come free; within a block numbers and slots go together. Slot 0 is never taken. */
typedef struct {
  Rec *rec;
  guint64 *born;             /* by block: number of its first slot; 0: free */
  guint32 *queue;            /* by number / REC_BLOCK, modulo queue_size: the block */
  guint32 *spare;            /* free blocks that have been used before: the last one is taken first */
  guint32 n_spare, n_blocks; /* n_blocks: ever taken, and block 0 */
  guint32 room, queue_size;  /* blocks at most; queue_size: power of two */
  guint64 oldest, end;       /* numbers of those that wait: [oldest, end) */
  guint64 blocks_end;        /* blocks have been taken for numbers / REC_BLOCK below */
} Waiters;

struct OwdCorrelator {
  OwdCorrelatorConfig config;
  OwdSampleSink sink;
  OwdCountSink count_sink;
  void *user;

  /* exporter states */
  State *state;
  guint32 n_states, states_size;
  GHashTable *by_key; /* OwdStateKey -> index + 1; made anew on load */
  guint32 *index_of;  /* header's state number -> index + 1 */
  guint32 index_of_size;
  gboolean some_shared; /* an exporter stamps both halves of a conversation alike */
  guint32 current;      /* state of the last header */
  gboolean current_ok;  /* there was one, and its clock can be used */

  /* profiles */
  OwdPrior *prior; /* by key, from_ns, id */
  guint32 n_known_priors;

  Waiters waiting;
  OwdTime kept_since; /* every record of the flows that are kept that came since then is still there */
  guint32 *bucket;
  guint32 n_buckets; /* power of two */

  OwdFlowHashes expected[EXPECTED]; /* ring of flows that will come */
  guint32 n_expected, n_met;        /* ever put there, and taken out */
  Probe probe;
  Shed shed;

  Pair *pair; /* in the order in which they were met */
  guint32 n_pairs;
  guint32 *pair_slot; /* hash table: place in pair + 1, 0: free */
  guint32 pair_slots; /* power of two */
  SideSet *side;      /* SIDE_SETS; made with the first vote */
  Suspect suspect[SUSPECTS];

  Pending pending;
  Turn *turn; /* scratch of order.c */
  guint32 turns_size;
  GArray *slot_counts; /* OwdCount: scratch of order.c */
  OwdTime log_time, watermark, horizon_at;
  OwdTime arrival_ns; /* latest receive time of a header: when the record at hand came */
  gint64 horizon_ns;
  guint64 seq;
  guint32 n_late; /* sum over pairs */
  OwdCorrelatorCounters counters;
};

/* How many records wait. */
static inline guint32
rec_count (const OwdCorrelator *self)
{
  return (guint32) (self->waiting.end - self->waiting.oldest);
}

/* How many wait that came before the one in a slot; of a slot where none waits: no less than rec_count(). */
static inline guint64
rec_place (const OwdCorrelator *self, guint32 slot)
{
  const Waiters *w = &self->waiting;

  return w->born[slot >> REC_BLOCK_BITS] + (slot & (REC_BLOCK - 1)) - w->oldest;
}

/* The slot of a number between oldest and end. */
static inline guint32
rec_slot (const OwdCorrelator *self, guint64 number)
{
  const Waiters *w = &self->waiting;

  return w->queue[number >> REC_BLOCK_BITS & (w->queue_size - 1)] << REC_BLOCK_BITS
         | (guint32) (number & (REC_BLOCK - 1));
}

/* correlator.c */
/* Room for a large array that may grow up to that size: zeros, in large pages where the kernel has some; memory that is
 * never touched is never taken. */
void *room_new (gsize bytes);
void room_free (void *room, gsize bytes);
/* match.c */
OwdStatus match_add (OwdCorrelator *self, const OwdFlow *flow, const OwdFlowHashes *hashes, const OwdInstant *start,
                     const OwdInstant *end, guint8 card);
/* Asks memory for what a flow will need that comes soon. */
void match_expect (OwdCorrelator *self, const OwdFlow *flow);
/* The hashes of the flow at hand: those made ahead, if it was expected. */
void match_hashes (OwdCorrelator *self, const OwdFlow *flow, OwdFlowHashes *ret_hashes);
/* Which of two states give both halves of a conversation the same stamps: bit 0 for a, bit 1 for b. */
guint8 match_shared (const OwdCorrelator *self, guint16 a, guint16 b);
/* Is what order.c holds of a flow with unequal counts still evidence of loss, now that all its records have come? */
gboolean match_shows_loss (const OwdCorrelator *self, const Waiting *w);
void match_expire (OwdCorrelator *self, OwdTime before);
/* Makes and frees the room for config.max_waiting records; their table is match_rehash()'s. */
void match_init (OwdCorrelator *self);
void match_clear (OwdCorrelator *self);
/* Room for the next record, whose slot this is; it waits once Waiters.end is behind it. */
guint32 match_slot (OwdCorrelator *self);
/* Those behind the first n leave. */
void match_cut (OwdCorrelator *self, guint32 n);
/* Makes the table of buckets anew, in that size. */
void match_rehash (OwdCorrelator *self, guint32 n_buckets);
/* shed.c */
/* Is the flow kept? Counts it either way. */
gboolean shed_takes (OwdCorrelator *self, guint32 bucket);
double shed_kept (const OwdCorrelator *self);
/* A flow that is kept may lack records that came before. */
OwdTime shed_since (const OwdCorrelator *self, guint32 bucket);
/* Log time has moved on: what share is to be kept from now on? keep_ns: so long records stay. */
void shed_adapt (OwdCorrelator *self, gint64 keep_ns);
/* No slot is free. FALSE: nor is one now. */
gboolean shed_make_room (OwdCorrelator *self);
/* pair.c */
/* What was learnt with this state rests on stamps that were misunderstood. */
void pair_forget (OwdCorrelator *self, guint32 state);
/* Place in self->pair of a < b; that array moves when a pair is new. */
guint32 pair_get (OwdCorrelator *self, guint32 a, guint32 b);
/* Makes the table of slots for self->pair, which is complete. */
void pair_index (OwdCorrelator *self);
/* What the settings say of it. */
void pair_set_floor (const OwdCorrelator *self, Pair *pair);
/* delay.c */
/* The state's clock has learnt something: what is kept of it is made anew. */
void delay_renew (State *s);
/* Uses what later headers have shown. FALSE: the clock was stepped around then, and it may have been either. */
gboolean stamp_refine (const OwdCorrelator *self, Stamp *stamp);
/* Lower edge and best estimate. */
gint64 stamp_best_ns (const OwdCorrelator *self, const Stamp *stamp);
/* The first or the last packet of two records, as the clocks are known now; a->state < b->state. All of *ret_seen but
 * networks and round trip. */
void delay_see_records (const OwdCorrelator *self, const Rec *a, const Rec *b, OwdStampEnd which, Seen *ret_seen);
/* Likewise of two stamps as they are. */
void delay_see (const OwdCorrelator *self, const Stamp *a, const Stamp *b, Seen *ret_seen);
/* The delay between two stamps as they are, all of it but delta, step and tags. Returns flags for its sample. */
guint16 delay_between (const OwdCorrelator *self, const Stamp *up, const Stamp *down, Delay *ret_delay);
/* Makes the interval hold another level of delay too, and sigma say so. */
void delay_widen (OwdSample *sample, gint64 level_ns);
/* prior.c */
/* Makes the clock know the profile that is in force at a time; before the header of that time. */
void prior_update (OwdCorrelator *self, State *s, OwdTime recv_ns);
/* A new state: which profiles are about it. */
void prior_attach (const OwdCorrelator *self, State *s);
/* Id of the profile in force, 0: none. */
guint32 prior_id_at (const OwdCorrelator *self, const State *s, OwdTime t);
/* Number of the line card with a clock of its own that the record came by, + 1; 0: none. */
guint8 prior_card (const State *s, const OwdFlow *flow);
/* gate.c */
/* Length of a LevelBin. */
gint64 gate_bin_ns (const OwdCorrelator *self);
/* Of a flow's stamp: what remains of it however the clock is read. */
guint64 gate_tag (guint64 flow, const Stamp *stamp);
/* A pair has been decided: others may compare with it. */
void gate_note (OwdCorrelator *self, const Waiting *w);
/* What the others that were noted around its time say of it: sets verdict and level_ns. */
void gate_judge (OwdCorrelator *self, Waiting *w);
/* FALSE: not to be delivered. */
gboolean gate_passes (OwdCorrelator *self, const Waiting *w);
/* thin.c */
/* FALSE: excess. thin: of its path. */
gboolean thin_keeps (const OwdCorrelator *self, Thin *thin, const OwdSample *sample);
/* order.c */
void order_clear (Pending *pending);
/* Room for n chunks in a cleared one. */
void order_make_chunks (Pending *pending, guint32 n);
/* Sets its time. Copied. */
void order_push (OwdCorrelator *self, Waiting *w);
void order_advance (OwdCorrelator *self, OwdTime log_time);
void order_flush (OwdCorrelator *self);

#endif
