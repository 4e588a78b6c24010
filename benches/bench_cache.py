"""Caches: what a look-up or a write costs, alone and with threads, what is found of a trace, and the memory of an entry."""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from caches import CAPACITY, KEYS, NEW_KEYS, THREADS, CachePeer, CacheUnavailable, Opened
from caches.peers import PEERS
from caches.traces import TRACES, Trace, keys_of

LOOKUPS = 50_000
"""By each thread: so many that starting it does not count."""
HERE = Path(__file__).resolve().parent


def _names(word: str, count: int) -> list[str]:
    return [f"{word}-{number}" for number in range(count)]


def _measure(
    benchmark: Any, peer: CachePeer, case: str, run: Callable[[], Any], repeats: int, quick: bool, **labels: Any
) -> None:
    benchmark.extra_info.update(group="cache", workload=case, peer=peer.key, repeats=repeats, **labels)
    run()
    started = time.perf_counter()
    run()
    took = time.perf_counter() - started
    # Many short rounds: what disturbs the machine spoils some of them.
    rounds = max(3, min(1_000, int((0.06 if quick else 0.3) / max(took, 1e-9))))
    benchmark.pedantic(run, rounds=rounds, iterations=1)


@pytest.fixture
def quick(pytestconfig: pytest.Config) -> bool:
    return bool(pytestconfig.getoption("--quick"))


def _half_full(cache: Opened) -> list[str]:
    """Fills a cache with room for twice as many keys."""
    keys = _names("key", KEYS)
    cache.fill(keys)
    return keys


def _on_half_full(peer: CachePeer, benchmark: Any, quick: bool, case: str) -> None:
    try:
        with peer.open(2 * KEYS) as cache:
            loop, keys = getattr(cache, case), _half_full(cache)
            assert cache.request(keys) == KEYS, "not all keys are there"
            _measure(benchmark, peer, case, lambda: loop(keys), KEYS, quick)
    except CacheUnavailable as error:
        pytest.skip(str(error))


def bench_get(cache_peer: CachePeer, benchmark: Any, quick: bool) -> None:
    _on_half_full(cache_peer, benchmark, quick, "get")


def bench_item(cache_peer: CachePeer, benchmark: Any, quick: bool) -> None:
    _on_half_full(cache_peer, benchmark, quick, "item")


def bench_get_or_set(cache_peer: CachePeer, benchmark: Any, quick: bool) -> None:
    _on_half_full(cache_peer, benchmark, quick, "get_or_set")


def bench_set(cache_peer: CachePeer, benchmark: Any, quick: bool) -> None:
    _on_half_full(cache_peer, benchmark, quick, "set")


def bench_miss(cache_peer: CachePeer, benchmark: Any, quick: bool) -> None:
    try:
        with cache_peer.open(2 * KEYS) as cache:
            _half_full(cache)
            missing = _names("no", KEYS)
            _measure(benchmark, cache_peer, "miss", lambda: cache.get(missing), KEYS, quick)
    except CacheUnavailable as error:
        pytest.skip(str(error))


def bench_evict(cache_peer: CachePeer, benchmark: Any, quick: bool) -> None:
    try:
        with cache_peer.open(CAPACITY) as cache:
            new = _names("new", NEW_KEYS)
            # A part in each round, so that a round is short.
            parts = itertools.cycle([new[begin : begin + KEYS] for begin in range(0, NEW_KEYS, KEYS)])
            cache.fill(new)
            _measure(benchmark, cache_peer, "evict", lambda: cache.fill(next(parts)), KEYS, quick)
    except CacheUnavailable as error:
        pytest.skip(str(error))


def bench_threads(cache_peer: CachePeer, benchmark: Any, quick: bool) -> None:
    """The same look-ups by one thread and by several, turn by turn: what disturbs the machine disturbs both."""
    seconds: dict[int, list[float]] = {1: [], THREADS: []}
    try:
        with cache_peer.open(2 * KEYS) as cache:
            asked = _half_full(cache) * (LOOKUPS // KEYS)

            def took(threads: int) -> float:
                workers = [threading.Thread(target=work, args=(THREADS // threads,)) for _ in range(threads)]
                started = time.perf_counter()
                for worker in workers:
                    worker.start()
                for worker in workers:
                    worker.join()
                return time.perf_counter() - started

            def work(times: int) -> None:
                for _ in range(times):
                    cache.get(asked)

            def turn() -> None:
                for threads, times in seconds.items():
                    times.append(took(threads))

            first = took(1) + took(THREADS)
            rounds = max(3, min(151, int((0.3 if quick else 3.0) / first)))
            benchmark.extra_info.update(group="cache", workload="threads", peer=cache_peer.key, repeats=1)
            benchmark.pedantic(turn, rounds=rounds, iterations=1)
    except CacheUnavailable as error:
        pytest.skip(str(error))
    # The fastest tenth: another program may have had the processor in many turns.
    alone, together = (statistics.quantiles(times, n=10, method="inclusive")[0] for times in seconds.values())
    benchmark.extra_info["turns"] = [{"speedup": alone / together}]


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.name)
def bench_trace(cache_peer: CachePeer, benchmark: Any, trace: Trace) -> None:
    asked = keys_of(trace)
    ratios: list[dict[str, float]] = []

    def run() -> None:
        with cache_peer.open(CAPACITY) as cache:
            started = time.perf_counter()
            hits = cache.request(asked)
            took = time.perf_counter() - started
        ratios.append({"ratio": hits / len(asked), "request": took / len(asked)})

    try:
        benchmark.extra_info.update(group="cache", workload=trace.name, peer=cache_peer.key, repeats=len(asked))
        benchmark.pedantic(run, rounds=1, iterations=1)
    except CacheUnavailable as error:
        pytest.skip(str(error))
    benchmark.extra_info["turns"] = ratios


def bench_memory(cache_peer: CachePeer, benchmark: Any) -> None:
    """Measured in a process of its own: memory that was freed before would hide what is taken."""
    found: list[dict[str, float]] = []

    def run() -> None:
        done = subprocess.run(
            [sys.executable, "-m", "caches.memory_probe", cache_peer.key], cwd=HERE, capture_output=True, text=True,
            timeout=120, check=False, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:]
            if last and "CacheUnavailable" in last[0]:
                pytest.skip(last[0])
            raise AssertionError(f"the memory probe failed: {last}")
        found.append(json.loads(done.stdout))

    benchmark.extra_info.update(group="cache", workload="memory", peer=cache_peer.key, repeats=1)
    benchmark.pedantic(run, rounds=1, iterations=1)
    benchmark.extra_info["turns"] = found


def _with(call: str) -> dict[str, CachePeer]:
    return {key: peer for key, peer in PEERS.items() if call not in peer.lacks}


bench_get.cache_peers = PEERS  # type: ignore[attr-defined]
bench_item.cache_peers = _with("item")  # type: ignore[attr-defined]
bench_get_or_set.cache_peers = _with("get_or_set")  # type: ignore[attr-defined]
bench_set.cache_peers = _with("set")  # type: ignore[attr-defined]
bench_miss.cache_peers = _with("miss")  # type: ignore[attr-defined]
bench_evict.cache_peers = _with("evict")  # type: ignore[attr-defined]
bench_threads.cache_peers = PEERS  # type: ignore[attr-defined]
bench_trace.cache_peers = {  # type: ignore[attr-defined]
    # These evict by the same rules as their namesakes.
    key: peer
    for key, peer in _with("evict").items()
    if not key.endswith(("_ttl", "_cached"))
}
bench_memory.cache_peers = PEERS  # type: ignore[attr-defined]
