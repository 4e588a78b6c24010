"""Random workflows around switches: nested, in layers, meeting again, failing."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from .description import Description, Edge, NodeSpec
from .strategies import configs, merge_configs, options, parameter_sets, switch_configs

SOURCES = (
    "result = {'v': 5, 'status': 'a'}", "result = {'v': 1}", "result = 'a'", "result = None", "result = [{'v': 1}]",
    "result = 5", "result = {'status': 'unknown'}", "raise ValueError('no source')", "out = 1",
)  # fmt: skip
BRANCHES = (
    "result = {'got': data}", "result = data", "out = 1", "result = None", "result = 1 / (data == 0)",
    "raise KeyError('branch')", "result = {'v': 5, 'was': str(data)}", "success = False\nresult = data",
)  # fmt: skip
boolean_switches = st.fixed_dictionaries(
    {"operator": st.sampled_from(("==", "!=", ">", "<", "is_null", "is_not_null", "in", "contains", "~"))},
    optional={
        "value": st.sampled_from((1, 5, "a", None, [1, "a"], True, "${wanted}")),
        "condition_field": st.sampled_from(("v", "status", "missing", "")),
        "pass_condition_result": st.booleans(),
        "note": st.just(1),
    },
)


@st.composite
def branches(draw: st.DrawFn) -> NodeSpec:
    """Return a node that a switch may lead to."""
    kind = draw(st.sampled_from(("code", "code", "code", "custom", "merge", "async")))
    if kind == "code":
        return NodeSpec("code", draw(st.sampled_from(BRANCHES)), draw(st.one_of(st.just({}), configs)))
    if kind == "merge":
        return NodeSpec("stock", "MergeNode", draw(merge_configs))
    if kind == "async":
        return NodeSpec("custom", draw(st.sampled_from(("AsyncEchoNode", "CleanupNode"))))
    what = ("EchoNode", "TypedNode", "MappedNode", "RequiredNode", "OwnExecuteNode", "RaisingNode", "ContextNode",
            "OutputSchemaNode", "NonDictNode", "OddOutputNode", "OwnValidationNode")  # fmt: skip
    return NodeSpec("custom", draw(st.sampled_from(what)), draw(st.one_of(st.just({}), configs)))


@st.composite
def branching(
    draw: st.DrawFn,
    modes: tuple[str, ...] = ("skip_branches",),
    cases: bool = False,
    most_switches: int = 4,
) -> Description:
    """Return a workflow of which switches decide.

    ``cases``: switches may have cases, which stock cannot prune.
    """
    nodes: dict[str, NodeSpec] = {}
    edges: list[Edge] = []
    for number in range(draw(st.integers(1, 2))):
        nodes[f"start {number}"] = NodeSpec("code", draw(st.sampled_from(SOURCES)))
    order = draw(st.permutations(range(8)))
    kinds = draw(st.lists(st.sampled_from(("switch", "branch", "branch")), min_size=2, max_size=7))
    switches = 0
    for number, kind in zip(order, ["switch", *kinds], strict=False):
        is_switch = kind == "switch" and switches < most_switches
        switches += is_switch
        name = f"{'s' if is_switch else 'n'}{number}"
        known = list(nodes)
        sources = draw(st.lists(st.sampled_from(known), min_size=1, max_size=1 if is_switch else 3, unique=True))
        if is_switch:
            drawn = draw(st.one_of(boolean_switches, switch_configs) if cases else boolean_switches)
            nodes[name] = NodeSpec("switch", "SwitchNode", drawn)
        else:
            nodes[name] = draw(branches())
        for place, source in enumerate(sources):
            if nodes[source].kind == "switch":
                key = draw(
                    st.sampled_from(("true_output", "false_output", "true_output", "false_output", "condition_result"))
                    if not cases
                    else st.sampled_from(("true_output", "false_output", "case_a", "case_1", "default"))
                )
            else:
                key = draw(st.sampled_from(("result", "result", "result", "merged_data", "result.v", "missing")))
            if is_switch:
                target = draw(st.sampled_from(("input_data", "input_data", "data", "value")))
            elif nodes[name].what == "MergeNode":
                target = f"data{place + 1}" if draw(st.booleans()) else "data1"
            else:
                target = draw(st.sampled_from(("data", "data", "x", "y")))
            edges.append(Edge(source, name, {key: target}))
    parameters: Any = draw(st.one_of(st.none(), parameter_sets(list(nodes))))
    return Description(nodes, edges, parameters, draw(options(modes)), draw(st.sampled_from((1, 1, 2))))
