"""Rows of Kailash's run history: their texts, and the SQL that inserts them.

The texts equal what stock's ``SQLiteStorage.save_run`` and ``save_tasks_batch``
write for the same run.  ``docs/run-history.md`` says what was measured and why the
SQL looks as it does.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

#: Stock's words; the runtime uses them too when a run's texts cannot be built.
PERSIST_WARNING = "Failed to persist deferred tracking data: %s"
#: ``metrics_custom`` of every completed task unless psutil measures it.
DEFAULT_CUSTOM_METRICS = json.dumps(
    {
        "memory_delta_mb": 0.0,
        "io_read_bytes": 0,
        "io_write_bytes": 0,
        "io_read_count": 0,
        "io_write_count": 0,
        "thread_count": 1,
        "context_switches": 0,
    }
)


_RUN_STATUSES = frozenset({"pending", "running", "completed", "failed"})
_TASK_STATUSES = _RUN_STATUSES | {"skipped", "cancelled"}

#: ``cpu percent, memory MB, metrics_custom JSON`` of one task.
Metrics = tuple[float | None, float | None, str | None]
#: A plain tuple in the order of :class:`TaskRow` serves as well, and is cheaper.
TaskTuple = tuple[
    str,
    str,
    str,
    float | None,
    float | None,
    str | None,
    str | None,
    str | None,
    float | None,
    Metrics | None,
]


class TaskRow(NamedTuple):
    """One row of ``tasks``; times in epoch seconds, ``duration`` in seconds.

    ``metadata_json=None`` means ``{"execution_time": duration}`` and is built on
    the writer's thread.  ``duration=None`` leaves all metrics NULL, as stock does
    for failed and skipped nodes; with a duration, ``metrics=None`` means stock's
    zeros and :data:`DEFAULT_CUSTOM_METRICS`.
    """

    node_id: str
    node_type: str
    status: str
    started_at: float | None
    ended_at: float | None
    result_json: str | None
    error: str | None
    metadata_json: str | None
    duration: float | None
    metrics: Metrics | None = None


@dataclass(slots=True)
class RunRecord:
    """One row of ``workflow_runs`` and its tasks, in the order they were created.

    Everything is text or a number already, so nothing that a node can still
    change.  ``ended_at=None`` is what stock leaves for a cancelled run (status
    ``running``).  ``size`` is the length of all texts, counted by ``submit`` if 0.
    """

    run_id: str
    workflow_name: str
    status: str
    started_at: float
    ended_at: float | None
    metadata_json: str
    error: str | None
    tasks: Sequence[TaskTuple]
    size: int = 0
    #: Ids of tasks that others refer to, by their place.
    ids: Mapping[int, str] = field(default_factory=dict)


# --- the texts, as stock's save_run/save_task would write them -----------------


def run_metadata_json(parameters: Any, debug: bool, enterprise_features: Any, user_context_serialized: Any) -> str:
    """Metadata of a run.  Raises what ``json.dumps`` raises.

    Stock then writes nothing at all for the run, and warns (:data:`PERSIST_WARNING`)
    only if the run succeeded.  Stock serialises when the run has ended.
    """
    return json.dumps(
        {
            "parameters": parameters,
            "debug": debug,
            "runtime": "unified_enterprise",
            "enterprise_features": enterprise_features,
            "user_context": user_context_serialized,
        }
    )


def node_metadata_prefix(config: Any) -> dict[str, Any] | None:
    """What ``create_task`` gets as metadata from a node's ``config``; None if empty."""
    raw = config.get("metadata", {}) if isinstance(config, dict) else {}
    if hasattr(raw, "model_dump"):
        dumped: dict[str, Any] = raw.model_dump()
        if "created_at" in dumped:
            dumped["created_at"] = str(dumped["created_at"])
        if isinstance(dumped.get("tags"), set):
            dumped["tags"] = list(dumped["tags"])
        return dumped or None
    return dict(raw) if isinstance(raw, dict) and raw else None


def task_metadata_json(node_metadata_prefix: Mapping[str, Any] | None, duration: float | None) -> str | None:
    """Metadata of a completed task, or of a failed one (``duration=None``).

    None leaves the text to the writer.  Raises what ``json.dumps`` raises; stock
    then keeps the run's row, writes none of its tasks, and warns.
    """
    if not node_metadata_prefix:
        return None if duration is not None else "{}"
    if duration is None:
        return json.dumps(dict(node_metadata_prefix))
    return json.dumps({**node_metadata_prefix, "execution_time": duration})


def taken_metadata_json(node_metadata_prefix: Mapping[str, Any] | None, duration: float) -> str:
    """Metadata of a node that did not run, because its output was kept in the runtime's cache."""
    return json.dumps({**(node_metadata_prefix or {}), "execution_time": duration, "cached": True})


def skipped_metadata_json(node_metadata_prefix: Mapping[str, Any] | None) -> str:
    """Metadata of a node skipped by conditional routing (status ``completed``)."""
    skipped = {"skipped": True, "reason": "conditional_routing"}
    return json.dumps({**(node_metadata_prefix or {}), **skipped})


def result_json(outputs: Mapping[str, Any] | None) -> str | None:
    """``tasks.result``: NULL for empty outputs.  Raises what ``json.dumps`` raises."""
    return json.dumps(dict(outputs)) if outputs else None


def metrics_of(performance: Any) -> Metrics:
    """Metrics of a ``kailash.tracking.metrics_collector.PerformanceMetrics``."""
    data = performance.to_task_metrics()
    custom = data["custom_metrics"]
    return data["cpu_usage"], data["memory_usage_mb"], json.dumps(custom) if custom else None


# --- SQL ------------------------------------------------------------------------


class _Shape:
    """One multi-row INSERT into ``tasks``: a GIL hand-over a chunk, not a row."""

    _CHUNKS = (1000, 250, 60, 15, 4, 1)

    def __init__(self, bound: str, constant: Mapping[str, str]) -> None:
        self.width = bound.count(",") + 1
        columns = ", ".join([bound, *constant])
        self._head = f"INSERT OR REPLACE INTO tasks ({columns}) VALUES "
        self._row = f"({', '.join(['?'] * self.width + list(constant.values()))})"

    @functools.cached_property
    def _statements(self) -> dict[int, str]:
        return {n: self._head + ",".join([self._row] * n) for n in self._CHUNKS}

    def insert(self, conn: sqlite3.Connection, values: list[Any]) -> None:
        at, left = 0, len(values) // self.width
        for chunk, statement in self._statements.items():
            step = chunk * self.width
            while left >= chunk:
                conn.execute(statement, values[at : at + step])
                at += step
                left -= chunk


_COMMON = "task_id, run_id, created_at, node_id, node_type, started_at, ended_at, result"
#: Completed tasks without an error and with stock's constant metrics: nearly all.
_PLAIN = _Shape(
    f"{_COMMON}, metadata, metrics_duration",
    {
        "status": "'completed'",
        "metrics_cpu_usage": "0.0",
        "metrics_memory_usage_mb": "0.0",
        "metrics_custom": f"'{DEFAULT_CUSTOM_METRICS}'",
    },
)
_ANY = _Shape(
    f"{_COMMON}, metadata, metrics_duration, status, error, metrics_cpu_usage, metrics_memory_usage_mb, metrics_custom",
    {},
)
# OR REPLACE cascades to the run's tasks, so a batch that is written again after
# an uncertain COMMIT replaces itself.
_INSERT_RUN = (
    "INSERT OR REPLACE INTO workflow_runs (run_id, workflow_name, status, started_at, "
    "ended_at, metadata, error, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)

_THOUSAND = [f"{n:03d}" for n in range(1000)]
_HEX3 = [f"{n:03x}" for n in range(4096)]


class _Clock:
    """``datetime.isoformat()`` in UTC for epoch seconds; the second's text is kept."""

    def __init__(self) -> None:
        self._turn_to(0)

    def _turn_to(self, second: int) -> None:
        self._base = second * 1_000_000
        self._iso = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))

    def iso(self, epoch: float) -> str:
        micro = round(epoch * 1e6) - self._base
        if not 0 < micro < 1_000_000:
            self._turn_to((micro + self._base) // 1_000_000)
            micro = round(epoch * 1e6) - self._base
            if not micro:
                return f"{self._iso}+00:00"
        return f"{self._iso}.{_THOUSAND[micro // 1000]}{_THOUSAND[micro % 1000]}+00:00"

    def sql(self, epoch: float) -> str:
        """As ``CURRENT_TIMESTAMP`` writes it."""
        if not 0 <= epoch * 1e6 - self._base < 1_000_000:
            self._turn_to(int(epoch))
        return self._iso.replace("T", " ")


_last_id_ms = 0


def task_ids() -> Iterator[str]:
    """UUIDs in version-7 layout, ascending: b-tree inserts append to the last page."""
    global _last_id_ms
    while True:
        _last_id_ms = ms = max(time.time_ns() // 1_000_000, _last_id_ms + 1)
        noise = os.urandom(8)
        head = f"{ms >> 16:08x}-{ms & 0xFFFF:04x}-7"
        tail = f"-{0x80 | noise[0] & 0x3F:02x}{noise[1]:02x}-{noise[2:].hex()}"
        for digits in _HEX3:
            yield head + digits + tail


def insert_runs(conn: sqlite3.Connection, records: Sequence[RunRecord]) -> None:
    clock = _Clock()
    rows = []
    for r in records:
        if r.status not in _RUN_STATUSES:
            raise sqlite3.IntegrityError(f"CHECK constraint failed: status {r.status!r}")
        ended = None if r.ended_at is None else clock.iso(r.ended_at)
        created = clock.sql(r.ended_at if r.ended_at is not None else time.time())
        started = clock.iso(r.started_at)
        rows.append((r.run_id, r.workflow_name, r.status, started, ended, r.metadata_json, r.error, created))
    conn.executemany(_INSERT_RUN, rows)


def insert_tasks(conn: sqlite3.Connection, records: Sequence[RunRecord]) -> None:
    clock = _Clock()
    iso = clock.iso
    ids = task_ids()
    plain: list[Any] = []
    other: list[Any] = []
    for r in records:
        run_id = r.run_id
        created = clock.sql(r.ended_at if r.ended_at is not None else time.time())
        # A run keeps to one shape: list_tasks() shows its tasks in row order.
        mark = len(plain)
        for node, kind, status, start, end, result, error, meta, duration, metrics in r.tasks:
            if (
                status != "completed"
                or duration is None
                or metrics is not None
                or error is not None
                or start is None
                or end is None
            ):
                del plain[mark:]
                _other_shape(other, r, created, clock, ids)
                break
            if meta is None:
                meta = f'{{"execution_time": {duration!r}}}'
            plain += (
                next(ids), run_id, created, node, kind, iso(start), iso(end), result, meta, duration,
            )  # fmt: skip
    _PLAIN.insert(conn, plain)
    _ANY.insert(conn, other)


def _other_shape(out: list[Any], r: RunRecord, created: str, clock: _Clock, ids: Iterator[str]) -> None:
    for place, task in enumerate(r.tasks):
        node, kind, status, start, end, result, error, meta, duration, metrics = task
        if status not in _TASK_STATUSES:
            raise sqlite3.IntegrityError(f"CHECK constraint failed: status {status!r}")
        if metrics is None:
            metrics = (None,) * 3 if duration is None else (0.0, 0.0, DEFAULT_CUSTOM_METRICS)
        if meta is None:
            meta = "{}" if duration is None else f'{{"execution_time": {duration!r}}}'
        started = None if start is None else clock.iso(start)
        ended = None if end is None else clock.iso(end)
        out += (r.ids.get(place) or next(ids), r.run_id, created, node, kind, started, ended, result, meta, duration)
        out += (status, error, *metrics)


@contextlib.contextmanager
def transaction(conn: sqlite3.Connection) -> Iterator[None]:
    conn.execute("BEGIN IMMEDIATE")
    try:
        yield
        conn.execute("COMMIT")
    except BaseException:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise
