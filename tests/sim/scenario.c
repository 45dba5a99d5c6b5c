/* SPDX-License-Identifier: Apache-2.0
 *
 * Ready-made networks. Each one shows one difficulty, with everything else quiet, but for the last ones, which mix
 * them. What is random (boot times, skews, phases) follows from the seed alone.
 */
#include "internal.h"

#define MS OWD_NS_PER_MS
#define SEC OWD_NS_PER_S

static OwdSimExporter *
exporter (OwdSimConfig *config, guint i)
{
  return &g_array_index (config->exporters, OwdSimExporter, i);
}

static OwdSimRoute *
route (OwdSimConfig *config, guint i)
{
  return &g_array_index (config->routes, OwdSimRoute, i);
}

/* Appends one that has been up for 1 to 40 days, with its timers at random phases and a good crystal. Two grids of
 * stamps that stand still to each other would show one arbitrary phase; a few ppm sweep them. */
static OwdSimExporter *
add (OwdSimConfig *config, guint version, OwdStampKind stamps)
{
  guint i = config->exporters->len;
  SimRng rng = sim_rng (config->seed, 5000 + i);
  OwdSimExporter ex = owd_sim_exporter (i, version, stamps);

  ex.up_before_ns = sim_rng_between (&rng, DAY_NS, 40 * DAY_NS);
  ex.tick_phase_ns = sim_rng_between (&rng, 0, ex.tick_ns);
  ex.skew_ppm = sim_rng_double (&rng, -10, 10);
  g_array_append_val (config->exporters, ex);
  return exporter (config, i);
}

static OwdSimExporter *
add_step (OwdSimConfig *config, guint version, OwdStampKind stamps, gint64 step_ms)
{
  OwdSimExporter *ex = add (config, version, stamps);

  ex->step_ns[0] = ex->step_ns[1] = step_ms * MS;
  return ex;
}

static OwdSimRoute
one_way (const guint *points, guint n, gint64 base_ns, gboolean reversed)
{
  OwdSimRoute r = { .n = n, .back = -1, .nat_at = -1 };

  for (guint i = 0; i < n; i++) {
    r.points[i] = points[reversed ? n - 1 - i : i];
    r.hops[i] = (OwdSimHop){ .base_ns = base_ns, .queue_ns = base_ns / 20 };
  }
  r.hops[0] = (OwdSimHop){ .base_ns = MS / 5, .queue_ns = MS / 50 };
  r.src_site = r.points[0] % 250;
  r.dst_site = r.points[n - 1] % 250;
  return r;
}

/* Both directions between the first and the last of n points; conversations start at either end. base_ms: per hop.
 * Returns the index of the forward route; the one back follows. */
static guint
connect (OwdSimConfig *config, const guint *points, guint n, double to_ms, double fro_ms, double flows_per_s)
{
  guint i = config->routes->len;
  OwdSimRoute to = one_way (points, n, (gint64) (to_ms * (double) MS), FALSE);
  OwdSimRoute fro = one_way (points, n, (gint64) (fro_ms * (double) MS), TRUE);

  to.flows_per_s = fro.flows_per_s = flows_per_s / 2;
  to.back = (int) i + 1;
  fro.back = (int) i;
  g_array_append_val (config->routes, to);
  g_array_append_val (config->routes, fro);
  return i;
}

static guint
connect2 (OwdSimConfig *config, guint a, guint b, double to_ms, double fro_ms, double flows_per_s)
{
  const guint points[] = { a, b };

  return connect (config, points, 2, to_ms, fro_ms, flows_per_s);
}

/* The usual quiet pair: 1 ms each way, steps of 1 ms. */
static void
pair (OwdSimConfig *config, const OwdSimWish *wish, guint version, OwdStampKind stamps)
{
  add (config, version, stamps);
  add (config, version, stamps);
  connect2 (config, 0, 1, 1, 1, wish->flows_per_s);
}

static void
quiet (OwdSimConfig *config, const OwdSimWish *wish)
{
  pair (config, wish, 9, OWD_STAMP_UPTIME_MS);
}

static void
quiet_v5 (OwdSimConfig *config, const OwdSimWish *wish)
{
  pair (config, wish, 5, OWD_STAMP_UPTIME_MS);
  exporter (config, 1)->header_frac = TRUE;
}

static void
quiet_ms (OwdSimConfig *config, const OwdSimWish *wish)
{
  pair (config, wish, 10, OWD_STAMP_UNIX_MS);
}

static void
quiet_init (OwdSimConfig *config, const OwdSimWish *wish)
{
  pair (config, wish, 10, OWD_STAMP_UPTIME_MS);
  exporter (config, 1)->init_in_record = TRUE;
}

static void
formats (OwdSimConfig *config, const OwdSimWish *wish)
{
  static const struct {
    guint version;
    OwdStampKind stamps;
  } all[] = {
    { 5, OWD_STAMP_UPTIME_MS },  { 9, OWD_STAMP_UPTIME_MS }, { 9, OWD_STAMP_UNIX_MS },
    { 10, OWD_STAMP_UPTIME_MS }, { 10, OWD_STAMP_UNIX_S },   { 10, OWD_STAMP_UNIX_MS },
    { 10, OWD_STAMP_NTP_US },    { 10, OWD_STAMP_NTP_NS },   { 10, OWD_STAMP_DELTA_US },
  };

  add (config, 10, OWD_STAMP_NTP_US)->end_reason = TRUE;
  config->v6_share = 0.2;
  for (guint i = 0; i < G_N_ELEMENTS (all); i++) {
    OwdSimExporter *ex = add (config, all[i].version, all[i].stamps);

    ex->ttl = ex->end_reason = all[i].version == 10;
    connect2 (config, 0, i + 1, 2 + i, 3 + i, wish->flows_per_s / G_N_ELEMENTS (all));
  }
}

static void
steps (OwdSimConfig *config, const OwdSimWish *wish)
{
  static const gint64 ms[][2] = { { 1, 1 }, { 4, 4 }, { 10, 10 }, { 64, 64 }, { 4, 64 }, { 256, 256 }, { 1000, 1000 } };

  for (guint i = 0; i < G_N_ELEMENTS (ms); i++) {
    add_step (config, 10, OWD_STAMP_UNIX_MS, ms[i][0]);
    add_step (config, 10, OWD_STAMP_UNIX_MS, ms[i][1]);
    connect2 (config, 2 * i, 2 * i + 1, 5, 5, wish->flows_per_s / G_N_ELEMENTS (ms));
    for (guint way = 0; way < 2; way++) {
      OwdSimHop *hop = &route (config, 2 * i + way)->hops[1];

      hop->change[0] = (OwdSimShift){ .over_ns = config->duration_ns, .delta_ns = MAX (ms[i][0], ms[i][1]) * MS };
      hop->n_changes = 1;
    }
  }
}

static void
phases (OwdSimConfig *config, const OwdSimWish *wish)
{
  static const gint64 ms[][2] = { { 4, 4 }, { 10, 10 }, { 10, 64 }, { 100, 250 } };
  SimRng rng = sim_rng (config->seed, 76);

  add (config, 10, OWD_STAMP_NTP_US);
  for (guint i = 0; i < G_N_ELEMENTS (ms); i++) {
    OwdSimExporter *ex = add (config, 9, OWD_STAMP_UPTIME_MS);

    for (guint bound = 0; bound < 2; bound++) {
      ex->step_ns[bound] = ms[i][bound] * MS;
      ex->phase_ns[bound] = sim_rng_below (&rng, (guint32) ms[i][bound]) * MS;
    }
    connect2 (config, 0, i + 1, 5, 5, wish->flows_per_s / G_N_ELEMENTS (ms));
  }
}

static void
timeouts (OwdSimConfig *config, const OwdSimWish *wish)
{
  OwdSimExporter *ex;

  pair (config, wish, 9, OWD_STAMP_UPTIME_MS);
  ex = exporter (config, 1);
  ex->active_ns = 45 * SEC;
  ex->inactive_ns = 30 * SEC;
  ex->fin_ns = 0;
  ex->scan_ns = SEC;
}

static void
evictions (OwdSimConfig *config, const OwdSimWish *wish)
{
  pair (config, wish, 9, OWD_STAMP_UPTIME_MS);
  exporter (config, 1)->evict_per_s = 0.2;
}

static void
lossy (OwdSimConfig *config, const OwdSimWish *wish)
{
  pair (config, wish, 9, OWD_STAMP_UPTIME_MS);
  for (guint i = 0; i < 2; i++) {
    OwdSimExporter *ex = exporter (config, i);

    route (config, i)->hops[1].loss = 0.01;
    ex->record_loss = 0.002;
    ex->datagram_loss = ex->datagram_duplicate = ex->datagram_reorder = 0.01;
  }
}

static void
skewed (OwdSimConfig *config, const OwdSimWish *wish)
{
  SimRng rng = sim_rng (config->seed, 77);

  pair (config, wish, 9, OWD_STAMP_UPTIME_MS);
  for (guint i = 0; i < 2; i++)
    exporter (config, i)->skew_ppm = sim_rng_double (&rng, -60, 60);
}

static void
drifting (OwdSimConfig *config, const OwdSimWish *wish)
{
  skewed (config, wish);
  exporter (config, 1)->temp_ppm = 2;
  exporter (config, 1)->rtc_wander_ns = MS / 2;
  route (config, 0)->hops[1].diurnal_ns = 10 * MS;
  route (config, 0)->hops[1].spike_ns = 80 * MS;
  route (config, 0)->hops[1].spike_share = 0.002;
}

static void
ntp_step (OwdSimConfig *config, const OwdSimWish *wish)
{
  OwdSimExporter *ex;

  pair (config, wish, 9, OWD_STAMP_UPTIME_MS);
  ex = exporter (config, 1);
  ex->rtc_offset_ns = -1500 * MS;
  ex->rtc[0] = (OwdSimShift){ .at_ns = config->duration_ns / 2, .delta_ns = 1500 * MS };
  ex->n_rtc = 1;
}

static void
ntp_slew (OwdSimConfig *config, const OwdSimWish *wish)
{
  OwdSimExporter *ex;

  ntp_step (config, wish);
  ex = exporter (config, 1);
  ex->rtc[0].over_ns = config->duration_ns / 4;
  ex->rtc[0].delta_ns = ex->rtc[0].over_ns / 2000; /* 500 ppm */
  ex->rtc_offset_ns = -ex->rtc[0].delta_ns;
}

static void
stale_epoch (OwdSimConfig *config, const OwdSimWish *wish)
{
  OwdSimExporter *ex;

  pair (config, wish, 10, OWD_STAMP_UNIX_MS);
  ex = exporter (config, 1);
  ex->epoch_at_boot = TRUE;
  ex->up_before_ns = DAY_NS;
  ex->rtc_offset_ns = -4200 * MS;
  ex->rtc[0] = (OwdSimShift){ .at_ns = -3600 * SEC, .delta_ns = 4200 * MS };
  ex->n_rtc = 1;
}

static void
init_off (OwdSimConfig *config, const OwdSimWish *wish)
{
  pair (config, wish, 10, OWD_STAMP_UPTIME_MS);
  exporter (config, 1)->init_offset_ns = -3 * 365 * DAY_NS;
}

static void
slow_export (OwdSimConfig *config, const OwdSimWish *wish)
{
  OwdSimExporter *ex;

  pair (config, wish, 9, OWD_STAMP_UPTIME_MS);
  ex = exporter (config, 1);
  ex->tick_only = TRUE;
  ex->tick_ns = 20 * SEC;
  ex->inactive_ns = 60 * SEC;
}

/* A reboot that nobody comes back from. */
static void
falls_silent (OwdSimConfig *config, const OwdSimWish *wish)
{
  const guint points[] = { 0, 1, 2 };
  OwdSimExporter *ex;

  for (guint i = 0; i < 3; i++)
    add (config, 9, OWD_STAMP_UPTIME_MS);
  connect (config, points, 3, 4, 4, wish->flows_per_s);
  ex = exporter (config, 1);
  ex->reboot_ns[0] = config->duration_ns / 2;
  ex->n_reboots = 1;
  ex->outage_ns = 1000 * DAY_NS;
}

static void
both_sides (OwdSimConfig *config, const OwdSimWish *wish)
{
  pair (config, wish, 10, OWD_STAMP_UNIX_MS);
  exporter (config, 1)->egress_too = TRUE;
}

static void
biflows (OwdSimConfig *config, const OwdSimWish *wish)
{
  OwdSimExporter *ex;

  add (config, 10, OWD_STAMP_UNIX_MS);
  ex = add (config, 10, OWD_STAMP_UNIX_MS);
  ex->biflow = ex->end_reason = TRUE;
  connect2 (config, 0, 1, 5, 5, wish->flows_per_s);
  config->v6_share = 0.2;
}

static void
rebooting (OwdSimConfig *config, const OwdSimWish *wish)
{
  OwdSimExporter *ex;

  pair (config, wish, 9, OWD_STAMP_UPTIME_MS);
  ex = exporter (config, 1);
  ex->reboot_ns[0] = config->duration_ns / 2;
  ex->n_reboots = 1;
  ex->outage_ns = 40 * SEC;
}

static void
wrapping (OwdSimConfig *config, const OwdSimWish *wish)
{
  pair (config, wish, 9, OWD_STAMP_UPTIME_MS);
  exporter (config, 1)->up_before_ns = (G_GINT64_CONSTANT (1) << 32) * MS - config->duration_ns / 2;
}

static void
locked (OwdSimConfig *config, const OwdSimWish *wish)
{
  OwdSimExporter *ex;

  pair (config, wish, 9, OWD_STAMP_UPTIME_MS);
  ex = exporter (config, 1);
  ex->tick_rtc = ex->tick_only = TRUE;
  ex->tick_ns = SEC;
  ex->tick_phase_ns = 400 * MS;
  ex->tick_jitter_ns = 11 * MS;
}

static void
sliding (OwdSimConfig *config, const OwdSimWish *wish)
{
  pair (config, wish, 9, OWD_STAMP_UPTIME_MS);
  for (guint i = 0; i < 2; i++)
    exporter (config, i)->tick_only = TRUE;
}

static void
ahead (OwdSimConfig *config, const OwdSimWish *wish)
{
  OwdSimExporter *ex;

  pair (config, wish, 9, OWD_STAMP_UPTIME_MS);
  ex = exporter (config, 1);
  ex->uptime_lag_ns = 160 * MS;
  ex->fin_ns = MS; /* out at once */
  ex->tick_ns = 50 * MS;
}

static void
floating (OwdSimConfig *config, const OwdSimWish *wish)
{
  OwdSimExporter *ex;

  pair (config, wish, 5, OWD_STAMP_UPTIME_MS);
  ex = exporter (config, 1);
  ex->float_ns = 1000 * SEC;
  ex->header_frac = TRUE;
}

static void
whole_uptime (OwdSimConfig *config, const OwdSimWish *wish)
{
  OwdSimExporter *ex;

  pair (config, wish, 9, OWD_STAMP_UPTIME_MS);
  ex = exporter (config, 1);
  ex->step_ns[0] = ex->step_ns[1] = 1024 * MS;
  ex->uptime_step_ns = SEC;
}

static void
cards (OwdSimConfig *config, const OwdSimWish *wish)
{
  SimRng rng = sim_rng (config->seed, 78);
  OwdSimExporter *ex;

  add (config, 9, OWD_STAMP_UPTIME_MS);
  ex = add_step (config, 9, OWD_STAMP_UPTIME_MS, 10);
  ex->n_cards = 4;
  ex->n_interfaces = 4;
  for (guint i = 1; i < ex->n_cards; i++)
    ex->card_offset_ns[i] = sim_rng_between (&rng, -400 * MS, 400 * MS);
  connect2 (config, 0, 1, 5, 5, wish->flows_per_s);
}

static void
domains (OwdSimConfig *config, const OwdSimWish *wish)
{
  OwdSimExporter *a, *b;

  add (config, 9, OWD_STAMP_UPTIME_MS);
  add (config, 9, OWD_STAMP_UPTIME_MS);
  add (config, 9, OWD_STAMP_UPTIME_MS);
  a = exporter (config, 1);
  b = exporter (config, 2);
  a->engines = 2;
  a->domain = 2081;
  b->domain = 2177;
  b->addr = a->addr;
  b->up_before_ns = a->up_before_ns - 7400 * MS;
  connect2 (config, 0, 1, 5, 5, wish->flows_per_s);
}

static void
junos (OwdSimConfig *config, const OwdSimWish *wish)
{
  OwdSimExporter *ex;

  pair (config, wish, 9, OWD_STAMP_UPTIME_MS);
  ex = exporter (config, 1);
  ex->repeat_start = TRUE;
  ex->active_ns = 30 * SEC;
}

static void
sampling (OwdSimConfig *config, const OwdSimWish *wish)
{
  pair (config, wish, 9, OWD_STAMP_UPTIME_MS);
  exporter (config, 0)->sampling = exporter (config, 1)->sampling = 10;
}

static void
sampling_one (OwdSimConfig *config, const OwdSimWish *wish)
{
  pair (config, wish, 9, OWD_STAMP_UPTIME_MS);
  exporter (config, 1)->sampling = 10;
}

static void
blunders (OwdSimConfig *config, const OwdSimWish *wish)
{
  pair (config, wish, 9, OWD_STAMP_UPTIME_MS);
  exporter (config, 0)->blunder_rate = 0.01;
  exporter (config, 1)->blunder_rate = 0.05;
}

static void
nat (OwdSimConfig *config, const OwdSimWish *wish)
{
  const guint points[] = { 0, 1, 2 };

  for (guint i = 0; i < 3; i++)
    add (config, 10, OWD_STAMP_UNIX_MS);
  exporter (config, 1)->nat_fields = TRUE;
  connect (config, points, 3, 4, 4, wish->flows_per_s);
  route (config, 0)->nat_at = route (config, 1)->nat_at = 1;
  route (config, 1)->flows_per_s = 0; /* nobody calls in */
  route (config, 0)->flows_per_s = wish->flows_per_s;
}

static void
triangle (OwdSimConfig *config, const OwdSimWish *wish)
{
  const guint via[] = { 0, 1, 2 };

  for (guint i = 0; i < 3; i++)
    add (config, 9, OWD_STAMP_UPTIME_MS)->ttl = TRUE;
  connect (config, via, 3, 4, 4, wish->flows_per_s / 2);
  connect2 (config, 0, 2, 20, 6, wish->flows_per_s / 4); /* asymmetric */
  connect2 (config, 1, 2, 3, 3, wish->flows_per_s / 4);
}

static void
route_change (OwdSimConfig *config, const OwdSimWish *wish)
{
  OwdSimHop *hop;

  add_step (config, 9, OWD_STAMP_UPTIME_MS, 4);
  add_step (config, 9, OWD_STAMP_UPTIME_MS, 4);
  connect2 (config, 0, 1, 20, 12, wish->flows_per_s);
  exporter (config, 0)->skew_ppm = 25;
  exporter (config, 1)->skew_ppm = -25;
  hop = &route (config, 0)->hops[1];
  hop->change[0] = (OwdSimShift){ .at_ns = config->duration_ns / 3, .delta_ns = 15 * MS };
  hop->change[1] = (OwdSimShift){ .at_ns = config->duration_ns * 2 / 3, .delta_ns = -25 * MS };
  hop->n_changes = 2;
}

/* Everything at once, the way a network of an operator is. */
static void
four_sites (OwdSimConfig *config, const OwdSimWish *wish)
{
  static const gint64 step_ms[] = { 1, 4, 10, 64 };
  static const guint version[] = { 9, 5, 9, 9 };
  static const guint abc[] = { 0, 1, 2 }, bcd[] = { 1, 2, 3 };
  SimRng rng = sim_rng (config->seed, 79);
  double rate = wish->flows_per_s / 6;
  guint ab;

  for (guint i = 0; i < 4; i++) {
    OwdSimExporter *ex = add_step (config, version[i], OWD_STAMP_UPTIME_MS, step_ms[i]);

    ex->skew_ppm = i == 0 ? 60 : i == 1 ? -60 : sim_rng_double (&rng, -60, 60);
    ex->temp_ppm = 0.2;
    ex->blunder_rate = 0.01;
    ex->datagram_loss = ex->datagram_duplicate = ex->datagram_reorder = 0.001;
    ex->record_loss = 0.0005;
  }
  ab = connect2 (config, 0, 1, 8, 8, rate);
  connect2 (config, 1, 2, 15, 15, rate);
  connect2 (config, 2, 3, 30, 20, rate);
  connect2 (config, 0, 3, 25, 25, rate);
  connect (config, abc, 3, 9, 9, rate);
  connect (config, bcd, 3, 12, 12, rate);
  for (guint i = 0; i < config->routes->len; i++)
    for (guint j = 0; j < route (config, i)->n; j++) {
      OwdSimHop *hop = &route (config, i)->hops[j];

      hop->loss = 0.0005;
      hop->diurnal_ns = j > 0 ? 2 * MS : 0;
      hop->spike_ns = 40 * MS;
      hop->spike_share = j > 0 ? 0.002 : 0;
    }
  route (config, ab)->hops[1].change[0] = (OwdSimShift){ .at_ns = config->duration_ns / 2, .delta_ns = 20 * MS };
  route (config, ab)->hops[1].n_changes = 1;
  exporter (config, 2)->rtc[0] = (OwdSimShift){ .at_ns = config->duration_ns * 2 / 3, .delta_ns = 150 * MS };
  exporter (config, 2)->n_rtc = 1;
}

/* One of n figures. */
#define PICK(rng, figures) ((figures)[sim_rng_below ((rng), G_N_ELEMENTS (figures))])

/* A router with faults by chance: how it stamps and when it sends. */
static void
any_exporter (OwdSimConfig *config, SimRng *rng)
{
  static const guint version[] = { 5, 9, 10 };
  static const OwdStampKind kind[] = { OWD_STAMP_UPTIME_MS, OWD_STAMP_UNIX_S, OWD_STAMP_UNIX_MS,
                                       OWD_STAMP_NTP_US,    OWD_STAMP_NTP_NS, OWD_STAMP_DELTA_US };
  static const gint64 step_ms[] = { 1, 1, 4, 10, 16, 64, 100, 256 }, up_ms[] = { 1, 1, 1, 10, 1000 };
  static const gint64 tick_ms[] = { 300, 1000, 1001, 5000 }, active_s[] = { 30, 60, 120 }, idle_s[] = { 10, 15, 30 };
  guint v = PICK (rng, version);
  OwdSimExporter *ex = add (config, v, v == 10 ? PICK (rng, kind) : OWD_STAMP_UPTIME_MS);

  if (ex->stamps != OWD_STAMP_UNIX_S && ex->stamps != OWD_STAMP_DELTA_US) {
    ex->step_ns[0] = ex->step_ns[1] = PICK (rng, step_ms) * MS;
    if (sim_rng_chance (rng, 0.3))
      ex->phase_ns[0] = ex->phase_ns[1] = sim_rng_below (rng, (guint32) (ex->step_ns[0] / MS)) * MS;
  }
  ex->skew_ppm = sim_rng_double (rng, -100, 100);
  ex->temp_ppm = sim_rng_double (rng, 0, 0.5);
  ex->uptime_step_ns = PICK (rng, up_ms) * MS;
  ex->header_frac = sim_rng_chance (rng, 0.5);
  ex->uptime_lag_ns = sim_rng_chance (rng, 0.15) ? sim_rng_between (rng, MS, 200 * MS) : 0;
  ex->init_in_record = sim_rng_chance (rng, 0.5);
  ex->wide_uptime = v == 10 && ex->stamps == OWD_STAMP_UPTIME_MS && sim_rng_chance (rng, 0.5);
  ex->tick_ns = PICK (rng, tick_ms) * MS;
  ex->tick_rtc = sim_rng_chance (rng, 0.3);
  ex->tick_only = sim_rng_chance (rng, 0.3);
  ex->active_ns = PICK (rng, active_s) * SEC;
  ex->inactive_ns = PICK (rng, idle_s) * SEC;
  ex->fin_ns = sim_rng_chance (rng, 0.7) ? 2 * SEC : 0;
  ex->scan_ns = sim_rng_chance (rng, 0.3) ? SEC : 0;
  ex->evict_per_s = sim_rng_chance (rng, 0.2) ? 0.002 : 0;
  ex->repeat_start = sim_rng_chance (rng, 0.15);
  ex->end_reason = sim_rng_chance (rng, 0.5);
  ex->blunder_rate = sim_rng_chance (rng, 0.5) ? sim_rng_double (rng, 0, 0.03) : 0;
  ex->record_loss = sim_rng_chance (rng, 0.5) ? 0.001 : 0;
  ex->datagram_loss = ex->datagram_duplicate = ex->datagram_reorder = sim_rng_chance (rng, 0.5) ? 0.002 : 0;
}

/* And what happens to its clocks meanwhile. */
static void
any_event (OwdSimExporter *ex, SimRng *rng, gint64 duration_ns)
{
  gint64 at_ns = (gint64) (sim_rng_double (rng, 0.2, 0.8) * (double) duration_ns);
  gint64 delta_ns = (gint64) (exp (sim_rng_double (rng, log (0.02), log (10))) * (double) SEC);

  if (sim_rng_chance (rng, 0.5))
    delta_ns = -delta_ns;
  switch (sim_rng_below (rng, 6)) {
  case 0:
  case 1:
    ex->rtc[ex->n_rtc++] = (OwdSimShift){ .at_ns = at_ns, .delta_ns = delta_ns };
    break;
  case 2:
    delta_ns = CLAMP (delta_ns, -50 * MS, 50 * MS);
    ex->rtc[ex->n_rtc++]
        = (OwdSimShift){ .at_ns = at_ns, .over_ns = ABS (delta_ns) * 1000000 / 500, .delta_ns = delta_ns };
    break;
  case 3:
    ex->reboot_ns[ex->n_reboots++] = at_ns;
    ex->outage_ns = sim_rng_between (rng, 5 * SEC, 60 * SEC);
    break;
  default:
    break;
  }
}

/* Whatever the model can do, at once and by chance: three routers, each with faults of its own, between all of which
 * flows go directly and over the third one. For looking at what nobody has thought of: no figure is promised. */
static void
anything (OwdSimConfig *config, const OwdSimWish *wish)
{
  static const guint way[][3] = { { 0, 1, 2 }, { 1, 2, 0 }, { 2, 0, 1 } };
  SimRng rng = sim_rng (config->seed, 81);

  for (guint i = 0; i < 3; i++) {
    any_exporter (config, &rng);
    any_event (exporter (config, i), &rng, config->duration_ns);
  }
  for (guint i = 0; i < 3; i++) {
    connect2 (config, way[i][0], way[i][1], sim_rng_double (&rng, 0.2, 80), sim_rng_double (&rng, 0.2, 80),
              wish->flows_per_s / 6);
    connect (config, way[i], 3, sim_rng_double (&rng, 0.2, 40), sim_rng_double (&rng, 0.2, 40), wish->flows_per_s / 6);
  }
  for (guint i = 0; i < config->routes->len; i++) {
    OwdSimHop *hop = &route (config, i)->hops[1];

    hop->loss = sim_rng_chance (&rng, 0.5) ? 0.001 : 0;
    if (sim_rng_chance (&rng, 0.3))
      hop->change[hop->n_changes++] = (OwdSimShift){ .at_ns = sim_rng_between (&rng, 0, config->duration_ns),
                                                     .delta_ns = sim_rng_between (&rng, 0, 40 * MS) };
  }
}

static void
scale_flows (OwdSimConfig *config, const OwdSimWish *wish)
{
  pair (config, wish, 10, OWD_STAMP_UNIX_MS);
}

static void
scale_exporters (OwdSimConfig *config, const OwdSimWish *wish)
{
  guint n = MAX (wish->exporters, 2);
  SimRng rng = sim_rng (config->seed, 80);

  for (guint i = 0; i < n; i++) {
    OwdSimExporter *ex = add (config,
                              i % 3 == 0   ? 5
                              : i % 3 == 1 ? 9
                                           : 10,
                              i % 3 == 2 ? OWD_STAMP_UNIX_MS : OWD_STAMP_UPTIME_MS);

    ex->skew_ppm = sim_rng_double (&rng, -60, 60);
  }
  for (guint i = 0; i < n; i++)
    connect2 (config, i, (i + 1) % n, sim_rng_double (&rng, 1, 50), sim_rng_double (&rng, 1, 50),
              wish->flows_per_s / n);
}

static const OwdSimScenario scenarios[] = {
  { "quiet", "two points, 1 ms each way, v9 uptime stamps of 1 ms, swept whole-second headers", 600, 20, quiet },
  { "quiet-v5", "the same in v5, unix_nsecs dead at one point and alive at the other", 600, 20, quiet_v5 },
  { "quiet-ms", "the same in IPFIX with absolute stamps of 1 ms (IE 152, 153)", 600, 20, quiet_ms },
  { "quiet-init", "the same in IPFIX with uptime stamps and IE 160, in options and in records", 600, 20, quiet_init },
  { "formats", "every format and time element against one good IPFIX exporter; a fifth is IPv6", 600, 60, formats },
  { "steps", "steps 1/1 4/4 10/10 64/64 4/64 256/256 1000/1000 ms; the delay grows by one step, so all phases occur",
    600, 70, steps },
  { "phases", "steps of 4 to 250 ms that begin anywhere, others for start than for end, against a good clock", 600, 40,
    phases },
  { "timeouts", "other active and inactive timeouts at each point, FIN not honoured at one", 600, 20, timeouts },
  { "evictions", "a full cache at one point throws flows out", 600, 20, evictions },
  { "lossy", "1 % path loss; records and datagrams lost, doubled, reordered", 600, 20, lossy },
  { "skewed", "sysUptime runs up to 60 ppm off", 3600, 10, skewed },
  { "drifting", "two days: skew, temperature, wandering wall clock, diurnal delay, spikes", 172800, 2, drifting },
  { "ntp-step", "one point's wall clock is 1.5 s behind until it is stepped half-way", 1200, 20, ntp_step },
  { "ntp-slew", "one point's wall clock is behind, then slewed right at 500 ppm for a quarter of the time", 2400, 10,
    ntp_slew },
  { "stale-epoch", "absolute stamps still count from an epoch before an NTP step of 4.2 s", 600, 20, stale_epoch },
  { "init-off", "IPFIX uptime stamps with an IE 160 that is years off at one point", 600, 20, init_off },
  { "reboot", "one point reboots half-way, 40 s outage", 1200, 20, rebooting },
  { "silent", "three points on a route, the middle one dies half-way", 600, 20, falls_silent },
  { "wrap", "one point's sysUptime wraps half-way", 600, 20, wrapping },
  { "phase-locked", "one point exports only at .400 of its second, 11 ms jitter", 600, 20, locked },
  { "timer-1001", "both points export only by a 1.001 s timer", 1200, 20, sliding },
  { "slow-export", "one point exports every 20 s only, and ends idle flows after 60 s", 600, 20, slow_export },
  { "uptime-lag", "header uptime up to 160 ms old at one point: last > sysUptime", 600, 20, ahead },
  { "floating-epoch", "v5 as fprobe sends it: each datagram counts uptime from its own whole-second epoch", 600, 20,
    floating },
  { "whole-uptime", "Juniper v9: header uptime in whole seconds, stamps of 1024 ms", 1200, 20, whole_uptime },
  { "line-cards", "four line cards with own offsets up to 400 ms at one point", 1200, 30, cards },
  { "domains", "one router, two source ids, boot times 7.4 s apart", 600, 20, domains },
  { "junos-repeat", "continuations repeat the start of the flow at one point", 600, 20, junos },
  { "sampling", "both points sample 1 in 10 packets on their own", 600, 40, sampling },
  { "sampling-one", "one point samples 1 in 10 packets", 600, 40, sampling_one },
  { "blunders", "nonsense stamps of every shape: 1 % and 5 % of the records", 1200, 20, blunders },
  { "both-sides", "one point exports each flow where it enters and again where it leaves (IE 61)", 600, 20,
    both_sides },
  { "biflow", "one point exports biflows (RFC 5103), the other plain flows; a fifth is IPv6", 600, 20, biflows },
  { "nat", "three points, the middle one translates addresses", 600, 20, nat },
  { "triangle", "three points on one route, and direct ways that are asymmetric; records tell TTLs", 600, 30,
    triangle },
  { "route-change", "20 ms, then 35, then 10; 12 back", 900, 20, route_change },
  { "four-sites", "steps 1/4/10/64, skews to 60 ppm, blunders, losses, route change, NTP step", 3600, 30, four_sites },
  { "anything", "whatever can be wrong, by chance: three routers, each with faults, steps and reboots of its own", 1200,
    30, anything },
  { "scale-flows", "two points, many flows", 30, 20000, scale_flows },
  { "scale-exporters", "a ring of many exporters in mixed formats", 60, 10000, scale_exporters },
};

const OwdSimScenario *
owd_sim_scenario (guint i)
{
  return i < G_N_ELEMENTS (scenarios) ? &scenarios[i] : NULL;
}

const OwdSimScenario *
owd_sim_scenario_find (const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (scenarios); i++)
    if (g_str_equal (scenarios[i].name, name))
      return &scenarios[i];
  return NULL;
}

OwdSimConfig *
owd_sim_scenario_config (const OwdSimScenario *scenario, const OwdSimWish *wish)
{
  OwdSimConfig *config = owd_sim_config_new (wish->seed);
  OwdSimWish full = *wish;

  if (full.flows_per_s <= 0)
    full.flows_per_s = scenario->flows_per_s;
  if (full.exporters == 0)
    full.exporters = 500;
  config->duration_ns
      = wish->duration_ns > 0 ? wish->duration_ns : (gint64) (scenario->duration_s * (double) OWD_NS_PER_S);
  if (wish->start_ns != 0)
    config->start_ns = wish->start_ns;
  scenario->build (config, &full);
  return config;
}
