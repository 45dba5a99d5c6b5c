#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The real oneway-collector on captures and traffic written here: --dump, --read, live, kill -9.

usage: [OWD_CORPUS=DIR] test_collector.py PROGRAM [CASE ...]
"""
import contextlib
import json
import os
import pwd
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

PROGRAM = None
T0 = 1_700_000_000  # capture time of the first datagram
UPTIME_MS = 5_000_000


# ---- datagrams ----------------------------------------------------------------------------------

def v5(seq, records, engine=(1, 2), export_s=T0, uptime_ms=UPTIME_MS):
    """records: of (src, dst, packets, octets, first_ms, last_ms, sport, dport)"""
    head = struct.pack('!HHIIIIBBH', 5, len(records), uptime_ms, export_s, 250_000_000, seq, *engine, 0)
    body = b''
    for src, dst, packets, octets, first, last, sport, dport in records:
        body += socket.inet_aton(src) + socket.inet_aton(dst) + bytes(4)
        body += struct.pack('!HHIIIIHHBBBBHHBBH', 3, 4, packets, octets, first, last, sport, dport, 0, 0x1b, 6, 0,
                            0, 0, 0, 0, 0)
    return head + body


def sets(*parts):
    return b''.join(struct.pack('!HH', i, 4 + len(b)) + b for i, b in parts)


def template(i, fields):
    return struct.pack('!HH', i, len(fields)) + b''.join(struct.pack('!HH', *f) for f in fields)


def v9(seq, body, count, source=7, export_s=T0, uptime_ms=UPTIME_MS):
    return struct.pack('!HHIIII', 9, count, uptime_ms, export_s, seq, source) + body


def ipfix(seq, body, domain=9, export_s=T0):
    return struct.pack('!HHIII', 10, 16 + len(body), export_s, seq, domain) + body


def pieces(stream):
    """Odd ones: no boundary of theirs has to do with messages."""
    at, size = 0, 1
    while at < len(stream):
        yield stream[at:at + size]
        at, size = at + size, size * 5 % 7919 + 1


V9_FIELDS = [(8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (6, 1), (2, 4), (1, 4), (22, 4), (21, 4)]
IPFIX_FIELDS = [(27, 16), (28, 16), (7, 2), (11, 2), (4, 1), (152, 8), (153, 8), (136, 1), (2, 8)]


def v9_record(sport):
    return (socket.inet_aton('192.0.2.10') + socket.inet_aton('198.51.100.10')
            + struct.pack('!HHBBIIII', sport, 443, 6, 0x13, 4, 400, UPTIME_MS - 2000, UPTIME_MS - 500))


def ipfix_record(sport):
    return (socket.inet_pton(socket.AF_INET6, '2001:db8::1') + socket.inet_pton(socket.AF_INET6, '2001:db8::2')
            + struct.pack('!HHBQQBQ', sport, 53, 17, T0 * 1000 + 1, T0 * 1000 + 77, 1, 1))


def exports():
    """(source address, payload): three exporters, one format each, and one datagram that is none."""
    yield '10.0.0.5', v5(100, [('192.0.2.1', '198.51.100.1', 3, 180, UPTIME_MS - 1000, UPTIME_MS - 10, 1025, 80)])
    yield '10.0.0.9', v9(1, sets((0, template(256, V9_FIELDS))), 1)
    yield '10.0.0.9', v9(2, sets((256, v9_record(2000) + v9_record(2001))), 2)
    yield '10.0.0.10', ipfix(0, sets((2, template(300, IPFIX_FIELDS)), (300, ipfix_record(3000))))
    yield '10.0.0.10', ipfix(1, sets((300, ipfix_record(3001))), export_s=T0 + 3)
    yield '10.0.0.53', b'\x12\x34 not an export'


# ---- captures -----------------------------------------------------------------------------------

def frame(src, payload, vlan=False):
    udp = struct.pack('!HHHH', 40000, 2055, 8 + len(payload), 0) + payload
    ip = struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0)
    ip += socket.inet_aton(src) + socket.inet_aton('10.0.0.1')
    return bytes(12) + (b'\x81\x00\x00\x2a' if vlan else b'') + b'\x08\x00' + ip + udp


def pcap(frames, ns=True, order='<'):
    """frames: of (time in ns, bytes)"""
    out = struct.pack(order + 'IHHiIII', 0xa1b23c4d if ns else 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1)
    for t, data in frames:
        out += struct.pack(order + 'IIII', t // 10**9, t % 10**9 // (1 if ns else 1000), len(data), len(data)) + data
    return out


def pcapng(frames):
    def block(kind, body):
        body += bytes(-len(body) % 4)
        return struct.pack('<II', kind, 12 + len(body)) + body + struct.pack('<I', 12 + len(body))
    out = block(0x0a0d0d0a, struct.pack('<IHHq', 0x1a2b3c4d, 1, 0, -1))
    out += block(1, struct.pack('<HHI', 1, 0, 0) + struct.pack('<HHBxxxHH', 9, 1, 9, 0, 0))
    for t, data in frames:
        out += block(6, struct.pack('<IIIII', 0, t >> 32, t & 0xffffffff, len(data), len(data)) + data)
    return out


def timed(step_ns=700_000_000, vlan=False):
    return [(T0 * 10**9 + i * step_ns, frame(src, payload, vlan)) for i, (src, payload) in enumerate(exports())]


# ---- running ------------------------------------------------------------------------------------

def run(*args, stdin=None):
    done = subprocess.run([PROGRAM, *args], input=stdin, capture_output=True, timeout=120, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def records(text):
    return [json.loads(line) for line in text.splitlines()]


def in_some_order(objects):
    return sorted(json.dumps(o, sort_keys=True) for o in objects)


class Collector:
    """A running collector. ports: those that it says it listens on, those of TCP last, and of TLS behind them."""

    def __init__(self, log, *args, listen=('127.0.0.1:0',), env=None):
        options = [option for address in listen for option in ('--listen', address)]
        # Python ignores SIGXFSZ; so does the child: a file too large is an error then, as a full disk is
        self.process = subprocess.Popen([PROGRAM, '--log', log, *options, *args], stderr=subprocess.PIPE, text=True,
                                        restore_signals=False,
                                        env={**os.environ, 'ONEWAY_COLLECTOR_METRICS': '', **(env or {})})
        self.lines = []
        self.ports = []
        while len(self.ports) < len(listen):
            line = self.process.stderr.readline()
            if not line:
                raise RuntimeError('no collector: ' + ''.join(self.lines))
            self.lines.append(line)
            match = re.search(r'listening on (?:UDP|TCP|TLS) \S*:(\d+)', line)
            if match:
                self.ports.append(int(match[1]))
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        self.lines.extend(self.process.stderr)

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        status = self.process.wait(30)
        self.reader.join()
        self.process.stderr.close()
        return status

    def messages(self):
        return ''.join(self.lines)


class Case(unittest.TestCase):
    def setUp(self):
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.dir = stack.enter_context(tempfile.TemporaryDirectory(prefix='owd-collector-'))
        self.log = os.path.join(self.dir, 'log')

    def file(self, name, data):
        path = os.path.join(self.dir, name)
        with open(path, 'wb') as f:
            f.write(data)
        return path

    def live(self, *args, **kwargs):
        live = Collector(self.log, *args, **kwargs)
        self.addCleanup(lambda: live.process.poll() is None and live.end(signal.SIGKILL))
        return live

    def logged(self):
        status, out, err = run('--dump', '--log', self.log)
        self.assertIn(status, (0, 3), err)
        return records(out)


# ---- captures in --------------------------------------------------------------------------------

class Dump(Case):
    def test_values(self):
        status, out, err = run('--dump', '--read', self.file('a.pcap', pcap(timed())))
        self.assertEqual(status, 0, err)
        rows = records(out)
        self.assertEqual(len(rows), 5)
        r5, r9, _, r10, last = rows
        self.assertEqual({k: r5[k] for k in (
            'exporter', 'exporter_port', 'domain', 'version', 'template', 'src', 'dst', 'sport', 'dport', 'proto',
            'packets', 'octets', 'tcp_flags', 'start_raw', 'end_raw', 'start_kind', 'export_s', 'export_frac_ns',
            'uptime_ms', 'recv_ns', 'seq', 'in_if', 'out_if', 'start_ns', 'end_ns')}, {
                'exporter': '10.0.0.5', 'exporter_port': 40000, 'domain': 258, 'version': 5, 'template': 0,
                'src': '192.0.2.1', 'dst': '198.51.100.1', 'sport': 1025, 'dport': 80, 'proto': 6, 'packets': 3,
                'octets': 180, 'tcp_flags': 0x1b, 'start_raw': UPTIME_MS - 1000, 'end_raw': UPTIME_MS - 10,
                'start_kind': 'uptime_ms', 'export_s': T0, 'export_frac_ns': 250_000_000, 'uptime_ms': UPTIME_MS,
                'recv_ns': T0 * 10**9, 'seq': 100, 'in_if': 3, 'out_if': 4,
                'start_ns': T0 * 10**9 - 750_000_000, 'end_ns': T0 * 10**9 + 240_000_000})
        self.assertEqual((r9['version'], r9['domain'], r9['template'], r9['sport']), (9, 7, 256, 2000))
        self.assertEqual(r9['start_ns'], T0 * 10**9 - 2 * 10**9)
        self.assertEqual(r9['recv_ns'], T0 * 10**9 + 2 * 700_000_000)
        self.assertEqual((r10['src'], r10['dst'], r10['domain']), ('2001:db8::1', '2001:db8::2', 9))
        self.assertEqual((r10['start_ns'], r10['end_raw']), (T0 * 10**9 + 10**6, T0 * 1000 + 77))
        self.assertEqual((r10['start_kind'], r10['end_reason']), ('unix_ms', 'idle'))
        self.assertIsNone(r10['uptime_ms'])
        self.assertIsNone(r10['octets'])
        self.assertIsNone(r10['tcp_flags'])
        self.assertEqual(last['export_s'], T0 + 3)
        self.assertIn('5 export datagrams, 5 flow records, 1 other packets', err)

    def test_every_form_of_capture(self):
        want = run('--dump', '--read', self.file('a.pcap', pcap(timed())))[1]
        self.assertEqual(run('--dump', '--read', self.file('b.pcap', pcap(timed(), order='>')))[1], want)
        self.assertEqual(run('--dump', '--read', self.file('us.pcap', pcap(timed(), ns=False)))[1], want)
        self.assertEqual(run('--dump', '--read', self.file('c.pcapng', pcapng(timed())))[1], want)
        self.assertEqual(run('--dump', '--read', self.file('d.pcapng', pcapng(timed(vlan=True))))[1], want)
        self.assertEqual(run('--dump', '--read', '-', stdin=pcapng(timed()))[1], want)

    def test_pipe_is_dumped_as_it_comes(self):
        data = pcap(timed())
        with subprocess.Popen([PROGRAM, '--dump', '--read', '-'], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL) as process:
            process.stdin.write(data[:24 + 16 + len(timed()[0][1])])
            process.stdin.flush()
            self.assertEqual(json.loads(process.stdout.readline())['version'], 5)  # while the pipe is still open
            process.stdin.write(data[24 + 16 + len(timed()[0][1]):])
            process.stdin.close()
            self.assertEqual(len(process.stdout.readlines()), 4)
            self.assertEqual(process.wait(30), 0)

    def test_template_of_the_first_file_serves_the_second(self):
        frames = timed()
        status, out, _ = run('--dump', '--read', self.file('1.pcap', pcap(frames[:2])),
                             '--read', self.file('2.pcap', pcap(frames[2:])))
        self.assertEqual((status, len(records(out))), (0, 5))

    def test_malformed_datagram_is_said_and_its_neighbours_live(self):
        bad = [(T0 * 10**9 + i, frame('10.0.0.66', v9(i, sets((0, template(10, V9_FIELDS))), 1))) for i in range(50)]
        status, out, err = run('--dump', '--read', self.file('a.pcap', pcap(bad + timed())))
        self.assertEqual((status, len(records(out))), (0, 5))
        self.assertEqual(len([line for line in err.splitlines() if 'warning' in line]), 1, err)
        self.assertRegex(err, r'exporter 10\.0\.0\.66 domain 7: unusable template 10, at byte 24 ')
        self.assertIn(': 50 x ', err)


class ExitStatus(Case):
    def test_nothing_to_report(self):
        nothing = self.file('n.pcap', pcap([(0, frame('10.0.0.53', b'hello'))]))
        self.assertEqual(run('--dump', '--read', nothing)[0], 3)
        self.assertEqual(run('--read', nothing, '--log', self.log)[0], 3)
        self.assertEqual(run('--dump', '--log', self.log)[0], 3)

    def test_no_capture(self):
        status, _, err = run('--dump', '--read', self.file('text', b'#' * 100))
        self.assertEqual(status, 1)
        self.assertIn('no capture', err)
        self.assertEqual(run('--dump', '--read', self.dir + '/missing')[0], 1)
        self.assertEqual(run('--dump', '--log', self.dir + '/missing')[0], 1)

    def test_capture_cut_short(self):
        whole = pcap(timed())
        status, out, err = run('--dump', '--read', self.file('cut.pcap', whole[:-60]))
        self.assertEqual((status, len(records(out))), (0, 5), err)
        status, out, err = run('--dump', '--read', self.file('cut.pcap', whole[:-200]))
        self.assertEqual((status, len(records(out))), (0, 4), err)
        self.assertRegex(err, r'warning: .*cut\.pcap: ends inside the record at offset \d+')

    def test_usage(self):
        for args in (['--no-such-option'], ['stray'], ['--dump', '--log', 'x', '--read', 'y'],
                     ['--read', 'x', '--listen', '127.0.0.1:0'], ['--log', self.log, '--listen', 'nonsense']):
            self.assertEqual(run(*args)[0], 2, args)
        self.assertEqual(run('--version')[0], 0)
        self.assertEqual(run('--help')[0], 0)


class Log(Case):
    def test_log_equals_dump(self):
        path = self.file('a.pcap', pcap(timed()))
        want = records(run('--dump', '--read', path)[1])
        status, out, err = run('--read', path, '--log', self.log)
        self.assertEqual((status, out), (0, ''), err)
        self.assertEqual(in_some_order(self.logged()), in_some_order(want))
        # a second capture goes behind the first
        self.assertEqual(run('--read', path, '--log', self.log)[0], 0)
        self.assertEqual(in_some_order(self.logged()), in_some_order(want + want))

    def test_order_of_receive_time(self):
        frames = [(T0 * 10**9 + i * 10**8,
                   frame('10.0.0.5', v5(i, [('192.0.2.1', '198.51.100.1', 1, 40, 0, 0, 1000 + i, 80)])))
                  for i in range(300)]
        self.assertEqual(run('--read', self.file('a.pcap', pcap(frames)), '--log', self.log)[0], 0)
        self.assertEqual([r['sport'] for r in self.logged()], list(range(1000, 1300)))


# ---- real exporters -----------------------------------------------------------------------------

def table(path):
    """A TSV file as dictionaries; its first line that is no remark has the names."""
    with open(path, encoding='utf-8') as f:
        lines = [line.rstrip('\n').split('\t') for line in f if not line.startswith('# ')]
    names = [name.lstrip('#') for name in lines[0]]
    return [dict(zip(names, line)) for line in lines[1:]]


def ipfix_cases(folder):
    """The datagrams of each case that is well-formed IPFIX, and has so been sent as it could be over a stream."""
    for name in sorted(os.listdir(folder)):
        files = [os.path.join(folder, name, f) for f in sorted(os.listdir(os.path.join(folder, name)))]
        payloads = []
        for path in files:
            with open(path, 'rb') as f:
                payloads.append(f.read())
        if files and all(p[:2] == b'\0\x0a' and int.from_bytes(p[2:4], 'big') == len(p) for p in payloads):
            yield payloads


class Golden(Case):
    """What the program prints for real captures, against the corpus's golden decodings. The rules are those of
    tests/golden/test_golden.c, which looks closer; here it is the whole program, and the way through a log."""

    def compare(self, name, got, want):
        number = {'dom': 'domain', 'ver': 'version', 'sport': 'sport', 'dport': 'dport', 'proto': 'proto',
                  'packets': 'packets', 'octets': 'octets'}
        self.assertEqual(len(got), len(want), name)
        for g, w in zip(got, want):
            at = '%s row %s' % (name, w['rec'])
            self.assertEqual((g['src'], g['dst']), (w['src'], w['dst']), at)
            for theirs, ours in number.items():
                if theirs in ('sport', 'dport') and w[theirs] in ('', '0') and w['proto'] in ('1', '58'):
                    continue  # we may put ICMP type and code there
                self.assertEqual(g[ours] or 0, int(w[theirs] or 0), '%s %s' % (at, theirs))
            for end in ('start', 'end'):
                claim, raw = w[end + '_ns'], w[end + '_raw']
                if claim:
                    slack = 1000 if w['time_kind'] in ('abs154', 'abs156') else 0
                    self.assertAlmostEqual(g[end + '_ns'], int(claim), delta=slack, msg='%s %s' % (at, end))
                if raw and w['time_kind'].startswith(('uptime', 'init160')):
                    self.assertEqual(g[end + '_raw'], int(raw), '%s %s' % (at, end))
                if w['time_kind'] == 'uptime-nobase':
                    self.assertIsNone(g[end + '_ns'], at)

    @unittest.skipUnless(os.environ.get('OWD_CORPUS'), 'needs the corpus of captures')
    def test_real_captures(self):
        corpus = os.environ['OWD_CORPUS']
        checked = 0
        for row in table(os.path.join(corpus, 'MANIFEST.tsv')):
            name = os.path.splitext(os.path.basename(row['file']))[0]
            golden = os.path.join(corpus, 'golden', name + '.tsv')
            if row['kind'] != 'real' or not os.path.exists(golden):
                continue
            with self.subTest(name):
                path = os.path.join(corpus, row['file'])
                rows = records(run('--dump', '--read', path)[1])
                self.compare(name, [r for r in rows if 'late_template' not in r and r.get('biflow') != 'reverse'],
                             table(golden))
                self.assertIn(run('--read', path, '--log', self.log)[0], (0, 3))
                self.assertEqual(in_some_order(self.logged()), in_some_order(rows))
                shutil.rmtree(self.log)
                checked += 1
        self.assertGreater(checked, 40)


    @unittest.skipUnless(os.environ.get('OWD_CORPUS'), 'needs the corpus of captures')
    def test_real_messages_over_tcp(self):
        """Each capture's messages from an address of its own, to one collector over UDP and to another over TCP."""
        cases = list(ipfix_cases(os.path.join(os.environ['OWD_CORPUS'], 'datagrams')))
        self.assertGreater(len(cases), 10)
        rows = []
        for address, kind in (('127.0.0.1:0', socket.SOCK_DGRAM), ('tcp:127.0.0.1:0', socket.SOCK_STREAM)):
            live = self.live(listen=(address,))
            for i, messages in enumerate(cases):
                with socket.socket(socket.AF_INET, kind) as s:
                    s.bind(('127.1.0.%d' % (i + 1), 0))
                    s.connect(('127.0.0.1', live.ports[0]))
                    for part in messages if kind == socket.SOCK_DGRAM else pieces(b''.join(messages)):
                        s.sendall(part)
            time.sleep(0.5)
            self.assertEqual(live.end(), 0, live.messages())
            rows.append(self.logged())
            self.assertNotIn('closed', live.messages())
            shutil.rmtree(self.log)
        udp, tcp = (in_some_order({k: v for k, v in r.items() if k not in ('recv_ns', 'exporter_port')} for r in some)
                    for some in rows)
        self.assertGreater(len(udp), 100)
        self.assertEqual(udp, tcp)


    @unittest.skipUnless(os.environ.get('OWD_CORPUS'), 'needs the corpus of captures')
    def test_places_of_endpoints(self):
        mmdb = os.path.join(os.environ['OWD_CORPUS'], 'mmdb')
        country = os.path.join(self.dir, 'country.mmdb')
        shutil.copyfile(os.path.join(mmdb, 'GeoLite2-Country-Test.mmdb'), country)
        conf = self.file('oneway.conf', ('[collector]\nasn-database = %s/GeoLite2-ASN-Test.mmdb\ncountry-database = %s\n'
                                         % (mmdb, country)).encode())
        live = self.live('--config', conf, env={'ONEWAY_COLLECTOR_METRICS': '127.0.0.1:0'})
        url = re.search(r'metrics on (http://127\.0\.0\.1:\d+)/metrics', live.messages())[1]
        time.sleep(0.3)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for i in range(40):
                record = ('1.128.0.1', '67.43.156.1', 1, 100, UPTIME_MS - 9, UPTIME_MS - 1, 1000, 80)
                s.sendto(v5(30 * i, [record] * 30), ('127.0.0.1', live.ports[0]))
        time.sleep(0.3)
        with urllib.request.urlopen(url + '/metrics', timeout=10) as answer:
            text = answer.read().decode()
        records_from = re.search(r'endpoint_records_total\{worker="0",side="src",asn="1221",country="([A-Z]*)"\} (\d+)', text)
        octets_to = re.search(r'endpoint_octets_total\{worker="0",side="dst",asn="35908",country="BT"\} (\d+)', text)
        self.assertTrue(600 < int(records_from[2]) < 2000, text)  # of 1200, one in 16 looked at
        self.assertEqual(int(octets_to[1]), 100 * int(records_from[2]))
        shutil.copyfile(os.path.join(mmdb, 'GeoIP2-City-Test-Invalid-Node-Count.mmdb'), country)
        time.sleep(2.5)  # a file that has just changed may still be written to
        live.process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        self.assertEqual(live.end(), 0)
        self.assertEqual(len(re.findall('country.mmdb', live.messages())), 1, live.messages())
        self.assertRegex(live.messages(), 'warning: .*country.mmdb: The MaxMind DB file contains invalid metadata; what it '
                         'said before still counts')
        status, out, err = run('--config', conf, '--dump', '--log', self.log)
        self.assertEqual(status, 0, err)
        self.assertEqual({(r['src_asn'], r['dst_asn'], r.get('dst_country')) for r in records(out)}, {(1221, 35908, None)})
        self.assertNotIn('src_asn', self.logged()[0])


# ---- IPFIX files --------------------------------------------------------------------------------

def ipfix_file(data):
    """Data records of an IPFIX file as {element: number}."""
    templates = {}
    at = 0
    while at < len(data):
        version, length = struct.unpack_from('!HH', data, at)
        assert version == 10
        end, at = at + length, at + 16
        while at < end:
            kind, size = struct.unpack_from('!HH', data, at)
            body, at = data[at + 4:at + size], at + size
            if kind == 2:
                while len(body) >= 4:
                    i, n = struct.unpack_from('!HH', body)
                    assert i not in templates
                    templates[i] = [struct.unpack_from('!HH', body, 4 + 4 * k) for k in range(n)]
                    body = body[4 + 4 * n:]
                continue
            width = sum(n for _, n in templates[kind])
            while len(body) >= width:
                record = {}
                for element, n in templates[kind]:
                    record[element] = int.from_bytes(body[:n], 'big')
                    body = body[n:]
                yield record


def ntp_ns(value):
    return ((value >> 32) - 2208988800) * 10**9 + ((value & 0xffffffff) * 10**9 >> 32)


class Export(Case):
    def test_values(self):
        out = os.path.join(self.dir, 'out.ipfix')
        self.assertEqual(run('--read', self.file('a.pcap', pcap(timed())), '--log', self.log)[0], 0)
        status, _, err = run('--export', out, '--log', self.log)
        self.assertEqual(status, 0, err)
        with open(out, 'rb') as f:
            got = list(ipfix_file(f.read()))
        want = self.logged()
        self.assertEqual(len(got), len(want))
        for g, w in zip(got, want):
            self.assertEqual((g[2], g[1], g[7], g[11], g[4], g[6], g[214], g[405]),
                             (w['packets'], w['octets'] or 0, w['sport'], w['dport'], w['proto'], w['tcp_flags'] or 0,
                              w['version'], w['domain']))
            self.assertEqual((ntp_ns(g[156]), ntp_ns(g[157])), (w['start_ns'], w['end_ns']))
            self.assertEqual(g[258], w['recv_ns'] // 10**6)
            self.assertEqual(g[403], int.from_bytes(socket.inet_aton(w['exporter']), 'big'))
            family, source = (socket.AF_INET6, 27) if ':' in w['src'] else (socket.AF_INET, 8)
            self.assertEqual(g[source], int.from_bytes(socket.inet_pton(family, w['src']), 'big'))
            if w['start_kind'] == 'uptime_ms':
                self.assertEqual((g[22], g[21]), (w['start_raw'], w['end_raw']))
                self.assertEqual(g[160] + g[22], w['start_ns'] // 10**6)

    def test_failures(self):
        self.assertEqual(run('--read', self.file('a.pcap', pcap(timed())), '--log', self.log)[0], 0)
        self.assertEqual(run('--export', self.dir + '/missing/out', '--log', self.log)[0], 1)
        self.assertEqual(run('--export', self.dir + '/out', '--dump', '--log', self.log)[0], 2)
        self.assertEqual(run('--export', '/dev/full', '--log', self.log)[0], 1)


# ---- live ---------------------------------------------------------------------------------------

def numbered(i):
    """Thirty records whose fields all follow from the datagram's number: a torn one would show."""
    return v5(30 * i, [('10.%d.%d.%d' % (i >> 8 & 255, i & 255, k), '172.16.0.1', i + 1, (i + 1) * 100 + k,
                        i, i + k, k, 2055) for k in range(30)], export_s=T0)


class Live(Case):
    def setUp(self):
        super().setUp()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(self.socket.close)

    def send(self, live, first, n):
        for i in range(first, first + n):
            self.socket.sendto(numbered(i), ('127.0.0.1', live.ports[0]))
        return first + n

    def check_whole(self, rows):
        """Every record is one that was sent. Returns the set of (datagram, record)."""
        seen = set()
        for r in rows:
            i, k = r['start_raw'], r['end_raw'] - r['start_raw']
            self.assertEqual((r['src'], r['packets'], r['octets'], r['sport'], r['seq']),
                             ('10.%d.%d.%d' % (i >> 8 & 255, i & 255, k), i + 1, (i + 1) * 100 + k, k, 30 * i))
            self.assertNotIn((i, k), seen)
            seen.add((i, k))
        return seen

    def test_orderly_end(self):
        live = self.live()
        begin_ns = time.time_ns()
        self.send(live, 0, 200)
        self.assertEqual(live.end(), 0, live.messages())  # at once: what waits in the socket counts
        rows = self.logged()
        self.assertEqual(len(self.check_whole(rows)), 6000)
        for r in rows:
            self.assertTrue(begin_ns <= r['recv_ns'] <= time.time_ns())
            self.assertEqual(r['exporter'], '127.0.0.1')

    def test_formats_and_addresses_together(self):
        live = self.live(listen=('127.0.0.1:0', '*:0'))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for i, (_, payload) in enumerate(exports()):
                s.sendto(payload, ('127.0.0.1', live.ports[i % 2]))
                time.sleep(0.05)
        self.assertEqual(live.end(signal.SIGINT), 0)
        self.assertEqual(sorted(r['version'] for r in self.logged()), [5, 9, 9, 10, 10])
        self.assertIn('exporter 127.0.0.1', live.messages())  # the one that is no export

    def ipfix_messages(self):
        """A template, then data of many sizes, up to one message of nearly the greatest length."""
        yield ipfix(0, sets((2, template(300, IPFIX_FIELDS))))
        seq = 0
        for n in [1, 2, 30, 1000, 1, 1, 500]:
            yield ipfix(seq, sets((300, b''.join(ipfix_record(1000 + seq + i) for i in range(n)))))
            seq += n

    def comparable(self, rows):
        return in_some_order({k: v for k, v in r.items() if k not in ('recv_ns', 'exporter_port')} for r in rows)

    def test_tcp_is_as_udp(self):
        live = self.live(listen=('127.0.0.1:0',))
        for message in self.ipfix_messages():
            self.socket.sendto(message, ('127.0.0.1', live.ports[0]))
        self.assertEqual(live.end(), 0)
        want = self.comparable(self.logged())
        self.assertEqual(len(want), 1535)
        shutil.rmtree(self.log)

        live = self.live(listen=('tcp:127.0.0.1:0',))
        stream = b''.join(self.ipfix_messages())
        begin_ns = time.time_ns()
        with socket.create_connection(('127.0.0.1', live.ports[0])) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces(stream):
                s.sendall(piece)
                time.sleep(0.001)
            time.sleep(1.2)  # a second is over: written while the connection is open
            self.assertEqual(self.comparable(self.logged()), want)
        with socket.create_connection(('127.0.0.1', live.ports[0])) as s:  # the template is still known
            s.sendall(ipfix(0, sets((300, ipfix_record(7)))))
        self.assertEqual(live.end(), 0, live.messages())
        rows = self.logged()
        self.assertEqual(len(rows), len(want) + 1)
        for r in rows:
            self.assertTrue(begin_ns <= r['recv_ns'] <= time.time_ns())
        self.assertIn('TCP: 2 connections, 9 messages', live.messages())
        self.assertNotIn('warning', live.messages())

    def test_tcp_garbage_harms_nobody(self):
        live = self.live(listen=('127.0.0.1:0', 'tcp:127.0.0.1:0'),
                         env={'ONEWAY_COLLECTOR_METRICS': '127.0.0.1:0', 'ONEWAY_COLLECTOR_MAX_CONNECTIONS_PER_ADDRESS': '2'})
        url = re.search(r'metrics on (http://127\.0\.0\.1:\d+)/metrics', live.messages())[1]
        messages = list(self.ipfix_messages())
        with socket.create_connection(('127.0.0.1', live.ports[1])) as good:
            good.sendall(messages[0] + messages[1][:20])
            with socket.create_connection(('127.0.0.1', live.ports[1])) as bad:
                bad.settimeout(10)
                with socket.create_connection(('127.0.0.1', live.ports[1])) as third:
                    third.settimeout(10)
                    self.assertEqual(third.recv(1), b'')  # one too many
                bad.sendall(b'GET / HTTP/1.1\r\n\r\n')
                with contextlib.suppress(ConnectionResetError):
                    self.assertEqual(bad.recv(1), b'')
            good.sendall(messages[1][20:])
            self.send(live, 0, 1)
            time.sleep(0.3)
            with urllib.request.urlopen(url + '/metrics', timeout=10) as answer:
                text = answer.read().decode()
        for sample in ('connections{} 1', 'connections_accepted_total{} 3', 'stream_messages_total{} 2',
                       'connections_closed_total{reason="not IPFIX"} 1',
                       'connections_closed_total{reason="limit max-connections-per-address"} 1'):
            self.assertIn('oneway_collector_%s\n' % sample, text)
        self.assertEqual(live.end(), 0)
        self.assertEqual(len(self.logged()), 31)
        self.assertEqual(len(re.findall('TCP connection of 127.0.0.1 port', live.messages())), 1)

    def test_written_within_a_fifth_of_a_second(self):
        live = self.live()
        time.sleep(0.3)
        self.send(live, 0, 1)
        time.sleep(0.5)  # 0.2 s, and some for a busy machine
        self.assertEqual(len(self.logged()), 30)
        self.assertEqual(live.end(), 0)

    def test_one_writer(self):
        live = self.live()
        status, _, err = run('--log', self.log, '--listen', '127.0.0.1:0')
        self.assertEqual(status, 2, err)
        self.assertEqual(live.end(), 0)

    def hang_up(self, live, text):
        """SIGHUP, and the answer that begins so."""
        n = len(live.lines)
        live.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 20
        while not any(text in line for line in live.lines[n:]):
            self.assertLess(time.monotonic(), deadline, live.messages())
            time.sleep(0.02)
        time.sleep(0.3)  # and the workers have them
        return ''.join(live.lines[n:])

    def test_reload(self):
        conf = self.file('oneway.conf', b'[collector]\nallow = 127.0.0.0/8\nmax-exporters = 1\n')
        live = self.live('--config', conf, listen=('127.0.0.1:0', 'tcp:127.0.0.1:0'),
                         env={'ONEWAY_COLLECTOR_METRICS': ''})
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(other.close)
        other.bind(('127.0.5.1', 0))
        messages = list(self.ipfix_messages())

        self.send(live, 0, 1)
        time.sleep(0.2)
        other.sendto(numbered(1), ('127.0.0.1', live.ports[0]))  # one state too many
        time.sleep(0.2)
        with socket.create_connection(('127.0.0.1', live.ports[1]), timeout=20) as stream:
            stream.sendall(messages[0][:7])
            self.file('oneway.conf', b'[collector]\nallow = 127.0.5.0/24\nworkers = 2\n[log]\nblock-size = 8 KiB\n')
            said = self.hang_up(live, 'settings read again')
            self.assertIn('count from the next start on: [collector] workers, [log] block-size\n', said)
            with contextlib.suppress(ConnectionResetError):
                self.assertEqual(stream.recv(1), b'')  # no longer wanted
        self.send(live, 2, 1)
        other.sendto(numbered(3), ('127.0.0.1', live.ports[0]))
        time.sleep(0.2)

        self.file('oneway.conf', b'[collector]\nallow = 127.0.0.0/8\n[log]\nsync-interval = soon\n')
        self.assertIn("[log] sync-interval: 'soon'", self.hang_up(live, 'settings not changed'))
        self.send(live, 4, 1)
        time.sleep(0.2)
        self.assertEqual(live.end(), 0)
        self.assertEqual({i for i, _ in self.check_whole(self.logged())}, {0, 3})
        self.assertIn('closed: address not in allow', live.messages())

    def test_full_disk(self):
        live = self.live()
        self.send(live, 0, 50)
        time.sleep(0.5)
        before = self.check_whole(self.logged())
        self.assertEqual(len(before), 1500)
        size = max(os.path.getsize(os.path.join(d, f)) for d, _, files in os.walk(self.log) for f in files)
        limits = resource.prlimit(live.process.pid, resource.RLIMIT_FSIZE, (size + 100, resource.RLIM_INFINITY))
        self.send(live, 50, 50)
        time.sleep(0.6)
        self.send(live, 100, 50)
        time.sleep(0.6)
        self.assertIsNone(live.process.poll())
        resource.prlimit(live.process.pid, resource.RLIMIT_FSIZE, limits)
        time.sleep(3.5)  # trouble counts as over when nothing failed for two seconds
        self.send(live, 150, 50)
        self.assertEqual(live.end(), 0)
        seen = self.check_whole(self.logged())
        self.assertFalse(before - seen)
        self.assertEqual(len([i for i, _ in seen if i >= 150]), 1500)
        lost = 6000 - len(seen)
        self.assertGreater(lost, 0)
        self.assertEqual(len(re.findall('until the log can be written', live.messages())), 1, live.messages())
        self.assertIn('the log takes records again; %d were lost' % lost, live.messages())

    def test_workers_share_a_port(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(('127.0.0.1', 0))
            port = s.getsockname()[1]
        live = self.live(listen=('127.0.0.1:%d' % port,), env={'ONEWAY_COLLECTOR_WORKERS': '3'})
        want = 0
        for host in range(1, 21):
            exporter = '127.0.1.%d' % host
            body = sets((256, v9_record(2000) + v9_record(2001)))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as a, \
                    socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as b:
                for s in (a, b):
                    s.bind((exporter, 0))
                # template from one port, data from another: one exporter, one worker
                a.sendto(v9(1, sets((0, template(256, V9_FIELDS))), 1), ('127.0.0.1', port))
                b.sendto(v9(2, body, 2), ('127.0.0.1', port))
                want += 2
        time.sleep(0.3)
        self.assertEqual(live.end(), 0)
        rows = self.logged()
        self.assertEqual(len(rows), want, live.messages())
        self.assertFalse([r for r in rows if 'late_template' in r])
        self.assertEqual(len({r['exporter'] for r in rows}), 20)

    def test_metrics(self):
        live = self.live(env={'ONEWAY_COLLECTOR_METRICS': '127.0.0.1:0', 'ONEWAY_COLLECTOR_WORKERS': '2'})
        url = re.search(r'metrics on (http://127\.0\.0\.1:\d+)/metrics', live.messages())[1]
        for i, (_, payload) in enumerate(exports()):
            self.socket.sendto(payload, ('127.0.0.1', live.ports[0]))
        self.socket.sendto(v5(110, []), ('127.0.0.1', live.ports[0]))
        sampling = sets((1, struct.pack('!9H', 257, 4, 8, 1, 4, 34, 4, 35, 1)), (257, struct.pack('!IIB', 0, 1000, 2)))
        self.socket.sendto(v9(3, sampling, 2), ('127.0.0.1', live.ports[0]))
        time.sleep(0.3)
        with urllib.request.urlopen(url + '/metrics', timeout=10) as answer:
            self.assertTrue(answer.headers['Content-Type'].startswith('application/openmetrics-text; version=1.0.0'))
            text = answer.read().decode()
        samples = {}
        families = set()
        lines = text.splitlines()
        self.assertEqual(lines.pop(), '# EOF')
        for line in lines:
            if line.startswith('#'):
                families.add(line.split()[2])
                continue
            match = re.fullmatch(r'(\w+)\{(\w+="[^"]*"(?:,\w+="[^"]*")*)?\} ([0-9.]+)', line)
            self.assertTrue(match, line)
            self.assertIn(re.sub('_total$', '', match[1]), families)
            self.assertNotIn((match[1], match[2]), samples)
            samples[match[1], match[2]] = float(match[3])
        of = 'exporter="127.0.0.1",domain="%d",version="%d"'
        self.assertEqual(samples['oneway_collector_records_total', of % (258, 5)], 1)
        self.assertEqual(samples['oneway_collector_records_total', of % (7, 9)], 2)
        self.assertEqual(samples['oneway_collector_datagrams_total', of % (9, 10)], 2)
        self.assertAlmostEqual(samples['oneway_collector_last_seen_seconds', of % (9, 10)], time.time(), delta=30)
        self.assertEqual(samples['oneway_collector_log_records_total', None], 5)
        self.assertEqual(samples['oneway_collector_log_dropped_total', None], 0)
        self.assertAlmostEqual(samples['oneway_collector_clock_lag_seconds', of % (7, 9)], time.time() - T0, delta=30)
        self.assertEqual(samples['oneway_collector_workers', 'state="working"'], 2)
        self.assertEqual(samples['oneway_collector_workers', 'state="held up"'], 0)
        self.assertGreater(samples['oneway_collector_log_write_seconds_total', None], 0)
        self.assertGreaterEqual(samples['oneway_collector_log_longest_sync_seconds', None],
                                samples['oneway_collector_log_sync_seconds', None])
        self.assertEqual(sum(v for (name, _), v in samples.items() if name == 'oneway_collector_socket_datagrams_total'), 8)
        self.assertGreater(sum(v for (name, _), v in samples.items() if name == 'oneway_collector_refused_total'), 0)
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode()
            self.assertRegex(text, r'127\.0\.0\.1 +7 v9 +3 +2 +\d+ +\d+ +1000 random ')
            self.assertRegex(text, r'127\.0\.0\.1 +258 v5 +2 +1 +\d+ +\d+ +0 - ')
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(url + '/other', timeout=10)
        self.assertEqual(caught.exception.code, 404)
        caught.exception.close()
        with socket.create_connection(url[7:].split(':')):  # a client that says nothing holds up nobody for long
            self.assertEqual(live.end(), 0)
        with open(os.path.join(self.log, 'collector.notes'), encoding='ascii') as f:
            notes = [line.split() for line in f]
        self.assertEqual([n[1:6] for n in notes if n[0] == 'exporter' and n[2] == '7'], [['127.0.0.1', '7', '9', '3', '2']])

    def test_allowed_exporters(self):
        live = self.live(listen=('*:0',), env={'ONEWAY_COLLECTOR_ALLOW': '127.0.3.0/25; ::1',
                                               'ONEWAY_COLLECTOR_METRICS': '127.0.0.1:0'})
        url = re.search(r'metrics on (http://127\.0\.0\.1:\d+)/metrics', live.messages())[1]
        addresses = ['127.0.3.1', '127.0.3.127', '127.0.3.128', '127.0.4.1', '127.0.3.128']
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
            s.bind(('::1', 0))
            addresses.append('::1')  # where there is IPv6
        for i, address in enumerate(addresses):
            six = ':' in address
            with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.bind((address, 0))
                s.sendto(numbered(i), ('::1' if six else '127.0.0.1', live.ports[0]))
        time.sleep(0.3)
        with urllib.request.urlopen(url + '/metrics', timeout=10) as answer:
            text = answer.read().decode()
        self.assertIn('oneway_collector_disallowed_datagrams_total{} 3\n', text)
        self.assertNotIn('127.0.3.128', text)
        self.assertNotIn('oneway_collector_refused_total{', text)
        self.assertEqual(live.end(), 0)
        self.assertEqual({r['exporter'] for r in self.logged()}, set(addresses) - {'127.0.3.128', '127.0.4.1'})
        warnings = [line for line in live.lines if 'warning' in line]
        self.assertEqual(len(warnings), 1, live.messages())
        self.assertIn('exporter 127.0.3.128: dropped', warnings[0])
        self.assertIn('3 datagrams from addresses that are not allowed', live.messages())

    def set_back(self, url, name):
        """The metric NAME of those that are or were set back, by exporter."""
        with urllib.request.urlopen(url + '/metrics', timeout=10) as answer:
            text = answer.read().decode()
        rows = re.findall(r'^oneway_collector_%s\{exporter="([^"]*)",worker="0"\} (\d+)$' % name, text, re.M)
        return {exporter: int(value) for exporter, value in rows}

    def test_flooder_is_set_back(self):
        live = self.live(env={'ONEWAY_COLLECTOR_METRICS': '127.0.0.1:0', 'ONEWAY_COLLECTOR_RECEIVE_BUFFER': '256 KiB'})
        url = re.search(r'metrics on (http://127\.0\.0\.1:\d+)/metrics', live.messages())[1]
        # ever other templates, which cost the collector far more than the sender
        bombs = [v9(i, sets((0, b''.join(template(256 + k, [(8, 4), (1, 1 + i)]) for k in range(115)))), 115) for i in range(8)]
        flooding, sent = threading.Event(), 0
        bad = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(bad.close)
        bad.bind(('127.0.9.9', 0))
        last = 0

        def flood():
            nonlocal sent
            while not flooding.is_set():
                for bomb in bombs:
                    sent += bad.sendto(bomb, ('127.0.0.1', live.ports[0])) == len(bomb)
        self.addCleanup(flooding.set)
        sender = threading.Thread(target=flood)
        sender.start()
        for _ in range(200):
            last = self.send(live, last, 1)
            if self.set_back(url, 'set_back').get('127.0.9.9'):
                break
            time.sleep(0.05)
        self.assertEqual(self.set_back(url, 'set_back'), {'127.0.9.9': 1}, live.messages())
        first = last
        for _ in range(50):  # what comes now is not lost, whatever the flooder does
            last = self.send(live, last, 2)
            time.sleep(0.01)
        flooding.set()
        sender.join()
        for _ in range(100):
            if not self.set_back(url, 'set_back')['127.0.9.9']:
                break
            time.sleep(0.1)
        self.assertEqual(self.set_back(url, 'set_back'), {'127.0.9.9': 0})
        times, taken, dropped = (self.set_back(url, 'set_back_' + name + '_total')['127.0.9.9']
                                 for name in ('times', 'datagrams', 'dropped'))
        self.assertEqual(live.end(), 0)
        lines = [line for line in live.lines if 'exporter 127.0.9.9: ' in line]
        self.assertEqual(len([line for line in lines if 'set back' in line and 'warning' in line]), times)
        self.assertEqual(len([line for line in lines if 'treated like others again' in line]), times)
        front = re.search(r': (\d+) datagrams, (\d+) dropped by the kernel', live.messages())
        self.assertEqual(int(front[1]) + int(front[2]) + taken + dropped, sent + last, live.messages())
        self.assertEqual({i for i, _ in self.check_whole(self.logged())} & set(range(first, last)), set(range(first, last)))

    def test_no_prefix(self):
        os.environ['ONEWAY_COLLECTOR_ALLOW'] = '127.0.3.0/33'
        self.addCleanup(os.environ.pop, 'ONEWAY_COLLECTOR_ALLOW')
        status, _, err = run('--log', self.log, '--listen', '127.0.0.1:0')
        self.assertEqual(status, 2, err)
        self.assertIn("[collector] allow: '127.0.3.0/33'", err)
        self.assertFalse(os.path.exists(self.log))

    @unittest.skipUnless(os.geteuid() == 0, 'needs root')
    def test_rights_are_dropped(self):
        nobody = pwd.getpwnam('nobody')
        address = '127.%d.%d.%d' % tuple((os.getpid() & 0xffffff).to_bytes(3, 'big'))  # nobody else's
        os.chmod(self.dir, 0o755)
        for n in (1, 2):  # a new log, and the same one again
            live = self.live(listen=(address + ':821',), env={'ONEWAY_COLLECTOR_USER': 'nobody'})
            tasks = '/proc/%d/task' % live.process.pid
            for task in os.listdir(tasks):
                with open(os.path.join(tasks, task, 'status'), encoding='ascii') as f:
                    status = f.read()
                self.assertIn('\t'.join(['Uid:'] + [str(nobody.pw_uid)] * 4), status)
                self.assertIn('\t'.join(['Gid:'] + [str(nobody.pw_gid)] * 4), status)
                self.assertRegex(status, r'Groups:\s*\n')
                self.assertRegex(status, r'CapPrm:\s0+\n')
                self.assertRegex(status, r'CapEff:\s0+\n')
                self.assertRegex(status, r'NoNewPrivs:\s1')
            self.socket.sendto(numbered(n), (address, 821))
            self.assertEqual(live.end(), 0, live.messages())
            self.assertEqual(len(self.logged()), 30 * n)
        paths = [os.path.join(d, name) for d, subs, files in os.walk(self.log) for name in [*subs, *files]]
        self.assertEqual({os.stat(path).st_uid for path in [self.log, *paths]}, {nobody.pw_uid})

    @unittest.skipUnless(os.geteuid() == 0, 'needs root')
    def test_only_a_new_directory_changes_hands(self):
        def start(user):
            os.environ['ONEWAY_COLLECTOR_USER'] = user
            self.addCleanup(os.environ.pop, 'ONEWAY_COLLECTOR_USER', None)
            return run('--log', self.log, '--listen', '127.0.0.1:0')

        os.chmod(self.dir, 0o755)
        status, _, err = start('oneway-nobody-at-all')
        self.assertEqual(status, 2, err)
        self.assertIn('cannot become oneway-nobody-at-all: no such user', err)
        self.assertFalse(os.path.exists(self.log))
        os.mkdir(self.log, 0o755)
        status, _, err = start('nobody')
        self.assertEqual(status, 1, err)
        self.assertIn('chown -R nobody ' + self.log, err)
        self.assertEqual((os.stat(self.log).st_uid, os.listdir(self.log)), (0, []))

    def test_kill(self):
        acknowledged = set()
        sent = 0
        for _ in range(4):
            live = self.live()
            until = time.monotonic() + 0.5
            while time.monotonic() < until:
                sent = self.send(live, sent, 5)
                time.sleep(0.01)
            acknowledged |= self.check_whole(self.logged())  # what any reader sees has been acknowledged
            for _ in range(20):
                sent = self.send(live, sent, 5)
            self.assertEqual(live.end(signal.SIGKILL), -signal.SIGKILL)
            after = self.check_whole(self.logged())
            self.assertFalse(acknowledged - after)
            acknowledged = after
        live = self.live()  # and the log goes on
        first = sent
        self.send(live, first, 10)
        self.assertEqual(live.end(), 0)
        seen = self.check_whole(self.logged())
        self.assertFalse(acknowledged - seen)
        self.assertEqual(len([i for i, _ in seen if i >= first]), 300)


if __name__ == '__main__':
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    os.environ.pop('NOTIFY_SOCKET', None)
    unittest.main(verbosity=2)
