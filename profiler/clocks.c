/* SPDX-License-Identifier: Apache-2.0
 *
 * A time range is looked at in a dozen parts. Where the bounds of all parts agree they count together; where those of a
 * pair contradict each other a clock was moved meanwhile, and the whole mesh is taken from the parts behind that. Where
 * headers have told whose clock it was, only pairs with it are; a move that is small beside what a pair's bounds leave
 * open contradicts nothing.
 *
 * Probes that calibrated exporters join the mesh by their clocks: the clock at an end of a probe is a node beside the
 * exporters, bound to each exporter that it calibrated by what that found, and trusted by as much as it states of
 * itself. A clock that states nothing still ties its exporters to each other.
 */
#include "clocks.h"

#include "owd-light.h"
#include "owd-mesh.h"

#include <math.h>
#include <string.h>

#define BINS 12
#define LEAST_N 20              /* samples of a path in a part */
#define UNSYNCHRONISED_MS 16000 /* a clock that states so much states nothing */

/* Least delays of a pair; [0] from a to b, [1] back. */
typedef struct {
  guint a, b;
  double least_ms[2][BINS]; /* INFINITY: too few */
  guint64 n[2][BINS];
} Pair;

/* A calibration of a point by a clock: of the mesh a pair. */
typedef struct {
  guint clock, point;
  OwdCalibrated found;
} Tie;

typedef struct {
  const OwdConfig *config;
  OwdTime from_ns, to_ns;
  GPtrArray *names; /* by node; points first, then clocks of probes */
  guint n_points;
  GHashTable *nodes;   /* name -> node + 1 */
  GArray *pairs;       /* Pair */
  GHashTable *by_pair; /* a << 32 | b -> index + 1 */
  GArray *ties;        /* Tie */
  OwdMeshPair *mesh;
  OwdMeshRelation *relations;
  OwdMeshOffset *offsets;
  double *trust_ms;
  guint *behind; /* by node: the first part behind all moves of its clock */
} Clocks;

/* ---- from rows to pairs ----------------------------------------------------------------------------- */

static guint
node_of (Clocks *c, const char *name)
{
  guint known = GPOINTER_TO_UINT (g_hash_table_lookup (c->nodes, name));

  if (known == 0) {
    char *copy = g_strdup (name);

    g_ptr_array_add (c->names, copy);
    known = c->names->len;
    g_hash_table_insert (c->nodes, copy, GUINT_TO_POINTER (known));
  }
  return known - 1;
}

static Pair *
pair_of (Clocks *c, guint a, guint b)
{
  gint64 key = (gint64) a << 32 | b;
  guint known = GPOINTER_TO_UINT (g_hash_table_lookup (c->by_pair, &key));

  if (known == 0) {
    Pair pair = { .a = a, .b = b };

    for (guint i = 0; i < BINS; i++)
      pair.least_ms[0][i] = pair.least_ms[1][i] = INFINITY;
    g_array_append_val (c->pairs, pair);
    known = c->pairs->len;
    g_hash_table_insert (c->by_pair, g_memdup2 (&key, sizeof key), GUINT_TO_POINTER (known));
  }
  return &g_array_index (c->pairs, Pair, known - 1);
}

static void
take_rows (Clocks *c, const GArray *rows)
{
  for (guint i = 0; i < rows->len; i++) {
    const OwdLeastDelay *d = &g_array_index (rows, OwdLeastDelay, i);
    guint src = node_of (c, d->src), dst = node_of (c, d->dst);
    gboolean back = src > dst;
    Pair *pair = pair_of (c, MIN (src, dst), MAX (src, dst));

    pair->least_ms[back][d->bin] = d->least_ms;
    pair->n[back][d->bin] = d->n;
  }
}

/* Points are known by now. */
static guint
clock_of (Clocks *c, const char *clock)
{
  g_autofree char *name = g_strdup_printf ("probe %s", clock);

  for (guint i = c->n_points; i < c->names->len; i++)
    if (strcmp (g_ptr_array_index (c->names, i), name) == 0)
      return i;
  g_ptr_array_add (c->names, g_steal_pointer (&name));
  return c->names->len - 1;
}

static void
take_calibrations (Clocks *c, const GArray *rows)
{
  for (guint i = 0; i < rows->len; i++)
    (void) node_of (c, g_array_index (rows, OwdCalibrated, i).point);
  c->n_points = c->names->len;
  for (guint i = 0; i < rows->len; i++) {
    const OwdCalibrated *found = &g_array_index (rows, OwdCalibrated, i);
    Tie tie = { .clock = clock_of (c, found->clock), .point = node_of (c, found->point), .found = *found };

    g_array_append_val (c->ties, tie);
  }
}

static const OwdConfigExporter *
configured (const Clocks *c, guint node)
{
  for (guint i = 0; i < owd_config_n_exporters (c->config); i++)
    if (strcmp (owd_config_exporter (c->config, i)->name, g_ptr_array_index (c->names, node)) == 0)
      return owd_config_exporter (c->config, i);
  return NULL;
}

/* Of an exporter as configured, of a probe's clock as it states, over all windows. */
static double
trust_of (const Clocks *c, guint node, double bound_ms)
{
  double trust_ms = 0;

  if (node < c->n_points) {
    const OwdConfigExporter *ex = configured (c, node);

    return ex != NULL && ex->ntp_trusted ? bound_ms : INFINITY;
  }
  for (guint i = 0; i < c->ties->len; i++) {
    const Tie *tie = &g_array_index (c->ties, Tie, i);

    if (tie->clock == node)
      trust_ms = MAX (trust_ms, tie->found.error_ms);
  }
  return trust_ms < UNSYNCHRONISED_MS ? trust_ms : INFINITY;
}

static double
floor_ms (const Clocks *c, guint a, guint b)
{
  const OwdConfigExporter *x = configured (c, a), *y = configured (c, b);

  if (x == NULL || y == NULL || !x->has_site || !y->has_site)
    return 0;
  return owd_light_ms (x->latitude, x->longitude, y->latitude, y->longitude);
}

static double
least (const double *bins, guint from)
{
  double ms = INFINITY;

  for (guint i = from; i < BINS; i++)
    ms = MIN (ms, bins[i]);
  return ms;
}

/* What calibrations of one point by one clock say together: one whose bounds do not meet those of another contradicts
 * itself, as a pair does whose clock was moved. */
static void
tie_together (OwdMeshPair *pair, const OwdCalibrated *found)
{
  pair->ab_ms = MIN (pair->ab_ms, found->hi_ms);
  pair->ba_ms = MIN (pair->ba_ms, -found->lo_ms);
}

static OwdTime
begin_of (const Clocks *c, guint part)
{
  return c->from_ns + (c->to_ns - c->from_ns) / BINS * part;
}

/* The first part that counts for two nodes. */
static guint
first_part (const Clocks *c, guint from, guint a, guint b)
{
  return MAX (from, MAX (c->behind[a], c->behind[b]));
}

/* Calibrations that meet the time from part `from` on, behind the pairs. Returns: number of both. */
static guint
add_ties (Clocks *c, guint from)
{
  guint n = c->pairs->len;

  for (guint i = 0; i < c->ties->len; i++) {
    const Tie *tie = &g_array_index (c->ties, Tie, i);
    OwdMeshPair pair = { .a = tie->clock, .b = tie->point, .ab_ms = INFINITY, .ba_ms = INFINITY };

    if (tie->found.to_ns <= begin_of (c, first_part (c, from, tie->clock, tie->point)))
      continue;
    /* ordered: those of one clock and point follow each other */
    if (n == c->pairs->len || c->mesh[n - 1].a != pair.a || c->mesh[n - 1].b != pair.b)
      c->mesh[n++] = pair;
    tie_together (&c->mesh[n - 1], &tie->found);
  }
  return n;
}

/* From part `from` on. FALSE: some pair's bounds contradict each other. */
static gboolean
solve (Clocks *c, guint from)
{
  gboolean fine;
  guint n;

  for (guint i = 0; i < c->pairs->len; i++) {
    const Pair *p = &g_array_index (c->pairs, Pair, i);
    guint first = first_part (c, from, p->a, p->b);

    c->mesh[i] = (OwdMeshPair){ .a = p->a,
                                .b = p->b,
                                .ab_ms = least (p->least_ms[0], first),
                                .ba_ms = least (p->least_ms[1], first),
                                .floor_ms = floor_ms (c, p->a, p->b) };
  }
  n = add_ties (c, from);
  fine = owd_mesh_solve (c->mesh, n, c->trust_ms, c->names->len, c->relations, c->offsets);
  for (guint i = 0; i < n; i++)
    fine = fine && !c->relations[i].contradicts;
  return fine;
}

/* Leaves out as much of the time as holds a clock's move: parts from the front until the rest agrees, and one more,
 * since the move may lie early in the first part that does not contradict any more. Returns: the first part in use. */
static guint
solve_newest (Clocks *c)
{
  guint from = 0;

  while (!solve (c, from) && from < BINS - 1)
    from++;
  if (from > 0 && from < BINS - 1)
    (void) solve (c, ++from);
  return from;
}

/* Points without samples have no part in this. */
static void
take_moves (Clocks *c, const OwdClockMove *moves, guint n_moves)
{
  for (guint i = 0; i < n_moves; i++) {
    guint node = GPOINTER_TO_UINT (g_hash_table_lookup (c->nodes, moves[i].point)), part = 0;

    while (part < BINS && begin_of (c, part) < moves[i].at_ns)
      part++;
    if (node > 0)
      c->behind[node - 1] = MAX (c->behind[node - 1], part);
  }
}

/* ---- what came out ---------------------------------------------------------------------------------- */

static void
json_number (GString *out, const char *name, double value)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];

  if (isfinite (value))
    g_string_append_printf (out, ",\"%s\":%s", name, g_ascii_formatd (text, sizeof text, "%.9g", value));
}

static void
json_name (GString *out, const char *name, const char *text)
{
  g_string_append_printf (out, "\"%s\":\"", name);
  for (const char *p = text; *p != '\0'; p++) {
    if (*p == '"' || *p == '\\')
      g_string_append_c (out, '\\');
    g_string_append_c (out, (guchar) *p < 0x20 ? ' ' : *p);
  }
  g_string_append_c (out, '"');
}

/* Nodes of one part of the mesh share their reference. */
static gboolean
is_anchored_by (const Clocks *c, guint node, guint first, guint n)
{
  for (guint i = first; i < n; i++)
    if (c->offsets[i].reference == c->offsets[node].reference && isfinite (c->trust_ms[i]) && !c->offsets[i].trust_lost)
      return TRUE;
  return FALSE;
}

static const char *
anchor_text (const Clocks *c, guint node)
{
  const OwdMeshOffset *o = &c->offsets[node];

  if (o->anchor == OWD_ANCHOR_NONE)
    return "none";
  if (o->anchor == OWD_ANCHOR_REFERENCE)
    return g_ptr_array_index (c->names, o->reference);
  if (!is_anchored_by (c, node, c->n_points, c->names->len))
    return "ntp-trusted";
  return is_anchored_by (c, node, 0, c->n_points) ? "ntp-trusted, probe" : "probe";
}

static void
skew_of (const Clocks *c, guint i, guint from, double ret[3])
{
  const Pair *p = &g_array_index (c->pairs, Pair, i);
  double bin_s = (double) (c->to_ns - c->from_ns) / (double) OWD_NS_PER_S / BINS;
  OwdMeshBound bounds[BINS];
  guint n = 0;

  for (guint k = from; k < BINS; k++)
    if (isfinite (p->least_ms[0][k]) && isfinite (p->least_ms[1][k]))
      bounds[n++] = (OwdMeshBound){ .at_s = bin_s * k,
                                    .lo_ms = c->mesh[i].floor_ms - p->least_ms[1][k],
                                    .hi_ms = p->least_ms[0][k] - c->mesh[i].floor_ms };
  (void) owd_mesh_skew (bounds, n, &ret[0], &ret[1], &ret[2]);
}

static void
json_from (GString *out, const Clocks *c, guint part)
{
  g_string_append_printf (out, ",\"from_ns\":\"%" G_GINT64_FORMAT "\"", begin_of (c, part));
}

static double
count (const guint64 *n, guint from)
{
  guint64 sum = 0;

  for (guint i = from; i < BINS; i++)
    sum += n[i];
  return (double) sum;
}

static void
add_relation (const Clocks *c, guint i, guint from, GString *json)
{
  const Pair *p = &g_array_index (c->pairs, Pair, i);
  guint first = first_part (c, from, p->a, p->b);
  const OwdMeshPair *m = &c->mesh[i];
  const OwdMeshRelation *r = &c->relations[i];
  double theta_ms = c->offsets[p->b].offset_ms - c->offsets[p->a].offset_ms, skew[3];

  if (first == BINS)
    return;
  skew_of (c, i, first, skew);
  g_string_append (json, json->len > 1 ? ",{" : "{");
  json_name (json, "a", g_ptr_array_index (c->names, p->a));
  g_string_append_c (json, ',');
  json_name (json, "b", g_ptr_array_index (c->names, p->b));
  g_string_append_c (json, ',');
  json_name (json, "anchor", anchor_text (c, p->a));
  json_from (json, c, first);
  json_number (json, "n_ab", count (p->n[0], first));
  json_number (json, "n_ba", count (p->n[1], first));
  json_number (json, "least_ab_ms", m->ab_ms);
  json_number (json, "least_ba_ms", m->ba_ms);
  json_number (json, "floor_ms", m->floor_ms);
  json_number (json, "rtt_ms", r->rtt_ms);
  if (!r->contradicts) {
    json_number (json, "theta_ms", r->theta_ms);
    json_number (json, "lo_ms", r->lo_ms);
    json_number (json, "hi_ms", r->hi_ms);
    json_number (json, "residual_ms", r->residual_ms);
    json_number (json, "corrected_ab_ms", m->ab_ms - theta_ms);
    json_number (json, "corrected_ba_ms", m->ba_ms + theta_ms);
  }
  json_number (json, "skew_ppm", skew[0]);
  json_number (json, "skew_lo_ppm", skew[1]);
  json_number (json, "skew_hi_ppm", skew[2]);
  g_string_append_c (json, '}');
}

static void
add_offset (const Clocks *c, guint i, guint from, GString *json, GString *out)
{
  const OwdMeshOffset *o = &c->offsets[i];
  const char *name = g_ptr_array_index (c->names, i);
  guint first = MAX (from, c->behind[i]);
  char text[OWD_TIME_TEXT];

  g_string_append (json, json->len > 1 ? ",{" : "{");
  json_name (json, "point", name);
  g_string_append_c (json, ',');
  json_name (json, "anchor", anchor_text (c, i));
  json_from (json, c, MIN (first, BINS - 1));
  json_number (json, "offset_ms", o->offset_ms);
  json_number (json, "lo_ms", o->lo_ms);
  json_number (json, "hi_ms", o->hi_ms);
  g_string_append_printf (json, ",\"trusted\":%s,\"trust_lost\":%s}",
                          isfinite (c->trust_ms[i]) && !o->trust_lost ? "true" : "false",
                          o->trust_lost ? "true" : "false");
  if (o->trust_lost)
    g_string_append_printf (
        out,
        "  ! %s is configured as ntp-trusted, but its clock cannot be right: packets would be faster "
        "than light. Check its NTP, or set ntp-trusted = no.\n",
        name);
  if (first > from && first == BINS)
    g_string_append_printf (out, "  ! The clock of %s was moved, or may have been, at the end: nothing binds it.\n",
                            name);
  else if (first > from)
    g_string_append_printf (out, "  ! The clock of %s was moved, or may have been: only what came after %s counts.\n",
                            name, owd_time_text (begin_of (c, first), text));
  if (o->anchor == OWD_ANCHOR_NONE)
    g_string_append_printf (out, "  %-24s no traffic in both directions binds its clock to another\n", name);
  else if (o->anchor == OWD_ANCHOR_REFERENCE && o->reference == i)
    g_string_append_printf (out, "  %-24s reference: no clock beside it is trusted\n", name);
  else
    g_string_append_printf (out, "  %-24s %+.3f ms, in [%+.3f, %+.3f], against %s\n", name, o->offset_ms, o->lo_ms,
                            o->hi_ms, anchor_text (c, i));
}

static gboolean
report (Clocks *c, OwdStore *store, guint from, GString *out, GError **error)
{
  g_autoptr (GString) relations = g_string_new ("["), offsets = g_string_new ("[");
  OwdTime from_ns = begin_of (c, from);
  char text[2][OWD_TIME_TEXT];

  g_string_append_printf (out, "Clocks against each other, %s to %s\n", owd_time_text (from_ns, text[0]),
                          owd_time_text (c->to_ns, text[1]));
  if (from > 0)
    g_string_append (out, "  ! A clock was moved before that: nothing holds for the whole time.\n");
  for (guint i = 0; i < c->pairs->len; i++)
    add_relation (c, i, from, relations);
  for (guint i = 0; i < c->n_points; i++)
    add_offset (c, i, from, offsets, out);
  for (guint i = c->n_points; i < c->names->len; i++)
    if (c->offsets[i].trust_lost)
      g_string_append_printf (
          out, "  ! The clock of %s states an error of %.3f ms, but cannot be as right as that: check its NTP.\n",
          (const char *) g_ptr_array_index (c->names, i), c->trust_ms[i]);
  g_string_append_c (relations, ']');
  g_string_append_c (offsets, ']');
  g_string_append_c (out, '\n');
  return owd_store_clocks (store, c->to_ns, relations->str, offsets->str, error);
}

static void
clear (Clocks *c)
{
  g_hash_table_unref (c->nodes);
  g_hash_table_unref (c->by_pair);
  g_ptr_array_unref (c->names);
  g_array_unref (c->pairs);
  g_array_unref (c->ties);
  g_free (c->mesh);
  g_free (c->relations);
  g_free (c->offsets);
  g_free (c->trust_ms);
  g_free (c->behind);
}

gboolean
clocks_relate (OwdStore *store, const OwdConfig *config, OwdTime from_ns, OwdTime to_ns, const OwdClockMove *moves,
               guint n_moves, GString *out, GError **error)
{
  g_autoptr (GArray) rows = owd_store_least_delays (store, from_ns, to_ns, BINS, LEAST_N, error);
  g_autoptr (GArray) calibrations = rows != NULL ? owd_store_calibrations (store, from_ns, to_ns, error) : NULL;
  double bound_ms = (double) owd_config_duration_ns (config, "profiler", "ntp-bound") / (double) OWD_NS_PER_MS;
  Clocks c = { .config = config, .from_ns = from_ns, .to_ns = to_ns };
  gboolean fine = TRUE;

  if (calibrations == NULL)
    return FALSE;
  if (!owd_config_bool (config, "profiler", "probe-anchor"))
    g_array_set_size (calibrations, 0);
  c.names = g_ptr_array_new_with_free_func (g_free);
  c.nodes = g_hash_table_new (g_str_hash, g_str_equal);
  c.pairs = g_array_new (FALSE, FALSE, sizeof (Pair));
  c.by_pair = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  c.ties = g_array_new (FALSE, FALSE, sizeof (Tie));
  take_rows (&c, rows);
  take_calibrations (&c, calibrations);
  c.mesh = g_new0 (OwdMeshPair, c.pairs->len + c.ties->len);
  c.relations = g_new0 (OwdMeshRelation, c.pairs->len + c.ties->len);
  c.offsets = g_new0 (OwdMeshOffset, c.names->len);
  c.trust_ms = g_new (double, c.names->len);
  c.behind = g_new0 (guint, c.names->len);
  take_moves (&c, moves, n_moves);
  for (guint i = 0; i < c.names->len; i++)
    c.trust_ms[i] = trust_of (&c, i, bound_ms);
  if (c.pairs->len + c.ties->len > 0)
    fine = report (&c, store, solve_newest (&c), out, error);
  clear (&c);
  return fine;
}
