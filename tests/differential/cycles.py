"""Workflows with cycles as plain data, and hypothesis' ways to make them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from kailash.nodes.base import Node, NodeParameter
from kailash.workflow.graph import Workflow

from .custom_nodes import CUSTOM
from .description import Description, Edge, NodeSpec

#: What is known under an input's name, or nothing.
_READ = "try:\n    seen = x\nexcept NameError:\n    seen = None\n"


def stops_at_three(results: dict[str, Any], state: Any) -> bool:
    """A convergence callback."""
    return bool(state.iteration >= 3)


def raises(results: dict[str, Any], state: Any) -> bool:
    """A convergence callback that fails, which ends the cycle."""
    raise ValueError("no idea")


CALLBACKS: dict[str, Callable[[dict[str, Any], Any], bool]] = {f.__name__: f for f in (stops_at_three, raises)}


class KeepsState(Node):
    """Asks for something to be kept from one iteration to the next."""

    def get_parameters(self) -> dict[str, NodeParameter]:
        return {"x": NodeParameter(name="x", type=object, required=False, default=None)}

    def run(self, **inputs: Any) -> dict[str, Any]:
        cycle = inputs.get("context", {}).get("cycle", {})
        kept = cycle.get("node_state")
        n = (kept or {}).get("n", 0) + 1
        state = {"n": n, "list": [n, None, {"x": None, "y": (None,)}], "none": None}
        return {"result": {"n": n, "kept": kept, "iteration": cycle.get("iteration")}, "_cycle_state": state}


CUSTOM["KeepsState"] = KeepsState


@dataclass
class Cycle:
    """An edge that leads back, and when the cycle ends."""

    source: str
    target: str
    mapping: dict[str, str]
    limits: dict[str, Any]
    name: str | None = "loop"


class WithCycles:
    """What a description with edges that lead back has beside others."""

    cycles: list[Cycle]

    def build(self) -> Workflow:
        """Build the workflow with node instances of its own."""
        workflow: Workflow = super().build()  # type: ignore[misc]  # of the description that this is mixed with
        for cycle in self.cycles:
            builder = workflow.create_cycle(cycle.name) if cycle.name is not None else workflow.create_cycle()
            builder.connect(cycle.source, cycle.target, mapping=dict(cycle.mapping))
            limits = copy.deepcopy(cycle.limits)
            check = limits.pop("convergence_check", None)
            for name, value in limits.items():
                getattr(builder, name)(value)
            if "max_iterations" not in limits and "timeout" not in limits:
                builder.max_iterations(4)
            if isinstance(check, str) and check not in CALLBACKS:
                builder.converge_when(check)
            builder.build()
            if check is not None:
                # What no builder takes, an edge does.
                attributes = workflow.graph._edge_attrs[cycle.source, cycle.target]
                attributes["convergence_check"] = CALLBACKS.get(check, check) if isinstance(check, str) else check
        return workflow


@dataclass
class CyclicDescription(WithCycles, Description):
    """A description with edges that lead back."""

    cycles: list[Cycle] = field(default_factory=list)


def adds(amount: int, *, keeps: str = "") -> NodeSpec:
    """A node that adds to what it is given; ``keeps`` is more code."""
    return NodeSpec("code", f"{_READ}value = (seen if isinstance(seen, int) else 0) + {amount}\n{keeps}result = value")


def counting(check: Any = "value >= 5", limit: int | None = 10, **options: Any) -> CyclicDescription:
    """A chain of three whose last node leads back to its first."""
    limits: dict[str, Any] = {} if limit is None else {"max_iterations": limit}
    if check is not None:
        limits["convergence_check"] = check
    return CyclicDescription(
        nodes={
            "start": NodeSpec("code", "result = 0"),
            "a": adds(1),
            "b": adds(0),
            "c": NodeSpec("code", f"{_READ}result = {{'value': seen, 'half': (seen or 0) / 2}}"),
            "end": NodeSpec("code", f"{_READ}result = ['end', seen]"),
        },
        edges=[
            Edge("start", "a", {"result": "x"}),
            Edge("a", "b", {"result": "x"}),
            Edge("b", "c", {"result": "x"}),
            Edge("c", "end", {"result.value": "x"}),
        ],
        cycles=[Cycle("c", "a", {"result.value": "x"}, limits)],
        **options,
    )


_BODIES = [
    adds(1),
    adds(2),
    NodeSpec("code", f"{_READ}result = {{'value': seen, 'list': [seen, None, 1.5]}}"),
    NodeSpec("code", f"{_READ}value = seen\nother = [1, None]\ncontext = sorted(context)"),
    NodeSpec("code", f"{_READ}result = (context.get('cycle') or {{}}).get('iteration', 'none')"),
    NodeSpec("code", f"{_READ}result = sorted(context), sorted(context.get('cycle', {{}}))"),
    NodeSpec("custom", "KeepsState"),
    NodeSpec("code", f"{_READ}result = None"),
    NodeSpec("code", f"{_READ}if seen == 3:\n    raise ValueError('three')\nresult = (seen or 0) + 1"),
    NodeSpec("code", f"{_READ}result = 1 / ((seen or 0) - 4)", {"x": 4.5}),
    NodeSpec("code", f"{_READ}result = seen", {"x": "configured", "unused": None}),
    NodeSpec("function", "keywords"),
    NodeSpec("function", "annotated"),
    NodeSpec("custom", "SwitchNode", {"condition_field": "value", "operator": "<", "value": 3}),
]  # fmt: skip

_SOURCE_KEYS = ["result", "result.value", "result.n", "value", "output", "true_output", "false_output", "missing.deep"]
_CHECKS: list[Any] = [
    None, "value >= 3", "iteration >= 2", "n3['result'] == 2", "unknown > 1", "1 /", "  True", 3, 0,
    "stops_at_three", "raises", {"type": "max_iterations", "max_iterations": 2},
    {"type": "compound", "conditions": ["iteration > 5", 2], "operator": "OR"}, {"type": "odd"}, [1],
]  # fmt: skip


@st.composite
def cyclic_descriptions(draw: st.DrawFn) -> CyclicDescription:
    """Any workflow with one to three edges that lead back."""
    count = draw(st.integers(1, 6))
    names = [f"n{i}" for i in range(count)]
    nodes = {name: draw(st.sampled_from(_BODIES)) for name in names}
    target_key = {name: "input_data" if nodes[name].what == "SwitchNode" else "x" for name in names}
    key = st.sampled_from(_SOURCE_KEYS)
    edges: dict[tuple[str, str], Edge] = {}
    for target in range(1, count):
        for source in draw(st.lists(st.integers(0, target - 1), max_size=2, unique=True)):
            pair = names[source], names[target]
            edges[pair] = Edge(*pair, {draw(key): target_key[names[target]]})
    cycles: dict[tuple[str, str], Cycle] = {}
    for number in range(draw(st.integers(1, 3))):
        source = draw(st.integers(0, count - 1))
        target = draw(st.integers(0, source))
        pair = names[source], names[target]
        if pair in edges or pair in cycles:
            continue
        limits: dict[str, Any] = {"max_iterations": draw(st.integers(1, 5))}
        check = draw(st.sampled_from(_CHECKS))
        if check is not None:
            limits["convergence_check"] = check
        name = draw(st.sampled_from(["loop", f"loop{number}", None]))
        cycles[pair] = Cycle(*pair, {draw(key): target_key[names[target]]}, limits, name)
    parameters: Any = None
    if draw(st.booleans()):
        parameters = {name: {"x": draw(st.sampled_from([0, 2, "text", None, [1, None]]))} for name in names[:2]}
    return CyclicDescription(
        nodes=nodes,
        edges=list(edges.values()),
        parameters=parameters,
        runs=draw(st.sampled_from([1, 1, 2])),
        cycles=list(cycles.values()),
    )
