/* SPDX-License-Identifier: Apache-2.0
 *
 * What never arrived, from sequence numbers: v9 counts datagrams, v5 and IPFIX count records.
 *
 * A gap counts as loss until what belongs there turns up late. A number that was seen shortly before is a duplicate;
 * one far off is a new beginning. Datagrams that brought no flow record (templates, options) may not be in the log:
 * those of v9 may then be taken for lost, as are IPFIX options records; the report says "at most".
 */
#include "internal.h"

#include <math.h>

#define FAR 100000 /* units that a gap may have */
#define NEAR_DATAGRAMS 1024
#define NEAR_RECORDS 32768

static const SeenHeader *
find (const Sequence *self, const OwdHeader *h, gboolean same_recv)
{
  for (guint i = 1; i <= MIN (self->n, SEQUENCE_RECENT); i++) {
    const SeenHeader *s = &self->recent[(self->n - i) % SEQUENCE_RECENT];

    if (s->seq == h->seq && s->export_s == h->export_s && (!same_recv || s->recv_ns == h->recv_ns))
      return s;
  }
  return NULL;
}

static void
remember (Sequence *self, const OwdHeader *h, gboolean duplicate)
{
  self->newest_ns = self->n == 0 ? h->recv_ns : MAX (self->newest_ns, h->recv_ns);
  self->recent[self->n++ % SEQUENCE_RECENT]
      = (SeenHeader){ .recv_ns = h->recv_ns, .seq = h->seq, .export_s = h->export_s, .duplicate = duplicate };
}

/* Closes the account of the datagram whose records have all come. */
static void
settle (Sequence *self)
{
  guint32 units = self->counts_datagrams ? 1 : self->records;

  self->got += units;
  if (self->late) {
    self->late_units += units;
    self->missing -= MIN (self->missing, units);
  } else {
    self->next += units;
  }
}

Seen
sequence_header (Sequence *self, const OwdHeader *header, gboolean restarted)
{
  const SeenHeader *seen;
  gint32 ahead, near;

  self->counts_datagrams = header->key.version == 9;
  if (self->n == 0) {
    self->next = header->seq;
    remember (self, header, FALSE);
    return SEEN_NEW;
  }
  if (header->recv_ns <= self->newest_ns && (seen = find (self, header, TRUE)) != NULL)
    return seen->duplicate ? SEEN_DUPLICATE : SEEN_AGAIN;
  near = self->counts_datagrams ? NEAR_DATAGRAMS : NEAR_RECORDS;
  ahead = (gint32) (header->seq - self->next - (self->late ? 0 : self->counts_datagrams ? 1 : self->records));
  if (!restarted && ahead < 0 && ahead > -near && find (self, header, FALSE) != NULL) {
    self->duplicates++;
    remember (self, header, TRUE);
    return SEEN_DUPLICATE;
  }
  settle (self);
  self->records = 0;
  self->late = FALSE;
  if (restarted || ahead <= -near || ahead > FAR) {
    self->resets++;
    self->next = header->seq;
  } else if (ahead < 0) {
    self->late = TRUE;
  } else {
    self->gaps += ahead > 0;
    self->missing += (guint32) ahead;
    self->next = header->seq;
  }
  remember (self, header, FALSE);
  return SEEN_NEW;
}

void
sequence_records (Sequence *self, guint32 records, gboolean current)
{
  if (current) {
    self->records += records;
  } else if (!self->counts_datagrams) {
    guint64 late = MIN (self->missing, records);

    self->missing -= late;
    self->got += late;
  }
}

void
sequence_merge (Sequence *self, const Sequence *later)
{
  Sequence sum = *later;

  sum.got += self->got;
  sum.missing += self->missing;
  sum.gaps += self->gaps;
  sum.late_units += self->late_units;
  sum.resets += self->resets;
  sum.duplicates += self->duplicates;
  *self = sum;
}

void
sequence_summary (const Sequence *self, OwdEstimate *ret_lost, OwdEstimate *ret_loss)
{
  Sequence s = *self;
  guint64 total;
  double lost;

  if (self->n < 2) {
    *ret_lost = *ret_loss = estimate_unknown ("too few datagrams", self->n);
    return;
  }
  settle (&s);
  lost = (double) s.missing;
  total = MAX (s.got + s.missing, 1);
  *ret_lost = estimate_bound (lost, 0, lost, s.got + s.missing);
  *ret_loss = estimate_bound (lost / (double) total, 0, lost / (double) total, total);
}
