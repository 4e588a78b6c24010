"""Node classes that workers import, and a context variable of theirs."""

from __future__ import annotations

import logging
import os
import threading
import time
from contextvars import ContextVar
from typing import Any

from kailash.nodes.base import Node, NodeParameter

#: Of a module that workers import.
tenant: ContextVar[str] = ContextVar("tenant", default="nobody")
bag: ContextVar[Any] = ContextVar("bag", default=None)
_log = logging.getLogger("processes.nodes")


class Held(dict[str, Any]):
    """A dict that can be referred to weakly."""


class Takes(Node):
    """Takes anything as ``x``."""

    def get_parameters(self) -> dict[str, NodeParameter]:
        return {"x": NodeParameter(name="x", type=object, required=False, default=None)}


class Where(Takes):
    """In which process it runs."""

    def run(self, **inputs: Any) -> dict[str, Any]:
        return {"result": os.getpid()}


class Tenant(Takes):
    """Reads and sets the context variable."""

    def run(self, **inputs: Any) -> dict[str, Any]:
        before = tenant.get()
        if inputs.get("x"):
            tenant.set(inputs["x"])
        return {"result": before}


class Bag(Takes):
    """Reads the other one."""

    def run(self, **inputs: Any) -> dict[str, Any]:
        return {"result": bag.get()}


class Counts(Takes):
    """Changes itself."""

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self.count = 0
        self.seen: list[Any] = []

    def run(self, **inputs: Any) -> dict[str, Any]:
        self.count += 1
        self.seen.append(inputs.get("x"))
        return {"result": self.count}


class Opens(Takes):
    """Keeps what cannot go anywhere."""

    def run(self, **inputs: Any) -> dict[str, Any]:
        self.kept = [(n for n in ())]
        if inputs.get("x"):
            raise ValueError(inputs["x"])
        return {"result": 1}


class Logs(Takes):
    """Logs."""

    def run(self, **inputs: Any) -> dict[str, Any]:
        _log.debug("not seen")
        _log.warning("seen %s", inputs.get("x"))
        try:
            raise KeyError("inner")
        except KeyError:
            _log.exception("failed")
        return {"result": None}


class Fails(Takes):
    """Raises an error of its own."""

    def run(self, **inputs: Any) -> dict[str, Any]:
        raise Odd(7, reason="because")


class Odd(Exception):
    """Takes other arguments than it passes on."""

    def __init__(self, code: int, *, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code


class Works(Takes):
    """Has a processor for some milliseconds."""

    def run(self, **inputs: Any) -> dict[str, Any]:
        end = time.thread_time() + 0.012
        while time.thread_time() < end:
            pass
        return {"result": os.getpid()}


class WorksOnLock(Works):
    """The same, with an output that cannot be pickled."""

    def run(self, **inputs: Any) -> dict[str, Any]:
        return {**super().run(**inputs), "lock": threading.Lock()}

    def validate_outputs(self, outputs: dict[str, Any]) -> dict[str, Any]:
        return outputs


class Scales(Takes):
    """Writes to the array that it is given, and returns it."""

    def run(self, **inputs: Any) -> dict[str, Any]:
        array = inputs["x"]
        array *= 2
        return {"result": array, "pid": os.getpid()}

    def validate_outputs(self, outputs: dict[str, Any]) -> dict[str, Any]:
        return outputs


class Context(Takes):
    """Reads and sets the workflow context."""

    def run(self, **inputs: Any) -> dict[str, Any]:
        self.set_workflow_context("set", os.getpid())
        return {"result": self.get_workflow_context("given")}


def made_in(pid: int) -> str:
    """Cannot be called in another process than that."""
    if pid != os.getpid():
        raise RuntimeError("another process")
    return "made"


class OnlyHere:
    """Can be read where it was made alone."""

    def __reduce__(self) -> Any:
        return made_in, (os.getpid(),)


class Unreadable(Takes):
    """Leaves a trace, and returns what only its own process can read."""

    def run(self, **inputs: Any) -> dict[str, Any]:
        with open(inputs["x"], "a") as file:
            file.write("x")
        return {"result": OnlyHere()}

    def validate_outputs(self, outputs: dict[str, Any]) -> dict[str, Any]:
        return outputs
