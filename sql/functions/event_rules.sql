-- SPDX-License-Identifier: Apache-2.0
--
-- Rules of events: what they find in bins that end in (done, upto]. All of it follows from roll-ups that are final, so it
-- does not depend on when, or in what portions, it is asked for.
--
-- A finding says of one subject (path_id, or -point_id) and one bin that ends at `at`: hot, beyond the threshold; cool,
-- clear of it; neither. Who has no hot one, and nothing pending in owd.alarm, is left out. needs_hot, needs_cool: so many
-- in a row raise and clear. Thresholds come as rules (jsonb); a rule that is missing, null or 0 does not apply.
--
-- The planner takes what functions return to be little: nested loops over thousands of paths would follow from that.

-- Minute by minute:
--
--   threshold  the 95th percentile is above threshold_ms; clear at 80 % of it
--   negative   the median is further below zero, or what light takes where sites are known, than two of its own sigma: a
--              clock is off; clear where it is not below
--   loss       the share of lost packets is above `loss`, of 100 packets or more; clear at half of it
--   silent     nothing for silent_s on a path that had samples in half of the minutes of four times silent_s before
CREATE OR REPLACE FUNCTION owd.find_minutes (done timestamptz, upto timestamptz, rules jsonb)
RETURNS TABLE (at timestamptz, since timestamptz, kind text, subject integer, hot boolean, cool boolean, needs_hot integer,
               needs_cool integer, value float8, threshold float8, evidence jsonb)
LANGUAGE plpgsql STABLE ROWS 10000 COST 100000
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET enable_nestloop = off
SET jit = off
AS $$
DECLARE
  minute CONSTANT interval := '1 minute';
  high float8 := nullif ((rules ->> 'threshold_ms')::float8, 0);
  most_loss float8 := nullif ((rules ->> 'loss')::float8, 0);
  silent integer := ceil (nullif ((rules ->> 'silent_s')::float8, 0) / 60);
  raise_after integer := coalesce ((rules ->> 'raise_after')::integer, 1);
  clear_after integer := coalesce ((rules ->> 'clear_after')::integer, 1);
  quiet interval := coalesce (silent, 0) * minute;
BEGIN
  RETURN QUERY
  WITH m AS MATERIALIZED (
    SELECT b.path_id, b.bin, b.n, b.p50_ns / 1000000 AS p50, b.p95_ns / 1000000 AS p95, b.sent, b.lost,
           sqrt ((b.sigma_ns2 / nullif (b.n, 0))::float8) / 1000000 AS sigma, b.lost / nullif (b.sent, 0)::float8 AS loss,
           coalesce (p.floor_ns, 0)::float8 / 1000000 AS light
      FROM owd.bins (NULL, done - 5 * quiet - minute, upto, minute) b
      JOIN owd.path p ON p.path_id = b.path_id
  ), used AS (
    SELECT m.path_id, m.bin, lead (m.bin) OVER (PARTITION BY m.path_id ORDER BY m.bin) AS next,
           count (*) OVER (PARTITION BY m.path_id ORDER BY m.bin RANGE BETWEEN (4 * quiet) PRECEDING AND CURRENT ROW) AS busy
      FROM m WHERE m.n > 0 AND silent IS NOT NULL
  ), gap AS (
    SELECT u.path_id, u.bin, u.busy FROM used u WHERE coalesce (u.next, upto) >= u.bin + minute + quiet AND u.busy > 2 * silent
  ), touched (kind, path_id) AS MATERIALIZED (
    SELECT a.kind, a.subject FROM owd.alarm a
    UNION SELECT 'threshold', m.path_id FROM m WHERE m.n >= 5 AND m.p95 > high
    UNION SELECT 'negative', m.path_id FROM m WHERE m.n >= 5 AND m.p50 < m.light - 2 * m.sigma
    UNION SELECT 'loss', m.path_id FROM m WHERE m.sent >= 100 AND m.loss > most_loss
    UNION SELECT 'silent', g.path_id FROM gap g
  ), judged AS (
    SELECT m.bin + minute AS at, m.bin AS since, t.kind, m.path_id, m.p95 > high AS hot, m.p95 <= 0.8 * high AS cool,
           m.p95 AS value, high AS threshold, jsonb_build_object ('p95_ms', m.p95, 'p50_ms', m.p50, 'n', m.n) AS evidence
      FROM m JOIN touched t ON t.kind = 'threshold' AND t.path_id = m.path_id WHERE m.n >= 5 AND high IS NOT NULL
    UNION ALL
    SELECT m.bin + minute, m.bin, t.kind, m.path_id, m.p50 < m.light - 2 * m.sigma, m.p50 >= m.light, m.p50, m.light - 2 * m.sigma,
           jsonb_build_object ('p50_ms', m.p50, 'sigma_ms', m.sigma, 'n', m.n, 'floor_ms', m.light)
      FROM m JOIN touched t ON t.kind = 'negative' AND t.path_id = m.path_id WHERE m.n >= 5
    UNION ALL
    SELECT m.bin + minute, m.bin, t.kind, m.path_id, m.loss > most_loss, m.loss <= 0.5 * most_loss, m.loss, most_loss,
           jsonb_build_object ('lost', m.lost, 'sent', m.sent)
      FROM m JOIN touched t ON t.kind = 'loss' AND t.path_id = m.path_id WHERE m.sent >= 100 AND most_loss IS NOT NULL
    UNION ALL
    SELECT g.bin + minute + quiet, g.bin + minute, 'silent', g.path_id, true, false, silent * 60, silent * 60,
           jsonb_build_object ('last_minute', g.bin, 'busy_minutes', g.busy, 'of_minutes', 4 * silent + 1)
      FROM gap g
    UNION ALL
    SELECT u.bin + minute, u.bin, t.kind, u.path_id, false, true, 0, silent * 60, NULL
      FROM used u JOIN touched t ON t.kind = 'silent' AND t.path_id = u.path_id
  )
  SELECT j.at, j.since, j.kind, j.path_id, j.hot, j.cool, CASE j.kind WHEN 'silent' THEN 1 ELSE raise_after END,
         CASE j.kind WHEN 'silent' THEN 1 ELSE clear_after END, j.value, j.threshold, j.evidence
    FROM judged j
   WHERE j.at > done AND j.at <= upto;
END
$$;
COMMENT ON FUNCTION owd.find_minutes (timestamptz, timestamptz, jsonb) IS 'Events: threshold, negative delay, loss, silence; private.';

-- Five minutes by five minutes: has the floor of a path moved? The floor is the median of the minutes' 5th percentiles:
-- queues do not move it, and a few stamps that lie do not either. It is held against the median of the hour before the last
-- two bins, and both of them must be off to the same side by more than
--
--   level_shift_ms, 4 % (percentiles of roll-ups are known to 1 %), the stated sigma, and 6 times the hour's own spread (MAD)
--
--   level_shift  that, as a rule a route that has changed
--   clock_step   where the way back has moved by as much to the other side: no route does that, a clock that was set does. Which one?
--                The one of the point that has more such pairs at this moment; where that is a tie, the event is about the path.
--
-- Over when the hour has caught up with the new floor, or the old one is back.
CREATE OR REPLACE FUNCTION owd.median (v float8[]) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (SELECT percentile_cont (0.5) WITHIN GROUP (ORDER BY u.x) FROM unnest (v) u (x));
COMMENT ON FUNCTION owd.median (float8[]) IS 'Median; private.';

CREATE OR REPLACE FUNCTION owd.mad (v float8[], middle float8) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (SELECT percentile_cont (0.5) WITHIN GROUP (ORDER BY abs (u.x - middle)) FROM unnest (v) u (x));
COMMENT ON FUNCTION owd.mad (float8[], float8) IS 'Median distance from the middle; private.';

CREATE OR REPLACE FUNCTION owd.find_shifts (done timestamptz, upto timestamptz, rules jsonb)
RETURNS TABLE (at timestamptz, since timestamptz, kind text, subject integer, hot boolean, cool boolean, needs_hot integer,
               needs_cool integer, value float8, threshold float8, evidence jsonb)
LANGUAGE plpgsql STABLE ROWS 1000 COST 100000
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET enable_nestloop = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  width CONSTANT interval := '5 minutes';
  least_ms float8 := nullif ((rules ->> 'level_shift_ms')::float8, 0);
  lo timestamptz := date_bin (width, done, '1970-01-01+00');
  hi timestamptz := date_bin (width, upto, '1970-01-01+00');
BEGIN
  IF least_ms IS NULL OR lo >= hi THEN
    RETURN;
  END IF;
  RETURN QUERY
  WITH floors AS (
    SELECT b.path_id, date_bin (width, b.bin, '1970-01-01+00') AS bin, sum (b.n) AS n,
           percentile_cont (0.5) WITHIN GROUP (ORDER BY b.p05_ns) / 1000000 AS x,
           sqrt ((sum (b.sigma_ns2) / sum (b.n))::float8) / 1000000 AS sigma
      FROM owd.bins (NULL, lo - 14 * width, hi, interval '1 minute') b
     WHERE b.n > 0
     GROUP BY 1, 2
    HAVING sum (b.n) >= 10 AND count (*) >= 3
  ), past AS (
    SELECT f.*, lag (f.bin) OVER w AS before_bin, lag (f.x) OVER w AS before,
           array_agg (f.x) OVER (w RANGE BETWEEN (13 * width) PRECEDING AND (2 * width) PRECEDING) AS ref
      FROM floors f WINDOW w AS (PARTITION BY f.path_id ORDER BY f.bin)
  ), moved AS MATERIALIZED (
    -- the spread is looked at where it can matter
    SELECT p.path_id, p.bin, p.n, p.x, r.m, p.x - r.m AS shift, p.before - r.m AS shift_before,
           CASE WHEN abs (p.x - r.m) > l.most / 2 THEN greatest (l.most, 6 * 1.4826 * owd.mad (p.ref, r.m)) ELSE l.most END AS most
      FROM past p CROSS JOIN LATERAL (SELECT owd.median (p.ref)) r (m)
     CROSS JOIN LATERAL (SELECT greatest (least_ms, 0.04 * abs (r.m), p.sigma)) l (most)
     WHERE p.bin >= lo AND cardinality (p.ref) >= 6 AND p.before_bin = p.bin - width
  ), ranked AS (
    -- numbers of points and paths depend on who came first
    SELECT p.point_id, row_number () OVER (ORDER BY p.addr, p.domain, p.version) AS rank FROM owd.point p
  ), shifted AS MATERIALIZED (
    SELECT m.*, sign (m.shift) = sign (m.shift_before) AND abs (m.shift) > m.most AND abs (m.shift_before) > m.most AS hot,
           r.shift AS reverse, coalesce (sign (r.shift) = -sign (m.shift) AND abs (r.shift) > r.most / 2
             AND abs (m.shift + r.shift) <= greatest (m.most, r.most, 0.2 * abs (m.shift)), false) AS opposite, p.src_id, p.dst_id, x.rank < y.rank AS forth
      FROM moved m
      JOIN owd.path p ON p.path_id = m.path_id
      JOIN ranked x ON x.point_id = p.src_id
      JOIN ranked y ON y.point_id = p.dst_id
      LEFT JOIN owd.path q ON q.src_id = p.dst_id AND q.dst_id = p.src_id
      LEFT JOIN moved r ON r.path_id = q.path_id AND r.bin = m.bin
  ), pairs AS (
    -- both ways may be hot: once is enough
    SELECT DISTINCT ON (s.bin, e.a, e.b) s.bin, s.path_id, s.most, e.a, e.b, CASE WHEN s.forth THEN s.shift ELSE -s.shift END AS ahead
      FROM shifted s
     CROSS JOIN LATERAL (SELECT CASE WHEN s.forth THEN s.src_id ELSE s.dst_id END, CASE WHEN s.forth THEN s.dst_id ELSE s.src_id END) e (a, b)
     WHERE s.hot AND s.opposite
     ORDER BY s.bin, e.a, e.b, s.forth DESC
  ), degree AS (
    SELECT e.bin, e.point, count (*) AS pairs FROM (SELECT bin, a AS point FROM pairs UNION ALL SELECT bin, b FROM pairs) e GROUP BY 1, 2
  ), blamed AS (
    SELECT p.*, CASE sign (x.pairs - y.pairs) WHEN 1 THEN p.a WHEN -1 THEN p.b END AS point
      FROM pairs p JOIN degree x ON x.bin = p.bin AND x.point = p.a JOIN degree y ON y.bin = p.bin AND y.point = p.b
  ), steps AS (
    SELECT b.bin, -b.point AS subject, owd.median (array_agg (CASE b.point WHEN b.b THEN b.ahead ELSE -b.ahead END)) AS step,
           max (b.most) AS most, jsonb_build_object ('pairs', count (*)) AS evidence
      FROM blamed b WHERE b.point IS NOT NULL GROUP BY b.bin, b.point
    UNION ALL
    SELECT b.bin, b.path_id, s.shift, b.most, jsonb_build_object ('pairs', 1, 'either', true)
      FROM blamed b JOIN shifted s ON s.bin = b.bin AND s.path_id = b.path_id WHERE b.point IS NULL
  ), judged AS (
    SELECT s.bin, 'level_shift' AS kind, s.path_id AS subject, s.hot AND NOT s.opposite AS hot, NOT s.hot AS cool,
           s.shift AS value, s.most, jsonb_build_object ('before_ms', s.m, 'after_ms', s.x, 'n', s.n, 'reverse_shift_ms', s.reverse) AS evidence
      FROM shifted s
     WHERE s.path_id IN (SELECT h.path_id FROM shifted h WHERE h.hot UNION ALL SELECT a.subject FROM owd.alarm a WHERE a.kind = 'level_shift')
    UNION ALL
    SELECT s.bin, 'clock_step', s.subject, true, false, s.step, s.most, s.evidence || jsonb_build_object ('step_ms', s.step)
      FROM steps s
    UNION ALL
    -- whatever is not found again is over
    SELECT b.bin, 'clock_step', a.subject, false, true, NULL, NULL, NULL
      FROM (SELECT DISTINCT bin FROM moved) b,
           (SELECT subject FROM steps UNION SELECT subject FROM owd.alarm WHERE kind = 'clock_step') a (subject)
     WHERE NOT EXISTS (SELECT FROM steps s WHERE s.bin = b.bin AND s.subject = a.subject)
  )
  SELECT j.bin + width, j.bin - width, j.kind, j.subject, j.hot, j.cool, 1, 1, j.value, j.most, j.evidence
    FROM judged j;
END
$$;
COMMENT ON FUNCTION owd.find_shifts (timestamptz, timestamptz, jsonb) IS 'Events: shift of a path''s floor, step of a clock; private.';

-- Hour by hour: is this hour distributed otherwise than the same hour of the seven days before, as far as these have a
-- hundred samples each, and there are three of them? Measured by the Kolmogorov-Smirnov distance from all of them together:
-- above `distribution`, and above 1.2 times what the most unusual of those days has, because days differ, and samples of
-- a queue are not independent. Histograms are read only where the mean has moved by a tenth of the usual standard deviation, or
-- that has changed by a fifth: both are exact whatever roll-ups they come from, and no change of interest leaves both alone.
CREATE OR REPLACE FUNCTION owd.find_distributions (done timestamptz, upto timestamptz, rules jsonb)
RETURNS TABLE (at timestamptz, since timestamptz, kind text, subject integer, hot boolean, cool boolean, needs_hot integer,
               needs_cool integer, value float8, threshold float8, evidence jsonb)
LANGUAGE plpgsql STABLE ROWS 100 COST 100000
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET enable_nestloop = off
SET jit = off
AS $$
DECLARE
  width CONSTANT interval := '1 hour';
  day CONSTANT interval := '24 hours';
  most_ks float8 := nullif ((rules ->> 'distribution')::float8, 0);
  hour timestamptz := date_bin (width, done, '1970-01-01+00');
  compared integer[];
  moved integer[];
BEGIN
  WHILE most_ks IS NOT NULL AND hour + width <= upto LOOP
    SELECT array_agg (h.path_id), array_agg (h.path_id) FILTER (WHERE abs (h.mean - h.usual_mean) > 0.1 * h.usual_sd
                                                                   OR abs (h.sd - h.usual_sd) > 0.2 * h.usual_sd)
      INTO compared, moved
      FROM (SELECT d.path_id, max (d.mean) FILTER (WHERE d.k = 0) AS mean, max (d.sd) FILTER (WHERE d.k = 0) AS sd,
                   owd.median (array_agg (d.mean) FILTER (WHERE d.k > 0)) AS usual_mean,
                   owd.median (array_agg (d.sd) FILTER (WHERE d.k > 0)) AS usual_sd
              FROM (SELECT k, b.path_id, (sum (b.sum_ns) / sum (b.n))::float8 AS mean,
                           sqrt (greatest (sum (b.square_ns2) - sum (b.sum_ns) * sum (b.sum_ns) / sum (b.n), 0) / sum (b.n))::float8 AS sd
                      FROM generate_series (0, 7) k, owd.bins (NULL, hour - k * day, hour - k * day + width, width) b
                     WHERE b.n > 0
                     GROUP BY k, b.path_id
                    HAVING sum (b.n) >= 100) d
             GROUP BY d.path_id
            HAVING count (*) FILTER (WHERE d.k = 0) = 1 AND count (*) FILTER (WHERE d.k > 0) >= 3) h;
    RETURN QUERY
    WITH counted AS MATERIALIZED (
      SELECT b.path_id, k, b.bucket, b.n, sum (b.n) OVER (PARTITION BY b.path_id, k) AS size
        FROM generate_series (0, 7) k, owd.path_buckets (moved, hour - k * day, hour - k * day + width, width) b
       WHERE moved IS NOT NULL
    ), used AS (
      SELECT * FROM counted c WHERE c.size >= 100
    ), grid AS (
      SELECT p.path_id, p.k, p.size, b.bucket FROM (SELECT DISTINCT path_id, k, size FROM used) p
        JOIN (SELECT DISTINCT path_id, bucket FROM used) b USING (path_id)
    ), below AS (
      SELECT g.path_id, g.k, g.size, sum (coalesce (u.n, 0)) OVER (PARTITION BY g.path_id, g.k ORDER BY g.bucket) AS own, g.bucket
        FROM grid g LEFT JOIN used u ON u.path_id = g.path_id AND u.k = g.k AND u.bucket = g.bucket
    ), beside AS (
      -- of a day before: the other days; of this hour: all of them
      SELECT b.*, sum (CASE WHEN b.k > 0 THEN b.own ELSE 0 END) OVER same - CASE WHEN b.k > 0 THEN b.own ELSE 0 END AS others,
             sum (CASE WHEN b.k > 0 THEN b.size ELSE 0 END) OVER same - CASE WHEN b.k > 0 THEN b.size ELSE 0 END AS others_size
        FROM below b WINDOW same AS (PARTITION BY b.path_id, b.bucket)
    ), apart AS (
      SELECT b.path_id, b.k, b.size, max (b.others_size) AS others_size,
             max (abs (b.own / b.size - b.others / b.others_size))::float8 AS ks
        FROM beside b WHERE b.others_size > 0 GROUP BY b.path_id, b.k, b.size
    ), judged AS (
      SELECT a.path_id, max (a.ks) FILTER (WHERE a.k = 0) AS ks, max (a.ks) FILTER (WHERE a.k > 0) AS usual,
             max (a.size) FILTER (WHERE a.k = 0) AS n, max (a.others_size) FILTER (WHERE a.k = 0) AS before, count (*) - 1 AS days
        FROM apart a GROUP BY a.path_id
    )
    SELECT hour + width, hour, 'distribution', j.path_id, j.ks > greatest (most_ks, 1.2 * j.usual),
           j.ks <= greatest (most_ks, 1.2 * j.usual), 1, 1, j.ks, greatest (most_ks, 1.2 * j.usual),
           jsonb_build_object ('ks', j.ks, 'usual_ks', j.usual, 'days', j.days, 'n', j.n, 'n_before', j.before,
                               'p_value', owd.ks_p_value (j.ks, j.n::bigint, j.before::bigint))
      FROM judged j
    UNION ALL
    SELECT hour + width, hour, 'distribution', p.id, false, true, 1, 1, NULL, NULL, NULL
      FROM unnest (compared) p (id) WHERE p.id <> ALL (coalesce (moved, '{}'));
    hour := hour + width;
  END LOOP;
END
$$;
COMMENT ON FUNCTION owd.find_distributions (timestamptz, timestamptz, jsonb) IS 'Events: another distribution than on the days before; private.';
