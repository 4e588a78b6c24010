"""The comparison itself, apart from pytest so that the meta-tests can use it too."""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections import Counter
from typing import Any

from kailash.sdk_exceptions import KailashException
from kailash.workflow.graph import Workflow

from .description import Description, Edge, NodeSpec
from .observe import Comparison, EndlessFallbackError, GuardedStock, ShortenedStock, observe, quiet, recorded_logs
from .snapshot import Picture, first_difference
from .subject import StockRuntime


def build_or_none(description: Description) -> Workflow | None:
    """Build the workflow, or return ``None`` where Kailash refuses to build it, or it is not compared."""
    if Comparison.told_apart(description):
        return None
    try:
        return description.build()
    except (KailashException, TypeError, ValueError, AttributeError):
        return None


def stock_outcome(description: Description, stock: type[Any] = GuardedStock) -> Picture | None:
    """Return stock's outcome, or ``None`` where it cannot be built or never ends."""
    with quiet():
        workflow = build_or_none(description)
        if workflow is None:
            return None
        try:
            return observe(stock, description, workflow)
        except EndlessFallbackError:
            return None


def assert_same_results_in_the_end(subject: type[Any], description: Description) -> bool:
    """Compare one run's results with those that stock has once its fallback has stopped to fall back.

    Of errors only that there is one is compared: stock's tell of what was handled on the way.
    """
    description = dataclasses.replace(description, runs=1, parameters=None)
    expected = stock_outcome(description, ShortenedStock)
    if expected is None:
        return False
    with quiet():
        actual = observe(subject, description)
    (stock, *_), (ours, *_) = expected[0], actual[0]
    assert stock[0] == ours[0], f"{stock!r:.500}\n{ours!r:.500}"
    if stock[0] == "returned":
        difference = first_difference(_without_circumstances(stock), _without_circumstances(ours))
        assert difference is None, f"outcomes part at {difference}"
    return True


def _without_circumstances(picture: Any) -> Any:
    """Return a picture that does not tell what was handled when an error was raised."""
    if isinstance(picture, tuple):
        if len(picture) == 2 and picture[0] == "context":
            return picture[:1]
        return tuple(map(_without_circumstances, picture))
    return picture.partition("\nTraceback")[0] if isinstance(picture, str) else picture


def assert_same_outcome(subject: type[Any], description: Description) -> bool:
    """Compare both sides; return ``False`` if stock has no outcome to compare with."""
    expected = stock_outcome(description)
    if expected is None:
        return False
    with quiet():
        actual = observe(subject, description)
    difference = first_difference(expected, actual)
    assert difference is None, f"outcomes part at {difference}"
    return True


@functools.cache
def _warm_up() -> None:
    """Let stock do its late imports, which log what they register, before anything is recorded."""
    with quiet():
        for options in ({"enable_monitoring": True, "debug": True}, {"conditional_execution": "skip_branches"}):
            nodes = {"a": NodeSpec("code", "result = 1"), "s": NodeSpec("switch", "SwitchNode")}
            observe(StockRuntime, Description(nodes, [Edge("a", "s", {"result": "input_data"})], None, options))


def _logs(runtime_class: type[Any], description: Description, level: int) -> Counter[tuple[str, str, str]] | None:
    _warm_up()
    with quiet():
        workflow = build_or_none(description)
    if workflow is None:
        return None
    with recorded_logs(level) as seen:
        try:
            observe(runtime_class, description, workflow)
        except EndlessFallbackError:
            return None
    return seen


def assert_same_logs(subject: type[Any], description: Description, level: int = logging.WARNING) -> bool:
    """Compare the log records of both sides as multisets."""
    expected = _logs(GuardedStock, description, level)
    if expected is None:
        return False
    actual = _logs(subject, description, level)
    assert actual is not None
    missing, extra = expected - actual, actual - expected
    assert not missing and not extra, f"missing: {dict(missing)}\nextra: {dict(extra)}"
    return True
