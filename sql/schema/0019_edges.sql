-- SPDX-License-Identifier: Apache-2.0
--
-- Step 19: edges, for ranges that begin or end at odd times. What the paths sum up to from the begin of an hour to each of its
-- minutes, and from each minute to the end of the hour: of a range over full hours the ends are two rows of edges, instead of up to
-- twelve bins of 5 min and eight of 1 min of each path. A row holds 128 paths, since whoever reads edges asks for all of them:
-- out of TOAST come as few values as there are rows. Made for hours that end after this step; kept as long as samples are.
CREATE TABLE owd.edge (
  start timestamptz NOT NULL,
  width integer NOT NULL,
  path_id integer NOT NULL,
  at smallint[] NOT NULL,
  n bigint[] NOT NULL,
  sent bigint[],
  lost bigint[],
  min_ns bigint[] NOT NULL,
  max_ns bigint[] NOT NULL,
  sum_ns numeric[] NOT NULL,
  sigma_ns2 numeric[] NOT NULL,
  hist bigint[] NOT NULL
) PARTITION BY RANGE (start);
CREATE INDEX edge_start ON owd.edge (start, width);
COMMENT ON TABLE owd.edge IS 'What the samples of 128 paths sum up to in [start, start + width), a part of an hour that begins or ends with it; private.';
COMMENT ON COLUMN owd.edge.width IS 'Length in s: full minutes.';
COMMENT ON COLUMN owd.edge.path_id IS 'The first of the paths that the row is for, a multiple of 128.';
COMMENT ON COLUMN owd.edge.at IS 'Paths, rising: path_id + at. All arrays but hist have one element per path; the others are as in owd.rollup.';
COMMENT ON COLUMN owd.edge.hist IS 'Histograms, sparse, rising: at << 48 | (bucket + 32768) << 32 | count, as in owd.rollup.';
INSERT INTO owd.resolution (width, span, keep) VALUES (-1, '1 day', '0');
COMMENT ON COLUMN owd.resolution.width IS 'Length of a bin in s; 0: samples; -1: edges, from the hour at kept_from on.';

-- Their successors are owd.path_sums() with other columns, and owd.pair_buckets().
DROP FUNCTION IF EXISTS owd.path_sums (timestamptz, timestamptz);
DROP FUNCTION IF EXISTS owd.path_ranks (integer[], integer[], smallint[], smallint[], timestamptz, timestamptz);
