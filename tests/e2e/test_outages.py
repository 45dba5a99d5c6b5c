#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Parts of the chain go away under live load and come back: nothing is lost, and the table is that of an undisturbed
run over the same log, for all rows at or before the watermark.

Environment: OWD_TEST_SEED, OWD_TEST_AWAY seconds that an outage lasts (default 2).
"""
import glob
import os
import random
import re
import signal
import subprocess
import time

import chain
from chain import say

SEED = int(os.environ.get('OWD_TEST_SEED', '0')) or random.SystemRandom().randrange(1, 2**32)
AWAY_S = float(os.environ.get('OWD_TEST_AWAY', '2'))

# flows that a FIN ends come at once: enough for samples within seconds
LIVE = {'ONEWAY_CORRELATOR_MAX_LATENCY': '2 s', 'ONEWAY_CORRELATOR_CHECKPOINT_INTERVAL': '1 s',
        'ONEWAY_COLLECTOR_METRICS': ''}

AWAY = 'the log waits'
BACK = 'the database is back'


def cluster(*args):
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../sql/cluster.sh')
    subprocess.run([script, args[0], os.environ['OWD_CLUSTER'], *args[1:]], check=True)


class Outages(chain.Case):
    def setUp(self):
        super().setUp()
        self.random = random.Random(SEED)
        self.log = self.path('log')
        self.began = time.monotonic()

    def start_collector(self, port=0):
        """The running collector and its port."""
        collector = self.start('oneway-collector', '--log', self.log, '--listen', f'127.0.0.1:{port}', env=LIVE)
        return collector, collector.wait_for_line(r'listening on UDP \S*:(\d+)')[1]

    def start_sender(self, port, scenario='triangle'):
        return self.start('oneway-sim', scenario, '--seed', str(SEED), '--rate', '500', '--duration', '1h',
                          '--send', f'127.0.0.1:{port}')

    def start_correlator(self, database, *args):
        return self.start('oneway-correlator', '--log', self.log, '--db', database.conninfo, *args, env=LIVE)

    def log_bytes(self):
        return sum(os.path.getsize(os.path.join(folder, name))
                   for folder, _, names in os.walk(self.log) for name in names if name.endswith('.seg'))

    def wait_for(self, what, seconds=30):
        until = time.monotonic() + seconds
        while not what():
            self.assertLess(time.monotonic(), until, 'waited in vain')
            time.sleep(0.05)

    def database_gone(self, database, mode):
        """Stopped, absent for a while, started again. Meanwhile the log goes on."""
        before = self.log_bytes()
        database.close()
        cluster('stop', mode)
        time.sleep(AWAY_S)
        self.assertGreater(self.log_bytes(), before)
        cluster('start')

    def compare(self, database, collector, sender, correlator):
        """Ends everything in order. Returns rows and seconds until the last was there."""
        self.assertEqual(sender.end(signal.SIGINT), 0, sender.text())
        self.assertEqual(collector.end(signal.SIGTERM), 0, collector.text())
        began = time.monotonic()
        truth = self.database()
        chain.run('oneway-correlator', '--log', self.log, '--db', truth.conninfo, '--once', env=LIVE)
        end = truth.progress()[0]
        self.wait_for(lambda: database.progress()[0] == end)
        caught_up = time.monotonic() - began
        self.assertTrue(correlator.alive(), correlator.text())
        self.assertEqual(correlator.end(signal.SIGTERM), 0, correlator.text())
        final = database.final_rows()
        self.assertEqual(final, truth.final_rows(final[0]))
        self.assertGreater(int(final[1]), 1000)
        return int(final[1]), caught_up

    # ---- the tests ------------------------------------------------------------------------------

    def test_database_away(self):
        say(f'seed {SEED}')
        collector, port = self.start_collector()
        sender = self.start_sender(port)
        database = self.database().migrate()
        correlator = self.start_correlator(database)
        self.wait_for(lambda: database.samples() > 100)
        self.wait_for(lambda: glob.glob(self.log + '/state/*.checkpoint'))  # keeping up is no reason to make none
        for i, mode in enumerate(('immediate', 'fast')):
            self.database_gone(database, mode)
            rows = database.samples()
            self.wait_for(lambda: database.samples() > rows + 100)
            self.wait_for(lambda back=i + 1: correlator.text().count(BACK) == back)  # for every worker
        rows, caught_up = self.compare(database, collector, sender, correlator)
        self.assertIn(' 0 dropped by the kernel', collector.text())
        for line in (AWAY, BACK):
            self.assertEqual(correlator.text().count(line), 2, correlator.text())
        self.assertEqual(len(correlator.warnings()), 2, correlator.text())
        records = re.search(r'(\d+) flow records', collector.text())[1]
        say(f'database away 2 x {AWAY_S:g} s: {records} records, {rows} samples final and equal, the last one '
            f'{caught_up:.1f} s after the end; {time.monotonic() - self.began:.1f} s')

    def test_collector_killed(self):
        """With readers at its heels: torn tails, and offsets that jump. v5, as it needs no template."""
        collector, port = self.start_collector()
        sender = self.start_sender(port, 'quiet-v5')
        database = self.database().migrate()
        correlator = self.start_correlator(database)
        kills = 4
        for _ in range(kills):
            before = self.log_bytes()
            self.wait_for(lambda: self.log_bytes() > before)
            time.sleep(self.random.uniform(0.3, 1))
            self.assertEqual(collector.end(signal.SIGKILL), -signal.SIGKILL)
            collector, _ = self.start_collector(port)
        self.wait_for(lambda: database.samples() > 1000)
        rows, caught_up = self.compare(database, collector, sender, correlator)
        self.assertEqual(correlator.warnings(), [])
        say(f'collector killed {kills} times: {rows} samples final and equal, the last one {caught_up:.1f} s after '
            f'the end; {time.monotonic() - self.began:.1f} s')

    def test_database_not_there_yet(self):
        """The correlator comes first, and makes the schema once it can. Told to end while it waits, it ends."""
        collector, port = self.start_collector()
        sender = self.start_sender(port)
        database = self.database()
        cluster('stop', 'fast')
        try:
            correlator, once, ended = (self.start_correlator(database, *args) for args in ([], ['--once'], []))
            for program in correlator, once, ended:
                program.wait_for_line('waiting for it')
            self.assertEqual(once.end(signal.SIGTERM), 1, once.text())
            self.assertEqual(ended.end(signal.SIGTERM), 0, ended.text())
        finally:
            cluster('start')
        correlator.wait_for_line('the database is there')
        self.wait_for(lambda: database.samples() > 1000)
        # in its midst an end is an end, too
        database.close()
        cluster('stop', 'fast')
        try:
            correlator.wait_for_line(AWAY)
            self.assertEqual(correlator.end(signal.SIGTERM), 0, correlator.text())
        finally:
            cluster('start')
        correlator = self.start_correlator(database)
        self.compare(database, collector, sender, correlator)


if __name__ == '__main__':
    chain.main()
