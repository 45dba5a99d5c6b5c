-- SPDX-License-Identifier: Apache-2.0
CREATE OR REPLACE FUNCTION owd.histogram (src text, dst text, from_ts timestamptz, to_ts timestamptz,
                                          merge integer DEFAULT 1)
RETURNS TABLE (lo_ms float8, hi_ms float8, n bigint, share float8, upto float8)
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE ROWS 200 COST 20000
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
  wanted integer[] := owd.paths_of (src, dst);
BEGIN
  PERFORM owd.check_range ('owd.histogram', from_ts, to_ts), owd.check_merge (merge);
  RETURN QUERY
  SELECT owd.cell_lo_ms (c.cell, merge), owd.cell_hi_ms (c.cell, merge), c.n, c.n / sum (c.n) OVER ()::float8,
         sum (c.n) OVER (ORDER BY c.cell)::float8 / sum (c.n) OVER ()::float8
    FROM (SELECT owd.cell_of (b.bucket, merge) AS cell, sum (b.n)::bigint AS n
            FROM owd.buckets (wanted, from_ts, to_ts, NULL) b
           GROUP BY 1) c
   ORDER BY c.cell;
END
$$;
COMMENT ON FUNCTION owd.histogram (text, text, timestamptz, timestamptz, integer) IS
'How the one-way delays from src to dst are distributed over [from_ts, to_ts): n samples lie between lo_ms and hi_ms (ms, positive: seen later at dst), share of all of them, upto: share at or below hi_ms; both 0..1.
Cells grow by 2 % each, or by as many of those as merge says (1 to 1000); one holds all within 1 us of 0. Empty cells are left out; an unknown name is an error.';
