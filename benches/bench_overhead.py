"""What an executor adds to nodes that do next to nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from checks import check_values
from peers import PEERS, PeerUnavailable, runs
from workloads import OVERHEAD, Graph


def bench_overhead(graph: Graph, peer_key: str, measure: Callable[..., None]) -> None:
    peer = PEERS[peer_key]
    try:
        with peer.prepare(graph) as prepared:

            def first(raw: Any) -> None:
                check_values(graph, prepared.values(raw))

            measure(prepared.run, workload=graph, group="overhead", peer=peer_key, first=first, slow=peer.slow)
    except PeerUnavailable as error:
        pytest.skip(str(error))


# Graph by graph, so that the peers whose ratio is asked for run within seconds of each other.
bench_overhead.cases = [  # type: ignore[attr-defined]
    (graph, key) for graph in OVERHEAD for key, peer in PEERS.items() if runs(peer, graph)
]
