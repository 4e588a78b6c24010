"""The pools' part of docs/benchmarks.md, and the same rows for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pools import CONNECTIONS, HELD, QUEUE, TASKS, THREADS, TURN, WORKERS, connections, threads
from service.figures import Cell
from service.tables import ms, number
from session import Key, Session

Row = Sequence[str]
Table = Callable[[Row, Sequence[Row]], Iterator[str]]

CHECKOUT_HEAD = ("pool", "µs a checkout and return", "÷ SQLAlchemy QueuePool", "÷ queue.SimpleQueue")
CONTENTION_HEAD = (
    "pool", "connections served a second", "mean wait", "p99", "longest", "longest ÷ one rotation",
    "slowest ÷ fastest thread",
)  # fmt: skip
TASKS_HEAD = ("pool", "µs a task", "÷ ThreadPoolExecutor")

WORKERS_PEERS = threads.PEERS | threads.MAPS | threads.BOUNDED


def _times(session: Session, above: Key, below: Key) -> str:
    ratio = session.ratio(above, below)
    return "–" if ratio is None else number(ratio.median)


def _sorted(session: Session, workload: str) -> list[tuple[float, str]]:
    """Fastest first."""
    found = []
    for key in session.samples:
        if (key.group, key.workload) == ("pools", workload):
            seconds = session.seconds(key)
            if seconds is not None:
                found.append((seconds, key.peer))
    return sorted(found)


def checkout_rows(session: Session) -> Iterator[Row]:
    for seconds, peer in _sorted(session, "checkout"):
        key = Key("pools", "checkout", peer)
        others = (_times(session, key, Key("pools", "checkout", other)) for other in ("sqlalchemy", "simple_queue"))
        yield (connections.PEERS[peer].title, f"{seconds * 1e6:.2f}", *others)


def contention_rows(session: Session) -> Iterator[Row]:
    figures = session.figures
    found = []
    for peer in figures.variants("pools", "contention"):
        cell = Cell("pools", "contention", peer)
        found.append((figures.median(cell, "longest") or 0.0, cell))
    for longest, cell in sorted(found, key=lambda item: item[0]):
        rotations = figures.median(cell, "longest_over_rotation")
        fairness = figures.median(cell, "slowest_over_fastest")
        yield (
            connections.PEERS[cell.variant].title,
            number(figures.median(cell, "throughput") or 0.0),
            ms(figures.median(cell, "mean")),
            ms(figures.median(cell, "p99")),
            ms(longest),
            "–" if rotations is None else number(rotations),
            "–" if fairness is None else f"{fairness:.2f}",
        )


def task_rows(session: Session, workload: str) -> Iterator[Row]:
    for seconds, peer in _sorted(session, workload):
        against = _times(session, Key("pools", workload, peer), Key("pools", workload, "executor"))
        yield (WORKERS_PEERS[peer].title, f"{seconds * 1e6:.2f}", against)


def terminal(session: Session, table: Callable[[Row, Sequence[Row]], str]) -> Iterator[str]:
    if rows := list(checkout_rows(session)):
        yield f"checkout and return, one thread\n{table(CHECKOUT_HEAD, rows)}"
    if rows := list(contention_rows(session)):
        yield f"{THREADS} threads on {CONNECTIONS} connections\n{table(CONTENTION_HEAD, rows)}"
    if rows := list(task_rows(session, "tasks")):
        yield f"{TASKS:,} trivial tasks, {WORKERS} threads\n{table(TASKS_HEAD, rows)}"
    if rows := list(task_rows(session, "round_trip")):
        yield f"one task at a time\n{table(TASKS_HEAD, rows)}"


def markdown(session: Session, table: Table) -> Iterator[str]:
    if not (checkouts := list(checkout_rows(session))):
        return
    yield from ("## Connection pools", "")
    yield (
        "Connections that do nothing, so that what is measured is the pool; where a title says PostgreSQL, real ones to "
        "a server on the same machine (ours looks at the socket before it hands one out, psycopg_pool does not). SQLAlchemy's own work around a connection (events, reset, its wrapper) is in both "
        "of its rows, DBUtils' wrapper in its. A queue knows no time-outs, broken connections, lifetimes or statistics."
    )
    yield ""
    yield from table(CHECKOUT_HEAD, checkouts)
    yield ""
    yield from (f"### {THREADS} threads on {CONNECTIONS} connections", "")
    yield (
        f"Each thread takes a connection, sleeps {HELD * 1e3:g} ms, gives it back and asks again. *One rotation* is how "
        f"long it takes until everybody has had a connection once: {THREADS} ÷ {CONNECTIONS} × the time that they "
        f"were really held, measured for each pool. Turns of {TURN:g} s, figures the medians over all of them. Where "
        "threads starve, the longest wait is as long as the turn."
    )
    yield ""
    yield from table(CONTENTION_HEAD, list(contention_rows(session)))
    yield ""
    yield from ("## Thread pools", "")
    yield (
        f"{WORKERS} threads and tasks that do nothing. {TASKS:,} tasks are submitted, then waited for; *queue of "
        f"{QUEUE}* makes whoever submits wait while so many tasks wait."
    )
    yield ""
    yield from table(TASKS_HEAD, list(task_rows(session, "tasks")))
    yield ""
    yield from ("### One task at a time", "")
    yield from table(TASKS_HEAD, list(task_rows(session, "round_trip")))
    yield ""
