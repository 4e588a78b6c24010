"""Eight threads that want four connections all the time: who gets them, and after how long."""

from __future__ import annotations

import statistics
import threading
import time

from pools import CONNECTIONS, HELD, THREADS, Connections


def contend(pool: Connections, seconds: float) -> dict[str, float]:
    """Figures in seconds, and a second."""
    waits: list[list[float]] = [[] for _ in range(THREADS)]
    holds: list[list[float]] = [[] for _ in range(THREADS)]
    start = threading.Barrier(THREADS + 1)
    over = threading.Event()

    def work(number: int) -> None:
        waited, held = waits[number].append, holds[number].append
        clock, sleep, take, give, ended = time.perf_counter, time.sleep, pool.take, pool.give, over.is_set
        start.wait()
        while not ended():
            asked = clock()
            connection = take()
            got = clock()
            sleep(HELD)
            back = clock()
            give(connection)
            waited(got - asked)
            held(back - got)

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    time.sleep(seconds)
    over.set()
    took = time.perf_counter() - began
    for thread in threads:
        thread.join(60)
        if thread.is_alive():
            raise RuntimeError("a thread never got a connection")
    served = [len(waited) for waited in waits]
    everything = sorted(wait for waited in waits for wait in waited)
    held = statistics.fmean(hold for each in holds for hold in each)
    # Who was never served while others were is the longest wait of all, and is in it: it was let in at the end.
    return {
        "throughput": sum(served) / took,
        "mean": statistics.fmean(everything),
        "p99": everything[int(len(everything) * 0.99)],
        "longest": everything[-1],
        # Of a fair rotation: everybody else has had a connection in between.
        "rotation": held * THREADS / CONNECTIONS,
        "longest_over_rotation": everything[-1] / (held * THREADS / CONNECTIONS),
        "slowest_over_fastest": min(served) / max(served),
    }
