#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Live, seen by a reader of the database: when samples come, in which order, and what the watermark promised.

And with twice as much as can be worked off: whole flows go, what is told of them holds, and a replay says the same.

Environment: OWD_TEST_SEED, OWD_TEST_LIVE seconds of live traffic (default 12).
"""
import math
import os
import random
import signal
import time

import chain
from chain import say

SEED = int(os.environ.get('OWD_TEST_SEED', '0')) or random.SystemRandom().randrange(1, 2**32)
LIVE_S = float(os.environ.get('OWD_TEST_LIVE', '12'))
# blocks are small, and commits many, so that no step of the correlator takes long
QUIET = {'ONEWAY_COLLECTOR_METRICS': '', 'ONEWAY_LOG_PARTITIONS': '1', 'ONEWAY_LOG_BLOCK_SIZE': '8 KiB'}

# A database that takes so many samples a second and no more, whatever the machine can do.
CAPACITY = 2000
SLOW = f"""
CREATE FUNCTION public.slow () RETURNS trigger LANGUAGE plpgsql AS
'BEGIN PERFORM pg_sleep ((NEW.seq - OLD.seq) / {CAPACITY}.0); RETURN NEW; END';
CREATE TRIGGER slow BEFORE UPDATE ON owd.partition FOR EACH ROW EXECUTE FUNCTION public.slow ()
"""
FLOWS = 1800  # a second: 4000 samples
MAX_LAG_S = 6
OVERLOAD = {'ONEWAY_CORRELATOR_MAX_LATENCY': '4 s', 'ONEWAY_CORRELATOR_MAX_LAG': f'{MAX_LAG_S} s', 'ONEWAY_CORRELATOR_COMMIT_INTERVAL': '2 ms',
            'ONEWAY_CORRELATOR_WORKERS': '1'}


class Reader:
    """Looks again and again, each time at one snapshot: marks of the partitions, and samples that were not there before."""

    def __init__(self, database):
        self.database = database
        self.began = time.time()   # of the last look: what it did not see came later
        self.marks = {}            # by partition: horizon, watermark
        self.last = {}             # by partition: seq, ts
        self.delays = []           # seconds from packet until it was not there yet, less the horizon
        self.faults = []

    def look(self):
        before, self.began = self.began, time.time()
        rows = self.database.query(
            "SELECT 'mark', part, horizon_ns, watermark_ns, 0 FROM owd.partition WHERE watermark_ns IS NOT NULL UNION ALL"
            " SELECT 'sample', s.part, s.seq, (extract (epoch FROM s.ts) * 1000000)::bigint * 1000, 0 FROM owd.sample s JOIN (VALUES "
            + ', '.join(f'({p}, {self.last.get(p, (0, 0))[0]})' for p in range(64))
            + ') k (part, seq) ON k.part = s.part AND s.seq > k.seq ORDER BY 1, 2, 3')
        earlier, samples = dict(self.marks), []
        for row in rows:
            what, part, x, y, _ = row.split('|')
            if what == 'sample':
                samples.append((int(part), int(x), int(y)))
                continue
            if int(y) < self.marks.get(int(part), (0, 0))[1]:
                self.faults.append(f'partition {part}: watermark from {self.marks[int(part)][1]} back to {y}')
            self.marks[int(part)] = int(x), int(y)
        for part, seq, ts in samples:
            self.take(part, seq, ts, before, earlier)

    def take(self, part, seq, ts, before, earlier):
        last_seq, last_ts = self.last.get(part, (0, 0))
        if seq != last_seq + 1 or ts < last_ts:
            self.faults.append(f'partition {part}: {seq} at {ts} behind {last_seq} at {last_ts}')
        if part in earlier and ts + 999 <= earlier[part][1]:
            self.faults.append(f'partition {part}: {seq} at {ts} was not there when the watermark was {earlier[part][1]}')
        self.last[part] = seq, ts
        self.delays.append(before - (ts + max(earlier.get(part, (0, 0))[0], self.marks[part][0])) / 1e9)


class Delivery(chain.Case):
    def start_chain(self, database, scenario, rate, correlator):
        """A live chain. Returns what runs, the sender first."""
        log = self.path('log')
        collector = self.start('oneway-collector', '--log', log, '--listen', '127.0.0.1:0', env=QUIET)
        port = collector.wait_for_line(r'listening on UDP \S*:(\d+)')[1]
        sender = self.start('oneway-sim', scenario, '--seed', str(SEED), '--rate', str(rate), '--duration', '1h',
                            '--send', f'127.0.0.1:{port}')
        return sender, collector, self.start('oneway-correlator', '--log', log, '--db', database.conninfo, env=correlator)

    def end_chain(self, sender, collector, correlator):
        self.assertEqual(sender.end(signal.SIGINT), 0, sender.text())
        self.assertEqual(collector.end(signal.SIGTERM), 0, collector.text())
        self.assertEqual(correlator.end(signal.SIGTERM), 0, correlator.text())

    def watch(self, reader, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            reader.look()
            time.sleep(0.02)

    def test_within_the_horizon(self):
        """Absolute stamps of good clocks, so that a sample's ts is when the packet passed. From few to many: with a few
        flows a second log time moves by heartbeats alone."""
        say(f'seed {SEED}')
        for rate, enough in ((20, 50), (200, 2000)):
            with self.subTest(rate=rate):
                database = self.database().migrate()
                running = self.start_chain(database, 'quiet-ms', rate, {'ONEWAY_CORRELATOR_MAX_LATENCY': '4 s'})
                reader = Reader(database)
                self.watch(reader, LIVE_S)
                self.end_chain(*running)
                self.assertEqual(reader.faults, [])
                self.assertGreater(len(reader.delays), enough * LIVE_S / 20)
                most = sorted(reader.delays)[len(reader.delays) * 99 // 100]
                say(f'{rate} flows/s: {len(reader.delays)} samples, {most:.3f} s later than the horizon (99 %), at most '
                    f'{max(reader.delays):.3f}')
                self.assertLess(most, 1)
                self.assertLess(max(reader.delays), 1.5)  # a busy machine may stand still for a moment
            self.stack.close()
            self.setUp()

    def wait_for(self, what, seconds):
        until = time.monotonic() + seconds
        while not what():
            self.assertLess(time.monotonic(), until, 'waited in vain')
            time.sleep(0.1)

    def told(self, database, seconds):
        """Log time, share that is kept and distance to the log's end, again and again."""
        until, told = time.monotonic() + seconds, []
        while time.monotonic() < until:
            log_time, shed = map(int, database.query('SELECT log_time_ns, shed_ppm FROM owd.partition')[0].split('|'))
            if not told or log_time > told[-1][0]:
                told.append((log_time, 1 - shed / 1e6, time.time() - log_time / 1e9))
            time.sleep(0.05)
        return told

    def replay(self, log, shares):
        """The same log, read in peace, with what was noted of shares."""
        database = self.database().migrate()
        database.query('INSERT INTO owd.partition (part) VALUES (0)')
        for row in shares:
            database.query('INSERT INTO owd.share_use (part, log_offset, keep_ppm) VALUES ({}, {}, {})'.format(*row.split('|')))
        chain.run('oneway-correlator', '--log', log, '--db', database.conninfo, '--once',
                  env={**OVERLOAD, 'ONEWAY_CORRELATOR_STATE_DIRECTORY': self.path(f'state{len(shares)}')})
        return database

    def test_twice_as_much(self):
        say(f'seed {SEED}')
        database = self.database().migrate()
        database.query(SLOW)
        sender, collector, correlator = self.start_chain(database, 'quiet-ms', FLOWS, OVERLOAD)
        port = collector.wait_for_line(r'listening on UDP \S*:(\d+)')[1]
        self.wait_for(lambda: database.query('SELECT flows_kept < 1 FROM owd.status') == ['t'], 60)
        first = self.told(database, LIVE_S)
        self.assertEqual(correlator.end(signal.SIGKILL), -signal.SIGKILL)
        correlator = self.start('oneway-correlator', '--log', self.path('log'), '--db', database.conninfo, env=OVERLOAD)
        second = self.told(database, LIVE_S)
        # it falls
        self.assertEqual(sender.end(signal.SIGINT), 0, sender.text())
        sender = self.start('oneway-sim', 'quiet-ms', '--seed', str(SEED + 1), '--rate', '50', '--duration', '1h',
                            '--send', f'127.0.0.1:{port}')
        self.wait_for(lambda: database.query("SELECT flows_kept = 1 AND log_time > now() - interval '2 s' FROM owd.status")
                      == ['t'], 60)
        self.assertEqual({share for _, share, _ in self.told(database, 3)}, {1})
        self.end_chain(sender, collector, correlator)
        shares = database.query('SELECT part, log_offset, keep_ppm FROM owd.share_use ORDER BY log_offset')
        final = database.final_rows()

        same = self.replay(self.path('log'), shares)
        self.assertEqual(same.final_rows(final[0]), final)
        whole = self.replay(self.path('log'), [])
        calm = [0, 0, 0]  # while the share stood still: come, delivered, told
        for told in (first, second):
            # a packet's records come within seconds: what is told then is what its flow's fate was
            ahead = 3_000_000_000
            come = got = least = most = 0
            for a, b in zip(told, told[1:]):
                then = [s for t, s, _ in told if a[0] <= t <= b[0] + ahead]
                if b[0] + ahead > told[-1][0]:
                    break
                count = f'SELECT count (*) FROM owd.samples WHERE ts >= owd.ts_of_ns ({a[0]}) AND ts < owd.ts_of_ns ({b[0]})'
                n, m = int(whole.query(count)[0]), int(database.query(count)[0])
                if len(set(then)) == 1:
                    calm = [x + y for x, y in zip(calm, (n, m, n * then[0]))]
                come, got = come + n, got + m
                least, most = least + n * min(then), most + n * max(then)
            lag = max(lag for _, _, lag in told)
            say(f'{got} of {come} samples: {100 * got / come:.1f} %, told {100 * least / come:.1f} to {100 * most / come:.1f} %; '
                f'{lag:.1f} s behind at most')
            self.assertGreater(come, CAPACITY * LIVE_S / 2)
            self.assertLess(got, 0.95 * come)
            self.assertGreater(got, least - 0.02 * come)
            self.assertLess(got, most + 0.02 * come)
            self.assertLess(lag, 3 * MAX_LAG_S)
        self.assertGreater(calm[2], 0)
        chance = math.sqrt(4 * (1 - calm[2] / calm[0]) / calm[2])  # up to four samples of a conversation stay or go together
        say(f'while the share stood still {calm[1]} of {calm[0]}: {100 * (calm[1] / calm[2] - 1):.2f} % off what was told; by chance '
            f'{100 * chance:.2f} %')
        self.assertLess(abs(calm[1] / calm[2] - 1), 0.02 + 3 * chance)
        say(f'{len(shares)} changes of the share; {final[1]} samples final, the same replayed')


if __name__ == '__main__':
    chain.main()
