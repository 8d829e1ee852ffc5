"""``tradepost serve``: uvicorn with the HTTP protocol of ``web``, in one process or several behind one socket."""

import fcntl
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from math import ceil
from pathlib import Path
from typing import Final

import click
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from tradepost.bootstrap import database_options
from tradepost.cli.demo import address, banner, prepare_demo
from tradepost.cli.running import current_clock, faults_in_words, load_settings, run
from tradepost.core.database.engines import prepare_directory as prepare_database_directory
from tradepost.core.observability.worker_files import MULTIPROCESS_VARIABLE, prepare_directory
from tradepost.core.settings.settings import Settings
from tradepost.web.protocol import BoundedHttpProtocol, CuttableHttpProtocol
from tradepost.web.shared_socket import COUNTS_VARIABLE, ConnectionCounts

METRICS_PREFIX: Final = "tradepost-metrics-"


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--workers", default=1, show_default=True, type=click.IntRange(1, 256), help="How many processes."
)
@click.option(
    "--demo", is_flag=True, help="Migrate, and in local fill an empty database with a small marketplace."
)
def serve(host: str, port: int, workers: int, *, demo: bool) -> None:
    """Serve the API."""
    # The server ends gracefully and then sends itself the signal once more: without this the process would die of it,
    # with a status that is not 0 and without the clean-up below.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    settings = load_settings()
    refuse_taken_port(host, port)
    refuse_unmakeable_database(settings)
    if settings.is_local and "PUBLIC_URL" not in settings.model_fields_set:
        # Before the workers read their settings: links in e-mails lead to where this is served.
        os.environ["PUBLIC_URL"] = address(host, port)
        settings = load_settings()
    if demo:
        people = run(prepare_demo(settings, clock=current_clock()))
        click.echo(banner(settings, host, port, people=people))
    config = server_config(host, port, workers, settings)
    with metrics_directory(workers), connection_counts(workers):
        if workers > 1:
            Workers(config, sockets=[config.bind_socket()]).run()
            return
        server = uvicorn.Server(config)
        with suppress(KeyboardInterrupt):
            server.run()
        if not server.started:
            sys.exit(STARTUP_FAILURE)


def refuse_unmakeable_database(settings: Settings) -> None:
    """End the program at once, with one line, when there is nowhere to keep the embedded database."""
    if settings.is_sqlite:
        with faults_in_words():
            prepare_database_directory(database_options(settings))


def server_config(host: str, port: int, workers: int, settings: Settings) -> uvicorn.Config:
    """Return how uvicorn serves: each process builds the application for itself, logs and heads are ours."""
    return uvicorn.Config(
        "tradepost.main:create_served_app",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        loop="uvloop" if workers == 1 else "tradepost.web.shared_socket:SharingLoop",
        http=CuttableHttpProtocol if settings.FAULTS_ENABLED else BoundedHttpProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        # A layer of ours believes `TRUSTED_PROXIES`; uvicorn would believe this machine's own, or a variable's.
        proxy_headers=False,
        timeout_keep_alive=ceil(settings.KEEP_ALIVE_SECONDS),
        timeout_graceful_shutdown=20,
        # A worker that is still starting, on a busy machine, is not one that hangs.
        timeout_worker_healthcheck=60,
    )


class Workers(Multiprocess):
    """The processes of ``--workers``, behind one socket that is gone once the last of them takes no more."""

    def terminate_all(self) -> None:
        """Let go of the socket: connections that it still took would wait for an answer that never comes."""
        for listener in self.sockets:
            listener.close()
        super().terminate_all()


def refuse_taken_port(host: str, port: int) -> None:
    """End the program at once, before anything is migrated, when the address cannot be listened on."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as probe:
            # As the server does: connections of an earlier one that are still closing are no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise click.ClickException(f"Cannot listen on {host}:{port}: {error.strerror}") from error


@contextmanager
def metrics_directory(workers: int) -> Iterator[None]:
    """Have a directory in which the metrics of several workers meet; they look for it when they start."""
    if given := os.environ.get(MULTIPROCESS_VARIABLE):
        prepare_directory(Path(given))
    if given or workers == 1:
        yield
        return
    remove_left_behind(Path(tempfile.gettempdir()))
    with _new_directory() as directory:
        os.environ[MULTIPROCESS_VARIABLE] = str(directory)
        yield


@contextmanager
def _new_directory() -> Iterator[Path]:
    with ExitStack() as held:
        directory = None
        while directory is None:
            made = Path(tempfile.mkdtemp(prefix=METRICS_PREFIX))
            # A server that starts at the same moment may take it for left behind, before this one holds its lock.
            with suppress(OSError):
                held.enter_context(_held(made))
                directory = made if made.exists() else None
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def connection_counts(workers: int) -> Iterator[None]:
    """Have a file in which several workers say how many connections each has; it is gone with this process."""
    if workers == 1:
        yield
        return
    with tempfile.NamedTemporaryFile(prefix="tradepost-connections-") as file:
        path = Path(file.name)
        ConnectionCounts.make(path)
        os.environ[COUNTS_VARIABLE] = str(path)
        yield


def remove_left_behind(parent: Path) -> None:
    """Remove the directories of metrics whose server was killed: nobody holds their lock any more."""
    for directory in parent.glob(f"{METRICS_PREFIX}*"):
        # Another user's, or removed by another server that starts.
        with suppress(OSError), _held(directory):
            shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _held(directory: Path) -> Iterator[None]:
    """Hold the lock of a directory, which ends with this process however that goes; ``OSError`` if another has it."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
