"""A tier with all that a cache in front of it needs: a guard, an envelope, leases, and word of others' changes."""

from __future__ import annotations

import functools
import itertools
import logging
import secrets
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from nexus_core.cache_tiers.arrivals import Arrivals
from nexus_core.cache_tiers.envelope import Envelope
from nexus_core.cache_tiers.figures import Figures
from nexus_core.cache_tiers.forks import after_fork
from nexus_core.cache_tiers.guard import Guard
from nexus_core.cache_tiers.renewal import Renewal
from nexus_core.cache_tiers.steps import Found, Read
from nexus_core.cache_tiers.tier import Acquired, Event, Lease, Subscription, Tier, TierFailure
from nexus_core.errors import NotSerializable, UnreadableEntry

__all__ = ["Backing"]

_log = logging.getLogger("nexus_core.cache_tiers")


class Backing:
    """What lies behind a tiered cache's local entries.

    Args:
        tier: The tier.
        name: The cache's name.
        envelope: Seals and opens entries.
        lease_seconds: How long a lease lasts that is not renewed.
        max_wait: Seconds that a caller waits for another process.
        breaker: Failures in a row, first and longest pause of the circuit breaker.
        drop: Called to drop local entries: with a key, with a tag, or with neither for all.
    """

    def __init__(
        self,
        tier: Tier,
        name: str,
        envelope: Envelope,
        lease_seconds: float,
        max_wait: float,
        breaker: tuple[int, float, float],
        drop: Callable[[bytes | None, str | None], object],
    ) -> None:
        self.tier = tier
        self.envelope = envelope
        self.lease_seconds = lease_seconds
        self.max_wait = max_wait
        self.figures = Figures()
        self.guard = Guard(tier, name, secrets.token_bytes(16), self.figures, *breaker)
        self._name = name
        self._drop = drop
        self._closed = False
        self._told: set[str] = set()
        self._begin()
        after_fork(self)

    def _begin(self) -> None:
        self.arrivals = Arrivals()
        this = weakref.ref(self)
        self.renewal = Renewal(functools.partial(_renew, this), self.lease_seconds / 3)
        self._endings: list[weakref.finalize[..., Backing]] = []
        self._at_the_end(self.renewal.close)
        # What was read from the tier before the latest change is not kept.
        self._changes = itertools.count(1)
        self._changed_all = 0
        self._changed = [0] * 256
        self._kept = [0] * 256
        self._lock = threading.Lock()
        self._subscription: Subscription | None = None
        self._listens_since = 0.0
        self._has_begun = False

    def _at_the_end(self, work: Callable[..., object], *arguments: object) -> None:
        """Has something done once nobody has this any more."""
        ending = weakref.finalize(self, work, *arguments)
        ending.atexit = False
        self._endings.append(ending)

    def _after_fork(self) -> None:
        # Who listened, and who renewed, was a thread of the parent, which may have held its locks.
        for ending in self._endings:
            ending.detach()
        self._begin()
        self.figures.after_fork()
        self.guard.after_fork(secrets.token_bytes(16))
        self._drop(None, None)

    @property
    def has_begun(self) -> bool:
        """Whether it hears of changes, or it was waited for long enough."""
        return self._has_begun

    # --- on the tier's threads --------------------------------------------------------

    def read(self, key: bytes) -> Read | None:
        """What the tier has, unless it is not to be believed."""
        self.listen()
        if self.guard.journal.covers(key):
            return None
        version = self.version(key)
        stored = self.tier.get(key)
        return None if stored is None else Read(version, stored)

    def write(self, key: bytes, data: bytes, found: Found, lease: Lease | None) -> bool:
        """Writes an entry to the tier."""
        self.listen()
        return self.tier.set(key, data, ttl=found.ttl, tags=found.tags, lease=lease, origin=self.guard.origin)

    def acquire(self, key: bytes, token: str, tags: tuple[str, ...]) -> tuple[tuple[int, int], Acquired]:
        """Asks the tier for a lease; with the version of what was known before."""
        self.listen()
        return self.version(key), self.tier.acquire(key, token, self.lease_seconds, tags)

    def listen(self) -> None:
        """Begins to hear of changes, before anything is kept locally that might change."""
        if self._subscription is None:
            with self._lock:
                if self._subscription is None and not self._closed:
                    self._subscription = self.tier.subscribe(functools.partial(_hear, weakref.ref(self)))
                    self._listens_since = time.monotonic()
                    self._at_the_end(_end, self._subscription)
        if self._has_begun:
            return
        subscription = self._subscription
        left = self._listens_since + self.tier.timeout / 2 - time.monotonic()
        if subscription is not None and left > 0:
            subscription.wait_ready(left)
        self._has_begun = True

    # --- leases -----------------------------------------------------------------------

    def give_back(self, lease: Lease) -> None:
        """Ends a lease, without waiting for it."""
        self.guard.post(functools.partial(self.tier.release, lease, origin=self.guard.origin))

    def give_back_late(self, answer: tuple[tuple[int, int], Acquired]) -> None:
        """Ends a lease that came when nobody waited for it any more."""
        _, acquired = answer
        if acquired.lease is not None:
            self.tier.release(acquired.lease, origin=self.guard.origin)

    def fenced(self, key: bytes) -> None:
        """What was computed came too late, and is not the key's value."""
        self.figures.count("fenced")
        self.changed(key)
        self._drop(key, None)

    # --- changes ----------------------------------------------------------------------

    def changed(self, key: bytes | None = None) -> None:
        """Something is changed about a key, or about any."""
        # Each time another number, also where two threads are here at once.
        if key is None:
            self._changed_all = next(self._changes)
        else:
            self._changed[key[0]] = next(self._changes)

    def keeps(self, key: bytes) -> None:
        """What the tier had is about to be kept locally."""
        self._kept[key[0]] = next(self._changes)

    def moment(self, key: bytes) -> tuple[int, int, int]:
        """Another one after each change, and after each time that what the tier had was kept locally."""
        return self._changed_all, self._changed[key[0]], self._kept[key[0]]

    def version(self, key: bytes) -> tuple[int, int]:
        """Another one after each change."""
        return self._changed_all, self._changed[key[0]]

    def hear(self, event: Event) -> None:
        """What somebody did."""
        if event.kind == "gap":
            self.figures.count("gaps")
        elif event.origin == self.guard.origin:
            if event.key:
                self.arrivals.ring(event.key)
            return
        else:
            self.figures.count("events")
        if event.kind == "done":
            self.arrivals.ring(event.key)
        elif event.kind == "key":
            self.changed(event.key)
            self._drop(event.key, None)
            self.arrivals.ring(event.key)
        else:
            self.changed()
            self._drop(None, event.tag if event.kind == "tag" else None)
            self.arrivals.ring_all()

    # --- what is not written or read --------------------------------------------------

    def refused(self, key: bytes, error: NotSerializable) -> None:
        """A value cannot leave the process."""
        self._reject("not_serializable", error)

    def rejected(self, key: bytes, error: UnreadableEntry) -> None:
        """An entry cannot be read."""
        self._reject(error.reason, error)

    def _reject(self, reason: str, error: Exception) -> None:
        self.figures.reject(reason)
        if reason not in self._told:
            # Once: where there is one there are many.
            self._told.add(reason)
            _log.warning("cache %r: %s (this is logged once, and counted)", self._name, error)

    def close(self) -> None:
        """Ends it, with its tier."""
        with self._lock:
            if self._closed:
                return
            self._closed = self._has_begun = True
            subscription, self._subscription = self._subscription, None
        self.renewal.close()
        self.guard.calls.close(self.guard.patience)
        if subscription is not None:
            subscription.close()
        self.tier.close()


def _hear(this: weakref.ref[Backing], event: Event) -> None:
    backing = this()
    if backing is not None:
        backing.hear(event)


def _renew(this: weakref.ref[Backing], lease: Lease) -> bool:
    backing = this()
    if backing is None:
        return False
    try:
        return backing.guard.call(functools.partial(backing.tier.renew, lease, backing.lease_seconds))
    except TierFailure:
        # It may be there again before the lease is over.
        return True


def _end(subscription: Any) -> None:
    # Whoever lets go of the cache does not wait for its listener.
    threading.Thread(target=subscription.close, daemon=True).start()
