#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# A PostgreSQL cluster to throw away, on a Unix socket only.
#
#   cluster.sh run COMMAND...   makes it, runs the command with PG* set, removes it; exit status of the command
#   cluster.sh stop DIR [MODE]  for a command that wants to see the server go (DIR: $OWD_CLUSTER; MODE: pg_ctl's,
#   cluster.sh start DIR        default immediate)
#
# The command connects as owd_test, who is no superuser and owns the database owd_test; OWD_CLUSTER_ADMIN is the
# superuser's conninfo. PostgreSQL refuses to run as root: then the server runs as the user postgres.
# OWD_PG_BIN: folder of initdb and pg_ctl (the build sets it).
set -eu

as_server () {
  if [ "$(id -u)" -eq 0 ]; then
    runuser -u postgres -- "$@"
  else
    "$@"
  fi
}

# The server must not hold our stdout: a pipe behind it would never end.
start () {
  as_server "$OWD_PG_BIN/pg_ctl" -D "$1/data" -l "$1/log" -w -s -t 60 start >/dev/null 2>&1 </dev/null \
    || { echo "cluster.sh: the server did not start:" >&2; cat "$1/log" >&2; return 1; }
}

stop () {
  as_server "$OWD_PG_BIN/pg_ctl" -D "$1/data" -w -s -t 60 -m "${2:-immediate}" stop >/dev/null 2>&1
}

run () {
  dir=$(mktemp -d "${TMPDIR:-/tmp}/owd-sql.XXXXXX")
  trap 'stop "$dir" || true; rm -rf "$dir"' EXIT
  trap 'exit 130' INT TERM HUP
  if [ "$(id -u)" -eq 0 ]; then
    chown postgres "$dir"
  fi
  chmod 755 "$dir"
  as_server "$OWD_PG_BIN/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C -N >"$dir/initdb.log" 2>&1 \
    || { cat "$dir/initdb.log" >&2; return 1; }
  as_server tee -a "$dir/data/postgresql.conf" >/dev/null <<END
listen_addresses = ''
unix_socket_directories = '$dir'
fsync = off
shared_buffers = 128MB
max_wal_size = 2GB
${OWD_CLUSTER_CONF:-}
END
  start "$dir"
  unset PGSERVICE PGPASSWORD PGOPTIONS PGTZ PGDATESTYLE
  export PGHOST="$dir" PGPORT=5432 PGUSER=owd_test PGDATABASE=owd_test OWD_CLUSTER="$dir"
  export OWD_CLUSTER_ADMIN="host=$dir user=postgres dbname=owd_test"
  "$OWD_PG_BIN/psql" -q -U postgres -d postgres -c "CREATE ROLE owd_test LOGIN" -c "CREATE DATABASE owd_test OWNER owd_test"
  "$@"
}

command=${1:?run, start or stop}
shift
case $command in
run) run "$@" ;;
start | stop) "$command" "$1" ;;
*) echo "cluster.sh: run, start or stop, not $command" >&2; exit 2 ;;
esac
