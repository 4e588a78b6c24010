"""The cost of the run history: processor time of the whole process, background writer included.

Processor time rather than wall time, because a writer in the background costs the program something even when the
caller does not wait for it. With history on, what is timed ends with `flush_history()`: nothing is left to do later.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from checks import check_values
from peers import PEERS, PeerUnavailable
from peers.kailash_runtime import build, open_runtime
from workloads import Graph, chain, fan, layered, values_of_results

GRAPHS = (chain(100), chain(1_000), fan(1_000), layered())
NODES_A_ROUND = 2_000


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("history", [False, True], ids=["off", "on"])
def bench_history(graph: Graph, peer_key: str, history: bool, measure: Callable[..., None]) -> None:
    peer = PEERS[peer_key]
    repeats = 1 if peer.slow else max(1, NODES_A_ROUND // len(graph))
    try:
        with open_runtime(graph, peer, history=history) as runtime:
            workflow = build(graph)

            def run() -> Any:
                for _ in range(repeats):
                    raw = runtime.execute(workflow)
                if history and not peer.slow:
                    runtime.flush_history()
                return raw

            def first(raw: Any) -> None:
                check_values(graph, values_of_results(raw[0]))

            measure(
                run, workload=graph, group="history", peer=peer_key, first=first, slow=peer.slow, repeats=repeats,
                history=history,
            )  # fmt: skip
    except PeerUnavailable as error:
        pytest.skip(str(error))


bench_history.cases = [
    *((graph, "nexus_core_code") for graph in GRAPHS),
    (GRAPHS[0], "stock_full"),
]
