-- SPDX-License-Identifier: Apache-2.0
--
-- Step 9: routes that oneway-probe path has found, with the time in which they held, and what a change of route did to
-- the round trip. A route's line comes again as long as the route holds; the change to it comes once.

CREATE TABLE owd.probe_route (
  agent text NOT NULL,
  run_ns bigint NOT NULL,
  target text NOT NULL,
  method text NOT NULL,
  seq integer NOT NULL,
  test text,
  proto smallint NOT NULL,
  src inet NOT NULL,
  dst inet NOT NULL,
  sport integer,
  dport integer NOT NULL CHECK (dport BETWEEN 0 AND 65535),
  from_ns bigint NOT NULL,
  to_ns bigint NOT NULL CHECK (to_ns >= from_ns),
  reached boolean NOT NULL,
  hops inet[] NOT NULL,
  rtts_ms float8[] NOT NULL,
  PRIMARY KEY (agent, run_ns, target, method, seq)
);
CREATE INDEX probe_route_to_ns ON owd.probe_route (to_ns);
COMMENT ON TABLE owd.probe_route IS 'Routes found by oneway-probe path; private: read owd.probe_routes.';

CREATE TABLE owd.probe_route_change (
  agent text NOT NULL,
  run_ns bigint NOT NULL,
  target text NOT NULL,
  method text NOT NULL,
  seq integer NOT NULL,
  lo_ns bigint NOT NULL,
  hi_ns bigint NOT NULL CHECK (hi_ns >= lo_ns),
  trigger text NOT NULL,
  rtt_before_ms float8,
  rtt_after_ms float8,
  n_before integer NOT NULL,
  n_after integer NOT NULL,
  PRIMARY KEY (agent, run_ns, target, method, seq)
);
COMMENT ON TABLE owd.probe_route_change IS 'How routes with seq above 0 came; private: read owd.probe_routes.';
