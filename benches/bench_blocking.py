"""Nodes that wait: how close an executor comes to the best possible makespan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from checks import check_values
from peers import PEERS, PeerUnavailable, runs
from workloads import BLOCKING, Graph


def bench_blocking(graph: Graph, peer_key: str, measure: Callable[..., None]) -> None:
    peer = PEERS[peer_key]
    try:
        with peer.prepare(graph) as prepared:

            def first(raw: Any) -> None:
                check_values(graph, prepared.values(raw))

            rounds = 2 if peer.slow else 3
            measure(prepared.run, workload=graph, group="blocking", peer=peer_key, first=first, rounds=rounds)
    except PeerUnavailable as error:
        pytest.skip(str(error))


bench_blocking.cases = [  # type: ignore[attr-defined]
    (graph, key) for graph in BLOCKING for key, peer in PEERS.items() if runs(peer, graph)
]
