-- SPDX-License-Identifier: Apache-2.0
--
-- Step 7: events. What owd.evaluate_events() has raised, what it needs to know of the past, and how far it has come.
CREATE TABLE owd.event (
  event_id bigint PRIMARY KEY,
  kind text NOT NULL,
  path_id integer REFERENCES owd.path,
  addr inet,
  domain bigint,
  version smallint,
  raised timestamptz NOT NULL,
  cleared timestamptz CHECK (cleared >= raised),
  value float8,
  threshold float8,
  evidence jsonb NOT NULL
);
CREATE INDEX event_raised ON owd.event (raised);
CREATE INDEX event_open ON owd.event (kind) WHERE cleared IS NULL;
COMMENT ON TABLE owd.event IS 'Alarms; private: read owd.events.';
COMMENT ON COLUMN owd.event.event_id IS 'Gapless from 1: the same log and profiles give the same numbers.';
COMMENT ON COLUMN owd.event.path_id IS 'Path that it is about; NULL: an exporter state, addr, domain and version.';

-- Between quiet and raised: rows exist for what is hot, or was a moment ago, or is raised.
CREATE TABLE owd.alarm (
  kind text NOT NULL,
  subject integer NOT NULL,
  since timestamptz NOT NULL,
  hot integer NOT NULL,
  cool integer NOT NULL,
  event_id bigint REFERENCES owd.event,
  PRIMARY KEY (kind, subject)
);
COMMENT ON TABLE owd.alarm IS 'Hysteresis of alarms: bins in a row beyond the threshold (hot), and clear of it (cool); private.';
COMMENT ON COLUMN owd.alarm.subject IS 'path_id, or -point_id.';
COMMENT ON COLUMN owd.alarm.since IS 'Begin of the first bin of them.';
COMMENT ON COLUMN owd.alarm.event_id IS 'NULL: not raised yet.';

CREATE TABLE owd.event_mark (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  evaluated_to timestamptz,
  profile_id integer NOT NULL DEFAULT 0,
  rules jsonb NOT NULL DEFAULT '{}'
) WITH (fillfactor = 20);
INSERT INTO owd.event_mark DEFAULT VALUES;
COMMENT ON TABLE owd.event_mark IS 'How far events have been evaluated, changed in the transaction that writes them; private.';
COMMENT ON COLUMN owd.event_mark.evaluated_to IS 'Bins that end at or before it have been looked at; NULL: none yet.';
COMMENT ON COLUMN owd.event_mark.profile_id IS 'Profiles up to this one have been looked at.';
COMMENT ON COLUMN owd.event_mark.rules IS 'The rules used last.';
