"""What a task of `DaskRuntime` costs the scheduler, the client and its worker, and how well the model foretells runs."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from layered.loads import Load, Work
from layered.peers import PROCESSES


@dataclass(frozen=True)
class Costs:
    """Seconds.

    Attributes:
        scheduler: Of a processor, for a task.
        client: Of a processor, for a task.
        worker: Of a processor, for a task beside its nodes' own.
        message: From the scheduler to a worker and back, beside what they work.
        node: Of a node beside its own, in one process.
        question: Of processors, for the question whether a task may begin, which is asked of the scheduler unless the
            task may run again; a part of the above.
        little_run: From call to results of 40 short nodes, on a cluster.
    """

    scheduler: float
    client: float
    worker: float
    message: float
    node: float
    question: float
    little_run: float


@contextlib.contextmanager
def apart(workers: int) -> Iterator[Any]:
    """A client of a scheduler and workers that are processes of their own, so that each one's work can be told."""
    from distributed import Client
    from distributed.deploy.subprocess import SubprocessCluster

    with (
        SubprocessCluster(
            host="127.0.0.1", n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster, timeout=60) as client,
    ):
        client.wait_for_workers(workers, timeout=120)
        yield client


def measure(rounds: int = 5, layers: int = 10, width: int = 100) -> Costs:
    """Runs nodes that do nothing.

    Args:
        rounds: Medians are of so many.
        layers: Of the graph that is measured.
        width: Of its layers.
    """
    from nexus_core.distributed import DaskRuntime
    from nexus_core.runtime import LocalRuntime

    little = Work(Load("compute", 1, layers, width), 0)
    count = len(little.load)
    workflow, chain, few = little.workflow(), _chain(100), Work(Load("compute", 1, 10, 4), 0).workflow(name="few")
    with LocalRuntime(enable_monitoring=False) as here:
        here.execute(workflow)
        node = _median(rounds, lambda: _seconds(lambda: here.execute(workflow))) / count
    with apart(PROCESSES) as client, DaskRuntime(client, enable_monitoring=False, batches=False) as singles:
        for made in (workflow, chain):
            singles.execute(made)
        spent = [_spent(client, lambda: singles.execute(workflow)) for _ in range(rounds)]
        scheduler, own, workers = (statistics.median(part) / count for part in zip(*spent, strict=True))
        with DaskRuntime(client, enable_monitoring=False, batches=False, retry_on_worker_loss=True) as without_question:
            without_question.execute(workflow)
            unasked = [sum(_spent(client, lambda: without_question.execute(workflow))) for _ in range(rounds)]
        question = scheduler + own + workers - statistics.median(unasked) / count
        hop = _median(rounds, lambda: _seconds(lambda: singles.execute(chain))) / 100
        with DaskRuntime(client, enable_monitoring=False) as groups:
            for _ in range(2):
                groups.execute(few)
            little_run = _median(4 * rounds, lambda: _seconds(lambda: groups.execute(few)))
    return Costs(scheduler, own, workers, max(0.0, hop - scheduler - workers), node, question, little_run)


def waiting(workers: int, seconds: float, layers: int = 10, width: int = 100) -> float:
    """Seconds of a run of nodes that wait, a task a node: they leave the processors to the scheduler and the client."""
    from nexus_core.distributed import DaskRuntime

    work = Work(Load("wait", round(seconds * 1e3), layers, width), 0)
    workflow = work.workflow()
    with apart(workers) as client, DaskRuntime(client, enable_monitoring=False, batches=False) as runtime:
        # Each worker has to load the workflow.
        runtime.execute(Work(Load("wait", 1, layers, width), 0).workflow(name="first"))
        runtime.execute(Work(Load("wait", 1, 2, 4 * workers), 0).workflow(name="second"))
        return _seconds(lambda: runtime.execute(workflow))


def _chain(length: int) -> Any:
    from kailash.workflow.builder import WorkflowBuilder

    builder = WorkflowBuilder()
    for place in range(length):
        builder.add_node("PythonCodeNode", f"n{place}", {"code": "result = 1"})
        if place:
            builder.add_connection(f"n{place - 1}", "result", f"n{place}", "x")
    return builder.build(name="chain")


def _spent(client: Any, call: Callable[[], Any]) -> tuple[float, float, float]:
    """Seconds of processors for the scheduler, this process and the workers."""

    def now() -> tuple[float, float, float]:
        return (
            client.run_on_scheduler(time.process_time),
            time.process_time(),
            sum(client.run(time.process_time).values()),
        )

    before = now()
    call()
    after = now()
    return after[0] - before[0], after[1] - before[1], after[2] - before[2]


def _seconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _median(rounds: int, figure: Callable[[], float]) -> float:
    return statistics.median(figure() for _ in range(rounds))
