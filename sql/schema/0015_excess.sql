-- SPDX-License-Identifier: Apache-2.0
--
-- Step 15: samples beyond raw-samples-per-minute are numbered within their partition, as those are that are kept: so
-- their order does not depend on which transaction brought them.
ALTER TABLE owd.excess ALTER COLUMN nr TYPE bigint;
COMMENT ON COLUMN owd.excess.nr IS 'Place among the samples of its partition that were not kept raw, from 1.';
ALTER TABLE owd.partition ADD COLUMN excess bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN owd.partition.excess IS 'Samples delivered so far that were not kept raw.';
COMMENT ON COLUMN owd.partition.seq IS 'Samples kept raw so far = seq of the last one.';
