-- SPDX-License-Identifier: Apache-2.0
--
-- What cli.sh looks at: a path that steps from 20 to 35 ms after half a minute, its way back, one with odd names.
SELECT test.path ('edge-a', 'edge-b'), test.path ('edge-b', 'edge-a'), test.path ('edge "c", d', 'edge-b'), test.path ('edge-a', 'edge "c", d');
SELECT owd.add_samples (t) FROM generate_series ('2026-11-22 00:00+00'::timestamptz, '2026-11-22 23:00+00', interval '1 h') t;

-- A delay that looks random and is the same on every machine: sums of fractions of multiples.
CREATE FUNCTION test.noise (i integer) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
  SELECT (i * 0.618034) % 1 + (i * 0.414214) % 1 + (i * 0.732051) % 1 - 1.5 + CASE WHEN i % 41 = 0 THEN 4 ELSE 0 END
$$;

INSERT INTO owd.sample (ts, seq, owd_ns, lo_ns, hi_ns, sigma_ns, bias_ns, flow, path_id, profile_id, part, flags, kind, proto)
SELECT '2026-11-22 06:40+00'::timestamptz + i * interval '47 ms', i,
       (CASE WHEN p = 2 THEN 12 WHEN i < 640 THEN 20 ELSE 35 END + test.noise (i)) * 1000000, 0, 0, 410000, 0, i, p, 0, p, 0, 1, 6
  FROM generate_series (1, 1270) i, generate_series (1, 2) p;
SELECT test.sample (3, '2026-11-22 06:40:05.5+00', -0.25, 26.1, 3);

INSERT INTO owd.log (uuid, n_parts) VALUES ('00000000-0000-4000-8000-000000000000', 2);
INSERT INTO owd.partition (part, seq, log_offset, watermark_ns, first_ts, last_ts, log_time_ns)
SELECT p, 1270, 4711, 1795329660000000000 + p, '2026-11-22 06:40:00.047+00', '2026-11-22 06:40:59.69+00', 1795329665000000000
  FROM generate_series (0, 1) p;
INSERT INTO owd.exporter (addr, domain, version, name, first_ts, last_ts, records, boot_lo_ns, boot_hi_ns, segments, start_step_ns,
                          end_step_ns, lag_p50_ns, lag_p99_ns, sampling)
VALUES ('192.0.2.1', 0, 9, 'edge-a', '2026-11-22 06:40+00', '2026-11-22 06:41+00', 2540, 1795329600000000000, 1795329600002500000, 1,
        1000000, 64000000, 1500000, 8250000, 0),
       ('2001:db8::1', 4294967295, 10, 'edge-b', '2026-11-22 06:40+00', '2026-11-22 06:41+00', 2541, NULL, NULL, 2, NULL, NULL, NULL, NULL, 100);
INSERT INTO owd.profile (made, addr, domain, version, name, valid_from, valid_to, measured)
SELECT made, '192.0.2.1', 0, 9, 'edge-a', f, f + interval '20 s', measured
  FROM (VALUES ('2026-11-22 07:00+00'::timestamptz, '2026-11-22 06:40+00'::timestamptz,
  '{"records":2540,"uptime":"fine","start_step_ms":{"value":64},"end_step_ms":{"value":1},"blunder_rate":{"value":0.01},"active_s":{"value":60.1},"inactive_s":{"value":null,"why":"too few records"},"lag_end_ms":{"p50":{"value":1.5},"p99":{"value":8.25}},"loss":{"value":0},"sampling":{"value":null},"segments":[{"cause":"first","headers":100,"boot_ms":{"value":1795329600000.25,"lo":1795329599999,"hi":1795329600001.5},"skew_ppm":{"value":-3.5,"lo":-4,"hi":-3},"step_ms":{"value":null}}],"findings":["Its stamps move in steps of 64 ms.","Second."]}'::jsonb),
  ('2026-11-22 07:00+00', '2026-11-22 06:40:30+00',
  '{"records":2540,"uptime":"fine","start_step_ms":{"value":64},"end_step_ms":{"value":1},"segments":[{"cause":"step","headers":90,"step_ms":{"value":1500}}],"findings":["Its stamps move in steps of 64 ms.","Second."]}'),
  ('2026-11-21 07:00+00', '2026-11-21 06:40+00', '{"segments":[{}],"findings":["An old one."]}')) v (made, f, measured);
