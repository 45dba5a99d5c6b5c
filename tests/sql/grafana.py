#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""grafana.py ROOT: every query of docs/grafana.md and of the dashboard, with Grafana's macros put in, asked by a member of owd_reader;
and PostgREST's way of calling. Inside cluster.sh run, behind grafana.sh."""
import json
import os
import re
import subprocess
import sys

ROOT = sys.argv[1]
MACROS = {
    "$__timeFrom()": "'2026-11-22T06:40:03Z'",
    "$__timeTo()": "'2026-11-22T06:41:00Z'",
    "$__interval": "10s",
    "${src:sqlstring}": "'edge-a'",
    "${dst:sqlstring}": "'edge-b'",
}


def ask(sql, *options, user="t_reader"):
    command = [os.environ["OWD_PG_BIN"] + "/psql", "-X", "-q", "-A", "-v", "ON_ERROR_STOP=1", "-U", user, *options, "-c", sql]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"grafana.py: {done.stderr}\n{sql}")
    return done.stdout.splitlines()


def check(sql, place):
    for macro, text in MACROS.items():
        sql = sql.replace(macro, text)
    if "$" in sql:
        sys.exit(f"grafana.py: {place}: a macro is left: {sql}")
    lines = ask(sql)
    if len(lines) < 3:  # names, a row, the count
        sys.exit(f"grafana.py: {place}: no row: {sql}")
    return lines[0].split("|")


def documented():
    text = open(os.path.join(ROOT, "docs/grafana.md"), encoding="utf-8").read()
    return [sql for sql in re.findall(r"```sql\n(.*?)```", text, re.S) if sql.startswith("SELECT")]


queries = documented()
assert len(queries) >= 10, len(queries)
for query in queries:
    check(query, "docs/grafana.md")

with open(os.path.join(ROOT, "dist/grafana/oneway.json"), encoding="utf-8") as file:
    board = json.load(file)
for variable in board["templating"]["list"]:
    check(variable["query"], "variable " + variable["name"])
targets = [(p["title"], t) for p in board["panels"] for t in p["targets"]] + [(a["name"], a["target"]) for a in board["annotations"]["list"]]
assert len(targets) >= 8, len(targets)
for title, target in targets:
    names = check(target["rawSql"], title)
    assert target["format"] != "time_series" or names[0] == "time", (title, names)

# PostgREST becomes the role, and passes arguments by name.
call = """SELECT count (*) FROM owd.{}"""
for function in (
    "timeline (src := 'edge-a', dst := 'edge-b', from_ts := '2026-11-22T06:40Z', to_ts := '2026-11-22T06:41Z', step := '1min')",
    "compose (route := '{edge-a,edge-b}', from_ts := '2026-11-22T06:40Z', to_ts := '2026-11-22T06:41Z', step := '1min')",
    "histogram (src := 'edge-a', dst := 'edge-b', from_ts := '2026-11-22T06:40Z', to_ts := '2026-11-22T06:41Z')",
    "worst (from_ts := '2026-11-22T06:40Z', to_ts := '2026-11-22T06:41Z')",
    "samples WHERE src = 'edge-a' AND dst = 'edge-b'",
    "events WHERE cleared IS NULL",
):
    rows = ask("BEGIN READ ONLY; SET LOCAL ROLE owd_reader; SET LOCAL search_path = owd, public; " + call.format(function), "-t", user="t_postgrest")
    assert int(rows[-1]) > 0, function
