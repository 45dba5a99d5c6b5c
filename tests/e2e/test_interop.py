#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Live exporters of Debian's into the real oneway-collector: the same traffic through each of them, packet for packet.

A network namespace has a wire (a veth pair, silent but for the frames written to it here) and, on the loopback device,
an address per exporter, from which its export comes. All listen to the wire at once. Every flow's packets and octets
have to come out as they went in, its first and last packet at the time at which they were sent; and where the exporter
tells what it saw and exported, it has to be that.

usage: test_interop.py PROGRAM [CASE ...]
"""
import collections
import contextlib
import ctypes
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest
import urllib.request

import test_collector as base

SPACE = 'owdi%d' % os.getpid()
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
METRICS = '127.0.0.1:9255'
# How far off a stamp may be, in ms, its clock being this machine's own: the kernel's time of the packet, in ms; told
# against the whole second of a header; rests on when the exporter's own loop had its turn, on a busy machine
EXACT, SECOND, OWN_LOOP = 3, 1010, 20000
SEED = None


def ip(*args):
    subprocess.run(['ip', *args], check=True, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def inside():
    """This thread in the namespace; sockets made there stay there."""
    home, there = os.open('/proc/self/ns/net', os.O_RDONLY), os.open('/run/netns/' + SPACE, os.O_RDONLY)
    try:
        if LIBC.setns(there, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), 'setns')
        yield
    finally:
        LIBC.setns(home, CLONE_NEWNET)
        os.close(home)
        os.close(there)


# ---- traffic ------------------------------------------------------------------------------------

def checksum(data):
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ipv4(src, dst, proto, payload):
    head = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(payload), random.getrandbits(16), 0x4000, 61, proto, 0,
                       socket.inet_aton(src), socket.inet_aton(dst))
    return b'\x08\x00' + head[:10] + struct.pack('!H', checksum(head)) + head[12:] + payload


def ipv6(src, dst, proto, payload):
    return b'\x86\xdd' + struct.pack('!IHBB', 6 << 28, len(payload), proto, 61) + socket.inet_pton(
        socket.AF_INET6, src) + socket.inet_pton(socket.AF_INET6, dst) + payload


def tcp(sport, dport, flags, size):
    return struct.pack('!HHIIBBHHH', sport, dport, 1000, 2000, 0x50, flags, 65535, 0, 0) + bytes(size)


def udp(sport, dport, size):
    return struct.pack('!HHHH', sport, dport, 8 + size, 0) + bytes(size)


def conversations(rng):
    """Frames' contents, conversation by conversation: (flow, IP packet); a flow is (src, dst, proto, sport, dport). So
    many that there are some messages of each exporter, and their sequence numbers tell how they count."""
    for n in range(150):
        wrap, pre = (ipv6, '2001:db8::') if n % 4 == 3 else (ipv4, '192.0.2.')
        a, b = '%s%d' % (pre, 1 + n % 9), '%s%d' % (pre, 20 + n)
        proto = 17 if n % 3 == 2 else 6
        sport, dport = 20000 + n, (443, 53)[proto == 17]
        there, back = (a, b, proto, sport, dport), (b, a, proto, dport, sport)
        frames = []
        for k in range(rng.choice((1, 2, 3, 8, 25))):
            flow = there if k == 0 or rng.random() < 0.6 else back
            size = rng.choice((0, 1, 60, 512, 1300))
            body = udp(*flow[3:], size) if proto == 17 else tcp(*flow[3:], 2 if k == 0 else 0x10, size)
            frames.append((flow, wrap(flow[0], flow[1], proto, body)))
        yield frames


class Sent:
    """Of one flow, what was sent, and between which times its first and its last packet."""

    def __init__(self):
        self.packets = self.octets = 0
        self.first = self.last = None

    def add(self, packet, before_ns, after_ns):
        self.packets += 1
        self.octets += len(packet) - 2
        self.first = self.first or (before_ns, after_ns)
        self.last = (before_ns, after_ns)


def send_traffic(wire, rng):
    """Conversations side by side, over a second and a half. Returns {flow: Sent}."""
    waiting = list(conversations(rng))
    sent = collections.defaultdict(Sent)
    while waiting:
        frames = rng.choice(waiting)
        flow, packet = frames.pop(0)
        if not frames:
            waiting.remove(frames)
        before_ns = time.time_ns()
        wire.send(b'\x02\0\0\0\0\2\x02\0\0\0\0\1' + packet)
        sent[flow].add(packet, before_ns, time.time_ns())
        time.sleep(rng.random() * 0.005)
    return sent


def fill_capture_buffers(wire):
    """softflowd does not see a packet before its capture buffer has filled. It ignores frames that are not IP."""
    for n in range(4000):
        wire.send(b'\x02\0\0\0\0\2\x02\0\0\0\0\1\x88\xb5' + bytes(1400))
        if n % 50 == 0:
            time.sleep(0.005)


# ---- exporters ----------------------------------------------------------------------------------

class Exporter:
    """A running exporter.

    with_v6: whether it can tell of IPv6. per_conversation: both directions have the stamps of the conversation, as in
    softflowd and what comes from it. slack_ms: by which its stamps may be off. octets_more: per packet, what it counts
    beyond the IP packet.
    """
    program = package = None
    with_v6 = True
    per_conversation = True
    slack_ms = EXACT
    octets_more = 0

    def __init__(self, directory, number):
        self.address = '10.9.0.%d' % number
        self.dir = os.path.join(directory, 'e%d' % number)
        self.processes = []
        os.mkdir(self.dir)

    def path(self, name):
        return os.path.join(self.dir, name)

    def run(self, *command, env=None):
        with open(self.path('out'), 'ab') as out:
            self.processes.append(subprocess.Popen(['ip', 'netns', 'exec', SPACE, *command], stdin=subprocess.DEVNULL,
                                                   stdout=out, stderr=out, start_new_session=True,
                                                   env={**os.environ, **(env or {})}))

    def output(self):
        with open(self.path('out'), encoding='utf-8', errors='replace') as f:
            return f.read()

    def says(self):
        """What it says of itself, after it has been told to export all: any of packets, octets, records."""
        return {}

    def expected(self, sent):
        """What of the traffic it can tell."""
        return {flow: s for flow, s in sent.items() if self.with_v6 or ':' not in flow[0]}

    def views(self, rows):
        """Its records in sets that each tell all of the traffic."""
        yield rows

    def end(self):
        for process in reversed(self.processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
        for process in reversed(self.processes):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Softflowd(Exporter):
    program = package = 'softflowd'

    def __init__(self, directory, number, version, *options):
        super().__init__(directory, number)
        self.name = ' '.join(['softflowd -v', str(version), *options])
        self.with_v6 = version != 5
        self.is_biflow = '-b' in options
        self.slack_ms = SECOND if version == 9 else EXACT
        self.run('softflowd', '-d', '-i', 'tap', '-n', self.address + ':4739', '-v', str(version), '-p',
                 self.path('pid'), '-c', self.path('ctl'), *options)

    def control(self, command):
        return subprocess.run(['softflowctl', '-c', self.path('ctl'), command], capture_output=True, text=True,
                              timeout=20, check=True).stdout

    def says(self):
        self.control('expire-all')
        text = self.control('statistics')
        return {'packets': int(re.search(r'Packets processed: (\d+)', text)[1]),
                'octets': sum(map(int, re.findall(r'\(\d+\): +(\d+)', text))),
                'records': int(re.search(r'Flows exported: \d+ \((\d+) records\)', text)[1])}


class Pmacctd(Exporter):
    """Exports what it has when it ends."""
    program, package = 'pmacctd', 'pmacct'

    def __init__(self, directory, number, version):
        super().__init__(directory, number)
        self.name = 'pmacctd nfprobe, version %d' % version
        self.with_v6 = version != 5
        with open(self.path('conf'), 'w', encoding='ascii') as f:
            f.write('daemonize: false\npcap_interface: tap\n'
                    'aggregate: src_host, dst_host, src_port, dst_port, proto, tcpflags, timestamp_start, timestamp_end\n'
                    'plugins: nfprobe[x]\nnfprobe_receiver[x]: %s:2055\nnfprobe_version[x]: %d\n'
                    'nfprobe_timeouts[x]: tcp=60:tcp.rst=60:tcp.fin=60:udp=60:icmp=60:general=60:maxlife=60:expint=1\n'
                    % (self.address, version))
        self.run('pmacctd', '-f', self.path('conf'))


class Fprobe(Exporter):
    program = package = 'fprobe'
    name = 'fprobe'
    with_v6 = per_conversation = False
    slack_ms = OWN_LOOP

    def __init__(self, directory, number):
        super().__init__(directory, number)
        self.run('fprobe', '-i', 'tap', '-f', 'ip', '-l', '2', '-e', '60', '-d', '2', '-s', '1', '-g', '1', '-q',
                 '10000', '-b', '10000', self.address + ':2055')


class OpenVSwitch(Exporter):
    """In user space. Its NetFlow is v5; flows of one packet it exports at its end only. Octets are those of frames."""
    program, package = 'ovs-vswitchd', 'openvswitch-switch'
    name = 'Open vSwitch, NetFlow'
    with_v6 = per_conversation = False
    octets_more = 14
    slack_ms = OWN_LOOP
    running = None

    def __init__(self, directory, number):
        super().__init__(directory, number)
        self.database = 'unix:' + self.path('db.sock')
        env = {name: self.dir for name in ('OVS_RUNDIR', 'OVS_DBDIR', 'OVS_LOGDIR')}
        subprocess.run(['ovsdb-tool', 'create', self.path('db'), '/usr/share/openvswitch/vswitch.ovsschema'], check=True)
        self.run('ovsdb-server', self.path('db'), '--remote=p' + self.database, env=env)
        self.run('ovs-vswitchd', self.database, env=env)
        self.control('set', 'Open_vSwitch', '.', 'other_config:max-idle=1000')
        self.control('add-br', 'bridge', '--', 'set', 'bridge', 'bridge', 'datapath_type=netdev', '--', 'add-port',
                     'bridge', 'tap')
        self.control('--id=@n', 'create', 'netflow', 'targets="%s:2055"' % self.address, 'active_timeout=60', '--', 'set',
                     'bridge', 'bridge', 'netflow=@n')
        OpenVSwitch.running = self

    def control(self, *command):
        subprocess.run(['ip', 'netns', 'exec', SPACE, 'ovs-vsctl', '--retry', '--timeout=20', '--db=' + self.database,
                        *command], capture_output=True, timeout=30, check=True)


class OpenVSwitchIpfix(Exporter):
    """Of the same bridge: each packet once as it comes in and once as it goes out."""
    program, package = OpenVSwitch.program, OpenVSwitch.package
    name = 'Open vSwitch, IPFIX'
    per_conversation = False
    slack_ms = OWN_LOOP

    def __init__(self, directory, number):
        super().__init__(directory, number)
        OpenVSwitch.running.control('--id=@i', 'create', 'ipfix', 'targets="%s:4739"' % self.address, 'sampling=1',
                                    'obs_domain_id=123', 'obs_point_id=456', 'cache_active_timeout=2',
                                    'cache_max_flows=10000', '--', 'set', 'bridge', 'bridge', 'ipfix=@i')

    def views(self, rows):
        for direction in ('ingress', 'egress'):
            yield [r for r in rows if r['direction'] == direction]


EXPORTERS = [(Softflowd, 5), (Softflowd, 9), (Softflowd, 10), (Softflowd, 10, '-P', 'tcp'), (Softflowd, 10, '-b'),
             (Softflowd, 10, '-A', 'milli'), (Softflowd, 10, '-A', 'micro'), (Softflowd, 10, '-A', 'nano'),
             (Pmacctd, 5), (Pmacctd, 9), (Pmacctd, 10), (Fprobe,), (OpenVSwitch,),
             (OpenVSwitchIpfix,)]


# ---- judging ------------------------------------------------------------------------------------

class Got:
    """What the records of a flow say together."""

    def __init__(self):
        self.packets = self.octets = 0
        self.start_ns, self.end_ns = [], []

    def add(self, row):
        self.packets += row['packets']
        self.octets += row['octets']
        self.start_ns += [row['start_ns']] if row['start_ns'] is not None else []
        self.end_ns += [row['end_ns']] if row['end_ns'] is not None else []


def flows_of(rows):
    got = collections.defaultdict(Got)
    for row in rows:
        got[row['src'], row['dst'], row['proto'], row['sport'], row['dport']].add(row)
    return got


def turned(flow):
    return flow[1], flow[0], flow[2], flow[4], flow[3]


def can_make_namespaces():
    if os.geteuid() != 0 or subprocess.run(['ip', 'netns', 'add', SPACE], capture_output=True, check=False).returncode:
        return False
    works = subprocess.run(['ip', 'netns', 'exec', SPACE, 'true'], capture_output=True, check=False).returncode == 0
    ip('netns', 'del', SPACE)
    return works


@unittest.skipUnless(can_make_namespaces(), 'needs root and network namespaces')
class Interop(base.Case):
    def make_network(self):
        ip('netns', 'add', SPACE)
        self.addCleanup(ip, 'netns', 'del', SPACE)
        ip('netns', 'exec', SPACE, 'sysctl', '-q', '-w', 'net.ipv6.conf.default.disable_ipv6=1')
        ip('-n', SPACE, 'link', 'add', 'name', 'wire', 'type', 'veth', 'peer', 'name', 'tap')
        for device in ('lo', 'wire', 'tap'):
            ip('-n', SPACE, 'link', 'set', 'dev', device, 'up')
        for n in range(len(EXPORTERS)):
            ip('-n', SPACE, 'addr', 'add', '10.9.0.%d/32' % (n + 1), 'dev', 'lo')

    def start_exporters(self):
        for n, (kind, *args) in enumerate(EXPORTERS):
            if shutil.which(kind.program) is None:
                print('LEFT OUT: %s (package %s is not installed)' % (kind.program, kind.package))
                continue
            exporter = kind(self.dir, n + 1, *args)
            self.addCleanup(exporter.end)
            yield exporter

    def wait_for_listeners(self, n):
        """Until as many packet sockets are open: theirs, and ours in place of Open vSwitch's second exporter."""
        deadline = time.monotonic() + 30
        while True:
            text = subprocess.run(['ip', 'netns', 'exec', SPACE, 'cat', '/proc/net/packet'], capture_output=True,
                                  text=True, check=True).stdout
            if len(text.splitlines()) > n:  # the first line is a heading
                break
            self.assertLess(time.monotonic(), deadline, 'the exporters do not listen')
            time.sleep(0.2)
        time.sleep(1)

    def check_flows(self, exporter, sent, rows):
        want, got = exporter.expected(sent), flows_of(rows)
        self.assertEqual(set(got), set(want))
        for flow, s in want.items():
            octets = s.octets + exporter.octets_more * s.packets
            self.assertEqual((got[flow].packets, got[flow].octets), (s.packets, octets), flow)
        return want, got

    def check_stamps(self, exporter, want, got):
        """The earliest start and the latest end; in between, records may follow each other."""
        slack_ns = exporter.slack_ms * 10**6
        for flow in want:
            flows = [f for f in (flow, turned(flow)) if f in want] if exporter.per_conversation else [flow]
            starts = [ns for f in flows for ns in got[f].start_ns]
            ends = [ns for f in flows for ns in got[f].end_ns]
            for stamp, (before_ns, after_ns) in ((min(starts), min(want[f].first for f in flows)),
                                                 (max(ends), max(want[f].last for f in flows))):
                self.assertTrue(before_ns - slack_ns <= stamp <= after_ns + slack_ns, (flow, stamp, before_ns, after_ns))

    def check_words(self, exporter, said, rows):
        """Its own count of what it has seen and exported."""
        if 'packets' in said:
            self.assertEqual(sum(r['packets'] for r in rows), said['packets'])
            self.assertEqual(sum(r['octets'] for r in rows), said['octets'])
            self.assertEqual(len([r for r in rows if r.get('biflow') != 'reverse']), said['records'])

    def test_same_traffic_same_totals(self):
        rng = random.Random(SEED)
        self.make_network()
        with inside():
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self.addCleanup(wire.close)
            wire.bind(('wire', 0))
            live = self.live(listen=('*:2055', '*:4739', 'tcp:*:4739'), env={'ONEWAY_COLLECTOR_METRICS': METRICS})
        os.chmod(self.dir, 0o755)
        exporters = list(self.start_exporters())
        if not exporters:
            self.skipTest('none of the exporters is installed')
        self.wait_for_listeners(len(exporters))
        sent = send_traffic(wire, rng)
        fill_capture_buffers(wire)
        time.sleep(9)  # idle timeouts pass, and then fprobe waits five seconds for a datagram to fill
        said = {exporter: exporter.says() for exporter in exporters}
        for exporter in exporters:
            exporter.end()
        time.sleep(0.5)
        with inside(), urllib.request.urlopen('http://' + METRICS + '/metrics', timeout=10) as answer:
            metrics = answer.read().decode()
        self.assertEqual(live.end(), 0, live.messages())
        rows = self.logged()
        for exporter in exporters:
            with self.subTest(exporter.name):
                mine = [r for r in rows if r['exporter'] == exporter.address]
                for view in exporter.views(mine):
                    self.check_stamps(exporter, *self.check_flows(exporter, sent, view))
                self.check_words(exporter, said[exporter], mine)
                for counter in ('lost', 'reordered', 'restarts', 'refused'):
                    for value in re.findall(r'oneway_collector_%s_total\{exporter="%s",.*\} (\d+)'
                                            % (counter, exporter.address), metrics):
                        self.assertEqual(int(value), 0, counter)
                print('%s: %d records, as sent' % (exporter.name, len(mine)))
        self.assertNotIn('warning', live.messages())


if __name__ == '__main__':
    os.environ['PATH'] += ':/usr/sbin:/sbin'
    os.environ.pop('NOTIFY_SOCKET', None)
    base.PROGRAM = os.path.abspath(sys.argv.pop(1))
    SEED = int(os.environ.get('OWD_SEED', time.time_ns() % 10**9))
    print('seed', SEED, flush=True)
    unittest.main(verbosity=2)
