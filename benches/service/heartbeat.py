"""The event loop's lateness under work, a process a variant; see heartbeat_probe.py for what a process does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from service.figures import Cell, Figures
from service.processes import Launcher

TIMEOUT = 300
CASES = {
    "first": "first runs",
    "later": "later runs",
    "idle": "nothing but the small runs",
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
    chosen = [variant for variant in ("stock", "ours") if variant in variants]
    for variant in chosen if number % 2 == 0 else reversed(chosen):
        options = [variant, "--seconds", "2" if quick else "5"]
        measured = launcher.result("heartbeat_probe", options, timeout=TIMEOUT)
        for key, case in CASES.items():
            figures.add(Cell("heartbeat", case, variant), number, measured[key])
        say(
            f"pass {number + 1}, heartbeat, {variant}: {measured['first']['seconds'] + measured['later']['seconds']:.0f} s"
        )
