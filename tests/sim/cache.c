/* SPDX-License-Identifier: Apache-2.0
 *
 * The flow cache of one exporter, for one flow, or one biflow (RFC 5103), at a time: flows do not influence each other
 * but through evictions, which are drawn. A record ends at the first of: idle for the inactive timeout, FIN or RST and
 * quiet, older than the active timeout, evicted. Timeouts are looked at on the exporter's scan grid. What an exporter
 * that reboots had in its cache is gone.
 */
#include "internal.h"

#include <string.h>

typedef struct {
  OwdTime at;
  guint8 reason; /* OWD_END_* */
} Expiry;

static OwdTime
scan (const SimExporter *ex, OwdTime t)
{
  return ex->set.scan_ns > 0 ? sim_floor (t, ex->set.scan_ns, ex->boot_ns[0] % ex->set.scan_ns) + ex->set.scan_ns : t;
}

static void
sooner (Expiry *e, OwdTime at, guint8 reason)
{
  if (at < e->at)
    *e = (Expiry){ at, reason };
}

/* Number of the link that a flow takes from or to a neighbour. */
static guint16
interface (const SimExporter *ex, guint exporter, const SimKey *key, guint neighbour)
{
  guint n = MAX (ex->set.n_interfaces, 1);

  return (guint16) (1 + neighbour * n + sim_hash (sim_key_hash (key), exporter) % n);
}

static gboolean
is_down (const SimExporter *ex, OwdTime t)
{
  guint epoch = sim_clock_epoch (ex, t);

  return epoch > 0 && t < ex->boot_ns[epoch] + ex->set.outage_ns;
}

static OwdSimBlunder
draw_blunder (SimExporter *ex)
{
  const double *w = ex->set.blunder_weight;
  double sum = 0, u;

  for (guint i = 1; i < OWD_SIM_BLUNDERS; i++)
    sum += w[i];
  if (sum <= 0)
    return (OwdSimBlunder) (1 + sim_rng_below (&ex->rng, OWD_SIM_BLUNDERS - 1));
  u = sim_rng_unit (&ex->rng) * sum;
  for (guint i = 1; i < OWD_SIM_BLUNDERS - 1; i++) {
    if (u < w[i])
      return (OwdSimBlunder) i;
    u -= w[i];
  }
  return OWD_SIM_BLUNDER_NEAR;
}

/* Zero spoils both stamps, end-before-start the end, the others start, end or both. */
static void
spoil (SimExporter *ex, SimRecord *r)
{
  static const gint64 year_ns = 365 * DAY_NS;
  gboolean uptime = ex->set.stamps == OWD_STAMP_UPTIME_MS && !ex->set.wide_uptime;
  gint64 shift = 0;

  r->blunder = (guint8) draw_blunder (ex);
  r->damaged = (guint8) (1 + sim_rng_below (&ex->rng, 3));
  switch ((OwdSimBlunder) r->blunder) {
  case OWD_SIM_BLUNDER_ZERO:
    shift = G_MININT64;
    r->damaged = 3;
    break;
  case OWD_SIM_BLUNDER_BEFORE:
    shift = r->start_ns - r->last_ns - sim_rng_between (&ex->rng, 100 * OWD_NS_PER_S, 1000 * OWD_NS_PER_S);
    r->damaged = 2;
    break;
  case OWD_SIM_BLUNDER_FUTURE:
    shift = sim_rng_between (&ex->rng, 3600 * OWD_NS_PER_S, uptime ? 24 * DAY_NS : year_ns);
    break;
  case OWD_SIM_BLUNDER_PAST:
    shift = -sim_rng_between (&ex->rng, DAY_NS, uptime ? 24 * DAY_NS : year_ns);
    break;
  case OWD_SIM_BLUNDER_SLIP:
    shift = (G_GINT64_CONSTANT (1) << 32) * (uptime ? OWD_NS_PER_US : OWD_NS_PER_MS);
    if (sim_rng_chance (&ex->rng, 0.5))
      shift = -shift;
    break;
  case OWD_SIM_BLUNDER_NEAR:
  case OWD_SIM_BLUNDER_NONE:
  case OWD_SIM_BLUNDERS: {
    gint64 least = MAX (20 * OWD_NS_PER_MS, 3 * MAX (ex->set.step_ns[0], ex->set.step_ns[1]));

    shift = sim_rng_between (&ex->rng, least, MAX (5 * OWD_NS_PER_S, 2 * least));
    if (sim_rng_chance (&ex->rng, 0.5))
      shift = -shift;
    break;
  }
  }
  for (guint i = 0; i < 2; i++)
    if (r->damaged >> i & 1)
      r->shift_ns[i] = shift;
}

/* What the cache holds of one flow or biflow. */
typedef struct {
  SimRecord half[2];
  OwdTime first_ns, last_ns, evict_ns;
  guint8 tcp_flags, reason;
  guint16 instance;
} Entry;

/* Draws the fate of a record. */
static void
decide (OwdSim *self, const Entry *entry, SimRecord *r)
{
  SimExporter *ex = &self->exporters[r->exporter];
  guint epoch = sim_clock_epoch (ex, entry->first_ns);

  if (epoch < ex->set.n_reboots && r->ready_ns >= ex->boot_ns[epoch + 1]) {
    ex->counts.records_died++;
    r->lost = TRUE;
  } else if (sim_rng_chance (&ex->rng, ex->set.record_loss)) {
    ex->counts.records_lost++;
    r->lost = TRUE;
  } else if (sim_rng_chance (&ex->rng, ex->set.blunder_rate)) {
    spoil (ex, r);
    ex->counts.blunders[r->blunder]++;
  }
}

/* Hands on the halves that saw packets; they share their fate. */
static void
finish (OwdSim *self, Entry *entry, Expiry e)
{
  SimRecord *lead = &entry->half[entry->half[0].packets > 0 ? 0 : 1], *other = &entry->half[1];

  lead->ready_ns = e.at;
  lead->reason = entry->reason = e.reason;
  lead->instance = entry->instance;
  decide (self, entry, lead);
  if (lead != other && other->packets > 0) {
    lead->pair = ++self->pairs;
    other->ready_ns = lead->ready_ns;
    other->reason = lead->reason;
    other->instance = lead->instance;
    other->pair = lead->pair;
    other->lost = lead->lost;
    other->damaged = lead->damaged;
    memcpy (other->shift_ns, lead->shift_ns, sizeof other->shift_ns);
    other->carried = TRUE;
  }
  for (guint way = 0; way < 2; way++)
    if (entry->half[way].packets > 0)
      g_array_append_val (self->records[way], entry->half[way]);
}

/* When the entry leaves the cache if no packet comes any more. */
static Expiry
expiry (const SimExporter *ex, const Entry *entry)
{
  Expiry e = { scan (ex, entry->last_ns + ex->set.inactive_ns), OWD_END_IDLE };

  sooner (&e, scan (ex, entry->first_ns + ex->set.active_ns), OWD_END_ACTIVE);
  if (ex->set.fin_ns > 0 && entry->tcp_flags & (TCP_FIN | TCP_RST))
    sooner (&e, scan (ex, entry->last_ns + ex->set.fin_ns), OWD_END_DETECTED);
  sooner (&e, MAX (entry->evict_ns, entry->last_ns), OWD_END_RESOURCES);
  return e;
}

/* Does a packet at t go on with what ended as `before`? Else it begins a flow of its own. */
static gboolean
goes_on (const SimExporter *ex, const Entry *before, OwdTime t)
{
  return before->reason != OWD_END_IDLE && before->reason != OWD_END_DETECTED
         && t - before->last_ns < ex->set.inactive_ns;
}

/* before: the entry in front, or NULL. */
static Entry
begin (SimExporter *ex, const SimRecord like[2], const Entry *before, OwdTime t)
{
  Entry entry = { .half = { like[0], like[1] }, .first_ns = t, .evict_ns = NEVER };
  gboolean on = before != NULL && goes_on (ex, before, t);

  if (before != NULL)
    entry.instance = (guint16) (before->instance + !on);
  if (ex->set.evict_per_s > 0)
    entry.evict_ns = t + sim_rng_exp (&ex->rng, (gint64) ((double) OWD_NS_PER_S / ex->set.evict_per_s));
  for (guint way = 0; way < 2; way++)
    entry.half[way].start_ns
        = on && ex->set.repeat_start && before->half[way].packets > 0 ? before->half[way].start_ns : NEVER;
  return entry;
}

static void
count (Entry *entry, const SimSeen *p)
{
  SimRecord *r = &entry->half[p->way];

  if (r->packets == 0) {
    r->first_ns = p->t;
    r->first = p->number;
    if (r->start_ns == NEVER)
      r->start_ns = p->t;
  }
  r->last_ns = entry->last_ns = p->t;
  r->last = p->number;
  r->packets++;
  r->octets += p->size;
  r->tcp_flags |= p->flags;
  entry->tcp_flags |= p->flags;
}

void
sim_cache (OwdSim *self, guint exporter, const SimView view[2], const GArray *seen)
{
  SimExporter *ex = &self->exporters[exporter];
  SimRecord like[2];
  gboolean open = FALSE, any = FALSE;
  Entry entry;

  for (guint way = 0; way < 2; way++)
    like[way] = (SimRecord){ .exporter = exporter,
                             .hop = (guint8) view[way].hop,
                             .ttl = (guint8) (63 - view[way].hop),
                             .in_if = interface (ex, exporter, &view[way].key, view[way].from),
                             .out_if = interface (ex, exporter, &view[way].key, view[way].to) };
  for (guint i = 0; i < seen->len; i++) {
    const SimSeen *p = &g_array_index (seen, SimSeen, i);
    Expiry e;

    if (is_down (ex, p->t))
      continue;
    ex->counts.packets++;
    if (ex->set.sampling > 1 && sim_rng_below (&ex->rng, ex->set.sampling) != 0)
      continue;
    if (open && (e = expiry (ex, &entry)).at <= p->t) {
      finish (self, &entry, e);
      open = FALSE;
    }
    if (!open)
      entry = begin (ex, like, any ? &entry : NULL, p->t);
    open = any = TRUE;
    count (&entry, p);
  }
  if (open)
    finish (self, &entry, expiry (ex, &entry));
}
