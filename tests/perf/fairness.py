#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does an exporter lose records because another address floods the collector with garbage?

Each run: oneway-collector, two well-behaved exporters at a moderate rate, and after some seconds garbage at full speed until
shortly before their end. The same without garbage is the baseline. Garbage comes from one address, or each datagram
from an invented one. Shown is what the two sent and what of it was decoded; and of the garbage how much was taken, dropped
because its sender was set back, and dropped where everybody's datagrams wait.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

KINDS = ["noise", "versions", "templates", "records", "mixed"]
QUIET_S = 4  # before the garbage: long enough that the two are known exporters
GOOD = ["127.1.0.1", "127.1.0.2"]


class Collector:
    def __init__(self, args, directory):
        conf = os.path.join(directory, "oneway.conf")
        with open(conf, "w") as f:
            f.write(f"[collector]\nlisten=127.0.0.1:0\nmetrics=127.0.0.1:0\nworkers={args.workers}\n")
            if args.buffer:
                f.write(f"receive-buffer={args.buffer}\n")
        self.process = subprocess.Popen([args.build + "/bin/oneway-collector", "--config", conf, "--log", directory + "/log"],
                                        stderr=subprocess.PIPE, text=True)
        self.lines, port, metrics = [], None, None
        while port is None or metrics is None:
            line = self.process.stderr.readline()
            if line == "":
                sys.exit("the collector ended:\n" + "".join(self.lines))
            self.lines.append(line)
            port = port or (re.search(r"listening on UDP \S+:(\d+)", line) or [None, None])[1]
            metrics = metrics or (re.search(r"metrics on (\S+)", line) or [None, None])[1]
        self.port, self.metrics_url = port, metrics

    def metrics(self):
        text = urllib.request.urlopen(self.metrics_url, timeout=10).read().decode()
        return re.findall(r"^oneway_collector_(\w+)\{(.*)\} (\S+)$", text, re.M)

    def stop(self):
        self.process.terminate()
        self.lines += self.process.stderr.readlines()
        return self.process.wait()


def total(metrics, name, label=""):
    return sum(float(v) for n, labels, v in metrics if n == name and label in labels)


def run(args, kind, invent):
    with tempfile.TemporaryDirectory(prefix="oneway-fair-", dir=args.directory) as directory:
        collector = Collector(args, directory)
        good = subprocess.Popen([args.build + "/tests/flood", "--port", collector.port, "--exporters", "2", "--rate",
                                 str(args.rate), "--seconds", str(QUIET_S + args.seconds + 1)], stdout=subprocess.PIPE, text=True)
        time.sleep(QUIET_S)
        sent_garbage = 0
        if kind is not None:
            text = subprocess.run([args.build + "/tests/garbage", "--port", collector.port, "--kind", kind, "--seconds",
                                   str(args.seconds)] + (["--invent"] if invent else []),
                                  check=True, capture_output=True, text=True).stdout
            sent_garbage = int(text.split()[0])
        sent = int(re.search(r"(\d+) records", good.communicate()[0]).group(1))
        time.sleep(1)
        metrics = collector.metrics()
        if collector.stop() != 0:
            sys.exit("the collector failed:\n" + "".join(collector.lines))
    if args.verbose:
        sys.stderr.write("".join(collector.lines))
    got = sum(total(metrics, "records_total", f'exporter="{a}"') for a in GOOD)
    return {"sent": sent, "got": got, "garbage": sent_garbage,
            "taken": total(metrics, "socket_datagrams_total") + total(metrics, "socket_back_datagrams_total"),
            "back": total(metrics, "socket_back_dropped_total"), "front": total(metrics, "socket_dropped_total")}


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", default=os.path.join(here, "../../build"), help="release build")
    parser.add_argument("--directory", help="where the log goes while it runs (default: the temporary directory)")
    parser.add_argument("--rate", type=int, default=667, help="datagrams a second of the good exporters (default 667: 20,000 records)")
    parser.add_argument("--seconds", type=float, default=5, help="of garbage (default 5)")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--buffer", help="receive-buffer (default: the collector's)")
    parser.add_argument("--kind", choices=KINDS, action="append", help="may be given several times (default: all)")
    parser.add_argument("--verbose", action="store_true", help="show what the collector says")
    args = parser.parse_args()
    print(f"{'garbage':22} {'records sent':>12} {'decoded':>10} {'lost':>8}   {'garbage/s':>10} {'taken':>10} {'set back':>10} {'in front':>10}")
    for kind, invent in [(None, False)] + [(k, i) for i in (False, True) for k in args.kind or KINDS]:
        r = run(args, kind, invent)
        name = "none" if kind is None else kind + (", invented" if invent else "")
        print(f"{name:22} {r['sent']:12} {r['got']:10.0f} {1 - r['got'] / r['sent']:8.3%}   {r['garbage'] / args.seconds:10.0f} "
              f"{r['taken']:10.0f} {r['back']:10.0f} {r['front']:10.0f}", flush=True)


if __name__ == "__main__":
    main()
