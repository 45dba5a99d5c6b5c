#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""oneway-probe among strangers: its packets decoded by tshark, both of its roles against scapy's STAMP.

usage: test_probe_interop.py PROGRAM [CASE ...]; exit status 77: tshark or scapy is missing
"""
import calendar
import json
import os
import re
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

try:
    from scapy.contrib import stamp
except ImportError:
    sys.path.append('/usr/lib/python3/dist-packages')  # Debian's, where another Python comes first
    try:
        from scapy.contrib import stamp
    except ImportError:
        stamp = None
if stamp is not None:
    from scapy.layers.inet import UDP

PROGRAM = None


class Reflector:
    """A running reflector on a free port of loopback."""

    def __enter__(self):
        self.process = subprocess.Popen([PROGRAM, 'reflect', '--listen', '127.0.0.1:0'], stderr=subprocess.PIPE,
                                        text=True)
        found = None
        while found is None:
            line = self.process.stderr.readline()
            assert line, 'no reflector'
            found = re.search(r'answering on UDP .*:(\d+)$', line)
        self.port = int(found.group(1))
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.communicate(timeout=20)


def relay(port, *args):
    """Runs the sender against a reflector through a relay. Returns: JSON rows, datagrams up, datagrams down."""
    up, down = [], []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as front, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back:
        front.bind(('127.0.0.1', 0))
        back.connect(('127.0.0.1', port))
        target = f'127.0.0.1:{front.getsockname()[1]}'
        with subprocess.Popen([PROGRAM, 'send', '-f', 'json', *args, target], stdout=subprocess.PIPE,
                              text=True) as sender:
            client = None
            while sender.poll() is None:
                for sock in select.select([front, back], [], [], 0.05)[0]:
                    data, source = sock.recvfrom(65536)
                    if sock is front:
                        client = source
                        up.append(data)
                        back.send(data)
                    else:
                        down.append(data)
                        front.sendto(data, client)
            rows = [json.loads(line) for line in sender.stdout]
    return rows, up, down


def write_pcap(path, datagrams):
    """datagrams: (source port, destination port, payload); raw IPv4."""
    with open(path, 'wb') as out:
        out.write(struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101))
        for n, (sport, dport, payload) in enumerate(datagrams):
            udp = struct.pack('!HHHH', sport, dport, 8 + len(payload), 0) + payload
            ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(udp), n, 0, 255, 17, 0, bytes([192, 0, 2, 1]),
                             bytes([192, 0, 2, 2])) + udp
            out.write(struct.pack('<IIII', 1_800_000_000 + n, 0, len(ip), len(ip)) + ip)


@unittest.skipUnless(shutil.which('tshark'), 'no tshark')
class Tshark(unittest.TestCase):
    """Wireshark's dissector knows TWAMP-Test, whose base packet STAMP shares."""

    FIELDS = ('twamp.test.seq_number', 'twamp.test.timestamp', 'twamp.test.error_estimate.s',
              'twamp.test.error_estimate.scale', 'twamp.test.error_estimate.multiplier',
              'twamp.test.receive_timestamp', 'twamp.test.sender_seq_number', 'twamp.test.sender_timestamp',
              'twamp.test.sender_ttl', '_ws.malformed')

    def decode(self, datagrams):
        with tempfile.TemporaryDirectory(prefix='oneway-tshark-') as folder:
            path = folder + '/probe.pcap'
            write_pcap(path, datagrams)
            out = subprocess.run(['tshark', '-r', path, '-d', 'udp.port==862,twamp.test', '-T', 'fields', '-E', 'occurrence=f',
                                  *(x for f in self.FIELDS for x in ('-e', f))], capture_output=True, text=True,
                                 env=dict(os.environ, TZ='UTC', HOME=folder), timeout=60, check=True).stdout
        return [dict(zip(self.FIELDS, line.split('\t'))) for line in out.splitlines()]

    def test_both_directions(self):
        with Reflector() as there:
            rows, up, down = relay(there.port, '-c', '5', '-i', '10ms', '--tlvs', 'cos,follow-up', '--size', '200')
        self.assertEqual((len(rows), len(up), len(down)), (6, 5 + rows[5]['queries'], 5 + rows[5]['queries']))
        self.assertGreaterEqual(rows[5]['reports'], 2)
        for packet in self.decode([(40000, 862, data) for data in up] + [(862, 40000, data) for data in down]):
            self.assertEqual(packet['_ws.malformed'], '')
        sent = self.decode([(40000, 862, data) for data in up if len(data) == 200])
        back = self.decode([(862, 40000, data) for data in down if len(data) == 200])
        self.assertEqual([int(p['twamp.test.seq_number']) for p in sent], [r['seq'] for r in rows[:5]])
        for row, request, reply in zip(rows, sent, back):
            self.assertEqual(int(reply['twamp.test.sender_seq_number']), row['seq'])
            self.assertEqual(reply['twamp.test.sender_timestamp'], request['twamp.test.timestamp'])
            self.assertEqual(int(reply['twamp.test.sender_ttl']), 64)  # the relay's
            self.assertAlmostEqual(microseconds(reply['twamp.test.receive_timestamp']), row['t2_ns'] // 1000, delta=1)
            self.assertLess(abs(microseconds(request['twamp.test.timestamp']) - row['t1_ns'] // 1000), 20_000)
            error = int(reply['twamp.test.error_estimate.multiplier']) * 2 ** (
                int(reply['twamp.test.error_estimate.scale']) - 32)
            self.assertAlmostEqual(error * 1000, row['reflector_error_ms'], delta=0.01 * row['reflector_error_ms'])


def microseconds(text):
    """tshark's absolute time, "Nov 22, 2026 10:28:59.123456789 UTC", in us since 1970."""
    day, fraction = re.fullmatch(r'(.*)\.(\d{9}) UTC', text).groups()
    return calendar.timegm(time.strptime(day, '%b %d, %Y %H:%M:%S')) * 1_000_000 + int(fraction) // 1000


@unittest.skipIf(stamp is None, 'no scapy')
class Scapy(unittest.TestCase):

    TLVS = {3: bytes(4), 4: struct.pack('!HH', 10 << 10, 0), 5: bytes(12), 7: bytes(16), 200: b'what?'}

    @staticmethod
    def read(kind, data):
        return kind(data, _parent=UDP(len=8 + len(data)))

    def test_its_sender_and_our_reflector(self):
        with Reflector() as there, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
            sock.connect(('127.0.0.1', there.port))
            for n in range(3):
                request = stamp.STAMPSessionSenderTestUnauthenticated(
                    seq=100 + n, ts=time.time() + 2208988800, ssid=4711,
                    tlv_objects=[stamp.STAMPTestTLV(flags=0x80, type=t, len=len(v), value=v)
                                 for t, v in self.TLVS.items()])
                sock.send(bytes(request))
                reply = self.read(stamp.STAMPSessionReflectorTestUnauthenticated, sock.recv(2000))
                self.assertEqual((reply.seq, reply.seq_sender, reply.ssid, reply.ttl_sender), (n, 100 + n, 4711, 64))
                self.assertEqual(bytes(reply)[28:36], bytes(request)[4:12])
                tlvs = {t.type: t for t in reply.tlv_objects}
                self.assertEqual(sorted(tlvs), sorted(self.TLVS))
                for kind, tlv in tlvs.items():
                    self.assertEqual((kind, int(tlv.flags) & 0x80), (kind, 0x80 if kind == 200 else 0))
                self.assertEqual(tlvs[200].value, b'what?')
                self.assertEqual(struct.unpack('!III', tlvs[5].value)[1:], (n + 1, n))
                self.assertEqual(int.from_bytes(tlvs[4].value[:2], 'big') >> 10, 10)

    def test_our_sender_and_its_reflector(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(('127.0.0.1', 0))
            sock.settimeout(5)
            with subprocess.Popen([PROGRAM, 'send', '-f', 'json', '-c', '10', '-i', '30ms', '--size', '120',
                                   f'127.0.0.1:{sock.getsockname()[1]}'], stdout=subprocess.PIPE, text=True) as sender:
                kinds, n = [], -1
                while kinds.count([1]) < 10:  # extra padding
                    data, source = sock.recvfrom(2000)
                    n += 1
                    now = time.time() + 2208988800
                    asked = self.read(stamp.STAMPSessionSenderTestUnauthenticated, data)
                    kinds.append([t.type for t in asked.tlv_objects])
                    reply = stamp.STAMPSessionReflectorTestUnauthenticated(
                        seq=n, ts=now, ts_rx=now, ssid=asked.ssid, seq_sender=asked.seq, ts_sender=asked.ts,
                        err_estimate_sender=asked.err_estimate, ttl_sender=255,
                        err_estimate=stamp.ErrorEstimate(S=1, scale=20, multiplier=100),
                        tlv_objects=asked.tlv_objects)
                    raw = bytearray(bytes(reply))
                    raw[28:36] = data[4:12]  # scapy's stamps are floating point: this one must come back as it was
                    sock.sendto(bytes(raw), source)
                rows = [json.loads(line) for line in sender.communicate(timeout=20)[0].splitlines()]
        self.assertEqual((rows[-1]['answered'], rows[-1]['stateful']), (10, True))
        # our own TLV came back with its U flag set, and nobody asked again
        self.assertEqual((kinds[0], kinds.count([252]), rows[-1]['reports']), ([252], rows[-1]['queries'], 0))
        for row in rows[:10]:
            self.assertAlmostEqual(row['reflector_error_ms'], 100 * 2 ** -12 * 1000, places=3)
            self.assertEqual(row['hops_up'], 0)
            self.assertLess(abs(row['up_ms']), 1000)


if __name__ == '__main__':
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    os.environ.pop('NOTIFY_SOCKET', None)
    if stamp is None and shutil.which('tshark') is None:
        print('neither tshark nor scapy here')
        sys.exit(77)
    unittest.main(verbosity=2)
