-- SPDX-License-Identifier: Apache-2.0
--
-- After bench_store: the first 100 paths get roll-ups over the whole default retention, each day a copy of the one that
-- was measured. Daily rows stand in the tables, and in the order, that two years of writing would have left.
SET client_min_messages = warning;
SET timezone = 'UTC';

SELECT owd.add_table (('rollup_' || r.width)::name, t, r.span)
  FROM owd.resolution r, generate_series ('2026-11-22+00'::timestamptz - least (r.keep, interval '730 days'), '2026-11-22+00', interval '1 day') t
 WHERE r.width > 0;

DO $$
DECLARE
  r record;
BEGIN
  FOR r IN SELECT width, least (extract (day FROM keep), 730)::integer AS days FROM owd.resolution WHERE width > 0 ORDER BY width LOOP
    INSERT INTO owd.rollup (width, path_id, start, at, n, kept, sent, lost, late, min_ns, max_ns, first_ns, last_ns, least_hi_ns, p05, p50,
                            p95, p99, sum_ns, lo_ns, hi_ns, square_ns2, bias_ns, sigma_ns2, ipdv_ns, hist)
    SELECT o.width, o.path_id, o.start - d * interval '1 day', o.at, o.n, o.kept, o.sent, o.lost, o.late, o.min_ns, o.max_ns, o.first_ns, o.last_ns,
           o.least_hi_ns, o.p05, o.p50, o.p95, o.p99, o.sum_ns, o.lo_ns, o.hi_ns, o.square_ns2, o.bias_ns, o.sigma_ns2, o.ipdv_ns, o.hist
      FROM generate_series (r.days - 1, 1, -1) d, owd.rollup o
     WHERE o.width = r.width AND o.path_id <= 100 AND o.start >= '2026-11-22+00' AND o.start < '2026-11-23+00'
     ORDER BY d DESC, o.start, o.path_id;
  END LOOP;
END $$;
