/* SPDX-License-Identifier: Apache-2.0
 *
 * From link-layer bytes to a UDP payload.
 *
 * Each layer takes its header from a bounded cursor and hands the rest to the next one. Lengths inside the packet are
 * held against what the wire had, not only against what was captured: a packet cut by the snapshot length is told
 * apart from one whose headers lie. Link-layer padding and trailers fall off because the IP length rules.
 *
 * References: RFC 791, RFC 8200, RFC 4302 (AH), RFC 768; link types as registered at tcpdump.org.
 */
#include "owd-capture.h"
#include "owd-wire.h"

enum {
  ETHERTYPE_IPV4 = 0x0800,
  ETHERTYPE_IPV6 = 0x86dd,
  ETHERTYPE_VLAN = 0x8100,
  ETHERTYPE_QINQ = 0x88a8,
  ETHERTYPE_QINQ_OLD = 0x9100,
};

enum {
  IP_HOP_BY_HOP = 0,
  IP_UDP = 17,
  IP_ROUTING = 43,
  IP_FRAGMENT = 44,
  IP_AH = 51,
  IP_DESTINATION = 60,
};

/* More of either is no real packet. */
#define VLAN_TAGS_MAX 8
#define EXTENSIONS_MAX 16

/* The cursor ends where the capture does; cut: bytes that the wire had behind it. */
typedef struct {
  OwdWire w;
  gsize cut;
} Packet;

const char *
owd_packet_verdict_text (OwdPacketVerdict verdict)
{
  switch (verdict) {
  case OWD_PACKET_UDP:
    return "UDP";
  case OWD_PACKET_OTHER:
    return "not UDP";
  case OWD_PACKET_FRAGMENT:
    return "IP fragments";
  case OWD_PACKET_TRUNCATED:
    return "cut by the capture's snapshot length";
  case OWD_PACKET_MALFORMED:
    return "malformed";
  case OWD_PACKET_LINK:
    return "of an unknown link type";
  case OWD_PACKET_VERDICTS:
    break;
  }
  return "unknown";
}

gboolean
owd_packet_is_export (const guint8 *payload, gsize len)
{
  guint version;

  if (len < 2)
    return FALSE;
  version = owd_be16 (payload);
  return version == 5 || version == 9 || version == 10;
}

/* A header did not fit into what is left. */
static OwdPacketVerdict
lacking (const Packet *packet)
{
  return packet->cut > 0 ? OWD_PACKET_TRUNCATED : OWD_PACKET_MALFORMED;
}

/* Shortens the packet to the n bytes that a header promises from here on. */
static gboolean
shorten (Packet *packet, gsize n)
{
  gsize left = owd_wire_left (&packet->w);

  if (n <= left) {
    packet->w.end = packet->w.p + n;
    packet->cut = 0;
    return TRUE;
  }
  if (n - left > packet->cut)
    return FALSE;
  packet->cut = n - left;
  return TRUE;
}

static OwdPacketVerdict
parse_udp (Packet packet, OwdUdp *udp)
{
  guint len;

  udp->sport = owd_wire_u16 (&packet.w);
  udp->dport = owd_wire_u16 (&packet.w);
  len = owd_wire_u16 (&packet.w);
  (void) owd_wire_u16 (&packet.w); /* checksum: captured before the card has filled it in, as often as not */
  if (packet.w.failed)
    return lacking (&packet);
  /* 0: a jumbogram (RFC 2675), the IP length rules */
  if (len != 0 && (len < 8 || !shorten (&packet, len - 8)))
    return OWD_PACKET_MALFORMED;
  if (packet.cut > 0)
    return OWD_PACKET_TRUNCATED;
  udp->payload = packet.w.p;
  udp->len = owd_wire_left (&packet.w);
  return OWD_PACKET_UDP;
}

static OwdPacketVerdict
parse_ipv4 (Packet packet, OwdUdp *udp)
{
  const guint8 *h = owd_wire_take (&packet.w, 20);
  gsize header, total;

  if (h == NULL)
    return lacking (&packet);
  header = (gsize) (h[0] & 15) * 4;
  total = owd_be16 (h + 2);
  if (h[0] >> 4 != 4 || header < 20)
    return OWD_PACKET_MALFORMED;
  /* 0: the card cuts a large packet only after it was captured */
  if (total != 0 && (total < header || !shorten (&packet, total - 20)))
    return OWD_PACKET_MALFORMED;
  if (owd_wire_take (&packet.w, header - 20) == NULL)
    return lacking (&packet);
  if (h[9] != IP_UDP)
    return OWD_PACKET_OTHER;
  if ((owd_be16 (h + 6) & 0x3fff) != 0)
    return OWD_PACKET_FRAGMENT;
  owd_addr_set_v4 (&udp->src, h + 12);
  owd_addr_set_v4 (&udp->dst, h + 16);
  return parse_udp (packet, udp);
}

static OwdPacketVerdict
parse_ipv6 (Packet packet, OwdUdp *udp)
{
  const guint8 *h = owd_wire_take (&packet.w, 40);
  guint next;
  gsize len;

  if (h == NULL)
    return lacking (&packet);
  next = h[6];
  len = owd_be16 (h + 4);
  if (h[0] >> 4 != 6 || (len != 0 && !shorten (&packet, len)))
    return OWD_PACKET_MALFORMED;
  memcpy (udp->src.b, h + 8, 16);
  memcpy (udp->dst.b, h + 24, 16);
  for (guint i = 0; i < EXTENSIONS_MAX; i++) {
    const guint8 *e;
    gsize more;

    if (next == IP_UDP)
      return parse_udp (packet, udp);
    if (next != IP_HOP_BY_HOP && next != IP_ROUTING && next != IP_DESTINATION && next != IP_FRAGMENT && next != IP_AH)
      return OWD_PACKET_OTHER;
    e = owd_wire_take (&packet.w, 8);
    if (e == NULL)
      return lacking (&packet);
    if (next == IP_FRAGMENT && (owd_be16 (e + 2) & 0xfff9) != 0)
      return OWD_PACKET_FRAGMENT; /* offset or "more" set; neither: an atomic fragment, RFC 6946 */
    more = next == IP_FRAGMENT ? 0 : next == IP_AH ? (gsize) e[1] * 4 : (gsize) e[1] * 8;
    if (owd_wire_take (&packet.w, more) == NULL)
      return lacking (&packet);
    next = e[0];
  }
  return OWD_PACKET_MALFORMED;
}

/* Whatever follows has its IP version in its first byte. */
static OwdPacketVerdict
parse_ip (Packet packet, OwdUdp *udp)
{
  if (owd_wire_left (&packet.w) == 0)
    return lacking (&packet);
  switch (packet.w.p[0] >> 4) {
  case 4:
    return parse_ipv4 (packet, udp);
  case 6:
    return parse_ipv6 (packet, udp);
  default:
    return OWD_PACKET_OTHER;
  }
}

static OwdPacketVerdict
parse_ethertype (Packet packet, guint type, OwdUdp *udp)
{
  for (guint i = 0; i < VLAN_TAGS_MAX; i++) {
    if (type != ETHERTYPE_VLAN && type != ETHERTYPE_QINQ && type != ETHERTYPE_QINQ_OLD)
      break;
    (void) owd_wire_u16 (&packet.w);
    type = owd_wire_u16 (&packet.w);
  }
  if (packet.w.failed)
    return lacking (&packet);
  switch (type) {
  case ETHERTYPE_IPV4:
    return parse_ipv4 (packet, udp);
  case ETHERTYPE_IPV6:
    return parse_ipv6 (packet, udp);
  default:
    return OWD_PACKET_OTHER;
  }
}

/* NULL: address family in the byte order of the machine that captured; LOOP: in network order. Families above 255 do
 * not exist, so the one nonzero byte tells. IPv6 has a number of its own in each BSD: look at the packet instead. */
static OwdPacketVerdict
parse_null (Packet packet, OwdUdp *udp)
{
  guint32 family = owd_wire_u32 (&packet.w);

  if (packet.w.failed)
    return lacking (&packet);
  if (family > 0xff)
    family = GUINT32_SWAP_LE_BE (family);
  switch (family) {
  case 2:
  case 10:
  case 24:
  case 28:
  case 30:
    return parse_ip (packet, udp);
  default:
    return OWD_PACKET_OTHER;
  }
}

OwdPacketVerdict
owd_packet_udp (guint link_type, const guint8 *data, gsize caplen, gsize wirelen, OwdUdp *ret_udp)
{
  Packet packet = { .w = owd_wire (data, caplen), .cut = wirelen > caplen ? wirelen - caplen : 0 };
  const guint8 *h;

  switch (link_type) {
  case OWD_LINK_ETHERNET:
    h = owd_wire_take (&packet.w, 14);
    return h == NULL ? lacking (&packet) : parse_ethertype (packet, owd_be16 (h + 12), ret_udp);
  case OWD_LINK_SLL:
    h = owd_wire_take (&packet.w, 16);
    return h == NULL ? lacking (&packet) : parse_ethertype (packet, owd_be16 (h + 14), ret_udp);
  case OWD_LINK_SLL2:
    h = owd_wire_take (&packet.w, 20);
    return h == NULL ? lacking (&packet) : parse_ethertype (packet, owd_be16 (h), ret_udp);
  case OWD_LINK_NULL:
  case OWD_LINK_LOOP:
    return parse_null (packet, ret_udp);
  case OWD_LINK_RAW:
  case OWD_LINK_RAW_BSD:
  case OWD_LINK_RAW_OPENBSD:
    return parse_ip (packet, ret_udp);
  case OWD_LINK_IPV4:
    return parse_ipv4 (packet, ret_udp);
  case OWD_LINK_IPV6:
    return parse_ipv6 (packet, ret_udp);
  default:
    return OWD_PACKET_LINK;
  }
}
