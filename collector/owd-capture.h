/* SPDX-License-Identifier: Apache-2.0
 *
 * Packet captures in, UDP payloads out: pcap and pcapng, from a file, a pipe or memory.
 *
 * Two halves that know nothing of each other. owd_capture_*() walks the file and hands out packets with their time;
 * owd_packet_udp() is a pure function from link-layer bytes to a UDP payload. Memory is bounded: one window over the
 * file, and a table of interfaces.
 */
#ifndef OWD_CAPTURE_H
#define OWD_CAPTURE_H

#include "owd-flow.h"

G_BEGIN_DECLS

/* ---- packets ----------------------------------------------------------------------------------- */

/* LINKTYPE_* of the capture formats, as registered at tcpdump.org. */
enum {
  OWD_LINK_NULL = 0,
  OWD_LINK_ETHERNET = 1,
  OWD_LINK_RAW_BSD = 12,
  OWD_LINK_RAW_OPENBSD = 14,
  OWD_LINK_RAW = 101,
  OWD_LINK_LOOP = 108,
  OWD_LINK_SLL = 113,
  OWD_LINK_IPV4 = 228,
  OWD_LINK_IPV6 = 229,
  OWD_LINK_SLL2 = 276,
};

/* What a packet turned out to be. */
typedef enum {
  OWD_PACKET_UDP,       /* a whole UDP datagram */
  OWD_PACKET_OTHER,     /* another protocol */
  OWD_PACKET_FRAGMENT,  /* part of an IP datagram */
  OWD_PACKET_TRUNCATED, /* the capture's snapshot length cut it */
  OWD_PACKET_MALFORMED, /* lengths contradict each other */
  OWD_PACKET_LINK,      /* link type that we do not read */
  OWD_PACKET_VERDICTS
} OwdPacketVerdict;

/* Static text for reports, never NULL. */
const char *owd_packet_verdict_text (OwdPacketVerdict verdict);

typedef struct {
  OwdAddr src, dst;
  guint16 sport, dport;
  const guint8 *payload; /* inside the packet that was given */
  gsize len;
} OwdUdp;

/* data: caplen bytes of a packet that had wirelen bytes. *ret_udp is filled for OWD_PACKET_UDP only. */
OwdPacketVerdict owd_packet_udp (guint link_type, const guint8 *data, gsize caplen, gsize wirelen,
                                 OwdUdp *ret_udp) G_GNUC_WARN_UNUSED_RESULT;

/* Whether a payload starts like NetFlow v5, v9 or IPFIX. */
gboolean owd_packet_is_export (const guint8 *payload, gsize len);

/* ---- captures ---------------------------------------------------------------------------------- */

/* A longer packet is taken for damage. */
#define OWD_CAPTURE_PACKET_MAX 262144
/* Bytes after a packet's data that may be read (not trusted), for decoders that load whole words. Not given for
 * captures in memory. */
#define OWD_CAPTURE_SLACK 8

typedef struct OwdCapture OwdCapture;

typedef struct {
  OwdTime time_ns; /* OWD_TIME_NONE: the capture does not say */
  guint link_type;
  const guint8 *data; /* valid until the next call */
  gsize caplen, wirelen;
  guint64 offset; /* in the file, of the packet's record */
} OwdCapturePacket;

/* path: "-" is standard input. Returns: (transfer full), or NULL and OWD_ERROR_IO, or OWD_ERROR_CORRUPT for what is
 * no capture. */
OwdCapture *owd_capture_open (const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The same over bytes that outlive the capture. name: for messages. */
OwdCapture *owd_capture_open_memory (const char *name, const void *data, gsize len,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Next packet.
 *   OWD_STATUS_OK     *ret_packet filled
 *   OWD_STATUS_END    the capture is over
 *   OWD_STATUS_SHORT  the capture ends inside a record: error says where; what came before is fine. Final.
 *   other negative    error set, final. */
OwdStatus owd_capture_next (OwdCapture *self, OwdCapturePacket *ret_packet, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Whether bytes of the next record are at hand. FALSE: owd_capture_next() may have to wait for them. */
gboolean owd_capture_is_ready (const OwdCapture *self);
void owd_capture_free (OwdCapture *self); /* NULL is fine */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdCapture, owd_capture_free)

G_END_DECLS

#endif
