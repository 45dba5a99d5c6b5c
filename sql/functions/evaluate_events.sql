-- SPDX-License-Identifier: Apache-2.0
--
-- Raises and clears events over what has become final since the last call, an hour of the log at most: true if there is
-- more. The correlator calls it with the rules of its configuration.
--
-- Deterministic: time is the log's, findings come in the order of (at, kind, points), and minutes are looked at only when
-- their roll-ups are filled: percentiles of minutes and longer bins are those of roll-ups then, never of samples. Exactly once: how far it has come is changed in the same transaction, and the
-- row of that mark is locked first, so two callers do it one after the other.
--
-- Each raising and clearing is told to whoever LISTENs to owd_events, as JSON: event_id, kind, state (raised or cleared), at, src,
-- dst, value, threshold.
CREATE OR REPLACE FUNCTION owd.tell_event (id bigint, state text) RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT pg_notify ('owd_events', json_build_object (
           'event_id', e.event_id, 'kind', e.kind, 'state', tell_event.state,
           'at', CASE tell_event.state WHEN 'raised' THEN e.raised ELSE e.cleared END, 'src', coalesce (a.name, x.name), 'dst', b.name,
           'value', e.value, 'threshold', e.threshold)::text)
    FROM owd.event e
    LEFT JOIN owd.path p ON p.path_id = e.path_id
    LEFT JOIN owd.point a ON a.point_id = p.src_id
    LEFT JOIN owd.point b ON b.point_id = p.dst_id
    LEFT JOIN owd.exporter x ON (x.addr, x.domain, x.version) = (e.addr, e.domain, e.version)
   WHERE e.event_id = id
$$;
COMMENT ON FUNCTION owd.tell_event (bigint, text) IS 'NOTIFY owd_events; private.';

CREATE OR REPLACE FUNCTION owd.raise_event (kind text, subject integer, at timestamptz, value float8, threshold float8, evidence jsonb)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  id bigint := (SELECT coalesce (max (e.event_id), 0) + 1 FROM owd.event e);
BEGIN
  INSERT INTO owd.event (event_id, kind, path_id, addr, domain, version, raised, value, threshold, evidence)
  SELECT id, raise_event.kind, CASE WHEN subject > 0 THEN subject END, p.addr, p.domain, p.version, at, raise_event.value,
         raise_event.threshold, raise_event.evidence
    FROM (SELECT) one LEFT JOIN owd.point p ON p.point_id = -subject;
  PERFORM owd.tell_event (id, 'raised');
  RETURN id;
END
$$;
COMMENT ON FUNCTION owd.raise_event (text, integer, timestamptz, float8, float8, jsonb) IS 'A new event about a path, or the point -subject; private.';

CREATE OR REPLACE FUNCTION owd.clear_event (id bigint, at timestamptz, value float8) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  UPDATE owd.event e
     SET cleared = at, evidence = e.evidence || CASE WHEN clear_event.value IS NULL THEN '{}'
                                                     ELSE jsonb_build_object ('cleared_at_value', clear_event.value) END
   WHERE e.event_id = id;
  PERFORM owd.tell_event (id, 'cleared');
END
$$;
COMMENT ON FUNCTION owd.clear_event (bigint, timestamptz, float8) IS 'An event is over; private.';

-- One finding, and what was pending before: raised after needs_hot hot ones in a row, cleared after needs_cool cool ones.
CREATE OR REPLACE FUNCTION owd.take_finding (at timestamptz, since timestamptz, kind text, subject integer, hot boolean, cool boolean,
                                             needs_hot integer, needs_cool integer, value float8, threshold float8, evidence jsonb)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  a owd.alarm;
BEGIN
  SELECT * INTO a FROM owd.alarm o WHERE o.kind = kind AND o.subject = subject;
  IF NOT FOUND THEN
    IF hot THEN
      INSERT INTO owd.alarm VALUES (kind, subject, since, 0, 0, NULL) RETURNING * INTO a;
    ELSE
      RETURN;
    END IF;
  END IF;
  a.hot := CASE WHEN hot THEN a.hot + 1 ELSE 0 END;
  a.cool := CASE WHEN cool THEN a.cool + 1 ELSE 0 END;
  IF a.event_id IS NULL AND a.hot >= needs_hot THEN
    a.event_id := owd.raise_event (kind, subject, at, value, threshold, evidence || jsonb_build_object ('since', a.since));
  END IF;
  IF (a.event_id IS NULL AND NOT hot) OR (a.event_id IS NOT NULL AND a.cool >= needs_cool) THEN
    IF a.event_id IS NOT NULL THEN
      PERFORM owd.clear_event (a.event_id, at, value);
    END IF;
    DELETE FROM owd.alarm o WHERE o.kind = kind AND o.subject = subject;
  ELSE
    UPDATE owd.alarm o SET hot = a.hot, cool = a.cool, event_id = a.event_id WHERE o.kind = kind AND o.subject = subject;
  END IF;
END
$$;
COMMENT ON FUNCTION owd.take_finding (timestamptz, timestamptz, text, integer, boolean, boolean, integer, integer, float8, float8, jsonb) IS 'Hysteresis of one finding; private.';

-- Clocks that the profiler saw being set: over at once. One that the delays have told of already is not told again.
CREATE OR REPLACE FUNCTION owd.take_profiles (known integer) RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  p record;
  id bigint;
BEGIN
  FOR p IN
    SELECT o.profile_id, o.addr, o.domain, o.version, o.valid_from, owd.estimate (o.measured -> 'segments' -> 0, 'step_ms') AS step
      FROM owd.profile o
     WHERE o.profile_id > known AND o.measured -> 'segments' -> 0 ->> 'cause' = 'step'
     ORDER BY o.profile_id
  LOOP
    CONTINUE WHEN EXISTS (SELECT FROM owd.event e
                           WHERE e.kind = 'clock_step' AND (e.addr, e.domain, e.version) = (p.addr, p.domain, p.version)
                             AND e.raised BETWEEN p.valid_from - interval '20 minutes' AND p.valid_from + interval '20 minutes');
    id := (SELECT coalesce (max (e.event_id), 0) + 1 FROM owd.event e);
    INSERT INTO owd.event (event_id, kind, addr, domain, version, raised, cleared, value, evidence)
    VALUES (id, 'clock_step', p.addr, p.domain, p.version, p.valid_from, p.valid_from, p.step,
            jsonb_build_object ('step_ms', p.step, 'profile_id', p.profile_id));
    PERFORM owd.tell_event (id, 'raised');
  END LOOP;
  RETURN (SELECT coalesce (max (o.profile_id), known) FROM owd.profile o);
END
$$;
COMMENT ON FUNCTION owd.take_profiles (integer) IS 'Events: steps of clocks in profiles after this one; returns the last one; private.';

CREATE OR REPLACE FUNCTION owd.evaluate_events (rules jsonb) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
  mark owd.event_mark;
  done timestamptz;
  final timestamptz;
  upto timestamptz;
  f record;
BEGIN
  SELECT * INTO mark FROM owd.event_mark FOR UPDATE;
  final := (SELECT date_bin ('1 minute', r.filled_to, '1970-01-01+00') FROM owd.resolution r WHERE r.width = 60 AND isfinite (r.filled_to));
  done := coalesce (mark.evaluated_to, (SELECT date_bin ('1 hour', min (p.first_ts), '1970-01-01+00') FROM owd.partition p));
  upto := CASE WHEN final IS NOT NULL THEN least (final, done + interval '1 hour') END;
  IF upto > done THEN
    FOR f IN
      SELECT n.*
        FROM (SELECT * FROM owd.find_minutes (done, upto, rules)
              UNION ALL SELECT * FROM owd.find_shifts (done, upto, rules)
              UNION ALL SELECT * FROM owd.find_distributions (done, upto, rules)) n
        LEFT JOIN owd.path p ON p.path_id = n.subject
        LEFT JOIN owd.point a ON a.point_id = coalesce (p.src_id, -n.subject)
        LEFT JOIN owd.point b ON b.point_id = p.dst_id
       ORDER BY n.at, n.kind, a.addr, a.domain, a.version, b.addr, b.domain, b.version, n.hot
    LOOP
      PERFORM owd.take_finding (f.at, f.since, f.kind, f.subject, f.hot, f.cool, f.needs_hot, f.needs_cool, f.value, f.threshold,
                                f.evidence);
    END LOOP;
  END IF;
  UPDATE owd.event_mark m
     SET evaluated_to = CASE WHEN upto > done THEN upto ELSE m.evaluated_to END, rules = evaluate_events.rules, profile_id = owd.take_profiles (mark.profile_id)
   WHERE upto > done OR m.rules <> evaluate_events.rules
      OR m.profile_id < (SELECT max (p.profile_id) FROM owd.profile p);
  RETURN coalesce (final > greatest (upto, done), false);
END
$$;
COMMENT ON FUNCTION owd.evaluate_events (jsonb) IS 'Raises and clears events over up to an hour of the log that has become final; true: there is more; private.';
