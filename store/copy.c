/* SPDX-License-Identifier: Apache-2.0
 *
 * Samples in PostgreSQL's binary COPY format (documentation of COPY, "Binary Format"): a signature, then per row the
 * number of fields and for each its length and its value in network order, then -1. All fields have a fixed size, so a
 * row has a constant length and the writer can fill a buffer without asking.
 */
#include "store-private.h"

#include <string.h>

#define SAMPLE_FIELDS 14
#define EXCESS_FIELDS 10
#define COUNT_FIELDS 6
#define NS_PER_SLOT (G_GINT64_CONSTANT (3600) * OWD_NS_PER_S)

static const guint8 SIGNATURE[11] = { 'P', 'G', 'C', 'O', 'P', 'Y', '\n', 0xff, '\r', '\n', 0 };

static gint64
floor_div (gint64 a, gint64 b)
{
  return a / b - (a % b < 0);
}

gint64
owd_copy_floor_us (OwdTime t)
{
  return floor_div (t, OWD_NS_PER_US);
}

gint64
owd_copy_slot (OwdTime t)
{
  return floor_div (t, NS_PER_SLOT);
}

static guint8 *
field_16 (guint8 *p, guint16 v)
{
  return owd_put_16 (owd_put_32 (p, 2), v);
}

static guint8 *
field_32 (guint8 *p, guint32 v)
{
  return owd_put_32 (owd_put_32 (p, 4), v);
}

static guint8 *
field_64 (guint8 *p, guint64 v)
{
  return owd_put_64 (owd_put_32 (p, 8), v);
}

guint8 *
owd_copy_put_head (guint8 *p)
{
  memcpy (p, SIGNATURE, sizeof SIGNATURE);
  memset (p + sizeof SIGNATURE, 0, 8); /* flags, length of the header's extension */
  return p + sizeof SIGNATURE + 8;
}

guint8 *
owd_copy_put_row (guint8 *p, const OwdSample *sample, gint16 part, gint32 path_id)
{
  p = owd_put_16 (p, SAMPLE_FIELDS);
  p = field_64 (p, (guint64) (owd_copy_floor_us (sample->ts) - OWD_PG_EPOCH_US));
  p = field_64 (p, sample->seq);
  p = field_64 (p, (guint64) sample->owd_ns);
  p = field_64 (p, (guint64) sample->lo_ns);
  p = field_64 (p, (guint64) sample->hi_ns);
  p = field_64 (p, (guint64) sample->sigma_ns);
  p = field_64 (p, (guint64) sample->bias_ns);
  p = field_64 (p, sample->flow);
  p = field_32 (p, (guint32) path_id);
  p = field_32 (p, sample->profile_id);
  p = field_16 (p, (guint16) part);
  p = field_16 (p, sample->flags);
  p = field_16 (p, sample->kind);
  return field_16 (p, sample->proto);
}

guint8 *
owd_copy_put_excess (guint8 *p, const OwdSample *sample, gint16 part, gint32 path_id, guint64 number)
{
  p = owd_put_16 (p, EXCESS_FIELDS);
  p = field_64 (p, (guint64) (owd_copy_floor_us (sample->ts) - OWD_PG_EPOCH_US));
  p = field_64 (p, sample->seq);
  p = field_64 (p, (guint64) sample->owd_ns);
  p = field_64 (p, (guint64) sample->lo_ns);
  p = field_64 (p, (guint64) sample->hi_ns);
  p = field_64 (p, (guint64) sample->sigma_ns);
  p = field_64 (p, (guint64) sample->bias_ns);
  p = field_32 (p, (guint32) path_id);
  p = field_64 (p, number);
  return field_16 (p, (guint16) part);
}

guint8 *
owd_copy_put_count (guint8 *p, const OwdCount *count, gint16 part, gint32 path_id)
{
  p = owd_put_16 (p, COUNT_FIELDS);
  p = field_64 (p, (guint64) (owd_copy_floor_us (count->ts) - OWD_PG_EPOCH_US));
  p = field_64 (p, count->sent);
  p = field_64 (p, count->lost);
  p = field_64 (p, count->late);
  p = field_32 (p, (guint32) path_id);
  return field_16 (p, (guint16) part);
}

guint8 *
owd_copy_put_tail (guint8 *p)
{
  return owd_put_16 (p, 0xffff);
}
