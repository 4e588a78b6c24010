"""Workflows that runs have in common."""

from __future__ import annotations

from collections.abc import Iterable

from nexus_core.tracing.model import RunTrace

__all__ = ["shapes"]


def shapes(runs: Iterable[RunTrace]) -> tuple[list[RunTrace], list[int]]:
    """Tells runs of the same workflow from those of others, by its name, nodes and edges.

    Args:
        runs: The runs.

    Returns:
        A run of each workflow, and for each run the position of its own.
    """
    found: list[RunTrace] = []
    numbers = []
    # Runs that share their nodes, as most do, need not be compared.
    by_identity: dict[tuple[str, int, int], int] = {}
    by_content: dict[object, int] = {}
    for run in runs:
        identity = (run.workflow, id(run.nodes), id(run.edges))
        number = by_identity.get(identity)
        if number is None:
            content = (run.workflow, tuple(map(tuple, run.nodes)), tuple(map(tuple, run.edges)))
            number = by_identity[identity] = by_content.setdefault(content, len(found))
            if number == len(found):
                found.append(run)
        numbers.append(number)
    return found, numbers
