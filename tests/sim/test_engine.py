#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The correlator's engine against simulated networks whose truth is known.

  test_engine.py ONEWAY-SIM CORRELATE [SCENARIO...]

For each scenario and seed (OWD_TEST_SEEDS, default "1"): at least 97 % of the provable packets found, the truth in
[lo, hi) for 99.9 % and within 2 sigma for 95 % of the samples of every path, order never broken; loss as stated within four
standard deviations of the truth; over all of them fewer than 1 blunder in 10,000 samples. Where networks have ways in both directions
between two points, and steps are larger than round trips, no direction taken for the other. Where one clock is far behind for half the
time, and the floor that light sets is known, the same samples, and those that took less say so.
"""
import csv
import json
import math
import os
import subprocess
import sys
import tempfile

SCENARIOS = ["quiet", "quiet-v5", "quiet-ms", "ntp-step", "route-change", "reboot", "wrap", "floating-epoch", "lossy",
             "phase-locked", "triangle", "blunders"]
JUDGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "judge")


def measure(sim, correlate, scenario, seed, folder):
    pcap, truth, samples = (os.path.join(folder, name) for name in ("x.pcap", "x", "x.csv"))
    subprocess.run([sim, scenario, "--seed", seed, "--write", pcap, "--truth", truth], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with open(samples, "w", encoding="ascii") as f:
        said = subprocess.run([correlate, pcap], check=True, stdout=f, stderr=subprocess.PIPE, text=True).stderr
    report = json.loads(subprocess.run([sys.executable, JUDGE, "--truth", truth, "--format", "json", samples],
                                       check=True, capture_output=True, text=True).stdout)
    report["loss"] = list(compare_loss(truth, said))
    report["light"] = list(compare_light(correlate, pcap, samples, truth)) if scenario == "ntp-step" else []
    return report


def compare_light(correlate, pcap, samples, truth):
    """What knowing that light takes 0.9 of a way's 1 ms changes wrongly: it may change flags, nothing else."""
    told = subprocess.run([correlate, pcap, "0.9"], check=True, capture_output=True, text=True).stdout
    with open(samples, encoding="ascii") as f:
        plain = list(csv.DictReader(f))
    lit = list(csv.DictReader(told.splitlines()))
    with open(truth + ".exporters.tsv", encoding="ascii") as f:
        stepped = [int(row[3]) / 1e9 for row in (line.split("\t") for line in f) if row[1] == "rtc_shift_ns"]
    if [r | {"flags": 0} for r in lit] != [r | {"flags": 0} for r in plain]:
        yield f"{len(lit)} samples with a floor, {len(plain)} without, or others"
    wrong = [r for r in lit if (int(r["flags"]) & 512 > 0) != (float(r["hi_ms"]) <= 0.9)]
    if wrong:
        yield f"flags do not say what the interval does: {wrong[:3]}"
    below = [r for r in lit if int(r["flags"]) & 512]
    if len(below) < len(lit) / 5 or max(float(r["ts"]) for r in below) > stepped[0] + 2:
        yield f"{len(below)} of {len(lit)} samples below the floor, up to {below[-1:]}, step at {stepped}"


def compare_loss(truth, said):
    """Per path: packets counted, share stated as lost, true share."""
    facts = {}
    with open(truth + ".exporters.tsv", encoding="ascii") as f:
        for line in f:
            exporter, item, sub, _, value = line.rstrip("\n").split("\t")
            facts[exporter, item, sub] = value
    for line in said.splitlines():
        if line.startswith("counts "):
            _, src, dst, _, sent, _, lost, _, _ = line.split()
            passed = float(facts.get((src, "path_packets", dst), 0))
            if passed > 0 and int(sent) > 0:
                yield src, dst, int(sent), int(lost) / int(sent), float(facts[src, "path_lost", dst]) / passed


def complaints(report):
    paths = {name: r for name, r in report["paths"].items() if r["provable"] >= 200}
    if not paths:
        yield "nothing to judge"
    for name, r in paths.items():
        if r["completeness"] < 0.97:
            yield f"{name}: {100 * r['completeness']:.2f} % found"
        if not r["delivered"]:
            continue
        if r["in_interval"] < 0.999:
            yield f"{name}: truth in [lo, hi) for {100 * r['in_interval']:.2f} %"
        if r["in_2_sigma"] < 0.95:
            yield f"{name}: truth within 2 sigma for {100 * r['in_2_sigma']:.2f} %"
    for src, dst, sent, stated, true in report["loss"]:
        if abs(stated - true) > 4 * math.sqrt(max(true, 1 / sent) / sent):
            yield f"{src} > {dst}: loss {stated:.5f} stated, {true:.5f} true, of {sent} packets"
    yield from report["light"]
    if report["seq_gaps"] or report["ts_backwards"]:
        yield f"order: {report['seq_gaps']} gaps, {report['ts_backwards']} times back"


def check_ways(sim, correlate, folder):
    """Seed 9 of `anything`: a step of 256 ms, and a network that sends over two points in one order or in the other,
    depending on where to."""
    pcap, truth, samples = (os.path.join(folder, name) for name in ("w.pcap", "w", "w.csv"))
    subprocess.run([sim, "anything", "--seed", "9", "--duration", "8m", "--write", pcap, "--truth", truth], check=True,
                   stderr=subprocess.DEVNULL)
    with open(samples, "w", encoding="ascii") as f:
        subprocess.run([correlate, pcap], check=True, stdout=f, stderr=subprocess.DEVNULL)
    paths = json.loads(subprocess.run([sys.executable, JUDGE, "--truth", truth, "--format", "json", samples],
                                      check=True, capture_output=True, text=True).stdout)["paths"].values()
    n, turned = (sum(r[k] for r in paths) for k in ("delivered", "reversed"))
    print(f"anything seed 9: {turned} of {n} samples in the wrong direction", flush=True)
    return n > 50000 and turned < n / 10000


def main(sim, correlate, *scenarios):
    seeds = os.environ.get("OWD_TEST_SEEDS", "1").split()
    failed, delivered, blunders = False, 0, 0

    with tempfile.TemporaryDirectory(prefix="owd-engine-") as folder:
        for scenario in scenarios or SCENARIOS:
            for seed in seeds:
                report = measure(sim, correlate, scenario, seed, folder)
                found = list(complaints(report))
                n, bad = (sum(r[k] for r in report["paths"].values()) for k in ("delivered", "blunders"))
                delivered, blunders, failed = delivered + n, blunders + bad, failed or bool(found)
                print(f"{scenario} seed {seed}: {n} samples, {bad} blunders {'; '.join(found) or 'fine'}", flush=True)
        failed = not check_ways(sim, correlate, folder) or failed
    print(f"all: {blunders} blunders in {delivered} samples")
    return failed or blunders >= delivered / 10000


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
