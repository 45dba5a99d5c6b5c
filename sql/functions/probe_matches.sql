-- SPDX-License-Identifier: Apache-2.0
--
-- The same packets, active and passive. A probe packet with a source port of its own is a flow of one packet at every
-- router on its way, and so is its answer: the hash of the flow key names it. Some exporters give both halves of such a
-- conversation the stamps of the whole, first packet to last; the correlator then has its start for the one packet and its
-- end for the other, under either hash. So what tells the packet from its answer is the direction of the sample, once
-- samples under the packet's own hash have shown which way that is.
--
-- Times have to agree within slack, which covers the delay and what the clocks of probe and exporters are apart; where
-- that leaves two candidates on either side (a port used again too soon), the packet is left out rather than guessed.
--
-- there: src to dst, the way of the probe packet; back: dst to src, the way of the answer. Either may be missing. In
-- plpgsql, because functions are made before the views that this one reads.
CREATE OR REPLACE FUNCTION owd.probe_met (from_ts timestamptz, to_ts timestamptz, slack interval)
RETURNS TABLE (id bigint, back boolean, ts timestamptz, src text, dst text, owd_ms float8, lo_ms float8, hi_ms float8,
               sigma_ms float8, probe_src text, probe_dst text, mode text, size integer, seq bigint, sent timestamptz, t1_ns bigint,
               t2_ns bigint, t3_ns bigint, t4_ns bigint, rtt_ms float8, up_ms float8, up_lo_ms float8, up_hi_ms float8,
               down_ms float8, down_lo_ms float8, down_hi_ms float8, own_error_ms float8,
               peer_error_ms float8)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 10000 COST 100000
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
RETURN QUERY
WITH probe AS MATERIALIZED (
  SELECT r.*, row_number () OVER () AS id
    FROM owd.probe_results r
   WHERE r.ts >= from_ts AND r.ts < to_ts AND r.flow_up IS NOT NULL AND r.rtt_ms IS NOT NULL
), sample AS MATERIALIZED (
  SELECT s.flow, s.ts, s.part, s.seq, s.kind, s.src, s.dst, s.owd_ms, s.lo_ms, s.hi_ms, s.sigma_ms
    FROM owd.samples s
   WHERE s.ts >= from_ts - slack AND s.ts < to_ts + slack
     AND s.flow IN (SELECT p.flow_up FROM probe p UNION ALL SELECT p.flow_down FROM probe p)
), met AS (
  SELECT p.id, p.src AS probe_src, p.dst AS probe_dst, s.ts, s.src, s.dst, s.owd_ms, s.lo_ms, s.hi_ms, s.sigma_ms, p.mode,
         p.size, p.seq, p.ts AS sent, p.t1_ns, p.t2_ns, p.t3_ns, p.t4_ns, p.rtt_ms, p.up_ms, p.up_lo_ms, p.up_hi_ms,
         p.down_ms, p.down_lo_ms, p.down_hi_ms, p.own_error_ms, p.peer_error_ms,
         s.kind IN ('start', 'both') AND s.flow = p.flow_up AS ahead,
         count (*) OVER (PARTITION BY p.id, s.src, s.dst) AS samples,
         count (*) OVER (PARTITION BY s.part, s.seq) AS packets
    FROM probe p, LATERAL (VALUES (p.flow_up), (p.flow_down)) d (flow)
    JOIN sample s USING (flow)
   WHERE s.ts BETWEEN p.ts - slack AND p.ts + slack
), way AS (
  SELECT DISTINCT ON (m.probe_src, m.probe_dst, least (m.src, m.dst), greatest (m.src, m.dst))
         m.probe_src, m.probe_dst, m.src, m.dst
    FROM met m
   WHERE m.ahead
   GROUP BY m.probe_src, m.probe_dst, m.src, m.dst
   ORDER BY m.probe_src, m.probe_dst, least (m.src, m.dst), greatest (m.src, m.dst), count (*) DESC
)
SELECT m.id, w.src <> m.src, m.ts, m.src, m.dst, m.owd_ms, m.lo_ms, m.hi_ms, m.sigma_ms, m.probe_src, m.probe_dst,
       m.mode, m.size, m.seq, m.sent, m.t1_ns, m.t2_ns, m.t3_ns, m.t4_ns, m.rtt_ms, m.up_ms, m.up_lo_ms, m.up_hi_ms,
       m.down_ms, m.down_lo_ms, m.down_hi_ms, m.own_error_ms, m.peer_error_ms
  FROM met m
  JOIN way w ON w.probe_src = m.probe_src AND w.probe_dst = m.probe_dst
            AND ((w.src = m.src AND w.dst = m.dst) OR (w.src = m.dst AND w.dst = m.src))
 WHERE m.samples = 1 AND m.packets = 1;
END
$$;
COMMENT ON FUNCTION owd.probe_met (timestamptz, timestamptz, interval) IS
'Samples of probe packets and of their answers (back), each with its packet; private.';

CREATE OR REPLACE FUNCTION owd.probe_matches (from_ts timestamptz, to_ts timestamptz, slack interval DEFAULT '2 seconds')
RETURNS TABLE (ts timestamptz, src text, dst text, probe_src text, probe_dst text, mode text, size integer, seq bigint,
               rtt_ms float8, up_ms float8, up_lo_ms float8, up_hi_ms float8, down_ms float8, down_lo_ms float8,
               down_hi_ms float8, there_ms float8, there_lo_ms float8, there_hi_ms float8, there_sigma_ms float8,
               back_ms float8, back_lo_ms float8, back_hi_ms float8, back_sigma_ms float8)
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE ROWS 10000 COST 100000
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
RETURN QUERY
WITH met AS MATERIALIZED (
  SELECT * FROM owd.probe_met (from_ts, to_ts, slack)
), pair AS (
  SELECT coalesce (t.id, b.id) AS id, coalesce (t.src, b.dst) AS src, coalesce (t.dst, b.src) AS dst,
         t.owd_ms AS there_ms, t.lo_ms AS there_lo_ms, t.hi_ms AS there_hi_ms, t.sigma_ms AS there_sigma_ms,
         b.owd_ms AS back_ms, b.lo_ms AS back_lo_ms, b.hi_ms AS back_hi_ms, b.sigma_ms AS back_sigma_ms
    FROM (SELECT * FROM met WHERE NOT back) t
    FULL JOIN (SELECT * FROM met WHERE back) b ON b.id = t.id AND b.src = t.dst AND b.dst = t.src
), probe AS (
  SELECT DISTINCT ON (m.id) m.* FROM met m ORDER BY m.id
)
SELECT p.sent, m.src, m.dst, p.probe_src, p.probe_dst, p.mode, p.size, p.seq, p.rtt_ms, p.up_ms, p.up_lo_ms, p.up_hi_ms,
       p.down_ms, p.down_lo_ms, p.down_hi_ms, m.there_ms, m.there_lo_ms, m.there_hi_ms, m.there_sigma_ms, m.back_ms,
       m.back_lo_ms, m.back_hi_ms, m.back_sigma_ms
  FROM pair m JOIN probe p USING (id)
 ORDER BY m.src, m.dst, p.probe_src, p.probe_dst, p.mode, p.size, p.sent;
END
$$;
COMMENT ON FUNCTION owd.probe_matches (timestamptz, timestamptz, interval) IS
'Probe packets that left in [from_ts, to_ts) and that exporters saw, each beside the samples of the very same packet and of its answer.
src, dst: observation points in the direction of the probe packet. rtt, up, down: what the probe measured, with its intervals; there: the sample src to dst; back: the sample dst to src of the answer; all in ms, NULL where there is none. slack: how far times may be apart.';

-- Of the same packets, those that three points saw: the delay from the first to the last against the sum over the one
-- between.
CREATE OR REPLACE FUNCTION owd.probe_vias (from_ts timestamptz, to_ts timestamptz, slack interval DEFAULT '2 seconds')
RETURNS TABLE (ts timestamptz, src text, via text, dst text, owd_ms float8, lo_ms float8, hi_ms float8, sigma_ms float8,
               sum_ms float8, sum_lo_ms float8, sum_hi_ms float8)
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE ROWS 10000 COST 100000
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
RETURN QUERY
WITH flows AS MATERIALIZED (
  SELECT p.flow_up AS flow FROM owd.probe_results p WHERE p.ts >= from_ts AND p.ts < to_ts AND p.flow_up IS NOT NULL
   UNION SELECT p.flow_down FROM owd.probe_results p WHERE p.ts >= from_ts AND p.ts < to_ts AND p.flow_down IS NOT NULL
), sample AS MATERIALIZED (
  SELECT s.* FROM owd.samples s JOIN flows USING (flow)
   WHERE s.ts >= from_ts - slack AND s.ts < to_ts + slack
), met AS (
  SELECT ac.ts, ac.src, ab.dst AS via, ac.dst, ac.owd_ms, ac.lo_ms, ac.hi_ms, ac.sigma_ms,
         ab.owd_ms + bc.owd_ms AS sum_ms, ab.lo_ms + bc.lo_ms AS sum_lo_ms, ab.hi_ms + bc.hi_ms AS sum_hi_ms,
         count (*) OVER (PARTITION BY ac.part, ac.seq, ab.dst) AS n
    FROM sample ac
    JOIN sample ab ON ab.flow = ac.flow AND ab.src = ac.src AND ab.dst <> ac.dst AND ab.ts BETWEEN ac.ts - slack AND ac.ts + slack
    JOIN sample bc ON bc.flow = ac.flow AND bc.src = ab.dst AND bc.dst = ac.dst AND bc.ts BETWEEN ac.ts - slack AND ac.ts + slack
)
SELECT m.ts, m.src, m.via, m.dst, m.owd_ms, m.lo_ms, m.hi_ms, m.sigma_ms, m.sum_ms, m.sum_lo_ms, m.sum_hi_ms
  FROM met m WHERE m.n = 1
 ORDER BY m.src, m.via, m.dst, m.ts;
END
$$;
COMMENT ON FUNCTION owd.probe_vias (timestamptz, timestamptz, interval) IS
'Packets of the probe that three observation points saw: delay src to dst beside the sum of src to via and via to dst, in ms, positive: seen later at dst, with their intervals. What is not zero between them, beyond the intervals, is a fault of matching or of a profile.';

-- For the calibration of stamps: how far an exporter's stamp of a packet is from the stamp that the probe's own end beside
-- it gave the same packet. The sender stamps what leaves and what arrives there (T1, T4), the reflector likewise (T2, T3).
CREATE OR REPLACE FUNCTION owd.probe_stamps (from_ts timestamptz, to_ts timestamptz, slack interval DEFAULT '2 seconds')
RETURNS TABLE (point text, clock text, ts timestamptz, residual_ns bigint, later boolean, clock_error_ms float8)
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE ROWS 10000 COST 100000
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
RETURN QUERY
WITH met AS MATERIALIZED (
  SELECT m.*, (extract (epoch FROM m.ts) * 1000000)::bigint * 1000 + 500 AS ts_ns
    FROM owd.probe_met (from_ts, to_ts, slack) m
), seen (id, back, point, clock, sent, residual_ns, later, clock_error_ms) AS (
  SELECT m.id, m.back, m.src, m.probe_src, m.sent, m.ts_ns - m.t1_ns, true, m.own_error_ms FROM met m WHERE NOT m.back
  UNION ALL
  SELECT m.id, m.back, m.dst, m.probe_dst, m.sent, m.ts_ns + (m.owd_ms * 1000000)::bigint - m.t2_ns, false, m.peer_error_ms
    FROM met m WHERE NOT m.back AND m.t2_ns IS NOT NULL
  UNION ALL
  SELECT m.id, m.back, m.src, m.probe_dst, m.sent, m.ts_ns - m.t3_ns, true, m.peer_error_ms
    FROM met m WHERE m.back AND m.t3_ns IS NOT NULL
  UNION ALL
  SELECT m.id, m.back, m.dst, m.probe_src, m.sent, m.ts_ns + (m.owd_ms * 1000000)::bigint - m.t4_ns, false, m.own_error_ms
    FROM met m WHERE m.back
)
SELECT s.point, s.clock, s.sent, s.residual_ns, s.later, s.clock_error_ms
  FROM (SELECT DISTINCT ON (e.point, e.id, e.back) e.* FROM seen e ORDER BY e.point, e.id, e.back) s
 ORDER BY s.point, s.clock, s.sent;
END
$$;
COMMENT ON FUNCTION owd.probe_stamps (timestamptz, timestamptz, interval) IS
'Corrected stamps of exporters on probe packets against the stamps of the probe: residual_ns is the exporter''s minus the probe''s, in ns. clock: which end of the probe stamped; later: the packet passed the exporter after that end, else before. clock_error_ms: what that clock states of its own error, in ms.';
