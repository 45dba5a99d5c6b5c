/* SPDX-License-Identifier: Apache-2.0
 *
 * A flow record and the datagram header that brought it, in one form for NetFlow v5, v9 and IPFIX.
 *
 * Nothing is corrected here. Stamps stay as exported (kind and raw value); what a datagram alone claims
 * about absolute time is computed by owd_flow_claim(), what is believed is the business of clock/.
 */
#ifndef OWD_FLOW_H
#define OWD_FLOW_H

#include "owd-error.h"
#include "owd-time.h"

#include <string.h>

G_BEGIN_DECLS

/* IPv6 address, or IPv4 as ::ffff:a.b.c.d; network byte order. */
typedef struct {
  guint8 b[16];
} OwdAddr;

#define OWD_ADDR_TEXT 46
gboolean owd_addr_is_v4 (const OwdAddr *addr);
gboolean owd_addr_is_zero (const OwdAddr *addr); /* :: or 0.0.0.0 */
void owd_addr_set_v4 (OwdAddr *addr, const guint8 v4[4]);
/* buf: at least OWD_ADDR_TEXT bytes. IPv4 in dotted form. Returns: buf. */
char *owd_addr_text (const OwdAddr *addr, char *buf);
gboolean owd_addr_parse (const char *text, OwdAddr *ret_addr) G_GNUC_WARN_UNUSED_RESULT;

typedef struct {
  OwdAddr addr;
  guint8 bits; /* 0 .. 128 of the IPv6 form: 192.0.2.0/24 is 120 */
} OwdPrefix;

/* text: ADDR or ADDR/BITS; bits of the address behind the first BITS do not count. */
gboolean owd_prefix_parse (const char *text, OwdPrefix *ret_prefix) G_GNUC_WARN_UNUSED_RESULT;
gboolean owd_prefix_has (const OwdPrefix *prefix, const OwdAddr *addr);
/* Whether one of n prefixes has the address; an empty list allows everybody. */
gboolean owd_prefix_list_allows (const OwdPrefix *list, guint n, const OwdAddr *addr);

/* ---- the datagram ------------------------------------------------------------------------------ */

/* One exporter state: clock, sequence and templates live per (address, version, domain).
 * No padding bytes: may be hashed and compared as memory. */
typedef struct {
  OwdAddr addr;    /* source address of the export, its port does not count */
  guint32 domain;  /* v9 source id, IPFIX observation domain, v5 engine_type * 256 + engine_id */
  guint32 version; /* 5, 9, 10 */
} OwdStateKey;

/* For GHashTable and the like. */
guint owd_state_key_hash (gconstpointer key);
gboolean owd_state_key_equal (gconstpointer a, gconstpointer b);

enum {
  OWD_HEADER_UPTIME = 1 << 0, /* uptime_ms is there (v5, v9) */
  OWD_HEADER_FRAC = 1 << 1,   /* export_frac_ns comes from the header (v5); it may still be dead (always 0) */
  OWD_HEADER_REPLAY = 1 << 2, /* decoded after its time: its template came late; recv_ns is the original one */
};

typedef struct {
  OwdStateKey key;
  OwdTime recv_ns;        /* kernel receive time, or the capture's time */
  gint64 init_ms;         /* systemInitTimeMilliseconds (IE 160) from options data of this state; 0: never seen */
  guint32 export_s;       /* header time, whole seconds since 1970 */
  guint32 export_frac_ns; /* v5 unix_nsecs, else 0 */
  guint32 uptime_ms;      /* v5, v9 sysUptime */
  guint32 seq;            /* as sent: v5 flows, v9 datagrams, IPFIX data records */
  guint16 port;           /* source port of the datagram */
  guint16 flags;          /* OWD_HEADER_* */
  guint32 state;          /* dense index of key, given by whoever produced the header; 0-based */
} OwdHeader;

/* ---- the record -------------------------------------------------------------------------------- */

/* What a raw stamp is. The numbers are stored in logs: never renumber. */
typedef enum {
  OWD_STAMP_NONE = 0,
  OWD_STAMP_UPTIME_MS = 1, /* IE 21, 22: ms since boot, modulo 2^32 (8-byte encodings are taken whole) */
  OWD_STAMP_UNIX_S = 2,    /* IE 150, 151 */
  OWD_STAMP_UNIX_MS = 3,   /* IE 152, 153 */
  OWD_STAMP_NTP_US = 4,    /* IE 154, 155: NTP 64-bit format, microsecond precision claimed */
  OWD_STAMP_NTP_NS = 5,    /* IE 156, 157: NTP 64-bit format */
  OWD_STAMP_DELTA_US = 6,  /* IE 158, 159: us before the export time */
  OWD_STAMP_EVENT_S = 7,   /* IE 322: one event, start only */
  OWD_STAMP_EVENT_MS = 8,  /* IE 323 */
  OWD_STAMP_EVENT_US = 9,  /* IE 324, NTP format */
  OWD_STAMP_EVENT_NS = 10, /* IE 325, NTP format */
  OWD_STAMP_KINDS
} OwdStampKind;

enum {
  OWD_FLOW_PACKETS = 1 << 0,  /* the record has a packet count */
  OWD_FLOW_OCTETS = 1 << 1,   /* the record has an octet count */
  OWD_FLOW_FLAGS = 1 << 2,    /* the record has TCP flags (IE 6); for v5 always */
  OWD_FLOW_EGRESS = 1 << 3,   /* IE 61 = 1: observed leaving; without the element: unset */
  OWD_FLOW_INGRESS = 1 << 4,  /* IE 61 = 0: observed entering */
  OWD_FLOW_REVERSE = 1 << 5,  /* reverse half of a biflow (RFC 5103), already turned round */
  OWD_FLOW_BIFLOW = 1 << 6,   /* either half of a biflow */
  OWD_FLOW_TOTALS = 1 << 7,   /* counts are since the flow's start (IE 85, 86), not since the last record */
  OWD_FLOW_POST_NAT = 1 << 8, /* a second view of the record: its key is the key after translation */
  OWD_FLOW_EXT = 1 << 9,      /* some field behind "rare" below is set */
};

/* IE 136. */
enum {
  OWD_END_UNKNOWN = 0,
  OWD_END_IDLE = 1,
  OWD_END_ACTIVE = 2,
  OWD_END_DETECTED = 3,
  OWD_END_FORCED = 4,
  OWD_END_RESOURCES = 5,
};

/* One unidirectional flow record. Zero means absent unless a flag says otherwise. From `reserved` to `sampling` it is
 * laid out as the log stores it (flowlog/segment.h), so that these 64 bytes are moved as they are. */
typedef struct {
  OwdAddr src, dst;
  guint8 reserved[2]; /* zero */
  guint8 proto;
  guint8 end_reason;           /* OWD_END_* */
  guint16 sport, dport;        /* ICMP: dport = type * 256 + code, as v5 has it, or where no port is exported */
  guint16 tcp_flags;           /* OR over the record's packets */
  guint8 start_kind, end_kind; /* OwdStampKind */
  guint16 template_id;         /* 0 for v5 */
  guint8 ttl_min, ttl_max;     /* IE 52, 53; IE 192 sets both; 0: absent */
  guint32 in_if, out_if;       /* IE 10, 14; where absent IE 252, 253 */
  guint64 packets, octets;     /* as exported, never scaled by sampling */
  guint64 start_raw, end_raw;  /* as exported, in the unit of their kind */
  guint32 flags;               /* OWD_FLOW_* */
  guint32 sampling;            /* 1 in N; 0: nothing said; 1: said to be unsampled */
  /* rare: logged only where one of them is set */
  guint8 tos; /* IE 5 */
  guint8 pad[7];
  guint32 vlan;                                      /* IE 58, else 243, 59, 254 */
  guint32 vrf;                                       /* IE 234, else 235 */
  guint32 mpls;                                      /* IE 70 top label, 20 bits */
  guint32 line_card;                                 /* IE 141 */
  guint64 obs_point;                                 /* IE 138 */
  gint64 init_ms;                                    /* IE 160 inside the record */
  OwdAddr post_src, post_dst;                        /* IE 225, 226, 281, 282 */
  guint16 post_sport, post_dport;                    /* IE 227, 228 */
  guint32 delay_mean_us, delay_min_us, delay_max_us; /* IE 530, 531, 532 (RFC 9951) */
  guint64 delay_sum_us;                              /* IE 533 */
} OwdFlow;

/* What the datagram alone claims: absolute time of a stamp.
 *   UPTIME_MS  with a header uptime: export time - signed 32-bit (uptime - raw) ms; else init_ms + raw; else none
 *   DELTA_US   export time - raw us
 *   others     their own absolute value
 * init_ms: the record's, else the header's. Returns OWD_TIME_NONE where no absolute time can be given. */
OwdTime owd_flow_claim (const OwdHeader *header, const OwdFlow *flow, OwdStampKind kind, guint64 raw);

/* ---- keys and hashes --------------------------------------------------------------------------- */

/* Hashes are stored in logs and tables and decide about partitions: they are part of the log format and
 * never change (XXH3 64-bit over src 16, dst 16, sport 2 BE, dport 2 BE, proto 1). */

/* Hash of the directed 5-tuple. */
guint64 owd_flow_hash (const OwdFlow *flow);
/* The same for both directions of a conversation: the lower endpoint (address, then port) goes first. */
guint64 owd_flow_hash_undirected (const OwdFlow *flow);
/* All three of one flow at the cost of two: directed, the same of the other direction, direction-less. */
typedef struct {
  guint64 forward, reverse, undirected;
} OwdFlowHashes;
void owd_flow_hash_all (const OwdFlow *flow, OwdFlowHashes *ret_hashes);
/* Again the same, for a flow whose addresses are both IPv4, in half the time. */
guint64 owd_flow_hash_undirected_v4 (const OwdFlow *flow);
/* Are both addresses IPv4? In line: this runs once per record. */
static inline gboolean
owd_flow_is_v4 (const OwdFlow *flow)
{
  guint64 zeros[2];
  guint32 marks[2];

  memcpy (&zeros[0], flow->src.b, 8);
  memcpy (&zeros[1], flow->dst.b, 8);
  memcpy (&marks[0], flow->src.b + 8, 4);
  memcpy (&marks[1], flow->dst.b + 8, 4);
  return ((zeros[0] | zeros[1]) | (marks[0] ^ GUINT32_TO_BE (0xffff)) | (marks[1] ^ GUINT32_TO_BE (0xffff))) == 0;
}
/* Partition of a direction-less hash; n at least 1. Uses the high bits, so that a table inside a partition may
 * use the low ones. */
static inline guint
owd_flow_partition (guint64 undirected_hash, guint n)
{
  return (guint) (((undirected_hash >> 32) * n) >> 32);
}

G_END_DECLS

#endif
