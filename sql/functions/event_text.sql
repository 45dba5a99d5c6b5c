-- SPDX-License-Identifier: Apache-2.0
--
-- An event in words, for people and for annotations of a graph.
CREATE OR REPLACE FUNCTION owd.event_text (kind text, value float8, threshold float8, evidence jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE kind
  WHEN 'threshold' THEN format ('95 %% of delays up to %s ms, more than %s ms', round (value::numeric, 2), round (threshold::numeric, 2))
  WHEN 'negative' THEN format ('median %s ms%s: a clock is off', round (value::numeric, 3),
                               CASE WHEN value >= 0 THEN format (', light takes %s', round ((evidence ->> 'floor_ms')::numeric, 3)) END)
  WHEN 'loss' THEN format ('%s of %s packets lost, %s %%', evidence ->> 'lost', evidence ->> 'sent', round ((100 * value)::numeric, 2))
  WHEN 'silent' THEN format ('no samples for %s min, after %s busy minutes of %s', round ((value / 60)::numeric, 1),
                             evidence ->> 'busy_minutes', evidence ->> 'of_minutes')
  WHEN 'level_shift' THEN format ('floor moved by %s ms, from %s to %s ms%s', to_char (value, 'FMSG999990.00'),
                                  round ((evidence ->> 'before_ms')::numeric, 2), round ((evidence ->> 'after_ms')::numeric, 2),
                                  CASE WHEN evidence ->> 'reverse_shift_ms' IS NULL THEN '; nothing known of the way back'
                                       ELSE format ('; way back by %s ms', to_char ((evidence ->> 'reverse_shift_ms')::float8, 'FMSG999990.00')) END)
  WHEN 'clock_step' THEN CASE WHEN evidence ? 'either'
                              THEN format ('both ways moved against each other by %s ms: one of both clocks was set', round (abs (value)::numeric, 2))
                              WHEN value IS NULL THEN 'its clock was set'
                              ELSE format ('its clock was put %s by %s ms', CASE WHEN value > 0 THEN 'ahead' ELSE 'back' END,
                                           round (abs (value)::numeric, 2)) END
  WHEN 'distribution' THEN format ('delays are distributed otherwise than at this hour on %s days before: distance %s',
                                   evidence ->> 'days', round (value::numeric, 2))
  WHEN 'watermark_stalled' THEN format ('nothing final for %s min: do collector and correlator run?', round ((value / 60)::numeric, 1))
  ELSE kind END;
COMMENT ON FUNCTION owd.event_text (text, float8, float8, jsonb) IS 'A row of owd.events in words: pass kind, value, threshold and evidence.';
