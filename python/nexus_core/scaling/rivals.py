"""Scalers of this process that would scale the same thing: the one that was started first does."""

from __future__ import annotations

import itertools
import threading
import weakref
from typing import TYPE_CHECKING, Any

from nexus_core.scaling.targets import is_same

if TYPE_CHECKING:
    from nexus_core.auto_scaler import AutoScaler

__all__ = ["Rivals"]


class Rivals:
    """The scalers that are open."""

    def __init__(self) -> None:
        self._scalers: weakref.WeakSet[AutoScaler] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        # By scaler when it was started; a time may be the same for two.
        self._started: weakref.WeakKeyDictionary[AutoScaler, int] = weakref.WeakKeyDictionary()

    def add(self, scaler: AutoScaler) -> None:
        """One more is open."""
        with self._lock:
            self._scalers.add(scaler)

    def discard(self, scaler: AutoScaler) -> None:
        """It is closed."""
        with self._lock:
            self._scalers.discard(scaler)
            self._started.pop(scaler, None)

    def started(self, scaler: AutoScaler) -> None:
        """It runs from now on, after all that run already."""
        with self._lock:
            self._started[scaler] = next(self._numbers)

    def all(self) -> list[AutoScaler]:
        """Those that are open."""
        with self._lock:
            return list(self._scalers)

    def before(self, scaler: AutoScaler, target: Any) -> str | None:
        """Who scales a target before a scaler does, in words.

        Args:
            scaler: The scaler.
            target: The target.

        Returns:
            ``None`` if nobody does: one that only looks on (``dry_run``), or that nobody has started, does not.
        """
        with self._lock:
            others = [(each, self._started.get(each, 0)) for each in self._scalers if each is not scaler]
            mine = self._started.get(scaler, 0)
        for other, started in others:
            is_later = scaler.is_running and mine < started
            if other.dry_run or not other.is_running or is_later:
                continue
            if is_same(target, other._controller.target()):
                whose = "the app" if other.app is scaler.app else "another app"
                return (
                    f"another AutoScaler of {whose} scales that already; stop it, or give it the policy, too "
                    "(one with dry_run=True may look on)"
                )
        return None
