"""A PgBouncer of the tests' own, set up by the file in ``deploy/`` but for addresses, in front of a PostgreSQL."""

import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from tests import servers
from tests.flows.live import ROOT, reserved_port

BINARY: Final = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
_CONFIG: Final = ROOT / "deploy/pgbouncer/pgbouncer.ini"
_START_TIMEOUT: Final = 30.0


@contextmanager
def running(database_url: str, *, connections: int) -> Iterator[str]:
    """Run one in front of a database with so many connections to it; yields the address to use in its place."""
    root = Path(tempfile.mkdtemp(prefix="tradepost-pgbouncer-"))
    target = urlsplit(database_url)
    name = target.path.removeprefix("/")
    with reserved_port() as port:
        config = _CONFIG.read_text(encoding="utf-8")
        for written, here in (
            ("tradepost = host=db port=5432", f"{name} = host={target.hostname} port={target.port}"),
            ("listen_addr = *", "listen_addr = 127.0.0.1\nunix_socket_dir ="),
            ("listen_port = 6432", f"listen_port = {port}"),
            ("/run/secrets/pgbouncer_users", str(root / "users")),
            ("default_pool_size = 16", f"default_pool_size = {connections}"),
        ):
            assert written in config, written
            config = config.replace(written, here)
        (root / "pgbouncer.ini").write_text(config, encoding="utf-8")
        (root / "users").write_text(f'"{target.username}" "{target.password}"\n', encoding="utf-8")
        log = root / "log"
        with log.open("wb") as output:
            command = ["sh", "-c", f"exec {shlex.join([str(BINARY), str(root / 'pgbouncer.ini')])}"]
            # As PostgreSQL does, it refuses to run as root.
            process = subprocess.Popen(
                [sys.executable, servers.LIFELINE, tempfile.mkdtemp(prefix="tradepost-none-"),
                 *servers._without_root(root), *command],
                stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        try:
            with process:  # leaving it closes the pipe and waits
                _wait_for(log, process)
                yield urlunsplit(
                    target._replace(netloc=f"{target.username}:{target.password}@127.0.0.1:{port}")
                )
        except BaseException as error:
            error.add_note(f"PgBouncer wrote:\n{log.read_text(errors='replace')[-4000:]}")
            raise
        finally:
            shutil.rmtree(root, ignore_errors=True)


def _wait_for(log: Path, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        if "process up" in log.read_text(encoding="utf-8", errors="replace"):
            return
        time.sleep(0.02)
    raise servers.ServerFailedError("PgBouncer did not start")
