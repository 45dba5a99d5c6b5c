-- SPDX-License-Identifier: Apache-2.0
--
-- Probe results by UTC day, made and dropped like those of samples (tables.sql). Their time is the probes' own clock, so
-- retention counts back from the newest day that is there.
CREATE OR REPLACE FUNCTION owd.add_probe_day (day date) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  child text := 'probe_packet_' || to_char (day, 'YYYYMMDD');
BEGIN
  IF day IS NULL OR NOT isfinite (day) THEN
    RAISE EXCEPTION 'owd.add_probe_day needs a finite day' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF EXISTS (SELECT FROM pg_class WHERE relname = child AND relnamespace = 'owd'::regnamespace) THEN
    RETURN false;
  END IF;
  PERFORM pg_advisory_xact_lock (hashtextextended ('oneway add_day', 0));
  IF EXISTS (SELECT FROM pg_class WHERE relname = child AND relnamespace = 'owd'::regnamespace) THEN
    RETURN false;
  END IF;
  EXECUTE format ('CREATE TABLE owd.%I (LIKE owd.probe_packet)', child);
  EXECUTE format ('ALTER TABLE owd.probe_packet ATTACH PARTITION owd.%I FOR VALUES FROM (%L) TO (%L)', child,
                  day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
  RETURN true;
END
$$;
COMMENT ON FUNCTION owd.add_probe_day (date) IS 'Makes the table for the probe packets of a UTC day; false: it is there; private.';

CREATE OR REPLACE FUNCTION owd.drop_probe_days (keep interval) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $$
DECLARE
  days date[] := ARRAY (SELECT to_date (substr (c.relname, 14), 'YYYYMMDD')
                          FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                         WHERE i.inhparent = 'owd.probe_packet'::regclass ORDER BY 1);
  horizon timestamp := days[cardinality (days)] + interval '1 day' - keep;
  dropped integer := 0;
  day date;
BEGIN
  FOREACH day IN ARRAY days LOOP
    CONTINUE WHEN day + interval '1 day' > horizon;
    EXECUTE format ('DROP TABLE owd.%I', 'probe_packet_' || to_char (day, 'YYYYMMDD'));
    dropped := dropped + 1;
  END LOOP;
  DELETE FROM owd.probe_run r
   WHERE r.run_ns < extract (epoch FROM horizon) * 1000000000
     AND NOT EXISTS (SELECT FROM owd.probe_packet p WHERE p.run_id = r.run_id);
  WITH old AS (
    DELETE FROM owd.probe_route r USING (SELECT max (to_ns) AS newest FROM owd.probe_route) m
     WHERE r.to_ns < m.newest - extract (epoch FROM keep) * 1000000000
    RETURNING r.agent, r.run_ns, r.target, r.method, r.seq)
  DELETE FROM owd.probe_route_change c USING old
   WHERE (c.agent, c.run_ns, c.target, c.method, c.seq) = (old.agent, old.run_ns, old.target, old.method, old.seq);
  RETURN dropped;
END
$$;
COMMENT ON FUNCTION owd.drop_probe_days (interval) IS 'Drops the days of probe packets that ended longer than keep before the end of the newest one; returns how many; private.';
