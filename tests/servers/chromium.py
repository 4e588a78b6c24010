"""A real browser without a window, driven over its DevTools protocol."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
LIMIT = 60.0


def executable() -> str | None:
    """Where a browser is installed, if one is."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Tab:
    """One page. What it complains of is kept in `complaints`, what it fetches in `requests`."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._count = 0
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._loaded = False
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        self._count += 1
        self._connection.send(json.dumps({"id": self._count, "method": method, "params": parameters}))
        while True:
            message = self._receive()
            if message.get("id") == self._count:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]

    def _receive(self) -> Any:
        message = json.loads(self._connection.recv(LIMIT))
        match message.get("method"), message.get("params", {}):
            case "Runtime.consoleAPICalled", {"type": "error" | "warning" | "assert", "args": arguments}:
                self.complaints.append(" ".join(str(each.get("value", each.get("description"))) for each in arguments))
            case "Runtime.exceptionThrown", {"exceptionDetails": details}:
                self.complaints.append(details.get("exception", {}).get("description", details["text"]))
            case "Log.entryAdded", {"entry": {"level": "error" | "warning", "text": text}}:
                self.complaints.append(text)
            case "Network.requestWillBeSent", {"request": {"url": url}}:
                self.requests.append(url)
            case "Page.loadEventFired", _:
                self._loaded = True
        return message

    def open(self, url: str) -> Self:
        """Goes to a page and waits until it has loaded."""
        self._loaded = False
        self.requests.clear()
        self.call("Page.navigate", url=url)
        while not self._loaded:
            self._receive()
        self.settle()
        return self

    def settle(self) -> None:
        """Waits until two frames have been drawn."""
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def evaluate(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_until(self, expression: str) -> Any:
        """Asks again and again until the answer is true."""
        deadline = time.monotonic() + LIMIT
        while not (value := self.evaluate(expression)):
            assert time.monotonic() < deadline, f"never true: {expression}"
            time.sleep(0.02)
        return value

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)
        self.settle()

    def click(self, x: float, y: float) -> None:
        self.mouse("mouseMoved", x, y)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        self.settle()

    def press(self, key: str) -> None:
        text = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)
        self.settle()

    def resize(self, width: int, height: int, *, scale: float = 1.0) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False
        )
        self.settle()

    def prefer(self, scheme: str) -> None:
        """``light`` or ``dark``."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.settle()

    def screenshot(self) -> bytes:
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])


@contextmanager
def browser(program: str) -> Iterator[Tab]:
    """A browser with a profile of its own and one tab, which ends with the block."""
    with tempfile.TemporaryDirectory(prefix="nexus-core-chromium-", ignore_cleanup_errors=True) as profile:
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        flags += ["--disable-background-networking", "--hide-scrollbars", "--remote-allow-origins=*"]
        process = subprocess.Popen(
            [program, *flags, "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            with connect(_address(process, Path(profile)), max_size=None, open_timeout=LIMIT) as connection:
                yield Tab(connection)
        finally:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen[bytes], profile: Path) -> str:
    """Of the tab: the browser writes its port down when it listens."""
    deadline, file = time.monotonic() + LIMIT, profile / "DevToolsActivePort"
    while True:
        assert process.poll() is None, f"the browser ended with status {process.returncode}"
        assert time.monotonic() < deadline, "the browser does not listen"
        if file.exists() and (lines := file.read_text().splitlines()) and lines[0]:
            with urllib.request.urlopen(f"http://127.0.0.1:{lines[0]}/json/list", timeout=LIMIT) as answer:
                pages = [each for each in json.load(answer) if each["type"] == "page"]
            if pages:
                address: str = pages[0]["webSocketDebuggerUrl"]
                return address
        time.sleep(0.05)
