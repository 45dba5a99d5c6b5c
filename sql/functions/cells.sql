-- SPDX-License-Identifier: Apache-2.0
--
-- Histograms for people: `merge` of the roll-ups' 2 % buckets (buckets.sql) make one cell, so counts stay exact. Cells are
-- mirrored at 0, and cell 0 holds what is no further from it than 1 us: nobody looks at finer ones.
--
--   cell c > 0   delays of (e(c - 1), e(c)]    cell -c   delays of [-e(c), -e(c - 1))    e(c) = gamma^(348 + merge c) ns
CREATE OR REPLACE FUNCTION owd.cell_of (bucket smallint, merge integer) RETURNS integer
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN sign (bucket::integer)::integer * greatest ((abs (bucket::integer) - 349 + merge - 1) / merge, 0);
COMMENT ON FUNCTION owd.cell_of (smallint, integer) IS 'Cell that a bucket of the histogram belongs to; private.';

-- The edge e(c), with the sign of c.
CREATE OR REPLACE FUNCTION owd.cell_edge_ms (cell integer, merge integer) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN cell < 0 THEN -1 ELSE 1 END * exp (0.01980262729617973 * (348 + merge * abs (cell)::float8)) / 1000000;
COMMENT ON FUNCTION owd.cell_edge_ms (integer, integer) IS 'Outer edge of a cell in ms; private.';

CREATE OR REPLACE FUNCTION owd.cell_lo_ms (cell integer, merge integer) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN cell > 0 THEN owd.cell_edge_ms (cell - 1, merge) WHEN cell < 0 THEN owd.cell_edge_ms (cell, merge)
            ELSE -owd.cell_edge_ms (0, merge) END;
COMMENT ON FUNCTION owd.cell_lo_ms (integer, integer) IS 'Lower edge of a cell in ms; private.';

CREATE OR REPLACE FUNCTION owd.cell_hi_ms (cell integer, merge integer) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN -owd.cell_lo_ms (-cell, merge);
COMMENT ON FUNCTION owd.cell_hi_ms (integer, integer) IS 'Upper edge of a cell in ms; private.';

CREATE OR REPLACE FUNCTION owd.check_merge (merge integer) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF merge IS NULL OR merge NOT BETWEEN 1 AND 1000 THEN
    RAISE EXCEPTION 'merge is the number of 2 %% buckets to a cell, 1 to 1000, not %', coalesce (merge::text, 'NULL')
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
END
$$;
COMMENT ON FUNCTION owd.check_merge (integer) IS 'An error unless cells can be made; private.';
