"""Figures of the process against `/proc`, psutil, and what it does."""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from pathlib import Path

import pytest

from nexus_core.metrics import process_metrics
from runtime.support import run_python

psutil = pytest.importorskip("psutil")
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


@pytest.mark.own_process
def test_memory_is_what_psutil_says() -> None:
    outside = psutil.Process()
    before = outside.memory_info().rss
    seen = process_metrics().resident_bytes
    after = outside.memory_info().rss
    assert seen is not None
    # Neither moves much between three looks in a row.
    assert min(before, after) - 8_000_000 <= seen <= max(before, after) + 8_000_000


@pytest.mark.own_process
@linux
def test_memory_that_is_used_is_seen() -> None:
    before = process_metrics().resident_bytes or 0
    size = 64_000_000
    block = bytearray(size)
    block[::4096] = b"x" * len(block[::4096])
    during = process_metrics()
    assert (during.resident_bytes or 0) - before >= size * 0.9
    del block
    assert (process_metrics().peak_resident_bytes or 0) >= before + size * 0.9


@pytest.mark.own_process
def test_processor_time_is_what_the_system_says() -> None:
    # Between two looks of another, ours is between them.
    def outside() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    before = outside()
    deadline = time.process_time() + 0.05
    while time.process_time() < deadline:
        pass
    seen = process_metrics().cpu_seconds
    after = outside()
    assert seen is not None
    assert before + 0.05 * 0.9 <= seen <= after


@linux
@pytest.mark.own_process
def test_threads_and_files_are_those_that_there_are(tmp_path: Path) -> None:
    over = threading.Event()
    threads = [threading.Thread(target=over.wait, args=(30,)) for _ in range(7)]
    before = process_metrics()
    for thread in threads:
        thread.start()
    files = [(tmp_path / str(number)).open("w") for number in range(5)]
    during = process_metrics()
    for file in files:
        file.close()
    over.set()
    for thread in threads:
        thread.join()
    assert during.threads is not None and before.threads is not None
    assert during.open_files is not None and before.open_files is not None
    assert during.threads - before.threads == 7
    assert during.open_files - before.open_files == 5


@linux
def test_how_long_the_process_runs() -> None:
    outside = time.time() - psutil.Process().create_time()
    seen = process_metrics().uptime_seconds
    assert seen is not None
    # The system counts in hundredths, and boot time is known to the second.
    assert abs(seen - outside) < 2.0


@linux
def test_processors_are_those_that_it_may_run_on(tmp_path: Path) -> None:
    assert process_metrics().cpus == len(os.sched_getaffinity(0))
    done = run_python(
        """
        import json, os
        from nexus_core.metrics import process_metrics
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        print(json.dumps(process_metrics().cpus))
        """,
        tmp_path,
        prelude="",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == 1


@linux
def test_limits_are_those_of_the_control_group() -> None:
    seen = process_metrics()
    groups = Path("/proc/self/cgroup").read_text()
    root = Path("/sys/fs/cgroup")
    limits = []
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        base = root if not controllers else root / "memory"
        name = "memory.max" if not controllers else "memory.limit_in_bytes"
        if controllers not in ("", "memory"):
            continue
        for part in (Path(path.lstrip("/")), *Path(path.lstrip("/")).parents):
            file = base / part / name
            if file.is_file() and (text := file.read_text().strip()) != "max" and int(text) < 1 << 60:
                limits.append(int(text))
    assert seen.memory_limit_bytes == (min(limits) if limits else None)
    if seen.memory_limit_bytes is None:
        assert seen.memory_share is None
    else:
        assert seen.memory_share == (seen.resident_bytes or 0) / seen.memory_limit_bytes


def test_nothing_is_given_back_unasked(tmp_path: Path) -> None:
    done = run_python(
        """
        import sys
        from nexus_core.metrics import process_metrics
        print(process_metrics().returned_bytes, "nexus_core.optimizer" in sys.modules)
        """,
        tmp_path,
        prelude="",
    )
    assert done.stdout == "0 False\n", done.stderr
