"""Whatever ends: nothing is lost, nothing runs twice that did not say it may, and every caller is answered."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from processes.programs import children_of, is_running, run, start, until

pytestmark = [pytest.mark.timeout(240), pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="reads /proc")]


def test_a_worker_killed_mid_node_fails_the_node_once(tmp_path: Path) -> None:
    text = """
        def killed(folder, x):
            note("killed")
            os.kill(os.getpid(), signal.SIGKILL)

        def fine(folder, x):
            return 1

        with ProcessPool(2) as pool, LocalRuntime(enable_monitoring=False, isolation="process", process_pool=pool) as r:
            error = failure(r, of(bad=killed))
            print(type(error).__name__, error.status, error.task, error.attempts)
            print("SIGKILL" in str(error), "retry_on_worker_loss" in str(error), times("killed"))
            print(r.execute(of(good=fine))[0])
            seen = pool.statistics()
            print(seen.lost, seen.retried, seen.workers)
    """
    assert run(tmp_path, text).splitlines() == [
        "WorkerLost -9 node 'bad' 1",
        "True True 1",
        "{'good': {'result': 1}}",
        "1 0 1",
    ]


@pytest.mark.parametrize(
    "said",
    [
        "workflow.metadata['retry_on_worker_loss'] = True",
        "workflow.metadata['retry_on_worker_loss'] = ['node']",
        "workflow._node_instances['node'].retry_on_worker_loss = True",
        "pool.retry_on_worker_loss = True",
    ],
)
def test_a_node_that_may_be_retried_is(tmp_path: Path, said: str) -> None:
    text = f"""
        def once(folder, x):
            note("runs")
            if times("runs") == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return times("runs")

        with ProcessPool(1) as pool, LocalRuntime(enable_monitoring=False, isolation="process", process_pool=pool) as r:
            workflow = of(node=once)
            {said}
            print(r.execute(workflow)[0]["node"], pool.statistics().retried)
    """
    assert run(tmp_path, text) == "{'result': 2} 1\n"


def test_a_node_that_always_ends_its_worker_is_given_up(tmp_path: Path) -> None:
    text = """
        def always(folder, x):
            note("runs")
            os._exit(3)

        with ProcessPool(1, retry_on_worker_loss=True) as pool:
            with LocalRuntime(enable_monitoring=False, isolation="process", process_pool=pool) as r:
                error = failure(r, of(node=always))
                print(type(error).__name__, error.status, error.attempts, times("runs"))
    """
    assert run(tmp_path, text) == "WorkerLost 3 3 3\n"


def test_killed_in_every_phase(tmp_path: Path) -> None:
    """Before the node has begun it is begun again, since nothing of it has run; afterwards it is not."""
    text = """
        class DiesWhenRead:
            def __reduce__(self):
                return die_once, ("read",)

        class DiesWhenTold:
            def __reduce__(self):
                os.kill(os.getpid(), signal.SIGKILL)

        def die_once(name):
            note(name)
            if times(name) == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return name

        def echo(folder, x):
            note("echo")
            return str(x)

        def replies(folder, x):
            note("replies")
            return {"dies": DiesWhenTold()}

        class Any(Calls):
            def validate_outputs(self, outputs):
                return outputs

        with ProcessPool(1) as pool, LocalRuntime(enable_monitoring=False, isolation="process", process_pool=pool) as r:
            workflow = of(node=echo)
            print("idle:", r.execute(workflow)[0]["node"], times("echo"))
            os.kill(pool.workers()[0].pid, signal.SIGKILL)
            print("idle:", r.execute(workflow)[0]["node"], times("echo"))
            results = r.execute(workflow, parameters={"node": {"x": DiesWhenRead()}})[0]
            print("reading:", results["node"], times("read"), times("echo"))
            telling = Workflow("id", "name")
            telling.add_node("node", Any(replies))
            error = failure(r, telling)
            print("replying:", type(error).__name__, times("replies"))
            print(r.execute(workflow)[0]["node"], pool.statistics().lost)
    """
    assert run(tmp_path, text).splitlines() == [
        "idle: {'result': 'None'} 1",
        "idle: {'result': 'None'} 2",
        "reading: {'result': 'read'} 2 3",
        "replying: WorkerLost 1",
        "{'result': 'None'} 3",
    ]


def test_killed_while_it_loads_the_workflow(tmp_path: Path) -> None:
    """Nothing of the node has run: it is begun again, whatever it says."""
    text = """
        class DiesWhenLoaded:
            def __reduce__(self):
                return made, (os.getpid(),)

        def made(pid):
            if pid != os.getpid():
                note("loaded")
                if times("loaded") == 1:
                    os.kill(os.getpid(), signal.SIGKILL)
            return DiesWhenLoaded()

        def fine(folder, x):
            note("fine")
            return 1

        with ProcessPool(1) as pool, LocalRuntime(enable_monitoring=False, isolation="process", process_pool=pool) as r:
            workflow = of(node=fine)
            workflow._node_instances["node"].part = DiesWhenLoaded()
            print(r.execute(workflow)[0]["node"], times("loaded"), times("fine"), pool.statistics().lost)
    """
    assert run(tmp_path, text) == "{'result': 1} 2 1 1\n"


def test_an_error_that_cannot_be_pickled_keeps_its_type_and_text(tmp_path: Path) -> None:
    text = """
        class Locked(Exception):
            def __init__(self, text):
                super().__init__(text)
                self.lock = threading.Lock()

        def fails(folder, x):
            note("fails")
            raise Locked("no way")

        with ProcessPool(1) as pool, LocalRuntime(enable_monitoring=False, isolation="process", process_pool=pool) as r:
            error = failure(r, of(node=fails))
            inner = error
            while not isinstance(inner, Locked):
                inner = inner.__cause__ or inner.__context__
            print(type(inner) is Locked, inner, times("fails"), pool.statistics().lost)
    """
    assert run(tmp_path, text) == "True no way 1 0\n"


def test_what_a_task_forks_neither_answers_nor_keeps_callers_waiting(tmp_path: Path) -> None:
    text = """
        def dies_before_its_child(folder):
            if os.fork() == 0:
                end = time.monotonic() + 120
                while time.monotonic() < end and not (folder / "answered").exists():
                    time.sleep(0.01)
                os._exit(0)
            os.kill(os.getpid(), signal.SIGKILL)

        def forks(number):
            os.fork()
            return number

        with ProcessPool(1) as pool:
            try:
                pool.submit(dies_before_its_child, folder).result()
            except WorkerLost as lost:
                print(lost.status)
            note("answered")
            print([pool.submit(forks, number).result() for number in range(4)], pool.submit(len, "end").result())
    """
    assert run(tmp_path, text, timeout=60).splitlines() == ["-9", "[0, 1, 2, 3] 3"]


def test_workers_killed_at_any_time(tmp_path: Path) -> None:
    """Each task has run at most once, and each caller has its value or is told of the loss."""
    text = """
        import random

        def work(number):
            note(f"task-{number}")
            end = time.thread_time() + 0.002
            while time.thread_time() < end:
                pass
            return number

        random.seed(7)
        killed = 0
        with ProcessPool(2) as pool:
            futures = [pool.submit(work, number) for number in range(150)]
            while not all(future.done() for future in futures):
                for worker in pool.workers():
                    if random.random() < 0.2:
                        killed += 1
                        try:
                            os.kill(worker.pid, signal.SIGKILL)
                        except ProcessLookupError:
                            pass
                time.sleep(0.01)
            lost = 0
            for number, future in enumerate(futures):
                error = future.exception()
                if error is None:
                    assert future.result() == number and times(f"task-{number}") == 1
                else:
                    assert isinstance(error, WorkerLost), error
                    assert times(f"task-{number}") <= 1
                    lost += 1
            print(killed > 0, lost <= killed, pool.submit(work, 1000).result())
    """
    assert run(tmp_path, text) == "True True 1000\n"


def test_an_output_that_cannot_be_pickled_names_the_node_and_the_part(tmp_path: Path) -> None:
    text = """
        def locked(folder, x):
            note("runs")
            return {"deep": [1, threading.Lock()]}

        class Any(Calls):
            def validate_outputs(self, outputs):
                return outputs

        with ProcessPool(1) as pool, LocalRuntime(enable_monitoring=False, isolation="process", process_pool=pool) as r:
            workflow = Workflow("id", "name")
            workflow.add_node("node", Any(locked))
            error = failure(r, workflow)
            print(type(error).__name__, error.node, error.path, error.type_name, times("runs"))
            error = failure(r, of(given=str), parameters={"given": {"x": [threading.Lock()]}})
            print(type(error).__name__, error.node, error.path, error.type_name)
            print(pool.submit(abs, -1).result(), pool.statistics().lost)
    """
    assert run(tmp_path, text).splitlines() == [
        "NotShippable node output['result']['deep'][1] _thread.lock 1",
        "NotShippable given inputs['x'][0] _thread.lock",
        "1 0",
    ]


def test_a_limit_ends_a_node_and_replaces_its_worker(tmp_path: Path) -> None:
    text = """
        from kailash.sdk_exceptions import HardTimeLimitExceeded

        def endless(folder, x):
            note("endless")
            while True:
                pass

        def fine(folder, x):
            return os.getpid()

        with ProcessPool(1) as pool, LocalRuntime(enable_monitoring=False, isolation="process", process_pool=pool) as r:
            first = r.execute(of(node=fine))[0]["node"]["result"]
            try:
                r.execute(of(node=endless), time_limit=0.3)
            except HardTimeLimitExceeded as error:
                print(error)
            print(times("endless"), r.execute(of(node=fine))[0]["node"]["result"] != first, pool.statistics().killed)
            cyclic = of(one=endless, two=fine)
            cyclic.connect("one", "two", {"result": "x"})
            cyclic.create_cycle("c").connect("two", "one", {"result": "x"}).max_iterations(3).build()
            try:
                r.execute(cyclic, time_limit=0.3)
            except HardTimeLimitExceeded as error:
                print(error, times("endless"))
    """
    lines = run(tmp_path, text).splitlines()
    assert lines[0].startswith("workflow exceeded hard time limit (time_limit=0.3s")
    assert lines[1] == "1 True 1"
    assert lines[2].startswith("workflow exceeded hard time limit (time_limit=0.3s")
    assert lines[2].endswith(" 2")


def test_code_that_never_ends_has_kailashs_error(tmp_path: Path) -> None:
    text = """
        builder = WorkflowBuilder()
        builder.add_node("PythonCodeNode", "endless", {"code": "while True:\\n    pass"})
        workflow = builder.build()
        workflow._node_instances["endless"].executor.security_config.execution_timeout = 0.2
        with ProcessPool(1) as pool, LocalRuntime(enable_monitoring=False, isolation="process", process_pool=pool) as r:
            error = failure(r, workflow)
            print("Execution timeout: " in str(error), "> 0.2s" in str(error), pool.statistics().killed)
    """
    assert run(tmp_path, text) == "True True 1\n"


def test_a_run_that_is_not_awaited_any_more_ends_its_nodes(tmp_path: Path) -> None:
    text = """
        import asyncio

        def endless(folder, x):
            note("endless")
            while True:
                pass

        async def main(pool):
            async with AsyncLocalRuntime(isolation="process", process_pool=pool) as r:
                task = asyncio.create_task(r.execute_workflow_async(of(node=endless), {}))
                while not times("endless"):
                    await asyncio.sleep(0.01)
                task.cancel()
                try:
                    await task
                except asyncio.CancelledError:
                    print("cancelled")
                while pool.statistics().killed == 0:
                    await asyncio.sleep(0.01)

        with ProcessPool(1) as pool:
            asyncio.run(main(pool))
            print(pool.submit(abs, -3).result(), times("endless"))
    """
    assert run(tmp_path, text).splitlines() == ["cancelled", "3 1"]


@pytest.mark.parametrize(
    ("end", "number"), [(os.kill, signal.SIGKILL), (os.kill, signal.SIGTERM), (os.killpg, signal.SIGTERM)]
)
def test_nothing_is_left_of_a_parent_that_is_killed(
    tmp_path: Path, end: Callable[[int, int], None], number: int
) -> None:
    text = """
        def endless(folder, x):
            note("endless")
            while True:
                pass

        pool = ProcessPool(2)
        with LocalRuntime(enable_monitoring=False, isolation="process", process_pool=pool) as r:
            r.execute(of(one=endless, two=endless))
    """
    parent = start(tmp_path, text)
    path = tmp_path / "endless"
    assert until(lambda: path.exists() and len(path.read_text()) == 2)
    family = children_of(parent.pid)
    assert len(family) == 3
    end(parent.pid, number)
    parent.communicate()
    assert parent.returncode == -number
    assert until(lambda: not any(map(is_running, family)))


def test_ctrl_c_is_the_parents_to_decide(tmp_path: Path) -> None:
    text = """
        def endless(folder, x):
            note("endless")
            while not (folder / "go").exists():
                pass
            return "went on"

        pool = ProcessPool(1)
        with LocalRuntime(enable_monitoring=False, isolation="process", process_pool=pool) as r:
            try:
                r.execute(of(node=endless))
            except KeyboardInterrupt:
                print("interrupted", flush=True)
            print(pool.submit(abs, -1).result(), flush=True)
    """
    parent = start(tmp_path, text)
    assert until(lambda: (tmp_path / "endless").exists())
    family = children_of(parent.pid)
    os.killpg(parent.pid, signal.SIGINT)
    output, _ = parent.communicate(timeout=100)
    assert output.splitlines()[-2:] == ["interrupted", "1"], output
    assert until(lambda: not any(map(is_running, family)))


def test_a_forked_child_has_workers_of_its_own(tmp_path: Path) -> None:
    text = """
        pool = ProcessPool(1)
        first = pool.submit(os.getpid).result()
        child = os.fork()
        if child == 0:
            own = pool.submit(os.getpid).result()
            parent_of_own = pool.workers()[0].pid
            pool.close()
            os._exit(0 if own != first and own == parent_of_own else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        print(pool.submit(os.getpid).result() == first)
        pool.close()
    """
    assert run(tmp_path, text).splitlines() == ["0", "True"]


def test_a_fork_while_a_pool_is_in_use_or_closed(tmp_path: Path) -> None:
    text = """
        pool, closed = ProcessPool(1), ProcessPool(1)
        pool.submit(abs, 1).result()
        closed.close()
        # As if another thread was counting.
        with pool._counts._lock, pool._crew._lock, pool._crew._tending:
            child = os.fork()
            if child == 0:
                right = pool.submit(abs, -1).result() == 1 and pool.statistics().done == 1
                pool.close()
                try:
                    closed.submit(abs, -1)
                except ProcessPoolClosed:
                    os._exit(0 if right else 1)
                os._exit(2)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        pool.close()
    """
    assert run(tmp_path, text, timeout=60) == "0\n"


def test_an_interrupted_start_is_not_answered_to_somebody_else(tmp_path: Path) -> None:
    text = """
        from nexus_core.processes.fork_server import fork_server

        def interrupt(*_):
            os.kill(starter, signal.SIGCONT)
            raise KeyboardInterrupt

        signal.signal(signal.SIGALRM, interrupt)
        with ProcessPool(1) as first, ProcessPool(1) as pool:
            first.start()
            starter = fork_server()._process.pid
            # It is asked, and does not answer yet.
            os.kill(starter, signal.SIGSTOP)
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.3)
                pool.start()
            except KeyboardInterrupt:
                print("interrupted")
            print(pool.submit(os.getpid).result() == pool.workers()[0].pid, pool.statistics().workers)
    """
    assert run(tmp_path, text, timeout=60).splitlines() == ["interrupted", "True 1"]


def test_the_process_that_workers_come_from_may_be_killed(tmp_path: Path) -> None:
    text = """
        from nexus_core.processes.fork_server import fork_server

        def runs(pid):
            try:
                return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
            except OSError:
                return False

        with ProcessPool(1) as pool:
            first = pool.submit(os.getpid).result()
            os.kill(fork_server()._process.pid, signal.SIGKILL)
            fork_server()._process.wait()
            # Its workers are ended with it, a moment later.
            while runs(first):
                time.sleep(0.01)
            print(pool.submit(os.getpid).result() != first, fork_server().starts)
    """
    assert run(tmp_path, text) == "True 2\n"


def test_nothing_is_left_open(tmp_path: Path) -> None:
    text = """
        import numpy

        def double(array):
            array *= 2
            return array

        with ProcessPool(1) as pool:
            array = numpy.ones(200_000)
            pool.submit(double, array).result()
            before = len(os.listdir("/proc/self/fd"))
            worker = pool.workers()[0].pid
            theirs = len(os.listdir(f"/proc/{worker}/fd"))
            kept = [pool.submit(double, array).result() for _ in range(30)]
            # It closes what it has sent a moment after that has come.
            while len(os.listdir(f"/proc/{worker}/fd")) > theirs:
                time.sleep(0.01)
            print(len(os.listdir("/proc/self/fd")) - before)
            print(all(found[0] == 2 for found in kept), array[0])
        print(len(os.listdir("/proc/self/fd")) < before)
    """
    assert run(tmp_path, text).splitlines() == ["0", "True 1.0", "True"]


def test_closing_a_pool_answers_those_who_wait(tmp_path: Path) -> None:
    text = """
        def endless(number):
            note("endless")
            while True:
                pass

        pool = ProcessPool(1)
        futures = [pool.submit(endless, number) for number in range(2)]
        while not times("endless"):
            time.sleep(0.01)
        pool.close(timeout=0.2)
        for future in futures:
            print(future.cancelled() or type(future.exception()).__name__)
        print(times("endless"))
    """
    assert run(tmp_path, text).splitlines() == ["ProcessPoolClosed", "True", "1"]


def test_closing_does_not_wait_for_a_worker_that_is_still_starting(tmp_path: Path) -> None:
    text = """
        from concurrent.futures import CancelledError
        from nexus_core.processes.fork_server import fork_server

        with ProcessPool(1) as other:
            other.start()
            starter = fork_server()._process.pid
            # It is asked for a worker, and does not answer yet.
            os.kill(starter, signal.SIGSTOP)
            pool = ProcessPool(1)
            futures = [pool.submit(note, "ran") for _ in range(3)]
            while not pool.statistics().waiting:
                time.sleep(0.01)
            pool.close(timeout=0.2)
            print([type(future.exception()).__name__ if not future.cancelled() else "cancelled" for future in futures])
            os.kill(starter, signal.SIGCONT)
            # It comes, and goes without having done anything.
            while not pool.statistics().started or pool.workers():
                time.sleep(0.01)
            print(times("ran"), pool.statistics().started, other.submit(abs, -1).result())
    """
    lines = run(tmp_path, text).splitlines()
    assert lines == ["['ProcessPoolClosed', 'cancelled', 'cancelled']", "0 1 1"]


def test_a_program_may_end_while_a_worker_is_still_starting(tmp_path: Path) -> None:
    text = """
        from nexus_core.processes.fork_server import fork_server

        pool, other = ProcessPool(1), ProcessPool(1)
        other.start()
        os.kill(fork_server()._process.pid, signal.SIGSTOP)
        threading.Thread(target=pool.start, daemon=True).start()
        while not pool._crew._starting:
            time.sleep(0.01)
        print("ends")
    """
    assert run(tmp_path, text) == "ends\n"


def test_tasks_that_come_while_a_pool_closes_run_or_are_refused_as_after_its_end(tmp_path: Path) -> None:
    text = """
        told = set()
        for number in range(60):
            pool = ProcessPool(1)
            if number % 2:
                pool.start()
            closing = threading.Thread(target=pool.close if number % 3 else pool.shutdown)
            futures = []
            try:
                for place in range(40):
                    if place == number % 20:
                        closing.start()
                    futures.append(pool.submit(abs, -place))
            except ProcessPoolClosed:
                told.add("refused")
            assert [future.result(timeout=60) for future in futures] == list(range(len(futures)))
            closing.join()
            assert pool.workers() == []
            pool.close()
        print(told)
    """
    assert run(tmp_path, text) == "{'refused'}\n"


def test_a_fork_while_other_threads_describe_nodes(tmp_path: Path) -> None:
    text = """
        from contextlib import ExitStack
        from nexus_core.shipping import context_variables, load, resources, ship, workflows

        def fine(folder, x):
            return 1

        with ProcessPool(1) as pool, LocalRuntime(enable_monitoring=False, isolation="process", process_pool=pool) as r:
            workflow = of(node=fine)
            r.execute(workflow)
            isolation = r._isolation
            (_, nodes), = isolation._plans.values()
            shipped = ship(of(node=fine))
            turn = workflows._turns[shipped.digest] = threading.Lock()
            locks = [isolation._lock, nodes._lock, workflows._lock, context_variables._lock, resources._lock, turn]
            held, forked = threading.Event(), threading.Event()

            def hold():
                with ExitStack() as stack:
                    for lock in locks:
                        stack.enter_context(lock)
                    held.set()
                    forked.wait()

            holder = threading.Thread(target=hold)
            holder.start()
            held.wait()
            child = os.fork()
            if child == 0:
                load(shipped)
                workflow._node_instances["node"].changed = True
                right = [r.execute(each)[0]["node"]["result"] for each in (workflow, of(node=fine))] == [1, 1]
                pool.close()
                os._exit(0 if right else 1)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            forked.set()
            holder.join()
            print(r.execute(workflow)[0])
    """
    assert run(tmp_path, text).splitlines() == ["0", "{'node': {'result': 1}}"]


def test_the_end_of_a_service_is_the_parents_to_decide(tmp_path: Path) -> None:
    """As service managers end one: every process is sent SIGTERM."""
    text = """
        def long(folder, x):
            note("long")
            while not (folder / "go").exists():
                time.sleep(0.01)
            return "done"

        def drain(number, frame):
            note("go")

        signal.signal(signal.SIGTERM, drain)
        with ProcessPool(1) as pool:
            with LocalRuntime(enable_monitoring=False, isolation="process", process_pool=pool) as r:
                print(r.execute(of(node=long))[0]["node"], pool.statistics().lost)
    """
    parent = start(tmp_path, text)
    assert until(lambda: (tmp_path / "long").exists())
    os.killpg(parent.pid, signal.SIGTERM)
    output, _ = parent.communicate(timeout=100)
    assert output.splitlines()[-1] == "{'result': 'done'} 0", output


def test_what_a_task_starts_can_be_ended_as_usual(tmp_path: Path) -> None:
    text = """
        import subprocess

        def starts():
            found = []
            for number in (signal.SIGTERM, signal.SIGINT):
                child = subprocess.Popen([sys.executable, "-c", "import signal; print('up', flush=True); signal.pause()"],
                                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                child.stdout.readline()
                child.send_signal(number)
                found.append(child.wait())
                child.stdout.close()
            child = os.fork()
            if child == 0:
                note("forked")
                signal.pause()
            while not times("forked"):
                time.sleep(0.01)
            os.kill(child, signal.SIGTERM)
            found.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            return found

        with ProcessPool(1) as pool:
            print(pool.submit(starts).result())
    """
    assert run(tmp_path, text) == "[-15, -2, -15]\n"


def test_workers_that_are_killed_leave_nothing(tmp_path: Path) -> None:
    text = """
        import gc
        from nexus_core.processes.fork_server import fork_server

        def die():
            os.kill(os.getpid(), signal.SIGKILL)

        def descriptors(pid):
            gc.collect()
            return len(os.listdir(f"/proc/{pid}/fd"))

        def zombies_of(parents):
            found = 0
            for entry in filter(str.isdigit, os.listdir("/proc")):
                try:
                    state, parent = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[:2]
                except OSError:
                    continue
                found += state == "Z" and int(parent) in parents
            return found

        with ProcessPool(1) as pool:
            pool.submit(abs, -1).result()
            family = os.getpid(), fork_server()._process.pid
            before = [descriptors(pid) for pid in family]
            lost = [type(pool.submit(die).exception()) for _ in range(20)]
            print(set(lost) == {WorkerLost}, pool.statistics().lost, zombies_of(family))
            pool.submit(abs, -1).result()
            print([descriptors(pid) for pid in family] == before)
    """
    assert run(tmp_path, text).splitlines() == ["True 20 0", "True"]
