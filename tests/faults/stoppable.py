"""A PostgreSQL that can be stopped and started again with what is in it, on one and the same port."""

import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg

from tests import servers
from tests.flows.live import reserved_port

STOP_TIMEOUT = 20.0
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "16MB",
    # An immediate shutdown may lose nothing that was acknowledged; only a power cut, which does not happen here, may.
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "on",
}


class StoppablePostgres:
    """A cluster in a directory of its own; its superuser has no password, and listens to this machine only."""

    def __init__(self, directory: Path, port: int) -> None:
        self._directory = directory
        self._port = port
        self._programs = servers._programs()
        self._without_root = servers._without_root(directory)
        self._lifeline: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Its host and port."""
        return f"127.0.0.1:{self._port}"

    def url(self, database: str = "postgres") -> str:
        """Address one of its databases."""
        return f"postgresql://postgres@127.0.0.1:{self._port}/{database}"

    def initialise(self) -> None:
        """Make the cluster."""
        command = [
            *self._without_root,
            f"{self._programs}/initdb",
            f"--pgdata={self._directory}/data",
            *("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"),
        ]
        subprocess.run(command, check=True, capture_output=True)

    def copy_to(self, standby: "StoppablePostgres") -> None:
        """Make the cluster ``standby`` a copy of this one, which runs, that follows it as a hot standby."""
        command = [
            *self._without_root,
            f"{self._programs}/pg_basebackup",
            *("--write-recovery-conf", "--checkpoint=fast", "--no-sync", f"--dbname={self.url()}"),
            f"--pgdata={standby._directory}/data",
        ]
        subprocess.run(command, check=True, capture_output=True)

    def start(self) -> None:
        """Start it, unless it runs, and wait until it takes connections."""
        if self._lifeline is not None:
            return
        data = self._directory / "data"
        serve = [
            f"{self._programs}/postgres",
            "-D",
            str(data),
            "-p",
            str(self._port),
            "-k",
            str(self._directory),
        ]
        for name, value in SETTINGS.items():
            serve += ["-c", f"{name}={value}"]
        # What the pid file of a killed server still says must not be taken for the new one's word.
        with suppress(FileNotFoundError):
            (data / "postmaster.pid").unlink()
        # The lifeline ends it with this process, and removes a directory: here an empty one.
        with (self._directory / "log").open("ab") as log:
            command = [*self._without_root, "sh", "-c", f"exec {shlex.join(serve)}"]
            self._lifeline = subprocess.Popen(
                [sys.executable, str(servers.LIFELINE), tempfile.mkdtemp(prefix="tradepost-none-"), *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        servers._wait_until_ready(self._lifeline, self._directory)

    def stop(self) -> None:
        """End it as a crash would: every connection breaks off, nothing is written any more."""
        if self._lifeline is not None:
            assert self._lifeline.stdin is not None
            # The lifeline asks for PostgreSQL's immediate shutdown.
            self._lifeline.stdin.close()
            self._lifeline.wait(STOP_TIMEOUT)
            self._lifeline = None

    async def create_database(self, name: str) -> str:
        """Create an empty database and return its URL."""
        await self.ask(f"CREATE DATABASE {name} TEMPLATE template0")
        return self.url(name)

    async def ask(self, statement: str, *, database: str = "postgres") -> Any:
        """Run a statement and return the first value of its answer."""
        connection = await asyncpg.connect(self.url(database))
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()


@contextmanager
def stoppable_postgres(*, initialised: bool = True) -> Iterator[StoppablePostgres]:
    """Make a cluster for the length of the block; it is not started yet, and empty if it is to become a copy."""
    directory = Path(tempfile.mkdtemp(prefix="tradepost-postgres-"))
    try:
        with reserved_port() as port:
            server = StoppablePostgres(directory, port)
            if initialised:
                server.initialise()
            try:
                yield server
            finally:
                server.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
