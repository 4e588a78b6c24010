"""Response times of queues: by formula, and of one course of arrivals exactly."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

__all__ = ["exponential_quantile", "lindley", "md1_quantile", "rank"]


def rank(values: Iterable[float], share: float) -> float:
    """The value that a share of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(1, math.ceil(round(share * len(ordered), 6))) - 1]


def lindley(arrivals: Iterable[float], services: Iterable[float]) -> list[float]:
    """Response times of one server that serves one after the other."""
    free_at = -math.inf
    found: list[float] = []
    for arrival, service in zip(arrivals, services, strict=False):
        free_at = max(arrival, free_at) + service
        found.append(free_at - arrival)
    return found


def exponential_quantile(mean: float) -> Callable[[float], float]:
    """Of response times that are exponential: service without a line, and M/M/1."""
    return lambda share: -math.log(1 - share) * mean


def md1_quantile(rate: float, service: float) -> Callable[[float], float]:
    """Of the response times in M/D/1, by Erlang's series for the wait."""

    def waits_no_longer(time: float) -> float:
        total = 0.0
        for number in range(int(time / service) + 1):
            reach = rate * (number * service - time)
            total += reach**number / math.factorial(number) * math.exp(-reach)
        return (1 - rate * service) * total

    def quantile(share: float) -> float:
        low, high = 0.0, 40 * service
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (low, middle) if waits_no_longer(middle) >= share else (middle, high)
        return service + high

    return quantile
