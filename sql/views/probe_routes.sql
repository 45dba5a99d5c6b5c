-- SPDX-License-Identifier: Apache-2.0
CREATE OR REPLACE VIEW owd.probe_routes AS
SELECT tstzrange (owd.ts_of_ns (r.from_ns), owd.ts_of_ns (r.to_ns), '[]') AS valid, r.agent AS src, r.target AS dst,
       r.method AS mode, r.test, r.seq, cardinality (r.hops) AS n_hops, r.reached, r.hops, r.rtts_ms,
       owd.ts_of_ns (c.lo_ns) AS changed_after, owd.ts_of_ns (c.hi_ns) AS changed_before, c.trigger, c.rtt_before_ms,
       c.rtt_after_ms, c.rtt_after_ms - c.rtt_before_ms AS step_ms
  FROM owd.probe_route r LEFT JOIN owd.probe_route_change c USING (agent, run_ns, target, method, seq);

COMMENT ON VIEW owd.probe_routes IS 'Routes to targets as oneway-probe path has found them, each with the time in which it held, and how it came.';
COMMENT ON COLUMN owd.probe_routes.valid IS 'From the first to the last trace that found it, by the sender''s clock.';
COMMENT ON COLUMN owd.probe_routes.src IS 'What the sender calls itself: its host name, or --agent.';
COMMENT ON COLUMN owd.probe_routes.dst IS 'The target, with its port where the method has one.';
COMMENT ON COLUMN owd.probe_routes.mode IS 'Probes: path-udp, path-tcp or path-icmp.';
COMMENT ON COLUMN owd.probe_routes.test IS 'Name of the measurement, where it has one.';
COMMENT ON COLUMN owd.probe_routes.seq IS 'Number of the route in its run, from 0: so many changes came before it.';
COMMENT ON COLUMN owd.probe_routes.n_hops IS 'Hops known of, the target included where it was reached.';
COMMENT ON COLUMN owd.probe_routes.reached IS 'Whether the target has answered.';
COMMENT ON COLUMN owd.probe_routes.hops IS 'Their addresses, nearest first; NULL: silent.';
COMMENT ON COLUMN owd.probe_routes.rtts_ms IS 'The least round trip to each of them in ms; NULL: silent.';
COMMENT ON COLUMN owd.probe_routes.changed_after IS 'The change to this route came after this time; NULL here and below: it is the first route of its run.';
COMMENT ON COLUMN owd.probe_routes.changed_before IS 'The change came before this time.';
COMMENT ON COLUMN owd.probe_routes.trigger IS 'What told of the change: ttl or schedule.';
COMMENT ON COLUMN owd.probe_routes.rtt_before_ms IS 'Median round trip over the whole path right before the change, in ms; NULL: nothing was measured there.';
COMMENT ON COLUMN owd.probe_routes.rtt_after_ms IS 'Median round trip right after it, in ms.';
COMMENT ON COLUMN owd.probe_routes.step_ms IS 'What the change did to the round trip, in ms; positive: longer now.';
