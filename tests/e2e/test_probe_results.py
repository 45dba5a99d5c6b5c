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
                           'ON_ERROR_STOP=1', '-f', '-'], input=text, capture_output=True, text=True, check=True)
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


def migrate():
    sql('DROP SCHEMA IF EXISTS owd CASCADE')
    subprocess.run([PROGRAMS['oneway'], 'db', 'migrate'], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


class Results(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        migrate()

    def setUp(self):
        sql('TRUNCATE owd.probe_run, owd.probe_packet')
        folder = tempfile.TemporaryDirectory(prefix='oneway-spool-')
        self.addCleanup(folder.cleanup)
        self.spool = folder.name

    def spooled(self):
        return sorted(glob.glob(self.spool + '/*.jsonl'))

    def test_table_holds_what_is_printed(self):
        with Reflector() as there:
            status, out, err = probe('send', '--db', '', '-f', 'json', '-c', '120', '-i', '10ms', '--no-reports', '--agent', 'here "1"',
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
        self.addCleanup(migrate)
        sql('DROP SCHEMA owd CASCADE')
        status, _, err = probe('send', '--db', '', '-c', '3', '127.0.0.1:9')
        self.assertEqual(status, 1)
        self.assertIn('oneway db migrate', err)

    def test_retention_drops_whole_days(self):
        migrate()  # without the days of other tests
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


class Rights(unittest.TestCase):
    """Probes store as owd_writer, reports can be read as owd_reader."""

    @classmethod
    def setUpClass(cls):
        admin = [os.path.join(os.environ['OWD_PG_BIN'], 'psql'), '-Xq', '-d', os.environ['OWD_CLUSTER_ADMIN']]
        subprocess.run(admin, input='CREATE ROLE owd_reader NOLOGIN; CREATE ROLE owd_writer NOLOGIN;'
                       ' CREATE ROLE r LOGIN IN ROLE owd_reader; CREATE ROLE w LOGIN IN ROLE owd_writer;',
                       text=True, check=True)
        migrate()

    def test_roles(self):
        with Reflector() as there:
            for user, expect in (('w', 0), ('r', 1)):
                status, _, err = probe('send', '--db', f'user={user}', '-c', '3', '-i', '10ms', '--no-reports', there.target)
                self.assertEqual(status, expect, err)
        self.assertIn('permission denied', err)
        self.assertEqual(sql('SELECT count (*) FROM owd.probe_results'), [['3']])
        sql("SELECT owd.add_samples (now ()); INSERT INTO owd.point (addr, domain, version, name)"
            " VALUES ('192.0.2.1', 0, 9, 'A'), ('192.0.2.2', 0, 9, 'B');"
            ' INSERT INTO owd.path (src_id, dst_id) SELECT a.point_id, b.point_id FROM owd.point a, owd.point b'
            " WHERE a.name = 'A' AND b.name = 'B';"
            ' INSERT INTO owd.sample (ts, seq, owd_ns, lo_ns, hi_ns, sigma_ns, bias_ns, flow, path_id, profile_id, part,'
            ' flags, kind, proto) SELECT ts, 1, 0, -1000000, 1000000, 500000, 0, flow_up, (SELECT path_id FROM owd.path), 0,'
            ' 0, 0, 3, 17 FROM owd.probe_results ORDER BY seq LIMIT 1')
        sql('DELETE FROM owd.probe_packet WHERE seq <> 0')  # one port for all: the flow is one of three packets
        self.assertEqual(probe('report', '--db', 'user=r', '--dry-run')[0], 0)
        status, _, err = probe('report', '--db', 'user=r')
        self.assertEqual(status, 1)
        self.assertIn('--dry-run', err)
        self.assertEqual(probe('report', '--db', 'user=w')[0], 0)
        self.assertEqual(sql('SELECT quantity, n FROM owd.validation'), [['up', '1']])
        self.assertEqual(probe('calibrate', '--db', 'user=r', '--dry-run')[0], 3)


class Report(unittest.TestCase):
    """Made-up packets and samples, so that every figure is known."""

    HOUR = 1_800_000_000  # 2027-01-15 08:00 UTC

    @classmethod
    def setUpClass(cls):
        migrate()
        sql("SELECT owd.add_samples (t) FROM generate_series (timestamptz '2027-01-15 00:00+00', '2027-01-15 23:00+00', '1 h') t;"
            " INSERT INTO owd.point (addr, domain, version, name)"
            " VALUES ('192.0.2.1', 0, 9, 'A'), ('192.0.2.2', 0, 9, 'B'), ('192.0.2.3', 0, 9, 'C');"
            'INSERT INTO owd.path (src_id, dst_id) SELECT a.point_id, b.point_id FROM owd.point a, owd.point b'
            ' WHERE a.name <> b.name')

    def setUp(self):
        sql('TRUNCATE owd.probe_run, owd.probe_packet, owd.sample, owd.exporter, owd.validation_row, owd.calibration_row')
        self.packets = []
        self.samples = []

    def packet(self, seq, second, up=20.0, down=12.0, flow=None):
        """A probe packet of its own flow (2 * seq, its answer 2 * seq + 1)."""
        t1 = int((self.HOUR + second) * 1_000_000_000)
        t2 = t1 + int(up * 1e6)
        flow = seq if flow is None else flow
        self.packets.append({'type': 'packet', 'agent': 'here', 'run_ns': 1, 'target': '198.51.100.1:862', 'size': 44,
                             'method': 'stamp', 'proto': 17, 'src': '203.0.113.1', 'dst': '198.51.100.1', 'sport': 1024,
                             'dport': 862, 'seq': seq, 't1_ns': t1, 't2_ns': t2, 't3_ns': t2 + 50_000,
                             't4_ns': t2 + 50_000 + int(down * 1e6), 'up_lo_ms': 0, 'up_hi_ms': up + down,
                             'down_lo_ms': 0, 'down_hi_ms': up + down, 'flow_up': 2 * flow, 'flow_down': 2 * flow + 1,
                             'flags': []})

    def sample(self, src, dst, flow, second, owd, half=1.0, kind=3):
        self.samples.append(
            f"(to_timestamp ({self.HOUR + second}), {len(self.samples) + 1}, {owd} * 1e6, ({owd} - {half}) * 1e6,"
            f" ({owd} + {half}) * 1e6, {half} * 1e6 / sqrt (3), 0, {flow}, (SELECT path_id FROM owd.path JOIN owd.point a"
            f" ON a.point_id = src_id JOIN owd.point b ON b.point_id = dst_id WHERE a.name = '{src}' AND b.name = '{dst}'),"
            f" 0, 0, 0, {kind}, 17)")

    def store(self):
        sql('SELECT owd.load_probe_lines ($$' + '\n'.join(map(json.dumps, self.packets)) + '$$)')
        if self.samples:
            sql('INSERT INTO owd.sample (ts, seq, owd_ns, lo_ns, hi_ns, sigma_ns, bias_ns, flow, path_id, profile_id, part,'
                ' flags, kind, proto) VALUES ' + ', '.join(self.samples))

    def report(self, *args, expect=0):
        status, out, err = probe('report', '-f', 'json', *args)
        self.assertEqual(status, expect, err)
        return {(r['hour'], r['src'], r['dst'], r['quantity']): r for r in map(json.loads, out.splitlines())}, err

    def test_nothing_to_report(self):
        self.assertIn('0 probe packets', self.report(expect=3)[1])
        self.packet(1, 10)
        self.store()
        self.assertIn('1 probe packets in that time, none of them seen by two exporters', self.report(expect=3)[1])
        self.assertEqual(probe('report', '-f', 'xml')[0], 2)
        self.assertEqual(probe('report', '--slack', 'much')[0], 2)

    def test_hours_and_quantities(self):
        for seq in range(40):
            second = 3600 * (seq // 20) + 10 * seq
            self.packet(seq, second, up=20 + seq % 20, down=12)
            off = 0.25 if seq < 20 else 3  # the second hour's exporters say more than their intervals allow
            self.sample('A', 'B', 2 * seq, second, 20 + seq % 20 + off)
            self.sample('B', 'A', 2 * seq + 1, second + 0.03, 12 + off)
        self.store()
        rows, _ = self.report('--dry-run')
        self.assertEqual(sql('SELECT count (*) FROM owd.validation'), [['0']])
        hours = ('2027-01-15T08:00:00.000000000Z', '2027-01-15T09:00:00.000000000Z')
        self.assertEqual(sorted(rows), sorted((h, 'A', 'B', q) for h in hours for q in ('rtt', 'up', 'down')))
        for hour, off, inside in ((hours[0], 0.25, 1), (hours[1], 3, 0)):
            rtt, up, down = (rows[hour, 'A', 'B', q] for q in ('rtt', 'up', 'down'))
            self.assertEqual((rtt['n'], rtt['answered'], rtt['probe_src'], rtt['mode']), (20, 20, 'here', 'stamp'))
            self.assertAlmostEqual(rtt['bias_ms'], 2 * off, places=3)
            self.assertAlmostEqual(up['bias_ms'], off, places=3)
            self.assertAlmostEqual(down['bias_ms'], off, places=3)
            self.assertEqual((rtt['inside'], up['inside'], down['inside']), (inside, inside, inside))
            self.assertEqual(up['consistent'], 1)  # the probe's clocks state nothing better than the round trip
            self.assertAlmostEqual(up['correlation'], 1, places=3)
            self.assertNotIn('correlation', down)  # a delay that does not vary has none
        status, table, _ = probe('report')
        self.assertEqual(status, 0)
        self.assertIn("samples' round trip is 3.250 ms longer than the probe's", table)
        stored = sql('SELECT count (*), count (DISTINCT hour), sum (n), max (bias_ms) FROM owd.validation')
        self.assertEqual(stored, [['6', '2', '120', '6']])
        probe('report')
        self.assertEqual(sql('SELECT count (*) FROM owd.validation'), [['6']])
        self.assertEqual(len(self.report('--from', '2027-01-15 09:00+00', '--dry-run')[0]), 3)
        # half an hour is no reason to forget the whole one
        self.report('--from', '2027-01-15 08:02+00', '--to', '2027-01-15 08:03+00')
        self.assertEqual(sql("SELECT DISTINCT n FROM owd.validation WHERE quantity = 'rtt'"), [['20']])

    def test_a_way_beyond_the_points_is_never_guessed(self):
        for seq in range(20):
            self.packet(seq, 10 * seq, up=25, down=17)
            self.sample('A', 'B', 2 * seq, 10 * seq, 20)
            self.sample('B', 'A', 2 * seq + 1, 10 * seq + 0.03, 12)
        self.store()
        row = self.report()[0]['2027-01-15T08:00:00.000000000Z', 'A', 'B', 'rtt']
        self.assertEqual((row['bias_ms'], row['inside']), (-10, 0))
        self.assertIn('--beyond 5.000ms', probe('report')[1])
        row = self.report('--beyond', '5ms')[0]['2027-01-15T08:00:00.000000000Z', 'A', 'B', 'rtt']
        self.assertAlmostEqual(row['bias_ms'], 0, places=6)
        self.assertEqual((row['inside'], row['beyond_ms']), (1, 10))

    def test_doubtful_pairs_are_left_out(self):
        self.packet(0, 0)
        self.packet(1, 1, flow=0)  # the same port, a second later
        self.packet(2, 20)
        self.packet(3, 40)
        for second in (0, 1, 20):
            self.sample('A', 'B', 4 if second == 20 else 0, second, 20)
        self.sample('A', 'B', 6, 43, 20)  # three seconds off
        self.store()
        rows = self.report()[0]
        self.assertEqual([(r['quantity'], r['n']) for r in rows.values()], [('up', 1)])
        self.assertEqual([(r['quantity'], r['n']) for r in self.report('--slack', '4s')[0].values()], [('up', 2)])

    def test_stamps_of_a_whole_conversation(self):
        """Start for the probe packet, end for its answer, both under either hash."""
        for seq in range(10):
            self.packet(seq, 10 * seq)
            self.sample('A', 'B', 2 * seq + (seq > 5), 10 * seq, 20, kind=1)
            self.sample('B', 'A', 2 * seq, 10 * seq + 0.03, 12, kind=2)
        self.store()
        rows = self.report()[0]
        self.assertEqual({(r['src'], r['dst'], r['quantity'], r['n'], r['bias_ms']) for r in rows.values()},
                         {('A', 'B', 'rtt', 10, 0), ('A', 'B', 'up', 10, 0), ('A', 'B', 'down', 10, 0)})

    def test_sum_over_a_point_between(self):
        for seq in range(10):
            self.packet(seq, 10 * seq)
            self.sample('A', 'C', 2 * seq, 10 * seq, 20)
            self.sample('A', 'B', 2 * seq, 10 * seq, 9.5)
            self.sample('B', 'C', 2 * seq, 10 * seq + 0.0095, 10)
        self.store()
        row = self.report()[0]['2027-01-15T08:00:00.000000000Z', 'A', 'C', 'via']
        self.assertEqual((row['via'], row['n'], row['bias_ms'], row['inside']), ('B', 10, 0.5, 1))
        self.assertEqual(sql("SELECT via, probe_src, n FROM owd.validation WHERE quantity = 'via'"), [['B', '', '10']])

    def between(self, seq, second, agents, up, down, ahead=(0, 0)):
        """A probe packet of one agent to another one's address; ahead: their clocks, ms."""
        self.packet(seq, second, up + ahead[1] - ahead[0], down + ahead[0] - ahead[1])
        near, far = (f'198.51.100.{10 + "abc".index(agent)}' for agent in agents)
        self.packets[-1] |= {'agent': agents[0], 'target': far + ':862', 'src': near, 'dst': far, 'up_lo_ms': up - 0.5,
                             'up_hi_ms': up + 0.5, 'down_lo_ms': down - 0.5, 'down_hi_ms': down + 0.5}

    def test_sum_over_a_host_between(self):
        """B's clock is 70 ms ahead, which the sum does not know of; a and b probe, c only answers."""
        for minute in range(5):
            for k in range(6):
                at = 60 * minute + 10 * k
                self.between(3 * (6 * minute + k), at, 'ab', 9 + k / 10, 5, (0, 70))
                self.between(3 * (6 * minute + k) + 1, at, 'bc', 7, 8 + k / 10, (70, 0))
                self.between(3 * (6 * minute + k) + 2, at, 'ac', 16.3 + k / 10, 13.5)
        self.packets[0]['flags'] = ['first']
        self.packets[0]['t2_ns'] += 10 ** 9  # and does not count
        self.store()
        rows, _ = self.report()
        row = rows['2027-01-15T08:00:00.000000000Z', 'a', '198.51.100.12', 'sum']
        self.assertEqual((row['via'], row['n'], row['size'], row['inside'], row['consistent']), ('b', 5, 44, 1, 1))
        self.assertAlmostEqual(row['active_ms'], 16.55, places=3)
        self.assertAlmostEqual(row['bias_ms'], -0.3, places=3)
        back = rows['2027-01-15T08:00:00.000000000Z', '198.51.100.12', 'a', 'sum']
        self.assertAlmostEqual(back['bias_ms'], -0.25, places=3)
        # the other four lie on no way of each other
        self.assertLess(rows['2027-01-15T08:00:00.000000000Z', 'a', 'b', 'sum']['inside'], 1)
        self.assertEqual(sql("SELECT count (*), count (size), min (n) FROM owd.validation WHERE quantity = 'sum'"), [['6', '6', '5']])
        self.assertIn('a to 198.51.100.12, sum over b, probes alone (44 bytes)', probe('report')[1])
        self.assertEqual(sql("SELECT src, via, dst, n, n_least, round (sum_ms::numeric, 2), sum_lo_ms < lo_ms FROM owd.probe_compose"
                             " ('2027-01-15 08:00+00', '2027-01-15 08:01+00') WHERE via = 'b' AND src = 'a'"),
                         [['a', 'b', '198.51.100.12', '6', '5', '16.30', 't']])

    def stamps(self, step_ms, offsets, n):
        """n packets whose passage A and B have stamped by clocks that are so many ms ahead, in steps."""
        self.store_exporters(step_ms)

        def stamp(point, t_ms):
            return (t_ms + offsets[point]) // step_ms * step_ms + step_ms / 2

        for seq in range(n):
            sent = 1000 * 1.01 * step_ms * seq / 1000 + 0.123  # sweeps the step in 100 packets, ms
            self.packet(seq, sent / 1000)
            arrived = sent + 20.0
            back = arrived + 0.05
            home = back + 12.0
            self.sample('A', 'B', 2 * seq, stamp('A', sent) / 1000, stamp('B', arrived) - stamp('A', sent))
            self.sample('B', 'A', 2 * seq + 1, stamp('B', back) / 1000, stamp('A', home) - stamp('B', back))
        self.store()

    @staticmethod
    def store_exporters(step_ms):
        sql('INSERT INTO owd.exporter (addr, domain, version, name, first_ts, last_ts, start_step_ns, end_step_ns, records,'
            ' segments, sampling) SELECT addr, domain, version, name, to_timestamp (0), to_timestamp (0),'
            f' {step_ms} * 1000000, {step_ms} * 1000000, 1, 1, 0 FROM owd.point')

    def calibrate(self, *args, expect=0):
        status, out, err = probe('calibrate', '-f', 'json', *args)
        self.assertEqual(status, expect, err)
        return {(r['point'], r['clock']): r for r in map(json.loads, out.splitlines())}, err

    def test_calibration_finds_offsets(self):
        self.stamps(10, {'A': 3.217, 'B': -5.431}, 400)
        rows, _ = self.calibrate('--dry-run')
        self.assertEqual(sql('SELECT count (*) FROM owd.calibration'), [['0']])
        self.assertEqual(sorted(rows), [('A', 'here'), ('B', '198.51.100.1:862')])
        for point, offset in (('A', 3.217), ('B', -5.431)):
            row = next(r for key, r in rows.items() if key[0] == point)
            self.assertLess(row['lo_ms'], offset)
            self.assertGreater(row['hi_ms'], offset)
            self.assertLess(row['hi_ms'] - row['lo_ms'], 0.5)  # ten times closer than one stamp's 10 ms are good for
            self.assertLess(abs(row['offset_ms'] - offset), 0.15)
            self.assertEqual((row['n'], row['checked'], row['held'], row['rejected'], row['moved']),
                             (400, 400, 400, 0, False))
        probe('calibrate')
        probe('calibrate')
        self.assertEqual(sql('SELECT point, addr, domain, version, n, held FROM owd.calibration ORDER BY point'),
                         [['A', '192.0.2.1', '0', '9', '400', '400'], ['B', '192.0.2.2', '0', '9', '400', '400']])
        # beside the profile: corrected by it, both one-way delays are the probe's
        a, b = (float(row[0]) for row in sql('SELECT offset_ms FROM owd.calibration ORDER BY point'))
        row = self.report('--dry-run')[0]['2027-01-15T08:00:00.000000000Z', 'A', 'B', 'up']
        self.assertAlmostEqual(row['mean_ms'] - (b - a), 0, delta=0.3)
        self.assertGreater(abs(row['mean_ms']), 8)

    def test_calibration_says_what_it_lacks(self):
        self.assertIn('0 stamps', self.calibrate(expect=3)[1])
        self.packet(0, 0)
        self.sample('A', 'B', 0, 0, 20)
        self.store()
        self.assertIn('no step of its stamps', self.calibrate(expect=3)[1])
        self.store_exporters(10)
        self.assertIn('2 stamps of exporters', self.calibrate(expect=3)[1])  # A only later, B only earlier
        self.assertEqual(probe('calibrate', '--window', 'now')[0], 2)

    def test_calibration_of_locked_phases(self):
        self.store_exporters(100)
        for seq in range(50):
            self.packet(seq, seq)
            self.sample('A', 'B', 2 * seq, seq + 0.05, 0)
            self.sample('B', 'A', 2 * seq + 1, seq + 0.05, 0)
        self.store()
        rows, err = self.calibrate()
        self.assertIn('--interval 101.000ms', err)
        for row in rows.values():
            self.assertLess(row['swept'], 0.1)
            self.assertGreater(row['hi_ms'] - row['lo_ms'], 50)


if __name__ == '__main__':
    while len(sys.argv) > 1 and '=' in sys.argv[1]:
        name, _, path = sys.argv.pop(1).partition('=')
        PROGRAMS[name] = path
    unittest.main(verbosity=2)
