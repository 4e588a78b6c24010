"""What metrics and traces cost, as ratios of neighbouring blocks in one process."""

from __future__ import annotations

from typing import Any

import pytest

from measuring import CASES, Case, compare, opened


def bench_measuring(pool_peer: Case, benchmark: Any, pytestconfig: pytest.Config) -> None:
    quick = bool(pytestconfig.getoption("--quick"))
    turns: list[dict[str, float]] = []
    with opened(pool_peer) as (runtime, run):
        benchmark.extra_info.update(group="measuring", workload="short_nodes", peer=pool_peer.key, repeats=1)
        seconds = 1.0 if quick else 3.0
        benchmark.pedantic(lambda: turns.append(compare(runtime, run, seconds)), rounds=1, iterations=1)
    benchmark.extra_info["turns"] = turns


bench_measuring.pool_peers = CASES  # type: ignore[attr-defined]
