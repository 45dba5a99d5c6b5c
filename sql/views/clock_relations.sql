-- SPDX-License-Identifier: Apache-2.0
CREATE OR REPLACE VIEW owd.clock_relations AS
SELECT r.a, r.b, r.made, r.from_ts, r.to_ts, (r.result ->> 'n_ab')::bigint AS n_ab, (r.result ->> 'n_ba')::bigint AS n_ba,
       (r.result ->> 'least_ab_ms')::float8 AS least_ab_ms, (r.result ->> 'least_ba_ms')::float8 AS least_ba_ms,
       (r.result ->> 'floor_ms')::float8 AS floor_ms, (r.result ->> 'rtt_ms')::float8 AS rtt_ms,
       (r.result ->> 'theta_ms')::float8 AS theta_ms, (r.result ->> 'lo_ms')::float8 AS lo_ms,
       (r.result ->> 'hi_ms')::float8 AS hi_ms, (r.result ->> 'residual_ms')::float8 AS residual_ms,
       (r.result ->> 'skew_ppm')::float8 AS skew_ppm, (r.result ->> 'skew_lo_ppm')::float8 AS skew_lo_ppm,
       (r.result ->> 'skew_hi_ppm')::float8 AS skew_hi_ppm, (r.result ->> 'corrected_ab_ms')::float8 AS corrected_ab_ms,
       (r.result ->> 'corrected_ba_ms')::float8 AS corrected_ba_ms, r.result ->> 'anchor' AS anchor
  FROM owd.clock_relation r;

COMMENT ON VIEW owd.clock_relations IS 'How far the clock of b is ahead of that of a, from delays in both directions: one row per pair and run of the profiler; never changed.';
COMMENT ON COLUMN owd.clock_relations.a IS 'Observation point.';
COMMENT ON COLUMN owd.clock_relations.b IS 'Observation point.';
COMMENT ON COLUMN owd.clock_relations.made IS 'When the profiler wrote this row; all rows of a run have the same.';
COMMENT ON COLUMN owd.clock_relations.from_ts IS 'Start of the time range that the row holds for.';
COMMENT ON COLUMN owd.clock_relations.to_ts IS 'End of that range.';
COMMENT ON COLUMN owd.clock_relations.n_ab IS 'Samples from a to b.';
COMMENT ON COLUMN owd.clock_relations.n_ba IS 'Samples from b to a.';
COMMENT ON COLUMN owd.clock_relations.least_ab_ms IS 'Relative one-way delay: least delay from a to b in ms as both clocks have it, upper end of its interval; NULL: none seen.';
COMMENT ON COLUMN owd.clock_relations.least_ba_ms IS 'The same from b to a, in ms.';
COMMENT ON COLUMN owd.clock_relations.floor_ms IS 'What light takes between both sites in ms; 0: sites are not configured.';
COMMENT ON COLUMN owd.clock_relations.rtt_ms IS 'Least round trip in ms: needs no common clock.';
COMMENT ON COLUMN owd.clock_relations.theta_ms IS 'Clock of b minus clock of a in ms if the least delays are symmetric; NULL: one direction only.';
COMMENT ON COLUMN owd.clock_relations.lo_ms IS 'It cannot be less, in ms: no packet is faster than light. NULL: not bounded.';
COMMENT ON COLUMN owd.clock_relations.hi_ms IS 'It cannot be more, in ms.';
COMMENT ON COLUMN owd.clock_relations.residual_ms IS 'theta_ms minus the difference of both offsets in owd.clock_offsets, in ms: what loops of the mesh say of asymmetry.';
COMMENT ON COLUMN owd.clock_relations.skew_ppm IS 'Wall clock of b against that of a in ppm; positive: it runs faster.';
COMMENT ON COLUMN owd.clock_relations.skew_lo_ppm IS 'Lower bound of it in ppm, if both run evenly; NULL: not bounded.';
COMMENT ON COLUMN owd.clock_relations.skew_hi_ppm IS 'Upper bound of it in ppm.';
COMMENT ON COLUMN owd.clock_relations.corrected_ab_ms IS 'least_ab_ms with the offsets of owd.clock_offsets taken out, in ms; NULL: no anchor.';
COMMENT ON COLUMN owd.clock_relations.corrected_ba_ms IS 'The same from b to a, in ms.';
COMMENT ON COLUMN owd.clock_relations.anchor IS 'What that correction rests on: ntp-trusted, probe, both, a reference by name (offsets are relative to it), none.';
