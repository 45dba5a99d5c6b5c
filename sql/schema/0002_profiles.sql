-- SPDX-License-Identifier: Apache-2.0
--
-- Step 2: profiles of exporters. One row per exporter state, run of the profiler and segment (from one reboot or clock
-- step to the next). Rows are added and never changed: what a delay was judged by stays readable.
CREATE TABLE owd.profile (
  profile_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  made timestamptz NOT NULL DEFAULT now(),
  addr inet NOT NULL,
  domain bigint NOT NULL CHECK (domain BETWEEN 0 AND 4294967295),
  version smallint NOT NULL,
  name text NOT NULL CHECK (name <> ''),
  valid_from timestamptz NOT NULL,
  valid_to timestamptz NOT NULL CHECK (valid_to >= valid_from),
  measured jsonb NOT NULL
);
CREATE INDEX profile_exporter ON owd.profile (addr, domain, version, valid_from);
COMMENT ON TABLE owd.profile IS 'Error profiles of exporter states, appended by oneway-profiler; private: read owd.profiles.';
COMMENT ON COLUMN owd.profile.measured IS 'All estimates as oneway-profiler --format json prints them; segments has the one that the row is about.';
