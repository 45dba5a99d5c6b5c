-- SPDX-License-Identifier: Apache-2.0
CREATE OR REPLACE VIEW owd.probe_results AS
SELECT p.ts, r.agent AS src, r.target AS dst, r.method AS mode, r.test, p.seq, r.proto::integer AS proto,
       host (r.src) AS src_addr, p.sport AS src_port, host (r.dst) AS dst_addr, r.dport AS dst_port, r.size,
       (p.t4_ns - p.t1_ns - coalesce (p.t3_ns - p.t2_ns, 0))::float8 / 1000000 AS rtt_ms,
       (p.t2_ns - p.t1_ns)::float8 / 1000000 AS up_ms, p.up_lo_ns::float8 / 1000000 AS up_lo_ms,
       p.up_hi_ns::float8 / 1000000 AS up_hi_ms, (p.t4_ns - p.t3_ns)::float8 / 1000000 AS down_ms,
       p.down_lo_ns::float8 / 1000000 AS down_lo_ms, p.down_hi_ns::float8 / 1000000 AS down_hi_ms,
       'lost' = ANY (p.flags) AS lost, 'reordered' = ANY (p.flags) AS reordered, p.hops_up::integer AS hops_up,
       p.hops_down::integer AS hops_down, p.dscp_up::integer AS dscp_up, p.dscp_down::integer AS dscp_down,
       p.own_error_ns::float8 / 1000000 AS own_error_ms, p.peer_error_ns::float8 / 1000000 AS peer_error_ms,
       p.t1_ns, p.t2_ns, p.t3_ns, p.t4_ns, p.flow_up, p.flow_down, p.flags
  FROM owd.probe_packet p JOIN owd.probe_run r USING (run_id);

COMMENT ON VIEW owd.probe_results IS 'Probe packets (active measurement): one row each, answered or lost. up: from src to dst; down: back.';
COMMENT ON COLUMN owd.probe_results.ts IS 'When it left, by the sender''s clock; floor to the microsecond.';
COMMENT ON COLUMN owd.probe_results.src IS 'What the sender calls itself: its host name, or --agent.';
COMMENT ON COLUMN owd.probe_results.dst IS 'The target, address and port.';
COMMENT ON COLUMN owd.probe_results.mode IS 'How it was asked: stamp, or one of the TCP methods.';
COMMENT ON COLUMN owd.probe_results.test IS 'Name of the measurement, where it has one.';
COMMENT ON COLUMN owd.probe_results.seq IS 'Number of the packet in its run.';
COMMENT ON COLUMN owd.probe_results.proto IS 'IP protocol number of the packet.';
COMMENT ON COLUMN owd.probe_results.src_addr IS 'Source address of the packet as it left.';
COMMENT ON COLUMN owd.probe_results.src_port IS 'Its source port.';
COMMENT ON COLUMN owd.probe_results.dst_addr IS 'Its destination address.';
COMMENT ON COLUMN owd.probe_results.dst_port IS 'Its destination port.';
COMMENT ON COLUMN owd.probe_results.size IS 'Bytes of payload above UDP or TCP.';
COMMENT ON COLUMN owd.probe_results.rtt_ms IS 'Round trip in ms without the reflector''s own time; NULL: not answered.';
COMMENT ON COLUMN owd.probe_results.up_ms IS 'One-way delay src to dst in ms as both clocks say; positive: seen later at dst; negative: a clock is off. NULL: not answered, or the target stamps nothing.';
COMMENT ON COLUMN owd.probe_results.up_lo_ms IS 'Lower end of the interval that holds the truth, from stated clock errors and causality, in ms.';
COMMENT ON COLUMN owd.probe_results.up_hi_ms IS 'Upper end of the same, in ms.';
COMMENT ON COLUMN owd.probe_results.down_ms IS 'One-way delay back, dst to src, in ms.';
COMMENT ON COLUMN owd.probe_results.down_lo_ms IS 'Lower end of its interval in ms.';
COMMENT ON COLUMN owd.probe_results.down_hi_ms IS 'Upper end of its interval in ms.';
COMMENT ON COLUMN owd.probe_results.lost IS 'No answer within the timeout.';
COMMENT ON COLUMN owd.probe_results.reordered IS 'Its answer was overtaken, on either way.';
COMMENT ON COLUMN owd.probe_results.hops_up IS 'Routers passed on the way up; NULL here and below: not known.';
COMMENT ON COLUMN owd.probe_results.hops_down IS 'Routers passed on the way back.';
COMMENT ON COLUMN owd.probe_results.dscp_up IS 'DSCP as it arrived at dst.';
COMMENT ON COLUMN owd.probe_results.dscp_down IS 'DSCP of the answer as it arrived.';
COMMENT ON COLUMN owd.probe_results.own_error_ms IS 'Error that the sender''s clock states, in ms; 16 s: not synchronised.';
COMMENT ON COLUMN owd.probe_results.peer_error_ms IS 'Error that the reflector''s clock states, in ms; NULL: it states none.';
COMMENT ON COLUMN owd.probe_results.t1_ns IS 'Departure, ns since 1970 UTC by the sender''s clock.';
COMMENT ON COLUMN owd.probe_results.t2_ns IS 'Arrival there, ns since 1970 UTC by the reflector''s clock.';
COMMENT ON COLUMN owd.probe_results.t3_ns IS 'Departure of the answer, ns since 1970 UTC by the reflector''s clock.';
COMMENT ON COLUMN owd.probe_results.t4_ns IS 'Arrival of the answer, ns since 1970 UTC by the sender''s clock.';
COMMENT ON COLUMN owd.probe_results.flow_up IS 'Hash of the packet''s directed 5-tuple: owd.samples.flow of the same packet seen by exporters.';
COMMENT ON COLUMN owd.probe_results.flow_down IS 'The same of its answer.';
COMMENT ON COLUMN owd.probe_results.flags IS 'What else is to be said of the packet, as in oneway-probe(1): lost, reordered, unsync, clock, ...';
