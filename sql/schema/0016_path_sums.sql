-- SPDX-License-Identifier: Apache-2.0
--
-- Step 16: owd.path_sums() has other columns now; it is made anew with the other functions.
DROP FUNCTION IF EXISTS owd.path_sums (timestamptz, timestamptz);
