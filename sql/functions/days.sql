-- SPDX-License-Identifier: Apache-2.0
--
-- One table per UTC day. Making it beside its parent and attaching it takes a lock that lets readers and writers go on
-- (CREATE TABLE ... PARTITION OF would stop both); two writers that want the same day wait for each other. Whether it is
-- there is asked of the catalog itself: to_regclass() does not see what was made while this waited. With the rights of
-- the owner, so that owd_writer needs no others.
CREATE OR REPLACE FUNCTION owd.add_day (day date) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  child text := 'sample_' || to_char (day, 'YYYYMMDD');
BEGIN
  IF day IS NULL OR NOT isfinite (day) THEN
    RAISE EXCEPTION 'owd.add_day needs a finite day' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF EXISTS (SELECT FROM pg_class WHERE relname = child AND relnamespace = 'owd'::regnamespace) THEN
    RETURN false;
  END IF;
  PERFORM pg_advisory_xact_lock (hashtextextended ('oneway add_day', 0));
  IF EXISTS (SELECT FROM pg_class WHERE relname = child AND relnamespace = 'owd'::regnamespace) THEN
    RETURN false;
  END IF;
  EXECUTE format ('CREATE TABLE owd.%I (LIKE owd.sample)', child);
  EXECUTE format ('ALTER TABLE owd.sample ATTACH PARTITION owd.%I FOR VALUES FROM (%L) TO (%L)', child,
                  day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
  RETURN true;
END
$$;
COMMENT ON FUNCTION owd.add_day (date) IS 'Makes the table for the samples of a UTC day; false: it is there; private.';

-- Retention. Time is the log's own (the watermark), not the server's clock: the replay of an old log keeps its samples.
-- Days whose last instant is older than watermark - keep go as a whole. Where a long reader holds its lock, this gives
-- up after two seconds instead of making everyone queue behind it: call again later.
CREATE OR REPLACE FUNCTION owd.drop_days (keep interval) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $$
DECLARE
  horizon date := (SELECT ((w.ts - keep) AT TIME ZONE 'UTC')::date FROM owd.watermark w);
  child text;
  dropped integer := 0;
BEGIN
  FOR child IN
    SELECT c.relname
      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'owd.sample'::regclass AND to_date (substr (c.relname, 8), 'YYYYMMDD') < horizon
     ORDER BY c.relname
  LOOP
    EXECUTE format ('DROP TABLE owd.%I', child);
    dropped := dropped + 1;
  END LOOP;
  RETURN dropped;
END
$$;
COMMENT ON FUNCTION owd.drop_days (interval) IS 'Drops the days of samples that ended longer than keep before the watermark; returns how many; private.';
