/* SPDX-License-Identifier: Apache-2.0
 *
 * Tells about refused datagrams without drowning in them: per exporter, domain and reason the first at once, repeats as
 * a count each minute. Memory is bounded, and so is the number of lines.
 */
#ifndef OWD_REFUSALS_H
#define OWD_REFUSALS_H

#include "owd-decoder.h"

typedef struct OwdRefusals OwdRefusals;

OwdRefusals *owd_refusals_new (void);
/* The datagram that owd_decoder_feed() has just refused, whole or in part. */
void owd_refusals_add (OwdRefusals *self, const OwdDecoder *decoder, const OwdAddr *from, const guint8 *data, gsize len,
                       OwdTime now);
/* Time has come to `now`: where a minute is over, says what repeated, and whose data sets wait for templates. Cheap: call
 * it often. */
void owd_refusals_tick (OwdRefusals *self, const OwdDecoder *decoder, OwdTime now);
void owd_refusals_free (OwdRefusals *self); /* NULL is fine */

/* Everything that a decoder refused, one line per exporter state and reason. */
void owd_refusals_summary (const OwdDecoder *decoder);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdRefusals, owd_refusals_free)

#endif
