#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run_sql.sh ONEWAY FILE.sql: an empty schema, the fixture, the file; the first failed ASSERT or statement fails it.
# Inside cluster.sh run. $OWD_ROLL is the program that rolls up. OWD_SEED: what the psql variable seed is, 0 to 65535; else random.
set -eu
here=$(dirname "$0")
seed=${OWD_SEED:-$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')}
echo "OWD_SEED=$seed"
export OWD_ROLL="$(dirname "$1")/../tests/roll"
"$1" db migrate >/dev/null 2>&1 || { "$1" db migrate; exit 1; }
exec "$OWD_PG_BIN/psql" -X -q -v ON_ERROR_STOP=1 -v seed="$seed" -o /dev/null -f "$here/fixture.sql" -f "$2"
