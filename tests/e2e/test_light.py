#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sites in the configuration: samples that took less than light are delivered like others, and the database says so.

Environment: OWD_TEST_SEED.
"""
import os
import random

import chain
from chain import say

SEED = int(os.environ.get('OWD_TEST_SEED', '0')) or random.SystemRandom().randrange(1, 2**32)
SITES = """[exporter berlin]
address = 198.18.0.1
latitude = 52.52
longitude = 13.40
[exporter vienna]
address = 198.18.0.2
"""
VIENNA = 'latitude = 48.21\nlongitude = 16.37\n'


class Light(chain.Case):
    def correlate(self, database, log, text):
        with open(self.path('oneway.conf'), 'w', encoding='ascii') as f:
            f.write(text)
        chain.run('oneway-correlator', '--config', self.path('oneway.conf'), '--log', log, '--db', database.conninfo, '--once')

    def test_faster_than_light(self):
        """1 ms each way, and 524 km between the sites: 2.6 ms."""
        say(f'seed {SEED}')
        chain.run('oneway-sim', 'quiet-ms', '--seed', str(SEED), '--duration', '600s', '--write', self.path('x.pcap'))
        for log in ('plain', 'lit'):
            chain.run('oneway-collector', '--read', self.path('x.pcap'), '--log', self.path(log))
        plain, lit = self.database().migrate(), self.database().migrate()
        self.correlate(plain, self.path('plain'), SITES)
        self.correlate(lit, self.path('lit'), SITES + VIENNA)
        self.assertEqual(plain.query('SELECT DISTINCT floor_ms FROM owd.paths'), [''])
        self.assertEqual(lit.query('SELECT DISTINCT round (floor_ms::numeric, 1) FROM owd.paths'), ['2.6'])
        columns = 'part, seq, ts, src, dst, owd_ms, lo_ms, hi_ms, sigma_ms, flags & ~512'
        same = f'SELECT md5 (string_agg (s::text, chr (10))) FROM (SELECT {columns} FROM owd.samples ORDER BY part, seq) s'
        self.assertEqual(lit.query(same), plain.query(same))
        self.assertEqual(plain.query('SELECT count (*) FROM owd.samples WHERE flags & 512 > 0'), ['0'])
        self.assertEqual(lit.query('SELECT count (*) FROM owd.samples s JOIN owd.paths p USING (src, dst)'
                                   ' WHERE (flags & 512 > 0) <> (hi_ms <= floor_ms)'), ['0'])
        flagged, all_of_them = map(int, lit.query('SELECT count (*) FILTER (WHERE flags & 512 > 0), count (*) FROM owd.samples')[0].split('|'))
        say(f'{flagged} of {all_of_them} flagged')
        self.assertGreater(flagged, all_of_them / 2)
        self.assertEqual(plain.query("SELECT count (*) FROM owd.events WHERE kind = 'negative'"), ['0'])
        events = lit.query("SELECT src, dst, owd.event_text (kind, value, threshold, evidence) FROM owd.events WHERE kind = 'negative'")
        self.assertEqual(len(events), 2, events)
        for event in events:
            self.assertRegex(event, r'\|median [012]\.[0-9]{3} ms, light takes 2\.5[0-9]{2}: a clock is off$')


if __name__ == '__main__':
    chain.main()
