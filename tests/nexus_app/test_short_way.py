"""An app that was merely attached leaves short runs the short way."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pytest

import nexus_core
from apps import code_workflow, make_app  # noqa: F401 - a fixture

pytestmark = pytest.mark.skipif(sys.version_info >= (3, 13), reason="there is no short way on this Python")


def test_it_is_open(make_app: Callable[[], Any], quiet: None) -> None:  # noqa: F811
    app = make_app()
    runtime = nexus_core.attach(app).runtime
    workflow = code_workflow()

    async def main() -> None:
        for _ in range(200):
            await runtime.execute_workflow_async(workflow, {})
            if runtime._short_way.runs:
                break
        taken = runtime._short_way.runs
        assert taken > 0
        for _ in range(50):
            await runtime.execute_workflow_async(workflow, {})
        assert runtime._short_way.runs == taken + 50
        # Counted there, too.
        metrics = runtime.metrics()
        (counted,) = metrics.workflows.values()
        assert counted.runs == runtime.engine_statistics()["native_runs"]
        assert metrics.active == 0

    asyncio.run(main())
