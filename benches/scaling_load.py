#!/usr/bin/env python3
"""Put loads on an attached app while an AutoScaler scales it: writes docs/auto-scaling-*.svg and the table beside them.

Takes about six minutes. With names of loads (steady, step, ramp, spike, wave) only those.
"""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path

from scaling import plot
from scaling.experiment import ALLOWED_SECONDS, POLICIES, Ran, foreseen, run
from scaling.shapes import SHAPES, Shape

DOCS = Path(__file__).resolve().parent.parent / "docs"
_TABLE = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def measured(shape: Shape) -> str:
    """Runs a load under each policy, draws it, and returns the rows of its table."""
    ran = [run(shape, policy) for policy in POLICIES]
    last = list(POLICIES)[-1]
    # From what was recorded under the first policy, what the last one will do.
    outcome, began = foreseen(ran[0], last)
    offset = ran[0].history[0]["timestamp"] - ran[0].workers[0][0]
    workers = [(step.at - offset, float(step.instances)) for step in outcome.steps]
    assert began > 0
    (DOCS / f"auto-scaling-{shape.name}.svg").write_text(plot.svg(shape, ran, workers), encoding="utf-8")
    rows = [_row(each.policy, each) for each in ran]
    mean = sum(step.instances for step in outcome.steps) / len(outcome.steps)
    rows.append(
        f"| {last}, foreseen | | | {mean:.2f} | {outcome.changes} | {outcome.reversals} | "
        f"{1000 * outcome.mean_response:.0f} | {outcome.violation_share:.1%} |"
    )
    return "\n".join(rows)


def _row(name: str, ran: Ran) -> str:
    return (
        f"| {name} | {ran.asked} | {ran.asked - len(ran.replies)} | {ran.mean_workers:.2f} | {len(ran.events)} | "
        f"{ran.reversals} | {1000 * ran.mean_response:.0f} | {ran.violations:.1%} |"
    )


def main(names: list[str]) -> None:
    for name in names:
        if name not in {shape.name for shape in SHAPES}:
            sys.exit(f"there is no load {name!r}; there are {', '.join(shape.name for shape in SHAPES)}")
    logging.disable(logging.CRITICAL)  # as where nobody reads the log
    page = DOCS / "auto-scaling.md"
    for shape in SHAPES:
        if names and shape.name not in names:
            continue
        rows = measured(shape)
        late = f"later than {1000 * ALLOWED_SECONDS:.0f} ms"
        table = (
            f"| policy | requests | lost | workers (mean) | changes | reversals | mean ms | {late} |\n"
            f"|---|---:|---:|---:|---:|---:|---:|---:|\n{rows}\n"
        )
        print(f"{shape.title}\n{table}", flush=True)
        if page.exists():
            text = page.read_text(encoding="utf-8")
            page.write_text(_with_table(text, shape.name, table), encoding="utf-8")


def _with_table(text: str, name: str, table: str) -> str:
    def changed(found: re.Match[str]) -> str:
        return found[1] + table + found[3] if found[2] == name else found[0]

    return _TABLE.sub(changed, text)


if __name__ == "__main__":
    main(sys.argv[1:])
