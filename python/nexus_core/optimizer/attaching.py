"""Attachments that optimizers have made, which go with the last of them."""

from __future__ import annotations

import threading
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from nexus_core._app_workflows import attached_runtime

__all__ = ["AttachmentUse"]

_PLUGIN = "nexus-core"

#: By attachments that were made for optimizers, those that still need it.
_made: WeakKeyDictionary[Any, WeakSet[AttachmentUse]] = WeakKeyDictionary()
_changing = threading.RLock()


class AttachmentUse:
    """One optimizer's use of how its app is attached.

    Args:
        app: The app.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    def begin(self) -> Any:
        """How the app is attached, which it is first if it is not."""
        from nexus_core.nexus_app import attach

        with _changing:
            if attached_runtime(self._app) is None:
                attach(self._app)
                _made[self._app._plugins[_PLUGIN]] = WeakSet()
            attachment = self._app._plugins[_PLUGIN]
            users = _made.get(attachment)
            if users is not None:
                users.add(self)
            return attachment

    def end(self) -> None:
        """Detaches the app if this was the last use of an attachment that was made for it."""
        from nexus_core.nexus_app import detach

        with _changing:
            # Somebody else may have detached the app meanwhile, and attached it again.
            attachment = self._app._plugins.get(_PLUGIN)
            users = None if attachment is None else _made.get(attachment)
            if users is None or self not in users:
                return
            users.discard(self)
            if not users:
                del _made[attachment]
                if self._app.runtime is not None and attachment.active:
                    detach(self._app)
