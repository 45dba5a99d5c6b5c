-- SPDX-License-Identifier: Apache-2.0
--
-- Has a path changed between two ranges, and how? Shifts are second minus first.
--
--   ks        Kolmogorov-Smirnov distance: the largest difference between both distribution functions. From samples, as long
--             as all of both ranges are kept and no more than COMPARED of them; else from histograms, whose buckets are
--             2 % wide and hide what happens within them: then it is a lower bound,
--   ks_most   and this the upper one
--   p_value   how probable a distance of ks or more is if nothing has changed (asymptotic, Stephens 1970) and if samples are
--             independent. Those of a queue are not, nor are both ends of one short flow: take a small p-value as a sign only
--             where ks itself is large. With many ties (coarse stamps) it is on the safe side.
CREATE OR REPLACE FUNCTION owd.ks_p_value (distance float8, n1 bigint, n2 bigint) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (SELECT CASE WHEN x.lambda < 0.2 THEN 1
                    ELSE greatest (0, least (1, (SELECT sum (CASE j % 2 WHEN 1 THEN 2 ELSE -2 END * exp (greatest (-2 * j * j * x.lambda * x.lambda, -700)))
                                                   FROM generate_series (1, 100) j))) END
          FROM (SELECT (sqrt (r.size) + 0.12 + 0.11 / sqrt (r.size)) * distance
                  FROM (SELECT n1::float8 * n2 / (n1::float8 + n2)) r (size)) x (lambda));
COMMENT ON FUNCTION owd.ks_p_value (float8, bigint, bigint) IS 'Probability of a Kolmogorov-Smirnov distance of two samples of n1 and n2 or more, if they are of one distribution; private.';

-- The distribution of paths over a range, one row per value: side, value in ns, count. coarse: from histograms.
CREATE OR REPLACE FUNCTION owd.values_of (nr integer, paths integer[], from_ts timestamptz, to_ts timestamptz, coarse boolean)
RETURNS TABLE (side integer, v float8, n bigint)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 1000 COST 10000
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
BEGIN
  IF coarse THEN
    RETURN QUERY SELECT nr, owd.bucket_ns (b.bucket), b.n FROM owd.buckets (paths, from_ts, to_ts, NULL) b;
  ELSE
    RETURN QUERY SELECT nr, s.owd_ns::float8, count (*)
      FROM owd.sample s WHERE s.path_id = ANY (paths) AND s.ts >= from_ts AND s.ts < to_ts GROUP BY s.owd_ns;
  END IF;
END
$$;
COMMENT ON FUNCTION owd.values_of (integer, integer[], timestamptz, timestamptz, boolean) IS 'Delays of paths in ns, and how often each; private.';

CREATE OR REPLACE FUNCTION owd.compare (src text, dst text, from1 timestamptz, to1 timestamptz, from2 timestamptz,
                                        to2 timestamptz)
RETURNS TABLE (n1 bigint, n2 bigint, mean1_ms float8, mean2_ms float8, mean_shift_ms float8, stderr_ms float8,
               p05_shift_ms float8, p50_1_ms float8, p50_2_ms float8, p50_shift_ms float8, p95_shift_ms float8,
               p99_shift_ms float8, ks float8, ks_most float8, p_value float8)
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE ROWS 1 COST 50000
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
  COMPARED CONSTANT bigint := 200000;
  wanted integer[] := owd.paths_of (src, dst);
  coarse boolean;
BEGIN
  PERFORM owd.check_range ('owd.compare', from1, to1), owd.check_range ('owd.compare', from2, to2);
  coarse := (SELECT coalesce (bool_or (p.piece > 0), false)
               FROM (SELECT * FROM owd.pieces (from1, to1, 0) UNION ALL SELECT * FROM owd.pieces (from2, to2, 0)) p)
         OR (SELECT coalesce (sum (b.n) > COMPARED OR sum (b.n) > sum (b.kept), false)
               FROM (SELECT * FROM owd.bins (wanted, from1, to1, NULL)
                     UNION ALL SELECT * FROM owd.bins (wanted, from2, to2, NULL)) b);
  RETURN QUERY
  WITH total AS (
    SELECT r.side, sum (b.n)::bigint AS n, (sum (b.sum_ns) / sum (b.n))::float8 AS mean, min (b.min_ns)::float8 AS low,
           max (b.max_ns)::float8 AS high,
           (greatest ((sum (b.square_ns2) - sum (b.sum_ns) * sum (b.sum_ns) / sum (b.n)) / greatest (sum (b.n) - 1, 1),
                      sum (b.sigma_ns2) / sum (b.n)) / sum (b.n))::float8 AS error
      FROM (VALUES (1, from1, to1), (2, from2, to2)) r (side, f, t), owd.bins (wanted, r.f, r.t, NULL) b
     WHERE b.n > 0
     GROUP BY r.side
  ), found AS (
    SELECT d.v, coalesce (sum (d.n) FILTER (WHERE d.side = 1), 0) AS n1, coalesce (sum (d.n) FILTER (WHERE d.side = 2), 0) AS n2
      FROM (SELECT * FROM owd.values_of (1, wanted, from1, to1, coarse)
            UNION ALL SELECT * FROM owd.values_of (2, wanted, from2, to2, coarse)) d
     GROUP BY d.v
  ), below AS (
    SELECT f.v, sum (f.n1) OVER upto AS u1, sum (f.n2) OVER upto AS u2, sum (f.n1) OVER upto - f.n1 AS l1,
           sum (f.n2) OVER upto - f.n2 AS l2
      FROM found f WINDOW upto AS (ORDER BY f.v)
  ), apart AS (
    SELECT max (abs (b.u1::float8 / a.n - b.u2::float8 / c.n)) AS ks,
           max (CASE WHEN coarse THEN greatest (b.u1::float8 / a.n - b.l2::float8 / c.n, b.u2::float8 / c.n - b.l1::float8 / a.n)
                     ELSE abs (b.u1::float8 / a.n - b.u2::float8 / c.n) END) AS most
      FROM below b, total a, total c WHERE a.side = 1 AND c.side = 2
  ), ranked AS (
    SELECT t.side, t.n, t.mean, t.error,
           (SELECT array_agg (greatest (t.low, least (t.high, (SELECT min (b.v) FROM below b
                                                                WHERE CASE t.side WHEN 1 THEN b.u1 ELSE b.u2 END >= p.p * t.n)))
                              ORDER BY p.p)
              FROM unnest (ARRAY[0.05, 0.5, 0.95, 0.99]) p (p)) AS q
      FROM total t
  )
  SELECT coalesce (a.n, 0), coalesce (c.n, 0), a.mean / 1000000, c.mean / 1000000, (c.mean - a.mean) / 1000000,
         sqrt (a.error + c.error) / 1000000, (c.q[1] - a.q[1]) / 1000000, a.q[2] / 1000000, c.q[2] / 1000000,
         (c.q[2] - a.q[2]) / 1000000, (c.q[3] - a.q[3]) / 1000000, (c.q[4] - a.q[4]) / 1000000, k.ks, k.most,
         owd.ks_p_value (k.ks, a.n, c.n)
    FROM apart k
    LEFT JOIN ranked a ON a.side = 1
    LEFT JOIN ranked c ON c.side = 2;
END
$$;
COMMENT ON FUNCTION owd.compare (text, text, timestamptz, timestamptz, timestamptz, timestamptz) IS
'One row: the one-way delay from src to dst over [from1, to1) against [from2, to2), in ms; a positive shift: slower in the second.
n1, n2: samples. mean_shift_ms with its standard error stderr_ms. Percentiles are observed values, or within 1 % where they come from roll-ups. ks: Kolmogorov-Smirnov distance 0..1, at most ks_most; p_value: probability of it if nothing changed and samples were independent. NULL where a side has no samples; an unknown name is an error.';
