"""Runs the benchmark files in each environment, pass after pass, and keeps what they measured."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import service
from environments import HERE, ROOT, Environment, subject_path
from peers import PEERS
from ratios import Ratio, spread
from service.figures import Cell, Figures

EXECUTORS = ("overhead", "control_flow", "history", "blocking", "compile")
"""Groups in which peers run the same graphs; each has a file for pytest-benchmark."""
OWN_PEERS = ("pools", "cache", "digest", "measuring", "processes", "scaling")
"""Groups with peers of their own, all in the environment *full*."""
GROUPS = (*EXECUTORS, *OWN_PEERS, *service.GROUPS)
ONCE = ("scaling",)
"""Groups that take their turns themselves, and so long that one pass has to do."""
PASS_TIMEOUT = 1_800


@dataclass(frozen=True)
class Key:
    group: str
    workload: str
    peer: str
    history: bool | None = None


@dataclass(frozen=True)
class Sample:
    """One peer on one workload in one pass."""

    number: int
    seconds: float
    """Median over the rounds of the pass, an execution."""
    best: float
    """Fastest round of the pass: what a disturbed machine disturbs least."""
    first_run: float | None
    info: dict[str, Any]


@dataclass
class Session:
    passes: int
    samples: dict[Key, list[Sample]] = field(default_factory=dict)
    figures: Figures = field(default_factory=Figures)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def seconds(self, key: Key) -> float | None:
        samples = self.samples.get(key)
        return statistics.median(s.seconds for s in samples) if samples else None

    def info(self, key: Key) -> dict[str, Any]:
        samples = self.samples.get(key)
        return samples[0].info if samples else {}

    def first_run(self, key: Key) -> float | None:
        found = [s.first_run for s in self.samples.get(key, []) if s.first_run is not None]
        return statistics.median(found) if found else None

    def ratio(self, above: Key, below: Key) -> Ratio | None:
        under = {s.number: s.seconds for s in self.samples.get(below, [])}
        ratios = [s.seconds / under[s.number] for s in self.samples.get(above, []) if s.number in under]
        if not ratios:
            return None
        return spread(ratios, self.best(above) / self.best(below))

    def ratio_to(self, key: Key, seconds: float) -> Ratio | None:
        ratios = [s.seconds / seconds for s in self.samples.get(key, [])]
        return spread(ratios, self.best(key) / seconds) if ratios else None

    def best(self, key: Key) -> float:
        return min(sample.best for sample in self.samples[key])

    def skipped_by_reason(self) -> dict[str, list[str]]:
        """One reason often holds for many benchmarks."""
        found: dict[str, list[str]] = {}
        for name, reason in sorted(self.skipped.items()):
            found.setdefault(reason, []).append(name.partition("[")[2].rstrip("]") or name)
        return found

    def workloads(self, group: str) -> dict[str, dict[str, Any]]:
        """Of a group, in the order in which they ran, with what is known about each."""
        found: dict[str, dict[str, Any]] = {}
        for key, samples in self.samples.items():
            if key.group == group:
                found.setdefault(key.workload, samples[0].info)
        return found


def measure(
    environments: Sequence[Environment],
    peers: Sequence[str],
    groups: Sequence[str],
    *,
    passes: int,
    slow_passes: int,
    quick: bool,
    long: bool,
    say: Callable[[str], None],
) -> Session:
    """Run every peer once a pass, so that whatever disturbs the machine disturbs all of them."""
    session = Session(passes)
    subject = subject_path() if any(peer.startswith("nexus_core") for peer in peers) else None
    executors = [group for group in groups if group in EXECUTORS]
    others = [group for group in groups if group in OWN_PEERS]
    for number in range(passes):
        # Forwards, then backwards: no peer always follows the same other one.
        order = environments if number % 2 == 0 else list(reversed(environments))
        for environment in order if executors or others else ():
            chosen = [
                key
                for key in peers
                if PEERS[key].environment == environment.name and (not PEERS[key].slow or number < slow_passes)
            ]
            own = [group for group in others if number == 0 or group not in ONCE]
            wanted = [*executors, *own] if environment.name == "full" else executors
            if chosen and wanted:
                started = time.perf_counter()
                run_pass(session, number, environment, chosen, wanted, quick=quick, long=long, subject=subject)
                took = time.perf_counter() - started
                say(f"pass {number + 1} of {passes}, environment {environment.name}: {took:.0f} s")
        served = [group for group in groups if group in service.GROUPS]
        full = next((environment for environment in environments if environment.name == "full"), None)
        if served and full is not None and number < slow_passes:
            variants = ("stock", "stub") if subject is None else ("stock", "ours", "cached", "stub")
            problems = service.run_pass(
                session.figures, number, served, variants, python=full.python, subject=subject, quick=quick, say=say
            )
            session.skipped |= problems.skipped
            session.failed |= problems.failed
    return session


def run_pass(
    session: Session,
    number: int,
    environment: Environment,
    peers: Sequence[str],
    groups: Sequence[str],
    *,
    quick: bool,
    long: bool,
    subject: Path | None,
) -> None:
    with tempfile.TemporaryDirectory(prefix="nexus-core-bench-") as folder:
        figures, outcomes = Path(folder, "figures.json"), Path(folder, "outcomes.json")
        command = [
            str(environment.python), "-m", "pytest", "-c", str(HERE / "pytest.ini"), "--rootdir", str(HERE),
            *(str(HERE / f"bench_{group}.py") for group in groups),
            "--peers", ",".join(peers), "--benchmark-json", str(figures), "--outcomes", str(outcomes),
            *(["--quick"] if quick else []), *(["--long"] if long else []),
        ]  # fmt: skip
        paths = [str(subject)] if subject is not None and environment.name == "full" else []
        variables = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONHASHSEED": "0"}
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=PASS_TIMEOUT, check=False
            )
        except subprocess.TimeoutExpired:
            session.failed[f"environment {environment.name}"] = f"no end after {PASS_TIMEOUT} s"
            return
        if not outcomes.exists():
            lines = (done.stderr or done.stdout).strip().splitlines()
            session.failed[f"environment {environment.name}"] = lines[-1] if lines else f"exit {done.returncode}"
            return
        keep_outcomes(session, environment, json.loads(outcomes.read_text()))
        if done.returncode not in (0, 1, 5):
            session.failed[f"environment {environment.name}"] = f"pytest ended with {done.returncode}"
        if figures.exists() and figures.stat().st_size:
            keep_figures(session, number, json.loads(figures.read_text()))


def keep_outcomes(session: Session, environment: Environment, outcomes: dict[str, dict[str, str]]) -> None:
    for test, reason in outcomes["skipped"].items():
        # pytest's word for "none of the peers asked for takes part in this file".
        if "empty parameter set" not in reason:
            session.skipped[short_name(test)] = reason
    for test, reason in outcomes["failed"].items():
        session.failed[f"{short_name(test)} ({environment.name})"] = reason


def short_name(test: str) -> str:
    return test.rpartition("::")[2]


def keep_figures(session: Session, number: int, figures: dict[str, Any]) -> None:
    for benchmark in figures["benchmarks"]:
        info = benchmark["extra_info"]
        if "cells" in info:
            for peer, turns in info["cells"].items():
                for turn, measured in enumerate(turns):
                    session.figures.add(Cell(info["group"], info["workload"], peer), turn, measured)
            continue
        if "turns" in info:
            cell = Cell(info["group"], info["workload"], info["peer"])
            for turn, measured in enumerate(info["turns"]):
                session.figures.add(cell, number * len(info["turns"]) + turn, measured)
            continue
        key = Key(info["group"], info["workload"], info["peer"], info.get("history"))
        seconds, best = (benchmark["stats"][figure] / info["repeats"] for figure in ("median", "min"))
        session.samples.setdefault(key, []).append(Sample(number, seconds, best, info.get("first_run"), info))
