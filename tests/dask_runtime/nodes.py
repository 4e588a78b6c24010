"""Nodes that write down when they run, and do what tests need of them. Workers import this module."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from kailash.nodes.base import Node, NodeParameter, register_node
from kailash.workflow.builder import WorkflowBuilder


_log = logging.getLogger("dask_runtime.nodes")


def _parameter(name: str) -> NodeParameter:
    return NodeParameter(name=name, type=object, required=False, default=None)


@register_node()
class Noting(Node):
    """Adds a line to a file, and does what `does` says."""

    def get_parameters(self) -> dict[str, NodeParameter]:
        return {name: _parameter(name) for name in ("notes", "does", "seconds", "times", "x", "y")}

    def run(self, **inputs: Any) -> dict[str, Any]:
        notes = Path(inputs["notes"])
        with notes.open("a") as file:
            file.write(f"{self.id} {os.getpid()}\n")
        begun = [line.split()[0] for line in notes.read_text().splitlines()].count(self.id)
        does = inputs.get("does") if begun <= inputs.get("times", 1_000_000) else None
        if does == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif does == "fail":
            raise ValueError(f"{self.id} fails")
        elif does == "wait":
            gate = notes.with_suffix(".gate")
            while not gate.exists():
                time.sleep(0.01)
        elif does == "log":
            _log.debug("%s says", self.id)
            try:
                raise KeyError(self.id)
            except KeyError:
                _log.warning("%s warns", self.id, exc_info=True)
        elif does == "eat":
            held = []
            while True:
                held.append(bytearray(os.urandom(1 << 20)) * 32)
        if "seconds" in inputs:
            time.sleep(inputs["seconds"])
        return {"result": [self.id, inputs.get("x"), inputs.get("y")]}


@register_node()
class Unpicklable(Node):
    """Leaves what cannot go anywhere."""

    def get_parameters(self) -> dict[str, NodeParameter]:
        return {"x": _parameter("x")}

    def execute(self, **inputs: Any) -> dict[str, Any]:
        return {"result": {"deep": [threading.Lock()]}}

    def run(self, **inputs: Any) -> dict[str, Any]:
        return {}


def noting(notes: Path, nodes: dict[str, dict[str, Any]], edges: list[tuple[str, str]], name: str = "noted") -> Any:
    """A workflow of such nodes.

    Args:
        notes: The file.
        nodes: What each is configured with.
        edges: Source and target.
        name: The workflow's.
    """
    builder = WorkflowBuilder()
    for node_id, config in nodes.items():
        builder.add_node("Noting", node_id, {"notes": str(notes), **config})
    taken: set[str] = set()
    for source, target in edges:
        builder.add_connection(source, "result", target, "y" if target in taken else "x")
        taken.add(target)
    return builder.build(name=name)


def counts(notes: Path) -> dict[str, int]:
    """How often each node has begun.

    Args:
        notes: The file.
    """
    begun: dict[str, int] = {}
    if notes.exists():
        for line in notes.read_text().splitlines():
            node_id = line.split()[0]
            begun[node_id] = begun.get(node_id, 0) + 1
    return begun


def settled(client: Any) -> list[int]:
    """Waits until both workers are there to stay; returns their process ids.

    Dask starts a worker anew that was killed, but not one that was killed while it started: that is
    done when the cluster is asked for as many as it has.

    Args:
        client: Of the cluster of two.
    """
    deadline = time.monotonic() + 90
    before: list[int] = []
    while time.monotonic() < deadline:
        client.cluster.scale(2)
        pids = sorted(client.run(os.getpid, on_error="ignore").values())
        if len(pids) == 2 and pids == before:
            return pids
        before = pids
        time.sleep(0.3)
    raise TimeoutError(f"of two workers there are {before}")
