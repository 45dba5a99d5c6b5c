-- SPDX-License-Identifier: Apache-2.0
CREATE OR REPLACE VIEW owd.probe_runs AS
SELECT owd.ts_of_ns (r.run_ns) AS began, r.agent AS src, r.target AS dst, r.method AS mode, r.test, r.size,
       (s ->> 'sent')::bigint AS sent, (s ->> 'answered')::bigint AS answered, (s ->> 'lost')::bigint AS lost,
       (s ->> 'lost_up')::bigint AS lost_up, (s ->> 'lost_down')::bigint AS lost_down,
       (s ->> 'duplicates')::bigint AS duplicates, (s ->> 'reordered')::bigint AS reordered,
       (s -> 'rtt_ms' ->> 'p50')::float8 AS rtt_p50_ms, (s -> 'rtt_ms' ->> 'p95')::float8 AS rtt_p95_ms,
       (s -> 'up_ms' ->> 'p50')::float8 AS up_p50_ms, (s -> 'up_ms' ->> 'p95')::float8 AS up_p95_ms,
       (s -> 'down_ms' ->> 'p50')::float8 AS down_p50_ms, (s -> 'down_ms' ->> 'p95')::float8 AS down_p95_ms,
       (s -> 'ipdv_up_ms' ->> 'p50')::float8 AS ipdv_up_p50_ms,
       (s -> 'ipdv_down_ms' ->> 'p50')::float8 AS ipdv_down_p50_ms, s AS summary,
       (s ->> 'lost_unknown')::bigint AS lost_unknown
  FROM (SELECT *, summary AS s FROM owd.probe_run) r;

COMMENT ON VIEW owd.probe_runs IS 'Runs of the probe: one row per program start, target and size, with its summary once it has ended.';
COMMENT ON COLUMN owd.probe_runs.began IS 'When the program began to measure, by the sender''s clock.';
COMMENT ON COLUMN owd.probe_runs.src IS 'What the sender calls itself.';
COMMENT ON COLUMN owd.probe_runs.dst IS 'The target, address and port.';
COMMENT ON COLUMN owd.probe_runs.mode IS 'How it was asked, as in owd.probe_results.';
COMMENT ON COLUMN owd.probe_runs.test IS 'Name of the measurement, where it has one.';
COMMENT ON COLUMN owd.probe_runs.size IS 'Bytes of payload.';
COMMENT ON COLUMN owd.probe_runs.sent IS 'Packets that left; NULL here and below: the run has no summary.';
COMMENT ON COLUMN owd.probe_runs.answered IS 'Of these answered in time.';
COMMENT ON COLUMN owd.probe_runs.lost IS 'Of these not answered in time.';
COMMENT ON COLUMN owd.probe_runs.lost_up IS 'Of these surely lost on the way up; not more than lost_up + lost_unknown were.';
COMMENT ON COLUMN owd.probe_runs.lost_down IS 'Of these surely lost on the way back; not more than lost_down + lost_unknown were.';
COMMENT ON COLUMN owd.probe_runs.duplicates IS 'Answers that came more than once.';
COMMENT ON COLUMN owd.probe_runs.reordered IS 'Answers that were overtaken.';
COMMENT ON COLUMN owd.probe_runs.rtt_p50_ms IS 'Median of the round trips in ms; all quantiles are over answered packets.';
COMMENT ON COLUMN owd.probe_runs.rtt_p95_ms IS '95th percentile of the same, in ms.';
COMMENT ON COLUMN owd.probe_runs.up_p50_ms IS 'Median one-way delay src to dst in ms; positive: seen later at dst.';
COMMENT ON COLUMN owd.probe_runs.up_p95_ms IS '95th percentile of the same, in ms.';
COMMENT ON COLUMN owd.probe_runs.down_p50_ms IS 'Median one-way delay back in ms.';
COMMENT ON COLUMN owd.probe_runs.down_p95_ms IS '95th percentile of the same, in ms.';
COMMENT ON COLUMN owd.probe_runs.ipdv_up_p50_ms IS 'Median of |IPDV| (RFC 3393) up in ms.';
COMMENT ON COLUMN owd.probe_runs.ipdv_down_p50_ms IS 'The same on the way back, in ms.';
COMMENT ON COLUMN owd.probe_runs.summary IS 'All of it, as oneway-probe send --format json prints it.';
COMMENT ON COLUMN owd.probe_runs.lost_unknown IS 'Of these lost on either way, or answered too late; all of them where the reflector does not count.';
