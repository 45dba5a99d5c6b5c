/* SPDX-License-Identifier: Apache-2.0
 *
 * Two bytes say how the stream is cut, the others are the stream. What comes out must be what a walk over the whole
 * stream finds, up to the same fault; and a decoder takes it, message by message.
 */
#include "framing.h"
#include "fuzz.h"
#include "owd-decoder.h"

#include <string.h>

/* The next message at data + at, or why there is none. */
static OwdStatus
walk (const guint8 *data, gsize size, gsize at, gsize *ret_len)
{
  gsize left = size - at;

  if ((left >= 1 && data[at] != 0) || (left >= 2 && data[at + 1] != 10))
    return OWD_STATUS_VERSION;
  if (left < 4)
    return OWD_STATUS_END;
  *ret_len = (gsize) data[at + 2] << 8 | data[at + 3];
  if (*ret_len < 16)
    return OWD_STATUS_LENGTH;
  return *ret_len <= left ? OWD_STATUS_OK : OWD_STATUS_END;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  const OwdDecoderLimits limits = { .max_states = 2, .max_templates = 8, .late_bytes = 4096 };
  const OwdAddr from = { .b = { 0xfd } };
  g_autoptr (OwdDecoder) decoder = owd_decoder_new (NULL, &limits, NULL);
  OwdStatus status = OWD_STATUS_END;
  OwdFraming f;
  const guint8 *message;
  gsize fed = 0, at = 0, len = 0, want, piece, step;

  if (size < 2)
    return 0;
  piece = 1 + data[0];
  step = data[1]; /* pieces get longer by that */
  data += 2;
  size -= 2;
  owd_framing_init (&f);
  while (fed < size && status == OWD_STATUS_END) {
    guint8 *p = owd_framing_room (&f, &len);
    gsize n = MIN (MIN (piece, size - fed), len);

    g_assert (n > 0);
    memcpy (p, data + fed, n);
    owd_framing_add (&f, n);
    fed += n;
    piece += step;
    while ((status = owd_framing_next (&f, &message, &len)) == OWD_STATUS_OK) {
      g_assert (walk (data, size, at, &want) == OWD_STATUS_OK && want == len);
      g_assert (memcmp (message, data + at, len) == 0);
      (void) owd_decoder_feed_stream (decoder, &from, 1, (gint64) fed * OWD_NS_PER_S, message, len);
      at += len;
    }
  }
  g_assert (walk (data, size, at, &want) == status);
  g_assert (at + owd_framing_rest (&f) == fed);
  owd_framing_clear (&f);
  return 0;
}
