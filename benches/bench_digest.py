"""Digests of inputs: how long they take, and for how long nobody else runs meanwhile."""

from __future__ import annotations

import time
from typing import Any

import pytest

from digests import INPUTS, PEERS, DigestPeer, Input, InputUnavailable
from digests.stalls import longest_stall

STALLING = ("nested_1MB", "bytes", "array", "frame")


@pytest.fixture
def quick(pytestconfig: pytest.Config) -> bool:
    return bool(pytestconfig.getoption("--quick"))


@pytest.mark.parametrize("given", INPUTS.values(), ids=lambda given: given.name)
def bench_digest(digest_peer: DigestPeer, given: Input, benchmark: Any, quick: bool) -> None:
    try:
        value, digest = given.make(), digest_peer.digest(given)
        assert digest(value) == digest(value), "a digest that changes"
    except InputUnavailable as error:
        pytest.skip(str(error))
    started = time.perf_counter()
    digest(value)
    took = time.perf_counter() - started
    repeats = max(1, min(1_000, int(0.002 / max(took, 1e-9))))

    def run() -> None:
        for _ in range(repeats):
            digest(value)

    rounds = max(3, min(100, int((0.06 if quick else 0.3) / (took * repeats))))
    benchmark.extra_info.update(group="digest", workload=given.name, peer=digest_peer.key, repeats=repeats)
    benchmark.pedantic(run, rounds=rounds, iterations=1)


@pytest.mark.parametrize("given", [INPUTS[name] for name in STALLING], ids=lambda given: given.name)
def bench_stall(digest_peer: DigestPeer, given: Input, benchmark: Any, quick: bool) -> None:
    stalls: list[dict[str, float]] = []
    try:
        value, digest = given.make(), digest_peer.digest(given)
        digest(value)
    except InputUnavailable as error:
        pytest.skip(str(error))
    benchmark.extra_info.update(group="digest", workload=f"stall_{given.name}", peer=digest_peer.key, repeats=1)
    rounds = 3 if quick else 9
    benchmark.pedantic(lambda: stalls.append(longest_stall(lambda: digest(value))), rounds=rounds, iterations=1)
    benchmark.extra_info["turns"] = stalls


bench_digest.digest_peers = PEERS  # type: ignore[attr-defined]
bench_stall.digest_peers = PEERS  # type: ignore[attr-defined]
