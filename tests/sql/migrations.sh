#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# migrations.sh ONEWAY SQL_DIR: from each older step, with rows in its tables, the schema becomes what a new one is, and the rows
# are still there; several at once do it once. Inside cluster.sh run.
set -eu
oneway=$1
sql=$2
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
  run -d "$base" <<END
INSERT INTO owd.log (uuid, n_parts) VALUES ('00000000-0000-4000-8000-000000000000', 1);
INSERT INTO owd.partition (part, seq, watermark_ns, first_ts, last_ts) VALUES (0, 2, 1795329660000000000, '2026-11-22 06:40+00', '2026-11-22 06:41+00');
INSERT INTO owd.point (addr, domain, version, name) VALUES ('192.0.2.1', 0, 9, 'a'), ('192.0.2.2', 0, 9, 'b');
INSERT INTO owd.path (src_id, dst_id) VALUES (1, 2);
CREATE TABLE owd.sample_20261122 PARTITION OF owd.sample FOR VALUES FROM ('2026-11-22 00:00+00') TO ('2026-11-23 00:00+00');
INSERT INTO owd.sample SELECT t, 1, 20000000, 19000000, 21000000, 410000, 0, 1, 1, 0, 0, 0, 1, 6 FROM unnest (ARRAY['2026-11-22 06:40+00', '2026-11-22 06:40:30+00']::timestamptz[]) t;
END
  "$oneway" db migrate --db "dbname=$base" >"$dir/out" 2>&1 || fail "from $step: $(cat "$dir/out")"
  grep -q "^applied $step" "$dir/out" && fail "$step was done again"
  [ "$(run -d "$base" -c "SELECT n, mean_ms FROM owd.timeline ('a', 'b', '2026-11-22 06:00+00', '2026-11-22 07:00+00', '1 h')")" = '2|20' ] \
    || fail "from $step: the samples are not what they were"
  run -d "$base" -c "DROP TABLE owd.sample_20261122"
  shape "$base"
  diff "$dir/fresh.sql" "$dir/$base.sql" >"$dir/diff" || fail "from $step, < fresh, > this: $(cat "$dir/diff")"
done
