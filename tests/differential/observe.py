"""Run a description on one runtime class and record everything a caller can see."""

from __future__ import annotations

import contextlib
import copy
import logging
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from kailash.workflow.graph import Workflow

from .description import Description
from .normalise import normalise
from .snapshot import Picture, Snapshot
from .subject import StockRuntime

_UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_CLOCK_KEYS = {"timestamp", "duration_ms", "total_duration_ms"}
_NODE_STATE = ("seen", "own", "cleaned", "factor")


class EndlessFallbackError(BaseException):
    """Stock's ``skip_branches`` fell back into itself, which it then does for ever."""


class GuardedStock(StockRuntime):
    """Stock, except that its endless fallback is cut short so that the case can be left out."""

    _depth = 0

    def falls_back_again(self) -> BaseException:
        """Return what stands for the endless rest."""
        return EndlessFallbackError()

    async def _execute_conditional_approach(self, *args: Any, **kwargs: Any) -> Any:
        if self._depth:
            raise self.falls_back_again()
        self._depth += 1
        try:
            return await super()._execute_conditional_approach(*args, **kwargs)
        finally:
            self._depth -= 1


class ShortenedStock(GuardedStock):
    """Stock as it behaves in the end, when Python's recursion limit has stopped its fallback."""

    def falls_back_again(self) -> BaseException:
        return RecursionError("maximum recursion depth exceeded")


# Messages and ``repr`` name the class in places.
for _stock in (GuardedStock, ShortenedStock):
    _stock.__name__ = StockRuntime.__name__
    _stock.__qualname__ = StockRuntime.__qualname__


class Comparison:
    """How outcomes are compared. Of nodes that run in another process less can be seen."""

    picture: type[Snapshot] = Snapshot
    node_state = True
    #: Loggers whose records are made where the nodes are, and stay there.
    unread: tuple[str, ...] = ()
    #: Whether nodes see what a program has changed in classes since it began.
    sees_patched_classes = True
    #: Says of a workflow why its outcome cannot be the same; empty if it can.
    told_apart: Callable[[Description], str] = staticmethod(lambda description: "")


def run_id_form(run_id: object) -> str:
    """Return what kind of run id this is, since the id itself is random."""
    if isinstance(run_id, str) and _UUID4.fullmatch(run_id):
        return "uuid4"
    return repr(run_id)


def _visible_context(context: dict[str, Any]) -> dict[Any, Any]:
    """Return the workflow context without clocks and with the tracker's content."""
    seen: dict[Any, Any] = {}
    for key, value in context.items():
        if key == "_audit_trail" and isinstance(value, list):
            seen[key] = [{k: v for k, v in event.items() if k not in _CLOCK_KEYS} for event in value]
        elif key == "execution_tracker" and hasattr(value, "to_dict"):
            seen[key] = value.to_dict()
        else:
            seen[key] = value
    return seen


def _node_state(workflow: Workflow) -> dict[str, Any]:
    return {
        node_id: (node.config, {name: vars(node)[name] for name in _NODE_STATE if name in vars(node)})
        for node_id, node in workflow._node_instances.items()
    }


def run_once(runtime: Any, workflow: Workflow, parameters: Any, picture: Snapshot) -> Picture:
    """Execute once and return the picture of the outcome, the error included."""
    context = parameters.get("workflow_context") if isinstance(parameters, dict) else None
    outcome: tuple[Any, ...]
    try:
        answer = runtime.execute(workflow, parameters=parameters)
    except (KeyboardInterrupt, EndlessFallbackError):
        raise
    except BaseException as error:  # noqa: BLE001 - SystemExit of a node is an outcome as well
        outcome = ("raised", picture(error))
    else:
        results, run_id = answer
        outcome = ("returned", type(answer).__name__, picture(results), run_id_form(run_id))
    return (
        outcome,
        ("parameters", picture(parameters)),
        ("context", picture(_visible_context(context)) if isinstance(context, dict) else None),
        ("nodes", picture(_node_state(workflow)) if Comparison.node_state else None),
    )


def observe(runtime_class: type[Any], description: Description, workflow: Workflow | None = None) -> Picture:
    """Run ``description`` on a fresh workflow and return the picture of all its runs.

    One numbering of objects covers all runs, so sharing between two runs shows too.
    """
    workflow = workflow or description.build()
    parameters = copy.deepcopy(description.parameters)
    picture = Comparison.picture()
    # One node after the other, as on stock: a node that runs beside one that fails would leave
    # its traces too. What runs in parallel is compared in tests/runtime.
    options = {**description.options, "max_concurrency": 1}
    runtime = runtime_class(**options).mark_externally_managed()
    try:
        return tuple(run_once(runtime, workflow, parameters, picture) for _ in range(description.runs))
    finally:
        runtime.close()


# Whether a run needs an event loop is not a behaviour, only how stock is made.
# Stock says at every execution that it does not import scipy where CI is set; ours does not
# import what no code names (docs/compatibility.md).
_PRIVATE = re.compile(r"event loop for runtime|Skipping scipy import in CI environment")


class _Recorder(logging.Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.seen: Counter[tuple[str, str, str]] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "kailash" or record.name.startswith("kailash."):
            text = normalise(record.getMessage())
            if not (_PRIVATE.search(text) or record.name in Comparison.unread):
                self.seen[record.name, record.levelname, text] += 1


@contextlib.contextmanager
def recorded_logs(level: int) -> Iterator[Counter[tuple[str, str, str]]]:
    """Collect the records of all ``kailash`` loggers at ``level`` and above."""
    root, kailash = logging.getLogger(), logging.getLogger("kailash")
    recorder, before = _Recorder(level), kailash.level
    root.addHandler(recorder)
    kailash.setLevel(level)
    try:
        yield recorder.seen
    finally:
        kailash.setLevel(before)
        root.removeHandler(recorder)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep user code's syntax warnings and stock's logging out of the test output."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(before)
