"""An output passes along an edge as through ``DataTypeValidator.validate_node_output``."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from kailash.utils.data_validation import DataTypeValidator

from nexus_core._core import _values as ours

from . import strategies as cruel
from .support import OURS, assert_same_outcome, nested, outcome_of

stock_validate = DataTypeValidator.validate_node_output


@given(cruel.outputs)
def test_any_output_is_validated_as_stock_does(output: dict[Any, Any]) -> None:
    stock = outcome_of(stock_validate, "node", output)
    native = outcome_of(OURS.validate_node_output, "node", output)
    assert_same_outcome(stock, native, output)


@given(cruel.plain_outputs)
def test_a_plain_output_is_clean_exactly_where_stock_warns_of_nothing(
    output: dict[Any, Any],
) -> None:
    stock = outcome_of(stock_validate, "node", output)
    assert ours.output_is_clean(output) == (stock.log == ())
    if ours.output_is_clean(output):
        assert_same_outcome(stock, outcome_of(ours.copy_validated, output), output)


@given(cruel.values)
def test_what_is_no_dict_is_wrapped_as_stock_does(output: object) -> None:
    stock = outcome_of(stock_validate, "node", output)
    native = outcome_of(OURS.validate_node_output, "node", output)
    assert_same_outcome(stock, native, output)


@pytest.mark.parametrize(
    "output",
    [
        {"result": []},
        {"result": ["a", "b"]},
        {"result": [1, "b"]},
        {"x": [1, 1.0]},
        {"x": [True, 1]},
        {"x": {"y": {"z": [None, 1]}}},
        {1: {2: [1, ""]}},
    ],
)
def test_a_suspicious_list_is_not_clean_and_stock_warns(output: dict[Any, Any]) -> None:
    assert not ours.output_is_clean(output)
    assert len(outcome_of(OURS.validate_node_output, "node", output).log) == 1
    with pytest.raises(AssertionError):
        assert outcome_of(stock_validate, "node", output).log == ()


@pytest.mark.parametrize(
    "output",
    [
        {},
        {"x": []},
        {"x": ["a", "b"]},
        {"result": [1, 2]},
        {"result": {"result": ["a"]}},
        {"resultat": ["a"]},
        {"x": [[1, "a"], ["b", 2]]},
        {"x": (1, "a")},
        {"x": [object(), object()]},
        {"r\u00e9sult": ["a"], "€": ["a"]},
    ],
)
def test_other_lists_are_clean_and_stock_is_silent(output: dict[Any, Any]) -> None:
    assert ours.output_is_clean(output)
    assert outcome_of(stock_validate, "node", output).log == ()


@pytest.mark.parametrize(
    "output",
    [
        cruel.DictSubclass(x=1),
        {"x": cruel.DictSubclass(y=1)},
        {"x": cruel.ListSubclass([1])},
        {"x": cruel.ClaimsToBeDict()},
        {"result": [cruel.TextSubclass("a")]},
        {cruel.TextSubclass("result"): ["a"]},
        {"x": {10**5000: 1}},
        {(1,): 1},
        nested(151, lambda value: {"k": value}, 1),
    ],
)
def test_stock_is_asked_about_what_is_not_plain(output: dict[Any, Any]) -> None:
    assert not ours.output_is_clean(output)


def test_dicts_are_rebuilt_and_lists_are_shared() -> None:
    inner, items = {"a": 1}, [{"b": 2}]
    output = {"inner": inner, "items": items}
    copy = ours.copy_validated(output)
    inner["a"], items[0]["b"], output["more"] = 10, 20, {}
    assert copy == {"inner": {"a": 1}, "items": [{"b": 20}]}
    assert copy["items"] is items


def test_an_output_that_is_not_clean_is_not_copied() -> None:
    for output in ({(1,): 1}, nested(151, lambda value: {"k": value}, 1)):
        with pytest.raises(ValueError, match="found clean"):
            ours.copy_validated(output)
