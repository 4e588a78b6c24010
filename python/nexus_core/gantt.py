"""A run drawn as text: which node ran when, and on which thread."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, Protocol

__all__ = ["Span", "TraceEntry", "render"]

_LEAST_WIDTH = 32
_LEAST_BAR = 20
_DURATION = 7
# From a left and a right half to a character; half a cell is as fine as block characters go from both sides.
_HALVES = {(False, False): " ", (True, False): "▌", (False, True): "▐", (True, True): "█"}
_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


class Span(NamedTuple):
    """One node's time on a thread, in seconds since the start of the run."""

    node_id: str
    thread_name: str
    start_seconds: float
    end_seconds: float


class TraceEntry(Protocol):
    """What a trace may hold instead of tuples."""

    @property
    def node_id(self) -> str: ...
    @property
    def thread_name(self) -> str: ...
    @property
    def start_seconds(self) -> float: ...
    @property
    def end_seconds(self) -> float: ...


def render(
    trace: Iterable[TraceEntry | tuple[str, str, float, float]],
    width: int = 80,
    *,
    by: Literal["node", "thread"] = "node",
    max_rows: int = 40,
) -> str:
    """Draw a run's trace as a Gantt chart of text.

    Args:
        trace: What `LocalRuntime.last_trace()` returns: an entry a node, with the node's id, the thread's name, and
            start and end in seconds since the run's start.
        width: Columns that no line goes beyond; at least 32.
        by: A row for each node, in order of start, or a row for each thread, in order of first use.
        max_rows: Rows beyond this number are counted in the last line instead of drawn.

    Returns:
        Lines without a newline at the end: the rows, a time scale and a summary.

    Raises:
        ValueError: When the width is too small, `by` or `max_rows` is not one of the above, or a time is negative, not
            finite, or ends before it starts.

    Example:
        >>> trace = [("load", "main", 0.0, 0.2), ("count", "worker-1", 0.0, 0.1), ("join", "main", 0.2, 0.25)]
        >>> print(render(trace, width=60))
        load  │███████████████████████████       │  200 ms  main
        count │█████████████▌                    │  100 ms  worker-1
        join  │                           ███████│   50 ms  main
              └┴─────────────┴────────────┴──────┘
               0             100 ms       200 ms
        3 nodes on 2 threads in 250 ms, 1.4 at once on average
    """
    if width < _LEAST_WIDTH:
        raise ValueError(f"width must be at least {_LEAST_WIDTH} columns, not {width}")
    if by not in ("node", "thread"):
        raise ValueError(f"by must be 'node' or 'thread', not {by!r}")
    if max_rows < 1:
        raise ValueError(f"max_rows must be at least 1, not {max_rows}")
    spans = sorted(map(_checked, trace), key=lambda span: span.start_seconds)
    if not spans:
        return "no node ran"
    makespan = max(span.end_seconds for span in spans)
    rows = _rows_by_node(spans) if by == "node" else _rows_by_thread(spans)
    drawn, hidden = rows[:max_rows], len(rows) - max_rows
    label = min(max(_columns(row.label) for row in drawn), width // 3)
    notes = max(_columns(row.note) for row in drawn)
    notes = min(notes, width - label - 3 - max(_LEAST_BAR, width * 2 // 5) - 1)
    if notes < _DURATION:
        notes = 0
    bar = width - label - 3 - (notes + 1 if notes else 0)
    lines = []
    for row in drawn:
        cells = _halves(row.spans, makespan, bar) if by == "node" else _labelled(row.spans, makespan, bar)
        lines.append(f"{_fit(row.label, label)} │{cells}│ {_fit(row.note, notes)}".rstrip())
    lines += [" " * (label + 1) + line for line in _scale(makespan, bar)]
    if hidden > 0:
        lines.append(f"… and {hidden:,} more {by}{'s' if hidden > 1 else ''}"[:width])
    lines.append(_fit(_summary(spans, makespan), width).rstrip())
    return "\n".join(lines)


class _Row(NamedTuple):
    label: str
    spans: Sequence[Span]
    note: str


def _checked(entry: TraceEntry | tuple[str, str, float, float]) -> Span:
    if isinstance(entry, tuple):
        node_id, thread_name, start, end = entry
    else:
        node_id, thread_name = entry.node_id, entry.thread_name
        start, end = entry.start_seconds, entry.end_seconds
    if not (math.isfinite(start) and math.isfinite(end) and 0.0 <= start <= end):
        raise ValueError(
            f"node {node_id!r} is said to run from {start!r} to {end!r} s; times must be finite, not negative, and in order"
        )
    return Span(printable(node_id), printable(thread_name), start, end)


def _rows_by_node(spans: Sequence[Span]) -> list[_Row]:
    return [
        _Row(
            s.node_id, [s], f"{readable_time(s.end_seconds - s.start_seconds):>{_DURATION}}  {_tail(s.thread_name, 15)}"
        )
        for s in spans
    ]


def _rows_by_thread(spans: Sequence[Span]) -> list[_Row]:
    threads: dict[str, list[Span]] = {}
    for span in spans:
        threads.setdefault(span.thread_name, []).append(span)
    return [
        _Row(name, own, f"{readable_time(_busy(own)):>{_DURATION}}  {len(own):,} node{'s' if len(own) > 1 else ''}")
        for name, own in threads.items()
    ]


def _busy(spans: Sequence[Span]) -> float:
    return sum(span.end_seconds - span.start_seconds for span in spans)


def _halves(spans: Sequence[Span], makespan: float, cells: int) -> str:
    """Bars to half a cell; a node too short to see gets half a cell."""
    halves = [False] * (2 * cells)
    for span in spans:
        first, last = _extent(span, makespan, 2 * cells)
        halves[first:last] = [True] * (last - first)
    return "".join(_HALVES[halves[i], halves[i + 1]] for i in range(0, 2 * cells, 2))


def _labelled(spans: Sequence[Span], makespan: float, cells: int) -> str:
    """Bars of whole cells in alternating shades, because neighbours touch, with the node's id where it fits."""
    line = [" "] * cells
    for index, span in enumerate(spans):
        first, last = _extent(span, makespan, cells)
        line[first:last] = ["█▓"[index % 2]] * (last - first)
        # An id with wide characters would push what follows it out of its column.
        if len(span.node_id) == _columns(span.node_id) <= last - first - 2:
            line[first + 1 : first + 1 + len(span.node_id)] = span.node_id
    return "".join(line)


def _extent(span: Span, makespan: float, steps: int) -> tuple[int, int]:
    scale = steps / makespan if makespan > 0 else 0.0
    first = min(round(span.start_seconds * scale), steps - 1)
    return first, min(max(round(span.end_seconds * scale), first + 1), steps)


def _scale(makespan: float, cells: int) -> list[str]:
    """A line with ticks and a line with their times."""
    unit, name = _unit(makespan)
    step = _step(makespan, cells)
    ticks, times = ["─"] * cells, " " * cells
    count = 0
    while makespan > 0 and (at := round(count * step / makespan * cells)) <= cells:
        # At the very end the corner is the tick.
        ticks[at : at + 1] = "┴" if at < cells else ""
        text = "0" if count == 0 else f"{count * step / unit:g} {name}"
        # The last one may end under the corner instead of starting at its tick.
        start = min(at, cells - len(text))
        times = times[:start] + text + times[start + len(text) :]
        count += 1
    return [f"└{''.join(ticks)}┘", *([f" {times}".rstrip()] if count else [])]


def _step(makespan: float, cells: int) -> float:
    """The smallest of 1, 2, 5 × 10ⁿ seconds that leaves room for the ticks' times."""
    least = makespan * 10 / cells
    if least <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(least))
    return next((factor * power for factor in (1, 2, 5) if factor * power >= least), 10 * power)


def _summary(spans: Sequence[Span], makespan: float) -> str:
    threads = len({span.thread_name for span in spans})
    text = (
        f"{len(spans):,} node{'s' if len(spans) > 1 else ''} on {threads:,} thread{'s' if threads > 1 else ''}"
        f" in {readable_time(makespan)}"
    )
    return f"{text}, {_busy(spans) / makespan:.1f} at once on average" if makespan > 0 else text


def _unit(seconds: float) -> tuple[float, str]:
    return next((unit for unit in _UNITS if seconds >= unit[0]), _UNITS[-1])


def readable_time(seconds: float) -> str:
    unit, name = _unit(seconds)
    return f"{seconds / unit:.3g} {name}" if seconds < 1000 else f"{seconds:,.0f} s"


def printable(text: str) -> str:
    """Control characters and lone surrogates would break the line or the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _columns(text: str) -> int:
    return sum(map(_columns_of, text))


def _columns_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _tail(text: str, columns: int) -> str:
    """At most this many columns, the end kept: there stands the number that tells a pool's threads apart."""
    if _columns(text) <= columns:
        return text
    kept, room = "", columns - 1
    for character in reversed(text):
        if _columns_of(character) > room:
            break
        kept = character + kept
        room -= _columns_of(character)
    return "…" + kept


def _fit(text: str, columns: int) -> str:
    """Exactly this many columns, cut with an ellipsis or padded."""
    if _columns(text) > columns:
        kept, room = "", columns - 1
        for character in text:
            if _columns_of(character) > room:
                break
            kept += character
            room -= _columns_of(character)
        text = kept + "…" if columns > 0 else ""
    return text + " " * (columns - _columns(text))
