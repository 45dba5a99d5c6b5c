/* SPDX-License-Identifier: Apache-2.0
 *
 * Which packet bounds which record at two points of a route.
 *
 * Points cut the same packets differently: timeouts differ, packets are lost between. Records between two genuine
 * ends form an instance; instances of both points that share packets form a group, the largest thing that can be
 * compared. Per group: the packet at its start and the one at its end on both sides, and every inner bound that both
 * sides put at the same packet.
 */
#include "internal.h"

#include <string.h>

/* Records [from, to) of one point that belong to the group, and their sum. */
typedef struct {
  const SimRecord *from, *to;
  guint64 packets, octets;
  gboolean whole; /* none lost */
} Side;

const char *
owd_sim_status_text (OwdSimStatus status)
{
  static const char *const text[] = { "ok", "unequal", "sampled", "damaged", "moved", "lost" };

  return status < OWD_SIM_STATUSES ? text[status] : "?";
}

static void
side_sum (Side *s)
{
  s->packets = s->octets = 0;
  s->whole = TRUE;
  for (const SimRecord *r = s->from; r < s->to; r++) {
    s->packets += r->packets;
    s->octets += r->octets;
    s->whole = s->whole && !r->lost;
  }
}

static OwdFlow
as_flow (const SimKey *key)
{
  return (OwdFlow){ .src = key->src, .dst = key->dst, .sport = key->sport, .dport = key->dport, .proto = key->proto };
}

static OwdSimStatus
judge (const OwdSim *self, const SimRecord *a, const SimRecord *b, guint8 bounds, gboolean same, gboolean equal)
{
  if (a->lost || b->lost)
    return OWD_SIM_LOST;
  if (!same)
    return OWD_SIM_MOVED;
  if ((a->damaged | b->damaged) & bounds)
    return OWD_SIM_DAMAGED;
  if (self->exporters[a->exporter].set.sampling > 1 || self->exporters[b->exporter].set.sampling > 1)
    return OWD_SIM_SAMPLED;
  return equal ? OWD_SIM_OK : OWD_SIM_UNEQUAL;
}

/* a, b: records whose start (or end) is told; row: what all rows of the group have in common. */
static void
tell (OwdSim *self, const OwdSimTruth *group, const SimRecord *a, const SimRecord *b, OwdSampleKind kind, gboolean cut,
      gboolean equal)
{
  gboolean end = kind == OWD_SAMPLE_END;
  guint8 bounds = kind == OWD_SAMPLE_BOTH ? 3 : end ? 2 : 1;
  OwdSimTruth row = *group;

  row.src = a->exporter;
  row.dst = b->exporter;
  row.kind = kind;
  row.cut = cut;
  row.src_ns = end ? a->last_ns : a->first_ns;
  row.dst_ns = end ? b->last_ns : b->first_ns;
  row.src_raw = a->raw[end];
  row.dst_raw = b->raw[end];
  row.status = judge (self, a, b, bounds, end ? a->last == b->last : a->first == b->first, equal);
  row.src_clock_ns = sim_clock_error (&self->exporters[a->exporter], row.src_ns);
  row.clock_ns = sim_clock_error (&self->exporters[b->exporter], row.dst_ns) - row.src_clock_ns;
  if (cut) {
    row.src_packets = a->packets;
    row.dst_packets = b->packets;
  }
  self->truth (self->user, &row);
}

static gboolean
repeats (const OwdSim *self, const SimRecord *r)
{
  return self->exporters[r->exporter].set.repeat_start && r->start_ns != r->first_ns;
}

static gboolean
fragments_equal (const SimRecord *a, const SimRecord *b)
{
  return a->packets == b->packets && a->octets == b->octets;
}

/* Bounds inside the group that fall on the same packet. */
static void
tell_inner (OwdSim *self, const OwdSimTruth *group, const Side *a, const Side *b)
{
  const SimRecord *q = b->from;

  for (const SimRecord *p = a->from; p < a->to; p++) {
    while (q < b->to && q->first < p->first)
      q++;
    if (q < b->to && q->first == p->first && !(p == a->from && q == b->from) && !repeats (self, p)
        && !repeats (self, q))
      tell (self, group, p, q, OWD_SAMPLE_START, TRUE, fragments_equal (p, q));
  }
  q = b->from;
  for (const SimRecord *p = a->from; p < a->to; p++) {
    while (q < b->to && q->last < p->last)
      q++;
    if (q < b->to && q->last == p->last && !(p + 1 == a->to && q + 1 == b->to))
      tell (self, group, p, q, OWD_SAMPLE_END, TRUE, fragments_equal (p, q));
  }
}

static void
tell_group (OwdSim *self, OwdSimTruth *group, Side *a, Side *b)
{
  const SimRecord *a_end = a->to - 1, *b_end = b->to - 1;
  gboolean equal;

  side_sum (a);
  side_sum (b);
  equal = a->whole && b->whole && a->packets == b->packets && a->octets == b->octets;
  group->src_packets = (guint32) a->packets;
  group->dst_packets = (guint32) b->packets;
  if (a->packets == 1 && b->packets == 1) {
    tell (self, group, a->from, b->from, OWD_SAMPLE_BOTH, FALSE, equal);
    return;
  }
  tell (self, group, a->from, b->from, OWD_SAMPLE_START, FALSE, equal);
  tell (self, group, a_end, b_end, OWD_SAMPLE_END, FALSE, equal);
  tell_inner (self, group, a, b);
}

/* Moves side->to over the instance that starts there. Returns its last packet. */
static guint
take_instance (Side *side, const SimRecord *end)
{
  const SimRecord *first = side->to;

  while (side->to < end && side->to->instance == first->instance)
    side->to++;
  return side->to[-1].last;
}

static void
tell_pair (OwdSim *self, OwdSimTruth *group, const SimRecord *a, const SimRecord *a_end, const SimRecord *b,
           const SimRecord *b_end)
{
  while (a < a_end && b < b_end) {
    Side sa = { .from = a, .to = a }, sb = { .from = b, .to = b };
    guint last = a->first <= b->first ? take_instance (&sa, a_end) : take_instance (&sb, b_end);
    gboolean grew;

    do {
      grew = FALSE;
      if (sa.to < a_end && sa.to->first <= last) {
        guint l = take_instance (&sa, a_end);
        last = MAX (last, l);
        grew = TRUE;
      }
      if (sb.to < b_end && sb.to->first <= last) {
        guint l = take_instance (&sb, b_end);
        last = MAX (last, l);
        grew = TRUE;
      }
    } while (grew);
    if (sa.from < sa.to && sb.from < sb.to)
      tell_group (self, group, &sa, &sb);
    a = sa.to;
    b = sb.to;
  }
}

void
sim_truth (OwdSim *self, const SimFlow *flow)
{
  const SimRecord *end = flow->records + flow->n, *b;

  for (const SimRecord *a = flow->records; a < end; a = b) {
    for (b = a; b < end && b->hop == a->hop; b++)
      ;
    for (const SimRecord *c = b, *d; c < end; c = d) {
      OwdSimTruth group = { 0 };

      for (d = c; d < end && d->hop == c->hop; d++)
        ;
      group.up = as_flow (&flow->key[flow->nat_at != G_MAXUINT && a->hop > flow->nat_at]);
      group.down = as_flow (&flow->key[flow->nat_at != G_MAXUINT && c->hop > flow->nat_at]);
      tell_pair (self, &group, a, b, c, d);
    }
  }
}
