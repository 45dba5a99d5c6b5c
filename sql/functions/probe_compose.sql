-- SPDX-License-Identifier: Apache-2.0
--
-- A to C via B, measured actively: the mean delay of probes from one host to another, beside the sum of the means of
-- those over a third host (RFC 6049, 4.1). What the clock of the host between is ahead or behind adds in one hop and is
-- taken off in the other, and those of the ends are the same in both; so what is left is sampling, a third host that is not on the way,
-- or stamps of other places in a host than the others.
--
-- A host is an agent by its name, or a target by its address where no agent sends from there. Both ways of every probe
-- count: up from agent to target, down from target to agent. Only equal sizes are added, without the first packets.
CREATE OR REPLACE FUNCTION owd.probe_compose (from_ts timestamptz, to_ts timestamptz, step interval DEFAULT '1 minute')
RETURNS TABLE (bin timestamptz, src text, via text, dst text, size integer, n bigint, owd_ms float8, lo_ms float8,
               hi_ms float8, stderr_ms float8, n_least bigint, sum_ms float8, sum_lo_ms float8, sum_hi_ms float8,
               sum_stderr_ms float8)
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE ROWS 1000 COST 100000
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
#variable_conflict use_column
BEGIN
PERFORM owd.check_bins ('owd.probe_compose', from_ts, to_ts, step);
RETURN QUERY
WITH host AS (
  SELECT r.src AS addr, min (r.agent) AS name FROM owd.probe_run r GROUP BY r.src HAVING count (DISTINCT r.agent) = 1
), leg AS (
  SELECT date_bin (step, p.ts, from_ts) AS bin, w.a, w.b, r.size, count (*) AS n, avg (w.ns) AS ns, avg (w.lo_ns) AS lo_ns,
         avg (w.hi_ns) AS hi_ns, stddev_samp (w.ns) / sqrt (count (*)) AS stderr_ns
    FROM owd.probe_packet p
    JOIN owd.probe_run r USING (run_id)
    LEFT JOIN host h ON h.addr = r.dst,
         LATERAL (SELECT r.agent AS near, coalesce (h.name, host (r.dst)) AS far) x,
         LATERAL (VALUES (x.near, x.far, p.t2_ns - p.t1_ns, p.up_lo_ns, p.up_hi_ns),
                         (x.far, x.near, p.t4_ns - p.t3_ns, p.down_lo_ns, p.down_hi_ns)) w (a, b, ns, lo_ns, hi_ns)
   WHERE p.ts >= from_ts AND p.ts < to_ts AND w.lo_ns IS NOT NULL AND w.a <> w.b AND 'first' <> ALL (p.flags)
   GROUP BY 1, w.a, w.b, r.size
)
SELECT ac.bin, ac.a, ab.b, ac.b, ac.size, ac.n, (ac.ns / 1000000)::float8, (ac.lo_ns / 1000000)::float8,
       (ac.hi_ns / 1000000)::float8, (ac.stderr_ns / 1000000)::float8, least (ab.n, bc.n),
       ((ab.ns + bc.ns) / 1000000)::float8, ((ab.lo_ns + bc.lo_ns) / 1000000)::float8,
       ((ab.hi_ns + bc.hi_ns) / 1000000)::float8,
       sqrt (ab.stderr_ns * ab.stderr_ns + bc.stderr_ns * bc.stderr_ns)::float8 / 1000000
  FROM leg ac
  JOIN leg ab ON ab.bin = ac.bin AND ab.size = ac.size AND ab.a = ac.a AND ab.b <> ac.b
  JOIN leg bc ON bc.bin = ac.bin AND bc.size = ac.size AND bc.a = ab.b AND bc.b = ac.b
 ORDER BY ac.a, ab.b, ac.b, ac.size, ac.bin;
END
$$;
COMMENT ON FUNCTION owd.probe_compose (timestamptz, timestamptz, interval) IS
'Active one-way delay src to dst beside the sum of those src to via and via to dst, in ms, positive: seen later at dst, in bins of step, aligned to from_ts, over [from_ts, to_ts); for all hosts that probes have measured so, packets of one size.
src, via, dst: agents, or addresses of targets that are none. n: packets src to dst; n_least: of the hop that has fewer. owd_ms, sum_ms: means; stderr_ms, sum_stderr_ms: their standard errors, NULL: one packet. lo_ms, hi_ms, sum_lo_ms, sum_hi_ms: what clocks and causality leave of the means.';
