-- SPDX-License-Identifier: Apache-2.0
--
-- Lines of oneway-probe report --format json into the table; a row of the same key is replaced.
CREATE OR REPLACE FUNCTION owd.load_validation_lines (lines text) RETURNS bigint
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
WITH put AS (
  INSERT INTO owd.validation_row (hour, src, dst, quantity, probe_src, probe_dst, mode, size, via, result)
  SELECT r.hour, r.src, r.dst, r.quantity, coalesce (r.probe_src, ''), coalesce (r.probe_dst, ''), coalesce (r.mode, ''),
         coalesce (r.size, 0), coalesce (r.via, ''), l::jsonb
    FROM string_to_table (lines, E'\n') l,
         jsonb_to_record (l::jsonb) r (hour timestamptz, src text, dst text, quantity text, probe_src text,
                                       probe_dst text, mode text, size integer, via text)
   WHERE l <> '' AND r.hour IS NOT NULL
      ON CONFLICT (src, dst, hour, quantity, probe_src, probe_dst, mode, size, via)
      DO UPDATE SET made = now (), result = excluded.result
  RETURNING 1
)
SELECT count (*) FROM put
$$;
COMMENT ON FUNCTION owd.load_validation_lines (text) IS 'Takes JSON lines of oneway-probe report in; returns how many; private.';
