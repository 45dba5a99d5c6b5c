-- SPDX-License-Identifier: Apache-2.0
--
-- What owd.samples has of a path's samples. Bins are those of owd.timeline() for the same arguments; where retention has
-- removed samples it still tells what share of them was kept when they came.
CREATE OR REPLACE FUNCTION owd.kept (src text, dst text, from_ts timestamptz, to_ts timestamptz, step interval)
RETURNS TABLE (bin timestamptz, n bigint, kept bigint, share float8)
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE ROWS 100 COST 10000
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
  wanted integer[] := owd.paths_of (src, dst);
BEGIN
  PERFORM owd.check_bins ('owd.kept', from_ts, to_ts, step);
  RETURN QUERY
  SELECT b.bin, sum (b.n)::bigint, sum (b.kept)::bigint, (sum (b.kept) / sum (b.n))::float8
    FROM owd.bins (wanted, from_ts, to_ts, step) b
   WHERE b.n > 0
   GROUP BY b.bin
   ORDER BY b.bin;
END
$$;
COMMENT ON FUNCTION owd.kept (text, text, timestamptz, timestamptz, interval) IS
'Of the n samples that count in each bin of owd.timeline(), how many were kept as raw samples (owd.samples), and their share 0..1: below 1 where raw-samples-per-minute left some out, by a hash of the flow.
Bins without samples are left out; an unknown name is an error.';
