"""Who is measured: one small adapter a peer, imported only when it is asked for.

A peer's module has `prepare(graph, peer)`, a context manager that does everything a user does once (build, compile, start
threads) and yields a `Prepared`: what a user does on every run, and how to read the values out of what that returned.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, cast

from workloads import Graph


class PeerUnavailable(RuntimeError):
    """This peer cannot run here; the message says why."""


@dataclass(frozen=True)
class Prepared:
    run: Callable[[], Any]
    values: Callable[[Any], dict[str, Any]]
    """From what `run` returned to `{node name: {"v": number}}`."""


@dataclass(frozen=True)
class Peer:
    key: str
    title: str
    module: str
    environment: str
    """Which of the environments in `environments.py` it needs."""
    bodies: str
    """What a node is: `code` (a PythonCodeNode or its like) or `callables`."""
    slow: bool = False
    """Costs milliseconds a node, so it is run as seldom as a median allows."""
    workloads: tuple[str, ...] = ("overhead", "sleep_8", "guide", "sleep_1000")

    def prepare(self, graph: Graph) -> AbstractContextManager[Prepared]:
        module = importlib.import_module(f"peers.{self.module}")
        return cast("AbstractContextManager[Prepared]", module.prepare(graph, self))


_SHORT = ("overhead",)
_SEQUENTIAL = ("overhead", "sleep_8", "guide")

PEERS = {
    peer.key: peer
    for peer in (
        Peer("floor_code", "native floor, code nodes", "native_floor", "full", "code", workloads=_SHORT),
        Peer("nexus_core_code", "nexus_core LocalRuntime", "kailash_runtime", "full", "code"),
        Peer("floor_calls", "native floor, callables", "native_floor", "full", "callables", workloads=_SHORT),
        Peer("nexus_core_calls", "nexus_core TaskGraph", "nexus_core_graph", "full", "callables"),
        Peer("loop", "hand-written loop", "handwritten", "full", "callables", workloads=_SHORT),
        Peer("floor_keywords", "native floor, keywords", "native_floor", "full", "callables", workloads=_SHORT),
        Peer(
            "nexus_core_keywords", "nexus_core TaskGraph, keywords", "nexus_core_graph", "full", "callables",
            workloads=_SHORT,
        ),
        Peer("loop_keywords", "hand-written loop, keywords", "handwritten", "full", "callables", workloads=_SHORT),
        Peer("graphlib", "graphlib, inline", "standard_library", "full", "callables", workloads=_SHORT),
        Peer("graphlib_threads", "graphlib + ThreadPoolExecutor", "standard_library", "full", "callables"),
        Peer("dask_get", "dask.get", "dask_schedulers", "full", "callables", workloads=_SHORT),
        Peer("dask_threaded", "dask.threaded", "dask_schedulers", "full", "callables"),
        Peer("nexus_core_async", "nexus_core AsyncLocalRuntime", "kailash_runtime", "full", "code", workloads=("guide",)),
        Peer(
            "stock_full", "stock LocalRuntime, libraries installed", "kailash_runtime", "full", "code", slow=True,
            workloads=_SEQUENTIAL,
        ),
        Peer(
            "stock_async", "stock AsyncLocalRuntime, libraries installed", "kailash_runtime", "full", "code", slow=True,
            workloads=("control_flow",),
        ),
        Peer(
            "stock_slim", "stock LocalRuntime, no libraries", "kailash_runtime", "slim", "code", slow=True,
            workloads=_SHORT,
        ),
        Peer(
            "enterprise", "kailash-enterprise, bare callbacks", "enterprise", "enterprise", "callables",
            workloads=_SEQUENTIAL,
        ),
    )
}  # fmt: skip


def runs(peer: Peer, graph: Graph) -> bool:
    return graph.name in peer.workloads or ("overhead" in peer.workloads and graph.seconds is None)
