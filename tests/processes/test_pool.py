"""``ProcessPool`` as an executor and as a crew of workers."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import as_completed
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nexus_core import ProcessPool
from nexus_core.errors import NotShippable, ProcessPoolClosed
from nexus_core.processes.crew import Lease
from nexus_core.processes.worker_process import Abandoned, Limits, Overdue
from nexus_core.shipping import pack
from processes import nodes
from processes.programs import until

pytestmark = pytest.mark.timeout(240)


def wait_for(path: Path) -> int:
    while not path.exists():
        time.sleep(0.005)
    return os.getpid()


def raise_odd() -> None:
    raise nodes.Odd(3, reason="odd")


def read_tenant() -> str:
    value = nodes.tenant.get()
    nodes.tenant.set("changed")
    return value


def test_results_and_errors_come_back(pool: ProcessPool) -> None:
    assert list(pool.map(pow, [2, 3, 4], [3, 2, 1])) == [8, 9, 4]
    factor = 4
    assert pool.submit(lambda value: factor * value, 5).result() == 20
    futures = [pool.submit(divmod, number, 3) for number in range(20)]
    assert sorted(future.result() for future in as_completed(futures)) == [divmod(number, 3) for number in range(20)]
    with pytest.raises(nodes.Odd, match="odd") as raised:
        pool.submit(raise_odd).result()
    assert raised.value.code == 3
    with pytest.raises(SystemExit):
        pool.submit(exit, 3).result()
    with pytest.raises(NotShippable, match=r"\[1\]\[0\]"):
        pool.submit(id, threading.Lock()).result()
    with pytest.raises(NotShippable, match="allocate_lock returned"):
        pool.submit(threading.Lock).result()


def test_context_variables_are_those_of_the_caller(pool: ProcessPool) -> None:
    nodes.tenant.set("acme")
    try:
        assert pool.submit(read_tenant).result() == "acme"
        assert nodes.tenant.get() == "acme"
        ContextVar("of nobody", default=None).set(threading.Lock())  # type: ignore[arg-type]
        assert pool.submit(read_tenant).result() == "acme"
    finally:
        nodes.tenant.set("nobody")


@pytest.mark.parametrize("size", [0, 1, 100, 31_000, 33_000, 1_000_000])
def test_values_of_any_size(pool: ProcessPool, size: int) -> None:
    array, text = np.arange(size, dtype=np.uint8), os.urandom(size)
    back = pool.submit(lambda *given: given, array, text, {"both": [array, text]}).result()
    assert np.array_equal(back[0], array)
    assert back[1] == text
    assert np.array_equal(back[2]["both"][0], array)
    if size:
        back[0][0] = 1


def test_arrays_and_frames_in_any_order(pool: ProcessPool) -> None:
    columns = np.asfortranarray(np.arange(40_000, dtype=float).reshape(200, 200))
    back = pool.submit(lambda array: array, columns).result()
    assert np.array_equal(back, columns)
    assert back.flags.f_contiguous
    assert np.array_equal(pool.submit(np.transpose, columns[::2]).result(), columns[::2].T)
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"number": range(20_000), "text": [f"row {row}" for row in range(20_000)]})
    pandas.testing.assert_frame_equal(pool.submit(lambda given: given, frame).result(), frame)


def test_workers_say_what_they_do(tmp_path: Path) -> None:
    with ProcessPool(2, name="sums") as pool:
        assert pool.workers() == []
        future = pool.submit(wait_for, tmp_path / "go")
        assert until(lambda: any(worker.state == "busy" for worker in pool.workers()))
        (worker,) = pool.workers()
        assert (worker.name, worker.tasks) == ("sums-1", 0)
        assert abs(worker.started - time.time()) < 200
        (tmp_path / "go").touch()
        assert future.result() == worker.pid
        assert until(lambda: pool.workers()[0].state == "idle")
        assert pool.workers()[0].tasks == 1
        pool.start()
        assert [worker.name for worker in pool.workers()] == ["sums-1", "sums-2"]


def test_shrinking_drains(tmp_path: Path) -> None:
    with ProcessPool(2) as pool:
        futures = [pool.submit(wait_for, tmp_path / name) for name in ("a", "b")]
        assert until(lambda: pool.statistics().busy == 2)
        pool.resize(1)
        assert (pool.size, pool.statistics().workers) == (1, 2)
        (tmp_path / "a").touch()
        futures[0].result()
        assert until(lambda: pool.statistics().workers == 1)
        (tmp_path / "b").touch()
        futures[1].result()
        assert pool.statistics().workers == 1
        pool.resize(3)
        pool.start()
        assert pool.statistics().workers == 3
        pool.resize(1)
        assert pool.statistics().workers == 1
        assert pool.statistics().lost == pool.statistics().killed == 0


@pytest.mark.parametrize("size", [0, -1])
def test_a_size_that_makes_no_sense(pool: ProcessPool, size: int) -> None:
    with pytest.raises(ValueError, match=f"size is {size}"):
        ProcessPool(size)
    with pytest.raises(ValueError, match=f"size is {size}"):
        pool.resize(size)
    assert pool.size == 2
    with pytest.raises(TypeError, match="number of processes, got 'two'"):
        ProcessPool("two")  # type: ignore[arg-type]


def test_the_end() -> None:
    pool = ProcessPool(1)
    assert pool.submit(abs, -2).result() == 2
    pid = pool.workers()[0].pid
    pool.shutdown()
    assert pool.workers() == []
    assert not Path(f"/proc/{pid}").exists()
    for call in (lambda: pool.submit(abs, 1), pool.start, lambda: pool.resize(1)):
        with pytest.raises(ProcessPoolClosed, match="'processes' is closed"):
            call()
    pool.close()


def test_first_come_first_served(tmp_path: Path) -> None:
    with ProcessPool(1) as pool:
        order: list[int] = []
        first = pool.submit(wait_for, tmp_path / "go")
        assert until(lambda: pool.statistics().busy == 1)

        def ask(number: int) -> None:
            pool._run(lambda worker: pack((abs, (number,), {}, {})), what="abs", may_retry=False)
            order.append(number)

        threads = []
        for number in range(5):
            threads.append(threading.Thread(target=ask, args=(number,)))
            threads[-1].start()
            assert until(lambda: pool.statistics().waiting == len(threads))
        (tmp_path / "go").touch()
        first.result()
        for thread in threads:
            thread.join()
        assert pool.statistics().waits == 5
        assert sorted(order) == list(range(5))


def test_no_more_leave_than_are_to() -> None:
    with ProcessPool(2) as pool:
        crew = pool._crew
        leases = Lease(), Lease()
        first, second = (crew.take(lease) for lease in leases)
        pool.resize(1)
        # It takes its time to end.
        os.kill(first.pid, signal.SIGSTOP)
        crew.give_back(leases[0])
        assert first.leaves
        crew.give_back(leases[1])
        os.kill(first.pid, signal.SIGCONT)
        assert until(lambda: [worker.pid for worker in pool.workers()] == [second.pid])


class SlowToRead:
    """As what needs large modules."""

    def __reduce__(self) -> Any:
        return slowly, ()


def slowly() -> int:
    time.sleep(1.5)
    return -1


def test_reading_a_task_is_not_its_time(pool: ProcessPool) -> None:
    task = pack((abs, (SlowToRead(),), {}, {}))
    assert pool._run(lambda _: task, what="it", may_retry=False, limits=Limits(seconds=1.0)).outcome == (1,)


def test_limits_end_a_task_and_free_its_place(tmp_path: Path) -> None:
    with ProcessPool(1) as pool:

        def sent(_: Any) -> Any:
            return pack((wait_for, (tmp_path / "never",), {}, {}))

        with pytest.raises(Overdue):
            pool._run(sent, what="it", may_retry=False, limits=Limits(seconds=0.05))
        with pytest.raises(Abandoned):
            pool._run(sent, what="it", may_retry=False, limits=Limits(is_abandoned=lambda: True))
        seen = pool.statistics()
        assert (seen.killed, seen.done, seen.failed) == (1, 1, 1) or (seen.killed, seen.done, seen.failed) == (2, 2, 2)
        assert pool.submit(abs, -1).result() == 1
