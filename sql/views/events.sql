-- SPDX-License-Identifier: Apache-2.0
--
-- With owd.stalled(), which is not kept.
CREATE OR REPLACE VIEW owd.events AS
SELECT e.event_id, e.kind, coalesce (a.name, o.name, x.name, host (e.addr)) AS src, b.name AS dst, e.raised, e.cleared, e.value,
       e.threshold, e.evidence
  FROM owd.event e
  LEFT JOIN owd.path p ON p.path_id = e.path_id
  LEFT JOIN owd.point a ON a.point_id = p.src_id
  LEFT JOIN owd.point b ON b.point_id = p.dst_id
  LEFT JOIN owd.point o ON (o.addr, o.domain, o.version) = (e.addr, e.domain, e.version)
  LEFT JOIN owd.exporter x ON (x.addr, x.domain, x.version) = (e.addr, e.domain, e.version)
UNION ALL
SELECT NULL, 'watermark_stalled', NULL, NULL, s.watermark + make_interval (secs => s.threshold_s), NULL, s.behind_s, s.threshold_s,
       jsonb_build_object ('watermark', s.watermark, 'log_time', s.log_time)
  FROM owd.stalled () s;

COMMENT ON VIEW owd.events IS
'Alarms, raised and cleared by the log''s own time. Raising and clearing is told by NOTIFY owd_events, with JSON: event_id, kind, state (raised or cleared), at, src, dst, value, threshold.';
COMMENT ON COLUMN owd.events.event_id IS 'Number of the event; NULL: watermark_stalled, which is not kept.';
COMMENT ON COLUMN owd.events.kind IS
'threshold (95th percentile), level_shift (floor of the delay, as a route change has it), distribution (another one than at this hour on the days before), loss, silent, negative (delay below zero, or below what light takes: a clock is off), clock_step, watermark_stalled.';
COMMENT ON COLUMN owd.events.src IS 'Upstream observation point; for a clock_step without dst, the exporter whose clock was set.';
COMMENT ON COLUMN owd.events.dst IS 'Downstream observation point; NULL: the event is about src alone, or about everything.';
COMMENT ON COLUMN owd.events.raised IS 'End of the bin that raised it.';
COMMENT ON COLUMN owd.events.cleared IS 'End of the bin that cleared it; NULL: it lasts.';
COMMENT ON COLUMN owd.events.value IS
'What was found: threshold, negative: ms; level_shift: ms, positive: slower; clock_step: ms, positive: src''s clock was put ahead, or with a dst, dst''s against src''s; loss: share 0..1; distribution: Kolmogorov-Smirnov distance 0..1; silent, watermark_stalled: s.';
COMMENT ON COLUMN owd.events.threshold IS 'What it was held against, in the same unit; NULL: nothing.';
COMMENT ON COLUMN owd.events.evidence IS 'What it rests on; since: begin of the first bin beyond the threshold; names end in their unit.';
