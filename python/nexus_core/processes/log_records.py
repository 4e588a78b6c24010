"""What a node logs in a worker process is logged by its parent, as if the node had run there."""

from __future__ import annotations

import logging
from typing import Any

from nexus_core.errors import NotShippable
from nexus_core.shipping import values

__all__ = ["Capture", "described", "emit", "levels"]


def levels() -> tuple[int, dict[str, int]]:
    """What is logged in this process: the level that is disabled, and those that loggers have."""
    found = {"": logging.root.level}
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and (logger.level or logger.disabled):
            found[name] = logging.CRITICAL + 1 if logger.disabled else logger.level
    return logging.root.manager.disable, found


class Capture(logging.Handler):
    """Keeps the records of one node in a worker."""

    def __init__(self) -> None:
        super().__init__()
        self._records: list[logging.LogRecord] = []
        self._levels: tuple[int, dict[str, int]] | None = None

    def install(self) -> None:
        """Has all loggers of the process come here, and nowhere else: the parent has the handlers."""
        for logger in logging.root.manager.loggerDict.values():
            if isinstance(logger, logging.Logger):
                logger.handlers.clear()
                logger.propagate = True
        logging.root.handlers[:] = [self]

    def heed(self, wanted: tuple[int, dict[str, int]] | None) -> None:
        """Logs what the parent does.

        Args:
            wanted: As :func:`levels` has it; ``None`` for no change.
        """
        if wanted is None or wanted == self._levels:
            return
        for name in () if self._levels is None else self._levels[1]:
            if name not in wanted[1]:
                logging.getLogger(name).setLevel(logging.NOTSET)
        for name, level in wanted[1].items():
            logging.getLogger(name or None).setLevel(level)
        logging.disable(wanted[0])
        self._levels = wanted

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a record."""
        self._records.append(record)

    def taken(self) -> list[dict[str, Any]]:
        """The records since the last time, as they can go."""
        records, self._records = self._records, []
        return [described(record) for record in records]


def described(record: logging.LogRecord) -> dict[str, Any]:
    """A record as it can go to another process.

    Args:
        record: The record.
    """
    found = dict(vars(record))
    error = record.exc_info[1] if record.exc_info else None
    found["exc_info"] = error
    try:
        values.pack(found)
    except NotShippable:
        found = {name: value for name, value in found.items() if isinstance(value, str | int | float | None)}
        try:
            found["msg"] = record.getMessage()
        except Exception as broken:  # as logging itself would find
            found["msg"] = f"{record.msg} ({broken!r})"
        found["args"] = None
        found["exc_info"] = None
        if error is not None:
            found["exc_text"] = logging.Formatter().formatException(record.exc_info)  # type: ignore[arg-type]
    return found


def emit(records: list[dict[str, Any]]) -> None:
    """Logs what was logged elsewhere.

    Args:
        records: As a worker describes them.
    """
    for fields in records:
        error = fields.get("exc_info")
        if error is not None:
            fields["exc_info"] = (type(error), error, error.__traceback__)
        record = logging.makeLogRecord(fields)
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)
