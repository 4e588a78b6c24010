"""Scalers of this process that would scale the same thing: the one that was started first does."""

from __future__ import annotations

import itertools
import weakref
from typing import TYPE_CHECKING, Any

from nexus_core.scaling.targets import is_same

if TYPE_CHECKING:
    from nexus_core.auto_scaler import AutoScaler

__all__ = ["Rivals"]


class Rivals:
    """The scalers that are open; it keeps none of them alive.

    There is no lock: a scaler may be closed by a finaliser, in the middle of any of this, or the process forked.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        # By the scaler's identity: itself, and when it was started, by a number: a time may be the same for two.
        self._open: dict[int, tuple[weakref.ref[AutoScaler], int]] = {}

    def add(self, scaler: AutoScaler) -> None:
        """One more is open."""
        key, known = id(scaler), self._open
        # Called before another can have its identity.
        self._open[key] = weakref.ref(scaler, lambda _: known.pop(key, None)), 0

    def discard(self, scaler: AutoScaler) -> None:
        """It is closed."""
        self._open.pop(id(scaler), None)

    def started(self, scaler: AutoScaler) -> None:
        """It runs from now on, after all that run already."""
        known = self._open.get(id(scaler))
        if known is not None:
            self._open[id(scaler)] = known[0], next(self._numbers)

    def all(self) -> list[AutoScaler]:
        """Those that are open."""
        return [scaler for scaler, _ in self._known()]

    def before(self, scaler: AutoScaler, target: Any) -> str | None:
        """Who scales a target before a scaler does, in words.

        Args:
            scaler: The scaler.
            target: The target.

        Returns:
            ``None`` if nobody does: one that only looks on (``dry_run``), or that nobody has started, does not.
        """
        known = self._known()
        mine = next((started for each, started in known if each is scaler), 0)
        for other, started in known:
            is_later = scaler.is_running and mine < started
            if other is scaler or other.dry_run or not other.is_running or is_later:
                continue
            if is_same(target, other._controller.target()):
                whose = "the app" if other.app is scaler.app else "another app"
                return (
                    f"another AutoScaler of {whose} scales that already; stop it, or give it the policy, too "
                    "(one with dry_run=True may look on)"
                )
        return None

    def _known(self) -> list[tuple[AutoScaler, int]]:
        # A list of them first, in one step: they may become others meanwhile.
        entries = list(self._open.values())
        return [(scaler, started) for reference, started in entries if (scaler := reference()) is not None]
