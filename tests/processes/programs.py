"""Programs in processes of their own, since what they do may hang, or is meant to end them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

PRELUDE = '''
import os, signal, sys, threading, time
from pathlib import Path
from kailash.nodes.base import Node, NodeParameter, register_node
from kailash.nodes.code.python import PythonCodeNode
from kailash.workflow.builder import WorkflowBuilder
from kailash.workflow.graph import Workflow
from nexus_core import ProcessPool
from nexus_core.errors import NotShippable, ProcessPoolClosed, WorkerLost
from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime

folder = Path(sys.argv[1])


@register_node()
class Calls(Node):
    """Calls a function of this module with the folder and its inputs."""

    def __init__(self, function, **config):
        self.function = function
        super().__init__(**config)

    def get_parameters(self):
        return {"x": NodeParameter(name="x", type=object, required=False, default=None)}

    def run(self, **inputs):
        return {"result": self.function(folder, inputs.get("x"))}


def note(name):
    """Leaves a trace of having run."""
    with open(folder / name, "a") as file:
        file.write("x")


def times(name):
    path = folder / name
    return len(path.read_text()) if path.exists() else 0


def of(**functions):
    workflow = Workflow("id", "name")
    for node_id, function in functions.items():
        workflow.add_node(node_id, Calls(function))
    return workflow


def failure(runtime, workflow, **options):
    """What the only node of a workflow has raised: Kailash keeps it where nothing depends on the node."""
    (record,) = runtime.execute(workflow, **options)[0].values()
    return record["_exception"]
'''


def program(text: str) -> str:
    """The source of a program."""
    return PRELUDE + textwrap.dedent(text)


def run(folder: Path, text: str, timeout: float = 120) -> str:
    """What a program prints."""
    path = folder / "program.py"
    path.write_text(program(text))
    done = subprocess.run(
        [sys.executable, str(path), str(folder)], capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def start(folder: Path, text: str) -> subprocess.Popen[str]:
    """A program that runs, in a group of processes of its own."""
    path = folder / "program.py"
    path.write_text(program(text))
    return subprocess.Popen(
        [sys.executable, str(path), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def until(condition: Callable[[], bool], seconds: float = 60) -> bool:
    """Whether something comes true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def children_of(pid: int) -> set[int]:
    """All processes that descend from one."""
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parents[int(entry)] = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}
