-- SPDX-License-Identifier: Apache-2.0
--
-- Step 11: from which place of its log on a partition uses which profiles, so that a replay uses them from there on too.
CREATE TABLE owd.profile_use (
  part smallint NOT NULL REFERENCES owd.partition,
  newest integer NOT NULL,
  log_offset bigint NOT NULL CHECK (log_offset >= 0),
  PRIMARY KEY (part, newest)
);
COMMENT ON TABLE owd.profile_use IS 'From log_offset on, profiles up to newest count in a partition; private.';
