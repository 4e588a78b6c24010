"""Every sample, callable, node class and odd shape, one by one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

pytest.importorskip("kailash")

from . import fixed_cases
from .code_samples import GROUPS
from .comparison import assert_same_outcome
from .description import Description

pytestmark = pytest.mark.timeout(900)


def assert_all_same(subject: type[Any], cases: Iterable[Description]) -> None:
    """Run every case, then report all that part rather than the first only."""
    failures, compared = [], 0
    for case in cases:
        try:
            compared += assert_same_outcome(subject, case)
        except AssertionError as error:
            failures.append(f"{case!r:.700}\n{error!s:.1500}")
    assert not failures, f"{len(failures)} of {compared + len(failures)} cases part:\n\n" + "\n\n".join(failures[:8])
    assert compared


@pytest.mark.parametrize("group", GROUPS)
def test_every_code_sample_has_stocks_outcome(subject: type[Any], group: str) -> None:
    assert_all_same(subject, fixed_cases.code_cases(group))


def test_every_wrapped_callable_has_stocks_outcome(subject: type[Any]) -> None:
    assert_all_same(subject, fixed_cases.callable_cases())


def test_every_node_class_has_stocks_outcome(subject: type[Any]) -> None:
    assert_all_same(subject, fixed_cases.node_cases())


@pytest.mark.parametrize("mode", ["route_data", "skip_branches"])
def test_every_switch_condition_has_stocks_outcome(subject: type[Any], mode: str) -> None:
    assert_all_same(subject, fixed_cases.switch_cases((mode,)))


def test_odd_shapes_have_stocks_outcome(subject: type[Any]) -> None:
    assert_all_same(subject, fixed_cases.odd_cases())
