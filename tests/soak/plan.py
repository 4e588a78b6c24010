"""The workflow of the soak tests, and what each run of it is asked to do."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import Any

from kailash.nodes.base import NodeParameter
from kailash.nodes.base_async import AsyncNode
from kailash.nodes.code.python import PythonCodeNode
from kailash.workflow.graph import Workflow

RUNS = int(os.environ.get("NEXUS_SOAK_RUNS", "10000"))
TENTHS = 10
AT_ONCE = 16

# Long enough that a run which is not stopped is still there when the accounts are taken.
FOR_EVER = 600.0
MIDWAY = 0.01
SETTLING = 20.0
"""Seconds that what was stopped gets to end."""
LIMIT = 60 + RUNS // 50
"""Seconds for everything; what hangs gets no more."""


class Waiting(AsyncNode):
    """Waits as long as it is told to, and fails if it is told to."""

    def get_parameters(self) -> dict[str, NodeParameter]:
        names = {"number": int, "ending": str, "waits": float, "blocks": float, "begun": Any}
        return {
            name: NodeParameter(name=name, type=kind, required=False, description=name) for name, kind in names.items()
        }

    async def async_run(self, **inputs: Any) -> dict[str, Any]:
        await asyncio.sleep(inputs["waits"])
        if inputs["ending"] == "fails while waiting":
            raise LookupError("told to fail")
        return {"result": inputs["number"]}


def soaked_workflow() -> Workflow:
    """Synchronous and asynchronous nodes, two of which may run at the same time."""
    workflow = Workflow("soaked", "soaked")
    workflow.add_node("begin", PythonCodeNode(name="begin", code="result = number"))
    workflow.add_node("waiting", Waiting(name="waiting"))
    workflow.add_node(
        "blocking", PythonCodeNode(name="blocking", code="import time\ntime.sleep(blocks)\nresult = number")
    )
    end = "if ending == 'fails at the end':\n    raise ValueError('told to fail')\nresult = number"
    workflow.add_node("end", PythonCodeNode(name="end", code=end))
    for source, target, name in (
        ("begin", "waiting", "begun"),
        ("begin", "blocking", "begun"),
        ("waiting", "end", "waited"),
        ("blocking", "end", "blocked"),
    ):
        workflow.connect(source, target, {"result": name})
    return workflow


@dataclass(frozen=True)
class Order:
    """What one run is to do."""

    number: int
    ending: str
    cancelled: bool
    waits: float = 0.0
    blocks: float = 0.0

    @property
    def inputs(self) -> dict[str, Any]:
        return {"number": self.number, "ending": self.ending, "waits": self.waits, "blocks": self.blocks}

    @property
    def results(self) -> dict[str, Any]:
        """What a run that is fine returns."""
        return {node: {"result": self.number} for node in ("begin", "waiting", "blocking", "end")}


def shares() -> list[list[Order]]:
    """The orders of each tenth."""
    size = RUNS // TENTHS
    return [[order(number) for number in range(start, start + size)] for start in range(0, size * TENTHS, size)]


def order(number: int) -> Order:
    """A third is cancelled midway, in either kind of node; a third fails, in either kind; a third is fine."""
    kind, other = number % 3, number // 3 % 2
    if kind == 0:
        return Order(number, "is fine", cancelled=False)
    if kind == 1:
        return Order(number, ("fails while waiting", "fails at the end")[other], cancelled=False)
    if other:
        return Order(number, "is cancelled", cancelled=True, waits=FOR_EVER)
    return Order(number, "is cancelled", cancelled=True, blocks=2 * MIDWAY)
