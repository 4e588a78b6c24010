"""dask's schedulers on one machine: synchronous `dask.get`, which is `dask.local.get_sync`, and `dask.threaded.get`."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from peers import Peer, PeerUnavailable, Prepared
from workloads import Graph, callables


@contextmanager
def prepare(graph: Graph, peer: Peer) -> Iterator[Prepared]:
    try:
        import dask.local
        import dask.threaded
    except ImportError as error:
        raise PeerUnavailable(f"dask is not installed: {error}") from None
    names = list(graph.names)
    tasks = {
        name: (fn, *(names[p] for p in predecessors))
        for name, fn, predecessors in zip(names, callables(graph), graph.predecessors, strict=True)
    }

    def values(results: Any) -> dict[str, Any]:
        return dict(zip(names, results, strict=True))

    if peer.key == "dask_get":
        yield Prepared(lambda: dask.local.get_sync(tasks, names), values)
        return
    with ThreadPoolExecutor(graph.workers or 4) as pool:
        yield Prepared(lambda: dask.threaded.get(tasks, names, pool=pool), values)
