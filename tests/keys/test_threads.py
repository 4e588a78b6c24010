"""Large content that nobody can change is hashed without the interpreter lock."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from nexus_core.keys import digest

_MANY = 200


def _lets_others_run(act: Callable[[], object]) -> bool:
    """Whether another thread runs during one of many calls, though Python never switches by itself."""
    ran = False
    woken = threading.Lock()
    woken.acquire()

    def wait() -> None:
        nonlocal ran
        woken.acquire()
        ran = True

    before = sys.getswitchinterval()
    thread = threading.Thread(target=wait)
    thread.start()
    sys.setswitchinterval(1000)
    try:
        woken.release()
        for _ in range(_MANY):
            act()
            if ran:
                return True
        return False
    finally:
        sys.setswitchinterval(before)
        thread.join()


def _always_lets_others_run(act: Callable[[], object]) -> bool:
    """As above; now and then a thread of another test asks for the lock."""
    return all(_lets_others_run(act) for _ in range(10))


@pytest.mark.skipif(not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="there is no lock to release")
def test_the_lock_is_released_for_much_content_only() -> None:
    large = b"x" * (8 << 20)
    assert _lets_others_run(lambda: digest({"a": [large]}))
    text = "\u0100" * (4 << 20)
    assert _lets_others_run(lambda: digest(text))
    assert not _always_lets_others_run(lambda: digest({"a": [b"x" * 1000]}))
    many = list(range(600_000))
    assert _lets_others_run(lambda: digest(many))
    changeable = bytearray(large)
    assert not _always_lets_others_run(lambda: digest(changeable))


def test_many_threads_find_the_same_digests() -> None:
    values: list[Any] = [{"n": n, "large": bytes([n]) * 100_000, "set": {n, "a"}} for n in range(20)]
    alone = [digest(value) for value in values]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(digest, values * 20)) == alone * 20


def test_containers_that_change_meanwhile_do_no_harm() -> None:
    """A registered class whose function changes the containers around its value."""
    from nexus_core import keys

    from .samples import Opaque

    items: list[Any] = [1, Opaque(), 2, 3]
    mapping: dict[Any, Any] = {"a": Opaque(), "b": 2, 3: items}

    def change(opaque: Opaque) -> None:
        items.clear()
        mapping.clear()

    keys.register(Opaque, change)
    try:
        digest([items, mapping])
        mapping.update({"a": Opaque(), "b": 2})
        digest(mapping)
        group = {Opaque(), 1, 2}
        keys.register(Opaque, lambda opaque: group.clear())
        digest(group)
    finally:
        from nexus_core import _key_reductions

        del _key_reductions._registered[Opaque]
