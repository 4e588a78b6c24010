"""From where on a value is worth an alert."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal

from nexus_core._checks import checked_seconds

__all__ = ["GUIDE", "Threshold", "Thresholds"]

#: The guide's.
GUIDE = {
    "response_time_ms": 5000,
    "memory_usage_percent": 80,
    "cpu_usage_percent": 85,
    "error_rate_percent": 5,
    "queue_size": 100,
}

#: The guide's: beyond so much of the threshold it is a warning, and critical.
_WARNING, _CRITICAL = 1.2, 1.5
#: Inside the threshold by so much of it, an alert is over.
_CLEAR = 0.9


@dataclass(frozen=True, slots=True)
class Threshold:
    """When an alert begins, how severe it is, and when it ends.

    Args:
        value: The threshold itself.
        direction: Whether values ``"above"`` it or ``"below"`` it are worth an alert.
        for_seconds: So long every sample has to be beyond it before the alert begins. Samples in which there was
            nothing to measure do not count, unless they go on for as long; so long they do not end the alert either.
        clear: The alert ends when a value reaches this level; by default a tenth of the
            threshold inside it. In between it goes on, so that it is one alert and not many.
        keep_firing_seconds: So long every sample has to be beyond the clear level before the
            alert ends.
        warning: Values beyond it are a ``"warning"``, others an ``"info"``; by default a fifth
            of the threshold outside it.
        critical: Values beyond it are ``"critical"``; by default half of the threshold outside it.

    Raises:
        TypeError: If a number is none.
        ValueError: If one is not finite or not on the side of the threshold where it makes sense.

    Example:
        >>> cpu = Threshold(85, for_seconds=60, warning=90, critical=97)
        >>> cpu.clear, cpu.severity(92)
        (76.5, 'warning')
    """

    value: float
    direction: Literal["above", "below"] = "above"
    for_seconds: float = 0.0
    clear: float = None  # type: ignore[assignment]
    keep_firing_seconds: float = 0.0
    warning: float = None  # type: ignore[assignment]
    critical: float = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", _checked_number("a threshold", self.value))
        if self.direction not in ("above", "below"):
            raise ValueError(f"a threshold's direction must be 'above' or 'below', got {self.direction!r}")
        for name in ("for_seconds", "keep_firing_seconds"):
            checked_seconds(name, getattr(self, name), zero=True)
        for name, factor in (("clear", _CLEAR), ("warning", _WARNING), ("critical", _CRITICAL)):
            given = getattr(self, name)
            level = self._level(factor) if given is None else _checked_number(f"the {name} level", given)
            object.__setattr__(self, name, level)
        levels = (self.clear, self.value, self.warning, self.critical)
        if list(levels) != sorted(levels, reverse=self.direction == "below"):
            raise ValueError(
                f"an alert on values {self.direction} {self.value!r} needs its levels in the order clear "
                f"{self.clear!r}, threshold {self.value!r}, warning {self.warning!r}, critical {self.critical!r}"
            )

    @property
    def silence_seconds(self) -> float:
        """So long an alert goes on while there is nothing to measure."""
        return max(self.for_seconds, self.keep_firing_seconds)

    def exceeded(self, value: float) -> bool:
        """Whether a value is beyond the threshold."""
        return self._beyond(value, self.value)

    def cleared(self, value: float) -> bool:
        """Whether a value ends an alert."""
        return value <= self.clear if self.direction == "above" else value >= self.clear

    def severity(self, value: float) -> str:
        """How severe a value is: ``"critical"``, ``"warning"`` or ``"info"``."""
        if self._beyond(value, self.critical):
            return "critical"
        return "warning" if self._beyond(value, self.warning) else "info"

    def _beyond(self, value: float, level: float) -> bool:
        return value > level if self.direction == "above" else value < level

    def _level(self, factor: float) -> float:
        away = (factor - 1) * abs(self.value)
        return self.value + away if self.direction == "above" else self.value - away


class Thresholds(MutableMapping[str, float]):
    """Thresholds by the names of metrics: read as numbers, set as numbers or as a `Threshold`.

    Args:
        known: Tells the names that metrics may have.
        given: Thresholds to begin with.
    """

    def __init__(self, known: Callable[[], Iterable[str]], given: Mapping[str, Any]) -> None:
        self._known = known
        self._rules: dict[str, Threshold] = {}
        self._rules.update({name: self._checked(name, value) for name, value in given.items()})

    def __getitem__(self, name: str) -> float:
        return self._rules[name].value

    def __setitem__(self, name: str, value: float | Threshold) -> None:
        self._rules[name] = self._checked(name, value)

    def __delitem__(self, name: str) -> None:
        del self._rules[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rules.copy())

    def __len__(self) -> int:
        return len(self._rules)

    def __repr__(self) -> str:
        return repr({name: rule.value for name, rule in self.rules().items()})

    def rule(self, name: str) -> Threshold:
        """The threshold with all that belongs to it.

        Args:
            name: Of a metric.

        Raises:
            KeyError: If it has none.
        """
        return self._rules[name]

    def rules(self) -> dict[str, Threshold]:
        """All of them, as they are now."""
        return self._rules.copy()

    def _checked(self, name: Any, value: Any) -> Threshold:
        known = list(self._known())
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}."
            raise ValueError(f"no metric is called {name!r}; {hint} For one of your own, call collect(name, ...) first")
        if isinstance(value, Threshold):
            return value
        return Threshold(_checked_number(f"the threshold of {name}", value))


def _checked_number(what: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{what} must be a number, got {value!r}")
    try:
        number = int(value) if isinstance(value, Integral) else float(value)
        finite = math.isfinite(number)
    except OverflowError:
        raise ValueError(f"{what} must be finite, got one that is too large") from None
    if not finite:
        raise ValueError(f"{what} must be finite, got {value!r}")
    return number
