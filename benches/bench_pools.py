"""Pools of connections and of threads: what a checkout or a task costs, and who is served when there are too few."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from pools import TASKS, TURN, PoolPeer, PoolUnavailable, connections, threads
from pools.contention import contend

CHECKOUTS = 1_000
ROUND_TRIPS = 500


def _measure(benchmark: Any, peer: PoolPeer, case: str, run: Callable[[], Any], repeats: int, quick: bool) -> None:
    benchmark.extra_info.update(group="pools", workload=case, peer=peer.key, repeats=repeats)
    run()
    started = time.perf_counter()
    run()
    took = time.perf_counter() - started
    rounds = max(3, min(100, int((0.06 if quick else 0.3) / max(took, 1e-9))))
    benchmark.pedantic(run, rounds=rounds, iterations=1)


@pytest.fixture
def quick(pytestconfig: pytest.Config) -> bool:
    return bool(pytestconfig.getoption("--quick"))


def bench_checkout(pool_peer: PoolPeer, benchmark: Any, quick: bool) -> None:
    try:
        with pool_peer.open() as pool:
            _measure(benchmark, pool_peer, "checkout", lambda: pool.loop(CHECKOUTS), CHECKOUTS, quick)
    except PoolUnavailable as error:
        pytest.skip(str(error))


def bench_contention(pool_peer: PoolPeer, benchmark: Any, quick: bool) -> None:
    turns: list[dict[str, float]] = []
    try:
        with pool_peer.open() as pool:
            pool.loop(100)
            benchmark.extra_info.update(group="pools", workload="contention", peer=pool_peer.key, repeats=1)
            benchmark.pedantic(lambda: turns.append(contend(pool, TURN)), rounds=2 if quick else 6, iterations=1)
    except PoolUnavailable as error:
        pytest.skip(str(error))
    benchmark.extra_info["turns"] = turns


def bench_tasks(pool_peer: PoolPeer, benchmark: Any, quick: bool) -> None:
    with pool_peer.open() as pool:
        _measure(benchmark, pool_peer, "tasks", lambda: pool.submit(TASKS), TASKS, quick)


def bench_round_trip(pool_peer: PoolPeer, benchmark: Any, quick: bool) -> None:
    with pool_peer.open() as pool:
        _measure(benchmark, pool_peer, "round_trip", lambda: pool.round_trips(ROUND_TRIPS), ROUND_TRIPS, quick)


bench_checkout.pool_peers = connections.PEERS  # type: ignore[attr-defined]
bench_contention.pool_peers = {  # type: ignore[attr-defined]
    # The same pool as the other, taken from in the same way.
    key: peer
    for key, peer in connections.PEERS.items()
    if key != "nexus_core_block"
}
bench_tasks.pool_peers = threads.PEERS | threads.MAPS | threads.BOUNDED  # type: ignore[attr-defined]
bench_round_trip.pool_peers = threads.PEERS  # type: ignore[attr-defined]
