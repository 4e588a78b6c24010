"""Random graphs of pure functions, their sequential reference, and scripts in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

import nexus_core
from nexus_core import Input, Ref, TaskGraph

# Long enough for a node to be handed over to workers, which takes a few milliseconds.
BLOCKING = 0.008

# A slow machine may take this long for what takes milliseconds; a hang takes for ever.
PATIENCE = 60.0


@dataclass(frozen=True)
class NodePlan:
    """One node of a random graph: what it adds up, how long it sleeps, whether it raises."""

    name: str
    sources: tuple[str, ...]
    shape: str
    sleep: float
    fails: bool = False


class NodeFailed(Exception):
    """What a node of a random graph raises."""


def node_body(plan: NodePlan) -> Any:
    """A pure function of the node's arguments, whatever containers they come in."""

    def body(*args: Any, **kwargs: Any) -> tuple[str, Any]:
        if plan.sleep:
            time.sleep(plan.sleep)
        if plan.fails:
            raise NodeFailed(plan.name)
        return (plan.name, hash((flat(args), flat(kwargs))))

    return body


def flat(value: Any) -> Any:
    """``value`` with its lists and dicts made hashable, their types kept."""
    if isinstance(value, list):
        return ("list", *map(flat, value))
    if isinstance(value, tuple):
        return ("tuple", *map(flat, value))
    if isinstance(value, dict):
        return ("dict", *((key, flat(item)) for key, item in value.items()))
    return value


def arranged(plan: NodePlan, values: list[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The node's arguments with ``values`` in the places of its sources."""
    match plan.shape:
        case "positional":
            return (*values, Input("x", 1)), {}
        case "keyword":
            return (), {f"k{place}": value for place, value in enumerate(values)}
        case "list":
            return (list(values), 3), {}
        case "dict":
            return (), {"data": {"inner": [{"deep": tuple(values)}], "c": 1.5}}
    raise AssertionError(plan.shape)


def build(plans: list[NodePlan]) -> TaskGraph:
    """The random graph, its nodes added in the order of ``plans``."""
    graph = TaskGraph()
    for plan in plans:
        args, kwargs = arranged(plan, [Ref(name) for name in plan.sources])
        graph.add(plan.name, node_body(plan), *args, **kwargs)
    return graph


def reference(plans: list[NodePlan], order: list[str], x: int) -> dict[str, Any]:
    """What the graph's nodes return when called one after another."""
    results: dict[str, Any] = {}
    by_name = {plan.name: plan for plan in plans}
    for name in order:
        plan = by_name[name]
        args, kwargs = arranged(plan, [results[source] for source in plan.sources])
        args = tuple(x if isinstance(value, Input) else value for value in args)
        results[name] = node_body(plan)(*args, **kwargs)
    return results


@st.composite
def node_plans(draw: st.DrawFn, *, failing: bool = False, most: int = 24) -> list[NodePlan]:
    """Nodes of a random acyclic graph, in any order."""
    count = draw(st.integers(1, most))
    sleepers = draw(st.sets(st.integers(0, count - 1), max_size=4))
    failures = draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=4)) if failing else set()
    plans = []
    for number in range(count):
        earlier = [f"n{other}" for other in range(number)]
        sources = draw(st.lists(st.sampled_from(earlier), max_size=3)) if earlier else []
        plans.append(
            NodePlan(
                name=f"n{number}",
                sources=tuple(sources),
                shape=draw(st.sampled_from(["positional", "keyword", "list", "dict"])),
                sleep=draw(st.sampled_from([0.001, BLOCKING])) if number in sleepers else 0.0,
                fails=number in failures,
            )
        )
    return draw(st.permutations(plans)) if draw(st.booleans()) else plans


@dataclass(frozen=True)
class Ended:
    """How a script's process ended."""

    code: int
    out: str
    err: str
    seconds: float


_PACKAGE = str(Path(nexus_core.__file__).parent.parent)


def start_script(source: str, *options: str) -> subprocess.Popen[str]:
    """Runs ``source`` with this interpreter and this ``nexus_core``."""
    environment = {
        **os.environ,
        "PYTHONPATH": _PACKAGE,
        "PYTHONFAULTHANDLER": "1",
        # Since Python 3.12 every fork beside threads is warned of.
        "PYTHONWARNINGS": "ignore:This process:DeprecationWarning",
    }
    return subprocess.Popen(
        [sys.executable, *options, "-c", textwrap.dedent(source)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def run_script(source: str, *options: str, timeout: float = PATIENCE) -> Ended:
    """Runs ``source`` to its end; a hang fails the test and leaves no process."""
    return ended(start_script(source, *options), timeout=timeout)


def ended(process: subprocess.Popen[str], *, timeout: float = PATIENCE) -> Ended:
    """Waits for a script; one that hangs is made to say where, and ended."""
    start = time.monotonic()
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        # The fault handler prints the stack of every thread on SIGABRT.
        process.send_signal(signal.SIGABRT)
        out, err = process.communicate()
        raise AssertionError(f"the script hung for {timeout} s\nstdout: {out}\nstderr: {err}") from None
    return Ended(process.returncode, out, err, time.monotonic() - start)


def interrupt_when_ready(process: subprocess.Popen[str], delay: float = 0.3) -> None:
    """Sends Ctrl-C a while after the script has printed its first line."""
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "ready"
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
