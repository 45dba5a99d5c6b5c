#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Results of oneway-probe in the database: directly, through a spool, again. Inside cluster.sh run.

usage: test_probe_results.py oneway-probe=PROGRAM oneway=PROGRAM [CASE ...]
"""
import glob
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

PROGRAMS = {}
NOWHERE = 'host=/nonexistent'


def sql(text):
    """Rows of texts."""
    done = subprocess.run([os.path.join(os.environ['OWD_PG_BIN'], 'psql'), '-XqAt', '-F', '\t', '-v',
                           'ON_ERROR_STOP=1', '-c', text], capture_output=True, text=True, check=True)
    return [line.split('\t') for line in done.stdout.splitlines()]


class Reflector:
    """A running reflector on a free port of loopback."""

    def __enter__(self):
        self.process = subprocess.Popen([PROGRAMS['oneway-probe'], 'reflect', '--listen', '127.0.0.1:0'],
                                        stderr=subprocess.PIPE, text=True)
        found = None
        while found is None:
            line = self.process.stderr.readline()
            assert line, 'no reflector'
            found = re.search(r'answering on UDP .*:(\d+)$', line)
        self.target = f'127.0.0.1:{found.group(1)}'
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.communicate(timeout=20)


def probe(*args):
    done = subprocess.run([PROGRAMS['oneway-probe'], *args], capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


class Results(unittest.TestCase):

    def setUp(self):
        sql('DROP SCHEMA IF EXISTS owd CASCADE')
        subprocess.run([PROGRAMS['oneway'], 'db', 'migrate'], check=True, stdout=subprocess.DEVNULL)
        folder = tempfile.TemporaryDirectory(prefix='oneway-spool-')
        self.addCleanup(folder.cleanup)
        self.spool = folder.name

    def spooled(self):
        return sorted(glob.glob(self.spool + '/*.jsonl'))

    def test_table_holds_what_is_printed(self):
        with Reflector() as there:
            status, out, err = probe('send', '--db', '', '-f', 'json', '-c', '120', '-i', '10ms', '--agent', 'here "1"',
                                     '--test', 'loop', '--tlvs', 'cos', there.target)
            self.assertEqual(status, 0, err)
            packets = [json.loads(line) for line in out.splitlines()]
            summary = packets.pop()
        rows = sql('SELECT src, dst, mode, test, proto, src_addr, src_port, dst_addr, dst_port, seq, t1_ns, t2_ns, t3_ns,'
                   ' t4_ns, rtt_ms::numeric(12,6), up_ms::numeric(12,6), down_ms::numeric(12,6), up_lo_ms, up_hi_ms,'
                   ' lost, hops_up, dscp_up, flow_up, flow_down FROM owd.probe_results ORDER BY seq')
        self.assertEqual(len(rows), 120)
        for row, p in zip(rows, packets):
            self.assertEqual(row[:6], ['here "1"', there.target, 'stamp', 'loop', '17', '127.0.0.1'])
            self.assertEqual([int(v) for v in row[8:14]],
                             [p['dport'], p['seq'], p['t1_ns'], p['t2_ns'], p['t3_ns'], p['t4_ns']])
            self.assertEqual(int(row[6]), p['sport'])
            self.assertEqual([float(v) for v in row[14:19]],
                             [p['rtt_ms'], p['up_ms'], p['down_ms'], p['up_lo_ms'], p['up_hi_ms']])
            self.assertEqual(row[19:22], ['f', '0', '0'])
            self.assertEqual([int(v) for v in row[22:]], [p['flow_up'], p['flow_down']])
            self.assertNotEqual(row[22], row[23])
        self.assertEqual(sql('SELECT src, sent, answered, lost, rtt_p50_ms FROM owd.probe_runs'),
                         [['here "1"', '120', '120', '0', str(summary['rtt_ms']['p50'])]])

    def test_nobody_there(self):
        status, _, err = probe('send', '--db', '', '-c', '3', '-i', '10ms', '--timeout', '100ms', '127.0.0.1:9')
        self.assertEqual(status, 3, err)
        self.assertEqual(sql('SELECT lost, rtt_ms, up_ms, t4_ns FROM owd.probe_results'), [['t', '', '', '']] * 3)

    def test_spool_while_the_database_is_away(self):
        with Reflector() as there:
            status, _, err = probe('send', '--db', NOWHERE, '--spool', self.spool, '-c', '30', '-i', '50ms', there.target)
            self.assertEqual(status, 0, err)
            self.assertEqual(err.count('cannot connect'), 1)
            files = self.spooled()
            self.assertGreater(len(files), 1)
            # the same file twice, as after a crash between storing and removing
            with open(files[0], encoding='utf-8') as file:
                again = file.read()
            with open(self.spool + '/00-again.jsonl', 'w', encoding='utf-8') as file:
                file.write(again)
            self.assertEqual(probe('load', '--db', NOWHERE, self.spool)[0], 1)
            self.assertEqual(len(self.spooled()), len(files) + 1)
            # the next run that reaches the database takes along what waits
            status, _, err = probe('send', '--db', '', '--spool', self.spool, '-c', '10', '-i', '10ms', there.target)
            self.assertEqual(status, 0, err)
        self.assertEqual(self.spooled(), [])
        self.assertEqual(sql('SELECT count (*), count (DISTINCT t1_ns) FROM owd.probe_results'), [['40', '40']])
        self.assertEqual(sql('SELECT sent FROM owd.probe_runs ORDER BY began'), [['30'], ['10']])

    def test_load(self):
        with Reflector() as there:
            self.assertEqual(probe('send', '--spool', self.spool, '-c', '5', '-i', '10ms', there.target)[0], 0)
        whole = self.spooled()
        with open(whole[0], encoding='utf-8') as file:
            text = file.read()
        with open(self.spool + '/cut.jsonl', 'w', encoding='utf-8') as file:
            file.write(text[:len(text) // 2])
        status, _, err = probe('load', self.spool)
        self.assertEqual(status, 1)
        self.assertIn('cut.jsonl: left as it is', err)
        self.assertEqual([os.path.basename(name) for name in self.spooled()], ['cut.jsonl'])
        self.assertEqual(sql('SELECT count (*) FROM owd.probe_results'), [['5']])
        os.remove(self.spool + '/cut.jsonl')
        self.assertEqual(probe('load', self.spool)[0], 3)
        self.assertEqual(probe('load')[0], 2)

    def test_schema_is_missing(self):
        sql('DROP SCHEMA owd CASCADE')
        status, _, err = probe('send', '--db', '', '-c', '3', '127.0.0.1:9')
        self.assertEqual(status, 1)
        self.assertIn('oneway db migrate', err)

    def test_retention_drops_whole_days(self):
        lines = '\n'.join(
            json.dumps({'type': 'packet', 'agent': 'a', 'run_ns': t, 'target': 't:862', 'size': 44, 'method': 'stamp',
                        'proto': 17, 'src': '192.0.2.1', 'dst': '192.0.2.2', 'sport': 1, 'dport': 862, 'seq': 0,
                        't1_ns': t, 'flags': ['lost']})
            for t in (1_800_000_000_000_000_000 + day * 86_400_000_000_000 for day in range(5)))
        self.assertEqual(sql(f"SELECT owd.load_probe_lines ('{lines}')"), [['5']])
        self.assertEqual(sql(f"SELECT owd.load_probe_lines ('{lines}')"), [['0']])
        self.assertEqual(sql("SELECT owd.drop_probe_days (interval '2 days')"), [['3']])
        self.assertEqual(sql('SELECT count (*) FROM owd.probe_results'), [['2']])
        self.assertEqual(sql('SELECT count (*) FROM owd.probe_runs'), [['2']])
        self.assertEqual(sql("SELECT owd.drop_probe_days (interval '2 days')"), [['0']])


if __name__ == '__main__':
    while len(sys.argv) > 1 and '=' in sys.argv[1]:
        name, _, path = sys.argv.pop(1).partition('=')
        PROGRAMS[name] = path
    unittest.main(verbosity=2)
