/* SPDX-License-Identifier: Apache-2.0
 *
 * IPFIX messages out of a byte stream (RFC 7011 sections 3.1 and 10.4): a message follows the other, each with its own
 * length in its header. A pure function of the bytes: however they were cut on their way, the same messages come out.
 *
 *   p = owd_framing_room (f, &n);  read at most n bytes to p;  owd_framing_add (f, bytes read);
 *   while (owd_framing_next (f, &message, &len) == OWD_STATUS_OK) ...
 *
 * A stream has no second mark to find a message by: what does not begin like one ends the stream's use for good.
 *
 * Cost: OWD_FRAMING_BYTES of memory, and each byte is moved at most once.
 */
#ifndef OWD_FRAMING_H
#define OWD_FRAMING_H

#include "owd-error.h"

G_BEGIN_DECLS

/* The longest message, 65535 bytes, and so much that there is always room for more until one is whole. */
#define OWD_FRAMING_BYTES (64 * 1024)

typedef struct {
  guint8 *buffer;
  gsize begin, end; /* of what has been added and not been given out */
  OwdStatus fault;  /* sticks */
} OwdFraming;

void owd_framing_init (OwdFraming *self);
void owd_framing_clear (OwdFraming *self);
/* Where the next bytes of the stream go; *ret_len is at least 1 once owd_framing_next() has given out what was whole.
 * Messages given out before are void now. */
guint8 *owd_framing_room (OwdFraming *self, gsize *ret_len);
/* len bytes have been put there. */
void owd_framing_add (OwdFraming *self, gsize len);
/* OWD_STATUS_OK: a message; borrowed until the next owd_framing_room(). OWD_STATUS_END: the rest is not whole yet.
 * OWD_STATUS_VERSION, OWD_STATUS_LENGTH: not IPFIX, or shorter than its own header; so it stays. */
OwdStatus owd_framing_next (OwdFraming *self, const guint8 **ret_message, gsize *ret_len);
/* Bytes of a message that is not whole. */
gsize owd_framing_rest (const OwdFraming *self);

G_END_DECLS

#endif
