-- SPDX-License-Identifier: Apache-2.0
--
-- Reading roll-ups. Three layers, all private; public functions stand on them:
--
--   owd.pieces   which resolution answers for which part of a range
--   owd.bins     counts, sums, extremes: one row per path, wanted bin and roll-up bin that it is made of
--   owd.buckets  histograms: one row per wanted bin and bucket
--
-- owd.path_buckets says the same of many paths at a time; owd.path_sums and owd.percentiles of all of them, over one range.
--
-- Up to filled_to a roll-up holds everything, behind it the next finer one does, at last the samples themselves: each
-- sample is counted once, and what is read is complete up to the watermark. All of one statement is read in one snapshot.

-- The coarsest width in s whose bins never lie across a border of bins of `step` that begin at from_ts; 0: only samples will
-- do. NULL step: one bin for everything.
CREATE OR REPLACE FUNCTION owd.exact_width (from_ts timestamptz, step interval) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN step IS NULL THEN 86400 ELSE coalesce (
  (SELECT max (w) FROM (VALUES (10), (60), (300), (3600), (86400)) v (w)
    WHERE extract (epoch FROM step) % w = 0 AND extract (epoch FROM from_ts) % w = 0), 0) END;
COMMENT ON FUNCTION owd.exact_width (timestamptz, interval) IS 'Width in s of the coarsest roll-up that is exact for bins of step from from_ts; private.';

-- [from_ts, to_ts) cut into pieces: of width s the bins that begin in [lo, hi); width 0: the samples of [lo, hi). As
-- coarse as `width` allows, finer at ragged ends and where coarser bins are not there yet. Where all that would be exact has been
-- dropped by retention, the finest that is left answers, and its bins count where they begin.
CREATE OR REPLACE FUNCTION owd.pieces (from_ts timestamptz, to_ts timestamptz, width integer)
RETURNS TABLE (piece integer, lo timestamptz, hi timestamptz)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 5
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  epoch CONSTANT timestamptz := '1970-01-01 00:00:00+00';
  missing tstzmultirange := CASE WHEN from_ts < to_ts THEN tstzmultirange (tstzrange (from_ts, to_ts)) ELSE '{}' END;
  have record;
  gap tstzrange;
BEGIN
  FOR have IN
    SELECT r.width, r.kept_from, r.filled_to, make_interval (secs => r.width) AS step, r.width <= pieces.width AS exact
      FROM owd.resolution r
     WHERE r.width >= 0
     ORDER BY exact DESC, CASE WHEN r.width <= pieces.width THEN -r.width ELSE r.width END
  LOOP
    FOR gap IN SELECT unnest (missing) LOOP
      lo := greatest (lower (gap), have.kept_from);
      hi := least (upper (gap), have.filled_to);
      IF have.exact AND have.width > 0 THEN
        lo := CASE WHEN isfinite (lo) THEN date_bin (have.step, lo + have.step - interval '1 microsecond', epoch) ELSE lo END;
        hi := CASE WHEN isfinite (hi) THEN date_bin (have.step, hi, epoch) ELSE hi END;
      END IF;
      IF lo < hi THEN
        piece := have.width;
        RETURN NEXT;
        missing := missing - tstzmultirange (tstzrange (lo, hi));
      END IF;
    END LOOP;
  END LOOP;
END
$$;
COMMENT ON FUNCTION owd.pieces (timestamptz, timestamptz, integer) IS 'Which resolution answers for which part of a range; private.';

-- The same three layers where only the samples will do: [lo, hi) is a piece of width 0. What was not kept raw counts as
-- long as no roll-up holds it.
CREATE OR REPLACE FUNCTION owd.sample_bins (paths integer[], lo timestamptz, hi timestamptz, from_ts timestamptz, step interval)
RETURNS TABLE (path_id integer, bin timestamptz, at timestamptz, n bigint, kept bigint, sent bigint, lost bigint, late bigint,
               min_ns bigint, max_ns bigint, first_ns bigint, last_ns bigint, least_hi_ns bigint, p05_ns float8, p50_ns float8,
               p95_ns float8, p99_ns float8, sum_ns numeric, lo_ns numeric, hi_ns numeric, square_ns2 numeric, bias_ns numeric, sigma_ns2 numeric, ipdv_ns numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 1000 COST 10000
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH delivered AS (
    SELECT s.path_id, s.ts, s.part, s.seq, 0 AS nr, s.owd_ns, s.lo_ns, s.hi_ns, s.sigma_ns, s.bias_ns
      FROM owd.sample s WHERE (paths IS NULL OR s.path_id = ANY (paths)) AND s.ts >= lo AND s.ts < hi
    UNION ALL
    SELECT e.path_id, e.ts, e.part, e.seq, e.nr, e.owd_ns, e.lo_ns, e.hi_ns, e.sigma_ns, e.bias_ns
      FROM owd.excess e WHERE (paths IS NULL OR e.path_id = ANY (paths)) AND e.ts >= lo AND e.ts < hi
  ), placed AS (
    SELECT d.*, CASE WHEN step IS NULL THEN from_ts ELSE date_bin (step, d.ts, from_ts) END AS b FROM delivered d
  ), ordered AS (
    SELECT p.path_id, p.b, p.nr, p.owd_ns, p.lo_ns, p.hi_ns, p.sigma_ns, p.bias_ns, lag (p.owd_ns) OVER same AS previous,
           lead (p.owd_ns) OVER same AS next
      FROM placed p WINDOW same AS (PARTITION BY p.path_id, p.b ORDER BY p.ts, p.part, p.seq, p.nr)
  ), summed AS (
    SELECT o.path_id, o.b, count (*) AS n, count (*) FILTER (WHERE o.nr = 0) AS kept, min (o.owd_ns) AS low, max (o.owd_ns) AS high,
           min (o.owd_ns) FILTER (WHERE o.previous IS NULL) AS first, min (o.owd_ns) FILTER (WHERE o.next IS NULL) AS last,
           min (o.hi_ns) AS least_hi, sum (o.lo_ns) AS lower, sum (o.hi_ns) AS upper,
           percentile_disc (ARRAY[0.05, 0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY o.owd_ns) AS q, sum (o.owd_ns) AS total,
           sum (o.owd_ns::numeric * o.owd_ns) AS square, sum (o.bias_ns) AS bias, sum (o.sigma_ns::numeric * o.sigma_ns) AS sigma,
           coalesce (sum (abs (o.owd_ns::numeric - o.previous)), 0) AS ipdv
      FROM ordered o GROUP BY o.path_id, o.b
  ), counted AS (
    SELECT t.path_id, CASE WHEN step IS NULL THEN from_ts ELSE date_bin (step, t.ts, from_ts) END AS b, sum (t.sent)::bigint AS sent,
           sum (t.lost)::bigint AS lost, sum (t.late)::bigint AS late
      FROM owd.tally t WHERE (paths IS NULL OR t.path_id = ANY (paths)) AND t.ts >= lo AND t.ts < hi
     GROUP BY 1, 2
  )
  SELECT s.path_id, s.b, greatest (s.b, lo), s.n, s.kept, 0::bigint, 0::bigint, 0::bigint, s.low, s.high, s.first, s.last,
         s.least_hi, s.q[1]::float8, s.q[2]::float8, s.q[3]::float8, s.q[4]::float8, s.total, s.lower, s.upper, s.square, s.bias, s.sigma, s.ipdv
    FROM summed s
  UNION ALL
  SELECT c.path_id, c.b, greatest (c.b, lo), 0::bigint, 0::bigint, c.sent, c.lost, c.late, NULL, NULL, NULL, NULL,
         NULL, NULL, NULL, NULL, NULL, 0::numeric, 0::numeric, 0::numeric, 0::numeric, 0::numeric, 0::numeric, 0::numeric
    FROM counted c;
END
$$;
COMMENT ON FUNCTION owd.sample_bins (integer[], timestamptz, timestamptz, timestamptz, interval) IS 'What owd.bins() says, from samples; private.';

-- Of a row of bins of width s, which begins at start and spans no more than row_span: the bins first <= at < beyond begin in [lo, hi).
-- at and hist rise with the bin, so width_bucket() finds their places by bisection: the others need not be unpacked.
CREATE OR REPLACE FUNCTION owd.bins_within (start timestamptz, row_span interval, width integer, lo timestamptz, hi timestamptz)
RETURNS TABLE (first bigint, beyond bigint)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 1
BEGIN ATOMIC
  SELECT ceil (extract (epoch FROM greatest (lo, start) - start) / width)::bigint,
         ceil (extract (epoch FROM least (hi, start + row_span) - start) / width)::bigint;
END;
COMMENT ON FUNCTION owd.bins_within (timestamptz, interval, integer, timestamptz, timestamptz) IS 'Which bins of a row begin in [lo, hi); private.';

-- Of the paths (NULL: all) what happened in [from_ts, to_ts), in bins of step from from_ts (NULL: one bin). One row per
-- path, bin and roll-up bin that lies in it (`at`: where that begins): whoever wants one row per bin groups, and takes
-- what lies between two rows of a path, in order of `at`, for ipdv: |first_ns - last_ns of the row before|. n is the number
-- of samples; where it is 0 there are counts, and delays are NULL. p05_ns ... are right for this row: where a bin has several, only
-- owd.buckets() can tell.
CREATE OR REPLACE FUNCTION owd.bins (paths integer[], from_ts timestamptz, to_ts timestamptz, step interval)
RETURNS TABLE (path_id integer, bin timestamptz, at timestamptz, n bigint, kept bigint, sent bigint, lost bigint, late bigint,
               min_ns bigint, max_ns bigint, first_ns bigint, last_ns bigint, least_hi_ns bigint, p05_ns float8, p50_ns float8,
               p95_ns float8, p99_ns float8, sum_ns numeric, lo_ns numeric, hi_ns numeric, square_ns2 numeric, bias_ns numeric, sigma_ns2 numeric, ipdv_ns numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 1000 COST 10000
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  p record;
  w interval;
  row_span interval;
BEGIN
  FOR p IN SELECT * FROM owd.pieces (from_ts, to_ts, owd.exact_width (from_ts, step)) LOOP
    IF p.piece = 0 THEN
      RETURN QUERY SELECT * FROM owd.sample_bins (paths, p.lo, p.hi, from_ts, step);
      CONTINUE;
    END IF;
    w := make_interval (secs => p.piece);
    row_span := CASE WHEN p.piece < 3600 THEN interval '1 hour' ELSE interval '1 day' END;
    RETURN QUERY
    SELECT u.path_id, CASE WHEN step IS NULL THEN from_ts ELSE date_bin (step, u.at, from_ts) END, u.at, u.n,
           coalesce (u.kept, u.n), coalesce (u.sent, 0), coalesce (u.lost, 0), coalesce (u.late, 0),
           CASE WHEN u.n > 0 THEN u.min_ns END, CASE WHEN u.n > 0 THEN u.max_ns END,
           CASE WHEN u.n > 0 THEN u.first_ns END, CASE WHEN u.n > 0 THEN u.last_ns END, CASE WHEN u.n > 0 THEN u.least_hi_ns END,
           CASE WHEN u.n > 0 THEN greatest (u.min_ns, least (u.max_ns, owd.bucket_ns (u.p05))) END,
           CASE WHEN u.n > 0 THEN greatest (u.min_ns, least (u.max_ns, owd.bucket_ns (u.p50))) END,
           CASE WHEN u.n > 0 THEN greatest (u.min_ns, least (u.max_ns, owd.bucket_ns (u.p95))) END,
           CASE WHEN u.n > 0 THEN greatest (u.min_ns, least (u.max_ns, owd.bucket_ns (u.p99))) END,
           u.sum_ns, u.lo_ns, u.hi_ns, u.square_ns2, u.bias_ns, u.sigma_ns2, u.ipdv_ns
      FROM (SELECT r.path_id, r.start + w * unnest (r.at[c.a:c.z]) AS at, unnest (r.n[c.a:c.z]) AS n,
                   unnest (r.kept[c.a:c.z]) AS kept, unnest (r.sent[c.a:c.z]) AS sent,
                   unnest (r.lost[c.a:c.z]) AS lost, unnest (r.late[c.a:c.z]) AS late,
                   unnest (r.min_ns[c.a:c.z]) AS min_ns, unnest (r.max_ns[c.a:c.z]) AS max_ns,
                   unnest (r.first_ns[c.a:c.z]) AS first_ns, unnest (r.last_ns[c.a:c.z]) AS last_ns,
                   unnest (r.least_hi_ns[c.a:c.z]) AS least_hi_ns, unnest (r.lo_ns[c.a:c.z]) AS lo_ns,
                   unnest (r.hi_ns[c.a:c.z]) AS hi_ns, unnest (r.p05[c.a:c.z]) AS p05, unnest (r.p50[c.a:c.z]) AS p50,
                   unnest (r.p95[c.a:c.z]) AS p95, unnest (r.p99[c.a:c.z]) AS p99,
                   unnest (r.sum_ns[c.a:c.z]) AS sum_ns, unnest (r.square_ns2[c.a:c.z]) AS square_ns2,
                   unnest (r.bias_ns[c.a:c.z]) AS bias_ns, unnest (r.sigma_ns2[c.a:c.z]) AS sigma_ns2,
                   unnest (r.ipdv_ns[c.a:c.z]) AS ipdv_ns
              FROM owd.rollup r,
                   LATERAL owd.bins_within (r.start, row_span, p.piece, p.lo, p.hi) b,
                   LATERAL (SELECT width_bucket ((b.first - 1)::smallint, r.at) + 1, width_bucket ((b.beyond - 1)::smallint, r.at)
                             OFFSET 0) c (a, z) -- OFFSET 0: worked out once
             WHERE r.width = p.piece AND (paths IS NULL OR r.path_id = ANY (paths)) AND r.start > p.lo - row_span
               AND r.start < p.hi) u;
  END LOOP;
END
$$;
COMMENT ON FUNCTION owd.bins (integer[], timestamptz, timestamptz, interval) IS 'Counts, sums and extremes of paths in bins of step, in one row per roll-up bin; private.';

-- [from_ts, to_ts) as one bin of all paths, cut into pieces as above; piece -1 is an edge [lo, hi), a row of owd.edge for 128 paths.
-- Piece -2 lies within an hour: from the hour's begin to hi less from there to lo, two edges that say all but the smallest and the largest
-- delay; those are in the bins of [lo, hi).
-- What is left at an end that edges do not cover, less than a minute, is read from the samples where these are all there, and
-- fewer than 60 for each path: so many are read in the time that the bins of 10 s of a path take.
CREATE OR REPLACE FUNCTION owd.wide_pieces (from_ts timestamptz, to_ts timestamptz)
RETURNS TABLE (piece integer, lo timestamptz, hi timestamptz)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 5
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  epoch CONSTANT timestamptz := '1970-01-01 00:00:00+00';
  hour CONSTANT interval := '1 hour';
  minute CONSTANT interval := '1 minute';
  edge owd.resolution;
  raw boolean;
  inner_lo timestamptz;
  inner_hi timestamptz;
  first timestamptz;
  last timestamptz;
  rest tstzmultirange;
  part tstzrange;
BEGIN
  IF NOT isfinite (from_ts) OR NOT isfinite (to_ts) OR from_ts >= to_ts THEN
    RETURN QUERY SELECT * FROM owd.pieces (from_ts, to_ts, 86400);
    RETURN;
  END IF;
  SELECT * INTO edge FROM owd.resolution r WHERE r.width = -1;
  inner_lo := date_bin (hour, from_ts + hour - interval '1 microsecond', epoch);
  inner_hi := date_bin (hour, to_ts, epoch);
  first := date_bin (minute, from_ts + minute - interval '1 microsecond', epoch);
  last := least (date_bin (minute, to_ts, epoch), edge.filled_to);
  rest := tstzmultirange (tstzrange (from_ts, to_ts));
  piece := -1;
  IF inner_lo <= inner_hi AND first < inner_lo AND inner_lo - hour >= edge.kept_from AND inner_lo <= edge.filled_to THEN
    lo := first;
    hi := inner_lo;
    rest := rest - tstzmultirange (tstzrange (lo, hi));
    RETURN NEXT;
  END IF;
  IF inner_lo <= inner_hi AND last > inner_hi AND inner_hi >= edge.kept_from THEN
    lo := inner_hi;
    hi := last;
    rest := rest - tstzmultirange (tstzrange (lo, hi));
    RETURN NEXT;
  END IF;
  IF inner_lo > inner_hi AND first < last AND inner_hi >= edge.kept_from
     AND NOT EXISTS (SELECT FROM owd.pieces (first, last, 300) q WHERE q.piece NOT IN (60, 300)) THEN
    piece := -2;
    lo := first;
    hi := last;
    rest := rest - tstzmultirange (tstzrange (lo, hi));
    RETURN NEXT;
  END IF;
  raw := NOT EXISTS (SELECT FROM owd.partition p WHERE p.excess > 0)
     AND (SELECT sum (p.seq) / greatest (extract (epoch FROM max (p.last_ts) - min (p.first_ts)), 1) FROM owd.partition p)
         <= (SELECT count (*) FROM owd.path);
  FOR part IN SELECT unnest (rest) LOOP
    IF raw AND upper (part) - lower (part) < minute AND lower (part) >= (SELECT r.kept_from FROM owd.resolution r WHERE r.width = 0) THEN
      piece := 0;
      lo := lower (part);
      hi := upper (part);
      RETURN NEXT;
    ELSE
      RETURN QUERY SELECT * FROM owd.pieces (lower (part), upper (part), 86400);
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION owd.wide_pieces (timestamptz, timestamptz) IS 'Which resolution answers for which part of a range, for all paths at once; private.';

-- What owd.bins() says of [from_ts, to_ts) as a whole, of all paths, in one row each. p50_ns, p95_ns are there where one bin, or the samples
-- alone, answer for the whole range; what several are put together from, owd.percentiles() knows. last_at: begin of the last
-- piece or bin with samples.
--
-- One statement over all pieces: their times stand in it as constants, so that the planner opens no table without need, and
-- each path is summed up once. Columns are unnested as far as they are asked for: much of the cost is what comes out of TOAST.
CREATE OR REPLACE FUNCTION owd.path_sums (from_ts timestamptz, to_ts timestamptz)
RETURNS TABLE (path_id integer, n bigint, last_at timestamptz, sent bigint, lost bigint, min_ns bigint, max_ns bigint,
               sum_ns numeric, sigma_ns2 numeric, p50_ns float8, p95_ns float8)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 2000 COST 10000
SET search_path = pg_catalog, pg_temp
SET datestyle = ISO
SET jit = off
AS $$
DECLARE
  p record;
  -- of a row of bins: those that begin in [lo, hi)
  bins CONSTANT text := $sql$
    SELECT u.path_id, sum (u.n)::bigint, to_timestamp (max (u.since + %1$s * u.at) FILTER (WHERE u.n > 0)),
           coalesce (sum (u.sent), 0)::bigint, coalesce (sum (u.lost), 0)::bigint,
           min (u.min_ns) FILTER (WHERE u.n > 0), max (u.max_ns) FILTER (WHERE u.n > 0), sum (u.sum_ns), sum (u.sigma_ns2), %5$s
      FROM (SELECT r.path_id, extract (epoch FROM r.start)::bigint AS since, unnest (r.at[c.a:c.z]) AS at, unnest (r.n[c.a:c.z]) AS n,
                   unnest (r.sent[c.a:c.z]) AS sent, unnest (r.lost[c.a:c.z]) AS lost, unnest (r.min_ns[c.a:c.z]) AS min_ns,
                   unnest (r.max_ns[c.a:c.z]) AS max_ns, unnest (r.sum_ns[c.a:c.z]) AS sum_ns, unnest (r.sigma_ns2[c.a:c.z]) AS sigma_ns2 %6$s
              FROM owd.rollup r,
                   LATERAL owd.bins_within (r.start, %2$L::interval, %1$s, %3$L::timestamptz, %4$L::timestamptz) b,
                   LATERAL (SELECT width_bucket ((b.first - 1)::smallint, r.at) + 1, width_bucket ((b.beyond - 1)::smallint, r.at)
                             OFFSET 0) c (a, z) -- OFFSET 0: worked out once
             WHERE r.width = %1$s AND r.start > %3$L::timestamptz - %2$L::interval AND r.start < %4$L) u
     GROUP BY u.path_id$sql$;
  -- of the same rows, only the extremes
  extremes CONSTANT text := $sql$
    SELECT u.path_id, 0, to_timestamp (max (u.since + %1$s * u.at)), 0, 0, min (u.min_ns), max (u.max_ns), 0, 0, NULL::float8, NULL::float8
      FROM (SELECT r.path_id, extract (epoch FROM r.start)::bigint AS since, unnest (r.at[c.a:c.z]) AS at, unnest (r.n[c.a:c.z]) AS n,
                   unnest (r.min_ns[c.a:c.z]) AS min_ns, unnest (r.max_ns[c.a:c.z]) AS max_ns
              FROM owd.rollup r,
                   LATERAL owd.bins_within (r.start, interval '1 hour', %1$s, %2$L::timestamptz, %3$L::timestamptz) b,
                   LATERAL (SELECT width_bucket ((b.first - 1)::smallint, r.at) + 1, width_bucket ((b.beyond - 1)::smallint, r.at)
                             OFFSET 0) c (a, z)
             WHERE r.width = %1$s AND r.start > %2$L::timestamptz - interval '1 hour' AND r.start < %3$L) u
     WHERE u.n > 0
     GROUP BY u.path_id$sql$;
  difference CONSTANT text := $sql$
    SELECT r.path_id + u.at, %3$s u.n, NULL::timestamptz, %3$s coalesce (u.sent, 0), %3$s coalesce (u.lost, 0), NULL::bigint, NULL::bigint, %3$s u.sum_ns, %3$s u.sigma_ns2,
           NULL::float8, NULL::float8
      FROM owd.edge r, LATERAL unnest (r.at, r.n, r.sent, r.lost, r.sum_ns, r.sigma_ns2) u (at, n, sent, lost, sum_ns, sigma_ns2)
     WHERE r.start = %1$L AND r.width = %2$s$sql$;
  edges CONSTANT text := $sql$
    SELECT r.path_id + u.at, u.n, CASE WHEN u.n > 0 THEN r.start END, coalesce (u.sent, 0), coalesce (u.lost, 0),
           CASE WHEN u.n > 0 THEN u.min_ns END, CASE WHEN u.n > 0 THEN u.max_ns END, u.sum_ns, u.sigma_ns2, NULL::float8, NULL::float8
      FROM owd.edge r, LATERAL unnest (r.at, r.n, r.sent, r.lost, r.min_ns, r.max_ns, r.sum_ns, r.sigma_ns2)
             u (at, n, sent, lost, min_ns, max_ns, sum_ns, sigma_ns2)
     WHERE r.start = %1$L AND r.width = %2$s$sql$;
  samples CONSTANT text := $sql$
    SELECT d.path_id, count (*), max (d.ts), 0::bigint, 0::bigint, min (d.owd_ns), max (d.owd_ns), sum (d.owd_ns),
           coalesce (sum (d.sigma_ns * d.sigma_ns) FILTER (WHERE d.sigma_ns BETWEEN -3000000000 AND 3000000000), 0)
           + coalesce (sum (d.sigma_ns::numeric * d.sigma_ns) FILTER (WHERE d.sigma_ns NOT BETWEEN -3000000000 AND 3000000000), 0), %3$s
      FROM (SELECT s.path_id, s.ts, s.owd_ns, s.sigma_ns FROM owd.sample s WHERE s.ts >= %1$L AND s.ts < %2$L
            UNION ALL SELECT e.path_id, e.ts, e.owd_ns, e.sigma_ns FROM owd.excess e WHERE e.ts >= %1$L AND e.ts < %2$L) d
     GROUP BY d.path_id
    UNION ALL
    SELECT t.path_id, 0, NULL, sum (t.sent)::bigint, sum (t.lost)::bigint, NULL, NULL, 0, 0, NULL, NULL
      FROM owd.tally t WHERE t.ts >= %1$L AND t.ts < %2$L
     GROUP BY t.path_id$sql$;
  parts text[] := '{}';
  hour timestamptz;
  several boolean := (SELECT count (*) > 1 OR bool_or (q.piece < 0 OR (q.piece > 0 AND q.hi > q.lo + make_interval (secs => q.piece)))
                        FROM owd.wide_pieces (from_ts, to_ts) q);
  none CONSTANT text := 'NULL::float8, NULL::float8';
BEGIN
  FOR p IN SELECT * FROM owd.wide_pieces (from_ts, to_ts) LOOP
    hour := date_trunc ('hour', p.lo, 'UTC');
    parts := parts || CASE
      WHEN p.piece = -2 THEN format (difference, hour, extract (epoch FROM p.hi - hour)::integer, '+') || ' UNION ALL '
        || format (difference, hour, extract (epoch FROM p.lo - hour)::integer, '-') || ' UNION ALL '
        || (SELECT string_agg (format (extremes, q.piece, q.lo, q.hi), ' UNION ALL ') FROM owd.pieces (p.lo, p.hi, 300) q)
      WHEN p.piece < 0 THEN format (edges, p.lo, extract (epoch FROM p.hi - p.lo)::integer)
      WHEN p.piece = 0 THEN format (samples, p.lo, p.hi, CASE WHEN several THEN none ELSE
        'percentile_disc (0.5) WITHIN GROUP (ORDER BY d.owd_ns)::float8, percentile_disc (0.95) WITHIN GROUP (ORDER BY d.owd_ns)::float8' END)
      ELSE format (bins, p.piece, CASE WHEN p.piece < 3600 THEN '1 hour' ELSE '1 day' END, p.lo, p.hi, CASE WHEN several THEN none ELSE
        'owd.bucket_ns (max (u.p50) FILTER (WHERE u.n > 0)), owd.bucket_ns (max (u.p95) FILTER (WHERE u.n > 0))' END,
        CASE WHEN several THEN '' ELSE ', unnest (r.p50[c.a:c.z]) AS p50, unnest (r.p95[c.a:c.z]) AS p95' END) END;
  END LOOP;
  IF cardinality (parts) > 0 THEN
    RETURN QUERY EXECUTE
      'SELECT path_id, sum (n)::bigint, max (last_at), sum (sent)::bigint, sum (lost)::bigint, min (min_ns), max (max_ns), sum (sum_ns),'
      ' sum (sigma_ns2), max (p50_ns), max (p95_ns) FROM (' || array_to_string (parts, ' UNION ALL ') || ') u (path_id, n, last_at, sent,'
      ' lost, min_ns, max_ns, sum_ns, sigma_ns2, p50_ns, p95_ns) GROUP BY path_id';
  END IF;
END
$$;
COMMENT ON FUNCTION owd.path_sums (timestamptz, timestamptz) IS 'Sums of all paths over a range, in one row per path; private.';

-- Histograms: of each path as many delays fall into each bucket, in bins of step as above. A bucket may come in several
-- rows: whoever reads sums them up.
CREATE OR REPLACE FUNCTION owd.path_buckets (paths integer[], from_ts timestamptz, to_ts timestamptz, step interval)
RETURNS TABLE (path_id integer, bin timestamptz, bucket smallint, n bigint)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 10000 COST 10000
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  p record;
  w interval;
  row_span interval;
BEGIN
  FOR p IN SELECT * FROM owd.pieces (from_ts, to_ts, owd.exact_width (from_ts, step)) LOOP
    IF p.piece = 0 THEN
      RETURN QUERY
      SELECT d.path_id, CASE WHEN step IS NULL THEN from_ts ELSE date_bin (step, d.ts, from_ts) END, owd.bucket_of (d.owd_ns), count (*)
        FROM (SELECT s.path_id, s.ts, s.owd_ns
                FROM owd.sample s WHERE (paths IS NULL OR s.path_id = ANY (paths)) AND s.ts >= p.lo AND s.ts < p.hi
              UNION ALL
              SELECT e.path_id, e.ts, e.owd_ns
                FROM owd.excess e WHERE (paths IS NULL OR e.path_id = ANY (paths)) AND e.ts >= p.lo AND e.ts < p.hi) d
       GROUP BY 1, 2, 3;
      CONTINUE;
    END IF;
    w := make_interval (secs => p.piece);
    row_span := CASE WHEN p.piece < 3600 THEN interval '1 hour' ELSE interval '1 day' END;
    RETURN QUERY
    SELECT u.path_id, CASE WHEN step IS NULL THEN from_ts ELSE date_bin (step, u.start + w * (u.h >> 48)::integer, from_ts) END,
           ((u.h >> 32 & 65535) - 32768)::smallint, sum (u.h & 4294967295)::bigint
      FROM (SELECT r.path_id, r.start,
                   unnest (r.hist[width_bucket ((b.first << 48) - 1, r.hist) + 1 : width_bucket ((b.beyond << 48) - 1, r.hist)]) AS h
              FROM (SELECT r.path_id, r.start, r.hist || '{}' AS hist
                      FROM owd.rollup r
                     WHERE r.width = p.piece AND (paths IS NULL OR r.path_id = ANY (paths)) AND r.start > p.lo - row_span
                       AND r.start < p.hi
                    OFFSET 0) r, -- with || '{}': out of TOAST once
                   LATERAL owd.bins_within (r.start, row_span, p.piece, p.lo, p.hi) b) u
     GROUP BY 1, 2, 3;
  END LOOP;
END
$$;
COMMENT ON FUNCTION owd.path_buckets (integer[], timestamptz, timestamptz, interval) IS 'Histograms of paths in bins of step; private.';

-- The histogram of all these paths together, per bin: as many delays fall into each bucket.
CREATE OR REPLACE FUNCTION owd.buckets (paths integer[], from_ts timestamptz, to_ts timestamptz, step interval)
RETURNS TABLE (bin timestamptz, bucket smallint, n bigint)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 1000 COST 10000
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
  SELECT b.bin, b.bucket, sum (b.n)::bigint
    FROM owd.path_buckets (paths, from_ts, to_ts, step) b
   GROUP BY b.bin, b.bucket
   ORDER BY b.bin, b.bucket;
END;
COMMENT ON FUNCTION owd.buckets (integer[], timestamptz, timestamptz, interval) IS 'Histogram of paths (all together) in bins of step: rows in order of bin, bucket; private.';

-- Percentiles of [from_ts, to_ts) of pairs, from the histograms of those of their paths that are wanted (NULL: all). A path's pair has its
-- number, but for `paths`, which belong to `pairs`. Most of the time of a matrix goes here, by the entry: so one statement over all pieces
-- reads each once and adds it up once, under one key: pair << 16 | bucket + 32768.
CREATE OR REPLACE FUNCTION owd.percentiles (wanted integer[], paths integer[], pairs integer[], from_ts timestamptz, to_ts timestamptz)
RETURNS TABLE (pair integer, p50_ns float8, p95_ns float8)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 2000 COST 10000
SET search_path = pg_catalog, pg_temp
SET datestyle = ISO
SET jit = off
AS $$
DECLARE
  p record;
  hour timestamptz;
  bins CONSTANT text := $sql$
    SELECT u.path | ((u.h >> 32) & 65535), (u.h & 4294967295)::float8
      FROM (SELECT r.path_id::bigint << 16 AS path,
                   unnest (r.hist[width_bucket ((b.first << 48) - 1, r.hist) + 1 : width_bucket ((b.beyond << 48) - 1, r.hist)]) AS h
              FROM (SELECT r.path_id, r.start, r.hist || '{}' AS hist FROM owd.rollup r
                     WHERE r.width = %1$s AND r.start > %3$L::timestamptz - %2$L::interval AND r.start < %4$L
                       AND ($1 IS NULL OR r.path_id = ANY ($1))
                    OFFSET 0) r, -- with || '{}': out of TOAST once
                   LATERAL owd.bins_within (r.start, %2$L::interval, %1$s, %3$L::timestamptz, %4$L::timestamptz) b) u$sql$;
  -- at << 48 | bucket << 32 | count: the key is what is left of the count, from path_id on
  edges CONSTANT text := $sql$
    SELECT u.path + (u.h >> 32), %3$s (u.h & 4294967295)::float8
      FROM (SELECT r.path_id::bigint << 16 AS path, unnest (r.hist) AS h FROM owd.edge r WHERE r.start = %1$L AND r.width = %2$s) u
     WHERE $1 IS NULL OR ((u.path + (u.h >> 32)) >> 16)::integer = ANY ($1)$sql$;
  samples CONSTANT text := $sql$
    SELECT d.path_id::bigint << 16 | owd.bucket_of (d.owd_ns) + 32768, 1::float8
      FROM (SELECT s.path_id, s.owd_ns FROM owd.sample s WHERE s.ts >= %1$L AND s.ts < %2$L
            UNION ALL SELECT e.path_id, e.owd_ns FROM owd.excess e WHERE e.ts >= %1$L AND e.ts < %2$L) d
     WHERE $1 IS NULL OR d.path_id = ANY ($1)$sql$;
  parts text[] := '{}';
  source text;
BEGIN
  FOR p IN SELECT * FROM owd.wide_pieces (from_ts, to_ts) LOOP
    hour := date_trunc ('hour', p.lo, 'UTC');
    parts := parts || CASE
      WHEN p.piece = -2 THEN format (edges, hour, extract (epoch FROM p.hi - hour)::integer, '+') || ' UNION ALL '
        || format (edges, hour, extract (epoch FROM p.lo - hour)::integer, '-')
      WHEN p.piece < 0 THEN format (edges, p.lo, extract (epoch FROM p.hi - p.lo)::integer, '')
      WHEN p.piece = 0 THEN format (samples, p.lo, p.hi)
      ELSE format (bins, p.piece, CASE WHEN p.piece < 3600 THEN '1 hour' ELSE '1 day' END, p.lo, p.hi) END;
  END LOOP;
  IF cardinality (parts) = 0 THEN
    RETURN;
  END IF;
  source := '(' || array_to_string (parts, ' UNION ALL ') || ') u (place, n)';
  IF cardinality (paths) > 0 THEN
    source := '(SELECT coalesce (m.pair::bigint, u.place >> 16) << 16 | (u.place & 65535), u.n FROM ' || source
      || ' LEFT JOIN unnest ($2, $3) m (path, pair) ON m.path = u.place >> 16) u (place, n)';
  END IF;
  -- counts of a pair added up, bucket by bucket: where a share is reached, width_bucket() finds by bisection
  RETURN QUERY EXECUTE $sql$
    SELECT d.pair::integer, owd.bucket_ns (((d.places[width_bucket (ceil (d.n / 2) - 1, d.uptos) + 1] & 65535) - 32768)::smallint),
           owd.bucket_ns (((d.places[width_bucket (ceil (19 * d.n / 20) - 1, d.uptos) + 1] & 65535) - 32768)::smallint)
      FROM (SELECT r.pair, max (r.upto) AS n, array_agg (r.place) AS places, array_agg (r.upto) AS uptos
              FROM (SELECT c.place >> 16 AS pair, c.place, sum (c.n) OVER (PARTITION BY c.place >> 16 ORDER BY c.place ROWS UNBOUNDED PRECEDING) AS upto
                      FROM (SELECT u.place, sum (u.n) AS n FROM $sql$ || source || $sql$ GROUP BY u.place HAVING sum (u.n) > 0) c
                     ORDER BY c.place >> 16, c.place) r
             GROUP BY r.pair) d $sql$
    USING wanted, paths, pairs;
END
$$;
COMMENT ON FUNCTION owd.percentiles (integer[], integer[], integer[], timestamptz, timestamptz) IS 'Percentiles of pairs over a range, in ns; private.';
