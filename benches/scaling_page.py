#!/usr/bin/env python3
"""Measure what a task costs on a cluster, foresee runs on many workers, and write both into docs/scaling.md.

Takes about two minutes. With `--check` nothing is written. The comparison of runtimes in that page is of
`benches/run.py --only scaling --long --merge`; `make bench-scaling` runs both.
"""

from __future__ import annotations

import argparse
import datetime
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import machine
import scaling_model
import scaling_plot
from layered import costs as layered_costs
from layered.costs import Costs
from marked import with_parts

DOCS = Path(__file__).resolve().parent.parent / "docs"

#: Workers, and seconds of a node, that the model is compared with: 1,000 nodes that wait, a task a node. More workers
#: with short nodes would need more processors than the usual two: the model takes each worker to have its own.
COMPARED = ((2, 0.01), (4, 0.01), (10, 0.1))


def costs_part(costs: Costs) -> Iterator[str]:
    """What a task costs, in words."""
    thousandths = {name: 1e3 * value for name, value in vars(costs).items()}
    yield (
        f"A task of ours costs the scheduler {thousandths['scheduler']:.1f} ms of a processor, the client "
        f"{thousandths['client']:.1f} ms and its worker {thousandths['worker']:.1f} ms, and is on its way for "
        f"{thousandths['message']:.1f} ms more (1,000 tasks that do nothing, and a chain of 100; scheduler and two "
        f"workers in processes of their own; {_where()}). Of that, {thousandths['question']:.1f} ms is the question whether "
        f"it may begin, which nodes that may run again (`retry_on_worker_loss`) do not ask. In one process a node costs {1e6 * costs.node:.1f} µs. A run "
        f"of 40 short nodes takes {thousandths['little_run']:.0f} ms from call to results."
    )


def model_part(costs: Costs, found: scaling_model.Found) -> Iterator[str]:
    """The table for many workers."""
    yield from scaling_model.table(costs, found)
    yield ""
    yield f"The scheduler is the limit: about {_rounded(1 / costs.scheduler):,} tasks a second, whatever the number of workers."


def check_part(costs: Costs) -> Iterator[str]:
    """Runs, and what the model says of them."""
    yield "| 1,000 nodes that wait, a task a node | model | measured | model ÷ measured |"
    yield "|---|---:|---:|---:|"
    for workers, seconds in COMPARED:
        given = scaling_model.tasks(costs, seconds, workers, batches=False, layers=10, width=100)
        expected, took = scaling_model.makespan(costs, given, workers), layered_costs.waiting(workers, seconds)
        yield f"| {1e3 * seconds:g} ms, {workers} workers | {expected:.1f} s | {took:.1f} s | {expected / took:.2f} |"


def _where() -> str:
    described = machine.describe()
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return f"{described['processor']}, {described['cores']} cores, {described['Python']}, {today}"


def _rounded(value: float) -> int:
    """To two figures."""
    return int(float(f"{value:.1e}"))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="print only")
    options = parser.parse_args(argv)
    logging.getLogger("kailash").setLevel(logging.ERROR)
    costs = layered_costs.measure()
    found = scaling_model.foreseen(costs)
    parts = {
        name: "\n".join(lines)
        for name, lines in (
            ("costs", costs_part(costs)),
            ("model", model_part(costs, found)),
            ("check", check_part(costs)),
        )
    }
    print("\n\n".join(parts.values()))
    if options.check:
        return
    page = DOCS / "scaling.md"
    page.write_text(with_parts(page.read_text(encoding="utf-8"), parts), encoding="utf-8")
    (DOCS / "scaling.svg").write_text(scaling_plot.svg(costs, found), encoding="utf-8")
    print(f"wrote scaling.md and scaling.svg to {DOCS}", file=sys.stderr)


if __name__ == "__main__":
    # Kailash keeps a history in the home folder; a benchmark must not write into the user's. Workers take it over.
    with tempfile.TemporaryDirectory(prefix="nexus-core-bench-") as home, warnings.catch_warnings():
        os.environ["HOME"] = os.environ["USERPROFILE"] = home
        # Workers that are ended tell of their helpers' end.
        os.environ["PYTHONWARNINGS"] = "ignore"
        main()
