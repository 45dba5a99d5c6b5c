# SPDX-License-Identifier: Apache-2.0
# Sourced by ./up and demo/demo after common.sh: one running Oneway and its private PostgreSQL.
#
#   $var/postgres   the cluster's data    $var/run       its socket
#   $var/log        the flow log          $var/NAME.out  what child NAME says, .1: what it said the time before
#
# Children are in sessions of their own: Ctrl-C reaches only us, and they end in an order that loses nothing: collector,
# correlator, PostgreSQL. Should we be killed, each gets SIGTERM from the kernel.
# Expects $root and $var. Sets $db, the connection string.

bin=$root/build/bin
children=() # "pid name", in order of start
db=
own_socket_dir=

# start NAME COMMAND...: a child; what it says goes to $var/NAME.out. within: prefix of the command, e.g. (ip netns exec X).
within=()
start ()
{
  local name=$1
  shift
  [ ! -s "$var/$name.out" ] || mv "$var/$name.out" "$var/$name.out.1"
  "${within[@]}" setsid setpriv --pdeathsig TERM "$@" </dev/null >"$var/$name.out" 2>&1 9>&- &
  children+=("$! $name")
}

pid_of ()
{
  local child
  for child in "${children[@]}"; do
    [ "${child#* }" = "$1" ] && printf '%s' "${child%% *}"
  done
}

is_running ()
{
  local pid
  pid=$(pid_of "$1")
  [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null
}

# signal_all SIGNAL PID: to a child and whatever it has started: its session's first process group has its number, as
# soon as it has one.
signal_all ()
{
  kill -"$1" -- -"$2" 2>/dev/null || kill -"$1" "$2" 2>/dev/null
}

# stop NAME [SIGNAL]: ends the child with all it has started and waits for them, 20 s at most.
stop ()
{
  local pid n
  pid=$(pid_of "$1")
  [ -n "$pid" ] || return 0
  signal_all "${2:-TERM}" "$pid"
  for ((n = 0; n < 200; n++)); do
    signal_all 0 "$pid" || break
    sleep 0.1
  done
  if signal_all KILL "$pid"; then
    say "$1 did not end within 20 s and was killed; see $var/$1.out"
  fi
  wait "$pid" 2>/dev/null
  local child rest=()
  for child in "${children[@]}"; do
    [ "${child#* }" = "$1" ] || rest+=("$child")
  done
  children=("${rest[@]}")
}

# The last lines of a child's output, for a message that says why.
tail_of ()
{
  tail -n "${2:-5}" "$var/$1.out" 2>/dev/null | sed 's/^/  /'
}

# wait_until SECONDS NAME COMMAND...: until the command succeeds; fails when child NAME dies meanwhile, or time is up.
wait_until ()
{
  local tenths=$(($1 * 10)) name=$2 n
  shift 2
  for ((n = 0; n < tenths; n++)); do
    "$@" >/dev/null 2>&1 && return 0
    is_running "$name" || break
    sleep 0.1
  done
  say "$name did not come up; $var/$name.out ends with:" >&2
  tail_of "$name" >&2
  return 1
}

# ---- PostgreSQL --------------------------------------------------------------------------------------------

find_postgres ()
{
  pg_bin=$(printf '%s\n' /usr/lib/postgresql/*/bin/postgres | sort -V | tail -n 1)
  [ -x "$pg_bin" ] || pg_bin=$(command -v postgres) || fail "no PostgreSQL server found; apt-get install postgresql"
  pg_bin=$(dirname "$(readlink -f "$pg_bin")")
}

# as_server: prefix that runs a command as the owner of the cluster. PostgreSQL refuses to run as root.
find_owner ()
{
  local owner
  as_server=()
  if [ "$(id -u)" != 0 ]; then
    [ ! -e "$var/postgres" ] || [ -O "$var/postgres" ] \
      || fail "$var/postgres belongs to $(stat -c %U "$var/postgres"): run as root, or as that user"
    return
  fi
  if [ -e "$var/postgres" ]; then
    owner=$(stat -c %u "$var/postgres")
  else
    owner=$(id -u postgres 2>/dev/null || id -u nobody) || fail "no user 'postgres' to run PostgreSQL as"
  fi
  as_server=(setpriv --pdeathsig INT --reuid="$owner" --regid="$(id -g "$owner")" --clear-groups)
  # A project below a closed folder such as /root: the server may look up names there, and nothing else is added.
  if ! "${as_server[@]}" test -x "$var"; then
    as_server+=(--inh-caps=+dac_read_search --ambient-caps=+dac_read_search)
  fi
  install -d -o "$owner" -m 700 "$var/postgres" "$1"
}

# A socket's path has 107 bytes at most.
find_socket_dir ()
{
  socket_dir=$var/run
  if [ ${#socket_dir} -gt 90 ]; then
    socket_dir=$(mktemp -d /tmp/oneway-XXXXXX) || fail "cannot make a folder in /tmp"
    own_socket_dir=$socket_dir
  fi
  install -d -m 700 "$socket_dir"
}

# start_postgres DATABASE: the private cluster, made where it is missing, and the database in it.
start_postgres ()
{
  find_postgres
  find_socket_dir
  find_owner "$socket_dir"
  if [ ! -e "$var/postgres/PG_VERSION" ]; then
    (cd / && "${as_server[@]}" "$pg_bin/initdb" -D "$var/postgres" -U oneway --auth=trust --encoding=UTF8 --locale=C.UTF-8) \
      >"$var/initdb.out" 2>&1 || { cat "$var/initdb.out" >&2; fail "initdb failed (see above)"; }
  fi
  start postgres "${as_server[@]}" "$pg_bin/postgres" -D "$var/postgres" -c listen_addresses= \
    -c unix_socket_directories="$socket_dir" -c unix_socket_permissions=0700 -c max_wal_size=4GB
  wait_until 120 postgres "$pg_bin/pg_isready" -h "$socket_dir" -U oneway || return 1
  admin=("$pg_bin/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$socket_dir" -U oneway -d postgres)
  if [ "$("${admin[@]}" -c "SELECT 1 FROM pg_database WHERE datname = '$1'")" != 1 ]; then
    "${admin[@]}" -c "CREATE DATABASE $1" || return 1
  fi
  db="host='$socket_dir' user=oneway dbname=$1"
}

stop_postgres ()
{
  stop postgres INT # fast shutdown: ends sessions, keeps everything committed
  [ -z "$own_socket_dir" ] || rm -rf "$own_socket_dir"
}

# ---- the programs ------------------------------------------------------------------------------------------

# start_programs OPTION...: migrates the database, starts collector and correlator with these options. collector_within:
# prefix of the collector's command.
collector_within=()
start_programs ()
{
  "$bin/oneway" db migrate --db "$db" >"$var/migrate.out" 2>&1 \
    || { tail -n 5 "$var/migrate.out" >&2; say "the database could not be brought to the newest schema (see above)" >&2; return 1; }
  within=("${collector_within[@]}")
  start collector "$bin/oneway-collector" --log "$var/log" "$@"
  within=()
  wait_until 30 collector test -e "$var/log/log.meta" || return 1
  start correlator "$bin/oneway-correlator" --log "$var/log" --db "$db" "$@"
}

stop_programs ()
{
  stop collector
  stop correlator
}
