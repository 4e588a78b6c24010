"""Traces read back from the files that they were written to."""

from __future__ import annotations

import gzip
import json
import math
import operator
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO, cast

from nexus_core.tracing.chrome import FORMAT_VERSION
from nexus_core.tracing.events import EventColumns, NodeEvent
from nexus_core.tracing.model import RunTrace, Trace, TracedThread

__all__ = ["read_chrome"]

_GZIP = b"\x1f\x8b"
#: Seconds since 1970 at the end of the year 9999, beyond which there are no dates.
_LAST_SECOND = 253402300800.0


def read_chrome(path: str | os.PathLike[str]) -> Trace:
    """Reads a trace that `write_chrome` has written, plain or compressed, whatever its name.

    Args:
        path: The file.

    Returns:
        The trace.

    Raises:
        ValueError: If the file is not a trace that nexus-core has written.
        OSError: If it cannot be read.
    """
    path = Path(path)
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == _GZIP
        with _opened(path, packed) as file:
            about, lines = _by_line(file)
            if about is not None:
                return _trace(about, lines)
            # Someone has written it anew, with other line breaks.
            file.seek(0)
            whole = json.load(file)
    except (UnicodeDecodeError, json.JSONDecodeError, EOFError, zlib.error, gzip.BadGzipFile, RecursionError) as broken:
        raise ValueError(f"{path} is not a trace: {broken}") from broken
    except _Unlike as unlike:
        raise ValueError(f"{path} is not a trace that nexus-core has written: {unlike}") from unlike
    try:
        if not isinstance(whole, dict) or not isinstance(whole.get("traceEvents"), list):
            raise _Unlike("it has no traceEvents")
        other = whole.get("otherData")
        return _trace(other.get("nexus_core") if isinstance(other, dict) else None, whole["traceEvents"])
    except _Unlike as unlike:
        raise ValueError(f"{path} is not a trace that nexus-core has written: {unlike}") from unlike


def _opened(path: Path, packed: bool) -> TextIO:
    if packed:
        return cast(TextIO, gzip.open(path, "rt", encoding="utf-8"))
    return path.open(encoding="utf-8", newline="\n")


class _Unlike(Exception):
    """What is missing or odd."""


_HEAD = '"otherData":'


def _by_line(file: TextIO) -> tuple[Any, Iterable[Any]]:
    """The file's description and an iterator over its events, which are never in memory all at once."""
    if file.readline() != '{"displayTimeUnit":"ms",\n':
        return None, ()
    head = file.readline()
    if not head.startswith(_HEAD) or file.readline() != '"traceEvents":[\n':
        return None, ()
    return json.loads(head[len(_HEAD) :].rstrip().rstrip(",")).get("nexus_core"), _events(file)


def _events(file: TextIO) -> Iterable[Any]:
    for line in file:
        if line == "]}\n":
            return
        # Others need not be parsed.
        if '"cat":"node"' in line:
            yield json.loads(line.rstrip("\n").rstrip(","))
    raise _Unlike("its end is missing")


def _trace(about: Any, events: Iterable[Any]) -> Trace:
    if not isinstance(about, dict):
        raise _Unlike("otherData.nexus_core is missing")
    if about.get("version") != FORMAT_VERSION:
        raise _Unlike(f"its version is {about.get('version')!r}, and this nexus-core reads {FORMAT_VERSION}")
    try:
        workflows = [_workflow(each) for each in about["workflows"]]
        runs = []
        for number, run_id, began, ended, status, note in about["runs"]:
            name, nodes, edges = workflows[_whole(number, len(workflows))]
            times = _time(began), _time(ended)
            if times[0] > times[1]:
                raise ValueError(f"a run begins at {began} and ends at {ended} s")
            said = None if note is None else _text(note)
            runs.append(RunTrace(name, _text(run_id), *times, _text(status), nodes, edges, said))
        threads = [TracedThread(_text(name), _whole(native_id)) for name, native_id in about["threads"]]
        columns = EventColumns()
        for event in events:
            if isinstance(event, dict) and event.get("cat") == "node":
                columns.append(_execution(event))
        _check_times(columns)
        return Trace(
            threads, runs, columns, dropped=_whole(about["dropped"]), began=_time(about["began"], _LAST_SECOND),
            process_id=_whole(about["process_id"]),
        )  # fmt: skip
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as odd:
        if isinstance(odd, json.JSONDecodeError):
            raise
        raise _Unlike(f"{type(odd).__name__}: {odd}") from odd


def _execution(event: dict[str, Any]) -> NodeEvent:
    args = event["args"]
    start = event["ts"]
    return NodeEvent(
        args["run"],
        args["node"],
        args["thread"],
        args["ready_us"] / 1e6 if "ready_us" in args else math.nan,
        start / 1e6,
        (start + event.get("dur", 0.0)) / 1e6,
        args.get("waiting_for_gil_us", 0.0) / 1e6,
        args["status"],
        None if args.get("error") is None else _text(args["error"]),
    )


def _workflow(about: dict[str, Any]) -> tuple[str, tuple[tuple[str, str], ...], tuple[tuple[int, int], ...]]:
    nodes = tuple((_text(node_id), _text(node_type)) for node_id, node_type in about["nodes"])
    edges = tuple((_whole(source, len(nodes)), _whole(target, len(nodes))) for source, target in about["edges"])
    return _text(about["name"]), nodes, edges


def _check_times(columns: EventColumns) -> None:
    for column in (columns.start, columns.end, columns.waiting_for_gil):
        if not all(map(math.isfinite, column)):
            raise ValueError("a node's times are no numbers")
    if any(map(operator.gt, columns.start, columns.end)):
        raise ValueError("a node ends before it starts")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _whole(value: Any, below: int = 1 << 63) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < below:
        raise ValueError(f"{value!r} is no whole number from 0 to below {below}")
    return value


def _time(value: Any, last: float = math.inf) -> float:
    seconds = float(value)
    if not (0.0 <= seconds < last):
        raise ValueError(f"{value!r} is no time in seconds")
    return seconds
