"""Template resolution and sanitising agree with Kailash in every visible way."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from hypothesis import given
from kailash.runtime.template_resolver import resolve_templates
from kailash.security import SecurityConfig, SecurityError, sanitize_input

from nexus_core._core import _values as ours

from . import strategies as cruel
from .support import (
    OURS,
    STOCK_FUNCTIONS,
    assert_same_outcome,
    collected_log,
    outcome_of,
    stock_resolve_and_sanitize,
)


@given(cruel.values, cruel.runtime_inputs)
def test_any_value_is_resolved_and_sanitized_as_stock_does(value: object, inputs: dict[str, Any]) -> None:
    stock = outcome_of(stock_resolve_and_sanitize, value, inputs)
    native = outcome_of(OURS.resolve_and_sanitize, value, inputs)
    assert_same_outcome(stock, native, value, inputs)


@given(cruel.texts, cruel.runtime_inputs)
def test_any_text_is_resolved_and_sanitized_as_stock_does(text: str, inputs: dict[str, Any]) -> None:
    value = {"first": text, text: [text, {"in": text}]}
    stock = outcome_of(stock_resolve_and_sanitize, value, inputs)
    native = outcome_of(OURS.resolve_and_sanitize, value, inputs)
    assert_same_outcome(stock, native, value, inputs)


@given(cruel.values, cruel.runtime_inputs)
def test_templates_alone_are_resolved_as_stock_does(value: object, inputs: dict[str, Any]) -> None:
    stock = outcome_of(resolve_templates, value, inputs)
    native = outcome_of(OURS.resolve_templates, value, inputs)
    assert_same_outcome(stock, native, value, inputs)


@given(cruel.values)
def test_sanitizing_alone_is_done_as_stock_does(value: object) -> None:
    stock = outcome_of(lambda: sanitize_input(value, context="python_exec"))
    native = outcome_of(OURS.sanitize, value)
    assert_same_outcome(stock, native, value)


def test_a_plain_value_is_rebuilt_around_the_same_leaves() -> None:
    leaf, pair, odd = "leaf", (1, [2]), {3}
    inner: dict[str, Any] = {"pair": pair}
    items: list[Any] = [leaf, inner]
    value: dict[str, Any] = {"list": items, "set": odd}
    result = OURS.resolve_and_sanitize(value, {})
    assert result == value
    assert result["list"][0] is leaf
    assert result["list"][1]["pair"] is pair
    assert result["set"] is odd
    inner["pair"], value["new"] = None, None
    items.append(None)
    assert result == {"list": ["leaf", {"pair": (1, [2])}], "set": {3}}


def test_what_a_template_brings_in_is_sanitized_and_not_resolved_again() -> None:
    inputs = {"a": {"inner": ["${b}", "<script>x</script>y"]}, "b": 1}
    assert OURS.resolve_and_sanitize(["${a}", "${b}", "${a}-"], inputs) == [
        {"inner": ["${b}", "y"]},
        1,
        "{'inner': ['${b}', 'y']}-",
    ]
    assert inputs["a"] == {"inner": ["${b}", "<script>x</script>y"]}


def test_keys_are_sanitized_and_not_resolved() -> None:
    assert OURS.resolve_and_sanitize({"${a}": "${a}", "<script></script>k": 1, "k": 2}, {"a": 5}) == {
        "${a}": 5,
        "k": 2,
    }


def test_sanitizing_is_logged_by_kailash() -> None:
    with collected_log() as lines:
        assert OURS.resolve_and_sanitize({"v": "javascript:go()"}, {}) == {"v": "go()"}
    assert [(name, level) for name, level, _ in lines] == [("kailash.security", 30)]


def test_the_configuration_decides_whether_sanitizing_is_logged() -> None:
    quiet = ours.Stock(STOCK_FUNCTIONS | {"config": SecurityConfig(enable_audit_logging=False)})
    with collected_log() as lines:
        assert quiet.resolve_and_sanitize({"v": "javascript:go()"}, {}) == {"v": "go()"}
    assert lines == []


@pytest.mark.parametrize("character", ["x", "é", "€", "\U0001f600"])
def test_a_text_may_have_ten_thousand_characters_and_no_more(character: str) -> None:
    longest = character * 10_000
    assert OURS.resolve_and_sanitize([longest], {})[0] is longest
    with pytest.raises(SecurityError, match="Input too long: 10001 > 10000"):
        OURS.resolve_and_sanitize([character * 10_001], {})
    with pytest.raises(SecurityError, match="Input too long: 10001 > 10000"):
        OURS.resolve_and_sanitize({character * 10_001: 1}, {})
    assert OURS.resolve_templates([character * 10_001], {}) == [character * 10_001]


@pytest.mark.parametrize("filler", ["x", "€", "\U0001f600"])
@pytest.mark.parametrize(
    "pattern",
    ["<script>", "</iFrame", "<\u017fcript", "<embed", "</OBJECT>", "JavaScript:", "java\u017fcr\u0131pt:", "${a}"],
)
def test_a_pattern_is_found_wherever_it_stands(filler: str, pattern: str) -> None:
    asked: list[object] = []

    def noted(value: object, *_: object, **__: object) -> object:
        asked.append(value)
        return value

    watched = ours.Stock(STOCK_FUNCTIONS | {"resolve_templates": noted, "sanitize_input": noted})
    texts = [filler * before + pattern + filler * (70 - before) for before in range(71)]
    for text in texts:
        watched.resolve_and_sanitize([text], {})
        assert OURS.resolve_and_sanitize(text, {"a": 1}) == stock_resolve_and_sanitize(text, {"a": 1})
    assert asked == texts


@pytest.mark.parametrize("text", ["a < b", "x<y and y>z", "<b>bold</b>", "</p>", "<", "<scrip", "< script>", "<<<"])
def test_markup_that_stock_leaves_alone_is_not_asked_about(text: str) -> None:
    def refuse(*_: object, **__: object) -> object:
        raise AssertionError("stock was asked")

    unasked = ours.Stock(STOCK_FUNCTIONS | {"resolve_templates": refuse, "sanitize_input": refuse})
    assert unasked.resolve_and_sanitize([text], {}) == [text]
    assert stock_resolve_and_sanitize(text, {}) == text


@pytest.mark.parametrize(
    "text",
    ["", "a: b", "http://x", "receipt: 5", "$5", "{a}", "$ {a}", "}{$", "javascript", "1 > 0"],
)
def test_python_is_not_asked_about_harmless_text(text: str) -> None:
    def refuse(*_: object, **__: object) -> object:
        raise AssertionError("asked")

    alone = ours.Stock(dict.fromkeys(STOCK_FUNCTIONS, refuse))
    value = {"v": [text, {text: text}], "n": [1, 2.5, None, True, (1,), {2}]}
    assert alone.resolve_and_sanitize(value, {}) == value
    assert alone.resolve_templates(value, {}) == value


def test_code_that_changes_the_input_meanwhile_does_no_harm() -> None:
    class Vandal:
        def __str__(self) -> str:
            inner.clear()
            items.clear()
            value.clear()
            gc.collect()
            return "gone"

    inner: dict[str, Any] = {"t": "<${v}>", "u": "u" * 3}
    items: list[Any] = ["${v}!", "tail" * 2, inner]
    value: dict[str, Any] = {"items": items, "last": ["x"]}
    result = OURS.resolve_templates(value, {"v": Vandal()})
    assert result == {"items": ["gone!", "tailtail", {}], "last": ["x"]}


def test_a_missing_stock_function_is_named() -> None:
    with pytest.raises(KeyError, match="sanitize_input"):
        ours.Stock({"resolve_templates": resolve_templates})


def test_the_stock_functions_take_part_in_garbage_collection() -> None:
    class Resolver:
        """Holds the object that holds it."""

        holder: object

        def __call__(self, value: object, _: object) -> object:
            return value

    resolver = Resolver()
    resolver.holder = ours.Stock(STOCK_FUNCTIONS | {"resolve_templates": resolver})
    watcher = weakref.ref(resolver)
    del resolver
    gc.collect()
    assert watcher() is None
