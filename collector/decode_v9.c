/* SPDX-License-Identifier: Apache-2.0
 *
 * NetFlow v9 (RFC 3954): header and template records. The header's count of records is not looked at: exporters
 * disagree about what it counts, and the length of the datagram says all. Nor is every datagram padded as told.
 *
 * Field types from 0x8000 on are vendors' own, where IPFIX has its enterprise bit: they become elements of an
 * enterprise of ours. So do the types of scopes, but for those that IPFIX has an element for.
 */
#include "decode.h"

#define HEADER_LEN 20

static guint32
scope_element (guint16 type, guint16 *ret_id)
{
  switch (type) {
  case 2: /* interface */
    *ret_id = 10;
    return 0;
  case 3: /* line card */
    *ret_id = 141;
    return 0;
  default:
    *ret_id = type & 0x7fff;
    return OWD_PEN_SCOPE;
  }
}

static void
read_field (OwdWire *set, gboolean is_scope, OwdTemplateDef *def)
{
  guint16 id = owd_wire_u16 (set);
  guint16 len = owd_wire_u16 (set);
  guint32 pen = 0;

  if (is_scope) {
    pen = scope_element (id, &id);
  } else if (id >= 0x8000) {
    pen = OWD_PEN_V9;
    id &= 0x7fff;
  }
  owd_template_def_add (def, pen, id, len, is_scope);
}

static OwdTemplateRead
read_template (OwdWire *set, gboolean is_options, OwdTemplateDef *def)
{
  guint n_scope = 0, n;

  if (owd_wire_left (set) < 4)
    return OWD_TEMPLATE_END;
  def->id = owd_wire_u16 (set);
  n = owd_wire_u16 (set);
  if (def->id == 0 && n == 0)
    return OWD_TEMPLATE_END;
  if (is_options) { /* lengths in bytes */
    guint options_len = owd_wire_u16 (set);

    if (n % 4 != 0 || options_len % 4 != 0)
      return OWD_TEMPLATE_BROKEN;
    n_scope = n / 4;
    n = n_scope + options_len / 4;
  }
  if (set->failed || n > owd_wire_left (set) / 4)
    return OWD_TEMPLATE_BROKEN;
  for (guint i = 0; i < n; i++)
    read_field (set, i < n_scope, def);
  return OWD_TEMPLATE_READ;
}

void
owd_decode_v9 (OwdDecoder *self, const OwdDatagram *datagram)
{
  OwdWire w = owd_wire (datagram->data, datagram->len);
  OwdMessage msg = { .decoder = self, .begin = datagram->data, .read_template = read_template };
  OwdHeader *header = &msg.header;

  (void) owd_wire_u32 (&w); /* version, count */
  header->flags = OWD_HEADER_UPTIME;
  header->uptime_ms = owd_wire_u32 (&w);
  header->export_s = owd_wire_u32 (&w);
  header->seq = owd_wire_u32 (&w);
  header->key.addr = *datagram->from;
  header->key.domain = owd_wire_u32 (&w);
  header->key.version = 9;
  if (w.failed) {
    owd_decoder_refuse (self, NULL, datagram->from, OWD_REASON_SHORT, datagram->len);
    return;
  }
  msg.state = owd_message_state (self, &header->key, datagram, HEADER_LEN);
  if (msg.state == NULL)
    return;
  owd_decoder_accept (self, msg.state, datagram, header);
  owd_state_sequence (msg.state, &(OwdSequence){ .port = datagram->port,
                                                 .seq = header->seq,
                                                 .units = 1,
                                                 .has_uptime = TRUE,
                                                 .uptime_ms = header->uptime_ms,
                                                 .recv_ns = datagram->recv_ns });
  owd_message_walk (&msg, w, 0, 1);
  owd_message_replay_late (&msg);
}
