/* SPDX-License-Identifier: Apache-2.0
 *
 * See owd-mesh.h for the idea. Everything is relative to node `n`, true time, which is the anchor of all: trusted
 * clocks are bound to it by their trust, the reference of a part without any is nailed to it.
 */
#include "owd-mesh.h"

#include <math.h>
#include <string.h>

#define LEAST_WIDTH_MS 0.01    /* narrower pairs weigh no more */
#define NAILED 1e6             /* weight of a reference's offset of 0 */

typedef struct {
  const OwdMeshPair *pairs;
  OwdMeshRelation *relations;
  OwdMeshOffset *offsets;
  double *trust_ms;
  guint *part; /* of each node: its lowest node */
  guint n_pairs, n_nodes;
} Mesh;

static OwdMeshRelation
relate (const OwdMeshPair *p)
{
  OwdMeshRelation r = {
    .lo_ms = p->floor_ms - p->ba_ms, .hi_ms = p->ab_ms - p->floor_ms, .theta_ms = NAN, .rtt_ms = NAN, .residual_ms = NAN
  };

  r.contradicts = r.lo_ms > r.hi_ms;
  if (isfinite (r.lo_ms) && isfinite (r.hi_ms)) {
    r.theta_ms = (p->ab_ms - p->ba_ms) / 2;
    r.rtt_ms = p->ab_ms + p->ba_ms;
  }
  return r;
}

/* ---- trust ------------------------------------------------------------------------------------------ */

static gboolean
breaks_trust (const Mesh *m, guint i)
{
  const OwdMeshRelation *r = &m->relations[i];
  double room = m->trust_ms[m->pairs[i].a] + m->trust_ms[m->pairs[i].b];

  return !r->contradicts && (r->lo_ms > room || r->hi_ms < -room);
}

/* Withdraws trust, from the node with most broken pairs first, until none is broken. */
static void
withdraw_trust (Mesh *m)
{
  g_autofree guint *broken = g_new (guint, m->n_nodes);

  for (;;) {
    guint worst = 0;

    memset (broken, 0, m->n_nodes * sizeof *broken);
    for (guint i = 0; i < m->n_pairs; i++)
      if (breaks_trust (m, i)) {
        broken[m->pairs[i].a]++;
        broken[m->pairs[i].b]++;
      }
    for (guint i = 0; i < m->n_nodes; i++)
      if (broken[i] > broken[worst])
        worst = i;
    if (m->n_nodes == 0 || broken[worst] == 0)
      return;
    /* of two that contradict each other alone, nobody knows which is wrong */
    for (guint i = 0; i < m->n_nodes; i++)
      if (broken[i] == broken[worst]) {
        m->trust_ms[i] = INFINITY;
        m->offsets[i].trust_lost = TRUE;
      }
  }
}

/* ---- parts ------------------------------------------------------------------------------------------ */

static guint
root_of (guint *part, guint i)
{
  while (part[i] != i)
    i = part[i] = part[part[i]];
  return i;
}

static gboolean
is_bounded (const OwdMeshRelation *r)
{
  return !r->contradicts && isfinite (r->theta_ms);
}

static void
find_parts (Mesh *m)
{
  g_autofree guint *pairs_of = g_new0 (guint, m->n_nodes), *best = g_new (guint, m->n_nodes);
  g_autofree gboolean *trusted = g_new0 (gboolean, m->n_nodes);

  for (guint i = 0; i < m->n_nodes; i++)
    m->part[i] = best[i] = i;
  for (guint i = 0; i < m->n_pairs; i++) {
    guint a = root_of (m->part, m->pairs[i].a), b = root_of (m->part, m->pairs[i].b);

    if (!is_bounded (&m->relations[i]))
      continue;
    m->part[MAX (a, b)] = MIN (a, b);
    pairs_of[m->pairs[i].a]++;
    pairs_of[m->pairs[i].b]++;
  }
  for (guint i = 0; i < m->n_nodes; i++) {
    guint root = root_of (m->part, i);

    m->part[i] = root;
    trusted[root] = trusted[root] || isfinite (m->trust_ms[i]);
    if (pairs_of[i] > pairs_of[best[root]])
      best[root] = i;
  }
  for (guint i = 0; i < m->n_nodes; i++) {
    OwdMeshOffset *o = &m->offsets[i];

    o->reference = best[m->part[i]];
    if (trusted[m->part[i]])
      o->anchor = OWD_ANCHOR_TRUSTED;
    else if (pairs_of[o->reference] > 0)
      o->anchor = OWD_ANCHOR_REFERENCE;
  }
}

/* ---- bounds ----------------------------------------------------------------------------------------- */

/* Lowers to[j] to from[i] + by. */
static gboolean
relax (double *at, guint i, guint j, double by)
{
  if (!isfinite (by) || !(at[i] + by < at[j] - 1e-9))
    return FALSE;
  at[j] = at[i] + by;
  return TRUE;
}

/* Upper bounds of all offsets; with sign -1 of their negatives. FALSE: they never settle. */
static gboolean
upper_bounds (const Mesh *m, double sign, double *ret)
{
  gboolean changed = TRUE;

  for (guint i = 0; i < m->n_nodes; i++) {
    gboolean nailed = m->offsets[i].anchor == OWD_ANCHOR_REFERENCE && m->offsets[i].reference == i;

    ret[i] = nailed ? 0 : m->trust_ms[i];
  }
  for (guint round = 0; changed && round <= m->n_nodes; round++) {
    changed = FALSE;
    for (guint i = 0; i < m->n_pairs; i++) {
      const OwdMeshRelation *r = &m->relations[i];
      double up = sign > 0 ? r->hi_ms : -r->lo_ms, down = sign > 0 ? -r->lo_ms : r->hi_ms;

      if (r->contradicts)
        continue;
      changed = relax (ret, m->pairs[i].a, m->pairs[i].b, up) || changed;
      changed = relax (ret, m->pairs[i].b, m->pairs[i].a, down) || changed;
    }
  }
  return !changed;
}

static gboolean
bound_offsets (Mesh *m)
{
  g_autofree double *hi = g_new (double, m->n_nodes), *minus_lo = g_new (double, m->n_nodes);
  gboolean fine = upper_bounds (m, 1, hi) && upper_bounds (m, -1, minus_lo);

  for (guint i = 0; i < m->n_nodes; i++) {
    OwdMeshOffset *o = &m->offsets[i];

    o->lo_ms = fine ? -minus_lo[i] : -INFINITY;
    o->hi_ms = fine ? hi[i] : INFINITY;
    if (!fine || o->lo_ms > o->hi_ms)
      *o = (OwdMeshOffset){ .offset_ms = NAN, .lo_ms = -INFINITY, .hi_ms = INFINITY, .trust_lost = o->trust_lost };
  }
  return fine;
}

/* ---- least squares ---------------------------------------------------------------------------------- */

static double
weight (const OwdMeshRelation *r)
{
  double half = MAX ((r->hi_ms - r->lo_ms) / 2, LEAST_WIDTH_MS);

  return is_bounded (r) ? 1 / (half * half) : 0;
}

static double
anchor_weight (const Mesh *m, guint i)
{
  const OwdMeshOffset *o = &m->offsets[i];

  if (isfinite (m->trust_ms[i]))
    return 1 / pow (MAX (m->trust_ms[i], LEAST_WIDTH_MS), 2);
  return o->anchor == OWD_ANCHOR_REFERENCE && o->reference == i ? NAILED : o->anchor == OWD_ANCHOR_NONE ? 1 : 0;
}

/* out = (normal equations) x */
static void
apply (const Mesh *m, const double *x, double *out)
{
  for (guint i = 0; i < m->n_nodes; i++)
    out[i] = anchor_weight (m, i) * x[i];
  for (guint i = 0; i < m->n_pairs; i++) {
    double pull = weight (&m->relations[i]) * (x[m->pairs[i].b] - x[m->pairs[i].a]);

    out[m->pairs[i].b] += pull;
    out[m->pairs[i].a] -= pull;
  }
}

static double
dot (const double *x, const double *y, guint n)
{
  double sum = 0;

  for (guint i = 0; i < n; i++)
    sum += x[i] * y[i];
  return sum;
}

/* Conjugate gradients, from 0. */
static void
least_squares (const Mesh *m, double *x)
{
  guint n = m->n_nodes;
  g_autofree double *r = g_new0 (double, n), *p = g_new (double, n), *q = g_new (double, n);
  double rr, first;

  for (guint i = 0; i < m->n_pairs; i++) {
    double pull = weight (&m->relations[i]);

    if (pull == 0)
      continue;
    r[m->pairs[i].b] += pull * m->relations[i].theta_ms;
    r[m->pairs[i].a] -= pull * m->relations[i].theta_ms;
  }
  memcpy (p, r, n * sizeof *p);
  memset (x, 0, n * sizeof *x);
  rr = first = dot (r, r, n);
  for (guint round = 0; round < 20 * n + 100 && rr > first * 1e-22; round++) {
    double before = rr, step;

    apply (m, p, q);
    step = rr / dot (p, q, n);
    for (guint i = 0; i < n; i++) {
      x[i] += step * p[i];
      r[i] -= step * q[i];
    }
    rr = dot (r, r, n);
    for (guint i = 0; i < n; i++)
      p[i] = r[i] + rr / before * p[i];
  }
}

gboolean
owd_mesh_solve (const OwdMeshPair *pairs, guint n_pairs, const double *trust_ms, guint n_nodes,
                OwdMeshRelation *ret_relations, OwdMeshOffset *ret_offsets)
{
  g_autofree double *trust = g_memdup2 (trust_ms, n_nodes * sizeof *trust), *x = g_new (double, n_nodes);
  g_autofree guint *part = g_new (guint, n_nodes);
  Mesh m = { .pairs = pairs,
             .relations = ret_relations,
             .offsets = ret_offsets,
             .trust_ms = trust,
             .part = part,
             .n_pairs = n_pairs,
             .n_nodes = n_nodes };
  gboolean fine;

  memset (ret_offsets, 0, n_nodes * sizeof *ret_offsets);
  for (guint i = 0; i < n_pairs; i++)
    ret_relations[i] = relate (&pairs[i]);
  withdraw_trust (&m);
  find_parts (&m);
  fine = bound_offsets (&m);
  least_squares (&m, x);
  for (guint i = 0; i < n_nodes; i++)
    ret_offsets[i].offset_ms
        = ret_offsets[i].anchor == OWD_ANCHOR_NONE ? NAN : CLAMP (x[i], ret_offsets[i].lo_ms, ret_offsets[i].hi_ms);
  for (guint i = 0; i < n_pairs; i++)
    ret_relations[i].residual_ms
        = ret_relations[i].theta_ms - (ret_offsets[pairs[i].b].offset_ms - ret_offsets[pairs[i].a].offset_ms);
  return fine;
}

gboolean
owd_mesh_skew (const OwdMeshBound *bounds, guint n, double *ret_ppm, double *ret_lo_ppm, double *ret_hi_ppm)
{
  double t = 0, y = 0, tt = 0, ty = 0, lo = -INFINITY, hi = INFINITY;

  *ret_ppm = *ret_lo_ppm = *ret_hi_ppm = NAN;
  for (guint i = 0; i < n; i++) {
    t += bounds[i].at_s / n;
    y += (bounds[i].lo_ms + bounds[i].hi_ms) / 2 / n;
    for (guint k = 0; k < i; k++) {
      double span_s = bounds[i].at_s - bounds[k].at_s;

      lo = MAX (lo, (bounds[i].lo_ms - bounds[k].hi_ms) / span_s);
      hi = MIN (hi, (bounds[i].hi_ms - bounds[k].lo_ms) / span_s);
    }
  }
  if (n < 2 || lo > hi)
    return FALSE;
  for (guint i = 0; i < n; i++) {
    double dt = bounds[i].at_s - t;

    tt += dt * dt;
    ty += dt * ((bounds[i].lo_ms + bounds[i].hi_ms) / 2 - y);
  }
  *ret_ppm = CLAMP (ty / tt, lo, hi) * 1000; /* ms per s */
  *ret_lo_ppm = lo * 1000;
  *ret_hi_ppm = hi * 1000;
  return TRUE;
}
