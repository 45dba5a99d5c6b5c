#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What oneway-profiler costs per log record, and how much memory it takes, by number of exporters and length of the log.

Makes logs by oneway-sim and oneway-collector (or takes those that --log names) and profiles each of them several times.
CPU time is user and system of the whole program, reading included; beside it stands that of a program which only reads
the same log in the same way. The least of all rounds counts: other work on the machine only adds.
"""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile


def simulate(build, directory, exporters, minutes, rate):
    log = pathlib.Path(directory) / f"{exporters}-{minutes}.log"
    pcap = log.with_suffix(".pcap")
    subprocess.run([build / "tests/oneway-sim", "scale-exporters", "--exporters", str(exporters), "--rate", str(rate),
                    "--duration", f"{minutes}m", "--write", pcap], check=True, stderr=subprocess.DEVNULL)
    subprocess.run([build / "bin/oneway-collector", "--read", pcap, "--log", log], check=True, stderr=subprocess.DEVNULL)
    pcap.unlink()
    return log


def run(command):
    """Output, CPU seconds, peak of resident memory in MiB."""
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        if status != 0:
            sys.exit(f"{command[0]} failed")
        out.seek(0)
        return out.read(), usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def measure(build, log, rounds):
    profiled = [run([build / "bin/oneway-profiler", "--log", log, "--dry-run", "--plan"]) for _ in range(rounds)]
    read = [run([build / "tests/bench_correlate", "--read-only", log]) for _ in range(rounds)]
    records = int(read[0][0].split()[0])
    states = profiled[0][0].split()[0]
    cpu, reading = (min(x[1] for x in xs) * 1e9 / records for xs in (profiled, read))
    print(f"{states:>9} {records:>12} {reading:>9.1f} {cpu:>11.1f} {1e3 / cpu:>14.1f} {profiled[0][2]:>8.0f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[2] / "build")
    parser.add_argument("--exporters", type=int, nargs="*", default=[10, 1000])
    parser.add_argument("--minutes", type=int, nargs="*", default=[2, 6])
    parser.add_argument("--rate", type=int, default=10000, help="flows per second, all exporters together (default: 10000)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--log", type=pathlib.Path, action="append", help="a log that is there already")
    args = parser.parse_args()
    print(f"{'exporters':>9} {'records':>12} {'ns read':>9} {'ns profiled':>11} {'M records/s':>14} {'MiB':>8}", flush=True)
    for log in args.log or []:
        measure(args.build, log, args.rounds)
    for exporters in args.exporters if not args.log else []:
        for minutes in args.minutes:
            with tempfile.TemporaryDirectory(prefix="owd-perf.") as directory:
                measure(args.build, simulate(args.build, directory, exporters, minutes, args.rate), args.rounds)


if __name__ == "__main__":
    main()
