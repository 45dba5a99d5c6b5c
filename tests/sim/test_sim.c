/* SPDX-License-Identifier: Apache-2.0
 *
 * The simulator against the decoder, which does not share its code: what was exported is what the truth says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "owd-decoder.h"
#include "owd-sim.h"

#include <math.h>
#include <string.h>

#define SEC OWD_NS_PER_S
#define MS OWD_NS_PER_MS

/* One decoded stamp, by where and on what it stands. */
typedef struct {
  guint64 flow, raw;
  guint32 exporter, bound; /* 0 start, 1 end */
} StampKey;

typedef struct {
  OwdSimConfig *config;
  OwdSim *sim;
  OwdDecoder *decoder;
  GArray *truth;      /* OwdSimTruth */
  GHashTable *stamps; /* StampKey -> OwdTime: what the stamp says, uptime and skew given */
  GArray *headers;    /* OwdHeader */
  guint exporter;     /* of the datagram being decoded */
  guint64 records, refused, datagrams;
} Run;

static guint
stamp_hash (gconstpointer p)
{
  const StampKey *k = p;

  return (guint) (k->flow ^ k->raw * 31 ^ k->exporter << 1 ^ k->bound);
}

static gboolean
stamp_equal (gconstpointer a, gconstpointer b)
{
  return memcmp (a, b, sizeof (StampKey)) == 0;
}

static void
take_truth (void *user, const OwdSimTruth *row)
{
  g_array_append_vals (((Run *) user)->truth, row, 1);
}

static void
take_header (void *user, const OwdHeader *header)
{
  g_array_append_vals (((Run *) user)->headers, header, 1);
}

static const OwdSimExporter *
settings (const Run *run, guint i)
{
  return &g_array_index (run->config->exporters, OwdSimExporter, i);
}

static void
remember (Run *run, const OwdHeader *header, const OwdFlow *flow, guint bound)
{
  OwdStampKind kind = bound == 0 ? flow->start_kind : flow->end_kind;
  StampKey key = { .flow = owd_flow_hash (flow),
                   .raw = bound == 0 ? flow->start_raw : flow->end_raw,
                   .exporter = run->exporter,
                   .bound = bound };
  OwdTime *said = g_new (OwdTime, 1);

  if (kind == OWD_STAMP_UPTIME_MS) {
    gint64 up_ns = (gint64) owd_sim_uptime_ns (run->sim, run->exporter, header->recv_ns);
    gint64 ago_ns = owd_uptime_diff_ms ((guint32) (up_ns / MS), (guint32) key.raw) * MS + up_ns % MS;

    *said = header->recv_ns - (gint64) floor ((double) ago_ns / (1 + settings (run, run->exporter)->skew_ppm * 1e-6));
  } else {
    *said = owd_flow_claim (header, flow, kind, key.raw);
  }
  g_hash_table_insert (run->stamps, g_memdup2 (&key, sizeof key), said);
}

static void
take_flow (void *user, const OwdHeader *header, const OwdFlow *flow)
{
  Run *run = user;

  run->records++;
  remember (run, header, flow, 0);
  remember (run, header, flow, 1);
}

static Run *
run_config (OwdSimConfig *config)
{
  Run *run = g_new0 (Run, 1);
  const OwdDecoderSink sink = { take_header, take_flow, run };
  OwdTime before = G_MININT64;
  OwdSimDatagram d;

  run->config = config;
  run->truth = g_array_new (FALSE, FALSE, sizeof (OwdSimTruth));
  run->headers = g_array_new (FALSE, FALSE, sizeof (OwdHeader));
  run->stamps = g_hash_table_new_full (stamp_hash, stamp_equal, g_free, g_free);
  run->decoder = owd_decoder_new (&sink, NULL, NULL);
  run->sim = owd_sim_new (config, take_truth, run);
  assert_non_null (run->decoder);
  assert_non_null (run->sim);
  while (owd_sim_next (run->sim, &d)) {
    const OwdAddr *from = &g_array_index (config->exporters, OwdSimExporter, d.exporter).addr;

    assert_true (d.recv_ns >= before);
    before = d.recv_ns;
    run->exporter = d.exporter;
    run->datagrams++;
    run->refused += owd_decoder_feed (run->decoder, from, d.port, d.recv_ns, d.data, d.len) != OWD_STATUS_OK;
  }
  return run;
}

static Run *
run_scenario (const char *name, guint64 seed, gint64 duration_ns)
{
  const OwdSimWish wish = { .seed = seed, .duration_ns = duration_ns };
  const OwdSimScenario *scenario = owd_sim_scenario_find (name);

  assert_non_null (scenario);
  return run_config (owd_sim_scenario_config (scenario, &wish));
}

static void
run_free (Run *run)
{
  owd_sim_free (run->sim);
  owd_decoder_free (run->decoder);
  owd_sim_config_free (run->config);
  g_array_unref (run->truth);
  g_array_unref (run->headers);
  g_hash_table_unref (run->stamps);
  g_free (run);
}

static guint
count_status (const Run *run, OwdSimStatus status)
{
  guint n = 0;

  for (guint i = 0; i < run->truth->len; i++)
    n += g_array_index (run->truth, OwdSimTruth, i).status == status;
  return n;
}

/* ---- tests ---- */

/* Digest of everything that leaves the engine. */
static char *
digest (const char *name, guint64 seed, gint64 duration_ns)
{
  const OwdSimWish wish = { .seed = seed, .duration_ns = duration_ns, .flows_per_s = 20, .exporters = 10 };
  g_autoptr (OwdSimConfig) config = owd_sim_scenario_config (owd_sim_scenario_find (name), &wish);
  g_autoptr (OwdSim) sim = owd_sim_new (config, NULL, NULL);
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  OwdSimDatagram d;

  while (owd_sim_next (sim, &d)) {
    g_checksum_update (sum, (const guchar *) &d.recv_ns, sizeof d.recv_ns);
    g_checksum_update (sum, d.data, (gssize) d.len);
  }
  return g_strdup (g_checksum_get_string (sum));
}

static void
same_seed_same_bytes (void **state)
{
  const OwdSimScenario *s;

  (void) state;
  for (guint i = 0; (s = owd_sim_scenario (i)) != NULL; i++) {
    g_autofree char *a = digest (s->name, 3, 10 * SEC), *b = digest (s->name, 3, 10 * SEC),
                    *c = digest (s->name, 4, 10 * SEC);

    assert_string_equal (a, b);
    assert_string_not_equal (a, c);
  }
}

/* Every scenario decodes without a refusal, and the sum of its records is what the exporters say they sent. */
static void
decodes (void **state)
{
  const OwdSimScenario *s;

  (void) state;
  for (guint i = 0; (s = owd_sim_scenario (i)) != NULL; i++) {
    const OwdSimWish wish = { .seed = 5, .duration_ns = 20 * SEC, .flows_per_s = 20, .exporters = 10 };
    Run *run = run_config (owd_sim_scenario_config (s, &wish));
    guint64 sent = 0, doubled = 0; /* flows; datagrams */

    for (guint e = 0; e < run->config->exporters->len; e++) {
      const OwdSimCounts *c = owd_sim_counts (run->sim, e);

      sent += c->records - c->records_in_lost + c->biflows;
      doubled += c->datagrams_duplicate;
    }
    assert_int_equal (run->refused, 0);
    assert_true (run->records > 100);
    if (doubled == 0)
      assert_int_equal (run->records, sent);
    else
      assert_true (run->records > sent);
    run_free (run);
  }
}

/* Stamps as the decoder reads them lie at most one step before the truth. */
static void
check_stamps (const char *name, guint64 seed)
{
  Run *run = run_scenario (name, seed, 60 * SEC);
  guint checked = 0;

  for (guint i = 0; i < run->truth->len; i++) {
    const OwdSimTruth *t = &g_array_index (run->truth, OwdSimTruth, i);

    for (guint side = 0; side < 2; side++) {
      guint exporter = side == 0 ? t->src : t->dst, bound = t->kind == OWD_SAMPLE_END;
      OwdTime at = side == 0 ? t->src_ns : t->dst_ns;
      StampKey key = { .flow = owd_flow_hash (side == 0 ? &t->up : &t->down),
                       .raw = side == 0 ? t->src_raw : t->dst_raw,
                       .exporter = exporter,
                       .bound = bound };
      const OwdTime *said = g_hash_table_lookup (run->stamps, &key);

      if (t->status == OWD_SIM_LOST)
        continue;
      assert_non_null (said);
      if (t->status == OWD_SIM_DAMAGED)
        continue;
      /* NTP fractions of microsecond stamps cannot be finer than 477 ns */
      assert_in_range (at - *said, 0,
                       settings (run, exporter)->step_ns[bound] + 1
                           + (settings (run, exporter)->stamps == OWD_STAMP_NTP_US ? 477 : 0));
      checked++;
    }
  }
  assert_true (checked > 500);
  run_free (run);
}

static void
stamps_tell_the_truth (void **state)
{
  static const char *const names[]
      = { "quiet",     "quiet-v5",   "quiet-ms",     "quiet-init", "formats",    "steps", "timeouts",
          "evictions", "lossy",      "phase-locked", "wrap",       "blunders",   "nat",   "triangle",
          "domains",   "both-sides", "biflow",       "phases",     "slow-export" };

  (void) state;
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    check_stamps (names[i], 11 + i);
}

/* Rows that claim the same packet show the delay of a packet, 1 ms and a little queue, however differently the two
 * points cut the flow; rows that can be paired have equal totals. */
static void
truth_is_consistent (void **state)
{
  static const char *const names[] = { "lossy",    "timeouts",    "evictions", "reboot",  "junos-repeat",
                                       "sampling", "slow-export", "blunders",  "domains", "phase-locked" };

  (void) state;
  for (guint n = 0; n < G_N_ELEMENTS (names); n++) {
    Run *run = run_scenario (names[n], 1, 200 * SEC);
    gint64 base = g_str_equal (names[n], "domains") ? 5 * MS : MS;

    for (guint i = 0; i < run->truth->len; i++) {
      const OwdSimTruth *t = &g_array_index (run->truth, OwdSimTruth, i);

      assert_true (t->src != t->dst);
      if (t->status != OWD_SIM_MOVED && t->status != OWD_SIM_LOST)
        assert_in_range (t->dst_ns - t->src_ns, base, 2 * base);
      if (t->status == OWD_SIM_OK)
        assert_int_equal (t->src_packets, t->dst_packets);
    }
    run_free (run);
  }
}

/* Each way of not being provable occurs where it should, and inner bounds are told. */
static void
statuses_occur (void **state)
{
  Run *lossy = run_scenario ("lossy", 1, 120 * SEC), *sampling = run_scenario ("sampling", 1, 120 * SEC);
  Run *quiet = run_scenario ("quiet", 1, 120 * SEC);
  guint cut = 0;

  (void) state;
  assert_true (count_status (lossy, OWD_SIM_OK) > 1000);
  assert_true (count_status (lossy, OWD_SIM_UNEQUAL) > 20);
  assert_true (count_status (lossy, OWD_SIM_MOVED) > 5);
  assert_true (count_status (lossy, OWD_SIM_LOST) > 5);
  assert_true (count_status (sampling, OWD_SIM_SAMPLED) > 20);
  assert_true (count_status (sampling, OWD_SIM_MOVED) > 20);
  assert_int_equal (count_status (sampling, OWD_SIM_OK), 0);
  assert_int_equal (count_status (quiet, OWD_SIM_OK), quiet->truth->len);
  for (guint i = 0; i < quiet->truth->len; i++)
    cut += g_array_index (quiet->truth, OwdSimTruth, i).cut;
  assert_in_range (cut, 1, quiet->truth->len / 5);
  run_free (lossy);
  run_free (sampling);
  run_free (quiet);
}

/* A lost SYN comes again after a second: the point upstream saw both. */
static void
lost_syn_costs_a_second (void **state)
{
  Run *run = run_scenario ("lossy", 2, 120 * SEC);
  guint found = 0;

  (void) state;
  for (guint i = 0; i < run->truth->len; i++) {
    const OwdSimTruth *t = &g_array_index (run->truth, OwdSimTruth, i);

    if (t->status == OWD_SIM_MOVED && t->kind == OWD_SAMPLE_START && t->up.proto == 6) {
      gint64 owd = t->dst_ns - t->src_ns;

      found += owd > 1000 * MS && owd < 1010 * MS && t->src_packets > t->dst_packets;
    }
  }
  assert_true (found > 0);
  run_free (run);
}

static void
sequence_tells_lost_datagrams (void **state)
{
  static const struct {
    guint version;
    OwdStampKind stamps;
  } kinds[] = { { 5, OWD_STAMP_UPTIME_MS }, { 9, OWD_STAMP_UPTIME_MS }, { 10, OWD_STAMP_UNIX_MS } };

  (void) state;
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++) {
    OwdSimConfig *config = owd_sim_config_new (i);
    OwdSimExporter ex = owd_sim_exporter (0, kinds[i].version, kinds[i].stamps);
    OwdSimRoute route = { .n = 1, .back = -1, .flows_per_s = 50, .nat_at = -1 };
    const OwdSimCounts *c;
    guint64 lost;
    Run *run;

    config->duration_ns = 60 * SEC;
    ex.datagram_loss = 0.05;
    ex.template_ns = 1;
    g_array_append_val (config->exporters, ex);
    g_array_append_val (config->routes, route);
    run = run_config (config);
    c = owd_sim_counts (run->sim, 0);
    assert_true (c->datagrams_lost > 5);
    lost = kinds[i].version == 9 ? c->datagrams_lost : c->records_in_lost;
    /* those after the last datagram that arrived leave no gap */
    assert_in_range (owd_decoder_state (run->decoder, 0)->lost, lost - (kinds[i].version == 9 ? 2 : 60), lost);
    run_free (run);
  }
}

/* Blunders come at the rate that was asked for, in every shape, and the truth names them. */
static void
blunders_are_counted (void **state)
{
  Run *run = run_scenario ("blunders", 1, 600 * SEC);
  const OwdSimCounts *c = owd_sim_counts (run->sim, 1);
  guint64 sum = 0;

  (void) state;
  for (guint i = 1; i < OWD_SIM_BLUNDERS; i++) {
    assert_true (c->blunders[i] > 0);
    sum += c->blunders[i];
  }
  assert_in_range (sum * 1000 / c->records, 45, 55);
  assert_true (count_status (run, OWD_SIM_DAMAGED) > sum);
  run_free (run);
}

/* Boot time as one header claims it, or with whole seconds its upper end, in ms. */
static gint64
header_boot_ms (const OwdHeader *h)
{
  return (gint64) h->export_s * 1000 + h->export_frac_ns / MS - h->uptime_ms;
}

static void
clock_faults_show_in_headers (void **state)
{
  Run *step = run_scenario ("ntp-step", 1, 60 * SEC), *reboot = run_scenario ("reboot", 1, 120 * SEC);
  Run *wrap = run_scenario ("wrap", 1, 60 * SEC), *locked = run_scenario ("phase-locked", 1, 60 * SEC);
  gint64 lo = G_MAXINT64, hi = G_MININT64;
  guint wraps = 0, boots = 0;
  guint32 before = 0;

  (void) state;
  for (guint i = 0; i < step->headers->len; i++) {
    const OwdHeader *h = &g_array_index (step->headers, OwdHeader, i);

    if (h->state == g_array_index (step->headers, OwdHeader, 0).state)
      continue;
    lo = MIN (lo, header_boot_ms (h));
    hi = MAX (hi, header_boot_ms (h));
  }
  /* one of the two states has been stepped by 1.5 s; whole seconds blur that by less than one */
  if (hi - lo < 1000)
    for (guint i = 0; i < step->headers->len; i++) {
      const OwdHeader *h = &g_array_index (step->headers, OwdHeader, i);

      if (h->state != g_array_index (step->headers, OwdHeader, 0).state)
        continue;
      lo = i == 0 ? header_boot_ms (h) : MIN (lo, header_boot_ms (h));
      hi = i == 0 ? header_boot_ms (h) : MAX (hi, header_boot_ms (h));
    }
  assert_in_range (hi - lo, 1500, 2500);

  for (guint i = 0; i < reboot->headers->len; i++) {
    const OwdHeader *h = &g_array_index (reboot->headers, OwdHeader, i);

    if (h->key.addr.b[15] == 2) {
      boots += h->uptime_ms < before;
      before = h->uptime_ms;
    }
  }
  assert_int_equal (boots, 1);
  assert_in_range (before, 60 * 1000, 900 * 1000);

  before = 0;
  for (guint i = 0; i < wrap->headers->len; i++) {
    const OwdHeader *h = &g_array_index (wrap->headers, OwdHeader, i);

    if (h->key.addr.b[15] == 2) {
      wraps += h->uptime_ms < before && before > G_MAXUINT32 - 1000 * 1000;
      before = h->uptime_ms;
    }
  }
  assert_int_equal (wraps, 1);

  for (guint i = 0; i < locked->headers->len; i++) {
    const OwdHeader *h = &g_array_index (locked->headers, OwdHeader, i);

    if (h->key.addr.b[15] == 2)
      assert_in_range (h->recv_ns % SEC / MS, 400, 400 + 11 + 10); /* jitter, transport, burst */
  }
  run_free (step);
  run_free (reboot);
  run_free (wrap);
  run_free (locked);
}

/* Mean delay of the forward path follows the route changes. */
static void
route_changes_show (void **state)
{
  static const double want_ms[] = { 21, 36, 11 }; /* with a mean queue of 1 ms */
  Run *run = run_scenario ("route-change", 1, 180 * SEC);
  double sum[3] = { 0 }, n[3] = { 0 };

  (void) state;
  for (guint i = 0; i < run->truth->len; i++) {
    const OwdSimTruth *t = &g_array_index (run->truth, OwdSimTruth, i);
    gint64 third = (t->src_ns - run->config->start_ns) / (60 * SEC);

    if (t->src != 0 || t->status != OWD_SIM_OK || third > 2)
      continue;
    sum[third] += (double) (t->dst_ns - t->src_ns) / (double) MS;
    n[third]++;
  }
  for (guint i = 0; i < 3; i++)
    assert_true (n[i] > 100 && ABS (sum[i] / n[i] - want_ms[i]) < 0.3);
  run_free (run);
}

/* The clock arithmetic over 45 days, where doubles would be short of digits. */
static void
long_uptime_is_exact (void **state)
{
  OwdSimConfig *config = owd_sim_config_new (1);
  OwdSimExporter ex = owd_sim_exporter (0, 9, OWD_STAMP_UPTIME_MS);
  OwdSimRoute route = { .n = 1, .back = -1, .nat_at = -1 };
  g_autoptr (OwdSim) sim = NULL;

  (void) state;
  ex.up_before_ns = 45 * G_GINT64_CONSTANT (86400) * SEC;
  ex.skew_ppm = 50;
  g_array_append_val (config->exporters, ex);
  g_array_append_val (config->routes, route);
  sim = owd_sim_new (config, NULL, NULL);
  assert_true (owd_sim_uptime_ns (sim, 0, config->start_ns)
               == (guint64) ex.up_before_ns + (guint64) ex.up_before_ns / 1000000 * 50);
  assert_true (owd_sim_uptime_ns (sim, 0, config->start_ns + 1000000) - owd_sim_uptime_ns (sim, 0, config->start_ns)
               == 1000050);
  owd_sim_config_free (config);
}

static void
readme_has_the_table (void **state)
{
  g_autofree char *text = NULL;
  const OwdSimScenario *s;

  (void) state;
  assert_true (g_file_get_contents (OWD_SOURCE_DIR "/tests/sim/README.md", &text, NULL, NULL));
  for (guint i = 0; (s = owd_sim_scenario (i)) != NULL; i++) {
    g_autofree char *row
        = g_strdup_printf ("\n| `%s` | %.0f | %.0f | %s |\n", s->name, s->duration_s, s->flows_per_s, s->text);

    if (strstr (text, row) == NULL)
      fail_msg ("tests/sim/README.md lacks the line%s", row);
  }
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (same_seed_same_bytes),
    cmocka_unit_test (decodes),
    cmocka_unit_test (stamps_tell_the_truth),
    cmocka_unit_test (truth_is_consistent),
    cmocka_unit_test (statuses_occur),
    cmocka_unit_test (lost_syn_costs_a_second),
    cmocka_unit_test (sequence_tells_lost_datagrams),
    cmocka_unit_test (blunders_are_counted),
    cmocka_unit_test (clock_faults_show_in_headers),
    cmocka_unit_test (route_changes_show),
    cmocka_unit_test (long_uptime_is_exact),
    cmocka_unit_test (readme_has_the_table),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
