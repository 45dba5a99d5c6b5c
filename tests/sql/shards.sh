#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# shards.sh ONEWAY ROLL SOURCE_DIR: two databases with paths of their own, read as one through sql/shards.sql. Inside
# cluster.sh run.
set -eu
oneway=$1
roll=$2
source=$3
unset ONEWAY_DB

sql () {
  base=$1
  shift
  "$OWD_PG_BIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$PGHOST" -U postgres -d "$base" "$@"
}

# Without contrib there is nothing to try.
if [ -z "$(sql postgres -c "SELECT FROM pg_available_extensions WHERE name = 'postgres_fdw'" -c "SELECT 1 FROM pg_available_extensions WHERE name = 'dblink'")" ]; then
  echo "shards.sh: postgres_fdw and dblink are not installed: not tried"
  exit 77
fi

# fill DATABASE SRC DST MS: 600 samples of one path, final up to 06:50
fill () {
  sql postgres -c "CREATE DATABASE $1"
  "$oneway" db migrate --db "host=$PGHOST user=postgres dbname=$1" >/dev/null
  sql "$1" -f "$source/tests/sql/fixture.sql"
  sql "$1" <<END
INSERT INTO owd.log (uuid, n_parts) VALUES ('$1', 1);
INSERT INTO owd.partition (part, seq, watermark_ns) VALUES (0, 600, extract (epoch FROM '2026-11-22 06:50+00'::timestamptz)::bigint * 1000000000);
SELECT test.sample (test.path ('$2', '$3'), '2026-11-22 06:40+00'::timestamptz + i * interval '1 s', $4 + i % 7) FROM generate_series (0, 599) i;
END
  PGUSER=postgres PGDATABASE=$1 "$roll"
}
fill shard_1 vienna graz 3 >/dev/null
fill shard_2 linz wels 8 >/dev/null
sql postgres -c "CREATE ROLE remote LOGIN IN ROLE owd_reader" -c "CREATE DATABASE everything"
sql everything -v shards='shard_1 shard_2' -v host="$PGHOST" -v login=remote -f "$source/sql/shards.sql"

got=$(sql everything <<'END'
SET timezone = 'UTC';
SELECT shard, src, dst, count (*), count (DISTINCT seq) FROM everywhere.samples GROUP BY 1, 2, 3 ORDER BY 1;
SELECT count (*) FROM everywhere.samples WHERE ts >= '2026-11-22 06:45+00' AND ts <= (SELECT ts FROM everywhere.watermark);
SELECT ts FROM everywhere.watermark;
SELECT n, min_ms, max_ms FROM everywhere.timeline ('linz', 'wels', '2026-11-22 06:40+00', '2026-11-22 06:41+00', '1 min');
SELECT shard, src, dst, n, min_ms FROM everywhere.matrix ('2026-11-22 06:00+00', '2026-11-22 07:00+00') ORDER BY 1;
END
)
want='shard_1|vienna|graz|600|600
shard_2|linz|wels|600|600
600
2026-11-22 06:49:59.999999+00
60|8|14
shard_1|vienna|graz|600|3
shard_2|linz|wels|600|8'
[ "$got" = "$want" ] || { printf 'shards.sh: got\n%s\nwant\n%s\n' "$got" "$want" >&2; exit 1; }
sql shard_2 -c "UPDATE owd.partition SET watermark_ns = NULL"
[ -z "$(sql everything -c "SELECT ts FROM everywhere.watermark")" ] || { echo "shards.sh: a watermark, although a shard has none" >&2; exit 1; }
if sql everything -c "SELECT everywhere.timeline ('linz', 'graz', '2026-11-22', '2026-11-23', '1 h')" 2>/dev/null; then
  echo "shards.sh: a path that is nowhere was found" >&2
  exit 1
fi
