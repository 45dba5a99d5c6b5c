-- SPDX-License-Identifier: Apache-2.0
--
-- owd.matrix and owd.paths against the samples themselves.

DO $$
BEGIN
  ASSERT (SELECT count (*) FROM owd.matrix ('2026-01-01', '2027-01-01')) = 0;
  ASSERT (SELECT count (*) FROM owd.paths) = 0;
END $$;

SELECT test.fill (test.path ('a', 'b'), 1000, '2026-11-21 18:00', '2026-11-22 07:00');
SELECT test.fill (test.path ('b', 'a'), 700, '2026-11-21 18:00', '2026-11-22 07:00');
SELECT test.fill (test.path ('b', 'c'), 300, '2026-11-19 06:00', '2026-11-19 07:00');
SELECT test.sample (test.path ('c', 'a'), '2026-11-22 06:30', -3.5, 1.63);
SELECT test.path ('c', 'b');

CREATE FUNCTION test.matrix (from_ts timestamptz, to_ts timestamptz)
RETURNS TABLE (src text, dst text, n bigint, min_ms float8, mean_ms float8, p50_ms float8, p95_ms float8, sigma_ms float8,
               last_seen timestamptz) LANGUAGE sql AS $$
  SELECT a.name, b.name, i.n, i.min_ms, i.mean_ms, i.p50_ms, i.p95_ms, i.sigma_ms,
         (SELECT max (s.ts) FROM owd.samples s WHERE s.src = a.name AND s.dst = b.name AND s.ts < to_ts)
    FROM owd.path p JOIN owd.point a ON a.point_id = p.src_id JOIN owd.point b ON b.point_id = p.dst_id
    CROSS JOIN LATERAL (
      SELECT count (*) AS n, min (owd_ms) AS min_ms, avg (owd_ms) AS mean_ms, min (owd_ms) FILTER (WHERE rank >= 0.5 * size) AS p50_ms,
             min (owd_ms) FILTER (WHERE rank >= 0.95 * size) AS p95_ms, sqrt (avg (sigma_ms ^ 2)) AS sigma_ms
        FROM (SELECT s.owd_ms, s.sigma_ms, row_number () OVER (ORDER BY s.owd_ms) AS rank, count (*) OVER () AS size
                FROM owd.samples s WHERE s.src = a.name AND s.dst = b.name AND s.ts >= from_ts AND s.ts < to_ts) r) i
$$;

CREATE FUNCTION test.same_matrix (from_ts timestamptz, to_ts timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  wrong record;
BEGIN
  FOR wrong IN
    SELECT f AS got, s AS want FROM owd.matrix (from_ts, to_ts) f FULL JOIN test.matrix (from_ts, to_ts) s USING (src, dst)
     WHERE f.n IS DISTINCT FROM s.n OR f.last_seen IS DISTINCT FROM s.last_seen OR f.loss IS NOT NULL
        OR NOT (test.near (f.min_ms, s.min_ms) AND test.near (f.mean_ms, s.mean_ms) AND test.near (f.p50_ms, s.p50_ms)
                AND test.near (f.p95_ms, s.p95_ms) AND test.near (f.sigma_ms, s.sigma_ms))
  LOOP
    RAISE EXCEPTION '% to %: got %, want %', from_ts, to_ts, wrong.got, wrong.want;
  END LOOP;
  RETURN (SELECT sum (n) FROM owd.matrix (from_ts, to_ts));
END $$;

DO $$
DECLARE
  m record;
BEGIN
  ASSERT test.same_matrix ('2026-11-01', '2026-12-01') = 2001;
  ASSERT test.same_matrix ('-infinity', 'infinity') = 2001;
  ASSERT test.same_matrix ('2026-11-22 06:00', '2026-11-22 06:30:00.000001') > 1;
  ASSERT test.same_matrix ('2026-11-22 07:00', '2026-11-22 06:00') = 0;
  ASSERT (SELECT count (*) FROM owd.matrix ('2026-11-22', '2026-11-23')) = 5;
  -- silent since three days: still there, with the time of its last sample
  SELECT * INTO STRICT m FROM owd.matrix ('2026-11-22', '2026-11-23') WHERE src = 'b' AND dst = 'c';
  ASSERT m.n = 0 AND m.p50_ms IS NULL AND m.last_seen BETWEEN '2026-11-19 06:00' AND '2026-11-19 07:00';
  -- one sample
  SELECT * INTO STRICT m FROM owd.matrix ('2026-11-22', '2026-11-23') WHERE src = 'c' AND dst = 'a';
  ASSERT m.n = 1 AND m.min_ms = -3.5 AND m.mean_ms = -3.5 AND m.p50_ms = -3.5 AND m.p95_ms = -3.5 AND m.sigma_ms = 1.63;
  -- never any
  ASSERT (SELECT n = 0 AND last_seen IS NULL FROM owd.matrix ('-infinity', 'infinity') WHERE src = 'c' AND dst = 'b');

  ASSERT (SELECT count (*) FROM owd.paths) = 5;
  ASSERT (SELECT bool_and (p.first_seen IS NOT DISTINCT FROM s.first AND p.last_seen IS NOT DISTINCT FROM s.last)
            FROM owd.paths p LEFT JOIN (SELECT src, dst, min (ts) AS first, max (ts) AS last FROM owd.samples GROUP BY 1, 2) s
              USING (src, dst));
  ASSERT (SELECT last_owd_ms = -3.5 AND last_sigma_ms = 1.63 FROM owd.paths WHERE src = 'c' AND dst = 'a');
END $$;

-- The same where the planner knows the tables: the last samples come from one look at the time before to_ts.
ANALYZE owd.sample;
DO $$
DECLARE
  t timestamptz;
BEGIN
  ASSERT (SELECT min (c.reltuples) > 0 FROM pg_class c JOIN owd.tables_of ('owd.sample') s ON c.oid = format ('owd.%I', s.name)::regclass
           WHERE s.lo < '2026-11-22 06:31' AND s.hi > '2026-11-22 06:30');
  FOR t IN SELECT '2026-11-22 06:30'::timestamptz + i * interval '97.3 s' FROM generate_series (0, 15) i LOOP
    ASSERT test.same_matrix ('2026-11-22 06:00', t) > 1;
    -- as on the border of what the look has in it
    ASSERT test.same_matrix ('2026-11-22 06:00', (SELECT max (s.ts) FROM owd.sample s WHERE s.ts < t) + interval '1 us') > 1;
  END LOOP;
END $$;

-- A router that came back with another address: two exporter states, one name, one row.
SELECT test.fill (test.path ('old address', 'b'), 100, '2026-11-17 06:00', '2026-11-22 07:00');
UPDATE owd.point SET name = 'a' WHERE name = 'old address';
DO $$
BEGIN
  ASSERT (SELECT n = 1100 FROM owd.matrix ('-infinity', 'infinity') WHERE src = 'a' AND dst = 'b');
  ASSERT (SELECT count (*) FROM owd.matrix ('-infinity', 'infinity')) = 5;
  ASSERT (SELECT count (*) FROM owd.paths) = 5;
  ASSERT (SELECT p.first_seen = min (s.ts) AND p.last_seen = max (s.ts) FROM owd.paths p JOIN owd.samples s USING (src, dst)
           WHERE src = 'a' AND dst = 'b' GROUP BY p.first_seen, p.last_seen);
END $$;

SELECT test.fails ($$SELECT * FROM owd.matrix (NULL, now ())$$, '%from_ts%');
SELECT test.fails ($$SELECT * FROM owd.matrix (now (), NULL)$$, '%to_ts%');

-- The newest samples of all paths, by way of time as by sorting all of them.
INSERT INTO owd.partition (part, first_ts, last_ts) SELECT 0, min (ts), max (ts) FROM owd.sample;
DO $$
DECLARE
  k integer;
BEGIN
  FOREACH k IN ARRAY ARRAY[0, 1, 2, 100, 2101, 5000] LOOP
    ASSERT (SELECT string_agg (n::text, ' ') FROM owd.newest (k) n)
      IS NOT DISTINCT FROM (SELECT string_agg (s::text, ' ') FROM (SELECT * FROM owd.samples ORDER BY ts DESC, part DESC, seq DESC LIMIT k) s), k;
  END LOOP;
  ASSERT (SELECT count (*) FROM owd.newest ()) = 100;
END $$;
SELECT test.fails ($$SELECT * FROM owd.newest (NULL)$$, 'n is the number%');
SELECT test.fails ($$SELECT * FROM owd.newest (-1)$$, 'n is the number%');
