"""What the benchmark files share: which peers to run, how often, and a home of their own."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from peers import PEERS
from workloads import Graph

# Kailash keeps a history in the home folder; a benchmark must not write into the user's.
_home = tempfile.TemporaryDirectory(prefix="nexus-core-bench-")
os.environ["HOME"] = os.environ["USERPROFILE"] = _home.name


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("nexus-core benches")
    group.addoption("--peers", default=",".join(PEERS), help="comma-separated peers to run: " + ", ".join(PEERS))
    group.addoption("--quick", action="store_true", help="fewer rounds")
    group.addoption("--long", action="store_true", help="also what takes minutes each")
    group.addoption("--outcomes", type=Path, help="write what was skipped or failed, and why, to this JSON file")


@dataclass
class Outcomes:
    path: Path | None
    skipped: dict[str, str]
    failed: dict[str, str]


_outcomes = Outcomes(None, {}, {})


def pytest_configure(config: pytest.Config) -> None:
    _outcomes.path = config.getoption("--outcomes")


@pytest.hookimpl
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        _outcomes.skipped[report.nodeid] = reason.removeprefix("Skipped: ")
    elif report.failed:
        lines = report.longreprtext.strip().splitlines()
        errors = [line[1:].strip() for line in lines if line.startswith("E ")]
        _outcomes.failed[report.nodeid] = errors[0] if errors else "".join(lines[-1:])


def pytest_sessionfinish() -> None:
    if _outcomes.path is not None:
        _outcomes.path.write_text(json.dumps({"skipped": _outcomes.skipped, "failed": _outcomes.failed}))


def pytest_unconfigure() -> None:
    _home.cleanup()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Drop the peers that were not asked for, so that they are not even listed."""
    chosen = metafunc.config.getoption("--peers").split(",")
    unknown = [key for key in chosen if key not in PEERS]
    if unknown:
        raise pytest.UsageError(f"unknown peer {', '.join(unknown)}; known: {', '.join(PEERS)}")
    for kind in ("pool_peer", "cache_peer", "digest_peer"):
        own_peers = getattr(metafunc.function, f"{kind}s", None)
        if own_peers is not None:
            ours = any(key.startswith("nexus_core") for key in chosen)
            picked = [peer for peer in own_peers.values() if ours or not peer.ours]
            metafunc.parametrize(kind, picked, ids=[peer.key for peer in picked])
    cases = getattr(metafunc.function, "cases", None)
    if cases is not None:
        picked = [case for case in cases if case[1] in chosen]
        ids = [f"{case[0].name}-{case[1]}" for case in picked]
        metafunc.parametrize(("graph", "peer_key"), picked, ids=ids)


Measure = Callable[..., None]


@pytest.fixture
def measure(benchmark: Any, pytestconfig: pytest.Config) -> Measure:
    """A function that warms up, chooses the number of rounds, runs them and labels the figures.

    `repeats` says how many times `run` does the work, so that figures stay per execution.
    """
    quick = bool(pytestconfig.getoption("--quick"))

    def measured(
        run: Callable[[], Any],
        *,
        workload: Graph,
        group: str,
        peer: str,
        first: Callable[[Any], None] | None = None,
        slow: bool = False,
        rounds: int | None = None,
        setup: Callable[[], Any] | None = None,
        repeats: int = 1,
        **labels: Any,
    ) -> None:
        benchmark.group = f"{group}: {workload.title}"
        benchmark.extra_info.update(
            group=group, peer=peer, workload=workload.name, title=workload.title, nodes=len(workload),
            edges=workload.edges, bound=workload.bound(), repeats=repeats, **labels,
        )  # fmt: skip
        if setup is not None:
            benchmark.pedantic(run, setup=setup, rounds=rounds or 3, iterations=1)
            return
        started = time.perf_counter()
        raw = run()
        took = time.perf_counter() - started
        benchmark.extra_info["first_run"] = took / repeats
        if first is not None:
            first(raw)
        limit = 0.06 if quick else 0.25
        if rounds is None:
            if not slow and took < limit:
                # The first run of a short workload says little: caches were cold.
                started = time.perf_counter()
                run()
                took = time.perf_counter() - started
            least, most = (1, 10) if slow else (3, 60)
            rounds = max(least, min(most, int((4 * limit if slow else limit) / max(took, 1e-9))))
        benchmark.pedantic(run, rounds=rounds, iterations=1, warmup_rounds=0)

    return measured
