"""An app's registered workflows, executed as the app itself would: for what measures and manages them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nexus_core.errors import NexusCoreError, UnknownWorkflow

__all__ = ["WorkflowExecutor", "asks_for_credentials", "attached_runtime", "checked_app", "registered_workflow"]

# The plugin's name in ``nexus_core.nexus_app.attachment``, which needs Nexus to be imported.
_ATTACHMENT = "nexus-core"


def checked_app(app: Any, user: str) -> Any:
    """The app, if it is one and open.

    Args:
        app: What was given as an app.
        user: Who needs it, for the error.

    Raises:
        TypeError: If it is no Nexus app.
        NexusCoreError: If Nexus is not installed, or the app is closed.
    """
    try:
        from nexus import Nexus
    except ImportError as missing:
        raise NexusCoreError(
            f"{user} needs Nexus, which is not installed: pip install nexus-core-rs[nexus]"
        ) from missing
    if not isinstance(app, Nexus):
        inner = getattr(app, "nexus", None)
        hint = "; pass its .nexus" if isinstance(inner, Nexus) else ""
        raise TypeError(f"not a Nexus app: {type(app).__module__}.{type(app).__qualname__}{hint}")
    if app.runtime is None:
        raise NexusCoreError("the app is closed; make a new one")
    return app


def registered_workflow(app: Any, name: Any) -> Any:
    """The built workflow of that name.

    Args:
        app: An open app.
        name: Its name.

    Raises:
        TypeError: If the name is no string.
        UnknownWorkflow: If the app has none.
    """
    if not isinstance(name, str):
        raise TypeError(f"a workflow's name must be a string, got {name!r}")
    workflows = app._workflows
    if name not in workflows:
        raise UnknownWorkflow(name, tuple(workflows))
    return workflows[name]


def attached_runtime(app: Any) -> Any:
    """The runtime that the app is attached to, or ``None``."""
    attachment = app._plugins.get(_ATTACHMENT)
    return attachment.runtime if attachment is not None and attachment.active else None


def asks_for_credentials(app: Any) -> bool:
    """Whether a middleware of the app asks requests for credentials: Nexus's, or one named for it."""
    kinds = [getattr(each.cls, "__name__", "") for each in app.fastapi_app.user_middleware]
    return any("JWT" in kind or "Auth" in kind for kind in kinds)


class WorkflowExecutor:
    """Executes a workflow of an app, as often as it is called; on one event loop.

    Inputs are bound as ``POST /workflows/{name}/execute`` binds ``parameters``: bare, and all of
    them under the name ``parameters``. On an attached app it executes on the attached runtime.
    Otherwise on one that Kailash makes, as that route does: one for all its runs, which
    ``Nexus._execute_workflow`` would make anew, and leave open, for each.

    Args:
        app: An open app.
        name: A registered workflow.
        is_cached: Whether the cache of an attached runtime answers, if it has one.

    Raises:
        TypeError: If the name is no string.
        UnknownWorkflow: If the app has no such workflow.
    """

    def __init__(self, app: Any, name: str, *, is_cached: bool = True) -> None:
        from kailash.workflow.input_envelope import bind_parameter_envelope

        self._workflow = registered_workflow(app, name)
        self._bind = bind_parameter_envelope
        self._runtime: Any = attached_runtime(app)
        self._is_own = self._runtime is None
        # Kailash's own runtime has no such option.
        without_cache = not (is_cached or self._is_own or getattr(self._runtime, "_cached_runs", None) is None)
        self._options: dict[str, Any] = {"cache": False} if without_cache else {}

    @property
    def has_cache(self) -> bool:
        """Whether its runs may be answered from a cache of results."""
        return getattr(self._runtime, "_cached_runs", None) is not None

    async def __aenter__(self) -> Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]:
        if self._is_own:
            from kailash.runtime import get_runtime

            self._runtime = get_runtime("async")
        return self._execute

    async def __aexit__(self, *_: object) -> None:
        if self._is_own:
            runtime, self._runtime = self._runtime, None
            await runtime.cleanup()
            runtime.close()

    async def _execute(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        results: dict[str, Any]
        results, _ = await self._runtime.execute_workflow_async(self._workflow, self._bind(inputs), **self._options)
        return results
