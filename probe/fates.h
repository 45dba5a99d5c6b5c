/* SPDX-License-Identifier: Apache-2.0
 *
 * On which of the two ways packets were lost. The numbers of a counting reflector leave it open: a gap in them is a
 * lost reply to a packet, or a lost reply to a copy of a packet. Who saw the packets arrive knows; so our reflector
 * keeps a log of arrivals, and tells its sums whenever a query asks for them (arrivals TLV). The sender's ledger holds
 * them against what it has sent and what was answered:
 *
 *   lost up   = left this machine - arrived        lost down = arrived - answered
 *
 * Sums, not lists: one report that gets through tells of all packets before it, however many replies were lost. And
 * queries, not measured packets: those stay as the user wants them, whoever answers. A query names the first packet
 * that the log is to hold; where its report comes before that packet leaves, none has arrived unseen. The first query
 * goes before the first measured packet, the last ones when no reply is waited for any more.
 */
#ifndef OWD_PROBE_FATES_H
#define OWD_PROBE_FATES_H

#include "owd-probe.h"

/* ---- at the reflector -------------------------------------------------------------------------- */

enum { OWD_PROBE_ARRIVALS_WINDOW = 1024 }; /* packets below the highest whose copies are recognised */

/* All zero: not asked for. */
typedef struct {
  gboolean open;
  OwdProbeArrivals sums;
  guint64 seen[OWD_PROBE_ARRIVALS_WINDOW / 64]; /* a bit each, by number */
} OwdProbeArrivalLog;

/* asked: run and first are the sender's. life: of a log that begins by this; where the run is the same, it goes on. */
void owd_probe_arrivals_ask (OwdProbeArrivalLog *self, const OwdProbeArrivals *asked, guint32 life);
/* A packet that was no query. */
void owd_probe_arrivals_note (OwdProbeArrivalLog *self, guint32 seq);

/* ---- at the sender: what the reports tell ------------------------------------------------------ */

/* A packet, query or not, whose fate is settled, and what came before it. */
typedef struct {
  guint64 left_before, lost_before; /* packets that left this machine, and of these the ones without a timely reply */
  gboolean left, lost;              /* itself; a query is neither */
  guint64 close;                    /* lost ones sent less than the timeout before it: they may have arrived since */
} OwdProbeSettled;

/* A query that was answered. */
typedef struct {
  guint32 number, peer_seq;
  OwdTime t2;
  guint64 behind; /* packets with lower numbers, answered, that arrived after it */
} OwdProbeQuery;

/* A report, and the newest packet that it tells of: the query, or one that overtook it. */
typedef struct {
  gboolean used;
  guint32 through;
  OwdProbeQuery query;
  OwdProbeArrivals sums;
} OwdProbeReport;

/* One life of the reflector's log, from its first packet to its end by a restart, or eviction. */
typedef struct {
  gboolean used, begun;
  guint32 life, first;
  guint64 left_before, lost_before; /* first */
  OwdProbeReport waiting, newest;   /* for packets to be settled; waiting is the older one, or the same */
  OwdProbeReport known;             /* settled, and then: */
  guint64 left, lost, close;        /* through known.through, since the beginning of the session */
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

typedef enum {
  OWD_PROBE_REPORT_TAKEN,
  OWD_PROBE_REPORT_NEW_LIFE, /* and a packet may have arrived unseen: nothing can be made of it */
  OWD_PROBE_REPORT_NONSENSE, /* or of a run that is over */
} OwdProbeReportVerdict;

/* A report that has come, as the answer to `query`. unsent: no measured packet of this number or a higher one has left;
 * next: no packet at all. */
OwdProbeReportVerdict owd_probe_ledger_report (OwdProbeLedger *self, const OwdProbeArrivals *report,
                                               const OwdProbeQuery *query, guint32 unsent, guint32 next);
/* A measured packet was answered, in time or late, by reply peer_seq; it arrived there at t2. */
void owd_probe_ledger_answered (OwdProbeLedger *self, guint32 seq, guint32 peer_seq, OwdTime t2);
/* Does it wait for this packet to be settled? */
gboolean owd_probe_ledger_wants (const OwdProbeLedger *self, guint32 seq);
void owd_probe_ledger_settled (OwdProbeLedger *self, guint32 seq, const OwdProbeSettled *settled);
/* unstamped: packets that may or may not have left this machine, whatever `settled` said of them. Returns: FALSE where
 * no report tells anything. */
gboolean owd_probe_ledger_fates (const OwdProbeLedger *self, guint64 unstamped, OwdProbeFates *ret_fates);

/* ---- at the sender: when to ask ---------------------------------------------------------------- */

typedef enum {
  OWD_PROBE_ASKING_OFF,
  OWD_PROBE_ASKING_OPENING,   /* nothing measured has left; it waits for the first report */
  OWD_PROBE_ASKING_MEASURING, /* now and then, so that a reflector that begins anew does not take all with it */
  OWD_PROBE_ASKING_CLOSING,   /* everything measured is answered or given up */
} OwdProbeAskingPhase;

/* All zero: never asks. Times are of any clock that is never set. */
typedef struct {
  OwdProbeAskingPhase phase;
  gint64 timeout_ns;          /* of replies */
  OwdTime next, give_up;      /* of this phase; next 0: it has not begun */
  gint64 gap_ns;              /* to the next query */
  guint32 run, first;         /* of the log that is asked for */
  guint32 ahead;              /* packets until `first`, where a log is begun under way */
  guint32 closing;            /* number of the first closing query */
  gboolean open;              /* the log of this run can be relied on */
  gboolean heard;             /* a report has come, ever */
  guint64 measured, answered; /* packets at the last query */
  guint unheard;              /* queries without a report while packets were answered */
  OwdTime deaf;               /* the first of them */
} OwdProbeAsker;

/* Where a session stands. */
typedef struct {
  guint32 next, unsent; /* as above */
  guint64 measured, answered;
} OwdProbeAskerView;

/* run: random. timeout_ns: of replies. */
void owd_probe_asker_init (OwdProbeAsker *self, guint32 run, gint64 timeout_ns);
/* Is a query due? Returns: TRUE with run and first set for it. */
gboolean owd_probe_asker_due (OwdProbeAsker *self, OwdTime now, const OwdProbeAskerView *view);
/* An answer to a query without a report: the reflector knows nothing of them. */
void owd_probe_asker_refused (OwdProbeAsker *self);
void owd_probe_asker_reported (OwdProbeAsker *self, guint32 query, OwdProbeReportVerdict verdict);
/* The last measured packet is answered or given up. */
void owd_probe_asker_close (OwdProbeAsker *self);

/* ---- without reports --------------------------------------------------------------------------- */

/* Something that shows in replies was seen so often; each reply is lost with probability q. Returns: how much oftener
 * it may have happened unseen, in all but one of a thousand cases, and not beyond `most`; 0 where it was never seen. */
guint64 owd_probe_hidden (guint64 seen, double q, guint64 most);

#endif
