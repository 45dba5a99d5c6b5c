-- SPDX-License-Identifier: Apache-2.0
--
-- Instants, days and what a session's settings may not change.

DO $$
DECLARE
  ns bigint;
BEGIN
  ASSERT owd.ts_of_ns (0) = '1970-01-01 00:00:00+00';
  ASSERT owd.ts_of_ns (-1) = '1969-12-31 23:59:59.999999+00';
  ASSERT owd.ts_of_ns (999) = '1970-01-01 00:00:00+00';
  ASSERT owd.ts_of_ns (9223372036854775807) = '2262-04-11 23:47:16.854775+00';
  ASSERT owd.ts_of_ns (-9223372036854775808) = '1677-09-21 00:12:43.145224+00';
  ASSERT owd.ts_of_ns (NULL) IS NULL;
  FOR ns IN SELECT ((random () - 0.5) * 1.8e19)::bigint FROM generate_series (1, 2000) LOOP
    ASSERT extract (epoch FROM owd.ts_of_ns (ns)) * 1000000 = floor (ns::numeric / 1000), ns::text;
  END LOOP;
END $$;

-- Also where days have 23 or 25 hours.
SET timezone = 'Europe/Berlin';
DO $$
BEGIN
  ASSERT owd.ts_of_ns (1774751400000000000) = '2026-03-29 02:30:00+00';
  ASSERT owd.ts_of_ns (1792891800000000000) = '2026-10-25 01:30:00+00';
  -- tables are those of UTC
  ASSERT owd.add_samples ('2026-03-29 00:59:59+00');
  ASSERT NOT owd.add_samples ('2026-03-29 00:00+00');
END $$;
SELECT test.sample (test.path ('a', 'b'), '2026-03-29 00:00:00+00', 1);
SELECT test.sample (test.path ('a', 'b'), '2026-03-29 23:59:59.999999+00', 1);
DO $$
BEGIN
  ASSERT (SELECT count (*) FROM owd.sample_20260329_00) = 1 AND (SELECT count (*) FROM owd.sample_20260329_23) = 1;
END $$;

-- Both indexes come when asked for, to tables that end by then, an hour at a time and the newest first; once.
CREATE FUNCTION test.indexes (hour text) RETURNS bigint
LANGUAGE sql AS $$ SELECT count (*) FROM pg_index i WHERE i.indrelid = ('owd.sample_20260329_' || hour)::regclass AND i.indisvalid $$;
DO $$
BEGIN
  ASSERT owd.add_samples ('2026-03-29 12:00+00') AND test.indexes ('00') + test.indexes ('12') + test.indexes ('23') = 0;
  ASSERT NOT owd.index_samples (NULL) AND NOT owd.index_samples ('2026-03-29 00:59:59+00') AND test.indexes ('00') = 0;
  ASSERT owd.index_samples ('2026-03-29 23:59:59+00');
  ASSERT test.indexes ('00') = 0 AND test.indexes ('12') = 2 AND test.indexes ('23') = 0;
  ASSERT NOT owd.index_samples ('2026-03-29 23:59:59+00');
  ASSERT test.indexes ('00') = 2 AND test.indexes ('12') = 2 AND test.indexes ('23') = 0;
  ASSERT NOT owd.index_samples ('infinity') AND NOT owd.index_samples ('infinity') AND test.indexes ('23') = 2;
  ASSERT (SELECT count (*) FROM pg_index i WHERE i.indrelid = 'owd.excess_20260329_00'::regclass) = 2;
END $$;
SET timezone = 'UTC';

-- A function of ours cannot be led astray by a caller's schemas.
CREATE SCHEMA trap;
CREATE FUNCTION trap.count (anyelement) RETURNS bigint LANGUAGE sql AS 'SELECT -1::bigint';
CREATE FUNCTION trap.date_bin (interval, timestamptz, timestamptz) RETURNS timestamptz LANGUAGE sql AS 'SELECT $2';
CREATE FUNCTION trap.sqrt (float8) RETURNS float8 LANGUAGE sql AS 'SELECT -1::float8';
SET search_path = trap, pg_catalog, public;
DO $$
BEGIN
  ASSERT (SELECT bin = '2026-03-29 00:00+00' AND n = 2 AND stderr_ms > 0
            FROM owd.timeline ('a', 'b', '2026-03-29 00:00+00', '2026-03-30 00:00+00', '1 day'));
END $$;
