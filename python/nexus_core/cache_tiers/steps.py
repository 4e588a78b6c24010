"""How a missing value comes about, step by step, whether a thread or a task goes through it.

The functions here are generators: they say what is to be done next and are sent how it went. Threads
and tasks do the same things in the same order, and differ only in how they wait.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import secrets
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from nexus_core.cache_tiers.tier import Lease, Stored, TierFailure
from nexus_core.errors import NotSerializable, UnreadableEntry

if TYPE_CHECKING:
    from nexus_core.cache_tiers.backing import Backing

__all__ = ["Found", "Read", "Steps", "fetch", "obtain", "prepare", "run", "run_async", "seal", "store"]

#: Bytes up to which an entry is opened in the event loop itself; more go to a thread.
_AT_ONCE = 32 * 1024
_FIRST_PAUSE, _LONGEST_PAUSE = 0.005, 0.1


@dataclass(frozen=True, slots=True)
class Found:
    """A value, with the seconds that it lives on, its tags, and the version when it was read, if it was."""

    value: Any
    ttl: float | None
    tags: tuple[str, ...]
    version: tuple[int, int] | None = None


class Read(NamedTuple):
    """What the tier had, and the version of what was known before it was asked."""

    version: tuple[int, int]
    stored: Stored


@dataclass(frozen=True, slots=True)
class _Ask:
    """Call the tier; answered with the result, or a `TierFailure`."""

    work: Callable[[], Any]
    writes: bool = False
    tells: bool = True
    late: Callable[[Any], object] | None = None


@dataclass(frozen=True, slots=True)
class _Work:
    """Do what takes time, and waits for nobody."""

    work: Callable[[], Any]
    is_short: bool


@dataclass(frozen=True, slots=True)
class _Pause:
    """Wait for word of a key."""

    key: bytes
    seconds: float


@dataclass(frozen=True, slots=True)
class _Compute:
    """Call the factory; answered with its value in a tuple, or ``None`` if it failed."""


Steps = Generator[_Ask | _Work | _Pause | _Compute, Any, Any]


def prepare(backing: Backing) -> Steps:
    """Begins to hear of changes by others, if that has not begun: what is kept locally before may go when it begins."""
    if not backing.has_begun:
        yield _Ask(backing.listen)


def fetch(backing: Backing, key: bytes) -> Steps:
    """A key's value in the tier, as `Found`, or ``None``."""
    read = yield _Ask(functools.partial(backing.read, key))
    found = None
    if isinstance(read, Read):
        found = yield from _opened(backing, key, read)
    backing.figures.count("misses" if found is None else "hits")
    return found


def store(backing: Backing, found: Found, key: bytes, data: bytes | None) -> Steps:
    """Writes the entry of a value to the tier, in place of whatever is there; without one, removes that.

    Comes to whether the tier has it now.
    """
    kept = TierFailure("")
    if data is not None:
        kept = yield _Ask(functools.partial(backing.write, key, data, found, None), writes=True)
        if not isinstance(kept, TierFailure):
            _count_written(backing, data, kept)
            return kept
    # What was there before must not be taken for the value.
    is_told = data is None or kept.concerns != "all"
    removal = backing.guard.journal.add(key=key, takes=is_told)
    if is_told:
        try:
            # Also of a tier that takes no writes: one that is full can remove.
            yield _Ask(functools.partial(backing.guard.tell, removal), tells=False)
        finally:
            backing.guard.journal.give_back([removal])
    return False


def obtain(
    backing: Backing, key: bytes, ttl: float | None, tags: tuple[str, ...], landed: Callable[[Found], object]
) -> Steps:
    """A key's value from the tier, or computed by one of all processes.

    Args:
        backing: The tier and what belongs to it.
        key: The digest.
        ttl: Seconds that a computed value lives.
        tags: Its tags.
        landed: Told of the value as soon as it is there, before the tier is.
    """
    found = yield from fetch(backing, key)
    if found is not None:
        landed(found)
        return found.value
    acquired = yield from _wait_for_turn(backing, key, tags)
    if isinstance(acquired, Found):
        landed(acquired)
        return acquired.value
    lease = acquired
    if lease is not None:
        backing.renewal.add(lease)
    try:
        answer = yield _Compute()
        if answer is None:
            return None
        backing.figures.count("computed")
        made = Found(answer[0], ttl, tags)
        # Before anybody else has the value, who may change it.
        data = None if lease is None else (yield from seal(backing, key, made))
        landed(made)
        if lease is not None and data is not None and (yield from _hand_in(backing, key, made, data, lease)):
            lease = None
        return made.value
    finally:
        if lease is not None:
            backing.renewal.remove(lease)
            backing.give_back(lease)


def _wait_for_turn(backing: Backing, key: bytes, tags: tuple[str, ...]) -> Steps:
    """A lease; or the value, if somebody else computed it; or ``None`` where there is no waiting for either."""
    token = secrets.token_hex(16)
    end = time.monotonic() + backing.max_wait
    pause = _FIRST_PAUSE
    waited = False
    while True:
        ask = functools.partial(backing.acquire, key, token, tags)
        answer = yield _Ask(ask, writes=True, late=backing.give_back_late)
        if isinstance(answer, TierFailure):
            if answer.kind != "open":
                # It may have been granted, and the answer lost.
                backing.give_back(Lease(key, token))
            return None
        version, acquired = answer
        if acquired.lease is not None:
            lease: Lease = acquired.lease
            found = None
            if acquired.found is not None:
                try:
                    found = yield from _opened(backing, key, Read(version, acquired.found))
                except BaseException:
                    backing.give_back(lease)
                    raise
            if found is None:
                if waited:
                    backing.figures.count("taken_over")
                return lease
            backing.give_back(lease)
            backing.figures.count("hits")
            return found
        if not waited:
            waited = True
            backing.figures.count("waited")
        left = end - time.monotonic()
        if left <= 0:
            backing.figures.error("waited_too_long")
            return None
        yield _Pause(key, min(pause, left))
        pause = min(pause * 1.5, _LONGEST_PAUSE)
        read = yield _Ask(functools.partial(backing.read, key))
        if isinstance(read, TierFailure):
            return None
        if read is not None:
            found = yield from _opened(backing, key, read)
            if found is not None:
                backing.figures.count("hits")
                return found


def _hand_in(backing: Backing, key: bytes, made: Found, data: bytes, lease: Lease) -> Steps:
    """Writes what was computed under a lease; whether the lease has ended with it."""
    backing.renewal.remove(lease)
    kept = yield _Ask(functools.partial(backing.write, key, data, made, lease), writes=True)
    if isinstance(kept, TierFailure):
        return False
    _count_written(backing, data, kept)
    if not kept:
        # Somebody else computes it anew, or it was removed: it is not to be handed out any longer.
        backing.fenced(key)
    return True


def _count_written(backing: Backing, data: bytes, kept: bool) -> None:
    if kept:
        backing.figures.count("writes")
        backing.figures.count("bytes_written", len(data))


def seal(backing: Backing, key: bytes, found: Found) -> Steps:
    """The entry of a value, or ``None`` if it cannot leave the process."""
    work = functools.partial(backing.envelope.seal, key, found.value, found.tags)
    try:
        return (yield _Work(work, is_short=False))
    except NotSerializable as error:
        backing.refused(key, error)
        return None


def _opened(backing: Backing, key: bytes, read: Read) -> Steps:
    stored = read.stored
    backing.figures.count("bytes_read", len(stored.data))
    began = time.monotonic()
    work = functools.partial(backing.envelope.open, key, stored.data)
    try:
        value, tags = yield _Work(work, is_short=len(stored.data) <= _AT_ONCE)
    except UnreadableEntry as error:
        backing.rejected(key, error)
        return None
    if backing.guard.journal.covers(key, tags):
        return None
    ttl = stored.ttl
    if ttl is not None:
        ttl = max(ttl - (time.monotonic() - began), 0.0)
    return Found(value, ttl, tags, read.version)


def run(steps: Steps, backing: Backing, factory: Callable[[], Any] | None = None) -> Any:
    """Goes through the steps in this thread.

    Args:
        steps: The steps.
        backing: The tier and what belongs to it.
        factory: Computes the value.

    Returns:
        What the steps come to.
    """
    answer: Any = None
    error: BaseException | None = None
    failure: BaseException | None = None
    while True:
        try:
            step = steps.send(answer) if error is None else steps.throw(error)
        except StopIteration as ended:
            if failure is not None:
                raise failure from None
            return ended.value
        answer, error = None, None
        try:
            if isinstance(step, _Ask):
                try:
                    answer = backing.guard.call(step.work, writes=step.writes, tells=step.tells, late=step.late)
                except TierFailure as failed:
                    answer = failed
            elif isinstance(step, _Work):
                answer = step.work()
            elif isinstance(step, _Pause):
                backing.arrivals.wait(step.key, step.seconds)
            else:
                assert factory is not None
                try:
                    answer = (factory(),)
                except BaseException as raised:
                    failure = raised
        except BaseException as raised:
            error = raised


async def run_async(steps: Steps, backing: Backing, factory: Callable[[], Any] | None = None) -> Any:
    """Goes through the steps in this task, whose event loop goes on meanwhile.

    Args:
        steps: The steps.
        backing: The tier and what belongs to it.
        factory: Computes the value, or gives something to await for it.

    Returns:
        What the steps come to.
    """
    answer: Any = None
    error: BaseException | None = None
    failure: BaseException | None = None
    while True:
        try:
            step = steps.send(answer) if error is None else steps.throw(error)
        except StopIteration as ended:
            if failure is not None:
                raise failure from None
            return ended.value
        answer, error = None, None
        try:
            if isinstance(step, _Ask):
                try:
                    answer = await backing.guard.acall(step.work, writes=step.writes, tells=step.tells, late=step.late)
                except TierFailure as failed:
                    answer = failed
            elif isinstance(step, _Work):
                answer = step.work() if step.is_short else await asyncio.to_thread(step.work)
            elif isinstance(step, _Pause):
                await backing.arrivals.await_(step.key, step.seconds)
            else:
                assert factory is not None
                try:
                    value = factory()
                    if inspect.isawaitable(value):
                        value = await value
                    answer = (value,)
                except BaseException as raised:
                    failure = raised
        except BaseException as raised:
            error = raised
