#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What oneway-profiler finds in captures of real exporters: facts that are known of four of them, and for all of them the
table in docs/exporters.md, which must say what the profiler says. OWD_UPDATE=1 writes that table anew.

usage: test_profiles.py BIN CORPUS
"""
import csv
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

BIN, CORPUS = (pathlib.Path(x) for x in sys.argv[1:3])
del sys.argv[1:3]
DOC = pathlib.Path(__file__).resolve().parents[2] / "docs/exporters.md"
HEAD = "| capture | exporter | format | datagrams | records | step ms | header's uptime | timeouts s | nonsense % | 1 in |"
UPTIME = {"none": "–", "few": "too few headers", "floating": "an epoch per datagram", "fine": "fine",
          "locked": "locked to the second", "unstable": "contradicts itself"}
FORMATS = {5: "v5", 9: "v9", 10: "IPFIX"}


def profiles(capture):
    """One dictionary per exporter state; none where the capture has no flow record."""
    with tempfile.TemporaryDirectory(prefix="owd-profiles.") as directory:
        subprocess.run([BIN / "oneway-collector", "--read", capture, "--log", f"{directory}/log"], check=True,
                       stderr=subprocess.DEVNULL)
        done = subprocess.run([BIN / "oneway-profiler", "--log", f"{directory}/log", "--dry-run", "--format", "json"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    if done.returncode not in (0, 3):
        raise AssertionError(f"{capture}: status {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def main_state(capture):
    return max(profiles(CORPUS / "pcap" / f"{capture}.pcap"), key=lambda p: p["records"])


def number(e, form="{:g}"):
    return form.format(e["value"]) if e["identifiable"] else "–"


def step(p):
    cells = []
    for e in p["start_step_ms"], p["end_step_ms"]:
        cells.append(number(e) if e["identifiable"] or e["hi"] is None else f"≤ {e['hi']:g}")
    if not any(p[key]["identifiable"] for key in ("start_step_ms", "end_step_ms")):
        return "–"
    return cells[0] if cells[0] == cells[1] else " / ".join(cells)


def uptime(p):
    last = p["segments"][-1]
    text = UPTIME[p["uptime"]]
    if p["uptime"] in ("none", "floating") or p["headers"] < 2 or not last["boot_ms"]["identifiable"]:
        return text
    width = f"{last['boot_ms']['hi'] - last['boot_ms']['lo']:.0f} ms wide"
    if p["uptime"] == "locked" and last["even_ms"] is not None:
        width = f"{last['even_ms']:.0f} ms wide"
    return f"{text}, {width}"


def timeouts(p):
    cells = [number(p[f"{x}_s"], "{:.0f}") for x in ("active", "inactive")]
    return "–" if cells == ["–", "–"] else " / ".join(cells)


def row(name, vendor, p):
    cells = [f"`{name}`", vendor, FORMATS[p["version"]], p["headers"], p["records"], step(p), uptime(p), timeouts(p),
             number({**p["blunder_rate"], "value": 100 * (p["blunder_rate"]["value"] or 0)}, "{:.2g}"),
             number(p["sampling"])]
    return "| " + " | ".join(str(c) for c in cells) + " |"


def table():
    rows = [HEAD, "| " + " | ".join(["---"] * HEAD.count(" | ")) + " | --- |"]
    with open(CORPUS / "MANIFEST.tsv", newline="") as f:
        captures = [r for r in csv.reader(f, delimiter="\t") if r[6] == "real" and r[0].startswith("pcap/")]
    for r in sorted(captures):
        name = pathlib.Path(r[0]).stem
        found = sorted(profiles(CORPUS / r[0]), key=lambda p: -p["records"])
        for p in found[:1]:
            if p["records"] >= 30 or step(p) != "–":
                rows.append(row(name, r[2], p))
    return rows


class Facts(unittest.TestCase):
    def test_phase_locked(self):
        p = main_state("v9-cisco-asr9k-313")
        self.assertEqual(p["uptime"], "locked")
        self.assertAlmostEqual(p["segments"][0]["even_ms"], 989, delta=3)
        self.assertFalse(p["segments"][0]["skew_ppm"]["identifiable"])
        self.assertTrue(any("not identifiable better than 99" in x for x in p["findings"]), p["findings"])
        self.assertEqual(p["start_step_ms"]["value"], 1)

    def test_steps_of_256_ms(self):
        p = main_state("ipfix-cisco-asr9k-752")
        for bound in "start", "end":
            self.assertEqual(p[f"{bound}_step_ms"]["value"], 256)
            self.assertEqual(p[f"{bound}_phase_ms"]["value"], 0)

    def test_steps_of_10_ms(self):
        for capture in "v5-mikrotik", "ipfix-mikrotik-639":
            p = main_state(capture)
            for bound in "start", "end":
                self.assertEqual(p[f"{bound}_step_ms"]["value"], 10, capture)

    def test_no_base(self):
        p = main_state("ipfix-mikrotik-639")
        self.assertTrue(any("boot time that it does not export" in x for x in p["findings"]))
        self.assertFalse(p["lag_end_ms"]["p50"]["identifiable"])

    def test_one_datagram_is_not_enough(self):
        p = main_state("v5-mikrotik")
        for key in "blunder_rate", "active_s", "inactive_s", "lost", "repeated_starts", "syn_share":
            self.assertFalse(p[key]["identifiable"], key)
        self.assertFalse(p["segments"][0]["skew_ppm"]["identifiable"])


class Document(unittest.TestCase):
    def test_table_is_what_the_profiler_says(self):
        lines = DOC.read_text().splitlines()
        first = next(i for i, line in enumerate(lines) if line.startswith("| capture |"))
        last = next(i for i in range(first, len(lines)) if not lines[i].startswith("|"))
        found = table()
        if os.environ.get("OWD_UPDATE"):
            DOC.write_text("\n".join(lines[:first] + found + lines[last:]) + "\n")
        else:
            self.assertEqual("\n".join(lines[first:last]), "\n".join(found))


if __name__ == "__main__":
    unittest.main()
