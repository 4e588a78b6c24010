"""What makes, checks, resets and closes connections of the usual kinds, for a ``ConnectionPool``.

>>> from nexus_core.connection_factories import sqlite_factory
>>> import tempfile, os
>>> folder = tempfile.TemporaryDirectory()
>>> with sqlite_factory(os.path.join(folder.name, "app.db")).pool(max_size=4) as pool:
...     with pool.connection() as connection:
...         connection.execute("select 6 * 7").fetchone()
(42,)
>>> folder.cleanup()

An asynchronous driver's connections are made by coroutine functions, and belong to one event loop:

    async def main():
        async with asyncpg_factory("postgresql://app@db.example/app").pool(max_size=4) as pool:
            async with pool.aconnection() as connection:
                return await connection.fetchval("select 6 * 7")

For another kind of connection pass the functions themselves to ``ConnectionPool``, or a
:class:`ConnectionFactory` made of them.
"""

from __future__ import annotations

import inspect
import os
import select
import sqlite3
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import asyncpg
    import httpx
    import psycopg

    from nexus_core.connection_pool import ConnectionPool

__all__ = ["ConnectionFactory", "asyncpg_factory", "httpx_factory", "psycopg_factory", "sqlite_factory"]

C = TypeVar("C")


class ConnectionFactory(Generic[C]):
    """Makes connections of one kind, and knows how to treat them.

    It can be called, and makes a connection; where ``connect`` is a coroutine function, it returns
    what is to be awaited, and other hooks may be coroutine functions, too. A hook that raises says that the connection is
    broken; the pool replaces it.

    Args:
        connect: Makes a connection; called without arguments.
        check: Looks whether an idle connection still works; called before it is handed out.
        reset: Makes a used connection as good as new; called when it comes back.
        close: Ends a connection.
        is_broken: Looks whether a connection that comes back is broken, without asking anybody.
        check_in: Where ``check`` is called, as in ``ConnectionPool``: ``"caller"`` for one that does
            not wait for anybody.
        described: What it connects to, in values that JSON knows and without secrets.

    Example:
        >>> factory = ConnectionFactory(object, described={"kind": "nothing"})
        >>> type(factory()).__name__
        'object'
    """

    def __init__(
        self,
        connect: Callable[[], C],
        *,
        check: Callable[[C], object] | None = None,
        reset: Callable[[C], object] | None = None,
        close: Callable[[C], object] | None = None,
        is_broken: Callable[[C], bool] | None = None,
        check_in: Literal["pool", "caller"] = "pool",
        described: Mapping[str, Any] | None = None,
    ) -> None:
        self.connect = connect
        self.check = check
        self.reset = reset
        self.close = close
        self.is_broken = is_broken
        self.check_in = check_in
        self.described = dict(described or {})

    def __call__(self) -> C:
        """A new connection."""
        return self.connect()

    def __repr__(self) -> str:
        words = ", ".join(f"{name}={value!r}" for name, value in self.described.items())
        return f"{type(self).__name__}({words})"

    def arguments(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Its hooks, as arguments of ``ConnectionPool`` beside the factory itself.

        Args:
            options: Further arguments; hooks among them replace its own.

        Returns:
            All of them together.
        """
        hooks = {"check": self.check, "reset": self.reset, "close": self.close, "is_broken": self.is_broken}
        found: dict[str, Any] = {name: hook for name, hook in hooks.items() if hook is not None}
        if self.check is not None and "check" not in options:
            found["check_in"] = self.check_in
        if inspect.iscoroutinefunction(self.connect):
            found["asynchronous"] = True
        return {**found, **options}

    def pool(self, **options: Any) -> ConnectionPool[C]:
        """A pool of its connections.

        Args:
            **options: Arguments of ``ConnectionPool``; hooks among them replace the factory's own.

        Returns:
            The pool, open.
        """
        from nexus_core.connection_pool import ConnectionPool

        return ConnectionPool(self, **self.arguments(options))


def sqlite_factory(
    path: str | os.PathLike[str], *, timeout: float = 30.0, write_ahead_log: bool = True, **options: Any
) -> ConnectionFactory[sqlite3.Connection]:
    """Connections to an SQLite database in a file, which is made where it is missing.

    A connection may be used by another thread than the one that made it, by one at a time: that is
    what the pool sees to. A transaction that is open when it comes back is rolled back.

    Args:
        path: The file, or a ``file:`` URI with ``uri=True``. Its folder must exist.
        timeout: Seconds that a statement waits for a lock of another connection.
        write_ahead_log: Whether the file is put into that mode, in which readers and a writer do
            not wait for each other; it stays so.
        **options: Further arguments of ``sqlite3.connect``.

    Returns:
        The factory.

    Raises:
        ValueError: If the database would be each connection's own.

    Example:
        >>> sqlite_factory("app.db", timeout=5.0)
        ConnectionFactory(kind='sqlite', path='app.db')
    """
    text = os.fspath(path)
    is_in_memory = ":memory:" in text or (options.get("uri") and "mode=memory" in text)
    if text in ("", ":memory:") or (is_in_memory and "cache=shared" not in text):
        raise ValueError(
            f"each connection to {text!r} would have a database of its own; "
            "give a file, or 'file:NAME?mode=memory&cache=shared' and uri=True"
        )

    def connect() -> sqlite3.Connection:
        connection: sqlite3.Connection = sqlite3.connect(text, timeout=timeout, check_same_thread=False, **options)
        if write_ahead_log:
            try:
                connection.execute("pragma journal_mode = wal").close()
            except BaseException:
                connection.close()
                raise
        return connection

    def reset(connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            connection.rollback()
        # Raises where the connection was closed.
        connection.total_changes  # noqa: B018

    return ConnectionFactory(
        connect,
        reset=reset,
        close=sqlite3.Connection.close,
        described={"kind": "sqlite", "path": text},
    )


def psycopg_factory(conninfo: str = "", **options: Any) -> ConnectionFactory[psycopg.Connection[Any]]:
    """Connections to PostgreSQL by psycopg 3.

    Before one is handed out its socket is looked at, which takes about a microsecond: what the
    server says to an idle connection is mostly that it has ended it, and then it is asked. A network
    that silently swallows everything is seen only by whoever uses the connection; set
    ``tcp_user_timeout`` and ``keepalives_idle`` for that. A transaction that is open when a
    connection comes back is rolled back; one with a statement still running is replaced.

    Args:
        conninfo: libpq's connection string or URI.
        **options: Further arguments of ``psycopg.connect``.

    Returns:
        The factory.

    Raises:
        ImportError: If psycopg is not installed.

    Example:
        >>> psycopg_factory("host=db.example user=app password=secret", connect_timeout=5)
        ConnectionFactory(kind='postgresql', host='db.example', user='app', connect_timeout=5)
    """
    driver = _driver("psycopg", "psycopg")
    status = driver.pq.TransactionStatus

    def connect() -> psycopg.Connection[Any]:
        made: psycopg.Connection[Any] = driver.connect(conninfo, **options)
        return made

    def check(connection: psycopg.Connection[Any]) -> None:
        if not _has_something_to_say(connection.fileno()):
            return
        connection.execute("")
        if not connection.autocommit:
            connection.rollback()

    def reset(connection: psycopg.Connection[Any]) -> None:
        state = connection.pgconn.transaction_status
        if state == status.IDLE:
            return
        if state in (status.INTRANS, status.INERROR):
            connection.rollback()
        else:
            raise driver.OperationalError(f"a connection came back in state {status(state).name}")

    return ConnectionFactory(
        connect,
        check=check,
        reset=reset,
        close=driver.Connection.close,
        is_broken=lambda connection: connection.closed,
        check_in="caller",
        described={"kind": "postgresql", **_described(driver.conninfo.conninfo_to_dict(conninfo), options)},
    )


def asyncpg_factory(dsn: str | None = None, **options: Any) -> ConnectionFactory[asyncpg.Connection]:
    """Connections to PostgreSQL by asyncpg, for ``async with pool.aconnection() as connection``.

    A connection that the server has ended is replaced before it is handed out. One that comes back
    is reset: its transaction is rolled back, and what it has set or listens to is forgotten.

    Args:
        dsn: The connection URI.
        **options: Further arguments of ``asyncpg.connect``.

    Returns:
        The factory.

    Raises:
        ImportError: If asyncpg is not installed.

    Example:
        >>> asyncpg_factory("postgresql://app:secret@db.example/app", timeout=5)
        ConnectionFactory(kind='postgresql', host='db.example', dbname='app', user='app')
    """
    driver = _driver("asyncpg", "asyncpg")

    async def connect() -> asyncpg.Connection:
        return await driver.connect(dsn, **options)

    async def check(connection: asyncpg.Connection) -> bool:
        # asyncpg reads on the loop, and so has heard by itself that a connection has ended.
        return not connection.is_closed()

    async def reset(connection: asyncpg.Connection) -> None:
        await connection.reset()

    async def close(connection: asyncpg.Connection) -> None:
        await connection.close()

    words = _address(dsn or "")
    given = {"host": options.get("host"), "port": options.get("port"), "user": options.get("user")}
    given["dbname"] = options.get("database")
    return ConnectionFactory(
        connect,
        check=check,
        reset=reset,
        close=close,
        is_broken=lambda connection: bool(connection.is_closed()),
        described={
            "kind": "postgresql",
            **_described(words, {name: value for name, value in given.items() if value is not None}),
        },
    )


def httpx_factory(base_url: str, **options: Any) -> ConnectionFactory[httpx.Client]:
    """HTTP clients for one server, each with one connection that is kept open.

    Cookies that a server has set are forgotten when a client comes back.

    Args:
        base_url: What the paths of requests are added to.
        **options: Further arguments of ``httpx.Client``.

    Returns:
        The factory.

    Raises:
        ImportError: If httpx is not installed.

    Example:
        >>> httpx_factory("https://api.example/v1", timeout=5.0)
        ConnectionFactory(kind='http', base_url='https://api.example/v1')
    """
    library = _driver("httpx", "httpx")
    options = {"limits": library.Limits(max_connections=1, max_keepalive_connections=1), **options}
    cookies = options.get("cookies")

    def connect() -> httpx.Client:
        made: httpx.Client = library.Client(base_url=base_url, **options)
        return made

    def reset(client: httpx.Client) -> None:
        client.cookies = library.Cookies(cookies)

    return ConnectionFactory(
        connect,
        reset=reset,
        close=library.Client.close,
        is_broken=lambda client: client.is_closed,
        described={"kind": "http", "base_url": _without_password(library, base_url)},
    )


def _driver(module: str, extra: str) -> Any:
    try:
        return import_module(module)
    except ImportError as missing:
        raise ImportError(f"{module} is not installed: pip install nexus-core-rs[{extra}]") from missing


def _has_something_to_say(descriptor: int) -> bool:
    """Whether the other side has sent something, or has closed the connection."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([descriptor], [], [], 0)[0])


def _address(dsn: str) -> dict[str, Any]:
    """What a URI says, which may list several hosts with their ports, as libpq has it."""
    parsed = urlsplit(dsn)
    place = parsed.netloc.rpartition("@")[2]
    words: dict[str, Any] = {"dbname": parsed.path.lstrip("/"), "user": parsed.username}
    if "," in place:
        return {**words, "host": place}
    return {**words, "host": parsed.hostname, "port": parsed.port}


# Not what might hold a secret under another name.
_SHOWN = ("host", "hostaddr", "port", "dbname", "user", "application_name", "connect_timeout", "service")


def _described(*given: Mapping[str, Any]) -> dict[str, Any]:
    together = {name: value for words in given for name, value in words.items()}
    return {name: together[name] for name in _SHOWN if together.get(name)}


def _without_password(library: Any, url: str) -> str:
    parsed = library.URL(url)
    return str(parsed.copy_with(password=None) if parsed.password else parsed)
