"""The live page: its style, script and markup in one text that asks for nothing but figures."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from importlib.resources import files

__all__ = ["live_page"]

_SCRIPTS = ("1_units.js", "2_charts.js", "3_tables.js", "4_live.js")


def live_page(app_name: str) -> tuple[str, str]:
    """The page, and its content security policy.

    Args:
        app_name: The app's name.

    Returns:
        HTML, and the value of its ``Content-Security-Policy``: only this very style and script,
        and figures from where the page is from.
    """
    style = _part("page.css")
    script = '"use strict";\n(() => {\n' + "\n".join(map(_part, _SCRIPTS)) + "})();\n"
    name = escape(app_name.encode("utf-8", "replace").decode("utf-8"))
    text = _part("page.html")
    for mark, value in (("{{style}}", style), ("{{script}}", script), ("{{name}}", name)):
        text = text.replace(mark, value)
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return text, policy


def _part(name: str) -> str:
    return (files("nexus_core.live.page") / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
