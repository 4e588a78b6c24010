"""The rules of the published Trace Event Format, as far as they are about what we write.

"Trace Event Format", by the Chromium project: docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

# Phases with the fields that they must have and the fields that they may have besides.
_COMMON = {"ph", "name", "pid", "tid", "ts"}
FIELDS = {
    "X": (_COMMON | {"cat", "dur"}, {"args", "cname", "tdur", "tts"}),
    "M": (_COMMON - {"ts"} | {"args"}, {"ts", "cat"}),
    "b": (_COMMON | {"cat", "id"}, {"args", "scope", "cname"}),
    "e": (_COMMON | {"cat", "id"}, {"args", "scope", "cname"}),
    "s": (_COMMON | {"cat", "id"}, {"args", "cname"}),
    "f": (_COMMON | {"cat", "id"}, {"args", "cname", "bp"}),
    "C": (_COMMON | {"args"}, {"cat", "id", "cname"}),
    "i": (_COMMON, {"cat", "s", "args", "cname"}),
}
METADATA = {
    "process_name": ("name", str),
    "process_labels": ("labels", str),
    "process_sort_index": ("sort_index", int),
    "thread_name": ("name", str),
    "thread_sort_index": ("sort_index", int),
}
# Trace-viewer's reserved colours.
# fmt: off
COLOURS = {
    "thread_state_uninterruptible", "thread_state_iowait", "thread_state_running", "thread_state_runnable",
    "thread_state_sleeping", "thread_state_unknown", "background_memory_dump", "light_memory_dump",
    "detailed_memory_dump", "vsync_highlight_color", "generic_work", "good", "bad", "terrible", "black", "grey",
    "white", "yellow", "olive", "rail_response", "rail_animation", "rail_idle", "rail_load", "startup",
    "heap_dump_stack_frame", "heap_dump_object_type", "heap_dump_child_node_arrow", "cq_build_running",
    "cq_build_passed", "cq_build_failed", "cq_build_abandoned", "cq_build_attempt_runnig", "cq_build_attempt_passed",
    "cq_build_attempt_failed",
}
# fmt: on


def check(file: Any) -> None:
    """Raises AssertionError for whatever breaks a rule."""
    assert isinstance(file, dict), "the JSON object format is an object"
    assert isinstance(file["traceEvents"], list)
    assert file.get("displayTimeUnit", "ms") in ("ms", "ns")
    assert isinstance(file.get("otherData", {}), dict)
    for event in file["traceEvents"]:
        _check_fields(event)
    _check_nesting(file["traceEvents"])
    _check_async(file["traceEvents"])
    _check_flows(file["traceEvents"])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _check_fields(event: Any) -> None:
    assert isinstance(event, dict)
    phase = event["ph"]
    assert phase in FIELDS, f"phase {phase!r} is none that we write"
    needed, allowed = FIELDS[phase]
    assert needed <= set(event) <= needed | allowed, event
    assert isinstance(event["name"], str)
    assert type(event["pid"]) is int and type(event["tid"]) is int
    assert "ts" not in event or (_is_number(event["ts"]) and event["ts"] >= 0), event
    assert "cat" not in event or (isinstance(event["cat"], str) and event["cat"]), "categories are split at commas"
    assert isinstance(event.get("args", {}), dict)
    assert "cname" not in event or event["cname"] in COLOURS
    assert "id" not in event or isinstance(event["id"], (str, int))
    if phase == "X":
        assert _is_number(event["dur"]) and event["dur"] >= 0, event
    elif phase == "M":
        key, kind = METADATA[event["name"]]
        assert list(event["args"]) == [key] and type(event["args"][key]) is kind, event
    elif phase == "C":
        assert event["args"] and all(map(_is_number, event["args"].values())), event
    elif phase == "i":
        assert event.get("s", "t") in ("g", "p", "t")


def nanoseconds(microseconds: float) -> int:
    return round(microseconds * 1000)


def _slices(events: list[Any]) -> dict[tuple[int, int], list[tuple[int, int]]]:
    found = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            begin = nanoseconds(event["ts"])
            found[event["pid"], event["tid"]].append((begin, begin + nanoseconds(event["dur"])))
    return found


def _check_nesting(events: list[Any]) -> None:
    """Of two slices of a thread, one holds the other or is over when the other begins."""
    for track in _slices(events).values():
        open_ends: list[int] = []
        for begin, end in sorted(track, key=lambda each: (each[0], -each[1])):
            while open_ends and open_ends[-1] <= begin:
                open_ends.pop()
            assert not open_ends or end <= open_ends[-1], f"slices {begin}..{end} and ..{open_ends[-1]} overlap"
            open_ends.append(end)


def _check_async(events: list[Any]) -> None:
    """Each begin has one end, by category and id, which is not before it."""
    begun: dict[Any, Any] = {}
    ended = set()
    for event in events:
        if event["ph"] in "be":
            key = (event["cat"], event["id"], event["name"], event["pid"])
            if event["ph"] == "b":
                assert key not in begun, f"{key} begins twice"
                begun[key] = event["ts"]
            else:
                assert begun[key] <= event["ts"] and key not in ended
                ended.add(key)
    assert set(begun) == ended


def _check_flows(events: list[Any]) -> None:
    """Each flow has a beginning and an end under one name, category and id, bound to slices that are there."""
    slices = _slices(events)
    halves: dict[str, dict[Any, Any]] = {"s": {}, "f": {}}
    for event in events:
        if event["ph"] in halves:
            key = (event["cat"], event["name"], event["id"])
            assert key not in halves[event["ph"]], f"{key} is used twice"
            halves[event["ph"]][key] = event
            time = nanoseconds(event["ts"])
            around = [span for span in slices[event["pid"], event["tid"]] if span[0] <= time <= span[1]]
            assert around, f"no slice encloses {event}"
    assert set(halves["s"]) == set(halves["f"])
    for key, begin in halves["s"].items():
        end = halves["f"][key]
        assert end.get("bp") == "e", "it binds to the slice that encloses it, not to the next one"
        assert nanoseconds(begin["ts"]) <= nanoseconds(end["ts"]), "an arrow does not go back in time"
