#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# rights.sh BIN SIM: what owd_reader and owd_writer may do, and what not; roles shared by two databases; a migration by
# someone who may not create roles. Inside cluster.sh run. BIN: folder of the programs. SIM: oneway-sim.
set -eu
here=$(dirname "$0")
bin=$1
sim=$2
unset ONEWAY_DB
dir=$(mktemp -d "${TMPDIR:-/tmp}/owd-rights.XXXXXX")
trap 'rm -rf "$dir"' EXIT

fail () {
  echo "rights.sh: $*" >&2
  exit 1
}

# expect STATUS TEXT COMMAND...: exit status, and a piece of what it says
expect () {
  wanted=$1
  text=$2
  shift 2
  status=0
  "$@" >"$dir/out" 2>&1 || status=$?
  [ "$status" = "$wanted" ] || fail "status $status instead of $wanted: $* ($(cat "$dir/out"))"
  [ -z "$text" ] || grep -qF -- "$text" "$dir/out" || fail "no '$text' in what $* says: $(cat "$dir/out")"
}

admin () {
  "$OWD_PG_BIN/psql" -X -q -v ON_ERROR_STOP=1 -d "$OWD_CLUSTER_ADMIN" "$@"
}

# as USER [PSQL OPTION...]
as () {
  user=$1
  shift
  "$OWD_PG_BIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 -v VERBOSITY=verbose -U "$user" "$@"
}

# Who may not create roles hears what to do; the rest works.
expect 0 'role owd_reader: missing: run `oneway db migrate` as a user with CREATEROLE' "$bin/oneway" db migrate
admin -c "ALTER ROLE owd_test CREATEROLE"
expect 0 'roles: owd_reader, owd_writer' "$bin/oneway" db migrate
admin -c "ALTER ROLE owd_test NOCREATEROLE"
expect 0 'roles: owd_reader, owd_writer' "$bin/oneway" db status

# A second database of the cluster, whose owner may not create roles: they are there, and get their rights here too.
admin -c "CREATE ROLE owd_other LOGIN" -c "CREATE DATABASE owd_second OWNER owd_other"
expect 0 'roles: owd_reader, owd_writer' "$bin/oneway" db migrate --db "dbname=owd_second user=owd_other"

# Logins. One that could ask without end is told.
admin -c "CREATE ROLE t_reader LOGIN IN ROLE owd_reader" -c "CREATE ROLE t_writer LOGIN IN ROLE owd_writer" -c "CREATE ROLE t_nobody LOGIN"
expect 0 "role t_reader: may ask without end: ALTER ROLE t_reader SET statement_timeout = '30s'" "$bin/oneway" db status
admin -c "ALTER ROLE t_reader SET statement_timeout = '700ms'"
expect 0 'roles: owd_reader, t_reader, owd_writer, t_writer' "$bin/oneway" db status
expect 0 'step' "$bin/oneway" db migrate --db user=t_writer
expect 1 'permission denied' "$bin/oneway" status --db user=t_nobody

# The daemons as owd_writer, the front end as owd_reader.
"$sim" quiet --seed 1 --duration 2m --write "$dir/pcap" 2>/dev/null || fail "oneway-sim"
"$bin/oneway-collector" --read "$dir/pcap" --log "$dir/log" 2>/dev/null
expect 0 '' "$bin/oneway-correlator" --log "$dir/log" --db user=t_writer --once
expect 0 '' "$bin/oneway-profiler" --log "$dir/log" --db user=t_writer
for command in status paths exporters profiles doctor matrix "timeline 198.18.0.1 198.18.0.2"; do
  expect 0 '' "$bin/oneway" $command --db user=t_reader
done

# Whoever may connect may listen.
as t_writer -c "LISTEN owd_events" -c "SELECT pg_sleep (3)" >"$dir/heard" &
sleep 1
as owd_test -c "SELECT owd.raise_event ('loss', min (path_id), now (), 0.5, 0.01, '{}') FROM owd.path" >/dev/null
wait $!
grep -q '"event_id" : [0-9]*, "kind" : "loss", "state" : "raised".*"src" : "198.18.0.[12]", "dst" : "198.18.0.[12]", "value" : 0.5' "$dir/heard" \
  || fail "nothing was told of an event: $(cat "$dir/heard")"
expect 0 "lost" "$bin/oneway" events --to infinity --db user=t_reader

# A reader sees what is public, and nothing else; nobody but the owner is let near the schema itself.
as t_reader -f "$here/rights.sql" || fail "see rights.sql"
for statement in "SELECT * FROM owd.log" "SELECT * FROM owd.partition" "SELECT * FROM owd.sample" "SELECT * FROM owd.point" \
  "SELECT * FROM owd.schema_code" "INSERT INTO owd.sample DEFAULT VALUES" "DELETE FROM owd.exporters" "UPDATE owd.exporters SET name = 'x'" \
  "SELECT owd.add_samples ('2026-01-01')" "SELECT owd.retain ()" "SELECT owd.give_rights ()" "CREATE TABLE owd.mine (x int)" \
  "CREATE TABLE public.mine (x int)" "CREATE VIEW owd.mine AS SELECT 1" "DROP VIEW owd.samples" "TRUNCATE owd.sample" \
  "ALTER FUNCTION owd.matrix (timestamptz, timestamptz) SECURITY INVOKER" "SET ROLE owd_writer" "BEGIN; LOCK owd.sample" \
  "SELECT rolpassword FROM pg_authid" "COPY owd.paths TO PROGRAM 'cat'" "SELECT pg_read_file ('postgresql.conf')"; do
  expect 1 42501 as t_reader -c "$statement"
done
for statement in "CREATE TABLE owd.mine (x int)" "ALTER TABLE owd.point ADD COLUMN x int" "DROP TABLE owd.sample" "DELETE FROM owd.sample" \
  "TRUNCATE owd.path" "UPDATE owd.point SET addr = '192.0.2.9'" "UPDATE owd.sample SET owd_ns = 0" "UPDATE owd.profile SET name = 'x'" \
  "INSERT INTO owd.schema_step (step, name) VALUES (9, 'x')" "UPDATE owd.schema_code SET digest = 'x'"; do
  expect 1 42501 as t_writer -c "$statement"
done
expect 1 57014 as t_reader -c "SELECT count (*) FROM owd.samples a, owd.samples b, owd.samples c"
expect 1 57014 as t_reader -c "SELECT pg_sleep (20)"

# A role that was dropped and made again has its rights after the next migration.
admin -c "DROP OWNED BY owd_reader" -d "host=$PGHOST user=postgres dbname=owd_second" -c "DROP OWNED BY owd_reader"
admin -c "DROP OWNED BY owd_reader" -c "DROP ROLE owd_reader" -c "CREATE ROLE owd_reader NOLOGIN" -c "GRANT owd_reader TO t_reader"
expect 0 'role owd_reader: has no rights here yet' "$bin/oneway" db status
expect 0 'roles: owd_reader, t_reader' "$bin/oneway" db migrate
expect 0 '' "$bin/oneway" paths --db user=t_reader
