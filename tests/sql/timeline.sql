-- SPDX-License-Identifier: Apache-2.0
--
-- owd.timeline against the definitions in its head comment, written out the slow way.

-- The slow way: bins by division of microseconds, percentiles by rank, the predecessor by a search per sample, within the
-- same pair of exporter states.
CREATE FUNCTION test.timeline (want_src text, want_dst text, from_ts timestamptz, to_ts timestamptz, step interval)
RETURNS TABLE (bin timestamptz, n bigint, min_ms float8, mean_ms float8, stderr_ms float8, p05_ms float8, p50_ms float8,
               p95_ms float8, p99_ms float8, max_ms float8, ipdv_ms float8, loss float8) LANGUAGE sql AS $$
  WITH picked AS (
    SELECT s.path_id, s.ts, s.part, s.seq, s.owd_ns::numeric / 1000000 AS d, s.sigma_ns::numeric / 1000000 AS sigma,
           floor ((extract (epoch FROM s.ts) - extract (epoch FROM from_ts)) / extract (epoch FROM step)) AS k
      FROM owd.sample s JOIN owd.path p ON p.path_id = s.path_id
      JOIN owd.point a ON a.point_id = p.src_id AND a.name = want_src
      JOIN owd.point b ON b.point_id = p.dst_id AND b.name = want_dst
     WHERE s.ts >= from_ts AND s.ts < to_ts
  ), ranked AS (
    SELECT p.*, row_number () OVER (PARTITION BY k ORDER BY d) AS rank, count (*) OVER (PARTITION BY k) AS size,
           abs (d - (SELECT q.d FROM picked q WHERE q.path_id = p.path_id AND (q.ts, q.part, q.seq) < (p.ts, p.part, p.seq)
                      ORDER BY q.ts DESC, q.part DESC, q.seq DESC LIMIT 1)) AS jump
      FROM picked p
  )
  SELECT from_ts + k::float8 * step, count (*), min (d), avg (d),
         sqrt (greatest (coalesce (var_samp (d), 0), avg (sigma * sigma)) / count (*)),
         min (d) FILTER (WHERE rank >= 0.05 * size), min (d) FILTER (WHERE rank >= 0.5 * size),
         min (d) FILTER (WHERE rank >= 0.95 * size), min (d) FILTER (WHERE rank >= 0.99 * size), max (d), avg (jump), NULL::float8
    FROM ranked GROUP BY k
$$;

CREATE FUNCTION test.same_timeline (src text, dst text, from_ts timestamptz, to_ts timestamptz, step interval) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  wrong record;
  rows bigint := (SELECT count (*) FROM owd.timeline (src, dst, from_ts, to_ts, step));
BEGIN
  FOR wrong IN
    SELECT f AS got, s AS want
      FROM owd.timeline (src, dst, from_ts, to_ts, step) f
      FULL JOIN test.timeline (src, dst, from_ts, to_ts, step) s ON f.bin = s.bin
     WHERE f.n IS DISTINCT FROM s.n OR NOT (test.near (f.min_ms, s.min_ms) AND test.near (f.mean_ms, s.mean_ms)
           AND test.near (f.stderr_ms, s.stderr_ms) AND test.percent (f.p05_ms, s.p05_ms) AND test.percent (f.p50_ms, s.p50_ms)
           AND test.percent (f.p95_ms, s.p95_ms) AND test.percent (f.p99_ms, s.p99_ms) AND test.near (f.max_ms, s.max_ms)
           AND test.near (f.ipdv_ms, s.ipdv_ms) AND f.loss IS NULL)
  LOOP
    RAISE EXCEPTION '% to % by %: got %, want %', from_ts, to_ts, step, wrong.got, wrong.want;
  END LOOP;
  ASSERT (SELECT coalesce (bool_and (bin > previous), true)
            FROM (SELECT bin, lag (bin, 1, '-infinity') OVER () AS previous FROM owd.timeline (src, dst, from_ts, to_ts, step)) t),
    'not in order of time';
  RETURN rows;
END $$;

SELECT test.fill (test.path ('a', 'b'), 600, '2026-11-22 06:00', '2026-11-22 07:00');
SELECT test.fill (test.path ('b', 'a'), 200, '2026-11-22 06:00', '2026-11-22 07:00');
SELECT test.fill (test.path ('a', 'c'), 400, '2026-11-21 20:00', '2026-11-23 04:00');
SELECT test.path ('b', 'c');

DO $$
BEGIN
  -- steps that divide the range and steps that do not, ends on and off the samples' own times
  ASSERT test.same_timeline ('a', 'b', '2026-11-22 06:00', '2026-11-22 07:00', '1 min') = 60;
  ASSERT test.same_timeline ('a', 'b', '2026-11-22 06:00', '2026-11-22 07:00', '7 min 13.377 s') > 8;
  ASSERT test.same_timeline ('a', 'b', '2026-11-22 06:00', '2026-11-22 07:00', '7 s') > 50;
  ASSERT test.same_timeline ('a', 'b', '2026-11-22 06:10:00.000001', '2026-11-22 06:40:07', '90 s') > 15;
  ASSERT test.same_timeline ('a', 'b', '2026-11-22 05:59:58.5', '2026-11-22 06:01', '1 ms') > 0;
  -- bins longer than the range, ranges far beyond the samples, no end
  ASSERT test.same_timeline ('a', 'b', '2026-11-22 06:00', '2026-11-22 07:00', '10 days') = 1;
  ASSERT test.same_timeline ('a', 'b', '1970-01-01', '2100-01-01', '1 hour') = 1;
  ASSERT test.same_timeline ('a', 'b', '2026-11-22 06:00', 'infinity', '30 min') = 2;
  -- over midnight, where the samples lie in several tables
  ASSERT test.same_timeline ('a', 'c', '2026-11-21 12:00', '2026-11-24', '1 hour') = 32;
  ASSERT test.same_timeline ('a', 'c', '2026-11-21 12:00', '2026-11-24', '1 day') = 2;
  -- sides swapped: another path
  ASSERT test.same_timeline ('b', 'a', '2026-11-22 06:00', '2026-11-22 07:00', '1 min') > 50;
  ASSERT (SELECT sum (n) FROM owd.timeline ('b', 'a', '2026-11-22', '2026-11-23', '1 h')) = 200;
  -- nothing there: points without samples or path between them, an empty range, one that ends before it begins
  ASSERT test.same_timeline ('b', 'c', '2026-11-22', '2026-11-23', '1 min') = 0;
  ASSERT test.same_timeline ('c', 'b', '2026-11-22', '2026-11-23', '1 min') = 0;
  ASSERT test.same_timeline ('a', 'b', '2026-11-22 06:30', '2026-11-22 06:30', '1 min') = 0;
  ASSERT test.same_timeline ('a', 'b', '2026-11-22 07:00', '2026-11-22 06:00', '1 min') = 0;
  ASSERT test.same_timeline ('a', 'b', '2020-01-01', '2020-02-01', '1 min') = 0;
END $$;

-- The session's time zone moves nothing: a day is 24 hours, also where clocks change (Berlin, 29 March 2026).
SELECT test.fill (test.path ('summer', 'time'), 400, '2026-03-28', '2026-03-31');
CREATE TEMP TABLE in_utc AS SELECT * FROM owd.timeline ('summer', 'time', '2026-03-28 00:00+00', '2026-03-31 00:00+00', '1 day');
SET timezone = 'Europe/Berlin';
DO $$
BEGIN
  ASSERT (SELECT count (*) FROM in_utc) = 3;
  ASSERT (SELECT bool_and (t = u) FROM owd.timeline ('summer', 'time', '2026-03-28 00:00+00', '2026-03-31 00:00+00', '1 day') t
            JOIN in_utc u USING (bin));
END $$;
SET timezone = 'UTC';

-- One sample: no spread, so its own sigma counts; no predecessor, so no ipdv.
SELECT test.sample (test.path ('one', 'only'), '2026-11-22 06:00:00.000001', 12.345678, 0.41);
DO $$
DECLARE
  t record;
BEGIN
  SELECT * INTO STRICT t FROM owd.timeline ('one', 'only', '2026-11-22 06:00', '2026-11-22 06:01', '10 s');
  ASSERT t.bin = '2026-11-22 06:00' AND t.n = 1;
  ASSERT t.min_ms = 12.345678 AND t.mean_ms = 12.345678 AND t.p05_ms = 12.345678 AND t.p50_ms = 12.345678
     AND t.p95_ms = 12.345678 AND t.p99_ms = 12.345678 AND t.max_ms = 12.345678;
  ASSERT test.near (t.stderr_ms, 0.41);
  ASSERT t.ipdv_ms IS NULL AND t.loss IS NULL;
END $$;

-- Five equal delays of a coarse clock: the spread says nothing, the stated sigma does. With a spread larger than sigma
-- the spread counts.
SELECT test.sample (test.path ('coarse', 'clock'), '2026-11-22 06:00'::timestamptz + i * interval '1 s', 20, 26.1)
  FROM generate_series (0, 4) i;
SELECT test.sample (test.path ('busy', 'link'), '2026-11-22 06:00'::timestamptz + i * interval '1 s', 20 + i * i, 0.41)
  FROM generate_series (0, 4) i;
DO $$
BEGIN
  ASSERT (SELECT test.near (stderr_ms, 26.1 / sqrt (5)) AND ipdv_ms = 0
            FROM owd.timeline ('coarse', 'clock', '2026-11-22', '2026-11-23', '1 day'));
  -- 20 21 24 29 36: variance 43.5, steps 1 3 5 7; nearest rank: 5 % is the first, 50 % the third, 95 % the fifth
  ASSERT (SELECT test.near (stderr_ms, sqrt (43.5 / 5)) AND ipdv_ms = 4 AND p05_ms = 20 AND p50_ms = 24 AND p95_ms = 36
            FROM owd.timeline ('busy', 'link', '2026-11-22', '2026-11-23', '1 day'));
  -- the predecessor may lie in the bin before
  ASSERT (SELECT array_agg (ipdv_ms) FROM owd.timeline ('busy', 'link', '2026-11-22 06:00', '2026-11-23', '2 s'))
         = ARRAY[1, 4, 7]::float8[];
END $$;

-- A router that came back with another address: two exporter states, one name, one timeline.
SELECT test.fill (test.path ('old address', 'b'), 200, '2026-11-22 06:00', '2026-11-22 07:00');
UPDATE owd.point SET name = 'a' WHERE name = 'old address';
DO $$
BEGIN
  ASSERT test.same_timeline ('a', 'b', '2026-11-22 06:00', '2026-11-22 07:00', '5 min') = 12;
  ASSERT (SELECT sum (n) FROM owd.timeline ('a', 'b', '2026-11-22', '2026-11-23', '1 h')) = 800;
END $$;

-- Wrong questions get an answer that says what is wrong.
SELECT test.fails ($$SELECT * FROM owd.timeline ('nowhere', 'b', now (), now (), '1 s')$$, '%"nowhere"%');
SELECT test.fails ($$SELECT * FROM owd.timeline ('a', 'no''where" --', now (), now (), '1 s')$$, '%"no''where" --"%');
SELECT test.fails ($$SELECT * FROM owd.timeline ('A', 'b', now (), now (), '1 s')$$, '%"A"%');
SELECT test.fails ($$SELECT * FROM owd.timeline (NULL, 'b', now (), now (), '1 s')$$, '%NULL%');
SELECT test.fails ($$SELECT * FROM owd.timeline ('a', 'b', NULL, now (), '1 s')$$, '%from_ts%');
SELECT test.fails ($$SELECT * FROM owd.timeline ('a', 'b', '-infinity', now (), '1 s')$$, '%finite from_ts%');
SELECT test.fails ($$SELECT * FROM owd.timeline ('a', 'b', now (), NULL, '1 s')$$, '%to_ts%');
SELECT test.fails ($$SELECT * FROM owd.timeline ('a', 'b', now (), now (), NULL)$$, '%step%');
SELECT test.fails ($$SELECT * FROM owd.timeline ('a', 'b', now (), now (), '0')$$, 'step 00:00:00 is not%');
SELECT test.fails ($$SELECT * FROM owd.timeline ('a', 'b', now (), now (), '-1 s')$$, 'step -00:00:01 is not%');
SELECT test.fails ($$SELECT * FROM owd.timeline ('a', 'b', now (), now (), '1 month')$$, 'step 1 mon is not%');
SELECT test.fails ($$SELECT * FROM owd.timeline ('a', 'b', now (), now (), '1 month -3 days')$$, 'step 1 mon -3 days is not%');
