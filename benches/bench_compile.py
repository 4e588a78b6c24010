"""From a described graph of 100,000 nodes to one that can run: time, and memory a node."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

from peers import PEERS, PeerUnavailable, nexus_core_graph
from peers import enterprise as enterprise_peer
from workloads import Graph, chain, layered

GRAPHS = (chain(100_000), layered(100, 1_000, name="layered_100x1000"))
PROBE = Path(__file__).with_name("memory_probe.py")


def bench_compile(graph: Graph, peer_key: str, measure: Callable[..., None]) -> None:
    try:
        labels: dict[str, Any] = {}
        if peer_key == "nexus_core_calls":

            def described() -> tuple[tuple[Any], dict[str, Any]]:
                return (nexus_core_graph.task_graph(graph),), {}

            def compiled(tasks: Any) -> None:
                tasks.compile()

            labels["memory"] = memory(graph)
        elif peer_key == "enterprise":

            def described() -> tuple[tuple[Any], dict[str, Any]]:
                builder, registry, _ = enterprise_peer.fill(graph)
                return ((builder, registry),), {}

            def compiled(tasks: Any) -> None:
                tasks[0].build(tasks[1])
        else:
            names = graph.names

            def described() -> tuple[tuple[Any], dict[str, Any]]:
                return ({n: tuple(names[p] for p in ps) for n, ps in zip(names, graph.predecessors, strict=True)},), {}

            def compiled(tasks: Any) -> None:
                TopologicalSorter(tasks).prepare()

        measure(
            compiled, setup=described, rounds=3, workload=graph, group="compile", peer=peer_key, **labels,
        )  # fmt: skip
    except PeerUnavailable as error:
        pytest.skip(str(error))


def memory(graph: Graph) -> dict[str, float]:
    """Measured in a process of its own: memory that was freed before would hide what is taken."""
    done = subprocess.run(
        [sys.executable, str(PROBE), graph.name], capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode:
        raise AssertionError(f"the memory probe failed: {done.stderr.strip().splitlines()[-1:]}")
    result: dict[str, float] = json.loads(done.stdout)
    return result


bench_compile.cases = [  # type: ignore[attr-defined]
    (graph, key) for graph in GRAPHS for key in ("nexus_core_calls", "graphlib", "enterprise") if key in PEERS
]
