#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""oneway-probe beside irtt, on loopback, in turns in one run.

usage: probe.py [--program FILE] [--irtt FILE] [--rounds N] [--rates PPS,...]

Both senders at 10 ms and 1 ms; when their packets leave is told by one and the same observer, a packet socket's kernel
stamps, by their size: neither irtt's handshake nor our queries are part of the schedule. Told: error of the time between departures (median, 95 %), packets sent of those wanted, CPU of both ends. Then
the reflector alone: how much of a flood it answers, and at what cost, whoever asks.
"""
import argparse
import os
import re
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time

SO_TIMESTAMPNS = 35
SCHEDULES = ((10, 500), (1, 3000))  # ms, packets
SIZE = 72  # of their payload


class Observer:
    """Kernel stamps of UDP packets of SIZE to a port on loopback, as they leave."""

    def __init__(self, port):
        self.port = port
        self.stamps = []
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self.sock.bind(('lo', 0))
        self.sock.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self.sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.sock.settimeout(0.2)
        self.stop = False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stop:
            try:
                data, control, _, address = self.sock.recvmsg(64, 256)
            except TimeoutError:
                continue
            if address[2] != socket.PACKET_OUTGOING or len(data) < 28 or data[9] != 17:
                continue
            if struct.unpack_from('!HH', data, 22) == (self.port, 8 + SIZE):
                self.stamps += [struct.unpack('qq', c[2][:16]) for c in control if c[1] == SO_TIMESTAMPNS]

    def end(self):
        time.sleep(0.3)
        self.stop = True
        self.thread.join()
        self.sock.close()
        return [s * 10**9 + ns for s, ns in self.stamps]


def cpu(process):
    """Ends a process. Returns: its CPU seconds."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return usage.ru_utime + usage.ru_stime


def quiet(command):
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def reflector(program, *args):
    process = subprocess.Popen([program, 'reflect', '--listen', '127.0.0.1:0', *args], stderr=subprocess.PIPE, text=True)
    return process, int(re.search(r':(\d+)$', process.stderr.readline().strip()).group(1))


def measure(client, server, port, interval_ms, packets):
    observer = Observer(port)
    sender = quiet(client)
    _, _, usage = os.wait4(sender.pid, 0)
    sender.returncode = 0
    stamps = observer.end()
    there = cpu(server)
    errors = sorted(abs(b - a - interval_ms * 10**6) / 1000 for a, b in zip(stamps, stamps[1:]))
    span = packets * interval_ms / 1000
    return {'p50': statistics.median(errors), 'p95': errors[int(0.95 * len(errors))], 'sent': len(stamps),
            'client': 100 * (usage.ru_utime + usage.ru_stime) / span, 'server': 100 * there / span}


def ours(program, interval_ms, packets):
    server, port = reflector(program)
    return measure([program, 'send', '-i', f'{interval_ms}ms', '-c', str(packets), '--size', str(SIZE), f'127.0.0.1:{port}'],
                   server, port, interval_ms, packets)


def theirs(irtt, interval_ms, packets, port=42112):
    server = quiet([irtt, 'server', '-b', f'127.0.0.1:{port}', '-i', '1ms'])
    time.sleep(0.5)
    return measure([irtt, 'client', '-q', '-i', f'{interval_ms}ms', '-d', f'{interval_ms * packets}ms', '-l', str(SIZE),
                    f'127.0.0.1:{port}'], server, port, interval_ms, packets)


def compare(program, irtt, rounds):
    print(f'{"":16} {"p50 us":>8} {"p95 us":>8} {"sent":>11} {"client CPU %":>13} {"server CPU %":>13}')
    for interval_ms, packets in SCHEDULES:
        runs = {'oneway-probe': [], 'irtt': []}
        for _ in range(rounds):
            runs['oneway-probe'].append(ours(program, interval_ms, packets))
            if irtt is not None:
                runs['irtt'].append(theirs(irtt, interval_ms, packets))
        for name, rows in runs.items():
            if rows:
                m = {key: statistics.median(r[key] for r in rows) for key in rows[0]}
                print(f'{name:12} {interval_ms:2}ms {m["p50"]:8.1f} {m["p95"]:8.1f} {m["sent"]:5.0f}/{packets:<5} '
                      f'{m["client"]:13.2f} {m["server"]:13.2f}', flush=True)


def flood(program, rate, seconds=3):
    """A flood of 44-byte requests at `rate`; the flooder is this program's own sender in trains."""
    server, port = reflector(program, '--rate', '0')
    n = int(rate * seconds)
    burst = max(rate // 1000, 1)
    sender = subprocess.run([program, 'send', '--schedule', 'train', '--burst', str(burst), '-i', '1ms', '-c', str(n),
                             '--timeout', '500ms', '--no-reports', '--format', 'json', '--no-packets', f'127.0.0.1:{port}'],
                            capture_output=True, text=True, check=False)
    used = cpu(server)
    answered = int(re.search(r'answered (\d+)', server.stderr.read()).group(1))
    sent = int(re.search(r'"sent":(\d+)', sender.stdout).group(1))
    print(f'reflector at {rate:6} packets/s: sent {sent}, answered {answered} ({100 * (1 - answered / max(sent, 1)):.3f} % not), '
          f'{used / max(answered, 1) * 1e6:.2f} us CPU each', flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    build = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'build', 'bin', 'oneway-probe')
    parser.add_argument('--program', default=build)
    parser.add_argument('--irtt', default=shutil.which('irtt'))
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--rates', default='20000,50000,100000')
    args = parser.parse_args()
    if args.irtt is None:
        print('LEFT OUT: irtt is not installed (Debian package irtt)')
    compare(args.program, args.irtt, args.rounds)
    for rate in filter(None, args.rates.split(',')):
        flood(args.program, int(rate))
    return 0


if __name__ == '__main__':
    sys.exit(main())
