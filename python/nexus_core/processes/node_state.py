"""What nodes change in themselves while they run in a worker.

It is told to the parent, whose node it is; the worker's goes back to what it was. So a node is the same
whichever worker runs it, and equal nodes of different workflows have nothing to do with one another.
"""

from __future__ import annotations

import pickle
from typing import Any

from nexus_core._node_attributes import KAILASHS_OWN
from nexus_core.shipping.picklers import dumps

__all__ = ["NodeState", "attributes_of", "take_over"]


def attributes_of(node: Any) -> dict[str, Any]:
    """What a node holds that may matter to what it does.

    Args:
        node: The node.
    """
    return {name: value for name, value in vars(node).items() if name not in KAILASHS_OWN}


def take_over(node: Any, changed: dict[str, Any], deleted: list[str]) -> None:
    """Changes a node as it was changed elsewhere.

    Args:
        node: The node.
        changed: Attributes that were set.
        deleted: Attributes that were deleted.
    """
    own = vars(node)
    for name, value in changed.items():
        held = own.get(name)
        # Others may hold the same object.
        if type(held) is dict and type(value) is dict:
            held.clear()
            held.update(value)
        elif type(held) is list and type(value) is list:
            held[:] = value
        else:
            own[name] = value
    for name in deleted:
        own.pop(name, None)


class NodeState:
    """Notices what a node changes in itself.

    Args:
        node: The node, as it was sent.
    """

    def __init__(self, node: Any) -> None:
        self._node = node
        self._before = _pictures(node)

    def set(self, attributes: dict[str, Any]) -> None:
        """Makes the node what it is in the parent now.

        Args:
            attributes: All that :func:`attributes_of` has found there.
        """
        own = vars(self._node)
        for name in attributes_of(self._node).keys() - attributes.keys():
            del own[name]
        own.update(attributes)
        self._before = _pictures(self._node)

    def taken(self) -> tuple[dict[str, Any], list[str]] | None:
        """What the node has set and deleted; afterwards it is as before. ``None`` for nothing."""
        before, after = self._before, _pictures(self._node)
        if before == after:
            return None
        own = vars(self._node)
        changed = {name: own[name] for name, picture in after.items() if before.get(name) != picture}
        deleted = [name for name in before if name not in after]
        for name in changed:
            del own[name]
        for name in (*changed, *deleted):
            picture = before.get(name)
            if isinstance(picture, bytes):
                own[name] = pickle.loads(picture)
            elif picture is not None:
                own[name] = picture[0]
        return changed, deleted


def _pictures(node: Any) -> dict[str, bytes | tuple[Any]]:
    found: dict[str, bytes | tuple[Any]] = {}
    for name, value in attributes_of(node).items():
        try:
            found[name] = dumps(value)
        except Exception:  # it cannot go anywhere, and is compared as it is
            found[name] = (value,)
    return found
