-- SPDX-License-Identifier: Apache-2.0
--
-- A member of one estimate in a profile: value is null where it is not identifiable; lo and hi hold the truth in 95 % of cases.
CREATE OR REPLACE FUNCTION owd.estimate (profile jsonb, parameter text, member text DEFAULT 'value') RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (profile -> parameter ->> member)::float8;
COMMENT ON FUNCTION owd.estimate (jsonb, text, text) IS 'Value (or lo, hi, n) of a parameter in owd.profiles.measured, in the unit that its name tells; NULL: not identifiable.';
