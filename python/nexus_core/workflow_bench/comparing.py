"""Whether two runs came to the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Outcome", "differences", "same"]

_DEEPEST = 100


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: with results, or with an error."""

    results: Mapping[str, Any] | None
    error: BaseException | None = None

    @property
    def failure(self) -> str | None:
        """What failed, in a line: the run, or a last node, whose error Kailash records in the place of its output."""
        if self.error is not None:
            return _line(f"{type(self.error).__name__}: {self.error}")
        for node, output in (self.results or {}).items():
            if isinstance(output, dict) and output.get("failed") is True and "error" in output:
                return _line(f"node {node}: {output['error']}")
        return None


def _line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 200 else text[:199] + "…"


def differences(one: Outcome, other: Outcome) -> list[str]:
    """Where two runs differ.

    Args:
        one: The first.
        other: The second.

    Returns:
        The ids of nodes whose outputs differ, or that one run has alone; ``"outcome"`` where only one
        failed, or both with errors of different types or texts; empty if they are the same.

    Example:
        >>> differences(Outcome({"a": 1, "b": 2}), Outcome({"a": 1, "b": 3}))
        ['b']
    """
    if one.results is None or other.results is None:
        alike = type(one.error) is type(other.error) and str(one.error) == str(other.error)
        return [] if one.results is other.results and alike else ["outcome"]
    nodes = dict.fromkeys([*one.results, *other.results])
    return [
        node
        for node in nodes
        if node not in one.results or node not in other.results or not _alike(one.results[node], other.results[node])
    ]


def _alike(one: Any, other: Any) -> bool:
    try:
        return same(one, other)
    except Exception:  # a value of the user's own that cannot be compared is not known to be the same
        return False


def same(one: Any, other: Any, depth: int = 0) -> bool:
    """Whether two values are the same, types included; not a number is itself, and arrays are compared by element.

    Args:
        one: The first.
        other: The second.
        depth: How deep they lie; beyond 100 nothing is the same.

    Example:
        >>> same({"a": [float("nan")]}, {"a": [float("nan")]}), same(1, True)
        (True, False)
    """
    if one is other:
        return True
    if type(one) is not type(other) or depth > _DEEPEST:
        return False
    if isinstance(one, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key], depth + 1) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(same(a, b, depth + 1) for a, b in zip(one, other, strict=True))
    equals = getattr(type(one), "equals", None)
    if callable(equals):  # a frame or series of pandas or polars
        return bool(equals(one, other))
    if hasattr(type(one), "__array__") and hasattr(type(one), "dtype"):
        return _same_arrays(one, other)
    if bool(one == other):
        return True
    # Made anew by each run, and without a notion of equality: what is in them counts.
    return (
        getattr(type(one), "__eq__", None) is object.__eq__
        and hasattr(one, "__dict__")
        and same(vars(one), vars(other), depth + 1)
    )


def _same_arrays(one: Any, other: Any) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    equal = one == other
    if getattr(one.dtype, "kind", "f") in "fc":  # a tensor's type has no kind
        equal = equal | ((one != one) & (other != other))
    return bool(equal.all())
