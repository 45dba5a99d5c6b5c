-- SPDX-License-Identifier: Apache-2.0
--
-- Lines of oneway-probe calibrate --format json into the table; a row of the same key is replaced.
CREATE OR REPLACE FUNCTION owd.load_calibration_lines (lines text) RETURNS bigint
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
WITH put AS (
  INSERT INTO owd.calibration_row (point, clock, from_ts, to_ts, result)
  SELECT r.point, r.clock, r."from", r."to", l::jsonb
    FROM string_to_table (lines, E'\n') l,
         jsonb_to_record (l::jsonb) r (point text, clock text, "from" timestamptz, "to" timestamptz)
   WHERE l <> ''
      ON CONFLICT (point, from_ts, clock) DO UPDATE SET made = now (), to_ts = excluded.to_ts, result = excluded.result
  RETURNING 1
)
SELECT count (*) FROM put
$$;
COMMENT ON FUNCTION owd.load_calibration_lines (text) IS 'Takes JSON lines of oneway-probe calibrate in; returns how many; private.';
