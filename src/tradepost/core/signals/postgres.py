"""Signals over PostgreSQL's LISTEN and NOTIFY, on a connection of their own."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import asyncpg
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from tradepost.core.clock import Clock
from tradepost.core.signals.signals import SharedSignals, Transport

CHANNEL: Final = "tradepost"
APPLICATION_NAME: Final = "tradepost signals"
TIMEOUT: Final = 5.0
"""Seconds for one payload, and for connecting."""


class _PostgresTransport:
    def __init__(self, connection: "asyncpg.Connection[Any]") -> None:
        self._connection = connection

    async def send(self, payload: str) -> None:
        # Not in the transaction that the signal is about: NOTIFY takes a lock of the whole cluster until the commit.
        await self._connection.execute("SELECT pg_notify($1, $2)", CHANNEL, payload, timeout=TIMEOUT)

    async def check(self) -> None:
        await self._connection.execute("SELECT 1", timeout=TIMEOUT)


def postgres_signals(url: URL, clock: Clock) -> SharedSignals:
    """Return signals between all processes that work on the database at ``url``."""

    @asynccontextmanager
    async def connect(
        received: Callable[[str], None], broken: Callable[[], None]
    ) -> AsyncIterator[Transport]:
        engine = create_async_engine(
            url,
            poolclass=NullPool,
            connect_args={"timeout": TIMEOUT, "server_settings": {"application_name": APPLICATION_NAME}},
        )
        async with engine.connect() as pooled:
            raw = await pooled.get_raw_connection()
            connection = cast("asyncpg.Connection[Any]", raw.driver_connection)

            def receive(_connection: object, _pid: int, _channel: str, payload: object) -> None:
                received(str(payload))

            def end(_connection: object) -> None:
                broken()

            connection.add_termination_listener(end)
            await connection.add_listener(CHANNEL, receive)
            try:
                yield _PostgresTransport(connection)
            finally:
                connection.remove_termination_listener(end)
                # A payload that may be half sent is not worth a wait for its end.
                connection.terminate()
                await pooled.invalidate()

    return SharedSignals(connect, clock)
