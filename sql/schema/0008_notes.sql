-- SPDX-License-Identifier: Apache-2.0
--
-- Step 8: what the collector counts of each exporter and of itself, as it notes beside its log.
ALTER TABLE owd.exporter
  ADD COLUMN datagrams bigint,
  ADD COLUMN received bigint,
  ADD COLUMN lost bigint,
  ADD COLUMN reordered bigint,
  ADD COLUMN restarts bigint,
  ADD COLUMN given_up bigint,
  ADD COLUMN malformed bigint,
  ADD COLUMN over_limit bigint,
  ADD COLUMN clock_lag_ns bigint;

CREATE TABLE owd.collection (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  since timestamptz NOT NULL,
  at timestamptz NOT NULL,
  states bigint NOT NULL,
  max_states bigint NOT NULL,
  kernel_dropped bigint NOT NULL,
  buffer_asked bigint NOT NULL,
  buffer_got bigint NOT NULL,
  disallowed bigint NOT NULL,
  unattributed bigint NOT NULL,
  over_limit bigint NOT NULL,
  log_dropped bigint NOT NULL
);
COMMENT ON TABLE owd.collection IS 'At most one row: what the collector counts of itself; private.';

-- Its rights are to be given.
UPDATE owd.schema_code SET rights = NULL;
