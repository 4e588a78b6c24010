"""Times that tell people when, and durations between them that are right even if the system's clock was set."""

from __future__ import annotations

__all__ = ["Timestamp", "moment_of"]


class Timestamp(float):
    """Seconds since 1970.

    Args:
        time: The time.
        moment: The time by a clock that is never set.
    """

    moment: float

    def __new__(cls, time: float, moment: float) -> Timestamp:
        self = super().__new__(cls, time)
        self.moment = moment
        return self

    def __reduce__(self) -> tuple[type[Timestamp], tuple[float, float]]:
        return Timestamp, (float(self), self.moment)


def moment_of(time: float) -> float:
    """When it was by a clock that is never set, if that is known.

    Args:
        time: A `Timestamp`, or any other time.
    """
    return time.moment if isinstance(time, Timestamp) else time
