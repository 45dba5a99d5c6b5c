/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a capture, and every packet of it as every link type: no read outside, no endless loop, payloads inside
 * their packets.
 */
#include "fuzz.h"
#include "owd-capture.h"

static void
check_packet (const OwdCapturePacket *p, guint link_type)
{
  /* a copy of exactly that size: the sanitizer sees every byte too far */
  g_autofree guint8 *data = g_malloc (MAX (p->caplen, 1));
  OwdUdp udp;

  memcpy (data, p->data, p->caplen);
  if (owd_packet_udp (link_type, data, p->caplen, p->wirelen, &udp) != OWD_PACKET_UDP)
    return;
  g_assert (udp.payload >= data && udp.payload + udp.len <= data + p->caplen);
  (void) owd_packet_is_export (udp.payload, udp.len);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static const guint link_types[] = { OWD_LINK_NULL, OWD_LINK_ETHERNET, OWD_LINK_RAW, OWD_LINK_SLL, OWD_LINK_SLL2 };
  g_autoptr (OwdCapture) capture = owd_capture_open_memory ("fuzz", data, size, NULL);
  g_autoptr (GError) error = NULL;
  OwdCapturePacket p;
  OwdStatus status;

  if (capture == NULL)
    return 0;
  while ((status = owd_capture_next (capture, &p, &error)) == OWD_STATUS_OK) {
    g_assert (p.caplen <= size && p.offset < size && p.wirelen >= p.caplen);
    check_packet (&p, p.link_type);
    for (gsize i = 0; i < G_N_ELEMENTS (link_types); i++)
      check_packet (&p, link_types[i]);
  }
  g_assert ((status == OWD_STATUS_END) == (error == NULL));
  return 0;
}
