"""Nodes as options of runtimes name them: ``"node"``, or ``"workflow/node"``."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

__all__ = ["unknown_node"]

#: Nodes that a message lists.
_MOST = 10


def unknown_node(names: Iterable[str], workflow: str, node_ids: Collection[str]) -> str | None:
    """Which of some names is of no node that there is, and what nodes there are.

    Args:
        names: As they were given; those of other workflows, which are not looked at, begin with these' names.
        workflow: The workflow's name.
        node_ids: Its nodes.

    Returns:
        What is wrong; ``None`` if nothing is.

    Example:
        >>> unknown_node(["load", "nightly/sum", "other/mean"], "nightly", ["load", "sum"])
        >>> unknown_node(["nightly/sun"], "nightly", ["load", "sum"])
        "'nightly/sun' names no node of workflow 'nightly', which has 'load', 'sum'; did you mean 'sum'?"
        >>> unknown_node(["mean"], "nightly", ["load", "sum"])
        "'mean' names no node of workflow 'nightly', which has 'load', 'sum'; of another workflow, write 'workflow/mean'"
    """
    prefix = f"{workflow}/"
    for name in names:
        own = name.removeprefix(prefix)
        if name in node_ids or own in node_ids or ("/" in name and not name.startswith(prefix)):
            continue
        listed = ", ".join(map(repr, list(node_ids)[:_MOST])) + (", ..." if len(node_ids) > _MOST else "")
        close = get_close_matches(own, node_ids, 1)
        if close:
            way_out = f"did you mean {close[0]!r}?"
        elif own == name:
            way_out = f"of another workflow, write 'workflow/{name}'"
        else:
            way_out = "correct the name, or leave it out"
        return f"{name!r} names no node of workflow {workflow!r}, which has {listed or 'none'}; {way_out}"
    return None
