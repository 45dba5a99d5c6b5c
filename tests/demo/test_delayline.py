#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The delay line against two ends that share this host's clock: delay given, step, loss, duplicates, reordering.

Needs root and network namespaces; exit status 77 (left out) without them. Argument: path of the delayline program.
"""
import ctypes
import json
import os
import socket
import struct
import subprocess
import sys
import time

TAG = f"owdt{os.getpid() % 100000}"
PORT = 7007
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


def ip(*args):
    subprocess.run(["ip", *args], check=True, stdout=subprocess.DEVNULL)


def udp_socket(netns, address):
    """A bound socket that lives in the namespace, used from this process."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{netns}", os.O_RDONLY)
    try:
        assert LIBC.setns(there, CLONE_NEWNET) == 0
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_TIMESTAMPNS, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.bind((address, PORT))
        assert LIBC.setns(home, CLONE_NEWNET) == 0
        return sock
    finally:
        os.close(home)
        os.close(there)


socket.SO_TIMESTAMPNS = getattr(socket, "SO_TIMESTAMPNS", 35)


class Rig:
    """Namespaces A and B, and between them L with the delay line."""

    def __init__(self):
        self.spaces = [f"{TAG}{k}" for k in "abl"]
        self.process = self.a = self.b = None

    def start(self, program):
        a, b, line = self.spaces
        for name in self.spaces:
            ip("netns", "add", name)
        for end, space, address in (("a", a, "198.18.0.1/24"), ("b", b, "198.18.0.2/24")):
            ip("-n", line, "link", "add", "name", end, "type", "veth", "peer", "name", "eth0", "netns", space)
            ip("-n", line, "link", "set", "dev", end, "up")
            ip("-n", space, "addr", "add", address, "dev", "eth0")
            ip("-n", space, "link", "set", "eth0", "up")
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", line, program, "-a", "a", "-b", "b", "--ab", "20", "--ba", "12"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.process.stdout.readline()  # the first report: the line is up
        self.a = udp_socket(a, "198.18.0.1")
        self.b = udp_socket(b, "198.18.0.2")

    def command(self, text):
        self.process.stdin.write(text + "\n")
        time.sleep(0.05)

    def stop(self):
        """Ends the line; returns its last report of each direction."""
        self.process.terminate()
        out = self.process.communicate(timeout=10)[0]
        assert self.process.returncode == 0, self.process.returncode
        return {r["dir"]: r for r in map(json.loads, out.splitlines())}

    def clear(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        for name in self.spaces:
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)


def exchange(sender, receiver, to, n, pace_s=0.002):
    """Sends n numbered datagrams; returns [(number, delay in ms)] in order of arrival."""
    for k in range(n):
        sender.sendto(struct.pack("!Iq", k, time.time_ns()), (to, PORT))
        time.sleep(pace_s)
    got = []
    receiver.settimeout(0.5)
    try:
        while True:
            data, ancillary, _, _ = receiver.recvmsg(64, 128)
            number, sent_ns = struct.unpack("!Iq", data)
            seconds, ns = struct.unpack("qq", ancillary[0][2][:16])
            got.append((number, (seconds * 10**9 + ns - sent_ns) / 1e6))
    except socket.timeout:
        return got


def median(values):
    return sorted(values)[len(values) // 2]


def check_delay(rig, ab_ms, ba_ms):
    for name, sender, receiver, to, wanted in (
            ("ab", rig.a, rig.b, "198.18.0.2", ab_ms), ("ba", rig.b, rig.a, "198.18.0.1", ba_ms)):
        got = exchange(sender, receiver, to, 200)
        p50 = median([delay for _, delay in got])
        print(f"{name}: set {wanted} ms, p50 between the ends {p50:.3f} ms")
        assert [number for number, _ in got] == list(range(200)), "lost or out of order"
        assert abs(p50 - wanted) < 1, p50


def check_impairments(rig, n=2000):
    rig.command(f"port {PORT}")
    rig.command("ab loss 0.05")
    rig.command("ab duplicate 0.03")
    rig.command("ab reorder 0.02 9")
    got = [number for number, _ in exchange(rig.a, rig.b, "198.18.0.2", n, 0.001)]
    seen, highest, duplicated, reordered = set(), -1, 0, 0
    for number in got:
        if number in seen:
            duplicated += 1
        else:
            reordered += number < highest
        seen.add(number)
        highest = max(highest, number)
    return {"lost": n - len(seen), "duplicated": duplicated, "reordered": reordered}


def has_namespaces():
    """Root alone is not enough: containers and plain chroots refuse part of what `ip netns` does."""
    name = f"{TAG}x"
    tries = [["ip", "netns", "add", name], ["ip", "netns", "exec", name, "true"], ["ip", "netns", "del", name]]
    return os.geteuid() == 0 and not any(subprocess.run(t, stderr=subprocess.DEVNULL).returncode for t in tries)


def main(program):
    if not has_namespaces():
        print("LEFT OUT: needs root and network namespaces")
        return 77
    rig = Rig()
    try:
        rig.start(program)
        exchange(rig.a, rig.b, "198.18.0.2", 1)  # resolves addresses
        check_delay(rig, 20, 12)
        rig.command("ab delay 35")
        check_delay(rig, 35, 12)
        seen = check_impairments(rig)
        told = rig.stop()["ab"]
        print("between the ends", seen, "told by the line", {k: told[k] for k in seen})
        assert all(told[k] == v for k, v in seen.items())
        assert all(v > 0 for v in seen.values())
    finally:
        rig.clear()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
