"""Ids of nodes that somebody has named, and that a workflow does not have."""

from __future__ import annotations

from collections.abc import Iterable

from nexus_core._node_names import no_such_node
from nexus_core.errors import IsolationError

__all__ = ["check_named"]


def check_named(listed: object, where: str, workflow_name: str, node_ids: tuple[str, ...]) -> None:
    """Whether all that is named is there.

    Args:
        listed: Ids, or values by id; anything else names nobody.
        where: What they are listed in.
        workflow_name: The name of the workflow.
        node_ids: The workflow's nodes.

    Raises:
        IsolationError: If one is not.
    """
    if isinstance(listed, Iterable) and not isinstance(listed, (str, bytes)):
        for name in listed:
            if name not in node_ids:
                raise IsolationError(no_such_node(where, name, workflow_name, node_ids))
