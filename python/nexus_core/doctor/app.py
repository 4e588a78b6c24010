"""What an app is attached to, what of it is left to Kailash and why, and what could be better."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nexus_core._app_workflows import asks_for_credentials, attached_runtime
from nexus_core.best_practices.app_facts import AppFacts
from nexus_core.doctor.findings import Finding

__all__ = ["check_app", "examine_app"]

_MANY_NODES = 2000
_PRODUCTION = ("prod", "production")


def examine_app(app: Any) -> dict[str, Any]:
    """What of an app the core runs.

    An app that is not attached is attached to say what would be, and detached again.

    Args:
        app: An open app.

    Returns:
        ``name``, ``attached`` (by the program itself), ``installed`` (whether its own runtime is the
        drop-in's already, by ``nexus_core.install()``), ``runtime``, ``channels``, ``absent``,
        ``failures``, ``workflows`` with what ``explain`` says of each, ``authentication``,
        ``durability``, ``live_page`` and ``plugins``.
    """
    installed = type(app.runtime).__module__.startswith("nexus_core.")
    with _attached(app) as (attachment, by_itself):
        report, runtime = attachment.report, attachment.runtime
        return {
            "name": str(getattr(app, "name", "nexus")),
            "attached": by_itself,
            "installed": installed,
            "runtime": {
                "type": type(runtime).__name__,
                "max_concurrent_nodes": runtime.max_concurrent_nodes,
                "thread_pool_size": runtime.thread_pool_size,
            },
            "channels": list(report.attached),
            "absent": {each.channel: each.reason for each in report.absent},
            "failures": {each.channel: each.reason for each in report.failures},
            "workflows": {
                name: _explained(runtime, workflow) for name, workflow in sorted(dict(app._workflows).items())
            },
            "authentication": asks_for_credentials(app),
            "durability": _replays(app),
            "live_page": "/nexus-core/" in AppFacts.of(app).paths(),
            "plugins": {name: type(plugin).__name__ for name, plugin in app._plugins.items()},
        }


def check_app(app: Any, seen: dict[str, Any]) -> list[Finding]:
    """What to change about an app.

    Args:
        app: The app.
        seen: As ``examine_app`` tells it.

    Returns:
        Findings; none if all is well.
    """
    return [*_attaching(seen), *_serving(app, seen), *_threads(app, seen), *_size(seen)]


def _attaching(seen: dict[str, Any]) -> Iterator[Finding]:
    if not seen["attached"] and not seen["installed"]:
        yield Finding(
            "problem",
            "not-attached",
            "the program does not attach its app where it is imported: every channel runs on Kailash's own runtimes "
            "(above is what would be attached)",
            "nexus_core.attach(app) once the app is made, or `nexus-core run` without a change",
        )
    for channel, reason in seen["failures"].items():
        yield Finding(
            "problem",
            "channel-not-attached",
            f"{channel} would go on as before: {reason}",
            "look for the versions above that are not tested",
        )
    for name, how in seen["workflows"].items():
        if not how["native"]:
            yield Finding(
                "advice",
                "delegated",
                f"workflow {name!r} is left to Kailash's own runtime: {'; '.join(how['reasons'])}",
                "docs/compatibility.md says what the core runs itself; strict=True refuses the rest",
            )


def _serving(app: Any, seen: dict[str, Any]) -> Iterator[Finding]:
    if seen["durability"]:
        yield Finding(
            "problem",
            "replayed-requests",
            "durability is on (Nexus's default): a POST whose body was sent before is answered from memory for an "
            "hour, in another shape than the first reply, and the workflow does not run",
            "Nexus(enable_durability=False), or clients that send `X-Durable: false`",
        )
    if not seen["authentication"]:
        if os.environ.get("NEXUS_ENV", "").lower() in _PRODUCTION:
            yield Finding(
                "problem",
                "no-authentication",
                "NEXUS_ENV says production, and no request is asked for credentials",
                "Nexus(enable_auth=True) with NEXUS_JWT_SECRET or NEXUS_API_KEY_<NAME>",
            )
        if seen["live_page"]:
            yield Finding(
                "problem",
                "open-live-page",
                "the live page is there for everybody who reaches the app, which asks for no credentials",
                "Nexus(enable_auth=True), or attach without live_page=True",
            )
    if getattr(app, "_rate_limit", None):
        yield Finding(
            "advice",
            "rate-limit",
            f"rate_limit={app._rate_limit} does not hold for POST /workflows/NAME/execute, where Nexus does not apply it",
            "limit requests before the app (a reverse proxy), or with NexusAuthPlugin's rate limit",
        )


def _threads(app: Any, seen: dict[str, Any]) -> Iterator[Finding]:
    if not seen["attached"]:
        return
    places, threads = seen["runtime"]["max_concurrent_nodes"], seen["runtime"]["thread_pool_size"]
    if threads > places:
        yield Finding(
            "problem",
            "idle-threads",
            f"thread_pool_size={threads}, but max_concurrent_nodes={places}: {threads - places} threads are never used",
            "attach with max_concurrent_nodes of at least thread_pool_size",
        )
    wide = [
        f"{each.name} ({each.synchronous_side_by_side})"
        for each in AppFacts.of(app).workflows
        if each.synchronous_side_by_side > min(threads, places)
    ]
    if wide:
        yield Finding(
            "advice",
            "few-threads",
            f"more nodes could run side by side than the runtime's {min(threads, places)} threads, in: {', '.join(wide)}",
            "attach with a larger thread_pool_size if those nodes wait; if they compute, processors are the bound",
        )


def _size(seen: dict[str, Any]) -> Iterator[Finding]:
    nodes = sum(len(how["nodes"]) for how in seen["workflows"].values())
    if nodes >= _MANY_NODES and not gc.get_freeze_count():
        yield Finding(
            "advice",
            "no-gc-freeze",
            f"{nodes} nodes are registered: each full garbage collection goes through all of their objects, and every "
            "event loop waits",
            "gc.freeze() once all workflows are registered",
        )


@contextmanager
def _attached(app: Any) -> Iterator[tuple[Any, bool]]:
    from nexus_core.nexus_app import attach, detach

    by_itself = attached_runtime(app) is not None
    if not by_itself:
        attach(app)
    try:
        yield app._plugins["nexus-core"], by_itself
    finally:
        if not by_itself:
            detach(app)


def _explained(runtime: Any, workflow: Any) -> dict[str, Any]:
    how = runtime.explain(workflow)
    return {
        "native": how.native,
        "reasons": list(how.reasons),
        "nodes": {
            node.node_id: {"type": node.node_type, "program": node.program, "reason": node.reason} for node in how.nodes
        },
        "notes": list(how.notes),
    }


def _replays(app: Any) -> bool:
    gateway = app._http_transport.gateway
    return bool(getattr(gateway, "enable_durability", False)) and not getattr(gateway, "durability_opt_in", True)
