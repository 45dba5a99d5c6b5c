-- SPDX-License-Identifier: Apache-2.0
--
-- One path in bins as owd.timeline() has them, with what is needed to add and subtract paths:
--
--   mean_ns, min_ns   of the delays
--   stderr_ns         standard error of the mean, as in owd.timeline()
--   lo_ns, hi_ns      means of the samples' own intervals: the mean of the true delays lies between them
--   least_hi_ns       the smallest upper end: no delay of the bin's quickest packet can have been larger
CREATE OR REPLACE FUNCTION owd.path_bins (paths integer[], from_ts timestamptz, to_ts timestamptz, step interval)
RETURNS TABLE (bin timestamptz, n bigint, min_ns float8, mean_ns float8, stderr_ns float8, lo_ns float8, hi_ns float8,
               least_hi_ns float8)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 100 COST 10000
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT date_bin (step, s.ts, from_ts) AS b, count (*), min (s.owd_ns)::float8, avg (s.owd_ns)::float8,
         sqrt (greatest (coalesce (var_samp (s.owd_ns::float8), 0), avg (s.sigma_ns::float8 * s.sigma_ns::float8))
               / count (*)),
         avg (s.lo_ns)::float8, avg (s.hi_ns)::float8, min (s.hi_ns)::float8
    FROM owd.sample s
   WHERE s.path_id = ANY (paths) AND s.ts >= from_ts AND s.ts < to_ts
   GROUP BY b;
END
$$;
COMMENT ON FUNCTION owd.path_bins (integer[], timestamptz, timestamptz, interval) IS 'Paths taken together, in bins of step; delays in ns; private.';
