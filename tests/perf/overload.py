#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A live log that grows faster than it can be worked off: is what is told of the flows kept what was kept?

Collector, correlator and PostgreSQL as they are; traffic from oneway-sim. The database takes so many samples a second and no
more (--brake 0: as many as it can), so that the figures do not hang on what else the machine does. How much too much
it was: samples offered beside those delivered, while it was behind.

By minute of the log: how far behind the correlator was, its memory, samples delivered, the share of the flows that owd.status
told, as often as it was asked, and the share that was kept: of records (kept.c, with what was noted of shares), and of samples
and flows that the same log gives where nothing is shed, by the samples' times: a flow's first one may be a minute older than
its record, so these two compare where the share stood still. At the end the log and what was noted of shares are
replayed: the same samples?

Run by: OWD_PG_BIN=... tests/sql/cluster.sh run tests/perf/overload.py [OPTION...]
"""
import argparse
import math
import os
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '../e2e'))
import chain  # noqa: E402
from chain import say  # noqa: E402

SLOW = """
CREATE FUNCTION public.slow () RETURNS trigger LANGUAGE plpgsql AS
'BEGIN PERFORM pg_sleep ((NEW.seq - OLD.seq) / {}.0); RETURN NEW; END';
CREATE TRIGGER slow BEFORE UPDATE ON owd.partition FOR EACH ROW EXECUTE FUNCTION public.slow ()
"""
COMES_S = 3  # a packet's records, behind its flow's end
NS = 1_000_000_000


class Watch:
    """What is told, again and again."""

    def __init__(self, database, pid):
        self.database, self.pid = database, pid
        self.rows = []  # log time s, share told, s behind, MiB, samples delivered, when

    def look(self):
        row = self.database.query('SELECT min (log_time_ns), max (shed_ppm), min (shed_ppm), sum (seq), (SELECT flows_kept FROM owd.status)'
                                  ' FROM owd.partition')[0].split('|')
        if row[0] == '':
            return
        with open(f'/proc/{self.pid}/status', encoding='ascii') as f:
            rss = next(int(line.split()[1]) for line in f if line.startswith('VmRSS'))
        now = time.time()
        self.rows.append((int(row[0]) / NS, float(row[4]), now - int(row[0]) / NS, rss / 1024, int(row[3]), now))

    def watch(self, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.look()
            time.sleep(0.1)

    def told_at(self, times):
        """Share in force at each log time; times ascend."""
        shares, i = [], 0
        for t in times:
            while i < len(self.rows) - 1 and self.rows[i][0] < t:
                i += 1
            shares.append(self.rows[i][1])
        return shares


def counts(database):
    """Final samples by second."""
    rows = database.query('SELECT floor (extract (epoch FROM ts))::bigint, count (*) FROM owd.samples'
                          " WHERE date_trunc ('second', ts) + interval '1 s' <= (SELECT ts FROM owd.watermark) GROUP BY 1")
    return {s: n for s, n in ([int(x) for x in row.split('|')] for row in rows)}


def flows(database, first, last):
    """Flows that have samples, by minute from first on."""
    rows = database.query(f'SELECT floor ((extract (epoch FROM ts) - {first}) / 60)::int AS m, count (DISTINCT flow) FROM owd.samples'
                          f' WHERE ts >= to_timestamp ({first}) AND ts < to_timestamp ({last} + 1) GROUP BY 1')
    return {m: n for m, n in ([int(x) for x in row.split('|')] for row in rows)}


class Run:
    def __init__(self, args, directory):
        self.args, self.log = args, os.path.join(directory, 'log')
        self.directory = directory
        self.env = {'ONEWAY_CORRELATOR_MAX_LAG': args.max_lag}

    def begin(self, database, rate):
        env = {'ONEWAY_COLLECTOR_METRICS': '', 'ONEWAY_LOG_PARTITIONS': str(self.args.partitions),
               'ONEWAY_LOG_BLOCK_SIZE': '16 KiB'}  # to the rate as it is where more comes
        self.collector = chain.Running('oneway-collector', '--log', self.log, '--listen', '127.0.0.1:0', env=env)
        self.port = self.collector.wait_for_line(r'listening on UDP \S*:(\d+)')[1]
        self.send(rate)
        self.correlator = chain.Running('oneway-correlator', '--log', self.log, '--db', database.conninfo, env=self.env)

    def send(self, rate):
        self.sender = chain.Running('oneway-sim', self.args.scenario, '--seed', str(self.args.seed), '--rate', str(int(rate)), '--duration',
                                    '24h', '--send', f'127.0.0.1:{self.port}')

    def end(self):
        for program, number in ((self.sender, signal.SIGINT), (self.collector, signal.SIGTERM), (self.correlator, signal.SIGTERM)):
            if program.end(number) != 0:
                sys.exit(program.text())

    def replay(self, name, shares):
        """Without the brake; what was noted, or nothing, in force."""
        database = chain.Database().migrate()
        for row in shares:
            part, offset, ppm = row.split('|')
            database.query(f'INSERT INTO owd.partition (part) VALUES ({part}) ON CONFLICT DO NOTHING;'
                           f' INSERT INTO owd.share_use (part, log_offset, keep_ppm) VALUES ({part}, {offset}, {ppm})')
        chain.run('oneway-correlator', '--log', self.log, '--db', database.conninfo, '--once', timeout=3600,
                  env={**self.env, 'ONEWAY_CORRELATOR_STATE_DIRECTORY': os.path.join(self.directory, name)})
        return database

    def records(self, shares):
        """By second of log time: records, those of them that were kept with these notes."""
        out = subprocess.run([os.path.join(self.args.build, 'tests/kept'), self.log], input='\n'.join(row.replace('|', ' ') for row in shares),
                             stdout=subprocess.PIPE, text=True, check=True).stdout
        seconds = {}
        for _, second, records, kept, _ in (map(int, line.split()) for line in out.splitlines()):
            n, m = seconds.get(second, (0, 0))
            seconds[second] = n + records, m + kept
        return seconds


def report(watch, records, kept, whole):
    """Prints by minute and by second; returns the largest error of a minute, and of all, relative to what was told.
    records: by second; kept, whole: databases."""
    got, come = counts(kept), counts(whole)
    told = dict(zip(sorted(records), watch.told_at([s - 0.5 for s in sorted(records)])))
    seconds = [s for s in sorted(come) if watch.rows[0][0] <= s and s + COMES_S <= watch.rows[-1][0] and s <= max(got) and s in told]
    steady = {s for s in seconds if len({told.get(t, told[s]) for t in range(s - 1, s + COMES_S)}) == 1}
    got_flows, come_flows = (flows(database, seconds[0], seconds[-1]) for database in (kept, whole))
    worst, sums, calm = 0, [0] * 4, [0] * 3
    say('minute of  behind s          samples/s               told %  kept %                     off %')
    say('the log        most   MiB   offered delivered     (records)  records samples    flows  records  samples')
    for minute in range(len(seconds) // 60 + 1):
        mine = seconds[60 * minute:60 * minute + 60]
        looks = [r for r in watch.rows if mine and mine[0] <= r[0] < mine[-1] + 1]
        if len(looks) < 2:
            continue
        n, m = (sum(records[s][i] for s in mine) for i in (0, 1))
        said = sum(told[s] * records[s][0] for s in mine)
        samples, delivered = sum(come[s] for s in mine), sum(got.get(s, 0) for s in mine)
        said_samples = sum(told.get(s + 2, told[s]) * come[s] for s in mine)
        worst = max(worst, abs(m / said - 1))
        sums = [x + y for x, y in zip(sums, (n, m, said, delivered))]
        if steady.issuperset(mine):
            calm = [x + y for x, y in zip(calm, (samples, delivered, said_samples))]
        rate = (looks[-1][4] - looks[0][4]) / (looks[-1][5] - looks[0][5])
        say(f'{minute:7} {max(r[2] for r in looks):12.1f} {max(r[3] for r in looks):5.0f} {samples / len(mine):9.0f} {rate:9.0f} {100 * said / n:13.2f} '
            f'{100 * m / n:8.2f} {100 * delivered / samples:7.2f} {100 * got_flows[minute] / come_flows[minute]:8.2f} {100 * (m / said - 1):8.2f} '
            f'{100 * (delivered / said_samples - 1):8.2f}' + ('' if steady.issuperset(mine) else '  the share changed'))
    n, m, said, delivered = sums
    say(f'all: {n} records, told {100 * said / n:.2f} %, kept {100 * m / n:.2f} %, {100 * (m / said - 1):.2f} % off; {delivered} samples')
    if calm[0]:
        say(f'minutes in which the share stood still: {calm[1]} of {calm[0]} samples, {100 * (calm[1] / calm[2] - 1):.2f} % off')
    shed = [s for s in steady if told[s] < 1 and records[s][0] > 0]
    off = [abs(records[s][1] / (told[s] * records[s][0]) - 1) for s in shed]
    if off:
        # four records of a conversation at two points stay or go together
        chance = math.sqrt(sum(4 * (1 - told[s]) / (told[s] * records[s][0]) for s in shed) / len(shed))
        say(f'{len(off)} seconds of shedding in which it stood still: records off by {100 * math.sqrt(sum(x * x for x in off) / len(off)):.2f} % (rms), '
            f'at most {100 * max(off):.2f} %; by chance {100 * chance:.2f} % (rms)')
    return worst, abs(m / said - 1)


def main():
    programs = {'oneway': 'bin', 'oneway-collector': 'bin', 'oneway-correlator': 'bin', 'oneway-sim': 'tests'}
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('--build', default=os.path.join(HERE, '../../build'), help='release build')
    parser.add_argument('--directory', help='where the log goes while it runs (default: the temporary directory)')
    parser.add_argument('--scenario', default='quiet-ms')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--brake', type=int, default=3000,
                        help='samples a second that the database takes at most (default 3000; 0: as many as it can)')
    parser.add_argument('--rate', type=float, default=1600, help='flows a second, 2.9 samples each at first, 3.8 later (default 1600)')
    parser.add_argument('--max-lag', default='60 s')
    parser.add_argument('--partitions', type=int, default=1)
    parser.add_argument('--minutes', type=float, default=6)
    parser.add_argument('--falls', type=float, default=0, help='minutes at a tenth of the load, behind')
    args = parser.parse_args()
    if 'OWD_CLUSTER' not in os.environ:
        sys.exit('run by: tests/sql/cluster.sh run ' + sys.argv[0])
    for name, folder in programs.items():
        chain.PROGRAMS[name] = os.path.join(args.build, folder, name)
    with tempfile.TemporaryDirectory(prefix='oneway-perf-', dir=args.directory) as directory:
        sys.exit(overload(args, directory))


def overload(args, directory):
    rate = args.rate
    say(f'{rate:.0f} flows/s, max-lag {args.max_lag}, {args.partitions} partitions, at most {args.brake} samples/s')
    database = chain.Database().migrate()
    if args.brake:
        database.query(SLOW.format(args.brake))
    run = Run(args, directory)
    run.begin(database, rate)
    watch = Watch(database, run.correlator.process.pid)
    watch.watch(60 * args.minutes)
    if args.falls:
        run.sender.end(signal.SIGINT)
        run.send(rate / 10)
        watch.watch(60 * args.falls)
    run.end()
    shares = database.query('SELECT part, log_offset, keep_ppm FROM owd.share_use ORDER BY part, log_offset')
    final = database.final_rows()
    same = run.replay('same', shares).final_rows(final[0]) == final
    worst, off = report(watch, run.records(shares), database, run.replay('whole', []))
    say(f'shares noted: {", ".join(str(int(row.split("|")[2]) / 1e4) for row in shares)} %')
    order = database.query('SELECT count (*) FROM (SELECT ts < lag (ts) OVER w OR seq <> lag (seq) OVER w + 1 AS bad FROM owd.samples'
                           ' WINDOW w AS (PARTITION BY part ORDER BY seq)) s WHERE bad')[0]
    say(f'{final[1]} samples final: {"the same" if same else "OTHERS"} from a replay with these; {order} out of order')
    say(f'largest error of a minute {100 * worst:.2f} %, of all {100 * off:.2f} %')
    return 0 if same and order == '0' and off < 0.02 else 1


if __name__ == '__main__':
    main()
