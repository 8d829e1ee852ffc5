"""Running a command: its settings, its clock, the event loop, and the process's resources.

Faults that an operator can mend end the program with one sentence: a traceback would bury it, and would repeat the
values of the statement that failed.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

import click
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from tradepost.bootstrap import opened, prepare_database
from tradepost.core.clock import Clock, SystemClock
from tradepost.core.database import revisions
from tradepost.core.database.faults import translate
from tradepost.core.errors import OperationFailed, TradepostError
from tradepost.core.resources import Resources
from tradepost.core.settings.faults import SettingsError
from tradepost.core.settings.settings import Settings

T = TypeVar("T")


def load_settings(load: Callable[[], Settings] = Settings.load) -> Settings:
    """Return the settings, or end the program with every fault in them."""
    try:
        return load()
    except SettingsError as error:
        raise click.ClickException(str(error)) from error


def current_clock() -> Clock:
    """Return the clock that the running command was given, else the machine's own."""
    given: Clock | None = click.get_current_context().obj
    return given or SystemClock()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` to its end; an error of the database or of a rule ends the program with one sentence."""
    with faults_in_words():
        return asyncio.run(work)


@contextmanager
def faults_in_words() -> Iterator[None]:
    """End the program with one sentence at an error of the database or of a rule."""
    try:
        yield
    except (TradepostError, SQLAlchemyError) as error:
        raise click.ClickException(in_words(error)) from error


def in_words(error: TradepostError | SQLAlchemyError) -> str:
    """Describe an error without the statement and its values, which may be a hash or an e-mail address."""
    meaning = error if isinstance(error, TradepostError) else translate(error) or OperationFailed()
    reason = error.orig if isinstance(error, DBAPIError) else error.__cause__
    return meaning.detail if reason is None else f"{meaning.detail}: {str(reason).partition(chr(10))[0]}"


def with_resources(work: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Make a command's coroutine function a plain one, called with the opened resources as its first argument."""

    @wraps(work)
    def command(*arguments: Any, **options: Any) -> None:
        clock = current_clock()

        async def worked() -> None:
            async with opened(load_settings(), clock=clock) as resources:
                await work(resources, *arguments, **options)

        run(worked())

    return command


async def require_schema(resources: Resources) -> None:
    """Migrate in ``local``, as the server does; elsewhere end the program unless the schema is this version's."""
    if resources.settings.is_local:
        await prepare_database(resources)
    elif not revisions.suits(await revisions.current(resources.database)):
        raise click.ClickException("The database has an older schema than this version's: tradepost migrate")


def refuse_taken_port(host: str, port: int) -> None:
    """End the program at once, before anything is done, when an address cannot be listened on."""
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
