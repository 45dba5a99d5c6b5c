#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The correlator killed in the middle of its work: the tables must equal those of an undisturbed run, row for row.

A kill counts if samples or offsets were committed by that very run before it, and log was left after it. The database
is made slow (its marks take a while to write), so that kills fall into transactions too.

Environment: OWD_TEST_SEED, OWD_TEST_SECONDS of traffic (default 600), OWD_TEST_KILLS (default 20).
"""
import glob
import os
import random
import struct
import tempfile
import time

import chain
from chain import say

SEED = int(os.environ.get('OWD_TEST_SEED', '0')) or random.SystemRandom().randrange(1, 2**32)
SECONDS = int(os.environ.get('OWD_TEST_SECONDS', '600'))
KILLS = int(os.environ.get('OWD_TEST_KILLS', '20'))

# some paths have more samples than that in a minute: which ones are kept must not depend on anything either
RAW_LIMIT = 100
RAW = {'ONEWAY_DATABASE_RAW_SAMPLES_PER_MINUTE': str(RAW_LIMIT)}
FAST = {**RAW, 'ONEWAY_CORRELATOR_COMMIT_INTERVAL': '1 ms', 'ONEWAY_CORRELATOR_CHECKPOINT_INTERVAL': '30 ms'}

SLOW_MARKS = """
CREATE FUNCTION public.slow () RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep (0.02); RETURN NEW; END';
CREATE TRIGGER slow BEFORE UPDATE ON owd.partition FOR EACH ROW EXECUTE FUNCTION public.slow ()
"""


def simulate(path, seconds, rate):
    chain.run('oneway-sim', 'four-sites', '--seed', str(SEED), '--duration', f'{seconds}s', '--rate', str(rate),
              '--write', path)


def split_capture(path, first, second):
    """The first and second half of a capture's packets."""
    with open(path, 'rb') as f:
        data = f.read()
    at, ends = 24, []
    while at < len(data):
        at += 16 + struct.unpack_from('<I', data, at + 8)[0]
        ends.append(at)
    middle = ends[len(ends) // 2]
    for name, body in ((first, data[24:middle]), (second, data[middle:])):
        with open(name, 'wb') as f:
            f.write(data[:24] + body)


def arguments(log, database):
    return '--verbose', '--log', log, '--db', database.conninfo


def correlate(log, database, env=None):
    """Undisturbed. Returns what it said."""
    return chain.run('oneway-correlator', *arguments(log, database), '--once', env={**RAW, **(env or {})})


class Counts:
    def __init__(self):
        self.landed = self.early = self.loaded = self.left_aside = 0

    def read(self, text):
        self.loaded += text.count(': loaded; ')
        self.left_aside += text.count(': left aside;')


class ExactlyOnce(chain.Case):
    @classmethod
    def setUpClass(cls):
        say(f'seed {SEED}')
        cls.made = tempfile.TemporaryDirectory(prefix='owd-chain-')
        cls.capture = cls.made.name + '/all.pcap'
        cls.whole = cls.made.name + '/log'
        simulate(cls.capture, SECONDS, 30)
        chain.run('oneway-collector', '--read', cls.capture, '--log', cls.whole)
        cls.truth = chain.Database()
        correlate(cls.whole, cls.truth, {'ONEWAY_CORRELATOR_WORKERS': '1'})
        cls.end = cls.truth.progress()[0]

    @classmethod
    def tearDownClass(cls):
        cls.truth.close()
        cls.made.cleanup()

    def setUp(self):
        super().setUp()
        self.random = random.Random(SEED)
        self.counts = Counts()
        self.began = time.monotonic()
        self.log = self.whole
        self.delete_checkpoints()

    def correlate(self, database, env=None):
        self.counts.read(correlate(self.log, database, env))

    def slow_database(self):
        database = self.database().migrate()
        database.query(SLOW_MARKS)
        return database

    def kill_after(self, database, wanted, end, once=True, env=None):
        """Starts the correlator and kills it a moment after it has committed `wanted` bytes of log. TRUE: it counts."""
        before = database.progress()[0]
        env = {**FAST, 'ONEWAY_CORRELATOR_WORKERS': str(self.random.choice((1, 2, 4))), **(env or {})}
        running = self.start('oneway-correlator', *arguments(self.log, database), *(['--once'] if once else []), env=env)
        until = time.monotonic() + 60
        while running.alive() and database.progress()[0] - before < wanted and time.monotonic() < until:
            time.sleep(0.001)
        time.sleep(self.random.uniform(0, 0.02))
        status = running.end(9)
        self.counts.read(running.text())
        after = database.progress()[0]
        counts = status == -9 and before < after < end
        self.counts.landed += counts
        return counts

    def kill_early(self, database):
        """Kills at any instant of the start: connecting, claiming, replaying."""
        running = self.start('oneway-correlator', *arguments(self.log, database), '--once', env=FAST)
        time.sleep(self.random.uniform(0, 0.3))
        running.end(9)
        self.counts.read(running.text())
        self.counts.early += 1

    def kill_often(self, database, end, kills, once=True, between=lambda i: None):
        """`kills` kills that count, spread over what is left of the log."""
        for i in range(2 * kills + 10):
            if kills == 0:
                return
            left = end - database.progress()[0]
            between(i)
            kills -= self.kill_after(database, self.random.uniform(0.1, 1) * left / (kills + 1), end, once)
        self.fail(f'the log was worked off with {kills} kills still to come')

    def report(self, what, database):
        c = self.counts
        say(f'{what}: {database.samples()} samples, {c.landed} kills that count, {c.early} while starting, '
            f'checkpoints: {c.loaded} loaded, {c.left_aside} left aside; {time.monotonic() - self.began:.1f} s')

    def checkpoints(self):
        return glob.glob(self.log + '/state/*.checkpoint')

    def delete_checkpoints(self):
        for path in self.checkpoints():
            os.unlink(path)

    # ---- the tests ------------------------------------------------------------------------------

    def test_any_number_of_workers(self):
        kept, excess = map(int, self.truth.query('SELECT sum (seq), sum (excess) FROM owd.partition')[0].split('|'))
        self.assertEqual(kept, self.truth.samples())
        self.assertGreater(min(kept, excess), 5 * SECONDS)
        self.assertGreater(kept + excess, 50 * SECONDS)
        rolled = self.truth.query('SELECT coalesce (sum (n), 0) FROM (SELECT unnest (n) AS n FROM owd.rollup WHERE width = 60) b')
        self.assertGreater(int(rolled[0]), (kept + excess) // 2)
        for workers in '2', '4':
            database = self.database()
            self.correlate(database, {'ONEWAY_CORRELATOR_WORKERS': workers})
            self.assert_same(database, self.truth)
        self.report('1, 2, 4 workers', database)

    def test_raw_limit_changes_no_rollup(self):
        """No path has more raw samples in a minute than told, outliers aside; bins are those of all samples."""
        database = self.database()
        self.correlate(database, {'ONEWAY_DATABASE_RAW_SAMPLES_PER_MINUTE': '0'})
        rows = 'SELECT ts, src, dst, kind, flow, owd_ms FROM owd.samples'
        every, kept = (set(d.query(rows)) for d in (database, self.truth))
        self.assertLess(kept, every)
        self.assertEqual(database.digest('delivered'), self.truth.digest('delivered'))
        most = self.truth.query('SELECT max (n) FROM (SELECT count (*) FILTER (WHERE flags & 64 = 0) AS n FROM owd.samples'
                                " GROUP BY src, dst, date_trunc ('minute', ts)) m")
        self.assertLessEqual(int(most[0]), RAW_LIMIT)
        left = self.truth.query(f'SELECT sum (b.kept) / sum (least (b.n, {RAW_LIMIT})) FROM owd.rollup r,'
                                ' unnest (r.n, coalesce (r.kept, r.n)) b (n, kept) WHERE r.width = 60')
        self.assertGreater(float(left[0]), 0.75)
        self.report('limited', self.truth)

    def test_killed_while_working_off_a_log(self):
        database = self.slow_database()
        final = []

        def between(i):
            if i % 5 == 4:
                final.append(database.final_rows())
                self.kill_early(database)

        self.kill_often(database, self.end, KILLS, between=between)
        self.correlate(database)
        self.assert_same(database, self.truth)
        self.assertGreater(self.counts.loaded, 0, 'no restart found a checkpoint')
        for row in final:  # what a reader was told to be final has stayed
            if row[0] != '':
                self.assertEqual(self.truth.final_rows(row[0]), row)
        self.report('killed', database)

    def test_checkpoints_deleted_and_damaged(self):
        database = self.slow_database()

        def spoil(i):
            for path in self.checkpoints():
                if i % 3 == 0:
                    os.unlink(path)
                    continue
                with open(path, 'r+b') as f:
                    size = os.path.getsize(path)
                    if self.random.random() < 0.3:
                        f.truncate(self.random.randrange(size))
                    else:
                        f.seek(self.random.randrange(min(size, 500)))  # where sizes stand
                        f.write(b'\xff\xff\xff\x7f')

        self.kill_often(database, self.end, KILLS // 4, between=spoil)
        spoil(1)
        self.correlate(database)
        self.assert_same(database, self.truth)
        self.assertGreater(self.counts.left_aside, 0, 'no damaged checkpoint was met')
        self.report('damaged checkpoints', database)

    def test_killed_while_live(self):
        database = self.slow_database()
        self.kill_often(database, self.end, KILLS // 4, once=False)
        self.correlate(database)
        self.assert_same(database, self.truth)
        self.report('live', database)

    def test_two_databases_at_once(self):
        env = {**FAST, 'ONEWAY_CORRELATOR_CHECKPOINT_INTERVAL': '1 ms'}
        databases = [self.database().migrate() for _ in range(2)]
        programs = [self.start('oneway-correlator', *arguments(self.log, d), '--once', env=env) for d in databases]
        for database, program in zip(databases, programs):
            self.assertEqual(program.end(), 0, program.text())
            self.assertEqual(program.warnings(), [])
            self.assert_same(database, self.truth)
        self.report('two databases', databases[0])

    def test_log_that_grows_between(self):
        """--once delivers what still waits, then the log goes on. What that has changed in one database must not
        depend on restarts, nor reach another database through a checkpoint."""
        halves = self.path('1.pcap'), self.path('2.pcap')
        simulate(self.path('short.pcap'), 120, 60)
        split_capture(self.path('short.pcap'), *halves)
        self.log = self.path('log')
        smooth, killed, other, truth = self.database(), self.slow_database(), self.slow_database(), self.database()
        chain.run('oneway-collector', '--read', halves[0], '--log', self.log)
        self.correlate(smooth)
        self.correlate(killed)
        chain.run('oneway-collector', '--read', halves[1], '--log', self.log)
        self.correlate(truth, {'ONEWAY_CORRELATOR_STATE_DIRECTORY': self.path('state')})
        end = truth.progress()[0]

        # checkpoints are all of the middle, and stay it
        never = {'ONEWAY_CORRELATOR_CHECKPOINT_INTERVAL': '1 d'}
        self.assertTrue(self.kill_after(other, 0.9 * end, end, env=never))
        before = self.counts.loaded
        self.correlate(other, never)
        self.assertGreater(self.counts.loaded, before, 'no checkpoint of the other database was met')
        self.assert_same(other, truth)

        self.delete_checkpoints()
        self.correlate(smooth)
        self.delete_checkpoints()
        self.kill_often(killed, end, 2)
        self.delete_checkpoints()
        self.correlate(killed)
        self.assert_same(killed, smooth)
        self.assertNotEqual(smooth.digest('samples'), truth.digest('samples'), 'the early end changed nothing')
        self.report('growing log', smooth)


if __name__ == '__main__':
    chain.main()
