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
from nexus_core.top.answers import as_view
from nexus_core.top.deadlines import within
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
    if "@" in text.partition("://")[2].partition("/")[0]:  # not shown again: there may be a password in it
        raise ValueError("credentials are not taken from an address: give --token or --api-key")
    try:
        parts = urllib.parse.urlsplit(text)
        is_good = bool(parts.hostname) and (parts.port is None or 0 < parts.port < 65536)
        (parts.hostname or "").encode("idna")
    except ValueError:
        is_good = False
    if not is_good or any(c.isspace() for c in text) or parts.query or parts.fragment:
        raise ValueError(f"not the address of an app: {given!r}; expected such as http://localhost:8000")
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"an app is at http:// or https://, not {given!r}")
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
        timeout: Seconds for the app to answer, and as many again for all of the answer.

    Raises:
        ValueError: If the address is none.
    """

    def __init__(self, url: str, headers: Mapping[str, str] | None = None, timeout: float = 5.0) -> None:
        self.url = checked_url(url)
        self._headers = {"Accept": "application/json, text/plain", **(headers or {})}
        self._timeout = timeout
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._seen = 0
        self._has_page = False
        self._sampler: Sampler | None = None

    @property
    def path(self) -> str:
        """What is asked: ``/nexus-core/data``, or ``/metrics`` where there is no live page."""
        return "/nexus-core/data" if self._sampler is None else "/metrics"

    def view(self) -> dict[str, Any]:
        """The newest figures, as the live page has them.

        Returns:
            See ``as_view``; the ``samples`` are those since the last time.

        Raises:
            SourceError: If they cannot be had.
        """
        if self._sampler is None:
            found = self._live_page()
            if found is not None:
                return found
            # What reading takes here is mostly the network's time.
            sampler = Sampler(self._read_metrics, interval=0.0, share=1.0)
            answer = sampler.ask()
            self._sampler, self._seen = sampler, 0
        else:
            answer = self._sampler.ask(self._seen)
        self._seen = answer["number"]
        view = as_view({"app": self.url, "version": None, "runtime": None, **answer})
        assert view is not None, "a sampler's own answer"
        return view

    def _live_page(self) -> dict[str, Any] | None:
        status, text = self._get(f"/nexus-core/data?after={self._seen}")
        if status == 404:
            return None
        self._check(status, "/nexus-core/data")
        try:
            view = as_view(json.loads(text))
        except (ValueError, RecursionError):
            view = None
        if view is None:
            if self._has_page:
                raise SourceError(f"{self.url}/nexus-core/data answers what are no figures", True)
            return None  # somebody else's page
        self._has_page, self._seen = True, view["number"]
        return view

    def _read_metrics(self) -> Reading:
        status, text = self._get("/metrics")
        if status == 404:
            # An app that was away may come back with a live page.
            self._sampler, self._seen = None, 0
        self._check(status, "/metrics")
        found = reading_of(text, time.time(), time.monotonic())
        if found is None:
            raise SourceError(
                f"nothing of nexus-core is among the figures of {self.url}/metrics: attach the app with "
                "nexus_core.attach(app), and install nexus-core-rs[metrics] or give it live_page=True",
                False,
            )
        return found

    def _get(self, path: str) -> tuple[int, str]:
        try:
            # A time-out of the socket is for each piece: an app that sends one now and then would be waited for for ever.
            status, content = within(2 * self._timeout, lambda: self._request(path))
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise SourceError(f"{self.url} cannot be reached: {reason}", True) from error
        if len(content) > _MOST_BYTES:
            raise SourceError(f"{self.url}{path} answers more than {_MOST_BYTES >> 20} MiB", False)
        return status, content.decode("utf-8", "replace")

    def _request(self, path: str) -> tuple[int, bytes]:
        request = urllib.request.Request(self.url + path, headers=self._headers)
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                content: bytes = answer.read(_MOST_BYTES + 1)
                if answer.length and len(content) <= _MOST_BYTES:
                    raise ConnectionError("the answer breaks off")
                return answer.status, content
        except urllib.error.HTTPError as error:
            with error:
                return error.code, b""

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
