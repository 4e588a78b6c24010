"""A layered workflow of nodes that compute: on stock, in one process, and on a Dask cluster of this machine."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from session import Session

Row = Sequence[str]
Table = Callable[[Row, Sequence[Row]], Iterable[str]]

HEAD = ("runtime", "1,000 × 1 ms", "200 × 10 ms", "40 × 100 ms")
LAYERS = 10

#: Milliseconds of a node, and how many there are in a layer.
WORKLOADS = {"1ms": (1, 100), "10ms": (10, 20), "100ms": (100, 4)}


@dataclass(frozen=True)
class Case:
    """One runtime."""

    key: str
    title: str
    make: Callable[[Any], Any]
    on_cluster: bool = False
    ours: bool = True


def _stock(_: Any) -> Any:
    from kailash.runtime.local import LocalRuntime

    return LocalRuntime(enable_monitoring=False)


def _local(_: Any) -> Any:
    from nexus_core.runtime import LocalRuntime

    return LocalRuntime(enable_monitoring=False)


def _dask(client: Any) -> Any:
    from nexus_core.distributed import DaskRuntime

    return DaskRuntime(client, enable_monitoring=False)


def _singles(client: Any) -> Any:
    from nexus_core.distributed import DaskRuntime

    return DaskRuntime(client, enable_monitoring=False, batches=False)


CASES = {
    case.key: case
    for case in (
        Case("stock", "Kailash's LocalRuntime", _stock, ours=False),
        Case("local", "LocalRuntime, one process", _local),
        Case("dask", "DaskRuntime, 2 processes, groups", _dask, on_cluster=True),
        Case("dask_singles", "DaskRuntime, 2 processes, a task a node", _singles, on_cluster=True),
    )
}


@contextlib.contextmanager
def opened(case: Case) -> Iterator[Any]:
    """The runtime."""
    if not case.on_cluster:
        with case.make(None) as runtime:
            yield runtime
        return
    from distributed import Client, LocalCluster

    cluster = LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", silence_logs=50
    )
    with cluster, Client(cluster) as client, case.make(client) as runtime:
        yield runtime


def steps_of_a_millisecond() -> int:
    """How far a node has to count to compute for a millisecond of a processor's time."""
    return int(20_000 * 0.001 / computing(20_000))


def computing(steps: int) -> float:
    """A node's seconds on a processor, whoever else wants it."""
    took = []
    for _ in range(21):
        started = time.thread_time()
        sum(range(steps))
        took.append(time.thread_time() - started)
    return statistics.median(took)


def workflow(steps: int, width: int) -> Any:
    """Layers of so many nodes, each waiting for two of the layer above."""
    from kailash.workflow.builder import WorkflowBuilder

    builder = WorkflowBuilder()
    for layer in range(LAYERS):
        for place in range(width):
            node_id = f"n{layer}_{place}"
            builder.add_node("PythonCodeNode", node_id, {"code": f"result = sum(range({steps}))"})
            if layer:
                builder.add_connection(f"n{layer - 1}_{place}", "result", node_id, "a")
                builder.add_connection(f"n{layer - 1}_{(place + 1) % width}", "result", node_id, "b")
    return builder.build(name="layered")


def compare(runtime: Any, name: str, rounds: int) -> dict[str, float]:
    """Seconds of a run, and what it takes of processors beside the nodes' computing, a node."""
    milliseconds, width = WORKLOADS[name]
    nodes = LAYERS * width
    layered = workflow(steps_of_a_millisecond() * milliseconds, width)
    for _ in range(2):  # the first one measures
        runtime.execute(layered)
    took, worked = [], []
    for _ in range(rounds):
        before, started = _processors_time(runtime), time.perf_counter()
        runtime.execute(layered)
        took.append(time.perf_counter() - started)
        worked.append(_processors_time(runtime) - before)
    own = computing(steps_of_a_millisecond() * milliseconds)
    return {"seconds": min(took), "overhead": (min(worked) - nodes * own) / nodes, "alone": nodes * own}


def _processors_time(runtime: Any) -> float:
    """Of this process, which has the scheduler too, and of the workers."""
    client = getattr(runtime, "client", None)
    others = [] if client is None else client.run(time.process_time).values()
    return time.process_time() + sum(others)


def rows(session: Session) -> Iterator[Row]:
    """Of the table."""
    from service.figures import Cell

    for key, case in CASES.items():
        cells = []
        for workload in WORKLOADS:
            cell = Cell("scaling", workload, key)
            found = [session.figures.median(cell, figure) for figure in ("seconds", "alone", "overhead")]
            if None in found:
                cells.append("–")
                continue
            seconds, alone, overhead = (figure or 0.0 for figure in found)
            cells.append(f"{seconds:.2f} s, {alone / seconds:.2f}×, {1e6 * overhead:,.0f} µs")
        if any(cell != "–" for cell in cells):
            yield (case.title, *cells)


def terminal(session: Session, table: Callable[[Row, Sequence[Row]], str]) -> list[str]:
    """For the terminal."""
    found = list(rows(session))
    return [f"scaling: 10 layers of nodes that compute\n{table(HEAD, found)}"] if found else []


def markdown(session: Session, table: Table) -> list[str]:
    """For docs/benchmarks.md."""
    found = list(rows(session))
    if not found:
        return []
    return [
        "## More than one process",
        "",
        "Ten layers of nodes that compute, each waiting for two of the layer above. A cell gives the time of a run, how "
        "many times faster that is than the nodes' computing on one processor, and what all processes together, the "
        "scheduler among them, take of processors for a node beside that. Two processors; on Dask the third run, which "
        "knows the nodes' durations. [scaling.md](scaling.md) says what to expect elsewhere.",
        "",
        *table(HEAD, found),
        "",
    ]
