"""Loads whose rate changes while they last, for the load tester: a daily wave takes seconds here."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from nexus_core.load_testing import OpenLoop

Rate = Callable[[float], float]


@dataclass(frozen=True)
class Shape:
    """A load: requests a second at each moment.

    Attributes:
        name: For files and tables.
        title: For people.
        seconds: How long it lasts.
        rate: Requests a second, so many seconds after the beginning.
        highest: The most that it ever asks for.
    """

    name: str
    title: str
    seconds: float
    rate: Rate
    highest: float

    def faster(self, times: float) -> Shape:
        """The same in less time."""
        rate = self.rate
        return replace(self, seconds=self.seconds / times, rate=lambda t: rate(t * times))


SHAPES = (
    Shape("steady", "Steady load", 24, lambda t: 60.0, 60),
    Shape("step", "A step", 30, lambda t: 20.0 if t < 8 else 110.0 if t < 20 else 20.0, 110),
    Shape("ramp", "A ramp", 36, lambda t: 10 + 110 * min(1.0, t / 30), 120),
    Shape("spike", "A spike", 26, lambda t: 160.0 if 10 <= t < 14 else 20.0, 160),
    Shape("wave", "Two days of 24 s", 48, lambda t: 65 - 55 * math.cos(math.tau * t / 24), 120),
)


@dataclass(frozen=True, slots=True)
class ShapedLoop(OpenLoop):
    """Requests of independent clients at a rate that changes."""

    rate_at: Rate = lambda t: 1.0

    def offsets(self) -> Iterator[float]:
        """Thinned from the highest rate: Lewis and Shedler's method."""
        source, offset = random.Random(self.seed), 0.0
        while True:
            offset += source.expovariate(self.rate)
            if source.random() * self.rate <= self.rate_at(offset):
                yield offset


def load_of(shape: Shape, seed: int = 0) -> ShapedLoop:
    return ShapedLoop(shape.highest, "poisson", 100_000, seed, rate_at=shape.rate)
