-- SPDX-License-Identifier: Apache-2.0
--
-- The newest samples of all paths, by way of time: nothing keeps samples in the order of ts alone (a btree on ts would cost a quarter
-- of what can be written), so ORDER BY ts DESC LIMIT n over owd.samples looks at all of them. Here the range doubles, back from
-- the newest, until it has as many.
CREATE OR REPLACE FUNCTION owd.newest (n integer DEFAULT 100)
RETURNS TABLE (part integer, seq bigint, ts timestamptz, src text, dst text, kind text, owd_ms float8, lo_ms float8, hi_ms float8,
               sigma_ms float8, bias_ms float8, profile_id integer, proto integer, flow bigint, flags integer)
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE ROWS 100 COST 10000
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
DECLARE
  wanted integer := newest.n;
  first timestamptz := (SELECT min (p.first_ts) FROM owd.partition p);
  last timestamptz := (SELECT max (p.last_ts) FROM owd.partition p);
  back interval := '100 milliseconds';
  since timestamptz;
BEGIN
  IF wanted IS NULL OR wanted < 0 THEN
    RAISE EXCEPTION 'n is the number of samples wanted, 0 or more, not %', coalesce (wanted::text, 'NULL')
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  LOOP
    since := last - back;
    EXIT WHEN since IS NULL OR since < first
      OR wanted <= (SELECT count (*) FROM (SELECT FROM owd.sample s WHERE s.ts >= since LIMIT wanted) s);
    back := 2 * back;
  END LOOP;
  RETURN QUERY SELECT * FROM owd.samples s WHERE s.ts >= since OR since IS NULL ORDER BY s.ts DESC, s.part DESC, s.seq DESC LIMIT wanted;
END
$$;
COMMENT ON FUNCTION owd.newest (integer) IS 'The n newest samples of all paths, newest first: the columns of owd.samples; delays in ms, positive: seen later at dst.';
