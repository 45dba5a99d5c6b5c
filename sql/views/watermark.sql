-- SPDX-License-Identifier: Apache-2.0
--
-- Times of samples are cut to the microsecond, so the watermark must be cut a little more: a sample one nanosecond past
-- it may appear with the microsecond that the watermark itself lies in. Hence the last microsecond that is over.
CREATE OR REPLACE VIEW owd.watermark AS
SELECT CASE WHEN count (p.watermark_ns) = max (l.n_parts)
            THEN owd.ts_of_ns (least (min (p.watermark_ns), 9223372036854775806) + 1) - interval '1 microsecond' END AS ts
  FROM owd.log l LEFT JOIN owd.partition p ON true;

COMMENT ON VIEW owd.watermark IS 'One row: how far the samples are final, over all partitions.';
COMMENT ON COLUMN owd.watermark.ts IS 'No sample with ts at or before it will ever be added; NULL until every partition has a watermark.';
