import asyncio
import errno
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from tests.faults.freezing import below
from tests.flows.live import LiveServer, environment, eventually, serving, worker_of, workers_of
from tradepost.web import shared_socket
from tradepost.web.shared_socket import COUNTS_VARIABLE, AcceptingLoop, ConnectionCounts

WORKERS = 2


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with serving(environment(tmp_path_factory.mktemp("data")), "--workers", str(WORKERS)) as server:
        yield server


async def shares(server: LiveServer, number: int) -> Counter[str]:
    """Open so many connections at once and keep them; return how many each worker has."""
    async with AsyncExitStack() as opened:
        clients = [
            await opened.enter_async_context(httpx.AsyncClient(base_url=server.url, timeout=60))
            for _ in range(number)
        ]
        return Counter(map(worker_of, await asyncio.gather(*(client.get("/livez") for client in clients))))


def is_stopped(process: int) -> bool:
    """Tell whether all threads of a process stand still."""
    stats = [path.read_text() for path in Path(f"/proc/{process}/task").glob("*/stat")]
    return {stat.rpartition(") ")[2][0] for stat in stats} == {"T"}


@pytest.mark.parametrize("number", [4, 16, 64])
async def test_workers_share_the_connections(server: LiveServer, number: int) -> None:
    await server.ready()
    async with workers_of(server, WORKERS):
        pass  # All of them have begun.
    # A busy machine may keep one of them from its turn, not again and again.
    rounds = [await shares(server, number) for _ in range(5)]
    assert any(
        len(found) == WORKERS and min(found.values()) >= number / WORKERS * 0.75 for found in rounds
    ), rounds


async def test_a_worker_that_stands_still_keeps_nobody_from_the_other(server: LiveServer) -> None:
    await server.ready()
    async with workers_of(server, WORKERS):
        pass

    async def stands_still() -> bool:
        return is_stopped(process)

    for process in below(server.pid):
        os.kill(process, signal.SIGSTOP)
        try:
            # Until then it may still take one.
            await eventually(stands_still)
            assert len(await shares(server, 6)) == 1
        finally:
            os.kill(process, signal.SIGCONT)


class Silent(asyncio.Protocol):
    """A protocol of a server that knows its connections, as uvicorn's do."""

    def __init__(self, server_state: SimpleNamespace) -> None:
        self.server_state = server_state

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.server_state.connections.add(self)

    def shutdown(self) -> None:
        self.transport.close()


def test_the_only_worker_accepts_a_crowd_in_a_few_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(COUNTS_VARIABLE, raising=False)

    async def turns() -> int:
        loop = asyncio.get_running_loop()
        state = SimpleNamespace(connections=set())
        server = await loop.create_server(lambda: Silent(state), host="127.0.0.1", port=0, backlog=200)
        address = server.sockets[0].getsockname()
        with ExitStack() as clients:
            for _ in range(100):
                clients.enter_context(socket.create_connection(address, timeout=10))
            number = 0
            while len(state.connections) < 100:
                await asyncio.sleep(0)
                number += 1
            server.close()
            await server.wait_closed()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address, timeout=10)
            for connection in state.connections:
                connection.shutdown()
        return number

    with asyncio.Runner(loop_factory=AcceptingLoop) as runner:
        # One turn sees them, and a transport takes a few more until its protocol is told.
        assert runner.run(turns()) < 20


def test_those_that_were_just_accepted_end_with_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(COUNTS_VARIABLE, raising=False)

    async def ends() -> None:
        loop = asyncio.get_running_loop()
        state = SimpleNamespace(connections=set())
        made: list[Silent] = []
        begun = asyncio.Event()

        def new() -> Silent:
            begun.set()
            made.append(Silent(state))
            return made[-1]

        server = await loop.create_server(new, host="127.0.0.1", port=0, backlog=50)
        address = server.sockets[0].getsockname()
        with ExitStack() as clients:
            for _ in range(10):
                clients.enter_context(socket.create_connection(address, timeout=10))
            await begun.wait()
            server.close()
            for connection in state.connections:
                connection.shutdown()
            await server.wait_closed()
            assert [connection.transport.is_closing() for connection in made] == [True] * len(made)

    with asyncio.Runner(loop_factory=AcceptingLoop) as runner:
        runner.run(ends())


def test_a_worker_that_can_accept_nothing_looks_again_once_for_all_its_addresses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(COUNTS_VARIABLE, raising=False)
    monkeypatch.setattr(shared_socket, "EXHAUSTED", 0.02)
    looks: list[object] = []

    def exhausted(listener: socket.socket) -> None:
        looks.append(listener)
        raise OSError(errno.EMFILE, "Too many open files")

    async def rest() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: Silent(SimpleNamespace(connections=set())),
            host=["127.0.0.1", "127.0.0.2"],
            port=0,
            backlog=10,
        )
        assert len(server.sockets) == 2
        with ExitStack() as clients:
            monkeypatch.setattr(socket.socket, "accept", exhausted)
            for listener in server.sockets:
                clients.enter_context(socket.create_connection(listener.getsockname(), timeout=10))
            await asyncio.sleep(0.2)
            server.close()
            seen = len(looks)
            await asyncio.sleep(0.05)
            assert len(looks) == seen

    with asyncio.Runner(loop_factory=AcceptingLoop) as runner:
        runner.run(rest())
    assert 1 < len(looks) <= 12


def test_slots_belong_to_the_living(tmp_path: Path) -> None:
    path = tmp_path / "counts"
    ConnectionCounts.make(path)
    ours = ConnectionCounts(path)
    ours.show(5)
    assert ours.fewest_elsewhere() > 10**6
    script = (
        "import sys; from pathlib import Path; from tradepost.web.shared_socket import ConnectionCounts;"
        "counts = ConnectionCounts(Path(sys.argv[1])); counts.show(3); print('there', flush=True); sys.stdin.read()"
    )

    def other() -> "subprocess.Popen[str]":
        started = subprocess.Popen(
            [sys.executable, "-c", script, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert started.stdout is not None
        assert started.stdout.readline() == "there\n"
        return started

    for _ in range(2):
        with other() as process:
            assert ours.fewest_elsewhere() == 3
            process.kill()
            process.wait()
        # Its slot is taken over by the next one.
        assert ours.fewest_elsewhere() > 10**6
    assert path.read_bytes().count(os.getpid().to_bytes(4, sys.byteorder)) == 1
    ours.close()
