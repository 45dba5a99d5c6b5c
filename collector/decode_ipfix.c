/* SPDX-License-Identifier: Apache-2.0
 *
 * IPFIX (RFC 7011): header and template records. A length that is not the datagram's is counted; the sets that are
 * there are taken all the same, each being bounded by itself.
 */
#include "decode.h"

#define HEADER_LEN 16
#define TEMPLATE_SET 2
#define OPTIONS_SET 3

static void
read_field (OwdWire *set, gboolean is_scope, OwdTemplateDef *def)
{
  guint16 id = owd_wire_u16 (set);
  guint16 len = owd_wire_u16 (set);
  guint32 pen = id & 0x8000 ? owd_wire_u32 (set) : 0;

  if (!set->failed)
    owd_template_def_add (def, pen, id & 0x7fff, len, is_scope);
}

static OwdTemplateRead
read_template (OwdWire *set, gboolean is_options, OwdTemplateDef *def)
{
  guint n, n_scope = 0;

  if (owd_wire_left (set) < 4)
    return OWD_TEMPLATE_END;
  def->id = owd_wire_u16 (set);
  n = owd_wire_u16 (set);
  if (n == 0)
    return def->id == 0 ? OWD_TEMPLATE_END : OWD_TEMPLATE_WITHDRAWAL;
  if (is_options)
    n_scope = owd_wire_u16 (set);
  if (set->failed || n > owd_wire_left (set) / 4)
    return OWD_TEMPLATE_BROKEN;
  for (guint i = 0; i < n && !set->failed; i++)
    read_field (set, i < n_scope, def);
  if (set->failed)
    return OWD_TEMPLATE_BROKEN;
  if (is_options && (n_scope == 0 || n_scope > n))
    def->n_fields = 0; /* RFC 7011 3.4.2.2: not allowed; refused by the check */
  return OWD_TEMPLATE_READ;
}

void
owd_decode_ipfix (OwdDecoder *self, const OwdDatagram *datagram)
{
  OwdWire w = owd_wire (datagram->data, datagram->len);
  OwdMessage msg = { .decoder = self, .begin = datagram->data, .read_template = read_template };
  OwdHeader *header = &msg.header;
  gsize len;

  (void) owd_wire_u16 (&w);
  len = owd_wire_u16 (&w);
  header->export_s = owd_wire_u32 (&w);
  header->seq = owd_wire_u32 (&w);
  header->key.addr = *datagram->from;
  header->key.domain = owd_wire_u32 (&w);
  header->key.version = 10;
  if (w.failed) {
    owd_decoder_refuse (self, NULL, datagram->from, OWD_REASON_SHORT, datagram->len);
    return;
  }
  msg.state = owd_message_state (self, &header->key, datagram, HEADER_LEN);
  if (msg.state == NULL)
    return;
  if (len != datagram->len) {
    owd_decoder_refuse (self, msg.state, datagram->from, OWD_REASON_LENGTH, 2);
    msg.unsure = TRUE;
    w = owd_wire (w.p, len < HEADER_LEN ? 0 : MIN (len, datagram->len) - HEADER_LEN);
  }
  owd_decoder_accept (self, msg.state, datagram, header);
  owd_message_walk (&msg, w, TEMPLATE_SET, OPTIONS_SET);
  owd_state_sequence (msg.state, &(OwdSequence){ .port = datagram->port,
                                                 .seq = header->seq,
                                                 .units = msg.n_records,
                                                 .options = msg.n_options,
                                                 .unsure = msg.unsure,
                                                 .recv_ns = datagram->recv_ns });
  owd_message_replay_late (&msg);
}
