-- SPDX-License-Identifier: Apache-2.0
--
-- Reading roll-ups. Three layers, all private; public functions stand on them:
--
--   owd.pieces   which resolution answers for which part of a range
--   owd.bins     counts, sums, extremes: one row per path, wanted bin and roll-up bin that it is made of
--   owd.buckets  histograms: one row per wanted bin and bucket
--
-- owd.path_sums and owd.path_buckets say the same of many paths at a time.
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

-- What owd.bins() says of [from_ts, to_ts) as a whole, of all paths, summed up as far as one statement per piece can: a row per path and
-- piece. bins: rows of owd.bins() with samples that are in it; p50_ns, p95_ns are right where there is but one in all. The percentiles of several
-- taken together lie between the smallest and the largest of theirs: p50_lo to p50_hi, p95_lo to p95_hi, all of them buckets.
CREATE OR REPLACE FUNCTION owd.path_sums (from_ts timestamptz, to_ts timestamptz)
RETURNS TABLE (path_id integer, n bigint, bins bigint, last_at timestamptz, sent bigint, lost bigint, min_ns bigint, max_ns bigint,
               sum_ns numeric, sigma_ns2 numeric, p50_ns float8, p95_ns float8, p50_lo smallint, p50_hi smallint, p95_lo smallint, p95_hi smallint)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 2000 COST 10000
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
  FOR p IN SELECT * FROM owd.pieces (from_ts, to_ts, owd.exact_width (from_ts, NULL)) LOOP
    IF p.piece = 0 THEN
      RETURN QUERY
      SELECT b.path_id, sum (b.n)::bigint, count (*) FILTER (WHERE b.n > 0), max (b.at) FILTER (WHERE b.n > 0), sum (b.sent)::bigint,
             sum (b.lost)::bigint, min (b.min_ns), max (b.max_ns), sum (b.sum_ns), sum (b.sigma_ns2), max (b.p50_ns), max (b.p95_ns),
             owd.bucket_of (min (b.p50_ns)::bigint), owd.bucket_of (max (b.p50_ns)::bigint),
             owd.bucket_of (min (b.p95_ns)::bigint), owd.bucket_of (max (b.p95_ns)::bigint)
        FROM owd.sample_bins (NULL, p.lo, p.hi, from_ts, NULL) b
       GROUP BY b.path_id;
      CONTINUE;
    END IF;
    w := make_interval (secs => p.piece);
    row_span := CASE WHEN p.piece < 3600 THEN interval '1 hour' ELSE interval '1 day' END;
    RETURN QUERY
    SELECT u.path_id, sum (u.n)::bigint, count (*) FILTER (WHERE u.n > 0), max (u.start + w * u.at) FILTER (WHERE u.n > 0),
           coalesce (sum (u.sent), 0)::bigint, coalesce (sum (u.lost), 0)::bigint, min (u.min_ns) FILTER (WHERE u.n > 0),
           max (u.max_ns) FILTER (WHERE u.n > 0), sum (u.sum_ns), sum (u.sigma_ns2),
           owd.bucket_ns (max (u.p50) FILTER (WHERE u.n > 0)), owd.bucket_ns (max (u.p95) FILTER (WHERE u.n > 0)),
           min (u.p50) FILTER (WHERE u.n > 0), max (u.p50) FILTER (WHERE u.n > 0),
           min (u.p95) FILTER (WHERE u.n > 0), max (u.p95) FILTER (WHERE u.n > 0)
      FROM (SELECT r.path_id, r.start, unnest (r.at[c.a:c.z]) AS at, unnest (r.n[c.a:c.z]) AS n, unnest (r.sent[c.a:c.z]) AS sent,
                   unnest (r.lost[c.a:c.z]) AS lost, unnest (r.min_ns[c.a:c.z]) AS min_ns, unnest (r.max_ns[c.a:c.z]) AS max_ns,
                   unnest (r.sum_ns[c.a:c.z]) AS sum_ns, unnest (r.sigma_ns2[c.a:c.z]) AS sigma_ns2,
                   unnest (r.p50[c.a:c.z]) AS p50, unnest (r.p95[c.a:c.z]) AS p95
              FROM owd.rollup r,
                   LATERAL owd.bins_within (r.start, row_span, p.piece, p.lo, p.hi) b,
                   LATERAL (SELECT width_bucket ((b.first - 1)::smallint, r.at) + 1, width_bucket ((b.beyond - 1)::smallint, r.at)
                             OFFSET 0) c (a, z)
             WHERE r.width = p.piece AND r.start > p.lo - row_span AND r.start < p.hi) u
     GROUP BY u.path_id;
  END LOOP;
END
$$;
COMMENT ON FUNCTION owd.path_sums (timestamptz, timestamptz) IS 'Sums of all paths over a range, in one row per path and resolution; private.';

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

-- Histograms as far as two percentiles need them: of the paths, each with the pair that it belongs to, how many delays fall into each
-- bucket of the pair's p50_lo to p95_hi; those below are counted as p50_lo - 1, those above not at all. A bucket may come in several
-- rows. Most of the time of a matrix goes here, by the entry: hence so little is done with each.
CREATE OR REPLACE FUNCTION owd.path_ranks (paths integer[], pairs integer[], p50_lo smallint[], p95_hi smallint[], from_ts timestamptz,
                                           to_ts timestamptz)
RETURNS TABLE (pair integer, bucket smallint, n bigint)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 50000 COST 10000
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  p record;
  row_span interval;
BEGIN
  FOR p IN SELECT * FROM owd.pieces (from_ts, to_ts, owd.exact_width (from_ts, NULL)) LOOP
    IF p.piece = 0 THEN
      RETURN QUERY
      SELECT k.pair, greatest (d.b, k.lo - 1)::smallint, sum (d.n)::bigint
        FROM unnest (paths, pairs, p50_lo, p95_hi) k (path_id, pair, lo, hi)
        JOIN owd.path_buckets (paths, p.lo, p.hi, NULL) d (path_id, bin, b, n) ON d.path_id = k.path_id AND d.b <= k.hi
       GROUP BY 1, 2;
      CONTINUE;
    END IF;
    row_span := CASE WHEN p.piece < 3600 THEN interval '1 hour' ELSE interval '1 day' END;
    RETURN QUERY
    -- 281470681743360: the bucket's bits of an entry; 281474976710655: with its count
    SELECT g.pair, ((g.place >> 32) - 32768)::smallint, g.n
      FROM (SELECT u.pair, greatest (u.h & 281470681743360, u.lo) AS place, sum (u.h & 4294967295)::bigint AS n
              FROM (SELECT r.pair, r.lo, r.beyond,
                           unnest (r.hist[width_bucket ((b.first << 48) - 1, r.hist) + 1 : width_bucket ((b.beyond << 48) - 1, r.hist)]) AS h
                      FROM (SELECT k.pair, r.start, (k.lo + 32767)::bigint << 32 AS lo, (k.hi + 32769)::bigint << 32 AS beyond, r.hist || '{}' AS hist
                              FROM owd.rollup r
                              JOIN unnest (paths, pairs, p50_lo, p95_hi) k (path_id, pair, lo, hi) ON k.path_id = r.path_id
                             WHERE r.width = p.piece AND r.start > p.lo - row_span AND r.start < p.hi
                            OFFSET 0) r, -- with || '{}': out of TOAST once
                           LATERAL owd.bins_within (r.start, row_span, p.piece, p.lo, p.hi) b) u
             WHERE u.h & 281474976710655 < u.beyond
             GROUP BY 1, 2) g;
  END LOOP;
END
$$;
COMMENT ON FUNCTION owd.path_ranks (integer[], integer[], smallint[], smallint[], timestamptz, timestamptz) IS 'Histograms of paths over a range, as far as median and 95th percentile need them; private.';
