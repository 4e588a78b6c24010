"""A layered workflow beyond one process."""

from __future__ import annotations

from typing import Any

import pytest

from cluster_nodes import CASES, WORKLOADS, Case, compare, opened


@pytest.mark.parametrize("workload", WORKLOADS)
def bench_scaling(pool_peer: Case, workload: str, benchmark: Any, pytestconfig: pytest.Config) -> None:
    rounds = 2 if pytestconfig.getoption("--quick") else 5
    turns: list[dict[str, float]] = []
    with opened(pool_peer) as runtime:
        benchmark.extra_info.update(group="scaling", workload=workload, peer=pool_peer.key, repeats=1)
        benchmark.pedantic(lambda: turns.append(compare(runtime, workload, rounds)), rounds=1, iterations=1)
    benchmark.extra_info["turns"] = turns


bench_scaling.pool_peers = CASES  # type: ignore[attr-defined]
