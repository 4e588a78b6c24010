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
        elif does == "fail oddly":
            raise Locked(f"{self.id} fails")
        elif does in _OUTPUTS:
            return {"result": _OUTPUTS[does]()}
        elif does == "wait":
            gate = notes.with_suffix(".gate")
            while not gate.exists():
                time.sleep(0.01)
        elif does == "count":
            self.count = getattr(self, "count", 0) + 1
            return {"result": self.count}
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

    def validate_outputs(self, outputs: dict[str, Any]) -> dict[str, Any]:
        # Also what JSON does not know.
        return outputs


_OUTPUTS: dict[Any, Any] = {
    "end": lambda: EndsWhenSent(),
    "hide": lambda: Unreadable(),
    "grow": lambda: os.urandom(1 << 25),
}


@register_node()
class Unpicklable(Node):
    """Leaves what cannot go anywhere."""

    def get_parameters(self) -> dict[str, NodeParameter]:
        return {"x": _parameter("x")}

    def execute(self, **inputs: Any) -> dict[str, Any]:
        return {"result": {"deep": [threading.Lock()]}}

    def run(self, **inputs: Any) -> dict[str, Any]:
        return {}


def end_once_elsewhere(pid: int, notes: str) -> Ends:
    """Made where a plan is loaded: the first time in another process than that, the process is killed.

    Args:
        pid: Of the process that may load it.
        notes: The file where that is noted.
    """
    if os.getpid() != pid:
        with Path(notes).open("a") as file:
            file.write(f"loaded {os.getpid()}\n")
        if counts(Path(notes))["loaded"] == 1:
            os.kill(os.getpid(), signal.SIGKILL)
    return Ends(pid, notes)


class Ends:
    """A part of a node that ends the first worker that loads it.

    Args:
        pid: Of the process that may load it.
        notes: The file where that is noted.
    """

    def __init__(self, pid: int, notes: str) -> None:
        self.pid, self.notes = pid, notes

    def __reduce__(self) -> Any:
        return end_once_elsewhere, (self.pid, self.notes)


class EndsWhenSent:
    """An output that ends the process that sends it."""

    def __reduce__(self) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)


def only_in(pid: int) -> str:
    """Cannot be called in another process than that.

    Args:
        pid: Of the process.
    """
    if pid != os.getpid():
        raise RuntimeError("read in another process")
    return "read"


class Unreadable:
    """An output that is read where it was made alone."""

    def __reduce__(self) -> Any:
        return only_in, (os.getpid(),)


class Locked(Exception):
    """An error that holds what cannot go anywhere."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


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
