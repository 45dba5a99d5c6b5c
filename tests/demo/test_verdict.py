#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The demo's verdict says yes to what agrees, and no to what does not.

usage: test_verdict.py VERDICT
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

VERDICT = None
FIRST, LAST, STEP = 1000, 1060, 1030
PATHS = (('A', 'B'), ('B', 'A'), ('A', 'B-fprobe'), ('B-fprobe', 'A'))


def delay(src, second):
    return 12.0 if src != 'A' else 35.0 if second >= STEP else 20.0


class Verdict(unittest.TestCase):

    def judge(self, off=0.0, late=0, inside=1.0, packets=500, without=None):
        """off: ms of all samples; late: seconds of the step; without: a quantity that the report does not have."""
        seconds = range(FIRST, LAST)
        reports = [{'src': 'A', 'dst': dst, 'quantity': quantity, 'n': n, 'inside': share, 'bias_ms': 0.1,
                    'width_ms': 2.0}
                   for dst in ('B', 'B-fprobe') for quantity in ('rtt', 'up', 'down') if quantity != without
                   for n, share in ((packets // 4, inside), (packets - packets // 4, inside))]  # over an hour's end
        files = {
            'line': ''.join(json.dumps({'t': t, 'dir': 'ab' if src == 'A' else 'ba', 'p50_ms': delay(src, t)}) + '\n'
                            for src in 'AB' for t in seconds),
            'timeline': ''.join(f'{src} {dst} {t} 9 {delay(src, t - late) + off}\n' for src, dst in PATHS for t in seconds),
            'samples': ''.join(f'{src} {dst} {t}.5 {delay(src, t) + off}\n' for src, dst in PATHS for t in seconds),
            'report': ''.join(json.dumps(row) + '\n' for row in reports),
        }
        with tempfile.TemporaryDirectory(prefix='oneway-verdict-') as folder:
            for name, text in files.items():
                with open(f'{folder}/{name}', 'w', encoding='ascii') as out:
                    out.write(text)
            done = subprocess.run([sys.executable, VERDICT, *(f'{folder}/{name}' for name in files), str(FIRST), str(LAST)],
                                  capture_output=True, text=True, check=False)
        self.assertIn('verdict:', done.stdout, done.stderr)
        return done.returncode == 0, done.stdout

    def test_agreement(self):
        fine, text = self.judge(off=0.5, late=1, inside=0.951)
        self.assertTrue(fine, text)
        self.assertIn('agrees with the delay line', text)
        self.assertIn('agrees with the probe', text)
        self.assertEqual(text.count('  500 '), 6)

    def test_samples_too_far_from_the_line(self):
        fine, text = self.judge(off=1.6)
        self.assertFalse(fine)
        self.assertIn('DOES NOT AGREE with the delay line', text)

    def test_step_too_late(self):
        fine, text = self.judge(late=4)
        self.assertFalse(fine)
        self.assertIn('TOO FAR', text)

    def test_too_few_packets_inside(self):
        fine, text = self.judge(inside=0.94)
        self.assertFalse(fine)
        self.assertIn('DOES NOT AGREE with the probe', text)

    def test_too_few_packets(self):
        self.assertFalse(self.judge(packets=99)[0])
        self.assertFalse(self.judge(without='rtt')[0])


if __name__ == '__main__':
    VERDICT = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
