"""An app's registered workflows, executed as the app itself would: for what measures and manages them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nexus_core.errors import NexusCoreError, UnknownWorkflow

__all__ = ["attached_runtime", "checked_app", "executor", "raised_inside", "registered_workflow"]

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


def attached_runtime(app: Any) -> Any | None:
    """The runtime that the app is attached to, or ``None``."""
    attachment = app._plugins.get(_ATTACHMENT)
    return attachment.runtime if attachment is not None and attachment.active else None


def executor(app: Any, name: str) -> Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]:
    """What executes a workflow of an app once, on the running event loop.

    Inputs are bound as ``POST /workflows/{name}/execute`` binds ``parameters``: bare, and all of
    them under the name ``parameters``. On an attached app it executes on the attached runtime;
    otherwise as ``Nexus._execute_workflow`` does.

    Args:
        app: An open app.
        name: A registered workflow.
    """
    workflow = registered_workflow(app, name)
    runtime = attached_runtime(app)
    if runtime is None:

        async def execute_stock(inputs: Mapping[str, Any]) -> dict[str, Any]:
            results: dict[str, Any] = await app._execute_workflow(name, dict(inputs))
            return results

        return execute_stock

    from kailash.workflow.input_envelope import bind_parameter_envelope

    async def execute_attached(inputs: Mapping[str, Any]) -> dict[str, Any]:
        results: dict[str, Any]
        results, _ = await runtime.execute_workflow_async(workflow, bind_parameter_envelope(inputs))
        return results

    return execute_attached


def raised_inside(error: BaseException) -> BaseException:
    """What went wrong, where Nexus has put an ``HTTPException`` without a reason in its place."""
    if type(error).__name__ == "HTTPException" and error.__context__ is not None:
        return error.__context__
    return error
