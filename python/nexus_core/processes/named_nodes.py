"""Ids of nodes that somebody has named, and that a workflow does not have."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from nexus_core.errors import IsolationError

__all__ = ["check_named", "no_such_node"]

#: Ids that an error lists at the most.
_MOST_LISTED = 12


def no_such_node(where: str, name: object, workflow_name: str, node_ids: tuple[str, ...]) -> str:
    """What is said of a node that is not there.

    Args:
        where: By what it is named.
        name: What it is called there.
        workflow_name: The name of the workflow.
        node_ids: The workflow's nodes.
    """
    listed = ", ".join(map(repr, node_ids[:_MOST_LISTED]))
    if len(node_ids) > _MOST_LISTED:
        listed += f" and {len(node_ids) - _MOST_LISTED} more"
    wanted = name.removeprefix(f"{workflow_name}/") if isinstance(name, str) else ""
    close = difflib.get_close_matches(wanted, node_ids, 1)
    meant = f" (did you mean {close[0]!r}?)" if close else ""
    return f"{where} names {name!r}, and workflow {workflow_name!r} has no such node{meant}. Its nodes are {listed}"


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
