-- SPDX-License-Identifier: Apache-2.0
--
-- Step 21: how long samples wait for others that may still come, which the watermark alone does not say: it stands still while
-- that time grows.
ALTER TABLE owd.partition ADD COLUMN horizon_ns bigint;
COMMENT ON COLUMN owd.partition.horizon_ns IS 'What the watermark is held behind log time, as of the last commit; NULL: none since this column is there.';
