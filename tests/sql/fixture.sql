-- SPDX-License-Identifier: Apache-2.0
--
-- Helpers of the tests, in a schema of their own. Random numbers come from a fixed seed.
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE SCHEMA test;
SELECT setseed (0.20261122);

CREATE FUNCTION test.point (name text) RETURNS void LANGUAGE sql AS $$
  INSERT INTO owd.point (addr, domain, version, name)
  SELECT '192.0.2.1', (SELECT count (*) FROM owd.point), 10, point.name
   WHERE NOT EXISTS (SELECT FROM owd.point p WHERE p.name = point.name)
$$;

CREATE FUNCTION test.path (src text, dst text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  id integer;
BEGIN
  PERFORM test.point (src);
  PERFORM test.point (dst);
  INSERT INTO owd.path (src_id, dst_id)
    SELECT a.point_id, b.point_id FROM owd.point a, owd.point b WHERE a.name = src AND b.name = dst
    ON CONFLICT DO NOTHING;
  SELECT p.path_id INTO id FROM owd.path p JOIN owd.point a ON a.point_id = p.src_id JOIN owd.point b ON b.point_id = p.dst_id
   WHERE a.name = src AND b.name = dst;
  RETURN id;
END $$;

-- One sample, delay and sigma in ms; seq goes on by itself.
CREATE FUNCTION test.sample (path integer, ts timestamptz, owd_ms numeric, sigma_ms numeric DEFAULT 0.41, part integer DEFAULT 0)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM owd.add_samples (ts);
  INSERT INTO owd.sample (ts, seq, owd_ns, lo_ns, hi_ns, sigma_ns, bias_ns, flow, path_id, profile_id, part, flags, kind, proto)
  VALUES (ts, (SELECT count (*) + 1 FROM owd.sample s WHERE s.part = sample.part), owd_ms * 1000000, (owd_ms - 1) * 1000000,
          (owd_ms + 1) * 1000000, sigma_ms * 1000000, 0, 4711, path, 0, part, 0, 1, 6);
END $$;

-- n samples over [from_ts, to_ts), many of them at equal times, some delays negative.
CREATE FUNCTION test.fill (path integer, n integer, from_ts timestamptz, to_ts timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  base bigint := (SELECT count (*) FROM owd.sample);
BEGIN
  PERFORM owd.add_samples (t) FROM generate_series (from_ts, to_ts + interval '1 h', interval '1 h') t;
  INSERT INTO owd.sample (ts, seq, owd_ns, lo_ns, hi_ns, sigma_ns, bias_ns, flow, path_id, profile_id, part, flags, kind, proto)
  SELECT date_bin (CASE WHEN i % 3 = 0 THEN interval '7 s' ELSE interval '1 ms' END, from_ts + (to_ts - from_ts) * random (), from_ts),
         base + i, ((random () - 0.1) * 30000000)::bigint, 0, 0, (random () * 5000000)::bigint, 0, i, path, 0, i % 4, 0, 1, 6
    FROM generate_series (1, n) i;
END $$;

-- Equal, or both NULL, or apart by no more than rounding.
CREATE FUNCTION test.near (a float8, b float8) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
  SELECT (a IS NULL AND b IS NULL) OR coalesce (abs (a - b) <= 1e-9 + 1e-9 * abs (b), false)
$$;

-- Percentiles from roll-ups: at most 1 % apart.
CREATE FUNCTION test.percent (a float8, b float8) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
  SELECT (a IS NULL AND b IS NULL) OR coalesce (abs (a - b) <= 1e-9 + 0.01 * abs (b), false)
$$;

-- The statement must fail with a message like this.
CREATE FUNCTION test.fails (statement text, message_like text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  message text;
BEGIN
  BEGIN
    EXECUTE statement;
  EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT;
  END;
  ASSERT message IS NOT NULL, 'did not fail: ' || statement;
  ASSERT message LIKE message_like, format ('%s: says %s', statement, message);
END $$;
