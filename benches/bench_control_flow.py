"""What an executor adds where it is decided at run time which nodes run, and how often."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from control_flow import ASYNC, LOCAL, ControlFlow
from peers import PEERS, Peer, PeerUnavailable
from peers.kailash_runtime import runtime_class


@contextmanager
def running(workload: ControlFlow, peer: Peer) -> Iterator[Callable[[], Any]]:
    workflow = workload.build()
    found = runtime_class(peer)
    if workload in LOCAL:
        with found(enable_monitoring=False, **dict(workload.options)) as runtime:
            yield lambda: runtime.execute(workflow)
        return
    runtime = found(**dict(workload.options))
    loop = asyncio.new_event_loop()
    try:
        yield lambda: loop.run_until_complete(runtime.execute_workflow_async(workflow, {}))
    finally:
        loop.run_until_complete(runtime.cleanup())
        loop.close()


def bench_control_flow(graph: ControlFlow, peer_key: str, measure: Callable[..., None]) -> None:
    peer = PEERS[peer_key]
    try:
        with running(graph, peer) as run:

            def first(raw: Any) -> None:
                graph.check(raw[0])

            measure(run, workload=graph, group="control_flow", peer=peer_key, first=first, slow=peer.slow)
    except PeerUnavailable as error:
        pytest.skip(str(error))


bench_control_flow.cases = [  # type: ignore[attr-defined]
    *((workload, key) for workload in LOCAL for key in ("nexus_core_code", "stock_full")),
    *((workload, key) for workload in ASYNC for key in ("nexus_core_async", "stock_async")),
]
