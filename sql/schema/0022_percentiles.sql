-- SPDX-License-Identifier: Apache-2.0
--
-- Step 22: owd.percentiles() takes the place of owd.places().
DROP FUNCTION IF EXISTS owd.places (integer[], timestamptz, timestamptz);
