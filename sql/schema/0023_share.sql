-- SPDX-License-Identifier: Apache-2.0
--
-- Step 23: from which place of its log on a partition keeps what share of the flows, because it could not be read as fast as it
-- grew ([correlator] max-lag); so that a replay keeps the same ones from there on.
CREATE TABLE owd.share_use (
  part smallint NOT NULL REFERENCES owd.partition,
  log_offset bigint NOT NULL CHECK (log_offset >= 0),
  keep_ppm integer NOT NULL CHECK (keep_ppm BETWEEN 1 AND 1000000),
  noted timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (part, log_offset)
);
COMMENT ON TABLE owd.share_use IS 'From log_offset on, so many millionths of the flows of a partition are kept at most; rows of the last 30 days; private.';
