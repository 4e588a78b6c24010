"""Every public method answers on the drop-in what it answers on Kailash's runtime, after a run on each."""

from __future__ import annotations

from typing import Any

import pytest
from kailash.runtime.validation.metrics import reset_global_metrics

from . import table
from .cases import chain
from .method_cases import ASYNC, SHARED, WITH_OPTIONS, Question
from .table import OURS, STOCK

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

_ASKED = {"LocalRuntime": SHARED, "AsyncLocalRuntime": {**SHARED, **ASYNC}}

CASES = [
    pytest.param(kind, question, options, id=f"{kind}-{name}")
    for kind, asked in _ASKED.items()
    for name, (question, options) in asked.items()
] + [
    pytest.param(kind, SHARED[name][0], options, id=f"{kind}-{name}-with-options")
    for kind in _ASKED
    for name, options in WITH_OPTIONS.items()
]


def answer(cls: type[Any], question: Question, options: dict[str, Any]) -> Any:
    """What a caller sees after one run."""
    reset_global_metrics()
    runtime = cls(enable_monitoring=False, **options).mark_externally_managed()
    try:
        runtime.execute(chain())
        return question(runtime)
    finally:
        runtime.close()


@pytest.mark.parametrize("kind", STOCK)
def test_every_method_is_asked(kind: str) -> None:
    assert set(_ASKED[kind]) == table.public_names(STOCK[kind])


@pytest.mark.parametrize(("kind", "question", "options"), CASES)
def test_a_method_answers_what_kailashs_answers(kind: str, question: Question, options: dict[str, Any]) -> None:
    expected = answer(STOCK[kind], question, options)
    assert answer(OURS[kind], question, options) == expected


@pytest.mark.parametrize("kind", STOCK)
def test_a_run_before_a_question_is_native_without_options(kind: str) -> None:
    with OURS[kind](enable_monitoring=False) as runtime:
        runtime.execute(chain())
        assert runtime.engine_statistics() == {"native_runs": 1, "delegated_runs": {}}
