-- SPDX-License-Identifier: Apache-2.0
--
-- One path in bins as owd.timeline() has them, with what is needed to add and subtract paths:
--
--   mean_ns, min_ns   of the delays
--   stderr_ns         standard error of the mean, as in owd.timeline()
--   lo_ns, hi_ns      means of the samples' own intervals: the mean of the true delays lies between them
--   least_hi_ns       the smallest upper end: the delay of one packet of the bin was smaller
CREATE OR REPLACE FUNCTION owd.path_bins (paths integer[], from_ts timestamptz, to_ts timestamptz, step interval)
RETURNS TABLE (bin timestamptz, n bigint, min_ns float8, mean_ns float8, stderr_ns float8, lo_ns float8, hi_ns float8,
               least_hi_ns float8)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 100 COST 10000
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT b.bin, sum (b.n)::bigint, min (b.min_ns)::float8, (sum (b.sum_ns) / sum (b.n))::float8,
         sqrt ((greatest ((sum (b.square_ns2) - sum (b.sum_ns) * sum (b.sum_ns) / sum (b.n)) / greatest (sum (b.n) - 1, 1),
                          sum (b.sigma_ns2) / sum (b.n), 0) / sum (b.n))::float8),
         (sum (b.lo_ns) / sum (b.n))::float8, (sum (b.hi_ns) / sum (b.n))::float8, min (b.least_hi_ns)::float8
    FROM owd.bins (paths, from_ts, to_ts, step) b
   WHERE b.n > 0
   GROUP BY b.bin
$$;
COMMENT ON FUNCTION owd.path_bins (integer[], timestamptz, timestamptz, interval) IS 'Paths taken together, in bins of step; delays in ns; private.';
