#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run_sql.sh ONEWAY FILE.sql: an empty schema, the fixture, the file; the first failed ASSERT or statement fails it.
# Inside cluster.sh run.
set -eu
here=$(dirname "$0")
"$1" db migrate >/dev/null
exec "$OWD_PG_BIN/psql" -X -q -v ON_ERROR_STOP=1 -o /dev/null -f "$here/fixture.sql" -f "$2"
