"""A workflow that is changed between runs runs as it is now, never as it was."""

from __future__ import annotations

import pytest
from hypothesis.stateful import run_state_machine_as_test

from .changed_workflow import machine_for
from .subject import load_subject


@pytest.mark.timeout(1800)
def test_a_stale_plan_never_runs() -> None:
    run_state_machine_as_test(machine_for(load_subject()))
