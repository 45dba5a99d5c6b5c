-- SPDX-License-Identifier: Apache-2.0
CREATE OR REPLACE VIEW owd.profiles AS
SELECT p.profile_id, p.name, host (p.addr) AS addr, p.domain, p.version::integer AS version, p.made, p.valid_from,
       p.valid_to, p.s ->> 'cause' AS began, (p.s ->> 'headers')::bigint AS headers,
       (p.m ->> 'records')::bigint AS records, owd.estimate (p.m, 'start_step_ms') AS start_step_ms,
       owd.estimate (p.m, 'end_step_ms') AS end_step_ms, owd.estimate (p.m, 'start_phase_ms') AS start_phase_ms,
       owd.estimate (p.m, 'end_phase_ms') AS end_phase_ms, owd.estimate (p.m, 'header_step_ms') AS header_step_ms,
       p.m ->> 'uptime' AS uptime,
       owd.ts_of_ns (floor ((p.s -> 'boot_ms' ->> 'value')::numeric * 1000000)::bigint) AS boot,
       owd.estimate (p.s, 'boot_ms', 'hi') - owd.estimate (p.s, 'boot_ms', 'lo') AS boot_width_ms,
       owd.estimate (p.s, 'skew_ppm') AS skew_ppm, owd.estimate (p.s, 'skew_ppm', 'lo') AS skew_lo_ppm,
       owd.estimate (p.s, 'skew_ppm', 'hi') AS skew_hi_ppm, owd.estimate (p.s, 'step_ms') AS step_ms,
       owd.estimate (p.m, 'uptime_lag_ms') AS uptime_lag_ms, owd.estimate (p.m, 'epoch_ms') AS epoch_ms,
       owd.estimate (p.m, 'active_s') AS active_s, owd.estimate (p.m, 'inactive_s') AS inactive_s,
       owd.estimate (p.m, 'repeated_starts') AS repeated_starts,
       owd.estimate (p.m -> 'lag_end_ms', 'p50') AS lag_p50_ms,
       owd.estimate (p.m -> 'lag_end_ms', 'p99') AS lag_p99_ms,
       owd.estimate (p.m -> 'lag_start_ms', 'p99') AS lag_start_p99_ms,
       owd.estimate (p.m, 'blunder_rate') AS blunder_rate, owd.estimate (p.m, 'lost') AS lost,
       owd.estimate (p.m, 'loss') AS loss, owd.estimate (p.m, 'sampling')::bigint AS sampling,
       (p.m ->> 'records_per_s')::float8 AS records_per_s,
       ARRAY (SELECT jsonb_array_elements_text (p.m -> 'findings')) AS findings, p.m AS measured
  FROM (SELECT *, measured AS m, measured -> 'segments' -> 0 AS s FROM owd.profile) p;

COMMENT ON VIEW owd.profiles IS 'Error profiles: one row per exporter state, run of the profiler and segment between reboots and clock steps; never changed.';
COMMENT ON COLUMN owd.profiles.profile_id IS 'Number of this row; owd.samples.profile_id refers to it.';
COMMENT ON COLUMN owd.profiles.name IS 'Configured name, else address, else address#domain.';
COMMENT ON COLUMN owd.profiles.addr IS 'Source address of the export.';
COMMENT ON COLUMN owd.profiles.domain IS 'NetFlow v9 source id, IPFIX observation domain, v5 engine_type * 256 + engine_id.';
COMMENT ON COLUMN owd.profiles.version IS '5, 9, or 10 for IPFIX.';
COMMENT ON COLUMN owd.profiles.made IS 'When the profiler wrote this row.';
COMMENT ON COLUMN owd.profiles.valid_from IS 'Receive time of the first datagram of this segment: rows of one run do not overlap.';
COMMENT ON COLUMN owd.profiles.valid_to IS 'Receive time of the last datagram of this segment.';
COMMENT ON COLUMN owd.profiles.began IS 'How the segment began: first (of the run), reboot, step (of the wall clock), slew (it ran away from the uptime).';
COMMENT ON COLUMN owd.profiles.headers IS 'Datagrams of the segment.';
COMMENT ON COLUMN owd.profiles.records IS 'Flow records of the run.';
COMMENT ON COLUMN owd.profiles.start_step_ms IS 'Resolution of start stamps in ms; NULL here and below: not identifiable, measured says why.';
COMMENT ON COLUMN owd.profiles.end_step_ms IS 'Resolution of end stamps in ms.';
COMMENT ON COLUMN owd.profiles.start_phase_ms IS 'What start stamps leave when divided by their step, in ms.';
COMMENT ON COLUMN owd.profiles.end_phase_ms IS 'The same of end stamps, in ms.';
COMMENT ON COLUMN owd.profiles.header_step_ms IS 'Resolution of the header''s time in ms.';
COMMENT ON COLUMN owd.profiles.uptime IS 'What the header''s uptime is good for: fine, locked (exports locked to the second), floating (an epoch per datagram), unstable, few (too few headers), none.';
COMMENT ON COLUMN owd.profiles.boot IS 'When its uptime was zero, by its own wall clock.';
COMMENT ON COLUMN owd.profiles.boot_width_ms IS 'Width in ms of the interval that holds the boot time.';
COMMENT ON COLUMN owd.profiles.skew_ppm IS 'Uptime against its own wall clock in ppm; positive: uptime is fast.';
COMMENT ON COLUMN owd.profiles.skew_lo_ppm IS 'Lower end of its 95 % range, in ppm.';
COMMENT ON COLUMN owd.profiles.skew_hi_ppm IS 'Upper end of its 95 % range, in ppm.';
COMMENT ON COLUMN owd.profiles.step_ms IS 'Where a clock step or slew began the segment: wall clock after it minus before it in ms.';
COMMENT ON COLUMN owd.profiles.uptime_lag_ms IS 'The header''s uptime is up to so many ms older than the header.';
COMMENT ON COLUMN owd.profiles.epoch_ms IS 'Absolute stamps lie so many ms before the header''s time: a stale epoch.';
COMMENT ON COLUMN owd.profiles.active_s IS 'Active timeout in s.';
COMMENT ON COLUMN owd.profiles.inactive_s IS 'Inactive timeout in s.';
COMMENT ON COLUMN owd.profiles.repeated_starts IS 'Share 0..1 of continuations that repeat the start of their flow.';
COMMENT ON COLUMN owd.profiles.lag_p50_ms IS 'Median of receive time minus flow end in ms; positive: received later.';
COMMENT ON COLUMN owd.profiles.lag_p99_ms IS '99th percentile of the same, in ms.';
COMMENT ON COLUMN owd.profiles.lag_start_p99_ms IS '99th percentile of receive time minus flow start in ms.';
COMMENT ON COLUMN owd.profiles.blunder_rate IS 'Share 0..1 of records with nonsense stamps.';
COMMENT ON COLUMN owd.profiles.lost IS 'Datagrams (v9) or records (v5, IPFIX) that never arrived, at most.';
COMMENT ON COLUMN owd.profiles.loss IS 'Share 0..1 of them.';
COMMENT ON COLUMN owd.profiles.sampling IS 'One packet in so many is sampled; 1: said to be unsampled; NULL: nothing said.';
COMMENT ON COLUMN owd.profiles.records_per_s IS 'Records per s in the mean of the run.';
COMMENT ON COLUMN owd.profiles.findings IS 'What is wrong with the exporter and what to change, a sentence each.';
COMMENT ON COLUMN owd.profiles.measured IS 'Every estimate with value, lo, hi (95 % range), n (observations), identifiable, and why not.';
