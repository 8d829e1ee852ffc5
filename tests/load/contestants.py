"""The servers that are compared, each started as a process of its own on a free port of 127.0.0.1."""

from __future__ import annotations

import http.client
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.load import pocketbase
from tests.load.database import clean_environment, tradepost_command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).parents[2]
FASTIFY = Path(__file__).with_name("peers") / "fastify"
START_TIMEOUT = 60.0
STOP_TIMEOUT = 25.0
"""Seconds; longer than Tradepost itself waits for requests in flight."""

LIMIT = "limit"
"""The contestant that all ratios are taken to."""


class ContestantError(Exception):
    """A server did not start; the message has the end of its log."""


@dataclass(frozen=True)
class Contestant:
    """A way of writing the API; `command` makes the command line for a port."""

    name: str
    title: str
    command: Callable[[int], list[str]]
    prepare: Callable[[], None] = lambda: None
    """Brings what the command needs, if that is not installed with the development tools."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Settings of its own."""


def _install_node_packages() -> None:
    if shutil.which("npm") is None:
        raise ContestantError("node and npm are needed for the contestant fastify")
    if not (FASTIFY / "node_modules" / "@fastify" / "under-pressure").exists():
        subprocess.run(["npm", "install"], cwd=FASTIFY, check=True, stdout=sys.stderr)


def _tradepost(port: int) -> list[str]:
    serve = [tradepost_command(), "serve", "--host", "127.0.0.1"]
    return [*serve, "--port", str(port), "--workers", "1"]


STAGING = {"ENVIRONMENT": "staging", "FIRST_SUPERUSER_PASSWORD": "Not-to-be-guessed-1"}
"""As it is deployed: messages wait for a `tradepost worker`, which is not measured here."""


def _peer(module: str) -> Callable[[int], list[str]]:
    return lambda port: [sys.executable, "-m", f"tests.load.peers.{module}", "--port", str(port)]


CONTESTANTS: Mapping[str, Contestant] = {
    contestant.name: contestant
    for contestant in (
        Contestant("tradepost", "Tradepost as `tradepost serve` runs it", _tradepost, environment=STAGING),
        Contestant(
            "tradepost-local",
            "the same in `local`, where the server delivers messages itself (inbox entries, e-mails into a folder)",
            _tradepost,
        ),
        Contestant(
            "tradepost-limited",
            "the same with rate limits on, each process counting for itself, at a rate that nobody reaches",
            _tradepost,
            environment={**STAGING, "RATE_LIMIT_ENABLED": "true", "RATE_LIMIT_DEFAULT": "1000000/1s"},
        ),
        Contestant(
            LIMIT, "the hand-written limit: bare ASGI + asyncpg + SQL that answers JSON", _peer("limit")
        ),
        Contestant(
            "limit-no-reset",
            "the limit without asyncpg's reset of a connection between two requests",
            _peer("limit_without_reset"),
        ),
        Contestant(
            "limit-sqlite",
            "the hand-written limit on SQLite: bare ASGI + aiosqlite + SQL that answers JSON; it only reads",
            _peer("limit_sqlite"),
        ),
        Contestant(
            "straightforward",
            "the straightforward way: FastAPI + async ORM + selectinload + response_model",
            _peer("straightforward"),
        ),
        Contestant(
            "fastify",
            "Node: Fastify + pg, schema-compiled JSON",
            lambda port: ["node", str(FASTIFY / "server.js"), "--port", str(port)],
            _install_node_packages,
        ),
        Contestant(
            "fastify-shedding",
            "the same with @fastify/under-pressure, which refuses while the event loop is 100 ms late",
            lambda port: ["node", str(FASTIFY / "server.js"), "--port", str(port), "--shedding"],
            _install_node_packages,
        ),
        Contestant(
            pocketbase.NAME,
            f"PocketBase ({pocketbase.WHEEL.partition('==')[2]}, Go) on SQLite, with the same items in its own tables",
            pocketbase.command,
            pocketbase.prepare,
        ),
    )
}


@dataclass(frozen=True)
class Server:
    """A contestant that runs."""

    contestant: Contestant
    port: int
    pid: int
    directory: Path
    """Where it keeps its files."""


@contextmanager
def running(contestant: Contestant, *, database_url: str, secret: str, ready_path: str) -> Iterator[Server]:
    """Serve until the end of the block; the server is ready once it answers `ready_path` with 200."""
    contestant.prepare()
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix=f"load-{contestant.name}-") as directory:
        environment = clean_environment() | {
            "PYTHONPATH": str(ROOT),
            "DATABASE_URL": database_url,
            "SECRET_KEY": secret,
            "NODE_ENV": "production",
            "ENVIRONMENT": "local",
            "RATE_LIMIT_ENABLED": "false",
            "DATA_DIR": directory,
            **contestant.environment,
        }
        log = Path(directory) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                contestant.command(port),
                env=environment,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait_until_ready(contestant, process, port, ready_path, log)
            yield Server(contestant, port, process.pid, Path(directory))
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(
    contestant: Contestant, process: subprocess.Popen[bytes], port: int, path: str, log: Path
) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    seen = "no answer"
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with suppress(OSError, http.client.HTTPException):
            connection.request("GET", path)
            answer = connection.getresponse()
            if answer.status == 200:
                connection.close()
                return
            seen = f"{answer.status}: {answer.read()[:300].decode(errors='replace')}"
        connection.close()
        time.sleep(0.1)
    tail = log.read_text(errors="replace")[-3000:]
    raise ContestantError(f"{contestant.name} did not answer {path} with 200 ({seen}). It logged:\n{tail}")
