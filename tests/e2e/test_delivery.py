#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Live, seen by a reader of the database: when samples come, in which order, and what the watermark promised.

Environment: OWD_TEST_SEED, OWD_TEST_LIVE seconds of live traffic (default 20).
"""
import os
import random
import signal
import time

import chain
from chain import say

SEED = int(os.environ.get('OWD_TEST_SEED', '0')) or random.SystemRandom().randrange(1, 2**32)
LIVE_S = float(os.environ.get('OWD_TEST_LIVE', '20'))
QUIET = {'ONEWAY_COLLECTOR_METRICS': ''}


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


if __name__ == '__main__':
    chain.main()
