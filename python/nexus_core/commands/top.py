"""``nexus-core top URL``: what a running app does, live in the terminal."""

from __future__ import annotations

import argparse
import os
import sys
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from nexus_core.commands.numbers import positive_seconds
from nexus_core.commands.printing import print_text
from nexus_core.commands.refusal import refuse
from nexus_core.commands.waiting import waiting

if TYPE_CHECKING:
    from nexus_core.top.source import AppSource

__all__ = ["add_to"]

_DESCRIPTION = (
    "Shows throughput, latencies, errors, the slowest nodes, pools, cache and alerts of a running app. It asks \
the app's live page (attach(app, live_page=True)), or where there is none its /metrics."
)

_TOKEN, _API_KEY = "NEXUS_CORE_TOKEN", "NEXUS_CORE_API_KEY"


def add_to(commands: Any) -> None:
    """Makes the command known.

    Args:
        commands: The subparsers of ``nexus-core``.
    """
    parser = commands.add_parser("top", help="what a running app does, live", description=_DESCRIPTION)
    parser.add_argument("url", help="the app, such as http://localhost:8000")
    parser.add_argument(
        "--token", help=f"a bearer token for the app (or the variable {_TOKEN}, which ps does not show)"
    )
    parser.add_argument("--api-key", metavar="KEY", help=f"an API key, sent as X-API-Key (or the variable {_API_KEY})")
    parser.add_argument(
        "--interval", type=positive_seconds, default=1.0, metavar="SECONDS", help="between two looks (default 1)"
    )
    parser.add_argument(
        "--once", action="store_true", help="print one snapshot as text, for which Textual is not needed"
    )
    parser.set_defaults(handle=_watch)


def _watch(given: argparse.Namespace) -> int:
    from nexus_core.top.source import AppSource, SourceError

    headers = {}
    if token := given.token or os.environ.get(_TOKEN):
        headers["Authorization"] = f"Bearer {token}"
    if key := given.api_key or os.environ.get(_API_KEY):
        headers["X-API-Key"] = key
    if any(not value.isprintable() or not value.isascii() for value in headers.values()):
        return refuse(2, "a token or key is of printable ASCII characters")
    try:
        source = AppSource(given.url, headers)
    except ValueError as error:
        return refuse(2, str(error))
    if not given.once and find_spec("textual") is None:
        return refuse(1, "the live view needs Textual: pip install nexus-core-rs[top]; --once needs nothing")
    try:
        if given.once:
            return _print_once(source, given.interval)
        with waiting(f"asking {source.url}"):
            source.view()
    except SourceError as error:
        if given.once or not error.passing:
            return refuse(1, str(error))
    from nexus_core.top.screen import TopApp

    if not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout)):
        return refuse(2, "the live view needs a terminal to be shown in; --once prints one snapshot")
    app = TopApp(source, given.interval)
    app.run()
    return app.return_code or 0


def _print_once(source: AppSource, interval: float) -> int:
    from nexus_core.top.snapshot import as_text

    with waiting(f"asking {source.url}"):
        # Rates are between two looks, and the last one may have been hours ago.
        source.view()
        deadline = time.monotonic() + 10 * interval + 5
        while True:
            time.sleep(interval)
            view = source.view()
            if view["samples"] or time.monotonic() >= deadline:
                break
    return print_text(as_text(view, source.url))
