"""What a node has changed in this process while it ran: what it must not, if it is to go elsewhere by itself."""

from __future__ import annotations

import hashlib
import random
import sys
from typing import Any

from kailash.nodes.code.python import PythonCodeNode

from nexus_core.processes.node_state import pictures
from nexus_core.processes.static_look import Look
from nexus_core.shipping.values import pack

__all__ = ["WatchedRun"]


class WatchedRun:
    """What is there before a node runs.

    Others may change the same things meanwhile, which is taken for the node's doing: it stays.

    Args:
        node: The node.
        inputs: What it is given.

    Raises:
        NotShippable: If its inputs cannot be pickled.
    """

    def __init__(self, node: Any, inputs: dict[str, Any]) -> None:
        self._node = node
        self._used = list(Look(node).used.values())
        self._inputs = _digest(inputs)
        self._state = self._of_node()
        self._held = self._of_used()
        self._random = _random_numbers()

    def difference(self, inputs: dict[str, Any]) -> str | None:
        """What has changed since, that would not have changed here if the node had run elsewhere.

        Args:
            inputs: What it was given.
        """
        if _digest(inputs) != self._inputs:
            return "it changes its inputs"
        if self._of_node() != self._state:
            return "it changes itself"
        for before, now in zip(self._held, self._of_used(), strict=True):
            if before.keys() != now.keys() or any(now[name] is not held for name, held in before.items()):
                return "it changes modules or classes"
        if _random_numbers() != self._random:
            return "it draws from the random numbers of this process"
        return None

    def _of_node(self) -> Any:
        # Kailash's own holds nothing of a run.
        return None if type(self._node) is PythonCodeNode else pictures(self._node)

    def _of_used(self) -> list[dict[str, Any]]:
        return [dict(vars(each)) for each in self._used]


def _digest(value: Any) -> bytes:
    packed = pack(value)
    state = hashlib.blake2b(packed.header, digest_size=32)
    for buffer in packed.buffers:
        state.update(buffer.raw() if hasattr(buffer, "raw") else buffer)
    return state.digest()


def _random_numbers() -> tuple[Any, ...]:
    numpy = sys.modules.get("numpy.random")
    state = () if numpy is None else numpy.get_state(legacy=False)
    return random.getstate(), repr(state)
