/* SPDX-License-Identifier: Apache-2.0
 *
 * One one-way-delay sample (RFC 7679) and one piece of loss evidence (RFC 7680), as the correlator makes them and the
 * store keeps them.
 */
#ifndef OWD_SAMPLE_H
#define OWD_SAMPLE_H

#include "owd-flow.h"

G_BEGIN_DECLS

/* Which packet of the flow was seen twice. Stored in the database: never renumber. */
typedef enum {
  OWD_SAMPLE_START = 1, /* the flow's first packet */
  OWD_SAMPLE_END = 2,   /* its last one */
  OWD_SAMPLE_BOTH = 3,  /* a one-packet flow */
} OwdSampleKind;

/* Why a sample deserves a second look, or what its proof rests on. Stored in the database: never renumber. */
enum {
  OWD_SAMPLE_NEGATIVE = 1 << 0,   /* the whole interval lies below zero: a clock is off */
  OWD_SAMPLE_WIDE_CLOCK = 1 << 1, /* an exporter's boot time is known to no better than 20 ms (its share of [lo,hi)) */
  OWD_SAMPLE_COUNTS = 1 << 2,     /* proven by equal packet and octet totals */
  OWD_SAMPLE_SYN = 1 << 3,        /* start proven by SYN on both sides, or end by FIN or RST on both sides */
  OWD_SAMPLE_FRAGMENT = 1 << 4,   /* one side or both were reassembled from several records */
  OWD_SAMPLE_NO_RESOLUTION = 1 << 5, /* no profile yet: the step of a stamp is the default of its kind */
  OWD_SAMPLE_GATE = 1 << 6,          /* far from its path's others at the time, yet kept: not proven wrong */
  OWD_SAMPLE_SAMPLED = 1 << 7,       /* an exporter samples packets; equal counts prove the pair */
  OWD_SAMPLE_BY_SIGN
  = 1 << 8, /* who is upstream rests on the clocks' agreement: no TTL, no other half of the conversation */
  OWD_SAMPLE_BELOW_LIGHT = 1 << 9, /* the whole interval lies below what light takes between both sites, likewise */
  OWD_SAMPLE_EXCESS = 1 << 15, /* beyond raw-samples-per-minute: it counts, but is not kept raw; never stored */
};

/* Times in ns. The truth lies in [lo_ns, hi_ns) as far as stamps and clock models say. */
typedef struct {
  OwdTime ts;    /* corrected time of the packet at the upstream point */
  gint64 owd_ns; /* best estimate, bias corrected; positive: seen later downstream */
  gint64 lo_ns, hi_ns;
  gint64 sigma_ns;    /* one standard deviation of all errors known */
  gint64 bias_ns;     /* what was subtracted from the difference of the stamps as claimed */
  guint64 flow;       /* owd_flow_hash() */
  guint64 seq;        /* delivery order within the partition, gapless from 1; excess: of the last one that is none */
  guint32 src, dst;   /* observation points: dense index, the correlator's owner keeps the names */
  guint32 profile_id; /* database id of the destination's profile; 0: none */
  guint16 flags;      /* OWD_SAMPLE_* */
  guint8 kind;        /* OwdSampleKind */
  guint8 proto;
} OwdSample;

/* What the packets of one flow, or of a share of it, tell about a path beside delays. Delivered in the order of ts,
 * like samples: behind every watermark given before. Counts of one path add up, in whatever pieces they come. */
typedef struct {
  OwdTime ts;       /* when it belongs to; a late sample: when it was found to be late */
  guint32 src, dst; /* observation points, as in OwdSample */
  guint64 sent;     /* packets counted at src that should have come by at dst */
  guint64 lost;     /* of them, not seen at dst; <= sent */
  guint64 late;     /* samples that became ready after their turn, and were not delivered */
} OwdCount;

G_END_DECLS

#endif
