#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds a timeline against what the delay line says that it did, and samples against the probe's own packets.

Arguments: the delay line's JSON lines; rows "src dst epoch n p50_ms" of 1 s each; rows "src dst epoch owd_ms" of the
samples; the JSON lines of `oneway-probe report`; first and last second. Prints all, and exits 0 where they agree: the
median of the seconds' p50 within 1.5 ms per direction and level, the step within 2 s; of the probe's packets 95 % within
the intervals of their samples, round trip and one way.
"""
import json
import statistics
import sys

LIMIT_MS = 1.5
LIMIT_STEP_S = 2
MARGIN_S = 2  # seconds this near to a step belong to neither level
PLACE_RATE = 2  # samples per second that it takes to place a step to the second
INSIDE = 0.95  # of the probe's packets, whose delay the sample's interval has to hold
ENOUGH = 100  # packets, at least: fewer cannot show such a share
STRAY_MS = 5  # a sample further than this from the delay line's second is no matter of rounding


def read_line(path, first, last):
    """{"ab": {second: p50_ms}, ...} of whole seconds."""
    truth = {"ab": {}, "ba": {}}
    with open(path, encoding="ascii") as lines:
        for line in lines:
            report = json.loads(line)
            if first <= report["t"] < last and "p50_ms" in report:
                truth[report["dir"]][report["t"]] = report["p50_ms"]
    return truth


def read_timeline(path):
    """{(src, dst): {second: (p50_ms, n)}}"""
    timeline = {}
    with open(path, encoding="utf-8") as rows:
        for row in rows:
            src, dst, second, n, p50 = row.split()
            timeline.setdefault((src, dst), {})[int(float(second))] = (float(p50), int(n))
    return timeline


def read_samples(path):
    """{(src, dst): [(second, owd_ms)]}"""
    samples = {}
    with open(path, encoding="utf-8") as rows:
        for row in rows:
            src, dst, second, owd = row.split()
            samples.setdefault((src, dst), []).append((int(float(second)), float(owd)))
    return samples


def find_step(seconds):
    """First second that lies nearer to the last level than to the first one; None where there is only one level."""
    times = sorted(seconds)
    if len(times) < 10:
        return None
    low = statistics.median(seconds[t] for t in times[:5])
    high = statistics.median(seconds[t] for t in times[-5:])
    if abs(high - low) < 4:
        return None
    return next(t for t in times if abs(seconds[t] - high) < abs(seconds[t] - low))


def levels(step, first, last):
    if step is None:
        return [("", first, last)]
    return [(" before", first, step - MARGIN_S), (" after", step + MARGIN_S, last)]


def median_between(seconds, first, last):
    values = [v for t, v in seconds.items() if first <= t < last]
    return statistics.median(values) if values else None


def stray_text(truth, samples, first, last):
    """Share of samples that are far from what the line did in their second."""
    far = [abs(owd - truth[t]) > STRAY_MS for t, owd in samples if first <= t < last and t in truth]
    return f"{100 * sum(far) / len(far):6.1f} %" if far else ""


def judge_direction(name, truth, measured, samples, first, last):
    """Prints the rows of one direction; returns whether all is within the limits."""
    fine = True
    step = find_step(truth)
    p50 = {t: v for t, (v, _) in measured.items()}
    for label, begin, end in levels(step, first, last):
        line, ours = median_between(truth, begin, end), median_between(p50, begin, end)
        n = sum(n for t, (_, n) in measured.items() if begin <= t < end)
        if line is None or ours is None:
            print(f"  {name + label:<24} no samples")
            fine = False
            continue
        good = abs(ours - line) <= LIMIT_MS
        fine &= good
        print(f"  {name + label:<24}{line:9.3f}{ours:12.3f}{ours - line:+12.3f}{n:9}"
              f"{stray_text(truth, samples, begin, end)}   {'ok' if good else 'TOO FAR'}")
    if step is not None and sum(n for _, n in measured.values()) < PLACE_RATE * (last - first):
        print(f"  {name + ' step':<24}second {step - first}, Oneway: too few samples to say")
    elif step is not None:
        ours = find_step(p50)
        good = ours is not None and abs(ours - step) <= LIMIT_STEP_S
        fine &= good
        placed = "not found" if ours is None else f"second {ours - first}"
        print(f"  {name + ' step':<24}second {step - first}, Oneway: {placed}   {'ok' if good else 'TOO FAR'}")
    return fine


def read_report(path):
    """{(src, dst, quantity): (packets, share inside, median bias, median width)}, hours weighted by packets."""
    paths = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            sums = paths.setdefault((row["src"], row["dst"], row["quantity"]), [0, 0, 0, 0])
            for i, value in enumerate((1, row["inside"], row["bias_ms"], row["width_ms"])):
                sums[i] += row["n"] * value
    return {key: (n, *(value / n for value in values)) for key, (n, *values) in paths.items()}


def judge_probe(report):
    """Prints active against passive; returns whether enough packets lie within their samples' intervals."""
    fine = True
    print("passive minus active, on the probe's packets     packets   bias, ms   inside the interval of")
    for dst in ("B", "B-fprobe"):
        for quantity, text in (("rtt", f"A to {dst} and back"), ("up", f"A to {dst}"), ("down", f"{dst} to A")):
            n, inside, bias, width = report.get(("A", dst, quantity), (0, 0, 0, 0))
            good = n >= ENOUGH and inside >= INSIDE
            fine &= good
            print(f"  {text:<44}{n:10}{bias:+11.3f}{100 * inside:11.1f} %{width:10.3f} ms   {'ok' if good else 'TOO FEW'}")
    return fine


def main(line_path, timeline_path, samples_path, report_path, first, last):
    truth = read_line(line_path, first, last)
    timeline = read_timeline(timeline_path)
    samples = read_samples(samples_path)
    fine = True
    print("p50, ms                   delay line      Oneway  difference  samples  astray")
    for src, dst in (("A", "B"), ("B", "A"), ("A", "B-fprobe"), ("B-fprobe", "A")):
        direction = "ab" if src == "A" else "ba"
        fine &= judge_direction(f"{src} to {dst}", truth[direction], timeline.get((src, dst), {}),
                                samples.get((src, dst), []), first, last)
    held = judge_probe(read_report(report_path))
    print(f"verdict: {'agrees' if fine else 'DOES NOT AGREE'} with the delay line "
          f"(limits: {LIMIT_MS} ms, step {LIMIT_STEP_S} s), {'agrees' if held else 'DOES NOT AGREE'} with the probe "
          f"(limit: {100 * INSIDE:.0f} % inside)")
    return 0 if fine and held else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]),
                  int(sys.argv[6])))
