/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of owd.rollup and owd.edge in PostgreSQL's binary formats: COPY in, query results out. An array is the number of
 * its dimensions, a flag for NULLs, the type of its elements, length and lower bound of each dimension, then length and
 * value of each element (array_send); numeric is digits of base 10,000 with the power of the first one (numeric_send).
 *
 * One table says which column holds which member of a bin, for both directions; rows of owd.edge have some of them.
 */
#include "store-private.h"

#include "owd-wire.h"

#include <stddef.h>
#include <string.h>

#define ARRAY_HEAD_BYTES 24 /* with the field's own length */
#define NUMERIC_BYTES (8 + 2 * MAX_DIGITS)
#define MAX_DIGITS 15 /* of base 10,000: 2^192 has 58 decimal digits */
#define INT2_OID 21
#define INT8_OID 20
#define NUMERIC_OID 1700

typedef enum {
  KIND_AT,
  KIND_COUNT, /* guint64 */
  KIND_NS,    /* gint64 */
  KIND_BUCKET,
  KIND_SUM,
  KIND_SQUARES,
  KIND_HIST,
} Kind;

typedef struct {
  Kind kind;
  gsize offset; /* in OwdBin */
  gboolean edge;
} Column;

/* In the order of OWD_BIN_COLUMNS and OWD_EDGE_COLUMNS, behind width, path_id, start. */
static const Column columns[] = {
  { KIND_AT, offsetof (OwdBin, at), TRUE },
  { KIND_COUNT, offsetof (OwdBin, n), TRUE },
  { KIND_COUNT, offsetof (OwdBin, kept), FALSE },
  { KIND_COUNT, offsetof (OwdBin, sent), TRUE },
  { KIND_COUNT, offsetof (OwdBin, lost), TRUE },
  { KIND_COUNT, offsetof (OwdBin, late), FALSE },
  { KIND_NS, offsetof (OwdBin, min_ns), TRUE },
  { KIND_NS, offsetof (OwdBin, max_ns), TRUE },
  { KIND_NS, offsetof (OwdBin, first_ns), FALSE },
  { KIND_NS, offsetof (OwdBin, last_ns), FALSE },
  { KIND_NS, offsetof (OwdBin, least_hi_ns), FALSE },
  { KIND_BUCKET, offsetof (OwdBin, p[OWD_P05]), FALSE },
  { KIND_BUCKET, offsetof (OwdBin, p[OWD_P50]), FALSE },
  { KIND_BUCKET, offsetof (OwdBin, p[OWD_P95]), FALSE },
  { KIND_BUCKET, offsetof (OwdBin, p[OWD_P99]), FALSE },
  { KIND_SUM, offsetof (OwdBin, sum_ns), TRUE },
  { KIND_SUM, offsetof (OwdBin, lo_ns), FALSE },
  { KIND_SUM, offsetof (OwdBin, hi_ns), FALSE },
  { KIND_SUM, offsetof (OwdBin, bias_ns), FALSE },
  { KIND_SUM, offsetof (OwdBin, ipdv_ns), FALSE },
  { KIND_SQUARES, offsetof (OwdBin, square_ns2), FALSE },
  { KIND_SQUARES, offsetof (OwdBin, sigma_ns2), TRUE },
  { KIND_HIST, 0, TRUE },
};

/* ---- writing ------------------------------------------------------------------------------------ */

static const void *
member (const OwdBins *bins, guint i, const Column *c)
{
  return (const guint8 *) &g_array_index (bins->bins, OwdBin, i) + c->offset;
}

/* Columns that say nothing: all samples kept, no packets counted, none late. */
static gboolean
is_null (const OwdBins *bins, const Column *c)
{
  if (c->kind != KIND_COUNT || c->offset == offsetof (OwdBin, n))
    return FALSE;
  for (guint i = 0; i < bins->bins->len; i++) {
    const OwdBin *bin = &g_array_index (bins->bins, OwdBin, i);
    gboolean says = c->offset == offsetof (OwdBin, kept)   ? bin->kept != bin->n
                    : c->offset == offsetof (OwdBin, late) ? bin->late != 0
                                                           : bin->sent != 0;

    if (says)
      return FALSE;
  }
  return TRUE;
}

static guint8 *
put_numeric (guint8 *p, OwdSquares v, gboolean negative)
{
  guint16 digits[MAX_DIGITS + 1];
  guint n = 0, zeros = 0;

  while (v.hi != 0 || v.lo >> 64 != 0) {
    /* v / 10,000, the upper 64 bits first */
    guint64 a = v.hi, b = (guint64) (v.lo >> 64), c = (guint64) v.lo;
    unsigned __int128 rest = a % 10000;

    v.hi = a / 10000;
    rest = rest << 64 | b;
    v.lo = (unsigned __int128) (guint64) (rest / 10000) << 64;
    rest = (rest % 10000) << 64 | c;
    v.lo |= (guint64) (rest / 10000);
    digits[n++] = (guint16) (rest % 10000);
  }
  for (guint64 small = (guint64) v.lo; small > 0; small /= 10000)
    digits[n++] = (guint16) (small % 10000);
  while (zeros < n && digits[zeros] == 0)
    zeros++;
  p = owd_put_32 (p, 8 + 2 * (n - zeros));
  p = owd_put_16 (p, (guint16) (n - zeros));
  p = owd_put_16 (p, (guint16) (n > 0 ? n - 1 : 0));
  p = owd_put_16 (p, negative ? 0x4000 : 0);
  p = owd_put_16 (p, 0);
  while (n > zeros)
    p = owd_put_16 (p, digits[--n]);
  return p;
}

static guint8 *
put_element (guint8 *p, Kind kind, const void *from)
{
  guint64 v;
  guint32 at;
  guint16 bucket;
  OwdSum sum;
  OwdSquares squares;

  switch (kind) {
  case KIND_AT:
    memcpy (&at, from, sizeof at);
    return owd_put_16 (owd_put_32 (p, 2), (guint16) at);
  case KIND_BUCKET:
    memcpy (&bucket, from, sizeof bucket);
    return owd_put_16 (owd_put_32 (p, 2), bucket);
  case KIND_COUNT:
  case KIND_NS:
    memcpy (&v, from, sizeof v);
    return owd_put_64 (owd_put_32 (p, 8), v);
  case KIND_SUM:
    memcpy (&sum, from, sizeof sum);
    return put_numeric (p, (OwdSquares){ .lo = sum < 0 ? -(unsigned __int128) sum : (unsigned __int128) sum }, sum < 0);
  case KIND_SQUARES:
    memcpy (&squares, from, sizeof squares);
    return put_numeric (p, squares, FALSE);
  case KIND_HIST:
    break;
  }
  return p;
}

/* at << 48 | (bucket + 32768) << 32 | count, count in pieces of 32 bits. */
static guint8 *
put_hist (guint8 *p, const OwdBins *bins, guint32 *ret_n)
{
  for (guint i = 0; i < bins->bins->len; i++) {
    const OwdBin *bin = &g_array_index (bins->bins, OwdBin, i);

    for (guint32 k = 0; k < bin->n_entries; k++) {
      const OwdEntry *e = &g_array_index (bins->entries, OwdEntry, bin->entries + k);
      guint64 head = (guint64) bin->at << 48 | (guint64) (e->bucket + 32768) << 32, left = e->count;

      /* no bin has so many samples that this would not end soon */
      for (; left > 0; ++*ret_n) {
        guint64 some = MIN (left, G_MAXUINT32);

        p = owd_put_64 (owd_put_32 (p, 8), head | some);
        left -= some;
      }
    }
  }
  return p;
}

static guint
hist_entries (const OwdBins *bins)
{
  guint n = 0;

  for (guint i = 0; i < bins->entries->len; i++)
    n += 1 + (guint) (g_array_index (bins->entries, OwdEntry, i).count / G_MAXUINT32);
  return n;
}

static guint8 *
put_array (guint8 *p, const OwdBins *bins, const Column *c)
{
  static const guint32 oids[] = { INT2_OID, INT8_OID, INT8_OID, INT2_OID, NUMERIC_OID, NUMERIC_OID, INT8_OID };
  guint8 *head = p;
  guint32 n = bins->bins->len;

  p += ARRAY_HEAD_BYTES;
  if (c->kind == KIND_HIST) {
    n = 0;
    p = put_hist (p, bins, &n);
  } else {
    for (guint i = 0; i < bins->bins->len; i++)
      p = put_element (p, c->kind, member (bins, i, c));
  }
  if (n == 0)
    p = head + 16; /* no dimension, no bounds */
  head = owd_put_32 (head, (guint32) (p - head - 4));
  head = owd_put_32 (head, n > 0);
  head = owd_put_32 (head, 0);
  head = owd_put_32 (head, oids[c->kind]);
  if (n > 0)
    owd_put_32 (owd_put_32 (head, n), 1);
  return p;
}

static void
put_row (GByteArray *out, const OwdBins *bins, gboolean edge, gint32 width, gint32 path_id, gint64 start_us)
{
  gsize at = out->len, elements = bins->bins->len;
  gsize most = 64 + G_N_ELEMENTS (columns) * ARRAY_HEAD_BYTES + elements * G_N_ELEMENTS (columns) * (4 + NUMERIC_BYTES)
               + (gsize) hist_entries (bins) * 12;
  guint n = 3;
  guint8 *p;

  if (elements == 0)
    return;
  g_byte_array_set_size (out, (guint) (at + most));
  p = out->data + at + 2;
  p = owd_put_32 (owd_put_32 (p, 4), (guint32) width);
  p = owd_put_32 (owd_put_32 (p, 4), (guint32) path_id);
  p = owd_put_64 (owd_put_32 (p, 8), (guint64) (start_us - OWD_PG_EPOCH_US));
  for (guint c = 0; c < G_N_ELEMENTS (columns); c++)
    if (columns[c].edge || !edge) {
      p = is_null (bins, &columns[c]) ? owd_put_32 (p, G_MAXUINT32) : put_array (p, bins, &columns[c]);
      n++;
    }
  (void) owd_put_16 (out->data + at, (guint16) n);
  g_byte_array_set_size (out, (guint) (p - out->data));
}

void
owd_bins_put_row (GByteArray *out, const OwdBins *bins, gint32 width, gint32 path_id, gint64 start_us)
{
  put_row (out, bins, FALSE, width, path_id, start_us);
}

void
owd_bins_put_edge (GByteArray *out, const OwdBins *bins, gint32 width, gint32 path_id, gint64 start_us)
{
  put_row (out, bins, TRUE, width, path_id, start_us);
}

/* ---- reading ------------------------------------------------------------------------------------ */

static OwdWire
cell (const PGresult *res, int row, int column)
{
  return owd_wire (PQgetvalue (res, row, column), (gsize) PQgetlength (res, row, column));
}

/* Number of elements. */
static guint32
read_head (OwdWire *w)
{
  guint32 dimensions = owd_wire_u32 (w), n;

  (void) owd_wire_take (w, 8);
  if (w->failed || dimensions == 0)
    return 0;
  n = owd_wire_u32 (w);
  (void) owd_wire_take (w, 4);
  return n;
}

static gboolean
read_numeric (OwdWire *w, OwdSquares *ret, gboolean *ret_negative)
{
  guint n = owd_wire_u16 (w), weight = owd_wire_u16 (w), sign = owd_wire_u16 (w);
  OwdSquares v = { 0 };

  (void) owd_wire_u16 (w);
  if (n > MAX_DIGITS || weight >= MAX_DIGITS || (n > 0 && n > weight + 1))
    return FALSE;
  for (guint i = 0; n > 0 && i <= weight; i++) {
    unsigned __int128 low = (v.lo & G_MAXUINT64) * 10000 + (i < n ? owd_wire_u16 (w) : 0);
    unsigned __int128 high = (v.lo >> 64) * 10000 + (low >> 64);

    v.hi = v.hi * 10000 + (guint64) (high >> 64);
    v.lo = high << 64 | (guint64) low;
  }
  *ret = v;
  *ret_negative = sign == 0x4000;
  return !w->failed;
}

static gboolean
read_element (OwdWire *w, Kind kind, guint8 *to)
{
  guint64 v;
  guint32 at;
  guint16 bucket;
  OwdSquares squares;
  OwdSum sum;
  gboolean negative;

  switch (kind) {
  case KIND_AT:
    at = owd_wire_u16 (w);
    memcpy (to, &at, sizeof at);
    break;
  case KIND_BUCKET:
    bucket = owd_wire_u16 (w);
    memcpy (to, &bucket, sizeof bucket);
    break;
  case KIND_COUNT:
  case KIND_NS:
    v = owd_wire_u64 (w);
    memcpy (to, &v, sizeof v);
    break;
  case KIND_SUM:
    if (!read_numeric (w, &squares, &negative))
      return FALSE;
    sum = negative ? -(OwdSum) squares.lo : (OwdSum) squares.lo;
    memcpy (to, &sum, sizeof sum);
    break;
  case KIND_SQUARES:
    if (!read_numeric (w, &squares, &negative))
      return FALSE;
    memcpy (to, &squares, sizeof squares);
    break;
  case KIND_HIST:
    return FALSE;
  }
  return !w->failed;
}

static gboolean
read_column (OwdWire w, OwdBins *bins, guint from, const Column *c)
{
  guint32 n = read_head (&w);

  if (n != bins->bins->len - from)
    return FALSE;
  for (guint i = from; i < bins->bins->len; i++) {
    OwdWire element = owd_wire_sub (&w, owd_wire_u32 (&w));

    if (!read_element (&element, c->kind, (guint8 *) &g_array_index (bins->bins, OwdBin, i) + c->offset))
      return FALSE;
  }
  return !w.failed;
}

static gboolean
read_hist (OwdWire w, OwdBins *bins, guint from)
{
  guint32 n = read_head (&w);
  guint i = from;

  for (; n > 0; n--) {
    guint64 v;
    OwdEntry entry;
    OwdBin *bin;

    (void) owd_wire_u32 (&w);
    v = owd_wire_u64 (&w);
    entry = (OwdEntry){ .bucket = (gint16) ((gint32) (v >> 32 & 0xffff) - 32768), .count = v & G_MAXUINT32 };
    while (i < bins->bins->len && g_array_index (bins->bins, OwdBin, i).at < v >> 48)
      i++;
    bin = &g_array_index (bins->bins, OwdBin, i);
    if (w.failed || i == bins->bins->len || bin->at != v >> 48 || ABS (entry.bucket) > OWD_BUCKET_MAX)
      return FALSE;
    if (bin->n_entries++ == 0)
      bin->entries = bins->entries->len;
    g_array_append_val (bins->entries, entry);
  }
  return TRUE;
}

static gboolean
get_row (OwdBins *bins, const PGresult *res, int row, int column, gboolean edge, guint32 at_offset)
{
  OwdWire at = cell (res, row, column);
  guint from = bins->bins->len;
  guint32 n = read_head (&at);
  int k = column;

  if (n == 0 || n > G_MAXINT16)
    return FALSE;
  g_array_set_size (bins->bins, from + n);
  memset (&g_array_index (bins->bins, OwdBin, from), 0, n * sizeof (OwdBin));
  for (guint c = 0; c < G_N_ELEMENTS (columns); c++) {
    if (edge && !columns[c].edge)
      continue;
    if (columns[c].kind == KIND_HIST) {
      if (!read_hist (cell (res, row, k), bins, from))
        return FALSE;
    } else if (!PQgetisnull (res, row, k)) {
      if (!read_column (cell (res, row, k), bins, from, &columns[c]))
        return FALSE;
    } else if (columns[c].offset == offsetof (OwdBin, kept)) {
      for (guint i = from; i < bins->bins->len; i++)
        g_array_index (bins->bins, OwdBin, i).kept = g_array_index (bins->bins, OwdBin, i).n;
    }
    k++;
  }
  for (guint i = from; i < bins->bins->len; i++)
    g_array_index (bins->bins, OwdBin, i).at += at_offset;
  return TRUE;
}

gboolean
owd_bins_get_row (OwdBins *bins, const PGresult *res, int row, int column, guint32 at_offset)
{
  return get_row (bins, res, row, column, FALSE, at_offset);
}

gboolean
owd_bins_get_edge (OwdBins *bins, const PGresult *res, int row, int column, guint32 at_offset)
{
  return get_row (bins, res, row, column, TRUE, at_offset);
}
