/* SPDX-License-Identifier: Apache-2.0
 *
 * NetFlow v5: a header of 24 bytes and up to 30 records of 48, all at fixed places. The records that are there are
 * taken whatever the count says; a count that contradicts the length is counted.
 */
#include "decode.h"

#define HEADER_LEN 24
#define RECORD_LEN 48

static void
read_record (const guint8 *p, OwdFlow *flow)
{
  owd_addr_set_v4 (&flow->src, p);
  owd_addr_set_v4 (&flow->dst, p + 4);
  flow->in_if = owd_be16 (p + 12);
  flow->out_if = owd_be16 (p + 14);
  flow->packets = owd_be32 (p + 16);
  flow->octets = owd_be32 (p + 20);
  flow->start_raw = owd_be32 (p + 24);
  flow->end_raw = owd_be32 (p + 28);
  flow->sport = owd_be16 (p + 32);
  flow->dport = owd_be16 (p + 34);
  flow->tcp_flags = p[37];
  flow->proto = p[38];
  flow->tos = p[39];
}

/* bits: two that tell how, 14 that tell how many. 0: nothing said. */
static guint32
read_sampling (guint16 bits, guint8 *ret_algorithm)
{
  *ret_algorithm = bits >> 14 <= OWD_SAMPLING_RANDOM ? (guint8) (bits >> 14) : OWD_SAMPLING_UNTOLD;
  return bits & 0x3fff;
}

void
owd_decode_v5 (OwdDecoder *self, const OwdDatagram *datagram)
{
  OwdWire w = owd_wire (datagram->data, datagram->len);
  OwdHeader header = { .flags = OWD_HEADER_UPTIME | OWD_HEADER_FRAC };
  OwdFlow flow = { .start_kind = OWD_STAMP_UPTIME_MS, .end_kind = OWD_STAMP_UPTIME_MS };
  const guint32 flags = OWD_FLOW_PACKETS | OWD_FLOW_OCTETS | OWD_FLOW_FLAGS;
  OwdState *state;
  guint n, count, engine_type;
  guint8 algorithm;

  (void) owd_wire_u16 (&w);
  count = owd_wire_u16 (&w);
  header.uptime_ms = owd_wire_u32 (&w);
  header.export_s = owd_wire_u32 (&w);
  header.export_frac_ns = owd_wire_u32 (&w);
  header.seq = owd_wire_u32 (&w);
  engine_type = owd_wire_u8 (&w);
  header.key.addr = *datagram->from;
  header.key.domain = engine_type * 256 + owd_wire_u8 (&w);
  header.key.version = 5;
  flow.sampling = read_sampling (owd_wire_u16 (&w), &algorithm);
  if (w.failed) {
    owd_decoder_refuse (self, NULL, datagram->from, OWD_REASON_SHORT, datagram->len);
    return;
  }
  state = owd_decoder_get_state (self, &header.key, datagram->recv_ns);
  if (state == NULL)
    return;
  if (owd_wire_left (&w) != (gsize) count * RECORD_LEN)
    owd_decoder_refuse (self, state, datagram->from, OWD_REASON_LENGTH, 2);
  n = (guint) MIN (count, owd_wire_left (&w) / RECORD_LEN);
  if (flow.sampling != 0) {
    state->counters.sampling = flow.sampling;
    state->counters.sampling_algorithm = algorithm;
  }
  owd_decoder_accept (self, state, datagram, &header);
  owd_state_sequence (state, &(OwdSequence){ .port = datagram->port,
                                             .seq = header.seq,
                                             .units = count,
                                             .has_uptime = TRUE,
                                             .uptime_ms = header.uptime_ms,
                                             .recv_ns = datagram->recv_ns });
  for (guint i = 0; i < n; i++) {
    read_record (w.p + (gsize) i * RECORD_LEN, &flow); /* n of them are there */
    flow.flags = flow.tos != 0 ? flags | OWD_FLOW_EXT : flags;
    self->sink.flow (self->sink.user, &header, &flow);
  }
  state->counters.flows += n;
}
