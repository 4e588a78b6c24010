"""Random uses of a pool, by threads, with a server that fails: what holds after each step."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("hypothesis")

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nexus_core import ConnectionPool
from nexus_core.errors import ForeignConnection, PoolClosed, PoolTimeout

from .support import Connection, Runner, Server, at_rest, check, eventually, pool_of


class Uses(RuleBasedStateMachine):
    """One thread for each caller that waits; everything else on this one."""

    pool: ConnectionPool[Connection]

    @initialize(
        sizes=st.sampled_from([(0, 1), (0, 3), (2, 3), (3, 3)]),
        checks=st.sampled_from([None, "pool", "caller"]),
        order=st.sampled_from(["lifo", "fifo"]),
        has_reset=st.booleans(),
        max_uses=st.sampled_from([None, 2]),
    )
    def make(
        self, sizes: tuple[int, int], checks: str | None, order: str, has_reset: bool, max_uses: int | None
    ) -> None:
        self.server = Server()
        self.held: list[Connection] = []
        self.line: list[Runner] = []
        self.resets: list[Connection] = []
        options: dict[str, Any] = {"min_size": sizes[0], "max_size": sizes[1], "order": order, "max_uses": max_uses}
        if checks:
            options |= {"check": check, "check_in": checks}
        if has_reset:
            options["reset"] = self.resets.append
        self.checks = checks is not None
        self.pool = pool_of(self.server, is_broken=lambda connection: connection.is_broken, **options)

    def take(self, connection: Connection) -> None:
        connection.use()
        assert connection not in self.held
        self.held.append(connection)

    def settle(self) -> None:
        """Those who are served take what they got."""
        while len(self.held) < self.pool.max_size and self.line and not self.server.is_down:
            self.take(self.line.pop(0).result())

    @rule()
    def get(self) -> None:
        if not self.server.is_down and len(self.held) < self.pool.max_size:
            self.take(self.pool.getconn())
            return
        waiting = self.pool.get_stats()["requests_waiting"]
        # Nobody waits long for a server that is away.
        if not self.server.is_down and not self.line:
            self.line.append(Runner(self.pool.getconn))
            eventually(lambda: self.pool.get_stats()["requests_waiting"] == waiting + 1)

    @rule()
    def get_in_vain(self) -> None:
        if len(self.held) >= self.pool.max_size:
            with pytest.raises(PoolTimeout) as caught:
                self.pool.getconn(0)
            assert caught.value.in_use == len(self.held)

    def put(self, connection: Connection, broken: bool) -> None:
        self.held.remove(connection)
        connection.unuse()
        self.pool.putconn(connection, broken)
        if not self.line:
            # One who waited may have it already.
            with pytest.raises(ForeignConnection):
                self.pool.putconn(connection)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), broken=st.booleans())
    def put_back(self, data: st.DataObject, broken: bool) -> None:
        self.put(data.draw(st.sampled_from(self.held)), broken)
        self.settle()

    @rule(fails=st.booleans())
    def use_in_a_block(self, fails: bool) -> None:
        if self.server.is_down or self.line or len(self.held) >= self.pool.max_size:
            return
        try:
            with self.pool.connection() as connection:
                connection.use()
                connection.unuse()
                if fails:
                    raise KeyError
        except KeyError:
            assert fails

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        self.pool.discard(data.draw(st.sampled_from(self.held)))

    @precondition(lambda self: self.checks)
    @rule()
    def stop_the_server(self) -> None:
        if not self.line:
            self.server.stop()

    @rule()
    def start_the_server(self) -> None:
        self.server.start()

    @rule()
    def drain(self) -> None:
        self.pool.drain()

    @rule(sizes=st.sampled_from([(0, 1), (1, 2), (2, 4)]))
    def resize(self, sizes: tuple[int, int]) -> None:
        self.pool.resize(*sizes)
        self.settle()

    @rule()
    def check_all(self) -> None:
        self.pool.check()

    @rule()
    def put_a_foreign_one(self) -> None:
        with pytest.raises(ForeignConnection):
            self.pool.putconn(Connection(self.server, 0))

    @invariant()
    def figures_add_up(self) -> None:
        if not hasattr(self, "held"):
            return
        seen = self.pool.statistics()
        assert seen.in_use == len(self.held)
        assert seen.waiting == len(self.line)
        assert seen.size == seen.idle + seen.in_use + seen.tended + seen.connecting
        assert not any(connection.is_closed for connection in self.held)

    def teardown(self) -> None:
        if not hasattr(self, "held"):
            return
        self.server.start()
        while self.held:
            self.put(self.held[0], broken=False)
            self.settle()
        at_rest(self.pool)
        eventually(lambda: self.pool.get_stats()["pool_size"] >= self.pool.min_size)
        at_rest(self.pool)
        eventually(lambda: len(self.server.alive) == self.pool.get_stats()["pool_size"])
        stats = self.pool.get_stats()
        assert stats["pool_size"] <= self.pool.max_size
        assert stats["connections_num"] == len(self.server.made) + stats["connections_errors"]
        self.pool.close()
        assert self.server.alive == []
        with pytest.raises(PoolClosed):
            self.pool.getconn()


TestUses = Uses.TestCase
TestUses.settings = settings(max_examples=4 * settings().max_examples, stateful_step_count=40)
