-- SPDX-License-Identifier: Apache-2.0
CREATE OR REPLACE VIEW owd.exporters AS
SELECT e.name, host (e.addr) AS addr, e.domain, e.version::integer AS version, e.first_ts AS first_seen,
       e.last_ts AS last_seen, e.records, e.start_step_ns::float8 / 1000000 AS start_step_ms,
       e.end_step_ns::float8 / 1000000 AS end_step_ms, owd.ts_of_ns (e.boot_lo_ns) AS boot,
       (e.boot_hi_ns::numeric - e.boot_lo_ns)::float8 / 1000000 AS boot_width_ms, e.segments,
       e.lag_p50_ns::float8 / 1000000 AS lag_p50_ms, e.lag_p99_ns::float8 / 1000000 AS lag_p99_ms,
       nullif (e.sampling, 0) AS sampling, e.datagrams, e.received, e.lost, e.reordered, e.restarts, e.given_up,
       e.malformed, e.over_limit, e.clock_lag_ns::float8 / 1000000 AS clock_lag_ms
  FROM owd.exporter e;

COMMENT ON VIEW owd.exporters IS 'Exporter states: one row per address, observation domain and export version.';
COMMENT ON COLUMN owd.exporters.name IS 'Configured name, else address, else address#domain.';
COMMENT ON COLUMN owd.exporters.addr IS 'Source address of the export.';
COMMENT ON COLUMN owd.exporters.domain IS 'NetFlow v9 source id, IPFIX observation domain, v5 engine_type * 256 + engine_id.';
COMMENT ON COLUMN owd.exporters.version IS '5, 9, or 10 for IPFIX.';
COMMENT ON COLUMN owd.exporters.first_seen IS 'Receive time of its first datagram in this log.';
COMMENT ON COLUMN owd.exporters.last_seen IS 'Receive time of its last datagram.';
COMMENT ON COLUMN owd.exporters.start_step_ms IS 'Resolution of its start stamps in ms as learnt from them; NULL: not known yet.';
COMMENT ON COLUMN owd.exporters.end_step_ms IS 'Resolution of its end stamps in ms.';
COMMENT ON COLUMN owd.exporters.records IS 'Flow records in this log.';
COMMENT ON COLUMN owd.exporters.boot IS 'Lower end of the interval that holds the time at which its uptime was zero; NULL: not known or not needed.';
COMMENT ON COLUMN owd.exporters.boot_width_ms IS 'Width of that interval in ms.';
COMMENT ON COLUMN owd.exporters.segments IS 'Reboots and clock steps seen, plus 1.';
COMMENT ON COLUMN owd.exporters.lag_p50_ms IS 'Median of receive time minus flow end in ms; positive: received later. NULL: none yet.';
COMMENT ON COLUMN owd.exporters.lag_p99_ms IS '99th percentile of the same in ms.';
COMMENT ON COLUMN owd.exporters.sampling IS 'One packet in so many is sampled; 1: said to be unsampled; NULL: nothing said.';
COMMENT ON COLUMN owd.exporters.datagrams IS 'Export datagrams accepted; this and what follows: since the collector''s last start, NULL: it notes nothing.';
COMMENT ON COLUMN owd.exporters.received IS 'Flow records decoded from them.';
COMMENT ON COLUMN owd.exporters.lost IS 'Lost on the way to the collector, by gaps in sequence numbers: datagrams for version 9, else records.';
COMMENT ON COLUMN owd.exporters.reordered IS 'Datagrams that came after a later one.';
COMMENT ON COLUMN owd.exporters.restarts IS 'Sequence numbers that began anew.';
COMMENT ON COLUMN owd.exporters.given_up IS 'Data sets whose template did not come in time.';
COMMENT ON COLUMN owd.exporters.malformed IS 'Datagrams or parts of them that could not be read.';
COMMENT ON COLUMN owd.exporters.over_limit IS 'Templates and states refused because of limits.';
COMMENT ON COLUMN owd.exporters.clock_lag_ms IS 'Receive time of the last datagram minus its export time in ms, which has whole seconds but in version 5: up to 1000 too much. Negative: its clock is ahead.';
