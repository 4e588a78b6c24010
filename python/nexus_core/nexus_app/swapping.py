"""Runtimes taken out of their places, and put back."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from nexus_core.nexus_app.places import Place

__all__ = ["Swap"]

_log = logging.getLogger("nexus_core.attach")


@dataclass(slots=True)
class _Before:
    """What a place held before.

    Attributes:
        place: The place; it keeps the holder alive, and with it the key.
        runtime: What it held, with the place's reference on it if it counts.
        closed: For a runtime that has been closed: tells the places that held it, for all of
            which it is made anew once.
    """

    place: Place
    runtime: Any
    closed: int | None


class Swap:
    """Puts one runtime in many places, and afterwards gives each place what it had.

    A runtime that Kailash made itself, and that nobody outside the places holds, is closed and
    made anew in the end. Any other is kept open by the references that its places had.

    Args:
        runtime: What to put in the places.
    """

    def __init__(self, runtime: Any) -> None:
        self.runtime = runtime
        self._pending: list[tuple[Place, Any]] = []
        self._before: dict[tuple[int, str], _Before] = {}

    def put(self, place: Place) -> None:
        """Puts the runtime in a place; what was there waits for ``commit`` or ``roll_back``."""
        old = place.get()
        if place.key in self._before or (old is None and not place.fill):
            return
        if place.counted:
            self.runtime.acquire()
        try:
            place.put(self.runtime)
        except BaseException:
            if place.counted:
                self.runtime.release()
            raise
        self._pending.append((place, old))

    def replaced(self) -> list[Any]:
        """The runtimes that have been taken out since the last ``commit``."""
        return [old for _, old in self._pending]

    def mark(self) -> int:
        """How far ``put`` has come; for ``roll_back``."""
        return len(self._pending)

    def roll_back(self, mark: int = 0) -> None:
        """Undoes every ``put`` since the mark."""
        while len(self._pending) > mark:
            place, old = self._pending.pop()
            place.put(old)
            if place.counted:
                self.runtime.release()

    def commit(self) -> None:
        """Closes, or keeps for later, what the places held."""
        held: dict[int, list[tuple[Place, Any]]] = {}
        for place, old in self._pending:
            held.setdefault(id(old), []).append((place, old))
        self._pending.clear()
        for shared, group in held.items():
            runtime = group[0][1]
            counted = [place for place, _ in group if place.counted]
            kailashs_own = any(place.own for place in counted)
            closes = kailashs_own and runtime is not self.runtime and runtime.ref_count == len(counted)
            # A workflow's own runtime leaves no trace: workflows come and go by the thousand.
            if not (closes and len(group) == 1):
                for place, _ in group:
                    before = _Before(place, None, shared) if closes else _Before(place, runtime, None)
                    self._before[place.key] = before
            if closes:
                for _ in counted:
                    _quietly_release(runtime)

    def take_back(self, places: Iterable[Place], fallback: Place) -> None:
        """Gives each place what it had, or what Kailash would have put there meanwhile.

        Args:
            places: All places of the app as it is now, ``fallback`` first.
            fallback: Whose runtime a place gets of which nothing else is known.
        """
        anew: dict[int, Any] = {}
        for place in list(places):
            before = self._before.pop(place.key, None)
            if place.get() is not self.runtime:
                if before is not None:  # somebody has put another runtime there, or closed the place
                    self._let_go(before)
                continue
            place.put(self._returned(place, before, fallback, anew))
            if place.counted:
                _quietly_release(self.runtime)
        self.let_go()

    def let_go(self) -> None:
        """Releases what is kept for places that are not there any more."""
        while self._before:
            self._let_go(self._before.popitem()[1])

    def _returned(self, place: Place, before: _Before | None, fallback: Place, anew: dict[int, Any]) -> Any:
        if before is not None and before.closed is None:
            return before.runtime
        runtime = anew.get(before.closed) if before is not None and before.closed is not None else None
        if runtime is None:
            if place.remake is not None:
                runtime = place.remake()
                if before is not None and before.closed is not None:
                    anew[before.closed] = runtime
                return runtime
            runtime = fallback.get()
        return runtime.acquire() if place.counted and runtime is not None else runtime

    def _let_go(self, before: _Before) -> None:
        if before.closed is None and before.runtime is not None and before.place.counted:
            _quietly_release(before.runtime)


def _quietly_release(runtime: Any) -> None:
    """A runtime whose clean-up fails must not keep the others from theirs."""
    try:
        runtime.release()
    except Exception:
        _log.warning("closing a %s failed", type(runtime).__name__, exc_info=True)
