"""What nodes log on a worker, on its way to the process that wants their results.

Records go to the worker's own handlers, too, as whoever runs the cluster has set them up.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import uuid4

from nexus_core.processes.log_records import described, emit, levels
from nexus_core.shipping import Packed, pack, unpack

__all__ = ["Levels", "LogRecords", "LoggedThere", "collected_logs", "levels", "log_again", "this_process"]

#: As ``levels`` has it: the level that is disabled, and those that loggers have, by name.
Levels = tuple[int, dict[str, int]]

#: Of one group; what is logged beyond is counted alone.
_MOST_RECORDS = 10_000
_MOST_BYTES = 16 << 20

_log = logging.getLogger("nexus_core.distributed")

_image = uuid4().hex


def this_process() -> str:
    """Names this process among all, also if it is the copy of another."""
    return f"{_image}-{os.getpid()}"


@dataclass(frozen=True, slots=True)
class LoggedThere:
    """What was logged on a worker.

    Attributes:
        worker: The worker's address, which records are given as ``dask_worker``.
        records: Each as it was when it was logged, and its text.
        more: How many others there were.
    """

    worker: str
    records: tuple[tuple[Packed, str], ...]
    more: int


class LogRecords:
    """What is logged in one context.

    Args:
        wanted: What the client logs.
    """

    def __init__(self, wanted: Levels) -> None:
        self._disabled, self._levels = wanted
        self._effective: dict[str, int] = {}
        self._lock = threading.Lock()
        self._kept: list[tuple[Packed, str]] = []
        self._size = 0
        self._more = 0

    def add(self, record: logging.LogRecord) -> None:
        """Keeps a record that the client wants, as it is now: what it refers to may change, and may be large.

        Args:
            record: What was logged.
        """
        if record.levelno <= self._disabled or record.levelno < self._level_of(record.name):
            return
        is_full = len(self._kept) >= _MOST_RECORDS
        described_record = None if is_full else _described(record)
        with self._lock:
            size = 0 if described_record is None else described_record[0].size + len(described_record[1])
            if described_record is None or self._size + size > _MOST_BYTES:
                self._more += 1
                return
            self._kept.append(described_record)
            self._size += size

    def _level_of(self, name: str) -> int:
        known = self._effective.get(name)
        if known is None:
            known = self._effective[name] = effective_level(self._levels, name)
        return known

    def on(self, worker: str) -> LoggedThere | None:
        """All of them; ``None`` if there are none.

        Args:
            worker: The worker's address.
        """
        with self._lock:
            return LoggedThere(worker, tuple(self._kept), self._more) if self._kept or self._more else None


def _described(record: logging.LogRecord) -> tuple[Packed, str] | None:
    """A record on its way, and its text; ``None`` if it cannot be described in any way."""
    try:
        packed = pack(described(record))
    except Exception:  # it is counted: whoever logs something has done nothing wrong
        return None
    try:
        return packed, record.getMessage()
    except Exception as broken:  # as logging itself would find
        return packed, f"{record.msg} ({broken!r})"


def effective_level(known: dict[str, int], name: str) -> int:
    """The level of a logger, which may be that of one above it.

    Args:
        known: Levels of loggers by name, the root's under the empty one.
        name: The logger's.
    """
    while name:
        level = known.get(name)
        if level:
            return level
        name = name.rpartition(".")[0]
    return known.get("", logging.WARNING)


def log_again(logged: LoggedThere) -> None:
    """Logs what was logged on a worker.

    Args:
        logged: It.
    """
    origin = {"dask_worker": logged.worker}
    for packed, text in logged.records:
        try:
            fields = unpack(packed)
        except Exception as unreadable:  # a run does not fail for what it has logged
            _log.warning("a record of %s cannot be read here (%r): %s", logged.worker, unreadable, text, extra=origin)
            continue
        emit([{**fields, **origin}])
    if logged.more:
        _log.warning(
            "%d more records of a group of nodes were logged on %s, and stay there",
            logged.more, logged.worker, extra=origin,
        )  # fmt: skip


# --- on a worker ------------------------------------------------------------------------

_collecting: ContextVar[LogRecords | None] = ContextVar("nexus_core_collected_logs", default=None)


class _Collecting(logging.Handler):
    """Gives records to whoever collects them in their context."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Without the handler's lock: describing a record runs code of whoever made it."""
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps it, or shows it as if nobody was here."""
        collected = _collecting.get()
        if collected is not None:
            # What is logged while it is described stays here, or there would be no end to it.
            token = _collecting.set(None)
            try:
                collected.add(record)
            finally:
                _collecting.reset(token)
            return
        last = logging.lastResort
        # It would have been shown so, had this handler not been there.
        if last is not None and record.levelno >= last.level and not _has_other_handlers(record.name):
            last.handle(record)


def _has_other_handlers(name: str) -> bool:
    """Whether a record of that logger, which has come to the root's handlers, has come to others, too."""
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None:
        if any(handler is not _handler for handler in logger.handlers):
            return True
        logger = logger.parent
    return False


_handler = _Collecting()
_lock = threading.Lock()
#: What runs of the moment want, and how many of them.
_wanted: Counter[tuple[tuple[str, int], ...]] = Counter()
#: The worker's own levels of loggers that say more for now.
_own: dict[str, int] = {}


@contextlib.contextmanager
def collected_logs(wanted: Levels) -> Iterator[LogRecords]:
    """Collects what is logged in the calling context, which runs of nodes take along.

    Args:
        wanted: What the client logs. Loggers of this process log that as well, for as long as it takes.
    """
    records = LogRecords(wanted)
    key = tuple(sorted(wanted[1].items()))
    with _lock:
        if _handler not in logging.root.handlers:
            logging.root.addHandler(_handler)
        _wanted[key] += 1
        if _wanted[key] == 1:
            _adjust()
    token = _collecting.set(records)
    try:
        yield records
    finally:
        _collecting.reset(token)
        with _lock:
            _wanted[key] -= 1
            if not _wanted[key]:
                del _wanted[key]
                _adjust()


def _adjust() -> None:
    """Has each logger say as much as the one who wants most."""
    own = {name: logger.level for name, logger in _loggers().items() if logger.level}
    own[""] = logging.root.level
    own.update(_own)
    for name in set(own).union(*(dict(key) for key in _wanted)):
        logger = logging.getLogger(name or None)
        before = own.get(name, logging.NOTSET)
        at_most = [effective_level(dict(key), name) for key in _wanted]
        lowest = min(at_most, default=sys.maxsize)
        level = lowest if lowest < effective_level(own, name) else before
        if level == before:
            _own.pop(name, None)
        else:
            _own[name] = before
        if logger.level != level:
            logger.setLevel(level)


def _loggers() -> dict[str, logging.Logger]:
    known = list(logging.root.manager.loggerDict.items())
    return {name: logger for name, logger in known if isinstance(logger, logging.Logger)}
