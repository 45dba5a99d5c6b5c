-- SPDX-License-Identifier: Apache-2.0
CREATE OR REPLACE VIEW owd.paths AS
SELECT DISTINCT ON (a.name, b.name) a.name AS src, b.name AS dst, min (coalesce (p.first_ts, f.ts)) OVER same AS first_seen,
       coalesce (l.ts, p.last_ts) AS last_seen,
       l.owd_ns::float8 / 1000000 AS last_owd_ms, l.sigma_ns::float8 / 1000000 AS last_sigma_ms,
       p.floor_ns::float8 / 1000000 AS floor_ms
  FROM owd.path p
  JOIN owd.point a ON a.point_id = p.src_id
  JOIN owd.point b ON b.point_id = p.dst_id
  LEFT JOIN LATERAL (SELECT s.ts FROM owd.sample s WHERE s.path_id = p.path_id ORDER BY s.ts LIMIT 1) f ON true
  LEFT JOIN LATERAL (SELECT s.ts, s.owd_ns, s.sigma_ns FROM owd.sample s
                      WHERE s.path_id = p.path_id ORDER BY s.ts DESC LIMIT 1) l ON true
WINDOW same AS (PARTITION BY a.name, b.name)
 ORDER BY a.name, b.name, coalesce (l.ts, p.last_ts) DESC NULLS LAST;

COMMENT ON VIEW owd.paths IS 'Every ordered pair of observation points that a sample was ever made for.';
COMMENT ON COLUMN owd.paths.src IS 'Upstream observation point.';
COMMENT ON COLUMN owd.paths.dst IS 'Downstream observation point.';
COMMENT ON COLUMN owd.paths.first_seen IS 'ts of the first sample; NULL: there was none.';
COMMENT ON COLUMN owd.paths.last_seen IS 'ts of the newest sample; NULL: there was none.';
COMMENT ON COLUMN owd.paths.last_owd_ms IS 'One-way delay of the newest sample in ms; positive: seen later at dst. NULL: it is no longer kept.';
COMMENT ON COLUMN owd.paths.last_sigma_ms IS 'Its stated standard deviation in ms.';
COMMENT ON COLUMN owd.paths.floor_ms IS 'What light takes between both sites in ms, in fibre along the great circle; no packet takes less. NULL: a site is not configured.';
