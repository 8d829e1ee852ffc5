"""Tradepost as an operator runs it: the command in processes of its own, which are gone when the test is."""

import asyncio
import os
import shutil
import signal
import socket
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from tests import preloaded

ROOT: Final = Path(__file__).parents[2]
START_TIMEOUT: Final = 60.0
"""Seconds until a server must answer; it takes two, more on a machine that is busy."""
STOP_TIMEOUT: Final = 30.0
"""Seconds until a server that was told to end must have; the server gives its requests twenty of them."""
COMMAND_TIMEOUT: Final = 60.0
API: Final = "/api/v1"
PASSWORD: Final = "Tradepost1"
_LOG_SHOWN: Final = 4000
_CERTIFICATES: Final = ssl.create_default_context()
"""Nothing here is asked over TLS, and a client that makes these for itself takes longer to make than to use."""
_LEFT_OUT: Final = {"PROMETHEUS_MULTIPROC_DIR", "TMPDIR"}
"""What of this process's own environment would have servers meet that do not belong together."""


def environment(directory: Path, url: str | None = None, **settings: Any) -> dict[str, str]:
    """Return the environment of a Tradepost with these settings; its data is in ``directory``."""
    surroundings = {name: value for name, value in os.environ.items() if name not in _LEFT_OUT}
    chosen = {
        "DATA_DIR": directory,
        "LOG_LEVEL": "WARNING",
        "RATE_LIMIT_ENABLED": "false",
        # Bursts on a busy machine are past its capacity indeed.
        "OVERLOAD_CONTROL": "false",
    } | settings
    if url is not None:
        chosen["DATABASE_URL"] = url
    return surroundings | {name: str(value) for name, value in chosen.items()}


def connecting(**options: Any) -> httpx.AsyncClient:
    """Return a client with these options."""
    return httpx.AsyncClient(verify=_CERTIFICATES, **options)


@dataclass(frozen=True)
class Finished:
    """What a command that has ended left: its status, and standard output and error in one."""

    status: int
    output: str


async def tradepost(*arguments: str, env: Mapping[str, str], cwd: Path | None = None) -> Finished:
    """Run a command of ``tradepost`` to its end."""
    with tempfile.TemporaryFile(prefix="tradepost-") as output:
        process = preloaded.start(arguments, env=env, cwd=cwd, output=output.fileno())
        try:
            status = await process.ended(COMMAND_TIMEOUT)
        finally:
            process.kill()
        output.seek(0)
        return Finished(status, output.read().decode())


@dataclass
class LiveServer:
    """A ``tradepost serve`` with all that it started, in a process group of its own."""

    port: int
    log: Path
    _process: preloaded.Process

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process that an operator would signal: the only one, or the one that the workers belong to."""
        return self._process.pid

    @property
    def output(self) -> str:
        """What it has written so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    @property
    def running(self) -> bool:
        """Whether its first process is still there."""
        return self._process.poll() is None

    def client(self, token: str | None = None, **options: Any) -> httpx.AsyncClient:
        """Return a client of the API, for a stranger or whoever has the token."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return connecting(base_url=self.url + API, headers=headers, timeout=30.0, **options)

    async def answers(self, path: str, status: int = 200) -> httpx.Response:
        """Wait until ``path`` is answered with ``status``."""
        deadline = time.monotonic() + START_TIMEOUT
        last: object = "nothing"
        async with connecting(base_url=self.url, timeout=5.0) as client:
            while time.monotonic() < deadline and self.running:
                try:
                    response = await client.get(path)
                except httpx.TransportError as error:
                    last = repr(error)
                else:
                    if response.status_code == status:
                        return response
                    last = response.status_code
                await asyncio.sleep(0.05)
        raise TimeoutError(f"{path} was not answered with {status}, last with {last}")

    async def ready(self) -> None:
        """Wait until it is ready for requests."""
        await self.answers("/readyz")

    def send(self, number: signal.Signals) -> None:
        """Send a signal as an operator would."""
        os.kill(self.pid, number)

    async def ended(self, within: float = STOP_TIMEOUT) -> int:
        """Wait for its end and return its status."""
        return await self._process.ended(within)

    def kill(self) -> None:
        """End every process of it at once, as a power cut would: none gets to tidy up."""
        self._process.kill()


@contextmanager
def reserved_port() -> Iterator[int]:
    """Keep a free port of 127.0.0.1 from everybody but who listens there explicitly, again and again if need be."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@contextmanager
def serving(
    env: Mapping[str, str], *arguments: str, cwd: Path | None = None, reserved: int | None = None
) -> Iterator[LiveServer]:
    """Run ``tradepost serve`` with these arguments for the length of the block; it is killed at the end of it.

    It listens on a free port, or on one that is ``reserved`` for servers that come one after the other.
    """
    # Its temporary directory: what a killed server leaves behind in it is removed with the rest.
    directory = Path(tempfile.mkdtemp(prefix="tradepost-serve-"))
    handle, log = tempfile.mkstemp(prefix="tradepost-serve-", suffix=".log")
    with nullcontext(reserved) if reserved else reserved_port() as port:
        try:
            process = preloaded.start(
                ["serve", "--port", str(port), *arguments],
                env={"TMPDIR": str(directory), **env},
                cwd=cwd,
                output=handle,
                directory=directory,
            )
        finally:
            os.close(handle)
        server = LiveServer(port, Path(log), process)
        try:
            yield server
        except BaseException as error:
            error.add_note(f"The server wrote:\n{server.output[-_LOG_SHOWN:]}")
            raise
        finally:
            server.kill()
            server.log.unlink()
            shutil.rmtree(directory, ignore_errors=True)


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until ``condition`` holds."""
    async with asyncio.timeout(START_TIMEOUT):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.02)


def worker_of(response: httpx.Response) -> str:
    """Return which of a server's processes answered: each begins the ids it makes with a word of its own."""
    return response.headers["X-Request-ID"].rpartition("-")[0]


class Worker:
    """One of the processes behind a port, and a way to be answered by just that one."""

    def __init__(self, server: LiveServer, name: str, connection: httpx.AsyncClient) -> None:
        self.name = name
        self._server = server
        self._connection = connection

    async def request(
        self, method: str, path: str, *, token: str | None = None, **options: Any
    ) -> httpx.Response:
        """Send a request to this worker; ``path`` is below the API's unless it begins with a slash."""
        # A connection that was idle for long is closed, and the next may be to another worker.
        while worker_of(await self._connection.get("/livez")) != self.name:
            await self._connection.aclose()
            self._connection = await _connection_to(self._server, lambda name: name == self.name)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        address = path if path.startswith("/") else f"{API}/{path}"
        response = await self._connection.request(method, address, headers=headers, **options)
        assert worker_of(response) == self.name
        return response

    async def close(self) -> None:
        await self._connection.aclose()


async def _connection_to(server: LiveServer, wanted: Callable[[str], bool]) -> httpx.AsyncClient:
    """Connect until a worker whose name is wanted takes the connection."""
    deadline = time.monotonic() + START_TIMEOUT
    unwanted: list[httpx.AsyncClient] = []
    try:
        while time.monotonic() < deadline:
            client = connecting(base_url=server.url, timeout=30.0)
            if wanted(worker_of(await client.get("/livez"))):
                return client
            unwanted.append(client)
            await asyncio.sleep(0.01)
    finally:
        for client in unwanted:
            await client.aclose()
    raise TimeoutError("no connection to the worker that was wanted")


@asynccontextmanager
async def workers_of(server: LiveServer, number: int) -> AsyncIterator[list[Worker]]:
    """Find ``number`` processes behind the server's port."""
    workers: list[Worker] = []
    try:
        while len(workers) < number:
            known = {worker.name for worker in workers}
            connection = await _connection_to(server, lambda name, known=known: name not in known)  # type: ignore[misc]
            name = worker_of(await connection.get("/livez"))
            workers.append(Worker(server, name, connection))
        yield workers
    finally:
        for worker in workers:
            await worker.close()


@dataclass(frozen=True)
class Account:
    """Somebody who has registered and logged in."""

    id: int
    email: str
    token: str
    refresh_token: str


async def log_in(client: httpx.AsyncClient, email: str, password: str = PASSWORD) -> dict[str, Any]:
    """Log in and return the pair of tokens."""
    response = await client.post("/auth/login", data={"username": email, "password": password})
    response.raise_for_status()
    tokens: dict[str, Any] = response.json()
    return tokens


async def join(client: httpx.AsyncClient, email: str) -> Account:
    """Register and log in."""
    form = {"email": email, "password": PASSWORD, "first_name": "Ada", "last_name": "Tester"}
    response = await client.post("/auth/register", json=form)
    response.raise_for_status()
    tokens = await log_in(client, email)
    return Account(response.json()["id"], email, tokens["access_token"], tokens["refresh_token"])
