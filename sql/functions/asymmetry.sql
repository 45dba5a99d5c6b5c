-- SPDX-License-Identifier: Apache-2.0
--
-- Both directions held against each other. With theta, by which b's clock is ahead of a's, and the true delays d:
--
--   measured (a to b) = d(ab) + theta          measured (b to a) = d(ba) - theta
--
-- Their difference is 2 theta + d(ab) - d(ba), and passive stamps cannot tell one from the other. What they can tell:
-- no delay is negative, so theta <= measured (a to b) and theta >= -measured (b to a) for every packet. So
--
--   offset_ms                   half the difference of the minima: theta, if both ways take equally long
--   offset_lo_ms, offset_hi_ms  the interval that holds theta whatever the ways are, as far as it did not change within
--                               the bin; it is as wide as the smallest round trip, plus the errors of the stamps
--
-- An interval that does not hold 0 proves that a clock is off. A difference that jumps while owd.rtt() stays is a clock
-- that was set; one that jumps together with it is a route that has changed.
CREATE OR REPLACE FUNCTION owd.asymmetry (a text, b text, from_ts timestamptz, to_ts timestamptz, step interval)
RETURNS TABLE (bin timestamptz, n_ab bigint, n_ba bigint, min_diff_ms float8, mean_diff_ms float8, stderr_ms float8,
               offset_ms float8, offset_lo_ms float8, offset_hi_ms float8)
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE ROWS 100 COST 20000
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
  there integer[] := owd.paths_of (a, b);
  back integer[] := owd.paths_of (b, a);
BEGIN
  PERFORM owd.check_bins ('owd.asymmetry', from_ts, to_ts, step);
  RETURN QUERY
  SELECT bin, t.n, r.n, (t.min_ns - r.min_ns) / 1000000, (t.mean_ns - r.mean_ns) / 1000000,
         sqrt (t.stderr_ns * t.stderr_ns + r.stderr_ns * r.stderr_ns) / 1000000, (t.min_ns - r.min_ns) / 2000000,
         -r.least_hi_ns / 1000000, t.least_hi_ns / 1000000
    FROM owd.path_bins (there, from_ts, to_ts, step) t
    JOIN owd.path_bins (back, from_ts, to_ts, step) r USING (bin)
   ORDER BY bin;
END
$$;
COMMENT ON FUNCTION owd.asymmetry (text, text, timestamptz, timestamptz, interval) IS
'Delay a to b minus delay b to a, in ms, in bins of step, aligned to from_ts, over [from_ts, to_ts): positive, a to b is slower or b''s clock ahead.
n_ab, n_ba: samples of each direction. min_diff_ms, mean_diff_ms: difference of the minima, of the means; stderr_ms: standard error of the latter. offset_ms: by how much b''s clock is ahead of a''s if both ways are equally long; it lies in [offset_lo_ms, offset_hi_ms] however long they are. Bins without samples of both directions are left out; an unknown name is an error.';
