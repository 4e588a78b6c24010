"""Requests a second of a real server process a variant, all of them alive at once and loaded in turns."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from service import load
from service.cases import CASES, MANY_THREADS, STOCK_ROUNDS, Case, expected_outputs
from service.figures import Cell, Figures
from service.processes import Launcher, Started

START_TIMEOUT = 120
OPTIONS = {
    "stock": ["stock"],
    "ours": ["ours"],
    "ours_32": ["ours", "--threads", str(MANY_THREADS)],
    "cached": ["cached"],
    "stub": ["stub"],
}


def measure(
    launcher: Launcher,
    figures: Figures,
    number: int,
    variants: Sequence[str],
    *,
    quick: bool,
    say: Callable[[str], None],
) -> None:
    load.wrk()
    for logs in dict.fromkeys(case.logs for case in CASES):
        cases = [case for case in CASES if case.logs == logs]
        asked = [v for v in OPTIONS if v.partition("_")[0] in variants and any(v in case.variants for case in cases)]
        with servers(launcher, asked, logs) as running:
            for case in cases:
                started = time.perf_counter()
                in_turns(launcher.folder, figures, number, case, running, quick=quick)
                say(f"pass {number + 1}, http, {case.name}: {time.perf_counter() - started:.0f} s")


@contextmanager
def servers(launcher: Launcher, variants: Sequence[str], logs: str) -> Iterator[dict[str, Started]]:
    running: dict[str, Started] = {}
    try:
        for variant in variants:
            options = [*OPTIONS[variant], "--logs", logs]
            running[variant] = launcher.start("server", options, timeout=START_TIMEOUT)
        yield running
    finally:
        for started in running.values():
            started.stop()


def in_turns(
    folder: Path, figures: Figures, number: int, case: Case, running: dict[str, Started], *, quick: bool
) -> None:
    """Every round loads one server after the other, so that whatever disturbs the machine disturbs all of them."""
    chosen = [variant for variant in running if variant in case.variants]
    expected = expected_outputs(case.workflow)
    for variant in chosen:
        port = running[variant].said["port"]
        load.check(port, case.workflow, expected, times=3)
        load.load(folder, port, case.workflow, connections=case.connections, seconds=min(case.seconds, 3))
    rounds = min(case.rounds, 2) if quick else case.rounds
    for turn in range(rounds):
        order = chosen if (number + turn) % 2 == 0 else list(reversed(chosen))
        for variant in order:
            if variant == "stock" and turn >= STOCK_ROUNDS:
                continue
            server = running[variant]
            port = server.said["port"]
            # Also waits for what the last load has left under way.
            load.check(port, case.workflow, expected, times=1)
            before = processor_seconds(server.process.pid)
            seconds = 1 if variant == "stub" else case.seconds
            measured = load.load(folder, port, case.workflow, connections=case.connections, seconds=seconds)
            after = processor_seconds(server.process.pid)
            load.check(port, case.workflow, expected, times=1)
            if before is not None and after is not None:
                measured["processor"] = (after - before) / measured["replies"]
            figures.add(Cell("http", case.name, variant), number * rounds + turn, measured)


def processor_seconds(pid: int) -> float | None:
    """Processor time that a process has used, where /proc says it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
