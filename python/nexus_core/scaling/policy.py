"""When there are to be more workers, or fewer: one policy, checked."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any

from nexus_core._checks import checked_seconds, checked_whole

__all__ = ["DEFAULT_METRIC", "ScalingPolicy", "check_together"]

#: The guide's.
DEFAULT_METRIC = "cpu_usage"

_OF_THRESHOLDS = ("scale_up_threshold", "scale_down_threshold")
_OF_TARGETS = ("target", "target_per_instance")


@dataclass(frozen=True, slots=True)
class ScalingPolicy:
    """A policy: by thresholds, as in the guide, or by a target that a metric is to be kept at.

    Args:
        name: Its name.
        metric: The metric that it looks at.
        scale_up_threshold: Above it there are to be more workers.
        scale_down_threshold: Below it there are to be fewer.
        min_instances: The fewest workers that it asks for.
        max_instances: The most.
        cooldown_period: Seconds after a change that this policy has asked for, in which it asks for no other.
        scale_up_increment: Workers that are added at once; with a target, at most so many (``None``: any number).
        scale_down_increment: Workers that go at once, likewise.
        enabled: Whether it is looked at.
        target: Instead of thresholds: what the metric is to be for each worker, as ``utilization`` is. There are
            to be as many workers as would bring it there, if it falls as they grow in number.
        target_per_instance: The same for a metric that is a sum, such as ``request_rate`` or ``queue_size``: so
            much for each worker.
        tolerance: With a target, the share by which the metric may exceed it before there are more workers, and by
            which it has to fall short of it with fewer.
        scale_up_cooldown: Instead of ``cooldown_period``, before there are more workers.
        scale_down_cooldown: Instead of ``cooldown_period``, before there are fewer. With a target, the number of
            workers that was needed at any time within it is kept.
        samples: In so many checks after one another the metric has to be beyond a threshold.
        window: Seconds over which the metric is averaged; 0 for its last value. The fewer runs there are from one
            check to the next, the more its values differ by chance, and the longer it has to be. With a target, a
            value of twice as much is no chance: it counts alone.

    Raises:
        TypeError: If a value is of the wrong kind.
        ValueError: If values contradict each other or are out of range.

    Example:
        >>> ScalingPolicy("busy", "utilization", scale_up_threshold=80, scale_down_threshold=30).max_instances
        10
        >>> ScalingPolicy("busy", "utilization", scale_up_threshold=30, scale_down_threshold=80)
        Traceback (most recent call last):
        ValueError: policy 'busy': scale_down_threshold 80 must be below scale_up_threshold 30: between them nothing
        is done, and where they cross there would be no end of changes
    """

    name: str
    metric: str = DEFAULT_METRIC
    scale_up_threshold: float | None = None
    scale_down_threshold: float | None = None
    min_instances: int = 1
    max_instances: int = 10
    cooldown_period: float = 300
    scale_up_increment: int | None = None
    scale_down_increment: int | None = None
    enabled: bool = True
    target: float | None = None
    target_per_instance: float | None = None
    tolerance: float = 0.1
    scale_up_cooldown: float | None = None
    scale_down_cooldown: float | None = None
    samples: int = 1
    window: float = 0

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise TypeError(f"a policy's name must be a string that is not empty, got {self.name!r}")
        if not isinstance(self.metric, str) or not self.metric:
            raise TypeError(self._says(f"metric must be the name of one, got {self.metric!r}"))
        if not isinstance(self.enabled, bool):
            raise TypeError(self._says(f"enabled must be True or False, got {self.enabled!r}"))
        self._check_counts()
        for name in ("cooldown_period", "scale_up_cooldown", "scale_down_cooldown"):
            value = getattr(self, name)
            if value is not None or name == "cooldown_period":
                checked_seconds(self._says(name), value, zero=True)
        checked_seconds(self._says("window"), self.window, zero=True)
        if self.is_tracking:
            self._check_target()
        else:
            self._check_thresholds()

    @classmethod
    def of(cls, name: Any, config: Any) -> ScalingPolicy:
        """A policy from a name and the guide's dict.

        Args:
            name: Its name.
            config: Its values by the names of the arguments; what is missing is as in the guide.

        Raises:
            TypeError: If a value is of the wrong kind.
            ValueError: If there is no such argument, or values contradict each other.
        """
        if not isinstance(config, Mapping):
            raise TypeError(f"policy {name!r}: its configuration must be a mapping, got {config!r}")
        known = [field.name for field in fields(cls) if field.name != "name"]
        for key in config:
            if key not in known and key != "name":
                near = difflib.get_close_matches(str(key), known, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
                raise ValueError(f"policy {name!r} has no setting {key!r}; {hint}")
        values = {key: value for key, value in config.items() if key != "name"}
        return cls(name, **values)

    @property
    def is_tracking(self) -> bool:
        """Whether it has a target rather than thresholds."""
        return self.target is not None or self.target_per_instance is not None

    @property
    def up_cooldown(self) -> float:
        """Seconds after a change before there may be more workers."""
        return self.cooldown_period if self.scale_up_cooldown is None else self.scale_up_cooldown

    @property
    def down_cooldown(self) -> float:
        """Seconds after a change before there may be fewer."""
        return self.cooldown_period if self.scale_down_cooldown is None else self.scale_down_cooldown

    def clamped(self, count: int) -> int:
        """The number of workers nearest to ``count`` that is within the limits."""
        return max(self.min_instances, min(self.max_instances, count))

    def as_dict(self) -> dict[str, Any]:
        """The guide's keys, and of the others those that are set."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        guides = list(found)[:10]
        plain = {field.name: field.default for field in fields(self)}
        return {key: value for key, value in found.items() if key in guides or value != plain[key]}

    # --- checks -----------------------------------------------------------------------

    def _says(self, what: str) -> str:
        return f"policy {self.name!r}: {what}"

    def _check_counts(self) -> None:
        checked_whole(self._says("min_instances"), self.min_instances, 1)
        checked_whole(self._says("max_instances"), self.max_instances, 1)
        if self.min_instances > self.max_instances:
            raise ValueError(
                self._says(f"min_instances {self.min_instances!r} is more than max_instances {self.max_instances!r}")
            )
        checked_whole(self._says("samples"), self.samples, 1)
        for name in ("scale_up_increment", "scale_down_increment"):
            if getattr(self, name) is not None:
                checked_whole(self._says(name), getattr(self, name), 1)
            elif not self.is_tracking:
                object.__setattr__(self, name, 1)

    def _check_target(self) -> None:
        given = [name for name in (*_OF_TARGETS, *_OF_THRESHOLDS) if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(self._says(f"it has {' and '.join(given)}; give one target, or the two thresholds"))
        value = _number(self._says(given[0]), getattr(self, given[0]))
        if value <= 0:
            raise ValueError(self._says(f"{given[0]} must be more than 0, got {value!r}"))
        tolerance = _number(self._says("tolerance"), self.tolerance)
        if not 0 <= tolerance < 1:
            raise ValueError(self._says(f"tolerance must be from 0 to below 1, got {tolerance!r}"))

    def _check_thresholds(self) -> None:
        for name, guides in zip(_OF_THRESHOLDS, (70, 30), strict=True):
            if getattr(self, name) is None:
                object.__setattr__(self, name, guides)
            _number(self._says(name), getattr(self, name))
        up, down = self.scale_up_threshold, self.scale_down_threshold
        assert up is not None and down is not None
        if down >= up:
            raise ValueError(
                self._says(
                    f"scale_down_threshold {down!r} must be below scale_up_threshold {up!r}: between them nothing "
                    "is done, and where they cross there would be no end of changes"
                )
            )


def _number(what: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{what} must be a number, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{what} must be finite, got {value!r}")
    return float(value)


def check_together(policies: Collection[ScalingPolicy]) -> None:
    """Whether there is a number of workers that all policies allow.

    Args:
        policies: Those that are enabled.

    Raises:
        ValueError: If the fewest of one are more than the most of another.
    """
    if not policies:
        return
    fewest = max(policies, key=lambda policy: policy.min_instances)
    most = min(policies, key=lambda policy: policy.max_instances)
    if fewest.min_instances > most.max_instances:
        raise ValueError(
            f"policies contradict each other: {fewest.name!r} wants at least {fewest.min_instances} instances, "
            f"{most.name!r} allows {most.max_instances} at the most"
        )
