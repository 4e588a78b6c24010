"""Runs of a workflow with changes and without them, in turns."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

from nexus_core.errors import NotKeyable
from nexus_core.keys import digest
from nexus_core.optimizer.changes import Change, Target
from nexus_core.optimizer.figures import ExecutionFigures, Side
from nexus_core.optimizer.memory_return import memory_return, resident_bytes

__all__ = ["Comparison", "Outcome", "compare", "same"]

#: How often sides change over; as many medians of throughput and memory are there.
_BLOCKS = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run has ended.

    Attributes:
        results: By node; ``None`` if it failed.
        error: The error's type and words; empty if there was none.
    """

    results: dict[str, Any] | None
    error: str = ""

    @property
    def shape(self) -> tuple[str, ...]:
        """What does not depend on values."""
        return (self.error.partition(":")[0], *(() if self.results is None else self.results))


def same(one: Outcome, other: Outcome) -> bool:
    """Whether two runs have come to the same, by content and type.

    Args:
        one: An outcome.
        other: Another one.
    """
    if one.error or other.error:
        return one.error == other.error
    try:
        return digest(one.results) == digest(other.results)
    except NotKeyable:
        try:
            return bool(one.results == other.results)
        except Exception:  # of what cannot be compared nobody knows
            return False


@dataclass(slots=True)
class Comparison:
    """What was found out by running a workflow.

    Attributes:
        figures: The figures; ``None`` if there are none.
        problem: Why the changes must not be kept; ``None`` if they may.
        is_repeatable: Whether equal inputs gave equal results.
        runs: Executions altogether.
    """

    figures: ExecutionFigures | None = None
    problem: str | None = None
    is_repeatable: bool = True
    runs: int = 0


@dataclass(slots=True)
class _Measured:
    seconds: list[float] = field(default_factory=list)
    throughputs: list[float] = field(default_factory=list)
    resident: list[int] = field(default_factory=list)
    nodes_at_once: int = 0

    def side(self) -> Side:
        return Side(tuple(self.seconds), tuple(self.throughputs), tuple(self.resident), self.nodes_at_once)


class _RunFailed(Exception):
    """A run that has failed while it was timed."""


class _Runs:
    """Executions of the workflow on the app's runtime, without its cache."""

    def __init__(self, target: Target, samples: Sequence[Mapping[str, Any]]) -> None:
        from kailash.workflow.input_envelope import bind_parameter_envelope

        self._target = target
        self._bind = bind_parameter_envelope
        self._changes_inputs = False
        self.samples = samples
        self.count = 0

    async def execute(self, inputs: Mapping[str, Any], cache: bool | None = False) -> dict[str, Any]:
        self.count += 1
        results: dict[str, Any]
        results, _ = await self._target.runtime.execute_workflow_async(
            self._target.workflow, self._bind(dict(inputs)), cache=cache
        )
        return results

    async def outcomes(self) -> list[Outcome]:
        """How a run ends with each of the samples."""
        found = []
        for inputs in self.samples:
            own = _copy(inputs)
            try:
                found.append(Outcome(await self.execute(own)))
            except Exception as error:
                found.append(Outcome(None, _said(error)))
            # What comes in a request is nobody else's, so that a node may change it.
            self._changes_inputs = self._changes_inputs or not same(Outcome(dict(own)), Outcome(dict(inputs)))
        return found

    def _inputs(self, count: int) -> list[Mapping[str, Any]]:
        """Of so many runs, each as it was given."""
        several = islice(cycle(self.samples), count)
        return [_copy(inputs) for inputs in several] if self._changes_inputs else list(several)

    async def _timed(self, inputs: Mapping[str, Any]) -> None:
        try:
            await self.execute(inputs)
        except Exception as error:
            raise _RunFailed(_said(error)) from error

    async def block(self, measured: _Measured, count: int, at_once: int) -> None:
        """Measures a side once."""
        await self._timed(*self._inputs(1))  # what has just been changed is looked up anew
        for inputs in self._inputs(count):
            began = time.perf_counter()
            await self._timed(inputs)
            measured.seconds.append(time.perf_counter() - began)
        batch = self._inputs(max(at_once, count))
        measured.throughputs.append(await self._throughput(batch, at_once))
        places = self._target.runtime._places
        measured.nodes_at_once = max(measured.nodes_at_once, places.most_taken())

    async def _throughput(self, batch: list[Mapping[str, Any]], at_once: int) -> float:
        waiting = iter(batch)

        async def work() -> None:
            for inputs in waiting:
                await self._timed(inputs)
                await asyncio.sleep(0)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(work())
        return len(batch) / (time.perf_counter() - began)

    async def cached_seconds(self) -> float | None:
        """What a run takes that is in the cache; ``None`` if it is not kept."""
        from nexus_core.cached_runs import last_cache_outcome

        seconds = []
        first, *others = (self._inputs(1)[0] for _ in range(6))
        await self.execute(first, cache=None)
        for inputs in others:
            began = time.perf_counter()
            await self.execute(inputs, cache=None)
            seconds.append(time.perf_counter() - began)
            outcome = last_cache_outcome()
            if outcome is None or outcome.status != "hit":
                return None
        return sorted(seconds)[2]


async def compare(
    target: Target,
    changes: Sequence[Change],
    samples: Sequence[Mapping[str, Any]],
    runs: int,
    at_once: int,
    caches: Change | None,
) -> Comparison:
    """Runs a workflow with changes and without, and compares; in the end the changes are in force.

    Args:
        target: The workflow.
        changes: The changes, in force.
        samples: Inputs.
        runs: Timed runs of each side, one after the other.
        at_once: Runs at once for throughput.
        caches: The change by which results are kept, if they are.
    """
    sides = _Sides(changes)
    work = _Runs(target, samples)
    found = Comparison()
    try:
        sides.without()
        # The second also has whatever the first has warmed up.
        first, second = await work.outcomes(), await work.outcomes()
        found.is_repeatable = all(same(one, two) for one, two in zip(first, second, strict=True))
        failed = next((outcome.error for outcome in second if outcome.error), None)
        if failed is not None:
            found.problem = f"the workflow fails with the sample inputs: {_briefly(failed)}"
            return found
        sides.with_them()
        third = await work.outcomes()
        for number, (one, two) in enumerate(zip(second, third, strict=True)):
            if not (same(one, two) if found.is_repeatable else one.shape == two.shape):
                found.problem = _differs(number, one, two)
                return found
        try:
            measured = await _in_turns(sides, work, runs, at_once)
        except* _RunFailed as failures:
            found.problem = f"a run failed while it was measured: {_briefly(str(_first(failures)))}"
        if found.problem is not None:
            return found
        sides.with_them()
        cached = None
        if caches is not None and found.is_repeatable:
            caches.put()
            cached = await work.cached_seconds()
        found.figures = ExecutionFigures.of(measured[False].side(), measured[True].side(), at_once, cached)
        return found
    finally:
        found.runs = work.count
        sides.with_them()


async def _in_turns(sides: _Sides, work: _Runs, runs: int, at_once: int) -> dict[bool, _Measured]:
    """Measures both sides: without the changes, and with them."""
    measured = {False: _Measured(), True: _Measured()}
    blocks = min(_BLOCKS, runs)
    returning = memory_return()
    for number in range(blocks):
        count = runs // blocks + (number < runs % blocks)
        # Neither side is always the first.
        for changed in (False, True) if number % 2 == 0 else (True, False):
            sides.put(changed)
            await work.block(measured[changed], count, at_once)
            if returning is not None:
                returning.settle()
            resident = resident_bytes()
            if resident is not None:
                measured[changed].resident.append(resident)
    return measured


def _first(failures: BaseExceptionGroup[Any]) -> BaseException:
    error: BaseException = failures
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _briefly(error: str) -> str:
    """Without the traceback that Kailash puts into the words of some errors."""
    return error.partition("\nTraceback (most recent call last)")[0]


def _said(error: Exception) -> str:
    return f"{type(error).__qualname__}: {error}" if str(error) else type(error).__qualname__


def _copy(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return copy.deepcopy(inputs)
    except Exception:  # of what cannot be copied there is one
        return inputs


class _Sides:
    """Changes that are put in force and taken back together."""

    def __init__(self, changes: Sequence[Change]) -> None:
        self._changes = [change for change in changes if change.is_measured]

    def put(self, changed: bool) -> None:
        if changed:
            self.with_them()
        else:
            self.without()

    def with_them(self) -> None:
        for change in self._changes:
            change.put()

    def without(self) -> None:
        for change in reversed(self._changes):
            change.take_back()


def _differs(number: int, before: Outcome, after: Outcome) -> str:
    if after.error:
        return f"with the changes, sample_inputs[{number}] fails: {_briefly(after.error)}"
    nodes = [] if before.results is None or after.results is None else list(before.results)
    different = [
        node
        for node in nodes
        if not same(Outcome({node: (before.results or {}).get(node)}), Outcome({node: (after.results or {}).get(node)}))
    ]
    return f"with the changes, sample_inputs[{number}] gives other results, of {', '.join(different) or 'other nodes'}"
