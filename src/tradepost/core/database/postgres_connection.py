"""A connection to PostgreSQL that survives the deadline of a request, and does not wait for ever for a server that hangs."""

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from contextvars import ContextVar
from typing import Any, Final, TypeVar

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement
from typing_extensions import override

from tradepost.core.database.short_way import Found, Step
from tradepost.core.deadlines import DeadlineExceeded, taken_back
from tradepost.core.errors import DatabaseUnavailable

CANCEL_PATIENCE: Final = 1.0
"""Seconds that a server has for ending a statement; one that takes longer hangs, and its connection is dropped."""
CLOSE_PATIENCE: Final = 2.0
"""Seconds that a server has for taking leave."""
NO_CONNECTION: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresError,
)
"""What asyncpg raises when a connection cannot be made, or breaks off while it is."""

lock_patience: Final[ContextVar[int | None]] = ContextVar("lock_patience", default=None)
"""Milliseconds that transactions which begin now wait for each lock; None for as long as a statement may take."""

T = TypeVar("T")


class PostgresConnection(asyncpg.Connection):
    """A connection whose statements end at their task's deadline, by a cancel request, and which is as good as new then.

    Torn off, as by any other cancellation, it would have to be closed, and making one costs as much as a hundred statements.
    No timer is set for a statement, and nothing is sent besides it.
    """

    begins_with = ""
    """Commands that go with every BEGIN, where the server may be another one at each."""

    @override
    async def set_type_codec(self, *args: Any, **options: Any) -> None:
        """Set a codec; SQLAlchemy does so past its own translation of errors, and may find the connection broken again."""
        try:
            await super().set_type_codec(*args, **options)
        except NO_CONNECTION as error:
            raise DatabaseUnavailable from error

    @override
    async def prepare(self, query: str, **options: Any) -> Any:
        """Prepare a statement, which waits where a table is locked against everybody."""
        prepared: Any = await _until_deadline(self, super().prepare(query, **options))
        return _Statement(self, query, prepared._state)  # noqa: SLF001 - there is no factory

    @override
    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:
        """Send a statement; with a BEGIN go the limits of its transaction, which cost no round trip of their own."""
        if query.startswith("BEGIN"):
            patience = lock_patience.get()
            if self.begins_with:
                query = f"{query} {self.begins_with}"
            if patience is not None:
                query = f"{query} SET LOCAL lock_timeout = {patience}"
        return await super().execute(query, *args, timeout=timeout)

    async def read_all(self, text: str, values: Sequence[Any]) -> list[Any]:
        """Return what a statement finds; it is prepared at its first use."""
        return await _until_deadline(self, self.fetch(text, *values))

    async def take(self, steps: Sequence[Step]) -> list[Found]:
        """Execute statements one after the other, and return what each finds."""
        found: list[Found] = []
        for text, values in steps:
            given = values(found) if callable(values) else values
            found.append(await self.read_all(text, given))
        return found

    @override
    async def executemany(self, command: str, args: Iterable[Any], *, timeout: float | None = None) -> None:
        return await _until_deadline(self, super().executemany(command, args, timeout=timeout))

    @override
    async def close(self, *, timeout: float | None = None) -> None:
        """Close it; a server that does not take leave is left without."""
        try:
            await super().close(timeout=CLOSE_PATIENCE if timeout is None else timeout)
        except TimeoutError:
            self.terminate()


class _Statement(PreparedStatement):
    """A prepared statement of a ``PostgresConnection``."""

    __slots__ = ()
    _connection: PostgresConnection

    @override
    async def fetch(self, *args: Any, timeout: float | None = None) -> list[Any]:
        # `_until_deadline`, spelt out: every statement passes here.
        try:
            return await super().fetch(*args, timeout=timeout)
        except asyncio.CancelledError:
            if not taken_back():
                raise
        await _cancelled(self._connection)
        raise DeadlineExceeded


async def _until_deadline(connection: PostgresConnection, work: Coroutine[Any, Any, T]) -> T:
    try:
        return await work
    except asyncio.CancelledError:
        if not taken_back():
            raise
    await _cancelled(connection)
    raise DeadlineExceeded


async def _cancelled(connection: Any) -> None:
    """Wait until the server has ended the statement, which asyncpg has asked it for, or drop the connection."""
    try:
        # The driver ends the connection itself when that takes too long.
        await connection._protocol._wait_for_cancellation(CANCEL_PATIENCE)  # noqa: SLF001
    except (TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresError, OSError):
        connection.terminate()
