"""``nexus-core bench``: a workflow of the user's own on stock Kailash and on nexus-core, side by side."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import os
import platform
import sys
import warnings
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from nexus_core import __version__
from nexus_core.commands.numbers import positive_whole
from nexus_core.commands.printing import print_text
from nexus_core.commands.programs import ProgramError
from nexus_core.commands.refusal import refuse

if TYPE_CHECKING:
    from nexus_core.workflow_bench.measuring import Comparison, Side

__all__ = ["add_to"]

_DESCRIPTION = "Runs a workflow on Kailash's runtimes and on nexus-core's, in turn: compares their results first, then \
takes the time. The nodes really run, as often as said. The exit status is 1 where results differ or the workflow fails."


def add_to(commands: Any) -> None:
    """Makes the command known.

    Args:
        commands: The subparsers of ``nexus-core``.
    """
    parser = commands.add_parser(
        "bench", help="your workflow on stock Kailash and on nexus-core, side by side", description=_DESCRIPTION
    )
    parser.add_argument(
        "source",
        metavar="workflow.json|app.py[:name]",
        help="a workflow's to_dict() as JSON or YAML, or a program with a workflow, a builder or a Nexus app",
    )
    parser.add_argument("--workflow", metavar="NAME", help="which workflow of the app")
    parser.add_argument("--inputs", metavar="JSON", help="the inputs of every run, or @FILE with them")
    parser.add_argument("--runs", type=positive_whole, metavar="N", help="runs a side (default: some seconds' worth)")
    parser.add_argument(
        "--runtime", choices=("local", "async", "both"), default="both", help="which of Kailash's runtimes"
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.set_defaults(handle=_bench)


def _bench(given: argparse.Namespace) -> int:
    if find_spec("kailash") is None:
        return refuse(1, "Kailash is not installed: pip install nexus-core-rs[nexus]")
    from nexus_core.workflow_bench.loading import load_inputs, load_workflow
    from nexus_core.workflow_bench.measuring import RUNTIMES, compare

    chosen = {"local": RUNTIMES[:1], "async": RUNTIMES[1:], "both": RUNTIMES}[given.runtime]
    progress = _Progress()
    try:
        inputs = load_inputs(given.inputs)
        progress(f"importing {given.source}")
        with _quiet():
            name, workflow = load_workflow(given.source, given.workflow)
            found = [compare(each, workflow, inputs, given.runs, progress) for each in chosen]
    except ProgramError as error:
        progress.end()
        return refuse(2, str(error))
    except KeyboardInterrupt:
        progress.end()
        raise
    progress.end()
    as_json = given.json
    text = (
        json.dumps(_as_dict(name, workflow, found), indent=2) if as_json else "\n".join(_lines(name, workflow, found))
    )
    return print_text(text) or int(any(each.differing or each.ours.outcome.failure for each in found))


class _Progress:
    """One line on the standard error, rewritten in place in a terminal; elsewhere one for each phase."""

    def __init__(self) -> None:
        self._stream = sys.stderr
        self._phase = ""
        self._in_place = self._stream is not None and self._stream.isatty()

    def __call__(self, words: str) -> None:
        if self._stream is None:
            return
        if self._in_place:
            print(f"\r\x1b[2K{words} …", end="", file=self._stream, flush=True)
            return
        phase = words.partition(" run ")[0]
        if phase != self._phase:
            self._phase = phase
            print(f"nexus-core: {words} …", file=self._stream, flush=True)

    def end(self) -> None:
        if self._in_place:
            print("\r\x1b[2K", end="", file=self._stream, flush=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What nodes print and log is not what was asked for, and would be most of the time that is measured."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            io.TextIOWrapper(open(os.devnull, "wb"), encoding="utf-8") as nowhere,  # noqa: SIM115 - closed with it
            contextlib.redirect_stdout(nowhere),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _as_dict(name: str, workflow: Any, found: Sequence[Comparison]) -> dict[str, Any]:
    from nexus_core.versions import installed_versions

    return {
        "workflow": name,
        "nodes": len(workflow.nodes),
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "versions": {"nexus_core": __version__, **installed_versions()},
        "runtimes": {each.runtime: each.as_dict() for each in found},
    }


def _lines(name: str, workflow: Any, found: Sequence[Comparison]) -> Iterator[str]:
    nodes = len(workflow.nodes)
    yield f"{name}: {nodes} node{'s' * (nodes != 1)}, Python {platform.python_version()}, {os.cpu_count()} processors"
    yield ""
    head = ("runtime", "runs", "stock", "nexus-core", "ratio")
    cells = [head, *(_cells(each) for each in found)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(head))]
    for row in cells:
        padded = (
            cell.ljust(w) if k == 0 else cell.rjust(w) for k, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(padded).rstrip()
    yield ""
    for each in found:
        yield from _remarks(each)


def _cells(each: Comparison) -> tuple[str, ...]:
    from nexus_core.top.figures import seconds

    def median(side: Side) -> str:
        return seconds(side.as_dict()["median_seconds"]) if side.times else "fails"

    return (
        each.runtime,
        str(max(len(each.stock.times), len(each.ours.times))),
        median(each.stock),
        median(each.ours),
        "–" if each.ratio is None else f"{each.ratio:.1f} ×",
    )


def _remarks(each: Comparison) -> Iterator[str]:
    failures = {"stock": each.stock.outcome.failure, "nexus-core": each.ours.outcome.failure}
    if each.differing:
        what = (
            "OUTCOMES DIFFER" if each.differing == ("outcome",) else f"RESULTS DIFFER, of: {', '.join(each.differing)}"
        )
        yield f"{each.runtime}: THE {what}"
        for side, failure in failures.items():
            if failure is not None:
                yield f"  on {side}: {failure}"
    elif each.ours.outcome.failure is not None:
        yield f"{each.runtime}: the workflow fails, on both sides in the same way: {each.ours.outcome.failure}"
    else:
        yield f"{each.runtime}: both sides gave the same results."
    if changing := [node for node in each.changing if node != "outcome"]:
        yield f"  Not compared, as they change from run to run on stock itself: {', '.join(changing)}"
    if "outcome" in each.changing:
        yield "  Some runs failed, and others did not; only those that did not were counted."
    if not each.native:
        yield f"  Delegated to Kailash: {'; '.join(each.reasons)}"
