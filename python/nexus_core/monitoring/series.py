"""Values over time, of which the last are kept; read while another thread adds to them."""

from __future__ import annotations

from collections import deque
from collections.abc import ItemsView, Iterator, KeysView, ValuesView

__all__ = ["Point", "SeriesByName", "TimeSeries"]


class Point(tuple[float, float]):
    """A time and a value.

    Args:
        time: Seconds since 1970.
        value: What was measured.
        runs: Of how many runs it is the mean or the share; ``None`` for what is not about runs.
    """

    runs: int | None

    def __new__(cls, time: float, value: float, runs: int | None = None) -> Point:
        self = super().__new__(cls, (time, value))
        self.runs = runs
        return self

    def __getnewargs__(self) -> tuple[float, float, int | None]:
        return (*self, self.runs)


class TimeSeries(deque[tuple[float, float]]):
    """A deque that may be iterated while it grows: what is seen is how it was at the beginning."""

    def __iter__(self) -> Iterator[tuple[float, float]]:
        while True:
            try:
                return iter(tuple(super().__iter__()))
            except RuntimeError:  # it grew just now
                continue


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
