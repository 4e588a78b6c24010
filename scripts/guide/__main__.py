"""Runs the Python blocks of a performance guide on ``nexus_core`` (``make guide GUIDE=path``).

    python scripts/guide GUIDE.md [--stock] [--only 1,3] [--seconds 300] [--show]

The classes that a block defines and ``nexus_core`` has are left out and imported instead. What keeps a block from running
is mended, and said: a function that is called only in a comment, a name that nothing sets, a wrong argument, a missing
import, a workflow that is asked for and not there. Its app is attached, so that its runs are ours. Each block runs in a process of its own, with a home folder of its own.
Then every method of the guide's classes is compared with ours: whether it is there and takes the same arguments, whether
its replies have the guide's keys, and whether what ``__init__`` sets is there.

Exits with 1 if a block fails or something lacks, with 2 if the guide cannot be read.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from blocks import Block, Mended, blocks_of, classes_of, mended
from promises import attributes_of, lacking, methods_of, reply_keys
from run_block import INNER

ROOT = Path(__file__).resolve().parents[2]

RAN, FAILED, LEFT_OUT = "ran", "FAILED", "left out"


@dataclass
class Outcome:
    """What became of a block."""

    status: str
    why: str = ""
    seconds: float = 0.0
    output: str = ""
    record: dict[str, Any] = field(default_factory=dict)


def run(block: Block, ready: Mended, limit: float, folder: Path) -> Outcome:
    """Runs a block in a process of its own, which ends with its time."""
    source, record = folder / f"block_{block.number}.py", folder / f"record_{block.number}.json"
    source.write_text(ready.source, encoding="utf-8")
    home = folder / f"home_{block.number}"
    home.mkdir()
    path = os.pathsep.join(filter(None, [str(ROOT / "python"), os.environ.get("PYTHONPATH", "")]))
    variables = {**os.environ, "HOME": str(home), "PYTHONPATH": path}
    inner = [name for name in INNER if any(name in title for title in promised_inner(block, ready))]
    command = [sys.executable, str(Path(__file__).with_name("run_block.py")), str(source), str(record)]
    began = time.perf_counter()
    try:
        done = subprocess.run(
            [*command, *ready.taken, *inner], capture_output=True, text=True, timeout=limit, check=False,
            env=variables, cwd=home,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Outcome(FAILED, f"no end within {limit:g} s", time.perf_counter() - began)
    seconds = time.perf_counter() - began
    found = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"it ended with {done.returncode}"]
        return Outcome(FAILED, last[0], seconds, done.stdout + done.stderr, found)
    return Outcome(RAN, "", seconds, done.stdout, found)


def promised_inner(block: Block, ready: Mended) -> list[str]:
    """The classes that the block's classes make inside of their methods."""
    taken = [defined for name, defined in classes_of(block.source).items() if name in ready.taken]
    return [title.partition(".")[0] for defined in taken for title, *_ in methods_of(defined)]


def compare(block: Block, ready: Mended, record: dict[str, Any]) -> tuple[list[str], list[str]]:
    """What the guide promises and ours lacks; and the methods whose replies were not seen."""
    problems: list[str] = []
    unseen: list[str] = []
    for name, defined in classes_of(block.source).items():
        if name not in ready.taken:
            continue
        for title, function, owner in methods_of(defined):
            signature = record["signatures"].get(title)
            if signature is None:
                problems.append(f"{title}() is not there")
                continue
            problems += arguments_that_differ(title, function, signature)
            promised = reply_keys(function, owner)
            replies = record["replies"].get(title)
            if promised and not replies:
                unseen.append(title)
            for reply in replies or []:
                missing = [lacking(keys, reply) for keys in promised]
                problems += [f"{title}(): {each}" for each in min(missing, key=len, default=[])]
        for title, attribute in attributes_of(defined):
            there = record["attributes"].get(title)
            if there is not None and attribute not in there:
                problems.append(f"{title}.{attribute} is not there")
    return list(dict.fromkeys(problems)), unseen


def arguments_that_differ(title: str, function: Any, signature: list[list[Any]]) -> list[str]:
    """Where the guide's arguments cannot be given to our method by place and by name, with the same defaults."""
    import ast

    promised = [each.arg for each in function.args.args if each.arg != "self"]
    values = [repr(ast.literal_eval(each)) for each in function.args.defaults]
    defaults = dict(zip(promised[len(promised) - len(values) :], values, strict=True))
    by_place = [name for name, _, kind in signature if kind.startswith("POSITIONAL")]
    if by_place[: len(promised)] != promised:
        return [f"{title}() takes {', '.join(by_place) or 'nothing'} and not {', '.join(promised)}"]
    own = {name: default for name, default, _ in signature}
    problems = [
        f"{title}({name}=…) is {own[name]} by default and not {defaults.get(name)}"
        for name in promised
        if own[name] != defaults.get(name)
    ]
    optional = {name for name, default, kind in signature if default is not None or kind.startswith("VAR")}
    return problems + [f"{title}() needs {name}, too" for name in own if name not in promised and name not in optional]


def provided() -> frozenset[str]:
    """The public names of the package."""
    sys.path.insert(0, str(ROOT / "python"))
    import nexus_core

    return frozenset(nexus_core.__all__)


def main() -> int:
    """Runs the blocks, and says how each went; returns the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/guide", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("guide", type=Path, help="a Markdown file with Python blocks")
    parser.add_argument("--stock", action="store_true", help="leave the blocks' apps to Kailash: attach none")
    parser.add_argument("--only", help="the blocks of these numbers, comma-separated")
    parser.add_argument("--seconds", type=float, default=300, help="the limit of each block (default %(default)s)")
    parser.add_argument("--show", action="store_true", help="print what the blocks print")
    options = parser.parse_args()
    try:
        blocks = blocks_of(options.guide.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        print(f"{options.guide}: {error}", file=sys.stderr)
        return 2
    if not blocks:
        print(f"{options.guide} has no Python block", file=sys.stderr)
        return 2
    chosen = {int(number) for number in options.only.split(",")} if options.only else {b.number for b in blocks}
    names, failures = provided(), 0
    with tempfile.TemporaryDirectory(prefix="nexus-core-guide-") as folder:
        for block in blocks:
            if block.number in chosen:
                failures += not report(block, names, options, Path(folder))
    print(f"\n{len(chosen)} blocks, {failures} with problems")
    return 1 if failures else 0


def report(block: Block, names: frozenset[str], options: argparse.Namespace, folder: Path) -> bool:
    """Runs one block and prints how it went; whether all is well."""
    print(f"\n{block.number}. {block.heading} (line {block.line})", flush=True)
    ready = mended(block.source, names, attach=not options.stock)
    if ready.missing and not ready.taken:
        print(f"   {LEFT_OUT}: nexus_core has no {', '.join(ready.missing)}")
        return True
    for each in ready.done:
        print(f"   mended: {each}")
    outcome = run(block, ready, options.seconds, folder)
    calls = sum(len(each) for each in outcome.record.get("replies", {}).values())
    print(f"   {outcome.status} in {outcome.seconds:.1f} s, {calls} calls of {', '.join(ready.taken) or 'no class'}")
    if outcome.why:
        print(f"   {outcome.why}")
    for title, counts in outcome.record.get("statuses", {}).items():
        for status, count in counts.items():
            print(f"   {title}(): {count} × {' '.join(status.split())[:200]}")
    if options.show and outcome.output:
        print("".join(f"   | {line}\n" for line in outcome.output.splitlines()), end="")
    if not outcome.record:
        return outcome.status == RAN
    problems, unseen = compare(block, ready, outcome.record)
    for each in problems:
        print(f"   lacks: {each}")
    if unseen:
        print(f"   not called by the block: {', '.join(unseen)}")
    return outcome.status == RAN and not problems


if __name__ == "__main__":
    sys.exit(main())
