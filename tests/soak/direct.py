"""Runs on a runtime without any server; prints the accounts before and after as JSON."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from typing import Any

from kailash.sdk_exceptions import WorkflowExecutionError

from nexus_core.runtime import AsyncLocalRuntime
from soak import accounts, plan


async def run(runtime: Any, workflow: Any, order: plan.Order) -> str:
    """One run to its end; says how it ended."""
    task = asyncio.ensure_future(runtime.execute_workflow_async(workflow, order.inputs))
    if order.cancelled:
        await asyncio.sleep(plan.MIDWAY)
        if not task.cancel():
            return "over before it could be cancelled"
    try:
        results, _ = await task
    except WorkflowExecutionError as error:
        return "failed" if "told to fail" in str(error) else f"failed with {error}"
    except asyncio.CancelledError:
        return "cancelled"
    return "fine" if results == order.results else f"returned {results}"


async def soak(runtime: Any, workflow: Any) -> dict[str, Any]:
    ended: dict[str, int] = {}
    memory: list[int] = []
    before: accounts.Account = {}
    under_way: dict[int, str] = {}

    async def work(share: list[plan.Order]) -> None:
        for order in share:
            under_way[order.number] = order.ending
            how = f"{order.ending}: {await run(runtime, workflow, order)}"
            ended[how] = ended.get(how, 0) + 1
            del under_way[order.number]

    end = asyncio.get_running_loop().time() + plan.LIMIT
    for tenth, some in enumerate(plan.shares()):
        try:
            async with asyncio.timeout_at(end):
                await asyncio.gather(*(work(some[start :: plan.AT_ONCE]) for start in range(plan.AT_ONCE)))
        except TimeoutError:
            return {"stuck": f"after {sum(ended.values())} runs: {under_way}", "ended": ended}
        if tenth == 1:
            before = await settled(runtime, workflow, None)
        memory.append(accounts.resident())
    after = await settled(runtime, workflow, before)
    runs = plan.RUNS * (plan.TENTHS - 2) // plan.TENTHS
    return {"ended": ended, "leaks": accounts.leaks(before, after, runs=runs), "growth": accounts.growth(memory)}


async def settled(runtime: Any, workflow: Any, before: accounts.Account | None) -> accounts.Account:
    """An account when what was stopped has ended, or has had its time to."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(1)
    end = loop.time() + plan.SETTLING
    while True:
        account = accounts.take(runtime, workflow)
        if before is None or loop.time() > end or not accounts.leaks(before, account, runs=plan.RUNS):
            return account
        await asyncio.sleep(0.5)


def main() -> None:
    logging.disable(logging.CRITICAL)
    workflow = plan.soaked_workflow()
    threads = set(threading.enumerate())
    runtime = AsyncLocalRuntime()
    report = asyncio.run(soak(runtime, workflow))
    runtime.close()
    # Worker threads serve the whole process and may stay; each makes itself known to Python as a dummy.
    more = [t for t in threading.enumerate() if t not in threads and not isinstance(t, threading._DummyThread)]
    for thread in more:
        thread.join(5)
    report["left_threads"] = sorted(thread.name for thread in more if thread.is_alive())
    print(json.dumps(report))


if __name__ == "__main__":
    main()
