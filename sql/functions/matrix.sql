-- SPDX-License-Identifier: Apache-2.0
--
-- Every pair of points that was ever seen, with what happened in [from_ts, to_ts): a pair that has fallen silent stays,
-- with n = 0 and its last_seen. Percentiles as in owd.timeline(). sigma_ms: root mean square of the stated sigma, so
-- what one sample of this pair is good for.
CREATE OR REPLACE FUNCTION owd.matrix (from_ts timestamptz, to_ts timestamptz)
RETURNS TABLE (src text, dst text, n bigint, min_ms float8, mean_ms float8, p50_ms float8, p95_ms float8, sigma_ms float8,
               loss float8, last_seen timestamptz)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 1000 COST 100000
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
  WITH summed AS (
    SELECT s.path_id, count (*) AS n, avg (s.owd_ns)::float8 AS mean,
           sqrt (avg (s.sigma_ns::float8 * s.sigma_ns::float8)) AS sigma,
           percentile_disc (ARRAY[0, 0.5, 0.95]) WITHIN GROUP (ORDER BY s.owd_ns) AS q
      FROM owd.sample s
     WHERE s.ts >= from_ts AND s.ts < to_ts
     GROUP BY s.path_id
  )
  SELECT a.name, b.name, coalesce (t.n, 0), t.q[1]::float8 / 1000000, t.mean / 1000000, t.q[2]::float8 / 1000000,
         t.q[3]::float8 / 1000000, t.sigma / 1000000, NULL::float8, l.ts
    FROM owd.path p
    JOIN owd.point a ON a.point_id = p.src_id
    JOIN owd.point b ON b.point_id = p.dst_id
    LEFT JOIN summed t ON t.path_id = p.path_id
    LEFT JOIN LATERAL (SELECT s.ts FROM owd.sample s
                        WHERE s.path_id = p.path_id AND s.ts < to_ts ORDER BY s.ts DESC LIMIT 1) l ON true
   ORDER BY a.name, b.name;
END
$$;
COMMENT ON FUNCTION owd.matrix (timestamptz, timestamptz) IS
'Every ordered pair of points ever seen, with its one-way delay over [from_ts, to_ts) in ms, positive: seen later at dst.
n = 0 and NULL delays: no sample in the range. sigma_ms: root mean square of the stated standard deviation of one sample. loss: share 0..1, NULL where nothing is known. last_seen: last sample before to_ts.';
