-- SPDX-License-Identifier: Apache-2.0
CREATE OR REPLACE VIEW owd.validation AS
SELECT v.hour, v.src, v.dst, v.quantity, nullif (v.via, '') AS via, nullif (v.probe_src, '') AS probe_src,
       nullif (v.probe_dst, '') AS probe_dst, nullif (v.mode, '') AS mode, nullif (v.size, 0) AS size,
       (v.result ->> 'n')::bigint AS n, (v.result ->> 'answered')::bigint AS answered,
       (v.result ->> 'active_ms')::float8 AS active_ms, (v.result ->> 'passive_ms')::float8 AS passive_ms,
       (v.result ->> 'bias_ms')::float8 AS bias_ms, (v.result ->> 'stderr_ms')::float8 AS stderr_ms,
       (v.result ->> 'spread_ms')::float8 AS spread_ms, (v.result ->> 'random_ms')::float8 AS random_ms,
       (v.result ->> 'correlation')::float8 AS correlation, (v.result ->> 'rank_correlation')::float8 AS rank_correlation,
       (v.result ->> 'inside')::float8 AS inside, (v.result ->> 'consistent')::float8 AS consistent,
       (v.result ->> 'within_2sigma')::float8 AS within_2sigma, (v.result ->> 'ks')::float8 AS ks,
       (v.result ->> 'ks_p')::float8 AS ks_p, (v.result ->> 'beyond_ms')::float8 AS beyond_ms, v.made,
       (v.result ->> 'width_ms')::float8 AS width_ms
  FROM owd.validation_row v;

COMMENT ON VIEW owd.validation IS 'Active against passive delay of the very same packets, by hour and path; made by oneway-probe report.';
COMMENT ON COLUMN owd.validation.hour IS 'Hour that the packets left in.';
COMMENT ON COLUMN owd.validation.src IS 'Observation point nearer to the sender of the probe.';
COMMENT ON COLUMN owd.validation.dst IS 'Observation point nearer to its reflector.';
COMMENT ON COLUMN owd.validation.quantity IS 'rtt: active round trip against passive forward plus backward, free of clocks; up, down: active one-way delay of the probe packet, of its answer, against the sample of the same packet; via: sum of the samples src to via and via to dst ("active") against the sample src to dst; sum: mean active delay src to dst ("active") against the sum of those src to via and via to dst ("passive"), minute by minute, probes alone.';
COMMENT ON COLUMN owd.validation.via IS 'Point between src and dst, for via; host between them, for sum.';
COMMENT ON COLUMN owd.validation.probe_src IS 'Sender, as in owd.probe_results.src; NULL for via and sum, as the next two.';
COMMENT ON COLUMN owd.validation.probe_dst IS 'Its target.';
COMMENT ON COLUMN owd.validation.mode IS 'How it was asked.';
COMMENT ON COLUMN owd.validation.size IS 'Bytes of payload; NULL for via.';
COMMENT ON COLUMN owd.validation.n IS 'Packets compared; minutes, for sum.';
COMMENT ON COLUMN owd.validation.answered IS 'Packets that the probe got an answer to in that hour.';
COMMENT ON COLUMN owd.validation.active_ms IS 'Median of what the probe measured, in ms.';
COMMENT ON COLUMN owd.validation.passive_ms IS 'Median of what the samples say, in ms.';
COMMENT ON COLUMN owd.validation.bias_ms IS 'Median of passive minus active in ms (the systematic error of RFC 7679); positive: the samples say longer.';
COMMENT ON COLUMN owd.validation.stderr_ms IS 'Standard error of the mean difference in ms.';
COMMENT ON COLUMN owd.validation.spread_ms IS 'Spread of the differences in ms: 1.4826 times their median absolute deviation.';
COMMENT ON COLUMN owd.validation.random_ms IS 'Random error of RFC 7679 in ms: the larger distance of the 2.5th and the 97.5th percentile from the median.';
COMMENT ON COLUMN owd.validation.correlation IS 'Pearson''s correlation of active and passive; NULL here and below: not defined for these packets.';
COMMENT ON COLUMN owd.validation.rank_correlation IS 'Spearman''s, which single outliers do not move.';
COMMENT ON COLUMN owd.validation.inside IS 'Share 0..1 of packets whose active delay, give or take the noise of stamping, lies in the sample''s [lo_ms, hi_ms).';
COMMENT ON COLUMN owd.validation.consistent IS 'Share 0..1 of packets where the probe''s own interval and the sample''s have a point in common.';
COMMENT ON COLUMN owd.validation.within_2sigma IS 'Share 0..1 of packets whose difference is within two of the sample''s sigma.';
COMMENT ON COLUMN owd.validation.ks IS 'Kolmogorov-Smirnov distance 0..1 of the two distributions.';
COMMENT ON COLUMN owd.validation.ks_p IS 'Its asymptotic p-value; steps of coarse stamps alone make it small.';
COMMENT ON COLUMN owd.validation.beyond_ms IS 'What was taken off the active delay, because the probe''s way is longer than that between the points, in ms.';
COMMENT ON COLUMN owd.validation.made IS 'When this row was made.';
COMMENT ON COLUMN owd.validation.width_ms IS 'Median width of the samples'' intervals in ms: what inside, consistent and within_2sigma have to be seen against.';
