/* SPDX-License-Identifier: Apache-2.0
 *
 * correlate FILE.pcap [LIGHT]: capture, decoder and correlator engine in one process, without log and database; prints
 * samples as the columns of owd.samples that judge reads. Log time advances with the capture's seconds, as it does
 * live. LIGHT: what light takes between any two points, in ms.
 */
#include "owd-capture.h"
#include "owd-correlator.h"
#include "owd-decoder.h"

#include <stdio.h>

static OwdCorrelator *correlator;

static gint64
floor_of (const void *user, const OwdStateKey *a, const OwdStateKey *b)
{
  (void) a;
  (void) b;
  return *(const gint64 *) user;
}

static void
header (void *user, const OwdHeader *h)
{
  (void) user;
  owd_correlator_header (correlator, h);
}

static void
flow (void *user, const OwdHeader *h, const OwdFlow *f)
{
  (void) user;
  (void) h;
  (void) owd_correlator_flow (correlator, f);
}

static void
sample (void *user, const OwdSample *s)
{
  static const char *const kinds[] = { "", "start", "end", "both" };
  char src[OWD_ADDR_TEXT], dst[OWD_ADDR_TEXT];
  OwdCorrelatorState a, b;

  (void) user;
  owd_correlator_state (correlator, s->src, &a);
  owd_correlator_state (correlator, s->dst, &b);
  printf ("0,%" G_GUINT64_FORMAT ",%" G_GINT64_FORMAT ".%09d,%s,%s,%s,%.6f,%.6f,%.6f,%.6f,%.6f,%d,%" G_GINT64_FORMAT
          ",%d\n",
          s->seq, s->ts / OWD_NS_PER_S, (int) (s->ts % OWD_NS_PER_S), owd_addr_text (&a.key.addr, src),
          owd_addr_text (&b.key.addr, dst), kinds[s->kind], (double) s->owd_ns / 1e6, (double) s->lo_ns / 1e6,
          (double) s->hi_ns / 1e6, (double) s->sigma_ns / 1e6, (double) s->bias_ns / 1e6, s->proto, (gint64) s->flow,
          s->flags);
}

/* Totals per path, told at the end. */
static GArray *totals; /* OwdCount */

static void
count (void *user, const OwdCount *c)
{
  (void) user;
  for (guint i = 0; i < totals->len; i++) {
    OwdCount *t = &g_array_index (totals, OwdCount, i);

    if (t->src != c->src || t->dst != c->dst)
      continue;
    t->sent += c->sent;
    t->lost += c->lost;
    t->late += c->late;
    return;
  }
  g_array_append_val (totals, *c);
}

static void
tell_counts (void)
{
  for (guint i = 0; i < totals->len; i++) {
    const OwdCount *t = &g_array_index (totals, OwdCount, i);
    char src[OWD_ADDR_TEXT], dst[OWD_ADDR_TEXT];
    OwdCorrelatorState a, b;

    owd_correlator_state (correlator, t->src, &a);
    owd_correlator_state (correlator, t->dst, &b);
    fprintf (stderr, "counts %s %s sent %" G_GUINT64_FORMAT " lost %" G_GUINT64_FORMAT " late %" G_GUINT64_FORMAT "\n",
             owd_addr_text (&a.key.addr, src), owd_addr_text (&b.key.addr, dst), t->sent, t->lost, t->late);
  }
}

static gboolean
run (OwdCapture *capture, OwdDecoder *decoder, GError **error)
{
  OwdTime beat = OWD_TIME_NONE;
  OwdCapturePacket packet;
  OwdStatus status;
  OwdUdp udp;

  while ((status = owd_capture_next (capture, &packet, error)) == OWD_STATUS_OK) {
    OwdTime second = packet.time_ns / OWD_NS_PER_S * OWD_NS_PER_S;

    if (owd_packet_udp (packet.link_type, packet.data, packet.caplen, packet.wirelen, &udp) != OWD_PACKET_UDP)
      continue;
    if (beat != OWD_TIME_NONE && second > beat)
      owd_correlator_advance (correlator, second);
    beat = second;
    (void) owd_decoder_feed (decoder, &udp.src, udp.sport, packet.time_ns, udp.payload, udp.len);
  }
  owd_correlator_flush (correlator);
  return status == OWD_STATUS_END;
}

int
main (int argc, char **argv)
{
  const OwdDecoderSink sink = { .header = header, .flow = flow };
  g_autoptr (GError) error = NULL;
  g_autoptr (OwdCapture) capture = argc == 2 || argc == 3 ? owd_capture_open (argv[1], &error) : NULL;
  g_autoptr (OwdDecoder) decoder = owd_decoder_new (&sink, NULL, NULL);
  const OwdCorrelatorCounters *n;
  const gint64 light_ns = argc == 3 ? (gint64) (g_ascii_strtod (argv[2], NULL) * OWD_NS_PER_MS) : 0;
  OwdCorrelatorConfig config;
  gboolean ok;

  if (capture == NULL) {
    fprintf (stderr, "correlate: %s\n", error != NULL ? error->message : "usage: correlate FILE.pcap [LIGHT]");
    return OWD_EXIT_USAGE;
  }
  owd_correlator_config_init (&config);
  config.floor = floor_of;
  config.floor_user = &light_ns;
  correlator = owd_correlator_new (&config, sample, NULL);
  totals = g_array_new (FALSE, FALSE, sizeof (OwdCount));
  owd_correlator_set_count_sink (correlator, count);
  puts ("part,seq,ts,src,dst,kind,owd_ms,lo_ms,hi_ms,sigma_ms,bias_ms,proto,flow,flags");
  ok = run (capture, decoder, &error);
  n = owd_correlator_counters (correlator);
  fprintf (stderr,
           "records %" G_GUINT64_FORMAT " no_clock %" G_GUINT64_FORMAT " nonsense %" G_GUINT64_FORMAT
           " duplicates %" G_GUINT64_FORMAT " overlaps %" G_GUINT64_FORMAT " sampled %" G_GUINT64_FORMAT
           " unpaired %" G_GUINT64_FORMAT " runs %" G_GUINT64_FORMAT " ambiguous %" G_GUINT64_FORMAT
           " undirected %" G_GUINT64_FORMAT " samples %" G_GUINT64_FORMAT " late %" G_GUINT64_FORMAT
           " unsettled %" G_GUINT64_FORMAT " contradicted %" G_GUINT64_FORMAT " flagged %" G_GUINT64_FORMAT
           " horizon %.1f s\n",
           n->records, n->no_clock, n->nonsense, n->duplicates, n->overlaps, n->sampled, n->unpaired, n->runs,
           n->ambiguous, n->undirected, n->samples, n->late, n->unsettled, n->contradicted, n->flagged,
           (double) owd_correlator_horizon_ns (correlator) / 1e9);
  for (guint i = 0; i < owd_correlator_n_states (correlator); i++) {
    char addr[OWD_ADDR_TEXT];
    OwdCorrelatorState s;

    owd_correlator_state (correlator, i, &s);
    fprintf (stderr,
             "%s#%u/v%u records %" G_GUINT64_FORMAT
             " steps %.3f %.3f ms boot %.1f ms wide, %u segments, lag p50 %.1f p99 %.1f s\n",
             owd_addr_text (&s.key.addr, addr), s.key.domain, s.key.version, s.records, (double) s.start_step_ns / 1e6,
             (double) s.end_step_ns / 1e6, (double) (s.boot_hi_ns - s.boot_lo_ns) / 1e6, s.segments,
             (double) s.lag_p50_ns / 1e9, (double) s.lag_p99_ns / 1e9);
  }
  tell_counts ();
  g_array_unref (totals);
  owd_correlator_free (correlator);
  if (!ok)
    fprintf (stderr, "correlate: %s\n", error->message);
  return ok ? OWD_EXIT_DONE : OWD_EXIT_FAILED;
}
