-- SPDX-License-Identifier: Apache-2.0
--
-- Step 17: memory that the collector has for what exporters make it keep.
ALTER TABLE owd.collection
  ADD COLUMN memory_used bigint NOT NULL DEFAULT 0,
  ADD COLUMN memory_max bigint NOT NULL DEFAULT 0,
  ADD COLUMN memory_refused bigint NOT NULL DEFAULT 0;
