"""``tradepost serve``: uvicorn with the HTTP protocol of ``web``, in one process or several behind one socket."""

import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from math import ceil
from pathlib import Path
from typing import Any, Final

import click
import uvicorn
from uvicorn.config import STARTUP_FAILURE

from tradepost import supervisor
from tradepost.bootstrap import database_options
from tradepost.cli.running import current_clock, faults_in_words, load_settings, refuse_taken_port, run
from tradepost.core.database.engines import prepare_directory as prepare_database_directory
from tradepost.core.observability import logging
from tradepost.core.observability.worker_files import MULTIPROCESS_VARIABLE, prepare_directory
from tradepost.core.settings.settings import Settings
from tradepost.main import END_SECONDS, create_served_app
from tradepost.web.cuttable_protocol import CuttableHttpProtocol
from tradepost.web.protocol import BoundedHttpProtocol

KILL_AFTER: Final = 2.0
"""Seconds for which a worker may be late with its own end."""


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
    if settings.is_local and port and "PUBLIC_URL" not in settings.model_fields_set:
        # Before the workers read their settings: links in e-mails lead to where this is served, where that is known.
        os.environ["PUBLIC_URL"] = address(host, port)
        settings = load_settings()
    if demo:
        made_up = import_module("tradepost.cli.demo")
        people = run(made_up.prepare_demo(settings, clock=current_clock()))
        click.echo(made_up.banner(settings, address(host, port), people=people))
    options = server_options(host, port, workers, settings)
    if workers > 1:
        logging.close()
        supervisor.become(options, settings.drain_seconds + END_SECONDS + KILL_AFTER)
    if given := os.environ.get(MULTIPROCESS_VARIABLE):
        prepare_directory(Path(given))
    server = uvicorn.Server(uvicorn.Config(**options | {"app": create_served_app}))
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def address(host: str, port: int) -> str:
    """Return where a browser on this machine finds a server that listens on ``host`` and ``port``."""
    if host in {"127.0.0.1", "0.0.0.0", "::", "::1"}:  # noqa: S104 - names for it
        return f"http://localhost:{port}"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def refuse_unmakeable_database(settings: Settings) -> None:
    """End the program at once, with one line, when there is nowhere to keep the embedded database."""
    if settings.is_sqlite:
        with faults_in_words():
            prepare_database_directory(database_options(settings))


def server_options(host: str, port: int, workers: int, settings: Settings) -> dict[str, Any]:
    """Return how uvicorn serves: each process builds the application for itself, logs and heads are ours.

    All of it is text and numbers: another process is told it.
    """
    protocol = CuttableHttpProtocol if settings.FAULTS_ENABLED else BoundedHttpProtocol
    return {
        "app": "tradepost.main:create_served_app",
        "factory": True,
        "interface": "asgi3",
        "host": host,
        "port": port,
        "workers": workers,
        "loop": "tradepost.web.shared_socket:AcceptingLoop",
        "http": f"{protocol.__module__}:{protocol.__qualname__}",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        # A layer of ours believes `TRUSTED_PROXIES`; uvicorn would believe this machine's own, or a variable's.
        "proxy_headers": False,
        "timeout_keep_alive": ceil(settings.KEEP_ALIVE_SECONDS),
        "timeout_graceful_shutdown": 20,
        # A worker that is still starting, on a busy machine, is not one that hangs.
        "timeout_worker_healthcheck": 60,
    }
