/* SPDX-License-Identifier: Apache-2.0 */
#include "datagram.h"

#include "owd-flow.h"
#include "owd-wire.h"

#include <string.h>

void
dgram_bytes (Dgram *d, const void *p, gsize n)
{
  g_assert_cmpuint (n, <=, sizeof d->b - d->len);
  memcpy (d->b + d->len, p, n);
  d->len += n;
}

static void
put (Dgram *d, guint64 v, guint n)
{
  for (guint i = n; i-- > 0;) {
    guint8 byte = (guint8) (v >> 8 * i);

    dgram_bytes (d, &byte, 1);
  }
}

void
dgram_u8 (Dgram *d, guint v)
{
  put (d, v, 1);
}

void
dgram_u16 (Dgram *d, guint v)
{
  put (d, v, 2);
}

void
dgram_u32 (Dgram *d, guint32 v)
{
  put (d, v, 4);
}

void
dgram_u64 (Dgram *d, guint64 v)
{
  put (d, v, 8);
}

void
dgram_addr (Dgram *d, const char *text)
{
  OwdAddr addr;

  g_assert_true (owd_addr_parse (text, &addr));
  if (owd_addr_is_v4 (&addr))
    dgram_bytes (d, addr.b + 12, 4);
  else
    dgram_bytes (d, addr.b, 16);
}

static void
patch16 (Dgram *d, gsize at, gsize v)
{
  d->b[at] = (guint8) (v >> 8);
  d->b[at + 1] = (guint8) v;
}

void
dgram_v5 (Dgram *d, guint count, guint32 uptime_ms, guint32 export_s, guint32 export_ns, guint32 seq, guint engine)
{
  d->len = d->set = 0;
  dgram_u16 (d, 5);
  dgram_u16 (d, count);
  dgram_u32 (d, uptime_ms);
  dgram_u32 (d, export_s);
  dgram_u32 (d, export_ns);
  dgram_u32 (d, seq);
  dgram_u16 (d, engine);
  dgram_u16 (d, 0); /* sampling */
}

void
dgram_v5_record (Dgram *d, const char *src, const char *dst, guint32 first_ms, guint32 last_ms)
{
  dgram_addr (d, src);
  dgram_addr (d, dst);
  dgram_addr (d, "0.0.0.0");
  dgram_u16 (d, 1);   /* input */
  dgram_u16 (d, 2);   /* output */
  dgram_u32 (d, 10);  /* packets */
  dgram_u32 (d, 999); /* octets */
  dgram_u32 (d, first_ms);
  dgram_u32 (d, last_ms);
  dgram_u16 (d, 1234);
  dgram_u16 (d, 443);
  dgram_u8 (d, 0);
  dgram_u8 (d, 0x1b); /* TCP flags */
  dgram_u8 (d, 6);
  dgram_u8 (d, 0); /* TOS */
  dgram_u32 (d, 0);
  dgram_u32 (d, 0);
}

void
dgram_v9 (Dgram *d, guint32 uptime_ms, guint32 export_s, guint32 seq, guint32 domain)
{
  d->len = d->set = 0;
  dgram_u16 (d, 9);
  dgram_u16 (d, 1);
  dgram_u32 (d, uptime_ms);
  dgram_u32 (d, export_s);
  dgram_u32 (d, seq);
  dgram_u32 (d, domain);
}

void
dgram_ipfix (Dgram *d, guint32 export_s, guint32 seq, guint32 domain)
{
  d->len = d->set = 0;
  dgram_u16 (d, 10);
  dgram_u16 (d, 0);
  dgram_u32 (d, export_s);
  dgram_u32 (d, seq);
  dgram_u32 (d, domain);
}

void
dgram_close (Dgram *d, int off)
{
  if (d->set != 0)
    patch16 (d, d->set + 2, (gsize) ((int) (d->len - d->set) + off));
  d->set = 0;
}

void
dgram_set (Dgram *d, guint id)
{
  dgram_close (d, 0);
  d->set = d->len;
  dgram_u16 (d, id);
  dgram_u16 (d, 0);
}

static void
put_fields (Dgram *d, guint n, const DgramField *fields)
{
  for (guint i = 0; i < n; i++) {
    dgram_u16 (d, fields[i].id | (fields[i].pen != 0 ? 0x8000 : 0));
    dgram_u16 (d, fields[i].len);
    if (fields[i].pen != 0)
      dgram_u32 (d, fields[i].pen);
  }
}

void
dgram_template_record (Dgram *d, guint id, guint n, const DgramField *fields)
{
  dgram_u16 (d, id);
  dgram_u16 (d, n);
  put_fields (d, n, fields);
}

void
dgram_template (Dgram *d, guint version, guint id, guint n, const DgramField *fields)
{
  dgram_set (d, version == 9 ? 0 : 2);
  dgram_template_record (d, id, n, fields);
  dgram_close (d, 0);
}

void
dgram_options_template (Dgram *d, guint version, guint id, guint n_scope, guint n, const DgramField *fields)
{
  dgram_set (d, version == 9 ? 1 : 3);
  dgram_u16 (d, id);
  dgram_u16 (d, version == 9 ? 4 * n_scope : n);
  dgram_u16 (d, version == 9 ? 4 * (n - n_scope) : n_scope);
  put_fields (d, n, fields);
  dgram_close (d, 0);
}

void
dgram_finish (Dgram *d)
{
  dgram_close (d, 0);
  if (owd_be16 (d->b) == 10)
    patch16 (d, 2, d->len);
}
