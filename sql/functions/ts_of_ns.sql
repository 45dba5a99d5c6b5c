-- SPDX-License-Identifier: Apache-2.0
--
-- Nanoseconds since 1970 (UTC) to timestamptz, floor to the microsecond. Exact over the whole range of bigint: days and
-- the rest of the day are turned separately, because interval arithmetic goes through float8.
CREATE OR REPLACE FUNCTION owd.ts_of_ns (ns bigint) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (timestamp '1970-01-01'
        + make_interval (days => (ns / 86400000000000 - CASE WHEN ns % 86400000000000 < 0 THEN 1 ELSE 0 END)::integer)
        + ((ns % 86400000000000 + 86400000000000) % 86400000000000 / 1000) * interval '1 microsecond')
       AT TIME ZONE 'UTC';
COMMENT ON FUNCTION owd.ts_of_ns (bigint) IS 'Nanoseconds since 1970 UTC as timestamptz, floor to the microsecond; private.';

CREATE OR REPLACE FUNCTION owd.ts_of_us (us bigint) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (timestamp '1970-01-01'
        + make_interval (days => (us / 86400000000 - CASE WHEN us % 86400000000 < 0 THEN 1 ELSE 0 END)::integer)
        + ((us % 86400000000 + 86400000000) % 86400000000) * interval '1 microsecond')
       AT TIME ZONE 'UTC';
COMMENT ON FUNCTION owd.ts_of_us (bigint) IS 'Microseconds since 1970 UTC as timestamptz; private.';
