"""What would deadlock if anybody's code ran while the cache is locked, in processes with a limit."""

from __future__ import annotations

import os
import textwrap

import pytest

from task_graph.support import run_script

BEGIN = """
import gc, os, threading
from nexus_core import Cache
"""


def check(script: str, out: str) -> None:
    """Runs it; what hangs is ended, and fails."""
    ended = run_script(BEGIN + textwrap.dedent(script), timeout=60)
    assert (ended.code, ended.out, ended.err) == (0, out, "")


@pytest.mark.parametrize("policy", ["tinylfu", "lru"])
def test_keys_whose_eq_uses_the_cache(policy: str) -> None:
    check(
        f"""
        class Key:
            def __init__(self, number): self.number = number
            def __hash__(self): return 1
            def __eq__(self, other):
                cache[("plain", self.number)] = cache.get("other", 0)
                cache.pop(("plain", self.number - 1), None)
                len(cache), list(cache.items()), cache.cache_info()
                return self.number == other.number
        cache = Cache(8, policy={policy!r})
        for number in range(50):
            cache[Key(number % 5)] = number
            cache.get(Key(number % 7))
            cache.get_or_set(Key(number % 3), lambda: number)
        print(len(cache) <= 8)
        """,
        "True\n",
    )


def test_keys_whose_eq_removes_them() -> None:
    check(
        """
        class Key:
            def __hash__(self): return 1
            def __eq__(self, other):
                cache.clear()
                return True
        cache = Cache(8)
        cache[Key()] = 1
        print(cache.get(Key()))
        cache[Key()] = 2
        cache[Key()] = 3
        print(list(cache.values()))
        """,
        "None\n[3]\n",
    )


def test_listeners_that_use_the_cache() -> None:
    check(
        """
        told = []
        def listener(key, value, cause):
            told.append(cause)
            len(cache)
            cache.get(key)
            if len(told) < 100:
                cache[key, len(told)] = value
        cache = Cache(4, on_evict=listener)
        for number in range(50):
            cache[number] = number
        cache.clear()
        print(len(told) >= 100, len(cache) <= 4)
        """,
        "True True\n",
    )


def test_values_and_keys_whose_del_uses_the_cache() -> None:
    check(
        """
        class Clingy:
            def __init__(self, number): self.number = number
            def __del__(self):
                cache[self.number % 10] = len(cache)
                cache.get_or_set("loaded", lambda: 1)
                cache.invalidate_prefix("lo")
        cache = Cache(4)
        for number in range(200):
            cache[number] = Clingy(number)
            cache[Clingy(number)] = number
            cache[number] = None
        cache.clear()
        cache.pop("a", None)
        print(len(cache) <= 4)
        """,
        "True\n",
    )


def test_a_garbage_collection_in_the_middle_of_everything() -> None:
    check(
        """
        class Node:
            def __init__(self): self.me = self
            def __del__(self):
                cache[id(self) % 20] = Node() if len(cache) % 3 else None
        cache = Cache(16)
        gc.set_threshold(1, 1, 1)
        for number in range(2000):
            cache[number % 40] = Node()
            cache[(number % 40, "x")] = [Node()]
            cache.get(number % 13)
            cache.get_or_set((number % 7,), lambda: {"node": Node()})
            if number % 100 == 0:
                list(cache.items())
        print(len(cache) <= 16)
        gc.set_threshold(0)
        cache.clear()
        """,
        "True\n",
    )


@pytest.mark.parametrize("terms", ["", ", ttl=0.002", ", tti=0.002", ", weigher=weigher", ", weigher='bytes'"])
def test_a_garbage_collection_in_the_middle_of_an_insert(terms: str) -> None:
    # Threads, so that one may wait for the lock that another would never give back.
    check(
        f"""
        class Node:
            def __init__(self): self.me = self
            def __del__(self):
                cache["dying"] = Node()
                cache.get(1), cache.pop(2, None), len(cache), cache.get_or_set(3, list)
        def weigher(key, value): return 1
        cache = Cache(None if "bytes" in {terms!r} else 16{terms}, on_evict=lambda *gone: len(cache))
        gc.set_threshold(1, 1, 1)
        def work(seed):
            for number in range(300):
                cache[seed, number % 20] = Node()
                cache.setdefault((seed, number % 23), Node())
                cache.set(number % 9, Node(), tags="tag", ttl=0.001 if number % 2 else None)
                if number % 50 == 0:
                    cache.invalidate_tag("tag")
                    gc.collect()
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        gc.set_threshold(0)
        print(cache.maxsize is None or len(cache) <= 16)
        cache.clear()
        """,
        "True\n",
    )


@pytest.mark.parametrize("terms", ["ttl=10", "tti=10", "ttl=10, policy='lru'"])
def test_what_expires_and_uses_the_cache_meanwhile(terms: str) -> None:
    check(
        f"""
        now = [0.0]
        class Clingy:
            def __init__(self, number): self.number = number
            def __hash__(self): return self.number % 3
            def __eq__(self, other):
                cache.get("y"), cache.pop("x", None), cache.sync()
                return isinstance(other, Clingy) and self.number == other.number
            def __del__(self):
                if alive:
                    cache["last"] = self.number
                    len(cache), cache.get_or_set("loaded", int), cache.sync()
        alive, told, telling = [1], [], []
        def listener(key, value, cause):
            told.append(cause)
            cache.get(key), len(cache), cache.sync()
            if not telling:
                telling.append(1)
                cache["told", len(told) % 3] = 1
                telling.pop()
        cache = Cache(20, {terms}, timer=lambda: now[0], on_evict=listener)
        ways = [
            lambda key: cache.get(key), lambda key: key in cache, lambda key: len(cache), lambda key: list(cache.items()),
            lambda key: cache.sync(), lambda key: cache.pop(key, None), lambda key: cache.set(key, Clingy(1)),
            lambda key: cache.get_or_set(key, lambda: Clingy(2)), lambda key: cache.statistics(), lambda key: cache.clear(),
        ]
        for turn in range(60):
            for number in range(10):
                cache[Clingy(number)] = Clingy(number)
            now[0] += 11
            ways[turn % len(ways)](Clingy(turn % 10))
        print("expired" in told, len(cache) <= 20)
        alive.clear()
        """,
        "True True\n",
    )


def test_weighers_that_use_the_cache_and_write_the_same_key() -> None:
    check(
        """
        depth = []
        def weigher(key, value):
            cache.get(key), len(cache), cache.pop("other", None)
            if len(depth) < 3:
                depth.append(1)
                cache[key] = value
                cache.get_or_set("loaded", lambda: 1)
                depth.pop()
            return 2
        cache = Cache(9, weigher=weigher)
        for number in range(40):
            cache[number % 7] = number
            cache.setdefault(number % 5, number)
            cache.get_or_set(number % 3, lambda: number)
        print(cache.currsize <= 9, cache.currsize == 2 * len(cache))
        """,
        "True True\n",
    )


def test_functions_whose_arguments_and_results_use_the_cache() -> None:
    check(
        """
        from nexus_core import cached
        class Argument:
            def __init__(self, number): self.number = number
            def __hash__(self): return self.number % 2
            def __eq__(self, other):
                if max(self.number, other.number) < 5:
                    function(Argument(self.number + 5)), function.cache_info()
                return self.number == other.number
            def __del__(self):
                if alive:
                    function.cache.get("x"), len(function.cache)
        class Result:
            def __del__(self):
                if alive:
                    function("from a destructor"), function.cache.pop(("y",), None)
        alive = [1]
        @cached(maxsize=6, ttl=0.005)
        def function(argument):
            return Result()
        def work(seed):
            for number in range(300):
                function(Argument((seed + number) % 12))
                function((number % 9,))
                if number % 60 == 0:
                    function.cache_clear()
                    gc.collect()
        gc.set_threshold(1, 1, 1)
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(function.cache_info().currsize <= 6)
        alive.clear()
        """,
        "True\n",
    )


def test_hashes_and_weighers_and_clocks_that_use_the_cache() -> None:
    check(
        """
        class Key:
            def __hash__(self): return cache.setdefault("hash", 5)
            def __eq__(self, other): return self is other
        def weigher(key, value):
            cache.get(1)
            return 1
        def timer():
            return 1.0 if busy else look()
        busy = []
        def look():
            busy.append(1)
            cache.get("clock")
            busy.pop()
            return 1.0
        cache = Cache(8, weigher=weigher, timer=timer, ttl=10)
        for number in range(20):
            cache[Key()] = number
            cache[number] = number
        print(len(cache))
        """,
        "8\n",
    )


def test_threads_that_do_all_of_it_at_once() -> None:
    check(
        """
        class Key:
            def __init__(self, number): self.number = number
            def __hash__(self): return self.number % 3
            def __eq__(self, other):
                cache.get("x")
                return self.number == other.number
            def __del__(self):
                cache.pop("y", None)
        cache = Cache(10, on_evict=lambda key, value, cause: cache.get(key))
        def work(seed):
            for number in range(600):
                cache[Key((seed + number) % 20)] = number
                cache.get_or_set(Key(number % 17), lambda: number)
                if number % 50 == 0:
                    cache.clear()
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(len(cache) <= 10)
        """,
        "True\n",
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_child_has_what_its_parent_had_and_computes_for_itself() -> None:
    check(
        """
        cache = Cache(10)
        cache["a"] = 1
        begun, end = threading.Event(), threading.Event()
        def slow():
            begun.set()
            end.wait()
            return "parent"
        threads = [threading.Thread(target=cache.get_or_set, args=("key", slow)) for _ in range(3)]
        for thread in threads: thread.start()
        begun.wait()
        pid = os.fork()
        if pid == 0:
            same = cache["a"] == 1 and cache.get_or_set("key", lambda: "child") == "child"
            os._exit(0 if same else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        end.set()
        for thread in threads: thread.join()
        print(cache["key"])
        """,
        "0\nparent\n",
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_computation_that_forks_ends_in_both_processes() -> None:
    check(
        """
        cache = Cache(10)
        pids = []
        def forks():
            pids.append(os.fork())
            return os.getpid()
        value = cache.get_or_set("key", forks)
        again = cache.get_or_set("key", lambda: 0)
        if pids[0] == 0:
            os._exit(0 if value == again == os.getpid() else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1]), value == again == os.getpid())
        """,
        "0 True\n",
    )


def test_threads_and_tasks_that_fail_and_are_cancelled_are_all_answered() -> None:
    check(
        """
        import asyncio, random, time
        cache = Cache(5, ttl=0.01)
        wrong = []

        def outcome(chance, key):
            if chance.random() < 0.2:
                raise ValueError(key)
            return key

        async def ask(seed):
            chance = random.Random(seed)
            async def compute(key):
                await asyncio.sleep(chance.random() * 0.002)
                return outcome(chance, key)
            for _ in range(60):
                key = chance.randrange(8)
                task = asyncio.create_task(cache.aget_or_set(key, lambda key=key: compute(key)))
                if chance.random() < 0.4:
                    await asyncio.sleep(chance.random() * 0.002)
                    task.cancel()
                try:
                    if await task != key:
                        wrong.append(key)
                except (ValueError, asyncio.CancelledError):
                    pass

        async def tasks():
            await asyncio.gather(*(ask(seed) for seed in range(10)))

        def threaded(seed):
            chance = random.Random(seed)
            for _ in range(400):
                key = chance.randrange(8)
                def compute():
                    time.sleep(chance.random() * 0.0005)
                    return outcome(chance, key)
                try:
                    if cache.get_or_set(key, compute) != key:
                        wrong.append(key)
                except ValueError:
                    pass

        threads = [threading.Thread(target=asyncio.run, args=(tasks(),)) for _ in range(2)]
        threads += [threading.Thread(target=threaded, args=(seed,)) for seed in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        seen = cache.statistics()
        print(wrong, seen.load.count == seen.insertions + seen.replaced, len(cache) <= 5)
        """,
        "[] True True\n",
    )


def test_a_ring_is_seen_though_a_signals_handler_waited_meanwhile() -> None:
    check(
        """
        import signal, time
        from nexus_core.errors import RecursiveLoad
        cache = Cache(8)
        begun, computing, waited = (threading.Event() for _ in range(3))

        def waits(number):
            while cache.statistics().load_waits < number:
                time.sleep(0.001)

        def handled():
            computing.set()
            waits(2)
            return 1

        def handler(*_):
            cache.get_or_set("handled", lambda: 0)
            waited.set()

        def theirs():
            begun.set()
            waits(1)
            thread = threading.Thread(target=cache.get_or_set, args=("handled", handled))
            thread.start()
            computing.wait()
            os.kill(os.getpid(), signal.SIGUSR1)
            waited.wait()
            thread.join()
            try:
                return cache.get_or_set("mine", lambda: 0)
            except RecursiveLoad:
                return "a ring"

        signal.signal(signal.SIGUSR1, handler)
        other = threading.Thread(target=cache.get_or_set, args=("theirs", theirs))
        other.start()
        begun.wait()
        print(cache.get_or_set("mine", lambda: cache.get_or_set("theirs", lambda: 0)))
        other.join()
        """,
        "a ring\n",
    )
