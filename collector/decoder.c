/* SPDX-License-Identifier: Apache-2.0
 *
 * Version dispatch, books and sinks. Whom a refusal is charged to: the state of the message; where the datagram does
 * not get as far as that, the first state of its address; where there is none, nobody (unattributed).
 */
#include "decode.h"

#define MAX_STATES 4096
#define MAX_TEMPLATES 1024
#define MAX_BYTES ((gsize) 256 << 20)
#define LATE_BYTES (64 * 1024)
#define LATE_TIMEOUT_NS (600 * OWD_NS_PER_S)

static const struct {
  const char *text;
  OwdStatus status;
} REASONS[OWD_REASONS] = {
  [OWD_REASON_SHORT] = { "ends inside a header or field", OWD_STATUS_SHORT },
  [OWD_REASON_VERSION] = { "not NetFlow v5, v9 or IPFIX", OWD_STATUS_VERSION },
  [OWD_REASON_LENGTH] = { "length or count contradicts the datagram", OWD_STATUS_LENGTH },
  [OWD_REASON_SET_LENGTH] = { "set length below 4 or past the end", OWD_STATUS_LENGTH },
  [OWD_REASON_TEMPLATE] = { "unusable template", OWD_STATUS_MALFORMED },
  [OWD_REASON_RECORD] = { "data record runs past its set", OWD_STATUS_MALFORMED },
  [OWD_REASON_NO_TEMPLATE] = { "data set without a known template", OWD_STATUS_OK },
  [OWD_REASON_LATE_DROPPED] = { "kept data set given up", OWD_STATUS_LIMIT },
  [OWD_REASON_LIMIT] = { "limit of states or templates", OWD_STATUS_LIMIT },
};

const char *
owd_reason_text (OwdReason reason)
{
  return (guint) reason < OWD_REASONS ? REASONS[reason].text : "none";
}

void
owd_decoder_refuse (OwdDecoder *self, OwdState *state, const OwdAddr *from, OwdReason reason, gsize offset)
{
  if (state == NULL)
    state = owd_state_table_first (self->states, from);
  if (state != NULL)
    state->counters.refused[reason]++;
  else
    self->unattributed[reason]++;
  if (self->refusal == OWD_REASONS && REASONS[reason].status != OWD_STATUS_OK) {
    self->refusal = reason;
    self->refusal_offset = offset;
  }
}

OwdState *
owd_decoder_get_state (OwdDecoder *self, const OwdStateKey *key, OwdTime now_ns)
{
  OwdState *state = owd_state_table_find (self->states, key);

  if (state == NULL)
    state = owd_state_table_add (self->states, key, now_ns);
  if (state == NULL)
    owd_decoder_refuse (self, NULL, &key->addr, OWD_REASON_LIMIT, 0);
  return state;
}

void
owd_decoder_accept (OwdDecoder *self, OwdState *state, const OwdDatagram *datagram, OwdHeader *header)
{
  OwdStateCounters *c = &state->counters;

  if (c->datagrams == 0)
    c->first_ns = datagram->recv_ns;
  c->last_ns = MAX (c->last_ns, datagram->recv_ns);
  c->port = datagram->port;
  c->clock_lag_ns = datagram->recv_ns - ((gint64) header->export_s * OWD_NS_PER_S + header->export_frac_ns);
  c->datagrams++;
  c->bytes += datagram->len;
  header->recv_ns = datagram->recv_ns;
  header->port = datagram->port;
  header->init_ms = state->init_ms;
  header->state = state->number;
  self->n_messages++;
  self->sink.header (self->sink.user, header);
}

static void
ignore_header (void *user, const OwdHeader *header)
{
  (void) user;
  (void) header;
}

static void
ignore_flow (void *user, const OwdHeader *header, const OwdFlow *flow)
{
  (void) user;
  (void) header;
  (void) flow;
}

static OwdDecoderLimits
complete_limits (const OwdDecoderLimits *limits)
{
  OwdDecoderLimits l = limits != NULL ? *limits : (OwdDecoderLimits){ 0 };

  l.max_states = l.max_states != 0 ? l.max_states : MAX_STATES;
  l.max_templates = l.max_templates != 0 ? l.max_templates : MAX_TEMPLATES;
  l.max_bytes = l.max_bytes != 0 ? l.max_bytes : MAX_BYTES;
  l.late_bytes = l.late_bytes != 0 ? l.late_bytes : LATE_BYTES;
  l.late_timeout_ns = l.late_timeout_ns != 0 ? l.late_timeout_ns : LATE_TIMEOUT_NS;
  return l;
}

OwdDecoder *
owd_decoder_new (const OwdDecoderSink *sink, const OwdDecoderLimits *limits, GError **error)
{
  OwdDecoder *self = g_new0 (OwdDecoder, 1);

  (void) error; /* nothing can fail today; the contract leaves room */
  if (sink != NULL)
    self->sink = *sink;
  if (self->sink.header == NULL)
    self->sink.header = ignore_header;
  if (self->sink.flow == NULL)
    self->sink.flow = ignore_flow;
  self->limits = complete_limits (limits);
  self->states = owd_state_table_new (&self->limits);
  self->fixbuf = owd_fixbuf_new ();
  return self;
}

void
owd_decoder_set_limits (OwdDecoder *self, const OwdDecoderLimits *limits)
{
  self->limits = complete_limits (limits);
  owd_state_table_set_limits (self->states, &self->limits);
}

void
owd_decoder_free (OwdDecoder *self)
{
  if (self == NULL)
    return;
  owd_state_table_free (self->states);
  owd_fixbuf_free (self->fixbuf);
  g_free (self);
}

static OwdStatus
feed (OwdDecoder *self, const OwdAddr *from, guint16 port, OwdTime recv_ns, const guint8 *data, gsize len)
{
  OwdDatagram datagram = { .from = from, .port = port, .recv_ns = recv_ns, .data = data, .len = len };

  self->refusal = OWD_REASONS;
  self->refusal_offset = 0;
  if (len < 2)
    owd_decoder_refuse (self, NULL, from, OWD_REASON_SHORT, 0);
  else if (owd_be16 (data) == 9)
    owd_decode_v9 (self, &datagram);
  else if (owd_be16 (data) == 10)
    owd_decode_ipfix (self, &datagram);
  else if (owd_be16 (data) == 5)
    owd_decode_v5 (self, &datagram);
  else
    owd_decoder_refuse (self, NULL, from, OWD_REASON_VERSION, 0);
  return self->refusal == OWD_REASONS ? OWD_STATUS_OK : REASONS[self->refusal].status;
}

OwdStatus
owd_decoder_feed (OwdDecoder *self, const OwdAddr *from, guint16 port, OwdTime recv_ns, const guint8 *data, gsize len)
{
  self->over_stream = FALSE;
  return feed (self, from, port, recv_ns, data, len);
}

OwdStatus
owd_decoder_feed_stream (OwdDecoder *self, const OwdAddr *from, guint16 port, OwdTime recv_ns, const guint8 *data,
                         gsize len)
{
  self->over_stream = TRUE;
  return feed (self, from, port, recv_ns, data, len);
}

void
owd_decoder_last_refusal (const OwdDecoder *self, OwdReason *ret_reason, gsize *ret_offset)
{
  *ret_reason = self->refusal;
  *ret_offset = self->refusal_offset;
}

guint
owd_decoder_n_states (const OwdDecoder *self)
{
  return owd_state_table_size (self->states);
}

const OwdStateCounters *
owd_decoder_state (const OwdDecoder *self, guint state)
{
  return &owd_state_table_nth (self->states, state)->counters;
}

const OwdStateCounters *
owd_decoder_first_state (const OwdDecoder *self, const OwdAddr *addr)
{
  const OwdState *state = owd_state_table_first (self->states, addr);

  return state != NULL ? &state->counters : NULL;
}

void
owd_decoder_memory (const OwdDecoder *self, OwdDecoderMemory *ret_memory)
{
  owd_state_table_memory (self->states, ret_memory);
}

guint64
owd_decoder_n_templates (const OwdDecoder *self)
{
  return self->n_templates;
}

const guint64 *
owd_decoder_unattributed (const OwdDecoder *self)
{
  return self->unattributed;
}
