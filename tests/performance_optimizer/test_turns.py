"""Turns: no more at once than may, in the order in which they came, whatever happens to who waits."""

from __future__ import annotations

import asyncio
import threading

import pytest

from nexus_core.runtime.turns import Turns


async def _until(condition: object) -> None:
    while not condition():  # type: ignore[operator]
        await asyncio.sleep(0)


@pytest.mark.parametrize("limit", [1, 3])
def test_no_more_at_once_than_may_and_in_order(limit: int) -> None:
    turns, begun = Turns(limit), []

    async def run(number: int) -> None:
        async with turns:
            begun.append(number)
            assert turns.running <= limit
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*map(run, range(20)))

    asyncio.run(main())
    assert begun == list(range(20))
    assert (turns.most, turns.running, turns.waiting, turns.waited) == (limit, 0, 0, 20 - limit)


def test_who_waits_may_be_cancelled_even_in_the_moment_of_the_turn() -> None:
    async def main() -> None:
        turns, begun = Turns(1), []

        async def run(number: int) -> None:
            async with turns:
                begun.append(number)

        async with turns:
            tasks = [asyncio.ensure_future(run(number)) for number in range(4)]
            await _until(lambda: turns.waiting == 4)
            tasks[0].cancel()
            await _until(tasks[0].done)
        # The turn is on its way to the second, which is cancelled before it takes it.
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert begun == [2, 3]
        assert (turns.running, turns.waiting) == (0, 0)

    asyncio.run(main())


def test_a_run_that_fails_gives_its_turn_back() -> None:
    async def main() -> None:
        turns = Turns(1)
        for _ in range(3):
            with pytest.raises(ValueError, match="of the run"):
                async with turns:
                    raise ValueError("of the run")
        assert turns.running == 0

    asyncio.run(main())


def test_the_line_goes_across_event_loops() -> None:
    turns, begun, line = Turns(1), [], threading.Event()

    async def hold() -> None:
        async with turns:
            line.set()
            await _until(lambda: turns.waiting == 2)

    async def run(number: int) -> None:
        async with turns:
            begun.append(number)

    holder = threading.Thread(target=lambda: asyncio.run(hold()))
    holder.start()
    assert line.wait(60)
    others = []
    for number in range(2):
        others.append(threading.Thread(target=lambda number=number: asyncio.run(run(number))))
        others[-1].start()
        while turns.waiting <= number and not begun:
            pass
    for thread in (holder, *others):
        thread.join(60)
    assert begun == [0, 1]


def test_a_loop_that_is_closed_does_not_keep_a_turn() -> None:
    turns = Turns(1)

    async def main() -> None:
        await turns.__aenter__()

    asyncio.run(main())  # one is under way
    lost = asyncio.new_event_loop()
    waiting = lost.create_task(turns.__aenter__())
    lost.run_until_complete(asyncio.sleep(0))
    assert turns.waiting == 1
    lost.close()

    async def after() -> int:
        others = asyncio.ensure_future(turns.__aenter__())
        await asyncio.sleep(0)
        await turns.__aexit__()
        await others
        return turns.running

    assert asyncio.run(after()) == 1
    waiting.get_coro().close()  # type: ignore[union-attr]
    waiting._log_destroy_pending = False  # type: ignore[attr-defined]
    assert turns.running == 1


def test_opened_it_lets_all_begin() -> None:
    async def main() -> None:
        turns = Turns(1)

        async def run() -> None:
            async with turns:
                await _until(lambda: turns.most == 4)

        tasks = [asyncio.ensure_future(run()) for _ in range(4)]
        await _until(lambda: turns.waiting == 3)
        turns.open()
        await asyncio.gather(*tasks)
        assert (turns.limit, turns.running) == (None, 0)

    asyncio.run(main())
