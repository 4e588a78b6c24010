"""Without Kailash there is no drop-in: nothing here is imported."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from importlib.util import find_spec
from typing import Any

import pytest

from quietness import quiet  # noqa: F401 - a fixture

collect_ignore_glob = [] if find_spec("kailash") else ["*.py", "*/*.py"]

#: A last resort: what hangs fails.
LIMIT = 60  # seconds


@pytest.fixture
def on_loop() -> Callable[[Callable[[Any], Coroutine[Any, Any, Any]]], Any]:
    """Runs a coroutine function on a loop of its own, with a strict runtime."""

    def run(body: Callable[[Any], Coroutine[Any, Any, Any]], **options: Any) -> Any:
        from nexus_core.runtime import AsyncLocalRuntime

        async def main() -> Any:
            async with AsyncLocalRuntime(strict=True, **options) as runtime:
                async with asyncio.timeout(LIMIT):
                    outcome = await body(runtime)
                left = asyncio.all_tasks() - {asyncio.current_task()}
                assert not left, f"tasks were left behind: {left}"
                return outcome

        return asyncio.run(main())

    return run
