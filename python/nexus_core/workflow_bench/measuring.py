"""Runs a workflow on both sides in turn, and takes the time."""

from __future__ import annotations

import asyncio
import copy
import statistics
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from nexus_core.workflow_bench.comparing import Outcome, differences

__all__ = ["RUNTIMES", "Comparison", "Side", "compare"]

#: Seconds that stock's runs may take together, where their number is not given.
_SECONDS = 3.0
_LEAST, _MOST = 5, 1000

RUNTIMES = ("LocalRuntime", "AsyncLocalRuntime")
SIDES = ("stock", "nexus-core")

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Side:
    """One side's runs, in seconds.

    Attributes:
        times: Of runs that ended well.
        outcome: How the first one ended, which is not among them: it imports what the nodes use,
            and whichever side came first would pay for both.
    """

    times: tuple[float, ...]
    outcome: Outcome

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        ordered = sorted(self.times)
        return {
            "error": self.outcome.failure,
            "runs": len(ordered),
            "median_seconds": statistics.median(ordered) if ordered else None,
            "p10_seconds": ordered[len(ordered) // 10] if ordered else None,
            "p90_seconds": ordered[(len(ordered) * 9) // 10] if ordered else None,
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """A workflow on one kind of runtime.

    Attributes:
        runtime: The class's name.
        stock: On Kailash's.
        ours: On nexus-core's.
        differing: Nodes whose outputs differ between the two, or ``["outcome"]``.
        changing: Nodes whose outputs differ between two runs of stock itself, and are not compared.
        native: Whether the core schedules the runs.
        reasons: Why it does not.
    """

    runtime: str
    stock: Side
    ours: Side
    differing: tuple[str, ...]
    changing: tuple[str, ...]
    native: bool
    reasons: tuple[str, ...]

    @property
    def ratio(self) -> float | None:
        """How many times stock's median run takes; ``None`` where one of them has none."""
        if not self.stock.times or not self.ours.times:
            return None
        return statistics.median(self.stock.times) / statistics.median(self.ours.times)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "same_results": not self.differing,
            "differing": list(self.differing),
            "changing_by_themselves": list(self.changing),
            "stock": self.stock.as_dict(),
            "nexus_core": self.ours.as_dict(),
            "ratio": self.ratio,
            "native": self.native,
            "reasons": list(self.reasons),
        }


def compare(runtime: str, workflow: Any, inputs: Mapping[str, Any], runs: int | None, progress: Progress) -> Comparison:
    """Measures a workflow on one kind of runtime, stock's and ours in turn.

    Each has a run that is not counted, whose results are compared, and stock a second one, which
    shows what changes by itself. The run history is off on both sides.

    Args:
        runtime: ``LocalRuntime`` or ``AsyncLocalRuntime``.
        workflow: A built workflow.
        inputs: The inputs of every run, copied for each.
        runs: Runs a side; ``None`` for as many as take some seconds.
        progress: Is told what goes on.

    Returns:
        Times and differences.
    """
    comparing = _compare(runtime, workflow, inputs, runs, progress)
    return asyncio.run(comparing) if runtime == "AsyncLocalRuntime" else _driven(comparing)


def _driven(coroutine: Coroutine[Any, Any, Comparison]) -> Comparison:
    """Without an event loop, and on this thread, as a LocalRuntime's users call it: it never waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        found: Comparison = end.value
        return found
    raise RuntimeError("a run of a LocalRuntime waited for an event loop")


async def _compare(
    runtime: str, workflow: Any, inputs: Mapping[str, Any], runs: int | None, progress: Progress
) -> Comparison:
    stock_runtime, ours_runtime = _made(runtime)
    try:
        explained = ours_runtime.explain(workflow)
        run = {
            side: _runner(made, workflow, inputs)
            for side, made in zip(SIDES, (stock_runtime, ours_runtime), strict=True)
        }
        progress(f"{runtime}: comparing results")
        first = {side: await run[side]() for side in SIDES}
        again_seconds, again = await run["stock"]()
        stock, ours = first["stock"][1], first["nexus-core"][1]
        changing = differences(stock, again)
        differing = [node for node in differences(stock, ours) if node not in changing]
        times: dict[str, list[float]] = {side: [] for side in SIDES}
        able = [side for side in SIDES if first[side][1].failure is None]
        if runs is None:
            took = again_seconds if "stock" in able else first["nexus-core"][0]
            runs = max(_LEAST, min(_MOST, int(_SECONDS / max(took, 1e-9))))
        for number in range(runs):
            progress(f"{runtime}: run {number + 1} of {runs}")
            # In turn, and the other one first each time: what the machine does meanwhile meets both.
            for side in able if number % 2 else able[::-1]:
                seconds, outcome = await run[side]()
                if outcome.failure is None:
                    times[side].append(seconds)
                elif "outcome" not in changing:
                    changing.append("outcome")
        return Comparison(
            runtime,
            Side(tuple(times["stock"]), stock),
            Side(tuple(times["nexus-core"]), ours),
            tuple(differing),
            tuple(changing),
            explained.native,
            tuple(explained.reasons),
        )
    finally:
        for made in (stock_runtime, ours_runtime):
            if runtime == "AsyncLocalRuntime":
                await made.cleanup()
            made.close()


def _made(runtime: str) -> tuple[Any, Any]:
    from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime, stock

    if runtime == "LocalRuntime":
        return stock.StockLocalRuntime(enable_monitoring=False), LocalRuntime(enable_monitoring=False)
    return stock.StockAsyncLocalRuntime(), AsyncLocalRuntime()


def _runner(runtime: Any, workflow: Any, inputs: Mapping[str, Any]) -> Callable[[], Awaitable[tuple[float, Outcome]]]:
    from nexus_core.runtime import stock

    is_async = isinstance(runtime, stock.StockAsyncLocalRuntime)

    def at_once(given: dict[str, Any]) -> tuple[float, Outcome]:
        began = time.perf_counter()
        try:
            results, _ = runtime.execute(workflow, parameters=given)
        except Exception as error:
            return time.perf_counter() - began, Outcome(None, error)
        return time.perf_counter() - began, Outcome(results)

    async def awaited(given: dict[str, Any]) -> tuple[float, Outcome]:
        began = time.perf_counter()
        try:
            results, _ = await runtime.execute_workflow_async(workflow, given)
        except Exception as error:
            return time.perf_counter() - began, Outcome(None, error)
        return time.perf_counter() - began, Outcome(results)

    async def run() -> tuple[float, Outcome]:
        given = copy.deepcopy(dict(inputs))
        return await awaited(given) if is_async else at_once(given)

    return run
