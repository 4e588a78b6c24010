"""What holds for the runs of single workflows on a runtime, beside the runtime's own options."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from nexus_core.runtime.async_run import inside
from nexus_core.runtime.turns import Turns

__all__ = ["Turn", "WorkflowRule", "WorkflowRules", "add_rule", "rule_of"]


@dataclass(slots=True)
class WorkflowRule:
    """What holds for the runs of one workflow.

    Attributes:
        timeout: Seconds that a run may take, in place of the runtime's ``execution_timeout``.
        turns: Bounds how many runs are under way at once.
        in_order: Whether ready nodes start in topological order, not the longest path first.
        one_at_a_time: Whether no two nodes of a run overlap.
        afterwards: Called when a run has ended.
        is_ahead: Whether its plan was made ahead of its first run.
    """

    timeout: float | None = None
    turns: Turns | None = None
    in_order: bool = False
    one_at_a_time: bool = False
    afterwards: Callable[[], object] | None = None
    is_ahead: bool = False

    @property
    def surrounds(self) -> bool:
        """Whether something is to be done before and after a run."""
        return self.turns is not None or self.afterwards is not None

    @property
    def orders_nodes(self) -> bool:
        """Whether it says how nodes follow one another."""
        return self.in_order or self.one_at_a_time


class Turn:
    """What a workflow's rule has done before and after one run.

    A run inside of a node waits for nobody, who may wait for the place, the thread or the turn
    that it holds.

    Args:
        rule: The rule.
    """

    __slots__ = ("_afterwards", "_around", "_is_over", "_turns")

    def __init__(self, rule: WorkflowRule) -> None:
        self._is_over: bool = False
        self._around = _current.get()
        is_inside = inside.get() is not None or (self._around is not None and not self._around._is_over)
        self._turns = None if is_inside else rule.turns
        self._afterwards = rule.afterwards

    async def __aenter__(self) -> Turn:
        if self._turns is not None:
            await self._turns.__aenter__()
        _current.set(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        self.step_out()
        self._around = None
        if self._turns is not None:
            await self._turns.__aexit__()
        if self._afterwards is not None:
            self._afterwards()

    def step_out(self) -> None:
        """What begins in this context from now on is not inside of the run."""
        # Whoever closes a stream may have another context than who began it.
        if _current.get() is self:
            _current.set(self._around)


#: That of the run in whose context a run begins. It holds also where nothing tells a node of
#: its place: in runs that are pruned, that are Kailash's own, and on the event loop.
_current: ContextVar[Turn | None] = ContextVar("nexus_core_turn", default=None)
_NO_RULE = WorkflowRule()
# The collector may end an optimizer's change while its thread is in here.
_changing = threading.RLock()

#: Values that were added one after the other, and are taken away in any order.
_Layers = tuple[dict[str, Any], ...]


class WorkflowRules:
    """The rules of a runtime, for as long as their workflows live."""

    __slots__ = ("__weakref__", "_rules")

    def __init__(self) -> None:
        self._rules: dict[int, tuple[weakref.ref[Any], WorkflowRule, _Layers]] = {}

    def of(self, workflow: Any) -> WorkflowRule | None:
        """The rule for a workflow, if there is one.

        Args:
            workflow: A built workflow.
        """
        entry = self._rules.get(id(workflow))
        return entry[1] if entry is not None and entry[0]() is workflow else None

    def layers_of(self, workflow: Any) -> _Layers:
        """What the rule for a workflow is made of."""
        entry = self._rules.get(id(workflow))
        return entry[2] if entry is not None and entry[0]() is workflow else ()

    def put(self, workflow: Any, layers: _Layers) -> None:
        """Makes them the workflow's; of what several say, the last holds."""
        number, rules = id(workflow), weakref.ref(self)

        def forget(_: object) -> None:
            own = rules()
            entry = None if own is None else own._rules.get(number)
            # Another may have its address by now.
            if own is not None and entry is not None and entry[0]() is None:
                own._rules.pop(number, None)

        values: dict[str, Any] = {}
        for layer in layers:
            values |= layer
        self._rules[number] = (weakref.ref(workflow, forget), WorkflowRule(**values), layers)

    def drop(self, workflow: Any) -> None:
        """Forgets the rule of a workflow."""
        self._rules.pop(id(workflow), None)

    def __len__(self) -> int:
        return len(self._rules)


def rule_of(runtime: Any, workflow: Any) -> WorkflowRule:
    """What holds for a workflow on a runtime; not to be changed.

    Args:
        runtime: An ``AsyncLocalRuntime``.
        workflow: A built workflow.
    """
    rules: WorkflowRules | None = runtime._rules
    return (None if rules is None else rules.of(workflow)) or _NO_RULE


def add_rule(runtime: Any, workflow: Any, **values: Any) -> Callable[[], None]:
    """Adds to what holds for a workflow's runs that begin from now on.

    A runtime without rules is as it was before it had any.

    Args:
        runtime: An ``AsyncLocalRuntime``.
        workflow: A built workflow.
        **values: Attributes of `WorkflowRule`; they come before what was added earlier.

    Returns:
        What takes it away again, and nothing that others have added before or since.
    """
    layer = values

    def add() -> _Layers:
        return (*_layers_of(runtime, workflow), layer)

    def without() -> _Layers:
        return tuple(each for each in _layers_of(runtime, workflow) if each is not layer)

    _set_layers(runtime, workflow, add)
    return lambda: _set_layers(runtime, workflow, without)


def _layers_of(runtime: Any, workflow: Any) -> _Layers:
    rules: WorkflowRules | None = runtime._rules
    return () if rules is None else rules.layers_of(workflow)


def _set_layers(runtime: Any, workflow: Any, wanted: Callable[[], _Layers]) -> None:
    with _changing:
        layers = wanted()
        rules: WorkflowRules | None = runtime._rules
        if layers:
            if rules is None:
                rules = runtime._rules = WorkflowRules()
            rules.put(workflow, layers)
        elif rules is not None:
            rules.drop(workflow)
            if not len(rules):
                runtime._rules = None
