-- SPDX-License-Identifier: Apache-2.0
--
-- One path in bins as owd.timeline() has them, with what is needed to add and subtract paths:
--
--   mean_ns, min_ns   of the delays
--   stderr_ns         standard error of the mean, as in owd.timeline()
--   reach_ns          the mean is no further from that of the true delays, as far as stamps and headers say. A sample's
--                     interval is as wide as up to four uniform errors together (two stamps, two boot times), and sigma
--                     is the root of the sum of their squares / 12: half of it is at most sqrt (12) sigma, and the mean of
--                     that over samples at most sqrt (12) times the root mean square of sigma.
CREATE OR REPLACE FUNCTION owd.path_bins (paths integer[], from_ts timestamptz, to_ts timestamptz, step interval)
RETURNS TABLE (bin timestamptz, n bigint, min_ns float8, mean_ns float8, stderr_ns float8, reach_ns float8)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 100 COST 10000
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT b.bin, sum (b.n)::bigint, min (b.min_ns)::float8, (sum (b.sum_ns) / sum (b.n))::float8,
         sqrt ((greatest ((sum (b.square_ns2) - sum (b.sum_ns) * sum (b.sum_ns) / sum (b.n)) / greatest (sum (b.n) - 1, 1),
                          sum (b.sigma_ns2) / sum (b.n), 0) / sum (b.n))::float8),
         sqrt ((12 * sum (b.sigma_ns2) / sum (b.n))::float8)
    FROM owd.bins (paths, from_ts, to_ts, step) b
   WHERE b.n > 0
   GROUP BY b.bin
$$;
COMMENT ON FUNCTION owd.path_bins (integer[], timestamptz, timestamptz, interval) IS 'Paths taken together, in bins of step; delays in ns; private.';
