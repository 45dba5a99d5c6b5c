-- SPDX-License-Identifier: Apache-2.0
--
-- Step 5: active against passive. One row per hour, pair of observation points, probe and quantity; made anew as often
-- as oneway-probe report looks at that hour.
CREATE TABLE owd.validation_row (
  hour timestamptz NOT NULL,
  src text NOT NULL,
  dst text NOT NULL,
  quantity text NOT NULL,
  probe_src text NOT NULL,
  probe_dst text NOT NULL,
  mode text NOT NULL,
  size integer NOT NULL,
  via text NOT NULL,
  made timestamptz NOT NULL DEFAULT now(),
  result jsonb NOT NULL,
  PRIMARY KEY (src, dst, hour, quantity, probe_src, probe_dst, mode, size, via)
);
COMMENT ON TABLE owd.validation_row IS 'Active against passive measurement, hour by hour; private: read owd.validation.';
COMMENT ON COLUMN owd.validation_row.result IS 'As oneway-probe report --format json prints it.';

-- The first and the last probe packet are asked for, which a BRIN index cannot tell.
DROP INDEX owd.probe_packet_ts;
CREATE INDEX probe_packet_ts ON owd.probe_packet (ts);
