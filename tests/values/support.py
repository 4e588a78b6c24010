"""Kailash's own functions, ours beside them, and how outcomes of both are compared."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kailash.nodes.code.python import FunctionWrapper
from kailash.runtime.template_resolver import resolve_templates
from kailash.security import sanitize_input
from kailash.utils.data_validation import DataTypeValidator

from nexus_core._core import _values as ours

STOCK_FUNCTIONS: dict[str, Any] = {
    "resolve_templates": resolve_templates,
    "sanitize_input": sanitize_input,
    "validate_node_output": DataTypeValidator.validate_node_output,
    "ensure_json_serializable": FunctionWrapper(lambda: None)._ensure_json_serializable,
}
OURS = ours.Stock(STOCK_FUNCTIONS)


def stock_resolve_and_sanitize(value: object, runtime_inputs: dict[str, Any]) -> object:
    """The two steps as a node and its code executor apply them."""
    return sanitize_input(resolve_templates(value, runtime_inputs), context="python_exec")


@dataclass(frozen=True)
class Outcome:
    """What a call did: its result or its exception, and its log lines."""

    result: object
    error: tuple[type[BaseException], str] | None
    log: tuple[tuple[str, int, str], ...]


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[tuple[str, int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((record.name, record.levelno, record.getMessage()))


@contextmanager
def collected_log() -> Iterator[list[tuple[str, int, str]]]:
    """Every log line of Kailash, down to the debug level."""
    logger = logging.getLogger("kailash")
    level, collector = logger.level, _Collector()
    logger.addHandler(collector)
    logger.setLevel(logging.DEBUG)
    try:
        yield collector.lines
    finally:
        logger.setLevel(level)
        logger.removeHandler(collector)


def outcome_of(function: Callable[..., object], *arguments: object) -> Outcome:
    """Call ``function`` and note all that a caller could see of it."""
    result, error = None, None
    with collected_log() as lines:
        try:
            result = function(*arguments)
        except Exception as raised:
            error = (type(raised), str(raised))
    return Outcome(result, error, tuple(lines))


def objects_in(value: object) -> dict[int, object]:
    """Every object reachable through containers, by its id."""
    found: dict[int, object] = {}
    waiting: list[Any] = [value]
    while waiting:
        item = waiting.pop()
        if id(item) in found:
            continue
        found[id(item)] = item
        # By type, because an object may claim another class.
        kind = type(item)
        if issubclass(kind, dict):
            waiting.extend(dict.keys(item))
            waiting.extend(dict.values(item))
        elif issubclass(kind, (list, tuple, set, frozenset)):
            waiting.extend(item)
    return found


def description(value: object, inputs: dict[int, object]) -> object:
    """``value`` in a form that can be compared: types, order, and for every part
    whether it is an object of the input or a new one."""
    origin = id(value) if id(value) in inputs else "new"
    if type(value) is dict:
        entries = [(description(k, inputs), description(v, inputs)) for k, v in value.items()]
        return ("dict", origin, entries)
    if type(value) is list:
        return ("list", origin, [description(item, inputs) for item in value])
    if origin == "new":
        return (type(value), "new", repr(value))
    return (type(value), origin)


def assert_same_outcome(stock: Outcome, native: Outcome, *inputs: object) -> None:
    """Same result down to the identity of its parts, same exception, same log."""
    assert native.error == stock.error
    assert native.log == stock.log
    known = objects_in(list(inputs))
    assert description(native.result, known) == description(stock.result, known)


def nested(depth: int, make: Callable[[object], object], leaf: object) -> object:
    """``leaf`` inside ``depth`` containers."""
    value = leaf
    for _ in range(depth):
        value = make(value)
    return value
