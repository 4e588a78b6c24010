"""``Rotation``: the fair hand-off that pools are built on."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from typing import Any

import pytest

from nexus_core._core import Rotation
from task_graph.support import ended as ended_script
from task_graph.support import interrupt_when_ready, run_script, start_script

CREATE = Rotation.CREATE


class Thing:
    """An item that can be watched."""


def filled(count: int, **options: Any) -> tuple[Rotation, list[Thing]]:
    """A rotation full of idle things, and the things."""
    rotation = Rotation(count, **options)
    things = [Thing() for _ in range(count)]
    for _ in things:
        assert rotation.acquire(0) is CREATE
    for thing in things:
        assert rotation.release(thing)
    return rotation, things


def eventually(holds: Any) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize(("order", "first"), [("fifo", 0), ("lifo", -1)])
def test_the_order_says_which_item_is_next(order: Any, first: int) -> None:
    rotation, things = filled(3, order=order)
    assert rotation.acquire() is things[first]
    assert (rotation.idle, rotation.in_use, rotation.waiting) == (2, 1, 0)


def test_a_full_rotation_says_how_full() -> None:
    rotation, _ = filled(1)
    rotation.acquire()
    for timeout in (0, 0.01):
        with pytest.raises(TimeoutError, match=rf"no item within {timeout} s: 1 are in use, 0 others wait"):
            rotation.acquire(timeout)
    assert (rotation.in_use, rotation.waiting) == (1, 0)
    assert rotation.statistics()["given_up"] == 2


def test_waiters_are_served_in_the_order_in_which_they_came() -> None:
    rotation, (thing,) = filled(1)
    rotation.acquire()
    served: list[int] = []

    def wait(number: int) -> None:
        got = rotation.acquire(30)
        served.append(number)
        assert got is thing
        assert rotation.release(got)

    threads = []
    for number in range(8):
        threads.append(threading.Thread(target=wait, args=(number,)))
        threads[-1].start()
        eventually(lambda expected=number + 1: rotation.waiting == expected)
    rotation.release(thing)
    for thread in threads:
        thread.join(30)
    assert served == list(range(8))
    assert rotation.statistics()["queued"] == 8
    assert rotation.statistics()["wait_max"] > 0


def test_a_place_given_up_is_a_permit_for_the_first_who_waits() -> None:
    rotation, (thing,) = filled(1)
    rotation.acquire()
    got: list[Any] = []
    waiter = threading.Thread(target=lambda: got.append(rotation.acquire(30)))
    waiter.start()
    eventually(lambda: rotation.waiting == 1)
    rotation.forfeit(thing)
    waiter.join(30)
    assert got == [CREATE]
    assert repr(CREATE) == "Rotation.CREATE"


def test_foreign_and_returned_items_change_nothing() -> None:
    rotation, (one, two) = filled(2)
    assert rotation.acquire() is one
    before = rotation.statistics()
    for item in (two, Thing(), None):
        with pytest.raises(ValueError, match="not out"):
            rotation.release(item)
    for wrong in ((two,), (Thing(),), ()):
        with pytest.raises(ValueError, match="no such place"):
            rotation.forfeit(*wrong)
    assert rotation.statistics() == before


def test_what_has_no_place_any_more_is_not_kept() -> None:
    rotation, (one, two, three) = filled(3)
    assert [rotation.acquire(), rotation.acquire()] == [one, two]
    assert rotation.resize(1, max_idle=1) == [three]
    assert not rotation.release(one)
    rotation.forfeit(one)
    assert rotation.release(two)
    assert rotation.drain() == [two]
    assert (rotation.idle, rotation.in_use, rotation.max_size, rotation.max_idle) == (0, 0, 1, 1)


def test_without_limits_nobody_waits() -> None:
    rotation = Rotation()
    assert [rotation.acquire(0) for _ in range(100)] == [CREATE] * 100
    assert rotation.max_size is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"max_size": 0}, "max_size must be at least 1"),
        ({"max_size": -3}, "got -3"),
        ({"max_idle": -1}, "max_idle must be at least 0"),
        ({"order": "random"}, "'fifo' or 'lifo', got 'random'"),
    ],
)
def test_bad_sizes_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Rotation(**arguments)


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_bad_timeouts_are_refused(timeout: float) -> None:
    rotation, _ = filled(1)
    rotation.acquire()
    with pytest.raises(ValueError, match="timeout must be"):
        rotation.acquire(timeout)
    assert rotation.waiting == 0


def test_a_cycle_through_an_item_is_collected() -> None:
    rotation, (thing,) = filled(1)
    thing.rotation = rotation  # type: ignore[attr-defined]
    gone = weakref.ref(thing)
    del rotation, thing
    gc.collect()
    assert gone() is None


def test_a_forked_child_starts_with_an_empty_one() -> None:
    outcome = run_script("""
        import gc, os
        from nexus_core._core import Rotation
        closed = []
        class Thing:
            def __del__(self):
                closed.append(os.getpid())
        rotation = Rotation(2)
        for _ in range(2):
            rotation.acquire()
        for _ in range(2):
            rotation.release(Thing())
        held = rotation.acquire()
        pid = os.fork()
        if pid == 0:
            assert (rotation.idle, rotation.in_use) == (0, 0)
            assert rotation.acquire(0) is rotation.acquire(0) is Rotation.CREATE
            del rotation
            gc.collect()
            os._exit(len(closed))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert (rotation.idle, rotation.in_use) == (1, 1)
        print("end")
    """)
    assert (outcome.code, outcome.out, outcome.err) == (0, "end\n", "")


def test_a_waiter_is_interrupted() -> None:
    process = start_script("""
        from nexus_core._core import Rotation
        rotation = Rotation(1)
        rotation.acquire()
        print("ready", flush=True)
        try:
            rotation.acquire()
        except KeyboardInterrupt:
            print(rotation.waiting, rotation.in_use)
    """)
    interrupt_when_ready(process)
    outcome = ended_script(process)
    assert (outcome.code, outcome.out, outcome.err) == (0, "0 1\n", "")


def test_exit_while_daemon_threads_wait() -> None:
    outcome = run_script("""
        import threading, time
        from nexus_core._core import Rotation
        rotation = Rotation(1)
        rotation.acquire()
        for _ in range(4):
            threading.Thread(target=rotation.acquire, daemon=True).start()
        time.sleep(0.2)
        print("end")
    """)
    assert (outcome.code, outcome.out, outcome.err) == (0, "end\n", "")
