-- SPDX-License-Identifier: Apache-2.0
--
-- What functions ask of a range, and of a range with bins: these begin at from_ts, so that must be an instant.
CREATE OR REPLACE FUNCTION owd.check_range (asked text, from_ts timestamptz, to_ts timestamptz) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF from_ts IS NULL OR to_ts IS NULL THEN
    RAISE EXCEPTION '% needs a from_ts and a to_ts', asked USING ERRCODE = 'invalid_parameter_value';
  END IF;
END
$$;
COMMENT ON FUNCTION owd.check_range (text, timestamptz, timestamptz) IS 'An error unless both ends of a range are given; private.';

CREATE OR REPLACE FUNCTION owd.check_bins (asked text, from_ts timestamptz, to_ts timestamptz, step interval) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF from_ts IS NULL OR to_ts IS NULL OR step IS NULL OR NOT isfinite (from_ts) THEN
    RAISE EXCEPTION '% needs a finite from_ts, a to_ts and a step', asked USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF step <= interval '0' OR extract (year FROM step) <> 0 OR extract (month FROM step) <> 0 THEN
    RAISE EXCEPTION 'step % is not a positive time without months', step
      USING ERRCODE = 'invalid_parameter_value', HINT = 'For example: interval ''10 s'', interval ''1 day''.';
  END IF;
END
$$;
COMMENT ON FUNCTION owd.check_bins (text, timestamptz, timestamptz, interval) IS 'An error unless a range can be cut into bins of step; private.';
