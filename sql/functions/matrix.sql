-- SPDX-License-Identifier: Apache-2.0
--
-- Every pair of points that was ever seen, with what happened in [from_ts, to_ts): a pair that has fallen silent stays,
-- with n = 0 and its last_seen. Percentiles as in owd.timeline(). sigma_ms: root mean square of the stated sigma, so
-- what one sample of this pair is good for.
CREATE OR REPLACE FUNCTION owd.matrix (from_ts timestamptz, to_ts timestamptz)
RETURNS TABLE (src text, dst text, n bigint, min_ms float8, mean_ms float8, p50_ms float8, p95_ms float8, sigma_ms float8,
               loss float8, last_seen timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE ROWS 1000 COST 100000
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  IF from_ts IS NULL OR to_ts IS NULL THEN
    RAISE EXCEPTION 'owd.matrix needs a from_ts and a to_ts' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  RETURN QUERY
  WITH named AS (
    SELECT p.path_id, a.name AS src, b.name AS dst,
           min (p.path_id) OVER (PARTITION BY a.name, b.name) AS pair
      FROM owd.path p
      JOIN owd.point a ON a.point_id = p.src_id
      JOIN owd.point b ON b.point_id = p.dst_id
  ), summed AS (
    SELECT p.pair, count (*) AS n, avg (s.owd_ns)::float8 AS mean,
           sqrt (avg (s.sigma_ns::float8 * s.sigma_ns::float8)) AS sigma,
           percentile_disc (ARRAY[0, 0.5, 0.95]) WITHIN GROUP (ORDER BY s.owd_ns) AS q
      FROM owd.sample s
      JOIN named p ON p.path_id = s.path_id
     WHERE s.ts >= from_ts AND s.ts < to_ts
     GROUP BY p.pair
  ), seen AS (
    SELECT p.pair, p.src, p.dst, max (l.ts) AS last
      FROM named p
      LEFT JOIN LATERAL (SELECT s.ts FROM owd.sample s
                          WHERE s.path_id = p.path_id AND s.ts < to_ts ORDER BY s.ts DESC LIMIT 1) l ON true
     GROUP BY p.pair, p.src, p.dst
  )
  SELECT p.src, p.dst, coalesce (t.n, 0), t.q[1]::float8 / 1000000, t.mean / 1000000, t.q[2]::float8 / 1000000,
         t.q[3]::float8 / 1000000, t.sigma / 1000000, NULL::float8, p.last
    FROM seen p
    LEFT JOIN summed t ON t.pair = p.pair
   ORDER BY p.src, p.dst;
END
$$;
COMMENT ON FUNCTION owd.matrix (timestamptz, timestamptz) IS
'Every ordered pair of points ever seen, with its one-way delay over [from_ts, to_ts) in ms, positive: seen later at dst.
n = 0 and NULL delays: no sample in the range. sigma_ms: root mean square of the stated standard deviation of one sample. loss: share 0..1, NULL where nothing is known. last_seen: last sample before to_ts.';
