"""Nodes as options of runtimes name them: ``"node"``, or ``"workflow/node"``."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

__all__ = ["no_such_node", "unknown_node"]

#: Nodes that a message lists.
_MOST = 12


def unknown_node(where: str, names: Iterable[str], workflow: str, node_ids: Collection[str]) -> str | None:
    """Which of some names is of no node that there is, and what nodes there are.

    Args:
        where: By what they are named.
        names: As they were given; those of other workflows, which are not looked at, begin with these' names.
        workflow: The workflow's name.
        node_ids: Its nodes.

    Returns:
        What is wrong; ``None`` if nothing is.

    Example:
        >>> unknown_node("annotations", ["load", "nightly/sum", "other/mean"], "nightly", ["load", "sum"])
        >>> unknown_node("annotations", ["nightly/x"], "nightly", ["load", "sum"])
        "annotations names 'nightly/x', and workflow 'nightly' has no such node. Its nodes are 'load', 'sum'"
    """
    prefix = f"{workflow}/"
    for name in names:
        if name in node_ids or name.removeprefix(prefix) in node_ids or ("/" in name and not name.startswith(prefix)):
            continue
        told = no_such_node(where, name, workflow, node_ids)
        return told if "/" in name else f"{told}. If it is another workflow's, name it as 'workflow/node'"
    return None


def no_such_node(where: str, name: object, workflow: str, node_ids: Collection[str]) -> str:
    """What is said of a node that is not there.

    Args:
        where: By what it is named.
        name: What it is called there.
        workflow: The workflow's name.
        node_ids: Its nodes.

    Example:
        >>> no_such_node("isolation", "nightly/sun", "nightly", ["sum"])
        "isolation names 'nightly/sun', and workflow 'nightly' has no such node (did you mean 'sum'?). Its nodes are 'sum'"
    """
    listed = ", ".join(map(repr, list(node_ids)[:_MOST])) or "none"
    if len(node_ids) > _MOST:
        listed += f" and {len(node_ids) - _MOST} more"
    wanted = name.removeprefix(f"{workflow}/") if isinstance(name, str) else ""
    close = get_close_matches(wanted, node_ids, 1)
    meant = f" (did you mean {close[0]!r}?)" if close else ""
    return f"{where} names {name!r}, and workflow {workflow!r} has no such node{meant}. Its nodes are {listed}"
