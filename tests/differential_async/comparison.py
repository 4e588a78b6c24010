"""The comparison itself, apart from pytest so that the meta-tests can use it too."""

from __future__ import annotations

import functools
import logging
import re
from collections import Counter
from typing import Any

from differential.comparison import build_or_none
from differential.observe import quiet, recorded_logs
from differential.snapshot import first_difference

from .description import AsyncDescription, AsyncSpec, Edge
from .failures import possible_failures
from .observe import Run, observe
from .subject import StockAsyncRuntime

__all__ = ["assert_same_logs", "assert_same_outcome", "assert_same_runs"]


def _same(name: str, number: int, expected: Any, actual: Any) -> None:
    difference = first_difference(expected, actual)
    assert difference is None, f"runs part in {name} of run {number} at {difference}"


def _compare(description: AsyncDescription, number: int, expected: Run, actual: Run) -> None:
    _same("outcome", number, expected.outcome, actual.outcome)
    _same("nodes", number, tuple(sorted(expected.order)), tuple(sorted(actual.order)))
    if description.is_sequential:
        _same("order", number, tuple(expected.order), tuple(actual.order))
    for node_id, picture in expected.results.items():
        _same(f"result of {node_id!r}", number, picture, actual.results[node_id])
    _same("inputs", number, expected.parameters, actual.parameters)
    _same("node states", number, tuple(expected.states.items()), tuple(actual.states.items()))
    _same("side effects", number, tuple(sorted(expected.events)), tuple(sorted(actual.events)))
    _same("nodes that should not have run", number, (), tuple(sorted(actual.strays)))
    _same("durations", number, tuple(sorted(expected.durations)), tuple(sorted(actual.durations)))
    _same("context variables", number, tuple(expected.changed), tuple(actual.changed))
    if not expected.beside:
        _same("context", number, expected.context, actual.context)
        _same("warnings", number, tuple(sorted(expected.warned.items())), tuple(sorted(actual.warned.items())))


def assert_same_runs(description: AsyncDescription, expected: list[Run], actual: list[Run]) -> None:
    """Compare run by run.

    Where several nodes fail, stock reports the first in time and the drop-in the first in
    topological order, so any of the failures is taken; what follows is compared no further.
    """
    assert len(expected) == len(actual), f"runs part: {len(expected)} against {len(actual)}"
    failures = None
    for number, (one, other) in enumerate(zip(expected, actual, strict=True)):
        if one.failed is not None and one.outcome != other.outcome and one.failed != other.failed:
            if failures is None:
                with quiet():
                    failures = possible_failures(description)
            if other.failed in failures and not description.is_sequential:
                assert other.outcome[1] in failures[other.failed], f"runs part in the error of {other.failed!r}"
                assert not other.strays, f"runs part: {other.strays} ran after {other.failed!r} failed"
                return
        _compare(description, number, one, other)


def assert_same_outcome(subject: type[Any], description: AsyncDescription) -> bool:
    """Compare both sides; return ``False`` if Kailash refuses to build the workflow."""
    with quiet():
        workflow = build_or_none(description)
        if workflow is None:
            return False
        expected = observe(StockAsyncRuntime, description, workflow)
        actual = observe(subject, description)
    assert_same_runs(description, expected, actual)
    return True


@functools.cache
def _warm_up() -> None:
    """Let stock do its late imports, which log what they register, before anything is recorded."""
    with quiet():
        nodes = {
            "a": AsyncSpec("code", "result = 1"),
            "b": AsyncSpec("async code", "result = 1"),
            "s": AsyncSpec("switch", "SwitchNode"),
        }
        for mode in ("route_data", "skip_branches"):
            options = {"conditional_execution": mode, "debug": True}
            observe(
                StockAsyncRuntime,
                AsyncDescription(nodes, [Edge("a", "s", {"result": "input_data"})], options=options, runs=1),
            )


#: What stock's runtime logs of a failure that it raises, and of outputs that a checkpoint could not hold. Whoever gets
#: the error logs it as well, and nobody asked for a checkpoint: the drop-in says neither.
_LEFT_OUT = re.compile(
    r"(Sync node|Node) '.*' failed after |Level \d+ execution failed: |Non-serializable output for checkpoint", re.S
)


def _is_wanted(entry: tuple[Any, int]) -> bool:
    (_, _, text), _ = entry
    return _LEFT_OUT.match(text) is None


def _logged(runtime_class: type[Any], description: AsyncDescription, level: int) -> tuple[list[Run], Counter[Any]]:
    _warm_up()
    with quiet():
        workflow = description.build()
    with recorded_logs(level) as seen:
        runs = observe(runtime_class, description, workflow)
    return runs, seen


def assert_same_logs(subject: type[Any], description: AsyncDescription, level: int = logging.WARNING) -> bool:
    """Compare the log records of both sides as multisets.

    Return ``False`` where they depend on timing, because nodes run beside one that fails.
    """
    with quiet():
        if build_or_none(description) is None:
            return False
    runs, expected = _logged(StockAsyncRuntime, description, level)
    if any(run.beside for run in runs):
        return False
    _, actual = _logged(subject, description, level)
    missing, extra = Counter(dict(filter(_is_wanted, (expected - actual).items()))), actual - expected
    assert not missing and not extra, f"missing: {dict(missing)}\nextra: {dict(extra)}"
    return True
