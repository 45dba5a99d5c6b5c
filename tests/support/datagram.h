/* SPDX-License-Identifier: Apache-2.0
 *
 * Export datagrams in a few lines, right or wrong on purpose:
 *
 *   Dgram d;
 *   dgram_ipfix (&d, 1000, 0, 1);
 *   dgram_template (&d, 10, 256, 3, (DgramField[]){ { 8, 4, 0 }, { 12, 4, 0 }, { 2, 8, 0 } });
 *   dgram_set (&d, 256);
 *   dgram_addr (&d, "192.0.2.1"); dgram_addr (&d, "192.0.2.2"); dgram_u64 (&d, 7);
 *   dgram_finish (&d);
 *
 * A datagram that does not fit the buffer ends the test.
 */
#ifndef DATAGRAM_H
#define DATAGRAM_H

#include <glib.h>

typedef struct {
  guint8 b[9000];
  gsize len;
  gsize set; /* where the open set begins; 0: none */
} Dgram;

typedef struct {
  guint16 id, len;
  guint32 pen; /* IPFIX only */
} DgramField;

#define DGRAM_VARLEN 0xffff

void dgram_v5 (Dgram *d, guint count, guint32 uptime_ms, guint32 export_s, guint32 export_ns, guint32 seq,
               guint engine);
void dgram_v9 (Dgram *d, guint32 uptime_ms, guint32 export_s, guint32 seq, guint32 domain);
void dgram_ipfix (Dgram *d, guint32 export_s, guint32 seq, guint32 domain);

void dgram_u8 (Dgram *d, guint v);
void dgram_u16 (Dgram *d, guint v);
void dgram_u32 (Dgram *d, guint32 v);
void dgram_u64 (Dgram *d, guint64 v);
void dgram_bytes (Dgram *d, const void *p, gsize n);
void dgram_addr (Dgram *d, const char *text); /* 4 or 16 bytes */
void dgram_v5_record (Dgram *d, const char *src, const char *dst, guint32 first_ms, guint32 last_ms);

/* Opens a set; closes the one before. */
void dgram_set (Dgram *d, guint id);
/* Closes the set with a length that is off by so much. */
void dgram_close (Dgram *d, int off);
/* A set of one template; version 9 or 10. */
void dgram_template (Dgram *d, guint version, guint id, guint n, const DgramField *fields);
/* The same for options; the first n_scope fields are the scope. */
void dgram_options_template (Dgram *d, guint version, guint id, guint n_scope, guint n, const DgramField *fields);
/* Without a set of its own. */
void dgram_template_record (Dgram *d, guint id, guint n, const DgramField *fields);
/* Closes what is open, fills in the message's length (IPFIX) or count. */
void dgram_finish (Dgram *d);

#endif
