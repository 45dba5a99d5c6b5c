-- SPDX-License-Identifier: Apache-2.0
--
-- Step 12: owd.path_bins() has other columns now; it is made anew with the other functions.
DROP FUNCTION IF EXISTS owd.path_bins (integer[], timestamptz, timestamptz, interval);
