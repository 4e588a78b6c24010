"""What a deployed Nexus app shows: requests a second, the event loop's lateness, the first call in a fresh process; and
whether our own load generator measures right.

The variants are `stock` (Kailash's runtime), `ours` (nexus_core's), `cached` (the same with a cache of
results, which has them) and `stub`, a runtime that returns a constant: what the rest of the HTTP stack leaves to be had.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from service import cold_start, heartbeat, load_test, throughput
from service.figures import Figures
from service.processes import Launcher, Unavailable

GROUPS = {
    "http": throughput.measure,
    "heartbeat": heartbeat.measure,
    "cold_start": cold_start.measure,
    "load_test": load_test.measure,
}


@dataclass
class Problems:
    """By benchmark, what was not measured or went wrong."""

    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def run_pass(
    figures: Figures,
    number: int,
    groups: Sequence[str],
    variants: Sequence[str],
    *,
    python: Path,
    subject: Path | None,
    quick: bool,
    say: Callable[[str], None],
) -> Problems:
    """Measure each variant once (over HTTP a few times, in turns) and add what was seen to the figures."""
    problems = Problems()
    with Launcher(python, subject) as launcher:
        for group in groups:
            try:
                GROUPS[group](launcher, figures, number, variants, quick=quick, say=say)
            except Unavailable as error:
                problems.skipped[group] = str(error)
            except (RuntimeError, OSError) as error:
                problems.failed[f"{group} (pass {number + 1})"] = str(error)
    return problems
