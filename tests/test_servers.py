import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests import servers
from tests.lifeline import STOP_TIMEOUT
from tests.servers import PostgresServer, RedisServer, ServerFailedError


@pytest.fixture
def own_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_DATABASE_URL", raising=False)


def answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.mark.usefixtures("own_server")
def test_a_server_ends_with_its_owner_even_when_that_is_killed() -> None:
    command = [sys.executable, "-m", "tests.servers"]
    root = Path(__file__).parents[1]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        address = urlsplit(owner.stdout.readline().strip())
        assert address.hostname is not None
        assert address.port is not None
        assert answers(address.hostname, address.port)
        owner.kill()
    deadline = time.monotonic() + 20
    while answers(address.hostname, address.port) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not answers(address.hostname, address.port)


@pytest.mark.usefixtures("own_server")
def test_a_server_ends_at_once_also_in_a_run_that_a_shell_has_in_the_background() -> None:
    # Such a run ignores the signal, and what it starts inherits that.
    before = signal.signal(signal.SIGQUIT, signal.SIG_IGN)
    try:
        with RedisServer.running():
            began = time.monotonic()
    finally:
        signal.signal(signal.SIGQUIT, before)
    assert time.monotonic() - began < STOP_TIMEOUT / 2


async def test_databases_are_created_from_a_template_and_dropped_with_their_connections() -> None:
    with PostgresServer.running() as server:
        template = await asyncpg.connect(await server.create_database("template"))
        await template.execute("CREATE TABLE remembered AS SELECT 7 AS number")
        await template.close()

        copy = await asyncpg.connect(await server.create_database('a "copy"', template="template"))
        assert await copy.fetchval("SELECT number FROM remembered") == 7
        await server.drop_database('a "copy"')
        await server.drop_database('a "copy"')
        with pytest.raises(asyncpg.PostgresError):
            await asyncpg.connect(server.url('a "copy"'))
        await copy.close()


def test_a_server_that_fails_shows_its_log(monkeypatch: pytest.MonkeyPatch, own_server: None) -> None:
    monkeypatch.setitem(servers._SETTINGS, "no_such_setting", "1")
    with pytest.raises(ServerFailedError, match="no_such_setting"), PostgresServer.running():
        pass


def test_a_server_that_exists_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "TEST_DATABASE_URL", "postgresql+asyncpg://me:secret@example.com:5433/admin?ssl=require"
    )
    with PostgresServer.running() as server:
        assert server.admin_url == "postgresql://me:secret@example.com:5433/admin?ssl=require"
        assert server.url("one") == "postgresql://me:secret@example.com:5433/one?ssl=require"
