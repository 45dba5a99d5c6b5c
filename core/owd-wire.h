/* SPDX-License-Identifier: Apache-2.0
 *
 * Bounded cursor over untrusted bytes in network order. The first failure sticks: later reads give zeros and the
 * cursor does not move, so one check of `failed` after a group of reads is enough. Never reads outside [p, end).
 */
#ifndef OWD_WIRE_H
#define OWD_WIRE_H

#include <glib.h>
#include <string.h>

G_BEGIN_DECLS

typedef struct {
  const guint8 *p;   /* next byte */
  const guint8 *end; /* one past the last */
  gboolean failed;   /* set by the first read past the end; never cleared */
} OwdWire;

static inline OwdWire
owd_wire (const void *data, gsize len)
{
  return (OwdWire){ .p = data, .end = (const guint8 *) data + len, .failed = FALSE };
}

static inline gsize
owd_wire_left (const OwdWire *w)
{
  return (gsize) (w->end - w->p);
}

/* The next n bytes, or NULL and failed. */
static inline const guint8 *
owd_wire_take (OwdWire *w, gsize n)
{
  const guint8 *p = w->p;

  if (G_UNLIKELY (w->failed || owd_wire_left (w) < n)) {
    w->failed = TRUE;
    return NULL;
  }
  w->p += n;
  return p;
}

/* Sub-cursor over the next n bytes; the parent moves behind them. On failure: an empty, failed cursor. */
static inline OwdWire
owd_wire_sub (OwdWire *w, gsize n)
{
  const guint8 *p = owd_wire_take (w, n);

  return (OwdWire){ .p = p, .end = p != NULL ? p + n : NULL, .failed = p == NULL };
}

/* Unsigned big-endian integer of n bytes at p; n 0..8. The caller has checked the bounds. */
static inline guint64
owd_be (const guint8 *p, gsize n)
{
  guint64 v = 0;

  for (gsize i = 0; i < n; i++)
    v = v << 8 | p[i];
  return v;
}

static inline guint16
owd_be16 (const guint8 *p)
{
  guint16 v;
  memcpy (&v, p, sizeof v);
  return GUINT16_FROM_BE (v);
}

static inline guint32
owd_be32 (const guint8 *p)
{
  guint32 v;
  memcpy (&v, p, sizeof v);
  return GUINT32_FROM_BE (v);
}

static inline guint64
owd_be64 (const guint8 *p)
{
  guint64 v;
  memcpy (&v, p, sizeof v);
  return GUINT64_FROM_BE (v);
}

static inline guint8
owd_wire_u8 (OwdWire *w)
{
  const guint8 *p = owd_wire_take (w, 1);
  return p != NULL ? *p : 0;
}

static inline guint16
owd_wire_u16 (OwdWire *w)
{
  const guint8 *p = owd_wire_take (w, 2);
  return p != NULL ? owd_be16 (p) : 0;
}

static inline guint32
owd_wire_u32 (OwdWire *w)
{
  const guint8 *p = owd_wire_take (w, 4);
  return p != NULL ? owd_be32 (p) : 0;
}

static inline guint64
owd_wire_u64 (OwdWire *w)
{
  const guint8 *p = owd_wire_take (w, 8);
  return p != NULL ? owd_be64 (p) : 0;
}

G_END_DECLS

#endif
