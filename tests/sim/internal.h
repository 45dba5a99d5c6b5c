/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of the simulator share. One struct, passed first; time flows through one heap of events:
 *
 *   arrival   a conversation starts: traffic.c makes its packets, travel takes them along the route, and cache.c
 *             turns what each point sees into records, all at once, each with the time at which it will leave the cache
 *   record    a record leaves a cache: exporter.c puts it into the datagram being filled
 *   tick      an export timer fires: exporter.c sends what waits
 *
 * Datagrams wait in a second heap, by receive time, until no event can produce an earlier one.
 */
#ifndef OWD_SIM_INTERNAL_H
#define OWD_SIM_INTERNAL_H

#include "owd-sim.h"
#include "rng.h"

#define DAY_NS (86400 * OWD_NS_PER_S)
#define NEVER G_MAXINT64
#define DATAGRAM_BYTES 4096

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16 };

typedef struct SimFlow SimFlow;

typedef struct SimRecord SimRecord;

struct SimRecord {
  SimFlow *flow;
  SimRecord *twin;           /* other half of a biflow */
  OwdTime first_ns, last_ns; /* true times of the bounding packets at this point */
  OwdTime start_ns;          /* what the start stamp is read at: first_ns, but for repeated starts */
  OwdTime ready_ns;          /* leaves the cache */
  gint64 shift_ns[2];        /* blunder added to the stamp; G_MININT64: the stamp is zero */
  guint64 raw[2];            /* as exported */
  guint32 first, last;       /* numbers of the bounding packets in their flow */
  guint32 packets, octets;
  guint32 exporter;
  guint16 in_if, out_if;
  guint16 instance;                           /* records of one uninterrupted flow share it */
  guint16 pair;                               /* not 0: half of a biflow; the other half has the same number */
  guint8 hop;                                 /* position on the route */
  guint8 tcp_flags, reason, damaged, blunder; /* damaged: bit 0 start, bit 1 end */
  guint8 ttl;
  gboolean carried; /* exported inside its twin */
  gboolean egress;  /* second record of the same packets: the truth does not speak of it */
  gboolean lost;    /* never reached the collector */
};

typedef struct {
  OwdAddr src, dst;
  guint16 sport, dport;
  guint8 proto;
} SimKey;

/* One direction of a conversation. Lives until its last record has left. */
struct SimFlow {
  SimKey key[2]; /* before and behind the NAT; equal without */
  guint nat_at;  /* position that sees key[0] and translates; G_MAXUINT: none */
  guint waiting; /* records that are still in a cache */
  guint n;
  SimRecord records[]; /* n by hop, then time; behind them the egress records */
};

typedef struct {
  OwdTime t;
  guint32 size;
  guint8 flags;
  guint8 reach; /* how many points of the route it passes */
} SimPacket;

/* A packet that a point saw. */
typedef struct {
  OwdTime t;
  guint32 size;
  guint32 number; /* in its flow */
  guint8 flags;
  guint8 way; /* 0 from the one who began the conversation, 1 the answers */
} SimSeen;

/* One direction as a point sees it. */
typedef struct {
  SimKey key;
  guint hop;
  guint from, to; /* neighbours that it comes from and goes to, numbered by the router: 0 are hosts */
} SimView;

/* What a router calls its neighbours on a route. */
typedef struct {
  guint from[OWD_SIM_HOPS], to[OWD_SIM_HOPS];
} SimNeighbours;

/* Packets between two routers. */
typedef struct {
  guint64 key; /* src << 32 | dst */
  guint64 packets, lost;
} SimPath;

typedef struct {
  OwdTime t;
  guint64 order; /* keeps equal times in the order they were made */
  enum { EVENT_ARRIVAL, EVENT_RECORD, EVENT_TICK } kind;
  guint index;
  void *pointer;
} SimEvent;

typedef struct {
  OwdTime recv_ns;
  guint exporter;
  gsize len;
  guint8 bytes[DATAGRAM_BYTES];
} SimDatagram;

/* One exporter at work. */
typedef struct {
  OwdSimExporter set;
  SimRng rng;
  double temp_phase, wander_phase; /* of the swings, radians */
  OwdTime boot_ns[OWD_SIM_REBOOTS + 1];
  GArray *neighbours; /* guint: routers next to this one, as it numbers them from 1 on */
  guint epoch;        /* boots so far, at the last send */
  GPtrArray *pending; /* SimRecord, for the next datagram */
  gboolean tick_set;
  OwdTime float_ns; /* with a floating epoch: wall clock at uptime 0 of the datagram being filled */
  guint32 seq;
  OwdTime template_due;
  guint64 init_ms;          /* IE 160 as sent with the last templates */
  OwdTime sent_ns, recv_ns; /* of the newest datagram */
  OwdSimCounts counts;
} SimExporter;

struct OwdSim {
  OwdSimConfig *config;
  OwdTime end_ns;
  SimExporter *exporters;
  SimNeighbours *neighbours; /* by route */
  guint n_exporters;
  SimRng traffic, path;
  GArray *events;     /* SimEvent, heap */
  GArray *out;        /* SimEvent with SimDatagram, heap */
  GPtrArray *spare;   /* SimDatagram for use again */
  SimDatagram *given; /* belongs to the caller until the next call */
  guint64 order;
  GArray *packets[2];                /* SimPacket: of the conversation being made, to and fro */
  GArray *seen;                      /* SimSeen: of the point being visited */
  GArray *kept[OWD_SIM_HOPS], *both; /* SimSeen: for biflows, until the answers come by; all of them together */
  GArray *records[2];                /* SimRecord: of the conversation being made, to and fro */
  guint16 pairs;                     /* biflows in it */
  GHashTable *paths;                 /* SimPath */
  OwdSimTruthSink truth;
  void *user;
};

/* clock.c */
void sim_clock_init (SimExporter *ex, OwdTime start_ns, guint64 seed);
guint sim_clock_epoch (const SimExporter *ex, OwdTime t); /* index of the boot in force */
gint64 sim_clock_oscillator (const SimExporter *ex, OwdTime t);
gint64 sim_clock_uptime (const SimExporter *ex, OwdTime t);
/* sysUptime of a header sent at t, cut to its step. */
guint32 sim_clock_header_uptime (const SimExporter *ex, OwdTime t);
OwdTime sim_clock_rtc (const SimExporter *ex, OwdTime t);
/* Claimed minus true time of stamps: what no correction can know without an anchor. */
gint64 sim_clock_error (const SimExporter *ex, OwdTime t);
/* Raw stamp of a packet that passed at t; export_ns: header time as sent. */
guint64 sim_clock_stamp (const SimExporter *ex, guint bound, OwdTime t, gint64 offset_ns, OwdTime export_s);
gint64 sim_shift_at (const OwdSimShift *shifts, guint n, gint64 elapsed_ns);
static inline gint64
sim_floor (gint64 v, gint64 step, gint64 phase)
{
  gint64 r = (v - phase) % step;

  return v - (r < 0 ? r + step : r);
}

/* traffic.c: packets as they leave the hosts, into self->packets. Returns the key. */
SimKey sim_traffic (OwdSim *self, const OwdSimRoute *route, OwdTime t);
/* Delay of a hop without its queue. */
gint64 sim_hop_delay (const OwdSim *self, guint64 id, const OwdSimHop *hop, OwdTime t);
static inline guint
sim_route_index (const OwdSim *self, const OwdSimRoute *route)
{
  return (guint) (route - (const OwdSimRoute *) (const void *) self->config->routes->data);
}
static inline guint64
sim_hop_id (const OwdSim *self, const OwdSimRoute *route, guint hop)
{
  return (guint64) sim_route_index (self, route) * OWD_SIM_HOPS + hop;
}
static inline guint64
sim_key_hash (const SimKey *key)
{
  OwdFlow f = { .src = key->src, .dst = key->dst, .sport = key->sport, .dport = key->dport, .proto = key->proto };

  return owd_flow_hash (&f);
}

/* cache.c: what an exporter makes of the packets that it sees, into self->records. view: of both directions; only the
 * ones that occur in `seen` count. */
void sim_cache (OwdSim *self, guint exporter, const SimView view[2], const GArray *seen);

/* exporter.c */
void sim_export_record (OwdSim *self, SimRecord *record, OwdTime t);
void sim_export_tick (OwdSim *self, guint exporter, OwdTime t);

/* wire.c: the datagram of these records. Fills in their raw stamps. */
gsize sim_wire (SimExporter *ex, OwdTime t, GPtrArray *records, gboolean templates, guint8 *bytes);

/* truth.c: rows of all pairs of points; the flow is complete. */
void sim_truth (OwdSim *self, const SimFlow *flow);

/* sim.c */
void sim_event (OwdSim *self, OwdTime t, guint kind, guint index, void *pointer);
SimDatagram *sim_datagram (OwdSim *self);
void sim_send (OwdSim *self, SimDatagram *datagram);
void sim_record_done (OwdSim *self, SimRecord *record);

#endif
