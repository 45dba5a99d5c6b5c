# SPDX-License-Identifier: Apache-2.0
"""What the tests of the whole chain share: programs, databases, comparison of tables.

Runs inside `tests/sql/cluster.sh run`, which gives a PostgreSQL of its own.
"""
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import unittest

PROGRAMS = {}  # by name: path

# Of each bin of a roll-up; how bins are put together to rows says nothing, so neither does a row that has no counts at
# all (NULL) beside one where another bin has some (0).
BIN = ['n', 'kept', 'sent', 'lost', 'late', 'min_ns', 'max_ns', 'first_ns', 'last_ns', 'least_hi_ns', 'p05', 'p50', 'p95', 'p99',
       'sum_ns', 'lo_ns', 'hi_ns', 'bias_ns', 'ipdv_ns', 'square_ns2', 'sigma_ns2']

COUNTS = ['sent', 'lost', 'late']

# Everything a reader may see, and the marks that it is committed with. The identities of points and paths are the
# database's own affair.
TABLES = {
    'samples': 'SELECT * FROM owd.samples ORDER BY part, seq',
    'excess': 'SELECT ts, part, seq, nr, owd_ns, lo_ns, hi_ns, sigma_ns, bias_ns FROM owd.excess ORDER BY part, nr',
    'counts': 'SELECT ts, part, sent, lost, late FROM owd.tally ORDER BY part, ts, sent, lost, late',
    'partitions': 'SELECT part, log_offset, seq, excess, watermark_ns, log_time_ns, first_ts, last_ts FROM owd.partition'
                  ' ORDER BY part',
    'watermark': 'SELECT ts FROM owd.watermark',
    'rollups': f"""SELECT src, dst, width, start + at * make_interval (secs => width) AS bin, {', '.join(f'coalesce ({c}, 0)' if c in COUNTS else 'coalesce (kept, n) AS kept' if c == 'kept' else c for c in BIN)}, hist
  FROM (SELECT r.path_id, a.name AS src, b.name AS dst, width, start, unnest (at) AS at,
               {', '.join(f'unnest ({c}) AS {c}' for c in BIN)}
          FROM owd.rollup r JOIN owd.path p USING (path_id) JOIN owd.point a ON a.point_id = p.src_id
          JOIN owd.point b ON b.point_id = p.dst_id) u
  LEFT JOIN (SELECT width, path_id, start, (e >> 48)::smallint AS at, array_agg (e & 281474976710655 ORDER BY e) AS hist
               FROM (SELECT *, unnest (hist) AS e FROM owd.rollup) r GROUP BY 1, 2, 3, 4) h USING (width, path_id, start, at)
 ORDER BY src, dst, width, bin""",
    'rolled': 'SELECT width, filled_to FROM owd.resolution ORDER BY width',
    'events': 'SELECT event_id, kind, src, dst, raised, cleared, value, threshold, evidence FROM owd.events WHERE event_id > 0 ORDER BY event_id',
    'evaluated': 'SELECT evaluated_to, profile_id FROM owd.event_mark',
    'exporters': 'SELECT * FROM owd.exporters ORDER BY addr, domain, version',
}


# The same bins where other shares of their samples were kept raw.
TABLES['delivered'] = TABLES['rollups'].replace('coalesce (kept, n) AS kept', '0 AS kept')


def say(text):
    print(text, flush=True)


def run(name, *args, env=None, check=True, timeout=240):
    """A program to its end. Returns its stderr."""
    done = subprocess.run([PROGRAMS[name], *args], env=dict(os.environ, **(env or {})), capture_output=True, text=True,
                          timeout=timeout, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f'{name} {args}: exit {done.returncode}: {done.stderr}')
    return done.stderr


class Running:
    """A program in the background. What it says is kept, line by line."""

    def __init__(self, name, *args, env=None):
        self.process = subprocess.Popen([PROGRAMS[name], *args], env=dict(os.environ, **(env or {})),
                                        stderr=subprocess.PIPE, text=True)
        self.lines = []
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line)

    def alive(self):
        return self.process.poll() is None

    def wait_for_line(self, pattern, seconds=30):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for line in list(self.lines):
                match = re.search(pattern, line)
                if match:
                    return match
            if not self.alive():
                break
            time.sleep(0.02)
        raise AssertionError(f'no line with {pattern}: {self.text()}')

    def end(self, number=None):
        """Sends the signal, if any; returns the exit status."""
        if number is not None and self.alive():
            self.process.send_signal(number)
        status = self.process.wait(240)
        self.reader.join()
        self.process.stderr.close()
        return status

    def text(self):
        return ''.join(self.lines)

    def warnings(self):
        return [line for line in self.lines if 'warning: ' in line]


class Database:
    """A new database of the cluster, and a psql that stays connected to it."""

    made = 0

    def __init__(self):
        Database.made += 1
        self.name = f'owd_{Database.made}'
        self.conninfo = f'dbname={self.name}'
        self.psql = None
        self.admin(f'CREATE DATABASE {self.name} OWNER {os.environ["PGUSER"]}')

    @staticmethod
    def admin(sql):
        subprocess.run([os.environ['OWD_PG_BIN'] + '/psql', '-Xq', '-d', os.environ['OWD_CLUSTER_ADMIN'], '-c', sql],
                       check=True)

    def drop(self):
        self.close()
        self.admin(f'DROP DATABASE {self.name} WITH (FORCE)')

    def connect(self):
        self.psql = subprocess.Popen([os.environ['OWD_PG_BIN'] + '/psql', '-XAtq', '-d', self.conninfo],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                     text=True)

    def close(self):
        if self.psql is not None:
            self.psql.stdin.close()
            self.psql.wait()
            self.psql.stdout.close()
            self.psql = None

    def query(self, sql):
        """Lines of the result."""
        if self.psql is None:
            self.connect()
        self.psql.stdin.write(sql + ';\n\\echo .\n')
        self.psql.stdin.flush()
        lines = []
        for line in self.psql.stdout:
            if line == '.\n':
                return lines
            lines.append(line.rstrip('\n'))
        raise AssertionError(f'{self.conninfo}: no answer to {sql}: {lines}')

    def migrate(self):
        run('oneway', 'db', 'migrate', '--db', self.conninfo)
        return self

    def progress(self):
        """Log worked off, in bytes, and samples; over all partitions."""
        offset, seq = self.query('SELECT coalesce (sum (log_offset), 0), coalesce (sum (seq), 0)'
                                 ' FROM owd.partition')[0].split('|')
        return int(offset), int(seq)

    def digest(self, what):
        """Equal exactly where all rows and their order are."""
        return self.query(f"SELECT count (*) || ' ' || coalesce (md5 (string_agg (t::text, '|')), '')"
                          f" FROM ({TABLES[what]}) t")[0]

    def samples(self):
        return int(self.query('SELECT count (*) FROM owd.samples')[0])

    def final_rows(self, watermark=None):
        """Watermark, number of rows that it makes final, a sum over their contents."""
        until = '(SELECT ts FROM owd.watermark)' if watermark is None else f"'{watermark}'::timestamptz"
        return self.query(f'SELECT {until}, count (*), coalesce (sum (hashtextextended (s::text, 0)::numeric), 0)'
                          f' FROM owd.samples s WHERE s.ts <= {until}')[0].split('|')


class Case(unittest.TestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.dir = self.stack.enter_context(tempfile.TemporaryDirectory(prefix='owd-chain-'))

    def path(self, name):
        return os.path.join(self.dir, name)

    def database(self):
        database = Database()
        self.stack.callback(database.drop)
        return database

    def start(self, name, *args, env=None):
        running = Running(name, *args, env=env)
        self.stack.callback(lambda: running.alive() and running.end(9))
        return running

    def assert_same(self, database, truth):
        for what, sql in TABLES.items():
            if database.digest(what) == truth.digest(what):
                continue
            got, want = database.query(sql), truth.query(sql)
            row = next((i for i, pair in enumerate(zip(got, want)) if pair[0] != pair[1]), min(len(got), len(want)))
            self.fail(f'{what}: {len(got)} rows, should be {len(want)}; first difference in row {row}:\n'
                      f'  is        {got[row:row + 2]}\n  should be {want[row:row + 2]}')


def main():
    """usage: test_X.py NAME=PROGRAM... [unittest's options]"""
    while len(sys.argv) > 1 and '=' in sys.argv[1]:
        name, path = sys.argv.pop(1).split('=', 1)
        PROGRAMS[name] = os.path.abspath(path)
    if 'OWD_CLUSTER' not in os.environ:
        sys.exit('run by: tests/sql/cluster.sh run ' + sys.argv[0])
    os.environ.pop('NOTIFY_SOCKET', None)
    unittest.main(module='__main__', verbosity=2)
