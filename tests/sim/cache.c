/* SPDX-License-Identifier: Apache-2.0
 *
 * The flow cache of one exporter, for one flow at a time: flows do not influence each other but through evictions,
 * which are drawn. A record ends at the first of: idle for the inactive timeout, FIN or RST and quiet, older than the
 * active timeout, evicted. Timeouts are looked at on the exporter's scan grid. What an exporter that reboots had in
 * its cache is gone.
 */
#include "internal.h"

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

/* When the record leaves the cache if no packet comes any more. evict: drawn when it was made. */
static Expiry
expiry (const SimExporter *ex, const SimRecord *r, OwdTime evict)
{
  Expiry e = { scan (ex, r->last_ns + ex->set.inactive_ns), OWD_END_IDLE };

  sooner (&e, scan (ex, r->first_ns + ex->set.active_ns), OWD_END_ACTIVE);
  if (ex->set.fin_ns > 0 && r->tcp_flags & (TCP_FIN | TCP_RST))
    sooner (&e, scan (ex, r->last_ns + ex->set.fin_ns), OWD_END_DETECTED);
  sooner (&e, MAX (evict, r->last_ns), OWD_END_RESOURCES);
  return e;
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

static void
finish (OwdSim *self, SimRecord *r, Expiry e)
{
  SimExporter *ex = &self->exporters[r->exporter];
  guint epoch = sim_clock_epoch (ex, r->first_ns);

  r->ready_ns = e.at;
  r->reason = e.reason;
  if (epoch < ex->set.n_reboots && e.at >= ex->boot_ns[epoch + 1]) {
    ex->counts.records_died++;
    r->lost = TRUE;
  } else if (sim_rng_chance (&ex->rng, ex->set.record_loss)) {
    ex->counts.records_lost++;
    r->lost = TRUE;
  } else if (sim_rng_chance (&ex->rng, ex->set.blunder_rate)) {
    spoil (ex, r);
    ex->counts.blunders[r->blunder]++;
  }
  g_array_append_val (self->records, *r);
}

/* before: the record in front, or NULL. */
static SimRecord
begin (const SimExporter *ex, const SimRecord *like, const SimRecord *before, const SimPacket *p, guint number)
{
  SimRecord r = *like;
  gboolean goes_on = before != NULL && before->reason != OWD_END_IDLE && before->reason != OWD_END_DETECTED
                     && p->t - before->last_ns < ex->set.inactive_ns;

  r.first_ns = r.start_ns = p->t;
  r.first = number;
  if (before != NULL)
    r.instance = (guint16) (before->instance + (goes_on ? 0 : 1));
  if (goes_on && ex->set.repeat_start)
    r.start_ns = before->start_ns;
  return r;
}

void
sim_cache (OwdSim *self, guint exporter, guint hop, const SimKey *key, const GArray *packets)
{
  SimExporter *ex = &self->exporters[exporter];
  guint64 where = sim_hash (sim_key_hash (key), exporter);
  SimRecord like = { .exporter = exporter, .hop = (guint8) hop, .ttl = (guint8) (63 - hop) }, r, before;
  gboolean open = FALSE, any = FALSE;
  OwdTime evict = NEVER;

  if (ex->set.version == 5 && !owd_addr_is_v4 (&key->src))
    return;
  like.in_if = (guint16) (1 + where % MAX (ex->set.n_interfaces, 1));
  for (guint i = 0; i < packets->len; i++) {
    const SimPacket *p = &g_array_index (packets, SimPacket, i);
    Expiry e;

    if (p->reach <= hop || is_down (ex, p->t))
      continue;
    ex->counts.packets++;
    if (ex->set.sampling > 1 && sim_rng_below (&ex->rng, ex->set.sampling) != 0)
      continue;
    if (open && (e = expiry (ex, &r, evict)).at <= p->t) {
      finish (self, &r, e);
      before = g_array_index (self->records, SimRecord, self->records->len - 1);
      any = TRUE;
      open = FALSE;
    }
    if (!open) {
      r = begin (ex, &like, any ? &before : NULL, p, i);
      evict = ex->set.evict_per_s > 0
                  ? p->t + sim_rng_exp (&ex->rng, (gint64) ((double) OWD_NS_PER_S / ex->set.evict_per_s))
                  : NEVER;
      open = TRUE;
    }
    r.last_ns = p->t;
    r.last = i;
    r.packets++;
    r.octets += p->size;
    r.tcp_flags |= p->flags;
  }
  if (open)
    finish (self, &r, expiry (ex, &r, evict));
}
