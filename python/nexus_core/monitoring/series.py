"""Values over time, of which the last are kept; read while another thread adds to them."""

from __future__ import annotations

from collections import deque
from collections.abc import ItemsView, Iterator, KeysView, ValuesView

__all__ = ["Point", "SeriesByName", "TimeSeries", "moment_of"]


class Point(tuple[float, float]):
    """A time and a value.

    Args:
        time: Seconds since 1970.
        value: What was measured.
        runs: Of how many runs it is the mean or the share; ``None`` for what is not about runs.
        moment: The time by a clock that is never set; by default the time.
    """

    runs: int | None
    moment: float

    def __new__(cls, time: float, value: float, runs: int | None = None, moment: float | None = None) -> Point:
        self = super().__new__(cls, (time, value))
        self.runs = runs
        self.moment = time if moment is None else moment
        return self

    def __getnewargs__(self) -> tuple[float, float, int | None, float]:
        return (*self, self.runs, self.moment)


class TimeSeries(deque[tuple[float, float]]):
    """A deque that may be iterated while it grows: what is seen is how it was at the beginning."""

    def __iter__(self) -> Iterator[tuple[float, float]]:
        while True:
            try:
                return iter(tuple(super().__iter__()))
            except RuntimeError:  # it grew just now
                continue

    def __reversed__(self) -> Iterator[tuple[float, float]]:
        return reversed(tuple(self))


class SeriesByName(dict[str, TimeSeries]):
    """Series by the names of metrics, iterated as they are at the beginning; an unknown name has an empty one.

    Args:
        max_points: Points that each keeps.
    """

    def __init__(self, max_points: int) -> None:
        super().__init__()
        self.max_points = max_points

    def __missing__(self, name: str) -> TimeSeries:
        return TimeSeries(maxlen=self.max_points)

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        return self._now().keys()

    def values(self) -> ValuesView[TimeSeries]:  # type: ignore[override]
        return self._now().values()

    def items(self) -> ItemsView[str, TimeSeries]:  # type: ignore[override]
        return self._now().items()

    def _now(self) -> dict[str, TimeSeries]:
        while True:
            try:
                return dict(tuple(super().items()))
            except RuntimeError:  # there is one more since
                continue

    def add(self, name: str, point: Point) -> None:
        """Adds a point to the series of that name, and drops the oldest beyond the bound."""
        if name not in self:
            self[name] = TimeSeries(maxlen=self.max_points)
        self[name].append(point)

    def since(self, moment: float) -> dict[str, list[tuple[float, float]]]:
        """By name the points from that moment on, where there are any."""
        found = {name: [point for point in series if moment_of(point) >= moment] for name, series in self.items()}
        return {name: points for name, points in found.items() if points}


def moment_of(point: tuple[float, float]) -> float:
    """When a point was measured, by a clock that is never set if it knows that."""
    return float(getattr(point, "moment", point[0]))
