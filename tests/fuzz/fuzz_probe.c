/* SPDX-License-Identifier: Apache-2.0
 *
 * A reflector and a sender's parser on any bytes, in open and in authenticated mode. What must hold: an answer is as
 * long as its question, never longer; it parses; what the sender cannot place changes nothing but a counter; whatever a
 * reflector reports, each lost packet is told once.
 */
#include "fuzz.h"

#include "owd-probe.h"

enum { N_PACKETS = 120 };

#define NOW (G_GINT64_CONSTANT (1795330014) * OWD_NS_PER_S)

static void
answer (OwdProbeKey *key, const guint8 *data, gsize size)
{
  OwdProbeReflectorConfig cfg = { .keys = &key, .n_keys = key != NULL, .sessions = 4, .sources = 4, .rate = 10 };
  g_autoptr (OwdProbeReflector) reflector = owd_probe_reflector_new (&cfg);
  /* exactly as large as allowed, so that a write past the end is one for the sanitizer */
  g_autofree guint8 *out = g_malloc (MAX (size, OWD_PROBE_BASE));
  OwdProbeQuestion q = { .data = data, .len = size, .t2 = NOW, .t3 = NOW + 1000, .ttl = 64, .tos = -1, .sport = 1 };
  OwdProbeAnswer a;
  OwdProbeReply reply;

  owd_addr_set_v4 (&q.src, (const guint8 *) "\xc0\x00\x02\x01");
  for (guint i = 0; i < 3; i++) { /* the second meets a session, the third a known departure */
    if (owd_probe_reflector_answer (reflector, &q, out, MAX (size, OWD_PROBE_BASE), &a) != OWD_PROBE_ANSWERED)
      return;
    g_assert (a.len == size);
    g_assert (owd_probe_reply_parse (out, a.len, key, &reply) == OWD_STATUS_OK);
    g_assert (reply.seq == i);
    owd_probe_reflector_departed (reflector, &a, NOW + 2000);
  }
}

/* Sends a query where one is due, and has it answered by this reply. */
static void
query (OwdProbeSession *session, guint i, const OwdProbeReply *reply, const OwdProbeArrival *arrival)
{
  OwdProbeReply answered = *reply;

  if (!owd_probe_session_asks (session, NOW + i * 20 * OWD_NS_PER_MS, &answered.arrivals.run, &answered.arrivals.first))
    return;
  if (i % 7 == 6)
    answered.arrivals = reply->arrivals;
  answered.sender_seq = owd_probe_session_next_seq (session);
  owd_probe_session_asked (session, NOW + i, reply->sender_stamp);
  owd_probe_session_reply (session, &answered, arrival);
}

static void
receive (OwdProbeKey *key, const guint8 *data, gsize size)
{
  OwdProbeSessionConfig cfg = { .window = 64, .timeout_ns = OWD_NS_PER_S, .follow_up = TRUE, .reports = TRUE };
  g_autoptr (OwdProbeSession) session = NULL;
  OwdProbeArrival arrival = { .t4 = NOW + OWD_NS_PER_MS, .ttl = 64, .tos = 0 };
  OwdProbeReply reply;
  OwdProbeSummary sum;

  if (owd_probe_reply_parse (data, size, key, &reply) != OWD_STATUS_OK)
    return;
  cfg.run = reply.arrivals.run;
  session = owd_probe_session_new (&cfg, NULL, NULL);
  for (guint i = 0; i < N_PACKETS; i++) {
    query (session, i, &reply, &arrival);
    /* every other packet is one that this reply answers, whatever it says */
    owd_probe_session_sent (session, NOW + i, reply.sender_stamp, i);
    if (i % 2 == 0)
      reply.sender_seq = owd_probe_session_next_seq (session) - 1;
    owd_probe_session_reply (session, &reply, &arrival);
    reply.seq = reply.seq * 5 + i;
    reply.follow_seq ^= reply.seq;
    reply.arrivals.life += i % 10 == 9;
    reply.arrivals.highest += reply.seq % 3;
    reply.arrivals.arrived += reply.seq % 2;
  }
  owd_probe_session_close (session);
  query (session, N_PACKETS, &reply, &arrival);
  owd_probe_session_finish (session);
  owd_probe_session_summary (session, &sum);
  g_assert (sum.lost == sum.lost_up + sum.lost_down + sum.lost_unknown);
  g_assert (sum.answered + sum.lost + sum.not_left == N_PACKETS);
}

static void
read_segment (const guint8 *data, gsize size)
{
  OwdProbeSegment segment;
  guint32 number, flags;

  for (guint with_ip = 0; with_ip < 2; with_ip++)
    if (owd_probe_segment_parse (data, size, with_ip != 0, &segment) == OWD_STATUS_OK)
      for (guint kind = OWD_PROBE_TCP_ACK; kind <= OWD_PROBE_TCP_SYN; kind++)
        if (owd_probe_segment_answers (&segment, (OwdProbeTcp) kind, 0, (guint16) size, &number, &flags))
          g_assert (flags == OWD_PROBE_RESET || flags == OWD_PROBE_SYN_ACK);
}

/* Whatever a router or a destination says about probes of ours. */
static void
read_path (const guint8 *data, gsize size)
{
  for (guint kind = OWD_PROBE_PATH_UDP; kind <= OWD_PROBE_PATH_ICMP; kind++) {
    OwdProbePathFlow flow = { .kind = (OwdProbePathKind) kind };
    OwdProbePathAnswer answer;

    if (size >= 28) /* so that some quote fits */
      memcpy (flow.dst.b, data + size - 28, sizeof flow.dst.b);
    for (guint with_ip = 0; with_ip < 2; with_ip++) {
      if (with_ip != 0 && size >= 12)
        owd_addr_set_v4 (&flow.dst, data + size - 12);
      if (owd_probe_path_read_icmp (&flow, data, size, with_ip == 0, with_ip != 0, &answer) == OWD_STATUS_OK)
        g_assert (answer.verdict <= OWD_PROBE_PATH_REFUSED);
      if (owd_probe_path_read_own (&flow, data, size, with_ip != 0, &answer) == OWD_STATUS_OK)
        g_assert (answer.verdict == OWD_PROBE_PATH_REACHED);
    }
  }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static OwdProbeKey *key;
  g_autofree guint8 *signed_data = NULL;

  if (key == NULL)
    key = owd_probe_key_new ("fuzz", (const guint8 *) "0123456789abcdef", 16, NULL);
  read_segment (data, size);
  read_path (data, size);
  answer (NULL, data, size);
  answer (key, data, size);
  receive (NULL, data, size);
  if (size >= OWD_PROBE_BASE_AUTH) { /* past the HMAC, which no mutation would ever get right */
    signed_data = g_memdup2 (data, size);
    owd_probe_key_mac (key, data, OWD_PROBE_BASE_AUTH - OWD_PROBE_MAC, NULL, 0,
                       signed_data + OWD_PROBE_BASE_AUTH - OWD_PROBE_MAC);
    answer (key, signed_data, size);
    receive (key, signed_data, size);
  }
  return 0;
}
