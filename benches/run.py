#!/usr/bin/env python3
"""Measure nexus_core beside its peers and write docs/benchmarks.md and docs/benchmarks.svg.

Each environment runs in a process of its own, pass after pass; see session.py. Without options it runs everything, which
takes some minutes, plus the time to make the peers' environments the first time.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import budgets
import machine
import marked
import merge
import plot
import report
from caches import plot as cache_plot
from environments import NAMES, ROOT, Environment, EnvironmentFailed, prepare, subject_path
from layered import plot as layered_plot
from layered import tables as layered_tables
from layered.loads import LOADS
from peers import PEERS
from service import plot as service_plot
from session import EXECUTORS, GROUPS, Session, measure

SUBJECT_NEEDS = {
    "overhead": "from nexus_core import TaskGraph\nfrom nexus_core.runtime import LocalRuntime",
    "control_flow": "from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime",
    "history": "from nexus_core.runtime import LocalRuntime",
    "blocking": "from nexus_core import TaskGraph\nfrom nexus_core.runtime import AsyncLocalRuntime, LocalRuntime",
    "compile": "from nexus_core import TaskGraph",
    "pools": "import nexus_core.sqlalchemy",
    "cache": "from nexus_core import Cache, cached",
    "digest": "from nexus_core.keys import digest",
    "measuring": "from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime",
    "processes": "from nexus_core import ProcessPool",
    "scaling": "import distributed\nfrom nexus_core.distributed import DaskRuntime",
    "http": "from nexus_core import attach, detach",
    "heartbeat": "from nexus_core.runtime import AsyncLocalRuntime",
    "cold_start": "from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime",
    "load_test": "from nexus_core.load_testing import run_load_test",
}


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two passes with few rounds: a first impression")
    parser.add_argument("--only", default=",".join(GROUPS), help=f"comma-separated groups: {', '.join(GROUPS)}")
    parser.add_argument(
        "--without", action="append", default=[], metavar="PEER", help="leave out all peers whose name starts with this"
    )
    parser.add_argument("--passes", type=int, help="how often every peer has its turn (default 5, quick 2)")
    parser.add_argument(
        "--long", action="store_true", help="also nodes of 100 ms in the group scaling: ten minutes more"
    )
    parser.add_argument(
        "--merge", action="store_true",
        help=f"put what was measured into the page and its plot, and leave the rest; of {', '.join(merge.SECTIONS)}",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=Path, help="write the page and the plot here instead of docs/, even for a partial run"
    )
    parser.add_argument("--strict", action="store_true", help="fail when a budget is missed")
    options = parser.parse_args(argv)
    options.only = [group.strip() for group in options.only.split(",")]
    for group in options.only:
        if group not in GROUPS:
            parser.error(f"unknown group {group!r}; there are {', '.join(GROUPS)}")
    for prefix in options.without:
        if not any(peer.startswith(prefix) for peer in PEERS):
            parser.error(f"no peer starts with {prefix!r}; there are {', '.join(PEERS)}")
    if options.quick and options.long:
        parser.error("--quick and --long contradict each other")
    if options.merge and (alien := [group for group in options.only if group not in merge.SECTIONS]):
        parser.error(f"--merge knows no section of {alien[0]!r}; with --only, choose from {', '.join(merge.SECTIONS)}")
    if options.merge and options.output is None and (problem := merge_problem(options)):
        parser.error(problem)
    if options.passes is not None and options.passes < 1:
        parser.error("--passes must be at least 1")
    return options


def merge_problem(options: argparse.Namespace) -> str | None:
    """What docs/ would lose, whose sections are replaced as a whole."""
    if options.quick or options.without:
        return "--merge replaces whole sections: leave out --quick and --without, or try it with --output DIR"
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    titles = [load.title for load in LOADS if load.is_long and f"### {load.title.capitalize()}\n" in page]
    if "scaling" in options.only and titles and not options.long:
        return f"the page has {titles[0]}, which --merge would lose: add --long, or try it with --output DIR"
    return None


def chosen_peers(without: Sequence[str]) -> list[str]:
    return [peer for peer in PEERS if not peer.startswith(tuple(without))] if without else list(PEERS)


def make_environments(peers: Sequence[str], groups: Sequence[str]) -> tuple[list[Environment], dict[str, str]]:
    """The environments that could be made, and why the others could not."""
    made, failed = [], {}
    executors = any(group in EXECUTORS for group in groups)
    for name in NAMES:
        if name == "full" or (executors and any(PEERS[peer].environment == name for peer in peers)):
            try:
                made.append(prepare(name, say))
            except EnvironmentFailed as error:
                failed[f"environment {name}"] = str(error)
                say(str(error))
    return made, failed


def subject_problem(full: Environment, groups: Sequence[str]) -> str | None:
    """Why nexus_core cannot be measured, or None."""
    if importlib.util.find_spec("nexus_core") is None:
        return f"nexus_core is not installed for {sys.executable}"
    path = subject_path()
    needs = "\n".join(SUBJECT_NEEDS[group] for group in groups)
    command = [str(full.python), "-c", needs]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(path), "HOME": str(Path.home())}, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit {done.returncode}"]
        return f"nexus_core cannot be used: {last[0]}"
    importlib.import_module("nexus_core")
    return None


def write(folder: Path, page: str, session: Session) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "benchmarks.md": page,
        "benchmarks.svg": plot.svg(session),
        "benchmarks-http.svg": service_plot.svg(session.figures),
        "benchmarks-cache.svg": cache_plot.svg(session.figures),
        "benchmarks-scaling.svg": layered_plot.svg(session.figures),
    }
    put(folder, files)


def write_merged(folder: Path, session: Session, options: argparse.Namespace) -> None:
    """Only what these groups have measured, into the pages of a folder, or into copies of those of docs/."""
    folder.mkdir(parents=True, exist_ok=True)

    def page_of(name: str) -> str:
        known = folder / name
        return (known if known.exists() else ROOT / "docs" / name).read_text(encoding="utf-8")

    command = f"benches/run.py --only {','.join(options.only)}{' --long' if options.long else ''}"
    files = {"benchmarks.md": merge.with_groups(page_of("benchmarks.md"), session, options.only, command)}
    if "cache" in options.only:
        files["benchmarks-cache.svg"] = cache_plot.svg(session.figures)
    if "scaling" in options.only:
        files["benchmarks-scaling.svg"] = layered_plot.svg(session.figures)
        told = "\n".join(layered_tables.summary(session, report.markdown_table))
        files["scaling.md"] = marked.with_parts(page_of("scaling.md"), {"runs": told.rstrip()})
    put(folder, files)


def put(folder: Path, files: dict[str, str]) -> None:
    """Each file whole or not at all."""
    for name, content in files.items():
        partial = folder / f".{name}.partial"
        partial.write_text(content, encoding="utf-8")
        partial.replace(folder / name)
    say(f"wrote {', '.join(files)} to {folder}")


def main(argv: Sequence[str] | None = None) -> int:
    options = arguments(argv)
    described = machine.describe()
    peers = chosen_peers(options.without)
    environments, failed = make_environments(peers, options.only)
    full = next((environment for environment in environments if environment.name == "full"), None)
    if full is None:
        say("the environment that nexus_core is measured in could not be made: nothing was measured")
        return 2
    with_subject = any(peer.startswith("nexus_core") for peer in peers)
    if with_subject and (problem := subject_problem(full, options.only)):
        say(f"{problem}\nRun `make bench`, which builds it first, or leave it out: --without nexus_core")
        return 2
    passes = options.passes or (2 if options.quick else 5)
    session = measure(
        environments, peers, options.only, passes=passes, slow_passes=1 if options.quick else min(passes, 3),
        quick=options.quick, long=options.long, say=say,
    )  # fmt: skip
    session.failed |= failed
    checks = budgets.check(session, options.only)
    print(report.terminal(session, checks))
    build = machine.build_of_subject() if with_subject else {}
    page = report.markdown(session, checks, environments, described, build, quick=options.quick)
    partial = options.quick or options.without or options.only != list(GROUPS)
    if options.merge:
        if not session.failed:
            write_merged(options.output or ROOT / "docs", session, options)
        else:
            say("no page is written, because something failed")
    elif options.output is not None:
        write(options.output, page, session)
    elif partial:
        say("a partial run: docs/ is left as it was (--output DIR writes the page elsewhere)")
    else:
        write(ROOT / "docs", page, session)
    return verdict(session, checks, strict=options.strict)


def verdict(session: Session, checks: Sequence[budgets.Check], *, strict: bool) -> int:
    for reason, names in session.skipped_by_reason().items():
        say(f"not measured: {', '.join(names)}: {reason}")
    for name, reason in sorted(session.failed.items()):
        say(f"FAILED: {name}: {reason}")
    missed = sum(check.status == budgets.MISS for check in checks)
    return 1 if session.failed or (strict and missed) else 0


if __name__ == "__main__":
    sys.exit(main())
