-- SPDX-License-Identifier: Apache-2.0
--
-- One path over time. Bins are [bin, bin + step), the first begins at from_ts; samples of [from_ts, to_ts) count, so the
-- last bin may be cut short. Bins without samples or counts are left out.
--
--   pXX_ms     RFC 2330, 11.3: the smallest delay d with at least XX % of the bin's samples at or below d. Where the bin is
--              made of roll-ups, d is known to 1 % (functions/buckets.sql) and kept within [min_ms, max_ms]
--   mean_ms    arithmetic mean; like n, min_ms, max_ms, stderr_ms, ipdv_ms and loss the same from roll-ups as from samples
--   stderr_ms  standard error of mean_ms, sqrt (max (s^2, m) / n). s^2: variance of the bin's samples (n - 1), which holds
--              the path's own variation and the random errors of the stamps; m: mean of sigma^2 as stated per sample, which
--              holds where the spread hides errors (n = 1, stamps in step with the traffic). Errors that all samples of
--              the bin share, such as a clock that is off, do not average out and are not in it.
--   ipdv_ms    RFC 3393: mean of |D(i) - D(i-1)| over samples in order of ts (then part, seq); the predecessor may lie in an
--              earlier bin, the first sample of the range has none. Where a name belongs to several exporter states, pairs
--              are taken within each of them
--   loss       RFC 7680: packets lost, as a share of those counted at src for which the other side could be compared; NULL where
--              there is no such count. A bin that has only counts has n = 0 and no delays
--
-- The coarsest roll-up that is exact for step and from_ts answers (functions/bins.sql): a multiple of 10 s, 1 min, 5 min, 1 h
-- or 1 d from a full one (UTC). Any other step or beginning is read from the samples.
CREATE OR REPLACE FUNCTION owd.timeline (src text, dst text, from_ts timestamptz, to_ts timestamptz, step interval)
RETURNS TABLE (bin timestamptz, n bigint, min_ms float8, mean_ms float8, stderr_ms float8, p05_ms float8, p50_ms float8,
               p95_ms float8, p99_ms float8, max_ms float8, ipdv_ms float8, loss float8)
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE ROWS 100 COST 10000
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  wanted integer[] := owd.paths_of (src, dst);
BEGIN
  IF from_ts IS NULL OR to_ts IS NULL OR step IS NULL OR NOT isfinite (from_ts) THEN
    RAISE EXCEPTION 'owd.timeline needs a finite from_ts, a to_ts and a step' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF step <= interval '0' OR extract (year FROM step) <> 0 OR extract (month FROM step) <> 0 THEN
    RAISE EXCEPTION 'step % is not a positive time without months', step
      USING ERRCODE = 'invalid_parameter_value', HINT = 'For example: interval ''10 s'', interval ''1 day''.';
  END IF;
  RETURN QUERY
  WITH piece AS MATERIALIZED (
    -- alone: the only one of its bin, as most are where a roll-up has bins of step
    SELECT b.bin, b.n, b.sent, b.lost, b.min_ns, b.max_ns, b.sum_ns, b.square_ns2, b.sigma_ns2, b.ipdv_ns, b.p05_ns, b.p50_ns, b.p95_ns, b.p99_ns,
           b.first_ns::numeric - lag (b.last_ns) OVER (PARTITION BY b.path_id, b.n > 0 ORDER BY b.at) AS jump_ns,
           cardinality (wanted) = 1 AND b.bin IS DISTINCT FROM lag (b.bin) OVER over_time AND b.bin IS DISTINCT FROM lead (b.bin) OVER over_time AS alone
      FROM owd.bins (wanted, from_ts, to_ts, step) b
    WINDOW over_time AS (ORDER BY b.at)
  ), summed AS (
    SELECT p.bin, p.n, 1 AS pieces, p.min_ns::float8 AS low, p.max_ns::float8 AS high, p.sum_ns AS total, p.square_ns2 AS square,
           p.sigma_ns2 AS sigma, p.ipdv_ns + coalesce (abs (p.jump_ns), 0) AS ipdv,
           CASE WHEN p.n > 0 THEN p.n - 1 + CASE WHEN p.jump_ns IS NULL THEN 0 ELSE 1 END END AS pairs,
           p.sent, p.lost, p.p05_ns AS p05, p.p50_ns AS p50, p.p95_ns AS p95, p.p99_ns AS p99
      FROM piece p
     WHERE p.alone
    UNION ALL
    SELECT p.bin, sum (p.n)::bigint, count (*) FILTER (WHERE p.n > 0), min (p.min_ns)::float8, max (p.max_ns)::float8, sum (p.sum_ns),
           sum (p.square_ns2), sum (p.sigma_ns2), sum (p.ipdv_ns) + coalesce (sum (abs (p.jump_ns)), 0),
           (sum (p.n - 1) FILTER (WHERE p.n > 0) + count (p.jump_ns))::bigint, sum (p.sent)::bigint, sum (p.lost)::bigint,
           max (p.p05_ns), max (p.p50_ns), max (p.p95_ns), max (p.p99_ns)
      FROM piece p
     WHERE NOT p.alone
     GROUP BY p.bin
  ), several AS (
    -- percentiles of bins that are put together are in their histograms only
    SELECT min (s.bin) AS lo, max (s.bin) AS hi FROM summed s WHERE s.pieces > 1 HAVING count (*) > 0
  ), ranked AS (
    SELECT h.bin, h.bucket, sum (h.n) OVER (PARTITION BY h.bin ORDER BY h.bucket) AS upto
      FROM several v CROSS JOIN LATERAL owd.buckets (wanted, v.lo, least (to_ts, v.hi + step), step) h
  ), percentile AS (
    SELECT s.bin, owd.bucket_ns (min (r.bucket) FILTER (WHERE r.upto >= 0.05 * s.n)) AS p05,
           owd.bucket_ns (min (r.bucket) FILTER (WHERE r.upto >= 0.5 * s.n)) AS p50,
           owd.bucket_ns (min (r.bucket) FILTER (WHERE r.upto >= 0.95 * s.n)) AS p95,
           owd.bucket_ns (min (r.bucket) FILTER (WHERE r.upto >= 0.99 * s.n)) AS p99
      FROM summed s JOIN ranked r ON r.bin = s.bin
     WHERE s.pieces > 1
     GROUP BY s.bin
  )
  -- sums stay exact up to the first division
  SELECT s.bin, s.n, s.low / 1000000, s.total::float8 / nullif (s.n, 0) / 1000000,
         sqrt (greatest ((s.n * s.square - s.total * s.total)::float8 / nullif (s.n::float8 * greatest (s.n - 1, 1), 0), s.sigma::float8 / nullif (s.n, 0))
               / nullif (s.n, 0)) / 1000000,
         greatest (s.low, least (s.high, CASE WHEN s.pieces > 1 THEN q.p05 ELSE s.p05 END)) / 1000000,
         greatest (s.low, least (s.high, CASE WHEN s.pieces > 1 THEN q.p50 ELSE s.p50 END)) / 1000000,
         greatest (s.low, least (s.high, CASE WHEN s.pieces > 1 THEN q.p95 ELSE s.p95 END)) / 1000000,
         greatest (s.low, least (s.high, CASE WHEN s.pieces > 1 THEN q.p99 ELSE s.p99 END)) / 1000000,
         s.high / 1000000, s.ipdv::float8 / nullif (s.pairs, 0) / 1000000, s.lost::float8 / nullif (s.sent, 0)
    FROM summed s
    LEFT JOIN percentile q ON q.bin = s.bin
   WHERE s.n > 0 OR s.sent > 0
   ORDER BY s.bin;
END
$$;
COMMENT ON FUNCTION owd.timeline (text, text, timestamptz, timestamptz, interval) IS
'One-way delay from src to dst in bins of step, aligned to from_ts, over [from_ts, to_ts); delays in ms, positive: seen later at dst.
stderr_ms = sqrt(max(variance of the samples, mean stated sigma^2) / n); percentiles (RFC 2330) within 1 % where step is a multiple of 10 s, else observed values; ipdv_ms = mean |D(i) - D(i-1)| (RFC 3393); loss: share 0..1 (RFC 7680), NULL where nothing is known. Empty bins are left out; an unknown name is an error.';
