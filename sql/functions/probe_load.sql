-- SPDX-License-Identifier: Apache-2.0
--
-- Lines of oneway-probe send and path --format json into tables. The lines are what is printed, spooled and stored alike, so
-- there is one format, and PostgreSQL reads it. Lines have keys: what is there already is left alone, so that a spool
-- file, or a batch whose fate is not known, can simply be loaded again.
CREATE OR REPLACE FUNCTION owd.load_probe_lines (lines text) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  items jsonb[] := ARRAY (SELECT l::jsonb FROM string_to_table (lines, E'\n') l WHERE l <> '');
  n bigint;
BEGIN
  INSERT INTO owd.probe_run (agent, run_ns, target, size, method, test, proto, src, dst, dport)
  SELECT DISTINCT r.*
    FROM unnest (items) j,
         jsonb_to_record (j) r (agent text, run_ns bigint, target text, size integer, method text, test text,
                                proto smallint, src inet, dst inet, dport integer)
   WHERE j ->> 'type' IN ('packet', 'summary')
      ON CONFLICT DO NOTHING;

  PERFORM owd.add_probe_day (d.day)
     FROM (SELECT DISTINCT (owd.ts_of_ns ((j -> 't1_ns')::bigint) AT TIME ZONE 'UTC')::date AS day
             FROM unnest (items) j WHERE j ->> 'type' = 'packet') d;

  INSERT INTO owd.probe_packet (ts, run_id, seq, t1_ns, t2_ns, t3_ns, t4_ns, flow_up, flow_down, up_lo_ns, up_hi_ns,
                                down_lo_ns, down_hi_ns, own_error_ns, peer_error_ns, sport, hops_up, hops_down, dscp_up,
                                dscp_down, flags)
  SELECT owd.ts_of_ns (p.t1_ns), r.run_id, p.seq, p.t1_ns, p.t2_ns, p.t3_ns, p.t4_ns, p.flow_up, p.flow_down,
         p.up_lo_ms * 1000000, p.up_hi_ms * 1000000, p.down_lo_ms * 1000000, p.down_hi_ms * 1000000,
         p.own_error_ms * 1000000, p.reflector_error_ms * 1000000, p.sport, p.hops_up, p.hops_down, p.dscp_up,
         p.dscp_down, p.flags
    FROM unnest (items) j,
         jsonb_to_record (j) p (agent text, run_ns bigint, target text, size integer, seq bigint, t1_ns bigint,
                                t2_ns bigint, t3_ns bigint, t4_ns bigint, flow_up bigint, flow_down bigint,
                                up_lo_ms numeric, up_hi_ms numeric, down_lo_ms numeric, down_hi_ms numeric,
                                own_error_ms numeric, reflector_error_ms numeric, sport integer, hops_up smallint,
                                hops_down smallint, dscp_up smallint, dscp_down smallint, flags text[])
    JOIN owd.probe_run r USING (agent, run_ns, target, size)
   WHERE j ->> 'type' = 'packet'
      ON CONFLICT DO NOTHING;
  GET DIAGNOSTICS n = ROW_COUNT;

  UPDATE owd.probe_run r SET summary = j
    FROM unnest (items) j
   WHERE j ->> 'type' = 'summary' AND r.agent = j ->> 'agent' AND r.run_ns = (j -> 'run_ns')::bigint
     AND r.target = j ->> 'target' AND r.size = (j -> 'size')::integer;
  PERFORM owd.load_probe_routes (items);
  RETURN n;
END
$$;
COMMENT ON FUNCTION owd.load_probe_lines (text) IS 'Takes JSON lines of oneway-probe in; returns the number of packets that were new; private.';
