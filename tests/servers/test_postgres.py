"""The server that other tests use starts, stops, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from .postgres import PostgresServer


def test_it_keeps_its_data_and_its_port_over_a_stop(postgres: PostgresServer) -> None:
    postgres.query("create table kept (value int)")
    postgres.query("insert into kept values (42)")
    port = postgres.port
    with postgres.connect() as connection:
        with postgres.away():
            with pytest.raises(psycopg.OperationalError):
                connection.execute("select 1")
            with pytest.raises(psycopg.OperationalError):
                postgres.connect(connect_timeout=2)
        assert postgres.port == port
    assert postgres.query("select value from kept") == [(42,)]
    postgres.query("drop table kept")


def test_connections_of_an_application_can_be_ended(postgres: PostgresServer) -> None:
    with postgres.connect(application_name="to-be-ended") as connection:
        (pid,) = postgres.backends("to-be-ended")
        postgres.terminate(pid)
        assert postgres.backends("to-be-ended") == []
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")


def test_its_settings_can_be_given() -> None:
    server = PostgresServer(max_connections=7)
    try:
        assert server.query("show max_connections") == [("7",)]
    finally:
        server.remove()


def test_it_is_gone_when_it_is_removed() -> None:
    server = PostgresServer()
    folder, port = server._folder, server.port
    server.remove()
    assert not folder.exists()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(f"host=127.0.0.1 port={port} user=postgres connect_timeout=2")


def test_it_ends_with_a_process_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import os, signal\n"
        "from servers.postgres import PostgresServer\n"
        "server = PostgresServer()\n"
        "print(server.port, server._folder, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
    port, folder = done.stdout.split()
    end = time.monotonic() + 60
    while Path(folder).exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not Path(folder).exists()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(f"host=127.0.0.1 port={port} user=postgres connect_timeout=2")
