"""The guide's grades, from what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nexus_core.best_practices.figures import milliseconds

__all__ = ["average_grade", "grade_with_reason"]

_POINTS = {"A": 4, "B": 3, "C": 2, "D": 1}

# Grade, the load that decides, and what it has to keep below or above: errors in per cent, seconds, requests/s.
_RULES = (("A", "heavy", 1.0, 1.0, 10.0), ("B", "medium", 2.0, 2.0, 5.0), ("C", "light", 5.0, 5.0, None))


def grade_with_reason(light: Mapping[str, Any], medium: Mapping[str, Any], heavy: Mapping[str, Any]) -> tuple[str, str]:
    """A grade by the guide's limits, and the figures that decided.

    Args:
        light: What ``run_load_test`` has returned for the light load.
        medium: For the medium load.
        heavy: For the heavy load.

    Returns:
        ``"A"`` to ``"D"``, and why.

    Example:
        >>> good = {"error_rate": 0.0, "avg_response_time": 0.01, "requests_per_second": 100.0, "total_requests": 9}
        >>> grade_with_reason(good, good, good)[0]
        'A'
    """
    loads = {"light": light, "medium": medium, "heavy": heavy}
    missed: list[str] = []
    for grade, load, errors, seconds, rate in _RULES:
        found = loads[load]
        problems = _problems(found, errors, seconds, rate)
        if not problems:
            figures = (
                f"{load} load: {found['error_rate']:.2f} % errors, {milliseconds(found['avg_response_time'])} on "
                f"average, {found['requests_per_second']:.1f} requests/s"
            )
            if found.get("answered_from_cache"):
                figures += (
                    f", {found['answered_from_cache']} of {found['total_requests']} from a cache and not by a run"
                )
            return grade, "; ".join([figures, *missed])
        missed.append(f"no {grade}, since under {load} load " + " and ".join(problems))
    return "D", "; ".join(missed)


def _problems(found: Mapping[str, Any], errors: float, seconds: float, rate: float | None) -> list[str]:
    if not found["total_requests"]:
        return ["no request was measured"]
    problems = []
    if found["error_rate"] >= errors:
        problems.append(f"{found['error_rate']:.2f} % failed (limit {errors:g} %)")
    if found["avg_response_time"] >= seconds:
        problems.append(f"a reply took {found['avg_response_time']:.2f} s on average (limit {seconds:g} s)")
    if rate is not None and found["requests_per_second"] <= rate:
        problems.append(f"{found['requests_per_second']:.1f} requests/s were answered (limit {rate:g})")
    return problems


def average_grade(grades: Iterable[str | None]) -> str | None:
    """The grade nearest to the average; of two that are as near, the worse. ``None`` if there are none.

    Args:
        grades: Grades; ``None`` of what was not graded.

    Example:
        >>> average_grade(["A", "B"])
        'B'
    """
    points = [_POINTS[grade] for grade in grades if grade is not None]
    if not points:
        return None
    mean = sum(points) / len(points)
    return min(_POINTS, key=lambda grade: (abs(_POINTS[grade] - mean), _POINTS[grade]))
