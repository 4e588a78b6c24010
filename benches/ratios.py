"""What a comparison of two series of measurements says."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """A ratio of two figures that were taken one after the other, over all passes."""

    median: float
    low: float
    high: float
    best: float
    """The same ratio of the two best rounds of all passes."""


def spread(values: Sequence[float], best: float) -> Ratio:
    return Ratio(statistics.median(values), min(values), max(values), best)
