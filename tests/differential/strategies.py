"""Hypothesis strategies for random acyclic workflows."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any

from hypothesis import strategies as st

from .callables import CLASSES, FUNCTIONS
from .code_samples import GROUPS, HARMLESS
from .custom_nodes import CUSTOM, Sub, WithDict
from .description import STOCK_NODES, Big, Description, Edge, NodeSpec

INPUTS = ("data", "x", "y")

texts = st.sampled_from(
    ("", "a", "text", "h\u00e9 \U0001f600", "\ud800", "<script>bad()</script>left", "JAVASCRIPT:x<iframe>", "$;|&`()",
     "${x}", "${y}-${data}", "${missing}", "${", "${}", "../up", "/etc/passwd", "out.txt", "12", "true", "x" * 10_001,
     "x" * 10_000)
)  # fmt: skip
numbers = st.sampled_from(
    (0, 1, -1, 5, 13, 2**63, 2**70, True, False, 0.0, -0.0, 1.0, 1.5, float("nan"), float("inf"), Big())
)
odd = st.sampled_from(
    (b"bytes", {1, 2}, frozenset({1}), Decimal("1.5"), dt.datetime(2020, 1, 2), dt.date(2020, 1, 2), (1, [2]), 1 + 2j,
     WithDict(), Sub(b=1, a=["<script>s</script>"]), PurePosixPath("a/b"), len, range(3), object)
)  # fmt: skip
plain = st.one_of(st.none(), numbers, texts)
values = st.recursive(
    st.one_of(plain, plain, odd),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(("a", "b", "v", "result", "<script>k</script>")), inner, max_size=3),
        st.dictionaries(st.sampled_from((1, None, True, (1, 2))), inner, max_size=1),
    ),
    max_leaves=5,
)

input_names = st.sampled_from(
    (*INPUTS, *INPUTS, "input_data", "value", "items", "config", "path", "file_name", "name", "code", "self",
     "undeclared", "_private", "context", "k", "flag", "result")
)  # fmt: skip
inputs = st.dictionaries(input_names, values, max_size=3)


@st.composite
def codes(draw: st.DrawFn) -> str:
    """Return up to three statements, mostly ones that run."""
    pieces = draw(st.lists(st.sampled_from(HARMLESS), max_size=2) | st.just([]))
    last = draw(st.sampled_from(GROUPS[draw(st.sampled_from(sorted(GROUPS)))]))
    return "\n".join([*pieces, last])


configs = st.dictionaries(
    st.sampled_from((*INPUTS, "config", "note", "path")),
    st.one_of(plain, values, st.dictionaries(st.sampled_from(INPUTS), values, max_size=2)),
    max_size=2,
)

switch_configs = st.one_of(
    st.fixed_dictionaries(
        {
            "operator": st.sampled_from(
                ("==", "!=", ">", "<", ">=", "<=", "in", "contains", "is_null", "is_not_null", "~")
            )
        },
        optional={
            "value": st.sampled_from((1, 5, "a", None, [1, "a"], True)),
            "condition_field": st.sampled_from(("v", "a", "status")),
            "pass_condition_result": st.booleans(),
        },
    ),
    st.fixed_dictionaries(
        {"cases": st.sampled_from((["a", "b"], [1, 2.5], ["x-y", "1.2"], []))},
        optional={"condition_field": st.sampled_from(("v", "a")), "break_after_first_match": st.booleans()},
    ),
)
merge_configs = st.fixed_dictionaries(
    {},
    optional={
        "merge_type": st.sampled_from(("concat", "zip", "merge_dict", "unknown_type", "odd")),
        "key": st.sampled_from(("v", "a")),
        "skip_none": st.booleans(),
    },
)


@st.composite
def node_specs(draw: st.DrawFn) -> NodeSpec:
    """Return one node of any kind."""
    kind = draw(
        st.sampled_from(("code", "code", "code", "function", "class", "file", "custom", "custom", "switch", "stock"))
    )
    if kind == "code":
        return NodeSpec(kind, draw(codes()), draw(st.one_of(st.just({}), configs)))
    if kind == "function":
        return NodeSpec(kind, draw(st.sampled_from(sorted(FUNCTIONS))), draw(st.one_of(st.just({}), configs)))
    if kind == "class":
        return NodeSpec(kind, draw(st.sampled_from(sorted(CLASSES))))
    if kind == "file":
        return NodeSpec(kind, draw(st.sampled_from(("double", "needs", "Holder"))))
    if kind == "custom":
        return NodeSpec(kind, draw(st.sampled_from(sorted(CUSTOM))), draw(configs))
    if kind == "switch":
        return NodeSpec(kind, "SwitchNode", draw(switch_configs))
    what = draw(st.sampled_from(sorted(STOCK_NODES)))
    return NodeSpec(
        kind,
        what,
        draw(merge_configs if what == "MergeNode" else configs) if what != "SwitchNode" else draw(switch_configs),
    )


_LIKELY = {
    "switch": ("true_output", "false_output", "default", "case_a", "case_1", "condition_result"),
    "code": ("result", "result", "result.a.b", "result.v", "out", "b", "v", "data"),
}
_ANY = (
    "result", "result", "result", "result.v", "result.a.b", "result.missing.deeper", "missing", "order", "value",
    "merged_data", "true_output", "result.result", "result.data", "wrapped.result", "also", "a.b", "failed",
)  # fmt: skip


@st.composite
def edges_between(draw: st.DrawFn, source: str, spec: NodeSpec, target: str, target_spec: NodeSpec) -> Edge:
    """Return an edge whose keys mostly exist."""
    keys = st.sampled_from(_LIKELY.get(spec.kind, _ANY) if draw(st.integers(0, 4)) else _ANY)
    if target_spec.what == "MergeNode":
        names = st.sampled_from(("data1", "data2", "data3"))
    elif target_spec.kind == "switch":
        names = st.sampled_from(("input_data", "data", "value", "input_data"))
    else:
        names = st.one_of(st.sampled_from(INPUTS), input_names)
    return Edge(source, target, draw(st.dictionaries(keys, names, min_size=1, max_size=3)))


contexts = st.one_of(
    st.dictionaries(st.sampled_from(("given", "count", "k")), st.sampled_from((1, "v", [1])), max_size=2),
    st.sampled_from((None, "not a dict", 5)),
)
workflow_level = st.dictionaries(
    st.one_of(
        st.sampled_from(INPUTS),
        st.sampled_from(
            ("value", "timeout_ms", "consumer_timeout_ms", "limit", "offset", "max_messages", "path", "input_file",
             "unknown", "config", "operator", "input", "input_data")
        ),
    ),
    values,
    max_size=3,
)  # fmt: skip


@st.composite
def parameter_sets(draw: st.DrawFn, node_ids: list[str]) -> Any:
    """Return parameters per node, for the workflow, mixed, or of a form nobody means."""
    form = draw(st.sampled_from(("none", "none", "node", "node", "workflow", "mixed", "odd")))
    if form == "none":
        return None
    if form == "odd":
        return draw(st.sampled_from(({}, [], "text", 5, {1: 2}, {"": {}}, {node_ids[0]: None}, {node_ids[0]: 5})))
    chosen: dict[str, Any] = {}
    if form in {"node", "mixed"}:
        chosen.update(draw(st.dictionaries(st.sampled_from([*node_ids, "no_such_node"]), inputs, max_size=3)))
    if form in {"workflow", "mixed"}:
        chosen.update(draw(workflow_level))
    if draw(st.integers(0, 2)) == 0:
        chosen["workflow_context"] = draw(contexts)
    return chosen


def options(modes: tuple[str, ...] = ("route_data",)) -> st.SearchStrategy[dict[str, Any]]:
    """Return options of the runtime's constructor."""
    return st.fixed_dictionaries(
        {"enable_monitoring": st.booleans()},
        optional={
            "connection_validation": st.sampled_from(("off", "warn", "strict")),
            "content_aware_success_detection": st.booleans(),
            "debug": st.booleans(),
            "enable_async": st.booleans(),
            "enable_cycles": st.booleans(),
            "conditional_execution": st.sampled_from(modes),
        },
    )


@st.composite
def descriptions(
    draw: st.DrawFn, max_nodes: int = 5, modes: tuple[str, ...] = ("route_data",), parameters: bool = True
) -> Description:
    """Return a random acyclic workflow with parameters and options."""
    ids = draw(st.permutations(("a", "b", "c", "node 4", "\u00e9", "z")))[: draw(st.integers(1, max_nodes))]
    nodes = {node_id: draw(node_specs()) for node_id in ids}
    edges = []
    for at, target in enumerate(ids):
        for source in draw(st.lists(st.sampled_from(ids[:at]), unique=True, max_size=3)) if at else ():
            edges.append(draw(edges_between(source, nodes[source], target, nodes[target])))
    return Description(
        nodes=nodes,
        edges=edges,
        parameters=draw(parameter_sets(list(ids))) if parameters else None,
        options=draw(options(modes)),
        runs=draw(st.sampled_from((1, 1, 2))),
    )


@st.composite
def routed(draw: st.DrawFn, modes: tuple[str, ...] = ("route_data", "skip_branches")) -> Description:
    """Return a switch that feeds branches which meet again, the form conditional runs are for."""
    source = draw(
        st.sampled_from(
            ("result = {'v': 5, 'status': 'a'}", "result = 'a'", "result = None", "result = [{'v': 1}]", "result = 5")
        )
    )
    branch = st.sampled_from(
        ("result = {'got': data}", "result = data", "out = 1", "result = None", "result = 1 / (data == 0)")
    )
    nodes = {
        "start": NodeSpec("code", source),
        "switch": NodeSpec("switch", "SwitchNode", draw(switch_configs)),
        "yes": NodeSpec("code", draw(branch)),
        "no": NodeSpec("code", draw(branch)),
        "merge": draw(st.sampled_from((NodeSpec("stock", "MergeNode"), NodeSpec("custom", "EchoNode"), NodeSpec("code", "result = [data1, data2]")))),
    }  # fmt: skip
    keys = ("true_output", "false_output", "case_a", "case_b", "default", "condition_result", "missing")
    edges = [
        Edge("start", "switch", {"result": draw(st.sampled_from(("input_data", "data")))}),
        Edge("switch", "yes", {draw(st.sampled_from(keys)): "data"}),
        Edge("switch", "no", {draw(st.sampled_from(keys)): "data"}),
        Edge("yes", "merge", {"result": "data1"}),
        Edge("no", "merge", {"result": "data2"}),
    ]
    if draw(st.booleans()):
        nodes["after"] = NodeSpec("code", "result = {'after': data}", draw(st.one_of(st.just({}), configs)))
        edges.append(
            Edge(draw(st.sampled_from(("yes", "merge", "switch"))), "after", {"result": "data", "true_output": "x"})
        )
    return Description(nodes, edges, None, draw(options(modes)), draw(st.sampled_from((1, 2))))
