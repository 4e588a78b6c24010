"""Traces as Chrome's and Perfetto's JSON, by the rules of the format, and read back."""

from __future__ import annotations

import gzip
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from viztracer.report_builder import ReportBuilder

from nexus_core.tracing import EventColumns, NodeEvent, RunTrace, Trace, TracedThread

from . import trace_event_format
from .support import HOSTILE, made, threads, traces
from .trace_event_format import nanoseconds


def written(trace: Trace) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        return json.loads(trace.write(Path(folder) / "run.json").read_text(encoding="utf-8"))


def of_phase(file: Any, phase: str, category: str | None = None) -> list[Any]:
    return [each for each in file["traceEvents"] if each["ph"] == phase and category in (None, each.get("cat"))]


def same(left: Trace, right: Trace) -> None:
    """Equal but for times below a nanosecond."""
    assert (left.threads, left.runs, left.dropped) == (right.threads, right.runs, right.dropped)
    assert (left.began, left.process_id, len(left)) == (right.began, right.process_id, len(right))
    for ours, theirs in zip(left.events, right.events, strict=True):
        names = ("run", "node", "thread", "status", "error")
        assert [getattr(ours, name) for name in names] == [getattr(theirs, name) for name in names]
        for name in ("ready", "start", "end", "waiting_for_gil"):
            mine, other = getattr(ours, name), getattr(theirs, name)
            assert mine == pytest.approx(other, abs=1.1e-9) or (math.isnan(mine) and math.isnan(other))


@given(traces())
def test_every_field_follows_the_format(trace: Trace) -> None:
    trace_event_format.check(written(trace))


@given(traces())
def test_what_is_written_is_read_back(trace: Trace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("run.json", "run.json.gz"):
            same(Trace.read(trace.write(Path(folder) / name)), trace)


@given(traces())
def test_a_file_that_others_have_written_anew_is_read(trace: Trace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.json"
        path.write_text(json.dumps(written(trace), indent=1), encoding="utf-8")
        same(Trace.read(path), trace)


def test_times_are_microseconds_and_names_and_types_are_told() -> None:
    trace = made([(0, 1)], [0.25, 0.5], began=1.0, delays=[0.0, 0.125], locks=[0.0, 0.0625])
    file = written(trace)
    first, second = of_phase(file, "X", "node")
    assert (first["name"], first["ts"], first["dur"]) == ("a", 1_000_000.0, 250_000.0)
    assert (second["name"], second["ts"], second["dur"]) == ("b", 1_437_500.0, 500_000.0)
    assert second["args"] == {
        "run": 0,
        "node": 1,
        "thread": 0,
        "type": "Code",
        "status": "completed",
        "ready_us": 1_250_000.0,
        "waiting_for_gil_us": 62_500.0,
    }
    (lock,) = of_phase(file, "X", "lock")
    assert (lock["ts"], lock["dur"], lock["tid"]) == (1_375_000.0, 62_500.0, second["tid"])
    (begin,) = of_phase(file, "b")
    (end,) = of_phase(file, "e")
    assert (begin["name"], begin["ts"], end["ts"]) == ("made", 1_000_000.0, 1_937_500.0)
    assert begin["args"] == {"run_id": "run-0", "status": "completed"}


def test_threads_are_named_by_the_system_s_numbers_for_them() -> None:
    file = written(made([], [0.1, 0.1], 2))
    names = {each["tid"]: each["args"]["name"] for each in of_phase(file, "M") if each["name"] == "thread_name"}
    assert names == {100: "thread-0", 101: "thread-1"}
    (process,) = [each for each in of_phase(file, "M") if each["name"] == "process_name"]
    assert (process["args"], process["pid"]) == ({"name": "nexus-core"}, os.getpid())


def test_threads_that_had_the_same_number_one_after_the_other_are_told_apart() -> None:
    run, events = (
        RunTrace("w", "r", 0, 2, nodes=[("a", "T")]),
        [NodeEvent(0, 0, 0, 0, 0, 1), NodeEvent(0, 0, 1, 1, 1, 2)],
    )
    file = written(Trace([TracedThread("one", 7), TracedThread("two", 7)], [run], events))
    assert len({each["tid"] for each in of_phase(file, "X")}) == 2


def test_nodes_that_overlap_on_one_thread_are_on_tracks_of_their_own() -> None:
    nodes = [(f"n{k}", "Async") for k in range(3)]
    events = [NodeEvent(0, k, 0, 0.0, 0.1 * k, 1.0 + 0.1 * k) for k in range(3)]
    file = written(Trace(threads(1), [RunTrace("loop", "r", 0, 2, nodes=nodes)], events))
    trace_event_format.check(file)
    names = [each["args"]["name"] for each in of_phase(file, "M") if each["name"] == "thread_name"]
    assert names == ["thread-0", "thread-0 (2)", "thread-0 (3)"]


def test_an_edge_is_an_arrow_from_the_end_of_a_node_to_the_start_of_another() -> None:
    file = written(made([(0, 2), (1, 2)], [0.1, 0.2, 0.1], 2))
    ends = {each["name"]: each["ts"] + each["dur"] for each in of_phase(file, "X")}
    begins, arrows = of_phase(file, "s"), of_phase(file, "f")
    assert [round(each["ts"]) for each in begins] == [round(ends["a"]), round(ends["b"])]
    assert [each["ts"] for each in arrows] == [200_000.0, 200_000.0]


def test_counters_tell_how_many_run_and_wait() -> None:
    file = written(made([], [0.1, 0.2, 0.1], 2))
    curves: dict[str, list[Any]] = {"running": [], "queued": []}
    for each in of_phase(file, "C"):
        curves[each["name"]].append((each["ts"], each["args"]["nodes"]))
    assert curves["running"] == [(0.0, 2), (200_000.0, 0)]
    assert curves["queued"] == [(0.0, 1), (100_000.0, 0)]


def test_a_counter_of_many_changes_is_thinned_and_keeps_its_highest() -> None:
    count = 60_000
    nodes = [("a", "T")]
    events = EventColumns(NodeEvent(0, 0, 0, k / 1e3, k / 1e3, (k + 0.5) / 1e3) for k in range(count))
    events.append(NodeEvent(0, 0, 0, 30.0, 30.0001, 30.0003))
    file = written(Trace(threads(1), [RunTrace("w", "r", 0, 60, nodes=nodes)], events))
    samples = [each for each in of_phase(file, "C") if each["name"] == "running"]
    assert len(samples) <= 50_010
    assert max(each["args"]["nodes"] for each in samples) == 2
    assert samples[-1]["args"]["nodes"] == 0


def test_a_skipped_node_is_an_instant_without_arrows() -> None:
    run = RunTrace("w", "r", 0, 1, nodes=[("a", "T"), ("b", "T")], edges=[(0, 1)])
    events = [NodeEvent(0, 0, 0, 0, 0, 1), NodeEvent(0, 1, 0, 1, 1, 1, 0.0, "skipped")]
    trace = Trace(threads(1), [run], events)
    file = written(trace)
    trace_event_format.check(file)
    (instant,) = of_phase(file, "i")
    assert (instant["name"], instant["s"], instant["args"]["status"]) == ("b", "t", "skipped")
    assert not of_phase(file, "s")


def test_nodes_of_a_cycle_point_from_round_to_round() -> None:
    run = RunTrace("w", "r", 0, 4, nodes=[("a", "T"), ("b", "T")], edges=[(0, 1), (1, 0)])
    events = [NodeEvent(0, k % 2, 0, k, k, k + 1) for k in range(4)]
    file = written(Trace(threads(1), [run], events))
    trace_event_format.check(file)
    pairs = [
        (nanoseconds(s["ts"]), nanoseconds(f["ts"]))
        for s, f in zip(of_phase(file, "s"), of_phase(file, "f"), strict=True)
    ]
    assert {(round(s / 1e9), f // 10**9) for s, f in pairs} >= {(1, 1), (2, 2), (3, 3)}


def test_viztracer_reads_it(tmp_path: Path) -> None:
    """VizTracer parses it, and wants a list of events, each with a phase, and names where there are files."""
    trace = made([(0, 1), (0, 2)], [0.1, 0.2, 0.1], 2)
    first, second = trace.write(tmp_path / "one.json"), trace.write(tmp_path / "two.json")
    command = [
        sys.executable,
        "-m",
        "viztracer",
        "--combine",
        str(first),
        str(second),
        "-o",
        str(tmp_path / "both.json"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    both = json.loads((tmp_path / "both.json").read_text(encoding="utf-8"))
    assert len(both["traceEvents"]) == 2 * len(written(trace)["traceEvents"])
    builder = ReportBuilder([str(first)], verbose=0)
    builder.save(str(tmp_path / "page.html"))
    assert "run-0" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_the_same_trace_is_the_same_file(tmp_path: Path) -> None:
    trace = made([(0, 1)], [0.1, 0.2])
    first, second = (trace.write(tmp_path / name).read_bytes() for name in ("a.json.gz", "b.json.gz"))
    assert first == second


def test_a_file_is_replaced_as_a_whole_or_stays(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("before")
    trace = made([], [0.1])
    broken = Trace(threads(1), [RunTrace("w", "r", 0, 1, nodes=[(object(), "T")])], [NodeEvent(0, 0, 0, 0, 0, 1)])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        broken.write(path)
    assert path.read_text() == "before" and os.listdir(tmp_path) == ["run.json"]
    trace.write(path)
    same(Trace.read(path), trace)


def test_other_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.json, \.json\.gz or \.html, not as 'run.txt'"):
        made([], [0.1]).write(tmp_path / "run.txt")
    assert not os.listdir(tmp_path)
    with pytest.raises(FileNotFoundError):
        made([], [0.1]).write(tmp_path / "missing" / "run.json")


GOOD = {"version": 1, "process_id": 1, "began": 0.0, "dropped": 0, "threads": [], "workflows": [], "runs": []}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not a trace"),
        (b"not json", "is not a trace"),
        (b"\xff\xfe", "is not a trace"),
        (gzip.compress(b"{}", mtime=0), "no traceEvents"),
        (gzip.compress(b'{"traceEvents": []}', mtime=0)[:-9], "is not a trace"),
        (b"[]", "no traceEvents"),
        (b'{"traceEvents": []}', "otherData.nexus_core is missing"),
        (json.dumps({"traceEvents": [], "otherData": {"nexus_core": {"version": 2}}}).encode(), "version is 2"),
        (json.dumps({"traceEvents": [], "otherData": {"nexus_core": {"version": 1}}}).encode(), "KeyError"),
        (
            json.dumps({"traceEvents": [{"cat": "node"}], "otherData": {"nexus_core": GOOD}}).encode(),
            "KeyError: 'args'",
        ),
        (
            b'{"displayTimeUnit":"ms",\n"otherData":{"nexus_core":'
            + json.dumps(GOOD).encode()
            + b'},\n"traceEvents":[\n',
            "its end",
        ),
        (b"[" * 100_000, "is not a trace"),
    ],
    ids=[
        "empty",
        "text",
        "binary",
        "packed object",
        "packed and cut",
        "list",
        "of others",
        "newer",
        "tables missing",
        "event without args",
        "cut",
        "deep",
    ],
)
def test_what_is_no_trace_of_ours_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words) as refused:
        Trace.read(path)
    assert str(path) in str(refused.value)


def test_events_beyond_their_tables_are_refused() -> None:
    run = RunTrace("w", "r", 0, 1, nodes=[("a", "T")])
    for event, words in (
        (NodeEvent(0, 0, 1, 0, 0, 1), "thread 1"),
        (NodeEvent(1, 0, 0, 0, 0, 1), "run 1"),
        (NodeEvent(0, 1, 0, 0, 0, 1), "node 1 of run 0"),
    ):
        with pytest.raises(ValueError, match=words):
            Trace(threads(1), [run], [event])
    for odd, words in (
        (NodeEvent(0, 0, 0, 0, 1, 0), "cannot last"),
        (NodeEvent(0, 0, 0, 0, 0, 1, 0.0, "done"), "status"),
    ):  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=words):
            EventColumns([odd])


def test_hostile_names_stay_names() -> None:
    run = RunTrace(HOSTILE, HOSTILE, 0, 1, nodes=[(HOSTILE, HOSTILE), ("\ud800", "\x00")])
    trace = Trace([TracedThread(HOSTILE, 3)], [run], [NodeEvent(0, k, 0, k, k, k + 1) for k in range(2)])
    file = written(trace)
    trace_event_format.check(file)
    assert [each["name"] for each in of_phase(file, "X", "node")] == [HOSTILE, "\ud800"]


MILLION = """
import resource, sys
from array import array
from nexus_core.tracing import EventColumns, RunTrace, Trace

def peak():  # KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

count, width = 1_000_000, 100
start = array("d", (k / 1e5 for k in range(count)))
end = array("d", ((k + 0.9) / 1e5 for k in range(count)))
zeros = bytes(4 * count)
events = EventColumns.from_columns(
    run=array("I", (k // width for k in range(count))), node=array("I", (k % width for k in range(count))),
    thread=array("I", zeros), ready=array("d", start), start=start, end=end,
    waiting_for_gil=array("d", zeros + zeros), status=array("B", bytes(count)), error=array("I", zeros),
)
nodes, edges = tuple((f"n{k}", "T") for k in range(width)), tuple((k, k + 1) for k in range(width - 1))
runs = [RunTrace("w", f"r{k}", k / 1e3, (k + 1) / 1e3, "completed", nodes, edges) for k in range(count // width)]
trace = Trace([("main", 1)], runs, events)
before = peak()
trace.write(sys.argv[1])
print(sum(1 for line in open(sys.argv[1]) if line.startswith('{"ph":"X"')), (peak() - before) // 1024)
"""


def test_a_million_events_are_written_without_their_text_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "million.json"
    done = subprocess.run(
        [sys.executable, "-c", MILLION, str(path)], capture_output=True, text=True, timeout=250, check=True
    )
    slices, grown = map(int, done.stdout.split())
    assert slices == 1_000_000
    # Columns that are sorted for a while, against more than 300 MB of text.
    assert grown < 130
    assert path.stat().st_size > 2 * grown * 1024**2
