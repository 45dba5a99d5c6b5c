-- SPDX-License-Identifier: Apache-2.0
--
-- Step 1: the tables. All of them are private; the public interface are the views and functions beside this folder.
-- Instants are timestamptz; what must stay exact to the nanosecond is bigint ns since 1970 (UTC). Delays are bigint ns.

COMMENT ON SCHEMA owd IS 'Oneway: passive one-way delay. Public are the views and functions whose comment does not say private.';

CREATE TABLE owd.schema_step (
  step integer PRIMARY KEY,
  name text NOT NULL,
  applied timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE owd.schema_step IS 'Forward steps of the schema that this database has been through; private.';

CREATE TABLE owd.schema_code (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  digest text NOT NULL
);
COMMENT ON TABLE owd.schema_code IS 'SHA-256 of the functions and views last created: the same again need not be; private.';

CREATE TABLE owd.log (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  uuid text NOT NULL,
  n_parts integer NOT NULL CHECK (n_parts BETWEEN 1 AND 32767)
);
COMMENT ON TABLE owd.log IS 'The flow log that this database is filled from (one row); private.';

-- Updated in every commit: room on the page keeps those updates within it.
CREATE TABLE owd.partition (
  part smallint PRIMARY KEY CHECK (part >= 0),
  epoch bigint NOT NULL DEFAULT 0,
  owner text,
  claimed timestamptz,
  log_offset bigint NOT NULL DEFAULT 0,
  seq bigint NOT NULL DEFAULT 0,
  watermark_ns bigint,
  log_time_ns bigint,
  first_ts timestamptz,
  last_ts timestamptz
) WITH (fillfactor = 20);
COMMENT ON TABLE owd.partition IS 'Where each partition of the log stands; changed in the transaction that writes its samples; private.';
COMMENT ON COLUMN owd.partition.epoch IS 'Raised by each claim; a writer with an older one is refused (fencing).';
COMMENT ON COLUMN owd.partition.log_offset IS 'Next offset to read in the log.';
COMMENT ON COLUMN owd.partition.seq IS 'Samples delivered so far = seq of the last one.';
COMMENT ON COLUMN owd.partition.watermark_ns IS 'No sample with ts at or before it will be added; ns since 1970 UTC; NULL: none yet.';
COMMENT ON COLUMN owd.partition.log_time_ns IS 'Receive time in the log up to which it has been worked off; ns since 1970 UTC.';

CREATE TABLE owd.point (
  point_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  addr inet NOT NULL,
  domain bigint NOT NULL CHECK (domain BETWEEN 0 AND 4294967295),
  version smallint NOT NULL,
  name text NOT NULL CHECK (name <> ''),
  UNIQUE (addr, domain, version)
);
CREATE INDEX point_name ON owd.point (name);
COMMENT ON TABLE owd.point IS 'Observation points: exporter states that samples were made for; private.';
COMMENT ON COLUMN owd.point.name IS 'What the views show; changes when a second domain of the address turns up.';

CREATE TABLE owd.path (
  path_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  src_id integer NOT NULL REFERENCES owd.point,
  dst_id integer NOT NULL REFERENCES owd.point,
  UNIQUE (src_id, dst_id)
);
COMMENT ON TABLE owd.path IS 'Ordered pairs of observation points that samples were made for; private.';

CREATE TABLE owd.exporter (
  addr inet NOT NULL,
  domain bigint NOT NULL CHECK (domain BETWEEN 0 AND 4294967295),
  version smallint NOT NULL,
  name text NOT NULL,
  first_ts timestamptz,
  last_ts timestamptz,
  start_step_ns bigint,
  end_step_ns bigint,
  records bigint NOT NULL,
  boot_lo_ns bigint,
  boot_hi_ns bigint,
  segments integer NOT NULL,
  lag_p50_ns bigint,
  lag_p99_ns bigint,
  sampling bigint NOT NULL,
  PRIMARY KEY (addr, domain, version)
);
COMMENT ON TABLE owd.exporter IS 'Exporter states as the correlator saw them; private.';

-- One table per UTC day, made by owd.add_day(). The columns are ordered by alignment: no padding, and no NULL, so no
-- bitmap. Points are looked up through the path, so that one index serves "one path over time".
CREATE TABLE owd.sample (
  ts timestamptz NOT NULL,
  seq bigint NOT NULL,
  owd_ns bigint NOT NULL,
  lo_ns bigint NOT NULL,
  hi_ns bigint NOT NULL,
  sigma_ns bigint NOT NULL,
  bias_ns bigint NOT NULL,
  flow bigint NOT NULL,
  path_id integer NOT NULL,
  profile_id integer NOT NULL,
  part smallint NOT NULL,
  flags smallint NOT NULL,
  kind smallint NOT NULL,
  proto smallint NOT NULL
) PARTITION BY RANGE (ts);
COMMENT ON TABLE owd.sample IS 'One-way-delay samples, raw, one table per UTC day; private: read owd.samples.';
COMMENT ON COLUMN owd.sample.ts IS 'Floor to the microsecond: the order of delivery is (part, seq).';
COMMENT ON COLUMN owd.sample.profile_id IS '0: none.';
COMMENT ON COLUMN owd.sample.flags IS '16 bits without sign.';

CREATE INDEX sample_path_ts ON owd.sample (path_id, ts);
CREATE INDEX sample_ts ON owd.sample USING brin (ts);
