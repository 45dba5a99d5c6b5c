/* SPDX-License-Identifier: Apache-2.0
 *
 * Probing with STAMP or TWAMP-Light: one UDP socket per address family, or several source ports used in turn, so that
 * every packet is a flow of its own at the routers on the way.
 */
#include "sender.h"

#include <string.h>
#include <sys/epoll.h>

static gboolean
is_from (const OwdProbeTarget *t, const OwdProbeDatagram *d)
{
  return t->port == d->port && memcmp (&t->addr, &d->addr, sizeof t->addr) == 0;
}

/* The target that a reply comes from. Session identifiers are consecutive, so they tell at once. Reflectors without
 * them have to be searched: by address and port, and among the sizes of one target by the stamp that comes back. */
static OwdProbeTarget *
target_of (const OwdProbeSender *self, const OwdProbeDatagram *d, const OwdProbeReply *reply)
{
  guint index = (guint) reply->ssid - self->first_ssid;
  OwdProbeTarget *found = NULL;

  if (index < self->targets->len && is_from (self->targets->pdata[index], d))
    return self->targets->pdata[index];
  for (guint i = 0; i < self->targets->len; i++) {
    OwdProbeTarget *t = owd_probe_sender_target (self, i);

    if (!is_from (t, d))
      continue;
    if (owd_probe_session_expects (t->session, reply))
      return t;
    found = t;
  }
  return found;
}

static void
take_reply (OwdProbeSender *self, const OwdProbeDatagram *d)
{
  OwdProbeArrival arrival
      = { .t4 = d->stamp, .t4_soft = d->soft, .ttl = d->ttl, .tos = d->tos, .own = self->clock_error };
  OwdProbeReply reply;
  OwdProbeTarget *t;

  if (owd_probe_reply_parse (d->data, d->len, self->request.key, &reply) != OWD_STATUS_OK
      || (t = target_of (self, d, &reply)) == NULL) {
    self->stray++;
    return;
  }
  owd_probe_session_reply (t->session, &reply, &arrival);
}

static void
stamp_ready (OwdProbeSender *self, guint32 id)
{
  OwdProbeChannel *channel = owd_probe_sender_channel (self, id);
  guint n;

  do {
    n = owd_probe_batch_receive (self->batch, channel->socket);
    owd_probe_sender_take_events (self, channel);
    for (guint i = 0; i < n; i++)
      take_reply (self, owd_probe_batch_get (self->batch, i));
  } while (n == OWD_PROBE_BATCH);
}

/* Sends the packet that r begins to describe. Returns: 0 with its stamp in r, or an errno. */
static int
transmit (OwdProbeSender *self, guint index, OwdTime t1, OwdProbeRequest *r)
{
  OwdProbeTarget *t = owd_probe_sender_target (self, index);
  guint32 seq = owd_probe_session_next_seq (t->session);
  OwdProbeChannel *channel = &self->channels[t->family][owd_probe_sender_turn (self, index, seq, self->n_channels)];
  guint8 buf[OWD_PROBE_MAX];
  gsize len;
  int code;

  r->seq = seq;
  r->ssid = t->ssid;
  r->sent = t->sent;
  r->stamp = owd_probe_stamp_encode (t1, r->error & 0x4000);
  len = owd_probe_request_build (r, buf, sizeof buf);
  code
      = owd_probe_sender_transmit (self, channel, &t->to, (OwdProbeDeparture){ .target = index, .seq = seq }, buf, len);
  if (code == 0) {
    owd_probe_sender_note_port (t, seq, channel->port);
    t->sent++;
  }
  return code;
}

static int
stamp_send (OwdProbeSender *self, guint index)
{
  OwdProbeTarget *t = owd_probe_sender_target (self, index);
  OwdProbeRequest r = self->request;
  OwdTime t1 = owd_probe_clock_real ();
  int code;

  r.size = (guint16) t->size;
  code = transmit (self, index, t1, &r);
  if (code == 0)
    owd_probe_session_sent (t->session, t1, r.stamp, t->due);
  return code;
}

/* The smallest packet that holds the question, whatever the others look like. */
static void
stamp_ask (OwdProbeSender *self, guint index, guint32 run, guint32 first)
{
  OwdProbeTarget *t = owd_probe_sender_target (self, index);
  OwdProbeRequest r = self->request;
  OwdTime t1 = owd_probe_clock_real ();

  r.ask = OWD_PROBE_ASK_ARRIVALS;
  r.run = run;
  r.first = first;
  if (transmit (self, index, t1, &r) == 0)
    owd_probe_session_asked (t->session, t1, r.stamp);
}

static const OwdProbeWay stamp_way = { .send = stamp_send, .ask = stamp_ask, .ready = stamp_ready };

static gboolean
open_channel (OwdProbeSender *self, guint family, guint k, const OwdProbeEndpoint *from, guint8 tos, GError **error)
{
  OwdProbeChannel *channel = &self->channels[family][k];
  OwdProbeEndpoint at = *from;
  guint32 ring = 16;
  OwdAddr addr;
  guint16 port;

  owd_probe_endpoint_addr (from, &addr, &port);
  if (port != 0 && from->any.sa_family == AF_INET)
    at.v4.sin_port = htons ((guint16) (port + k));
  else if (port != 0)
    at.v6.sin6_port = htons ((guint16) (port + k));
  channel->socket = owd_probe_socket_new (&at, tos, TRUE, error);
  if (channel->socket == NULL)
    return FALSE;
  while (ring < OWD_PROBE_TX_RING / self->n_channels)
    ring *= 2;
  channel->ring_mask = ring - 1;
  channel->departures = g_new0 (OwdProbeDeparture, ring);
  owd_probe_endpoint_addr (&channel->socket->bound, &addr, &channel->port);
  owd_probe_sender_watch (self, channel->socket->fd, family * self->n_channels + k, EPOLLIN);
  return TRUE;
}

gboolean
owd_probe_stamp_open (OwdProbeSender *self, const OwdProbeWayOptions *options, GError **error)
{
  OwdProbeEndpoint from;

  self->way = &stamp_way;
  self->n_channels = options->ports;
  if (options->ports > 1)
    owd_probe_raise_file_limit ();
  for (guint i = 0; i < self->targets->len; i++) {
    OwdProbeTarget *t = owd_probe_sender_target (self, i);

    if (!owd_probe_endpoint_resolve (options->source != NULL ? options->source : "", 0, t->to.any.sa_family, TRUE,
                                     &from, error))
      return FALSE;
    if (self->channels[t->family] == NULL) {
      self->channels[t->family] = g_new0 (OwdProbeChannel, self->n_channels);
      for (guint k = 0; k < self->n_channels; k++)
        if (!open_channel (self, t->family, k, &from, options->tos, error))
          return FALSE;
    }
    owd_probe_endpoint_local (&t->to, &from, &t->label.src);
    t->label.sport = self->n_channels > 1 ? 0 : self->channels[t->family][0].port;
  }
  return TRUE;
}
