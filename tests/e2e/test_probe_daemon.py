#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""oneway-probe daemon: when it measures, whom, and what becomes of results. Inside cluster.sh run.

usage: test_probe_daemon.py oneway-probe=PROGRAM oneway=PROGRAM [CASE ...]
"""
import glob
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

PROGRAMS = {}


def sql(text):
    done = subprocess.run([os.path.join(os.environ['OWD_PG_BIN'], 'psql'), '-XqAt', '-v', 'ON_ERROR_STOP=1', '-c', text],
                          capture_output=True, text=True, check=True)
    return done.stdout.split()


def cluster(*args):
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../sql/cluster.sh')
    subprocess.run([script, args[0], os.environ['OWD_CLUSTER'], *args[1:]], check=True)


class Daemon(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.reflector = subprocess.Popen([PROGRAMS['oneway-probe'], 'reflect', '--listen', '127.0.0.1:0'],
                                         stderr=subprocess.PIPE, text=True)
        cls.target = '127.0.0.1:' + re.search(r':(\d+)$', cls.reflector.stderr.readline().strip()).group(1)

    @classmethod
    def tearDownClass(cls):
        cls.reflector.terminate()
        cls.reflector.communicate(timeout=20)

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix='oneway-daemon-')
        self.addCleanup(folder.cleanup)
        self.spool = folder.name + '/spool'
        self.config = folder.name + '/oneway.conf'

    def write(self, probe='', tests='', store=False):
        with open(self.config, 'w', encoding='ascii') as out:
            out.write(f'[probe]\nspool = {self.spool}\nstore = {"yes" if store else "no"}\n{probe}\n'
                      f'[targets here]\nhosts = {self.target}\n{tests}')

    def start(self):
        daemon = subprocess.Popen([PROGRAMS['oneway-probe'], 'daemon', '--config', self.config], stderr=subprocess.PIPE,
                                  text=True)
        daemon.said = []
        daemon.reader = threading.Thread(target=lambda: daemon.said.extend(iter(daemon.stderr.readline, '')))
        daemon.reader.start()
        self.addCleanup(self.stop, daemon)
        return daemon

    def stop(self, daemon, how=signal.SIGTERM):
        """Returns: all that it has said."""
        if daemon.returncode is None:
            daemon.send_signal(how)
            daemon.wait(timeout=30)
            daemon.reader.join()
            daemon.stderr.close()
        return ''.join(daemon.said)

    def wait(self, condition, seconds=20):
        end = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), end, 'too late')
            time.sleep(0.05)

    def rows(self, kind='summary'):
        lines = []
        for path in sorted(glob.glob(self.spool + '/*.jsonl')):
            with open(path, encoding='ascii') as file:
                lines += [json.loads(line) for line in file]
        return [row for row in lines if row['type'] == kind]

    @classmethod
    def child_of(cls, pid):
        return next(int(p) for p in os.listdir('/proc') if p.isdigit() and f'PPid:\t{pid}\n' in cls.status(p))

    @staticmethod
    def status(pid):
        try:
            with open(f'/proc/{pid}/status', encoding='ascii') as file:
                return file.read()
        except FileNotFoundError:
            return ''

    def runs(self):
        return sorted(row['run_ns'] for row in self.rows())

    def test_a_grid_that_restarts_do_not_move(self):
        places = {}
        for agent in ('one', 'two'):
            self.write(f'agent = {agent}\nseed = 7', '[test quick]\ntargets = here\nevery = 2 s\ncount = 5\ninterval = 10 ms\n')
            daemon = self.start()
            self.wait(lambda: len(self.runs()) >= 2)
            said = self.stop(daemon)
            self.assertIn(f'agent {agent}, seed 7', said)
            place = float(re.search(r'at second ([0-9.]+) of them', said).group(1))
            begun = len(self.runs())
            daemon = self.start()
            self.wait(lambda: len(self.runs()) > begun)
            self.stop(daemon)
            for run in self.runs():  # the start of a process in the way
                self.assertLess((run / 1e9 - place) % 2, 0.9)
            for row in self.rows():
                self.assertEqual((row['test'], row['agent'], row['answered']), ('quick', agent, 5))
            places[agent] = place
            for path in glob.glob(self.spool + '/*'):
                os.unlink(path)
        self.assertNotEqual(places['one'], places['two'])

    def test_without_end_and_killed(self):
        self.write(tests='[test always]\ntargets = here\nevery = 0\ninterval = 20 ms\n')
        daemon = self.start()
        self.wait(lambda: len(self.rows('packet')) > 50)
        child = self.child_of(daemon.pid)
        os.kill(child, signal.SIGKILL)
        self.wait(lambda: len({row['run_ns'] for row in self.rows('packet')}) == 2)
        said = self.stop(daemon)
        self.assertEqual(daemon.returncode, 0, said)
        self.assertIn('test always: a run has failed', said)
        self.assertEqual(len(self.rows()), 1)  # the second run ended in good order
        self.assertFalse(os.path.exists(f'/proc/{child}'))

    def test_nobody_measures_for_a_dead_daemon(self):
        self.write(tests='[test always]\ntargets = here\nevery = 0\ninterval = 20 ms\n')
        daemon = self.start()
        self.wait(lambda: self.rows('packet'))
        child = self.child_of(daemon.pid)
        self.stop(daemon, signal.SIGKILL)
        self.wait(lambda: len(self.rows()) == 1)  # it has ended in good order
        self.wait(lambda: 'State:\tR' not in self.status(child) and 'State:\tS' not in self.status(child))

    @unittest.skipUnless(os.geteuid() == 0, 'needs root')
    def test_paths_are_one_run(self):
        self.write(tests='[test way]\ntargets = near\nmethod = path-icmp\nevery = 1 s\n[targets near]\nhosts = 127.0.0.1\n'
                   'nearest = 1\nlook-every = 3 s\n')
        daemon = self.start()
        self.wait(lambda: len({r['run_ns'] for r in self.rows('route')}) >= 2)  # looked again, and went on
        self.wait(lambda: len(self.rows('route')) > 4)
        said = self.stop(daemon)
        self.assertEqual(said.count('nearest of [targets near]'), 1, said)
        self.assertNotIn('failed', said)
        self.assertEqual({(r['target'], r['seq'], len(r['hops'])) for r in self.rows('route')}, {('127.0.0.1', 0, 1)})

    def test_reload(self):
        self.write(tests='[test first]\ntargets = here\nevery = 0\ninterval = 20 ms\n[test off]\ntargets = here\nenabled = no\n')
        daemon = self.start()
        self.wait(lambda: self.rows('packet'))
        self.write(tests='[test second]\ntargets = nowhere\n')
        daemon.send_signal(signal.SIGHUP)
        self.wait(lambda: any('settings stay' in line for line in daemon.said))
        self.write(tests='[test second]\ntargets = here\nevery = 0\nmethod = tcp-connect\ninterval = 20 ms\n')
        daemon.send_signal(signal.SIGHUP)
        self.wait(lambda: any(row['test'] == 'second' for row in self.rows('packet')))
        said = self.stop(daemon)
        self.assertIn('there is no section [targets nowhere]', said)
        self.assertNotIn('test off', said)
        self.assertEqual([row['test'] for row in self.rows()], ['first', 'second'])

    def test_names_that_are_not_known(self):
        self.write(tests='[targets odd]\nhosts = no.such.host.invalid;' + self.target + '\n[targets lost]\nhosts = '
                   'no.such.host.invalid\n[test odd]\ntargets = odd\nevery = 1 s\ncount = 3\n'
                   '[test lost]\ntargets = lost\nevery = 1 s\n')
        daemon = self.start()
        self.wait(lambda: len(self.rows()) >= 2)
        said = self.stop(daemon)
        self.assertEqual(daemon.returncode, 0, said)
        self.assertEqual({(row['test'], row['target'], row['answered']) for row in self.rows()}, {('odd', self.target, 3)})
        self.assertEqual(said.count('test lost: a run has failed'), 1)
        self.assertNotIn('test odd: a run', said)

    def test_the_spool_is_bounded(self):
        os.mkdir(self.spool)
        for k in range(4):
            with open(f'{self.spool}/{k}-1-0.jsonl', 'w', encoding='ascii') as out:
                out.write(' ' * 400000)
        self.write('spool-size = 1 MiB', '[test quick]\ntargets = here\nevery = 365 d\n')
        daemon = self.start()
        self.wait(lambda: len(os.listdir(self.spool)) == 2)
        self.assertEqual(sorted(os.listdir(self.spool)), ['2-1-0.jsonl', '3-1-0.jsonl'])
        said = self.stop(daemon)
        self.assertIn('is full: the oldest results are given up', said)
        self.assertIn('800000 bytes', said)

    def test_database_away_and_back(self):
        sql('DROP SCHEMA IF EXISTS owd CASCADE')
        subprocess.run([PROGRAMS['oneway'], 'db', 'migrate'], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.write(tests='[test quick]\ntargets = here\nevery = 0\ninterval = 20 ms\nreports = no\n', store=True)
        daemon = self.start()
        self.wait(lambda: int(sql('SELECT count(*) FROM owd.probe_results')[0]) > 50)
        cluster('stop')
        try:
            self.wait(lambda: any('results wait in' in line for line in daemon.said))
            self.wait(lambda: len(self.rows('packet')) > 150)
        finally:
            cluster('start')
        self.wait(lambda: any('the database is back' in line for line in daemon.said))
        said = self.stop(daemon)
        self.assertEqual(said.count('results wait in'), 1, said)
        self.assertEqual(glob.glob(self.spool + '/*.jsonl'), [])
        first, last, n, tests = sql("SELECT min(seq) || ' ' || max(seq) || ' ' || count(*) || ' ' || count(DISTINCT test) "
                                    'FROM owd.probe_results')
        self.assertEqual((first, tests), ('0', '1'))
        self.assertEqual(int(n), int(last))  # every one, but number 1, which is never sent

    def test_routes_in_the_database(self):
        sql('DROP SCHEMA IF EXISTS owd CASCADE')
        subprocess.run([PROGRAMS['oneway'], 'db', 'migrate'], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        key = {'agent': 'a', 'run_ns': 1795330014000000000, 'target': 't:33434', 'method': 'path-udp'}
        flow = {'proto': 17, 'src': '192.0.2.1', 'dst': '192.0.2.9', 'sport': 20000, 'dport': 33434}

        def route(seq, begin, end, *hops):
            return {'type': 'route', **key, **flow, 'size': 0, 'seq': seq, 'from_ns': key['run_ns'] + begin * 10**9,
                    'to_ns': key['run_ns'] + end * 10**9, 'reached': True,
                    'hops': [{'ttl': k, 'addr': h, 'rtt_ms': k} if h else {'ttl': k} for k, h in enumerate(hops, 1)]}

        lines = [route(0, 0, 10, '192.0.2.2', None, '192.0.2.9'), route(0, 0, 20, '192.0.2.2', '192.0.2.3', '192.0.2.9'),
                 route(1, 31, 31, '192.0.2.2', None, '192.0.2.9'),
                 {'type': 'route_change', **key, 'seq': 1, 'lo_ns': key['run_ns'] + 29 * 10**9, 'hi_ns': key['run_ns'] + 30 * 10**9,
                  'trigger': 'ttl', 'n_before': 16, 'n_after': 3, 'rtt_before_ms': 3, 'rtt_after_ms': 4.5}]
        text = '\n'.join(json.dumps(line) for line in lines)
        for batch in (text, text, json.dumps(lines[0])):  # again, and an older line late
            sql(f"SELECT owd.load_probe_lines ('{batch}')")
        rows = sql("SELECT jsonb_agg (to_jsonb (r) ORDER BY seq)::text FROM (SELECT src, dst, mode, seq, n_hops, hops, trigger, "
                   'step_ms, extract (epoch FROM upper (valid) - lower (valid)) AS held, lower (valid) - changed_before '
                   'AS behind FROM owd.probe_routes) r')
        first, second = json.loads(' '.join(rows))
        self.assertEqual((first['src'], first['dst'], first['mode'], first['seq'], first['n_hops'], first['held']),
                         ('a', 't:33434', 'path-udp', 0, 3, 20))
        self.assertEqual((first['hops'], first['trigger']), (['192.0.2.2', '192.0.2.3', '192.0.2.9'], None))
        self.assertEqual((second['hops'], second['trigger'], second['step_ms'], second['behind']),
                         (['192.0.2.2', None, '192.0.2.9'], 'ttl', 1.5, '00:00:01'))
        if os.geteuid() != 0:
            return
        done = subprocess.run([PROGRAMS['oneway-probe'], 'path', '-i', '200ms', '-c', '3', '--db', '', '--agent', 'here',
                               '127.0.0.1'], capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(sql("SELECT dst, hops FROM owd.probe_routes WHERE src = 'here'"), ['127.0.0.1:33434|{127.0.0.1}'])
        sql("UPDATE owd.probe_route SET from_ns = from_ns - 2 * 86400 * 10^9::bigint, to_ns = to_ns - 2 * 86400 * 10^9::bigint "
            "WHERE agent = 'a' AND seq = 0")
        sql("SELECT owd.drop_probe_days (interval '36 hours')")  # counted from the newest
        self.assertEqual(sql("SELECT seq FROM owd.probe_routes WHERE src = 'a' ORDER BY seq"), ['1'])

    def test_settings_are_checked(self):
        for tests, why in (('', 'no enabled section'), ('[test x]\ntargets = here\nmethod = ping\n', 'none of stamp'),
                           ('[test x]\ntargets = here\nenabled = no\n', 'no enabled section')):
            self.write(tests=tests)
            done = subprocess.run([PROGRAMS['oneway-probe'], 'daemon', '--config', self.config], capture_output=True,
                                  text=True, timeout=20, check=False)
            self.assertEqual(done.returncode, 2)
            self.assertIn(why, done.stderr)


if __name__ == '__main__':
    for argument in [a for a in sys.argv if '=' in a]:
        name, path = argument.split('=', 1)
        PROGRAMS[name] = os.path.abspath(path)
        sys.argv.remove(argument)
    os.environ.pop('NOTIFY_SOCKET', None)
    unittest.main(verbosity=2)
