"""Every code sample, callable and node class at least once, whatever hypothesis draws."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .callables import CLASSES, FUNCTIONS
from .code_samples import GROUPS
from .custom_nodes import CUSTOM
from .description import STOCK_NODES, Description, Edge, NodeSpec

NESTED = {"v": 1, "a": {"b": [1, 2]}, "text": "<script>x</script>kept"}
FEED = NodeSpec("code", "result = {'v': 1, 'a': {'b': [1, 2]}, 'text': '<scr' + 'ipt>x</script>kept'}")
QUICK = {"enable_monitoring": False}
X_VALUES = (None, 1, 12, 123, "1234", 12345, 123456, 1234567, 13, "text" * 2, 1.5, [1], {"k": 1})


def code_cases(group: str) -> Iterator[Description]:
    """Return each sample of a group as a leaf, with inputs, and with a node that depends on it."""
    for sample in GROUPS[group]:
        spec = NodeSpec("code", sample)
        yield Description({"n": spec}, [], None, QUICK)
        yield Description(
            {"feed": FEED, "n": spec, "reader": NodeSpec("custom", "EchoNode")},
            [
                Edge("feed", "n", {"result": "data", "result.v": "x"}),
                Edge("n", "reader", {"result": "data", "out": "x", "data": "y"}),
            ],
            {"workflow_context": {"given": [1]}},
            {"enable_monitoring": True},
            runs=2,
        )
        yield Description(
            {"n": spec, "code_reader": NodeSpec("code", "result = [data, x]")},
            [Edge("n", "code_reader", {"result": "data", "result.a": "x"})],
            {"data": [3, 1, 2], "n": {"x": 4, "data": {"a": {"b": []}}}},
            {"enable_monitoring": False, "connection_validation": "strict"},
        )


def _around(spec: NodeSpec, x: Any) -> Iterator[Description]:
    yield Description({"n": spec}, [], {"n": {"x": x, "data": NESTED}}, QUICK, runs=2)
    yield Description({"n": spec}, [], {"x": x, "y": "3", "unknown": 1}, {"connection_validation": "off", **QUICK})
    yield Description(
        {"feed": FEED, "n": spec, "reader": NodeSpec("code", "result = data")},
        [Edge("feed", "n", {"result": "data", "result.text": "y"}), Edge("n", "reader", {"result": "data"})],
        {"n": {"x": x}},
        {"connection_validation": "strict", **QUICK},
    )


def callable_cases() -> Iterator[Description]:
    """Return every wrapped function, class and file with a range of inputs."""
    for x in X_VALUES:
        for what in FUNCTIONS:
            yield from _around(NodeSpec("function", what), x)
        for what in CLASSES:
            yield from _around(NodeSpec("class", what), x)
    for what in ("double", "needs", "Holder"):
        yield from _around(NodeSpec("file", what), 2)


def node_cases() -> Iterator[Description]:
    """Return every node class, configured or not, with a range of inputs."""
    for what in (*CUSTOM, *STOCK_NODES):
        for x in X_VALUES:
            yield from _around(NodeSpec("custom", what), x)
        for x in (1, 13):
            yield from _around(NodeSpec("custom", what, {"x": 7, "config": {"y": 5, "x": 8}, "data": {"t": "${x}"}}), x)


def switch_cases(modes: tuple[str, ...] = ("route_data", "skip_branches")) -> Iterator[Description]:
    """Return switches with every operator, feeding two branches that meet again."""
    data = ("5", "'a'", "None", "{'v': 5}", "[{'v': 1}, {'v': 5}, {'w': 0}]", "[1, 'a']", "float('nan')")
    configs: list[dict[str, Any]] = [
        {"operator": operator, "value": value}
        for operator in ("==", "!=", ">", "<", ">=", "<=", "in", "contains", "is_null", "is_not_null", "unknown")
        for value in (5, "a", None, [1, "a", 5])
    ]
    configs += [
        {"cases": ["a", 5, "x-y 1.2:3/4"]},
        {"cases": [1, 5], "condition_field": "v"},
        {"cases": [1, 5], "condition_field": "v", "break_after_first_match": False, "pass_condition_result": False},
        {"operator": ">", "value": 3, "condition_field": "v", "pass_condition_result": False},
        {"operator": "==", "value": "${wanted}"},
    ]
    for mode in modes:
        for number, config in enumerate(configs):
            for value in data if mode == "route_data" else data[number % len(data) :][:2]:
                yield Description(
                    {
                        "start": NodeSpec("code", f"result = {value}"),
                        "switch": NodeSpec("switch", "SwitchNode", config),
                        "yes": NodeSpec("code", "result = {'yes': data}"),
                        "no": NodeSpec("custom", "EchoNode", {"note": 1}),
                        "after_no": NodeSpec("code", "result = data"),
                        "merge": NodeSpec("stock", "MergeNode"),
                    },
                    [
                        Edge("start", "switch", {"result": "input_data"}),
                        Edge("switch", "yes", {"true_output": "data", "case_5": "x"}),
                        Edge("switch", "no", {"false_output": "data", "case_a": "x"}),
                        Edge("no", "after_no", {"result": "data"}),
                        Edge("yes", "merge", {"result": "data1"}),
                        Edge("after_no", "merge", {"result": "data2"}),
                    ],
                    {"switch": {"wanted": 5}} if "${wanted}" in config.values() else None,
                    {"conditional_execution": mode, "enable_monitoring": False},
                )


def odd_cases() -> Iterator[Description]:
    """Return shapes of workflows and parameters that have no other home."""
    echo, code = NodeSpec("custom", "EchoNode"), NodeSpec("code", "result = sorted(k for k in ('x', 'y', 'data') if k)")
    yield Description({})
    for parameters in (
        {},
        [],
        "text",
        5,
        (),
        {1: 2},
        {"n": None},
        {"n": 5},
        {"n": {}},
        {"n": {"n": 1}},
        {"m": {"x": 1}},
    ):
        yield Description({"n": echo}, [], parameters)
        yield Description({"n": code}, [], parameters)
    for inputs in ({"n": {"x": "data"}}, {"m": {"x": "data"}}):
        for spec in (echo, code):
            yield Description({"n": spec}, [], {"x": 1}, metadata={"_workflow_inputs": inputs})
    for context in (None, {}, 5, {"given": 1}, {"execution_tracker": None}, {"signal_channel": 1}):
        yield Description({"n": NodeSpec("custom", "ContextNode")}, [], {"workflow_context": context}, runs=2)
    for name in ("path", "file_name", "profile", "PATH", "data_file"):
        for value in ("a.txt", "/etc/passwd", "../x", "a.exe", "", 5, None, ["../x"], "/tmp/x.csv", "a" * 5000):
            yield Description(
                {"n": NodeSpec("code", f"result = str(type({name})) + str({name})")}, [], {"n": {name: value}}
            )
            yield Description({"n": NodeSpec("function", "takes_path")}, [], {"n": {name: value}})
    for name in (
        "name",
        "code",
        "self",
        "inputs",
        "node_instance",
        "kwargs",
        "function",
        "metadata",
        "id",
        "result",
        "config",
    ):
        for value in ("given", {"x": "nested"}, "l" * 10_001, None):
            for spec in (
                echo,
                NodeSpec("code", "out = 1"),
                NodeSpec("function", "keywords"),
                NodeSpec("function", "identity"),
            ):
                yield Description({"n": spec}, [], {"n": {name: value, "data": 1}})
    for text in (
        "l" * 10_001,
        "${x}",
        "${missing}",
        "a${x}b${y}",
        "<script>s</script>k",
        {"deep": ["${x}", {"k": "${data}"}]},
    ):
        for where in ("x", "data", "note", "config", "description"):
            for spec in (
                NodeSpec("code", "out = 1", {where: text}),
                NodeSpec("custom", "EchoNode", {where: text}),
                NodeSpec("function", "keywords", {where: text}),
            ):
                yield Description({"n": spec}, [], {"n": {"x": [1], "y": "why"}})
    yield Description({"n": NodeSpec("code", "# " + "long" * 3000 + "\nresult = 1")})
    yield Description({"n": NodeSpec("code", "text = '''" + "long" * 3000 + "'''")})
    yield Description({"n": NodeSpec("code", "result = 1\n" * 12)})
    sources = {name: NodeSpec("code", f"result = {index}\nother = None") for index, name in enumerate("hgfedcba")}
    to_one = [Edge(name, "n", {"result": "x"}) for name in sources]
    to_many = [Edge(name, "n", {"result": name, "missing": "m"}) for name in sources]
    for edges in (to_one, to_many):
        for target in (
            echo,
            NodeSpec("code", "out = 1"),
            NodeSpec("custom", "OwnExecuteNode"),
            NodeSpec("function", "keywords"),
        ):
            yield Description({**sources, "n": target}, edges)
    for key in ("result.", ".result", ".", "result..v", "result.v.w", "result.a.b.0", "a.b", "", "result.1"):
        yield Description({"feed": FEED, "n": echo}, [Edge("feed", "n", {key: "x", "result": "data"})])
        yield Description(
            {"feed": NodeSpec("custom", "OwnExecuteNode", {"a.b": 1}), "n": echo}, [Edge("feed", "n", {key: "x"})]
        )
    for debug in (True, False):
        for failing in ("failed = True", "raise ValueError('v')", "success = False", "result = {'failed': True}"):
            yield Description(
                {"bad": NodeSpec("code", failing), "other": echo, "n": echo},
                [Edge("bad", "n", {"result": "data"})], None, {"debug": debug},
            )  # fmt: skip
            yield Description(
                {"bad": NodeSpec("code", failing), "worse": NodeSpec("code", failing), "n": echo},
                [Edge("worse", "n", {"result": "x"})],
            )
            yield Description({"bad": NodeSpec("code", failing)}, [], None, {"content_aware_success_detection": False})
