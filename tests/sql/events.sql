-- SPDX-License-Identifier: Apache-2.0
--
-- Events: what is raised and cleared over some hours in which everything happens once, that portions and repeated attempts
-- change nothing, and hysteresis against a slow definition on random findings.
SELECT setseed (:seed / 65536.0);
INSERT INTO owd.log (uuid, n_parts) VALUES ('00000000-0000-4000-8000-000000000000', 1);
INSERT INTO owd.partition (part) VALUES (0);

CREATE FUNCTION test.watermark (t timestamptz) RETURNS void LANGUAGE sql AS $$
  UPDATE owd.partition SET watermark_ns = extract (epoch FROM t) * 1000000000 - 1, first_ts = (SELECT min (ts) FROM owd.sample);
$$;
-- As if roll-ups ended at t; they are all there.
CREATE FUNCTION test.final (t timestamptz) RETURNS void LANGUAGE sql AS $$
  UPDATE owd.resolution SET filled_to = date_bin ('1 minute', t, '1970-01-01+00') WHERE width = 60;
$$;
CREATE FUNCTION test.rules () RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT '{"threshold_ms": 400, "level_shift_ms": 2, "loss": 0.01, "distribution": 0.35, "silent_s": 300, "stalled_s": 600,
           "raise_after": 3, "clear_after": 5}'::jsonb
$$;
-- In portions that end at random.
CREATE FUNCTION test.evaluate (upto timestamptz, at_once boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  t timestamptz := (SELECT min (ts) FROM owd.sample);
BEGIN
  WHILE t < upto LOOP
    t := CASE WHEN at_once THEN upto ELSE least (upto, t + random () * interval '23 minutes') END;
    PERFORM test.final (t);
    IF random () < 0.5 THEN
      BEGIN
        PERFORM owd.evaluate_events (test.rules ());
        RAISE EXCEPTION 'the transaction fails';
      EXCEPTION WHEN raise_exception THEN NULL;
      END;
    END IF;
    WHILE owd.evaluate_events (test.rules ()) LOOP
      NULL;
    END LOOP;
  END LOOP;
END $$;

-- A mesh of four points over five hours, a sample each five seconds and way, 20 ms and 1 ms of noise. Minutes from 06:00:
--   60 to 75    w to x is slow: 500 ms                                       threshold
--   80 to 100   w to y has nothing                                           silent
--   100 to 102  x to w is slow for two minutes only                          nothing
--   120         the route from x to y is 15 ms longer from now on            level_shift
--   150 to 153  y to w loses 5 % of its packets                              loss
--   180         z's clock is put ahead by 80 ms: what it sends seems faster  clock_step, and negative delays
SELECT test.path (a, b) FROM unnest (ARRAY['w', 'x', 'y', 'z']) a, unnest (ARRAY['w', 'x', 'y', 'z']) b WHERE a <> b ORDER BY 1;
-- Between w and y light takes 24 ms, and the route has 20 and 1 ms of noise: so does the clock of one of them.  negative
UPDATE owd.path SET floor_ns = CASE path_id WHEN test.path ('w', 'y') THEN 24000000 ELSE 19000000 END
 WHERE path_id IN (test.path ('w', 'y'), test.path ('y', 'w'));
SELECT owd.add_samples (t) FROM generate_series ('2026-11-22 06:00+00'::timestamptz, '2026-11-22 12:00+00', '1 h') t;
INSERT INTO owd.sample (ts, seq, owd_ns, lo_ns, hi_ns, sigma_ns, bias_ns, flow, path_id, profile_id, part, flags, kind, proto)
SELECT s.ts, row_number () OVER (ORDER BY s.ts, s.path_id), s.ms * 1000000, 0, 0, 410000, 0, 1, s.path_id, 0, 0, 0, 1, 6
  FROM (SELECT p.path_id, p.src, p.dst, '2026-11-22 06:00+00'::timestamptz + i * interval '5 s' AS ts,
               20 + random () + CASE WHEN (src, dst) = ('w', 'x') AND i BETWEEN 60 * 12 AND 75 * 12 - 1 THEN 480
                                     WHEN (src, dst) = ('x', 'w') AND i BETWEEN 100 * 12 AND 102 * 12 - 1 THEN 480
                                     WHEN (src, dst) = ('x', 'y') AND i >= 120 * 12 THEN 15
                                     WHEN src = 'z' AND i >= 180 * 12 THEN -80
                                     WHEN dst = 'z' AND i >= 180 * 12 THEN 80 ELSE 0 END AS ms, i
          FROM generate_series (0, 300 * 12 - 1) i,
               (SELECT p.path_id, a.name AS src, b.name AS dst FROM owd.path p JOIN owd.point a ON a.point_id = p.src_id
                  JOIN owd.point b ON b.point_id = p.dst_id) p) s
 WHERE NOT ((src, dst) = ('w', 'y') AND i BETWEEN 80 * 12 AND 100 * 12 - 1);
INSERT INTO owd.tally (ts, sent, lost, late, path_id, part)
SELECT '2026-11-22 06:00+00'::timestamptz + m * interval '1 min', 1000, CASE WHEN m BETWEEN 150 AND 153 THEN 50 ELSE m % 7 END, 0,
       test.path ('y', 'w'), 0
  FROM generate_series (0, 299) m;

SELECT test.watermark ('2026-11-22 11:00+00');
\! $OWD_ROLL
SELECT test.evaluate ('2026-11-22 11:00+00', true);
CREATE TEMP TABLE whole AS SELECT * FROM owd.event;
CREATE TEMP VIEW seen AS
  SELECT kind, src, dst, extract (epoch FROM raised - '2026-11-22 06:00+00')::integer / 60 AS raised,
         extract (epoch FROM cleared - '2026-11-22 06:00+00')::integer / 60 AS cleared, value, evidence FROM owd.events WHERE event_id IS NOT NULL;

DO $$
DECLARE
  e record;
  n bigint;
BEGIN
  ASSERT (SELECT max (event_id) = count (*) FROM owd.event);
  ASSERT (SELECT bool_and (raised = 63 AND cleared = 80 AND value > 480) AND count (*) = 1 FROM seen WHERE kind = 'threshold' AND (src, dst) = ('w', 'x'));
  ASSERT (SELECT count (*) = 1 FROM seen WHERE kind = 'threshold'), 'two minutes are no event';
  ASSERT (SELECT bool_and (raised = 85 AND cleared = 101 AND (src, dst) = ('w', 'y')) AND count (*) = 1 FROM seen WHERE kind = 'silent');
  ASSERT (SELECT bool_and (raised = 153 AND cleared = 159 AND (src, dst) = ('y', 'w') AND value = 0.05) AND count (*) = 1 FROM seen WHERE kind = 'loss');
  -- the shift of 480 ms for a quarter of an hour is one of the floor too; of x to y there is one, and it says what it knows
  ASSERT (SELECT count (*) = 1 AND bool_and (raised = 130 AND abs (value - 15) < 1 AND abs ((evidence ->> 'before_ms')::float8 - 20) < 1
                                             AND abs ((evidence ->> 'reverse_shift_ms')::float8) < 1 AND cleared BETWEEN 150 AND 175)
            FROM seen WHERE kind = 'level_shift' AND (src, dst) = ('x', 'y'));
  ASSERT (SELECT count (*) = 0 FROM seen WHERE kind = 'level_shift' AND ('z' IN (src, dst) OR (src, dst) = ('x', 'w'))), 'a clock is no route';
  -- z's clock, told once
  ASSERT (SELECT count (*) = 1 AND bool_and (src = 'z' AND dst IS NULL AND raised = 190 AND abs (value - 80) < 2 AND (evidence ->> 'pairs')::integer = 3
                                             AND cleared BETWEEN 210 AND 240) FROM seen WHERE kind = 'clock_step'),
    (SELECT string_agg (s::text, E'\n') FROM seen s WHERE kind = 'clock_step');
  ASSERT (SELECT count (*) = 3 AND bool_and (raised = 183 AND cleared IS NULL) FROM seen WHERE kind = 'negative' AND src = 'z');
  ASSERT (SELECT count (*) = 1 AND bool_and ((src, dst) = ('w', 'y') AND raised = '2026-11-22 06:03+00' AND value BETWEEN 20 AND 21 AND cleared IS NULL
                                             AND owd.event_text (kind, value, threshold, evidence) LIKE 'median 20.%, light takes 24.000: a clock is off')
            FROM owd.events WHERE kind = 'negative' AND src <> 'z'), (SELECT string_agg (s::text, E'\n') FROM seen s WHERE kind = 'negative');
  ASSERT (SELECT count (*) = 0 FROM seen WHERE kind = 'distribution');
  ASSERT (SELECT bool_and (owd.event_text (kind, value, threshold, evidence) > '') FROM owd.events);
  ASSERT (SELECT bool_and ((evidence ->> 'since')::timestamptz < raised) FROM owd.events WHERE event_id IS NOT NULL);
  -- the server's clock
  ASSERT (SELECT count (*) = (now () > '2026-11-22 11:10+00')::integer FROM owd.events WHERE kind = 'watermark_stalled' AND cleared IS NULL);
END $$;

-- In portions, each at the second attempt as often as not: the same.
DO $$
BEGIN
  FOR i IN 1 .. 2 LOOP
    TRUNCATE owd.event, owd.alarm;
    UPDATE owd.event_mark SET evaluated_to = NULL, profile_id = 0;
    PERFORM test.evaluate ('2026-11-22 11:00+00', false);
    ASSERT (SELECT count (*) = 0 FROM (TABLE owd.event EXCEPT TABLE whole) d) AND (SELECT count (*) = 0 FROM (TABLE whole EXCEPT TABLE owd.event) d),
      (SELECT string_agg (d::text, E'\n') FROM ((SELECT 'more', e.* FROM owd.event e EXCEPT SELECT 'more', w.* FROM whole w)
                                               UNION ALL (SELECT 'less', w.* FROM whole w EXCEPT SELECT 'less', e.* FROM owd.event e)) d);
  END LOOP;
  ASSERT NOT owd.evaluate_events (test.rules ());
  ASSERT (SELECT count (*) FROM owd.event) = (SELECT count (*) FROM whole);
END $$;

-- What the profiler saw: told once, however often it looks, and not where the delays have told it.
INSERT INTO owd.profile (addr, domain, version, name, valid_from, valid_to, measured)
SELECT a.addr, a.domain, a.version, p.name, p.f::timestamptz, p.f::timestamptz + interval '1 h',
       jsonb_build_object ('segments', jsonb_build_array (jsonb_build_object ('cause', p.cause, 'step_ms', jsonb_build_object ('value', p.step))))
  FROM (VALUES (1, 'z', '2026-11-22 09:03+00', 'step', 80), (2, 'x', '2026-11-22 10:00+00', 'step', -1500), (3, 'x', '2026-11-22 10:00:01+00', 'step', -1500),
               (4, 'y', '2026-11-22 10:00+00', 'reboot', NULL)) p (nr, name, f, cause, step)
  JOIN owd.point a ON a.name = p.name ORDER BY p.nr;
DO $$
DECLARE
  before bigint := (SELECT count (*) FROM owd.event);
BEGIN
  ASSERT NOT owd.evaluate_events (test.rules ());
  ASSERT NOT owd.evaluate_events (test.rules ());
  ASSERT (SELECT count (*) FROM owd.event) = before + 1;
  ASSERT (SELECT src = 'x' AND value = -1500 AND raised = cleared AND raised = '2026-11-22 10:00+00' FROM owd.events WHERE event_id = before + 1);
END $$;

-- Seven days of one path, a hundred and fifty samples from 12:00 to 13:00 each; on the eighth the median stays and the spread is
-- another. A second path does what it always does.
SELECT owd.add_samples (t) FROM generate_series ('2026-11-23 12:00+00'::timestamptz, '2026-11-30 13:00+00', '1 h') t;
INSERT INTO owd.sample (ts, seq, owd_ns, lo_ns, hi_ns, sigma_ns, bias_ns, flow, path_id, profile_id, part, flags, kind, proto)
SELECT s.ts, 100000 + row_number () OVER (ORDER BY s.ts, s.path_id), s.ms * 1000000, 0, 0, 410000, 0, 1, s.path_id, 0, 0, 0, 1, 6
  FROM (SELECT p.path_id, t + random () * interval '3599 s' AS ts,
               50 + CASE WHEN p.nr = 1 AND t > '2026-11-30+00' THEN 40 * (random () - 0.5) ELSE 4 * (random () - 0.5) END AS ms
          FROM generate_series ('2026-11-23 12:00+00'::timestamptz, '2026-11-30 12:00+00', '24 h') t, generate_series (1, 150) i,
               (VALUES (1, test.path ('h', 'i')), (2, test.path ('i', 'h'))) p (nr, path_id)) s;
SELECT test.watermark ('2026-11-30 14:00+00');
\! $OWD_ROLL
SELECT test.evaluate ('2026-11-30 14:00+00', true);
DO $$
DECLARE
  ks float8;
BEGIN
  ASSERT (SELECT count (*) = 1 AND bool_and ((src, dst) = ('h', 'i') AND raised = '2026-11-30 13:00+00' AND cleared IS NULL
                                             AND (evidence ->> 'days')::integer = 7 AND (evidence ->> 'p_value')::float8 < 1e-6)
            FROM owd.events WHERE kind = 'distribution');
  -- against what owd.compare says of this hour and all of those before
  SELECT c.ks_most INTO ks FROM owd.compare ('h', 'i', '2026-11-23+00', '2026-11-30+00', '2026-11-30+00', '2026-12-01+00') c;
  ASSERT (SELECT value BETWEEN ks - 0.06 AND ks + 1e-9 FROM owd.events WHERE kind = 'distribution'), ks::text;
END $$;

-- Hysteresis alone: random findings, against the rule read out loud.
TRUNCATE owd.event, owd.alarm;
DO $$
DECLARE
  hot boolean[];
  cool boolean[];
  n integer := 400;
  open_at integer;
  hots integer := 0;
  cools integer := 0;
  want text := '';
  got text;
  start CONSTANT timestamptz := '2026-12-01+00';
BEGIN
  FOR i IN 1 .. n LOOP
    hot[i] := random () < 0.5;
    cool[i] := NOT hot[i] AND random () < 0.7;
    PERFORM owd.take_finding (start + i * interval '1 min', start + (i - 1) * interval '1 min', 'threshold', 1, hot[i], cool[i], 3, 2, i, 0, '{}');
  END LOOP;
  FOR i IN 1 .. n LOOP
    hots := CASE WHEN hot[i] THEN hots + 1 ELSE 0 END;
    cools := CASE WHEN cool[i] THEN cools + 1 ELSE 0 END;
    IF open_at IS NULL AND hots >= 3 THEN
      open_at := i;
    ELSIF open_at IS NOT NULL AND cools >= 2 THEN
      want := want || format ('%s-%s ', open_at, i);
      open_at := NULL;
    END IF;
  END LOOP;
  want := want || coalesce (open_at || '-', '');
  SELECT string_agg (format ('%s-%s', extract (epoch FROM raised - start)::integer / 60, extract (epoch FROM cleared - start)::integer / 60), ' ' ORDER BY event_id)
    INTO got FROM owd.event;
  ASSERT got = trim (want) AND length (got) > 20, format ('got %s, want %s', got, want);
END $$;
