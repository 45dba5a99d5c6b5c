-- SPDX-License-Identifier: Apache-2.0
--
-- What the collector counts, where somebody should do something about it. Its own findings bear its name, for want of
-- another. A share of loss below one in ten thousand is noise. A clock that is ahead shows whatever the header's
-- resolution; one that is behind by more than five seconds may also be an exporter that holds its datagrams back.
CREATE OR REPLACE VIEW owd.collector_findings AS
SELECT 'oneway-collector' AS name, f.nr, f.finding
  FROM owd.collector c, LATERAL (VALUES
    (1, c.kernel_dropped > 0,
     format ('The kernel dropped %s datagrams since %s UTC, the receive buffer being full: raise receive-buffer or workers'
             ' in [collector].', c.kernel_dropped, to_char (c.since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'))),
    (2, c.buffer_got < c.buffer_asked,
     format ('Its receive buffer is %s KiB, not the %s KiB asked for: sysctl -w net.core.rmem_max=%s',
             c.buffer_got / 1024, c.buffer_asked / 1024, c.buffer_asked)),
    (3, c.over_limit > 0 AND (c.memory_refused = 0 OR c.states * 10 >= c.max_states * 9),
     format ('%s datagrams were refused, since it already keeps %s exporter states: raise max-exporters in [collector], or'
             ' name in allow who may export.', c.over_limit, c.states)),
    (4, c.over_limit = 0 AND c.states * 10 >= c.max_states * 9,
     format ('It keeps %s exporter states of at most %s: raise max-exporters in [collector].', c.states, c.max_states)),
    (5, c.log_dropped > 0,
     format ('%s flow records were lost since the log''s disk refused them: give it room, or lower retain-age or'
             ' retain-size in [log].', c.log_dropped)),
    (6, c.memory_refused > 0,
     format ('%s exporter states or templates were refused, since all memory for them, or the eighth of it that one address'
             ' may have, was used up (now %s of %s MiB): raise max-memory in [collector], or name in allow who may export.',
             c.memory_refused, c.memory_used >> 20, c.memory_max >> 20)),
    (7, c.memory_refused = 0 AND c.memory_max > 0 AND c.memory_used * 10 >= c.memory_max * 9,
     format ('Exporter states and templates take %s of %s MiB: raise max-memory in [collector].',
             c.memory_used >> 20, c.memory_max >> 20))
  ) f (nr, holds, finding)
 WHERE f.holds
UNION ALL
SELECT e.name, f.nr, f.finding
  FROM (SELECT *, CASE version WHEN 9 THEN datagrams ELSE received END AS units,
               CASE version WHEN 9 THEN 'datagrams' ELSE 'records' END AS unit FROM owd.exporters) e, LATERAL (VALUES
    (1, e.lost > 0 AND e.lost * 10000.0 >= e.lost + e.units,
     format ('%s %s were lost on their way to the collector, %s %%, as its sequence numbers tell: look at the network between'
             ' them, and at its rate of export.', e.lost, e.unit, round (100.0 * e.lost / nullif (e.lost + e.units, 0), 2))),
    (2, e.given_up > 0,
     format ('%s data sets could not be read, since their template never came: let it send templates more often, every'
             ' minute.', e.given_up)),
    (3, e.malformed > 0,
     format ('%s of its datagrams, or parts of them, could not be read; the collector''s messages say where.', e.malformed)),
    (4, e.over_limit > 0,
     format ('%s templates or states of it were refused: see max-templates and max-memory in [collector].', e.over_limit)),
    (5, e.clock_lag_ms < 0,
     format ('Its clock is at least %s s ahead of the collector''s.', round (-e.clock_lag_ms::numeric / 1000, 1))),
    (6, e.clock_lag_ms > 6000,
     format ('Its datagrams come %s s after their own export time: its clock is behind, or it holds them back.',
             round (e.clock_lag_ms::numeric / 1000, 1)))
  ) f (nr, holds, finding)
 WHERE f.holds;

COMMENT ON VIEW owd.collector_findings IS 'Advice that follows from what the collector counts: losses, limits, clocks.';
COMMENT ON COLUMN owd.collector_findings.name IS 'Exporter as in owd.exporters; oneway-collector: of the collector itself.';
COMMENT ON COLUMN owd.collector_findings.nr IS 'Order of the findings of one name.';
COMMENT ON COLUMN owd.collector_findings.finding IS 'A sentence or two: what is wrong, and what to do.';
