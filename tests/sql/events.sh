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

# expect SCENARIO DURATION LINE...: kind, src, dst and value of each event but those about the server's clock. Values to 5 ms; large
# ones to 100, since percentiles hold to 1 % and a new exporter's clock to some 40 ms in its first two minutes
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
  "$OWD_PG_BIN/psql" -X -q -A -t -F ' ' -c "SELECT kind, src, dst, round (value / u) * u FROM (SELECT *, CASE WHEN abs (value) < 100 THEN 5 ELSE 100 END AS u FROM owd.events) e WHERE event_id > 0 ORDER BY kind, event_id" >"$dir/got"
  : >"$dir/want"
  [ $# = 0 ] || printf '%s\n' "$@" >"$dir/want"
  diff "$dir/want" "$dir/got" || { echo "events.sh: $scenario: < wanted, > raised" >&2; exit 1; }
}

expect quiet 40m
expect route-change 150m 'level_shift 198.18.0.1 198.18.0.2 15' 'level_shift 198.18.0.1 198.18.0.2 -25'
expect ntp-step 80m 'clock_step 198.18.0.1 198.18.0.2 1500' 'negative 198.18.0.1 198.18.0.2 -1500' 'threshold 198.18.0.2 198.18.0.1 1500'
