"""Where the figures come from: the app's live page, or else its ``/metrics``."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from nexus_core.live.readings import Reading
from nexus_core.live.sampler import Sampler
from nexus_core.top.prometheus_text import reading_of

__all__ = ["AppSource", "SourceError", "checked_url"]

_MOST_BYTES = 64 << 20


class SourceError(Exception):
    """The app's figures cannot be had.

    Attributes:
        passing: Whether they may be had later, with nothing changed: the app is away.
    """

    def __init__(self, reason: str, passing: bool) -> None:
        self.passing = passing
        super().__init__(reason)


def checked_url(given: str) -> str:
    """The address of an app, from what people type.

    Args:
        given: Such as ``localhost:8000`` or ``https://example.org/app/``.

    Raises:
        ValueError: If it is none.

    Example:
        >>> checked_url("localhost:8000/metrics")
        'http://localhost:8000'
    """
    text = given if "://" in given else f"http://{given}"
    parts = urllib.parse.urlsplit(text)
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"an app is at http:// or https://, not {given!r}")
    try:
        port_is_good = parts.port is None or 0 < parts.port < 65536
    except ValueError:
        port_is_good = False
    if not parts.hostname or not port_is_good or any(c.isspace() for c in text) or parts.query or parts.fragment:
        raise ValueError(f"not the address of an app: {given!r}; expected such as http://localhost:8000")
    path = parts.path.rstrip("/")
    for known in ("/metrics", "/nexus-core/data", "/nexus-core"):
        path = path.removesuffix(known)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc, path, "", ""))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Credentials go where they were meant to go, and nowhere else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class AppSource:
    """A running app.

    Args:
        url: Its address; see ``checked_url``.
        headers: For every request, such as credentials.
        timeout: Seconds for a request.

    Raises:
        ValueError: If the address is none.
    """

    def __init__(self, url: str, headers: Mapping[str, str] | None = None, timeout: float = 5.0) -> None:
        self.url = checked_url(url)
        self._headers = {"Accept": "application/json, text/plain", **(headers or {})}
        self._timeout = timeout
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._seen = 0
        self._sampler: Sampler | None = None

    @property
    def path(self) -> str:
        """What is asked: ``/nexus-core/data``, or ``/metrics`` where there is no live page."""
        return "/nexus-core/data" if self._sampler is None else "/metrics"

    def view(self) -> dict[str, Any]:
        """The newest figures, as the live page has them.

        Returns:
            ``app``, ``version``, ``runtime``, ``samples`` since the last time, and ``now``.

        Raises:
            SourceError: If they cannot be had.
        """
        if self._sampler is None:
            found = self._live_page()
            if found is not None:
                return found
            # What reading takes here is mostly the network's time.
            self._sampler = Sampler(self._read_metrics, interval=0.0, share=1.0)
        answer = self._sampler.ask(self._seen)
        self._seen = answer["number"]
        return {"app": self.url, "version": None, "runtime": None, **answer}

    def _live_page(self) -> dict[str, Any] | None:
        status, text = self._get(f"/nexus-core/data?after={self._seen}")
        if status == 404:
            return None
        self._check(status, "/nexus-core/data")
        try:
            found: dict[str, Any] = json.loads(text)
            self._seen = found["number"]
            return found
        except (ValueError, KeyError, TypeError):
            return None  # somebody else's page

    def _read_metrics(self) -> Reading:
        status, text = self._get("/metrics")
        if status == 404:
            # An app that was away may come back with a live page.
            self._sampler, self._seen = None, 0
        self._check(status, "/metrics")
        found = reading_of(text, time.time())
        if found is None:
            raise SourceError(
                f"nothing of nexus-core is among the figures of {self.url}/metrics: attach the app with "
                "nexus_core.attach(app), and install nexus-core-rs[metrics] or give it live_page=True",
                False,
            )
        return found

    def _get(self, path: str) -> tuple[int, str]:
        request = urllib.request.Request(self.url + path, headers=self._headers)
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                content = answer.read(_MOST_BYTES)
                return answer.status, content.decode("utf-8", "replace")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, ""
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise SourceError(f"{self.url} cannot be reached: {reason}", True) from error

    def _check(self, status: int, path: str) -> None:
        if status in (401, 403):
            has = "Authorization" in self._headers or "X-API-Key" in self._headers
            raise SourceError(
                f"{self.url}{path} refuses {'these' if has else 'requests without'} credentials ({status}): give "
                "--token or --api-key that the app takes",
                False,
            )
        if status == 404:
            raise SourceError(
                f"there is neither {self.url}/nexus-core/ nor {self.url}/metrics: is it a Nexus app?", False
            )
        if 300 <= status < 400:
            raise SourceError(f"{self.url}{path} redirects ({status}); give the address that it leads to", False)
        if status != 200:
            raise SourceError(f"{self.url}{path} answers {status}", status >= 500)
