"""What nodes gain and cost in worker processes."""

from __future__ import annotations

from typing import Any

import pytest

from process_nodes import CASES, Case


def bench_processes(pool_peer: Case, benchmark: Any, pytestconfig: pytest.Config) -> None:
    from nexus_core import ProcessPool

    quick = bool(pytestconfig.getoption("--quick"))
    turns: list[dict[str, float]] = []
    benchmark.extra_info.update(group="processes", workload="nodes", peer=pool_peer.key, repeats=1)
    with ProcessPool(2) as pool:
        pool.start()
        benchmark.pedantic(lambda: turns.append(pool_peer.measure(pool, quick)), rounds=1, iterations=1)
    benchmark.extra_info["turns"] = turns


bench_processes.pool_peers = CASES  # type: ignore[attr-defined]
