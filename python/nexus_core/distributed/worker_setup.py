"""What worker processes of a cluster of our own do when they start; Dask imports this module there."""

from __future__ import annotations

import signal
import threading
from typing import Any

__all__ = ["dask_setup"]


def dask_setup(worker: Any) -> None:
    """Has the process ignore Ctrl-C, which a terminal sends to all: the process that has the runtime decides.

    Args:
        worker: Dask's worker.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
