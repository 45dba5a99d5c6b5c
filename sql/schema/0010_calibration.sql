-- SPDX-License-Identifier: Apache-2.0
--
-- Step 10: offsets of exporters' stamps from the probe's clocks, bounded by packets that both have stamped. One row per
-- exporter, clock and window; made anew as often as oneway-probe calibrate looks at that window.
CREATE TABLE owd.calibration_row (
  point text NOT NULL,
  clock text NOT NULL,
  from_ts timestamptz NOT NULL,
  to_ts timestamptz NOT NULL,
  made timestamptz NOT NULL DEFAULT now(),
  result jsonb NOT NULL,
  PRIMARY KEY (point, from_ts, clock)
);
COMMENT ON TABLE owd.calibration_row IS 'Offsets of exporters'' stamps from the probe''s clocks; private: read owd.calibration.';
COMMENT ON COLUMN owd.calibration_row.result IS 'As oneway-probe calibrate --format json prints it.';
