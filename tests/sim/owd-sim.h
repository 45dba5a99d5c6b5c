/* SPDX-License-Identifier: Apache-2.0
 *
 * A network that exports flow records and knows the truth.
 *
 * Problem: how good a one-way delay out of flow stamps is can only be judged where the delay is known. Idea: packets
 * travel along routes in virtual time; at every point a flow cache with an imperfect clock turns them into records,
 * packs them into NetFlow v5, v9 or IPFIX datagrams and sends these to a collector. The engine tells, beside the
 * datagrams, which packet bounds which record and when that packet really passed.
 *
 * The engine is a pure function of its configuration (seed included): it reads no clock and does no I/O. It is pulled:
 * owd_sim_next() gives the datagrams one by one, in the order in which the collector receives them.
 *
 * Cost: a few microseconds per record (README.md has figures); memory follows the records that wait in
 * flow caches, not the length of the run. Signs are those of owd-time.h.
 */
#ifndef OWD_SIM_H
#define OWD_SIM_H

#include "owd-flow.h"
#include "owd-sample.h"

G_BEGIN_DECLS

#define OWD_SIM_SHIFTS 4  /* changes of a clock or a hop */
#define OWD_SIM_REBOOTS 2 /* of one exporter */
#define OWD_SIM_CARDS 4   /* line cards of one exporter */
#define OWD_SIM_HOPS 8    /* points on a route */

/* Something changes by delta_ns at at_ns (after the start of the run), at once or linearly over over_ns. */
typedef struct {
  gint64 at_ns, over_ns, delta_ns;
} OwdSimShift;

/* How an exporter spoils a stamp. */
typedef enum {
  OWD_SIM_BLUNDER_NONE,
  OWD_SIM_BLUNDER_ZERO,   /* both stamps 0 */
  OWD_SIM_BLUNDER_BEFORE, /* end 100 s and more before start */
  OWD_SIM_BLUNDER_FUTURE, /* an hour to a year ahead */
  OWD_SIM_BLUNDER_PAST,   /* a day to a year ago */
  OWD_SIM_BLUNDER_SLIP,   /* 2^32 ms off; for 4-byte uptime, where that cannot be seen, 2^32 us */
  OWD_SIM_BLUNDER_NEAR,   /* 20 ms (at least 3 steps) to 5 s off: looks fine until it is paired */
  OWD_SIM_BLUNDERS
} OwdSimBlunder;

/* One exporter state: address, domain, clock, flow cache. All zero is not useful: start from owd_sim_exporter(). */
typedef struct {
  OwdAddr addr;
  guint32 domain; /* v5: engine_type * 256 + engine_id, 16 bits */
  guint version;  /* 5, 9, 10 */
  guint engines;  /* this and the next engines - 1 exporters are one router: a flow is seen by one of them */

  /* Stamps. [0] start, [1] end. Uptime stamps: steps and phases are whole ms. */
  OwdStampKind stamps; /* UPTIME_MS .. DELTA_US; v5 knows UPTIME_MS only */
  gint64 step_ns[2], phase_ns[2];
  gboolean wide_uptime;   /* IE 21, 22 in 8 bytes, not wrapped */
  gboolean epoch_at_boot; /* absolute stamps count from an epoch taken at boot: blind to later NTP steps */
  gint64 float_ns;        /* not 0: uptime counts from this long before each datagram was begun (fprobe) */
  gint64 card_offset_ns[OWD_SIM_CARDS];
  guint n_cards;      /* interface i sits on card i % n_cards */
  guint n_interfaces; /* links to each neighbour, a flow takes one; the hosts are a neighbour, too */

  /* Clocks */
  gint64 up_before_ns;                 /* uptime when the run starts */
  double skew_ppm;                     /* of the oscillator that drives sysUptime */
  double temp_ppm;                     /* amplitude of its daily swing */
  gint64 rtc_offset_ns, rtc_wander_ns; /* wall clock: constant, and amplitude of a half-hourly swing */
  OwdSimShift rtc[OWD_SIM_SHIFTS];     /* NTP steps and slews */
  guint n_rtc;
  gint64 reboot_ns[OWD_SIM_REBOOTS]; /* after the start of the run, ascending */
  guint n_reboots;
  gint64 outage_ns; /* a reboot takes this long: nothing is seen or sent */

  /* Header */
  gint64 uptime_step_ns, uptime_phase_ns; /* of the header's sysUptime, whole ms */
  gboolean header_frac;                   /* v5: unix_nsecs lives; else 0 */
  gint64 uptime_lag_ns;                   /* header's sysUptime is up to this old: last > sysUptime */
  gint64 init_offset_ns;   /* IE 160 is wrong by this, and by up to a ms more from template to template */
  gboolean init_in_record; /* IPFIX with uptime stamps: IE 160 in each record, else in options data */

  /* Flow cache */
  gint64 active_ns, inactive_ns;
  gint64 fin_ns;         /* after FIN or RST a flow ends when nothing came for this long; 0: as any other */
  gint64 scan_ns;        /* timeouts are looked at this often; 0: at once */
  double evict_per_s;    /* a flow's chance per second to be thrown out of a full cache */
  guint sampling;        /* 1 in N packets, random; 1: all */
  gboolean repeat_start; /* continuations repeat the start of the first record (Junos MS-DPC) */
  gboolean end_reason;   /* IE 136 */
  gboolean ttl;          /* IE 52, 53 */
  gboolean egress_too;   /* a second record of each flow where it leaves (IE 61); not v5 */
  gboolean biflow;       /* both directions in one record (RFC 5103); IPFIX, one engine, no NAT */
  gboolean nat_fields;   /* IE 225..228 */

  /* Export */
  guint max_records;                             /* per datagram */
  gint64 tick_ns, tick_phase_ns, tick_jitter_ns; /* export timer */
  gboolean tick_rtc;  /* the timer follows the wall clock (phase-locked), else the oscillator */
  gboolean tick_only; /* send at ticks only, else a full datagram goes at once */
  gint64 template_ns; /* templates and options again after this */

  /* Faults */
  double blunder_rate;                      /* per record */
  double blunder_weight[OWD_SIM_BLUNDERS];  /* relative; all 0: every shape alike */
  double record_loss;                       /* in the exporter: sequence numbers do not tell */
  double datagram_loss, datagram_duplicate; /* on the way to the collector */
  double datagram_reorder;                  /* share held up by 1 to 50 ms */
  gint64 transport_ns, transport_jitter_ns; /* constant and mean of an exponential part */
} OwdSimExporter;

/* The way to the point with the same index, or from the sender for the first. */
typedef struct {
  gint64 base_ns;
  gint64 diurnal_ns;                  /* 0 at midnight UTC, full at noon */
  gint64 queue_ns;                    /* mean of an exponential part, per packet */
  gint64 spike_ns;                    /* top of a triangle of 10 s */
  double spike_share;                 /* of all 10-s slots */
  double loss;                        /* per packet */
  OwdSimShift change[OWD_SIM_SHIFTS]; /* route changes */
  guint n_changes;
} OwdSimHop;

/* Order of points that packets pass. Conversations start on routes with flows_per_s > 0; answers take route `back`. */
typedef struct {
  guint points[OWD_SIM_HOPS]; /* index of an exporter, of the first one of a router with several engines */
  OwdSimHop hops[OWD_SIM_HOPS];
  guint n;
  int back;                 /* -1: answers are seen nowhere */
  double flows_per_s;       /* conversations, Poisson */
  int nat_at;               /* the router there translates addresses; -1: none */
  guint src_site, dst_site; /* addresses of hosts */
} OwdSimRoute;

/* Kinds of conversations. */
typedef enum {
  OWD_SIM_WEB,     /* TCP, short, heavy-tailed sizes */
  OWD_SIM_LONG,    /* TCP, bursts between idle gaps */
  OWD_SIM_REFUSED, /* TCP, SYN and RST */
  OWD_SIM_SILENT,  /* TCP, SYNs without an answer: after 1, 3, 7 s again */
  OWD_SIM_QUERY,   /* UDP, one packet each way */
  OWD_SIM_STREAM,  /* UDP, one way, even spacing, a minute in the mean */
  OWD_SIM_MIXES
} OwdSimMix;

typedef struct {
  guint64 seed;
  OwdTime start_ns;
  gint64 duration_ns;        /* conversations start within; the run ends when the last record is out */
  GArray *exporters;         /* OwdSimExporter */
  GArray *routes;            /* OwdSimRoute */
  double mix[OWD_SIM_MIXES]; /* relative */
  double v6_share;           /* of conversations; v5 exporters do not see them */
} OwdSimConfig;

OwdSimConfig *owd_sim_config_new (guint64 seed);
void owd_sim_config_free (OwdSimConfig *config); /* NULL is fine */
/* A faultless exporter with a good clock, 15 s inactive and 60 s active timeout, steps of 1 ms (1 s for UNIX_S,
 * 1 us for the others); address and domain follow from index. */
OwdSimExporter owd_sim_exporter (guint index, guint version, OwdStampKind stamps);
/* The pieces that a run cannot work with, in words; NULL: fine. */
const char *owd_sim_config_fault (const OwdSimConfig *config);

/* ---- scenarios ---- */

/* What a user may turn; 0 leaves the scenario's own figure. */
typedef struct {
  guint64 seed;
  gint64 duration_ns;
  double flows_per_s; /* all routes together */
  guint exporters;    /* scenarios of variable size */
  OwdTime start_ns;
} OwdSimWish;

typedef struct {
  const char *name, *text;
  double duration_s, flows_per_s;
  void (*build) (OwdSimConfig *config, const OwdSimWish *wish);
} OwdSimScenario;

/* NULL behind the last. */
const OwdSimScenario *owd_sim_scenario (guint i);
const OwdSimScenario *owd_sim_scenario_find (const char *name);
/* Returns: (transfer full). */
OwdSimConfig *owd_sim_scenario_config (const OwdSimScenario *scenario, const OwdSimWish *wish);

/* ---- the truth ---- */

typedef enum {
  OWD_SIM_OK,      /* same packet, stamps undamaged, everything delivered, equal totals: can be paired */
  OWD_SIM_UNEQUAL, /* same packet, but totals differ or a fragment is missing: no proof */
  OWD_SIM_SAMPLED, /* same packet, but an exporter samples: seldom provable */
  OWD_SIM_DAMAGED, /* same packet, a blunder in one stamp or both */
  OWD_SIM_MOVED,   /* the records are bounded by different packets */
  OWD_SIM_LOST,    /* a bounding record never reached the collector */
  OWD_SIM_STATUSES
} OwdSimStatus;

const char *owd_sim_status_text (OwdSimStatus status);

/* A packet that bounds records of one flow at two points, upstream first. */
typedef struct {
  OwdFlow up, down; /* keys only; they differ behind a NAT */
  guint src, dst;   /* exporters */
  OwdSampleKind kind;
  gboolean cut; /* an inner bound (active timeout, eviction), not where the flow begins or ends */
  OwdSimStatus status;
  OwdTime src_ns, dst_ns; /* true times of the bounding packets */
  gint64 clock_ns;     /* what the claimed clocks add to the delay: error at dst minus error at src, cards left out */
  gint64 src_clock_ns; /* error of the claimed clock at src; a sample's time has it, too */
  guint64 src_raw, dst_raw;         /* stamps as exported */
  guint32 src_packets, dst_packets; /* whole flow, or the two records for an inner bound */
} OwdSimTruth;

typedef void (*OwdSimTruthSink) (void *user, const OwdSimTruth *truth);

/* What an exporter did so far. */
typedef struct {
  guint64 packets;                             /* seen, before sampling */
  guint64 biflows;                             /* records that hold two flows */
  guint64 records, records_lost, records_died; /* exported; lost inside; gone with a reboot */
  guint64 datagrams, datagrams_lost, records_in_lost, datagrams_duplicate, datagrams_reordered;
  guint64 blunders[OWD_SIM_BLUNDERS]; /* records */
  /* receive times of the first two datagrams whose headers show it: whose second is another one than it would be
   * without the step, or whose uptime began anew; 0: there was none */
  OwdTime step_shown_ns[OWD_SIM_SHIFTS][2], reboot_shown_ns[OWD_SIM_REBOOTS][2];
} OwdSimCounts;

/* ---- the run ---- */

typedef struct OwdSim OwdSim;

typedef struct {
  OwdTime recv_ns;
  guint exporter;
  guint16 port;
  const guint8 *data; /* valid until the next owd_sim_next() */
  gsize len;
} OwdSimDatagram;

/* config: copied. truth: may be NULL. Rows come when the last record of a flow has left its exporter. */
OwdSim *owd_sim_new (const OwdSimConfig *config, OwdSimTruthSink truth, void *user) G_GNUC_WARN_UNUSED_RESULT;
/* FALSE: the run is over. */
gboolean owd_sim_next (OwdSim *self, OwdSimDatagram *ret);
const OwdSimCounts *owd_sim_counts (const OwdSim *self, guint exporter);
/* Packets that passed the router of src, and those of them that did not come as far as that of dst; 0 and 0 where no
 * route leads. */
void owd_sim_path (const OwdSim *self, guint src, guint dst, guint64 *ret_packets, guint64 *ret_lost);
void owd_sim_free (OwdSim *self); /* NULL is fine */

/* Interfaces are numbered 1..n over all neighbours, hosts first. */
guint owd_sim_interfaces (const OwdSim *self, guint exporter);

/* True clocks, for truth files and tests. Time is true time. */
guint64 owd_sim_uptime_ns (const OwdSim *self, guint exporter, OwdTime t);
OwdTime owd_sim_rtc_ns (const OwdSim *self, guint exporter, OwdTime t);
/* True time of the boot that is in force at t. */
OwdTime owd_sim_boot_ns (const OwdSim *self, guint exporter, OwdTime t);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdSim, owd_sim_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (OwdSimConfig, owd_sim_config_free)

G_END_DECLS

#endif
