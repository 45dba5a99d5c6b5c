-- SPDX-License-Identifier: Apache-2.0
--
-- RFC 6049, 4.1 and 4.2 (mean and minimum of the finite delays): the means, and the minima, of a route's hops add up to
-- those of the whole, which is held against the direct measurement between its ends. The clocks of the points in
-- between cancel, as each is behind in one hop what it is ahead in the next; what is left is due to other packets, other
-- ways, or an error that a hop does not know of. A bin is there when every hop has samples in it.
CREATE OR REPLACE FUNCTION owd.compose (route text[], from_ts timestamptz, to_ts timestamptz, step interval)
RETURNS TABLE (bin timestamptz, n_least bigint, min_ms float8, mean_ms float8, stderr_ms float8, direct_n bigint,
               direct_min_ms float8, direct_mean_ms float8, direct_stderr_ms float8, diff_ms float8,
               diff_stderr_ms float8)
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE ROWS 100 COST 100000
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
  hops integer := coalesce (cardinality (route), 0) - 1;
  direct integer[];
BEGIN
  IF hops < 1 OR hops > 255 OR array_ndims (route) <> 1 THEN
    RAISE EXCEPTION 'a route is an array of 2 to 256 names of observation points'
      USING ERRCODE = 'invalid_parameter_value', HINT = 'For example: ARRAY[''edge-a'', ''core'', ''edge-b''].';
  END IF;
  route := route[array_lower (route, 1):array_upper (route, 1)];
  direct := owd.paths_of (route[1], route[hops + 1]);
  PERFORM owd.check_bins ('owd.compose', from_ts, to_ts, step);
  RETURN QUERY
  WITH composed AS (
    SELECT h.bin, min (h.n) AS n, sum (h.min_ns) AS min_ns, sum (h.mean_ns) AS mean_ns,
           sqrt (sum (h.stderr_ns * h.stderr_ns)) AS stderr_ns
      FROM generate_series (1, hops) i,
           owd.path_bins (owd.paths_of (route[i], route[i + 1]), from_ts, to_ts, step) h
     GROUP BY h.bin
    HAVING count (*) = hops
  )
  SELECT bin, c.n, c.min_ns / 1000000, c.mean_ns / 1000000, c.stderr_ns / 1000000, coalesce (d.n, 0),
         d.min_ns / 1000000, d.mean_ns / 1000000, d.stderr_ns / 1000000, (c.mean_ns - d.mean_ns) / 1000000,
         sqrt (c.stderr_ns * c.stderr_ns + d.stderr_ns * d.stderr_ns) / 1000000
    FROM composed c
    LEFT JOIN owd.path_bins (direct, from_ts, to_ts, step) d USING (bin)
   ORDER BY bin;
END
$$;
COMMENT ON FUNCTION owd.compose (text[], timestamptz, timestamptz, interval) IS
'One-way delay of a route, composed of its hops (RFC 6049), against the direct measurement between its ends, in ms, positive: seen later at the end, in bins of step, aligned to from_ts, over [from_ts, to_ts).
n_least: samples of the hop that has the fewest. min_ms, mean_ms: sums over the hops; stderr_ms: standard error of mean_ms. direct_*: the same from first to last point, measured; direct_n = 0 and NULL: no sample. diff_ms = mean_ms - direct_mean_ms, with its standard error. Bins in which a hop has no sample are left out; an unknown name is an error.';
