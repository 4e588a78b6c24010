"""Figures of a load test as texts, the same in every kind of report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["COLUMNS", "cells", "milliseconds"]

#: What :func:`cells` gives.
COLUMNS = ("load", "requests/s", "errors", "mean", "p50", "p95", "p99", "max")


def milliseconds(seconds: float) -> str:
    """A time with three digits that mean something.

    Args:
        seconds: The time.

    Example:
        >>> [milliseconds(seconds) for seconds in (1.2345, 0.0504, 0.00123, 0.0000432)]
        ['1234 ms', '50.4 ms', '1.23 ms', '0.043 ms']
    """
    value = seconds * 1e3
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:.{digits}f} ms"


def cells(load: str, result: Mapping[str, Any]) -> list[str]:
    """A row of a table; without a time where nothing succeeded.

    Args:
        load: The load's name.
        result: What ``run_load_test`` has returned.
    """
    percentiles = result.get("percentiles", {})
    times = [result["avg_response_time"], *(percentiles.get(name) for name in ("p50", "p95", "p99"))]
    times.append(result["max_response_time"])
    nothing = result["error_count"] >= result["total_requests"]
    shown = ["–" if seconds is None or nothing else milliseconds(seconds) for seconds in times]
    return [load.replace("_", " "), f"{result['requests_per_second']:.1f}", f"{result['error_rate']:.2f} %", *shown]
