-- SPDX-License-Identifier: Apache-2.0
--
-- Step 24: tables of samples get their indexes from owd.index_samples(), each when it pays, instead of from their parents when they
-- are made. Those that are there lose theirs here, and have them again after a few calls of the correlator's, the newest first.
DROP INDEX owd.sample_path_ts, owd.sample_ts, owd.excess_path_ts, owd.excess_ts, owd.tally_path_ts, owd.tally_ts;
