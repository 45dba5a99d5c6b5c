-- SPDX-License-Identifier: Apache-2.0
--
-- One path over time. Bins are [bin, bin + step), the first begins at from_ts; samples of [from_ts, to_ts) count, so the
-- last bin may be cut short. Bins without samples are left out.
--
--   pXX_ms     RFC 2330, 11.3: the smallest delay d with at least XX % of the bin's samples at or below d (one that was seen)
--   mean_ms    arithmetic mean
--   stderr_ms  standard error of mean_ms, sqrt (max (s^2, m) / n). s^2: variance of the bin's samples (n - 1), which holds
--              the path's own variation and the random errors of the stamps; m: mean of sigma^2 as stated per sample, which
--              holds where the spread hides errors (n = 1, stamps in step with the traffic). Errors that all samples of
--              the bin share, such as a clock that is off, do not average out and are not in it.
--   ipdv_ms    RFC 3393: mean of |D(i) - D(i-1)| over samples in order of ts (then part, seq); the predecessor may lie in an
--              earlier bin, the first sample of the range has none
--   loss       share of packets lost; NULL as long as nothing measures it
CREATE OR REPLACE FUNCTION owd.timeline (src text, dst text, from_ts timestamptz, to_ts timestamptz, step interval)
RETURNS TABLE (bin timestamptz, n bigint, min_ms float8, mean_ms float8, stderr_ms float8, p05_ms float8, p50_ms float8,
               p95_ms float8, p99_ms float8, max_ms float8, ipdv_ms float8, loss float8)
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE ROWS 100 COST 10000
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
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
  WITH ordered AS (
    -- b rises with ts: named first it changes no order, and saves sorting again for GROUP BY
    SELECT s.b, s.owd_ns, s.owd_ns::float8 AS d, s.sigma_ns::float8 AS sigma,
           abs (s.owd_ns::float8 - lag (s.owd_ns) OVER (ORDER BY s.b, s.ts, s.part, s.seq)) AS step_ns
      FROM (SELECT date_bin (step, r.ts, from_ts) AS b, r.*
              FROM owd.sample r
             WHERE r.path_id = ANY (wanted) AND r.ts >= from_ts AND r.ts < to_ts) s
  ), binned AS (
    SELECT o.b, count (*) AS n, avg (o.owd_ns)::float8 AS mean, coalesce (var_samp (o.d), 0) AS spread,
           avg (o.sigma * o.sigma) AS stated, avg (o.step_ns) AS ipdv,
           percentile_disc (ARRAY[0, 0.05, 0.5, 0.95, 0.99, 1]) WITHIN GROUP (ORDER BY o.owd_ns) AS q
      FROM ordered o
     GROUP BY o.b
  )
  SELECT t.b, t.n, t.q[1]::float8 / 1000000, t.mean / 1000000, sqrt (greatest (t.spread, t.stated) / t.n) / 1000000,
         t.q[2]::float8 / 1000000, t.q[3]::float8 / 1000000, t.q[4]::float8 / 1000000, t.q[5]::float8 / 1000000,
         t.q[6]::float8 / 1000000, t.ipdv / 1000000, NULL::float8
    FROM binned t
   ORDER BY t.b;
END
$$;
COMMENT ON FUNCTION owd.timeline (text, text, timestamptz, timestamptz, interval) IS
'One-way delay from src to dst in bins of step, aligned to from_ts, over [from_ts, to_ts); delays in ms, positive: seen later at dst.
stderr_ms = sqrt(max(variance of the samples, mean stated sigma^2) / n); percentiles are observed values (RFC 2330); ipdv_ms = mean |D(i) - D(i-1)| (RFC 3393); loss: share 0..1, NULL where nothing is known. Empty bins are left out; an unknown name is an error.';
