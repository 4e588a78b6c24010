"""Thousands of levels, and values that contain themselves, end as they do in stock."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import sys
from {package}.support import OURS, STOCK_FUNCTIONS, nested, stock_resolve_and_sanitize
from kailash.runtime.template_resolver import resolve_templates

kind, leaf, depths = sys.argv[1], sys.argv[2], [int(depth) for depth in sys.argv[3:]]
make = {{
    "dict": lambda v: {{"k": v}},
    "list": lambda v: [v],
    "both": lambda v: [{{"k": v}}],
    "beside": lambda v: ["${{a}}<b>", v],
}}[kind]
INPUTS = {{"a": 1}}

def build(depth):
    if depth >= 0:
        return nested(depth, make, leaf)
    value = make(leaf)
    if isinstance(value, dict):
        value["k"] = value
    else:
        value[:] = [value, value]
    return value

def levels(value):
    count = 0
    while type(value) in (dict, list) and count < 100_000:
        value, count = (value["k"] if type(value) is dict else value[-1]), count + 1
    return count, "endless" if type(value) in (dict, list) else value

def outcome(function, value, *rest):
    try:
        return levels(function(value, *rest))
    except RecursionError as error:
        return str(error).startswith("maximum recursion depth exceeded")

for depth in depths:
    value, stock = build(depth), STOCK_FUNCTIONS
    results = [
        outcome(OURS.resolve_and_sanitize, value, INPUTS),
        outcome(OURS.resolve_templates, value, INPUTS),
        outcome(OURS.ensure_json_serializable, value),
        outcome(lambda v: OURS.validate_node_output("node", {{"k": v}}), value),
    ]
    assert results == [
        outcome(stock_resolve_and_sanitize, value, INPUTS),
        outcome(resolve_templates, value, INPUTS),
        outcome(stock["ensure_json_serializable"], value),
        outcome(lambda v: stock["validate_node_output"]("node", {{"k": v}}), value),
    ], (depth, results)
    print(results[0])
"""


def _run(kind: str, leaf: str, *depths: int) -> list[str]:
    path = [entry for entry in sys.path if entry]
    program = f"import sys; sys.path[:0] = {path!r}\n" + _PROGRAM.format(package=__package__)
    finished = subprocess.run(
        [sys.executable, "-c", program, kind, leaf, *map(str, depths)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-2000:]
    return finished.stdout.splitlines()


@pytest.mark.parametrize("kind", ["dict", "list", "both", "beside"])
@pytest.mark.parametrize(("leaf", "end"), [("plain", "'plain'"), ("${a}", "1"), ("<script>x</script>y", "'y'")])
def test_any_depth_ends_as_in_stock(kind: str, leaf: str, end: str) -> None:
    levels = 2 if kind == "both" else 1
    bearable = [depth // levels for depth in (2, 148, 150, 152, 220)]
    # Where stock gives up depends on the version of Python, so that only
    # the agreement with it is tested there.
    contested = (550, 700, 1_100)
    results = _run(kind, leaf, *bearable, *contested, 5_000, 50_000)
    assert results[: len(bearable)] == [f"({depth * levels}, {end})" for depth in bearable]
    assert results[-2:] == ["True", "True"]


@pytest.mark.parametrize("kind", ["dict", "list"])
def test_values_that_contain_themselves_meet_the_recursion_limit(kind: str) -> None:
    assert _run(kind, "plain", -1) == ["True"]
