/* SPDX-License-Identifier: Apache-2.0
 *
 * On which of the two ways packets were lost. The numbers of a counting reflector leave it open: a gap in them is a
 * lost reply to a packet, or a lost reply to a copy of a packet. Who saw the packets arrive knows; so our reflector
 * keeps a log of arrivals and reports its sums with every reply (arrivals TLV), and the sender's ledger holds them
 * against what it has sent and what was answered:
 *
 *   lost up   = left this machine - arrived        lost down = arrived - answered
 *
 * Sums, not lists: one report that gets through tells of all packets before it, however many replies were lost.
 */
#ifndef OWD_PROBE_FATES_H
#define OWD_PROBE_FATES_H

#include "owd-probe.h"

/* ---- at the reflector -------------------------------------------------------------------------- */

enum { OWD_PROBE_ARRIVALS_WINDOW = 1024 }; /* packets below the highest whose copies are recognised */

/* All zero: nothing has arrived yet. */
typedef struct {
  OwdProbeArrivals sums;
  guint64 seen[OWD_PROBE_ARRIVALS_WINDOW / 64]; /* a bit each, by number */
} OwdProbeArrivalLog;

void owd_probe_arrivals_note (OwdProbeArrivalLog *self, guint32 seq);

/* ---- at the sender ----------------------------------------------------------------------------- */

/* A packet whose fate is settled, and what came before it. */
typedef struct {
  guint64 left_before, lost_before; /* packets that left this machine, and of these the ones without a timely reply */
  gboolean left, lost;              /* itself */
  guint64 close;                    /* lost ones that were sent so shortly before it that they may only be slower: */
  gint64 spread_ns;                 /* by no more than this */
  OwdTime t1;
} OwdProbeSettled;

/* One life of the reflector's log: from its first packet to its restart, or eviction. */
typedef struct {
  gboolean used, begun;
  OwdProbeArrivals report; /* the newest */
  OwdProbeArrivals known;  /* the newest whose highest packet is settled */
  guint64 left_before, lost_before;
  guint64 left, lost, close; /* through known.highest; since the beginning of the session */
  /* There was another life before: packets sent shortly after the first one of this may have arrived in that, unheard.
   */
  gboolean later, opened; /* opened: a packet sent later than shortly after is settled */
  OwdTime first_t1;
  guint64 lost_opening; /* before that one */
} OwdProbeLife;

typedef struct {
  guint64 lost;              /* among the packets that a report tells of, the late ones included */
  guint64 up_lo, up_hi;      /* of these on the way up: not less, not more */
  guint64 copies, reordered; /* on the way up */
} OwdProbeFates;

/* All zero: no report yet. */
typedef struct {
  OwdProbeLife life[2]; /* of now, and the one before: its last packets may not be settled yet */
  OwdProbeFates past;   /* of lives that are over */
  gboolean told;        /* a life is among them */
} OwdProbeLedger;

/* A report that has come; sender's next number is `next`. Nonsense is left out. */
void owd_probe_ledger_report (OwdProbeLedger *self, const OwdProbeArrivals *report, guint32 next);
/* Does it wait for this packet to be settled? */
gboolean owd_probe_ledger_wants (const OwdProbeLedger *self, guint32 seq);
void owd_probe_ledger_settled (OwdProbeLedger *self, guint32 seq, const OwdProbeSettled *settled);
/* unstamped: packets that may or may not have left this machine, whatever `settled` said of them. Returns: FALSE where
 * no report tells anything. */
gboolean owd_probe_ledger_fates (const OwdProbeLedger *self, guint64 unstamped, OwdProbeFates *ret_fates);

/* ---- without reports --------------------------------------------------------------------------- */

/* Something that shows in replies was seen so often; each reply is lost with probability q. Returns: how much oftener
 * it may have happened unseen, in all but one of a thousand cases, and not beyond `most`; 0 where it was never seen. */
guint64 owd_probe_hidden (guint64 seen, double q, guint64 most);

#endif
