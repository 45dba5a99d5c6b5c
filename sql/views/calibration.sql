-- SPDX-License-Identifier: Apache-2.0
CREATE OR REPLACE VIEW owd.calibration AS
SELECT c.point, e.addr, e.domain, e.version, c.clock, c.from_ts, c.to_ts, (c.result ->> 'offset_ms')::float8 AS offset_ms,
       (c.result ->> 'lo_ms')::float8 AS lo_ms, (c.result ->> 'hi_ms')::float8 AS hi_ms,
       (c.result ->> 'step_ms')::float8 AS step_ms, (c.result ->> 'n')::bigint AS n,
       (c.result ->> 'rejected')::bigint AS rejected, (c.result ->> 'swept')::float8 AS swept,
       (c.result ->> 'moved')::boolean AS moved, (c.result ->> 'checked')::bigint AS checked,
       (c.result ->> 'held')::bigint AS held, (c.result ->> 'clock_error_ms')::float8 AS clock_error_ms, c.made
  FROM owd.calibration_row c
  LEFT JOIN LATERAL (SELECT host (x.addr) AS addr, x.domain, x.version::integer AS version FROM owd.exporter x
                      WHERE x.name = c.point ORDER BY x.last_ts DESC NULLS LAST LIMIT 1) e ON true;

COMMENT ON VIEW owd.calibration IS 'Offsets of exporters'' corrected stamps from the probe''s clocks, by window; made by oneway-probe calibrate.';
COMMENT ON COLUMN owd.calibration.point IS 'Observation point, named as in owd.samples.';
COMMENT ON COLUMN owd.calibration.addr IS 'Address of the exporter state that has this name, the last one heard; NULL: not known, as the next two.';
COMMENT ON COLUMN owd.calibration.domain IS 'Its domain.';
COMMENT ON COLUMN owd.calibration.version IS 'Its export version.';
COMMENT ON COLUMN owd.calibration.clock IS 'Whose clock it is measured by: the end of the probe beside it, as owd.probe_results.src or dst.';
COMMENT ON COLUMN owd.calibration.from_ts IS 'Begin of the window that it holds for.';
COMMENT ON COLUMN owd.calibration.to_ts IS 'End of it.';
COMMENT ON COLUMN owd.calibration.offset_ms IS 'Exporter''s stamps minus the probe''s clock, in ms, on top of all corrections that were in force; positive: the stamps are ahead.';
COMMENT ON COLUMN owd.calibration.lo_ms IS 'Lower bound of the offset in ms: no assumption but that the way between probe and exporter takes time.';
COMMENT ON COLUMN owd.calibration.hi_ms IS 'Upper bound of the offset in ms.';
COMMENT ON COLUMN owd.calibration.step_ms IS 'Resolution of the stamps in ms that was reckoned with.';
COMMENT ON COLUMN owd.calibration.n IS 'Packets that the bounds rest on.';
COMMENT ON COLUMN owd.calibration.rejected IS 'Packets left out as blunders.';
COMMENT ON COLUMN owd.calibration.swept IS 'Share 0..1 of the step that the packets have visited; little: the bounds cannot be close.';
COMMENT ON COLUMN owd.calibration.moved IS 'The offset moved within the window: the bounds hold all of its way.';
COMMENT ON COLUMN owd.calibration.checked IS 'Packets of the other half, which the bounds do not rest on.';
COMMENT ON COLUMN owd.calibration.held IS 'Of these, how many contradict no bound.';
COMMENT ON COLUMN owd.calibration.clock_error_ms IS 'What the probe''s clock states of its own error in ms; 16 s: not synchronised. NULL: nothing.';
COMMENT ON COLUMN owd.calibration.made IS 'When this row was made.';
