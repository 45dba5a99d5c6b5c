#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""CPU cost of a flow record from the socket to the log, and from the log to a delay sample.

Each round feeds the same flood, over loopback, to a bare recvmmsg loop (the floor), to nfcapd (Debian package nfdump) and
to oneway-collector, one after the other; then reads and correlates the log that came out. What counts is
the CPU time of the receiving process, user and system, from before the flood until its end; the sender's and the kernel's
work on its behalf is not in it. Every receiver's own count of records is compared with what was sent.
"""
import argparse
import glob
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

FORMATS = {"v9": 30, "ipfix": 25}
SETTLE_S = 0.5
DRAIN_S = 1.5


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def cpu_so_far_ns(pid):
    """On-CPU time of all threads, in ns; what the kernel's scheduler counted."""
    total = 0
    for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        with open(path) as f:
            total += int(f.read().split()[0])
    return total


class Receiver:
    """A program under the flood."""

    def __init__(self, command, directory):
        self.directory = directory
        self.output = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(command, stdout=self.output, stderr=subprocess.STDOUT)
        time.sleep(SETTLE_S)
        if self.process.poll() is not None:
            self.output.seek(0)
            sys.exit(f"{command[0]} ended at once:\n{self.output.read()}")
        self.begin()

    def begin(self):
        self.before_ns = cpu_so_far_ns(self.process.pid)

    def stop(self):
        """Returns (CPU ns since begin(), output)."""
        time.sleep(DRAIN_S)
        self.process.send_signal(signal.SIGTERM)
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        total = usage.ru_utime + usage.ru_stime
        self.output.seek(0)
        text = self.output.read()
        if self.process.returncode != 0:
            sys.exit(f"receiver failed ({self.process.returncode}):\n{text}")
        return total * 1e9 - self.before_ns, text


def flood(args, port, seconds=None):
    command = [args.tests + "/flood", "--port", str(port), "--format", args.format, "--exporters", str(args.exporters),
               "--rate", str(args.rate), "--seconds", str(seconds or args.seconds)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return int(re.search(r"(\d+) records", text).group(1))


def templates(args):
    """Datagrams without records: one per exporter at the start and each second."""
    return args.exporters * int(args.seconds + 0.999)


def count_floor(args, text, _directory):
    datagrams = int(re.search(r"(\d+) datagrams", text).group(1))
    return max(datagrams - templates(args), 0) * FORMATS[args.format]


def count_nfcapd(_args, _text, directory):
    files = [f for f in glob.glob(directory + "/nfcapd.*") if ".current" not in f]
    text = subprocess.run(["nfdump", "-I", "-R", directory] if len(files) > 1 else ["nfdump", "-I", "-r", files[0]],
                          check=True, capture_output=True, text=True).stdout
    return int(re.search(r"^Flows: (\d+)", text, re.M).group(1))


def count_oneway(_args, text, _directory):
    return int(re.search(r"(\d+) flow records", text).group(1))


def receivers(args):
    port = free_port()
    programs = {
        "recvmmsg, count only": (lambda d, p: [args.tests + "/sink", p], count_floor),
        "nfcapd": (lambda d, p: ["nfcapd", "-w", d, "-p", p, "-b", "127.0.0.1", "-B", "4194304", "-t", "3600", "-C", "none"],
                   count_nfcapd),
        "oneway-collector": (lambda d, p: [args.bin + "/oneway-collector", "--log", d + "/log", "--listen", "127.0.0.1:" + p],
                             count_oneway),
    }
    if shutil.which("nfcapd") is None:
        print("LEFT OUT: nfcapd (apt install nfdump)", file=sys.stderr)
        del programs["nfcapd"]
    return [(name, lambda d, make=make: make(d, str(port)), count, port) for name, (make, count) in programs.items()]


def measure(args, results, name, make, count, port, warm_s=0):
    """One receiver, one flood, behind an uncounted one of warm_s. Returns its directory, for who wants to look into it."""
    directory = tempfile.mkdtemp(prefix="oneway-perf-", dir=args.directory)
    receiver = Receiver(make(directory), directory)
    before = flood(args, port, warm_s) if warm_s > 0 else 0
    if before > 0:
        time.sleep(SETTLE_S)
        receiver.begin()
    sent = flood(args, port)
    cpu_ns, text = receiver.stop()
    got = count(args, text, directory) - before
    results.setdefault(name, []).append((cpu_ns / max(got, 1), got, sent))
    return directory


def ratio(results, name, other):
    """Median over rounds of name's cost against other's in the same round."""
    return statistics.median(a[0] / b[0] for a, b in zip(results[name], results[other]))


def correlate(args, results, log):
    text = subprocess.run([args.tests + "/bench_correlate", log], check=True, capture_output=True, text=True).stdout
    records, samples = (int(re.search(r"(\d+) " + w, text).group(1)) for w in ("records", "samples"))
    read, both = (float(re.search(r"([\d.]+) ns " + w + r"\b", text).group(1)) for w in ("read", r"read\+correlate"))
    results.setdefault("log: read", []).append((read, records, records))
    results.setdefault("log: read + correlate", []).append((both, records, records))
    return samples


def table(args, results):
    print(f"{args.format}, {FORMATS[args.format]} records a datagram, {args.exporters} exporters, "
          f"{args.rate * FORMATS[args.format]} records/s for {args.seconds:g} s; medians of {args.rounds} rounds\n")
    print(f"{'':28} {'CPU ns/record':>13} {'(lowest, highest)':>19} {'received':>9}")
    for name, rows in results.items():
        costs = sorted(r[0] for r in rows)
        share = min(r[1] / max(r[2], 1) for r in rows)
        print(f"{name:28} {statistics.median(costs):13.1f} {f'({costs[0]:.1f}, {costs[-1]:.1f})':>19} "
              f"{share:9.2%}")


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", default=os.path.join(here, "../../build"), help="release build")
    parser.add_argument("--directory", help="where logs and files go while it runs (default: the temporary directory)")
    parser.add_argument("--format", choices=FORMATS, default="v9")
    parser.add_argument("--exporters", type=int, default=20)
    parser.add_argument("--rate", type=int, default=10000, help="datagrams a second (default 10000)")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    args.tests, args.bin = args.build + "/tests", args.build + "/bin"
    results, samples = {}, 0
    for _ in range(args.rounds):
        for name, make, count, port in receivers(args):
            directory = measure(args, results, name, make, count, port)
            if name == "oneway-collector":
                samples = correlate(args, results, directory + "/log")
            shutil.rmtree(directory)
    table(args, results)
    print()
    for other in ("recvmmsg, count only", "nfcapd"):
        if other in results:
            print(f"oneway-collector costs {ratio(results, 'oneway-collector', other):.2f} times {other} (median over rounds)")
    print(f"\n{samples} delay samples from the last log")


if __name__ == "__main__":
    main()
