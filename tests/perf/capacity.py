#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The highest rate that a collector takes with less than 0.1 % loss, beside its peers; and what 1,000 exporters cost.

Receivers run on one core, the sender on another. The rate is raised in steps until the kernel drops 0.1 % of the datagrams at the
receiver's socket (/proc/net/udp: the same measure for all, whatever they do with what they took). At each rate all
receivers that are still in have their turn, so that what else the machine does meets them alike; one is out after
three tries at a rate. The sender repeats
prepared records, so that it is faster than any receiver; where it is not, the figure is "at least".

Then oneway-collector's CPU time per record with 2 and with 1,000 exporters that it knows already, in turns, as endtoend.py
measures it.
"""
import argparse
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import endtoend

LOSS = 0.001
STEP = 1.15
SENDER_KEPT = 0.95  # of the rate; else the sender was the limit
TRIES = 3  # at a rate, before a receiver is out

NFACCTD = """daemonize: false
nfacctd_ip: 127.0.0.1
nfacctd_port: {port}
nfacctd_pipe_size: 4194304
plugins: print[a]
aggregate[a]: src_host, dst_host, src_port, dst_port, proto, tcpflags, in_iface, out_iface, timestamp_start, timestamp_end
print_output[a]: csv
print_output_file[a]: {directory}/out
print_cache_entries[a]: 99991
plugin_buffer_size[a]: 1024000
plugin_pipe_size[a]: 102400000
"""


def nfacctd(directory, port):
    path = os.path.join(directory, "nfacctd.conf")
    with open(path, "w") as f:
        f.write(NFACCTD.format(port=port, directory=directory))
    return ["nfacctd", "-f", path]


def dropped(port):
    """Of all sockets bound to the port; a collector may have several."""
    total = 0
    for path in ("/proc/net/udp", "/proc/net/udp6"):
        with open(path) as f:
            rows = [line.split() for line in f][1:]
        total += sum(int(row[-1]) for row in rows if int(row[1].split(":")[1], 16) == int(port))
    return total


def flood(args, port, rate, exporters=20):
    text = subprocess.run(["taskset", "-c", args.sender, args.tests + "/flood", "--port", port, "--format", args.format, "--exporters",
                           str(exporters), "--rate", str(int(rate)), "--seconds", str(args.seconds), "--prepared"],
                          check=True, capture_output=True, text=True).stdout
    n, seconds = re.match(r"(\d+) datagrams \d+ records ([\d.]+)", text).groups()
    return int(n), int(n) / float(seconds)


def one_rate(args, make, rate):
    """Returns (share lost, datagrams/s that were really sent)."""
    directory, port = tempfile.mkdtemp(prefix="oneway-perf-", dir=args.directory), str(endtoend.free_port())
    try:
        with open(os.path.join(directory, "output"), "w") as output:
            process = subprocess.Popen(["taskset", "-c", args.receiver] + make(directory, port), stdout=output, stderr=output,
                                       start_new_session=True)
        time.sleep(1)
        if process.poll() is not None:
            sys.exit("receiver ended at once: " + open(os.path.join(directory, "output")).read())
        sent, real = flood(args, port, rate)
        time.sleep(0.5)
        lost = dropped(port)
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return lost / sent, real
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def climb(args, makes):
    """Returns {name: (records/s, whether a higher rate lost too much)}."""
    best, result, rate = dict.fromkeys(makes, 0.0), {}, float(args.start)
    while len(result) < len(makes):
        for name in [n for n in makes if n not in result]:
            for _ in range(TRIES):
                lost, real = one_rate(args, makes[name], rate)
                if lost < LOSS:
                    best[name] = max(best[name], real)
                if lost < LOSS and real >= rate * SENDER_KEPT:
                    break
            else:
                result[name] = best[name] * endtoend.FORMATS[args.format], lost >= LOSS
        rate *= STEP
    return result


def peer(command):
    return lambda d, p: [word.format(directory=d, port=p) for word in shlex.split(command)]


def capacity(args):
    makes = {
        "recvmmsg, count only": lambda d, p: [args.tests + "/sink", p],
        "nfcapd": lambda d, p: ["nfcapd", "-w", d, "-p", p, "-b", "127.0.0.1", "-B", "4194304", "-t", "3600", "-C", "none"],
        "nfacctd": nfacctd,
        "oneway-collector": lambda d, p: [args.bin + "/oneway-collector", "--log", d + "/log", "--listen", "127.0.0.1:" + p],
    }
    results = {}
    os.environ["ONEWAY_COLLECTOR_METRICS"] = ""
    os.environ["ONEWAY_COLLECTOR_RECEIVE_BUFFER"] = "4 MiB"  # what the others have
    for name in [n for n in makes if n in ("nfcapd", "nfacctd") and shutil.which(n) is None]:
        print(f"LEFT OUT: {name} (not installed)", file=sys.stderr)
        del makes[name]
    makes.update((name, peer(command)) for name, command in (p.split("=", 1) for p in args.peer))
    for _ in range(args.rounds):
        for name, result in climb(args, makes).items():
            results.setdefault(name, []).append(result)
    print(f"{args.format}: highest rate with less than {LOSS:.1%} lost, medians of {args.rounds} rounds\n")
    for name, rows in sorted(results.items(), key=lambda r: list(makes).index(r[0])):
        rates = sorted(r for r, _ in rows)
        print(f"{name:24} {'' if all(over for _, over in rows) else 'at least ':9}{statistics.median(rates) / 1e6:6.2f} M records/s "
              f"({rates[0] / 1e6:.2f}, {rates[-1] / 1e6:.2f})", flush=True)


def exporters(args):
    few, many = [], []
    for _ in range(args.rounds):
        for n, costs in ((2, few), (1000, many)):
            one = argparse.Namespace(**{**vars(args), "exporters": n, "rate": args.exporter_rate, "seconds": args.seconds})
            name, make, count, port = [r for r in endtoend.receivers(one) if r[0] == "oneway-collector"][0]
            results = {}
            shutil.rmtree(endtoend.measure(one, results, name, make, count, port, warm_s=0.2))
            costs.append(results[name][0][0])
    print(f"\noneway-collector, CPU ns/record, medians of {args.rounds} rounds: {statistics.median(few):.1f} with 2 exporters, "
          f"{statistics.median(many):.1f} with 1,000: {statistics.median(b / a for a, b in zip(few, many)):.2f} times")


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", default=os.path.join(here, "../../build"), help="release build")
    parser.add_argument("--directory", help="where logs and files go while it runs (default: the temporary directory)")
    parser.add_argument("--format", choices=endtoend.FORMATS, default="v9")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND",
                        help="another program; {port} and {directory}, an empty one, are filled in")
    parser.add_argument("--start", type=int, default=10000, help="first rate, datagrams a second (default 10000)")
    parser.add_argument("--exporter-rate", type=int, default=10000, help="rate at which exporters are compared (default 10000)")
    parser.add_argument("--seconds", type=float, default=3, help="at each rate (default 3)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--receiver", default="1", help="core (default 1)")
    parser.add_argument("--sender", default="0", help="core (default 0)")
    parser.add_argument("--only", choices=["capacity", "exporters"])
    args = parser.parse_args()
    args.tests, args.bin = args.build + "/tests", args.build + "/bin"
    if args.only != "exporters":
        capacity(args)
    if args.only != "capacity":
        exporters(args)


if __name__ == "__main__":
    main()
