-- SPDX-License-Identifier: Apache-2.0
--
-- Roll-ups against the samples that they were made from: counts, extremes and sums exactly, percentiles to 1 %, at every
-- width; then timeline and matrix against the slow way, whatever part of the answer comes from where.
SELECT setseed (:seed / 65536.0);

CREATE FUNCTION test.watermark (ts timestamptz) RETURNS void LANGUAGE sql AS $$
  INSERT INTO owd.log (uuid, n_parts) VALUES ('00000000-0000-4000-8000-000000000000', 2) ON CONFLICT DO NOTHING;
  INSERT INTO owd.partition (part, watermark_ns) SELECT p, extract (epoch FROM ts) * 1000000000 + p FROM generate_series (0, 1) p
    ON CONFLICT (part) DO UPDATE SET watermark_ns = excluded.watermark_ns;
$$;

-- What a roll-up should be, from the samples.
CREATE FUNCTION test.rollup (w integer)
RETURNS TABLE (path_id integer, bin timestamptz, v numeric[], q bigint[], hist bigint[]) LANGUAGE sql AS $$
  WITH d AS (
    SELECT *, date_bin (make_interval (secs => w), ts, '1970-01-01 00:00+00') AS b
      FROM (SELECT path_id, ts, part, seq, 0 AS nr, owd_ns::numeric AS d, lo_ns::numeric AS lo, hi_ns::numeric AS hi, sigma_ns::numeric AS sigma,
                   bias_ns::numeric AS bias FROM owd.sample
            UNION ALL SELECT path_id, ts, part, seq, nr, owd_ns, lo_ns, hi_ns, sigma_ns, bias_ns FROM owd.excess) s
  ), o AS (
    SELECT *, row_number () OVER delivery AS i, count (*) OVER (PARTITION BY path_id, b) AS size,
           lag (d) OVER delivery AS before, row_number () OVER (PARTITION BY path_id, b ORDER BY d) AS rank
      FROM d WINDOW delivery AS (PARTITION BY path_id, b ORDER BY ts, part, seq, nr)
  ), s AS (
    SELECT path_id, b, ARRAY[count (*), count (*) FILTER (WHERE nr = 0), min (d), max (d), max (d) FILTER (WHERE i = 1),
                             max (d) FILTER (WHERE i = size), min (hi), sum (d), sum (lo), sum (hi), sum (bias), coalesce (sum (abs (d - before)), 0),
                             sum (d * d), sum (sigma * sigma)] AS v,
           ARRAY[min (d) FILTER (WHERE rank * 100 >= 5 * size), min (d) FILTER (WHERE rank * 100 >= 50 * size),
                 min (d) FILTER (WHERE rank * 100 >= 95 * size), min (d) FILTER (WHERE rank * 100 >= 99 * size)]::bigint[] AS q
      FROM o GROUP BY path_id, b
  ), t AS (
    SELECT path_id, date_bin (make_interval (secs => w), ts, '1970-01-01 00:00+00') AS b, ARRAY[sum (sent), sum (lost), sum (late)] AS c
      FROM owd.tally GROUP BY 1, 2
  ), h AS (
    SELECT path_id, b, array_agg ((bucket + 32768)::bigint << 32 | n ORDER BY bucket) AS hist
      FROM (SELECT path_id, b, owd.bucket_of (d::bigint) AS bucket, count (*) AS n FROM d GROUP BY 1, 2, 3) k GROUP BY 1, 2
  )
  SELECT path_id, b, coalesce (s.v, array_fill (0::numeric, ARRAY[14])) || coalesce (t.c, '{0,0,0}'), s.q, h.hist
    FROM s FULL JOIN t USING (path_id, b) LEFT JOIN h USING (path_id, b)
$$;

-- What is there.
CREATE FUNCTION test.rolled (w integer)
RETURNS TABLE (path_id integer, bin timestamptz, v numeric[], q smallint[], hist bigint[]) LANGUAGE sql AS $$
  SELECT u.path_id, start + at * make_interval (secs => w),
         ARRAY[n, coalesce (kept, n), min_ns, max_ns, first_ns, last_ns, least_hi_ns, sum_ns, lo_ns, hi_ns, bias_ns, ipdv_ns, square_ns2, sigma_ns2,
               coalesce (sent, 0), coalesce (lost, 0), coalesce (late, 0)], ARRAY[p05, p50, p95, p99], h.hist
    FROM (SELECT r.path_id, r.start, unnest (at) AS at, unnest (n) AS n, unnest (kept) AS kept, unnest (sent) AS sent, unnest (lost) AS lost, unnest (late) AS late,
                 unnest (min_ns) AS min_ns, unnest (max_ns) AS max_ns, unnest (first_ns) AS first_ns, unnest (last_ns) AS last_ns,
                 unnest (least_hi_ns) AS least_hi_ns, unnest (sum_ns) AS sum_ns, unnest (lo_ns) AS lo_ns, unnest (hi_ns) AS hi_ns,
                 unnest (bias_ns) AS bias_ns, unnest (ipdv_ns) AS ipdv_ns, unnest (square_ns2) AS square_ns2, unnest (sigma_ns2) AS sigma_ns2,
                 unnest (p05) AS p05, unnest (p50) AS p50, unnest (p95) AS p95, unnest (p99) AS p99
            FROM owd.rollup r WHERE r.width = w) u
    LEFT JOIN (SELECT path_id, start, (e >> 48)::smallint AS at, array_agg (e & ((1::bigint << 48) - 1) ORDER BY e) AS hist
                 FROM (SELECT r.path_id, r.start, unnest (r.hist) AS e FROM owd.rollup r WHERE r.width = w) x GROUP BY 1, 2, 3) h
      USING (path_id, start, at)
$$;

-- What edges hold, by path and what they are of; and what the samples say that it should be: from the begin of an hour to each minute
-- up to where edges are filled, and of hours that are over from each minute to the end.
CREATE FUNCTION test.edged () RETURNS TABLE (start timestamptz, width integer, path_id integer, v numeric[], hist bigint[]) LANGUAGE sql AS $$
  SELECT u.start, u.width, u.base + u.at, CASE WHEN u.n > 0 THEN ARRAY[u.n, u.min_ns, u.max_ns, u.sum_ns, u.sigma_ns2] ELSE ARRAY[0] END || coalesce (u.sent, 0)::numeric || coalesce (u.lost, 0)::numeric, h.hist
    FROM (SELECT e.start, e.width, e.path_id AS base, unnest (e.at) AS at, unnest (e.n)::numeric AS n, unnest (e.sent) AS sent, unnest (e.lost) AS lost,
                 unnest (e.min_ns) AS min_ns, unnest (e.max_ns) AS max_ns, unnest (e.sum_ns) AS sum_ns, unnest (e.sigma_ns2) AS sigma_ns2 FROM owd.edge e) u
    LEFT JOIN (SELECT x.start, x.width, x.path_id AS base, (x.h >> 48)::smallint AS at, array_agg (x.h & ((1::bigint << 48) - 1) ORDER BY x.h) AS hist
                 FROM (SELECT e.start, e.width, e.path_id, unnest (e.hist) AS h FROM owd.edge e) x GROUP BY 1, 2, 3, 4) h USING (start, width, base, at)
$$;
CREATE FUNCTION test.edges () RETURNS TABLE (start timestamptz, width integer, path_id integer, v numeric[], hist bigint[]) LANGUAGE sql AS $$
  WITH filled AS (
    SELECT r.filled_to, r.kept_from FROM owd.resolution r WHERE r.width = -1
  ), piece AS MATERIALIZED (
    SELECT h, h + CASE WHEN tail THEN m ELSE 0 END * interval '1 minute' AS lo, h + CASE WHEN tail THEN 60 ELSE m END * interval '1 minute' AS hi
      FROM filled f, generate_series ((SELECT date_trunc ('hour', min (ts)) FROM owd.sample), (SELECT max (ts) FROM owd.sample), interval '1 hour') h,
           generate_series (1, 59) m, unnest (ARRAY[false, true]) tail
     WHERE isfinite (f.filled_to) AND h >= f.kept_from AND h + CASE WHEN tail THEN 60 ELSE m END * interval '1 minute' <= f.filled_to
  ), s AS (
    SELECT path_id, ts, owd_ns, sigma_ns, NULL::bigint AS sent, NULL::bigint AS lost FROM owd.sample
    UNION ALL SELECT path_id, ts, owd_ns, sigma_ns, NULL, NULL FROM owd.excess
    UNION ALL SELECT path_id, ts, NULL, NULL, sent, lost FROM owd.tally
  )
  SELECT p.lo, extract (epoch FROM p.hi - p.lo)::integer, s.path_id,
         CASE WHEN count (s.owd_ns) > 0 THEN ARRAY[count (s.owd_ns), min (s.owd_ns), max (s.owd_ns), sum (s.owd_ns), sum (s.sigma_ns::numeric * s.sigma_ns)]
              ELSE ARRAY[0] END || coalesce (sum (s.sent), 0) || coalesce (sum (s.lost), 0),
         (SELECT array_agg ((b + 32768)::bigint << 32 | n ORDER BY b)
            FROM (SELECT owd.bucket_of (d)::integer AS b, count (*) AS n FROM unnest (array_agg (s.owd_ns)) d WHERE d IS NOT NULL GROUP BY 1) x)
    FROM piece p JOIN s ON date_trunc ('hour', s.ts) = p.h AND s.ts >= p.lo AND s.ts < p.hi
   GROUP BY p.lo, p.hi, s.path_id
$$;

-- Every width holds what it should, up to where it says that it is filled, and nothing behind; so do edges.
CREATE FUNCTION test.check_rollups () RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  r record;
  wrong record;
  bins bigint := 0;
BEGIN
  FOR r IN SELECT width, filled_to FROM owd.resolution WHERE width > 0 LOOP
    FOR wrong IN
      SELECT path_id, bin, g AS got, w AS want
        FROM test.rolled (r.width) g FULL JOIN (SELECT * FROM test.rollup (r.width) WHERE bin < r.filled_to) w USING (path_id, bin)
       WHERE g.v IS DISTINCT FROM w.v OR g.hist IS DISTINCT FROM w.hist
          OR EXISTS (SELECT FROM generate_series (1, 4) i WHERE abs (owd.bucket_ns (g.q[i]) - w.q[i]) > 0.01 * abs (w.q[i]))
    LOOP
      RAISE EXCEPTION 'width %, path %, %: got %, want %', r.width, wrong.path_id, wrong.bin, wrong.got, wrong.want;
    END LOOP;
    ASSERT (SELECT count (*) = count (DISTINCT (path_id, bin)) FROM test.rolled (r.width)), 'a bin stands there twice';
    bins := bins + (SELECT count (*) FROM test.rolled (r.width));
  END LOOP;
  FOR wrong IN
    SELECT g AS got, w AS want FROM test.edged () g FULL JOIN test.edges () w USING (start, width, path_id)
     WHERE g.v IS DISTINCT FROM w.v OR g.hist IS DISTINCT FROM w.hist
  LOOP
    RAISE EXCEPTION 'edge: got %, want %', wrong.got, wrong.want;
  END LOOP;
  RETURN bins;
END $$;

-- Samples of two partitions, bursts and equal times, delays of all sizes and signs, some not kept raw; counts too.
CREATE FUNCTION test.scatter (path integer, n integer, from_ts timestamptz, to_ts timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  base bigint := (SELECT count (*) FROM owd.sample) + (SELECT count (*) FROM owd.excess);
BEGIN
  PERFORM owd.add_samples (t) FROM generate_series (from_ts, to_ts + interval '1 h', interval '1 h') t;
  CREATE TEMP TABLE made AS
  SELECT i, date_bin (CASE i % 3 WHEN 0 THEN interval '7 s' ELSE interval '1 us' END, from_ts + (to_ts - from_ts) * power (random (), 2), from_ts) AS ts,
         (CASE i % 7 WHEN 0 THEN 20000000 WHEN 1 THEN -exp (random () * 43) WHEN 2 THEN exp (random () * 43)
                     ELSE (random () * random () * 40 - 2) * 1000000 END)::bigint AS d, i % 10 = 4 AS extra, (random () * 5000000)::bigint AS sigma
    FROM generate_series (1, n) i;
  INSERT INTO owd.sample (ts, seq, owd_ns, lo_ns, hi_ns, sigma_ns, bias_ns, flow, path_id, profile_id, part, flags, kind, proto)
  SELECT ts, base + i, d, d - sigma, d + sigma, sigma, i - 300, i, path, 0, i % 2, 0, 1, 6 FROM made WHERE NOT extra;
  INSERT INTO owd.excess (ts, seq, owd_ns, lo_ns, hi_ns, sigma_ns, bias_ns, path_id, nr, part)
  SELECT ts, base + i, d, d - sigma, d + sigma, sigma, -5, path, 1 + i % 3, i % 2 FROM made WHERE extra;
  INSERT INTO owd.tally (ts, sent, lost, late, path_id, part)
  SELECT ts, 10 + i % 5, i % 7 % 2, i % 11 % 2, path, i % 2 FROM made WHERE i % 20 = 1;
  DROP TABLE made;
END $$;

-- Two days and a half, a path that is only counted, one that comes late and one that goes early.
SELECT test.scatter (test.path ('a', 'b'), 3000, '2026-03-28 20:30+00', '2026-03-31 04:00+00');
SELECT test.scatter (test.path ('b', 'a'), 500, '2026-03-28 21:00+00', '2026-03-28 21:20+00');
SELECT test.scatter (test.path ('b', 'c'), 800, '2026-03-30 22:00+00', '2026-03-31 03:00+00');
INSERT INTO owd.tally (ts, sent, lost, late, path_id, part)
SELECT '2026-03-29 01:00:05+00'::timestamptz + i * interval '25 s', 100, 7, 0, test.path ('c', 'b'), 0 FROM generate_series (1, 300) i;
-- delays at the ends of what can be
INSERT INTO owd.sample (ts, seq, owd_ns, lo_ns, hi_ns, sigma_ns, bias_ns, flow, path_id, profile_id, part, flags, kind, proto)
SELECT '2026-03-29 00:00+00'::timestamptz + i * interval '3 s', i, CASE i % 4 WHEN 0 THEN 9223372036854775807 WHEN 1 THEN -9223372036854775807 WHEN 2 THEN 0 ELSE i - 40 END,
       -9223372036854775807, 9223372036854775807, 9223372036854775807, -9223372036854775807, 1, test.path ('c', 'd'), 0, 0, 0, 1, 6
  FROM generate_series (1, 100) i;

-- Nothing before there is a watermark; then step by step, with minutes, hours and days left over.
\! $OWD_ROLL
SELECT test.check_rollups ();
DO $$ BEGIN ASSERT (SELECT count (*) FROM owd.rollup) = 0; END $$;
SELECT test.watermark ('2026-03-28 21:10:17.5+00');
\! $OWD_ROLL
SELECT test.check_rollups ();
DO $$ BEGIN
  ASSERT (SELECT filled_to FROM owd.resolution WHERE width = 60) = '2026-03-28 21:10+00';
  ASSERT (SELECT filled_to FROM owd.resolution WHERE width = 300) = '2026-03-28 21:00+00';
END $$;
SELECT test.watermark ('2026-03-28 21:11+00');
\! $OWD_ROLL
\! $OWD_ROLL
SELECT test.check_rollups ();
SELECT test.watermark ('2026-03-29 23:59:59.999998+00');
\! $OWD_ROLL
SELECT test.check_rollups ();
DO $$ BEGIN
  ASSERT (SELECT filled_to FROM owd.resolution WHERE width = 60) = '2026-03-29 23:59+00';
  ASSERT (SELECT filled_to FROM owd.resolution WHERE width = 86400) = '2026-03-29 00:00+00';
END $$;
SELECT test.watermark ('2026-03-29 23:59:59.999999+00');
\! $OWD_ROLL
SELECT test.check_rollups ();
SELECT test.watermark ('2026-03-31 02:33:20+00');
\! $OWD_ROLL
DO $$ BEGIN
  ASSERT (SELECT count (*) FROM test.rolled (86400)) = 7;
  ASSERT test.check_rollups () > 2000;
  ASSERT (SELECT r.kept_from = '2026-03-28 20:00+00' AND r.filled_to = '2026-03-31 02:33+00' FROM owd.resolution r WHERE r.width = -1);
  -- the index on time knows all of an hour that is over
  ASSERT (SELECT count (*) > 20 AND sum (brin_summarize_new_values (i.indexrelid)) = 0
            FROM owd.tables_of ('owd.sample') t JOIN pg_index i ON i.indrelid = format ('owd.%I', t.name)::regclass
            JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
           WHERE a.amname = 'brin' AND t.hi <= '2026-03-31 02:00+00' AND pg_relation_size (i.indrelid) > 0);
  -- an hour's rows are one row
  ASSERT (SELECT max (n) FROM (SELECT count (*) AS n FROM owd.rollup WHERE width <= 300 AND start < '2026-03-31 02:00+00'
                                GROUP BY width, path_id, date_trunc ('hour', start)) g) = 1;
  ASSERT (SELECT max (n) FROM (SELECT count (*) AS n FROM owd.rollup WHERE width = 3600 AND start < '2026-03-31+00'
                                GROUP BY path_id, date_trunc ('day', start)) g) = 1;
  ASSERT (SELECT bool_and (p.first_ts = s.first AND p.last_ts = s.last)
            FROM owd.path p JOIN (SELECT path_id, min (ts) AS first, max (ts) FILTER (WHERE ts < '2026-03-31 02:33+00') AS last
                                    FROM (SELECT path_id, ts FROM owd.sample UNION ALL SELECT path_id, ts FROM owd.excess) s GROUP BY 1) s USING (path_id));
END $$;

-- A timeline and a matrix that are put together from roll-ups of all widths, minutes that are not rolled up yet, and samples at
-- ragged ends, against the samples themselves.
CREATE FUNCTION test.slow (want integer, from_ts timestamptz, to_ts timestamptz, step interval)
RETURNS TABLE (bin timestamptz, n bigint, v float8[], q float8[]) LANGUAGE sql AS $$
  WITH s AS (
    SELECT date_bin (step, ts, from_ts) AS b, ts, part, seq, nr, d, sigma
      FROM (SELECT ts, part, seq, 0 AS nr, owd_ns::numeric / 1000000 AS d, sigma_ns::numeric / 1000000 AS sigma FROM owd.sample WHERE path_id = want
            UNION ALL SELECT ts, part, seq, nr, owd_ns::numeric / 1000000, sigma_ns::numeric / 1000000 FROM owd.excess WHERE path_id = want) u
     WHERE ts >= from_ts AND ts < to_ts
  ), r AS (
    SELECT *, lag (d) OVER (ORDER BY ts, part, seq, nr) AS before, row_number () OVER (PARTITION BY b ORDER BY d) AS rank, count (*) OVER (PARTITION BY b) AS size
      FROM s
  ), t AS (
    SELECT date_bin (step, ts, from_ts) AS b, sum (lost)::float8 / sum (sent) AS loss FROM owd.tally
     WHERE path_id = want AND ts >= from_ts AND ts < to_ts GROUP BY 1
  )
  SELECT b, coalesce (g.n, 0), ARRAY[lowest, mean, err, highest, ipdv, loss], ARRAY[p05, p50, p95, p99]
    FROM (SELECT b, count (*) AS n, min (d)::float8 AS lowest, avg (d)::float8 AS mean, max (d)::float8 AS highest, avg (abs (d - before))::float8 AS ipdv,
                 sqrt (greatest (coalesce (var_samp (d), 0), avg (sigma * sigma))::float8 / count (*)) AS err,
                 min (d) FILTER (WHERE rank >= 0.05 * size)::float8 AS p05, min (d) FILTER (WHERE rank >= 0.5 * size)::float8 AS p50,
                 min (d) FILTER (WHERE rank >= 0.95 * size)::float8 AS p95, min (d) FILTER (WHERE rank >= 0.99 * size)::float8 AS p99
            FROM r GROUP BY b) g FULL JOIN t USING (b)
$$;

CREATE FUNCTION test.ask (src text, dst text, from_ts timestamptz, to_ts timestamptz, step interval) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  wrong record;
BEGIN
  FOR wrong IN
    SELECT f AS got, s AS want FROM owd.timeline (src, dst, from_ts, to_ts, step) f FULL JOIN test.slow (test.path (src, dst), from_ts, to_ts, step) s USING (bin)
     WHERE f.n IS DISTINCT FROM s.n
        OR EXISTS (SELECT FROM unnest (ARRAY[f.min_ms, f.mean_ms, f.stderr_ms, f.max_ms, f.ipdv_ms, f.loss], s.v) u (x, y) WHERE NOT test.near (x, y))
        OR EXISTS (SELECT FROM unnest (ARRAY[f.p05_ms, f.p50_ms, f.p95_ms, f.p99_ms], s.q) u (x, y) WHERE NOT test.percent (x, y))
  LOOP
    RAISE EXCEPTION '% to %, % to % by %: got %, want %', src, dst, from_ts, to_ts, step, wrong.got, wrong.want;
  END LOOP;
  RETURN (SELECT count (*) FROM owd.timeline (src, dst, from_ts, to_ts, step));
END $$;

DO $$
DECLARE
  steps interval[] := ARRAY['10 s', '30 s', '1 min', '7 min', '10 min', '1 h', '5 h', '1 day', '36 h', '77 s', '3.7 s'];
  step interval;
  f timestamptz;
  t timestamptz;
  bins bigint := 0;
BEGIN
  FOR i IN 1 .. 24 LOOP
    step := steps[1 + i % 11];
    f := date_bin (CASE i % 4 WHEN 0 THEN interval '1 us' WHEN 1 THEN interval '1 min' WHEN 2 THEN interval '1 h' ELSE interval '1 day' END,
                   '2026-03-28 18:00+00'::timestamptz + random () * interval '50 h', '2026-01-01+00');
    t := CASE i % 5 WHEN 0 THEN 'infinity' ELSE f + step * (1 + 40 * random ()) END;
    bins := bins + test.ask ('a', 'b', f, t, step) + test.ask ('b', 'c', f, t, step) + test.ask ('c', 'b', f, t, step);
  END LOOP;
  ASSERT bins > 100, bins::text;
  ASSERT test.ask ('a', 'b', '2026-03-28+00', '2026-04-01+00', '1 day') = 4;
  ASSERT (SELECT bool_and (m.n = s.n AND test.near (m.min_ms, s.v[1]) AND test.near (m.mean_ms, s.v[2]) AND test.percent (m.p50_ms, s.q[2])
                           AND test.percent (m.p95_ms, s.q[3]) AND test.near (m.loss, s.v[6]))
            FROM owd.matrix ('2026-03-28 20:31:07+00', '2026-03-31 02:41:59.5+00') m
           CROSS JOIN LATERAL test.slow (test.path (m.src, m.dst), '2026-03-28 20:31:07+00', '2026-03-31 02:41:59.5+00', '100 days') s);
END $$;

-- The matrix of ranges within one hour, which edges give as a difference, and across its borders: hours that are over, the one at hand,
-- paths that have nothing there.
CREATE FUNCTION test.ask_pairs (from_ts timestamptz, to_ts timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  wrong record;
BEGIN
  FOR wrong IN
    SELECT m AS got, s AS want
      FROM owd.matrix (from_ts, to_ts) m
      LEFT JOIN LATERAL test.slow (test.path (m.src, m.dst), from_ts, to_ts, '100 days') s ON true
     WHERE m.n IS DISTINCT FROM coalesce (s.n, 0) OR NOT test.near (m.min_ms, s.v[1]) OR NOT test.near (m.mean_ms, s.v[2])
        OR NOT test.percent (m.p50_ms, s.q[2]) OR NOT test.percent (m.p95_ms, s.q[3]) OR NOT test.near (m.loss, s.v[6])
  LOOP
    RAISE EXCEPTION 'matrix % to %: got %, want %', from_ts, to_ts, wrong.got, wrong.want;
  END LOOP;
  RETURN (SELECT sum (n) FROM owd.matrix (from_ts, to_ts));
END $$;

DO $$
DECLARE
  hours CONSTANT timestamptz[] := ARRAY['2026-03-28 20:00+00', '2026-03-28 21:00+00', '2026-03-29 01:00+00', '2026-03-30 22:00+00', '2026-03-31 02:00+00'];
  h timestamptz;
  f timestamptz;
  t timestamptz;
  n bigint := 0;
  differences integer := 0;
BEGIN
  FOR i IN 1 .. 60 LOOP
    h := hours[1 + i % 5];
    f := date_bin (CASE i % 4 WHEN 0 THEN interval '1 us' WHEN 1 THEN interval '1 s' ELSE interval '1 min' END, h + random () * interval '45 min', h);
    t := date_bin (CASE i % 3 WHEN 0 THEN interval '1 us' WHEN 1 THEN interval '1 s' ELSE interval '1 min' END,
                   f + random () * CASE WHEN i % 6 = 0 THEN h + interval '3 h' - f ELSE h + interval '1 h' - f END, h);
    n := n + coalesce (test.ask_pairs (f, t), 0);
    differences := differences + (SELECT count (*) FROM owd.wide_pieces (f, t) p WHERE p.piece = -2);
  END LOOP;
  n := n + test.ask_pairs ('2026-03-28 20:31+00', '2026-03-28 20:52+00') + test.ask_pairs ('2026-03-31 02:01+00', '2026-03-31 02:31:30+00');
  ASSERT (SELECT p.n = 0 AND p.min_ms IS NULL AND p.p50_ms IS NULL FROM owd.matrix ('2026-03-28 21:30+00', '2026-03-28 21:50+00') p WHERE src = 'b' AND dst = 'a');
  ASSERT test.ask_pairs ('2026-03-28 21:30+00', '2026-03-28 21:50+00') > 0;
  ASSERT n > 1000 AND differences > 15, format ('%s samples, %s differences', n, differences);
END $$;

-- What share was kept raw, against counting.
DO $$
DECLARE
  f CONSTANT timestamptz := '2026-03-28 20:00+00';
  step interval;
BEGIN
  FOREACH step IN ARRAY ARRAY['10 s', '7 min', '1 h', '1 day', '3.7 s']::interval[] LOOP
    ASSERT (SELECT count (*) > 2 AND bool_and (k.n IS NOT DISTINCT FROM s.n AND k.kept IS NOT DISTINCT FROM s.kept AND k.share = s.kept::float8 / s.n) AND sum (k.kept) < sum (k.n)
              FROM owd.kept ('a', 'b', f, '2026-04-01+00', step) k
              FULL JOIN (SELECT date_bin (step, ts, f) AS bin, count (*) AS n, sum (raw) AS kept
                           FROM (SELECT ts, path_id, 1 AS raw FROM owd.sample UNION ALL SELECT ts, path_id, 0 FROM owd.excess) u
                          WHERE path_id = test.path ('a', 'b') GROUP BY 1) s USING (bin)), step::text;
  END LOOP;
  ASSERT (SELECT count (*) FROM owd.kept ('a', 'b', '2020-01-01+00', '2020-01-02+00', '1 h')) = 0;
  PERFORM test.fails ($q$SELECT owd.kept ('a', 'nobody', '2026-03-28', '2026-03-29', '1 h')$q$, '%nobody%');
END $$;
