-- SPDX-License-Identifier: Apache-2.0
CREATE OR REPLACE VIEW owd.samples AS
SELECT s.part::integer AS part, s.seq, s.ts, a.name AS src, b.name AS dst,
       CASE s.kind WHEN 1 THEN 'start' WHEN 2 THEN 'end' WHEN 3 THEN 'both' END AS kind,
       s.owd_ns::float8 / 1000000 AS owd_ms, s.lo_ns::float8 / 1000000 AS lo_ms, s.hi_ns::float8 / 1000000 AS hi_ms,
       s.sigma_ns::float8 / 1000000 AS sigma_ms, s.bias_ns::float8 / 1000000 AS bias_ms,
       nullif (s.profile_id, 0) AS profile_id, s.proto::integer AS proto, s.flow, s.flags::integer & 65535 AS flags
  FROM owd.sample s
  JOIN owd.path p ON p.path_id = s.path_id
  JOIN owd.point a ON a.point_id = p.src_id
  JOIN owd.point b ON b.point_id = p.dst_id;

COMMENT ON VIEW owd.samples IS 'One-way-delay samples (RFC 7679): one packet seen at src and at dst. Final up to owd.watermark.';
COMMENT ON COLUMN owd.samples.part IS 'Partition of the flow log.';
COMMENT ON COLUMN owd.samples.seq IS 'Order of delivery within part, gapless from 1; ts never decreases with it. Samples beyond raw-samples-per-minute have none and are not here: owd.kept().';
COMMENT ON COLUMN owd.samples.ts IS 'Corrected time of the packet at src, the upstream point; floor to the microsecond.';
COMMENT ON COLUMN owd.samples.src IS 'Upstream observation point: configured name, else exporter address, else address#domain.';
COMMENT ON COLUMN owd.samples.dst IS 'Downstream observation point, named likewise.';
COMMENT ON COLUMN owd.samples.kind IS 'Packet of the flow that was seen twice: start (first), end (last), both (a one-packet flow).';
COMMENT ON COLUMN owd.samples.owd_ms IS 'One-way delay in ms, best estimate after correction; positive: seen later at dst; negative: a clock is off.';
COMMENT ON COLUMN owd.samples.lo_ms IS 'Lower end of the interval [lo_ms, hi_ms) that holds the truth, in ms.';
COMMENT ON COLUMN owd.samples.hi_ms IS 'Upper end of the interval [lo_ms, hi_ms) that holds the truth, in ms.';
COMMENT ON COLUMN owd.samples.sigma_ms IS 'One standard deviation of all errors known, in ms.';
COMMENT ON COLUMN owd.samples.bias_ms IS 'What was subtracted from the difference of the stamps as claimed, in ms.';
COMMENT ON COLUMN owd.samples.profile_id IS 'Error profile of dst that was in force; NULL: none.';
COMMENT ON COLUMN owd.samples.proto IS 'IP protocol number of the flow.';
COMMENT ON COLUMN owd.samples.flow IS 'Hash of the flow''s directed 5-tuple, the same at every point; 64 bits, so it may be negative.';
COMMENT ON COLUMN owd.samples.flags IS
'Sum of: 1 whole interval below zero, 2 an exporter''s boot time is known to no better than 20 ms, 4 proven by equal counts, 8 proven by SYN, FIN or RST, 16 reassembled from fragments, 32 stamp resolution assumed, 64 far from the path''s recent samples, 128 an exporter samples packets, 256 direction taken from the sign of the delay, 512 whole interval below what light takes between both sites (owd.paths.floor_ms).';
