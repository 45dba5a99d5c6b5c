-- SPDX-License-Identifier: Apache-2.0
--
-- Step 6: roll-ups. Samples are kept for days, what they sum up to for years.
--
-- A roll-up bin is [start + at * width, + width) of one path, on the UTC grid. A row holds several bins of a path as
-- arrays, one element per bin that has something in it: a row of sixty bins takes a fifth of what sixty rows take, and a day
-- of one path is 24 pages instead of 1,440. Sums are exact (numeric); what one bin needs of another to be merged with
-- it (first and last delay, for ipdv) is there too, so any merge of bins gives what the samples themselves would have.
CREATE TABLE owd.rollup (
  width integer NOT NULL,
  path_id integer NOT NULL,
  start timestamptz NOT NULL,
  at smallint[] NOT NULL,
  n bigint[] NOT NULL,
  kept bigint[],
  sent bigint[],
  lost bigint[],
  late bigint[],
  min_ns bigint[] NOT NULL,
  max_ns bigint[] NOT NULL,
  first_ns bigint[] NOT NULL,
  last_ns bigint[] NOT NULL,
  least_hi_ns bigint[] NOT NULL,
  p05 smallint[] NOT NULL,
  p50 smallint[] NOT NULL,
  p95 smallint[] NOT NULL,
  p99 smallint[] NOT NULL,
  sum_ns numeric[] NOT NULL,
  lo_ns numeric[] NOT NULL,
  hi_ns numeric[] NOT NULL,
  square_ns2 numeric[] NOT NULL,
  bias_ns numeric[] NOT NULL,
  sigma_ns2 numeric[] NOT NULL,
  ipdv_ns numeric[] NOT NULL,
  hist bigint[] NOT NULL
) PARTITION BY LIST (width);
CREATE TABLE owd.rollup_10 PARTITION OF owd.rollup FOR VALUES IN (10) PARTITION BY RANGE (start);
CREATE TABLE owd.rollup_60 PARTITION OF owd.rollup FOR VALUES IN (60) PARTITION BY RANGE (start);
CREATE TABLE owd.rollup_300 PARTITION OF owd.rollup FOR VALUES IN (300) PARTITION BY RANGE (start);
CREATE TABLE owd.rollup_3600 PARTITION OF owd.rollup FOR VALUES IN (3600) PARTITION BY RANGE (start);
CREATE TABLE owd.rollup_86400 PARTITION OF owd.rollup FOR VALUES IN (86400) PARTITION BY RANGE (start);
CREATE INDEX rollup_path_start ON owd.rollup (path_id, start);
COMMENT ON TABLE owd.rollup IS 'What the samples of a path sum up to, in bins of 10 s to 1 d; several bins to a row; private: read owd.bins(), owd.buckets().';
COMMENT ON COLUMN owd.rollup.width IS 'Length of a bin in s: 10, 60, 300, 3600, 86400.';
COMMENT ON COLUMN owd.rollup.start IS 'Begin of bin 0. All bins of a row lie within one UTC hour, those of 3600 s and more within one UTC day.';
COMMENT ON COLUMN owd.rollup.at IS 'Number of each bin, rising: it begins at start + at * width. All arrays but hist have one element per bin.';
COMMENT ON COLUMN owd.rollup.n IS 'Samples in the bin; 0: only counts, and min_ns to p99 mean nothing.';
COMMENT ON COLUMN owd.rollup.kept IS 'Of them, how many were kept as raw samples; NULL: all.';
COMMENT ON COLUMN owd.rollup.sent IS 'Packets counted at src that should have come by at dst (RFC 7680); NULL: none in any bin.';
COMMENT ON COLUMN owd.rollup.lost IS 'Of them, not seen at dst; NULL where sent is.';
COMMENT ON COLUMN owd.rollup.late IS 'Samples that came too late to be delivered; they count nowhere else. NULL: none in any bin.';
COMMENT ON COLUMN owd.rollup.first_ns IS 'Delay of the first sample in order of ts, part, seq.';
COMMENT ON COLUMN owd.rollup.last_ns IS 'Delay of the last one.';
COMMENT ON COLUMN owd.rollup.least_hi_ns IS 'The smallest hi_ns of a sample: no delay of the quickest packet can have been larger.';
COMMENT ON COLUMN owd.rollup.p05 IS 'Bucket (owd.bucket_ns) that holds the 5th percentile; p50, p95, p99 likewise.';
COMMENT ON COLUMN owd.rollup.sum_ns IS 'Sum of the delays.';
COMMENT ON COLUMN owd.rollup.lo_ns IS 'Sum of the lower ends of the samples'' intervals.';
COMMENT ON COLUMN owd.rollup.hi_ns IS 'Sum of the upper ends.';
COMMENT ON COLUMN owd.rollup.square_ns2 IS 'Sum of their squares.';
COMMENT ON COLUMN owd.rollup.bias_ns IS 'Sum of bias_ns.';
COMMENT ON COLUMN owd.rollup.sigma_ns2 IS 'Sum of the squares of sigma_ns.';
COMMENT ON COLUMN owd.rollup.ipdv_ns IS 'Sum of |D(i) - D(i-1)| over the n - 1 pairs of consecutive samples within the bin.';
COMMENT ON COLUMN owd.rollup.hist IS 'Histograms, sparse, rising: at << 48 | (bucket + 32768) << 32 | count. A bucket may stand there twice: counts add up.';

-- How far each resolution is filled, and from when on it is kept. width 0: the samples themselves.
CREATE TABLE owd.resolution (
  width integer PRIMARY KEY,
  span interval NOT NULL,
  keep interval NOT NULL,
  kept_from timestamptz NOT NULL DEFAULT '-infinity',
  filled_to timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 20);
INSERT INTO owd.resolution (width, span, keep, filled_to) VALUES
  (0, '6 hours', '48 hours', 'infinity'),
  (10, '1 day', '7 days', '-infinity'),
  (60, '3 days', '30 days', '-infinity'),
  (300, '10 days', '90 days', '-infinity'),
  (3600, '60 days', '730 days', '-infinity'),
  (86400, '360 days', '3650 days', '-infinity');
COMMENT ON TABLE owd.resolution IS 'Samples (width 0) and roll-ups: how long they are kept, and what of them there is; private.';
COMMENT ON COLUMN owd.resolution.width IS 'Length of a bin in s; 0: samples.';
COMMENT ON COLUMN owd.resolution.span IS 'Length of one table; it goes as a whole.';
COMMENT ON COLUMN owd.resolution.keep IS 'Tables that ended longer than this before the watermark are dropped; 0: never.';
COMMENT ON COLUMN owd.resolution.kept_from IS 'What lies before has been dropped.';
COMMENT ON COLUMN owd.resolution.filled_to IS 'Bins that end at or before it hold everything; later ones are not there yet: the samples are.';

-- Samples beyond raw-samples-per-minute: they count in the roll-ups and are needed until these are made.
CREATE TABLE owd.excess (
  ts timestamptz NOT NULL,
  seq bigint NOT NULL,
  owd_ns bigint NOT NULL,
  lo_ns bigint NOT NULL,
  hi_ns bigint NOT NULL,
  sigma_ns bigint NOT NULL,
  bias_ns bigint NOT NULL,
  path_id integer NOT NULL,
  nr integer NOT NULL,
  part smallint NOT NULL
) PARTITION BY RANGE (ts);
CREATE INDEX excess_path_ts ON owd.excess (path_id, ts);
CREATE INDEX excess_ts ON owd.excess USING brin (ts);
COMMENT ON TABLE owd.excess IS 'Samples that are not kept raw, until the roll-ups hold them; private.';
COMMENT ON COLUMN owd.excess.seq IS 'seq of the sample of its partition that was delivered before it.';
COMMENT ON COLUMN owd.excess.nr IS 'Order among those behind that one, from 1.';

CREATE TABLE owd.tally (
  ts timestamptz NOT NULL,
  sent bigint NOT NULL,
  lost bigint NOT NULL,
  late bigint NOT NULL,
  path_id integer NOT NULL,
  part smallint NOT NULL
) PARTITION BY RANGE (ts);
CREATE INDEX tally_path_ts ON owd.tally (path_id, ts);
CREATE INDEX tally_ts ON owd.tally USING brin (ts);
COMMENT ON TABLE owd.tally IS 'Packets counted, lost and late, as they were delivered beside the samples; private.';
COMMENT ON COLUMN owd.tally.sent IS 'Packets counted at src that should have come by at dst (RFC 7680).';
COMMENT ON COLUMN owd.tally.lost IS 'Of them, not seen at dst.';
COMMENT ON COLUMN owd.tally.late IS 'Samples that came too late to be delivered.';

ALTER TABLE owd.path ADD COLUMN first_ts timestamptz, ADD COLUMN last_ts timestamptz;
COMMENT ON COLUMN owd.path.first_ts IS 'ts of its first sample, as far as roll-ups are made; NULL: none yet.';
COMMENT ON COLUMN owd.path.last_ts IS 'ts of its last sample, as far as roll-ups are made.';

-- Their successors are owd.add_samples() and owd.retain(). Functions come after the steps: a new database has none yet.
DROP FUNCTION IF EXISTS owd.add_day (date);
DROP FUNCTION IF EXISTS owd.drop_days (interval);
