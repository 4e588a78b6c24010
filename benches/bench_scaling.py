"""A layered workflow beyond one process."""

from __future__ import annotations

from typing import Any

import pytest

from layered.loads import LOADS, Load
from layered.peers import PEERS
from layered.turns import Measured, measure, rounds_of

PLACES = list(dict.fromkeys(peer.place for peer in PEERS.values()))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("load", LOADS, ids=lambda load: load.name)
def bench_scaling(load: Load, place: str, benchmark: Any, pytestconfig: pytest.Config) -> None:
    quick = bool(pytestconfig.getoption("--quick"))
    if load.is_long and not pytestconfig.getoption("--long"):
        pytest.skip("takes minutes; `make bench-scaling` runs it")
    if quick and load.milliseconds > 1:
        pytest.skip("left out of a quick run")
    with_ours = any(key.startswith("nexus_core") for key in pytestconfig.getoption("--peers").split(","))
    peers = [peer for peer in PEERS.values() if peer.place == place and (with_ours or not peer.ours)]
    if not any(peer.takes_part(load) for peer in peers):
        pytest.skip("waits for minutes, and two nodes at a time of 100 ms take what two of 10 ms do, ten times")
    found: list[Measured] = []
    benchmark.extra_info.update(group="scaling", workload=load.name, repeats=1)
    benchmark.pedantic(lambda: found.append(measure(load, peers, rounds_of(load, quick=quick))), rounds=1, iterations=1)
    benchmark.extra_info["cells"] = found[0].turns
    if found[0].failed:
        raise ExceptionGroup(", ".join(found[0].failed), list(found[0].failed.values()))
