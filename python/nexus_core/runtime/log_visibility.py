"""Whether anybody would see a log record."""

from __future__ import annotations

import logging

__all__ = ["is_visible"]


def is_visible(logger: logging.Logger, level: int) -> bool:
    """Whether a record of ``level`` on ``logger`` reaches a handler that takes it.

    Args:
        logger: Where the record would be logged.
        level: Its level, e.g. ``logging.INFO``.

    Returns:
        ``False`` only if the record would surely be dropped.

    >>> import logging
    >>> quiet = logging.getLogger("nexus_core.doctest.quiet")
    >>> quiet.propagate = False
    >>> is_visible(quiet, logging.INFO)
    False
    """
    if not logger.isEnabledFor(level):
        return False
    found = False
    current: logging.Logger | None = logger
    while current is not None:
        for handler in current.handlers:
            found = True
            if handler.level <= level and not isinstance(handler, logging.NullHandler):
                return True
        if not current.propagate:
            break
        current = current.parent
    if found or logging.lastResort is None:
        return False
    return logging.lastResort.level <= level
