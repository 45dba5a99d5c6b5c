#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The real oneway-probe, both ends: on loopback, and across a line with known delay, loss, copies and reordering.

usage: test_probe.py PROGRAM [CASE ...]; the delay line is taken from the same build
"""
import json
import os
import pwd
import random
import re
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

PROGRAM = None
DELAYLINE = None
TAG = f'owdp{os.getpid() % 100000}'


class Reflector:
    """A running reflector. ports: those that it says it answers on."""

    def __init__(self, *args, listen=('127.0.0.1:0',), prefix=()):
        options = [option for address in listen for option in ('--listen', address)]
        self.process = subprocess.Popen([*prefix, PROGRAM, 'reflect', *options, *args], stderr=subprocess.PIPE,
                                        text=True)
        self.ports = []
        lines = ''
        while len(self.ports) < len(listen):
            line = self.process.stderr.readline()
            if not line:
                raise RuntimeError('no reflector: ' + lines)
            lines += line
            found = re.search(r'answering on UDP .*:(\d+)$', line)
            if found:
                self.ports.append(int(found.group(1)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        """Ends it. Returns its last words."""
        if self.process.returncode is None:
            self.process.terminate()
            self.said = self.process.communicate(timeout=20)[1]
        return self.said

    def proc(self, name):
        with open(f'/proc/{self.process.pid}/{name}', encoding='ascii') as file:
            return file.read()


def run(*args, prefix=()):
    done = subprocess.run([*prefix, PROGRAM, *args], capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def send(*args, prefix=()):
    """Returns: exit status, packets and summaries of a run with JSON output."""
    status, out, err = run('send', '--format', 'json', *args, prefix=prefix)
    rows = [json.loads(line) for line in out.splitlines()]
    packets = sorted((r for r in rows if r['type'] == 'packet'), key=lambda p: (p['target'], p['size'], p['seq']))
    return status, packets, [r for r in rows if r['type'] == 'summary'], err


class Answering:
    """A reflector of a few lines. answer (data, n): what goes back to the n-th datagram; None: nothing does."""

    def __init__(self, answer):
        self.answer = answer
        self.sizes = []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(('127.0.0.1', 0))
        self.sock.settimeout(0.05)
        self.port = self.sock.getsockname()[1]
        self.stop = False
        self.thread = threading.Thread(target=self.run)

    def run(self):
        answered = 0
        while not self.stop:
            try:
                data, source = self.sock.recvfrom(10000)
            except TimeoutError:
                continue
            self.sizes.append(len(data))
            reply = self.answer(data, answered)
            if reply is not None:
                answered += 1
                self.sock.sendto(reply, source)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop = True
        self.thread.join()
        self.sock.close()


class LockStep(Answering):
    """Between a sender and a reflector: hands a packet on once the one before is answered. sizes: of all, both ways."""

    def __init__(self, port):
        super().__init__(self.hand_on)
        self.there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.there.settimeout(20)
        self.there.connect(('127.0.0.1', port))

    def hand_on(self, data, _):
        self.there.send(data)
        reply = self.there.recv(10000)
        self.sizes.append(len(reply))
        return reply

    def __exit__(self, *_):
        super().__exit__()
        self.there.close()


def stamped(data, n):
    """A STAMP answer number n, whatever follows the base packet sent back as it is."""
    now = struct.pack('!Q', int((time.time() + 2208988800) * 2**32))
    return (struct.pack('!I', n) + now + b'\x80\x20' + data[14:16] + now + data[:14] + bytes(2) + b'\xff' + bytes(3)
            + data[44:])


def exchange(port, payload, wait=0.3):
    """One datagram to a reflector. Returns: the answer, None for silence."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(wait)
        sock.sendto(payload, ('127.0.0.1', port))
        try:
            return sock.recv(10000)
        except TimeoutError:
            return None


class Loopback(unittest.TestCase):

    def test_both_families_and_sizes(self):
        with Reflector(listen=('127.0.0.1:0', '[::1]:0')) as there:
            status, packets, sums, err = send('-c', '30', '-i', '5ms', '--size', '44,576,2048', '--tlvs', 'cos,follow-up',
                                              '--dscp', '46', f'127.0.0.1:{there.ports[0]}', f'[::1]:{there.ports[1]}')
        self.assertEqual(status, 0, err)
        self.assertEqual(len(sums), 6)
        self.assertEqual(len(packets), 180)
        self.assertEqual(sorted({s['size'] for s in sums}), [72, 576, 2048])
        self.assertEqual(len({(p['run_ns'], p['target'], p['size'], p['seq']) for p in packets}), 180)
        for s in sums:
            self.assertEqual((s['sent'], s['answered'], s['lost'], s['duplicates'], s['reordered']), (30, 30, 0, 0, 0))
            self.assertTrue(s['stateful'])
            self.assertLess(s['rtt_ms']['p50'], 5)
        for p in packets:
            self.assertEqual((p['dscp_up'], p['dscp_down']), (46, 46))  # the very first packet, too
            self.assertEqual((p['hops_up'], p['hops_down']), (0, 0))
            self.assertNotIn('soft_t1', p['flags'])
            self.assertNotIn('soft_t4', p['flags'])
            self.assertLessEqual(p['up_lo_ms'], p['up_ms'])
            self.assertLessEqual(p['up_ms'], p['up_hi_ms'])
            self.assertAlmostEqual(p['t2_ns'] - p['t1_ns'], p['up_ms'] * 1e6, delta=1)
            self.assertAlmostEqual(p['t4_ns'] - p['t3_ns'], p['down_ms'] * 1e6, delta=1)
            self.assertEqual((p['proto'], p['src'] in ('127.0.0.1', '::1'), p['src']), (17, True, p['dst']))
            self.assertEqual(int(p['target'].rsplit(':', 1)[1]), p['dport'])
            self.assertGreater(p['own_error_ms'], 0)
            self.assertGreater(p['reflector_error_ms'], 0)

    def test_follow_up(self):
        # one packet under way at a time: however busy the machine is, the reflector knows its last departure
        with Reflector() as there, LockStep(there.ports[0]) as relay:
            status, packets, sums, err = send('-c', '20', '-i', '5ms', '--timeout', '20s', '--tlvs', 'follow-up',
                                              f'127.0.0.1:{relay.port}')
        self.assertEqual((status, sums[0]['answered']), (0, 20), err)
        self.assertEqual(['true_t3' in p['flags'] for p in packets], [True] * 19 + [False])

    def test_other_reflectors_are_left_alone(self):
        # what packets longer than the base packet meet: an end that cuts, one that drops, one that flags, one that echoes
        replies = {'cut': lambda data, n: stamped(data, n)[:44],
                   'dropped': lambda data, n: stamped(data, n) if len(data) == 44 else None,
                   'zeroed': lambda data, n: stamped(data, n)[:44] + bytes(len(data) - 44),
                   'flagged': lambda data, n: stamped(data, n),
                   'stateless': lambda data, n: stamped(data, struct.unpack_from('!I', data)[0])}
        for kind, answer in replies.items():
            with Answering(answer) as there:
                began = time.monotonic()
                status, packets, sums, err = send('-c', '400', '-i', '1ms', '--timeout', '1s', f'127.0.0.1:{there.port}')
                self.assertLess(time.monotonic() - began, 20)
            s = sums[0]
            self.assertEqual((kind, status, s['sent'], s['answered'], s['lost'], s['duplicates'], s['foreign']),
                             (kind, 0, 400, 400, 0, 0, 0), err)
            self.assertEqual((s['reordered'], s['reports'], len(packets)), (0, 0, 400), kind)
            self.assertEqual(s['stateful'], kind != 'stateless')
            self.assertEqual(sorted(set(there.sizes)), [44, 84])
            self.assertEqual(there.sizes.count(44), 400)
            self.assertEqual(there.sizes.count(84), s['queries'])
            self.assertLessEqual(s['queries'], 24 if kind == 'dropped' else 12)

    def test_sizes_and_tlvs_stay_as_asked(self):
        for args, size in (((), 44), (('--size', '14'), 44), (('--size', '60'), 60), (('--size', '1000'), 1000),
                           (('--tlvs', 'cos,location'), 60), (('--twamp-light', '--size', '300'), 300)):
            with Reflector() as there, LockStep(there.ports[0]) as relay:
                status, _, sums, err = send('-c', '5', '-i', '5ms', '--timeout', '20s', *args, f'127.0.0.1:{relay.port}')
            self.assertEqual((status, sums[0]['answered'], sums[0]['size']), (0, 5, size), err)
            measured = [n for n in relay.sizes if n != 84]
            self.assertEqual(measured, [size] * 10)  # there and back
            self.assertEqual(sums[0]['reports'] > 0, '--twamp-light' not in args)
            self.assertEqual(len(relay.sizes) - 10, 2 * sums[0]['queries'])

    def test_schedules(self):
        with Reflector() as there:
            target = f'127.0.0.1:{there.ports[0]}'
            for args, n in ((('--schedule', 'poisson', '-i', '2ms', '-c', '200'), 200),
                            (('--schedule', 'burst', '--burst', '5', '--gap', '1ms', '-i', '20ms', '-c', '50'), 50),
                            (('--schedule', 'train', '--burst', '20', '-i', '20ms', '-c', '200'), 200)):
                status, packets, sums, err = send(*args, target)
                self.assertEqual(status, 0, err)
                self.assertEqual((sums[0]['sent'], sums[0]['answered'], len(packets)), (n, n, n))

    def test_duration_and_signal(self):
        with Reflector() as there:
            target = f'127.0.0.1:{there.ports[0]}'
            began = time.monotonic()
            _, _, sums, _ = send('-d', '500ms', '-i', '10ms', target)
            self.assertEqual(sums[0]['sent'], 50)
            self.assertLess(time.monotonic() - began, 3)
            endless = subprocess.Popen([PROGRAM, 'send', '-f', 'json', '--no-packets', target], stdout=subprocess.PIPE,
                                       text=True)
            time.sleep(0.7)
            endless.send_signal(signal.SIGINT)
            out = endless.communicate(timeout=20)[0]
            self.assertEqual(endless.returncode, 0)
            self.assertEqual(len(out.splitlines()), 1)

    def test_standstill_is_no_flood(self):
        with Reflector() as there:
            with subprocess.Popen([PROGRAM, 'send', '-f', 'json', '--no-packets', '-i', '10ms', '-d', '3s',
                                   f'127.0.0.1:{there.ports[0]}'], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  text=True) as sender:
                time.sleep(0.5)
                sender.send_signal(signal.SIGSTOP)
                time.sleep(1.6)
                sender.send_signal(signal.SIGCONT)
                out, err = sender.communicate(timeout=20)
        row = json.loads(out)
        self.assertLess(row['sent'], 280)  # at most a second is made up for
        self.assertEqual(row['sent'], row['answered'])
        self.assertIn('held up', err)

    def test_many_targets_with_a_profile(self):
        listen = [f'127.0.0.{k}:0' for k in range(1, 9)]
        with Reflector(listen=listen) as there:
            targets = [f'127.0.0.{k}:{port}' for k, port in enumerate(there.ports, 1)]
            status, packets, sums, err = send('--profile', 'voice', '-c', '20', *targets)
        self.assertEqual(status, 0, err)
        self.assertEqual(len({p['sport'] for p in packets}), 1)  # one socket for all
        self.assertEqual([(s['target'], s['size'], s['answered'], s['lost']) for s in sums],
                         [(t, 172, 20, 0) for t in targets])

    def test_profiles(self):
        with Reflector() as there:
            for name, size, n in (('voice', 172, 50), ('conference-up', 905, 100), ('conference-down', 905, 800),
                                  ('gaming', 100, 64)):  # in a second
                status, _, sums, err = send('--profile', name, '-d', '1s', '--no-packets', f'127.0.0.1:{there.ports[0]}')
                self.assertEqual((status, sums[0]['size'], sums[0]['sent'], sums[0]['answered']), (0, size, n, n), err)

    def test_live_line(self):
        with Reflector() as there:
            with subprocess.Popen([PROGRAM, 'send', '--live', '-i', '20ms', f'127.0.0.1:{there.ports[0]}'],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE) as sender:
                time.sleep(1)
                sender.send_signal(signal.SIGINT)
                out, live = sender.communicate(timeout=20)
        self.assertEqual(sender.returncode, 0)
        lines = live.decode().split('\r\033[K')
        self.assertRegex(lines[-2], r'^sent \d+, answered \d+, lost 0; 127.0.0.1:\d+: round trip \d+\.\d+ ms, up ')
        self.assertEqual(lines[-1], '')  # taken away before the table
        self.assertIn(b'one way down', out)

    def test_a_source_port_per_packet(self):
        with Reflector() as there:
            status, packets, sums, err = send('--ports', '20', '-c', '60', '-i', '2ms', '--tlvs', 'cos',
                                              f'127.0.0.1:{there.ports[0]}')
        self.assertEqual((status, sums[0]['answered']), (0, 60), err)
        self.assertEqual([p['sport'] for p in packets[:20]], [p['sport'] for p in packets[20:40]])
        self.assertEqual(len({p['sport'] for p in packets}), 20)
        self.assertTrue(all('soft_t1' not in p['flags'] for p in packets))

    def test_like_a_capture(self):
        def udp(sport, size):
            return (b'\x45\0' + struct.pack('!HIBBH', 28 + size, 0, 64, 17, 0) + bytes([192, 0, 2, 1, 192, 0, 2, 2])
                    + struct.pack('!HHHH', sport, 5004, 8 + size, 0) + bytes(size))

        with tempfile.NamedTemporaryFile(suffix='.pcap') as file, Reflector() as there:
            file.write(struct.pack('<IHHiIII', 0xa1b2c3d4, 2, 4, 0, 0, 262144, 101))
            for k in range(100):
                for sport, size, every in ((4000, 180 + k % 3, 1), (4001, 900, 3)):
                    if k % every == 0:
                        data = udp(sport, size)
                        file.write(struct.pack('<IIII', 1700000000, 12000 * k, len(data), len(data)) + data)
            file.flush()
            status, packets, sums, err = send('--like', file.name, '-c', '60', f'127.0.0.1:{there.ports[0]}')
        self.assertEqual((status, sums[0]['size'], sums[0]['answered']), (0, 181, 60), err)
        self.assertIn('192.0.2.1:4000 to 192.0.2.2:5004', err)
        self.assertAlmostEqual((packets[-1]['t1_ns'] - packets[0]['t1_ns']) / 59e6, 12, delta=1)

    def test_formats(self):
        with Reflector() as there:
            target = f'127.0.0.1:{there.ports[0]}'
            _, table, _ = run('send', '-c', '5', '-i', '5ms', target)
            self.assertIn('sent 5, answered 5, lost 0', table)
            self.assertIn('one way up', table)
            self.assertIn('hops: up 0, down 0', table)
            self.assertRegex(table, r'so p50 one way is between \d\.\d+ and \d+\.\d+ ms up')
            _, table, _ = run('send', '-c', '5', '-i', '5ms', '--timeout', '100ms', target, '127.0.0.1:9')
            self.assertIn('note: no reply at all', table)
            _, csv, _ = run('send', '-c', '5', '-i', '5ms', '-f', 'csv', target)
        lines = csv.splitlines()
        self.assertEqual(len(lines), 6)
        self.assertTrue(all(len(line.split(',')) == len(lines[0].split(',')) for line in lines))

    def test_twamp_light_and_ptp(self):
        with Reflector() as there:
            target = f'127.0.0.1:{there.ports[0]}'
            for args in (('--twamp-light', '--size', '44,200'), ('--ptp',), ('--twamp-light', '--ptp')):
                status, packets, sums, err = send('-c', '10', '-i', '5ms', *args, target)
                self.assertEqual((status, [s['answered'] for s in sums]), (0, [10] * len(sums)), err)
                self.assertLess(abs(statistics.median(p['up_ms'] for p in packets)), 5)

    def test_stateless(self):
        with Reflector('--stateless') as there:
            _, _, sums, _ = send('-c', '10', '-i', '5ms', f'127.0.0.1:{there.ports[0]}')
            self.assertFalse(sums[0]['stateful'])

    def test_nobody_there(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(('127.0.0.1', 0))
            port = sock.getsockname()[1]
        status, _, sums, err = send('-c', '10', '-i', '5ms', '--timeout', '200ms', f'127.0.0.1:{port}')
        self.assertEqual(status, 3)
        self.assertEqual((sums[0]['sent'], sums[0]['lost'], sums[0]['not_sent']), (10, 10, 0))
        self.assertIn('refused', err)

    def test_plain_echo(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(('127.0.0.1', 0))
            with subprocess.Popen([PROGRAM, 'send', '-f', 'json', '-c', '5', '-i', '20ms',
                                   f'127.0.0.1:{sock.getsockname()[1]}'], stdout=subprocess.PIPE, text=True) as sender:
                sock.settimeout(0.05)
                while sender.poll() is None:
                    try:
                        sock.sendto(*sock.recvfrom(100))
                    except TimeoutError:
                        pass
                rows = [json.loads(line) for line in sender.communicate(timeout=20)[0].splitlines()]
        self.assertEqual(rows[-1]['answered'], 5)
        self.assertNotIn('up_ms', rows[-1])
        self.assertIn('echo', rows[0]['flags'])

    def test_usage(self):
        for args in (('send',), ('send', '--dscp', '64', '::1'), ('send', '-i', 'soon', '::1'), ('frobnicate',), (),
                     ('send', '--schedule', 'random', '::1'), ('send', '--profile', 'fax', '::1'), ('send', '--size', '70000', '::1'),
                     ('send', '--tcp', 'fin', '::1'), ('send', '--tcp', 'ack', '--tlvs', 'cos', '::1'),
                     ('send', '--like', '/nonexistent', '--profile', 'voice', '::1'), ('send', '--ports', '0x', '::1'),
                     ('send', '--ports', '4', '--tlvs', 'follow-up', '::1'),
                     ('reflect', '--answer-short'), ('reflect', '--allow', 'all'), ('send', '[::1'),
                     ('send', '--key-file', '/nonexistent', '::1'), ('send', '--key', 'k', '::1'), ('send', '-4', '-6', '::1'),
                     ('send', '127.0.0.1:65536'), ('send', '127.0.0.1:'), ('send', '--burst', '0', '::1'),
                     ('send', '--schedule', 'burst', '--gap', '1s', '::1'), ('reflect', '--listen', '127.0.0.1:99999'),
                     ('reflect', 'stray'), ('report', 'stray'), ('calibrate', 'stray'), ('daemon', 'stray')):
            status, out, err = run(*args)
            self.assertEqual(status, 2, (args, err))
            self.assertEqual(out, '')
            self.assertTrue(err)
        for args in (('--help',), ('--version',), ('send', '--help'), ('reflect', '--help')):
            self.assertEqual(run(*args)[0], 0)


class Keys(unittest.TestCase):

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix='oneway-probe-')
        self.addCleanup(shutil.rmtree, self.folder)

    def file(self, name, text, mode=0o600):
        path = os.path.join(self.folder, name)
        with open(path, 'w', encoding='ascii') as out:
            out.write(text)
        os.chmod(path, mode)
        return path

    def test_authenticated(self):
        both = self.file('both', '[old]\nsecret=an old secret, long enough\n[new]\nsecret=hex:' + '5a' * 32 + '\n')
        wrong = self.file('wrong', '[new]\nsecret=hex:' + 'a5' * 32 + '\n')
        with Reflector('--key-file', both) as there:
            target = f'127.0.0.1:{there.ports[0]}'
            good, bad = 0, 0
            for key in ('old', 'new'):
                status, packets, sums, err = send('--key-file', both, '--key', key, '-c', '10', '-i', '5ms', '--tlvs',
                                                  'cos,direct', '--dscp', '10', '--size', '300', target)
                self.assertEqual((status, sums[0]['answered'], sums[0]['size']), (0, 10, 300), err)
                self.assertEqual(packets[0]['dscp_up'], 10)
                self.assertGreaterEqual(sums[0]['reports'], 2)
                good += 10 + sums[0]['queries']
            for args in (('--key-file', wrong), (), ('--size', '112')):
                status, _, sums, _ = send(*args, '-c', '3', '-i', '5ms', '--timeout', '200ms', target)
                self.assertEqual(status, 3)
                bad += 0 if args == () else 3 + sums[0]['queries']
                bad -= sums[0]['queries'] if args == ('--size', '112') else 0  # 84 bytes are too short
            said = there.end()
        self.assertIn(f'answered {good}', said)
        self.assertIn(f'not authentic {bad}', said)

    def test_bad_files(self):
        good = '[k]\nsecret=0123456789abcdef\n'
        for text, mode, why in ((good, 0o644, 'chmod'), ('[k]\nsecret=short\n', 0o600, '16 bytes'), ('', 0o600, 'no keys'),
                                ('[k]\nsecret=hex:0g\n', 0o600, 'digits'), ('[k]\n', 0o600, 'secret'),
                                (good + '[l]\nsecret=0123456789abcdef\n', 0o600, '--key')):
            status, _, err = run('send', '--key-file', self.file('keys', text, mode), '127.0.0.1')
            self.assertEqual(status, 2, text)
            self.assertIn(why, err)
            self.assertNotIn('0123456789abcdef', err)


class Guard(unittest.TestCase):
    """What a reflector owes the rest of the world."""

    def test_silence_and_size(self):
        with Reflector() as there:
            port = there.ports[0]
            for size in (0, 1, 14, 40):
                self.assertIsNone(exchange(port, bytes(size)))
            self.assertIn('--answer-short', there.process.stderr.readline())
            for size in (41, 44, 45, 112, 1400, 8972):
                self.assertEqual(len(exchange(port, bytes(size))), size)
            # packet control (type 12): 373 replies of 9000 bytes, please
            ask = bytes(44) + b'\x80\x0c\x00\x08' + struct.pack('!HHI', 9000, 373, 1000)
            self.assertEqual(len(exchange(port, ask)), len(ask))

    def test_short_only_for_the_listed(self):
        with Reflector('--answer-short', '--allow', '127.0.0.0/8') as there:
            self.assertEqual(len(exchange(there.ports[0], bytes(14))), 44)
        with Reflector('--allow', '192.0.2.0/24') as there:
            self.assertIsNone(exchange(there.ports[0], bytes(44)))
            self.assertIn('source not allowed 1', there.end())

    def test_rate(self):
        with Reflector('--rate', '50') as there:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.settimeout(0.3)
                for _ in range(400):
                    sock.sendto(bytes(44), ('127.0.0.1', there.ports[0]))
                got = 0
                try:
                    while sock.recv(100):
                        got += 1
                except TimeoutError:
                    pass
        self.assertGreaterEqual(got, 50)
        self.assertLess(got, 100)

    def test_idle_costs_nothing(self):
        with Reflector() as there:
            exchange(there.ports[0], bytes(44))
            time.sleep(0.3)
            before = there.proc('schedstat').split()[2]  # how often it ran
            time.sleep(1)
            self.assertEqual(there.proc('schedstat').split()[2], before)

    @unittest.skipUnless(os.geteuid() == 0, 'needs root')
    def test_rights_are_dropped(self):
        nobody = pwd.getpwnam('nobody')
        with Reflector(listen=('127.0.0.1:0',)) as there:
            status = there.proc('status')
        self.assertIn('\t'.join(['Uid:'] + [str(nobody.pw_uid)] * 4), status)
        self.assertRegex(status, r'CapEff:\s0+\n')
        self.assertRegex(status, r'NoNewPrivs:\s1')
        self.assertRegex(status, r'Groups:\s*\n')


def ip(*args):
    subprocess.run(['ip', *args], check=True, stdout=subprocess.DEVNULL)


def can_make_namespaces():
    """Root alone is not enough: containers and plain chroots refuse part of what `ip netns` does."""
    tries = [['ip', 'netns', 'add', TAG], ['ip', 'netns', 'exec', TAG, 'true'], ['ip', 'netns', 'del', TAG]]
    return os.geteuid() == 0 and sum(
        subprocess.run(t, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode
        for t in tries) == 0


class Ends(unittest.TestCase):
    """Two namespaces with a delay line between them, on one clock: every figure has its truth."""

    def setUp(self):
        self.spaces = [TAG + k for k in 'abl']
        self.addCleanup(self.clear)
        a, b, line = self.spaces
        for name in self.spaces:
            ip('netns', 'add', name)
        for end, space, address in (('a', a, '198.18.7.1/24'), ('b', b, '198.18.7.2/24')):
            ip('-n', line, 'link', 'add', 'name', end, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', space)
            ip('-n', line, 'link', 'set', 'dev', end, 'up')
            ip('-n', space, 'addr', 'add', address, 'dev', 'eth0')
            ip('-n', space, 'link', 'set', 'eth0', 'up')
        self.start_line(('ip', 'netns', 'exec', line))

    def start_line(self, inside):
        self.line = subprocess.Popen([*inside, DELAYLINE, '-a', 'a', '-b', 'b', '--ab', '6', '--ba', '11'],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.line.stdout.readline()

    def clear(self):
        if hasattr(self, 'line') and self.line.returncode is None:
            self.line.kill()
            self.line.communicate()
        for name in self.spaces:
            subprocess.run(['ip', 'netns', 'del', name], check=False, stderr=subprocess.DEVNULL)

    def command(self, *lines):
        for text in lines:
            self.line.stdin.write(text + '\n')
        time.sleep(0.1)

    def end_line(self):
        """Returns: the reports of all seconds, and the last one, by direction."""
        self.line.terminate()
        reports = [json.loads(line) for line in self.line.communicate(timeout=20)[0].splitlines()]
        return reports, {r['dir']: r for r in reports}

    def inside(self, k):
        """What to put before a command that is to run at end 0 or 1."""
        return ('ip', 'netns', 'exec', self.spaces[k])


@unittest.skipUnless(can_make_namespaces(), 'needs root and network namespaces')
class Line(Ends):

    def setUp(self):
        super().setUp()
        self.reflector = Reflector(listen=('198.18.7.2:0',), prefix=self.inside(1))
        self.addCleanup(self.reflector.end)
        self.target = f'198.18.7.2:{self.reflector.ports[0]}'

    def command(self, *lines):
        super().command(f'port {self.reflector.ports[0]}', *lines)

    def send(self, *args):
        return send(*args, self.target, prefix=self.inside(0))

    def test_delay_is_the_lines(self):
        self.send('-c', '3', '-i', '20ms')  # neighbours are found
        status, packets, sums, err = self.send('-c', '300', '-i', '10ms', '--tlvs', 'follow-up')
        self.assertEqual((status, sums[0]['answered']), (0, 300), err)
        reports, _ = self.end_line()
        for way, key in (('ab', 'up'), ('ba', 'down')):
            truth = statistics.median(r['p50_ms'] for r in reports if r['dir'] == way and r['n'] > 50)
            self.assertLess(abs(statistics.median(p[key + '_ms'] for p in packets) - truth), 0.1)
            for p in packets:  # the truth of a single packet is not known, but that of the line is
                self.assertLessEqual(p[key + '_lo_ms'], truth + 0.1)

    def everything_at_once(self, *args, size=44):
        """Returns: what the sender says, and what the line did to measured packets and their answers."""
        kinds = ('loss 0.02', 'duplicate 0.02', 'reorder 0.02 3', 'loss 0.03', 'duplicate 0.02', 'reorder 0.01 3')
        self.send('-c', '3', '-i', '20ms')
        self.command(f'size {size}', *(f'{"ab" if k < 3 else "ba"} {kind}' for k, kind in enumerate(kinds)))
        status, _, sums, err = self.send('-c', '3000', '-i', '1ms', *args)
        self.assertEqual(status, 0, err)
        _, last = self.end_line()
        s, up, down = sums[0], last['ab'], last['ba']
        self.assertEqual(s['sent'], 3000)
        self.assertGreater(up['lost'] + down['lost'], 50)
        self.assertEqual(s['lost'], s['lost_up'] + s['lost_down'] + s['lost_unknown'])
        self.assertLessEqual(s['lost_up'], up['lost'])
        self.assertLessEqual(up['lost'], s['lost_up'] + s['lost_unknown'])
        self.assertEqual((s['duplicates_down'], s['reordered_down']), (down['duplicated'], down['reordered']))
        return s, up, down

    def test_everything_at_once_is_told_exactly(self):
        self.told_exactly()

    def told_exactly(self, *args, size=44):
        s, up, down = self.everything_at_once(*args, size=size)
        self.assertEqual((s['lost_unknown'], s['lost_up'], s['duplicates_up'], s['reordered_up']),
                         (0, up['lost'], up['duplicated'], up['reordered']))
        # the line has lost replies to packets, and to copies
        copies = up['duplicated'] - (s['duplicates'] - s['duplicates_down'])
        self.assertEqual(s['lost_down'] + copies, down['lost'])

    def test_everything_at_once_is_told_exactly_with_a_key_and_a_size(self):
        self.reflector.end()
        with tempfile.NamedTemporaryFile('w') as keys:
            keys.write('[k]\nsecret=0123456789abcdef\n')
            keys.flush()
            self.reflector = Reflector('--key-file', keys.name, listen=('198.18.7.2:0',), prefix=self.inside(1))
            self.addCleanup(self.reflector.end)
            self.target = f'198.18.7.2:{self.reflector.ports[0]}'
            self.told_exactly('--key-file', keys.name, '--size', '400', '--tlvs', 'cos', size=400)

    def test_without_reports_an_interval_is_told(self):
        s, _, _ = self.everything_at_once('--no-reports')
        self.assertGreater(s['lost_unknown'], 0)
        self.assertLess(s['lost_unknown'], s['lost'] / 2)

    def test_loss_alone_is_exact(self):
        self.send('-c', '3', '-i', '20ms')
        self.command('ab loss 0.03', 'ba loss 0.03')
        _, _, sums, _ = self.send('-c', '2000', '-i', '1ms', '--timeout', '500ms', '--no-reports')
        self.command('ab loss 0', 'ba loss 0')
        _, last = self.end_line()
        s = sums[0]
        self.assertEqual(s['lost'], last['ab']['lost'] + last['ba']['lost'])
        self.assertLessEqual(last['ab']['lost'] - s['lost_up'], s['lost_unknown'])
        self.assertLessEqual(last['ba']['lost'] - s['lost_down'], s['lost_unknown'])

    def test_reordering_is_told_by_direction(self):
        self.send('-c', '3', '-i', '20ms')
        self.command('size 44', 'ab reorder 0.02 3', 'ba reorder 0.01 3')
        _, _, sums, _ = self.send('-c', '2000', '-i', '1ms', '--timeout', '500ms')
        _, last = self.end_line()
        s = sums[0]
        self.assertEqual((s['answered'], s['lost'], s['duplicates']), (2000, 0, 0))
        self.assertEqual(s['reordered_up'], last['ab']['reordered'])
        self.assertEqual(s['reordered_down'], last['ba']['reordered'])
        self.assertGreater(s['reordered'], 20)

    def test_never_left(self):
        ip('-n', self.spaces[0], 'route', 'add', 'blackhole', '198.51.100.0/24')
        status, _, sums, err = send('-c', '5', '-i', '5ms', '--timeout', '100ms', '198.51.100.1',
                                    prefix=('ip', 'netns', 'exec', self.spaces[0]))
        self.assertEqual(status, 3)
        self.assertEqual((sums[0]['sent'], sums[0]['lost'], sums[0]['not_sent']), (0, 0, 5))
        self.assertIn('cannot send', err)


FLOOD = """
import random, socket, struct, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
port, seed, n = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
random.seed(seed)
more = bytes(44) + b'\\x80\\x0c\\x00\\x08' + struct.pack('!HHI', 9000, 373, 1000)
back = bytes(44) + b'\\x80\\x09\\x00\\x04' + bytes([198, 18, 7, 99])
for _ in range(n):
    source = bytes([random.choice((9, 11, 198)), *random.randbytes(3)])
    data = random.choice((bytes(13), bytes(14), bytes(44), bytes(112), bytes(700), more, back, random.randbytes(100)))
    udp = struct.pack('!HHHH', random.randrange(1, 65536), port, 8 + len(data), 0) + data
    sock.sendto(struct.pack('!BBHHHBBH', 0x45, 0, 0, 0, 0, 64, 17, 0) + source + bytes([198, 18, 7, 2]) + udp,
                ('198.18.7.2', 0))
"""


@unittest.skipUnless(can_make_namespaces(), 'needs root and network namespaces')
class Flood(Ends):
    """A reflector asked in other people's names."""

    def counts(self):
        with_stats = subprocess.run(['ip', '-n', self.spaces[1], '-s', '-j', 'link', 'show', 'eth0'], capture_output=True, text=True,
                                    check=True).stdout
        stats = json.loads(with_stats)[0]['stats64']
        return [stats[way][what] for way in ('rx', 'tx') for what in ('packets', 'bytes')]

    def flood(self, *args, n=20000):
        """Returns: packets and bytes that came, packets and bytes that left, what the reflector said."""
        a, b = self.spaces[:2]
        ip('-n', b, 'route', 'add', 'default', 'via', '198.18.7.1')
        for space in (a, b):
            subprocess.run(['ip', 'netns', 'exec', space, 'sh', '-c', 'cd /proc/sys/net/ipv4/conf; echo 0 > all/rp_filter; '
                            'echo 0 > eth0/rp_filter'], check=True)
        with Reflector(*args, listen=('198.18.7.2:0',), prefix=self.inside(1)) as there:
            send('-c', '3', '-i', '20ms', '--timeout', '300ms', f'198.18.7.2:{there.ports[0]}', prefix=self.inside(0))
            memory = int(re.search(r'VmRSS:\s+(\d+)', there.proc('status')).group(1))
            before = self.counts()
            seed = random.randrange(1 << 32)
            print('seed', seed, file=sys.stderr)
            subprocess.run([*self.inside(0), sys.executable, '-c', FLOOD, str(there.ports[0]), str(seed), str(n)], check=True)
            time.sleep(0.5)
            after = self.counts()
            # whoever is meant is still served
            _, _, sums, _ = send('-c', '20', '-i', '5ms', '--timeout', '500ms', f'198.18.7.2:{there.ports[0]}',
                                 prefix=self.inside(0)) if not args else (0, 0, [{'answered': 20}], '')
            self.assertEqual(sums[0]['answered'], 20)
            grown = int(re.search(r'VmRSS:\s+(\d+)', there.proc('status')).group(1)) - memory
            self.assertLess(grown, 20000)  # tables and buffers that were not touched yet: KiB
            said = there.end()
        return [x - y for x, y in zip(after, before)], said

    def test_amplifies_nothing(self):
        (packets_in, bytes_in, packets_out, bytes_out), said = self.flood()
        self.assertGreater(packets_in, 15000)
        self.assertGreater(packets_out, 5000)  # it does answer
        self.assertLessEqual(packets_out, packets_in)
        self.assertLessEqual(bytes_out, bytes_in)
        self.assertIn('too short', said)

    def test_says_nothing_to_those_without_a_key(self):
        with tempfile.NamedTemporaryFile('w') as keys:
            keys.write('[k]\nsecret=0123456789abcdef\n')
            keys.flush()
            (packets_in, _, packets_out, _), said = self.flood('--key-file', keys.name, n=5000)
        self.assertGreater(packets_in, 4000)
        self.assertLess(packets_out, 10)  # neighbours and the like
        self.assertIn('not authentic', said)


RELAY = """
import select, socket, struct, sys
ends = [socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) for _ in range(2)]
for end, name in zip(ends, 'ab'):
    end.bind((name, 0))
changes = [int(v) for v in sys.argv[1:]]  # per direction: and, or
print('ready', flush=True)
while True:
    for end in select.select(ends, [], [])[0]:
        frame, address = end.recvfrom(2000)
        way = ends.index(end)
        if address[2] == socket.PACKET_OUTGOING:
            continue
        frame = bytearray(frame)
        if frame[12:14] == b'\\x08\\0' and frame[23] == 17:
            frame[15] = frame[15] & changes[2 * way] | changes[2 * way + 1]
            frame[24:26] = frame[40:42] = bytes(2)  # both checksums; the sender has left UDP's to its "hardware"
            total = sum(struct.unpack('!10H', frame[14:34]))
            struct.pack_into('!H', frame, 24, ~(total + (total >> 16)) & 0xffff)
        ends[1 - way].send(frame)
"""


@unittest.skipUnless(can_make_namespaces(), 'needs root and network namespaces')
class Bleaching(Ends):
    """A network that changes the traffic class on one of the two ways."""

    def start_line(self, inside):
        self.line_at = inside
        self.line = None

    def clear(self):
        if self.line is None:
            del self.line
        super().clear()

    def classes(self, *changes):
        """Returns: packets and summary of a run over a line with these changes."""
        self.line = subprocess.Popen([*self.line_at, sys.executable, '-c', RELAY, *map(str, changes)], stdout=subprocess.PIPE,
                                     text=True)
        self.line.stdout.readline()
        with Reflector(listen=('198.18.7.2:0',), prefix=self.inside(1)) as there:
            _, packets, sums, err = send('-c', '10', '-i', '20ms', '--dscp', '46', '--ecn', '1', '--timeout', '1s',
                                         f'198.18.7.2:{there.ports[0]}', prefix=self.inside(0))
        self.line.kill()
        self.line.communicate()
        self.line = None
        self.assertEqual(sums[0]['answered'], 10, err)
        return packets, sums[0]

    def test_each_way_is_told(self):
        for changes, seen, counts in (((0xff, 0, 0xff, 0), (46, 46), (0, 0, 0, 0)), ((0x03, 0, 0xff, 0), (0, 46), (10, 0, 0, 0)),
                                      ((0xff, 0, 0x03, 0x20), (46, 8), (0, 10, 0, 0)), ((0xff, 3, 0xff, 0), (46, 46), (0, 0, 10, 0)),
                                      ((0xff, 0, 0xff, 3), (46, 46), (0, 0, 0, 10))):
            packets, total = self.classes(*changes)
            self.assertEqual({(p['dscp_up'], p['dscp_down']) for p in packets}, {seen})  # of the first packet, too
            self.assertEqual(tuple(total[k] for k in ('dscp_changed_up', 'dscp_changed_down', 'ce_up', 'ce_down')), counts)


SNIFFER = """
import socket, struct, sys
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
sock.bind(('eth0', 0))
print('ready', flush=True)
while True:
    frame = sock.recv(2000)
    head = 14 + (frame[14] & 15) * 4
    if frame[12:14] == b'\\x08\\0' and frame[23] == 6:
        print(*struct.unpack('!HH', frame[head:head + 4]), frame[head + 13], flush=True)
"""
FIN, SYN, RST, ACK = 1, 2, 4, 16


@unittest.skipUnless(can_make_namespaces(), 'needs root and network namespaces')
class Tcp(Ends):
    """Hosts without a reflector: their TCP answers."""

    def setUp(self):
        super().setUp()
        for k in (0, 1):  # nothing on the line but what is measured
            subprocess.run([*self.inside(k), 'sh', '-c', 'echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6'], check=True)
        self.process((*self.inside(1), sys.executable, '-c', "import socket, time\nwith socket.create_server(('', 8080)):\n"
                      " print('ready', flush=True)\n time.sleep(100)"))
        self.sniffer = self.process((*self.inside(1), sys.executable, '-c', SNIFFER))
        send('--tcp', 'ack', '-c', '3', '-i', '20ms', '198.18.7.2:9', prefix=self.inside(0))  # neighbours are found
        self.command('port 0')

    def process(self, command):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        process.stdout.readline()
        return process

    def segments(self, port):
        """Returns: what has passed end 1 from and to a port of it: [(other port, bits)] here, [...] from here."""
        time.sleep(0.3)
        self.sniffer.kill()
        rows = [tuple(map(int, line.split())) for line in self.sniffer.stdout.read().splitlines()]
        return [(r[0], r[2]) for r in rows if r[1] == port], [(r[1], r[2]) for r in rows if r[0] == port]

    def send(self, *args):
        status, packets, sums, err = send(*args, prefix=self.inside(0))
        self.assertEqual(status, 0, err)
        return packets, sums[0]

    def truth(self):
        reports, _ = self.end_line()
        return sum(statistics.median(r['p50_ms'] for r in reports if r['dir'] == way and r['n'] > 10)
                   for way in ('ab', 'ba'))

    def test_ack_to_reset(self):
        packets, total = self.send('--tcp', 'ack', '-c', '200', '-i', '5ms', '198.18.7.2:7777')
        there, back = self.segments(7777)
        self.assertEqual((total['sent'], total['answered'], total['lost'], total['duplicates']), (200, 200, 0, 0))
        # every probe and every answer is a flow of one packet, and this machine's kernel has added nothing
        self.assertEqual(sorted(there), sorted((p['sport'], ACK) for p in packets))
        self.assertEqual(sorted(back), sorted((p['sport'], RST) for p in packets))
        self.assertEqual(len({p['sport'] for p in packets}), 200)
        for p in packets:
            self.assertEqual((p['method'], p['proto'], p['src'], p['dst'], p['dport']),
                             ('tcp-ack', 6, '198.18.7.1', '198.18.7.2', 7777))
            self.assertEqual(set(p['flags']) - {'first'}, {'rst'})
        self.assertLess(abs(statistics.median(p['rtt_ms'] for p in packets) - self.truth()), 0.3)

    def test_bursts_and_loss(self):
        self.command('ab loss 0.1', 'ba loss 0.1')
        packets, total = self.send('--tcp', 'ack', '--schedule', 'burst', '--burst', '100', '--gap', '2ms', '-i', '500ms',
                                   '-c', '300', '--timeout', '300ms', '198.18.7.2:7777')
        self.command('ab loss 0', 'ba loss 0')
        _, last = self.end_line()
        self.assertEqual(total['sent'], 300)
        self.assertEqual(total['lost'], last['ab']['lost'] + last['ba']['lost'])
        self.assertGreater(total['lost'], 20)
        gaps = sorted(b['t1_ns'] - a['t1_ns'] for a, b in zip(packets, packets[1:]))
        self.assertGreater(gaps[-2], 280e6)  # between bursts
        self.assertLess(gaps[-3], 280e6)

    def test_syn_to_a_closed_port(self):
        packets, _ = self.send('--tcp', 'syn', '-c', '50', '-i', '5ms', '198.18.7.2:7777')
        there, back = self.segments(7777)
        self.assertEqual(sorted(there), sorted((p['sport'], SYN) for p in packets))
        self.assertEqual(sorted(back), sorted((p['sport'], RST | ACK) for p in packets))
        self.assertTrue(all(set(p['flags']) - {'first'} == {'rst'} for p in packets))
        self.assertLess(abs(statistics.median(p['rtt_ms'] for p in packets) - self.truth()), 0.3)

    def test_syn_to_an_open_port(self):
        packets, _ = self.send('--tcp', 'syn', '-c', '50', '-i', '5ms', '198.18.7.2:8080')
        there, back = self.segments(8080)
        ports = [p['sport'] for p in packets]
        self.assertTrue(all(set(p['flags']) - {'first'} == {'syn_ack'} for p in packets))
        self.assertEqual(sorted(back), sorted((p, SYN | ACK) for p in ports))  # said once: it was taken back
        self.assertEqual(sorted(there), sorted([(p, SYN) for p in ports] + [(p, RST) for p in ports]))

    def test_connect_needs_no_rights(self):
        nobody = ('setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', '--bounding-set', '-all')
        _, open_port, sums, err = send('--tcp', 'connect', '-c', '50', '-i', '5ms', '198.18.7.2:8080',
                                       prefix=(*self.inside(0), *nobody))
        self.assertEqual(sums[0]['answered'], 50, err)
        _, closed, sums, err = send('--tcp', 'connect', '-c', '50', '-i', '5ms', '198.18.7.2:7777',
                                    prefix=(*self.inside(0), *nobody))
        self.assertEqual(sums[0]['answered'], 50, err)
        status, _, _, err = send('--tcp', 'ack', '198.18.7.2', prefix=(*self.inside(0), *nobody))
        self.assertEqual(status, 1)
        self.assertIn('CAP_NET_RAW', err)
        truth = self.truth()
        self.assertEqual(len({p['sport'] for p in open_port}), 50)
        self.assertTrue(all('syn_ack' in p['flags'] and 'soft_t4' not in p['flags'] for p in open_port))
        self.assertLess(abs(statistics.median(p['rtt_ms'] for p in open_port) - truth), 0.8)
        self.assertTrue(all('rst' in p['flags'] and 'soft_t4' in p['flags'] for p in closed))
        self.assertLess(abs(statistics.median(p['rtt_ms'] for p in closed) - truth), 5)  # as soon as this program runs

    def test_a_repeated_syn_is_a_lost_one(self):
        self.command('ab loss 0.3')
        packets, total = self.send('--tcp', 'connect', '-c', '60', '-i', '10ms', '--timeout', '3s', '198.18.7.2:8080')
        self.assertGreater(total['lost'], 3)
        self.assertLess(max(p['rtt_ms'] for p in packets if 'lost' not in p['flags']), 500)

    def test_ipv6_and_sizes(self):
        for kind in ('ack', 'syn', 'connect'):
            if kind != 'connect':
                _, packets, sums, err = send('--tcp', kind, '-c', '5', '-i', '10ms', '-s', '0,100,1000', '[::1]:9', '127.0.0.1:9')
                self.assertEqual([s['answered'] for s in sums], [5] * 6, err)
            _, packets, sums, err = send('--tcp', kind, '-c', '5', '-i', '10ms', '[::1]:9')
            self.assertEqual((sums[0]['answered'], packets[0]['src']), (5, '::1'), err)
        for method in ('udp', 'tcp', 'icmp'):
            status, out, err = run('path', '-m', method, '-f', 'json', '::1')
            self.assertEqual((status, [h['addr'] for h in json.loads(out)['hops']]), (0, ['::1']), err)

    def test_the_firewall_is_left_alone(self):
        self.send('--tcp', 'ack', '-c', '20', '-i', '1ms', '--source', '198.18.7.1:21000', '198.18.7.2:7777')
        # afterwards the ports are as before: a stranger's segment is answered by this kernel again
        packets, _ = send('--tcp', 'syn', '-c', '1', '198.18.7.1:21000', prefix=self.inside(1))[1:3]
        self.assertIn('rst', packets[0]['flags'])


@unittest.skipUnless(can_make_namespaces(), 'needs root and network namespaces')
class Path(unittest.TestCase):
    """Routers in namespaces: a - r - (m | x | y | nothing) - s - b. Router m is silent, the way by x is 5 ms longer, and
    answers always come back from s to r directly."""

    NETS = {'ar': 1, 'rm': 2, 'ms': 3, 'rs': 4, 'sb': 5, 'xs': 7, 'ry': 8, 'ys': 9}

    @staticmethod
    def address(net, end):
        return f'198.19.{net}.{end}'

    def link(self, first, second, net, via=None):
        """A link between two namespaces; via: through the delay line."""
        spaces = [TAG + first, TAG + second]
        ends = [f'{second}0', f'{first}0']
        if via is None:
            ip('-n', spaces[0], 'link', 'add', 'name', ends[0], 'type', 'veth', 'peer', 'name', ends[1], 'netns', spaces[1])
        else:
            for k, wire in ((0, 'a'), (1, 'b')):
                ip('-n', via, 'link', 'add', 'name', wire, 'type', 'veth', 'peer', 'name', ends[k], 'netns', spaces[k])
                ip('-n', via, 'link', 'set', 'dev', wire, 'up')
        for k in (0, 1):
            ip('-n', spaces[k], 'addr', 'add', self.address(net, k + 1) + '/24', 'dev', ends[k])
            ip('-n', spaces[k], 'link', 'set', ends[k], 'up')

    def route(self, space, to, gateway):
        ip('-n', TAG + space, 'route', 'replace', f'198.19.{to}.0/24', *gateway)

    def setUp(self):
        self.spaces = [TAG + k for k in 'armxysbl']
        self.addCleanup(self.clear)
        for name in self.spaces:
            ip('netns', 'add', name)
            subprocess.run(['ip', 'netns', 'exec', name, 'sh', '-c', 'cd /proc/sys/net/ipv4; echo 1 > ip_forward; '
                            'echo 0 > conf/all/rp_filter; echo 0 > conf/default/rp_filter; echo 0 > icmp_ratelimit'],
                           check=True)
        for first, second in self.NETS:
            self.link(first, second, self.NETS[first + second])
        self.link('r', 'x', 6, via=TAG + 'l')
        self.line = subprocess.Popen(['ip', 'netns', 'exec', TAG + 'l', DELAYLINE, '-a', 'a', '-b', 'b', '--ab', '5', '--ba', '5'],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.line.stdout.readline()
        via = self.address
        ip('-n', TAG + 'a', 'route', 'add', 'default', 'via', via(1, 2))
        ip('-n', TAG + 'b', 'route', 'add', 'default', 'via', via(5, 1))
        for space, net in (('s', 4), ('x', 6), ('y', 8)):
            self.route(space, 1, ('via', via(net, 1)))
        self.route('m', 5, ('via', via(3, 2)))
        self.route('x', 5, ('via', via(7, 2)))
        self.route('y', 5, ('via', via(9, 2)))
        ip('-n', TAG + 'm', 'route', 'add', 'blackhole', '198.19.1.0/24')  # whatever m has to say to a
        self.route('r', 5, ('via', via(2, 2)))
        self.routers = [via(1, 2), None, via(4, 2), via(5, 2)]

    def clear(self):
        if hasattr(self, 'line'):
            self.line.kill()
            self.line.communicate()
        for name in self.spaces:
            subprocess.run(['ip', 'netns', 'del', name], check=False, stderr=subprocess.DEVNULL)

    def start(self, *args):
        process = subprocess.Popen(['ip', 'netns', 'exec', TAG + 'a', PROGRAM, 'path', '-f', 'json', '--timeout', '150ms', *args],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def end(self, process, status=0):
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, status, err)
        rows = [json.loads(line) for line in out.splitlines()]
        return [r for r in rows if r['type'] == 'route'], [r for r in rows if r['type'] == 'route_change'], err

    def test_hops(self):
        for method, proto in (('udp', 17), ('tcp', 6), ('icmp', 1)):
            routes, changes, err = self.end(self.start('-m', method, self.address(5, 2)))
            self.assertEqual(len(routes), 1, err)
            self.assertEqual([h.get('addr') for h in routes[0]['hops']], self.routers)
            self.assertEqual((routes[0]['reached'], routes[0]['proto'], changes), (True, proto, []))
            self.assertTrue(all(h['rtt_ms'] < 20 for h in routes[0]['hops'] if 'addr' in h))
        table = subprocess.run(['ip', 'netns', 'exec', TAG + 'a', PROGRAM, 'path', '--timeout', '150ms', self.address(5, 2)],
                               capture_output=True, text=True, check=True).stdout
        self.assertRegex(table, r'(?m)^ +1  198.19.1.2 .*\n +2  \*\n +3  198.19.4.2 .*\n +4  198.19.5.2 ')

    def test_hops_of_ipv6(self):
        for first, second, net in (('a', 'r', 1), ('r', 's', 4), ('s', 'b', 5)):
            for space, end, k in ((first, f'{second}0', 1), (second, f'{first}0', 2)):
                subprocess.run(['ip', 'netns', 'exec', TAG + space, 'sh', '-c', 'cd /proc/sys/net/ipv6; '
                                'echo 1 > conf/all/forwarding; echo 0 > icmp/ratelimit'], check=True)
                ip('-n', TAG + space, 'addr', 'add', f'fd00:{net}::{k}/64', 'dev', end, 'nodad')
        for space, to, gateway in (('a', 'default', 'fd00:1::2'), ('r', 'fd00:5::/64', 'fd00:4::2'),
                                   ('s', 'fd00:1::/64', 'fd00:4::1'), ('b', 'default', 'fd00:5::1')):
            ip('-n', TAG + space, '-6', 'route', 'add', to, 'via', gateway)
        # Until a link's two ends have found each other its router answers that there is no way on, and that is an end too.
        until = time.monotonic() + 20
        while ('"reached":true' not in self.start('-m', 'icmp', 'fd00:5::2').communicate(timeout=60)[0].replace(' ', '')
               and time.monotonic() < until):
            time.sleep(0.2)
        for method in ('udp', 'tcp', 'icmp'):
            routes, _, err = self.end(self.start('-m', method, 'fd00:5::2'))
            self.assertEqual([h.get('addr') for h in routes[0]['hops']], ['fd00:1::2', 'fd00:4::2', 'fd00:5::2'], err)
            self.assertTrue(routes[0]['reached'])

    def test_a_reflector_is_a_destination(self):
        with Reflector(listen=(self.address(5, 2) + ':0',), prefix=('ip', 'netns', 'exec', TAG + 'b')) as there:
            routes, _, _ = self.end(self.start(f'{self.address(5, 2)}:{there.ports[0]}'))
        self.assertEqual([h.get('addr') for h in routes[0]['hops']], self.routers)
        self.assertTrue(routes[0]['reached'])

    def test_nobody_answers(self):
        routes, _, err = self.end(self.start('--silent', '2', '--tries', '1', '--source', self.address(1, 1), '198.19.99.1'))
        self.assertEqual([h['addr'] for h in routes[0]['hops']], [self.address(1, 2)])  # no route there, says r
        self.assertFalse(routes[0]['reached'])
        ip('-n', TAG + 'a', 'route', 'add', '203.0.113.0/24', 'dev', 'r0')
        routes, _, err = self.end(self.start('--silent', '2', '--tries', '1', '203.0.113.1'), status=3)
        self.assertEqual(routes, [])
        self.assertIn('nobody on the way', err)

    def test_a_change_found_by_schedule(self):
        self.route('r', 5, ('via', self.address(8, 2)))
        process = self.start('-i', '1s', '--trips', '20ms', '-d', '8s', self.address(5, 2))
        time.sleep(4)
        before = time.time_ns()
        self.route('r', 5, ('via', self.address(6, 2)))  # as many hops, 5 ms longer
        after = time.time_ns()
        routes, changes, err = self.end(process)
        self.assertEqual((len(routes), len(changes)), (2, 1), err)
        for k, net in ((0, 8), (1, 6)):
            self.assertEqual([h.get('addr') for h in routes[k]['hops']],
                             [self.address(1, 2), self.address(net, 2), *self.routers[2:]])
        change = changes[0]
        self.assertEqual(change['trigger'], 'schedule')
        self.assertLessEqual(change['lo_ns'], after)
        self.assertGreaterEqual(change['hi_ns'], before)
        self.assertLess(change['hi_ns'] - change['lo_ns'], 2.5e9)
        self.assertAlmostEqual(change['step_ms'], 5, delta=1)
        self.assertLessEqual(routes[0]['to_ns'], after)
        self.assertGreaterEqual(routes[1]['from_ns'], before)
        self.assertIn('first_rtt_ms', routes[0])
        self.assertIn('1 route changes', err)

    def test_a_change_told_by_ttl(self):
        process = self.start('-i', '1h', '--trips', '20ms', '-d', '7s', self.address(5, 2))
        time.sleep(4)
        before = time.time_ns()
        self.route('r', 5, ('via', self.address(4, 2)))  # a hop less
        routes, changes, err = self.end(process)
        self.assertEqual([len(r['hops']) for r in routes], [4, 3], err)
        self.assertEqual([c['trigger'] for c in changes], ['ttl'])
        self.assertLess(abs(changes[0]['lo_ns'] - before), 3e8)
        self.assertLess(abs(changes[0]['hi_ns'] - before), 3e8)

    def test_the_nearest_are_asked(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(folder + '/conf', 'w', encoding='ascii') as out:
                out.write(f'[probe]\nspool = {folder}/spool\nstore = no\n[targets some]\nnearest = 2\nhosts = '
                          f'{self.address(5, 2)};203.0.113.1;{self.address(4, 2)};{self.address(1, 2)}\n'
                          '[test near]\ntargets = some\nmethod = tcp-ack\nport = 7777\nevery = 0\ninterval = 50 ms\n')
            daemon = subprocess.Popen(['ip', 'netns', 'exec', TAG + 'a', PROGRAM, 'daemon', '--config', folder + '/conf'],
                                      stderr=subprocess.PIPE, text=True)
            lines = iter(daemon.stderr.readline, '')
            said = next(line for line in lines if 'nearest of' in line)
            time.sleep(2)
            daemon.terminate()
            daemon.communicate(timeout=30)
            rows = []
            for name in os.listdir(folder + '/spool'):
                with open(f'{folder}/spool/{name}', encoding='ascii') as file:
                    rows += [json.loads(line) for line in file]
        self.assertRegex(said, rf'{self.address(1, 2)} \(1 hops, .*{self.address(4, 2)} \(2 hops')
        self.assertEqual({r['dst'] for r in rows}, {self.address(1, 2), self.address(4, 2)})

    def test_usage(self):
        for args in (('path',), ('path', '-m', 'sctp', '::1'), ('path', '--tries', '9', '::1'), ('path', '-f', 'xml', '::1')):
            self.assertEqual(run(*args)[0], 2)


if __name__ == '__main__':
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    DELAYLINE = os.path.join(os.path.dirname(PROGRAM), '..', 'demo', 'delayline')
    os.environ.pop('NOTIFY_SOCKET', None)
    unittest.main(verbosity=2)
