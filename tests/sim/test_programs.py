#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The judge must pass samples as good as the stamps allow, and find each way of being worse; oneway-sim sends live.

usage: test_programs.py ONEWAY_SIM
"""
import csv
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

SIM = sys.argv.pop(1)
JUDGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "judge")
COLUMNS = "part seq ts src dst kind owd_ms lo_ms hi_ms sigma_ms flow".split()
STEP_NS = 1_000_000


def ideal_samples(truth):
    """What a perfect correlator delivers: difference of floored stamps, unbiased, with its interval."""
    phase = random.Random(1)
    rows = []
    for t in truth:
        if t["status"] != "ok" or t["cut"] == "1":
            continue
        src, dst = int(t["src_ns"]), int(t["dst_ns"])
        d = []
        for at in (src, dst):  # a clock at a random phase, so that the limit is the one for independent stamps
            p = phase.randrange(STEP_NS)
            d.append((at + p) // STEP_NS * STEP_NS - p)
        owd = (d[1] - d[0]) / 1e6
        rows.append(dict(ts=src / 1e9, src=t["src"], dst=t["dst"], kind=t["kind"], owd_ms=owd, lo_ms=owd - 1,
                         hi_ms=owd + 1, sigma_ms=0.4083, flow=t["flow"]))
    return rows


class Judge(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.TemporaryDirectory()
        cls.prefix = os.path.join(cls.dir.name, "quiet")
        subprocess.run([SIM, "quiet", "--duration", "120", "--write", "/dev/null", "--truth", cls.prefix],
                       check=True, stderr=subprocess.DEVNULL)
        with open(cls.prefix + ".flows.tsv", newline="") as f:
            cls.samples = ideal_samples(csv.DictReader(f, delimiter="\t"))

    @classmethod
    def tearDownClass(cls):
        cls.dir.cleanup()

    def judge(self, samples, *options):
        """Returns (exit status, report, complaints). Samples get part and seq in order of ts."""
        path = os.path.join(self.dir.name, "samples.csv")
        with open(path, "w", newline="") as f:
            out = csv.DictWriter(f, COLUMNS)
            out.writeheader()
            for i, s in enumerate(sorted(samples, key=lambda s: s.get("order", s["ts"])), 1):
                out.writerow({c: s[c] for c in COLUMNS if c in s} | {"part": 0, "seq": i})
        p = subprocess.run([sys.executable, JUDGE, "--truth", self.prefix, "--require", "--format", "json", *options, path],
                           capture_output=True, text=True, check=False)
        return p.returncode, json.loads(p.stdout), p.stderr

    def refused(self, samples, word):
        status, _, complaints = self.judge(samples)
        self.assertEqual(status, 1)
        self.assertIn(word, complaints)

    def test_ideal_samples_pass(self):
        status, report, complaints = self.judge(self.samples)
        self.assertEqual(complaints, "")
        self.assertEqual(status, 0)
        for path in report["paths"].values():
            self.assertEqual(path["found"], path["provable"])
            self.assertAlmostEqual(path["spread_ms"], path["limit_ms"], delta=0.02)

    def test_missing_samples(self):
        self.refused([s for i, s in enumerate(self.samples) if i % 20 != 0], "97 wanted")

    def test_bias(self):
        self.refused([s | {"owd_ms": s["owd_ms"] + 0.1, "lo_ms": s["lo_ms"] + 0.1, "hi_ms": s["hi_ms"] + 0.1}
                      for s in self.samples], "bias")

    def test_narrow_interval(self):
        self.refused([s | {"lo_ms": s["owd_ms"] - 0.7} for s in self.samples], "[lo,hi)")

    def test_small_sigma(self):
        self.refused([s | {"sigma_ms": 0.2} for s in self.samples], "2 sigma")

    def test_blunder(self):
        self.refused([self.samples[0] | {"owd_ms": 30, "lo_ms": 29, "hi_ms": 31}, *self.samples[1:]], "1 blunders")

    def test_unknown_flow(self):
        self.refused([self.samples[0] | {"flow": 1}, *self.samples[1:]], "1 blunders")

    def test_reversed_direction(self):
        s = self.samples[0]
        status, report, _ = self.judge([s | {"src": s["dst"], "dst": s["src"]}, *self.samples[1:]])
        self.assertEqual(status, 1)
        self.assertEqual(sum(p["reversed"] for p in report["paths"].values()), 1)

    def test_delivered_twice(self):
        self.refused([*self.samples, self.samples[0]], "more than once")

    def test_order(self):
        self.refused([self.samples[0] | {"order": 1e12}, *self.samples[1:]], "times back")

    def test_timestamptz(self):
        text = [s | {"order": s["ts"], "ts": f"2026-01-05 {int(s['ts']) % 86400 // 3600:02}:{int(s['ts']) % 3600 // 60:02}:"
                     f"{s['ts'] % 60:09.6f}+00"} for s in self.samples]
        self.assertEqual(self.judge(text)[0], 0)


class Live(unittest.TestCase):
    def test_each_exporter_sends_from_its_own_address(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(("127.0.0.1", 0))
            s.settimeout(30)
            with tempfile.TemporaryDirectory() as d:
                p = subprocess.Popen([SIM, "quiet", "--rate", "100", "--send", f"127.0.0.1:{s.getsockname()[1]}",
                                      "--truth", os.path.join(d, "live")], stderr=subprocess.DEVNULL)
                seen = {}
                while len(seen) < 2:
                    data, (address, _) = s.recvfrom(4096)
                    seen[address] = int.from_bytes(data[:2], "big"), int.from_bytes(data[8:12], "big")
                p.send_signal(signal.SIGINT)
                self.assertEqual(p.wait(30), 0)
                self.assertTrue(os.path.getsize(os.path.join(d, "live.exporters.tsv")) > 0)
        self.assertEqual(set(seen), {"127.18.0.1", "127.18.0.2"})
        for version, export_s in seen.values():
            self.assertEqual(version, 9)
            self.assertAlmostEqual(export_s, time.time(), delta=10)


if __name__ == "__main__":
    unittest.main()
