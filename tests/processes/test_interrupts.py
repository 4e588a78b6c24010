"""Ctrl-C at every moment in which Python runs signal handlers: the pool goes on, and nobody waits for ever."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from processes.programs import run

pytestmark = pytest.mark.timeout(240)

SWEEP = '''
import nexus_core
from nexus_core.processes.crew import Lease
from nexus_core.shipping import pack

own = os.path.dirname(nexus_core.__file__)


class Interrupted:
    """Raises KeyboardInterrupt in a call, at its nth moment: handlers run after calls, and where functions begin."""

    def __init__(self, moment):
        self.left = moment

    def look(self, frame, event, argument):
        file = frame.f_code.co_filename
        if event != "c_call" and (file.startswith(own) or file.endswith("threading.py")):
            self.left -= 1
            self.moment = (file, frame.f_code.co_name, frame.f_lineno, event)
            if self.left == 0:
                sys.setprofile(None)
                signal.raise_signal(signal.SIGINT)

    def __call__(self, call):
        sys.setprofile(self.look)
        try:
            call()
        except KeyboardInterrupt:
            pass
        finally:
            sys.setprofile(None)


# Where a handler raises in a generator that is being closed, Python can only tell of it.
sys.unraisablehook = lambda told: None


def adds_up(seen, shrinks):
    # Those that left when the pool shrank had done what they were doing.
    there = seen.workers + seen.lost + seen.killed
    return seen.busy == seen.waiting == 0 and (shrinks or seen.started == there) and seen.failed <= seen.done


def check(pool, where, shrinks=False):
    pool.resize(2)
    assert pool.submit(abs, -3).result(timeout=60) == 3, where
    end = time.monotonic() + 60
    while not adds_up(seen := pool.statistics(), shrinks):
        assert time.monotonic() < end, (where, seen)
        time.sleep(0.001)


def ask():
    task = pack((abs, (-1,), {}, {}))
    return pool._run(lambda _: task, what="abs", may_retry=False)


def sweep(call, step=1, before=lambda: None, shrinks=False):
    """Whether there were some moments; until the call ends before the next one."""
    moment = 0
    while True:
        moment += step
        undo = before()
        interrupted = Interrupted(moment)
        interrupted(call)
        if undo is not None:
            undo()
        check(pool, getattr(interrupted, "moment", None), shrinks)
        if interrupted.left > 0:
            return moment > 5


pool = ProcessPool(2)
pool.start()
'''


def swept(folder: Path, text: str) -> list[str]:
    return run(folder, f"{SWEEP}\n{textwrap.dedent(text)}\npool.close()\nprint(pool.workers())").splitlines()


def test_while_a_task_runs_waits_or_needs_a_worker(tmp_path: Path) -> None:
    text = """
        def hold_all():
            held = [Lease(), Lease()]
            for lease in held:
                pool._crew.take(lease)
            later = threading.Timer(0.005, lambda: [pool._crew.give_back(lease) for lease in held])
            later.start()
            return later.join

        def kill_all():
            for worker in pool.workers():
                try:
                    os.kill(worker.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass

        print(sweep(ask))
        print(sweep(lambda: pool.submit(abs, -1).result()))
        print(sweep(ask, step=2, before=hold_all))
        print(sweep(ask, step=3, before=kill_all))
    """
    assert swept(tmp_path, text) == ["True", "True", "True", "True", "[]"]


def test_while_a_pool_changes_its_size_or_ends(tmp_path: Path) -> None:
    text = """
        def change():
            pool.resize(1)
            pool.resize(2)
            pool.start()

        print(sweep(change, step=3, shrinks=True))

        moment = 1
        while True:
            other = ProcessPool(1)
            other.submit(abs, -1).result()
            interrupted = Interrupted(moment)
            interrupted(other.close)
            other.close()
            assert other.workers() == [], interrupted.moment
            if interrupted.left > 0:
                break
            moment += 2
        print(moment > 20)
    """
    assert swept(tmp_path, text) == ["True", "True", "[]"]


def test_while_a_workflow_runs(tmp_path: Path) -> None:
    text = """
        builder = WorkflowBuilder()
        builder.add_node("PythonCodeNode", "one", {"code": "result = 1"})
        builder.add_node("PythonCodeNode", "two", {"code": "result = x + 1"})
        builder.add_connection("one", "result", "two", "x")
        workflow = builder.build()
        with LocalRuntime(enable_monitoring=False, isolation="process", process_pool=pool) as runtime:
            before = runtime.execute(workflow)[0]

            def execute():
                assert runtime.execute(workflow)[0] == before

            print(sweep(execute, step=11))
            execute()
            # A clock's signals, at moments that nobody chooses.
            signal.signal(signal.SIGALRM, signal.default_int_handler)
            for microseconds in range(50, 3000, 60):
                try:
                    signal.setitimer(signal.ITIMER_REAL, microseconds / 1e6)
                    execute()
                    time.sleep(0.003)
                except KeyboardInterrupt:
                    pass
                check(pool, microseconds)
                execute()
            print("as before")
    """
    assert swept(tmp_path, text) == ["True", "as before", "[]"]


def test_after_somebody_was_told_of_a_worker_that_it_no_longer_needs(tmp_path: Path) -> None:
    """Whoever told it was interrupted before it could take it out of the line."""
    text = """
        class Interrupting:
            def __init__(self, bell):
                self.bell = bell

            def __getattr__(self, name):
                return getattr(self.bell, name)

            def ring(self):
                self.bell.ring()
                raise KeyboardInterrupt

        pool.resize(1)
        crew, first, second = pool._crew, Lease(), Lease()
        crew.take(first)
        second.arrived = Interrupting(second.arrived)
        thread = threading.Thread(target=crew.take, args=[second])
        thread.start()
        while not crew.waiting:
            time.sleep(0.001)
        try:
            crew.give_back(first)
        except KeyboardInterrupt:
            print("interrupted")
        second.arrived = second.arrived.bell
        thread.join()
        crew.give_back(second)
        print(second.is_held, crew.waiting, pool.statistics().busy)
        check(pool, "told", shrinks=True)
    """
    assert swept(tmp_path, text) == ["interrupted", "False 0 0", "[]"]
