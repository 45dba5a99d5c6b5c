/* SPDX-License-Identifier: Apache-2.0
 *
 * How the clocks of exporters stand to each other, from delays in both directions.
 *
 * Problem. A measured delay is the true one plus the offset of the clock behind minus that of the clock before. Offsets
 * cannot be had from delays alone (Freris, Graham, Kumar); they are only bounded: no packet is faster than light.
 *
 * Idea. Let theta be how far b's clock is ahead of a's. Least delays D(a, b) and D(b, a) and the light floors L give
 *     theta in [L(b, a) - D(b, a), D(a, b) - L(a, b)],
 * whose middle is the usual estimate (symmetry), and whose width is the round trip less light. Bounds of pairs chain: a
 * path of pairs bounds a difference by its sum, so the tightest bounds of all are shortest paths (Bellman and Ford)
 * from an anchor. Best offsets minimise the squared differences to the pairs' middles, weighted by their widths; what
 * remains of a pair is the residual of the loops that it closes: asymmetry.
 *
 * Anchors. Exporters whose clocks are trusted are right to their bound. Where a pair's bounds contradict that trust the
 * trust is withdrawn, not the bounds. Without a trusted one, offsets count from a reference exporter, and say so.
 *
 * Reads no clock, does no I/O. Cost: conjugate gradients and Bellman and Ford over the pairs; memory is that of its
 * arguments and a few numbers per node.
 */
#ifndef OWD_MESH_H
#define OWD_MESH_H

#include <glib.h>

G_BEGIN_DECLS

/* Two exporters; a delay is from upstream to downstream. All times in ms. */
typedef struct {
  guint a, b;          /* nodes */
  double ab_ms, ba_ms; /* least delay as measured, upper end of its interval; INFINITY: nothing seen that way */
  double floor_ms;     /* no packet takes less, either way; 0: not known */
} OwdMeshPair;

typedef struct {
  double lo_ms, hi_ms;  /* b's clock is ahead of a's by this; +-INFINITY where a direction is missing */
  double theta_ms;      /* best estimate under symmetry; NAN unless both directions were seen */
  double rtt_ms;        /* least round trip, which needs no common clock; NAN likewise */
  double residual_ms;   /* theta less the difference of both offsets; NAN likewise */
  gboolean contradicts; /* lo > hi: a clock was moved meanwhile; used for nothing */
} OwdMeshRelation;

typedef enum {
  OWD_ANCHOR_NONE,      /* no bounded relation to anything */
  OWD_ANCHOR_TRUSTED,   /* offsets are against the trusted clocks of its part of the mesh */
  OWD_ANCHOR_REFERENCE, /* no trusted clock there: against the reference exporter */
} OwdMeshAnchor;

typedef struct {
  double offset_ms, lo_ms, hi_ms; /* its clock is ahead by this; NAN, +-INFINITY where not known */
  OwdMeshAnchor anchor;
  guint reference;     /* node, with OWD_ANCHOR_REFERENCE */
  gboolean trust_lost; /* was said to be trusted, and cannot be right */
} OwdMeshOffset;

/* trust_ms: per node how far its clock may be off, INFINITY: not trusted. relations: n_pairs, offsets: n_nodes, filled.
 * FALSE: the bounds of a part of the mesh contradict each other in a loop; its offsets have anchor NONE. */
gboolean owd_mesh_solve (const OwdMeshPair *pairs, guint n_pairs, const double *trust_ms, guint n_nodes,
                         OwdMeshRelation *ret_relations, OwdMeshOffset *ret_offsets);

/* What a pair's bounds say at a time. */
typedef struct {
  double at_s; /* any origin */
  double lo_ms, hi_ms;
} OwdMeshBound;

/* How much faster b's clock runs than a's, in ppm: slope of the line through the middles, and the bounds of all lines
 * that stay within. FALSE, and NAN: fewer than two times, or no line does. */
gboolean owd_mesh_skew (const OwdMeshBound *bounds, guint n, double *ret_ppm, double *ret_lo_ppm, double *ret_hi_ppm);

G_END_DECLS

#endif
