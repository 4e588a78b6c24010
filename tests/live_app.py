"""The app of ``live_server.py`` in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Self

import requests

LIMIT = 120.0
SCRIPT = Path(__file__).with_name("live_server.py")
KEY = "a key that nobody guesses"


class LiveApp:
    """A served app.

    Args:
        home: The home directory of the process.
        options: Words for the script.
        key: Whether it asks for credentials.
        port: Where it listens; 0 for any free port.
    """

    def __init__(self, home: Path, *options: str, key: bool = False, port: int = 0) -> None:
        (home / ".kailash" / "tracking").mkdir(parents=True, exist_ok=True)
        self._environment = {**os.environ, "HOME": str(home), "TEST_PORT": str(port)}
        self._environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
        if key:
            self._environment["NEXUS_API_KEY_TEST"] = KEY
        self._options = options
        self.url = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *self._options], env=self._environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None and self._process.stderr is not None
        self._errors: list[str] = []
        self._reader = threading.Thread(target=lambda: self._errors.extend(self._process.stderr or ()), daemon=True)
        self._reader.start()
        line = self._process.stdout.readline()
        if not line:
            self._process.wait(LIMIT)
            self._reader.join(10)
            raise AssertionError("the app did not start:\n" + "".join(self._errors))
        self.port: int = json.loads(line)["http"]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            self._reader.join(10)
            for stream in (self._process.stdout, self._process.stderr):
                assert stream is not None
                stream.close()

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=LIMIT, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return requests.post(self.url + path, timeout=LIMIT, **options)

    def run(self, name: str, **inputs: Any) -> requests.Response:
        return self.post(f"/workflows/{name}/execute", json={"inputs": inputs})
