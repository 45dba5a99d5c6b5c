-- SPDX-License-Identifier: Apache-2.0
--
-- Every function of the public interface that sums samples up, against definitions written out the slow way over the samples, on random
-- samples with random questions. The seed is printed; OWD_SEED repeats it.
SELECT setseed (:seed / 65536.0);

-- n samples with intervals of their own: bursts, gaps of hours, equal times, equal and negative delays.
CREATE FUNCTION test.scatter (path integer, n integer, from_ts timestamptz, to_ts timestamptz, base_ms numeric) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  base bigint := (SELECT count (*) FROM owd.sample);
BEGIN
  PERFORM owd.add_samples (t) FROM generate_series (from_ts, to_ts + interval '1 h', interval '1 h') t;
  WHILE owd.index_samples ('infinity') LOOP
  END LOOP;
  INSERT INTO owd.sample (ts, seq, owd_ns, lo_ns, hi_ns, sigma_ns, bias_ns, flow, path_id, profile_id, part, flags, kind, proto)
  SELECT at, base + row_number () OVER (ORDER BY at), d, d - (width * 0.4)::bigint, d + (width * 0.6)::bigint, width / 4, 0, i, path, 0, i % 4, 0, 1, 6
    FROM (SELECT i, date_bin (CASE i % 3 WHEN 0 THEN interval '7 s' WHEN 1 THEN interval '10 min' ELSE interval '1 us' END,
                              from_ts + (to_ts - from_ts) * power (random (), 2), from_ts) AS at,
                 CASE WHEN i % 5 = 0 THEN (base_ms * 1000000)::bigint
                      ELSE ((base_ms + (random () * random () * 40 - 2)::numeric) * 1000000)::bigint END AS d,
                 (1 + (random () * 3)::integer) * 1000000 AS width
            FROM generate_series (1, n) i) s;
END $$;

DO $$
DECLARE
  pair record;
BEGIN
  FOR pair IN SELECT * FROM (VALUES ('a', 'b', 700, 12), ('b', 'a', 500, 9), ('b', 'c', 400, -30), ('a', 'c', 350, -18), ('c', 'd', 300, 60),
                                    ('d', 'c', 1, 5), ('a', 'd', 90, 40)) v (src, dst, n, base) LOOP
    PERFORM test.scatter (test.path (pair.src, pair.dst), pair.n, '2026-03-28 20:00+00', '2026-03-29 04:00+00', pair.base);
  END LOOP;
  PERFORM test.path ('d', 'a');   -- known, without a sample
  PERFORM test.point ('lonely');  -- no path at all
  -- another exporter that bears the name a
  PERFORM test.scatter (test.path ('a before', 'b'), 100, '2026-03-28 18:00+00', '2026-03-28 23:00+00', 14);
  UPDATE owd.point SET name = 'a' WHERE name = 'a before';
END $$;

-- One path's bins: everything that the definitions below are made of.
CREATE FUNCTION test.bins (want_src text, want_dst text, from_ts timestamptz, to_ts timestamptz, step interval)
RETURNS TABLE (bin timestamptz, n bigint, lowest numeric, mean numeric, err numeric, lo numeric, hi numeric, least_hi numeric) LANGUAGE sql AS $$
  SELECT from_ts + k::float8 * extract (epoch FROM step)::float8 * interval '1 second', count (*), min (d), avg (d), greatest (coalesce (var_samp (d), 0), avg (sigma * sigma)) / count (*),
         avg (l), avg (h), min (h)
    FROM (SELECT s.owd_ms::numeric AS d, s.sigma_ms::numeric AS sigma, s.lo_ms::numeric AS l, s.hi_ms::numeric AS h,
                 floor ((extract (epoch FROM s.ts) - extract (epoch FROM from_ts)) / extract (epoch FROM step)) AS k
            FROM owd.samples s WHERE s.src = want_src AND s.dst = want_dst AND s.ts >= from_ts AND s.ts < to_ts) s
   GROUP BY k
$$;

CREATE FUNCTION test.rtt (a text, b text, from_ts timestamptz, to_ts timestamptz, step interval)
RETURNS TABLE (bin timestamptz, n_ab bigint, n_ba bigint, v float8[]) LANGUAGE sql AS $$
  SELECT bin, x.n, y.n, ARRAY[x.lowest + y.lowest, x.mean + y.mean, sqrt (x.err + y.err), x.lo + y.lo, x.hi + y.hi]::float8[]
    FROM test.bins (a, b, from_ts, to_ts, step) x JOIN test.bins (b, a, from_ts, to_ts, step) y USING (bin)
$$;

CREATE FUNCTION test.asymmetry (a text, b text, from_ts timestamptz, to_ts timestamptz, step interval)
RETURNS TABLE (bin timestamptz, n_ab bigint, n_ba bigint, v float8[]) LANGUAGE sql AS $$
  SELECT bin, x.n, y.n, ARRAY[x.lowest - y.lowest, x.mean - y.mean, sqrt (x.err + y.err), (x.lowest - y.lowest) / 2, -y.least_hi, x.least_hi]::float8[]
    FROM test.bins (a, b, from_ts, to_ts, step) x JOIN test.bins (b, a, from_ts, to_ts, step) y USING (bin)
$$;

CREATE FUNCTION test.compose (route text[], from_ts timestamptz, to_ts timestamptz, step interval)
RETURNS TABLE (bin timestamptz, n bigint, m bigint, v float8[]) LANGUAGE plpgsql AS $$
DECLARE
  hop record;
  i integer;
BEGIN
  CREATE TEMP TABLE IF NOT EXISTS hops (at timestamptz, hop integer, n bigint, lowest numeric, mean numeric, err numeric);
  DELETE FROM hops;
  FOR i IN 2 .. cardinality (route) LOOP
    INSERT INTO hops SELECT t.bin, i, t.n, t.lowest, t.mean, t.err FROM test.bins (route[i - 1], route[i], from_ts, to_ts, step) t;
  END LOOP;
  RETURN QUERY
    SELECT h.at, min (h.n), coalesce (max (d.n), 0),
           ARRAY[sum (h.lowest), sum (h.mean), sqrt (sum (h.err)), max (d.lowest), max (d.mean), sqrt (max (d.err)), sum (h.mean) - max (d.mean),
                 sqrt (sum (h.err) + max (d.err))]::float8[]
      FROM hops h LEFT JOIN test.bins (route[1], route[cardinality (route)], from_ts, to_ts, step) d ON d.bin = h.at
     GROUP BY h.at HAVING count (DISTINCT h.hop) = cardinality (route) - 1;
END $$;

-- Two lists of numbers, each near its counterpart.
CREATE FUNCTION test.all_near (a float8[], b float8[]) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
  SELECT cardinality (a) = cardinality (b) AND bool_and (test.near (x, y)) FROM unnest (a, b) u (x, y)
$$;

-- got against want, both as (bin, n, m, v), whatever function they come from
CREATE FUNCTION test.same (question text, got text, want text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  wrong record;
  rows bigint;
BEGIN
  FOR wrong IN EXECUTE format ('SELECT g::text AS got, w::text AS want FROM (%s) g FULL JOIN (%s) w USING (bin)
      WHERE g.n IS DISTINCT FROM w.n OR g.m IS DISTINCT FROM w.m OR NOT coalesce (test.all_near (g.v, w.v), false)', got, want) LOOP
    RAISE EXCEPTION '%: got %, want %', question, wrong.got, wrong.want;
  END LOOP;
  EXECUTE format ('SELECT count (*) FROM (%s) g', got) INTO rows;
  RETURN rows;
END $$;

CREATE FUNCTION test.ask_pair (a text, b text, from_ts timestamptz, to_ts timestamptz, step interval) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  args text := format ('(%L, %L, %L, %L, %L)', a, b, from_ts, to_ts, step);
BEGIN
  RETURN test.same ('rtt ' || args, 'SELECT bin, n_ab AS n, n_ba AS m, ARRAY[min_ms, mean_ms, stderr_ms, lo_ms, hi_ms] AS v FROM owd.rtt ' || args,
                    'SELECT bin, n_ab AS n, n_ba AS m, v FROM test.rtt ' || args)
       + test.same ('asymmetry ' || args, 'SELECT bin, n_ab AS n, n_ba AS m, ARRAY[min_diff_ms, mean_diff_ms, stderr_ms, offset_ms, offset_lo_ms,
                    offset_hi_ms] AS v FROM owd.asymmetry ' || args, 'SELECT bin, n_ab AS n, n_ba AS m, v FROM test.asymmetry ' || args);
END $$;

CREATE FUNCTION test.ask_route (route text[], from_ts timestamptz, to_ts timestamptz, step interval) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  args text := format ('(%L::text[], %L, %L, %L)', route, from_ts, to_ts, step);
BEGIN
  RETURN test.same ('compose ' || args, 'SELECT bin, n_least AS n, direct_n AS m, ARRAY[min_ms, mean_ms, stderr_ms, direct_min_ms, direct_mean_ms,
                    direct_stderr_ms, diff_ms, diff_stderr_ms] AS v FROM owd.compose ' || args, 'SELECT * FROM test.compose ' || args);
END $$;

-- Per pair: n, median, 95th percentile and sigma by rank.
CREATE FUNCTION test.ranked (from_ts timestamptz, to_ts timestamptz)
RETURNS TABLE (src text, dst text, n bigint, p50 float8, p95 float8, sigma float8) LANGUAGE sql AS $$
  SELECT src, dst, count (*), min (owd_ms) FILTER (WHERE rank >= 0.5 * size), min (owd_ms) FILTER (WHERE rank >= 0.95 * size),
         sqrt (avg (sigma_ms ^ 2))
    FROM (SELECT s.*, row_number () OVER (PARTITION BY src, dst ORDER BY owd_ms) AS rank, count (*) OVER (PARTITION BY src, dst) AS size
            FROM owd.samples s WHERE s.ts >= from_ts AND s.ts < to_ts) s
   GROUP BY src, dst
$$;

CREATE FUNCTION test.ask_range (from_ts timestamptz, to_ts timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  wrong record;
  c record;
  rows bigint;
BEGIN
  FOR wrong IN
    SELECT g::text AS got, w::text AS want
      FROM (SELECT *, rank () OVER (ORDER BY excess_ms DESC) AS place FROM owd.worst (from_ts, to_ts, 1000)) g
      FULL JOIN (SELECT src, dst, t.n AS samples, t.p50, t.p95, b.p50 AS before, t.sigma
                   FROM test.ranked (from_ts, to_ts) t
                   LEFT JOIN test.ranked (CASE WHEN isfinite (to_ts) AND isfinite (from_ts) THEN from_ts - make_interval (secs => extract (epoch FROM to_ts - from_ts)) ELSE 'infinity' END,
                                          CASE WHEN isfinite (to_ts) THEN from_ts ELSE 'infinity' END) b USING (src, dst)) w USING (src, dst)
     WHERE g.samples IS DISTINCT FROM w.samples
        OR NOT (test.percent (g.p50_ms, w.p50) AND test.percent (g.p95_ms, w.p95) AND test.percent (g.before_p50_ms, w.before))
        OR NOT test.all_near (ARRAY[g.above_ms, g.excess_ms, g.sigma_ms],
                              ARRAY[g.p95_ms - least (g.p50_ms, g.before_p50_ms), sqrt (greatest (g.above_ms ^ 2 - (1.645 * w.sigma) ^ 2, 0)), w.sigma])
  LOOP
    RAISE EXCEPTION 'worst % to %: got %, want %', from_ts, to_ts, wrong.got, wrong.want;
  END LOOP;
  ASSERT (SELECT coalesce (bool_and (excess_ms <= before), true)
            FROM (SELECT excess_ms, lag (excess_ms, 1, 'infinity') OVER () AS before FROM owd.worst (from_ts, to_ts, 1000)) w), 'worst: not in order';
  rows := (SELECT count (*) FROM owd.worst (from_ts, to_ts, 1000));
  ASSERT (SELECT count (*) FROM owd.worst (from_ts, to_ts, 2)) = least (rows, 2);

  SELECT * INTO STRICT c FROM owd.connected (from_ts, to_ts);
  ASSERT c.working = rows AND c.working = (SELECT count (DISTINCT (src, dst)) FROM owd.samples WHERE ts >= from_ts AND ts < to_ts);
  ASSERT c.pairs = (SELECT count (*) FROM (SELECT DISTINCT src, dst FROM owd.samples WHERE ts < to_ts) s) + 1, 'and d to a, which has none';
  ASSERT test.near (c.share, c.working::float8 / c.pairs);
  ASSERT c.last_sample IS NOT DISTINCT FROM (SELECT max (ts) FROM owd.samples WHERE ts < to_ts);
  RETURN rows;
END $$;

-- timeline, by rank; ipdv with the predecessor of the same exporter states.
CREATE FUNCTION test.timeline (want_src text, want_dst text, from_ts timestamptz, to_ts timestamptz, step interval)
RETURNS TABLE (bin timestamptz, n bigint, v float8[], q float8[]) LANGUAGE sql AS $$
  WITH jumps AS (
    SELECT s.ts, s.owd_ns, p.path_id, abs (s.owd_ns - lag (s.owd_ns) OVER (PARTITION BY p.path_id ORDER BY s.ts, s.part, s.seq)) / 1e6 AS jump
      FROM owd.sample s JOIN owd.path p USING (path_id) JOIN owd.point a ON a.point_id = p.src_id JOIN owd.point b ON b.point_id = p.dst_id
     WHERE a.name = want_src AND b.name = want_dst AND s.ts >= from_ts AND s.ts < to_ts
  ), ranked AS (
    SELECT date_bin (step, j.ts, from_ts) AS bin, j.owd_ns / 1e6 AS d, j.jump, row_number () OVER w AS rank, count (*) OVER (PARTITION BY date_bin (step, j.ts, from_ts)) AS size
      FROM jumps j WINDOW w AS (PARTITION BY date_bin (step, j.ts, from_ts) ORDER BY j.owd_ns)
  )
  SELECT r.bin, b.n, ARRAY[min (r.d), max (r.d), max (b.mean), max (sqrt (b.err)), avg (r.jump)]::float8[],
         ARRAY[min (r.d) FILTER (WHERE rank >= 0.05 * size), min (r.d) FILTER (WHERE rank >= 0.5 * size),
               min (r.d) FILTER (WHERE rank >= 0.95 * size), min (r.d) FILTER (WHERE rank >= 0.99 * size)]::float8[]
    FROM ranked r JOIN test.bins (want_src, want_dst, from_ts, to_ts, step) b ON b.bin = r.bin
   GROUP BY r.bin, b.n
$$;

CREATE FUNCTION test.ask_timeline (a text, b text, from_ts timestamptz, to_ts timestamptz, step interval) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  wrong record;
BEGIN
  FOR wrong IN
    SELECT g::text AS got, w::text AS want
      FROM owd.timeline (a, b, from_ts, to_ts, step) g FULL JOIN test.timeline (a, b, from_ts, to_ts, step) w USING (bin)
     WHERE g.n IS DISTINCT FROM w.n OR g.loss IS NOT NULL
        OR NOT coalesce (test.all_near (ARRAY[g.min_ms, g.max_ms, g.mean_ms, g.stderr_ms, g.ipdv_ms], w.v), false)
        OR NOT (test.percent (g.p05_ms, w.q[1]) AND test.percent (g.p50_ms, w.q[2]) AND test.percent (g.p95_ms, w.q[3]) AND test.percent (g.p99_ms, w.q[4]))
  LOOP
    RAISE EXCEPTION 'timeline % % % % %: got %, want %', a, b, from_ts, to_ts, step, wrong.got, wrong.want;
  END LOOP;
END $$;

-- matrix: every pair, also those that have nothing
CREATE FUNCTION test.ask_matrix (from_ts timestamptz, to_ts timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  wrong record;
BEGIN
  FOR wrong IN
    SELECT g::text AS got, w::text AS want
      FROM owd.matrix (from_ts, to_ts) g
      FULL JOIN (SELECT DISTINCT a.name AS src, b.name AS dst FROM owd.path p JOIN owd.point a ON a.point_id = p.src_id
                   JOIN owd.point b ON b.point_id = p.dst_id) e USING (src, dst)
      LEFT JOIN test.ranked (from_ts, to_ts) w USING (src, dst)
      LEFT JOIN (SELECT src, dst, min (owd_ms) AS lowest, avg (owd_ms) AS mean FROM owd.samples WHERE ts >= from_ts AND ts < to_ts GROUP BY 1, 2) m USING (src, dst)
     WHERE g.n IS DISTINCT FROM coalesce (w.n, 0) OR e.src IS NULL OR g.loss IS NOT NULL
        OR NOT test.all_near (ARRAY[g.min_ms, g.mean_ms, g.sigma_ms], ARRAY[m.lowest, m.mean, w.sigma])
        OR NOT (test.percent (g.p50_ms, w.p50) AND test.percent (g.p95_ms, w.p95))
        OR g.last_seen IS DISTINCT FROM (SELECT max (ts) FROM owd.samples s WHERE (s.src, s.dst) = (e.src, e.dst) AND s.ts < to_ts)
  LOOP
    RAISE EXCEPTION 'matrix % %: got %, want %', from_ts, to_ts, wrong.got, wrong.want;
  END LOOP;
END $$;

-- Cells: every sample is in the one whose edges hold it, and in no other.
CREATE FUNCTION test.ask_cells (want_src text, want_dst text, from_ts timestamptz, to_ts timestamptz, step interval, merge integer) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  wrong record;
  total bigint := (SELECT count (*) FROM owd.samples s WHERE s.src = want_src AND s.dst = want_dst AND s.ts >= from_ts AND s.ts < to_ts);
BEGIN
  FOR wrong IN
    SELECT h.* FROM (SELECT NULL AS bin, lo_ms, hi_ms, n, share, upto FROM owd.histogram (want_src, want_dst, from_ts, to_ts, merge)
                     UNION ALL SELECT bin, lo_ms, hi_ms, n, NULL, NULL FROM owd.heatmap (want_src, want_dst, from_ts, to_ts, step, merge)) h
     WHERE h.n = 0 OR h.lo_ms >= h.hi_ms OR (h.hi_ms - h.lo_ms) > 1.0001 * (power (1.02, merge) - 1) * least (abs (h.lo_ms), abs (h.hi_ms)) + 3e-6
        OR h.n <> (SELECT count (*) FROM owd.samples s
                    WHERE s.src = want_src AND s.dst = want_dst AND s.ts >= coalesce (h.bin, from_ts) AND s.ts < least (to_ts, coalesce (h.bin + make_interval (secs => extract (epoch FROM step)), to_ts))
                      AND CASE WHEN h.hi_ms > 0 AND h.lo_ms > 0 THEN s.owd_ms > h.lo_ms AND s.owd_ms <= h.hi_ms
                               WHEN h.hi_ms > 0 THEN s.owd_ms BETWEEN h.lo_ms AND h.hi_ms ELSE s.owd_ms >= h.lo_ms AND s.owd_ms < h.hi_ms END)
        OR NOT test.near (h.share, CASE WHEN h.bin IS NULL THEN h.n::float8 / total END)
        OR NOT test.near (h.upto, CASE WHEN h.bin IS NULL THEN (SELECT count (*) FROM owd.samples s
                    WHERE s.src = want_src AND s.dst = want_dst AND s.ts >= from_ts AND s.ts < to_ts AND s.owd_ms <= h.hi_ms) / total::float8 END)
  LOOP
    RAISE EXCEPTION 'cells % % % % % %: %', want_src, want_dst, from_ts, to_ts, step, merge, wrong;
  END LOOP;
  ASSERT (SELECT coalesce (sum (n), 0) FROM owd.histogram (want_src, want_dst, from_ts, to_ts, merge)) = total;
  ASSERT (SELECT coalesce (sum (n), 0) FROM owd.heatmap (want_src, want_dst, from_ts, to_ts, step, merge)) = total;
  ASSERT (SELECT coalesce (bool_and ((bin, lo_ms) > (was, low)), true) FROM (SELECT bin, lo_ms, lag (bin) OVER () AS was, lag (lo_ms) OVER () AS low
            FROM owd.heatmap (want_src, want_dst, from_ts, to_ts, step, merge)) h WHERE was IS NOT NULL);
  RETURN total;
END $$;

-- The distance of two empirical distributions at every value that was seen.
CREATE FUNCTION test.ask_compare (a text, b text, f1 timestamptz, t1 timestamptz, f2 timestamptz, t2 timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  got record;
  one float8[] := ARRAY (SELECT owd_ms FROM owd.samples WHERE src = a AND dst = b AND ts >= f1 AND ts < t1 ORDER BY 1);
  two float8[] := ARRAY (SELECT owd_ms FROM owd.samples WHERE src = a AND dst = b AND ts >= f2 AND ts < t2 ORDER BY 1);
  n1 bigint := cardinality (one);
  n2 bigint := cardinality (two);
  ks float8 := (SELECT max (abs ((SELECT count (*) FROM unnest (one) x WHERE x <= v)::float8 / nullif (n1, 0)
                                 - (SELECT count (*) FROM unnest (two) x WHERE x <= v)::float8 / nullif (n2, 0))) FROM unnest (one || two) v);
  x record;
  y record;
BEGIN
  SELECT * INTO STRICT got FROM owd.compare (a, b, f1, t1, f2, t2);
  SELECT avg (err) AS err, avg (mean) AS mean INTO x FROM test.bins (a, b, greatest (f1, '2000-01-01+00'), t1, '40000 days');
  SELECT avg (err) AS err, avg (mean) AS mean INTO y FROM test.bins (a, b, greatest (f2, '2000-01-01+00'), t2, '40000 days');
  ASSERT got.n1 = n1 AND got.n2 = n2;
  ASSERT test.all_near (ARRAY[got.mean1_ms, got.mean2_ms, got.mean_shift_ms, got.stderr_ms, got.p05_shift_ms, got.p50_1_ms, got.p50_2_ms,
                              got.p50_shift_ms, got.p95_shift_ms, got.p99_shift_ms, got.ks, got.ks_most],
                        ARRAY[x.mean, y.mean, y.mean - x.mean, sqrt (x.err + y.err), two[ceil (n2 * 0.05)] - one[ceil (n1 * 0.05)], one[ceil (n1 * 0.5)],
                              two[ceil (n2 * 0.5)], two[ceil (n2 * 0.5)] - one[ceil (n1 * 0.5)], two[ceil (n2 * 0.95)] - one[ceil (n1 * 0.95)],
                              two[ceil (n2 * 0.99)] - one[ceil (n1 * 0.99)], ks, ks]),
    format ('compare %s %s %s %s %s %s: %s, ks %s', a, b, f1, t1, f2, t2, got, ks);
  ASSERT (got.p_value IS NULL) = (ks IS NULL) AND coalesce (got.p_value BETWEEN 0 AND 1, true);
END $$;

-- Kolmogorov's distribution, as tables have it.
DO $$
BEGIN
  ASSERT (SELECT bool_and (abs (owd.ks_p_value (lambda / sqrt (1e9), 2000000000, 2000000000) - p) < 1e-4)
            FROM (VALUES (0.5, 0.9639), (1.0, 0.2700), (1.2238, 0.1), (1.3581, 0.05), (1.6276, 0.01), (1.9495, 0.001)) t (lambda, p));
  ASSERT owd.ks_p_value (0, 10, 10) = 1 AND owd.ks_p_value (1, 1000, 1000) < 1e-300 AND owd.ks_p_value (NULL, 1, 1) IS NULL;
END $$;

CREATE FUNCTION test.ask_all (n integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  names text[] := ARRAY['a', 'b', 'c', 'd', 'lonely'];
  zones text[] := ARRAY['UTC', 'Europe/Berlin', 'America/St_Johns', 'Pacific/Apia', 'Asia/Kathmandu'];
  steps interval[] := ARRAY['1 us', '0.37 s', '10 s', '1 min', '77 s', '5 min', '1 h', '3 h 7 min 1.000001 s', '1 day', '40 days'];
  f timestamptz;
  u timestamptz;
  s interval;
  asked bigint := 0;
  routes bigint := 0;
BEGIN
  FOR i IN 1 .. n LOOP
    -- clocks change in Berlin in the middle of the samples; nothing may depend on it
    PERFORM set_config ('timezone', zones[1 + floor (random () * 5)::integer], true);
    f := '2026-03-28 17:00+00'::timestamptz + random () * interval '10 hours';
    f := CASE WHEN i % 2 = 0 THEN date_bin ('10 min', f, '2026-01-01+00') ELSE f END;
    u := CASE WHEN i % 9 = 0 THEN 'infinity' WHEN i % 7 = 0 THEN f WHEN i % 11 = 0 THEN f - interval '1 hour'
              ELSE f + random () * interval '6 hours' END;
    s := steps[1 + i % 10];
    asked := asked + test.ask_pair (names[1 + i % 4], names[1 + (i / 4) % 5], f, u, s) + test.ask_pair ('a', 'b', f, u, s);
    routes := routes + test.ask_route (ARRAY['a', 'b', 'c'], f, u, s);
    PERFORM test.ask_route ((SELECT array_agg (names[1 + (random () * 3)::integer]) FROM generate_series (1, 2 + i % 3)), f, u, s);
    PERFORM test.ask_cells (names[1 + i % 4], names[1 + (i / 4) % 5], f, u, greatest (s, '10 s'), (ARRAY[1, 2, 7, 10, 100, 1000])[1 + i % 6]);
    PERFORM test.ask_compare (names[1 + i % 4], names[1 + (i / 4) % 5], f, u, '2026-03-28 21:00+00', '2026-03-28 23:00+00');
    PERFORM test.ask_timeline (names[1 + i % 4], names[1 + (i / 4) % 5], f, u, s), test.ask_timeline ('a', 'b', f, u, s);
    PERFORM test.ask_matrix (CASE WHEN i % 13 = 0 THEN '-infinity' ELSE f END, u);
    PERFORM test.ask_range (CASE WHEN i % 13 = 0 THEN '-infinity' ELSE f END, u);
  END LOOP;
  ASSERT asked > n AND routes > n / 3, format ('only %s and %s bins to compare', asked, routes);
  ASSERT test.ask_pair ('b', 'a', '1970-01-01+00', '2200-01-01+00', '18000 days') = 2;
  ASSERT test.ask_route (ARRAY['a', 'b'], '2026-03-28+00', '2026-03-31+00', '1 day') = 2;
  ASSERT test.ask_route (ARRAY['a', 'b', 'a', 'b', 'c', 'd'], '2026-03-28+00', '2026-03-31+00', '1 day') > 0;
  PERFORM set_config ('timezone', 'Europe/Berlin', true);
  PERFORM test.ask_timeline ('a', 'b', '2026-03-27 20:20+00', '2026-04-02+00', '1 day'), test.ask_timeline ('a', 'b', '2026-03-28 00:00+00', '2026-04-02+00', '1 day'),
          test.ask_timeline ('a', 'b', '2026-03-28 21:20+00', '2026-04-02+00', '1 day'), test.ask_range ('2026-03-29 20:30+00', '2026-03-30 20:30+00'),
          test.ask_range ('2026-03-29 00:30+00', '2026-03-29 12:30+00'), test.ask_range ('2026-03-29 03:00+00', '2026-03-29 10:00+00');
  PERFORM test.ask_pair ('a', 'b', '2026-03-28 21:20+00', '2026-04-02+00', '1 day'), test.ask_cells ('a', 'b', '2026-03-28 21:20+00', '2026-04-02+00', '1 day', 3);
  PERFORM set_config ('timezone', 'UTC', true);
END $$;

SELECT test.ask_all (30);
DO $$
BEGIN
  ASSERT test.ask_cells ('a', 'b', '1970-01-01+00', 'infinity', '40000 days', 10) = 800;
  PERFORM test.ask_compare ('a', 'b', '-infinity', 'infinity', '-infinity', '2026-03-28 23:00+00');
  PERFORM test.ask_compare ('a', 'b', '2026-03-28 20:00+00', '2026-03-28 22:00+00', '2026-03-28 22:00+00', '2026-03-29 04:00+00');
  ASSERT (SELECT ks = 0 AND p_value = 1 AND mean_shift_ms = 0 AND p99_shift_ms = 0 FROM owd.compare ('a', 'b', '-infinity', 'infinity', '-infinity', 'infinity'));
  ASSERT test.ask_range ('-infinity', 'infinity') = 7;
  ASSERT test.ask_range ('2020-01-01', '2021-01-01') = 0;
END $$;

-- What the definitions are for: an offset of a clock is in none of rtt, compose's difference and worst, and all of it is in
-- asymmetry's interval.
CREATE TEMP TABLE before AS
  SELECT bin, r.min_ms, r.mean_ms, r.lo_ms, y.offset_ms, y.offset_lo_ms, y.offset_hi_ms FROM owd.rtt ('a', 'b', '2026-03-28+00', '2026-03-31+00', '1 h') r
    JOIN owd.asymmetry ('a', 'b', '2026-03-28+00', '2026-03-31+00', '1 h') y USING (bin);
CREATE TEMP TABLE worst_before AS SELECT * FROM owd.worst ('2026-03-28 22:00+00', '2026-03-29 00:00+00', 100);
CREATE TEMP TABLE route_before AS SELECT * FROM owd.compose (ARRAY['a', 'b', 'c'], '2026-03-28+00', '2026-03-31+00', '1 h');
UPDATE owd.sample s SET owd_ns = owd_ns + o.ns, lo_ns = lo_ns + o.ns, hi_ns = hi_ns + o.ns
  FROM (SELECT p.path_id, CASE 'b' WHEN b.name THEN 250000000 WHEN a.name THEN -250000000 ELSE 0 END AS ns
          FROM owd.path p JOIN owd.point a ON a.point_id = p.src_id JOIN owd.point b ON b.point_id = p.dst_id) o
 WHERE s.path_id = o.path_id;
DO $$
BEGIN
  ASSERT (SELECT count (*) FROM before) > 3;
  ASSERT (SELECT bool_and (test.near (r.mean_ms, b.mean_ms) AND test.near (r.min_ms, b.min_ms) AND test.near (r.lo_ms, b.lo_ms)
                           AND r.lo_ms <= r.mean_ms AND r.mean_ms < r.hi_ms)
            FROM before b JOIN owd.rtt ('a', 'b', '2026-03-28+00', '2026-03-31+00', '1 h') r ON r.bin = b.bin), 'rtt sees an offset';
  ASSERT (SELECT bool_and (test.near (y.offset_ms, b.offset_ms + 250) AND test.near (y.offset_lo_ms, b.offset_lo_ms + 250)
                           AND test.near (y.offset_hi_ms, b.offset_hi_ms + 250))
            FROM before b JOIN owd.asymmetry ('a', 'b', '2026-03-28+00', '2026-03-31+00', '1 h') y ON y.bin = b.bin), 'asymmetry sees no offset';
  -- percentiles of two exporters that share a name are known to 1 %, and that of 250 ms too
  ASSERT (SELECT bool_and (abs (w.above_ms - b.above_ms) < 6) AND count (*) > 3
            FROM worst_before b FULL JOIN owd.worst ('2026-03-28 22:00+00', '2026-03-29 00:00+00', 100) w USING (src, dst)), 'worst sees an offset';
  ASSERT (SELECT bool_and (test.near (c.mean_ms, b.mean_ms)) FROM route_before b
            FULL JOIN owd.compose (ARRAY['a', 'b', 'c'], '2026-03-28+00', '2026-03-31+00', '1 h') c USING (bin)), 'compose sees an offset in between';
END $$;

-- The session's time zone moves nothing, also where clocks change.
CREATE TEMP TABLE in_utc AS SELECT * FROM owd.rtt ('a', 'b', '2026-03-28 00:00+00', '2026-03-31 00:00+00', '1 day') r;
SET timezone = 'Europe/Berlin';
DO $$
BEGIN
  ASSERT (SELECT count (*) FROM in_utc) = 2;
  ASSERT (SELECT bool_and (r = u) FROM owd.rtt ('a', 'b', '2026-03-28 00:00+00', '2026-03-31 00:00+00', '1 day') r JOIN in_utc u USING (bin));
END $$;
SET timezone = 'UTC';

-- One sample each way.
SELECT test.sample (test.path ('x', 'y'), '2026-03-29 06:00:01+00', 30, 0.41), test.sample (test.path ('y', 'x'), '2026-03-29 06:00:02+00', -10, 0.41);
DO $$
DECLARE
  r record;
BEGIN
  SELECT * INTO STRICT r FROM owd.rtt ('x', 'y', '2026-03-29 06:00+00', '2026-03-29 06:01+00', '1 min');
  ASSERT r.n_ab = 1 AND r.n_ba = 1 AND r.mean_ms = 20 AND r.min_ms = 20 AND test.near (r.stderr_ms, 0.41 * sqrt (2)) AND r.lo_ms = 18 AND r.hi_ms = 22;
  SELECT * INTO STRICT r FROM owd.asymmetry ('x', 'y', '2026-03-29 06:00+00', '2026-03-29 06:01+00', '1 min');
  ASSERT r.offset_ms = 20 AND r.offset_lo_ms = 9 AND r.offset_hi_ms = 31 AND r.mean_diff_ms = 40;
  SELECT * INTO STRICT r FROM owd.asymmetry ('y', 'x', '2026-03-29 06:00+00', '2026-03-29 06:01+00', '1 min');
  ASSERT r.offset_ms = -20 AND r.offset_lo_ms = -31 AND r.offset_hi_ms = -9, 'sides swapped, signs too';
  -- one of two: nothing can be said
  ASSERT (SELECT count (*) FROM owd.rtt ('x', 'y', '2026-03-29 06:00+00', '2026-03-29 06:01+00', '1 s')) = 0;
END $$;

-- The same questions to roll-ups, as far as they answer.
INSERT INTO owd.log (uuid, n_parts) VALUES ('00000000-0000-4000-8000-000000000000', 4);
INSERT INTO owd.partition (part, watermark_ns) SELECT p, extract (epoch FROM '2026-03-29 06:30+00'::timestamptz) * 1000000000 FROM generate_series (0, 3) p;
\! $OWD_ROLL
DO $$
BEGIN
  ASSERT (SELECT count (*) > 4 FROM owd.rollup);
END $$;
SELECT test.ask_all (30);

-- And when the samples are gone: sums are what they were, percentiles to 1 %, and the distance lies where it is said to.
CREATE TEMP TABLE exact AS
  SELECT * FROM owd.compare ('a', 'b', '2026-03-28 20:00+00', '2026-03-28 22:00+00', '2026-03-28 22:00+00', '2026-03-29 04:00+00');
CREATE TEMP TABLE exact_rtt AS SELECT * FROM owd.rtt ('a', 'b', '2026-03-28+00', '2026-03-31+00', '5 min');
CREATE TEMP TABLE exact_cells AS SELECT * FROM owd.histogram ('a', 'b', '2026-03-28 18:00+00', '2026-03-29 05:00+00', 3);
UPDATE owd.resolution SET kept_from = '2026-03-29 06:00+00' WHERE width = 0;
DO $$
BEGIN
  ASSERT (SELECT g.n1 = e.n1 AND g.n2 = e.n2 AND test.all_near (ARRAY[g.mean1_ms, g.mean2_ms, g.mean_shift_ms, g.stderr_ms],
                                                                ARRAY[e.mean1_ms, e.mean2_ms, e.mean_shift_ms, e.stderr_ms])
                 AND test.percent (g.p50_1_ms, e.p50_1_ms) AND test.percent (g.p50_2_ms, e.p50_2_ms)
                 AND g.ks <= e.ks + 1e-9 AND e.ks <= g.ks_most + 1e-9 AND g.ks_most > g.ks AND g.p_value >= e.p_value - 1e-9
            FROM exact e, owd.compare ('a', 'b', '2026-03-28 20:00+00', '2026-03-28 22:00+00', '2026-03-28 22:00+00', '2026-03-29 04:00+00') g);
  ASSERT (SELECT count (*) > 50 AND bool_and (r.n_ab = e.n_ab AND r.n_ba = e.n_ba AND test.all_near (ARRAY[r.min_ms, r.mean_ms, r.stderr_ms, r.lo_ms, r.hi_ms],
                                                                                                   ARRAY[e.min_ms, e.mean_ms, e.stderr_ms, e.lo_ms, e.hi_ms]))
            FROM exact_rtt e FULL JOIN owd.rtt ('a', 'b', '2026-03-28+00', '2026-03-31+00', '5 min') r USING (bin));
  ASSERT (SELECT count (*) = 0 FROM (TABLE exact_cells EXCEPT SELECT * FROM owd.histogram ('a', 'b', '2026-03-28 18:00+00', '2026-03-29 05:00+00', 3)) d);
  ASSERT (SELECT count (*) = 7 FROM owd.worst ('2026-03-28 18:00+00', '2026-03-29 05:00+00', 100));
END $$;
UPDATE owd.resolution SET kept_from = '-infinity' WHERE width = 0;

-- Wrong questions.
SELECT test.fails ($$SELECT * FROM owd.rtt ('a', 'nowhere', now (), now (), '1 s')$$, '%"nowhere"%');
SELECT test.fails ($$SELECT * FROM owd.asymmetry (NULL, 'a', now (), now (), '1 s')$$, '%NULL%');
SELECT test.fails ($$SELECT * FROM owd.rtt ('a', 'b', '-infinity', now (), '1 s')$$, 'owd.rtt needs a finite from_ts%');
SELECT test.fails ($$SELECT * FROM owd.asymmetry ('a', 'b', now (), now (), '1 month')$$, 'step 1 mon%');
SELECT test.fails ($$SELECT * FROM owd.rtt ('a', 'b', now (), NULL, '1 s')$$, '%a to_ts%');
SELECT test.fails ($$SELECT * FROM owd.compose (ARRAY['a'], now (), now (), '1 s')$$, 'a route is%');
SELECT test.fails ($$SELECT * FROM owd.compose (NULL, now (), now (), '1 s')$$, 'a route is%');
SELECT test.fails ($$SELECT * FROM owd.compose ('{}', now (), now (), '1 s')$$, 'a route is%');
SELECT test.fails ($$SELECT * FROM owd.compose (ARRAY[ARRAY['a', 'b'], ARRAY['b', 'c']], now (), now (), '1 s')$$, 'a route is%');
SELECT test.fails ($$SELECT * FROM owd.compose (ARRAY['a', NULL, 'b'], now (), '2027-01-01', '1 s')$$, '%NULL%');
SELECT test.fails ($$SELECT * FROM owd.compose (ARRAY['a', 'nowhere', 'b'], now (), '2027-01-01', '1 s')$$, '%"nowhere"%');
SELECT test.fails ($$SELECT * FROM owd.worst (now (), NULL)$$, '%to_ts%');
SELECT test.fails ($$SELECT * FROM owd.worst (now (), now (), -1)$$, 'n is the number%');
SELECT test.fails ($$SELECT * FROM owd.worst (now (), now (), NULL)$$, 'n is the number%');
SELECT test.fails ($$SELECT * FROM owd.connected (NULL, now ())$$, '%from_ts%');
SELECT test.fails ($$SELECT * FROM owd.histogram ('a', 'nowhere', now (), now ())$$, '%"nowhere"%');
SELECT test.fails ($$SELECT * FROM owd.histogram ('a', 'b', NULL, now ())$$, '%from_ts%');
SELECT test.fails ($$SELECT * FROM owd.histogram ('a', 'b', now (), now (), 0)$$, 'merge is%');
SELECT test.fails ($$SELECT * FROM owd.heatmap ('a', 'b', now (), now (), '1 s', NULL)$$, 'merge is%');
SELECT test.fails ($$SELECT * FROM owd.heatmap ('a', 'b', '-infinity', now (), '1 s')$$, '%finite from_ts%');
SELECT test.fails ($$SELECT * FROM owd.compare ('a', 'b', now (), now (), NULL, now ())$$, 'owd.compare%');
SELECT test.fails ($$SELECT * FROM owd.compare ('nowhere', 'b', now (), now (), now (), now ())$$, '%"nowhere"%');
