#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the collector counts comes to the database by way of the notes beside its log, and becomes advice."""
import json
import socket
import struct
import subprocess
import time

import chain
import test_collector as datagrams


class Notes(chain.Case):
    def v9(self, seq, body, ahead_s=0):
        return struct.pack('!HHIIII', 9, 1, datagrams.UPTIME_MS, int(time.time()) + ahead_s, seq, 7) + body

    def test_from_the_socket_to_the_doctor(self):
        log, database = self.path('log'), self.database()
        collector = self.start('oneway-collector', '--log', log, '--listen', '127.0.0.1:0',
                               env={'ONEWAY_COLLECTOR_METRICS': '', 'ONEWAY_COLLECTOR_MAX_EXPORTERS': '16',
                                    'ONEWAY_COLLECTOR_RECEIVE_BUFFER': '1 GiB'})
        port = int(collector.wait_for_line(r'listening on UDP \S*:(\d+)')[1])
        template = datagrams.sets((0, datagrams.template(256, datagrams.V9_FIELDS)))
        record = datagrams.sets((256, datagrams.v9_record(2000)))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(('127.0.7.1', 0))
            for seq in (1, 2, 3, 8, 9):  # four are missing
                s.sendto(self.v9(seq, template if seq == 1 else record), ('127.0.0.1', port))
            s.sendto(self.v9(10, datagrams.sets((0, datagrams.template(10, [(8, 4)])))), ('127.0.0.1', port))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(('127.0.7.2', 0))
            s.sendto(self.v9(1, template, ahead_s=60), ('127.0.0.1', port))
            s.sendto(self.v9(2, record, ahead_s=60), ('127.0.0.1', port))
        time.sleep(0.5)
        self.assertEqual(collector.end(15), 0, collector.text())
        chain.run('oneway-correlator', '--log', log, '--db', database.conninfo, '--once')
        self.assertEqual(
            database.query('SELECT addr, datagrams, received, lost, reordered, restarts, given_up, malformed, over_limit,'
                           ' clock_lag_ms < -50000 FROM owd.exporters ORDER BY addr'),
            ['127.0.7.1|6|4|4|0|0|0|1|0|f', '127.0.7.2|2|1|0|0|0|0|0|0|t'])
        self.assertEqual(database.query('SELECT states, max_states, kernel_dropped, at >= since FROM owd.collector'),
                         ['2|16|0|t'])
        done = subprocess.run([chain.PROGRAMS['oneway'], 'doctor', '--format', 'json', '--db', database.conninfo],
                              capture_output=True, text=True, check=True)
        findings = {}
        for finding in json.loads(done.stdout):
            findings.setdefault(finding['name'], []).append(finding['finding'])
        self.assertIn('4 datagrams were lost on their way to the collector, 40.00 %', ' '.join(findings['127.0.7.1']))
        self.assertIn('1 of its datagrams, or parts of them, could not be read', ' '.join(findings['127.0.7.1']))
        self.assertRegex(' '.join(findings['127.0.7.2']), 'Its clock is at least (59|60).[0-9] s ahead')
        self.assertNotIn('lost', ' '.join(findings['127.0.7.2']))


if __name__ == '__main__':
    chain.main()
