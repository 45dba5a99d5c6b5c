-- SPDX-License-Identifier: Apache-2.0
--
-- A pair works if a sample was made in the range: passive measurement cannot tell a broken path from one that nobody
-- used. Pairs count that were ever seen before the range's end.
CREATE OR REPLACE FUNCTION owd.connected (from_ts timestamptz, to_ts timestamptz)
RETURNS TABLE (pairs bigint, working bigint, share float8, last_sample timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE ROWS 1 COST 100000
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
BEGIN
  PERFORM owd.check_range ('owd.connected', from_ts, to_ts);
  RETURN QUERY
  SELECT count (*), count (*) FILTER (WHERE m.n > 0), count (*) FILTER (WHERE m.n > 0) / nullif (count (*), 0)::float8,
         max (m.last_seen)
    FROM owd.matrix (from_ts, to_ts) m
    LEFT JOIN owd.paths p USING (src, dst)
   WHERE m.n > 0 OR m.last_seen IS NOT NULL OR coalesce (p.first_seen < to_ts, true);
END
$$;
COMMENT ON FUNCTION owd.connected (timestamptz, timestamptz) IS
'One row: how many ordered pairs of observation points were ever seen before to_ts, how many of them have a sample in [from_ts, to_ts), their share 0..1 (NULL: no pair), and the time of the last sample before to_ts.';
