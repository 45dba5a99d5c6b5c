#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# cli.sh ONEWAY: every command of the front end, its exit status and its output against cli.expected; inside
# cluster.sh run. To accept a change: cluster.sh run cli.sh ONEWAY --accept.
set -eu
here=$(dirname "$0")
oneway=$1
export LC_ALL=C.UTF-8 COLUMNS=80
unset ONEWAY_DB
out=$(mktemp -d "${TMPDIR:-/tmp}/owd-cli.XXXXXX")
trap 'rm -rf "$out"' EXIT

# The place of the cluster is another one each time; sizes on disk are the server's business; steps become more.
ask () {
  echo "\$ oneway $*"
  status=0
  "$oneway" "$@" 2>&1 | sed -e "s|$PGHOST|DIR|g" -e "s|, [^,]*iB kept|, SIZE kept|" \
    -e "s|step [0-9][0-9]* of [0-9][0-9]*|step N|" -e "s|^schema     step .*|schema     step N|" -e "/^applied /d" >"$out/one" || true
  cat "$out/one"
  "$oneway" "$@" >/dev/null 2>&1 || status=$?
  echo "[$status]"
}

run () {
  ask db status
  ask db migrate
  ask db migrate
  ask status
  ask paths
  ask exporters
  ask profiles
  ask doctor
  ask events
  ask matrix
  ask timeline edge-a edge-b
  "$OWD_PG_BIN/psql" -X -q -v ON_ERROR_STOP=1 -o /dev/null -f "$here/fixture.sql" -f "$here/cli.sql"
  ask status
  ask paths
  ask exporters
  ask profiles
  ask profiles --format csv
  ask doctor
  ask doctor --format json
  ask events
  ask matrix
  ask matrix --format csv --to '2026-11-22 06:40'
  ask timeline edge-a edge-b
  ask timeline edge-b edge-a --ascii --from '-20 s' --step '7 s'
  ask timeline edge-a edge-b --from '2026-11-22 06:40:30' --to '2026-11-22 06:40:32' --step '500 ms' --format json
  ask timeline edge-a edge-b --from '2020-01-01' --to '2020-01-02'
  ask timeline edge-a edge-b --from '2020-01-01' --to '2020-01-02' --format json
  ask timeline 'edge "c", d' edge-b --format csv
  ask timeline edge-a nowhere
  ask timeline edge-a
  ask timeline edge-a edge-b --step '1 month'
  ask timeline edge-a edge-b --from yesterdays
  ask timeline edge-a edge-b --format xml
  ask timelines
  ask db
  ask db drop
  ask paths --db 'host=/nonexistent'
  ask paths --db 'host=/nonexistent password=secret secret'
}

run >"$out/all"
if [ "${2:-}" = --accept ]; then
  cp "$out/all" "$here/cli.expected"
else
  diff -u "$here/cli.expected" "$out/all"
fi
