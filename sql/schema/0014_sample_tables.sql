-- SPDX-License-Identifier: Apache-2.0
--
-- Step 14: tables of samples hold an hour each. An hour is rolled up at once where it can be, and is then all of what its
-- table holds. Tables that are there stay as they are.
UPDATE owd.resolution SET span = '1 hour' WHERE width = 0;
