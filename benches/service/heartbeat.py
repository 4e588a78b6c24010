"""The event loop's lateness under work, a process a variant; see heartbeat_probe.py for what a process does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from service.figures import Cell, Figures
from service.processes import Launcher

TIMEOUT = 300
CASES = {
    ("first", False): "first runs",
    ("first", True): "first runs, heap frozen",
    ("later", False): "later runs",
    ("later", True): "later runs, heap frozen",
    ("idle", False): "nothing but the small runs",
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
    # Stock takes a minute for it, and is here for comparison only.
    chosen = [variant for variant in ("stock", "ours") if variant in variants and (variant == "ours" or number == 0)]
    for variant in chosen:
        for freeze in (False, True):
            options = [variant, "--seconds", "2" if quick else "5", *(["--freeze"] if freeze else [])]
            measured = launcher.result("heartbeat_probe", options, timeout=TIMEOUT)
            for (phase, frozen), case in CASES.items():
                if frozen == freeze:
                    figures.add(Cell("heartbeat", case, variant), number, measured[phase])
            took = sum(phase["seconds"] for phase in measured.values())
            say(f"pass {number + 1}, heartbeat, {' '.join(options)}: {took:.0f} s")
