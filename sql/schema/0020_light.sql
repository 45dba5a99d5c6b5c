-- SPDX-License-Identifier: Apache-2.0
--
-- Step 20: what light takes between the sites of two points. The correlator writes it when it first meets a path after its start.
ALTER TABLE owd.path ADD COLUMN floor_ns bigint CHECK (floor_ns > 0);
COMMENT ON COLUMN owd.path.floor_ns IS 'No packet takes less, in ns: light in fibre along the great circle; NULL: a site is not configured.';
