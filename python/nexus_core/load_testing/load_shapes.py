"""How requests come: from users who wait for their replies, or at times of their own."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from nexus_core._checks import checked_seconds, checked_whole

__all__ = ["ClosedLoop", "LoadShape", "OpenLoop"]

_THINKING = ("constant", "exponential")
_ARRIVALS = ("constant", "poisson")


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """A closed loop: a number of users, each of whom waits for a reply before asking again.

    A slow server slows its users down, so that they ask less often while it is slow; what others
    would have waited is not in the figures. For that, :class:`OpenLoop`.

    Attributes:
        users: How many.
        think_time: Seconds from a reply to the next request of the same user.
        thinking: ``"constant"`` or ``"exponential"``, with ``think_time`` for its mean.
        seed: Of the random think times.

    Raises:
        TypeError: If a number is none.
        ValueError: If a number is out of range.

    Example:
        >>> ClosedLoop(10, think_time=0.1).describe()
        '10 users who think for 0.1 s (constant)'
    """

    users: int = 10
    think_time: float = 0.0
    thinking: Literal["constant", "exponential"] = "constant"
    seed: int = 0

    def __post_init__(self) -> None:
        checked_whole("users", self.users, 1)
        checked_seconds("think_time", self.think_time, zero=True)
        if self.thinking not in _THINKING:
            raise ValueError(f"thinking must be 'constant' or 'exponential', got {self.thinking!r}")

    def think_times(self, user: int) -> Iterator[float]:
        """The think times of one user, without end, in seconds.

        Args:
            user: Which one, from 0.
        """
        source = random.Random(f"{self.seed}/{user}")
        while True:
            yield source.expovariate(1 / self.think_time) if self._random else self.think_time

    @property
    def _random(self) -> bool:
        return self.thinking == "exponential" and self.think_time > 0

    def describe(self) -> str:
        """The shape in words."""
        who = f"{self.users} user{'s' if self.users > 1 else ''}"
        return f"{who} who think for {self.think_time:g} s ({self.thinking})" if self.think_time else who


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """An open loop: requests begin at times of their own, whether earlier ones were answered or not.

    A latency counts from the time at which the request was to begin. So a server that stands
    still for a second makes all that were to come meanwhile late by what is left of it, as it
    would for real clients, instead of only the one that was sent (coordinated omission).

    Attributes:
        rate: Requests a second.
        arrivals: ``"constant"`` for equal distances, ``"poisson"`` for independent clients.
        max_in_flight: Requests that may be unanswered at once. More begin late, which the result
            says, and still count from when they were to begin.
        seed: Of the random arrivals.

    Raises:
        TypeError: If a number is none.
        ValueError: If a number is out of range.

    Example:
        >>> import itertools
        >>> list(itertools.islice(OpenLoop(4).offsets(), 3))
        [0.0, 0.25, 0.5]
        >>> OpenLoop(50, "poisson").describe()
        '50 requests a second (poisson)'
    """

    rate: float
    arrivals: Literal["constant", "poisson"] = "constant"
    max_in_flight: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        checked_seconds("rate", self.rate, what="a number of requests a second")
        checked_whole("max_in_flight", self.max_in_flight, 1)
        if self.arrivals not in _ARRIVALS:
            raise ValueError(f"arrivals must be 'constant' or 'poisson', got {self.arrivals!r}")

    def offsets(self) -> Iterator[float]:
        """When requests are to begin, without end, in seconds after the start."""
        if self.arrivals == "constant":
            number = 0
            while True:
                # Not by adding up: the error would grow.
                yield number / self.rate
                number += 1
        source = random.Random(self.seed)
        offset = 0.0
        while True:
            offset += source.expovariate(self.rate)
            yield offset

    def describe(self) -> str:
        """The shape in words."""
        return f"{self.rate:g} requests a second ({self.arrivals})"


LoadShape = ClosedLoop | OpenLoop
