-- SPDX-License-Identifier: Apache-2.0
--
-- Which paths got slow? The delay itself ranks the longest cables first, and the clocks that are off. So a path is held
-- against its own level: the median of the range or of the equally long time before it, whichever is smaller.
--
--   above_ms   p95 minus that level: what queues, and a new route, have added. A constant offset of a clock is not in it.
--   excess_ms  the part of it that coarse stamps do not explain: their own errors, taken as normal, put the 95th
--              percentile 1.645 sigma above the median, and independent spreads add in squares.
--
-- Paths are ranked by excess_ms; those without samples in the range are owd.connected()'s business.
CREATE OR REPLACE FUNCTION owd.worst (from_ts timestamptz, to_ts timestamptz, n integer DEFAULT 10)
RETURNS TABLE (src text, dst text, samples bigint, p50_ms float8, p95_ms float8, before_p50_ms float8, above_ms float8,
               excess_ms float8, sigma_ms float8, loss float8)
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE ROWS 10 COST 200000
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
  wanted integer := worst.n;
  bounded boolean;
BEGIN
  PERFORM owd.check_range ('owd.worst', from_ts, to_ts);
  IF wanted IS NULL OR wanted < 0 THEN
    RAISE EXCEPTION 'n is the number of paths wanted, 0 or more, not %', coalesce (wanted::text, 'NULL')
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  bounded := isfinite (from_ts) AND isfinite (to_ts) AND to_ts > from_ts;
  RETURN QUERY
  SELECT src, dst, m.n, m.p50_ms, m.p95_ms, b.p50_ms, l.above,
         sqrt (greatest (l.above * l.above - (1.645 * m.sigma_ms) ^ 2, 0)), m.sigma_ms, m.loss
    FROM owd.matrix (from_ts, to_ts) m
    LEFT JOIN owd.matrix (CASE WHEN bounded THEN from_ts - (to_ts - from_ts) ELSE '-infinity' END,
                          CASE WHEN bounded THEN from_ts ELSE '-infinity' END) b USING (src, dst)
    CROSS JOIN LATERAL (SELECT m.p95_ms - least (m.p50_ms, b.p50_ms)) l (above)
   WHERE m.n > 0
   ORDER BY 8 DESC, l.above DESC, src, dst
   LIMIT wanted;
END
$$;
COMMENT ON FUNCTION owd.worst (timestamptz, timestamptz, integer) IS
'The n paths that got slowest over [from_ts, to_ts), worst first; delays in ms.
before_p50_ms: median of the equally long time before, NULL: no sample. above_ms: p95_ms minus the smaller of both medians; offsets of clocks are not in it. excess_ms: the part of it that errors of the stamps (sigma_ms) do not explain; ranked by it. loss: share 0..1, NULL where nothing is known.';
