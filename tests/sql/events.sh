#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# events.sh BIN SIM: from exports of a made-up network to events, by the defaults; inside cluster.sh run. What happened is known:
# the delay from the first point to the second goes from 20 to 35 to 10 ms, each for a third of the time; a clock that is 1.5 s
# behind is set half-way; and nothing happens at all.
set -eu
bin=$1
sim=$2
unset ONEWAY_DB
dir=$(mktemp -d "${TMPDIR:-/tmp}/owd-events.XXXXXX")
trap 'rm -rf "$dir"' EXIT

# expect SCENARIO DURATION LINE...: kind, src, dst and value in whole ms of each event but those about the server's clock
expect () {
  scenario=$1
  duration=$2
  shift 2
  rm -rf "$dir"/*
  "$sim" "$scenario" --seed 3 --duration "$duration" --write "$dir/pcap" 2>/dev/null
  "$bin/oneway-collector" --read "$dir/pcap" --log "$dir/log" 2>/dev/null
  "$OWD_PG_BIN/psql" -X -q -c "DROP SCHEMA IF EXISTS owd CASCADE" 2>/dev/null
  "$bin/oneway" db migrate >/dev/null 2>&1
  "$bin/oneway-correlator" --log "$dir/log" --db '' --once
  "$OWD_PG_BIN/psql" -X -q -A -t -F ' ' -c "SELECT kind, src, dst, round (value / 5) * 5 FROM owd.events WHERE event_id > 0 ORDER BY kind, event_id" >"$dir/got"
  : >"$dir/want"
  [ $# = 0 ] || printf '%s\n' "$@" >"$dir/want"
  diff "$dir/want" "$dir/got" || { echo "events.sh: $scenario: < wanted, > raised" >&2; exit 1; }
}

expect quiet 40m
expect route-change 150m 'level_shift 198.18.0.1 198.18.0.2 15' 'level_shift 198.18.0.1 198.18.0.2 -25'
expect ntp-step 80m 'clock_step 198.18.0.1 198.18.0.2 1500' 'negative 198.18.0.1 198.18.0.2 -1505' 'threshold 198.18.0.2 198.18.0.1 1510'
