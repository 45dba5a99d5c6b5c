#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# migrations.sh ONEWAY ROLL SQL_DIR: from each older step, with rows in its tables, the schema becomes what a new one is; the rows
# are what they were, roll-ups are made from them, and writing goes on; several at once do it once. Inside cluster.sh run.
set -eu
oneway=$1
roll=$2
sql=$3
unset ONEWAY_DB
dir=$(mktemp -d "${TMPDIR:-/tmp}/owd-migrations.XXXXXX")
trap 'rm -rf "$dir"' EXIT

fail () {
  echo "migrations.sh: $*" >&2
  exit 1
}

admin () {
  "$OWD_PG_BIN/psql" -X -q -v ON_ERROR_STOP=1 -d "$OWD_CLUSTER_ADMIN" "$@"
}

run () {
  "$OWD_PG_BIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 "$@"
}

# The schema as text; what an older step had made is in another order.
shape () {
  "$OWD_PG_BIN/pg_dump" -s -n owd -d "$1" | grep -v -e '^--' -e '^$' | sed 's/^\\\(un\)*restrict.*//' | sort >"$dir/$1.sql"
  run -d "$1" -c "SELECT step, name FROM owd.schema_step ORDER BY step" -c "SELECT * FROM owd.schema_code" >>"$dir/$1.sql"
}

# Rows in whatever tables there are: three hours of samples across midnight, tables as the first releases made them.
fill () {
  run -d "$1" <<'END'
INSERT INTO owd.log (uuid, n_parts) VALUES ('00000000-0000-4000-8000-000000000000', 1);
INSERT INTO owd.partition (part, seq, watermark_ns, first_ts, last_ts)
VALUES (0, 720, extract (epoch FROM '2026-11-23 01:30+00'::timestamptz)::bigint * 1000000000, '2026-11-22 22:00+00', '2026-11-23 00:59:45+00');
INSERT INTO owd.point (addr, domain, version, name) VALUES ('192.0.2.1', 0, 9, 'a'), ('192.0.2.2', 0, 9, 'b');
INSERT INTO owd.path (src_id, dst_id) VALUES (1, 2), (2, 1);
INSERT INTO owd.exporter (addr, domain, version, name, records, segments, sampling) VALUES ('192.0.2.1', 0, 9, 'a', 77, 1, 0);
CREATE TABLE owd.sample_20261122 PARTITION OF owd.sample FOR VALUES FROM ('2026-11-22 00:00+00') TO ('2026-11-23 00:00+00');
CREATE TABLE owd.sample_20261123 PARTITION OF owd.sample FOR VALUES FROM ('2026-11-23 00:00+00') TO ('2026-11-24 00:00+00');
INSERT INTO owd.sample (ts, seq, owd_ns, lo_ns, hi_ns, sigma_ns, bias_ns, flow, path_id, profile_id, part, flags, kind, proto)
SELECT '2026-11-22 22:00+00'::timestamptz + i * interval '15 s', i + 1, 20000000 + i % 97 * 12345, 19000000, 21000000, 410000, i, i, 1 + i % 2, 0, 0, i % 4, 1, 6
  FROM generate_series (0, 719) i;
DO $$
BEGIN
  IF to_regclass ('owd.profile') IS NOT NULL THEN
    INSERT INTO owd.profile (addr, domain, version, name, valid_from, valid_to, measured)
    VALUES ('192.0.2.1', 0, 9, 'a', '2026-11-21', '2026-11-22', '{"segments": [{"start_step": {"value": 1000000}}]}');
  END IF;
  IF to_regclass ('owd.probe_packet') IS NOT NULL THEN
    INSERT INTO owd.probe_run (agent, run_ns, target, size, method, proto, src, dst, dport) VALUES ('x', 1, 'y', 64, 'stamp', 17, '192.0.2.1', '192.0.2.2', 862);
    CREATE TABLE owd.probe_packet_20261122 PARTITION OF owd.probe_packet FOR VALUES FROM ('2026-11-22 00:00+00') TO ('2026-11-23 00:00+00');
    INSERT INTO owd.probe_packet (ts, run_id, seq, t1_ns, t2_ns, sport, flags) VALUES ('2026-11-22 12:00+00', 1, 1, 5, 7, 4711, '{}');
  END IF;
  IF to_regclass ('owd.validation_row') IS NOT NULL THEN
    INSERT INTO owd.validation_row (hour, src, dst, quantity, probe_src, probe_dst, mode, size, via, result)
    VALUES ('2026-11-22 12:00+00', 'a', 'b', 'owd', 'x', 'y', 'stamp', 64, '', '{"n": 3}');
  END IF;
  IF to_regclass ('owd.event') IS NOT NULL THEN
    INSERT INTO owd.event (event_id, kind, path_id, raised, value, threshold, evidence) VALUES (1, 'threshold', 1, '2026-11-22 12:00+00', 500, 400, '{}');
  END IF;
  IF to_regclass ('owd.calibration_row') IS NOT NULL THEN
    INSERT INTO owd.calibration_row (point, clock, from_ts, to_ts, result) VALUES ('a', 'x', '2026-11-22 12:00+00', '2026-11-22 13:00+00', '{}');
  END IF;
END $$;
END
}

# One question per table that has rows: a digest of the columns that it has now. Settings may change.
questions () {
  run -d "$1" -c "SELECT format ('SELECT %L, count (*), md5 (string_agg (t::text, '' '' ORDER BY t::text)) FROM (SELECT %s FROM owd.%I) t;', c.relname, string_agg (quote_ident (a.attname), ', ' ORDER BY a.attnum), c.relname)
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
   WHERE c.relnamespace = 'owd'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname NOT LIKE 'schema\_%' AND c.relname <> 'resolution'
   GROUP BY c.relname ORDER BY c.relname" >"$dir/questions"
}

# What is there is rolled up, down to the sums; a new hour gets its table beside the old ones; retention takes those. Leaves no
# table of a time range.
go_on () {
  PGDATABASE=$1 "$roll" || fail "$1: nothing was rolled up"
  answer=$(run -d "$1" <<'END'
SELECT r.width, sum (u.n), sum (u.total) = (SELECT sum (owd_ns) FROM owd.sample)
  FROM owd.rollup r, LATERAL unnest (r.n, r.sum_ns) u (n, total) WHERE r.width < 86400 GROUP BY 1 ORDER BY 1;
SELECT n, round (mean_ms::numeric, 6) = (SELECT round (avg (owd_ns) / 1000000, 6) FROM owd.sample WHERE path_id = 1 AND ts < '2026-11-23+00') FROM owd.timeline ('a', 'b', '2026-11-22+00', '2026-11-23+00', '1 day');
SELECT count (*), sum (n) FROM owd.matrix ('2026-11-22 22:17+00', '2026-11-23 00:41+00');
SELECT owd.add_samples ('2026-11-24 00:30+00'), owd.add_samples ('2026-11-23 23:30+00');
UPDATE owd.resolution SET keep = '1 s', filled_to = '2026-11-24+00' WHERE width = 0 OR width > 0;
UPDATE owd.partition SET watermark_ns = extract (epoch FROM '2026-11-24 00:10+00'::timestamptz)::bigint * 1000000000;
SELECT owd.retain () > 2;
SELECT count (*) FROM owd.samples;
END
  ) || fail "$1: it does not go on"
  [ "$answer" = '10|720|t
60|720|t
300|720|t
3600|720|t
240|t
2|576
t|f
t
0' ] || fail "$1: what was rolled up is not what was there: $answer"
  run -d "$1" <<'END' >/dev/null
SELECT format ('DROP TABLE owd.%I', c.relname) FROM pg_class c WHERE c.relnamespace = 'owd'::regnamespace AND c.relkind = 'r' AND c.relispartition
\gexec
END
}

admin -c "CREATE DATABASE fresh OWNER owd_test"
n=4
while [ $n -gt 0 ]; do
  { "$oneway" db migrate --db "dbname=fresh" >"$dir/out.$n" 2>&1 || echo failed >>"$dir/out.$n"; } &
  n=$((n - 1))
done
wait
grep -l failed "$dir"/out.* && fail "four at once: $(cat "$dir"/out.*)"
[ "$(cat "$dir"/out.* | grep -c '^applied 0001_')" = 1 ] || fail "step 1 was done more than once"
shape fresh

for file in "$sql"/[0-9][0-9][0-9][0-9]_*.sql; do
  step=$(basename "$file" .sql)
  base=from_${step%%_*}
  admin -c "CREATE DATABASE $base OWNER owd_test"
  run -d "$base" -c "CREATE SCHEMA owd"
  for older in "$sql"/[0-9][0-9][0-9][0-9]_*.sql; do
    name=$(basename "$older" .sql)
    run -d "$base" -1 -f "$older" -c "INSERT INTO owd.schema_step (step, name) VALUES (${name%%_*}, '$name')"
    [ "$older" != "$file" ] || break
  done
  fill "$base"
  questions "$base"
  run -d "$base" -f "$dir/questions" >"$dir/before"
  "$oneway" db migrate --db "dbname=$base" >"$dir/out" 2>&1 || fail "from $step: $(cat "$dir/out")"
  grep -q "^applied $step" "$dir/out" && fail "$step was done again"
  run -d "$base" -f "$dir/questions" >"$dir/after"
  diff "$dir/before" "$dir/after" >"$dir/diff" || fail "from $step, rows have changed: $(cat "$dir/diff")"
  go_on "$base"
  shape "$base"
  diff "$dir/fresh.sql" "$dir/$base.sql" >"$dir/diff" || fail "from $step, < fresh, > this: $(cat "$dir/diff")"
done
