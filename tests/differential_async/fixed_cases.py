"""Every async sample, node class, edge form and way to run at least once, whatever hypothesis draws."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from differential import fixed_cases as synchronous
from differential.code_samples import GROUPS

from .async_nodes import ASYNC_NODES, ENDING, SYNC_NODES
from .async_samples import ASYNC_GROUPS
from .description import ENTRIES, AsyncDescription, AsyncSpec, Edge

X_VALUES = (None, 1, 2, 3, 12, 123, "1234", 12345, 123456, 13, [1], {"k": 1})
NESTED = {"v": 1, "a": {"b": [1, 2]}, "text": "<script>x</script>kept"}
SYNC_FEED = AsyncSpec("code", "result = {'v': 1, 'a': {'b': [1, 2]}, 'text': '<scr' + 'ipt>x</script>kept'}")
ASYNC_FEED = AsyncSpec("async code", "result = {'v': 1, 'a': {'b': [1, 2]}}\n")
SYNC_READER, ASYNC_READER = AsyncSpec("own", "RecordingNode"), AsyncSpec("own", "EchoAsync")
TO_NODE = {"result": "data", "result.v": "x"}
FROM_NODE = {"result": "data", "out": "x", "result.a": "y"}


def chain(*specs: AsyncSpec, mappings: tuple[dict[str, str], ...] = (TO_NODE, FROM_NODE), **more: Any) -> Any:
    """Return nodes one after the other."""
    nodes = {f"n{at}": spec for at, spec in enumerate(specs)}
    edges = [Edge(f"n{at}", f"n{at + 1}", dict(mappings[at % 2])) for at in range(len(specs) - 1)]
    return AsyncDescription(nodes, edges, **more)


def _placed(spec: AsyncSpec, inputs: Any, entry: str) -> Iterator[AsyncDescription]:
    yield AsyncDescription({"n": spec}, [], inputs, entry=entry, runs=2 if spec.is_async else 6)
    if spec.is_async:
        yield chain(ASYNC_FEED, spec, ASYNC_READER, entry=entry, runs=3)
        yield chain(SYNC_FEED, spec, SYNC_READER, entry=entry, runs=3, options={"enable_analysis": False})
    else:
        yield chain(SYNC_FEED, spec, SYNC_READER, entry=entry)
    yield chain(SYNC_FEED, spec, ASYNC_READER, entry=entry, runs=3)
    yield chain(ASYNC_FEED, spec, SYNC_READER, entry=entry, runs=3)


def _spread(specs: Iterator[tuple[AsyncSpec, Any]]) -> Iterator[AsyncDescription]:
    for (spec, inputs), entry in zip(specs, itertools.cycle(ENTRIES), strict=False):
        yield from _placed(spec, inputs, entry)


def async_code_cases(group: str) -> Iterator[AsyncDescription]:
    """Return each sample as async code, alone, between others and without analysis."""
    samples = ASYNC_GROUPS[group]
    return _spread((AsyncSpec("async code", code), inputs) for code in samples for inputs in ({}, {"data": [3, 1]}))


def sync_code_cases(group: str) -> Iterator[AsyncDescription]:
    """Return each of the synchronous suite's samples in a sync and in mixed plans."""
    return _spread((AsyncSpec("code", code), {"n": {"data": [3, 1], "x": 2}}) for code in GROUPS[group])


def node_cases() -> Iterator[AsyncDescription]:
    """Return every node class with a range of inputs and configurations."""
    specs = [
        (AsyncSpec("own", name), {"n": {"x": x, "data": NESTED}})
        for name in (*ASYNC_NODES, *SYNC_NODES)
        for x in X_VALUES
    ]
    specs += [
        (AsyncSpec("own", name, config), {"x": [1], "y": "3", "unknown": 1})
        for name in (*ASYNC_NODES, *SYNC_NODES)
        for config in ({"x": 13}, {"y": 13}, {"x": 13, "y": 13}, {"data": {"t": "${x}"}, "config": {"y": 5, "x": 8}})
    ]
    return _spread(iter(specs))


def switch_cases(every: int = 3) -> Iterator[AsyncDescription]:
    """Return the synchronous suite's switches as they are and with async nodes around the switch."""
    for number, case in enumerate(itertools.islice(synchronous.switch_cases(("route_data",)), 0, None, every)):
        nodes = {name: AsyncSpec(spec.kind, spec.what, spec.config) for name, spec in case.nodes.items()}
        way: dict[str, Any] = {"runs": 2, "entry": ENTRIES[number % 3]}
        yield AsyncDescription(nodes, case.edges, case.parameters or {}, **way)
        mixed = {**nodes, "no": AsyncSpec("own", "CleanupAsync"), "yes": AsyncSpec("async code", nodes["yes"].what)}
        yield AsyncDescription(mixed, case.edges, case.parameters or {}, **way)
        # An edge from ``result`` hands on the whole dict; from any other variable, its value.
        edges = [Edge("start", "switch", {"out": "input_data"}), *case.edges[1:]]
        nodes["start"] = mixed["start"] = AsyncSpec("code", nodes["start"].what.replace("result", "out"))
        yield AsyncDescription(nodes, edges, case.parameters or {}, **way)
        yield AsyncDescription(mixed, edges, case.parameters or {}, **way)


KEYS = (
    "result", "result.", ".result", ".", "result..v", "result.v", "result.v.w", "result.a.b", "result.a.b.0", "a.b", "a",
    "", "result.1", "missing", "result.missing", "result.result", "result.missing.deeper", "result.result.v", "a.missing",
)  # fmt: skip


def edge_cases() -> Iterator[AsyncDescription]:
    """Return every form of key against every form of output, into sync and async nodes."""
    sources = (
        SYNC_FEED,
        ASYNC_FEED,
        AsyncSpec("async code", "a = {'b': 1}\nv = [2]"),
        AsyncSpec("code", "a = {'b': 1}\nv = [2]"),
        *(
            AsyncSpec("own", name, {"x": x})
            for name in ("NonDictAsync", "NonDictSync")
            for x in (None, 1, 2, 3, 13, 99)
        ),
        AsyncSpec("custom", "OwnExecuteNode", {"a.b": 1}),
        AsyncSpec("own", "EchoAsync", {"data": {"v": None}}),
    )
    for source in sources:
        for target in (ASYNC_READER, SYNC_READER, AsyncSpec("code", "result = [x]")):
            for key in KEYS:
                # The key's target is given otherwise too, to show which wins.
                yield AsyncDescription(
                    {"feed": source, "n": target}, [Edge("feed", "n", {key: "x"})], {"x": "workflow"}, runs=1
                )
            every = {key: f"k{at}" for at, key in enumerate(KEYS)}
            keywords = (
                AsyncSpec("function", "keywords") if target is not ASYNC_READER else AsyncSpec("async code", "kept = 1")
            )
            yield AsyncDescription({"feed": source, "n": keywords}, [Edge("feed", "n", every)], {}, runs=1)


def input_cases() -> Iterator[AsyncDescription]:
    """Return inputs of every form, by every entry point, for sync and async nodes."""
    forms: tuple[Any, ...] = (
        {}, None, [], "", "text", 5, (), [("x", 1)], [("x",)], {1: 2}, {"n": None}, {"n": 5}, {"n": [1]}, {"n": {}},
        {"n": {"n": 1}}, {"n": {"x": 1}, "x": 2}, {"x": 2, "n": {"x": 1}}, {"m": {"x": 1}}, {"m": 1, "x": {"n": 1}},
        {"self": 1}, {"n": {"self": 1}}, {"x": float("nan"), "y": 2**70}, {"x": {1, 2}, "y": b"b", "data": object},
        {"resource_registry": 5}, {"inputs": {"x": 1}, "context": 1}, {"code": "result = 'other'"}, {"n": {"name": "other"}},
        {"workflow_context": {"k": 1}}, {"x": "l" * 10_001}, {"x": "${y}", "y": "why"}, {"kwargs": 1, "data": "d"},
    )  # fmt: skip
    targets = (
        AsyncSpec("code", "result = sorted(k for k in ('x', 'y', 'data') if k in dir())"),
        AsyncSpec("code", "result = x"),
        AsyncSpec("function", "keywords"),
        AsyncSpec("async code", "out = sorted(k for k in locals() if not k.startswith('_'))"),
        AsyncSpec("own", "EchoAsync"),
        AsyncSpec("own", "RecordingNode"),
        AsyncSpec("own", "ResourceAsync"),
        AsyncSpec("custom", "OwnExecuteNode"),
    )
    for form in forms:
        for target in targets:
            for number, entry in enumerate(ENTRIES):
                other = AsyncSpec("code", "result = 1") if number else AsyncSpec("async code", "result = 1")
                yield AsyncDescription({"m": other, "n": target}, [], form, entry=entry, runs=1)


def way_cases() -> Iterator[AsyncDescription]:
    """Return ways to run: contexts, registries, limits, time-outs, loops."""
    plans = {
        "sync": chain(SYNC_FEED, SYNC_READER, SYNC_FEED).nodes,
        "async": chain(ASYNC_FEED, AsyncSpec("own", "CleanupAsync"), ASYNC_READER).nodes,
        "mixed": chain(SYNC_FEED, ASYNC_READER, SYNC_READER, AsyncSpec("own", "ResourceAsync")).nodes,
        "failing sync": chain(SYNC_FEED, AsyncSpec("own", "FailingSync"), SYNC_READER).nodes,
        "failing async": chain(ASYNC_FEED, AsyncSpec("own", "FailingAsync"), ASYNC_READER).nodes,
        "failing mixed": chain(SYNC_FEED, AsyncSpec("own", "FailingAsync"), SYNC_READER).nodes,
        "failing mixed sync": chain(ASYNC_FEED, AsyncSpec("own", "FailingSync"), SYNC_READER).nodes,
        "seen by others": chain(*(AsyncSpec("own", "ContextSync") for _ in range(3))).nodes,
        "seen by no other": chain(*(AsyncSpec("own", name) for name in ("ContextAsync", "ContextSync") * 2)).nodes,
        "resource": {"n0": AsyncSpec("async code", "result = await get_resource('number')")},
        "no resource": {"n0": AsyncSpec("own", "ResourceAsync", {"x": "unknown"})},
        "empty": {},
    }
    for nodes in plans.values():
        edges = [Edge(f"n{at}", f"n{at + 1}", {"result": "data"}) for at in range(len(nodes) - 1)]
        for options in ({}, {"enable_analysis": False}, {"execution_timeout": 0}, {"max_concurrent_nodes": 1}):
            for context, entry in (("none", ENTRIES[0]), ("fresh", ENTRIES[0]), ("shared", ENTRIES[0]), ("none", ENTRIES[1]), ("none", ENTRIES[2])):  # fmt: skip
                for registry in (False, True):
                    yield AsyncDescription(
                        nodes, edges, {"x": "given"}, options=options, context=context, entry=entry, registry=registry,
                        variables={"x": "earlier", "y": "kept", "n1": {"x": "of the node"}}, caller="the caller's",
                        one_loop=registry or context != "none", runs=3,
                    )  # fmt: skip


def limit_cases() -> Iterator[AsyncDescription]:
    """Return time limits, most of them refused."""
    limits: tuple[dict[str, Any], ...] = (
        {"soft_time_limit": 0}, {"time_limit": -1}, {"soft_time_limit": float("nan")}, {"time_limit": float("inf")},
        {"soft_time_limit": 5, "time_limit": 5}, {"soft_time_limit": 6.5, "time_limit": 5}, {"soft_time_limit": "soon"},
        {"soft_time_limit": 60}, {"time_limit": 60.5}, {"soft_time_limit": 30, "time_limit": 60},
    )  # fmt: skip
    for limit in limits:
        for entry in (ENTRIES[0], ENTRIES[2]):
            for specs in ((SYNC_FEED, SYNC_READER), (SYNC_FEED, ASYNC_READER)):
                yield chain(*specs, entry=entry, limits=limit, runs=2)


def shape_cases() -> Iterator[AsyncDescription]:
    """Return shapes with several edges into one parameter, and failures at the leaf, inside and beside others."""
    sources = {
        name: AsyncSpec(("code", "async code")[at % 2], f"result = {at}\nother = None")
        for at, name in enumerate("hgfedcba")
    }
    for mapping in ({"result": "x"}, {"result.result": "x"}, {"result": "x", "missing": "y"}):
        edges = [Edge(name, "n", dict(mapping)) for name in sources]
        for target in (ASYNC_READER, SYNC_READER, AsyncSpec("code", "out = 1"), AsyncSpec("function", "keywords")):
            yield AsyncDescription({**sources, "n": target}, edges, {"x": "workflow", "n": {"y": "node"}}, runs=2)
    failing = (
        AsyncSpec("code", "raise ValueError('v')"),
        AsyncSpec("async code", "raise ValueError('v')"),
        AsyncSpec("own", "FailingAsync"),
        AsyncSpec("own", "CausedAsync"),
        AsyncSpec("own", "NoneAsync"),
        AsyncSpec("own", "RaisingExecuteSync"),
        AsyncSpec("own", "RaisingExecuteAsync"),
        AsyncSpec("own", "CleanupAsync", {"y": 13, "x": 13}),
        AsyncSpec("custom", "RaisingNode"),
    )
    for bad in failing:
        for other in (AsyncSpec("code", "result = 1"), ASYNC_FEED):
            for entry in ENTRIES:
                yield AsyncDescription({"bad": bad, "other": other}, [], {}, entry=entry, runs=3)
                yield AsyncDescription({"other": other, "bad": bad}, [Edge("other", "bad", {"result": "data"})], {}, entry=entry, context="fresh" if entry == ENTRIES[0] else "none")  # fmt: skip
                yield AsyncDescription(
                    {"other": other, "bad": bad, "after": SYNC_READER, "last": ASYNC_READER},
                    [Edge("other", "bad", {"result": "data"}), Edge("bad", "after", {"result": "data"}), Edge("after", "last", {"result": "data"})],
                    {}, entry=entry,
                )  # fmt: skip
        for worse in failing:
            yield AsyncDescription({"bad": bad, "worse": worse, "after": SYNC_READER}, [Edge("worse", "after", {"result": "x"})], runs=2)  # fmt: skip
    yield AsyncDescription({})


def ending_cases() -> Iterator[AsyncDescription]:
    """Return nodes that raise what is no ordinary failure."""
    for x in range(4):
        for name in ENDING:
            for options in ({}, {"enable_analysis": False}, {"execution_timeout": 0}):
                for entry in ENTRIES:
                    bad = AsyncSpec("own", name, {"x": x})
                    way: dict[str, Any] = {"entry": entry, "options": options, "runs": 2, "one_loop": False}
                    yield AsyncDescription({"n": bad}, [], {}, **way)
                    yield chain(ASYNC_FEED, bad, SYNC_READER, mappings=({"other": "data"},) * 2, **way)
