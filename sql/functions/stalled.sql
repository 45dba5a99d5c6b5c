-- SPDX-License-Identifier: Apache-2.0
--
-- The one event that is about the server's clock: whether the watermark still moves can only be seen from outside of the
-- log. So it is asked for, not kept, and nobody is notified. The replay of an old log is always far behind.
CREATE OR REPLACE FUNCTION owd.stalled () RETURNS TABLE (watermark timestamptz, log_time timestamptz, behind_s float8, threshold_s float8)
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT w.ts, s.log_time, extract (epoch FROM now () - w.ts)::float8, r.stalled
    FROM owd.watermark w, owd.status s, (SELECT (m.rules ->> 'stalled_s')::float8 FROM owd.event_mark m) r (stalled)
   WHERE r.stalled > 0 AND w.ts < now () - make_interval (secs => r.stalled);
END
$$;
COMMENT ON FUNCTION owd.stalled () IS 'One row where the watermark is further behind the server''s clock than [events] stalled, in s; else none.';
