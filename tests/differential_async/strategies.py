"""Hypothesis strategies for random acyclic workflows with async nodes, and ways to run them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from differential import strategies as synchronous
from differential.strategies import INPUTS, configs, edges_between, switch_configs, values

from .async_nodes import ASYNC_NODES, SYNC_NODES
from .async_samples import ASYNC_GROUPS, ASYNC_HARMLESS
from .description import ENTRIES, AsyncDescription, AsyncSpec, Edge

__all__ = ["descriptions", "node_specs", "routed"]

# These end a loop or a task rather than a node; they are looked at one by one.
_ENDING = ("SystemExit", "exit()", "GeneratorExit", "BaseException")


def _converted(spec: Any) -> AsyncSpec:
    return AsyncSpec(spec.kind, spec.what, spec.config)


sync_specs = st.one_of(
    synchronous.node_specs().map(_converted),
    synchronous.node_specs().map(_converted),
    st.builds(AsyncSpec, st.just("own"), st.sampled_from(sorted(SYNC_NODES)), configs),
).filter(lambda spec: not spec.is_async and not any(word in spec.what for word in _ENDING))


@st.composite
def async_codes(draw: st.DrawFn) -> str:
    """Return up to three statements, mostly ones that run."""
    pieces = draw(st.lists(st.sampled_from(ASYNC_HARMLESS), max_size=2) | st.just([]))
    last = draw(st.sampled_from(ASYNC_GROUPS[draw(st.sampled_from(sorted(ASYNC_GROUPS)))]))
    return "\n".join([*pieces, last])


async_specs = st.one_of(
    st.builds(AsyncSpec, st.just("async code"), async_codes(), st.one_of(st.just({}), configs)),
    st.builds(AsyncSpec, st.just("own"), st.sampled_from(sorted(ASYNC_NODES)), configs),
    st.builds(
        AsyncSpec,
        st.just("own"),
        st.sampled_from(("EchoAsync", "PausingAsync", "CleanupAsync", "ResourceAsync")),
        configs,
    ),
)


def node_specs(plan: str) -> st.SearchStrategy[AsyncSpec]:
    """Return nodes for a plan that is ``"sync"``, ``"async"`` or ``"mixed"``."""
    return {"sync": sync_specs, "async": async_specs, "mixed": sync_specs | async_specs}[plan]


@st.composite
def inputs_for(draw: st.DrawFn, node_ids: list[str]) -> Any:
    """Return inputs for the workflow, per node, mixed, both, or of a form nobody means."""
    form = draw(st.sampled_from(("none", "none", "node", "node", "workflow", "mixed", "both", "odd")))
    if form == "none":
        return {}
    if form == "both":  # for all nodes and for one, in either order
        levels = [("x", draw(values)), (node_ids[-1], {"x": draw(values)})]
        return dict(draw(st.permutations(levels)))
    if form == "odd":
        odd: tuple[Any, ...] = (None, [], "", "text", 5, [("x", 1)], {1: 2}, {node_ids[0]: None}, {node_ids[0]: [1]})
        return draw(st.sampled_from(odd))
    chosen: dict[str, Any] = {}
    if form in {"node", "mixed"}:
        keys = st.sampled_from([*node_ids, "no_such_node"])
        chosen.update(
            draw(st.dictionaries(keys, st.one_of(synchronous.inputs, synchronous.inputs, values), max_size=3))
        )
    if form in {"workflow", "mixed"}:
        names = st.sampled_from(
            (*INPUTS, *INPUTS, "value", "config", "self", "input_data", "path", "resource_registry")
        )
        chosen.update(draw(st.dictionaries(names, values, max_size=3)))
    return chosen


def options() -> st.SearchStrategy[dict[str, Any]]:
    """Return options of the runtime's constructor."""
    return st.fixed_dictionaries(
        {},
        optional={
            "enable_analysis": st.sampled_from((True, True, False)),
            "enable_profiling": st.booleans(),
            "execution_timeout": st.sampled_from((0, None, 60)),
            "thread_pool_size": st.sampled_from((1, 4)),
            "conditional_execution": st.just("route_data"),
            "connection_validation": st.sampled_from(("off", "strict")),
            "content_aware_success_detection": st.booleans(),
            "debug": st.booleans(),
        },
    )


@st.composite
def ways(draw: st.DrawFn, description: AsyncDescription) -> AsyncDescription:
    """Return the description with a way to run it."""
    description.options = draw(options())
    description.entry = draw(st.sampled_from((ENTRIES[0], *ENTRIES)))
    if description.entry == ENTRIES[0]:
        description.context = draw(st.sampled_from(("none", "fresh", "shared")))
        description.variables = draw(st.sampled_from(({}, {"x": "from the context"}, {"a": {"y": 1}, "k": [1]})))
        description.one_loop = draw(st.booleans())
    description.caller = draw(st.sampled_from((None, "the caller's")))
    # A registry is tied to the loop it was used on first.
    description.registry = description.entry != "execute" and description.one_loop and draw(st.booleans())
    if description.is_sequential and any(spec.order_matters for spec in description.nodes.values()):  # type: ignore[attr-defined]
        description.options["max_concurrent_nodes"] = 1
    return description


@st.composite
def descriptions(draw: st.DrawFn, max_nodes: int = 5, plans: tuple[str, ...] = ("sync", "async", "mixed")) -> Any:
    """Return a random acyclic workflow, its inputs, and a way to run it."""
    plan = draw(st.sampled_from(plans))
    ids = draw(st.permutations(("a", "b", "c", "node 4", "\u00e9", "z")))[: draw(st.integers(1, max_nodes))]
    nodes = {node_id: draw(node_specs(plan)) for node_id in ids}
    # Where stock has no order, a node that sees the order has to be alone.
    ordered = plan != "sync" and any(spec.order_matters for spec in nodes.values())
    edges = []
    for at, target in enumerate(ids):
        sources = set(draw(st.lists(st.sampled_from(ids[:at]), unique=True, max_size=3))) if at else set()
        if ordered and at:
            sources.add(ids[at - 1])
        for source in sorted(sources):
            edges.append(draw(edges_between(source, nodes[source], target, nodes[target])))
    return draw(ways(AsyncDescription(nodes, edges, draw(inputs_for(list(ids))))))


@st.composite
def routed(draw: st.DrawFn) -> AsyncDescription:
    """Return a switch that feeds branches which meet again, of nodes of either kind."""
    start = draw(st.sampled_from(("{'v': 5, 'status': 'a'}", "'a'", "None", "[{'v': 1}]", "5")))
    code = st.sampled_from(
        ("result = {'got': data}", "result = data", "out = 1", "result = None", "result = 1 / (data == 0)")
    )
    kinds = st.sampled_from(("code", "async code"))
    branch = st.one_of(
        st.builds(AsyncSpec, kinds, code),
        st.builds(
            AsyncSpec, st.just("own"), st.sampled_from(("EchoAsync", "CleanupAsync", "RecordingNode", "NonDictSync"))
        ),
    )
    keys = st.sampled_from(("true_output", "false_output", "case_a", "default", "condition_result", "missing"))
    nodes = {
        "start": AsyncSpec(draw(kinds), f"{draw(st.sampled_from(('result', 'out', 'out')))} = {start}"),
        "switch": AsyncSpec("switch", "SwitchNode", draw(switch_configs)),
        "yes": draw(branch),
        "no": draw(branch),
        "after": draw(branch),
        "merge": draw(st.sampled_from((AsyncSpec("stock", "MergeNode"), AsyncSpec("own", "EchoAsync"), AsyncSpec("custom", "EchoNode")))),
    }  # fmt: skip
    edges = [
        Edge("start", "switch", {draw(st.sampled_from(("out", "out", "result", "result.v"))): "input_data"}),
        Edge("switch", "yes", {draw(keys): "data"}),
        Edge("switch", "no", {draw(keys): "data"}),
        Edge("no", "after", {draw(st.sampled_from(("result", "result.got", "missing", "result.result"))): "data"}),
        Edge("yes", "merge", {"result": draw(st.sampled_from(("data1", "data")))}),
        Edge("after", "merge", {"result": draw(st.sampled_from(("data2", "data")))}),
    ]
    description = AsyncDescription(nodes, edges, draw(st.sampled_from(({}, {"switch": {"value": 5}}, {"data": None}))))
    return draw(ways(description))
