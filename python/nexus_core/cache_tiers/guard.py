"""Between a tier that may fail and whoever asks: time-outs, circuit breakers, and what is to be told later."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import TypeVar

from nexus_core.cache_tiers.breaker import CircuitBreaker
from nexus_core.cache_tiers.calls import Calls
from nexus_core.cache_tiers.figures import Figures
from nexus_core.cache_tiers.journal import Journal, Removal
from nexus_core.cache_tiers.tier import Tier, TierFailure

__all__ = ["Guard"]

T = TypeVar("T")

_log = logging.getLogger("nexus_core.cache_tiers")

#: Seconds after which a tier that refused to remove is told again, unless there is more to remove.
_TELL_AGAIN = 0.5


class Guard:
    """Calls a tier, and says :class:`TierFailure` within a bounded time whatever the tier does.

    Args:
        tier: The tier.
        name: The cache's name.
        origin: What tells this cache's changes from those of others.
        figures: What it counts into.
        failures: Failures in a row after which the tier is left alone.
        backoff: Seconds for which it is, at first.
        max_backoff: Seconds for which it is, at most.
    """

    def __init__(
        self, tier: Tier, name: str, origin: bytes, figures: Figures, failures: int, backoff: float, max_backoff: float
    ) -> None:
        self.tier = tier
        self.journal = Journal()
        self.origin = origin
        self._name = name
        self._figures = figures
        self._make_breaker = functools.partial(CircuitBreaker, failures, backoff, max_backoff)
        # A tier that is full or can only be read says so at once: one refusal tells enough.
        self._make_write_breaker = functools.partial(CircuitBreaker, 1, backoff, max_backoff)
        self._begin()

    def after_fork(self, origin: bytes) -> None:
        """Has threads and locks of its own; the breakers are closed."""
        self.origin = origin
        self.journal.after_fork()
        self._begin()

    def _begin(self) -> None:
        self.calls = Calls(f"nexus-core-{self._name}", self.tier.max_connections, self.tier.interrupt)
        self.breaker = self._make_breaker()
        self._tell_after = 0.0
        self.write_breaker = self._make_write_breaker()

    @property
    def patience(self) -> float:
        """Seconds that a caller waits at most: for a thread that is free, and for the answer."""
        return self.tier.timeout * 1.5 + 0.05

    def call(
        self,
        work: Callable[[], T],
        *,
        writes: bool = False,
        tells: bool = True,
        late: Callable[[T], object] | None = None,
    ) -> T:
        """The result of a call of the tier, for a thread.

        Args:
            work: Calls the tier.
            writes: Whether it is useless where the tier can only be read.
            tells: Whether the tier is told first of removals that it does not know.
            late: Called with a result that came too late.

        Raises:
            TierFailure: It failed, took too long, or was not tried.
        """
        began = self._admit(writes)
        try:
            result = self.calls.run(functools.partial(self._work, work, tells), self.patience, late)
        except BaseException as error:
            raise self._failed(error) from None
        self._ended(began, writes)
        return result

    async def acall(
        self,
        work: Callable[[], T],
        *,
        writes: bool = False,
        tells: bool = True,
        late: Callable[[T], object] | None = None,
    ) -> T:
        """As `call()`, for a task."""
        began = self._admit(writes)
        try:
            result = await self.calls.arun(functools.partial(self._work, work, tells), self.patience, late)
        except BaseException as error:
            raise self._failed(error) from None
        self._ended(began, writes)
        return result

    def removal(self, *, key: bytes | None = None, tag: str | None = None) -> bool:
        """Removes a key, a tag, or else everything, now or as soon as the tier can be reached.

        Returns:
            Whether a key was there, as far as that is known.
        """
        removal = self.journal.add(key=key, tag=tag, takes=True)
        try:
            return self.call(functools.partial(self.tell, removal), tells=False)
        except TierFailure:
            return False
        finally:
            self.journal.give_back([removal])

    async def aremoval(self, *, key: bytes | None = None, tag: str | None = None) -> bool:
        """As `removal()`, for a task."""
        removal = self.journal.add(key=key, tag=tag, takes=True)
        try:
            return await self.acall(functools.partial(self.tell, removal), tells=False)
        except TierFailure:
            return False
        finally:
            self.journal.give_back([removal])

    def post(self, work: Callable[[], object]) -> None:
        """Has the tier called without waiting for it, if it is there."""
        try:
            began = self._admit(False)
            self.calls.post(functools.partial(self._posted, work, began))
        except TierFailure:
            return

    def _posted(self, work: Callable[[], object], began: float) -> None:
        try:
            work()
        except Exception as error:
            self._failed(error)
        else:
            self._ended(began, False)

    # --- on the tier's threads --------------------------------------------------------

    def _work(self, work: Callable[[], T], tells: bool) -> T:
        if tells and len(self.journal) and time.monotonic() >= self._tell_after:
            self.tell(None)
            # What nobody waits for any more is not to be begun.
            self.calls.check()
        return work()

    def tell(self, mine: Removal | None) -> bool:
        """Tells the tier of the removals, on one of its threads.

        Args:
            mine: The caller's own, which is told first. Of many others some are told by each call, which has its
                own to do.

        Returns:
            Whether the key of the caller's own was there.
        """
        removals = self.journal.take()
        end = time.monotonic() + self.tier.timeout / 2
        was_there = False
        try:
            if mine is not None:
                was_there = self._tell(mine)
            for removal in removals:
                if time.monotonic() > end:
                    break
                self._tell(removal)
        except TierFailure as failure:
            if failure.concerns == "all":
                raise
            # What is not told stays noted, and is not read; the rest goes on.
            self._count(failure)
            self._tell_after = time.monotonic() + _TELL_AGAIN
        finally:
            self.journal.give_back(removals)
        return was_there

    def _tell(self, removal: Removal) -> bool:
        was_there = False
        if removal.key is not None:
            was_there = self.tier.delete(removal.key, origin=self.origin)
        elif removal.tag is not None:
            self.tier.delete_tag(removal.tag, origin=self.origin)
        else:
            self.tier.clear(origin=self.origin)
        self.journal.done(removal)
        return was_there

    # --- how it went ------------------------------------------------------------------

    def _admit(self, writes: bool) -> float:
        if not self.breaker.allow():
            self._figures.error("open")
            raise TierFailure("open", "it failed a moment ago")
        if writes and not self.write_breaker.allow():
            # If it was the one to try, another one may.
            self.breaker.abandoned()
            self._figures.error("open")
            raise TierFailure("open", "it does not take writes", "writes")
        return time.perf_counter()

    def _ended(self, began: float, writes: bool) -> None:
        self._figures.took(time.perf_counter() - began)
        self.breaker.succeeded()
        if writes:
            self.write_breaker.succeeded()

    def _failed(self, error: BaseException) -> BaseException:
        if isinstance(error, TierFailure):
            self._count(error)
            return error
        if isinstance(error, Exception):
            # A tier of somebody else's may raise anything; a caller is served all the same.
            _log.error("cache %r: its tier %r raised", self._name, self.tier.kind, exc_info=error)
            failure = TierFailure("unexpected", f"{type(error).__name__}: {error}")
            self._count(failure)
            return failure
        # Interrupted or cancelled: that says nothing of the tier.
        self.breaker.abandoned()
        self.write_breaker.abandoned()
        return error

    def _count(self, failure: TierFailure) -> None:
        self._figures.error(failure.kind)
        if failure.kind == "closed":
            return
        if failure.concerns != "writes":
            # Whether it takes writes is not known by that.
            self.write_breaker.abandoned()
        if failure.concerns == "all":
            before = self.breaker.state
            self.breaker.failed()
            if before == "closed" and self.breaker.state == "open":
                _log.warning("cache %r: its tier is left alone for a while: %s", self._name, failure)
        else:
            # It answers.
            self.breaker.succeeded()
            if failure.concerns == "writes":
                if self.write_breaker.state == "closed":
                    _log.warning("cache %r: its tier takes no writes: %s", self._name, failure)
                self.write_breaker.failed()
