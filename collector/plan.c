/* SPDX-License-Identifier: Apache-2.0
 *
 * See plan.h. A template with variable-length fields is cut into segments: runs of fixed fields between them. Each
 * step knows its segment and the offset in it; a walk over the variable fields finds where the segments of a record
 * begin. A template of fixed length has one segment, which begins at the record.
 *
 * Nearly all steps move bytes, reversed and widened with zeros. For records of fixed length they are made into moves
 * of 16 bytes: of each 16 bytes of the result that some field goes to, the template decides which bytes come from
 * where, and a processor with a byte shuffle (SSSE3) does each with a load, a shuffle and an or. Steps remain for what
 * is no such move, for short or variable records, and for other processors; both ways give the same (test_decoder).
 *
 * Cost: about 20 ns per record for 20 fields, of which 14 are ours, a third of that by shuffles (tests/perf tells).
 */
#include "plan.h"
#include "memory.h"

#include <stddef.h>
#include <string.h>
#ifdef __x86_64__
#include <tmmintrin.h>
#endif

/* In the order in which they run. ADDR4 comes with a prefix or, for 0.0.0.0, as all zero; COPY4 relies on a prefix
 * in the prototype. OR must be last. */
typedef enum {
  OP_COPY4,
  OP_COPY16,
  OP_ADDR4,
  OP_8_8,
  OP_8_16,
  OP_16_16,
  OP_16_32,
  OP_32_32,
  OP_32_64,
  OP_64_64,
  OP_INT_8,
  OP_INT_16,
  OP_INT_32,
  OP_INT_64,
  OP_OR_16,
  OPS
} Op;

typedef struct {
  guint16 dst; /* offset in OwdRecord */
  guint16 segment;
  guint16 src; /* offset in the segment */
  guint8 len;
  guint8 op;
} Step;

#define BLOCK OWD_RECORD_BLOCK /* bytes of a shuffle */
#define DROP 0x80              /* in its mask: a zero */

/* 16 bytes of the record's, put into their places among 16 bytes of OwdRecord. */
typedef struct {
  guint16 src; /* offset in the record; 16 bytes from there on are the record's too */
  guint16 dst;
  guint8 from[BLOCK];
} Shuffle;

/* Reasons for owd_plan_finish(). */
enum {
  FINISH_PAIRS = 1 << 0,   /* several address pairs: take the first that is not all zero */
  FINISH_STAMPS = 1 << 1,  /* several sorts of stamps: take the finest that is sane */
  FINISH_AUX = 1 << 2,     /* direction, ICMP type, label */
  FINISH_END = 1 << 3,     /* end = start + duration */
  FINISH_START = 1 << 4,   /* start = end - duration */
  FINISH_RARE = 1 << 5,    /* rare members may be set: OWD_FLOW_EXT */
  FINISH_REVERSE = 1 << 6, /* biflow */
  FINISH_INIT = 1 << 7,    /* the record tells when the exporter started: is that sane? */
};

#define RARE_WORDS 4

struct OwdPlan {
  OwdPlanInfo info;
  guint32 finish; /* FINISH_* */
  guint32 aux;    /* bits 1 << OwdAux */
  guint32 flags[2];
  guint32 reverse_rare; /* members of the reverse record that have elements of their own: REVERSE_* */
  guint8 kind[2][2];    /* of start and end, forward and reverse, where the template decides */
  guint8 pair_family[OWD_PAIRS];
  guint8 n_pairs;
  gboolean own_dport;
  guint8 n_starts, n_ends; /* candidates, finest first */
  guint8 starts[OWD_STAMP_KINDS], ends[OWD_STAMP_KINDS];
  guint16 template_id;
  guint16 n_steps;
  guint16 op_end[OPS];  /* steps[op_end[op - 1] .. op_end[op]) are op's */
  guint16 n_var;        /* variable-length fields */
  guint n_segments;     /* that there is room for */
  guint16 *segment_len; /* n_var + 1 */
  Step *steps;
  guint16 n_blocks; /* of 16 bytes of OwdRecord that fields go to; 0: steps do it all */
  guint16 n_shuffles;
  Shuffle *shuffles;     /* n_blocks that each begin a block, then those that add to one */
  guint8 (*keep)[BLOCK]; /* n_blocks: mask of what no field goes to */
  gboolean has_rest;     /* steps of OP_ADDR4 and OP_OR_16 remain */
  guint16 n_rare; /* words of OwdFlow that rare members of this template lie in; above RARE_WORDS: too many to tell */
  guint16 rare[RARE_WORDS];
};

enum {
  REVERSE_COUNT_PACKETS = 1 << 0,
  REVERSE_COUNT_OCTETS = 1 << 1,
  REVERSE_IN_IF = 1 << 2,
  REVERSE_OUT_IF = 1 << 3,
  REVERSE_VLAN = 1 << 4,
};

static const guint8 V4_PREFIX[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

/* ---- compiling --------------------------------------------------------------------------------- */

/* A field of the template together with one of its uses. */
typedef struct {
  const OwdElement *e;
  guint8 dir; /* 0 forward, 1 reverse */
  guint8 taken;
  guint16 segment, offset, len;
} Candidate;

typedef struct {
  OwdPlan *plan;
  GArray *steps;      /* Step */
  GArray *candidates; /* Candidate */
} Compiler;

#define RECORD_FLOW(dir) (offsetof (OwdRecord, flow) + (dir) * sizeof (OwdFlow))
#define FLOW_OFFSET(dir, member) (RECORD_FLOW (dir) + offsetof (OwdFlow, member))

static Op
int_op (guint size, guint len)
{
  switch (size) {
  case 1:
    return len == 1 ? OP_8_8 : OP_INT_8;
  case 2:
    return len == 1 ? OP_8_16 : len == 2 ? OP_16_16 : OP_INT_16;
  case 4:
    return len == 2 ? OP_16_32 : len == 4 ? OP_32_32 : OP_INT_32;
  default:
    return len == 4 ? OP_32_64 : len == 8 ? OP_64_64 : OP_INT_64;
  }
}

static void
add_step (Compiler *c, Op op, gsize dst, const Candidate *from)
{
  Step step = {
    .dst = (guint16) dst, .segment = from->segment, .src = from->offset, .len = (guint8) from->len, .op = (guint8) op
  };

  g_array_append_val (c->steps, step);
}

/* Can this field's encoding be used so? */
static gboolean
fits (const OwdElement *e, guint16 len)
{
  switch (e->use) {
  case OWD_USE_SRC:
  case OWD_USE_DST:
  case OWD_USE_ADDR:
    return len == (e->arg == 4 ? 4 : 16);
  case OWD_USE_START:
  case OWD_USE_END:
    if (e->arg == OWD_STAMP_NTP_US || e->arg == OWD_STAMP_NTP_NS || e->arg == OWD_STAMP_EVENT_US
        || e->arg == OWD_STAMP_EVENT_NS)
      return len == 8;
    return len >= 1 && len <= 8;
  default:
    return len >= 1 && len <= 8;
  }
}

/* The element that a field means; *ret_dir 1 for the reverse direction. */
static const OwdElement *
find_element (const OwdField *field, guint8 *ret_dir, guint *ret_n)
{
  guint32 pen = field->pen;
  guint16 id = field->id;

  *ret_dir = 0;
  if (pen == OWD_PEN_REVERSE) {
    *ret_dir = 1;
    pen = 0;
  } else if (pen == OWD_PEN_CERT && (id & 0x4000)) { /* CERT marks its own reverse elements by this bit */
    *ret_dir = 1;
    id &= 0x3fff;
  }
  return owd_element_find (pen, id, ret_n);
}

/* Places fields in segments, notes the candidates, finds the least length. */
static void
scan_fields (Compiler *c, const OwdField *fields, guint n, gboolean is_options)
{
  OwdPlan *plan = c->plan;
  guint segment = 0, offset = 0, min_len = 0;

  plan->segment_len = g_new0 (guint16, n + 1);
  plan->n_segments = n + 1;
  for (guint i = 0; i < n; i++) {
    guint n_rows;
    guint8 dir;
    const OwdElement *rows = find_element (&fields[i], &dir, &n_rows);

    if (fields[i].len == OWD_VARLEN) {
      plan->segment_len[segment++] = (guint16) offset;
      offset = 0;
      min_len += 1;
      continue;
    }
    for (guint r = 0; r < n_rows; r++) {
      Candidate cand = {
        .e = &rows[r], .dir = dir, .segment = (guint16) segment, .offset = (guint16) offset, .len = fields[i].len
      };

      if (fits (&rows[r], fields[i].len) && is_options == (rows[r].use == OWD_USE_OPTION))
        g_array_append_val (c->candidates, cand);
    }
    offset += fields[i].len;
    min_len += fields[i].len;
  }
  plan->segment_len[segment] = (guint16) offset;
  plan->n_var = (guint16) segment;
  plan->info.min_len = (guint16) min_len;
}

/* The nth candidate of that use and argument, or NULL. */
static Candidate *
nth (Compiler *c, guint use, guint arg, guint dir, guint skip)
{
  for (guint i = 0; i < c->candidates->len; i++) {
    Candidate *cand = &g_array_index (c->candidates, Candidate, i);

    if (cand->e->use == use && cand->e->arg == arg && cand->dir == dir && skip-- == 0)
      return cand;
  }
  return NULL;
}

/* Pairs are a source and the destination of the same family and rank of appearance, in the order of the sources. */
static void
compile_pairs (Compiler *c)
{
  OwdPlan *plan = c->plan;
  Candidate *src[OWD_PAIRS], *dst[OWD_PAIRS];
  guint seen[2] = { 0, 0 };
  guint n = 0;

  for (guint i = 0; i < c->candidates->len && n < OWD_PAIRS; i++) {
    Candidate *cand = &g_array_index (c->candidates, Candidate, i);

    if (cand->e->use != OWD_USE_SRC || cand->dir != 0)
      continue;
    dst[n] = nth (c, OWD_USE_DST, cand->e->arg, 0, seen[cand->e->arg == 6]++);
    src[n] = cand;
    if (dst[n] == NULL)
      continue;
    plan->pair_family[n++] = cand->e->arg;
  }
  for (guint i = 0; i < n; i++) {
    Op op = plan->pair_family[i] == 4 ? OP_COPY4 : OP_COPY16;
    gsize tail = plan->pair_family[i] == 4 ? 12 : 0;
    gsize pair = offsetof (OwdRecord, pair) + i * sizeof (((OwdRecord *) NULL)->pair[0]);

    add_step (c, op, (n == 1 ? FLOW_OFFSET (0, src) : pair) + tail, src[i]);
    add_step (c, op, (n == 1 ? FLOW_OFFSET (0, dst) : pair + sizeof (OwdAddr)) + tail, dst[i]);
  }
  plan->n_pairs = (guint8) n;
  plan->info.has_pair = n > 0;
  if (n > 1)
    plan->finish |= FINISH_PAIRS;
}

/* Finest first; an event is no stamp of a flow while the flow has its own. */
static const guint8 FINEST[] = {
  OWD_STAMP_NTP_NS, OWD_STAMP_NTP_US, OWD_STAMP_DELTA_US, OWD_STAMP_UNIX_MS, OWD_STAMP_UPTIME_MS, OWD_STAMP_UNIX_S,
};
static const guint8 FINEST_EVENT[] = { OWD_STAMP_EVENT_NS, OWD_STAMP_EVENT_US, OWD_STAMP_EVENT_MS, OWD_STAMP_EVENT_S };

static guint8
list_kinds (Compiler *c, guint use, guint dir, const guint8 *order, guint n_order, guint8 *ret_kinds)
{
  guint8 n = 0;

  for (guint i = 0; i < n_order; i++)
    if (nth (c, use, order[i], dir, 0) != NULL)
      ret_kinds[n++] = order[i];
  return n;
}

static void
add_stamp (Compiler *c, guint use, guint dir, guint kind, gsize dst)
{
  const Candidate *cand = nth (c, use, kind, dir, 0);

  add_step (c, int_op (8, cand->len), dst, cand);
}

static void
compile_stamps (Compiler *c)
{
  OwdPlan *plan = c->plan;

  plan->n_starts = list_kinds (c, OWD_USE_START, 0, FINEST, G_N_ELEMENTS (FINEST), plan->starts);
  plan->n_ends = list_kinds (c, OWD_USE_END, 0, FINEST, G_N_ELEMENTS (FINEST), plan->ends);
  if (plan->n_starts + plan->n_ends == 0)
    plan->n_starts = MIN (list_kinds (c, OWD_USE_START, 0, FINEST_EVENT, G_N_ELEMENTS (FINEST_EVENT), plan->starts), 1);

  if (plan->n_starts <= 1 && plan->n_ends <= 1) {
    if (plan->n_starts == 1) {
      plan->kind[0][0] = plan->starts[0];
      add_stamp (c, OWD_USE_START, 0, plan->starts[0], FLOW_OFFSET (0, start_raw));
    }
    if (plan->n_ends == 1) {
      plan->kind[0][1] = plan->ends[0];
      add_stamp (c, OWD_USE_END, 0, plan->ends[0], FLOW_OFFSET (0, end_raw));
    }
    return;
  }
  plan->finish |= FINISH_STAMPS;
  for (guint i = 0; i < plan->n_starts; i++)
    add_stamp (c, OWD_USE_START, 0, plan->starts[i],
               offsetof (OwdRecord, stamp) + plan->starts[i] * 2 * sizeof (guint64));
  for (guint i = 0; i < plan->n_ends; i++)
    add_stamp (c, OWD_USE_END, 0, plan->ends[i],
               offsetof (OwdRecord, stamp) + (plan->ends[i] * 2 + 1) * sizeof (guint64));
}

/* Of the reverse direction the finest is taken unseen: several sorts of them have not been met. */
static void
compile_reverse_stamps (Compiler *c)
{
  OwdPlan *plan = c->plan;
  guint8 kinds[OWD_STAMP_KINDS];

  if (list_kinds (c, OWD_USE_START, 1, FINEST, G_N_ELEMENTS (FINEST), kinds) > 0) {
    plan->kind[1][0] = kinds[0];
    add_stamp (c, OWD_USE_START, 1, kinds[0], FLOW_OFFSET (1, start_raw));
  }
  if (list_kinds (c, OWD_USE_END, 1, FINEST, G_N_ELEMENTS (FINEST), kinds) > 0) {
    plan->kind[1][1] = kinds[0];
    add_stamp (c, OWD_USE_END, 1, kinds[0], FLOW_OFFSET (1, end_raw));
  }
}

static gboolean
same_member (const Candidate *a, const Candidate *b)
{
  return a->e->use == b->e->use && a->dir == b->dir && a->e->offset == b->e->offset;
}

/* The preferred candidate for the member that the ith is for; marks all of them as taken. */
static Candidate *
prefer (Compiler *c, guint i)
{
  Candidate *best = &g_array_index (c->candidates, Candidate, i);

  for (guint k = i; k < c->candidates->len; k++) {
    Candidate *other = &g_array_index (c->candidates, Candidate, k);

    if (!same_member (best, other))
      continue;
    other->taken = TRUE;
    if (other->e->rank < best->e->rank)
      best = other;
  }
  return best;
}

static guint32
reverse_bit (const OwdElement *e)
{
  switch (e->offset) {
  case offsetof (OwdFlow, packets):
    return REVERSE_COUNT_PACKETS;
  case offsetof (OwdFlow, octets):
    return REVERSE_COUNT_OCTETS;
  case offsetof (OwdFlow, in_if):
    return REVERSE_IN_IF;
  case offsetof (OwdFlow, out_if):
    return REVERSE_OUT_IF;
  case offsetof (OwdFlow, vlan):
    return REVERSE_VLAN;
  default:
    return 0;
  }
}

static void
add_rare (OwdPlan *plan, gsize offset, gsize size)
{
  G_STATIC_ASSERT (offsetof (OwdFlow, tos) % 8 == 0 && sizeof (OwdFlow) % 8 == 0);
  plan->finish |= FINISH_RARE;
  for (gsize word = offset & ~(gsize) 7; word < offset + size; word += 8) {
    if (plan->n_rare < RARE_WORDS)
      plan->rare[plan->n_rare] = (guint16) word;
    plan->n_rare = (guint16) MIN (plan->n_rare + 1, RARE_WORDS + 1);
  }
}

static void
compile_members (Compiler *c)
{
  OwdPlan *plan = c->plan;

  for (guint i = 0; i < c->candidates->len; i++) {
    const Candidate *cand = &g_array_index (c->candidates, Candidate, i);
    const OwdElement *e;

    if (cand->taken || (cand->e->use != OWD_USE_INT && cand->e->use != OWD_USE_ADDR))
      continue;
    cand = prefer (c, i);
    e = cand->e;
    if (e->use == OWD_USE_INT)
      add_step (c, int_op (e->size, cand->len), RECORD_FLOW (cand->dir) + e->offset, cand);
    else if (cand->dir == 0)
      add_step (c, cand->len == 4 ? OP_ADDR4 : OP_COPY16, RECORD_FLOW (0) + e->offset, cand);
    plan->flags[cand->dir] |= e->flags;
    if (cand->dir == 1)
      plan->reverse_rare |= reverse_bit (e);
    else if (e->offset == offsetof (OwdFlow, sampling))
      plan->info.own_sampling = TRUE;
    else if (e->offset == offsetof (OwdFlow, dport))
      plan->own_dport = TRUE;
    else if (e->offset == offsetof (OwdFlow, init_ms))
      plan->finish |= FINISH_INIT;
    if (e->offset >= offsetof (OwdFlow, tos))
      add_rare (plan, e->offset, e->use == OWD_USE_ADDR ? sizeof (OwdAddr) : e->size);
  }
}

/* After compile_members(): a member without a plain element gets its first value by assignment. */
static void
compile_ors (Compiler *c)
{
  for (guint i = 0; i < c->candidates->len; i++) {
    const Candidate *cand = &g_array_index (c->candidates, Candidate, i);
    guint32 *flags = &c->plan->flags[cand->dir];

    if (cand->e->use != OWD_USE_OR)
      continue;
    add_step (c, (*flags & cand->e->flags) ? OP_OR_16 : int_op (2, cand->len),
              RECORD_FLOW (cand->dir) + cand->e->offset, cand);
    *flags |= cand->e->flags;
  }
}

static void
compile_aux (Compiler *c)
{
  OwdPlan *plan = c->plan;
  const guint32 durations = 1u << OWD_AUX_DURATION_MS | 1u << OWD_AUX_DURATION_US;
  const guint32 elsewhere = durations | 1u << OWD_AUX_SAMPLER | 1u << OWD_AUX_REVERSE_MS; /* not apply_aux()'s */
  guint8 start = plan->kind[0][0], end = plan->kind[0][1];

  for (guint aux = 0; aux < OWD_AUX_N; aux++) {
    const Candidate *cand = NULL;

    for (guint i = 0; i < c->candidates->len; i++) {
      const Candidate *other = &g_array_index (c->candidates, Candidate, i);

      if (other->e->use == OWD_USE_AUX && other->e->arg == aux && other->dir == 0
          && (cand == NULL || other->e->rank < cand->e->rank))
        cand = other;
    }
    if (cand == NULL)
      continue;
    plan->aux |= 1u << aux;
    add_step (c, int_op (8, cand->len), offsetof (OwdRecord, aux) + aux * sizeof (guint64), cand);
  }
  plan->info.sampler = (plan->aux >> OWD_AUX_SAMPLER & 1) && !plan->info.own_sampling;
  if (plan->aux & 1u << OWD_AUX_MPLS)
    add_rare (plan, offsetof (OwdFlow, mpls), sizeof (((OwdFlow *) NULL)->mpls));
  if (plan->aux & ~elsewhere)
    plan->finish |= FINISH_AUX;
  if ((plan->aux & durations) && !(plan->finish & FINISH_STAMPS)) {
    if (end == OWD_STAMP_NONE && (start == OWD_STAMP_UNIX_MS || start == OWD_STAMP_UPTIME_MS)) {
      plan->finish |= FINISH_END;
      plan->kind[0][1] = start;
    } else if (start == OWD_STAMP_NONE && (end == OWD_STAMP_UNIX_MS || end == OWD_STAMP_UPTIME_MS)) {
      plan->finish |= FINISH_START;
      plan->kind[0][0] = end;
    }
  }
}

static void
compile_options (Compiler *c)
{
  for (guint opt = 0; opt < OWD_OPTION_N; opt++) {
    const Candidate *cand = nth (c, OWD_USE_OPTION, opt, 0, 0);

    if (cand == NULL)
      continue;
    c->plan->info.options |= 1u << opt;
    add_step (c, int_op (8, cand->len), offsetof (OwdRecord, option) + opt * sizeof (guint64), cand);
  }
}

/* Counting sort by operation, stable. */
static void
sort_steps (Compiler *c)
{
  OwdPlan *plan = c->plan;
  guint n = 0;

  plan->n_steps = (guint16) c->steps->len;
  plan->steps = g_new (Step, c->steps->len + 1);
  for (guint op = 0; op < OPS; op++) {
    for (guint i = 0; i < c->steps->len; i++) {
      Step step = g_array_index (c->steps, Step, i);

      if (step.op == op)
        plan->steps[n++] = step;
    }
    plan->op_end[op] = (guint16) n;
  }
}

/* ---- 16 bytes at a time ------------------------------------------------------------------------ */

static gboolean
have_shuffle (void)
{
#ifdef __x86_64__
  return __builtin_cpu_supports ("ssse3");
#else
  return FALSE;
#endif
}

static guint
size_of (guint op)
{
  switch (op) {
  case OP_COPY16:
    return 16;
  case OP_8_8:
  case OP_INT_8:
    return 1;
  case OP_8_16:
  case OP_16_16:
  case OP_INT_16:
    return 2;
  case OP_COPY4:
  case OP_16_32:
  case OP_32_32:
  case OP_INT_32:
    return 4;
  default:
    return 8;
  }
}

/* Where each byte of the result comes from: an offset in the record, ZERO, or KEEP. */
enum { KEEP = -1, ZERO = -2 };

static void
map_step (const Step *step, gint16 *map)
{
  guint size = size_of (step->op);
  gboolean copy = step->op == OP_COPY4 || step->op == OP_COPY16;

  for (guint i = 0; i < size; i++) {
    if (copy)
      map[step->dst + i] = (gint16) (step->src + i);
    else /* big-endian there, little-endian here */
      map[step->dst + i] = i < step->len ? (gint16) (step->src + step->len - 1 - i) : ZERO;
  }
}

/* Shuffles for the block at dst: the lowest byte that is still to be had decides the next 16. */
static void
compile_block (OwdPlan *plan, const gint16 *map, guint dst, GArray *first, GArray *more)
{
  gboolean done[BLOCK];
  guint8 keep[BLOCK];

  for (guint i = 0; i < BLOCK; i++) {
    keep[i] = map[dst + i] == KEEP ? 0xff : 0;
    done[i] = map[dst + i] < 0;
  }
  for (GArray *to = first;; to = more) {
    Shuffle shuffle = { .src = G_MAXUINT16, .dst = (guint16) dst };

    for (guint i = 0; i < BLOCK; i++)
      if (!done[i])
        shuffle.src = MIN (shuffle.src, (guint16) map[dst + i]);
    if (shuffle.src == G_MAXUINT16)
      return;
    shuffle.src = MIN (shuffle.src, plan->info.min_len - BLOCK);
    for (guint i = 0; i < BLOCK; i++) {
      gboolean here = !done[i] && map[dst + i] < shuffle.src + BLOCK;

      shuffle.from[i] = here ? (guint8) (map[dst + i] - shuffle.src) : DROP;
      done[i] |= here;
    }
    g_array_append_val (to, shuffle);
    if (to == first)
      memcpy (plan->keep[plan->n_blocks++], keep, sizeof keep);
  }
}

/* Behind sort_steps(). Blocks lie at multiples of 16 bytes. */
static void
compile_blocks (OwdPlan *plan)
{
  g_autofree gint16 *map = g_new (gint16, sizeof (OwdRecord));
  g_autoptr (GArray) first = g_array_new (FALSE, FALSE, sizeof (Shuffle));
  g_autoptr (GArray) more = g_array_new (FALSE, FALSE, sizeof (Shuffle));

  G_STATIC_ASSERT (offsetof (OwdRecord, kept) <= sizeof (((OwdRecord *) NULL)->kept));
  for (gsize i = 0; i < sizeof (OwdRecord); i++)
    map[i] = KEEP;
  for (guint i = 0; i < plan->n_steps; i++)
    if (plan->steps[i].op != OP_ADDR4 && plan->steps[i].op != OP_OR_16)
      map_step (&plan->steps[i], map);
    else
      plan->has_rest = TRUE;
  plan->keep = g_malloc (OWD_RECORD_BLOCKS * sizeof *plan->keep);
  for (guint dst = 0; dst < offsetof (OwdRecord, kept); dst += BLOCK)
    compile_block (plan, map, dst, first, more);
  g_array_append_vals (first, more->data, more->len);
  plan->n_shuffles = (guint16) first->len;
  plan->shuffles = g_memdup2 (first->data, first->len * sizeof (Shuffle));
  plan->keep = g_realloc (plan->keep, plan->n_blocks * sizeof *plan->keep);
}

OwdPlan *
owd_plan_new (const OwdField *fields, guint n, gboolean is_options, guint16 template_id)
{
  OwdPlan *plan = g_new0 (OwdPlan, 1);
  Compiler c = { .plan = plan,
                 .steps = g_array_new (FALSE, FALSE, sizeof (Step)),
                 .candidates = g_array_new (FALSE, FALSE, sizeof (Candidate)) };

  G_STATIC_ASSERT (sizeof (OwdRecord) <= G_MAXUINT16);
  plan->template_id = template_id;
  scan_fields (&c, fields, n, is_options);
  if (is_options) {
    compile_options (&c);
  } else {
    compile_pairs (&c);
    if (plan->info.has_pair) {
      compile_stamps (&c);
      compile_reverse_stamps (&c);
      compile_members (&c);
      compile_ors (&c);
      compile_aux (&c);
      if (plan->reverse_rare & (REVERSE_COUNT_PACKETS | REVERSE_COUNT_OCTETS))
        plan->finish |= FINISH_REVERSE;
    }
  }
  sort_steps (&c);
  if (have_shuffle () && plan->n_var == 0 && plan->info.min_len >= BLOCK)
    compile_blocks (plan);
  plan->info.finish = plan->finish != 0;
  plan->info.plain = plan->n_var == 0 && (plan->finish & ~FINISH_RARE) == 0;
  g_array_unref (c.steps);
  g_array_unref (c.candidates);
  return plan;
}

void
owd_plan_free (OwdPlan *plan)
{
  if (plan == NULL)
    return;
  g_free (plan->segment_len);
  g_free (plan->steps);
  g_free (plan->shuffles);
  g_free (plan->keep);
  g_free (plan);
}

gsize
owd_plan_bytes (const OwdPlan *plan)
{
  return sizeof *plan + plan->n_segments * sizeof plan->segment_len[0] + (plan->n_steps + 1u) * sizeof (Step)
         + plan->n_shuffles * sizeof (Shuffle) + plan->n_blocks * sizeof *plan->keep + 4 * OWD_MEMORY_EACH;
}

const OwdPlanInfo *
owd_plan_info (const OwdPlan *plan)
{
  return &plan->info;
}

/* ---- running ----------------------------------------------------------------------------------- */

/* What no record changes in the blocks that records are written to. */
static void
keep_blocks (const OwdPlan *plan, OwdRecord *rec)
{
  for (guint i = 0; i < plan->n_blocks; i++) {
    guint64 block[BLOCK / 8], keep[BLOCK / 8];

    memcpy (block, (const guint8 *) rec + plan->shuffles[i].dst, sizeof block);
    memcpy (keep, plan->keep[i], sizeof keep);
    for (guint k = 0; k < BLOCK / 8; k++)
      block[k] &= keep[k];
    memcpy (rec->kept[i], block, sizeof block);
  }
}

void
owd_plan_begin (const OwdPlan *plan, OwdRecord *rec, guint32 sampling, gint64 init_ms)
{
  guint n_flows = plan->finish & FINISH_REVERSE ? 2 : 1;

  memset (rec->flow, 0, n_flows * sizeof rec->flow[0]);
  for (guint i = 0; i < n_flows; i++) {
    rec->flow[i].start_kind = plan->kind[i][0];
    rec->flow[i].end_kind = plan->kind[i][1];
    rec->flow[i].flags = plan->flags[i];
    if (init_ms != 0 && !(plan->finish & FINISH_INIT))
      rec->flow[i].flags |= OWD_FLOW_EXT;
    rec->base_flags[i] = rec->flow[i].flags;
    rec->flow[i].sampling = sampling;
    rec->flow[i].init_ms = init_ms;
    rec->flow[i].template_id = plan->template_id;
  }
  if (plan->n_pairs == 1 && plan->pair_family[0] == 4) {
    memcpy (rec->flow[0].src.b, V4_PREFIX, sizeof V4_PREFIX);
    memcpy (rec->flow[0].dst.b, V4_PREFIX, sizeof V4_PREFIX);
  }
  for (guint i = 0; plan->n_pairs > 1 && i < plan->n_pairs; i++) {
    memcpy (rec->pair[i].src.b, V4_PREFIX, sizeof V4_PREFIX);
    memcpy (rec->pair[i].dst.b, V4_PREFIX, sizeof V4_PREFIX);
  }
  keep_blocks (plan, rec);
}

#define RUN(op, ...)                                                                                                   \
  for (end = plan->steps + plan->op_end[op]; s < end; s++) {                                                           \
    const guint8 *p = segment[fixed ? 0 : s->segment] + s->src;                                                        \
    guint8 *d = to + s->dst;                                                                                           \
    __VA_ARGS__                                                                                                        \
  }

#define STORE(type, value)                                                                                             \
  do {                                                                                                                 \
    type v_ = (type) (value);                                                                                          \
    memcpy (d, &v_, sizeof v_);                                                                                        \
  } while (0)

static inline void
put_addr4 (guint8 *d, const guint8 *p)
{
  static const guint8 zero[4];

  memset (d, 0, sizeof (OwdAddr));
  if (memcmp (p, zero, sizeof zero) == 0)
    return;
  memcpy (d, V4_PREFIX, sizeof V4_PREFIX);
  memcpy (d + sizeof V4_PREFIX, p, 4);
}

/* fixed: a constant at each call, so that the compiler makes two functions of this one. */
static inline __attribute__ ((always_inline)) void
run_steps (const OwdPlan *plan, const guint8 *const *segment, OwdRecord *rec, gboolean fixed)
{
  guint8 *to = (guint8 *) rec;
  const Step *s = plan->steps, *end;

  RUN (OP_COPY4, memcpy (d, p, 4);)
  RUN (OP_COPY16, memcpy (d, p, 16);)
  RUN (OP_ADDR4, put_addr4 (d, p);)
  RUN (OP_8_8, *d = *p;)
  RUN (OP_8_16, STORE (guint16, *p);)
  RUN (OP_16_16, STORE (guint16, owd_be16 (p));)
  RUN (OP_16_32, STORE (guint32, owd_be16 (p));)
  RUN (OP_32_32, STORE (guint32, owd_be32 (p));)
  RUN (OP_32_64, STORE (guint64, owd_be32 (p));)
  RUN (OP_64_64, STORE (guint64, owd_be64 (p));)
  RUN (OP_INT_8, STORE (guint8, owd_be (p, s->len));)
  RUN (OP_INT_16, STORE (guint16, owd_be (p, s->len));)
  RUN (OP_INT_32, STORE (guint32, owd_be (p, s->len));)
  RUN (OP_INT_64, STORE (guint64, owd_be (p, s->len));)
  RUN (OP_OR_16, guint16 old; memcpy (&old, d, sizeof old); STORE (guint16, old | owd_be (p, s->len));)
}

#ifdef __x86_64__
/* What run_steps() does but for OP_ADDR4 and OP_OR_16. */
__attribute__ ((target ("ssse3"))) static inline __m128i
shuffled (const Shuffle *s, const guint8 *p)
{
  return _mm_shuffle_epi8 (_mm_loadu_si128 ((const __m128i *) (const void *) (p + s->src)),
                           _mm_loadu_si128 ((const __m128i *) (const void *) s->from));
}

__attribute__ ((target ("ssse3"))) static inline void
run_shuffles (const OwdPlan *plan, const guint8 *p, OwdRecord *rec)
{
  const Shuffle *s = plan->shuffles, *more = s + plan->n_blocks, *end = s + plan->n_shuffles;
  const __m128i *kept = (const __m128i *) (const void *) rec->kept;

  for (; s < more; s++, kept++)
    _mm_storeu_si128 ((__m128i *) (void *) ((guint8 *) rec + s->dst),
                      _mm_or_si128 (_mm_loadu_si128 (kept), shuffled (s, p)));
  for (; s < end; s++) {
    __m128i *to = (__m128i *) (void *) ((guint8 *) rec + s->dst);

    _mm_storeu_si128 (to, _mm_or_si128 (_mm_loadu_si128 (to), shuffled (s, p)));
  }
}

static G_GNUC_NO_INLINE void
run_rest (const OwdPlan *plan, const guint8 *p, OwdRecord *rec)
{
  for (guint i = plan->op_end[OP_ADDR4 - 1]; i < plan->op_end[OP_ADDR4]; i++)
    put_addr4 ((guint8 *) rec + plan->steps[i].dst, p + plan->steps[i].src);
  for (guint i = plan->op_end[OP_OR_16 - 1]; i < plan->op_end[OP_OR_16]; i++) {
    const Step *step = &plan->steps[i];
    guint16 value;

    memcpy (&value, (const guint8 *) rec + step->dst, sizeof value);
    value |= (guint16) owd_be (p + step->src, step->len);
    memcpy ((guint8 *) rec + step->dst, &value, sizeof value);
  }
}
#endif

/* A record of fixed length. */
static inline void
run_fixed (const OwdPlan *plan, const guint8 *p, OwdRecord *rec)
{
#ifdef __x86_64__
  if (plan->n_blocks > 0) {
    run_shuffles (plan, p, rec);
    if (plan->has_rest)
      run_rest (plan, p, rec);
    return;
  }
#endif
  run_steps (plan, &p, rec, TRUE);
}

/* Where the segments of the record at w begin; moves w behind it. FALSE and w->failed: past the end. */
static gboolean
walk_segments (const OwdPlan *plan, OwdWire *w, const guint8 **segment)
{
  for (guint k = 0; k < plan->n_var; k++) {
    gsize len;

    segment[k] = owd_wire_take (w, plan->segment_len[k]);
    len = owd_wire_u8 (w);
    if (len == 255)
      len = owd_wire_u16 (w);
    (void) owd_wire_take (w, len);
  }
  segment[plan->n_var] = owd_wire_take (w, plan->segment_len[plan->n_var]);
  return !w->failed;
}

gboolean
owd_plan_next (const OwdPlan *plan, OwdWire *w, OwdRecord *rec)
{
  if (owd_wire_left (w) < plan->info.min_len)
    return FALSE;
  if (plan->n_var == 0) {
    const guint8 *p = w->p;

    w->p += plan->info.min_len;
    run_fixed (plan, p, rec);
  } else {
    const guint8 *segment[OWD_FIELDS_MAX + 1];

    if (!walk_segments (plan, w, segment))
      return FALSE;
    run_steps (plan, segment, rec, FALSE);
  }
  return TRUE;
}

gboolean
owd_plan_skip (const OwdPlan *plan, OwdWire *w)
{
  const guint8 *segment[OWD_FIELDS_MAX + 1];

  if (owd_wire_left (w) < plan->info.min_len)
    return FALSE;
  if (plan->n_var == 0) {
    w->p += plan->info.min_len;
    return TRUE;
  }
  return walk_segments (plan, w, segment);
}

/* ---- what depends on the record ---------------------------------------------------------------- */

static void
choose_pair (const OwdPlan *plan, OwdRecord *rec)
{
  guint i = 0;

  while (i < plan->n_pairs && owd_addr_is_zero (&rec->pair[i].src) && owd_addr_is_zero (&rec->pair[i].dst))
    i++;
  if (i == plan->n_pairs)
    i = 0;
  rec->flow[0].src = rec->pair[i].src;
  rec->flow[0].dst = rec->pair[i].dst;
}

/* A claim is believed for choosing among stamps when it is within ten years of the header's time. */
#define SANE_NS (10 * 366 * 86400 * OWD_NS_PER_S)
#define INIT_MIN_MS (20 * G_GUINT64_CONSTANT (31556952000))
#define INIT_MAX_MS (G_MAXUINT32 * G_GUINT64_CONSTANT (1000))

gboolean
owd_init_is_sane (guint64 init_ms)
{
  return init_ms >= INIT_MIN_MS && init_ms <= INIT_MAX_MS;
}

static OwdTime
sane_claim (const OwdRecord *rec, const OwdHeader *header, OwdStampKind kind, guint which)
{
  OwdTime export_ns = (gint64) header->export_s * OWD_NS_PER_S;
  OwdTime t;

  if (rec->stamp[kind][which] == 0 && kind != OWD_STAMP_UPTIME_MS && kind != OWD_STAMP_DELTA_US)
    return OWD_TIME_NONE;
  t = owd_flow_claim (header, &rec->flow[0], kind, rec->stamp[kind][which]);
  if (t == OWD_TIME_NONE || t < export_ns - SANE_NS || t > export_ns + SANE_NS)
    return OWD_TIME_NONE;
  return t;
}

static guint8
finest_sane (const OwdRecord *rec, const OwdHeader *header, const guint8 *kinds, guint n, guint which)
{
  for (guint i = 0; i < n; i++)
    if (sane_claim (rec, header, kinds[i], which) != OWD_TIME_NONE)
      return kinds[i];
  return n > 0 ? kinds[0] : OWD_STAMP_NONE;
}

/* The finest sort of which both ends are sane and in order; else the finest sane of each end; else the finest. */
static void
choose_stamps (const OwdPlan *plan, OwdRecord *rec, const OwdHeader *header)
{
  OwdFlow *flow = &rec->flow[0];
  guint8 start = OWD_STAMP_NONE, end;

  for (guint i = 0; i < plan->n_starts && start == OWD_STAMP_NONE; i++) {
    guint8 kind = plan->starts[i];
    OwdTime from, to;

    if (memchr (plan->ends, kind, plan->n_ends) == NULL)
      continue;
    from = sane_claim (rec, header, kind, 0);
    to = sane_claim (rec, header, kind, 1);
    if (from != OWD_TIME_NONE && to != OWD_TIME_NONE && from <= to)
      start = kind;
  }
  end = start;
  if (start == OWD_STAMP_NONE) {
    start = finest_sane (rec, header, plan->starts, plan->n_starts, 0);
    end = finest_sane (rec, header, plan->ends, plan->n_ends, 1);
  }
  flow->start_kind = start;
  flow->end_kind = end;
  flow->start_raw = start != OWD_STAMP_NONE ? rec->stamp[start][0] : 0;
  flow->end_raw = end != OWD_STAMP_NONE ? rec->stamp[end][1] : 0;
}

static guint64
duration_ms (const OwdPlan *plan, const OwdRecord *rec)
{
  if (plan->aux & 1u << OWD_AUX_DURATION_MS)
    return rec->aux[OWD_AUX_DURATION_MS];
  return rec->aux[OWD_AUX_DURATION_US] / 1000;
}

/* a + b in the arithmetic of the stamp: sysUptime wraps. */
static guint64
stamp_add (OwdStampKind kind, guint64 a, guint64 b)
{
  return kind == OWD_STAMP_UPTIME_MS && a <= G_MAXUINT32 ? (guint32) (a + b) : a + b;
}

/* ICMP: type * 256 + code for records that have no transport port. */
static guint16
icmp_port (const OwdPlan *plan, const OwdRecord *rec, guint whole, guint type, guint code)
{
  guint32 both = 1u << type | 1u << code;

  if (plan->aux & 1u << whole)
    return (guint16) rec->aux[whole];
  if ((plan->aux & both) == both)
    return (guint16) (rec->aux[type] << 8 | (rec->aux[code] & 0xff));
  return 0;
}

static void
apply_aux (const OwdPlan *plan, OwdRecord *rec)
{
  OwdFlow *flow = &rec->flow[0];

  if (plan->aux & 1u << OWD_AUX_DIRECTION) {
    if (rec->aux[OWD_AUX_DIRECTION] == 0)
      flow->flags |= OWD_FLOW_INGRESS;
    else if (rec->aux[OWD_AUX_DIRECTION] == 1)
      flow->flags |= OWD_FLOW_EGRESS;
  }
  if (!plan->own_dport) {
    flow->dport = 0;
    if (flow->proto == 1)
      flow->dport = icmp_port (plan, rec, OWD_AUX_ICMP4, OWD_AUX_ICMP4_TYPE, OWD_AUX_ICMP4_CODE);
    else if (flow->proto == 58)
      flow->dport = icmp_port (plan, rec, OWD_AUX_ICMP6, OWD_AUX_ICMP6_TYPE, OWD_AUX_ICMP6_CODE);
  }
  if (plan->aux & 1u << OWD_AUX_MPLS)
    flow->mpls = (guint32) (rec->aux[OWD_AUX_MPLS] >> 4) & 0xfffff;
}

static inline guint64
word_of (const OwdFlow *flow, gsize offset)
{
  guint64 word;

  memcpy (&word, (const guint8 *) flow + offset, sizeof word);
  return word;
}

/* Is some member behind "rare" set? */
static G_GNUC_NO_INLINE gboolean
any_rare (const OwdFlow *flow)
{
  guint64 any = 0;

  for (gsize at = offsetof (OwdFlow, tos); at < sizeof *flow; at += 8)
    any |= word_of (flow, at);
  return any != 0;
}

/* The same of the forward flow: only what the template has can be set; init_ms of the state has its flag already. */
static inline __attribute__ ((always_inline)) gboolean
any_rare_told (const OwdPlan *plan, const OwdFlow *flow)
{
  guint64 any = 0;

  if (plan->n_rare > RARE_WORDS)
    return any_rare (flow);
  for (guint i = 0; i < plan->n_rare; i++)
    any |= word_of (flow, plan->rare[i]);
  return any != 0;
}

/* The other half of a biflow. Returns FALSE where nothing came back. Without stamps of its own it has none: those of
 * the forward half are of other packets. */
static gboolean
turn_round (const OwdPlan *plan, OwdRecord *rec)
{
  const OwdFlow *forward = &rec->flow[0];
  OwdFlow *reverse = &rec->flow[1];

  reverse->flags = rec->base_flags[1] | OWD_FLOW_REVERSE | OWD_FLOW_BIFLOW;
  if (plan->reverse_rare & REVERSE_COUNT_PACKETS ? reverse->packets == 0 : reverse->octets == 0)
    return FALSE;
  reverse->src = forward->dst;
  reverse->dst = forward->src;
  reverse->sport = forward->dport;
  reverse->dport = forward->sport;
  reverse->proto = forward->proto;
  reverse->sampling = forward->sampling;
  reverse->end_reason = forward->end_reason;
  if (!(plan->reverse_rare & REVERSE_IN_IF))
    reverse->in_if = forward->out_if;
  if (!(plan->reverse_rare & REVERSE_OUT_IF))
    reverse->out_if = forward->in_if;
  if (!(plan->reverse_rare & REVERSE_VLAN))
    reverse->vlan = forward->vlan;
  reverse->vrf = forward->vrf;
  reverse->line_card = forward->line_card;
  reverse->obs_point = forward->obs_point;
  reverse->init_ms = forward->init_ms;
  if (plan->kind[1][0] == OWD_STAMP_NONE && (plan->aux & 1u << OWD_AUX_REVERSE_MS)) {
    gboolean in_ms = forward->start_kind == OWD_STAMP_UNIX_MS || forward->start_kind == OWD_STAMP_UPTIME_MS;

    reverse->start_kind = in_ms ? forward->start_kind : OWD_STAMP_NONE;
    reverse->start_raw = !in_ms ? 0 : stamp_add (forward->start_kind, forward->start_raw, rec->aux[OWD_AUX_REVERSE_MS]);
  }
  if (any_rare (reverse))
    reverse->flags |= OWD_FLOW_EXT;
  return TRUE;
}

/* What most plans do not need. */
static __attribute__ ((noinline)) guint
finish_more (const OwdPlan *plan, OwdRecord *rec, const OwdHeader *header)
{
  OwdFlow *flow = &rec->flow[0];

  if ((plan->finish & FINISH_INIT) && !owd_init_is_sane ((guint64) flow->init_ms))
    flow->init_ms = 0;
  if (plan->finish & FINISH_PAIRS)
    choose_pair (plan, rec);
  if (plan->finish & FINISH_STAMPS)
    choose_stamps (plan, rec, header);
  if (plan->finish & FINISH_AUX)
    apply_aux (plan, rec);
  if (plan->finish & FINISH_END)
    flow->end_raw = stamp_add (flow->start_kind, flow->start_raw, duration_ms (plan, rec));
  if (plan->finish & FINISH_START)
    flow->start_raw = stamp_add (flow->end_kind, flow->end_raw, 0 - duration_ms (plan, rec));
  if ((plan->finish & FINISH_RARE) && any_rare_told (plan, flow))
    flow->flags |= OWD_FLOW_EXT;
  if ((plan->finish & FINISH_REVERSE) && turn_round (plan, rec)) {
    flow->flags |= OWD_FLOW_BIFLOW;
    return 2;
  }
  return 1;
}

guint
owd_plan_finish (const OwdPlan *plan, OwdRecord *rec, const OwdHeader *header)
{
  rec->flow[0].flags = rec->base_flags[0];
  return finish_more (plan, rec, header);
}

static inline __attribute__ ((always_inline)) void
set_plain_flags (const OwdPlan *plan, OwdRecord *rec)
{
  OwdFlow *flow = &rec->flow[0];
  guint32 flags = rec->base_flags[0];

  if (any_rare_told (plan, flow))
    flags |= OWD_FLOW_EXT;
  if (flow->flags != flags) /* a store here would hold up the load of the 16 bytes around it */
    flow->flags = flags;
}

#ifdef __x86_64__
/* All in one function for the same processor, or the compiler could not put it together. */
__attribute__ ((target ("ssse3"))) static void
shuffle_plain (const OwdPlan *plan, const guint8 *p, OwdRecord *rec)
{
  run_shuffles (plan, p, rec);
  if (plan->has_rest)
    run_rest (plan, p, rec);
  set_plain_flags (plan, rec);
}
#endif

void
owd_plan_plain (const OwdPlan *plan, const guint8 *p, OwdRecord *rec)
{
#ifdef __x86_64__
  if (G_LIKELY (plan->n_blocks > 0)) {
    shuffle_plain (plan, p, rec);
    return;
  }
#endif
  run_steps (plan, &p, rec, TRUE);
  set_plain_flags (plan, rec);
}
