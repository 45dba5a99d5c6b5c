-- SPDX-License-Identifier: Apache-2.0
--
-- Step 4: what the active probe has measured. A run is one program start, one target, one size: what all its packets have
-- in common. Stamps are ns since 1970 by the clock that took them; delays are their differences, so only the stamps, and
-- what cannot be derived from them, is kept.

CREATE TABLE owd.probe_run (
  run_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  agent text NOT NULL,
  run_ns bigint NOT NULL,
  target text NOT NULL,
  size integer NOT NULL,
  method text NOT NULL,
  test text,
  proto smallint NOT NULL,
  src inet NOT NULL,
  dst inet NOT NULL,
  dport integer NOT NULL CHECK (dport BETWEEN 0 AND 65535),
  summary jsonb,
  UNIQUE (agent, run_ns, target, size)
);
CREATE INDEX probe_run_ns ON owd.probe_run (run_ns);
COMMENT ON TABLE owd.probe_run IS 'Runs of the probe: who asked whom, and how; private: read owd.probe_results, owd.probe_runs.';
COMMENT ON COLUMN owd.probe_run.run_ns IS 'When the program began to measure; ns since 1970 UTC.';
COMMENT ON COLUMN owd.probe_run.summary IS 'As oneway-probe send --format json prints it; NULL: it has not ended, or nothing of its end came.';

-- One table per UTC day, made by owd.add_probe_day(). The key makes what is loaded twice one row.
CREATE TABLE owd.probe_packet (
  ts timestamptz NOT NULL,
  run_id bigint NOT NULL,
  seq bigint NOT NULL,
  t1_ns bigint NOT NULL,
  t2_ns bigint,
  t3_ns bigint,
  t4_ns bigint,
  flow_up bigint,
  flow_down bigint,
  up_lo_ns bigint,
  up_hi_ns bigint,
  down_lo_ns bigint,
  down_hi_ns bigint,
  own_error_ns bigint,
  peer_error_ns bigint,
  sport integer NOT NULL,
  hops_up smallint,
  hops_down smallint,
  dscp_up smallint,
  dscp_down smallint,
  flags text[] NOT NULL,
  PRIMARY KEY (run_id, ts, seq)
) PARTITION BY RANGE (ts);
CREATE INDEX probe_packet_ts ON owd.probe_packet USING brin (ts);
COMMENT ON TABLE owd.probe_packet IS 'One row per probe packet, one table per UTC day; private: read owd.probe_results.';
COMMENT ON COLUMN owd.probe_packet.ts IS 't1_ns, floor to the microsecond.';
COMMENT ON COLUMN owd.probe_packet.flow_up IS 'Hash of the packet''s directed 5-tuple, as owd.sample.flow.';
COMMENT ON COLUMN owd.probe_packet.flow_down IS 'The same of its answer.';
