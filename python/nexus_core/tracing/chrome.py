"""Traces as Chrome's and Perfetto's JSON, after the published Trace Event Format."""

from __future__ import annotations

import json
import math
import os
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from nexus_core.tracing.events import STATUSES
from nexus_core.tracing.execution_graph import events_by_run, execution_edges
from nexus_core.tracing.files import replaced
from nexus_core.tracing.lanes import lanes
from nexus_core.tracing.model import Trace
from nexus_core.tracing.shapes import shapes

__all__ = ["FORMAT_VERSION", "write_chrome"]

# What `otherData.nexus_core.version` says; a reader refuses what it does not know.
FORMAT_VERSION = 1

# More changes than that are more than a counter's curve can show.
_MOST_SAMPLES = 50_000
_SKIPPED = STATUSES.index("skipped")
# Colours of the format's reserved names.
_COLOURS = {"failed": "terrible", "cancelled": "bad", "cached": "good"}


def write_chrome(trace: Trace, path: str | os.PathLike[str]) -> Path:
    """Writes a trace for Perfetto and Chrome, an event a line, without holding the text in memory.

    Args:
        trace: What is written.
        path: The file, compressed when its name ends in ``.gz``.

    Returns:
        The path.

    Raises:
        OSError: If the file cannot be written; what was there before stays then.
    """
    path = Path(path)
    with replaced(path) as file:
        file.write('{"displayTimeUnit":"ms",\n"otherData":')
        json.dump({"nexus_core": _about(trace)}, file, separators=(",", ":"))
        file.write(',\n"traceEvents":[')
        separator = "\n"
        for line in _lines(trace):
            file.write(separator)
            file.write(line)
            separator = ",\n"
        file.write("\n]}\n")
    return path


def _about(trace: Trace) -> dict[str, Any]:
    """What the format has no events for, and `Trace.read` needs."""
    workflows, numbers = shapes(trace.runs)
    return {
        "version": FORMAT_VERSION,
        "process_id": trace.process_id,
        "began": trace.began,
        "dropped": trace.dropped,
        "threads": [list(thread) for thread in trace.threads],
        "workflows": [
            {"name": each.workflow, "nodes": list(each.nodes), "edges": list(each.edges)} for each in workflows
        ],
        "runs": [
            [number, run.run_id, run.began, run.ended, run.status, run.note]
            for number, run in zip(numbers, trace.runs, strict=True)
        ],
    }


def _lines(trace: Trace) -> Iterator[str]:
    tracks = _Tracks(trace)
    yield from tracks.metadata()
    yield from _runs(trace)
    yield from _executions(trace, tracks)
    yield from _flows(trace, tracks)
    columns = trace.events
    ran = ((columns.start[i], columns.end[i]) for i in range(len(columns)) if columns.status[i] != _SKIPPED)
    yield from _counter(trace, "running", ran)
    times = zip(columns.ready, columns.start, columns.waiting_for_gil, columns.status, strict=True)
    waited = ((ready, start - lock) for ready, start, lock, status in times if status != _SKIPPED)
    yield from _counter(trace, "queued", ((ready, taken) for ready, taken in waited if ready < taken))


class _Tracks:
    """A track for each lane of each thread: slices of one track must not overlap."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self.lanes = lanes(trace.events)
        used = sorted(
            {*zip(trace.events.thread, self.lanes, strict=True), *((t, 0) for t in range(len(trace.threads)))}
        )
        native = [thread.native_id for thread in trace.threads]
        # The operating system gives the number of a thread that has ended to another.
        trusted = all(native) and len(set(native)) == len(native)
        free = max([*native, trace.process_id], default=0) + 1 if trusted else 1
        self._ids: dict[tuple[int, int], int] = {}
        for thread, lane in used:
            if trusted and lane == 0:
                self._ids[thread, lane] = native[thread]
            else:
                self._ids[thread, lane] = free
                free += 1

    def of(self, event: int) -> int:
        return self._ids[self._trace.events.thread[event], self.lanes[event]]

    def metadata(self) -> Iterator[str]:
        yield self._named("process_name", 0, "name", "nexus-core")
        for position, ((thread, lane), tid) in enumerate(self._ids.items()):
            name = self._trace.threads[thread].name
            yield self._named("thread_name", tid, "name", f"{name} ({lane + 1})" if lane else name)
            yield self._named("thread_sort_index", tid, "sort_index", position)

    def _named(self, what: str, tid: int, key: str, value: str | int) -> str:
        return _line({"ph": "M", "name": what, "pid": self._trace.process_id, "tid": tid, "args": {key: value}})


def _runs(trace: Trace) -> Iterator[str]:
    for number, run in enumerate(trace.runs):
        # Quoted: ids are strings, and those of runs are numbers of our own, since a run's id may come twice.
        begun = {"cat": "run", "id": f"run-{number}", "name": run.workflow, "pid": trace.process_id, "tid": 0}
        told = {"run_id": run.run_id, "status": run.status, "note": run.note}
        args = {key: value for key, value in told.items() if value is not None}
        yield _line({"ph": "b", **begun, "args": args}, run.began)
        yield _line({"ph": "e", **begun}, run.ended)


def _executions(trace: Trace, tracks: _Tracks) -> Iterator[str]:
    columns, pid = trace.events, trace.process_id
    described: dict[int, list[tuple[str, str]]] = {}
    for i in range(len(columns)):
        run, node = columns.run[i], columns.node[i]
        nodes = trace.runs[run].nodes
        names = described.get(id(nodes))
        if names is None:
            names = described[id(nodes)] = [(json.dumps(node_id), json.dumps(kind)) for node_id, kind in nodes]
        node_id, kind = names[node]
        start, end, ready, waited = columns.start[i], columns.end[i], columns.ready[i], columns.waiting_for_gil[i]
        status = STATUSES[columns.status[i]]
        args = f'"run":{run},"node":{node},"thread":{columns.thread[i]},"type":{kind},"status":"{status}"'
        if math.isfinite(ready):
            args += f',"ready_us":{_microseconds(ready)}'
        if waited:
            args += f',"waiting_for_gil_us":{_microseconds(waited)}'
        if error := columns.errors[columns.error[i]]:
            args += f',"error":{json.dumps(error)}'
        tid = tracks.of(i)
        where = f'"pid":{pid},"tid":{tid},"ts":{_microseconds(start)}'
        if columns.status[i] == _SKIPPED and end == start:
            yield f'{{"ph":"i","s":"t","cat":"node","name":{node_id},{where},"args":{{{args}}}}}'
            continue
        colour = f',"cname":"{_COLOURS[status]}"' if status in _COLOURS else ""
        # Rounded apart, so that what ends when the next begins does not reach into it.
        length = f"{round(end * 1e6, 3) - round(start * 1e6, 3):.3f}"
        yield f'{{"ph":"X","cat":"node","name":{node_id},{where},"dur":{length}{colour},"args":{{{args}}}}}'
        if waited > 0.0:
            before = round(start * 1e6, 3) - round(waited * 1e6, 3)
            where = f'"pid":{pid},"tid":{tid},"ts":{before:.3f},"dur":{_microseconds(waited)}'
            yield f'{{"ph":"X","cat":"lock","name":"waits for the interpreter lock",{where}}}'


def _flows(trace: Trace, tracks: _Tracks) -> Iterator[str]:
    columns, number = trace.events, 0
    for run, of_run in events_by_run(trace):
        for source, target in execution_edges(trace.runs[run], columns, of_run):
            i, j = of_run[source], of_run[target]
            if _SKIPPED in (columns.status[i], columns.status[j]):
                continue
            number += 1
            flow = f'"cat":"edge","name":"edge","id":{number},"pid":{trace.process_id}'
            # A flow begins in the slice that encloses it, which is over at its very end.
            left = max(columns.start[i], columns.end[i] - 1e-9)
            yield f'{{"ph":"s",{flow},"tid":{tracks.of(i)},"ts":{_microseconds(left)}}}'
            yield f'{{"ph":"f","bp":"e",{flow},"tid":{tracks.of(j)},"ts":{_microseconds(columns.start[j])}}}'


def _counter(trace: Trace, name: str, spans: Iterable[tuple[float, float]]) -> Iterator[str]:
    ups, downs = array("d"), array("d")
    for start, end in spans:
        ups.append(start)
        downs.append(end)
    for time, count in _samples(array("d", sorted(ups)), array("d", sorted(downs))):
        head = {"ph": "C", "name": name, "pid": trace.process_id, "tid": 0}
        yield _line({**head, "args": {"nodes": count}}, time)


def _samples(ups: array[float], downs: array[float]) -> Iterator[tuple[float, int]]:
    """How many there are after each change; of changes closer together than can be shown, the most."""
    if not ups:
        return
    changes = len(ups) + len(downs)
    grain = (downs[-1] - ups[0]) / _MOST_SAMPLES if changes > _MOST_SAMPLES else 0.0
    up = down = count = most = 0
    shown, held = -1, -math.inf
    while down < len(downs):
        time = min(ups[up], downs[down]) if up < len(ups) else downs[down]
        while down < len(downs) and downs[down] <= time:
            down += 1
        while up < len(ups) and ups[up] <= time:
            up += 1
        count = up - down
        most = max(most, count)
        if time >= held or down == len(downs):
            value = count if down == len(downs) else most
            if value != shown:
                yield time, value
            shown, held, most = value, time + grain, count


def _line(event: dict[str, Any], seconds: float | None = None) -> str:
    text = json.dumps(event, separators=(",", ":"))
    return text if seconds is None else f'{text[:-1]},"ts":{_microseconds(seconds)}}}'


def _microseconds(seconds: float) -> str:
    return f"{seconds * 1e6:.3f}"
