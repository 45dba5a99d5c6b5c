-- SPDX-License-Identifier: Apache-2.0
CREATE OR REPLACE FUNCTION owd.heatmap (src text, dst text, from_ts timestamptz, to_ts timestamptz, step interval,
                                        merge integer DEFAULT 10)
RETURNS TABLE (bin timestamptz, lo_ms float8, hi_ms float8, n bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE ROWS 1000 COST 20000
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
  wanted integer[] := owd.paths_of (src, dst);
BEGIN
  PERFORM owd.check_bins ('owd.heatmap', from_ts, to_ts, step), owd.check_merge (merge);
  RETURN QUERY
  SELECT c.bin, owd.cell_lo_ms (c.cell, merge), owd.cell_hi_ms (c.cell, merge), c.n
    FROM (SELECT b.bin, owd.cell_of (b.bucket, merge) AS cell, sum (b.n)::bigint AS n
            FROM owd.buckets (wanted, from_ts, to_ts, step) b
           GROUP BY 1, 2) c
   ORDER BY c.bin, c.cell;
END
$$;
COMMENT ON FUNCTION owd.heatmap (text, text, timestamptz, timestamptz, interval, integer) IS
'One-way delays from src to dst over time: in the bin of step that begins at bin, n samples lie between lo_ms and hi_ms (ms, positive: seen later at dst), over [from_ts, to_ts).
Cells as in owd.histogram; merge = 10 makes them 22 % high. Empty cells are left out; an unknown name is an error.';
