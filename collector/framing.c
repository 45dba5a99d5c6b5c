/* SPDX-License-Identifier: Apache-2.0
 *
 * The rest of a message moves to the front of the buffer when room is asked for. It then lies there until it is whole,
 * so it does not move again.
 */
#include "framing.h"

#include <string.h>

#include "owd-wire.h"

#define VERSION 10
#define HEADER_LEN 16

void
owd_framing_init (OwdFraming *self)
{
  *self = (OwdFraming){ .buffer = g_malloc (OWD_FRAMING_BYTES), .fault = OWD_STATUS_OK };
}

void
owd_framing_clear (OwdFraming *self)
{
  g_clear_pointer (&self->buffer, g_free);
  self->begin = self->end = 0;
}

guint8 *
owd_framing_room (OwdFraming *self, gsize *ret_len)
{
  if (self->begin > 0) {
    memmove (self->buffer, self->buffer + self->begin, self->end - self->begin);
    self->end -= self->begin;
    self->begin = 0;
  }
  *ret_len = OWD_FRAMING_BYTES - self->end;
  return self->buffer + self->end;
}

void
owd_framing_add (OwdFraming *self, gsize len)
{
  g_assert (len <= OWD_FRAMING_BYTES - self->end);
  self->end += len;
}

/* Says so as soon as a byte tells: a peer that sends two bytes of something else and waits is not waited for. */
static OwdStatus
judge_header (const guint8 *p, gsize left, gsize *ret_len)
{
  if (left >= 1 && p[0] != 0)
    return OWD_STATUS_VERSION;
  if (left >= 2 && p[1] != VERSION)
    return OWD_STATUS_VERSION;
  if (left < 4)
    return OWD_STATUS_END;
  *ret_len = owd_be16 (p + 2);
  if (*ret_len < HEADER_LEN)
    return OWD_STATUS_LENGTH;
  return left >= *ret_len ? OWD_STATUS_OK : OWD_STATUS_END;
}

OwdStatus
owd_framing_next (OwdFraming *self, const guint8 **ret_message, gsize *ret_len)
{
  OwdStatus status;
  gsize len = 0;

  if (self->fault != OWD_STATUS_OK)
    return self->fault;
  status = judge_header (self->buffer + self->begin, self->end - self->begin, &len);
  if (status == OWD_STATUS_OK) {
    *ret_message = self->buffer + self->begin;
    *ret_len = len;
    self->begin += len;
  } else if (status != OWD_STATUS_END) {
    self->fault = status;
  }
  return status;
}

gsize
owd_framing_rest (const OwdFraming *self)
{
  return self->end - self->begin;
}
