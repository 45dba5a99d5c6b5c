-- SPDX-License-Identifier: Apache-2.0
--
-- The histogram's buckets (as in DDSketch, Masson, Rim, Lee 2019). gamma = 1.02; bucket b > 0 holds delays of
-- (gamma^(b-2), gamma^(b-1)] ns, -b the same below zero, 0 holds 0. Its value 2 gamma^(b-1) / (gamma + 1) is never further than
-- (gamma - 1) / (gamma + 1) = 0.991 % from what it holds, whatever the size: so is a percentile read from it. Not STRICT: the
-- planner would not put a CASE in place of the call then.
CREATE OR REPLACE FUNCTION owd.bucket_of (ns bigint) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN ns = 0 THEN 0 ELSE sign (ns) * (ceil (ln (abs (ns::float8)) / 0.01980262729617973) + 1) END::smallint;
COMMENT ON FUNCTION owd.bucket_of (bigint) IS 'Bucket of the histogram that holds a delay of so many ns; private.';

CREATE OR REPLACE FUNCTION owd.bucket_ns (bucket smallint) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN sign (bucket::float8) * exp (0.01980262729617973 * (abs (bucket::float8) - 1)) * (2 / 2.02::float8);
COMMENT ON FUNCTION owd.bucket_ns (smallint) IS 'The delay in ns that a bucket stands for, at most 1 % from any that it holds; private.';

CREATE OR REPLACE FUNCTION owd.bucket_lo_ns (bucket smallint) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN bucket > 0 THEN exp (0.01980262729617973 * (bucket - 2)) WHEN bucket < 0 THEN -exp (0.01980262729617973 * (-bucket - 1)) ELSE 0 END;
COMMENT ON FUNCTION owd.bucket_lo_ns (smallint) IS 'Lower edge of a bucket in ns; the upper one is that of the next bucket; private.';
