"""The inputs of a node's code agree with Kailash's ``validate_node_parameters``."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from kailash.runtime.template_resolver import resolve_templates
from kailash.security import SecurityConfig, validate_node_parameters

from nexus_core._core import _values as ours

from . import strategies as cruel
from .support import OURS, STOCK_FUNCTIONS, Outcome, assert_same_outcome, outcome_of


def _without_audit(outcome: Outcome) -> Outcome:
    """The line with the names of the parameters is the caller's to write."""
    log = tuple(line for line in outcome.log if line[1] != logging.INFO)
    return Outcome(outcome.result, outcome.error, log)


def _stock(parameters: dict[Any, Any]) -> object:
    return validate_node_parameters(parameters, None, context="python_exec")


@given(cruel.parameters)
def test_parameters_are_sanitized_as_stock_does(parameters: dict[Any, Any]) -> None:
    native = outcome_of(OURS.sanitize_parameters, parameters)
    if native.error is None and native.result is None:
        assert native.log == ()
        return
    stock = _without_audit(outcome_of(_stock, parameters))
    assert_same_outcome(stock, native, parameters)


@given(cruel.parameters, cruel.runtime_inputs)
def test_parameters_are_resolved_and_sanitized_as_stock_does(
    parameters: dict[Any, Any], inputs: dict[str, Any]
) -> None:
    native = outcome_of(OURS.resolve_and_sanitize_parameters, parameters, inputs)
    if native.error is None and native.result is None:
        assert native.log == ()
        return
    stock = outcome_of(lambda: _stock(resolve_templates(parameters, inputs)))
    assert_same_outcome(_without_audit(stock), native, parameters, inputs)


@pytest.mark.parametrize("key", ["path", "PATH_to", "my_file", "Profile", "€file", "\U0001f600pAtH"])
def test_stock_checks_what_may_be_a_path(key: str) -> None:
    assert OURS.sanitize_parameters({"v": 1, key: "/tmp/x.txt"}) is None
    assert OURS.resolve_and_sanitize_parameters({key: "${a}"}, {"a": "/tmp/x.txt"}) is None


@pytest.mark.parametrize("key", ["pat", "fil", "pa_th", "f\u0130le", "value", ""])
def test_other_names_are_sanitized_natively(key: str) -> None:
    assert OURS.sanitize_parameters({key: "/etc/passwd"}) == {key: "/etc/passwd"}
    assert isinstance(_stock({key: "/etc/passwd"})[key], str)  # type: ignore[index]


@pytest.mark.parametrize("value", [1, None, 2.5, ["/etc"], {"file": "/etc"}])
def test_no_path_is_made_of_what_is_no_text(value: object) -> None:
    assert OURS.sanitize_parameters({"path": value}) == {"path": value}
    assert _stock({"path": value}) == {"path": value}


@pytest.mark.parametrize("key", [1, None, (1,), b"k", cruel.TextSubclass("k")])
def test_stock_looks_at_names_that_are_no_exact_text(key: object) -> None:
    assert OURS.sanitize_parameters({key: 1}) is None


def test_the_executors_own_configuration_is_used() -> None:
    config = SecurityConfig(enable_audit_logging=False)
    quiet = ours.Stock(STOCK_FUNCTIONS | {"config": config})
    parameters = {"v": "<script>x</script>"}
    stock = outcome_of(lambda: validate_node_parameters(parameters, config, context="python_exec"))
    assert_same_outcome(stock, outcome_of(quiet.sanitize_parameters, parameters), parameters)
    assert stock.log == ()
