/* SPDX-License-Identifier: Apache-2.0
 *
 * Probing any host that has a TCP: an ACK out of nowhere gets a RST, a SYN gets RST or SYN-ACK.
 *
 * Each probe leaves from the next of many source ports. At every router on the way it is then a flow of one packet, and
 * so is the answer: what the routers export about the two is about these very packets.
 *
 * This machine's kernel knows nothing of the probes. It would answer SYN-ACKs with a RST of its own, and a port could
 * be given to a connection of somebody else's; both is prevented by holding the ports (net.h). The half-open connection
 * that a SYN leaves at an open port is taken back by a RST from here, at once: otherwise the host would repeat its
 * SYN-ACK for a minute, and a burst would fill its backlog.
 */
#include "sender.h"

#include <string.h>
#include <sys/epoll.h>

/* What proves that an answer belongs to a probe: number and source port. */
static guint64
proof (guint16 sport, guint32 number)
{
  return (guint64) sport << 32 | number | G_GUINT64_CONSTANT (1) << 63; /* never 0 */
}

static int
send_segment (OwdProbeSender *self, const OwdProbeTarget *t, const OwdProbeSegment *segment, OwdProbeDeparture what)
{
  OwdProbeEndpoint to = t->to;
  guint8 buf[OWD_PROBE_MAX];
  gsize len = owd_probe_segment_build (segment, buf, sizeof buf);

  *(t->family == 0 ? &to.v4.sin_port : &to.v6.sin6_port) = 0;
  return owd_probe_sender_transmit (self, &self->channels[t->family][0], &to, what, buf, len);
}

static OwdProbeSegment
segment_to (const OwdProbeTarget *t, guint16 sport)
{
  return (OwdProbeSegment){
    .src = t->label.src, .dst = t->addr, .sport = sport, .dport = t->port, .size = (guint16) t->size
  };
}

static int
rawtcp_send (OwdProbeSender *self, guint index)
{
  OwdProbeTarget *t = owd_probe_sender_target (self, index);
  guint32 seq = owd_probe_session_next_seq (t->session);
  const OwdProbePorts *ports = self->held[t->family];
  OwdProbeSegment segment = segment_to (t, ports->port[owd_probe_sender_turn (self, index, seq, ports->n)]);
  OwdTime t1 = owd_probe_clock_real ();
  int code;

  owd_probe_segment_number (&segment, self->tcp, t->token, seq);
  code = send_segment (self, t, &segment, (OwdProbeDeparture){ .target = index, .seq = seq });
  if (code != 0)
    return code;
  owd_probe_sender_note_port (t, seq, segment.sport);
  owd_probe_session_sent (t->session, t1, proof (segment.sport, seq), t->due);
  return 0;
}

/* The target that a segment answers, and the reply that its session understands. */
static OwdProbeTarget *
target_of (const OwdProbeSender *self, const OwdProbeDatagram *d, const OwdProbeSegment *segment, OwdProbeReply *ret)
{
  for (guint i = 0; i < self->targets->len; i++) {
    OwdProbeTarget *t = owd_probe_sender_target (self, i);
    OwdProbeReply reply = { .ttl = -1 };

    if (t->port != segment->sport || memcmp (&t->addr, &d->addr, sizeof t->addr) != 0
        || !owd_probe_segment_answers (segment, self->tcp, t->token, (guint16) t->size, &reply.sender_seq,
                                       &reply.flags))
      continue;
    reply.sender_stamp = proof (segment->dport, reply.sender_seq);
    if (!owd_probe_session_expects (t->session, &reply))
      continue;
    *ret = reply;
    return t;
  }
  return NULL;
}

static void
take_back (OwdProbeSender *self, const OwdProbeTarget *t, const OwdProbeSegment *answer)
{
  OwdProbeSegment reset = segment_to (t, answer->dport);

  reset.size = 0;
  reset.seq = answer->ack;
  reset.bits = OWD_PROBE_TCP_RST_BIT;
  if (send_segment (self, t, &reset, (OwdProbeDeparture){ .target = G_MAXUINT }) != 0)
    self->stray++;
}

static void
take_answer (OwdProbeSender *self, const OwdProbeDatagram *d)
{
  OwdProbeArrival arrival
      = { .t4 = d->stamp, .t4_soft = d->soft, .ttl = d->ttl, .tos = d->tos, .own = self->clock_error };
  OwdProbeSegment segment;
  OwdProbeReply reply;
  OwdProbeTarget *t;

  if (owd_probe_segment_parse (d->data, d->len, owd_addr_is_v4 (&d->addr), &segment) != OWD_STATUS_OK
      || (t = target_of (self, d, &segment, &reply)) == NULL) {
    self->stray++;
    return;
  }
  owd_probe_session_reply (t->session, &reply, &arrival);
  if ((reply.flags & OWD_PROBE_SYN_ACK) != 0)
    take_back (self, t, &segment);
}

static void
rawtcp_ready (OwdProbeSender *self, guint32 id)
{
  OwdProbeChannel *channel = owd_probe_sender_channel (self, id);
  guint n;

  do {
    n = owd_probe_batch_receive (self->batch, channel->socket);
    owd_probe_sender_take_events (self, channel);
    for (guint i = 0; i < n; i++)
      take_answer (self, owd_probe_batch_get (self->batch, i));
  } while (n == OWD_PROBE_BATCH);
}

static void
rawtcp_clear (OwdProbeSender *self)
{
  owd_probe_ports_free (self->held[0]);
  owd_probe_ports_free (self->held[1]);
}

static const OwdProbeWay rawtcp_way = { .send = rawtcp_send, .ready = rawtcp_ready, .clear = rawtcp_clear };

static gboolean
open_family (OwdProbeSender *self, guint family, const OwdProbeEndpoint *from, const OwdProbeWayOptions *options,
             GError **error)
{
  OwdProbeChannel *channel = g_new0 (OwdProbeChannel, 1);
  OwdProbePorts *ports;

  self->channels[family] = channel;
  channel->socket = owd_probe_socket_new_raw (from, IPPROTO_TCP, options->tos, TRUE, error);
  if (channel->socket == NULL)
    return FALSE;
  self->held[family] = ports = owd_probe_ports_hold (from, IPPROTO_TCP, options->ports, error);
  if (ports == NULL || !owd_probe_socket_only_ports (channel->socket, ports->port[0], ports->port[ports->n - 1], error))
    return FALSE;
  channel->ring_mask = OWD_PROBE_TX_RING - 1;
  channel->departures = g_new0 (OwdProbeDeparture, OWD_PROBE_TX_RING);
  return owd_probe_sender_watch (self, channel->socket->fd, family, EPOLLIN);
}

gboolean
owd_probe_rawtcp_open (OwdProbeSender *self, const OwdProbeWayOptions *options, GError **error)
{
  OwdProbeEndpoint from;

  self->way = &rawtcp_way;
  self->n_channels = 1;
  owd_probe_raise_file_limit ();
  for (guint i = 0; i < self->targets->len; i++) {
    OwdProbeTarget *t = owd_probe_sender_target (self, i);

    if (!owd_probe_endpoint_resolve (options->source != NULL ? options->source : "", 0, t->to.any.sa_family, TRUE,
                                     &from, error)
        || (self->channels[t->family] == NULL && !open_family (self, t->family, &from, options, error)))
      return FALSE;
    if (!owd_probe_endpoint_local (&t->to, &from, &t->label.src)) {
      g_set_error (error, OWD_ERROR, OWD_ERROR_IO, "%s: no route", t->text);
      return FALSE;
    }
    t->token = g_random_int ();
  }
  return TRUE;
}
