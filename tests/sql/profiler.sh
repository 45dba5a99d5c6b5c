#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# profiler.sh BIN SIM: oneway-profiler from a log to the database and back out of it, and its exit statuses; inside
# cluster.sh run. BIN: folder of the programs. SIM: oneway-sim.
set -eu
bin=$1
sim=$2
unset ONEWAY_DB
dir=$(mktemp -d "${TMPDIR:-/tmp}/owd-profiler.XXXXXX")
trap 'rm -rf "$dir"' EXIT

fail () {
  echo "profiler.sh: $*" >&2
  exit 1
}

# expect STATUS COMMAND...: runs it, output in $dir/out
expect () {
  wanted=$1
  shift
  status=0
  "$@" >"$dir/out" 2>"$dir/err" || status=$?
  [ "$status" = "$wanted" ] || fail "status $status instead of $wanted: $* ($(cat "$dir/err"))"
}

"$sim" reboot --seed 1 --duration 5m --write "$dir/pcap" 2>/dev/null
"$bin/oneway-collector" --read "$dir/pcap" --log "$dir/log" 2>/dev/null

# 198.18.0.2 reboots: two segments
expect 0 "$bin/oneway-profiler" --log "$dir/log" --dry-run --format json
[ "$(wc -l <"$dir/out")" = 2 ] || fail "two exporters, not: $(cut -c1-100 "$dir/out")"
expect 0 "$bin/oneway" db migrate
expect 3 "$bin/oneway" profiles
expect 0 "$bin/oneway-profiler" --log "$dir/log" --db '' --from last
expect 0 "$bin/oneway-profiler" --log "$dir/log" --db '' --from 2026-01-05T00:01:00Z
expect 0 "$bin/oneway" profiles --format csv
[ "$(tail -n +2 "$dir/out" | cut -d, -f2,9 | tr '\n' ' ')" = "198.18.0.1,first 198.18.0.2,first 198.18.0.2,reboot " ] \
  || fail "unexpected rows: $(cat "$dir/out")"
kept=$("$OWD_PG_BIN/psql" -X -A -t -c "SELECT concat_ws (',', count (*), bool_and (start_step_ms = 1), bool_and (abs (inactive_s - 15) < 1), bool_and (valid_from < valid_to)) FROM owd.profiles")
[ "$kept" = 6,t,t,t ] || fail "two runs are kept and right, not: $kept"
expect 0 "$bin/oneway" doctor
grep -q 'It rebooted 1 time' "$dir/out" || fail "the doctor does not tell the reboot: $(cat "$dir/out")"

expect 3 "$bin/oneway-profiler" --log "$dir/log" --db '' --from last
expect 3 "$bin/oneway-profiler" --log "$dir/log" --dry-run --to 2020-01-01
expect 1 "$bin/oneway-profiler" --log "$dir/none" --dry-run
expect 1 "$bin/oneway-profiler" --log "$dir/log" --db "host=$dir"
expect 2 "$bin/oneway-profiler" --log "$dir/log" --dry-run --format xml
expect 2 "$bin/oneway-profiler" --log "$dir/log" --dry-run --from yesterday
