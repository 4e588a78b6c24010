"""``execute`` inside a running event loop waits for its thread as long as Kailash's does."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest
from kailash.sdk_exceptions import RuntimeExecutionError

from .cases import calling, chain
from .table import OURS, STOCK

both = pytest.mark.parametrize("cls", [STOCK["LocalRuntime"], OURS["LocalRuntime"]], ids=["stock", "ours"])


@both
def test_a_run_that_takes_longer_than_the_bound_is_given_up_by_name(cls: type[Any]) -> None:
    go_on = threading.Event()

    async def main() -> str:
        with (
            cls(enable_monitoring=False, sync_bridge_timeout=0.2) as runtime,
            pytest.raises(RuntimeExecutionError) as caught,
        ):
            runtime.execute(calling(lambda node: go_on.wait(60)))
        return str(caught.value)

    try:
        text = asyncio.run(main())
    finally:
        go_on.set()
    assert text.startswith("Workflow 'calling' did not complete within the sync_bridge_timeout of 0.2s.")


@both
def test_a_run_within_the_bound_returns(cls: type[Any]) -> None:
    async def main() -> Any:
        with cls(enable_monitoring=False, sync_bridge_timeout=60) as runtime:
            return runtime.execute(chain())

    assert asyncio.run(main()) == ({"a": {"result": 20}, "b": {"result": [20, 1]}}, None)


# Kailash warns that a runtime was not closed although it could not be made.
@pytest.mark.filterwarnings("ignore:Unclosed:ResourceWarning")
@pytest.mark.parametrize("value", [0, -1, -0.5])
def test_a_bound_that_is_none_is_refused_in_kailashs_words(value: float) -> None:
    texts = []
    for cls in (STOCK["LocalRuntime"], OURS["LocalRuntime"]):
        with pytest.raises(ValueError, match="sync_bridge_timeout") as caught:
            cls(sync_bridge_timeout=value)
        texts.append(str(caught.value))
        del caught
        gc.collect()
    assert texts[0] == texts[1]
