"""Run history: what Kailash writes at the end of a run, off the caller's thread.

Stock ``LocalRuntime`` writes ``workflow_runs`` and ``tasks`` of
``~/.kailash/tracking/tracking.db`` synchronously
(``DeferredStorageBackend.flush_to_sqlite``).  Here a run hands over finished
texts and goes on.
"""

from __future__ import annotations

import atexit
import functools
import os
import threading
from typing import Any

from kailash.tracking.storage.database import SQLiteStorage

from nexus_core.runtime import history_queue
from nexus_core.runtime.history_queue import BUSY_PATIENCE, HistoryWriter
from nexus_core.runtime.history_rows import (
    DEFAULT_CUSTOM_METRICS,
    PERSIST_WARNING,
    RunRecord,
    TaskRow,
    TaskTuple,
    metrics_of,
    node_metadata_prefix,
    result_json,
    run_metadata_json,
    skipped_metadata_json,
    taken_metadata_json,
    task_metadata_json,
)

__all__ = [
    "DEFAULT_CUSTOM_METRICS",
    "PERSIST_WARNING",
    "HistoryWriter",
    "RunRecord",
    "TaskRow",
    "TaskTuple",
    "flush",
    "history_writer",
    "install_read_barrier",
    "metrics_of",
    "node_metadata_prefix",
    "result_json",
    "run_metadata_json",
    "skipped_metadata_json",
    "taken_metadata_json",
    "task_metadata_json",
]

# --- the process ------------------------------------------------------------------

_default_writers: dict[str, HistoryWriter] = {}
_paths: dict[str, str] = {}


def _default_path() -> str:
    home = os.environ.get("HOME") if os.name == "posix" else None
    path = None if home is None else _paths.get(home)
    if path is None:
        path = os.path.abspath(os.path.expanduser("~/.kailash/tracking/tracking.db"))
        if home is not None and os.path.isabs(home):
            _paths[home] = path
    return path


def history_writer() -> HistoryWriter:
    """The writer of stock's default database under the present HOME.

    Ask again for every run: HOME may have changed, and a closed writer is replaced.
    The thread is started here, before the first node runs.
    """
    path = _default_path()
    writer = _default_writers.get(path)
    if writer is None or writer.closed:
        with history_queue.registry:
            writer = _default_writers.get(path)
            if writer is None or writer.closed:
                writer = _default_writers[path] = HistoryWriter(path)
        history_queue.worker.start()
    return writer


def flush(timeout: float | None) -> bool:
    """Waits until the history of all finished runs is in the database, if any has been kept.

    Args:
        timeout: Seconds to wait at most; ``None`` waits as long as Kailash would.

    Returns:
        Whether everything is written.
    """
    # No writer is made for it: this may be called while the interpreter shuts down.
    writer = _default_writers.get(_default_path())
    return writer is None or writer.closed or writer.flush(timeout)


def _flush_before_threads_end() -> None:
    for writer in list(history_queue.served):
        writer.flush(BUSY_PATIENCE)


def _close_at_exit() -> None:
    # From here on submit() writes at once: a handler registered earlier than this
    # one may still run workflows.
    history_queue.worker.stopped = True
    for writer in list(history_queue.served):
        writer.close()


atexit.register(_close_at_exit)
# Also run at the end of a multiprocessing child, which skips atexit handlers.
_register_thread_exit = getattr(threading, "_register_atexit", None)
if _register_thread_exit is not None:
    _register_thread_exit(_flush_before_threads_end)

# --- reading back -------------------------------------------------------------------

_BEHIND_BARRIER = (
    "__init__",
    "load_run",
    "list_runs",
    "search_runs",
    "load_task",
    "list_tasks",
    "get_all_tasks",
    "query_tasks",
    "get_statistics",
    "delete_task",
    "clear",
    "_execute_query",
)


def install_read_barrier() -> None:
    """Let this process's ``SQLiteStorage`` see every run that has ended.

    Stock writes before ``execute`` returns, so a program may read at once.  Opening
    a storage and its reading methods (and the two that delete) first write what
    waits for the same file.  May be called more than once.
    """
    with history_queue.registry:
        for name in _BEHIND_BARRIER:
            method = getattr(SQLiteStorage, name, None)
            if method is not None and not hasattr(method, "_nexus_core_barrier"):
                setattr(SQLiteStorage, name, _behind_barrier(name, method))


def _behind_barrier(name: str, method: Any) -> Any:
    opens = name == "__init__"

    @functools.wraps(method)
    def waits(self: Any, *args: Any, **kwargs: Any) -> Any:
        if opens:
            with history_queue.opening:
                method(self, *args, **kwargs)
            _barrier(self)  # only now the path is known
            return None
        _barrier(self)
        return method(self, *args, **kwargs)

    waits._nexus_core_barrier = True  # type: ignore[attr-defined]
    return waits


def _barrier(storage: Any) -> None:
    for writer in history_queue.served[:]:
        # A storage inside its own transaction holds the lock that we would wait for.
        if writer.is_waiting() and not storage.conn.in_transaction and _same_file(storage.db_path, writer.path):
            writer.flush(BUSY_PATIENCE)


def _same_file(one: str, other: str) -> bool:
    return one == other or os.path.realpath(one) == os.path.realpath(other)
