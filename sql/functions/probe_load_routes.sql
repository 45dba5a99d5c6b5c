-- SPDX-License-Identifier: Apache-2.0
--
-- Lines of oneway-probe path --format json into tables. A route's line comes again while the route holds: then it holds
-- for longer, and may know more of its hops.
CREATE OR REPLACE FUNCTION owd.load_probe_routes (items jsonb[]) RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
  INSERT INTO owd.probe_route AS old (agent, run_ns, target, method, seq, test, proto, src, dst, sport, dport, from_ns,
                                      to_ns, reached, hops, rtts_ms)
  SELECT DISTINCT ON (r.agent, r.run_ns, r.target, r.method, r.seq)
         r.agent, r.run_ns, r.target, r.method, r.seq, r.test, r.proto, r.src, r.dst, r.sport, r.dport, r.from_ns,
         r.to_ns, r.reached,
         ARRAY (SELECT (h ->> 'addr')::inet FROM jsonb_array_elements (j -> 'hops') WITH ORDINALITY e (h, n) ORDER BY n),
         ARRAY (SELECT (h ->> 'rtt_ms')::float8 FROM jsonb_array_elements (j -> 'hops') WITH ORDINALITY e (h, n) ORDER BY n)
    FROM unnest (items) j,
         jsonb_to_record (j) r (agent text, run_ns bigint, target text, method text, seq integer, test text,
                                proto smallint, src inet, dst inet, sport integer, dport integer, from_ns bigint,
                                to_ns bigint, reached boolean)
   WHERE j ->> 'type' = 'route'
   ORDER BY r.agent, r.run_ns, r.target, r.method, r.seq, r.to_ns DESC
      ON CONFLICT (agent, run_ns, target, method, seq) DO UPDATE
     SET to_ns = excluded.to_ns, reached = excluded.reached, hops = excluded.hops, rtts_ms = excluded.rtts_ms
   WHERE excluded.to_ns >= old.to_ns;

  INSERT INTO owd.probe_route_change (agent, run_ns, target, method, seq, lo_ns, hi_ns, trigger, rtt_before_ms,
                                      rtt_after_ms, n_before, n_after)
  SELECT c.*
    FROM unnest (items) j,
         jsonb_to_record (j) c (agent text, run_ns bigint, target text, method text, seq integer, lo_ns bigint,
                                hi_ns bigint, trigger text, rtt_before_ms float8, rtt_after_ms float8, n_before integer,
                                n_after integer)
   WHERE j ->> 'type' = 'route_change'
      ON CONFLICT DO NOTHING;
$$;
COMMENT ON FUNCTION owd.load_probe_routes (jsonb[]) IS 'Takes objects of oneway-probe path in; private.';
