/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine of the active probe: STAMP packets (RFC 8762, 8972, 9503; TWAMP-Light has the same base packet), the
 * sender's bookkeeping and the reflector's decisions. No sockets, no clock, no allocation after the _new calls.
 *
 *   up     sender to reflector          T1 sender's departure    T2 reflector's arrival
 *   down   reflector to sender          T3 reflector's departure T4 sender's arrival
 *
 * A one-way delay is T2 - T1 or T4 - T3: positive, seen later downstream. With clocks that differ it may come out
 * negative; it is reported as it is, with the interval that both ends' error estimates and causality leave.
 */
#ifndef OWD_PROBE_H
#define OWD_PROBE_H

#include "owd-error.h"
#include "owd-flow.h"
#include "owd-time.h"
#include "owd-wire.h"

G_BEGIN_DECLS

enum {
  OWD_PROBE_PORT = 862,
  OWD_PROBE_BASE_TWAMP = 41, /* a TWAMP reply without padding; what follows in ours is zero */
  OWD_PROBE_BASE = 44,       /* unauthenticated packet without TLVs, both directions */
  OWD_PROBE_BASE_AUTH = 112, /* authenticated, both directions */
  OWD_PROBE_SIZE_MIN = 14,   /* what a user may ask for; the base packet is larger all the same */
  OWD_PROBE_REPLY_MIN = 38,  /* replies of some reflectors end before the TTL */
  OWD_PROBE_MAX = 9000 - 28, /* largest packet that is built or answered */
  OWD_PROBE_MAC = 16,        /* HMAC-SHA-256 cut to this many bytes */
  OWD_PROBE_TTL = 255,       /* what both ends send with (RFC 8762, 4.2.1), so that hops can be counted */
};

/* ---- stamps and error estimates ---------------------------------------------------------------- */

#define OWD_PROBE_NTP_TO_UNIX_S G_GINT64_CONSTANT (2208988800) /* 1900 to 1970 */

/* The two wire formats: NTP (32.32 bits since 1900) or truncated PTP (seconds and ns since 1970). ptp: the Z bit. */
guint64 owd_probe_stamp_encode (OwdTime t, gboolean ptp);
/* near: resolves the 136-year era; any time within 68 years of the truth. */
OwdTime owd_probe_stamp_decode (guint64 wire, gboolean ptp, OwdTime near);

typedef struct {
  gint64 error_ns;       /* half width of the interval around a stamp; -1: the field states nothing believable */
  gboolean synchronised; /* S: the clock claims an external reference */
  gboolean ptp;          /* Z: format of the stamps beside it */
} OwdProbeError;

/* multiplier * 2^(scale-32) s, rounded up; multiplier is never 0. */
guint16 owd_probe_error_encode (const OwdProbeError *error);
/* Multiplier 0 and anything below OWD_PROBE_ERROR_FLOOR_NS are constants that somebody compiled in (0000, 0001, 8001
 * have been seen): they come back as error_ns -1. */
#define OWD_PROBE_ERROR_FLOOR_NS 20
OwdProbeError owd_probe_error_decode (guint16 wire);

/* What the kernel says about its clock: adjtimex's return value, struct timex.status and .maxerror, plus how badly a
 * packet is stamped. An unsynchronised kernel says 16 s; that is passed on, not hidden. */
OwdProbeError owd_probe_error_from_kernel (int adjtimex_state, int status, glong maxerror_us, gint64 noise_ns);

/* ---- keys -------------------------------------------------------------------------------------- */

typedef struct OwdProbeKey OwdProbeKey;

/* id: for messages and for choosing; it never travels. secret: copied, wiped by _free. */
OwdProbeKey *owd_probe_key_new (const char *id, const guint8 *secret, gsize len,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;
void owd_probe_key_free (OwdProbeKey *self); /* NULL is fine */
const char *owd_probe_key_id (const OwdProbeKey *self);
/* HMAC-SHA-256 over a and b, truncated. b may be NULL with b_len 0. */
void owd_probe_key_mac (OwdProbeKey *self, const guint8 *a, gsize a_len, const guint8 *b, gsize b_len,
                        guint8 ret_mac[OWD_PROBE_MAC]);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdProbeKey, owd_probe_key_free)

/* ---- TLVs -------------------------------------------------------------------------------------- */

enum {
  OWD_PROBE_TLV_PADDING = 1,
  OWD_PROBE_TLV_LOCATION = 2,
  OWD_PROBE_TLV_STAMP_INFO = 3,
  OWD_PROBE_TLV_COS = 4,
  OWD_PROBE_TLV_DIRECT = 5,
  OWD_PROBE_TLV_ACCESS = 6,
  OWD_PROBE_TLV_FOLLOW_UP = 7,
  OWD_PROBE_TLV_HMAC = 8,
  OWD_PROBE_TLV_DESTINATION = 9,  /* RFC 9503 */
  OWD_PROBE_TLV_RETURN_PATH = 10, /* RFC 9503 */
  OWD_PROBE_TLV_ARRIVALS = 252,   /* our own, from the range for private use (RFC 8972, 5.1): OwdProbeArrivals */
};

enum {
  OWD_PROBE_TLV_U = 0x80, /* unrecognised; a sender sets it, a reflector that understood clears it */
  OWD_PROBE_TLV_M = 0x40, /* malformed */
  OWD_PROBE_TLV_I = 0x20, /* integrity check failed */
};

typedef struct {
  guint8 flags, type;
  guint16 len;
  gsize offset;        /* of the TLV's header from where the walk began */
  const guint8 *value; /* len bytes, borrowed from the walked packet */
} OwdProbeTlv;

/* start: where w began. OWD_STATUS_OK with *ret_tlv set, OWD_STATUS_END, or OWD_STATUS_LENGTH where what is left is no
 * TLV. */
OwdStatus owd_probe_tlv_next (OwdWire *w, const guint8 *start, OwdProbeTlv *ret_tlv) G_GNUC_WARN_UNUSED_RESULT;

/* What a reflector has seen of a session: begins with "OWA2" on the wire, then these, 32 bits each. A packet with this
 * TLV is a query: it does not count itself. Other reflectors send the TLV back as they send back whatever they do not
 * know. */
typedef struct {
  guint32 run;             /* the sender's: another one begins anew */
  guint32 life;            /* the reflector's: changes where it begins anew */
  guint32 first;           /* the sender's: what has a lower sequence number is left out */
  guint32 highest;         /* that came; meaningless while arrived is 0 */
  guint32 arrived, copies; /* different packets; packets that had come before */
  guint32 reordered;       /* of the different ones: came after a higher number (RFC 4737) */
  guint32 unsure;          /* so far behind the highest that it cannot tell new ones from copies */
} OwdProbeArrivals;

/* ---- the sender's packets ---------------------------------------------------------------------- */

/* TLVs that a sender asks for. */
enum {
  OWD_PROBE_ASK_COS = 1 << 0,
  OWD_PROBE_ASK_DIRECT = 1 << 1,
  OWD_PROBE_ASK_FOLLOW_UP = 1 << 2,
  OWD_PROBE_ASK_STAMP_INFO = 1 << 3,
  OWD_PROBE_ASK_LOCATION = 1 << 4,
  OWD_PROBE_ASK_ARRIVALS = 1 << 5,
};

typedef struct {
  guint32 seq;
  guint64 stamp;        /* T1 in wire format */
  guint16 error;        /* wire format */
  guint16 ssid;         /* 0: none (TWAMP-Light) */
  guint16 size;         /* UDP payload; raised to what base packet and TLVs need */
  guint32 ask;          /* OWD_PROBE_ASK_* */
  gboolean raw_padding; /* fill up with zeros, as TWAMP-Light does, instead of an Extra Padding TLV */
  guint8 dscp, ecn;     /* wished for the reply (class-of-service TLV) */
  guint32 sent;         /* packets sent before this one (direct-measurement TLV) */
  guint32 run, first;   /* of the arrivals TLV */
  OwdProbeKey *key;     /* borrowed; NULL: unauthenticated */
} OwdProbeRequest;

/* Returns: bytes written, 0 where cap is too small. */
gsize owd_probe_request_build (const OwdProbeRequest *request, guint8 *buf, gsize cap);

typedef struct {
  guint32 seq;    /* the reflector's own count, or a copy of sender_seq */
  guint64 t3, t2; /* wire format, see error.ptp; 0: not filled */
  OwdProbeError error;
  guint16 ssid;
  guint32 sender_seq;
  guint64 sender_stamp; /* T1 as it came back */
  gint ttl;             /* of our packet on arrival there; -1: the reply ends before it */
  /* from TLVs that the reflector understood (U, M and I clear) */
  guint32 got;                /* OWD_PROBE_ASK_* */
  guint8 dscp_seen, ecn_seen; /* on our packet, on arrival there */
  guint8 dscp_refused;        /* the reflector did not honour the wish */
  guint32 peer_rx, peer_tx;   /* direct measurement */
  guint32 follow_seq;         /* follow-up: true departure of the reply with this seq */
  guint64 follow_t3;          /* 0: none yet */
  guint16 seen_port;          /* location: our source port as seen there */
  OwdProbeArrivals arrivals;
  guint32 flags; /* OWD_PROBE_* that the receiver knows of the answer */
} OwdProbeReply;

/* key: NULL reads an unauthenticated reply. OWD_STATUS_SHORT, OWD_STATUS_CHECKSUM (bad HMAC), else OWD_STATUS_OK. A
 * tail that is no chain of TLVs is padding: never an error. */
OwdStatus owd_probe_reply_parse (const void *data, gsize len, OwdProbeKey *key,
                                 OwdProbeReply *ret_reply) G_GNUC_WARN_UNUSED_RESULT;

/* ---- TCP segments that measure ----------------------------------------------------------------- */

/* A host's TCP answers segments that belong to no connection, and names the one that it answers:
 *
 *   ACK to any port        RST            seq = the probe's ack
 *   SYN to a closed port   RST, ACK       ack = the probe's seq + 1 + its payload
 *   SYN to an open port    SYN, ACK       ack = the probe's seq + 1
 *
 * So the number of a probe travels in ack or seq: token + number, token being random and per target (RFC 9293, 3.5). */
typedef enum {
  OWD_PROBE_TCP_ACK,
  OWD_PROBE_TCP_SYN,
} OwdProbeTcp;

enum {
  OWD_PROBE_TCP_FIN_BIT = 0x01,
  OWD_PROBE_TCP_SYN_BIT = 0x02,
  OWD_PROBE_TCP_RST_BIT = 0x04,
  OWD_PROBE_TCP_ACK_BIT = 0x10,
  OWD_PROBE_TCP_HEADER = 20,
};

typedef struct {
  OwdAddr src, dst;
  guint16 sport, dport;
  guint32 seq, ack;
  guint8 bits;  /* OWD_PROBE_TCP_*_BIT */
  guint16 size; /* payload, zeros */
} OwdProbeSegment;

/* Probe `number` of a target. segment: addresses, ports and size are the caller's. */
void owd_probe_segment_number (OwdProbeSegment *segment, OwdProbeTcp kind, guint32 token, guint32 number);
/* TCP header and payload, checksum included. Returns: bytes written, 0 where cap is too small. */
gsize owd_probe_segment_build (const OwdProbeSegment *segment, guint8 *buf, gsize cap);
/* data: a TCP segment as it came; with_ip: behind an IPv4 header. Checksums are the kernel's business. src, dst are
 * left alone. */
OwdStatus owd_probe_segment_parse (const void *data, gsize len, gboolean with_ip,
                                   OwdProbeSegment *ret_segment) G_GNUC_WARN_UNUSED_RESULT;
/* The number of the probe that a segment answers, as far as its fields tell, and OWD_PROBE_RESET or
 * OWD_PROBE_SYN_ACK. size: payload of the probes. Returns: FALSE where it is no answer to such a probe. */
gboolean owd_probe_segment_answers (const OwdProbeSegment *segment, OwdProbeTcp kind, guint32 token, guint16 size,
                                    guint32 *ret_number, guint32 *ret_flags);

/* ---- schedule ---------------------------------------------------------------------------------- */

typedef enum {
  OWD_PROBE_ISOCHRONOUS, /* every interval */
  OWD_PROBE_POISSON,     /* exponential gaps of mean interval (RFC 2330, 11.1.1) */
  OWD_PROBE_BURST,       /* every interval `burst` packets, gap apart */
  OWD_PROBE_TRAIN,       /* every interval `burst` packets back to back */
} OwdProbeScheduleKind;

typedef struct {
  OwdProbeScheduleKind kind;
  gint64 interval_ns; /* at least 1 */
  guint burst;        /* at least 1 */
  gint64 gap_ns;
  guint64 seed; /* Poisson */
  /* private */
  guint64 n;
  OwdTime start, last;
} OwdProbeSchedule;

/* The caller fills the public fields first. start: when the first packet is due. */
void owd_probe_schedule_start (OwdProbeSchedule *self, OwdTime start);
/* When the next packet is due. Absolute: an error in one departure never moves the next. */
OwdTime owd_probe_schedule_next (OwdProbeSchedule *self);
/* Shortest distance between two packets, for sizing windows; 0 for trains. */
gint64 owd_probe_schedule_min_gap_ns (const OwdProbeSchedule *self);

/* ---- histogram --------------------------------------------------------------------------------- */

/* Distribution in constant memory: logarithmic buckets (32 per octave, so within 1.6 %) of the distance from the first
 * value, so that a clock offset of seconds does not cost the resolution of microseconds. */
typedef struct OwdProbeHistogram OwdProbeHistogram;

/* from_first: buckets are relative to the first value, either side; else to 0, and values below 0 count as 0. */
OwdProbeHistogram *owd_probe_histogram_new (gboolean from_first);
void owd_probe_histogram_free (OwdProbeHistogram *self); /* NULL is fine */
void owd_probe_histogram_add (OwdProbeHistogram *self, gint64 value_ns);

typedef struct {
  guint64 n;
  gint64 min_ns, max_ns;
  double mean_ns, sd_ns;
  gint64 p05_ns, p50_ns, p95_ns, p99_ns;
} OwdProbeStats;

/* n = 0: everything else is 0. */
void owd_probe_histogram_stats (const OwdProbeHistogram *self, OwdProbeStats *ret_stats);
gint64 owd_probe_histogram_quantile (const OwdProbeHistogram *self, double q);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdProbeHistogram, owd_probe_histogram_free)

/* ---- the sender's session ---------------------------------------------------------------------- */

enum {
  OWD_PROBE_LOST = 1 << 0,      /* no reply within the timeout */
  OWD_PROBE_NOT_LEFT = 1 << 1,  /* the kernel never stamped its departure: neither sent nor lost */
  OWD_PROBE_REORDERED = 1 << 2, /* overtaken, either way (RFC 4737) */
  OWD_PROBE_SOFT_T1 = 1 << 3,   /* departure stamped by the program, not by the kernel */
  OWD_PROBE_SOFT_T4 = 1 << 4,   /* arrival likewise */
  OWD_PROBE_TRUE_T3 = 1 << 5,   /* T3 comes from the follow-up TLV */
  OWD_PROBE_SWAPPED = 1 << 6,   /* the reflector swaps T1 and T3; undone */
  OWD_PROBE_ECHO = 1 << 7,      /* a plain echo: RTT only */
  OWD_PROBE_FORMAT = 1 << 8,    /* the Z bit contradicts the stamps; these were believed, if only one reading is left */
  OWD_PROBE_UNSTATED = 1 << 9,  /* the reflector states no believable error */
  OWD_PROBE_UNSYNC = 1 << 10,   /* one of the two clocks says that it is not synchronised */
  OWD_PROBE_CLOCK = 1 << 11,    /* stated errors and causality contradict: a clock is off by more than it says */
  OWD_PROBE_DSCP_UP = 1 << 12,  /* DSCP changed on the way, per direction */
  OWD_PROBE_DSCP_DOWN = 1 << 13,
  OWD_PROBE_CE_UP = 1 << 14, /* congestion experienced */
  OWD_PROBE_CE_DOWN = 1 << 15,
  OWD_PROBE_RESET = 1 << 16,   /* TCP: answered with RST */
  OWD_PROBE_SYN_ACK = 1 << 17, /* TCP: answered with SYN and ACK */
  OWD_PROBE_FIRST = 1 << 18,   /* kept out of the distributions: it pays for set-up on the way */
};

/* One probe packet, final. Delays in ns; OWD_TIME_NONE where there is none. */
typedef struct {
  guint32 seq, peer_seq;
  OwdTime t1, t2, t3, t4;
  gint64 rtt_ns; /* (T4 - T1) - (T3 - T2): without the reflector's own time */
  gint64 up_ns, up_lo_ns, up_hi_ns;
  gint64 down_ns, down_lo_ns, down_hi_ns;
  gint hops_up, hops_down;            /* -1: not known */
  gint dscp_up, dscp_down;            /* as received; -1: not known */
  gint64 own_error_ns, peer_error_ns; /* what both clocks state of themselves; -1: not stated */
  guint32 flags;                      /* OWD_PROBE_LOST ... */
} OwdProbeSample;

typedef void (*OwdProbeSampleSink) (const OwdProbeSample *sample, gpointer user);

/* How the reflector counts its replies. */
typedef enum {
  OWD_PROBE_PEER_AUTO, /* find out: one sequence number is left out, so the first replies tell */
  OWD_PROBE_PEER_STATEFUL,
  OWD_PROBE_PEER_STATELESS,
} OwdProbePeer;

typedef struct {
  guint window;         /* packets that can be under way; rounded up to a power of two; 16 .. 2^20 */
  gint64 timeout_ns;    /* a reply later than this is late: counted, and its packet stays lost */
  gboolean kernel_tx;   /* departures are stamped by the kernel; what it does not stamp has not left */
  gboolean first_apart; /* the very first packet is flagged, and counts in no distribution */
  gboolean follow_up;   /* samples wait for the follow-up TLV of the next reply */
  gboolean trip_only;   /* the peer is no reflector: replies say which packet they answer, and nothing else */
  gboolean ptp;         /* format of our own stamps */
  OwdProbePeer peer;
  guint8 dscp, ecn; /* sent with, and wished for the replies */
  gboolean reports; /* the reflector is asked what has arrived, in queries of their own */
  guint32 run;      /* random, for them */
} OwdProbeSessionConfig;

typedef struct {
  guint64 sent;     /* left, as far as known */
  guint64 not_sent; /* refused by the system: never counted as sent */
  guint64 not_left; /* accepted by the system, yet never stamped as leaving */
  guint64 answered, lost, late;
  /* Surely lost on this way, and what may have been lost on either or was answered too late; their sum is lost. The
   * first two only with a stateful reflector. */
  guint64 lost_up, lost_down, lost_unknown;
  guint64 duplicates;                     /* replies to packets that had been answered */
  guint64 duplicates_up, duplicates_down; /* up: with reports of arrivals also copies whose replies were lost */
  guint64 reordered, reordered_up, reordered_down;
  guint64 foreign; /* replies that belong to no packet of ours */
  guint64 peer_restarts;
  guint64 dscp_up, dscp_down, ce_up, ce_down; /* packets whose DSCP came changed, that were marked */
  guint64 clock_contradictions;
  gboolean own_unsynchronised, peer_unsynchronised;            /* with one packet at least */
  gboolean peer_reports;                                       /* it has said what arrived */
  guint64 queries, reports;                                    /* asked what has arrived, and told: not in sent */
  gint peer_stateful;                                          /* 1, 0, -1 not known */
  guint32 flags;                                               /* OR over all samples */
  gint hops_up_min, hops_up_max, hops_down_min, hops_down_max; /* -1: not known */
  gint64 own_error_ns, peer_error_ns;                          /* last; -1 not stated */
  gint64 first_rtt_ns; /* of the first packet, where it is kept apart; OWD_TIME_NONE */
  /* The reflector's clock minus ours lies in between (causality alone); OWD_TIME_NONE without samples. */
  gint64 offset_lo_ns, offset_hi_ns;
  OwdProbeStats rtt, up, down, ipdv_rtt, ipdv_up, ipdv_down, peer_time;
  OwdProbeStats schedule; /* error of the time between two departures */
} OwdProbeSummary;

typedef struct OwdProbeSession OwdProbeSession;

/* cfg: borrowed, copied. sink: may be NULL; gets each sample once, borrowed for the call. */
OwdProbeSession *owd_probe_session_new (const OwdProbeSessionConfig *cfg, OwdProbeSampleSink sink, gpointer user);
void owd_probe_session_free (OwdProbeSession *self); /* NULL is fine */

/* Sequence number of the next packet; changes only by _sent and _asked. */
guint32 owd_probe_session_next_seq (const OwdProbeSession *self);
/* Packet next_seq has been handed to the system. t1: when; wire: T1 as put into the packet; due: when it should have
 * left, on any clock that is never set: only differences count. */
void owd_probe_session_sent (OwdProbeSession *self, OwdTime t1, guint64 wire, OwdTime due);
/* Is a query due, which asks the reflector what has arrived? now: of any clock that is never set. Returns: TRUE with
 * the fields of its TLV. */
gboolean owd_probe_session_asks (OwdProbeSession *self, OwdTime now, guint32 *ret_run, guint32 *ret_first);
/* Query next_seq has been handed to the system. */
void owd_probe_session_asked (OwdProbeSession *self, OwdTime t1, guint64 wire);
/* TRUE where it is worth waiting for a report: before the first packet, and, after _close, before the end. Soon over,
 * as long as _asks is asked. */
gboolean owd_probe_session_wants_report (const OwdProbeSession *self);
/* No packet follows, and no reply is waited for any more; now the last queries may. */
void owd_probe_session_close (OwdProbeSession *self);
/* The system refused a packet. The sequence number is used again. */
void owd_probe_session_not_sent (OwdProbeSession *self);
/* The kernel's departure stamp of packet seq. */
void owd_probe_session_left (OwdProbeSession *self, guint32 seq, OwdTime t1);

typedef struct {
  OwdTime t4;
  gboolean t4_soft;
  gint ttl;          /* of the reply on arrival; -1: not known */
  gint tos;          /* likewise */
  OwdProbeError own; /* of our clock */
} OwdProbeArrival;

/* Does a reply bring back a number and a stamp of this session's? */
gboolean owd_probe_session_expects (const OwdProbeSession *self, const OwdProbeReply *reply);
/* OWD_STATUS_OK, OWD_STATUS_DUPLICATE, OWD_STATUS_LATE, or OWD_STATUS_MALFORMED for a reply that answers nothing of
 * ours. */
OwdStatus owd_probe_session_reply (OwdProbeSession *self, const OwdProbeReply *reply, const OwdProbeArrival *arrival);
/* Gives up packets older than the timeout. now: real time. */
void owd_probe_session_advance (OwdProbeSession *self, OwdTime now);
/* TRUE while packets wait for a reply. */
gboolean owd_probe_session_waiting (const OwdProbeSession *self);
/* Settles everything; nothing may follow but _summary and _free. */
void owd_probe_session_finish (OwdProbeSession *self);
/* The counters alone, at the cost of a copy; _summary computes the distributions, too. */
void owd_probe_session_counts (const OwdProbeSession *self, OwdProbeSummary *ret_summary);
void owd_probe_session_summary (const OwdProbeSession *self, OwdProbeSummary *ret_summary);
gsize owd_probe_session_memory (const OwdProbeSession *self); /* bytes, constant over its life */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdProbeSession, owd_probe_session_free)

/* ---- paths ------------------------------------------------------------------------------------- */

/* Probes that routers take for one flow, whatever their TTL (Augustin et al., Paris traceroute, 2006): what load
 * balancers hash stays constant, and the number travels elsewhere.
 *
 *   UDP    number in the checksum, which the payload makes true; the payload is a STAMP packet, so a reflector answers
 *   TCP    SYN, number in the low half of seq
 *   ICMP   echo request, number in its sequence field; the payload keeps the checksum constant */
typedef enum {
  OWD_PROBE_PATH_UDP,
  OWD_PROBE_PATH_TCP,
  OWD_PROBE_PATH_ICMP,
} OwdProbePathKind;

typedef struct {
  OwdProbePathKind kind;
  OwdAddr src, dst;
  guint16 sport, dport; /* ICMP: sport is the identifier */
  guint32 token;        /* random: what a forger off the path does not know */
} OwdProbePathFlow;

enum { OWD_PROBE_PATH_BYTES = 64 };

/* The probe behind its IP header. number: 1 .. 65534. Returns: bytes. */
gsize owd_probe_path_build (const OwdProbePathFlow *flow, guint16 number, guint8 buf[OWD_PROBE_PATH_BYTES]);

typedef enum {
  OWD_PROBE_PATH_PASSED,  /* a router on the way: its TTL ended there */
  OWD_PROBE_PATH_REACHED, /* the destination itself */
  OWD_PROBE_PATH_REFUSED, /* somebody says that it goes no further */
} OwdProbePathVerdict;

typedef struct {
  OwdProbePathVerdict verdict;
  guint16 number;
  gint ttl_there; /* of the probe on its arrival, where the answer quotes it; -1 */
  guint32 ack;    /* TCP: SYN-ACK, to be taken back with this number; 0: none */
} OwdProbePathAnswer;

/* data: an ICMP or ICMPv6 message, with_ip: behind an IPv4 header. v6: it is ICMPv6. OWD_STATUS_END: about something
 * else. */
OwdStatus owd_probe_path_read_icmp (const OwdProbePathFlow *flow, const void *data, gsize len, gboolean v6,
                                    gboolean with_ip, OwdProbePathAnswer *ret_answer) G_GNUC_WARN_UNUSED_RESULT;
/* data: UDP or TCP from the destination. */
OwdStatus owd_probe_path_read_own (const OwdProbePathFlow *flow, const void *data, gsize len, gboolean with_ip,
                                   OwdProbePathAnswer *ret_answer) G_GNUC_WARN_UNUSED_RESULT;

enum {
  OWD_PROBE_HOPS_MAX = 62, /* TTL 1 .. 62 */
  OWD_PROBE_TRIES_MAX = 4,
};

typedef struct {
  OwdAddr addr;  /* zero: silent */
  gint64 rtt_ns; /* OWD_TIME_NONE: silent */
} OwdProbeHop;

typedef struct {
  guint n; /* up to the last hop known; the destination included where reached */
  gboolean reached;
  OwdProbeHop hop[OWD_PROBE_HOPS_MAX];
} OwdProbeRoute;

typedef struct {
  guint max_ttl, tries; /* 1 .. OWD_PROBE_HOPS_MAX, 1 .. OWD_PROBE_TRIES_MAX */
  guint silent;         /* so many silent hops in a row end a trace */
  guint parallel;       /* hops asked at the same time */
  gint64 timeout_ns;    /* without an answer for so long, a hop is asked again */
  gint64 gap_ns;        /* between two probes: routers answer few per second */
} OwdProbeTraceConfig;

/* One trace: which TTL is due, and what the answers make of it. */
typedef struct OwdProbeTrace OwdProbeTrace;

OwdProbeTrace *owd_probe_trace_new (const OwdProbeTraceConfig *cfg);
void owd_probe_trace_free (OwdProbeTrace *self); /* NULL is fine */
void owd_probe_trace_start (OwdProbeTrace *self, OwdTime now);
/* Returns: TRUE where a probe is to be sent now; then it counts as sent. now: as in _start, any clock that is never
 * set.
 */
gboolean owd_probe_trace_next (OwdProbeTrace *self, OwdTime now, guint *ret_ttl, guint16 *ret_number);
/* When to ask again; G_MAXINT64: the trace is over, or was never started. */
OwdTime owd_probe_trace_wake (const OwdProbeTrace *self);
/* A probe's departure, as far as it is known: real time, as t4 is. */
void owd_probe_trace_left (OwdProbeTrace *self, guint16 number, OwdTime t1);
void owd_probe_trace_answer (OwdProbeTrace *self, const OwdProbePathAnswer *answer, const OwdAddr *from, OwdTime t4);
/* (transfer none), of the trace that is over. */
const OwdProbeRoute *owd_probe_trace_route (const OwdProbeTrace *self);
/* A number that no trace uses: of probes with full TTL. n: counts on. */
guint16 owd_probe_trace_other_number (guint n);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdProbeTrace, owd_probe_trace_free)

/* The routes of one target over time. */
typedef struct {
  guint seq; /* 0: the first one */
  const OwdProbeRoute *route;
  OwdTime from, to; /* begin of the first and the last trace that found it */
} OwdProbeRouteSpan;

typedef struct {
  guint seq;                  /* of the route that came */
  OwdTime lo, hi;             /* it happened in between */
  gboolean by_ttl;            /* a changed TTL told of it, not the schedule */
  gint64 before_ns, after_ns; /* median round trips next to it; OWD_TIME_NONE: too few */
  guint n_before, n_after;
} OwdProbeRouteChange;

typedef struct {
  void (*span) (const OwdProbeRouteSpan *span, gpointer user);
  void (*change) (const OwdProbeRouteChange *change, gpointer user);
  gpointer user;
} OwdProbeRouteSink;

typedef struct OwdProbeRoutes OwdProbeRoutes;

OwdProbeRoutes *owd_probe_routes_new (const OwdProbeRouteSink *sink);
void owd_probe_routes_free (OwdProbeRoutes *self); /* NULL is fine */
/* A trace that began at `begin`. Silent hops contradict nothing. Returns: TRUE where another trace is wanted at once: a
 * new route counts when two traces in a row agree, because a trace that the change fell into shows a route that never
 * was. */
gboolean owd_probe_routes_add (OwdProbeRoutes *self, const OwdProbeRoute *route, OwdTime begin, gboolean by_ttl);
/* A round trip over the whole path, with the TTLs on arrival there and here (-1: not known). The first one ever is kept
 * apart: it pays for set-up on the way. Returns: TRUE where a TTL has changed: the route has, too. */
gboolean owd_probe_routes_trip (OwdProbeRoutes *self, OwdTime when, gint64 rtt_ns, gint ttl_there, gint ttl_here);
/* Reports what is open. */
void owd_probe_routes_finish (OwdProbeRoutes *self);
/* The route that holds now. FALSE: none is known yet. */
gboolean owd_probe_routes_current (const OwdProbeRoutes *self, OwdProbeRouteSpan *ret_span);
guint owd_probe_routes_changes (const OwdProbeRoutes *self);
guint owd_probe_routes_unsteady (const OwdProbeRoutes *self); /* traces that no second one confirmed */
guint owd_probe_routes_ttl_changes (const OwdProbeRoutes *self);
gint64 owd_probe_routes_first_rtt_ns (const OwdProbeRoutes *self); /* OWD_TIME_NONE: none */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdProbeRoutes, owd_probe_routes_free)

/* ---- policy ------------------------------------------------------------------------------------ */

/* How far into its period a test begins: 0 .. every_ns - 1, the same whenever it is asked. */
gint64 owd_probe_policy_offset_ns (guint32 seed, const char *agent, const char *test, gint64 every_ns);
/* The first begin after now; every_ns at least 1. */
OwdTime owd_probe_policy_next (OwdTime now, gint64 every_ns, gint64 offset_ns);

typedef struct {
  guint hops; /* 0: not reached */
  gint64 rtt_ns;
} OwdProbeDistance;

/* The nearest of n: by hops, then by round trip, then in their order; what was not reached is never among them. ret:
 * room for `wanted` indices. Returns: how many. */
guint owd_probe_policy_nearest (const OwdProbeDistance *distances, guint n, guint wanted, guint *ret);
/* How long to leave what has failed so many times in a row. */
gint64 owd_probe_policy_pause_ns (guint failures);

/* ---- the reflector ----------------------------------------------------------------------------- */

typedef struct {
  OwdProbeKey *const *keys; /* borrowed; with n_keys > 0 only authenticated packets are answered */
  guint n_keys;
  const OwdPrefix *allow; /* borrowed; n_allow 0: everybody */
  guint n_allow;
  gboolean stateless;    /* copy the sender's sequence number instead of counting */
  gboolean answer_short; /* requests below 41 bytes too, with 44 bytes; only with an allow-list */
  guint sessions;        /* table size, rounded up to a power of two; the longest idle one of a bucket gives way */
  guint sources;         /* likewise, for the rate limit */
  guint rate;            /* packets per second and source address (IPv6: /64); 0: no limit */
  guint64 seed;          /* of the tables' hash: unpredictable to senders */
} OwdProbeReflectorConfig;

typedef enum {
  OWD_PROBE_ANSWERED,
  OWD_PROBE_DROP_SOURCE, /* not on the allow-list */
  OWD_PROBE_DROP_RATE,
  OWD_PROBE_DROP_SHORT,
  OWD_PROBE_DROP_LONG,
  OWD_PROBE_DROP_AUTH,  /* no key fits */
  OWD_PROBE_DROP_ASKED, /* the sender asked for no reply (return path TLV) */
  OWD_PROBE_VERDICTS
} OwdProbeVerdict;

const char *owd_probe_verdict_text (OwdProbeVerdict verdict);

typedef struct {
  const guint8 *data;
  gsize len;
  OwdAddr src, dst;
  guint16 sport, dport;
  OwdTime t2; /* arrival */
  OwdTime t3; /* now: departure as near as the program can say */
  gboolean t2_soft;
  gint ttl, tos;       /* -1: not known */
  OwdProbeError error; /* of our clock; .ptp is ignored: stamps go back in the format that the request came in */
} OwdProbeQuestion;

typedef struct {
  gsize len;                        /* never more than the request's, but with answer_short */
  guint8 tos;                       /* to send with */
  gboolean wants_stamp;             /* the session uses the follow-up TLV: report the departure with _departed */
  guint32 session, generation, seq; /* for _departed */
} OwdProbeAnswer;

typedef struct OwdProbeReflector OwdProbeReflector;

OwdProbeReflector *owd_probe_reflector_new (const OwdProbeReflectorConfig *cfg);
void owd_probe_reflector_free (OwdProbeReflector *self); /* NULL is fine */
/* out: at least max (len, 44) bytes, apart from data. Only OWD_PROBE_ANSWERED sets *ret_answer and out. */
OwdProbeVerdict owd_probe_reflector_answer (OwdProbeReflector *self, const OwdProbeQuestion *question, guint8 *out,
                                            gsize cap, OwdProbeAnswer *ret_answer);
/* True departure of an answer with wants_stamp. */
void owd_probe_reflector_departed (OwdProbeReflector *self, const OwdProbeAnswer *answer, OwdTime t3);
guint64 owd_probe_reflector_count (const OwdProbeReflector *self, OwdProbeVerdict verdict);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdProbeReflector, owd_probe_reflector_free)

G_END_DECLS

#endif
