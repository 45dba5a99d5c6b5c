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

# a calibration by a probe whose clock states 3 ms anchors the exporter's clock; one that is not synchronised does not; both behind the reboot
"$OWD_PG_BIN/psql" -X -A -t -q -c "SELECT owd.load_calibration_lines (format ('{\"point\":\"198.18.0.%s\",\"clock\":\"%s\",\"from\":\"2026-01-05T00:04:00Z\",\"to\":\"2026-01-05T00:05:00Z\",\"lo_ms\":4,\"hi_ms\":5,\"clock_error_ms\":%s}', i, c, e)) FROM (VALUES (1, 'a', 3), (2, 'b', 16000)) v (i, c, e)" >/dev/null
expect 0 "$bin/oneway-profiler" --log "$dir/log" --db ''
grep -q '198.18.0.1 .*in \[+1.000, +8.000\], against probe$' "$dir/out" || fail "the probe's clock is no anchor: $(cat "$dir/out")"
grep -q '198.18.0.2 .*against probe b$\|198.18.0.2 .*reference' "$dir/out" || fail "a clock that states nothing: $(cat "$dir/out")"
offsets=$("$OWD_PG_BIN/psql" -X -A -t -c "SELECT concat_ws (',', anchor, lo_ms, hi_ms) FROM owd.clock_offsets WHERE point = '198.18.0.1'")
[ "$offsets" = probe,1,8 ] || fail "offsets are kept: $offsets"
printf '[profiler]\nprobe-anchor = no\n' >"$dir/conf"
expect 0 "$bin/oneway-profiler" --config "$dir/conf" --log "$dir/log" --db ''
! grep -q 'against probe' "$dir/out" || fail "probe-anchor = no: $(cat "$dir/out")"
"$OWD_PG_BIN/psql" -X -q -c "DELETE FROM owd.calibration_row"

# night after night: what two runs find together is what one run finds over both nights
split () {
  python3 - "$dir/pcap" "$dir/first" "$dir/second" <<'END'
import struct, sys
data, at, n = open(sys.argv[1], 'rb').read(), 24, 0
ends = []
while at < len(data):
    at += 16 + struct.unpack_from('<I', data, at + 8)[0]
    ends.append(at)
half = ends[len(ends) // 2]
open(sys.argv[2], 'wb').write(data[:half])
open(sys.argv[3], 'wb').write(data[:24] + data[half:])
END
}
if command -v python3 >/dev/null && split; then
  "$bin/oneway-collector" --read "$dir/first" --log "$dir/nights" 2>/dev/null
  expect 0 "$bin/oneway-profiler" --log "$dir/nights" --db '' --from last
  grep -q 'the whole log is read' "$dir/err" || fail "says nothing of the missing state: $(cat "$dir/err")"
  # it warns of records that came before their template, in a capture that begins in the middle
  G_DEBUG= "$bin/oneway-collector" --read "$dir/second" --log "$dir/nights" 2>/dev/null
  expect 0 "$bin/oneway-profiler" --log "$dir/nights" --db '' --from last --format json
  [ ! -s "$dir/err" ] || fail "the second night complains: $(cat "$dir/err")"
  cp "$dir/out" "$dir/merged"
  expect 0 "$bin/oneway-profiler" --log "$dir/nights" --dry-run --format json
  cmp "$dir/out" "$dir/merged" || fail "two nights are not what one run over both finds"
  nights=$("$OWD_PG_BIN/psql" -X -A -t -c "SELECT count (*) FROM (SELECT valid_from, lag (valid_to) OVER (PARTITION BY addr ORDER BY profile_id) AS before FROM owd.profiles WHERE profile_id > 12) p WHERE valid_from <= before")
  [ "$nights" = 0 ] || fail "rows of two nights overlap: $nights"
  printf x | dd of="$dir/nights/profiler.state" bs=1 seek=5000 conv=notrunc 2>/dev/null
  expect 0 "$bin/oneway-profiler" --log "$dir/nights" --db '' --from last
  grep -q 'profiler.state is damaged: the whole log is read' "$dir/err" || fail "a damaged state: $(cat "$dir/err")"
  expect 0 "$bin/oneway-profiler" --log "$dir/log" --db '' --from last --state "$dir/nights/profiler.state"
  grep -q 'belongs to another log' "$dir/err" || fail "a state of another log: $(cat "$dir/err")"
else
  echo "LEFT OUT: two nights (no Python 3)"
fi

expect 3 "$bin/oneway-profiler" --log "$dir/log" --db '' --from last
expect 3 "$bin/oneway-profiler" --log "$dir/log" --dry-run --to 2020-01-01
expect 1 "$bin/oneway-profiler" --log "$dir/none" --dry-run
expect 1 "$bin/oneway-profiler" --log "$dir/log" --db "host=$dir"
expect 2 "$bin/oneway-profiler" --log "$dir/log" --dry-run --format xml
expect 2 "$bin/oneway-profiler" --log "$dir/log" --dry-run --from yesterday
expect 2 "$bin/oneway-profiler" --log "$dir/log" --db '' --from last --to 2026-01-06
