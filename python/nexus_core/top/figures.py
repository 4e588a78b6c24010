"""Figures as text: the same words for the terminal's view and for one that is printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = [
    "NODES", "POOLS", "WORKFLOWS", "Column", "Table", "bytes_", "count", "headline", "rate", "rows", "seconds", "share",
]  # fmt: skip


class Column(NamedTuple):
    """Of a table: its title, the part of a row that it shows, and how."""

    title: str
    part: str
    shown: Callable[[Any], str]

    @property
    def is_text(self) -> bool:
        """Whether it goes to the left."""
        return self.shown is str


Table = Sequence[Column]


def _digits(value: float) -> str:
    if value == int(value):
        return f"{value:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def count(value: float | None) -> str:
    """A number."""
    return "–" if value is None else _digits(value)


def rate(value: float | None) -> str:
    """By the second."""
    return "–" if value is None else f"{_digits(value)}/s"


def share(value: float | None) -> str:
    """In per cent."""
    return "–" if value is None else f"{_digits(value * 100)} %"


def seconds(value: float | None) -> str:
    """A duration in the unit that suits it.

    Example:
        >>> seconds(0.0123)
        '12.3 ms'
    """
    if value is None:
        return "–"
    if value >= 1 or value == 0:
        return f"{_digits(value)} s"
    return f"{_digits(value * 1e3)} ms" if value >= 1e-3 else f"{_digits(value * 1e6)} µs"


def bytes_(value: float | None) -> str:
    """An amount of memory.

    Example:
        >>> bytes_(3 << 20)
        '3 MiB'
    """
    if value is None:
        return "–"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{_digits(value)} {unit}"
        value /= 1024
    return f"{_digits(value)} TiB"


WORKFLOWS: Table = (
    Column("Workflow", "name", str),
    Column("Runs/s", "throughput", rate),
    Column("p50", "p50", seconds),
    Column("p99", "p99", seconds),
    Column("Errors", "error_rate", share),
    Column("Runs", "runs", count),
    Column("Failed", "failed", count),
    Column("Delegated", "delegated", count),
    Column("From cache", "cached", count),
)

NODES: Table = (
    Column("Node", "node", str),
    Column("Workflow", "workflow", str),
    Column("Mean", "mean", seconds),
    Column("p50 ever", "p50", seconds),
    Column("p99 ever", "p99", seconds),
    Column("Runs/s", "per_second", rate),
    Column("Busy", "busy", count),
    Column("Failed", "failed", count),
)

POOLS: Table = (
    Column("Pool", "name", str),
    Column("Of", "kind", str),
    Column("Busy", "busy", count),
    Column("Size", "size", count),
    Column("Limit", "limit", count),
    Column("Waiting", "waiting", count),
    Column("Served", "served", count),
    Column("Errors", "errors", count),
)


def rows(table: Table, found: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The cells of a table.

    Args:
        table: Its columns.
        found: Its rows, as ``as_view`` has them.
    """
    return [[column.shown(row[column.part]) for column in table] for row in found]


def headline(last: Mapping[str, Any] | None, now: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What matters most.

    Args:
        last: The newest sample, or ``None``.
        now: The tables.

    Returns:
        Of each figure its name, its value, and what more there is to say.
    """
    seen = last or {}
    process, cache = now["process"], now["cache"]
    cpus, limit = process.get("cpus"), process.get("memory_limit")
    places = f"{count(seen.get('places_taken'))}/{count(now['places'])} places, " if now["places"] else ""
    found = [
        ("Throughput", rate(seen.get("throughput")), f"{count(now['runs'])} runs so far"),
        ("Latency p50", seconds(seen.get("p50")), f"p90 {seconds(seen.get('p90'))}"),
        ("Latency p99", seconds(seen.get("p99")), "of 99 in 100 runs"),
        ("Errors", share(seen.get("error_rate")), f"{rate(seen.get('failures'))} failed"),
        ("Active runs", count(seen.get("active")), f"{places}{count(seen.get('waiting'))} wait"),
        ("Node waits p99", seconds(seen.get("queue_p99")), f"interpreter {seconds(seen.get('gil_p99'))}"),
        ("Loop lag p99", seconds(seen.get("lag_p99")), ""),
        ("Processor", share(seen.get("cpu")), f"of {count(cpus * 100)} %" if cpus else ""),
        ("Memory", bytes_(seen.get("memory")), f"of {bytes_(limit)}" if limit else "no limit"),
    ]
    if cache is not None:
        answered = f"{count(now.get('cached'))} runs answered"
        kept = f"{count(cache.get('entries'))} results kept"
        found.append(("Cache hits", share(seen.get("hit_ratio")), f"{answered}, {kept}"))
    return found
