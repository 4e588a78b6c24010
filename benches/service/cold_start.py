"""The first call of a trivial workflow, each in a process that has made no other; see cold_start_probe.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from service.figures import Cell, Figures
from service.processes import Launcher

TIMEOUT = 120
RUNTIMES = ("LocalRuntime", "AsyncLocalRuntime")
ROUNDS = 3


def measure(
    launcher: Launcher,
    figures: Figures,
    number: int,
    variants: Sequence[str],
    *,
    quick: bool,
    say: Callable[[str], None],
) -> None:
    rounds = 1 if quick else ROUNDS
    for turn in range(rounds):
        for runtime in RUNTIMES:
            for variant in ("stock", "ours"):
                if variant in variants:
                    measured = launcher.result("cold_start_probe", [variant, runtime], timeout=TIMEOUT)
                    figures.add(Cell("cold_start", runtime, variant), number * rounds + turn, measured)
    say(f"pass {number + 1}, cold start")
