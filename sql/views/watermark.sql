-- SPDX-License-Identifier: Apache-2.0
--
-- Times of samples are cut to the microsecond, so the watermark must be cut a little more: a sample one nanosecond past
-- it may appear with the microsecond that the watermark itself lies in. Hence the last microsecond that is over.
CREATE OR REPLACE VIEW owd.watermark AS
SELECT CASE WHEN count (p.watermark_ns) = max (l.n_parts)
            THEN owd.ts_of_ns (least (min (p.watermark_ns), 9223372036854775806) + 1) - interval '1 microsecond' END AS ts
  FROM owd.log l LEFT JOIN owd.partition p ON true;

COMMENT ON VIEW owd.watermark IS 'One row: how far the samples are final, over all partitions.';
COMMENT ON COLUMN owd.watermark.ts IS 'No sample with ts at or before it will ever be added; NULL until every partition has a watermark.';

-- The number of samples is what the partitions say that they delivered: counting would read everything.
CREATE OR REPLACE VIEW owd.status AS
SELECT w.ts AS watermark, owd.ts_of_ns (p.log_time_ns) AS log_time, p.samples, p.partitions, p.first_sample,
       p.last_sample, (SELECT count (*) FROM owd.path) AS paths, (SELECT count (*) FROM owd.exporter) AS exporters,
       (SELECT coalesce (sum (pg_total_relation_size (i.inhrelid)), 0)::bigint FROM pg_inherits i
         WHERE i.inhparent = 'owd.sample'::regclass) AS sample_bytes,
       (SELECT max (s.step) FROM owd.schema_step s) AS schema_version, p.excess, p.flows_kept,
       p.horizon_ns::float8 / 1000000000 AS horizon_s
  FROM owd.watermark w,
       (SELECT min (log_time_ns) AS log_time_ns, coalesce (sum (seq), 0)::bigint AS samples, coalesce (sum (excess), 0)::bigint AS excess, count (*) AS partitions,
               1 - coalesce (avg (shed_ppm), 0)::float8 / 1e6 AS flows_kept, max (horizon_ns) AS horizon_ns,
               min (first_ts) AS first_sample, max (last_ts) AS last_sample FROM owd.partition) p;

COMMENT ON VIEW owd.status IS 'One row: how far the flow log has been worked off, and what came out.';
COMMENT ON COLUMN owd.status.watermark IS 'Samples up to it are final; as owd.watermark.';
COMMENT ON COLUMN owd.status.log_time IS 'Receive time up to which every partition of the log has been worked off.';
COMMENT ON COLUMN owd.status.samples IS 'Samples kept raw so far, those included that retention has removed.';
COMMENT ON COLUMN owd.status.partitions IS 'Partitions of the log that were ever claimed.';
COMMENT ON COLUMN owd.status.first_sample IS 'ts of the first sample delivered.';
COMMENT ON COLUMN owd.status.last_sample IS 'ts of the last sample delivered.';
COMMENT ON COLUMN owd.status.paths IS 'Ordered pairs of exporter states that samples were made for.';
COMMENT ON COLUMN owd.status.exporters IS 'Exporter states seen.';
COMMENT ON COLUMN owd.status.sample_bytes IS 'Raw samples kept, with their indexes, in bytes on disk.';
COMMENT ON COLUMN owd.status.excess IS 'Samples beyond raw-samples-per-minute: they count in roll-ups, but were not kept raw.';
COMMENT ON COLUMN owd.status.flows_kept IS 'Share of the flows that the correlator keeps, 0 to 1: below 1 while more comes than [correlator] max-flows holds, max-rate allows or can be worked off within max-lag.';
COMMENT ON COLUMN owd.status.horizon_s IS 'How long samples wait for others that may still come, in s: the watermark is that behind log_time, of the slowest partition. NULL: not known yet.';
COMMENT ON COLUMN owd.status.schema_version IS 'Step of the schema that the database is at.';
