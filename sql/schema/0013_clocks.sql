-- SPDX-License-Identifier: Apache-2.0
--
-- Step 13: how the clocks of exporters stand to each other. Rows of a run of the profiler share `made`; appended, never
-- changed. Names are those of the time of the run.
CREATE TABLE owd.clock_relation (
  made timestamptz NOT NULL DEFAULT now(),
  from_ts timestamptz NOT NULL,
  to_ts timestamptz NOT NULL,
  a text NOT NULL,
  b text NOT NULL,
  result jsonb NOT NULL,
  PRIMARY KEY (made, a, b)
);
COMMENT ON TABLE owd.clock_relation IS 'Bounds on the difference of two clocks, appended by oneway-profiler; private: read owd.clock_relations.';

CREATE TABLE owd.clock_offset (
  made timestamptz NOT NULL DEFAULT now(),
  from_ts timestamptz NOT NULL,
  to_ts timestamptz NOT NULL,
  point text NOT NULL,
  result jsonb NOT NULL,
  PRIMARY KEY (made, point)
);
COMMENT ON TABLE owd.clock_offset IS 'Offset of a clock over the whole mesh, appended by oneway-profiler; private: read owd.clock_offsets.';

-- Their rights are to be given.
UPDATE owd.schema_code SET rights = NULL;
