/* SPDX-License-Identifier: Apache-2.0
 *
 * The correlator against small worlds whose truth is known. Points export IPFIX with milliseconds since 1970, so that
 * only matching, direction, order and snapshots are tested here; clocks have tests of their own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "owd-correlator.h"

#define MS OWD_NS_PER_MS
#define S OWD_NS_PER_S
#define EPOCH (1700000000 * S)

enum { FIN = 1, SYN = 2, ACK = 16 };

typedef struct {
  OwdCorrelator *c;
  OwdCount counted; /* sum of all; ts of the last one */
  GArray *samples;  /* OwdSample */
  OwdTime now;
  guint32 in_if; /* at point 1 */
  guint32 raw_per_minute;
  gint64 floor_ns;   /* least delay between both points */
  guint n_flows;     /* of load(), */
  gboolean udp;      /* likewise */
  OwdTime watermark; /* before the call that delivers */
  gint64 horizon_ns; /* as it was then; 0: how late samples are delivered is not looked at */
  gint64 slowest_ns; /* delivery after the packet, less the longer horizon of before and after the call */
} World;

static void
collect (void *user, const OwdSample *sample)
{
  World *w = user;

  if (w->samples->len > 0) {
    const OwdSample *last = &g_array_index (w->samples, OwdSample, w->samples->len - 1);

    assert_true (sample->ts >= last->ts);
    assert_int_equal (sample->seq, last->seq + 1);
  }
  assert_true (sample->ts > w->watermark);
  if (w->horizon_ns > 0)
    w->slowest_ns = MAX (w->slowest_ns, w->now - sample->ts - MAX (w->horizon_ns, owd_correlator_horizon_ns (w->c)));
  g_array_append_val (w->samples, *sample);
}

static void
add_count (void *user, const OwdCount *count)
{
  World *w = user;

  assert_true (count->ts >= w->counted.ts);
  assert_true (count->ts > owd_correlator_watermark (w->c));
  w->counted.ts = count->ts;
  w->counted.src = count->src;
  w->counted.dst = count->dst;
  w->counted.sent += count->sent;
  w->counted.lost += count->lost;
  w->counted.late += count->late;
}

static World
world_new (void)
{
  return (World){ .samples = g_array_new (FALSE, FALSE, sizeof (OwdSample)), .watermark = OWD_TIME_NONE };
}

static gint64
floor_of (const void *user, const OwdStateKey *a, const OwdStateKey *b)
{
  const World *w = user;

  return a->domain != b->domain ? w->floor_ns : 0;
}

static void
world_start (World *w)
{
  OwdCorrelatorConfig config;

  owd_correlator_config_init (&config);
  config.raw_per_minute = w->raw_per_minute;
  config.floor = floor_of;
  config.floor_user = w;
  w->c = owd_correlator_new (&config, collect, w);
  owd_correlator_set_count_sink (w->c, add_count);
}

static void
world_end (World *w)
{
  owd_correlator_free (w->c);
  g_array_unref (w->samples);
}

/* A flow as seen at a point. */
typedef struct {
  guint point;
  guint16 sport;
  guint client;     /* one of many */
  gboolean back;    /* from server to client */
  guint8 tcp_flags; /* 0: UDP */
  OwdTime first, last;
  guint packets, octets;
  guint8 ttl;
  guint32 in_if; /* 0: the world's, at point 1 */
} Saw;

static void
tick (World *w, OwdTime now)
{
  w->now = now;
  for (guint p = 0; p < 2; p++) {
    OwdHeader h
        = { .key = { .domain = p, .version = 10 }, .recv_ns = now, .export_s = (guint32) (now / S), .state = p };

    owd_correlator_header (w->c, &h);
  }
  owd_correlator_advance (w->c, now);
  assert_true (owd_correlator_watermark (w->c) >= w->watermark);
  w->watermark = owd_correlator_watermark (w->c);
}

static OwdStatus export(World *w, Saw saw)
{
  OwdHeader h = { .key = { .domain = saw.point, .version = 10 },
                  .recv_ns = w->now,
                  .export_s = (guint32) (w->now / S),
                  .state = saw.point };
  OwdFlow f = { .proto = saw.tcp_flags != 0 ? 6 : 17,
                .tcp_flags = saw.tcp_flags,
                .packets = saw.packets,
                .octets = saw.octets,
                .ttl_min = saw.ttl,
                .ttl_max = saw.ttl,
                .in_if = saw.in_if != 0   ? saw.in_if
                         : saw.point == 1 ? w->in_if
                                          : 0,
                .start_kind = OWD_STAMP_UNIX_MS,
                .end_kind = OWD_STAMP_UNIX_MS,
                .start_raw = (guint64) (saw.first / MS),
                .end_raw = (guint64) (saw.last / MS),
                .flags = OWD_FLOW_PACKETS | OWD_FLOW_OCTETS | OWD_FLOW_FLAGS };
  OwdAddr client, server;

  assert_true (owd_addr_parse ("10.0.0.1", &client));
  assert_true (owd_addr_parse ("10.0.1.1", &server));
  client.b[13] = (guint8) saw.client;
  f.src = saw.back ? server : client;
  f.dst = saw.back ? client : server;
  f.sport = saw.back ? 80 : saw.sport;
  f.dport = saw.back ? saw.sport : 80;
  owd_correlator_header (w->c, &h);
  return owd_correlator_flow (w->c, &f);
}

static const OwdSample *
sample (const World *w, guint i)
{
  assert_true (i < w->samples->len);
  return &g_array_index (w->samples, OwdSample, i);
}

/* Both points' steps have been seen, so intervals are a ms each; and that they keep the two directions apart. */
static void
warm_up (World *w)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (5);

  tick (w, EPOCH);
  for (guint i = 0; i < 2000; i++) {
    OwdTime t = EPOCH + 10 * S + g_rand_int_range (rand, 0, 20000) * (gint64) MS;

    w->now = EPOCH + 40 * S;
    for (guint p = 0; p < 2; p++)
      (void) export(w, (Saw){ .point = p,
                              .sport = (guint16) (20000 + 2 * i + p),
                              .tcp_flags = SYN,
                              .first = t,
                              .last = t + g_rand_int_range (rand, 1, 99) * MS,
                              .packets = 5,
                              .octets = 500 });
  }
  for (guint i = 0; i < 8; i++) {
    Saw saw = { .point = i % 2,
                .sport = (guint16) (100 + i),
                .tcp_flags = SYN,
                .first = EPOCH + 30 * S,
                .packets = 9,
                .octets = 900 };

    saw.last = saw.first + 50 * MS;
    (void) export(w, saw);
    saw.back = TRUE;
    saw.first += 7 * MS;
    saw.last += 7 * MS;
    (void) export(w, saw);
  }
  tick (w, EPOCH + 300 * S);
  assert_int_equal (w->samples->len, 0);
}

/* A conversation that both points see: point 0 before the client, 20 ms to point 1, 12 ms back. */
static void
conversation (World *w, guint16 sport, OwdTime t, gint64 offset_1)
{
  Saw there
      = { .sport = sport, .tcp_flags = SYN | ACK | FIN, .first = t, .last = t + 100 * MS, .packets = 6, .octets = 700 };
  Saw back = { .sport = sport,
               .back = TRUE,
               .tcp_flags = SYN | ACK | FIN,
               .first = t + 35 * MS,
               .last = t + 136 * MS,
               .packets = 5,
               .octets = 5000 };

  assert_int_equal (export(w, there), OWD_STATUS_OK);
  assert_int_equal (export(w, back), OWD_STATUS_OK);
  there.point = back.point = 1;
  there.first += 20 * MS + offset_1;
  there.last += 20 * MS + offset_1;
  back.first += offset_1 - 12 * MS;
  back.last += offset_1 - 12 * MS;
  assert_int_equal (export(w, there), OWD_STATUS_OK);
  assert_int_equal (export(w, back), OWD_STATUS_OK);
}

static void
both_directions (void **state)
{
  World w = world_new ();

  (void) state;
  world_start (&w);
  warm_up (&w);
  conversation (&w, 5000, EPOCH + 299 * S, 0);
  tick (&w, EPOCH + 600 * S);
  assert_int_equal (w.samples->len, 4);
  for (guint i = 0; i < 4; i++) {
    const OwdSample *s = sample (&w, i);
    gint64 truth = s->src == 0 ? 20 * MS : 12 * MS;

    assert_int_equal (s->src + s->dst, 1);
    assert_int_equal (s->owd_ns, truth);
    assert_int_equal (s->lo_ns, truth - MS);
    assert_int_equal (s->hi_ns, truth + MS);
    assert_in_range (s->sigma_ns, 405000, 410000);
    assert_int_equal (s->kind, i == 0 || i == 1 ? OWD_SAMPLE_START : OWD_SAMPLE_END);
    assert_true (s->flags & OWD_SAMPLE_SYN);
  }
  world_end (&w);
}

/* Point 1's clock is 50 ms behind: A to B looks negative. The round trip tells who is upstream all the same. */
static void
offset_does_not_turn_direction (void **state)
{
  World w = world_new ();
  guint forward = 0, negative = 0;

  (void) state;
  world_start (&w);
  warm_up (&w);
  for (guint i = 0; i < 50; i++)
    conversation (&w, (guint16) (5000 + i), EPOCH + 275 * S + i * 400 * MS, -50 * MS);
  tick (&w, EPOCH + 600 * S);
  assert_int_equal (w.samples->len, 200);
  for (guint i = 20; i < 200; i++) {
    const OwdSample *s = sample (&w, i);

    forward += s->src == 0;
    negative += s->src == 0 && s->owd_ns == -30 * MS && s->flags & OWD_SAMPLE_NEGATIVE;
    assert_true (s->src == 0 || s->owd_ns == 62 * MS);
  }
  assert_int_equal (forward, negative);
  assert_in_range (forward, 88, 92);
  world_end (&w);
}

static void
unequal_counts_prove_nothing (void **state)
{
  World w = world_new ();
  Saw saw = { .sport = 7, .tcp_flags = SYN, .packets = 6, .octets = 700 };

  (void) state;
  world_start (&w);
  warm_up (&w);
  saw.first = EPOCH + 299 * S;
  saw.last = saw.first + 50 * MS;
  assert_int_equal (export(&w, saw), OWD_STATUS_OK);
  /* the SYN was lost behind point 0 and came again after a second */
  saw.point = 1;
  saw.first += 1020 * MS;
  saw.last += 1020 * MS;
  saw.packets = 5;
  saw.octets = 660;
  assert_int_equal (export(&w, saw), OWD_STATUS_OK);
  tick (&w, EPOCH + 600 * S);
  assert_int_equal (w.samples->len, 0);
  world_end (&w);
}

/* One side cuts at 60 s, the other one at other moments: totals meet twice. */
static void
fragments_are_put_together (void **state)
{
  World w = world_new ();
  OwdTime t = EPOCH + 290 * S;

  (void) state;
  world_start (&w);
  warm_up (&w);
  w.now = t + 60 * S;
#define FRAGMENT(p, from, to, n)                                                                                       \
  assert_int_equal (export(&w, (Saw){ .point = p,                                                                      \
                                      .sport = 9,                                                                      \
                                      .first = t + (from) + (p) *20 * MS,                                              \
                                      .last = t + (to) + (p) *20 * MS,                                                 \
                                      .packets = n,                                                                    \
                                      .octets = 100 * (n) }),                                                          \
                    OWD_STATUS_OK)
  FRAGMENT (0, 0, 9990 * MS, 1000);
  FRAGMENT (0, 10000 * MS, 19990 * MS, 1000);
  FRAGMENT (0, 20000 * MS, 29990 * MS, 1000);
  FRAGMENT (1, 0, 7990 * MS, 800);
  FRAGMENT (1, 8000 * MS, 19990 * MS, 1200);
  assert_int_equal (owd_correlator_counters (w.c)->runs, 1);
  FRAGMENT (1, 20000 * MS, 25990 * MS, 600);
  FRAGMENT (1, 26000 * MS, 29990 * MS, 400);
#undef FRAGMENT
  assert_int_equal (owd_correlator_counters (w.c)->runs, 2);
  tick (&w, EPOCH + 600 * S);
  assert_int_equal (w.samples->len, 4);
  for (guint i = 0; i < 4; i++) {
    assert_int_equal (sample (&w, i)->owd_ns, 20 * MS);
    assert_true (sample (&w, i)->flags & OWD_SAMPLE_FRAGMENT);
  }
  assert_int_equal (sample (&w, 1)->kind, OWD_SAMPLE_END);
  world_end (&w);
}

/* A constant stream cut at two phases: equal counts everywhere, one packet apart. Nobody saw its beginning. */
static void
shifted_cuts_are_no_proof (void **state)
{
  World w = world_new ();
  OwdTime t = EPOCH + 100 * S;

  (void) state;
  world_start (&w);
  warm_up (&w);
  for (guint i = 0; i < 10; i++) {
    OwdTime first = t + i * 20 * S;

    w.now = first + 20 * S;
    if (w.now < EPOCH + 300 * S)
      w.now = EPOCH + 300 * S;
    for (guint p = 0; p < 2; p++) {
      /* the first record of each side came before and is lost: continuation without a known beginning */
      gint64 shift = p * (20 * MS + 20 * MS);

      if (i == 0)
        continue;
      (void) export(&w, (Saw){ .point = p,
                               .sport = 11,
                               .first = first + shift,
                               .last = first + shift + 19980 * MS,
                               .packets = 1000,
                               .octets = 100000 });
    }
  }
  tick (&w, EPOCH + 900 * S);
  assert_int_equal (w.samples->len, 0);
  world_end (&w);
}

/* One packet each second under one key: the neighbour must not be taken for the lost one. */
static void
repeated_key (void **state)
{
  World w = world_new ();
  guint n;

  (void) state;
  world_start (&w);
  warm_up (&w);
  for (guint i = 0; i < 40; i++)
    conversation (&w, (guint16) (6000 + i), EPOCH + 250 * S + i * S, 0);
  for (guint i = 0; i < 20; i++) {
    OwdTime t = EPOCH + 300 * S + i * 5 * S;

    w.now = t + 4 * S;
    (void) export(&w, (Saw){ .point = 0, .sport = 123, .first = t, .last = t, .packets = 1, .octets = 76 });
    if (i % 5 != 3) /* lost behind point 0 */
      (void) export(
          &w, (Saw){ .point = 1, .sport = 123, .first = t + 20 * MS, .last = t + 20 * MS, .packets = 1, .octets = 76 });
  }
  tick (&w, EPOCH + 900 * S);
  n = 0;
  for (guint i = 0; i < w.samples->len; i++) {
    const OwdSample *s = sample (&w, i);

    assert_int_equal (s->owd_ns, s->src == 0 ? 20 * MS : 12 * MS);
    n += s->kind == OWD_SAMPLE_BOTH;
  }
  assert_int_equal (n, 16);
  world_end (&w);
}

/* Both points stamp conversations as a whole: one sample for the first packet, one for the last, not four; and none
 * where only one of them does and the other half of the conversation came first. */
static void
shared_stamps (void **state)
{
  World w = world_new ();
  guint starts = 0, ends = 0;

  (void) state;
  world_start (&w);
  tick (&w, EPOCH + 300 * S);
  for (guint i = 0; i < 200; i++) {
    OwdTime t = EPOCH + 290 * S + i * 500 * MS + i * 7 * MS;
    Saw there = { .sport = (guint16) (3000 + i),
                  .tcp_flags = SYN | ACK | FIN,
                  .first = t,
                  .last = t + 200 * MS,
                  .packets = 6,
                  .octets = 700 };
    Saw back = there;

    back.back = TRUE;
    back.packets = 5;
    tick (&w, t + 10 * S);
    for (guint p = 0; p < 2; p++) {
      there.point = back.point = p;
      (void) export(&w, there);
      (void) export(&w, back);
      there.first = back.first = t + 20 * MS;
      there.last = back.last = t + 188 * MS; /* the last packet travels the other way */
    }
  }
  owd_correlator_flush (w.c);
  for (guint i = 0; i < w.samples->len; i++) {
    const OwdSample *s = sample (&w, i);

    assert_int_equal (s->src, s->kind == OWD_SAMPLE_START ? 0 : 1);
    assert_in_range (s->owd_ns, s->src == 0 ? 19 * MS : 11 * MS, s->src == 0 ? 21 * MS : 13 * MS);
    assert_true (s->flags & OWD_SAMPLE_BY_SIGN);
    starts += s->kind == OWD_SAMPLE_START;
    ends += s->kind == OWD_SAMPLE_END;
  }
  assert_in_range (starts, 190, 200);
  assert_in_range (ends, 190, 200);
  world_end (&w);
}

/* Point 0 stamps conversations as a whole, point 1 keeps directions apart. The first packet is that of both at point 1
 * too, within a step; the last ones differ by less than a round trip may take. */
static void
half_shared_stamps (void **state)
{
  World w = world_new ();

  (void) state;
  world_start (&w);
  tick (&w, EPOCH + 300 * S);
  for (guint i = 0; i < 200; i++) {
    OwdTime t = EPOCH + 290 * S + i * 500 * MS + i * 7 * MS;
    Saw there = { .sport = (guint16) (3000 + i),
                  .tcp_flags = SYN | ACK | FIN,
                  .first = t,
                  .last = t + 200 * MS,
                  .packets = 6,
                  .octets = 700 };
    Saw back = there;

    back.back = TRUE;
    back.packets = 5;
    tick (&w, t + 10 * S);
    (void) export(&w, there);
    (void) export(&w, back);
    there.point = back.point = 1;
    there.first = back.first = t + 20 * MS;
    there.last = t + 120 * MS;
    back.last = t + 188 * MS;
    (void) export(&w, there);
    (void) export(&w, back);
  }
  owd_correlator_flush (w.c);
  for (guint i = 0; i < w.samples->len; i++) {
    const OwdSample *s = sample (&w, i);

    assert_int_equal (s->kind, OWD_SAMPLE_START);
    assert_int_equal (s->src, 0);
    assert_in_range (s->owd_ns, 19 * MS, 21 * MS);
  }
  assert_in_range (w.samples->len, 180, 200);
  world_end (&w);
}

static void
duplicates_and_nonsense (void **state)
{
  World w = world_new ();
  Saw saw = { .sport = 7, .tcp_flags = SYN, .packets = 6, .octets = 700 };

  (void) state;
  world_start (&w);
  warm_up (&w);
  saw.first = EPOCH + 299 * S;
  saw.last = saw.first + 50 * MS;
  assert_int_equal (export(&w, saw), OWD_STATUS_OK);
  assert_int_equal (export(&w, saw), OWD_STATUS_DUPLICATE);
  saw.sport = 8;
  saw.last = saw.first - 5 * S;
  assert_int_equal (export(&w, saw), OWD_STATUS_MALFORMED);
  saw.last = saw.first = 0;
  assert_int_equal (export(&w, saw), OWD_STATUS_MALFORMED);
  saw.last = saw.first = w.now + 100 * S;
  assert_int_equal (export(&w, saw), OWD_STATUS_MALFORMED);
  assert_int_equal (owd_correlator_counters (w.c)->nonsense, 3);
  world_end (&w);
}

static gboolean
write_bytes (void *user, const void *data, gsize len)
{
  g_byte_array_append (user, data, (guint) len);
  return TRUE;
}

typedef struct {
  GByteArray *bytes;
  gsize at;
} Bytes;

static gboolean
read_bytes (void *user, void *data, gsize len)
{
  Bytes *b = user;

  if (b->bytes->len - b->at < len)
    return FALSE;
  if (len > 0)
    memcpy (data, b->bytes->data + b->at, len);
  b->at += len;
  return TRUE;
}

static void
a_day (World *w, guint from, guint to)
{
  for (guint i = from; i < to; i++) {
    tick (w, EPOCH + 300 * S + i * 500 * MS);
    conversation (w, (guint16) (1000 + i), w->now - 3 * S - (i * 7919 % 2000) * MS, (i * 31 % 3) * MS);
  }
}

/* Stopped anywhere and loaded from a snapshot, the samples are the same to the bit. */
static void
snapshot_goes_on (void **state)
{
  World straight = world_new ();

  (void) state;
  straight.raw_per_minute = 50;
  world_start (&straight);
  warm_up (&straight);
  a_day (&straight, 0, 300);
  owd_correlator_flush (straight.c);
  assert_int_equal (straight.samples->len, 1200);
  for (guint stop = 1; stop < 300; stop += 37) {
    World w = world_new ();
    Bytes b = { .bytes = g_byte_array_new () };

    w.raw_per_minute = straight.raw_per_minute;
    world_start (&w);
    warm_up (&w);
    a_day (&w, 0, stop);
    assert_true (owd_correlator_save (w.c, write_bytes, b.bytes));
    owd_correlator_free (w.c);
    world_start (&w);
    assert_true (owd_correlator_load (w.c, read_bytes, &b, NULL));
    a_day (&w, stop, 300);
    owd_correlator_flush (w.c);
    assert_int_equal (w.samples->len, straight.samples->len);
    assert_memory_equal (w.samples->data, straight.samples->data, w.samples->len * sizeof (OwdSample));
    /* a snapshot that ends early is refused, and leaves a fresh correlator */
    b.at = 0;
    b.bytes->len -= 1;
    assert_false (owd_correlator_load (w.c, read_bytes, &b, NULL));
    assert_int_equal (owd_correlator_n_states (w.c), 0);
    g_byte_array_unref (b.bytes);
    world_end (&w);
  }
  world_end (&straight);
}

static void
a_busy_time (World *w, guint from, guint to)
{
  for (guint i = from; i < to; i++) {
    tick (w, EPOCH + 300 * S + i / 40 * 500 * MS);
    conversation (w, (guint16) (1000 + i), w->now - 3 * S - (i * 7919 % 2000) * MS, (i * 31 % 3) * MS);
  }
}

/* Records come and go until all room has been taken several times over, each finds its like, and a snapshot from the
 * middle of it goes on the same. */
static void
records_come_and_go (void **state)
{
  enum { CONVERSATIONS = 24000, STOP = 13579 };
  World straight = world_new (), w = world_new ();
  Bytes b = { .bytes = g_byte_array_new () };
  guint32 most = 0;

  (void) state;
  world_start (&straight);
  warm_up (&straight);
  for (guint i = 0; i < CONVERSATIONS; i += 1000) {
    a_busy_time (&straight, i, i + 1000);
    most = MAX (most, owd_correlator_waiting (straight.c));
  }
  owd_correlator_flush (straight.c);
  assert_int_equal (straight.samples->len, 4 * CONVERSATIONS);
  assert_in_range (most, 75 * 80 * 4, 80 * 80 * 4);

  world_start (&w);
  warm_up (&w);
  a_busy_time (&w, 0, STOP);
  assert_true (owd_correlator_save (w.c, write_bytes, b.bytes));
  owd_correlator_free (w.c);
  world_start (&w);
  assert_true (owd_correlator_load (w.c, read_bytes, &b, NULL));
  a_busy_time (&w, STOP, CONVERSATIONS);
  owd_correlator_flush (w.c);
  assert_int_equal (w.samples->len, straight.samples->len);
  assert_memory_equal (w.samples->data, straight.samples->data, w.samples->len * sizeof (OwdSample));
  g_byte_array_unref (b.bytes);
  world_end (&w);
  world_end (&straight);
}

/* Of hundreds of samples a minute and path a limited number is kept, from all over the minute, and of each flow both
 * ends or none; the first minute begins without knowing how many there will be. */
static void
keeps_no_more_than_told (void **state)
{
  enum { MINUTES = 5, LIMIT = 60, TENTHS = 6 };
  guint kept[2][MINUTES] = { 0 }, spread[TENTHS] = { 0 }, split = 0;
  g_autoptr (GHashTable) fate = g_hash_table_new (NULL, NULL);
  World w = world_new ();

  (void) state;
  w.raw_per_minute = LIMIT;
  world_start (&w);
  warm_up (&w);
  a_day (&w, 0, MINUTES * 120); /* two conversations a second, each two samples of a path */
  owd_correlator_flush (w.c);
  assert_int_equal (w.samples->len, MINUTES * 480);
  for (guint i = 0; i < w.samples->len; i++) {
    const OwdSample *s = sample (&w, i);
    guint minute = (guint) ((s->ts / (60 * S)) - (sample (&w, 0)->ts / (60 * S)));
    gboolean excess = (s->flags & OWD_SAMPLE_EXCESS) != 0;
    gpointer flow = GSIZE_TO_POINTER ((gsize) s->flow), other = g_hash_table_lookup (fate, flow);

    split += other != NULL && other != GINT_TO_POINTER (1 + excess);
    (void) g_hash_table_insert (fate, flow, GINT_TO_POINTER (1 + excess));
    if (excess)
      continue;
    assert_true (minute <= MINUTES);
    kept[s->src][minute % MINUTES]++;
    spread[s->ts / (10 * S) % TENTHS]++;
  }
  for (guint m = 1; m + 1 < MINUTES; m++)
    for (guint src = 0; src < 2; src++)
      assert_in_range (kept[src][m], LIMIT / 2, LIMIT);
  for (guint i = 0; i < TENTHS; i++)
    assert_in_range (spread[i], 2 * MINUTES * LIMIT / TENTHS / 3, 2 * MINUTES * LIMIT / TENTHS * 2);
  assert_in_range (split, 0, w.samples->len / 50); /* where a minute ends between */
  world_end (&w);
}

/* A late record gives a late count, never a sample out of order (collect() checks order). */
static void
late_is_counted (void **state)
{
  World w = world_new ();
  Saw saw = { .sport = 7,
              .tcp_flags = SYN,
              .packets = 6,
              .octets = 700,
              .first = EPOCH + 299 * S,
              .last = EPOCH + 299 * S + 40 * MS };

  (void) state;
  world_start (&w);
  warm_up (&w);
  assert_int_equal (export(&w, saw), OWD_STATUS_OK);
  tick (&w, EPOCH + 300 * S + 59 * S);
  saw.point = 1;
  saw.first += 20 * MS;
  saw.last += 20 * MS;
  assert_true (owd_correlator_watermark (w.c) > saw.last);
  assert_int_equal (export(&w, saw), OWD_STATUS_OK);
  owd_correlator_flush (w.c);
  assert_int_equal (w.samples->len, 0);
  assert_int_equal (owd_correlator_counters (w.c)->late, 2);
  assert_int_equal (w.counted.late, 2);
  world_end (&w);
}

/* One flow whose TTL tells its way; delay_ms behind at point 1. */
static void
passes (World *w, guint16 sport, OwdTime at, gint64 delay_ms)
{
  Saw saw
      = { .sport = sport, .tcp_flags = SYN, .packets = 6, .octets = 700, .first = at, .last = at + 7 * MS, .ttl = 60 };

  assert_int_equal (export(w, saw), OWD_STATUS_OK);
  saw.point = 1;
  saw.ttl = 50;
  saw.first += delay_ms * MS;
  saw.last += delay_ms * MS;
  assert_int_equal (export(w, saw), OWD_STATUS_OK);
}

static guint
delivered_between (const World *w, gint64 lo_ms, gint64 hi_ms)
{
  guint n = 0;

  for (guint i = 0; i < w->samples->len; i++)
    n += sample (w, i)->owd_ns >= lo_ms * MS && sample (w, i)->owd_ns < hi_ms * MS ? 1 : 0;
  return n;
}

/* A stamp that is wrong has nobody beside it; a new route has everybody. */
static void
the_lonely_are_not_delivered (void **state)
{
  OwdTime from = EPOCH + 400 * S;
  World w = world_new ();

  (void) state;
  world_start (&w);
  warm_up (&w);
  for (guint i = 0; i < 100; i++) { /* 20 ms, then 90 ms; two wrong stamps in the first part, one in the second */
    gint64 delay_ms = i < 50 ? 20 : 90;

    tick (&w, from + i * 300 * MS);
    if (i == 20 || i == 70)
      delay_ms += 60;
    if (i == 30)
      delay_ms -= 60;
    passes (&w, (guint16) (1000 + i), w.now - 20 * MS, delay_ms);
  }
  owd_correlator_flush (w.c);
  assert_int_equal (delivered_between (&w, 15, 25), 2 * 48);
  assert_int_equal (delivered_between (&w, 85, 95), 2 * 49);
  assert_int_equal (w.samples->len, 2 * 97);
  assert_int_equal (owd_correlator_counters (w.c)->contradicted, 2 * 3);
  world_end (&w);
}

/* Of n samples 300 ms apart every `of`-th shows off_ms more than 20 ms, from the first one on. Returns how many of
 * those were delivered; *ret_flagged: had less than light takes. */
static guint
odd_ones (gint64 floor_ns, guint n, guint first, guint of, gint64 off_ms, guint *ret_flagged)
{
  OwdTime from = EPOCH + 400 * S;
  World w = world_new ();
  guint odd, below = 0;

  w.floor_ns = floor_ns;
  world_start (&w);
  warm_up (&w);
  for (guint i = 0; i < n; i++) {
    tick (&w, from + i * 300 * MS);
    passes (&w, (guint16) (1000 + i), w.now - 20 * MS, i >= first && (i - first) % of == 0 ? 20 + off_ms : 20);
  }
  owd_correlator_flush (w.c);
  odd = delivered_between (&w, 20 + off_ms - 2, 20 + off_ms + 2);
  assert_int_equal (w.samples->len + owd_correlator_counters (w.c)->contradicted, 2 * n);
  for (guint i = 0; i < w.samples->len; i++) {
    gboolean is_below = (sample (&w, i)->flags & OWD_SAMPLE_BELOW_LIGHT) != 0;

    assert_true (is_below == (floor_ns > 0 && sample (&w, i)->hi_ns <= floor_ns));
    below += is_below ? 1 : 0;
  }
  *ret_flagged = below;
  world_end (&w);
  return odd;
}

/* The same fault again and again looks like another route, unless light does not allow it. A clock moves all samples,
 * or those of a line card: they stay, and say what they are. */
static void
less_than_light_takes (void **state)
{
  guint flagged;

  (void) state;
  assert_in_range (odd_ones (0, 200, 5, 25, -15, &flagged), 4, 16);
  assert_int_equal (flagged, 0);
  assert_int_equal (odd_ones (10 * MS, 200, 5, 25, -15, &flagged), 0);
  assert_int_equal (flagged, 0);
  assert_in_range (odd_ones (3 * MS, 200, 5, 25, -15, &flagged), 4, 16); /* light is faster than that */
  assert_int_equal (flagged, 0);
  /* point 1's clock is put back half-way */
  assert_int_equal (odd_ones (10 * MS, 200, 100, 1, -15, &flagged), 2 * 100);
  assert_int_equal (flagged, 2 * 100);
  assert_int_equal (odd_ones (10 * MS, 200, 0, 1, -15, &flagged), 2 * 200);
  assert_int_equal (flagged, 2 * 200);
  /* one flow of eight comes by a line card with a clock of its own: what passes before that is known may be lost */
  assert_in_range (odd_ones (10 * MS, 200, 5, 8, -15, &flagged), 2 * 20, 2 * 25);
  assert_true (flagged >= 2 * 20);
}

/* Where hardly anybody passes, the second sample tells that it is the clock. */
static void
less_than_light_takes_alone (void **state)
{
  OwdTime from = EPOCH + 400 * S;
  World w = world_new ();
  guint below = 0;

  (void) state;
  w.floor_ns = 10 * MS;
  world_start (&w);
  warm_up (&w);
  for (guint i = 0; i < 60; i++) {
    tick (&w, from + i * 10 * S);
    passes (&w, (guint16) (1000 + i), w.now - 20 * MS, i == 20 ? -40 : i >= 40 ? 5 : 20);
  }
  owd_correlator_flush (w.c);
  assert_int_equal (delivered_between (&w, -45, -35), 0);
  assert_int_equal (delivered_between (&w, 18, 22), 2 * 39);
  for (guint i = 0; i < w.samples->len; i++)
    below += (sample (&w, i)->flags & OWD_SAMPLE_BELOW_LIGHT) != 0 ? 1 : 0;
  assert_in_range (below, 2 * 19, 2 * 20);
  world_end (&w);
}

/* Both clocks agree, if they are trusted: but 4 ms are too few for either direction. */
static void
light_refutes_the_sign (void **state)
{
  (void) state;
  for (guint i = 0; i < 2; i++) {
    World w = world_new ();

    w.floor_ns = i * 10 * MS;
    world_start (&w);
    warm_up (&w);
    for (guint p = 0; p < 2; p++)
      assert_int_equal (export(&w, (Saw){ .point = p,
                                          .sport = 77,
                                          .tcp_flags = SYN,
                                          .packets = 6,
                                          .octets = 700,
                                          .first = EPOCH + 299 * S + p * 4 * MS,
                                          .last = EPOCH + 299 * S + 50 * MS + p * 4 * MS }),
                        OWD_STATUS_OK);
    tick (&w, EPOCH + 600 * S);
    assert_int_equal (w.samples->len, i == 0 ? 2 : 0);
    assert_int_equal (owd_correlator_counters (w.c)->undirected, i == 0 ? 0 : 2);
    world_end (&w);
  }
}

/* Where too few pass to contradict it, a sample that does not fit is delivered with an interval that holds both. */
static void
the_lonely_are_doubted (void **state)
{
  OwdTime from = EPOCH + 400 * S;
  World w = world_new ();

  (void) state;
  world_start (&w);
  warm_up (&w);
  for (guint i = 0; i < 40; i++) {
    tick (&w, from + i * 10 * S);
    passes (&w, (guint16) (1000 + i), w.now - 20 * MS, i == 30 ? 150 : 20);
  }
  owd_correlator_flush (w.c);
  assert_int_equal (w.samples->len, 2 * 40);
  for (guint i = 0; i < w.samples->len; i++) {
    const OwdSample *s = sample (&w, i);

    assert_true (s->lo_ns < 20 * MS + MS && s->hi_ns > 20 * MS);
    assert_int_equal ((s->flags & OWD_SAMPLE_GATE) != 0, i / 2 == 30);
    assert_true (i / 2 != 30 || (s->hi_ns > 150 * MS && s->sigma_ns > 50 * MS));
  }
  world_end (&w);
}

/* Whole TCP flows tell what was lost between the points; what may have lost a record tells nothing. */
static void
whole_flows_tell_of_loss (void **state)
{
  static const struct {
    guint8 flags;
    guint here, there;
    guint64 sent, lost;
  } cases[] = { { SYN | ACK | FIN, 50, 50, 50, 0 },
                { SYN | ACK | FIN, 50, 47, 50, 3 },
                { SYN | ACK, 50, 47, 0, 0 },
                { ACK | FIN, 50, 47, 0, 0 },
                { SYN | ACK | FIN, 50, 51, 0, 0 } };

  (void) state;
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    World w = world_new ();
    Saw saw = {
      .sport = 7, .tcp_flags = cases[i].flags, .ttl = 60, .packets = cases[i].here, .octets = 100 * cases[i].here
    };

    world_start (&w);
    warm_up (&w);
    tick (&w, EPOCH + 400 * S);
    saw.first = w.now - S;
    saw.last = saw.first + 300 * MS;
    assert_int_equal (export(&w, saw), OWD_STATUS_OK);
    saw.point = 1;
    saw.ttl = 50;
    saw.first += 20 * MS;
    saw.last += 20 * MS;
    saw.packets = cases[i].there;
    saw.octets = 100 * cases[i].there;
    assert_int_equal (export(&w, saw), OWD_STATUS_OK);
    owd_correlator_flush (w.c);
    assert_int_equal (w.counted.sent, cases[i].sent);
    assert_int_equal (w.counted.lost, cases[i].lost);
    assert_int_equal (w.samples->len, cases[i].here == cases[i].there ? 2 : 0);
    world_end (&w);
  }
}

/* Which profile counts when; a line card that is ahead is put right, and what was claimed can be had back. */
static void
profiles_count_in_their_time (void **state)
{
  OwdPrior priors[3] = { { .id = 5, .key = { .domain = 1, .version = 10 }, .from_ns = EPOCH + 350 * S },
                         { .id = 9, .key = { .domain = 1, .version = 10 }, .from_ns = EPOCH + 500 * S },
                         { .id = 8, .key = { .domain = 3, .version = 10 }, .from_ns = EPOCH } };
  World w = world_new ();

  (void) state;
  for (guint i = 0; i < 2; i++) {
    priors[i].n_groups = 1;
    priors[i].group[0].in_if = 4;
    priors[i].group[0].lo_ns = 298 * MS;
    priors[i].group[0].hi_ns = 302 * MS;
  }
  world_start (&w);
  owd_correlator_add_priors (w.c, priors, 3);
  assert_int_equal (owd_correlator_newest_prior (w.c), 9);
  warm_up (&w);
  for (guint i = 0; i < 30; i++) {
    tick (&w, EPOCH + 400 * S + i * 10 * S);
    w.in_if = i % 2 == 0 ? 4 : 5;
    passes (&w, (guint16) (1000 + i), w.now - 20 * MS, i % 2 == 0 ? 320 : 20);
  }
  owd_correlator_flush (w.c);
  assert_int_equal (w.samples->len, 2 * 30);
  for (guint i = 0; i < w.samples->len; i++) {
    const OwdSample *s = sample (&w, i);
    gboolean ahead = i / 2 % 2 == 0;

    assert_int_equal (s->profile_id, s->ts < EPOCH + 500 * S ? 5 : 9);
    assert_int_equal (s->owd_ns, 20 * MS);
    assert_int_equal (s->bias_ns, ahead ? 300 * MS : 0);
    assert_int_equal (s->hi_ns - s->lo_ns, ahead ? 6 * MS : 2 * MS);
  }
  world_end (&w);
}

/* Point 1's stamps have steps of 64 ms. Among many short flows of 20 ms there are streams whose last packets, by equal
 * totals, are two packets 60 ms apart: one was lost on the way, another one counted in addition. */
static void
streams_a_packet_apart (void **state)
{
  const gint64 step = 64 * MS;
  guint starts = 0, ends = 0;
  World w = world_new ();

  (void) state;
  world_start (&w);
  tick (&w, EPOCH);
  for (guint i = 0; i < 1500; i++) {
    OwdTime t = EPOCH + 40 * S + i * 47 * MS;
    Saw flow = { .sport = (guint16) (1000 + i),
                 .tcp_flags = SYN | ACK | FIN,
                 .first = t,
                 .last = t + 11 * MS,
                 .packets = 4,
                 .octets = 400,
                 .ttl = 60 };
    gboolean stream = i > 1000 && i % 64 == 0;

    tick (&w, t + 500 * MS);
    if (stream) {
      flow.tcp_flags = 0;
      flow.packets = 100;
      flow.first = t - 200 * MS;
      flow.last = (t + 80 * MS) / step * step + step / 2 - 80 * MS;
    }
    (void) export(&w, flow);
    flow.point = 1;
    flow.ttl = 59;
    flow.first = (flow.first + 20 * MS) / step * step;
    flow.last = (flow.last + (stream ? 80 : 20) * MS) / step * step;
    (void) export(&w, flow);
  }
  owd_correlator_flush (w.c);
  for (guint i = 0; i < w.samples->len; i++) {
    const OwdSample *s = sample (&w, i);

    starts += s->proto == 17 && s->kind == OWD_SAMPLE_START;
    ends += s->proto == 17 && s->kind == OWD_SAMPLE_END;
  }
  assert_in_range (w.samples->len, 2900, 3000);
  assert_int_equal (starts, 8);
  assert_int_equal (ends, 0);
  world_end (&w);
}

/* Stamps of 256 ms, and ways of 60 and 40 ms: most differences are 0, some 256 ms. Once the direction is known all of
 * them are delivered; were those of 256 ms missing, the mean would be, too. */
static void
delays_below_the_step (void **state)
{
  const gint64 step = 256 * MS;
  guint found[2] = { 0 }, conversations = 0;
  double sum_ms[2] = { 0 };
  World w = world_new ();

  (void) state;
  world_start (&w);
  tick (&w, EPOCH);
  for (guint i = 0; i < 4000; i++) {
    OwdTime t = EPOCH + 40 * S + i * 97 * MS + i % 17 * MS;

    tick (&w, t + S);
    for (guint k = 0; k < 4; k++) {
      gboolean back = k / 2 == 1;
      OwdTime passes = t + (back ? 70 * MS : 0) + (k % 2 == 0 ? 0 : back ? 40 * MS : 60 * MS);
      guint point = (k % 2 == 1) != back;

      assert_int_equal (export(&w, (Saw){ .sport = (guint16) (1000 + i),
                                          .point = point,
                                          .back = back,
                                          .tcp_flags = SYN | ACK | FIN,
                                          .first = passes / step * step,
                                          .last = (passes + 5 * MS) / step * step,
                                          .packets = 4,
                                          .octets = 400,
                                          .in_if = 1 + (point ^ back) }),
                        OWD_STATUS_OK);
    }
    conversations += i >= 2000;
  }
  owd_correlator_flush (w.c);
  for (guint i = 0; i < w.samples->len; i++) {
    const OwdSample *s = sample (&w, i);

    if (s->kind != OWD_SAMPLE_START || s->ts < EPOCH + 40 * S + 2000 * 97 * MS)
      continue;
    found[s->src]++;
    sum_ms[s->src] += (double) s->owd_ns / (double) MS;
  }
  for (guint src = 0; src < 2; src++) {
    assert_in_range (found[src], conversations * 97 / 100, conversations + 2);
    if (fabs (sum_ms[src] / found[src] - (src == 0 ? 60 : 40)) > 10)
      fail_msg ("from %u on %.1f ms", src, sum_ms[src] / found[src]);
  }
  world_end (&w);
}

/* Records lag by up to five seconds, later by up to nine, later still by one: whatever the horizon does, samples are
 * delivered no later than it and a second, and what the watermark has promised holds (collect(), tick()). */
static void
delivered_within_the_horizon (void **state)
{
  enum { EACH = 1500 };
  const gint64 lag_ms[] = { 5000, 9000, 1000 };
  g_autoptr (GRand) rand = g_rand_new_with_seed (12);
  gint64 horizon_ns[G_N_ELEMENTS (lag_ms)];
  World w = world_new ();

  (void) state;
  world_start (&w);
  tick (&w, EPOCH);
  for (guint i = 0; i < 3 * EACH; i++) {
    OwdTime now = EPOCH + 40 * S + i * 100 * MS;
    gint64 age_ns = g_rand_int_range (rand, 200, (gint32) lag_ms[i / EACH]) * (gint64) MS;

    if (i % 10 == 0) {
      w.horizon_ns = owd_correlator_horizon_ns (w.c);
      tick (&w, now);
    }
    w.now = now;
    conversation (&w, (guint16) (1000 + i), now - age_ns - 150 * MS, 0);
    horizon_ns[i / EACH] = owd_correlator_horizon_ns (w.c);
  }
  if (w.slowest_ns > S)
    fail_msg ("%.3f s later than the horizon", (double) w.slowest_ns / (double) S);
  assert_true (w.samples->len > 3 * EACH * 3);
  assert_true (horizon_ns[1] > horizon_ns[0] + 2 * S);
  w.horizon_ns = 0;
  owd_correlator_flush (w.c);
  assert_true (owd_correlator_watermark (w.c) >= w.watermark);
  world_end (&w);
}

/* ---- NetFlow v9: uptimes, and headers of whole seconds ------------------------------------------------- */

#define UP_MS 5000000      /* uptime of both points at EPOCH */
#define STEP_NS (150 * MS) /* point 1's wall clock is put ahead by this */

static void
uptime_header (World *w, guint point, OwdTime now, OwdTime step_at)
{
  OwdTime wall_ns = now + (point == 1 && now >= step_at ? STEP_NS : 0);
  OwdHeader h = { .key = { .domain = point, .version = 9 },
                  .recv_ns = now,
                  .export_s = (guint32) (wall_ns / S),
                  .uptime_ms = (guint32) (UP_MS + (now - EPOCH) / MS),
                  .flags = OWD_HEADER_UPTIME,
                  .state = point };

  owd_correlator_header (w->c, &h);
}

/* Seen at point 0, and 20 ms later at point 1. */
static void
uptime_flow (World *w, guint16 sport, OwdTime first, OwdTime last, OwdTime step_at)
{
  for (guint p = 0; p < 2; p++) {
    OwdFlow f = { .proto = 6,
                  .tcp_flags = SYN | ACK | FIN,
                  .packets = 12,
                  .octets = 1200 + sport,
                  .ttl_min = (guint8) (60 - p),
                  .ttl_max = (guint8) (60 - p),
                  .start_kind = OWD_STAMP_UPTIME_MS,
                  .end_kind = OWD_STAMP_UPTIME_MS,
                  .start_raw = (guint64) (UP_MS + (first + p * 20 * MS - EPOCH) / MS),
                  .end_raw = (guint64) (UP_MS + (last + p * 20 * MS - EPOCH) / MS),
                  .sport = sport,
                  .dport = 80,
                  .flags = OWD_FLOW_PACKETS | OWD_FLOW_OCTETS | OWD_FLOW_FLAGS };

    assert_true (owd_addr_parse ("10.0.0.1", &f.src));
    assert_true (owd_addr_parse ("10.0.1.1", &f.dst));
    uptime_header (w, p, w->now, step_at);
    assert_int_equal (owd_correlator_flow (w->c, &f), OWD_STATUS_OK);
  }
}

/* Half of the flows last for ten seconds, so that some span the step, and some its neighbourhood, where stamps may be
 * read either way: each end of a record is read by the clock of its own time, or not at all. */
static void
records_span_a_clock_step (void **state)
{
  OwdTime step_at = EPOCH + 300 * S;
  World w = world_new ();
  guint near = 0;

  (void) state;
  world_start (&w);
  for (guint i = 0; i < 1000; i++) {
    w.now = EPOCH + i * 618 * MS; /* headers at all phases of the second */
    for (guint p = 0; p < 2; p++)
      uptime_header (&w, p, w.now, step_at);
    if (i > 40)
      uptime_flow (&w, (guint16) (1000 + i), w.now - (i % 2 == 0 ? 10500 : 600) * MS - i % 7 * MS, w.now - 500 * MS,
                   step_at);
    owd_correlator_advance (w.c, w.now);
  }
  owd_correlator_flush (w.c);
  for (guint i = 0; i < w.samples->len; i++) {
    const OwdSample *s = sample (&w, i);
    gint64 true_ns = 20 * MS + (s->ts >= step_at ? STEP_NS : 0);

    if (s->ts < EPOCH + 120 * S)
      continue;
    near += ABS (s->ts - step_at) < 10 * S ? 1 : 0;
    assert_true (s->lo_ns <= true_ns && true_ns < s->hi_ns);
    assert_true (ABS (s->owd_ns - true_ns) < STEP_NS / 4);
  }
  assert_in_range (near, 10, 64);
  world_end (&w);
}

/* ---- more than memory holds, or than is allowed --------------------------------------------------- */

typedef struct {
  guint64 flows, whole, halves; /* sent; of them, taken at both points, at one of them only */
  guint32 waiting;              /* most at once */
  double kept;                  /* mean of what was told, each second */
} Load;

/* So many flows a second, each seen at both points. */
static Load
load (World *w, guint seconds, guint flows)
{
  Load sum = { 0 };

  for (guint s = 0; s < seconds; s++) {
    tick (w, w->now + S);
    sum.kept += owd_correlator_kept (w->c);
    for (guint i = 0; i < flows; i++, w->n_flows++) {
      OwdTime first = w->now - 2 * S + i * S / flows;
      Saw saw = { .sport = (guint16) w->n_flows,
                  .client = w->n_flows >> 16,
                  .tcp_flags = w->udp ? 0 : SYN | ACK | FIN,
                  .first = first,
                  .last = first + 100 * MS,
                  .packets = 5,
                  .octets = 500,
                  .ttl = 60 };
      OwdStatus a, b;

      a = export(w, saw);
      saw.point = 1;
      saw.first += 20 * MS;
      saw.last += 20 * MS;
      saw.ttl = 59;
      b = export(w, saw);
      sum.flows++;
      sum.whole += a == OWD_STATUS_OK && b == OWD_STATUS_OK;
      sum.halves += (a == OWD_STATUS_OK) != (b == OWD_STATUS_OK);
      sum.waiting = MAX (sum.waiting, owd_correlator_waiting (w->c));
    }
  }
  sum.kept /= seconds;
  return sum;
}

/* What was told is what was kept, within 2 %. */
static void
assert_told (const Load *l)
{
  double share = (double) l->whole / (double) l->flows;

  if (fabs (share / l->kept - 1) > 0.02)
    fail_msg ("%.4f kept, %.4f told", share, l->kept);
}

/* Records stay for 75 s: 200 flows a second leave 30,000 at once. */
static void
memory_overflows (void **state)
{
  OwdCorrelatorConfig config;
  World w = world_new ();
  Load l;
  guint n;

  (void) state;
  owd_correlator_config_init (&config);
  config.max_waiting = 15000;
  w.now = EPOCH;
  w.c = owd_correlator_new (&config, collect, &w);
  (void) load (&w, 100, 50);
  assert_true (owd_correlator_kept (w.c) == 1);
  l = load (&w, 100, 200); /* it turns out */
  assert_true (l.waiting <= config.max_waiting);
  n = w.samples->len;
  l = load (&w, 200, 200);
  assert_true (l.waiting <= config.max_waiting && l.waiting >= config.max_waiting * 8 / 10);
  assert_true (l.kept > 0.4 && l.kept < 0.5);
  assert_int_equal (l.halves, 0);
  assert_told (&l);
  /* those of the last seconds are still to come */
  assert_true (w.samples->len - n >= 2 * l.whole * 9 / 10);
  (void) load (&w, 100, 50); /* it falls */
  n = w.samples->len;
  l = load (&w, 100, 50);
  assert_true (l.kept == 1 && l.whole == l.flows);
  assert_true (w.samples->len - n >= 2 * l.whole * 9 / 10);
  world_end (&w);
}

static void
rate_is_limited (void **state)
{
  OwdCorrelatorConfig config;
  World w = world_new ();
  Load l;

  (void) state;
  owd_correlator_config_init (&config);
  config.max_rate = 200;
  w.now = EPOCH;
  w.c = owd_correlator_new (&config, collect, &w);
  l = load (&w, 50, 90);
  assert_true (l.kept == 1 && l.whole == l.flows);
  (void) load (&w, 20, 200);
  l = load (&w, 100, 200);
  assert_true (l.kept > 0.47 && l.kept < 0.53);
  assert_int_equal (l.halves, 0);
  assert_told (&l);
  (void) load (&w, 20, 50);
  l = load (&w, 20, 50);
  assert_true (l.kept == 1 && l.whole == l.flows);
  world_end (&w);
}

/* From outside, as by who cannot read as fast as it comes. */
static void
limit_is_set (void **state)
{
  OwdCorrelatorConfig config;
  World w = world_new ();
  Load l;

  (void) state;
  owd_correlator_config_init (&config);
  w.now = EPOCH;
  w.c = owd_correlator_new (&config, collect, &w);
  (void) load (&w, 20, 200);
  owd_correlator_limit (w.c, 0.3);
  (void) load (&w, 20, 200);
  l = load (&w, 100, 200);
  assert_true (owd_correlator_kept (w.c) > 0.299 && owd_correlator_kept (w.c) < 0.301);
  assert_true (l.kept > 0.29 && l.kept < 0.31);
  assert_int_equal (l.halves, 0);
  assert_told (&l);
  owd_correlator_limit (w.c, 1);
  (void) load (&w, 20, 200);
  l = load (&w, 20, 200);
  assert_true (l.kept == 1 && l.whole == l.flows);
  world_end (&w);
}

/* Samples of a load whose share rises, or stays, half-way. */
static GHashTable *
samples_when (double then)
{
  GHashTable *samples = g_hash_table_new (NULL, NULL);
  OwdCorrelatorConfig config;
  World w = world_new ();

  owd_correlator_config_init (&config);
  w.now = EPOCH;
  w.udp = TRUE; /* what begins, a pause has to tell */
  w.c = owd_correlator_new (&config, collect, &w);
  (void) load (&w, 20, 200);
  owd_correlator_limit (w.c, 0.3);
  (void) load (&w, 60, 200);
  owd_correlator_limit (w.c, then);
  (void) load (&w, 60, 200);
  for (guint i = 0; i < w.samples->len; i++) {
    const OwdSample *s = &g_array_index (w.samples, OwdSample, i);

    g_hash_table_add (samples, GSIZE_TO_POINTER ((gsize) (s->flow ^ (guint64) s->ts)));
  }
  world_end (&w);
  return samples;
}

/* When more flows are kept, those that were kept before give what they would have given. */
static void
a_rise_takes_nothing (void **state)
{
  g_autoptr (GHashTable) stays = samples_when (0.3), rises = samples_when (0.4);
  GHashTableIter iter;
  gpointer sample;
  guint missing = 0;

  (void) state;
  assert_true (g_hash_table_size (rises) > g_hash_table_size (stays) && g_hash_table_size (stays) > 1000);
  g_hash_table_iter_init (&iter, stays);
  while (g_hash_table_iter_next (&iter, &sample, NULL))
    missing += !g_hash_table_contains (rises, sample);
  assert_int_equal (missing, 0);
}

/* A flow that is kept again has lost records: a pause before its first one is none. One of many packets goes on all the
 * time, in records of a second; none of its samples may be other than 20 ms. */
static void
one_flow_fills_memory (void **state)
{
  OwdCorrelatorConfig config;
  World w = world_new ();

  (void) state;
  owd_correlator_config_init (&config);
  config.max_waiting = 100;
  w.now = EPOCH;
  w.c = owd_correlator_new (&config, collect, &w);
  for (guint s = 0; s < 300; s++) {
    tick (&w, w.now + S);
    for (guint i = 0; i < 8; i++) {
      Saw saw = { .sport = 1, .first = w.now - 2 * S + i * 120 * MS, .packets = 5, .octets = 500, .ttl = 60 };

      saw.last = saw.first + 60 * MS;
      (void) export(&w, saw);
      saw.point = 1;
      saw.first += 20 * MS;
      saw.last += 20 * MS;
      saw.ttl = 59;
      (void) export(&w, saw);
      assert_true (owd_correlator_waiting (w.c) <= config.max_waiting);
    }
  }
  for (guint i = 0; i < w.samples->len; i++)
    assert_true (ABS (sample (&w, i)->owd_ns - 20 * MS) <= MS);
  world_end (&w);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test (both_directions),
    cmocka_unit_test (offset_does_not_turn_direction),
    cmocka_unit_test (unequal_counts_prove_nothing),
    cmocka_unit_test (fragments_are_put_together),
    cmocka_unit_test (shifted_cuts_are_no_proof),
    cmocka_unit_test (repeated_key),
    cmocka_unit_test (shared_stamps),
    cmocka_unit_test (half_shared_stamps),
    cmocka_unit_test (duplicates_and_nonsense),
    cmocka_unit_test (snapshot_goes_on),
    cmocka_unit_test (records_come_and_go),
    cmocka_unit_test (keeps_no_more_than_told),
    cmocka_unit_test (late_is_counted),
    cmocka_unit_test (the_lonely_are_not_delivered),
    cmocka_unit_test (less_than_light_takes),
    cmocka_unit_test (less_than_light_takes_alone),
    cmocka_unit_test (light_refutes_the_sign),
    cmocka_unit_test (the_lonely_are_doubted),
    cmocka_unit_test (profiles_count_in_their_time),
    cmocka_unit_test (whole_flows_tell_of_loss),
    cmocka_unit_test (records_span_a_clock_step),
    cmocka_unit_test (streams_a_packet_apart),
    cmocka_unit_test (delays_below_the_step),
    cmocka_unit_test (delivered_within_the_horizon),
    cmocka_unit_test (memory_overflows),
    cmocka_unit_test (rate_is_limited),
    cmocka_unit_test (limit_is_set),
    cmocka_unit_test (a_rise_takes_nothing),
    cmocka_unit_test (one_flow_fills_memory),
  };

  return cmocka_run_group_tests (tests, NULL, NULL);
}
