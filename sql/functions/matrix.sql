-- SPDX-License-Identifier: Apache-2.0
--
-- Every pair of points that was ever seen, with what happened in [from_ts, to_ts): a pair that has fallen silent stays,
-- with n = 0 and its last_seen. Percentiles and loss as in owd.timeline(). last_seen is a sample's own time as long as samples
-- of that time are kept, then the beginning of the roll-up bin. sigma_ms: root mean square of the stated sigma, so
-- what one sample of this pair is good for.
CREATE OR REPLACE FUNCTION owd.matrix (from_ts timestamptz, to_ts timestamptz)
RETURNS TABLE (src text, dst text, n bigint, min_ms float8, mean_ms float8, p50_ms float8, p95_ms float8, sigma_ms float8,
               loss float8, last_seen timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE ROWS 1000 COST 100000
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET plan_cache_mode = force_custom_plan
SET jit = off
SET work_mem = '32MB'
AS $$
#variable_conflict use_column
DECLARE
  just_before timestamptz;
BEGIN
  IF from_ts IS NULL OR to_ts IS NULL THEN
    RAISE EXCEPTION 'owd.matrix needs a from_ts and a to_ts' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  -- where four samples of each path are on average; no more than a minute
  SELECT to_ts - least (4 * (SELECT count (*) FROM owd.path) * extract (epoch FROM max (p.last_ts) - min (p.first_ts)) / nullif (sum (p.seq), 0), 60)
                 * interval '1 s'
    INTO just_before
    FROM owd.partition p;
  -- not in a table that nobody has analyzed yet: all of it would be read
  IF EXISTS (SELECT FROM owd.tables_of ('owd.sample') t JOIN pg_class c ON c.oid = format ('owd.%I', t.name)::regclass
              WHERE t.lo < to_ts AND t.hi > just_before AND c.reltuples <= 0) THEN
    just_before := to_ts;
  END IF;
  RETURN QUERY
  WITH named AS MATERIALIZED (
    SELECT p.path_id, a.name AS src, b.name AS dst, p.last_ts, min (p.path_id) OVER (PARTITION BY a.name, b.name) AS pair
      FROM owd.path p
      JOIN owd.point a ON a.point_id = p.src_id
      JOIN owd.point b ON b.point_id = p.dst_id
  ), summed AS MATERIALIZED (
    SELECT p.pair, count (*) AS paths, sum (b.n)::bigint AS n, min (b.min_ns)::float8 AS low, max (b.max_ns)::float8 AS high,
           sum (b.sum_ns) AS total, sum (b.sigma_ns2) AS sigma, max (b.p50_ns) AS p50, max (b.p95_ns) AS p95,
           sum (b.sent) AS sent, sum (b.lost) AS lost, max (b.last_at) AS last
      FROM owd.path_sums (from_ts, to_ts) b
      JOIN named p ON p.path_id = b.path_id
     GROUP BY p.pair
  ), percentile AS (
    -- what is put together of several bins, or several paths, has its percentiles in their histograms only
    SELECT q.pair, q.p50_ns AS p50, q.p95_ns AS p95
      FROM (SELECT CASE WHEN bool_or (s.p50 IS NULL) THEN NULL ELSE array_agg (p.path_id) FILTER (WHERE s.paths > 1) END,
                   array_agg (p.path_id) FILTER (WHERE p.path_id <> p.pair), array_agg (p.pair) FILTER (WHERE p.path_id <> p.pair)
              FROM summed s JOIN named p ON p.pair = s.pair
             WHERE s.n > 0
            HAVING bool_or (s.paths > 1 OR s.p50 IS NULL)) w (wanted, paths, pairs)
     CROSS JOIN LATERAL owd.percentiles (w.wanted, w.paths, w.pairs, from_ts, to_ts) q
  ), late AS MATERIALIZED (
    -- most paths had a sample just before to_ts: one look for all of them
    SELECT s.path_id, max (s.ts) AS ts FROM owd.sample s WHERE s.ts >= just_before AND s.ts < to_ts GROUP BY s.path_id
  ), seen AS (
    SELECT p.pair, p.src, p.dst, max (CASE WHEN p.last_ts < to_ts THEN greatest (p.last_ts, e.ts, l.ts) ELSE coalesce (e.ts, l.ts) END) AS last
      FROM named p
     CROSS JOIN (SELECT r.filled_to FROM owd.resolution r WHERE r.width = 60) f
      LEFT JOIN late e ON e.path_id = p.path_id
      LEFT JOIN LATERAL (SELECT s.ts FROM owd.sample s
                          WHERE e.ts IS NULL AND s.path_id = p.path_id AND s.ts < to_ts
                            AND s.ts >= CASE WHEN p.last_ts < to_ts THEN f.filled_to ELSE '-infinity' END
                          ORDER BY s.ts DESC LIMIT 1) l ON true
     GROUP BY p.pair, p.src, p.dst
  )
  SELECT p.src, p.dst, coalesce (t.n, 0)::bigint, t.low / 1000000, (t.total / nullif (t.n, 0))::float8 / 1000000,
         greatest (t.low, least (t.high, coalesce (q.p50, t.p50))) / 1000000, greatest (t.low, least (t.high, coalesce (q.p95, t.p95))) / 1000000,
         sqrt ((t.sigma / nullif (t.n, 0))::float8) / 1000000, (t.lost / nullif (t.sent, 0))::float8, coalesce (p.last, t.last)
    FROM seen p
    LEFT JOIN summed t ON t.pair = p.pair
    LEFT JOIN percentile q ON q.pair = p.pair
   ORDER BY p.src, p.dst;
END
$$;
COMMENT ON FUNCTION owd.matrix (timestamptz, timestamptz) IS
'Every ordered pair of points ever seen, with its one-way delay over [from_ts, to_ts) in ms, positive: seen later at dst.
n = 0 and NULL delays: no sample in the range. sigma_ms: root mean square of the stated standard deviation of one sample. loss: share 0..1 (RFC 7680), NULL where nothing is known. last_seen: last sample before to_ts.';
