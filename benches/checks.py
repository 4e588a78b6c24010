"""A benchmark's first run is checked: a peer that computes something else is not faster, it is wrong."""

from __future__ import annotations

from typing import Any

from workloads import Graph


def check_values(graph: Graph, got: dict[str, Any]) -> None:
    expected = graph.expected()
    if got == expected:
        return
    wrong = [name for name in expected if got.get(name) != expected[name]][:3]
    detail = ", ".join(f"{name}: {got.get(name)!r} instead of {expected[name]!r}" for name in wrong)
    raise AssertionError(f"{graph.title}: wrong results ({detail or 'nodes that do not exist'})")
