-- SPDX-License-Identifier: Apache-2.0
--
-- Step 18: what share of the flows the correlator sheds, where more comes than it may keep.
ALTER TABLE owd.partition ADD COLUMN shed_ppm integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN owd.partition.shed_ppm IS 'Share of the flows that is shed, as of the last commit: more came than [correlator] max-flows holds or max-rate allows; millionths.';
