"""``attach`` and ``detach``."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from nexus_core.errors import AttachError
from nexus_core.nexus_app.report import AttachReport
from nexus_core.nexus_app.runtimes import checked_runtime, made_runtime
from nexus_core.versions import range_in_words, untested

if TYPE_CHECKING:
    from nexus_core.nexus_app.attachment import Attachment

__all__ = ["attach", "detach"]

_log = logging.getLogger("nexus_core.attach")

# The name of the plugin; the module that has it needs Kailash.
_PLUGIN = "nexus-core"

_one_at_a_time = threading.RLock()


def attach(app: Any, runtime: Any = None, *, live_page: bool = False, **options: Any) -> AttachReport:
    """Makes every channel of a Nexus app execute on the Rust core.

    Afterwards workflows run on one runtime, whether they were registered before or are
    registered later, and whether they are called by ``POST /workflows/{name}/execute``, the
    enterprise route, the command line, MCP tools, the WebSocket and MCP transports, ``CLIChannel``
    and ``MCPChannel`` objects of the app, or ``app._execute_workflow``. Each workflow gets a route
    that streams what happens in a run as server-sent events: ``POST /workflows/{name}/stream``,
    and ``GET /workflows/{name}/stream?inputs={...}`` for an ``EventSource``.

    Other versions of Kailash, Nexus and kailash-mcp than those of ``nexus_core.versions`` are
    tried, with a warning. A channel that cannot be attached goes on as it was, and is named in
    the log of ``nexus_core.attach`` and in the report.

    Closing the app, or ``detach``, closes a runtime that ``attach`` has made. A given one stays
    the caller's to close, before or after the app. Results are those that Kailash gives when the
    same channel has an ``AsyncLocalRuntime``. Attach before the app serves: a run that is under
    way is waited for while the runtime that it is on closes.

    Args:
        app: An open ``nexus.Nexus``.
        runtime: A ``nexus_core.runtime.AsyncLocalRuntime`` to share, or ``None`` to make one.
        live_page: Whether the app serves a page of its figures at ``/nexus-core/``. It is behind
            the authentication of the app; an app without any shows it to everybody.
        **options: Arguments of the ``AsyncLocalRuntime`` that is made.

    Returns:
        What is attached, and what is not.

    Raises:
        AttachError: If the app is none, closed, or attached already, or the runtime or an option
            is none that an app can be attached with; the app is as it was.

    Example:
        >>> import nexus, nexus_core
        >>> app = nexus.Nexus(enable_durability=False)
        >>> report = nexus_core.attach(app)
        >>> report.failures
        ()
        >>> app.close()
    """
    with _one_at_a_time:
        _check_app(app)
        if not isinstance(live_page, bool):
            raise AttachError(f"live_page must be True or False, got {live_page!r}")
        if runtime is None:
            runtime, owned = made_runtime(options), True
        elif options:
            names = ", ".join(sorted(options))
            raise AttachError(f"options are for a runtime that attach makes, but one was given, with: {names}")
        else:
            runtime, owned = checked_runtime(runtime), False
        try:
            report = _install(app, runtime, owned, live_page)
        except BaseException:
            app._plugins.pop(_PLUGIN, None)
            if owned:
                runtime.release()
            raise
        # Of the others the runtime has warned.
        for package, number in untested("kailash-mcp").items():
            _log.warning("attached with %s %s; tested is %s", package, number, range_in_words(package))
        _log.info("%s", report)
        return report


def detach(app: Any) -> None:
    """Undoes ``attach``: every channel executes on what it had before.

    Runtimes that Kailash had made itself were closed by ``attach`` and are made anew, also for
    workflows that were registered meanwhile. The routes for event streams and the live page go away. After the
    app has been closed there is nothing left to do.

    Args:
        app: An app that ``attach`` was called with.

    Raises:
        AttachError: If it was not, or has been detached since.

    Example:
        >>> import nexus, nexus_core
        >>> with nexus.Nexus(enable_durability=False) as app:
        ...     report = nexus_core.attach(app)
        ...     nexus_core.detach(app)
    """
    with _one_at_a_time:
        attachment = _attachment(app)
        if attachment is None:
            raise AttachError("the app is not attached")
        attachment.detach()
        del app._plugins[_PLUGIN]


def _install(app: Any, runtime: Any, owned: bool, live_page: bool) -> AttachReport:
    from nexus_core.nexus_app.attachment import Attachment

    attachment = Attachment(app, runtime, owned, live_page)
    try:
        app.add_plugin(attachment)
    except AttachError:
        raise
    except Exception as error:
        raise AttachError(f"attaching failed, and the app is as it was: {error}") from error
    if attachment.report is None:
        raise AttachError(f"{type(app).__name__}.add_plugin did not install the plugin")
    return attachment.report


def _attachment(app: Any) -> Attachment | None:
    plugins = getattr(app, "_plugins", None)
    found: Attachment | None = plugins.get(_PLUGIN) if isinstance(plugins, dict) else None
    return found


def _check_app(app: Any) -> None:
    try:
        from nexus import Nexus
    except ImportError as missing:
        raise AttachError("attach needs Nexus, which is not installed: pip install nexus-core-rs[nexus]") from missing
    if not isinstance(app, Nexus):
        inner = getattr(app, "nexus", None)
        hint = "; pass its .nexus" if isinstance(inner, Nexus) else ""
        raise AttachError(f"not a Nexus app: {type(app).__module__}.{type(app).__qualname__}{hint}")
    attachment = _attachment(app)
    if app.runtime is None:
        raise AttachError("the app is closed; make a new one")
    if attachment is not None:
        raise AttachError("the app is attached already; detach it first")
    if getattr(app._http_transport, "gateway", None) is None:
        raise AttachError("the app has no gateway yet")
