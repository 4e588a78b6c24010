"""Random programs against a model of the pool: what runs, what is queued, what became of each task."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nexus_core import ThreadPool
from nexus_core.errors import PoolShutdown, QueueFull

from .support import PATIENCE, eventually

SIZES = st.integers(1, 4)
BOUNDS = st.one_of(st.none(), st.integers(1, 3))


class Failed(Exception):
    """What a task raises that is told to."""


@dataclass(eq=False)
class Task:
    """A task that ends when it is told to, and how."""

    number: int
    priority: int
    go: threading.Event = field(default_factory=threading.Event)
    fails: bool = False
    future: Future[int] | None = None

    def __call__(self) -> int:
        assert self.go.wait(PATIENCE)
        if self.fails:
            raise Failed(self.number)
        return self.number


class PoolMachine(RuleBasedStateMachine):
    """Workers take the first of the highest priority, as many at once as there may be."""

    @initialize(size=SIZES, bound=BOUNDS, idle=st.sampled_from([0.0, 0.001, 60.0]))
    def open_pool(self, size: int, bound: int | None, idle: float) -> None:
        self.pool = ThreadPool(size, max_queue_size=bound, when_full="reject", idle_timeout=idle)
        self.size, self.bound = size, bound
        self.numbers = 0
        self.queued: list[Task] = []
        self.running: list[Task] = []
        self.counts = {"submitted": 0, "done": 0, "failed": 0, "cancelled": 0, "rejected": 0}
        self.called_back: list[int] = []

    def _settle(self) -> None:
        """What the pool does by itself."""
        while self.queued and len(self.running) < self.size:
            first = min(self.queued, key=lambda task: (-task.priority, task.number))
            self.queued.remove(first)
            self.running.append(first)

    @rule(priority=st.sampled_from([0, 0, 0, 1, -1]))
    def submit(self, priority: int) -> None:
        task = Task(self.numbers, priority)
        self.numbers += 1
        if self.bound is not None and len(self.queued) >= self.bound:
            try:
                self.pool.submit_with(task, priority=priority)
            except QueueFull as full:
                assert (full.queued, full.max_queue_size) == (len(self.queued), self.bound)
                self.counts["rejected"] += 1
                return
            raise AssertionError("there was no room")
        task.future = self.pool.submit_with(task, priority=priority) if priority else self.pool.submit(task)
        task.future.add_done_callback(lambda _: self.called_back.append(task.number))
        self.counts["submitted"] += 1
        self.queued.append(task)
        self._settle()

    @precondition(lambda self: self.running)
    @rule(data=st.data(), fails=st.booleans())
    def finish(self, data: st.DataObject, fails: bool) -> None:
        task = data.draw(st.sampled_from(self.running))
        self.running.remove(task)
        task.fails = fails
        task.go.set()
        assert task.future is not None
        if fails:
            error = task.future.exception(PATIENCE)
            assert isinstance(error, Failed)
            assert error.args == (task.number,)
        else:
            assert task.future.result(PATIENCE) == task.number
        self.counts["failed" if fails else "done"] += 1
        self._settle()

    @precondition(lambda self: self.queued or self.running)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        task = data.draw(st.sampled_from(self.queued + self.running))
        assert task.future is not None
        if task in self.running:
            assert not task.future.cancel()
            return
        assert task.future.cancel()
        with contextlib.suppress(CancelledError):
            task.future.result(0)
        self.queued.remove(task)
        self.counts["cancelled"] += 1

    @rule(size=SIZES, bound=BOUNDS)
    def resize(self, size: int, bound: int | None) -> None:
        self.pool.resize(size, max_queue_size=bound)
        self.size, self.bound = size, bound
        self._settle()

    @invariant()
    def the_pool_agrees(self) -> None:
        if not hasattr(self, "pool"):
            return
        eventually(lambda: self._seen() == (len(self.running), len(self.queued)))
        for task in self.running:
            assert task.future is not None
            eventually(task.future.running)
        for task in self.queued:
            assert task.future is not None
            assert not task.future.running()
            assert not task.future.done()
        seen = self.pool.statistics()
        assert {name: getattr(seen, name) for name in self.counts} == self.counts
        assert seen.threads >= len(self.running)

    def _seen(self) -> tuple[int, int]:
        seen = self.pool.statistics()
        return seen.running, seen.queued

    def teardown(self) -> None:
        if not hasattr(self, "pool"):
            return
        left: list[Any] = self.queued + self.running
        for task in left:
            task.go.set()
        self.pool.shutdown(timeout=PATIENCE)
        for task in left:
            assert task.future.result(0) == task.number
        assert self.pool.threads == 0
        seen = self.pool.statistics()
        assert seen.submitted == seen.done + seen.failed + seen.cancelled == len(self.called_back)
        assert len(set(self.called_back)) == len(self.called_back)
        try:
            self.pool.submit(int)
        except PoolShutdown:
            return
        raise AssertionError("it was shut down")


TestPool = PoolMachine.TestCase
