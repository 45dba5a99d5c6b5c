-- SPDX-License-Identifier: Apache-2.0
CREATE OR REPLACE VIEW owd.clock_offsets AS
SELECT o.point, o.made, o.from_ts, o.to_ts, (o.result ->> 'offset_ms')::float8 AS offset_ms,
       (o.result ->> 'lo_ms')::float8 AS lo_ms, (o.result ->> 'hi_ms')::float8 AS hi_ms, o.result ->> 'anchor' AS anchor,
       (o.result ->> 'trusted')::boolean AS trusted, (o.result ->> 'trust_lost')::boolean AS trust_lost
  FROM owd.clock_offset o;

COMMENT ON VIEW owd.clock_offsets IS 'Offset of each exporter''s wall clock, by least squares over the whole mesh: one row per point and run of the profiler; never changed.';
COMMENT ON COLUMN owd.clock_offsets.point IS 'Observation point.';
COMMENT ON COLUMN owd.clock_offsets.made IS 'When the profiler wrote this row.';
COMMENT ON COLUMN owd.clock_offsets.from_ts IS 'Start of the time range that the row holds for.';
COMMENT ON COLUMN owd.clock_offsets.to_ts IS 'End of that range.';
COMMENT ON COLUMN owd.clock_offsets.offset_ms IS 'Offset of its clock against the anchor in ms; positive: ahead. NULL: not known.';
COMMENT ON COLUMN owd.clock_offsets.lo_ms IS 'It cannot be less, in ms, as far as the anchor is right; NULL: not bounded.';
COMMENT ON COLUMN owd.clock_offsets.hi_ms IS 'It cannot be more, in ms.';
COMMENT ON COLUMN owd.clock_offsets.anchor IS 'What the offset is against: ntp-trusted (true time, within their bound), probe (true time, by clocks of probes that calibrated exporters), both, a reference by name (an exporter, or probe NAME: that clock), none.';
COMMENT ON COLUMN owd.clock_offsets.trusted IS 'This clock is one of the anchors.';
COMMENT ON COLUMN owd.clock_offsets.trust_lost IS 'It was configured as ntp-trusted, and cannot be right.';
