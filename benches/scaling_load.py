#!/usr/bin/env python3
"""Put loads on an attached app while an AutoScaler scales it: writes docs/auto-scaling-*.svg and the tables beside them.

Takes about six minutes, in which the machine is best left alone. With names of loads only those.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))

from scaling import plot
from scaling.experiment import Ran, foreseen, run
from scaling.shapes import SHAPES, Shape
from scaling.subject import ALLOWED_SECONDS, POLICIES

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = "auto-scaling.md"
_TABLE = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def measured(shape: Shape, folder: Path, over_http: bool) -> str:
    """Runs a load under each policy, draws it, and returns the rows of its table."""
    ran = [run(shape, policy, over_http=over_http) for policy in POLICIES]
    last = list(POLICIES)[-1]
    # From what was recorded under the first policy, what the last one will do.
    outcome, _ = foreseen(ran[0], last)
    began = ran[0].history[0]["timestamp"] - ran[0].workers[0][0]
    workers = [(step.at - began, float(step.instances)) for step in outcome.steps]
    (folder / f"auto-scaling-{shape.name}.svg").write_text(plot.svg(shape, ran, workers), encoding="utf-8")
    rows = [_row(each.policy, each) for each in ran]
    mean = sum(step.instances for step in outcome.steps) / len(outcome.steps)
    rows.append(
        f"| {last}, foreseen | | | {mean:.2f} | {outcome.changes} | {outcome.reversals} | "
        f"{1000 * outcome.mean_response:.0f} | {outcome.violation_share:.1%} |"
    )
    return "\n".join(rows)


def _row(name: str, ran: Ran) -> str:
    return (
        f"| {name} | {ran.asked} | {ran.lost} | {ran.mean_workers:.2f} | {len(ran.events)} | "
        f"{ran.reversals} | {1000 * ran.mean_response:.0f} | {ran.violations:.1%} |"
    )


def _how(over_http: bool) -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    where = "served over HTTP by a process of its own" if over_http else "in the process of the load tester"
    return f"These figures: the app {where}, on {cores} processors.\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    names = [shape.name for shape in SHAPES]
    parser.add_argument("load", nargs="*", help=f"of {', '.join(names)}; all by default")
    parser.add_argument(
        "--http", action="store_true", help="serve the app in a process of its own, and ask it over HTTP"
    )
    parser.add_argument("--faster", type=float, default=1.0, metavar="TIMES", help="squeeze the loads, to try it")
    parser.add_argument("--into", type=Path, default=DOCS, metavar="FOLDER", help="where the plots go, and a page is")
    options = parser.parse_args()
    for name in options.load:
        if name not in names:
            parser.error(f"there is no load {name!r}; there are {', '.join(names)}")
    if not options.faster > 0:
        parser.error(f"--faster must be more than 0, got {options.faster}")
    logging.disable(logging.CRITICAL)  # as where nobody reads the log
    _write(options.into / PAGE, "how", _how(options.http))
    for shape in SHAPES:
        if options.load and shape.name not in options.load:
            continue
        rows = measured(shape.faster(options.faster), options.into, options.http)
        late = f"later than {1000 * ALLOWED_SECONDS:.0f} ms"
        table = (
            f"| policy | requests | lost | workers (mean) | changes | reversals | mean ms | {late} |\n"
            f"|---|---:|---:|---:|---:|---:|---:|---:|\n{rows}\n"
        )
        print(f"{shape.title}\n{table}", flush=True)
        _write(options.into / PAGE, shape.name, table)


def _write(page: Path, name: str, words: str) -> None:
    """Puts what was measured into its place of a page, if there is the page."""

    def changed(found: re.Match[str]) -> str:
        return found[1] + words + found[3] if found[2] == name else found[0]

    if page.exists():
        page.write_text(_TABLE.sub(changed, page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
