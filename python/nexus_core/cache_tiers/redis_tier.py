"""A tier in Redis, for several processes and machines."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal

from nexus_core.cache_tiers import redis_scripts as scripts
from nexus_core.cache_tiers.forks import after_fork
from nexus_core.cache_tiers.redis_messages import RedisSubscription, message
from nexus_core.cache_tiers.tier import Acquired, Event, Lease, Stored, Subscription, TierFailure

try:
    import msgpack
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ModuleNotFoundError as missing:
    raise ImportError(
        "RedisTier needs redis and msgpack, which are not installed: pip install nexus-core-rs[redis]"
    ) from missing

__all__ = ["RedisTier"]

#: How a Redis says that it will not, by the first word of it.
_REFUSALS: dict[str, tuple[str, Literal["all", "writes", "key"]]] = {
    "OOM": ("full", "writes"),
    "READONLY": ("read_only", "writes"),
    "MISCONF": ("read_only", "writes"),
    "NOREPLICAS": ("read_only", "writes"),
    "WRONGTYPE": ("wrong_type", "key"),
    "LOADING": ("loading", "all"),
    "BUSY": ("busy", "all"),
    "MASTERDOWN": ("down", "all"),
    "CLUSTERDOWN": ("down", "all"),
    "NOAUTH": ("denied", "all"),
    "WRONGPASS": ("denied", "all"),
    "NOPERM": ("denied", "all"),
}


class RedisTier:
    """A tier in a Redis server of at least version 6, shared by all who use the same prefix and namespace.

    Connections are made when they are needed, one for each call that is under way, and one that listens. What
    fails says so within the time-out; a command is tried again only on a connection that had been closed.
    All keys of a namespace are in one slot. Without expiry an entry stays until Redis evicts it.

    Args:
        url: Where the server is, as ``redis.Redis.from_url`` has it.
        prefix: What all keys begin with.
        namespace: What entries belong to; other namespaces do not see them.
        timeout: Seconds within which an operation ends.
        connect_timeout: Seconds within which a connection is made.
        max_connections: How many operations may be under way at once.
        **options: Further options of redis-py's connections, such as `password` or `ssl_ca_certs`.

    Raises:
        ImportError: redis-py is not installed.
        TypeError: If an argument is of the wrong kind.
        ValueError: If a time is not positive, or the URL is none of Redis.

    Example:
        >>> from nexus_core.cache_tiers import RedisTier
        >>> RedisTier("redis://localhost:6379/0", namespace="reports")
        <RedisTier nexus:{reports}>
    """

    kind = "redis"

    def __init__(
        self,
        url: str = "redis://localhost:6379/0",
        *,
        prefix: str = "nexus",
        namespace: str = "default",
        timeout: float = 0.5,
        connect_timeout: float = 0.5,
        max_connections: int = 8,
        **options: Any,
    ) -> None:
        for name, seconds in (("timeout", timeout), ("connect_timeout", connect_timeout)):
            if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
                raise TypeError(f"{name} must be a number of seconds, got {seconds!r}")
            if not 0 < seconds < float("inf"):
                raise ValueError(f"{name} must be a positive number of seconds, got {seconds!r}")
        for name, text in (("url", url), ("prefix", prefix), ("namespace", namespace)):
            if not isinstance(text, str):
                raise TypeError(f"{name} must be a string, got {text!r}")
        if "{" in prefix + namespace or "}" in prefix + namespace:
            raise ValueError(f"prefix and namespace must be without braces, got {prefix!r} and {namespace!r}")
        if isinstance(max_connections, bool) or not isinstance(max_connections, int):
            raise TypeError(f"max_connections must be an integer, got {max_connections!r}")
        if max_connections < 1:
            raise ValueError(f"max_connections must be at least 1, got {max_connections}")
        self.timeout = float(timeout)
        self.max_connections = max_connections
        self._url = url
        self.namespace = namespace
        self._base = f"{prefix}:{{{namespace}}}:"
        self._channel = self._base + "events"
        self._options: dict[str, Any] = {
            "socket_timeout": timeout,
            "socket_connect_timeout": connect_timeout,
            "socket_keepalive": True,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            "max_connections": 4,
        } | options
        # An URL or an option that makes no sense is told now.
        pool = redis.ConnectionPool.from_url(url, **self._options)
        if pool.connection_kwargs.get("decode_responses"):
            raise ValueError("entries are bytes: RedisTier cannot do with decode_responses=True")
        self._begin()
        after_fork(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._mine = threading.local()
        self._clients: dict[int, Any] = {}
        self._identity = secrets.token_hex(8)
        # Each change carries its epoch, and a new one begins when a change is given up: should that arrive
        # after one of a later epoch, it is not carried out.
        self._epoch = 0
        self._changing: set[int] = set()

    def _after_fork(self) -> None:
        # The sockets are the parent's too: they are closed here without a word, when nobody refers to them.
        self._begin()

    # --- reading ----------------------------------------------------------------------

    def get(self, key: bytes) -> Stored | None:
        """What is kept under a key."""
        with self._client() as client:
            entry = self._entry(key)
            commands = ("HMGET", entry, "v", "g", "t"), ("GET", self._generation), ("PTTL", entry)
            (data, generation, tags), current, lasts = _answers(client.connection, commands)
            return self._stored(client, data, generation, tags, current, lasts)

    def _stored(self, client: Any, data: Any, generation: Any, tags: Any, current: Any, lasts: int) -> Stored | None:
        if data is None or generation is None or generation != current or lasts == -2:
            return None
        if tags:
            names, tokens = _unpacked_tags(tags)
            if names is None or client.mget([self._tag(name) for name in names]) != tokens:
                return None
        return Stored(data, None if lasts < 0 else lasts / 1000)

    # --- writing ----------------------------------------------------------------------

    def set(
        self, key: bytes, data: bytes, *, ttl: float | None, tags: tuple[str, ...], lease: Lease | None, origin: bytes
    ) -> bool:
        """Keeps bytes under a key."""
        if ttl is not None and ttl < 0.001:
            # Redis has nothing that lives shorter; what is there goes nevertheless.
            if lease is None:
                self.delete(key, origin=origin)
            else:
                self.release(lease, origin=origin)
            return False
        names = [_tag_bytes(tag) for tag in tags]
        keys = [self._epoch_key, self._entry(key), self._lease(key), self._generation]
        keys += [self._tag(name) for name in names]
        if lease is None:
            terms: list[Any] = ["", secrets.token_hex(8), self._channel, message("key", origin, key), *names]
        else:
            state = lease.state or ("",)
            word = message("done", origin, key)
            # The tags may be others than those that the lease was asked for; then it says nothing of them.
            if len(state) != len(names) + 1:
                self.release(lease, origin=origin)
                return False
            terms = [lease.token, "", self._channel, word, *names, *state[1:], state[0]]
        milliseconds = 0 if ttl is None else int(ttl * 1000)
        with self._client(changes=True) as client:
            tried = -1
            while (epoch := self._current_epoch()) != tried:
                kept = self._script(client, scripts.SET, keys, [epoch, data, milliseconds, *terms])
                if kept >= 0:
                    return bool(kept)
                # Another change was given up meanwhile, and this one was not: it goes on in the next epoch.
                tried = epoch
        raise TierFailure("refused", "somebody else changed the number of this sender's latest change")

    def delete(self, key: bytes, *, origin: bytes) -> bool:
        """Removes a key and ends its lease."""
        keys = [self._epoch_key, self._entry(key), self._lease(key)]
        with self._client(changes=True) as client:
            terms = [self._current_epoch(), self._channel, message("key", origin, key)]
            return bool(self._script(client, scripts.DELETE, keys, terms))

    def delete_tag(self, tag: str, *, origin: bytes) -> None:
        """Removes what has a tag."""
        name = _tag_bytes(tag)
        with self._client(changes=True) as client:
            terms = [self._current_epoch(), self._channel, message("tag", origin, name)]
            self._script(client, scripts.DELETE_TAG, [self._epoch_key, self._tag(name)], terms)

    def clear(self, *, origin: bytes) -> None:
        """Removes everything: it is not found any more at once, and its memory is freed as far as time allows."""
        with self._client(changes=True) as client:
            terms = [self._current_epoch(), self._channel, message("clear", origin)]
            self._script(client, scripts.CLEAR, [self._epoch_key, self._generation], terms)
            cursor = 0
            for _ in range(50):
                cursor, found = client.scan(cursor, match=_escaped(self._base) + "entry:*", count=500)
                if found:
                    client.unlink(*found)
                if not cursor:
                    break

    # --- leases -----------------------------------------------------------------------

    def acquire(self, key: bytes, token: str, seconds: float, tags: tuple[str, ...]) -> Acquired:
        """Asks for the lease of a key."""
        keys = [self._lease(key), self._entry(key), self._generation]
        keys += [self._tag(_tag_bytes(tag)) for tag in tags]
        terms = [token, max(1, int(seconds * 1000)), secrets.token_hex(8)]
        with self._client() as client:
            granted, left, *answer = self._script(client, scripts.ACQUIRE, keys, terms)
            if not granted:
                return Acquired(seconds_left=max(left, 0) / 1000)
            data, generation, packed, lasts, current, *tokens = answer
            lease = Lease(key, token, tuple(each.decode() for each in (current, *tokens)))
            return Acquired(lease, self._stored(client, data, generation, packed, current, lasts))

    def renew(self, lease: Lease, seconds: float) -> bool:
        """Lets a lease last longer."""
        with self._client() as client:
            terms = [lease.token, max(1, int(seconds * 1000))]
            return bool(self._script(client, scripts.RENEW, [self._lease(lease.key)], terms))

    def release(self, lease: Lease, *, origin: bytes) -> bool:
        """Ends a lease."""
        with self._client() as client:
            terms = [lease.token, self._channel, message("done", origin, lease.key)]
            return bool(self._script(client, scripts.RELEASE, [self._lease(lease.key)], terms))

    def subscribe(self, listener: Callable[[Event], None]) -> Subscription:
        """Has a listener told of what happens."""
        return RedisSubscription(self._connect, self._channel, listener, self.timeout)

    # --- connections ------------------------------------------------------------------

    def interrupt(self, thread: int) -> None:
        """Has what a thread is doing in here fail."""
        with self._lock:
            client = self._clients.get(thread)
            self._give_up_change(thread)
        connection = getattr(client, "connection", None)
        connected = getattr(connection, "_sock", None)
        if connected is not None:
            # Only shut: the thread itself closes it, and nothing else gets its number meanwhile.
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes the connections."""
        with self._lock:
            clients = list(self._clients.values())
            self._clients.clear()
        for client in clients:
            _close(client)

    def _connect(self) -> Any:
        return redis.Redis.from_url(self._url, **self._options)

    @contextmanager
    def _client(self, changes: bool = False) -> Iterator[Any]:
        """This thread's client, inside a block whose failures are told as a tier's."""
        thread = threading.get_ident()
        if changes:
            with self._lock:
                self._changing.add(thread)
        try:
            yield self._connected()
        except redis.ResponseError as error:
            # The connection is in order.
            raise _refused(error) from error
        except (redis.RedisError, OSError) as error:
            self._drop()
            late = isinstance(error, (redis.TimeoutError, TimeoutError))
            if isinstance(error, redis.AuthenticationError):
                raise TierFailure("denied", str(error)) from error
            raise TierFailure("timeout" if late else "connection", str(error)) from error
        except BaseException:
            self._drop()
            raise
        finally:
            if changes:
                with self._lock:
                    self._changing.discard(thread)

    def _give_up_change(self, thread: int) -> None:
        if thread in self._changing:
            self._changing.discard(thread)
            self._epoch += 1

    def _current_epoch(self) -> int:
        with self._lock:
            if threading.get_ident() not in self._changing:
                raise TierFailure("timeout", "it was given up")
            return self._epoch

    def _connected(self) -> Any:
        client = getattr(self._mine, "client", None)
        if client is not None and not _is_closed(client.connection):
            return client
        self._disconnect()
        client = self._connect()
        # Known before it is connected: a server that hangs, or answers without end, may do so from the beginning.
        connection = client.connection = client.connection_pool.make_connection()
        self._mine.client = client
        with self._lock:
            self._clients[threading.get_ident()] = client
        connection.connect()
        return client

    def _drop(self) -> None:
        """Closes this thread's connection. What was sent on it may still be carried out."""
        with self._lock:
            self._give_up_change(threading.get_ident())
        self._disconnect()

    def _disconnect(self) -> None:
        with self._lock:
            self._clients.pop(threading.get_ident(), None)
        client, self._mine.client = getattr(self._mine, "client", None), None
        if client is not None:
            _close(client)

    def _script(self, client: Any, script: str, keys: list[str], terms: list[Any]) -> Any:
        known = _SHA1[script]
        try:
            return client.evalsha(known, len(keys), *keys, *terms)
        except redis.exceptions.NoScriptError:
            # A Redis that was started anew has forgotten it.
            return client.eval(script, len(keys), *keys, *terms)

    # --- names ------------------------------------------------------------------------

    @property
    def _generation(self) -> str:
        return self._base + "generation"

    @property
    def _epoch_key(self) -> str:
        return f"{self._base}sender:{self._identity}"

    def _entry(self, key: bytes) -> str:
        return f"{self._base}entry:{key.hex()}"

    def _lease(self, key: bytes) -> str:
        return f"{self._base}lease:{key.hex()}"

    def _tag(self, name: bytes) -> Any:
        return self._base.encode() + b"tag:" + name

    def __repr__(self) -> str:
        return f"<RedisTier {self._base[:-1]}>"


def _sha1(script: str) -> str:
    import hashlib

    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()


_SHA1 = {
    script: _sha1(script)
    for script in (
        scripts.ACQUIRE,
        scripts.SET,
        scripts.DELETE,
        scripts.DELETE_TAG,
        scripts.RENEW,
        scripts.RELEASE,
    )
}


def _tag_bytes(tag: str) -> bytes:
    return tag.encode("utf-8", "surrogatepass")


def _escaped(pattern: str) -> str:
    return "".join("\\" + letter if letter in "*?[]\\^" else letter for letter in pattern)


def _unpacked_tags(packed: bytes) -> tuple[list[bytes] | None, list[bytes]]:
    try:
        words = msgpack.unpackb(packed, raw=True)
    except ValueError:
        return None, []
    if not isinstance(words, list) or not all(isinstance(word, bytes) for word in words):
        return None, []
    return words[::2], words[1::2]


def _answers(connection: Any, commands: tuple[tuple[str, ...], ...]) -> list[Any]:
    """What is answered to commands that are sent at once, on this connection: a pipeline would take one more."""
    connection.send_packed_command(connection.pack_commands(commands))
    answers: list[Any] = []
    refused = None
    for _ in commands:
        try:
            answers.append(connection.read_response())
        except redis.ResponseError as error:
            refused = refused or error
    if refused is not None:
        raise refused
    return answers


def _refused(error: redis.ResponseError) -> TierFailure:
    text = str(error)
    # Inside of a script the word may come later, after the script's name.
    for word, (kind, concerns) in _REFUSALS.items():
        if word in text.upper().replace(":", " ").replace("-", " ").split():
            return TierFailure(kind, text, concerns)
    named = {"ReadOnlyError": "READONLY", "OutOfMemoryError": "OOM", "BusyLoadingError": "LOADING", "NoPermissionError": "NOPERM"}  # fmt: skip
    if type(error).__name__ in named:
        kind, concerns = _REFUSALS[named[type(error).__name__]]
        return TierFailure(kind, text, concerns)
    return TierFailure("refused", text)


def _is_closed(connection: Any) -> bool:
    """Whether the server has closed it meanwhile; what it has to say unasked would be no answer."""
    connected = getattr(connection, "_sock", None)
    if connected is None:
        return True
    try:
        return bool(connection.can_read(timeout=0))
    except (redis.RedisError, OSError):
        return True


def _close(client: Any) -> None:
    with suppress(redis.RedisError, OSError):
        connection = client.connection
        client.connection = None
        if connection is not None:
            connection.disconnect()
        client.connection_pool.disconnect()
