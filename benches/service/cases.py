"""What is asked of the servers: three workflows, each by one client and by sixteen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workloads import Graph, chain, guide

WORKFLOWS = {
    graph.name: graph for graph in (Graph("one_node", "one node", ((),)), chain(20), guide())
}  # fmt: skip

DEFAULT_THREADS = 4
"""Threads of Kailash's AsyncLocalRuntime, and so of ours."""
MANY_THREADS = 32


@dataclass(frozen=True)
class Case:
    """A workflow under a load; every variant has its turn in every round."""

    workflow: str
    connections: int
    variants: tuple[str, ...] = ("stock", "ours", "stub")
    logs: str = "warning"
    seconds: int = 1
    rounds: int = 8
    """Many short turns: a ratio of neighbours is little disturbed by what comes and goes on the machine."""

    @property
    def name(self) -> str:
        clients = "1 client" if self.connections == 1 else f"{self.connections} clients"
        lines = ", default logging" if self.logs == "default" else ""
        return f"{WORKFLOWS[self.workflow].title}, {clients}{lines}"


CASES = (
    Case("one_node", 1, variants=("stock", "ours", "cached", "stub")),
    Case("one_node", 16, variants=("stock", "ours", "cached", "stub")),
    Case("chain_20", 1, variants=("stock", "ours", "cached", "stub")),
    Case("chain_20", 16, variants=("stock", "ours", "cached", "stub")),
    Case("guide", 1, seconds=3, rounds=1),
    # Long, because what is under way when the time is up does not count: that is up to a second's worth.
    Case("guide", 16, variants=("stock", "ours", "ours_32", "stub"), seconds=12, rounds=1),
    Case("one_node", 16, logs="default"),
)


STOCK_ROUNDS = 2
"""Of the rounds, those in which stock has its turn: it is far off, and no limit is about it."""


def case_of(workflow: str, connections: int, logs: str = "warning") -> Case:
    return next(case for case in CASES if (case.workflow, case.connections, case.logs) == (workflow, connections, logs))


def expected_outputs(workflow: str) -> dict[str, Any]:
    """What the reply to every request must hold."""
    return {name: {"result": value} for name, value in WORKFLOWS[workflow].expected().items()}


def thread_bound(threads: int, connections: int) -> float:
    """Requests a second of the guide's workflow that so many threads can serve, were everything else free."""
    pauses = [seconds for seconds in WORKFLOWS["guide"].seconds or () if seconds]
    return min(threads / sum(pauses), connections / max(pauses))
