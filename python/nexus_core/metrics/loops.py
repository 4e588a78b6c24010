"""How late event loops are, by samples."""

from __future__ import annotations

import asyncio
import contextvars
import weakref

from nexus_core._core import _Figures

__all__ = ["INTERVAL", "LoopLag"]

#: Seconds between two samples: a loop that has nothing else to do wakes up five times a second.
INTERVAL = 0.2


class LoopLag:
    """Notes how much later than it was due a timer of an event loop is.

    It keeps no loop running or alive, and ends with it, or when it is let go of.

    Args:
        figures: Where it is noted.
        interval: Seconds between two samples.
    """

    def __init__(self, figures: _Figures, interval: float = INTERVAL) -> None:
        self._figures = figures
        self._interval = interval
        self._loops: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
        #: How many attached apps want it, if they are why it is there.
        self.apps = 0

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watches a loop, if it is not watched already. Called on the loop.

        Args:
            loop: The loop.
        """
        if loop not in self._loops:
            self._loops.add(loop)
            self._next(loop)

    def stop(self) -> None:
        """Watches none any more."""
        self._loops.clear()

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + self._interval
        # Not in the context of the run that began it, whose variables would live as long as the loop.
        nothing = contextvars.Context()
        loop.call_at(due, _sample, weakref.ref(self), weakref.ref(loop), due, context=nothing)

    def _sample(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        if loop in self._loops:
            self._figures.lagged(max(loop.time() - due, 0.0))
            self._next(loop)


def _sample(lag: weakref.ref[LoopLag], loop: weakref.ref[asyncio.AbstractEventLoop], due: float) -> None:
    watching, watched = lag(), loop()
    if watching is not None and watched is not None:
        watching._sample(watched, due)
