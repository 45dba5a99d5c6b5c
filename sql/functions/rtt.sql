-- SPDX-License-Identifier: Apache-2.0
--
-- The round trip: delay from a to b plus delay from b to a, each from its own packets, where one bin has both. An
-- offset between the two clocks is in both with opposite signs, so it is gone, as long as it does not change within
-- the bin (a clock that drifts by 100 ppm changes by 6 ms in a minute).
--
--   mean_ms       sum of both means; stderr_ms its standard error: both add up in squares
--   lo_ms, hi_ms  the interval that holds the mean, from those of the samples: it holds however the phases of coarse
--                 stamps may lie; mean_ms +- 2 stderr_ms is narrower and rests on phases that are independent
--   min_ms        sum of both minima: no packet need have made this round trip
CREATE OR REPLACE FUNCTION owd.rtt (a text, b text, from_ts timestamptz, to_ts timestamptz, step interval)
RETURNS TABLE (bin timestamptz, n_ab bigint, n_ba bigint, min_ms float8, mean_ms float8, stderr_ms float8, lo_ms float8,
               hi_ms float8)
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE ROWS 100 COST 20000
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
  there integer[] := owd.paths_of (a, b);
  back integer[] := owd.paths_of (b, a);
BEGIN
  PERFORM owd.check_bins ('owd.rtt', from_ts, to_ts, step);
  RETURN QUERY
  SELECT bin, t.n, r.n, (t.min_ns + r.min_ns) / 1000000, (t.mean_ns + r.mean_ns) / 1000000,
         sqrt (t.stderr_ns * t.stderr_ns + r.stderr_ns * r.stderr_ns) / 1000000, (t.lo_ns + r.lo_ns) / 1000000,
         (t.hi_ns + r.hi_ns) / 1000000
    FROM owd.path_bins (there, from_ts, to_ts, step) t
    JOIN owd.path_bins (back, from_ts, to_ts, step) r USING (bin)
   ORDER BY bin;
END
$$;
COMMENT ON FUNCTION owd.rtt (text, text, timestamptz, timestamptz, interval) IS
'Round trip in ms between a and b in bins of step, aligned to from_ts, over [from_ts, to_ts): delay a to b plus delay b to a. Needs no common clock: offsets cancel.
n_ab, n_ba: samples of each direction. mean_ms with its standard error stderr_ms; the mean lies in [lo_ms, hi_ms). min_ms: sum of both minima. Bins without samples of both directions are left out; an unknown name is an error.';
