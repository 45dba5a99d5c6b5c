/* SPDX-License-Identifier: Apache-2.0
 *
 * Least delays out of the samples, calibrations by probes, and what the profiler makes of them.
 */
#include "store-private.h"

#include <math.h>

typedef struct {
  char text[24];
} Text;

static const char *
number (Text *text, gint64 value)
{
  g_snprintf (text->text, sizeof text->text, "%" G_GINT64_FORMAT, value);
  return text->text;
}

GArray *
owd_store_least_delays (OwdStore *self, OwdTime from_ns, OwdTime to_ns, guint n_bins, guint least_n, GError **error)
{
  Text t[4];
  const char *const values[]
      = { number (&t[0], from_ns), number (&t[1], to_ns), number (&t[2], n_bins), number (&t[3], least_n) };
  g_autoptr (OwdTable) table = owd_store_ask (
      self, "reading least delays",
      "SELECT s.src, s.dst, width_bucket (extract (epoch FROM s.ts)::float8, r.lo, r.hi, $3::integer) - 1 AS bin,"
      "       count (*), percentile_disc (0.01) WITHIN GROUP (ORDER BY s.hi_ms)"
      "  FROM (SELECT owd.ts_of_ns ($1::bigint) AS from_ts, owd.ts_of_ns ($2::bigint) AS to_ts,"
      "               $1::float8 / 1e9 AS lo, $2::float8 / 1e9 AS hi) r,"
      "       owd.samples s"
      " WHERE s.ts >= r.from_ts AND s.ts < r.to_ts AND s.flags & 64 = 0"
      " GROUP BY s.src, s.dst, bin HAVING count (*) >= $4::bigint ORDER BY s.src, s.dst, bin",
      G_N_ELEMENTS (values), values, error);
  GArray *rows;

  if (table == NULL)
    return NULL;
  rows = g_array_new (FALSE, TRUE, sizeof (OwdLeastDelay));
  g_array_set_size (rows, table->n_rows);
  for (guint i = 0; i < table->n_rows; i++) {
    char *const *cells = &table->cells[(gsize) i * table->n_columns];
    OwdLeastDelay *d = &g_array_index (rows, OwdLeastDelay, i);

    g_strlcpy (d->src, cells[0], sizeof d->src);
    g_strlcpy (d->dst, cells[1], sizeof d->dst);
    d->bin = MIN ((guint) g_ascii_strtoull (cells[2], NULL, 10), n_bins - 1);
    d->n = g_ascii_strtoull (cells[3], NULL, 10);
    d->least_ms = g_ascii_strtod (cells[4], NULL);
  }
  return rows;
}

/* NULL is no bound. */
static double
cell_or (const char *cell, double none)
{
  return cell != NULL ? g_ascii_strtod (cell, NULL) : none;
}

GArray *
owd_store_calibrations (OwdStore *self, OwdTime from_ns, OwdTime to_ns, GError **error)
{
  Text t[2];
  const char *const values[] = { number (&t[0], from_ns), number (&t[1], to_ns) };
  g_autoptr (OwdTable) table
      = owd_store_ask (self, "reading calibrations",
                       "SELECT c.clock, c.point, (extract (epoch FROM c.from_ts) * 1000000000)::bigint,"
                       "       (extract (epoch FROM c.to_ts) * 1000000000)::bigint, c.lo_ms, c.hi_ms, c.clock_error_ms"
                       "  FROM owd.calibration c"
                       " WHERE c.from_ts < owd.ts_of_ns ($2::bigint) AND c.to_ts > owd.ts_of_ns ($1::bigint)"
                       " ORDER BY c.clock, c.point, c.from_ts",
                       G_N_ELEMENTS (values), values, error);
  GArray *rows;

  if (table == NULL)
    return NULL;
  rows = g_array_new (FALSE, TRUE, sizeof (OwdCalibrated));
  g_array_set_size (rows, table->n_rows);
  for (guint i = 0; i < table->n_rows; i++) {
    char *const *cells = &table->cells[(gsize) i * table->n_columns];
    OwdCalibrated *c = &g_array_index (rows, OwdCalibrated, i);

    g_strlcpy (c->clock, cells[0], sizeof c->clock);
    g_strlcpy (c->point, cells[1], sizeof c->point);
    c->from_ns = g_ascii_strtoll (cells[2], NULL, 10);
    c->to_ns = g_ascii_strtoll (cells[3], NULL, 10);
    c->lo_ms = cell_or (cells[4], -INFINITY);
    c->hi_ms = cell_or (cells[5], INFINITY);
    c->error_ms = cell_or (cells[6], INFINITY);
  }
  return rows;
}

gboolean
owd_store_clocks (OwdStore *self, OwdTime to_ns, const char *relations, const char *offsets, GError **error)
{
  Text t;
  const char *const values[] = { number (&t, to_ns), relations, offsets };
  g_autoptr (OwdTable) table = owd_store_ask (
      self, "writing clock relations",
      "WITH r AS ("
      "  INSERT INTO owd.clock_relation (from_ts, to_ts, a, b, result)"
      "  SELECT owd.ts_of_ns ((x ->> 'from_ns')::bigint), owd.ts_of_ns ($1::bigint), x ->> 'a', x ->> 'b',"
      "         x - 'a' - 'b' - 'from_ns' FROM jsonb_array_elements ($2::jsonb) x),"
      " o AS ("
      "  INSERT INTO owd.clock_offset (from_ts, to_ts, point, result)"
      "  SELECT owd.ts_of_ns ((x ->> 'from_ns')::bigint), owd.ts_of_ns ($1::bigint), x ->> 'point',"
      "         x - 'point' - 'from_ns' FROM jsonb_array_elements ($3::jsonb) x)"
      " SELECT 1",
      G_N_ELEMENTS (values), values, error);

  return table != NULL;
}
