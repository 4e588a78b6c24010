#!/usr/bin/env python3
"""Run the performance guide's parallel workflow and a chain on stock Kailash and on nexus_core, side by side.

Both runtimes get the same workflows, registered in a real Nexus app, and must return the same results. Nothing is left
behind: the run history goes to a temporary home folder, and no port is opened.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import logging
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

LIMIT_SECONDS = 1.0
"""Time for the repetitions of one workflow on one runtime."""
LIMIT_ROUNDS = 20


class DemoFailed(RuntimeError):
    """The demo did not show what it is meant to show; the message says what happened."""


@dataclass
class Measured:
    """One workflow on one runtime."""

    results: dict[str, Any] = field(default_factory=dict)
    first: float = 0.0
    later: float = 0.0
    error: str | None = None

    @property
    def ran(self) -> bool:
        return self.error is None


class Progress:
    """One line on standard error that says what is going on; rewritten in place on a terminal."""

    def __init__(self) -> None:
        self.terminal = sys.stderr.isatty()

    def say(self, words: str) -> None:
        sys.stderr.write(f"\r\x1b[K{words} …" if self.terminal else f"{words} …\n")
        sys.stderr.flush()

    def end(self) -> None:
        if self.terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Kailash's log lines, warnings and prints are not what the demo is about."""
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def temporary_home() -> Iterator[None]:
    """The runtimes keep their run history, as they do for every user, but not among the user's own."""
    # A writer may still be closing its database when the folder goes.
    with tempfile.TemporaryDirectory(prefix="nexus-core-demo-", ignore_cleanup_errors=True) as home:
        os.environ["HOME"] = os.environ["USERPROFILE"] = home
        yield


def register(app: Any) -> dict[str, Any]:
    """Register the demo's workflows and return them as the app keeps them."""
    import workflows

    builders = {
        "guide, function_name": workflows.parallel_with_functions(),
        "guide, result = …": workflows.parallel_with_statements(),
        f"chain of {workflows.CHAIN}": workflows.chain(),
    }
    kept = {}
    for title, builder in builders.items():
        name = "".join(c if c.isalnum() else "-" for c in title).strip("-")
        app.register(name, builder)
        kept[title] = app._workflows[name]
    return kept


def parameters_for(workflow: Any) -> dict[str, dict[str, Any]]:
    import workflows

    nodes = workflow.nodes
    return {node: values for node, values in workflows.PARAMETERS.items() if node in nodes}


def measure(runtime: Any, workflow: Any) -> Measured:
    """Run once, and then again as often as the time allows; a run that fails is reported with its error."""
    parameters = parameters_for(workflow)
    measured = Measured()
    try:
        measured.first, measured.results = timed(runtime, workflow, parameters)
        again: list[float] = []
        while len(again) < LIMIT_ROUNDS and (not again or sum(again) < LIMIT_SECONDS):
            again.append(timed(runtime, workflow, parameters)[0])
        measured.later = statistics.median(again)
    except Exception as error:
        measured.error = one_line(error)
    return measured


def timed(runtime: Any, workflow: Any, parameters: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    started = time.perf_counter()
    results, _ = runtime.execute(workflow, parameters=parameters)
    took = time.perf_counter() - started
    for node, output in results.items():
        # A failed last node does not raise in Kailash: it is recorded in its place.
        if isinstance(output, dict) and output.get("failed"):
            raise DemoFailed(f"node {node}: {output.get('error')}")
    return took, results


def one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def check(measured: dict[tuple[str, str], Measured], titles: Sequence[str], runtimes: Sequence[str]) -> list[str]:
    """What is wrong with the results, in words; nothing when the demo may be believed."""
    import workflows

    problems = []
    for title in titles:
        runs = {name: measured[title, name] for name in runtimes}
        for name, run in runs.items():
            if not run.ran and not (name == "stock" and "function_name" in title):
                problems.append(f"{title} failed on {name}: {run.error}")
        ran = {name: run.results for name, run in runs.items() if run.ran}
        if len(ran) == 2 and ran["stock"] != ran["nexus_core"]:
            differing = [node for node in ran["stock"] if ran["stock"][node] != ran["nexus_core"].get(node)]
            problems.append(
                f"{title}: stock and nexus_core disagree on {', '.join(differing) or 'which nodes there are'}"
            )
        for name, results in ran.items():
            problems += wrong_values(title, name, results, workflows)
    with_functions, with_statements = (
        {name: measured[title, name] for name in runtimes} for title in ("guide, function_name", "guide, result = …")
    )
    for name, run in with_functions.items():
        if run.ran and with_statements[name].ran and run.results != with_statements[name].results:
            problems.append(f"the guide's workflow gives other results on {name} when its nodes name functions")
    return problems


def wrong_values(title: str, name: str, results: dict[str, Any], workflows: Any) -> Iterator[str]:
    """Both might be wrong in the same way, so the last node is also compared with what it must say."""
    last, expected = (
        ("combine_results", workflows.EXPECTED_COMBINATION)
        if title.startswith("guide")
        else (f"step_{workflows.CHAIN - 1}", {"value": workflows.CHAIN})
    )
    got = results.get(last, {}).get("result")
    if got != expected:
        yield f"{title} on {name}: {last} returned {got!r} instead of {expected!r}"


def table(measured: dict[tuple[str, str], Measured], workflows: dict[str, Any], runtimes: Sequence[str]) -> str:
    head = ("workflow", "runtime", "first run", "later runs", "µs a node", "speed-up")
    rows: list[tuple[str, ...]] = []
    for title, workflow in workflows.items():
        stock = measured.get((title, "stock"))
        for name in runtimes:
            run = measured[title, name]
            if not run.ran:
                rows.append((title, name, "cannot run", "–", "–", "–"))
                continue
            speed = f"{stock.later / run.later:,.1f}×" if stock is not None and stock.ran else "–"
            nodes = len(workflow.nodes)
            rows.append((title, name, seconds(run.first), seconds(run.later), f"{run.later / nodes * 1e6:,.1f}", speed))
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = []
    for row in (head, tuple("─" * width for width in widths), *rows):
        cells = (cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True)))
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def seconds(value: float) -> str:
    return f"{value * 1e3:,.2f} ms"


def chart(runtime_class: Callable[..., Any], workflow: Any) -> str:
    """The scheduler's own record of one more run, drawn."""
    from nexus_core import gantt

    with quiet(), runtime_class() as runtime:
        # The second run is the telling one: the first has to find out that the nodes wait.
        runtime.execute(workflow, parameters=parameters_for(workflow))
        runtime.enable_trace(True)
        runtime.execute(workflow, parameters=parameters_for(workflow))
        trace = runtime.last_trace()
    drawn: str = gantt.render(trace, width=80)
    return drawn


def runtime_classes(without: Sequence[str]) -> dict[str, Callable[..., Any]]:
    """The class of each runtime to compare; what is missing is said plainly."""
    modules = {"stock": "kailash.runtime", "nexus_core": "nexus_core.runtime"}
    found = {}
    for name, module in modules.items():
        if name not in without:
            try:
                found[name] = importlib.import_module(module).LocalRuntime
            except (ImportError, AttributeError) as error:
                raise DemoFailed(
                    f"{module}.LocalRuntime cannot be imported: {error}. `make demo` installs and builds all it needs."
                ) from None
    return found


def open_app() -> Any:
    try:
        from nexus import Nexus
    except ImportError as error:
        raise DemoFailed(f"kailash-nexus cannot be imported: {error}. `make demo` installs it.") from None
    return Nexus(
        api_port=8000, enable_auth=False, rate_limit=None, enable_durability=False, auto_discovery=False
    )  # fmt: skip


def run(without: Sequence[str], progress: Progress) -> None:
    progress.say("loading Kailash and Nexus")
    measured: dict[tuple[str, str], Measured] = {}
    with quiet():
        classes = runtime_classes(without)
        app = open_app()
    try:
        with quiet():
            workflows = register(app)
            for name, runtime_class in classes.items():
                with runtime_class() as runtime:
                    for title, workflow in workflows.items():
                        progress.say(f"{title} on {name}")
                        measured[title, name] = measure(runtime, workflow)
        progress.end()
        print(table(measured, workflows, list(classes)))
        notes(measured)
        if problems := check(measured, list(workflows), list(classes)):
            raise DemoFailed("; ".join(problems))
        if len(classes) == 2:
            print("\nBoth runtimes returned the same results for everything that both can run.")
        if "nexus_core" in classes:
            progress.say("drawing the parallel run")
            drawn = chart(classes["nexus_core"], workflows["guide, function_name"])
            progress.end()
            print(f"\nThe scheduler's own record of the guide's workflow (function_name):\n\n{drawn}")
    finally:
        progress.end()
        with quiet():
            app.close()


def notes(measured: dict[tuple[str, str], Measured]) -> None:
    for (title, name), run in measured.items():
        if not run.ran:
            error = run.error or ""
            print(f"\n{title} on {name}: {error if len(error) <= 300 else error[:299] + '…'}")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--without", action="append", default=[], choices=("stock", "nexus_core"), help="leave this runtime out"
    )
    options = parser.parse_args(argv)
    progress = Progress()
    try:
        with temporary_home():
            run(options.without, progress)
    except DemoFailed as failure:
        progress.end()
        print(f"demo: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
