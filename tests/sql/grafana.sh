#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# grafana.sh ONEWAY ROOT: what grafana.py needs to find in the database; inside cluster.sh run.
set -eu
here=$(dirname "$0")
unset ONEWAY_DB
psql="$OWD_PG_BIN/psql -X -q -v ON_ERROR_STOP=1"
$psql -d "$OWD_CLUSTER_ADMIN" -c "ALTER ROLE owd_test CREATEROLE"
"$1" db migrate >/dev/null
$psql -d "$OWD_CLUSTER_ADMIN" -c "CREATE ROLE t_reader LOGIN IN ROLE owd_reader" -c "ALTER ROLE t_reader SET statement_timeout = '30s'" \
  -c "CREATE ROLE t_postgrest LOGIN NOINHERIT IN ROLE owd_reader"
$psql -o /dev/null -f "$here/fixture.sql" -f "$here/cli.sql" \
  -c "SELECT owd.raise_event ('level_shift', 1, '2026-11-22 06:40:31+00', 15, 2, '{\"before_ms\": 20, \"after_ms\": 35, \"reverse_shift_ms\": null}')"
exec python3 "$here/grafana.py" "$2"
