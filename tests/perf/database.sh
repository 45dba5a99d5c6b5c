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
  FROM owd.resolution r
 CROSS JOIN LATERAL owd.tables_of ((CASE r.width WHEN 0 THEN 'owd.sample' ELSE 'owd.rollup_' || r.width END)::regclass) t
 CROSS JOIN LATERAL (SELECT pg_total_relation_size (format ('owd.%I', t.name)::regclass) AS bytes,
                            (SELECT count(DISTINCT path_id) FROM owd.path)*CASE WHEN r.width=0 THEN 1.0/24 WHEN t.hi > '2026-11-22+00' THEN 1 ELSE 0 END
                            + CASE WHEN r.width=0 THEN 0 ELSE 100 * greatest (extract (epoch FROM least (t.hi, '2026-11-22+00'::timestamptz)
                                  - greatest (t.lo, '2026-11-23+00'::timestamptz - least (r.keep, interval '730 days'))), 0)/86400 END AS path_days) s
 GROUP BY r.width ORDER BY r.width;
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
ask 'timeline, a day by 1 min' "SELECT * FROM owd.timeline ('point-0', 'point-1', '2026-11-22+00', $last, '1 min')"
ask 'timeline, a day by 1 min, from second 7' "SELECT * FROM owd.timeline ('point-0', 'point-1', '2026-11-22 00:00:07+00', $last, '1 min')"
ask 'timeline, a day by 10 min' "SELECT * FROM owd.timeline ('point-0', 'point-1', '2026-11-22+00', $last, '10 min')"
ask 'timeline, an hour by 10 s' "SELECT * FROM owd.timeline ('point-0', 'point-1', '2026-11-22 12:00+00', '2026-11-22 13:00+00', '10 s')"
ask 'timeline, a year by 1 d' "SELECT * FROM owd.timeline ('point-0', 'point-1', '2025-11-23+00', $last, '1 day')"
ask 'timeline, a year by 1 d of Berlin' "SELECT * FROM owd.timeline ('point-0', 'point-1', '2025-11-22 23:00+00', $last, '1 day')"
ask 'matrix, an hour' "SELECT * FROM owd.matrix ('2026-11-22 12:00+00', '2026-11-22 13:00+00')"
ask 'matrix, an hour from minute 20' "SELECT * FROM owd.matrix ('2026-11-22 12:20+00', '2026-11-22 13:20+00')"
ask 'matrix, an hour from minute 17' "SELECT * FROM owd.matrix ('2026-11-22 12:17+00', '2026-11-22 13:17+00')"
ask 'matrix, an hour from second 7' "SELECT * FROM owd.matrix ('2026-11-22 12:17:07+00', '2026-11-22 13:17:07+00')"
