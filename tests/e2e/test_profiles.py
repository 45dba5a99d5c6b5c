#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Profiles in force: made by the profiler, noticed by the correlator, used from the same place of the log by whoever
replays it.

Environment: OWD_TEST_SEED.
"""
import glob
import os
import random
import shutil
import signal
import time

import chain
from chain import say
from test_exactly_once import split_capture

SEED = int(os.environ.get('OWD_TEST_SEED', '0')) or random.SystemRandom().randrange(1, 2**32)
FAST = {'ONEWAY_CORRELATOR_COMMIT_INTERVAL': '50 ms'}


class Profiles(chain.Case):
    def setUp(self):
        super().setUp()
        say(f'seed {SEED}')
        self.log = self.path('log')

    def simulate(self, seconds, rate):
        chain.run('oneway-sim', 'quiet', '--seed', str(SEED), '--duration', f'{seconds}s', '--rate', str(rate),
                  '--write', self.path('all.pcap'))

    def read(self, capture):
        chain.run('oneway-collector', '--read', capture, '--log', self.log)

    def profile(self, database):
        chain.run('oneway-profiler', '--log', self.log, '--db', database.conninfo)

    def correlate(self, database):
        chain.run('oneway-correlator', '--log', self.log, '--db', database.conninfo, '--once')

    def forget(self):
        for path in glob.glob(self.log + '/state/*.checkpoint'):
            os.unlink(path)

    def first_minute(self, database):
        return float(database.query("SELECT avg (hi_ms - lo_ms) FROM owd.samples WHERE ts < (SELECT min (ts) FROM"
                                    " owd.samples) + interval '1 minute'")[0])

    def test_the_first_minute_is_narrower(self):
        self.simulate(2400, 5)
        plain, profiled = self.database().migrate(), self.database().migrate()
        self.read(self.path('all.pcap'))
        self.correlate(plain)
        self.forget()
        self.profile(profiled)
        self.correlate(profiled)
        before, after = self.first_minute(plain), self.first_minute(profiled)
        say(f'mean width of the first minute: {before:.1f} ms, with profiles {after:.1f} ms')
        self.assertLess(after, before / 2)
        self.assertGreater(profiled.samples(), 0.98 * plain.samples())
        self.assertEqual(plain.query('SELECT count (profile_id) FROM owd.samples'), ['0'])
        self.assertEqual(profiled.query("SELECT count (*) FROM owd.samples s LEFT JOIN owd.profiles p USING (profile_id)"
                                        " WHERE p.name IS DISTINCT FROM s.dst"), ['0'])
        # both results: as claimed (owd_ms + bias_ms), and corrected
        self.assertEqual(profiled.query('SELECT count (*) FROM owd.samples WHERE flags & 32 > 0'), ['0'])

    def test_noticed_live_and_replayed_at_the_same_place(self):
        self.simulate(400, 20)
        database = self.database().migrate()
        split_capture(self.path('all.pcap'), self.path('1.pcap'), self.path('2.pcap'))
        self.read(self.path('1.pcap'))
        running = self.start('oneway-correlator', '--log', self.log, '--db', database.conninfo, env=FAST)
        until = time.monotonic() + 60
        while database.samples() < 2000 and time.monotonic() < until:
            time.sleep(0.1)
        self.assertEqual(database.query('SELECT count (*) FROM owd.profile_use'), ['0'])
        began = time.monotonic()
        self.profile(database)
        while (database.query('SELECT count (*) = (SELECT count (*) FROM owd.partition) FROM owd.profile_use') != ['t']
               and time.monotonic() < began + 60):
            time.sleep(0.1)
        seconds = time.monotonic() - began
        say(f'{seconds:.1f} s from the start of the profiler until all partitions use its profiles')
        self.assertLess(seconds, 45)  # by notice: they are looked for each minute only
        self.assertEqual(running.end(signal.SIGTERM), 0)
        self.read(self.path('2.pcap'))

        # one goes on from its checkpoints, the other replays all
        shutil.copytree(self.log, self.path('replayed'))
        database.close()
        replayed = self.database()
        chain.Database.admin(f'DROP DATABASE {replayed.name}')
        chain.Database.admin(f'CREATE DATABASE {replayed.name} TEMPLATE {database.name} OWNER {os.environ["PGUSER"]}')
        self.correlate(database)
        self.log = self.path('replayed')
        self.forget()
        self.correlate(replayed)
        self.assertGreater(int(database.query('SELECT count (profile_id) FROM owd.samples')[0]), 1000)
        self.assertGreater(int(database.query('SELECT count (*) FROM owd.samples WHERE profile_id IS NULL')[0]), 1000)
        self.assert_same(replayed, database)


if __name__ == '__main__':
    chain.main()
