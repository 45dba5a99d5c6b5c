#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# database.sh BUILD [MILLIONS [POINTS [PATHS]]]: what the database takes and how soon it answers. Inside cluster.sh run:
#
#   OWD_PG_BIN=/usr/lib/postgresql/15/bin tests/sql/cluster.sh run tests/perf/database.sh build 100
#
# Fills a day (bench_store), gives 100 paths a history (history.sql), says what is on disk, asks. Times are the median and
# the largest of 9 calls in one session, the first one left out.
set -eu
here=$(dirname "$0")
build=$1
shift
psql="$OWD_PG_BIN/psql -X -q -v ON_ERROR_STOP=1"
"$build/tests/bench_store" "$@"
$psql -o /dev/null -f "$here/history.sql"
$psql -c 'VACUUM ANALYZE'
$psql <<'END'
SELECT r.width AS "width, s", count (*) AS tables, sum (s.path_days)::bigint AS "path days", pg_size_pretty (sum (s.bytes)) AS "on disk",
       (sum (s.bytes) / nullif(sum (s.path_days),0))::bigint AS "bytes per path and day"
  FROM (SELECT * FROM owd.resolution WHERE width >= 0) r
 CROSS JOIN LATERAL owd.tables_of ((CASE r.width WHEN 0 THEN 'owd.sample' ELSE 'owd.rollup_' || r.width END)::regclass) t
 CROSS JOIN LATERAL (SELECT pg_total_relation_size (format ('owd.%I', t.name)::regclass) AS bytes,
                            (SELECT count(DISTINCT path_id) FROM owd.path)*CASE WHEN r.width=0 THEN 1.0/24 WHEN t.hi > '2026-11-22+00' THEN 1 ELSE 0 END
                            + CASE WHEN r.width=0 THEN 0 ELSE 100 * greatest (extract (epoch FROM least (t.hi, '2026-11-22+00'::timestamptz)
                                  - greatest (t.lo, '2026-11-23+00'::timestamptz - least (r.keep, interval '730 days'))), 0)/86400 END AS path_days) s
 GROUP BY r.width ORDER BY r.width;
SELECT 'edges' AS "of all paths", count (*) AS tables, pg_size_pretty (sum (pg_total_relation_size (format ('owd.%I', t.name)::regclass))) AS "on disk",
       (sum (pg_total_relation_size (format ('owd.%I', t.name)::regclass)) / (SELECT count (*) FROM owd.path)
        / (SELECT extract (epoch FROM r.filled_to - r.kept_from) / 86400 FROM owd.resolution r WHERE r.width = -1))::bigint AS "bytes per path and day"
  FROM owd.tables_of ('owd.edge') t;
END

# ask NAME QUERY
ask () {
  {
    printf '%s\n' '\timing on'
    for _ in 0 1 2 3 4 5 6 7 8 9; do echo "SELECT count (*) FROM ($2) q;"; done
  } | $psql -At | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | sed 1d | sort -n \
    | awk -v name="$1" '{ t[NR] = $1 } END { printf "%-46s median %8.1f ms, largest %8.1f ms\n", name, t[int ((NR + 1) / 2)], t[NR] }'
}
last="'2026-11-23+00'"
# a path that has a history
path=$($psql -At -c "SELECT format ('%L, %L', a.name, b.name) FROM owd.path p JOIN owd.point a ON a.point_id = p.src_id JOIN owd.point b ON b.point_id = p.dst_id WHERE p.path_id = 1")
ask 'timeline, a day by 1 min' "SELECT * FROM owd.timeline ($path, '2026-11-22+00', $last, '1 min')"
ask 'timeline, a day by 1 min, from second 7' "SELECT * FROM owd.timeline ($path, '2026-11-22 00:00:07+00', $last, '1 min')"
ask 'timeline, a day by 10 min' "SELECT * FROM owd.timeline ($path, '2026-11-22+00', $last, '10 min')"
ask 'timeline, an hour by 10 s' "SELECT * FROM owd.timeline ($path, '2026-11-22 12:00+00', '2026-11-22 13:00+00', '10 s')"
ask 'timeline, a year by 1 d' "SELECT * FROM owd.timeline ($path, '2025-11-23+00', $last, '1 day')"
ask 'timeline, a year by 1 d of Berlin' "SELECT * FROM owd.timeline ($path, '2025-11-22 23:00+00', $last, '1 day')"
# matrix NAME FROM TO, both of the day
matrix () {
  ask "matrix, $1" "SELECT * FROM owd.matrix ('2026-11-22 $2+00', '2026-11-22 $3+00')"
}
matrix 'an hour' 12:00 13:00
matrix 'an hour from minute 20' 12:20 13:20
matrix 'an hour from minute 17' 12:17 13:17
matrix 'an hour from second 7' 12:17:07 13:17:07
matrix 'an hour from minute 30, a fraction of a second' 12:30:30.25 13:30:30.25
matrix 'an hour from the second after a full one' 12:00:01 13:00:01
matrix 'the last 30 minutes of an hour' 12:30 13:00
matrix '50 minutes within an hour, from second 7' 12:05:07 12:55:07
matrix 'a minute' 12:17 12:18
ask 'the newest 100 samples of all' "SELECT * FROM owd.newest (100)"
ask 'five minutes of all paths, the newest 100' "SELECT * FROM owd.samples WHERE ts > '2026-11-22 23:55+00' ORDER BY ts DESC LIMIT 100"
